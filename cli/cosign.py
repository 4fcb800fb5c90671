"""``truetonne settle cosign``: batches that their parties sign, as files that travel."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.command import DryRun, Invocation, command, command_group
from cli.files import ready_folder, write_whole
from cli.output import Columns, Table
from ledger.errors import BadInput, Refused, TruetonneError
from ledger.settings import SPAN_MAX
from ledger.units import counted

if TYPE_CHECKING:
    from cli.flow import Flow
    from ledger.settlement.cosign_files import Order

Market = Annotated[
    str | None, typer.Option("--market", metavar="NAME", help="Only trades on this market.")
]


def register(group: typer.Typer) -> None:
    """Add the group to the group ``settle``."""
    cosign = command_group("Settle by the signatures of all parties: write, sign and read files.")
    command(cosign, "write")(write_files)
    command(cosign, "sign")(sign_file)
    command(cosign, "read")(read_files)
    group.add_typer(cosign, name="cosign")


def write_files(
    run: Invocation,
    folder: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the files.")
    ],
    market: Market = None,
    hours: Annotated[
        int | None,
        typer.Option(
            min=1, max=SPAN_MAX, help="Hours for which signatures hold; default: signing_hours."
        ),
    ] = None,
    dry_run: DryRun = False,
) -> int:
    """Freeze the pending trades as batches to be signed, and write a file for each that lacks signatures.

    Keys that are at hand sign at once. A batch that waits for signatures already has its file written again.
    """
    from cli.settle_preview import waiting_json, waiting_lines
    from ledger.settings.settling import Way
    from ledger.settlement import batches
    from ledger.settlement.money import currency_symbol
    from ledger.settlement.outlook import require_market
    from ledger.settlement.pending import Scope

    with run.flow() as flow:
        with flow.db.read() as session:
            require_market(session, market)
        ready_folder(folder, dry_run=dry_run)  # before anything is planned
        flow.mirror()
        symbol = currency_symbol(flow.chain)
        until = datetime.fromtimestamp(_now_s(flow), UTC) + timedelta(
            hours=hours or run.settings.signing_hours
        )
        scope = Scope(market=market, way=Way.COSIGNED, signed_until=until, symbol=symbol)
        plan = batches.plan_round(flow.chain, scope, dry_run=dry_run)
        if dry_run:
            count = len(plan.batches)
            run.output.result(
                {"batches": count}, f"would write {counted(count, 'batch', 'batches')}"
            )
            return 0
        rows = _written(flow, folder, symbol)
    left_out = sum(len(item.trades) for item in plan.left_out)
    waiting = waiting_json(plan.waiting)
    run.output.result(
        {"batches": rows, "left_out": left_out, "waiting": waiting},
        Table.of(
            rows,
            {
                "file": "file",
                "trades": "trades",
                "signed until": "signed_until",
                "signatures missing": lambda row: ", ".join(
                    item["participant"] for item in row["missing"]
                ),
            },
            right=["trades"],
        ),
        "no batch lacks a signature; send with: truetonne settle run"
        if not rows
        else "each party signs with: truetonne settle cosign sign FILE",
        *(
            [f"{counted(left_out, 'trade')} left out: see truetonne settle preview"]
            * bool(left_out)
        ),
        *waiting_lines(waiting),
    )
    return Refused.exit_code if left_out or waiting else 0


def _written(flow: Flow, folder: Path, symbol: str) -> list[dict[str, Any]]:
    """Write a file for each batch that lacks signatures, after those of this keystore; return what each is of."""
    from ledger.settlement import cosign, cosign_files

    with flow.db.read() as session:
        keys = cosign.waiting_for_signatures(session)
    rows = []
    for key in keys:
        missing = cosign.sign_ours(flow.chain, key)
        if not missing:
            continue  # the next run sends it
        with flow.db.read() as session:
            order = cosign.order_of(session, flow.chain, key, symbol)
        name = order.market.replace("/", "_")  # of a market, and no path
        path = folder / f"{name}-{key[2:12]}.json"
        write_whole(path, cosign_files.text(order, _signatures_in(path, order)).encode())
        names = dict(order.participants)
        rows.append(
            {
                "file": str(path),
                "batch_key": key,
                "trades": len(order.settlement.words),
                "digest": order.digest,
                "signed_until": datetime.fromtimestamp(order.settlement.deadline, UTC),
                "missing": [{"account": item, "participant": names[item]} for item in missing],
            }
        )
    return rows


def _signatures_in(path: Path, order: Order) -> dict[str, str]:
    """Return the signatures of a file of the same batch that is there: they are not lost when it is written again."""
    from ledger.settlement import cosign_files

    try:
        there, signatures = cosign_files.read(path)
    except BadInput:
        return {}
    return signatures if there.digest == order.digest else {}


def sign_file(
    run: Invocation,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file of `cosign write`.")],
    account: Annotated[
        str | None,
        typer.Option("--account", metavar="0x...", help="Who signs; default: every party here."),
    ] = None,
    wallets: Annotated[
        list[str] | None,
        typer.Option(
            "--wallet",
            metavar="0x...",
            help="A party that is a contract (ERC-1271): only the chain can judge its signature, and `read` asks it.",
        ),
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Check a file, show what it says, and sign it with the keys of the keystore; no node, no database.

    The deployment file must be there: it says which contract is the one to sign for.
    """
    from ledger.settlement import cosign_files

    order, signatures = cosign_files.read(file)
    contracts = _contracts(file, order, wallets or [])
    _check_time(file, order)
    _check_signers(file, order, signatures, contracts)
    made = _signed(run, file, order, account)
    if not dry_run:
        signatures.update(_given_meanwhile(file, order, signatures, contracts))
    signatures.update(made)
    if not dry_run:
        write_whole(file, cosign_files.text(order, signatures).encode())
    shown = cosign_files.document(order, signatures)
    missing = sorted(set(order.settlement.accounts) - set(signatures))
    unchecked = sorted(contracts & set(signatures) - set(made))
    document: dict[str, Any] = {
        "file": str(file),
        "digest": order.digest,
        "signed": list(made),
        "missing": missing,
        "unchecked": unchecked,
        "asset": shown["asset"],
        "nets": shown["nets"],
    }
    run.output.result(
        document,
        *shown["meaning"],
        nets_table(shown),
        *([f"of {shown['asset']}"] if order.settlement.asset else []),
        f"digest {order.digest}",
        f"{'would sign' if dry_run else 'signed'} for {', '.join(made)}; "
        f"{counted(len(missing), 'signature')} missing",
        *(
            f"the signature under {each} is left as it is: the chain judges it"
            for each in unchecked
        ),
    )


