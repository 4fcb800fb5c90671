"""Which pending trades can be settled now, what is netted together, and what waits and why.

Trades of a market are netted by the hour (``netting_hours``) and by what they are of: energy, or the credits of
one batch. A market rests for a while after the contract refused a batch of it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.chain.access import Chain
from ledger.chain.failures.explanations import with_meaning
from ledger.models import VppSettlementBatch, VppTradingRecord
from ledger.models.settlement import BatchState
from ledger.models.trading import TradeStatus
from ledger.settings.settling import Way
from ledger.settlement import forgotten, singles
from ledger.settlement.elsewhere import assets_of, settled_among
from ledger.settlement.finding import in_a_batch
from ledger.settlement.fitting import (
    HELD_BACK,
    UNREADABLE,
    Terms,
    Waiting,
    above_caps,
    waiting_by_reason,
    why_unfit,
)
from ledger.settlement.netting import Limits
from ledger.settlement.readable import readable
from ledger.settlement.words import Trade
from ledger.units import counted

_NEEDS_NO_REST = ("InsufficientBalance(", "SignaturesExpired(")
"""Refusals after which the next plan is different (somebody is left out, a deadline is later): no need to rest."""


@dataclass(frozen=True)
class Resting:
    """A market whose pending trades wait, because a batch of it was refused lately."""

    market: str
    trades: int
    until: datetime
    said: str
    """Why it was refused."""

    def sentence(self) -> str:
        """Say what waits, until when, and why."""
        number = counted(self.trades, "pending trade")
        waits = "waits" if self.trades == 1 else "wait"
        return (
            f"{number} of {self.market} {waits} until {self.until:%H:%M} UTC, as its last batch was refused: "
            f"{with_meaning(self.said)}; when that is mended, `truetonne settle run` does not wait"
        )


@dataclass(frozen=True)
class Scope:
    """Which of the pending trades shall be planned, and how; by default all of them, as the settings say."""

    rest: timedelta = timedelta(0)
    """How long a market rests after the contract refused a batch of it: a run that is repeated all day must not fill
    the books with refusals."""
    market: str | None = None
    """This market alone; None: all."""
    until: datetime | None = None
    """Trades whose netting hours end after this time wait, as more of the same hours may come; None: none waits."""
    way: Way | None = None
    """Proposed or co-signed; None: as the settings say."""
    signed_until: datetime | None = None
    """Until when the parties may sign; None: as many hours as the settings give them."""
    symbol: str | None = None
    """The currency's symbol, for messages; None: the token is asked."""
    waits: bool = False
    """Whether to wait for trades that another process has locked; else they are left to it."""


Group = tuple[datetime, str, int | None]
"""What is netted together: start of the hours, market, and credit batch (None: energy)."""


def grouped(
    session: Session,
    chain: Chain,
    known: frozenset[str],
    scope: Scope,
    limits: Limits,
    held_back: Collection[int],
) -> tuple[dict[Group, list[Trade]], tuple[Waiting, ...], tuple[Resting, ...]]:
    """Sort the pending trades; return those that can be settled now by group, the unfit ones, and the resting markets.

    Parameters
    ----------
    known
        The accounts whose funds were read. A trade of another one came since, and is in none of the three.
    held_back
        Trades that wait for the number under which the chain has settled them (``numbers``).
    """
    hours = timedelta(hours=chain.settling.netting_hours)
    unfit = [(number, UNREADABLE) for number in _unreadable(session, scope)]
    due = _in_scope(free_trades(session, chain, waits=scope.waits), scope, hours)
    unfit += [(record.id, HELD_BACK) for record in due if record.id in held_back]
    due = [record for record in due if record.id not in held_back]
    resting = _resting_markets(session, scope.rest, Counter(item.market for item in due))
    records = [record for record in due if record.market not in resting]
    if not records:
        return {}, waiting_by_reason(unfit), tuple(resting.values())
    assets = assets_of(session, [record.id for record in records])
    terms, way = Terms.load(session, assets.values()), scope.way or chain.settling.way
    groups: dict[Group, list[Trade]] = defaultdict(list)
    for record in records:
        asset = assets.get(record.id)
        why = why_unfit(record, asset, terms)
        if why is not None:
            unfit.append((record.id, why))
            continue
        trade = terms.accounts.trade(record)
        if not {trade.buyer, trade.seller} <= known:
            continue
        too_much = above_caps(trade, asset, limits)
        if too_much is not None and not is_cosigned(chain, parties_of([trade]), way):
            unfit.append((record.id, too_much))
        else:
            groups[_start_of(record.trade_time, hours), record.market, asset].append(trade)
    return groups, waiting_by_reason(unfit), tuple(resting.values())


