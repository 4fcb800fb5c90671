"""Meter files to readings: sources, quality, import, and the period that a reduction is made of.

- ``files``: how a file becomes readings. ``imports``: what it does to the books, and what is judged anew.
- ``rows``: readings in the books, and how the arithmetic gets them.
- ``periods``: a period as the arithmetic wants it, and as two files from which anybody computes it again.
- ``shown``: what became of every slot.
- ``energy`` and ``inventory`` fill the customer's tables.

Which of them may import which is checked: see the layers in ``pyproject.toml``.
"""

from ledger.readings.files.opening import check_file
from ledger.readings.imports.importing import import_file
from ledger.readings.imports.report import ImportReport
from ledger.readings.periods.period import load_period, reductions_for, split_by_vintage

__all__ = [
    "ImportReport",
    "check_file",
    "import_file",
    "load_period",
    "reductions_for",
    "split_by_vintage",
]
