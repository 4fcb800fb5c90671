"""Hours, credits, single trades, and debtors who cannot pay: against sums written down here."""

from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from cli.settle_preview import lines, waiting_json
from cli.trades import cancel as cancel_by_hand
from ledger.chain.contracts.events import CREDIT, SETTLEMENT
from ledger.chain.sending import intents
from ledger.errors import NotFound, Refused
from ledger.jobs import work
from ledger.jobs.work import Tools
from ledger.models import (
    ChainBlock,
    ChainIntent,
    CreditHolding,
    SettlementBalance,
    VppSettlementBatch,
    VppSettlementItem,
    VppTradeShortfall,
    VppTradingRecord,
)
from ledger.models.sending import IntentState
from ledger.models.trading import TradeStatus
from ledger.models.types import ValueUnreadable
from ledger.settings import load_settings
from ledger.settings.settling import SettlementPolicy, Way
from ledger.settlement import cancel, escrow, planning, shortfalls, singles
from ledger.settlement.batches import plan_again, plan_batches, plan_round, submit_planned
from ledger.settlement.calls import SETTLE_ONE
from ledger.settlement.explain import story_of
from ledger.settlement.finalizing import finalize_due
from ledger.settlement.fitting import UNREADABLE
from ledger.settlement.outlook import preview
from ledger.settlement.pending import Scope
from ledger.settlement.standstill import Standstill
from ledger.settlement.trade_rows import COLUMNS
from ledger.settlement.trades import import_trades
from ledger.settlement.words import Trade
from ledger.sites import apply_site
from tests.support import acts
from tests.support.chain import PARTIES, WINDOW_S
from tests.support.forms import long, rest, times
from tests.support.park import MARKET, TRADING, Park, keys_without, states, statuses
from tests.support.plant import SITE
from tests.support.sending import Boundaries, Crash, crashing, opened

SHORT_ON_MARIADB = ("test_each_hour_is_netted_by_itself_and_the_poor_wait_for_money",)

PLANT, SECOND, BUYER = PARTIES["owner"], PARTIES["buyer"], PARTIES["market"]
MORE = """
[[vpp]]
code = "second"
name = "Second"
total_capacity = "100"
account = "anvil:5"
"""
HOURLY = SettlementPolicy()
HOURLY_PROPOSED = SettlementPolicy(Way.PROPOSED)


@pytest.fixture
def two(park: Park) -> Park:
    """A park with two plants, and hours of their own."""
    return _with_two_plants(park)


@pytest.fixture
def two_on_both(both: Park) -> Park:
    """The same on either database."""
    return _with_two_plants(both)


def _with_two_plants(park: Park) -> Park:
    with park.db.write() as session:
        addresses = {"anvil:4": PLANT, "anvil:5": SECOND, "anvil:6": BUYER}
        apply_site(session, SITE + TRADING + MORE, resolve_account=addresses.__getitem__)
    park.mirror.run_until("head")
    return opened(park, settling=HOURLY)


def take(park: Park, lines: Sequence[str]) -> None:
    """Import rows: plant, side, quantity, price, total, minutes after midnight, credit."""
    text = [",".join((*COLUMNS, "credit"))]
    for line in lines:
        vpp, side, quantity, price, total, minute, *credit = line.split()
        moment = datetime(2014, 1, 1, tzinfo=UTC) + timedelta(minutes=int(minute))
        cells = [
            vpp,
            "",
            side,
            quantity,
            price,
            total,
            MARKET,
            moment.isoformat(),
            *(credit or [""]),
        ]
        text.append(",".join(cells))
    file = park.folder / "trades.csv"
    file.write_text("\n".join(text) + "\n")
    report = park.db.run(lambda session: import_trades(session, file))
    assert report.errors == []


def settle(park: Park) -> None:
    plan_round(park.chain)
    submit_planned(park.chain)
    park.mirror_final()


def settle_alone(park: Park, number: int) -> None:
    key = park.db.run(lambda session: singles.plan_single(session, park.chain, number))
    park.chain.sender.submit(key, SETTLEMENT)


def balances(park: Park, asset: int = 0) -> dict[str, int]:
    return {
        row.account: int(row.balance) for row in park.rows(SettlementBalance) if row.asset == asset
    }


