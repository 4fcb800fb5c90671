"""Meter files to readings: sources, quality, import, and the period that a reduction is made of."""

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