def _check_time(file: Path, order: Order) -> None:
    """Refuse a file whose signatures do not hold any more."""
    deadline = datetime.fromtimestamp(order.settlement.deadline, UTC)
    if deadline < datetime.now(UTC):
        raise Refused(
            f"{file}: its signatures hold until {deadline:%Y-%m-%d %H:%M:%S} UTC, which is over by the clock of this "
            f"machine ({datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC); ask for a new file, or set the clock right",
            code="expired",
        )


def _contracts(file: Path, order: Order, named: Sequence[str]) -> frozenset[str]:
    """Return the parties that are said to be contracts."""
    for each in named:
        if each.lower() not in order.settlement.accounts:
            raise _no_party(file, order, each)
    return frozenset(each.lower() for each in named)


def _no_party(file: Path, order: Order, account: str) -> BadInput:
    accounts = ", ".join(sorted(order.settlement.accounts))
    return BadInput(f"{account!r} is no party of {file}; its accounts are {accounts}")


def _check_signers(
    file: Path, order: Order, signatures: Mapping[str, str], contracts: Collection[str]
) -> None:
    """Refuse signatures of other keys than their accounts'. Those of contracts are of no key, or of an owner's."""
    from ledger.settlement import cosign_files

    for account, signature in signatures.items():
        if account in contracts and account in order.settlement.accounts:
            continue
        try:
            cosign_files.check_signer(file, order, account, signature)
        except Refused as error:
            if account not in order.settlement.accounts:
                raise
            raise Refused(
                f"{error.message}; where {account} is a contract (ERC-1271), which no machine without a node can "
                f"know, say so: --wallet {account}",
                code=error.code,
            ) from error


