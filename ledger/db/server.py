"""What a MariaDB server must be like for the books, and the statement that mends it where it is not.

Each rule is a function from what the server says of itself to a finding. What a session of ours sets for itself
(``ledger.db.engines``) is checked as well: a proxy or a pool in between may undo it.
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from ledger.db import galera_rules
from ledger.db.findings import FREE_BYTES_MIN, Finding, Server, State
from ledger.db.server_tables import rights, tables
from ledger.db.tls import Tls

TESTED = (11, 8)
"""The version that the tests run on."""
OLDEST = (10, 11)
"""The oldest version that is maintained and has all that is used here."""
TESTED_MYSQL = (9, 7)
"""The version of MySQL that the tests were run on."""
OLDEST_MYSQL = (8, 4)
"""The oldest that is maintained, and has all that is used here; before 8.0.19 it has no rows to select from."""
PACKET_BYTES_MIN = 16 * 1024 * 1024
FREE_SHARE_MIN = 20
"""One part in so many of the disk must be free."""
CLOCK_SECONDS_MAX = 5
_BETWEEN = "mend the proxy or pool in between"
_SNAPSHOTS = "innodb_snapshot_isolation"
"""Of MariaDB since 10.6.18, 10.11.8 and 11.4.2; on without a word since 11.6.2, from where on our sessions set it."""
_OF_SESSION = (
    "SHOW SESSION VARIABLES WHERE variable_name IN ('sql_mode', 'time_zone', 'transaction_isolation', 'tx_isolation', "
    f"'{_SNAPSHOTS}') OR variable_name LIKE 'character_set_%%'"
)
_STRICT = "STRICT_TRANS_TABLES"
_STRICT_ALL = "STRICT_ALL_TABLES"
_SESSION_MODES = frozenset(
    {_STRICT_ALL, "NO_ZERO_DATE", "NO_ENGINE_SUBSTITUTION", "ONLY_FULL_GROUP_BY"}
)


def findings(
    session: Session, tls: Tls, *, free_bytes_min: int = FREE_BYTES_MIN
) -> Iterator[Finding]:
    """Yield what each rule finds at the server of a session.

    Parameters
    ----------
    tls
        How the session is connected.
    free_bytes_min
        Bytes that must be free where the server keeps its data.
    """
    link = session.connection()
    read = link.exec_driver_sql
    of_session = {str(name): str(value) for name, value in read(_OF_SESSION)}
    if of_session["character_set_results"] != "utf8mb4":
        # A finding already; the paths among all the others may have letters that then cannot be read.
        read("SET character_set_results = utf8mb4")
    server = Server(
        session,
        tls,
        of_session,
        {str(name): str(value) for name, value in read("SHOW GLOBAL VARIABLES")},
        str(read("SELECT DATABASE()").scalar_one()),
        free_bytes_min,
    )
    for rule in RULES:
        yield rule(server)
    yield from galera_rules.findings(server)


def _version(server: Server) -> Finding:
    said = server.globals["version"]
    numbers = tuple(int(part) for part in said.partition("-")[0].split(".")[:2])
    if not server.is_mariadb:
        return _version_of_mysql(said, numbers)
    if numbers < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        return Finding(
            "version",
            State.BAD,
            f"{said} is older than {oldest}",
            "upgrade the server to MariaDB 11.8",
        )
    tested = "the tested version" if numbers == TESTED else "the tests run on 11.8"
    return Finding("version", State.GOOD, f"{said}, {tested}")


def _version_of_mysql(said: str, numbers: tuple[int, ...]) -> Finding:
    if numbers < OLDEST_MYSQL:
        oldest = ".".join(map(str, OLDEST_MYSQL))
        found = f"MySQL {said} is older than {oldest}"
        return Finding("version", State.BAD, found, "upgrade the server to MySQL 9.7")
    found = (
        f"MySQL {said}: no backups, replicas, promotion or clusters by this program (docs/mysql.md)"
    )
    if numbers == TESTED_MYSQL:
        return Finding("version", State.GOOD, found)
    return Finding("version", State.UNKNOWN, f"{found}; tried on 9.7", "use MySQL 9.7, or MariaDB")


def _writable(server: Server) -> Finding:
    if server.on("read_only"):
        # Not the statement first: on an old primary it would make two sets of books.
        mend = "if another one is the primary now, name that in database_url; if this is: SET GLOBAL read_only = 0"
        return Finding("writable", State.BAD, "the server is read-only", mend)
    if server.on("innodb_read_only"):
        mend = "start the server without innodb-read-only"
        return Finding("writable", State.BAD, "the server's InnoDB is read-only", mend)
    return Finding("writable", State.GOOD, "the server takes writes")


def _disk(server: Server) -> Finding:
    free, size, where = _free(server)
    if size == 0:
        mend = "INSTALL SONAME 'disks'; GRANT FILE ON *.* to an account that looks"
        if not server.is_mariadb:
            mend = "look there"
        return Finding("disk", State.UNKNOWN, "cannot be seen from this machine", mend)
    found = f"{free / 1024**3:.1f} GiB free of {size / 1024**3:.1f} at {where}"
    if free >= server.free_bytes_min and free * FREE_SHARE_MIN >= size:
        return Finding("disk", State.GOOD, found)
    mend = f"free space at {where}, or give it more"
    if server.on("log_bin"):
        mend = f"PURGE BINARY LOGS BEFORE NOW() - INTERVAL 7 DAY; or {mend}"
    return Finding("disk", State.BAD, f"nearly full: {found}", mend)


def _free(server: Server) -> tuple[int, int, str]:
    """Return free bytes, all bytes and where, of the disk with the server's data; zeros where it is not seen."""
    folder = Path(server.globals["datadir"])
    same_host = server.tls.local and server.globals["hostname"] == socket.gethostname()
    if same_host and folder.is_dir():
        usage = shutil.disk_usage(folder)
        return usage.free, usage.total, str(folder)
    try:
        with server.session.begin_nested():
            row = (
                server.session.connection()
                .exec_driver_sql(
                    "SELECT available * 1024, total * 1024, path FROM information_schema.disks "
                    "WHERE %s LIKE CONCAT(path, '%%') ORDER BY LENGTH(path) DESC LIMIT 1",
                    (str(folder),),
                )
                .one_or_none()
            )
    except DBAPIError:
        return 0, 0, ""
    return (int(row[0]), int(row[1]), str(row[2])) if row is not None else (0, 0, "")


