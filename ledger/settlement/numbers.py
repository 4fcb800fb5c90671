"""Gives trades back the number under which the chain has them, after the books were restored.

The number of a trade is that of its row, and the contract knows a trade by its number alone. Books that were
restored from before a trade came do not know it; when it is imported again, it may get another number, and the
contract would settle it a second time. So trades that the chain has and these books do not are compared with
pending trades by content: parties, quantity, price and what is traded. Where several agree in all of that, it makes
no difference to anybody's money which of them is which. A party that has another account since is known by those that
it had before, too; where an account passed from one party to another, the first trade that matches is taken.
"""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial
from itertools import count
from typing import NamedTuple

from sqlalchemy import func, inspect, select, update
from sqlalchemy.orm import Session

from ledger import audit
from ledger.db import tables
from ledger.models import (
    AuditLog,
    ChainEvent,
    SettlementBatch,
    VppMarketBid,
    VppTradeCredit,
    VppTradeShortfall,
    VppTradingRecord,
)
from ledger.models.escrow import SettlementStatus
from ledger.models.trading import TradeStatus
from ledger.settlement import confirm, forgotten, renumbered, signatures, singles
from ledger.settlement.elsewhere import (
    ENERGY,
    PROPOSED_BY,
    Accounts,
    assets_of,
    figures_of,
    keys_elsewhere,
    unaccounted,
)
from ledger.settlement.finding import in_a_batch, resource_of, trades_among
from ledger.settlement.readable import readable
from ledger.settlement.words import Trade, trade_of

_REASON = "the chain has this trade under this number; the books were restored from before it came"
_EVICTED = "the chain has another trade under the former number; the books were restored from before that came"
_NUMBER_MAX = 2**62
"""The highest number that a trade takes over from the chain: behind the last that a row can have none could come."""
_COUNTED_MAX = 2**52
"""The highest of others that is counted on from: they may take any, and JavaScript reads them up to 2**53."""

Content = tuple[str, str, int, int, int]
"""Buyer, seller, thousandths of the quantity, ten-thousandths of the price, what is traded."""


class GivenBack(NamedTuple):
    """What ``give_back`` did with the numbers of trades."""

    waiting: set[int]
    """Trades that the chain has settled under a number which another trade has here, and cannot give up yet, as
    something is on its way with it. Planned as they are, they would be settled twice. By their number here."""
    on_chain: set[int]
    """Those, and the trades that got the chain's number now; by the number that they had before."""
    evicted: set[int]
    """Trades whose number is another trade's on chain, and that got a new one; by the number that they had before.
    The chain may have some of them as well."""


def give_back(session: Session) -> GivenBack:
    """Give pending trades the numbers under which the chain has them.

    What is planned with such trades and not sent yet is withdrawn; ``plan`` takes them up again. Call it when the
    mirror has read everything that our accounts sent (``Sender.check_known``).
    """
    done = GivenBack(set(), set(), set())
    pending = select(VppTradingRecord.id).where(VppTradingRecord.status == TradeStatus.PENDING)
    if session.scalar(pending.limit(1)) is None:
        return done
    alone = singles.sent_without_number(session)
    claimed = _claimed(session, alone)
    if not claimed:
        return done
    accounts = Accounts.load(session)
    kept = _kept(session, accounts, claimed)
    orphans = {number: content for number, content in claimed.items() if number not in kept}
    if not orphans:
        return done
    _withdraw_planned(session, accounts, orphans)
    free = _free(session, accounts, kept, alone)
    waiting = _Waiting(free.values())
    unused, taken = _unused(session, claimed), _rows_with(session, orphans)
    before: dict[int, int] = {}
    for number in sorted(orphans):
        holder = free.get(number)
        if holder is not None:  # under a number that another trade has it would wait for ever
            waiting.remove(holder)
            renamed = _renumber(session, holder.record, next(unused), _EVICTED)
            free[renamed.id] = _Free(renamed, holder.contents)
            waiting.add(free[renamed.id])
            before[renamed.id] = number
            done.evicted.add(number)
            taken.discard(number)
        matching = waiting.first(orphans[number])
        if matching is not None:
            record = matching.record
            if holder is None and (ended := _ended(session, number)) is not None:
                _renumber(session, ended, next(unused), _EVICTED)
                taken.discard(number)
            waiting.remove(matching)
            del free[record.id]
            done.on_chain.add(before.get(record.id, record.id))
            if number in taken:  # of a batch that is sent: when that has failed
                done.waiting.add(record.id)
                continue
            taken.discard(record.id)
            _renumber(session, record, number, _REASON)
    session.flush()
    return done


