"""Trade files: every refusal by line and column, good rows kept, nothing twice."""

import gzip
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from ledger.db import Database
from ledger.errors import BadInput, Refused
from ledger.models import VppDefinition, VppTradingRecord, VppTradingStrategy
from ledger.models.trading import StrategyType, TradeStatus
from ledger.settlement import trades
from ledger.settlement.cancel import cancel_trade
from ledger.settlement.trade_rows import COLUMNS
from ledger.settlement.trades import TradesReport, as_json, import_trades
from tests.support.forms import few, long
from tests.support.plant import SITE, apply
from tests.support.statements import listening, steps_of

TRADING = """
[[vpp]]
code = "vpp-1"
name = "First"
total_capacity = "100"
account = "anvil:4"

[[strategy]]
vpp = "vpp-1"
name = "hourly"
type = "load_following"

[[market]]
name = "day-ahead"
account = "anvil:6"
"""
HEADER = ",".join(COLUMNS)
GOOD = [
    "vpp-1",
    "hourly",
    "sell",
    "285.190",
    "0.1234",
    "35.19",
    "day-ahead",
    "2014-01-01T01:00:00+01:00",
]


def row(**changes: str) -> str:
    cells = dict(zip(COLUMNS, GOOD, strict=True)) | changes
    return ",".join(cells.values())


def fill(db: Database) -> Database:
    """Add a plant and a market, and a plant of somebody else's making that has no account."""
    apply(db, SITE + TRADING)
    with db.write() as session:
        first = session.scalars(select(VppDefinition)).one()
        copied = {
            column.key: getattr(first, column.key)
            for column in VppDefinition.__table__.columns
            if column.key != "id"
        }
        session.add(VppDefinition(**copied | {"vpp_id": "vpp-poor"}))
        rich = VppDefinition(**copied | {"vpp_id": "vpp-rich"})
        session.add(rich)
        session.flush()
        session.add(
            VppTradingStrategy(
                vpp_id=rich.id,
                strategy_name="nightly",
                strategy_type=StrategyType.ARBITRAGE,
                status=rich.status,
            )
        )
    return db


@pytest.fixture
def books(db: Database) -> Database:
    return fill(db)


@pytest.fixture
def lite(sqlite_db: Database) -> Database:
    return fill(sqlite_db)


def take(
    db: Database, folder: Path, *lines: str, header: str = HEADER, end: str = "\n"
) -> TradesReport:
    file = folder / "trades.csv"
    file.write_bytes((end.join([header, *lines]) + end).encode())
    return db.run(lambda session: import_trades(session, file))


def stored(db: Database) -> Sequence[VppTradingRecord]:
    with db.read() as session:
        return session.scalars(select(VppTradingRecord).order_by(VppTradingRecord.id)).all()


def test_a_good_row_is_stored_as_it_says(books: Database, tmp_path: Path) -> None:
    report = take(books, tmp_path, row())
    assert (report.read, report.new, report.unchanged, report.rejected) == (1, 1, 0, 0)
    (record,) = stored(books)
    assert (record.quantity, record.price) == (Decimal("285.190"), Decimal("0.1234"))
    assert record.total_value == Decimal("35.19")
    assert record.trade_time == datetime(2014, 1, 1, tzinfo=UTC)
    assert record.status is TradeStatus.PENDING
    assert record.strategy_id is not None and record.settlement_time is None


def test_the_same_file_again_changes_nothing(books: Database, tmp_path: Path) -> None:
    rows = [row(trade_time=f"2014-01-01T{hour:02}:00:00.250+01:00") for hour in range(10)]
    assert take(books, tmp_path, *rows).new == 10
    again = take(books, tmp_path, *rows)
    assert (again.read, again.new, again.unchanged, again.rejected) == (10, 0, 10, 0)
    assert len(stored(books)) == 10


def test_the_same_moment_in_another_zone_is_the_same_trade(lite: Database, tmp_path: Path) -> None:
    take(lite, tmp_path, row())
    for written in ("2014-01-01T00:00:00Z", "2013-12-31T19:00:00-05:00", "2014-01-01T00:00+00:00"):
        assert take(lite, tmp_path, row(trade_time=written)).unchanged == 1


def test_a_trade_twice_in_one_file_counts_once(lite: Database, tmp_path: Path) -> None:
    report = take(lite, tmp_path, row(), row())
    assert (report.new, report.unchanged, report.rejected) == (1, 0, 1)
    (error,) = report.errors
    assert (error.line, error.column) == (3, "")
    assert "the same trade stands in line 2" in error.message
    again = take(lite, tmp_path, row(), row(price="0.1233", total_value="35.16"))
    assert (again.new, again.unchanged, again.rejected) == (0, 1, 1)
    assert "already recorded with quantity 285.190 and price 0.1234" in again.errors[0].message