def parties_of(trades: Sequence[Trade]) -> set[str]:
    """Return the accounts that buy or sell in trades."""
    return {side for trade in trades for side in (trade.buyer, trade.seller)}


def _in_scope(
    records: Sequence[VppTradingRecord], scope: Scope, hours: timedelta
) -> list[VppTradingRecord]:
    return [
        record
        for record in records
        if scope.market in (None, record.market)
        # The end of the last hour that there is would be no time.
        and (scope.until is None or _start_of(record.trade_time, hours) <= scope.until - hours)
    ]


def _start_of(moment: datetime, hours: timedelta) -> datetime:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return epoch + (moment - epoch) // hours * hours


def _resting_markets(
    session: Session, rest: timedelta, due: Mapping[str, int]
) -> dict[str, Resting]:
    """Return the markets that rest after a refusal, of those in ``due``, which has the number of trades by market."""
    if not rest or not due:
        return {}
    now = datetime.now(UTC)
    query = (
        select(VppSettlementBatch)
        .where(
            VppSettlementBatch.state == BatchState.FAILED,
            VppSettlementBatch.updated_at > now - rest,
            VppSettlementBatch.updated_at < now + rest,  # later: the clock was set back since
            *(VppSettlementBatch.error.not_like(f"%{name}%") for name in _NEEDS_NO_REST),
        )
        .order_by(VppSettlementBatch.updated_at)
    )
    return {
        item.market: Resting(
            item.market, due[item.market], item.updated_at + rest, item.error or "it was refused"
        )
        for item in session.scalars(query)
        if item.market in due
    }


def free_trades(
    session: Session, chain: Chain, *, waits: bool = False
) -> Sequence[VppTradingRecord]:
    """Lock and return the pending trades that can still be planned: in no batch, and settled in no other way.

    Parameters
    ----------
    waits
        Whether to wait for those that another process has locked; else they are left out.
    """
    query = (
        select(VppTradingRecord)
        .where(VppTradingRecord.status == TradeStatus.PENDING, ~in_a_batch(), readable(session))
        .order_by(VppTradingRecord.id)
        .with_for_update(skip_locked=not waits)
    )
    records = session.scalars(query).all()
    if not records:
        return []
    settled = settled_among(session, [record.id for record in records])
    if settled:
        forgotten.execute_late(session, chain, settled)
    taken = {item.trade.seq for item in settled}
    taken |= forgotten.taken_numbers(session) | singles.under_way(session)
    return [record for record in records if record.id not in taken]


def _unreadable(session: Session, scope: Scope) -> list[int]:
    """Return the pending trades without a side or a time: to guess could move money the wrong way."""
    query = select(VppTradingRecord.id).where(
        VppTradingRecord.status == TradeStatus.PENDING, ~in_a_batch(), ~readable(session)
    )
    if scope.market is not None:
        query = query.where(VppTradingRecord.market == scope.market)
    return list(session.scalars(query.order_by(VppTradingRecord.id)))


def is_cosigned(chain: Chain, accounts: Collection[str], way: Way) -> bool:
    """Return whether a batch of these accounts is signed by them; else the operator proposes it.

    With ``Way.AUTO`` it is if the keys of all of them are at hand.
    """
    if way is Way.AUTO:
        return set(accounts) <= set(chain.keyring.addresses)
    return way is Way.COSIGNED
