"""Rules about what a server has of ours: tables, columns, and the rights of the account that is connected."""

from __future__ import annotations

from sqlalchemy.schema import CreateColumn

from ledger.db import grants
from ledger.db.findings import Finding, Server, State
from ledger.db.grants import Account
from ledger.models import Base


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
            made = " ".join(
                str(CreateColumn(known.columns[column]).compile(dialect=dialect)).split()
            )
            if (
                "COLLATE" not in made and "CHECK" not in made
            ):  # the table's, said: MODIFY would keep the wrong one
                kind = dialect.type_compiler_instance.process(known.columns[column].type)
                made = made.replace(kind, f"{kind} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", 1)
            wrong.append(
                (
                    f"{table}.{column} has collation {collation}",
                    f"ALTER TABLE {table} MODIFY {made}",
                )
            )
    if wrong:
        found, mend = wrong[0]
        more = f", and {len(wrong) - 1} more like it" if len(wrong) > 1 else ""
        return Finding("tables", State.BAD, f"{found}{more}", mend)
    return Finding("tables", State.GOOD, "InnoDB, compared byte by byte")


def rights(server: Server) -> Finding:
    """Compare what the account may do with what each account needs, and name the first right that lacks."""
    may = grants.rights_of(server.session.connection())
    lacks = {account: grants.missing(account, may) for account in (Account.WRITE, Account.API)}
    for account, does in ((Account.WRITE, "commands and jobs do"), (Account.API, "the API does")):
        if not lacks[account]:
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
    if not writes and not grants.missing(Account.READ, may):
        return Finding("rights", State.GOOD, "the account may read, and write nothing")
    account = min(lacks, key=lambda each: len(lacks[each])) if writes else Account.READ
    gone = lacks[account] if writes else grants.missing(Account.READ, may)
    who = server.session.connection().exec_driver_sql("SELECT CURRENT_USER()").scalar_one()
    user, _, host = str(who).rpartition("@")
    (table, verb), more_ = gone[0], len(gone) - 1
    place = grants.place_of(server.database, table)
    found = f"the account lacks {verb} on {'all tables' if table == '*' else table}"
    found += f", and {more_} rights more (`truetonne db grants {account}`)" if more_ else ""
    return Finding("rights", State.BAD, found, f"GRANT {verb} ON {place} TO '{user}'@'{host}'")
