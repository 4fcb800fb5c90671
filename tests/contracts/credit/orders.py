"""What holders sign: EIP-712 messages, put together by eth_account."""

from typing import Any

from eth_account.messages import encode_typed_data

from tests.contracts.park import NO_DETAILS, Park, private_key

DETAIL_FIELDS = {
    "beneficiary": "string",
    "reason": "string",
    "country": "bytes2",
    "consumptionStart": "uint32",
    "consumptionEnd": "uint32",
    "documentHash": "bytes32",
}
ORDER_FIELDS = {
    "holder": "address",
    "key": "bytes32",
    "batchId": "uint256",
    "amount": "uint64",
    "details": "Retirement",
    "nonce": "uint256",
    "deadline": "uint64",
}
APPROVAL_FIELDS = {
    "owner": "address",
    "operator": "address",
    "approved": "bool",
    "nonce": "uint256",
    "deadline": "uint64",
}
BUYER, STRANGER = 5, 9  # Anvil's accounts that sign in these tests

Message = dict[str, Any]


def order(park: Park, **changes: Any) -> Message:
    """Return an order of the buyer to retire one kilogram of the first batch, with changes."""
    plain = {
        "holder": park.buyer.address,
        "key": park.new_key(),
        "batchId": (1 << 32) + 1,
        "amount": 1,
        "details": NO_DETAILS,
        "nonce": 0,
        "deadline": 2**40,
    }
    assert set(changes) <= set(plain)
    return {**plain, **changes}


def approval(park: Park, **changes: Any) -> Message:
    """Return the buyer's approval of the market, with changes."""
    plain = {
        "owner": park.buyer.address,
        "operator": park.market.address,
        "approved": True,
        "nonce": 0,
        "deadline": 2**40,
    }
    assert set(changes) <= set(plain)
    return {**plain, **changes}


def sign(park: Park, message: Message, index: int = BUYER, **domain: Any) -> bytes:
    """Return the signature of an order or an approval by one of Anvil's accounts."""
    if "holder" in message:
        details = dict(zip(DETAIL_FIELDS, message["details"], strict=True))
        types = {"RetirementOrder": ORDER_FIELDS, "Retirement": DETAIL_FIELDS}
        message = {**message, "details": details}
    else:
        types = {"ApprovalForAll": APPROVAL_FIELDS}
    plain = {
        "name": "Truetonne CarbonCredit",
        "version": "1",
        "chainId": 31337,
        "verifyingContract": park.credit.address,
    }
    assert set(domain) <= set(plain)
    listed = {
        name: [{"name": part, "type": kind} for part, kind in fields.items()]
        for name, fields in types.items()
    }
    signable = encode_typed_data({**plain, **domain}, listed, message)
    return bytes(private_key(index).sign_message(signable).signature)
