"""``truetonne chain pending | displace``: what waits in the pool for our accounts that the books do not know."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.command import DryRun, Invocation, command
from cli.output import Table
from ledger.errors import BadInput, ProblemFound
from ledger.units import counted

if TYPE_CHECKING:
    from ledger.chain.access import Chain
    from ledger.chain.sending.displaced import OfAccount, Waiting

_SHOWN_MAX = 160
"""Characters of the arguments of a call in a table; ``--json`` has them whole."""
_HASH_LENGTH = 66

Transaction = Annotated[str, typer.Argument(metavar="HASH", help="Hash of the transaction.")]
Reason = Annotated[
    str, typer.Option("--reason", help="Why it shall not happen; kept in the audit log.")
]


def register(group: typer.Typer) -> None:
    """Add the commands to the group ``chain``."""
    command(group, "pending")(show_pending)
    command(group, "displace")(displace)


def show_pending(run: Invocation) -> int:
    """Show what waits in the node's pool for our accounts that the books do not know; exit 1 where something does."""
    with run.flow() as flow:
        chain = flow.chain
        accounts = {*chain.deployment.accounts.values(), *chain.keyring.addresses}
        found = chain.sender.pending(accounts, _contracts(chain))
    count = sum(len(item.waiting) + item.unseen for item in found)
    document = {
        "unknown": count,
        "accounts": [
            {
                "account": item.address,
                "unseen": item.unseen,
                "transactions": [_as_json(row) for row in item.waiting],
            }
            for item in found
        ],
    }
    run.output.result(document, *_shown(found, count))
    return ProblemFound.exit_code if count else 0


def displace(
    run: Invocation, transaction: Transaction, reason: Reason, dry_run: DryRun = False
) -> None:
    """Put a transaction of nothing in the place of one that the books do not know: it may be an act they forgot."""
    tx_hash = transaction.lower()
    if len(tx_hash) != _HASH_LENGTH or not tx_hash.startswith("0x"):
        raise BadInput(f"{transaction!r} is no hash of a transaction: 0x and 64 hexadecimal digits")
    with run.flow() as flow:
        row, sent = flow.chain.sender.displace(
            tx_hash, reason, _contracts(flow.chain), keep=not dry_run
        )
    known = None if row is None else _as_json(row)
    document = {"displaced": known, "transaction": sent or None, "dry_run": dry_run}
    what = tx_hash
    if row is not None:
        info = row.offered.info
        what += f" of {info.sender}, nonce {info.nonce}: {_what(row)}"
    if dry_run:
        said = f"{sent} is signed to displace {what}: the command would send it again"
        run.output.result(document, said if sent else f"would displace {what}")
        return
    run.output.result(
        document,
        f"{sent} is sent to displace {what}",
        "either may be mined, and not both: nothing else of the account is sent before one of them is final and the "
        "mirror has read it; `truetonne up` or the jobs see to it, `truetonne chain intents` shows it",
    )


def _contracts(chain: Chain) -> dict[str, str]:
    from ledger.chain.keys.policy import SignerPolicy

    return dict(SignerPolicy.with_limits(chain.deployment).contracts)


def _shown(found: tuple[OfAccount, ...], count: int) -> list[str | Table]:
    if not count:
        return ["nothing waits that the books do not know, by what the node shows"]
    rows = [
        (
            item.address,
            row.offered.info.nonce,
            row.offered.info.hash,
            _gwei(row.offered.max_fee_wei),
            _what(row),
        )
        for item in found
        for row in item.waiting
    ]
    said = [
        f"{item.address}: {counted(item.unseen, 'transaction')} more by the node's count, which it does not show: a "
        "node with an open pool (txpool_contentFrom) does"
        for item in found
        if item.unseen
    ]
    columns = ("account", "nonce", "transaction", "gwei", "what it does")
    table = Table(columns, rows, right=frozenset({"nonce", "gwei"}))
    return [
        *([table] if rows else []),
        *said,
        f"{counted(count, 'transaction')} that the books do not know: wait; or, where one never gets into a block and "
        "shall not happen, `truetonne chain displace`",
    ]


def _what(row: Waiting) -> str:
    info = row.offered.info
    value = f"{info.value} wei to " if info.value else ""
    if row.function is not None:
        arguments = json.dumps(dict(row.parameters), ensure_ascii=False)
        cut = arguments if len(arguments) <= _SHOWN_MAX else f"{arguments[:_SHOWN_MAX]}..."
        planned = f"; the books have planned it as {row.planned_as}" if row.planned_as else ""
        return f"{value}{row.contract}.{row.function} {cut}{planned}"
    target = row.contract or info.to or "a new contract"
    if len(info.input) <= len("0x"):
        return f"{value or 'nothing to '}{target}"
    return f"{value}{target}, a call that cannot be read: {info.input[:10]}"


def _as_json(row: Waiting) -> dict[str, Any]:
    info = row.offered.info
    return {
        "transaction": info.hash,
        "from": info.sender,
        "nonce": info.nonce,
        "to": info.to,
        "value_wei": str(info.value),
        "gas": info.gas,
        "max_fee_gwei": _gwei(row.offered.max_fee_wei),
        "priority_fee_gwei": _gwei(row.offered.priority_fee_wei),
        "contract": row.contract,
        "function": row.function,
        "parameters": dict(row.parameters),
        "input": info.input,
        "planned_as": row.planned_as,
    }


def _gwei(wei: int) -> str:
    from decimal import Decimal

    from ledger.chain.fees import GWEI

    return f"{Decimal(wei) / GWEI:f}"
