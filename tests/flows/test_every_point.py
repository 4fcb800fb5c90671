"""``kill -9`` of the mirror and of the jobs at chosen points, not at some instant: the next run does the rest, once.

With ``EVERY_POINT=1`` at each of them: minutes for a scene.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from ledger.db import Database
from tests.support import points
from tests.support.copied import back_up
from tests.support.dying import COMMIT
from tests.support.forms import long, rest, times
from tests.support.nursery import shared
from tests.support.points import KILLED, World, chosen, walked_park

SHORT_ON_MARIADB = ("test_jobs_are_killed_at_every_point",)

Scene = Callable[[World], Sequence[str]]
INDEXED = (
    points.a_reorganisation,
    points.a_mirror_that_begins,
    points.a_range,
    points.a_new_block,
    points.a_deep_reorganisation,
    points.a_reindex,
)
JOBS = (
    points.settles,
    points.settles_while_nothing_is_mined,
    points.settles_cosigned,
    points.finalises,
    points.issues,
    points.sends_an_issuance,
    points.sends_what_was_dropped,
    points.sends_with_another_nonce,
    points.sends_dearer,
    points.sends_what_was_taken_back,
    points.expires,
)
TAKEN_BACK = (points.withdraws, points.restores, points.misses)


@pytest.fixture
def world(request: pytest.FixtureRequest, db: Database, tmp_path: Path) -> Iterator[World]:
    mirrored = request.node.callspec.params["scene"] is not points.a_mirror_that_begins
    url = db.url.render_as_string(hide_password=False)
    with walked_park(db, tmp_path, url, mirrored=mirrored) as made:
        yield made


def killed(
    world: World,
    words: Sequence[str],
    at: int,
    *,
    ahead: bool = False,
    usual: Sequence[int] = (0, 1),
) -> str:
    """Kill a command at a point, every third time the next run as well; let it go through then.

    Return where it was killed.
    """
    assert world.run(words, at, ahead=ahead) in (KILLED, *usual), world.said
    where = world.points[-1]
    if at % 3 == 0:
        assert world.run(words, at // 2, ahead=ahead) in (KILLED, *usual), (where, world.said)
    return where


@long
@pytest.mark.parametrize(
    ("scene", "ahead"),
    rest(
        [
            *((scene, False) for scene in INDEXED),
            (points.a_range, True),  # by a process that reads ahead, range after range
            (points.a_reorganisation, True),
        ]
    ),
)
def test_the_mirror_is_killed_at_every_point(world: World, scene: Scene, ahead: bool) -> None:
    """Rows of all tables are those of a run that nobody killed, and `index verify` finds nothing."""
    words = scene(world)
    begin = world.walk()
    assert world.run(words, ahead=ahead) == 0, world.said
    passed, expected = world.points, points.everything(world.park.db)
    tried = chosen(passed, times(3, 24))
    for at in tried:
        begin()
        where = killed(world, words, at, ahead=ahead)
        assert world.run(words, ahead=ahead) == 0, (where, world.said)
        found = points.everything(world.park.db)
        assert points.differing(found, expected) == [], (at, where)
    print(f"{scene.__name__} {world.park.db.dialect}: {len(tried)} of {len(passed)}")
    assert world.run(("index", "verify")) == 0, world.said
    assert world.park.differences() == []


@long
@pytest.mark.parametrize("scene", [points.a_range])
def test_a_cursor_that_moves_first_is_noticed(world: World, scene: Scene) -> None:
    """By a mirror that is broken so: killed between its two commits, it skips a range."""
    words = scene(world)
    begin = world.walk()
    nursery = shared()
    nursery.mutant = "the cursor moves first"
    try:
        assert world.run(words) == 0, world.said
        passed, expected = world.points, points.everything(world.park.db)
        noticed = []
        for at in [number for number, name in enumerate(passed) if COMMIT in name]:
            begin()
            assert world.run(words, at) == KILLED, world.said
            assert world.run(words) == 0, world.said
            if points.differing(points.everything(world.park.db), expected):
                noticed.append(passed[at])
    finally:
        nursery.mutant = None
    assert f"after {COMMIT}" in noticed


@pytest.mark.parametrize("scene", rest(JOBS))
def test_jobs_are_killed_at_every_point(world: World, scene: Scene) -> None:
    """What they come to is done once, in books and on chain: no transaction more, no kilogram, no cent."""
    words = scene(world)
    begin = world.walk()
    begin()
    usual, passed, expected = points.undisturbed(world, words)
    tried = chosen(passed, times(3, 24))
    for at in tried:
        begin()
        where = killed(world, words, at)
        assert world.run(words) in (0, usual), (where, world.said)
        points.come_to_an_end(world.park)
        assert points.differing(points.outcome(world.park), expected) == [], (at, where)
    print(f"{scene.__name__} {world.park.db.dialect}: {len(tried)} of {len(passed)}")
    assert world.run(("index", "verify")) == 0, world.said
    assert world.park.differences() == []


@pytest.mark.parametrize("scene", rest(TAKEN_BACK))
def test_what_is_taken_back_is_so_as_a_whole_or_not_at_all(world: World, scene: Scene) -> None:
    """Once more after the kill, it is as if nobody had killed it; where nothing was left to do, that is said."""
    words = scene(world)
    restore, begun = back_up(world.park.db, world.park.folder), points.taken_back(world.park.db)
    assert world.run(words) == 0, world.said
    passed, expected = world.points, points.taken_back(world.park.db)
    assert points.differing(begun, expected) != []
    assert world.park.differences() == []
    tried = chosen(passed, times(3, 24))
    for at in tried:
        restore()
        where = killed(world, words, at, usual=(0, 2))
        between = points.taken_back(world.park.db)
        assert between in (begun, expected), (where, points.differing(between, expected))
        said = world.run(words)
        assert said == 0 or (said == 2 and between == expected), (where, world.said)
        found = points.taken_back(world.park.db)
        assert points.differing(found, expected) == [], (at, where)
    print(f"{scene.__name__} {world.park.db.dialect}: {len(tried)} of {len(passed)}")
    assert world.park.differences() == []
