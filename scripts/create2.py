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
_GAS = hex(15_000_000)
_NOBODY = "0x" + "c0de" * 10
"""An address where nothing stands."""


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


def constructed(request: Any, address: str, code: bytes, salt: bytes, block: int) -> bytes:
    """Return the code that a constructor leaves at an address, immutables included.

    The node runs the constructor in a call, at that very address and on empty storage, and nothing
    is sent.

    Parameters
    ----------
    request
        A function of a JSON-RPC method and its parameters that returns the result.
    block
        The block that has the contract. A node that knows no calls with other code than the chain's has the
        factory make it once more, in a call on the state of the block before: it must still have that.
    """
    if _takes_overrides(request):
        overrides = {address: {"code": "0x" + code.hex(), "state": {}}}
        call, state = {"to": address, "gas": _GAS}, ["latest", overrides]
    else:
        call, state = (
            {"data": "0x" + _made_again(address, salt + code).hex(), "gas": _GAS},
            [hex(block - 1)],
        )
    result: str = request("eth_call", [call, *state])
    return bytes.fromhex(result[2:])


def _takes_overrides(request: Any) -> bool:
    """Return whether the node runs a call with the code that it is given; some ignore it without a word."""
    code = "0x602a5f5260205ff3"  # returns 42
    try:
        found = request("eth_call", [{"to": _NOBODY}, "latest", {_NOBODY: {"code": code}}])
    except Exception:  # a refusal, whatever the caller makes of it
        return False
    return bool(found == "0x" + (42).to_bytes(32).hex())


def _made_again(address: str, data: bytes) -> bytes:
    """Return code that has the factory make a contract, and returns what then stands at its address."""
    length = b"\x62" + len(data).to_bytes(3)
    place = b"\x73" + bytes.fromhex(address[2:])
    factory = b"\x73" + bytes.fromhex(FACTORY[2:])
    make = b"\x5f\x5f" + length + b"\x5f\x5f" + factory + b"\x5a\xf1\x50"  # CALL
    answer = place + b"\x3b\x80\x5f\x5f" + place + b"\x3c\x5f\xf3"  # EXTCODECOPY, RETURN

    def program(data_at: int) -> bytes:
        # CODECOPY: the data into memory
        return length + b"\x61" + data_at.to_bytes(2) + b"\x5f\x39" + make + answer

    return program(len(program(0))) + data
