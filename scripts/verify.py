"""Recompile, and compare with what a network runs.

``./dev brownie run verify --network local`` compiles the sources anew, whatever any cache holds, runs each
constructor with the arguments of the deployment file at the contract's own address (in a call: nothing is sent)
and compares the code it leaves with the deployed code, byte for byte, metadata hash and immutables
included. It also recomputes the CREATE2 address, which commits to code and arguments, and compares
every hash of the file, the transaction in which each contract was made, and the ledger and the currency of the
settlement with the file's. Then it asks who holds the roles, what the currency calls itself, and for the class. A file
of another chain, or that lacks a contract, is refused. Contracts that agree become ``verified`` in ``smart_contracts``.

``truetonne chain verify`` runs this and shows the same.
"""

import json
import os
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from eth_abi.exceptions import EncodingError
from eth_utils.crypto import keccak

from ledger.chain.addresses.book import DeployedContract, Deployment
from ledger.chain.contracts.roles import ADMIN
from ledger.chain.node.client import ChainClient
from ledger.errors import BadInput, TruetonneError
from ledger.settings import Settings, load_settings
from scripts import create2
from scripts.deploy_node import Reverted, asking
from scripts.ending import end_with
from scripts.export_abi import metadata_hash
from scripts.fresh import CONTRACTS, fresh_builds
from scripts.linking import LIBRARIES
from scripts.toolchain.brownie_asking import ask_again
from scripts.verify_currency import currency_row
from scripts.verify_currency import lines as currency_lines
from scripts.verify_roles import class_differs, handovers, role_rows
from scripts.verify_terms import lines as term_lines
from scripts.verify_terms import term_rows

NEEDED = ("CarbonCredit", "VppSettlement", *LIBRARIES)
"""What a deployment file must name: all but the test currency."""


def differences(
    request: Callable[[str, list[Any]], Any], build: dict[str, Any], deployed: DeployedContract
) -> list[str]:
    """Return what of a deployed contract differs from the sources; nothing if it is verified."""
    arguments = list(deployed.constructor.values())
    init_code = create2.init_code(build, arguments)
    code = bytes.fromhex(request("eth_getCode", [deployed.address, "latest"])[2:])
    salt = bytes.fromhex(deployed.salt[2:])
    try:
        constructed = create2.constructed(
            request, deployed.address, init_code, salt, deployed.block
        )
    except Reverted:
        constructed = b""  # the constructor takes no such arguments: they made no contract
    compared = {
        "names of the constructor's arguments": (
            create2.named_arguments(build, arguments),
            deployed.constructor,
        ),
        "hash of the init code": ("0x" + keccak(init_code).hex(), deployed.init_code_hash),
        "address": (create2.address_of(salt, init_code).lower(), deployed.address),
        "code": (constructed, code),
        "hash of the code": ("0x" + keccak(code).hex(), deployed.code_hash),
        "hash of the sources": (metadata_hash(build["deployedBytecode"]), deployed.source_hash),
    }
    return [name for name, (expected, found) in compared.items() if expected != found]


def mark_verified(settings: Settings, deployment: Deployment, names: list[str]) -> list[str]:
    """Set the status of rows in ``smart_contracts``; return a line that says why that cannot be, if it cannot.

    It takes nothing from what was found: an auditor has no books.
    """
    from ledger.chain.addresses.deployment import mark_verified as mark
    from ledger.db import Database

    try:
        with closing(Database(settings.database_url)) as database:
            if not database.is_there():  # to ask would make the file, which is not begun then
                return ["not noted in smart_contracts: there are no books here"]
            database.run(lambda session: mark(session, deployment, names))
    except TruetonneError as error:
        return [f"not noted in smart_contracts: {error.message}"]
    return []


def check_complete(deployment: Deployment) -> None:
    """Refuse a deployment file that lacks a contract, or names one that is none of ours.

    Raises
    ------
    BadInput
        With the contracts.
    """
    lacking = [name for name in NEEDED if name not in deployment.contracts]
    if lacking:
        raise BadInput(
            f"the deployment file of {deployment.network!r} lacks {', '.join(lacking)}: without them nothing is "
            "verified; take the file that `truetonne chain deploy` wrote"
        )
    unknown = sorted(set(deployment.contracts) - set(CONTRACTS))
    if unknown:
        raise BadInput(
            f"the deployment file of {deployment.network!r} names {', '.join(unknown)}, of which there are no sources"
        )


