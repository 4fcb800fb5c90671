"""permitForAll: approvals that an owner has signed and another one sends."""

from typing import Any

import pytest
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from tests.contracts.credit.orders import (
    APPROVAL_FIELDS,
    BUYER,
    STRANGER,
    Message,
    approval,
    order,
    sign,
)
from tests.contracts.park import ZERO, Park, event, log_head, refusal

BATCH = (1 << 32) + 1


@pytest.fixture(scope="module", autouse=True)
def batch(park: Park) -> None:
    """A batch of the buyer."""
    park.issue(amount=1000, periodStart=100, periodEnd=200, recipient=park.buyer.address)


def arguments_of(message: Message, signature: bytes) -> tuple[Any, ...]:
    """Return what permitForAll takes; the nonce it knows."""
    return (*(message[name] for name in ("owner", "operator", "approved", "deadline")), signature)


def refused(park: Park, message: Message, signature: bytes) -> tuple[Any, ...]:
    arguments = arguments_of(message, signature)
    return refusal(park.credit.permitForAll, *arguments, sender=park.stranger)


def send(park: Park, message: Message, index: int = BUYER) -> Any:
    arguments = arguments_of(message, sign(park, message, index))
    return park.credit.permitForAll(*arguments, {"from": park.stranger})


def test_another_signature(park: Park) -> None:
    """CC-35: of another key, contract or chain; of an order; a short one; none."""
    message = approval(park)
    signatures = [
        sign(park, message, index=STRANGER),
        sign(park, message, verifyingContract=park.stranger.address),
        sign(park, message, chainId=1),
        sign(park, message, name="Truetonne VppSettlement"),
        sign(park, message, version="2"),
        sign(park, order(park)),
        sign(park, message)[:64],
        b"",
    ]
    for signature in signatures:
        assert refused(park, message, signature) == ("BadHolderSignature", park.buyer.address)


@pytest.mark.parametrize("field", APPROVAL_FIELDS)
def test_an_approval_is_what_was_signed(park: Park, field: str) -> None:
    """CC-35: with one field changed after signing, the signature is of something else."""
    message = approval(park)
    other = {
        "owner": park.owner.address,
        "operator": park.stranger.address,
        "approved": False,
        "nonce": 1,
        "deadline": 2**40 + 1,
    }[field]
    changed = {**message, field: other}
    signed = changed if field == "nonce" else message  # which is not sent
    error = refused(park, changed, sign(park, signed))
    assert error == ("BadHolderSignature", changed["owner"])


