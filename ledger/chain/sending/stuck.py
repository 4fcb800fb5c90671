"""Mends transactions that are sent and do not arrive.

Each account with something under way is looked at by itself (``_Lane``). Nothing is sent here: what is decided is
stored, and the sender broadcasts it afterwards.

* **Replaced.** An attempt gets a successor with the same nonce and call and a higher fee. That is so where its fee is
  below the base fee; or where it has waited for ``replace_seconds``, is the next one of its account, and blocks came
  meanwhile. At the fee cap it waits, with an alarm; so it does where the account could not pay more, or where the node
  refuses it for another reason than its fee.
* **Another nonce.** An intent whose nonce somebody else used up is signed anew with the next one. That happens only if
  the transaction that used it stands in a final block and did not do what the intent wants, if nothing else did it
  since either, and if the contract, asked, would still take the call.
* **Filled.** A nonce below ours that nobody uses holds up everything above it. It is used for an empty transaction.
* **Given back.** A fork deeper than what was final can make the first nonce of such an intent free again. Then what was
  signed with the second one waits until the first is used for good: it is filled, at a higher fee than what was signed
  with it. If the first transaction is mined after all, it is the act, and the second nonce is filled.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby

from sqlalchemy.orm import Session

from ledger.chain import fees
from ledger.chain.failures.reverts import reason_of
from ledger.chain.fees import GWEI, TRANSFER_GAS, Fees, Market
from ledger.chain.keys import signed
from ledger.chain.keys.policy import PolicyRefused
from ledger.chain.node.client import ChainClient, RpcError
from ledger.chain.node.records import Authorization, BlockHeader, TransactionInfo
from ledger.chain.sending import adoption, intents, lanes, unknown
from ledger.chain.sending.broadcasting import dearer_helps, included, to_send
from ledger.chain.sending.desk import Desk
from ledger.chain.sending.rehearsal import gas_limit_of
from ledger.errors import BadInput, DependencyDown
from ledger.models import ChainAttempt, ChainIntent
from ledger.models.sending import IntentState

log = logging.getLogger(__name__)

_REPEATABLE = frozenset({"approve"})
"""Calls that a second time change nothing."""
_TROUBLES = (DependencyDown, PolicyRefused, BadInput, RpcError)
"""A signer that is down, a cap of the day, a question that the node refuses: the others are tended all the same."""
_GIVEN_BACK = (
    "a fork gave back a nonce that it had lost, and what was signed with that may be mined: it waits until the nonce "
    "is used in a final block, by what the node says"
)
_CLOCKS_APART_MAX = timedelta(minutes=1)


def _was_set_back(last: ChainAttempt) -> bool:
    """Return whether the clock was set back since an attempt: its age, by the clock, would be below zero for long."""
    return last.created_at > datetime.now(UTC) + _CLOCKS_APART_MAX


def tend(desk: Desk, waiting: Sequence[ChainIntent], attempts: Sequence[ChainAttempt]) -> None:
    """Look at every account of which something is under way, and mend what is stuck.

    Parameters
    ----------
    waiting
        The intents that are sent and not final, by account and nonce.
    attempts
        All their attempts.
    """
    head = desk.head()
    market = desk.market(head)
    by_key: dict[str, list[ChainAttempt]] = {}
    for item in attempts:
        by_key.setdefault(item.intent_key, []).append(item)
    for address, lane in groupby(waiting, key=lambda intent: intent.sender_address):
        _Lane(desk, address, head, market).tend(
            [(intent, by_key[intent.key]) for intent in lane if intent.key in by_key]
        )


class _Lane:
    """One account's transactions under way, in the order of their nonces, looked at once."""

    def __init__(self, desk: Desk, address: str, head: BlockHeader, market: Market) -> None:
        self._desk = desk
        self._client = desk.client
        self._address = address
        self._head = head
        self._market = market

    def tend(self, lane: Sequence[tuple[ChainIntent, list[ChainAttempt]]]) -> None:
        arrived = included(self._desk, [item for _, items in lane for item in items])
        waiting = []
        for intent, items in lane:
            mined = [item for item in items if item.tx_hash in arrived]
            if not mined:
                waiting.append((intent, items))
            elif all(item.nonce != intent.nonce for item in mined):
                self._keep_former(intent, mined[0])
            elif intent.alarm is not None:
                self._alarm(intent, None)
        if not waiting:
            return
        count = self._client.transaction_count(self._address, "latest")
        for intent, items in waiting:
            try:
                if (intent.nonce or 0) < count:
                    self._taken(intent, items)
                elif to_send(self._desk, intent, items) is None:
                    self._alarm(intent, _GIVEN_BACK)
                elif self._is_stuck(intent, intents.current(intent, items), count):
                    self._replace(intent, intents.current(intent, items))
            except _TROUBLES as trouble:
                self._alarm(intent, trouble.message)
        try:
            self._fill_holes(count, waiting)
        except _TROUBLES as trouble:
            log.warning("a hole in the nonces of %s stays: %s", self._address, trouble.message)

    # ------------------------------------------------------------------------- replacement

    def _is_stuck(self, intent: ChainIntent, last: ChainAttempt, count: int) -> bool:
        if int(last.max_fee_wei) < self._market.base_fee_wei:
            return True
        late = intent.nonce == count and self._is_late(last) and self._blocks_came(last)
        return late and dearer_helps(intent, last)

    def _blocks_came(self, last: ChainAttempt) -> bool:
        """Return whether the chain went on since an attempt: by its time, or by its height since this saw it late.

        Where this machine's clock is ahead of the chain's, by the time alone it would wait for as long as that.
        """
        seen = self._desk.seen_at.setdefault(last.tx_hash, self._head.number)
        by_time = self._head.timestamp >= last.created_at.timestamp()
        return by_time or self._head.number > seen or _was_set_back(last)

    def _is_late(self, last: ChainAttempt) -> bool:
        waited = datetime.now(UTC) - last.created_at
        return waited >= timedelta(seconds=self._desk.replace_seconds) or _was_set_back(last)

    def _replace(self, intent: ChainIntent, last: ChainAttempt) -> None:
        """Sign an intent anew with its nonce, dearer than its last attempt; where that cannot be, alarm and wait."""
        before = Fees(int(last.max_fee_wei), int(last.priority_fee_wei))
        offered = self._dearer(intent, before)
        if offered is None:
            return
        signer = self._desk.keyring.signer(self._address, f"replace {intent.function_name}")
        # No more than a block holds: blocks that shrank since hold no transaction with the former limit.
        most = fees.transaction_gas_max(self._head.gas_limit)
        gas = min(int(signed.read(last.raw_transaction)["gas"]), most)
        assert intent.nonce is not None
        if (has := self._client.balance(self._address)) < (cost := gas * offered.max_fee_wei):
            self._alarm(
                intent,
                f"{self._address} has {fees.ether_text(has)} ether, and what is dearer may cost "
                f"{fees.ether_text(cost)}: it waits; send the account that much",
            )
            return
        more = gas * (offered.max_fee_wei - before.max_fee_wei)
        account = self._desk.chain_id, self._address
        if self._desk.caps is not None:
            with self._desk.db.read() as session:
                lanes.check_spending(session, self._desk.caps, account, 0, more)
        attempt = self._desk.sign(signer, intent, intent.nonce, gas, offered)

        def store(session: Session) -> bool:
            if not _is_last(session, last):
                return False  # another process was faster
            lanes.spend(session, self._desk.caps, account, 0, more)
            intents.store_attempt(session, intents.get(session, intent.key), attempt)
            return True

        if self._desk.db.run(store):
            log.info(
                "%s of %s, nonce %s: replaced, it offers %.3f gwei now",
                intent.function_name,
                self._address,
                intent.nonce,
                offered.max_fee_wei / GWEI,
            )
            if fees.is_capped(before, self._market, self._desk.max_fee_wei):
                self._alarm(
                    intent, f"its fee has reached {self._cap_text}: raise the setting if it waits"
                )

    @property
    def _cap_text(self) -> str:
        return f"max_fee_gwei ({self._desk.max_fee_wei // GWEI})"

    def _dearer(self, intent: ChainIntent, before: Fees) -> Fees | None:
        """Return fees that a pool takes in place of those before; None, with an alarm: the cap forbids them."""
        cap, base = self._desk.max_fee_wei, self._market.base_fee_wei
        if base > cap:
            self._alarm(
                intent,
                f"gas costs {base / GWEI:.1f} gwei, more than {self._cap_text}: it waits; wait too, or raise the "
                "setting",
            )
            return None
        offered = fees.replacing(before, self._market, cap)
        if offered is None:
            self._alarm(
                intent,
                f"it offers {before.max_fee_wei / GWEI:.1f} gwei, and an eighth more would pass {self._cap_text}: it "
                "waits; wait too, or raise the setting",
            )
        return offered

    # --------------------------------------------------------------------- a nonce that is gone

    def _taken(self, intent: ChainIntent, items: Sequence[ChainAttempt]) -> None:
        """Give an intent another nonce if its own was provably, and for good, taken by a stranger."""
        final = self._desk.final_number(self._head)
        nonce = intent.nonce
        assert nonce is not None
        if final is None:
            return
        try:
            if self._client.transaction_count(self._address, final) <= nonce:
                return  # in a block that may still be taken back, or ours and its receipt is late
            taker = find_taker(self._client, (self._desk.chain_id, self._address), nonce, final)
        except RpcError:
            taker = None  # a node without the states of before
        if taker is None:
            self._alarm(
                intent,
                f"nonce {nonce} is used, and the node cannot show by what; use a node that keeps the states of the "
                "last blocks",
            )
            return
        if taker.hash in {item.tx_hash for item in items}:
            return  # ours: the receipt is late
        self._stolen(intent, nonce, taker)

    def _stolen(self, intent: ChainIntent, nonce: int, taker: TransactionInfo) -> None:
        """Decide on an intent whose nonce a stranger used for good: is done, would be refused now, or is sent anew."""
        own = (taker.sender, taker.nonce) == (self._address, nonce)
        how = "" if own else ", by which the account took on code (EIP-7702)"
        said = f"nonce {nonce} was taken by {taker.hash}{how}"
        if intent.kind == intents.FILL:
            self._desk.db.run(lambda session: intents.end_fill(session, intent.key, nonce, said))
            return
        if (is_done := self._is_done(intent, taker, own=own)) is not None:
            self._alarm(intent, said + is_done)
            return
        if (done := self._done_unknown(intent)) is not None:
            why = f"{said}; {done} makes the same call: the mirror ends it when that is final"
            self._release(intent, nonce, why)
            return
        try:
            gas = gas_limit_of(self._desk, intent, self._head)
        except RpcError as error:
            if not error.reverted:
                raise DependencyDown(
                    f"{said}; the node cannot try it: {error.rpc_message}"
                ) from error
            reason = reason_of(None, error.data) or error.rpc_message
            why = f"{said}; the contract would refuse it now: {reason}"
            log.warning("%s of %s: %s", intent.function_name, self._address, why)
            self._release(intent, nonce, why)
            return
        self._sign_anew(intent, nonce, gas)
        log.warning(
            "%s of %s: %s, a stranger's; it is sent with another nonce",
            intent.function_name,
            self._address,
            said,
        )

    def _is_done(self, intent: ChainIntent, taker: TransactionInfo, *, own: bool) -> str | None:
        """Return what to say where an intent was done by what took its nonce, or by another; None: it was not.

        Parameters
        ----------
        own
            Whether the account itself sent what took the nonce.
        """
        call = taker.to, taker.input.lower(), taker.value
        same = own and call == (intent.contract_address, intent.call_data.lower(), 0)
        if same and not self._failed(taker):
            if intent.function_name in _REPEATABLE:
                return None
            return ", which makes the same call: the mirror ends it when it has read it"
        db = self._desk.db
        with db.read() as session:
            mark = adoption.in_mirror(session, intent)
        done = mark.tx_hash if mark else adoption.on_node(db, self._client, intent, False)
        return None if done is None else f"; {done} has done it: the mirror ends it"

    def _release(self, intent: ChainIntent, nonce: int, why: str) -> None:
        """Make an intent planned again, without its nonce: nothing more of it is sent from here."""
        self._desk.db.run(lambda session: intents.release_nonce(session, intent.key, nonce, why))

    def _done_unknown(self, intent: ChainIntent) -> str | None:
        """Return the transaction, unknown to the books, that did what an intent without a key wants, by another nonce.

        Books that were restored may have sent it again before, when they knew more than now.
        """
        desk = self._desk
        unknown.check(desk, self._address)
        with desk.db.read() as session:
            found = adoption.same_call(session, intent, 0, lost=True)
        return found.tx_hash if found else None

    def _failed(self, taker: TransactionInfo) -> bool:
        """Return whether a transaction reverted: the same call, with less gas or at a worse moment, did nothing."""
        receipt = self._client.receipt(taker.hash)
        return receipt is not None and receipt.status == 0

    def _sign_anew(self, intent: ChainIntent, lost: int, gas: int) -> None:
        """Sign with the lane's next nonce; if others take it meanwhile, the next tending tries again."""
        if self._market.base_fee_wei > self._desk.max_fee_wei:
            raise DependencyDown(
                f"nonce {lost} was taken by a stranger, and gas costs more than max_fee_gwei: it waits",
                code="fees-too-high",
            )
        offered = fees.first(self._market, self._desk.max_fee_wei)
        signer = self._desk.keyring.signer(self._address, f"send {intent.function_name}")
        account, cost = (self._desk.chain_id, self._address), gas * offered.max_fee_wei
        on_chain = self._client.transaction_count(self._address, "latest")
        with self._desk.db.read() as session:
            nonce = lanes.next_nonce(session, *account, on_chain)
            lanes.check_spending(session, self._desk.caps, account, 1, cost)
        attempt = self._desk.sign(signer, intent, nonce, gas, offered)

        def store(session: Session) -> None:
            found = session.get(ChainIntent, intent.key, with_for_update=True)
            if (
                found is None
                or (found.state, found.nonce) != (IntentState.SUBMITTED, lost)
                or not lanes.take_nonce(session, *account, nonce, on_chain)
            ):
                return
            unknown.require_last_settled(session, *account, nonce)
            lanes.spend(session, self._desk.caps, account, 1, cost)
            intents.store_attempt(session, found, attempt)

        self._desk.db.run(store)

    # ------------------------------------------------------------------------------- holes

    def _fill_holes(
        self, count: int, waiting: Sequence[tuple[ChainIntent, list[ChainAttempt]]]
    ) -> None:
        """Fill the nonces below ours that neither we nor the pool have anything for.

        What is in the pool, a node says by the count of pending transactions, and not all count alike:
        a stranger's transaction has until ours has waited for ``replace_seconds``.
        """
        highest = max(intent.nonce or 0 for intent, _ in waiting)
        if count >= highest:
            return
        with self._desk.db.read() as session:
            ours = lanes.nonces_of(session, self._desk.chain_id, self._address, count)
        holes = [nonce for nonce in range(count, highest) if nonce not in ours]
        if not holes:
            return
        late = any(self._is_late(intents.current(intent, items)) for intent, items in waiting)
        if not late and self._client.transaction_count(self._address, "pending") > holes[0]:
            return  # a stranger's transaction seems to wait there
        for nonce in holes:
            self._fill(nonce)

    def _keep_former(self, intent: ChainIntent, mined: ChainAttempt) -> None:
        """Keep to a transaction that lost its nonce, got it back by a fork, and stands in a block.

        What was signed since, with the nonce that the intent has now, must not be mined as well: nothing takes that.
        """
        left = intent.nonce
        assert left is not None

        def keep(session: Session) -> bool:
            return intents.keep_former(session, intent.key, left, mined.tx_hash)

        try:
            if self._client.transaction_count(self._address, "latest") > left:
                self._desk.db.run(keep)  # something else has that nonce by now
            else:
                self._fill(left, keep)
        except _TROUBLES as trouble:
            self._alarm(
                intent,
                f"{mined.tx_hash}, whose nonce a fork gave back, is in a block, and nonce {left} cannot be filled, "
                f"with which it would be done again: {trouble.message}",
            )

    def _fill(self, nonce: int, free: Callable[[Session], bool] = lambda session: True) -> None:
        """Sign a transaction that does nothing with a nonce, dearer than whatever of ours had it before.

        Parameters
        ----------
        free
            Makes the nonce free in the commit that stores it; returns whether it is.
        """
        desk, account = self._desk, (self._desk.chain_id, self._address)
        with desk.db.read() as session:
            before = lanes.highest_offer(session, *account, nonce)
        offered = fees.first(self._market, desk.max_fee_wei)
        if before is not None:  # at the cap, the pool may have forgotten it
            offered = fees.replacing(before, self._market, desk.max_fee_wei) or offered
        filling = intents.fill_of(desk.chain_id, self._address)
        signer = desk.keyring.signer(self._address, f"fill nonce {nonce}")
        attempt = desk.sign(signer, filling, nonce, TRANSFER_GAS, offered)

        def store(session: Session) -> bool:
            if not (free(session) and lanes.fill_nonce(session, *account, nonce)):
                return False
            lanes.spend(session, desk.caps, account, 1, TRANSFER_GAS * offered.max_fee_wei)
            session.add(filling)
            session.flush()
            intents.store_attempt(session, filling, attempt)
            return True

        if desk.db.run(store):
            log.warning("nonce %s of %s was left out: filled with nothing", nonce, self._address)

    def _alarm(self, intent: ChainIntent, text: str | None) -> None:
        if self._desk.db.run(lambda session: intents.set_alarm(session, intent.key, text)) and text:
            log.warning(
                "%s of %s, nonce %s: %s", intent.function_name, self._address, intent.nonce, text
            )


