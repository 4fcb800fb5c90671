"""verifyReading: readings as docs/evidence.md makes them, and nothing else."""

from typing import Any

import pytest
from eth_utils.crypto import keccak

from tests.contracts.credit.evidence import ENERGY, POWER, Evidence, Reading, reading
from tests.contracts.park import Park

FIRST, SECOND = (1 << 32) + 1, (1 << 32) + 2
START_S = 1_704_063_600
EVERY = [
    reading(START_S, START_S + 600),
    reading(START_S + 600, START_S + 1200, "-3.5"),
    reading(START_S + 1200, START_S + 1800, "", quality=200),
    reading(START_S + 1800, START_S + 2400, "99999", quality=301),
    reading(START_S + 1800, START_S + 2400, "0.10", quality=101),
    reading(START_S + 1800, START_S + 2400, "0.1", quality=402),
    Reading(keccak(text="Zähler 7"), 0, 2**64 - 1, -(2**63), 36, ENERGY, 100, keccak(text="1e9")),
]
TREE = Evidence(*EVERY)


@pytest.fixture(scope="module", autouse=True)
def batches(park: Park) -> None:
    """A batch on seven readings and one on a single reading."""
    park.issue(evidenceRoot=TREE.root, periodStart=100, periodEnd=200)
    park.issue(evidenceRoot=Evidence(EVERY[0]).root, periodStart=200, periodEnd=300)


def found(park: Park, root: bytes, one: Reading, proof: list[bytes]) -> int:
    return int(park.credit.verifyReading((root, one, proof)))


def test_a_leaf_by_hand(park: Park) -> None:
    """CC-70: the example of docs/evidence.md, word by word: 457.76 kW is (45776, 2)."""
    one = EVERY[0]
    assert (one.digits, one.scale, one.kind, one.quality) == (45776, 2, POWER, 100)
    words = [
        "0x" + keccak(text="T1").hex(),
        hex(START_S),
        hex(START_S + 600),
        "0xb2d0",
        "0x2",
        "0x1",
        "0x64",
        "0x" + keccak(text="457.76").hex(),
    ]
    data = "".join(word[2:].rjust(64, "0") for word in words)
    leaf = keccak(keccak(bytes.fromhex(data)))
    assert found(park, leaf, one, []) == SECOND


@pytest.mark.parametrize("one", EVERY, ids=range(7))
def test_every_reading(park: Park, one: Reading) -> None:
    """CC-70: counted or left out, of any value and sign, from each place of the tree."""
    assert found(park, *TREE.proven(one)) == FIRST


@pytest.mark.parametrize("field", Reading._fields)
def test_another_reading(park: Park, field: str) -> None:
    """CC-70: with one field changed it stands under no root."""
    root, one, proof = TREE.proven(EVERY[1])
    value = getattr(one, field)
    changed = value[::-1] if isinstance(value, bytes) else value + 1
    assert found(park, root, one._replace(**{field: changed}), proof) == 0


def test_another_proof_or_root(park: Park) -> None:
    """CC-70: zero, and no revert: it is a question."""
    root, one, proof = TREE.proven(EVERY[0])
    for other in ([], proof[1:], proof[:-1], proof[::-1], [*proof, root]):
        assert found(park, root, one, other) == 0
    assert found(park, bytes(32), one, proof) == 0
    assert found(park, root, EVERY[1], proof) == 0
    unissued = Evidence(*EVERY[:3])
    assert found(park, *unissued.proven(one)) == 0
    assert found(park, one.leaf, one, []) == SECOND


def test_it_does_not_depend_on_the_status(park: Park, credit: Any) -> None:
    """CC-70: the evidence of an invalidated batch can still be read."""
    credit.proposeInvalidation(FIRST, "", {"from": park.reverser})
    park.mine_at(park.now + 7 * 86_400)
    credit.executeInvalidation(FIRST, {"from": park.admin})
    assert found(park, *TREE.proven(EVERY[0])) == FIRST
