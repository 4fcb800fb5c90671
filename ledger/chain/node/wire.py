"""The long answers of a node as structs, straight from the bytes: blocks, logs, receipts, traces.

Everything is text as the node wrote it, hashes and quantities alike; whoever holds the answers against each
other compares text, and makes numbers of what is left. Calls that were asked are on their way until
``results`` is called, so that several requests are in flight.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from ledger.chain.node.transports.errors import NodeTrouble

T = TypeVar("T")
Call = tuple[str, Sequence[Any]]
_BEGINS = 16
"""Within so many bytes an answer shows whether it is one or several."""


class _NotAsAsked(Exception):
    """An answer is not what was asked for."""


class WireHeader(msgspec.Struct, rename="camel", gc=False, kw_only=True):
    """A header, with all fields that Ethereum's have; chains and forks lack some."""

    number: str
    hash: str
    parent_hash: str
    timestamp: str
    sha3_uncles: str | None = None
    miner: str | None = None
    state_root: str | None = None
    transactions_root: str | None = None
    receipts_root: str | None = None
    logs_bloom: str | None = None
    difficulty: str | None = None
    gas_limit: str | None = None
    gas_used: str | None = None
    extra_data: str | None = None
    mix_hash: str | None = None
    nonce: str | None = None
    base_fee_per_gas: str | None = None
    withdrawals_root: str | None = None
    blob_gas_used: str | None = None
    excess_blob_gas: str | None = None
    parent_beacon_block_root: str | None = None
    requests_hash: str | None = None


HEADER_FIELDS = (
    *("parent_hash", "sha3_uncles", "miner", "state_root", "transactions_root", "receipts_root"),
    *("logs_bloom", "difficulty", "number", "gas_limit", "gas_used", "timestamp", "extra_data"),
    *("mix_hash", "nonce", "base_fee_per_gas", "withdrawals_root", "blob_gas_used"),
    *("excess_blob_gas", "parent_beacon_block_root", "requests_hash"),
)
"""What the hash of a header covers, in its order."""


class WireBlock(WireHeader, rename="camel", gc=False, kw_only=True):
    """A block with the hashes of its transactions."""

    transactions: list[str]


class WireLog(msgspec.Struct, rename="camel", gc=False):
    """A log."""

    address: str
    topics: tuple[str, ...]
    data: str
    block_number: str
    block_hash: str
    transaction_hash: str
    transaction_index: str
    log_index: str
    removed: bool = False


class WireReceipt(msgspec.Struct, rename="camel", gc=False):
    """A receipt."""

    transaction_hash: str
    transaction_index: str
    block_hash: str
    block_number: str
    sender: str = msgspec.field(name="from")
    status: str
    gas_used: str
    logs: list[WireLog]
    effective_gas_price: str | None = None
    """Some nodes leave it out; then the transaction's own price is it."""
    to: str | None = None
    contract_address: str | None = None
    kind: str | None = msgspec.field(name="type", default=None)
    cumulative_gas_used: str = "0x0"
    logs_bloom: str = "0x"


class WireTransaction(msgspec.Struct, rename="camel", gc=False):
    """A transaction: in a block, or waiting, which has no hash of a block."""

    hash: str
    sender: str = msgspec.field(name="from")
    input: str
    nonce: str
    value: str
    gas: str
    to: str | None = None
    block_hash: str | None = None
    gas_price: str | None = None
    """In a block: what was paid, of whatever type it is."""


class WireFullBlock(WireHeader, rename="camel", gc=False, kw_only=True):
    """A block with its transactions."""

    transactions: list[WireTransaction]


class WireAction(msgspec.Struct, rename="camel", gc=False):
    """What a call of a trace was given; a creation has no input but code."""

    value: str = "0x0"
    input: str | None = None
    init: str | None = None


class WireOutcome(msgspec.Struct, gc=False):
    """What a call of a trace came to."""

    output: str | None = None


class WireTrace(msgspec.Struct, rename="camel", gc=False):
    """One call of a transaction; that with an empty address is the transaction's own."""

    trace_address: list[int]
    action: WireAction
    transaction_hash: str | None = None
    result: WireOutcome | None = None
    error: str | None = None


