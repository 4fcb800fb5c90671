"""The schema is the customer's, to the letter, on both databases; and the rules of the house hold."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import JSON, Column, DateTime, Enum, Float, Inspector, Numeric, Table, inspect, text
from sqlalchemy.dialects import mysql

from ledger.db import Database
from ledger.models import SECTIONS, Base
from ledger.models.base import BEYOND, COMPLETES, CUSTOMER
from ledger.models.document import index_counts, render, tables_of
from ledger.models.types import ExactDecimal, Hex, UtcDateTime
from tests.architecture import customer_schema

ROOT = Path(__file__).resolve().parents[2]
TABLES = Base.metadata.tables
CUSTOMERS = {**customer_schema.dictionary(), **customer_schema.diagram_only()}
COMPLETING = [
    "vpp_settlement_accounts",
    "vpp_settlement_batches",
    "vpp_settlement_items",
    "vpp_market_prices",
    "vpp_market_bids",
    "vpp_forecasts",
    "vpp_dispatch_commands",
    "rl_training_runs",
]
PARTITIONED = {"device_data": "recorded_at", "vpp_trading_records": "trade_time"}

# What cannot be built as the customer wrote it, and nothing else (TIMESTAMP apart: DATETIME(6)).
OTHER_TYPES = {
    ("devices", "type"): "VARCHAR(100)",  # as long as what it refers to
    ("smart_contracts", "abi"): "MEDIUMTEXT",
    ("smart_contracts", "bytecode"): "MEDIUMTEXT",
}
OTHER_KEYS = {("smart_contracts", "contract_address"): "-"}  # unique within its network
OTHER_INDEXES = {  # a foreign key would have brought it, were the table not partitioned
    "idx_vpp_trading_records_strategy_id": ("vpp_trading_records", ["strategy_id"]),
    # nor does SQLite make any for one
    "idx_carbon_credits_blockchain_tx": ("carbon_credits", ["blockchain_tx"]),
    # what stands in order of time is asked for by time; eight of these stand in for a foreign key's
    **{
        "_".join(("idx", table, *columns)): (table, columns)
        for table, columns in (
            ("device_alerts", ["status"]),
            ("vpp_operation_logs", ["vpp_id", "executed_at"]),
            ("price_optimization_history", ["vpp_id", "optimized_at"]),
            ("dynamic_dispatch_history", ["vpp_id", "dispatch_time"]),
            ("multi_objective_optimization", ["vpp_id", "optimized_at"]),
            ("decision_history", ["model_id", "decision_time"]),
            ("adaptive_parameter_adjustments", ["model_id", "adjusted_at"]),
            ("rl_experience_replay", ["model_id", "recorded_at"]),
            ("market_trend_predictions", ["market_name", "prediction_time"]),
        )
    },
}
REFERS_TO = {
    "user_id": "users.id",
    "operator_id": "users.id",
    "device_id": "devices.id",
    "type": "device_types.type_name",
    "vpp_id": "vpp_definitions.id",
    "resource_id": "vpp_resources.id",
    "strategy_id": "vpp_trading_strategies.id",
    "model_id": "rl_models.id",
    "blockchain_tx": "blockchain_transactions.tx_hash",
}
ASCII = {"tx_hash", "contract_address", "blockchain_tx"}
DICTIONARY = [(table, *row) for table, rows in customer_schema.dictionary().items() for row in rows]


@pytest.fixture
def sqlite_columns(sqlite_db: Database) -> dict[str, dict[str, tuple[str, bool, int]]]:
    """Table -> column -> type as declared, may be null, place in the primary key."""
    with sqlite_db.read() as session:
        link = session.connection()
        return {
            table: {
                name: (kind, not required, place)
                for _, name, kind, required, _, place in link.exec_driver_sql(
                    f"PRAGMA table_info({table})"
                )
            }
            for table in TABLES
        }


@pytest.fixture
def mariadb_columns(mariadb_db: Database) -> dict[str, dict[str, Any]]:
    """Table -> column -> row of information_schema."""
    found: dict[str, dict[str, Any]] = {}
    with mariadb_db.read() as session:
        for row in session.execute(
            text(
                "SELECT * FROM information_schema.columns WHERE table_schema = DATABASE() ORDER BY ordinal_position"
            )
        ).mappings():
            found.setdefault(row["TABLE_NAME"], {})[row["COLUMN_NAME"]] = row
    return found


def expected_mariadb(kind: str) -> str:
    """What information_schema says of a type of the customer's."""
    plain = {
        "INT": "int(11)",
        "BIGINT": "bigint(20)",
        "BOOLEAN": "tinyint(1)",
        "JSON": "longtext",
        "TIMESTAMP": "datetime(6)",
    }
    return plain.get(kind, kind.lower())


