"""What is to be sent, stored before it is sent: the only writer of intents and attempts.

An intent is made with its key and its frozen call data (*planned*). Signing allocates a nonce and
stores the raw transaction in the same commit (*submitted*). Only the mirror, having read the
transaction in a final block, makes it *confirmed* or *failed*; a transaction that the node refuses
before it has a nonce is *failed* at once, with the reason. Nonces come from ``lanes``.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from ledger.chain.contracts.wrappers import decode_call, encode_call
from ledger.chain.sending import transactions
from ledger.errors import NotFound, TruetonneError
from ledger.models import ChainAttempt, ChainIntent
from ledger.models.sending import IntentState

_SAID_MAX = 2_000
"""Characters that are kept of an error or an alarm: nodes and contracts of strangers speak in them."""
_FIRST_ARGUMENT = slice(10, 74)
"""Where it stands in the call data: after ``0x`` and the four bytes of the function, a word of 32 bytes."""
FILL = "fill_nonce"
"""Kind of an intent that fills a hole in a lane."""
INSTEAD_OF, ITS_NONCE = "instead_of", "nonce"
"""Parameters of such an intent that displaces a transaction which the books do not know: its hash and its nonce."""


@dataclass(frozen=True)
class NewIntent:
    """A call to one of our contracts that shall happen once.

    ``arguments`` are in the order and types of the contract's function; ``found_again`` says that nothing is done twice
    by who asks for the same once more, also without a name: this one is shown, or the second one changes nothing.
    """

    key: str
    kind: str
    contract: str
    address: str
    function: str
    arguments: Sequence[Any]
    sender: str
    found_again: bool = False


@dataclass(frozen=True)
class Signed:
    """A signed transaction, as it is sent."""

    tx_hash: str
    raw: str


@dataclass(frozen=True)
class SignedAttempt(Signed):
    """A signed transaction of an intent, as it is stored; fees in wei per gas."""

    nonce: int
    max_fee_wei: int
    priority_fee_wei: int


def new_key() -> str:
    """Return a fresh key: 32 random bytes as hexadecimal text with ``0x``."""
    return "0x" + secrets.token_hex(32)


def plan(session: Session, chain_id: int, intent: NewIntent) -> str:
    """Store an intent with its call data, and return its key."""
    session.add(row_of(chain_id, intent))
    session.flush()
    return intent.key


def row_of(chain_id: int, intent: NewIntent) -> ChainIntent:
    """Return an intent as the row that it will be: planned, and in no session."""
    data = encode_call(intent.contract, intent.function, intent.arguments)
    decoded = decode_call(intent.contract, data)
    if decoded is None:  # our own encoder and decoder disagree: a programming error
        raise TruetonneError(f"{intent.contract}.{intent.function} does not decode to itself")
    return ChainIntent(
        key=intent.key,
        chain_id=chain_id,
        kind=intent.kind,
        contract_address=intent.address.lower(),
        function_name=intent.function,
        parameters=decoded.parameters,
        call_data=data,
        sender_address=intent.sender.lower(),
        state=IntentState.PLANNED,
        created_at=datetime.now(UTC),
    )


def fill_of(chain_id: int, address: str) -> ChainIntent:
    """Return an intent that does nothing but take a nonce of an account: nothing, to itself."""
    return ChainIntent(
        key=new_key(),
        chain_id=chain_id,
        kind=FILL,
        contract_address=address,
        function_name=FILL,
        parameters={},
        call_data="0x",
        sender_address=address,
        state=IntentState.PLANNED,
        created_at=datetime.now(UTC),
    )


def end_fill(session: Session, key: str, nonce: int, said: str) -> None:
    """Give up an intent that should have filled a nonce: a stranger's transaction has it."""
    intent = session.get(ChainIntent, key, with_for_update=True)
    if intent is not None and (intent.state, intent.nonce) == (IntentState.SUBMITTED, nonce):
        intent.state = IntentState.FAILED
        intent.nonce = None
        intent.error = f"{said}: nothing is left to fill"
        session.flush()
        _fail_attempts(session, key)


def is_call(stored: ChainIntent, intent: NewIntent) -> bool:
    """Return whether a stored intent is this call, by this sender, to this contract."""
    return does_same(stored, intent) and stored.sender_address == intent.sender.lower()


def does_same(stored: ChainIntent, intent: NewIntent) -> bool:
    """Return whether a stored intent is this call to this contract, whoever sends it."""
    data = encode_call(intent.contract, intent.function, intent.arguments)
    found = stored.kind, stored.contract_address, stored.call_data
    return found == (intent.kind, intent.address.lower(), data)