def test_each_hour_is_netted_by_itself_and_the_poor_wait_for_money(two_on_both: Park) -> None:
    two = two_on_both
    two.fund(BUYER, 10_00)
    take(
        two,
        [
            "plant sell 1.000 1.0000 1.00 5",
            "second buy 2.000 0.5000 1.00 59",  # the second has nothing: it is left out
            "plant buy 1.000 0.2500 0.25 30",
            "plant sell 1.000 2.0000 2.00 60",
            "second sell 1.000 3.0000 3.00 61",
        ],
    )
    assert plan_batches(two.chain, Scope(until=datetime(2014, 1, 1, 0, 59, tzinfo=UTC))) == []
    found = preview(two.chain)
    assert [(item.trades, item.nets) for item in found.batches] == [
        (2, {PLANT: 75, BUYER: -75}),
        (2, {PLANT: 2_00, SECOND: 3_00, BUYER: -5_00}),
    ]
    assert [(item.missing.participant, item.trades) for item in found.left_out] == [
        ("second", (2,))
    ]
    # The node's estimate is an upper one: what the call must have at its deepest, before refunds.
    gas = [item.cost.gas for item in found.batches]
    settle(two)
    batches = two.rows(VppSettlementBatch)
    used = []
    for row, said in zip(batches, gas, strict=True):
        receipt = two.node.client.receipt(two.intent(row.batch_key).tx_hash or "")
        assert receipt is not None and said is not None
        used.append(receipt.gas_used)
    assert used[0] <= (gas[0] or 0) < used[0] * 9 // 8
    assert [row.netted_from for row in batches] == [
        datetime(2014, 1, 1, hour, tzinfo=UTC) for hour in (0, 1)
    ]
    assert statuses(two) == ["executed", "pending", "executed", "executed", "executed"]
    assert balances(two) == {PLANT: 2_75, SECOND: 3_00, BUYER: 4_25}
    assert two.differences() == []
    with two.db.read() as session:
        story = story_of(session, "trade:2")
    assert "second has 0.00 tEUR in escrow and owes 1.00 tEUR" in story.happened[0]
    assert "pay in" in story.to_do
    settle(two)  # meanwhile it has been paid: the trade settles, and its reason is gone
    assert statuses(two) == ["executed"] * 5
    assert balances(two) == {PLANT: 2_75, SECOND: 2_00, BUYER: 5_25}
    assert two.count(VppTradeShortfall) == 0
    assert plan_round(two.chain).batches == ()
    assert two.differences() == []


