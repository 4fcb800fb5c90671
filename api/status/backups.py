"""How many alarms of backups there are, for those who ask often: a folder that hangs keeps nobody waiting."""

from __future__ import annotations

import threading
import time

from ledger.clock import utc_now
from ledger.settings import Settings

EVERY_S = 60.0
"""How old a count may be."""
WAIT_S = 2.0
"""How long the first who asks waits for it."""


class BackupAlarms:
    """Looks at the backup folder in a thread of its own, and remembers what it found; one for each application."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._looking = False
        self._begun_at: float | None = None
        self._count = 0

    def count(self) -> int:
        """Return how many alarms ``truetonne status`` has of backups; 0 where no folder is set.

        It may be a minute old, and older while the folder hangs.
        """
        if self._settings.backup_folder is None:
            return 0
        look = None
        with self._lock:
            first, now = self._begun_at is None, time.monotonic()
            if self._begun_at is None or (not self._looking and now - self._begun_at >= EVERY_S):
                look = threading.Thread(target=self._look, daemon=True)
                look.start()  # first: where none can be started, the next who asks tries again
                self._looking, self._begun_at = True, now
        if first and look is not None:
            look.join(WAIT_S)
        return self._count

    def _look(self) -> None:
        from ledger.backup.overview import standing

        try:
            found = standing(self._settings, utc_now())
            count = 0 if found is None else len(found.alarms)
        except Exception:  # whatever stands there: it cannot be known, and a person should look
            count = 1
        with self._lock:
            self._count, self._looking = count, False