def first_number(intent: ChainIntent) -> int:
    """Return the first argument of a call about a settlement batch: the number of the batch in the contract.

    From the call data, which is what is sent: another program may have damaged what is shown of it.
    """
    return int(intent.call_data[_FIRST_ARGUMENT], 16)


def get(session: Session, key: str, *, lock: bool = False) -> ChainIntent:
    """Return an intent by its key.

    Raises
    ------
    NotFound
        If there is none.
    """
    found = session.get(ChainIntent, key, with_for_update=True if lock else None)
    if found is None:
        raise NotFound(f"no intent has the key {key}; `truetonne chain intents --all` lists them")
    return found


def store_attempt(session: Session, intent: ChainIntent, attempt: SignedAttempt) -> None:
    """Store a signed transaction and mark its intent as submitted, before anything is sent."""
    now = datetime.now(UTC)
    intent.nonce = attempt.nonce
    intent.tx_hash = attempt.tx_hash
    intent.state = IntentState.SUBMITTED
    intent.submitted_at = intent.submitted_at or now
    intent.alarm = None
    session.flush()
    ordinal = len(attempts_of(session, intent.key)) + 1
    session.add(
        ChainAttempt(
            tx_hash=attempt.tx_hash,
            intent_key=intent.key,
            ordinal=ordinal,
            nonce=attempt.nonce,
            raw_transaction=attempt.raw,
            max_fee_wei=attempt.max_fee_wei,
            priority_fee_wei=attempt.priority_fee_wei,
            created_at=now,
        )
    )
    transactions.record_pending(
        session,
        tx_hash=attempt.tx_hash,
        contract_address=intent.contract_address,
        function_name=intent.function_name,
        parameters=intent.parameters,
        created_at=now,
    )
    session.flush()


def attempts_of(session: Session, key: str) -> Sequence[ChainAttempt]:
    """Return the attempts of an intent, oldest first."""
    query = (
        select(ChainAttempt).where(ChainAttempt.intent_key == key).order_by(ChainAttempt.ordinal)
    )
    return session.scalars(query).all()


def current(intent: ChainIntent, items: Sequence[ChainAttempt]) -> ChainAttempt:
    """Return the last of an intent's attempts with the nonce that it has now."""
    return [item for item in items if item.nonce == intent.nonce][-1]


def open_attempts(session: Session, chain_id: int) -> Sequence[ChainAttempt]:
    """Return the signed transactions whose fate is not known, in nonce order; all of each intent."""
    query = (
        select(ChainIntent, ChainAttempt)
        .join(ChainAttempt, ChainAttempt.intent_key == ChainIntent.key)
        .where(ChainIntent.chain_id == chain_id, ChainIntent.state == IntentState.SUBMITTED)
    )
    found = [(_place(intent), attempt) for intent, attempt in session.execute(query)]
    return [attempt for _, attempt in sorted(found, key=lambda item: (item[0], item[1].ordinal))]


def open_calls_beside(session: Session, chain_id: int, contracts: Collection[str]) -> set[str]:
    """Return the hashes of ``open_attempts`` that call none of these contracts."""
    query = (
        select(ChainAttempt.tx_hash)
        .join(ChainIntent, ChainIntent.key == ChainAttempt.intent_key)
        .where(
            ChainIntent.chain_id == chain_id,
            ChainIntent.state == IntentState.SUBMITTED,
            ChainIntent.contract_address.not_in(contracts),
        )
    )
    return set(session.scalars(query))


def are_planned(session: Session, chain_id: int) -> bool:
    """Return whether any intent of a chain is planned, and not sent."""
    query = select(ChainIntent.key).where(
        ChainIntent.state == IntentState.PLANNED, ChainIntent.chain_id == chain_id
    )
    return session.scalar(query.limit(1)) is not None


def open_intents(session: Session, chain_id: int) -> Sequence[ChainIntent]:
    """Return the intents that are sent and not final, by account and nonce."""
    query = select(ChainIntent).where(
        ChainIntent.chain_id == chain_id, ChainIntent.state == IntentState.SUBMITTED
    )
    return sorted(session.scalars(query), key=_place)


def _place(intent: ChainIntent) -> tuple[str, int]:
    """Return what puts sent intents in order.

    Here, and not in SQL: for the sake of the order SQLite reads the index of nonces, and so all that was ever sent.
    """
    return intent.sender_address, -1 if intent.nonce is None else intent.nonce


