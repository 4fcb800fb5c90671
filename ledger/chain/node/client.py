"""A JSON-RPC client for one node: calls with typed answers, over any transport, one clear error.

Only the standard calls are used, so that any EVM node serves. Quantities of the wire are
hexadecimal text; here they are integers. Hashes and addresses are lower-case text with ``0x``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, TypeVar

import msgspec

from ledger.chain.node.records import (
    BlockHeader,
    LogRecord,
    Receipt,
    TransactionInfo,
    block_of,
    header_of,
    included_of,
    log_of,
    receipt_of,
)
from ledger.chain.node.refusals import (
    PRUNED_HISTORY,
    is_limit,
    is_of_method,
    is_pruned,
    is_revert,
    is_unreached,
)
from ledger.chain.node.requests import BATCH_MAX, Requests, encoded
from ledger.chain.node.transports.base import Bounds, Transport
from ledger.chain.node.transports.errors import NodeAnswer
from ledger.chain.node.transports.opening import open_transport
from ledger.chain.node.wire import Answer, Asked, Call, Means
from ledger.errors import DependencyDown, TruetonneError, in_words

T = TypeVar("T")
_QUANTITY = re.compile("0x[0-9a-fA-F]{1,64}")
"""A number of JSON-RPC: no more than the 32 bytes of a word."""
_BYTES = re.compile("(?:0x(?:[0-9a-fA-F]{2})*)?")
"""Bytes as JSON-RPC writes them, or nothing at all."""
_INVALID_PARAMETERS = -32602
_SAID_MAX = 500
_CATCHES_UP = "wait until it has caught up, or set rpc_url to another"


def _in_short(code: int, message: str) -> str:
    """Return what a node says in one line; some gateways put a whole page there, and some nodes nothing."""
    said = " ".join(message.split()) or f"error {code}, without a word"
    return said if len(said) <= _SAID_MAX else said[: _SAID_MAX - 1] + "\u2026"


class RpcError(TruetonneError):
    """The node answered with an error object."""

    exit_code = 3
    default_code = "rpc-error"

    def __init__(self, method: str, rpc_code: int, message: str, data: str | None) -> None:
        said = _in_short(rpc_code, message)
        super().__init__(f"the node refused {method}: {said}", details={"rpc_code": rpc_code})
        self.method = method
        self.rpc_code = rpc_code
        self.rpc_message = said
        self.reverted = is_revert(rpc_code, message, data)
        """Whether the call itself failed, and not the node that was asked to make it."""
        self.no_such_method = is_of_method(method, rpc_code, message)
        """Whether the node does not have the method at all."""
        self.limits = is_limit(rpc_code, message)
        """Whether the node was asked too much."""
        self.pruned = is_pruned(rpc_code, message)
        """Whether the node has dropped what it was asked for."""
        self.unreached = is_unreached(message)
        """Whether the node does not know the block that it was asked about: it may get there."""
        self.data = data
        """Revert data as hexadecimal text, when the node sent any."""


class ChainClient:
    """One node, asked over HTTP, WebSocket or IPC. It may be used from several threads.

    Parameters
    ----------
    rpc_url
        Address of the node's JSON-RPC interface; says over which transport it is asked.
    timeout_s
        Seconds to wait for one answer.

    Raises
    ------
    BadInput
        From every method, when the address is none.
    NodeTrouble
        From every method, when the node does not answer or does not answer in JSON-RPC.
    RpcError
        From every method, when the node answers with an error.
    """

    def __init__(self, rpc_url: str, timeout_s: float = 30.0) -> None:
        self.rpc_url = rpc_url
        self.go_by(open_transport(rpc_url, Bounds(timeout_s=timeout_s)))
        self.place = self.transport.place
        """The address for messages: without secrets."""

    def go_by(self, transport: Transport) -> None:
        """Ask over this transport from now on, such as one that fails on purpose."""
        self.transport = transport
        """The way to the node, for whoever encodes and decodes on his own."""
        self._requests = Requests(transport)

    def close(self) -> None:
        """Close the kept connections."""
        self.transport.close()

    @cached_property
    def keeps_traces(self) -> bool:
        """Whether the node keeps the traces of its transactions, so that they cost it nothing: Anvil does."""
        try:
            version = self.request("web3_clientVersion")
        except RpcError as error:
            if not error.no_such_method:
                raise
            return False  # many nodes are started without the name space `web3`; Anvil is not
        return str(version).lower().startswith("anvil/")

    # ------------------------------------------------------------------ calls

    def request(self, method: str, params: Sequence[Any] = ()) -> Any:
        """Make one call and return its ``result`` as plain JSON values."""
        return self.request_batch([(method, params)])[0]

    def request_batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Make several calls in as few requests as allowed; results are in the calls' order."""
        results: list[Any] = []
        for batch in self._requests.batches(calls, BATCH_MAX):
            results += self._post(batch)
        return results

    def attempt(self, calls: Sequence[Call]) -> list[Any]:
        """Make several calls, and return for each its ``result``, or the ``RpcError`` that refused it."""
        found: list[Any] = []
        for batch in self._requests.batches(calls, BATCH_MAX):
            for body, answer in self._requests.exchanged(batch):
                try:
                    found.append(self._result(body, answer))
                except RpcError as error:
                    # Without where it was raised, which would keep all callers and their ranges until a collection.
                    found.append(error.with_traceback(None))
        return found

    def ask(
        self,
        calls: Sequence[Call],
        decoder: msgspec.json.Decoder[list[Answer[T]]],
        batch_max: int = BATCH_MAX,
        *,
        alone: bool = False,
    ) -> Asked[T]:
        """Send calls that only read, in batches, and return while they are on their way.

        Parameters
        ----------
        decoder
            One of ``ledger.chain.node.wire``: what the results are.
        batch_max
            Calls of one request at most: fewer where the answers are long.
        alone
            Whether the answers are waited for at once: then those that a gateway does not bear together are asked for
            some at a time. Whoever has more on its way asks about fewer blocks (``lengths``).
        """
        bodies, sent = [], []
        batches = list(self._requests.batches(calls, batch_max))
        for batch in batches:
            asked = self._requests.bodies(batch)
            future = self.transport.submit(encoded(asked), True)
            sent.append(([body["id"] for body in asked], future))
            bodies.append(asked)

        def explain(number: int, content: bytes, why: str) -> Exception:
            try:
                self._results(bodies[number], content)
            except (RpcError, NodeAnswer) as error:
                return error
            method = bodies[number][0]["method"]
            said = f" ({why})" if why else ""
            return NodeAnswer(
                f"{self.place} answers {method} with something else{said}; check rpc_url"
            )

        def again(number: int, content: bytes | None, error: Exception) -> bytes | None:
            return self._requests.again(
                batches[number], bodies[number], content, error, alone=alone
            )

        return Asked(sent, decoder, Means(explain, again, self._requests.length.taken))

    def _post(self, calls: Sequence[Call]) -> list[Any]:
        return [self._result(body, answer) for body, answer in self._requests.exchanged(calls)]

    def _results(self, bodies: Sequence[dict[str, Any]], content: bytes) -> list[Any]:
        answers = self._requests.answers(bodies, content)
        return [self._result(body, answer) for body, answer in zip(bodies, answers, strict=True)]

    def _result(self, body: dict[str, Any], answer: dict[str, Any]) -> Any:
        error = answer.get("error")
        if error is None:
            if "result" not in answer:
                raise self._requests.no_rpc()
            return answer["result"]
        if not isinstance(error, dict):  # a gateway's own words
            raise RpcError(str(body["method"]), 0, str(error), None)
        data = error.get("data")
        if isinstance(data, dict):  # some nodes wrap it
            data = data.get("data")
        code = error.get("code")
        raise RpcError(
            str(body["method"]),
            code if isinstance(code, int) else 0,
            str(error.get("message") or ""),
            data if isinstance(data, str) and data.startswith("0x") else None,
        )

    def _quantity(self, method: str, params: Sequence[Any] = ()) -> int:
        return self._number(method, self.request(method, params))

    def _number(self, method: str, found: Any) -> int:
        if isinstance(found, str) and _QUANTITY.fullmatch(found):
            return int(found, 16)
        raise NodeAnswer(
            f"{self.place} answers {method} with {str(found)[:40]!r}, which is no number; check rpc_url"
        )

    def _read(
        self, raws: Sequence[Any], parse: Callable[[Any], T | None], what: str
    ) -> list[T | None]:
        """Make values of plain JSON; None stays None, for what the node does not have."""
        try:
            return [None if raw is None else parse(raw) for raw in raws]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise NodeAnswer(
                f"{self.place} was asked for {what} and answers with something else ({in_words(error)}); check rpc_url"
            ) from error

    def _require_block(self, asked: int | str, header: BlockHeader | None) -> None:
        """Require that a block is the one that was asked for, by number or hash."""
        if header is None or asked == header.number or str(asked).lower() == header.hash:
            return
        if isinstance(asked, int) or asked.startswith("0x"):
            raise NodeAnswer(
                f"{self.place} was asked for block {asked} and answers with block {header.number}; set rpc_url to "
                "another"
            )

    def _logs(self, found: Any) -> list[LogRecord]:
        logs = self._read(found if isinstance(found, list) else [found], log_of, "logs")
        if found is None or None in logs:
            raise NodeAnswer(f"{self.place} was asked for logs and answers with nothing")
        return [log for log in logs if log is not None]

    # ------------------------------------------------------------------ views

    def chain_id(self) -> int:
        """Return the chain's id."""
        return self._quantity("eth_chainId")

    def identity(self) -> tuple[int, BlockHeader | None]:
        """Return the chain's id and its first block, in one request; None where the node has dropped it."""
        chain_id, first = self.attempt([("eth_chainId", []), _block_call(0, False)])
        if isinstance(chain_id, RpcError):
            raise chain_id
        if isinstance(first, RpcError):
            if first.rpc_code != PRUNED_HISTORY:
                raise first
            first = None
        header = self._read([first], header_of, "headers")[0]
        self._require_block(0, header)
        return self._number("eth_chainId", chain_id), header

    def block_number(self) -> int:
        """Return the number of the latest block."""
        return self._quantity("eth_blockNumber")

    def block(self, block: int | str) -> BlockHeader | None:
        """Return a header by number, hash or tag; None where the node has no such block."""
        return self.blocks([block])[0]

    def head(self) -> BlockHeader:
        """Return the latest block.

        Raises
        ------
        DependencyDown
            If the node has none.
        """
        found = self.block("latest")
        if found is None:
            raise DependencyDown(f"the node at {self.place} has no latest block; {_CATCHES_UP}")
        return found

    def block_there(self, number: int) -> BlockHeader:
        """Return the header of a block that the chain has, by the books.

        Raises
        ------
        DependencyDown
            If the node does not have it.
        """
        found = self.block(number)
        if found is None:
            raise self.without_block(number)
        return found

    def without_block(self, number: int) -> DependencyDown:
        """Return the error of a node that lacks a block of its chain."""
        return DependencyDown(
            f"the node at {self.place} has no block {number}; {_CATCHES_UP}", code="node-behind"
        )

    def blocks_there(self, numbers: Sequence[int]) -> list[BlockHeader]:
        """Return the headers of blocks that the chain has, by the books; see ``block_there``."""
        found = self.blocks(numbers)
        return [
            self.block_there(number) if header is None else header
            for number, header in zip(numbers, found, strict=True)
        ]

    def blocks(self, blocks: Sequence[int | str]) -> list[BlockHeader | None]:
        """Return several headers in the order asked."""
        raws = self.request_batch([_block_call(block, False) for block in blocks])
        found = self._read(raws, header_of, "headers")
        for block, header in zip(blocks, found, strict=True):
            self._require_block(block, header)
        return found

    def block_with_transactions(
        self, number: int
    ) -> tuple[BlockHeader, list[TransactionInfo]] | None:
        """Return a header and all transactions of its block; None where there is no such block."""
        return self.blocks_with_transactions([number])[0]

    def blocks_with_transactions(
        self, numbers: Sequence[int]
    ) -> list[tuple[BlockHeader, list[TransactionInfo]] | None]:
        """Return several blocks with their transactions, in the order asked."""
        raws = self.request_batch([_block_call(number, True) for number in numbers])
        found = self._read(raws, block_of, "blocks")
        for number, block in zip(numbers, found, strict=True):
            self._require_block(number, block and block[0])
        return found

    def logs(self, addresses: Sequence[str], from_block: int, to_block: int) -> list[LogRecord]:
        """Return the logs of the addresses in blocks ``from_block`` to ``to_block``, both included.

        A node that lags behind others of its address has fewer. So it is asked for the last block in the same request.

        Raises
        ------
        DependencyDown
            If it has none.
        """
        query = {
            "address": list(addresses),
            "fromBlock": hex(from_block),
            "toBlock": hex(to_block),
        }
        found, last = self.request_batch([("eth_getLogs", [query]), _block_call(to_block, False)])
        if last is None:
            raise self.without_block(to_block)
        logs = self._logs(found)
        asked = set(map(str.lower, addresses))
        for log in logs:
            if log.address not in asked or not from_block <= log.block_number <= to_block:
                raise NodeAnswer(
                    f"{self.place} was asked for logs of blocks {from_block} to {to_block} and answers with one of "
                    f"{log.address} in block {log.block_number}; set rpc_url to another"
                )
        return logs

    def receipt(self, tx_hash: str) -> Receipt | None:
        """Return the receipt of a transaction; None while it is in no block."""
        return self.receipts([tx_hash])[0]

    def receipts(self, tx_hashes: Sequence[str]) -> list[Receipt | None]:
        """Return several receipts in the order asked."""
        raws = self.request_batch([("eth_getTransactionReceipt", [item]) for item in tx_hashes])
        return self._read(raws, receipt_of, "receipts")

    def receipts_in(self, numbers: Sequence[int]) -> list[Receipt]:
        """Return the receipts of all transactions in some blocks; none of a block where the node has none."""
        raws = self.attempt([("eth_getBlockReceipts", [hex(number)]) for number in numbers])
        for raw in raws:
            if isinstance(raw, RpcError) and not (raw.no_such_method or raw.pruned):
                raise raw
        each = [item for raw in raws if isinstance(raw, list) for item in raw]
        return [item for item in self._read(each, receipt_of, "receipts") if item is not None]

    def transactions(self, tx_hashes: Sequence[str]) -> list[TransactionInfo | None]:
        """Return several transactions in the order asked; None for one that is in no block."""
        raws = self.request_batch([("eth_getTransactionByHash", [item]) for item in tx_hashes])
        return self._read(raws, included_of, "transactions")

    def in_state(self, method: str, params: Sequence[Any], block: int | str) -> Any:
        """Make a call in the state of a block, by number, hash or tag; return its ``result``.

        Some nodes do not know a block by its hash here (EIP-1898). They are asked by its number, and before and after
        that whether it has that hash.
        """
        tag = _tag(block)
        try:
            return self.request(method, [*params, tag])
        except RpcError as error:
            if not isinstance(tag, dict) or error.rpc_code != _INVALID_PARAMETERS:
                raise
            header = self.block(block)
            if header is None:
                raise
            found = self.request(method, [*params, hex(header.number)])
            there = self.block(header.number)
            if there is None or there.hash != header.hash:
                raise  # it is in the chain no more
            return found

    def code(self, address: str, block: int | str = "latest") -> str:
        """Return the code at an address as hexadecimal text; ``0x`` where there is none."""
        found = self.in_state("eth_getCode", [address], block)
        if isinstance(found, str) and _BYTES.fullmatch(found):
            return found or "0x"  # some nodes say nothing where there is none
        raise NodeAnswer(
            f"{self.place} answers eth_getCode with {str(found)[:40]!r}, which is no code; check rpc_url"
        )

    def call(
        self, to: str, data: str, block: int | str = "latest", sender: str | None = None
    ) -> str:
        """Run a call without a transaction and return its output as hexadecimal text.

        Raises
        ------
        RpcError
            When the call reverts; ``data`` then holds the revert data.
        """
        message = {"to": to, "data": data}
        if sender is not None:
            message["from"] = sender
        return str(self.in_state("eth_call", [message], block))

    def calls(self, messages: Iterable[tuple[str, str]], block: int | str = "latest") -> list[str]:
        """Run several calls at one block; ``messages`` are pairs of address and call data."""
        tag = _tag(block)
        batch = [("eth_call", [{"to": to, "data": data}, tag]) for to, data in messages]
        return [str(item) for item in self.request_batch(batch)]

    def transaction_count(self, address: str, block: int | str = "latest") -> int:
        """Return how many transactions the address has sent: its next nonce."""
        method = "eth_getTransactionCount"
        return self._number(method, self.in_state(method, [address], block))

    def balance(self, address: str, block: int | str = "latest") -> int:
        """Return what an account has of the chain's own money, in wei."""
        method = "eth_getBalance"
        return self._number(method, self.in_state(method, [address], block))

    def estimate_gas(self, sender: str, to: str, data: str, *state: Any) -> int:
        """Return the node's estimate of the gas of a transaction.

        Parameters
        ----------
        state
            Where it is tried, as the method takes it: a block, and what is to be otherwise than in that.
        """
        message = {"from": sender, "to": to, "data": data}
        return self._quantity("eth_estimateGas", [message, *state])

    def priority_fee(self) -> int:
        """Return the node's suggested priority fee in wei per gas; 1 gwei where it has none."""
        try:
            return self._quantity("eth_maxPriorityFeePerGas")
        except RpcError:
            return 1_000_000_000

    def send_raw(self, raw: str) -> str:
        """Broadcast a signed transaction and return its hash."""
        return str(self.request("eth_sendRawTransaction", [raw]))


def _tag(block: int | str) -> Any:
    if isinstance(block, int):
        return hex(block)
    return {"blockHash": block} if block.startswith("0x") and len(block) == 66 else block


def _block_call(block: int | str, full: bool) -> tuple[str, list[Any]]:
    if isinstance(block, str) and block.startswith("0x"):
        return "eth_getBlockByHash", [block, full]
    return "eth_getBlockByNumber", [hex(block) if isinstance(block, int) else block, full]
