"""EIP-712 messages: what is signed, who signed it, and whether a wallet that is a contract agrees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eth_abi.abi import encode as abi_encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from tiny_keccak import keccak256

from ledger.chain.keys.signed import CURVE_ORDER
from ledger.chain.node.client import ChainClient, RpcError

_ERC_1271 = "1626ba7e"
"""Selector of ``isValidSignature(bytes32,bytes)``, which is also what it answers when it is valid."""
SIGNATURE_BYTES = 65
"""Of a key's signature: r, s, and which of two points."""


def digest_of(message: Mapping[str, Any]) -> str:
    """Return the 32 bytes that are signed, as hexadecimal text."""
    encoded = encode_typed_data(full_message=dict(message))
    return "0x" + keccak256(b"\x19" + encoded.version + encoded.header + encoded.body).hex()


def signer_of(message: Mapping[str, Any], signature: bytes) -> str | None:
    """Return the account whose key made a signature, lower-case; None: no key makes such bytes."""
    try:
        encoded = encode_typed_data(full_message=dict(message))
        return str(Account.recover_message(encoded, signature=signature)).lower()
    except Exception:  # whatever the bytes are
        return None


def as_contracts_take_it(signature: bytes) -> bytes:
    """Return a key's signature in the one form that contracts take; other bytes as they are.

    Each signature has a twin with the other half of the curve's order, which anybody can make from it, and some
    signers end with 0 or 1 where Ethereum writes 27 or 28. Both name the same key, and OpenZeppelin's ECDSA
    refuses both.
    """
    if len(signature) != SIGNATURE_BYTES or signature[-1] not in (0, 1, 27, 28):
        return signature
    s, odd = int.from_bytes(signature[32:64]), (signature[-1] - 27) % 27
    if CURVE_ORDER // 2 < s < CURVE_ORDER:
        s, odd = CURVE_ORDER - s, 1 - odd
    return signature[:32] + s.to_bytes(32) + bytes([27 + odd])


def is_valid_of_contract(client: ChainClient, account: str, digest: str, signature: bytes) -> bool:
    """Return whether an account that is a contract takes a signature for its own (ERC-1271)."""
    if client.code(account) == "0x":
        return False
    arguments = abi_encode(["bytes32", "bytes"], [bytes.fromhex(digest[2:]), signature])
    try:
        answer = client.call(account, f"0x{_ERC_1271}{arguments.hex()}", "latest")
    except RpcError:
        return False
    return answer[2:10] == _ERC_1271 and len(answer) == 66
