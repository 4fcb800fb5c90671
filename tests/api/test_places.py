"""Sites, projects and settlement batches: what stands in the books, and sums that are computed another way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import delete, insert, inspect, select
from sqlalchemy.orm import Session

from api.app import create_app
from api.finality import ChainView
from api.settlements.queries import list_settlements
from api.settlements.schemas import SettlementParameters
from api.sites.queries import show_site
from ledger.db import Database
from ledger.models import (
    EnergyProduction,
    SettlementBatch,
    SettlementDispute,
    VppDefinition,
    VppSettlementAccount,
    VppSettlementBatch,
    VppSettlementItem,
    VppTradingRecord,
)
from ledger.models.escrow import DisputeStep, SettlementStatus
from ledger.models.settlement import BatchState
from ledger.models.trading import TradeType
from ledger.models.vpp import VppStatus
from ledger.settings import load_settings
from tests.api.conftest import EPOCH, SALE, _contracts, _trades, h66
from tests.api.test_energy import served
from tests.support.forms import long
from tests.support.plant import SITE, apply, imported, write_csv

FAR = datetime(2090, 1, 1, tzinfo=UTC)


def test_a_site_has_its_devices_and_months(client: TestClient) -> None:
    site = client.get("/v1/sites/park").json()
    assert (site["time_zone"], site["country"], site["projects"]) == (
        "Europe/Paris",
        "FR",
        ["park-wind"],
    )
    assert [(item["code"], item["meter"], item["role"]) for item in site["devices"]] == [
        ("A", "serial-A", "generation")
    ]
    # 60 kW over ten minutes; the other two of the half hour do not count. Midnight in Paris is May in UTC.
    assert site["months"] == [
        {
            "month": "2014-06",
            "production_kwh": "10.000",
            "consumption_kwh": "0.000",
            "reductions_kg": "0",
            "issued_kg": "0",
        }
    ]


def test_a_site_has_no_device_of_another(sqlite_db: Database) -> None:
    other = SITE.replace('"park"', '"yard"').replace("park-wind", "yard-wind")
    for site in (SITE, other.replace('"A"', '"B"').replace("serial-A", "serial-B")):
        apply(sqlite_db, site)
    view = ChainView("local", "finalized", None, None)
    with sqlite_db.read() as session:
        shown = [show_site(session, view, code).devices for code in ("park", "yard")]
    assert [[item.code for item in devices] for devices in shown] == [["A"], ["B"]]


def test_months_count_the_meters_that_a_long_list_leaves_out(
    sqlite_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A site has five hundred and one meters: what the last of them counted is energy of its months, too."""
    site = SITE + SITE[SITE.index("[[device]]") :].replace('"A"', '"B"').replace("al-A", "al-B")
    apply(sqlite_db, site.replace('"scada"', '"of B"').replace('"of B"', '"scada"', 1))
    rows = [("2014-06-01T12:00:00+02:00", "60")]
    for source in ("scada", "of B"):
        imported(sqlite_db, write_csv(tmp_path / "a.csv", rows), source)
    monkeypatch.setattr("api.sites.queries.DEVICES_MAX", 1)
    view = ChainView("local", "finalized", None, None)
    with sqlite_db.read() as session:
        shown = show_site(session, view, "park")
    assert [device.code for device in shown.devices] == ["A"]
    assert [(month.month, month.production_kwh) for month in shown.months] == [("2014-06", 20)]