def test_two_plants_that_sell_the_same_are_two_trades(lite: Database, tmp_path: Path) -> None:
    """Markets have one price an hour: only the plant tells their trades apart."""
    second = """
[[vpp]]
code = "vpp-2"
name = "Second"
total_capacity = "100"
account = "anvil:5"

[[strategy]]
vpp = "vpp-2"
name = "hourly"
type = "load_following"
"""
    apply(lite, SITE + TRADING + second)
    assert take(lite, tmp_path, row()).new == 1
    other = take(lite, tmp_path, row(vpp="vpp-2"))
    assert (other.new, other.unchanged, other.rejected) == (1, 0, 0)
    assert len({record.vpp_id for record in stored(lite)}) == 2


def test_a_trade_of_credits_that_are_not_there(lite: Database, tmp_path: Path) -> None:
    header = HEADER + ",credit"
    report = take(lite, tmp_path, row() + ",lab-2014-1", row() + ",", header=header)
    assert (report.new, report.rejected) == (1, 1)
    (error,) = report.errors
    assert (error.line, error.column) == (2, "credit")
    assert "there is no credit 'lab-2014-1'" in error.message


@pytest.mark.parametrize(
    ("changes", "column"),
    [
        ({"quantity": "285.191", "total_value": "35.19"}, "quantity"),
        ({"price": "0.1233", "total_value": "35.16"}, "price"),
    ],
)
def test_a_row_that_contradicts_a_stored_one(
    books: Database, tmp_path: Path, changes: dict[str, str], column: str
) -> None:
    take(books, tmp_path, row())
    report = take(books, tmp_path, row(**changes))
    assert (report.new, report.rejected) == (0, 1)
    (error,) = report.errors
    assert (error.line, error.column) == (2, column)
    assert "already recorded with quantity 285.190 and price 0.1234" in error.message
    assert error.message.endswith("or, if this line is a trade beside it, give it another time")
    assert len(stored(books)) == 1
    (number,) = (record.id for record in stored(books))
    ways = {
        TradeStatus.FAILED: (
            "give it another time",
            f"; `truetonne settle retry trade:{number}` makes it that again",
        ),
        TradeStatus.EXECUTED: ("is another trade, with another time", "can be cancelled"),
    }
    for status, (said, way_out) in ways.items():
        with books.write() as session:
            session.execute(update(VppTradingRecord).values(status=status))
        (error,) = take(books, tmp_path, row(**changes)).errors
        assert error.message.endswith(said)
        with pytest.raises(Refused) as refused:
            books.run(lambda session: cancel_trade(session, number, "wrong price"))
        assert refused.value.message.endswith(way_out)


@long
def test_a_trade_that_was_cancelled_makes_room_for_another(books: Database, tmp_path: Path) -> None:
    take(books, tmp_path, row())
    (number,) = (record.id for record in stored(books))
    books.run(lambda session: cancel_trade(session, number, "wrong price"))
    again = take(
        books, tmp_path, row()
    )  # the same file brings nothing back, and the report says so
    assert (again.unchanged, again.cancelled, as_json(again)["cancelled"]) == (1, [2], 1)
    other = row(price="0.1233", total_value="35.16")
    assert take(books, tmp_path, other).new == 1
    again = take(books, tmp_path, other, row())
    assert (again.unchanged, again.cancelled) == (2, [3])
    third = take(books, tmp_path, row(price="0.1232", total_value="35.14"))
    assert "already recorded with quantity 285.190 and price 0.1233" in third.errors[0].message
    assert [record.status.value for record in stored(books)] == ["cancelled", "pending"]


def test_columns_may_have_the_names_of_the_table(books: Database, tmp_path: Path) -> None:
    header = HEADER.replace("vpp,strategy", "vpp_id,strategy_id")
    path = tmp_path / "table.csv"
    path.write_text("\n".join([header, row(), row(vpp="1"), row(strategy="daily")]))
    with books.write() as session:
        report = import_trades(session, path)
    assert report.new == 1
    # Each by the name that the file has for it.
    assert [(error.line, error.column) for error in report.errors] == [
        (3, "vpp_id"),
        (4, "strategy_id"),
    ]
    assert take(books, tmp_path, row()).unchanged == 1


