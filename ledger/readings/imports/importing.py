"""One meter file into the database: one unit of work, so that nothing is ever half-written.

Good rows are kept and bad ones are reported with line and column; a file that cannot be read as
its source says is refused whole.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from fractions import Fraction
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ledger import audit
from ledger.clock import moment_after, second_text
from ledger.db import Database
from ledger.db.behind import quick_switches
from ledger.files import name_in_books, require_unchanged
from ledger.models import Base, Device, ImportFile, Issuance, Meter, MeterSource, Project, Site
from ledger.models.sites import SourceKind, SourceLabel
from ledger.naming import site_named, source_named
from ledger.readings.energy import refresh
from ledger.readings.files.clocks import Notes
from ledger.readings.files.formats import Format
from ledger.readings.files.opening import opened, sha256_of
from ledger.readings.files.sources import RawReading, RowError, Source, read_rows
from ledger.readings.imports.ahead import ahead
from ledger.readings.imports.copies import copies_of
from ledger.readings.imports.days import DayWriter
from ledger.readings.imports.doubts import Groups, label_doubt
from ledger.readings.imports.flatlines import mark_stuck
from ledger.readings.imports.report import ImportReport, Rejections
from ledger.readings.imports.series import Series
from ledger.readings.periods.issued import issued_periods
from ledger.readings.rows.registers import RegisterWriter
from ledger.readings.rows.store import MeterState, Tally, lock_meters
from ledger.reductions.numbers import kind_of
from ledger.reductions.quality import limits_of
from ledger.reductions.records import Kind, Role
from ledger.reductions.zones import utc_of, zone
from ledger.units import DAY_S

IMPORTED = "readings.import"
"""What the audit log calls a meter file that brought readings."""
PIECE_ROWS = 25_000
ALLOCATIONS = 200_000
"""Objects that are made before Python looks for cyclic garbage among them."""

_FUTURE_S = DAY_S
"""How much later than now a reading may end before it is noted: clocks and zones differ."""

_VALUES = Base.metadata.tables["device_data"]
"""Held from the start: a file without new rows writes none of it, and what is done ``after`` may read it."""

_start = itemgetter(RawReading._fields.index("start_s"))
_duration = itemgetter(RawReading._fields.index("duration_s"))

Span = tuple[datetime, datetime]
After = Callable[[Session, Mapping[int, Span]], dict[str, int]]
"""Called in the unit of work, when all is stored, with the first and last time of each device's rows in the file;
returns counts for the report."""
Progress = Callable[[int, int | None], None]
"""Called with the rows done so far, and their number in all where it is known."""


class _File(NamedTuple):
    """A meter file, and the second from which on its readings lie in the future."""

    path: Path
    digest: str
    future_s: int


def import_file(
    db: Database,
    site_code: str,
    source_name: str,
    path: Path,
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
    now: datetime | None = None,
    after: After | None = None,
) -> ImportReport:
    """Import a meter file.

    Parameters
    ----------
    db
        The database.
    site_code, source_name
        As the site file names them.
    path
        As its source says, plain or gzipped.
    dry_run
        Do all of it and keep nothing.
    progress
        Called after every piece of the file.
    now
        The time that it is, aware; None: by the clock of this machine. Rows that end more than a day
        later are kept and counted as of the future.
    after
        What else is done in the same unit of work, such as alerts.

    Returns
    -------
    ImportReport
        With the rows that were rejected, if any; for them nothing is raised.

    Raises
    ------
    NotFound
        There is no such site or source.
    BadInput
        The file as a whole cannot be used; nothing was imported.
    """
    path = Path(path)
    digest, state = sha256_of(path)
    future_s = int((now or datetime.now(UTC)).timestamp()) + _FUTURE_S

    def work(session: Session) -> ImportReport:
        file = _File(path, digest, future_s)
        report, spans = _import(db, session, site_code, source_name, file, progress)
        require_unchanged(path, state)  # the digest is of what was imported
        if after is not None:
            report.alerts = after(session, spans)
        return report

    with _tuned():
        return db.run(work, keep=not dry_run, holding=(_VALUES,))


@contextmanager
def _tuned() -> Iterator[None]:
    """Set Python for an import, and back.

    Rows make no cyclic garbage, and each search for it walks over all of them.
    """
    usual = gc.get_threshold()
    gc.set_threshold(ALLOCATIONS, *usual[1:])
    try:
        with quick_switches():
            yield
    finally:
        gc.set_threshold(*usual)


def audited(row: ImportFile) -> dict[str, str | int]:
    """Return what the audit log says of an import that brought readings."""
    return {
        "file": row.file_name,
        "sha256": row.file_sha256,
        "read": row.rows_read,
        "new": row.rows_new,
        "unchanged": row.rows_unchanged,
        "conflicts": row.rows_conflict,
        "rejected": row.rows_rejected,
    }


def _import(
    db: Database,
    session: Session,
    site_code: str,
    source_name: str,
    file: _File,
    progress: Progress | None,
) -> tuple[ImportReport, dict[int, Span]]:
    """Read a file piece by piece, store its rows, and judge what they change; return the times of each device, too."""
    lock_meters(session, site_code)
    site, row = _site_and_source(session, site_code, source_name)
    source = source_of(row)
    meters = _meters(session, site, source)
    log = _begin_log(session, row, file.path, file.digest)
    where = zone(site.time_zone)
    report, tally, notes = ImportReport(file.digest), Tally(), Notes()
    rejected = Rejections(report)
    spans: dict[int, Span] = {}
    with opened(file.path, source.file_format) as table, db.behind(session) as later:
        writer: RegisterWriter | DayWriter
        if source.counter:
            writer = RegisterWriter(db, session, source, log.id)
        else:
            writer = DayWriter(db, later, site, source, log.id)
        series = Series(later, source, row.id)
        groups = Groups(source)
        pieces = _pieces(read_rows(table, source, where, meters, notes))
        if db.dialect != "sqlite":  # SQLite works in this process: nothing waits
            pieces = ahead(pieces)
        for piece in pieces:
            for code, readings in _by_meter(piece, rejected).items():
                series.require(meters[code].id, code, f"{file.path.name}: line {readings[0].line}")
                writer.write(meters[code], readings, tally)
                groups.look(code, readings)
                _extend(spans, meters[code].device_id, readings)
                report.future += _ending_after(file.future_s, readings)
            report.read += len(piece)
            if progress is not None:
                progress(report.read, None)
        for meter in meters.values():
            writer.finish(meter, tally)
    rejected.finish()
    for meter in meters.values():
        if not source.counter:  # equal differences of a register are no flat line
            report.stuck += mark_stuck(db, session, meter, where)
        refresh(db, session, site, meter)
        report.left_out += len(meter.left_out)
    _count(report, tally, notes, log)
    report.contradictions = list(_contradictions(session, tally, log, where))
    report.hints += [*groups.doubts(), *label_doubt(source, spans.values(), where)]
    report.hints += copies_of(session, file.digest, source)
    session.flush()
    if log.rows_new or log.rows_conflict:
        audit.record(session, IMPORTED, f"{ImportFile.__tablename__}/{log.id}", {}, audited(log))
    return report, spans


def _extend(spans: dict[int, Span], device_id: int, rows: Sequence[RawReading]) -> None:
    """Note the first and the last time of a device's rows."""
    starts = list(map(_start, rows))
    first, last = (datetime.fromtimestamp(found, UTC) for found in (min(starts), max(starts)))
    known = spans.get(device_id, (first, last))
    spans[device_id] = min(first, known[0]), max(last, known[1])