class Answer(msgspec.Struct, Generic[T], gc=False):
    """One answer of a batch."""

    id: int
    result: T | msgspec.UnsetType | None = msgspec.UNSET
    error: Any = None


def batch_decoder(kind: Any) -> msgspec.json.Decoder[list[Answer[Any]]]:
    """Return a decoder of batches whose results are of one kind."""
    return msgspec.json.Decoder(list[Answer[kind]])


BLOCKS = batch_decoder(WireBlock)
FULL_BLOCKS = batch_decoder(WireFullBlock)
LOGS = batch_decoder(list[WireLog])
RECEIPTS = batch_decoder(WireReceipt)
BLOCK_RECEIPTS = batch_decoder(list[WireReceipt])
TRANSACTIONS = batch_decoder(WireTransaction)
TRACES = batch_decoder(list[WireTrace])


@dataclass(frozen=True)
class Means:
    """What whoever asks does with an answer that is not what was asked for, and with one that is.

    Parameters
    ----------
    explain
        Called with the number of the request, its answer, and why that could not be read; returns what the node meant
        by it.
    again
        Called with the number of a request that was refused or met a trouble, its answer, if it had one, and the error;
        asks in smaller requests or later, and returns what they brought, as one answer. None: it was neither too long
        nor too much.
    taken
        Told of how many calls were answered at once.
    """

    explain: Callable[[int, bytes, str], Exception]
    again: Callable[[int, bytes | None, Exception], bytes | None]
    taken: Callable[[int], None]


class Asked(Generic[T]):
    """Calls of one kind on their way to a node.

    Parameters
    ----------
    sent
        Each request: the ids of its calls, and the answer to come.
    decoder
        Of the answers.
    """

    def __init__(
        self,
        sent: Sequence[tuple[Sequence[int], Future[bytes]]],
        decoder: msgspec.json.Decoder[list[Answer[T]]],
        means: Means,
    ) -> None:
        self._sent = deque(enumerate(sent))
        self._decoder = decoder
        self._means = means
        self.bytes_taken = 0
        """The length of all answers; known after ``results``."""

    def results(self) -> list[T | None]:
        """Wait for the answers, once; return the results in the order of the calls.

        Raises
        ------
        NodeTrouble, RpcError
            As ``ChainClient.request_batch``.
        """
        found: list[T | None] = []
        while self._sent:  # each answer is let go of as it is read
            number, (ids, future) = self._sent[0]
            content: bytes | None = None
            try:
                content = future.result()
                found += self._read(ids, content)
                self._means.taken(len(ids))
            except (NodeTrouble, _NotAsAsked) as error:
                content = self._again(number, content, error)
                found += self._read_again(number, ids, content)
            self._sent.popleft()
            self.bytes_taken += len(content)
        return found

    def _again(self, number: int, content: bytes | None, error: Exception) -> bytes:
        again = self._means.again(number, content, error)
        if again is not None:
            return again
        if content is None:
            raise error
        raise self._means.explain(number, content, str(error)) from error

    def _read_again(self, number: int, ids: Sequence[int], content: bytes) -> list[T | None]:
        try:
            return self._read(ids, content)
        except _NotAsAsked as error:
            raise self._means.explain(number, content, str(error)) from error

    def _read(self, ids: Sequence[int], content: bytes) -> list[T | None]:
        if len(ids) == 1 and content[:_BEGINS].lstrip().startswith(b"{"):
            content = b"[" + content + b"]"
        try:
            answers = self._decoder.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _NotAsAsked(str(error)) from error
        if [answer.id for answer in answers] != ids:
            by_id = {answer.id: answer for answer in answers}
            if not by_id.keys() >= set(ids):
                raise _NotAsAsked
            answers = [by_id[one] for one in ids]
        found: list[T | None] = []
        for answer in answers:
            result = answer.result
            if answer.error is not None or isinstance(result, msgspec.UnsetType):
                raise _NotAsAsked
            found.append(result)
        return found

    def cancel(self) -> None:
        """Let go of what was not sent yet."""
        for _, (_, future) in self._sent:
            future.cancel()
