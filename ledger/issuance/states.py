"""What becomes of a planned issuance: it is sent, and is *issued* or *void* in the end.

``submit_planned`` sends; the rest is called by the mirror, for only what it has read makes an issuance *issued*
(``settle_final``) or takes that back (``rewind``). A void one frees its readings for another (``fail``).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

from sqlalchemy import Select, delete, or_, select
from sqlalchemy.orm import Session

from ledger.chain.access import Chain
from ledger.chain.contracts.events import CREDIT
from ledger.chain.local.shared import come_to
from ledger.chain.sending import intents
from ledger.chain.sending.marks import mark_of
from ledger.chain.sending.sender import AlreadyOnChain
from ledger.errors import Refused
from ledger.models import (
    ChainCursor,
    ChainIntent,
    CorrectionCarry,
    CreditBatch,
    Issuance,
    Project,
    ReadingClaim,
)
from ledger.models import Meter as MeterRow
from ledger.models.issuance import IssuanceState, claimed_before
from ledger.models.sending import IntentState

log = logging.getLogger(__name__)

ISSUE = "issue"
"""The contract's function, and the kind of its intents."""
_NOT_ISSUED = (IssuanceState.PLANNED, IssuanceState.VOID)


def submit_planned(chain: Chain, project_code: str | None = None) -> list[str]:
    """Send every planned issuance whose turn it is and that is not yet sent; return the transactions' hashes.

    Of each project one issuance is on its way at a time, the earliest period first. The contract takes no period
    before one that it has (CC-15): if two were on their way and the later one came first, after a stolen nonce, the
    earlier one would be refused for ever (decision 0032). Backfills come after all others, in the order in which they
    were planned: each names a later batch, which must be on chain by then. So call this again when the mirror has read
    on; ``jobs run`` does.

    Raises
    ------
    Refused
        If the contract refuses one. It is void then, and so are those of its project that wait behind it (``fail``).
    """
    with chain.db.read() as session:
        dead = session.scalars(_dead()).all()
        found = _whose_turn_it_is(session, project_code)
    for key in dead:
        chain.db.run(partial(intents.refuse, key=key, error="its issuance is void"))
    if found:
        chain.sender.send_from({ISSUE: chain.deployment.account("issuer")})
    hashes, adopted = [], 0
    for key, end_s in found:
        come_to(chain.client, chain.deployment.chain_id, datetime.fromtimestamp(end_s, UTC))
        try:
            hashes.append(chain.sender.submit(key, CREDIT))
        except AlreadyOnChain:
            adopted += chain.db.run(partial(_settle_read, chain_id=chain.deployment.chain_id))
        except Refused as refusal:
            chain.db.run(partial(fail, key=key, error=refusal.message))
            raise
    # Of what was adopted the next one's turn has come.
    return hashes + submit_planned(chain, project_code) if adopted else hashes


def _settle_read(session: Session, chain_id: int) -> int:
    """Mark as issued what the mirror had read as final before it was planned; it will not read that block again."""
    query = select(ChainCursor.final_number).where(ChainCursor.chain_id == chain_id)
    final_number = session.scalar(query)
    return settle_final(session, final_number) if final_number is not None else 0


def _dead() -> Select[str]:
    """Return the query of void issuances whose intent is planned again, as it lost its nonce: it must not be sent."""
    return (
        select(Issuance.key)
        .join(ChainIntent, ChainIntent.key == Issuance.key)
        .where(Issuance.state == IssuanceState.VOID, ChainIntent.state == IntentState.PLANNED)
    )


