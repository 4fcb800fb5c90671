"""A trade that nobody can pay: seen beforehand, said with names and money, taken out, tried again."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import event, select, update

from api.status import queries
from cli import settle
from cli.checks import Verdict
from cli.doctor_database import _settlement
from cli.flow import Flow
from cli.settle_preview import as_json, dry_json, dry_lines, lines
from ledger.chain.contracts.events import SETTLEMENT
from ledger.chain.node.client import ChainClient
from ledger.errors import BadInput, DependencyDown, NotFound, Refused, TruetonneError
from ledger.jobs import work
from ledger.jobs.work import Tools
from ledger.models import (
    AuditLog,
    ChainIntent,
    VppSettlementBatch,
    VppSettlementItem,
    VppTradeShortfall,
    VppTradingRecord,
)
from ledger.models.sending import IntentState
from ledger.models.trading import TradeStatus
from ledger.settings import load_settings
from ledger.settings.settling import SettlementPolicy
from ledger.settlement import confirm, escrow, planning, shortfalls
from ledger.settlement.batches import plan_batches, plan_round, submit_planned
from ledger.settlement.cancel import cancel_trade
from ledger.settlement.finding import find_batch, written_out
from ledger.settlement.money import explained_deposit
from ledger.settlement.outlook import market_to_retry, preview
from ledger.settlement.pending import Scope
from tests.support.chain import PARTIES, WINDOW_S, wait_for
from tests.support.forms import long
from tests.support.park import MARKET, Park, states, statuses
from tests.support.proxy import LyingNode, NodeError
from tests.support.sending import opened

SHORT_ON_MARIADB = ("test_a_preview_says_who_cannot_pay_and_keeps_nothing",)

PLANT, BUYER = PARTIES["owner"], PARTIES["market"]
NOT_NAMED = "name what to try again.*; `truetonne settle status` shows what failed$"


def test_a_preview_says_who_cannot_pay_and_keeps_nothing(both: Park) -> None:
    both.mirror.run_until("head")
    both.fund(BUYER, 150)
    both.trade(("sell", 1000, 20_000), ("buy", 1000, 1_000))  # 2.00 to the plant, 0.10 back
    with pytest.raises(NotFound, match=r"no market 'day-ahaed' \(did you mean 'day-ahead'"):
        preview(both.chain, "day-ahaed")  # of which nothing would seem to be pending
    found = preview(both.chain, MARKET)
    assert (found.symbol, found.names) == ("tEUR", {PLANT: "plant", BUYER: MARKET})
    assert found.batches == ()
    (out,) = found.left_out
    assert out.trades == (1, 2)
    assert out.missing.sentence() == (
        "day-ahead has 1.50 tEUR in escrow and owes 1.90 tEUR: truetonne settle deposit day-ahead 0.40"
    )
    assert (states(both), both.count(VppSettlementItem)) == ([], 0)
    assert both.count(VppTradeShortfall) == 0
    both.fund(BUYER, 40)
    found = preview(both.chain)
    (batch,) = found.batches
    assert (batch.market, batch.trades, batch.stored) == (MARKET, 2, False)
    assert batch.nets == {PLANT: 190, BUYER: -190}
    assert batch.escrow == {PLANT: 0, BUYER: 190}
    assert (batch.missing, found.left_out, batch.cost.refusal) == ((), (), None)
    with held_trades(both):  # by a job that plans: it was "nothing is pending"
        assert len(preview(both.chain).batches) == 1


@long
def test_a_preview_says_what_a_refusal_means_and_what_to_do(park: Park) -> None:
    """It was ``would be refused: EnforcedPause()``, which the run alone said in words."""
    park.mirror.run_until("head")
    park.fund(BUYER, 200)
    park.trade(("sell", 1000, 10_000))
    park.node.act("pauser", SETTLEMENT, "pause", [])
    found = preview(park.chain)
    meant = "The contract is paused. Wait until the administrator unpauses it, and send it again."
    assert next(iter(lines(found))) == f"batch 1: would be refused: {meant} (EnforcedPause())"
    (refused,) = dry_json(found)["refused"]
    assert refused["said"] == f"{meant} (EnforcedPause())"
    assert as_json(found)["batches"][0]["refusal"] == "EnforcedPause()"  # for programs


@contextmanager
def held_trades(park: Park) -> Iterator[None]:
    """Hold the rows of all trades for half a second, as a run that plans does."""
    held = threading.Event()

    def hold() -> None:
        with park.db.write() as session:
            session.scalars(select(VppTradingRecord).with_for_update()).all()
            held.set()
            time.sleep(0.5)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(60)
    try:
        yield
    finally:
        holder.join()


@long
def test_a_node_that_cannot_try_a_batch_is_waited_for(park: Park) -> None:
    park.fund(BUYER, 100_00)
    park.trade(("sell", 1000, 20_000))

    def tamper(method: str, _: list[Any], result: Any) -> Any:
        return NodeError("header not found") if method == "eth_estimateGas" else result

    with LyingNode(park.node.rpc_url) as liar:
        liar.tamper = tamper
        with closing(ChainClient(liar.rpc_url)) as client:
            chain = replace(park.chain, client=client)
            with pytest.raises(DependencyDown, match="the node cannot try the batch: header not"):
                preview(chain)
            liar.tamper = lambda method, _, result: None if method == "eth_estimateGas" else result
            with pytest.raises(DependencyDown, match="eth_estimateGas with 'None', which is no"):
                preview(chain)


@long
def test_money_is_promised_once(park: Park, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second of three batches is too dear for what the first leaves; the third is not."""
    monkeypatch.setattr("ledger.settlement.netting.TRADES_PER_BATCH_MAX", 1)
    park.mirror.run_until("head")
    park.fund(BUYER, 100)
    park.trade(("sell", 1000, 8_000), ("sell", 1000, 3_000), ("sell", 1000, 2_000))
    found = preview(park.chain)
    assert [item.escrow[BUYER] for item in found.batches] == [100, 20]
    (out,) = found.left_out
    assert (out.trades, out.missing.balance, out.missing.owed) == ((2,), 20, 30)
    assert len(plan_batches(park.chain)) == 2
    assert plan_batches(park.chain) == []  # what is promised is not promised again
    assert [item.stored for item in preview(park.chain).batches] == [True] * 2
    first, _ = submit_planned(park.chain)
    assert states(park) == ["planned", "planned"]
    # What was foreseen for the first is its proposal, and its finalisation: no transaction is under 21,000 gas.
    cost, used = found.batches[0].cost, wait_for(park.node.client, first).gas_used
    assert cost.gas is not None and cost.finalize_gas > 21_000
    assert abs(cost.gas - cost.finalize_gas - used) < 21_000


