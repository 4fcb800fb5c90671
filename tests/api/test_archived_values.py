"""Values of a device over HTTP are the same before and after they went to the archive."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ledger.db import Database
from ledger.identity import passwords
from ledger.keeping.moving import archive
from ledger.models.users import UserRole
from tests.support.forms import long
from tests.support.identity import CHEAP_ROUNDS, open_house, settings_for
from tests.support.keeping import add_device, put, put_back

SHORT_ON_MARIADB = ("test_what_a_silent_device_reported_last_comes_from_the_archive",)

THIS_YEAR = date(datetime.now(UTC).year, 1, 1)
"""Partitions begin with it: all that was before lies in one."""


@pytest.fixture(autouse=True)
def archive_put_back(db: Database) -> Iterator[None]:
    with put_back(db):
        yield


@long
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
        assert sum(item.rows for item in archive(db, THIS_YEAR)) == len(times)
        put(db, device, late)
        # The last day of a year in UTC, asked for as the first of the next one in Shanghai.
        span = (
            "recorded_from=2025-01-01T00:00:00%2B08:00&recorded_before=2025-01-01T08:00:00%2B08:00"
        )
        answer = house.client.get(f"/v1/devices/D1/data?{span}", headers=headers)
        assert len(answer.json()["items"]) == 1 + 1  # one of the archive, and one that came late
        for limit in (3, 20, 200):
            found = walked("asc", limit)
            assert found == sorted(found)
            assert len(found) == len(times) + len(late)
            assert {*live} < {*found}
            assert walked("desc", limit) == found[::-1]


@long
def test_what_a_silent_device_reported_last_comes_from_the_archive(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is told that a device never spoke because its last word was long ago."""
    monkeypatch.setattr(passwords, "ROUNDS", CHEAP_ROUNDS)
    turn = datetime(2025, 1, 1, tzinfo=UTC)
    house = open_house(settings_for(tmp_path, db.url.render_as_string(hide_password=False)))
    with house.client:
        silent, late, alive, mute = (add_device(db, code) for code in ("S", "L", "A", "M"))
        put(db, silent, [turn - timedelta(hours=30), turn - timedelta(hours=2)], "1")
        put(db, silent, [turn + timedelta(hours=3)], "2")  # in the next year's table
        put(db, late, [turn + timedelta(days=20)], "3")
        put(db, alive, [turn, datetime(THIS_YEAR.year, 1, 15, tzinfo=UTC)], "4")
        assert mute
        house.add("anna", UserRole.VIEWER)
        headers = house.sign_in("anna")

        def asked(path: str) -> Any:
            answer = house.client.get(path, headers=headers)
            assert answer.status_code == 200, answer.text
            return answer.json()

        def all_of() -> list[Any]:
            names = "S", "L", "A", "M"
            pages = [asked("/v1/newest-values"), asked("/v1/newest-values?limit=2")]
            pages.append(asked(f"/v1/newest-values?limit=2&cursor={pages[1]['next_cursor']}"))
            assert pages[0]["items"] == pages[1]["items"] + pages[2]["items"]
            return [pages[0], *(asked(f"/v1/devices/{name}/latest") for name in names)]

        live = all_of()
        assert [(item["device_code"], item["items"][0]["value"]) for item in live[0]["items"]] == [
            ("S", "2.000000"), ("L", "3.000000"), ("A", "4.000000"),
        ]  # fmt: skip
        assert len(live[1]["items"]) == 1 and live[4]["items"] == []
        assert sum(item.rows for item in archive(db, THIS_YEAR)) == 5
        assert all_of() == live
        # What came late for a month that was archived is older than what the archive has last.
        put(db, late, [turn + timedelta(days=19)], "9")
        assert all_of() == live
        put(db, late, [turn + timedelta(days=21)], "10")
        newer = asked("/v1/devices/L/latest")["items"][0]
        assert newer["value"] == "10.000000"
        assert asked("/v1/newest-values")["items"][1]["items"] == [newer]