def _is_last(session: Session, attempt: ChainAttempt) -> bool:
    """Return whether an attempt is still the one that its intent waits for; the intent is locked."""
    found = session.get(ChainIntent, attempt.intent_key, with_for_update=True)
    if found is None or found.state is not IntentState.SUBMITTED or found.nonce != attempt.nonce:
        return False
    current = intents.current(found, intents.attempts_of(session, found.key))
    return current.tx_hash == attempt.tx_hash


def find_taker(
    client: ChainClient, account: tuple[int, str], nonce: int, final: int
) -> TransactionInfo | None:
    """Return the transaction that used a nonce, in blocks up to a final one; None if the node hides it.

    It is the account's own, or one of anybody that brings what the account signed to take on code (EIP-7702).

    Parameters
    ----------
    account
        Chain and address.
    final
        A block at which the account's count is above the nonce.
    """
    chain_id, address = account
    low, step = final, 1  # the count at block ``low - 1`` is to be the nonce, at the most
    while low > 0 and client.transaction_count(address, low - 1) > nonce:
        low = max(low - step, 0)
        step *= 2
    high = min(low + step, final)
    while low < high:
        middle = (low + high) // 2
        if client.transaction_count(address, middle) > nonce:
            high = middle
        else:
            low = middle + 1
    block = client.block_with_transactions(low)
    if block is None:
        return None
    for item in block[1]:
        if (item.sender, item.nonce) == (address, nonce):
            return item
    for item in block[1]:
        if any(_uses(chain_id, each, address, nonce) for each in item.authorizations):
            return item
    return None


def _uses(chain_id: int, said: Authorization, address: str, nonce: int) -> bool:
    """Return whether what an account signed uses up a nonce of this one; 0 stands for every chain."""
    fits = said.nonce == nonce and said.chain_id in (0, chain_id)
    return fits and signed.authority_of(said) == address