class _Free(NamedTuple):
    """A pending trade that nothing has begun with, and what it may be to the chain."""

    record: VppTradingRecord
    contents: list[Content]


class _Waiting:
    """The trades that wait for their number on chain, by each content that they may have there."""

    def __init__(self, free: Iterable[_Free]) -> None:
        self._by_content: dict[Content, list[_Free]] = defaultdict(list)
        for item in free:
            self.add(item)

    def add(self, item: _Free) -> None:
        for content in item.contents:
            insort(self._by_content[content], item, key=partial(_place, content=content))

    def remove(self, item: _Free) -> None:
        for content in item.contents:
            self._by_content[content].remove(item)

    def first(self, content: Content) -> _Free | None:
        """Return the oldest of a content; one with today's accounts goes before."""
        return next(iter(self._by_content[content]), None)


def _place(item: _Free, content: Content) -> tuple[object, ...]:
    return item.contents[0] != content, *_age(item.record)


def _rows_with(session: Session, numbers: Iterable[int]) -> set[int]:
    """Return which of some numbers are those of rows: the key of MariaDB's table takes a number twice."""
    return {
        number
        for here in tables.among(session, VppTradingRecord.id, list(numbers))
        for number in session.scalars(select(VppTradingRecord.id).where(here))
    }


def _claimed(session: Session, alone: dict[int, tuple[Trade, int]]) -> dict[int, Content]:
    """Return the trades that stand on chain in no batch of these books, by number; no singles that are executed.

    And those of calls of ours that are on their way again, as a fork took back that they had failed, under a number
    that is another trade's by now, or none's: settled under its new number as well, such a trade would be paid twice.
    """
    query = (
        select(ChainEvent.args, SettlementBatch.asset)
        .join(SettlementBatch, PROPOSED_BY)
        .where(SettlementBatch.status != SettlementStatus.CANCELLED)
    )
    again = signatures.sent_without_number(session) | alone
    found = {number: _content(trade, asset) for number, (trade, asset) in again.items()}
    found |= {
        trade.seq: _content(trade, asset or ENERGY)
        for here in tables.among(session, SettlementBatch.key, keys_elsewhere(session))
        for args, asset in session.execute(query.where(here))
        for trade in (trade_of(args["accounts"], int(word)) for word in args["words"])
    }
    found |= {
        item.trade.seq: _content(item.trade, item.asset or ENERGY) for item in unaccounted(session)
    }
    return {number: content for number, content in found.items() if number <= _NUMBER_MAX}


def _unused(session: Session, claimed: Iterable[int]) -> Iterator[int]:
    """Yield numbers that neither books nor chain have, behind those of both."""
    own = session.scalar(select(func.max(VppTradingRecord.id))) or 0
    last = max(own, *(number for number in claimed if number <= _COUNTED_MAX), 0)
    taken = set(claimed)
    return (number for number in count(last + 1) if number not in taken)


def _content(trade: Trade, asset: int) -> Content:
    return trade.buyer, trade.seller, trade.quantity_milli, trade.price_e4, asset


def _contents(
    session: Session, records: Iterable[VppTradingRecord], accounts: Accounts
) -> dict[int, list[Content]]:
    """Return what trades of the books may be to the chain, by number; without those that have no account.

    What they are with the accounts of today comes first.
    """
    listed = list(records)
    assets = assets_of(session, [record.id for record in listed])
    found = {}
    for record in listed:
        _, quantity_milli, price_e4 = figures_of(record)
        asset = assets.get(record.id, ENERGY)
        contents = [
            (*parties, quantity_milli, price_e4, asset) for parties in accounts.possible(record)
        ]
        if contents:
            found[record.id] = contents
    return found


