"""Deploy the contracts, grant the roles, register the class, write the deployment file.

``./dev brownie run deploy --network local`` with ``TRUETONNE_RPC_URL`` set works on a node that
runs already and never resets it; ``--network sepolia`` and the others of ``networks.yaml`` are live
networks. Every step looks first whether it is done, so a second run changes nothing and a run that
was cut off is finished by the next.

On chain 31337, without a keystore, Anvil's well-known accounts hold the roles. Elsewhere
``TRUETONNE_KEYSTORE`` and ``TRUETONNE_KEYSTORE_PASSWORD_FILE`` give the keys, ``TRUETONNE_MAX_FEE_GWEI``
is the most that is paid for gas, and these variables give the rest; an account is an address:

- ``TRUETONNE_DEPLOY_ADMIN``: who deploys, and administers from then on; needed when the keystore
  holds several keys. ``scripts/grant_roles.py`` hands over to a timelock later.
- ``TRUETONNE_DEPLOY_ISSUER``, ``_VERIFIER``, ``_OWNER``: three different parties.
- ``TRUETONNE_DEPLOY_REGISTRAR``, ``_OPERATOR``, ``_PAUSER``: the admin, if not given. The
  registrar's key must be at hand, and have money for one transaction. The pauser pauses both contracts,
  and is the suspender of batches.
- ``TRUETONNE_DEPLOY_CURRENCY``: the ERC-20 of settlement; on chain 31337 a test currency.
- ``TRUETONNE_DEPLOY_WINDOW``: seconds before a settlement may be finalized (1 local, 3600 else).
- ``TRUETONNE_DEPLOY_ADMIN_DELAY``: seconds that a change of admin waits (0 local, 172800 else).
- ``TRUETONNE_DEPLOY_DISPUTE_TIMEOUT`` in seconds (3600 local, 259200 else), ``_DISPUTE_BOND`` in
  cents (0 local, 10000 else): of a disputed settlement.
- ``TRUETONNE_DEPLOY_NOTIONAL_CAP`` in cents (10^12 local, 10^8 else), ``_CREDIT_CAP`` in kilograms
  (10^12 local, 10^7 else): the most that the operator settles in one call.
- ``TRUETONNE_DEPLOY_COLLECTOR``, ``_ARBITER``: who gets fees, who rejects disputes; the admin, if
  not given. ``_MEMBER``: who sends what all parties have signed; the operator, if not given.
- ``TRUETONNE_DEPLOY_CLASS``, ``_METHODOLOGY``, ``_CLASS_CAP_KG``: the class that is registered; the cap is below 10^12.
- ``TRUETONNE_DEPLOY_BUFFER_BPS``: the share of every issuance of the class that goes to the
  buffer, in hundredths of a percent (0; at most 5000).
- ``TRUETONNE_DEPLOY_REVERSER``: who may propose to invalidate a batch. Not the admin, who executes
  it: without another account nobody has the role.
"""

import json
import os
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from ledger.chain.contracts.currency import stated_symbol
from ledger.chain.contracts.events import CREDIT, SETTLEMENT
from ledger.chain.keys.keystore import files_of
from ledger.chain.keys.signers import keystore_password
from ledger.chain.node.client import ChainClient
from ledger.chain.node.records import HASH
from ledger.errors import BadInput, DependencyDown
from ledger.files import part_in, put
from ledger.settings import LOCAL_CHAIN_ID, Settings, load_settings
from scripts import create2
from scripts.deploy_checks import check_before
from scripts.deploy_node import asking, put_factory
from scripts.deploy_plan import Plan, check_network, make_plan
from scripts.deploy_roles import State, class_terms, lines, require_admin, rows, state_of
from scripts.deploy_told import keystore_of
from scripts.ending import end_with
from scripts.export_abi import slim
from scripts.linking import LIBRARIES, linked_build
from scripts.toolchain.brownie_asking import ask_again
from scripts.toolchain.brownie_fees import ask_plainly
from scripts.toolchain.brownie_patience import be_patient
from scripts.toolchain.brownie_sending import send_carefully


def step(text: str) -> None:
    """Say what is done next: the command that ran this passes such a line on while others wait in its log."""
    print(f"step: {text}", flush=True)


