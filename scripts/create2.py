"""Contracts at addresses that commit to their code and arguments.

The factory at ``0x4e59...956C``, one and the same on every chain, deploys by CREATE2: the address
is a hash of salt, byte code and constructor arguments. Whoever recomputes it knows how the contract
was constructed.
"""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

FACTORY = "0x4e59b44847b379578588920cA78FbF26c0B4956C"


def salt() -> bytes:
    """Return the salt of this version of the project: a new version has new addresses."""
    return keccak(text=f"truetonne {version('truetonne')}")


def init_code(artifact: dict[str, Any], arguments: Sequence[Any]) -> bytes:
    """Return the code that constructs a contract, its arguments at the end."""
    code = bytes.fromhex(artifact["bytecode"].removeprefix("0x"))
    return code + encode([item["type"] for item in _constructor(artifact)], list(arguments))


def named_arguments(artifact: dict[str, Any], arguments: Sequence[Any]) -> dict[str, Any]:
    """Return constructor arguments by name, as a deployment file holds them."""
    names = [item["name"].removesuffix("_") for item in _constructor(artifact)]
    return dict(zip(names, arguments, strict=True))


def _constructor(artifact: dict[str, Any]) -> list[dict[str, Any]]:
    found = [item for item in artifact["abi"] if item["type"] == "constructor"]
    return found[0]["inputs"] if found else []


def address_of(salt: bytes, code: bytes) -> str:
    """Return where the factory puts a contract, in checksum case."""
    digest = keccak(b"\xff" + bytes.fromhex(FACTORY[2:]) + salt + keccak(code))
    return to_checksum_address(digest[12:])


def constructed(request: Any, address: str, code: bytes) -> bytes:
    """Return the code that a constructor leaves at an address, immutables included.

    The node runs the constructor in a call, at that very address and on empty storage, and nothing
    is sent.

    Parameters
    ----------
    request
        A function of a JSON-RPC method and its parameters that returns the result.
    """
    overrides = {address: {"code": "0x" + code.hex(), "state": {}}}
    result: str = request(
        "eth_call", [{"to": address, "gas": hex(15_000_000)}, "latest", overrides]
    )
    return bytes.fromhex(result[2:])
