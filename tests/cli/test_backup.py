"""Backups of an SQLite file through the command line: taken while it is used, restored, drilled, refused."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ledger.backup.manifest import Kind
from ledger.backup.planning import Wanted, plan
from ledger.backup.restoring import require_room
from ledger.backup.store import BeingRead, Store, backup_keys
from ledger.db import Database
from ledger.errors import DependencyDown
from ledger.models import DeviceType
from tests.cli.conftest import READINGS, ROOT, Program
from tests.support.backups import store
from tests.support.forms import few, long


def dump(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as link:
        return list(link.iterdump())


@pytest.fixture
def books(park: Program) -> Program:
    assert (
        park("import", "--site", "lab", "--source", "scada", park.write("r.csv", READINGS)).code
        == 0
    )
    park.environ["TRUETONNE_BACKUP_FOLDER"] = str(park.folder / "backups")
    return park


def database(program: Program) -> Path:
    return program.folder / ".truetonne" / "truetonne.db"


def test_there_and_back(books: Program) -> None:
    file, before = database(books), books.files()
    kept = books("db", "backup", "full", "--json")
    assert kept.code == 0, kept.err
    document = kept.json()
    (one,) = document["kept"]
    assert one["rows"]["meter_readings"] == 2
    assert books.files() - before == {
        ".truetonne/backup.key",
        "backups/.copies.lock",
        f"backups/{one['id']}/copy.sealed",
        f"backups/{one['id']}/manifest.json",
    }
    assert b"lab-wind" not in (books.folder / "backups" / one["id"] / "copy.sealed").read_bytes()
    wanted = dump(file)
    with closing(sqlite3.connect(file)) as link:  # what comes after is not in it
        link.execute("DELETE FROM meter_readings")
        link.commit()
    done = books("db", "restore", "--into", "again.db", "--json")
    assert done.code == 0, done.err
    assert dump(books.folder / "again.db") == wanted != dump(file)
    assert oct((books.folder / "again.db").stat().st_mode)[-3:] == "600"
    assert books("db", "current", database_url="sqlite:///again.db").code == 0

    drilled = books("db", "drill", "--json")
    assert drilled.code == 0, drilled.err
    found = drilled.json()
    assert {item["name"]: (item["ok"], bool(item["skipped"])) for item in found["checks"]} == {
        "tables": (True, False),
        "references": (True, False),
        "schema": (True, False),
        "audit": (True, False),
        "reconcile": (True, True),  # there is no chain here
    }
    assert float(found["seconds_total"]) > 0
    assert [found[name][-1] for name in ("begun_at", "backup_at")] == ["Z", "Z"]
    listed = books("db", "backups", "list", "--json").json()
    assert [item["id"] for item in listed["backups"]] == [one["id"]]
    status = books("status", "--json").json()
    assert status["backups"]["last_copy_at"] == one["at"]
    assert status["backups"]["alarms"] == []
    (check,) = (
        item for item in books("doctor", "--json").json()["checks"] if item["name"] == "backups"
    )
    assert (check["verdict"], "last drill 20" in check["found"]) == ("ok", True)


@long
def test_the_archive_comes_along(books: Program) -> None:
    file = database(books)
    archive = file.with_name("truetonne_archive.db")
    assert books("db", "partitions", "archive").code == 0
    kept = books("db", "backup", "full", "--json")
    assert kept.code == 0, kept.err
    (one,) = kept.json()["kept"]
    assert one["rows"]["truetonne_archive.device_data_2013"] == 2, one["rows"]
    wanted = dump(file), dump(archive)
    assert any("device_data_2013" in text for text in wanted[1])
    drilled = books("db", "drill", "--json")
    assert drilled.code == 0, drilled.out
    archive.unlink()
    (books.folder / "again_archive.db").write_text("mine")
    refused = books("db", "restore", "--into", "again.db")
    assert (refused.code, "again_archive.db is there" in refused.one_line()) == (1, True)
    (books.folder / "again_archive.db").unlink()
    done = books("db", "restore", "--into", "again.db")
    assert "`truetonne trades cancel` and `readings withdraw`" in done.out
    assert done.code == 0
    assert "again.db holds sqlite " in done.out and "binary log" not in done.out
    assert (dump(books.folder / "again.db"), dump(books.folder / "again_archive.db")) == wanted
    sealed = books.folder / "backups" / one["id"] / "archive.sealed"
    sealed.write_bytes(sealed.read_bytes()[:-1])
    assert books("db", "drill").code != 0


@contextmanager
def held(books: Program, place: str, *words: str) -> Iterator[None]:
    """Run a command up to a place (``tests/support/held.py``), do what is to be done meanwhile, and kill it."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.held", place, "sign", *words],
        cwd=books.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **books.environ},
        stdin=subprocess.PIPE,
    ) as process:
        try:
            while not (books.folder / "sign").exists():
                assert process.poll() is None
                time.sleep(0.02)
            yield
        finally:
            process.kill()


