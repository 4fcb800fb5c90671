"""Made-up chains that are odd anywhere, and hash to the block that is trusted all the same.

A random change of a bundle breaks a hash nearly always, so that nothing behind the hashes is ever asked. Here the odd
thing is put in first: into a header, a node, a receipt, a transaction, the words of a log, a manifest. All hashes above
it are made anew, and both verifiers have to say the same of what is left, whatever it is.
"""

import json
import random
from itertools import groupby
from typing import Any

import rlp
from eth_utils.crypto import keccak

from ledger.proofs.verifier import Trusted
from tests.support.bundle_mutants import mutants
from tests.support.worlds import END, LEAVES, MANIFEST, OTHER, ROW, START, Trie, World, coded

RATES = (0.0, 0.01, 0.02, 0.04)
"""How likely an item is another one than it should be, of a world."""
_BYTES = [
    b"",
    b"\0",
    b"\1",
    b"\x7f",
    b"\x80",
    b"\0\1",
    b"\xff" * 32,
    b"\xff" * 33,
    b"\0" * 32,
    b"\x20\x30",
]
_TEXTS = [
    "",
    "ok",
    'q"\\<',
    "\u2028\u202e\u200b\xad\ufeff",
    "é漢字😀العربية",
    "x" * 100,
    "\U000e0041\u180e",
]
_NO_TEXTS = [
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\xf0\x9f\x98",
    b"\xc0\x80",
    b"\xf4\x90\x80\x80b",
    b"\xe2\x82",
]
"""Bytes that are no UTF-8; each reader replaces as many of them as the standard says, or as it likes."""
_WORDS = [0, 1, 31, 32, 33, 64, 96, 192, 224, 2**53, 2**63, 2**64, 2**255, 2**256 - 32, 2**256 - 1]
_PARTS: dict[str, list[Any]] = {
    "status": [0, 1, 2, 3, 4, 5, 6, 255],
    "distance": [0, 1, 8190, 8191, 8192, 10**6],
    "retired_kg": [0, 99, 100, 1000, 2**40 - 1],
    "cancelled_kg": [0, 900, 950, 1000, 2000],
    "deficit_kg": [0, 3, 2**64 - 1],
    "expires_at": [1, START + 10**7 + 1010, START + 10**7 + 1011, 2**32 - 1],
    "last": [0, 1, 100, 101, 2**63],
    "beneficiary": _TEXTS,
    "reason": _TEXTS,
    "signed_chain": [1],
    "high_s": [True],
    "other": [
        [0, at, end, *OTHER[3:]] for at, end in ((END + 1, START), (START, START), (START, END))
    ],
    "registered": [{}, {coded(9): 2}, {coded(9): 3, coded(10): 3}, {coded(9, "bark"): 2}],
    "depth": [99, 100, 101, 150],
}
_BUNDLE: dict[str, list[Any]] = {
    "serials": [None, [1, 1000], [101, 950], [951, 1000], [100, 101], [0, 0], [950, 951]],
    "creation": [None],
    "manifest": [None],
    "registered": [None],
    "readings": [
        None,
        {
            "meters": ["M1"],
            "rows": [ROW, OTHER],
            "proofs": [["0x" + leaf.hex()] for leaf in LEAVES[::-1]],
        },
        {"meters": ["M1"], "rows": [ROW, [0, END + 1, START, *OTHER[3:]]], "proofs": None},
    ],
}


def wild(chance: random.Random) -> tuple[str, Trusted]:
    """Return a bundle of a chain that is odd in one place or in several, and what its auditor trusts."""
    parts = {
        name: chance.choice(values) for name, values in _PARTS.items() if chance.random() < 0.06
    }
    bundle = {
        name: chance.choice(values) for name, values in _BUNDLE.items() if chance.random() < 0.1
    }
    if "manifest" in bundle:  # nothing is registered that no manifest names
        bundle["registered"] = None
    if chance.random() < 0.3:
        parts["manifest"] = next(mutants(json.dumps(MANIFEST), chance))
    kinds = [1, 2, 3, 4] if "high_s" in parts else [0, 1, 2, 2, 3, 4]
    world = _Wild(kind=chance.choice(kinds), bundle=bundle, **parts)
    world.chance, world.rate = chance, chance.choice(RATES)
    return world.build()


