"""Two units of work at once leave what one after the other would, in one of the two orders.

One of them is stopped before a statement of its own until the other has ended, or waits for it. That is on MariaDB,
where what a unit of work sees may be older than the lock that it has waited for.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pymysql
import pytest
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from ledger import issuance
from ledger.chain.access import Chain
from ledger.chain.keys.signers import anvil_address
from ledger.corrections import correct
from ledger.db import Database
from ledger.errors import TruetonneError
from ledger.issuance import plan_issuance
from ledger.models import Base, Issuance
from ledger.readings import import_file
from ledger.settlement.batches import plan_batches
from ledger.settlement.cancel import cancel_trade
from ledger.sites import apply_site
from tests.ledger.test_inventory import RESIDUAL
from tests.support.forms import long
from tests.support.mariadb import MariaDbServer, client, empty
from tests.support.park import PARIS, PROJECT, TRADING, Park, day, open_chain, running_park
from tests.support.plant import SITE, write_csv

DATABASE = "truetonne"
UNTOLD = {"audit_chain", "audit_heads", "audit_logs", "import_files", "vpp_trade_shortfalls"}
"""Tables that say who did what when, and what the next run says anew."""
OF_A_RUN = {"id", "key", "batch_key", "file_id", "manifest", "manifest_hash", "trades_root", "word"}
"""Numbers and keys that each run gives anew, and what is made of them."""


@dataclass(frozen=True)
class World:
    """A park on MariaDB with an issued day, a planned one, and two days more; and the rows of its books."""

    park: Park
    server: MariaDbServer
    rows: bytes
    folder: Path

    def begin(self) -> None:
        """Have the books as they were at the beginning."""
        empty(self.server, DATABASE)
        client(self.server, "mariadb", DATABASE, text=b"SET foreign_key_checks=0;\n" + self.rows)

    def open(self) -> tuple[Database, Chain]:
        """Open the books as another process does."""
        url = self.park.db.url.render_as_string(hide_password=False)
        db = Database(url, lock_timeout_s=60)
        return db, open_chain(db, self.park.node, self.park.node.client)

    def somebody_waits(self) -> bool:
        """Whether a unit of work waits for a lock; the server looks anew when nobody has asked for 0.1 s."""
        with pymysql.connect(
            unix_socket=str(self.server.folder / "s"), user="root", ssl_disabled=True
        ) as link:
            cursor = link.cursor()
            cursor.execute(
                "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
            )
            return bool(cursor.fetchone()[0])


def hours(first: int, last: int, kw: str) -> list[tuple[str, str]]:
    """Return the reading of each hour's first ten minutes, from one day of January to another."""
    begin, end = (datetime(2014, 1, n, tzinfo=PARIS).astimezone(UTC) for n in (first, last + 1))
    count = (end - begin) // timedelta(hours=1)
    return [((begin + timedelta(hours=n)).isoformat(), kw) for n in range(count)]


def bring(db: Database, world: World, first: int, last: int, kw: str) -> None:
    file = write_csv(world.folder / f"{first}-{last}-{kw}.csv", hours(first, last, kw))
    import_file(db, "park", "scada", file)


Work = Callable[[Database, Chain, World], object]


def applying(old: str, new: str, more: str = "") -> Work:
    """Return a work that applies another site file."""
    assert old in SITE + TRADING
    text = (SITE + TRADING).replace(old, new, 1) + more

    def account(name: str) -> str:
        return anvil_address(int(name.removeprefix("anvil:")))

    return lambda db, chain, world: db.run(
        lambda session: apply_site(session, text, resolve_account=account)
    )


def void(db: Database, _chain: Chain, _world: World) -> None:
    """Have the planned issuance refused."""

    def work(session: Session) -> None:
        query = select(Issuance.key).where(Issuance.from_date == day(2))
        issuance.fail(session, session.scalars(query).first() or "", "a test")

    db.run(work)


CERTIFICATE = """
[[energy_certificate]]
device = "A"
instrument = "GEC"
reference = "7"
from_day = "2014-01-03"
to_day = "2014-01-03"
share = "0.5"
"""
RATED, FACTOR = 'rated_kw = "100"', 'inventory_factor = "grid-average"'
WORKS: dict[str, Work] = {
    "rated": applying(RATED, 'rated_kw = "50"'),
    "stuck": applying(RATED, RATED + "\nstuck_hours = 3"),
    "factor": applying(FACTOR, FACTOR + '\nmarket_factor = "residual"', RESIDUAL),
    "certificate": applying(RATED, RATED, CERTIFICATE),
    "account": applying('account = "anvil:4"', 'account = "anvil:5"'),
    "new": lambda db, chain, world: bring(db, world, 5, 6, "70"),
    "late": lambda db, chain, world: bring(db, world, 1, 3, "6"),
    "issue": lambda db, chain, world: plan_issuance(chain, PROJECT, day(3), day(5)),
    "void": void,
    "correct": lambda db, chain, world: correct(db, PROJECT),
    "cancel": lambda db, chain, world: db.run(lambda session: cancel_trade(session, 2, "a test")),
    "plan": lambda db, chain, world: plan_batches(chain),
}
PAIRS = [
    ("factor", "new"),
    ("rated", "new"),
    ("stuck", "late"),
    ("void", "new"),
    ("void", "late"),
    ("issue", "late"),
    ("issue", "rated"),
    ("issue", "certificate"),
    ("certificate", "issue"),
    ("correct", "late"),
    ("correct", "void"),
    ("correct", "certificate"),
    ("late", "void"),
    ("plan", "cancel"),
    ("cancel", "plan"),
    ("account", "plan"),
]


