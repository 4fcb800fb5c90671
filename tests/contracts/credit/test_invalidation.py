"""proposeInvalidation, executeInvalidation, and reinstate of what is disputed."""

from typing import Any

import pytest

from tests.contracts.park import (
    ACTIVE,
    EXPIRED,
    IN_DISPUTE,
    INVALIDATED,
    NO_DETAILS,
    SUSPENDED,
    ZERO,
    Park,
    event,
    ledger_records,
    log_head,
    missing_role,
    refusal,
)

BATCH, OTHER = (1 << 32) + 1, (1 << 32) + 2
ADMIN_ROLE = bytes(32)
WEEK_S = 604_800
EXPIRY_S = 2_000_000_000
KEY = b"\1" * 32


@pytest.fixture(scope="module", autouse=True)
def batches(park: Park, credit: Any) -> None:
    """Two batches with a tenth in the buffer; of the first, most is retired or cancelled."""
    credit.setClassBuffer(1, 1000, {"from": park.registrar})
    park.issue(amount=1000, periodStart=100, periodEnd=200, expiresAt=EXPIRY_S)
    park.issue(amount=1000, periodStart=200, periodEnd=300)
    credit.safeTransferFrom(park.owner, park.buyer, BATCH, 300, b"", {"from": park.owner})
    park.retire(BATCH, 250, park.buyer)
    park.cancel(BATCH, 150, park.owner)


def propose(park: Park, batch: int = BATCH, reason: str = "", by: Any = None) -> Any:
    return park.credit.proposeInvalidation(batch, reason, {"from": by or park.reverser})


def execute(park: Park, batch: int = BATCH) -> Any:
    return park.credit.executeInvalidation(batch, {"from": park.admin})


def invalidate(park: Park, batch: int = BATCH) -> Any:
    propose(park, batch)
    park.mine_at(park.now + WEEK_S)
    return execute(park, batch)


def refused(park: Park, batch: int = BATCH, by: Any = None) -> tuple[Any, ...]:
    """Return why an execution is refused."""
    return refusal(park.credit.executeInvalidation, batch, sender=by or park.admin)


# ----------------------------------------------------------------------------- a proposal


def test_only_a_reverser_proposes(park: Park, credit: Any) -> None:
    """CC-56: not the admin, who executes."""
    for sender in (park.admin, park.pauser, park.issuer, park.verifier, park.stranger):
        denied = missing_role(sender, credit.REVERSER_ROLE())
        assert refusal(credit.proposeInvalidation, BATCH, "", sender=sender) == denied


def test_an_unknown_batch(park: Park, credit: Any) -> None:
    """CC-56: there is nothing to invalidate."""
    error = refusal(credit.proposeInvalidation, 7, "", sender=park.reverser)
    assert error == ("UnknownBatch", 7)


def test_a_reason_is_bounded(park: Park, credit: Any) -> None:
    """CC-56: 1,024 bytes are good, one more is not."""
    error = refusal(credit.proposeInvalidation, BATCH, "x" * 1025, sender=park.reverser)
    assert error == ("TextTooLong", 1025, 1024)
    assert event(propose(park, reason="x" * 1024), "InvalidationProposed")["reason"] == "x" * 1024


def test_one_proposal_at_a_time(park: Park, credit: Any) -> None:
    """CC-56: a second would begin the wait anew."""
    propose(park)
    pending = ("InvalidationPending", BATCH, park.reverser.address)
    assert refusal(credit.proposeInvalidation, BATCH, "", sender=park.reverser) == pending
    propose(park, OTHER)


def test_propose_invalidation(park: Park, credit: Any) -> None:
    """CC-56, CC-60: the event, what is pending, the dispute; totals and balances stay."""
    before = (credit.batchOf(BATCH), credit.classOf(1), credit.siteOf(1))
    seq = log_head(credit)[0]

    tx = propose(park, reason="meter T1 was read twice")

    at = tx.timestamp + WEEK_S
    proposed, change = ledger_records(credit)[-2:]
    assert proposed.name == "InvalidationProposed"
    assert {**proposed.values, "head": None} == {
        "batchId": BATCH,
        "proposer": park.reverser.address.lower(),
        "executableAt": at,
        "reason": "meter T1 was read twice",
        "seq": seq + 1,
        "head": None,
    }
    assert change.values == {
        "batchId": BATCH,
        "oldStatus": ACTIVE,
        "newStatus": IN_DISPUTE,
        "seq": seq + 2,
        "head": log_head(credit)[1],
    }
    assert credit.invalidationOf(BATCH) == (park.reverser, at)
    assert credit.invalidationOf(OTHER) == (ZERO, 0)
    assert (credit.statusOf(BATCH), credit.statusOf(OTHER)) == (IN_DISPUTE, ACTIVE)
    assert credit.deficitOf(BATCH) == 0
    assert (credit.batchOf(BATCH), credit.classOf(1), credit.siteOf(1)) == before