def _kept(session: Session, accounts: Accounts, claimed: Mapping[int, Content]) -> set[int]:
    """Return the numbers whose trade keeps them.

    The books have what the chain has, by whatever account a party had then; or they have sent the trade
    themselves, or had it signed, or have executed it: it is the same one, even if somebody has edited it since.
    """
    records = trades_among(session, claimed).values()
    assets = assets_of(session, [record.id for record in records])

    def is_it(record: VppTradingRecord) -> bool:
        buyer, seller, quantity_milli, price_e4, asset = claimed[record.id]
        trade = Trade(record.id, buyer, seller, quantity_milli, price_e4)
        return assets.get(record.id, ENERGY) == asset and accounts.is_of(record, trade)

    others = {
        record.id
        for record in records
        if record.status is not TradeStatus.EXECUTED and not is_it(record)
    }
    ours = singles.settled_by_us(session, others) | signatures.settled_as_signed(session) & others
    return {record.id for record in records} - others | ours | _unreadable(session, claimed)


def _unreadable(session: Session, numbers: Iterable[int]) -> set[int]:
    """Return which of some numbers have rows that cannot be read: nobody knows whose they are."""
    return {
        number
        for here in tables.among(session, VppTradingRecord.id, list(numbers))
        for number in session.scalars(select(VppTradingRecord.id).where(here, ~readable(session)))
    }


def _withdraw_planned(session: Session, accounts: Accounts, orphans: Mapping[int, Content]) -> None:
    """Take back what is planned, and not sent, with trades of these contents or numbers."""
    pending = select(VppTradingRecord).where(
        VppTradingRecord.status == TradeStatus.PENDING, readable(session)
    )
    contents = set(orphans.values())
    concerned = [
        number
        for number, possible in _contents(session, session.scalars(pending), accounts).items()
        if number in orphans or not contents.isdisjoint(possible)
    ]
    forgotten.withdraw(session, concerned, "under other numbers")
    singles.withdraw(session, concerned, "the chain has the trade, or its number, already")


def _free(
    session: Session, accounts: Accounts, kept: set[int], alone: Collection[int]
) -> dict[int, _Free]:
    """Return the pending trades that nothing has begun with, the oldest first, by number.

    Parameters
    ----------
    alone
        Numbers under which a call of ours is on its way with another trade (``singles.sent_without_number``).
    """
    query = (
        select(VppTradingRecord)
        .where(
            VppTradingRecord.status == TradeStatus.PENDING,
            ~in_a_batch(),
            readable(session),
        )
        .with_for_update()
    )
    begun = singles.under_way(session).difference(alone) | kept
    records = [record for record in session.scalars(query) if record.id not in begun]
    contents = _contents(session, records, accounts)
    return {
        record.id: _Free(record, contents[record.id])
        for record in sorted(records, key=_age)
        if record.id in contents
    }


def _ended(session: Session, number: int) -> VppTradingRecord | None:
    """Return the trade of a number that was taken out, or has failed, without a batch: it leaves the number free."""
    query = select(VppTradingRecord).where(
        VppTradingRecord.id == number,
        VppTradingRecord.status.in_((TradeStatus.CANCELLED, TradeStatus.FAILED)),
        ~in_a_batch(),
    )
    return session.scalars(query.with_for_update()).first()


def _age(record: VppTradingRecord) -> tuple[object, int]:
    return record.trade_time, record.id


def _renumber(
    session: Session, record: VppTradingRecord, number: int, reason: str
) -> VppTradingRecord:
    """Put a trade into a row of another number; a new row, so that the database counts on from it."""
    old = record.id
    columns = [attribute.key for attribute in inspect(VppTradingRecord).column_attrs]
    values = {name: getattr(record, name) for name in columns} | {"id": number}
    session.delete(record)
    session.flush()
    renamed = VppTradingRecord(**values)
    session.add(renamed)
    session.flush()
    for table in (VppTradeCredit, VppTradeShortfall, VppMarketBid):
        session.execute(update(table).where(table.trade_id == old).values(trade_id=number))
    there, here = map(resource_of, (old, number))
    audit.record(session, renumbered.ACTION, here, {"id": old}, {"id": number, "reason": reason})
    if renamed.status is TradeStatus.CANCELLED:
        _tell_again(session, there, here)
    return renamed


def _tell_again(session: Session, there: str, here: str) -> None:
    """Have the audit log say under its new number why a trade was taken out by hand."""
    query = select(AuditLog).where(AuditLog.action == confirm.TAKEN_OUT, AuditLog.resource == there)
    for entry in session.scalars(query.order_by(AuditLog.id.desc()).limit(1)).all():
        audit.record(
            session, confirm.TAKEN_OUT, here, entry.old_values or {}, entry.new_values or {}
        )
