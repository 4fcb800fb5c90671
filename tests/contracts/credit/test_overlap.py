"""proveOverlap: what anyone may show, and what is no proof."""

from typing import Any

import pytest

from tests.contracts.credit.evidence import Evidence, Proven, Reading, reading
from tests.contracts.park import (
    ACTIVE,
    EXPIRED,
    IN_DISPUTE,
    INVALIDATED,
    NO_DETAILS,
    SUSPENDED,
    Park,
    event,
    ledger_records,
    log_head,
    refusal,
)

FIRST, SECOND, THIRD = (1 << 32) + 1, (3 << 32) + 1, (3 << 32) + 2
WEEK_S = 7 * 86_400
EXPIRY_S = 2_000_000_000

COUNTED = reading(1000, 2000)
EMPTY = reading(1500, 1500)
LEFT_OUT = [
    reading(1200, 1800, quality=quality) for quality in (0, 99, 200, 301, 401, 500, 1100, 65535)
]
OURS = Evidence(COUNTED, EMPTY, reading(3000, 4000), reading(1000, 2000, meter="T3"), *LEFT_OUT[:3])

SAME = reading(1000, 2000, "457.8")
OTHER_METER = reading(1000, 2000, meter="T2")
APART = [
    reading(2000, 3000),  # begins where ours ends
    reading(0, 1000),  # ends where ours begins
    reading(5000, 6000),
    reading(1500, 1500),  # of no length, inside ours
    reading(1800, 1200),  # ends before it begins
    reading(2**64 - 1, 0),
    reading(0, 0),
]
SHARING = [
    reading(1999, 2001),
    reading(999, 1001),
    reading(1500, 1501),
    reading(0, 2**64 - 1),
    reading(1000, 2000),
    reading(1000, 2000, "-3", quality=199),
    reading(1000, 2000, "0", quality=101),
]
THEIRS = Evidence(SAME, OTHER_METER, *APART, *SHARING, *LEFT_OUT)
ALONE = Evidence(reading(1400, 1600, "12"))


@pytest.fixture(scope="module", autouse=True)
def batches(park: Park, credit: Any) -> None:
    """One batch of the first site and two of another, with readings of one meter in all."""
    credit.registerSite(1, "second turbine", {"from": park.registrar})
    period = {"periodStart": 1000, "periodEnd": 2000, "amount": 1000}
    park.issue(evidenceRoot=OURS.root, **period)
    park.issue(evidenceRoot=THEIRS.root, siteId=3, expiresAt=EXPIRY_S, **period)
    later = {"periodStart": 2000, "periodEnd": 3000, "amount": 1000}
    park.issue(evidenceRoot=ALONE.root, siteId=3, **later)


def refused(park: Park, first: Proven, second: Proven) -> tuple[Any, ...]:
    return refusal(park.credit.proveOverlap, first, second, sender=park.stranger)


def prove(park: Park, first: Proven, second: Proven, by: Any = None) -> Any:
    return park.credit.proveOverlap(first, second, {"from": by or park.stranger})


def invalidate(park: Park, batch: int) -> None:
    park.credit.proposeInvalidation(batch, "", {"from": park.reverser})
    park.mine_at(park.now + WEEK_S)
    park.credit.executeInvalidation(batch, {"from": park.admin})


GOOD = OURS.proven(COUNTED)
ALSO_GOOD = THEIRS.proven(SAME)


# -------------------------------------------------------------------- what is no proof


def test_a_root_that_nobody_issued_on(park: Park) -> None:
    """CC-72: in either place, however good the proof."""
    stranger = Evidence(SAME, COUNTED)
    unknown = ("UnknownEvidenceRoot", stranger.root)
    assert refused(park, stranger.proven(SAME), GOOD) == unknown
    assert refused(park, GOOD, stranger.proven(SAME)) == unknown
    assert refused(park, (bytes(32), SAME, []), GOOD) == ("UnknownEvidenceRoot", bytes(32))


@pytest.mark.parametrize("field", Reading._fields)
def test_a_reading_with_one_field_changed(park: Park, field: str) -> None:
    """CC-72: is not the one under the root, in either place."""
    value = getattr(SAME, field)
    changed = value[:-1] + b"\0" if isinstance(value, bytes) else value + 1
    root, _, proof = ALSO_GOOD
    forged = (root, SAME._replace(**{field: changed}), proof)
    assert refused(park, GOOD, forged) == ("BadReadingProof", THEIRS.root)
    assert refused(park, forged, GOOD) == ("BadReadingProof", THEIRS.root)


def test_a_wrong_proof(park: Park) -> None:
    """CC-72: another leaf's, of another root, one too short, too long, turned or altered."""
    root, one, proof = ALSO_GOOD
    others = [
        THEIRS.proven(OTHER_METER)[2],
        GOOD[2],
        [],
        proof[:-1],
        [*proof, proof[-1]],
        [*proof, root],
        proof[::-1],
        [bytes(32), *proof[1:]],
    ]
    for other in others:
        assert refused(park, GOOD, (root, one, other)) == ("BadReadingProof", root)
        assert refused(park, (root, one, other), GOOD) == ("BadReadingProof", root)