def _given_meanwhile(
    file: Path, order: Order, known: Mapping[str, str], contracts: Collection[str]
) -> dict[str, str]:
    """Return the signatures that came into a file since it was read: a signer may take its time, and a person, too."""
    from ledger.settlement import cosign_files

    latest, there = cosign_files.read(file)
    if latest.digest != order.digest:
        raise Refused(
            f"{file}: it was replaced by that of another batch while it was signed; read it, and sign it again",
            code="another-batch",
        )
    new = {account: there[account] for account in there if account not in known}
    _check_signers(file, order, new, contracts)
    return new


def nets_table(shown: Mapping[str, Any]) -> Table:
    """Return who pays and receives what in a file, and who delivers and receives how many credits."""
    figures = {"pays": "pays", "receives": "receives"}
    if "delivers_t" in shown["nets"][0]:
        figures |= {"delivers t CO2e": "delivers_t", "receives t CO2e": "receives_t"}
    names = shown["participants"]
    named: Columns = {
        "account": "account",
        "participant (as the sender says)": lambda item: names.get(item["account"]),
    }
    return Table.of(shown["nets"], {**named, **figures}, right=figures)


def _signed(run: Invocation, file: Path, order: Order, account: str | None) -> dict[str, str]:
    """Return the signatures that the keystore can give under an order, by account, in their order."""
    from ledger.chain.addresses.book import Deployment
    from ledger.chain.keys.policy import GuardedKeyring
    from ledger.chain.keys.signers import NO_KEY

    deployment = Deployment.load(run.settings.deployment)
    keyring = GuardedKeyring.of(deployment, run.settings)
    parties = set(order.settlement.accounts)
    wanted = {account.lower()} if account is not None else parties & set(keyring.addresses)
    if account is not None and not wanted <= parties:
        raise _no_party(file, order, account)
    if not wanted:
        raise BadInput(
            f"no key of a party of {file} is here; its accounts are {', '.join(sorted(parties))}",
            code=NO_KEY,
        )
    return {
        each: "0x" + keyring.signer(each, "co-sign").sign_typed_data(order.message).hex()
        for each in sorted(wanted)
    }


def read_files(
    run: Invocation,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Signed files.")],
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Return when complete batches are sent.")
    ] = False,
    dry_run: DryRun = False,
) -> int:
    """Take in signed files; a batch that is complete then is sent, and final at once.

    A file that is refused (another key, another batch, altered, too late) keeps no other one from being taken.
    """
    from ledger.settlement import cosign
    from ledger.settlement.money import currency_symbol

    rows: list[dict[str, Any]] = []
    tried: dict[str, set[str]] | None = {} if dry_run else None
    troubles: list[TruetonneError] = []
    unsent: TruetonneError | None = None
    with run.flow() as flow:
        flow.mirror()
        symbol, now_s = currency_symbol(flow.chain), _now_s(flow)
        for file in files:
            try:
                key, signed, missing = cosign.take_file(
                    flow.chain, file, symbol, now_s, tried=tried
                )
            except (Refused, BadInput) as error:
                if len(files) == 1:
                    raise
                troubles.append(error)
                continue
            rows.append({"file": str(file), "batch_key": key, "signed": signed, "missing": missing})
        lacking = {row["batch_key"]: row["missing"] for row in rows}  # what the last file left
        for row in rows:
            row["missing"] = lacking[row["batch_key"]]
        if not dry_run and not all(lacking.values()):
            unsent = _send(flow, rows, no_wait)
            troubles += _refused_of(rows)
    waits = {row.get("waits") for row in rows}
    run.output.result(
        {"read": rows, "refused": [error.as_json() for error in troubles]}
        | ({} if unsent is None else {"unsent": unsent.as_json()}),
        *(_taken(row, dry_run) for row in rows),
        *(f"refused: {error.message}" for error in troubles),
        *([] if unsent is None or unsent.message in waits else [f"not sent: {unsent.message}"]),
    )
    troubles += [] if unsent is None else [unsent]
    return max((error.exit_code for error in troubles), default=0)


