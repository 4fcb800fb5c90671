"""One credit, and a page of credits, in a few statements past the mapper: the answers that are asked for most.

What is answered here is, byte for byte, what ``queries`` would answer, and a test holds the one against the
other. Whatever is out of the ordinary (another name than the credit's own, a filter, an earlier block,
MariaDB) is left to ``queries``: ``None`` says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from api.context import Context
from api.credits.schemas import CreditParameters
from api.pagination import Order, link_header
from ledger.db.quick import Read
from ledger.errors import BadInput
from ledger.naming import PARTS_MAX

_HEAD = (
    "k.block_number, k.final_number, n.compared_at, n.block_number, n.ok "
    "FROM (SELECT ? AS network) w "
    "LEFT JOIN chain_cursor k ON k.network = w.network "
    "LEFT JOIN reconciliations n ON n.network = k.network "
)
_CHANGED = ("credit_retirements", "credit_cancellations", "credit_invalidations")
"""Journals of what changes which credits there are."""
_LAST = ", ".join(
    f"(SELECT MAX(block_number) FROM {table} x WHERE x.batch_id = s.batch_id)" for table in _CHANGED
)
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
    f"b.block_number, {_LAST}"
)
_JOINED = (
    "JOIN credit_serials s ON s.credit_id = c.credit_id "
    "JOIN credit_batches b ON b.batch_id = s.batch_id "
    "LEFT JOIN credit_sites t ON t.site_id = b.site_id "
)
_LAST_AT = 18
"""Where the blocks stand among the columns of an item: of the issuance, and of the last change in each journal."""
_MORE_AT = _LAST_AT + 1 + len(_CHANGED)
_ONE = (
    f"SELECT {_ITEM}, b.issued_kg, b.retired_kg, b.cancelled_kg, b.buffered_kg, b.deficit_kg, "
    "b.period_start_s, b.period_end_s, b.recipient, b.verifier, b.evidence_root, b.evidence_total_kg, "
    "b.manifest_hash, b.methodology_hash, r.key, r.holder, r.replaced_batch_id, r.beneficiary, "
    f"r.reason, r.country, r.tx_hash, r.block_number, r.retired_at, {_HEAD}"
    f"JOIN carbon_credits c ON c.credit_id = ? {_JOINED}"
    "LEFT JOIN credit_retirements r ON r.retirement_id = s.retirement_id"
)
_PAGES = {
    (order, begun): f"SELECT {_ITEM} FROM carbon_credits c {_JOINED}"
    + (f"WHERE c.id {sign} ? " if begun else "")
    + f"ORDER BY c.id {order.value} LIMIT ?"
    for order, sign in ((Order.DESC, "<"), (Order.ASC, ">"))
    for begun in (False, True)
}
_PARTS = (
    "SELECT c.credit_id, c.amount, c.status FROM credit_serials s "
    "JOIN carbon_credits c ON c.credit_id = s.credit_id "
    f"WHERE s.batch_id = ? ORDER BY s.first_serial LIMIT {PARTS_MAX}"
)
_encode = msgspec.json.Encoder().encode


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
    if quick is None or parameters.filters():
        return None
    return quick.try_read(lambda read: _page(context, read, parameters))


def _credit(context: Context, read: Read, name: str) -> bytes | None:
    found = read(_ONE, (context.settings.network, name))
    if len(found) != 1:
        return None
    row = found[0]
    head, final_block = _head(context, row[-5:])
    more = row[_MORE_AT:-5]
    document = {**head, **_item(row, final_block)}
    document["batch"] = {
        "issued_kg": str(more[0]),
        "retired_kg": str(more[1]),
        "cancelled_kg": str(more[2]),
        "buffered_kg": str(more[3]),
        "deficit_kg": _text(more[4]),
        "period_start": _of_seconds(more[5]),
        "period_end": _of_seconds(more[6]),
        "recipient": more[7],
        "verifier": more[8],
        "evidence_root": more[9],
        "evidence_total_kg": more[10],
        "manifest_hash": more[11],
        "methodology_hash": more[12],
        "block_number": row[_LAST_AT],
        "credits": [
            {"credit_id": part, "amount_kg": str(kg), "status": status}
            for part, kg, status in read(_PARTS, (row[8],))
        ],
    }
    document["retirement"] = None
    if more[13] is not None:
        document["retirement"] = {
            "key": more[13],
            "holder": more[14],
            "replaced_batch_id": _text(more[15]),
            "beneficiary": more[16],
            "reason": more[17],
            "country": more[18],
            "tx_hash": more[19],
            "block_number": more[20],
            "retired_at": _time(more[21]),
        }
    return _encode(document)


def _page(context: Context, read: Read, parameters: CreditParameters) -> tuple[bytes, str | None]:
    after, limit = parameters.after_id(), parameters.limit
    bounds = (limit + 1,) if after is None else (after, limit + 1)
    rows = read(_PAGES[parameters.order, after is not None], bounds)
    head, final_block = _head(context, read(f"SELECT {_HEAD}", (context.settings.network,))[0])
    cursor = parameters.cursor_after(rows[limit - 1][0]) if len(rows) > limit else None
    items = [_item(row, final_block) for row in rows[:limit]]
    return _encode({**head, "next_cursor": cursor, "items": items}), cursor


def _head(context: Context, found: Sequence[Any]) -> tuple[dict[str, Any], int]:
    """Return what every answer says of itself, and the last final block (-1: none)."""
    block, final_block, at, compared, ok = found
    reconciliation: Mapping[str, Any] | None = None
    if at is not None:
        reconciliation = {"at": _time(at), "block": compared, "ok": bool(ok)}
    head = {
        "as_of_block": block,
        "finality": {"rule": context.settings.finality, "final_block": final_block},
        "reconciliation": reconciliation,
    }
    return head, -1 if final_block is None else final_block


def _item(row: Sequence[Any], final_block: int) -> dict[str, Any]:
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
        "retirement_id": _text(row[13]),
        "blockchain_tx": row[14],
        "status_tx": row[17] or row[14],
        "issued_at": _time(row[15]),
        "expires_at": _time(row[16]),
        "final": max(filter(None, row[_LAST_AT:_MORE_AT])) <= final_block,
    }


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)


def _time(text: str | None) -> str | None:
    """Return a stored time, ``2024-01-01 00:00:00.000000``, as answers have it."""
    if text is None:
        return None
    part = text[19:]
    return f"{text[:10]}T{text[11:19]}{'' if part == '.000000' else part}Z"


def _of_seconds(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19] + "Z"


class Lane:
    """The layer that answers about one credit, and a page of all, before any route is looked for.

    Finding the route and reading its parameters would cost as much as the answer. Everything else, every
    other name and every parameter that is not as it should be goes on to the application.
    """

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self._app = app
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the application answer."""
        if scope["type"] == "http" and scope["method"] == "GET":
            answer = self._answer(scope["path"], scope["query_string"])
            if answer is not None:
                body, more = answer
                headers = [
                    (b"content-length", b"%d" % len(body)),
                    (b"content-type", b"application/json"),
                    *more,
                ]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                await send({"type": "http.response.body", "body": body})
                return
        await self._app(scope, receive, send)

    def _answer(self, path: str, query: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]] | None:
        if path.startswith(_ONE_CREDIT):
            body = None if query else credit(self._context, path[len(_ONE_CREDIT) :])
            return None if body is None else (body, [])
        if path != _ALL_CREDITS:
            return None
        try:
            pairs = parse_qsl(
                query.decode("ascii"), keep_blank_values=True, strict_parsing=bool(query)
            )
            parameters = CreditParameters.model_validate(dict(pairs))
            found = page(self._context, parameters) if len({*dict(pairs)}) == len(pairs) else None
        except (ValueError, BadInput):
            return None
        if found is None:
            return None
        link = link_header(_ALL_CREDITS, parameters, found[1])
        return found[0], [(b"link", link.encode("latin-1"))]


_ALL_CREDITS = "/v1/credits"
_ONE_CREDIT = "/v1/credits/"
