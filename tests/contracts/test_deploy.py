"""scripts/deploy.py, and the scripts as they are run."""

import json
import os
import re
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from eth_utils.crypto import keccak
from sqlalchemy import delete

from ledger.chain.addresses.book import Deployment
from ledger.chain.contracts.events import SETTLEMENT
from ledger.db import Database
from ledger.errors import BadInput, DependencyDown, WrongChain
from ledger.models import ChainCursor, ChainEvent, SmartContract
from ledger.models.blockchain import ContractStatus
from ledger.settings import load_settings
from scripts import create2
from scripts.deploy import (
    Deployer,
    earlier_contracts,
    load_keys,
    network_chain_id,
    require_accounts,
    require_books,
    write,
)
from scripts.deploy_plan import check_network, make_plan
from scripts.toolchain.brownie_home import ROOT
from tests.contracts.deploying import post, request, request_checksum, running_node
from tests.contracts.park import LIBRARIES, private_key
from tests.support.forms import few, is_long, long, rest, times

CLASS = "internal-CCER-01-002-V01"
HERE = (31337, "0x" + "11" * 32)
"""The chain of books, as a script is told of it."""
ANVIL_ROLES = ("admin", "registrar", "issuer", "verifier", "owner")


# ------------------------------------------------------------------------------ the plan


def test_a_node_of_another_chain() -> None:
    """DP-05: the network's name is held against the node; a name that nobody knows is not."""
    assert [network_chain_id(name) for name in ("local", "sepolia", "lab")] == [
        31337,
        11155111,
        None,
    ]
    check_network("sepolia", 11155111, 11155111)
    check_network("lab", None, 1)
    with pytest.raises(WrongChain, match="the node serves chain id 1, and sepolia is 11155111"):
        check_network("sepolia", 11155111, 1)
    check_network("lab", None, 2**63 - 1)
    with pytest.raises(BadInput, match="the node serves chain id 9223372036854775808, and the"):
        check_network("lab", None, 2**63)


def test_the_local_plan(keys: list[Any]) -> None:
    """DP-03: Anvil's accounts in their order, a window of a second, a test currency."""
    plan = make_plan("local", {}, 31337, keys)
    assert [plan.holders[role] for role in ANVIL_ROLES] == keys[:5]
    assert (plan.holders["operator"], plan.holders["pauser"]) == (keys[7], keys[8])
    assert (plan.currency, plan.window_s, plan.admin_delay_s) == (None, 1, 0)
    assert (plan.dispute_timeout_s, plan.dispute_bond_cents) == (3600, 0)
    assert (plan.notional_cap_cents, plan.credit_cap_kg) == (10**12, 10**12)
    assert (plan.holders["arbiter"], plan.holders["collector"]) == (keys[0], keys[0])
    assert plan.holders["member"] == keys[7]
    assert (plan.holders["reverser"], plan.buffer_bps) == (keys[9], 0)
    assert (plan.class_code, plan.methodology) == (CLASS, "CCER-01-002/V01")


MISTYPED = private_key(1).address[:-1] + "A"  # another last digit: the checksum is no longer right


def live(**changes: str) -> dict[str, str]:
    """Return an environment for a live network, with changes."""
    addresses = {
        name: private_key(index).address
        for index, name in enumerate(("ISSUER", "VERIFIER", "OWNER", "CURRENCY"), 1)
    }
    given = {**addresses, **changes}
    return {f"TRUETONNE_DEPLOY_{name}": value for name, value in given.items()}


def test_a_live_plan(keys: list[Any]) -> None:
    """DP-03: the deployer holds what is given to nobody else."""
    plan = make_plan("sepolia", live(WINDOW="60", CLASS_CAP_KG="5"), 11155111, keys[:1])
    for role in ("admin", "registrar", "operator", "pauser"):
        assert plan.holders[role] == keys[0]
    assert plan.holders["verifier"] == keys[2]
    assert plan.currency == keys[4]
    assert (plan.window_s, plan.admin_delay_s, plan.class_cap_kg) == (60, 172_800, 5)
    assert (plan.dispute_timeout_s, plan.dispute_bond_cents) == (259_200, 10_000)
    assert (plan.notional_cap_cents, plan.credit_cap_kg) == (10**8, 10**7)
    with pytest.raises(BadInput, match="CLASS_CAP_KG must be at most 999999999999"):
        make_plan("sepolia", live(CLASS_CAP_KG="1000000000000"), 11155111, keys[:1])
    given = live(
        DISPUTE_TIMEOUT="61",
        DISPUTE_BOND="62",
        NOTIONAL_CAP="63",
        CREDIT_CAP="0",
        ARBITER=keys[5].address,
        MEMBER=keys[6].address,
        COLLECTOR=keys[7].address,
    )
    plan = make_plan("sepolia", given, 11155111, keys[:1])
    assert (plan.dispute_timeout_s, plan.dispute_bond_cents) == (61, 62)
    assert (plan.notional_cap_cents, plan.credit_cap_kg) == (63, 0)
    others = [plan.holders[role] for role in ("arbiter", "member", "collector")]
    assert others == [keys[5], keys[6], keys[7]]


def test_a_buffer(keys: list[Any]) -> None:
    """DP-03: none unless given."""
    assert make_plan("sepolia", live(), 11155111, keys[:1]).buffer_bps == 0
    assert make_plan("sepolia", live(BUFFER_BPS="1500"), 11155111, keys[:1]).buffer_bps == 1500


def test_nine_keys_of_a_keystore_are_not_anvils(keys: list[Any]) -> None:
    """DP-05: on a local chain, too, it is said which of them deploys."""
    with pytest.raises(BadInput, match="set TRUETONNE_DEPLOY_ADMIN"):
        make_plan("local", {}, 31337, keys[:9])


def test_a_reverser_is_another_one(keys: list[Any]) -> None:
    """DP-07: nobody unless given, and never the admin, however it is written."""
    assert "reverser" not in make_plan("sepolia", live(), 11155111, keys[:1]).holders
    given = live(REVERSER=keys[5].address.lower())
    assert make_plan("sepolia", given, 11155111, keys[:1]).holders["reverser"] == keys[5]
    for network, chain_id, own in (("sepolia", 11155111, keys[:1]), ("local", 31337, keys)):
        for address in (keys[0].address, keys[0].address.lower()):
            with pytest.raises(BadInput, match="admin and reverser must be two accounts"):
                make_plan(network, live(REVERSER=address), chain_id, own)
    with pytest.raises(BadInput, match="admin and reverser must be two accounts"):
        make_plan("local", live(ADMIN=keys[9].address), 31337, keys)


