"""Disputes and fees on the way of our batches, and trades of ours that the chain settled without us."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import event, select, text
from sqlalchemy.orm import Session

from cli import settle
from cli.doctor_database import _settlement
from cli.settle_acts import dispute_trade, reject_dispute, settle_one
from ledger import audit
from ledger.chain.contracts.events import CREDIT, SETTLEMENT
from ledger.chain.keys.signers import Keyring, anvil_address, anvil_signer
from ledger.db import Database
from ledger.errors import BadInput, Refused, TruetonneError
from ledger.jobs import work
from ledger.jobs.work import Tools
from ledger.models import (
    AuditLog,
    ChainAttempt,
    ChainIntent,
    SettlementBalance,
    SettlementBatch,
    SettlementDispute,
    SettlementTrade,
    VppSettlementAccount,
    VppSettlementBatch,
    VppSettlementItem,
    VppTradeCredit,
    VppTradeShortfall,
    VppTradingRecord,
)
from ledger.models.sending import IntentState
from ledger.models.trading import TradeStatus
from ledger.reconcile import reconcile
from ledger.settings import load_settings
from ledger.settings.settling import SettlementPolicy, Way
from ledger.settlement import forgotten, renumbered, stuck
from ledger.settlement.batches import plan_batches, plan_one, plan_round, submit_planned
from ledger.settlement.cancel import cancel_trade, plan_cancellation, withdraw
from ledger.settlement.disputes import plan_dispute
from ledger.settlement.elsewhere import Accounts
from ledger.settlement.explain import story_of
from ledger.settlement.finalizing import due_within, finalize_due
from ledger.settlement.outlook import preview
from ledger.settlement.singles import plan_single
from ledger.settlement.words import PackedBatch, Trade, pack
from ledger.units import currency_of_cents
from tests.support import acts
from tests.support.chain import (
    BOND_CENTS,
    MEMBER_ROLE,
    OPERATOR_ROLE,
    PARTIES,
    WINDOW_S,
    send,
    trade,
)
from tests.support.copied import back_up
from tests.support.forms import few, long, rest
from tests.support.park import Park, flow_of, running_park
from tests.support.sending import automine, drop, steal
from tests.support.statements import listening, steps_of

PLANT, MARKET = PARTIES["owner"], PARTIES["market"]
SOLD = ("sell", 1000, 20_000)
"""One kWh for 2.00."""


@pytest.fixture
def funded(park: Park) -> Park:
    park.fund(MARKET, 100_00)
    park.trade(SOLD)
    return park


def sold(park: Park) -> Trade:
    """The trade of ours as the chain knows it."""
    (row,) = park.rows(VppTradingRecord)
    return trade(row.id, "market", "owner", 1000, 20_000)


def status(park: Park) -> TradeStatus:
    (row,) = park.rows(VppTradingRecord)
    return TradeStatus(row.status)


def statuses(park: Park) -> list[str]:
    return [row.status.value for row in park.rows(VppTradingRecord)]


def take_back(park: Park, above: int) -> None:
    """Have the chain take back what stands above a block, and mirror that."""
    park.node.roll_back(park.node.height() - above)
    park.node.mine(3)
    park.mirror.run_until("head")


def propose(park: Park) -> None:
    plan_batches(park.chain)
    submit_planned(park.chain)
    park.mirror.run_until("head")


def others_propose(park: Park, trades: list[Trade]) -> PackedBatch:
    """As another operator, who has an account of its own."""
    park.node.act("admin", SETTLEMENT, "grantRole", [OPERATOR_ROLE, PARTIES["spare"]])
    return park.node.propose(trades, sender="spare")[0]


def stories(park: Park, *names: str) -> list[tuple[str, str]]:
    """What happened last to batches or trades, and what to do."""
    with park.db.read() as session:
        told = [story_of(session, name) for name in names]
    return [(story.happened[-1], story.to_do) for story in told]


def given(
    park: Park,
    command: Callable[..., None],
    *words: Any,
    **more: Any,
) -> list[Any]:
    """Give ``settle reject`` or ``settle dispute`` with ``--no-wait``; return its document, and its lines."""
    flow = SimpleNamespace(db=park.db, chain=park.chain, mirror=lambda: None)
    printed: list[Any] = []
    output = SimpleNamespace(result=lambda *given: printed.extend(given))
    run: Any = SimpleNamespace(flow=lambda: nullcontext(flow), output=output)
    command(run, *words, no_wait=True, **more)
    return printed


def rejected(park: Park, batch: str, *, dry_run: bool = False) -> dict[str, Any]:
    """Give ``settle reject --no-wait``; return its document."""
    found: dict[str, Any] = given(park, reject_dispute, batch, dry_run=dry_run)[0]
    return found


@long
def test_a_disputed_batch_waits_and_goes_on(funded: Park) -> None:
    propose(funded)
    funded.trade(SOLD, hour=1)
    propose(funded)
    before, behind = funded.rows(VppSettlementBatch)
    acts.dispute(funded.node, "market", 1, trade(1, "market", "owner", 1000, 20_000))
    funded.mirror.run_until("head")
    cancel = (
        f"truetonne settle cancel {before.batch_key} --reason WHY lets the batches behind it go on"
    )
    disputed, waiting = stories(funded, "batch:1", "trade:2")
    assert disputed[0].endswith("dispute of trade 1 by day-ahead: disputed")
    assert waiting[0] == f"it waits: a trade is disputed, in batch {before.batch_key} before it"
    assert disputed[1] == waiting[1]
    reject = f"(truetonne settle reject {before.batch_key} rejects the dispute)"
    assert disputed[1].startswith("an arbiter decides, until 20") and reject in disputed[1]
    assert disputed[1].endswith(cancel)
    assert finalize_due(funded.chain) == []
    with funded.db.read() as session:
        (alarm,) = stuck.alarms(session)
    assert alarm == (
        f"settlement batch {before.batch_key}: a trade is disputed, and the batches behind it wait; {disputed[1]}"
    )
    assert _settlement(funded.db).mend == disputed[1]
    funded.pass_window()
    with funded.db.read() as session:
        assert stuck.alarms(session) == []  # now the job fails, and is the alarm
    assert acts.reject_dispute(funded.node, 1, must=False).status == 0  # it has timed out
    with pytest.raises(Refused, match=f"{before.batch_key} cannot be finalised.*timed out") as said:
        finalize_due(funded.chain)
    assert (said.value.code, said.value.message.endswith(cancel)) == ("dispute-timed-out", True)
    assert {to_do.split(" at ")[0] for _, to_do in stories(funded, "batch:1", "batch:2")} == {
        "the dispute timed out"
    }
    assert funded.differences() == []
    funded.node.act("spare", SETTLEMENT, "cancelBatch", _cancellation(funded))
    funded.mirror_final()
    after, _ = funded.rows(VppSettlementBatch)
    assert (after.state.value, after.finalizable_at) == ("cancelled", before.finalizable_at)
    assert len(finalize_due(funded.chain)) == 1
    funded.mirror_final()
    found = [row.status for row in funded.rows(VppTradingRecord)]
    assert found == [TradeStatus.CANCELLED, TradeStatus.EXECUTED]
    assert stories(funded, behind.batch_key)[0][1] == "nothing: its trades are executed"
    assert funded.differences() == []


def test_a_batch_is_due_when_its_window_is_over_and_none_before_it_is_disputed(
    funded: Park,
) -> None:
    """By the chain's clock, which is ahead here: ``settle run`` waits for such a batch, and for no other."""
    propose(funded)
    funded.trade(SOLD, hour=1)
    funded.node.later(600)
    propose(funded)
    (first, _) = funded.rows(VppSettlementBatch)
    with funded.db.read() as session:
        left = first.finalizable_at - stuck.chain_time(session)
        within = [timedelta(seconds=-1), timedelta(0), timedelta(days=1)]
        ends = first.finalizable_at
        assert [due_within(session, left + more) for more in within] == [None, ends, ends]
    acts.dispute(funded.node, "market", 1, trade(1, "market", "owner", 1000, 20_000))
    funded.mirror.run_until("head")
    with funded.db.read() as session:
        assert due_within(session, timedelta(days=365)) is None


@long
def test_a_batch_that_the_operator_takes_back(funded: Park) -> None:
    propose(funded)

    def plan(reason: str) -> str:
        return funded.db.run(
            lambda session: plan_cancellation(session, funded.chain, "batch:1", reason)
        )

    with pytest.raises(BadInput, match="needs a reason"):
        plan(" ")
    key = plan("a wrong price")
    assert plan("asked again") == key  # one intent, whoever asks how often
    happened, to_do = stories(funded, "batch:1")[0]
    assert happened.endswith("its cancellation is planned: a wrong price")
    assert to_do.startswith("truetonne settle cancel 0x")
    funded.chain.sender.submit(key, SETTLEMENT)
    happened, to_do = stories(funded, "batch:1")[0]
    assert "cancelBatch sent: transaction 0x" in happened
    assert to_do.startswith("nothing: it is sent again until it is in a block")
    funded.mirror_final()
    (batch,) = funded.rows(VppSettlementBatch)
    assert (batch.state.value, batch.error) == ("cancelled", "a wrong price")
    assert status(funded) is TradeStatus.CANCELLED
    assert {row.account: int(row.balance) for row in funded.rows(SettlementBalance)} == {
        MARKET: 100_00
    }
    with pytest.raises(Refused, match="is cancelled; only a proposed one"):
        plan("again")
    with funded.db.read() as session:
        story = story_of(session, batch.batch_key)
    assert story.happened[-1].endswith(": a wrong price")
    assert story.to_do.startswith("nothing: its trades are cancelled; one that shall be settled")
    assert funded.differences() == []


