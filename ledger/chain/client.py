"""A JSON-RPC client for one node: one kept connection, typed answers, one clear error.

Only the standard calls are used, so that any EVM node serves. Quantities of the wire are
hexadecimal text; here they are integers. Hashes and addresses are lower-case text with ``0x``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import httpx
import msgspec

from ledger.errors import DependencyDown, TruetonneError

_BATCH_MAX = 50
"""Calls in one request; nodes refuse long batches, and receipts come fastest in fifties."""


class RpcError(TruetonneError):
    """The node answered with an error object."""

    exit_code = 3
    default_code = "rpc-error"

    def __init__(self, method: str, rpc_code: int, message: str, data: str | None) -> None:
        super().__init__(f"the node refused {method}: {message}", details={"rpc_code": rpc_code})
        self.method = method
        self.rpc_code = rpc_code
        self.rpc_message = message
        self.data = data
        """Revert data as hexadecimal text, when the node sent any."""


class BlockHeader(msgspec.Struct, frozen=True):
    """A block header: number, hashes, and time in seconds since 1970 (UTC)."""

    number: int
    hash: str
    parent_hash: str
    timestamp: int
    base_fee: int
    """Wei per gas."""


class TransactionInfo(msgspec.Struct, frozen=True):
    """A transaction as a block lists it."""

    hash: str
    index: int
    sender: str
    to: str | None
    input: str
    nonce: int
    value: int
    gas: int


class LogRecord(msgspec.Struct, frozen=True):
    """A log as the node hands it out."""

    address: str
    topics: tuple[str, ...]
    data: str
    block_number: int
    block_hash: str
    tx_hash: str
    tx_index: int
    log_index: int
    removed: bool


class Receipt(msgspec.Struct, frozen=True):
    """What became of a transaction: status 1 succeeded, 0 failed; gas in units, price in wei."""

    tx_hash: str
    status: int
    gas_used: int
    effective_gas_price: int
    contract_address: str | None
    block_number: int
    block_hash: str
    tx_index: int
    sender: str
    to: str | None
    logs: tuple[LogRecord, ...]


class ChainClient:
    """One node, asked over HTTP.

    Parameters
    ----------
    rpc_url
        Address of the node's JSON-RPC interface.
    timeout_s
        Seconds to wait for one answer.

    Raises
    ------
    DependencyDown
        From every method, when the node does not answer or does not answer in JSON-RPC.
    RpcError
        From every method, when the node answers with an error.
    """

    def __init__(self, rpc_url: str, timeout_s: float = 30.0) -> None:
        self.rpc_url = rpc_url
        self._ids = itertools.count(1)
        # trust_env=False: a proxy variable must not send a key holder's traffic elsewhere.
        self._http = httpx.Client(timeout=timeout_s, trust_env=False)

    def close(self) -> None:
        """Close the kept connection."""
        self._http.close()

    # ------------------------------------------------------------------ calls

    def request(self, method: str, params: Sequence[Any] = ()) -> Any:
        """Make one call and return its ``result`` as plain JSON values."""
        return self.request_batch([(method, params)])[0]

    def request_batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Make several calls in as few requests as allowed; results are in the calls' order."""
        results: list[Any] = []
        for start in range(0, len(calls), _BATCH_MAX):
            results += self._post(calls[start : start + _BATCH_MAX])
        return results

    def _post(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        bodies = [
            {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}
            for method, params in calls
        ]
        payload = bodies[0] if len(bodies) == 1 else bodies
        try:
            response = self._http.post(
                self.rpc_url,
                content=msgspec.json.encode(payload),
                headers={"content-type": "application/json"},
            )
            answer = msgspec.json.decode(response.content)
        except httpx.HTTPError as error:
            raise DependencyDown(
                f"no node answers at {self.rpc_url} ({type(error).__name__}); start it, or set rpc_url",
                code="node-down",
            ) from error
        except msgspec.DecodeError as error:
            raise DependencyDown(
                f"{self.rpc_url} answers HTTP {response.status_code} but not JSON-RPC; check rpc_url",
                code="node-down",
            ) from error
        answers = answer if isinstance(answer, list) else [answer]
        if len(answers) == 1 and len(bodies) > 1:  # one error object for the whole batch
            self._result(bodies[0], answers[0])
        by_id = {item.get("id"): item for item in answers if isinstance(item, dict)}
        if any(body["id"] not in by_id for body in bodies):
            if len(answers) == 1 and isinstance(answers[0], dict) and "error" in answers[0]:
                self._result(bodies[0], answers[0])
            raise DependencyDown(
                f"{self.rpc_url} left a call of a batch without an answer", code="node-down"
            )
        return [self._result(body, by_id[body["id"]]) for body in bodies]

    @staticmethod
    def _result(body: dict[str, Any], answer: dict[str, Any]) -> Any:
        error = answer.get("error")
        if error is None:
            return answer.get("result")
        data = error.get("data")
        if isinstance(data, dict):  # some nodes wrap it
            data = data.get("data")
        raise RpcError(
            str(body["method"]),
            int(error.get("code", 0)),
            str(error.get("message", "")),
            data if isinstance(data, str) and data.startswith("0x") else None,
        )

    # ------------------------------------------------------------------ views

    def chain_id(self) -> int:
        """Return the chain's id."""
        return int(self.request("eth_chainId"), 16)

    def block_number(self) -> int:
        """Return the number of the latest block."""
        return int(self.request("eth_blockNumber"), 16)

    def block(self, block: int | str) -> BlockHeader | None:
        """Return a header by number, hash or tag; None where the node has no such block."""
        found = self.blocks([block])[0]
        return found

    def blocks(self, blocks: Sequence[int | str]) -> list[BlockHeader | None]:
        """Return several headers in the order asked."""
        raws = self.request_batch([_block_call(block, False) for block in blocks])
        return [_header(raw) if raw else None for raw in raws]

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
        return [
            (_header(raw), [_transaction(item) for item in raw["transactions"]]) if raw else None
            for raw in raws
        ]

    def logs(self, addresses: Sequence[str], from_block: int, to_block: int) -> list[LogRecord]:
        """Return the logs of the addresses in blocks ``from_block`` to ``to_block``, both included."""
        query = {
            "address": list(addresses),
            "fromBlock": hex(from_block),
            "toBlock": hex(to_block),
        }
        return [_log(raw) for raw in self.request("eth_getLogs", [query])]

    def logs_of_block(self, addresses: Sequence[str], block_hash: str) -> list[LogRecord]:
        """Return the logs of the addresses in one block, named by its hash."""
        query = {"address": list(addresses), "blockHash": block_hash}
        return [_log(raw) for raw in self.request("eth_getLogs", [query])]

    def receipt(self, tx_hash: str) -> Receipt | None:
        """Return the receipt of a transaction; None while it is in no block."""
        return self.receipts([tx_hash])[0]

    def receipts(self, tx_hashes: Sequence[str]) -> list[Receipt | None]:
        """Return several receipts in the order asked."""
        raws = self.request_batch([("eth_getTransactionReceipt", [item]) for item in tx_hashes])
        return [_receipt(raw) if raw else None for raw in raws]

    def code(self, address: str, block: int | str = "latest") -> str:
        """Return the code at an address as hexadecimal text; ``0x`` where there is none."""
        return str(self.request("eth_getCode", [address, _tag(block)]))

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
        return str(self.request("eth_call", [message, _tag(block)]))

    def calls(self, messages: Iterable[tuple[str, str]], block: int | str = "latest") -> list[str]:
        """Run several calls at one block; ``messages`` are pairs of address and call data."""
        tag = _tag(block)
        batch = [("eth_call", [{"to": to, "data": data}, tag]) for to, data in messages]
        return [str(item) for item in self.request_batch(batch)]

    def transaction_count(self, address: str, block: int | str = "latest") -> int:
        """Return how many transactions the address has sent: its next nonce."""
        return int(self.request("eth_getTransactionCount", [address, _tag(block)]), 16)

    def estimate_gas(self, sender: str, to: str, data: str) -> int:
        """Return the node's estimate of the gas of a transaction."""
        message = {"from": sender, "to": to, "data": data}
        return int(self.request("eth_estimateGas", [message]), 16)

    def priority_fee(self) -> int:
        """Return the node's suggested priority fee in wei per gas; 1 gwei where it has none."""
        try:
            return int(self.request("eth_maxPriorityFeePerGas"), 16)
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


def _header(raw: dict[str, Any]) -> BlockHeader:
    return BlockHeader(
        number=int(raw["number"], 16),
        hash=raw["hash"].lower(),
        parent_hash=raw["parentHash"].lower(),
        timestamp=int(raw["timestamp"], 16),
        base_fee=int(raw.get("baseFeePerGas") or "0x0", 16),
    )


def _address(raw: str | None) -> str | None:
    return raw.lower() if raw else None


def _transaction(raw: dict[str, Any]) -> TransactionInfo:
    return TransactionInfo(
        hash=raw["hash"].lower(),
        index=int(raw["transactionIndex"], 16),
        sender=raw["from"].lower(),
        to=_address(raw.get("to")),
        input=raw["input"],
        nonce=int(raw["nonce"], 16),
        value=int(raw["value"], 16),
        gas=int(raw["gas"], 16),
    )


def _log(raw: dict[str, Any]) -> LogRecord:
    return LogRecord(
        address=raw["address"].lower(),
        topics=tuple(topic.lower() for topic in raw["topics"]),
        data=raw["data"],
        block_number=int(raw["blockNumber"], 16),
        block_hash=raw["blockHash"].lower(),
        tx_hash=raw["transactionHash"].lower(),
        tx_index=int(raw["transactionIndex"], 16),
        log_index=int(raw["logIndex"], 16),
        removed=bool(raw.get("removed", False)),
    )


def _receipt(raw: dict[str, Any]) -> Receipt:
    return Receipt(
        tx_hash=raw["transactionHash"].lower(),
        status=int(raw["status"], 16),
        gas_used=int(raw["gasUsed"], 16),
        effective_gas_price=int(raw["effectiveGasPrice"], 16),
        contract_address=_address(raw.get("contractAddress")),
        block_number=int(raw["blockNumber"], 16),
        block_hash=raw["blockHash"].lower(),
        tx_index=int(raw["transactionIndex"], 16),
        sender=raw["from"].lower(),
        to=_address(raw.get("to")),
        logs=tuple(_log(log) for log in raw["logs"]),
    )
