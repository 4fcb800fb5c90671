"""Markets: a program of theirs learns from the API alone what money they have in escrow, and where."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from ledger import audit
from ledger.changed_accounts import ACTION
from ledger.db import Database
from ledger.models import SettlementBalance, VppSettlementAccount
from ledger.settings import load_settings
from tests.api.conftest import _batch, _batch_id, _contracts, _trades, _transactions, h66
from tests.api.test_plants import _settled

SPOT, BEFORE, ODD = "0x" + "5b" * 20, "0x" + "5c" * 20, "0x" + "5d" * 20
ODD_NAME = "a/b <i>市场</i>"
HTML = {"accept": "text/html"}


@pytest.fixture
def trading(sqlite_db: Database, tmp_path: Path) -> Iterator[TestClient]:
    """Books of two markets, one of which has had another account."""
    with sqlite_db.write() as session:
        _contracts(session)
        _transactions(session)
        session.flush()
        _batch(session, 3)
        _trades(session)
        session.flush()
        spot = VppSettlementAccount(market="spot", address=SPOT)
        session.add_all([spot, VppSettlementAccount(market=ODD_NAME, address=ODD)])
        session.add(VppSettlementAccount(vpp_id=1, address="0x" + "7a" * 20))
        session.flush()
        resource = f"vpp_settlement_accounts/{spot.id}"
        audit.record(session, ACTION, resource, {"address": BEFORE}, {"address": SPOT})
        for account, asset, units in (
            (SPOT, 0, 10**30 + 1),
            (SPOT, _batch_id(3), 7),
            (BEFORE, 0, 70_000),
        ):
            session.add(SettlementBalance(account=account, asset=asset, balance=Decimal(units)))
    given = {
        "TRUETONNE_DATABASE_URL": sqlite_db.url.render_as_string(hide_password=False),
        "TRUETONNE_HOME": str(tmp_path),
    }
    with TestClient(create_app(load_settings(None, given))) as client:
        yield client


def test_the_money_of_each_market_and_of_any_account(
    trading: TestClient, sqlite_db: Database
) -> None:
    answer = trading.get("/v1/markets?order=asc").json()
    assert answer["items"] == [
        {
            "market": "spot",
            "account": SPOT,
            "money": "1000000000000000000000000000001",
            "former_accounts": [{"account": BEFORE, "money": "70000"}],
        },
        {"market": ODD_NAME, "account": ODD, "money": "0", "former_accounts": []},
    ]
    assert (answer["units_per_cent"], answer["next_cursor"]) == (None, None)
    assert answer["as_of_block"] == 98 and answer["finality"]["final_block"] == 90
    [item] = trading.get("/v1/markets", params={"market": ODD_NAME}).json()["items"]
    assert item["account"] == ODD
    assert trading.get("/v1/markets?market=spo").json()["items"] == []
    first = trading.get("/v1/markets?limit=1").json()
    assert [item["market"] for item in first["items"]] == [ODD_NAME]
    rest = trading.get("/v1/markets", params={"limit": 1, "cursor": first["next_cursor"]}).json()
    assert ([item["market"] for item in rest["items"]], rest["next_cursor"]) == (["spot"], None)
    for account, money in ((SPOT, str(10**30 + 1)), (BEFORE, "70000"), (ODD, "0")):
        assert trading.get(f"/v1/holders/{account}").json()["money"] == money
    then = trading.get(f"/v1/holders/{SPOT}?as_of_block=90").json()
    assert (then["money"], then["escrow"]) == (None, None)
    with sqlite_db.write() as session:  # six decimals
        _settled(session, SPOT, cents=-3, units=-30_000)
    assert trading.get("/v1/markets").json()["units_per_cent"] == "10000"


def test_an_account_has_its_market_and_its_money_on_a_page_and_is_found(
    trading: TestClient, sqlite_db: Database
) -> None:
    """Of an account that had nothing but money the search knew nothing, and its page said that it had nothing."""
    for account, name in ((SPOT, "spot"), (BEFORE, "spot"), (ODD, "a/b &lt;i&gt;市场&lt;/i&gt;")):
        [hit] = trading.get(f"/v1/search?q={account}").json()["items"]
        assert (hit["kind"], hit["link"]) == ("holder", f"/v1/holders/{account}")
        page = trading.get(f"/holders/{account}", headers=HTML).text
        assert re.search(rf"Settlement account of the market <a [^>]*><bdi>{name}</bdi>", page)
    assert "70,000 base units" in trading.get(f"/holders/{BEFORE}?lang=en", headers=HTML).text
    [path] = re.findall(
        r'"(/settlements\?[^"]*)"', trading.get(f"/holders/{ODD}", headers=HTML).text
    )
    assert trading.get(path, headers=HTML).status_code == 200
    with sqlite_db.write() as session:
        _settled(session, SPOT, cents=-3, units=-30_000)
    page = trading.get(f"/holders/{BEFORE}?lang=zh", headers=HTML).text
    assert '<th scope="row">结算货币</th><td class="n">0.07</td>' in page
    assert "结算账户所属的市场" in page and "其存入托管的见下" in page
    assert trading.get("/v1/search?q=0x" + "5f" * 20).json()["items"] == []
    assert trading.get(f"/v1/search?q={SPOT[:10]}…{SPOT[-6:]}").json()["items"][0]["id"] == SPOT


def test_a_market_is_found_by_its_name(trading: TestClient) -> None:
    for text, account, exact in (("spot", SPOT, True), ("SPO", SPOT, False), ("b <i>", ODD, False)):
        [hit] = [
            item
            for item in trading.get("/v1/search", params={"q": text}).json()["items"]
            if item["kind"] == "holder"
        ]
        assert (hit["id"], hit["exact"]) == (account, exact)
        assert trading.get(hit["link"]).json()["holder"] == account
    page = trading.get("/search?q=SPO&lang=zh", headers=HTML).text
    assert f"持有人 {SPOT}，市场 spot 的结算账户" in page


def test_a_settlement_of_others_is_found(trading: TestClient, sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        _settled(session, SPOT, cents=-3, units=-30_000)
    for text, exact in ((h66(9, 1), True), (h66(9, 1)[:60], False)):
        [hit] = trading.get(f"/v1/search?q={text}").json()["items"]
        assert (hit["kind"], hit["id"], hit["exact"]) == ("settlement", h66(9, 1), exact)
        assert hit["title"] == "settlement of 1 trades of others, proposed"
        assert trading.get(hit["link"]).json()["market"] is None
    page = trading.get(f"/search?q={h66(9, 1)[:60]}&lang=zh", headers=HTML).text
    assert "其他方 1 笔交易的结算，已提交" in page
