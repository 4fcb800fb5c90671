"""What every part of the sender works with: books, node, keys and limits, and the one way to sign."""

from __future__ import annotations

from dataclasses import dataclass, field

from ledger.chain.fees import Fees, Market
from ledger.chain.keys.policy import DailyCaps
from ledger.chain.keys.signed import Unsigned
from ledger.chain.keys.signers import Keyring, Signer
from ledger.chain.node.client import ChainClient, RpcError
from ledger.chain.node.records import BlockHeader
from ledger.chain.sending.intents import SignedAttempt
from ledger.db import Database
from ledger.models import ChainIntent

REPLACE_SECONDS = 60
"""After so long in no block, a transaction is replaced by one that pays more."""


@dataclass(frozen=True)
class Desk:
    """What is needed to sign and send on one chain; ``Sender`` makes one and hands it to its parts."""

    db: Database
    client: ChainClient
    keyring: Keyring
    chain_id: int
    max_fee_wei: int
    caps: DailyCaps | None
    """What an account may sign for on one day; None: no limit, as benchmarks have it."""
    replace_seconds: int
    finality: str | int
    """``finalized``, or how many blocks must stand on a block to make it final."""
    looked_at: set[str] = field(default_factory=set)
    """Accounts of which the node showed nothing unknown in its pool since this process began, or does not show it."""
    seen_at: dict[str, int] = field(default_factory=dict)
    """By transaction that is late, the chain's height when this process saw that first."""

    def head(self) -> BlockHeader:
        """Return the latest block.

        Raises
        ------
        DependencyDown
            If the node has none.
        """
        return self.client.head()

    def market(self, head: BlockHeader) -> Market:
        """Return what gas costs at a block."""
        return Market(head.base_fee, self.client.priority_fee())

    def final_number(self, head: BlockHeader) -> int | None:
        """Return the last block that will not be taken back; None where the node names none."""
        if isinstance(self.finality, int):
            return max(head.number - self.finality, 0)
        try:
            header = self.client.block(self.finality)
        except RpcError:  # a young chain has finalised nothing, and some nodes call that an error
            return None
        return header.number if header is not None else None

    def is_used_for_good(self, address: str, nonce: int) -> bool:
        """Return whether an account's nonce was used in blocks that stay; False also where the node cannot say."""
        final = self.final_number(self.head())
        if final is None:
            return False
        try:
            return self.client.transaction_count(address, final) > nonce
        except RpcError:  # a node without the states of before
            return False

    def check(self, signer: Signer, intent: ChainIntent, gas: int, fees: Fees) -> None:
        """Ask the signer policy whether an intent may be signed, before it has a nonce: no rule asks for that.

        Raises
        ------
        PolicyRefused
            If it would not.
        """
        asked = self._asked(intent, 0, gas, fees)
        self.keyring.check_transaction(signer.address, asked.as_mapping())

    def sign(
        self, signer: Signer, intent: ChainIntent, nonce: int, gas: int, fees: Fees
    ) -> SignedAttempt:
        """Sign an intent with a nonce; nothing is stored and nothing is sent.

        Raises
        ------
        PolicyRefused
            If the signer policy forbids it.
        DependencyDown
            If a remote signer does not answer, or signs something else.
        """
        raw, tx_hash = signer.sign_transaction(self._asked(intent, nonce, gas, fees).as_mapping())
        return SignedAttempt(tx_hash, raw, nonce, fees.max_fee_wei, fees.priority_fee_wei)

    def _asked(self, intent: ChainIntent, nonce: int, gas: int, fees: Fees) -> Unsigned:
        call = (intent.contract_address, intent.call_data)
        return Unsigned(self.chain_id, nonce, *call, gas, fees)
