"""Books that were copied to a server go on there, with what was under way."""

from collections.abc import Callable

import pytest

from ledger.backup.copying import copy_books
from ledger.db import Database
from ledger.issuance import plan_issuance, submit_planned
from ledger.models import CarbonCredit, Issuance
from tests.support.park import PROJECT, AfterMining, Park, day, open_chain


@pytest.mark.mariadb
def test_what_was_sent_before_the_copy_is_confirmed_behind_it_and_the_next_day_is_issued(
    park: Park, new_mariadb_url: Callable[[], str]
) -> None:
    park.register()
    park.generate(day(1), ["60", "60", "60"])
    plan_issuance(park.chain, PROJECT, day(1), day(2))
    submit_planned(park.chain)  # in a block, and not mirrored
    plan_issuance(park.chain, PROJECT, day(2), day(3))  # not even sent
    db = Database(new_mariadb_url())
    db.upgrade()
    copy_books(park.db, db, lambda item: None)
    chain = open_chain(db, park.node)
    moved = Park(
        db, park.node, chain, AfterMining(db, park.node.client, park.node.deployment), park.folder
    )
    moved.mirror_final()
    submit_planned(chain)
    moved.mirror_final()
    assert [row.state for row in moved.rows(Issuance)] == ["issued", "issued"]
    assert moved.count(CarbonCredit) == 2
    assert moved.differences() == []
    db.close()
