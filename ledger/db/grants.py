"""What each account of MariaDB may do, made from what the models say about who writes which table, and how.

Five accounts: ``migrate`` changes the schema, ``write`` is for commands and jobs, ``api`` for the API in a process of
its own, ``read`` for reports and replicas, ``backup`` for copies of the server and of its binary log. What only grows
(the audit log, its chain, factors, corrections) none but ``migrate`` can change or delete, beside the triggers; nobody
but ``migrate`` can TRUNCATE, which passes triggers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum

from sqlalchemy import Connection

from ledger.errors import BadInput, DependencyDown
from ledger.models import Base

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")
_HOST = re.compile(r"[A-Za-z0-9%_.:/-]{1,255}")
_NAME_CHARACTERS_MAX = 64
_GRANT = re.compile(
    r"GRANT (?P<verbs>.+?) ON (?P<what>(?:`(?:[^`]|``)*`|\*)\.(?:`(?:[^`]|``)*`|\*)) TO "
)
_SCHEMA_VERBS = (
    *("SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER"),
    *("INDEX", "REFERENCES", "TRIGGER"),
)


class Account(StrEnum):
    """An account of the database, by what it is for."""

    MIGRATE = "migrate"
    WRITE = "write"
    API = "api"
    READ = "read"
    BACKUP = "backup"

    @property
    def user(self) -> str:
        """Its usual name on the server."""
        return f"truetonne_{self}"


_SERVER = "*.*"
_BACKUP_VERBS = (
    *("RELOAD", "PROCESS", "LOCK TABLES"),
    *("BINLOG MONITOR", "REPLICATION SLAVE", "SLAVE MONITOR"),
)
"""What mariadb-backup, and who follows the binary log, are asked for."""


def wanted(account: Account) -> dict[str, tuple[str, ...]]:
    """Return what an account may do: verbs by table, under ``*`` to all of them, under ``*.*`` to the server."""
    if account is Account.MIGRATE:
        return {"*": _SCHEMA_VERBS}
    if account is Account.BACKUP:
        return {_SERVER: _BACKUP_VERBS, "*": ("SELECT",)}
    rights: dict[str, tuple[str, ...]] = {"*": ("SELECT",)}
    declared = {Account.WRITE: "changes", Account.API: "api"}.get(account)
    if declared is not None:
        for name, table in sorted(Base.metadata.tables.items()):
            verbs = tuple(verb.upper() for verb in table.info[declared])
            if verbs:
                rights[name] = verbs
    return rights


def statements(
    account: Account,
    database: str,
    *,
    user: str = "",
    host: str = "%",
    tls: bool = True,
    mysql: bool = False,
) -> list[str]:
    """Return the statements that make an account and give it exactly its rights; its password is still to be set.

    Parameters
    ----------
    user
        Its name; empty: ``truetonne_<account>``.
    host
        Where it may come from, as MariaDB writes it: ``%``, ``10.0.0.%``.
    tls
        Whether it must come by TLS.
    mysql
        Whether the server is MySQL, which has other words for an account that nobody can sign in to yet.

    Raises
    ------
    BadInput
        If a name cannot be one, or the archive's would be too long, or MySQL has no such account.
    """
    if mysql and account is Account.BACKUP:
        raise BadInput(
            "there is no account for backups on MySQL, as this program takes none there; use MySQL's own tools"
        )
    user = user or account.user
    for what, pattern, value in (("user", _NAME, user), ("host", _HOST, host)):
        if not pattern.fullmatch(value):
            raise BadInput(f"{value!r} cannot be the {what} of an account of MariaDB")
    who = f"'{user}'@'{host}'"
    made = [
        # MySQL draws the password, too, and answers with it.
        f"CREATE USER IF NOT EXISTS {who} IDENTIFIED BY RANDOM PASSWORD" if mysql else _made(who),
        f"ALTER USER {who} REQUIRE {'SSL' if tls else 'NONE'}",
        f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {who}",
    ]
    for table, verbs in wanted(account).items():
        place = table if table == _SERVER else place_of(database, table)
        made.append(f"GRANT {', '.join(verbs)} ON {place} TO {who}")
    archive = _SCHEMA_VERBS if account is Account.MIGRATE else ("SELECT",)
    made.append(
        f"GRANT {', '.join(archive)} ON {place_of(require_archive_name(database), '*')} TO {who}"
    )
    return made


def _made(who: str) -> str:
    """Return the statement that makes an account, unless it is there, with a password that nobody knows.

    The server draws it: where passwords are checked (``simple_password_check``), an account with none, or with the
    hash of none, is refused.
    """
    quoted = who.replace("'", "''")
    return (
        f"EXECUTE IMMEDIATE CONCAT('CREATE USER IF NOT EXISTS {quoted} IDENTIFIED VIA mysql_native_password "
        "USING PASSWORD(''Aa1-', HEX(RANDOM_BYTES(32)), ''')')"
    )


def archive_of(database: str) -> str:
    """Return the name of the schema that old rows of a database go to."""
    return f"{database}_archive"


def require_archive_name(database: str) -> str:
    """Return the name of a database's archive, where the server takes it.

    Raises
    ------
    BadInput
        It is longer than names may be.
    """
    archive = archive_of(database)
    if len(archive) > _NAME_CHARACTERS_MAX:
        raise BadInput(
            f"database {database}: MariaDB takes names of {_NAME_CHARACTERS_MAX} characters at the most, and that of "
            f"its archive, {archive}, has {len(archive)}; give the database a name of "
            f"{_NAME_CHARACTERS_MAX - len(archive_of(''))} at the most",
            code="archive-name",
        )
    return archive


def place_of(database: str, table: str) -> str:
    """Return how a GRANT names a table, or all of them (``*``): there, ``_`` and ``%`` would stand for any letter."""
    quoted = database.replace("`", "``")
    if table == "*":
        return "`" + re.sub(r"([_%\\])", r"\\\1", quoted) + "`.*"
    return f"`{quoted}`.`{table}`"


def missing(account: Account, may: Callable[[str, str], bool]) -> list[tuple[str, str]]:
    """Return what an account lacks, as pairs of table (or ``*``) and verb.

    Parameters
    ----------
    may
        From ``rights_of``.
    """
    return [
        (table, verb)
        for table, verbs in wanted(account).items()
        for verb in verbs
        if not (may(table, verb) or (table == "*" and _on_every_table(may, verb)))
    ]


def rights_of(link: Connection, database: str = "") -> Callable[[str, str], bool]:
    """Return a function that tells whether who is connected may do something (a verb) to a table, or to all (``*``).

    Parameters
    ----------
    database
        Whose tables; empty: those of the connection's own.
    """
    database = database or str(link.exec_driver_sql("SELECT DATABASE()").scalar_one())
    lines = [str(row[0]) for row in link.exec_driver_sql("SHOW GRANTS")]
    held = list(_held(lines, database))

    def may(table: str, verb: str) -> bool:
        return any(
            where in ("*", table) and (verb in verbs or "ALL PRIVILEGES" in verbs)
            for where, verbs in held
        )

    return may


def _held(lines: Iterable[str], database: str) -> Iterator[tuple[str, set[str]]]:
    """Yield for each grant that is about a database the table, or ``*``, and the verbs."""
    for line in lines:
        found = _GRANT.match(line)
        if found is None:
            continue
        schema, _, table = found["what"].replace("``", "\0").rpartition(".")
        verbs = {verb.strip() for verb in re.sub(r"\([^)]*\)", "()", found["verbs"]).split(",")}
        if schema == "*" or _matches(
            schema.strip("`").replace("\0", "`"), database, pattern=table == "*"
        ):
            yield table.strip("`").replace("\0", "`"), verbs


def _matches(schema: str, database: str, *, pattern: bool) -> bool:
    if not pattern:
        return schema == database
    signs = {"_": ".", "%": ".*"}
    parts = re.findall(r"\\.|.", schema)
    text = "".join(signs.get(part) or re.escape(part[-1]) for part in parts)
    return re.fullmatch(text, database) is not None


def _on_every_table(may: Callable[[str, str], bool], verb: str) -> bool:
    return all(may(name, verb) for name in (*Base.metadata.tables, "alembic_version"))


PROMOTES = (
    "RELOAD",
    "READ_ONLY ADMIN",
    "REPLICATION SLAVE ADMIN",
    "REPLICATION MASTER ADMIN",
    "REPLICA MONITOR",
)
"""What ``db promote`` needs on the whole server, see docs/replica.md; MariaDB has two names for the last one."""


def require_promoting(link: Connection, place: str) -> None:
    """Require that who is connected may promote a replica.

    Raises
    ------
    DependencyDown
        With the statement that gives the rights that lack.
    """
    held: set[str] = set()
    for (line,) in link.exec_driver_sql("SHOW GRANTS"):
        found = _GRANT.match(str(line))
        if found is not None and found["what"] == "*.*":
            held |= {verb.strip() for verb in found["verbs"].split(",")}
    lacks = [
        verb
        for verb in PROMOTES
        if not held & {verb, verb.replace("REPLICA ", "SLAVE "), "ALL PRIVILEGES"}
    ]
    if lacks:
        who = str(link.exec_driver_sql("SELECT CURRENT_USER()").scalar_one())
        user, _, host = who.rpartition("@")
        raise DependencyDown(
            f"database {place}: the account may not promote; GRANT {', '.join(lacks)} ON *.* TO '{user}'@'{host}', or "
            "name one that may in database_admin_url",
            code="rights-missing",
        )