@long
def test_nothing_is_deleted_while_somebody_checks(books: Program) -> None:
    """What is deleted under his hands would be damaged, he would say."""
    assert books("db", "backup", "full").code == 0
    folder = store(books.folder / "backups")
    with (
        held(books, "restore", "db", "backups", "check"),
        pytest.raises(BeingRead),
        folder.deleting(),
    ):
        pytest.fail("it may delete")
    with folder.deleting():
        pass


@long
def test_a_restore_that_is_killed_between_archive_and_database_is_given_again(
    books: Program,
) -> None:
    file = database(books)
    assert books("db", "partitions", "archive").code == 0
    assert books("db", "backup", "full").code == 0
    wanted = dump(file), dump(file.with_name("truetonne_archive.db"))
    with held(books, "naming", "db", "restore", "--into", "again.db"):
        pass
    assert (books.folder / "again_archive.db").exists()
    assert not (books.folder / "again.db").exists()
    assert books("db", "restore", "--into", "again.db", "--dry-run").code == 0
    done = books("db", "restore", "--into", "again.db")
    assert done.code == 0, done.err
    assert (dump(books.folder / "again.db"), dump(books.folder / "again_archive.db")) == wanted
    assert not list(books.folder.glob(".again*"))
    assert "again_archive.db is there" in books("db", "restore", "--into", "again.db").one_line()


def test_a_drill_takes_away_what_one_that_was_killed_left(books: Program) -> None:
    """A whole database that nothing seals stayed there for ever; and a relative ``--in`` was an internal error."""
    assert books("db", "backup", "full").code == 0
    elsewhere = books.write("others", "x")
    scratch = books.folder / "scratch"
    for name in ("left", "used"):
        (scratch / f"truetonne-drill-{name}" / "data").mkdir(parents=True)
        (scratch / f"truetonne-drill-{name}" / "data" / "books").write_text("in no cipher")
    (scratch / "truetonne-drill-empty").mkdir()  # of one that was killed before it wrote
    (scratch / "truetonne-drill-link").symlink_to(books.folder)
    (scratch / "notes").mkdir()
    used = os.open(scratch / "truetonne-drill-used", os.O_RDONLY)
    try:
        fcntl.flock(used, fcntl.LOCK_EX)
        assert books("db", "drill", "--in", "scratch").code == 0
    finally:
        os.close(used)
    kept = {"notes", *(f"truetonne-drill-{name}" for name in ("link", "used"))}
    assert set(os.listdir(scratch)) == kept
    assert (scratch / "truetonne-drill-used/data/books").exists() and elsewhere.exists()


@long
def test_a_drill_puts_a_database_into_no_other_folder_than_the_one_that_is_named(
    books: Program,
) -> None:
    """Where TMPDIR was gone, as a disk that is not mounted, the restored books lay in /tmp, in no cipher."""
    assert books("db", "backup", "full").code == 0
    for name, said in (("unmounted", "is no folder"), ("r.csv", "is no folder")):
        books.environ["TMPDIR"] = name
        refused = books("db", "drill")
        assert refused.code == 2
        assert refused.one_line() == (
            f"error: TMPDIR names {books.folder / name} for temporary files, and that {said}; make it, name another "
            "one, or unset TMPDIR: nothing is put elsewhere"
        )
    (books.folder / "unmounted").mkdir()
    books.environ["TMPDIR"] = "unmounted"
    assert books("db", "drill").code == 0
    assert list((books.folder / "unmounted").iterdir()) == []


def test_a_drill_whose_report_cannot_be_kept_says_all_that_it_found(books: Program) -> None:
    """As on another machine, from an off-site copy that is mounted for reading."""
    assert books("db", "backup", "full").code == 0
    books.write("backups/drills", "where the folder of reports would be")
    drilled = books("db", "drill", "--json")
    assert drilled.code == 0, drilled.err
    found = {item["name"]: item["skipped"] for item in drilled.json()["checks"]}
    assert found["tables"] is None
    assert "drills (File exists)" in found["report"]