def test_stopped_batches_are_disputed_too(park: Park, credit: Any) -> None:
    """CC-56: a suspended and an expired one."""
    credit.suspend(OTHER, {"from": park.pauser})
    park.mine_at(EXPIRY_S)
    credit.expire(BATCH, {"from": park.stranger})
    for batch, old in ((OTHER, SUSPENDED), (BATCH, EXPIRED)):
        change = event(propose(park, batch), "StatusChanged")
        assert (change["oldStatus"], change["newStatus"]) == (old, IN_DISPUTE)


# ---------------------------------------------------------------------------- the execution


def test_only_the_admin_executes(park: Park) -> None:
    """CC-56: not the proposer, nor anyone else."""
    propose(park)
    park.mine_at(park.now + WEEK_S)
    for sender in (park.reverser, park.pauser, park.stranger):
        assert refused(park, by=sender) == missing_role(sender, ADMIN_ROLE)


def test_what_was_not_proposed_is_not_executed(park: Park) -> None:
    """CC-56: neither an unknown batch nor one whose neighbour was proposed."""
    propose(park)
    park.mine_at(park.now + WEEK_S)
    for batch in (7, OTHER):
        assert refused(park, batch) == ("NoInvalidation", batch)


def test_seven_days(park: Park, credit: Any) -> None:
    """CC-56: not in the second before, and in the very second."""
    at = propose(park).timestamp + WEEK_S
    park.mine_at(at - 1)
    assert refused(park) == ("InvalidationTooEarly", BATCH, at)
    park.mine_at(at)
    credit.executeInvalidation.call(BATCH, {"from": park.admin})


def test_two_keys(park: Park, credit: Any) -> None:
    """CC-56: an admin who is a reverser too does not do both; nor a reverser become admin."""
    park.grant(credit, credit.REVERSER_ROLE(), park.admin)
    propose(park, by=park.admin)
    propose(park, OTHER)
    park.mine_at(park.now + WEEK_S)
    assert refused(park) == ("TwoKeysNeeded", park.admin.address)
    credit.beginDefaultAdminTransfer(park.reverser, {"from": park.admin})
    park.mine_at(park.now + 1)
    credit.acceptDefaultAdminTransfer({"from": park.reverser})
    assert refused(park, OTHER, by=park.reverser) == ("TwoKeysNeeded", park.reverser.address)
    credit.executeInvalidation(BATCH, {"from": park.reverser})


def test_a_dropped_proposal(park: Park, credit: Any) -> None:
    """CC-55, CC-56: is gone, with an event; a new one waits all seven days."""
    propose(park)
    park.mine_at(park.now + WEEK_S - 10)
    tx = credit.reinstate(BATCH, {"from": park.admin})
    dropped, change = ledger_records(credit)[-2:]
    assert [each.name for each in tx.events] == ["InvalidationDropped", "StatusChanged"]
    assert dropped["batchId"] == change["batchId"] == BATCH
    assert (change["oldStatus"], change["newStatus"]) == (IN_DISPUTE, ACTIVE)
    assert change["head"] == log_head(credit)[1]
    assert credit.invalidationOf(BATCH) == (ZERO, 0)
    park.mine_at(park.now + 20)
    assert refused(park) == ("NoInvalidation", BATCH)
    park.retire(BATCH, 1, park.owner)
    at = propose(park).timestamp + WEEK_S
    park.mine_at(at - 1)
    assert refused(park) == ("InvalidationTooEarly", BATCH, at)


