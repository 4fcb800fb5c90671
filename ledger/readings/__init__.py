"""Meter files to readings: sources, quality, import, and the period that a reduction is made of.

- **A file.** ``files`` opens it, ``lines``, ``csvtable``, ``jsonlines`` and ``tables`` make rows of it,
  ``marks`` and ``formats`` say how it is written, ``timeformats``, ``times``, ``clocks`` and ``writing`` what a
  time or number in it means.
- **An import.** ``importing`` is its unit of work; ``sources`` gives readings, ``series`` what a meter's are
  of; ``fresh`` and ``days`` take whole days, ``ahead`` of need, and ``store`` what meets stored rows;
  ``registers``, ``chains`` and ``counters`` keep cumulative registers; ``flatlines`` and ``issued`` judge what
  came, ``copies`` whether it came for another device before; ``report`` says what became of it.
- **A period**, as the arithmetic wants it: ``period`` of ``metered`` meters, with ``stored`` readings
  (``asking``), ``certificates``, ``factor_rows`` and what is ``carry``; ``evidence_files`` is the same as two
  files, ``recomputing`` the same with what came late.
- **What is shown.** ``slots`` and ``coverage`` say what became of each slot, ``selection`` of which meters and
  days; ``views``, ``exclusions`` and ``lookup`` print it; ``energy`` and ``inventory`` fill the customer's
  tables.
- **Judged anew**, after something has changed: ``requalify``, ``refreshing``.
"""

from ledger.readings.importing import check_file, import_file
from ledger.readings.period import load_period, reductions_for, split_by_vintage
from ledger.readings.report import ImportReport

__all__ = [
    "ImportReport",
    "check_file",
    "import_file",
    "load_period",
    "reductions_for",
    "split_by_vintage",
]
