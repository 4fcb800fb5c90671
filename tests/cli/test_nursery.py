"""The process that the tests fork commands from: several users at once, and its end."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import gettempdir

import pytest

from tests.support.forms import long
from tests.support.nursery import Child, Nursery
from tests.support.waiting import until


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[Callable[[Nursery, str], Child]]:
    """What starts a command that waits for a pipe into which nobody writes, and returns when it does."""
    with ExitStack() as opened:

        def start(user: Nursery, name: str) -> Child:
            pipe = tmp_path / name
            os.mkfifo(pipe)
            child = user.start(["audit", "verify", str(pipe)], {}, tmp_path / f"{name}.log")

            def is_read() -> bool:
                assert child.alive(), child.said()
                try:
                    end = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
                except OSError:  # nobody has opened it
                    return False
                opened.callback(os.close, end)
                return True

            until(is_read)
            return child

        yield start


def test_what_was_forked_for_a_user_ends_with_it_and_others_goes_on(
    endless: Callable[[Nursery, str], Child],
) -> None:
    with Nursery() as other:
        goes_on = endless(other, "other")
        with Nursery() as one:
            ends = endless(one, "one")
        with pytest.raises(ProcessLookupError):
            os.kill(ends.pid, 0)
        assert goes_on.alive(), goes_on.said()
        assert _parent(goes_on.pid) != os.getpid()


@long  # it imports the whole program
def test_it_ends_with_its_last_user_and_begins_anew_for_the_next(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = f"of-test-{os.getpid()}"
    monkeypatch.setenv("PYTEST_XDIST_TESTRUNUID", run)
    served = set()
    for _ in range(2):
        with Nursery() as one, Nursery() as other:
            children = [user.start(["--version"], {}, tmp_path / "log") for user in (one, other)]
            roots = {_parent(_parent(child.pid)) for child in children}
            assert len(roots) == 1  # of both users
            assert [child.wait(600) for child in children] == [0, 0]
        served |= roots
        until(lambda: not list(Path(gettempdir()).glob(f"nursery-{run}-*")))
    assert len(served) == 2


def _parent(pid: int) -> int:
    status = Path(f"/proc/{pid}/stat").read_text()
    return int(status.rpartition(")")[2].split()[1])
