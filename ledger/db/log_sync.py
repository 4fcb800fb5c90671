"""SQLite's log on its way to the disk while its writer goes on.

Who writes ``NOTES`` waits for no disk, until a commit copies the log into the file: that one waits for all of the log
at once, and nobody has anything to do meanwhile. So a thread has the disk take what is there after each unit of work,
and only the rest has to be waited for in the end. What is in the log lasts no sooner for that: a power cut finds more
of it, or less, and SQLite's own checksums say how much counts.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from threading import Thread

from sqlalchemy import URL

from ledger.errors import DependencyDown

_to_disk = getattr(os, "fdatasync", os.fsync)
_LOST = (errno.EIO, errno.ENOSPC, errno.EDQUOT)
"""What the disk did not take is gone. Linux tells it to one descriptor of all that are opened afterwards."""


class LogSync:
    """Brings the log of one database to the disk; on a server there is none, and nothing to do.

    Parameters
    ----------
    url
        The database's address.
    """

    def __init__(self, url: URL) -> None:
        sqlite = url.get_backend_name() == "sqlite"
        self._log = f"{url.database}-wal" if sqlite and url.database else None
        self._thread: Thread | None = None
        self._lost: OSError | None = None

    def begin(self) -> None:
        """Have the disk take what is in the log by now; not while it still takes what was there before.

        Raises
        ------
        DependencyDown
            It could not take what it was given before.
        """
        if self._log is None or (self._thread is not None and self._thread.is_alive()):
            return
        if self._lost is not None:
            lost, self._lost = self._lost, None
            raise DependencyDown(
                f"{self._log} could not be written to the disk ({lost.strerror}); check the disk, and make room on it"
            ) from lost
        self._thread = Thread(target=self._sync, args=[self._log], name="log-sync", daemon=True)
        with suppress(RuntimeError):  # where no thread can be started, SQLite waits as it did
            self._thread.start()

    def _sync(self, log: str) -> None:
        # A database that was closed has no log, and some systems sync nothing for who only reads.
        with suppress(OSError):
            descriptor = os.open(log, os.O_RDONLY)
            try:
                _to_disk(descriptor)
            except OSError as error:
                if error.errno in _LOST:
                    self._lost = error
            finally:
                os.close(descriptor)
