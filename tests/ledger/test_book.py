"""The deployment file, and whether a node serves what it says."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from ledger.chain.access import Chain
from ledger.chain.addresses.book import Deployment
from ledger.chain.local.anvil import LocalNode, find_anvil
from ledger.chain.node.client import ChainClient
from ledger.db import Database
from ledger.errors import BadInput, WrongChain
from ledger.settings import load_settings
from tests.support.chain import TestChain
from tests.support.forms import long


def document(deployment: Deployment) -> dict[str, Any]:
    raw = asdict(deployment)
    raw["class"] = {"id": raw.pop("class_id"), "code": raw.pop("class_code")}
    return raw


@pytest.fixture
def file(chain: TestChain, tmp_path: Path) -> Path:
    path = tmp_path / "local.json"
    path.write_text(json.dumps(document(chain.deployment)), encoding="utf-8")
    return path


def test_what_was_written_is_read(file: Path, chain: TestChain) -> None:
    assert Deployment.load(file) == chain.deployment


def test_the_name_of_the_currency_may_be_missing(file: Path, chain: TestChain) -> None:
    """Files of earlier builds have none, and a token need not state one."""
    raw = json.loads(file.read_text())
    assert Deployment.load(file).currency_symbol == raw.pop("currency_symbol") == "tEUR"
    file.write_text(json.dumps(raw))
    assert Deployment.load(file) == replace(chain.deployment, currency_symbol=None)
    file.write_text(json.dumps({**raw, "currency_symbol": ["tEUR"]}))
    with pytest.raises(BadInput, match="not a deployment file: a part of it is of another kind"):
        Deployment.load(file)


def test_capitals_are_lowered(file: Path, chain: TestChain) -> None:
    raw = json.loads(file.read_text())
    for item in raw["contracts"].values():
        item["address"] = "0x" + item["address"][2:].upper()
    raw["accounts"] = {name: "0x" + item[2:].upper() for name, item in raw["accounts"].items()}
    raw["genesis_hash"] = raw["genesis_hash"].upper()
    file.write_text(json.dumps(raw))
    loaded = Deployment.load(file)
    assert loaded.credit.address == chain.deployment.credit.address
    assert loaded.accounts == chain.deployment.accounts


@pytest.mark.parametrize("block", [-1, 10**6])
def test_a_mirror_would_begin_behind_the_contracts(file: Path, block: int) -> None:
    raw = json.loads(file.read_text())
    raw["deployed_block"] = block
    file.write_text(json.dumps(raw))
    with pytest.raises(BadInput, match=f"deployed_block is {block}, and its contracts stand from"):
        Deployment.load(file)


@pytest.mark.parametrize("chain_id", [0, 2**63])
def test_a_chain_whose_number_no_column_holds(file: Path, chain_id: int) -> None:
    """It was called a defect of this program, when the mirror began."""
    raw = json.loads(file.read_text())
    file.write_text(json.dumps({**raw, "chain_id": 2**63 - 1}))
    assert Deployment.load(file).chain_id == 2**63 - 1
    file.write_text(json.dumps({**raw, "chain_id": chain_id}))
    with pytest.raises(BadInput, match=f"chain_id is {chain_id}, and the books hold 1 to"):
        Deployment.load(file)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no deployment file") as caught:
        Deployment.load(tmp_path / "none.json")
    assert caught.value.code == "not-deployed"
    with pytest.raises(BadInput, match=r"cannot be read \(Is a directory\)"):
        Deployment.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"7", b'"x"', b"{}", b"\xff"])
def test_a_file_that_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(BadInput, match="not a deployment file"):
        Deployment.load(tmp_path / "x.json")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('"chain_id": 1', "'chain_id' stands there twice"),
        ('"chain": 31337.9', r"31337\.9 is no whole number"),
        ('"chain": 1e999', "1e999 is no whole number"),
        ('"chain": NaN', "NaN is no whole number"),
        (f'"more": {"[" * 200_000}{"]" * 200_000}', "nested without end"),
    ],
)
def test_a_file_that_can_be_read_in_two_ways_or_in_none(file: Path, more: str, said: str) -> None:
    """It went by the last of two names, cut numbers, and ended with an internal error."""
    file.write_text(file.read_text().rstrip().removesuffix("}") + f", {more}}}")
    with pytest.raises(BadInput, match=f"not a deployment file: .*{said}"):
        Deployment.load(file)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("chain_id",), "main"),
        (("genesis_hash",), None),
        (("contracts",), []),
        (("contracts", "CarbonCredit"), {}),
        (("contracts", "CarbonCredit", "address"), "0x12"),
        (("contracts", "VppSettlement", "address"), None),
        (("contracts", "CarbonCredit", "constructor"), 7),
        (("contracts", "CarbonCredit", "code_hash"), None),
        (("contracts", "CarbonCredit", "tx_hash"), "0x12"),
        (("contracts", "CarbonCredit", "tx_hash"), 7),
        (("accounts",), None),
        (("accounts", "issuer"), "anvil:2"),
        (("class",), 1),
        (("class", "id"), None),
    ],
)
def test_a_value_that_is_wrong(file: Path, where: tuple[str, ...], value: Any) -> None:
    raw = json.loads(file.read_text())
    place = raw
    for name in where[:-1]:
        place = place[name]
    place[where[-1]] = value
    file.write_text(json.dumps(raw))
    with pytest.raises(BadInput) as caught:
        Deployment.load(file)
    assert str(file) in caught.value.message


@pytest.mark.parametrize("name", ["CarbonCredit2", "../abi/CarbonCredit", "", "VppSettlement"])
def test_contracts_of_two_deployments_in_one_file(file: Path, name: str) -> None:
    """They ended commands and mirror with an internal error; one of the two would have been left out."""
    raw = json.loads(file.read_text())
    raw["contracts"][name] = raw["contracts"]["CarbonCredit"]
    file.write_text(json.dumps(raw))
    said = (
        "both stand at" if name == "VppSettlement" else f"{name!r} is no contract of this version"
    )
    with pytest.raises(BadInput, match=said):
        Deployment.load(file)


def test_what_is_not_named(chain: TestChain) -> None:
    with pytest.raises(BadInput, match="no account for 'auditor'"):
        chain.deployment.account("auditor")
    with pytest.raises(BadInput, match="no contract CarbonCredit") as caught:
        replace(chain.deployment, contracts={}).credit  # noqa: B018
    assert caught.value.code == "not-deployed"


def test_the_right_chain_passes(chain: TestChain) -> None:
    chain.deployment.check(chain.client)
    chain.deployment.check_code(chain.client)


def test_another_chain_id(chain: TestChain) -> None:
    with pytest.raises(WrongChain, match=r"serves chain id 31337, .* is on 1") as caught:
        replace(chain.deployment, chain_id=1).check(chain.client)
    assert caught.value.details == {"expected": 1, "found": 31337}


@long
def test_another_chain_of_the_same_id(chain: TestChain) -> None:
    # The time of the first block is in its hash.
    with LocalNode(find_anvil(None), options=["--timestamp", "1400000000"]) as node:
        client = ChainClient(node.rpc_url)
        try:
            with pytest.raises(WrongChain, match="another chain with id 31337"):
                chain.deployment.check(client)
        finally:
            client.close()


def test_contracts_that_are_not_there(chain: TestChain, file: Path, sqlite_db: Database) -> None:
    """A call to an address without code succeeds; so nothing may be sent to one."""
    raw = json.loads(file.read_text())
    credit, other = raw["contracts"]["CarbonCredit"], raw["contracts"].pop("Register")
    settings = replace(load_settings(None, {}), deployment=file)
    Chain.open(settings, sqlite_db, chain.rpc_url).close()
    for address, said in (("0x" + "12" * 20, "no code of"), (other["address"], "other code")):
        credit["address"] = address
        file.write_text(json.dumps(raw))
        with pytest.raises(WrongChain, match=f"{said}.* CarbonCredit at {address}"):
            Chain.open(settings, sqlite_db, chain.rpc_url)
