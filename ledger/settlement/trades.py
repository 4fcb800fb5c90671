"""Trades from a CSV file into ``vpp_trading_records``.

Columns, by name in the first line: ``vpp, strategy, trade_type, quantity, price, total_value, market,
trade_time``, and ``credit`` where credits are traded. ``strategy`` and ``credit`` may be empty. A row is
refused, with line and column, when a name is not known, a number has too many digits, the time carries no
offset, the total is not quantity x price rounded half away from zero, or the same trade stands in an earlier
line. The good rows are kept. A row that is already in the books is *unchanged*.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger import audit
from ledger.errors import BadInput
from ledger.files import GZIP, not_utf8
from ledger.models import VppSettlementAccount, VppTradeCredit, VppTradingRecord
from ledger.models.trading import TradeStatus
from ledger.readings.files.marks import check_text
from ledger.settlement.trade_rows import COLUMNS, CREDIT_COLUMN, asset_of, names_of, record_of
from ledger.spreadsheets import RowError, Wrong, commas_hint, csv_rows, wrong_count

IMPORTED = "trades.import"
"""What the audit log calls a file that brought trades."""
FUTURE = timedelta(days=366)
"""A trade of a time that lies further ahead is said to be odd."""
SPELLINGS = {"vpp_id": "vpp", "strategy_id": "strategy"}
"""Columns by their names in the table. What stands in them is the same: a code and a name.