@long
def test_a_copy_whose_file_is_gone_is_no_copy(books: Program) -> None:
    first, second = (books("db", "backup", "full", "--json").json()["kept"][0] for _ in range(2))
    (books.folder / "backups" / second["id"] / "copy.sealed").unlink()
    listed = books("db", "backups", "list", "--json")
    assert (listed.code, [item["id"] for item in listed.json()["backups"]]) == (1, [first["id"]])
    assert "copy.sealed: cannot be read (No such file" in listed.json()["damaged"][0]
    done = books("db", "restore", "--into", "x.db", "--json").json()
    assert (done["backups"], len(done["damaged"])) == ([first["id"]], 1)


@long
def test_a_copy_that_is_left_out_is_read_by_a_check_all_the_same(books: Program) -> None:
    """It is used again when what it needs is brought from off-site."""
    full = books("db", "backup", "full", "--json").json()["kept"][0]["id"]
    folder = Store(books.folder / "backups", backup_keys(books.folder / ".truetonne/backup.key"))
    lost = full[:-8] + "0" * 8
    with folder.making(Kind.INCREMENTAL, datetime.now(UTC)) as making:
        making.add("copy.sealed", [b"bytes"])
        parts = tuple(making.parts)
        left = replace(folder.item(full), id=making.id, kind=Kind.INCREMENTAL, parent=lost)
        folder.finish(making, replace(left, parts=parts))
    file = folder.folder / left.id / "copy.sealed"
    sealed = file.read_bytes()
    file.write_bytes(sealed[:-1] + bytes([sealed[-1] ^ 1]))
    checked = books("db", "backups", "check", "--json")
    assert (checked.code, checked.json()["checked"]) == (1, 2)
    needs, changed = checked.json()["wrong"]
    assert f"{left.id} needs {lost}, which is not here" in needs
    assert f"{left.id}/copy.sealed: is not the file that was written" in changed


@long
def test_what_is_damaged_takes_no_other_words_place(books: Program) -> None:
    """It was all that was said, whatever was asked for; and of the one that was named, what was wrong with another."""
    first, second, third = (
        books("db", "backup", "full", "--json").json()["kept"][0]["id"] for _ in range(3)
    )
    for name in (first, second):
        file = books.folder / "backups" / name / "copy.sealed"
        file.write_bytes(file.read_bytes()[:-1])
    named = books("db", "restore", "--into", "x.db", "--backup", second).one_line()
    assert named.startswith(f"error: {second}/copy.sealed: has ")
    for words, said in (
        (("--before-gtid", "0-1-7"), "SQLite has no GTIDs"),
        (("--until", "2020-01-01T00:00Z"), "there is no backup that old"),
        (("--backup", "full"), "there is no copy 'full'"),  # which is a part of all their names
    ):
        refused = books("db", "restore", "--into", "x.db", *words).one_line()
        assert (
            refused.startswith(f"error: {said}") and f"; damaged: {min(first, second)}/" in refused
        )
    # What it says to do.
    for name in (first, second):
        (books.folder / "backups" / name).rename(books.folder / name)
    assert books("db", "backups", "check").code == 0
    assert books("db", "restore", "--into", "x.db", "--json").json()["backups"] == [third]


@long
def test_a_backup_of_a_newer_version_is_named_and_hides_no_other(books: Program) -> None:
    first, second = (books("db", "backup", "full", "--json").json()["kept"][0] for _ in range(2))
    manifest = books.folder / "backups" / second["id"] / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 2'))
    listed = books("db", "backups", "list", "--json")
    found = listed.json()
    assert (listed.code, [item["id"] for item in found["backups"]]) == (1, [first["id"]])
    said = f"backup {second['id']}: its format is 2, this version reads 1; use the version that wrote it"
    assert (found["damaged"], found["other_format"]) == ([], [said])
    assert f"not read: {said}\n" in books("db", "backups", "list").out
    assert said in books("db", "backups", "check").out
    assert said in books("db", "backups", "expire").one_line()
    for words in (("restore", "--into", "x.db"), ("drill",)):
        refused = books("db", *words, "--backup", second["id"])
        assert (refused.code, said in refused.one_line()) == (2, True)
    done = books("db", "restore", "--into", "x.db")
    assert done.code == 0 and f"\nnot used: {said}\n" in done.out
    assert books("db", "backup", "full").code == 0


