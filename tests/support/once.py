"""What a process of tests works out once, and its tests share: the same in, the same out.

Each test opens books of its own, so that a quarter of the time went into texts of statements that another test had
made before. Each connection to MariaDB read the machine's certificates anew. Each application, and there are hundreds,
looked at the parameters of the same routes, and described them.
"""

import pickle
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import pymysql
from fastapi import routing
from fastapi.openapi import utils as description
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.default import DefaultDialect

_COMPILED: dict[Any, Any] = {}


def share() -> None:
    """Share from now on: compiled statements, certificates, routes.

    Before ``api.app`` is imported, which takes what describes its routes by name.
    """
    # SQLAlchemy keeps statements for one engine and its dialect: here dialects of one kind are the same.
    DefaultDialect.__hash__ = lambda dialect: hash(type(dialect))  # type: ignore[assignment, method-assign]
    DefaultDialect.__eq__ = lambda one, other: _kind(one) == _kind(other)  # type: ignore[assignment, method-assign]
    event.listen(Engine, "engine_connect", _use_compiled)
    made = pymysql.Connection._create_ssl_ctx
    known: list[Any] = []

    def context(link: Any, settings: Any) -> Any:
        if settings:
            return made(link, settings)
        if not known:
            known.append(made(link, settings))
        return known[0]

    pymysql.Connection._create_ssl_ctx = context
    _share_routes()


def _share_routes() -> None:
    """Read the parameters of a route once, and describe the same routes once."""
    read: dict[Any, tuple[Any, Any]] = {}
    read_parameters = routing._build_dependant_with_parameterless_dependencies

    def parameters(*, path: str, call: Callable[..., Any], dependencies: Sequence[Any]) -> Any:
        key = (path, id(call), *map(id, dependencies))
        if key not in read:
            made = read_parameters(path=path, call=call, dependencies=dependencies)
            read[key] = made, (call, *dependencies)  # which thereby keep their numbers
        return read[key][0]

    routing._build_dependant_with_parameterless_dependencies = parameters
    routing.create_model_field = cache(routing.create_model_field)  # of its answers
    described: dict[Any, tuple[bytes, Any]] = {}
    describe = description.get_openapi

    def openapi(*, routes: Sequence[Any], **said: str) -> Any:
        # An application's own route is that of the description, which is not described.
        shown = [route for route in routes if getattr(route, "include_in_schema", True)]
        originals = [getattr(route, "original_router", route) for route in shown]
        key = (*said.items(), *map(id, originals))
        if key not in described:
            described[key] = pickle.dumps(describe(routes=routes, **said)), originals
        return pickle.loads(described[key][0])  # the application goes on writing in it

    description.get_openapi = openapi


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
