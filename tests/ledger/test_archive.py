"""Real-time data go to the archive: nothing is lost and nothing doubled, whoever is killed whenever."""

import re
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, delete, event, func, insert, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ledger.db import Database, DatabaseBusy
from ledger.db.grants import Account, archive_of, place_of
from ledger.errors import BadInput, ProblemFound
from ledger.keeping import moving_sqlite
from ledger.keeping.missing import ArchiveLost, forget
from ledger.keeping.moves import due
from ledger.keeping.moving import archive, drop_archive
from ledger.keeping.orphans import orphans
from ledger.keeping.overview import alarms, views
from ledger.keeping.places import Month, archive_file, archive_schema, live_from, years_of
from ledger.keeping.reading import count_between, rows_between
from ledger.models import ArchivedDevice, AuditLog, Base, Device, DeviceData
from ledger.models.partitions import partitions_of
from tests.support.accounts import made_account
from tests.support.forked import FORKED
from tests.support.forms import few, long, rest
from tests.support.keeping import (
    EVER,
    Interrupted,
    add_device,
    archive_at_once,
    archive_killed,
    archive_link,
    at,
    ensure_at_once,
    everything,
    fresh,
    interrupted,
    put,
)
from tests.support.mariadb import MariaDbServer
from tests.support.statements import listening, steps_of
from tests.support.waiting import until

YEAR = datetime.now(UTC).year
BEFORE = date(YEAR, 4, 1)
JANUARY_OVER = date(YEAR, 2, 1)
OLD = [
    *(at(2014, 7, 1, hour) for hour in range(3)),
    at(2015, 1, 31, 23, 59, 59, 999_999),
    at(2015, 2, 1),
    *(at(YEAR, 1, 1, hour) for hour in range(4)),
    at(YEAR, 3, 31, 23, 59, 59, 999_999),
]
FEW = [at(2014, 7, 1), at(2014, 8, 1), at(2014, 8, 2)]
NEW = [at(YEAR, 4, 1), at(YEAR, 5, 2, 1, 2, 3, 4)]
DEADLINE_S = 180
LIVE = Base.metadata.tables["device_data"]


def live_rows(db: Database) -> int:
    with db.read() as session:
        return session.scalar(select(func.count()).select_from(DeviceData)) or 0


def moved(db: Database, before: date = BEFORE) -> dict[str, int]:
    found: dict[str, int] = {}
    for item in archive(db, before):
        found[str(item.month)] = found.get(str(item.month), 0) + item.rows
    return found


def is_moved(db: Database) -> bool:
    """Move what is old; return whether nobody was in the way."""
    try:
        moved(db)
    except DatabaseBusy:
        return False
    return True


ALL_MOVED = {"2014-07": 3, "2015-01": 1, "2015-02": 1, f"{YEAR}-01": 4, f"{YEAR}-03": 1}


def test_three_whole_months_before_the_present_one_stay_live() -> None:
    assert live_from(date(2026, 11, 26), 3) == date(2026, 8, 1)
    assert live_from(date(2026, 1, 1), 3) == date(2025, 10, 1)
    assert live_from(date(2026, 3, 31), 1) == date(2026, 2, 1)


def test_old_rows_move_and_are_read_where_they_are(books: Database) -> None:
    device = add_device(books)
    put(books, device, OLD + NEW, "-123456789.000001")
    before = everything(books)
    assert len(before) == len(OLD) + len(NEW)
    assert {str(item.month): item.rows for item in due(books, BEFORE)} == ALL_MOVED
    assert live_rows(books) == len(before)  # to ask moves nothing
    assert moved(books) == ALL_MOVED
    assert everything(books) == before
    assert live_rows(books) == len(NEW)
    assert years_of(books, "device_data") == [2014, 2015, YEAR]
    assert moved(books) == {} == {str(i.month): i.rows for i in due(books, BEFORE)}
    with rows_between(books, "device_data", at(2015, 1, 31), at(2015, 2, 1)) as rows:
        (row,) = rows
    assert row["recorded_at"] == at(2015, 1, 31, 23, 59, 59, 999_999)
    assert str(row["value"]) == "-123456789.000001"
    assert row["metadata"] == {"where": "Zürich 园区", "n": [1, None]}
    # The four of the first hours of a year, where that begins eight hours later: the archive's years are of UTC.
    west = timezone(timedelta(hours=-8))
    span = [each.astimezone(west) for each in (at(YEAR, 1, 1), at(YEAR, 1, 1, 4))]
    assert {each.year for each in span} == {YEAR - 1}
    assert count_between(books, "device_data", *span) == 4
    with books.read() as session:
        entries = session.scalars(select(AuditLog).where(AuditLog.action == "archive.move")).all()
    assert {(e.resource, (e.new_values or {})["rows"]) for e in entries} >= {
        ("device_data/2014-07", 3),
        (f"device_data/{YEAR}-01", 4),
    }
    shown = {part.name: part.rows for part in views(books, BEFORE, count=True)[0].archive}
    assert shown == {"device_data_2014": 3, "device_data_2015": 2, f"device_data_{YEAR}": 5}