def flow_of(park: Park) -> Flow:
    """Return what a command has on the local network, where it mines for itself what makes a block final."""
    settings = load_settings(
        None, {"TRUETONNE_HOME": str(park.folder), "TRUETONNE_NETWORK": "local"}
    )
    return Flow(settings, park.chain, park.mirror)


@long
def test_a_dry_run_counts_what_would_be_settled(park: Park) -> None:
    """By the preview: what nobody can pay, now or when it was planned, is no trade that would be."""
    park.mirror.run_until("head")
    park.fund(BUYER, 100)
    park.trade(("sell", 1000, 8_000))
    plan_batches(park.chain)
    escrow.withdraw(park.chain, BUYER, BUYER, 70)  # 0.30 is left; 0.80 was planned
    park.mirror.run_until("head")
    park.trade(("sell", 1000, 2_000), hour=1)
    found = dry_json(preview(park.chain))
    assert found["trades"] == {}
    (refused,), (out,) = found["refused"], found["left_out"]
    assert (refused["market"], refused["trades"], out["trades"]) == (MARKET, 1, [2])
    assert refused["said"].startswith("day-ahead has 0.30 tEUR in escrow and owes 0.80 tEUR: ")
    park.fund(BUYER, 90)
    found = dry_json(preview(park.chain))
    assert found == {
        "trades": {MARKET: 2},
        "left_out": [],
        "debtors": [],
        "refused": [],
        "waiting": [],
    }