def expected_sqlite(kind: str) -> set[str]:
    """What SQLite's table_info may say of a type of the customer's."""
    if kind.startswith("DECIMAL"):
        precision = int(re.findall(r"\d+", kind)[0])
        return {"BIGINT"} if precision <= 18 else {f"VARCHAR({precision + 2})"}
    if kind.startswith("ENUM"):
        longest = max(len(value) for value in re.findall(r"'(\w+)'", kind))
        return {f"VARCHAR({longest})"}
    plain = {
        "INT": {"INTEGER"},
        "BIGINT": {"INTEGER", "BIGINT"},
        "TIMESTAMP": {"DATETIME"},
        "MEDIUMTEXT": {"TEXT"},
    }
    return plain.get(kind, {kind})


# ------------------------------------------------------------------ the customer's tables


def test_the_page_names_33_tables_and_23_indexes() -> None:
    # The page claims 41 tables and more than 120 indexes.
    assert len(customer_schema.dictionary()) == 25
    assert len(customer_schema.diagram_only()) == 8
    assert len(customer_schema.indexes()) == 23


def test_41_tables_are_the_customers_33_and_the_8_that_complete_them() -> None:
    origins = {
        origin: [n for n, t in TABLES.items() if t.info["origin"] == origin]
        for origin in (CUSTOMER, COMPLETES, BEYOND)
    }
    assert sorted(origins[CUSTOMER]) == sorted(CUSTOMERS)
    assert sorted(origins[COMPLETES]) == sorted(COMPLETING)
    assert len(origins[CUSTOMER]) + len(origins[COMPLETES]) == 41
    assert sum(map(len, origins.values())) == len(TABLES)


@pytest.mark.parametrize("table", list(CUSTOMERS))
def test_columns_have_the_customers_names_in_the_customers_order(
    table: str, sqlite_columns: dict[str, dict[str, Any]]
) -> None:
    assert list(sqlite_columns[table]) == [column[0] for column in CUSTOMERS[table]]


def test_sqlite_has_the_dictionarys_types_and_nullability(
    sqlite_columns: dict[str, dict[str, tuple[str, bool, int]]],
) -> None:
    for table, column, kind, null, key in DICTIONARY:
        found, nullable, place = sqlite_columns[table][column]
        wanted = expected_sqlite(OTHER_TYPES.get((table, column), kind))
        assert found in wanted, f"{table}.{column}"
        assert nullable == null, f"{table}.{column}"
        assert (place == 1) == (key == "PK"), f"{table}.{column}"
        if key == "PK" and kind in ("INT", "BIGINT"):
            assert found == "INTEGER", f"{table}.{column}: SQLite numbers rows in INTEGER only"


@pytest.mark.mariadb
def test_mariadb_has_the_dictionarys_types_and_nullability(
    mariadb_columns: dict[str, dict[str, Any]],
) -> None:
    for table, column, kind, null, _ in DICTIONARY:
        assert list(mariadb_columns[table]) == [name for name, *_ in CUSTOMERS[table]]
        found = mariadb_columns[table][column]
        wanted = expected_mariadb(OTHER_TYPES.get((table, column), kind))
        assert found["COLUMN_TYPE"] == wanted, f"{table}.{column}"
        assert found["IS_NULLABLE"] == ("YES" if null else "NO"), f"{table}.{column}"
        if column in ASCII:
            assert found["COLLATION_NAME"] == "ascii_bin", f"{table}.{column}"


@pytest.mark.mariadb
def test_mariadb_has_the_diagrams_loose_types(mariadb_columns: dict[str, dict[str, Any]]) -> None:
    loose = {
        "int": r"int\(11\)",
        "bigint": r"bigint\(20\)",
        "decimal": r"decimal\(\d+,\d+\)",
        "json": "longtext",
        "timestamp": r"datetime\(6\)",
        "boolean": r"tinyint\(1\)",
        "string": r"varchar\(\d+\)|text|enum\(.*\)",
    }
    for table, rows in customer_schema.diagram_only().items():
        assert list(mariadb_columns[table]) == [name for name, *_ in rows]
        for column, kind, _ in rows:
            found = mariadb_columns[table][column]["COLUMN_TYPE"]
            assert re.fullmatch(loose[kind], found), f"{table}.{column}"


