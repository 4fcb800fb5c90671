"""Change who holds a role, or who administers, after a deployment.

``./dev brownie run grant_roles grant CarbonCredit REGISTRAR_ROLE 0x... --network sepolia``;
``revoke`` takes a role away. A role of one class is written ``ISSUER:1`` or ``VERIFIER:1``.
``hand_over CarbonCredit 0x...`` begins the change of the admin, for instance to a timelock or a multisignature
account; ``accept CarbonCredit`` ends it when the delay is over, as that account; ``call_off CarbonCredit`` drops it.

What would change nothing is not sent: the grant of a role that the account has says so, and the revocation of one that
it has not is refused, as the account may be mistyped.

Settings and keys are those of ``deploy``. Where the key that is needed is not in the keystore, as that of a
multisignature account never is, nothing is sent, and the line says what that account is to send: to whom, and the data.
"""

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from eth_utils.address import to_checksum_address

from ledger.chain.addresses.book import Deployment
from ledger.chain.contracts.events import CREDIT, SETTLEMENT
from ledger.chain.node.client import ChainClient
from ledger.errors import BadInput
from ledger.settings import load_settings
from scripts.deploy import load_keys
from scripts.deploy_node import asking
from scripts.deploy_plan import check_address
from scripts.ending import end, end_with
from scripts.toolchain.brownie_asking import ask_again
from scripts.toolchain.brownie_fees import ask_plainly
from scripts.toolchain.brownie_patience import be_patient
from scripts.toolchain.brownie_sending import send_carefully
from scripts.verify_roles import Request, class_is_registered, told_time

CLASS_ID_MAX = 2**32 - 1
_OF_A_CLASS = ("ISSUER", "VERIFIER")
_VERBS = (
    "grant CONTRACT ROLE ACCOUNT, revoke CONTRACT ROLE ACCOUNT, hand_over CONTRACT ACCOUNT, accept CONTRACT, or "
    "call_off CONTRACT"
)


@dataclass(frozen=True)
class _Stage:
    """A contract, and who acts on it."""

    contract: Any
    keys: dict[str, Any]
    """Brownie's account by address."""
    deployment: Deployment
    request: Request

    def send(self, function: str, *arguments: Any, sender: str | None = None) -> None:
        """Have the admin, or another account, call a function of the contract.

        Raises
        ------
        BadInput
            If its key is not at hand; with what it is to send.
        """
        part, account = "account", sender
        if account is None:
            part, account = "admin", self.contract.defaultAdmin()
        method = getattr(self.contract, function)
        if account not in self.keys:
            raise BadInput(
                f"the key of the {part} {account} is not in the keystore, and nothing was sent. Where that is a "
                f"multisignature account or a timelock, have it call {function}: to {self.contract.address}, value 0, "
                f"data {method.encode_input(*arguments)}"
            )
        method(*arguments, {"from": self.keys[account]})


def class_of(role: str) -> int | None:
    """Return the class of a role that is of one class alone, None for any other.

    Raises
    ------
    BadInput
        If it is of a class whose number none can have.
    """
    kind, colon, digits = role.partition(":")
    if not colon or kind not in _OF_A_CLASS:
        return None
    short = digits.isascii() and digits.isdigit() and len(digits) <= len(str(CLASS_ID_MAX))
    if not short or int(digits) > CLASS_ID_MAX:
        raise BadInput(f"{role!r} is of no class: write {kind}:1, with the number of the class")
    return int(digits)


def role_of(contract: Any, text: str) -> Any:
    """Return a role by its name.

    Raises
    ------
    BadInput
        If the contract knows no such role.
    """
    class_id, getter = class_of(text), f"{text.partition(':')[0].lower()}Role"
    if class_id is not None and hasattr(contract, getter):
        return getattr(contract, getter)(class_id)
    if text.endswith("_ROLE") and text != "DEFAULT_ADMIN_ROLE" and hasattr(contract, text):
        return getattr(contract, text)()
    raise BadInput(
        f"this contract has no role {text!r}: write REGISTRAR_ROLE and the like, or of {CREDIT} ISSUER:1 and VERIFIER:1"
    )


def grant(*words: str) -> None:
    name, role, account = _words("grant", words, 3)

    def act(stage: _Stage) -> None:
        address = _address(account)
        wanted, class_id = role_of(stage.contract, role), class_of(role)
        if class_id is not None and not class_is_registered(
            stage.request, stage.deployment, class_id
        ):
            raise BadInput(
                f"class {class_id} is not registered: do that first, or correct {role!r}"
            )
        if stage.contract.hasRole(wanted, address):
            print(f"nothing was sent: {account} has {role} already")
            return
        stage.send("grantRole", wanted, address)

    _on_stage(name, act, account)


