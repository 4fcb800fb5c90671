"""Blocks, transactions and receipts, from what a node answers to the bytes that their hashes cover."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tiny_keccak import keccak256

from ledger.errors import Refused
from ledger.proofs.verifier import rlp

HEADER = (
    *("parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot"),
    *("logsBloom", "difficulty", "number", "gasLimit", "gasUsed", "timestamp", "extraData"),
    *("mixHash", "nonce", "baseFeePerGas", "withdrawalsRoot", "blobGasUsed", "excessBlobGas"),
    *("parentBeaconBlockRoot", "requestsHash"),
)
"""Fields of a header in their order; the later ones came with forks (Prague has all)."""
QUANTITIES = frozenset(
    (
        *("difficulty", "number", "gasLimit", "gasUsed", "timestamp", "baseFeePerGas"),
        *("blobGasUsed", "excessBlobGas"),
    )
)
_FEES = ("maxPriorityFeePerGas", "maxFeePerGas", "gas")
_FIELDS: dict[int, tuple[str, ...]] = {
    0: ("nonce", "gasPrice", "gas", "to", "value", "input"),
    1: ("chainId", "nonce", "gasPrice", "gas", "to", "value", "input", "accessList"),
    2: ("chainId", "nonce", *_FEES, "to", "value", "input", "accessList"),
    3: (
        *("chainId", "nonce", *_FEES, "to", "value", "input", "accessList"),
        *("maxFeePerBlobGas", "blobVersionedHashes"),
    ),
    4: ("chainId", "nonce", *_FEES, "to", "value", "input", "accessList", "authorizationList"),
}
"""Fields of a transaction by type, before the signature (EIP-155, 2930, 1559, 4844, 7702)."""
_WITHOUT_CHAIN, _WITH_CHAIN = 27, 35
"""From where the `v` of type 0 counts: without a chain's number, and with it (EIP-155)."""


_BESIDE_HEADER = frozenset(
    ("hash", "size", "totalDifficulty", "transactions", "uncles", "withdrawals")
)
"""What a node answers of a block beside its header."""


def unknown_fields(raw: Mapping[str, Any]) -> list[str]:
    """Return the names of what is no part of a header that is known here: of a newer fork, or of another chain."""
    known = _BESIDE_HEADER.union(HEADER)
    return sorted(name for name, value in raw.items() if name not in known and value is not None)


def header(raw: Mapping[str, Any]) -> bytes:
    """Return the RLP of a block's header."""
    return rlp.encode(
        [
            _quantity(raw[name]) if name in QUANTITIES else _bytes(raw[name])
            for name in HEADER
            if raw.get(name) is not None
        ]
    )


def transaction(raw: Mapping[str, Any]) -> bytes:
    """Return the signed bytes of a transaction.

    Raises
    ------
    Refused
        It is of a type that is not known here: the transactions of its block cannot be proven.
    """
    kind, fields = _signed(raw)
    return (bytes([kind]) if kind else b"") + rlp.encode(fields)


def in_root(raw: Mapping[str, Any]) -> bytes:
    """Return the bytes of a transaction that the root of its block covers: those of its hash, but for Anvil's blobs.

    Anvil keeps a transaction with its blobs as it was sent (EIP-4844, "network representation"), hands them out with
    the block, and has them under the root. No other node does.

    Raises
    ------
    Refused
        As ``transaction``.
    """
    blobs = raw.get("blobs")
    if blobs is None:
        return transaction(raw)
    kind, fields = _signed(raw)
    sent: list[rlp.Item] = [
        [_bytes(each) for each in raw[name]] for name in ("blobs", "commitments", "proofs")
    ]
    return bytes([kind]) + rlp.encode([fields, *sent])


@dataclass(frozen=True)
class Signature:
    """What the sender of a transaction signed, and its signature."""

    signed: bytes
    """The bytes whose hash was signed."""
    parity: int
    """Which of two keys signed, 0 or 1."""
    r: int
    s: int


