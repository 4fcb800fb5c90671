"""Which contracts the events of ours put into an office; ``sightings`` keeps them.

What a contract was compiled from is read from the metadata that the compiler appends to the code. It is
a claim of whoever deployed it, good enough for a name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
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


_Place = tuple[str, int, str]
"""An address, and a block by number and hash."""
_WAYS: tuple[Callable[[_Place], object], ...] = (
    lambda place: {"blockHash": place[2]},
    lambda place: hex(place[1]),
    lambda _: "latest",
)
"""How the state of a block is named, one after the other."""


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
    places = [(address, event.log.block_number, event.log.block_hash) for event, address in named]
    codes = _codes(client, places)
    found = []
    for (event, address), place in zip(named, places, strict=True):
        code = codes[place]
        if code == "0x" or code.startswith(_DELEGATION):
            continue
        kind = _kind(code, list(deployment.contracts))
        code_hash = "0x" + keccak256(bytes.fromhex(code.removeprefix("0x"))).hex()
        found.append(Sighting(event, address, kind, code_hash))
    return found


def _codes(client: ChainClient, places: Iterable[_Place]) -> dict[_Place, str]:
    """Return the code at each place: as of now where the node has forgotten that.

    Each way is asked for all that the one before it was refused for: by its hash, a node may not know a block here
    (EIP-1898), or refuse for a reason that passes. A number may be another block's by then: nothing checks that, as the
    range is not in the chain any more then, and is rewound.

    Raises
    ------
    RpcError
        If the node hands out no code at all.
    """
    found: dict[_Place, str] = {}
    left = list(dict.fromkeys(places))
    for tag_of in _WAYS:
        calls: list[Call] = [("eth_getCode", [place[0], tag_of(place)]) for place in left]
        answers = list(zip(left, client.attempt(calls), strict=True))
        found |= {place: str(code) for place, code in answers if not isinstance(code, RpcError)}
        refused = [(place, code) for place, code in answers if isinstance(code, RpcError)]
        left = [place for place, _ in refused]
        if not left:
            return found
    raise refused[0][1]


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
