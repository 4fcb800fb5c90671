"""A replica becomes the primary: when all that it received is applied, and not before.

Nothing is changed until that is so. Then one compound statement does the rest: the server does it to its end whether or
not we live to hear of it, so that there is no half of a promotion which a second run would have to understand.

Two traps are walked around, both found by trying. A replica that is made writable at once leaves in its relay log what
it has acknowledged and not applied. And ``START REPLICA`` after ``STOP REPLICA`` throws that log away, since
with GTIDs the server means to fetch it again, from a primary that is gone; so the log is then applied by its place in
the file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from ledger.db import galera
from ledger.db.database import Database
from ledger.db.following import Following, Primary, following, look_at, place_of
from ledger.db.grants import require_promoting
from ledger.db.gtid import Gtid, gaps, gtids, position_text
from ledger.db.promotable import (
    Ask,
    doubt_about,
    require_out_of_the_way,
    require_sound,
    require_the_same,
    require_words,
)
from ledger.errors import DependencyDown, Refused, TruetonneError

Say = Callable[[str], None]
LOCK = "truetonne_promote"
_STEP_S = 0.5
_SAY_EVERY_S = 5.0
_MORE_CAME = 1644
"""The number of our own SIGNAL."""

_SEMI_SYNC = (
    "SET GLOBAL rpl_semi_sync_slave_enabled = 0; "
    # Alone, it does not keep commits waiting for a replica that is not there yet.
    "SET GLOBAL rpl_semi_sync_master_wait_no_slave = 0; "
    "SET GLOBAL rpl_semi_sync_master_wait_point = AFTER_SYNC; "
    "SET GLOBAL rpl_semi_sync_master_enabled = 1; "
    "SET GLOBAL read_only = 0; "
)
_TURN = (
    "BEGIN NOT ATOMIC "
    "DECLARE received TEXT; "
    "STOP SLAVE IO_THREAD; "
    "SELECT Gtid_IO_Pos INTO received FROM information_schema.slave_status WHERE Connection_name = %s; "
    "IF received <> %s THEN "
    "START SLAVE IO_THREAD; SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'more was received'; "
    "END IF; "
    "STOP SLAVE; RESET SLAVE ALL; "
    f"{_SEMI_SYNC}END"
)
_TURN_ALONE = f"BEGIN NOT ATOMIC {_SEMI_SYNC}END"
_APPLY_THE_FILE = (
    "BEGIN NOT ATOMIC "
    "CHANGE MASTER TO MASTER_USE_GTID = no, RELAY_LOG_FILE = %s, RELAY_LOG_POS = %s; "
    "START SLAVE SQL_THREAD; END"
)


@dataclass(frozen=True)
class Promoted:
    """What came of it."""

    place: str
    position: str
    """GTID position that it begins with as the primary."""
    old: str = ""
    """The server that it followed."""
    already: bool = False
    """Whether it was the primary before."""
    applied: int = 0
    """Transactions that had been received and not applied."""
    doubt: str = ""
    """What nothing proves, though it was accepted; empty: every acknowledged transaction is here."""
    left: int = 0
    """Transactions that the old primary has and this one has not, where it could be asked."""
    seconds: float = 0.0


def promote(replica: Database, primary: Database, ask: Ask, say: Say) -> Promoted:
    """Make a replica the primary; harmless when it is.

    Raises
    ------
    Refused
        It follows nobody, the old primary lives, something is not applied, or nothing proves that all is here.
    DependencyDown
        The replica does not answer, or the account lacks rights.
    """
    begun = time.monotonic()
    with replica.server() as link:
        galera.require_none(link, place_of(replica))
        require_words(link, replica)
        require_promoting(link, place_of(replica))
        _alone(link, replica)
        follows = following(link)
        if follows is None:
            return _promote_no_replica(link, replica, ask)
        link.exec_driver_sql("SET default_master_connection = %s", (follows.name,))
        old = look_at(primary)
        require_sound(follows)
        require_the_same(link, follows, old)
        require_out_of_the_way(follows, old, ask)
        doubt = doubt_about(link, follows, old)
        if doubt and not ask.accept_loss:
            raise Refused(
                f"{doubt}; --accept-loss promotes all the same, and `truetonne db rejoin` counts what was lost when "
                "the old primary is back",
                code="not-proven",
            )
        waiting = _count(gtids(follows.applied), follows.received_position)
        done = Promoted(place_of(replica), "", follows.primary, applied=waiting, doubt=doubt)
        if ask.dry_run:
            return replace(done, position=position_text(follows.received_position))
        deadline = time.monotonic() + ask.timeout_s
        with _out_of_the_way(link, replica, primary, old, ask, deadline, say) as target:
            _turn(link, target, ask, deadline, say)
        position = str(link.exec_driver_sql("SELECT @@GLOBAL.gtid_binlog_pos").scalar_one())
    left = _left_behind(primary, old, position)
    return replace(done, position=position, left=left, seconds=time.monotonic() - begun)


def _alone(link: Connection, replica: Database) -> None:
    """Keep another promotion of this server out, for as long as the connection lasts."""
    if link.exec_driver_sql("SELECT GET_LOCK(%s, 0)", (LOCK,)).scalar_one() != 1:
        holder = link.exec_driver_sql("SELECT IS_USED_LOCK(%s)", (LOCK,)).scalar_one()
        raise Refused(
            f"another `db promote` is at work on {place_of(replica)} (its connection {holder}); wait for it",
            code="promotion-running",
        )


def _promote_no_replica(link: Connection, replica: Database, ask: Ask) -> Promoted:
    """Say that a server is the primary already, or finish what a crash of its own has cut off."""
    place = place_of(replica)
    read_only, master, applied, position = link.exec_driver_sql(
        "SELECT @@GLOBAL.read_only, @@GLOBAL.rpl_semi_sync_master_enabled, @@GLOBAL.gtid_slave_pos, "
        "@@GLOBAL.gtid_binlog_pos"
    ).one()
    writable = str(read_only).upper() in ("0", "OFF")
    if writable and master:
        return Promoted(place, str(position), already=True)
    if writable or not applied:
        raise Refused(
            f"{place} is no replica: it follows nobody; name the replica in database_read_url",
            code="not-a-replica",
        )
    doubt = (
        f"{place} follows nobody and is read-only: a primary that was started again, or a replica after RESET REPLICA; "
        f"nothing proves that all it had received was applied (it is at {position})"
    )
    if not ask.accept_loss:
        raise Refused(
            f"{doubt}; if it was the primary: SET GLOBAL read_only = 0; if it is to be, --accept-loss",
            code="not-proven",
        )
    if not ask.dry_run:
        link.exec_driver_sql(_TURN_ALONE)
    return Promoted(place, str(position), doubt=doubt)


@contextmanager
def _out_of_the_way(
    link: Connection,
    replica: Database,
    primary: Database,
    old: Primary,
    ask: Ask,
    deadline: float,
    say: Say,
) -> Iterator[str]:
    """Yield the position that the old primary ends with, empty where it cannot be asked.

    For a switchover it is made read-only first, and given back if the replica does not take over.
    """
    if not ask.switchover:
        yield old.position
        return
    # So that it is read-only for a moment only. More is received all the while, and not waited for.
    _catch_up(link, old.position, ask, deadline, say, living=True)
    with primary.server() as there:
        require_promoting(there, old.place)
        try:
            there.exec_driver_sql("SET GLOBAL read_only = 1")
            say(f"{old.place} is read-only")
            yield str(there.exec_driver_sql("SELECT @@GLOBAL.gtid_binlog_pos").scalar_one())
        except BaseException:
            if old.writable and _follows_still(link, replica):
                there.exec_driver_sql("SET GLOBAL read_only = 0")
                say(f"{old.place} takes writes again")
            raise


def _follows_still(link: Connection, replica: Database) -> bool:
    """Return whether a server is known to be a replica, and to stay one; a doubt is no."""
    try:
        if not link.invalidated:
            return following(link) is not None
        with replica.server() as fresh:
            # What we sent and did not hear the end of may still be done there: until then, the lock is held.
            if fresh.exec_driver_sql("SELECT GET_LOCK(%s, 10)", (LOCK,)).scalar_one() != 1:
                return False
            return following(fresh) is not None
    except (TruetonneError, SQLAlchemyError):
        return False


def _turn(link: Connection, target: str, ask: Ask, deadline: float, say: Say) -> None:
    """Make the replica the primary as soon as it has all of a position and all that it received."""
    while True:
        follows = _catch_up(link, target, ask, deadline, say)
        try:
            link.exec_driver_sql(_TURN, (follows.name, follows.received))
        except DBAPIError as error:
            if getattr(error.orig, "args", (0,))[0] != _MORE_CAME:
                raise
            continue
        return


def _catch_up(
    link: Connection, target: str, ask: Ask, deadline: float, say: Say, *, living: bool = False
) -> Following:
    """Wait until a position is received and all that is received is applied; return how it is then.

    From a primary that is ``living``, no more than the position is waited for.
    """
    wanted = gtids(target)
    said_at = time.monotonic()
    while True:
        follows = following(link)
        if follows is None:
            raise Refused("the server was made to follow nobody meanwhile", code="not-a-replica")
        require_sound(follows)
        here, applied = follows.received_position, gtids(follows.applied)
        lacking, waiting = gaps(here, wanted), _count(applied, wanted if living else here)
        if lacking and not follows.receiving and ask.accept_loss:
            lacking = []
        if not lacking and not waiting:
            return follows
        if time.monotonic() > deadline:
            raise _behind(follows, lacking, waiting, ask)
        if waiting and not follows.applying:
            _start_applying(link, follows)
        if time.monotonic() - said_at > _SAY_EVERY_S:
            said_at = time.monotonic()
            say(_lag(follows, lacking, waiting))
        link.exec_driver_sql(
            "SELECT MASTER_GTID_WAIT(%s, %s)",
            (target if lacking or living else position_text(here), _STEP_S),
        )


def _behind(follows: Following, lacking: list[Any], waiting: int, ask: Ask) -> Refused:
    return Refused(
        f"after {ask.timeout_s:g} s {_lag(follows, lacking, waiting)}; nothing was changed: run it again, with more "
        "--timeout",
        code="replica-behind",
    )


def _lag(follows: Following, lacking: list[Any], waiting: int) -> str:
    if waiting:
        return f"{waiting} transactions are received and not applied (it is at {follows.applied} of {follows.received})"
    return f"{', '.join(map(str, lacking))} of the primary has not come"


def _start_applying(link: Connection, follows: Following) -> None:
    if follows.receiving or not follows.by_gtid:
        link.exec_driver_sql("START SLAVE SQL_THREAD")
        return
    link.exec_driver_sql(_APPLY_THE_FILE, (follows.relay_file, follows.relay_place))


def _left_behind(primary: Database, old: Primary, position: str) -> int:
    """Return how many transactions the old primary has that did not come along, if it can be asked."""
    if not old.position:
        return 0
    try:
        return _count(gtids(position), gtids(look_at(primary).position))
    except DependencyDown:
        return 0


def _count(have: dict[int, Gtid], want: dict[int, Gtid]) -> int:
    return sum(gap.count for gap in gaps(have, want))
