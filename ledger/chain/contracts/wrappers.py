"""One typed wrapper for each contract: encoders of calls, decoders of views and of errors.

No caller sees an ABI tuple. Views are pinned to a block.
"""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
from tiny_keccak import keccak256

from ledger.chain.contracts.abi import artifact
from ledger.chain.contracts.abi_values import decoded, encoded
from ledger.chain.contracts.decoders import CALLS
from ledger.chain.contracts.events import CREDIT, SETTLEMENT
from ledger.chain.contracts.layout import canonical_type, json_value
from ledger.chain.node.client import ChainClient, RpcError
from ledger.chain.node.transports.errors import NodeAnswer
from ledger.errors import DependencyDown

_NOTHING = "0x"
_WORD = len("0x") + 64
"""What a call returns where there is no contract, or none yet."""


@dataclass(frozen=True)
class Batch:
    """Totals of a credit batch in kg; its period, the free time before it and its end in epoch seconds."""

    issued: int
    retired: int
    cancelled: int
    period_start: int
    period_end: int
    gap_start: int
    expires_at: int


@dataclass(frozen=True)
class CreditClass:
    """Terms of a class of credits: cap and what is issued in kg, buffer share in hundredths of a percent."""

    cap: int
    issued: int
    buffer_bps: int


@dataclass(frozen=True)
class Terms:
    """What holds of a settlement contract at a block: caps in cents and kg; fee now and announced."""

    notional_cap: int
    credit_cap: int
    fee_bps: int
    fee_collector: str
    pending_bps: int
    pending_collector: str
    pending_from: int


class DecodedCall(msgspec.Struct, frozen=True, gc=False):
    """A transaction's input, readable; parameters as JSON can hold them, large integers as text."""

    function: str
    parameters: dict[str, Any]


@cache
def _entries(contract: str, kind: str) -> dict[str, dict[str, Any]]:
    """Return the functions or the errors of a contract by selector."""
    found: dict[str, dict[str, Any]] = {}
    for item in artifact(contract).abi:
        if item["type"] == kind:
            types = ",".join(canonical_type(part) for part in item["inputs"])
            found["0x" + keccak256(f"{item['name']}({types})".encode())[:4].hex()] = item
    return found


def _functions(contract: str) -> dict[str, dict[str, Any]]:
    return _entries(contract, "function")


def selector_names(contract: str) -> dict[str, str]:
    """Return the functions of a contract by selector."""
    return {selector: item["name"] for selector, item in _functions(contract).items()}


def encode_call(contract: str, function: str, arguments: Sequence[Any]) -> str:
    """Return the call data of a function.

    Raises
    ------
    KeyError
        If the contract has no such function with that number of arguments.
    """
    for selector, item in _functions(contract).items():
        if item["name"] == function and len(item["inputs"]) == len(arguments):
            types = [canonical_type(part) for part in item["inputs"]]
            return selector + encoded(types, list(arguments)).hex()
    raise KeyError(f"{contract} has no function {function} of {len(arguments)} arguments")


def decode_call(contract: str, data: str) -> DecodedCall | None:
    """Return function and parameters of a transaction's input; None when no function fits."""
    selector = data[:10].lower()
    known = CALLS.get(contract, {}).get(selector)
    if known is not None:
        name, decode = known
        try:
            return DecodedCall(name, decode(unhexlify(data[10:])))
        except ValueError:  # anybody may encode a call as no encoder would
            pass
    item = _functions(contract).get(selector)
    if item is None:
        return None
    try:
        return DecodedCall(item["name"], _arguments(item, bytes.fromhex(data[10:])))
    except Exception:  # any malformed input: the transaction is mirrored all the same, undecoded
        return None


def _arguments(item: dict[str, Any], body: bytes) -> dict[str, Any]:
    """Return the arguments of a function or an error by name, as JSON can hold them."""
    values = decoded([canonical_type(part) for part in item["inputs"]], body)
    return {
        part["name"] or f"argument{position}": json_value(part, value)
        for position, (part, value) in enumerate(zip(item["inputs"], values, strict=True))
    }


def decode_error(contract: str, data: str | None) -> str | None:
    """Return a revert as ``Name(argument=value, ...)``; None when there is nothing to decode."""
    if not data or len(data) < 10:
        return None
    try:
        return _decoded_error(contract, data[:10].lower(), bytes.fromhex(data[10:]))
    except Exception:  # revert data is whatever the called code made of it
        return f"malformed error {data[:10]}"


def _decoded_error(contract: str, selector: str, body: bytes) -> str:
    if selector == "0x08c379a0":
        return f"Error({decoded(['string'], body)[0]})"
    if selector == "0x4e487b71":
        return f"Panic({decoded(['uint256'], body)[0]:#x})"
    item = _entries(contract, "error").get(selector)
    if item is None:
        return f"unknown error {selector}"
    values = ", ".join(f"{name}={value}" for name, value in _arguments(item, body).items())
    return f"{item['name']}({values})"


