"""The evidence tree: its leaves against eth_abi, its roots against a second model and a published one."""

import tracemalloc

import pytest
import sha3  # type: ignore[import-untyped]
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st
from tiny_keccak import keccak256

from ledger.errors import BadInput, Refused
from ledger.reductions import Calibration, Kind, Meter, Reading, Role
from ledger.reductions import evidence as tree
from tests.support.independent import root_of

ABI = ["bytes32", "uint64", "uint64", "int256", "uint8", "uint8", "uint16", "bytes32"]

readings = st.builds(
    Reading,
    start_s=st.integers(0, 2**64 - 1),
    end_s=st.integers(0, 2**64 - 1),
    kind=st.integers(1, 2),
    quality=st.integers(0, 2**16 - 1),
    digits=st.integers(-(2**63), 2**63 - 1),
    scale=st.integers(0, 255),
    text=st.text(max_size=64),
)
keccak(b"")  # it looks for its library once, and not within the time of an example
leaf_lists = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40, unique=True)


def root_by(leaf: bytes, proof: list[bytes]) -> bytes:
    """Return the root that a proof leads to, as OpenZeppelin's `MerkleProof` computes it."""
    for sibling in proof:
        leaf = keccak(b"".join(sorted((leaf, sibling))))
    return leaf


@pytest.mark.parametrize("block", [0, 136, 272])
def test_the_hash_of_every_length_around_a_block_is_that_of_others(block: int) -> None:
    for length in range(max(0, block - 9), block + 9):
        for data in (bytes(length), b"\xff" * length, bytes(range(7, 256))[:length] * 2):
            assert keccak256(data) == keccak(data) == sha3.keccak_256(data).digest()


@given(readings, st.text(max_size=30))
def test_a_leaf_is_what_a_contract_would_encode_and_hash(reading: Reading, serial: str) -> None:
    data = encode(
        ABI,
        [
            keccak(text=serial),
            reading.start_s,
            reading.end_s,
            reading.digits,
            reading.scale,
            reading.kind,
            reading.quality,
            keccak(text=reading.text),
        ],
    )
    name = tree.meter_hash(serial)
    assert tree.leaf_data(name, reading) == data
    assert tree.leaf_hash(name, reading) == keccak(keccak(data))


@given(st.lists(readings, max_size=10), st.text(max_size=10))
def test_many_leaves_are_the_leaves_one_by_one(many: list[Reading], serial: str) -> None:
    meter = Meter(
        serial, "d", Role.GENERATION, Kind.POWER, "kW", 600, None, Calibration(), tuple(many)
    )
    name = tree.meter_hash(serial)
    assert tree.leaves_of([meter]) == [tree.leaf_hash(name, item) for item in many]


def test_nothing_among_what_flowed_back_is_nothing() -> None:
    """One run of a meter with numbers below zero, zero itself among them: as a contract encodes them."""
    values = (-1, 0, 1, -(2**63), 2**63 - 1)
    many = tuple(
        Reading(600 * at, 600 * (at + 1), 1, 0, value, 3, "x") for at, value in enumerate(values)
    )
    meter = Meter("m", "d", Role.EXPORT, Kind.POWER, "kW", 600, None, Calibration(), many)
    assert tree.leaves_of([meter]) == [
        keccak(
            keccak(
                encode(
                    ABI,
                    [keccak(text="m"), 600 * at, 600 * (at + 1), value, 3, 1, 0, keccak(text="x")],
                )
            )
        )
        for at, value in enumerate(values)
    ]


def test_a_published_root_of_openzeppelin() -> None:
    # The example of the README of @openzeppelin/merkle-tree.
    rows = [("0x" + "11" * 20, 5 * 10**18), ("0x" + "22" * 20, 25 * 10**17)]
    leaves = [keccak(keccak(encode(["address", "uint256"], list(row)))) for row in rows]
    published = "d4dee0beab2d53f2cc83e567171bd2820e49898130a22622b10ead383e90bd77"
    assert tree.merkle_root(leaves).hex() == published


