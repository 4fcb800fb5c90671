"""scripts/verify.py: what was deployed, compared with sources, file and chain."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ledger.chain.addresses.book import Deployment
from ledger.db import Database
from ledger.errors import BadInput, DependencyDown
from ledger.settings import load_settings
from scripts.deploy import Deployer, write
from scripts.deploy_node import asking
from scripts.export_abi import export
from scripts.fresh import CONTRACTS, fresh_builds
from scripts.grant_roles import role_of
from scripts.linking import linked_build
from scripts.toolchain.brownie_home import ROOT
from scripts.verify import check_complete, differences, is_verified, lines, mark_verified, verify
from scripts.verify_currency import currency_row
from scripts.verify_currency import lines as currency_lines
from scripts.verify_roles import class_is_registered, role_rows, told_time
from tests.contracts.deploying import request, request_checksum
from tests.contracts.park import LIBRARIES
from tests.support.forms import few, is_long, long


def test_what_was_deployed_is_verified(
    deployer: Deployer, brownie_project: Any, tmp_path: Path
) -> None:
    """DP-04: code with its immutables, address and every hash; each change is seen."""
    path = tmp_path / "local.json"
    write(path, deployer.run())
    contracts = Deployment.load(path).contracts
    for name, deployed in contracts.items():
        assert differences(request, linked_build(brownie_project, name), deployed) == []
    deployed = contracts["VppSettlement"]
    build = brownie_project["VppSettlement"]._build

    def found(**changes: Any) -> set[str]:
        return set(differences(request, build, replace(deployed, **changes)))

    window = {**deployed.constructor, "window": 2}
    assert found(constructor=window) == {"hash of the init code", "address", "code"}
    assert found(salt="0x" + "11" * 32) == {"address"}
    assert found(code_hash="0x00") == {"hash of the code"}
    assert found(source_hash="0x00") == {"hash of the sources"}
    other = contracts["CarbonCredit"].address
    assert found(address=other) == {"address", "code", "hash of the code"}
    renamed = {name.upper(): value for name, value in deployed.constructor.items()}
    assert found(constructor=renamed) == {"names of the constructor's arguments"}
    code = request("eth_getCode", [deployed.address, "latest"])
    request("anvil_setCode", [deployed.address, code[:-2] + "00"])
    assert found() == {"code", "hash of the code"}


@long
@few(1)
@pytest.mark.parametrize("name", LIBRARIES)
def test_another_library_is_found(
    deployer: Deployer, brownie_project: Any, tmp_path: Path, name: str
) -> None:
    """DP-06: a library with another code, and a ledger that was linked to one elsewhere."""
    path = tmp_path / "local.json"
    write(path, deployer.run())
    contracts = Deployment.load(path).contracts
    library, credit = contracts[name], contracts["CarbonCredit"]
    code = request("eth_getCode", [library.address, "latest"])
    request("anvil_setCode", [library.address, code[:-2] + "00"])
    build = linked_build(brownie_project, name)
    assert differences(request, build, library) == ["code", "hash of the code"]
    request("anvil_setCode", [library.address, code])
    assert differences(request, build, library) == []

    elsewhere = "11" * 20
    code = request("eth_getCode", [credit.address, "latest"])
    linked = code.replace(library.address[2:], elsewhere)
    assert linked != code
    request("anvil_setCode", [credit.address, linked])
    build = linked_build(brownie_project, "CarbonCredit")
    assert differences(request, build, credit) == ["code", "hash of the code"]
    try:
        with pytest.raises(DependencyDown, match="the code of CarbonCredit"):
            deployer.run()
    finally:  # no snapshot covers what is set by hand
        request("anvil_setCode", [credit.address, code])


@pytest.fixture
def verified(
    deployer: Deployer, builds: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Deployment:
    """A deployment on the chain, and its sources compiled once for all tests."""
    monkeypatch.setattr("scripts.verify.fresh_builds", lambda: builds)
    path = tmp_path / "local.json"
    write(path, deployer.run())
    return Deployment.load(path)


@pytest.fixture(scope="module")
def builds(brownie_project: Any) -> dict[str, Any]:
    """The sources compiled anew; in the short form as Brownie has compiled them, which on a new machine is anew."""
    if is_long():
        return fresh_builds()
    return {name: linked_build(brownie_project, name) for name in CONTRACTS}


def test_artifacts_of_the_package_are_those_of_the_sources(
    builds: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """DP-04: what the program calls, reads and compares with is what the sources compile to."""
    monkeypatch.setattr("scripts.export_abi.fresh_builds", lambda: builds)
    assert export(check=True) == [], "run `python -m scripts.export_abi`"


def wrong(deployment: Deployment) -> dict[str, Any]:
    """Return what of each contract, role and class differs, and nothing of what does not."""
    found = verify(request, deployment)
    parts = {row["name"]: row["differs"] for row in found["contracts"]}
    parts |= {
        f"{row['contract']} {row['role']}": row["holders"]
        for row in found["roles"]
        if row["differs"]
    }
    parts |= {"class": True} if found["class"] and found["class"]["differs"] else {}
    currency = found["currency"]
    if currency and currency["differs"]:
        parts["currency"] = (currency["symbol"], currency["file"])
    parts = {name: part for name, part in parts.items() if part}
    assert is_verified(found) is not bool(parts)
    assert ("NOT" in " ".join(lines(found))) is bool(parts)
    return parts


def with_contract(deployment: Deployment, name: str, **changes: Any) -> Deployment:
    changed = replace(deployment.contracts[name], **changes)
    return replace(deployment, contracts={**deployment.contracts, name: changed})


@long
def test_a_cache_is_not_believed(
    brownie_project: Any, builds: dict[str, Any], tmp_path: Path
) -> None:
    """DP-04: what is compared was compiled anew, from what stands in the folders now; Brownie makes the same of it."""
    for name, build in builds.items():
        linked = linked_build(brownie_project, name)
        assert (build["bytecode"], build["deployedBytecode"]) == (
            linked["bytecode"],
            linked["deployedBytecode"],
        )
    for part in ("contracts", "node_modules/@openzeppelin"):
        shutil.copytree(ROOT / part, tmp_path / part)
    shutil.copy(ROOT / "brownie-config.yaml", tmp_path)
    changed = tmp_path / "node_modules/@openzeppelin/contracts/utils/Nonces.sol"
    changed.write_text(changed.read_text() + "// a remark\n")
    other = fresh_builds(tmp_path, ("CarbonCredit",))["CarbonCredit"]
    assert other["bytecode"] != builds["CarbonCredit"]["bytecode"]
    (tmp_path / "contracts/VppSettlement.sol").write_text("contract")
    with pytest.raises(BadInput, match="do not compile"):
        fresh_builds(tmp_path, ("CarbonCredit",))


def test_a_file_that_lacks_a_contract_proves_nothing(verified: Deployment) -> None:
    """DP-04: none, one of them, a library; and a name without sources."""
    assert wrong(verified) == {}
    for name in ("CarbonCredit", "VppSettlement", *LIBRARIES):
        others = {key: each for key, each in verified.contracts.items() if key != name}
        with pytest.raises(BadInput, match=f"lacks {name}:"):
            check_complete(replace(verified, contracts=others))
    with pytest.raises(BadInput, match="lacks CarbonCredit, VppSettlement, "):
        verify(request, replace(verified, contracts={}))
    stranger = {**verified.contracts, "Vault": verified.credit}
    with pytest.raises(BadInput, match="names Vault, of which there are no sources"):
        verify(request, replace(verified, contracts=stranger))


def test_the_symbol_of_the_currency_is_the_one_that_it_states(verified: Deployment) -> None:
    """DP-04: the pages go by the file, which a hand may change; one of before has none, and is told what to add."""
    from brownie import web3

    address = verified.contracts["TestCurrency"].address

    def told(symbol: str | None, currency: str = address) -> tuple[Any, list[str]]:
        settled = {**verified.settlement.constructor, "currency": currency}
        other = with_contract(verified, "VppSettlement", constructor=settled)
        row = currency_row(asking(web3), replace(other, currency_symbol=symbol))
        assert (row["address"], row["file"]) == (currency, symbol)
        return (row["symbol"], row["differs"]), currency_lines(row)

    about = f'currency {address}: calls itself "tEUR"; '
    assert told("tEUR") == (("tEUR", False), [about + "as in the file"])
    mend = 'NOT as in the file, which says "\\u20acUR\\n": write `"currency_symbol": "tEUR"`'
    assert told("€UR\n") == (("tEUR", True), [about + mend])
    add = 'add `"currency_symbol": "tEUR"` to the file, and the pages name it so'
    assert told(None) == (("tEUR", False), [about + "the file does not say so: " + add])
    for silent in (verified.settlement.address, "0x" + "ab" * 20):  # it reverts; no contract at all
        assert told(None, silent) == ((None, False), [])
        (said,) = told("tEUR", silent)[1]
        assert said.endswith(
            'states no symbol; NOT as in the file, which says "tEUR": take its `currency_symbol` away'
        )
    assert wrong(replace(verified, currency_symbol="tEUR")) == {}
    assert wrong(replace(verified, currency_symbol="tUSD")) == {"currency": ("tEUR", "tUSD")}
    forged = with_contract(verified, "CarbonCredit", tx_hash="0x" + "11" * 32)
    assert verify(request, forged)["currency"] is None


@long
def test_arguments_that_are_none(verified: Deployment) -> None:
    """DP-04: of another type or number, and a salt that is no word, are said."""
    given = verified.settlement.constructor
    for changes in (
        {"constructor": {**given, "window": "soon"}},
        {"constructor": {**given, "window": 2**32}},
        {"constructor": {"admin": given["admin"]}},
        {"salt": "0xsalt"},
    ):
        with pytest.raises(BadInput, match="gives VppSettlement a salt or arguments"):
            verify(request, with_contract(verified, "VppSettlement", **changes))
    from brownie import web3

    never = with_contract(verified, "VppSettlement", constructor={**given, "window": 0})
    found = verify(asking(web3), never)["contracts"]
    differs = next(row["differs"] for row in found if row["name"] == "VppSettlement")
    assert (
        "code" in differs and "address" in differs
    )  # the constructor reverts: no fault of the node


@long
def test_a_mirror_that_would_begin_too_late(verified: Deployment) -> None:
    """DP-04: block and transaction of a deployment are the chain's, with a transaction or without."""
    credit, register = verified.credit, verified.contracts["Register"]
    late = verify(request, with_contract(verified, "CarbonCredit", block=credit.block + 1))
    (row,) = (row for row in late["contracts"] if row["differs"])
    told = {"file": credit.block + 1, "chain": credit.block}
    assert (row["name"], row["differs"], row["block"]) == ("CarbonCredit", ["block"], told)
    assert (
        f"  it was made in block {credit.block}, and the deployment file says {credit.block + 1}: "
        f"write {credit.block} as its `block` there"
    ) in lines(late)
    for tx_hash in (register.tx_hash, "0x" + "11" * 32):
        assert wrong(with_contract(verified, "CarbonCredit", tx_hash=tx_hash)) == {
            "CarbonCredit": ["transaction"]
        }
    for block, differs in (
        (credit.block - 1, True),
        (credit.block, False),
        (credit.block + 1, True),
    ):
        found = wrong(with_contract(verified, "CarbonCredit", block=block, tx_hash=None))
        assert found == ({"CarbonCredit": ["block"]} if differs else {})


