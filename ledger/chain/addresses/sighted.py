"""Which contracts the events of ours put into an office; ``sightings`` keeps them.

What a contract was compiled from is read from the metadata that the compiler appends to the code. It is
a claim of whoever deployed it, good enough for a name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tiny_keccak import keccak256

from ledger.chain.addresses.book import Deployment
from ledger.chain.contracts.abi import artifact
from ledger.chain.contracts.events import DecodedEvent
from ledger.chain.node.client import ChainClient, RpcError
from ledger.chain.node.wire import Call

_NAMED_BY: Mapping[str, str] = {
    "RoleGranted": "account",
    "DefaultAdminTransferScheduled": "new_admin",
}
"""Events that put an account into an office, and the argument that names it."""
UNKNOWN = "Contract"
_LENGTH_BYTES = 2
"""The compiler ends a code with its metadata and their length."""
_DELEGATION = "0xef0100"
"""How the code of an ordinary account begins that lends itself a contract's (EIP-7702)."""


@dataclass(frozen=True)
class Sighting:
    """A contract in an event of ours."""

    event: DecodedEvent
    address: str
    kind: str
    """Name of the contract of ours that it was compiled from, or ``Contract``."""
    code_hash: str


def find(
    client: ChainClient, deployment: Deployment, events: Iterable[DecodedEvent]
) -> list[Sighting]:
    """Return the contracts that events put into an office; accounts without code are none.

    Parameters
    ----------
    events
        Decoded events of the mirrored contracts.
    """
    named = [
        (event, str(event.args.values[argument]).lower())
        for event in events
        if (argument := _NAMED_BY.get(event.name)) is not None
    ]
    places = list(dict.fromkeys((address, event.log.block_hash) for event, address in named))
    codes = dict(zip(places, _codes(client, places), strict=True))
    found = []
    for event, address in named:
        code = codes[address, event.log.block_hash]
        if code == "0x" or code.startswith(_DELEGATION):
            continue
        kind = _kind(code, list(deployment.contracts))
        code_hash = "0x" + keccak256(bytes.fromhex(code.removeprefix("0x"))).hex()
        found.append(Sighting(event, address, kind, code_hash))
    return found


def _codes(client: ChainClient, places: Sequence[tuple[str, str]]) -> list[str]:
    """Return the code at addresses, each as of a block, by its hash."""
    calls: list[Call] = [
        ("eth_getCode", [address, {"blockHash": block}]) for address, block in places
    ]
    found = zip(places, client.attempt(calls), strict=True)
    return [
        _code_again(client, *place) if isinstance(code, RpcError) else str(code)
        for place, code in found
    ]


def _code_again(client: ChainClient, address: str, block: str) -> str:
    """Return a code that was refused, maybe for a reason that passes; as of now where the node has forgotten that."""
    try:
        return client.code(address, block)
    except RpcError:
        return client.code(address)


def _kind(code: str, names: Iterable[str]) -> str:
    metadata = _metadata(code)
    for name in names:
        if metadata and metadata == _metadata(artifact(name).deployed_bytecode):
            return name
    return UNKNOWN


def _metadata(code: str) -> bytes:
    """Return what the compiler appended to a code; nothing where that is not to be seen."""
    raw = bytes.fromhex(code.removeprefix("0x"))
    size = int.from_bytes(raw[-_LENGTH_BYTES:]) if len(raw) > _LENGTH_BYTES else 0
    found = raw[-size - _LENGTH_BYTES : -_LENGTH_BYTES]
    return found if size and len(found) == size and b"ipfs" in found else b""
