"""retire."""

from typing import Any

import pytest

from tests.contracts.park import (
    NO_DETAILS,
    SUSPENDED,
    ZERO,
    Park,
    event,
    ledger_records,
    log_head,
    refusal,
)

BATCH, OTHER = (1 << 32) + 1, (1 << 32) + 2
KEY = b"\x01" * 32
DETAILS = ("Acme Ltd", "year 2024", b"FR", 100, 200, b"\xab" * 32)


@pytest.fixture(scope="module", autouse=True)
def batches(park: Park, credit: Any) -> None:
    """Two batches of the owner; the buyer holds a part of the first."""
    park.issue(amount=1000, periodStart=100, periodEnd=200)
    park.issue(amount=50, periodStart=200, periodEnd=300)
    credit.safeTransferFrom(park.owner, park.buyer, BATCH, 400, b"", {"from": park.owner})


def refused(park: Park, *arguments: Any, sender: Any = None) -> tuple[Any, ...]:
    return refusal(park.credit.retire, *arguments, sender=sender or park.owner)


def test_a_key_is_needed(park: Park) -> None:
    """CC-44: zero names nothing."""
    assert refused(park, bytes(32), BATCH, 1, NO_DETAILS) == ("EmptyKey",)


def test_an_amount_is_needed(park: Park) -> None:
    """CC-40: nothing is no retirement."""
    assert refused(park, KEY, BATCH, 0, NO_DETAILS) == ("ZeroAmount",)


def test_no_more_than_the_balance(park: Park) -> None:
    """CC-40: the holder's own, whatever others hold of the batch."""
    short = ("ERC1155InsufficientBalance", park.owner.address, 600, 601, BATCH)
    assert refused(park, KEY, BATCH, 601, NO_DETAILS) == short
    most = 2**64 - 1
    short = ("ERC1155InsufficientBalance", park.owner.address, 600, most, BATCH)
    assert refused(park, KEY, BATCH, most, NO_DETAILS) == short


def test_nobody_retires_for_others(park: Park, credit: Any) -> None:
    """CC-40, CC-53: not the admin, not the issuer, not an operator that the holder approved."""
    credit.setApprovalForAll(park.market, True, {"from": park.owner})
    for sender in (park.admin, park.issuer, park.pauser, park.market):
        short = ("ERC1155InsufficientBalance", sender.address, 0, 1, BATCH)
        assert refused(park, KEY, BATCH, 1, NO_DETAILS, sender=sender) == short


def test_an_unknown_batch(park: Park) -> None:
    """CC-30: there is nothing to retire."""
    assert refused(park, KEY, 7, 1, NO_DETAILS) == ("UnknownBatch", 7)


def test_a_suspended_batch(park: Park, credit: Any) -> None:
    """CC-30: until the suspension is lifted."""
    credit.suspend(BATCH, {"from": park.pauser})
    assert refused(park, KEY, BATCH, 1, NO_DETAILS) == ("NotActive", BATCH, SUSPENDED)
    credit.reinstate(BATCH, {"from": park.admin})
    park.retire(BATCH, 1, park.owner)


@pytest.mark.parametrize("position", [0, 1])
def test_texts_are_bounded(park: Park, position: int) -> None:
    """CC-44: 1,024 bytes are good, one more is not."""
    details = list(NO_DETAILS)
    details[position] = "x" * 1025
    assert refused(park, KEY, BATCH, 1, details) == ("TextTooLong", 1025, 1024)
    details[position] = "x" * 1024
    tx = park.retire(BATCH, 1, park.owner, details)
    assert event(tx, "Retired")["details"][position] == "x" * 1024


@pytest.mark.parametrize("country", [b"fr", b"F\0", b"\0F", b"F1", b"@Z", b"A[", b"[A", b"Z@"])
def test_a_country_is_two_capitals(park: Park, country: bytes) -> None:
    """CC-44: or none."""
    details = (*NO_DETAILS[:2], country, *NO_DETAILS[3:])
    assert refused(park, KEY, BATCH, 1, details) == ("BadCountry", country)


