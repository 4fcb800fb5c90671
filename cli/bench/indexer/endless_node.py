"""A node that serves the endless chain over HTTP: ``python -m cli.bench.indexer.endless_node BLOCKS PORT``.

It says when it is ready. It answers what the mirror asks of any node, and refuses the rest as nodes do.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

from cli.bench.indexer.endless import (
    CREDIT_ADDRESS,
    SETTLEMENT_ADDRESS,
    Block,
    Endless,
    block_hash,
    header_text,
    place_of,
)
from cli.bench.indexer.patterns import word
from ledger.chain.contracts.abi import artifact
from ledger.chain.contracts.events import CREDIT, SETTLEMENT
from ledger.chain.contracts.wrappers import encode_call
from ledger.settings import LOCAL_CHAIN_ID

AHEAD_BLOCKS = 1_200
"""A reader asks for so many blocks at once, at the most."""
HEAD_TAGS = ("latest", "finalized", "safe", "pending")
_CODE = {CREDIT_ADDRESS: CREDIT, SETTLEMENT_ADDRESS: SETTLEMENT}


class Refused(Exception):
    """What the node cannot answer."""


class EndlessNode:
    """Answers to JSON-RPC calls on a chain of so many blocks, as JSON texts."""

    def __init__(self, blocks: int) -> None:
        self._chain = Endless()
        self._head = blocks
        self._lock = threading.Lock()
        self._log_head = encode_call(CREDIT, "logHead", [])
        self._units = encode_call(SETTLEMENT, "unitsPerCent", [])

    def answer(self, body: bytes) -> bytes:
        """Return the answer to one call or to a batch of calls."""
        asked = msgspec.json.decode(body)
        with self._lock:
            if isinstance(asked, list):
                return ("[" + ",".join(self._one(call) for call in asked) + "]").encode()
            return self._one(asked).encode()

    def _one(self, call: dict[str, Any]) -> str:
        number = msgspec.json.encode(call.get("id")).decode()
        try:
            handler = getattr(self, "_" + call["method"])
            result = handler(*call.get("params", ()))
        except (AttributeError, Refused) as error:
            said = msgspec.json.encode(str(error) or "not served here").decode()
            return f'{{"jsonrpc":"2.0","id":{number},"error":{{"code":-32601,"message":{said}}}}}'
        return f'{{"jsonrpc":"2.0","id":{number},"result":{result}}}'

    # ------------------------------------------------------------------- methods

    def _eth_chainId(self) -> str:
        return f'"{LOCAL_CHAIN_ID:#x}"'

    def _web3_clientVersion(self) -> str:
        return '"endless"'

    def _eth_blockNumber(self) -> str:
        return f'"{self._head:#x}"'

    def _eth_getBlockByNumber(self, tag: str, full: bool) -> str:
        number = self._number(tag)
        if number > self._head:
            return "null"
        # The hash of a far block is known without making what lies between.
        is_far = number > self._chain.made + AHEAD_BLOCKS
        block = None if is_far else self._chain.block(number)
        return header_text(number, "") if block is None else block.header(full)

    def _eth_getBlockByHash(self, of: str, full: bool) -> str:
        number = int(of[2:18], 16)
        known = block_hash(number) == of
        return self._eth_getBlockByNumber(hex(number), full) if known else "null"

    def _eth_getLogs(self, query: dict[str, Any]) -> str:
        if "blockHash" in query:
            first = last = int(query["blockHash"][2:18], 16)
        else:
            first, last = self._number(query["fromBlock"]), self._number(query["toBlock"])
        if CREDIT_ADDRESS not in _addresses(query):
            return "[]"
        found = [log for number in range(first, last + 1) for log in self._made(number).logs]
        return f"[{','.join(found)}]"

    def _eth_getTransactionReceipt(self, of: str) -> str:
        block, index = self._place(of)
        return block.receipts[index]

    def _eth_getTransactionByHash(self, of: str) -> str:
        block, index = self._place(of)
        return block.transactions[index]

    def _eth_getBlockReceipts(self, tag: str) -> str:
        number = int(tag[2:18], 16) if len(tag) == 66 else self._number(tag)
        return f"[{','.join(self._made(number).receipts)}]"

    def _eth_getCode(self, address: str, *_: Any) -> str:
        name = _CODE.get(address.lower())
        return f'"{artifact(name).deployed_bytecode if name else "0x"}"'

    def _eth_call(self, message: dict[str, Any], at: Any) -> str:
        data = message.get("data") or message.get("input")
        if data == self._log_head:
            block = self._made(self._number(at))
            return f'"0x{(word(block.seq) + block.head).hex()}"'
        if data == self._units:
            return f'"0x{word(1).hex()}"'
        raise Refused(f"no state to run {str(data)[:10]} on")

    # -------------------------------------------------------------------- places

    def _number(self, tag: Any) -> int:
        if isinstance(tag, dict):
            tag = tag.get("blockHash") or tag["blockNumber"]
        if tag in HEAD_TAGS:
            return self._head
        return int(tag[2:18], 16) if len(tag) == 66 else int(tag, 16)

    def _made(self, number: int) -> Block:
        block = self._chain.block(number)
        if block is None:
            raise Refused(f"block {number} was forgotten: it lies far behind")
        return block

    def _place(self, of: str) -> tuple[Block, int]:
        number, index = place_of(of)
        return self._made(number), index


def _addresses(query: dict[str, Any]) -> Sequence[str]:
    given = query.get("address", ())
    return [given.lower()] if isinstance(given, str) else [each.lower() for each in given]


def main() -> None:
    """Serve until the process is ended."""
    node = EndlessNode(int(sys.argv[1]))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            answer = node.answer(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler)
    server.daemon_threads = True
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