@long
def test_a_file_that_is_written_meanwhile(books: Program) -> None:
    """A copy is of one moment: two rows that change together are alike in it."""
    file = database(books)
    stop = threading.Event()
    with closing(sqlite3.connect(file)) as link:
        link.execute("CREATE TABLE pair (a INTEGER, b INTEGER, filler TEXT)")
        link.execute("INSERT INTO pair VALUES (0, 0, ?)", ("x" * 2_000_000,))
        link.commit()

    def write() -> None:
        with closing(sqlite3.connect(file, timeout=30)) as link:
            while not stop.wait(0.001):
                link.execute("UPDATE pair SET a = a + 1")
                link.execute("UPDATE pair SET b = b + 1")
                link.commit()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert books("db", "backup", "full").code == 0
    finally:
        stop.set()
        writer.join()
    assert books("db", "restore", "--into", "again.db").code == 0
    with closing(sqlite3.connect(books.folder / "again.db")) as link:
        ((a, b),) = link.execute("SELECT a, b FROM pair")
    assert a == b


Line = Callable[..., str]


@pytest.fixture
def line(books: Program) -> Line:
    def said(*words: str, code: int = 2, **settings: str) -> str:
        ended = books(*words, **settings)
        assert ended.code == code, ended
        return ended.one_line()

    return said


def test_what_is_refused(books: Program, line: Line) -> None:
    books.write("k", "")
    os.chmod(books.folder / "k", 0o600)
    assert "has no key" in line("db", "restore", "--into", "x.db", backup_key_file="k")
    server = {"backup_url": "mysql+pymysql://me:x@127.0.0.1:1/books"}
    assert "TRUETONNE_BACKUP_FOLDER" in line("db", "drill", backup_folder="", **server)
    assert "copied whole each time" in line("db", "backup", "incremental")
    assert "no binary log" in line("db", "backup", "binlogs")
    assert books("db", "backup", "full").code == 0
    lost = {"backup_key_file": "none.key"}
    assert "without it no backup opens" in line("db", "restore", "--into", "x.db", **lost)
    assert line("db", "restore", "nofolder", "--into", "x.db").endswith(
        "nofolder holds no backup: there is no such folder"
    )
    (books.folder / "empty").mkdir()
    assert line("db", "drill", "empty").endswith("empty holds no backup")
    assert "takes a time with its zone" in line(
        "db", "restore", "--into", "x.db", "--until", "2026-11-26"
    )
    assert "no GTID" in line("db", "restore", "--into", "x.db", "--before-gtid", "7")
    assert "SQLite has no GTIDs" in line(
        "db", "restore", "--into", "x.db", "--before-gtid", "0-1-7"
    )
    assert "no backup that old" in line(
        "db", "restore", "--into", "x.db", "--until", "2020-01-01T00:00Z"
    )
    assert "not written over" in line("db", "restore", "--into", str(database(books)), code=1)
    for address in ("sqlite:///z.db", f"sqlite:///{books.folder}/z.db", "mysql+pymysql://root@h/x"):
        assert "is the address of a database" in line("db", "restore", "--into", address)
    assert not list(books.folder.glob("*:"))
    books.write("y.db-wal", "of a file that was here")
    assert "y.db-wal is there" in line("db", "restore", "--into", "y.db", code=1)
    assert "is not supported" in line("db", "backup", "full", backup_url="postgresql://x/y")
    odd = "mysql+pymysql://backup@127.0.0.1:port/x"
    assert "cannot be read" in line("db", "backup", "full", backup_url=odd)
    books.write("plain", "x")
    assert "cannot be written" in line("db", "backup", "full", backup_folder="plain")


@few(1)
@pytest.mark.parametrize("kept", [False, True])
def test_a_folder_that_is_not_there_is_not_called_sound_and_not_made(
    books: Program, line: Line, kept: bool
) -> None:
    """Before the first backup a key was said to be missing; afterwards a mistyped folder had nothing wrong in it."""
    if kept:
        assert books("db", "backup", "full").code == 0
    before = books.files()
    said = "nofolder holds no backup: there is no such folder"
    for words in (("check",), ("statements",), ("expire",), ("expire", "--dry-run")):
        assert line("db", "backups", *words, "nofolder") == f"error: {said}"
    for words in (("restore", "--into", "x.db"), ("drill",)):
        assert line("db", *words, "nofolder") == f"error: {said}"
    listed = books("db", "backups", "list", "nofolder")
    assert (listed.code, listed.out.splitlines()[-1]) == (0, said)
    assert books("db", "backups", "list", "nofolder", "--json").json()["backups"] == []
    assert books.files() == before and not (books.folder / "nofolder").exists()


