"""A house with people in it: users of every role, their sessions and keys, and a client of the API."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.app import create_app
from ledger.audit import HOUSE
from ledger.db import Database
from ledger.identity import passwords, users
from ledger.models import User
from ledger.models.users import UserRole
from ledger.sealing import load_sealer
from ledger.settings import Settings, load_settings
from tests.support.books import new_books

PASSWORD = "correct horse battery"
CHEAP_ROUNDS = 4
"""Rounds of bcrypt in tests: the least that it takes."""


def settings_for(home: Path, url: str, **more: str) -> Settings:
    """Return settings of a house: no limit of requests, unless a test asks for one."""
    given = {"home": str(home), "database_url": url, "rate_limit": "0", **more}
    return load_settings(
        None, {f"TRUETONNE_{name.upper()}": value for name, value in given.items()}
    )


@dataclass
class House:
    """An application, its books, and a client that is nobody."""

    app: FastAPI
    db: Database
    client: TestClient
    tokens: dict[str, str] = field(default_factory=dict)

    def add(self, username: str, role: UserRole = UserRole.VIEWER) -> int:
        """Add a user, as the command line does; return the row number."""
        made = passwords.hashed(PASSWORD)
        mail = f"{username}@park.example"
        sealer = load_sealer(self.app.state.context.settings.sealing_key_file, make=True)
        row: User = self.db.run(
            lambda session: users.add(
                session,
                sealer,
                username=username,
                email=mail,
                role=role,
                password_hash=made,
                by=HOUSE,
            )
        )
        return row.id

    def sign_in(self, username: str, password: str = PASSWORD) -> dict[str, str]:
        """Sign in for a token; return the headers that carry it."""
        answer = self.client.post("/v1/sessions", json={"username": username, "password": password})
        assert answer.status_code == 201, answer.text
        self.tokens[username] = answer.json()["token"]
        return bearer(self.tokens[username])

    def key(self, of: Mapping[str, str], *scopes: str, **more: Any) -> tuple[int, dict[str, str]]:
        """Make an API key; return its row number and the headers that carry it."""
        body = {"name": "a program", "scopes": scopes, **more}
        answer = self.client.post("/v1/api-keys", json=body, headers=dict(of))
        assert answer.status_code == 201, answer.text
        return answer.json()["id"], bearer(answer.json()["key"])

    def audit(self) -> list[tuple[str, str]]:
        """Return what the audit log says was done to what, oldest first."""
        with self.db.read() as session:
            rows = session.connection().exec_driver_sql(
                "SELECT action, resource FROM audit_logs ORDER BY id"
            )
            return [(action, resource) for action, resource in rows]

    def sql(self, statement: str, *values: Any) -> list[Any]:
        """Read or write behind the application's back, in a connection of its own (SQLite)."""
        with sqlite3.connect(str(self.db.url.database)) as link:
            return link.execute(statement, values).fetchall()


def bearer(token: str) -> dict[str, str]:
    """Return the headers of a request with a token."""
    return {"Authorization": f"Bearer {token}"}


def open_house(settings: Settings) -> House:
    """Return a house over a database that has its tables."""
    app = create_app(settings)
    client = TestClient(app, raise_server_exceptions=False, client=("192.0.2.7", 50000))
    return House(app, app.state.context.database, client)


@contextmanager
def new_house(folder: Path) -> Iterator[House]:
    """A house over new books in a folder; its passwords cost little to check."""
    file = folder / "books.db"
    new_books(file).close()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(passwords, "ROUNDS", CHEAP_ROUNDS)
        house = open_house(settings_for(folder, f"sqlite:///{file}"))
        with house.client:
            yield house


def utc() -> datetime:
    """Return the time of day."""
    return datetime.now(UTC)