class _Contract:
    """A contract at one address.

    Raises
    ------
    DependencyDown
        From every view, when the contract is not there in the state that is asked about, or the answer is none.
    """

    name: str

    def __init__(self, client: ChainClient, address: str) -> None:
        self.client = client
        self.address = address.lower()

    def have_roles(
        self, pairs: Sequence[tuple[bytes, str]], block: int | str = "latest"
    ) -> list[bool]:
        """Return of each pair of a role's hash and an account whether the account has the role."""
        found = self._views("hasRole", [list(pair) for pair in pairs], block)
        return [bool(values[0]) for values in found]

    def _view(self, function: str, arguments: Sequence[Any], block: int | str) -> tuple[Any, ...]:
        output = self.client.call(self.address, encode_call(self.name, function, arguments), block)
        return self._outputs(function, len(arguments), output)

    def _views(
        self, function: str, argument_lists: Sequence[Sequence[Any]], block: int | str
    ) -> list[tuple[Any, ...]]:
        messages = [
            (self.address, encode_call(self.name, function, arguments))
            for arguments in argument_lists
        ]
        outputs = self.client.calls(messages, block)
        return [
            self._outputs(function, len(arguments), output)
            for arguments, output in zip(argument_lists, outputs, strict=True)
        ]

    def _outputs(self, function: str, count: int, output: str) -> tuple[Any, ...]:
        item = next(
            item
            for item in _functions(self.name).values()
            if item["name"] == function and len(item["inputs"]) == count
        )
        types = [canonical_type(part) for part in item["outputs"]]
        place = self.client.place
        if output == _NOTHING:
            raise DependencyDown(
                f"the node at {place} has no {self.name} at {self.address} in the state that it was asked about; it "
                "may still be catching up, or the chain took the contract back: wait, or set rpc_url to another",
                code="node-behind",
            )
        try:
            return tuple(decoded(types, bytes.fromhex(output[2:])))
        except Exception as error:  # whatever the bytes are
            raise NodeAnswer(
                f"{place} was asked for {function} of {self.name} at {self.address} and answers with something else; "
                "check rpc_url and deployment"
            ) from error


class CarbonCredit(_Contract):
    """The credit contract at one address."""

    name = CREDIT

    def batch_of(self, batch_id: int, block: int | str = "latest") -> Batch:
        """Return totals and period of a batch."""
        return Batch(*self._view("batchOf", [batch_id], block)[0])

    def batches_of(self, batch_ids: Sequence[int], block: int | str = "latest") -> list[Batch]:
        """Return totals and periods of several batches."""
        found = self._views("batchOf", [[batch_id] for batch_id in batch_ids], block)
        return [Batch(*values[0]) for values in found]

    def statuses_of(self, batch_ids: Sequence[int], block: int | str = "latest") -> list[int]:
        """Return the contract's status numbers of several batches."""
        found = self._views("statusOf", [[batch_id] for batch_id in batch_ids], block)
        return [int(values[0]) for values in found]

    def batches_of_evidence_roots(
        self, roots: Sequence[str], block: int | str = "latest"
    ) -> list[int]:
        """Return the batches that were issued on evidence roots; 0 where there is none."""
        arguments = [[bytes.fromhex(root[2:])] for root in roots]
        found = self._views("batchOfEvidenceRoot", arguments, block)
        return [int(values[0]) for values in found]

    def balances_of(
        self, holders: Sequence[tuple[str, int]], block: int | str = "latest"
    ) -> list[int]:
        """Return the units in kg of pairs of holder and batch."""
        found = self._views("balanceOf", [list(pair) for pair in holders], block)
        return [int(values[0]) for values in found]

    def classes_of(self, ids: Sequence[int], block: int | str = "latest") -> list[CreditClass]:
        """Return the terms of several classes."""
        found = self._views("classOf", [[number] for number in ids], block)
        return [CreditClass(*values[0]) for values in found]

    def minted_until(self, site_ids: Sequence[int], block: int | str = "latest") -> list[int]:
        """Return the end of the last issued period of several sites, in epoch seconds."""
        found = self._views("siteOf", [[number] for number in site_ids], block)
        return [int(values[0][1]) for values in found]

    def deficits_of(self, batch_ids: Sequence[int], block: int | str = "latest") -> list[int]:
        """Return what of several batches is still to be replaced, in kg."""
        found = self._views("deficitOf", [[batch_id] for batch_id in batch_ids], block)
        return [int(values[0]) for values in found]

    def invalidations_of(
        self, batch_ids: Sequence[int], block: int | str = "latest"
    ) -> list[tuple[str, int]]:
        """Return who proposed to invalidate several batches, and from when it may be done; zeros: nobody."""
        found = self._views("invalidationOf", [[batch_id] for batch_id in batch_ids], block)
        return [(values[0][0].lower(), int(values[0][1])) for values in found]

    def are_overlaps_proven(
        self, pairs: Sequence[tuple[int, int]], block: int | str = "latest"
    ) -> list[bool]:
        """Return whether pairs of batches were shown to count a reading twice."""
        found = self._views("isOverlapProven", [list(pair) for pair in pairs], block)
        return [bool(values[0]) for values in found]

    def numbers_of(self, code: str, block: int | str = "latest") -> tuple[int, int, int]:
        """Return class, project and site that are registered under a project's code; 0: none."""
        (project_id,) = self._view("projectOfCode", [code], block)
        (site_id,) = self._view("siteOfCode", [code], block)
        (project,) = self._view("projectOf", [project_id], block)
        return int(project[1]), int(project_id), int(site_id)

    def log_head(self, block: int | str = "latest") -> tuple[int, str]:
        """Return number and hash of the last entry of the credit log."""
        seq, head = self._view("logHead", [], block)
        return int(seq), _hex(head)


