"""Nothing that the mirror asks of its database reads a table that grows with the chain from end to end."""

import re
from typing import Any

from indexer import Indexer
from ledger.db import Database
from tests.support import acts
from tests.support.chain import TestChain, trade
from tests.support.mirror import MIRRORED
from tests.support.statements import keys_to, listening, read_whole, steps_of


def act(chain: TestChain, day: int) -> None:
    acts.credit_acts(chain, day)
    chain.deposit("market", 90_000)
    packed, _ = chain.propose([trade(day + 1, "market", "owner", 1000, 10_000)])
    chain.finalize(day + 1, packed)
    chain.mine()


def test_every_statement_of_a_tick_is_looked_up(chain: TestChain, sqlite_db: Database) -> None:
    mirror = Indexer(sqlite_db, chain.client, chain.deployment)
    act(chain, 0)
    mirror.run_until("head")
    said: dict[str, Any] = {}

    def listen(_c: Any, _cursor: Any, sql: str, parameters: Any, _x: Any, many: bool) -> None:
        if re.match(r"(SELECT|UPDATE|DELETE)\b", sql):
            said[sql] = parameters[0] if many else parameters

    act(chain, 1)
    chain.issue(
        50, 2
    )  # the last blocks are not final: what becomes of them later is looked at, too
    with listening(listen):
        mirror.run_until("head")
        chain.mine()
        mirror.run_until("head")
    assert len(said) > 20
    bad = []
    with sqlite_db.read() as session:
        connection = session.connection().connection.driver_connection
        for sql, parameters in said.items():
            steps = steps_of(connection, sql, parameters)
            sorts = any("TEMP B-TREE FOR ORDER" in step for step in steps)
            below = [step for step in steps if re.search(r"\(\w+<\?\)", step)]
            if read_whole(steps) or (sorts and not bounded(steps)) or below:
                bad.append((sql, steps))
    assert bad == []


def bounded(steps: list[str]) -> bool:
    """Return whether what is sorted was found by equality or between two blocks."""
    first = next(step for step in steps if step.startswith(("SEARCH", "SCAN")))
    return "=?" in first or (">?" in first and "<?" in first)


def test_what_refers_to_rows_that_a_fork_takes_back_is_found_by_an_index(
    sqlite_db: Database,
) -> None:
    """SQLite makes none for a foreign key: each row that goes would look through all that may refer to it.

    3,210 transactions of a fork went from books of 85,158 credits in 25 s; with the index, in one.
    """
    keys = list(keys_to(sqlite_db, MIRRORED))
    assert ("carbon_credits", "blockchain_tx") in {(key.table, key.column) for key in keys}
    assert [key for key in keys if not key.indexed] == []
