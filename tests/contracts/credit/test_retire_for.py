"""retireFor: retirements that a holder has signed and another one sends."""

from typing import Any

import pytest
from eth_utils.crypto import keccak

from tests.contracts.credit.orders import (
    BUYER,
    DETAIL_FIELDS,
    ORDER_FIELDS,
    STRANGER,
    Message,
    order,
    sign,
)
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

BATCH = (1 << 32) + 1
DETAILS = ("Añjali & Söhne", "year 2024", b"FR", 100, 200, b"\xab" * 32)


@pytest.fixture(scope="module", autouse=True)
def batch(park: Park, credit: Any) -> None:
    """A batch of the owner, of which the buyer holds a part."""
    park.issue(amount=1000, periodStart=100, periodEnd=200)
    credit.safeTransferFrom(park.owner, park.buyer, BATCH, 400, b"", {"from": park.owner})


def refused(park: Park, message: Message, signature: bytes, sender: Any = None) -> tuple[Any, ...]:
    arguments = (tuple(message.values()), signature)
    return refusal(park.credit.retireFor, *arguments, sender=sender or park.stranger)


def send(park: Park, message: Message, signature: bytes | None = None, by: Any = None) -> Any:
    signature = sign(park, message) if signature is None else signature
    return park.credit.retireFor(tuple(message.values()), signature, {"from": by or park.stranger})


# ---------------------------------------------------------------------------- the signature


def test_another_signature(park: Park) -> None:
    """CC-46: of another key, contract or chain, of another domain; a short one; none."""
    message = order(park)
    signatures = [
        sign(park, message, index=STRANGER),
        sign(park, message, verifyingContract=park.stranger.address),
        sign(park, message, chainId=1),
        sign(park, message, name="Truetonne VppSettlement"),
        sign(park, message, version="2"),
        sign(park, message)[:64],
        b"",
    ]
    for signature in signatures:
        assert refused(park, message, signature) == ("BadHolderSignature", park.buyer.address)


@pytest.mark.parametrize("field", [name for name in ORDER_FIELDS if name != "details"])
def test_an_order_is_what_was_signed(park: Park, field: str) -> None:
    """CC-46: with one field changed after signing, the signature is of something else."""
    message = order(park, amount=2)
    other = {
        "holder": park.owner.address,
        "key": bytes(31) + b"\1",
        "batchId": BATCH + 1,
        "amount": 3,
        "nonce": 1,
        "deadline": 2**40 + 1,
    }[field]
    changed = {**message, field: other}
    error = refused(park, changed, sign(park, message))
    if field == "nonce":
        assert error == ("InvalidAccountNonce", park.buyer.address, 0)
    else:
        assert error == ("BadHolderSignature", changed["holder"])


@pytest.mark.parametrize("position", range(6))
def test_details_are_what_was_signed(park: Park, position: int) -> None:
    """CC-46: each of them."""
    message = order(park, details=DETAILS)
    other = ("Acme", "year 2025", b"DE", 99, 201, b"\xac" * 32)
    details = (*DETAILS[:position], other[position], *DETAILS[position + 1 :])
    error = refused(park, {**message, "details": details}, sign(park, message))
    assert error == ("BadHolderSignature", park.buyer.address)


