"""Nothing is only a table: each of the 41 has code that writes it, in the room that says so, and a way to be read."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from fastapi.routing import iter_route_contexts

from api.app import create_app
from ledger.models import Base
from ledger.models.base import BEYOND
from ledger.park import KINDS
from ledger.settings import load_settings

ROOT = Path(__file__).resolve().parents[2]
TABLES = {
    name: table for name, table in Base.metadata.tables.items() if table.info["origin"] != BEYOND
}
MODELS = {
    mapper.local_table.name: mapper.class_.__name__  # type: ignore[attr-defined]
    for mapper in Base.registry.mappers
}
WAYS = {
    "users": "GET /v1/users",
    "user_sessions": "GET /v1/sessions",
    "user_permissions": "GET /v1/users/{user_id}",
    "device_data": "GET /v1/devices/{code}/data",
    "vpp_trading_records": "GET /v1/trades",
    "energy_consumption": "GET /v1/energy",
    "energy_production": "GET /v1/energy",
    "carbon_emissions": "GET /v1/emissions",
    "blockchain_transactions": "GET /v1/transactions",
    "smart_contracts": "GET /v1/contracts",
    "carbon_credits": "GET /v1/credits",
    "system_config": "GET /v1/config",
    "audit_logs": "GET /v1/audit-log",
    "vpp_settlement_accounts": "GET /v1/search",
    "vpp_settlement_batches": "GET /v1/settlements",
    "vpp_settlement_items": "GET /v1/trades",
}
"""How a table is read that is no kind of record. Those that are have a list of their own."""
INSERTING = ("insert", "insert_columns", "insert_behind", "put", "add")
"""Functions that write rows of a model which their module names."""


def sources(room: str) -> Iterator[ast.Module]:
    """Return the modules of a room, given as a package or a module of Python."""
    place = ROOT / Path(*room.split("."))
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    assert files, room
    for file in files:
        yield ast.parse(file.read_text(encoding="utf-8"))


def writes(module: ast.Module, table: str) -> bool:
    """Return whether a module makes rows of a table: by its model, by a call that inserts, or by SQL."""
    nodes = list(ast.walk(module))
    called = {
        node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for node in nodes
        if isinstance(node, ast.Call)
    }
    model = MODELS[table]
    named = any(isinstance(node, ast.Name) and node.id == model for node in nodes)
    texts = [
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return (
        model in called
        or (named and not called.isdisjoint(INSERTING))
        or table in texts
        or any(f"INSERT INTO {table} " in text for text in texts)
    )


def test_there_are_41_and_each_has_a_way_to_be_read() -> None:
    assert len(TABLES) == 41
    kinds = {kind.table for kind in KINDS.values()}
    assert len(kinds) == len(KINDS) == 25
    assert kinds | set(WAYS) == set(TABLES)
    assert not kinds & set(WAYS)


def test_the_writer_of_each_writes_it() -> None:
    kinds = {kind.table for kind in KINDS.values()}
    rooms: dict[str, list[ast.Module]] = {}
    for table, found in TABLES.items():
        writer = found.info["writer"]
        if table in kinds:
            assert writer == "ledger.park"  # tests/ledger/test_records.py writes each of them
            continue
        modules = rooms.setdefault(writer, list(sources(writer)))
        assert any(writes(module, table) for module in modules), f"{writer} does not write {table}"


def test_the_ways_are_there(tmp_path: Path) -> None:
    app = create_app(load_settings(None, {"TRUETONNE_HOME": str(tmp_path)}))
    routes = {
        f"{method} {route.path}"
        for route in iter_route_contexts(app.routes)
        for method in route.methods or ()
    }
    assert set(WAYS.values()) - routes == set()
    assert {f"GET /v1/{name}" for name in KINDS} - routes == set()


def test_the_check_itself_finds_a_table_that_nobody_writes() -> None:
    read = ast.parse("found = session.scalars(select(User)).all()")
    assert not writes(read, "users")
    for text in ("User(username=1)", "x.insert(User)", "'INSERT INTO users (id) VALUES (?)'"):
        assert writes(ast.parse(text), "users")
