"""Keeps Brownie from asking a node about fees in ways that not every node answers.

For a tip it asks ``eth_maxPriorityFeePerGas``, and web3 after that for the fees up to the block that is pending; and it
has gas estimated at a price of nothing, which a node may hold against the base fee.
"""

from typing import Any

TIP_WEI = 10**9
"""What is offered above the base fee where a node suggests nothing."""


def ask_plainly(web3: Any, network: Any) -> None:
    """Have gas estimated without a price, and a tip offered that the node need not suggest; once for each ``web3``.

    Parameters
    ----------
    web3, network
        Brownie's.
    """
    if "error" in web3.provider.make_request("eth_maxPriorityFeePerGas", []):
        network.priority_fee(TIP_WEI)
    if getattr(web3.eth, "asks_plainly", False):
        return
    estimate = web3.eth.estimate_gas

    def plainly(transaction: dict[str, Any], *more: Any) -> int:
        priced = transaction.get("gasPrice") in ("0x0", 0)
        plain = {name: value for name, value in transaction.items() if name != "gasPrice"}
        return int(estimate(plain if priced else transaction, *more))

    web3.eth.estimate_gas = plainly
    web3.eth.asks_plainly = True
