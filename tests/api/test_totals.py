"""Sums that are remembered: counted anew when, and only when, they may have changed."""

from __future__ import annotations

from pathlib import Path

from fastapi.testclient import TestClient
from sqlalchemy import event, insert, update

from api.app import create_app
from cli.bench.api.books import make_books
from ledger.db import Database
from ledger.models import BlockchainTransaction, ChainCursor, CreditBatch
from ledger.models.blockchain import TransactionStatus
from ledger.settings import load_settings


def test_status_counts_again_when_something_changed(sqlite_db: Database, tmp_path: Path) -> None:
    make_books(sqlite_db, 40)
    environ = {"TRUETONNE_DATABASE_URL": str(sqlite_db.url), "TRUETONNE_HOME": str(tmp_path)}
    app = create_app(load_settings(None, environ))
    said: list[str] = []
    engine = app.state.context.database._engine
    event.listen(
        engine, "before_cursor_execute", lambda _c, _u, statement, *_more: said.append(statement)
    )

    def asked(client: TestClient) -> tuple[str, int, bool]:
        said.clear()
        status = client.get("/v1/status").json()
        counted = any("sum(" in statement for statement in said)
        return status["credits"]["retired_t"], status["transactions"]["confirmed"], counted

    with TestClient(app) as client:
        first = asked(client)
        assert first == ("8.400", 42, True)
        assert asked(client) == (*first[:2], False)
        with sqlite_db.write() as session:  # the sender's row: no block came
            session.execute(
                insert(BlockchainTransaction),
                [{"tx_hash": "0x" + "99" * 32, "status": TransactionStatus.CONFIRMED}],
            )
        assert asked(client) == ("8.400", 43, True)
        with sqlite_db.write() as session:
            session.execute(update(CreditBatch).values(retired_kg=500))
            session.execute(update(ChainCursor).values(block_hash="0x" + "aa" * 32))
        assert asked(client) == ("10.500", 43, True)
        assert asked(client)[2] is False
