"""A replica for reads: asked when it has all that was committed before, and passed over when it has not or is gone."""

from __future__ import annotations

import logging
import math
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from ledger.db.engines import ReplicaLags
from ledger.errors import DependencyDown

if TYPE_CHECKING:
    from ledger.db.database import Database

log = logging.getLogger(__name__)

WAIT_S = 0.5
"""How long a read waits for the replica."""
LAG_REST_S = 2.0
"""For so long a replica that was waited for in vain is not asked."""
GONE_REST_S = 15.0
"""For so long one that does not answer is not asked."""
ANSWERS_S = 2
"""How long a read waits for a connection to it, and for a sign of life on one that is open."""
ASKED_S = 5.0
"""For so long at most the one who asks a replica that was passed over is the only one."""
SAID_AGAIN_S = 60.0
"""A replica that lags now and then is a line of the log so often at most."""
PATIENCE_S = 60
"""How long an answer of it is waited for: as long as the longest report takes."""


class Replica:
    """A replica, and whether it is worth asking.

    Parameters
    ----------
    there
        Its database.
    """

    def __init__(self, there: Database) -> None:
        self.there = there
        self.reads = 0
        """Sessions that it served."""
        self.passed = 0
        """Sessions for which it lagged or did not answer."""
        self._lock = threading.Lock()
        self._rest_until_s = 0.0
        self._passed_at_s: float | None = None
        self._gone = False
        self._said = False
        """Whether the log has it that it is passed over."""
        self._said_at_s = -math.inf
        self.why = ""
        """Why it was passed over last; empty when it served."""

    def may_be_asked(self) -> bool:
        """Return whether it is asked now.

        Of all who could ask one that was passed over, one does, and the others need not wait with him.
        """
        with self._lock:
            now_s = time.monotonic()
            if now_s < self._rest_until_s:
                return False
            if self._passed_at_s is not None:
                self._rest_until_s = now_s + ASKED_S
            return True

    def enter(self, position: str, stack: ExitStack) -> Session | None:
        """Open a session that has all up to a position of the primary; return None when that cannot be had.

        Parameters
        ----------
        position
            The primary's GTIDs. An empty one, of a server without a binary log, can be waited for by nobody.
        stack
            Closes the session.
        """
        if not position:
            self._rest(
                GONE_REST_S,
                "the primary is no MariaDB, or keeps no binary log: nothing tells how far a replica is",
            )
            return None
        try:
            session = stack.enter_context(self.there.reading_after(position, WAIT_S))
        except ReplicaLags:
            self._rest(LAG_REST_S, f"replica {self.there.place} lags")
            return None
        except DependencyDown as error:
            self._rest(GONE_REST_S, error.message)
            return None
        except PoolTimeout:  # others have all its connections
            self.passed += 1
            return None
        self.reads += 1
        self.why = ""
        self._is_read_again()
        return session

    def close(self) -> None:
        """Close its connections."""
        self.there.close()

    def _rest(self, seconds: float, why: str) -> None:
        """Pass it over for a while. The log has a line when that begins, and one more when a lagging one is gone.

        What begins soon after the line before has its own when it lasts.
        """
        now_s = time.monotonic()
        goes = seconds == GONE_REST_S and not self._gone
        if self._passed_at_s is None:
            self._passed_at_s = now_s
        self._gone = self._gone or goes
        self.passed += 1
        self._rest_until_s = now_s + seconds
        self.why = why
        if goes or (not self._said and now_s - self._said_at_s >= SAID_AGAIN_S):
            self._said, self._said_at_s = True, now_s
            log.warning("%s; the primary is read", why)

    def _is_read_again(self) -> None:
        since_s, self._passed_at_s = self._passed_at_s, None
        said, self._said = self._said, False
        self._gone = False
        self._rest_until_s = 0.0
        if since_s is not None and said:
            away_s = time.monotonic() - since_s
            log.warning("replica %s is read again, after %.1f s", self.there.place, away_s)
