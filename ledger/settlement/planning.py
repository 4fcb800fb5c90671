"""Which pending trades are settled together: frozen as batches, in one commit.

Trades of a market are netted by the hour (``netting_hours``) and by what they are of, the earliest hours
first. Who lacks funds is left out, and the rest is netted anew. A trade stands in one live batch at most.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from ledger.chain.access import Chain
from ledger.chain.failures.explanations import with_meaning
from ledger.chain.sending import intents
from ledger.chain.sending.intents import new_key
from ledger.db.sqltext import clock_of
from ledger.errors import Refused
from ledger.models import (
    VppSettlementBatch,
    VppSettlementItem,
    VppTradingRecord,
)
from ledger.models.settlement import BatchState
from ledger.models.trading import TradeStatus
from ledger.settings.settling import Way
from ledger.settlement import forgotten, numbers, shortfalls, singles, stuck
from ledger.settlement.calls import proposal_of
from ledger.settlement.elsewhere import Accounts, assets_of, settled_among
from ledger.settlement.finding import in_a_batch, readable
from ledger.settlement.fitting import (
    HELD_BACK,
    UNREADABLE,
    Terms,
    Waiting,
    above_caps,
    waiting_by_reason,
    why_unfit,
)
from ledger.settlement.money import Missing, participants
from ledger.settlement.netting import (
    Funds,
    LeftOut,
    Limits,
    Shortfall,
    nets_in_cents,
    nets_in_kg,
    parts,
    without_the_insolvent,
)
from ledger.settlement.tree import trades_root
from ledger.settlement.words import Trade, hex_words, pack, unpack
from ledger.units import counted

_NEEDS_NO_REST = ("InsufficientBalance(", "SignaturesExpired(")
"""Refusals that the next planning answers, by leaving somebody out or by a later deadline: the market need not rest."""


@dataclass(frozen=True)
class PlannedBatch:
    """A batch that is stored and not yet on chain."""

    key: str
    market: str
    trades: int
    """How many."""
    nets: dict[str, int]
    """Cents by account."""
    asset: int | None = None
    """The credit batch that is traded; None: energy."""
    credit_nets: dict[str, int] = field(default_factory=dict)
    """Kilograms of the asset by account; empty for energy."""
    netted_from: datetime | None = None
    """The start of its hours."""
    cosigned: bool = False
    """Whether its parties sign it; else the operator proposes it."""
    words: tuple[int, ...] = ()
    """Its trades, packed as the contract takes them."""


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
class Plan:
    """What came of the pending trades."""

    batches: tuple[PlannedBatch, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    """Those whose party lacks funds."""
    failed: tuple[int, ...] = ()
    """Those that have failed for it."""
    waiting: tuple[Waiting, ...] = ()
    """Those that wait because they are unfit, by reason."""
    resting: tuple[Resting, ...] = ()
    """Those that wait because the contract refused a batch of their market lately."""


@dataclass(frozen=True)
class Scope:
    """What of the pending trades shall be planned, and how."""

    rest: timedelta = timedelta(0)
    """How long a market rests after the contract refused a batch of it: what is repeated all day does not fill the
    books with refusals."""
    market: str | None = None
    """This market alone; None: all."""
    until: datetime | None = None
    """Trades of hours that end later wait for the rest of their hour; None: none does."""
    way: Way | None = None
    """Proposed or co-signed; None: as the policy says."""
    signed_until: datetime | None = None
    """Until when the parties may sign; None: as many hours as the settings give them."""
    symbol: str | None = None
    """Of the currency, for what is said of money; None: the token is asked."""
    waits: bool = False
    """Whether trades that another process holds are waited for; else they are left to it."""


_Group = tuple[datetime, str, int | None]
"""What is netted together: start of the hours, market, and credit batch (None: energy)."""
_NO_LIMITS = Limits()


def read_limits(chain: Chain) -> Limits:
    """Ask node and contract what one batch may hold."""
    block_gas = chain.client.head().gas_limit
    return Limits.of(block_gas, chain.keyring.gas_max, *chain.settlement.caps())


def read_funds(chain: Chain) -> Funds | None:
    """Read from the chain what the parties of the pending trades have in escrow; None: none is pending."""
    with chain.db.read() as session:
        pending = session.execute(
            select(VppTradingRecord.id, VppTradingRecord.vpp_id, VppTradingRecord.market).where(
                VppTradingRecord.status == TradeStatus.PENDING, ~in_a_batch()
            )
        ).all()
        if not pending:
            return None
        accounts = Accounts.load(session)
        assets = assets_of(session, [number for number, _, _ in pending])
    parties: set[str] = set()
    pairs: set[tuple[str, int]] = set()
    for number, vpp_id, market in pending:
        for account in (accounts.plants.get(vpp_id), accounts.markets.get(market)):
            if account is None:
                continue
            parties.add(account)
            if number in assets:
                pairs.add((account, assets[number]))
    wanted, holders = sorted(parties), sorted(pairs)
    per_cent = chain.settlement.units_per_cent()
    units = chain.settlement.balances_of(wanted) if wanted else []
    kg = chain.settlement.credit_balances_of(holders) if holders else []
    return Funds(
        {account: amount // per_cent for account, amount in zip(wanted, units, strict=True)},
        dict(zip(holders, kg, strict=True)),
    )


def plan(
    session: Session, chain: Chain, funds: Funds | None, scope: Scope, limits: Limits = _NO_LIMITS
) -> Plan:
    """Store batches of the pending trades that stand in none.

    Parameters
    ----------
    funds
        What ``read_funds`` said before this transaction began. Trades of parties that it does not know
        have come since, and wait for the next time.
    limits
        What one batch may hold, as ``read_limits`` said.

    Raises
    ------
    Refused
        If trades do not fit one batch's fields.
    """
    held_back = numbers.give_back(session).waiting
    forgotten.adopt(session, chain)
    forgotten.withdraw_overtaken(session)
    if funds is None:
        return Plan()
    known, funds = frozenset(funds.cents), funds.copy()
    _take_promised(session, funds)
    way = scope.way or chain.settling.way
    groups, waiting, resting = _grouped(session, chain, known, scope, limits, held_back)
    names = participants(session) if groups else {}

    def say(short: Shortfall) -> str:
        return Missing.of(short, names, scope.symbol or "of the currency").sentence()

    planned: list[PlannedBatch] = []
    left_out: list[LeftOut] = []
    for group in sorted(groups, key=lambda item: (item[0], item[1], item[2] or 0)):
        asset, trades = group[2], groups[group]
        signed = _is_cosigned(chain, _parties(trades), way)
        for part in parts(trades, limits.without_caps() if signed else limits, asset):
            kept, out = without_the_insolvent(part, asset, funds)
            left_out += out
            if kept:
                batch = _store(session, chain, group, kept, scope)
                funds.promise(batch.nets, batch.asset, batch.credit_nets)
                planned.append(batch)
    # What is planned, and what waits for something else by now: nobody has asked for its money.
    elsewhere = [number for item in waiting for number in item.trades]
    shortfalls.forget(session, [*elsewhere, *(n for item in planned for n in _numbers(item))])
    now = datetime.now(UTC)
    if left_out:  # by a clock that is ahead alone, all that wait would fail at once
        now = min(now, clock_of(session))
    failed = shortfalls.record(session, left_out, say, now, chain.settling.patience)
    return Plan(tuple(planned), tuple(left_out), tuple(failed), waiting, resting)


def _numbers(batch: PlannedBatch) -> list[int]:
    return [unpack(word).seq for word in batch.words]


def _take_promised(session: Session, funds: Funds) -> None:
    """Take what the batches, and trades by themselves, will pay that the mirror has not seen on chain."""
    query = select(VppSettlementBatch).where(VppSettlementBatch.state == BatchState.PLANNED)
    for batch in session.scalars(query):
        nets, kg = (
            {account: int(net) for account, net in zip(batch.accounts, found, strict=bool(found))}
            for found in (batch.nets, batch.credit_nets or [])
        )
        funds.promise(nets, batch.asset, kg)
    for trade, asset in singles.unseen(session):
        funds.promise(nets_in_cents([trade]), asset, nets_in_kg([trade], asset))


def _grouped(
    session: Session,
    chain: Chain,
    known: frozenset[str],
    scope: Scope,
    limits: Limits,
    held_back: Collection[int],
) -> tuple[dict[_Group, list[Trade]], tuple[Waiting, ...], tuple[Resting, ...]]:
    """Return the trades that can be settled now, by what is netted together; which are unfit; and which markets rest.

    A trade of a party that is not ``known`` is in none of them: it came since the funds were read.
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
    groups: dict[_Group, list[Trade]] = defaultdict(list)
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
        if too_much is not None and not _is_cosigned(chain, _parties([trade]), way):
            unfit.append((record.id, too_much))
        else:
            groups[_start_of(record.trade_time, hours), record.market, asset].append(trade)
    return groups, waiting_by_reason(unfit), tuple(resting.values())