def test_a_month_that_leaves_a_file_is_found_by_the_times_of_each_device(
    sqlite_db: Database,
) -> None:
    """A park that imports ten years has a hundred months to move: each would read all the others."""
    put(sqlite_db, add_device(sqlite_db), OLD + NEW)
    asked = []

    def heard(connection: Any, cursor: Any, sql: str, values: Any, *_: object) -> None:
        if "device_data.recorded_at >=" in sql and not isinstance(values, list):
            asked.append(steps_of(connection.connection, sql, values))

    with listening(heard):
        assert moved(sqlite_db) == ALL_MOVED
    assert len(asked) == 3 * len(ALL_MOVED)  # its devices, its rows, and their end here
    assert {step for steps in asked for step in steps if "SCAN device_data" in step} == set()


@long
def test_a_demonstration_that_starts_anew_takes_its_archive_along(books: Database) -> None:
    put(books, add_device(books), OLD + NEW)
    moved(books)
    drop_archive(books)
    assert years_of(books, "device_data") == []
    assert live_rows(books) == len(NEW)
    drop_archive(books)


def test_an_archive_that_is_gone_is_said_and_nothing_is_read_without_it(books: Database) -> None:
    """As where only the live database was copied to another machine: else what had left it is missing unseen."""
    device = add_device(books)
    put(books, device, OLD + NEW)
    with books.read() as session:
        assert alarms(session) == []
    moved(books)
    with books.read() as session:
        assert alarms(session) == []
    drop_archive(books)
    # What came late: to move it would make an archive anew, and nobody would miss the other one.
    put(books, device, OLD[:1])
    for act in (everything, lambda db: count_between(db, "device_data", *EVER), moved, orphans):
        with pytest.raises(ArchiveLost, match="bring it back from a backup"):
            act(books)
    with books.read() as session:
        (alarm,) = alarms(session)
    assert "has no device_data, though rows went there" in alarm


@long
def test_a_year_or_a_month_that_is_gone_is_said(books: Database) -> None:
    """As where an archive was brought back that is older than the books; who knows of it says so, and goes on."""
    device = add_device(books)
    put(books, device, OLD)
    moved(books)
    for statement, gone in (
        ("DELETE FROM {}device_data_2015 WHERE recorded_at >= '2015-02-01'", "2015-02"),
        ("DROP TABLE {}device_data_2014", "device_data_2014"),
    ):
        with archive_link(books) as (link, schema):
            link.exec_driver_sql(statement.format(schema))
        with books.read() as session:
            (alarm,) = alarms(session)
        assert f"{gone}, though rows went there" in alarm.replace("no row of device_data of ", "")
        assert f"`truetonne db partitions archive --forget {gone.rpartition('_')[2]}`" in alarm
    for act in (everything, lambda db: count_between(db, "device_data", *EVER), moved):
        with pytest.raises(ArchiveLost, match="has no device_data_2014, though rows went there"):
            act(books)
    with pytest.raises(BadInput, match="2013: no month of it is missing"):
        forget(books, "2013")
    assert forget(books, "2014", dry_run=True) == ["2014-07"]
    assert forget(books, "2014") == ["2014-07"]
    assert forget(books, "2015") == ["2015-02"]
    with books.read() as session:
        assert alarms(session) == []
    assert len(everything(books)) == len(OLD) - 4
    put(
        books, device, OLD[:1]
    )  # what comes late makes the year anew, and is asked for as any other
    assert moved(books) == {"2014-07": 1}
    with books.read() as session:
        assert alarms(session) == []
    with archive_link(books) as (link, schema):
        link.exec_driver_sql(f"DELETE FROM {schema}device_data_2015")
    with books.read() as session:
        (alarm,) = alarms(session)  # what was there when a year was forgotten is missed as before
    assert "no row of device_data of 2015-01, though" in alarm
    drop_archive(books)
    with books.write() as session:
        session.execute(delete(ArchivedDevice))  # that all of it is gone is known
    put(books, device, OLD[-1:])
    assert moved(books) == {f"{YEAR}-03": 1}
    with books.read() as session:
        assert alarms(session) == []


