"""What was sent and what became of it, for people: intents with their attempts, and what to do. Reads only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ledger.chain.fees import GWEI
from ledger.chain.sending import intents
from ledger.models import ChainAttempt, ChainInclusion, ChainIntent, Correction
from ledger.models.sending import UNDER_WAY, IntentState

_NOT_SENT = "not sent yet: the jobs do it, or the command that planned it, given again"
_NOT_SETTLED = (
    "not sent yet: the jobs do it, or `truetonne settle run`; `truetonne settle cancel trade:{}` "
    "takes it back"
)
"""Of a trade by itself: the command that planned it refuses one that is on its way."""
_NO_JOB = "not sent, and no job does it: give"
_HOLDERS_ACT = f"{_NO_JOB} its command again, with the same --key, or leave it"
_LEFT_TO_COMMANDS = {
    "transfer": _HOLDERS_ACT,
    "retire": _HOLDERS_ACT,
    "cancel": _HOLDERS_ACT,
    "cancel_batch": f"{_NO_JOB} `truetonne settle cancel` again, or leave it",
    "dispute_trade": f"{_NO_JOB} `truetonne settle dispute` again, or leave it",
    "reject_dispute": f"{_NO_JOB} `truetonne settle reject` again, or leave it",
}
"""What to do about an act of each kind that no job sends before it was signed."""
_NEVER_BY_A_JOB = frozenset({"reject_dispute"})
"""Nor after that, when its nonce was lost: the contract would take it for whatever dispute is open by then."""


@dataclass(frozen=True)
class IntentView:
    """An intent with its attempts as rows, how old it is, and what a person can do about it."""

    intent: ChainIntent
    attempts: Sequence[Mapping[str, Any]]
    age_s: int
    advice: str

    def as_json(self) -> dict[str, Any]:
        """Return it as ``--json`` prints it."""
        return {
            **intents.as_row(self.intent),
            "created_at": self.intent.created_at,
            "age_seconds": self.age_s,
            "attempts": list(self.attempts),
            "what_to_do": self.advice,
        }


def views(
    session: Session, key: str | None = None, everything: bool = False, limit: int | None = None
) -> list[IntentView]:
    """Return the intents that are open, or one, or all; the oldest come first.

    Parameters
    ----------
    key
        Only this one, whatever its state.
    everything
        Those too that have ended.
    limit
        At most so many, the latest; None: all.

    Raises
    ------
    NotFound
        If there is none with that key.
    """
    query = select(ChainIntent).order_by(ChainIntent.created_at.desc(), ChainIntent.key)
    if key is not None:
        query = query.where(ChainIntent.key == intents.get(session, key).key)
    elif not everything:
        query = query.where(ChainIntent.state.in_(UNDER_WAY))
    found = session.scalars(query.limit(limit)).all()
    now = datetime.now(UTC)
    return [_view(session, intent, now) for intent in reversed(found)]


def alarms(session: Session) -> tuple[int, list[str]]:
    """Return how many intents are open, and the alarms among them."""
    query = select(func.count()).select_from(ChainIntent).where(ChainIntent.state.in_(UNDER_WAY))
    alarmed = select(ChainIntent).where(
        ChainIntent.state.in_(UNDER_WAY), ChainIntent.alarm.is_not(None)
    )
    rows = session.scalars(alarmed.order_by(ChainIntent.created_at)).all()
    return session.scalar(query) or 0, [f"{row.function_name}: {row.alarm}" for row in rows]


def _view(session: Session, intent: ChainIntent, now: datetime) -> IntentView:
    attempts = intents.attempts_of(session, intent.key)
    query = select(ChainInclusion).where(
        ChainInclusion.tx_hash.in_([item.tx_hash for item in attempts])
    )
    blocks = {row.tx_hash: row.block_number for row in session.scalars(query)}
    rows = [_attempt(intent, item, blocks) for item in attempts]
    age_s = int((now - intent.created_at).total_seconds())
    stored = bool(attempts) and all(item.broadcast_at is None for item in attempts)
    left = _is_left_to_its_command(session, intent, bool(attempts))
    advice = _advice(intent, bool(blocks), stored=stored, left=left)
    return IntentView(intent, rows, age_s, advice)


def _is_left_to_its_command(session: Session, intent: ChainIntent, signed: bool) -> bool:
    """Return whether no job sends a planned intent: an act of a person that was never signed, as a rule."""
    if intent.state is not IntentState.PLANNED or intent.kind not in _LEFT_TO_COMMANDS:
        return False
    if intent.kind in _NEVER_BY_A_JOB:
        return True
    if signed:
        return False
    query = select(Correction.id).where(Correction.act_key == intent.key)
    return session.scalars(query).first() is None


def _attempt(intent: ChainIntent, item: ChainAttempt, blocks: Mapping[str, int]) -> dict[str, Any]:
    if item.tx_hash in blocks:
        fate = f"in block {blocks[item.tx_hash]}"
    elif item.nonce != intent.nonce:
        fate = "its nonce went to another transaction"
    elif intent.state not in UNDER_WAY or blocks:
        fate = "another transaction did it"
    elif item.tx_hash != intent.tx_hash:
        fate = "replaced"
    else:
        fate = "waits" if item.broadcast_at is not None else "stored, not sent yet"
    return {
        "transaction": item.tx_hash,
        "nonce": item.nonce,
        "max_fee_gwei": _gwei(item.max_fee_wei),
        "priority_fee_gwei": _gwei(item.priority_fee_wei),
        "signed_at": item.created_at,
        "broadcast_at": item.broadcast_at,
        "fate": fate,
    }


def _gwei(wei: Decimal) -> str:
    return f"{Decimal(wei) / GWEI:f}"


def _advice(intent: ChainIntent, included: bool, *, stored: bool, left: bool) -> str:
    if intent.state is IntentState.FAILED:
        return intent.error or ""
    if intent.alarm is not None:
        return intent.alarm
    if intent.state is IntentState.PLANNED:
        return _of_unsent(intent, left)
    return (
        _advice_of_sent(intent, included, stored) if intent.state is IntentState.SUBMITTED else ""
    )


def _of_unsent(intent: ChainIntent, left: bool) -> str:
    if intent.kind == "settle_one":
        return _NOT_SETTLED.format(intent.parameters["trade"]["seq"])
    return _LEFT_TO_COMMANDS[intent.kind] if left else _NOT_SENT


def _advice_of_sent(intent: ChainIntent, included: bool, stored: bool) -> str:
    if included:
        return (
            "in a block that is not final yet; `truetonne index run` confirms it when it is, and on a local "
            "chain, where no other blocks come, `truetonne up` or the jobs, which mine them"
        )
    if intents.INSTEAD_OF in intent.parameters:
        return (
            f"is to displace {intent.parameters[intents.INSTEAD_OF]}, which these books do not know: nothing else "
            "of its account is sent before one of the two is final"
        )
    if stored:
        return "signed, and by what is known here not sent yet: `truetonne up` or the jobs send it"
    return "sent; `truetonne up` or the jobs replace it if it waits too long"
