"""All kinds of records, those that others refer to first."""

from __future__ import annotations

from ledger.errors import NotFound
from ledger.park.catalogue import devices, learning, plants, trading
from ledger.park.kinds import Kind

KINDS: dict[str, Kind] = {
    kind.name: kind for kind in (*devices.KINDS, *plants.KINDS, *trading.KINDS, *learning.KINDS)
}


def kind_named(name: str) -> Kind:
    """Return a kind of record.

    Raises
    ------
    NotFound
        If there is none of that name.
    """
    found = KINDS.get(name)
    if found is None:
        raise NotFound(f"there is no kind of record {name!r}; there are {', '.join(KINDS)}")
    return found
