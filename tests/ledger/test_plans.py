"""Work that touches a few rows finds them by an index, however much was sent, mirrored or run before it.

The plans are those of SQLite without statistics, which the books have none of: the same whatever they hold.
"""

import re
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.orm import Session

from ledger import issuance
from ledger.chain.sending import adoption, intents, lanes, twins
from ledger.chain.sending.marks import mark_of
from ledger.db import Database
from ledger.jobs import overview
from ledger.models import Base
from ledger.readings.periods import carry
from ledger.settlement import singles
from ledger.settlement.standstill import state_of
from tests.support.sent import ADDRESS, CHAIN, KEY, intent
from tests.support.statements import GROWING, keys_to, listening, steps_of

OWN = {"chain_intents", "chain_attempts", "job_runs"}
ALIKE = {"chain_id", "contract_address", "function_name", "kind", "network", "sender_address"}
"""Columns that are the same in most rows: who looks by them alone looks through all."""


def plans_of(db: Database, work: Callable[[Session], Any]) -> dict[str, list[str]]:
    """Return SQLite's plans for the statements of a piece of work."""
    said: dict[str, Any] = {}

    def heard(_c: Any, _cursor: Any, sql: str, parameters: Any, *_: Any) -> None:
        if re.match(r"SELECT|UPDATE|DELETE", sql):
            said[sql] = parameters

    with listening(heard):
        db.run(work)
    with db.read() as session:
        link = session.connection().connection.driver_connection
        return {sql: steps_of(link, sql, parameters) for sql, parameters in said.items()}


def looks_through(step: str) -> bool:
    """Return whether a step of a plan reads a table that grows from end to end, or nearly so."""
    found = re.match(r"(SCAN|SEARCH) (\w+)", step)
    if found is None or found[2] not in GROWING | OWN:
        return False
    by = set(re.findall(r"(\w+)[=<>]\?", step))
    return found[1] == "SCAN" or (bool(by) and by <= ALIKE)


WORK: dict[str, Callable[[Session], Any]] = {
    "what is sent and not final": lambda session: (
        intents.open_intents(session, CHAIN),
        intents.open_attempts(session, CHAIN),
        intents.open_calls_beside(session, CHAIN, [ADDRESS]),
    ),
    "what does the same": lambda session: twins.twin_of(session, intent("retire")),
    "what did the same of late": lambda session: twins.twin_on_chain(session, intent("retire")),
    "a call that these books forgot": lambda session: adoption.same_call(
        session, intent("retire"), 7
    ),
    "what is offered for a nonce": lambda session: lanes.highest_offer(session, CHAIN, ADDRESS, 7),
    "where a cancellation stands": lambda session: mark_of(session, intent("cancel")),
    "what paid a correction": lambda session: carry._cancelled_by_key(session, [KEY]),
    "trades on their way by themselves": singles.unseen,
    "whether a run has nothing to net": lambda session: state_of(session, CHAIN),
    "outcomes that a fork takes back": lambda session: (
        issuance.rewind(session, 7),
        intents.rewind(session, 7),
    ),
    "each job and its last run": overview.views,
}


@pytest.mark.parametrize("name", WORK)
def test_few_rows_are_found_without_looking_through_all(sqlite_db: Database, name: str) -> None:
    """A tick every 15 s read all that the books had ever sent: 63,000 intents in two seconds of CPU."""
    plans = plans_of(sqlite_db, WORK[name])
    assert plans
    assert {sql: plan for sql, plan in plans.items() if any(map(looks_through, plan))} == {}


def test_what_was_done_in_the_last_hour_is_found_by_its_time(sqlite_db: Database) -> None:
    """Not all that ever ended well is read for it, at each act."""
    plans = plans_of(sqlite_db, WORK["what does the same"])
    (plan,) = (plan for sql, plan in plans.items() if "chain_intents" in sql)
    assert len([step for step in plan if step.endswith("(state=?)")]) == 1, plan
    assert any(step.endswith("(state=? AND created_at>?)") for step in plan), plan


def test_what_refers_to_rows_that_are_ever_deleted_is_found_by_an_index(
    sqlite_db: Database,
) -> None:
    """SQLite makes none for a foreign key: each row that goes would look through all that may refer to it."""
    gone = {
        name for name, table in Base.metadata.tables.items() if "delete" in table.info["changes"]
    }
    keys = list(keys_to(sqlite_db, gone))
    assert {"carbon_credits", "chain_inclusions", "webhook_tries"} <= {key.table for key in keys}
    assert [key for key in keys if not key.indexed] == []
