"""One credit, and a page of credits, in a few statements without the ORM: the answers that are asked for most.

What is answered here is, byte for byte, what ``queries`` would answer, and a test holds the one against the
other. Whatever is out of the ordinary (another name than the credit's own, a filter, an earlier block,
MariaDB) is left to ``queries``: ``None`` says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec

from api.context import Context
from api.credits.schemas import CreditParameters
from api.pagination import Order
from api.quick_parts import HEAD, encode, head_of, of_seconds, text_of, time_of
from api.retirements.quick import COLUMNS as RETIREMENT
from api.retirements.quick import of_columns
from ledger.db.quick import Read
from ledger.naming import PARTS_MAX
from ledger.serials import batch_id_of

_NO_FILTERS = {"limit", "order", "cursor"}
_CHANGED = {
    # The contract numbers retirements in the order of the chain: from the last one down to what is final.
    "credit_retirements": "retirement_id > COALESCE((SELECT retirement_id FROM credit_retirements "
    "WHERE block_number <= :final ORDER BY retirement_id DESC LIMIT 1), 0)",
    "credit_cancellations": "block_number > :final",
    "credit_invalidations": "block_number > :final",
}
"""Journals of what changes which credits there are, and their rows that are not final: a part of an index."""
_ITEM = (
    "c.id, c.credit_id, c.amount, c.unit, c.status, c.issuer, t.code, b.vintage, s.batch_id, b.status, "
    "s.first_serial, s.last_serial, b.key, s.retirement_id, c.blockchain_tx, c.issued_at, c.expires_at, "
    "CASE c.status "
    "WHEN 'retired' THEN (SELECT x.tx_hash FROM credit_retirements x "
    "WHERE x.retirement_id = s.retirement_id) "
    "WHEN 'cancelled' THEN COALESCE((SELECT x.tx_hash FROM credit_cancellations x "
    "WHERE x.batch_id = s.batch_id AND x.first_serial = s.first_serial), "
    "(SELECT x.tx_hash FROM credit_invalidations x "
    "WHERE x.batch_id = s.batch_id AND x.step = 'executed')) END, "
    "b.block_number"
)
_JOINED = (
    "JOIN credit_serials s ON s.credit_id = c.credit_id "
    "JOIN credit_batches b ON b.batch_id = s.batch_id "
    "LEFT JOIN credit_sites t ON t.site_id = b.site_id "
)
_BLOCK_AT = 18
"""Where the block of the issuance stands among the columns of an item, as the last of them."""
_MORE_AT = _BLOCK_AT + 1
_ONE = (
    f"SELECT {_ITEM}, b.issued_kg, b.retired_kg, b.cancelled_kg, b.buffered_kg, b.deficit_kg, "
    "b.period_start_s, b.period_end_s, b.recipient, b.verifier, b.evidence_root, b.evidence_total_kg, "
    "b.manifest_hash, b.methodology_hash, "
    "(SELECT json_extract(e.args, '$.claim.backfill_before') FROM chain_events e "
    "WHERE e.block_number = b.block_number AND e.log_index = b.log_index), "
    f"b.site_id, {RETIREMENT}, {HEAD}"
    f"JOIN carbon_credits c ON c.credit_id = ? {_JOINED}"
    "LEFT JOIN credit_retirements r ON r.retirement_id = s.retirement_id"
)
_PAGES = {
    (order, begun): "SELECT c.id, c.credit_id, c.amount, c.unit, c.status, c.issuer, s.batch_id, "
    "s.first_serial, s.last_serial, s.retirement_id, c.blockchain_tx, c.issued_at, c.expires_at "
    "FROM carbon_credits c JOIN credit_serials s ON s.credit_id = c.credit_id "
    + (f"WHERE c.id {sign} ? " if begun else "")
    + f"ORDER BY c.id {order.value} LIMIT ?"
    for order, sign in ((Order.DESC, "<"), (Order.ASC, ">"))
    for begun in (False, True)
}
_PARTS = (
    "SELECT c.credit_id, c.amount, c.status FROM credit_serials s "
    "JOIN carbon_credits c ON c.credit_id = s.credit_id "
    "WHERE s.batch_id = ? ORDER BY s.first_serial LIMIT ?"
)
_PARTS_COUNT = "SELECT COUNT(*) FROM credit_serials WHERE batch_id = ?"
_BATCHES = (
    "SELECT batch_id, site_id, vintage, status, key, block_number FROM credit_batches "
    "WHERE batch_id IN ({})"
)
_NOT_FINAL = " UNION ".join(
    [
        # The plus keeps the database from looking batch by batch: few blocks are not final.
        *(
            f"SELECT batch_id FROM {table} WHERE {later} AND +batch_id BETWEEN :first AND :last"
            for table, later in _CHANGED.items()
        ),
        "SELECT CAST(json_extract(args, '$.batch_id') AS INTEGER) FROM chain_events "
        "WHERE event_name = 'StatusChanged' AND block_number > :final",
    ]
)
_SITES = "SELECT site_id, code FROM credit_sites WHERE site_id IN ({})"
_RETIRED = "SELECT retirement_id, tx_hash FROM credit_retirements WHERE retirement_id IN ({})"
_CANCELLED = (
    "SELECT COALESCE((SELECT tx_hash FROM credit_cancellations WHERE batch_id = :batch "
    "AND first_serial = :first), (SELECT tx_hash FROM credit_invalidations WHERE batch_id = :batch "
    "AND step = 'executed'))"
)


def credit(context: Context, name: str) -> bytes | None:
    """Return the answer about a credit by its own name, as JSON; None: ask ``queries``."""
    quick = context.database.quick
    if quick is None:
        return None
    return quick.try_read(lambda read: _credit(context, read, name))


def page(context: Context, parameters: CreditParameters) -> tuple[bytes, str | None] | None:
    """Return a page of all credits, as JSON, and the cursor of the next; None: ask ``queries``.

    Raises
    ------
    BadInput
        If the cursor cannot be used.
    """
    quick = context.database.quick
    if quick is None or not parameters.model_fields_set <= _NO_FILTERS:
        return None
    return quick.try_read(lambda read: _page(context, read, parameters))


def _credit(context: Context, read: Read, name: str) -> bytes | None:
    found = read(_ONE, (context.settings.network, name))
    if len(found) != 1:
        return None
    row = found[0]
    head, final_block = head_of(context, row[-5:])
    more = row[_MORE_AT:-5]
    changing = read(_NOT_FINAL, {"final": final_block, "first": row[8], "last": row[8]})
    final = row[_BLOCK_AT] <= final_block and (row[8],) not in changing
    parts = read(_PARTS, (row[8], PARTS_MAX))
    count = len(parts) if len(parts) < PARTS_MAX else read(_PARTS_COUNT, (row[8],))[0][0]
    before = int(more[13] or 0)
    document = {**head, **_item(row, final=final)}
    document["batch"] = {
        "issued_kg": str(more[0]),
        "retired_kg": str(more[1]),
        "cancelled_kg": str(more[2]),
        "buffered_kg": str(more[3]),
        "deficit_kg": text_of(more[4]),
        "period_start": of_seconds(more[5]),
        "period_end": of_seconds(more[6]),
        "recipient": more[7],
        "verifier": more[8],
        "evidence_root": more[9],
        "evidence_total_kg": more[10],
        "manifest_hash": more[11],
        "methodology_hash": more[12],
        "block_number": row[_BLOCK_AT],
        "backfill_before_batch_id": str(batch_id_of(more[14], before)) if before else None,
        "credits_count": count,
        "credits": [
            {"credit_id": part, "amount_kg": str(kg), "status": status}
            for part, kg, status in parts
        ],
    }
    document["retirement"] = None if more[15] is None else of_columns(more[15:])
    return encode(document)


def _page(context: Context, read: Read, parameters: CreditParameters) -> tuple[bytes, str | None]:
    after, limit = parameters.after_id(), parameters.limit
    bounds = (limit + 1,) if after is None else (after, limit + 1)
    rows = read(_PAGES[parameters.order, after is not None], bounds)
    head, final_block = head_of(context, read(f"SELECT {HEAD}", (context.settings.network,))[0])
    cursor = parameters.cursor_after(rows[limit - 1][0]) if len(rows) > limit else None
    items = _items(read, rows[:limit], final_block)
    return encode({**head, "next_cursor": cursor, "items": items}), cursor


def _items(read: Read, rows: Sequence[Sequence[Any]], final_block: int) -> list[_Item]:
    """Return items; what many of them share is read once: batches, sites, and what ended credits."""
    if not rows:
        return []
    numbers = {row[6] for row in rows}
    batches = {row[0]: row[1:] for row in read(_among(_BATCHES, len(numbers)), [*numbers])}
    places = {batch[0] for batch in batches.values()}
    sites: dict[int, str] = dict(read(_among(_SITES, len(places)), [*places]))
    ended: dict[int, str] = dict(read(_among(_RETIRED, len(rows)), [row[9] for row in rows]))
    cancelled = {(row[6], row[7]) for row in rows if row[4] == "cancelled"}
    changing = {
        batch_id
        for (batch_id,) in read(
            _NOT_FINAL, {"final": final_block, "first": min(numbers), "last": max(numbers)}
        )
    }
    found = []
    for row in rows:
        kg, batch_id = row[2], row[6]
        batch = batches[batch_id]
        status_tx = ended.get(row[9])
        if (batch_id, row[7]) in cancelled:
            status_tx = read(_CANCELLED, {"batch": batch_id, "first": row[7]})[0][0]
        site_id, vintage, status, key, block = batch
        found.append(
            _Item(
                row[0],
                row[1],
                f"{kg // 1000}.{kg % 1000:03d}",
                str(kg),
                row[3],
                row[4],
                row[5],
                sites.get(site_id),
                vintage,
                str(batch_id),
                status,
                str(row[7]),
                str(row[8]),
                key,
                None if row[9] is None else str(row[9]),
                row[10],
                status_tx or row[10],
                time_of(row[11]),
                time_of(row[12]),
                block <= final_block and batch_id not in changing,
            )
        )
    return found


@cache
def _among(sql: str, count: int) -> str:
    return sql.format(",".join("?" * count))


def _item(row: Sequence[Any], *, final: bool) -> dict[str, Any]:
    kg = row[2]  # the amount without its point: thousandths of a tonne
    return {
        "id": row[0],
        "credit_id": row[1],
        "amount": f"{kg // 1000}.{kg % 1000:03d}",
        "amount_kg": str(kg),
        "unit": row[3],
        "status": row[4],
        "issuer": row[5],
        "site": row[6],
        "vintage": row[7],
        "batch_id": str(row[8]),
        "batch_status": row[9],
        "first_serial": str(row[10]),
        "last_serial": str(row[11]),
        "key": row[12],
        "retirement_id": text_of(row[13]),
        "blockchain_tx": row[14],
        "status_tx": row[17] or row[14],
        "issued_at": time_of(row[15]),
        "expires_at": time_of(row[16]),
        "final": final,
    }


class _Item(msgspec.Struct, gc=False):
    """A credit of a page; the fields are those of ``schemas.Credit``, in its order."""

    id: int
    credit_id: str
    amount: str
    amount_kg: str
    unit: str
    status: str
    issuer: str
    site: str | None
    vintage: int
    batch_id: str
    batch_status: str
    first_serial: str
    last_serial: str
    key: str
    retirement_id: str | None
    blockchain_tx: str | None
    status_tx: str | None
    issued_at: str | None
    expires_at: str | None
    final: bool