class Deployer:
    """Brings a network to what a plan says, step by step, skipping what is done."""

    def __init__(self, project: Any, web3: Any, plan: Plan, earlier: dict[str, Any]) -> None:
        self.project = project
        self.web3 = web3
        self.plan = plan
        self.earlier = earlier
        """The contracts of the deployment file that is there, by name."""
        self.salt = create2.salt()
        self.contracts: dict[str, dict[str, Any]] = {}
        self._request = asking(web3)

    def run(self) -> dict[str, Any]:
        """Do all steps and return the deployment file's content."""
        plan, codes = self.plan, self.codes()
        check_before(self.project, self.web3, plan, {name: at[:2] for name, at in codes.items()})
        put_factory(self.web3, plan)
        contracts = {
            name: self.contract(name, arguments) for name, (*_, arguments) in codes.items()
        }
        credit, settlement = contracts["CarbonCredit"], contracts["VppSettlement"]

        self.grant(credit, "REGISTRAR_ROLE", "registrar")
        class_id = self.register_class(credit)
        self.grant(credit, "issuerRole", "issuer", class_id)
        self.grant(credit, "verifierRole", "verifier", class_id)
        self.grant(credit, "PAUSER_ROLE", "pauser")
        self.grant(credit, "SUSPENDER_ROLE", "pauser")
        if "reverser" in plan.holders:
            self.grant(credit, "REVERSER_ROLE", "reverser")
        self.grant(settlement, "OPERATOR_ROLE", "operator")
        self.grant(settlement, "PAUSER_ROLE", "pauser")
        self.grant(settlement, "ARBITER_ROLE", "arbiter")
        self.grant(settlement, "MEMBER_ROLE", "member")

        return {
            "network": plan.network,
            "chain_id": self.web3.eth.chain_id,
            "genesis_hash": _hex(self.web3.eth.get_block(0)["hash"]),
            "deployed_block": min(each["block"] for each in self.contracts.values()),
            "contracts": self.contracts,
            "accounts": {role: holder.lower() for role, holder in plan.holders.items()},
            "class": {"id": class_id, "code": plan.class_code},
        }

    def look(self) -> dict[str, Any]:
        """Check all that a run checks before it sends, and say what it would do.

        Returns
        -------
        dict
            ``contracts``, for each its ``address``, whether it ``stands``, and the arguments of its ``constructor`` as
            text; ``roles``, see ``deploy_roles.rows``; the ``class``; ``lines``, terms and roles for a person.
        """
        codes = self.codes()
        check_before(
            self.project, self.web3, self.plan, {name: at[:2] for name, at in codes.items()}
        )
        contracts, standing = {}, {}
        for name, (at, code, arguments) in codes.items():
            stands = bool(self.web3.eth.get_code(at))
            given = create2.named_arguments(linked_build(self.project, name), arguments)
            told = {key: str(value) for key, value in given.items()}  # some count carbon or money
            contracts[name] = {"address": at.lower(), "stands": stands, "constructor": told}
            if stands:
                standing[name] = at, partial(self._since, name, at, code)
        found = {
            "contracts": contracts,
            "roles": rows(self._request, self.plan, standing),
            "class": class_terms(self.plan),
        }
        return {**found, "lines": lines(found)}

    def _since(self, name: str, address: str, code: bytes) -> int:
        """Return the block in which a contract that stands was made."""
        return self._birth(name, address, "0x" + (self.salt + code).hex())[0]

    def codes(self) -> dict[str, tuple[str, bytes, list[Any]]]:
        """Return address, init code and arguments of each contract, in the order in which they are deployed."""
        found: dict[str, tuple[str, bytes, list[Any]]] = {}

        def add(name: str, arguments: list[Any]) -> str:
            code = create2.init_code(linked_build(self.project, name), arguments)
            address = create2.address_of(self.salt, code)
            found[name] = (address, code, arguments)
            return address

        for library in LIBRARIES:
            add(library, [])
        credit = add("CarbonCredit", [self.plan.holders["admin"], self.plan.admin_delay_s])
        currency = self.plan.currency or add("TestCurrency", [])
        add("VppSettlement", self.settlement_terms(currency, credit))
        return found

    def settlement_terms(self, currency: str, credits_: str) -> list[Any]:
        """Return the arguments of the settlement's constructor."""
        plan = self.plan
        return [
            plan.holders["admin"],
            plan.admin_delay_s,
            currency,
            credits_,
            plan.window_s,
            plan.dispute_timeout_s,
            plan.dispute_bond_cents,
            plan.notional_cap_cents,
            plan.credit_cap_kg,
            plan.holders["collector"],
        ]

    def contract(self, name: str, arguments: list[Any]) -> Any:
        """Deploy a contract, or find it where this code and these arguments put it."""
        build = linked_build(self.project, name)
        init_code = create2.init_code(build, arguments)
        address = create2.address_of(self.salt, init_code)
        data = "0x" + (self.salt + init_code).hex()
        if self.web3.eth.get_code(address):
            block, tx_hash = self._birth(name, address, data)
        else:
            step(f"deploying {name}")
            sent = self.plan.key("admin").transfer(create2.FACTORY, 0, data=data)
            block, tx_hash = sent.block_number, _hex(sent.txid)
        code = bytes(self.web3.eth.get_code(address))
        if code != create2.constructed(self._request, address, init_code, self.salt, block):
            raise DependencyDown(f"the code of {name} at {address} is not what was deployed")
        self.contracts[name] = {
            "address": address.lower(),
            "constructor": create2.named_arguments(build, arguments),
            "salt": _hex(self.salt),
            "init_code_hash": _hex(keccak(init_code)),
            "code_hash": _hex(keccak(code)),
            "block": block,
            "tx_hash": tx_hash,
            "source_hash": slim(build)["sourceHash"],
        }
        return self.project[name].at(address, persist=False)  # local chains come and go

    def grant(self, contract: Any, name: str, holder: str, *class_id: int) -> None:
        """Grant a role, which a function of the contract returns, unless it is held, or was taken from the account.

        Who lost a role, as one whose key was stolen, does not get it back: others may have it by now, or nobody.

        Raises
        ------
        BadInput
            If another is the admin by now, and the account never had the role.
        """
        account, role = self.plan.holders[holder], bytes(getattr(contract, name)(*class_id))
        what, first = f"{name} of {contract._name}", self.contracts[contract._name]["block"]
        state = state_of(self._request, contract.address, role, account, lambda: first)
        if state is State.HAS:
            return
        if state is State.TAKEN:
            step(f"{what} was taken from the {holder} {account}, and is not given back")
            return
        require_admin(self._request, contract.address, self.plan, holder, what)
        step(f"granting {what} to the {holder}")
        contract.grantRole(role, account, {"from": self.plan.key("admin")})

    def register_class(self, credit: Any) -> int:
        """Register the class unless its code is taken, and return its id."""
        plan = self.plan
        if not credit.classOfCode(plan.class_code):
            step(f"registering the class {plan.class_code}")
            methodology_hash = keccak(text=plan.methodology)
            terms = (plan.class_code, methodology_hash, plan.class_cap_kg, plan.buffer_bps)
            credit.registerClass(*terms, {"from": plan.key("registrar")})
        return int(credit.classOfCode(plan.class_code))

    def _birth(self, name: str, address: str, data: str) -> tuple[int, str | None]:
        """Return block and transaction in which a contract that is there already was deployed.

        No transaction when it came from within another one: anybody may ask the factory, by a contract, too.
        """
        earlier = self.earlier.get(name, {})
        if earlier.get("tx_hash") and earlier["address"] == address.lower():
            known = self._request("eth_getTransactionByHash", [earlier["tx_hash"]])
            if known and self._made(known, data):  # the file is believed in nothing
                return int(known["blockNumber"], 16), earlier["tx_hash"]
        head = int(self.web3.eth.block_number)
        try:
            number = self._first_with_code(address, head)
        except DependencyDown:  # a local chain is short, and its node keeps few old states
            if self.web3.eth.chain_id != LOCAL_CHAIN_ID:
                raise
            for number in range(head + 1):
                found = self._made_in(number, data)
                if found is not None:
                    return number, found
            raise
        return number, self._made_in(number, data)

    def _first_with_code(self, address: str, head: int) -> int:
        """Return the first block that has the code of a contract; needs a node that keeps old states."""
        low, high = 0, head
        while low < high:
            middle = (low + high) // 2
            code = self._request("eth_getCode", [address, hex(middle)])
            low, high = (low, middle) if code != "0x" else (middle + 1, high)
        return low

    def _made_in(self, number: int, data: str) -> str | None:
        """Return the transaction of a block that had the factory make what this data makes."""
        block = self._request("eth_getBlockByNumber", [hex(number), True])
        for transaction in block["transactions"]:
            if self._made(transaction, data):
                return str(transaction["hash"])
        return None

    def _made(self, transaction: dict[str, Any], data: str) -> bool:
        """Return whether a transaction had the factory make what this data makes: once more, it refuses."""
        to = (transaction["to"] or "").lower()  # nodes may write capitals
        if (transaction["input"], to) != (data, create2.FACTORY.lower()):
            return False
        receipt = self._request("eth_getTransactionReceipt", [transaction["hash"]])
        return receipt is not None and int(receipt["status"], 16) == 1