@long
def test_a_rejected_dispute_moves_the_window(funded: Park) -> None:
    propose(funded)
    (before,) = funded.rows(VppSettlementBatch)
    acts.dispute(funded.node, "market", 1, sold(funded))
    funded.node.later(600)
    acts.reject_dispute(funded.node, 1)
    funded.mirror.run_until("head")
    (after,) = funded.rows(VppSettlementBatch)
    assert after.finalizable_at is not None and before.finalizable_at is not None
    assert (after.finalizable_at - before.finalizable_at).total_seconds() >= 600
    funded.node.reorganise(1)
    funded.mirror.run_until("head")
    (again,) = funded.rows(VppSettlementBatch)
    assert (again.state.value, again.finalizable_at) == ("proposed", before.finalizable_at)
    acts.reject_dispute(funded.node, 1)
    funded.pass_window()
    assert len(finalize_due(funded.chain)) == 1
    funded.mirror_final()
    assert status(funded) is TradeStatus.EXECUTED
    balances = {row.account: int(row.balance) for row in funded.rows(SettlementBalance)}
    assert balances == {
        PLANT: 2_00,
        MARKET: 98_00 - BOND_CENTS,
        PARTIES["admin"]: BOND_CENTS,
    }
    assert funded.differences() == []


@long
def test_a_fork_gives_a_batch_back_the_window_after_the_last_of_its_disputes(funded: Park) -> None:
    funded.fund(PLANT, 100_00)
    propose(funded)
    seen = []
    for party in ("market", "owner"):
        acts.dispute(funded.node, party, 1, sold(funded))
        funded.node.later(600)
        acts.reject_dispute(funded.node, 1)
        funded.mirror.run_until("head")
        (batch,) = funded.rows(SettlementBatch)
        seen.append(batch.finalizable_at_s)
    assert seen[0] < seen[1]
    funded.pass_window()
    finalize_due(funded.chain)
    funded.mirror.run_until("head")
    take_back(funded, funded.node.height() - 1)
    (batch,) = funded.rows(SettlementBatch)
    assert (batch.status.value, batch.finalizable_at_s) == ("proposed", seen[1])


@long
def test_the_arbiter_rejects_disputes_over_batches_of_ours_and_of_others(funded: Park) -> None:
    """With the command; and what holds our batch up in a batch of others is told as theirs to cancel."""
    others = [trade(900_000 + at, "market", "owner", 1000, 10_000) for at in range(3)]
    funded.node.act("admin", SETTLEMENT, "grantRole", [OPERATOR_ROLE, PARTIES["spare"]])
    packed, _ = funded.node.propose(others, sender="spare")
    funded.mirror.run_until("head")
    disputed(funded, funded.rows(SettlementBatch)[0].key, 900_001)
    funded.mirror.run_until("head")  # nothing is signed before what the account did is known
    propose(funded)
    theirs, ours = (row.key for row in funded.rows(SettlementBatch))
    before, to_do = stories(funded, ours)[0]
    assert before == f"it waits: a trade is disputed, in batch {theirs} before it"
    assert to_do.endswith(
        "its operator or an arbiter can cancel it (it is no batch of these books)"
    )
    assert f"(truetonne settle reject {theirs} rejects the dispute)" in to_do
    for name, code, why in (
        (ours, "not-disputed", "no trade of batch .* is disputed .it is proposed."),
        ("batch:1", "not-disputed", "no trade of batch"),
        ("0x" + "ab" * 32, "not-found", "is not on chain"),
        ("batch:2", "not-found", "there is no settlement batch"),
    ):
        with pytest.raises(TruetonneError, match=why) as said:
            rejected(funded, name)
        assert said.value.code == code
    assert rejected(funded, theirs, dry_run=True) == {"batch": theirs}
    funded.node.later(600)
    given(funded, dispute_trade, "batch:1", "trade:1", account=MARKET)
    happened, to_do = stories(funded, "batch:1")[0]
    assert "disputeTrade sent: transaction 0x" in happened
    assert to_do.startswith("nothing: it is sent again until it is in a block")
    funded.mirror.run_until("head")
    for name in (theirs, "batch:1"):
        key = rejected(funded, name)["key"]
        assert rejected(funded, name)["key"] == key  # one intent, however often it is asked for
        if name == "batch:1":
            happened, to_do = stories(funded, name)[0]
            assert "rejectDispute sent: transaction 0x" in happened
            assert to_do.startswith("nothing: it is sent again until it is in a block")
        funded.mirror_final()
        assert funded.intent(key).sender_address == PARTIES["admin"]
    assert [row.status.value for row in funded.rows(SettlementBatch)] == ["proposed"] * 2
    funded.pass_window()
    funded.node.act("spare", SETTLEMENT, "finalizeBatch", [1, funded.node.outcome(1, packed)])
    funded.mirror.run_until("head")
    assert len(finalize_due(funded.chain)) == 1
    funded.mirror_final()
    assert status(funded) is TradeStatus.EXECUTED
    with funded.db.read() as session:
        told = story_of(session, "batch:1").happened
    assert [line[20:] for line in told if " dispute" in line] == [
        "dispute of trade 1 by day-ahead: disputed",
        "dispute by day-ahead: rejected",
    ]
    balances = {row.account: int(row.balance) for row in funded.rows(SettlementBalance)}
    assert balances == {
        PLANT: 2_00 + 3_00,
        MARKET: 100_00 - 2_00 - 3_00 - 2 * BOND_CENTS,
        PARTIES["admin"]: 2 * BOND_CENTS,
    }
    assert funded.differences() == []


@long
def test_each_party_has_a_dispute_of_its_own_on_its_way(funded: Park) -> None:
    """Whoever asks again is given its own, whichever came first."""
    propose(funded)

    def plan(session: Session) -> list[str]:
        return [
            plan_dispute(session, funded.chain, "batch:1", 1, party)
            for party in (PLANT, MARKET, MARKET, PLANT)
        ]

    plants, markets, *again = funded.db.run(plan)
    assert plants != markets and again == [markets, plants]


def party_of(park: Park, batch: str, number: int, index: int) -> str:
    """Return who disputes a trade where only one key is at hand; nothing of it is kept."""
    keyring = Keyring({anvil_address(index): anvil_signer(index)})

    def plan(session: Session) -> str:
        key = plan_dispute(session, replace(park.chain, keyring=keyring), batch, number)
        sender = str(session.get_one(ChainIntent, key).sender_address)
        session.rollback()
        return sender

    return park.db.run(plan)


def disputed(park: Park, batch: str, number: int) -> None:
    """Have the market dispute a trade of a batch by the command, and others not; nothing is left but that."""

    def asked(account: str | None, number: int = number, **more: Any) -> list[Any]:
        return given(park, dispute_trade, batch, str(number), account=account, **more)

    for account, other, code, why in (
        (None, number, "bad-input", "the keys of both parties of trade .* say with --account"),
        (PARTIES["buyer"], number, "not-a-party", "is no party of .*: its buyer is day-ahead, its"),
        (
            "nobody",
            number,
            "not-found",
            "a market with an account .there is: day-ahead, plant.; see",
        ),
        ("plnat", number, "not-found", "with an account .did you mean 'plant'.."),
        ("day-ahead", 17, "not-found", "has no trade 17;"),
        (
            "plant",
            number,
            "contract-refused",
            "plant has 0.00 tEUR in escrow, and a dispute takes a bond",
        ),
    ):
        with pytest.raises(TruetonneError, match=why) as said:
            asked(account, other, dry_run=True)
        assert said.value.code == code, said.value.message
    assert party_of(park, batch, number, 6) == MARKET  # whose key alone is here
    with pytest.raises(BadInput, match=f"no key of a party of trade {number} is here: its buyer"):
        party_of(park, batch, number, 5)
    bond = currency_of_cents(BOND_CENTS)
    document, line = asked("day-ahead", dry_run=True)
    assert document == {"batch": batch, "trade": number, "bond": bond}
    assert line == f"would dispute trade {number} of batch {batch}, with a bond of {bond} tEUR"
    unsent = park.db.run(
        lambda session: plan_dispute(session, park.chain, batch, number + 1, MARKET)
    )
    document, line = asked("day-ahead")
    assert park.intent(unsent).error == f"not sent: trade {number} is disputed in its place"
    assert (document["account"], document["bond"]) == (MARKET, bond)
    assert line.startswith(f"the dispute of trade {number} of batch {batch} is sent: transaction")
    again, _, hint = asked("day-ahead", number + 1)  # a party disputes a batch once
    assert (again["key"], again["trade"]) == (document["key"], number)
    assert hint == f"a party disputes a batch once, and trade {number} was disputed first"
    park.mirror_final()
    with pytest.raises(Refused, match="is disputed; only a trade of a proposed one") as refused:
        asked("plant", number + 1)
    assert refused.value.code == "not-proposed"
    step = park.rows(SettlementDispute)[-1]
    found = step.step.value, step.account, int(step.seq), int(step.bond_cents)
    assert found == ("disputed", MARKET, number, BOND_CENTS)
    assert park.intent(document["key"]).state.value == "confirmed"


@long
def test_a_fee_does_not_keep_a_batch_from_its_end(funded: Park) -> None:
    funded.node.act("admin", SETTLEMENT, "setFee", [100, PARTIES["buyer"]])
    funded.node.later(acts.WEEK_S)
    funded.mirror_final()
    assert [batch.cost.fee_cents for batch in preview(funded.chain).batches] == [2]
    propose(funded)
    funded.pass_window()
    assert len(finalize_due(funded.chain)) == 1
    funded.mirror_final()
    balances = {row.account: int(row.balance) for row in funded.rows(SettlementBalance)}
    assert balances == {PLANT: 1_98, MARKET: 98_00, PARTIES["buyer"]: 2}
    assert status(funded) is TradeStatus.EXECUTED
    assert funded.differences() == []


@long
@pytest.mark.parametrize("way", rest(["by itself", "co-signed"]))
def test_a_trade_that_failed_and_that_the_chain_settles(funded: Park, way: str) -> None:
    """It failed as nobody paid in, and no other was pending: the books would have called it failed for ever."""
    with funded.db.write() as session:
        session.get_one(VppTradingRecord, sold(funded).seq).status = TradeStatus.FAILED
    if way == "by itself":
        acts.settle_one(funded.node, sold(funded))
    else:
        acts.cosign(funded.node, ("market", "owner"), [sold(funded)])
    funded.mirror.run_until("head")
    assert (status(funded), funded.differences()) == (TradeStatus.FAILED, [])
    funded.mirror_final()
    assert status(funded) is TradeStatus.EXECUTED
    assert funded.differences() == []


