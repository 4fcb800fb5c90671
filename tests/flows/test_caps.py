"""A batch is what the contract takes from an operator, and what a block of the chain holds."""

import pytest

from cli.settle_preview import lines
from ledger.chain.contracts.events import SETTLEMENT
from ledger.chain.sending.sender import NotTried
from ledger.models.sending import IntentState
from ledger.settings.settling import SettlementPolicy, Way
from ledger.settlement.batches import plan_batches, plan_round, submit_planned
from ledger.settlement.cancel import withdraw
from ledger.settlement.caps import caps_in_books
from ledger.settlement.explain import story_of
from ledger.settlement.netting import Limits
from ledger.settlement.outlook import preview
from ledger.settlement.pending import Scope
from tests.support.chain import CREDIT_CAP_KG, NOTIONAL_CAP_CENTS, PARTIES, wait_for
from tests.support.forms import long
from tests.support.park import Park, keys_without, states, statuses
from tests.support.sending import opened

SIGNED = SettlementPolicy(Way.COSIGNED)
IN_SPANS = SettlementPolicy(Way.PROPOSED, netting_hours=240)


def test_batches_are_within_the_caps_of_the_contract(park: Park) -> None:
    """One batch of all would be refused at every run, as would be the one trade that alone is too much."""
    park.fund(PARTIES["market"], 10_000_00)
    with park.db.read() as session:  # as the contract was made
        assert caps_in_books(session) == Limits(cents=NOTIONAL_CAP_CENTS, kg=CREDIT_CAP_KG)
    park.node.act("admin", SETTLEMENT, "setCaps", [250_00, 10**6])
    park.mirror.run_until("head")
    park.trade(*[("sell", 1000, 100_0000)] * 4, ("sell", 1000, 300_0000))
    planned = plan_round(park.chain)
    assert [batch.trades for batch in planned.batches] == [2, 2]
    (waiting,) = planned.waiting
    why = "its value of 300.00 is above the cap of 250.00 that an operator settles in one call"
    assert (waiting.trades, waiting.unfit.why) == ((5,), why)
    with park.db.read() as session:
        story = story_of(session, "trade:5")
    assert story.happened == (f"its parties alone can settle it: {why}",)
    assert "settle cosign write -o DIR" in story.to_do and "cancel 5" in story.to_do
    submit_planned(park.chain)
    park.pass_window()
    assert states(park) == ["proposed", "proposed"]
    park.trade(("sell", 1000, 200_0000), hour=5)
    (signed_batch,) = plan_round(park.chain, Scope(way=Way.COSIGNED)).batches
    assert signed_batch.trades == 2  # no cap cuts what is signed
    submit_planned(park.chain)
    park.mirror_final()
    assert (states(park)[2], statuses(park)[4:]) == ("finalized", ["executed"] * 2)
    park.node.act("admin", SETTLEMENT, "setFee", [50, PARTIES["buyer"]])  # a term that is no cap
    park.mirror_final()
    with park.db.read() as session:
        assert caps_in_books(session) == Limits(cents=250_00, kg=10**6)
    assert park.differences() == []


def test_what_its_parties_sign_is_told_from_what_an_operator_may(park: Park) -> None:
    """It was ``would be refused: NotionalAboveCap``, and exit 1, of a batch that lacked a signature and no more.

    And of a smaller one it left out what happens at its end: the contract was said to take less gas than it did. While
    the debtor of the large one had no money, ``settle status`` told of the cap, and not of that.
    """
    park.node.act("admin", SETTLEMENT, "setCaps", [250_00, 10**6])
    park.mirror.run_until("head")
    park.trade(("sell", 1000, 300_0000), ("sell", 1000, 100_0000))
    together = opened(park, settling=SIGNED)
    assert len(plan_round(together.chain).left_out) == 2
    with park.db.read() as session:
        story = story_of(session, "trade:1")
    (happened,) = story.happened
    assert "left out: day-ahead has 0.00 tEUR in escrow and owes 300.00 tEUR" in happened
    assert story.to_do == "pay in, as that says; every run tries it again"

    park.fund(PARTIES["market"], 400_00)
    apart = opened(park, settling=SIGNED, keyring=keys_without(PARTIES["owner"]))
    found = preview(apart.chain)
    large, small = found.batches
    assert (large.cost.refusal, large.cost.gas, large.cost.finalize_gas) == (None, None, 0)
    assert next(iter(lines(found))) == (
        "batch 1: what it costs is known when its parties have signed: the operator could not propose it"
    )
    plan_batches(together.chain)
    _, sent = submit_planned(together.chain)
    park.mirror_final()
    assert statuses(park) == ["executed"] * 2
    assert (small.cost.gas or 0) >= wait_for(park.node.client, sent).gas_used


@long
def test_one_that_a_block_does_not_hold_keeps_no_other_waiting(park: Park) -> None:
    """It was planned when blocks held more; withdrawn, its trades are planned again in parts that fit."""
    park = opened(park, settling=IN_SPANS)
    park.fund(PARTIES["market"], 10_000_00)
    park.trade(*[("sell", 1000, 10_0000)] * 200)
    park.trade(("sell", 1000, 10_0000), hour=240)
    large, small = (batch.key for batch in plan_batches(park.chain))
    park.node.client.request("evm_setBlockGasLimit", [hex(440_000)])
    park.node.mine(1)
    with pytest.raises(NotTried, match="the node cannot try proposeBatch"):
        submit_planned(park.chain)
    park.mirror_final()
    assert states(park) == ["planned", "proposed"]
    assert park.intent(small).state is IntentState.CONFIRMED
    with park.db.read() as session:
        story = story_of(session, large)
    assert story.happened[-1].startswith("it waits: the node cannot try proposeBatch: ")
    assert f"settle cancel {large} --reason WHY" in story.to_do
    park.db.run(lambda session: withdraw(session, large, "blocks hold less"))
    # 120,000 + 2 x 45,000 + 22,500 + n x 2,000 passes three quarters of 440,000 after 48.
    assert [batch.trades for batch in plan_batches(park.chain)] == [48] * 4 + [8]
    submit_planned(park.chain)
    park.mirror_final()
    assert states(park) == ["failed", *["proposed"] * 6]
    assert park.differences() == []
