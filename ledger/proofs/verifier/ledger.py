"""What the credit contract keeps and says: its slots, its events, and the tree of its evidence.

The compiler lays them out so; that the contract is this one, the trusted code hash says.
"""

from typing import Any

from ledger.proofs.verifier.errors import require
from ledger.proofs.verifier.trie import keccak256

SLOTS = {"admin": 2, "head": 3, "counters": 4}
MAPPINGS = {"batch": 11, "deficit": 15}  # by batch
CODES = {"project": 9, "site": 10}  # by the keccak of the code: a number, once and for ever
STATUSES = ("unknown", "active", "suspended", "disputed", "cancelled", "expired")
_KILOGRAMS = {"issued": 8, "retired": 48, "cancelled": 88}
_TIMES = {"period_start": 128, "period_end": 160, "expires_at": 224}
"""First bits of what a batch's word has: 40 bits of kilograms, 32 of seconds since 1970 (UTC)."""
EVENTS = {
    "issued": bytes.fromhex("8ed6336988500b9620e63ced06f1fe73952da030f67a227372e2233a2e362147"),
    "retired": bytes.fromhex("3981abce1fdc294a2fe0975365bdef2c5aab44009c3b32d857af0309bac8ecc0"),
}
"""Keccaks of the signatures of its events ``Issued`` and ``Retired``."""


def mapping_slot(name: str, key: int) -> int:
    """Return the slot of a batch's entry in a mapping (Solidity's storage layout)."""
    return int.from_bytes(keccak256(word(key) + word(MAPPINGS[name])))


def code_slot(name: str, code: str) -> int:
    """Return the slot with the number that a project or a site got under a code."""
    return int.from_bytes(keccak256(keccak256(code.encode()) + word(CODES[name])))


def read_batch(packed: int) -> dict[str, Any]:
    """Return the fields of a batch's word."""
    status = packed & 255
    require(0 < status < len(STATUSES), "there is no such batch in it")
    kilograms = {f"{name}_kg": packed >> bit & 2**40 - 1 for name, bit in _KILOGRAMS.items()}
    times = {name: packed >> bit & 2**32 - 1 for name, bit in _TIMES.items()}
    return {"status": STATUSES[status], **kilograms, **times}


def read_event(name: str, topics: list[bytes], data: bytes) -> dict[str, Any]:
    """Return the arguments of an event from its log: numbers, texts, addresses and hashes."""
    require(len(topics) == 4 and topics[0] == EVENTS[name], "the log is another event")
    event = {"key": topics[1], "batch_id": int.from_bytes(topics[2]), "holder": topics[3][12:]}
    words = _words(data, 0, 17 if name == "issued" else 5)
    if name == "issued":
        of_class, project, site, amount, start, end, _, before = map(int.from_bytes, words[1:9])
        event |= {"class_id": of_class, "project_id": project, "site_id": site}
        event |= {"amount": amount, "period_start": start, "period_end": end}
        event |= {"backfill_before": before, "evidence_root": words[9], "manifest_hash": words[11]}
        event |= {"evidence_total": int.from_bytes(words[10]), "methodology_hash": words[12]}
        return event | {"issuer": words[15][12:], "verifier": words[16][12:]}
    first, amount, _, at = map(int.from_bytes, words[1:])
    details = data[at:]
    beneficiary, reason, country, begin, until, document = _words(details, 0, 6)
    event |= {"beneficiary": _text(details, beneficiary), "reason": _text(details, reason)}
    times = {"consumption_start": int.from_bytes(begin), "consumption_end": int.from_bytes(until)}
    event |= {"country": country.strip(b"\0").decode("utf-8", "replace"), "document_hash": document}
    return event | times | {"first": first, "last": first + amount - 1, "amount": amount}


def _words(data: bytes, at: int, count: int) -> list[bytes]:
    """Return words of 32 bytes from a place on; all of them are there."""
    require(at + 32 * count <= len(data), "its log is cut short")
    return [data[place : place + 32] for place in range(at, at + 32 * count, 32)]


def _text(data: bytes, place: bytes) -> str:
    """Return the text to which a word of the data leads."""
    start = int.from_bytes(place) + 32
    length = int.from_bytes(_words(data, start - 32, 1)[0])
    require(start + length <= len(data), "its log is cut short")
    return data[start : start + length].decode("utf-8", "replace")


def leaf(serial: str, row: list[Any]) -> bytes:
    """Return the leaf of a reading: eight words of 32 bytes, hashed twice (``docs/evidence.md``)."""
    _, start, end, kind, quality, digits, scale, text = row
    words = [word(value) for value in (start, end, digits, scale, kind, quality)]
    data = [keccak256(serial.encode()), *words, keccak256(text.encode())]
    return keccak256(keccak256(b"".join(data)))


def root_of(leaves: list[bytes]) -> bytes:
    """Return the root over leaves: sorted, in a complete binary tree."""
    tree = sorted(leaves)
    # The array of the tree from its end: two nodes are taken for each that is added.
    for at in range(0, 2 * len(tree) - 2, 2):
        tree.append(climb(tree[at], [tree[at + 1]]))
    return tree[-1]


def climb(node: bytes, siblings: list[bytes]) -> bytes:
    """Return the root that a proof leads to; of each pair the smaller stands first."""
    for other in siblings:
        node = keccak256(min(node, other) + max(node, other))
    return node


def word(value: int) -> bytes:
    """Return a number as 32 bytes, two's complement below zero."""
    return (value % 2**256).to_bytes(32, "big")