@long
def test_a_trade_that_was_taken_out_and_that_the_chain_settles(funded: Park) -> None:
    """Its money has moved: the books called it cancelled, and `reconcile` differed for ever. No fork opens it."""
    seq = sold(funded).seq
    funded.db.run(lambda session: cancel_trade(session, seq, "entered twice"))
    acts.settle_one(funded.node, sold(funded))
    funded.mirror.run_until("head")
    assert (status(funded), funded.differences()) == (TradeStatus.CANCELLED, [])
    funded.mirror_final()
    assert (status(funded), funded.differences()) == (TradeStatus.EXECUTED, [])
    (entry,) = [row for row in funded.rows(AuditLog) if row.action == "trades.execute"]
    assert (entry.resource, entry.old_values) == (
        f"vpp_trading_records/{seq}",
        {"status": "cancelled"},
    )
    funded.node.reorganise(3)  # the settlement among them
    funded.mirror.run_until("head")
    assert (status(funded), plan_batches(funded.chain)) == (TradeStatus.CANCELLED, [])
    assert funded.differences() == []


@long
def test_a_trade_of_a_cancelled_batch_that_the_chain_settles(funded: Park) -> None:
    """No person took it out, and no fork opens it either: it became pending, and the next run settled it."""
    with funded.db.write() as session:  # as the end of its batch would have it
        session.get_one(VppTradingRecord, sold(funded).seq).status = TradeStatus.CANCELLED
    acts.settle_one(funded.node, sold(funded))
    funded.mirror_final()
    assert (status(funded), funded.differences()) == (TradeStatus.EXECUTED, [])
    funded.node.reorganise(3)  # the settlement among them
    funded.mirror.run_until("head")
    assert funded.count(SettlementTrade) == 0
    assert (status(funded), plan_batches(funded.chain)) == (TradeStatus.CANCELLED, [])


@long
@pytest.mark.parametrize("way", rest(["by itself", "co-signed", "proposed"]))
def test_a_trade_of_a_forgotten_batch_that_was_cancelled_and_that_the_chain_settled_since(
    park: Park, way: str
) -> None:
    """Restored books that got it again took the cancelled batch over, and called the trade cancelled for ever."""
    park.fund(MARKET, 100_00)
    park.mirror_final()
    restore = back_up(park.db, park.folder)
    park.trade(SOLD)
    propose(park)
    ours = sold(park)
    park.node.cancel_batch(1, pack([ours]))
    if way == "by itself":
        acts.settle_one(park.node, ours)
    elif way == "co-signed":
        acts.cosign(park.node, ("market", "owner"), [ours])
    else:
        packed, _ = park.node.propose([ours])
        park.node.finalize(2, packed)
    park.mirror_final()
    assert (status(park), park.differences()) == (TradeStatus.EXECUTED, [])
    restore()
    park.mirror_final()
    park.trade(SOLD)
    assert (plan_batches(park.chain), submit_planned(park.chain)) == ([], [])
    assert (status(park), park.differences()) == (TradeStatus.EXECUTED, [])


@long
def test_a_run_finds_what_was_settled_by_itself_by_number(park: Park) -> None:
    """On SQLite it read all of it for each trade that had ended: with 100,000 and 10,000 it took minutes."""
    said: dict[str, Any] = {}
    with listening(lambda _c, _cursor, sql, parameters, *_: said.update({sql: parameters})):
        assert plan_batches(park.chain) == []
    asked = {sql: said[sql] for sql in said if "JOIN settlement_trades" in sql}
    with park.db.read() as session:
        link = session.connection().connection.driver_connection
        steps = [step for sql in asked for step in steps_of(link, sql, asked[sql])]
    assert [step for step in steps if step.startswith("SCAN")] == []
    assert any("settlement_trades" in step and "(seq=?)" in step for step in steps)


def test_the_job_looks_back_only_when_something_has_changed(funded: Park) -> None:
    """It read each time, every few seconds, all that was ever settled in no batch of the books."""
    tools = Tools(funded.chain, load_settings(None, {}))
    stranger, ours = PARTIES["spare"], sold(funded)

    def known_by(address: str, *, ends: bool = False) -> None:
        with funded.db.write() as session:
            query = select(VppSettlementAccount).where(
                VppSettlementAccount.address.in_((PLANT, stranger))
            )
            session.scalars(query).one().address = address
            if ends:
                session.get_one(VppTradingRecord, ours.seq).status = TradeStatus.CANCELLED

    def asked() -> bool:
        """Run the job; return whether it asked for what was settled by itself."""
        heard: list[str] = []
        with listening(lambda _c, _cursor, sql, *_: heard.append(sql)):
            assert work.settle(tools) is None
        assert heard
        return any("settlement_trades" in sql for sql in heard)

    known_by(stranger, ends=True)
    acts.settle_one(funded.node, ours)
    funded.mirror_final()
    assert [asked(), asked()] == [True, False]
    assert status(funded) is TradeStatus.CANCELLED
    known_by(PLANT)
    assert asked()
    assert (status(funded), funded.differences()) == (TradeStatus.EXECUTED, [])
    funded.node.mine(3)
    funded.mirror.run_until("head")
    assert not asked()
    acts.settle_one(funded.node, replace(ours, seq=ours.seq + 7))
    funded.mirror_final()
    assert [asked(), asked()] == [True, False]


def test_the_job_locks_no_batch_while_none_is_due(funded: Park) -> None:
    """It read what was proposed every few seconds, in a transaction that writes, to find that no window was over."""
    tools = Tools(funded.chain, load_settings(None, {}))
    propose(funded)

    def begun() -> list[bool]:
        heard: list[str] = []
        with listening(lambda _c, _cursor, sql, *_: heard.append(sql)):
            work.finalise(tools)
        return [sql == "BEGIN IMMEDIATE" for sql in heard if sql.startswith("BEGIN")]

    assert begun() == [False]
    funded.pass_window()
    assert any(begun())
    funded.mirror_final()
    assert status(funded) is TradeStatus.EXECUTED


@long
def test_the_job_withdraws_a_batch_that_loses_its_nonce_after_others_settled_a_trade_of_it(
    funded: Park,
) -> None:
    """While it was sent it could not be withdrawn; nothing but its call changed then, and all its trades waited."""
    tools = Tools(funded.chain, load_settings(None, {}))
    (planned,) = plan_batches(funded.chain)
    automine(funded, False)
    (ours,) = submit_planned(funded.chain)
    drop(funded, ours)
    automine(funded, True)
    funded.node.act("admin", SETTLEMENT, "grantRole", [OPERATOR_ROLE, PARTIES["spare"]])
    acts.settle_one(funded.node, sold(funded), sender="spare")
    funded.mirror_final()
    automine(funded, False)
    assert {work.settle(tools), work.settle(tools)} == {"planned 0, sent 1 batches"}
    drop(funded, ours)
    steal(funded, "operator", funded.intent(planned.key).nonce or 0)
    funded.node.mine(3)
    funded.chain.sender.tend()
    assert funded.intent(planned.key).state is IntentState.PLANNED
    automine(funded, True)
    assert work.settle(tools) is None
    assert [row.state.value for row in funded.rows(VppSettlementBatch)] == ["failed"]
    assert work.settle(tools) is None
    funded.mirror_final()
    assert (status(funded), funded.differences()) == (TradeStatus.EXECUTED, [])


@few(1)
@pytest.mark.parametrize("ended", [TradeStatus.CANCELLED, TradeStatus.FAILED])
def test_a_reorganisation_opens_no_trade_that_had_ended_before(
    funded: Park, ended: TradeStatus
) -> None:
    """The chain settled it all the same, and took that back: it was pending then, and the next run settled it."""
    with funded.db.write() as session:
        session.get_one(VppTradingRecord, sold(funded).seq).status = ended
    acts.settle_one(funded.node, sold(funded))
    funded.mirror.run_until("head")
    funded.node.reorganise(1)
    funded.mirror.run_until("head")
    assert funded.count(SettlementTrade) == 0
    assert status(funded) is ended
    assert plan_batches(funded.chain) == []


@long
@pytest.mark.parametrize("way", rest(["by itself", "co-signed"]))
def test_a_trade_that_the_chain_settled_without_our_batch(funded: Park, way: str) -> None:
    if way == "by itself":
        acts.settle_one(funded.node, sold(funded))
    else:
        acts.cosign(funded.node, ("market", "owner"), [sold(funded)])
    funded.mirror.run_until("head")
    assert status(funded) is TradeStatus.PENDING
    assert plan_batches(funded.chain) == []  # settled already, though not yet for good
    seq = sold(funded).seq
    with pytest.raises(Refused, match="is settled on chain"):
        funded.db.run(lambda session: cancel_trade(session, seq, "entered twice"))
    assert funded.differences() == []
    funded.mirror_final()
    assert status(funded) is TradeStatus.EXECUTED
    assert funded.count(VppSettlementItem) == 0
    assert funded.differences() == []
    funded.node.reorganise(3)  # the settlement among them
    funded.mirror.run_until("head")
    assert status(funded) is TradeStatus.PENDING
    assert len(plan_batches(funded.chain)) == 1
    assert funded.differences() == []


def test_what_others_settled_is_withdrawn_and_nothing_else(funded: Park) -> None:
    plan_batches(funded.chain)
    funded.trade(SOLD, hour=1)
    plan_batches(funded.chain)
    acts.settle_one(funded.node, trade(1, "market", "owner", 1000, 20_000))
    funded.mirror.run_until("head")
    assert plan_batches(funded.chain) == []
    assert [row.state.value for row in funded.rows(VppSettlementBatch)] == ["failed", "planned"]
    told = ("the chain has settled it, in no batch of these books", "nothing")
    assert stories(funded, "trade:1") == [told]


