"""What is asked of a node for a range of blocks: headers and receipts, all on their way at once.

Logs are those of the receipts, which the hash of their block proves (``proven``); where that cannot be, the
node's index of logs is asked as well. A node that hands out all receipts of a block is asked for those and
for hashes alone: a receipt says what its transaction called. One that does not is asked for whole blocks, and
then for the receipts of those that concern us.

Anvil, which keeps traces, goes through the whole block anew for each of its receipts, on one core. Where one
block alone is asked for, at the head, it is asked for them by hash, some at a time: it answers on several.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from indexer.watch import Watch
from ledger.chain.node.client import ChainClient, RpcError
from ledger.chain.node.requests import BATCH_MAX
from ledger.chain.node.wire import (
    BLOCK_RECEIPTS,
    BLOCKS,
    FULL_BLOCKS,
    LOGS,
    RECEIPTS,
    TRACES,
    Asked,
    WireBlock,
    WireFullBlock,
    WireHeader,
    WireLog,
    WireReceipt,
    WireTrace,
    WireTransaction,
)

_BLOCKS_PER_REQUEST = 16
"""Receipts of so many blocks are asked for at once, at most: several answers of some megabytes, not one of many."""
_ANSWER_BYTES_WANTED = 4_000_000
"""Nodes answer fastest with one to four megabytes: of a busy chain's blocks, which are long, fewer are asked for."""
_RECEIPTS_AT_ONCE = 64
"""Receipts of the newest block that Anvil is asked for in one request; several of these are on their way."""
_BLOCK_RECEIPTS = "eth_getBlockReceipts"
_BLOCK_TRACES = "trace_block"
_DONE_WITHOUT = frozenset({_BLOCK_RECEIPTS, _BLOCK_TRACES})


