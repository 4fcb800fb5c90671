"""What the drivers' errors mean, and what a person can do about each."""

from __future__ import annotations

import re
import sqlite3

import pymysql
from sqlalchemy.exc import DBAPIError

from ledger.db import galera
from ledger.db.arrays import FILE_REFUSED

DRIVER_ERRORS = (DBAPIError, pymysql.err.Error)
"""What a driver's complaint comes as."""
DOWN = "down"
BUSY = "busy"
NO_TABLE = "no table"

_UNPROVEN = (
    "the server does not prove its name: name the authority that signed its certificate (ssl_ca), and the server "
    "as the certificate does"
)
_RENEW = (
    "the server's certificate has ended, or that of its authority: give the server a new one (ssl_cert, ssl_key), and "
    "have it read that (FLUSH SSL, or a restart)"
)
_RENEW_OURS = (
    "the server does not take our certificate: name one that has not ended, of an authority that it trusts (ssl_cert, "
    "ssl_key)"
)
_AGAIN = "another process writes; try again"
_START = "start the server or correct {setting}"
_CUT = (
    f"{_START}; where it runs, the connection was ended (KILL, or in between, or as this process stood still in the "
    "middle of its work), or it has started anew, as after its disk was full: see its log, and try again"
)
LOOK = "whether it was committed is not known: look before you do it again"
_ENDED = "somebody ended the statement (KILL), or the server's max_statement_time did; try again"
WRITABLE = "make the file, its folder, and what stands beside it as FILE-wal and FILE-shm writable"
_RESTORE = "restore the file from a backup, beside no FILE-wal and FILE-shm of another, or name another file"
_UPGRADE = "run `truetonne db upgrade`"
_OTHER_VERSION = (
    "the tables are of another version: run `truetonne db upgrade`, and start anew what ran before"
)
_DISK_FULL = "the server's disk is full: free space there, and try again"
_SIGNALLED = 1644
"""SIGNAL, where it names no other number: foreign keys that our own triggers keep have that of a foreign key."""
_OUT_OF_RANGE = 1690
"""``BIGINT value is out of range in ...``"""
_OF_VALUES = ("Could not decode to UTF-8", "integer overflow", "malformed JSON")
"""What SQLite, and its driver, say of values that are stored."""
_NO_ROOM = re.compile(r"(?:errno:|Errcode:|error) (?:28|135)\b")
"""ENOSPC, or InnoDB's word for it, as in ``1005 Can't create table ... (errno: 135 "No more room in record file")``."""
_BY_WORDS = (
    (re.compile("certificate has expired"), _RENEW),
    (re.compile("CERTIFICATE_VERIFY_FAILED"), _UNPROVEN),
    # What a server says of a client's certificate, after a handshake in which its own was taken.
    (re.compile(r"ALERT_(?:UNKNOWN_CA|\w*CERTIFICATE)"), _RENEW_OURS),
    (_NO_ROOM, _DISK_FULL),
)
"""What the words of an error tell, whatever its number."""
_CUT_OFF = {1053, 1927, 2006, 2013, 2055, 4031}
_GONE = {*_CUT_OFF, 2002, 2003, 2005, galera.NOT_READY, galera.UNDECIDED}
"""The server shuts down, the connection was cut, it cannot be reached, or is of no use. Whether what was under way
was committed is not known: nobody repeats it but who has seen that it was not, or who may do it twice."""
# MariaDB's numbers. Busy: the row's version is gone, waited too long for a lock, deadlock, a partition
# of the table was moved since the snapshot was taken.
_MYSQL = (
    (
        {FILE_REFUSED},
        DOWN,
        "somebody else may answer in its place: check {setting}, and have the server "
        "prove its name (ssl_ca, ssl_verify_identity)",
    ),
    (
        {1142, 1143, 1227},
        DOWN,
        "this account lacks the right; `truetonne db grants` prints what each account needs, and database_admin_url "
        "names the one that changes tables",
    ),
    (
        {1419},
        DOWN,
        "it writes a binary log, or is a node of a cluster: SET GLOBAL log_bin_trust_function_creators = 1, and "
        "upgrade again",
    ),
    (
        {2026},
        DOWN,
        "the server offers no TLS, and must prove its name by it: have it offer TLS (ssl_cert, ssl_key)",
    ),
    ({3, 28, 1021, 1114}, DOWN, _DISK_FULL),
    (
        {1878},
        DOWN,
        "the disk of the server's temporary files (tmpdir) is full: free space there, and try again",
    ),
    ({1020, 1205, 1213, 1412, 3058}, BUSY, _AGAIN),
    ({1317, 1969, 3024}, DOWN, _ENDED),
    (
        {1153},
        DOWN,
        "SET GLOBAL max_allowed_packet = 16777216, or the next power of two if that is less than it takes (and in its "
        "configuration), and try again",
    ),
    ({1146}, NO_TABLE, _UPGRADE),
    ({1054}, NO_TABLE, _OTHER_VERSION),
    (
        {1044},
        DOWN,
        "check user and name in {setting}, and whether the account has its rights: `truetonne db grants` prints them",
    ),
    (
        {1045},
        DOWN,
        "check user, password and name in {setting}, and whether the account asks for TLS or a certificate (ssl_cert)",
    ),
    (
        {1251, 1524, 1698, 2059},
        DOWN,
        "the account of {setting} signs in by a plugin that this program does not speak, or without a password "
        "(unix_socket, where unix_socket=FILE in the address names the socket): ALTER USER ... IDENTIFIED VIA "
        "mysql_native_password USING PASSWORD('...'), or name another account",
    ),
    (
        {3159},
        DOWN,
        "the server takes nobody without TLS (require_secure_transport): take tls=off out of {setting}",
    ),
    (
        {1152, 1184},
        DOWN,
        "the server ended the connection as it began: mend the statements of its init_connect, and see its log",
    ),
    (
        {1820, 1862, 3118, 4151},
        DOWN,
        "give the account of {setting} a new password, or unlock it (ALTER USER ... ACCOUNT UNLOCK)",
    ),
    (
        {1226},
        DOWN,
        "raise that limit of the account of {setting} (ALTER USER ... WITH ...), or wait",
    ),
    (
        {1037, 1038, 1041, 1135, 1206, 1461, 1637},
        DOWN,
        "the server has too little of what it names: give it more, and try again",
    ),
    ({1026, 1030}, DOWN, "see the server's log, and its disk; then try again"),
    (
        {1034, 1712},
        DOWN,
        "see the server's log, and its disk: a change of a table ends so on a full one as well, and leaves the table "
        "as it was; free space, and try again. Where CHECK TABLE says the same, restore a backup (docs/backup.md)",
    ),
    (
        {1033, 1194, 1195, 1877, 1932},
        DOWN,
        "that table is damaged, or its file is gone: see the server's log, and restore a backup (docs/backup.md)",
    ),
    (
        {1071, 1118, 1709},
        DOWN,
        "tables of older kinds have no room for it: SET GLOBAL innodb_default_row_format = dynamic (and in the "
        "configuration), and upgrade again",
    ),
    ({1286}, DOWN, "the server runs without InnoDB: see its log, and have it load InnoDB"),
    (
        {1449},
        DOWN,
        "triggers run with that account's rights: make it again (`truetonne db grants migrate`)",
    ),
    (
        {1049},
        DOWN,
        "CREATE DATABASE it, or check user, password and name in {setting}",
    ),
    (
        {1036, 1290, 1836},
        DOWN,
        "the server is read-only; name the primary in {setting}; where this is it, and was started anew, "
        "docs/replica.md says what that needs",
    ),
    (
        {galera.NOT_READY},
        DOWN,
        "the node is not of the cluster's majority, or still gets its data: name the writer endpoint in "
        "{setting}; where all nodes say so, see docs/ha.md",
    ),
    ({galera.UNDECIDED}, DOWN, LOOK),
    (
        {1040, 1203},
        DOWN,
        "end connections that nobody needs, or allow more (max_connections, or max_user_connections of an account), "
        "or wait",
    ),
    (
        {1129, 1130},
        DOWN,
        "have the server take this machine (after many broken connections: FLUSH HOSTS), or correct {setting}",
    ),
    (_CUT_OFF, DOWN, _CUT),
    (_GONE, DOWN, _START),
)
# SQLite's names, extended ones included.
_SQLITE = (
    (("SQLITE_BUSY", "SQLITE_LOCKED"), BUSY, _AGAIN),
    (
        ("SQLITE_CANTOPEN",),
        DOWN,
        "check that the folder exists and can be written, and that as many files may be open (`ulimit -n`)",
    ),
    (("SQLITE_READONLY_",), DOWN, WRITABLE),
    (("SQLITE_NOTADB", "SQLITE_CORRUPT"), DOWN, _RESTORE),
    (("SQLITE_FULL", "SQLITE_IOERR"), DOWN, "make room on the disk, or check it"),
)


