"""What a settlement run would do now, what it would cost, and who could not pay: planned, and kept nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.chain.access import Chain
from ledger.errors import NotFound, Refused
from ledger.models import ChainIntent, VppSettlementAccount, VppSettlementBatch, VppTradingRecord
from ledger.models.sending import IntentState
from ledger.models.settlement import BatchState
from ledger.naming import meant
from ledger.settlement.batches import plan_round
from ledger.settlement.estimate import Cost, costs
from ledger.settlement.finding import find_batch, words_of
from ledger.settlement.fitting import Waiting
from ledger.settlement.money import Missing, balances, currency_symbol, participants
from ledger.settlement.netting import Shortfall
from ledger.settlement.pending import Scope
from ledger.settlement.planning import PlannedBatch


@dataclass(frozen=True)
class BatchOutlook:
    """A batch that the next run would send.

    ``nets`` and ``escrow`` are cents by account: what each receives (negative: pays), and what it has
    when this batch's turn comes. ``missing`` says who cannot pay: of a batch that was planned before.
    """

    planned: PlannedBatch
    stored: bool
    escrow: dict[str, int]
    missing: tuple[Missing, ...]
    cost: Cost

    @property
    def market(self) -> str:
        """Market of its trades."""
        return self.planned.market

    @property
    def trades(self) -> int:
        """How many trades it has."""
        return self.planned.trades

    @property
    def nets(self) -> dict[str, int]:
        """What each account receives, in cents; negative: pays."""
        return self.planned.nets


@dataclass(frozen=True)
class DebtorOutlook:
    """Trades that the next run would leave out, by number, because their debtor lacks funds."""

    missing: Missing
    trades: tuple[int, ...]


@dataclass(frozen=True)
class Outlook:
    """What the next run would do; ``names`` says whose an account is, ``waiting`` which trades are unfit."""

    symbol: str
    names: dict[str, str]
    batches: tuple[BatchOutlook, ...]
    left_out: tuple[DebtorOutlook, ...]
    waiting: tuple[Waiting, ...] = ()

    @property
    def missing(self) -> list[Missing]:
        """Who lacks what."""
        found = [item for batch in self.batches for item in batch.missing]
        return found + [item.missing for item in self.left_out]


def preview(chain: Chain, market: str | None = None) -> Outlook:
    """Return what a settlement run would send now, and what it would cost; nothing is kept.

    Parameters
    ----------
    market
        Only the batches of this market; None: of all.

    Raises
    ------
    NotFound
        If there is no such market.
    """
    with chain.db.read() as session:
        require_market(session, market)
        names = participants(session)
        stored = [
            _as_planned(session, row) for row in unsent(session) if market in (None, row.market)
        ]
    # Beside a job that plans, what it holds would be left out: nothing would seem to be pending.
    made = plan_round(chain, Scope(market=market, waits=True), dry_run=True)
    planned = [*stored, *made.batches]
    symbol = currency_symbol(chain)
    left = balances(chain, sorted({name for item in planned for name in item.nets}))
    found = []
    for item, cost in zip(planned, costs(chain, planned), strict=True):
        escrow = {account: left[account] for account in item.nets}
        missing = tuple(
            Missing.of(Shortfall(account, None, escrow[account], -net), names, symbol)
            for account, net in item.nets.items()
            if escrow[account] + net < 0
        )
        if not missing:
            for account, net in item.nets.items():
                left[account] += min(net, 0)  # what is received comes when the batch is final
        found.append(BatchOutlook(item, item in stored, escrow, missing, cost))
    left_out = tuple(
        DebtorOutlook(
            Missing.of(item.shortfall, names, symbol), tuple(trade.seq for trade in item.trades)
        )
        for item in made.left_out
    )
    return Outlook(symbol, names, tuple(found), left_out, made.waiting)


def unsent(session: Session) -> Sequence[VppSettlementBatch]:
    """Return the batches that are planned and not sent, the oldest first."""
    query = (
        select(VppSettlementBatch)
        .outerjoin(ChainIntent, ChainIntent.key == VppSettlementBatch.batch_key)
        .where(
            VppSettlementBatch.state == BatchState.PLANNED,
            (ChainIntent.state == IntentState.PLANNED) | ChainIntent.key.is_(None),
        )
        .order_by(VppSettlementBatch.id)
    )
    return session.scalars(query).all()


def _as_planned(session: Session, row: VppSettlementBatch) -> PlannedBatch:
    kg = zip(row.accounts, row.credit_nets or [], strict=bool(row.credit_nets))
    return PlannedBatch(
        row.batch_key,
        row.market,
        row.trade_count,
        {name: int(net) for name, net in zip(row.accounts, row.nets, strict=True)},
        row.asset,
        {name: int(net) for name, net in kg},
        row.netted_from,
        row.signed_until is not None,
        words_of(session, row),
    )


def require_market(session: Session, name: str | None) -> None:
    """Refuse a market that does not exist, if one is named: else a misspelt name would look like nothing to settle.

    Raises
    ------
    NotFound
        If neither a site file nor a trade has it.
    """
    if name is None:
        return
    query = select(VppSettlementAccount.market).where(VppSettlementAccount.market.is_not(None))
    known = [market for market in session.scalars(query) if market is not None]
    traded = select(VppTradingRecord.id).where(VppTradingRecord.market == name).limit(1)
    if name not in known and session.scalar(traded) is None:
        raise NotFound(
            f"no market {name[:80]!r} ({meant(name, known)}); markets come from site files: "
            "truetonne site apply SITE.toml"
        )


def market_to_retry(chain: Chain, name: str) -> str:
    """Return the market of a batch that failed, after a check that everybody can pay now.

    Parameters
    ----------
    name
        The key of the batch, or its row number.

    Raises
    ------
    NotFound
        If there is no such batch.
    Refused
        If it did not fail, or somebody still cannot pay.
    """
    with chain.db.read() as session:
        batch = find_batch(session, name)
        if batch.state is not BatchState.FAILED:
            raise Refused(
                f"batch {batch.batch_key} is {batch.state.value}; only a failed one is tried again: see "
                f"`truetonne settle status {batch.batch_key}`"
            )
        market = batch.market
    outlook = preview(chain, market)
    able = any(not item.missing for item in outlook.batches)
    if outlook.missing and not able:
        raise Refused(
            "; ".join(item.sentence() for item in outlook.missing)
            + "; or take trades out with: truetonne trades cancel",
            code="not-funded",
        )
    return market
