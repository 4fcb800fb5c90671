"""The only module that signs and broadcasts: an intent reaches the chain once.

``submit`` asks the node first whether the call would succeed, then allocates the nonce, signs, and
stores the raw transaction in one commit, and only then sends. Whatever happens between storing and
sending, ``rebroadcast`` sends the same bytes again: the nonce lets them through once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from eth_utils.address import to_checksum_address
from sqlalchemy.orm import Session

from ledger.chain import intents
from ledger.chain.client import ChainClient, RpcError
from ledger.chain.intents import SignedAttempt
from ledger.chain.reverts import reason_of
from ledger.chain.signers import Keyring, Signer
from ledger.db import Database
from ledger.errors import DependencyDown, Refused
from ledger.models import ChainIntent
from ledger.models.mirror import IntentState

_GWEI = 10**9
_GAS_MARGIN_PERCENT = 25
_TRANSACTION_GAS_MAX = 16_777_216
"""EIP-7825: no transaction may ask for more gas."""
_INCLUSION_SECONDS_MAX = 180.0
_INCLUSION_POLL_SECONDS = 0.25
_HARMLESS = ("already known", "already imported", "nonce too low", "known transaction")
"""Answers to a second sending that mean the first one arrived."""


class AlreadyOnChain(Refused):
    """The chain holds what the intent would do, under its own key: the books are behind.

    That is so after a database was restored from before the sending. The intent stays as it is, and
    the mirror says what became of it.
    """

    default_code = "already-on-chain"


class NotTaken(DependencyDown):
    """The node answers, but does not take a signed transaction now."""

    default_code = "not-taken"


@dataclass(frozen=True)
class Fees:
    """Fees of one attempt in wei per gas."""

    max_fee_wei: int
    priority_fee_wei: int


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
    """

    def __init__(
        self,
        db: Database,
        client: ChainClient,
        keyring: Keyring,
        chain_id: int,
        max_fee_gwei: int,
    ) -> None:
        self._db = db
        self._client = client
        self._keyring = keyring
        self._chain_id = chain_id
        self._max_fee_wei = max_fee_gwei * _GWEI

    def submit(self, key: str, contract: str) -> str:
        """Sign and send a planned intent; return the hash of its transaction.

        An intent that was submitted before is sent again as it is.

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
            If the contract has taken this key before; the intent keeps its state.
        BadInput
            If the sender's key is not at hand.
        DependencyDown
            If the node does not answer, cannot try the call, or wants higher fees than may be
            offered. The intent keeps its state, and can be submitted again.
        """
        with self._db.read() as session:
            intent = intents.get(session, key)
            state, error = intent.state, intent.error
            sender, target, data = intent.sender_address, intent.contract_address, intent.call_data
            function, tx_hash = intent.function_name, intent.tx_hash
        if state is IntentState.FAILED:
            raise Refused(f"{function} was refused before: {error}", details={"key": key})
        if state is not IntentState.PLANNED:
            self.rebroadcast(key)
            return str(tx_hash)
        signer = self._keyring.signer(sender, f"send {function}")
        try:
            gas = self._preflight(sender, target, data)
        except RpcError as error_of_node:
            return self._refused(key, contract, function, error_of_node)
        fees = self._fees()
        # Asked before the write transaction begins: no lock is held while the node thinks.
        on_chain = self._client.transaction_count(sender, "latest")
        attempt = self._db.run(
            lambda session: self._sign_and_store(session, key, signer, gas, fees, on_chain)
        )
        self._send(attempt)
        return attempt.tx_hash

    def rebroadcast(self, key: str | None = None) -> int:
        """Send every transaction again whose fate is not known; return how many there were.

        One that the node does not take does not keep the others from being sent.

        Parameters
        ----------
        key
            Only those of this intent; None: all.

        Raises
        ------
        DependencyDown
            If the node does not answer, or did not take one of them; the first reason is given.
        """
        with self._db.read() as session:
            attempts = [
                SignedAttempt(item.tx_hash, item.raw_transaction, 0, 0, 0)
                for item in intents.open_attempts(session, self._chain_id)
                if key in (None, item.intent_key)
            ]
        receipts = self._client.receipts([attempt.tx_hash for attempt in attempts])
        trouble: NotTaken | None = None
        for attempt, receipt in zip(attempts, receipts, strict=True):
            if receipt is None:
                try:
                    self._send(attempt)
                except NotTaken as error:
                    trouble = trouble or error
        if trouble is not None:
            raise trouble
        return len(attempts)

    def wait_until_included(self, tx_hash: str) -> None:
        """Wait until a transaction stands in a block: what follows builds on it.

        Raises
        ------
        DependencyDown
            If it does not, in time.
        """
        until = time.monotonic() + _INCLUSION_SECONDS_MAX
        while self._client.receipt(tx_hash) is None:
            if time.monotonic() > until:
                raise DependencyDown(
                    f"transaction {tx_hash} is in no block after {_INCLUSION_SECONDS_MAX:.0f} s; it is stored and "
                    "will be sent again: repeat the command later",
                    code="not-included-yet",
                )
            time.sleep(_INCLUSION_POLL_SECONDS)

    def _refused(self, key: str, contract: str, function: str, error: RpcError) -> str:
        """Say why a call was refused; return the transaction's hash if somebody else has sent it."""
        if not error.reverted:
            raise DependencyDown(
                f"the node cannot try {function}: {error.rpc_message}; it stays planned: repeat the command later",
                code="not-tried",
                details={"key": key},
            ) from error
        reason = reason_of(contract, error.data) or error.rpc_message
        if reason == f"KeyUsed(key={key})":
            with self._db.read() as session:
                intent = intents.get(session, key)
        else:
            intent = self._db.run(lambda session: intents.refuse(session, key, reason))
        if intent.state in (IntentState.SUBMITTED, IntentState.CONFIRMED):
            return str(intent.tx_hash)
        kind = AlreadyOnChain if intent.state is IntentState.PLANNED else Refused
        raise kind(
            f"{contract} refuses {function}: {intent.error or reason}",
            code=None if kind is AlreadyOnChain else "contract-refused",
            details={"key": key},
        ) from error

    def _preflight(self, sender: str, target: str, data: str) -> int:
        self._client.call(target, data, "latest", sender=sender)
        estimate = self._client.estimate_gas(sender, target, data)
        return min(estimate * (100 + _GAS_MARGIN_PERCENT) // 100, _TRANSACTION_GAS_MAX)

    def _fees(self) -> Fees:
        head = self._client.block("latest")
        if head is None:
            raise DependencyDown(f"the node at {self._client.rpc_url} has no latest block")
        if head.base_fee > self._max_fee_wei:
            # Such a transaction would wait for ever, and everything behind it in its lane.
            raise DependencyDown(
                f"gas costs {head.base_fee / _GWEI:.1f} gwei, more than max_fee_gwei ({self._max_fee_wei // _GWEI}); "
                "wait, or raise the setting",
                code="fees-too-high",
            )
        tip = min(self._client.priority_fee(), self._max_fee_wei)
        return Fees(min(2 * head.base_fee + tip, self._max_fee_wei), tip)

    def _sign_and_store(
        self, session: Session, key: str, signer: Signer, gas: int, fees: Fees, on_chain: int
    ) -> SignedAttempt:
        intent = session.get(ChainIntent, key, with_for_update=True)
        assert intent is not None
        if intent.state is IntentState.FAILED:
            raise Refused(
                f"{intent.function_name} was refused before: {intent.error}", details={"key": key}
            )
        if intent.state is not IntentState.PLANNED:  # somebody else was faster: send theirs
            stored = intents.attempts_of(session, key)[-1]
            return SignedAttempt(stored.tx_hash, stored.raw_transaction, intent.nonce or 0, 0, 0)
        nonce = intents.take_nonce(session, self._chain_id, signer.address, on_chain)
        raw, tx_hash = signer.sign_transaction(
            {
                "type": 2,
                "chainId": self._chain_id,
                "nonce": nonce,
                "to": to_checksum_address(intent.contract_address),
                "value": 0,
                "data": intent.call_data,
                "gas": gas,
                "maxFeePerGas": fees.max_fee_wei,
                "maxPriorityFeePerGas": fees.priority_fee_wei,
            }
        )
        attempt = SignedAttempt(tx_hash, raw, nonce, fees.max_fee_wei, fees.priority_fee_wei)
        intents.store_attempt(session, intent, attempt)
        return attempt

    def _send(self, attempt: SignedAttempt) -> None:
        try:
            self._client.send_raw(attempt.raw)
        except RpcError as error:
            if not any(text in error.rpc_message.lower() for text in _HARMLESS):
                raise NotTaken(
                    f"the node does not take transaction {attempt.tx_hash}: {error.rpc_message}; "
                    "it is stored and will be sent again"
                ) from error
        self._db.run(lambda session: intents.mark_broadcast(session, attempt.tx_hash))
