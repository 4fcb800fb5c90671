"""``--forks N``: shares a session's tests among N processes, which are forked when all is imported and collected.

pytest-xdist starts Python for each of its processes, and each imports and collects everything, which takes ten seconds
of CPU; forked, they have it from the session. A file is run by one process, so that what its tests share is made once,
and files are given out in the order of the session's tests. What stands in the environment is as with pytest-xdist.

Loaded by ``addopts``, as ``scripts.toolchain.pytest_plugin`` is.
"""

from __future__ import annotations

import atexit
import os
import random
import signal
import sys
import threading
import time
import traceback
import uuid
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any, NoReturn

import pytest

_END_S_MAX = 60
"""So long a process may take to end what it has started, when it is told to end."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--forks N``."""
    parser.addoption("--forks", type=int, default=0, help="share the tests among so many forks")


def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run the tests in forks where that is asked for; after whatever else is done at the loop's begin."""
    number = session.config.getoption("--forks")
    if not number or session.config.option.collectonly or session.testsfailed:
        return None  # to pytest's own loop, which says what did not come to be collected
    _Session(session).share(number)
    return True


class _Session:
    """The process that collected the tests: it gives out files, and reports what comes back."""

    def __init__(self, session: pytest.Session) -> None:
        self.session = session
        files: dict[str, list[int]] = {}
        for number, item in enumerate(session.items):
            files.setdefault(item.nodeid.partition("::")[0], []).append(number)
        self.files = list(files.values())
        self.forks: dict[Connection, int] = {}
        """Of those that are at work: their numbers as processes."""
        self.owed: dict[Connection, list[int]] = {}
        """The tests that each was given, and has not ended."""

    def share(self, number: int) -> None:
        """Run all tests.

        Raises
        ------
        pytest.Session.Failed
            When so many have failed as may.
        """
        assert threading.active_count() == 1, "a thread does not survive a fork"
        os.environ["PYTEST_XDIST_TESTRUNUID"] = uuid.uuid4().hex
        self.session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        terminal: Any = self.session.config.pluginmanager.get_plugin("terminalreporter")
        if terminal is not None:
            terminal.showfspath = False  # files take turns
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            for which in range(number):
                self._fork(which)
            while self.forks:
                for line in wait(list(self.forks)):
                    assert isinstance(line, Connection)
                    self._hear(line)
                if self.session.shouldfail:
                    raise self.session.Failed(self.session.shouldfail)
                if self.session.shouldstop:
                    raise self.session.Interrupted(self.session.shouldstop)
        finally:
            self._end()

    def _fork(self, which: int) -> None:
        ours, theirs = Pipe()
        pid = os.fork()
        if pid == 0:
            ours.close()
            for line in self.forks:  # or they would not hear that the session has ended
                line.close()
            _Fork(self.session, theirs, which).run()
        theirs.close()
        self.forks[ours] = pid
        self.owed[ours] = []

    def _hear(self, line: Connection) -> None:
        try:
            kind, said = line.recv()
        except (EOFError, OSError):
            self._lost(line)
            return
        config = self.session.config
        if kind == "file":
            given = self.files.pop(0) if self.files else []
            self.owed[line] += given
            line.send(given)
        elif kind == "start":
            config.hook.pytest_runtest_logstart(**said)
        elif kind == "report":
            report = config.hook.pytest_report_from_serializable(config=config, data=said)
            config.hook.pytest_runtest_logreport(report=report)
        elif kind == "finish":
            config.hook.pytest_runtest_logfinish(**said)
        elif kind == "done":
            self.owed[line].remove(said)
        else:
            assert kind == "warning"
            config.hook.pytest_warning_recorded.call_historic(kwargs=said)

    def _lost(self, line: Connection) -> None:
        """Report the tests that a process owes as failed; there are none where it ended in order."""
        _, status = os.waitpid(self.forks.pop(line), 0)
        line.close()
        code = os.waitstatus_to_exitcode(status)
        for number in self.owed.pop(line):
            item = self.session.items[number]
            report = pytest.TestReport(
                nodeid=item.nodeid,
                location=item.location,
                keywords={},
                outcome="failed",
                longrepr=f"the process that was to run it has ended with {code}",
                when="call",
            )
            item.config.hook.pytest_runtest_logreport(report=report)
        if code:
            self.session.shouldfail = f"a process of the tests has ended with {code}"

    def _end(self) -> None:
        """End what is still at work: each ends what its tests have started."""
        for pid in self.forks.values():
            os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + _END_S_MAX
        for line, pid in self.forks.items():
            line.close()
            while os.waitpid(pid, os.WNOHANG) == (0, 0):
                if time.monotonic() > until:
                    os.kill(pid, signal.SIGKILL)
                time.sleep(0.05)


