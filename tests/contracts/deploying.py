"""What tests of the deployment scripts have in common: the node, and what it is asked."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ledger.chain.local.anvil import KeptPort, end_with_parent


def request(method: str, parameters: list[Any]) -> Any:
    from brownie import web3

    return web3.provider.make_request(method, parameters)["result"]


def request_checksum(address: str) -> str:
    from eth_utils.address import to_checksum_address

    return to_checksum_address(address)


@contextmanager
def running_node(rules: str = "prague", chain_id: int = 31337) -> Iterator[str]:
    """Start an Anvil of one's own, let something happen there, and yield its address."""
    from brownie._config import CONFIG

    kept = KeptPort()
    port = kept.number
    command = CONFIG.networks["development"]["cmd"]
    process = subprocess.Popen(
        [
            command,
            "--silent",
            "--port",
            str(port),
            "--hardfork",
            rules,
            "--chain-id",
            str(chain_id),
        ],
        preexec_fn=end_with_parent(),  # noqa: PLW1509
    )
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 60
        while not _answers(url):
            assert time.monotonic() < until, "the node does not answer"
            time.sleep(0.05)
        post(url, "anvil_setBalance", ["0x" + "ab" * 20, "0x7b"])
        post(url, "anvil_mine", ["0x3"])
        yield url
    finally:
        process.terminate()
        process.wait()
        kept.close()


def post(url: str, method: str, parameters: list[Any]) -> Any:
    import httpx

    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
    return httpx.post(url, json=message, trust_env=False).json()["result"]


def _answers(url: str) -> bool:
    import httpx

    try:
        return bool(post(url, "eth_chainId", []))
    except httpx.TransportError:
        return False
