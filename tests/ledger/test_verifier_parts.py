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
from ledger.proofs.verifier.blocks import read_header
from ledger.proofs.verifier.checks import NO_INK
from ledger.proofs.verifier.curve import N, recover
from ledger.proofs.verifier.ledger import EVENTS, read_event
from ledger.proofs.verifier.trie import EMPTY_ROOT, keccak256, lookup
from tests.support.forms import times

ITEMS: st.SearchStrategy[Any] = st.recursive(
    st.binary(max_size=70), lambda inner: st.lists(inner, max_size=20), max_leaves=40
)
VALUES = st.lists(st.binary(min_size=1, max_size=80), min_size=1, max_size=140)


# ------------------------------------------------------------------------ RLP


@given(ITEMS)
def test_rlp_is_that_of_the_rlp_package(item: Any) -> None:
    data = other_rlp.encode(item)
    assert rlp.encode(item) == data
    assert rlp.decode(data) == item


@pytest.mark.parametrize("size", [0, 1, 55, 56, 255, 256])
@pytest.mark.parametrize("byte", [b"\0", b"\x7f", b"\x80", b"\xff"])
def test_rlp_where_its_forms_meet(size: int, byte: bytes) -> None:
    """A byte below 0x80 is itself, 55 bytes have their length before them, 56 the length of their length."""
    for item in (byte * size, [byte] * size):
        assert rlp.encode(item) == other_rlp.encode(item)
        assert rlp.decode(other_rlp.encode(item)) == item


@given(st.binary(max_size=120))
def test_what_is_read_is_what_would_be_written(data: bytes) -> None:
    try:
        item = rlp.decode(data)
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
        rlp.decode(bytes.fromhex(data))


@pytest.mark.parametrize("data", [b"\xc1" * 100_000, b"\xfb\xff\xff\xff\xff" * 20_000])
def test_a_bomb_of_lists_is_refused(data: bytes) -> None:
    with pytest.raises(ProofError, match="nested too deep"):
        rlp.decode(data)


@pytest.mark.parametrize("item", [b"\0", b"\0\1", b"\1" * 33, []])
def test_a_number_has_one_spelling(item: Any) -> None:
    with pytest.raises(ProofError):
        rlp.number_of(item)


@pytest.mark.parametrize("item", [b"\1" * 31, b"\1" * 33, b"", []])
def test_a_hash_has_32_bytes(item: Any) -> None:
    assert rlp.bytes_of(b"\1" * 32, 32) == b"\1" * 32
    with pytest.raises(ProofError, match="32 bytes are expected"):
        rlp.bytes_of(item, 32)


# ----------------------------------------------------------------------- trie


def reference_of(values: list[bytes]) -> HexaryTrie:
    made = HexaryTrie({})
    for at, value in enumerate(values):
        made[other_rlp.encode(at)] = value
    return made


@settings(max_examples=times(12, 60), deadline=None)
@given(VALUES, st.data())
def test_a_trie_is_that_of_py_trie(values: list[bytes], data: st.DataObject) -> None:
    reference, ours = reference_of(values), tries.Trie(values)
    assert ours.root == reference.root_hash
    place = data.draw(st.integers(0, len(values) + 2))
    key = other_rlp.encode(place)
    proof = ours.proof(place)
    theirs = HexaryTrie.get_from_proof(ours.root, key, [other_rlp.decode(node) for node in proof])
    expected = values[place] if place < len(values) else b""
    assert (theirs or b"") == expected
    assert lookup(ours.root, key, proof) == expected


@settings(max_examples=times(12, 60), deadline=None)
@given(st.dictionaries(st.binary(min_size=1, max_size=9), st.binary(min_size=1, max_size=40)))
def test_a_proof_by_py_trie_is_accepted(entries: dict[bytes, bytes]) -> None:
    reference = HexaryTrie({})
    for key, value in entries.items():
        reference[keccak256(key)] = value
    for key in [*entries, b"nobody"]:
        hashed = keccak256(key)
        sent = [other_rlp.encode(node) for node in reference.get_proof(hashed)]
        proof = tries.path(reference.root_hash, hashed, sent)
        assert lookup(reference.root_hash, hashed, proof) == entries.get(key, b"")


