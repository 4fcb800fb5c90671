"""Reductions to credits: plan, submit, confirm one issuance for each vintage of a period.

Planning computes the reductions, claims every slot of every meter of the period, has the claim signed
by the verifier, and stores all of it with the intent in one commit. A slot is claimed once, for ever: in the
books the primary key of ``reading_claims`` refuses it a second time, on chain the site's time and the evidence
root do. An issuance becomes *issued* only by what the mirror has read.

- **Plan.** ``planning`` does it. ``checks`` say which periods may be issued, ``signing`` who signs the claim.
  ``forgotten`` is for batches on chain that the books do not know.
- **Submit and confirm.** ``states`` sends what is planned, and says what becomes of it. ``taking_up`` is for one
  that was void, and comes to be on chain all the same.
- **A verifier elsewhere.** ``verification`` writes and takes in the ``verification_files``; ``verifying`` is what the
  verifier runs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ledger.issuance.states import fail, rewind, settle_final, submit_planned

if TYPE_CHECKING:
    from ledger.issuance.planning import PlannedIssuance, begun, plan_issuance

__all__ = [
    "PlannedIssuance",
    "begun",
    "fail",
    "plan_issuance",
    "rewind",
    "settle_final",
    "submit_planned",
]


def __getattr__(name: str) -> Any:
    """Import ``planning`` only when it is asked for: the mirror uses this room, and needs none of what reads meters."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module("ledger.issuance.planning"), name)
    return found