class _Wild(World):
    chance: random.Random
    rate: float

    def _trie(self, entries: dict[bytes, bytes]) -> Trie:
        return _WildTrie(entries, self)

    def _encoded(self, item: Any) -> bytes:
        return self.spelled(self.changed(item))

    def _signed(self, account: Any, nonce: int) -> bytes:
        data = super()._signed(account, nonce)
        if not self.strikes(4):
            return data
        kind = data[:1] if self.kind else b""
        signed = self.spelled(self.another(rlp.decode(data[len(kind) :])))
        return self.chance.choice([kind, kind, kind, b"", b"\0", b"\5", b"\x80"]) + signed

    def _log(self, signature: str, batch: int, data: bytes) -> list[Any]:
        words = bytearray(data)
        while self.strikes(8):
            at = 32 * self.chance.randrange(len(words) // 32)
            word = self.chance.choice([*_WORDS, len(data), self.chance.randrange(600)])
            words[at : at + 32] = word.to_bytes(32)
        while self.strikes(8):
            at, text = self.chance.randrange(len(words)), self.chance.choice(_NO_TEXTS)
            words[at : at + len(text)] = text
        if self.strikes():
            del words[self.chance.randrange(len(words)) :]
        address, topics, data = super()._log(signature, batch, bytes(words))
        if self.strikes(4):
            topics = self.chance.choice([topics[:-1], [*topics, topics[-1]], topics[::-1]])
        return [address, topics, data]

    def strikes(self, times: int = 1) -> bool:
        """Return whether something is odd here, of a world that is odd at all."""
        return self.chance.random() < self.rate * times

    def changed(self, item: Any) -> Any:
        """Return an item, or another one."""
        return self.another(item) if self.strikes() else item

    def another(self, item: Any) -> Any:
        """Return another item of RLP than one, near to it or far from it."""
        chance, way = self.chance, self.chance.randrange(6)
        if isinstance(item, int):
            item = item.to_bytes((item.bit_length() + 7) // 8)
        if not isinstance(item, (list, tuple)):
            flipped = bytes([item[0] ^ 1, *item[1:]]) if item else b"\1"
            near = (item[:-1], item + b"\0", b"\0" + item, flipped, [item], item.lstrip(b"\0"))
            return near[way] if chance.random() < 0.7 else chance.choice(_BYTES)
        items = list(item)
        if way == 0:
            return items[:-1]
        if way == 1:
            return [*items, chance.choice([*_BYTES, [], items])]
        if way == 2 or not items:
            return chance.choice([[], b"", items[::-1]])
        at = chance.randrange(len(items))
        items[at] = self.another(items[at])
        return items

    def spelled(self, item: Any) -> bytes:
        """Return an item in RLP, or nearly so."""
        data = bytes(rlp.encode(item))
        if not self.strikes():
            return data
        body = data[len(data) - len(_body(item)) :]
        size = len(body).to_bytes(self.chance.choice([2, 3, 8]))
        long = bytes([(0xC0 if isinstance(item, list) else 0x80) + 55 + len(size)]) + size + body
        at = self.chance.randrange(len(data))
        broken = data[:at] + self.chance.randbytes(1) + data[at + 1 :]
        return self.chance.choice([data + b"\0", data[:-1], long, b"\x81" + data, broken])


def _body(item: Any) -> bytes:
    """Return what stands behind the length of an item in RLP."""
    if isinstance(item, (list, tuple)):
        return b"".join(rlp.encode(part) for part in item)
    return item.to_bytes((item.bit_length() + 7) // 8) if isinstance(item, int) else bytes(item)


class _WildTrie(Trie):
    """A trie whose nodes may be others than they should be, each referred to by what it is."""

    def __init__(self, entries: dict[bytes, bytes], world: _Wild) -> None:
        self._world = world
        self._hashed: list[tuple[str, bytes]] = []
        """Nodes that are referred to by their hash, each with the digits that lead to it."""
        data, _ = self._node(sorted((key.hex(), value) for key, value in entries.items()), 0)
        self._hashed.append(("", data))
        self.root = keccak(data)

    def proof(self, key: bytes) -> list[str]:
        found = [(path, node) for path, node in self._hashed if key.hex().startswith(path)]
        nodes = ["0x" + node.hex() for _, node in sorted(found, key=lambda pair: len(pair[0]))]
        if self._world.strikes():
            nodes = self._world.chance.choice([nodes[:-1], [*nodes, "0x80"], [*nodes, nodes[0]]])
        return nodes

    def _node(self, entries: list[tuple[str, bytes]], depth: int) -> tuple[bytes, Any]:
        """Return a node as bytes, and what stands for it in its parent where it is not hashed."""
        keys = [key[depth:] for key, _ in entries]
        shared = 0
        while len({key[shared : shared + 1] for key in keys}) == 1 and shared < len(keys[0]):
            shared += 1
        digits = keys[0]
        if len(entries) == 1 and not (self._world.strikes(2) and digits):
            return self._made([_packed(digits, leaf=True), entries[0][1]])
        if len(entries) == 1:  # an extension or a branch where a leaf would do
            shared = self._world.chance.randrange(len(digits))
        if shared:
            return self._made(
                [_packed(digits[:shared], leaf=False), self._below(entries, depth + shared)]
            )
        branch: list[Any] = [b""] * 17
        for digit, part in groupby(entries, key=lambda entry: entry[0][depth : depth + 1]):
            below = list(part)
            branch[int(digit, 16) if digit else 16] = (
                self._below(below, depth + 1) if digit else below[0][1]
            )
        return self._made(branch)

    def _made(self, item: list[Any]) -> tuple[bytes, Any]:
        item = self._world.changed(item)
        return self._world.spelled(item), item

    def _below(self, entries: list[tuple[str, bytes]], depth: int) -> Any:
        data, item = self._node(entries, depth)
        if (len(data) < 32) is not self._world.strikes():
            return item
        self._hashed.append((entries[0][0][:depth], data))
        return keccak(data)


def _packed(digits: str, *, leaf: bool) -> bytes:
    odd = len(digits) % 2
    return bytes.fromhex(f"{2 * leaf + odd}{'' if odd else '0'}{digits}")
