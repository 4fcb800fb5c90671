"""Corrections of issued periods: what was learnt late, its effect in kilograms, and how it is paid.

An issuance is never edited. Readings that came after it, or a lower revision of its factor, are judged in
by computing its manifest again; the effect is recorded as a row that stays. A positive effect claims
nothing. Of a negative one, what was issued too much is cancelled on chain in equal number, rounded up, or
carried as a deficit into the project's next issuance, whose manifest names it.

The effects of an issuance add up: each is what the recomputation gives, less what was known before. So
neither a late reading nor a revision counts twice, in whatever order and by whomever they are found.

``finding`` computes issued periods again, ``found`` is what that came to, and ``cancelling`` pays it; ``forgotten``
is what the chain has paid and restored books do not know.
"""

from ledger.corrections.cancelling import submit_planned
from ledger.corrections.finding import correct
from ledger.corrections.found import Found, Outcome, corrections_of, debts_of, overpaid_of

__all__ = [
    "Found",
    "Outcome",
    "correct",
    "corrections_of",
    "debts_of",
    "overpaid_of",
    "submit_planned",
]
