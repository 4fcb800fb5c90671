"""safeTransferFrom, safeBatchTransferFrom, and what ERC-1155 says of a contract."""

from typing import Any

import pytest

from tests.contracts.park import ACTIVE, SUSPENDED, ZERO, Park, event, refusal

FIRST, SECOND = (1 << 32) + 1, (1 << 32) + 2


@pytest.fixture(scope="module", autouse=True)
def batches(park: Park) -> None:
    """Two batches of the owner."""
    park.issue(amount=1000, periodStart=100, periodEnd=200)
    park.issue(amount=2000, periodStart=200, periodEnd=300)


def test_no_more_than_the_balance(park: Park, credit: Any) -> None:
    """CC-31: a kilogram more is refused, singly and in a batch."""
    owner, buyer = park.owner, park.buyer
    short = ("ERC1155InsufficientBalance", owner.address, 1000, 1001, FIRST)
    single = (owner, buyer, FIRST, 1001, b"")
    assert refusal(credit.safeTransferFrom, *single, sender=owner) == short
    several = (owner, buyer, [SECOND, FIRST], [1, 1001], b"")
    assert refusal(credit.safeBatchTransferFrom, *several, sender=owner) == short


def test_only_the_holder_or_its_operator(park: Park, credit: Any) -> None:
    """CC-31, CC-53: no role moves the units of others."""
    for sender in (park.admin, park.registrar, park.issuer, park.verifier, park.pauser):
        denied = ("ERC1155MissingApprovalForAll", sender.address, park.owner.address)
        single = (park.owner, park.buyer, FIRST, 1, b"")
        assert refusal(credit.safeTransferFrom, *single, sender=sender) == denied
        several = (park.owner, park.buyer, [FIRST], [1], b"")
        assert refusal(credit.safeBatchTransferFrom, *several, sender=sender) == denied


@pytest.mark.parametrize("amount", [0, 1])
def test_an_unknown_batch(park: Park, credit: Any, amount: int) -> None:
    """CC-30: what was never issued does not move, not even nothing of it."""
    unknown = ("UnknownBatch", 7)
    single = (park.owner, park.buyer, 7, amount, b"")
    assert refusal(credit.safeTransferFrom, *single, sender=park.owner) == unknown
    several = (park.owner, park.buyer, [FIRST, 7], [1, amount], b"")
    assert refusal(credit.safeBatchTransferFrom, *several, sender=park.owner) == unknown


def test_a_suspended_batch(park: Park, credit: Any) -> None:
    """CC-30: it stops a transfer of several batches too, wherever it stands among them."""
    credit.suspend(SECOND, {"from": park.pauser})
    stopped = ("NotActive", SECOND, SUSPENDED)
    single = (park.owner, park.buyer, SECOND, 1, b"")
    assert refusal(credit.safeTransferFrom, *single, sender=park.owner) == stopped
    for ids in ([FIRST, SECOND], [SECOND, FIRST]):
        several = (park.owner, park.buyer, ids, [1, 1], b"")
        assert refusal(credit.safeBatchTransferFrom, *several, sender=park.owner) == stopped
    credit.safeTransferFrom(park.owner, park.buyer, FIRST, 1, b"", {"from": park.owner})


def test_a_pause(park: Park, credit: Any) -> None:
    """CC-51: nothing moves, singly or in a batch."""
    credit.pause({"from": park.pauser})
    single = (park.owner, park.buyer, FIRST, 1, b"")
    assert refusal(credit.safeTransferFrom, *single, sender=park.owner) == ("EnforcedPause",)
    several = (park.owner, park.buyer, [FIRST], [1], b"")
    error = refusal(credit.safeBatchTransferFrom, *several, sender=park.owner)
    assert error == ("EnforcedPause",)


@pytest.mark.parametrize("name", ["DeafHolder", "RefusingHolder"])
def test_a_contract_must_accept(park: Park, credit: Any, name: str) -> None:
    """CC-31: units never go where nobody can move them from."""
    holder = park.project[name].deploy({"from": park.stranger})
    refused = ("ERC1155InvalidReceiver", holder.address)
    single = (park.owner, holder, FIRST, 1, b"")
    assert refusal(credit.safeTransferFrom, *single, sender=park.owner) == refused
    nobody = (park.owner, ZERO, FIRST, 1, b"")
    error = refusal(credit.safeTransferFrom, *nobody, sender=park.owner)
    assert error == ("ERC1155InvalidReceiver", ZERO)


