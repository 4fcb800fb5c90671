"""What the mirror watches: which addresses, which transactions, under which contract's name."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from ledger.chain.addresses.book import DeployedContract, Deployment
from ledger.chain.contracts.wrappers import decode_call, selector_names
from ledger.proofs.covered import bloom_bits


class Call(msgspec.Struct, frozen=True, gc=False):
    """What a transaction calls, as far as it can be read; parameters as JSON can hold them."""

    contract_address: str | None
    contract: str | None
    """Name of the contract when it is one of the deployment's."""
    function: str | None
    parameters: dict[str, object] | None


class Watch:
    """The addresses and transactions of one deployment.

    Logs are read from the mirrored contracts. Transactions are read when they call a contract of the
    deployment, created one, left a log of a mirrored one, or are an open attempt of our own sender.
    """

    def __init__(self, deployment: Deployment) -> None:
        self.log_contracts = {item.address: item.name for item in deployment.mirrored}
        self._names = {item.address: item.name for item in deployment.contracts.values()}
        self._created: dict[str, DeployedContract] = {
            item.tx_hash.lower(): item for item in deployment.contracts.values() if item.tx_hash
        }
        self._bits = [bloom_bits(bytes.fromhex(item[2:])) for item in self.log_contracts]

    @property
    def log_addresses(self) -> list[str]:
        """Addresses whose logs are mirrored."""
        return list(self.log_contracts)

    @property
    def contracts(self) -> Collection[str]:
        """Addresses whose calls are mirrored, whoever makes them."""
        return self._names.keys()

    def may_have_logs(self, bloom: str | None) -> bool:
        """Return whether a block with this bloom may have logs of ours; without a bloom, any may."""
        bits = int(bloom, 16) if bloom else ~0
        return any(bits & ours == ours for ours in self._bits)

    def wants(self, tx_hash: str, to: str | None, also: Collection[str]) -> bool:
        """Return whether a transaction is to be mirrored; ``also`` are hashes wanted anyway."""
        return (
            (to is not None and to.lower() in self._names)
            or tx_hash in also
            or tx_hash in self._created
        )

    def call_of(self, tx_hash: str, to: str | None, text: str) -> Call:
        """Return what a transaction calls, by its receiver and its input."""
        created = self._created.get(tx_hash)
        if created is not None:
            return Call(created.address, created.name, "constructor", dict(created.constructor))
        to = to.lower() if to else None
        name = self._names.get(to or "")
        if name is None:
            return Call(to, None, None, None)
        decoded = decode_call(name, text)
        if decoded is not None:
            return Call(to, name, decoded.function, decoded.parameters)
        return Call(to, name, selector_names(name).get(text[:10].lower()), None)
