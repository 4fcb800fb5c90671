"""The buffer: what an issuance puts aside, and that nobody takes it or adds to it."""

from typing import Any

import pytest

from tests.contracts.park import NO_DETAILS, ZERO, Park, event, ledger_records, refusal

BATCH = (1 << 32) + 1
KEY = b"\1" * 32


@pytest.mark.parametrize(
    ("amount", "bps", "buffered"),
    [
        (1000, 0, 0),
        (1, 5000, 0),  # half a kilogram is none
        (2, 5000, 1),
        (3, 5000, 1),
        (9999, 1, 0),  # a hundredth of a percent of it is not yet one
        (10_000, 1, 1),
        (19_999, 1, 1),
        (123_851, 333, 4124),  # 4124.2383
        (2**40 - 1, 5000, 2**39 - 1),
    ],
)
def test_a_share_is_rounded_down(
    park: Park, credit: Any, amount: int, bps: int, buffered: int
) -> None:
    """CC-20, CC-21: the recipient has the rest, and no kilogram is lost."""
    credit.setClassCap(1, 2**63, {"from": park.registrar})
    credit.setClassBuffer(1, bps, {"from": park.registrar})
    tx = park.issue(amount=amount, evidenceTotal=amount)
    record = ledger_records(credit)[-1]
    assert (record.name, record["buffered"]) == ("Issued", buffered)
    assert credit.balanceOf(credit, BATCH) == buffered
    assert credit.balanceOf(park.owner, BATCH) == amount - buffered
    assert credit.totalSupply(BATCH) == credit.batchOf(BATCH)[0] == amount
    mints = [(each["to"], each["value"]) for each in tx.events["TransferSingle"]]
    expected = [(credit, buffered)] if buffered else []
    assert mints == [*expected, (park.owner, amount - buffered)]


def test_issue_with_a_buffer(park: Park, credit: Any) -> None:
    """CC-20, CC-21: the order of events, the operator, and every balance."""
    credit.setClassBuffer(1, 1000, {"from": park.registrar})
    tx = park.issue(amount=1000, recipient=park.buyer.address)
    assert [each.name for each in tx.events] == ["Issued", "TransferSingle", "TransferSingle"]
    mint = tx.events["TransferSingle"][0]
    assert dict(mint) == {
        "operator": park.issuer,
        "from": ZERO,
        "to": credit,
        "id": BATCH,
        "value": 100,
    }
    balances = {account: credit.balanceOf(account, BATCH) for account in park.accounts}
    assert balances == {**dict.fromkeys(park.accounts, 0), park.buyer: 900}
    assert credit.balanceOf(credit, BATCH) == 100
    assert credit.classOf(1)[1:] == (1000, 1000)


def test_a_class_has_its_own_share(park: Park, credit: Any) -> None:
    """CC-21: that of another class is left alone."""
    credit.setClassBuffer(2, 5000, {"from": park.registrar})
    park.issue(amount=1000)
    assert credit.balanceOf(credit, BATCH) == 0


def test_nobody_takes_from_it(park: Park, credit: Any) -> None:
    """CC-21, CC-53: no role transfers, retires or cancels it."""
    credit.setClassBuffer(1, 1000, {"from": park.registrar})
    park.issue(amount=1000)
    for sender in park.accounts[:10]:
        single = (credit, sender, BATCH, 1, b"")
        denied = ("ERC1155MissingApprovalForAll", sender.address, credit.address)
        assert refusal(credit.safeTransferFrom, *single, sender=sender) == denied
        several = (credit, sender, [BATCH], [1], b"")
        assert refusal(credit.safeBatchTransferFrom, *several, sender=sender) == denied
        if sender != park.owner:
            short = ("ERC1155InsufficientBalance", sender.address, 0, 1, BATCH)
            assert refusal(credit.retire, KEY, BATCH, 1, NO_DETAILS, sender=sender) == short
            assert refusal(credit.cancel, KEY, BATCH, 1, "", sender=sender) == short
    # Its own share cannot be replaced either: there is no deficit.
    error = refusal(credit.replace, KEY, BATCH, BATCH, 1, sender=park.reverser)
    assert error == ("AboveDeficit", 1, 0)


def test_nobody_adds_to_it(park: Park, credit: Any) -> None:
    """CC-21: neither a holder nor an issuance whose recipient would be the contract."""
    claim = park.claim(recipient=credit.address)
    refused = ("ERC1155InvalidReceiver", credit.address)
    assert refusal(credit.issue, *park.issue_arguments(claim), sender=park.issuer) == refused
    park.issue(amount=1000)
    single = (park.owner, credit, BATCH, 1, b"")
    assert refusal(credit.safeTransferFrom, *single, sender=park.owner) == refused
    several = (park.owner, credit, [BATCH], [1], b"")
    assert refusal(credit.safeBatchTransferFrom, *several, sender=park.owner) == refused


def test_a_recipient_cannot_turn_it_round(park: Park, credit: Any) -> None:
    """CC-21, CC-43: the buffer has its share before the recipient is called."""
    credit.setClassBuffer(1, 1000, {"from": park.registrar})
    holder = park.project.RetiringHolder.deploy({"from": park.stranger})
    tx = park.issue(amount=1000, recipient=holder.address)
    assert event(tx, "Retired")["amount"] == 900
    assert credit.balanceOf(credit, BATCH) == 100 == credit.totalSupply(BATCH)
