"""Recompile, and compare with what a network runs.

``./dev brownie run verify --network local`` compiles the committed sources, runs each constructor
with the arguments of the deployment file at the contract's own address (in a call: nothing is sent)
and compares the code it leaves with the deployed code, byte for byte, metadata hash and immutables
included. It also recomputes the CREATE2 address, which commits to code and arguments, and compares
every hash of the file. Contracts that agree become ``verified`` in ``smart_contracts``.

``truetonne chain verify`` runs this and shows the same.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from ledger.chain.book import DeployedContract, Deployment
from ledger.errors import DependencyDown, TruetonneError
from ledger.settings import Settings, load_settings
from scripts import create2
from scripts.export_abi import slim
from scripts.linking import linked_build


def differences(
    request: Callable[[str, list[Any]], Any], build: dict[str, Any], deployed: DeployedContract
) -> list[str]:
    """Return what of a deployed contract differs from the sources; nothing if it is verified."""
    arguments = list(deployed.constructor.values())
    init_code = create2.init_code(build, arguments)
    code = bytes.fromhex(request("eth_getCode", [deployed.address, "latest"])[2:])
    salt = bytes.fromhex(deployed.salt[2:])
    constructed = create2.constructed(request, deployed.address, init_code)
    compared = {
        "names of the constructor's arguments": (
            create2.named_arguments(build, arguments),
            deployed.constructor,
        ),
        "hash of the init code": ("0x" + keccak(init_code).hex(), deployed.init_code_hash),
        "address": (create2.address_of(salt, init_code).lower(), deployed.address),
        "code": (constructed, code),
        "hash of the code": ("0x" + keccak(code).hex(), deployed.code_hash),
        "hash of the sources": (slim(build)["sourceHash"], deployed.source_hash),
    }
    return [name for name, (expected, found) in compared.items() if expected != found]


def mark_verified(settings: Settings, deployment: Deployment, names: list[str]) -> None:
    """Set the status of rows in ``smart_contracts``."""
    from ledger.chain.deployment import mark_verified as mark
    from ledger.db import Database

    database = Database(settings.database_url)
    database.run(lambda session: mark(session, deployment, names))


def main() -> None:
    from brownie import network, project, web3

    def request(method: str, parameters: list[Any]) -> Any:
        answer = web3.provider.make_request(method, parameters)
        if "error" in answer:
            raise DependencyDown(f"the node refused {method}: {answer['error'].get('message')}")
        return answer["result"]

    network_name = os.environ.get("TRUETONNE_NETWORK") or network.show_active()
    choice = {"TRUETONNE_NETWORK": network_name, "TRUETONNE_RPC_URL": web3.provider.endpoint_uri}
    try:
        settings = load_settings(None, {**os.environ, **choice})
        deployment = Deployment.load(settings.deployment)
        compiled = project.get_loaded_projects()[0]
        verified, wrong, rows = [], [], []
        for name, deployed in deployment.contracts.items():
            found = differences(request, linked_build(compiled, name), deployed)
            (wrong if found else verified).append(name)
            hashes = {"code_hash": deployed.code_hash, "init_code_hash": deployed.init_code_hash}
            rows.append({"name": name, "address": deployed.address, "differs": found, **hashes})
            print(
                f"{name} {deployed.address}: {', '.join(found) + ' differ' if found else 'verified'}"
            )
        if os.environ.get("TRUETONNE_VERIFY_RESULT"):  # for the command that ran this
            Path(os.environ["TRUETONNE_VERIFY_RESULT"]).write_text(json.dumps(rows))
        mark_verified(settings, deployment, verified)
    except TruetonneError as error:
        sys.exit(f"verify: {error.message}")
    if wrong:
        sys.exit(f"verify: {', '.join(wrong)} not verified")
