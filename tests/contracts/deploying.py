"""What tests of the deployment scripts ask the node."""

from typing import Any


def request(method: str, parameters: list[Any]) -> Any:
    from brownie import web3

    return web3.provider.make_request(method, parameters)["result"]


def request_checksum(address: str) -> str:
    from eth_utils.address import to_checksum_address

    return to_checksum_address(address)