@pytest.fixture(scope="module")
def world(
    mariadb_server: MariaDbServer,
    mariadb_schema: Database,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("races")
    empty(mariadb_server, DATABASE)
    with running_park(mariadb_schema, folder) as park:
        world = World(park, mariadb_server, b"", folder)
        park.register()
        bring(park.db, world, 1, 4, "60")
        plan_issuance(park.chain, PROJECT, day(1), day(2))
        issuance.submit_planned(park.chain)
        park.mirror_final()
        plan_issuance(park.chain, PROJECT, day(2), day(3))
        park.trade(("sell", 1_000_000, 412), ("buy", 500_000, 100), ("sell", 250_000, 600))
        words = ("--no-create-info", "--skip-triggers", "--skip-comments")
        rows = client(
            mariadb_server,
            "mariadb-dump",
            *words,
            f"--ignore-table={DATABASE}.alembic_version",
            DATABASE,
        )
        yield World(park, mariadb_server, rows, folder)
    empty(mariadb_server, DATABASE)


Outcome = tuple[dict[str, str], dict[str, list[tuple[str, ...]]]]
"""How each of two works ended, and what the books say then."""


def outcome(name: str, db: Database, chain: Chain, world: World) -> str:
    try:
        WORKS[name](db, chain, world)
    except TruetonneError as error:
        return error.code
    return "done"


def books(db: Database) -> dict[str, list[tuple[str, ...]]]:
    """Return what the tables say, without what each run says anew."""
    found = {}
    with db.read() as session:
        for name, table in Base.metadata.tables.items():
            columns = [
                column
                for column in table.c
                if column.name not in OF_A_RUN
                and not column.foreign_keys
                and (column.name == "recorded_at" or not column.name.endswith("_at"))
            ]
            if columns and name not in UNTOLD and not name.startswith("chain_"):
                found[name] = sorted(
                    tuple(map(str, row)) for row in session.execute(select(*columns))
                )
    return found


def one_after_the_other(world: World, *names: str) -> Outcome:
    world.begin()
    db, chain = world.open()
    outcomes = {name: outcome(name, db, chain, world) for name in names}
    found = outcomes, books(db)
    db.close()
    return found


def at_once(world: World, first: str, second: str, statement: int) -> Outcome | None:
    """Stop the first before a statement until the second has ended, or waits; None: it has fewer statements."""
    world.begin()
    db, chain = world.open()
    other_db, other_chain = world.open()
    stopped, ended, mine = threading.Event(), threading.Event(), threading.get_ident()
    outcomes: dict[str, str] = {}
    count = 0

    def before(*_: Any) -> None:
        nonlocal count
        count += threading.get_ident() == mine
        if count == statement and not stopped.is_set():
            stopped.set()
            while not ended.wait(0.2) and not world.somebody_waits():
                pass

    def then() -> None:
        if stopped.wait(60) and count == statement:
            outcomes[second] = outcome(second, other_db, other_chain, world)
        ended.set()

    event.listen(db._engine, "before_cursor_execute", before)
    other = threading.Thread(target=then)
    other.start()
    outcomes[first] = outcome(first, db, chain, world)
    was_stopped = stopped.is_set()
    stopped.set()
    other.join()
    found = (outcomes, books(db)) if was_stopped else None
    db.close()
    other_db.close()
    return found


@long
@pytest.mark.mariadb
@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_at_once_is_as_one_after_the_other(world: World, first: str, second: str) -> None:
    orders = (
        one_after_the_other(world, first, second),
        one_after_the_other(world, second, first),
    )
    for statement in range(3, 40, 3):
        found = at_once(world, first, second, statement)
        if found is None:
            break
        unlike = [differing(found, order) for order in orders]
        assert [] in unlike, f"{first} was stopped before its statement {statement}: {unlike}"
    assert statement > 3


def differing(found: Outcome, order: Outcome) -> list[str]:
    """Return what is otherwise: how the two ended, and the names of tables."""
    outcomes, tables = found
    others, others_tables = order
    return [f"{outcomes} in place of {others}"] * (outcomes != others) + [
        name for name, rows in tables.items() if rows != others_tables[name]
    ]
