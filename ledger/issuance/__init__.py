"""Reductions to credits: plan, submit, confirm one issuance for each vintage of a period.

Planning computes the reductions, claims every slot of every meter of the period, has the claim signed
by the verifier, and stores all of it with the intent in one commit. A slot is claimed once, for ever:
the primary key of ``reading_claims`` refuses it in the books, the site's time and the evidence root
refuse it on chain. Only the mirror makes an issuance *issued*.

``planning`` plans what the ``checks`` let through; ``states`` are what becomes of it.
"""

from ledger.issuance.planning import PlannedIssuance, begun, plan_issuance
from ledger.issuance.states import confirm, fail, rewind, settle_final, submit_planned

__all__ = [
    "PlannedIssuance",
    "begun",
    "confirm",
    "fail",
    "plan_issuance",
    "rewind",
    "settle_final",
    "submit_planned",
]