@long
def test_a_trade_that_is_imported_after_the_chain_has_settled_it(park: Park) -> None:
    """Books restored from before its import, and a mirror that was faster than the person with the file."""
    park.node.deposit("market", 100_00)
    acts.cosign(park.node, ("market", "owner"), [trade(1, "market", "owner", 1000, 20_000)])
    acts.settle_one(park.node, trade(2, "market", "owner", 1000, 20_000))
    park.mirror_final()
    park.trade(SOLD, SOLD)
    assert plan_batches(park.chain) == []
    rows = park.rows(VppTradingRecord)
    assert [row.status for row in rows] == [TradeStatus.EXECUTED] * 2
    assert {row.settlement_time for row in rows} != {None}
    assert park.differences() == []


def test_a_trade_with_other_figures_is_not_ours(funded: Park) -> None:
    seq = sold(funded).seq
    acts.settle_one(funded.node, trade(seq, "market", "owner", 1000, 20_100))
    funded.mirror_final()
    assert status(funded) is TradeStatus.PENDING
    report = reconcile(funded.db, funded.node.client, funded.node.deployment)
    (rule,) = [rule for rule in report.rules if not rule.ok]
    assert rule.name == "trades"
    assert rule.differences[0] == f"trade {seq}: price is 2.0000, the chain says 2.01"


def _cancellation(park: Park) -> list[object]:
    batch = park.rows(VppSettlementBatch)[0]
    items = park.rows(VppSettlementItem)
    words = [int(item.word, 16) for item in items if item.batch_id == batch.id]
    nets = [int(net) for net in batch.nets]
    return [1, (batch.accounts, nets, []), words, "nobody decided"]


@long
def test_a_trade_in_a_batch_of_others_beside_theirs(funded: Park) -> None:
    """Another operator nets trades of several plants: it was pending for ever, and nothing said so."""
    theirs = trade(900_001, "market", "buyer", 1000, 10_000)
    packed = others_propose(funded, [sold(funded), theirs])
    funded.mirror_final()
    assert (status(funded), plan_batches(funded.chain)) == (TradeStatus.PENDING, [])
    assert funded.node.finalize(1, packed).status == 1
    funded.mirror.run_until("head")
    assert (status(funded), plan_batches(funded.chain)) == (TradeStatus.PENDING, [])
    assert funded.differences() == []
    funded.mirror_final()
    assert (status(funded), funded.count(VppSettlementBatch)) == (TradeStatus.EXECUTED, 0)
    (row,) = funded.rows(VppTradingRecord)
    ended = funded.rows(SettlementBatch)[0].ended_block
    header = funded.node.client.block(ended)
    assert header is not None and row.settlement_time == header.time
    assert funded.differences() == []
    funded.node.reorganise(3)  # its end among them, and not its proposal
    funded.mirror.run_until("head")
    assert (status(funded), funded.rows(VppTradingRecord)[0].settlement_time) == (
        TradeStatus.PENDING,
        None,
    )
    assert plan_batches(funded.chain) == []  # its number is still taken
    assert funded.differences() == []


@long
def test_a_trade_in_a_batch_of_others_is_executed_when_it_comes_later(park: Park) -> None:
    park.node.deposit("market", 100_00)
    packed = others_propose(
        park,
        [
            trade(1, "market", "owner", 1000, 20_000),
            trade(900_001, "market", "buyer", 1000, 10_000),
        ],
    )
    park.node.finalize(1, packed)
    park.mirror_final()
    park.trade(SOLD)
    assert plan_batches(park.chain) == []
    assert (status(park), park.differences()) == (TradeStatus.EXECUTED, [])


@long
def test_a_trade_of_a_batch_that_was_cancelled_and_that_others_settle(funded: Park) -> None:
    """Until that is final it is cancelled, and `reconcile` says nothing."""
    propose(funded)
    funded.node.act("operator", SETTLEMENT, "cancelBatch", _cancellation(funded))
    funded.mirror_final()
    assert (status(funded), funded.differences()) == (TradeStatus.CANCELLED, [])
    acts.settle_one(funded.node, sold(funded))
    funded.mirror.run_until("head")
    assert (status(funded), funded.differences()) == (TradeStatus.CANCELLED, [])
    funded.mirror_final()
    assert (status(funded), funded.differences()) == (TradeStatus.EXECUTED, [])


@long
@pytest.mark.parametrize("way", rest(["by itself", "co-signed"]))
def test_a_reorganisation_leaves_failed_what_had_failed(funded: Park, way: str) -> None:
    """Others settled it, for good, and the chain took that back all the same: the next run would have settled it."""
    number = sold(funded).seq
    short = VppTradeShortfall(
        trade_id=number, account=MARKET, asset=None, held=0, owed=2_00, reason="a test"
    )
    with funded.db.write() as session:
        session.get_one(VppTradingRecord, number).status = TradeStatus.FAILED
        short.since = short.failed_at = datetime(2020, 1, 1, tzinfo=UTC)
        session.add(short)
    if way == "by itself":
        acts.settle_one(funded.node, sold(funded))
    else:
        acts.cosign(funded.node, ("market", "owner"), [sold(funded)])
    funded.mirror_final()
    assert status(funded) is TradeStatus.EXECUTED
    funded.node.reorganise(3)  # the settlement among them
    funded.mirror.run_until("head")
    assert (status(funded), plan_batches(funded.chain)) == (TradeStatus.FAILED, [])
    assert funded.differences() == []


@long
def test_a_single_trade_that_others_settle_is_not_asked_for_again(funded: Park) -> None:
    """In a batch that its parties sign: the contract refuses it, and the intent was open for ever."""
    number = sold(funded).seq
    key = funded.db.run(lambda session: plan_single(session, funded.chain, number))
    acts.cosign(funded.node, ("market", "owner"), [sold(funded)])
    funded.mirror_final()
    assert submit_planned(funded.chain) == []
    assert funded.intent(key).state.value == "planned"
    assert (status(funded), plan_batches(funded.chain)) == (TradeStatus.EXECUTED, [])
    intent = funded.intent(key)
    assert (intent.state.value, intent.error) == (
        "failed",
        "the chain has settled the trade by another way",
    )
    assert funded.differences() == []


@long
def test_a_single_trade_that_another_operator_settles(funded: Park) -> None:
    """The intent is done, by a transaction of somebody else: `reconcile` differed for ever."""
    stranger = PARTIES["spare"]
    funded.node.act("admin", SETTLEMENT, "grantRole", [OPERATOR_ROLE, stranger])
    number = sold(funded).seq
    key = funded.db.run(lambda session: plan_single(session, funded.chain, number))
    (ours,) = submit_planned(funded.chain)
    funded.mirror.run_until("head")
    call = [0, acts.trade_tuple(sold(funded))]
    theirs = funded.node.transaction("spare", SETTLEMENT, "settleOne", call)
    funded.node.reorganise(1, [(theirs, 0)])
    funded.mirror_final()
    intent = funded.intent(key)
    assert (intent.state.value, intent.tx_hash != ours) == ("confirmed", True)
    assert (status(funded), funded.differences()) == (TradeStatus.EXECUTED, [])
    funded.node.reorganise(3)  # that transaction among them
    funded.mirror.run_until("head")
    intent = funded.intent(key)
    assert (intent.state.value, intent.tx_hash) == ("submitted", ours)  # and not theirs
    funded.chain.sender.rebroadcast()
    funded.mirror_final()
    assert (status(funded), funded.differences()) == (TradeStatus.EXECUTED, [])


@long
def test_what_a_single_trade_will_pay_is_not_promised_again(park: Park) -> None:
    park.fund(MARKET, 3_00)
    park.trade(SOLD, SOLD)
    park.db.run(lambda session: plan_single(session, park.chain, 1))
    made = plan_round(park.chain)
    (out,) = made.left_out
    assert (made.batches, [item.seq for item in out.trades]) == ((), [2])
    assert (out.shortfall.held, out.shortfall.owed) == (1_00, 2_00)
    submit_planned(park.chain)
    park.mirror.run_until("head")
    made = plan_round(park.chain)  # it is paid, and what is left is what the chain says
    assert [item.shortfall.held for item in made.left_out] == [1_00]


@long
def test_a_signed_batch_that_failed_and_that_a_member_sends_again(funded: Park) -> None:
    """The chain took that back: nobody ended the intent any more, and its batch held its trades for ever."""
    propose_signed = replace(funded.chain, settling=SettlementPolicy(Way.COSIGNED, 10**6))
    plan_batches(propose_signed)
    submit_planned(propose_signed)
    (batch,) = funded.rows(VppSettlementBatch)
    everything = [PARTIES["market"], 100_00]
    taken = funded.node.transaction("market", SETTLEMENT, "withdraw", everything)
    funded.node.reorganise(1, [(taken, 0)])
    funded.chain.sender.rebroadcast()  # and now the market has nothing
    funded.mirror.run_until("head")
    funded.node.deposit("market", 2_00)
    call = funded.intent(batch.batch_key)
    again = send(funded.node.client, call.sender_address, call.contract_address, call.call_data)
    assert again.status == 1
    funded.mirror.run_until("head")  # what failed is final, what did it is not
    assert [row.state.value for row in funded.rows(VppSettlementBatch)] == ["finalized"]
    assert funded.intent(call.key).state.value == "submitted"
    assert funded.differences() == []
    funded.node.reorganise(1)
    funded.mirror_final()
    intent = funded.intent(call.key)
    assert (intent.state.value, "InsufficientBalance" in str(intent.error)) == ("failed", True)
    assert [row.state.value for row in funded.rows(VppSettlementBatch)] == ["failed"]
    assert funded.count(VppSettlementItem) == 0
    assert funded.differences() == []


def leave_it_to_them(park: Park) -> None:
    """Let the window pass, and the time that others have to finalise theirs."""
    park.pass_window()
    park.node.later(300)
    park.node.mine(1)
    park.mirror.run_until("head")


