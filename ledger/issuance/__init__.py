"""Reductions to credits: plan, submit, confirm one issuance for each vintage of a period.

Planning computes the reductions, claims every slot of every meter of the period, has the claim signed
by the verifier, and stores all of it with the intent in one commit. A slot is claimed once, for ever:
the primary key of ``reading_claims`` refuses it in the books, the site's time and the evidence root
refuse it on chain. Only what the mirror has read makes an issuance *issued*.

``planning`` plans what the ``checks`` let through, signed as ``signing`` says; ``forgotten`` is for batches on chain
that the books do not know; ``states`` are what becomes of an issuance, and ``taking_up`` is for one that was void and
comes to be on chain all the same. For a verifier elsewhere
``verification`` writes and takes in ``verification_files``, and ``verifying`` is its part.
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
    """Import what plans when it is asked for: the mirror follows issuances, and reads no meter."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module("ledger.issuance.planning"), name)
    return found