def revoke(*words: str) -> None:
    name, role, account = _words("revoke", words, 3)

    def act(stage: _Stage) -> None:
        address = _address(account)
        wanted = role_of(stage.contract, role)
        if not stage.contract.hasRole(wanted, address):
            raise BadInput(f"{account} does not have {role}: `./dev chain verify` lists who has it")
        stage.send("revokeRole", wanted, address)

    _on_stage(name, act, account)


def hand_over(*words: str) -> None:
    name, account = _words("hand_over", words, 2)

    def act(stage: _Stage) -> None:
        address = _address(account)
        if stage.contract.defaultAdmin() == address:
            print(f"nothing was sent: {account} is the admin already")
            return
        stage.send("beginDefaultAdminTransfer", address)

    _on_stage(name, act, account)


def accept(*words: str) -> None:
    (name,) = _words("accept", words, 1)

    def act(stage: _Stage) -> None:
        heir, from_s = _begun(stage)
        if not int(heir, 16):
            raise BadInput(
                "the admin has begun to give its role up, for nobody: there is none who accepts; `call_off` drops it"
            )
        newest = stage.request("eth_getBlockByNumber", ["latest", False])
        # A quiet chain has no block of today: the next one will be of about now.
        if max(int(newest["timestamp"], 16), datetime.now(UTC).timestamp()) <= from_s:
            raise BadInput(f"{heir} may accept after {told_time(from_s)}, and not before")
        stage.send("acceptDefaultAdminTransfer", sender=heir)

    _on_stage(name, act)


def call_off(*words: str) -> None:
    (name,) = _words("call_off", words, 1)

    def act(stage: _Stage) -> None:
        _begun(stage)
        stage.send("cancelDefaultAdminTransfer")

    _on_stage(name, act)


def _begun(stage: _Stage) -> tuple[str, int]:
    """Return to whom the admin has begun to hand its role over, and after which second that account may accept.

    Raises
    ------
    BadInput
        If it has not begun to.
    """
    heir, from_s = stage.contract.pendingDefaultAdmin()
    if not from_s:
        raise BadInput(f"no handover of {stage.contract._name} has begun: `hand_over` begins one")
    return heir, int(from_s)


def main(*_: str) -> None:
    end("grant_roles", BadInput(f"say what to do: {_VERBS}"))


def _words(verb: str, words: tuple[str, ...], count: int) -> tuple[str, ...]:
    """Return the words of a command, if they are as many as it takes."""
    if len(words) != count:
        end("grant_roles", BadInput(f"{verb} takes {count} words, found {len(words)}: {_VERBS}"))
    return words


def _address(text: str) -> str:
    return str(to_checksum_address(text))


def _on_stage(name: str, act: Callable[[_Stage], Any], account: str | None = None) -> None:
    """Look at contract, account and keys, and act."""
    from brownie import accounts, network, project, web3

    network_name = os.environ.get("TRUETONNE_NETWORK") or network.show_active()
    try:
        if name not in (CREDIT, SETTLEMENT):
            raise BadInput(f"{name!r} has no roles and no admin: name {CREDIT} or {SETTLEMENT}")
        if account is not None:
            check_address("the account", account)
        choice = {
            "TRUETONNE_NETWORK": network_name,
            "TRUETONNE_RPC_URL": web3.provider.endpoint_uri,
        }
        settings = load_settings(None, {**os.environ, **choice})
        deployment = Deployment.load(settings.deployment)
        with closing(ChainClient(web3.provider.endpoint_uri)) as client:
            deployment.check(client)  # the addresses are those of every chain
        be_patient(web3)
        ask_again(web3)
        ask_plainly(web3, network)
        send_carefully(settings.max_fee_gwei)
        contract = project.get_loaded_projects()[0][name].at(
            to_checksum_address(deployment.contract(name).address), persist=False
        )
        keys = {each.address: each for each in load_keys(accounts, settings, web3.eth.chain_id)}
        act(_Stage(contract, keys, deployment, asking(web3)))
    except Exception as error:  # whatever Brownie and web3 make of a node that refuses
        end_with("grant_roles", error, web3.provider.endpoint_uri)
