"""Trades from a CSV file into ``vpp_trading_records``.

Columns, by name in the first line: ``vpp, strategy, trade_type, quantity, price, total_value, market,
trade_time``. ``strategy`` may be empty. A row is refused, with line and column, when a name is not
known, a number has too many digits, the time carries no offset, or the total is not quantity x price
rounded half away from zero. The good rows are kept. A row that is already there is *unchanged*.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.errors import BadInput
from ledger.models import (
    VppDefinition,
    VppSettlementAccount,
    VppTradingRecord,
    VppTradingStrategy,
)
from ledger.models.trading import TradeStatus, TradeType
from ledger.units import (
    PRICE_SCALE,
    QUANTITY_SCALE,
    currency_of_cents,
    scaled_exact,
    trade_cents_half_away,
)

COLUMNS = (
    "vpp",
    "strategy",
    "trade_type",
    "quantity",
    "price",
    "total_value",
    "market",
    "trade_time",
)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)", re.ASCII)
_QUANTITY_MAX = 10**12  # DECIMAL(12,3), in 0.001
_PRICE_MAX = 10**10  # DECIMAL(10,4), in 0.0001
_YEAR_MIN, _YEAR_MAX = 1970, 2105
_TOTAL_MAX = 10**15  # DECIMAL(15,2), in cents


@dataclass(frozen=True)
class RowError:
    """What is wrong with one cell, and where."""

    line: int
    column: str
    message: str


@dataclass
class TradesReport:
    """What became of the rows of a trades file."""

    file_sha256: str
    read: int = 0
    new: int = 0
    unchanged: int = 0
    rejected: int = 0
    errors: list[RowError] = field(default_factory=list)


class _Reader(Protocol):
    """A reader of the ``csv`` module, whose type has no public name."""

    line_num: int

    def __iter__(self) -> Iterator[list[str]]: ...
    def __next__(self) -> list[str]: ...


class _Bad(Exception):
    def __init__(self, column: str, message: str) -> None:
        super().__init__(message)
        self.column = column
        self.message = message


@dataclass(frozen=True)
class _Names:
    """The ids that a trades file may refer to."""

    vpps: Mapping[str, int]
    strategies: Mapping[tuple[int, str], int]
    markets: frozenset[str]
    funded: frozenset[int]


def import_trades(session: Session, path: Path) -> TradesReport:
    """Read a trades file and store its good rows as pending trades.

    Raises
    ------
    BadInput
        If the file cannot be read, is empty, or lacks a column; nothing is stored then.
    """
    content, text = _text_of(path)
    report = TradesReport(file_sha256=hashlib.sha256(content).hexdigest())
    # Locked, and first: two imports of one file at once must not store its trades twice.
    session.scalars(select(VppSettlementAccount).with_for_update()).all()
    names = _names(session)
    known = _existing(session)
    for line, row, surplus in _rows(path, text):
        report.read += 1
        try:
            if surplus:
                raise _Bad(
                    "",
                    f"{surplus} more cells than the first line has columns; quote what holds a comma",
                )
            record = _record(row, names)
            identity = _identity(record)
            if _is_known(record, known.get(identity, [])):
                report.unchanged += 1
                continue
        except _Bad as bad:
            report.rejected += 1
            report.errors.append(RowError(line, bad.column, bad.message))
            continue
        known.setdefault(identity, []).append((record.quantity, record.price, record.status))
        session.add(record)
        report.new += 1
    session.flush()
    return report


def check_file(path: Path) -> None:
    """Read a trades file as a table, without a database.

    Raises
    ------
    BadInput
        If the file cannot be read, is empty, or lacks a column.
    """
    for _ in _rows(path, _text_of(path)[1]):
        pass


def _text_of(path: Path) -> tuple[bytes, str]:
    try:
        content = path.read_bytes()
        return content, content.decode("utf-8-sig")
    except OSError as error:
        raise BadInput(
            f"{path}: cannot be read ({error.strerror}); name an existing file"
        ) from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error


def _rows(path: Path, text: str) -> Iterator[tuple[int, dict[str, str], int]]:
    """Yield line number, cells by column, and how many cells there are too many."""
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        yield from _rows_of(path, reader)
    except csv.Error as error:
        raise BadInput(
            f"{path}: line {reader.line_num}: not a CSV file ({error})",
            details={"line": reader.line_num},
        ) from error


def _rows_of(path: Path, reader: _Reader) -> Iterator[tuple[int, dict[str, str], int]]:
    try:
        header = [name.strip() for name in next(reader)]
    except StopIteration:
        raise BadInput(
            f"{path}: empty; the first line must name the columns {', '.join(COLUMNS)}"
        ) from None
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise BadInput(
            f"{path}: line 1: column {missing[0]!r} is missing; the file has {', '.join(header)}",
            details={"line": 1, "column": missing[0]},
        )
    twice = [name for name in COLUMNS if header.count(name) > 1]
    if twice:
        raise BadInput(
            f"{path}: line 1: column {twice[0]!r} is there twice",
            details={"line": 1, "column": twice[0]},
        )
    for cells in reader:
        if cells:
            padded = cells + [""] * (len(header) - len(cells))
            surplus = max(len(cells) - len(header), 0)
            yield reader.line_num, dict(zip(header, padded, strict=False)), surplus


def _names(session: Session) -> _Names:
    accounts = session.scalars(select(VppSettlementAccount)).all()
    strategies = session.scalars(select(VppTradingStrategy)).all()
    return _Names(
        vpps={item.vpp_id: item.id for item in session.scalars(select(VppDefinition))},
        strategies={(item.vpp_id, item.strategy_name): item.id for item in strategies},
        markets=frozenset(item.market for item in accounts if item.market is not None),
        funded=frozenset(item.vpp_id for item in accounts if item.vpp_id is not None),
    )


_Identity = tuple[int, str, str, datetime]
_Stored = tuple[Decimal, Decimal, TradeStatus]


def _identity(record: VppTradingRecord) -> _Identity:
    """Return what makes two rows the same trade: who, where, which way, when."""
    return record.vpp_id, record.market, record.trade_type.value, record.trade_time


def _existing(session: Session) -> dict[_Identity, list[_Stored]]:
    columns = (
        VppTradingRecord.vpp_id,
        VppTradingRecord.market,
        VppTradingRecord.trade_type,
        VppTradingRecord.trade_time,
        VppTradingRecord.quantity,
        VppTradingRecord.price,
        VppTradingRecord.status,
    )
    found: dict[_Identity, list[_Stored]] = {}
    for vpp_id, market, trade_type, trade_time, quantity, price, status in session.execute(
        select(*columns)
    ):
        identity = vpp_id, market, trade_type.value, trade_time
        found.setdefault(identity, []).append((quantity, price, status))
    return found


def _is_known(record: VppTradingRecord, stored: Sequence[_Stored]) -> bool:
    """Return whether a trade was recorded before; one that was cancelled makes room for another."""
    figures = record.quantity, record.price
    if figures in [(quantity, price) for quantity, price, _ in stored]:
        return True
    for quantity, price, status in stored:
        if status is not TradeStatus.CANCELLED:
            raise _Bad(
                "quantity" if record.quantity != quantity else "price",
                f"this trade is already recorded with quantity {quantity} and price {price}; a trade is never "
                "edited: cancel it (truetonne trades cancel) and record another",
            )
    return False


def _record(row: Mapping[str, str], names: _Names) -> VppTradingRecord:
    cell = {name: row[name].strip() for name in COLUMNS}
    vpp_id = names.vpps.get(cell["vpp"])
    if vpp_id is None:
        raise _Bad("vpp", f"unknown VPP {cell['vpp']!r}; add it to the site file and apply that")
    if vpp_id not in names.funded:
        raise _Bad(
            "vpp", f"VPP {cell['vpp']!r} has no settlement account; give it one in the site file"
        )
    if cell["market"] not in names.markets:
        raise _Bad(
            "market", f"unknown market {cell['market']!r}; add it to the site file and apply that"
        )
    if cell["trade_type"] not in {item.value for item in TradeType}:
        raise _Bad("trade_type", f"{cell['trade_type']!r} is neither buy nor sell")
    quantity = _number(cell, "quantity", QUANTITY_SCALE, _QUANTITY_MAX)
    if quantity <= 0:
        raise _Bad(
            "quantity",
            f"{cell['quantity']!r} is not above zero; the direction stands in trade_type",
        )
    price = _number(cell, "price", PRICE_SCALE, _PRICE_MAX)
    total = _number(cell, "total_value", 100, _TOTAL_MAX)
    expected = trade_cents_half_away(quantity, price)
    if total != expected:
        raise _Bad(
            "total_value",
            f"{cell['total_value']} is not quantity x price = {currency_of_cents(expected)} "
            "(rounded half away from zero)",
        )
    return VppTradingRecord(
        vpp_id=vpp_id,
        strategy_id=_strategy(cell, vpp_id, names),
        trade_type=TradeType(cell["trade_type"]),
        quantity=Decimal(quantity) / QUANTITY_SCALE,
        price=Decimal(price) / PRICE_SCALE,
        total_value=currency_of_cents(total),
        market=cell["market"],
        status=TradeStatus.PENDING,
        trade_time=_time(cell["trade_time"]),
        settlement_time=None,
    )


def _strategy(cell: Mapping[str, str], vpp_id: int, names: _Names) -> int | None:
    if not cell["strategy"]:
        return None
    found = names.strategies.get((vpp_id, cell["strategy"]))
    if found is None:
        raise _Bad("strategy", f"VPP {cell['vpp']!r} has no strategy {cell['strategy']!r}")
    return found


def _number(cell: Mapping[str, str], column: str, scale: int, limit: int) -> int:
    text = cell[column]
    if not _NUMBER.fullmatch(text):
        raise _Bad(column, f"{text[:40]!r} is not a number; write digits and a point")
    try:
        value = scaled_exact(Decimal(text), scale)
    except ValueError as error:
        raise _Bad(column, str(error)) from None
    if abs(value) >= limit:
        raise _Bad(column, f"{text} does not fit the column")
    return value


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _Bad("trade_time", f"{text!r} is not an ISO 8601 time") from None
    if moment.tzinfo is None:
        raise _Bad("trade_time", f"{text!r} has no offset; write for example {text}+01:00")
    if not _YEAR_MIN <= moment.year <= _YEAR_MAX:
        raise _Bad("trade_time", f"{text!r} is not between the years {_YEAR_MIN} and {_YEAR_MAX}")
    return moment.astimezone(UTC)


def as_json(report: TradesReport) -> dict[str, Any]:
    """Return the report as ``--json`` prints it."""
    return {
        "file_sha256": report.file_sha256,
        "read": report.read,
        "new": report.new,
        "unchanged": report.unchanged,
        "rejected": report.rejected,
        "errors": [vars(error) for error in report.errors],
    }