@long
def test_an_archive_all_of_which_is_known_to_be_lost_is_not_asked_for(sqlite_db: Database) -> None:
    device = add_device(sqlite_db)
    put(sqlite_db, device, OLD + NEW)
    moved(sqlite_db)
    drop_archive(sqlite_db)
    for year in ("2014", "2015"):
        forget(sqlite_db, year)
        with pytest.raises(ArchiveLost):
            everything(sqlite_db)
    forget(sqlite_db, str(YEAR))
    with sqlite_db.read() as session:
        assert alarms(session) == []
    assert len(everything(sqlite_db)) == len(NEW)
    put(sqlite_db, device, OLD[:1])
    assert moved(sqlite_db) == {"2014-07": 1}
    assert len(everything(sqlite_db)) == 1 + len(NEW)


def test_an_archive_that_is_damaged_is_an_alarm(sqlite_db: Database) -> None:
    put(sqlite_db, add_device(sqlite_db), OLD)
    moved(sqlite_db)
    file = archive_file(sqlite_db)
    with file.open("r+b") as half:  # all but the first page, which has the names of its tables
        half.seek(4096)
        half.write(b"\x55" * (file.stat().st_size - 4096))
    _require_unreadable(sqlite_db, "database disk image is malformed")
    file.write_bytes(b"no database")
    _require_unreadable(sqlite_db, "file is not a database")


def _require_unreadable(db: Database, why: str) -> None:
    said = f"archive {archive_file(db)}: cannot be read ({why}); "
    with db.read() as session:
        (alarm,) = alarms(session)
    assert said in alarm
    with pytest.raises(ArchiveLost, match=re.escape(said)):
        forget(db, "2014")


def test_late_values_of_an_archived_month_follow_it(books: Database) -> None:
    device = add_device(books)
    put(books, device, OLD)
    moved(books)
    put(books, device, [at(2014, 7, 1), at(2014, 7, 9), at(YEAR, 1, 7)], "2")
    before = everything(books)
    assert moved(books) == {"2014-07": 2, f"{YEAR}-01": 1}
    assert everything(books) == before
    assert live_rows(books) == 0


@long
def test_a_number_that_is_given_out_again_overwrites_nothing(books: Database) -> None:
    """A server that restarts, and SQLite, may count anew when the highest numbers are gone."""
    device = add_device(books)
    put(books, device, [at(2014, 7, 1)], "1")
    with books.read() as session:
        number = session.scalars(select(DeviceData.id)).one()
    moved(books)
    for value in ("2", "3"):
        with books.write() as session:
            session.execute(
                text(
                    "INSERT INTO device_data (id, device_id, metric_name, value, recorded_at, created_at) "
                    f"SELECT {number}, {device}, 'p', {value}, '2014-07-01 00:00:00.000000', "
                    "'2026-01-01 00:00:00.000000'"
                )
            )
        assert moved(books) == {"2014-07": 1}
    with rows_between(books, "device_data", *EVER) as rows:
        assert len(list(rows)) == 3


@long
def test_live_rows_that_were_restored_are_not_archived_twice(books: Database) -> None:
    device = add_device(books)
    put(books, device, OLD + NEW)
    with books.write() as session:  # one without text, unit or anything that may be missing
        session.add(
            DeviceData(device_id=device, metric_name="p", value=Decimal(0), recorded_at=OLD[0])
        )
    before = everything(books)
    with books.read() as session:
        backup = [dict(row) for row in session.execute(select(LIVE)).mappings()]
    moved(books)
    with books.write() as session:
        session.execute(delete(DeviceData))
        session.execute(insert(LIVE), backup)
    moved(books)
    assert everything(books) == before
    assert live_rows(books) == len(NEW)


