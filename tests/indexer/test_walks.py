"""Walks through the API's lists, page by page, while a reorganisation takes rows away and brings others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from api.app import create_app
from indexer import Indexer
from ledger.chain.contracts.events import CREDIT
from ledger.db import Database
from ledger.settings import load_settings
from tests.support.chain import TestChain, trade

BATCH = 1 << 32 | 1
LISTS = (
    "/v1/credits",
    "/v1/credits?as_of_block={goes}",
    "/v1/retirements",
    "/v1/transactions",
    "/v1/settlements?elsewhere=true",
    f"/v1/credits/{BATCH}/history",
)
"""What is walked through: what blocks bring, in the order of rows, of issuance, and of blocks."""


class Walk:
    """A walk through one list, two rows a page."""

    def __init__(self, client: TestClient, path: str, order: str) -> None:
        self._client = client
        self._path = path + ("&" if "?" in path else "?") + f"order={order}&limit="
        self._cursor = ""
        self.seen: list[tuple[Any, ...]] = []
        self.over = False

    def step(self) -> None:
        answer = self._client.get(f"{self._path}2{self._cursor}")
        assert answer.status_code == 200, answer.text
        self.seen += [told(item) for item in answer.json()["items"]]
        following = answer.json()["next_cursor"]
        self.over, self._cursor = following is None, f"&cursor={following}"

    def whole(self) -> list[tuple[Any, ...]]:
        items = self._client.get(f"{self._path}200").json()["items"]
        return [told(item) for item in items]


def told(item: dict[str, Any]) -> tuple[Any, ...]:
    """Return a row without what may change of it in place: whether it is final."""
    return tuple((name, str(value)) for name, value in item.items() if name != "final")


def test_no_walk_loses_or_repeats_what_stays(
    chain: TestChain, mirror: Indexer, sqlite_db: Database, tmp_path: Path
) -> None:
    first, _, third = chain.issue(1000, 0), chain.issue(70, 1), chain.issue(900, 2)
    chain.deposit("market", 90_000)
    chain.deposit("buyer", 90_000)
    chain.propose([trade(1, "market", "owner", 1000, 250_000)])
    for kg in (10, 20):
        chain.retire("owner", first, kg)
        chain.cancel("owner", third, kg)
    mirror.run_until("head")
    stays = chain.client.block_number()
    for kg in (1, 2):
        chain.retire("owner", first, kg)
        chain.retire("owner", third, kg)
    chain.issue(50, 3)
    chain.propose([trade(2, "market", "owner", 1000, 250_000)])
    mirror.run_until("head")
    goes = chain.client.block_number()
    environ = {
        "TRUETONNE_DATABASE_URL": sqlite_db.url.render_as_string(hide_password=False),
        "TRUETONNE_HOME": str(tmp_path),
        "TRUETONNE_RATE_LIMIT": "0",
    }
    with TestClient(create_app(load_settings(None, environ))) as client:
        places = [path.format(goes=goes) for path in LISTS]
        walks = [Walk(client, path, order) for path in places for order in ("asc", "desc")]
        before = [set(walk.whole()) for walk in walks]
        for steps, walk in enumerate(walks):
            for _ in range(1 + steps % 3):
                if not walk.over:
                    walk.step()
        other = chain.transaction("owner", CREDIT, "cancel", [b"k" * 32, BATCH, 5, ""])
        chain.reorganise(goes - stays, [(other, 1)])
        assert mirror.tick().rewound_blocks == goes - stays
        mirror.run_until("head")
        for walk, were in zip(walks, before, strict=True):
            while not walk.over:
                walk.step()
            stayed = were & set(walk.whole())
            assert stayed
            lost = [row for row in stayed if walk.seen.count(row) != 1]
            assert lost == [], (walk._path, lost)
