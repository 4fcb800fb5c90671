"""Rows inserted by column are the rows that SQLAlchemy itself would store, on both databases."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, text
from sqlalchemy.event import listen

from ledger.db import Database, composite_keys, tables
from ledger.models import (
    Base,
    BlockchainTransaction,
    CarbonCredit,
    ChainEvent,
    CreditBatch,
    CreditClass,
    SettlementBalance,
    SettlementMovement,
)
from ledger.models.blockchain import TransactionStatus
from ledger.models.credits import BatchStatus
from ledger.models.escrow import MovementKind
from ledger.models.types import ValueRefused
from ledger.serials import CreditStatus

ROWS = 1_234
"""More than one piece of every size."""
AT = datetime(2025, 6, 1, 12, 0, 0, 5, UTC)


def tx(number: int) -> str:
    return f"0x{number:064x}"


def account(number: int) -> str:
    return f"0x{number:040x}"


def transactions() -> list[dict[str, Any]]:
    return [
        {
            "tx_hash": tx(number),
            "contract_address": None if number % 3 == 0 else account(number),
            "function_name": None if number % 5 == 0 else f"name-{number}",
            "parameters": None
            if number % 7 == 0
            else {"text": f"Süd 绿 % \\ ' \" \n {number}", "list": [1, "2", {"a": True}], "n": -5},
            "status": list(TransactionStatus)[number % 3],
            "gas_used": number,
            "gas_price": 10**19 + number,
            "created_at": AT + timedelta(seconds=number),
            "confirmed_at": None if number % 2 else AT.astimezone(timezone(timedelta(hours=2))),
        }
        for number in range(1, ROWS)
    ]


def events() -> list[dict[str, Any]]:
    return [
        {
            "block_number": 1,
            "log_index": number,
            "tx_hash": tx(number),
            "contract_address": account(1),
            "event_name": "Retired",
            "args": {"id": number, "reason": "-" * number},
            "seq": number if number % 2 else None,
            "head": tx(number) if number % 2 else None,
        }
        for number in range(ROWS)
    ]


def movements() -> list[dict[str, Any]]:
    return [
        {
            "block_number": 1,
            "log_index": number,
            "sub_index": 0,
            "account": account(number % 7),
            "asset": number,
            "kind": list(MovementKind)[number % len(MovementKind)],
            "amount": -(10**37) + number if number % 2 else number,
            "batch_id": None,
            "tx_hash": tx(number),
        }
        for number in range(ROWS)
    ]


def batches() -> list[dict[str, Any]]:
    return [
        {
            "batch_id": number,
            "key": tx(number),
            "site_id": 1,
            "ordinal": number,
            "vintage": 2025,
            "recipient": account(2),
            "issued_kg": 2**40,
            "retired_kg": 0,
            "cancelled_kg": 0,
            "period_start_s": 1,
            "period_end_s": 2,
            "gap_start_s": 0,
            "expires_at_s": 0,
            "buffered_kg": 0,
            "evidence_root": tx(1),
            "evidence_total_kg": 2**64 - 1,
            "manifest_hash": tx(2),
            "methodology_hash": tx(3),
            "issuer": account(3),
            "verifier": account(4),
            "status": list(BatchStatus)[number % 5],
            "deficit_kg": None if number % 2 else number,
            "block_number": 1,
            "log_index": number,
            "tx_hash": tx(4),
            "issued_at": AT,
        }
        for number in range(1, ROWS)
    ]


def stored(db: Database, table: type[Base]) -> list[tuple[Any, ...]]:
    """Return what the database holds, as the driver gives it."""
    names = ", ".join(
        f"`{column.name}`" for column in table.__table__.columns if column.name != "id"
    )
    with db.read() as session:
        found = session.execute(text(f"SELECT {names} FROM {table.__tablename__}"))
        return sorted((tuple(row) for row in found), key=repr)


@pytest.mark.parametrize(
    ("table", "rows"),
    [
        (BlockchainTransaction, transactions()),
        (ChainEvent, events()),
        (SettlementMovement, movements()),
        (CreditBatch, batches()),
    ],
    ids=lambda value: value.__tablename__ if isinstance(value, type) else "",
)
def test_rows_are_those_of_sqlalchemy(
    db: Database, table: type[Base], rows: list[dict[str, Any]]
) -> None:
    with db.write() as session:
        session.connection().execute(insert(table), rows)
    expected = stored(db, table)
    assert len(expected) == len(rows)
    with db.write() as session:
        session.execute(delete(table))
    said: list[str] = []
    with db.write() as session:
        listen(
            session.connection(),
            "before_cursor_execute",
            lambda _link, _cursor, statement, *_rest: said.append(statement),
        )
        tables.insert(session, table, rows)
    assert _without_json_blanks(stored(db, table)) == _without_json_blanks(expected)
    if db.dialect == "mysql":
        inserts = [each for each in said if each.startswith("INSERT")]
        assert inserts and all(each.endswith("?)") for each in inserts), "the slow way"


def _without_json_blanks(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [
        tuple(value.decode() if isinstance(value, bytes) else value for value in row)
        for row in rows
    ]


@pytest.mark.mariadb
def test_long_lists_go_into_mariadb_as_arrays(mariadb_db: Database) -> None:
    """A column called ``key`` stands in quotes, and its rows are an array all the same."""
    said: list[str] = []
    with mariadb_db.write() as session:
        connection = session.connection()
        listen(connection, "before_cursor_execute", lambda *of: said.append(of[2]))
        tables.insert(session, CreditBatch, batches())
        tables.insert(session, ChainEvent, events())
    assert [each.split()[2] for each in said if each.endswith("?)")] == [
        "credit_batches",
        "chain_events",
    ]


def test_decimals_in_their_smallest_unit(db: Database) -> None:
    columns: dict[str, list[Any]] = {
        "credit_id": ["a", "b", "c"],
        "amount": [1, 123_456, 999_999_999_999],
        "unit": ["tCO2e"] * 3,
        "issuer": [account(1)] * 3,
        "status": [CreditStatus.ACTIVE] * 3,
        "blockchain_tx": [None] * 3,
        "issued_at": [AT] * 3,
        "expires_at": [None, AT, None],
    }
    with db.write() as session:
        writer = tables.writer(CarbonCredit, db.dialect)
        writer.insert_columns(session.connection(), columns, units=["amount"])
    with db.read() as session:
        found = session.execute(
            select(CarbonCredit.amount, CarbonCredit.expires_at).order_by(CarbonCredit.credit_id)
        ).all()
    assert [tuple(row) for row in found] == [
        (Decimal("0.001"), None),
        (Decimal("123.456"), AT),
        (Decimal("999999999.999"), None),
    ]
    beyond = {**columns, "amount": [1, 2, 10**12]}
    with pytest.raises(ValueRefused), db.write() as session:
        writer.insert_columns(session.connection(), beyond, units=["amount"])


def test_numbers_that_json_readers_would_spoil_are_text(db: Database) -> None:
    large = 2**53 + 1
    row = {**events()[1], "args": {"a": large, "b": 2**53, "c": [-large], "d": "1234567890123456"}}
    with db.write() as session:
        tables.insert(session, ChainEvent, [row])
    with db.read() as session:
        (found,) = session.scalars(select(ChainEvent.args))
    assert found == {
        "a": str(large),
        "b": 2**53,
        "c": [str(-large)],
        "d": "1234567890123456",
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tx_hash", "0x" + "g" * 64),
        ("tx_hash", "0x12"),
        ("tx_hash", 5),
        ("tx_hash", None),
        ("event_name", "x" * 101),
        ("event_name", 5),
        ("block_number", 2**63),
        ("seq", -(2**63) - 1),
    ],
)
def test_what_a_column_cannot_hold_is_refused(db: Database, name: str, value: object) -> None:
    rows = events()[:3]
    rows[1] = {**rows[1], name: value}
    with pytest.raises(ValueRefused), db.write() as session:
        tables.insert(session, ChainEvent, rows)
    assert stored(db, ChainEvent) == []


def test_two_wrong_lengths_do_not_make_up_for_each_other(db: Database) -> None:
    rows = events()[:2]
    rows[0]["tx_hash"], rows[1]["tx_hash"] = tx(1) + "0x", tx(2)[2:]
    with pytest.raises(ValueRefused), db.write() as session:
        tables.insert(session, ChainEvent, rows)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("amount", 10**38),
        ("amount", 1.5),
        ("kind", "none of them"),
        ("log_index", 2**63),
    ],
)
def test_other_types_refuse_too(db: Database, name: str, value: object) -> None:
    rows = movements()[:3]
    rows[2] = {**rows[2], name: value}
    with pytest.raises(ValueRefused), db.write() as session:
        tables.insert(session, SettlementMovement, rows)


@pytest.mark.parametrize("count", [1, 49, 50, 51, 499, 500, 549, 550, 1_234])
def test_as_many_rows_as_there_are_whatever_the_pieces(sqlite_db: Database, count: int) -> None:
    said: list[str] = []
    with sqlite_db.write() as session:
        listen(session.connection(), "before_cursor_execute", lambda *of: said.append(of[2]))
        tables.insert(session, SettlementMovement, movements()[:count])
    with sqlite_db.read() as session:
        query = select(SettlementMovement.log_index, SettlementMovement.tx_hash)
        found = session.execute(query.order_by(SettlementMovement.log_index)).all()
    assert found == [(number, tx(number)) for number in range(count)]
    lengths = [each.count("(") - 1 for each in said if each.startswith("INSERT")]
    long, rest = divmod(count, 500)
    short, rest = divmod(rest, 50)
    assert lengths == [500] * long + [50] * short + [rest] * bool(rest)


@pytest.mark.parametrize("name", ["tx_hash", "block_number"])
def test_columns_of_other_lengths_are_no_rows(sqlite_db: Database, name: str) -> None:
    columns = {name: list(column) for name, column in tables.by_column(movements()[:10]).items()}
    columns[name].append(columns[name][0])
    with pytest.raises(ValueError), sqlite_db.write() as session:
        tables.writer(SettlementMovement, "sqlite").insert_columns(session.connection(), columns)


def test_a_time_without_its_zone_is_refused(db: Database) -> None:
    row = {**transactions()[0], "created_at": AT.replace(tzinfo=None)}
    with pytest.raises(ValueRefused), db.write() as session:
        tables.insert(session, BlockchainTransaction, [row])


def test_rows_are_changed_at_once(db: Database) -> None:
    with db.write() as session:
        tables.insert(session, CreditBatch, batches())
        changes = [
            {"batch_id": number, "retired_kg": 2**40 - number, "status": BatchStatus.EXPIRED}
            for number in range(1, ROWS, 2)
        ]
        connection = session.connection()
        tables.writer(CreditBatch, db.dialect).change(connection, "batch_id", changes)()
    with db.read() as session:
        columns = CreditBatch.batch_id, CreditBatch.retired_kg, CreditBatch.status
        found = {number: (kg, status) for number, kg, status in session.execute(select(*columns))}
    before = {row["batch_id"]: row for row in batches()}
    assert found == {
        number: (2**40 - number, BatchStatus.EXPIRED) if number % 2 else (0, row["status"])
        for number, row in before.items()
    }


def test_more_rows_than_a_statement_takes_are_changed(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "CHANGED_ROWS_MAX", 7)
    changes = [{"batch_id": number, "retired_kg": number} for number in range(1, ROWS)]
    with db.write() as session:
        tables.insert(session, CreditBatch, batches())
        tables.change(session, CreditBatch, "batch_id", changes)
        tables.change(session, CreditBatch, "batch_id", [])
    with db.read() as session:
        found = session.execute(select(CreditBatch.batch_id, CreditBatch.retired_kg)).all()
    assert {number: kg for number, kg in found if kg} == {n: n for n in range(1, ROWS)}


def test_large_decimals_and_nulls_are_changed(db: Database) -> None:
    row = {
        "class_id": 1,
        "code": "c",
        "methodology_hash": tx(1),
        "cap_kg": 5,
        "buffer_bps": 0,
        "block_number": 1,
    }
    with db.write() as session:
        tables.insert(session, CreditClass, [row])
        tables.insert(session, CreditBatch, batches()[1:2])
        connection = session.connection()
        tables.writer(CreditClass, db.dialect).change(
            connection, "class_id", [{"class_id": 1, "cap_kg": 2**64 - 1}]
        )()
        tables.writer(CreditBatch, db.dialect).change(
            connection, "batch_id", [{"batch_id": 2, "deficit_kg": None}]
        )()
    with db.read() as session:
        assert session.scalar(select(CreditClass.cap_kg)) == Decimal(2**64 - 1)
        assert session.scalar(select(CreditBatch.deficit_kg)) is None


def test_rows_among_many_keys(db: Database) -> None:
    with db.write() as session:
        tables.insert(session, CreditBatch, batches())
    wanted = set(range(0, 4 * ROWS, 3))
    with db.read() as session:
        found = [
            number
            for here in tables.among(session, CreditBatch.batch_id, wanted)
            for number in session.scalars(select(CreditBatch.batch_id).where(here))
        ]
        assert list(tables.among(session, CreditBatch.batch_id, [])) == []
    assert sorted(found) == [number for number in sorted(wanted) if 1 <= number < ROWS]


def test_rows_of_many_pairs_are_found_changed_and_removed(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(composite_keys, "_PER_QUERY", ROWS // 2)
    balances = [
        {"account": account(number), "asset": number % 3, "balance": 10**30 + number}
        for number in range(ROWS)
    ]
    keys = [(account(number), number % 2) for number in range(ROWS)]
    named = {(account(number), number % 3): 10**30 + number for number in range(ROWS)}
    there = {key: named[key] for key in keys if key in named}
    other = {key: 10**37 + key[1] for key in list(there)[::2]}
    gone = [key for key in there if key not in other]
    assert len(there) < len(named) and other and gone
    pair = SettlementBalance.account, SettlementBalance.asset
    with db.write() as session:
        tables.insert(session, SettlementBalance, balances)
        assert composite_keys.values(session, pair, SettlementBalance.balance, []) == {}
        assert composite_keys.values(session, pair, SettlementBalance.balance, keys) == there
        absent = {(account(ROWS), 0): 1}
        composite_keys.put(session, pair, SettlementBalance.balance, other | absent)
        composite_keys.put(session, pair, SettlementBalance.balance, {})
        composite_keys.remove(session, pair, gone)
        composite_keys.remove(session, pair, [])
        assert composite_keys.values(session, pair, SettlementBalance.balance, keys) == other
        with pytest.raises(ValueRefused):
            composite_keys.put(session, pair, SettlementBalance.balance, {keys[0]: Decimal("0.5")})
    with db.read() as session:
        rest = session.execute(select(*pair, SettlementBalance.balance))
        expected = {key: value for key, value in (named | other).items() if key not in gone}
        assert {(holder, asset): balance for holder, asset, balance in rest} == expected
