"""What the settlement currency calls itself: a foreign contract, which may say anything or nothing."""

from __future__ import annotations

from ledger.chain.contracts.abi_values import decoded
from ledger.chain.node.client import ChainClient, RpcError

SYMBOL_LENGTH_MAX = 20
"""What is longer is cut: no symbol of others fills a line, or passes for an address."""
SYMBOL_CALL = "0x95d89b41"
"""``symbol()`` of ERC-20, which the standard leaves optional."""


def stated_symbol(client: ChainClient, address: str) -> str | None:
    """Return the symbol that a token states, cut where it is long; None where it states none."""
    try:
        return symbol_in(client.call(address, SYMBOL_CALL, "latest"))
    except RpcError:
        return None


def symbol_in(output: str) -> str | None:
    """Return the symbol in what a token has answered, cut where it is long; None where it is none."""
    try:
        (symbol,) = decoded(["string"], bytes.fromhex(output[2:]))
    except Exception:  # whatever the token's code made of it
        return None
    return str(symbol)[:SYMBOL_LENGTH_MAX] or None