@long
def test_a_month_that_is_lost_once_more_is_missed_once_more(books: Database) -> None:
    """Its rows came back from a backup with the numbers that they had: by the log their move had been noted."""
    put(books, add_device(books), FEW[1:])
    with books.read() as session:
        backup = [dict(row) for row in session.execute(select(LIVE)).mappings()]
    for _ in range(2):
        assert moved(books) == {"2014-08": 2}
        with archive_link(books) as (link, schema):
            link.exec_driver_sql(f"DELETE FROM {schema}device_data_2014")
        assert forget(books, "2014") == ["2014-08"]
        with books.write() as session:
            session.execute(insert(LIVE), backup)


@long
def test_a_device_with_archived_data_is_never_deleted(books: Database) -> None:
    device, other = add_device(books), add_device(books, "D2")
    put(books, device, OLD)
    moved(books)
    assert live_rows(books) == 0
    with pytest.raises(IntegrityError), books.write() as session:
        session.execute(delete(Device).where(Device.id == device))
    with books.write() as session:
        session.execute(delete(Device).where(Device.id == other))
    with books.read() as session:
        assert session.scalars(select(ArchivedDevice.device_id)).all() == [device]
    assert orphans(books) == []


# ------------------------------------------------------------------------- kill -9, two at once


def killed_at(url: str, step: int) -> int | None:
    """Run the archive in a process that dies before a step; return how many there are if it lived."""
    here, there = FORKED.Pipe(duplex=False)
    process = FORKED.Process(target=archive_killed, args=(url, JANUARY_OVER, step, there))
    process.start()
    there.close()
    process.join(DEADLINE_S)
    if process.exitcode == -signal.SIGKILL:
        return None
    assert process.exitcode == 0
    count: int = here.recv()
    return count


def noted(db: Database) -> list[tuple[str, int]]:
    """Return what the audit log says of moves: table and month, and how many rows."""
    with db.read() as session:
        entries = session.scalars(
            select(AuditLog).where(AuditLog.action == "archive.move").order_by(AuditLog.id)
        )
        return [(entry.resource, (entry.new_values or {})["rows"]) for entry in entries]


def every_kill(db: Database, url: str, begin: Callable[[], None]) -> int:
    """Kill before each step in turn; each row is in one place then, and after the next run archived."""
    for step in range(1, 1000):
        begin()
        before, old = everything(db), noted(db)
        count = killed_at(url, step)
        assert everything(db) == before, step
        left = moved(db, JANUARY_OVER)
        assert noted(db)[len(old) :] == [("device_data/2014-07", 1), ("device_data/2014-08", 2)], (
            step
        )
        assert everything(db) == before, step
        assert live_rows(db) == len(NEW), step
        archived = views(db, BEFORE)[0].archive
        assert [part.name for part in archived] == ["device_data_2014"], step  # none on their way
        assert sum(left.values()) <= len(FEW), step
        if count is not None:
            assert count < step
            return step
    raise AssertionError("it never ends")


@long
def test_a_kill_before_any_step_loses_and_doubles_nothing(
    sqlite_db: Database, tmp_path: Path
) -> None:
    file = tmp_path / "truetonne.db"
    put(sqlite_db, add_device(sqlite_db), FEW + NEW)
    sqlite_db.close()
    shutil.copyfile(file, tmp_path / "begin")

    def begin() -> None:
        sqlite_db.close()
        for name in ("truetonne.db", "truetonne_archive.db"):
            for end in ("", "-wal", "-shm"):
                (tmp_path / f"{name}{end}").unlink(missing_ok=True)
        shutil.copyfile(tmp_path / "begin", file)

    assert every_kill(sqlite_db, f"sqlite:///{file}", begin) > 10
    assert archive_file(sqlite_db) == tmp_path / "truetonne_archive.db"


@long  # on SQLite it is done above
@pytest.mark.mariadb
def test_a_kill_before_any_step_loses_and_doubles_nothing_on_mariadb(
    mariadb_books: Database, kept_url: str
) -> None:
    device = add_device(mariadb_books)

    def begin() -> None:
        fresh(mariadb_books)
        put(mariadb_books, device, FEW + NEW)

    assert every_kill(mariadb_books, kept_url, begin) > 10


