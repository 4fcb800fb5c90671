"""replace: units of the buffer for what was retired of an invalidated batch."""

from typing import Any

import pytest

from tests.contracts.park import (
    INVALIDATED,
    SUSPENDED,
    ZERO,
    Park,
    event,
    ledger_records,
    log_head,
    missing_role,
    refusal,
)

GOOD, WRONG, EXPIRING, OTHER_CLASS = (
    (1 << 32) + 1,
    (1 << 32) + 2,
    (1 << 32) + 3,
    (2 << 32) + 1,
)
KEY = b"\1" * 32
WEEK_S = 7 * 86_400
EXPIRY_S = 2_000_000_000


@pytest.fixture(scope="module", autouse=True)
def batches(park: Park, credit: Any) -> None:
    """Batches of two classes, half in the buffer; one is invalidated with 120 kg retired."""
    for class_id in (1, 2):
        credit.setClassBuffer(class_id, 5000, {"from": park.registrar})
    park.grant(credit, credit.issuerRole(2), park.issuer)
    park.grant(credit, credit.verifierRole(2), park.verifier)
    park.issue(amount=400, periodStart=100, periodEnd=200)
    park.issue(amount=1000, periodStart=200, periodEnd=300)
    park.issue(amount=400, periodStart=300, periodEnd=400, expiresAt=EXPIRY_S)
    other = {"classId": 2, "projectId": 2, "siteId": 2}
    park.issue(amount=400, periodStart=100, periodEnd=200, **other)
    park.retire(WRONG, 120, park.owner)
    park.retire(GOOD, 30, park.owner)
    park.cancel(GOOD, 10, park.owner)
    credit.proposeInvalidation(WRONG, "", {"from": park.reverser})
    park.mine_at(park.now + WEEK_S)
    credit.executeInvalidation(WRONG, {"from": park.admin})


def refused(
    park: Park, batch: int, replaced: int, amount: int, key: bytes = KEY, sender: Any = None
) -> tuple[Any, ...]:
    arguments = (key, batch, replaced, amount)
    return refusal(park.credit.replace, *arguments, sender=sender or park.reverser)


def replace(park: Park, batch: int, amount: int) -> Any:
    return park.credit.replace(KEY, batch, WRONG, amount, {"from": park.reverser})


def test_only_a_reverser_replaces(park: Park, credit: Any) -> None:
    """CC-58: not the admin, nor anyone else."""
    for sender in (park.admin, park.pauser, park.issuer, park.owner, park.stranger):
        denied = missing_role(sender, credit.REVERSER_ROLE())
        assert refused(park, GOOD, WRONG, 1, sender=sender) == denied


def test_a_key_and_an_amount_are_needed(park: Park) -> None:
    """CC-44, CC-58: as of any retirement."""
    assert refused(park, GOOD, WRONG, 1, key=bytes(32)) == ("EmptyKey",)
    assert refused(park, GOOD, WRONG, 0) == ("ZeroAmount",)


def test_no_more_than_the_deficit(park: Park) -> None:
    """CC-58: in all, and nothing for a batch that has none."""
    assert refused(park, GOOD, WRONG, 121) == ("AboveDeficit", 121, 120)
    assert refused(park, GOOD, GOOD, 1) == ("AboveDeficit", 1, 0)
    assert refused(park, GOOD, EXPIRING, 1) == ("AboveDeficit", 1, 0)
    replace(park, GOOD, 100)
    assert refused(park, GOOD, WRONG, 21) == ("AboveDeficit", 21, 20)
    replace(park, EXPIRING, 20)
    assert refused(park, GOOD, WRONG, 1) == ("AboveDeficit", 1, 0)


def test_no_more_than_the_buffer(park: Park, credit: Any) -> None:
    """CC-58: what holders have of the batch is theirs."""
    most = ("ERC1155InsufficientBalance", credit.address, 200, 201, GOOD)
    assert refused(park, GOOD, WRONG, 201) == most
    assert refused(park, GOOD, WRONG, 2**64 - 1)[:3] == most[:3]


