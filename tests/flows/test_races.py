"""Two units of work at once leave what one after the other would, in one of the two orders.

Here they read meters, site files and issuances; ``test_races_settling`` and ``test_races_of_people`` have the others.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger import issuance
from ledger.chain.access import Chain
from ledger.chain.keys.signers import anvil_address
from ledger.corrections import correct
from ledger.db import Database
from ledger.issuance import plan_issuance
from ledger.models import Issuance
from ledger.readings import import_file
from ledger.readings.imports.restoring import restore
from ledger.readings.imports.selected import Which
from ledger.readings.imports.withdrawing import withdraw
from ledger.settlement.batches import plan_batches
from ledger.settlement.cancel import cancel_trade
from ledger.sites import apply_site
from tests.ledger.test_inventory import RESIDUAL
from tests.support.forms import long
from tests.support.park import PARIS, PROJECT, TRADING, day
from tests.support.plant import SITE, write_csv
from tests.support.races import Work, World, racing_world, require_one_after_the_other


def hours(first: int, last: int, kw: str) -> list[tuple[str, str]]:
    """Return the reading of each hour's first ten minutes, from one day of January to another."""
    begin, end = (datetime(2014, 1, n, tzinfo=PARIS).astimezone(UTC) for n in (first, last + 1))
    count = (end - begin) // timedelta(hours=1)
    return [((begin + timedelta(hours=n)).isoformat(), kw) for n in range(count)]


def bring(db: Database, world: World, first: int, last: int, kw: str) -> None:
    file = write_csv(world.folder / f"{first}-{last}-{kw}.csv", hours(first, last, kw))
    import_file(db, "park", "scada", file)


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


def withdrawing(number: int, text: str, act: Callable[..., Any] = withdraw) -> Work:
    """Return a work that withdraws the readings of a text of one day of January, or restores them."""
    from_s, to_s = (
        int(datetime(2014, 1, n, tzinfo=PARIS).timestamp()) for n in (number, number + 1)
    )
    which = Which(from_s=from_s, to_s=to_s, text=text)
    return lambda db, chain, world: db.run(
        lambda session: act(session, "park", "A", which, "a test")
    )


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
    "third": lambda db, chain, world: plan_issuance(chain, PROJECT, day(3), day(4)),
    "fourth": lambda db, chain, world: plan_issuance(chain, PROJECT, day(4), day(5)),
    "void": void,
    "withdraw": withdrawing(3, "60.05"),
    "planned": withdrawing(2, "60.05"),
    "came late": withdrawing(1, "50"),
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
    ("third", "fourth"),
    ("fourth", "third"),
    ("third", "void"),
    ("void", "third"),
    ("issue", "late"),
    ("issue", "rated"),
    ("issue", "certificate"),
    ("certificate", "issue"),
    ("correct", "late"),
    ("correct", "void"),
    ("correct", "certificate"),
    ("late", "void"),
    ("withdraw", "third"),
    ("third", "withdraw"),
    ("withdraw", "late"),
    ("late", "withdraw"),
    ("withdraw", "rated"),
    ("planned", "void"),
    ("void", "planned"),
    ("came late", "correct"),
    ("correct", "came late"),
    ("plan", "cancel"),
    ("cancel", "plan"),
    ("account", "plan"),
]


def begun(world: World) -> None:
    """Have an issued day with late readings, a planned one, two days more, and three trades."""
    park = world.park
    park.register()
    bring(park.db, world, 1, 4, "60.05")  # 120.1 kg each: what is left enters one of the later days
    plan_issuance(park.chain, PROJECT, day(1), day(2))
    issuance.submit_planned(park.chain)
    park.mirror_final()
    bring(park.db, world, 1, 1, "50")  # too late for it
    plan_issuance(park.chain, PROJECT, day(2), day(3))
    park.trade(("sell", 1_000_000, 412), ("buy", 500_000, 100), ("sell", 250_000, 600))


world = racing_world(begun)


@long
@pytest.mark.mariadb
@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_at_once_is_as_one_after_the_other(world: World, first: str, second: str) -> None:
    require_one_after_the_other(world, WORKS[first], WORKS[second])


@long
@pytest.mark.mariadb
@pytest.mark.parametrize(
    ("number", "text", "other"),
    [(3, "60.05", "third"), (3, "60.05", "late"), (1, "50", "correct")],
)
@pytest.mark.parametrize("turned", [False, True])
def test_a_restoration_and_another_at_once(
    world: World, number: int, text: str, other: str, turned: bool
) -> None:
    pair = withdrawing(number, text, restore), WORKS[other]
    first, second = pair[::-1] if turned else pair
    require_one_after_the_other(world, first, second, withdrawing(number, text))