def test_keys_are_the_customers(db: Database) -> None:
    with db.read() as session:
        seen = inspect(session.connection())
        for table, rows in CUSTOMERS.items():
            keys = {(table, name): key for name, *_, key in rows} | {
                place: key for place, key in OTHER_KEYS.items() if place[0] == table
            }
            check_keys(db, seen, table, {name: key for (_, name), key in keys.items()})


def check_keys(db: Database, seen: Inspector, table: str, keys: dict[str, str]) -> None:
    partition_time = PARTITIONED.get(table) if db.dialect == "mysql" else None
    primary = [name for name, key in keys.items() if key == "PK"]
    if partition_time:
        primary.append(partition_time)
    assert seen.get_pk_constraint(table)["constrained_columns"] == primary, table

    unique = {tuple(item["column_names"]) for item in seen.get_unique_constraints(table)}
    wanted = {(name,) for name, key in keys.items() if key == "UK"}
    if table == "smart_contracts":
        wanted.add(("network", "contract_address"))
    assert unique == wanted, table

    foreign = {
        item["constrained_columns"][0]: f"{item['referred_table']}.{item['referred_columns'][0]}"
        for item in seen.get_foreign_keys(table)
    }
    expected = {name: REFERS_TO[name] for name, key in keys.items() if key == "FK"}
    if table == "devices":
        expected["type"] = "device_types.type_name"  # the diagram forgets what the dictionary says
    assert foreign == ({} if partition_time else expected), table


def test_a_type_that_is_renamed_takes_its_devices_along(db: Database) -> None:
    with db.read() as session:
        (key,) = inspect(session.connection()).get_foreign_keys("devices")
    assert key["options"].get("onupdate") == "CASCADE"


def test_indexes_are_the_customers_23_and_those_that_questions_need(db: Database) -> None:
    with db.read() as session:
        seen = inspect(session.connection())
        found = {
            item["name"]: (table, item["column_names"])
            for table in CUSTOMERS
            for item in seen.get_indexes(table)
            if str(item["name"]).startswith("idx_")
        }
    assert found == customer_schema.indexes() | OTHER_INDEXES


# ------------------------------------------------------------------ migrations and models agree


def test_migrations_build_what_the_models_say(db: Database) -> None:
    with db.read() as session:
        context = MigrationContext.configure(
            session.connection(), opts={"compare_type": same_type, "compare_server_default": True}
        )
        differences = compare_metadata(context, Base.metadata)
    if db.dialect == "mysql":  # no foreign keys on partitioned tables; Alembic does not see ddl_if
        absent = [(what, key.table.name, key.column_keys) for what, key in differences]
        assert sorted(absent) == [
            ("add_fk", "device_data", ["device_id"]),
            ("add_fk", "vpp_trading_records", ["strategy_id"]),
            ("add_fk", "vpp_trading_records", ["vpp_id"]),
        ]
    else:
        assert differences == []


def same_type(
    _context: Any, _inspected: Any, column: Column[Any], found: Any, wanted: Any
) -> bool | None:
    """Return whether the types differ, where Alembic cannot tell by itself."""
    if isinstance(wanted, JSON) and isinstance(found, mysql.LONGTEXT):
        return False  # MariaDB's JSON; its check is tested apart
    if isinstance(wanted, ExactDecimal) and isinstance(found, Numeric):
        return (found.precision, found.scale) != (wanted.precision, wanted.scale)
    if isinstance(wanted, ExactDecimal):
        return str(found) not in expected_sqlite(f"DECIMAL({wanted.precision},{wanted.scale})")
    if isinstance(wanted, UtcDateTime):
        return not isinstance(found, DateTime) or getattr(found, "fsp", 6) != 6
    if isinstance(wanted, Hex):
        collation = getattr(found, "collation", None)
        return found.length != wanted.length or collation not in (None, "ascii_bin")
    return None


def test_checks_of_enumerations_are_in_sqlite(sqlite_db: Database) -> None:
    with sqlite_db.read() as session:
        seen = inspect(session.connection())
        for table in TABLES.values():
            found = {
                item["name"]: item["sqltext"] for item in seen.get_check_constraints(table.name)
            }
            for column in table.columns:
                if isinstance(column.type, Enum):
                    values = ", ".join(f"'{value}'" for value in column.type.enums)
                    assert found[f"ck_{table.name}_{column.name}"] == f"{column.name} IN ({values})"