def _by_meter(
    piece: Iterable[RawReading | RowError], rejected: Rejections
) -> dict[str, list[RawReading]]:
    """Return the good rows of a piece by device, and note the bad ones."""
    by_meter: dict[str, list[RawReading]] = {}
    for item in piece:
        if isinstance(item, RowError):
            rejected.add(item)
        elif item.device in by_meter:
            by_meter[item.device].append(item)
        else:
            by_meter[item.device] = [item]
    return by_meter


def _ending_after(moment_s: int, rows: Sequence[RawReading]) -> int:
    """Return how many rows end after a moment."""
    if max(map(_start, rows)) + max(map(_duration, rows)) <= moment_s:
        return 0
    return sum(row.start_s + row.duration_s > moment_s for row in rows)


def source_of(row: MeterSource) -> Source:
    """Return a stored source as the reader wants it."""
    return Source(
        name=row.name,
        kind=kind_of(row.kind.value, row.unit),
        unit=row.unit,
        interval_minutes=row.interval_minutes,
        label_is_end=row.label is SourceLabel.END,
        device_code=row.device_code,
        device_column=row.device_column,
        time_column=row.time_column,
        value_column=row.value_column,
        time_zone=row.time_zone,
        file_format=Format.of(row.format_options),
        counter=row.kind is SourceKind.COUNTER,
    )


