"""What a block holds, read from its bytes: header, log of a receipt, transaction."""

from typing import NamedTuple

from ledger.proofs.verifier import rlp
from ledger.proofs.verifier.curve import recover
from ledger.proofs.verifier.errors import require
from ledger.proofs.verifier.trie import keccak256


class Header(NamedTuple):
    """What is needed of a block's header; ``time`` in seconds since 1970, UTC."""

    hash: bytes
    number: int
    time: int
    state_root: bytes
    transactions_root: bytes
    receipts_root: bytes


def read_header(data: bytes) -> Header:
    """Return a header from its RLP: 21 fields since Prague, and all of them are in the hash."""
    fields = rlp.list_of(rlp.decode(data), *range(15, 33))
    number, time = rlp.number_of(fields[8]), rlp.number_of(fields[11])
    return Header(keccak256(data), number, time, *[rlp.bytes_of(each, 32) for each in fields[3:6]])


def read_log(receipt: bytes, at: int) -> tuple[bytes, list[bytes], bytes]:
    """Return address, topics and data of a log of a receipt that says success."""
    body = receipt[1:] if receipt[0] < 0xC0 else receipt  # the transaction's type may stand first
    status, _, _, logs = rlp.list_of(rlp.decode(body), 4)
    rows = rlp.list_of(logs)
    require(status == b"\1" and at < len(rows), "it failed, or has no such log")
    address, topics, data = rlp.list_of(rows[at], 3)
    each = [rlp.bytes_of(topic, 32) for topic in rlp.list_of(topics)]
    return rlp.bytes_of(address, 20), each, rlp.bytes_of(data)


_FIELDS = {0: 9, 1: 11, 2: 12, 3: 14, 4: 13}
"""Fields of a signed transaction by type: 0 stands nowhere (EIP-155), then EIP-2930, 1559, 4844 and 7702."""


def read_transaction(data: bytes) -> tuple[bytes, int, bytes]:
    """Return hash, chain and signer of a transaction from its signed bytes."""
    kind = data[0] if data[0] < 0xC0 else 0
    require(data[0] and kind in _FIELDS, "its transaction is of a type that is not known here")
    fields = rlp.list_of(rlp.decode(data[1:] if kind else data), _FIELDS[kind])
    unsigned, (v, r, s) = fields[:-3], [rlp.number_of(field) for field in fields[-3:]]
    if kind:
        chain_id, parity, signed = rlp.number_of(fields[0]), v, data[:1] + rlp.encode(unsigned)
    else:
        require(v >= 35, "it names no chain (before EIP-155)")
        chain_id, parity = divmod(v - 35, 2)
        signed = rlp.encode([*unsigned, rlp.digits_of(chain_id), b"", b""])
    return keccak256(data), chain_id, keccak256(recover(keccak256(signed), parity, r, s))[12:]
