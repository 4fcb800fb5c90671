"""A deployment's node that does not answer for a moment: scripts/toolchain/brownie_asking.py."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx
import pytest
from eth_account import Account
from requests import HTTPError, RequestException
from web3 import HTTPProvider, Web3

from scripts.toolchain.brownie_asking import ask_again
from scripts.toolchain.brownie_sending import GWEI
from tests.contracts.deploying import request
from tests.support.forms import few, rest

pytestmark = pytest.mark.usefixtures("chain")


def asking_of(url: str, asking_s: float = 60.0) -> Web3:
    """Return a web3 that asks a node again."""
    web3 = Web3(HTTPProvider(url))
    ask_again(web3, asking_s)
    ask_again(web3, asking_s)
    return web3


class Stumbling:
    """Forwards requests to a node, and stumbles as it is told: once over each method that is named."""

    def __init__(self, url: str, stumbles: dict[str, str]) -> None:
        self.stumbles = dict(stumbles)
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                asked = json.loads(body)
                outer.asked.append(asked["method"])
                how = outer.stumbles.pop(asked["method"], None)
                if how == "drop":
                    return outer.cut(self)
                answer = httpx.post(
                    url, content=body, headers={"content-type": "application/json"}, trust_env=False
                ).content
                if how == "lost":  # done, and nobody hears of it
                    return outer.cut(self)
                if how == "busy":
                    error = {"code": 429, "message": "too many requests"}
                    answer = json.dumps(
                        {"id": asked["id"], "jsonrpc": "2.0", "error": error}
                    ).encode()
                status = int(how) if how is not None and how.isdigit() else 200
                self.send_response(status)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    @staticmethod
    def cut(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def connected(self) -> Iterator[Web3]:
        """Yield a web3 that asks again."""
        thread = Thread(target=self.server.serve_forever)
        thread.start()
        try:
            yield asking_of(self.url)
        finally:
            self.server.shutdown()
            thread.join()
            self.server.server_close()


@few(1)
@pytest.mark.parametrize("how", ["drop", *rest(["busy", "429", "503"])])
def test_a_node_that_stumbles_is_asked_again(how: str) -> None:
    """DP-11: one connection that broke, or one answer of too many requests, ended a deployment half way."""
    from brownie import web3

    node = Stumbling(web3.provider.endpoint_uri, {"eth_blockNumber": how, "eth_sign": how})
    with node.connected() as asking:
        assert asking.eth.block_number == web3.eth.block_number
        assert node.asked == ["eth_blockNumber", "eth_blockNumber"]


def test_what_a_node_did_and_nobody_heard_of_is_done() -> None:
    """DP-11: the answer to a transaction got lost; sent again, it was refused as known, and the deployment ended."""
    from brownie import web3

    node = Stumbling(web3.provider.endpoint_uri, {"eth_sendRawTransaction": "lost"})
    signer = Account.create()
    request("anvil_setBalance", [signer.address, hex(10**18)])
    transfer = {"to": signer.address, "value": 0, "gas": 21_000, "gasPrice": 2 * GWEI, "nonce": 0}
    raw = signer.sign_transaction({**transfer, "chainId": web3.eth.chain_id})
    with node.connected() as asking:
        assert asking.eth.send_raw_transaction(raw.raw_transaction) == raw.hash
        assert node.asked == [
            "eth_sendRawTransaction", "eth_sendRawTransaction", "eth_getTransactionByHash"
        ]  # fmt: skip
    node = Stumbling(web3.provider.endpoint_uri, {"eth_sendRawTransaction": "drop"})
    other = signer.sign_transaction({**transfer, "value": 1, "chainId": web3.eth.chain_id})
    with node.connected() as asking, pytest.raises(Exception, match="nonce"):
        asking.eth.send_raw_transaction(other.raw_transaction)  # another one has its place


def test_a_refusal_and_a_node_that_is_gone_are_not_asked_for_long() -> None:
    """DP-11: a gateway's refusal comes at once, and a node that stays away is given up."""
    from brownie import web3

    node = Stumbling(web3.provider.endpoint_uri, {"eth_blockNumber": "401"})
    with node.connected() as asking:
        with pytest.raises(HTTPError, match="401"):
            _ = asking.eth.block_number
        assert node.asked == ["eth_blockNumber"]
    gone = asking_of(node.url, asking_s=0.6)  # its server is closed
    with pytest.raises(RequestException):
        _ = gone.eth.block_number
