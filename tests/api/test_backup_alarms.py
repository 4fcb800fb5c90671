"""Alarms of backups are counted where alarms are, and a folder that hangs keeps nobody waiting."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.status import backups
from ledger.settings import Settings
from tests.support.waiting import until


@pytest.fixture
def with_folder(settings: Settings, tmp_path: Path) -> Settings:
    return replace(settings, backup_folder=tmp_path / "backups", home=tmp_path)


def test_a_missing_backup_is_an_alarm_of_the_status(
    with_folder: Settings, client: TestClient
) -> None:
    before = client.get("/v1/status").json()["alarms"]
    with TestClient(create_app(with_folder)) as asked:
        assert asked.get("/v1/status").json()["alarms"] == before + 1
        line = f'truetonne_alarms{{network="local"}} {before + 1}\n'
        assert line in asked.get("/metrics").text


def test_a_folder_that_hangs_keeps_nobody_waiting(
    with_folder: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    asked: list[None] = []

    def hang(*_: object) -> None:
        asked.append(None)
        over.wait(600)

    monkeypatch.setattr("ledger.backup.overview.standing", hang)
    monkeypatch.setattr(backups, "WAIT_S", 0.1)
    monkeypatch.setattr(backups, "EVERY_S", 0.0)
    looked = backups.BackupAlarms(with_folder)
    begun = time.monotonic()
    assert [looked.count() for _ in range(5)] == [0] * 5
    assert time.monotonic() - begun < 60
    assert len(asked) == 1
    over.set()


def test_it_is_looked_later_where_no_thread_could_be_started(
    with_folder: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counted as looked at for ever, and as without an alarm."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    looked = backups.BackupAlarms(with_folder)
    with monkeypatch.context() as without, pytest.raises(RuntimeError):
        without.setattr(threading.Thread, "start", refuse)
        looked.count()
    assert looked.count() == 1


def test_it_is_looked_again_when_the_count_is_old(
    with_folder: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backups, "EVERY_S", 0.0)
    looked = backups.BackupAlarms(with_folder)
    assert looked.count() == 1
    monkeypatch.setattr("ledger.backup.overview.standing", lambda *_: None)
    until(lambda: looked.count() == 0)


def test_a_folder_that_nobody_can_make_sense_of_is_an_alarm_and_is_looked_at_again(
    with_folder: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: object) -> None:
        raise TypeError("a time without a zone in a report that somebody wrote by hand")

    monkeypatch.setattr(backups, "EVERY_S", 0.0)
    monkeypatch.setattr("ledger.backup.overview.standing", stumble)
    looked = backups.BackupAlarms(with_folder)
    assert looked.count() == 1
    monkeypatch.setattr("ledger.backup.overview.standing", lambda *_: None)
    until(lambda: looked.count() == 0)
