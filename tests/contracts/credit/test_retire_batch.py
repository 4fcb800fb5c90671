"""retireBatch."""

from typing import Any

import pytest

from tests.contracts.park import (
    NO_DETAILS,
    SUSPENDED,
    ZERO,
    Park,
    ledger_records,
    log_head,
    refusal,
)

FIRST, SECOND, THIRD = ((1 << 32) + ordinal for ordinal in (1, 2, 3))
KEY = b"\1" * 32
DETAILS = ("Acme Ltd", "year 2024", b"FR", 100, 200, b"\xab" * 32)


@pytest.fixture(scope="module", autouse=True)
def batches(park: Park, credit: Any) -> None:
    """Three batches of the owner; the buyer holds a part of the first."""
    for ordinal in range(3):
        park.issue(amount=1000, periodStart=100 + ordinal, periodEnd=101 + ordinal)
    credit.safeTransferFrom(park.owner, park.buyer, FIRST, 400, b"", {"from": park.owner})


def refused(
    park: Park,
    batches: list[int],
    amounts: list[int],
    details: Any = NO_DETAILS,
    key: bytes = KEY,
    sender: Any = None,
) -> tuple[Any, ...]:
    arguments = (key, batches, amounts, details)
    return refusal(park.credit.retireBatch, *arguments, sender=sender or park.owner)


@pytest.mark.parametrize(
    ("batches", "amounts"), [(0, 0), (0, 1), (1, 0), (2, 1), (1, 2), (101, 101)]
)
def test_lists_of_one_length(park: Park, batches: int, amounts: int) -> None:
    """CC-45: 1 to 100, and as many amounts."""
    error = refused(park, [FIRST] * batches, [1] * amounts)
    assert error == ("BadListLength", batches, amounts, 100)


def test_a_hundred_batches(park: Park, credit: Any) -> None:
    """CC-45: is the last good number; a batch may come more than once."""
    arguments = (KEY, [FIRST, SECOND] * 50, [2, 1] * 50, NO_DETAILS)
    tx = credit.retireBatch(*arguments, {"from": park.owner})
    assert tx.return_value == 1
    assert credit.retirementCount() == 100
    assert credit.batchOf(FIRST)[:3] == (1000, 100, 0)
    assert credit.batchOf(SECOND)[:3] == (1000, 50, 0)
    assert tx.gas_used < 16_777_216


def test_what_retire_refuses(park: Park, credit: Any) -> None:
    """CC-30, CC-40, CC-44, CC-45: at any place of the list, and then nothing is retired."""
    credit.suspend(SECOND, {"from": park.pauser})
    short = ("ERC1155InsufficientBalance", park.owner.address, 600, 601, FIRST)
    assert refused(park, [THIRD, FIRST], [1, 601]) == short
    assert refused(park, [FIRST, FIRST], [300, 301])[3] == 301  # the first part is gone by then
    assert refused(park, [THIRD, FIRST], [1, 0]) == ("ZeroAmount",)
    assert refused(park, [THIRD, 7], [1, 1]) == ("UnknownBatch", 7)
    assert refused(park, [THIRD, SECOND], [1, 1]) == ("NotActive", SECOND, SUSPENDED)
    assert refused(park, [THIRD], [1], key=bytes(32)) == ("EmptyKey",)
    details = ("x" * 1025, *NO_DETAILS[1:])
    assert refused(park, [THIRD], [1], details) == ("TextTooLong", 1025, 1024)
    details = (*NO_DETAILS[:2], b"fr", *NO_DETAILS[3:])
    assert refused(park, [THIRD], [1], details) == ("BadCountry", b"fr")
    details = (*NO_DETAILS[:3], 11, 10, bytes(32))
    assert refused(park, [THIRD], [1], details) == ("BadPeriod", 11, 10)
    short = ("ERC1155InsufficientBalance", park.market.address, 0, 1, THIRD)
    credit.setApprovalForAll(park.market, True, {"from": park.owner})
    assert refused(park, [THIRD], [1], sender=park.market) == short


def test_all_or_none(park: Park, credit: Any) -> None:
    """CC-45: what fails in the end undoes what went before."""
    from brownie.exceptions import VirtualMachineError

    head = log_head(credit)
    with pytest.raises(VirtualMachineError):
        arguments = (KEY, [FIRST, SECOND], [600, 1001], NO_DETAILS)
        credit.retireBatch(*arguments, {"from": park.owner})
    assert log_head(credit) == head
    assert credit.retirementCount() == 0
    assert credit.balanceOfBatch([park.owner] * 2, [FIRST, SECOND]) == (600, 1000)


def test_retire_batch(park: Park, credit: Any) -> None:
    """CC-41, CC-43, CC-45: events in order, the first id, every balance and total."""
    park.retire(FIRST, 50, park.buyer)
    seq = log_head(credit)[0]
    arguments = (KEY, [THIRD, FIRST, THIRD], [1000 - 7, 600, 7], DETAILS)

    tx = credit.retireBatch(*arguments, {"from": park.owner})

    assert tx.return_value == 2
    assert [each.name for each in tx.events] == ["TransferSingle", "Retired"] * 3
    for burn in tx.events["TransferSingle"]:
        assert (burn["operator"], burn["from"], burn["to"]) == (park.owner, park.owner, ZERO)
    assert [burn["value"] for burn in tx.events["TransferSingle"]] == [993, 600, 7]
    records = ledger_records(credit)[-3:]
    common = {"key": KEY, "holder": park.owner.address.lower(), "details": DETAILS}
    for place, (batch, retirement, first, amount, total) in enumerate(
        [(THIRD, 2, 1, 993, 993), (FIRST, 3, 51, 600, 650), (THIRD, 4, 994, 7, 1000)]
    ):
        assert {**records[place].values, "head": None} == {
            **common,
            "batchId": batch,
            "retirementId": retirement,
            "firstSerial": first,
            "amount": amount,
            "retiredTotal": total,
            "seq": seq + 1 + place,
            "head": None,
        }
    assert log_head(credit) == (seq + 3, records[-1]["head"])
    assert credit.retirementCount() == 4
    assert [credit.batchOf(batch)[:3] for batch in (FIRST, SECOND, THIRD)] == [
        (1000, 650, 0),
        (1000, 0, 0),
        (1000, 1000, 0),
    ]
    assert [credit.totalSupply(batch) for batch in (FIRST, SECOND, THIRD)] == [350, 1000, 0]
    held = {
        account: credit.balanceOfBatch([account] * 3, [FIRST, SECOND, THIRD])
        for account in park.accounts
    }
    nothing = dict.fromkeys(park.accounts, (0, 0, 0))
    assert held == {**nothing, park.owner: (0, 1000, 0), park.buyer: (350, 0, 0)}


def test_a_pause_does_not_stop_it(park: Park, credit: Any) -> None:
    """CC-51: from its first second on."""
    credit.pause({"from": park.pauser})
    arguments = (KEY, [FIRST, SECOND], [600, 1000], NO_DETAILS)
    credit.retireBatch(*arguments, {"from": park.owner})
    assert credit.totalSupply(SECOND) == 0