def signature(raw: Mapping[str, Any]) -> Signature:
    """Return what the sender of a transaction signed: all of it but the signature (EIP-155, EIP-2718).

    Raises
    ------
    Refused
        As ``transaction``.
    """
    kind = _kind(raw)
    fields, parity = _fields(raw, kind), int.from_bytes(_signature_v(raw, kind))
    if not kind:
        if parity >= _WITH_CHAIN:
            fields += [rlp.digits_of((parity - _WITH_CHAIN) // 2), b"", b""]
            parity = (parity - _WITH_CHAIN) % 2
        else:
            parity -= _WITHOUT_CHAIN
    signed = (bytes([kind]) if kind else b"") + rlp.encode(fields)
    return Signature(signed, parity, int(raw["r"], 16), int(raw["s"], 16))


def created_by(sender: str, nonce: int) -> str:
    """Return the address of the contract that an account's transaction creates (yellow paper, section 7)."""
    return "0x" + keccak256(rlp.encode([_bytes(sender), rlp.digits_of(nonce)]))[-20:].hex()


def _signed(raw: Mapping[str, Any]) -> tuple[int, list[Any]]:
    kind = _kind(raw)
    fields = _fields(raw, kind)
    return kind, [*fields, _signature_v(raw, kind), _quantity(raw["r"]), _quantity(raw["s"])]


def _kind(raw: Mapping[str, Any]) -> int:
    return int(raw.get("type") or "0x0", 16)


def _fields(raw: Mapping[str, Any], kind: int) -> list[Any]:
    return [_field(name, raw) for name in _known(kind)]


def receipt(raw: Mapping[str, Any]) -> bytes:
    """Return the bytes of a receipt.

    Raises
    ------
    Refused
        Its transaction is of a type that is not known here.
    """
    kind = _kind(raw)
    _known(kind)
    logs: list[rlp.Item] = [
        [_bytes(log["address"]), [_bytes(topic) for topic in log["topics"]], _bytes(log["data"])]
        for log in raw["logs"]
    ]
    fields = [_quantity(raw["status"]), _quantity(raw["cumulativeGasUsed"])]
    body = rlp.encode([*fields, _bytes(raw["logsBloom"]), logs])
    return (bytes([kind]) if kind else b"") + body


def _known(kind: int) -> tuple[str, ...]:
    if kind not in _FIELDS:
        raise Refused(
            f"a block has a transaction of type {kind}, which is not known here: nothing in that block "
            "can be proven; only chains with Ethereum's own transactions are supported",
            code="transaction-type",
        )
    return _FIELDS[kind]


def _field(name: str, raw: Mapping[str, Any]) -> Any:
    if name == "to":  # some nodes leave it out where a contract is created
        return _bytes(raw.get("to"))
    value = raw[name]
    if name == "accessList":
        return [
            [_bytes(item["address"]), [_bytes(key) for key in item["storageKeys"]]]
            for item in value or ()
        ]
    if name == "blobVersionedHashes":
        return [_bytes(item) for item in value]
    if name == "authorizationList":
        return [
            [
                *(_quantity(item["chainId"]), _bytes(item["address"]), _quantity(item["nonce"])),
                *(_parity(item), _quantity(item["r"]), _quantity(item["s"])),
            ]
            for item in value
        ]
    return _bytes(value) if name == "input" else _quantity(value)


def _signature_v(raw: Mapping[str, Any], kind: int) -> bytes:
    return _parity(raw) if kind else _quantity(raw["v"])


def _parity(raw: Mapping[str, Any]) -> bytes:
    """Return which of two keys signed; nodes have called it `v` alone before they called it `yParity`."""
    return _quantity(raw["v"] if raw.get("yParity") is None else raw["yParity"])


def _bytes(text: str | None) -> bytes:
    return bytes.fromhex((text or "0x")[2:])


def _quantity(text: str) -> bytes:
    return rlp.digits_of(int(text, 16))
