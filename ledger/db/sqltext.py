"""SQL text written once for both drivers: ``?`` and ``:name`` become what PyMySQL takes; the clock; small letters."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from sqlalchemy import (
    ColumnElement,
    Dialect,
    Function,
    Integer,
    String,
    func,
    literal_column,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.orm import InstrumentedAttribute, Session

SMALL_LETTERS = "small_letters"
"""What ``small_letters`` is called in SQLite, whose own ``lower`` knows the letters from A to Z alone."""
_TOKEN = re.compile(
    r"""(?P<kept>'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|::)|(?P<mark>\?)|:(?P<name>[A-Za-z_]\w*)|(?P<percent>%)"""
)


def is_mariadb(dialect: Dialect) -> bool:
    """Return whether a server that was connected to is MariaDB; else it is MySQL, or a file of SQLite."""
    return bool(getattr(dialect, "is_mariadb", False))


@lru_cache(maxsize=512)
def for_driver(sql: str, dialect: str) -> str:
    """Return the statement in the parameter style of the dialect's driver.

    Parameters
    ----------
    sql
        A statement with ``?`` or ``:name``; quoted text is left alone.
    dialect
        ``sqlite`` (taken as it is) or ``mysql`` (``%s`` and ``%(name)s``, a literal % doubled).
    """
    if dialect == "sqlite":
        return sql

    def replaced(token: re.Match[str]) -> str:
        if token["kept"] is not None:
            return token["kept"].replace("%", "%%")
        if token["mark"] is not None:
            return "%s"
        return f"%({token['name']})s" if token["name"] is not None else "%%"

    return _TOKEN.sub(replaced, sql)


def clock_ms(dialect: str) -> ColumnElement[int]:
    """Return the database's own clock as an expression: milliseconds since 1970, UTC."""
    if dialect == "sqlite":
        return literal_column("CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)", Integer)
    return literal_column(
        "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) DIV 1000", Integer
    )


def clock_of(session: Session) -> datetime:
    """Return the time of day by the database's own clock, aware, to the millisecond; of SQLite it is this machine's."""
    found = session.scalars(select(clock_ms(session.connection().dialect.name))).one()
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=found)


def small_letters(session: Session, text: InstrumentedAttribute[str]) -> ColumnElement[str]:
    """Return a text in small letters, of whatever script, as an expression."""
    if session.get_bind().dialect.name == "sqlite":
        return Function(SMALL_LETTERS, text, type_=String())
    return func.lower(text)


def holds(session: Session, text: InstrumentedAttribute[str], part: str) -> ColumnElement[bool]:
    """Return the condition that a text holds a part, whatever the size of its letters."""
    # Not by LIKE: in SQLite that reads both to their first NUL. As it is written, too: of a letter that has two small
    # ones the database may make the other.
    return or_(
        func.instr(type_coerce(text, String()), part) > 0,
        func.instr(small_letters(session, text), part.lower()) > 0,
    )