@long
def test_who_lacks_money_in_many_hours_is_told_once_and_tried_again_together(park: Park) -> None:
    """1.00 is there, 0.80 + 0.30 + 0.40 are owed hour by hour: 0.20 is left for 0.70, so that 0.50 is missing."""
    park = opened(park, settling=SettlementPolicy(debtor_hours=1))
    park.mirror.run_until("head")
    park.fund(BUYER, 100)
    park.trade(("sell", 1000, 8_000), ("sell", 1000, 3_000), ("sell", 1000, 4_000))
    said = (
        "day-ahead has 0.20 tEUR in escrow and owes 0.70 tEUR in 2 batches: "
        "truetonne settle deposit day-ahead 0.50"
    )
    outlook = preview(park.chain)
    assert list(lines(outlook))[1:3] == [
        f"cannot pay: {said}",
        "left out for day-ahead: 2 trades (2, 3)",
    ]
    (debtor,) = as_json(outlook)["debtors"]
    assert (debtor["balance"], debtor["owed"], debtor["missing"], debtor["batches"]) == (
        Decimal("0.20"),
        Decimal("0.70"),
        Decimal("0.50"),
        2,
    )
    assert list(dry_lines(dry_json(outlook)))[1:] == [f"left out, 2 trades: {said}"]
    document = settle._settle(flow_of(park), no_wait=False)
    assert [item["said"] for item in document["debtors"]] == [said]
    assert [item["trades"] for item in document["left_out"]] == [[2], [3]]
    with park.db.write() as session:
        long_ago = datetime.now(UTC) - timedelta(hours=2)
        session.execute(update(VppTradeShortfall).values(since=long_ago))
    assert plan_round(park.chain).failed == (2, 3)
    printed: list[Any] = []
    run: Any = SimpleNamespace(
        flow=lambda: nullcontext(flow_of(park)),
        output=SimpleNamespace(result=lambda *given, **_: printed.extend(given)),
    )
    for what, market, why in (
        (["trade:2", "trade:1"], None, "trade 1 is executed; only a failed one"),
        (["trade:2", "trade:9"], None, "there is no trade 9"),
        (["trade:2"], MARKET, NOT_NAMED),
        ([], None, NOT_NAMED),
        (None, "other", r"no market 'other' \(there is: day-ahead\)"),
    ):
        with pytest.raises(TruetonneError, match=why):
            settle.retry_settlement(run, what, market)
        assert statuses(park) == ["executed", "failed", "failed"]  # all of them, or none
    assert settle.retry_settlement(run, ["trade:3", "trade:2"], dry_run=True) == 0
    assert printed == [
        {"market": MARKET, "markets": [MARKET]},
        f"would try again on market {MARKET}",
    ]
    assert statuses(park) == ["executed", "failed", "failed"]
    park.fund(BUYER, 50)
    assert settle.retry_settlement(run, None, MARKET) == 0
    assert statuses(park) == ["executed"] * 3
    assert park.differences() == []


