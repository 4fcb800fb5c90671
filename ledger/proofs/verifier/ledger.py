"""What the credit contract keeps and says: its slots, its events, and the leaves of its evidence.

Slots are those of ``CarbonCredit`` as the compiler lays them out; the auditor's trust in the code hash
is what makes them mean what is said here. A test compares them with the compiler's layout.
"""

from __future__ import annotations

from typing import Any

from ledger.proofs.verifier.blocks import Log
from ledger.proofs.verifier.errors import ProofError
from ledger.proofs.verifier.trie import keccak256

SLOTS = {"admin": 2, "head": 3, "counters": 4}
MAPPINGS = {"batch": 11, "deficit": 15}
"""By batch."""
STATUSES = ("unknown", "active", "suspended", "disputed", "cancelled", "expired")
_BATCH = {"issued_kg": (8, 40), "retired_kg": (48, 40), "cancelled_kg": (88, 40)}
_TIMES = {"period_start": (128, 32), "period_end": (160, 32), "expires_at": (224, 32)}
"""Where the fields of a batch's word begin, in bits, and how wide they are."""

_CLAIM = (
    "(bytes32,uint32,uint32,uint32,uint64,uint32,uint32,uint32,uint32,"
    "bytes32,uint64,bytes32,bytes32,address,uint64)"
)
_DETAILS = "(string,string,bytes2,uint32,uint32,bytes32)"
EVENTS = {
    "issued": f"Issued(bytes32,uint256,address,{_CLAIM},address,address,uint64,uint64,bytes32)",
    "retired": f"Retired(bytes32,uint256,address,uint64,uint64,uint64,uint64,{_DETAILS},uint64,bytes32)",
}
_WORDS: dict[str, dict[str, tuple[int, int]]] = {
    "issued": {
        "amount": (4, 8),
        "period_start": (5, 4),
        "period_end": (6, 4),
        "evidence_root": (9, 32),
        "manifest_hash": (11, 32),
        "issuer": (15, 20),
        "verifier": (16, 20),
        "seq": (18, 8),
        "head": (19, 32),
    },
    "retired": {
        "retirement": (0, 8),
        "first": (1, 8),
        "amount": (2, 8),
        "total": (3, 8),
        "details": (4, 2),
        "seq": (5, 8),
        "head": (6, 32),
    },
}
"""Which word of an event's data, and how many bytes of it at its end: 20 and 32 stay bytes."""


def mapping_slot(name: str, key: int) -> int:
    """Return the slot of a batch's entry in a mapping (Solidity's storage layout)."""
    data = key.to_bytes(32, "big") + MAPPINGS[name].to_bytes(32, "big")
    return int.from_bytes(keccak256(data), "big")


def read_batch(word: int) -> dict[str, Any]:
    """Return the fields of a batch's word: kilograms, and seconds since 1970 (UTC)."""
    status = word & 255
    if not 0 < status < len(STATUSES):
        raise ProofError("batch", "there is no such batch in it")
    fields = (_BATCH | _TIMES).items()
    return {"status": STATUSES[status]} | {
        name: word >> shift & (2**width - 1) for name, (shift, width) in fields
    }


def read_event(name: str, log: Log) -> dict[str, Any]:
    """Return the arguments of an event, ``issued`` or ``retired``, from its log."""
    topic = keccak256(EVENTS[name].encode())
    if len(log.topics) != 4 or log.topics[0] != topic:
        raise ProofError(name, f"{name}: the log is another event")
    event: dict[str, Any] = {
        "key": log.topics[1],
        "batch_id": int.from_bytes(log.topics[2], "big"),
        "holder": log.topics[3][12:],
    }
    for field, (place, width) in _WORDS[name].items():
        word = _slice(log.data, 32 * place, 32, name)
        if any(word[: 32 - width]):
            raise ProofError(name, f"{name}: {field} is out of bounds")
        event[field] = word[12:] if width == 20 else word
        if width < 20:
            event[field] = int.from_bytes(word, "big")
    if name == "retired":
        details = log.data[event["details"] :]
        event["beneficiary"], event["reason"] = (_string(details, at, name) for at in (0, 32))
    return event


def _string(data: bytes, at: int, name: str) -> str:
    start = int.from_bytes(_slice(data, at, 32, name), "big")
    length = int.from_bytes(_slice(data, start, 32, name), "big")
    return _slice(data, start + 32, length, name).decode("utf-8", "replace")


def _slice(data: bytes, at: int, length: int, name: str) -> bytes:
    if at + length > len(data):
        raise ProofError(name, f"{name}: the event is cut short")
    return data[at : at + length]


def leaf(serial: str, row: tuple[Any, ...]) -> bytes:
    """Return the leaf of a reading: eight words of 32 bytes, hashed twice (``docs/evidence.md``)."""
    _, start, end, kind, quality, digits, scale, text = row
    numbers = (start, end, digits, scale, kind, quality)
    words = [number.to_bytes(32, "big", signed=True) for number in numbers]
    data = b"".join((keccak256(serial.encode()), *words, keccak256(text.encode())))
    return keccak256(keccak256(data))


def root_of(leaves: list[bytes]) -> bytes:
    """Return the root over leaves: sorted, in a complete tree, each pair in ascending order."""
    tree = sorted(leaves)
    if len(set(tree)) != len(tree):
        raise ProofError("readings", "a reading stands twice")
    # The array of the tree from its end: two nodes are taken for each that is added.
    for at in range(0, 2 * len(tree) - 2, 2):
        tree.append(climb(tree[at], [tree[at + 1]]))
    return tree[-1]


def climb(node: bytes, siblings: list[bytes]) -> bytes:
    """Return the root that a proof leads to."""
    for other in siblings:
        node = keccak256(node + other if node < other else other + node)
    return node
