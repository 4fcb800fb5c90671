"""Books restored from before a sending: the chain is asked, what it did is adopted, and nothing is done twice."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select, update

from cli.credits_issue import issued_by, would
from ledger import issuance
from ledger.chain.contracts.events import CREDIT
from ledger.chain.sending import adoption, intents
from ledger.chain.sending.sender import AlreadyOnChain
from ledger.errors import DependencyDown, Refused
from ledger.holdings import (
    details_of,
    holding_of,
    plan_cancellation,
    plan_retirement,
    plan_transfer,
)
from ledger.models import (
    BlockchainTransaction,
    ChainIntent,
    CreditBatch,
    CreditHolding,
    CreditRetirement,
    Issuance,
    SettlementBalance,
    VppSettlementBatch,
    VppSettlementItem,
    VppTradingRecord,
)
from ledger.models.sending import IntentState
from ledger.models.trading import TradeStatus
from ledger.serials import Act
from ledger.settings.settling import SettlementPolicy, Way
from ledger.settlement.batches import plan_batches, plan_round, submit_planned
from ledger.settlement.cancel import cancel_trade
from ledger.settlement.explain import story_of
from ledger.settlement.finalizing import finalize_due
from ledger.settlement.singles import plan_single
from tests.support import ticks
from tests.support.chain import CURRENCY, PARTIES, SITE_CODE
from tests.support.copied import back_up
from tests.support.forms import long, rest
from tests.support.park import PROJECT, Park
from tests.support.sending import UNITS, automine, lost, minted, opened, plan, sent, until_confirmed

SHORT_ON_MARIADB = (
    "test_a_settlement_from_any_backup",
    "test_an_issuance",
    "test_a_retirement_with_a_name",
)

TRADES = (("sell", 1000, 20_000), ("sell", 2500, 30_001), ("buy", 1500, -10_000))
PLANT, MARKET = PARTIES["owner"], PARTIES["market"]
OWED_CENTS = 200 + 750 + 150
"""2.00, 7.50025 rounded to 7.50, and 1.50 for taking energy at a negative price."""


def money(park: Park) -> dict[str, int]:
    return {row.account: int(row.balance) for row in park.rows(SettlementBalance)}


Step = Callable[[Park], object]
STEPS: Sequence[Step] = (
    lambda park: plan_batches(park.chain),
    lambda park: submit_planned(park.chain),
    lambda park: park.mirror.run_until("head"),
    lambda park: park.mirror_final(),
    Park.pass_window,
    lambda park: finalize_due(park.chain),
    lambda park: park.mirror.run_until("head"),
    lambda park: park.mirror_final(),
)


@long
def test_what_was_planned_anew_makes_room_for_what_the_chain_has(park: Park) -> None:
    park.fund(MARKET, 100_00)
    park.trade(*TRADES)
    restore = back_up(park.db, park.folder)
    plan_batches(park.chain)
    submit_planned(park.chain)
    restore()
    assert len(plan_batches(park.chain)) == 1  # before the mirror has read the other
    park.mirror.run_until("head")
    assert plan_batches(park.chain) == []
    found = [row.state.value for row in park.rows(VppSettlementBatch)]
    assert (found, park.differences()) == (["failed", "proposed"], [])


@long
def test_what_was_done_is_over_as_soon_as_it_is_taken_up(park: Park) -> None:
    """On a chain that rests: no block comes that would make anything final."""
    park.node.deposit("market", 100_00)
    park.trade(*TRADES)
    restore = back_up(park.db, park.folder)
    settle_all(park)
    restore()
    park.mirror.run_until("head")
    assert plan_batches(park.chain) == []
    (batch,) = park.rows(VppSettlementBatch)
    assert (park.intent(batch.batch_key).state.value, batch.asset) == ("confirmed", None)
    assert {row.status.value for row in park.rows(VppTradingRecord)} == {"executed"}
    assert park.differences() == []


@pytest.mark.parametrize("behind", rest([False, True]), ids=["mirror first", "jobs first"])
@pytest.mark.parametrize("saved_after", rest(range(7)))
def test_a_settlement_from_any_backup(both: Park, saved_after: int, behind: bool) -> None:
    """The backup is of after so many steps, the chain has gone on to the end."""
    both.node.deposit("market", 100_00)
    both.mirror_final()
    both.trade(*TRADES)
    restore: Callable[[], None] | None = None
    for number, step in enumerate(STEPS):
        if number == saved_after:
            restore = back_up(both.db, both.folder)
        step(both)
    done = sent(both, "operator")
    assert done == 2
    assert money(both) == {PLANT: OWED_CENTS, MARKET: 100_00 - OWED_CENTS}
    assert restore is not None
    restore()
    assert {row.status.value for row in both.rows(VppTradingRecord)} == {"pending"}  # the fault

    again = both.again()
    if not behind:
        again.mirror_final()
        said = again.differences()
        forgotten = [line for line in said if "no such batch; the next settlement takes" in line]
        assert len(forgotten) == (saved_after == 0), said
    for _ in range(4):
        with suppress(DependencyDown):  # while the mirror is behind
            ticks.settle(again.chain)
        ticks.send(again.chain)
        again.mirror_final()

    assert sent(both, "operator") == done  # nothing was sent again
    assert money(both) == {PLANT: OWED_CENTS, MARKET: 100_00 - OWED_CENTS}
    assert {row.status.value for row in both.rows(VppTradingRecord)} == {"executed"}
    live = [row for row in both.rows(VppSettlementBatch) if row.state.value != "failed"]
    assert [(row.state.value, row.chain_batch_id, row.trade_count) for row in live] == [
        ("finalized", 1, 3)
    ]
    assert {item.batch_id for item in both.rows(VppSettlementItem)} == {live[0].id}
    open_ = [row for row in both.rows(ChainIntent) if row.state.value in ("planned", "submitted")]
    assert open_ == []
    assert both.intent(live[0].batch_key).state is IntentState.CONFIRMED
    assert both.differences() == []
    again.chain.close()
    again.db.close()


def forgotten(park: Park, restore: Callable[[], None], kept: int, state: str, then: str) -> None:
    """Put books back that have so many of a batch's three trades, and assert what is said of it."""
    (batch,) = park.rows(VppSettlementBatch)
    restore()
    park.mirror_final()
    assert (park.count(VppSettlementBatch), park.count(VppTradingRecord)) == (0, kept)
    (said,) = park.differences()
    assert said == (
        f"settlement batch {batch.batch_key}: {state} on chain, sent by {PARTIES['operator']}, with which these books "
        f"send, and they do not have {3 - kept} of its 3 trades, the first of them number {1 + kept}; if they have "
        f"forgotten them, import them again, and the next settlement {then}; if other books settle with that account, "
        "give them one of their own"
    )


