"""Pure arithmetic from readings and factors to kilograms, the evidence tree, and the manifest.

- **The arithmetic.** ``arithmetic`` takes ``records`` and gives ``results``, by the equations of ``methodologies``.
  ``energies`` adds up the readings of a meter, ``factors`` are what that is multiplied with, ``certificates`` take off
  what is sold elsewhere; ``reporting`` shows the outcome.
- **Readings.** ``numbers`` reads one, ``runs`` holds many; ``zones`` and ``grids`` say when intervals begin,
  ``quality`` and ``flatlines`` what a reading is worth; ``registers`` makes intervals of cumulative ones.
- **Evidence.** ``evidence`` is the tree; ``manifest`` makes the manifest, ``manifest_shapes`` and
  ``manifest_file`` read it back; ``readings_file`` are its readings, ``digests`` find a changed one.
- **Computed again** from the two files: ``recompute``, with ``judging``, ``meter_judge`` and ``hints`` of where
  a difference lies; ``serial_numbers`` says which are one meter's.
"""

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