def test_damage(books: Program, line: Line) -> None:
    assert books("db", "backup", "full").code == 0
    (item,) = (path for path in (books.folder / "backups").iterdir() if path.is_dir())
    copy = item / "copy.sealed"
    content = copy.read_bytes()
    copy.write_bytes(content[:-1])
    assert "bytes, should have" in line("db", "restore", "--into", "x.db")
    assert "bytes, should have" in line("db", "drill")
    assert not (books.folder / "x.db").exists()
    doctor = books("doctor", "--json")
    (check,) = (one for one in doctor.json()["checks"] if one["name"] == "backups")
    assert check["verdict"] == "failed"
    copy.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    checked = books("db", "backups", "check", "--json")
    assert (checked.code, len(checked.json()["wrong"])) == (1, 1)
    assert "changed or cut short" in line("db", "restore", "--into", "x.db")
    copy.write_bytes(content)
    checked = books("db", "backups", "check")
    assert (checked.code, checked.out[:12]) == (0, "1 backup of ")
    assert checked.out.endswith("bytes read, 0 things wrong\n")

    other = books("db", "backup", "full", backup_key_file="other.key", backup_folder="others")
    assert other.code == 0
    assert "another key 1" in line("db", "restore", "others", "--into", "x.db")
    manifest = item / "manifest.json"
    body = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**body, "at": "2026-01-01T00:00:00+00:00"}))
    assert "changed after it was signed" in line("db", "restore", "--into", "x.db")
    assert books("db", "backups", "list").code == 1
    assert (
        books("db", "backup", "full").code == 0
    )  # one that is good: the other is named all the same
    drilled = books("db", "drill", "--json")
    assert (drilled.code, drilled.json()["checks"][0]["name"]) == (1, "folder")
    (alarm,) = [
        text for text in books("status", "--json").json()["backups"]["alarms"] if "drill" in text
    ]
    assert " failed (folder: " in alarm
    assert len(books("db", "restore", "--into", "z.db", "--json").json()["damaged"]) == 1
    assert {path.name for path in books.folder.glob(".*.restoring")} == set()

    # The books themselves: a page of an index that no list comes by. Kept, it could not be restored.
    before, file = books.files(), database(books)
    with closing(sqlite3.connect(file)) as link:
        ((page,),) = link.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_carbon_credits_1'"
        )
        ((page_bytes,),) = link.execute("PRAGMA page_size")
        link.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with file.open("r+b") as pages:
        pages.seek((page - 1) * page_bytes)
        pages.write(bytes(page_bytes))
    assert books("credits", "list").code == 0
    assert "truetonne.db is damaged: " in line("db", "backup", "full", code=3)
    assert books.files() - before <= {f"{file.relative_to(books.folder)}-{end}" for end in ("wal", "shm")}  # fmt: skip
    (check,) = (
        one for one in books("doctor", "--json").json()["checks"] if one["name"] == "database file"
    )
    assert check["verdict"] == "failed" and "restore a backup" in check["mend"]


