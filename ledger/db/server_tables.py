"""Rules about what a server has of ours: tables, columns, and the rights of the account that is connected."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, Dialect
from sqlalchemy.schema import CreateColumn

from ledger.db import grants
from ledger.db.findings import Finding, Server, State
from ledger.db.grants import Account
from ledger.models import Base

_READS = re.compile(r"(^|_)read$")
_SERVES = re.compile(r"(^|_)api$")
"""Names of accounts as ``db grants`` makes them: a reader has the same grants as a writer that lost its own."""


def tables(server: Server) -> Finding:
    """Compare engine and collation of tables and columns with what the models say."""
    read = server.session.connection().exec_driver_sql
    tables = read(
        "SELECT table_name, engine, table_collation FROM information_schema.tables "
        "WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' ORDER BY table_name"
    ).all()
    wrong: list[tuple[str, str]] = []
    for name, engine, collation in tables:
        if name in Base.metadata.tables:
            if engine != "InnoDB":
                wrong.append((f"{name} is {engine}", f"ALTER TABLE {name} ENGINE = InnoDB"))
            if collation != "utf8mb4_bin":
                mend = f"ALTER TABLE {name} DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
                wrong.append((f"{name} has collation {collation}", mend))
    dialect = server.session.connection().dialect
    columns = read(
        "SELECT table_name, column_name, collation_name FROM information_schema.columns "
        "WHERE table_schema = DATABASE() AND collation_name IS NOT NULL "
        "AND collation_name NOT IN ('utf8mb4_bin', 'ascii_bin') ORDER BY table_name, ordinal_position"
    ).all()
    for table, column, collation in columns:
        known = Base.metadata.tables.get(table)
        if known is not None and column in known.columns:
            mend = f"ALTER TABLE {table} MODIFY {_definition(known.columns[column], dialect)}"
            wrong.append((f"{table}.{column} has collation {collation}", mend))
    if wrong:
        found, mend = wrong[0]
        more = f", and {len(wrong) - 1} more like it" if len(wrong) > 1 else ""
        return Finding("tables", State.BAD, f"{found}{more}", mend)
    return Finding("tables", State.GOOD, "InnoDB, compared byte by byte")


def _definition(column: Column[Any], dialect: Dialect) -> str:
    """Return a column as SQL defines it, with its collation."""
    made = " ".join(str(CreateColumn(column).compile(dialect=dialect)).split())
    if "COLLATE" in made or "CHECK" in made:
        return made
    # The table's, said: MODIFY would keep the wrong one.
    kind = dialect.type_compiler_instance.process(column.type)
    return made.replace(kind, f"{kind} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", 1)


def rights(server: Server) -> Finding:
    """Compare what the account of ``database_url`` may do with what each account needs, and say what lacks."""
    may = grants.rights_of(server.session.connection())
    lacks = {account: grants.missing(account, may) for account in (Account.WRITE, Account.API)}
    behind = _most_of_what_commands_need(lacks[Account.WRITE])
    for account, does in ((Account.WRITE, "commands and jobs do"), (Account.API, "the API does")):
        if not lacks[account] and not (account is Account.API and behind):
            more = [verb for verb in ("DROP", "ALTER", "CREATE") if may("*", verb)]
            extra = (
                f", and more: {', '.join(more)}; `truetonne db grants` prints accounts with less"
            )
            found = f"the account may do all that {does}{extra if more else ''}"
            return Finding("rights", State.GOOD, found)
    writes = any(
        may(table, verb)
        for table in ("*", *Base.metadata.tables)
        for verb in ("INSERT", "UPDATE", "DELETE")
    )
    who = _connected(server)
    if writes:
        account = Account.WRITE if behind else min(lacks, key=lambda each: len(lacks[each]))
        return _lacking(server, account, lacks[account], who)
    if not _READS.search(who[0]):
        return _lost(server, who)
    gone = grants.missing(Account.READ, may)
    if gone:
        return _lacking(server, Account.READ, gone, who)
    return Finding("rights", State.GOOD, "the account may read, and write nothing")


def _most_of_what_commands_need(gone: Sequence[tuple[str, str]]) -> bool:
    """Return whether an account that lacks these has more of what commands and jobs do beyond the API.

    Such a one is theirs and not the API's: `db grants` was not run again after an upgrade that has new tables, say.
    """
    served = {
        (table, verb) for table, verbs in grants.wanted(Account.API).items() for verb in verbs
    }
    beyond = {
        (table, verb) for table, verbs in grants.wanted(Account.WRITE).items() for verb in verbs
    } - served
    return len(beyond.difference(gone)) > len(beyond.intersection(gone))


def _connected(server: Server) -> tuple[str, str]:
    """Return user and host of the account, as the server knows it."""
    who = server.session.connection().exec_driver_sql("SELECT CURRENT_USER()").scalar_one()
    user, _, host = str(who).rpartition("@")
    return user, host


def _lacking(
    server: Server, account: Account, gone: Sequence[tuple[str, str]], who: tuple[str, str]
) -> Finding:
    """Return the finding that an account lacks some rights, with the statement that gives the first."""
    user, host = who
    (table, verb), more = gone[0], len(gone) - 1
    place = grants.place_of(server.database, table)
    found = f"the account lacks {verb} on {'all tables' if table == '*' else table}"
    found += f", and {more} rights more (`truetonne db grants {account}`)" if more else ""
    return Finding("rights", State.BAD, found, f"GRANT {verb} ON {place} TO '{user}'@'{host}'")


def _lost(server: Server, who: tuple[str, str]) -> Finding:
    """Return the finding that an account which is no reader's by its name may write nothing, with what gives all."""
    user, host = who
    account = Account.API if _SERVES.search(user) else Account.WRITE
    words = ["truetonne", "db", "grants", str(account)]
    words += ["--user", user] if user != account.user else []
    words += ["--host", host] if host != "%" else []
    words += [] if server.cipher() else ["--no-tls"]  # else it could not connect as it does now
    words += [] if server.is_mariadb else ["--mysql"]
    client = "mariadb" if server.is_mariadb else "mysql"
    found = (
        f"the account {user} may write nothing: commands, jobs and API fail where they write "
        "(one that is to read alone has a name that ends in _read)"
    )
    return Finding("rights", State.BAD, found, f"run `{shlex.join(words)} | {client} -u root -p`")
