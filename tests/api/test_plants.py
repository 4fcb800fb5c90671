"""Virtual power plants: their sums are those that the trades come to, counted here in another way."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from api.app import create_app
from api.pages.formats import currency
from api.plants import queries as plant_queries
from ledger import audit
from ledger.changed_accounts import ACTION
from ledger.db import Database
from ledger.models import (
    CreditHolding,
    SettlementBalance,
    SettlementBatch,
    SettlementMovement,
    VppDefinition,
    VppResource,
    VppResourceAssociation,
    VppSettlementAccount,
    VppTradeCredit,
    VppTradingRecord,
)
from ledger.models.escrow import MovementKind, SettlementStatus
from ledger.models.trading import TradeType
from ledger.models.vpp import AssociationRole, ResourceStatus, ResourceType, VppStatus
from ledger.settings import load_settings
from tests.api.conftest import (
    ISSUER,
    SETTLEMENT_CONTRACT,
    _batch,
    _batch_id,
    _contracts,
    _trades,
    _transactions,
    h66,
)
from tests.support.forms import long


def test_the_list_has_each_plant(client: TestClient) -> None:
    answer = client.get("/v1/plants").json()
    assert [item["code"] for item in answer["items"]] == ["vpp-south", "vpp-north"]
    assert client.get("/v1/plants?status=testing").json()["items"] == []
    assert answer["as_of_block"] == 98 and answer["finality"]["final_block"] == 90


@pytest.mark.parametrize(("by", "length"), [("month", 7), ("day", 10), ("hour", 13)])
def test_sums_are_those_of_the_trades(client: TestClient, by: str, length: int) -> None:
    """The trades are read one by one from their own list, and added up here, those that bring something."""
    wanted: dict[str, Decimal] = defaultdict(Decimal)
    count: dict[str, int] = defaultdict(int)
    listed = client.get("/v1/trades?vpp_code=vpp-north&limit=200").json()["items"]
    trades = [trade for trade in listed if trade["status"] in ("pending", "executed")]
    assert len(listed) == len(trades) + 2
    for trade in trades:
        period = trade["trade_time"].replace("T", " ")[:length]
        wanted[period] += Decimal(trade["total_value"])
        count[period] += 1
    plant = client.get(f"/v1/plants/vpp-north?by={by}").json()
    latest = sorted(wanted, reverse=True)[:60]
    assert [item["period"] for item in plant["sums"]] == latest
    for item in plant["sums"]:
        assert Decimal(item["received"]) == wanted[item["period"]]
        assert item["trades"] == count[item["period"]]
        assert Decimal(item["energy_sold_kwh"]) == Decimal("1234.567") * item["trades"]
        assert item["credits_sold_t"] == item["energy_bought_kwh"] == "0"


def test_who_paid_whom_is_that_of_the_batch(client: TestClient) -> None:
    plant = client.get("/v1/plants/vpp-north").json()
    assert [item["state"] for item in plant["settlements"]] == ["proposed", "finalized"]
    for item in plant["settlements"]:
        batch = client.get(f"/v1/settlements/{item['batch_key']}").json()
        assert item["payment"] in batch["payments"] and item["final"] is batch["final"]


def test_a_plant_that_buys_credits_and_holds_them(
    sqlite_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = "0x" + "7a" * 20
    with sqlite_db.write() as session:
        _contracts(session)
        _transactions(session)
        session.flush()
        _batch(session, 3)
        _trades(session)
        session.flush()
        session.add(VppSettlementAccount(vpp_id=1, address=account))
        session.add(SettlementBalance(account=account, asset=0, balance=Decimal(10) ** 30))
        session.add(SettlementBalance(account=account, asset=_batch_id(3), balance=Decimal(7)))
        session.add(SettlementBalance(account=account, asset=_batch_id(3) + 99, balance=Decimal(8)))
        session.add(CreditHolding(batch_id=_batch_id(3), holder=account, amount_kg=713))
        trade = session.get(VppTradingRecord, 129)
        assert trade is not None
        trade.trade_type, trade.quantity, trade.total_value = (
            TradeType.BUY,
            Decimal("0.713"),
            Decimal("9.99"),
        )
        session.add(VppTradeCredit(trade_id=129, asset=_batch_id(3)))
        session.add(
            VppResource(
                id=1,
                resource_id="pack-1",
                name="Batterie",
                type=ResourceType.BATTERY,
                capacity=Decimal("1.5"),
                unit="MWh",
                status=ResourceStatus.ACTIVE,
            )
        )
        session.flush()
        session.add(
            VppResourceAssociation(
                vpp_id=1,
                resource_id=1,
                allocation_ratio=Decimal("0.25"),
                role=AssociationRole.PRIMARY,
                associated_at=trade.trade_time,
            )
        )
    given = {
        "TRUETONNE_DATABASE_URL": sqlite_db.url.render_as_string(hide_password=False),
        "TRUETONNE_HOME": str(tmp_path),
    }
    with TestClient(create_app(load_settings(None, given))) as client:
        plant = client.get("/v1/plants/vpp-north?by=hour").json()
        assert plant["account"] == account
        assert plant["balances"] == [
            {"asset": "0", "batch": None, "balance": "1" + "0" * 30},
            {"asset": str(_batch_id(3)), "batch": "park-a-2015-3", "balance": "7"},
            {"asset": str(_batch_id(3) + 99), "batch": None, "balance": "8"},
        ]
        # The page said "credits 4294967299" of what it calls by its name where the plant itself holds it.
        page = re.sub(r"<[^>]*>", " ", client.get("/plants/vpp-north").text)
        assert re.search(r"park-a-2015-3\s+settlement contract\s+7 kg", page)
        assert re.search(rf"credits {_batch_id(3) + 99}\s+settlement contract\s+8 kg", page)
        assert [item["amount_kg"] for item in plant["holdings"]] == ["713"]
        assert [(item["code"], item["share"]) for item in plant["resources"]] == [
            ("pack-1", "0.2500")
        ]
        (latest, *_) = plant["sums"]
        assert (latest["credits_bought_t"], latest["received"]) == ("0.713", "-9.99")
        [hit] = client.get(f"/v1/search?q={account}").json()["items"][:1]
        assert (hit["kind"], hit["link"]) == ("plant", "/v1/plants/vpp-north")
        page = client.get("/plants/vpp-north", headers={"accept": "text/html"}).text
        for words in ("pack-1", "1.5 MWh", "25 %", account, "713", "park-a-2015-3"):
            assert words in page, words
        assert "are shown here" not in page
        for name in ("RESOURCES_MAX", "BALANCES_MAX", "HOLDINGS_MAX"):
            with monkeypatch.context() as patched:
                patched.setattr(plant_queries, name, 1)
                page = client.get("/plants/vpp-north", headers={"accept": "text/html"}).text
                assert page.count("No more than 1 are shown here.") == 1, name
        holder = client.get(f"/holders/{account}", headers={"accept": "text/html"}).text
        assert 'href="/plants/vpp-north"' in holder


def _settled(session: Session, account: str, cents: int, units: int) -> None:
    """A batch in which an account paid, as the mirror writes it."""
    session.add(
        SettlementBatch(
            batch_id=1,
            key=h66(9, 1),
            asset=0,
            trade_count=1,
            trades_root=h66(9, 2),
            accounts=["0x" + "01" * 20, account],
            nets=[str(-cents), str(cents)],
            credit_nets=[],
            finalizable_at_s=0,
            status=SettlementStatus.PROPOSED,
            block_number=3,
            log_index=0,
            tx_hash=h66(9, 3),
            proposed_at=datetime(2024, 1, 1, tzinfo=UTC),
        )
    )
    session.add(
        SettlementMovement(
            block_number=3,
            log_index=0,
            sub_index=1,
            account=account,
            asset=0,
            kind=MovementKind.DEBIT,
            amount=Decimal(units),
            batch_id=1,
            tx_hash=h66(9, 3),
        )
    )


@pytest.mark.parametrize(
    ("units", "per_cent", "money"),
    [
        (70_000, 10_000, "0.07"),
        (231, 1, "2.31"),
        (200, 1, "2.00"),
        (0, 10**16, "0.00"),
        (1_000_000_000_000_000_001, 10**16, "1.000000000000000001"),
        (12_345_600 * 10**16, 10**16, "123,456.00"),
    ],
)
def test_base_units_are_money(units: int, per_cent: int, money: str) -> None:
    assert currency(units, per_cent) == money


@long
def test_a_plant_that_had_another_account(sqlite_db: Database, tmp_path: Path) -> None:
    """What was settled with it is still the plant's: its batches name the plant, and its money is shown."""
    with sqlite_db.write() as session:
        _contracts(session)
        _transactions(session)
        _trades(session)
        session.flush()
    before, now = ISSUER, "0x" + "7a" * 20  # the batches of these books have the former one
    with sqlite_db.write() as session:
        row = VppSettlementAccount(vpp_id=1, address=now)
        session.add(row)
        session.flush()
        resource = f"vpp_settlement_accounts/{row.id}"
        audit.record(session, ACTION, resource, {"address": before}, {"address": now})
        session.add(SettlementBalance(account=before, asset=0, balance=Decimal(70_000)))
    given = {
        "TRUETONNE_DATABASE_URL": sqlite_db.url.render_as_string(hide_password=False),
        "TRUETONNE_HOME": str(tmp_path),
    }
    with TestClient(create_app(load_settings(None, given))) as client:
        plant = client.get("/v1/plants/vpp-north").json()
        assert (plant["account"], plant["balances"]) == (now, [])
        assert plant["former_accounts"] == [
            {
                "account": before,
                "balances": [{"asset": "0", "batch": None, "balance": "70000"}],
            }
        ]
        assert client.get("/v1/plants/vpp-south").json()["former_accounts"] == []
        html = {"accept": "text/html"}
        assert "70,000 base units" in client.get("/plants/vpp-north", headers=html).text
        with (
            sqlite_db.write() as session
        ):  # 10,000 base units a cent, as of a currency of six decimals
            _settled(session, before, cents=-3, units=-30_000)
        page = client.get("/plants/vpp-north", headers=html).text
        assert '<td class="n">0.07</td>' in page and "base units" not in page
        assert len(plant["settlements"]) == 2
        for item in plant["settlements"]:
            batch = client.get(f"/v1/settlements/{item['batch_key']}").json()
            assert [row["participant"] for row in batch["positions"]] == ["vpp-north"]
        for address in (before, now):
            [hit] = client.get(f"/v1/search?q={address}").json()["items"][:1]
            assert (hit["kind"], hit["id"]) == ("plant", "vpp-north")
            holder = client.get(f"/holders/{address}", headers={"accept": "text/html"}).text
            assert 'href="/plants/vpp-north"' in holder
        page = client.get("/plants/vpp-north", headers={"accept": "text/html"}).text
        assert before in page and "0.07" in page


