"""A proposed batch is cancelled once, whoever is killed, for the reason that was given first."""

from contextlib import nullcontext, suppress
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select

from cli.settle_acts import cancel_settlement
from ledger.chain.contracts.events import SETTLEMENT
from ledger.chain.contracts.wrappers import encode_call
from ledger.chain.sending.overview import views
from ledger.errors import DependencyDown, Refused
from ledger.jobs import work
from ledger.jobs.work import Tools
from ledger.models import (
    ChainIntent,
    SettlementBatch,
    VppSettlementBatch,
    VppSettlementItem,
    VppTradingRecord,
)
from ledger.models.sending import IntentState
from ledger.settings import load_settings
from ledger.settlement.batches import plan_batches, submit_planned
from ledger.settlement.cancel import plan_cancellation
from tests.support.chain import PARTIES
from tests.support.copied import back_up
from tests.support.forms import long
from tests.support.park import PROPOSED, Park
from tests.support.sending import Boundaries, Crash, automine, crashing, drop, opened

SHORT_ON_MARIADB = ("test_a_cancellation_that_was_killed_is_given_again",)

PLANNED, SENT = 1, 21
"""After the commit that stores the intent, and after the node has taken the transaction."""


def proposed(park: Park, hour: int) -> str:
    """Propose a trade as a batch; return its key."""
    park.trade(("sell", 1000, 10_000), hour=hour)
    plan_batches(park.chain)
    submit_planned(park.chain)
    park.mirror_final()
    row = park.rows(VppSettlementBatch)[-1]
    assert row.state.value == "proposed"
    return str(row.batch_key)


def cancel(park: Park, batch: str, reason: str) -> str:
    """Do what ``settle cancel`` does; return the key of the intent."""
    key = park.db.run(lambda session: plan_cancellation(session, park.chain, batch, reason))
    park.chain.sender.submit(key, SETTLEMENT)
    return key


def told(park: Park, batch: str, reason: str) -> tuple[dict[str, Any], list[str]]:
    """Give ``settle cancel --no-wait``; return what it prints, as JSON and as lines."""
    flow = SimpleNamespace(db=park.db, chain=park.chain, mirror=lambda: None)
    printed: list[Any] = []
    output = SimpleNamespace(result=lambda *given: printed.extend(given))
    run: Any = SimpleNamespace(flow=lambda: nullcontext(flow), output=output)
    cancel_settlement(run, batch, reason, no_wait=True)
    document, *lines = printed
    return document, lines


def planned(park: Park) -> list[ChainIntent]:
    with park.db.read() as session:
        query = select(ChainIntent).where(ChainIntent.kind == "cancel_batch")
        return list(session.scalars(query.order_by(ChainIntent.created_at)))


@long
def test_a_cancellation_that_was_killed_is_given_again(
    both: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    park = opened(both, settling=PROPOSED)
    park.fund(PARTIES["market"], 100_00)
    for number, place in enumerate((PLANNED, SENT), start=1):
        batch = proposed(park, number)
        boundaries = Boundaries(place)
        with crashing(monkeypatch, boundaries), suppress(Crash):
            cancel(park, batch, "wrong day")
        assert boundaries.crashed_at is not None
        later = opened(park.again(), settling=PROPOSED)
        later.mirror.run_until("head")
        if place == PLANNED:
            with later.db.read() as session:
                (view,) = views(session)
            assert "give `truetonne settle cancel` again" in view.advice
            document, said = told(later, batch, "another reason")
            assert document["reason"] == "wrong day"
            assert said == [
                f"the cancellation of batch {batch} is sent: transaction {document['transaction']}",
                "the reason is the one that was given first: wrong day",
            ]
            assert later.intent(document["key"]).parameters["reason"] == "wrong day"
        else:
            with pytest.raises(Refused, match="is cancelled; only a proposed one can be"):
                cancel(later, batch, "another reason")
        later.mirror_final()
        later.db.close()
        assert [row.state for row in planned(park)] == [IntentState.CONFIRMED] * number
    assert {row.state.value for row in park.rows(VppSettlementBatch)} == {"cancelled"}
    assert {row.status.value for row in park.rows(VppTradingRecord)} == {"cancelled"}
    assert park.differences() == []


@long
def test_a_batch_whose_sending_the_books_forgot_is_not_withdrawn(park: Park) -> None:
    """Books that were restored call it planned, and its trades would be free while the chain settles them."""
    park.fund(PARTIES["market"], 100_00)
    park.trade(("sell", 1000, 10_000))
    plan_batches(park.chain)
    restore = back_up(park.db, park.folder)
    automine(park, False)
    submit_planned(park.chain)
    restore()
    with pytest.raises(DependencyDown, match="1 transaction in the pool that the books do not"):
        told(park, "batch:1", "wrong day")
    automine(park, True)
    park.node.mine(1)
    park.mirror.run_until("head")
    document, _ = told(park, "batch:1", "wrong day")
    park.mirror_final()
    assert park.intent(document["key"]).state is IntentState.CONFIRMED
    assert [row.state.value for row in park.rows(VppSettlementBatch)] == ["cancelled"]
    assert park.differences() == []


def test_a_proposal_that_is_in_no_block_yet_is_cancelled_when_it_is(park: Park) -> None:
    """It was called planned, and who wanted it cancelled was sent to ``settle run``, which settles it."""
    park.fund(PARTIES["market"], 100_00)
    park.trade(("sell", 1000, 10_000))
    plan_batches(park.chain)
    automine(park, False)
    submit_planned(park.chain)
    (row,) = park.rows(VppSettlementBatch)
    said = (
        f"^batch {row.batch_key} is sent, and in no block yet as far as .*: give the command again$"
    )
    with pytest.raises(Refused, match=said):
        cancel(park, row.batch_key, "wrong day")
    automine(park, True)
    park.node.mine(1)
    park.mirror.run_until("head")
    cancel(park, row.batch_key, "wrong day")
    park.mirror_final()
    assert [row.state.value for row in park.rows(VppSettlementBatch)] == ["cancelled"]


@long
def test_a_cancellation_that_lost_its_nonce_is_not_left_open(park: Park) -> None:
    """The batch was cancelled with the same key elsewhere: nobody else would send ours, or give it up."""
    park = opened(park, settling=PROPOSED)
    park.fund(PARTIES["market"], 100_00)
    batch = proposed(park, 0)
    automine(park, False)
    key = cancel(park, batch, "wrong day")
    mine = park.intent(key)
    drop(park, str(mine.tx_hash))
    message = {
        "from": PARTIES["operator"],
        "to": mine.contract_address,
        "data": encode_call(SETTLEMENT, "cancelBatch", _arguments(park)),
        "gas": hex(1_000_000),
    }
    park.node.client.request("eth_sendTransaction", [message])
    park.node.mine(4)
    park.mirror.run_until("head")
    park.chain.sender.tend()
    assert park.intent(key).state is IntentState.PLANNED
    work.send(Tools(park.chain, load_settings(None, {})))
    assert park.intent(key).state is IntentState.FAILED
    assert park.differences() == []


def _arguments(park: Park) -> list[object]:
    """Return what the contract wants to hear of the only batch."""
    (batch,), items = park.rows(SettlementBatch), park.rows(VppSettlementItem)
    nets = [int(net) for net in batch.nets]
    words = [int(item.word, 16) for item in items]
    return [1, (batch.accounts, nets, []), words, "elsewhere"]
