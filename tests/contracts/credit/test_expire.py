"""expire, and what an expiry does before anyone records it; isTransferable."""

from typing import Any

import pytest

from tests.contracts.credit.orders import order, sign
from tests.contracts.park import (
    ACTIVE,
    EXPIRED,
    IN_DISPUTE,
    NO_DETAILS,
    SUSPENDED,
    Park,
    event,
    ledger_records,
    log_head,
    refusal,
)

BATCH, LASTING = (1 << 32) + 1, (1 << 32) + 2
EXPIRY_S = 2_000_000_000
KEY = b"\1" * 32


@pytest.fixture(scope="module", autouse=True)
def batches(park: Park, credit: Any) -> None:
    """A batch that expires and one that does not, half of both in the buffer."""
    credit.setClassBuffer(1, 5000, {"from": park.registrar})
    buyer = {"recipient": park.buyer.address, "amount": 1000}
    park.issue(periodStart=100, periodEnd=200, expiresAt=EXPIRY_S, **buyer)
    park.issue(periodStart=200, periodEnd=300, **buyer)


def moves(park: Park) -> list[tuple[Any, ...]]:
    """Return each way to move units of the batch: function, sender, arguments."""
    credit, buyer = park.credit, park.buyer
    signed = order(park, batchId=BATCH)
    both = [LASTING, BATCH]
    return [
        (credit.safeTransferFrom, buyer, buyer, park.owner, BATCH, 1, b""),
        (credit.safeBatchTransferFrom, buyer, buyer, park.owner, both, [1, 1], b""),
        (credit.retire, buyer, KEY, BATCH, 1, NO_DETAILS),
        (credit.retireBatch, buyer, KEY, both, [1, 1], NO_DETAILS),
        (credit.retireFor, park.stranger, tuple(signed.values()), sign(park, signed)),
        (credit.cancel, buyer, KEY, BATCH, 1, ""),
    ]


def test_it_is_not_yet_time(park: Park, credit: Any) -> None:
    """CC-33: in the second before, and never of a batch without an expiry."""
    park.mine_at(EXPIRY_S - 1)
    error = refusal(credit.expire, BATCH, sender=park.stranger)
    assert error == ("NotExpired", BATCH, EXPIRY_S)
    park.mine_at(2**32)
    error = refusal(credit.expire, LASTING, sender=park.stranger)
    assert error == ("NotExpired", LASTING, 0)
    assert credit.isTransferable(LASTING)


def test_only_an_active_batch_expires(park: Park, credit: Any) -> None:
    """CC-33: not an unknown, a suspended, a disputed or an expired one."""
    assert refusal(credit.expire, 7, sender=park.stranger) == ("UnknownBatch", 7)
    park.mine_at(EXPIRY_S)
    credit.suspend(BATCH, {"from": park.pauser})
    stopped = ("NotActive", BATCH, SUSPENDED)
    assert refusal(credit.expire, BATCH, sender=park.stranger) == stopped
    credit.proposeInvalidation(BATCH, "", {"from": park.reverser})
    stopped = ("NotActive", BATCH, IN_DISPUTE)
    assert refusal(credit.expire, BATCH, sender=park.stranger) == stopped
    credit.reinstate(BATCH, {"from": park.admin})
    credit.expire(BATCH, {"from": park.stranger})
    stopped = ("NotActive", BATCH, EXPIRED)
    assert refusal(credit.expire, BATCH, sender=park.stranger) == stopped
    assert refusal(credit.suspend, BATCH, sender=park.pauser) == stopped
    not_stopped = ("NotStopped", BATCH, EXPIRED)
    assert refusal(credit.reinstate, BATCH, sender=park.admin) == not_stopped


def test_nothing_moves_from_that_second_on(park: Park, credit: Any) -> None:
    """CC-33: in the second before all does; recorded or not, nothing does afterwards."""
    park.mine_at(EXPIRY_S - 1)
    for function, sender, *arguments in moves(park):
        function.call(*arguments, {"from": sender})
    assert credit.isTransferable(BATCH)
    park.mine_at(EXPIRY_S)
    over = ("BatchExpired", BATCH, EXPIRY_S)
    assert [refusal(act, *given, sender=by) for act, by, *given in moves(park)] == [over] * 6
    assert not credit.isTransferable(BATCH)
    assert credit.statusOf(BATCH) == ACTIVE
    credit.expire(BATCH, {"from": park.stranger})
    over = ("NotActive", BATCH, EXPIRED)
    assert [refusal(act, *given, sender=by) for act, by, *given in moves(park)] == [over] * 6


def test_a_reinstated_batch_is_over_all_the_same(park: Park, credit: Any) -> None:
    """CC-33, CC-55: what was suspended in time and reinstated too late does not move."""
    credit.suspend(BATCH, {"from": park.pauser})
    park.mine_at(EXPIRY_S)
    credit.reinstate(BATCH, {"from": park.admin})
    over = ("BatchExpired", BATCH, EXPIRY_S)
    assert refusal(credit.retire, KEY, BATCH, 1, NO_DETAILS, sender=park.buyer) == over
    credit.expire(BATCH, {"from": park.stranger})


def test_expire(park: Park, credit: Any) -> None:
    """CC-33, CC-60: anyone, also during a pause; the event and the status, and nothing else."""
    park.mine_at(EXPIRY_S)
    credit.pause({"from": park.pauser})
    before = (credit.batchOf(BATCH), credit.classOf(1), credit.siteOf(1))
    held = credit.balanceOfBatch([park.buyer, credit], [BATCH] * 2)
    seq = log_head(credit)[0]
    tx = credit.expire(BATCH, {"from": park.stranger})
    assert [each.name for each in tx.events] == ["StatusChanged"]
    assert ledger_records(credit)[-1].values == {
        "batchId": BATCH,
        "oldStatus": ACTIVE,
        "newStatus": EXPIRED,
        "seq": seq + 1,
        "head": log_head(credit)[1],
    }
    assert [credit.statusOf(batch) for batch in (BATCH, LASTING)] == [EXPIRED, ACTIVE]
    assert (credit.batchOf(BATCH), credit.classOf(1), credit.siteOf(1)) == before
    assert credit.balanceOfBatch([park.buyer, credit], [BATCH] * 2) == held == (500, 500)
    assert event(tx, "StatusChanged")["batchId"] == BATCH


# --------------------------------------------------------------------------- isTransferable


def test_is_transferable(park: Park, credit: Any) -> None:
    """CC-34: active and not expired; a pause is no matter of the batch; an unknown one is not."""
    assert credit.isTransferable(LASTING)
    assert not credit.isTransferable(7)
    credit.pause({"from": park.pauser})
    assert credit.isTransferable(LASTING)
    credit.suspend(LASTING, {"from": park.pauser})
    assert not credit.isTransferable(LASTING)
    credit.reinstate(LASTING, {"from": park.admin})
    assert credit.isTransferable(LASTING)
    credit.proposeInvalidation(LASTING, "", {"from": park.reverser})
    assert not credit.isTransferable(LASTING)
    park.mine_at(park.now + 7 * 86_400)
    credit.executeInvalidation(LASTING, {"from": park.admin})
    assert not credit.isTransferable(LASTING)
