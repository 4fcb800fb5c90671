"""How the books stand, and what the service needs to do its work. The command line uses it too."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from importlib import metadata
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from api.credits.batches import sums_of
from api.finality import ChainView
from api.status import mirror
from api.status.schemas import CreditTotals, JobStatus, Status, Verification
from api.status.totals import Totals
from ledger.chain.local.shared import answering_url
from ledger.chain.node.client import ChainClient
from ledger.chain.sending import overview as sending
from ledger.db import Database
from ledger.errors import DependencyDown, TruetonneError
from ledger.jobs import overview as working
from ledger.keeping import overview as keeping
from ledger.models.blockchain import BlockchainTransaction, SmartContract, TransactionStatus
from ledger.models.mirror import ChainCursor
from ledger.models.mirror_state import MirrorVerification
from ledger.models.trading import TradeStatus, VppTradingRecord
from ledger.settings import Settings
from ledger.settlement import shortfalls
from ledger.settlement import stuck as disputes
from ledger.units import tonnes_of_kg
from ledger.webhooks import log as telling

NODE_SECONDS_MAX = 3.0


def status(
    session: Session, view: ChainView, totals: Totals | None = None, *, beside: int = 0
) -> Status:
    """Return how the books stand.

    Parameters
    ----------
    totals
        What was counted before, for those who ask often.
    beside
        Alarms that do not come from the books: of backups.
    """
    totals = totals or Totals()
    cursor = session.execute(
        select(ChainCursor.chain_id, ChainCursor.updated_at).where(
            ChainCursor.network == view.network
        )
    ).one_or_none()
    chain_id, updated_at = cursor if cursor else (None, None)
    contracts = session.execute(
        select(SmartContract.contract_name, SmartContract.contract_address).where(
            SmartContract.network == view.network
        )
    )
    return Status(
        version=metadata.version("truetonne"),
        network=view.network,
        chain_id=chain_id,
        mirror_updated_at=updated_at,
        mirror_verified=verification(session, view.network),
        contracts={name: address for name, address in contracts},
        credits=totals.remembered(session, "credits", _credits),
        transactions=totals.remembered(session, "transactions", _transactions),
        trades=_counted(session, VppTradingRecord.status, TradeStatus),
        alarms=len(alarms(session, view.network)) + beside,
        jobs=[_job(view) for view in working.views(session)],
        **view.fields(),
    )


def verification(session: Session, network: str) -> Verification | None:
    """Return how far the mirror of a network was held against the chain; None before the first time."""
    row = session.get(MirrorVerification, network)
    if row is None:
        return None
    return Verification(
        block=row.through_number,
        at=row.verified_at,
        from_block=row.from_number,
        to_block=row.to_number,
        differences=row.differences,
    )


def alarms(session: Session, network: str) -> list[str]:
    """Return a sentence for each thing that a person should look at.

    These are stuck intents, jobs that failed, a mirror that nobody runs, disputes, debtors without funds, stray rows,
    endpoints that take no messages. Backups are not in the books.
    """
    _, stuck = sending.alarms(session)
    late = mirror.alarms(session, network)
    wait = disputes.alarms(session) + shortfalls.alarms(session)
    rows, untold = keeping.alarms(session), telling.alarms(session)
    return stuck + working.alarms(session) + late + wait + rows + untold


def readiness(database: Database, settings: Settings) -> Mapping[str, str]:
    """Check what the service needs, and return what was found.

    Raises
    ------
    DependencyDown
        If the database or the node does not answer, or they do not belong together.
    """
    with database.read() as session:
        chain_id = session.scalar(
            select(ChainCursor.chain_id).where(ChainCursor.network == settings.network)
        )
    client = ChainClient(answering_url(settings), timeout_s=NODE_SECONDS_MAX)
    try:
        found = client.chain_id()
    except DependencyDown:
        raise
    except TruetonneError as error:
        raise DependencyDown(error.message, code="node-down") from error
    finally:
        client.close()
    if chain_id is not None and chain_id != found:
        raise DependencyDown(
            f"the node serves chain id {found}, but the books are kept for {chain_id}; set rpc_url",
            code="wrong-chain",
        )
    return {"database": "answers", "node": f"answers for chain id {found}"}


def _job(view: working.JobView) -> JobStatus:
    row, last = view.row, view.last
    return JobStatus(
        name=row.name,
        schedule=row.schedule,
        state=view.state,
        due_at=row.due_at,
        last_outcome=last.outcome.value if last else None,
        last_ended_at=last.ended_at if last else None,
        last_duration_ms=last.duration_ms if last else None,
    )


def _credits(session: Session) -> CreditTotals:
    batches, issued_kg, retired_kg, cancelled_kg = sums_of(session)
    return CreditTotals(
        batches=batches,
        issued_t=tonnes_of_kg(issued_kg),
        active_t=tonnes_of_kg(issued_kg - retired_kg - cancelled_kg),
        retired_t=tonnes_of_kg(retired_kg),
        cancelled_t=tonnes_of_kg(cancelled_kg),
    )


def _transactions(session: Session) -> dict[str, int]:
    return _counted(session, BlockchainTransaction.status, TransactionStatus)


def _counted(
    session: Session, column: InstrumentedAttribute[Any], values: type[StrEnum]
) -> dict[str, int]:
    rows = session.execute(select(column, func.count()).group_by(column))
    found: dict[Any, int] = {value: count for value, count in rows}
    return {value.value: found.get(value, 0) for value in values}