@long
@pytest.mark.parametrize("kept", rest([0, 1], 0))
def test_a_batch_whose_trades_are_forgotten_too(park: Park, kept: int) -> None:
    """The reconciliation agreed with the chain, and the trades were never settled for their plant and market."""
    park.node.deposit("market", 100_00)
    park.mirror_final()
    park.trade(*TRADES[:kept])
    restore = back_up(park.db, park.folder)
    park.trade(*TRADES)  # those that are there come again, and are counted as they are
    for step in STEPS[:4]:
        step(park)
    forgotten(park, restore, kept, "proposed", "takes the batch over")
    park.trade(*TRADES)
    assert "3 trades that are all of these books" in "".join(park.differences())
    ticks.settle(park.chain)
    assert park.differences() == []
    assert sent(park, "operator") == 1


@long
@pytest.mark.parametrize("kept", rest([0, 1], 0))
def test_a_cosigned_batch_whose_trades_are_forgotten_too(park: Park, kept: int) -> None:
    park.fund(MARKET, 100_00)
    park.trade(*TRADES[:kept])
    restore = back_up(park.db, park.folder)
    signing = opened(park, settling=SettlementPolicy(netting_hours=10**6))
    park.trade(*TRADES)
    plan_round(signing.chain)
    submit_planned(signing.chain)
    park.mirror_final()
    forgotten(park, restore, kept, "finalized", "executes them")
    park.trade(*TRADES)
    ticks.settle(signing.chain)
    assert park.differences() == []
    assert {row.status.value for row in park.rows(VppTradingRecord)} == {"executed"}
    assert sent(park, "operator") == 1


