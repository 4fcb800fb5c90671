"""What the hash of a block covers: its header, and by it the root of its receipts; the bloom that tells where to look.

``encoding`` and ``tries`` do the same for one proof at a time. This is for a mirror, which does it for each block:
RLP is put together as hexadecimal text, as the node wrote it, and becomes bytes once, where it is hashed.
Formats are those of the Ethereum Yellow Paper (4.3 blocks, appendix B RLP, appendix D tries) and EIP-2718.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

from tiny_keccak import keccak256

from ledger.proofs.encoding import HEADER, QUANTITIES
from ledger.proofs.tries import digits_of, packed_path, place_key, shared_digits
from ledger.proofs.verifier.trie import EMPTY_ROOT

_STRING, _LIST = 0x80, 0xC0
_NOTHING = "80"
_TOPICS_BYTES, _ADDRESS_BYTES = 33, 21
"""A topic has 32 bytes, an address 20, and both one before them."""
_ADDRESS_HEAD = "94"
_KINDS = {None: "", "0x0": "", "0x1": "01", "0x2": "02", "0x3": "03", "0x4": "04"}
"""Types of transactions, and the byte before their receipts."""


class Log(Protocol):
    """A log as a node writes it."""

    @property
    def address(self) -> str:
        """Who left it, as hexadecimal text."""
        ...

    @property
    def topics(self) -> Sequence[str]:
        """Its topics, 32 bytes each."""
        ...

    @property
    def data(self) -> str:
        """Its data."""
        ...


class Receipt(Protocol):
    """A receipt as a node writes it."""

    @property
    def kind(self) -> str | None:
        """The type of its transaction; none for the oldest."""
        ...

    @property
    def status(self) -> str:
        """Whether the transaction succeeded (1) or failed (0)."""
        ...

    @property
    def cumulative_gas_used(self) -> str:
        """Gas of the block up to it."""
        ...

    @property
    def logs_bloom(self) -> str:
        """The bloom of its logs."""
        ...

    @property
    def logs(self) -> Sequence[Log]:
        """Its logs, in order."""
        ...


def header_hash(values: Iterable[str | None]) -> str:
    """Return the hash of a header.

    Parameters
    ----------
    values
        Its fields in the order of ``encoding.HEADER``; None for those that later forks brought.

    Raises
    ------
    ValueError
        If a field is no hexadecimal text.
    """
    content = "".join(
        [
            _quantity(text) if is_quantity else _bytes(text)
            for is_quantity, text in zip(_IS_QUANTITY, values, strict=True)
            if text is not None
        ]
    )
    return _hash(_head(len(content) >> 1, _LIST) + content)


_IS_QUANTITY = tuple(name in QUANTITIES for name in HEADER)


def receipts_root(receipts: Sequence[Receipt]) -> str:
    """Return the root of the trie over a block's receipts.

    Raises
    ------
    ValueError
        If a text is not hexadecimal, or a receipt is of a type that is not known here.
    """
    if not receipts:
        return "0x" + EMPTY_ROOT.hex()
    return "0x" + _reference(_shape(len(receipts)), [_receipt(item) for item in receipts])[2:]


# ------------------------------------------------------------------------------- RLP


@lru_cache(4096)
def _head(length: int, base: int) -> str:
    """Return what stands before a string or a list of so many bytes."""
    if length <= 55:
        return f"{base + length:02x}"
    text = f"{length:x}"
    text = text.zfill(len(text) + len(text) % 2)
    return f"{base + 55 + len(text) // 2:02x}{text}"


def _bytes(text: str) -> str:
    length = (len(text) >> 1) - 1
    if length == 1 and text[2] < "8":
        return text[2:]
    return _head(length, _STRING) + text[2:]


def _quantity(text: str) -> str:
    number = int(text, 16)
    if number < 0x80:
        return f"{number:02x}" if number else _NOTHING
    digits = f"{number:x}"
    digits = digits.zfill(len(digits) + len(digits) % 2)
    return _head(len(digits) >> 1, _STRING) + digits


def _receipt(receipt: Receipt) -> str:
    kind = _KINDS.get(receipt.kind)
    if kind is None and receipt.kind is not None:  # the execution API allows two digits as well
        kind = _KINDS.get(hex(int(receipt.kind, 16)))
    if kind is None:
        raise ValueError(f"a receipt is of type {receipt.kind}, which is none of Ethereum's")
    logs = "".join([_log(log) for log in receipt.logs])
    content = (
        f"{_quantity(receipt.status)}{_quantity(receipt.cumulative_gas_used)}{_bytes(receipt.logs_bloom)}"
        f"{_head(len(logs) >> 1, _LIST)}{logs}"
    )
    return f"{kind}{_head(len(content) >> 1, _LIST)}{content}"


def _log(log: Log) -> str:
    topics, data = log.topics, log.data
    before_address, before_topics, before_data = _frame(
        len(topics), data if len(data) == 4 else len(data)
    )
    heads_and_topics = "".join(topics).replace("0x", "a0")  # each of them has 32 bytes
    return (
        f"{before_address}{log.address[2:]}{before_topics}{heads_and_topics}{before_data}{data[2:]}"
    )


@lru_cache(1024)
def _frame(topics: int, data: str | int) -> tuple[str, str, str]:
    """Return what stands before the parts of a log with so many topics.

    Parameters
    ----------
    data
        The length of its data as text; a single byte as it is: a small one has nothing before it.
    """
    before_topics = _head(_TOPICS_BYTES * topics, _LIST)
    if isinstance(data, str):
        before_data = _bytes(data)[:-2]
        length = len(_bytes(data)) >> 1
    else:
        before_data = _head((data >> 1) - 1, _STRING)
        length = (len(before_data) >> 1) + (data >> 1) - 1
    length += _ADDRESS_BYTES + (len(before_topics) >> 1) + _TOPICS_BYTES * topics
    return _head(length, _LIST) + _ADDRESS_HEAD, before_topics, before_data


def _hash(text: str) -> str:
    return "0x" + keccak256(bytes.fromhex(text)).hex()


# ------------------------------------------------------------------------------- trie


class _Node(NamedTuple):
    """A node of the trie over a list of some length: the same for all lists of that length.

    Receipts are longer than a hash, and so is every node that refers to one: each node stands in its
    parent by its hash. No key begins with another, so no branch has a value.
    """

    path: str
    """Of a leaf or an extension, as RLP; empty for a branch."""
    place: int
    """Of a leaf: its place in the list; else -1."""
    below: tuple[_Node | None, ...]


_NODES_MAX = 2**16
_nodes: dict[tuple[bytes, int], _Node] = {}
"""Nodes by the digits above them and how many values are below: lists grow at their end, so these two say which values.

