"""Statements that are compiled once in a process, instead of once in every test's database.

SQLAlchemy keeps what it has made of a statement for one engine and its dialect, and each test opens books
of its own: a quarter of the tests' time went into making the same texts again. ``share_compiled`` lets
engines of the same kind share them; what is sent to a database is the same.
"""

from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.default import DefaultDialect

_COMPILED: dict[Any, Any] = {}


def share_compiled() -> None:
    """Share compiled statements among all engines of this process from now on."""
    DefaultDialect.__hash__ = lambda dialect: hash(type(dialect))  # type: ignore[assignment, method-assign]
    DefaultDialect.__eq__ = lambda one, other: _kind(one) == _kind(other)  # type: ignore[assignment, method-assign]
    event.listen(Engine, "engine_connect", _use)


def _kind(dialect: object) -> tuple[Any, ...]:
    """Return all that a dialect puts into a compiled statement: its class, its server, its JSON."""
    json = getattr(dialect, "_json_serializer", None)
    return (
        type(dialect),
        getattr(dialect, "server_version_info", None),
        getattr(dialect, "paramstyle", None),
        getattr(json, "keywords", json),
    )


def _use(connection: Connection) -> None:
    connection.execution_options(compiled_cache=_COMPILED)
