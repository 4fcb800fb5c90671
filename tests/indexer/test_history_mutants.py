"""The histories find errors: each of these mirrors is broken in one part, and they notice every one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from indexer.reorg import REWINDS
from tests.support.forms import few, is_long, long, rest
from tests.support.history_acting import ModelDiffers
from tests.support.mutants import MUTANTS, NOT_HERE, STEPS, without_rewind
from tests.support.plans import Plan, Step
from tests.support.proxy import ENDLESS
from tests.support.rewinds import BeforeRewind, before_rewind
from tests.support.scenario import run
from tests.support.stages import Stage, stage

BEGIN: tuple[Step, ...] = (
    ("act", "issue", 60, 0, 0),
    ("act", "deposit", 60, 0, 0),
    ("act", "deposit", 60, 0, 1),
    ("act", "bring_credits", 5, 0, 0),
    ("act", "propose", 6, 0, 1),
    ("mirror",),
)
EVERYTHING: tuple[Step, ...] = (
    ("act", "share", 50, 0, 0),
    ("act", "issue", 40, 0, 0),
    ("act", "retire", 3, 0, 0),
    ("act", "cancel", 2, 0, 0),
    ("act", "transfer", 4, 0, 0),
    ("act", "withdraw", 55, 0, 2),  # refused
    ("act", "settle_one", 2, 0, 0),
    ("act", "propose", 5, 0, 0),
    ("act", "dispute", 1, 0, 0),
    ("act", "invalidate", 1, 0, 0),
    ("act", "replace", 1, 0, 0),
    ("act", "replace", 5, 0, 0),
    ("act", "overlap", 9, 0, 0),
    ("act", "grant", 1, 0, 0),
    ("act", "register", 1, 0, 0),
    ("look",),
)
GONE: Step = ("reorganise", 22, ())
"""All of it is taken back, and nothing of what was before comes again."""
HERE = [name for name in MUTANTS if name != "the cursor moves first"]
SOME = HERE[::3]
FAULTS = {
    "receipts are believed": "an event of settlement hidden",
    "headers are believed": "settlement hidden, in headers, too",
    "receipts and the sealed log are believed": "an entry of the credit log hidden",
}


def _plans(name: str) -> list[Plan]:
    if name in FAULTS:
        # A lie that nothing contradicts is told to the end: half of it would be noticed by any mirror.
        step: Step = ("fault", FAULTS[name], ENDLESS)
        return [Plan(seed, (*BEGIN, step), faults=(FAULTS[name],)) for seed in range(3)]
    if name == "the cursor has no guard":
        during = [("during", number, ("second",)) for number in range(1, 12)]
        return [Plan(0, (*BEGIN, *during))]
    if name == "the cursor moves first":
        acts = [("act", "deposit", 3, 0, 0), ("kill", 6, 0.02), ("start",)]
        return [Plan(1, (*BEGIN, *acts * 20), processes=True)]  # the first hit ends it
    return [Plan(1, (*BEGIN, *EVERYTHING, GONE, ("look",)))]


def _notices(on: Stage, plans: list[Plan]) -> bool:
    for each in plans:
        try:
            run(on, each)
        except ModelDiffers:
            raise
        except Exception:  # a mirror that breaks down is noticed as well
            return True
    return False


@long
def test_the_same_histories_find_nothing_in_the_mirror_as_it_is(process_stage: Stage) -> None:
    plans = {plan.steps: plan for name in (MUTANTS if is_long() else SOME) for plan in _plans(name)}
    for plan in plans.values():
        run(process_stage, plan)


@few(1)
@pytest.mark.parametrize("name", rest(HERE, *SOME))
def test_mutant(history_stage: Stage, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    MUTANTS[name](monkeypatch.setattr)
    assert _notices(history_stage, _plans(name))


def test_mutant_that_is_killed_between_cursor_and_rows(process_stage: Stage) -> None:
    name = "the cursor moves first"
    assert process_stage.nursery is not None
    process_stage.nursery.mutant = name
    try:
        assert _notices(process_stage, _plans(name))
    finally:
        process_stage.nursery.mutant = None


@pytest.fixture(scope="module")
def taken_back(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BeforeRewind]:
    # On a stage of its own: it is not left as it was before the last of these tests.
    with (
        stage(sqlite_template, tmp_path_factory.mktemp("taken-back")) as on,
        before_rewind(on, (*BEGIN, *EVERYTHING), GONE) as found,
    ):
        yield found


def test_a_whole_rewind_leaves_nothing(taken_back: BeforeRewind) -> None:
    assert not taken_back.differs()


@few(1)
@pytest.mark.parametrize("name", rest(STEPS, *list(STEPS)[::3]))
def test_step_of_a_rewind_left_out(
    taken_back: BeforeRewind, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    without_rewind(STEPS[name])(monkeypatch.setattr)
    assert taken_back.differs()


@long
def test_few_steps_of_a_rewind_are_left_to_other_tests() -> None:
    assert len(REWINDS) - len(STEPS) == len(NOT_HERE)