@long
def test_a_node_that_knows_old_transactions_by_their_blocks_alone(verified: Deployment) -> None:
    """DP-04: a contract is older than the node's index by hash, and its transaction is in the file's block."""

    def forgetful(method: str, parameters: list[Any]) -> Any:
        forgotten = method in ("eth_getTransactionByHash", "eth_getTransactionReceipt")
        return None if forgotten else request(method, parameters)

    def wrong_of(deployment: Deployment) -> dict[str, list[str]]:
        rows = verify(forgetful, deployment)["contracts"]
        return {row["name"]: row["differs"] for row in rows if row["differs"]}

    assert wrong_of(verified) == {}
    late = with_contract(verified, "CarbonCredit", block=verified.credit.block + 1)
    assert wrong_of(late) == {"CarbonCredit": ["transaction"]}


@long
def test_a_transaction_that_made_nothing(verified: Deployment, keys: list[Any]) -> None:
    """DP-04: the call that made a contract, sent once more, fails; a mirror would begin too late there."""
    from brownie import web3

    forged = verified
    for name, deployed in verified.contracts.items():
        call = request("eth_getTransactionByHash", [deployed.tx_hash])
        message = {"from": keys[0].address, "to": call["to"], "data": call["input"]}
        again = request("eth_sendTransaction", [{**message, "gas": hex(12_000_000)}])
        receipt = web3.eth.wait_for_transaction_receipt(again)
        assert receipt["status"] == 0
        forged = with_contract(forged, name, tx_hash=again, block=receipt["blockNumber"])
    forged = replace(forged, deployed_block=min(each.block for each in forged.contracts.values()))
    assert forged.deployed_block > verified.deployed_block
    assert wrong(forged) == {name: ["transaction"] for name in verified.contracts}


