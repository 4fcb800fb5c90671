"""The methodologies that this ledger computes: one small module for each version.

A new one is a module with a ``METHODOLOGY`` and a line in ``KNOWN``; a changed equation is a new
version, never an edit of one that credits were issued under.
"""

from ledger.errors import Refused
from ledger.reductions.methodologies import ccer_01_001, ccer_01_002, internal_grid_renewable_1
from ledger.reductions.methodologies.base import Emissions, Methodology, Sums

__all__ = ["DEFAULT", "KNOWN", "Emissions", "Methodology", "Sums", "find", "known", "unknown"]

KNOWN: dict[tuple[str, str], Methodology] = {
    (module.METHODOLOGY.id, module.METHODOLOGY.version): module.METHODOLOGY
    for module in (ccer_01_001, ccer_01_002, internal_grid_renewable_1)
}
"""By id and version."""

DEFAULT = internal_grid_renewable_1.METHODOLOGY
"""Whose equations are used to look at a period that will not be issued."""


def known(methodology: str, version: str) -> Methodology | None:
    """Return a methodology, or None."""
    return KNOWN.get((methodology, version))


def unknown(methodology: str, version: str) -> str:
    """Return the line that says that a methodology is not known, and which are."""
    names = ", ".join(item.name for item in KNOWN.values())
    return (
        f"methodology {methodology} {version} is not known here, and nothing is credited under it "
        f"until it is; known are {names}"
    )


def find(methodology: str, version: str) -> Methodology:
    """Return a methodology.

    Raises
    ------
    Refused
        It is not known.
    """
    found = known(methodology, version)
    if found is None:
        raise Refused(
            unknown(methodology, version),
            code="unknown-methodology",
            details={"methodology": methodology, "version": version},
        )
    return found
