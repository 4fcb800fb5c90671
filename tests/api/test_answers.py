"""What an answer says: exact numbers as text, finality, the batch behind a credit."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from ledger.db import Database
from ledger.settings import load_settings
from tests.api.conftest import CREDIT_CONTRACT, ISSUER, SETTLEMENT_CONTRACT, h66, key_of
from tests.support.forms import long
from tests.support.plant import SITE, apply, imported, write_csv


def test_a_credit_is_shown_whole(client: TestClient) -> None:
    answer = client.get("/v1/credits/park-a-2015-1-1-400")
    assert answer.status_code == 200
    assert answer.json() == {
        "id": 1,
        "credit_id": "park-a-2015-1-1-400",
        "amount": "0.400",
        "amount_kg": "400",
        "unit": "tCO2e",
        "status": "retired",
        "issuer": ISSUER,
        "site": "park-a",
        "vintage": 2015,
        "batch_id": "4294967297",
        "batch_status": "active",
        "first_serial": "1",
        "last_serial": "400",
        "key": key_of(1),
        "retirement_id": "31",
        "blockchain_tx": h66(0x77, 1),
        "status_tx": h66(0x77, 95),
        "issued_at": "2024-01-01T00:00:01Z",
        "expires_at": None,
        "final": False,  # its retirement stands in block 95, and 90 is final
        "as_of_block": 98,
        "finality": {"rule": "8", "final_block": 90},
        "reconciliation": None,
        "batch": {
            "issued_kg": "1001",
            "retired_kg": "400",
            "cancelled_kg": "100",
            "buffered_kg": "20",
            "deficit_kg": None,
            "period_start": "2013-12-31T23:00:00Z",
            "period_end": "2014-01-31T23:00:00Z",
            "recipient": ISSUER,
            "verifier": "0x" + "bb" * 20,
            "evidence_root": h66(0xE1, 1),
            "evidence_total_kg": "18446744073709551615",
            "manifest_hash": h66(0xE2, 1),
            "methodology_hash": h66(0xE3, 1),
            "block_number": 1,
            "backfill_before_batch_id": None,
            "credits_count": 3,
            "credits": [
                {"credit_id": "park-a-2015-1-1-400", "amount_kg": "400", "status": "retired"},
                {"credit_id": "park-a-2015-1-401-901", "amount_kg": "501", "status": "active"},
                {"credit_id": "park-a-2015-1-902-1001", "amount_kg": "100", "status": "cancelled"},
            ],
        },
        "retirement": {
            "key": h66(0xDE, 31),
            "holder": ISSUER,
            "replaced_batch_id": None,
            "beneficiary": "Mühle Übel & Söhne",
            "reason": "train journeys of 2024",
            "country": "DE",
            "tx_hash": h66(0x77, 95),
            "block_number": 95,
            "retired_at": "2024-01-01T00:01:35Z",
            "consumption_start": None,
            "consumption_end": None,
            "document_hash": None,
        },
    }


@pytest.mark.parametrize(
    ("name", "credit_id"),
    [
        ("park-a-2015-1-401-901", "park-a-2015-1-401-901"),
        ("2", "park-a-2015-1-401-901"),
        ("park-a-2015-1-500-500", "park-a-2015-1-401-901"),
        ("park-a-2015-1-902-903", "park-a-2015-1-902-1001"),
        ("park-a-2015-1", "park-a-2015-1-1-400"),
        ("park-b-2014-2", "park-b-2014-2-1-1002"),
        (str(2 << 32 | 2), "park-b-2014-2-1-1002"),
        (key_of(1), "park-a-2015-1-1-400"),
        (key_of(2), "park-b-2014-2-1-1002"),
        (key_of(2).replace("ab", "AB", 1), "park-b-2014-2-1-1002"),
    ],
)
def test_a_credit_has_several_names(client: TestClient, name: str, credit_id: str) -> None:
    answer = client.get(f"/v1/credits/{name}")
    assert answer.status_code == 200
    assert answer.json()["credit_id"] == credit_id


def test_serials_that_were_parted_say_where_they_are_now(client: TestClient) -> None:
    answer = client.get("/v1/credits/park-a-2015-1-1-1001")
    assert answer.status_code == 404
    assert answer.json()["code"] == "credit-parted"
    assert answer.json()["credits"] == [
        "park-a-2015-1-1-400",
        "park-a-2015-1-401-901",
        "park-a-2015-1-902-1001",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "park-a-2015-1-1-1002",  # one kilogram more than was issued
        "park-a-2015-1-0-5",
        "park-a-2015-1-9-5",
        "park-a-2014-1-1-400",
        "park-a-2015-101",
        "park-a-2015-01",
        "park-a-2015-0",
        "park-a%20-2015-1",
        str(2 << 32 | 101),
        "park-a-2015-1-1-99999999999999999999",
        "park-a-2015-1-1-9223372036854775808",
        "park-a-2015-99999999999-1-400",
        "park-a-2015-9999999999-1-400",
        "PARK-A-2015-1-1-400",
        "132",
        "0",
        "-1",
        "1.0",
        "01",
        "9223372036854775808",
        "9" * 200,
        "٣",
        "0x",
        key_of(999),
        "' OR 1=1 --",
        "%00",
        "%0a",
        "a%2Fb",
        "%F0%9F%8C%B3",
        "%ED%A0%80",
        "..%2f..%2fetc",
        "park-a-2015-1-1-400%20",
    ],
)
def test_a_name_that_is_none_is_not_found(client: TestClient, name: str) -> None:
    answer = client.get(f"/v1/credits/{name}")
    assert answer.status_code == 404, answer.text
    assert answer.json()["code"] == "not-found"


def test_a_row_is_final_when_all_of_its_batch_is(client: TestClient) -> None:
    assert client.get("/v1/credits/park-b-2014-90-1-1090").json()["final"] is True
    assert client.get("/v1/credits/park-a-2015-91-1-1091").json()["final"] is False
    # Parted in block 50, long final.
    assert client.get("/v1/credits/park-a-2015-3-291-1003").json()["final"] is True


def test_a_status_has_its_transaction(client: TestClient) -> None:
    def transactions(name: str) -> tuple[str, str]:
        found = client.get(f"/v1/credits/{name}").json()
        return found["blockchain_tx"], found["status_tx"]

    issued = h66(0x77, 1)
    assert transactions("park-a-2015-1-1-400") == (issued, h66(0x77, 95))
    assert transactions("park-a-2015-1-401-901") == (issued, issued)
    assert transactions("park-a-2015-1-902-1001") == (issued, h66(0x77, 40))


def test_numbers_stay_exact(client: TestClient) -> None:
    (transaction,) = client.get("/v1/transactions", params={"tx_hash": h66(0x77, 101)}).json()[
        "items"
    ]
    assert transaction["gas_price"] == "12345678901234567890"
    assert transaction["gas_used"] == "210101"
    (trade,) = client.get(
        "/v1/trades",
        params={"traded_from": "2024-01-01T07:00:00Z", "traded_before": "2024-01-01T08:00:00Z"},
    ).json()["items"]
    assert (trade["quantity"], trade["price"], trade["total_value"]) == (
        "1234.567",
        "-0.0421",
        "-51.98",
    )


def test_no_float_is_ever_answered(client: TestClient) -> None:
    def refuse(text: str) -> float:
        raise AssertionError(f"{text} is a float")

    for path in ("/v1/credits", "/v1/transactions", "/v1/trades", "/v1/contracts", "/v1/status"):
        json.loads(client.get(path).text, parse_float=refuse)


def test_transactions_say_what_became_of_them(client: TestClient) -> None:
    def one(number: int) -> dict[str, object]:
        (found,) = client.get("/v1/transactions", params={"tx_hash": h66(0x77, number)}).json()[
            "items"
        ]
        return dict(found)

    confirmed, failed, pending = one(42), one(110), one(122)
    assert (confirmed["status"], confirmed["key"], confirmed["final"]) == (
        "confirmed",
        key_of(42),
        True,
    )
    assert confirmed["contract_name"] == "CarbonCredit"
    # The mirror keeps numbers below 2^53 as numbers; one argument has one type in the answer.
    assert confirmed["parameters"] == {"amount": "1042", "details": {"consumptionStart": ["42"]}}
    assert (failed["status"], failed["error"]) == ("failed", "NotActive(1, Suspended)")
    assert failed["key"] is None
    assert (pending["status"], pending["key"], pending["block_number"]) == (
        "pending",
        key_of(122),
        None,
    )
    assert pending["final"] is False


def test_trades_say_how_they_were_settled(client: TestClient) -> None:
    trades = client.get("/v1/trades", params={"order": "asc", "limit": 31}).json()["items"]
    assert trades[0]["settlement"] == {
        "batch_key": h66(0x5B, 1),
        "state": "finalized",
        "chain_batch_id": "1",
        "proposed_block": 59,
        "finalized_block": 60,
        "error": None,
    }
    assert (trades[0]["vpp_code"], trades[0]["strategy"]) == ("vpp-north", "sell at noon")
    assert (trades[1]["vpp_code"], trades[1]["strategy"]) == ("vpp-south", None)
    assert (trades[0]["final"], trades[24]["final"], trades[30]["settlement"]) == (
        True,
        False,
        None,
    )


def test_contracts_show_their_interface_when_asked(client: TestClient) -> None:
    short = client.get("/v1/contracts").json()["items"]
    assert [item["contract_name"] for item in short] == ["VppSettlement", "CarbonCredit"]
    assert all(item["abi"] is None for item in short)
    (full,) = client.get(
        "/v1/contracts", params={"contract_address": CREDIT_CONTRACT, "with_abi": "true"}
    ).json()["items"]
    assert full["abi"] == [{"type": "function", "name": "pause", "inputs": []}]
    # echo -n '[{"type": "function", "name": "pause", "inputs": []}]' | sha256sum
    assert full["abi_sha256"] == "edadbfce5bb9755d366b7782488de841a1fe1c5e77bd8dca0721bc6921bc78ec"


def test_status_adds_up(client: TestClient) -> None:
    status = client.get("/v1/status").json()
    assert status["credits"] == {
        "batches": 100,
        "issued_t": "105.050",  # 100 x 1000 kg + (1 + ... + 100) kg
        "active_t": "104.260",
        "retired_t": "0.690",
        "cancelled_t": "0.100",
    }
    assert status["transactions"] == {"pending": 15, "confirmed": 90, "failed": 20}
    assert status["trades"] == {"pending": 104, "executed": 24, "cancelled": 1, "failed": 1}
    assert (status["network"], status["chain_id"], status["as_of_block"]) == ("local", 31337, 98)
    assert status["contracts"] == {
        "CarbonCredit": CREDIT_CONTRACT,
        "VppSettlement": SETTLEMENT_CONTRACT,
    }


@long
def test_files_are_told_each_time_that_they_came(sqlite_db: Database, tmp_path: Path) -> None:
    """What was imported, when, and what became of it: nothing but the audit log said so, and without the site."""
    apply(sqlite_db, SITE + SITE[SITE.index("[[source]]") :].replace('"scada"', '"again"'))
    apply(sqlite_db, SITE.replace('"park"', '"yard"').replace("park-wind", "yard-wind")
          .replace('"A"', '"B"').replace("serial-A", "serial-B"))  # fmt: skip
    rows = [("2014-06-01T12:00:00+02:00", "60"), ("2014-06-01T12:10:00+02:00", "sixty")]
    first = write_csv(tmp_path / "六月.csv", rows)
    digest = hashlib.sha256(first.read_bytes()).hexdigest()
    before = datetime.now(UTC)
    for source in ("scada", "scada", "again"):
        imported(sqlite_db, first, source)
    imported(sqlite_db, write_csv(tmp_path / "b.csv", rows[:1]), site="yard")
    environ = {"TRUETONNE_DATABASE_URL": str(sqlite_db.url), "TRUETONNE_HOME": str(tmp_path)}
    with TestClient(create_app(load_settings(None, environ))) as client:
        path = "/v1/readings/files?site=park"
        (again, second, one) = client.get(path).json()["items"]
        (only,) = client.get(f"{path}&source=again").json()["items"]
        page = client.get(f"{path}&order=asc&limit=2").json()
        rest = client.get(f"{path}&order=asc&limit=2&cursor={page['next_cursor']}").json()
        unknown = client.get(f"{path}&source=other")
        shown = client.get("/sites/park?lang=zh", headers={"Accept": "text/html"}).text
    assert [item["source"] for item in (one, second, again)] == ["scada", "scada", "again"]
    assert (one["file"], one["sha256"], one["device"]) == ("六月.csv", digest, "A")
    assert before <= datetime.fromisoformat(one["imported_at"]) <= datetime.now(UTC)
    counts = ("read", "new", "unchanged", "conflicts", "rejected")
    assert [one[name] for name in counts] == [2, 1, 0, 0, 1]
    assert [second[name] for name in counts] == [2, 0, 1, 0, 1]
    assert only == again
    assert (page["items"], rest["items"], rest["next_cursor"]) == ([one, second], [again], None)
    assert unknown.status_code == 404
    assert unknown.json()["detail"] == "site 'park' has no source 'other'; it has: again, scada"
    assert shown.count("六月.csv") == 3
    assert "导入的电表文件" in shown


def test_the_quality_of_readings_is_that_of_the_command_line(client: TestClient) -> None:
    answer = client.get("/v1/readings/quality?site=park&device=A")
    assert answer.status_code == 200
    document = answer.json()
    assert document["period"] == {"from": "2014-06-01", "to": "2014-06-02"}
    (device,) = document["devices"]
    assert device["total"] == {
        "expected": 144,
        "used": 1,
        "missing": 142,
        "absent": 141,
        "outlier": 1,
        "above": 1,
        "below": 0,
        "stuck": 0,
        "fell": 0,
        "conflict": 0,
        "superseded": 0,
        "late": 0,
    }
    assert [(item["number"], item["readings"]) for item in device["days"][0]["reasons"]] == [
        (None, 141),
        (200, 1),
        (301, 1),
    ]
    assert device["reasons"][2]["first"] == {
        "at": "2014-05-31T22:20:00Z",
        "file": "a.csv",
        "line": 4,
    }
    assert device["reasons"][0]["first"] == {
        "at": "2014-05-31T22:30:00Z",
        "file": None,
        "line": None,
    }


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("site=nowhere", 404, "not-found"),
        ("site=park&device=B", 404, "not-found"),
        ("site=park&from=2014-06-02&to=2014-06-02", 422, "empty-period"),
        ("site=park&from=2014-01-01&to=2016-01-01", 422, "period-too-long"),
        ("site=park&from=noon", 422, "bad-request"),
        ("site=park&start=2014-06-01", 422, "bad-request"),
        ("device=A", 422, "bad-request"),
    ],
)
def test_a_question_about_quality_that_has_no_answer(
    client: TestClient, query: str, status: int, code: str
) -> None:
    answer = client.get(f"/v1/readings/quality?{query}")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