@long
def test_a_trade_that_was_settled_by_itself_and_is_forgotten(park: Park) -> None:
    park.fund(MARKET, 100_00)
    restore = back_up(park.db, park.folder)
    park.trade(TRADES[0])
    park.db.run(lambda session: plan_single(session, park.chain, 1))
    settle_all(park)
    restore()
    park.mirror_final()
    (said,) = park.differences()
    assert said == (
        f"trade 1: settled on chain by itself, sent by {PARTIES['operator']}, with which these books send, and they "
        "do not have it; if they have forgotten it, import it again, and the next settlement executes it; if other "
        "books settle with that account, give them one of their own"
    )
    park.trade(TRADES[0])
    ticks.settle(park.chain)
    assert park.differences() == []
    assert {row.status.value for row in park.rows(VppTradingRecord)} == {"executed"}
    assert sent(park, "operator") == 1


@long
@pytest.mark.parametrize("state", rest(["proposed", "cancelled"]))
def test_a_forgotten_batch_that_is_not_final(both: Park, state: str) -> None:
    both.node.deposit("market", 100_00)
    both.mirror_final()
    both.trade(*TRADES)
    restore = back_up(both.db, both.folder)
    for step in STEPS[:4]:
        step(both)
    (batch,) = both.rows(VppSettlementBatch)
    if state == "cancelled":
        words = [int(item.word, 16) for item in both.rows(VppSettlementItem)]
        nets = [int(net) for net in batch.nets]
        arguments = [1, (batch.accounts, nets, []), words, "wrong day"]
        both.node.act("operator", "VppSettlement", "cancelBatch", arguments)
    restore()
    assert both.count(VppSettlementBatch) == 0
    both.mirror_final()
    ticks.settle(both.chain)
    (adopted,) = both.rows(VppSettlementBatch)
    assert (adopted.batch_key, adopted.state.value) == (batch.batch_key, state)
    if state == "proposed":
        both.pass_window()
    ticks.settle(both.chain)
    both.mirror_final()
    ticks.settle(both.chain)
    expected = "executed" if state == "proposed" else "cancelled"
    assert {row.status.value for row in both.rows(VppTradingRecord)} == {expected}
    paid = OWED_CENTS if state == "proposed" else 0
    assert money(both).get(PLANT, 0) == paid
    assert both.differences() == []


@long
def test_a_fork_takes_an_adopted_batch_back(both: Park) -> None:
    both.node.deposit("market", 100_00)
    both.mirror_final()
    both.trade(*TRADES)
    restore = back_up(both.db, both.folder)
    for step in STEPS[:3]:
        step(both)
    restore()
    both.mirror.run_until("head")
    ticks.settle(both.chain)
    (adopted,) = both.rows(VppSettlementBatch)
    assert adopted.state.value == "proposed"
    both.node.reorganise(1)
    assert sent(both, "operator") == 0
    both.mirror.run_until("head")
    (adopted,) = both.rows(VppSettlementBatch)
    assert adopted.state.value == "planned"
    ticks.settle(both.chain)
    assert sent(both, "operator") == 1
    both.mirror_final()
    both.pass_window()
    ticks.settle(both.chain)
    both.mirror_final()
    assert money(both) == {PLANT: OWED_CENTS, MARKET: 100_00 - OWED_CENTS}
    assert {row.status.value for row in both.rows(VppTradingRecord)} == {"executed"}
    assert both.differences() == []


# ------------------------------------------------------- trades that came after the backup

SOLD, DEARER, BOUGHT = TRADES


def settle_all(park: Park) -> None:
    """Let jobs and mirror run until nothing is left to do; what they refuse for now they try again."""
    for _ in range(6):
        with suppress(DependencyDown):
            ticks.settle(park.chain)
        park.mirror_final()
        park.pass_window()


def contents(park: Park) -> dict[int, tuple[str, int, int]]:
    return {
        row.id: (row.trade_type.value, int(row.quantity * 1000), int(row.price * 10_000))
        for row in park.rows(VppTradingRecord)
    }