def test_a_debtor_without_funds_is_an_alarm_and_its_failed_trades_are_told(
    park: Park, caplog: pytest.LogCaptureFixture
) -> None:
    """Both were told nowhere: the job was idle for three days, and then the trades had failed."""
    park = opened(park, settling=SettlementPolicy(debtor_hours=1))
    park.mirror.run_until("head")
    park.trade(("sell", 1000, 8_000), ("sell", 1000, 3_000))
    tools = Tools(park.chain, load_settings(None, {}))

    def alarms() -> list[str]:
        with park.db.read() as session:
            found = queries.alarms(session, park.chain.deployment.network)
        assert (_settlement(park.db).verdict is Verdict.OK) == (found == [])
        return found

    def waits_since(ago: timedelta) -> datetime:
        since = datetime.now(UTC) - ago
        with park.db.write() as session:
            session.execute(update(VppTradeShortfall).values(since=since))
        return since

    assert work.settle(tools) is None
    assert alarms() == []  # what an earlier batch brings may be what lacks
    since = waits_since(timedelta(minutes=11))
    assert alarms() == [
        f"day-ahead lacks funds in escrow: 2 trades wait for it, since {since:%Y-%m-%d %H:%M:%S} UTC at the earliest, "
        "and will fail; `truetonne settle preview` says what to pay in"
    ]
    assert "`truetonne settle preview`" in _settlement(park.db).mend
    waits_since(timedelta(hours=2))
    said = (
        "2 trades have failed for want of funds; truetonne settle status trade:1 says whose, and truetonne settle "
        "retry tries again"
    )
    assert work.settle(tools) == said
    assert f"job settle: {said}" in caplog.text
    assert (statuses(park), alarms()) == (["failed"] * 2, [])
    assert work.settle(tools) is None


@long
def test_a_trade_that_waits_for_something_else_by_now_is_no_alarm_for_want_of_funds(
    park: Park,
) -> None:
    """Whoever paid in for it saw it wait all the same: its figures were another's to mend."""
    park = opened(park, settling=SettlementPolicy())
    park.mirror.run_until("head")
    park.trade(("sell", 1000, 8_000), ("sell", 1000, 3_000))
    plan_round(park.chain)
    assert park.count(VppTradeShortfall) == 2
    with park.db.write() as session:
        long_ago = datetime.now(UTC) - timedelta(minutes=11)
        session.execute(update(VppTradeShortfall).values(since=long_ago))
        total = session.get_one(VppTradingRecord, 1)
        kept, total.total_value = total.total_value, Decimal(9)
    plan_round(park.chain)
    assert [row.trade_id for row in park.rows(VppTradeShortfall)] == [2]
    with park.db.write() as session:
        (said,) = shortfalls.alarms(session)
        assert ": 1 trade waits for it" in said
        session.get_one(VppTradingRecord, 1).total_value = kept
    plan_round(park.chain)  # what it lacks since is counted from now
    assert [row.since > long_ago for row in park.rows(VppTradeShortfall)] == [True, False]
    with park.db.write() as session:  # one that was settled otherwise meanwhile
        session.execute(update(VppTradeShortfall).values(since=long_ago))
        session.get_one(VppTradingRecord, 2).status = TradeStatus.EXECUTED
        session.flush()
        (said,) = shortfalls.alarms(session)
        assert ": 1 trade waits for it" in said


@long
def test_a_run_settles_what_its_own_batches_bring_the_money_for(park: Park) -> None:
    """The plant has nothing, buys for 0.50 in the first hour and 0.40 in the third, and sells for 0.80 in the second.

    The market has 0.80. So the second hour goes first, then the first; the plant has 0.30 then, and owes 0.40.
    """
    park = opened(park, settling=SettlementPolicy())
    park.mirror.run_until("head")
    park.fund(BUYER, 80)
    park.trade(("buy", 1000, 5_000), ("sell", 1000, 8_000), ("buy", 1000, 4_000))
    document = settle._settle(flow_of(park), no_wait=False)
    rows = document["batches"]
    assert statuses(park) == ["executed", "executed", "pending"]
    assert [row["state"] for row in rows] == ["finalized"] * 2
    assert [row["batch_key"] for row in rows] == document["planned"]
    (debtor,) = document["debtors"]
    assert debtor["said"] == (
        "plant has 0.30 tEUR in escrow and owes 0.40 tEUR: truetonne settle deposit plant 0.10"
    )
    assert ([item["trades"] for item in document["left_out"]], document["pending"]) == (
        [[3]],
        {MARKET: 1},
    )
    assert park.differences() == []