def test_a_digest_is_that_of_eip_712(park: Park, credit: Any) -> None:
    """CC-46: computed by hand from the text of the standard, nested struct included."""
    message = order(park, details=DETAILS, nonce=7)

    def fields(of: dict[str, str]) -> str:
        return ",".join(f"{kind} {name}" for name, kind in of.items())

    inner = f"Retirement({fields(DETAIL_FIELDS)})"
    outer = f"RetirementOrder({fields(ORDER_FIELDS)}){inner}"
    details = keccak(text=inner) + keccak(text=DETAILS[0]) + keccak(text=DETAILS[1])
    details += b"FR".ljust(32, b"\0") + (100).to_bytes(32, "big") + (200).to_bytes(32, "big")
    details += DETAILS[5]
    struct = keccak(text=outer) + int(message["holder"], 16).to_bytes(32, "big") + message["key"]
    struct += BATCH.to_bytes(32, "big") + (1).to_bytes(32, "big") + keccak(details)
    struct += (7).to_bytes(32, "big") + (2**40).to_bytes(32, "big")
    domain = keccak(
        text="EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    )
    domain += keccak(text="Truetonne CarbonCredit") + keccak(text="1")
    domain += (31337).to_bytes(32, "big") + int(credit.address, 16).to_bytes(32, "big")
    expected = keccak(b"\x19\x01" + keccak(domain) + keccak(struct))
    assert bytes(credit.hashRetirement(tuple(message.values()))) == expected


def test_a_deadline(park: Park, credit: Any) -> None:
    """CC-46: good in the last second, refused in the next."""
    deadline = park.now + 1000
    message = order(park, deadline=deadline)
    signature = sign(park, message)
    park.mine_at(deadline)
    arguments = (tuple(message.values()), signature)
    assert credit.retireFor.call(*arguments, {"from": park.stranger}) == 1
    park.mine_at(deadline + 1)
    assert refused(park, message, signature) == ("SignatureExpired", deadline)


def test_a_nonce_is_used_once(park: Park, credit: Any) -> None:
    """CC-46: the next one and no other, of orders and approvals together."""
    message = order(park)
    for nonce in (1, 2**256 - 1):
        early = {**message, "nonce": nonce}
        wrong = ("InvalidAccountNonce", park.buyer.address, 0)
        assert refused(park, early, sign(park, early)) == wrong
    send(park, message)
    assert credit.nonces(park.buyer) == 1
    again = ("InvalidAccountNonce", park.buyer.address, 1)
    assert refused(park, message, sign(park, message)) == again
    send(park, order(park, nonce=1))
    assert credit.nonces(park.buyer) == 2
    assert credit.nonces(park.stranger) == 0
    assert credit.batchOf(BATCH)[:3] == (1000, 2, 0)


def test_the_ledger_signs_nothing(park: Park, credit: Any) -> None:
    """CC-21, CC-46: the buffer is nobody's to retire; nor is zero a holder."""
    for holder in (credit.address, ZERO):
        message = order(park, holder=holder)
        for signature in (sign(park, message), b"", bytes(65)):
            assert refused(park, message, signature) == ("BadHolderSignature", holder)


# ---------------------------------------------------------------------------- the retirement


def test_what_retire_refuses(park: Park, credit: Any) -> None:
    """CC-30, CC-40, CC-44, CC-46: is refused to the holder's signature too."""
    reasons = [
        ({"key": bytes(32)}, ("EmptyKey",)),
        ({"amount": 0}, ("ZeroAmount",)),
        (
            {"amount": 401},
            ("ERC1155InsufficientBalance", park.buyer.address, 400, 401, BATCH),
        ),
        ({"batchId": 7}, ("UnknownBatch", 7)),
        ({"details": ("", "x" * 1025, *NO_DETAILS[2:])}, ("TextTooLong", 1025, 1024)),
        ({"details": (*NO_DETAILS[:2], b"F1", *NO_DETAILS[3:])}, ("BadCountry", b"F1")),
        ({"details": (*NO_DETAILS[:3], 2, 1, bytes(32))}, ("BadPeriod", 2, 1)),
    ]
    for changes, reason in reasons:
        message = order(park, **changes)
        assert refused(park, message, sign(park, message)) == reason
    credit.suspend(BATCH, {"from": park.pauser})
    message = order(park)
    stopped = ("NotActive", BATCH, SUSPENDED)
    assert refused(park, message, sign(park, message)) == stopped


def test_what_was_refused_uses_no_nonce(park: Park, credit: Any) -> None:
    """CC-46: an order that fails can be sent again when it can be done."""
    from brownie.exceptions import VirtualMachineError

    credit.suspend(BATCH, {"from": park.pauser})
    message = order(park)
    with pytest.raises(VirtualMachineError):
        send(park, message)
    assert credit.nonces(park.buyer) == 0
    credit.reinstate(BATCH, {"from": park.admin})
    send(park, message)


def test_retire_for(park: Park, credit: Any) -> None:
    """CC-41, CC-46: the holder's retirement; the sender is in no balance and in no record."""
    park.retire(BATCH, 10, park.owner)
    message = order(park, amount=250, details=DETAILS)
    seq = log_head(credit)[0]

    tx = send(park, message)

    assert tx.return_value == 2 == credit.retirementCount()
    assert [each.name for each in tx.events] == ["TransferSingle", "Retired"]
    assert event(tx, "TransferSingle") == {
        "operator": park.stranger,
        "from": park.buyer,
        "to": ZERO,
        "id": BATCH,
        "value": 250,
    }
    assert ledger_records(credit)[-1].values == {
        "key": message["key"],
        "batchId": BATCH,
        "holder": park.buyer.address.lower(),
        "retirementId": 2,
        "firstSerial": 11,
        "amount": 250,
        "retiredTotal": 260,
        "details": DETAILS,
        "seq": seq + 1,
        "head": log_head(credit)[1],
    }
    assert credit.batchOf(BATCH) == (1000, 260, 0, 100, 200, 0, 0)
    assert credit.totalSupply(BATCH) == 740
    balances = {account: credit.balanceOf(account, BATCH) for account in park.accounts}
    expected = {park.owner: 590, park.buyer: 150}
    assert balances == {**dict.fromkeys(park.accounts, 0), **expected}
    assert not credit.isApprovedForAll(park.buyer, park.stranger)


def test_a_wallet_signs_by_erc_1271(park: Park, credit: Any) -> None:
    """CC-46: a contract that holds credits retires by its owner's signature, and no other."""
    wallet = park.project.SmartWallet.deploy(park.buyer, {"from": park.buyer})
    credit.safeTransferFrom(park.owner, wallet, BATCH, 5, b"", {"from": park.owner})
    message = order(park, holder=wallet.address, amount=5)
    bad = ("BadHolderSignature", wallet.address)
    assert refused(park, message, sign(park, message, index=STRANGER)) == bad
    tx = send(park, message, sign(park, message, index=BUYER))
    assert event(tx, "Retired")["holder"] == wallet
    assert credit.balanceOf(wallet, BATCH) == 0
    assert (credit.nonces(wallet), credit.nonces(park.buyer)) == (1, 0)


def test_the_holder_may_send_it(park: Park, credit: Any) -> None:
    """CC-46: whoever pays the gas."""
    send(park, order(park), by=park.buyer)
    assert credit.balanceOf(park.buyer, BATCH) == 399


def test_a_pause_does_not_stop_it(park: Park, credit: Any) -> None:
    """CC-51: from its first second on."""
    credit.pause({"from": park.pauser})
    send(park, order(park, amount=400))
    assert credit.balanceOf(park.buyer, BATCH) == 0