@long
def test_a_plant_that_settlement_does_not_know_is_no_strangers(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """A plan in the records of the park, which need `park:read`, stood with its resources in what anybody may read."""
    with sqlite_db.write() as session:
        _contracts(session)
        _transactions(session)
        _trades(session)
        plan = VppDefinition(
            id=7,
            vpp_id="vpp-plan",
            name="To be bought in spring",
            total_capacity=Decimal(900),
            status=VppStatus.TESTING,
        )
        session.add(plan)
    given = {
        "TRUETONNE_DATABASE_URL": sqlite_db.url.render_as_string(hide_password=False),
        "TRUETONNE_HOME": str(tmp_path),
    }
    html = {"accept": "text/html"}
    with TestClient(create_app(load_settings(None, given))) as client:

        def seen() -> list[bool]:
            return [
                "vpp-plan" in client.get("/v1/plants?status=testing").text,
                "vpp-plan" in client.get("/plants", headers=html).text,
                client.get("/v1/plants/vpp-plan").status_code == 200,
                client.get("/plants/vpp-plan", headers=html).status_code == 200,
                client.get("/v1/search?q=vpp-plan").json()["items"] != [],
                client.get("/v1/search?q=in spring").json()["items"] != [],
            ]

        assert seen() == [False] * 6
        with sqlite_db.write() as session:
            session.add(VppSettlementAccount(vpp_id=7, address="0x" + "7a" * 20))
        assert seen() == [True] * 6


@pytest.mark.parametrize(
    "code", ["none", "x" * 500, "%00", "' OR 1=1 --", "vpp-north%2f", h66(1, 1), ISSUER]
)
def test_what_is_no_plant(client: TestClient, code: str) -> None:
    answer = client.get(f"/v1/plants/{code}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


TOKEN = "0x" + "7c" * 20
ODD = "\u202e<b>USD</b>" + "$" * 90


@pytest.mark.parametrize(
    ("symbol", "shown"),
    [
        ("tEUR", "<bdi>tEUR</bdi> "),
        (ODD, "<bdi>&lt;202e&gt;&lt;b&gt;USD&lt;/b&gt;$$$…</bdi> "),
        (None, ""),
    ],
)
def test_money_has_the_name_of_its_token_beside_the_address(
    books: str, tmp_path: Path, symbol: str | None, shown: str
) -> None:
    """Money was in a token of forty digits; what others call theirs is shown as text, and no longer than that."""
    contract = {
        **{"address": SETTLEMENT_CONTRACT, "constructor": {"currency": TOKEN.upper()}},
        **dict.fromkeys(("salt", "init_code_hash", "code_hash", "source_hash"), "0x00"),
        "block": 1,
    }
    book = {
        **{"network": "local", "chain_id": 31337, "genesis_hash": h66(1, 1), "deployed_block": 1},
        **{"contracts": {"VppSettlement": contract}, "accounts": {}, "recipients": {}},
        "class": {"id": 1, "code": "a class"},
    }
    file = tmp_path / "local.json"
    file.write_text(json.dumps(book if symbol is None else {**book, "currency_symbol": symbol}))
    given = {
        "TRUETONNE_DATABASE_URL": books,
        "TRUETONNE_HOME": str(tmp_path),
        "TRUETONNE_DEPLOYMENT": str(file),
    }
    with TestClient(create_app(load_settings(None, given))) as client:
        for path in ("/settlements/1", "/plants/vpp-north"):
            for lang, label in (("en", "Money is in the token"), ("zh", "金额所用代币")):
                page = client.get(f"{path}?lang={lang}", headers={"accept": "text/html"}).text
                said = f'{label}</dt><dd>{shown}<code class="whole-hash">{TOKEN}</code></dd>'
                assert said in page, path
