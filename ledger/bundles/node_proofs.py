"""Asks a node for what it can prove: a block's header, account and storage in its state, events in older blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ledger.bundles.books import Place
from ledger.chain.node.client import ChainClient, RpcError
from ledger.errors import DependencyDown, NotFound, Refused
from ledger.proofs import encoding
from ledger.proofs.tries import Trie, path
from ledger.proofs.verifier import ledger
from ledger.proofs.verifier.checks import HISTORY, HISTORY_BLOCKS
from ledger.proofs.verifier.trie import keccak256

_STEP_BLOCKS = HISTORY_BLOCKS
"""How far one ancestor lies before another at most."""


def block_of(client: ChainClient, block: int | str) -> dict[str, Any]:
    """Return a block with its transactions as the node sends it.

    Parameters
    ----------
    block
        Its number, or a tag of the node's.

    Raises
    ------
    NotFound
        The node has no such block.
    """
    tag = hex(block) if isinstance(block, int) else block
    raw = client.request("eth_getBlockByNumber", [tag, True])
    if raw is None:
        raise NotFound(f"the node has no block {block}")
    return dict(raw)


def header_of(raw: Mapping[str, Any]) -> bytes:
    """Return the header of a block as its hash is made of it.

    Raises
    ------
    Refused
        It has fields that are not known here, so that the hash is another.
    """
    data = encoding.header(raw)
    if hex_of(keccak256(data)) != raw["hash"].lower():
        block, unknown = int(raw["number"], 16), ", ".join(encoding.unknown_fields(raw))
        raise Refused(
            f"the header of block {block} has fields that are not known here ({unknown}): it cannot be proven"
            if unknown
            else f"the header of block {block} has fields that are not known here: it cannot be proven",
            code="header-unknown",
        )
    return data


def _proof(client: ChainClient, address: str, slots: Sequence[int], raw: Mapping[str, Any]) -> Any:
    """Return account and storage proofs in the state of a block."""
    keys = [f"0x{slot:064x}" for slot in slots]
    try:
        return client.in_state("eth_getProof", [address, keys], raw["hash"])
    except RpcError as error:
        raise Refused(
            f"the node has no proof in the state of block {int(raw['number'], 16)}: it no longer keeps "
            "that state, or proves none; ask an archive node, or prove against a newer block",
            code="state-pruned",
        ) from error


def state_of(
    client: ChainClient, address: str, batch_id: int, code: str | None, raw: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the account, the storage of a batch and what is registered, with proofs in the state of a block.

    Parameters
    ----------
    code
        Of project and site; None where no manifest names it, and nothing is said of them.

    Raises
    ------
    Refused
        The node no longer has that state, or proves none.
    """
    slots = dict(ledger.SLOTS) | {
        name: ledger.mapping_slot(name, batch_id) for name in ledger.MAPPINGS
    }
    codes = {} if code is None else {name: ledger.code_slot(name, code) for name in ledger.CODES}
    found = _proof(client, address, [*slots.values(), *codes.values()], raw)
    proven = zip((slots | codes).items(), found["storageProof"], strict=True)
    nodes = {name: _slot_nodes(found, slot, each) for (name, slot), each in proven}
    return {
        "account": _account_nodes(found, address, raw),
        "storage": {name: nodes[name] for name in slots},
        "registered": {name: nodes[name] for name in codes} or None,
    }


def _account_nodes(found: Any, address: str, raw: Mapping[str, Any]) -> list[str]:
    key = keccak256(bytes.fromhex(address[2:]))
    return _path(raw["stateRoot"], key, found["accountProof"])


def _slot_nodes(found: Any, slot: int, each: Any) -> list[str]:
    return _path(found["storageHash"], keccak256(slot.to_bytes(32, "big")), each["proof"])


def _path(root: str, key: bytes, nodes: Sequence[str]) -> list[str]:
    raw = [bytes.fromhex(node[2:]) for node in nodes]
    return [hex_of(node) for node in path(bytes.fromhex(root[2:]), key, raw)]


def events_of(
    client: ChainClient, places: Sequence[Place], trusted: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the events with their proofs, and the ancestors that they stand in.

    Raises
    ------
    DependencyDown
        The node has another block in the place of one of them.
    Refused
        An ancestor cannot be proven from a newer block: the node lacks the state, or the chain the hashes.
    """
    chained = _Ancestors(client, trusted)
    events = []
    for place in places:
        at = chained.place_of(place.block)
        raw = chained.blocks[at]
        hashes = [item["hash"] for item in raw["transactions"]]
        index = hashes.index(place.tx_hash) if place.tx_hash in hashes else -1
        receipts = client.request_batch([("eth_getTransactionReceipt", [one]) for one in hashes])
        if index < 0 or any(receipt is None for receipt in receipts):
            raise DependencyDown(
                f"block {place.block} has no transaction {place.tx_hash} at this node: it is on another "
                "fork than the mirror; run truetonne index run",
                code="node-elsewhere",
            )
        logs = [int(log["logIndex"], 16) for log in receipts[index]["logs"]]
        signed = Trie([encoding.transaction(item) for item in raw["transactions"]])
        outcomes = Trie([encoding.receipt(item) for item in receipts])
        events.append(
            {
                "kind": place.kind,
                "block": at,
                "index": index,
                "log": logs.index(place.log_index),
                "transaction": [hex_of(node) for node in signed.proof(index)],
                "receipt": [hex_of(node) for node in outcomes.proof(index)],
            }
        )
    return {"ancestors": chained.documents, "events": events}


class _Ancestors:
    """The blocks of a bundle: the trusted one, and older ones that hang on it."""

    def __init__(self, client: ChainClient, trusted: Mapping[str, Any]) -> None:
        self._client = client
        self.blocks: list[Mapping[str, Any]] = [trusted]
        self.documents: list[dict[str, Any]] = []

    def place_of(self, number: int) -> int:
        """Return the place of a block, added with those between where it is too far away."""
        numbers = [int(raw["number"], 16) for raw in self.blocks]
        if number in numbers:
            return numbers.index(number)
        anchor = min(
            (at for at, other in enumerate(numbers) if other > number), key=lambda at: numbers[at]
        )
        while numbers[anchor] - number > _STEP_BLOCKS:
            anchor = self._add(anchor, numbers[anchor] - _STEP_BLOCKS)
            numbers.append(int(self.blocks[anchor]["number"], 16))
        return self._add(anchor, number)

    def _add(self, anchor: int, number: int) -> int:
        raw = block_of(self._client, number)
        address = hex_of(HISTORY)
        slot = number % HISTORY_BLOCKS
        found = _proof(self._client, address, [slot], self.blocks[anchor])
        if not int(found["storageProof"][0]["value"], 16):
            raise Refused(
                f"this chain keeps no hash of block {number} for contracts (EIP-2935, of Prague), by which an event of "
                "an older block is proven; local chains of Hardhat keep none",
                code="no-block-hashes",
            )
        self.documents.append(
            {
                "header": hex_of(header_of(raw)),
                "anchor": anchor,
                "account": _account_nodes(found, address, self.blocks[anchor]),
                "slot": _slot_nodes(found, slot, found["storageProof"][0]),
            }
        )
        self.blocks.append(raw)
        return len(self.blocks) - 1


def hex_of(data: bytes) -> str:
    """Return bytes as the text that a node sends: hexadecimal after ``0x``."""
    return "0x" + data.hex()