def _modes(server: Server) -> Finding:
    ours = set(server.variables["sql_mode"].split(","))
    if not ours >= _SESSION_MODES:
        found = f"our session has sql_mode {server.variables['sql_mode']!r}, though it asked for strict ones"
        return Finding(
            "sql_mode",
            State.BAD,
            found,
            "mend the proxy or pool in between",
        )
    theirs = server.globals["sql_mode"]
    if not {_STRICT, _STRICT_ALL} & set(theirs.split(",")):
        wanted = ",".join([_STRICT, *filter(None, theirs.split(","))])
        found = f"the server's sql_mode {theirs!r} is not strict: other clients would cut values"
        return Finding("sql_mode", State.BAD, found, f"SET GLOBAL sql_mode = '{wanted}'")
    return Finding("sql_mode", State.GOOD, "strict")


def _zone(server: Server) -> Finding:
    if server.variables["time_zone"] != "+00:00":
        found = (
            f"our session has time zone {server.variables['time_zone']}, though it asked for UTC"
        )
        return Finding(
            "time_zone",
            State.BAD,
            found,
            "mend the proxy or pool in between",
        )
    theirs, system = server.globals["time_zone"], server.globals["system_time_zone"]
    if theirs not in ("+00:00", "UTC") and not (theirs == "SYSTEM" and system in ("UTC", "GMT")):
        of = f" ({system})" if theirs == "SYSTEM" else ""
        found = f"the server's time zone is {theirs}{of}: other clients would read our times wrong"
        return Finding("time_zone", State.BAD, found, "SET GLOBAL time_zone = '+00:00'")
    return Finding("time_zone", State.GOOD, "UTC, session and server")


def _clock(server: Server) -> Finding:
    at = server.session.connection().exec_driver_sql("SELECT UTC_TIMESTAMP(6)").scalar_one()
    assert isinstance(at, datetime)
    # Not NOW() of the transaction: the function tells the start of its own statement.
    behind = (datetime.now(UTC) - at.replace(tzinfo=UTC)).total_seconds()
    if abs(behind) > CLOCK_SECONDS_MAX:
        which = "behind" if behind > 0 else "ahead of"
        found = (
            f"its clock is {abs(behind):.0f} s {which} the one here: by one of the two, jobs are due, sessions end and "
            "devices are silent at wrong times"
        )
        return Finding("clock", State.BAD, found, "have both machines keep time (NTP)")
    return Finding("clock", State.GOOD, f"within {CLOCK_SECONDS_MAX} s of the one here")


