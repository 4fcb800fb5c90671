"""The only door to a chain: an intent is carried out once, whatever crashes, lags, or is stolen on the way.

- ``submit`` sends an intent for the first time. It checks that the intent is not done yet and would not be refused,
  signs, stores the signed transaction in the commit that takes its nonce, and only then sends it.
- ``tend`` is called again and again for whatever is under way. It sends the same bytes again, pays more where they are
  stuck, takes another nonce where somebody else used ours, and fills a nonce that nobody uses (``stuck``).
- ``recheck_final`` looks whether a deep fork took back what was final.

Only the mirror says that an intent is done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import nullcontext
from functools import partial

from sqlalchemy.orm import Session

from ledger.chain.fees import GWEI
from ledger.chain.keys.policy import DailyCaps
from ledger.chain.keys.signers import Keyring
from ledger.chain.node.client import ChainClient, RpcError
from ledger.chain.sending import adoption, displaced, intents, rehearsal, stuck, unknown
from ledger.chain.sending.broadcasting import NotTaken, included, send, send_all, to_send
from ledger.chain.sending.desk import REPLACE_SECONDS, Desk
from ledger.chain.sending.displaced import OfAccount, Waiting
from ledger.chain.sending.first import acts_twice, not_again, sign_and_store
from ledger.chain.sending.intents import NewIntent
from ledger.chain.sending.rechecking import taken_back
from ledger.chain.sending.rehearsal import AlreadyOnChain, NotTried
from ledger.db import Database
from ledger.errors import ContractRefused, DependencyDown, Refused
from ledger.models import ChainAttempt, ChainIntent
from ledger.models.sending import IntentState
from ledger.settings import depth_of

_INCLUSION_SECONDS_MAX = 180.0
_INCLUSION_POLL_SECONDS = 0.25
_POLLS_PER_TENDING = 20

__all__ = ["AlreadyOnChain", "NotTaken", "NotTried", "Sender"]


class Sender:
    """Sends the intents of one chain.

    Parameters
    ----------
    db
        The books.
    client
        A node of the chain.
    keyring
        The keys at hand.
    chain_id
        The chain's id; it is signed into every transaction.
    max_fee_gwei
        The highest fee per gas that may be offered.
    caps
        What an account may sign for on one day; None: anything.
    replace_seconds
        After how long in no block a transaction is replaced by a dearer one.
    finality
        When a block is final: ``finalized`` as the node says, or a number of blocks.
    """

    def __init__(
        self,
        db: Database,
        client: ChainClient,
        keyring: Keyring,
        chain_id: int,
        max_fee_gwei: int,
        *,
        caps: DailyCaps | None = None,
        replace_seconds: int = REPLACE_SECONDS,
        finality: str | int = "finalized",
    ) -> None:
        self._db = db
        self._client = client
        depth = depth_of(finality)
        self._desk = Desk(
            db, client, keyring, chain_id, max_fee_gwei * GWEI, caps, replace_seconds, depth
        )

    def submit(self, key: str, contract: str) -> str:
        """Sign and send a planned intent; return the hash of its transaction.

        One that was submitted before is not signed again: the same bytes are sent once more.

        Parameters
        ----------
        key
            The intent's key.
        contract
            Name of the contract, to decode a refusal.

        Raises
        ------
        Refused
            If the contract would refuse the call; the intent is then failed, with the reason.
        AlreadyOnChain
            If the chain has done before what the intent wants; the intent keeps its state.
        BadInput
            If the sender's key is not at hand.
        PolicyRefused
            If the signer policy forbids it; the intent keeps its state.
        DependencyDown
            If node or signer do not answer, the node cannot try the call, or wants higher fees than may be
            offered. The intent keeps its state, and can be submitted again.
        """
        with self._db.read() as session:
            intent = intents.get(session, key)
        if intent.state is IntentState.FAILED:
            raise Refused(
                f"{intent.function_name} was refused before: {intent.error}", details={"key": key}
            )
        if intent.state is not IntentState.PLANNED:
            self.rebroadcast(key)
            return str(intent.tx_hash)
        return self._begin(intent, contract)

    def submit_new(self, new: NewIntent) -> str:
        """Plan, sign and send a call in one step; return the hash of its transaction.

        It is for calls without a key that the caller remembers, such as a deposit: nobody would come back for a planned
        intent of such a call. So the intent is stored only together with its signed transaction, in one commit, and
        what is cut short before leaves nothing. One that the contract refuses is stored as failed.

        Raises
        ------
        Refused, AlreadyOnChain, BadInput, PolicyRefused, DependencyDown
            As ``submit``; nothing is stored then, a refusal of the contract aside.
        """
        return self._begin(intents.row_of(self._desk.chain_id, new), new.contract, new)

    def send_from(self, senders: Mapping[str, str]) -> None:
        """Give planned calls that were never signed to the accounts that hold the roles now.

        A role may have moved to another account since they were planned.

        Parameters
        ----------
        senders
            By kind of call, the account of the deployment file.
        """
        with self._db.read() as session:
            moved = intents.never_signed_by(session, self._desk.chain_id, senders)
        for key, sender in moved:
            self._db.run(partial(intents.hand_on, key=key, sender=sender))

    def rehearse(self, intent: ChainIntent, contract: str) -> None:
        """Make all checks that an intent must pass before it is signed; store and send nothing.

        Parameters
        ----------
        intent
            Planned, and in no session: it need not be stored.
        contract
            As for ``submit``.

        Raises
        ------
        Refused, AlreadyOnChain, BadInput, PolicyRefused, DependencyDown
            As ``submit`` would.
        """
        self._rehearse(lambda: rehearsal.ready(self._desk, intent), intent, contract)

    def try_instead(self, intent: ChainIntent, contract: str) -> None:
        """Check only whether the chain would take a call; nothing is signed.

        For a dry run of a call that cannot be tried yet, as it builds on another: this one is tried in its place.

        Raises
        ------
        Refused, DependencyDown
            If it would not, or the node does not say.
        """
        desk = self._desk
        self._rehearse(lambda: rehearsal.gas_limit_of(desk, intent, desk.head()), intent, contract)

    def _rehearse(self, look: Callable[[], object], intent: ChainIntent, contract: str) -> None:
        try:
            look()
        except RpcError as error:
            reason = rehearsal.refusal(contract, intent, error)
            raise _refused(contract, intent, reason) from error

    def _begin(self, intent: ChainIntent, contract: str, new: NewIntent | None = None) -> str:
        try:
            prepared = rehearsal.ready(self._desk, intent)
        except RpcError as error:
            return self._noted_refusal(intent, contract, error, new)
        attempt = sign_and_store(self._desk, intent, prepared, new)
        stored = f"{intent.function_name}, transaction {attempt.tx_hash},"
        with not_again(stored) if acts_twice(new) else nullcontext():
            send(self._desk, attempt)
        return attempt.tx_hash

    def rebroadcast(self, key: str | None = None) -> int:
        """Send the stored bytes of every open intent again that is in no block; return how many intents are open.

        Where an intent has several attempts, ``to_send`` says which one. One that the node does not take does not keep
        the others from being sent.

        Parameters
        ----------
        key
            Only that of this intent; None: all.

        Raises
        ------
        DependencyDown
            If the node does not answer, or did not take one of them; the first reason is given.
        """
        desk = self._desk
        with self._db.read() as session:
            rows = {item.key: item for item in intents.open_intents(session, desk.chain_id)}
            attempts = intents.open_attempts(session, desk.chain_id)
        by_intent: dict[str, list[ChainAttempt]] = {}
        for item in attempts:
            if key in (None, item.intent_key):
                by_intent.setdefault(item.intent_key, []).append(item)
        arrived = included(desk, [item for items in by_intent.values() for item in items])
        waiting = [
            to_send(desk, rows[each], items)
            for each, items in by_intent.items()
            if arrived.isdisjoint(item.tx_hash for item in items)
        ]
        send_all(desk, [item for item in waiting if item is not None])
        return len(by_intent)

    def tend(self) -> int:
        """Mend what is under way and stuck, then send all of it again; return how many intents are open.

        Raises
        ------
        DependencyDown
            If the node does not answer, or did not take one of them.
        """
        with self._db.read() as session:
            waiting = intents.open_intents(session, self._desk.chain_id)
            if not waiting:
                return 0
            attempts = intents.open_attempts(session, self._desk.chain_id)
        stuck.tend(self._desk, waiting, attempts)
        return self.rebroadcast()

    def tend_for(self, keys: Collection[str]) -> None:
        """Tend, for a caller who waits for some intents: trouble with intents that these do not wait for is no error.

        Raises
        ------
        NotTaken
            If the node did not take one of these, or one with a lower nonce of the same account.
        DependencyDown
            If the node does not answer.
        """
        try:
            self.tend()
        except NotTaken:
            with self._db.read() as session:
                waiting = intents.open_intents(session, self._desk.chain_id)
            # By account and nonce: the last of each is kept.
            last = {item.sender_address: item.nonce or 0 for item in waiting if item.key in keys}
            for item in waiting:
                if (item.nonce or 0) <= last.get(item.sender_address, -1):
                    self.rebroadcast(item.key)

    def recheck_final(self) -> list[str]:
        """Look again at intents that became final lately; return the keys of those that the chain took back since.

        They are sent again at once where that is safe. Their state is left to the mirror, which sees the same and makes
        them *submitted* again.

        Raises
        ------
        DependencyDown
            If the node does not answer, or did not take one of them.
        """
        gone = taken_back(self._desk)
        send_all(self._desk, [last for last in gone.values() if last is not None])
        return list(gone)

    def pending(
        self, accounts: Iterable[str], contracts: Mapping[str, str]
    ) -> tuple[OfAccount, ...]:
        """Return what accounts have in the node's pool that the books do not know; see ``displaced.look``."""
        with self._db.read() as session:
            every = displaced.accounts_of(session, self._desk.chain_id, accounts)
        return displaced.look(self._desk, every, contracts)

    def displace(
        self, tx_hash: str, reason: str, contracts: Mapping[str, str], *, keep: bool = True
    ) -> tuple[Waiting | None, str]:
        """Have a pending transaction that the books do not know displaced by nothing; return it, and the other's hash.

        Raises
        ------
        NotFound, Refused, BadInput, DependencyDown
            See ``displaced.displace``; NotTaken, where the node does not take what displaces it.
        """
        row, signed = displaced.displace(self._desk, tx_hash, reason, contracts, keep=keep)
        if keep:
            send(self._desk, signed)
        return row, signed.tx_hash

    def check_known(self, account: str) -> None:
        """Refuse to sign for an account that has done on chain what neither books nor mirror know of.

        Raises
        ------
        DependencyDown
            If there are such transactions (see ``unknown``).
        """
        unknown.check(self._desk, account)

    def wait_until_included(
        self, tx_hash: str, on_long: Callable[[float], None] | None = None
    ) -> None:
        """Wait until a transaction, or one that replaced it, stands in a block: what follows builds on it.

        Parameters
        ----------
        on_long
            Called once where that takes seconds, with how many it may take at the most: a person is to know why.

        Raises
        ------
        NotTaken
            If the node does not take it now.
        DependencyDown
            If it does not stand in one in time.
        """
        with self._db.read() as session:
            key = intents.key_of_transaction(session, tx_hash)
        until = time.monotonic() + _INCLUSION_SECONDS_MAX
        polls = 0
        while not included(self._desk, self._siblings(tx_hash)):
            if time.monotonic() > until:
                raise DependencyDown(
                    f"transaction {tx_hash} is in no block after {_INCLUSION_SECONDS_MAX:.0f} s; it is stored and "
                    "will be sent again: repeat the command later",
                    code="not-included-yet",
                )
            time.sleep(_INCLUSION_POLL_SECONDS)
            polls += 1
            if polls == _POLLS_PER_TENDING and on_long is not None:
                on_long(_INCLUSION_SECONDS_MAX)
            if polls % _POLLS_PER_TENDING == 0:
                self.tend_for([key] if key is not None else [])

    # ---------------------------------------------------------------------- signing, sending

    def _noted_refusal(
        self, intent: ChainIntent, contract: str, error: RpcError, new: NewIntent | None
    ) -> str:
        """Mark an intent as failed, as the contract refuses it, and raise that.

        But where the refusal means that the call was done before, the intent is left as it is; and where another
        process has sent it meanwhile, the hash of that transaction is returned.
        """
        key, reason = intent.key, rehearsal.refusal(contract, intent, error)

        def note(session: Session) -> ChainIntent:
            if new is not None:
                intents.plan(session, self._desk.chain_id, new)
            return intents.refuse(session, key, reason)

        with self._db.read() as session:
            done = adoption.says_done(session, intent, reason)
            found = intent if new is not None else intents.get(session, key)
        if not done:
            found = self._db.run(note)
        if found.state in (IntentState.SUBMITTED, IntentState.CONFIRMED):
            return str(found.tx_hash)
        if found.state is IntentState.PLANNED:
            raise AlreadyOnChain(
                f"{contract} refuses {intent.function_name}: {reason}", details={"key": key}
            ) from error
        raise _refused(contract, intent, found.error or reason) from error

    def _siblings(self, tx_hash: str) -> list[ChainAttempt]:
        """Return all attempts of the intent that a transaction is one of."""
        with self._db.read() as session:
            key = intents.key_of_transaction(session, tx_hash)
            return list(intents.attempts_of(session, key)) if key is not None else []


def _refused(contract: str, intent: ChainIntent, reason: str) -> ContractRefused:
    said = f"{contract} refuses {intent.function_name}: {reason}"
    return ContractRefused(said, details={"key": intent.key})