REFUSALS: list[tuple[dict[str, str], str, str]] = [
    (
        {"vpp": "vpp-7"},
        "vpp",
        "unknown VPP 'vpp-7' (did you mean 'vpp-1'?); add it to the site file",
    ),
    ({"vpp": ""}, "vpp", "unknown VPP ''"),
    ({"vpp": "vpp-poor", "strategy": ""}, "vpp", "has no settlement account"),
    ({"strategy": "daily"}, "strategy", "has no strategy 'daily'"),
    ({"strategy": "nightly"}, "strategy", "no strategy 'nightly'; it is one of vpp-rich"),
    ({"trade_type": "SELL"}, "trade_type", "'SELL' is neither buy nor sell"),
    ({"trade_type": ""}, "trade_type", "neither buy nor sell"),
    ({"quantity": "abc"}, "quantity", "'abc' is not a number"),
    ({"quantity": ""}, "quantity", "'' is not a number"),
    ({"quantity": "285.1901"}, "quantity", "more digits than 1/1000"),
    ({"quantity": "0"}, "quantity", "not above zero"),
    ({"quantity": "-1"}, "quantity", "the direction stands in trade_type"),
    ({"quantity": "1000000000"}, "quantity", "does not fit"),
    ({"quantity": "1e2"}, "quantity", "is not a number"),
    ({"quantity": "1e999999"}, "quantity", "is not a number"),
    ({"quantity": "1_000"}, "quantity", "is not a number"),
    ({"quantity": "١"}, "quantity", "is not a number"),
    ({"quantity": "NaN"}, "quantity", "is not a number"),
    ({"quantity": "Infinity"}, "quantity", "is not a number"),
    ({"quantity": "0." + "1" * 200}, "quantity", "more than 60 digits"),
    ({"quantity": '"285,190"'}, "quantity", "write digits and a point"),
    ({"price": "0.12345"}, "price", "more digits than 1/10000"),
    ({"price": "1000000"}, "price", "does not fit"),
    (
        {"quantity": "10000000.001", "price": "999999.9999", "total_value": "10000000000000.00"},
        "total_value",
        "does not fit",
    ),
    ({"total_value": "35.20"}, "total_value", "is not quantity x price = 35.19"),
    ({"total_value": "-35.19"}, "total_value", "is not quantity x price = 35.19"),
    ({"total_value": "35.191"}, "total_value", "more digits than 1/100"),
    (
        {"market": "night"},
        "market",
        "unknown market 'night' (there is: day-ahead); add it to the site",
    ),
    (
        {"market": "day ahead"},
        "market",
        "unknown market 'day ahead' (did you mean 'day-ahead'?); add",
    ),
    ({"trade_time": "2014-01-01T01:00:00"}, "trade_time", "has no offset"),
    ({"trade_time": "2014-01-01"}, "trade_time", "for example 2014-01-01T00:00:00+01:00"),
    ({"trade_time": "yesterday"}, "trade_time", "not an ISO 8601 time"),
    ({"trade_time": "2014-02-30T00:00:00Z"}, "trade_time", "not an ISO 8601 time"),
    ({"trade_time": "0001-01-01T00:00:00+14:00"}, "trade_time", "between the years"),
    ({"trade_time": "9999-12-31T23:59:59-14:00"}, "trade_time", "between the years"),
    ({"trade_time": "2014-01-01T01:00:00.0000001Z"}, "trade_time", "finer than a microsecond"),
    ({"trade_time": "2014-01-01T01:00:00Z,surplus"}, "", "1 more cells"),
]


@few(16)
@pytest.mark.parametrize(("changes", "column", "said"), REFUSALS, ids=range(len(REFUSALS)))
def test_a_row_that_is_refused(
    lite: Database, tmp_path: Path, changes: dict[str, str], column: str, said: str
) -> None:
    report = take(lite, tmp_path, row(), row(**changes), row(trade_time="2015-01-01T00:00Z"))
    assert (report.read, report.new, report.rejected) == (3, 2, 1)
    (error,) = report.errors
    assert (error.line, error.column) == (3, column)
    assert said in error.message
    assert "\n" not in error.message
    assert len(stored(lite)) == 2


def test_a_short_row(lite: Database, tmp_path: Path) -> None:
    """A line that was cut off before its credits must not become a trade of energy."""
    report = take(lite, tmp_path, "vpp-1,hourly,sell")
    assert [(error.line, error.column) for error in report.errors] == [(2, "")]
    assert "5 fewer cells" in report.errors[0].message
    path = tmp_path / "cut.csv"
    path.write_text(",".join((*COLUMNS, "credit")) + "\n" + row() + "\n")
    found = lite.run(lambda session: import_trades(session, path))
    assert (found.new, found.rejected) == (0, 1)
    assert "1 fewer cells" in found.errors[0].message