class _Fork:
    """A process that runs files of tests. Its hooks say to the session what pytest would say to who looks on."""

    def __init__(self, session: pytest.Session, line: Connection, which: int) -> None:
        self.session, self.line, self.name = session, line, f"gw{which}"

    def run(self) -> NoReturn:
        """Run files until there are none, and end."""
        code = 1
        try:
            self._begin()
            self._run()
            code = 0
        except (KeyboardInterrupt, EOFError, BrokenPipeError):  # it is to end, or the session has
            code = 2
        except BaseException:
            traceback.print_exc()
        try:
            with suppress(KeyboardInterrupt):
                self.session._setupstate.teardown_exact(None)
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
        except BaseException:
            traceback.print_exc()
            code = code or 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    def _begin(self) -> None:
        """Have for itself what processes must not share."""
        os.environ["PYTEST_XDIST_WORKER"] = self.name
        random.seed()
        config: Any = self.session.config
        capture = config.pluginmanager.get_plugin("capturemanager")
        capture.stop_global_capturing()  # into the session's own files
        capture.start_global_capturing()
        capture.suspend_global_capture()
        factory = config._tmp_path_factory
        factory._basetemp = factory.getbasetemp() / f"popen-{self.name}"
        factory._basetemp.mkdir(mode=0o700)
        config.pluginmanager.unregister(name="terminalreporter")
        config.pluginmanager.register(self, "forks")

    def _run(self) -> None:
        at_work = self._file()
        while at_work:
            following: list[int] = []
            for place, number in enumerate(at_work):
                if place + 1 < len(at_work):
                    behind = at_work[place + 1]
                else:  # what the last one tears down depends on what comes next
                    following = self._file()
                    behind = following[0] if following else -1
                item = self.session.items[number]
                item.config.hook.pytest_runtest_protocol(
                    item=item, nextitem=self.session.items[behind] if behind >= 0 else None
                )
                self.line.send(("done", number))
            at_work = following

    def _file(self) -> list[int]:
        self.line.send(("file", None))
        given: list[int] = self.line.recv()
        return given

    def pytest_runtest_logstart(self, nodeid: str, location: tuple[str, int | None, str]) -> None:
        """Hand it on."""
        self.line.send(("start", {"nodeid": nodeid, "location": location}))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Hand it on."""
        config = self.session.config
        data = config.hook.pytest_report_to_serializable(config=config, report=report)
        self.line.send(("report", data))

    def pytest_runtest_logfinish(self, nodeid: str, location: tuple[str, int | None, str]) -> None:
        """Hand it on."""
        self.line.send(("finish", {"nodeid": nodeid, "location": location}))

    def pytest_warning_recorded(
        self,
        warning_message: Any,
        when: str,
        nodeid: str,
        location: tuple[str, int, str] | None,
    ) -> None:
        """Hand it on, as its text: not every warning can be sent."""
        warning_message.message = warning_message.category(str(warning_message.message))
        warning_message.source = None
        said = {"warning_message": warning_message, "when": when, "nodeid": nodeid}
        self.line.send(("warning", {**said, "location": location}))
