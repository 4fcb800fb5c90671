"""What a process of tests works out once, and its tests share: the same in, the same out.

Each test opens books and keys of its own, so that a quarter of the time went into texts of statements that
another test had made before, and a tenth into the same multiplications on the curve, which are done in Python.
Each connection to MariaDB read the machine's certificates anew.
"""

from functools import cache
from typing import Any

import pymysql
from eth_keys.backends.native import main as curve
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.default import DefaultDialect

_COMPILED: dict[Any, Any] = {}


def share() -> None:
    """Share from now on: compiled statements, public keys, signatures and their signers, certificates."""
    # SQLAlchemy keeps statements for one engine and its dialect: here dialects of one kind are the same.
    DefaultDialect.__hash__ = lambda dialect: hash(type(dialect))  # type: ignore[assignment, method-assign]
    DefaultDialect.__eq__ = lambda one, other: _kind(one) == _kind(other)  # type: ignore[assignment, method-assign]
    event.listen(Engine, "engine_connect", _use_compiled)
    for name in ("private_key_to_public_key", "ecdsa_raw_sign", "ecdsa_raw_recover"):
        setattr(curve, name, cache(getattr(curve, name)))
    made = pymysql.Connection._create_ssl_ctx
    known: list[Any] = []

    def context(link: Any, settings: Any) -> Any:
        if settings:
            return made(link, settings)
        if not known:
            known.append(made(link, settings))
        return known[0]

    pymysql.Connection._create_ssl_ctx = context


def _kind(dialect: object) -> tuple[Any, ...]:
    """Return all that a dialect puts into a compiled statement: its class, its server, its JSON."""
    json = getattr(dialect, "_json_serializer", None)
    return (
        type(dialect),
        getattr(dialect, "server_version_info", None),
        getattr(dialect, "paramstyle", None),
        getattr(json, "keywords", json),
    )


def _use_compiled(connection: Connection) -> None:
    connection.execution_options(compiled_cache=_COMPILED)
