"""One history for each thing that may go wrong between node and mirror: it waits, or stops with a reason.

The fault first strikes a few times, then for as long as it is not mended, while the chain goes on. At every
look the mirror holds what the chain, or the fork that it was shown, holds up to the block where it stands:
nothing is skipped, and nothing is there that was nowhere. Afterwards it is what a fresh one is. A fault
that did not strike fails the history.
"""

import pytest

from tests.support.faults import FORKED, HARMLESS, KINDS, MAY_GO_ON
from tests.support.plans import Plan, Step
from tests.support.proxy import ENDLESS
from tests.support.scenario import run
from tests.support.stages import Stage

BEGIN: tuple[Step, ...] = (
    ("act", "issue", 40, 0, 0),
    ("act", "deposit", 50, 0, 1),
    ("act", "bring_credits", 9, 0, 0),
    ("act", "withdraw", 60, 0, 2),  # more than there is: refused
    ("mirror",),
    ("act", "retire", 3, 0, 0),
    ("act", "propose", 4, 0, 1),
    ("look",),
)
FORK: tuple[Step, ...] = (
    ("reorganise", 2, (("retire", 5, 0, 0, 0), ("cosign", 7, 0, 1, 1))),
    ("look",),
)
MORE: tuple[Step, ...] = (
    ("look",),
    ("act", "cancel", 2, 0, 0),
    ("act", "settle_one", 3, 0, 0),
    ("look",),
    ("reorganise", 3, (("transfer", 4, 0, 0, 1),)),
    ("look",),
    ("look",),
)


@pytest.mark.parametrize("name", KINDS)
def test_fault(history_stage: Stage, name: str) -> None:
    before = FORK if name in FORKED else ()
    passing: tuple[Step, ...] = (("fault", name, 2), ("honest",), ("mirror",))
    strikes = 5 if name == "429 with Retry-After" else ENDLESS  # each of them takes its second
    lasting: tuple[Step, ...] = (("fault", name, strikes), *MORE, ("honest",))
    steps = (*BEGIN, *before, *passing, *lasting)
    outcome = run(history_stage, Plan(list(KINDS).index(name), steps, faults=(name,)))
    assert outcome.strikes[name] > 2
    stopped = [each for each in outcome.counts if each.startswith("waited or stopped")]
    if name in HARMLESS:
        assert not stopped
    elif name not in MAY_GO_ON:
        assert stopped, "it went on as if nothing were the matter"