@long
def test_a_run_names_what_an_earlier_one_began(park: Park) -> None:
    """One that was killed after planning, and one that did not wait for the window."""
    park.mirror.run_until("head")
    park.fund(BUYER, 100)
    park.trade(("sell", 1000, 8_000))
    (batch,) = plan_batches(park.chain)
    document = settle._settle(flow_of(park), no_wait=False)
    rows = document["batches"]
    assert (document["planned"], document["resumed"]) == ([], [batch.key])
    assert [(row["batch_key"], row["state"]) for row in rows] == [(batch.key, "proposed")]
    park.node.later(WINDOW_S + 1)
    park.mirror_final()
    document = settle._settle(flow_of(park), no_wait=False)
    rows = document["batches"]
    assert (document["planned"], document["resumed"]) == ([], [])
    assert [(row["batch_key"], row["state"]) for row in rows] == [(batch.key, "finalized")]
    loaded: list[str] = []

    def note(row: VppSettlementBatch, _context: object) -> None:
        loaded.append(row.batch_key)

    event.listen(VppSettlementBatch, "load", note)
    try:
        document = settle._settle(flow_of(park), no_wait=False)
    finally:
        event.remove(VppSettlementBatch, "load", note)
    assert document["batches"] == []
    assert loaded == []  # what has ended is more each day


@long
def test_a_run_waits_for_what_another_has_sent(park: Park, monkeypatch: pytest.MonkeyPatch) -> None:
    """An earlier one that did not wait, the jobs, or one beside it: it is final when this one ends.

    For the window of an hour it does not wait, not even for the minute that a short one is waited for.
    """
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: pytest.fail("it waits"))
    monkeypatch.setattr(settle, "time", clock)
    park.mirror.run_until("head")
    park.fund(BUYER, 100)
    park.trade(("sell", 1000, 8_000))
    first = settle._settle(flow_of(park), no_wait=True)
    rows = first["batches"]
    assert [row["state"] for row in rows] == ["planned"]
    document = settle._settle(flow_of(park), no_wait=False)
    rows = document["batches"]
    assert (document["planned"], document["resumed"]) == ([], [])
    assert [(row["batch_key"], row["state"]) for row in rows] == [(first["planned"][0], "proposed")]
    (intent,) = [item for item in park.rows(ChainIntent) if item.key == first["planned"][0]]
    assert intent.state is IntentState.CONFIRMED


@long
def test_a_trade_that_waits_alone_keeps_a_run_from_nothing(park: Park) -> None:
    """What is due is finalised, and what waits is named in the preview, the dry run and the run."""
    park.mirror.run_until("head")
    park.fund(BUYER, 100)
    park.trade(("sell", 1000, 8_000))
    plan_batches(park.chain)
    submit_planned(park.chain)
    park.mirror_final()
    park.node.later(WINDOW_S + 1)
    park.mirror_final()
    park.trade(("sell", 1000, 1_000), hour=1)
    with park.db.write() as session:
        session.get_one(VppTradingRecord, 2).total_value = Decimal(5)
    outlook = preview(park.chain)
    (waiting,) = as_json(outlook)["waiting"]
    assert waiting["trades"] == [2] and waiting["said"].startswith("its total_value 5.00 is not")
    assert list(lines(outlook))[-1] == "nothing else is pending"
    assert dry_json(outlook)["waiting"] == [waiting]
    document = settle._settle(flow_of(park), no_wait=False)
    rows = document["batches"]
    assert document["waiting"] == [waiting]
    assert [row["state"] for row in rows] == ["finalized"]
    assert statuses(park) == ["executed", "pending"]


