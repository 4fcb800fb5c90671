"""What an import says became of the rows of its file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ledger.readings.files.sources import RowError

ERRORS_MAX = 1_000
"""Errors that a report names; the rest is counted."""
_ALWAYS = ("file_sha256", "read", "new", "unchanged", "conflicts", "rejected", "errors")


@dataclass
class ImportReport:
    """What became of every row: ``read = new + unchanged + conflicts + rejected``."""

    file_sha256: str
    read: int = 0
    new: int = 0
    """Rows stored that contradict nothing."""
    unchanged: int = 0
    """Rows that were stored before, or stand in the file twice."""
    conflicts: int = 0
    """Rows stored that contradict another value of their time."""
    rejected: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)
    """Of the rejected rows: line, column and message, at most ``ERRORS_MAX``."""
    without_value: int = 0
    """Of the unchanged rows: those whose value the stored ones do not have, as it was withdrawn, or declared to be none
    when it came first."""
    contradictions: list[dict[str, Any]] = field(default_factory=list)
    """The first ``CONTRADICTIONS_MAX`` of them: ``line``, ``device``, ``at`` (in the zone of the site), ``text``, and
    the ``other`` value that is there: its ``text``, ``file`` and ``line``, and when that file was imported."""
    late: int = 0
    """Of the stored rows: those whose period was issued before."""
    outliers: int = 0
    """Of the stored rows: those beyond what the device can do."""
    stuck: int = 0
    """Readings that this import put into a flat line, those of earlier files too."""
    missing: int = 0
    """Of the stored rows: those without a value."""
    left_out: int = 0
    """Hours and days whose sum is too large for the tables that are for looking at."""
    intervals: int = 0
    """Of a cumulative register: intervals that are new or changed."""
    moved: int = 0
    """Of the rows read: those whose time lay beside the grid and was taken to it, as declared."""
    passed_over: int = 0
    """Rows of other channels than the source takes; they are not among those read."""
    future: int = 0
    """Of the good rows: those that end more than a day after the time of the import."""
    clock_change: int = 0
    """Of the rows read: those of a doubled hour that their order put before or after the change."""
    clock_jumps: list[dict[str, Any]] = field(default_factory=list)
    """Places where the time of a device goes back, or forward by more than a day: the first hundred."""
    clock_jumps_count: int = 0
    spacing: dict[str, Any] | None = None
    """Where rows are much farther apart than intervals: the first such device, ``minutes`` between its
    rows, ``interval_minutes``, and the number of such ``devices``."""
    alerts: dict[str, int] = field(default_factory=dict)
    """Alerts about devices that the values raised, resolved or took back."""
    hints: list[str] = field(default_factory=list)
    """What may be wrong with the source, where its rows as a whole say so."""

    def as_json(self) -> dict[str, Any]:
        """Return what the ``import`` command prints, as the fields are in order; of notes those that there are."""
        return {name: found for name, found in vars(self).items() if found or name in _ALWAYS}


class Rejections:
    """Rejected rows, written into a report as they come."""

    def __init__(self, report: ImportReport) -> None:
        self._report = report
        self._alike: dict[tuple[str, str], _Alike] = {}

    def add(self, error: RowError) -> None:
        """Count a rejected row, and name it where there is room; those that one remedy mends are one error."""
        report, alike = self._report, (error.column, error.message)
        report.rejected += 1
        if error.remedy and alike in self._alike:
            self._alike[alike].count += 1
            return
        entry = None
        if len(report.errors) < ERRORS_MAX:
            entry = {"line": error.line, "column": error.column, "message": error.message}
            report.errors.append(entry)
        if error.remedy and len(self._alike) < ERRORS_MAX:
            self._alike[alike] = _Alike(error, entry)

    def finish(self) -> None:
        """Put the errors in order, with the number of rows of each that stands for several."""
        for found in self._alike.values():
            found.finish()
        # Rows of a doubled hour are decided later than those that follow them.
        self._report.errors.sort(key=lambda error: error["line"])


class _Alike:
    """Rows of a device that the site does not have, or of one other unit: one error for all of them."""

    def __init__(self, error: RowError, entry: dict[str, Any] | None) -> None:
        self._error = error
        self._entry = entry
        self.count = 1

    def finish(self) -> None:
        """Write the number of rows, and what mends them, into the message."""
        if self._entry is not None:
            rows = f" ({self.count} rows)" if self.count > 1 else ""
            self._entry["message"] = f"{self._error.message}{rows}; {self._error.remedy}"
