"""Values of a device over HTTP are the same before and after they went to the archive."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from ledger.db import Database
from ledger.identity import passwords
from ledger.keeping.moving import archive, drop_archive
from ledger.models.users import UserRole
from tests.support.identity import CHEAP_ROUNDS, open_house, settings_for
from tests.support.keeping import add_device, put


def test_pages_go_on_from_the_archive_to_the_live_table(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Around the turn of a year: the archive has two tables of them, and the live one what came late."""
    monkeypatch.setattr(passwords, "ROUNDS", CHEAP_ROUNDS)
    turn = datetime(2025, 1, 1, tzinfo=UTC)
    times = [turn + timedelta(hours=6 * step) for step in range(-10, 10)]
    late = [turn - timedelta(hours=1), turn + timedelta(hours=1)]
    house = open_house(settings_for(tmp_path, db.url.render_as_string(hide_password=False)))
    with house.client:
        device = add_device(db)
        put(db, device, times)
        house.add("anna", UserRole.VIEWER)
        headers = house.sign_in("anna")

        def walked(order: str, limit: int) -> list[tuple[str, int]]:
            path: str | None = (
                "/v1/devices/D1/data?recorded_from=2024-12-20T00:00:00Z"
                f"&recorded_before=2025-01-10T00:00:00Z&order={order}&limit={limit}"
            )
            found = []
            while path is not None:
                answer = house.client.get(path, headers=headers)
                assert answer.status_code == 200, answer.text
                found += [(item["recorded_at"], item["id"]) for item in answer.json()["items"]]
                path = answer.links["next"]["url"] if "next" in answer.links else None
            return found

        live = walked("asc", 200)
        assert len(live) == len(times)
        assert sum(item.rows for item in archive(db, date(2026, 8, 1))) == len(times)
        put(db, device, late)
        try:
            for limit in (3, 20, 200):
                found = walked("asc", limit)
                assert found == sorted(found)
                assert len(found) == len(times) + len(late)
                assert {*live} < {*found}
                assert walked("desc", limit) == found[::-1]
        finally:
            drop_archive(db)