Not those of our answers, whose trades of credits have what is traded in a column that no file has.
"""
_TIMES_PER_QUERY = 500
"""Times of one plant that one query asks for."""


@dataclass
class TradesReport:
    """What became of the rows of a trades file."""

    file_sha256: str
    read: int = 0
    new: int = 0
    unchanged: int = 0
    rejected: int = 0
    future: list[int] = field(default_factory=list)
    """Lines of new trades whose time lies more than ``FUTURE`` ahead: kept, and perhaps wrong."""
    cancelled: list[int] = field(default_factory=list)
    """Lines of unchanged trades that are cancelled: they stay so, and the file brings none of them back."""
    errors: list[RowError] = field(default_factory=list)


class _Row(NamedTuple):
    """A row of a file as a trade of the books, with the line that it begins in; asset None: energy."""

    line: int
    record: VppTradingRecord
    asset: int | None


def import_trades(
    session: Session, path: Path, now: datetime | None = None, content: bytes | None = None
) -> TradesReport:
    """Read a trades file and store its good rows as pending trades.

    Parameters
    ----------
    now
        The present moment, if not the clock's: trades of a time more than ``FUTURE`` later are counted.
    content
        What stands in the file, if it was read already.

    Raises
    ------
    BadInput
        If the file cannot be read, is empty, or lacks a column; nothing is stored then.
    """
    content, text = _text_of(path, content)
    horizon = (now or datetime.now(UTC)) + FUTURE
    report = TradesReport(file_sha256=hashlib.sha256(content).hexdigest())
    # Locked, and first: two imports of one file at once must not store its trades twice.
    session.scalars(select(VppSettlementAccount).with_for_update()).all()
    new = _new_among(session, _read(session, path, text, report), report)
    report.future = [row.line for row in new if row.record.trade_time > horizon]
    report.new = len(new)
    report.errors.sort(key=lambda error: error.line)
    session.add_all(row.record for row in new)
    session.flush()
    session.add_all(
        VppTradeCredit(trade_id=row.record.id, asset=row.asset)
        for row in new
        if row.asset is not None
    )
    session.flush()
    if new:
        said = {"file": path.name, "sha256": report.file_sha256}
        counts = {"new": report.new, "rejected": report.rejected}
        audit.record(session, IMPORTED, VppTradingRecord.__tablename__, {}, said | counts)
    return report


def _read(session: Session, path: Path, text: str, report: TradesReport) -> list[_Row]:
    """Return the rows of a file that are trades, each by itself; report the others."""
    names = names_of(session)
    rows = []
    for line, row, surplus, said in _rows(path, text):
        report.read += 1
        try:
            if surplus:
                raise Wrong("", wrong_count(surplus))
            rows.append(_Row(line, record_of(row, names), asset_of(row, names)))
        except Wrong as bad:
            _reject(report, line, Wrong(said.get(bad.column, bad.column), bad.message))
    return rows


def _new_among(session: Session, rows: Sequence[_Row], report: TradesReport) -> list[_Row]:
    """Return the trades that the books do not have; report those that they have, and those that contradict another."""
    known = _existing(session, [row.record for row in rows])
    seen: dict[tuple[object, ...], int] = {}
    new = []
    for row in rows:
        record, identity = row.record, _identity(row.record, row.asset)
        there = known.setdefault(identity, [])
        try:
            earlier = seen.setdefault((*identity, record.quantity, record.price), row.line)
            if earlier != row.line:
                raise Wrong(
                    "",
                    f"the same trade stands in line {earlier}; another one has another time",
                )
            is_known = _is_known(record, there)
        except Wrong as bad:
            _reject(report, row.line, bad)
            continue
        if not is_known:
            there.append((record.quantity, record.price, record.status))
            new.append(row)
            continue
        report.unchanged += 1
        if _is_cancelled(record, there):
            report.cancelled.append(row.line)
    return new


def _reject(report: TradesReport, line: int, bad: Wrong) -> None:
    report.rejected += 1
    report.errors.append(RowError(line, bad.column, bad.message))


def check_file(path: Path) -> bytes:
    """Read a trades file as a table, without a database, and return its bytes: a pipe can be read once only.

    Raises
    ------
    BadInput
        If the file cannot be read, is empty, or lacks a column.
    """
    content, text = _text_of(path)
    for _ in _rows(path, text):
        pass
    return content


def _text_of(path: Path, content: bytes | None = None) -> tuple[bytes, str]:
    try:
        content = path.read_bytes() if content is None else content
    except OSError as error:
        raise BadInput(
            f"{path}: cannot be read ({error.strerror}); name an existing file"
        ) from error
    if content.startswith(GZIP):
        raise BadInput(f"{path}: the file is gzipped; unpack it")
    check_text(path, content[:512])
    try:
        return content, content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise not_utf8(path, error, ", which spreadsheets call CSV UTF-8") from error


def _rows(path: Path, text: str) -> Iterator[tuple[int, dict[str, str], int, Mapping[str, str]]]:
    """Yield the line that a row begins in, cells by column, and how many cells there are too many (below zero: few).

    With it, how the file spells those columns that it spells otherwise.
    """
    rows = csv_rows(path, text, COLUMNS)
    _, header = next(rows)
    said: dict[str, str] = {}
    for name, ours in SPELLINGS.items():
        if name in header and ours not in header:
            header = [ours if each == name else each for each in header]
            said[ours] = name
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise BadInput(
            f"{path}: line 1: column {missing[0]!r} is missing; the file has {', '.join(header)[:400]}"
            f"{commas_hint(header)}",
            details={"line": 1, "column": missing[0]},
        )
    twice = [name for name in (*COLUMNS, CREDIT_COLUMN) if header.count(name) > 1]
    if twice:
        raise BadInput(
            f"{path}: line 1: column {twice[0]!r} is there twice",
            details={"line": 1, "column": twice[0]},
        )
    for line, cells in rows:
        yield line, dict(zip(header, cells, strict=False)), len(cells) - len(header), said


_Identity = tuple[int, str, str, datetime, int | None]
_Stored = tuple[Decimal, Decimal, TradeStatus]


def _identity(record: VppTradingRecord, asset: int | None) -> _Identity:
    """Return what makes two rows the same trade: who, where, which way, when, of what."""
    return record.vpp_id, record.market, record.trade_type.value, record.trade_time, asset


def _existing(
    session: Session, records: Iterable[VppTradingRecord]
) -> dict[_Identity, list[_Stored]]:
    """Return what is stored of the plants and times of some trades; all that was ever stored is more each day."""
    times: dict[int, set[datetime]] = defaultdict(set)
    for record in records:
        times[record.vpp_id].add(record.trade_time)
    found: dict[_Identity, list[_Stored]] = {}
    for vpp_id, those in times.items():
        ordered = sorted(those)
        for start in range(0, len(ordered), _TIMES_PER_QUERY):
            _add_stored(session, vpp_id, ordered[start : start + _TIMES_PER_QUERY], found)
    return found


def _add_stored(
    session: Session,
    vpp_id: int,
    times: Sequence[datetime],
    found: dict[_Identity, list[_Stored]],
) -> None:
    columns = (
        VppTradingRecord.market,
        VppTradingRecord.trade_type,
        VppTradingRecord.trade_time,
        VppTradeCredit.asset,
        VppTradingRecord.quantity,
        VppTradingRecord.price,
        VppTradingRecord.status,
    )
    query = (
        select(*columns)
        .outerjoin(VppTradeCredit, VppTradeCredit.trade_id == VppTradingRecord.id)
        .where(VppTradingRecord.vpp_id == vpp_id, VppTradingRecord.trade_time.in_(times))
        .order_by(VppTradingRecord.id)
    )
    for market, side, trade_time, asset, quantity, price, status in session.execute(query):
        identity = vpp_id, market, side.value, trade_time, asset
        found.setdefault(identity, []).append((quantity, price, status))


def _is_known(record: VppTradingRecord, stored: Sequence[_Stored]) -> bool:
    """Return whether a trade was recorded before; one that was cancelled makes room for another.

    Raises
    ------
    Wrong
        If it was recorded with other figures, and stands.
    """
    figures = record.quantity, record.price
    if figures in [(quantity, price) for quantity, price, _ in stored]:
        return True
    for quantity, price, status in stored:
        if status is not TradeStatus.CANCELLED:
            way = (
                "what is executed stays: what makes up for it is another trade, with another time"
                if status is TradeStatus.EXECUTED
                else "a trade is never edited: cancel it (truetonne trades cancel) and record another; or, if this "
                "line is a trade beside it, give it another time"
            )
            raise Wrong(
                "quantity" if record.quantity != quantity else "price",
                f"this trade is already recorded with quantity {quantity} and price {price}; {way}",
            )
    return False


def _is_cancelled(record: VppTradingRecord, stored: Sequence[_Stored]) -> bool:
    """Return whether a trade that is known was taken out."""
    figures = record.quantity, record.price
    same = [status for quantity, price, status in stored if (quantity, price) == figures]
    return set(same) == {TradeStatus.CANCELLED}


def as_json(report: TradesReport) -> dict[str, Any]:
    """Return the report as ``--json`` prints it."""
    return {
        "file_sha256": report.file_sha256,
        "read": report.read,
        "new": report.new,
        "unchanged": report.unchanged,
        "rejected": report.rejected,
        "future": len(report.future),
        "cancelled": len(report.cancelled),
        "errors": [vars(error) for error in report.errors],
    }