def _site_and_source(
    session: Session, site_code: str, source_name: str
) -> tuple[Site, MeterSource]:
    site = site_named(session, site_code)
    return site, source_named(session, site, source_name)


def _meters(session: Session, site: Site, source: Source) -> dict[str, MeterState]:
    """Return the site's meters by device code."""
    query = (
        select(Meter, Device)
        .join(Device, Device.id == Meter.device_id)
        .where(Meter.site_id == site.id)
        .order_by(Meter.id)
    )
    meters = {}
    for meter, device in session.execute(query).all():
        if source.device_code is not None and device.device_id != source.device_code:
            continue
        meters[device.device_id] = meter_state(
            session, meter, device, source.kind, source.interval_s
        )
    return meters


def meter_state(
    session: Session, meter: Meter, device: Device, kind: Kind, interval_s: int
) -> MeterState:
    """Return what an import must know of a meter."""
    rated = None if meter.rated_kw is None else Fraction(meter.rated_kw)
    role = Role(meter.role.value)
    return MeterState(
        id=meter.id,
        device_id=device.id,
        device_code=device.device_id,
        role=role,
        limits=limits_of(role, rated, kind, interval_s),
        stuck_hours=meter.stuck_hours or 0,
        issued=issued_periods(session, meter.id, meter.project_id),
    )


def _begin_log(session: Session, source: MeterSource, path: Path, digest: str) -> ImportFile:
    """Store the row of a file that is imported, its counts still zero: its readings refer to it."""
    planned = (
        select(func.max(Issuance.created_at))
        .join(Project, Project.id == Issuance.project_id)
        .where(Project.site_id == source.site_id)
    )
    log = ImportFile(
        source_id=source.id,
        file_name=name_in_books(path)[:255],
        file_sha256=digest,
        rows_read=0,
        rows_new=0,
        rows_unchanged=0,
        rows_conflict=0,
        rows_rejected=0,
        imported_at=moment_after(session.scalar(planned)),  # an issuance that was void goes by it
    )
    session.add(log)
    session.flush()
    return log


def _contradictions(
    session: Session, tally: Tally, log: ImportFile, where: ZoneInfo
) -> Iterator[dict[str, Any]]:
    """Yield the rows that contradict another, as the report has them; ``imported_at`` is None for this very file."""
    found = tally.contradictions
    numbers = {each.file_id for each in found} - {None}
    query = select(ImportFile).where(ImportFile.id.in_(numbers))
    files = {row.id: row for row in session.scalars(query)} if numbers else {}
    for each in found:
        file = log if each.file_id is None else files[each.file_id]
        yield {
            "line": each.row.line,
            "device": each.row.device,
            "at": utc_of(each.row.start_s).astimezone(where).isoformat(),
            "text": each.row.text,
            "other": {
                "text": each.text,
                "file": file.file_name,
                "line": each.line,
                "imported_at": None if file is log else second_text(file.imported_at),
            },
        }


def _pieces(rows: Iterable[RawReading | RowError]) -> Iterator[list[RawReading | RowError]]:
    source = iter(rows)
    while piece := list(islice(source, PIECE_ROWS)):
        yield piece


def _count(report: ImportReport, tally: Tally, notes: Notes, log: ImportFile) -> None:
    """Take over into the report, and the counts into the log, what was found while the rows were read and stored."""
    report.new, report.unchanged, report.conflicts = tally.new, tally.unchanged, tally.conflicts
    report.without_value = tally.without_value
    report.stuck += tally.stuck
    report.late, report.missing, report.outliers = tally.late, tally.missing, tally.outliers
    report.intervals = tally.intervals
    report.clock_change, report.clock_jumps = notes.clock_change, notes.clock_jumps
    report.clock_jumps_count = notes.jumps
    report.moved, report.hints = notes.moved, notes.hints()
    report.passed_over = notes.passed_over
    # Else these are corrections of some rows, and others lie between them.
    if tally.new >= tally.unchanged + tally.conflicts:
        report.spacing = notes.spacing()
        report.hints += [] if report.spacing else notes.sparse()
    log.rows_read, log.rows_new, log.rows_unchanged = report.read, report.new, report.unchanged
    log.rows_conflict, log.rows_rejected = report.conflicts, report.rejected
