"""The auditor's routes over a real chain: bundle, reading, history, retirement."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode
from eth_utils.crypto import keccak
from fastapi.testclient import TestClient

from api.app import create_app
from ledger.proofs.verifier import Trusted, verify
from ledger.settings import Settings, load_settings
from tests.support.chain import FIRST_PERIOD_S, PARTIES
from tests.support.forms import few
from tests.support.park import Park
from tests.support.proven import BATCH, BENEFICIARY, NAME

CREDIT = f"{NAME}-1-100"
READING = "(bytes32,uint64,uint64,int256,uint8,uint8,uint16,bytes32)"


@pytest.fixture(scope="module")
def park(proven: Park) -> Park:
    return proven


def settings_of(park: Park, rpc_url: str, deployment: Path) -> Settings:
    """Return the settings of a service on the park's books."""
    return load_settings(
        None,
        {
            "TRUETONNE_HOME": str(park.folder),
            "TRUETONNE_DATABASE_URL": park.db.url.render_as_string(hide_password=False),
            "TRUETONNE_RPC_URL": rpc_url,
            "TRUETONNE_NETWORK": "local",
            "TRUETONNE_DEPLOYMENT": str(deployment),
        },
    )


@pytest.fixture(scope="module")
def client(park: Park) -> Iterator[TestClient]:
    deployment = park.folder / "deployment.json"
    deployment.write_text(park.node.deployment_text())
    settings = settings_of(park, park.node.rpc_url, deployment)
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


def trusted(park: Park, number: int) -> Trusted:
    """Return what an auditor has from her own node."""
    header = park.chain.client.block(number)
    address = park.chain.deployment.credit.address
    assert header is not None
    return Trusted(
        bytes.fromhex(header.hash[2:]),
        bytes.fromhex(address[2:]),
        keccak(hexstr=park.chain.client.code(address)),
        31337,
    )


def problem(client: TestClient, url: str, status: int) -> dict[str, Any]:
    answer = client.get(url)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return dict(answer.json())


def test_a_bundle_is_what_an_auditor_verifies(client: TestClient, park: Park) -> None:
    answer = client.get(f"/v1/credits/{CREDIT}/bundle?readings=all")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-disposition"] == f'attachment; filename="{CREDIT}.bundle.json"'
    status = client.get("/v1/status").json()
    assert answer.headers["truetonne-as-of-block"] == str(status["as_of_block"])
    assert answer.headers["truetonne-final-block"] == str(status["finality"]["final_block"])
    final = client.get("/v1/status").json()["finality"]["final_block"]
    facts = verify(answer.text, trusted(park, final)).facts
    assert facts["block"] == final
    assert facts["retired"]["beneficiary"] == BENEFICIARY
    assert (facts["readings"], facts["all_readings"]) == (144, True)


def test_a_bundle_against_a_block_of_choice(client: TestClient, park: Park) -> None:
    head = park.chain.client.block_number()
    answer = client.get(f"/v1/credits/{NAME}/bundle?block={head}&readings=2")
    assert verify(answer.text, trusted(park, head)).facts["readings"] == 2


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("readings=some", 422, "bad-request"),
        ("readings=-1", 422, "bad-request"),
        ("readings=1001", 422, "bad-request"),
        ("block=latest", 422, "bad-request"),
        ("format=2", 422, "bad-request"),
        ("block=1", 409, "not-final"),
        ("block=999999999", 404, "not-found"),
    ],
)
def test_a_bundle_that_cannot_be_is_a_problem(
    client: TestClient, query: str, status: int, code: str
) -> None:
    assert problem(client, f"/v1/credits/{CREDIT}/bundle?{query}", status)["code"] == code


def test_no_bundle_of_serials_of_two_fates(client: TestClient) -> None:
    said = problem(client, f"/v1/credits/{NAME}-100-101/bundle", 422)
    assert said["code"] == "mixed-serials"
    assert said["detail"].startswith("serials 100 to 100 are retired and 101 to 101 active: ")


def test_no_bundle_of_no_credit(client: TestClient) -> None:
    assert problem(client, "/v1/credits/park-wind-2014-9/bundle", 404)["code"] == "not-found"


def test_a_reading_leads_to_the_root_on_chain(client: TestClient, park: Park) -> None:
    """The leaf is encoded by eth-abi here, and the contract itself accepts the proof."""
    found = client.get("/v1/readings/1/proof").json()
    assert (found["text"], found["digits"], found["scale"], found["quality"]) == (
        "60",
        "60",
        0,
        100,
    )
    assert (found["start"], found["end"]) == (str(FIRST_PERIOD_S), str(FIRST_PERIOD_S + 600))
    reading = (
        keccak(text=found["meter"]),
        *(int(found["start"]), int(found["end"]), int(found["digits"])),
        *(found["scale"], found["kind"], found["quality"]),
        keccak(text=found["text"]),
    )
    assert keccak(keccak(abi_encode([READING], [reading]))).hex() == found["leaf"][2:]
    root = bytes.fromhex(found["evidence_root"][2:])
    proof = [bytes.fromhex(node[2:]) for node in found["proof"]]
    selector = keccak(text=f"verifyReading((bytes32,{READING},bytes32[]))")[:4]
    data = selector + abi_encode([f"(bytes32,{READING},bytes32[])"], [(root, reading, proof)])
    output = park.chain.client.call(park.chain.deployment.credit.address, "0x" + data.hex())
    assert int(output, 16) == BATCH


