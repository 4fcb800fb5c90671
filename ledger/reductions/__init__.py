"""Pure arithmetic from readings and factors to kilograms, the evidence tree, and the manifest."""

from ledger.reductions import methodologies
from ledger.reductions.arithmetic import compute
from ledger.reductions.records import (
    Calibration,
    CalibrationSpan,
    Factor,
    Kind,
    Meter,
    Purpose,
    Quality,
    ReductionInputs,
    Role,
)
from ledger.reductions.reporting import report
from ledger.reductions.results import Counts, Reduction
from ledger.reductions.runs import Reading

__all__ = [
    "Calibration",
    "CalibrationSpan",
    "Counts",
    "Factor",
    "Kind",
    "Meter",
    "Purpose",
    "Quality",
    "Reading",
    "Reduction",
    "ReductionInputs",
    "Role",
    "compute",
    "methodologies",
    "report",
]