Two lengths share nearly all of their nodes. With nodes of its own for each, the tries of lists of up to 1,024 values
took 83 MB, and those of longer ones more.
"""


@lru_cache(1024)
def _shape(count: int) -> _Node:
    """Return the trie over a list of so many values."""
    if len(_nodes) > _NODES_MAX:
        _nodes.clear()
    return _node(sorted((digits_of(place_key(place)), place) for place in range(count)), 0)


def _node(entries: Sequence[tuple[bytes, int]], depth: int) -> _Node:
    key = entries[0][0][:depth], len(entries)
    node = _nodes.get(key)
    if node is None:
        node = _nodes[key] = _made(entries, depth)
    return node


def _made(entries: Sequence[tuple[bytes, int]], depth: int) -> _Node:
    first, place = entries[0]
    if len(entries) == 1:
        return _Node(_path(first[depth:], leaf=True), place, ())
    common = shared_digits(first, entries[-1][0], depth)
    if common:
        path = _path(first[depth : depth + common], leaf=False)
        return _Node(path, -1, (_node(entries, depth + common),))
    parts: list[list[tuple[bytes, int]]] = [[] for _ in range(16)]
    for entry in entries:
        parts[entry[0][depth]].append(entry)
    return _Node("", -1, tuple(_node(part, depth + 1) if part else None for part in parts))


def _path(part: bytes, *, leaf: bool) -> str:
    return _bytes("0x" + packed_path(part, leaf=leaf).hex())


def _reference(node: _Node, values: Sequence[str]) -> str:
    """Return what stands for a node in its parent."""
    path, place, below = node
    if place >= 0:
        value = values[place]
        content = f"{path}{_head(len(value) >> 1, _STRING)}{value}"
    elif path:
        content = path + "".join([_reference(each, values) for each in below if each is not None])
    else:
        content = (
            "".join([_NOTHING if each is None else _reference(each, values) for each in below])
            + _NOTHING
        )
    data = bytes.fromhex(_head(len(content) >> 1, _LIST) + content)
    return "a0" + keccak256(data).hex()


# ------------------------------------------------------------------------------ bloom


def bloom_bits(value: bytes) -> int:
    """Return the three bits of a 2048-bit bloom that an address or a topic sets (Yellow Paper, 4.3.1)."""
    digest = keccak256(value)
    bits = 0
    for at in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[at : at + 2], "big") & 2047)
    return bits