def test_an_empty_trie_has_nothing() -> None:
    assert tries.Trie([]).root == EMPTY_ROOT == HexaryTrie({}).root_hash
    assert lookup(EMPTY_ROOT, b"\x80", []) == b""


def test_a_key_may_end_at_a_branch() -> None:
    """No receipt and no account lies there, but a proof of somebody else may come to it."""
    branch = rlp.encode([*[b""] * 16, b"here"])
    assert lookup(keccak256(branch), b"", [branch]) == b"here"


@settings(max_examples=times(8, 40), deadline=None)
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
            lookup(ours.root, key, wrong)


def test_py_trie_takes_junk_that_is_refused_here() -> None:
    ours = tries.Trie([b"one" * 20, b"two" * 20])
    junk = [*ours.proof(1), rlp.encode([b" a", b"junk" * 12])]
    nodes = [other_rlp.decode(node) for node in junk]
    assert HexaryTrie.get_from_proof(ours.root, b"\1", nodes) == b"two" * 20
    with pytest.raises(ProofError, match="belong to no path"):
        lookup(ours.root, b"\1", junk)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ([b"\x40", b"value"], "a path of its proof is none"),
        ([b"\x2a", b"value"], "a path of its proof is none"),  # even, and not 0 after it
        ([b"\x05", b"\1" * 32], "a path of its proof is none"),
        ([b"", b"value"], "a path of its proof is none"),
        ([b"\x00", b"\1" * 32], "leads nowhere"),  # an extension without digits
        ([b"\x1a", b""], "leads nowhere"),
        ([b"\x20\xab", b""], "leads nowhere"),  # a leaf of nothing
        ([b"\x20\xab", [b"value"]], "bytes are expected"),
        ([b"\x1a", [b"\x3b", b"v" * 32]], "is not hashed"),
        ([b"\x1a", b"\1" * 31], "ends before the key"),
        ([b"a", b"b", b"c"], "a list of 2 or 17"),
        ([*[b""] * 10, [b"\x3b", b"v" * 40], *[b""] * 6], "is not hashed"),
        ([*[b""] * 10, [], *[b""] * 6], "a list of 2 or 17"),  # a list is no empty reference
    ],
)
def test_a_node_has_one_form(node: Any, message: str) -> None:
    """Though its hash is right: somebody may have made such a trie."""
    data = rlp.encode(node)
    with pytest.raises(ProofError, match=message):
        lookup(keccak256(data), b"\xab", [data])


def test_nothing_stands_under_a_key_that_goes_on_where_a_leaf_ends() -> None:
    """Though the leaf's digits begin the key: else it would be the value of any longer key."""
    leaf = rlp.encode([b"\x20\xab", b"value"])
    for key, value in ((b"\xab", b"value"), (b"\xab\xcd", b"")):
        nodes = [other_rlp.decode(leaf)]
        assert HexaryTrie.get_from_proof(keccak256(leaf), key, nodes) == value
        assert lookup(keccak256(leaf), key, [leaf]) == value


# ------------------------------------------------------------------ events


@pytest.mark.parametrize("name", EVENTS)
def test_a_log_is_the_event_that_it_is_shown_as(name: str) -> None:
    """The contract leaves others with as many topics, such as ERC-1155's TransferSingle."""
    transfer = keccak256(b"TransferSingle(address,address,address,uint256,uint256)")
    (other,) = EVENTS.keys() - {name}
    data = bytes(32 * 17)
    for topic in (transfer, EVENTS[other]):
        with pytest.raises(ProofError, match="another event"):
            read_event(name, [topic, *[bytes(32)] * 3], data)
    for topics in (1, 2, 4):
        with pytest.raises(ProofError, match="another event"):
            read_event(name, [EVENTS[name], *[bytes(32)] * topics], data)
    assert read_event(name, [EVENTS[name], *[bytes(32)] * 3], data)["amount"] == 0


