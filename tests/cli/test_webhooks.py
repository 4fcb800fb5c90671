"""``truetonne webhooks``: the real program and a real listener."""

import json
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cli.main import run
from ledger import webhooks
from ledger.db import Database
from ledger.webhooks import deliver
from tests.cli.conftest import Program
from tests.support.forms import few, long
from tests.support.listener import listening
from tests.support.waiting import until

READERS = (
    *(
        "webhooks list",
        "webhooks deliveries 1",
        "users list",
        "apikey list",
        "config list",
        "audit log",
    ),
    *("jobs history", "settle status", "chain intents", "alerts list"),
)
PRIVATE = 'webhook_private_targets = "true"\n'


def doctor(park: Program) -> dict[str, str]:
    """What the doctor says of webhooks."""
    checks = park("doctor", "--json").json()["checks"]
    (found,) = [check for check in checks if check["name"] == "webhooks"]
    return {name: str(value) for name, value in found.items()}


def tried_for_long(park: Program) -> None:
    """What waits is an alarm when it was tried for half an hour."""
    with sqlite3.connect(park.folder / ".truetonne" / "truetonne.db") as link:
        link.execute("UPDATE webhook_deliveries SET tries = 5 WHERE state = 'pending'")
    said = doctor(park)
    assert said["verdict"] == "failed"
    assert said["found"].startswith("webhook endpoint 1 did not take 1 message in 5 tries or more")
    assert said["mend"].startswith("see `truetonne webhooks deliveries 1 --not-taken`")
    texts = park("status", "--json").json()["alarm_texts"]
    assert any(text.startswith(said["found"]) for text in texts)


def test_a_life(park: Program) -> None:
    config = park.write("private.toml", PRIVATE)
    with listening() as listener:
        tried = park("webhooks", "add", listener.url, "--event", "credit.*", "--dry-run")
        assert (tried.code, "must begin with https://" in tried.one_line()) == (2, True)
        words = ("webhooks", "add", listener.url, "--event", "credit.*", "--config", str(config))
        tried = park(*words, "--dry-run")
        assert tried.out == f"would tell {listener.url} of credit.*\n"
        made = park(*words, "--json").json()
        (listed,) = park("webhooks", "list", "--json").json()["endpoints"]
        assert {**listed, "secret": made["secret"]} == made
        # As given again after a kill: each message would come twice, under two secrets.
        (hint,) = [line for line in park(*words, "--dry-run").out.splitlines() if "hint" in line]
        assert hint.startswith("hint: endpoint 1 has this address already")

        sent = park("webhooks", "test", "1", "--config", str(config), "--json")
        assert (sent.code, sent.json()["taken"], sent.json()["status"]) == (0, True, 204)
        (heard,) = listener.heard
        assert heard.id == sent.json()["message_id"]
        assert heard.told["type"] == "webhook.test"
        assert heard.signatures(made["secret"]) == [True]
        listener.answers(500)
        again = park("webhooks", "test", "1", "--config", str(config))
        assert again.code == 1
        assert again.out == "endpoint 1 did not take it: answered 500\n"
        (listed,) = park("webhooks", "list", "--json").json()["endpoints"]
        assert listed["not_taken"] == 1
        # A test is one message as any other: no alarm before it was tried for half an hour.
        assert doctor(park)["verdict"] == "ok"
        tried_for_long(park)
        found = park("webhooks", "deliveries", "1", "--json").json()["deliveries"]
        assert [(item["state"], item["last_status"]) for item in found] == [
            ("pending", 500),
            ("delivered", 204),
        ]
        (waiting,) = park("webhooks", "deliveries", "1", "--not-taken", "--json").json()[
            "deliveries"
        ]
        assert waiting == found[0]
        replayed = park("webhooks", "replay", "1", "--message", found[1]["message_id"])
        assert replayed.out.startswith("due again at endpoint 1: 1 message; ")
        onwards = park("webhooks", "replay", "1", "--from-block", "0", "--dry-run").out
        assert "messages, and what it was never sent follows; " in onwards

        with closing(sqlite3.connect(park.folder / ".truetonne" / "truetonne.db")) as link:
            before = list(link.iterdump())
            for act in ("pause", "resume", "rotate"):
                tried = park("webhooks", act, "1", "--dry-run", "--json")
                assert tried.code == 0 and tried.json()["dry_run"] is True
            assert list(link.iterdump()) == before
        assert park("webhooks", "rotate", "1", "--json").json()["secret"] != made["secret"]
        assert park("webhooks", "pause", "1").code == 0
        assert "did not take it: the endpoint is paused\n" in park("webhooks", "test", "1").out
        assert park("webhooks", "resume", "1").code == 0
        assert park("webhooks", "remove", "1", "--dry-run").out == "would remove endpoint 1\n"
        assert park("webhooks", "remove", "1").out == "removed endpoint 1\n"
        assert park("webhooks", "list", "--json").json() == {"endpoints": []}
    with sqlite3.connect(park.folder / ".truetonne" / "truetonne.db") as link:
        (sealed,) = link.execute("SELECT secret_sealed FROM webhook_endpoints").fetchone()
    assert sealed == ""


