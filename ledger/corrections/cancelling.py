"""Cancels on chain what was issued too much, as far as the account to which it was issued still holds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from ledger.chain.access import Chain
from ledger.chain.contracts.events import CREDIT
from ledger.chain.node.transports.errors import NodeTrouble
from ledger.chain.sending import adoption
from ledger.chain.sending.sender import AlreadyOnChain
from ledger.errors import Refused, TruetonneError
from ledger.holdings import Holding, plan_cancellation
from ledger.models import (
    ChainIntent,
    Correction,
    CreditBatch,
    CreditCancellation,
    CreditHolding,
    Issuance,
)
from ledger.models.sending import UNDER_WAY, IntentState


@dataclass(frozen=True)
class Debt:
    """What a correction owes, kg, under which key it is cancelled and for what reason.

    ``done_kg``: the chain has cancelled so much under this key already, and the books had forgotten it.
    """

    key: str
    owed_kg: Fraction
    reason: str
    done_kg: int | None = None


Cancel = Callable[[Session, Issuance, Debt], tuple[str, int] | None]
"""Plans the cancellation of what is owed; returns its key and kilograms, None when nothing is held."""


def canceller(chain: Chain) -> Cancel:
    """Return a function that cancels units of a batch, held by the account to which it was issued.

    It raises ``BadInput`` when that account's key is not here: nothing is planned then.
    """

    def cancel(session: Session, issuance: Issuance, debt: Debt) -> tuple[str, int] | None:
        batch = session.scalars(select(CreditBatch).where(CreditBatch.key == issuance.key)).first()
        if batch is None:
            return None
        query = select(CreditHolding.amount_kg).where(
            CreditHolding.batch_id == batch.batch_id, CreditHolding.holder == batch.recipient
        )
        held = session.scalars(query).first() or 0
        owed = -(-debt.owed_kg.numerator // debt.owed_kg.denominator)
        amount = debt.done_kg or min(owed, held - _planned(session, batch))
        if amount <= 0:
            return None
        if debt.done_kg is None:
            # Planned without a key it would never be sent, and what is owed would count as paid.
            chain.keyring.signer(
                batch.recipient, "cancel what was issued too much (--carry needs no key)"
            )
        holding = Holding(batch.batch_id, batch.recipient, amount, debt.key)
        return plan_cancellation(session, chain, holding, debt.reason), amount

    return cancel


def _planned(session: Session, batch: CreditBatch) -> int:
    """Return what corrections of the batch cancel already and the mirror has not seen, kg."""
    seen = exists().where(
        CreditCancellation.key == Correction.act_key,
        CreditCancellation.batch_id == batch.batch_id,
        CreditCancellation.holder == batch.recipient,
    )
    query = (
        select(Correction.cancelled_kg)
        .join(Issuance, Issuance.id == Correction.issuance_id)
        .join(ChainIntent, ChainIntent.key == Correction.act_key)
        .where(Issuance.key == batch.key, ChainIntent.state.in_(UNDER_WAY), ~seen)
    )
    return sum(session.scalars(query).all())


def submit_planned(chain: Chain) -> list[str]:
    """Send the cancellations of corrections that are not sent yet, and return their keys.

    One that the contract refuses pays nothing: its kilograms are carried instead.

    Raises
    ------
    BadInput, PolicyRefused, DependencyDown
        If one cannot be signed or sent: its key is not here, a cap forbids it, node or signer do not answer. The first
        reason is raised when the others were tried, but at once where the node does not answer.
    """
    query = (
        select(Correction.act_key)
        .join(ChainIntent, ChainIntent.key == Correction.act_key)
        .where(ChainIntent.state == IntentState.PLANNED)
        .order_by(Correction.id)
    )
    with chain.db.read() as session:
        keys = [key for key in session.scalars(query).all() if key is not None]
    sent = []
    trouble: TruetonneError | None = None
    for key in keys:
        try:
            chain.sender.submit(key, CREDIT)
        except AlreadyOnChain:
            # The books had forgotten it: the mirror, which has read it long ago, says so.
            adoption.adopt_now(chain.db, chain.deployment.chain_id, key)
            continue
        except Refused:  # the intent says so
            continue
        except NodeTrouble:
            raise
        except TruetonneError as error:
            trouble = trouble or error
        else:
            sent.append(key)
    if trouble is not None:
        raise trouble
    return sent
