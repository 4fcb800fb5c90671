"""The second half of the demonstration: trades settled, credits transferred and retired."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cli.command import Invocation
from cli.demo.plants import (
    BENEFICIARY,
    COUNTRY,
    FUNDS_CENTS,
    LA_HAUTE_BORNE,
    REASON,
    RETIRE_KG,
    TRANSFER_KG,
    Period,
)
from cli.demo.sales import write_trades
from cli.demo.story import Story
from cli.flow import Flow
from cli.settle import finalize_due
from ledger import holdings
from ledger.chain.contracts.events import CREDIT
from ledger.chain.keys.signers import ANVIL_ROLES, anvil_address
from ledger.holdings import Holding
from ledger.models import (
    CreditRetirement,
    VppDefinition,
    VppSettlementAccount,
    VppSettlementBatch,
    VppTradingRecord,
)
from ledger.models.settlement import BatchState
from ledger.models.trading import TradeStatus
from ledger.settlement import batches, escrow, money
from ledger.settlement.trades import as_json, import_trades
from ledger.units import currency_of_cents


def trade(run: Invocation, flow: Flow, story: Story) -> None:
    """Sell the hourly generation of a month, and settle it."""
    run.output.step("selling the hourly generation of a month, and settling it")
    path = flow.settings.home / "demo" / "trades.csv"
    with flow.db.read() as session:
        write_trades(session, path)
    report = flow.db.run(lambda session: import_trades(session, path))
    story.trades = {"file": str(path), **as_json(report)}
    if report.new:
        _fund(flow)
    planned = batches.plan_batches(flow.chain)
    batches.submit_planned(flow.chain)
    flow.confirm([item.key for item in planned])
    finalize_due(flow, wait=True)
    story.settlement = _settled(flow)


def _fund(flow: Flow) -> None:
    """Pay example money into the escrow of whoever may owe."""
    with flow.db.read() as session:
        accounts = sorted({item.address for item in session.scalars(select(VppSettlementAccount))})
    for account in accounts:
        flow.confirm([escrow.mint_test_currency(flow.chain, account, FUNDS_CENTS)])
        flow.confirm(escrow.deposit(flow.chain, account, account, FUNDS_CENTS))


def _settled(flow: Flow) -> dict[str, Any]:
    """Return what was settled, and what each account's escrow holds on chain, in currency."""
    with flow.db.read() as session:
        count, total, energy = session.execute(
            select(
                func.count(VppTradingRecord.id),
                func.sum(VppTradingRecord.total_value),
                func.sum(VppTradingRecord.quantity),
            ).where(VppTradingRecord.status == TradeStatus.EXECUTED)
        ).one()
        pending = session.scalar(
            select(func.count(VppTradingRecord.id)).where(
                VppTradingRecord.status == TradeStatus.PENDING
            )
        )
        settled = session.scalars(
            select(VppSettlementBatch).where(VppSettlementBatch.state == BatchState.FINALIZED)
        ).all()
        plants = {item.id: item.vpp_id for item in session.scalars(select(VppDefinition))}
        accounts = {
            item.market or plants[item.vpp_id or 0]: item.address
            for item in session.scalars(select(VppSettlementAccount))
        }
    escrowed = money.balances(flow.chain, accounts.values())
    return {
        "batches": len(settled),
        "trades_executed": count,
        "trades_pending": pending,
        "energy_kwh": str(energy),
        "money_moved": str(total),
        "currency": money.currency_symbol(flow.chain),
        "balances": {
            name: str(currency_of_cents(escrowed[account])) for name, account in accounts.items()
        },
    }


def retire(run: Invocation, flow: Flow, story: Story) -> None:
    """Transfer a part of the first batch, and retire a part of that on behalf of somebody."""
    run.output.step("transferring credits, and retiring a part on behalf of somebody")
    batch = story.credits[0]["serials"].rsplit("-", 2)[0]
    buyer = anvil_address(ANVIL_ROLES["buyer"])
    if _retirement(flow) is None:

        def transfer(session: Session, held: Holding) -> str:
            return holdings.plan_transfer(session, flow.chain, held, buyer)

        def use_up(session: Session, held: Holding) -> str:
            details = holdings.details_of(
                BENEFICIARY, REASON, COUNTRY, _seconds(LA_HAUTE_BORNE.periods[0])
            )
            return holdings.plan_retirement(session, flow.chain, held, details)

        _act(flow, batch, TRANSFER_KG, None, transfer)
        _act(flow, batch, RETIRE_KG, buyer, use_up)
    found = _retirement(flow)
    assert found is not None  # confirmed above
    last = found.first_serial + found.amount_kg - 1
    story.retirement = {
        "retirement_id": str(found.retirement_id),
        "serials": f"{batch}-{found.first_serial}-{last}",
        "amount_kg": str(found.amount_kg),
        "beneficiary": found.beneficiary,
        "reason": found.reason,
        "holder": found.holder,
        "transaction": found.tx_hash,
    }


def _retirement(flow: Flow) -> CreditRetirement | None:
    with flow.db.read() as session:
        query = select(CreditRetirement).where(CreditRetirement.beneficiary == BENEFICIARY)
        return session.scalars(query).first()


def _act(
    flow: Flow,
    batch: str,
    amount_kg: int,
    holder: str | None,
    plan: Callable[[Session, Holding], str],
) -> None:
    def work(session: Session) -> str:
        return plan(session, holdings.holding_of(session, flow.chain, batch, amount_kg, holder))

    key = flow.db.run(work)
    flow.chain.sender.submit(key, CREDIT)
    flow.confirm([key])


def _seconds(period: Period) -> tuple[int, int]:
    """Return a period of UTC dates in epoch seconds."""
    epoch = date(1970, 1, 1)
    return (period[0] - epoch).days * 86_400, (period[1] - epoch).days * 86_400