def _hex(value: Any) -> str:
    return value.lower() if isinstance(value, str) else "0x" + bytes(value).hex()


def load_keys(accounts: Any, settings: Settings, chain_id: int) -> list[Any]:
    """Return the accounts that can sign: the keystore's, or Anvil's well-known ones.

    Raises
    ------
    BadInput
        If the keystore or its password is missing or cannot be read, or the password file is open to others.
    """
    keystore = keystore_of(settings, chain_id)
    if keystore is None:
        words = "test test test test test test test test test test test junk"
        return list(accounts.from_mnemonic(words, count=10))
    folder, password_file = keystore
    password = keystore_password(password_file)
    return [_unlocked(accounts, file, password) for file in files_of(folder)]


def _unlocked(accounts: Any, file: Path, password: str) -> Any:
    try:
        account = accounts.load(str(file.resolve()), password)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{file} in the keystore folder cannot be unlocked: {error}; it is no keystore file, or of another password"
        ) from error
    return account


def earlier_contracts(path: Path, genesis_hash: str) -> dict[str, Any]:
    """Return the contracts of a deployment file on the same chain; none of what is no such, or was edited by hand."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        same_chain, contracts = raw["genesis_hash"] == genesis_hash, raw["contracts"].items()
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}
    return {name: each for name, each in contracts if same_chain and _is_entry(each)}


def recipients(path: Path, earlier: dict[str, Any]) -> dict[str, Any]:
    """Return the part of the file that only people write, to be kept: empty where the file is of no such chain."""
    if not earlier:
        return {}
    kept = json.loads(path.read_text(encoding="utf-8")).get("recipients")
    return {"recipients": kept} if kept else {}


def symbol(contracts: dict[str, Any], rpc_url: str) -> dict[str, str]:
    """Return the part of the file that says what the settlement currency calls itself; empty where it states nothing.

    The pages name the currency by it: they ask no node.
    """
    with closing(ChainClient(rpc_url)) as client:
        found = stated_symbol(client, str(contracts[SETTLEMENT]["constructor"]["currency"]))
    return {"currency_symbol": found} if found else {}


def require_accounts(path: Path, earlier: dict[str, Any], deployer: Deployer) -> None:
    """Refuse to write other accounts over those that the file of the same contracts has: somebody corrected them.

    Raises
    ------
    BadInput
        If the file has another account for a role than this run would write.
    """
    places = {name: at.lower() for name, (at, *_) in deployer.codes().items()}
    stood = {name: each["address"].lower() for name, each in earlier.items()}
    if any(stood.get(name) != places[name] for name in (CREDIT, SETTLEMENT)):
        return
    kept = json.loads(path.read_text(encoding="utf-8")).get("accounts")
    for role, holder in deployer.plan.holders.items():
        named = kept.get(role) if isinstance(kept, dict) else None
        if isinstance(named, str) and named.lower() != holder.lower():
            raise BadInput(
                f"{path} has {named} as {role}, and this run would write {holder}: the contracts stand already, and "
                "the file goes by who has the roles today; to have it written anew, put it aside first"
            )


def _is_entry(contract: Any) -> bool:
    """Return whether the entry of a contract has an address, and the hash of a transaction if it has one."""
    if not isinstance(contract, dict) or not isinstance(contract.get("address"), str):
        return False
    tx_hash = contract.get("tx_hash")
    return tx_hash is None or HASH.fullmatch(str(tx_hash).lower()) is not None


def write(path: Path, content: dict[str, Any]) -> None:
    """Write the deployment file in one step, so that a power cut leaves it whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with part_in(path.parent) as draft:
        draft.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        put(draft, path)