def test_an_inner_node_is_no_leaf(park: Park) -> None:
    """CC-72: a proof that begins further up, and a leaf that was hashed once."""
    from eth_utils.crypto import keccak

    root, one, proof = ALSO_GOOD
    for skipped in range(1, len(proof) + 1):
        assert refused(park, GOOD, (root, one, proof[skipped:])) == ("BadReadingProof", root)
    data = b"".join(
        value if isinstance(value, bytes) else value.to_bytes(32, "big") for value in SAME
    )
    assert keccak(keccak(data)) == SAME.leaf
    once = keccak(data)
    park.issue(evidenceRoot=once, periodStart=2000, periodEnd=3000)
    assert refused(park, GOOD, (once, SAME, [])) == ("BadReadingProof", once)
    # A root that is itself an inner node of a tree: its own children do not pass for a reading.
    node = keccak(b"".join(sorted([SAME.leaf, COUNTED.leaf])))
    park.issue(evidenceRoot=keccak(node + node), periodStart=3000, periodEnd=4000)
    bad = ("BadReadingProof", keccak(node + node))
    assert refused(park, GOOD, (keccak(node + node), SAME, [node])) == bad


def test_one_batch_is_not_two(park: Park) -> None:
    """CC-72: two readings of one batch that share time are the verifier's affair."""
    assert refused(park, GOOD, GOOD) == ("SameBatch", FIRST)
    one, other = THEIRS.proven(SAME), THEIRS.proven(SHARING[0])
    assert refused(park, one, other) == ("SameBatch", SECOND)


def test_another_meter(park: Park) -> None:
    """CC-72: at the same time is no overlap."""
    none = ("NoOverlap", COUNTED.meter, OTHER_METER.meter)
    assert refused(park, GOOD, THEIRS.proven(OTHER_METER)) == none


@pytest.mark.parametrize("apart", APART, ids=lambda each: f"{each.start}-{each.end}")
def test_intervals_that_share_no_second(park: Park, apart: Reading) -> None:
    """CC-72: they touch, lie apart, have no length or end before they begin; in either order."""
    none = ("NoOverlap", COUNTED.meter, COUNTED.meter)
    assert refused(park, GOOD, THEIRS.proven(apart)) == none
    assert refused(park, THEIRS.proven(apart), GOOD) == none


def test_two_moments_are_no_overlap(park: Park) -> None:
    """CC-72: an interval without length shares nothing with itself."""
    none = ("NoOverlap", COUNTED.meter, COUNTED.meter)
    assert refused(park, OURS.proven(EMPTY), THEIRS.proven(EMPTY)) == none


@pytest.mark.parametrize("left_out", LEFT_OUT, ids=lambda each: each.quality)
def test_a_reading_that_does_not_count(park: Park, left_out: Reading) -> None:
    """CC-72: what was left out of a sum is not counted twice; in either place."""
    reason = ("ReadingNotCounted", left_out.quality)
    assert refused(park, GOOD, THEIRS.proven(left_out)) == reason
    assert refused(park, THEIRS.proven(left_out), GOOD) == reason


def test_an_invalidated_batch(park: Park, credit: Any) -> None:
    """CC-72: counts nothing any more, in either place."""
    invalidate(park, SECOND)
    assert credit.statusOf(SECOND) == INVALIDATED
    gone = ("AlreadyCancelled", SECOND)
    assert refused(park, GOOD, ALSO_GOOD) == gone
    assert refused(park, ALSO_GOOD, GOOD) == gone


def test_a_pair_counts_once(park: Park, credit: Any) -> None:
    """CC-72: in either order, by other readings, and also after the admin has decided."""
    prove(park, GOOD, ALSO_GOOD)
    again = [(GOOD, ALSO_GOOD), (ALSO_GOOD, GOOD), (GOOD, THEIRS.proven(SHARING[0]))]
    for batch in (None, FIRST, SECOND):
        if batch:
            credit.reinstate(batch, {"from": park.admin})
        for first, second in again:
            ids = (FIRST, SECOND) if first == GOOD else (SECOND, FIRST)
            assert refused(park, first, second) == ("OverlapAlreadyProven", *ids)


# ------------------------------------------------------------------------- what it does


