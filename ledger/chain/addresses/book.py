"""The address book of one network: what was deployed, where, how, and who holds which role.

The deploy script writes the file; everything else reads it. Its path is a setting.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from tiny_keccak import keccak256

from ledger.chain.contracts.abi import is_known
from ledger.chain.node.client import ChainClient
from ledger.chain.node.records import ADDRESS, HASH
from ledger.errors import BadInput, WrongChain, in_words
from ledger.jsontext import once

_WRITTEN_BY = "set deployment to the file that `truetonne chain deploy` wrote"


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text[:20]} is no whole number")


_DECODING: dict[str, Any] = {
    "object_pairs_hook": once,
    "parse_float": _refuse,
    "parse_constant": _refuse,
}
"""Which contract is meant is to be read in one way: no name twice, and no number that is cut to a whole one."""

CHAIN_ID_MAX = 2**63 - 1
"""More is no number of a column; EIP-2294 has chains stay 36 below."""

PROVEN, TOLD = "proven", "told"
"""Receipts are held against the hashes of their blocks, or against the node's own index of logs."""


@dataclass(frozen=True)
class DeployedContract:
    """One contract of a deployment. Hashes, addresses and codes are lower-case text."""

    name: str
    address: str
    constructor: dict[str, Any]
    salt: str
    init_code_hash: str
    code_hash: str
    block: int
    tx_hash: str | None
    source_hash: str


