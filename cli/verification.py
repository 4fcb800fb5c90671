"""``truetonne credits verification``: periods that a verifier elsewhere signs, as files that travel."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.command import DryRun, Invocation, NoWait, command, command_group
from cli.credit_options import Backfill, From, Project, To
from cli.files import ready_folder, write_whole
from cli.output import Table, printable
from cli.reductions import said_of, write_evidence
from ledger.errors import BadInput, ProblemFound, Refused, TruetonneError
from ledger.units import counted

if TYPE_CHECKING:
    from cli.flow import Flow
    from ledger.chain.contracts.events import Claim
    from ledger.issuance.planning import PlannedIssuance
    from ledger.issuance.verification import Taken
    from ledger.issuance.verification_files import Request
    from ledger.reductions.recompute import Verification
    from ledger.reductions.results import Reduction

_DAYS = 30
_DAYS_MAX = 366


def register(credits_group: typer.Typer) -> None:
    """Add the group to the group ``credits``."""
    group = command_group("Have a verifier elsewhere sign what is to be issued: write, sign, read.")
    command(group, "write")(write_files)
    command(group, "sign")(sign_file)
    command(group, "read")(read_files)
    credits_group.add_typer(group, name="verification")


def write_files(
    run: Invocation,
    project: Project,
    start: From,
    end: To,
    folder: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the files.")
    ],
    days: Annotated[
        int,
        typer.Option(min=1, max=_DAYS_MAX, help="Days for which the signature will hold."),
    ] = _DAYS,
    backfill: Backfill = False,
    dry_run: DryRun = False,
) -> None:
    """Write a period for its verifier: the claim to sign, its manifest and its readings. Nothing is stored.

    Over New Year there are two claims, and a folder in the folder for each.
    """
    from ledger.chain.local.shared import judged_at_s
    from ledger.issuance import verification
    from ledger.issuance.verification_files import FILE

    with run.flow() as flow:
        flow.mirror()
        period = start.date(), end.date()
        found = verification.requests_for(
            flow.chain, project, *period, timedelta(days=days), backfill=backfill
        )
        several = len(found) > 1
        places = [folder / str(item.vintage) if several else folder for _, item in found]
        now_s = judged_at_s(flow.chain.client, flow.chain.deployment.chain_id)
        for place in places:
            verification.check_not_signed(flow.chain, place / FILE, now_s)
    for place in places:
        ready_folder(place, dry_run=dry_run)
    rows = []
    for (request, planned), place in zip(found, places, strict=True):
        if not dry_run:
            _write(request, planned.reduction, place)
        rows.append(_row(request, planned, place))
    document: dict[str, Any] = {"requests": rows}
    run.output.result(
        document,
        Table.of(
            rows,
            {
                "folder": "folder",
                "vintage": "vintage",
                "kg to issue": "issued_kg",
                "signature holds until": "signed_until",
            },
            right=["kg to issue"],
        ),
        *(
            f"{row['folder']}: a backfill before batch {row['backfill_before']}"
            for row in rows
            if row["backfill_before"]
        ),
        "would write them"
        if dry_run
        else "the verifier signs with: truetonne credits verification sign FOLDER/verification.json",
    )


def _row(request: Request, planned: PlannedIssuance, place: Path) -> dict[str, Any]:
    claim = request.claim
    return {
        "folder": str(place),
        "project": request.project,
        "vintage": planned.vintage,
        "period": {
            "from": planned.from_date.isoformat(),
            "to": planned.to_date.isoformat(),
        },
        "issued_kg": str(claim.amount),
        "backfill_before": claim.backfill_before or None,
        "key": claim.key,
        "digest": request.digest,
        "signed_until": datetime.fromtimestamp(claim.deadline, UTC),
    }


def _write(request: Request, reduction: Reduction, place: Path) -> None:
    from ledger.issuance import verification_files
    from ledger.readings.periods.evidence_files import files_of_reduction

    write_evidence(files_of_reduction(reduction), place)
    write_whole(place / verification_files.FILE, verification_files.text(request, {}).encode())


def sign_file(
    run: Invocation,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file of `verification write`.")],
    manifest: Annotated[
        Path | None,
        typer.Option(metavar="MANIFEST", help="Its manifest; default: manifest.json beside it."),
    ] = None,
    readings: Annotated[
        Path | None,
        typer.Option(metavar="READINGS", help="Its readings; default: readings.csv.gz beside it."),
    ] = None,
    account: Annotated[
        str | None,
        typer.Option(
            "--account", metavar="0x...", help="Who signs; default: the deployment's verifier."
        ),
    ] = None,
    ask_node: Annotated[
        bool,
        typer.Option(
            "--ask-node", help="Also ask the node under which numbers the project is registered."
        ),
    ] = False,
    wallets: Annotated[
        list[str] | None,
        typer.Option(
            "--wallet",
            metavar="0x...",
            help="A contract (ERC-1271) that has signed: only the chain can judge its signature, and `read` asks it.",
        ),
    ] = None,
    dry_run: DryRun = False,
) -> int:
    """Compute a period again from its files, compare it with the claim, and sign that; no database.

    What does not fit is named, and not signed. The deployment file must be there: it says which contract is the one to
    sign for. A node is asked for nothing, unless you want it.
    """
    from ledger.issuance import verification_files
    from ledger.readings.periods.evidence_files import MANIFEST, READINGS

    request, signatures = verification_files.read(file)
    verification_files.check_time(file, request, int(datetime.now(UTC).timestamp()))
    contracts = frozenset(each.lower() for each in wallets or [])
    _check_signers(file, request, signatures, contracts)
    found = _verified(
        run,
        request,
        manifest or file.with_name(MANIFEST),
        readings or file.with_name(READINGS),
        ask_node,
    )
    by = None
    if found.valid:
        by, made = _signature(run, request, account)
        signatures[by] = made
        if not dry_run:
            write_whole(file, verification_files.text(request, signatures).encode())
    unchecked = sorted(contracts - {by})
    shown = verification_files.document(request, signatures)
    document: dict[str, Any] = {
        "file": str(file),
        "digest": request.digest,
        "signed": by,
        "unchecked": unchecked,
        **{
            name: shown[name]
            for name in ("project", "issued_kg", "period", "backfill_before", "recipient")
        },
        "verification": found.as_json(),
    }
    claim = request.claim
    run.output.result(
        document,
        *map(printable, shown["meaning"]),
        *said_of(found),
        *([] if ask_node else [_not_asked(request)]),
        f"recipient {claim.recipient}",
        f"digest {request.digest}",
        f"{'would sign' if dry_run else 'signed'} by {by}" if by else "not signed",
        *(
            f"the signature under {each} is left as it is: the chain judges it"
            for each in unchecked
        ),
    )
    return 0 if by else ProblemFound.exit_code


def _check_signers(
    file: Path, request: Request, signatures: Mapping[str, str], contracts: Collection[str]
) -> None:
    """Refuse signatures of other keys than their accounts'. Those of contracts are of no key, or of an owner's."""
    from ledger.issuance import verification_files

    for named in sorted(set(contracts) - set(signatures)):
        raise BadInput(f"{named!r} has not signed {file}; {', '.join(signatures) or 'nobody'} has")
    for account, signature in signatures.items():
        if account in contracts:
            continue
        try:
            verification_files.check_signer(file, request, account, signature)
        except Refused as error:
            raise Refused(
                f"{error.message}; where {account} is a contract (ERC-1271), which no machine without a node can "
                f"know, say so: --wallet {account}",
                code=error.code,
            ) from error


def _not_asked(request: Request) -> str:
    claim = request.claim
    return (
        f"not asked: whether class {claim.class_id}, project {claim.project_id} and site {claim.site_id} on chain are "
        f"those of {printable(request.project)}; --ask-node asks the node"
    )


def _verified(
    run: Invocation, request: Request, manifest: Path, readings: Path, ask_node: bool
) -> Verification:
    from ledger.chain.access import load_deployment
    from ledger.chain.contracts.wrappers import CarbonCredit
    from ledger.chain.local.shared import node_for
    from ledger.chain.node.client import ChainClient
    from ledger.issuance.verifying import verify_claim

    for path, option in ((manifest, "--manifest"), (readings, "--readings")):
        if not path.exists():
            raise BadInput(
                f"{path}: not there, and it goes with the request; name it with {option} where it is elsewhere",
                code="file-error",
            )
    if not ask_node:
        return verify_claim(request, manifest, readings)
    deployment = load_deployment(run.settings)
    with node_for(run.settings) as rpc_url, closing(ChainClient(rpc_url)) as client:
        deployment.check(client)
        deployment.check_code(client)
        credit = CarbonCredit(client, deployment.credit.address)
        return verify_claim(request, manifest, readings, credit)


def _signature(run: Invocation, request: Request, account: str | None) -> tuple[str, str]:
    """Return who of the keystore signs a request, and the signature; the signer policy has its say."""
    from ledger.chain.addresses.book import Deployment
    from ledger.chain.keys.policy import GuardedKeyring
    from ledger.chain.keys.signers import resolve_account

    deployment = Deployment.load(run.settings.deployment)
    keyring = GuardedKeyring.of(deployment, run.settings)
    by = (
        deployment.account("verifier")
        if account is None
        else resolve_account(account, deployment.chain_id)
    ).lower()
    signature = keyring.signer(by, "sign as verifier").sign_typed_data(request.message)
    return by, "0x" + signature.hex()


def read_files(
    run: Invocation,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Signed files.")],
    no_wait: NoWait = False,
    dry_run: DryRun = False,
) -> int:
    """Take in signed files, and issue what they are of, in the order of their periods.

    What the books give now has to be what was signed. A file that is refused keeps no other one from being taken.
    """
    from cli.credits_issue import serials_of
    from ledger.chain.sending import intents

    troubles: list[TruetonneError] = []
    with run.flow() as flow:
        flow.mirror()
        taken = _taken(flow, files, troubles, dry_run)
        if len(files) == 1 and troubles:
            raise troubles[0]
        if not dry_run:
            _issue(flow, taken, troubles, no_wait)
        rows = []
        with flow.db.read() as session:
            for file, item in taken:
                row: dict[str, Any] = {
                    "file": str(file),
                    "project": item.project,
                    "vintage": item.vintage,
                    "issued_kg": str(item.issued_kg),
                    "backfill_before": item.backfill_before or None,
                    "verifier": item.verifier,
                    "key": item.key,
                    "went_on": item.went_on,
                }
                if not dry_run:
                    intent = intents.get(session, item.key)
                    row["serials"] = serials_of(session, item.key)
                    row["transaction"] = intent.tx_hash
                    row["state"] = intent.state.value
                rows.append(row)
    batches = len({item.key for _, item in taken if not item.went_on})  # a file may be given twice
    run.output.result(
        {"read": rows, "refused": [error.as_json() for error in troubles]},
        *([_table(rows)] if rows else []),
        *([f"would issue {counted(batches, 'batch', 'batches')}"] if dry_run else []),
        *(f"refused: {error.message}" for error in troubles),
    )
    return max((error.exit_code for error in troubles), default=0)


def _taken(
    flow: Flow, files: list[Path], troubles: list[TruetonneError], dry_run: bool
) -> list[tuple[Path, Taken]]:
    """Take in files in the order of their periods; what is refused is added to the troubles."""
    from ledger.chain.local.shared import judged_at_s
    from ledger.issuance import verification, verification_files

    now_s = judged_at_s(flow.chain.client, flow.chain.deployment.chain_id)
    asked: list[tuple[Path, Claim]] = []
    for file in files:
        try:
            asked.append((file, verification_files.read(file)[0].claim))
        except BadInput as error:
            troubles.append(error)
    taken: list[tuple[Path, Taken]] = []
    tried: list[tuple[Path, Claim, Taken]] = []  # on trial no file finds another one in the books
    for file, claim in sorted(asked, key=lambda item: (item[1].period_start, item[0])):
        try:
            item = verification.take_file(flow.chain, file, now_s, dry_run=dry_run)
            if dry_run:
                verification.check_apart(file, claim, item, tried)
        except (Refused, BadInput) as error:
            troubles.append(error)
        else:
            taken.append((file, item))
            tried.append((file, claim, item))
    return taken


def _issue(
    flow: Flow, taken: list[tuple[Path, Taken]], troubles: list[TruetonneError], no_wait: bool
) -> None:
    """Send what was taken in, project by project; what the contract refuses is added to the troubles."""
    from ledger import issuance

    for project in dict.fromkeys(item.project for _, item in taken):
        try:
            issuance.submit_planned(flow.chain, project)
            if not no_wait:
                keys = [item.key for _, item in taken if item.project == project]
                flow.confirm(keys, onward=partial(issuance.submit_planned, flow.chain, project))
        except Refused as error:
            troubles.append(error)


def _table(rows: list[dict[str, Any]]) -> Table:
    from cli.credits_issue import table_of

    shown = ("file", "vintage", "issued_kg", "verifier", "serials", "transaction", "state")
    return table_of([name for name in shown if name in rows[0]], rows)