@pytest.mark.mariadb
def test_mariadb_has_innodb_byte_order_and_checked_json(
    mariadb_db: Database, mariadb_columns: dict[str, dict[str, Any]]
) -> None:
    with mariadb_db.read() as session:
        rows = session.execute(
            text(
                "SELECT table_name, engine, table_collation FROM information_schema.tables "
                "WHERE table_schema = DATABASE() AND table_name <> 'alembic_version'"
            )
        ).all()
        checks = {
            tuple(row)
            for row in session.execute(
                text(
                    "SELECT table_name, constraint_name FROM information_schema.check_constraints "
                    "WHERE constraint_schema = DATABASE() AND check_clause LIKE 'json_valid%'"
                )
            )
        }
    assert {(name, "InnoDB", "utf8mb4_bin") for name in TABLES} == {tuple(row) for row in rows}
    json_columns = {
        (t.name, c.name) for t in TABLES.values() for c in t.columns if isinstance(c.type, JSON)
    }
    assert checks == json_columns
    for table in TABLES.values():
        for column in table.columns:
            assert mariadb_columns[table.name][column.name]["COLUMN_COMMENT"] == column.comment


@pytest.mark.mariadb
def test_the_page_counts_the_indexes_that_mariadb_has(mariadb_db: Database) -> None:
    with mariadb_db.read() as session:
        rows = session.execute(
            text(
                "SELECT table_name, COUNT(DISTINCT index_name) FROM information_schema.statistics "
                "WHERE table_schema = DATABASE() AND table_name <> 'alembic_version' GROUP BY table_name"
            )
        ).all()
    assert {name: sum(index_counts(table)) for name, table in TABLES.items()} == {
        name: n for name, n in rows
    }
    assert sum(n for name, n in rows if name in CUSTOMERS) == 87


# ------------------------------------------------------------------ rules of the house


def columns() -> Iterator[tuple[Table, Column[Any]]]:
    for table in TABLES.values():
        for column in table.columns:
            yield table, column


def test_every_table_says_what_it_is_where_it_is_from_and_who_writes_it() -> None:
    for table in TABLES.values():
        assert table.comment and table.comment.endswith("."), table.name
        assert table.info["origin"] in (CUSTOMER, COMPLETES, BEYOND), table.name
        writer = table.info["writer"]
        assert importlib.util.find_spec(writer), f"{table.name}: {writer}"


def test_every_column_is_commented() -> None:
    for table, column in columns():
        assert column.comment and column.comment.endswith("."), f"{table.name}.{column.name}"


def test_numbers_with_a_unit_name_it() -> None:
    units = r"kW|kg|[Tt]onne|t CO2e|wei|currency|unit|percent|from 0 to"
    for table, column in columns():
        if isinstance(column.type, ExactDecimal):
            assert re.search(units, column.comment or ""), (
                f"{table.name}.{column.name}: {column.comment}"
            )


def test_no_float_every_time_aware_every_state_an_enumeration() -> None:
    for table, column in columns():
        place = f"{table.name}.{column.name}"
        assert not isinstance(column.type, Float), place
        assert not isinstance(column.type, Numeric) or isinstance(column.type, ExactDecimal), place
        assert not isinstance(column.type, DateTime), place
        if column.name in ("status", "state"):
            wanted = JSON if place == "rl_experience_replay.state" else Enum
            assert isinstance(column.type, wanted), place


def test_a_column_that_counts_kilograms_or_seconds_says_so() -> None:
    for table, column in columns():
        if column.name.endswith(("_kg", "_kwh", "_s", "_wei")):
            unit = {"kg": "kg", "kwh": "kWh", "s": "seconds", "wei": "wei"}[
                column.name.rsplit("_", 1)[1]
            ]
            assert unit in (column.comment or ""), f"{table.name}.{column.name}"


def test_every_table_stands_in_one_section() -> None:
    listed = [
        table.name for _, modules in SECTIONS for table in tables_of([m.__name__ for m in modules])
    ]
    assert sorted(listed) == sorted(TABLES)
    customers = [name for name in listed if name in customer_schema.dictionary()]
    assert customers == list(customer_schema.dictionary())


def test_annotations_are_values_not_text() -> None:
    """SQLAlchemy evaluates each that is text, a second time, at every start."""
    for mapper in Base.registry.mappers:
        texts = [
            name for name, said in mapper.class_.__annotations__.items() if isinstance(said, str)
        ]
        assert not texts, mapper.class_.__name__


def test_relationships_never_load_by_themselves() -> None:
    for mapper in Base.registry.mappers:
        for relation in mapper.relationships:
            assert relation.lazy == "raise", f"{mapper.class_.__name__}.{relation.key}"


def test_the_page_is_up_to_date() -> None:
    page = (ROOT / "docs" / "schema.md").read_text(encoding="utf-8")
    assert page == render(), "run: python -m ledger.models.document > docs/schema.md"
