"""What reads the live table on MariaDB holds it: a month that leaves meanwhile is neither missed nor taken for gone."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import select, text

from cli import alerts as commands
from cli.command import Invocation
from ledger.chain.access import Chain
from ledger.db import Database, DatabaseBusy
from ledger.db.grants import Account
from ledger.jobs import work
from ledger.jobs.work import Tools
from ledger.keeping.moves import due
from ledger.keeping.moving import archive
from ledger.keeping.orphans import orphans
from ledger.keeping.overview import views
from ledger.models import Device, DeviceAlert, DeviceType
from ledger.park import watching
from ledger.readings import import_file
from ledger.settings import load_settings
from tests.support.accounts import made_account
from tests.support.forms import long, rest
from tests.support.keeping import (
    add_device,
    at,
    everything,
    moving_under_a_look,
    put,
    put_back,
    store,
)
from tests.support.mariadb import MariaDbServer
from tests.support.plant import apply, write_csv
from tests.support.waiting import until

pytestmark = pytest.mark.mariadb

YEAR = datetime.now(UTC).year
BEFORE = date(YEAR, 2, 1)
OLD = [at(YEAR, 1, 5, hour) for hour in (1, 2, 3, 4)]
RULES = {
    "alerts": [
        {"type": "above", "metric": "active_power", "limit": "45", "severity": "high"},
        {"type": "missing", "metric": "active_power", "minutes": 90, "severity": "high"},
    ]
}


def counted(db: Database) -> list[tuple[str, int]]:
    return [(part.name, part.rows) for part in views(db, date(YEAR, 6, 1), count=True)[0].live]


def to_move(db: Database) -> Any:
    return due(db, BEFORE)


@long
@pytest.mark.parametrize("reads", rest([counted, orphans, to_move]))
def test_no_month_leaves_under_who_counts(
    mariadb_books: Database, reads: Callable[[Database], Any]
) -> None:
    put(mariadb_books, add_device(mariadb_books), OLD)
    put(mariadb_books, 77, OLD)
    before = reads(mariadb_books)
    with moving_under_a_look(mariadb_books, BEFORE) as moved:
        assert reads(mariadb_books) == before
    assert moved == [False]


def test_who_holds_and_writes_is_not_given_up_for_a_move_that_waits(
    mariadb_books: Database, mariadb_server: MariaDbServer
) -> None:
    """By the account of the program; a reader's lock would have to become a writer's, which the server refuses."""
    device = add_device(mariadb_books)
    put(mariadb_books, device, OLD)
    moved: list[bool] = []

    def move() -> None:
        try:
            moved.append(bool(list(archive(mariadb_books, BEFORE))))
        except DatabaseBusy:
            moved.append(False)

    def waits() -> bool:
        query = (
            "SELECT COUNT(*) FROM information_schema.processlist WHERE state LIKE '%metadata lock'"
        )
        with mariadb_books.read() as session:
            return bool(session.scalar(text(query)))

    thread = threading.Thread(target=move)
    with made_account(mariadb_server, Account.WRITE, "kept") as url:
        program = Database(url.render_as_string(hide_password=False), lock_timeout_s=10)
        with program.write(holding=watching.HELD) as session:
            thread.start()
            until(waits)
            store(session, device, [at(YEAR, 4, 1)])
        program.close()
    thread.join(180)
    assert len(moved) == 1
    assert len(everything(mariadb_books)) == len(OLD) + 1


# ------------------------------------------------------------------ alerts


@pytest.fixture
def hot(mariadb_db: Database, tmp_path: Path) -> Iterator[tuple[Database, Path]]:
    """A device that was too hot in January, with its file; nothing came since, which is known."""
    with put_back(mariadb_db):
        apply(mariadb_db)
        with mariadb_db.write() as session:
            session.scalars(select(DeviceType)).one().validation_rules = RULES
        rows = [(moment.isoformat(), "60") for moment in OLD[:3]]
        file = write_csv(tmp_path / "hot.csv", [*rows, (OLD[3].isoformat(), "20")])
        import_file(mariadb_db, "park", "scada", file, after=received)
        with mariadb_db.read() as session:
            number = session.scalars(select(Device.id)).first()
        assert number is not None
        put(mariadb_db, number, [at(YEAR - 1, 12, 5)])
        assert len(list(archive(mariadb_db, date(YEAR, 1, 1)))) == 1  # else its row waits for ours
        yield mariadb_db, file


def received(session: Any, spans: Any) -> dict[str, int]:
    return watching.received(session, spans, OLD[3]).as_json()


def import_again(db: Database, file: Path) -> None:
    assert import_file(db, "park", "scada", file, after=received).unchanged == len(OLD)


def evaluate(db: Database, _: Path) -> None:
    output = SimpleNamespace(result=lambda *_: None)
    environ = {"TRUETONNE_DATABASE_URL": db.url.render_as_string(hide_password=False)}
    commands.evaluate(Invocation(cast(Any, output), environ=environ))


def watch(db: Database, _: Path) -> None:
    clock = OLD[3] + timedelta(hours=3)
    tools = Tools(cast(Chain, SimpleNamespace(db=db)), load_settings(None, {}), lambda: clock)
    assert work.watch_devices(tools) == "alerts: 1 raised"


@long
@pytest.mark.parametrize("judges", rest([import_again, evaluate, watch]))
def test_no_month_leaves_under_who_judges_alerts(
    hot: tuple[Database, Path], judges: Callable[[Database, Path], None]
) -> None:
    db, file = hot
    with moving_under_a_look(db, BEFORE) as moved:
        judges(db, file)
    assert moved == [False]
    with db.read() as session:
        found = session.scalars(select(DeviceAlert).order_by(DeviceAlert.id)).first()
    assert found is not None
    assert (found.triggered_at, found.resolved_at) == (OLD[0], OLD[3])
    assert (found.details or {})["worst"] == str(Decimal(60))
