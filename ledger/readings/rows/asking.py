"""How the rows of several meters are asked for."""

from __future__ import annotations

from collections.abc import Sequence


def asked_together(meter_ids: Sequence[int], *, lock: bool) -> list[list[int]]:
    """Return the meters that one statement asks for: all of them, but one by one when rows are locked.

    For a list of meters a server may go through a small table whole, and then locks the rows of every meter.
    """
    return [[meter_id] for meter_id in meter_ids] if lock else [list(meter_ids)]
