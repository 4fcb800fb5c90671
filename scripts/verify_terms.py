"""Which terms of deployed contracts are others by now than at their deployment, or will be: code shows none of it."""

from collections.abc import Iterable
from typing import Any

from eth_abi.abi import decode
from eth_utils.crypto import keccak

from ledger.chain.addresses.book import DeployedContract, Deployment
from scripts.verify_roles import Request, told_time

Row = dict[str, Any]


def term_rows(request: Request, deployment: Deployment) -> list[Row]:
    """Return a row for each term that was changed, or whose change has begun.

    Returns
    -------
    list of dict
        ``contract``, ``term``, what it was at its ``deployment``, what it is ``now``, and, where a change has begun,
        what it is to be ``next`` and ``from`` when (UTC); null else. Values are text.
    """
    return [
        *_changed(_terms_of_both(request, deployment.credit)),
        *_changed(_terms_of_both(request, deployment.settlement)),
        *_changed(_terms_of_settlement(request, deployment.settlement)),
    ]


def lines(rows: Iterable[Row]) -> list[str]:
    """Return the same for a person."""
    said = []
    for row in rows:
        now = f"{row['contract']} {row['term']}: {row['now']}"
        if row["now"] != row["deployment"]:
            now += f", and {row['deployment']} at its deployment"
        if row["next"] is not None:
            now += f"; {row['next']} from {row['from']} on"
        said.append(now)
    return said


def _changed(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row["now"] != row["deployment"] or row["next"] is not None]


def _terms_of_both(request: Request, contract: DeployedContract) -> list[Row]:
    (delay_s,) = _ask(request, contract, "defaultAdminDelay()", "uint48")
    next_s, from_s = _ask(request, contract, "pendingDefaultAdminDelay()", "uint48", "uint48")
    (paused,) = _ask(request, contract, "paused()", "bool")
    return [
        _row(contract, "adminDelay", contract.constructor["adminDelay"], delay_s, (next_s, from_s)),
        _row(contract, "paused", "no", "yes" if paused else "no"),
    ]


def _terms_of_settlement(request: Request, contract: DeployedContract) -> list[Row]:
    given = contract.constructor
    (bps,) = _ask(request, contract, "feeBps()", "uint16")
    (collector,) = _ask(request, contract, "feeCollector()", "address")
    next_bps, heir, from_s = _ask(request, contract, "pendingFee()", "uint16", "address", "uint40")
    (notional,) = _ask(request, contract, "notionalCap()", "uint64")
    (credit,) = _ask(request, contract, "creditCap()", "uint64")
    return [
        _row(contract, "notionalCap", given["notionalCap"], notional),
        _row(contract, "creditCap", given["creditCap"], credit),
        _row(contract, "feeBps", 0, bps, (next_bps, from_s)),
        _row(
            contract, "feeCollector", str(given["feeCollector"]).lower(), collector, (heir, from_s)
        ),
    ]


def _row(
    contract: DeployedContract, term: str, then: Any, now: Any, following: tuple[Any, int] = (0, 0)
) -> Row:
    value, from_s = following  # the last announcement stays to be seen when it holds
    begun = from_s != 0 and value != now
    return {
        "contract": contract.name,
        "term": term,
        "deployment": str(then),
        "now": str(now),
        "next": str(value) if begun else None,
        "from": told_time(from_s) if begun else None,
    }


def _ask(request: Request, contract: DeployedContract, view: str, *types: str) -> tuple[Any, ...]:
    call = {"to": contract.address, "data": "0x" + keccak(text=view)[:4].hex()}
    answer = request("eth_call", [call, "latest"])
    return decode(list(types), bytes.fromhex(answer[2:]))