@long
def test_a_reading_of_the_far_future_hides_no_month_that_was(
    sqlite_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One year in a meter file was mistyped: the table of the last 120 months was of months to come alone."""
    apply(sqlite_db)
    rows = [(f"{year}-06-01T12:00:00+02:00", "60") for year in ("2014", "2099")]
    imported(sqlite_db, write_csv(tmp_path / "a.csv", rows))
    paths = ("/v1/sites/park", "/v1/projects/park-wind")
    with served(sqlite_db.url, tmp_path) as client:
        for now_s, last in ((1_401_000_000, "2014-06"), (4_084_500_000, "2099-06")):  # each day
            for module in ("api.sites.months.time", "api.energy.queries.time"):
                monkeypatch.setattr(module, SimpleNamespace(time=lambda at=now_s: at))
            for path in paths:  # though the books are the same: no answer from before
                months = client.get(path).json()["months"]
                assert months[-1]["month"] == last
                assert months[-1]["production_kwh"] == "10.000"
    with sqlite_db.write() as session:
        session.execute(delete(EnergyProduction).where(EnergyProduction.recorded_at < FAR))
    monkeypatch.undo()
    with served(sqlite_db.url, tmp_path) as client:  # nothing else is there
        assert [month["month"] for month in client.get(paths[0]).json()["months"]] == ["2099-06"]


def test_the_page_of_a_site_that_only_draws_shows_what_it_drew(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """Its charts were of production, reductions and credits, of which it has none."""
    apply(sqlite_db, SITE.replace('"generation"', '"import"'))
    imported(sqlite_db, write_csv(tmp_path / "a.csv", [("2014-06-01T12:00:00+02:00", "60")]))
    with served(sqlite_db.url, tmp_path) as client:
        page = client.get("/sites/park?lang=zh", headers={"Accept": "text/html"}).text
    assert page.count("<figure") == 1
    assert "<figcaption>下网电量" in page
    assert "<title>2014-06: 10.000" in page


def test_a_site_without_a_project_is_found_on_the_page_of_projects(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """It has an inventory and no credits: nothing led to its page but a search for its code."""
    start, end = SITE.index("[project]"), SITE.index("[[device]]")
    apply(sqlite_db, SITE[:start] + SITE[end:])
    wanted = {"Accept": "text/html"}
    with served(sqlite_db.url, tmp_path) as client:
        page = client.get("/projects?lang=zh", headers=wanted).text
        site = client.get("/sites/park", headers=wanted).text
    assert '<a href="/sites/park">' in page
    assert '<h2 id="sites">园区</h2>' in page
    assert "<dt>项目</dt><dd>–</dd>" in site


def test_a_project_has_its_factor_and_credits(client: TestClient) -> None:
    project = client.get("/v1/projects/park-wind").json()
    assert (project["site"], project["factor"], project["factor_value"]) == ("park", "cm", "0.5")
    assert (project["leakage_share"], project["uncertainty_share"]) == ("0", "0")
    assert project["credits"]["issued_kg"] == "0"  # the batches are of other projects
    assert project["months"][0]["production_kwh"] == "10.000"


@pytest.mark.parametrize(
    ("path", "count"),
    [
        ("/v1/sites", 1),
        ("/v1/sites?country=fr", 1),
        ("/v1/sites?country=DE", 0),
        ("/v1/projects?site=park", 1),
        ("/v1/projects?site=elsewhere", 0),
        ("/v1/settlements", 2),
        ("/v1/settlements?state=proposed", 1),
        ("/v1/settlements?market=nowhere", 0),
        ("/v1/settlements?vpp_code=vpp-south", 2),
        ("/v1/settlements?vpp_code=vpp-south&state=proposed", 1),
        ("/v1/settlements?vpp_code=nowhere", 0),
        ("/v1/settlements?vpp_code=vpp-south&elsewhere=true", 0),
    ],
)
def test_lists_keep_what_is_named(client: TestClient, path: str, count: int) -> None:
    answer = client.get(path)
    assert len(answer.json()["items"]) == count
    assert answer.json()["as_of_block"] == 98
    assert 'rel="first"' in answer.headers["Link"]


def test_a_settlement_says_who_pays_whom(client: TestClient) -> None:
    batch = client.get(f"/v1/settlements/{h66(0x5B, 1)}").json()
    assert client.get("/v1/settlements/1").json() == batch
    assert (batch["state"], batch["final"], batch["trade_count"]) == ("finalized", True, 24)
    # Trades of 51.98 each; trade 7 of the north has a negative price, so that the north pays for it.
    assert batch["payments"] == [
        {"payer": "day-ahead", "payee": "vpp-north", "amount": "519.80", "trades": 12},
        {"payer": "day-ahead", "payee": "vpp-south", "amount": "623.76", "trades": 12},
    ]
    total = sum(Decimal(trade["total_value"]) for trade in batch["trades"])
    assert total == sum(Decimal(payment["amount"]) for payment in batch["payments"])
    assert [trade["id"] for trade in batch["trades"]] == list(range(1, 25))


@pytest.mark.parametrize(
    "path",
    ["/v1/sites/nowhere", "/v1/projects/x", "/v1/settlements/9", "/v1/settlements/" + h66(1, 1)],
)
def test_what_is_not_there(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json()["code"] == "not-found"


def _decided(db: Database, client: TestClient) -> None:
    """Have the dispute rejected, then the batch cancelled: the page says of neither what would have come."""
    decided = {
        "block_number": 56,
        "log_index": 1,
        "step": DisputeStep.REJECTED,
        "until_s": 1_700_007_200,
        "seq": None,
    }
    with db.write() as session:
        session.get_one(SettlementBatch, 8).status = SettlementStatus.PROPOSED
        first = session.scalars(select(SettlementDispute)).one()
        row = {name.key: getattr(first, name.key) for name in inspect(first).mapper.columns}
        session.add(SettlementDispute(**row | decided))
    shown = client.get("/settlements/" + h66(0x0F, 8), headers={"accept": "text/html"})
    assert "be decided" not in shown.text and "cancelled" not in shown.text  # it was decided
    assert "the window is open until <time datetime=" in shown.text
    with db.write() as session:
        session.get_one(SettlementBatch, 8).status = SettlementStatus.CANCELLED
    shown = client.get("/settlements/" + h66(0x0F, 8), headers={"accept": "text/html"})
    assert "Nothing of this was paid." in shown.text
    assert "rejected, the dispute of" in shown.text and "window is open" not in shown.text


@long
def test_batches_of_others_are_known_from_the_chain(sqlite_db: Database, tmp_path: Path) -> None:
    """Neither among ours nor lost: their positions, disputes and end, and no trades, which others keep."""
    parties = ["0x" + "01" * 20, "0x" + "02" * 20]
    with sqlite_db.write() as session:
        _contracts(session)
        _trades(session)
        for number, key in ((1, h66(0x5B, 1)), (7, h66(0x0F, 7)), (8, h66(0x0F, 8))):
            session.add(
                SettlementBatch(
                    batch_id=number,
                    key=key,
                    asset=0,
                    trade_count=3,
                    trades_root=h66(0x5C, number),
                    accounts=parties,
                    nets=["-1234", "1234"],
                    credit_nets=[],
                    finalizable_at_s=1_700_000_000,
                    status=SettlementStatus.DISPUTED if number == 8 else SettlementStatus.FINALIZED,
                    ended_block=None if number == 8 else 60,
                    block_number=50,
                    log_index=number,
                    tx_hash=h66(0x77, number),
                    proposed_at=EPOCH,
                )
            )
        session.add(VppSettlementAccount(vpp_id=1, address=parties[1]))
        session.add(
            SettlementDispute(
                block_number=55,
                log_index=1,
                batch_id=8,
                step=DisputeStep.DISPUTED,
                account=parties[1],
                seq=Decimal(17),
                bond_cents=Decimal(100),
                until_s=1_700_003_600,
                tx_hash=h66(0x77, 55),
                happened_at=EPOCH,
            )
        )
    given = {
        "TRUETONNE_DATABASE_URL": sqlite_db.url.render_as_string(hide_password=False),
        "TRUETONNE_HOME": str(tmp_path),
        "TRUETONNE_FINALITY": "8",
    }
    with TestClient(create_app(load_settings(None, given))) as client:
        assert len(client.get("/v1/settlements").json()["items"]) == 2  # ours, as before
        found = client.get("/v1/settlements?elsewhere=true").json()["items"]
        assert [(item["chain_batch_id"], item["state"], item["final"]) for item in found] == [
            ("8", "proposed", False),
            ("7", "finalized", True),
        ]
        assert all(item["id"] is None and item["market"] is None for item in found)
        for query, count in (("state=finalized", 1), ("state=planned", 0), ("market=x", 0)):
            asked = client.get(f"/v1/settlements?elsewhere=true&{query}").json()["items"]
            assert len(asked) == count
        first = client.get("/v1/settlements?elsewhere=true&limit=1").json()
        rest = client.get(
            f"/v1/settlements?elsewhere=true&limit=1&cursor={first['next_cursor']}"
        ).json()
        assert [item["chain_batch_id"] for item in first["items"] + rest["items"]] == ["8", "7"]
        one = client.get("/v1/settlements/" + h66(0x0F, 7).upper().replace("0X", "0x")).json()
        assert [(item["participant"], item["net"]) for item in one["positions"]] == [
            (None, "-12.34"),
            ("vpp-north", "12.34"),
        ]
        assert one["trades"] == one["payments"] == []
        html = {"accept": "text/html"}
        listed = client.get("/settlements", headers=html).text
        assert f'href="/settlements/{h66(0x0F, 8)}"' in listed and "Batches of others" in listed
        (dispute,) = client.get("/v1/settlements/" + h66(0x0F, 8)).json()["disputes"]
        assert (dispute["trade"], dispute["until"]) == ("17", "2023-11-14T23:13:20Z")
        assert (dispute["account"], dispute["participant"]) == (parties[1], "vpp-north")
        shown = client.get("/settlements/" + h66(0x0F, 8), headers=html)
        assert "of trade 17; to be decided before <time datetime=" in shown.text
        assert "UTC, after that the batch can only be cancelled</li>" in shown.text
        assert "disputed by <bdi>vpp-north</bdi> <a href=" in shown.text
        _decided(sqlite_db, client)
        shown = client.get("/settlements/" + h66(0x0F, 7), headers=html)
        assert shown.status_code == 200 and "not of these books" in shown.text
        for name in (h66(0x0F, 9), "trade:1", "99"):
            none = client.get(f"/v1/settlements/{name}")
            assert none.status_code == 404
            assert none.json()["detail"] == (
                f"there is no settlement batch {name!r}; /v1/settlements has all of these books, and with "
                "elsewhere=true those of others"
            )
        # The north sold for 467.82 in all but its first trade: less than one is paid the other way now.
        with sqlite_db.write() as session:
            bought = session.get_one(VppTradingRecord, 1)
            bought.trade_type, bought.total_value = TradeType.BUY, Decimal("468.32")
        north, _ = client.get("/v1/settlements/1").json()["payments"]
        said = {"payer": "vpp-north", "payee": "day-ahead", "amount": "0.50", "trades": 12}
        assert north == said


def test_a_page_says_where_a_table_ends_before_its_list(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settlement batch 1 has 24 trades."""
    wanted = {"Accept": "text/html"}
    for most, cut in ((10, True), (24, True), (25, False)):
        monkeypatch.setattr("api.settlements.queries.TRADES_MAX", most)
        page = client.get("/settlements/1", headers=wanted).text
        assert (f"No more than {most} are shown here." in page) is cut
        assert (f'href="/v1/trades?batch_key={h66(0x5B, 1)}"' in page) is cut
    monkeypatch.setattr("api.plants.queries.SUMS_MAX", 1)
    page = client.get("/plants/vpp-north?by=day", headers=wanted).text
    assert "No more than 1 are shown here." in page
    chinese = client.get("/plants/vpp-north?by=day&lang=zh", headers=wanted).text
    assert "此处最多显示 1 条。" in chinese
    client.cookies.clear()


@pytest.mark.parametrize(
    ("path", "table"),
    [
        ("/sites/park", "api.sites.queries.DEVICES_MAX"),
        ("/sites/park", "api.sites.months.MONTHS_MAX"),
        ("/projects/park-wind", "api.sites.months.MONTHS_MAX"),
    ],
)
def test_every_table_that_can_end_says_so(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, path: str, table: str
) -> None:
    wanted, said = {"Accept": "text/html"}, "No more than 1 are shown here."
    assert said not in client.get(path, headers=wanted).text
    monkeypatch.setattr(table, 1)
    assert client.get(path, headers=wanted).text.count(said) == 1


def test_the_page_of_a_plant_leads_to_its_older_settlements(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It shows the latest and said no more than that there are others: who wanted those had to guess their keys."""
    monkeypatch.setattr("api.plants.queries.SETTLEMENTS_MAX", 1)
    wanted = {"Accept": "text/html"}
    latest, older = (f'href="/settlements/{h66(0x5B, row)}"' for row in (2, 1))
    place = "/settlements?vpp_code=vpp-north"
    plant = client.get("/plants/vpp-north", headers=wanted).text
    assert latest in plant and older not in plant and f'href="{place}">All of them</a>' in plant
    listed = client.get(place, headers=wanted).text
    assert latest in listed and older in listed
    assert 'plant <a href="/plants/vpp-north"><bdi>vpp-north</bdi></a></p>' in listed
    nobody = client.get("/settlements?vpp_code=<b>%26&lang=zh", headers=wanted).text
    assert "<bdi>&lt;b&gt;&amp;</bdi></p>" in nobody and "/plants/%3Cb" not in nobody
    client.cookies.clear()


@pytest.mark.parametrize("few", [0, 1_000])
def test_every_batch_of_a_plant_is_listed_once(
    db: Database, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    """Its trades are many or few, in each batch or in some, next to each other or far away."""
    monkeypatch.setattr("api.settlements.queries._FEW", few)
    chance = Random(57)
    plants = ("all", "some", "early", "late", "nobody")
    takes = {
        "all": lambda _: True,
        "some": lambda _: chance.random() < 0.2,
        "early": lambda number: number < 20,
        "late": lambda number: number > 50,
        "nobody": lambda _: False,
    }
    wanted: dict[tuple[str, str], list[int]] = {}
    trade, trades, items = 0, [], []
    for number in range(1, 61):
        for plant, code in enumerate(plants, start=1):
            for _ in range(chance.randint(1, 2) if takes[code](number) else 0):
                trade += 1
                trades.append((trade, plant))
                items.append((number, trade))
        market = f"market-{number % 2}"
        for _, plant in {(number, trades[at - 1][1]) for batch, at in items if batch == number}:
            wanted.setdefault((plants[plant - 1], market), []).append(number)
    with db.write() as session:
        _books_of(session, plants, trades, items)
    for code in plants:
        for market in (None, "market-0", "market-1"):
            of = ("market-0", "market-1") if market is None else (market,)
            expected = sorted(number for each in of for number in wanted.get((code, each), ()))
            for order in ("asc", "desc"):
                asked = {"vpp_code": code, "market": market, "order": order}
                for limit in (1, 4, 200):
                    assert _walked(db, {**asked, "limit": limit}) == expected, (asked, limit)
                expected = expected[::-1]


def _books_of(
    session: Session,
    plants: Sequence[str],
    trades: Sequence[tuple[int, int]],
    items: Sequence[tuple[int, int]],
) -> None:
    """Write plants, their trades by number, and sixty batches of two markets with these."""
    like = {"total_capacity": Decimal(9), "status": VppStatus.ACTIVE}
    rows = [{"id": at, "vpp_id": code, "name": code, **like} for at, code in enumerate(plants, 1)]
    session.execute(insert(VppDefinition), rows)
    trade = {**SALE, "trade_time": EPOCH}
    session.execute(
        insert(VppTradingRecord), [{"id": at, "vpp_id": plant, **trade} for at, plant in trades]
    )
    batch = {"state": BatchState.FINALIZED, "trade_count": 1, "accounts": [], "nets": []}
    session.execute(
        insert(VppSettlementBatch),
        [
            {
                "id": at,
                "batch_key": h66(0x5B, at),
                "trades_root": h66(0x5C, at),
                "market": f"market-{at % 2}",
                **batch,
            }
            for at in range(1, 61)
        ],
    )
    session.execute(
        insert(VppSettlementItem),
        [{"batch_id": of, "trade_id": at, "word": h66(0x5D, at)} for of, at in items],
    )


def _walked(db: Database, asked: dict[str, Any]) -> list[int | None]:
    """Return the numbers of all batches, page by page."""
    view, found, cursor = ChainView("local", "finalized", None, None), [], None
    while True:
        parameters = SettlementParameters.model_validate({**asked, "cursor": cursor})
        with db.read() as session:
            page = list_settlements(session, view, parameters)
        assert len(page.items) <= parameters.limit
        found += [item.id for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return found


def test_a_device_is_called_by_its_name_beside_its_number(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """A stranger knows no numbers; a device without a name of its own is not said twice."""
    html = {"Accept": "text/html"}
    apply(sqlite_db, SITE)
    with served(sqlite_db.url, tmp_path) as client:
        assert '<th scope="row"><bdi>A</bdi></th>' in client.get("/sites/park", headers=html).text
        apply(sqlite_db, SITE.replace('code = "A"', 'code = "A"\nname = "North <ridge>"'))
        shown = '<bdi>A</bdi><br><bdi class="quiet">North &lt;ridge&gt;</bdi></th>'
        assert shown in client.get("/sites/park", headers=html).text


@pytest.mark.parametrize(
    ("lang", "word", "more"), [("en", "Meters", "1 more"), ("zh", "电表", "另有 1 项")]
)
def test_a_project_calls_its_devices_by_their_names(
    sqlite_db: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lang: str,
    word: str,
    more: str,
) -> None:
    """The first of many; the page of the site, to which the others lead, has all of them."""
    second = SITE[SITE.index("[[device]]") : SITE.index("[[source]]")]
    second = second.replace('"A"', '"B"').replace("al-A", "al-B")
    apply(sqlite_db, SITE.replace('code = "A"', 'code = "A"\nname = "North <ridge>"') + second)
    asked = {"Accept": "text/html", "Accept-Language": lang}
    a, b = '<bdi>A</bdi> <bdi class="quiet">North &lt;ridge&gt;</bdi>', "<bdi>B</bdi>"
    fact = f'<div class="broad"><dt>{word}</dt><dd>'
    with served(sqlite_db.url, tmp_path) as client:
        page = client.get("/projects/park-wind", headers=asked).text
        assert f"{fact}{a} · {b}</dd>" in page
        monkeypatch.setattr("api.pages.places.NAMED_MAX", 1)
        page = client.get("/projects/park-wind", headers=asked).text
        assert f'{fact}{a} · <a href="/sites/park#meters">{more}</a></dd>' in page
