"""The rule about triggers: without them only rights keep append-only tables, and nothing the parents of rows.

They are lost without a word: by a dump that leaves triggers out, or by somebody who drops one and writes. On a server
only an account with the right TRIGGER sees them. An SQLite file has no rights, and its foreign keys keep the parents.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from ledger.db import grants
from ledger.db.findings import Finding, State
from ledger.db.sqltext import is_mariadb
from ledger.models import Base

PARENTS = (
    # parent, partitioned child, the child's column: MariaDB has no foreign keys on partitions
    ("devices", "device_data", "device_id"),
    ("vpp_definitions", "vpp_trading_records", "vpp_id"),
    ("vpp_trading_strategies", "vpp_trading_records", "strategy_id"),
)
_PRESENT = (
    "SELECT trigger_name, event_object_table, action_timing, event_manipulation, action_statement "
    "FROM information_schema.triggers WHERE trigger_schema = DATABASE()"
)


@dataclass(frozen=True)
class Trigger:
    """A trigger as it must be, before a change of each row."""

    name: str
    table: str
    verb: str
    body: str

    def made(self, *, mariadb: bool) -> str:
        """Return what makes it, or makes it what it was, for a client that parts statements at ``//``."""
        if mariadb:
            return self.text.replace("CREATE", "CREATE OR REPLACE", 1)
        return f"DROP TRIGGER IF EXISTS {self.name}// {self.text}"

    @property
    def text(self) -> str:
        """Its text, as SQLite keeps it."""
        return f"CREATE TRIGGER {self.name} BEFORE {self.verb} ON {self.table} FOR EACH ROW {self.body}"


def wanted() -> list[Trigger]:
    """Return the triggers that the schema has on MariaDB, as the migrations make them."""
    found = _append_only("SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{}'")
    for parent, child, column in PARENTS:
        look = f"SELECT id INTO found FROM {child} WHERE {column} = OLD.id LIMIT 1 FOR UPDATE; "
        refuse = (
            "IF found IS NOT NULL THEN SIGNAL SQLSTATE '23000' SET MYSQL_ERRNO = 1451, "
            f"MESSAGE_TEXT = '{parent} row has {child}: "
        )
        deleted = f"{look}{refuse}it cannot be deleted'; END IF; END"
        numbered = (
            f"IF NEW.id <> OLD.id THEN {look}{refuse}its number cannot change'; END IF; END IF; END"
        )
        begin = "BEGIN DECLARE found BIGINT; "
        found += [
            Trigger(f"{parent}_keeps_{child}", parent, "DELETE", begin + deleted),
            Trigger(f"{parent}_keeps_number_of_{child}", parent, "UPDATE", begin + numbered),
        ]
    return found


def _append_only(refusal: str) -> list[Trigger]:
    found = []
    for name, table in Base.metadata.tables.items():
        if table.info["changes"] == ("insert",):
            said = refusal.format(f"{name} is append-only: write a new row with a reason")
            found += [
                Trigger(f"{name}_no_{verb.lower()}", name, verb, f"BEGIN {said}; END")
                for verb in ("UPDATE", "DELETE")
            ]
    return found


def file_triggers(session: Session, file: Path) -> Finding:
    """Compare the triggers of an SQLite file with those that the schema has."""
    expected = _append_only("SELECT RAISE(ABORT, '{}')")
    rows = session.connection().exec_driver_sql(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"
    )
    present = {str(name): str(sql) for name, sql in rows}
    wrong = [each for each in expected if present.get(each.name) != each.text]
    if not wrong:
        return _whole(expected)
    drop = f"DROP TRIGGER {wrong[0].name}; " if wrong[0].name in present else ""
    mend = f'sqlite3 {shlex.quote(str(file))} "{drop}{wrong[0].text}"'
    return Finding("triggers", State.BAD, _said(wrong, present), mend)


def triggers(session: Session) -> Finding:
    """Compare the triggers of a MariaDB with those that the schema has."""
    link = session.connection()
    may = grants.rights_of(link)
    expected = wanted()
    if not all(may(each.table, "TRIGGER") for each in expected):
        said = "this account does not see them"
        return Finding("triggers", State.UNKNOWN, said, "set database_admin_url, and ask again")
    present = {str(row[0]): tuple(map(str, row[1:])) for row in link.exec_driver_sql(_PRESENT)}
    wrong = [
        each
        for each in expected
        if present.get(each.name) != (each.table, "BEFORE", each.verb, each.body)
    ]
    if not wrong:
        return _whole(expected)
    database = link.exec_driver_sql("SELECT DATABASE()").scalar_one()
    # Its body has semicolons, at which the client would part it.
    mariadb = is_mariadb(link.dialect)
    client, made = "mariadb" if mariadb else "mysql", wrong[0].made(mariadb=mariadb)
    mend = f'{client} -u root -p --delimiter=// {database} -e "{made}"'
    return Finding("triggers", State.BAD, _said(wrong, present), mend)


def _whole(expected: list[Trigger]) -> Finding:
    return Finding("triggers", State.GOOD, f"{len(expected)}, as the schema has them")


def _said(wrong: list[Trigger], present: Collection[str]) -> str:
    first, more = wrong[0], len(wrong) - 1
    is_ = "is another than ours" if first.name in present else "is missing"
    said = f"{first.name} {is_}: nothing refuses {first.verb} on {first.table}"
    return said + (f"; and {more} more like it" if more else "")
