"""The column types: what they keep exactly, and what they refuse, on both databases."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, insert, select, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import StatementError

from ledger.db import Database
from ledger.errors import DependencyDown
from ledger.models.blockchain import BlockchainTransaction, TransactionStatus
from ledger.models.devices import Device, DeviceAlert, DeviceData, DeviceStatus, DeviceType
from ledger.models.escrow import MovementKind, SettlementBalance, SettlementMovement
from ledger.models.types import (
    Address,
    ExactDecimal,
    Hash,
    Sha256,
    UtcDateTime,
    ValueRefused,
    ValueUnreadable,
    Varchar,
)
from tests.support.forms import few, times

NOON = datetime(2026, 3, 29, 12, 0, 0, 123456, tzinfo=UTC)
HASH = "0x" + "ab" * 32
ACCOUNT = "0x" + "0123456789abcdef0123" * 2


def device(db: Database, code: str = "D1") -> int:
    with db.write() as session:
        if session.scalar(select(func.count()).select_from(DeviceType)) == 0:
            session.add(DeviceType(type_name="turbine", category="generation"))
            session.flush()
        item = Device(device_id=code, name=code, type="turbine", status=DeviceStatus.ONLINE)
        session.add(item)
        session.flush()
        return item.id


def datum(device_id: int, value: Any, **more: Any) -> DeviceData:
    return DeviceData(
        device_id=device_id, metric_name="power", value=value, recorded_at=NOON, **more
    )


@pytest.mark.parametrize(
    "value",
    [
        "0",
        "0.000001",
        "-0.000001",
        "999999999.999999",
        "-999999999.999999",
        "0.1",
        "123456789.987654",
    ],
)
def test_decimal_comes_back_exactly(db: Database, value: str) -> None:
    number = device(db)
    with db.write() as session:
        session.add(datum(number, Decimal(value)))
    with db.read() as session:
        kept = session.scalars(select(DeviceData.value)).one()
    assert kept == Decimal(value)
    assert isinstance(kept, Decimal)


@pytest.mark.parametrize(
    "value",
    [
        1.5,
        True,
        "1.5",
        Decimal("0.0000001"),
        Decimal("1000000000"),
        Decimal("-1000000000"),
        Decimal("NaN"),
        Decimal("Infinity"),
        Decimal("1e30"),
    ],
)
def test_decimal_refuses_what_it_cannot_keep(db: Database, value: Any) -> None:
    number = device(db)
    with pytest.raises(ValueRefused), db.write() as session:
        session.add(datum(number, value))
        session.flush()
    with db.read() as session:
        assert session.scalar(select(func.count()).select_from(DeviceData)) == 0


@few(1)
def test_sum_of_twenty_thousand_decimals_is_exact(db: Database) -> None:
    number = device(db)
    encode = db.encoder(
        DeviceData.device_id,
        DeviceData.metric_name,
        DeviceData.value,
        DeviceData.recorded_at,
        DeviceData.created_at,
    )
    with db.write() as session:
        db.executemany(
            session,
            "INSERT INTO device_data (device_id, metric_name, value, recorded_at, created_at) VALUES (?, ?, ?, ?, ?)",
            (encode((number, "power", Decimal("0.100001"), NOON, NOON)) for _ in range(20_000)),
        )
    with db.read() as session:
        assert session.scalar(select(func.sum(DeviceData.value))) == Decimal("2000.02")
        biggest = session.scalar(
            select(func.max(DeviceData.value)).where(DeviceData.value < Decimal("0.2"))
        )
    assert biggest == Decimal("0.100001")


@pytest.mark.parametrize(
    "value", [2**64 + 1, -(2**64 + 1), 10**38 - 1, -(10**38 - 1), 0, 18_446_744_073_709_551_615]
)
def test_wide_decimal_comes_back_exactly(db: Database, value: int) -> None:
    with db.write() as session:
        session.add(SettlementBalance(account=ACCOUNT, asset=0, balance=Decimal(value)))
    with db.read() as session:
        kept = session.scalars(select(SettlementBalance.balance)).one()
        assert kept == value
        found = session.scalars(
            select(SettlementBalance).where(SettlementBalance.balance == Decimal(value))
        ).all()
    assert len(found) == 1


def test_wide_decimal_refuses_39_digits() -> None:
    with pytest.raises(ValueRefused):
        ExactDecimal(38, 0).exact(Decimal(10**38))


@pytest.mark.parametrize(
    "expression",
    [
        lambda: DeviceData.value * 2,
        lambda: DeviceData.value / 2,
        lambda: SettlementMovement.amount > 0,
        lambda: SettlementMovement.amount + 1,
        SettlementMovement.amount.desc,
    ],
)
def test_arithmetic_that_the_databases_do_differently_is_refused(
    expression: Callable[[], Any],
) -> None:
    with pytest.raises(ValueRefused, match="calculate with Decimal"):
        expression()


def test_sum_of_wide_decimals_is_refused_where_it_would_be_a_float(sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        for log in (0, 1):
            session.add(
                SettlementMovement(
                    block_number=1,
                    log_index=log,
                    sub_index=0,
                    account=ACCOUNT,
                    asset=0,
                    kind=MovementKind.DEPOSIT,
                    amount=Decimal(2**70),
                    tx_hash=HASH,
                )
            )
    with sqlite_db.read() as session, pytest.raises(ValueRefused, match="float"):
        session.scalar(select(func.sum(SettlementMovement.amount)))


@pytest.mark.parametrize(("written", "said"), [("1.5", r"1\.5"), ("'much'", "'much'")])
def test_what_is_no_decimal_and_got_into_sqlite_is_noticed(
    sqlite_db: Database, written: str, said: str
) -> None:
    number = device(sqlite_db)
    with sqlite_db.write() as session:
        session.execute(
            text(
                "INSERT INTO device_data (device_id, metric_name, value, recorded_at, created_at) "
                f"VALUES ({number}, 'power', {written}, '2026-01-01 00:00:00', '2026-01-01 00:00:00')"
            )
        )
    with (
        sqlite_db.read() as session,
        pytest.raises(ValueUnreadable, match=f"is {said} in the database"),
    ):
        session.scalars(select(DeviceData.value)).one()


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ('{"a": ', "a column of JSON is '{\"a\": ' in the database, and holds an object"),
        ("[" * 50_000, "a column of JSON is '[[[["),
        (7, "a column of JSON is 7 in the database, and holds an object or an array"),
        (b"\xff", "a column of JSON is b'\\xff' in the database, and holds an object"),
        ("[1]", "a column specifications is '[1]' in the database, and holds a JSON object"),
        (json.dumps(["x" * 5000]), "a column specifications is "),
    ],
)
def test_json_of_another_program_is_one_line(
    sqlite_db: Database, written: object, says: str
) -> None:
    number = device(sqlite_db)
    with sqlite_db.write() as session:
        change = text("UPDATE devices SET specifications = :written WHERE id = :number")
        session.execute(change, {"written": written, "number": number})
    with sqlite_db.read() as session, pytest.raises(ValueUnreadable) as error:
        session.scalars(select(Device)).all()
    assert error.value.message.startswith(says) and len(error.value.message) < 250


def test_json_that_is_none_is_found_as_the_line_says(sqlite_db: Database) -> None:
    """The line does not know the column: it stopped the mirror, and named no way to the row."""
    number = device(sqlite_db)
    with sqlite_db.write() as session:
        session.execute(text("UPDATE devices SET specifications = '{oops'"))
    with sqlite_db.read() as session, pytest.raises(ValueUnreadable) as error:
        session.scalars(select(Device)).all()
    said = "json_valid(column) = 0"
    assert f"`{said}`" in error.value.message
    found = text(f"SELECT id FROM devices WHERE {said.replace('column', 'specifications')}")
    with sqlite_db.read() as session:
        assert session.scalars(found).all() == [number]


def test_json_that_is_none_is_one_line_where_the_database_looks_into_it(
    sqlite_db: Database,
) -> None:
    """It was a defect of the service (`malformed JSON`), though a row is to be mended."""
    device(sqlite_db)
    with sqlite_db.write() as session:
        session.execute(text("UPDATE devices SET specifications = '{oops'"))
    inside = select(Device.id).where(Device.specifications["maker"].as_string() == "one")
    with pytest.raises(DependencyDown) as error, sqlite_db.read() as session:
        session.scalars(inside).all()
    assert error.value.code == "unreadable-value"
    assert "malformed JSON: a program that is none of ours wrote it" in error.value.message


@pytest.mark.mariadb
@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("status", "OK", "devices.status is '' in the database, and holds one of online, offline"),
        ("last_seen", "2026-02-31", "a time is '0000-00-00 00:00:00.000000' in the database"),
    ],
)
def test_what_another_program_wrote_without_the_strict_mode_is_one_line(
    mariadb_db: Database, column: str, value: str, says: str
) -> None:
    number = device(mariadb_db)
    with mariadb_db.write() as session:
        here = f"UPDATE devices SET {column} = '{value}' WHERE id = {number}"
        session.execute(text(f"SET STATEMENT sql_mode='' FOR {here}"))
    with mariadb_db.read() as session, pytest.raises(ValueUnreadable) as error:
        session.scalars(select(Device)).all()
    assert error.value.message.startswith(says)
    assert "correct or delete it" in error.value.message


@given(st.decimals(min_value=-(10**15) + 1, max_value=10**15 - 1, places=3))
@settings(max_examples=times(40, 200), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_scaled_integers_are_the_same_number(value: Decimal) -> None:
    kind = ExactDecimal(18, 3)
    database = Database("sqlite:///unused.db")
    bound = kind.process_bind_param(value, database._engine.dialect)
    assert type(bound) is int
    assert bound == value * 1000
    assert kind.process_result_value(bound, database._engine.dialect) == value


def test_time_comes_back_aware_and_to_the_microsecond(db: Database) -> None:
    number = device(db)
    paris = NOON.astimezone(timezone(timedelta(hours=2)))
    with db.write() as session:
        session.add(DeviceData(device_id=number, metric_name="p", value=1, recorded_at=paris))
    with db.read() as session:
        kept = session.scalars(select(DeviceData.recorded_at)).one()
    assert kept == NOON
    assert kept.utcoffset() == timedelta(0)
    assert kept.microsecond == 123456


@pytest.mark.parametrize("value", [NOON.replace(tzinfo=None), "2026-03-29T12:00:00Z", 1774785600])
def test_time_without_a_zone_is_refused(db: Database, value: Any) -> None:
    number = device(db)
    with pytest.raises(ValueRefused, match="zone"), db.write() as session:
        session.add(DeviceData(device_id=number, metric_name="p", value=1, recorded_at=value))
        session.flush()


def test_times_order_and_compare_in_sql(db: Database) -> None:
    number = device(db)
    moments = [NOON, NOON.replace(microsecond=0), NOON + timedelta(microseconds=1)]
    with db.write() as session:
        for moment in moments:
            session.add(DeviceData(device_id=number, metric_name="p", value=1, recorded_at=moment))
    with db.read() as session:
        kept = session.scalars(
            select(DeviceData.recorded_at).order_by(DeviceData.recorded_at)
        ).all()
        after = session.scalars(
            select(DeviceData.recorded_at).where(DeviceData.recorded_at > NOON)
        ).all()
    assert kept == sorted(moments)
    assert after == [NOON + timedelta(microseconds=1)]


def test_text_longer_than_the_column_is_refused(db: Database) -> None:
    with pytest.raises(ValueRefused, match="101 characters, at most 100"), db.write() as session:
        session.add(DeviceType(type_name="x" * 101, category="c"))
        session.flush()
    with db.write() as session:
        session.add(DeviceType(type_name="风" * 100, category="c"))
    with db.read() as session:
        assert session.scalars(select(DeviceType.type_name)).one() == "风" * 100


def test_codes_compare_byte_by_byte(db: Database) -> None:
    with db.write() as session:
        session.add(DeviceType(type_name="PV", category="c"))
        session.add(DeviceType(type_name="pv", category="c"))
    with db.read() as session:
        found = session.scalars(select(DeviceType.type_name).where(DeviceType.type_name == "pv"))
        assert found.all() == ["pv"]


def test_hexadecimal_is_kept_in_lower_case(db: Database) -> None:
    with db.write() as session:
        session.add(
            BlockchainTransaction(
                tx_hash="0x" + "AB" * 32,
                contract_address="0x" + "Ff" * 20,
                status=TransactionStatus.PENDING,
            )
        )
    with db.read() as session:
        row = session.scalars(
            select(BlockchainTransaction).where(BlockchainTransaction.tx_hash == "0x" + "aB" * 32)
        ).one()
    assert row.tx_hash == "0x" + "ab" * 32
    assert row.contract_address == "0x" + "ff" * 20


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Hash, "ab" * 32),
        (Hash, "0x" + "ab" * 31),
        (Hash, "0x" + "ag" * 32),
        (Hash, HASH + "\n"),
        (Hash, bytes(32)),
        (Address, HASH),
        (Sha256, "0x" + "ab" * 32),
        (Sha256, ""),
    ],
)
def test_what_is_not_hexadecimal_of_its_length_is_refused(kind: Any, value: Any) -> None:
    dialect = Database("sqlite:///unused.db")._engine.dialect
    with pytest.raises(ValueRefused, match="hexadecimal"):
        kind.process_bind_param(value, dialect)


def test_json_keeps_text_and_notices_changes_in_place(db: Database) -> None:
    number = device(db)
    with db.write() as session:
        session.add(datum(number, 1, metadata_={"站": "风机", "n": 12345678901234567890}))
    with db.write() as session:
        row = session.scalars(select(DeviceData)).one()
        assert row.metadata_ == {"站": "风机", "n": 12345678901234567890}
        row.metadata_["late"] = True
    with db.read() as session:
        row = session.scalars(select(DeviceData)).one()
        assert row.metadata_ == {"站": "风机", "n": 12345678901234567890, "late": True}
        raw = session.execute(text("SELECT metadata FROM device_data")).scalar_one()
    assert "风机" in raw


def test_json_none_is_null_and_nan_is_refused(db: Database) -> None:
    number = device(db)
    with db.write() as session:
        session.add(datum(number, 1, metadata_=None))
    with db.read() as session:
        assert session.scalar(select(func.count()).where(DeviceData.metadata_.is_(None))) == 1
    with pytest.raises(StatementError, match="not JSON compliant"), db.write() as session:
        session.add(datum(number, 1, metadata_={"value": float("nan")}))
        session.flush()


def test_enumerations_are_stored_by_value_and_nothing_else_is_taken(db: Database) -> None:
    device(db)
    with db.read() as session:
        assert session.execute(text("SELECT status FROM devices")).scalar_one() == "online"
        assert session.scalars(select(Device.status)).one() is DeviceStatus.ONLINE
    with pytest.raises(StatementError, match="asleep"), db.write() as session:
        session.execute(insert(DeviceAlert).values(status="asleep"))
    # The server refuses it, too: what is written without the ORM is checked there.
    with (
        pytest.raises(Exception, match=r"CHECK constraint failed|truncated"),
        db.write() as session,
    ):
        session.execute(text("UPDATE devices SET status = 'asleep'"))


def test_encoder_gives_the_driver_what_the_mapper_would(db: Database) -> None:
    number = device(db)
    row = (number, "power", Decimal("-1.25"), {"a": "ü"}, NOON, NOON)
    columns = (
        DeviceData.device_id,
        DeviceData.metric_name,
        DeviceData.value,
        DeviceData.metadata_,
        DeviceData.recorded_at,
        DeviceData.created_at,
    )
    with db.write() as session:
        session.add(datum(number, Decimal("-1.25"), metadata_={"a": "ü"}, created_at=NOON))
        session.flush()
        db.executemany(
            session,
            "INSERT INTO device_data (device_id, metric_name, value, metadata, recorded_at, created_at) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            [db.encoder(*columns)(row)],
        )
    with db.read() as session:
        mapped, raw = session.execute(
            text(
                "SELECT device_id, metric_name, value, metadata, recorded_at, created_at FROM device_data ORDER BY id"
            )
        ).all()
    assert mapped == raw
    with pytest.raises(ValueRefused):
        db.encoder(DeviceData.value)([1.5])


def test_types_repeat_themselves_for_the_statement_cache() -> None:
    # Two of a kind share one compiled statement; different ones must not.
    assert ExactDecimal(12, 3)._static_cache_key == ExactDecimal(12, 3)._static_cache_key
    assert ExactDecimal(12, 3)._static_cache_key != ExactDecimal(12, 2)._static_cache_key
    assert ExactDecimal(12, 3)._static_cache_key != ExactDecimal(20, 3)._static_cache_key
    assert Varchar(10)._static_cache_key != Varchar(11)._static_cache_key
    assert Hash._static_cache_key != Address._static_cache_key
    assert UtcDateTime()._static_cache_key == UtcDateTime()._static_cache_key


def test_a_hash_that_is_none_is_said_plainly() -> None:
    with pytest.raises(ValueRefused) as caught:
        Hash.process_bind_param("0x0123", sqlite.dialect())
    assert str(caught.value) == "'0x0123' is not 64 hexadecimal digits after 0x"