def test_prove_overlap(park: Park, credit: Any) -> None:
    """CC-71, CC-60: both disputed, what was shown is in the log, and nothing else changed."""
    before = [credit.batchOf(batch) for batch in (FIRST, SECOND, THIRD)]
    assert not credit.isOverlapProven(FIRST, SECOND)
    seq = log_head(credit)[0]

    tx = prove(park, GOOD, ALSO_GOOD)

    assert [each.name for each in tx.events] == ["OverlapProven", *["StatusChanged"] * 2]
    shown, one, other = ledger_records(credit)[-3:]
    assert {**shown.values, "head": None} == {
        "firstBatchId": FIRST,
        "secondBatchId": SECOND,
        "challenger": park.stranger.address.lower(),
        "first": tuple(COUNTED),
        "second": tuple(SAME),
        "seq": seq + 1,
        "head": None,
    }
    for record, batch in ((one, FIRST), (other, SECOND)):
        assert record["batchId"] == batch
        assert (record["oldStatus"], record["newStatus"]) == (ACTIVE, IN_DISPUTE)
    assert log_head(credit) == (seq + 3, other["head"])
    statuses = [credit.statusOf(batch) for batch in (FIRST, SECOND, THIRD)]
    assert statuses == [IN_DISPUTE, IN_DISPUTE, ACTIVE]
    assert [credit.isTransferable(batch) for batch in (FIRST, SECOND, THIRD)] == [0, 0, 1]
    assert credit.isOverlapProven(FIRST, SECOND)
    assert credit.isOverlapProven(SECOND, FIRST)
    assert not credit.isOverlapProven(FIRST, THIRD)
    assert not credit.isOverlapProven(FIRST, FIRST)
    assert [credit.batchOf(batch) for batch in (FIRST, SECOND, THIRD)] == before
    assert credit.balanceOf(park.owner, FIRST) == 1000
    assert credit.deficitOf(FIRST) == 0
    assert credit.invalidationOf(FIRST) == ("0x" + "00" * 20, 0)


@pytest.mark.parametrize("sharing", SHARING, ids=lambda each: f"{each.start}-{each.end}")
def test_a_second_is_enough(park: Park, credit: Any, sharing: Reading) -> None:
    """CC-71: at either end, inside, around, or the whole; whatever the value; in either order."""
    for first, second in ((GOOD, THEIRS.proven(sharing)), (THEIRS.proven(sharing), GOOD)):
        credit.proveOverlap.call(first, second, {"from": park.stranger})
    prove(park, THEIRS.proven(sharing), GOOD)
    assert [credit.statusOf(batch) for batch in (FIRST, SECOND)] == [IN_DISPUTE] * 2


def test_a_tree_of_one_leaf(park: Park, credit: Any) -> None:
    """CC-71: its root is the leaf, and the proof is empty."""
    only = ALONE.proven(ALONE.readings[0])
    assert only[0] == ALONE.readings[0].leaf
    assert only[2] == []
    prove(park, only, GOOD)
    assert [credit.statusOf(batch) for batch in (FIRST, THIRD)] == [IN_DISPUTE] * 2


def test_anyone_at_any_time(park: Park, credit: Any) -> None:
    """CC-71: also the admin, and also during a pause."""
    credit.pause({"from": park.pauser})
    tx = prove(park, GOOD, ALSO_GOOD, by=park.admin)
    assert event(tx, "OverlapProven")["challenger"] == park.admin


def test_a_dispute_stops_everything(park: Park, credit: Any) -> None:
    """CC-30: of both batches, until the admin reinstates one and the other."""
    prove(park, GOOD, ALSO_GOOD)
    for batch in (FIRST, SECOND):
        stopped = ("NotActive", batch, IN_DISPUTE)
        move = (park.owner, park.buyer, batch, 1, b"")
        assert refusal(credit.safeTransferFrom, *move, sender=park.owner) == stopped
        key = b"\1" * 32
        assert refusal(credit.retire, key, batch, 1, NO_DETAILS, sender=park.owner) == stopped
        assert refusal(credit.cancel, key, batch, 1, "", sender=park.owner) == stopped
        assert refusal(credit.suspend, batch, sender=park.pauser) == stopped
        assert refusal(credit.expire, batch, sender=park.stranger) == stopped
    credit.reinstate(FIRST, {"from": park.admin})
    park.retire(FIRST, 1000, park.owner)
    assert credit.statusOf(SECOND) == IN_DISPUTE


def test_stopped_batches_are_disputed_too(park: Park, credit: Any) -> None:
    """CC-71: a suspended and an expired one; what their status was is in the log."""
    credit.suspend(FIRST, {"from": park.pauser})
    park.mine_at(EXPIRY_S)
    credit.expire(SECOND, {"from": park.stranger})
    prove(park, GOOD, ALSO_GOOD)
    changes = ledger_records(credit)[-2:]
    old = [(record["oldStatus"], record["newStatus"]) for record in changes]
    assert old == [(SUSPENDED, IN_DISPUTE), (EXPIRED, IN_DISPUTE)]


def test_a_batch_in_two_overlaps(park: Park, credit: Any) -> None:
    """CC-71: the second one is recorded too, and disputes whom it must."""
    prove(park, GOOD, ALSO_GOOD)
    only = ALONE.proven(ALONE.readings[0])
    tx = prove(park, GOOD, only)
    assert [each.name for each in tx.events] == ["OverlapProven", "StatusChanged"]
    assert event(tx, "StatusChanged")["batchId"] == THIRD
    tx = prove(park, only, ALSO_GOOD)
    assert [each.name for each in tx.events] == ["OverlapProven"]
    assert credit.isOverlapProven(SECOND, THIRD)
