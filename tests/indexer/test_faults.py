"""Each thing that may go wrong between node and mirror: it waits, or stops with a reason.

Half a dozen share a history. Each first strikes a few times, then for as long as it is not mended, while the
chain goes on. At every look the mirror holds what the chain, or the fork that it was shown, holds up to the
block where it stands: nothing is skipped, and nothing is there that was nowhere. When the fault is mended the
mirror reaches the head; afterwards it is what a fresh one is. A fault that did not strike fails the history.
"""

import pytest

from tests.support.faults import FORKED, HARMLESS, KINDS, MAY_GO_ON
from tests.support.forms import few, long
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
    ("act", "cancel", 2, 0, 0),
    ("act", "settle_one", 3, 0, 0),
    ("look",),
    ("reorganise", 3, (("transfer", 4, 0, 0, 1),)),
    ("look",),
)
IMPATIENT = "time-out"
"""Has a history of its own: its client is one that does not wait long."""
SHARED = [name for name in KINDS if name != IMPATIENT]
GROUPS = [(IMPATIENT,), *(tuple(SHARED[start : start + 6]) for start in range(0, len(SHARED), 6))]
WAITS = "429 with Retry-After"
"""Each of its strikes takes its second."""


def _steps(name: str) -> tuple[Step, ...]:
    passing, lasting = (1, 2) if name == WAITS else (2, ENDLESS)
    return (
        *(FORK if name in FORKED else ()),
        *(("fault", name, passing), ("honest",), ("mirror",)),
        *(("fault", name, lasting), *MORE, ("honest",), ("mirror",)),
    )


@few(2)
@pytest.mark.parametrize(
    "names",
    [
        group if number < 1 else pytest.param(group, marks=long)
        for number, group in enumerate(GROUPS)
    ],
    ids=lambda names: f"from {names[0]}",
)
def test_faults(history_stage: Stage, names: tuple[str, ...]) -> None:
    steps = (*BEGIN, *(step for name in names for step in _steps(name)))
    outcome = run(history_stage, Plan(GROUPS.index(names), steps, faults=names))
    for name in names:
        assert outcome.strikes[name] > 2, name
        if name in HARMLESS:
            assert not outcome.troubled[name]
        elif name not in MAY_GO_ON:
            assert outcome.troubled[name], f"{name}: it went on as if nothing were the matter"