@long
def test_a_settlement_of_another_ledger(
    deployer: Deployer, verified: Deployment, tmp_path: Path
) -> None:
    """DP-04: two good contracts that do not belong together."""
    path = tmp_path / "other.json"
    deployer.contracts = {}
    deployer.plan = replace(deployer.plan, admin_delay_s=1)
    write(path, deployer.run())
    other = Deployment.load(path)
    assert wrong(other) == {}
    assert other.credit.address != verified.credit.address
    mixed = {**verified.contracts, "VppSettlement": other.settlement}
    assert wrong(replace(verified, contracts=mixed)) == {"VppSettlement": ["credits"]}


@long
def test_holders_that_are_not_those_of_the_file(
    verified: Deployment, brownie_project: Any, keys: list[Any], chain: Any
) -> None:
    """DP-03, DP-04: another account in the file, one whose role is gone, another admin, a reverser nobody named."""
    stranger = keys[6].address.lower()
    for account, roles in (
        ("issuer", {"CarbonCredit ISSUER:1"}),
        ("verifier", {"CarbonCredit VERIFIER:1"}),
        ("registrar", {"CarbonCredit REGISTRAR_ROLE"}),
        ("reverser", {"CarbonCredit REVERSER_ROLE"}),
        ("operator", {"VppSettlement OPERATOR_ROLE"}),
        ("arbiter", {"VppSettlement ARBITER_ROLE"}),
        ("member", {"VppSettlement MEMBER_ROLE"}),
        ("collector", {"VppSettlement feeCollector"}),
        (
            "pauser",
            {
                "CarbonCredit PAUSER_ROLE",
                "CarbonCredit SUSPENDER_ROLE",
                "VppSettlement PAUSER_ROLE",
            },
        ),
        ("admin", {f"{name} DEFAULT_ADMIN_ROLE" for name in ("CarbonCredit", "VppSettlement")}),
    ):
        forged = replace(verified, accounts={**verified.accounts, account: stranger})
        assert set(wrong(forged)) == roles, account
    without = {name: each for name, each in verified.accounts.items() if name != "reverser"}
    assert wrong(replace(verified, accounts=without)) == {
        "CarbonCredit REVERSER_ROLE": [verified.accounts["reverser"]]
    }
    assert wrong(replace(verified, class_code="gold")) == {"class": True}

    credit = brownie_project.CarbonCredit.at(
        request_checksum(verified.credit.address), persist=False
    )
    role, issuer = credit.issuerRole(1), request_checksum(verified.accounts["issuer"])
    credit.grantRole(role, stranger, {"from": keys[0]})
    (row,) = [each for each in role_rows(request, verified) if each["role"] == "ISSUER:1"]
    assert (row["differs"], set(row["holders"])) == (False, {stranger, issuer.lower()})
    assert "which names" in " ".join(lines(verify(request, verified)))
    for other, shown in ((credit.issuerRole(2), "ISSUER:2"), ("0x" + "ab" * 32, "0x" + "ab" * 32)):
        credit.grantRole(other, stranger, {"from": keys[0]})
        (row,) = [each for each in role_rows(request, verified) if each["role"] == shown]
        assert (row["account"], row["holders"], row["differs"]) == (None, [stranger], False)
        said = f"CarbonCredit {shown}: {stranger}; the file names no such role"
        assert said in lines(verify(request, verified))
        credit.revokeRole(other, stranger, {"from": keys[0]})
        assert said not in lines(verify(request, verified))
    credit.revokeRole(role, issuer, {"from": keys[0]})
    assert wrong(verified) == {"CarbonCredit ISSUER:1": [stranger]}
    credit.grantRole(role, issuer, {"from": keys[0]})
    assert verify(request, verified)["handovers"] == []
    credit.beginDefaultAdminTransfer("0x" + "00" * 20, {"from": keys[0]})
    assert any("to give it up, for nobody" in line for line in lines(verify(request, verified)))
    begun = credit.beginDefaultAdminTransfer(stranger, {"from": keys[0]})
    found = verify(request, verified)
    from_s = begun.timestamp + verified.credit.constructor["adminDelay"]
    at = datetime.fromtimestamp(from_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert found["handovers"] == [{"contract": "CarbonCredit", "to": stranger, "from": at}]
    said = f"a handover to {stranger} has begun; it may accept from {at} on"
    assert f"CarbonCredit DEFAULT_ADMIN_ROLE: {said}" in lines(found)
    assert wrong(verified) == {}
    chain.sleep(2)
    credit.acceptDefaultAdminTransfer({"from": keys[6]})
    assert wrong(verified) == {"CarbonCredit DEFAULT_ADMIN_ROLE": [stranger]}


def test_a_time_beyond_all_years_is_told() -> None:
    """DP-04: an admin may lengthen its delay to ages. That ended the verification."""
    assert [told_time(0), told_time(2**48 - 1)] == [
        "1970-01-01T00:00:00Z",
        "281474976710655 s after 1970",
    ]


@long
def test_terms_that_are_others_by_now(
    verified: Deployment, brownie_project: Any, keys: list[Any], chain: Any
) -> None:
    """DP-04: another delay of the admin, a fee that was announced, other caps, a pause. Nothing of it was told."""

    def found() -> dict[str, tuple[str, str, str | None]]:
        rows = verify(request, verified)["terms"]
        return {
            f"{row['contract']} {row['term']}": (row["deployment"], row["now"], row["next"])
            for row in rows
        }

    assert found() == {}
    credit, settlement = (
        brownie_project[each.name].at(request_checksum(each.address), persist=False)
        for each in (verified.credit, verified.settlement)
    )
    admin, pauser = {"from": keys[0]}, {"from": keys[8]}
    collector, heir = verified.accounts["collector"], keys[6].address.lower()
    lengthened = credit.changeDefaultAdminDelay(600, admin)
    settlement.setCaps(7, 10**12, admin)
    announced = settlement.setFee(50, heir, admin)
    assert found() == {
        "CarbonCredit adminDelay": ("0", "0", "600"),
        "VppSettlement notionalCap": (str(10**12), "7", None),
        "VppSettlement feeBps": ("0", "0", "50"),
        "VppSettlement feeCollector": (collector, collector, heir),
    }
    said, week_s = lines(verify(request, verified)), 7 * 86_400
    assert f"VppSettlement feeBps: 0; 50 from {told_time(announced.timestamp + week_s)} on" in said
    assert f"VppSettlement notionalCap: 7, and {10**12} at its deployment" in said
    assert (
        f"CarbonCredit adminDelay: 0; 600 from {told_time(lengthened.timestamp + 600)} on" in said
    )
    assert is_verified(verify(request, verified))  # as it was deployed; who may change these did
    chain.sleep(week_s + 1)
    chain.mine()
    credit.pause(pauser)
    assert found() == {
        "CarbonCredit adminDelay": ("0", "600", None),
        "CarbonCredit paused": ("no", "yes", None),
        "VppSettlement notionalCap": (str(10**12), "7", None),
        "VppSettlement feeBps": ("0", "50", None),
        "VppSettlement feeCollector": (collector, heir, None),
    }


@long
def test_a_role_is_of_this_contract_and_of_a_class_that_is_there(
    verified: Deployment, brownie_project: Any
) -> None:
    """DP-05: a number that was mistyped is no other class's role, and no failure of the node."""
    assert class_is_registered(request, verified, 1)
    assert not class_is_registered(request, verified, 2)
    credit, settlement = (
        brownie_project[name].at(request_checksum(each.address), persist=False)
        for name, each in (
            ("CarbonCredit", verified.credit),
            ("VppSettlement", verified.settlement),
        )
    )
    assert role_of(credit, "ISSUER:1") == credit.issuerRole(1)
    assert role_of(credit, f"VERIFIER:{2**32 - 1}") == credit.verifierRole(2**32 - 1)
    assert role_of(settlement, "MEMBER_ROLE") == settlement.MEMBER_ROLE()
    for text in (f"ISSUER:{2**32}", "VERIFIER:", "VERIFIER:-1", "ISSUER:1e3", "ISSUER:²"):
        with pytest.raises(BadInput, match="is of no class"):
            role_of(credit, text)
    for contract, text in (
        (settlement, "ISSUER:1"),
        (settlement, "REGISTRAR_ROLE"),
        (credit, "DEFAULT_ADMIN_ROLE"),
        (credit, "OWNER:1"),
        (credit, "issuer:1"),
    ):
        with pytest.raises(BadInput, match="has no role"):
            role_of(contract, text)


@long
def test_a_node_that_gives_few_logs_at_once(verified: Deployment) -> None:
    """DP-04: all holders are found in pieces; a node that gives none at all is said."""
    asked: list[int] = []

    def sparing(most: int) -> Any:
        def ask(method: str, parameters: list[Any]) -> Any:
            if method == "eth_getLogs":
                first, last = (int(parameters[0][each], 16) for each in ("fromBlock", "toBlock"))
                asked.append(last - first + 1)
                if asked[-1] > most:
                    raise DependencyDown("too many")
            return request(method, parameters)

        return ask

    assert role_rows(sparing(2), verified) == role_rows(request, verified)
    assert 1 in asked or 2 in asked
    with pytest.raises(DependencyDown):
        role_rows(sparing(0), verified)


@long
def test_who_has_no_books_is_told_that_nothing_was_noted(
    verified: Deployment, tmp_path: Path
) -> None:
    """DP-04: what was found stands, and nobody takes it for noted."""
    settings = load_settings(None, {"TRUETONNE_DATABASE_URL": f"sqlite:///{tmp_path}/books.db"})
    none = "not noted in smart_contracts: there are no books here"
    assert mark_verified(settings, verified, ["CarbonCredit"]) == [none]
    assert not (tmp_path / "books.db").exists()
    (tmp_path / "books.db").touch()
    (said,) = mark_verified(settings, verified, ["CarbonCredit"])
    assert said.startswith("not noted in smart_contracts: ") and "truetonne db upgrade" in said
    database = Database(settings.database_url)
    database.upgrade()
    database.close()
    assert mark_verified(settings, verified, ["CarbonCredit"]) == []


def test_a_library_that_nobody_deploys(
    brownie_project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DP-06: a contract is not deployed with a place in its code left open."""
    monkeypatch.setattr("scripts.linking.LIBRARIES", LIBRARIES[1:])
    with pytest.raises(ValueError, match="a library that"):
        linked_build(brownie_project, "CarbonCredit")