def _parties(trades: Sequence[Trade]) -> set[str]:
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
    """Return those of the markets that rest after a refusal, with the last one; ``due``: trades by market."""
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
    """Return the pending trades that stand in no batch and are not settled otherwise, locked.

    Parameters
    ----------
    waits
        Whether those that another process holds are waited for; else they are left out.
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
    """Return the pending trades without a side or a time: read as anything, money would move the wrong way."""
    query = select(VppTradingRecord.id).where(
        VppTradingRecord.status == TradeStatus.PENDING, ~in_a_batch(), ~readable(session)
    )
    if scope.market is not None:
        query = query.where(VppTradingRecord.market == scope.market)
    return list(session.scalars(query.order_by(VppTradingRecord.id)))


def _store(
    session: Session, chain: Chain, group: _Group, trades: Sequence[Trade], scope: Scope
) -> PlannedBatch:
    """Store a batch of trades; with it the intent of its proposal, unless its parties sign it."""
    netted_from, market, asset = group
    try:
        packed = pack(trades)
    except ValueError as error:
        raise Refused(str(error)) from error
    key, now = new_key(), datetime.now(UTC)
    cosigned = _is_cosigned(chain, packed.accounts, scope.way or chain.settling.way)
    kg = nets_in_kg(trades, asset)
    batch = VppSettlementBatch(
        batch_key=key,
        market=market,
        state=BatchState.PLANNED,
        trade_count=len(trades),
        accounts=list(packed.accounts),
        nets=[str(net) for net in packed.nets],
        trades_root=trades_root(key, packed.accounts, packed.words),
        asset=asset,
        credit_nets=None if asset is None else [str(kg[each]) for each in packed.accounts],
        netted_from=netted_from,
        signed_until=_signed_until(session, chain, scope) if cosigned else None,
        created_at=now,
        updated_at=now,
    )
    session.add(batch)
    session.flush()
    listed = sorted(trade.seq for trade in trades)
    session.execute(
        insert(VppSettlementItem),
        [
            {"batch_id": batch.id, "trade_id": number, "word": word}
            for number, word in zip(listed, hex_words(packed.words), strict=True)
        ],
    )
    if not cosigned:
        proposal = proposal_of(chain, key, asset, packed.accounts, packed.words)
        intents.plan(session, chain.deployment.chain_id, proposal)
    nets: Mapping[str, int] = dict(zip(packed.accounts, packed.nets, strict=True))
    return PlannedBatch(
        key, market, len(trades), dict(nets), asset, kg, netted_from, cosigned, packed.words
    )


def _is_cosigned(chain: Chain, accounts: Collection[str], way: Way) -> bool:
    if way is Way.AUTO:
        return set(accounts) <= set(chain.keyring.addresses)
    return way is Way.COSIGNED


def _signed_until(session: Session, chain: Chain, scope: Scope) -> datetime:
    if scope.signed_until is not None:
        return scope.signed_until
    # The contract goes by the chain's clock, which may be ahead of ours: on a test chain by days.
    now = stuck.chain_time(session)
    return (now + timedelta(hours=chain.settling.signing_hours)).replace(microsecond=0)