# ------------------------------------------------------------------ signature


def test_a_signer_is_found_as_eth_keys_finds_it() -> None:
    for _ in range(25):
        key, digest = keys.PrivateKey(os.urandom(32)), os.urandom(32)
        sign = key.sign_msg_hash(digest)
        assert recover(digest, sign.v, sign.r, sign.s) == key.public_key.to_bytes()
        assert recover(digest, 1 - sign.v, sign.r, sign.s) != key.public_key.to_bytes()
        # The twin of a signature that Ethereum refuses since Homestead.
        with pytest.raises(ProofError):
            recover(digest, 1 - sign.v, sign.r, N - sign.s)


@pytest.mark.parametrize(
    ("parity", "r", "s"), [(2, 1, 1), (0, 0, 1), (0, N, 1), (0, 1, 0), (0, 5, 1)]
)
def test_what_is_no_signature_has_no_signer(parity: int, r: int, s: int) -> None:
    with pytest.raises(ProofError, match="signature is none"):
        recover(b"\1" * 32, parity, r, s)


def test_a_signature_by_nobody_has_no_signer() -> None:
    """s R = e G: the key would be the point at infinity."""
    key = keys.PrivateKey((1).to_bytes(32))
    sign = key.sign_msg_hash(b"\7" * 32)
    # R = k G of a known k: with the digest k s the sum is nothing.
    k, r = 2, 0xC6047F9441ED7D6D3045406E95C07CD85C778E4B8CEF3CA7ABAC09B95C709EE5
    digest = (k * sign.s % N).to_bytes(32)
    with pytest.raises(ProofError, match="signature is none"):
        recover(digest, 0, r, sign.s)


# ------------------------------------------------------------------------ where the format ends


@pytest.mark.parametrize("count", [15, 21, 32])
def test_a_header_of_any_fork(count: int) -> None:
    """docs/proof-format.md: 15 items when Ethereum began, 21 since Prague, 32 at the most."""
    fields = [b"", b"", b"", b"s" * 32, b"t" * 32, b"r" * 32, b"", b"", b"\7", b"", b"", b"\x09"]
    data = other_rlp.encode(fields + [b""] * (count - 12))
    assert read_header(data)[1:] == (7, 9, b"s" * 32, b"t" * 32, b"r" * 32)
    for other in (14, 33):
        with pytest.raises(ProofError):
            read_header(other_rlp.encode(fields + [b""] * (other - 12)))


def test_a_node_of_32_bytes_is_hashed() -> None:
    """Yellow Paper, appendix D: a node stands in another itself where it has fewer bytes."""
    for size in (26, 27):  # of the value: of the node 31 and 32
        child = [b"\x32\x34", b"v" * size]
        assert len(other_rlp.encode(child)) == size + 5
        top = other_rlp.encode([b"\x11", child])
        if size == 26:
            assert lookup(keccak256(top), b"\x12\x34", [top]) == b"v" * 26
        else:
            with pytest.raises(ProofError, match="is not hashed"):
                lookup(keccak256(top), b"\x12\x34", [top])


def test_signs_without_ink() -> None:
    """Letters and marks of Unicode's Default_Ignorable_Code_Point, and braille's blank, by their numbers."""
    told = [
        "034F",
        "115F",
        "1160",
        "17B4",
        "17B5",
        "180B",
        "180C",
        "180D",
        "180E",
        "180F",
        "2800",
        "3164",
        "FFA0",
    ]
    ranges = [*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)]
    assert sorted(NO_INK) == sorted(map(chr, [*(int(each, 16) for each in told), *ranges]))
