"""Numbers that follow from journals: serials of a batch, holdings, balances.

Each can be computed again from the rows it follows from (``ledger.reconcile`` does). A holding or a
balance of nothing has no row, so that the tables do not depend on the way that led to them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import delete, select, tuple_
from sqlalchemy.orm import Session

from ledger.db import tables
from ledger.errors import MirrorStopped
from ledger.models import (
    CarbonCredit,
    CreditBatch,
    CreditCancellation,
    CreditHolding,
    CreditSerial,
    CreditSite,
    SettlementBalance,
)
from ledger.models.blockchain import CreditStatus
from ledger.models.mirror import BatchStatus
from ledger.serials import Run, RunStatus, active_run, credit_id
from ledger.units import tonnes_of_kg

UNIT = "tCO2e"
_T = TypeVar("_T")
_KEYS_PER_QUERY = 400


@dataclass(frozen=True)
class BatchFacts:
    """What every row of ``carbon_credits`` of a batch says alike."""

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


def facts_of(session: Session, batch_ids: Iterable[int]) -> dict[int, BatchFacts]:
    """Return the facts of stored batches."""
    found = {}
    for part in _parts(sorted(batch_ids)):
        query = (
            select(CreditBatch, CreditSite.code)
            .join(CreditSite, CreditSite.site_id == CreditBatch.site_id)
            .where(CreditBatch.batch_id.in_(part))
        )
        for batch, code in session.execute(query):
            found[batch.batch_id] = BatchFacts(
                code,
                batch.vintage,
                batch.ordinal,
                batch.issuer,
                batch.tx_hash,
                batch.issued_at,
                expiry(batch.expires_at_s),
            )
    return found


# ------------------------------------------------------------------------ serials


def split_serials(
    session: Session,
    batch_ids: Collection[int],
    taken: Sequence[tuple[int, Run]],
    facts: Mapping[int, BatchFacts],
) -> None:
    """Give the taken serials their rows and redraw what is left of every batch.

    What is left is active, unless the whole batch is cancelled.

    Parameters
    ----------
    batch_ids
        The batches of which something else is left; their totals and states are already written.
    taken
        Retired and cancelled runs, by batch.
    facts
        What is known of the batches; the rest is looked up.
    """
    if not batch_ids:
        return
    known = dict(facts)
    known.update(facts_of(session, [item for item in batch_ids if item not in known]))
    delete_active(session, batch_ids)
    runs = list(taken) + _runs_left(session, batch_ids)
    _insert_runs(session, runs, known)


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


def delete_active(session: Session, batch_ids: Collection[int]) -> None:
    """Delete the active run of every batch."""
    for part in _parts(sorted(batch_ids)):
        query = (
            select(CreditSerial.credit_id)
            .join(CarbonCredit, CarbonCredit.credit_id == CreditSerial.credit_id)
            .where(CreditSerial.batch_id.in_(part), CarbonCredit.status == CreditStatus.ACTIVE)
        )
        delete_credits(session, session.scalars(query).all())


def delete_credits(session: Session, credit_ids: Sequence[str]) -> None:
    """Delete rows of ``carbon_credits`` and their serials."""
    for part in _parts(credit_ids):
        session.execute(_silent(delete(CreditSerial).where(CreditSerial.credit_id.in_(part))))
        session.execute(_silent(delete(CarbonCredit).where(CarbonCredit.credit_id.in_(part))))


def _runs_left(session: Session, batch_ids: Collection[int]) -> list[tuple[int, Run]]:
    runs = []
    for part in _parts(sorted(batch_ids)):
        query = select(
            CreditBatch.batch_id,
            CreditBatch.issued_kg,
            CreditBatch.retired_kg,
            CreditBatch.cancelled_kg,
            CreditBatch.status,
        ).where(CreditBatch.batch_id.in_(part))
        for batch_id, issued, retired, cancelled, status in session.execute(
            query.order_by(CreditBatch.batch_id)
        ):
            run = active_run(issued, retired, cancelled)
            if run is not None and status is BatchStatus.CANCELLED:
                run = replace(run, status=RunStatus.CANCELLED)
            if run is not None:
                runs.append((batch_id, run))
    return runs


def _insert_runs(
    session: Session, runs: Sequence[tuple[int, Run]], facts: Mapping[int, BatchFacts]
) -> None:
    if not runs:
        return
    of = [facts[batch_id] for batch_id, _ in runs]
    names = [
        credit_id(fact.site_code, fact.vintage, fact.ordinal, run.first, run.last)
        for fact, (_, run) in zip(of, runs, strict=True)
    ]
    connection = session.connection()
    dialect = connection.dialect.name
    tables.writer(CarbonCredit, dialect).insert_columns(
        connection,
        {
            "credit_id": names,
            "amount": [tonnes_of_kg(run.amount_kg) for _, run in runs],
            "unit": [UNIT] * len(runs),
            "issuer": [fact.issuer for fact in of],
            "status": [_STATUS[run.status] for _, run in runs],
            "blockchain_tx": [fact.tx_hash for fact in of],
            "issued_at": [fact.issued_at for fact in of],
            "expires_at": [fact.expires_at for fact in of],
        },
    )
    tables.writer(CreditSerial, dialect).insert_columns(
        connection,
        {
            "credit_id": names,
            "batch_id": [batch_id for batch_id, _ in runs],
            "first_serial": [run.first for _, run in runs],
            "last_serial": [run.last for _, run in runs],
            "retirement_id": [run.retirement_id for _, run in runs],
        },
    )


_STATUS = {
    RunStatus.ACTIVE: CreditStatus.ACTIVE,
    RunStatus.RETIRED: CreditStatus.RETIRED,
    RunStatus.CANCELLED: CreditStatus.CANCELLED,
}

# ------------------------------------------------------------- holdings, balances


def add_holdings(session: Session, changes: Mapping[tuple[int, str], int]) -> None:
    """Change holdings by kilograms, keyed by batch and holder.

    Raises
    ------
    MirrorStopped
        If somebody would hold less than nothing: a transfer was missed.
    """
    keys = sorted(key for key, kg in changes.items() if kg)
    for part in _parts(keys):
        columns = CreditHolding.batch_id, CreditHolding.holder
        here = tuple_(*columns).in_(part)
        query = select(*columns, CreditHolding.amount_kg).where(here)
        before = {(batch_id, holder): kg for batch_id, holder, kg in session.execute(query)}
        after = {key: before.get(key, 0) + changes[key] for key in part}
        for (batch_id, holder), kg in after.items():
            if kg < 0:
                raise MirrorStopped(
                    f"{holder} would hold {kg} kg of batch {batch_id}; a transfer was missed"
                )
        if before:
            session.execute(_silent(delete(CreditHolding).where(here)))
        rows = [
            {"batch_id": batch_id, "holder": holder, "amount_kg": kg}
            for (batch_id, holder), kg in after.items()
            if kg
        ]
        tables.insert(session, CreditHolding, rows)


def add_balances(session: Session, changes: Mapping[tuple[str, int], int]) -> None:
    """Change escrow balances by units, keyed by account and asset.

    Raises
    ------
    MirrorStopped
        If a balance would fall below zero: a movement was missed.
    """
    for part in _parts(sorted(key for key, units in changes.items() if units)):
        columns = SettlementBalance.account, SettlementBalance.asset
        here = tuple_(*columns).in_(part)
        query = select(*columns, SettlementBalance.balance).where(here)
        before = {(account, asset): int(units) for account, asset, units in session.execute(query)}
        after = {key: before.get(key, 0) + changes[key] for key in part}
        for (account, asset), units in after.items():
            if units < 0:
                raise MirrorStopped(
                    f"{account} would have {units} units of asset {asset} in escrow; a movement was missed"
                )
        if before:
            session.execute(_silent(delete(SettlementBalance).where(here)))
        rows = [
            {"account": account, "asset": asset, "balance": units}
            for (account, asset), units in after.items()
            if units
        ]
        tables.insert(session, SettlementBalance, rows)


def _silent(statement: Any) -> Any:
    """Skip the mapper's bookkeeping: the session is emptied after every bulk change."""
    return statement.execution_options(synchronize_session=False)


def _parts(items: Sequence[_T]) -> list[Sequence[_T]]:
    return [
        items[start : start + _KEYS_PER_QUERY] for start in range(0, len(items), _KEYS_PER_QUERY)
    ]
