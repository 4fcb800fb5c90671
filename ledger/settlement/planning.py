"""Makes batches of the pending trades, and stores them in one commit.

What is netted together (``pending``) is planned the earliest hours first. Who lacks funds is left out, and the
rest is netted anew (``netting``). A trade stands in one live batch at most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from ledger.chain.access import Chain
from ledger.chain.sending import intents
from ledger.chain.sending.intents import new_key
from ledger.db.sqltext import clock_of
from ledger.errors import Refused
from ledger.models import VppSettlementBatch, VppSettlementItem, VppTradingRecord
from ledger.models.settlement import BatchState
from ledger.models.trading import TradeStatus
from ledger.settlement import forgotten, numbers, shortfalls, singles, stuck
from ledger.settlement.calls import proposal_of
from ledger.settlement.elsewhere import Accounts, assets_of
from ledger.settlement.finding import in_a_batch
from ledger.settlement.fitting import Waiting
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
from ledger.settlement.pending import Group, Resting, Scope, grouped, is_cosigned, parties_of
from ledger.settlement.tree import trades_root
from ledger.settlement.words import Trade, hex_words, pack, seq_of


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
    held_back: frozenset[int] = frozenset()
    """Trades that wait for the number under which the chain has settled them, which another one has here."""


_NO_LIMITS = Limits()


def read_limits(chain: Chain) -> Limits:
    """Ask node and contract what one batch may hold."""
    block_gas = chain.client.head().gas_limit
    return Limits.of(block_gas, chain.keyring.gas_max, *chain.settlement.caps())


def read_funds(chain: Chain) -> Funds | None:
    """Read from the chain what the parties of the pending trades have in escrow; None: no trade is pending."""
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
    session: Session,
    chain: Chain,
    funds: Funds | None,
    scope: Scope,
    limits: Limits = _NO_LIMITS,
    *,
    looks_back: bool = True,
) -> Plan:
    """Store batches of the pending trades that stand in none; return these, and which trades wait or failed.

    Parameters
    ----------
    funds
        What ``read_funds`` said before this transaction began. A trade of a party that is not in it came
        later, and waits for the next run.
    limits
        What one batch may hold, as ``read_limits`` said.
    looks_back
        Whether to look for what was settled without these books (``standstill``). Not to do so is no danger to money:
        before anything is sent its numbers are looked at again (``submit_planned``), and the contract takes each once.

    Raises
    ------
    Refused
        If trades do not fit one batch's fields.
    """
    held_back = _look_back(session, chain, funds is not None) if looks_back else set()
    if funds is None:
        return Plan(held_back=frozenset(held_back))
    known, funds = frozenset(funds.cents), funds.copy()
    _take_promised(session, funds)
    way = scope.way or chain.settling.way
    groups, waiting, resting = grouped(session, chain, known, scope, limits, held_back)
    names = participants(session) if groups else {}

    def say(short: Shortfall) -> str:
        return Missing.of(short, names, scope.symbol or "of the currency").sentence()

    planned: list[PlannedBatch] = []
    left_out: list[LeftOut] = []
    for group in sorted(groups, key=lambda item: (item[0], item[1], item[2] or 0)):
        asset, trades = group[2], groups[group]
        signed = is_cosigned(chain, parties_of(trades), way)
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
    return Plan(
        tuple(planned), tuple(left_out), tuple(failed), waiting, resting, frozenset(held_back)
    )


def _look_back(session: Session, chain: Chain, some_wait: bool) -> set[int]:
    """Put right what was settled without these books; return the trades that wait for their number on chain."""
    held_back = numbers.give_back(session).waiting
    adopted = forgotten.adopt(session, chain)
    # Where trades wait, the batches of others are read in any case.
    forgotten.execute_ended(session, chain, also_in_batches=bool(adopted) or some_wait)
    forgotten.withdraw_overtaken(session)
    return held_back


def _numbers(batch: PlannedBatch) -> list[int]:
    return [seq_of(word) for word in batch.words]


def _take_promised(session: Session, funds: Funds) -> None:
    """Deduct from the funds what planned batches and single trades will pay that the mirror has not seen on chain."""
    query = select(VppSettlementBatch).where(VppSettlementBatch.state == BatchState.PLANNED)
    for batch in session.scalars(query):
        nets, kg = (
            {account: int(net) for account, net in zip(batch.accounts, found, strict=bool(found))}
            for found in (batch.nets, batch.credit_nets or [])
        )
        funds.promise(nets, batch.asset, kg)
    for trade, asset in singles.unseen(session):
        funds.promise(nets_in_cents([trade]), asset, nets_in_kg([trade], asset))


def _store(
    session: Session, chain: Chain, group: Group, trades: Sequence[Trade], scope: Scope
) -> PlannedBatch:
    """Store a batch of trades, and the intent of its proposal, unless its parties have to sign it first."""
    netted_from, market, asset = group
    try:
        packed = pack(trades)
    except ValueError as error:
        raise Refused(str(error)) from error
    key, now = new_key(), datetime.now(UTC)
    cosigned = is_cosigned(chain, packed.accounts, scope.way or chain.settling.way)
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


def _signed_until(session: Session, chain: Chain, scope: Scope) -> datetime:
    if scope.signed_until is not None:
        return scope.signed_until
    # The contract goes by the chain's clock, which may be ahead of ours: on a test chain by days.
    now = max(stuck.chain_time(session), datetime.now(UTC))
    return (now + timedelta(hours=chain.settling.signing_hours)).replace(microsecond=0)