def test_a_disk_without_room(books: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    assert books("db", "backup", "full").code == 0
    items = store(
        books.folder / "backups", backup_keys(books.folder / ".truetonne/backup.key").keys[1]
    ).items()
    usage = shutil.disk_usage(books.folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda _place: usage._replace(free=10_000))
    with pytest.raises(DependencyDown, match=r"no room: \d+ bytes are needed, 10000 are free"):
        require_room(books.folder, plan(items, Wanted()))


def test_the_off_site_command(books: Program) -> None:
    (books.folder / "far").mkdir()
    failed = books("db", "backup", "full", backup_hook="sh -c 'echo disk is away; exit 3' x")
    assert failed.code == 1
    assert "ended with code 3: disk is away" in failed.one_line()
    assert books("db", "backup", "full", backup_hook="cp -rt far").code == 0
    assert len(list((books.folder / "far").iterdir())) == 2  # the one that failed as well
    assert books("db", "restore", "far", "--into", "x.db").code == 0


def test_a_dry_run_needs_no_key_before_the_first_backup(books: Program) -> None:
    before = books.files()
    ended = books("db", "backup", "full", "--dry-run", "--json")
    assert ended.code == 0, ended.err
    assert ended.json() == {
        "kind": "full",
        "to": str(books.folder / "backups"),
        "dry_run": True,
    }
    assert books.files() == before


@long
def test_a_dry_run_misses_the_key_of_backups_that_are_there(books: Program) -> None:
    assert books("db", "backup", "full").code == 0
    (books.folder / ".truetonne" / "backup.key").unlink()
    assert (
        "bring it from where its copy is kept"
        in books("db", "backup", "full", "--dry-run").one_line()
    )


def test_a_dry_run_refuses_a_folder_that_is_none(books: Program) -> None:
    (books.folder / "file").write_text("")
    for place in ("file", "file/below"):
        ended = books("db", "backup", "full", "--to", place, "--dry-run", "--json")
        assert ended.code == 2, ended.out


def test_a_dry_run_refuses_what_the_run_refuses(books: Program) -> None:
    """Of an SQLite file there is nothing but a full copy."""
    for kind in ("incremental", "binlogs"):
        refused = books("db", "backup", kind)
        would = books("db", "backup", kind, "--dry-run")
        assert (would.code, would.one_line()) == (refused.code, refused.one_line())
        assert refused.code == 2


@long
def test_backup_without_a_word_is_a_full_one(books: Program) -> None:
    would = books("db", "backup", "--dry-run", "--json").json()
    assert would["kind"] == "full"
    (kept,) = books("db", "backup", "--to", "elsewhere", "--json").json()["kept"]
    assert kept["kind"] == "full"
    assert len(list((books.folder / "elsewhere").glob("*-full-*"))) == 1
    refused = books("db", "backup", "--to", "elsewhere", "incremental")
    assert refused.code == 2
    assert "options stand after the command" in refused.one_line()


def test_dry_runs_write_nothing(books: Program) -> None:
    assert books("db", "backup", "full").code == 0
    before = books.files()
    for words in (
        ("db", "backup", "full"),
        ("db", "restore", "--into", "x.db"),
        ("db", "backups", "expire"),
    ):
        ended = books(*words, "--dry-run", "--json")
        assert ended.code == 0, ended.err
        assert ended.json()["dry_run"] is True
    assert books.files() == before | {"backups/.binlogs.lock"}


@long
def test_a_backup_of_an_older_schema_is_restored_and_upgraded(truetonne: Program) -> None:
    """Books of an older version come back as they were; the upgrade brings them on, and nothing is lost on the way."""
    file = database(truetonne)
    file.parent.mkdir(mode=0o700)
    old = Database(f"sqlite:///{file}")
    old.upgrade("0027")
    with old.write() as session:
        session.add(DeviceType(id=7, type_name="turbine", category="kept"))
    old.close()
    kept = truetonne("db", "backup", "--json")
    assert kept.code == 0, kept.err
    assert kept.json()["to"] == ".truetonne/backups"  # as nobody named a folder
    assert kept.json()["kept"][0]["rows"]["device_types"] == 1
    drilled = truetonne("db", "drill", "--json")
    assert drilled.code == 0, drilled.out + drilled.err
    found = {item["name"]: item for item in drilled.json()["checks"]}
    assert found["schema"]["said"] == "revision 0027"  # it is what it was
    assert found["upgrade"]["said"].startswith(f"from 0027 to {Database.head()}, ")
    assert found["audit"]["ok"]  # which is of this version
    assert truetonne("db", "restore", "--into", "again.db").code == 0
    again = {"database_url": "sqlite:///again.db"}
    before = truetonne("db", "current", "--json", **again)
    assert "0027" in before.out and before.code == 1
    assert truetonne("db", "upgrade", **again).code == 0
    assert truetonne("db", "current", **again).code == 0
    checks = truetonne("doctor", "--json", **again).json()["checks"]
    assert [item["verdict"] for item in checks if item["name"] in ("database", "schema")] == [
        "ok"
    ] * len([item for item in checks if item["name"] in ("database", "schema")])
    with closing(sqlite3.connect(truetonne.folder / "again.db")) as link:
        assert link.execute("SELECT id, category FROM device_types").fetchall() == [(7, "kept")]
        assert link.execute("PRAGMA foreign_key_check").fetchall() == []
    assert truetonne("audit", "verify", **again).code == 0
