"""Rows that follow from other rows of the mirror: the serials of a batch, holdings, escrow balances.

Each can be computed again from the journals it follows from (``ledger.reconcile`` does so). A holding or a
balance of zero has no row: so the tables are the same whatever order of events led to them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
from msgspec.structs import replace
from sqlalchemy import delete, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from indexer.altered import MISSED
from ledger.db import composite_keys, tables
from ledger.db.behind import Behind, behind
from ledger.errors import MirrorStopped
from ledger.models import (
    Base,
    CarbonCredit,
    CreditBatch,
    CreditCancellation,
    CreditHolding,
    CreditSerial,
    CreditSite,
    SettlementBalance,
)
from ledger.models.credits import BatchStatus
from ledger.serials import CreditStatus, Run, active_run, credit_id

UNIT = "tCO2e"
"""What ``carbon_credits.amount`` counts: tonnes of CO2 equivalent, with three decimals."""


class BatchFacts(msgspec.Struct, frozen=True, gc=False):
    """What all rows of ``carbon_credits`` of a batch have in common."""

    site_code: str
    vintage: int
    ordinal: int
    issuer: str
    tx_hash: str
    issued_at: datetime
    expires_at: datetime | None


def expiry(expires_at_s: int) -> datetime | None:
    """Return when a batch ends, by its epoch second; None for never."""
    return datetime.fromtimestamp(expires_at_s, UTC) if expires_at_s else None


class Standing(msgspec.Struct, frozen=True, gc=False):
    """A batch as it stands: its facts, its totals in kg, and its status on chain."""

    facts: BatchFacts
    status: BatchStatus
    issued_kg: int
    retired_kg: int
    cancelled_kg: int

    @property
    def left(self) -> Run | None:
        """What is left of it: active, unless the whole batch is cancelled; None when nothing is."""
        run = active_run(self.issued_kg, self.retired_kg, self.cancelled_kg)
        if run is not None and self.status is BatchStatus.CANCELLED:
            return replace(run, status=CreditStatus.CANCELLED)
        return run

    @property
    def left_id(self) -> str | None:
        """The ``credit_id`` of what is left."""
        run = self.left
        return None if run is None else _credit_id(self.facts, run)

    def after(self, changes: Mapping[str, Any]) -> Standing:
        """Return the batch after changes of its columns."""
        return Standing(
            self.facts,
            changes.get("status", self.status),
            self.issued_kg,
            changes.get("retired_kg", self.retired_kg),
            changes.get("cancelled_kg", self.cancelled_kg),
        )


def standing_of(row: Mapping[str, Any], site_code: str) -> Standing:
    """Return a batch by its new row of ``credit_batches``."""
    facts = BatchFacts(
        site_code,
        row["vintage"],
        row["ordinal"],
        row["issuer"],
        row["tx_hash"],
        row["issued_at"],
        expiry(row["expires_at_s"]),
    )
    return Standing(facts, row["status"], row["issued_kg"], row["retired_kg"], row["cancelled_kg"])


def standing(session: Session, batch_ids: Iterable[int]) -> dict[int, Standing]:
    """Return stored batches by number."""
    found = {}
    for here in tables.among(session, CreditBatch.batch_id, set(batch_ids)):
        query = (
            select(
                CreditBatch.batch_id,
                CreditSite.code,
                CreditBatch.vintage,
                CreditBatch.ordinal,
                CreditBatch.issuer,
                CreditBatch.tx_hash,
                CreditBatch.issued_at,
                CreditBatch.expires_at_s,
                CreditBatch.status,
                CreditBatch.issued_kg,
                CreditBatch.retired_kg,
                CreditBatch.cancelled_kg,
            )
            .join(CreditSite, CreditSite.site_id == CreditBatch.site_id)
            .where(here)
        )
        for row in map(tuple, session.execute(query)):
            batch_id, code, vintage, ordinal, issuer, tx_hash, issued_at, ends_s, *standing = row
            facts = BatchFacts(code, vintage, ordinal, issuer, tx_hash, issued_at, expiry(ends_s))
            found[batch_id] = Standing(facts, *standing)
    return found


def _credit_id(facts: BatchFacts, run: Run) -> str:
    return credit_id(facts.site_code, facts.vintage, facts.ordinal, run.first, run.last)


# ------------------------------------------------------------------------ serials


def split_serials(
    later: Behind,
    batches: Mapping[int, Standing],
    taken: Sequence[tuple[int, Run]],
    outdated: Sequence[str],
) -> None:
    """Write rows for serials that were retired or cancelled, and replace the row of what is left of each batch.

    Parameters
    ----------
    batches
        The batches as they are now, by number.
    taken
        Retired and cancelled runs, by batch.
    outdated
        What was left of them before, by ``credit_id``.
    """
    later.run(partial(delete_credits, later.unwaited, outdated))
    runs = [*taken]
    for batch_id, batch in sorted(batches.items()):
        left = batch.left
        if left is not None:
            runs.append((batch_id, left))
    _insert_runs(later, runs, batches)


def redraw(session: Session, batch_ids: Collection[int]) -> None:
    """Write anew the rows of what is left of batches, whatever they are now: for a rewind."""
    now, before = standing(session, batch_ids), _active_ids(session, batch_ids)
    with behind(session, at_once=True) as later:
        split_serials(later, now, [], before)


def frozen_runs(session: Session, batch_id: int) -> Sequence[str]:
    """Return what was left of a batch when it was cancelled as a whole, by ``credit_id``."""
    by_holders = select(CreditCancellation.first_serial).where(
        CreditCancellation.batch_id == batch_id
    )
    query = select(CreditSerial.credit_id).where(
        CreditSerial.batch_id == batch_id,
        CreditSerial.retirement_id.is_(None),
        CreditSerial.first_serial.not_in(by_holders),
    )
    return session.scalars(query).all()


def _active_ids(session: Session, batch_ids: Collection[int]) -> list[str]:
    found: list[str] = []
    for here in tables.among(session, CreditSerial.batch_id, batch_ids):
        query = (
            select(CreditSerial.credit_id)
            .join(CarbonCredit, CarbonCredit.credit_id == CreditSerial.credit_id)
            .where(here, CarbonCredit.status == CreditStatus.ACTIVE)
        )
        found += session.scalars(query)
    return found


def delete_credits(session: Session, credit_ids: Sequence[str]) -> None:
    """Delete rows of ``carbon_credits`` and their serials."""
    for here in tables.among(session, CreditSerial.credit_id, credit_ids):
        session.execute(_silent(delete(CreditSerial).where(here)))
    for here in tables.among(session, CarbonCredit.credit_id, credit_ids):
        session.execute(_silent(delete(CarbonCredit).where(here)))


def _insert_runs(
    later: Behind, runs: Sequence[tuple[int, Run]], batches: Mapping[int, Standing]
) -> None:
    of = [batches[batch_id].facts for batch_id, _ in runs]
    names = [_credit_id(fact, run) for fact, (_, run) in zip(of, runs, strict=True)]
    tables.insert_behind(
        later,
        CarbonCredit,
        {
            "credit_id": names,
            "amount": [run.amount_kg for _, run in runs],  # a kilogram is a thousandth of a tonne
            "unit": [UNIT] * len(runs),
            "issuer": [fact.issuer for fact in of],
            "status": [run.status for _, run in runs],
            "blockchain_tx": [fact.tx_hash for fact in of],
            "issued_at": [fact.issued_at for fact in of],
            "expires_at": [fact.expires_at for fact in of],
        },
        units=["amount"],
    )
    tables.insert_behind(
        later,
        CreditSerial,
        {
            "credit_id": names,
            "batch_id": [batch_id for batch_id, _ in runs],
            "first_serial": [run.first for _, run in runs],
            "last_serial": [run.last for _, run in runs],
            "retirement_id": [run.retirement_id for _, run in runs],
        },
    )


# ------------------------------------------------------------- holdings, balances


@dataclass(frozen=True)
class Amounts:
    """Amounts that two columns name, as they were and as they become."""

    model: type[Base]
    pair: composite_keys.Pair
    value: InstrumentedAttribute[Any]
    before: Mapping[Any, int]
    after: Mapping[Any, int]

    @property
    def below(self) -> tuple[Any, int] | None:
        """The first that would be less than nothing, and how much."""
        return next(((key, amount) for key, amount in self.after.items() if amount < 0), None)

    def write(self, later: Behind) -> None:
        """Write what changes; an amount of nothing has no row."""
        before, after = self.before, self.after
        gone = [key for key in before if not after[key]]
        changed = {key: after[key] for key in before if after[key]}
        session = later.unwaited
        later.run(partial(composite_keys.remove, session, self.pair, gone))
        later.run(partial(composite_keys.put, session, self.pair, self.value, changed))
        new = [(*key, amount) for key, amount in after.items() if amount and key not in before]
        names = self.pair[0].key, self.pair[1].key, self.value.key
        columns = dict(zip(names, zip(*new, strict=True), strict=True)) if new else {}
        tables.insert_behind(later, self.model, columns)


def holdings_after(session: Session, changes: Mapping[tuple[int, str], int]) -> Amounts:
    """Return holdings after changes by kilograms, keyed by batch and holder.

    Raises
    ------
    MirrorStopped
        If somebody would hold less than nothing.
    """
    pair = CreditHolding.batch_id, CreditHolding.holder
    found = _after(session, CreditHolding, pair, CreditHolding.amount_kg, changes)
    if below := found.below:
        (batch_id, holder), kg = below
        raise MirrorStopped(
            f"{holder} would hold {kg} kg of batch {batch_id} by the mirror; {MISSED}"
        )
    return found


def balances_after(session: Session, changes: Mapping[tuple[str, int], int]) -> Amounts:
    """Return escrow balances after changes by units, keyed by account and asset.

    Raises
    ------
    MirrorStopped
        If a balance would fall below zero.
    """
    pair = SettlementBalance.account, SettlementBalance.asset
    found = _after(session, SettlementBalance, pair, SettlementBalance.balance, changes)
    if below := found.below:
        (account, asset), units = below
        raise MirrorStopped(
            f"{account} would have {units} units of asset {asset} in escrow by the mirror; {MISSED}"
        )
    return found


def add_holdings(session: Session, changes: Mapping[tuple[int, str], int]) -> None:
    """Change holdings at once; see ``holdings_after``."""
    with behind(session, at_once=True) as later:
        holdings_after(session, changes).write(later)


def add_balances(session: Session, changes: Mapping[tuple[str, int], int]) -> None:
    """Change escrow balances at once; see ``balances_after``."""
    with behind(session, at_once=True) as later:
        balances_after(session, changes).write(later)


def _after(
    session: Session,
    model: type[Base],
    pair: composite_keys.Pair,
    value: InstrumentedAttribute[Any],
    changes: Mapping[Any, int],
) -> Amounts:
    keys = sorted(key for key, amount in changes.items() if amount)
    before = {
        key: int(amount)
        for key, amount in composite_keys.values(session, pair, value, keys).items()
    }
    after = {key: before.get(key, 0) + changes[key] for key in keys}
    return Amounts(model, pair, value, before, after)


def _silent(statement: Any) -> Any:
    """Skip the mapper's bookkeeping: the session is emptied after every bulk change."""
    return statement.execution_options(synchronize_session=False)