@dataclass(frozen=True)
class Deployment:
    """The deployment file of one network."""

    network: str
    chain_id: int
    genesis_hash: str
    deployed_block: int
    contracts: dict[str, DeployedContract]
    accounts: dict[str, str]
    class_id: int
    class_code: str
    recipients: dict[str, str] = field(default_factory=dict)
    """Accounts to which projects are issued, by code, where that is not the owner for whom one is registered."""
    currency_symbol: str | None = None
    """What the settlement currency called itself when the file was written; which it is, its address says."""
    receipts: str = PROVEN
    """How it is known that a node left nothing out: ``PROVEN`` or ``TOLD``; from the settings, not the file."""

    @classmethod
    def load(cls, path: Path) -> Deployment:
        """Read a deployment file.

        Raises
        ------
        BadInput
            If the file is missing or is not a deployment file.
        """
        raw = _json_of(path)
        try:
            found = cls(
                network=str(raw["network"]),
                chain_id=int(raw["chain_id"]),
                genesis_hash=raw["genesis_hash"].lower(),
                deployed_block=int(raw["deployed_block"]),
                contracts={name: _contract(name, item) for name, item in raw["contracts"].items()},
                accounts={name: item.lower() for name, item in raw["accounts"].items()},
                class_id=int(raw["class"]["id"]),
                class_code=str(raw["class"]["code"]),
                recipients={code: item.lower() for code, item in raw.get("recipients", {}).items()},
                currency_symbol=_symbol(raw.get("currency_symbol")),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadInput(
                f"{path}: not a deployment file: {in_words(error)}; {_WRITTEN_BY}"
            ) from error
        found._check(path)
        return found

    def _check(self, path: Path) -> None:
        """Refuse what no deployment script writes."""
        places = {name: item.address for name, item in self.contracts.items()} | self.accounts
        places |= {f"recipient of {code}": item for code, item in self.recipients.items()}
        for name, address in places.items():
            if not ADDRESS.fullmatch(address):
                raise BadInput(
                    f"{path}: {name} is {address!r}, which is not an address; {_WRITTEN_BY}"
                )
        if not 0 < self.chain_id <= CHAIN_ID_MAX:
            raise BadInput(
                f"{path}: chain_id is {self.chain_id}, and the books hold 1 to {CHAIN_ID_MAX}; {_WRITTEN_BY}"
            )
        if wrong := _wrong_in(self.contracts.values()):
            raise BadInput(f"{path}: {wrong}; {_WRITTEN_BY}")
        first = min([item.block for item in self.contracts.values()], default=self.deployed_block)
        if not 0 <= self.deployed_block <= first:
            raise BadInput(
                f"{path}: deployed_block is {self.deployed_block}, and its contracts stand from block {first} on: a "
                "mirror would begin behind them; correct deployed_block"
            )

    @property
    def credit(self) -> DeployedContract:
        """The credit contract."""
        return self.contract("CarbonCredit")

    @property
    def settlement(self) -> DeployedContract:
        """The settlement contract."""
        return self.contract("VppSettlement")

    def contract(self, name: str) -> DeployedContract:
        """Return a contract by name.

        Raises
        ------
        BadInput
            If the deployment file has none of that name.
        """
        if name not in self.contracts:
            raise BadInput(
                f"the deployment of {self.network!r} has no contract {name}; deploy it, or set deployment",
                code="not-deployed",
            )
        return self.contracts[name]

    @property
    def mirrored(self) -> tuple[DeployedContract, ...]:
        """The contracts that the mirror follows."""
        return (self.credit, self.settlement)

    @property
    def addresses(self) -> dict[str, str]:
        """Where the contracts are that the mirror follows, by name."""
        return {item.name: item.address for item in self.mirrored}

    def account(self, role: str) -> str:
        """Return the address that holds a role.

        Raises
        ------
        BadInput
            If the deployment file names no account for the role.
        """
        if role not in self.accounts:
            raise BadInput(f"the deployment of {self.network!r} names no account for {role!r}")
        return self.accounts[role]

    def check(self, client: ChainClient) -> None:
        """Check that the node serves the chain of this deployment.

        Raises
        ------
        WrongChain
            If chain id or genesis block differ.
        """
        chain_id, genesis = client.identity()
        if chain_id != self.chain_id:
            raise WrongChain(
                f"the node at {client.place} serves chain id {chain_id}, but the deployment of "
                f"{self.network!r} is on {self.chain_id}; set rpc_url or deployment",
                details={"expected": self.chain_id, "found": chain_id},
            )
        if genesis is not None and genesis.hash != self.genesis_hash:
            raise WrongChain(
                f"the node at {client.place} serves another chain with id {chain_id}: its first block is "
                f"{genesis.hash[:10]}..., the deployment's {self.genesis_hash[:10]}...; set rpc_url or deployment",
                details={"expected": self.genesis_hash, "found": genesis.hash},
            )

    def check_code(self, client: ChainClient) -> None:
        """Check that the mirrored contracts stand where they were deployed, with the same code.

        A call to an address without code succeeds and does nothing: it would pass for done.

        Raises
        ------
        WrongChain
            If a contract is missing, or another one stands there.
        """
        for item in self.mirrored:
            code = bytes.fromhex(client.code(item.address)[2:])
            if "0x" + keccak256(code).hex() != item.code_hash.lower():
                what = "other code than" if code else "no code of"
                raise WrongChain(
                    f"the node at {client.place} has {what} {item.name} at {item.address}; it may still be "
                    "catching up, or the chain was replaced, or took the deployment back: move the deployment file "
                    "away and deploy again, or set deployment",
                    code="wrong-code",
                    details={"contract": item.name, "address": item.address},
                )


def _json_of(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"), **_DECODING)
    except FileNotFoundError as error:
        raise BadInput(
            f"{path}: no deployment file; run `truetonne up`, or `truetonne chain deploy` first, or set deployment "
            "to the file of contracts that are there",
            code="not-deployed",
        ) from error
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); {_WRITTEN_BY}") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(
            f"{path}: not a deployment file: {in_words(error)}; {_WRITTEN_BY}"
        ) from error


def _wrong_in(contracts: Iterable[DeployedContract]) -> str:
    """Return what is wrong with the contracts of a file, if anything is: it was written by hand, or put together."""
    names: dict[str, str] = {}
    for item in contracts:
        if not is_known(item.name):
            return f"{item.name!r} is no contract of this version"
        if item.address in names:
            return f"{names[item.address]} and {item.name} both stand at {item.address}"
        names[item.address] = item.name
        if item.tx_hash is not None and not HASH.fullmatch(str(item.tx_hash).lower()):
            return f"the tx_hash of {item.name} is {item.tx_hash!r}, which is neither null nor 64 digits after 0x"
    return ""


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise TypeError(f"{value!r} is no text")


def _symbol(value: Any) -> str | None:
    return None if value is None else _text(value)


def _contract(name: str, raw: dict[str, Any]) -> DeployedContract:
    return DeployedContract(
        name=name,
        address=raw["address"].lower(),
        constructor=dict(raw["constructor"]),
        salt=_text(raw["salt"]),
        init_code_hash=_text(raw["init_code_hash"]),
        code_hash=_text(raw["code_hash"]),
        block=int(raw["block"]),
        tx_hash=raw.get("tx_hash"),
        source_hash=_text(raw["source_hash"]),
    )