@long
def test_a_message_that_nobody_tried_is_not_put_down_to_an_endpoint_that_is_active(
    park: Program, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(park.write("private.toml", PRIVATE))
    park("webhooks", "add", "http://127.0.0.1:9/hook", "--event", "*", "--config", config)
    park("webhooks", "pause", "1")

    def resumed_in_the_end(*given: Any) -> tuple[int, int]:
        found = deliver(*given)
        park("webhooks", "resume", "1", "--config", config)
        return found

    monkeypatch.chdir(park.folder)
    monkeypatch.setattr(webhooks, "deliver", resumed_in_the_end)
    assert run(["webhooks", "test", "1", "--json", "--config", config]) == 1
    assert json.loads(capsys.readouterr().out)["error"] == (
        "it was not tried; the message stays due, and the jobs send it"
    )


@long
def test_who_interrupts_a_test_message_need_not_wait_for_the_other_side(park: Program) -> None:
    """It ended when the other side had answered, or fifteen seconds were over; and that was a try in vain."""
    config = str(park.write("private.toml", PRIVATE))
    with listening() as listener:
        park("webhooks", "add", listener.url, "--event", "*", "--config", config)
        listener.drips, listener.drip_s = b"x", 0.02
        test = park.begin("test.log", "webhooks", "test", "1", "--config", config)
        until(lambda: bool(listener.heard))
        os.kill(test.pid, signal.SIGINT)
        assert test.wait(60) == 130
        (line,) = test.said().splitlines()
        assert line == f"interrupted; {listener.heard[0].id} stays due, and the jobs send it"
        assert listener.left.wait(60)
        waiting = park("webhooks", "deliveries", "1", "--json").json()["deliveries"]
        # Not waited for is not tried: it is no step towards giving the message up.
        assert [(item["state"], item["tries"]) for item in waiting] == [("pending", 0)]
        listener.drips = b""
        # What else is due is left to the jobs: it was sent as well, for half a minute, beside them and so twice.
        assert park("webhooks", "test", "1", "--config", config).code == 0
        assert len(listener.heard) == 2
        left = park("webhooks", "deliveries", "1", "--not-taken", "--json").json()["deliveries"]
        assert left == waiting


@few(3)
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "https://example.org/", "--event", "credits"), "there is no event 'credits'"),
        (("add", "https://example.org/"), "missing option '--event'"),
        (("pause", "7"), "there is no webhook endpoint 7; `truetonne webhooks list` shows all"),
        (("deliveries", "7"), "there is no webhook endpoint 7"),
        # Not that the sealing key is missing, which the first endpoint makes.
        (("rotate", "7"), "there is no webhook endpoint 7"),
        (("test", "7"), "there is no webhook endpoint 7"),
        (("replay", "7"), "one of --message, --failed and --from-block"),
        (("replay", "7", "--failed", "--from-block", "3"), "one of --message, --failed"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(park: Program, words: tuple[str, ...], said: str) -> None:
    ended = park("webhooks", *words)
    assert ended.code == 2
    assert said in ended.one_line()


def test_what_only_reads_locks_nothing(
    sqlite_db: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`webhooks deliveries` did, which SQLite passes over and MariaDB refuses; tests/conftest.py refuses it here."""
    config = tmp_path / "private.toml"
    config.write_text(
        f'database_url = "{sqlite_db.url}"\nhome = "{tmp_path}"\nwebhook_private_targets = "true"\n'
    )
    added = "webhooks add http://127.0.0.1:9/ --event *"
    for line in (added, *READERS):
        assert run([*line.split(), "--config", str(config)]) in (0, 1), line
        assert capsys.readouterr().err == "", line