def test_a_run_that_does_not_look_back_nets_what_waits_for_money_and_for_its_hour(
    two_on_both: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of books with one trade that waits all that was ever settled was read, every few seconds."""
    two, still, looks = two_on_both, Standstill(), []
    look_back = planning._look_back
    monkeypatch.setattr(planning, "_look_back", lambda *given: looks.append(1) or look_back(*given))

    def run(hour: int) -> list[int]:
        """Plan as the job does at an hour; return how many trades are planned, and how many lack funds."""
        until = datetime(2014, 1, 1, hour, tzinfo=UTC)
        made = plan_again(two.chain, Scope(until=until), still)
        return [sum(item.trades for item in made.batches), len(made.left_out)]

    two.fund(BUYER, 10_00)
    take(two, ["second buy 2.000 0.5000 1.00 0", "plant sell 1.000 2.0000 2.00 60"])
    take(two, ["plant sell 3.000 1.0000 3.00 120"])
    assert (run(1), run(1), len(looks)) == ([0, 1], [0, 1], 1)
    two.fund(SECOND, 10_00)
    assert (run(1), len(looks)) == ([1, 0], 1)
    submit_planned(two.chain)
    two.mirror_final()
    assert (run(1), run(1), len(looks)) == ([0, 0], [0, 0], 2)
    assert (run(2), len(looks)) == ([1, 0], 2)
    submit_planned(two.chain)
    two.mirror_final()
    assert (run(2), run(2), len(looks)) == ([0, 0], [0, 0], 3)
    acts.settle_one(two.node, Trade(99, BUYER, PLANT, 3000, 10_000))
    two.mirror_final()
    assert (run(3), len(looks)) == ([0, 0], 4)  # others have settled it under a number of theirs
    two.mirror_final()
    run(3)
    assert statuses(two) == ["executed"] * 3
    assert [row.id for row in two.rows(VppTradingRecord)] == [1, 2, 99]
    assert balances(two) == {PLANT: 5_00, SECOND: 9_00, BUYER: 6_00}
    assert two.differences() == []


@long
def test_the_money_of_a_batch_is_promised_until_the_chain_holds_it(two: Park) -> None:
    """It was taken twice from who had enough; and a party that came later was told as one without funds."""
    two.fund(BUYER, 5_00)
    two.fund(SECOND, 5_00)
    take(two, ["plant sell 1.000 3.0000 3.00 5"])
    two = opened(two, settling=HOURLY_PROPOSED)
    plan_round(two.chain)
    submit_planned(two.chain)
    two.mirror_final()  # proposed: it is not in the balance any more
    take(two, ["plant sell 1.000 2.0000 2.00 65"])
    funds = planning.read_funds(two.chain)
    take(two, ["second buy 1.000 5.0000 5.00 66"])
    plan = two.db.run(lambda session: planning.plan(session, two.chain, funds, Scope()))
    assert ([item.nets for item in plan.batches], plan.left_out) == (
        [{PLANT: 2_00, BUYER: -2_00}],
        (),
    )
    assert [item.nets for item in plan_round(two.chain).batches] == [{SECOND: -5_00, BUYER: 5_00}]


@long
def test_a_debtor_who_never_pays(two_on_both: Park, monkeypatch: pytest.MonkeyPatch) -> None:
    two = two_on_both
    two.fund(BUYER, 1_00)
    take(two, ["second buy 1.000 2.0000 2.00 5", "plant sell 1.000 1.0000 1.00 6"])
    impatient = opened(two, settling=replace(HOURLY, debtor_hours=1))
    settle(impatient)
    assert statuses(two) == ["pending", "executed"]
    with two.db.write() as session:  # by a clock that was set back since
        session.get_one(VppTradeShortfall, 1).since = datetime.now(UTC) + timedelta(days=400)
    assert plan_round(impatient.chain).failed == ()

    def ahead(zone: tzinfo) -> datetime:
        return datetime.now(zone) + timedelta(days=9)

    # By a clock that is ahead alone, those that wait failed at once.
    with monkeypatch.context() as patched:
        clock = type("Ahead", (datetime,), {"now": ahead})
        patched.setattr("ledger.settlement.planning.datetime", clock)
        assert plan_round(impatient.chain).failed == ()
    with two.db.write() as session:
        row = session.get_one(VppTradeShortfall, 1)
        assert row.since <= datetime.now(UTC)
        row.since = datetime.now(UTC) - timedelta(minutes=61)
    plan = plan_round(impatient.chain)
    assert plan.failed == (1,)
    assert statuses(two) == ["failed", "executed"]
    with two.db.read() as session:
        story = story_of(session, "trade:1")
    assert (story.state, len(story.happened)) == ("failed", 2)
    assert story.to_do == "pay in, then: truetonne settle retry trade:1"
    assert two.differences() == []
    two.fund(SECOND, 2_00)
    settle(impatient)
    assert statuses(two) == ["failed", "executed"]  # only a person opens it again
    assert two.db.run(lambda session: shortfalls.reopen(session, 1, "paid")) == MARKET
    with pytest.raises(Refused, match="trade 2 is executed"):
        two.db.run(lambda session: shortfalls.reopen(session, 2, "x"))
    settle(impatient)
    assert statuses(two) == ["executed"] * 2
    assert two.differences() == []
    with two.db.write() as session:  # another program wrote that
        session.get_one(VppTradingRecord, 2).status = TradeStatus.FAILED
    with pytest.raises(Refused, match="trade 2 did not fail for want of funds"):
        two.db.run(lambda session: shortfalls.reopen(session, 2, "x"))
    assert statuses(two) == ["executed", "failed"]


@pytest.mark.parametrize("way", rest([Way.AUTO, Way.PROPOSED], Way.PROPOSED))
def test_credits_are_delivered_against_money(two: Park, way: Way) -> None:
    asset = two.node.issue(5_000, 0)
    two.mirror_final()
    escrow.deposit_credits(two.chain, PLANT, asset, 3_000)
    two.fund(BUYER, 200_00)
    take(
        two,
        [
            f"plant sell 1.234 80.5000 99.34 5 {asset}",  # 99.337, half away from zero
            f"plant buy 0.034 80.0000 2.72 6 {asset}",
            f"plant sell 2.000 10.0000 20.00 70 {asset}",  # 1.2 t are promised: 1.8 are left
            "plant sell 1.000 1.0000 1.00 7",
        ],
    )
    said: list[Any] = []
    output = SimpleNamespace(result=lambda *a: said.extend(a))
    run: Any = SimpleNamespace(books=lambda: nullcontext(two.db), output=output)
    for number in (1, 4):
        cancel_by_hand(run, number, "why", dry_run=True)
    assert said[1::2] == [
        f"trade 1 (sell 1.234 t of credit batch {asset} at 80.5000, {MARKET}) would be cancelled",
        f"trade 4 (sell 1.000 kWh at 1.0000, {MARKET}) would be cancelled",
    ]
    door = opened(two, settling=replace(HOURLY, way=way))
    found = preview(door.chain)
    energy, credits = sorted(found.batches, key=lambda item: item.trades)
    assert energy.planned.asset is None and energy.nets == {PLANT: 1_00, BUYER: -1_00}
    assert credits.planned.asset == asset
    assert credits.nets == {PLANT: 96_62, BUYER: -96_62}
    assert credits.planned.credit_nets == {PLANT: -1_200, BUYER: 1_200}
    (out,) = found.left_out
    assert out.missing.sentence() == (
        f"plant has 1.800 t of credit batch {asset} in escrow and owes 2.000 t of credit batch {asset}: "
        f"truetonne settle deposit plant 0.200 --credits {asset}"
    )
    assert [item.cost.refusal for item in found.batches] == [None, None]
    plan_round(door.chain)
    # What is planned agrees with its trades, with an intent or without.
    assert two.differences() == []
    with two.db.write() as session:
        batch = session.scalars(select(VppSettlementBatch).filter_by(asset=asset)).one()
        kept, batch.credit_nets = batch.credit_nets, ["1", "-1"]
        # Until it is on chain, the next plan takes from here what is promised.
        assert dict(zip(batch.accounts, kept or (), strict=True)) == {PLANT: "-1200", BUYER: "1200"}
    assert [text for text in two.differences() if "credit_nets" in text]
    with two.db.write() as session:
        session.get_one(VppSettlementBatch, batch.id).credit_nets = kept
    settle(door)
    if way is Way.PROPOSED:
        two.node.pass_window()
        hashes = finalize_due(door.chain)
        two.mirror_final()
        receipts = [two.node.client.receipt(tx_hash) for tx_hash in hashes]
        used = sorted(item.gas_used for item in receipts if item is not None)
        new = 17_100  # a balance that was nothing: the plant's money, the buyer's credits
        said = sorted(item.cost.finalize_gas + new for item in found.batches)
        assert len(used) == 2
        for one, other in zip(used, said, strict=True):
            assert abs(one - other) < one // 8
    assert statuses(two) == ["executed", "executed", "pending", "executed"]
    assert balances(two) == {PLANT: 97_62, BUYER: 102_38}
    assert balances(two, asset) == {PLANT: 1_800, BUYER: 1_200}
    assert two.differences() == []
    escrow.withdraw_credits(two.chain, BUYER, PARTIES["spare"], asset, 1_200)
    two.mirror_final()
    assert balances(two, asset) == {PLANT: 1_800}
    held = {row.holder: row.amount_kg for row in two.rows(CreditHolding)}
    assert (held[PARTIES["spare"]], BUYER in held) == (1_200, False)
    assert two.differences() == []


def test_a_trade_by_itself_once_whatever_crashes(
    two: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    two.fund(BUYER, 100_00)
    asset = two.node.issue(50_000, 0)
    two.mirror_final()
    escrow.deposit_credits(two.chain, PLANT, asset, 50_000)
    two.mirror_final()
    crashed = set()
    for number, place in enumerate(count(0, times(4, 2)), start=1):
        take(two, [f"plant sell 1.000 2.0000 2.00 {number} {asset}"])
        door = opened(two, settling=HOURLY)
        boundaries = Boundaries(place)
        with crashing(monkeypatch, boundaries), suppress(Crash):
            settle_alone(door, number)
        later = opened(two.again(), settling=HOURLY)
        later.mirror.run_until("head")
        with suppress(Refused):  # unless it is on its way already
            settle_alone(later, number)
        assert plan_round(later.chain).batches == ()
        submit_planned(later.chain)
        later.chain.sender.tend()
        later.mirror_final()
        assert statuses(later) == ["executed"] * number
        later.db.close()
        if boundaries.crashed_at is None:
            break
        crashed.add(boundaries.crashed_at)
    assert len(crashed) >= times(2, 3) and number >= times(3, 4)
    assert balances(two) == {PLANT: 2_00 * number, BUYER: 100_00 - 2_00 * number}
    assert balances(two, asset) == {PLANT: 50_000 - 1_000 * number, BUYER: 1_000 * number}
    assert two.count(VppSettlementItem) == 0
    assert two.differences() == []
    with two.db.write() as session:
        session.delete(session.get_one(VppTradingRecord, 1))
    assert two.differences() == ["trade 1: settled on chain, and not in the books"]


@long
def test_one_single_trade_is_withdrawn_and_the_others_wait(two: Park) -> None:
    two.fund(BUYER, 200_00)
    take(two, [f"plant sell 1 1.0000 1.00 {n}" for n in (0, 1)])
    first, second = (
        two.db.run(lambda session, number=number: singles.plan_single(session, two.chain, number))
        for number in (1, 2)
    )
    assert two.db.run(lambda session: cancel.withdraw_single(session, 1, "why")) == first
    assert [two.intent(key).state.value for key in (first, second)] == ["failed", "planned"]
    with two.db.read() as session:
        found = [cancel.who_settles(session, number) for number in (1, 2)]
    assert found == [None, PARTIES["operator"]]
    with pytest.raises(Refused, match=r"trade 1 waits for no settlement by itself .* takes the tr"):
        two.db.run(lambda session: cancel.withdraw_single(session, 1, "why"))


@long
def test_a_single_trade_and_a_batch_that_miss_each_other(two_on_both: Park) -> None:
    """A planner that saw old rows: the contract takes the trade once, and the batch is withdrawn."""
    two = two_on_both
    two.fund(BUYER, 10_00)
    take(two, ["plant sell 1.000 2.0000 2.00 1", "plant sell 1.000 1.0000 1.00 2"])
    key = two.db.run(lambda session: singles.plan_single(session, two.chain, 1))
    with pytest.raises(Refused, match="on its way to be settled"):
        two.db.run(lambda session: singles.plan_single(session, two.chain, 1))
    with pytest.raises(NotFound, match="there is no trade 9"):
        two.db.run(lambda session: singles.plan_single(session, two.chain, 9))
    with two.db.write() as session:  # as if it were not there
        session.get_one(ChainIntent, key).kind = "unseen"
    proposing = opened(two, settling=HOURLY_PROPOSED)
    assert [item.trades for item in plan_batches(proposing.chain)] == [2]
    with two.db.write() as session:
        session.get_one(ChainIntent, key).kind = SETTLE_ONE
    with pytest.raises(Refused, match="stands in the settlement batch"):
        two.db.run(lambda session: singles.plan_single(session, two.chain, 2))
    assert len(submit_planned(proposing.chain)) == 1  # the single goes first; the batch is refused
    two.mirror_final()
    assert statuses(two) == ["executed", "pending"]
    assert plan_batches(two.chain) == []  # the batch is withdrawn; what it frees is the next one's
    assert [item.trades for item in plan_batches(two.chain)] == [1]
    submit_planned(two.chain)
    two.mirror_final()
    assert statuses(two) == ["executed"] * 2
    assert [row.state.value for row in two.rows(VppSettlementBatch)] == ["failed", "finalized"]
    assert two.intent(key).state is IntentState.CONFIRMED
    assert balances(two) == {PLANT: 3_00, BUYER: 7_00}
    assert two.differences() == []
    with two.db.read() as session:
        assert story_of(session, "1").state == "failed"
        assert "settleOne final" in story_of(session, "trade:1").happened[-1]
        assert story_of(session, "trade:2").to_do == "nothing: its trades are executed"


@long
def test_signatures_hold_by_the_clock_of_a_chain_that_is_ahead(two: Park) -> None:
    two.fund(BUYER, 10_00)
    two.node.later(7 * 24 * 3600)
    two.node.mine(1)
    two.mirror_final()
    take(two, ["plant sell 1.000 1.0000 1.00 5"])
    settle(opened(two, settling=replace(HOURLY, way=Way.COSIGNED)))
    assert statuses(two) == ["executed"]
    assert two.differences() == []


@long
@pytest.mark.unmirrored
def test_a_co_signed_batch_is_planned_before_anything_is_mirrored(park: Park) -> None:
    """Jobs may begin before the mirror does: then there is no clock of the chain's to go by."""
    escrow.mint_test_currency(park.chain, BUYER, 10_00)
    escrow.deposit(park.chain, BUYER, BUYER, 10_00)
    take(park, ["plant sell 1.000 1.0000 1.00 5"])
    door = opened(park, settling=replace(HOURLY, way=Way.COSIGNED))
    assert park.count(ChainBlock) == 0
    (planned,) = plan_batches(door.chain)
    assert planned.cosigned
    settle(door)
    assert statuses(park) == ["executed"]
    assert park.differences() == []


@long
def test_a_trade_says_why_its_last_batch_failed(two: Park) -> None:
    asset = two.node.issue(5_000, 0)
    two.mirror_final()
    escrow.deposit_credits(two.chain, PLANT, asset, 3_000)
    two.fund(BUYER, 200_00)
    take(two, ["plant sell 1.000 1.0000 1.00 5", f"plant sell 1.000 80.0000 80.00 5 {asset}"])
    door = opened(two, settling=HOURLY_PROPOSED)
    plan_batches(door.chain)
    two.node.act("pauser", SETTLEMENT, "pause", [])
    submit_planned(door.chain)
    two.mirror_final()
    with two.db.read() as session:
        story = story_of(session, "trade:2")
        batch = session.scalars(select(VppSettlementBatch).filter_by(asset=asset)).one()
    assert batch.error and "EnforcedPause" in batch.error
    assert story.happened == (
        "in no batch yet",
        f"batch {batch.batch_key} failed with it: {batch.error}",
    )
    assert story.to_do == "truetonne settle run takes it"


@long
@pytest.mark.parametrize("how", ["suspend", "expire"])
def test_trades_of_credits_that_do_not_move_wait_for_them(two_on_both: Park, how: str) -> None:
    """They are in no batch, so that none fails and the market does not rest; the others go on."""
    two = two_on_both
    two.node.mine(1)  # the chain that is copied may be as old as the session
    late = two.node.client.block("latest").timestamp + 1_000  # type: ignore[union-attr]
    asset = two.node.issue(5_000, 0, **({"expires_at": late} if how == "expire" else {}))
    two.mirror.run_until("head")
    escrow.deposit_credits(two.chain, PLANT, asset, 3_000)
    two.fund(BUYER, 200_00)
    take(two, [f"plant sell 1 10.0000 10.00 {n} {asset}" for n in (0, 1)])
    if how == "suspend":
        two.node.act("pauser", CREDIT, "suspend", [asset])
    else:
        two.node.later(1_001)
    two.mirror_final()
    assert plan_batches(two.chain) == []  # nothing to mend: the job does not fail
    assert two.rows(VppSettlementBatch) == []
    take(two, ["second sell 2 1.0000 2.00 60"])
    settle(two)
    assert statuses(two) == ["pending", "pending", "executed"]
    state = {"suspend": "suspended", "expire": "expired"}[how]
    why = f"credits of batch {asset} are {state} and do not move"
    outlook = preview(two.chain)
    assert waiting_json(outlook.waiting) == [
        {
            "trades": [1, 2],
            "said": why,
            "to_do": "it goes on when they move again; where they never will, take it out: "
            "truetonne trades cancel ID",
        }
    ]
    assert list(lines(outlook))[-2].startswith(f"cannot be settled, 2 trades (1, 2): {why}; ")
    with two.db.read() as session:
        story = story_of(session, "trade:2")
    assert story.happened == (f"it cannot be settled: {why}",)
    assert story.to_do.endswith("take it out: truetonne trades cancel 2")
    with pytest.raises(Refused, match=f"trade 1 cannot be settled: {why}"):
        settle_alone(two, 1)
    if how == "suspend":
        two.node.act("admin", CREDIT, "reinstate", [asset])
        two.mirror_final()
        settle(two)
        assert statuses(two) == ["executed"] * 3
    assert two.differences() == []


@long
def test_a_preview_says_what_the_contract_would_refuse(two: Park) -> None:
    two.fund(BUYER, 10_00)
    take(two, ["plant sell 1.000 2.0000 2.00 1"])
    two.node.act("pauser", SETTLEMENT, "pause", [])
    (batch,) = preview(two.chain).batches
    assert (batch.cost.gas, batch.cost.refusal) == (None, "EnforcedPause()")
    (proposed,) = preview(opened(two, settling=HOURLY_PROPOSED).chain).batches
    assert proposed.cost.refusal == "EnforcedPause()"
    assert plan_round(two.chain, Scope(market="other")).batches == ()


@long
def test_a_dry_run_of_one_trade_asks_the_contract(two: Park) -> None:
    """What the books alone allow, a pause may still refuse; nothing of the rehearsal is kept."""
    two.fund(BUYER, 10_00)
    take(two, ["plant sell 1.000 2.0000 2.00 1"])

    def plan(session: Session) -> ChainIntent:
        intent = intents.get(session, singles.plan_single(session, two.chain, 1))
        session.expunge(intent)
        session.rollback()
        return intent

    before = two.count(ChainIntent)
    two.chain.sender.rehearse(two.db.run(plan), SETTLEMENT)
    two.node.act("pauser", SETTLEMENT, "pause", [])
    with pytest.raises(Refused, match=r"VppSettlement refuses settleOne: EnforcedPause\(\)"):
        two.chain.sender.rehearse(two.db.run(plan), SETTLEMENT)
    assert two.count(ChainIntent) == before


# ------------------------------------------------------------------ trades that cannot be settled


@long
def test_what_waits_is_a_line_of_the_log_once_and_again_when_it_is_another(
    two: Park, caplog: pytest.LogCaptureFixture
) -> None:
    """The job looks every ten seconds."""
    two.fund(BUYER, 100_00)
    take(two, ["plant sell 1 1.0000 1.00 60"])
    with two.db.write() as session:
        session.get_one(VppTradingRecord, 1).total_value = Decimal(5)
    tools = Tools(two.chain, load_settings(None, {}))
    for number in (2, 3, 4):
        take(two, [f"plant sell {number} 1.0000 {number}.00 {60 * number}"])
        assert work.settle(tools) == "planned 1, sent 1 batches"
        two.mirror_final()
    take(two, ["plant sell 5 1.0000 5.00 300", "plant sell 6 1.0000 6.00 360"])
    with two.db.write() as session:
        session.get_one(VppTradingRecord, 5).quantity = Decimal(-1)
    work.settle(tools)
    said = [each.getMessage() for each in caplog.records if each.name == work.__name__]
    assert [line.partition(":")[0] for line in said] == ["job settle"] * 2
    assert ["1 pending trades wait" in said[0], "2 pending trades wait" in said[1]] == [True, True]
    assert all("trade 1 cannot be settled: its total_value 5.00" in line for line in said)


@long
def test_a_trade_that_cannot_be_settled_holds_up_no_other(two_on_both: Park) -> None:
    """What other programs wrote, or an account that is the market's own by now: it waits, and says why."""
    park = two_on_both
    park.fund(BUYER, 100_00)
    take(park, [f"plant sell {n} 1.0000 {n}.00 {60 * n}" for n in (1, 2, 3)])
    take(park, ["second sell 4 1.0000 4.00 240"])
    with park.db.write() as session:
        for number, change in ((1, "quantity = 0"), (2, "total_value = 5")):
            row = session.get_one(VppTradingRecord, number)
            column, _, value = change.partition(" = ")
            setattr(row, column, Decimal(value))
        addresses = {"anvil:4": BUYER, "anvil:5": SECOND, "anvil:6": BUYER}
        apply_site(session, SITE + TRADING + MORE, resolve_account=addresses.__getitem__)
        shared = session.get_one(VppTradingRecord, 3)
        assert shared.status.value == "pending"
    settle(park)
    assert statuses(park) == ["pending"] * 3 + ["executed"]
    with park.db.write() as session:  # the plant has an account of its own again
        addresses = {"anvil:4": PLANT, "anvil:5": SECOND, "anvil:6": BUYER}
        apply_site(session, SITE + TRADING + MORE, resolve_account=addresses.__getitem__)
    settle(park)
    assert statuses(park) == ["pending", "pending", "executed", "executed"]
    with park.db.read() as session:
        told = [story_of(session, f"trade:{number}") for number in (1, 2)]
    assert [story.happened for story in told] == [
        ("it cannot be settled: its quantity 0.000 is not above zero",),
        (
            "it cannot be settled: its total_value 5.00 is not quantity x price = 2.00 "
            "(rounded half away from zero)",
        ),
    ]
    assert told[0].to_do == "mend that, or take it out: truetonne trades cancel 1"
    waiting = preview(park.chain).waiting
    assert [(item.trades, item.unfit.why) for item in waiting] == [
        ((number,), story.happened[0].removeprefix("it cannot be settled: "))
        for number, story in enumerate(told, start=1)
    ]
    assert plan_round(park.chain).waiting == waiting  # the rest of a run is done all the same
    with pytest.raises(Refused, match="trade 1 cannot be settled: its quantity"):
        plan_batches(park.chain)  # nothing else is left, and the job says so
    with pytest.raises(Refused, match="trade 2 cannot be settled: its total_value"):
        settle_alone(park, 2)
    if park.db.dialect == "sqlite":  # whose CHECK takes no other side
        return
    take(park, ["second sell 7 1.0000 7.00 420"])
    with park.db.write() as session:  # as a program does whose session is without the strict mode
        rows = (
            (6, 1, "SELL", "2014-01-01"),
            (7, 1, "sell", "0000-00-00"),
            (8, 99, "sell", "2014-01-01"),
            (9, 1, "sell", "2014-01-00"),
            (10, 1, "sell", "2014-02-31"),
        )
        for number, plant, side, at in rows:
            mode = "ALLOW_INVALID_DATES" if at == "2014-02-31" else ""
            session.execute(
                text(
                    f"SET STATEMENT sql_mode='{mode}' FOR INSERT INTO vpp_trading_records (id, vpp_id, trade_type, "
                    "quantity, price, total_value, market, status, trade_time) "
                    f"VALUES ({number}, {plant}, '{side}', 1, 1, 1, '{MARKET}', 'pending', '{at}')"
                )
            )
    found = plan_round(park.chain)
    # The fifth alone: for a trade without a side no money moves.
    assert [batch.trades for batch in found.batches] == [1]
    waiting = {item.trades: item.unfit for item in found.waiting}
    assert waiting[6, 7, 9, 10] == UNREADABLE
    assert (waiting[8,].why, waiting[8,].to_do) == (
        "there is no plant in the row 99",
        UNREADABLE.to_do,
    )
    with pytest.raises(
        ValueUnreadable, match=r"vpp_trading_records\.trade_type is '' in the database"
    ):
        settle_alone(park, 6)


@long
@pytest.mark.parametrize(
    ("written", "mends"),
    rest(
        [
            ("quantity = 1.5", "quantity = 1000"),
            ("price = 'dear'", "price = 10000"),
            ("total_value = '1,00'", "total_value = 100"),
            ("trade_time = 'yesterday'", "trade_time = '2014-01-01 01:00:00.999999'"),
            ("trade_time = '2014-02-31 01:00:00.000000'", "trade_time = '2014-01-01 01:00:00'"),
            ("trade_time = 2014", "trade_time = '2014-01-01 01:00:00.000000'"),
            ("settlement_time = ''", "settlement_time = NULL"),
        ]
    ),
)
def test_a_trade_that_sqlite_cannot_read_holds_up_no_other(
    two: Park, written: str, mends: str
) -> None:
    """It keeps in a column what another program writes there."""
    two.fund(BUYER, 10_00)
    take(two, ["plant sell 1 1.0000 1.00 60", "second sell 2 1.0000 2.00 120"])

    def write(change: str) -> None:
        with two.db.write() as session:
            session.execute(text(f"UPDATE vpp_trading_records SET {change} WHERE id = 1"))

    write(written)
    found = plan_round(two.chain)
    assert [batch.trades for batch in found.batches] == [1]
    assert [(item.trades, item.unfit) for item in found.waiting] == [((1,), UNREADABLE)]
    for market, waiting in ((MARKET, found.waiting), ("other", ())):
        assert plan_round(two.chain, Scope(market=market)).waiting == waiting
    submit_planned(two.chain)
    two.mirror_final()
    write(mends)
    assert [batch.trades for batch in plan_round(two.chain).batches] == [1]
    settle(two)
    assert statuses(two) == ["executed", "executed"]


@long
def test_a_trade_of_the_last_hour_that_there_is_waits_for_its_end(two: Park) -> None:
    """A program that is none of ours gave it that time: the job ended with an error, and settled nothing."""
    two.fund(BUYER, 10_00)
    take(two, ["plant sell 1 1.0000 1.00 60", "second sell 2 1.0000 2.00 120"])
    with two.db.write() as session:
        session.get_one(VppTradingRecord, 1).trade_time = datetime(9999, 12, 31, 23, 30, tzinfo=UTC)
    assert [batch.trades for batch in plan_batches(two.chain, Scope(until=datetime.now(UTC)))] == [
        1
    ]
    assert [batch.trades for batch in plan_batches(two.chain)] == [1]  # by hand, all at once


@long
def test_a_batch_is_proposed_where_one_key_of_its_parties_is_elsewhere(two: Park) -> None:
    """By itself nobody would sign it; of the same run, what all parties here can sign is final at once."""
    two.fund(BUYER, 10_00)
    apart = opened(two, settling=HOURLY, keyring=keys_without(SECOND))
    take(apart, [f"plant sell {n} 1.0000 {n}.00 {60 * n}" for n in (1, 2)])
    take(apart, ["second sell 3 1.0000 3.00 150"])
    made = plan_round(apart.chain).batches
    assert [(batch.trades, batch.cosigned) for batch in made] == [(1, True), (2, False)]
    submit_planned(apart.chain)
    apart.mirror_final()
    assert states(apart) == ["finalized", "proposed"]


def test_a_trade_of_one_account_with_itself_is_refused(two: Park) -> None:
    with two.db.write() as session:
        addresses = {"anvil:4": BUYER, "anvil:5": SECOND, "anvil:6": BUYER}
        apply_site(session, SITE + TRADING + MORE, resolve_account=addresses.__getitem__)
    file = two.folder / "trades.csv"
    row = f"plant,,sell,1,1,1,{MARKET},2014-01-01T00:00:00+00:00"
    file.write_text("\n".join([",".join(COLUMNS), row]))
    report = two.db.run(lambda session: import_trades(session, file))
    assert [(error.line, error.column, error.message) for error in report.errors] == [
        (
            2,
            "market",
            f"VPP 'plant' and market '{MARKET}' have one settlement account, {BUYER}; give one of them "
            "another in the site file",
        )
    ]


@long
@pytest.mark.parametrize("how", rest(["suspend", "expire"]))
def test_credits_that_do_not_move_hold_up_what_is_behind_them_and_say_so(
    two: Park, how: str
) -> None:
    two.node.mine(1)  # the chain that is copied may be as old as the session
    late = two.node.client.block("latest").timestamp + 1_000  # type: ignore[union-attr]
    asset = two.node.issue(5_000, 0, **({"expires_at": late} if how == "expire" else {}))
    two.mirror.run_until("head")
    escrow.deposit_credits(two.chain, PLANT, asset, 3_000)
    two.fund(BUYER, 200_00)
    park = opened(two, settling=HOURLY_PROPOSED)
    take(park, [f"plant sell 1 10.0000 10.00 0 {asset}", "second sell 2 1.0000 2.00 60"])
    settle(park)
    if how == "suspend":
        park.node.act("pauser", CREDIT, "suspend", [asset])
    park.node.later(WINDOW_S + 1)
    park.mirror_final()
    first, second = (row.batch_key for row in park.rows(VppSettlementBatch))
    kept = park.count(ChainIntent)
    way_out = (
        f"wait until they move again; where they never will, truetonne settle cancel {first} --reason WHY "
        "lets the batches behind it go on"
    )
    with pytest.raises(Refused, match=f"settlement batch {first} cannot be finalised") as refusal:
        finalize_due(park.chain)
    assert way_out in refusal.value.message
    assert (
        park.count(ChainIntent) == kept
    )  # no refused call stays of what is asked every few seconds
    with park.db.read() as session:
        stories = [story_of(session, key) for key in (first, second)]
    state = {"suspend": "suspended", "expire": "expired"}[how]
    waits = f"it waits: credits of batch {asset} are {state} and do not move"
    assert [(story.happened[-1], story.to_do) for story in stories] == [
        (waits, way_out),
        (f"{waits}, in batch {first} before it", way_out),
    ]
    key = park.db.run(lambda session: cancel.plan_cancellation(session, park.chain, first, "over"))
    park.chain.sender.submit(key, SETTLEMENT)
    park.mirror_final()
    finalize_due(park.chain)
    park.mirror_final()
    assert statuses(park) == ["cancelled", "executed"]


def with_credits_to_finalise(two: Park) -> tuple[Park, int]:
    """Return the park with a proposed batch of credits whose window is over, and which credits."""
    asset = two.node.issue(5_000, 0)
    two.mirror.run_until("head")
    escrow.deposit_credits(two.chain, PLANT, asset, 3_000)
    two.fund(BUYER, 200_00)
    park = opened(two, settling=HOURLY_PROPOSED)
    take(park, [f"plant sell 1 10.0000 10.00 0 {asset}"])
    settle(park)
    park.node.later(WINDOW_S + 1)
    park.mirror_final()
    return park, asset


@long
def test_credits_that_stopped_moving_since_the_mirror_looked(two: Park) -> None:
    """The contract says so first: the refusal names the batch, and nothing is left of the call but its refusal."""
    park, asset = with_credits_to_finalise(two)
    park.node.act("pauser", CREDIT, "suspend", [asset])
    (batch,) = park.rows(VppSettlementBatch)
    with pytest.raises(
        Refused, match=f"batch {batch.batch_key} cannot be finalised.*AssetNotTransf"
    ):
        finalize_due(park.chain)
    assert [row.finalize_key for row in park.rows(VppSettlementBatch)] == [None]


@long
def test_a_batch_that_is_cancelled_just_before_it_is_finalised_holds_nobody_up(
    two: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process cancels it, and its mirror says so, between our planning and our call."""
    park, asset = with_credits_to_finalise(two)
    submit = park.chain.sender.submit

    def overtaken(key: str, contract: str) -> str:
        monkeypatch.undo()
        (batch,) = park.rows(VppSettlementBatch)
        park.node.act("pauser", CREDIT, "suspend", [asset])
        ending = park.db.run(
            lambda session: cancel.plan_cancellation(session, park.chain, batch.batch_key, "over")
        )
        submit(ending, SETTLEMENT)
        park.mirror_final()
        return submit(key, contract)

    monkeypatch.setattr(park.chain.sender, "submit", overtaken)
    assert finalize_due(park.chain) == []
    assert statuses(park) == ["cancelled"]
