"""Brings one meter file into the database, in one unit of work: nothing is ever half-written.

Good rows are stored, each with its quality; bad ones are reported with line and column. A file that
cannot be read as its source says is refused whole. ``import_file`` is the door, ``_Import`` the steps.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
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
from ledger.db.behind import Behind, quick_switches
from ledger.files import name_in_books, require_unchanged
from ledger.models import Base, ImportFile, Issuance, MeterSource, Project
from ledger.naming import site_named, source_named
from ledger.readings.energy import refresh
from ledger.readings.files.clocks import Notes
from ledger.readings.files.opening import opened, sha256_of
from ledger.readings.files.sources import RawReading, RowError, read_rows
from ledger.readings.imports.ahead import ahead
from ledger.readings.imports.copies import copies_of
from ledger.readings.imports.days import DayWriter
from ledger.readings.imports.declared import meters_of, source_of
from ledger.readings.imports.doubts import Groups, label_doubt
from ledger.readings.imports.flatlines import mark_stuck
from ledger.readings.imports.report import ImportReport, Rejections
from ledger.readings.imports.series import Series
from ledger.readings.rows.meter_state import lock_meters
from ledger.readings.rows.registers import RegisterWriter
from ledger.readings.rows.store import Tally
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
"""Held from the start (``Database.read``): a file without new rows writes none of it, but ``after`` may read it."""

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
        As its source says, plain or gzipped, or a workbook.
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
        one = _Import(db, session, site_code, source_name, file)
        one.store(progress)
        one.judge()
        one.tell()
        require_unchanged(path, state)  # the digest is of what was imported
        if after is not None:
            one.report.alerts = after(session, one.spans)
        return one.report

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


class _Import:
    """One file on its way into the books: ``store``, then ``judge``, then ``tell``, in one unit of work.

    The meters of the site are locked until its end, so no other import changes them meanwhile.
    """

    def __init__(
        self, db: Database, session: Session, site_code: str, source_name: str, file: _File
    ) -> None:
        lock_meters(session, site_code)
        self._db, self._session, self._file = db, session, file
        self._site = site_named(session, site_code)
        self._row = source_named(session, self._site, source_name)
        self._source = source_of(self._row)
        self._zone = zone(self._site.time_zone)
        self._meters = meters_of(session, self._site, self._source)
        self._log = _begin_log(session, self._row, file.path, file.digest)
        self._tally, self._notes, self._groups = Tally(), Notes(), Groups(self._source)
        self.report = ImportReport(file.digest)
        self.spans: dict[int, Span] = {}

    def store(self, progress: Progress | None) -> None:
        """Read the file piece by piece, and store the good rows; the report names the bad ones."""
        path, source, report, tally = self._file.path, self._source, self.report, self._tally
        rejected = Rejections(report)
        with opened(path, source.file_format) as table, self._db.behind(self._session) as later:
            writer = self._writer(later)
            series = Series(later, source, self._row.id)
            pieces = _pieces(read_rows(table, source, self._zone, self._meters, self._notes))
            if self._db.dialect != "sqlite":  # SQLite works in this process: nothing waits
                pieces = ahead(pieces)
            for piece in pieces:
                for code, readings in _by_meter(piece, rejected).items():
                    meter = self._meters[code]
                    series.require(meter, f"{path.name}: line {readings[0].line}")
                    writer.write(meter, readings, tally)
                    self._groups.look(code, readings)
                    _extend(self.spans, meter.device_id, readings)
                    report.future += _ending_after(self._file.future_s, readings)
                report.read += len(piece)
                if progress is not None:
                    progress(report.read, None)
            for meter in self._meters.values():
                writer.finish(meter, tally)
        rejected.finish()

    def _writer(self, later: Behind) -> RegisterWriter | DayWriter:
        if self._source.counter:
            return RegisterWriter(self._db, self._session, self._source, self._log.id)
        return DayWriter(self._db, later, self._site, self._source, self._log.id)

    def judge(self) -> None:
        """Find flat lines, and add up anew the hours and days in which something changed."""
        for meter in self._meters.values():
            if not self._source.counter:  # equal differences of a register are no flat line
                self.report.stuck += mark_stuck(self._db, self._session, meter, self._zone)
            refresh(self._db, self._session, self._site, meter)
            self.report.left_out += len(meter.left_out)

    def tell(self) -> None:
        """Finish the report, the row of the file, and the entry of the audit log."""
        session, log, report = self._session, self._log, self.report
        _count(report, self._tally, self._notes, log)
        report.contradictions = list(_contradictions(session, self._tally, log, self._zone))
        report.hints += self._groups.doubts()
        report.hints += label_doubt(self._source, self.spans.values(), self._zone)
        report.hints += copies_of(session, self._file.digest, self._source)
        session.flush()
        if log.rows_new or log.rows_conflict:
            resource = f"{ImportFile.__tablename__}/{log.id}"
            audit.record(session, IMPORTED, resource, {}, audited(log))


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
