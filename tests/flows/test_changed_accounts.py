"""A plant gets another account, as when its key is changed: what the former one settled stays settled, once."""

from decimal import Decimal

import pytest
from sqlalchemy import text

from api.finality import ChainView
from api.settlements.queries import show_settlement
from ledger.chain.contracts.events import SETTLEMENT
from ledger.errors import Refused
from ledger.models import AuditLog, SettlementTrade, VppSettlementBatch, VppTradingRecord
from ledger.models.settlement import BatchState
from ledger.settlement.batches import plan_again, plan_batches, submit_planned
from ledger.settlement.cancel import cancel_trade
from ledger.settlement.disputes import plan_dispute
from ledger.settlement.explain import story_of
from ledger.settlement.finalizing import finalize_due
from ledger.settlement.money import participants_of
from ledger.settlement.pending import Scope
from ledger.settlement.standstill import Standstill
from ledger.settlement.words import Trade
from ledger.sites import apply_site
from tests.flows.test_settling import (
    BUYER,
    HOURLY_PROPOSED,
    MARKET,
    MORE,
    PLANT,
    SECOND,
    settle_alone,
    statuses,
    take,
)
from tests.support import acts
from tests.support.chain import WINDOW_S
from tests.support.copied import back_up
from tests.support.forms import long, rest
from tests.support.park import TRADING, Park
from tests.support.plant import SITE
from tests.support.sending import automine, opened

SHORT_ON_MARIADB = ("test_a_trade_by_itself_is_paid_once",)


def with_account(park: Park, plant: str) -> None:
    """Apply the site file with this account of the plant."""
    with park.db.write() as session:
        addresses = {"anvil:4": plant, "anvil:6": BUYER}
        apply_site(session, SITE + TRADING, resolve_account=addresses.__getitem__)


def funded(park: Park) -> Park:
    with_account(park, PLANT)
    park.mirror.run_until("head")
    park = opened(park, settling=HOURLY_PROPOSED)
    for account in (PLANT, BUYER, SECOND):
        park.fund(account, 10_000)
    return park


def finish(park: Park) -> None:
    """Let the windows end, and finalise."""
    park.node.later(WINDOW_S + 1)
    park.mirror_final()
    finalize_due(park.chain)
    park.mirror_final()


@long
def test_a_trade_by_itself_is_paid_once(both: Park) -> None:
    park = funded(both)
    take(park, ["plant sell 1 1.0000 1.00 0"])
    settle_alone(park, 1)
    with_account(park, SECOND)  # while the transaction is not final
    park.mirror_final()
    assert statuses(park) == ["executed"]
    for _ in range(2):
        plan_batches(park.chain)
        submit_planned(park.chain)
        finish(park)
    (record,) = park.rows(VppTradingRecord)
    assert (record.id, record.status.value) == (1, "executed")
    assert park.rows(VppSettlementBatch) == []
    assert len(park.rows(SettlementTrade)) == 1
    assert park.differences() == []


@long
def test_a_trade_that_the_former_account_settled_gets_its_number_back(both: Park) -> None:
    """Books that were restored got it under another number, did not know it by today's account, and paid it again."""
    park = funded(both)
    restore = back_up(park.db, park.folder)
    rows = ["plant sell 1 1.0000 1.00 0", "plant sell 2 1.0000 2.00 60"]
    take(park, rows)
    settle_alone(park, 1)
    park.mirror_final()
    restore()
    park.mirror.run_until("head")
    with_account(park, SECOND)
    for row in reversed(rows):
        take(park, [row])
    for _ in range(2):
        plan_batches(park.chain)
        submit_planned(park.chain)
        finish(park)
    found = {int(row.quantity): row for row in park.rows(VppTradingRecord)}
    assert found[1].id == 1
    assert statuses(park) == ["executed", "executed"]
    assert len(park.rows(VppSettlementBatch)) == len(park.rows(SettlementTrade)) == 1
    assert park.differences() == []


@long
@pytest.mark.parametrize("ended", [False, True], ids=["proposed", "final"])
def test_a_batch_with_an_account_that_restored_books_do_not_know_yet_is_named(
    both: Park, ended: bool
) -> None:
    """The reconciliation agreed with the chain, and is asked before the site file is applied again."""
    park = funded(both)
    take(park, ["plant sell 1 1.0000 1.00 0", "plant sell 2 1.0000 2.00 60"])
    restore = back_up(park.db, park.folder)
    with_account(park, SECOND)
    plan_batches(park.chain)
    submit_planned(park.chain)
    park.mirror_final()
    if ended:
        finish(park)
    keys = {row.batch_key for row in park.rows(VppSettlementBatch)}
    restore()
    park.mirror.run_until("head")
    said = [line for line in park.differences() if "settlement batch" in line]
    assert {line.split()[2].rstrip(":") for line in said} == keys
    assert all(f"of account {SECOND}, which is nobody's here" in line for line in said)
    with_account(park, SECOND)
    plan_batches(park.chain)
    finish(park)
    assert statuses(park) == ["executed", "executed"]
    assert {row.batch_key for row in park.rows(VppSettlementBatch)} == keys
    assert park.differences() == []


