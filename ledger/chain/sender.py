"""The only module that signs and broadcasts: an intent reaches the chain once.

``submit`` asks the node first whether the call would succeed, then allocates the nonce, signs, and
stores the raw transaction in one commit, and only then sends. Whatever happens between storing and
sending, ``rebroadcast`` sends the same bytes again: the nonce lets them through once.
"""

from __future__ import annotations

from dataclasses import dataclass

from eth_utils.address import to_checksum_address
from sqlalchemy.orm import Session

from ledger.chain import intents
from ledger.chain.client import ChainClient, RpcError
from ledger.chain.contracts import decode_error
from ledger.chain.intents import SignedAttempt
from ledger.chain.signers import Keyring, Signer
from ledger.db import Database
from ledger.errors import DependencyDown, Refused
from ledger.models import ChainIntent
from ledger.models.mirror import IntentState

_GWEI = 10**9
_GAS_MARGIN_PERCENT = 25
_TRANSACTION_GAS_MAX = 16_777_216
"""EIP-7825: no transaction may ask for more gas."""
_HARMLESS = ("already known", "already imported", "nonce too low", "known transaction")
"""Answers to a second sending that mean the first one arrived."""


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
        BadInput
            If the sender's key is not at hand.
        DependencyDown
            If the node does not answer. The intent keeps its state, and can be submitted again.
        """
        with self._db.read() as session:
            intent = intents.get(session, key)
            state, error = intent.state, intent.error
            sender, target, data = intent.sender_address, intent.contract_address, intent.call_data
            function, tx_hash = intent.function_name, intent.tx_hash
        if state is IntentState.FAILED:
            raise Refused(f"{function} was refused before: {error}", details={"key": key})
        if state is not IntentState.PLANNED:
            self.rebroadcast()
            return str(tx_hash)
        signer = self._keyring.signer(sender, f"send {function}")
        gas = self._preflight(key, contract, function, sender, target, data)
        fees = self._fees()
        # Asked before the write transaction begins: no lock is held while the node thinks.
        on_chain = self._client.transaction_count(sender, "latest")
        attempt = self._db.run(
            lambda session: self._sign_and_store(session, key, signer, gas, fees, on_chain)
        )
        self._send(attempt)
        return attempt.tx_hash

    def rebroadcast(self) -> int:
        """Send every transaction again whose fate is not known; return how many there were."""
        with self._db.read() as session:
            attempts = [
                (item.tx_hash, item.raw_transaction)
                for item in intents.open_attempts(session, self._chain_id)
            ]
        for tx_hash, raw in attempts:
            if self._client.receipt(tx_hash) is None:
                self._send(SignedAttempt(tx_hash, raw, 0, 0, 0))
        return len(attempts)

    def _preflight(
        self, key: str, contract: str, function: str, sender: str, target: str, data: str
    ) -> int:
        try:
            self._client.call(target, data, "latest", sender=sender)
            estimate = self._client.estimate_gas(sender, target, data)
        except RpcError as error:
            reason = decode_error(contract, error.data) or error.rpc_message
            self._db.run(lambda session: intents.refuse(session, key, reason))
            raise Refused(
                f"{contract} refuses {function}: {reason}",
                code="contract-refused",
                details={"key": key},
            ) from error
        return min(estimate * (100 + _GAS_MARGIN_PERCENT) // 100, _TRANSACTION_GAS_MAX)

    def _fees(self) -> Fees:
        head = self._client.block("latest")
        if head is None:
            raise DependencyDown(f"the node at {self._client.rpc_url} has no latest block")
        tip = min(self._client.priority_fee(), self._max_fee_wei)
        return Fees(min(2 * head.base_fee + tip, self._max_fee_wei), tip)

    def _sign_and_store(
        self, session: Session, key: str, signer: Signer, gas: int, fees: Fees, on_chain: int
    ) -> SignedAttempt:
        intent = session.get(ChainIntent, key, with_for_update=True)
        assert intent is not None
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
                raise DependencyDown(
                    f"the node does not take transaction {attempt.tx_hash}: {error.rpc_message}; "
                    "it is stored and will be sent again",
                    code="not-taken",
                ) from error
        self._db.run(lambda session: intents.mark_broadcast(session, attempt.tx_hash))
