"""A node of a rollup, as far as a mirror can tell: each block begins with a transaction of a type of its own.

The types, and what such nodes add to headers, receipts and transactions, are those that the rollups document; the
hashes of blocks stay Anvil's, and cover none of it.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from eth_utils.crypto import keccak

from ledger.chain.node.client import ChainClient

_SENDER, _RECEIVER = "0x" + "de" * 20, "0x42" + "00" * 18 + "15"


@dataclass(frozen=True)
class Make:
    """What is particular to a kind of rollup."""

    kind: str
    receipt: dict[str, Any] = field(default_factory=dict)
    transaction: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)


MAKES = {
    "op-stack deposits": Make(
        "0x7e",
        {"depositNonce": "0x1", "depositReceiptVersion": "0x1", "l1GasUsed": "0x0"},
        {"sourceHash": "0x" + "11" * 32, "mint": "0x0", "isSystemTx": False, "gasPrice": None},
    ),
    "arbitrum's own": Make(
        "0x6a",
        {"gasUsedForL1": "0x0", "l1BlockNumber": "0x1", "timeboosted": False},
        {"v": "0x0", "r": "0x0", "s": "0x0"},
        {"l1BlockNumber": "0x1", "sendCount": "0x0", "sendRoot": "0x" + "00" * 32},
    ),
    "zksync's priority": Make(
        "0xff",
        {"l1BatchNumber": None, "l1BatchTxIndex": None, "l2ToL1Logs": []},
        {"v": None, "r": None, "s": None, "gasPrice": "0x0"},
        {"l1BatchNumber": None, "l1BatchTimestamp": None},
    ),
}


class Rollup:
    """A ``Tamper`` that puts a transaction of a rollup's own before all others of each block but the first."""

    def __init__(self, client: ChainClient, make: Make) -> None:
        self._client, self._make = client, make
        self._numbers: dict[str, int] = {}

    def __call__(self, method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getBlockByNumber" and result:
            return self._block(copy.deepcopy(result), params[1])
        if method == "eth_getBlockReceipts" and result is not None:
            number = int(params[0], 16)
            return [*([self._receipt(number)] if number else []), *map(_moved, result)]
        if method == "eth_getTransactionReceipt":
            own = self._numbers.get(params[0])
            return _moved(result) if own is None else self._receipt(own)
        if method == "eth_getTransactionByHash":
            return _moved(result)
        return list(map(_moved, result)) if method == "eth_getLogs" else result

    def _block(self, block: dict[str, Any], full: bool) -> dict[str, Any]:
        number = int(block["number"], 16)
        if number:
            own = self._transaction(number, block["hash"])
            block["transactions"] = [
                own if full else own["hash"],
                *(map(_moved, block["transactions"]) if full else block["transactions"]),
            ]
        return block | self._make.header

    def _hash(self, number: int) -> str:
        tx_hash = "0x" + keccak(text=f"first of block {number}").hex()
        self._numbers[tx_hash] = number
        return tx_hash

    def _transaction(self, number: int, block_hash: str) -> dict[str, Any]:
        zeros = dict.fromkeys(("nonce", "value", "transactionIndex"), "0x0")
        return {
            **zeros,
            "hash": self._hash(number),
            "blockHash": block_hash,
            "blockNumber": hex(number),
            "from": _SENDER,
            "to": _RECEIVER,
            "gas": "0xf4240",
            "input": "0x015d8eb9",
            "type": self._make.kind,
            **self._make.transaction,
        }

    def _receipt(self, number: int) -> dict[str, Any]:
        block = self._client.block(number)
        assert block is not None
        zeros = ("transactionIndex", "gasUsed", "cumulativeGasUsed", "effectiveGasPrice")
        return {
            **dict.fromkeys(zeros, "0x0"),
            "transactionHash": self._hash(number),
            "blockHash": block.hash,
            "blockNumber": hex(number),
            "from": _SENDER,
            "to": _RECEIVER,
            "contractAddress": None,
            "status": "0x1",
            "logs": [],
            "logsBloom": "0x" + "00" * 256,
            "type": self._make.kind,
            **self._make.receipt,
        }


def _moved(raw: Any) -> Any:
    """Return a transaction, receipt or log one place behind where Anvil has it."""
    if raw is None or raw.get("transactionIndex") is None:
        return raw
    place = hex(int(raw["transactionIndex"], 16) + 1)
    logs = {"logs": list(map(_moved, raw["logs"]))} if "logs" in raw else {}
    return {**raw, **logs, "transactionIndex": place}