class VppSettlement(_Contract):
    """The settlement contract at one address."""

    name = SETTLEMENT

    def balances_of(self, accounts: Sequence[str], block: int | str = "latest") -> list[int]:
        """Return the escrow balances of accounts in units of the currency token."""
        found = self._views("balanceOf", [[account] for account in accounts], block)
        return [int(values[0]) for values in found]

    def credit_balances_of(
        self, pairs: Sequence[tuple[str, int]], block: int | str = "latest"
    ) -> list[int]:
        """Return the credits in escrow of pairs of account and asset, in kg."""
        found = self._views("creditBalanceOf", [list(pair) for pair in pairs], block)
        return [int(values[0]) for values in found]

    def totals_of(
        self, assets: Sequence[int], block: int | str = "latest"
    ) -> list[tuple[int, int]]:
        """Return of several assets the sum of all balances and what is locked."""
        found = self._views("totalsOf", [[asset] for asset in assets], block)
        return [(int(balances), int(locked)) for balances, locked in found]

    def caps(self, block: int | str = "latest") -> tuple[int, int]:
        """Return the most that an operator settles in one call: cents of the currency, and kg of credits."""
        names = ("notionalCap", "creditCap")
        asked = [(self.address, encode_call(self.name, name, [])) for name in names]
        answers = zip(names, self.client.calls(asked, block), strict=True)
        cents, kg = (int(self._outputs(name, 0, answer)[0]) for name, answer in answers)
        return cents, kg

    def terms(self, block: int | str = "latest") -> Terms:
        """Return caps and fee."""
        bps, collector, since = self._view("pendingFee", [], block)
        return Terms(
            *self.caps(block),
            int(self._view("feeBps", [], block)[0]),
            str(self._view("feeCollector", [], block)[0]).lower(),
            int(bps),
            str(collector).lower(),
            int(since),
        )

    def totals(self, block: int | str = "latest") -> tuple[int, int]:
        """Return the sum of all balances and what live proposals lock, in token units."""
        (balance,) = self._view("totalBalance", [], block)
        (locked,) = self._view("totalLocked", [], block)
        return int(balance), int(locked)

    def batch_statuses(self, batch_ids: Sequence[int], block: int | str = "latest") -> list[int]:
        """Return the contract's status numbers of several batches."""
        found = self._views("batchStatus", [[batch_id] for batch_id in batch_ids], block)
        return [int(values[0]) for values in found]

    def finalizable_ats(self, batch_ids: Sequence[int], block: int | str = "latest") -> list[int]:
        """Return the ends of the windows of several batches, in epoch seconds."""
        found = self._views("finalizableAt", [[batch_id] for batch_id in batch_ids], block)
        return [int(values[0]) for values in found]

    def next_to_finalize(self, block: int | str = "latest") -> int:
        """Return the first batch that is neither finalised nor cancelled; one past the last when all are."""
        return int(self._view("nextToFinalize", [], block)[0])

    def trades_root_of(self, batch_id: int, block: int | str = "latest") -> str:
        """Return the Merkle root of a batch's trades."""
        return _hex(self._view("tradesRootOf", [batch_id], block)[0])

    def currency(self, block: int | str = "latest") -> str:
        """Return the address of the currency token."""
        return str(self._view("currency", [], block)[0]).lower()

    def units_per_cent(self, block: int | str = "latest") -> int:
        """Return how many token units make a cent."""
        return int(self._view("unitsPerCent", [], block)[0])

    def window_s(self, block: int | str = "latest") -> int:
        """Return how many seconds a proposal waits before it can be finalised."""
        return int(self._view("window", [], block)[0])

    def dispute_bond_cents(self, block: int | str = "latest") -> int:
        """Return what a dispute takes from its party's escrow, in cents of the currency."""
        return int(self._view("disputeBond", [], block)[0])

    def custody(self, block: int | str = "latest") -> int | None:
        """Return the contract's own balance of the currency token, in token units; None: the token does not say."""
        return self._asked_of_currency("balanceOf", [self.address], block)

    def approved(self, owner: str, block: int | str = "latest") -> int:
        """Return what an account lets the contract take of its currency, in token units; 0: the token does not say."""
        return self._asked_of_currency("allowance", [owner, self.address], block) or 0

    def _asked_of_currency(
        self, function: str, arguments: list[object], block: int | str
    ) -> int | None:
        data = encode_call("TestCurrency", function, arguments)
        try:
            output = self.client.call(self.currency(block), data, block)
        except RpcError as error:
            if not error.reverted:
                raise
            return None
        return int(output, 16) if len(output) == _WORD else None


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