def record(settings: Settings, rpc_url: str) -> None:
    """Store a row for each contract in ``smart_contracts``."""
    from ledger.chain.addresses.book import Deployment
    from ledger.chain.addresses.deployment import record as record_rows
    from ledger.db import Database

    with (
        closing(Database(settings.database_url)) as database,
        closing(ChainClient(rpc_url)) as client,
    ):
        record_rows(database, client, Deployment.load(settings.deployment))


def require_books(
    settings: Settings, chain: tuple[int, str], addresses: dict[str, str], *, upgrade: bool
) -> None:
    """Refuse another chain than the books mirror, and contracts beside theirs, before anything is sent.

    Parameters
    ----------
    chain
        Its number, and the hash of its first block.
    upgrade
        Make the tables, or upgrade them; else books without any are of no contracts.
    """
    from ledger.chain.addresses.kept import (
        require_same_chain,
        require_same_contracts,
        require_same_name,
    )
    from ledger.db import Database

    if upgrade:
        with closing(Database(settings.database_admin_url)) as database:
            database.upgrade()
    else:
        with closing(Database(settings.database_url)) as database:
            if database.current() is None:
                return
    with closing(Database(settings.database_url)) as database, database.read() as session:
        require_same_chain(session, settings.network, *chain)
        require_same_name(session, settings.network)
        require_same_contracts(session, addresses)


