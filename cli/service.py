"""What commands that stay share: they end in order when they are told to, and log to stderr."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
import time
from contextlib import closing, contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING

from cli.output import printable
from cli.start import AGAIN_SECONDS, ENDING
from ledger.errors import INTERRUPTED, DependencyDown, TruetonneError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from ledger.settings import Settings

_LOOK_SECONDS = 0.5
"""How often those who stay look whether the local node does."""
TABLES_SECONDS = 5.0
"""How often who holds no lease looks whether the tables are still those of this version."""
_STDERR = 2
_AT_ONCE = b"ended at once, as if killed; what was committed stands\n"
_PATIENCE_SECONDS = 5


def stop_on_signal() -> threading.Event:
    """Return an event that Ctrl-C, SIGTERM or a lost terminal sets; a second Ctrl-C ends the process at once.

    What is under way may wait as long as an answer may take, for a node or a database that froze. Whoever cannot wait
    loses nothing: it is as if the process were killed, which any of them may be at any moment.

    The event is set by a thread. Whoever a signal interrupts may hold the event's own lock, as he waits or as the
    signal before sets it: set by the handler, it would be waited for by its holder, for ever.
    """
    stop = threading.Event()
    asked_s: list[float] = []
    told: SimpleQueue[int] = SimpleQueue()  # the one whose ``put`` takes no lock

    def ask(number: int, frame: FrameType | None) -> None:
        now_s = time.monotonic()
        asked_s.append(now_s)
        if number == signal.SIGINT and now_s - asked_s[0] > AGAIN_SECONDS:
            os.write(_STDERR, _AT_ONCE)  # whoever was interrupted may hold the lock of the stream
            os._exit(INTERRUPTED)
        told.put(number)

    def end() -> None:
        told.get()
        stop.set()

    threading.Thread(target=end, name="stop", daemon=True).start()
    for number in ENDING:
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # by nohup
            signal.signal(number, ask)
    return stop


def stay(settings: Settings, stop: threading.Event) -> TruetonneError | None:
    """Wait until somebody ends it, or the local node is gone; return why in that case."""
    from ledger.chain.local.shared import check_node_lives

    while not stop.wait(_LOOK_SECONDS):
        try:
            check_node_lives(settings)
        except DependencyDown as error:
            stop.set()
            return error
    return None


@contextmanager
def beside(
    thread: threading.Thread, stop: threading.Event, seconds_max: float | None = None
) -> Iterator[None]:
    """Run a thread beside the block. However that ends, the thread is told to end, and waited for.

    Parameters
    ----------
    stop
        What the thread ends by.
    seconds_max
        How long it is waited for, in seconds; None: for as long as it takes.
    """
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(seconds_max)


class TablesWatch(threading.Thread):
    """Ends who serves when a newer version has upgraded the tables, or the books were closed as they were copied.

    It would answer from what it does not know, or from what was.
    """

    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        super().__init__(name="tables", daemon=True)
        self._settings = settings
        self._stop_event = stop
        self.trouble: TruetonneError | None = None

    def run(self) -> None:
        """Look until told to stop. A database that is away is for whoever asks it to tell of."""
        from cli.books import require_known
        from ledger.db import Database
        from ledger.migrations.revisions import MOVED

        database = Database(self._settings.database_url, patience_s=_PATIENCE_SECONDS, silent=True)
        with closing(database):
            while not self._stop_event.wait(TABLES_SECONDS):
                try:
                    require_known(database, database.current())
                except DependencyDown as error:
                    if error.code in ("unknown-revision", MOVED):
                        self.trouble = error
                        self._stop_event.set()


class _Lines(logging.Formatter):
    """Each message is one line: what a node, a receiver or a file said in it begins none of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record))


def log_to_stderr() -> None:
    """Send warnings and errors of all rooms to stderr, a line each, with the time in UTC, as everywhere else."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = _Lines("%(asctime)s %(levelname)s %(name)s: %(message)s")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def has_started() -> None:
    """Leave what the start has made out of every later collection of garbage.

    Each of these goes through the whole program's objects: a tenth of a second in which no request is answered.
    """
    gc.collect()
    gc.freeze()