@pytest.mark.parametrize(
    ("environ", "keys_at_hand", "message"),
    [
        (live(CURRENCY=""), 1, "TRUETONNE_DEPLOY_CURRENCY"),
        (live(OWNER=""), 1, "TRUETONNE_DEPLOY_OWNER"),
        (live(ISSUER="0x12"), 1, "TRUETONNE_DEPLOY_ISSUER is not an address"),
        (live(REVERSER="0x12"), 1, "TRUETONNE_DEPLOY_REVERSER is not an address"),
        (live(BUFFER_BPS="1.5"), 1, "TRUETONNE_DEPLOY_BUFFER_BPS must be a whole number"),
        (live(ISSUER=private_key(2).address), 1, "three different accounts"),
        (live(WINDOW="an hour"), 1, "TRUETONNE_DEPLOY_WINDOW must be a whole number"),
        (live(CLASS=" "), 1, "TRUETONNE_DEPLOY_CLASS must be printable, without blanks"),
        (live(CLASS="VCS\n"), 1, "TRUETONNE_DEPLOY_CLASS must be printable, without blanks"),
        (live(BUFFER_BPS="5001"), 1, "TRUETONNE_DEPLOY_BUFFER_BPS must be at most 5000"),
        (live(WINDOW="-1"), 1, "TRUETONNE_DEPLOY_WINDOW must be a whole number"),
        (live(WINDOW="0"), 1, "TRUETONNE_DEPLOY_WINDOW must be 1 to 4294967295, found 0"),
        (live(WINDOW=str(2**32)), 1, "TRUETONNE_DEPLOY_WINDOW must be 1 to"),
        (live(DISPUTE_TIMEOUT="0"), 1, "TRUETONNE_DEPLOY_DISPUTE_TIMEOUT must be 1 to"),
        (live(DISPUTE_BOND=str(2**64)), 1, "TRUETONNE_DEPLOY_DISPUTE_BOND must be 0 to"),
        (live(NOTIONAL_CAP=str(2**64)), 1, "TRUETONNE_DEPLOY_NOTIONAL_CAP must be 0 to"),
        (live(ADMIN_DELAY=str(2**48)), 1, "TRUETONNE_DEPLOY_ADMIN_DELAY must be 0 to"),
        (live(CLASS="é" * 26), 1, "TRUETONNE_DEPLOY_CLASS must have at most 50 bytes, found 52"),
        (
            live(OPERATER="0x12"),
            1,
            "OPERATER is no variable .* did you mean TRUETONNE_DEPLOY_OPERATOR",
        ),
        (live(ISSUER=MISTYPED), 1, "TRUETONNE_DEPLOY_ISSUER is mistyped"),
        (live(MEMBER="0x" + "00" * 20), 1, "TRUETONNE_DEPLOY_MEMBER is the zero address"),
        (live(), 2, "TRUETONNE_DEPLOY_ADMIN"),
    ],
)
def test_a_plan_that_lacks_something(
    keys: list[Any], environ: dict[str, str], keys_at_hand: int, message: str
) -> None:
    """DP-05: the variable is named."""
    with pytest.raises(BadInput, match=message):
        make_plan("sepolia", environ, 11155111, keys[:keys_at_hand])


def test_a_key_that_is_not_at_hand(keys: list[Any]) -> None:
    """DP-05: the role and the account are named."""
    plan = make_plan("sepolia", live(REGISTRAR=keys[5].address), 11155111, keys[:1])
    with pytest.raises(BadInput, match=f"registrar {keys[5].address}"):
        plan.key("registrar")


def test_keys_of_a_keystore(tmp_path: Path, accounts: Any) -> None:
    """DP-05: files are unlocked with the password of a file; what is wrong is said."""
    from ledger.settings import load_settings

    folder, password = tmp_path / "keys", tmp_path / "password"
    folder.mkdir()
    environ = {"TRUETONNE_KEYSTORE": str(folder)}

    def keys_of(**changes: str) -> list[Any]:
        return load_keys(accounts, load_settings(None, {**environ, **changes}), 11155111)

    with pytest.raises(BadInput, match="TRUETONNE_KEYSTORE and"):
        load_keys(accounts, load_settings(None, {}), 11155111)
    with pytest.raises(BadInput, match="PASSWORD_FILE is not a file"):
        keys_of()
    password.write_text("secret\n")
    password.chmod(0o600)
    file = {"TRUETONNE_KEYSTORE_PASSWORD_FILE": str(password)}
    from eth_account import Account

    key = Account.create()
    (folder / "deployer.json").write_text(
        json.dumps(Account.encrypt(key.key, "secret", iterations=2))
    )
    (folder / "deployer.json").chmod(0o600)
    (folder / "old").mkdir()  # no file: passed over, as whoever sends passes it over
    assert [each.address for each in keys_of(**file)] == [key.address]
    password.chmod(0o640)
    with pytest.raises(BadInput, match="password is open to others; chmod 600"):
        keys_of(**file)
    password.chmod(0o600)
    with pytest.raises(BadInput, match=r"none cannot be read \(No such file"):
        keys_of(**file, TRUETONNE_KEYSTORE=str(tmp_path / "none"))
    password.write_text("guess\n")
    with pytest.raises(BadInput, match=r"deployer\.json in the keystore folder cannot be unlocked"):
        keys_of(**file)
    password.write_text("secret\n")
    for text in ("a note", "{}", "[]"):
        (folder / "notes.txt").write_text(text)
        with pytest.raises(BadInput, match=r"notes\.txt in the keystore folder cannot be unlocked"):
            keys_of(**file)


# ---------------------------------------------------------------------------- deployment


