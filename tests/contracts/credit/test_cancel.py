"""cancel."""

from typing import Any

import pytest

from tests.contracts.park import SUSPENDED, ZERO, Park, event, ledger_records, log_head, refusal

BATCH = (1 << 32) + 1
KEY = b"\x01" * 32


@pytest.fixture(scope="module", autouse=True)
def batch(park: Park, credit: Any) -> None:
    """A batch of the owner; the buyer holds a part of it."""
    park.issue(amount=1000, periodStart=100, periodEnd=200)
    credit.safeTransferFrom(park.owner, park.buyer, BATCH, 400, b"", {"from": park.owner})


def refused(park: Park, *arguments: Any, sender: Any = None) -> tuple[Any, ...]:
    return refusal(park.credit.cancel, *arguments, sender=sender or park.owner)


def test_a_key_is_needed(park: Park) -> None:
    """CC-44: zero names nothing."""
    assert refused(park, bytes(32), BATCH, 1, "") == ("EmptyKey",)


def test_an_amount_is_needed(park: Park) -> None:
    """CC-40: nothing is no cancellation."""
    assert refused(park, KEY, BATCH, 0, "") == ("ZeroAmount",)


def test_no_more_than_the_balance(park: Park) -> None:
    """CC-40: the holder's own, whatever others hold of the batch."""
    for amount in (601, 1001, 2**64 - 1):
        short = ("ERC1155InsufficientBalance", park.owner.address, 600, amount, BATCH)
        assert refused(park, KEY, BATCH, amount, "") == short


def test_nobody_cancels_for_others(park: Park, credit: Any) -> None:
    """CC-40, CC-53: not the admin, not the issuer, not an operator that the holder approved."""
    credit.setApprovalForAll(park.market, True, {"from": park.owner})
    for sender in (park.admin, park.issuer, park.pauser, park.market):
        short = ("ERC1155InsufficientBalance", sender.address, 0, 1, BATCH)
        assert refused(park, KEY, BATCH, 1, "", sender=sender) == short


def test_an_unknown_batch(park: Park) -> None:
    """CC-30: there is nothing to cancel."""
    assert refused(park, KEY, 7, 1, "") == ("UnknownBatch", 7)


def test_a_suspended_batch(park: Park, credit: Any) -> None:
    """CC-30: until the suspension is lifted."""
    credit.suspend(BATCH, {"from": park.pauser})
    assert refused(park, KEY, BATCH, 1, "") == ("NotActive", BATCH, SUSPENDED)


def test_a_reason_is_bounded(park: Park) -> None:
    """CC-44: 1,024 bytes are good, one more is not."""
    assert refused(park, KEY, BATCH, 1, "x" * 1025) == ("TextTooLong", 1025, 1024)
    tx = park.cancel(BATCH, 1, park.owner, "x" * 1024)
    assert event(tx, "Cancelled")["reason"] == "x" * 1024


def test_cancel(park: Park, credit: Any) -> None:
    """CC-40, CC-42, CC-44: event, totals and every balance."""
    tx = credit.cancel(KEY, BATCH, 250, "counted twice", {"from": park.owner})

    assert [each.name for each in tx.events] == ["TransferSingle", "Cancelled"]
    assert event(tx, "TransferSingle") == {
        "operator": park.owner,
        "from": park.owner,
        "to": ZERO,
        "id": BATCH,
        "value": 250,
    }
    seq, head = log_head(credit)
    assert ledger_records(credit)[-1].values == {
        "key": KEY,
        "batchId": BATCH,
        "holder": park.owner.address.lower(),
        "firstSerial": 751,
        "amount": 250,
        "cancelledTotal": 250,
        "reason": "counted twice",
        "seq": seq,
        "head": head,
    }
    assert credit.batchOf(BATCH) == (1000, 0, 250, 100, 200, 0, 0)
    assert credit.totalSupply(BATCH) == 750
    assert credit.retirementCount() == 0
    balances = {account: credit.balanceOf(account, BATCH) for account in park.accounts}
    expected = {park.owner: 350, park.buyer: 400}
    assert balances == {**dict.fromkeys(park.accounts, 0), **expected}


def test_serials_from_the_top(park: Park, credit: Any) -> None:
    """CC-41, CC-42, CC-43: cancellations come down and retirements up until they meet."""
    runs = []
    steps = [("cancel", 25), ("retire", 25), ("cancel", 1), ("retire", 500), ("cancel", 49)]
    for verb, amount in steps:
        act = park.retire if verb == "retire" else park.cancel
        tx = act(BATCH, amount, park.owner)
        first = event(tx, "Retired" if verb == "retire" else "Cancelled")["firstSerial"]
        runs.append(range(first, first + amount))
    for verb, amount in (("cancel", 399), ("retire", 1)):
        act = park.retire if verb == "retire" else park.cancel
        tx = act(BATCH, amount, park.buyer)
        first = event(tx, "Retired" if verb == "retire" else "Cancelled")["firstSerial"]
        runs.append(range(first, first + amount))
    assert [(run.start, run.stop - 1) for run in runs] == [
        (976, 1000),
        (1, 25),
        (975, 975),
        (26, 525),
        (926, 974),
        (527, 925),
        (526, 526),
    ]
    assert sorted(serial for run in runs for serial in run) == list(range(1, 1001))
    assert credit.batchOf(BATCH)[:3] == (1000, 526, 474)