def _send(flow: Flow, rows: Sequence[dict[str, Any]], no_wait: bool) -> TruetonneError | None:
    """Send all that is complete, and wait for the batches of these rows; each says what became of its own (``state``).

    Returns
    -------
    TruetonneError or None
        Why something was not sent: a batch of these, or another one.
    """
    from ledger.settlement import batches

    keys = list(dict.fromkeys(row["batch_key"] for row in rows if not row["missing"]))
    trouble: TruetonneError | None = None
    try:
        batches.submit_planned(flow.chain)
    except TruetonneError as error:
        trouble = error
    flow.mirror()
    states = _states_of(flow, keys)
    if not no_wait:
        flow.confirm_or_fail([key for key in keys if states[key][0] == "sent"])
        states = _states_of(flow, keys)
    for row in rows:
        if not row["missing"]:
            row["state"], why = states[row["batch_key"]]
            if row["state"] == "unsent":
                row["waits"] = why or (trouble.message if trouble else None)
            elif row["state"] == "refused":
                row["failed"] = why
    return trouble


def _states_of(flow: Flow, keys: Sequence[str]) -> dict[str, tuple[str, str | None]]:
    """Return what became of complete batches, by the books: the state, and why one is refused or not sent."""
    from sqlalchemy import select

    from ledger.models import ChainIntent, VppSettlementBatch
    from ledger.models.sending import IntentState
    from ledger.models.settlement import BatchState

    query = (
        select(VppSettlementBatch, ChainIntent)
        .outerjoin(ChainIntent, ChainIntent.key == VppSettlementBatch.batch_key)
        .where(VppSettlementBatch.batch_key.in_(keys))
    )
    found: dict[str, tuple[str, str | None]] = {}
    with flow.db.read() as session:
        for batch, intent in session.execute(query):
            key = batch.batch_key
            # One that ended while its file was read may have no call.
            state, alarm = (None, None) if intent is None else (intent.state, intent.alarm)
            if batch.state is BatchState.FAILED:
                found[key] = "refused", batch.error
            elif state is IntentState.CONFIRMED:
                found[key] = "settled", None
            elif state is IntentState.SUBMITTED or batch.state is BatchState.FINALIZED:
                found[key] = "sent", None  # from here, or by another party
            else:
                found[key] = "unsent", alarm
    return found


def _refused_of(rows: Sequence[dict[str, Any]]) -> list[TruetonneError]:
    """Return what the contract said of each complete batch that it has refused."""
    refused = {row["batch_key"]: row for row in rows if row.get("state") == "refused"}
    return [
        Refused(
            f"{row['file']}: {row['failed']}; its trades are free again, and the next batch of them is signed anew",
            code="batch-refused",
            details={"key": key},
        )
        for key, row in refused.items()
    ]


def _taken(row: dict[str, Any], dry_run: bool) -> str:
    taken = "would be taken" if dry_run else "taken"
    rest = f"missing {', '.join(row['missing'])}"
    if not row["missing"]:
        state = "would be sent" if dry_run else row["state"]
        rest = f"complete and {state}"
        if state == "unsent":
            rest = "complete, and not sent yet" + (f": {row['waits']}" if row["waits"] else "")
    return f"{row['file']}: {counted(len(row['signed']), 'signature')} {taken}, {rest}"


def _now_s(flow: Flow) -> int:
    from ledger.chain.local.shared import judged_at_s

    return judged_at_s(flow.chain.client, flow.chain.deployment.chain_id)