@dataclass
class Node:
    """A node, and what was learnt of it."""

    client: ChainClient
    proven: bool = True
    """Whether receipts are held against the hashes of blocks; else against the node's index of logs."""
    lacks: frozenset[str] = frozenset()
    """Methods that it was asked for and does not have, of those that are done without."""
    block_bytes: int = 0
    """How long the answers for one block of the last range were, all kinds together; 0 before the first.

    Known where the range was read: the process that reads ahead learns it for itself.
    """

    def blocks_at_once(self, most: int) -> int:
        """Return of how many blocks one request asks: ``most``, or fewer where the answer would be too long."""
        return max(1, min(most, _ANSWER_BYTES_WANTED // max(self.block_bytes, 1)))

    @property
    def has_block_receipts(self) -> bool:
        """Whether it hands out all receipts of a block, as far as is known."""
        return _BLOCK_RECEIPTS not in self.lacks

    @property
    def keeps_traces(self) -> bool:
        """Whether it keeps traces by what it calls itself, and was not found to have none."""
        return _BLOCK_TRACES not in self.lacks and self.client.keeps_traces

    def learn(self, error: RpcError) -> bool:
        """Note that a node lacks a method; return whether the same may be asked in another way now."""
        if error.no_such_method and error.method in _DONE_WITHOUT - self.lacks:
            self.lacks |= {error.method}
            return True
        return False


@dataclass
class Block:
    """A block as it was handed out, and what belongs to it."""

    number: str
    hash: str
    parent_hash: str
    timestamp: str
    base_fee: str | None
    hashes: list[str]
    header: WireHeader
    full: list[WireTransaction]
    """Its transactions, when whole blocks were asked for; else none."""


class RangeAsked:
    """The blocks ``first`` to ``last``, asked for.

    Parameters
    ----------
    node
        The node, and in which way it is to be asked.
    """

    def __init__(self, node: Node, watch: Watch, first: int, last: int) -> None:
        self.first, self.last = first, last
        self._node = node
        self._by_block = node.has_block_receipts
        self._by_hash = self._by_block and first == last and node.keeps_traces
        self._blocks: Asked[WireBlock] | None = None
        self._whole: Asked[WireFullBlock] | None = None
        self._receipts: Asked[list[WireReceipt]] | None = None
        self._newest: Asked[WireReceipt] | None = None
        self._single: Asked[WireReceipt] | None = None
        self._traces: Asked[list[WireTrace]] | None = None
        self._logs: Asked[list[WireLog]] | None = None
        self._ask(watch, [hex(number) for number in range(first, last + 1)])

    def _ask(self, watch: Watch, numbers: list[str]) -> None:
        """Send what can be asked before an answer is here; the benchmark's mirror of events asks for less."""
        node, ask = self._node, self._node.client.ask
        calls = [("eth_getBlockByNumber", [number, not self._by_block]) for number in numbers]
        at_once, whole = map(node.blocks_at_once, (_BLOCKS_PER_REQUEST, BATCH_MAX))
        if self._by_block:
            self._blocks = ask(calls, BLOCKS)
            if not self._by_hash:
                receipts = [(_BLOCK_RECEIPTS, [number]) for number in numbers]
                self._receipts = ask(receipts, BLOCK_RECEIPTS, at_once)
            if node.keeps_traces:
                traces = [(_BLOCK_TRACES, [number]) for number in numbers]
                self._traces = ask(traces, TRACES, at_once)
        else:
            self._whole = ask(calls, FULL_BLOCKS, whole)
        if not node.proven:
            self._logs = ask(_log_calls(watch, self.first, self.last), LOGS, 1)

    def blocks(self) -> list[Block | None]:
        """Return the blocks in order; None for one that the node does not have."""
        if self._whole is not None:
            return [
                None
                if raw is None
                else _block(raw, [item.hash.lower() for item in raw.transactions], raw.transactions)
                for raw in self._whole.results()
            ]
        assert self._blocks is not None
        found = [
            None if raw is None else _block(raw, [item.lower() for item in raw.transactions], [])
            for raw in self._blocks.results()
        ]
        if self._by_hash and self._newest is None:
            # Only the block says which they are; where it is not there, there are none to wait for.
            hashes = [each for block in found if block is not None for each in block.hashes]
            calls = [("eth_getTransactionReceipt", [each]) for each in hashes]
            self._newest = self._node.client.ask(calls, RECEIPTS, _RECEIPTS_AT_ONCE, alone=True)
        return found

    def logs(self) -> list[WireLog]:
        """Return the logs of our contracts by the node's index; none where receipts are proven."""
        return (
            []
            if self._logs is None
            else [log for found in self._logs.results() for log in found or ()]
        )

    def block_receipts(self) -> list[list[WireReceipt] | None] | None:
        """Return the receipts of each block, after ``blocks``; None where they are asked for one by one."""
        if self._newest is not None:
            found = self._newest.results()
            known = [receipt for receipt in found if receipt is not None]
            return [known if len(known) == len(found) else None]
        return None if self._receipts is None else self._receipts.results()

    def traces(self) -> list[list[WireTrace]] | None:
        """Return the traces of each block; None where the node keeps none."""
        return None if self._traces is None else [item or [] for item in self._traces.results()]

    def receipts(self, hashes: Sequence[str]) -> list[WireReceipt | None]:
        """Ask for the receipts of transactions, and return them in the order asked."""
        calls = [("eth_getTransactionReceipt", [tx_hash]) for tx_hash in hashes]
        self._single = self._node.client.ask(calls, RECEIPTS, alone=True)
        return self._single.results()

    @property
    def bytes_taken(self) -> int:
        """The length of all answers; known when all were taken."""
        return sum(item.bytes_taken for item in self._all())

    def cancel(self) -> None:
        """Let go of what was not sent yet."""
        for item in self._all():
            item.cancel()

    def _all(self) -> list[Asked[Any]]:
        blocks, receipts = (self._blocks, self._whole), (self._receipts, self._newest, self._single)
        asked = (*blocks, *receipts, self._traces, self._logs)
        return [item for item in asked if item is not None]


def _block(raw: WireHeader, hashes: list[str], full: list[WireTransaction]) -> Block:
    return Block(
        raw.number,
        raw.hash.lower(),
        raw.parent_hash.lower(),
        raw.timestamp,
        raw.base_fee_per_gas,
        hashes,
        raw,
        full,
    )


def _log_calls(watch: Watch, first: int, last: int) -> list[tuple[str, list[Any]]]:
    """Return the queries for the logs of a range, each of as many blocks as receipts are asked for at most."""
    calls: list[tuple[str, list[Any]]] = []
    for start in range(first, last + 1, _BLOCKS_PER_REQUEST):
        end = min(start + _BLOCKS_PER_REQUEST - 1, last)
        query = {
            "address": watch.log_addresses,
            "fromBlock": hex(start),
            "toBlock": hex(end),
        }
        calls.append(("eth_getLogs", [query]))
    return calls