def test_transfer(park: Park, credit: Any) -> None:
    """CC-31: event and every balance; status and totals stay."""
    before = [credit.batchOf(batch) for batch in (FIRST, SECOND)]
    seq = credit.logHead()
    tx = credit.safeTransferFrom(park.owner, park.buyer, FIRST, 300, b"", {"from": park.owner})
    assert [each.name for each in tx.events] == ["TransferSingle"]
    assert event(tx, "TransferSingle") == {
        "operator": park.owner,
        "from": park.owner,
        "to": park.buyer,
        "id": FIRST,
        "value": 300,
    }
    balances = {account: credit.balanceOf(account, FIRST) for account in park.accounts}
    expected = {park.owner: 700, park.buyer: 300}
    assert balances == {**dict.fromkeys(park.accounts, 0), **expected}
    assert [credit.batchOf(batch) for batch in (FIRST, SECOND)] == before
    assert credit.statusOf(FIRST) == ACTIVE
    assert credit.logHead() == seq


def test_batch_transfer(park: Park, credit: Any) -> None:
    """CC-31: event and balances of several batches at once."""
    arguments = (park.owner, park.buyer, [SECOND, FIRST, SECOND], [5, 1000, 6], b"")
    tx = credit.safeBatchTransferFrom(*arguments, {"from": park.owner})
    assert [each.name for each in tx.events] == ["TransferBatch"]
    assert event(tx, "TransferBatch")["ids"] == (SECOND, FIRST, SECOND)
    holders = [park.owner, park.buyer] * 2
    balances = credit.balanceOfBatch(holders, [FIRST, FIRST, SECOND, SECOND])
    assert balances == (0, 1000, 1989, 11)


def test_an_approved_operator(park: Park, credit: Any) -> None:
    """CC-31: as long as it is approved, and for that holder alone."""
    credit.setApprovalForAll(park.market, True, {"from": park.owner})
    arguments = (park.owner, park.buyer, FIRST, 10, b"")
    credit.safeTransferFrom(*arguments, {"from": park.market})
    assert credit.balanceOf(park.buyer, FIRST) == 10
    back = (park.buyer, park.owner, FIRST, 1, b"")
    denied = ("ERC1155MissingApprovalForAll", park.market.address, park.buyer.address)
    assert refusal(credit.safeTransferFrom, *back, sender=park.market) == denied
    credit.setApprovalForAll(park.market, False, {"from": park.owner})
    denied = ("ERC1155MissingApprovalForAll", park.market.address, park.owner.address)
    assert refusal(credit.safeTransferFrom, *arguments, sender=park.market) == denied


def test_a_contract_may_act_on_receipt(park: Park, credit: Any) -> None:
    """CC-31, CC-43: what it retires while it receives is its own already."""
    holder = park.project.RetiringHolder.deploy({"from": park.stranger})
    arguments = (park.owner, holder, FIRST, 40, b"")
    credit.safeTransferFrom(*arguments, {"from": park.owner})
    assert credit.batchOf(FIRST)[:3] == (1000, 40, 0)
    assert credit.balanceOf(park.owner, FIRST) == 960
    assert credit.balanceOf(holder, FIRST) == 0


def test_names(credit: Any) -> None:
    """CC-32: name, symbol, three decimals; what the URI says is tested in test_metadata.py."""
    assert (credit.name(), credit.symbol(), credit.decimals()) == (
        "Truetonne Carbon Credit",
        "TTC",
        3,
    )


def test_interfaces(credit: Any) -> None:
    """CC-32: ERC-165 says ERC-165, ERC-1155, its metadata, access control, and not 0xffffffff."""
    spoken = {
        "ERC-165": "0x01ffc9a7",
        "ERC-1155": "0xd9b67a26",
        "ERC-1155 metadata": "0x0e89341c",
        "access control": "0x7965db0b",
        "access control, default admin rules": "0x31498786",
    }
    assert [credit.supportsInterface(number) for number in spoken.values()] == [True] * 5
    assert not credit.supportsInterface("0xffffffff")
    assert not credit.supportsInterface("0x80ac58cd")  # ERC-721
