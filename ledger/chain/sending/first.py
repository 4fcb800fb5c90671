"""Signs an intent for the first time, and stores the transaction in the commit that takes its nonce."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from sqlalchemy.orm import Session

from ledger.chain.sending import intents, lanes, unknown
from ledger.chain.sending.desk import Desk
from ledger.chain.sending.intents import NewIntent, Signed, SignedAttempt
from ledger.chain.sending.rehearsal import AlreadyOnChain, Ready
from ledger.db import DatabaseBusy
from ledger.db.diagnoses import LOOK
from ledger.errors import DependencyDown, Refused
from ledger.models import ChainIntent
from ledger.models.sending import IntentState

_LANE_TRIES = 20
"""How often it signs, at most: anew each time that another process took the nonce that it had signed with."""
_SAYS_STORED = ("not-final-yet", "not-included-yet", "not-taken")
"""Codes of errors that say by themselves that a transaction is stored."""
_TWICE = "before you give the command again: it would act a second time"


def acts_twice(new: NewIntent | None) -> bool:
    """Tell whether the same command, given again, would do this a second time; None: the intent was stored before."""
    return new is not None and not new.found_again


@contextmanager
def not_again(what: str) -> Iterator[None]:
    """Add to the error of a database or node that fails now: the act is stored; look before you repeat the command.

    Parameters
    ----------
    what
        What is stored, for people.
    """
    try:
        yield
    except DependencyDown as error:
        if error.code not in _SAYS_STORED:
            error.add(
                f"{what} is stored, and the jobs send it: look for it in `truetonne chain intents --all`, "
                f"and on chain, {_TWICE}"
            )
        raise


@contextmanager
def perhaps_stored(tx_hash: str) -> Iterator[None]:
    """Add to the error of a commit whose answer was lost how to see whether the transaction is stored."""
    try:
        yield
    except DependencyDown as error:
        if LOOK in error.message:
            error.add(
                f"if it was, `truetonne chain intents --all` has transaction {tx_hash}: "
                f"see it {_TWICE}"
            )
        raise


def sign_and_store(
    desk: Desk, intent: ChainIntent, prepared: Ready, new: NewIntent | None
) -> Signed:
    """Sign an intent with the next nonce of its account, and store that in the commit that takes the nonce.

    It is signed before that commit begins, so that no lock waits for a slow signer. If another process took the nonce
    meanwhile, the bytes are thrown away, and it is signed anew with the next one.

    Parameters
    ----------
    new
        The intent, where it is not stored yet and shall be in this commit; None: it is stored already.

    Raises
    ------
    Refused
        If another process tried it meanwhile, and the contract refused it.
    AlreadyOnChain
        If the mirror found meanwhile that it was done before.
    PolicyRefused, DependencyDown
        As ``Sender.submit``.
    """
    signer, gas, offered = prepared.signer, prepared.gas, prepared.fees
    account, cost = (desk.chain_id, signer.address), gas * offered.max_fee_wei
    for _ in range(_LANE_TRIES):
        on_chain = desk.client.transaction_count(signer.address, "latest")
        with desk.db.read() as session:
            nonce = lanes.next_nonce(session, *account, on_chain)
            lanes.check_spending(session, desk.caps, account, 1, cost)
        attempt = desk.sign(signer, intent, nonce, gas, offered)

        def store(
            session: Session, attempt: SignedAttempt = attempt, on_chain: int = on_chain
        ) -> Signed | None:
            theirs = _of_others(session, intent.key) if new is None else None
            if theirs is not None:
                return theirs
            if not lanes.take_nonce(session, *account, attempt.nonce, on_chain):
                return None
            unknown.require_last_settled(session, *account, attempt.nonce)
            lanes.spend(session, desk.caps, account, 1, cost)
            if new is not None:
                intents.plan(session, desk.chain_id, new)
            intents.store_attempt(session, intents.get(session, intent.key), attempt)
            return attempt

        with perhaps_stored(attempt.tx_hash) if acts_twice(new) else nullcontext():
            stored = desk.db.run(store)
        if stored is not None:
            return stored
    raise DatabaseBusy(f"others take the nonces of {signer.address} all the time; try again")


def _of_others(session: Session, key: str) -> Signed | None:
    """Return the last attempt of an intent that another process signed meanwhile; None: nobody did."""
    found = session.get_one(ChainIntent, key, with_for_update=True)
    if found.state is IntentState.PLANNED:
        return None
    if found.state is IntentState.FAILED:
        raise Refused(
            f"{found.function_name} was refused before: {found.error}", details={"key": found.key}
        )
    attempts = intents.attempts_of(session, key)
    if not attempts:  # the mirror has found meanwhile that it was done: the books had forgotten it
        raise AlreadyOnChain(
            f"{found.function_name} is done: transaction {found.tx_hash} did it",
            details={"key": key, "transaction": found.tx_hash},
        )
    return Signed(attempts[-1].tx_hash, attempts[-1].raw_transaction)