def test_addresses_commit_to_code_and_arguments(deployer: Deployer, tmp_path: Path) -> None:
    """DP-01: recomputed from the artifact in the package and the file alone."""
    path = tmp_path / "deployments" / "local.json"
    write(path, deployer.run())
    deployment = Deployment.load(path)
    assert deployment.chain_id == 31337
    assert deployment.deployed_block == 1
    types = {
        **{library: [] for library in LIBRARIES},
        "CarbonCredit": ["address", "uint48"],
        "TestCurrency": [],
        "VppSettlement": [
            *["address", "uint48", "address", "address", "uint32", "uint32"],
            *["uint64", "uint64", "uint64", "address"],
        ],
    }
    from eth_abi.abi import encode

    from ledger.chain.contracts.abi import artifact

    assert set(deployment.contracts) == set(types)
    for name, deployed in deployment.contracts.items():
        arguments = encode(types[name], list(deployed.constructor.values()))
        init_code = bytes.fromhex(artifact(name).bytecode[2:]) + arguments
        preimage = "ff4e59b44847b379578588920ca78fbf26c0b4956c" + deployed.salt[2:]
        digest = keccak(bytes.fromhex(preimage) + keccak(init_code))
        assert deployed.address == "0x" + digest[12:].hex()
        assert deployed.init_code_hash == "0x" + keccak(init_code).hex()
        code = request("eth_getCode", [deployed.address, "latest"])
        assert deployed.code_hash == "0x" + keccak(bytes.fromhex(code[2:])).hex()
        assert deployed.source_hash == artifact(name).source_hash
        receipt = request("eth_getTransactionReceipt", [deployed.tx_hash])
        assert int(receipt["blockNumber"], 16) == deployed.block
    assert deployment.contracts["VppSettlement"].constructor == {
        "admin": deployer.plan.holders["admin"],
        "adminDelay": 0,
        "currency": request_checksum(deployment.contracts["TestCurrency"].address),
        "credits": request_checksum(deployment.contracts["CarbonCredit"].address),
        "window": 1,
        "disputeTimeout": 3600,
        "disputeBond": 0,
        "notionalCap": 10**12,
        "creditCap": 10**12,
        "feeCollector": deployer.plan.holders["admin"],
    }


def test_roles_and_class(deployer: Deployer, brownie_project: Any) -> None:
    """DP-03: each role is with its account, and with no other."""
    content = deployer.run()
    of = content["accounts"]
    contracts = {
        name: brownie_project[name].at(request_checksum(each["address"]), persist=False)
        for name, each in content["contracts"].items()
    }
    credit, settlement = contracts["CarbonCredit"], contracts["VppSettlement"]
    assert content["class"] == {"id": 1, "code": CLASS}
    assert credit.classOf(1) == (10**12 - 1, 0, 0)
    expected = [
        (credit, credit.REGISTRAR_ROLE(), "registrar"),
        (credit, credit.issuerRole(1), "issuer"),
        (credit, credit.verifierRole(1), "verifier"),
        (credit, credit.PAUSER_ROLE(), "pauser"),
        (credit, credit.SUSPENDER_ROLE(), "pauser"),
        (credit, credit.REVERSER_ROLE(), "reverser"),
        (settlement, settlement.OPERATOR_ROLE(), "operator"),
        (settlement, settlement.PAUSER_ROLE(), "pauser"),
        (settlement, settlement.ARBITER_ROLE(), "arbiter"),
        (settlement, settlement.MEMBER_ROLE(), "member"),
    ]
    for contract, role, holder in expected:
        holders = {account for account in of.values() if contract.hasRole(role, account)}
        assert holders == {of[holder]}
    for contract in (credit, settlement):
        assert contract.defaultAdmin().lower() == of["admin"]
    assert settlement.currency() == contracts["TestCurrency"]


def watched(deployer: Deployer, keeps_states: bool) -> list[str]:
    """Return a list that is told which blocks are read; of a node that keeps no old states, if so asked."""
    asked, blocks = deployer._request, list[str]()

    def answered(method: str, parameters: list[Any]) -> Any:
        if method == "eth_getBlockByNumber":
            blocks.append(parameters[0])
        if method == "eth_getCode" and not keeps_states:  # in Anvil's words
            raise DependencyDown("the node refused eth_getCode: BlockOutOfRangeError")
        return asked(method, parameters)

    deployer._request = answered
    return blocks


def test_a_second_run_sends_nothing(deployer: Deployer, chain: Any) -> None:
    """DP-02: with the file of the first, and without it; also where the node keeps no old states, as a local one."""
    first = deployer.run()
    height = chain.height
    from brownie import web3

    again = Deployer(deployer.project, web3, deployer.plan, first["contracts"])
    assert again.run() == first
    for keeps_states in (True, False):
        again = Deployer(deployer.project, web3, deployer.plan, {})
        blocks = watched(again, keeps_states)
        assert again.run() == first
        # A fork of a long chain may have the number of a local one: its blocks are not read one by one.
        assert keeps_states is (len(blocks) == len(first["contracts"]))
    assert chain.height == height