@pytest.mark.parametrize("country", [b"AA", b"ZZ", b"AZ", b"\0\0"])
def test_a_country_of_two_capitals(park: Park, credit: Any, country: bytes) -> None:
    """CC-44: from A to Z."""
    park.retire(BATCH, 1, park.owner, (*NO_DETAILS[:2], country, *NO_DETAILS[3:]))
    assert ledger_records(credit)[-1]["details"][2] == country


def test_consumption_does_not_end_before_it_starts(park: Park) -> None:
    """CC-44: it may be a moment."""
    details = (*NO_DETAILS[:3], 11, 10, bytes(32))
    assert refused(park, KEY, BATCH, 1, details) == ("BadPeriod", 11, 10)
    park.retire(BATCH, 1, park.owner, (*NO_DETAILS[:3], 10, 10, bytes(32)))


def test_retire(park: Park, credit: Any) -> None:
    """CC-40, CC-41, CC-44: event, return value, totals and every balance."""
    tx = credit.retire(KEY, BATCH, 250, DETAILS, {"from": park.owner})

    assert tx.return_value == 1 == credit.retirementCount()
    assert [each.name for each in tx.events] == ["TransferSingle", "Retired"]
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
        "retirementId": 1,
        "firstSerial": 1,
        "amount": 250,
        "retiredTotal": 250,
        "details": DETAILS,
        "seq": seq,
        "head": head,
    }
    assert credit.batchOf(BATCH) == (1000, 250, 0, 100, 200, 0, 0)
    assert credit.batchOf(OTHER) == (50, 0, 0, 200, 300, 200, 0)
    assert credit.totalSupply(BATCH) == 750
    balances = {account: credit.balanceOf(account, BATCH) for account in park.accounts}
    expected = {park.owner: 350, park.buyer: 400}
    assert balances == {**dict.fromkeys(park.accounts, 0), **expected}


def test_serials_from_the_bottom(park: Park, credit: Any) -> None:
    """CC-41, CC-43: one run after another, whoever retires; ids count over all batches."""
    runs = [(BATCH, 25, park.owner), (BATCH, 400, park.buyer), (OTHER, 50, park.owner)]
    runs += [(BATCH, 1, park.owner), (BATCH, 574, park.owner)]
    found = []
    for batch, amount, holder in runs:
        values = event(park.retire(batch, amount, holder), "Retired")
        found.append((values["retirementId"], values["firstSerial"], values["retiredTotal"]))
    assert found == [(1, 1, 25), (2, 26, 425), (3, 1, 50), (4, 426, 426), (5, 427, 1000)]
    assert credit.batchOf(BATCH)[:3] == (1000, 1000, 0)
    assert credit.totalSupply(BATCH) == 0
    assert refused(park, KEY, BATCH, 1, NO_DETAILS)[0] == "ERC1155InsufficientBalance"


def test_a_key_may_come_twice(park: Park, credit: Any) -> None:
    """CC-44: it is the holder's own name for the retirement, not a claim on anything."""
    for retirement_id in (1, 2):
        tx = credit.retire(KEY, BATCH, 1, NO_DETAILS, {"from": park.owner})
        assert tx.return_value == retirement_id


def test_bytes_that_are_no_text(park: Park, credit: Any) -> None:
    """CC-44, CC-60: what a holder writes is published and sealed as it is."""
    call = credit.retire.encode_input(KEY, BATCH, 1, ("AAAA", "", b"\0\0", 0, 0, bytes(32)))
    broken = call.replace("41414141", "ff00fe80")
    park.owner.transfer(credit, 0, data=broken)
    from brownie import web3

    (log,) = web3.eth.get_logs({"address": credit.address})[1:]
    assert bytes.fromhex("ff00fe80") in bytes(log["data"])
