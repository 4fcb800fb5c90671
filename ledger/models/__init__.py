"""The tables: one module per section of the customer's design, in its order, then ours.

Importing this package registers every table with ``Base.metadata``.
"""

from ledger.models import (
    advanced,
    blockchain,
    devices,
    energy,
    evidence,
    mirror,
    settlement,
    system,
    trading,
    users,
    vpp,
)
from ledger.models.base import Base

SECTIONS = (
    ("1. Users", (users,)),
    ("2. Devices", (devices,)),
    ("3. Virtual power plants", (vpp, trading)),
    ("4. Advanced trading", (advanced,)),
    ("5. Energy", (energy,)),
    ("6. Blockchain", (blockchain,)),
    ("7. System", (system,)),
    ("8. Completing the 41: settlement, markets, dispatch, training", (settlement,)),
    ("9. Evidence: from meters to issued credits", (evidence,)),
    ("10. Mirror: what goes to a chain and what comes back", (mirror,)),
)
"""Sections of ``docs/schema.md`` and the modules whose tables stand in each."""

__all__ = ["SECTIONS", "Base"]