@given(leaf_lists)
def test_a_root_equals_that_of_an_independent_model(leaves: list[bytes]) -> None:
    assert tree.merkle_root(leaves) == root_of(leaves, keccak)


@given(leaf_lists, st.randoms())
def test_every_leaf_is_proved_and_the_order_does_not_matter(
    leaves: list[bytes], random: object
) -> None:
    nodes = tree.merkle_tree(leaves)
    for leaf in leaves:
        assert root_by(leaf, tree.proof_of(nodes, leaf)) == nodes[0]
    random.shuffle(leaves)  # type: ignore[attr-defined]
    assert tree.merkle_root(leaves) == nodes[0]


@given(leaf_lists, st.integers(0, 255), st.integers(0, 31))
def test_an_altered_leaf_is_not_proved(leaves: list[bytes], bits: int, place: int) -> None:
    nodes = tree.merkle_tree(leaves)
    leaf = leaves[0]
    altered = leaf[:place] + bytes([leaf[place] ^ (bits or 1)]) + leaf[place + 1 :]
    assert root_by(altered, tree.proof_of(nodes, leaf)) != nodes[0]


def test_a_changed_reading_changes_the_root_whatever_field_it_is() -> None:
    base = Reading(0, 600, 1, 100, 45776, 2, "457.76")
    other = Reading(600, 1200, 1, 100, 1, 0, "1")
    name = tree.meter_hash("s")

    def root(reading: Reading) -> bytes:
        return tree.merkle_root([tree.leaf_hash(name, reading), tree.leaf_hash(name, other)])

    changed = [
        base._replace(start_s=60),
        base._replace(end_s=660),
        base._replace(kind=2),
        base._replace(quality=301),
        base._replace(digits=45777),
        base._replace(scale=3),
        base._replace(text="457.760"),
    ]
    assert len({root(item) for item in [base, *changed]}) == len(changed) + 1
    assert tree.leaf_hash(tree.meter_hash("t"), base) != tree.leaf_hash(name, base)


def test_an_empty_tree_proves_nothing() -> None:
    for made in (tree.merkle_tree, tree.merkle_root):
        with pytest.raises(BadInput, match="at least one reading"):
            made([])


def test_the_same_reading_twice_is_refused() -> None:
    for others in ([], [b"\0" * 32, b"\2" * 32]):  # it is named, wherever it stands
        for made in (tree.merkle_tree, tree.merkle_root):
            with pytest.raises(Refused, match=f"leaf 0x{'01' * 32} stands twice"):
                made([b"\1" * 32, *others, b"\1" * 32])


def test_a_root_takes_less_memory_than_its_tree() -> None:
    """The whole tree was made for it: of 500 meters and 23 days, 323 MB beside 139 of readings."""
    rows = tuple(Reading(at, at + 1, 1, 100, at, 0, str(at)) for at in range(1_000))
    meters = [
        Meter(serial, serial, Role.GENERATION, Kind.POWER, "kW", 1, "9", Calibration(), rows)
        for serial in map(str, range(40))
    ]
    whole = "0x" + tree.merkle_tree(tree.leaves_of(meters))[0].hex()
    tracemalloc.start()
    try:
        assert tree.evidence_root(meters) == (whole, 40_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100 * 40_000


def test_an_inner_node_is_no_leaf() -> None:
    leaves = [bytes([number]) * 32 for number in range(1, 5)]
    nodes = tree.merkle_tree(leaves)
    with pytest.raises(BadInput, match="no leaf"):
        tree.proof_of(nodes, nodes[1])


def test_one_leaf_is_its_own_root_with_an_empty_proof() -> None:
    nodes = tree.merkle_tree([b"\7" * 32])
    assert nodes == [b"\7" * 32]
    assert tree.proof_of(nodes, b"\7" * 32) == []