def origin_differences(
    request: Callable[[str, list[Any]], Any], init_code: bytes, deployed: DeployedContract
) -> list[str]:
    """Return whether block and transaction of a deployment differ from the chain's.

    A mirror begins at that block: one that is too late would lack what happened before.
    """
    if deployed.tx_hash is None:  # made by a contract that asked the factory
        before, after = (
            request("eth_getCode", [deployed.address, hex(number)])
            for number in (deployed.block - 1, deployed.block)
        )
        return [] if before == "0x" != after else ["block"]
    found = _transaction(request, deployed)
    receipt = request("eth_getTransactionReceipt", [deployed.tx_hash])
    if receipt is None and found.get("blockNumber"):
        receipts = request("eth_getBlockReceipts", [found["blockNumber"]]) or []
        receipt = _of_hash(receipts, "transactionHash", deployed)
    receipt = receipt or {}
    data = "0x" + deployed.salt.removeprefix("0x") + init_code.hex()
    if found.get("input") != data or (found.get("to") or "").lower() != create2.FACTORY.lower():
        return ["transaction"]
    if int(receipt.get("status") or "0x0", 16) != 1:  # the factory refuses the same once more
        return ["transaction"]
    return [] if int(found["blockNumber"] or "0x0", 16) == deployed.block else ["block"]


def _transaction(
    request: Callable[[str, list[Any]], Any], deployed: DeployedContract
) -> dict[str, Any]:
    """Return the transaction that made a contract, by its hash or in the block of the file; {} if in neither.

    Many a node has an index by hash of its newest transactions alone (geth: of 2,350,000 blocks).
    """
    found = request("eth_getTransactionByHash", [deployed.tx_hash])
    if found is None:
        block = request("eth_getBlockByNumber", [hex(deployed.block), True]) or {}
        found = _of_hash(block.get("transactions") or [], "hash", deployed)
    return found or {}


def _of_hash(
    items: list[dict[str, Any]], name: str, deployed: DeployedContract
) -> dict[str, Any] | None:
    wanted = str(deployed.tx_hash).lower()
    return next((item for item in items if str(item[name]).lower() == wanted), None)


def block_of(request: Callable[[str, list[Any]], Any], deployed: DeployedContract) -> int | None:
    """Return the block that a contract was made in, by its transaction; None: another contract had it made."""
    if deployed.tx_hash is None:
        return None
    number = _transaction(request, deployed).get("blockNumber")
    return None if number is None else int(number, 16)


def tie_differences(deployment: Deployment) -> list[str]:
    """Return what of the settlement's ties differs: its ledger, and its currency where that is the file's."""
    given = deployment.settlement.constructor
    ties = {"credits": deployment.credit.address}
    if "TestCurrency" in deployment.contracts:
        ties["currency"] = deployment.contracts["TestCurrency"].address
    return [name for name, address in ties.items() if str(given.get(name)).lower() != address]


def verify(request: Callable[[str, list[Any]], Any], deployment: Deployment) -> dict[str, Any]:
    """Compare a deployment with the sources and the chain.

    Returns
    -------
    dict
        ``contracts``, a row each with what ``differs``; ``roles`` and ``handovers``, see ``scripts.verify_roles``,
        ``terms``, see ``scripts.verify_terms``, ``currency``, see ``scripts.verify_currency``, and whether the
        ``class`` differs, all of these only when the contracts are verified.
    """
    check_complete(deployment)
    builds = fresh_builds()
    rows = []
    for name, deployed in deployment.contracts.items():
        init_code = _init_code(builds[name], deployed)
        found = differences(request, builds[name], deployed)
        found += origin_differences(request, init_code, deployed)
        found += tie_differences(deployment) if name == "VppSettlement" else []
        hashes = {"code_hash": deployed.code_hash, "init_code_hash": deployed.init_code_hash}
        row = {"name": name, "address": deployed.address, "differs": found, **hashes}
        if "block" in found:
            row["block"] = {"file": deployed.block, "chain": block_of(request, deployed)}
        rows.append(row)
    result: dict[str, Any] = {"contracts": rows}
    result |= {"roles": [], "handovers": [], "terms": [], "currency": None, "class": None}
    if not any(row["differs"] for row in rows):
        result["roles"] = role_rows(request, deployment)
        result["handovers"] = handovers(request, deployment)
        result["terms"] = term_rows(request, deployment)
        result["currency"] = currency_row(request, deployment)
        result["class"] = {
            "id": deployment.class_id,
            "code": deployment.class_code,
            "differs": class_differs(request, deployment),
        }
    return result