@long
def test_a_trade_by_itself_with_an_account_that_restored_books_do_not_know_yet_is_named(
    both: Park,
) -> None:
    park = funded(both)
    restore = back_up(park.db, park.folder)
    with_account(park, SECOND)
    take(park, ["plant sell 1 1.0000 1.00 0"])
    settle_alone(park, 1)
    park.mirror_final()
    restore()
    park.mirror.run_until("head")
    (said,) = park.differences()
    assert said.startswith("trade 1: settled on chain by itself, sent by ")
    assert f"of account {SECOND}, which is nobody's here" in said
    with_account(park, SECOND)
    take(park, ["plant sell 1 1.0000 1.00 0"])
    plan_batches(park.chain)
    finish(park)
    assert statuses(park) == ["executed"]
    assert park.rows(VppSettlementBatch) == park.differences() == []


@long
@pytest.mark.parametrize("ended", ["cancelled", "failed"])
@pytest.mark.parametrize("way", ["by itself", "co-signed"])
def test_a_trade_that_had_ended_and_was_settled_with_an_account_of_which_restored_books_learn_later(
    both: Park, ended: str, way: str
) -> None:
    """The mirror did not know whose it was, and nobody looked again; nor did the job, whose accounts were as before."""
    park, still = funded(both), Standstill()
    take(park, ["plant sell 1 1.0000 1.00 0"])
    if ended == "cancelled":
        park.db.run(lambda session: cancel_trade(session, 1, "entered twice"))
    else:
        failed = text("UPDATE vpp_trading_records SET status = 'failed'")
        park.db.run(lambda session: session.execute(failed))
    restore = back_up(park.db, park.folder)
    with_account(park, SECOND)
    trade = Trade(1, BUYER, SECOND, 1000, 10_000)
    if way == "by itself":
        acts.settle_one(park.node, trade)
    else:
        acts.cosign(park.node, ("buyer", "market"), [trade])
    with_account(park, PLANT)
    park.mirror_final()
    assert (statuses(park), park.differences()) == (["executed"], [])
    restore()
    park.mirror_final()
    plan_again(park.chain, Scope(), still)
    assert statuses(park) == [ended]
    with_account(park, SECOND)
    with_account(park, PLANT)
    if way == "co-signed":  # looked for with the next trade that waits
        take(park, ["plant sell 1 1.0000 1.00 60"])
    plan_again(park.chain, Scope(), still)
    assert (statuses(park)[0], park.differences()) == ("executed", [])


@pytest.mark.parametrize("when", rest(["proposed", "final"]))
def test_books_and_chain_agree_after_the_change(both: Park, when: str) -> None:
    park = funded(both)
    take(park, ["plant sell 1 1.0000 1.00 0", "plant buy 2 1.0000 2.00 60"])
    plan_batches(park.chain)
    submit_planned(park.chain)
    park.mirror_final()
    if when == "final":
        finish(park)
    with_account(park, SECOND)
    if when == "proposed":
        finish(park)
    assert [row.state for row in park.rows(VppSettlementBatch)] == [BatchState.FINALIZED] * 2
    assert statuses(park) == ["executed", "executed"]
    assert park.differences() == []
    entry, applied = park.rows(AuditLog)[-2:]
    assert (entry.action, applied.action) == ("settlement.account", "site.apply")
    assert (entry.old_values, entry.new_values) == (
        {"address": PLANT},
        {"address": SECOND, "of": "account of vpp plant"},
    )

    take(park, ["plant sell 3 1.0000 3.00 120"])  # what comes now goes to the new one
    plan_batches(park.chain)
    assert SECOND in park.rows(VppSettlementBatch)[-1].accounts
    submit_planned(park.chain)
    park.mirror_final()
    finish(park)
    assert statuses(park) == ["executed"] * 3
    assert park.differences() == []