@long
def test_a_run_names_what_it_could_not_send_of_an_earlier_one(park: Park) -> None:
    park.mirror.run_until("head")
    park.fund(BUYER, 100)
    park.trade(("sell", 1000, 8_000))
    (batch,) = plan_batches(park.chain)
    escrow.withdraw(park.chain, BUYER, BUYER, 70)
    document = settle._settle(flow_of(park), no_wait=True)
    rows = document["batches"]
    assert document["resumed"] == [batch.key]
    assert [(row["batch_key"], row["state"]) for row in rows] == [(batch.key, "failed")]


@long
def test_a_market_rests_no_longer_though_the_clock_was_set_back(park: Park) -> None:
    park.mirror.run_until("head")
    park.fund(BUYER, 1000)
    park.trade(("sell", 1000, 8_000))
    (batch,) = plan_batches(park.chain)
    park.db.run(lambda session: confirm.fail(session, batch.key, "refused"))
    hour = timedelta(hours=1)
    with pytest.raises(Refused, match="1 pending trade of day-ahead waits until") as rests:
        plan_batches(park.chain, Scope(hour))
    assert rests.value.code == "market-rests"
    with park.db.write() as session:
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        session.execute(update(VppSettlementBatch).values(updated_at=tomorrow))
    assert len(plan_batches(park.chain, Scope(hour))) == 1


@long
def test_money_that_goes_between_planning_and_sending(both: Park) -> None:
    """The contract has the last word; what it refuses is planned anew, without who cannot pay."""
    both.mirror.run_until("head")
    both.trade(("sell", 1000, 50_000), ("sell", 1000, 500))  # 5.00, and 0.05
    both.fund(BUYER, 505)
    plan_batches(both.chain)
    escrow.withdraw(both.chain, BUYER, BUYER, 500)
    submit_planned(both.chain)
    (batch,) = both.rows(VppSettlementBatch)
    assert batch.error is not None
    assert batch.error.startswith(
        "day-ahead has 0.05 tEUR in escrow and owes 5.05 tEUR: "
        "truetonne settle deposit day-ahead 5.00 (VppSettlement refuses proposeBatch: Insufficient"
    )
    for name in (batch.batch_key, str(batch.id)):
        with pytest.raises(Refused, match=r"truetonne settle deposit day-ahead 5\.00"):
            market_to_retry(both.chain, name)
    assert states(both) == ["failed"]
    assert (
        plan_batches(both.chain, Scope(timedelta(hours=1))) == []
    )  # it need not rest, but nobody pays
    short = both.rows(VppTradeShortfall)
    assert [(row.trade_id, row.account, row.held, row.owed) for row in short] == [
        (1, BUYER, 5, 505),
        (2, BUYER, 5, 505),
    ]
    dear, _ = (row.id for row in both.rows(VppTradingRecord))
    both.db.run(lambda session: cancel_trade(session, dear, " entered twice "))
    assert market_to_retry(both.chain, batch.batch_key) == MARKET
    plan_round(both.chain, Scope(market=MARKET))
    assert len(submit_planned(both.chain)) == 1
    assert (states(both), statuses(both)) == (["failed", "planned"], ["cancelled", "pending"])
    assert [row.trade_id for row in both.rows(VppTradeShortfall)] == [1]
    with both.db.read() as session:
        (entry,) = session.scalars(select(AuditLog).filter_by(action="trades.cancel"))
    assert entry.resource == f"vpp_trading_records/{dear}"
    assert entry.new_values == {"status": "cancelled", "reason": "entered twice"}
    other = both.rows(VppSettlementBatch)[1]
    shown = f"only a failed one is tried again: see `truetonne settle status {other.batch_key}`$"
    with pytest.raises(Refused, match=shown):
        market_to_retry(both.chain, str(other.id))
    for name in ("77", "0x0123", "0x" + "ab" * 32, "", "x"):
        with pytest.raises(NotFound, match="there is no settlement batch"):
            market_to_retry(both.chain, name)