def _init_code(build: dict[str, Any], deployed: DeployedContract) -> bytes:
    """Return the init code with the file's arguments."""
    try:
        bytes.fromhex(deployed.salt.removeprefix("0x"))
        return create2.init_code(build, list(deployed.constructor.values()))
    except (ValueError, TypeError, AttributeError, EncodingError) as error:
        raise BadInput(
            f"the deployment file gives {deployed.name} a salt or arguments that its constructor does not take: {error}"
        ) from error


def lines(result: dict[str, Any]) -> list[str]:
    """Return what was found, in lines for a person."""
    found = []
    for row in result["contracts"]:
        differs = ", ".join(row["differs"])
        found.append(
            f"{row['name']} at {row['address']}: "
            + (f"NOT verified, {differs} differ" if differs else "verified")
        )
        if "block" in row:
            found.append(f"  {_of_block(**row['block'])}")
        if not differs:
            found += [f"  code {row['code_hash']}", f"  init code {row['init_code_hash']}"]
    found += map(_role_line, result["roles"])
    for row in result["handovers"]:
        said = f"a handover to {row['to']} has begun; it may accept from {row['from']} on"
        if not int(row["to"], 16):
            said = (
                f"the admin has begun to give it up, for nobody; it may do so from {row['from']} on"
            )
        found.append(f"{row['contract']} {ADMIN}: {said}")
    found += term_lines(result["terms"])
    if result["currency"] is not None:
        found += currency_lines(result["currency"])
    if result["class"] is not None:
        said = "NOT registered under this number" if result["class"]["differs"] else "registered"
        found.append(f"class {result['class']['id']} {result['class']['code']}: {said}")
    return found


def _role_line(row: dict[str, Any]) -> str:
    """Return who holds a role on chain, and whether the deployment file says so."""
    holders, named = ", ".join(row["holders"]) or "nobody", row["account"] or "nobody"
    if row["differs"]:
        said = f"NOT as in the file, which names {named}"
    elif row["account"] is None and row["holders"]:
        said = "the file names no such role"
    elif len(row["holders"]) > 1:
        said = f"as in the file, which names {named} alone"
    else:
        said = "as in the file"
    return f"{row['contract']} {row['role']}: {holders}; {said}"


def _of_block(file: int, chain: int | None) -> str:
    """Return what is wrong with the block of a contract in the deployment file, and how to mend it."""
    if chain is None:
        return f"its code does not begin in block {file}, as the deployment file says: correct `block` there"
    return f"it was made in block {chain}, and the deployment file says {file}: write {chain} as its `block` there"


def is_verified(result: dict[str, Any]) -> bool:
    """Return whether nothing differs."""
    rows = [*result["contracts"], *result["roles"], result["currency"], result["class"]]
    return not any(row["differs"] for row in rows if row is not None)


def main() -> None:
    from brownie import network, web3

    ask_again(web3)
    network_name = os.environ.get("TRUETONNE_NETWORK") or network.show_active()
    choice = {"TRUETONNE_NETWORK": network_name, "TRUETONNE_RPC_URL": web3.provider.endpoint_uri}
    try:
        settings = load_settings(None, {**os.environ, **choice})
        deployment = Deployment.load(settings.deployment)
        with closing(ChainClient(web3.provider.endpoint_uri)) as client:
            deployment.check(client)
        result = verify(asking(web3), deployment)
        verified = [row["name"] for row in result["contracts"] if not row["differs"]]
        said = [*lines(result), *mark_verified(settings, deployment, verified)]
        print("\n".join(said))
        if os.environ.get("TRUETONNE_VERIFY_RESULT"):  # for the command that ran this
            Path(os.environ["TRUETONNE_VERIFY_RESULT"]).write_text(
                json.dumps({**result, "verified": is_verified(result), "lines": said})
            )
    except Exception as error:  # whatever Brownie and web3 make of a node that refuses
        end_with("verify", error, web3.provider.endpoint_uri)
    if not is_verified(result):
        sys.exit("verify: not verified, see above")
