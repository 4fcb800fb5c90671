"""What a primary and its semi-sync replica must be like, so that one can take the other's place and nothing is lost.

Rules as in ``ledger.db.server``, asked where a replica is configured: of the primary, and of the replica.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy.orm import Session

from ledger.db import galera
from ledger.db.findings import Finding, State
from ledger.db.gtid import only_in

TIMEOUT_MS_MIN = 10_000
"""A replica that is started again is away for some seconds: the primary must wait for longer than that."""
_RECONNECT = "STOP REPLICA IO_THREAD; START REPLICA IO_THREAD"
_STATUS = "SHOW GLOBAL STATUS WHERE variable_name LIKE 'Rpl\\_semi\\_sync%%' OR variable_name = 'Slave_running'"
_ACKNOWLEDGE = f"SET GLOBAL rpl_semi_sync_slave_enabled = 1; {_RECONNECT}"


@dataclass(frozen=True)
class Half:
    """What one server of a pair says of itself."""

    variables: Mapping[str, str]
    status: Mapping[str, str]

    def on(self, name: str) -> bool:
        """Return whether a variable is on."""
        return self.variables.get(name, "OFF").upper() in ("ON", "1", "YES")


def have_changed_places(primary: Session, replica: Session) -> bool:
    """Return whether the supposed primary takes no writes and its replica does, as after a promotion.

    Then each rule would advise the opposite of what is right.
    """
    asked = "SELECT @@GLOBAL.read_only"
    here, there = (
        str(each.connection().exec_driver_sql(asked).scalar_one()).upper() in ("1", "ON")
        for each in (primary, replica)
    )
    return here and not there


def is_of_a_cluster(server: Session) -> bool:
    """Return whether the server is a node of a Galera cluster, where none of the rules of a pair holds."""
    return bool(server.connection().info.get(galera.NODE))


def primary_findings(session: Session) -> Iterator[Finding]:
    """Yield what each rule finds at the primary of a pair."""
    return _findings(session, PRIMARY_RULES)


def replica_findings(session: Session) -> Iterator[Finding]:
    """Yield what each rule finds at the replica of a pair."""
    return _findings(session, REPLICA_RULES)


def apart(replica: Session, primary: Session) -> Finding:
    """Find what was written at the replica itself: it is read as if it were of the books.

    Such a replica is not passed over. It has come to the primary's position, and follows until the next commit there.
    """
    asked = "SELECT @@GLOBAL.gtid_binlog_state"
    here, there = (  # in this order: what it receives in between is not its own
        str(each.connection().exec_driver_sql(asked).scalar_one() or "")
        for each in (replica, primary)
    )
    if more := only_in(here, there):
        found = f"transactions that the primary has not: {', '.join(map(str, more))}; somebody wrote there"
        mend = "take it out of database_read_url, and make it anew from a backup (docs/replica.md)"
        return Finding("apart", State.BAD, found, mend)
    return Finding("apart", State.GOOD, "it has nothing that the primary has not")


def _findings(session: Session, rules: tuple[Callable[[Half], Finding], ...]) -> Iterator[Finding]:
    read = session.connection().exec_driver_sql
    half = Half(
        {str(name): str(value) for name, value in read("SHOW GLOBAL VARIABLES")},
        {str(name): str(value) for name, value in read(_STATUS)},
    )
    for rule in rules:
        yield rule(half)


def _semi_sync(half: Half) -> Finding:
    if not half.on("rpl_semi_sync_master_enabled"):
        found = "off: what is committed may be on this server alone, and is lost with it"
        return Finding("semi-sync", State.BAD, found, "SET GLOBAL rpl_semi_sync_master_enabled = 1")
    return Finding("semi-sync", State.GOOD, "a commit waits until the replica has it")


def _wait_point(half: Half) -> Finding:
    point = half.variables["rpl_semi_sync_master_wait_point"]
    if point != "AFTER_SYNC":
        found = f"{point}: others read what a promotion may lose"
        mend = "SET GLOBAL rpl_semi_sync_master_wait_point = AFTER_SYNC"
        return Finding("semi-sync wait point", State.BAD, found, mend)
    return Finding("semi-sync wait point", State.GOOD, point)


def _timeout(half: Half) -> Finding:
    name = "semi-sync timeout"
    wait_ms = int(half.variables["rpl_semi_sync_master_timeout"])
    if wait_ms < TIMEOUT_MS_MIN:
        found = f"after {wait_ms} ms without the replica commits wait no longer, and nobody is told"
        mend = f"SET GLOBAL rpl_semi_sync_master_timeout = {TIMEOUT_MS_MIN}"
        return Finding(name, State.BAD, found, mend)
    if not half.on("rpl_semi_sync_master_wait_no_slave"):
        found = "commits wait no longer the moment the replica is gone"
        mend = "SET GLOBAL rpl_semi_sync_master_wait_no_slave = 1"
        return Finding(name, State.BAD, found, mend)
    return Finding(name, State.GOOD, f"a replica that is gone is waited for {wait_ms / 1000:g} s")


def _waiting(half: Half) -> Finding:
    name = "semi-sync now"
    clients = half.status["Rpl_semi_sync_master_clients"]
    if not half.on("rpl_semi_sync_master_enabled"):
        return Finding(name, State.UNKNOWN, "semi-sync is off")
    if half.status["Rpl_semi_sync_master_status"] != "ON" or clients == "0":
        alone = half.status["Rpl_semi_sync_master_no_tx"]
        found = f"commits do not wait: {clients} semi-sync replicas; {alone} commits went without since the start"
        mend = f"on the replica: {_ACKNOWLEDGE}"
        return Finding(name, State.BAD, found, mend)
    return Finding(name, State.GOOD, f"commits wait for {clients} replica")


def _strict(half: Half) -> Finding:
    if not half.on("gtid_strict_mode"):
        found = "off: servers that went apart would go on, and nobody sees it"
        return Finding("gtid_strict_mode", State.BAD, found, "SET GLOBAL gtid_strict_mode = 1")
    return Finding("gtid_strict_mode", State.GOOD, "on")


def _log(half: Half) -> Finding:
    if not half.on("log_bin"):
        mend = "write log_bin = bin into its configuration, and start it again"
        found = "no binary log: nobody could follow this server"
        return Finding("binary log", State.BAD, found, mend)
    return Finding("binary log", State.GOOD, "written")


def _log_updates(half: Half) -> Finding:
    found = _log(half)
    if found.state is State.GOOD and not half.on("log_slave_updates"):
        said = "what it receives is not in its binary log: as the primary it could not be followed"
        mend = "write log_slave_updates = ON into its configuration, and start it again"
        return Finding(found.name, State.BAD, said, mend)
    return found


def _follows(half: Half) -> Finding:
    if half.status["Slave_running"] != "ON":
        found = "it follows nobody now: it was never told whom, or a thread of it stands still"
        mend = (
            "see SHOW REPLICA STATUS there; for one that was the primary, run `truetonne db rejoin`"
        )
        return Finding("following", State.BAD, found, mend)
    return Finding("following", State.GOOD, "it is connected to a primary, and applies what comes")


def _acknowledges(half: Half) -> Finding:
    if not half.on("rpl_semi_sync_slave_enabled"):
        mend = _ACKNOWLEDGE
        found = "off: it does not tell the primary what it has received"
        return Finding("semi-sync", State.BAD, found, mend)
    if half.status["Rpl_semi_sync_slave_status"] != "ON":
        mend = _RECONNECT
        found = "on, and not in use: the IO thread does not run, or runs since before"
        return Finding("semi-sync", State.BAD, found, mend)
    return Finding("semi-sync", State.GOOD, "it acknowledges what it has received")


def _read_only(half: Half) -> Finding:
    if not half.on("read_only"):
        found = "the replica takes writes, which the primary never hears of"
        return Finding("read_only", State.BAD, found, "SET GLOBAL read_only = 1")
    return Finding("read_only", State.GOOD, "on")


def _relay_log(half: Half) -> Finding:
    if not half.on("relay_log_recovery"):
        found = "after a crash it may go on from a damaged relay log (relay_log_recovery is off)"
        mend = "write relay_log_recovery = ON into its configuration, and start it again"
        return Finding("relay log", State.BAD, found, mend)
    return Finding("relay log", State.GOOD, "fetched anew after a crash")


PRIMARY_RULES: tuple[Callable[[Half], Finding], ...] = (
    _semi_sync,
    _wait_point,
    _timeout,
    _waiting,
    _strict,
    _log,
)
"""What is asked of the primary, in the order in which the doctor prints it."""
REPLICA_RULES: tuple[Callable[[Half], Finding], ...] = (
    _follows,
    _acknowledges,
    _read_only,
    _relay_log,
    _log_updates,
    _strict,
)
"""What is asked of the replica."""
