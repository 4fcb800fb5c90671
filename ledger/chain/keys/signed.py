"""A transaction as it is asked for, and as its signed bytes say it: the two are compared, field by field.

Whoever signs may be mistaken or lie; what was signed is in the bytes, and nothing else is believed.

The libraries for it are imported where bytes are made or read: who only follows the chain pays for none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tiny_keccak import keccak256

from ledger.chain.fees import Fees
from ledger.chain.node.records import Authorization

_DYNAMIC_FEE = 2
"""EIP-1559's type, the only one that we send."""
_AUTHORIZATION = b"\x05"
"""What an account signs to take on code begins so (EIP-7702)."""
_FIELDS = 12
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Number of the points of secp256k1."""
_ADDRESS_BYTES, _WORD = 20, 32


@dataclass(frozen=True)
class Unsigned:
    """A transaction of ours, in full: type 2, value 0, no access list."""

    chain_id: int
    nonce: int
    to: str
    data: str
    gas: int
    fees: Fees

    def as_mapping(self) -> dict[str, Any]:
        """Return it as signers take it."""
        from eth_utils.address import to_checksum_address

        return {
            "type": _DYNAMIC_FEE,
            "chainId": self.chain_id,
            "nonce": self.nonce,
            "to": to_checksum_address(self.to),
            "value": 0,
            "data": self.data,
            "gas": self.gas,
            "maxFeePerGas": self.fees.max_fee_wei,
            "maxPriorityFeePerGas": self.fees.priority_fee_wei,
        }


def differences(raw: str, asked: Mapping[str, Any], sender: str) -> list[str]:
    """Return in which fields signed bytes are not what was asked for; none when they are.

    Parameters
    ----------
    raw
        The signed transaction as hexadecimal text with ``0x``.
    asked
        What a signer was given, with the names of ``Unsigned.as_mapping``.
    sender
        The account that should have signed.

    Raises
    ------
    ValueError
        If the bytes are no signed transaction of type 2, written in the one way that there is.
    """
    found = read(raw)
    wanted = {
        "chain id": int(asked["chainId"]),
        "nonce": int(asked["nonce"]),
        "to": str(asked["to"]).lower(),
        "data": str(asked["data"]).lower(),
        "value": int(asked["value"]),
        "gas": int(asked["gas"]),
        "highest fee": int(asked["maxFeePerGas"]),
        "tip": int(asked["maxPriorityFeePerGas"]),
        "access list": [],
        "sender": sender.lower(),
    }
    return [
        f"{name} is {_short(found[name])}, not {_short(value)}"
        for name, value in wanted.items()
        if found[name] != value
    ]


def read(raw: str) -> dict[str, Any]:
    """Return the fields of a signed transaction of type 2, and who signed it.

    Raises
    ------
    ValueError
        If it is none, or is not written in the one way that there is.
    """
    import rlp
    from eth_account import Account

    content = bytes.fromhex(raw.removeprefix("0x"))
    if content[:1] != bytes([_DYNAMIC_FEE]):
        raise ValueError("it is no transaction of type 2")
    try:
        fields: Any = rlp.decode(content[1:], strict=True)
    except rlp.exceptions.RLPException as error:
        raise ValueError("it is no list of fields") from error
    if not isinstance(fields, list) or len(fields) != _FIELDS:
        raise ValueError(f"it does not have {_FIELDS} fields")
    chain_id, nonce, tip, highest, gas, to, value, data, access, parity, r, s = fields
    if any(not isinstance(item, bytes) for item in fields[:8] + fields[9:]):
        raise ValueError("a field is a list")
    numbers = (chain_id, nonce, tip, highest, gas, value, parity, r, s)
    if any(item[:1] == b"\0" for item in numbers):
        raise ValueError("a number begins with zeros")
    if len(to) != _ADDRESS_BYTES:
        raise ValueError("it calls no account")
    if int.from_bytes(s) > CURVE_ORDER // 2:
        raise ValueError("its signature is not the low one (EIP-2)")
    try:
        sender = str(Account.recover_transaction(content)).lower()
    except Exception as error:  # whatever the bytes make of it
        raise ValueError(f"its signature names nobody ({type(error).__name__})") from error
    return {
        "chain id": int.from_bytes(chain_id),
        "nonce": int.from_bytes(nonce),
        "tip": int.from_bytes(tip),
        "highest fee": int.from_bytes(highest),
        "gas": int.from_bytes(gas),
        "to": "0x" + to.hex(),
        "value": int.from_bytes(value),
        "data": "0x" + data.hex(),
        "access list": access,
        "sender": sender,
    }


def hash_of(raw: str) -> str:
    """Return the hash of a signed transaction, which follows from its bytes."""
    return "0x" + keccak256(bytes.fromhex(raw.removeprefix("0x"))).hex()


def authority_of(authorization: Authorization) -> str | None:
    """Return the account that signed to take on code; None where the signature names nobody."""
    import rlp

    said = authorization
    fields = [said.chain_id, bytes.fromhex(said.address.removeprefix("0x")), said.nonce]
    signed = _AUTHORIZATION + rlp.encode(fields)
    return signer_of(signed, said.y_parity, said.r, said.s)


def signer_of(signed: bytes, parity: int, r: int, s: int) -> str | None:
    """Return the account that signed the hash of some bytes; None where the signature names nobody.

    Parameters
    ----------
    parity
        Which of two keys signed, 0 or 1.
    s
        In the lower half (EIP-2); the other signature of the same key names nobody.
    """
    from coincurve import PublicKey

    if parity not in (0, 1) or not 0 < r < CURVE_ORDER or not 0 < s <= CURVE_ORDER // 2:
        return None
    signature = r.to_bytes(_WORD) + s.to_bytes(_WORD) + bytes([parity])
    try:
        key = PublicKey.from_signature_and_message(signature, keccak256(signed), hasher=None)
    except ValueError:  # there is no such point
        return None
    return "0x" + keccak256(key.format(compressed=False)[1:])[-_ADDRESS_BYTES:].hex()


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 66 else f"{text[:20]}... ({len(text)} characters)"