@long
def test_a_role_that_was_taken_away_is_not_given_back(
    deployer: Deployer, brownie_project: Any, chain: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """DP-02, DP-03: who lost the file and names the holders of the first run gave a stolen key its role again.

    The file is written all the same: nobody may have the role by now, or another only one of the pauser's three.
    """
    first = deployer.run()
    address = request_checksum(first["contracts"]["VppSettlement"]["address"])
    settlement = brownie_project.VppSettlement.at(address, persist=False)
    admin, holders = deployer.plan.key("admin"), deployer.plan.holders
    operator, role = holders["operator"], settlement.OPERATOR_ROLE()
    settlement.revokeRole(role, operator, {"from": admin})
    lost = Deployer(deployer.project, deployer.web3, deployer.plan, {})
    height = chain.height
    capsys.readouterr()
    assert lost.run() == first
    said = f"step: OPERATOR_ROLE of VppSettlement was taken from the operator {operator}, and is not given back\n"
    assert capsys.readouterr().out == said
    assert chain.height == height and not settlement.hasRole(role, operator)
    settlement.grantRole(role, operator, {"from": admin})
    settlement.renounceRole(role, operator, {"from": deployer.plan.key("operator")})
    assert lost.run() == first and not settlement.hasRole(role, operator)


@long
def test_who_is_not_the_admin_any_more_grants_nothing(
    deployer: Deployer, brownie_project: Any, chain: Any
) -> None:
    """DP-03: the run ended in a refusal of the contract, with the role as bytes."""
    contracts = deployer.run()["contracts"]
    address = request_checksum(contracts["VppSettlement"]["address"])
    settlement = brownie_project.VppSettlement.at(address, persist=False)
    issuer, holders = deployer.plan.key("issuer"), deployer.plan.holders
    settlement.beginDefaultAdminTransfer(issuer, {"from": deployer.plan.key("admin")})
    today = replace(deployer.plan, holders={**holders, "operator": holders["owner"]})
    chain.sleep(2)
    settlement.acceptDefaultAdminTransfer({"from": issuer})
    lost = Deployer(deployer.project, deployer.web3, today, {})
    with pytest.raises(
        BadInput, match=f"never had OPERATOR_ROLE .* its admin is {issuer.address} by now: name who"
    ):
        lost.run()
    settlement.grantRole(settlement.OPERATOR_ROLE(), holders["owner"], {"from": issuer})
    assert lost.run()["contracts"] == contracts


def roles_of(found: dict[str, Any]) -> dict[str, tuple[str | None, str]]:
    """Return account and state by contract and role of what a dry run found."""
    return {
        f"{row['contract']} {row['role']}": (row["account"], row["state"]) for row in found["roles"]
    }


def test_a_dry_run_says_who_would_have_which_role(
    deployer: Deployer, brownie_project: Any, chain: Any
) -> None:
    """DP-03, DP-05: it said addresses alone. Who pauses by default, and that nobody reverses, showed on chain."""
    of, height = deployer.plan.holders, chain.height
    named = {
        "CarbonCredit DEFAULT_ADMIN_ROLE": of["admin"],
        "CarbonCredit REGISTRAR_ROLE": of["registrar"],
        "CarbonCredit ISSUER": of["issuer"],
        "CarbonCredit VERIFIER": of["verifier"],
        "CarbonCredit PAUSER_ROLE": of["pauser"],
        "CarbonCredit SUSPENDER_ROLE": of["pauser"],
        "CarbonCredit REVERSER_ROLE": of["reverser"],
        "VppSettlement DEFAULT_ADMIN_ROLE": of["admin"],
        "VppSettlement OPERATOR_ROLE": of["operator"],
        "VppSettlement PAUSER_ROLE": of["pauser"],
        "VppSettlement ARBITER_ROLE": of["arbiter"],
        "VppSettlement MEMBER_ROLE": of["member"],
    }
    found = deployer.look()
    assert roles_of(found) == {role: (account, "to_grant") for role, account in named.items()}
    terms = found["contracts"]["VppSettlement"]["constructor"]
    assert (terms["disputeTimeout"], terms["notionalCap"]) == ("3600", str(10**12))
    assert found["class"]["cap_kg"] == "999999999999"
    said = f"CarbonCredit SUSPENDER_ROLE: pauser {of['pauser']}; would be granted"
    by_constructor = f"VppSettlement DEFAULT_ADMIN_ROLE: admin {of['admin']}; by the constructor"
    assert {said, by_constructor} < set(found["lines"])
    others = {part: account for part, account in of.items() if part != "reverser"}
    without = Deployer(
        deployer.project, deployer.web3, replace(deployer.plan, holders=others), {}
    ).look()
    assert roles_of(without)["CarbonCredit REVERSER_ROLE"] == (None, "nobody")
    assert chain.height == height

    contracts = deployer.run()["contracts"]
    numbered = {
        role + (":1" if role.endswith(("ISSUER", "VERIFIER")) else ""): (account, "has")
        for role, account in named.items()
    }
    assert roles_of(deployer.look()) == numbered
    address = request_checksum(contracts["VppSettlement"]["address"])
    settlement = brownie_project.VppSettlement.at(address, persist=False)
    settlement.revokeRole(
        settlement.OPERATOR_ROLE(), of["operator"], {"from": deployer.plan.key("admin")}
    )
    taken = {"VppSettlement OPERATOR_ROLE": (of["operator"], "taken")}
    assert roles_of(deployer.look()) == numbered | taken
    today = replace(deployer.plan, holders={**of, "operator": of["owner"]})
    lacking = Deployer(deployer.project, deployer.web3, today, {})
    granted = {"VppSettlement OPERATOR_ROLE": (of["owner"], "to_grant")}
    assert roles_of(lacking.look()) == numbered | granted
    issuer = deployer.plan.key("issuer")
    settlement.beginDefaultAdminTransfer(issuer, {"from": deployer.plan.key("admin")})
    chain.sleep(2)
    settlement.acceptDefaultAdminTransfer({"from": issuer})
    with pytest.raises(BadInput, match=f"never had OPERATOR_ROLE .* its admin is {issuer.address}"):
        lacking.look()
    moved = {"VppSettlement DEFAULT_ADMIN_ROLE": (of["admin"], "taken")}
    assert roles_of(deployer.look()) == numbered | taken | moved

    credit = brownie_project.CarbonCredit.at(
        request_checksum(contracts["CarbonCredit"]["address"]), persist=False
    )
    credit.beginDefaultAdminTransfer(issuer, {"from": deployer.plan.key("admin")})
    chain.sleep(2)
    credit.acceptDefaultAdminTransfer({"from": issuer})
    plan = replace(deployer.plan, class_code="NEW-01")  # which has no number yet
    with pytest.raises(BadInput, match=r"never had ISSUER of CarbonCredit"):
        Deployer(deployer.project, deployer.web3, plan, {}).look()


@long
def test_an_earlier_file_is_not_believed(deployer: Deployer, keys: list[Any]) -> None:
    """DP-02, DP-04: transactions it names that made nothing, or something else, are looked for anew."""
    from brownie import web3

    first = deployer.run()
    forged = {}
    others = [each["tx_hash"] for each in first["contracts"].values()]
    for name, tx_hash in zip(first["contracts"], [*others[1:], "0x" + 32 * "00"], strict=True):
        forged[name] = {**first["contracts"][name], "tx_hash": tx_hash}
    for name in ("CarbonCredit", "VppSettlement"):
        call = request("eth_getTransactionByHash", [first["contracts"][name]["tx_hash"]])
        message = {"from": keys[0].address, "to": call["to"], "data": call["input"]}
        again = request("eth_sendTransaction", [{**message, "gas": hex(12_000_000)}])
        assert web3.eth.wait_for_transaction_receipt(again)["status"] == 0
        forged[name]["tx_hash"] = again
    assert Deployer(deployer.project, web3, deployer.plan, forged).run() == first


def test_a_run_that_was_cut_off_is_finished(deployer: Deployer, chain: Any) -> None:
    """DP-02: what is missing is done, the rest is left."""
    for library in ("Register", "Oversight"):
        deployer.contract(library, [])
    credit = deployer.contract("CarbonCredit", [deployer.plan.holders["admin"], 0])
    deployer.grant(credit, "REGISTRAR_ROLE", "registrar")
    height = chain.height
    content = deployer.run()
    blocks = {name: each["block"] for name, each in content["contracts"].items()}
    assert blocks == {
        **{"Register": 1, "Oversight": 2, "CarbonCredit": 3},
        **{"BatchMetadata": height + 1, "Cancellation": height + 2, "SignedMessages": height + 3},
        **{"TestCurrency": height + 4, "VppSettlement": height + 5},
    }


@long
def test_libraries_come_first(deployer: Deployer, brownie_project: Any) -> None:
    """DP-06: all five, and the ledger's code names each of their addresses and no other."""
    contracts = deployer.run()["contracts"]
    assert list(contracts)[:6] == [*LIBRARIES, "CarbonCredit"]
    assert [contracts[name]["block"] for name in list(contracts)[:6]] == [1, 2, 3, 4, 5, 6]
    raw = brownie_project.CarbonCredit._build["bytecode"]
    code = request("eth_getCode", [contracts["CarbonCredit"]["address"], "latest"])
    for name in LIBRARIES:
        marks = raw.count(f"__{name}__")
        assert marks > 0
        assert code.count(contracts[name]["address"][2:]) == marks


@long
def test_a_ledger_with_a_buffer_and_no_reverser(deployer: Deployer, brownie_project: Any) -> None:
    """DP-03, DP-07: the class has the share of the plan, and the role is with nobody."""
    holders = {role: holder for role, holder in deployer.plan.holders.items() if role != "reverser"}
    deployer.plan = replace(deployer.plan, buffer_bps=1500, holders=holders)
    content = deployer.run()
    address = request_checksum(content["contracts"]["CarbonCredit"]["address"])
    credit = brownie_project.CarbonCredit.at(address, persist=False)
    assert credit.classOf(1) == (10**12 - 1, 0, 1500)
    assert "reverser" not in content["accounts"]
    granted = request(
        "eth_getLogs",
        [
            {
                "fromBlock": "0x0",
                "address": address,
                "topics": [
                    "0x" + keccak(text="RoleGranted(bytes32,address,address)").hex(),
                    "0x" + keccak(text="REVERSER_ROLE").hex(),
                ],
            }
        ],
    )
    assert granted == []


def test_an_earlier_file_of_another_chain(tmp_path: Path) -> None:
    """DP-02: is not believed, nor is one that was edited by hand."""
    path = tmp_path / "local.json"
    assert earlier_contracts(path, "0x01") == {}
    path.write_text(json.dumps({"genesis_hash": "0x01", "contracts": {"A": {"address": "0x"}}}))
    assert earlier_contracts(path, "0x01") == {"A": {"address": "0x"}}
    assert earlier_contracts(path, "0x02") == {}
    by_hand = ("A", None), ("B", 5), ("C", {}), ("D", {"address": "0x", "tx_hash": "0x5"})
    for content in (
        *("{", "[]", "null", "{}", '{"genesis_hash": "0x01"}'),
        *(
            json.dumps({"genesis_hash": "0x01", "contracts": each})
            for each in ([], 5, dict(by_hand))
        ),
    ):
        path.write_text(content)
        assert earlier_contracts(path, "0x01") == {}, content


def test_an_account_that_was_corrected_is_not_written_over(
    deployer: Deployer, tmp_path: Path
) -> None:
    """DP-02: Brownie's own `run deploy` beside the file wrote the first admin again, from the variables."""
    path, contracts = tmp_path / "local.json", {}
    for name, (at, *_) in deployer.codes().items():
        contracts[name] = {"address": at.lower()}
    accounts = {role: at.lower() for role, at in deployer.plan.holders.items()}
    del accounts["member"]  # the file of a version that had none
    book = {"contracts": contracts, "accounts": accounts}
    path.write_text(json.dumps(book))
    require_accounts(path, contracts, deployer)
    timelock = "0x" + "7a" * 20
    path.write_text(json.dumps({**book, "accounts": {**accounts, "admin": timelock}}))
    spelled = {
        name: {"address": request_checksum(each["address"])} for name, each in contracts.items()
    }
    for those in (contracts, spelled):
        with pytest.raises(
            BadInput, match=f"local.json has {timelock} as admin, and this run would"
        ):
            require_accounts(path, those, deployer)
    other = {**contracts, SETTLEMENT: {"address": "0x" + "11" * 20}}
    require_accounts(path, other, deployer)  # of others: those of this run are no correction
    for broken in (None, [], {"admin": None}):
        path.write_text(json.dumps({**book, "accounts": broken}))
        require_accounts(path, contracts, deployer)


def refuses(deployer: Deployer, kind: type[Exception], message: str) -> None:
    """Assert that a deployment is refused, and that nothing was sent for it."""
    from brownie import chain

    height = chain.height
    with pytest.raises(kind, match=message):
        deployer.run()
    assert chain.height == height


@long
def test_a_registrar_without_a_key(deployer: Deployer) -> None:
    """DP-05: is missed before the first contract, and not when the class is to be registered."""
    plan = deployer.plan
    registrar = plan.holders["registrar"]
    keys = {address: key for address, key in plan.keys.items() if address != registrar.lower()}
    deployer.plan = replace(plan, keys=keys)
    refuses(deployer, BadInput, f"no key of the registrar {registrar}")
    deployer.plan = plan
    first = deployer.run()
    deployer.plan = replace(plan, keys={})  # all is done: nobody signs
    assert deployer.run() == first


@long
@pytest.mark.parametrize("decimals", [0, 1, 37, 255])
def test_a_currency_without_cents(deployer: Deployer, decimals: int) -> None:
    """DP-05: what the constructor would refuse, and an account without code."""
    plan = deployer.plan
    deployer.plan = replace(plan, currency=private_key(9).address)
    refuses(deployer, BadInput, "no contract stands at")
    # PUSH1 decimals, PUSH0, MSTORE, PUSH1 32, PUSH0, RETURN: the answer to anything
    currency = private_key(8).address
    request("anvil_setCode", [currency, f"0x60{decimals:02x}5f5260205ff3"])
    deployer.plan = replace(plan, currency=currency)
    refuses(deployer, BadInput, f"must have 2 to 36 decimals, found {decimals}")
    request("anvil_setCode", [currency, "0x5f5ffd"])
    refuses(deployer, BadInput, "no ERC-20")
    request("anvil_setCode", [currency, "0x"])


@long
def test_a_class_with_other_terms(deployer: Deployer) -> None:
    """DP-03, DP-05: a run that was cut off had registered it, and the next one is given other terms."""
    plan = deployer.plan
    first = deployer.run()
    for changes in ({"class_cap_kg": 5}, {"buffer_bps": 100}):
        deployer.plan = replace(plan, **changes)
        refuses(
            deployer,
            BadInput,
            f"the class {CLASS} is registered already, with a cap of 999999999999 kg",
        )
    deployer.plan = replace(plan, methodology="CCER-01-001/V01")
    other = keccak(text=plan.methodology).hex()
    refuses(
        deployer,
        BadInput,
        f"with another methodology than 'CCER-01-001/V01' .its hash is 0x{other}",
    )
    deployer.plan = plan
    assert deployer.run() == first


def test_too_little_money(deployer: Deployer) -> None:
    """DP-05: is said with what it takes, before the first contract."""
    admin = deployer.plan.holders["admin"]
    had = request("eth_getBalance", [admin, "latest"])
    price = int(request("eth_gasPrice", []), 16)
    request("anvil_setBalance", [admin, hex(10**7 * price)])
    try:
        refuses(deployer, DependencyDown, f"the admin {admin} has .* takes more than .* gas at")
    finally:
        request("anvil_setBalance", [admin, had])


def test_a_registrar_without_money(deployer: Deployer) -> None:
    """DP-05: contracts stood and roles were given before the node said that funds were insufficient."""
    registrar = deployer.plan.holders["registrar"]
    had = request("eth_getBalance", [registrar, "latest"])
    request("anvil_setBalance", [registrar, "0x0"])
    try:
        refuses(deployer, DependencyDown, f"the registrar {registrar} has 0.000000 .* the class")
    finally:
        request("anvil_setBalance", [registrar, had])


def test_blocks_that_are_too_small(deployer: Deployer) -> None:
    """DP-05: the node said `execution reverted 0x`, after the first libraries were there."""
    had = request("eth_getBlockByNumber", ["latest", False])["gasLimit"]
    try:
        request("evm_setBlockGasLimit", [hex(4_000_000)])
        request("evm_mine", [])
        said = (
            r"takes more than \d{7} gas, and a block of this chain holds 4000000\. Nothing was sent"
        )
        refuses(deployer, DependencyDown, said)
    finally:
        request("evm_setBlockGasLimit", [had])
        request("evm_mine", [])


def test_sources_that_the_program_does_not_know(
    deployer: Deployer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DP-05: a change of a contract without its artifact would be called by the old one."""
    from ledger.chain.contracts import abi

    def other(name: str) -> Any:
        found = abi.artifact(name)
        return replace(found, source_hash="0x00") if name == "Oversight" else found

    monkeypatch.setattr("scripts.deploy_checks.artifact", other)
    refuses(deployer, BadInput, "Oversight as compiled here differ from")


def test_what_an_earlier_run_sent_is_waited_for(
    deployer: Deployer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DP-02: a run that was killed while its transaction waits: not sent a second time."""
    from brownie import chain, web3

    admin = deployer.plan.holders["admin"]
    address, code, _ = deployer.codes()["BatchMetadata"]
    monkeypatch.setattr("scripts.deploy_checks.PENDING_S", 0.0)
    request("evm_setAutomine", [False])
    try:
        web3.eth.send_transaction(
            {"from": admin, "to": create2.FACTORY, "data": deployer.salt + code, "gas": 3_000_000}
        )
        refuses(deployer, DependencyDown, f"1 transactions of the admin {admin} wait")
        monkeypatch.setattr("scripts.deploy_checks.PENDING_S", 60.0)
        monkeypatch.setattr("scripts.deploy_checks.time.sleep", lambda _: chain.mine())
        monkeypatch.setattr(deployer, "contract", lambda *_: pytest.fail("enough"))
        with pytest.raises(pytest.fail.Exception, match="enough"):
            deployer.run()
    finally:
        request("evm_setAutomine", [True])
    assert web3.eth.get_code(address)


@long
def test_a_contract_that_a_stranger_made(deployer: Deployer) -> None:
    """DP-02: anybody may ask the factory, also from within a contract: found, without a transaction."""
    from brownie import web3

    address, code, _ = deployer.codes()["Register"]
    # Calls the factory with all its own data: CALLDATACOPY, CALL, STOP
    proxy = private_key(9).address
    factory = create2.FACTORY[2:].lower()
    request("anvil_setCode", [proxy, f"0x365f5f375f5f365f5f73{factory}5af100"])
    stranger = deployer.plan.holders["owner"]
    asked = {"from": stranger, "to": proxy, "data": deployer.salt + code, "gas": 10_000_000}
    web3.eth.wait_for_transaction_receipt(web3.eth.send_transaction(asked))
    request("anvil_setCode", [proxy, "0x"])
    assert web3.eth.get_code(address)
    made = deployer.run()["contracts"]["Register"]
    assert (made["tx_hash"], made["block"]) == (None, 1)


@long
@pytest.mark.parametrize(("revision", "upgrade"), rest([("0031", True), ("head", False)]))
def test_contracts_beside_those_of_the_books_are_refused(
    tmp_path: Path, revision: str, upgrade: bool
) -> None:
    """DP-05: also on the tables of an older version, which are upgraded before they are read; and in a dry run."""
    url = f"sqlite:///{tmp_path / 'books.db'}"
    settings = load_settings(None, {"TRUETONNE_DATABASE_URL": url, "TRUETONNE_NETWORK": "local"})
    kept, other = {SETTLEMENT: "0x" + "aa" * 20}, {SETTLEMENT: "0x" + "bb" * 20}
    with closing(Database(url)) as books:
        books.upgrade(revision)
        with books.write() as session:
            contract = SmartContract(
                contract_name=f"{SETTLEMENT}@local",
                contract_address=kept[SETTLEMENT],
                abi="[]",
                network="local",
                status=ContractStatus.DEPLOYED,
                deployed_at=datetime.now(UTC),
            )
            event = ChainEvent(
                block_number=1,
                log_index=0,
                tx_hash="0x" + "11" * 32,
                contract_address=kept[SETTLEMENT],
                event_name="Paused",
                args={},
            )
            session.add_all([contract, event])
        require_books(settings, HERE, kept, upgrade=upgrade)
        with pytest.raises(WrongChain, match="kept of VppSettlement at 0xaaaa"):
            require_books(settings, HERE, other, upgrade=upgrade)
        with books.write() as session:
            session.execute(delete(ChainEvent))
        require_books(settings, HERE, other, upgrade=upgrade)


@long
@few(1)
@pytest.mark.parametrize(
    ("chain", "network", "said"),
    [
        ((84532, "0x" + "22" * 32), "base-sepolia", "the books mirror chain 31337 with the first"),
        (HERE, "custom", "the books mirror this chain as 'local', and not as 'custom'"),
    ],
)
def test_a_chain_beside_that_of_the_books_is_refused(
    tmp_path: Path, chain: tuple[int, str], network: str, said: str
) -> None:
    """DP-05: contracts were made there, and paid for, which no mirror of these books takes."""
    url = f"sqlite:///{tmp_path / 'books.db'}"
    given = {"TRUETONNE_DATABASE_URL": url, "TRUETONNE_NETWORK": network}
    with closing(Database(url)) as books:
        books.upgrade()
        with books.write() as session:
            cursor = ChainCursor(
                network="local",
                chain_id=HERE[0],
                genesis_hash=HERE[1],
                block_number=1,
                block_hash="0x" + "33" * 32,
                final_number=0,
                updated_at=datetime.now(UTC),
            )
            session.add(cursor)
    contracts = {SETTLEMENT: "0x" + "aa" * 20}
    with pytest.raises(WrongChain, match=said):
        require_books(load_settings(None, given), chain, contracts, upgrade=False)
    settings = load_settings(None, {**given, "TRUETONNE_NETWORK": "local"})
    require_books(settings, HERE, contracts, upgrade=False)


def test_a_dry_run_makes_no_tables(tmp_path: Path) -> None:
    """DP-05: books that are not there are of no contracts."""
    url = f"sqlite:///{tmp_path / 'books.db'}"
    settings = load_settings(None, {"TRUETONNE_DATABASE_URL": url, "TRUETONNE_NETWORK": "local"})
    require_books(settings, HERE, {SETTLEMENT: "0x" + "aa" * 20}, upgrade=False)
    with closing(Database(url)) as books:
        assert books.current() is None


# ------------------------------------------------------------------ the scripts, as they are


@pytest.fixture
def node() -> Iterator[str]:
    with running_node() as url:
        yield url


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The settings for a node on which the script has deployed; the tests only add to it."""
    folder = tmp_path_factory.mktemp("deployed")
    with running_node() as url, a_contract_of_another_local_chain():
        environ = {
            "TRUETONNE_RPC_URL": url,
            "TRUETONNE_DEPLOYMENT": str(folder / "local.json"),
            "TRUETONNE_DATABASE_URL": f"sqlite:///{folder / 'books.db'}",
        }
        ended = _run("deploy", environ, "--network", "local")
        assert ended.returncode == 0, ended.stdout + ended.stderr
        yield environ


@contextmanager
def a_contract_of_another_local_chain() -> Iterator[None]:
    """Brownie listed contracts by the chain's id, and ended where one was not on the node: in a run beside another."""
    gone = ROOT / "build/brownie/deployments/31337" / f"{private_key(8).address}.json"
    gone.parent.mkdir(parents=True, exist_ok=True)
    gone.write_text(json.dumps({"contractName": SETTLEMENT, "abi": []}))
    try:
        yield
        assert [
            file
            for file in gone.parent.iterdir()
            if file.stat().st_mtime_ns > gone.stat().st_mtime_ns
        ] == []
    finally:
        gone.unlink()


def _run(script: str, environ: dict[str, str], *network: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(ROOT / "dev"), "brownie", "run", script, *network]
    given = {name: text for name, text in os.environ.items() if not name.startswith("TRUETONNE_")}
    return subprocess.run(
        command, cwd=ROOT, env={**given, **environ}, check=False, capture_output=True, text=True
    )


def test_on_a_node_that_runs(deployed: dict[str, str]) -> None:
    """DP-02, DP-04: what is there stays; file and rows are written; both scripts end well."""
    node, database = deployed["TRUETONNE_RPC_URL"], deployed["TRUETONNE_DATABASE_URL"]
    deployment = Deployment.load(Path(deployed["TRUETONNE_DEPLOYMENT"]))
    assert deployment.network == "local"
    assert deployment.currency_symbol == "tEUR"
    assert deployment.deployed_block == 4
    assert post(node, "eth_getBalance", ["0x" + "ab" * 20, "latest"]) == "0x7b"

    def rows() -> list[tuple[str, str, str, str]]:
        with closing(sqlite3.connect(database.removeprefix("sqlite:///"))) as books:
            return sorted(
                books.execute(
                    "SELECT contract_name, contract_address, network, status FROM smart_contracts"
                )
            )

    def expected(status: str) -> list[tuple[str, str, str, str]]:
        return [
            (f"{name}@local", each.address, "local", status)
            for name, each in sorted(deployment.contracts.items())
        ]

    assert rows() == expected("deployed")
    if is_long():  # a start of the compiler; test_verify_deployment asks the script's functions
        ended = _run("verify", deployed, "--network", "local")
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert rows() == expected("verified")


@long
def test_roles_change_hands(deployed: dict[str, str]) -> None:
    """DP-03, DP-05: a role is granted and revoked by the admin."""
    node = deployed["TRUETONNE_RPC_URL"]
    credit = Deployment.load(Path(deployed["TRUETONNE_DEPLOYMENT"])).credit.address
    account = private_key(9).address
    from eth_abi.abi import encode

    role = keccak(encode(["string", "uint32"], ["ISSUER_ROLE", 1]))
    question = keccak(text="hasRole(bytes32,address)")[:4] + encode(
        ["bytes32", "address"], [role, account]
    )

    def answer() -> int:
        call = {"to": credit, "data": "0x" + question.hex()}
        return int(post(node, "eth_call", [call, "latest"]), 16)

    rest = ("CarbonCredit", "ISSUER:1", account, "--network", "local")
    for verb, expected in (("grant", 1), ("revoke", 0))[: times(1, 2)]:
        assert _run("grant_roles", deployed, verb, *rest).returncode == 0
        assert answer() == expected


@long
def test_what_would_change_no_role_is_not_sent(deployed: dict[str, str]) -> None:
    """DP-05: who revokes of the wrong account hears that nothing changed; so does who says too little, in one line."""
    node = deployed["TRUETONNE_RPC_URL"]
    issuer = Deployment.load(Path(deployed["TRUETONNE_DEPLOYMENT"])).accounts["issuer"]
    before = post(node, "eth_blockNumber", [])
    stranger = private_key(8).address
    for words, code, said in (
        (("revoke", "CarbonCredit", "ISSUER:1", stranger), 2, f"{stranger} does not have ISSUER:1"),
        (("grant", "CarbonCredit", "ISSUER:1", issuer), 0, "has ISSUER:1 already"),
        (("grant", "CarbonCredit", "VERIFIER:2", stranger), 2, "class 2 is not registered"),
        (("grant", "TestCurrency", "PAUSER_ROLE", stranger), 2, "has no roles and no admin"),
        (("grant", "CarbonCredit"), 2, "grant takes 3 words, found 1"),
        ((), 2, "say what to do: grant CONTRACT ROLE ACCOUNT"),
    ):
        ended = _run("grant_roles", deployed, *words, "--network", "local")
        assert (ended.returncode, said in ended.stdout + ended.stderr) == (code, True), ended.stderr
        assert "Traceback" not in ended.stderr
    assert post(node, "eth_blockNumber", []) == before


@long
def test_the_administration_is_handed_over_in_two_steps(
    deployed: dict[str, str], tmp_path: Path
) -> None:
    """DP-03: to an account without a key here, as a multisignature account: it hears what it is to send; then back.

    Who handed over had no command to accept with, and to a contract nobody said which call that is.
    """
    from eth_utils.address import to_checksum_address

    node = deployed["TRUETONNE_RPC_URL"]
    settlement = Deployment.load(Path(deployed["TRUETONNE_DEPLOYMENT"])).settlement.address
    admin, safe = private_key(0).address, to_checksum_address("0x" + "5afe" * 10)

    def told(*words: str) -> tuple[int, str]:
        ended = _run("grant_roles", deployed, *words, "--network", "local")
        assert "Traceback" not in ended.stderr
        return ended.returncode, ended.stdout + ended.stderr

    def admin_of() -> str:
        question = {"to": settlement, "data": "0x" + keccak(text="defaultAdmin()")[:4].hex()}
        return to_checksum_address("0x" + post(node, "eth_call", [question, "latest"])[-40:])

    def as_the_safe(said: str) -> None:
        """Send what a line says that the account is to send."""
        to, data = re.search(r"to (0x\w{40}), value 0, data (0x[0-9a-f]+)", said).groups()  # type: ignore[union-attr]
        post(node, "anvil_setBalance", [safe, hex(10**18)])
        post(node, "anvil_impersonateAccount", [safe])
        sent = post(node, "eth_sendTransaction", [{"from": safe, "to": to, "data": data}])
        until = time.monotonic() + 60
        while (receipt := post(node, "eth_getTransactionReceipt", [sent])) is None:
            assert time.monotonic() < until
        assert receipt["status"] == "0x1"

    code, said = told("accept", SETTLEMENT)
    assert (code, "no handover of VppSettlement has begun" in said) == (2, True), said
    for verb in ("hand_over", "call_off", "hand_over"):
        assert told(verb, SETTLEMENT, *([safe] if verb == "hand_over" else []))[0] == 0
    post(node, "evm_increaseTime", [2])
    post(node, "anvil_mine", ["0x1"])
    code, said = told("accept", SETTLEMENT)
    assert (code, f"the key of the account {safe} is not in the keystore" in said) == (2, True), (
        said
    )
    assert "have it call acceptDefaultAdminTransfer: to " in said
    as_the_safe(said)
    assert admin_of() == safe

    grant = ("grant", SETTLEMENT, "PAUSER_ROLE", private_key(6).address)
    code, said = told(*grant)
    assert (code, f"the key of the admin {safe} is not in the keystore" in said) == (2, True), said
    as_the_safe(said)
    code, said = told(*grant)
    assert (code, "has PAUSER_ROLE already" in said) == (0, True), said
    as_the_safe(told("revoke", *grant[1:])[1])
    as_the_safe(told("hand_over", SETTLEMENT, admin)[1])
    post(node, "evm_increaseTime", [2])
    post(node, "anvil_mine", ["0x1"])
    assert told("accept", SETTLEMENT)[0] == 0
    assert admin_of() == admin
    code, said = told("hand_over", SETTLEMENT, admin)
    assert (code, "is the admin already" in said) == (0, True), said

    data = "0x" + (keccak(text="beginDefaultAdminTransfer(address)")[:4] + bytes(32)).hex()
    post(node, "eth_sendTransaction", [{"from": admin, "to": settlement, "data": data}])
    post(node, "anvil_mine", ["0x1"])
    code, said = told("accept", SETTLEMENT)
    assert (code, "for nobody" in said) == (2, True), said


@long
def test_a_role_that_is_none_is_refused(deployed: dict[str, str]) -> None:
    """DP-05: the admin of admins is no role that this script hands out."""
    account = private_key(9).address
    arguments = ("grant", "CarbonCredit", "DEFAULT_ADMIN_ROLE", account, "--network", "local")
    ended = _run("grant_roles", deployed, *arguments)
    assert ended.returncode == BadInput.exit_code
    assert ended.stderr.startswith("grant_roles: this contract has no role 'DEFAULT_ADMIN_ROLE'")


@long
def test_roles_are_changed_on_the_chain_of_the_file(
    deployed: dict[str, str], tmp_path: Path
) -> None:
    """DP-05: the contracts have the same addresses on every chain; and nobody gives up the admin by a mistake."""
    book = json.loads(Path(deployed["TRUETONNE_DEPLOYMENT"]).read_text())
    path = tmp_path / "other.json"
    path.write_text(json.dumps({**book, "chain_id": 1}))
    account = private_key(9).address
    environ = {**deployed, "TRUETONNE_DEPLOYMENT": str(path)}
    arguments = ("grant", "CarbonCredit", "ISSUER:1", account, "--network", "local")
    ended = _run("grant_roles", environ, *arguments)
    assert (ended.returncode, "serves chain id 31337" in ended.stderr) == (2, True), ended.stderr
    for words in ((MISTYPED, "is mistyped"), ("0x" + "00" * 20, "is the zero address"))[
        : times(1, 2)
    ]:
        ended = _run(
            "grant_roles", deployed, "hand_over", "CarbonCredit", words[0], "--network", "local"
        )
        assert (ended.returncode, words[1] in ended.stderr) == (2, True), ended.stderr


@long
def test_a_running_node_needs_its_network(node: str, tmp_path: Path) -> None:
    """DP-05: without it Brownie would start a node of its own; said in one line, nothing sent."""
    environ = {"TRUETONNE_RPC_URL": node, "TRUETONNE_DEPLOYMENT": str(tmp_path / "local.json")}
    ended = _run("deploy", environ)
    assert ended.returncode == BadInput.exit_code
    assert (
        ended.stderr.strip()
        == "deploy: TRUETONNE_RPC_URL is for a running node: add --network local"
    )
    assert post(node, "eth_blockNumber", []) == "0x3"
    assert not (tmp_path / "local.json").exists()