def test_one_class(park: Park) -> None:
    """CC-58: a unit of another class is another thing; an unknown batch is of none."""
    assert refused(park, OTHER_CLASS, WRONG, 1) == ("ClassDiffers", 2, 1)
    assert refused(park, GOOD, 7, 1) == ("ClassDiffers", 1, 0)
    assert refused(park, GOOD, (9 << 32) + 1, 1) == ("ClassDiffers", 1, 0)
    assert refused(park, GOOD, OTHER_CLASS, 1) == ("ClassDiffers", 1, 2)
    assert refused(park, GOOD, (1 << 64) + WRONG, 1) == ("AboveDeficit", 1, 0)


def test_a_batch_that_does_not_move(park: Park, credit: Any) -> None:
    """CC-30, CC-33, CC-58: an unknown, a suspended, an expired one, and the invalidated itself."""
    assert refused(park, 7, WRONG, 1) == ("UnknownBatch", 7)
    assert refused(park, WRONG, WRONG, 1) == ("NotActive", WRONG, INVALIDATED)
    credit.suspend(GOOD, {"from": park.pauser})
    assert refused(park, GOOD, WRONG, 1) == ("NotActive", GOOD, SUSPENDED)
    park.mine_at(EXPIRY_S)
    assert refused(park, EXPIRING, WRONG, 1) == ("BatchExpired", EXPIRING, EXPIRY_S)


def test_replace(park: Park, credit: Any) -> None:
    """CC-41, CC-58, CC-60: event, return value, deficit, every balance and total."""
    before = (credit.batchOf(WRONG), credit.classOf(1), credit.siteOf(1))
    seq = log_head(credit)[0]

    tx = replace(park, GOOD, 70)

    assert tx.return_value == 3 == credit.retirementCount()
    assert [each.name for each in tx.events] == ["TransferSingle", "Replaced"]
    assert event(tx, "TransferSingle") == {
        "operator": park.reverser,
        "from": credit,
        "to": ZERO,
        "id": GOOD,
        "value": 70,
    }
    assert ledger_records(credit)[-1].values == {
        "key": KEY,
        "batchId": GOOD,
        "replacedBatchId": WRONG,
        "retirementId": 3,
        "firstSerial": 31,
        "amount": 70,
        "retiredTotal": 100,
        "deficitLeft": 50,
        "seq": seq + 1,
        "head": log_head(credit)[1],
    }
    assert (credit.deficitOf(WRONG), credit.deficitOf(GOOD)) == (50, 0)
    assert credit.batchOf(GOOD) == (400, 100, 10, 100, 200, 0, 0)
    assert (credit.totalSupply(GOOD), credit.totalSupply(WRONG)) == (290, 880)
    balances = {account: credit.balanceOf(account, GOOD) for account in [*park.accounts, credit]}
    expected = {park.owner: 160, credit: 130}
    assert balances == {**dict.fromkeys(park.accounts, 0), **expected}
    assert (credit.batchOf(WRONG), credit.classOf(1), credit.siteOf(1)) == before
    assert credit.statusOf(WRONG) == INVALIDATED


def test_holders_go_on_where_it_ended(park: Park, credit: Any) -> None:
    """CC-41, CC-43: serials and ids run through retirements and replacements alike."""
    replace(park, GOOD, 70)
    retired = event(park.retire(GOOD, 160, park.owner), "Retired")
    assert (retired["retirementId"], retired["firstSerial"]) == (4, 101)
    replaced = event(replace(park, GOOD, 50), "Replaced")
    assert (replaced["retirementId"], replaced["firstSerial"]) == (5, 261)
    assert credit.deficitOf(WRONG) == 0
    assert credit.balanceOf(credit, GOOD) == 80 == credit.totalSupply(GOOD)


def test_what_was_replaced_can_be_wrong_too(park: Park, credit: Any) -> None:
    """CC-57, CC-58: a batch that replaced another owes all that was retired of it."""
    replace(park, GOOD, 70)
    credit.proposeInvalidation(GOOD, "", {"from": park.reverser})
    park.mine_at(park.now + WEEK_S)
    credit.executeInvalidation(GOOD, {"from": park.admin})
    assert (credit.deficitOf(GOOD), credit.deficitOf(WRONG)) == (100, 50)


def test_a_pause_does_not_stop_it(park: Park, credit: Any) -> None:
    """CC-51: it is a retirement."""
    credit.pause({"from": park.pauser})
    replace(park, GOOD, 1)
