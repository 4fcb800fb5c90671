"""The quick way of one retirement by its number: see ``api.credits.quick``; it is one statement, so MariaDB has it too.

It is what is asked again and again until it shows, by whoever has sent a retirement to the chain. So that there is
none yet is answered the quick way, too.
"""

from __future__ import annotations

from typing import Any

from api.context import Context
from api.quick_parts import HEAD, encode, head_of, of_seconds, text_of, time_of
from api.retirements.queries import NUMBER, not_there
from ledger.chain.contracts.events import ZERO_HASH
from ledger.db.quick import Row

COLUMNS = (
    "r.key, r.holder, r.replaced_batch_id, r.beneficiary, r.reason, r.country, r.tx_hash, r.block_number, "
    "r.retired_at, r.consumption_start_s, r.consumption_end_s, r.document_hash"
)
"""What ``of_columns`` takes, of ``credit_retirements r``."""
_COUNT = COLUMNS.count(",") + 1
_NAME = (
    *("z.code", "'-'", "b.vintage", "'-'", "b.ordinal", "'-'", "r.first_serial", "'-'"),
    "(r.first_serial + r.amount_kg - 1)",
)
"""What the name of its credit is made of: sought by the batch, all runs of a batch would be read."""


def _one(name: str) -> str:
    return (
        f"SELECT {COLUMNS}, r.retirement_id, r.batch_id, r.first_serial, r.amount_kg, s.credit_id, {HEAD}"
        "LEFT JOIN credit_retirements r ON r.retirement_id = ? "
        "LEFT JOIN credit_batches b ON b.batch_id = r.batch_id "
        "LEFT JOIN credit_sites z ON z.site_id = b.site_id "
        f"LEFT JOIN credit_serials s ON s.credit_id = {name}"
    )


_IN_SQLITE = _one(" || ".join(_NAME))
_IN_MARIADB = _one(f"CONCAT({', '.join(_NAME)})")


def retirement(context: Context, name: str) -> bytes | None:
    """Return the answer about a retirement by its number, as JSON; None: ask ``queries``.

    Raises
    ------
    NotFound
        If there is none.
    """
    database = context.database
    if not NUMBER.fullmatch(name):
        return None
    values = (context.settings.network, int(name))
    found = None
    if database.quick is not None:
        found = database.quick.try_read(lambda read: read(_IN_SQLITE, values))
    elif database.quick_server is not None and database.replica is None:
        found = database.quick_server.try_one(_IN_MARIADB, values)
    if not found:
        return None
    if found[0][0] is None:
        raise not_there(name)
    return _document(context, found[0])


def is_waited_for(context: Context, name: str) -> bool:
    """Return whether ``retirement`` waits for a server, in a thread of its own: of a number, and not in SQLite."""
    return context.database.quick_server is not None and NUMBER.fullmatch(name) is not None


def of_columns(columns: Row) -> dict[str, Any]:
    """Return what ``schemas.Retirement`` says, of ``COLUMNS``."""
    key, holder, replaced, beneficiary, reason, country, *rest = columns
    tx_hash, block, at, start, end, document = rest
    return {
        "key": key,
        "holder": holder,
        "replaced_batch_id": text_of(replaced),
        "beneficiary": beneficiary,
        "reason": reason,
        "country": country,
        "tx_hash": tx_hash,
        "block_number": block,
        "retired_at": time_of(at),
        "consumption_start": of_seconds(start) if start else None,
        "consumption_end": of_seconds(end) if end else None,
        "document_hash": None if document == ZERO_HASH else document,
    }


def _document(context: Context, row: Row) -> bytes:
    head, final_block = head_of(context, row[-5:])
    whom = of_columns(row[:_COUNT])
    number, batch, first, kg, credit_id = row[_COUNT:-5]
    return encode(
        {
            **head,
            **whom,
            "retirement_id": str(number),
            "batch_id": str(batch),
            "first_serial": str(first),
            "last_serial": str(first + kg - 1),
            "amount_kg": str(kg),
            "credit_id": credit_id,
            "final": whom["block_number"] <= final_block,
        }
    )