def test_no_proof_of_no_reading(client: TestClient) -> None:
    assert problem(client, "/v1/readings/999999/proof", 404)["code"] == "not-found"
    assert problem(client, "/v1/readings/zero/proof", 422)["code"] == "bad-request"


def test_the_life_of_a_credit(client: TestClient) -> None:
    answer = client.get(f"/v1/credits/{CREDIT}/history").json()
    assert (answer["batch_id"], answer["complete"]) == (str(BATCH), True)
    imported, computed, issued, retired = answer["items"]
    assert [item["kind"] for item in answer["items"]] == [
        "readings_imported",
        "reductions_computed",
        "issued",
        "retired",
    ]
    assert imported["values"]["readings"] == "144"
    assert len(imported["values"]["file_sha256"]) == 64
    assert computed["values"]["net_kwh"] == "1440.000000000"
    assert computed["values"]["issued_kg"] == issued["values"]["amount_kg"] == "720"
    assert issued["values"]["issuer"] == PARTIES["issuer"]
    assert issued["final"] is retired["final"] is True
    assert retired["values"] | {"key": ""} == {
        "amount_kg": "100",
        "first_serial": "1",
        "last_serial": "100",
        "retirement_id": "1",
        "holder": PARTIES["owner"],
        "beneficiary": BENEFICIARY,
        "reason": "year 2014",
        "key": "",
        "country": "DE",
        "consumption_start": "2014-01-01T00:00:00Z",
        "consumption_end": "2015-01-01T00:00:00Z",
    }
    assert client.get(f"/v1/credits/{NAME}/history").json()["items"] == answer["items"]
    # 1440 kWh by the factor of 0.5 t/MWh
    assert (computed["values"]["factor_value"], computed["values"]["baseline_t"]) == (
        "0.5 t/MWh",
        "0.720000000",
    )
    for name, link in computed["values"].items():
        if name.endswith("_link"):
            assert client.get(link).status_code == 200, link


def test_the_readings_behind_a_credit(client: TestClient) -> None:
    life = client.get(f"/v1/credits/{CREDIT}/history").json()["items"][1]["values"]
    path, found, cursor = life["readings_link"], [], ""
    while True:
        page = client.get(f"{path}?limit=60{cursor}").json()
        found += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert len({item["id"] for item in found}) == int(life["readings_expected"]) == 144
    assert [item["start"] for item in found] == sorted(item["start"] for item in found)
    used = [item for item in found if item["quality"] == "used"]
    assert len(used) == int(life["readings_used"])
    assert {(item["value"], item["text"], item["unit"], item["device"]) for item in used} == {
        ("60", "60", "kW", "A")
    }
    assert found[0]["line"] == 2
    assert client.get(f"/v1/readings/{found[0]['id']}/proof").status_code == 200
    backwards = client.get(f"{path}?order=desc&limit=200").json()["items"]
    assert backwards == found[::-1]
    assert client.get(f"{path}?quality=outlier").json()["items"] == []
    assert client.get(f"{path}?device=B").json()["items"] == []


def test_a_retirement_by_number_and_by_key(client: TestClient) -> None:
    found = client.get("/v1/retirements/1").json()
    assert found["credit_id"] == CREDIT
    assert (found["first_serial"], found["last_serial"], found["amount_kg"]) == ("1", "100", "100")
    assert found["consumption_start"] == "2014-01-01T00:00:00Z"
    assert found["consumption_end"] == "2015-01-01T00:00:00Z"
    assert (found["country"], found["document_hash"], found["final"]) == ("DE", None, True)
    assert client.get(f"/v1/retirements/{found['key']}").json() == found
    for name in ("2", "none", "0x" + "00" * 32):
        assert problem(client, f"/v1/retirements/{name}", 404)["code"] == "not-found"


def test_a_node_that_is_down_is_a_problem(park: Park) -> None:
    settings = settings_of(park, "http://127.0.0.1:9", park.folder / "deployment.json")
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        found = problem(client, f"/v1/credits/{CREDIT}/bundle", 503)
    assert found["code"] == "node-down"
    assert "127.0.0.1" not in found["detail"]


@few(1)
@pytest.mark.parametrize("text", [None, "", "{}", '{"contracts": 7}', "none at all"])
def test_a_deployment_file_that_is_not_there_or_none_is_no_fault_of_whoever_asks(
    park: Park, tmp_path: Path, text: str | None
) -> None:
    """The service's, then: and where it keeps its files is nobody's business."""
    file = tmp_path / "deployment.json"
    if text is not None:
        file.write_text(text)
    settings = settings_of(park, park.node.rpc_url, file)
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        found = problem(client, f"/v1/credits/{CREDIT}/bundle", 503)
        assert found["code"] == "not-deployed"
        assert "/" not in found["detail"] and ".json" not in found["detail"]
        chinese = {"Accept": "text/html", "Accept-Language": "zh"}
        page = client.get(f"/credits/{CREDIT}/bundle.json", headers=chinese)
        assert page.status_code == 503 and str(tmp_path) not in page.text
        assert "没有可用的合约部署文件" in page.text
        page = client.get(f"/credits/{CREDIT}", headers=chinese)  # which goes without
        assert page.status_code == 200 and str(tmp_path) not in page.text