@long
def test_what_an_account_settled_is_told_of_whose_it_was(park: Park) -> None:
    """Another plant has it by now: its page said that this one was paid, and beside it that the first one was."""

    def have(plant: str, second: str) -> None:
        with park.db.write() as session:
            addresses = {"anvil:4": plant, "anvil:5": second, "anvil:6": BUYER}
            apply_site(session, SITE + TRADING + MORE, resolve_account=addresses.__getitem__)

    have(PLANT, SECOND)
    park.mirror.run_until("head")
    door = opened(park, settling=HOURLY_PROPOSED)
    door.fund(BUYER, 10_000)
    door.fund(PLANT, 10_000)  # for the bond
    take(door, ["plant sell 1 1.0000 1.00 0", "second sell 2 1.0000 2.00 1"])
    plan_batches(door.chain)
    have(SECOND, PLANT)
    submit_planned(door.chain)
    door.mirror_final()
    (batch,) = door.rows(VppSettlementBatch)
    key = door.db.run(lambda each: plan_dispute(each, door.chain, batch.batch_key, 1, PLANT))
    door.chain.sender.submit(key, SETTLEMENT)
    door.mirror_final()
    with door.db.read() as session:
        whose = participants_of(session, batch)
        told = story_of(session, batch.batch_key).happened
        view = ChainView("local", "finalized", None, None)
        shown = show_settlement(session, view, batch.batch_key)
    assert (whose[PLANT], whose[SECOND], whose[BUYER]) == ("plant", "second", MARKET)
    assert any(line.endswith("dispute of trade 1 by plant: disputed") for line in told)
    paid = {"plant": "1.00", "second": "2.00"}
    assert {item.participant: str(item.net) for item in shown.positions} == {
        **paid,
        MARKET: "-3.00",
    }
    assert {item.payee: str(item.amount) for item in shown.payments} == paid
    assert {item.participant for item in shown.movements} == {MARKET, "plant"}


@long
def test_an_account_that_was_changed_by_hand_is_a_difference(park: Park) -> None:
    park = funded(park)
    take(park, ["plant sell 1 1.0000 1.00 0"])
    plan_batches(park.chain)
    submit_planned(park.chain)
    park.mirror_final()
    finish(park)
    with park.db.write() as session:
        session.execute(
            text("UPDATE vpp_settlement_accounts SET address = :new WHERE address = :old"),
            {"new": SECOND, "old": PLANT},
        )
    assert park.differences() == [f"trade 1: seller is {SECOND}, the chain says {PLANT}"]


def edit(park: Park, number: int, **values: object) -> None:
    """Change a trade as another program does."""
    with park.db.write() as session:
        row = session.get_one(VppTradingRecord, number)
        for name, value in values.items():
            setattr(row, name, value)


@long
def test_a_trade_that_is_edited_on_its_way_is_not_paid_twice(park: Park) -> None:
    park = funded(park)
    take(park, ["plant sell 1 1.0000 1.00 0"])
    settle_alone(park, 1)
    edit(park, 1, quantity=Decimal(5), total_value=Decimal(5))
    for _ in range(2):
        park.mirror_final()
        plan_batches(park.chain)
        submit_planned(park.chain)
        finish(park)
    assert [row.id for row in park.rows(VppTradingRecord)] == [1]
    assert park.rows(VppSettlementBatch) == []
    assert park.differences() == [
        "trade 1: quantity is 5.000, the chain says 1",
        "trade 1: total_value is 5.00, the chain says 1.00",
    ]


@long
def test_a_trade_that_was_edited_afterwards_holds_up_no_other(park: Park) -> None:
    """Another trade of the figures that the first one had is its own: trades have no time on chain."""
    park = funded(park)
    take(park, ["plant sell 1 1.0000 1.00 0"])
    settle_alone(park, 1)
    park.mirror_final()
    edit(park, 1, quantity=Decimal(5), total_value=Decimal(5))
    take(park, ["plant sell 1 1.0000 1.00 60"])
    plan_batches(park.chain)
    submit_planned(park.chain)
    park.mirror_final()
    finish(park)
    assert [(row.id, row.status.value) for row in park.rows(VppTradingRecord)] == [
        (1, "executed"),
        (2, "executed"),
    ]
    assert {line.partition(":")[0] for line in park.differences()} == {"trade 1"}


@long
def test_a_trade_on_its_way_cannot_be_cancelled(park: Park) -> None:
    park = funded(park)
    take(park, ["plant sell 1 1.0000 1.00 0"])
    automine(park, on=False)
    settle_alone(park, 1)  # in the pool, and in no block that the mirror could have read
    with pytest.raises(Refused, match="trade 1 is on its way to be settled"):
        park.db.run(lambda session: cancel_trade(session, 1, "an error"))
    automine(park, on=True)
    park.mirror_final()
    assert statuses(park) == ["executed"]
    assert park.differences() == []