def test_a_row_is_told_by_the_line_that_it_begins_in(lite: Database, tmp_path: Path) -> None:
    report = take(lite, tmp_path, row(market='"no\nmarket"'), row(market="none"))
    assert [error.line for error in report.errors] == [2, 4]


def test_the_most_that_the_columns_hold(lite: Database, tmp_path: Path) -> None:
    most = {"quantity": "999999999.999", "price": "0.0001", "total_value": "100000.00"}
    dear = {"quantity": "0.001", "price": "-999999.9999", "total_value": "-1000.00"}
    whole = {"quantity": "10000000", "price": "999999.9999", "total_value": "9999999999000.00"}
    rows = [
        row(**each, trade_time=f"2015-01-01T0{hour}:00Z")
        for hour, each in enumerate((most, dear, whole))
    ]
    report = take(lite, tmp_path, *rows)
    assert (report.new, report.errors) == (3, [])
    assert [(str(each.quantity), str(each.price)) for each in stored(lite)][:2] == [
        ("999999999.999", "0.0001"),
        ("0.001", "-999999.9999"),
    ]


def test_totals_round_half_away_from_zero(lite: Database, tmp_path: Path) -> None:
    half = {"quantity": "0.005", "total_value": "0.01", "price": "1"}
    less = half | {"price": "-1", "total_value": "-0.01", "trade_time": "2015-01-01T00:00Z"}
    assert take(lite, tmp_path, row(**half), row(**less)).new == 2
    assert [record.total_value for record in stored(lite)] == [Decimal("0.01"), Decimal("-0.01")]
    to_even = half | {"total_value": "0.00", "trade_time": "2016-01-01T00:00Z"}
    assert take(lite, tmp_path, row(**to_even)).rejected == 1


@pytest.mark.parametrize("price", ["-0.1234", "0", "-0.0000", ".5", "5.", "+0.1234"])
def test_prices_of_every_sign(lite: Database, tmp_path: Path, price: str) -> None:
    total = {"-0.1234": "-35.19", "+0.1234": "35.19", ".5": "142.60", "5.": "1425.95"}
    changes = {"price": price, "total_value": total.get(price, "-0")}
    assert take(lite, tmp_path, row(**changes)).new == 1


def test_marks_columns_line_ends_and_quotes(lite: Database, tmp_path: Path) -> None:
    header = "\ufeffnote, " + ",".join(reversed(COLUMNS))
    line = '"a ""note"", with\r\ntwo lines",' + ",".join(f" {cell} " for cell in reversed(GOOD))
    bad = "note," + ",".join(reversed([*GOOD[:-1], "never"]))
    report = take(lite, tmp_path, line, "", bad, header=header, end="\r\n")
    assert (report.read, report.new) == (2, 1)
    assert [error.line for error in report.errors] == [5]


def test_signs_that_python_takes_for_line_ends_are_none(lite: Database, tmp_path: Path) -> None:
    report = take(lite, tmp_path, row(strategy="a\u2028b\x0bc\x85d"), row())
    assert (report.read, report.new) == (2, 1)
    assert report.errors[0].column == "strategy"


def test_a_header_alone_holds_no_trade(lite: Database, tmp_path: Path) -> None:
    report = take(lite, tmp_path)
    assert (report.read, report.new, report.rejected, report.errors) == (0, 0, 0, [])


def test_trades_of_more_than_a_year_ahead_are_counted_and_kept(
    lite: Database, tmp_path: Path
) -> None:
    now = datetime(2025, 3, 1, tzinfo=UTC)
    file = tmp_path / "trades.csv"
    times = (
        *("2025-03-01T00:00:00Z", "2026-03-02T00:00:00Z", "2026-03-02T00:00:01Z"),
        *("2099-01-01T00:00:00Z", "2099-01-01T00:00:00Z"),  # the second is rejected
    )
    file.write_text("\n".join([HEADER, *(row(trade_time=time) for time in times)]))
    report = lite.run(lambda session: import_trades(session, file, now))
    assert (report.new, report.rejected, report.future) == (4, 1, [4, 5])
    assert as_json(report)["future"] == 2
    again = lite.run(lambda session: import_trades(session, file, now))
    assert (again.unchanged, again.future) == (4, [])