def test_the_begin_of_a_key_names_a_batch(both: Park, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API takes whole keys alone: an address of a page means the same for ever."""
    keys = iter(["0xabcdef01" + "1" * 56, "0xabcdef01" + "2" * 56])
    monkeypatch.setattr(planning, "new_key", lambda: next(keys))
    monkeypatch.setattr("ledger.settlement.netting.TRADES_PER_BATCH_MAX", 1)
    both.fund(BUYER, 200)
    both.trade(("sell", 1000, 8_000), ("sell", 1000, 2_000))
    assert len(plan_batches(both.chain)) == 2
    with both.db.read() as session:
        first, second = session.scalars(select(VppSettlementBatch).order_by("id"))
        for text in ("0xabcdef011", "0xABCDEF011", first.batch_key[:-1], first.batch_key):
            assert find_batch(session, text) is first
        assert find_batch(session, "0xabcdef012") is second
        assert written_out(session, "0xabcdef012") == second.batch_key
        assert [written_out(session, text) for text in ("2", "x")] == ["2", "x"]
        with pytest.raises(NotFound, match="there is no settlement batch '0xabcdef011'"):
            find_batch(session, "0xabcdef011", shortened=False)
        for text in ("0xabcdef0", "0xabcdef013", "abcdef011", first.batch_key + "1"):
            with pytest.raises(NotFound, match="there is no settlement batch"):
                find_batch(session, text)
        said = f"begin with 0xabcdef01: {first.batch_key}, {second.batch_key}; write more of it"
        with pytest.raises(BadInput, match=said):
            find_batch(session, "0xabcdef01")


@long
def test_only_one_market_is_planned_when_one_is_named(park: Park) -> None:
    park.fund(BUYER, 5)
    park.trade(("sell", 1000, 500))
    assert plan_round(park.chain, Scope(market="other")).batches == ()
    assert len(plan_round(park.chain, Scope(market=MARKET)).batches) == 1


@long
def test_what_cannot_be_cancelled(both: Park) -> None:
    both.fund(BUYER, 10)
    both.trade(("sell", 1000, 500), ("sell", 1000, 500))
    first, second = (row.id for row in both.rows(VppTradingRecord))
    cancel = cancel_trade
    for reason in (
        "",
        "  ",
        "x" * 1001,
        "\u65e5" * 334,  # bytes, as of a batch: three for each of these
        "\udcff",  # a byte of a command line that is no text
    ):
        with pytest.raises(BadInput, match=r"needs a reason|the reason is not Unicode text"):
            both.db.run(lambda session, reason=reason: cancel(session, first, reason))
    with pytest.raises(NotFound, match="there is no trade 99"):
        both.db.run(lambda session: cancel(session, 99, "x"))
    both.db.run(lambda session: cancel(session, first, "x"))
    with pytest.raises(Refused, match=f"trade {first} is cancelled"):
        both.db.run(lambda session: cancel(session, first, "x"))
    plan_batches(both.chain)
    with pytest.raises(Refused, match=f"trade {second} stands in the settlement batch 0x"):
        both.db.run(lambda session: cancel(session, second, "x"))
    assert statuses(both) == ["cancelled", "pending"]
    actions = [entry.action for entry in both.rows(AuditLog)]
    assert actions == ["site.apply", "trades.import", "trades.cancel"]


def test_a_token_that_refuses_is_understood(park: Park) -> None:
    escrow.mint_test_currency(park.chain, BUYER, 150)
    kept = park.count(ChainIntent)
    with pytest.raises(Refused, match=r"has 1.50 tEUR outside the escrow .* needs 1000.00"):
        escrow.deposit(park.chain, BUYER, BUYER, 100_000, dry_run=True)
    assert escrow.deposit(park.chain, BUYER, BUYER, 150, dry_run=True) == []
    assert park.count(ChainIntent) == kept
    with pytest.raises(Refused) as error:
        escrow.deposit(park.chain, BUYER, BUYER, 100_000)
    said, _, reason = error.value.message.partition(" (VppSettlement refuses deposit: ")
    assert said == (
        f"day-ahead has 1.50 tEUR outside the escrow (account {BUYER}) and needs 1000.00 tEUR to pay that in; "
        "on this local chain --mint makes test money first: truetonne settle deposit day-ahead 1000.00 --mint"
    )
    assert reason.startswith(f"ERC20InsufficientBalance(sender={BUYER}, balance=")
    assert error.value.code == "contract-refused"
    # Elsewhere no money is made, and credits never are.
    elsewhere = replace(park.chain, deployment=replace(park.node.deployment, chain_id=1))
    assert explained_deposit(elsewhere, reason).startswith(
        f"day-ahead has 1.50 tEUR outside the escrow (account {BUYER}) and needs 1000.00 tEUR to pay that in; "
        "send it there first ("
    )
    short = f"ERC1155InsufficientBalance(sender={BUYER}, balance=1500, needed=2001, tokenId=7)"
    assert explained_deposit(park.chain, short) == (
        f"day-ahead has 1.500 t of credit batch 7 outside the escrow (account {BUYER}) and needs 2.001 t of credit "
        f"batch 7 to pay that in; credits are transferred by truetonne credits transfer ({short})"
    )


@long
def test_a_token_that_answers_with_false_is_refused_before_anything_is_approved(park: Park) -> None:
    """As some do in place of a revert; others answer with nothing, which is no refusal."""
    currency = park.chain.settlement.currency()
    for code, is_refused in (
        ("0x5f5f5260205ff3", True),  # false to every call
        ("0x5f3560e01c63a9059cbb146015575f5f5260205ff35b00", False),  # but to ``transfer``: nothing
    ):
        park.node.client.request("anvil_setCode", [currency, code])
        said = rf"refuses deposit: SafeERC20FailedOperation\(token={currency}\)"
        with pytest.raises(Refused, match=said) if is_refused else nullcontext():
            assert escrow.deposit(park.chain, BUYER, BUYER, 150, dry_run=True) == []


def test_a_withdrawal_of_more_than_there_is_is_said_in_money(park: Park) -> None:
    park.fund(BUYER, 250)
    kept = park.count(ChainIntent)
    escrow.withdraw(park.chain, BUYER, BUYER, 250, dry_run=True)
    for dry_run in (True, False):
        with pytest.raises(Refused) as error:
            escrow.withdraw(park.chain, BUYER, BUYER, 700, dry_run=dry_run)
        assert error.value.message.startswith(
            "day-ahead has 2.50 tEUR in escrow that can be withdrawn, and 7.00 tEUR are asked for; "
            "name 2.50 at most (VppSettlement refuses withdraw: InsufficientBalance("
        )
        assert park.count(ChainIntent) == (kept if dry_run else kept + 1)  # a refusal is kept


@long
def test_a_trade_is_planned_or_cancelled_and_never_both(both: Park) -> None:
    both.fund(BUYER, 5)
    both.trade(("sell", 1000, 500))
    (number,) = (row.id for row in both.rows(VppTradingRecord))
    other = both.again()
    found: list[object] = []

    def cancel() -> None:
        try:
            found.append(other.db.run(lambda session: cancel_trade(session, number, "x")).status)
        except Refused as error:
            found.append(error.code)

    thread = threading.Thread(target=cancel)
    funds = planning.read_funds(both.chain)
    with both.db.write() as session:
        assert len(planning.plan(session, both.chain, funds, Scope()).batches) == 1
        thread.start()
        thread.join(0.4)
        assert thread.is_alive(), "the cancellation did not wait for the planner"
    thread.join()
    assert found == ["trade-in-batch"]
    assert statuses(both) == ["pending"]
    other.db.close()