def diagnose(
    error: DBAPIError | pymysql.err.Error, setting: str, *, writes: bool = False
) -> tuple[str, str]:
    """Return what an error of a driver means, and what a person can do about it.

    SQLAlchemy wraps those of statements, and not one of a connection that is lost while it is set to autocommit.

    Parameters
    ----------
    setting
        The setting that names the database, as people set it.
    writes
        Whether what was done may write: where it may not, that a file of SQLite takes no write is no fault of the file.

    Returns
    -------
    tuple of str
        ``DOWN``, ``BUSY`` or ``NO_TABLE`` with an advice, or two empty texts for all others.
    """
    original = original_of(error)
    if isinstance(original, sqlite3.Error):
        if writes and getattr(original, "sqlite_errorname", "") == "SQLITE_READONLY":
            return DOWN, WRITABLE
        return _diagnose_sqlite(original)
    arguments = getattr(original, "args", ())
    number = arguments[0] if arguments else None
    if isinstance(original, pymysql.err.OperationalError):
        for said, advice in _BY_WORDS:
            if said.search(str(original)):
                return DOWN, advice
    for numbers, kind, advice in _MYSQL:
        if number in numbers:
            return kind, advice.format(setting=setting)
    lost = getattr(error, "connection_invalidated", False)
    return (DOWN, _START.format(setting=setting)) if lost else ("", "")