def test_the_report_for_machines(lite: Database, tmp_path: Path) -> None:
    document = as_json(take(lite, tmp_path, row(quantity="x")))
    assert len(document["file_sha256"]) == 64
    assert document["errors"] == [
        {
            "line": 2,
            "column": "quantity",
            "message": "'x' is not a number; write digits and a point",
        }
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty; the first line must name the columns vpp, strategy"),
        (b"\xef\xbb\xbf", "empty"),
        (
            b"vpp;strategy\n",
            "line 1: column 'vpp' is missing; the file has vpp;strategy; its columns are separated by "
            "semicolons: write commas",
        ),
        (HEADER.replace("market", "Market").encode(), "line 1: column 'market' is missing"),
        ((HEADER + ",vpp").encode(), "line 1: column 'vpp' is there twice"),
        (b"\xff\xfe" + HEADER.encode("utf-16-le"), "line 1: not UTF-8 text (byte 0)"),
        ((HEADER + "\n" + "x" * 200_000).encode(), "line 2: not a CSV file"),
        (b"PK\x03\x04\xff", "the file is an Excel workbook or a zip; save it as CSV"),
        (gzip.compress(HEADER.encode()), "the file is gzipped; unpack it"),
        (b"SQLite format 3\0" + bytes(84), "the file is a database; have"),
        (b"\n  <!DOCTYPE html><html>", "the file is a web page"),
    ],
    ids=range(11),
)
def test_a_file_that_is_refused_as_a_whole(
    lite: Database, tmp_path: Path, content: bytes, said: str
) -> None:
    file = tmp_path / "trades.csv"
    file.write_bytes(content)
    with pytest.raises(BadInput) as caught:
        lite.run(lambda session: import_trades(session, file))
    assert said in caught.value.message
    assert caught.value.message.removeprefix(f"{tmp_path}/").startswith("trades.csv: ")
    assert stored(lite) == []


def test_a_file_that_is_not_there(lite: Database, tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(BadInput, match="cannot be read"):
            lite.run(lambda session, path=path: import_trades(session, path))  # type: ignore[misc]


def test_nothing_is_kept_of_a_file_that_breaks_in_its_middle(
    lite: Database, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="line 3: not a CSV file"):
        take(lite, tmp_path, row(), "x" * 200_000)
    assert stored(lite) == []


def test_one_file_imported_twice_at_once_is_stored_once(books: Database, tmp_path: Path) -> None:
    """Two rows for one trade would be paid twice: they have two numbers."""
    file = tmp_path / "trades.csv"
    lines = [row(trade_time=f"2014-01-{day:02}T00:00:00Z") for day in range(1, 29)]
    file.write_text("\n".join([HEADER, *lines]) + "\n")
    reports: list[TradesReport] = []

    def second() -> None:
        reports.append(books.run(lambda session: import_trades(session, file)))

    thread = threading.Thread(target=second)
    with books.write() as session:
        first = import_trades(session, file)
        thread.start()
        thread.join(0.5)
        assert thread.is_alive(), "the second import did not wait for the first"
    thread.join()
    assert (first.new, first.unchanged) == (28, 0)
    assert [(report.new, report.unchanged) for report in reports] == [(0, 28)]
    assert len(stored(books)) == 28


def test_an_import_looks_at_the_trades_of_its_times_alone(lite: Database, tmp_path: Path) -> None:
    """It read all that was ever stored, into memory, however short the file was."""
    apart = [f"2014-01-{day:02}T01:00:00+01:00" for day in range(1, 21)]
    report = take(lite, tmp_path, *[row(trade_time=moment) for moment in apart])
    assert (report.new, report.rejected) == (20, 0)
    said: dict[str, Any] = {}
    with listening(lambda _c, _cursor, sql, parameters, *_: said.update({sql: parameters})):
        again = take(lite, tmp_path, *[row(trade_time=moment) for moment in (apart[3], apart[9])])
    assert (again.new, again.unchanged) == (0, 2)
    with lite.read() as session:
        link = session.connection().connection.driver_connection
        (plan,) = [steps_of(link, sql, said[sql]) for sql in said if "FROM vpp_trading_rec" in sql]
    assert not [step for step in plan if step.startswith("SCAN")]


def test_more_times_than_one_question_holds(
    books: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trades, "_TIMES_PER_QUERY", 3)
    lines = [row(trade_time=f"2014-02-01T{hour:02}:00:00Z") for hour in range(10)]
    assert take(books, tmp_path, *lines).new == 10
    lines[7] = row(trade_time="2014-02-01T07:00:00Z", quantity="285.191")
    lines.insert(2, row(trade_type="both"))
    again = take(books, tmp_path, *lines)
    assert (again.new, again.unchanged, again.rejected) == (0, 9, 2)
    assert [error.line for error in again.errors] == [4, 10]  # in the order of the file
