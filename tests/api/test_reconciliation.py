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
from ledger.models import ChainCursor
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
