"""A park with one issued batch, of which a part is retired: what there is to prove."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from ledger.bundles import ALL, BuiltBundle, build_bundle
from ledger.chain.contracts.events import CREDIT
from ledger.holdings import details_of, holding_of, plan_retirement
from ledger.issuance import plan_issuance, submit_planned
from ledger.serials import Act
from tests.support.books import new_books
from tests.support.park import PROJECT, Park, running_park

BATCH = 2 << 32 | 1
NAME = f"{PROJECT}-2014-1"
BENEFICIARY = "幼儿园 Kindergarten"
RETIRED, ALL_READINGS, HELD, BATCH_ALONE = "retired", "all readings", "held", "a batch"


@contextmanager
def proven_park(folder: Path) -> Iterator[Park]:
    """720 kg issued, the first 100 retired, and blocks of others between and after."""
    db = new_books(folder / "books.db")
    with running_park(db, folder) as park:
        park.register()
        park.generate(date(2014, 1, 1), ["60"])
        plan_issuance(park.chain, PROJECT, date(2014, 1, 1), date(2014, 1, 2))
        submit_planned(park.chain, PROJECT)
        park.mirror_final()
        park.node.mine(5)
        park.mirror_final()
        with park.db.read() as session:
            held = holding_of(session, park.chain, NAME, 100, None, Act.RETIRE)
        details = details_of(BENEFICIARY, "year 2014", "DE", (1_388_534_400, 1_420_070_400))
        key = park.db.run(lambda session: plan_retirement(session, park.chain, held, details))
        park.chain.sender.submit(key, CREDIT)
        park.mirror_final()
        yield park
    db.close()


def bundle(
    park: Park, credit: str = f"{NAME}-1-100", readings: int = 3, block: int | str = "latest"
) -> BuiltBundle:
    """Return the bundle of a credit of the park."""
    with park.db.read() as session:
        return build_bundle(
            park.chain.client, park.chain.deployment, session, credit, block, readings
        )


def bundles(park: Park) -> dict[str, BuiltBundle]:
    """Return one bundle of each kind, by its name."""
    return {
        RETIRED: bundle(park),
        ALL_READINGS: bundle(park, readings=ALL),
        HELD: bundle(park, f"{NAME}-101-720", 0),
        BATCH_ALONE: bundle(park, NAME, 0),
    }
