"""Two units of work at once on MariaDB: one is stopped before a statement of its own until the other ended, or waits.

That is where what a unit of work sees may be older than the lock that it has waited for.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
import pytest
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from ledger.chain.access import Chain
from ledger.db import Database
from ledger.errors import TruetonneError
from ledger.models import Base
from tests.support.mariadb import MariaDbServer, client, empty
from tests.support.park import Park, open_chain, running_park

DATABASE = "truetonne"
CODE = "smart_contracts"
"""Long rows that no unit of work here changes: they stay."""
UNTOLD = {"audit_chain", "audit_heads", "audit_logs", "import_files", "vpp_trade_shortfalls", CODE}
"""Tables that say who did what when, and what the next run says anew."""
OF_A_RUN = {
    "id",
    "key",
    "batch_key",
    "finalize_key",
    "file_id",
    "manifest",
    "manifest_hash",
    "trades_root",
    "word",
    "signature",
    "email_sealed",
    "profile",
    "secret_sealed",
    "former_sealed",
    "former_until",
    "prefix",
    "key_hash",
    "session_id",
    "value_sealed",
}
"""Numbers, keys and secrets that each run gives anew, and what is made of them."""
OF_THE_CHAIN = {"chain_intents": ("kind", "state", "sender_address", "alarm")}
"""Of tables about the chain, which the park's node fills once for all runs, what units of work change."""


@dataclass(frozen=True)
class World:
    """A park on MariaDB, and the rows of its books as they were at the beginning."""

    park: Park
    server: MariaDbServer
    rows: bytes
    folder: Path

    def begin(self) -> None:
        """Have the books as they were at the beginning."""
        empty(self.server, DATABASE, CODE)
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
            ((count,),) = cursor.fetchall()
            return bool(count)


UNMEANT = "unmeant: "
"""How an outcome begins that no work may have."""
Work = Callable[[Database, Chain, World], object]


def nothing(_db: Database, _chain: Chain, _world: World) -> None:
    """Prepare nothing."""


def on(work: Callable[[Session], object]) -> Work:
    """Return a work that is one unit of work."""
    return lambda db, chain, world: db.run(work)


def after(*works: Work) -> Work:
    """Return a work that does several, one after the other."""

    def work(db: Database, chain: Chain, world: World) -> None:
        for each in works:
            each(db, chain, world)

    return work


def racing_world(begun: Callable[[World], None]) -> Any:
    """Return a module's fixture: a park that has begun, with its rows as they are then."""

    @pytest.fixture(scope="module")
    def world(
        mariadb_server: MariaDbServer,
        mariadb_schema: Database,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> Iterator[World]:
        server, folder = mariadb_server, tmp_path_factory.mktemp("races")
        empty(server, DATABASE)
        with running_park(mariadb_schema, folder) as park:
            begun(World(park, server, b"", folder))
            words = ("--no-create-info", "--skip-triggers", "--skip-comments")
            ignored = [f"--ignore-table={DATABASE}.{name}" for name in ("alembic_version", CODE)]
            rows = client(server, "mariadb-dump", *words, *ignored, DATABASE)
            yield World(park, server, rows, folder)
        empty(server, DATABASE)

    return world


Outcome = tuple[dict[str, str], dict[str, list[tuple[str, ...]]]]
"""How each of two works ended, and what the books say then."""


def require_one_after_the_other(
    world: World, first: Work, second: Work, prepared: Work = nothing
) -> None:
    """Require that the two at once leave what they leave one after the other, in one of the two orders.

    The first is stopped before every third statement of its own.
    """
    works = {"first": first, "second": second}
    orders = (
        _one_after_the_other(world, works, prepared),
        _one_after_the_other(world, dict(reversed(works.items())), prepared),
    )
    for statement in range(3, 40, 3):
        found = _at_once(world, first, second, prepared, statement)
        if found is None:
            break
        unlike = [_differing(found, order) for order in orders]
        assert [] in unlike, f"the first was stopped before its statement {statement}: {unlike}"
    assert statement > 3


def _one_after_the_other(world: World, works: dict[str, Work], prepared: Work) -> Outcome:
    db, chain = _begun(world, prepared)
    outcomes = {name: _outcome(work, db, chain, world) for name, work in works.items()}
    # Else it were what the two at once may leave.
    assert not [said for said in outcomes.values() if said.startswith(UNMEANT)], outcomes
    found = outcomes, _books(db)
    db.close()
    return found


def _at_once(
    world: World, first: Work, second: Work, prepared: Work, statement: int
) -> Outcome | None:
    """Stop the first before a statement until the second has ended, or waits; None: it has fewer statements."""
    db, chain = _begun(world, prepared)
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
            outcomes["second"] = _outcome(second, other_db, other_chain, world)
        ended.set()

    event.listen(db._engine, "before_cursor_execute", before)
    other = threading.Thread(target=then)
    other.start()
    outcomes["first"] = _outcome(first, db, chain, world)
    was_stopped = stopped.is_set()
    stopped.set()
    other.join()
    found = (outcomes, _books(db)) if was_stopped else None
    db.close()
    other_db.close()
    return found


def _begun(world: World, prepared: Work) -> tuple[Database, Chain]:
    world.begin()
    db, chain = world.open()
    prepared(db, chain, world)
    return db, chain


def _outcome(work: Work, db: Database, chain: Chain, world: World) -> str:
    try:
        work(db, chain, world)
    except TruetonneError as error:
        return error.code
    except AssertionError as error:  # of a work of the tests, about what was refused
        return repr(error)
    except Exception as error:  # else the one that is stopped would wait for ever
        return f"{UNMEANT}{error!r}"
    return "done"


def _books(db: Database) -> dict[str, list[tuple[str, ...]]]:
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
                and (not name.startswith("chain_") or column.name in OF_THE_CHAIN.get(name, ()))
            ]
            if columns and name not in UNTOLD:
                found[name] = sorted(
                    tuple(map(str, row)) for row in session.execute(select(*columns))
                )
    return found


def _differing(found: Outcome, order: Outcome) -> list[str]:
    """Return what is otherwise: how the two ended, and the names of tables."""
    outcomes, tables = found
    others, others_tables = order
    return [f"{outcomes} in place of {others}"] * (outcomes != others) + [
        name for name, rows in tables.items() if rows != others_tables[name]
    ]