def test_a_digest_is_that_of_eip_712(park: Park, credit: Any) -> None:
    """CC-35: computed by hand from the text of the standard."""
    fields = ",".join(f"{kind} {name}" for name, kind in APPROVAL_FIELDS.items())
    struct = keccak(text=f"ApprovalForAll({fields})")
    for word in (int(park.buyer.address, 16), int(park.market.address, 16), 1, 7, 2**40):
        struct += word.to_bytes(32, "big")
    domain = keccak(
        text="EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    )
    domain += keccak(text="Truetonne CarbonCredit") + keccak(text="1")
    domain += (31337).to_bytes(32, "big") + int(credit.address, 16).to_bytes(32, "big")
    expected = keccak(b"\x19\x01" + keccak(domain) + keccak(struct))
    assert bytes(credit.hashApproval(park.buyer, park.market, True, 7, 2**40)) == expected


def test_a_deadline(park: Park, credit: Any) -> None:
    """CC-35: good in the last second, refused in the next."""
    deadline = park.now + 1000
    message = approval(park, deadline=deadline)
    signature = sign(park, message)
    park.mine_at(deadline)
    credit.permitForAll.call(*arguments_of(message, signature), {"from": park.stranger})
    park.mine_at(deadline + 1)
    assert refused(park, message, signature) == ("SignatureExpired", deadline)


def test_a_nonce_is_used_once(park: Park, credit: Any) -> None:
    """CC-35: what was granted and taken back is not granted by the same signature again."""
    send(park, approval(park))
    assert credit.nonces(park.buyer) == 1
    credit.setApprovalForAll(park.market, False, {"from": park.buyer})
    bad = ("BadHolderSignature", park.buyer.address)
    message = approval(park)
    assert refused(park, message, sign(park, message)) == bad
    spent = order(park)  # an order of the same nonce
    error = refusal(
        credit.retireFor, tuple(spent.values()), sign(park, spent), sender=park.stranger
    )
    assert error == ("InvalidAccountNonce", park.buyer.address, 1)


def test_an_operator_is_somebody(park: Park) -> None:
    """CC-35: as in ERC-1155."""
    message = approval(park, operator=ZERO)
    assert refused(park, message, sign(park, message)) == ("ERC1155InvalidOperator", ZERO)


def test_the_ledger_signs_nothing(park: Park, credit: Any) -> None:
    """CC-21, CC-35: the buffer has no operator; nor has zero."""
    for owner in (credit.address, ZERO):
        message = approval(park, owner=owner)
        for signature in (sign(park, message), b"", bytes(65)):
            assert refused(park, message, signature) == ("BadHolderSignature", owner)


@pytest.mark.parametrize("number", range(1, 18))
def test_no_precompile_signs(park: Park, number: int) -> None:
    """CC-35: they answer to any call, some with what they were sent, and none as ERC-1271 wants it."""
    owner = to_checksum_address(f"0x{number:040x}")
    message = approval(park, owner=owner)
    for signature in (sign(park, message), b"", bytes(65)):
        assert refused(park, message, signature) == ("BadHolderSignature", owner)


def test_permit_for_all(park: Park, credit: Any) -> None:
    """CC-31, CC-35: the event of ERC-1155, and that operator alone moves the owner's units."""
    head = log_head(credit)
    tx = send(park, approval(park))
    assert [each.name for each in tx.events] == ["ApprovalForAll"]
    approved = {"account": park.buyer, "operator": park.market, "approved": True}
    assert event(tx, "ApprovalForAll") == approved
    assert log_head(credit) == head
    operators = [each for each in park.accounts if credit.isApprovedForAll(park.buyer, each)]
    assert operators == [park.market]
    assert not credit.isApprovedForAll(park.market, park.buyer)
    arguments = (park.buyer, park.owner, BATCH, 10, b"")
    denied = ("ERC1155MissingApprovalForAll", park.stranger.address, park.buyer.address)
    assert refusal(credit.safeTransferFrom, *arguments, sender=park.stranger) == denied
    credit.safeTransferFrom(*arguments, {"from": park.market})
    assert credit.balanceOfBatch([park.buyer, park.owner], [BATCH] * 2) == (990, 10)


def test_an_approval_is_taken_back(park: Park, credit: Any) -> None:
    """CC-35: by a signature too, during a pause too."""
    credit.pause({"from": park.pauser})
    send(park, approval(park))
    assert credit.isApprovedForAll(park.buyer, park.market)
    tx = send(park, approval(park, approved=False, nonce=1))
    assert event(tx, "ApprovalForAll")["approved"] is False
    assert not credit.isApprovedForAll(park.buyer, park.market)
    assert credit.nonces(park.buyer) == 2


def test_a_wallet_signs_by_erc_1271(park: Park, credit: Any) -> None:
    """CC-35: a contract approves by its owner's signature, and no other."""
    wallet = park.project.SmartWallet.deploy(park.buyer, {"from": park.buyer})
    message = approval(park, owner=wallet.address)
    bad = ("BadHolderSignature", wallet.address)
    assert refused(park, message, sign(park, message, index=STRANGER)) == bad
    send(park, message)
    assert credit.isApprovedForAll(wallet, park.market)
    assert (credit.nonces(wallet), credit.nonces(park.buyer)) == (1, 0)
