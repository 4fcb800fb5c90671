"""The mirror held against the chain night by night: what is new, how far all is true, and a node that lied."""

import copy
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from indexer.finality import FINALIZED
from indexer.reindex import reindex
from indexer.status import as_document, look
from indexer.verified import verify_new
from ledger.chain.node.client import ChainClient
from ledger.errors import BooksDiffer
from ledger.jobs import work
from ledger.jobs.work import Tools
from ledger.models import ChainCursor, ChainInclusion, MirrorVerification
from ledger.settings import load_settings
from tests.support.chain import PARTIES
from tests.support.forms import few, long
from tests.support.park import Park
from tests.support.proxy import LyingNode

NIGHT = datetime(2026, 12, 1, 3, 30, tzinfo=UTC)
SAID = re.compile(r"blocks (\d+) to (\d+) are what the chain says")


def verified(
    park: Park, night: int = 0, client: ChainClient | None = None
) -> tuple[int, ...] | None:
    """Run the job, by whichever node; return the blocks that it compared, None where there are none."""
    settings = load_settings(None, {})
    assert settings.finality == FINALIZED
    chain = replace(park.chain, client=client or park.node.client)
    moment = NIGHT + timedelta(days=night)
    said = work.verify_mirror(Tools(chain, settings, lambda: moment, verify=verify_new))
    if said is None:
        return None
    found = SAID.fullmatch(said)
    assert found is not None, said
    return tuple(map(int, found.groups()))


def standing(park: Park) -> MirrorVerification:
    (row,) = park.rows(MirrorVerification)
    assert isinstance(row, MirrorVerification)
    return row


def cursor(park: Park) -> ChainCursor:
    (row,) = park.rows(ChainCursor)
    assert isinstance(row, ChainCursor)
    return row


@long
@few(1)
@pytest.mark.unmirrored
def test_what_became_final_is_compared_each_night_once(both: Park) -> None:
    assert verified(both) is None  # nothing is mirrored yet
    assert both.count(MirrorVerification) == 0
    batch = both.node.issue(1000, 0)
    both.mirror_final()
    begin, first_end = both.node.deployment.deployed_block, both.node.height()
    through = cursor(both).final_number
    assert begin < through < first_end
    assert verified(both) == (begin, first_end)
    row = standing(both)
    assert (row.through_number, row.differences, row.verified_at) == (through, 0, NIGHT)
    assert row.through_hash == both.node.client.block_there(through).hash
    assert verified(both, 1) is None
    assert standing(both).verified_at == NIGHT

    both.node.retire("owner", batch, 5)
    both.mirror.run_until("head")
    assert cursor(both).final_number > through  # by one block, as the retirement made one
    both.mirror_final()
    assert verified(both, 2) == (through + 1, both.node.height())
    assert standing(both).through_number == cursor(both).final_number > through
    with both.db.read() as session:
        document = as_document(look(session, both.node.deployment.network), None)["verified"]
    assert document == {
        "block": cursor(both).final_number,
        "at": NIGHT + timedelta(days=2),
        "from_block": through + 1,
        "to_block": both.node.height(),
        "differences": 0,
    }


def test_a_mirror_that_was_altered_is_told_every_night_until_it_is_mended(park: Park) -> None:
    park.mirror_final()
    assert verified(park) is not None
    through = standing(park).through_number
    park.node.issue(1000, 0)
    park.mirror_final()
    with park.db.write() as session:
        session.execute(text("UPDATE credit_batches SET issued_kg = issued_kg + 1"))
    for night in (1, 2):
        with pytest.raises(BooksDiffer) as told:
            verified(park, night)
        assert f"--from {(through or 0) + 1}; truetonne index reindex mends" in told.value.message
        assert "credit_batches" in told.value.message
        row = standing(park)
        assert row.through_number == through  # no further than it was true
        assert row.differences > 0 and row.verified_at == NIGHT + timedelta(days=night)
    reindex(park.db, park.node.client, park.node.deployment, FINALIZED)
    assert verified(park, 3) == ((through or 0) + 1, park.node.height())
    assert standing(park).through_number == cursor(park).final_number
    assert standing(park).differences == 0


@long
def test_a_chain_with_another_block_there_is_compared_from_its_first(park: Park) -> None:
    park.mirror_final()
    whole = verified(park)
    assert whole is not None
    with park.db.write() as session:
        session.execute(
            text("UPDATE mirror_verifications SET through_hash = :h"), {"h": "0x" + "ab" * 32}
        )
    park.mirror_final()
    with park.db.write() as session:
        session.execute(text("UPDATE credit_sites SET code = 'x'"))
    with pytest.raises(BooksDiffer):
        verified(park, 1)
    # What was true of another chain is not said of this one.
    assert (standing(park).through_number, standing(park).through_hash) == (None, None)
    reindex(park.db, park.node.client, park.node.deployment, FINALIZED)
    assert verified(park, 2) == (whole[0], park.node.height())
    row = standing(park)
    assert row.through_hash == park.node.client.block_there(row.through_number or 0).hash


@long
def test_a_node_that_gave_a_transaction_to_another_sender_is_caught_by_the_job(park: Park) -> None:
    """The mirror believes it; and the fresh one of the same node, too."""
    park.mirror_final()
    assert verified(park) is not None
    batch = park.node.issue(1000, 0)
    park.node.retire("owner", batch, 5)
    owner, liar_says = PARTIES["owner"].lower(), PARTIES["spare"].lower()

    def another(value: Any) -> Any:
        told = json.dumps(value)
        return json.loads(told.replace(f'"from": "{owner}"', f'"from": "{liar_says}"'))

    with LyingNode(park.node.rpc_url) as liar:
        liar.tamper = lambda method, params, result: another(copy.deepcopy(result))
        client = ChainClient(liar.rpc_url)
        try:
            park.node.mine(2)
            type(park.mirror)(park.db, client, park.node.deployment, FINALIZED).run_until("head")
            senders = {row.sender.lower() for row in park.rows(ChainInclusion)}
            assert liar.lies > 0 and liar_says in senders
            with pytest.raises(BooksDiffer, match="sender") as told:
                verified(park, 1, client)
        finally:
            client.close()
    assert "chain_inclusions" in told.value.message
    with pytest.raises(BooksDiffer):
        verified(park, 2)  # and by an honest one all the more


@long
def test_who_runs_the_jobs_gives_them_the_verification(park: Park) -> None:
    """One that were left out would look like a job with nothing to do."""
    with pytest.raises(TypeError, match="no verification"):
        work.verify_mirror(Tools(park.chain, load_settings(None, {})))
