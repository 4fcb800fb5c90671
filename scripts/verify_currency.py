"""What the settlement currency calls itself, and what the deployment file says: the pages go by the file."""

import json
from typing import Any

from ledger.chain.addresses.book import Deployment
from ledger.chain.contracts.currency import SYMBOL_CALL, symbol_in
from scripts.deploy_node import Reverted
from scripts.verify_roles import Request


def currency_row(request: Request, deployment: Deployment) -> dict[str, Any]:
    """Return the symbol that the currency states and the file's.

    Returns
    -------
    dict
        ``address``, its ``symbol`` and that of the ``file``, null where there is none, and whether it ``differs``: a
        file of before names none, and says nothing wrong.
    """
    address = str(deployment.settlement.constructor["currency"]).lower()
    try:
        symbol = symbol_in(request("eth_call", [{"to": address, "data": SYMBOL_CALL}, "latest"]))
    except Reverted:
        symbol = None  # ERC-20 leaves it optional
    named = deployment.currency_symbol
    return {
        "address": address,
        "symbol": symbol,
        "file": named,
        "differs": named is not None and named != symbol,
    }


def lines(row: dict[str, Any]) -> list[str]:
    """Return the same for a person, and what to write into the file; nothing where the token states no symbol."""
    about, symbol = f"currency {row['address']}", row["symbol"]
    told = f"calls itself {json.dumps(symbol)}" if symbol else "states no symbol"
    if row["differs"]:
        mend = f"write `{_member(symbol)}`" if symbol else "take its `currency_symbol` away"
        return [
            f"{about}: {told}; NOT as in the file, which says {json.dumps(row['file'])}: {mend}"
        ]
    if symbol is None:
        return []
    if row["file"] is None:
        add = f"add `{_member(symbol)}` to the file, and the pages name it so"
        return [f"{about}: {told}; the file does not say so: {add}"]
    return [f"{about}: {told}; as in the file"]


def _member(symbol: str) -> str:
    return json.dumps({"currency_symbol": symbol})[1:-1]
