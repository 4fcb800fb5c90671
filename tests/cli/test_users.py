"""``truetonne users``, ``apikey`` and ``audit``: the real program, and what it leaves in the books."""

from __future__ import annotations

import csv
import json
import os
import pty
import shutil
import signal
import sqlite3
import subprocess
import threading
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from ledger.errors import INTERRUPTED
from tests.cli.conftest import Program
from tests.support.forms import few, long, rest

PASSWORD = "correct horse battery"
CTRL_C = "^C"


@pytest.fixture
def house(park: Program) -> Program:
    """The program with an admin."""
    park.write("pw", PASSWORD + "\nnot this line\n").chmod(0o600)
    ended = park(
        "users",
        "add",
        "anna",
        "--email",
        "anna@x.example",
        "--role",
        "admin",
        "--password-file",
        "pw",
    )
    assert ended.code == 0, ended.err
    return park


def rows(house: Program, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(house.folder / ".truetonne" / "truetonne.db") as link:
        return link.execute(query).fetchall()


def logged(house: Program) -> list[dict[str, Any]]:
    """Return the audit log; of a table, whose list was empty, it has every row."""
    log: list[dict[str, Any]] = house("audit", "log", "--json").json()["entries"]
    for resource in ("users", "users/", "api_keys"):
        found = house("audit", "log", "--resource", resource, "--json").json()["entries"]
        prefix = resource.removesuffix("/") + "/"
        assert found == [entry for entry in log if entry["resource"].startswith(prefix)] != []
    return log


@long
def test_a_life(house: Program) -> None:
    ((stored,),) = rows(house, "SELECT password_hash FROM users")
    assert bcrypt.checkpw(PASSWORD.encode(), str(stored).encode())
    (house.folder / "pw").chmod(0o640)
    tried = house(
        "users", "add", "otto", "--email", "o@x.example", "--password-file", "pw", "--dry-run"
    )
    assert tried.out == "would add viewer otto\n"
    assert rows(house, "SELECT count(*) FROM users") == [(1,)]
    assert "pw is open to others; chmod 600 pw" in tried.err
    (house.folder / "pw").chmod(0o600)
    added = house("users", "add", "otto", "--email", "o@x.example", "--password-file", "pw")
    assert "open to others" not in added.err
    assert house("users", "role", "otto", "operator").out == "otto is: operator, may sign in\n"
    assert house("users", "role", "otto", "operator").out.startswith("otto is so already")
    house("users", "grant", "otto", "audit:read")
    again = house("users", "grant", "otto", "audit:read")
    assert again.out == "audit:read is so already: granted to otto\n"
    house("users", "revoke", "otto", "keys:write")
    (_, otto) = house("users", "list", "--json").json()["users"]
    assert otto["permissions"] == {"audit:read": True, "keys:write": False}
    assert house("users", "reset", "otto", "keys:write").code == 0
    assert "+audit:read" in house("users", "list").out == house("users").out
    made = house(
        "apikey", "create", "--user", "otto", "--name", "night", "--scope", "audit:read", "--json"
    )
    key = made.json()["key"]
    assert key.startswith(made.json()["prefix"] + "_")
    assert key.split("_", 2)[2] not in str(rows(house, "SELECT * FROM api_keys"))
    assert house("apikey", "list", "--json").json()["keys"][0]["name"] == "night"
    assert house("apikey").out == house("apikey", "list").out
    assert house("users", "disable", "otto", "--dry-run", "--json").json()["hints"] == [
        f"{key[:12]} works again when otto may sign in again; `truetonne apikey revoke {key[:12]}` ends it"
    ]
    assert house("apikey", "revoke", key[:12]).out == f"revoked {key[:12]}\n"
    assert house("apikey", "revoke", key[:12]).out == f"{key[:12]} was revoked before\n"
    assert house("users", "disable", "otto").code == 0
    assert house("users", "enable", "otto").code == 0
    log = logged(house)
    assert [entry["action"] for entry in log][::-1] == [
        "site.apply",
        "users.add",
        "users.add",
        "users.change",
        "permissions.decide",
        "permissions.decide",
        "permissions.leave-to-role",
        "keys.make",
        "keys.revoke",
        "users.change",
        "users.change",
    ]
    assert PASSWORD not in json.dumps(log) and key not in json.dumps(log)
    few = house("audit", "log", "--action", "users.add", "--limit", "1", "--json").json()
    assert [entry["new_values"]["username"] for entry in few["entries"]] == ["otto"]
    house("audit", "export", "-o", "log.jsonl")
    lines = (house.folder / "log.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == log[::-1]
    house("audit", "export", "-o", "log.csv", "--format", "csv", "--resource", "users/2")
    with (house.folder / "log.csv").open(newline="") as stream:
        found = list(csv.DictReader(stream))
    assert [row["action"] for row in found] == [
        entry["action"] for entry in log[::-1] if entry["resource"] == "users/2"
    ]
    assert json.loads(found[1]["new_values"]) == {"role": "operator"}
    with sqlite3.connect(house.folder / ".truetonne" / "truetonne.db") as link:
        link.execute(
            "INSERT INTO audit_logs (action, resource, ip_address, created_at) VALUES (?, ?, ?, ?)",
            ("=1+1", "'+x", "\ny", "2026-01-01 00:00:00.000000"),
        )
    house("audit", "export", "-o", "odd.csv", "--format", "csv")
    with (house.folder / "odd.csv").open(newline="") as stream:
        *_, odd = csv.DictReader(stream)
    assert [odd[name] for name in ("action", "resource", "ip_address")] == ["'=1+1", "''+x", "'\ny"]


@few(3)
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("users add otto --email o@x.example --password-file none", 2, "none: cannot be read"),
        (
            "users add otto --email o@x.example --password-file short",
            2,
            "has 5 characters; it needs 12",
        ),
        ("users add otto --email o@x.example", 2, "--password-file"),
        ("users add Otto --email o@x.example --password-file pw", 2, "user name 'Otto'"),
        ("users add otto --email nowhere --password-file pw", 2, "mail address 'nowhere'"),
        ("users add anna --email o@x.example --password-file pw", 1, "'anna' is taken"),
        ("users disable anna", 1, "anna is the last admin"),
        ("users role nobody viewer", 2, "there is no user 'nobody'; `truetonne users list`"),
        ("users grant anna moon:walk", 2, "there is no right 'moon:walk'; there are users:read"),
        ("users reset anna audit:read", 2, "nothing was decided about audit:read for anna"),
        ("apikey create --user anna --name x --scope keys:write", 2, "cannot carry 'keys:write'"),
        ("apikey create --user anna --name x --scope audit:read --days 367", 2, "1 to 366 days"),
        ("apikey revoke ttk_nothing", 2, "there is no API key 'ttk_nothing'"),
        ("audit log --from noon", 2, "--from: write a day and a time with its zone"),
        ("audit log --user NOBODY", 2, "--user:"),
        ("audit export -o no/such/folder.jsonl", 2, "no/such"),
    ],
)
def test_bad_input(house_once: Program, words: str, code: int, said: str) -> None:
    before = rows(house_once, "SELECT count(*), max(id) FROM audit_logs")
    ended = house_once(*words.split())
    assert ended.code == code
    assert said in ended.one_line()
    assert rows(house_once, "SELECT count(*), max(id) FROM audit_logs") == before