@long
@pytest.mark.parametrize(
    ("way", "again", "behind"),
    rest(
        [
            ("proposed", (2, 1, 0), True),
            ("proposed", (1, 2, None), True),
            ("cosigned", (None, 0, 1, 2), False),
            ("cosigned", (None, 2, None, 0, 1), True),
            ("single", (2, 1, 0), False),
        ],
        ("proposed", (1, 2, None), True),
    ),
    ids=["another order", "one less", "one more", "two more", "each by itself"],
)
def test_trades_that_come_again_under_other_numbers(
    both: Park, again: tuple[int | None, ...], way: str, behind: bool
) -> None:
    """The contract knows trades by numbers: a trade with another number would be paid a second time."""
    both.node.deposit("market", 100_00)
    both.mirror_final()
    restore = back_up(both.db, both.folder)
    for hour, trade in enumerate(TRADES):
        both.trade(trade, hour=hour)
    wanted_way = Way.COSIGNED if way == "cosigned" else Way.PROPOSED
    chain = replace(both.chain, settling=replace(both.chain.settling, way=wanted_way))
    if way == "single":
        for number in contents(both):
            both.db.run(lambda session, n=number: plan_single(session, both.chain, n))  # type: ignore[misc]
    for _ in range(3):
        ticks.settle(chain)
        both.mirror_final()
        both.pass_window()
    assert money(both) == {PLANT: OWED_CENTS, MARKET: 100_00 - OWED_CENTS}
    on_chain, done = contents(both), sent(both, "operator")
    restore()
    assert both.count(VppTradingRecord) == 0

    if not behind:
        both.mirror_final()
    new = [("sell", 4000 + hour, 10_000) for hour, one in enumerate(again) if one is None]
    fresh = iter(new)
    for hour, one in enumerate(again):
        both.trade(next(fresh) if one is None else TRADES[one], hour=10 + hour)
    settle_all(both)

    owed = OWED_CENTS + sum((milli * price + 50_000) // 100_000 for _, milli, price in new)
    assert money(both) == {PLANT: owed, MARKET: 100_00 - owed}
    if missing := {0, 1, 2} - set(again):
        # A proposal is taken for ours when all of it is there; what it has of these books is settled all the same.
        assert {row.status.value for row in both.rows(VppTradingRecord)} == {"executed"}
        both.trade(*(TRADES[one] for one in missing), hour=20)
        settle_all(both)
        assert money(both) == {PLANT: owed, MARKET: 100_00 - owed}
    assert {row.status.value for row in both.rows(VppTradingRecord)} == {"executed"}
    now = contents(both)
    assert {number: each for number, each in now.items() if each in TRADES} == on_chain
    if not new:
        assert sent(both, "operator") == done
    assert both.differences() == []


@long
def test_trades_that_are_alike_are_settled_as_often_as_they_were_made(both: Park) -> None:
    both.node.deposit("market", 100_00)
    both.mirror_final()
    restore = back_up(both.db, both.folder)
    both.trade(SOLD, SOLD)
    settle_all(both)
    assert money(both)[PLANT] == 400
    restore()
    both.trade(DEARER, SOLD, SOLD, SOLD, hour=3)
    settle_all(both)
    assert money(both)[PLANT] == 400 + 200 + 750
    assert {row.status.value for row in both.rows(VppTradingRecord)} == {"executed"}
    assert both.differences() == []


@long
@pytest.mark.parametrize("ended", ["cancelled", "failed"])
def test_a_number_that_a_trade_has_which_was_taken_out(both: Park, ended: str) -> None:
    """Restored books gave it to another trade, which is over: what the chain settled under it gets it back."""
    both.node.deposit("market", 100_00)
    both.mirror_final()
    restore = back_up(both.db, both.folder)
    both.trade(SOLD)
    both.db.run(lambda session: plan_single(session, both.chain, 1))
    settle_all(both)
    paid = money(both)
    restore()
    both.trade(DEARER)  # as number 1, and before the mirror has read what became of that one
    if ended == "cancelled":
        both.db.run(lambda session: cancel_trade(session, 1, "entered twice"))
    else:
        with both.db.write() as session:
            session.get_one(VppTradingRecord, 1).status = TradeStatus.FAILED
    both.trade(SOLD, hour=3)
    settle_all(both)
    assert money(both) == paid
    assert {row.id: row.status.value for row in both.rows(VppTradingRecord)} == {
        1: "executed",
        3: ended,
    }
    assert both.differences() == []
    with both.db.read() as session:
        told = story_of(session, "trade:3").happened
    if ended == "cancelled":
        assert told == ("cancelled by hand: entered twice",)


@long
def test_a_batch_is_taken_up_though_all_that_waits_cannot_be_settled(park: Park) -> None:
    park.node.deposit("market", 100_00)
    park.mirror_final()
    park.trade(SOLD)
    restore = back_up(park.db, park.folder)
    plan_batches(park.chain)
    assert len(submit_planned(park.chain)) == 1
    restore()
    park.mirror_final()
    park.trade(DEARER, hour=3)
    with park.db.write() as session:
        session.get_one(VppTradingRecord, 2).total_value = Decimal(5)
    with pytest.raises(Refused, match="trade 2 cannot be settled: its total_value"):
        plan_batches(park.chain)
    assert [row.state.value for row in park.rows(VppSettlementBatch)] == ["proposed"]
    park.pass_window()
    assert len(finalize_due(park.chain)) == 1


@long
def test_nothing_is_signed_while_a_forgotten_transaction_waits_in_the_pool(park: Park) -> None:
    park.node.deposit("market", 100_00)
    park.mirror_final()
    restore = back_up(park.db, park.folder)
    park.trade(*TRADES)
    automine(park, False)
    plan_batches(park.chain)
    (tx_hash,) = submit_planned(park.chain)
    restore()
    park.trade(*reversed(TRADES))
    plan_batches(park.chain)
    for _ in range(2):
        with pytest.raises(
            DependencyDown,
            match=r"1 transaction in the pool that the books do not know, .* other books",
        ) as caught:
            submit_planned(park.chain)
        assert caught.value.code == "unknown-pending"
    park.node.mine(1)
    assert park.node.client.receipt(tx_hash) is not None
    with pytest.raises(DependencyDown, match="the mirror has not read them"):
        submit_planned(park.chain)
    automine(park, True)
    settle_all(park)
    assert money(park) == {PLANT: OWED_CENTS, MARKET: 100_00 - OWED_CENTS}
    assert sent(park, "operator") == 2  # proposed and finalised, each once
    assert park.differences() == []


# --------------------------------------------------------------------------------- credits


def issued(park: Park) -> None:
    park.register()
    park.generate(date(2014, 1, 1), ["100", "200"])


@long
@pytest.mark.parametrize("planned", rest([False, True]))
def test_an_issuance(both: Park, planned: bool) -> None:
    issued(both)
    period = (date(2014, 1, 1), date(2014, 1, 3))
    restore = None if planned else back_up(both.db, both.folder)
    (first,) = issuance.plan_issuance(both.chain, PROJECT, *period)
    restore = restore or back_up(both.db, both.folder)
    issuance.submit_planned(both.chain)
    both.mirror_final()
    restore()
    assert both.count(CreditBatch) == 0  # the fault: the books know of nothing

    both.mirror_final()
    if not planned:
        (forgotten,) = both.differences()
        said = "batch 1 of park-wind (2014-01-01 to 2014-01-03): 1200 kg are on chain with key"
        assert forgotten.startswith(said)
        (tried,) = issuance.plan_issuance(both.chain, PROJECT, *period, dry_run=True)
        with both.db.read() as session:
            known = issued_by(session, tried.key)
        (batch,) = both.rows(CreditBatch)
        assert known == batch.tx_hash
        item = {"issued_kg": "7", "vintage": 2014, "transaction": known}
        said = would(item, went_on=False)
        assert f"nothing anew: transaction {batch.tx_hash} issued 7 kg, vintage 2014" in said
        (again,) = issuance.plan_issuance(both.chain, PROJECT, *period)
        assert again.key == first.key
    assert issuance.submit_planned(both.chain) == []
    both.mirror_final()
    assert [row.state.value for row in both.rows(Issuance)] == ["issued"]
    assert both.intent(first.key).state is IntentState.CONFIRMED
    assert sent(both, "issuer") == 1
    assert both.count(CreditBatch) == 1
    assert both.differences() == []


@long
def test_an_issuance_whose_call_another_contract_passed_on(park: Park) -> None:
    issued(park)
    period = (date(2014, 1, 1), date(2014, 1, 3))
    restore = back_up(park.db, park.folder)
    (first,) = issuance.plan_issuance(park.chain, PROJECT, *period)
    issuance.submit_planned(park.chain)
    restore()
    park.mirror_final()
    with park.db.write() as session:  # a call of another contract says nothing to the mirror
        of_it = BlockchainTransaction.tx_hash.in_(select(CreditBatch.tx_hash))
        other = {"function_name": None, "parameters": None}
        assert (
            session.execute(update(BlockchainTransaction).where(of_it).values(other)).rowcount == 1
        )
    (again,) = issuance.plan_issuance(park.chain, PROJECT, *period)
    assert (again.key, again.verifier) == (first.key, first.verifier)
    assert issuance.submit_planned(park.chain) == []
    park.mirror_final()
    assert [row.state.value for row in park.rows(Issuance)] == ["issued"]
    assert park.intent(first.key).state is IntentState.CONFIRMED
    assert sent(park, "issuer") == park.count(CreditBatch) == 1


ACCEPTS = "0x63f23a6e6160e01b5f5260205ff3"
"""Code that answers every call with the selector of ``onERC1155Received``."""


def named(park: Park, act: Act, kg: int) -> str:
    """Plan an act of the owner under a name, as the command does."""

    def work(session: Any) -> str:
        holding = holding_of(session, park.chain, f"{SITE_CODE}-2014-1", kg, PLANT, act, "mine")
        if act is Act.TRANSFER:
            return plan_transfer(session, park.chain, holding, PARTIES["buyer"])
        return plan_retirement(session, park.chain, holding, details_of("Town", "2014"))

    return park.db.run(work)


def not_again(park: Park, key: str, tx_hash: str) -> None:
    """Ask for an act once more, whether the mirror has adopted it by now or not."""
    if park.intent(key).state is IntentState.CONFIRMED:
        assert park.chain.sender.submit(key, CREDIT) == tx_hash
        return
    with pytest.raises(AlreadyOnChain, match=tx_hash):
        park.chain.sender.submit(key, CREDIT)


@long
@pytest.mark.parametrize("read", rest([False, True]), ids=["mirror behind", "mirror first"])
@pytest.mark.parametrize("saved", rest(["before planning", "after planning"]))
def test_a_retirement_with_a_name(both: Park, saved: str, read: bool) -> None:
    """The contract remembers no keys of retirements: a second one would succeed."""
    both.node.issue(1000, 0)
    both.mirror_final()
    restore = back_up(both.db, both.folder)
    key = named(both, Act.RETIRE, 300)
    if saved == "after planning":
        restore = back_up(both.db, both.folder)
    tx_hash = both.chain.sender.submit(key, CREDIT)
    both.mirror_final()
    restore()
    assert both.count(CreditRetirement) == 0
    if read:
        both.mirror.run_until("head")
    assert named(both, Act.RETIRE, 300) == key
    not_again(both, key, tx_hash)
    both.mirror_final()
    intent = both.intent(key)
    assert (intent.state, intent.tx_hash) == (IntentState.CONFIRMED, tx_hash)
    assert [row.amount_kg for row in both.rows(CreditRetirement)] == [300]
    assert sent(both, "owner") == 1
    assert both.differences() == []


@long
@pytest.mark.parametrize("act", rest([Act.RETIRE, Act.CANCEL, Act.TRANSFER], Act.RETIRE))
def test_who_acted_under_a_name_is_who_acted_then(park: Park, act: Act) -> None:
    """Nobody was named, and another account of ours has enough since: it would have acted a second time."""
    batch = park.node.issue(1000, 0)
    park.node.transfer("owner", "buyer", batch, 200)
    park.mirror_final()
    restore = back_up(park.db, park.folder)

    def asked(kg: int) -> str:
        def work(session: Any) -> str:
            held = holding_of(session, park.chain, f"{SITE_CODE}-2014-1", kg, None, act, "mine")
            if act is Act.TRANSFER:
                return plan_transfer(session, park.chain, held, PARTIES["spare"])
            if act is Act.CANCEL:
                return plan_cancellation(session, park.chain, held, "an error")
            return plan_retirement(session, park.chain, held, details_of("Town", "2014"))

        return park.db.run(work)

    key = asked(300)
    tx_hash = park.chain.sender.submit(key, CREDIT)
    park.node.transfer("owner", "buyer", batch, 500)
    park.mirror_final()
    restore()
    park.mirror.run_until("head")
    if act is not Act.TRANSFER:  # whose key stands in no event
        with pytest.raises(Refused, match=r"of 300 kg by .*, which transaction .* did") as caught:
            asked(299)
        assert caught.value.code == "key-reused"
    assert asked(300) == key
    not_again(park, key, tx_hash)
    park.mirror_final()
    assert park.intent(key).state is IntentState.CONFIRMED
    held = {row.holder: row.amount_kg for row in park.rows(CreditHolding)}
    assert (held.get(PLANT), held[PARTIES["buyer"]]) == (None, 700)
    assert park.differences() == []


def transferred_once(park: Park, key: str, tx_hash: str) -> None:
    """Ask again for a transfer of 300 kg that a transaction did: it is known, and nothing more is sent."""
    not_again(park, key, tx_hash)
    park.mirror_final()
    assert park.intent(key).state is IntentState.CONFIRMED
    held = {row.holder: row.amount_kg for row in park.rows(CreditHolding)}
    assert held == {PLANT: 700, PARTIES["buyer"]: 300}
    assert sent(park, "owner") == 1
    assert park.differences() == []


@long
@pytest.mark.parametrize("read", [False, True], ids=["mirror behind", "mirror first"])
def test_a_transfer_that_was_planned(both: Park, read: bool) -> None:
    """Its data is its key; and the same call by the same account, since it was planned, is it."""
    both.node.issue(1000, 0)
    both.mirror_final()
    key = named(both, Act.TRANSFER, 300)
    restore = back_up(both.db, both.folder)
    tx_hash = both.chain.sender.submit(key, CREDIT)
    both.mirror_final()
    restore()
    if read:
        both.mirror.run_until("head")
    transferred_once(both, key, tx_hash)


@long
def test_a_call_without_a_key_is_ours_by_its_account_and_its_arguments(park: Park) -> None:
    ours, others = ([PARTIES["spare"], allowed] for allowed in (True, False))
    key = plan(park, "setApprovalForAll", ours, "buyer", CREDIT)

    def found() -> str | None:
        park.mirror.run_until("head")
        with park.db.read() as session:
            mark = adoption.in_mirror(session, session.get_one(ChainIntent, key), calls_above=0)
        return mark.tx_hash if mark else None

    for party, arguments in (("owner", ours), ("buyer", others)):
        park.node.act(party, CREDIT, "setApprovalForAll", arguments)
        assert found() is None
    sent_elsewhere = park.node.act("buyer", CREDIT, "setApprovalForAll", ours)
    assert found() == sent_elsewhere.tx_hash


@long
@pytest.mark.parametrize("read", rest([False, True]), ids=["mirror behind", "mirror first"])
def test_a_transfer_whose_receiver_has_got_code_since(both: Park, read: bool) -> None:
    """A wallet that is a contract may be paid before it is deployed: asked for again, no key is put into the data."""
    both.node.issue(1000, 0)
    both.mirror_final()
    restore = back_up(both.db, both.folder)
    key = named(both, Act.TRANSFER, 300)
    assert both.intent(key).parameters["data"] == key
    tx_hash = both.chain.sender.submit(key, CREDIT)
    both.mirror_final()
    restore()
    both.node.client.request("anvil_setCode", [PARTIES["buyer"], ACCEPTS])
    if read:
        both.mirror.run_until("head")
    assert named(both, Act.TRANSFER, 300) == key
    assert both.intent(key).parameters["data"] == "0x"
    transferred_once(both, key, tx_hash)


@long
def test_a_replacement_that_the_books_forgot(both: Park) -> None:
    """They know the first attempt, the chain has the second: the intent ends with it all the same."""
    from tests.support.sending import spike

    both.node.issue(1000, 0)
    both.mirror_final()
    automine(both, False)
    key = named(both, Act.TRANSFER, 300)
    first = both.chain.sender.submit(key, CREDIT)
    restore = back_up(both.db, both.folder)
    spike(both, 50)
    both.chain.sender.tend()
    second = both.intent(key).tx_hash
    assert second is not None and second != first
    both.node.mine(1)
    assert both.node.client.receipt(second) is not None
    restore()
    assert both.intent(key).tx_hash == first
    both.node.mine(3)
    both.chain.sender.tend()
    assert "makes the same call" in (both.intent(key).alarm or "")
    both.mirror_final()
    intent = both.intent(key)
    assert (intent.state, intent.tx_hash, intent.alarm) == (IntentState.CONFIRMED, second, None)
    rows = {row.tx_hash: row.status.value for row in both.rows(BlockchainTransaction)}
    assert (rows[first], rows[second]) == ("failed", "confirmed")
    held = {row.holder: row.amount_kg for row in both.rows(CreditHolding)}
    assert held == {PLANT: 700, PARTIES["buyer"]: 300}
    assert both.differences() == []


@long
@pytest.mark.parametrize("ahead", ["", "and the clock is ahead"])
def test_an_act_without_a_key_that_had_lost_its_nonce(park: Park, ahead: str) -> None:
    """Stolen, and sent again with another one, which the books forgot: it was sent a third time, and done twice.

    So it was, later on, where this machine's clock is ahead of the chain's by seconds: what was sent after the act was
    planned was taken for an older one.
    """
    key = plan(park)
    if ahead:
        planned = datetime.now(UTC) + timedelta(minutes=1)
        set_ahead = update(ChainIntent).values(created_at=planned)
        park.db.run(lambda session: session.execute(set_ahead))
    lost(park, key)
    park.node.mine(3)
    park.mirror.run_until("head")
    restore = back_up(park.db, park.folder)
    park.chain.sender.tend()
    until_confirmed(park)
    second = park.intent(key).tx_hash
    restore()
    park.chain.sender.tend()
    assert "the mirror has not read them" in (park.intent(key).alarm or "")
    park.mirror.run_until("head")
    park.chain.sender.tend()
    intent = park.intent(key)
    assert (intent.state, intent.nonce) == (IntentState.PLANNED, None)
    assert f"{second} makes the same call" in (intent.alarm or "")
    until_confirmed(park)
    assert (park.intent(key).tx_hash, park.intent(key).alarm) == (second, None)
    assert minted(park) == UNITS
    assert park.differences() == []


def test_an_act_without_a_key_after_another_of_its_account(park: Park) -> None:
    """The other's nonce hid that the chain has one more than the books know: it was done twice until that was final."""
    park = opened(park, finality=64)
    key, other = plan(park), plan(park, arguments=[PARTIES["spare"], 7])
    park.mirror.run_until("head")
    restore = back_up(park.db, park.folder)
    tx_hash = park.chain.sender.submit(key, CURRENCY)
    park.node.mine(1)
    restore()
    park.mirror.run_until("head")
    park.chain.sender.submit(other, CURRENCY)
    with pytest.raises(AlreadyOnChain, match=tx_hash):
        park.chain.sender.submit(key, CURRENCY)
    park.node.mine(1)
    assert (minted(park), minted(park, "spare")) == (UNITS, 7)


def test_a_stranger_who_copies_a_retirement_s_key(park: Park) -> None:
    """Anybody may write our key into an event of its own: that is not our retirement."""
    park.node.issue(1000, 0)
    park.node.act("owner", CREDIT, "safeTransferFrom",
                  [PLANT, PARTIES["buyer"], 1 << 32 | 1, 50, b""])  # fmt: skip
    park.mirror_final()
    key = named(park, Act.RETIRE, 300)
    arguments = [bytes.fromhex(key[2:]), *park.node.retire_arguments(1 << 32 | 1, 5)[1:]]
    park.node.act("buyer", CREDIT, "retire", arguments)
    park.mirror_final()
    assert park.intent(key).state is IntentState.PLANNED
    park.chain.sender.submit(key, CREDIT)
    park.mirror_final()
    assert sorted(row.amount_kg for row in park.rows(CreditRetirement)) == [5, 300]
    with park.db.read() as session:
        assert intents.get(session, key).state is IntentState.CONFIRMED