def _whose_turn_it_is(session: Session, project_code: str | None) -> list[tuple[str, int]]:
    """Return key and end (epoch seconds) of the issuance of each project that comes next, unless it is sent already."""
    query = (
        select(Issuance.id, Issuance.project_id, Issuance.from_s, Issuance.to_s, ChainIntent)
        .join(ChainIntent, ChainIntent.key == Issuance.key)
        .where(Issuance.state == IssuanceState.PLANNED)
        .order_by(Issuance.id)
    )
    if project_code is not None:
        query = query.join(Project, Project.id == Issuance.project_id)
        query = query.where(Project.code == project_code)
    firsts: dict[int, tuple[bool, int, str, int, IntentState]] = {}
    for number, project_id, from_s, to_s, intent in session.execute(query):
        backfill = claimed_before(intent.parameters) > 0
        # A backfill may name one of later days that was planned before it.
        item = (backfill, number if backfill else from_s, intent.key, to_s, intent.state)
        firsts[project_id] = min(item, firsts.get(project_id, item))
    # A failed one: this process ended between the refusal and the voiding.
    sendable = (IntentState.PLANNED, IntentState.FAILED)
    return [(key, to_s) for _, _, key, to_s, state in firsts.values() if state in sendable]


def settle_final(session: Session, final_number: int) -> int:
    """Mark issuances as issued whose batches the mirror has read in final blocks; return how many.

    All issuances that are not issued are compared with all batches, by key. It does not matter who sent them: restored
    books may have forgotten that. Nor is it enough to look at blocks that became final just now: an issuance may be
    void for a failure that a deep fork took back since, and be on chain.
    """
    # By what is not issued: of batches there are as many as were ever issued, by anybody.
    query = (
        select(Issuance, CreditBatch)
        .join(CreditBatch, CreditBatch.key == Issuance.key)
        .where(Issuance.state.in_(_NOT_ISSUED), CreditBatch.block_number <= final_number)
        .order_by(Issuance.id)
    )
    issued = 0
    for issuance, batch in session.execute(query).all():
        if mark_of(session, session.get_one(ChainIntent, issuance.key)) is None:
            continue  # others have used its key up
        if issuance.state is IssuanceState.VOID:
            log.warning(
                "issuance %s (%s to %s) was void, and the chain has it: it is issued",
                issuance.id,
                issuance.from_date,
                issuance.to_date,
            )
            _void_rivals(session, issuance)
            _take_up(session, issuance)
        issuance.state = IssuanceState.ISSUED
        intents.confirm(session, issuance.key, batch.tx_hash, batch.block_number, batch.issued_at)
        issued += 1
    return issued


def fail(session: Session, key: str, error: str) -> None:
    """Void an issuance that will never be on chain, and free its readings for another one.

    Readings that came too late for it are in time for the next one. Issuances of the project that wait behind it are
    void, too, as they may carry what it left. A backfill leaves nothing: with it only later backfills are void.
    """
    for issuance in session.scalars(select(Issuance).where(Issuance.key == key)).all():
        if issuance.state is IssuanceState.VOID:
            continue
        lock_project(session, issuance)
        meters = _meters_of(session, issuance)
        _void(session, issuance)
        _void_waiting(session, issuance, f"the issuance before it was refused: {error}")
        # Seldom needed: the mirror, which calls this, begins without all that reads and judges meters.
        from ledger.readings.imports.requalify import requalify
        from ledger.readings.imports.standing import as_now

        for meter_id in meters:
            as_now(session, meter_id)
            requalify(session, meter_id)


def _meters_of(session: Session, issuance: Issuance) -> Sequence[int]:
    """Return the meters of an issuance's project, and others whose readings it or waiting ones claim.

    A meter may have left the project while an issuance of it was void, before a fork brought that back.
    """
    project_id = issuance.project_id
    waiting = select(Issuance.id).where(
        Issuance.project_id == project_id,
        or_(Issuance.state == IssuanceState.PLANNED, Issuance.id == issuance.id),
    )
    claimed = select(ReadingClaim.meter_id).where(ReadingClaim.issuance_id.in_(waiting))
    query = select(MeterRow.id).where(
        or_(MeterRow.project_id == project_id, MeterRow.id.in_(claimed))
    )
    return session.scalars(query.order_by(MeterRow.id)).all()