def set_alarm(session: Session, key: str, alarm: str | None) -> bool:
    """Note what keeps an intent from a block; return whether that is new."""
    alarm = alarm and alarm[:_SAID_MAX]
    intent = session.get(ChainIntent, key, with_for_update=True)
    if intent is None or intent.alarm == alarm:
        return False
    intent.alarm = alarm
    session.flush()
    return True


def clear_alarm(session: Session, tx_hash: str, beginning: str) -> None:
    """Take back an alarm of an attempt's intent that begins so."""
    key = key_of_transaction(session, tx_hash)
    intent = session.get(ChainIntent, key) if key is not None else None
    if intent is not None and (intent.alarm or "").startswith(beginning):
        set_alarm(session, intent.key, None)


def release_nonce(session: Session, key: str, nonce: int, alarm: str) -> bool:
    """Make an intent planned again whose nonce a stranger took; return whether it still had it.

    Its attempts stay: they can never be included, and say so by their nonce.
    """
    intent = session.get(ChainIntent, key, with_for_update=True)
    if intent is None or intent.state is not IntentState.SUBMITTED or intent.nonce != nonce:
        return False
    intent.state = IntentState.PLANNED
    intent.nonce = intent.tx_hash = intent.submitted_at = None
    intent.alarm = alarm[:_SAID_MAX]
    session.flush()
    return True


def keep_former(session: Session, key: str, nonce: int, tx_hash: str) -> bool:
    """Give an intent back the nonce of a former attempt, which stands in a block; return whether it has it now.

    A fork has taken back what had used that nonce up.

    Parameters
    ----------
    nonce
        The one that it has had since; nobody has it after this.
    tx_hash
        The former attempt.
    """
    intent = session.get(ChainIntent, key, with_for_update=True)
    if intent is None or (intent.state, intent.nonce) != (IntentState.SUBMITTED, nonce):
        return False
    if not _with_nonce_of(session, intent, tx_hash):
        return False
    intent.tx_hash, intent.alarm = tx_hash, None
    session.flush()
    return True


def _with_nonce_of(session: Session, intent: ChainIntent, tx_hash: str) -> bool:
    """Give an intent the nonce of one of its attempts; return whether it has it: another may have it in a block."""
    query = select(ChainAttempt.nonce).where(
        ChainAttempt.tx_hash == tx_hash, ChainAttempt.intent_key == intent.key
    )
    nonce = session.scalar(query)
    if nonce is None or nonce == intent.nonce:
        return nonce is not None
    others = select(ChainIntent).where(
        ChainIntent.chain_id == intent.chain_id,
        ChainIntent.sender_address == intent.sender_address,
        ChainIntent.nonce == nonce,
    )
    other = session.scalars(others.with_for_update()).first()
    if other is not None:
        if other.kind != FILL or other.state is not IntentState.SUBMITTED:
            return False
        end_fill(session, other.key, nonce, f"nonce {nonce} was used by {tx_hash}")
    intent.nonce = nonce
    session.flush()
    return True


def mark_broadcast(session: Session, tx_hash: str) -> None:
    """Note that a node has taken an attempt."""
    session.execute(
        update(ChainAttempt)
        .where(ChainAttempt.tx_hash == tx_hash, ChainAttempt.broadcast_at.is_(None))
        .values(broadcast_at=datetime.now(UTC))
    )


def never_signed_by(
    session: Session, chain_id: int, senders: Mapping[str, str]
) -> list[tuple[str, str]]:
    """Return planned calls that were never signed and have another sender than their kind is sent by now.

    Parameters
    ----------
    senders
        The account by kind.

    Returns
    -------
    list of (str, str)
        The key of each, and the account of its kind.
    """
    query = select(ChainIntent.key, ChainIntent.kind, ChainIntent.sender_address).where(
        ChainIntent.state == IntentState.PLANNED,
        ChainIntent.chain_id == chain_id,
        ChainIntent.kind.in_(senders),
        ChainIntent.key.not_in(select(ChainAttempt.intent_key)),
    )
    return [
        (key, senders[kind].lower())
        for key, kind, sender in session.execute(query)
        if sender != senders[kind].lower()
    ]


def hand_on(session: Session, key: str, sender: str) -> None:
    """Have another account send a call that was never signed: what its role may do has moved there."""
    intent = session.get(ChainIntent, key, with_for_update=True)
    if intent is None or intent.state is not IntentState.PLANNED or attempts_of(session, key):
        return
    intent.sender_address, intent.alarm = sender, None
    session.flush()


