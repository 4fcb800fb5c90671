"""The parts of the verifier against other people's: rlp, py-trie, eth-keys."""

import os
from typing import Any

import pytest
import rlp as other_rlp
from eth_keys import keys
from hypothesis import given, settings
from hypothesis import strategies as st
from trie import HexaryTrie

from ledger.proofs import tries
from ledger.proofs.verifier import ProofError, rlp
from ledger.proofs.verifier.curve import N, recover
from ledger.proofs.verifier.trie import EMPTY_ROOT, keccak256, lookup

ITEMS: st.SearchStrategy[Any] = st.recursive(
    st.binary(max_size=70), lambda inner: st.lists(inner, max_size=20), max_leaves=40
)
VALUES = st.lists(st.binary(min_size=1, max_size=80), min_size=1, max_size=140)


# ------------------------------------------------------------------------ RLP


@given(ITEMS)
def test_rlp_is_that_of_the_rlp_package(item: Any) -> None:
    data = other_rlp.encode(item)
    assert rlp.encode(item) == data
    assert rlp.decode(data, "it") == item


@given(st.binary(max_size=120))
def test_what_is_read_is_what_would_be_written(data: bytes) -> None:
    try:
        item = rlp.decode(data, "it")
    except ProofError:
        return
    assert rlp.encode(item) == data


@pytest.mark.parametrize(
    "data",
    [
        "",
        "8100",  # a byte under 0x80 stands for itself
        "b80100",  # a short string with a long length
        "b900ff" + "00" * 255,  # a length with a zero in front
        "83aabb",  # cut short
        "c28080c0",  # more follows
        "f80180",  # a short list with a long length
    ],
)
def test_another_spelling_is_refused(data: str) -> None:
    with pytest.raises(ProofError):
        rlp.decode(bytes.fromhex(data), "it")


def test_deep_nesting_is_refused() -> None:
    item: Any = b""
    for _ in range(40):
        item = [item]
    with pytest.raises(ProofError):
        rlp.decode(rlp.encode(item), "it")


@pytest.mark.parametrize("item", [b"\0", b"\0\1", b"\1" * 33, []])
def test_a_number_has_one_spelling(item: Any) -> None:
    with pytest.raises(ProofError):
        rlp.number_of(item, "it")


# ----------------------------------------------------------------------- trie


def reference_of(values: list[bytes]) -> HexaryTrie:
    made = HexaryTrie({})
    for at, value in enumerate(values):
        made[other_rlp.encode(at)] = value
    return made


@settings(max_examples=60, deadline=None)
@given(VALUES, st.data())
def test_a_trie_is_that_of_py_trie(values: list[bytes], data: st.DataObject) -> None:
    reference, ours = reference_of(values), tries.Trie(values)
    assert ours.root == reference.root_hash
    place = data.draw(st.integers(0, len(values) + 2))
    key = other_rlp.encode(place)
    proof = ours.proof(place)
    theirs = HexaryTrie.get_from_proof(ours.root, key, [other_rlp.decode(node) for node in proof])
    expected = values[place] if place < len(values) else None
    assert (theirs or None) == expected
    assert lookup(ours.root, key, proof, "it") == expected


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.binary(min_size=1, max_size=9), st.binary(min_size=1, max_size=40)))
def test_a_proof_by_py_trie_is_accepted(entries: dict[bytes, bytes]) -> None:
    reference = HexaryTrie({})
    for key, value in entries.items():
        reference[keccak256(key)] = value
    for key in [*entries, b"nobody"]:
        hashed = keccak256(key)
        sent = [other_rlp.encode(node) for node in reference.get_proof(hashed)]
        proof = tries.path(reference.root_hash, hashed, sent)
        assert lookup(reference.root_hash, hashed, proof, "it") == entries.get(key)


def test_an_empty_trie_has_nothing() -> None:
    assert tries.Trie([]).root == EMPTY_ROOT == HexaryTrie({}).root_hash
    assert lookup(EMPTY_ROOT, b"\x80", [], "it") is None


@settings(max_examples=40, deadline=None)
@given(VALUES, st.data())
def test_a_proof_has_no_more_and_no_less(values: list[bytes], data: st.DataObject) -> None:
    ours = tries.Trie(values)
    place = data.draw(st.integers(0, len(values) - 1))
    key, proof = tries.place_key(place), ours.proof(place)
    at = data.draw(st.integers(0, len(proof) - 1))
    for wrong in (
        [*proof, proof[0]],
        [*proof, b"\xc0"],
        proof[:at] + proof[at + 1 :],
        [*proof[:at], proof[at][:-1] + bytes([proof[at][-1] ^ 1]), *proof[at + 1 :]],
        [*proof[:at], proof[at] + b"\0", *proof[at + 1 :]],
    ):
        with pytest.raises(ProofError):
            lookup(ours.root, key, wrong, "it")


def test_py_trie_takes_junk_that_is_refused_here() -> None:
    ours = tries.Trie([b"one" * 20, b"two" * 20])
    junk = [*ours.proof(1), rlp.encode([b" a", b"junk" * 12])]
    nodes = [other_rlp.decode(node) for node in junk]
    assert HexaryTrie.get_from_proof(ours.root, b"\1", nodes) == b"two" * 20
    with pytest.raises(ProofError, match="belong to no path"):
        lookup(ours.root, b"\1", junk, "it")


# ------------------------------------------------------------------ signature


def test_a_signer_is_found_as_eth_keys_finds_it() -> None:
    for _ in range(40):
        key, digest = keys.PrivateKey(os.urandom(32)), os.urandom(32)
        sign = key.sign_msg_hash(digest)
        assert recover(digest, sign.v, sign.r, sign.s) == key.public_key.to_bytes()
        assert recover(digest, 1 - sign.v, sign.r, sign.s) != key.public_key.to_bytes()
        # The twin of a signature that Ethereum refuses since Homestead.
        assert recover(digest, 1 - sign.v, sign.r, N - sign.s) is None


@pytest.mark.parametrize(
    ("parity", "r", "s"), [(2, 1, 1), (0, 0, 1), (0, N, 1), (0, 1, 0), (0, 5, 1)]
)
def test_what_is_no_signature_has_no_signer(parity: int, r: int, s: int) -> None:
    assert recover(b"\1" * 32, parity, r, s) is None