@pytest.mark.mariadb
def test_a_move_is_noted_once_though_it_is_interrupted(mariadb_books: Database) -> None:
    """No run after a kill can know what the one before has moved: it is noted first, and by a name that comes again."""
    put(mariadb_books, add_device(mariadb_books), FEW[1:])
    before, old = everything(mariadb_books), len(noted(mariadb_books))
    exchanged = "EXCHANGE PARTITION p201408"
    for ends in ("before_cursor_execute", "after_cursor_execute"):
        with interrupted(ends, exchanged), pytest.raises(Interrupted):
            moved(mariadb_books)
        assert noted(mariadb_books)[old:] == [("device_data/2014-08", 2)]
        assert everything(mariadb_books) == before
    assert moved(mariadb_books) == {}
    assert noted(mariadb_books)[old:] == [("device_data/2014-08", 2)]


def at_once(target: Callable[..., None], url: str, day: date) -> list[Any]:
    """Run two processes that begin together; return what they tell."""
    barrier = FORKED.Barrier(2)
    pipes = [FORKED.Pipe(duplex=False) for _ in range(2)]
    processes = [
        FORKED.Process(target=target, args=(url, day, barrier, there)) for _, there in pipes
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(DEADLINE_S)
        assert process.exitcode == 0
    return [here.recv() for here, _ in pipes]


def test_two_processes_archive_every_row_once(books: Database) -> None:
    put(books, add_device(books), OLD + NEW)
    before = everything(books)
    url = books.url.render_as_string(hide_password=False)
    assert sum(at_once(archive_at_once, url, BEFORE)) == len(OLD)
    assert everything(books) == before
    assert live_rows(books) == len(NEW)


def test_who_was_held_up_files_nothing_that_another_has_copied_since(
    sqlite_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A month would come to lie in the table of another year, where nobody asks for it."""
    put(sqlite_db, add_device(sqlite_db), [at(2014, 12, 31), at(2015, 1, 1)])
    before = everything(sqlite_db)
    file, copy = moving_sqlite._file, moving_sqlite._copy
    held: list[Any] = []

    def hold(*move: Any) -> list[Any]:
        held.append(move[1:])
        raise Interrupted

    def late(session: Session, archive: Database, *month: Any) -> tuple[int, list[int]]:
        copied = copy(session, archive, *month)
        assert file(archive, *held[0]) == []
        return copied

    with monkeypatch.context() as patched, pytest.raises(Interrupted):
        patched.setattr(moving_sqlite, "_file", hold)
        moved(sqlite_db)
    monkeypatch.setattr(moving_sqlite, "_copy", late)
    assert moved(sqlite_db) == {"2014-12": 1, "2015-01": 1}
    assert everything(sqlite_db) == before


@long
@pytest.mark.mariadb
def test_a_device_whose_values_come_just_before_their_month_leaves_is_kept(
    mariadb_books: Database,
) -> None:
    device, late = add_device(mariadb_books), add_device(mariadb_books, "D2")
    put(mariadb_books, device, FEW)
    there: list[int] = []

    def come(_c: Any, _cur: Any, statement: str, *_: Any) -> None:
        if "EXCHANGE PARTITION" in statement and not there:
            there.append(late)
            put(mariadb_books, late, FEW)

    event.listen(Engine, "before_cursor_execute", come)
    try:
        moved(mariadb_books)
    finally:
        event.remove(Engine, "before_cursor_execute", come)
    with mariadb_books.read() as session:
        assert set(session.scalars(select(ArchivedDevice.device_id))) == {device, late}
    assert (there, live_rows(mariadb_books)) == ([late], 0)


@pytest.mark.mariadb
def test_two_processes_add_partitions_once(mariadb_books: Database, kept_url: str) -> None:
    day = date(YEAR + 2, 1, 1)
    added = at_once(ensure_at_once, kept_url, day)
    assert sorted(bool(sum(map(len, each))) for each in added) == [False, True]
    assert all(report.added == () for report in mariadb_books.ensure_partitions(day))
    with mariadb_books.read() as session:
        ends = [part.end for part in partitions_of(session.connection(), "device_data")]
    assert len(set(ends)) == len(ends)


@long
@pytest.mark.mariadb
def test_values_that_come_while_partitions_leave_are_kept(mariadb_books: Database) -> None:
    device = add_device(mariadb_books)
    put(mariadb_books, device, OLD)
    second = Database(mariadb_books.url.render_as_string(hide_password=False), lock_timeout_s=10)
    stop, written = threading.Event(), [0]

    def insert() -> None:
        while not stop.is_set() and written[0] < 3000:
            moment = at(YEAR, 1 + written[0] % 3, 3) + timedelta(seconds=written[0])
            second.run(
                lambda session, moment=moment: session.add(  # type: ignore[misc]
                    DeviceData(device_id=device, metric_name="p", value=1, recorded_at=moment)
                )
            )
            written[0] += 1

    thread = threading.Thread(target=insert)
    thread.start()
    rounds = 0
    try:
        while rounds < 8:
            seen = written[0]
            with suppress(DatabaseBusy):  # the next run goes on
                moved(mariadb_books)
            while written[0] <= seen and thread.is_alive():
                threading.Event().wait(0.001)
            rounds += 1
    finally:
        stop.set()
        thread.join(DEADLINE_S)
    assert written[0] >= 8
    assert len(everything(mariadb_books)) == len(OLD) + written[0]
    moved(mariadb_books)
    assert live_rows(mariadb_books) == 0
    assert len(everything(mariadb_books)) == len(OLD) + written[0]
    second.close()


@long
@pytest.mark.mariadb
@pytest.mark.filterwarnings("error::UserWarning")
def test_readers_are_never_given_a_half(mariadb_books: Database) -> None:
    put(mariadb_books, add_device(mariadb_books), OLD)
    with rows_between(mariadb_books, "device_data", *EVER) as rows:
        with pytest.raises(DatabaseBusy):  # it waits for who reads, and not for long
            moved(mariadb_books)
        assert len(list(rows)) == len(OLD)
    until(
        lambda: is_moved(mariadb_books)
    )  # the server may not know yet that the reader above is gone
    assert len(everything(mariadb_books)) == len(OLD)


@few(1)
@pytest.mark.mariadb
@pytest.mark.parametrize(
    ("step", "succeeds"),
    [("look for tables", True), ("before the snapshot", True), ("after the snapshot", False)],
)
def test_a_move_at_each_step_of_a_reader(
    mariadb_books: Database, monkeypatch: pytest.MonkeyPatch, step: str, succeeds: bool
) -> None:
    """Who comes to a table that partitions have left since his snapshot is told so (1412), or given none of its rows.

    The server tells it only as long as it has the table in its memory.
    """
    put(mariadb_books, add_device(mariadb_books), OLD)
    honest, opened, moves = Database.read, [], []

    def move(now: str) -> None:
        if now == step and not moves:
            moves.append(None)
            moves[0] = is_moved(mariadb_books)

    @contextmanager
    def read(self: Database, **how: Any) -> Iterator[Session]:
        if moves == [None]:  # the move's own
            with honest(self, **how) as session:
                yield session
            return
        opened.append(how)
        if len(opened) == 2:
            move("before the snapshot")
        with honest(self, **how) as session:
            move("look for tables" if len(opened) == 1 else "after the snapshot")
            yield session

    with monkeypatch.context() as patch:
        patch.setattr(Database, "read", read)
        assert len(everything(mariadb_books)) == len(OLD)
    assert moves == [succeeds]


@long
def test_a_month_that_is_on_its_way_is_not_said_to_be_gone(sqlite_db: Database) -> None:
    """A run was killed when its rows had left the live file, and were not in their year's table."""
    put(sqlite_db, add_device(sqlite_db), FEW[:1])
    with (
        interrupted("before_cursor_execute", "INSERT INTO device_data_2014 "),
        pytest.raises(Interrupted),
    ):
        moved(sqlite_db)
    assert (live_rows(sqlite_db), len(everything(sqlite_db))) == (0, 1)
    with sqlite_db.read() as session:
        assert alarms(session) == []
    assert moved(sqlite_db) == {"2014-07": 1}
    assert len(everything(sqlite_db)) == 1


@long
@pytest.mark.parametrize("step", rest(range(1, 15), 8))
def test_a_move_before_each_statement_of_a_reader_of_sqlite(sqlite_db: Database, step: int) -> None:
    """The archive is another file, with a snapshot of its own: what left between the two was read twice."""
    put(sqlite_db, add_device(sqlite_db), OLD)
    moved(sqlite_db, date(2014, 8, 1))
    other = Database(sqlite_db.url.render_as_string())
    statements, moves = count(1), []

    def look(*_: Any) -> None:
        if not moves and next(statements) == step:
            moves.append(None)  # its own statements come here, too
            moves[0] = is_moved(other)

    event.listen(Engine, "before_cursor_execute", look)
    try:
        found = everything(sqlite_db)
    finally:
        event.remove(Engine, "before_cursor_execute", look)
        other.close()
    assert (len(found), moves) == (len(OLD), [True])
    assert (live_rows(sqlite_db), everything(sqlite_db)) == (0, found)


@long
@pytest.mark.mariadb
def test_the_account_that_writes_rows_is_told_of_the_one_that_changes_tables(
    mariadb_books: Database, mariadb_server: MariaDbServer
) -> None:
    """By a line that says what docs/security.md says, and that is enough."""
    put(mariadb_books, add_device(mariadb_books), OLD)
    with made_account(mariadb_server, Account.WRITE, "kept") as url:
        database = Database(url.render_as_string(hide_password=False))
        with pytest.raises(
            ProblemFound,
            match=r"Access denied for user 'test_write'.*database_admin_url.*`truetonne db grants migrate`",
        ) as refused:
            moved(database)
        assert refused.value.code == "archive-forbidden"
        assert "GRANT" not in refused.value.message
        database.close()
    assert live_rows(mariadb_books) == len(OLD)
    with made_account(mariadb_server, Account.MIGRATE, "kept") as url:
        database = Database(url.render_as_string(hide_password=False))
        assert moved(database) == ALL_MOVED
        database.close()
    with made_account(mariadb_server, Account.WRITE, "kept") as url:
        place = place_of(archive_of("kept"), "*")
        mariadb_server.execute(f"REVOKE SELECT ON {place} FROM 'test_write'@'%'")
        database = Database(url.render_as_string(hide_password=False))
        with pytest.raises(ArchiveLost, match="may not read it, and cannot say what is missing"):
            forget(database, "2014")  # all of it is there
        database.close()
    with pytest.raises(BadInput, match="no month of it is missing"):
        forget(mariadb_books, "2014")


@long
@pytest.mark.mariadb
def test_an_archive_of_another_shape_is_said(mariadb_books: Database) -> None:
    device = add_device(mariadb_books)
    put(mariadb_books, device, [at(YEAR, 1, 2)])
    moved(mariadb_books)
    put(mariadb_books, device, [at(YEAR, 2, 2)])
    before = everything(mariadb_books)
    year = f"{archive_schema(mariadb_books)}.device_data_{YEAR}"
    with mariadb_books.changing() as link:
        link.exec_driver_sql(f"ALTER TABLE {year} ADD COLUMN more INT")
    with pytest.raises(ProblemFound, match="has other columns"):
        moved(mariadb_books)
    with mariadb_books.changing() as link:
        link.exec_driver_sql(f"ALTER TABLE {year} DROP COLUMN more")
    assert everything(mariadb_books) == before
    moved(mariadb_books)
    assert everything(mariadb_books) == before


# ------------------------------------------------------------------------- pmax


@pytest.mark.mariadb
def test_rows_in_pmax_are_an_alarm_and_are_moved_out(mariadb_books: Database) -> None:
    today = datetime.now(UTC).date()
    until = views(mariadb_books, today)[0].covered_until
    assert until is not None
    near, far = (Month.of(until).plus(months) for months in (1, 2))
    put(mariadb_books, add_device(mariadb_books), [near.start, far.start])
    before = everything(mariadb_books)
    with mariadb_books.read() as session:
        (alarm,) = alarms(session)
    assert "device_data: 2 rows lie outside of all periods" in alarm
    data = views(mariadb_books, today)[0]
    assert (data.strays, data.stray_first, data.stray_last) == (2, near.start, far.start)
    # The alarm is no estimate of the server's; what it would be slow to count is one, unless asked for.
    assert [part.name for part in data.live if part.exact] == ["pmax"]
    assert all(part.exact for part in views(mariadb_books, today, count=True)[0].live)
    for month, strays in ((near, (2, 1)), (far, (1, 0))):
        data_report, _ = mariadb_books.ensure_partitions(today, month.first)
        assert (data_report.stray_rows, data_report.stray_left) == strays
        assert data_report.added[-1] == f"p{month.year}{month.number:02d}"
    with mariadb_books.read() as session:
        assert alarms(session) == []
    assert everything(mariadb_books) == before
