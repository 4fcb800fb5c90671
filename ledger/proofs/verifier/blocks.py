"""What a block holds, read from its bytes: header, account, transaction, receipt and its logs."""

from __future__ import annotations

from dataclasses import dataclass

from ledger.proofs.verifier import rlp
from ledger.proofs.verifier.curve import recover
from ledger.proofs.verifier.errors import ProofError
from ledger.proofs.verifier.trie import keccak256


@dataclass(frozen=True)
class Header:
    """What is needed of a block header; ``timestamp`` in seconds since 1970, UTC."""

    hash: bytes
    state_root: bytes
    transactions_root: bytes
    receipts_root: bytes
    number: int
    timestamp: int


@dataclass(frozen=True)
class Log:
    """One log of a receipt."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True)
class Transaction:
    """A signed transaction; ``to`` is empty when it creates a contract."""

    hash: bytes
    chain_id: int
    sender: bytes
    to: bytes
    data: bytes


def read_header(data: bytes, what: str) -> Header:
    """Return a header from its RLP; all its fields go into the hash, twenty-one since Prague."""
    fields = rlp.decode_list(data, what)
    if not 15 <= len(fields) <= 32:
        raise ProofError(what, f"{what}: a header of {len(fields)} fields is none")
    return Header(
        hash=keccak256(data),
        state_root=rlp.bytes_item(fields[3], what, 32),
        transactions_root=rlp.bytes_item(fields[4], what, 32),
        receipts_root=rlp.bytes_item(fields[5], what, 32),
        number=rlp.number_of(fields[8], what, 8),
        timestamp=rlp.number_of(fields[11], what, 8),
    )


def read_account(data: bytes, what: str) -> tuple[bytes, bytes]:
    """Return storage root and code hash of an account."""
    fields = rlp.decode_list(data, what)
    if len(fields) != 4:
        raise ProofError(what, f"{what}: an account has four fields")
    rlp.number_of(fields[0], what), rlp.number_of(fields[1], what)
    return rlp.bytes_item(fields[2], what, 32), rlp.bytes_item(fields[3], what, 32)


def read_receipt(data: bytes, what: str) -> tuple[int, list[Log]]:
    """Return a receipt's status (1: success) and its logs; a type may stand before the RLP."""
    body = data[1:] if data[:1] in (b"\x01", b"\x02", b"\x03", b"\x04") else data
    fields = rlp.decode_list(body, what)
    if len(fields) != 4 or not isinstance(fields[3], list):
        raise ProofError(what, f"{what}: a receipt has four fields")
    logs = []
    for item in fields[3]:
        if not isinstance(item, list) or len(item) != 3 or not isinstance(item[1], list):
            raise ProofError(what, f"{what}: a log has three fields")
        topics = tuple(rlp.bytes_item(topic, what, 32) for topic in item[1])
        logs.append(Log(rlp.bytes_item(item[0], what, 20), topics, rlp.bytes_item(item[2], what)))
    return rlp.number_of(fields[0], what, 1), logs


_FIELDS = {1: 11, 2: 12}
"""Fields of a signed transaction by type: EIP-2930 and EIP-1559."""


def read_transaction(data: bytes, what: str) -> Transaction:
    """Return a transaction from its signed bytes, with the address that signed it.

    Raises
    ------
    ProofError
        It is malformed, of a type that our contracts are not called with (blobs, delegations), names
        no chain, or its signature is none.
    """
    kind = data[0] if data and data[0] < 0xC0 else 0
    fields = rlp.decode_list(data[1:] if kind else data, what)
    if kind not in (0, *_FIELDS) or len(fields) != _FIELDS.get(kind, 9):
        raise ProofError(what, f"{what}: a transaction of this kind is not understood")
    if kind == 0:
        v = rlp.number_of(fields[6], what)
        if v < 35:
            raise ProofError(what, f"{what}: the transaction names no chain (before EIP-155)")
        chain_id, parity = (v - 35) // 2, (v - 35) % 2
        to, payload = fields[3], fields[5]
        signed = rlp.encode([*fields[:6], rlp.bytes_of(chain_id), b"", b""])
    else:
        chain_id, parity = rlp.number_of(fields[0], what, 8), rlp.number_of(fields[-3], what, 1)
        to, payload = fields[kind + 3], fields[kind + 5]
        signed = data[:1] + rlp.encode(fields[:-3])
    r, s = rlp.number_of(fields[-2], what), rlp.number_of(fields[-1], what)
    key = recover(keccak256(signed), parity, r, s)
    if key is None:
        raise ProofError(what, f"{what}: the transaction's signature is none")
    receiver = rlp.bytes_item(to, what)
    if len(receiver) not in (0, 20):
        raise ProofError(what, f"{what}: the transaction's receiver is no address")
    return Transaction(
        hash=keccak256(data),
        chain_id=chain_id,
        sender=keccak256(key)[12:],
        to=receiver,
        data=rlp.bytes_item(payload, what),
    )
