"""Whether an old primary may follow the new one: only if the new one has every transaction of it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from ledger.db import galera
from ledger.db.database import Database
from ledger.db.following import Following, following, place_of
from ledger.db.gtid import Gap, only_in
from ledger.db.sqltext import is_mariadb
from ledger.errors import Refused

REPLICA_USER = "replica"
"""The account that follows, as docs/replica.md makes it."""


@dataclass(frozen=True)
class Rejoining:
    """How an old primary stands to the new one.

    Parameters
    ----------
    only_there
        What only the old one has.
    follows
        Whether it follows the new one, and both threads run.
    statements
        What makes it follow, as its root; empty where it must be rebuilt, or follows.
    """

    primary: str
    old: str
    only_there: tuple[Gap, ...]
    follows: bool
    statements: tuple[str, ...]

    @property
    def lost(self) -> int:
        """How many transactions only the old one has."""
        return sum(gap.count for gap in self.only_there)


def compare(primary: Database, old: Database) -> Rejoining:
    """Compare the binary logs of two servers; changes nothing.

    Raises
    ------
    Refused
        The first one is no primary, or both are one server, one keeps no binary log, or is a node of a cluster.
    DependencyDown
        One does not answer.
    """
    with primary.server() as here, old.server() as there:
        new, behind = _state(here, primary), _state(there, old)
        if new.server_id == behind.server_id:
            raise Refused(
                f"{place_of(primary)} and {place_of(old)} are one server (server_id {new.server_id}); name the new "
                "primary in database_url, and the old one in database_read_url",
                code="one-server",
            )
        if new.following is not None or new.read_only:
            raise Refused(
                f"{place_of(primary)} (database_url) is no primary: it "
                + (f"follows {new.following.primary}" if new.following else "is read-only"),
                code="not-the-primary",
            )
        only_there = tuple(only_in(behind.binlog, new.binlog))
    follows = (
        behind.following is not None
        and behind.following.primary_id == new.server_id
        and behind.following.io == "Yes"
        and behind.following.applying
    )
    statements = () if only_there or follows else _statements(primary, behind.following)
    return Rejoining(place_of(primary), place_of(old), only_there, follows, statements)


@dataclass(frozen=True)
class _State:
    server_id: int
    read_only: bool
    binlog: str
    following: Following | None


def _state(link: Connection, database: Database) -> _State:
    galera.require_none(link, place_of(database))
    if not is_mariadb(link.dialect):
        raise Refused(
            f"{place_of(database)} is MySQL, whose replicas are not this program's (docs/mysql.md); "
            "use MySQL's own tools",
            code="server-not-mariadb",
        )
    row = link.exec_driver_sql(
        "SELECT @@GLOBAL.server_id, @@GLOBAL.read_only, @@GLOBAL.gtid_binlog_state"
    ).one()
    if not row[2]:
        raise Refused(
            f"{place_of(database)} has no binary log, so that nothing tells what it has; rebuild it from a backup",
            code="no-binary-log",
        )
    read_only = str(row[1]).upper() not in ("0", "OFF")
    return _State(int(row[0]), read_only, str(row[2]), following(link))


def _statements(primary: Database, before: Following | None) -> tuple[str, ...]:
    host, port = primary.url.host, primary.url.port
    at = f"MASTER_HOST = '{host}'" + (f", MASTER_PORT = {port}" if port else "")
    return (
        "SET GLOBAL read_only = 1",
        "SET GLOBAL rpl_semi_sync_master_enabled = 0",
        "SET GLOBAL rpl_semi_sync_slave_enabled = 1",
        *(("STOP REPLICA",) if before is not None else ()),
        f"CHANGE MASTER TO {at}, MASTER_USER = '{REPLICA_USER}', MASTER_PASSWORD = '...', "
        "MASTER_SSL_CA = '/etc/truetonne/ca.pem', MASTER_USE_GTID = slave_pos, MASTER_DEMOTE_TO_SLAVE = 1",
        "START REPLICA",
    )