@pytest.fixture(scope="module")
def house_once(tmp_path_factory: pytest.TempPathFactory, park_folder: Path) -> Program:
    """A house that no test changes."""
    folder = tmp_path_factory.mktemp("house")
    shutil.copytree(park_folder, folder, dirs_exist_ok=True)
    program = Program(folder)
    program.write("pw", PASSWORD).chmod(0o600)
    program.write("short", "short").chmod(0o600)
    words = ("add", "anna", "--email", "anna@x.example", "--role", "admin", "--password-file", "pw")
    assert program("users", *words).code == 0
    return program


@long
@pytest.mark.parametrize(
    ("typed", "code", "said"),
    rest(
        [
            ((PASSWORD, "something else"), 2, "differ"),
            ((PASSWORD, PASSWORD), 0, ""),
            ((None,), 2, "error: no password was typed; nothing was changed"),
            ((PASSWORD, None), 2, "error: no password was typed; nothing was changed"),
            ((CTRL_C,), INTERRUPTED, "\ninterrupted; what was committed stands\n"),
        ],
        ((PASSWORD, None), 2, "error: no password was typed; nothing was changed"),
    ),
    ids=["another", "the same", "Ctrl-D", "Ctrl-D the second time", "Ctrl-C"],
)
def test_the_password_is_asked_for_twice(
    house_once: Program, typed: tuple[str | None, ...], code: int, said: str
) -> None:
    ours, theirs = pty.openpty()
    words = ("users", "password", "anna", "--dry-run")
    child = subprocess.Popen(
        house_once.command(*words),
        cwd=house_once.folder,
        env=house_once.environ,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # so that no other terminal is asked
        text=True,
    )
    os.close(theirs)
    late = threading.Timer(60, child.kill)
    late.start()
    assert child.stderr is not None
    asked = ""
    for prompt, line in zip(("Password: ", "Again: "), typed, strict=False):
        while not asked.endswith(prompt):  # what is typed before it asks is thrown away
            letter = child.stderr.read(1)
            assert letter, asked
            asked += letter
        if line == CTRL_C:  # no terminal of the child's, so none that makes a signal of it
            child.send_signal(signal.SIGINT)
        else:
            os.write(ours, b"\x04" if line is None else f"{line}\n".encode())
    out, err = child.communicate()
    late.cancel()
    os.close(ours)
    assert child.returncode == code, err
    assert said in err
    assert PASSWORD not in out + asked + err