def original_of(error: DBAPIError | pymysql.err.Error) -> BaseException | None:
    """Return the driver's own error."""
    return error.orig if isinstance(error, DBAPIError) else error


def _diagnose_sqlite(error: sqlite3.Error) -> tuple[str, str]:
    name = getattr(error, "sqlite_errorname", "")
    for names, kind, advice in _SQLITE:
        if name.startswith(names):
            return kind, advice
    said = str(error)
    if "no such table" in said:
        return NO_TABLE, _UPGRADE
    other = "no such column" in said or "has no column named" in said
    return (NO_TABLE, _OTHER_VERSION) if other else ("", "")


def is_wait(error: DBAPIError | pymysql.err.Error) -> bool:
    """Return whether an error of a driver means that a lock was waited for as long as it may be.

    A deadlock, or a row that was changed since, is none: the same work may succeed at once.
    """
    original = original_of(error)
    arguments = getattr(original, "args", ())
    return getattr(original, "sqlite_errorname", "") == "SQLITE_BUSY" or arguments[:1] == (1205,)


def is_by_trigger(error: DBAPIError | pymysql.err.Error) -> bool:
    """Return whether a trigger refused the statement, by RAISE on SQLite or by a SIGNAL without a number of its own."""
    original = original_of(error)
    name, arguments = getattr(original, "sqlite_errorname", ""), getattr(original, "args", ())
    return name == "SQLITE_CONSTRAINT_TRIGGER" or arguments[:1] == (_SIGNALLED,)


def is_by_values(error: DBAPIError | pymysql.err.Error) -> bool:
    """Return whether what is stored, and not the server, is the matter: some other program wrote what is no value.

    SQLite takes any bytes for a text, and numbers whose sum is none any more.
    """
    original = original_of(error)
    if isinstance(original, sqlite3.Error):
        return any(said in str(original) for said in _OF_VALUES)
    arguments = getattr(original, "args", ())
    return arguments[:1] == (_OUT_OF_RANGE,)


def is_gone(error: DBAPIError | pymysql.err.Error) -> bool:
    """Return whether an error of a driver means that the server does not answer, or is not ready."""
    arguments = getattr(original_of(error), "args", ())
    lost = getattr(error, "connection_invalidated", False)
    return lost or bool(arguments and arguments[0] in _GONE)
