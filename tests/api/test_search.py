"""One box: every form of a name finds its thing first, and no text does harm."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.finality import ChainView
from api.search.queries import search
from api.search.schemas import SearchParameters
from ledger.db import Database
from ledger.models import VppDefinition, VppSettlementAccount
from ledger.models.vpp import VppStatus
from tests.api.conftest import CREDIT_CONTRACT, h66, key_of
from tests.api.test_energy import served
from tests.support.forms import long, rest
from tests.support.plant import SITE, apply

BATCH_3 = (1 << 32) | 3


def found(client: TestClient, q: str, **more: str | int) -> list[tuple[str, str, bool]]:
    answer = client.get("/v1/search", params={"q": q, **more})
    assert answer.status_code == 200, answer.text
    return [(item["kind"], item["id"], item["exact"]) for item in answer.json()["items"]]


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("park-a-2015-1-1-400", "credit", "park-a-2015-1-1-400"),
        ("park-a-2015-1-10-20", "credit", "park-a-2015-1-1-400"),
        ("park-a-2015-7", "batch", "park-a-2015-7"),
        (key_of(50), "batch", "park-b-2014-50"),
        (key_of(50).upper().replace("0X", "0x"), "batch", "park-b-2014-50"),
        (str(BATCH_3), "batch", "park-a-2015-3"),
        (h66(0xE1, 50), "batch", "park-b-2014-50"),
        (h66(0xE2, 50), "batch", "park-b-2014-50"),
        (h66(0x77, 42), "transaction", h66(0x77, 42)),
        (key_of(122), "transaction", h66(0x77, 122)),
        (h66(0xDE, 2), "retirement", "2"),
        (h66(0x5B, 1), "settlement", h66(0x5B, 1)),
        (CREDIT_CONTRACT.upper().replace("0X", "0x"), "contract", CREDIT_CONTRACT),
        ("CarbonCredit", "contract", CREDIT_CONTRACT),
        ("park-wind", "project", "park-wind"),
        ("park", "site", "park"),
        ("A", "device", "A"),
        ("vpp-south", "plant", "vpp-south"),
    ],
)
def test_a_name_finds_its_thing_first(client: TestClient, text: str, kind: str, name: str) -> None:
    first = found(client, text)[0]
    assert first == (kind, name, True)


@pytest.mark.parametrize(
    ("text", "name", "exact"),
    [
        ("ｐａｒｋ－ａ－２０１５－７", "park-a-2015-7", True),
        ("park\u2010a\u20132015\u22127", "park-a-2015-7", True),
        ("park-a-2015-1-10 \u2013 20", "park-a-2015-1-1-400", True),
        ("\u201cpark-a-2015-7\u201d\u3002", "park-a-2015-7", True),
        ("ｐａｒｋ", "park", True),
        ("PARK-A-2015-1-10-20", "park-a-2015-1-1-400", False),
        ("Park-A-2015-7", "park-a-2015-7", False),
        ("PARK-A-2015", "park-a-2015-99", False),
        ("park-a-2015-7-", "park-a-2015-7", False),
        ("park-a-2015-1-10", "park-a-2015-1-1-400", False),
        ("park-a-2015-1-10-", "park-a-2015-1-1-400", False),
        (h66(0x77, 42)[2:], h66(0x77, 42), True),
        (h66(0x77, 42)[2:].upper(), h66(0x77, 42), True),
        (CREDIT_CONTRACT[2:], CREDIT_CONTRACT, True),
        (h66(0x77, 42)[:8] + "\u2026" + h66(0x77, 42)[-6:], h66(0x77, 42), False),
        (h66(0x77, 42)[:8] + "..." + h66(0x77, 42)[-6:], h66(0x77, 42), False),
        (h66(0x5B, 1)[:8].upper(), h66(0x5B, 1), False),
        (CREDIT_CONTRACT[:12], CREDIT_CONTRACT, False),
    ],
)
def test_a_text_as_people_type_and_copy_it(
    client: TestClient, text: str, name: str, exact: bool
) -> None:
    """Typed by a Chinese input method, copied from a letter or from a page that shortens, or cut: it found nothing."""
    first, *_ = found(client, text)
    assert first[1:] == (name, exact)


def test_a_device_is_found_with_its_name_beside_its_number(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """Who looked for a part of a name saw numbers, and not which of them has it."""
    apply(sqlite_db, SITE)
    with served(sqlite_db.url, tmp_path) as client:
        titles = [hit["title"] for hit in client.get("/v1/search?q=A").json()["items"]]
        assert "device A (wind_turbine) of site park, meter serial-A" in titles
        apply(sqlite_db, SITE.replace('code = "A"', 'code = "A"\nname = "North <ridge>"'))
        (hit,) = client.get("/v1/search?q=ridge").json()["items"]
        assert hit["title"] == "device A: North <ridge> (wind_turbine) of site park, meter serial-A"
        for lang, said in (
            ("en", "device A: North &lt;ridge&gt; (wind_turbine) of site park, meter serial-A"),
            ("zh", "设备 A：North &lt;ridge&gt;，园区 park，表号 serial-A"),
        ):
            asked = {"Accept": "text/html", "Accept-Language": lang}
            assert said in client.get("/search?q=ridge", headers=asked).text


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("https://park.example/retirements/2", "retirement", "2"),
        ("park.example/v1/retirements/2/certificate?x=1", "retirement", "2"),
        ("/credits/park-a-2015-1-1-400#proof", "credit", "park-a-2015-1-1-400"),
        ("<http://127.0.0.1:8600/credits/park%2Da-2015-1-1-400>", "credit", "park-a-2015-1-1-400"),
        ("https://park.example/transactions/" + h66(0x77, 42), "transaction", h66(0x77, 42)),
        ("/settlements/" + h66(0x5B, 1), "settlement", h66(0x5B, 1)),
        ("https://park.example/sites/park", "site", "park"),
        ("https://park.example/plants/vpp-south", "plant", "vpp-south"),
        ("No. 2", "retirement", "2"),
        ("no 2", "retirement", "2"),
        ("#2", "retirement", "2"),
        ("Retirement certificate No. 2", "retirement", "2"),
        ("retirement 2", "retirement", "2"),
        ("注销证书　编号：２", "retirement", "2"),
    ],
)
def test_an_address_and_the_number_of_a_certificate_name_one_thing(
    client: TestClient, text: str, kind: str, name: str
) -> None:
    """As who holds a printed certificate types or pastes it: 2 alone may be other things, too."""
    assert found(client, text) == [(kind, name, True)]


@pytest.mark.parametrize(
    "text",
    [
        "https://park.example/retirements/nope",
        "/sites/par",
        "/credits/%00",
        "/credits/%ff",
        "/accounts/2",
        "No. 999999",
        "certificate",
    ],
)
def test_an_address_of_nothing_finds_nothing(client: TestClient, text: str) -> None:
    assert found(client, text) == []


@pytest.mark.parametrize("text", ["0x77000", "park-a-2015-1-0", "nope-2015-7-", "0x770000\u2026g"])
def test_too_little_of_a_name_finds_nothing(client: TestClient, text: str) -> None:
    assert found(client, text) == []


def test_a_link_leads_to_the_thing(client: TestClient) -> None:
    for text in ("park-a-2015-1-1-400", "park-a-2015-7", "30", "park-wind", "vpp-south", "park"):
        for item in client.get("/v1/search", params={"q": text}).json()["items"]:
            assert client.get(item["link"]).status_code == 200, item


def test_a_number_may_be_several_things(client: TestClient) -> None:
    # Row 2 of the credits, retirement 2, settlement batch 2.
    assert {kind for kind, _, exact in found(client, "2") if exact} == {
        "credit",
        "retirement",
        "settlement",
    }


def test_exact_names_come_before_parts_of_names(client: TestClient) -> None:
    exact = [item[2] for item in found(client, "park", limit=50)]
    assert exact == sorted(exact, reverse=True)
    assert True in exact and False in exact


def test_a_year_of_a_site_has_its_batches(client: TestClient) -> None:
    kinds = {item[0] for item in found(client, "park-a-2015")}
    assert kinds == {"batch"}
    answer = client.get("/v1/search", params={"q": "park-a-2015", "limit": 3}).json()
    assert [item["id"] for item in answer["items"]] == [f"park-a-2015-{n}" for n in (99, 97, 95)]
    assert answer["more"]


def test_marks_that_nobody_sees_are_left_out(client: TestClient) -> None:
    answer = client.get("/v1/search", params={"q": " \u200f\u202epark-wind\u200b "}).json()
    assert answer["q"] == "park-wind"
    assert answer["items"][0]["kind"] == "project"


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "' OR 1=1 --",
        "100%",
        "%",
        "_",
        "\\",
        "碳信用",
        "𝟙𝟚",
        "0x",
        "-1",
        "9" * 200,
        "a-" * 100,
        "park-a-2015-1-" + "9" * 60 + "-1",
    ],
)
def test_any_other_text_finds_nothing_and_does_no_harm(client: TestClient, text: str) -> None:
    answer = client.get("/v1/search", params={"q": text})
    assert answer.status_code == 200, answer.text
    assert answer.json()["items"] == []
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("text", "status", "word"),
    [
        ("", 422, "at least 1 character"),
        ("\u200b", 422, "empty"),
        ("a" * 201, 422, "200 characters"),
        ("a" * 10_000, 414, "4096 bytes"),
        ("a\x00b", 422, "control character"),
        ("a\r\nb", 422, "control character"),
    ],
)
def test_a_text_that_cannot_be_a_name_is_refused(
    client: TestClient, text: str, status: int, word: str
) -> None:
    answer = client.get("/v1/search", params={"q": text})
    assert answer.status_code == status
    assert word in answer.json()["detail"]


def test_hostile_texts_cost_little(client: TestClient) -> None:
    """As much as names do that are as long, a few times at most: a pattern that is tried in all ways takes hours."""

    def processor_s(texts: Iterable[str]) -> float:
        began = time.process_time()
        for text in texts:
            client.get("/v1/search", params={"q": text})
        return time.process_time() - began

    names_s = processor_s(letter * 200 for letter in "bcdef")
    hostile = ("%" * 200, "a-" * 100, "9-" * 100, "_" * 200, "\\" * 200)
    assert processor_s(hostile) < 6 * names_s


@long
def test_a_name_is_found_whatever_the_size_of_its_letters(db: Database) -> None:
    """SQLite's own ``lower`` knows A to Z, MariaDB's no letter that is another one at the end of a word."""
    names = ("Parc ÉOLIEN", "Ökostrom", "Ветропарк", "ΑΙΟΛΟΣ")
    rest = {"total_capacity": 1, "status": VppStatus.ACTIVE}
    with db.write() as session:
        for number, name in enumerate(names):
            plant = VppDefinition(vpp_id=f"plant-{number}", name=name, **rest)
            session.add(plant)
            session.flush()  # settlement knows it by an account
            session.add(VppSettlementAccount(vpp_id=plant.id, address=f"0x{number:040x}"))
    view = ChainView("local", "finalized", None, None)
    with db.read() as session:
        for number, name in enumerate(names):
            for text in {name, name.lower()} if number < 3 else {name}:
                parameters = SearchParameters.model_validate({"q": text})
                hits = search(session, view, parameters).items
                assert [hit.id for hit in hits] == [f"plant-{number}"], text


@pytest.mark.parametrize("text", rest(["mühle ÜBEL", "Söhne", "& s", "hle"]))
def test_a_beneficiary_has_its_retirements_after_all_else(client: TestClient, text: str) -> None:
    there = client.get("/v1/retirements", params={"limit": 3}).json()["items"]
    names = [("retirement", item["retirement_id"], False) for item in there]
    assert found(client, text, limit=3) == names
    assert client.get("/v1/search", params={"q": text, "limit": 3}).json()["more"]


@pytest.mark.parametrize("text", rest(["M_hle", "M", "Mühle GmbH", "%"]))
def test_what_no_beneficiary_is_called_has_no_retirement(client: TestClient, text: str) -> None:
    assert [kind for kind, *_ in found(client, text) if kind == "retirement"] == []