def lock_project(session: Session, issuance: Issuance) -> None:
    """Lock the project of an issuance until the unit of work ends: nobody plans another one of it meanwhile."""
    query = select(Project.id).where(Project.id == issuance.project_id)
    session.execute(query.with_for_update())


def _void_waiting(session: Session, issuance: Issuance, reason: str) -> None:
    backfill = _is_backfill(session, issuance)
    # Those too that were planned while this unit of work waited for the project.
    for other in session.scalars(_waiting_behind(issuance).with_for_update()).all():
        if backfill and not _is_backfill(session, other):
            continue  # it carries nothing of a backfill, and may be the very one that this one names
        if intents.refuse(session, other.key, reason).state is IntentState.FAILED:
            _void(session, other)


def _is_backfill(session: Session, issuance: Issuance) -> bool:
    intent = session.get(ChainIntent, issuance.key)
    return intent is not None and claimed_before(intent.parameters) > 0


def _void(session: Session, issuance: Issuance) -> None:
    issuance.state = IssuanceState.VOID
    for claims in (ReadingClaim, CorrectionCarry):
        session.execute(delete(claims).where(claims.issuance_id == issuance.id))
    session.flush()


def _waiting_behind(issuance: Issuance) -> Select[Issuance]:
    """Return the query of the later issuances of a project that are not sent."""
    return (
        select(Issuance)
        .join(ChainIntent, ChainIntent.key == Issuance.key)
        .where(
            Issuance.project_id == issuance.project_id,
            Issuance.from_s >= issuance.to_s,
            Issuance.state == IssuanceState.PLANNED,
            ChainIntent.state == IntentState.PLANNED,
        )
    )


def rewind(session: Session, above_block: int) -> None:
    """Take back what was learnt from blocks above one: these issuances are planned again. For the mirror alone.

    That is so for those that had failed there as well, as they are sent again; but not where another one of the same
    time was planned since. The contract takes one of the two, and ``settle_final`` goes by that.
    """
    keys = select(ChainIntent.key).where(ChainIntent.block_number > above_block)
    query = select(Issuance).where(Issuance.key.in_(keys)).order_by(Issuance.id)
    for issuance in session.scalars(query.where(Issuance.state == IssuanceState.ISSUED)):
        issuance.state = IssuanceState.PLANNED
    session.flush()
    for issuance in session.scalars(query.where(Issuance.state == IssuanceState.VOID)).all():
        if not _rivals(session, issuance):
            _take_up(session, issuance)


def _rivals(session: Session, issuance: Issuance) -> Sequence[Issuance]:
    # Seldom needed: the mirror begins without all that reads and judges meters.
    from ledger.issuance.taking_up import rivals

    return rivals(session, issuance)


def _void_rivals(session: Session, issuance: Issuance) -> None:
    """Void what was planned in place of an issuance that is on chain: the contract takes no time twice."""
    reason = f"{issuance.from_date} to {issuance.to_date} is on chain from an issuance before it"
    for rival in _rivals(session, issuance):
        if rival.state is IssuanceState.PLANNED:
            intents.refuse(session, rival.key, reason)
            fail(session, rival.key, reason)


def _take_up(session: Session, issuance: Issuance) -> None:
    """Make a void issuance a planned one again; void those that wait behind it: they were planned without it."""
    from ledger.issuance.taking_up import take_up  # seldom needed

    take_up(session, issuance)
    _void_waiting(session, issuance, "the issuance before it is on its way again")
    session.flush()


def void_refused(session: Session, project_id: int) -> None:
    """Void issuances that the contract refused when the process ended before it could note that."""
    query = (
        select(Issuance.key, ChainIntent.error)
        .join(ChainIntent, ChainIntent.key == Issuance.key)
        .where(
            Issuance.project_id == project_id,
            Issuance.state == IssuanceState.PLANNED,
            ChainIntent.state == IntentState.FAILED,
        )
    )
    for key, error in session.execute(query).all():
        fail(session, key, error or "refused")
