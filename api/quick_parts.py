"""What quick answers are made of: read without the ORM (``ledger.db.quick``), and written as JSON here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from api.context import Context

HEAD = (
    "k.block_number, k.final_number, n.compared_at, n.block_number, n.ok "
    "FROM (SELECT ? AS network) w "
    "LEFT JOIN chain_cursor k ON k.network = w.network "
    "LEFT JOIN reconciliations n ON n.network = k.network "
)
"""The end of a statement: how far the mirror has come, by the network's name; tables may be joined after it."""
encode = msgspec.json.Encoder().encode


def head_of(context: Context, found: Sequence[Any]) -> tuple[dict[str, Any], int]:
    """Return what every answer says of itself, and the last final block (-1: none)."""
    block, final_block, at, compared, ok = found
    reconciliation: Mapping[str, Any] | None = None
    if at is not None:
        reconciliation = {"at": time_of(at), "block": compared, "ok": bool(ok)}
    head = {
        "as_of_block": block,
        "finality": {"rule": context.settings.finality, "final_block": final_block},
        "reconciliation": reconciliation,
    }
    return head, -1 if final_block is None else final_block


def text_of(value: int | None) -> str | None:
    """Return a number as answers have it."""
    return None if value is None else str(value)


def time_of(text: str | None) -> str | None:
    """Return a stored time, ``2024-01-01 00:00:00.000000``, as answers have it."""
    if text is None:
        return None
    part = text[19:]
    return f"{text[:10]}T{text[11:19]}{'' if part == '.000000' else part}Z"


def of_seconds(seconds: int) -> str:
    """Return a time, by its second since 1970, as answers have it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19] + "Z"