def test_execute_invalidation(park: Park, credit: Any) -> None:
    """CC-57, CC-60: event with frozen and deficit, status; every balance and total stays."""
    holders = [park.owner, park.buyer, park.market, credit]
    before = (credit.batchOf(BATCH), credit.classOf(1), credit.siteOf(1), credit.retirementCount())
    held = credit.balanceOfBatch(holders, [BATCH] * 4)
    assert held == (450, 50, 0, 100)
    seq = log_head(credit)[0]

    tx = invalidate(park)

    assert [each.name for each in tx.events] == ["Invalidated", "StatusChanged"]
    record, change = ledger_records(credit)[-2:]
    assert {**record.values, "head": None} == {
        "batchId": BATCH,
        "executor": park.admin.address.lower(),
        "frozen": 600,
        "deficit": 250,
        "seq": seq + 3,
        "head": None,
    }
    assert change.values == {
        "batchId": BATCH,
        "oldStatus": IN_DISPUTE,
        "newStatus": INVALIDATED,
        "seq": seq + 4,
        "head": log_head(credit)[1],
    }
    after = (credit.batchOf(BATCH), credit.classOf(1), credit.siteOf(1), credit.retirementCount())
    assert after == before
    assert credit.balanceOfBatch(holders, [BATCH] * 4) == held
    assert credit.totalSupply(BATCH) == 600
    assert (credit.deficitOf(BATCH), credit.deficitOf(OTHER)) == (250, 0)
    assert credit.invalidationOf(BATCH) == (ZERO, 0)
    assert (credit.statusOf(BATCH), credit.statusOf(OTHER)) == (INVALIDATED, ACTIVE)


def test_nothing_of_it_moves_again(park: Park, credit: Any) -> None:
    """CC-30, CC-57: neither by its holders nor by any role, and it is never active again."""
    invalidate(park)
    park.mine_at(EXPIRY_S)
    gone = ("NotActive", BATCH, INVALIDATED)
    move = (park.owner, park.buyer, BATCH, 1, b"")
    assert refusal(credit.safeTransferFrom, *move, sender=park.owner) == gone
    several = (park.owner, park.buyer, [OTHER, BATCH], [1, 1], b"")
    assert refusal(credit.safeBatchTransferFrom, *several, sender=park.owner) == gone
    assert refusal(credit.retire, KEY, BATCH, 1, NO_DETAILS, sender=park.owner) == gone
    assert refusal(credit.cancel, KEY, BATCH, 1, "", sender=park.owner) == gone
    assert refusal(credit.replace, KEY, BATCH, BATCH, 1, sender=park.reverser) == gone
    assert refusal(credit.suspend, BATCH, sender=park.pauser) == gone
    assert refusal(credit.expire, BATCH, sender=park.stranger) == gone
    not_stopped = ("NotStopped", BATCH, INVALIDATED)
    assert refusal(credit.reinstate, BATCH, sender=park.admin) == not_stopped
    again = refusal(credit.proposeInvalidation, BATCH, "", sender=park.reverser)
    assert again == ("AlreadyCancelled", BATCH)
    assert refused(park) == ("NoInvalidation", BATCH)
    assert not credit.isTransferable(BATCH)


def test_its_key_root_and_time_stay_used(park: Park, credit: Any) -> None:
    """CC-13, CC-14, CC-15, CC-57: an invalidation gives nothing back to be issued again."""
    claim = park.claim(periodStart=300, periodEnd=400)
    park.issue(claim)
    invalidate(park, (1 << 32) + 3)
    again = [
        (park.claim(key=claim["key"]), ("KeyUsed", claim["key"])),
        (
            park.claim(evidenceRoot=claim["evidenceRoot"]),
            ("EvidenceRootUsed", claim["evidenceRoot"]),
        ),
        (
            park.claim(periodStart=300, periodEnd=400),
            ("PeriodAlreadyIssued", 1, 300, 400),
        ),
        (
            park.claim(periodStart=300, periodEnd=400, backfillBefore=3),
            ("PeriodNotFree", 1, 300, 300, 300),
        ),
    ]
    for other, reason in again:
        error = refusal(credit.issue, *park.issue_arguments(other), sender=park.issuer)
        assert error == reason


def test_a_pause_holds_nothing_back(park: Park, credit: Any) -> None:
    """CC-51: what is wrong is put right also while transfers rest."""
    credit.pause({"from": park.pauser})
    invalidate(park)
    assert credit.statusOf(BATCH) == INVALIDATED
