"""A small remote signer with its own process: Anvil's keys, JSON-RPC on loopback, and lies on demand."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.forked import FORKED

START_SECONDS = 180


@contextmanager
def running_signer(lie: str = "none") -> Iterator[str]:
    """Start one in a process of its own, which lies in the named way; yield its address."""
    here, there = FORKED.Pipe(duplex=False)
    process = FORKED.Process(target=_serve, args=(lie, there), daemon=True)
    process.start()
    there.close()
    try:
        assert here.poll(START_SECONDS), "the signer does not start"
        yield f"http://127.0.0.1:{here.recv()}"
    finally:
        process.terminate()
        process.join(START_SECONDS)
        here.close()


def _sign(message: dict[str, Any], lie: str) -> Any:
    from eth_account import Account
    from eth_utils.address import to_checksum_address

    from ledger.chain.keys.signers import _ANVIL_KEYS, anvil_address

    by_address = {anvil_address(number): key for number, key in enumerate(_ANVIL_KEYS)}
    key = by_address[message["from"].lower()]
    numbers = ("chainId", "nonce", "value", "gas", "maxFeePerGas", "maxPriorityFeePerGas")
    fields: dict[str, Any] = {name: int(message[name], 16) for name in numbers}
    fields |= {"type": 2, "to": message["to"], "data": message["data"]}
    name, _, change = lie.partition("=")
    if name in fields:
        fields[name] = fields[name] + int(change) if name in numbers else change
    fields["to"] = to_checksum_address(fields["to"])
    if name == "sender":
        key = by_address[anvil_address(int(change))]
    if name == "access":
        fields["accessList"] = [{"address": "0x" + "1" * 40, "storageKeys": []}]
    if name == "legacy":
        for gone in ("type", "maxFeePerGas", "maxPriorityFeePerGas"):
            del fields[gone]
        fields["gasPrice"] = 10**9
    raw = "0x" + bytes(Account.sign_transaction(fields, key).raw_transaction).hex()
    return {
        "geth": {"raw": raw, "tx": {}},
        "short": raw[:-2],
        "text": "signed",
        "nothing": None,
        "upper": "0x" + raw[2:].upper(),
    }.get(name, raw)


def _sign_message(address: str, message: dict[str, Any], lie: str) -> Any:
    from eth_account import Account
    from eth_account.messages import encode_typed_data

    from ledger.chain.keys.signers import _ANVIL_KEYS, anvil_address

    by_address = {anvil_address(number): key for number, key in enumerate(_ANVIL_KEYS)}
    key = by_address[address.lower()]
    if lie == "message":
        message["message"]["amount"] = int(message["message"]["amount"]) + 1
    if lie.startswith("sender"):
        key = by_address[anvil_address(9)]
    signed = Account.sign_message(encode_typed_data(full_message=message), key)
    text = "0x" + bytes(signed.signature).hex()
    return text[:-2] if lie == "short" else text


def _answer(call: dict[str, Any], lie: str) -> dict[str, Any]:
    from ledger.chain.keys.signers import anvil_address

    method, params = call["method"], call["params"]
    if lie == "refuse" and method != "eth_accounts":
        return {"error": {"code": -32000, "message": "request denied by the operator"}}
    if lie == "late" and method != "eth_accounts":
        time.sleep(5)
    if method == "eth_accounts":
        return {"result": [anvil_address(number) for number in range(10)]}
    if method == "eth_signTransaction":
        return {"result": _sign(params[0], lie)}
    if method == "eth_signTypedData_v4":
        return {"result": _sign_message(params[0], params[1], lie)}
    return {"error": {"code": -32601, "message": f"no method {method}"}}


def _serve(first: str, line: Any) -> None:
    """Serve on a free port, which is told, until the process is ended; a request may ask for another lie."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            call = json.loads(self.rfile.read(int(self.headers["content-length"])))
            lie = self.path.removeprefix("/lie/") if self.path.startswith("/lie/") else first
            body = json.dumps({"jsonrpc": "2.0", "id": call["id"], **_answer(call, lie)}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            with suppress(ConnectionError):  # whoever asked waits no longer
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    line.send(server.server_address[1])
    server.serve_forever(0.05)
