"""Fetches what the events of a range need of rows that were there before: one query a table, before any handler."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select, union_all
from sqlalchemy.orm import InstrumentedAttribute, Session

from indexer.creditlog import CreditLog
from ledger.chain.contracts.events import DecodedEvent, names_in_log
from ledger.db import tables
from ledger.models import ChainEvent, CreditSite, Issuance, SettlementBatch, VppSettlementBatch
from ledger.serials import site_and_ordinal

_OF_BATCHES = ("BatchProposed", "BatchFinalized", "BatchCancelled", "DisputeResolved")
"""Events after which a settlement batch of these books is not what it was."""
_ENDS = ("BatchFinalized", "BatchCancelled")
"""Events at which money and credits move as it was computed when the batch was proposed."""


@dataclass(frozen=True)
class Outcome:
    """What a settlement batch comes to, by account in order: cents after the fee, kg of the asset."""

    asset: int
    accounts: tuple[str, ...]
    nets: tuple[int, ...]
    credit_nets: tuple[int, ...]


@dataclass(frozen=True)
class Site:
    """Code of a site, and the end of its last period in seconds since 1970."""

    code: str
    minted_until_s: int


@dataclass
class Lookups:
    """Rows of before, as far as the events of a range speak of them."""

    legal_years: dict[tuple[str, str], int] = field(default_factory=dict)
    """The year of an issuance by the law of its site, by key and evidence root: the books know it, not the chain."""
    our_batches: frozenset[str] = frozenset()
    """Keys of the settlement batches that these books planned."""
    sites: dict[int, Site] = field(default_factory=dict)
    """Sites, by number."""
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    """What settlement batches come to that were proposed before."""

    @classmethod
    def of(cls, session: Session, events: Sequence[DecodedEvent]) -> Lookups:
        """Look up what the events of a range need; those that come by column need nothing."""
        by_name: dict[str, list[DecodedEvent]] = defaultdict(list)
        for event in events:
            by_name[event.name].append(event)
        issued = by_name["Issued"]
        keys = {event.args.key for event in issued}
        site_ids = {site_and_ordinal(event.args.batch_id)[0] for event in issued}
        ended = {event.args.batch_id for name in _ENDS for event in by_name[name]}
        batch_keys = {event.args.key for name in _OF_BATCHES for event in by_name[name]}
        return cls(
            legal_years={
                (key, root): year
                for key, root, year in _rows(
                    session, [Issuance.key, Issuance.evidence_root, Issuance.vintage], keys
                )
            },
            our_batches=frozenset(
                key for (key,) in _rows(session, [VppSettlementBatch.batch_key], batch_keys)
            ),
            sites={
                site_id: Site(code, until)
                for site_id, code, until in _rows(
                    session,
                    [CreditSite.site_id, CreditSite.code, CreditSite.minted_until_s],
                    site_ids,
                )
            },
            outcomes=_outcomes(session, ended),
        )


def credit_log(session: Session, up_to_block: int) -> CreditLog:
    """Return the end of the credit log as it is mirrored, at a block: another mirror may be ahead by now."""
    # The newest block of each kind of entry is the end of a part of an index.
    newest = select(func.max(ChainEvent.block_number)).where(ChainEvent.block_number <= up_to_block)
    of_each = union_all(*(newest.where(ChainEvent.event_name == name) for name in names_in_log()))
    numbers = [number for number in session.scalars(of_each) if number is not None]
    if not numbers:
        return CreditLog()
    query = (
        select(ChainEvent.seq, ChainEvent.head)
        .where(ChainEvent.block_number == max(numbers), ChainEvent.seq.is_not(None))
        .order_by(ChainEvent.log_index.desc())
        .limit(1)
    )
    row = session.execute(query).one_or_none()
    return CreditLog() if row is None else CreditLog(row.seq, row.head)


def _outcomes(session: Session, batch_ids: Collection[int]) -> dict[int, Outcome]:
    columns = [
        SettlementBatch.batch_id,
        SettlementBatch.asset,
        SettlementBatch.accounts,
        SettlementBatch.nets,
        SettlementBatch.credit_nets,
    ]
    return {
        batch_id: Outcome(asset, tuple(accounts), tuple(map(int, nets)), tuple(map(int, kg)))
        for batch_id, asset, accounts, nets, kg in _rows(session, columns, batch_ids)
    }


def _rows(
    session: Session, columns: Sequence[InstrumentedAttribute[Any]], keys: Collection[Any]
) -> Iterator[Any]:
    """Yield columns of the rows with these keys; the first column is the key."""
    for here in tables.among(session, columns[0], keys):
        yield from session.execute(select(*columns).where(here))