@long
def test_a_batch_of_others_before_ours_is_finalised_with_it(funded: Park) -> None:
    """Whoever proposed it is gone: ours waited for ever, and nothing was to be done."""
    others_propose(funded, [trade(900_001, "market", "buyer", 1000, 10_000)])
    funded.mirror.run_until("head")
    propose(funded)
    assert finalize_due(funded.chain) == []  # both windows are open
    funded.pass_window()
    assert finalize_due(funded.chain) == []  # and now it is for them
    leave_it_to_them(funded)
    automine(funded, False)
    assert len(finalize_due(funded.chain)) == 1
    assert finalize_due(funded.chain) == []  # ours is for the block after that
    automine(funded, True)
    funded.node.mine(1)
    funded.mirror.run_until("head")
    assert [row.status.value for row in funded.rows(SettlementBatch)] == ["finalized", "proposed"]
    assert len(finalize_due(funded.chain)) == 1
    assert finalize_due(funded.chain) == []
    funded.mirror_final()
    assert (status(funded), funded.differences()) == (TradeStatus.EXECUTED, [])


@long
def test_a_command_says_why_it_waits_when_the_window_is_over(
    funded: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It said that a window ends, at a time that was past, where a batch of others is theirs to finalise first."""
    funded.node.propose([trade(900_001, "market", "buyer", 1000, 10_000)])
    funded.mirror.run_until("head")
    propose(funded)
    funded.pass_window()
    funded.mirror.run_until("head")
    told: list[str] = []
    monkeypatch.setattr(settle, "WINDOW_SECONDS_MAX", 2.0)
    monkeypatch.setattr(settle, "_SILENT_SECONDS", 0.0)
    settle.finalize_due(flow_of(funded, told.append), wait=True)
    (said,) = told
    assert said.startswith("a window ended at ") and said.endswith("; this waits for up to 2 s")


@long
def test_a_batch_of_others_under_a_key_of_ours_does_not_hold_up(funded: Park) -> None:
    """Another operator used up the key, and is gone: it was taken for ours, which failed, and nobody finalised it."""
    funded.node.act("admin", SETTLEMENT, "grantRole", [OPERATOR_ROLE, PARTIES["spare"]])
    (planned,) = plan_batches(funded.chain)
    theirs = pack([trade(900_001, "market", "buyer", 1000, 10_000)])
    key = bytes.fromhex(planned.key[2:])
    call = [key, 0, list(theirs.accounts), list(theirs.words)]
    funded.node.act("spare", SETTLEMENT, "proposeBatch", call)
    funded.mirror.run_until("head")
    submit_planned(funded.chain)
    assert [row.state.value for row in funded.rows(VppSettlementBatch)] == ["failed"]
    propose(funded)
    leave_it_to_them(funded)
    assert (
        len(finalize_due(funded.chain) + finalize_due(funded.chain)) == 2
    )  # theirs, and ours behind it
    funded.mirror_final()
    assert (status(funded), funded.differences()) == (TradeStatus.EXECUTED, [])


@long
@pytest.mark.mariadb
def test_a_trade_without_a_side_under_a_number_of_others(
    mariadb_db: Database, tmp_path: Path
) -> None:
    """Another program wrote it: the mirror stopped at what others settled under its number, and so did every plan."""
    with running_park(mariadb_db, tmp_path) as park:
        park.fund(MARKET, 100_00)
        park.trade(SOLD, SOLD)
        with park.db.write() as session:
            session.execute(
                text(
                    "SET STATEMENT sql_mode='' FOR UPDATE vpp_trading_records SET trade_type = 'SELL' WHERE id = 1"
                )
            )
        theirs = trade(1, "market", "owner", 1000, 20_000)
        packed = others_propose(park, [theirs, trade(900_001, "market", "buyer", 1000, 10_000)])
        park.node.finalize(1, packed)
        park.mirror_final()
        planned = plan_round(park.chain)
        assert [batch.trades for batch in planned.batches] == [1]
        with park.db.write() as session:
            assert session.execute(
                text("SELECT id, trade_type, status FROM vpp_trading_records ORDER BY id")
            ).all() == [(1, "", "pending"), (2, "sell", "pending")]
            session.execute(text("UPDATE vpp_trading_records SET trade_type = 'sell' WHERE id = 1"))
        plan_round(park.chain)  # now that it can be read
        assert [row.status.value for row in park.rows(VppTradingRecord)] == ["executed", "pending"]
        submit_planned(park.chain)
        park.mirror_final()
        assert park.differences() == []


@long
def test_batches_of_others_cost_no_statement_each(funded: Park) -> None:
    """At every run two for each that was ever proposed: ten seconds where they were five thousand."""
    said: list[str] = []

    def asked(batches: range) -> int:
        for number in batches:
            funded.node.propose([trade(number, "market", "buyer", 1000, 10_000)])
        funded.mirror.run_until("head")
        said.clear()
        with funded.db.read() as session:
            event.listen(
                session.connection(), "before_cursor_execute", lambda *told: said.append(told[2])
            )
            assert forgotten.adopt(session, funded.chain) == []
        return len(said)

    assert asked(range(900_001, 900_003)) == asked(range(900_003, 900_009))
    funded.trade(*[SOLD] * 8)  # others number theirs from 1, too
    assert asked(range(1, 3)) == asked(range(3, 9))


@long
def test_a_batch_of_others_whose_credits_do_not_move_is_not_waited_for_in_silence(
    funded: Park,
) -> None:
    """Ours behind it waited for ever: the job was idle, and a run said that it will be finalised after its window."""
    credits = funded.node.issue(1_000, 1)
    acts.deposit_credits(funded.node, "owner", credits, 1_000)
    funded.node.propose([trade(900_001, "market", "owner", 1000, 10_000)], asset=credits)
    funded.node.act("pauser", CREDIT, "suspend", [credits])
    funded.mirror.run_until("head")
    propose(funded)
    leave_it_to_them(funded)
    before = funded.count(ChainIntent)
    (key,) = [row.batch_key for row in funded.rows(VppSettlementBatch)]
    (theirs,) = {row.key for row in funded.rows(SettlementBatch)} - {key}
    way_out = f"truetonne settle cancel {theirs} --reason WHY lets the batches behind it go on"
    with pytest.raises(Refused, match=f"{theirs} cannot be finalised, and those behind it") as said:
        finalize_due(funded.chain)
    assert (said.value.code, way_out in said.value.message) == ("credits-do-not-move", True)
    assert funded.count(ChainIntent) == before
    happened, to_do = stories(funded, key)[0]
    assert "credits of batch" in happened and "do not move" in happened
    assert to_do.endswith(way_out)
    cancellation = funded.db.run(
        lambda session: plan_cancellation(session, funded.chain, theirs, "they are gone")
    )
    funded.chain.sender.submit(cancellation, SETTLEMENT)
    funded.mirror_final()
    with pytest.raises(Refused, match="is cancelled and no batch of these books"):
        funded.db.run(lambda session: plan_cancellation(session, funded.chain, theirs, "again"))
    assert len(finalize_due(funded.chain)) == 1
    funded.mirror_final()
    (row,) = funded.rows(VppSettlementBatch)
    assert (row.state.value, funded.differences()) == ("finalized", [])


@long
@pytest.mark.parametrize("sent", [False, True])
def test_a_proposal_that_failed_and_that_a_fork_brings_back(funded: Park, sent: bool) -> None:
    """Its trades stood in another batch by then, which the contract refused: neither came to an end."""
    plan_batches(funded.chain)
    submit_planned(funded.chain)
    before = funded.node.height() - 1
    taken = funded.node.transaction("market", SETTLEMENT, "withdraw", [MARKET, 100_00])
    funded.node.reorganise(1, [(taken, 0)])
    funded.chain.sender.rebroadcast()  # and now the market has nothing
    funded.mirror_final()
    assert [row.state.value for row in funded.rows(VppSettlementBatch)] == ["failed"]
    funded.node.deposit("market", 100_00)
    funded.mirror.run_until("head")
    assert len(plan_batches(funded.chain)) == 1
    if sent:
        submit_planned(funded.chain)
        funded.mirror.run_until("head")
    funded.fork_at(before)  # what was final among it
    funded.chain.sender.rebroadcast()
    funded.mirror.run_until("head")
    assert [row.status.value for row in funded.rows(SettlementBatch)] == ["proposed"]
    assert plan_batches(funded.chain) == []
    if sent:  # it holds the trade until its own call has failed
        assert [row.state.value for row in funded.rows(VppSettlementBatch)] == ["failed", "planned"]
        funded.mirror_final()
    submit_planned(funded.chain)
    assert plan_batches(funded.chain) == []
    first, second = funded.rows(VppSettlementBatch)
    assert (first.state.value, second.state.value) == ("proposed", "failed")
    assert funded.differences() == []
    funded.pass_window()
    assert len(finalize_due(funded.chain)) == 1
    funded.mirror_final()
    assert (status(funded), funded.differences()) == (TradeStatus.EXECUTED, [])


@long
def test_a_signed_batch_that_failed_and_that_a_fork_brings_back(funded: Park) -> None:
    """Its trade was planned anew by then: the books called it failed for ever, and the chain had settled it."""
    signing = replace(funded.chain, settling=SettlementPolicy(Way.COSIGNED, 10**6))
    plan_batches(signing)
    submit_planned(signing)
    before = funded.node.height() - 1
    taken = funded.node.transaction("market", SETTLEMENT, "withdraw", [MARKET, 100_00])
    funded.node.reorganise(1, [(taken, 0)])
    signing.sender.rebroadcast()  # and now the market has nothing
    funded.mirror_final()
    funded.node.deposit("market", 100_00)
    funded.mirror.run_until("head")
    assert len(plan_batches(signing)) == 1
    funded.fork_at(before)  # what was final among it
    signing.sender.rebroadcast()
    funded.mirror_final()
    first, second = funded.rows(VppSettlementBatch)
    assert (first.state.value, second.state.value) == ("failed", "planned")
    assert status(funded) == TradeStatus.EXECUTED
    assert funded.differences() == [
        f"settlement batch {first.batch_key}: failed here, and finalized on chain all the same; the next settlement "
        "takes it over"
    ]
    assert plan_batches(signing) == []
    first, second = funded.rows(VppSettlementBatch)
    assert (first.state.value, second.state.value) == ("finalized", "failed")
    assert (status(funded), funded.differences()) == (TradeStatus.EXECUTED, [])
    funded.fork_at(before)  # and all of it is gone again
    funded.mirror_final()
    assert (status(funded), funded.differences()) == (TradeStatus.PENDING, [])


@long
@pytest.mark.parametrize("way", rest([Way.COSIGNED, Way.PROPOSED]))
def test_a_batch_that_failed_and_whose_call_a_fork_brings_back_without_its_nonce(
    funded: Park, way: Way
) -> None:
    """Nobody sent the call again, which the contract would refuse, and nobody ended it."""
    chain = replace(funded.chain, settling=SettlementPolicy(way, 10**6))
    plan_batches(chain)
    submit_planned(chain)
    before = funded.node.height() - 1
    everything = funded.node.transaction("market", SETTLEMENT, "withdraw", [MARKET, 100_00])
    funded.node.reorganise(1, [(everything, 0)])
    chain.sender.rebroadcast()  # and now the market has nothing
    funded.mirror_final()
    (batch,) = funded.rows(VppSettlementBatch)
    key = batch.batch_key
    funded.fork_at(before)
    sender = next(name for name, who in PARTIES.items() if who == funded.intent(key).sender_address)
    nothing = funded.node.transaction(sender, SETTLEMENT, "revokeRole", [MEMBER_ROLE, MARKET])
    funded.node.reorganise(1, [(everything, 0), (nothing, 0)])
    funded.mirror_final()
    assert funded.intent(key).state is IntentState.SUBMITTED
    chain.sender.tend()
    assert funded.intent(key).state is IntentState.PLANNED
    assert finalize_due(chain) == []
    intent = funded.intent(key)
    assert intent.state is IntentState.FAILED
    assert f"not sent: batch {key} has failed; nonce 0 was taken by" in str(intent.error)
    assert (status(funded), funded.differences()) == (TradeStatus.PENDING, [])
    funded.fork_at(before)  # and once more, where its first transaction is mined
    (attempt,) = [row for row in funded.rows(ChainAttempt) if row.intent_key == key]
    funded.node.client.send_raw(attempt.raw_transaction)
    funded.mirror_final()
    assert funded.intent(key).state is IntentState.CONFIRMED
    (batch,) = funded.rows(VppSettlementBatch)
    assert batch.state.value == ("finalized" if way is Way.COSIGNED else "proposed")
    assert funded.differences() == []


@long
def test_a_batch_of_others_with_our_trades_while_ours_is_on_its_way(funded: Park) -> None:
    """It is taken over when ours has failed, and not before: a trade stands in one batch."""
    funded.node.act("admin", SETTLEMENT, "grantRole", [OPERATOR_ROLE, PARTIES["spare"]])
    funded.mirror.run_until("head")
    plan_batches(funded.chain)
    automine(funded, False)
    (ours,) = submit_planned(funded.chain)
    drop(funded, ours)
    automine(funded, True)
    packed, _ = funded.node.propose([sold(funded)], sender="spare")
    funded.mirror.run_until("head")
    assert plan_batches(funded.chain) == []
    assert [row.state.value for row in funded.rows(VppSettlementBatch)] == ["planned"]
    funded.chain.sender.rebroadcast()
    funded.mirror_final()
    assert plan_batches(funded.chain) == []
    assert [row.state.value for row in funded.rows(VppSettlementBatch)] == ["failed", "proposed"]
    funded.pass_window()
    funded.node.finalize(1, packed)
    funded.mirror_final()
    assert (status(funded), funded.differences()) == (TradeStatus.EXECUTED, [])


@long
def test_a_batch_that_was_withdrawn_and_that_others_propose_all_the_same(funded: Park) -> None:
    """An operator had seen its call. Its trades are planned anew meanwhile; reconcile says in a line what follows."""
    (withdrawn,) = plan_batches(funded.chain)
    call = funded.intent(withdrawn.key)
    funded.db.run(lambda session: withdraw(session, withdrawn.key, "a test"))
    plan_batches(funded.chain)
    funded.node.act("admin", SETTLEMENT, "grantRole", [OPERATOR_ROLE, PARTIES["spare"]])
    sent = send(funded.node.client, PARTIES["spare"], call.contract_address, call.call_data)
    assert sent.status == 1
    funded.mirror.run_until("head")
    assert funded.differences() == [
        f"settlement batch {withdrawn.key}: failed here, and proposed on chain all the same; the next settlement "
        "takes it over"
    ]
    assert plan_batches(funded.chain) == []
    assert [row.state.value for row in funded.rows(VppSettlementBatch)] == ["proposed", "failed"]
    assert funded.differences() == []


@long
def test_a_trade_that_was_taken_out_after_others_had_proposed_it(funded: Park) -> None:
    """The books take their batch over, and its end on chain counts for that trade, too, also in a fork."""
    funded.node.propose([trade(1, "market", "owner", 1000, 20_000)])
    funded.db.run(lambda session: cancel_trade(session, 1, "a slip"))
    funded.mirror.run_until("head")
    plan_batches(funded.chain)
    assert [row.state.value for row in funded.rows(VppSettlementBatch)] == ["proposed"]
    assert funded.differences() == []
    funded.pass_window()
    before = funded.node.height()
    assert len(finalize_due(funded.chain)) == 1
    funded.mirror_final()
    assert (status(funded), funded.differences()) == (TradeStatus.EXECUTED, [])
    take_back(funded, before)
    assert status(funded) is TradeStatus.CANCELLED
    funded.chain.sender.rebroadcast()
    funded.mirror_final()
    assert (status(funded), funded.differences()) == (TradeStatus.EXECUTED, [])


@long
def test_a_trade_is_not_taken_out_with_another_that_had_its_number_before(funded: Park) -> None:
    """Restored books give a number to the trade that the chain has under it; why the old one ended stays in the log."""
    funded.db.run(lambda session: cancel_trade(session, 1, "a slip"))
    with (
        funded.db.write() as session
    ):  # as ``numbers.give_back`` leaves it: another trade stands there
        session.get_one(VppTradingRecord, 1).status = TradeStatus.PENDING
        audit.record(session, "trades.renumber", "vpp_trading_records/1", {"id": 2}, {"id": 1})
    assert funded.differences() == []
    before = funded.node.height()
    funded.node.propose([trade(1, "market", "owner", 1000, 20_000)])
    funded.mirror.run_until("head")
    plan_batches(funded.chain)
    funded.pass_window()
    assert len(finalize_due(funded.chain)) == 1
    funded.mirror_final()
    assert (status(funded), funded.differences()) == (TradeStatus.EXECUTED, [])
    take_back(funded, before)
    assert status(funded) is TradeStatus.PENDING


@long
@pytest.mark.parametrize("whole", rest([True, False], False))
def test_a_trade_that_was_taken_out_stays_so_where_a_fork_takes_back_the_end_of_its_batch(
    funded: Park, whole: bool
) -> None:
    """Others proposed it and it was cancelled on chain, too. It is no pending one that the next run would settle."""
    before = funded.node.height()
    packed, _ = funded.node.propose([trade(1, "market", "owner", 1000, 20_000)])
    funded.db.run(lambda session: cancel_trade(session, 1, "a slip"))
    funded.mirror.run_until("head")
    plan_batches(funded.chain)
    if not whole:
        before = funded.node.height()
    funded.node.cancel_batch(1, packed)
    funded.mirror_final()
    assert (status(funded), funded.differences()) == (TradeStatus.CANCELLED, [])
    take_back(funded, before)
    assert status(funded) is TradeStatus.CANCELLED
    assert (plan_batches(funded.chain), submit_planned(funded.chain)) == ([], [])
    funded.mirror_final()
    assert (status(funded), funded.differences()) == (TradeStatus.CANCELLED, [])


def test_a_batch_of_the_same_figures_and_something_else_is_none_of_ours(funded: Park) -> None:
    """Adopted, it would have a trade of energy executed by what credits were paid for."""
    packed = pack([sold(funded)])
    with funded.db.read() as session:
        accounts = Accounts.load(session)
        for asset, ours in ((0, {1}), (5, None)):
            found = forgotten.are_ours(session, accounts, packed.words, packed.accounts, asset)
            assert (None if found is None else set(found)) == ours


def test_the_money_of_a_single_trade_that_others_settled_is_promised_once(funded: Park) -> None:
    """Until that was final it was taken from the escrow a second time, and who had enough was left out."""
    key = funded.db.run(lambda session: plan_single(session, funded.chain, 1))
    funded.node.act("admin", SETTLEMENT, "grantRole", [OPERATOR_ROLE, PARTIES["spare"]])
    one = trade(1, "market", "owner", 1000, 20_000)
    funded.node.act("spare", SETTLEMENT, "settleOne", [0, acts.trade_tuple(one)])
    funded.mirror.run_until("head")
    assert funded.intent(key).state is IntentState.PLANNED
    funded.trade(("sell", 98_000, 10_000), hour=1)  # all that the buyer has left
    plan = plan_round(funded.chain)
    assert ([item.trades for item in plan.batches], plan.left_out) == ([1], ())


@long
def test_the_nonce_of_an_act_that_others_did_is_filled(funded: Park) -> None:
    """Its transaction is in no block and no pool, nobody sends it again, and what comes after it would wait."""
    key = funded.db.run(lambda session: plan_single(session, funded.chain, 1))
    automine(funded, False)
    drop(funded, funded.chain.sender.submit(key, SETTLEMENT))
    automine(funded, True)
    nonce = funded.intent(key).nonce
    funded.node.act("admin", SETTLEMENT, "grantRole", [OPERATOR_ROLE, PARTIES["spare"]])
    one = acts.trade_tuple(trade(1, "market", "owner", 1000, 20_000))
    funded.node.act("spare", SETTLEMENT, "settleOne", [0, one])
    funded.mirror_final()
    assert funded.intent(key).state is IntentState.CONFIRMED
    funded.trade(SOLD, hour=1)
    following = funded.db.run(lambda session: plan_single(session, funded.chain, 2))
    funded.chain.sender.submit(following, SETTLEMENT)
    funded.mirror_final()
    assert funded.intent(following).state is IntentState.SUBMITTED
    funded.chain.sender.tend()
    funded.mirror_final()
    filled = [row.nonce for row in funded.rows(ChainIntent) if row.kind == "fill_nonce"]
    assert (filled, funded.intent(key).nonce) == ([nonce], None)
    assert funded.intent(following).state is IntentState.CONFIRMED
    assert funded.differences() == []


@long
@pytest.mark.parametrize("single", rest([False, True]))
def test_the_last_number_that_there_is_leaves_numbers_for_ours(both: Park, single: bool) -> None:
    """A member had a trade settled under it, for nothing, and one under a number of ours, which was to make room:
    no number was left for that, and no run planned anything any more.
    """
    both.fund(MARKET, 100_00)
    both.trade(SOLD, SOLD)
    theirs = [trade(number, "buyer", "spare", 5, 0) for number in (1, 2**63 - 1)]
    if single:
        for each in theirs:
            acts.settle_one(both.node, each)
    else:
        acts.cosign(both.node, ["buyer", "spare"], theirs)
    both.mirror_final()
    propose(both)
    both.pass_window()
    assert len(finalize_due(both.chain)) == 1
    both.mirror_final()
    assert {row.id: row.status.value for row in both.rows(VppTradingRecord)} == {
        2: "executed",
        3: "executed",
    }
    both.trade(SOLD, hour=3)
    assert [row.id for row in both.rows(VppTradingRecord)] == [2, 3, 4]
    assert both.differences() == []


@long
def test_a_trade_of_ours_under_the_last_number_takes_no_other_s_place(both: Park) -> None:
    """Its parties had it signed so: with that number for its row, no later trade could be imported."""
    both.fund(MARKET, 100_00)
    both.trade(SOLD)
    acts.cosign(both.node, ["market", "owner"], [replace(sold(both), seq=2**63 - 1)])
    both.mirror_final()
    propose(both)
    both.trade(SOLD, hour=3)
    assert [row.id for row in both.rows(VppTradingRecord)] == [1, 2]


@long
def test_a_batch_of_others_with_ours_and_with_a_number_beyond_all_rows(both: Park) -> None:
    """SQLite cannot be asked for such a number: no run planned anything any more."""
    both.fund(MARKET, 100_00)
    both.trade(SOLD, SOLD)
    ours = trade(1, "market", "owner", 1000, 20_000)
    packed = others_propose(both, [ours, trade(2**64 - 1, "buyer", "spare", 5, 0)])
    both.mirror.run_until("head")
    propose(both)
    assert [(row.id, row.status.value) for row in both.rows(VppTradingRecord)] == [
        (1, "pending"),
        (2, "pending"),
    ]
    both.node.finalize(1, packed)
    both.mirror.run_until("head")
    assert len(finalize_due(both.chain)) == 1
    both.mirror_final()
    assert [row.status.value for row in both.rows(VppTradingRecord)] == ["executed", "executed"]
    assert both.differences() == []


def test_a_trade_is_not_said_to_be_cancelled_for_what_another_was(park: Park) -> None:
    """That had its number before; books that were restored gave the number on."""
    park.trade(SOLD, SOLD)
    park.db.run(lambda session: cancel_trade(session, 1, "entered twice"))
    with park.db.write() as session:
        session.get_one(VppTradingRecord, 1).status = TradeStatus.PENDING
        audit.record(session, renumbered.ACTION, "vpp_trading_records/1", {"id": 3}, {"id": 1})
    park.db.run(lambda session: cancel_trade(session, 1, "a wrong price"))
    with park.db.read() as session:
        assert story_of(session, "trade:1").happened == ("cancelled by hand: a wrong price",)


@long
@pytest.mark.parametrize("dry_run", rest([False, True]))
def test_a_trade_that_others_settled_under_another_number_is_not_settled_by_itself(
    funded: Park, dry_run: bool
) -> None:
    """A run gives it that number; the command that settles one trade did not look, and paid it a second time."""
    acts.settle_one(funded.node, replace(sold(funded), seq=7))
    funded.mirror_final()
    before = funded.count(ChainIntent)
    with pytest.raises(Refused, match="trade 1 is settled on chain, under another number") as told:
        given(funded, settle_one, "1", dry_run=dry_run)
    assert (told.value.code, funded.count(ChainIntent)) == ("trade-settled", before)
    assert plan_batches(funded.chain) == []
    assert [(row.id, row.status.value) for row in funded.rows(VppTradingRecord)] == [
        (7, "executed")
    ]
    assert funded.differences() == []


@pytest.mark.parametrize("way", rest([Way.COSIGNED, Way.PROPOSED, None]))
@pytest.mark.parametrize("known", rest([False, True]))
@pytest.mark.parametrize("in_pool", [False, True])
def test_a_call_that_failed_with_a_number_that_its_trade_has_no_longer_and_that_a_fork_brings_back(
    funded: Park, way: Way | None, known: bool, in_pool: bool
) -> None:
    """Others had settled another trade under that number. The books held a trade that they did not have any more, and
    paid it a second time under its new number.
    """
    chain = replace(funded.chain, settling=SettlementPolicy(way or Way.PROPOSED, 10**6))
    funded.node.act("admin", SETTLEMENT, "grantRole", [OPERATOR_ROLE, PARTIES["spare"]])
    automine(funded, False)
    if way is None:
        funded.db.run(lambda session: plan_single(session, chain, 1))
    else:
        plan_batches(chain)
    (ours,) = submit_planned(chain)
    drop(funded, ours)
    automine(funded, True)
    before = funded.node.height()
    if known:
        funded.trade(("sell", 1000, 30_000), hour=4)
    theirs = trade(1, "market", "owner", 1000, 30_000)
    funded.node.act("spare", SETTLEMENT, "settleOne", [0, acts.trade_tuple(theirs)])
    chain.sender.rebroadcast()
    funded.mirror_final()  # now ours has failed
    assert len(plan_batches(chain)) == 1  # under its new number, and not sent
    funded.fork_at(before)
    automine(funded, not in_pool)
    chain.sender.rebroadcast()
    if in_pool:
        plan_batches(chain)
        submit_planned(chain)
        automine(funded, True)
    funded.mirror_final()
    for _ in range(4):
        plan_batches(chain)
        submit_planned(chain)
        funded.mirror.run_until("head")
        funded.node.later(WINDOW_S + 1)
        finalize_due(chain)
        funded.mirror_final()
    assert funded.differences() == []
    done = {row.id: (row.price, row.status.value) for row in funded.rows(VppTradingRecord)}
    assert done.pop(1) == (2, "executed")
    assert list(done.values()) == ([(3, "executed")] if known else [])
    (paid,) = [row.balance for row in funded.rows(SettlementBalance) if row.account == PLANT]
    assert paid == (5_00 if known else 2_00) * funded.chain.settlement.units_per_cent()


@long
@pytest.mark.parametrize("has_ours", [False, True])
def test_a_trade_whose_number_the_chain_has_for_another_is_not_said_to_be_settled(
    funded: Park, has_ours: bool
) -> None:
    """Nobody has settled it, and whoever believes that pays nothing; of a run it gets a number, and is settled."""
    if has_ours:
        funded.trade(("sell", 500, 30_000), hour=4)
    else:
        plan_batches(funded.chain)  # under that number, and not sent: it would be refused
    acts.settle_one(funded.node, trade(1, "market", "owner", 500, 30_000))
    funded.mirror_final()
    with pytest.raises(Refused, match="the chain has another trade under number 1; `tru") as told:
        given(funded, settle_one, "1")
    assert told.value.code == "refused"
    planned = plan_batches(funded.chain)
    if not has_ours:  # it is withdrawn first: nobody's money was asked for
        assert planned == []
        planned = plan_batches(funded.chain)
    assert sum(batch.trades for batch in planned) == 1
    last = 2 + has_ours
    assert {row.id: row.price for row in funded.rows(VppTradingRecord)} == (
        {1: 3, last: 2} if has_ours else {last: 2}
    )


def test_a_trade_whose_number_others_took_is_told_so_and_can_be_taken_out(funded: Park) -> None:
    """It was said to be settled, and to be executed soon; the next run gave it another number, and settled it."""
    acts.settle_one(funded.node, trade(1, "market", "owner", 500, 30_000))
    funded.mirror.run_until("head")
    ((happened, to_do),) = stories(funded, "trade:1")
    assert happened == "the chain has another trade under its number"
    assert to_do.startswith("truetonne settle run gives it a number of its own")
    with funded.db.write() as session:  # which then does not
        session.get_one(VppTradingRecord, 1).market = "nobody's"
    assert "has no settlement account" in stories(funded, "trade:1")[0][0]
    funded.db.run(lambda session: cancel_trade(session, 1, "entered twice"))
    assert plan_batches(funded.chain) == []
    funded.mirror_final()
    assert statuses(funded) == ["cancelled"]
    assert stories(funded, "trade:1") == [("cancelled by hand: entered twice", "nothing")]


@long
def test_a_trade_that_the_chain_has_under_its_number_takes_no_other_s(funded: Park) -> None:
    """Of two that are alike the first would have got the number of the second, and that one be paid a second time."""
    funded.trade(SOLD, hour=1)
    for number in (1, 7):
        acts.settle_one(funded.node, trade(number, "market", "owner", 1000, 20_000))
    funded.mirror.run_until("head")  # not final: both are pending
    assert plan_batches(funded.chain) == []
    assert {row.id: row.trade_time.hour for row in funded.rows(VppTradingRecord)} == {1: 0, 7: 1}
    assert statuses(funded) == ["pending", "pending"]


@long
def test_trades_that_the_chain_has_the_other_way_round_change_places_at_once(funded: Park) -> None:
    """The number that one leaves is free for the other: neither waits for another run."""
    funded.trade(("sell", 500, 30_000), hour=1)
    acts.settle_one(funded.node, trade(1, "market", "owner", 500, 30_000))
    acts.settle_one(funded.node, trade(2, "market", "owner", 1000, 20_000))
    funded.mirror_final()
    plan = plan_round(funded.chain)
    assert (plan.batches, plan.waiting) == ((), ())
    told = {row.id: (row.price, row.status.value) for row in funded.rows(VppTradingRecord)}
    assert told == {1: (3, "executed"), 2: (2, "executed")}


@long
@pytest.mark.parametrize("alone", rest([False, True]))
def test_a_number_whose_trade_is_on_its_way_is_given_to_no_other(both: Park, alone: bool) -> None:
    """Others settled under it what stands here under another number. MariaDB took the number twice, and lost a trade;
    and as it is that one must not be planned: its money has moved.
    """
    funded = both
    funded.node.act("admin", SETTLEMENT, "grantRole", [OPERATOR_ROLE, PARTIES["spare"]])
    funded.fund(MARKET, 100_00)
    funded.trade(SOLD)
    automine(funded, False)
    if alone:
        funded.db.run(lambda session: plan_single(session, funded.chain, 1))
    else:
        plan_batches(funded.chain)
    (ours,) = submit_planned(funded.chain)
    drop(funded, ours)
    automine(funded, True)
    funded.trade(("sell", 1000, 30_000), hour=4)
    theirs = trade(1, "market", "owner", 1000, 30_000)
    funded.node.act("spare", SETTLEMENT, "settleOne", [0, acts.trade_tuple(theirs)])
    funded.mirror.run_until("head")
    assert (plan_batches(funded.chain), funded.count(VppSettlementBatch)) == ([], not alone)
    (waiting,) = plan_round(funded.chain, dry_run=True).waiting
    assert waiting.message == (
        "trade 2 cannot be settled: the chain has settled it under the number of another trade, which is on its way "
        "or stands in a batch; it gets that number when the other one leaves it"
    )
    with pytest.raises(Refused, match="trade 2 is settled on chain, under another number"):
        funded.db.run(lambda session: plan_one(session, funded.chain, 2))
    funded.chain.sender.rebroadcast()
    funded.mirror_final()  # now ours has failed
    plan_batches(funded.chain)
    assert {row.id: (row.price, row.status.value) for row in funded.rows(VppTradingRecord)} == {
        1: (3, "executed"),
        3: (2, "pending"),
    }
    assert funded.differences() == []


@long
def test_a_batch_of_others_under_a_key_of_ours_with_our_trades_for_money_alone(park: Park) -> None:
    """The same trades under the same key have the same root; what they are of no root tells."""
    park.node.act("admin", SETTLEMENT, "grantRole", [OPERATOR_ROLE, PARTIES["spare"]])
    asset = park.node.issue(5_000, 0)
    park.mirror_final()
    park.node.act(
        "owner",
        CREDIT,
        "safeTransferFrom",
        [PLANT, park.node.deployment.settlement.address, asset, 5_000, b""],
    )
    park.fund(MARKET, 100_00)
    park.trade(SOLD)
    with park.db.write() as session:
        session.add(VppTradeCredit(trade_id=1, asset=asset))
    (planned,) = plan_batches(park.chain)
    theirs = pack([sold(park)])
    call = [bytes.fromhex(planned.key[2:]), 0, list(theirs.accounts), list(theirs.words)]
    park.node.act("spare", SETTLEMENT, "proposeBatch", call)
    park.mirror.run_until("head")
    submit_planned(park.chain)
    assert [row.state.value for row in park.rows(VppSettlementBatch)] == ["failed"]
    assert [batch.trades for batch in plan_batches(park.chain)] == [1]
    assert [row.id for row in park.rows(VppTradingRecord)] == [2]  # theirs has the number
    park.node.cancel_batch(1, theirs, sender="spare")
    park.mirror.run_until("head")  # nor is the end of it that of ours
    assert [row.state.value for row in park.rows(VppSettlementBatch)] == ["failed", "planned"]


@long
def test_a_trade_of_ours_that_others_hold_under_a_key_of_ours_is_not_planned_again(
    funded: Park,
) -> None:
    """The contract refused every batch with it as long as theirs was open, with all the others in it."""
    funded.node.act("admin", SETTLEMENT, "grantRole", [OPERATOR_ROLE, PARTIES["spare"]])
    (planned,) = plan_batches(funded.chain)
    theirs = pack([sold(funded), trade(2, "market", "buyer", 1000, 10_000)])
    call = [bytes.fromhex(planned.key[2:]), 0, list(theirs.accounts), list(theirs.words)]
    funded.node.act("spare", SETTLEMENT, "proposeBatch", call)
    funded.mirror.run_until("head")
    submit_planned(funded.chain)
    assert [row.state.value for row in funded.rows(VppSettlementBatch)] == ["failed"]
    funded.trade(
        SOLD, hour=1
    )  # as number 2, which is theirs: it was not what our parties signed under that key
    assert [batch.words for batch in plan_batches(funded.chain)] == [
        pack([trade(3, "market", "owner", 1000, 20_000)]).words
    ]
    funded.node.finalize(1, theirs)
    funded.mirror_final()
    assert [row.status.value for row in funded.rows(VppTradingRecord)] == ["executed", "pending"]
    assert funded.differences() == []


@long
def test_a_trade_that_comes_late_is_executed_when_its_block_is_final(park: Park) -> None:
    park.fund(MARKET, 100_00)
    acts.settle_one(park.node, trade(1, "market", "owner", 1000, 20_000))
    park.mirror.run_until("head")
    park.trade(SOLD)
    assert (plan_batches(park.chain), status(park)) == ([], TradeStatus.PENDING)
    for act in (
        lambda session: plan_single(session, park.chain, 1),
        lambda session: cancel_trade(session, 1, "a slip"),
    ):
        with pytest.raises(Refused, match="trade 1 is settled on chain, though in no batch"):
            park.db.run(act)
    park.mirror_final()
    assert (plan_batches(park.chain), status(park)) == ([], TradeStatus.EXECUTED)


@long
def test_a_trade_that_is_over_keeps_its_number_where_nobody_needs_it(park: Park) -> None:
    """Others settled one of theirs under it: no trade of ours is that one, and `reconcile` told of it for ever."""
    park.trade(SOLD, SOLD, SOLD)
    for number in (1, 2):
        park.db.run(partial(cancel_trade, number=number, reason="a slip"))
    acts.settle_one(park.node, trade(1, "buyer", "spare", 5, 0))
    theirs = trade(2, "buyer", "market", 5, 0)  # whose market is ours, too
    acts.cosign(park.node, ("buyer", "market"), [theirs])
    park.mirror_final()
    assert park.differences() == []
    plan_round(park.chain)
    assert [row.id for row in park.rows(VppTradingRecord)] == [1, 2, 3]
    assert park.differences() == []


@long
@pytest.mark.parametrize("way", rest(["by itself", "signed"]))
def test_our_figures_with_an_account_that_the_books_have_forgotten_are_told(
    park: Park, way: str
) -> None:
    """The money of a side of ours has moved, as the trade of the books says it: a stranger's has other figures."""
    park.trade(SOLD)
    _, milli, price_e4 = SOLD
    park.node.deposit("spare", 100_00)
    ours = trade(1, "spare", "owner", milli, price_e4)
    if way == "signed":
        acts.cosign(park.node, ("spare", "owner"), [ours])
    else:
        acts.settle_one(park.node, ours)
    park.mirror_final()
    (said,) = park.differences()
    assert said.startswith("trade 1: buyer is ") and PARTIES["spare"] in said


@long
@pytest.mark.parametrize("ended", rest(["executed", "cancelled"]))
def test_a_trade_that_had_failed_ends_with_the_batch_that_others_proposed(
    funded: Park, ended: str
) -> None:
    """The books took that batch over; a cancelled one left it failed, and reconcile named it all along."""
    packed, _ = funded.node.propose([sold(funded)])
    now = datetime.now(UTC)
    with funded.db.write() as session:
        session.get_one(VppTradingRecord, 1).status = TradeStatus.FAILED
        session.add(
            VppTradeShortfall(
                trade_id=1, account=MARKET, held=0, owed=1, since=now, failed_at=now, reason="poor"
            )
        )
    funded.trade(SOLD, hour=1)
    funded.mirror.run_until("head")
    plan_round(funded.chain)
    assert funded.rows(VppSettlementBatch)[0].state.value == "proposed"
    assert (statuses(funded), funded.differences()) == (["failed", "pending"], [])
    before = funded.node.height()
    if ended == "executed":
        funded.node.finalize(1, packed)
    else:
        funded.node.cancel_batch(1, packed)
    funded.mirror.run_until("head")
    assert (statuses(funded), funded.differences()) == (["failed", "pending"], [])
    funded.mirror_final()
    assert (statuses(funded), funded.differences()) == ([ended, "pending"], [])
    take_back(funded, before)
    assert (statuses(funded), funded.differences()) == (["failed", "pending"], [])


@long
def test_a_dispute_is_over_at_the_moment_that_it_names(funded: Park) -> None:
    propose(funded)
    acts.dispute(funded.node, "market", 1, trade(1, "market", "owner", 1000, 20_000))
    funded.mirror.run_until("head")
    with funded.db.read() as session:
        until = stuck.disputed_until(session, session.get_one(SettlementBatch, 1))
        assert until is not None
        stuck.refuse_timed_out(session, 1, until - timedelta(seconds=1))
        with pytest.raises(Refused, match="timed out"):  # as the contract has it
            stuck.refuse_timed_out(session, 1, until)