def take_back_refusal(session: Session, key: str, alarm: str) -> bool:
    """Make a call planned again that was refused before it was signed; return whether it was.

    Parameters
    ----------
    alarm
        Why it waits.
    """
    intent = session.get(ChainIntent, key, with_for_update=True)
    if intent is None or intent.state is not IntentState.FAILED or attempts_of(session, key):
        return False
    intent.state, intent.error, intent.alarm = IntentState.PLANNED, None, alarm[:_SAID_MAX]
    session.flush()
    return True


def refuse(session: Session, key: str, error: str) -> ChainIntent:
    """Mark an intent as failed that the node refused before it had a nonce.

    One that another process has sent meanwhile is left as it is: the caller looks at its state.

    Raises
    ------
    NotFound
        If no intent has the key.
    """
    intent = get(session, key, lock=True)
    if intent.state is IntentState.PLANNED:
        intent.state = IntentState.FAILED
        intent.error = error[:_SAID_MAX]
        session.flush()
        _fail_attempts(session, key)
        session.refresh(intent)  # it outlives its session
    return intent


def _fail_attempts(session: Session, key: str) -> None:
    """Fail the attempts of an intent that ends without a nonce: each had one that went to something else for good."""
    hashes = [item.tx_hash for item in attempts_of(session, key)]
    transactions.fail_replaced(session, hashes, datetime.now(UTC))


def key_of_transaction(session: Session, tx_hash: str) -> str | None:
    """Return the key of the intent that a transaction is an attempt of; None when it is not ours."""
    return session.scalar(select(ChainAttempt.intent_key).where(ChainAttempt.tx_hash == tx_hash))


def confirm(
    session: Session, key: str, tx_hash: str, block_number: int, at: datetime
) -> ChainIntent:
    """Mark an intent as done: its transaction succeeded in a final block. For the mirror alone."""
    intent = get(session, key)
    _with_nonce_of(session, intent, tx_hash)
    intent.state = IntentState.CONFIRMED
    intent.tx_hash = tx_hash
    intent.block_number = block_number
    intent.confirmed_at = at
    intent.error = None
    intent.alarm = None
    session.flush()
    return intent


def fail(
    session: Session, key: str, tx_hash: str, block_number: int, at: datetime, error: str
) -> ChainIntent:
    """Mark an intent as failed: its transaction failed in a final block. For the mirror alone."""
    intent = confirm(session, key, tx_hash, block_number, at)
    intent.state = IntentState.FAILED
    intent.error = error
    session.flush()
    return intent


def rewind(session: Session, above_block: int) -> None:
    """Take back every outcome above a block. For the mirror alone.

    What was never signed here, because the books had forgotten its sending, is planned again. What was, and another
    transaction did, has its own last one again.
    """
    undone: dict[str, Any] = {"block_number": None, "confirmed_at": None, "error": None}
    signed = select(ChainAttempt.tx_hash).where(
        ChainAttempt.intent_key == ChainIntent.key, ChainAttempt.nonce == ChainIntent.nonce
    )
    last = signed.order_by(ChainAttempt.ordinal.desc()).limit(1).scalar_subquery()
    above = ChainIntent.block_number > above_block
    own = select(ChainAttempt.tx_hash).join(ChainIntent, ChainIntent.key == ChainAttempt.intent_key)
    alive = session.scalars(own.where(above, ChainAttempt.nonce == ChainIntent.nonce)).all()
    transactions.reopen(session, alive, above_block)
    for where, state in (
        (signed.exists(), {"state": IntentState.SUBMITTED, "tx_hash": last}),
        (~signed.exists(), {"state": IntentState.PLANNED, "tx_hash": None}),
    ):
        session.execute(
            update(ChainIntent)
            .where(above, where)
            .values(**undone, **state)
            .execution_options(synchronize_session=False)
        )
    session.expire_all()


def as_row(intent: ChainIntent) -> Mapping[str, Any]:
    """Return an intent as plain values for a person or a machine."""
    return {
        "key": intent.key,
        "kind": intent.kind,
        "state": intent.state.value,
        "function": intent.function_name,
        "sender": intent.sender_address,
        "nonce": intent.nonce,
        "transaction": intent.tx_hash,
        "block": intent.block_number,
        "error": intent.error,
        "alarm": intent.alarm,
    }