def _charset(server: Server) -> Finding:
    for name in ("character_set_client", "character_set_connection", "character_set_results"):
        if server.variables[name] != "utf8mb4":
            found = f"our session has {name} {server.variables[name]}, though it asked for utf8mb4"
            return Finding(
                "charset",
                State.BAD,
                found,
                _BETWEEN,
            )
    default = server.variables["character_set_database"]
    if default != "utf8mb4":
        mend = f"ALTER DATABASE `{server.database}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        return Finding("charset", State.BAD, f"the database's character set is {default}", mend)
    return Finding("charset", State.GOOD, "utf8mb4")


def _isolation(server: Server) -> Finding:
    # MariaDB's name before 11.1, and MySQL's, which it has taken over.
    name = (
        "transaction_isolation" if "transaction_isolation" in server.variables else "tx_isolation"
    )
    found = server.variables[name]
    if found != "REPEATABLE-READ":
        mend = f"SET GLOBAL {name} = 'REPEATABLE-READ'"
        if server.globals[name] == "REPEATABLE-READ":
            mend = _BETWEEN
        return Finding("isolation", State.BAD, f"{found}: what we read is no snapshot", mend)
    if server.is_mariadb and server.variables.get(_SNAPSHOTS) != "ON":
        mend = "upgrade the server to MariaDB 11.8"
        if _SNAPSHOTS in server.variables:
            mend = _BETWEEN if server.on(_SNAPSHOTS) else f"SET GLOBAL {_SNAPSHOTS} = 1"
        lost = f"{found}, but who writes is not told that a row has changed since it was read"
        return Finding("isolation", State.BAD, lost, mend)
    return Finding("isolation", State.GOOD, found)


def _durable(server: Server) -> Finding:
    if server.globals["innodb_flush_log_at_trx_commit"] != "1":
        found = "a power cut may take back what was committed, and a chain does not"
        return Finding("durable", State.BAD, found, "SET GLOBAL innodb_flush_log_at_trx_commit = 1")
    if server.on("log_bin") and server.globals["sync_binlog"] != "1":
        found = "a power cut may lose what replicas and backups need"
        return Finding("durable", State.BAD, found, "SET GLOBAL sync_binlog = 1")
    return Finding("durable", State.GOOD, "what is committed is on the disk")


def _binlog(server: Server) -> Finding:
    if not server.on("log_bin"):
        return Finding("binlog", State.GOOD, "none: no replica, and no recovery to a point in time")
    if server.globals["binlog_format"] == "STATEMENT":
        found = "the binary log has statements, which a replica may do otherwise"
        return Finding("binlog", State.BAD, found, "SET GLOBAL binlog_format = 'ROW'")
    return Finding("binlog", State.GOOD, server.globals["binlog_format"])


def _packet(server: Server) -> Finding:
    size = int(server.globals["max_allowed_packet"])
    if size < PACKET_BYTES_MIN:
        mend = f"SET GLOBAL max_allowed_packet = {PACKET_BYTES_MIN}"
        return Finding(
            "packet", State.BAD, f"max_allowed_packet is {size}: bulk rows do not fit", mend
        )
    return Finding("packet", State.GOOD, f"{size} bytes")


def _encrypted(server: Server) -> Finding:
    cipher = server.cipher()
    if cipher and server.tls.verified:
        return Finding("tls", State.GOOD, f"{cipher}, and the server proved its name")
    where = "on this machine" if server.tls.local else "on another machine"
    how = f"{cipher}, and the server need not prove its name" if cipher else "not encrypted"
    state = State.GOOD if server.tls.local else State.BAD
    mend = "" if server.tls.local else "add ?ssl_ca=FILE to database_url, see docs/security.md"
    return Finding("tls", state, f"{how}; it is {where}", mend)


RULES: tuple[Callable[[Server], Finding], ...] = (
    _version,
    _encrypted,
    _writable,
    _disk,
    rights,
    _modes,
    _zone,
    _clock,
    _charset,
    tables,
    _isolation,
    _durable,
    _binlog,
    _packet,
)
"""Every rule, in the order in which the doctor prints them."""
