"""The last comparison of books and chain, told beside every answer about the chain."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import make_url

from api.app import create_app
from ledger.db import Database
from ledger.errors import DependencyDown
from ledger.models import ChainCursor, MirrorVerification
from ledger.reconcile import Report, Rule, keep_outcome
from ledger.settings import load_settings
from tests.support.forms import long
from tests.support.mariadb import MariaDbServer

HASH = "0x" + "5a" * 32


@pytest.fixture
def client(sqlite_db: Database, tmp_path: Path) -> Iterator[TestClient]:
    environ = {"TRUETONNE_DATABASE_URL": str(sqlite_db.url), "TRUETONNE_HOME": str(tmp_path)}
    with sqlite_db.write() as session:
        session.add(
            ChainCursor(
                network="local",
                chain_id=31337,
                genesis_hash=HASH,
                block_number=120,
                block_hash=HASH,
                final_number=110,
            )
        )
    with TestClient(create_app(load_settings(None, environ))) as made:
        yield made


@long
@pytest.mark.mariadb
def test_an_account_that_may_only_read_is_told_so(mariadb_server: MariaDbServer) -> None:
    """An auditor compares with such an account: ``truetonne reconcile`` reports, and says that nothing is kept."""
    mariadb_server.execute("CREATE DATABASE compared")
    url = mariadb_server.url("compared")
    Database(url).upgrade()
    mariadb_server.execute(
        "CREATE USER IF NOT EXISTS 'auditor'@'%' IDENTIFIED BY 'a long password'"
    )
    mariadb_server.execute("GRANT SELECT ON compared.* TO 'auditor'@'%'")
    as_auditor = make_url(url).set(username="auditor", password="a long password")
    books = Database(as_auditor.render_as_string(hide_password=False))
    report = Report(100, (Rule("events", ()),))
    with pytest.raises(DependencyDown, match="this account lacks the right; `truetonne db grants`"):
        books.run(lambda session: keep_outcome(session, "local", report, datetime.now(UTC)))
    books.close()


def test_what_the_job_found_is_told(client: TestClient, sqlite_db: Database) -> None:
    before = client.get("/v1/reconciliation").json()
    assert (before["at"], before["ok"], before["rules"]) == (None, None, [])
    assert client.get("/v1/credits").json()["reconciliation"] is None

    then = datetime.now(UTC) - timedelta(hours=2)
    differences = tuple(f"trade {number} differs" for number in range(30))
    wrong = Report(100, (Rule("events", ()), Rule("trades", differences)))
    with sqlite_db.write() as session:
        keep_outcome(session, "local", wrong, then)
    found = client.get("/v1/reconciliation").json()
    assert (found["block"], found["blocks_since"], found["ok"]) == (100, 20, False)
    assert 7200 <= found["age_seconds"] < 7300
    assert [(rule["name"], rule["ok"], rule["count"]) for rule in found["rules"]] == [
        ("events", True, 0),
        ("trades", False, 30),
    ]
    assert found["rules"][1]["differences"] == list(differences[:20])
    for path in ("/v1/credits", "/v1/status", "/v1/trades", "/v1/search?q=x"):
        said = client.get(path).json()["reconciliation"]
        assert (said["block"], said["ok"]) == (100, False)
        assert datetime.fromisoformat(said["at"]) == then

    with sqlite_db.write() as session:
        keep_outcome(session, "local", Report(118, (Rule("events", ()),)), datetime.now(UTC))
    assert client.get("/v1/credits").json()["reconciliation"]["ok"] is True
    assert len(client.get("/v1/reconciliation").json()["rules"]) == 1


def test_how_far_the_mirror_was_found_true_is_told(client: TestClient, sqlite_db: Database) -> None:
    def figures() -> dict[str, str]:
        lines = client.get("/metrics").text.splitlines()
        held = (line for line in lines if line.startswith("truetonne_verified_"))
        return {line.split("{")[0]: line.rsplit(" ", 1)[1] for line in held}

    def page(language: str = "en") -> str:
        return client.get("/operations", headers={"Accept-Language": language}).text

    assert client.get("/v1/status").json()["mirror_verified"] is None
    assert figures() == {}
    assert "not yet" in page().partition("Mirror decoded anew")[2].partition("</dd>")[0]

    row = MirrorVerification(
        network="local",
        from_number=7,
        to_number=118,
        verified_at=datetime(2026, 12, 1, 3, 30, tzinfo=UTC),
        differences=0,
        through_number=110,
        through_hash=HASH,
    )
    with sqlite_db.write() as session:
        session.add(row)
    assert client.get("/v1/status").json()["mirror_verified"] == {
        "block": 110,
        "at": "2026-12-01T03:30:00Z",
        "from_block": 7,
        "to_block": 118,
        "differences": 0,
    }
    found = figures()
    assert (found["truetonne_verified_block"], found["truetonne_verified_ok"]) == ("110", "1")
    assert float(found["truetonne_verified_timestamp_seconds"]) == 1_796_095_800
    said = page().partition("Mirror decoded anew")[2].partition("</dd>")[0]
    assert "true to block 110" in said and "agree" in said
    assert "至区块 110 无误" in page("zh")

    with sqlite_db.write() as session:
        damaged = session.get_one(MirrorVerification, "local")
        damaged.differences, damaged.through_number, damaged.through_hash = 3, None, None
    assert client.get("/v1/status").json()["mirror_verified"]["block"] is None
    assert "truetonne_verified_block" not in figures()
    assert figures()["truetonne_verified_ok"] == "0"
    said = page().partition("Mirror decoded anew")[2].partition("</dd>")[0]
    assert "true to block" not in said and "differ" in said
