"""Change who holds a role, or who administers, after a deployment.

``./dev brownie run grant_roles grant CarbonCredit REGISTRAR_ROLE 0x... --network sepolia``;
``revoke`` takes a role away. A role of one class is written ``ISSUER:1`` or ``VERIFIER:1``.
``hand_over CarbonCredit 0x...`` begins the change of the admin, for instance to a timelock, which
accepts by ``acceptDefaultAdminTransfer()`` when the delay is over.

Settings and keys are those of ``deploy``; the admin's key must be in the keystore.
"""

import os
import sys
import traceback
from collections.abc import Callable
from contextlib import closing
from typing import Any

from eth_utils.address import to_checksum_address

from ledger.chain.addresses.book import Deployment
from ledger.chain.node.client import ChainClient
from ledger.errors import BadInput, TruetonneError
from ledger.settings import load_settings
from scripts.deploy import end, load_keys, refused
from scripts.deploy_plan import check_address
from scripts.toolchain.brownie_fees import ask_plainly


def role_of(contract: Any, text: str) -> Any:
    """Return a role by its name.

    Raises
    ------
    BadInput
        If the contract knows no such role.
    """
    kind, colon, class_id = text.partition(":")
    if colon and kind in ("ISSUER", "VERIFIER") and class_id.isascii() and class_id.isdigit():
        return getattr(contract, f"{kind.lower()}Role")(int(class_id))
    if text.endswith("_ROLE") and text != "DEFAULT_ADMIN_ROLE" and hasattr(contract, text):
        return getattr(contract, text)()
    raise BadInput(f"no role {text!r}: write REGISTRAR_ROLE and the like, ISSUER:1 or VERIFIER:1")


def grant(name: str, role: str, account: str) -> None:
    _as_admin(
        name,
        account,
        lambda contract, address, sender: contract.grantRole(
            role_of(contract, role), address, sender
        ),
    )


def revoke(name: str, role: str, account: str) -> None:
    _as_admin(
        name,
        account,
        lambda contract, address, sender: contract.revokeRole(
            role_of(contract, role), address, sender
        ),
    )


def hand_over(name: str, account: str) -> None:
    _as_admin(
        name,
        account,
        lambda contract, address, sender: contract.beginDefaultAdminTransfer(address, sender),
    )


def main() -> None:
    sys.exit("grant_roles: say what to do: grant, revoke or hand_over")


def _as_admin(name: str, account: str, act: Callable[[Any, str, dict[str, Any]], Any]) -> None:
    from brownie import accounts, network, project, web3

    network_name = os.environ.get("TRUETONNE_NETWORK") or network.show_active()
    try:
        choice = {
            "TRUETONNE_NETWORK": network_name,
            "TRUETONNE_RPC_URL": web3.provider.endpoint_uri,
        }
        settings = load_settings(None, {**os.environ, **choice})
        deployment = Deployment.load(settings.deployment)
        if name not in deployment.contracts:
            raise BadInput(f"{settings.deployment} has no contract {name!r}")
        check_address("the account", account)
        with closing(ChainClient(web3.provider.endpoint_uri)) as client:
            deployment.check(client)  # the addresses are those of every chain
        ask_plainly(web3, network)
        contract = project.get_loaded_projects()[0][name].at(
            to_checksum_address(deployment.contracts[name].address), persist=False
        )
        keys = {each.address: each for each in load_keys(accounts, settings, web3.eth.chain_id)}
        admin = contract.defaultAdmin()
        if admin not in keys:
            raise BadInput(f"the key of the admin {admin} is not in the keystore")
        act(contract, to_checksum_address(account), {"from": keys[admin]})
    except TruetonneError as error:
        end("grant_roles", error)
    except Exception as error:  # whatever Brownie and web3 make of a node that refuses
        traceback.print_exc()
        end("grant_roles", refused(error))