def main() -> None:
    from brownie import accounts, network, project, web3

    be_patient(web3)
    ask_again(web3)
    rpc_url = web3.provider.endpoint_uri
    active = network.show_active()
    name = os.environ.get("TRUETONNE_NETWORK") or active
    try:
        if active == "development" and os.environ.get("TRUETONNE_RPC_URL"):
            raise BadInput("TRUETONNE_RPC_URL is for a running node: add --network local")
        choice = {"TRUETONNE_NETWORK": name, "TRUETONNE_RPC_URL": rpc_url}
        settings = load_settings(None, {**os.environ, **choice})
        with closing(ChainClient(rpc_url)) as client:
            chain_id = client.chain_id()
        ask_plainly(web3, network)
        send_carefully(settings.max_fee_gwei)
        check_network(name, network_chain_id(name), chain_id)
        keys = load_keys(accounts, settings, chain_id)
        plan = make_plan(name, os.environ, chain_id, keys)
        genesis_hash = _hex(web3.eth.get_block(0)["hash"])
        earlier = earlier_contracts(settings.deployment, genesis_hash)
        deployer = Deployer(project.get_loaded_projects()[0], web3, plan, earlier)
        recorded = active != "development" or bool(os.environ.get("TRUETONNE_DATABASE_URL"))
        result = os.environ.get("TRUETONNE_TRY_RESULT")  # of the command that ran this to try it
        if recorded:
            codes = deployer.codes()
            addresses = {each: codes[each][0].lower() for each in (CREDIT, SETTLEMENT)}
            require_books(settings, (chain_id, genesis_hash), addresses, upgrade=not result)
        require_accounts(settings.deployment, earlier, deployer)
        if result:
            Path(result).write_text(json.dumps(deployer.look()), encoding="utf-8")
            return
        content = deployer.run() | recipients(settings.deployment, earlier)
        content |= symbol(content["contracts"], rpc_url)
        write(settings.deployment, content)
        print(f"written: {settings.deployment}")
        if recorded:
            record(settings, rpc_url)
    except Exception as error:  # whatever Brownie and web3 make of a node that refuses
        after = "; what stands stays, and the next run goes on from there"
        end_with("deploy", error, rpc_url, after)


def network_chain_id(name: str) -> int | None:
    """Return the chain id that ``networks.yaml`` gives a network; None when it gives none."""
    from brownie._config import CONFIG

    given = str(CONFIG.networks.get(name, {}).get("chainid", ""))
    return int(given) if given.isdigit() else None
