"""Parts of backups: sealed streams, manifests, plans, what is kept how long, the off-site command. No server."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import secrets
import shutil
import signal
import stat
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

import pytest
from sqlalchemy import make_url

from ledger.backup import mariadb, sqlite, stream, tools
from ledger.backup.binlog import MAGIC, Event, Limit, Reached, between, events, joined
from ledger.backup.checks import differences
from ledger.backup.drill import _position, keep_report, last_report
from ledger.backup.manifest import Kind, Manifest, Position, TableCheck
from ledger.backup.mariadb import NeedsFull
from ledger.backup.overview import _of_drill, rehearse, store_of
from ledger.backup.planning import Wanted, chain_of, of_source, plan, walk
from ledger.backup.restoring import position, refuse_what_is_there, restore
from ledger.backup.server import PrivateServer, _start, _whose_end_is_told, running
from ledger.backup.store import MANIFEST, BeingRead, Store, _unreadable, backup_keys
from ledger.backup.stream import PIECE_BYTES, BackupDamaged, OtherFormat, opened, seal
from ledger.backup.taking import OffSite, OffSiteFailed, expire, expired, require_base, send_away
from ledger.clock import utc_now
from ledger.db import Database
from ledger.db.gtid import Gtid
from ledger.errors import BadInput, DependencyDown, NotFound, Refused
from ledger.files import part_in
from ledger.keeping.places import archive_file
from ledger.sealing import Sealer
from ledger.settings import load_settings
from tests.support.backups import KEY, store
from tests.support.forms import few
from tests.support.full import full_disk
from tests.support.waiting import runs, until

NOW = datetime(2026, 11, 26, 3, tzinfo=UTC)
DAY = timedelta(days=1)


def sealed(data: bytes, context: str = "x", key: bytes = KEY) -> bytes:
    target = io.BytesIO()
    pieces = (data[at : at + 70_000] for at in range(0, len(data), 70_000))
    found = seal(pieces, target, 1, key, context)
    assert found.sha256 == hashlib.sha256(target.getvalue()).hexdigest()
    assert (found.size, found.plain_bytes) == (len(target.getvalue()), len(data))
    return target.getvalue()


def unsealed(data: bytes, context: str = "x", key: bytes = KEY) -> bytes:
    return b"".join(opened(io.BytesIO(data), {1: key}, context, "file"))


NOISE = secrets.token_bytes(3 * PIECE_BYTES + 17)


@pytest.mark.parametrize(
    "size", [0, 1, PIECE_BYTES - 500, PIECE_BYTES, 2 * PIECE_BYTES, len(NOISE)]
)
def test_a_stream_comes_back(size: int) -> None:
    assert unsealed(sealed(NOISE[:size])) == NOISE[:size]


def test_zeros_shrink_and_nothing_shows() -> None:
    secret = b"beneficiary: ACME " * 100_000
    found = sealed(secret)
    assert len(found) < len(secret) // 50
    assert b"ACME" not in found
    assert sealed(secret)[100:200] != found[100:200]  # another salt, another key
    assert unsealed(sealed(bytes(50_000_000))) == bytes(50_000_000)


@few(3)
@pytest.mark.parametrize("cut", [0, 10, 40, 100, PIECE_BYTES, PIECE_BYTES + 16 + 55, -1])
def test_a_stream_that_is_cut_short(cut: int) -> None:
    with pytest.raises(BackupDamaged):
        unsealed(sealed(NOISE)[:cut])


def test_pieces_that_are_left_out_moved_or_added() -> None:
    found = sealed(NOISE)
    head, size = (
        len(found) - 3 * (PIECE_BYTES + 16) - len(found[55 + 3 * (PIECE_BYTES + 16) :]),
        PIECE_BYTES + 16,
    )
    assert head == 55
    pieces = [found[at : at + size] for at in range(head, len(found), size)]
    assert len(pieces) == 4
    for other in (
        pieces[1:],
        pieces[:-1],
        [pieces[1], pieces[0], *pieces[2:]],
        [*pieces, pieces[-1]],
    ):
        with pytest.raises(BackupDamaged):
            unsealed(found[:head] + b"".join(other))
    assert unsealed(found[:head] + b"".join(pieces)) == NOISE


def test_one_bit_anywhere() -> None:
    found = sealed(NOISE[:3000])
    for at in range(0, len(found), 7):
        changed = bytearray(found)
        changed[at] ^= 1
        with pytest.raises(BackupDamaged):
            unsealed(bytes(changed))


def test_another_key_context_or_number() -> None:
    found = sealed(b"x")
    with pytest.raises(BackupDamaged, match="changed or cut short"):
        unsealed(found, key=b"k" * 32)
    with pytest.raises(BackupDamaged, match="changed or cut short"):
        unsealed(found, context="y")
    with pytest.raises(BackupDamaged, match="key 1, which is not in the backup key file"):
        list(opened(io.BytesIO(found), {2: KEY}, "x", "file"))


def test_no_nonce_serves_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[tuple[bytes, bytes]] = set()
    real = stream.AESGCM

    class Watched:
        def __init__(self, key: bytes) -> None:
            self.key = key

        def encrypt(self, nonce: bytes, data: bytes, header: bytes) -> bytes:
            assert (self.key, nonce) not in seen
            seen.add((self.key, nonce))
            return real(self.key).encrypt(nonce, data, header)

    monkeypatch.setattr(stream, "AESGCM", Watched)
    for _ in range(3):
        sealed(NOISE)
    assert len(seen) == 12


# ------------------------------------------------------------------- folders


def item(
    folder: Store,
    kind: Kind,
    at: datetime,
    parent: Manifest | None = None,
    span: tuple[int, int] | None = None,
    source: str = "mariadb a:1/x",
    number: int | None = None,
) -> Manifest:
    """Keep an item of a few bytes."""
    with folder.making(kind, at) as making:
        making.add("copy.sealed" if kind is not Kind.BINLOG else "log-0000.sealed", [b"bytes"])
        start, stop = span or (10, 10)
        manifest = Manifest(
            id=making.id,
            kind=kind,
            dialect="mysql",
            source=source,
            begun_at=at,
            at=at,
            ended_at=at,
            parts=tuple(making.parts),
            parent=parent.id if parent else None,
            start=Position("bin.000001", start, f"0-1-{start}"),
            stop=Position("bin.000001", stop, f"0-1-{stop}"),
            tables={"t": TableCheck(1, "2")},
            number=folder.next_number(at) if number is None else number,
        )
        return folder.finish(making, manifest)


@pytest.fixture
def folder(tmp_path: Path) -> Store:
    (tmp_path / "b").mkdir()
    return store(tmp_path / "b")


def test_an_item_is_what_was_written(folder: Store) -> None:
    full = item(folder, Kind.FULL, NOW)
    (found,) = folder.items()
    assert found == full
    assert folder.check(found) == []
    assert b"".join(folder.open(found, found.parts[0])) == b"bytes"


def change(text: str, to: str) -> Callable[[Path], object]:
    def act(place: Path) -> None:
        file = place / MANIFEST
        content = file.read_text()
        assert text in content
        file.write_text(content.replace(text, to))

    return act


Act = Callable[[Path], object]
HOSTILE: list[tuple[Act, str]] = [
    (change('"rows": 1', '"rows": 2'), "changed after it was signed"),
    (change('"sha256": "', '"sha256": "0'), "is not one"),
    (change('"name": "copy.sealed"', '"name": "../../etc/x"'), "is not one"),
    (change('"kind": "full"', '"kind": "incremental"'), "changed after it was signed"),
    (change('"format": 1', '"format": 2'), "its format is 2"),
    (lambda place: (place / MANIFEST).write_bytes(b"\xff\xfe"), "is not one"),
    (lambda place: (place / MANIFEST).write_text("[1]"), "is not one"),
    (lambda place: (place / MANIFEST).write_text("[" * 100_000), "is not one"),
    (lambda place: (place / MANIFEST).write_text(""), "is not one"),
    (change('"key": 1', '"key": []'), "is not one"),
    (change('"lsn": 0', '"lsn": 1e999'), "is not one"),
    (change('"signature": "', '"signature": "\\ud800'), "is not one"),
    (lambda place: (place / MANIFEST).unlink(), "has no manifest.json"),
    (lambda place: place.rename(place.with_name(place.name[:-8] + "00000000")), "is that of"),
]


@pytest.mark.parametrize(("act", "said"), HOSTILE)
def test_a_manifest_that_is_not_as_it_was_signed(folder: Store, act: Act, said: str) -> None:
    full = item(folder, Kind.FULL, NOW)
    act(folder.folder / full.id)
    with pytest.raises(BadInput, match=said) as wrong:
        folder.items()
    assert "\n" not in wrong.value.message
    assert len(folder.sound()[1]) == 1


def test_what_a_newer_version_wrote_hides_no_other_and_nothing_is_deleted_beside_it(
    folder: Store,
) -> None:
    """One of it, and no backup was listed or taken. What it needs cannot be told, so all of it stays."""
    for day in range(3):
        item(folder, Kind.FULL, NOW + day * DAY)
    assert expire(folder, 1, NOW + 30 * DAY, dry_run=True) != []
    newer = item(folder, Kind.INCREMENTAL, NOW + 3 * DAY)
    change('"format": 1', '"format": 2')(folder.folder / newer.id)
    good, (unread,) = folder.sound()
    assert len(good) == 3 and isinstance(unread, OtherFormat)
    with pytest.raises(OtherFormat, match=f"{newer.id}: its format is 2.*nothing is deleted"):
        expire(folder, 1, NOW + 30 * DAY)
    assert len(folder.sound()[0]) == 3


def test_files_that_are_not_as_they_were_written(folder: Store) -> None:
    one, two = item(folder, Kind.FULL, NOW), item(folder, Kind.FULL, NOW + DAY)
    here, there = (folder.folder / each.id / "copy.sealed" for each in (one, two))
    kept = here.read_bytes()
    shutil.copyfile(there, here)  # a good file, of another item
    assert len(folder.check(one)) == 1
    with pytest.raises(BackupDamaged, match="changed or cut short"):
        list(folder.open(one, one.parts[0]))
    for size in (len(kept) - 1, len(kept) + 1):
        here.write_bytes((kept + b"x")[:size])
        with pytest.raises(BackupDamaged, match=f"has {size} bytes, should have {len(kept)}"):
            list(folder.open(one, one.parts[0]))
        assert [each.id for each in folder.sound()[0]] == [two.id]
    here.unlink()
    with pytest.raises(BackupDamaged, match="cannot be read"):
        list(folder.open(one, one.parts[0]))
    assert folder.check(two) == []


def test_another_key_file(folder: Store, tmp_path: Path) -> None:
    item(folder, Kind.FULL, NOW)
    with pytest.raises(BackupDamaged, match="another key 1 than the backup key file has"):
        store(folder.folder, b"k" * 32).items()
    with pytest.raises(
        BackupDamaged, match="key 1, which the backup key file lacks; put its line back"
    ):
        Store(folder.folder, Sealer({2: b"k" * 32})).items()
    with (
        closing(Database("mysql+pymysql://keeper@localhost/x")) as db,
        pytest.raises(NeedsFull, match=r"build on: .* another key 1 .*, or run"),
    ):
        require_base(db, store(folder.folder, b"k" * 32), Kind.INCREMENTAL)
    with pytest.raises(BadInput, match="without it no backup opens"):
        backup_keys(tmp_path / "none.key")
    made = backup_keys(tmp_path / "some.key", make=True)
    assert backup_keys(tmp_path / "some.key") == made
    assert stat.S_IMODE((tmp_path / "some.key").stat().st_mode) == 0o600


def test_what_is_kept_is_its_owner_s_alone(tmp_path: Path) -> None:
    where = store(tmp_path / "kept")
    with where.alone("copy", Kind.FULL):
        pass
    place = where.folder / item(where, Kind.FULL, NOW).id
    modes = {each.name: oct(stat.S_IMODE(each.stat().st_mode)) for each in (place.parent, place)}
    assert modes == {"kept": "0o700", place.name: "0o700"}


def test_a_folder_below_a_file_is_refused_before_a_backup(tmp_path: Path) -> None:
    settings = load_settings(None, {"TRUETONNE_HOME": str(tmp_path / "home")})
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match=r"cannot be read \(Not a directory\); name a folder"):
        rehearse(settings, tmp_path / "file" / "kept" / "here")
    assert rehearse(settings, tmp_path / "new" / "kept") == tmp_path / "new" / "kept"
    assert not (tmp_path / "new").exists()


def test_an_archive_beside_the_place_is_not_written_over_unless_a_restore_was_cut_short(
    tmp_path: Path,
) -> None:
    place, beside = tmp_path / "again.db", tmp_path / "again_archive.db"
    ours = tmp_path / ".again.db.restoring" / "data_archive"
    ours.parent.mkdir()
    ours.write_bytes(b"x")
    os.link(ours, beside)  # as one does that is killed before its database has its name
    refuse_what_is_there(place, "sqlite")
    beside.unlink()
    beside.write_bytes(b"x")  # somebody else's
    with pytest.raises(Refused, match=f"{beside} is there, and is not written over"):
        refuse_what_is_there(place, "sqlite")


def test_of_a_file_that_is_not_there_nothing_is_taken_or_made(
    folder: Store, tmp_path: Path
) -> None:
    file = tmp_path / "none.db"
    database = Database(f"sqlite:///{file}", setting="TRUETONNE_BACKUP_URL")
    said = f"no database {file}; name it in TRUETONNE_BACKUP_URL"
    with pytest.raises(BadInput, match=said):
        sqlite.take(database, folder, utc_now())
    with pytest.raises(BadInput, match=said):
        require_base(database, folder, Kind.FULL)  # nor does a rehearsal say that it would be
    database.close()
    assert (file.exists(), folder.items()) == (False, [])


def test_a_key_is_made_for_the_first_backup_alone(tmp_path: Path) -> None:
    """On another machine, or in another home, a second one was made, and the backups then had two keys."""
    places = {"TRUETONNE_HOME": tmp_path / "home", "TRUETONNE_BACKUP_FOLDER": tmp_path / "kept"}
    settings = load_settings(None, {name: str(place) for name, place in places.items()})
    store_of(settings, make_key=True)
    settings.backup_key_file.unlink()
    (tmp_path / "kept" / "20260101T000000Z-full-0a1b2c3d").mkdir(parents=True)
    for make_key in (True, False):
        with pytest.raises(BadInput, match="bring it from where its copy is kept"):
            store_of(settings, make_key=make_key)
    with pytest.raises(BadInput, match="bring it from where its copy is kept"):
        rehearse(settings)
    assert not settings.backup_key_file.exists()


def test_what_was_not_finished_is_nothing(folder: Store) -> None:
    with pytest.raises(RuntimeError), folder.making(Kind.FULL, NOW) as making:
        making.add("copy.sealed", [b"x"])
        raise RuntimeError
    left = folder.folder / f".20261126T030000Z-full-{'0' * 8}"
    left.mkdir()  # of a process that was killed
    assert folder.items() == []
    with (
        folder.making(Kind.BINLOG, NOW) as log,  # which goes on beside it
        folder.alone("copies", Kind.FULL),
    ):
        assert not left.exists() and log.folder.exists()
        with (
            pytest.raises(DependencyDown, match="another process"),
            folder.alone("copies", Kind.FULL),
        ):
            pass
    (folder.folder / "notes.txt").write_text("of a person")
    assert folder.items() == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written(folder: Store) -> None:
    folder.folder.chmod(0o500)
    with pytest.raises(BadInput, match="cannot be written"), folder.making(Kind.FULL, NOW):
        pass


def test_what_another_user_has_taken_is_to_be_given_to_this_one(folder: Store) -> None:
    """A copy taken by hand as root kept the jobs from taking any, and was to be brought from off-site."""
    lock = folder.folder / ".copies.lock"
    denied = PermissionError(errno.EACCES, "Permission denied", str(lock))
    with (
        pytest.raises(BadInput, match=rf"denied: {lock}\).*\(chown -R USER {folder.folder}\)"),
        folder.making(Kind.FULL, NOW),
    ):
        raise denied
    assert _unreadable("x", denied).message.endswith("takes backups (chown -R)")


def test_a_folder_that_is_full(folder: Store) -> None:
    def source() -> Iterator[bytes]:
        yield b"x"
        raise OSError(28, "No space left on device")

    with pytest.raises(DependencyDown, match="no room"), folder.making(Kind.FULL, NOW) as making:
        making.add("copy.sealed", source())
    assert list(folder.folder.iterdir()) == []


# --------------------------------------------------------------------- plans


def test_a_disk_without_room_for_the_copy_beside_a_file(folder: Store, sqlite_db: Database) -> None:
    """It said that the database cannot be copied, and to ask the doctor, who finds nothing wrong with it."""
    place = Path(sqlite_db.url.database or "").parent
    with full_disk(100_000), pytest.raises(DependencyDown) as refused:
        sqlite.take(sqlite_db, folder, utc_now())
    assert f"{place}: cannot be written" in refused.value.message
    assert "a backup needs room for a copy there" in refused.value.message
    assert [file.name for file in place.glob(".*")] == []
    assert sqlite.take(sqlite_db, folder, utc_now()).tables


def test_a_text_that_is_not_utf_8_keeps_no_file_from_being_copied(
    folder: Store, sqlite_db: Database, tmp_path: Path
) -> None:
    """Another program's, which SQLite takes for a text: it ended each backup with an internal error."""
    with sqlite_db.write() as session:
        insert = (
            "INSERT INTO device_types (type_name, category, created_at) "
            "VALUES (%s, 'x', '2026-01-01 00:00:00.000000')"
        )
        for name in ("'plain'", "cast(x'61ff62' AS TEXT)"):
            session.connection().exec_driver_sql(insert % name)
    before = sqlite.take(sqlite_db, folder, utc_now())
    place = tmp_path / "restored.db"
    restore(folder, plan(folder.items(), Wanted()), place)
    assert sqlite.tables_of(place) == before.tables
    with sqlite_db.write() as session:
        change = (
            "UPDATE device_types SET type_name = cast(x'61fe' AS TEXT) WHERE type_name <> 'plain'"
        )
        session.connection().exec_driver_sql(change)
    after = sqlite.take(sqlite_db, folder, utc_now())
    assert differences(before.tables or {}, after.tables or {}) == [
        "table device_types has other rows than it should have"
    ]


def test_a_damaged_archive_is_named_and_not_the_database_beside_it(
    folder: Store, sqlite_db: Database
) -> None:
    archive = archive_file(sqlite_db).absolute()
    archive.write_bytes(b"no database" * 1000)
    said = f"database {archive} is damaged: file is not a database"
    with pytest.raises(DependencyDown, match=re.escape(said)):
        sqlite.take(sqlite_db, folder, utc_now())
    assert folder.items() == []


def test_who_is_killed_before_the_copy_loses_its_name_leaves_nothing_for_ever(
    folder: Store, sqlite_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its empty file stayed beside the database; the next copy takes it away, and nothing of who is at work."""
    place = Path(sqlite_db.url.database or "").parent

    def killed(_: Path) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patched:
        patched.setattr(sqlite, "_unnamed", killed)
        taking = get_context("fork").Process(
            target=sqlite.take, args=(sqlite_db, folder, utc_now())
        )
        taking.start()
        taking.join(60)
    assert taking.exitcode == -signal.SIGKILL
    (left,) = place.glob(".*")
    assert (left.stat().st_size, stat.S_IMODE(left.stat().st_mode)) == (0, 0o600)
    with part_in(place) as another:
        assert sqlite.take(sqlite_db, folder, utc_now()).tables
        assert {*place.glob(".*")} == {another}


def test_a_chain_with_a_missing_link(folder: Store) -> None:
    full = item(folder, Kind.FULL, NOW)
    middle = item(folder, Kind.INCREMENTAL, NOW + DAY, full, (20, 20))
    last = item(folder, Kind.INCREMENTAL, NOW + 2 * DAY, middle, (30, 30))
    assert chain_of(folder.items(), last) == [full, middle, last]
    folder.delete(middle)
    with pytest.raises(BackupDamaged, match=f"needs {middle.id}, which is not here"):
        plan(folder.items(), Wanted())
    good, (lost,) = folder.sound()
    assert (good, last.id in lost.message) == ([full], True)
    assert plan(good, Wanted()).copy == full
    assert folder.readable()[0] == [full, last]  # which goes when it is old
    loop = replace(middle, parent=last.id)
    with pytest.raises(BackupDamaged, match="which is not here"):
        chain_of([full, loop, last], last)


def test_logs_follow_each_other_as_far_as_they_go(folder: Store) -> None:
    full = item(folder, Kind.FULL, NOW)
    spans = [(10, 20), (20, 25), (20, 40), (40, 40), (40, 50), (50, 50), (60, 70)]
    logs = [item(folder, Kind.BINLOG, NOW + n * DAY, None, span) for n, span in enumerate(spans, 1)]
    assert walk(logs, full) == [logs[0], logs[2], logs[4]]
    together = replace(full, number=logs[0].number, at=logs[0].at)
    assert walk(logs, together) == [logs[0], logs[2], logs[4]]
    later = replace(full, number=logs[-1].number + 1)
    assert walk(logs, later) == []  # they are of a history before
    first = [replace(one, number=0) for one in (full, *logs)]  # of a version that gave none
    assert walk(first[1:], first[0]) == [first[1], first[3], first[5]]
    assert walk(first[1:], replace(first[0], at=NOW + 9 * DAY)) == []
    assert full.stop is not None
    assert walk(logs, replace(full, stop=replace(full.stop, gtid="0-2-10"))) == []


def test_what_was_logged_before_the_server_was_reset_is_not_missing_after_it(folder: Store) -> None:
    item(folder, Kind.BINLOG, NOW, None, (10, 90))
    reset = item(folder, Kind.FULL, NOW + DAY, None, (5, 5))
    found = plan(folder.items(), Wanted())
    assert (found.copy, found.logs) == (reset, ())


def test_a_hole_in_the_logs_is_one_for_what_lies_behind_it_alone(folder: Store) -> None:
    item(folder, Kind.FULL, NOW)
    log = item(folder, Kind.BINLOG, NOW + DAY, None, (10, 20))
    item(folder, Kind.BINLOG, NOW + 2 * DAY, None, (30, 40))
    items = folder.items()
    for there in (Wanted(until=log.at - timedelta(seconds=1)), Wanted(before=Gtid(0, 1, 20))):
        assert plan(items, there).logs == (log,)
    # Of its last second it may have a part.
    for behind in (Wanted(until=log.at), Wanted(before=Gtid(0, 1, 21)), Wanted()):
        with pytest.raises(
            BackupDamaged, match=r"from bin\.000001, byte 20 .* on is missing"
        ) as hole:
            plan(items, behind)
        assert plan(items, _advised(hole.value)).logs == (log,)


def test_what_no_log_leads_to_a_later_copy_from_is_not_left_out_unsaid(folder: Store) -> None:
    """As where the server had deleted its log before it was fetched: what lay between came back as if it never was."""
    item(folder, Kind.FULL, NOW)
    log = item(folder, Kind.BINLOG, NOW + DAY, None, (10, 20))
    item(folder, Kind.FULL, NOW + 3 * DAY, None, (30, 30))
    with pytest.raises(BackupDamaged, match=r"from bin\.000001, byte 20 .* on is missing") as hole:
        plan(folder.items(), Wanted(until=NOW + 2 * DAY))
    assert plan(folder.items(), _advised(hole.value)).logs == (log,)


def test_where_the_first_log_is_missing_a_copy_is_advised_as_it_is(folder: Store) -> None:
    full = item(folder, Kind.FULL, NOW)
    item(folder, Kind.BINLOG, NOW + DAY, None, (30, 40))
    with pytest.raises(BackupDamaged, match="on is missing") as hole:
        plan(folder.items(), Wanted())
    found = plan(folder.items(), _advised(hole.value))
    assert (found.copy, found.logs) == (full, ())


def _advised(error: BackupDamaged) -> Wanted:
    """Return what a person would ask for who does what an error says."""
    said = re.search(r"--backup (\S+)(?: --until (\S+))?$", error.message)
    assert said is not None
    return Wanted(said[1], None if said[2] is None else datetime.fromisoformat(said[2]))


def test_a_disk_that_fails_while_a_backup_is_read_is_the_backups(folder: Store) -> None:
    made = item(folder, Kind.FULL, NOW)
    part = replace(made.parts[0], size=0)
    file = folder.folder / made.id / part.name
    file.unlink()
    file.symlink_to("/proc/self/mem")  # opened by anybody, and read by nobody at its beginning
    with pytest.raises(
        BackupDamaged, match=r"cannot be read \(Input/output error\); bring it from"
    ):
        list(folder.open(made, part))


def test_which_copy(folder: Store) -> None:
    first = item(folder, Kind.FULL, NOW)
    item(folder, Kind.BINLOG, NOW + DAY, None, (10, 20))
    second = item(folder, Kind.FULL, NOW + DAY, None, (20, 20))
    items = folder.items()
    assert plan(items, Wanted()).copy == second
    assert plan(items, Wanted(until=second.at)).copy == first
    assert plan(items, Wanted(before=Gtid(0, 9, 20))).copy == first  # another server's number alike
    assert plan(items, Wanted(backup=first.id)).logs == ()
    with pytest.raises(NotFound, match="in no kept binary log"):
        plan(items, Wanted(before=Gtid(0, 1, 21)))
    with pytest.raises(BadInput, match="of a later moment"):
        plan(items, Wanted(backup=second.id, until=first.at))
    with pytest.raises(NotFound, match="no copy"):
        plan(items, Wanted(backup="x"))
    with pytest.raises(NotFound, match="no backup in the folder"):
        plan([], Wanted())
    other = item(folder, Kind.FULL, NOW, source="mariadb b:1/x")
    with pytest.raises(BadInput, match="backups of mariadb a:1/x and mariadb b:1/x"):
        plan(folder.items(), Wanted())
    assert plan(folder.items(), Wanted(backup=other.id)).copy == other


def test_a_clock_that_was_set_back_between_backups(folder: Store) -> None:
    """The first copy was taken by a clock that was two days ahead; what was kept after it counts all the same."""
    first = item(folder, Kind.FULL, NOW + 2 * DAY, None, (10, 10))
    logs = [
        item(folder, Kind.BINLOG, NOW, None, (10, 20)),
        item(folder, Kind.BINLOG, NOW + 0.1 * DAY, None, (20, 30)),
    ]
    found = plan(folder.items(), Wanted())
    assert [one.id for one in found.logs] == [one.id for one in logs]
    second = item(folder, Kind.FULL, NOW + DAY, None, (30, 30))
    after = item(folder, Kind.BINLOG, NOW + 1.1 * DAY, None, (30, 40))
    found = plan(folder.items(), Wanted())
    assert (found.copy.id, [one.id for one in found.logs]) == (second.id, [after.id])
    assert of_source(folder.items(), second.source, *Kind) == [first, *logs, second, after]
    # The logs of the first copy stay as long as it does, and it goes when the second one brings all back.
    lead = item(folder, Kind.BINLOG, second.at, None, (10, 30))
    gone = expired(folder.items(), 14, NOW + 14.9 * DAY)
    assert gone == []
    gone = expired(folder.items(), 14, NOW + 15 * DAY)
    assert gone == [lead, *reversed(logs), first]


def test_an_older_version_kept_backups_in_between(folder: Store) -> None:
    """It gives its items no number: whoever went back to it for a week has a week of them, and no other."""
    old = item(folder, Kind.FULL, NOW)
    early = item(folder, Kind.BINLOG, NOW + DAY, None, (10, 20))
    copy = item(folder, Kind.FULL, NOW + 2 * DAY, None, (30, 30), number=0)
    log = item(folder, Kind.BINLOG, NOW + 3 * DAY, None, (30, 40), number=0)
    found = plan(folder.items(), Wanted())
    assert (found.copy, found.logs) == (copy, (log,))
    after = item(folder, Kind.BINLOG, NOW + 3 * DAY, None, (40, 50))
    assert plan(folder.items(), Wanted()).logs == (log, after)
    assert expired(folder.items(), 1, NOW + 2.5 * DAY) == []
    assert expired(folder.items(), 1, NOW + 3.5 * DAY) == [early, old]


def test_what_is_in_a_restored_server_is_the_copy_and_what_followed(folder: Store) -> None:
    copy = item(folder, Kind.FULL, NOW)
    stop = Position("binlog.000001", 20, "0-1-20,2-1-9")
    found = plan([replace(copy, stop=stop)], Wanted())
    followed = {0: Gtid(0, 7, 25), 1: Gtid(1, 1, 3), 2: Gtid(2, 1, 8)}
    assert position(found, Reached(gtids=followed)) == "0-7-25,1-1-3,2-1-9"


def test_a_drill_says_where_a_server_came_to_if_the_log_goes_elsewhere(folder: Store) -> None:
    copy = item(folder, Kind.FULL, NOW)
    found = plan([copy, item(folder, Kind.BINLOG, NOW + DAY, span=(10, 30))], Wanted())
    assert _position(found, Reached(gtids={0: Gtid(0, 1, 30)})).differences == ()
    for reached, to in ((Reached(gtids={0: Gtid(0, 1, 29)}), "0-1-29"), (Reached(), "0-1-10")):
        said = _position(found, reached).differences
        assert said == (f"came to {to}, should have come to 0-1-30",)


def test_the_last_report_of_a_drill_is_the_one_that_was_kept_last(folder: Store) -> None:
    """Also where the one before is of a clock that was set back since: it called the backups good."""
    keep_report(folder.folder, {"begun_at": NOW.isoformat(), "ok": True})
    (first,) = (folder.folder / "drills").iterdir()
    assert stat.S_IMODE(first.parent.stat().st_mode) == 0o700
    first.rename(first.with_name("29991231T000000000000Z.json"))
    for ok in (False, True):
        keep_report(folder.folder, {"begun_at": NOW.isoformat(), "ok": ok})
        assert last_report(folder.folder) == {"begun_at": NOW.isoformat(), "ok": ok}
    assert len(list((folder.folder / "drills").iterdir())) == 2


def test_a_report_of_a_drill_that_somebody_else_wrote(folder: Store) -> None:
    """Reports are not signed, and may lie on another's disk: `status` ended with a defect of the program."""
    keep_report(folder.folder, {"begun_at": NOW.isoformat(), "ok": True})
    drills = folder.folder / "drills"
    (ours,) = (json.loads(file.read_text()) for file in drills.iterdir())
    other = drills / "29991231T000000000000Z.json"
    naive = NOW.replace(tzinfo=None).isoformat()
    for text in (
        json.dumps({"begun_at": NOW.isoformat()}),
        json.dumps({"begun_at": naive, "ok": True}),
        "[" * 100_000,
        '"x"',
        "[1]",
    ):
        other.write_text(text)
        assert last_report(folder.folder) == ours
    for checks in ([], [{"ok": False, "name": "x", "differences": []}], [1], None):
        said = _of_drill({"begun_at": NOW.isoformat(), "ok": False, "checks": checks})
        assert "failed (its report does not say why); run `truetonne db drill`" in said
    good = {"ok": True, "name": "tables", "differences": []}
    bad = {"ok": False, "name": "schema", "differences": ["is older", "and more"]}
    said = _of_drill({"begun_at": NOW.isoformat(), "ok": False, "checks": [good, bad]})
    assert "failed (schema: is older); run `truetonne db drill`" in said


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("u:secret@DB.example:3307/books", "db.example:3307/books"),
        ("u@db.example/books", "db.example:3306/books"),
        ("u@db.example/others", "db.example:3306/others"),
        ("u@/books?unix_socket=/run/a.sock", "/run/a.sock/books"),
    ],
)
def test_backups_of_several_servers_in_one_folder_are_told_apart(url: str, place: str) -> None:
    assert mariadb.source_of(make_url(f"mysql+pymysql://{url}")) == f"mariadb {place}"


def test_the_first_copies_by_a_clock_that_is_ahead_end_no_others(folder: Store) -> None:
    """Nor do those after a month in which the machine was off: the days before it are kept for as long again."""
    daily = [item(folder, Kind.FULL, NOW + day * DAY) for day in range(14)]
    wrong = NOW + 400 * DAY
    others = [item(folder, Kind.FULL, wrong), item(folder, Kind.BINLOG, wrong + DAY / 24)]
    assert expired(folder.items(), 14, wrong + 2 * DAY) == []
    # It was set right: what goes is what had gone without all that.
    for day in range(14, 16):
        item(folder, Kind.FULL, NOW + day * DAY)
    assert expired(folder.items(), 14, NOW + 15 * DAY) == [daily[0]]
    # It was right, and the machine off: 14 days later the copies from before are needed no more.
    assert expired([*daily, *others], 14, wrong + 14 * DAY) == list(reversed(daily))


def test_what_is_kept(folder: Store) -> None:
    """A full copy every tenth day, incrementals between, logs: with 14 days every moment of these comes back."""
    copies, logs, parent = [], [], None
    for day in range(40):
        at = NOW + day * DAY
        full = day % 10 == 0
        parent = item(folder, Kind.FULL if full else Kind.INCREMENTAL, at, None if full else parent)
        copies.append(parent)
        logs.append(item(folder, Kind.BINLOG, at + DAY / 2))
    today = NOW + 39.5 * DAY  # 14 days before is day 25.5: the chain of day 20 is needed
    gone = expire(folder, 14, today, dry_run=True)
    assert {one.id for one in gone} == {one.id for one in (*copies[:20], *logs[:20])}
    assert len(folder.items()) == 80
    expire(folder, 14, today)
    left = folder.items()
    assert {one.id for one in left} == {one.id for one in (*copies[20:], *logs[20:])}
    for one in left:
        if one.kind is not Kind.BINLOG:
            chain_of(left, one)  # nothing that is kept lacks a link
    assert gone.index(copies[19]) < gone.index(copies[10])  # what needs another goes first
    # Without the full copies nothing comes back: increments go by their age alone, the last first; logs stay.
    lone = [one for one in left if one.kind is not Kind.FULL]
    assert expired(lone, 14, today) == copies[25:20:-1]
    # Nobody took one for a year, but of another database: the last chain stays.
    item(folder, Kind.FULL, today + 364 * DAY, source="mariadb b:1/x")
    late = expire(folder, 14, today + 365 * DAY)
    assert {one.id for one in late} == {one.id for one in (*copies[20:30], *logs[20:30])}
    assert expired(folder.items(), 14, today + 3650 * DAY) == []


def test_deleting_waits_for_who_fetches_the_log(folder: Store) -> None:
    """Else the daily job would fail every other day, and take its copy again."""
    item(folder, Kind.FULL, NOW)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with folder.alone("binlogs", Kind.BINLOG):
            held.set()
            done.wait(0.5)

    other = threading.Thread(target=hold)
    other.start()
    assert held.wait(60)
    assert expire(folder, 14, NOW) == []
    done.set()
    other.join()


def test_nothing_is_deleted_while_somebody_restores(folder: Store) -> None:
    old = [item(folder, Kind.FULL, NOW + n * DAY) for n in range(3)]
    with folder.reading(), folder.reading():  # any number may
        assert expire(folder, 1, NOW + 30 * DAY, dry_run=True) == [old[1], old[0]]
        with pytest.raises(BeingRead, match="another process reads backups in it"):
            expire(folder, 1, NOW + 30 * DAY)
        assert folder.items() == old
    expire(folder, 1, NOW + 30 * DAY)
    assert folder.items() == old[2:]


def test_a_chain_without_its_full_copy_keeps_nothing_and_nothing_goes_for_it(
    folder: Store,
) -> None:
    whole, lost = item(folder, Kind.FULL, NOW), item(folder, Kind.FULL, NOW + 10 * DAY)
    parts = [item(folder, Kind.INCREMENTAL, NOW + n * DAY, lost) for n in (11, 12)]
    (folder.folder / lost.id / "copy.sealed").unlink()
    assert folder.sound()[0] == [whole]
    assert folder.readable()[0] == [whole, *parts]
    assert expire(folder, 14, NOW + 26.5 * DAY) == []
    later = item(folder, Kind.FULL, NOW + 27 * DAY)
    assert expire(folder, 14, NOW + 50 * DAY) == [parts[1], parts[0], whole]
    assert folder.readable()[0] == [later]


def test_the_first_error_of_a_program_is_said(tmp_path: Path) -> None:
    log = tmp_path / "said"
    log.write_text(
        "0 [Note] Starting\n0 [ERROR] The socket file path is too long (> 107): /x/s\n0 [ERROR] Aborting\n"
    )
    assert "is too long" in tools.failure("mariadbd", 1, log).message
    log.write_text("connected\n[00] FATAL ERROR: no right\nmariadb-backup: Error: cannot go on\n")
    assert tools.failure("mariadb-backup", 1, log).message.endswith("Error: cannot go on")
    log.write_text("1 Error: it cannot\n2 GRANT INSERT ON `truetonne`.`mirror_checks` TO a@b\n")
    assert tools.failure("mariadb-backup", 1, log).message.endswith("1 Error: it cannot")
    log.write_text(
        "Error: missing required privilege RELOAD on *.*\nError: missing required privilege PROCESS on *.*\n"
        "Current grants are:\n1.GRANT INSERT ON `truetonne`.`mirror_checks` TO a@b\n"
    )
    said = tools.failure("mariadb-backup", 1, log).message
    assert "the account lacks RELOAD on *.*, PROCESS on *.*; `truetonne db grants backup`" in said


def test_what_a_program_said_last_is_not_why_it_was_killed(tmp_path: Path) -> None:
    log = tmp_path / "said"
    for number, said in (
        (9, "was killed (SIGKILL): by a person, or"),
        (15, "by signal 15: working"),
    ):
        with pytest.raises(tools.ToolFailed) as failed:
            tools.run(["sh", "-c", f"echo working; kill -{number} $$"], log)
        assert failed.value.message.startswith("sh was ")
        assert said in failed.value.message
    said = tools.late("mariadbd", "end", 120, log).message
    assert said == "mariadbd did not end within 120 s: working"


def test_of_a_private_server_its_end_is_told_and_else_what_its_client_met(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("ready for connections\n")
    with subprocess.Popen(["sleep", "600"]) as process:
        with (
            pytest.raises(DependencyDown, match="the node is down"),
            _whose_end_is_told(process, log),
        ):
            raise DependencyDown("the node is down")
        with pytest.raises(tools.ToolFailed, match="mariadbd was killed"):  # noqa: SIM117
            with _whose_end_is_told(process, log):
                process.kill()
                raise DependencyDown("start the server or correct TRUETONNE_DATABASE_URL")


def test_a_pipe_for_which_there_is_no_room(tmp_path: Path) -> None:
    with pytest.raises(DependencyDown, match=r"cannot be written .* TMPDIR names the folder"):
        tools._pipe(tmp_path / "none" / "bin.000001")


def test_a_full_folder_for_temporary_files_is_not_called_the_place_of_a_restore(
    tmp_path: Path,
) -> None:
    """A write that finds a disk full names no file, and what it said of was the folder beside the place."""
    server = PrivateServer(tmp_path / "none" / "s", tmp_path / "none" / "log", "u", "p")
    with pytest.raises(DependencyDown, match=r"first\.sql: cannot be written .* TMPDIR names"):
        _start(server, tmp_path, {})


def test_a_full_folder_for_temporary_files_is_not_called_the_backup_folder(
    folder: Store,
) -> None:
    with (
        pytest.raises(DependencyDown, match=r"^/scratch/x: cannot be written .* TMPDIR"),
        folder.making(Kind.BINLOG, NOW),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/scratch/x")


# ------------------------------------------------------------------ off-site


def test_a_server_whose_socket_would_have_too_long_a_path_is_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mariadbd ended with a page of its log."""
    long = tmp_path / ("l" * 100)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    with (
        pytest.raises(
            BadInput, match=r"at most 107 bytes, and this one \d{3}; let TMPDIR name"
        ) as found,
        running(tmp_path, {}),
    ):
        raise AssertionError
    assert found.value.code == "temporary-folder"
    assert [*long.iterdir()] == []


def test_the_off_site_command(folder: Store, tmp_path: Path) -> None:
    one, two = item(folder, Kind.FULL, NOW), item(folder, Kind.FULL, NOW + DAY)
    (tmp_path / "far").mkdir()
    script = tmp_path / "copy it.sh"
    script.write_text(f'#!/bin/sh\n[ -f "$2/{MANIFEST}" ] || exit 9\ncp -r "$2" "$1"\n')
    script.chmod(0o700)
    command = OffSite(f"'{script}' '{tmp_path / 'far'}'", 60)
    assert send_away(folder, command) == 2
    assert send_away(folder, command) == 0  # each once
    assert [each.id for each in store(tmp_path / "far").items()] == [one.id, two.id]
    assert folder.items() == [one, two]


@few(2)
@pytest.mark.parametrize(
    ("command", "patience_s", "said"),
    [
        ("sh -c 'echo no route to host >&2; exit 7' x", 60, "ended with code 7: no route to host"),
        ("false", 60, "ended with code 1: it said nothing"),
        ("sh -c 'kill -9 $$' x", 60, "sh was ended by signal 9: it said nothing"),
        ("/nowhere/rclone copy", 60, "cannot be run"),
        ("sh -c 'sleep 600 & wait' x", 1, "took longer than 1 s and was ended"),
    ],
)
def test_an_off_site_command_that_fails(
    folder: Store, command: str, patience_s: int, said: str
) -> None:
    one = item(folder, Kind.FULL, NOW)
    begun = time.monotonic()
    with pytest.raises(OffSiteFailed, match=said) as failed:
        send_away(folder, OffSite(command, patience_s))
    assert time.monotonic() - begun < 60  # what it began was ended, too
    assert f"backup {one.id} is kept here, but not off-site" in failed.value.message
    assert send_away(folder, OffSite("true", 60)) == 1  # tried again


@pytest.mark.parametrize(("apart", "ends"), [("setsid", True), ("setsid", False), ("", True)])
def test_an_off_site_command_that_leaves_something_running(
    folder: Store, tmp_path: Path, apart: str, ends: bool
) -> None:
    """Its output was read to the end, which came with the end of that: a command that had done its work had failed."""
    item(folder, Kind.FULL, NOW)
    told = tmp_path / "pid"
    script = f'{apart} sleep 600 & echo $! > "{told}"{"" if ends else "; sleep 600"}'
    command = OffSite(f"sh -c '{script}' x", 60 if ends else 1)
    begun = time.monotonic()
    try:
        if ends:
            assert send_away(folder, command) == 1
        else:
            with pytest.raises(OffSiteFailed, match="took longer than 1 s"):
                send_away(folder, command)
        assert time.monotonic() - begun < 60
    finally:
        os.kill(int(told.read_text()), signal.SIGKILL)  # it runs still


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_off_site_command_ends_with_whoever_runs_it(
    folder: Store, tmp_path: Path, number: int
) -> None:
    """It went on, or what a script had started; the next run began it again beside it, for the same copy."""
    item(folder, Kind.FULL, NOW)
    told = tmp_path / "pids"
    script = f'sleep 600 & echo $$ $! > "{told}.new"; mv "{told}.new" "{told}"; wait'
    command = OffSite(f"sh -c '{script}' x", 600)
    running = get_context("fork").Process(target=send_away, args=(folder, command))
    running.start()
    until(told.exists)
    assert running.pid is not None
    os.kill(running.pid, number)
    running.join(60)
    assert running.exitcode == (-number if number == signal.SIGKILL else 1)
    until(lambda: not any(runs(int(pid)) for pid in told.read_text().split()))
    assert send_away(folder, OffSite("true", 60)) == 1


def test_an_off_site_command_and_an_item_that_goes(folder: Store) -> None:
    """A piece that another process has made part of a longer one is no failure."""
    one, two = item(folder, Kind.BINLOG, NOW), item(folder, Kind.FULL, NOW + DAY)
    gone = f"sh -c 'case $0 in *{one.id}) rm -r \"$0\"; exit 1;; esac'"
    assert send_away(folder, OffSite(gone, 60)) == 1
    assert folder.items() == [two]
    with folder.alone("off-site"):
        item(folder, Kind.FULL, NOW + 2 * DAY)
        assert send_away(folder, OffSite("false", 20)) == 0  # another is at it


def test_an_off_site_command_that_cannot_be_read(folder: Store) -> None:
    with pytest.raises(BadInput, match="backup_hook: cannot be read"):
        send_away(folder, OffSite("cp 'x", 5))
    item(folder, Kind.FULL, NOW)
    for blank in (" ", "'' -x"):  # the backup's folder would be run
        with pytest.raises(BadInput, match="backup_hook: names no program"):
            send_away(folder, OffSite(blank, 5))


# ----------------------------------------------------------------------- logs


def event(kind: int, body: bytes, end: int, time_s: int = 5, server: int = 1) -> bytes:
    return struct.pack("<IBIIIH", time_s, kind, server, 19 + len(body), end, 0) + body


def gtid_event(number: int, end: int, time_s: int = 5, domain: int = 0) -> bytes:
    return event(162, struct.pack("<QIB", number, domain, 0) + bytes(6), end, time_s)


FORMAT = event(15, bytes(20), 0)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("ALTER USER a IDENTIFIED BY 'pw'", "ALTER USER a IDENTIFIED ..."),
        ("SET PASSWORD FOR a = 'pw'", "SET PASSWORD ..."),
        ("CREATE SERVER s OPTIONS (PASSWORD 'pw')", "CREATE SERVER s OPTIONS (PASSWORD ..."),
        ("CREATE SERVER s OPTIONS (PASSWORD /*x*/ 'pw')", "CREATE SERVER s OPTIONS (PASSWORD ..."),
        ("ALTER SERVER s OPTIONS (PASSWORD -- new\n'pw')", "ALTER SERVER s OPTIONS (PASSWORD ..."),
        ("CREATE TABLE t CONNECTION='mysql://u:pw@h/d'", "CREATE TABLE t CONNECTION ..."),
        ("CREATE TABLE t CONNECTION = # old\n'mysql://u:pw@h/d'", "CREATE TABLE t CONNECTION ..."),
        ("CREATE TABLE t (`password` INT, connection INT)",) * 2,
        ("DROP TABLE t /* generated by server */",) * 2,
    ],
)
def test_no_password_of_a_statement_is_shown(written: str, shown: str) -> None:
    """With a comment before it one was shown."""
    for variables, name in ((b"", b""), (b"\1\2\3", b"books")):
        sizes = struct.pack("<IIBHH", 1, 0, len(name), 0, len(variables))
        body = sizes + variables + name + b"\0" + written.encode() + bytes(4)
        assert Event(2, 5, 1, event(2, body, 0)).statement == shown


def test_a_log_is_cut_at_a_transaction() -> None:
    body = [
        gtid_event(1, 138, 5),
        event(16, bytes(8), 165),
        gtid_event(2, 203, 6),
        event(16, bytes(8), 230),
        gtid_event(3, 268, 7, domain=4),
    ]
    log = MAGIC + FORMAT + b"".join(body)
    chunks = [log[at : at + 3] for at in range(0, len(log), 3)]
    assert [len(found.raw) for found in events(chunks)] == [39, 38, 27, 38, 27, 38]
    place = Position("bin.000009", 100)
    assert b"".join(between([log], place, None)) == log
    assert b"".join(between(chunks, place, 165)) == MAGIC + FORMAT + b"".join(body[:2])
    with pytest.raises(BackupDamaged, match="was sent up to 268, not to 300"):
        list(between([log], place, 300))
    with pytest.raises(BackupDamaged, match="was sent up to 203, not to 170"):
        list(between([log], place, 170))
    with pytest.raises(BackupDamaged, match="stands at 139"):
        list(between([log], Position("bin.000009", 101), None))

    def upto(limit: Limit) -> tuple[int, str, bool]:
        reached = Reached()
        found = b"".join(joined([chunks, [log]], limit, reached))
        return len(found), reached.gtid, reached.complete

    whole = len(log) * 2 - 4
    assert upto(Limit()) == (whole, "0-1-2,4-1-3", True)
    assert upto(Limit(before=Gtid(0, 7, 2))) == (4 + 39 + 65, "0-1-1", False)
    assert upto(Limit(before=Gtid(4, 1, 3))) == (4 + 39 + 130, "0-1-2", False)
    assert upto(Limit(until=datetime.fromtimestamp(6, UTC))) == (4 + 39 + 65, "0-1-1", False)


def test_a_log_that_lies_encrypted_is_sent_plain_with_the_event_that_says_so_repeated() -> None:
    encrypted, first, second = bytes(17), gtid_event(1, 138), gtid_event(2, 176)
    place, repeated = Position("bin.000009", 100), event(164, encrypted, 0)
    assert b"".join(between([MAGIC + FORMAT + repeated + first + second], place, 138)) == (
        MAGIC + FORMAT + first
    )
    # From its beginning it stands where it says.
    begin = MAGIC + event(15, bytes(20), 43) + event(164, encrypted, 79) + gtid_event(1, 117)
    assert b"".join(between([begin], Position("bin.000009", 4), None)) == begin
    with pytest.raises(BackupDamaged, match="stands at 79"):
        list(
            between(
                [begin.replace(event(164, encrypted, 79), event(164, encrypted, 78))],
                Position("bin.000009", 4),
                None,
            )
        )


@pytest.mark.parametrize(
    "log", [b"", b"\xfebi", b"SQLite format 3", MAGIC + FORMAT[:-1], MAGIC + bytes(40)]
)
def test_what_is_no_log(log: bytes) -> None:
    with pytest.raises(BackupDamaged):
        list(events([log]))


@pytest.mark.parametrize("text", ["", "0-1", "0-1-x", "0-1-2,1-1-3", "-1-1-1", "٠-1-2", "1" * 500])
def test_what_is_no_gtid(text: str) -> None:
    with pytest.raises(BadInput, match="no GTID"):
        Gtid.parse(text)


@pytest.mark.parametrize(
    ("name", "package"), [("mariadb-backup", "mariadb-backup"), ("mariadbd", "mariadb-server")]
)
def test_a_program_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, package: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(tools, "_FOLDERS", str(tmp_path))
    with pytest.raises(
        DependencyDown, match=f"{name} is not installed .Debian's package {package}"
    ):
        tools.program(name)


def test_what_fetches_the_log_is_asked_for_before_a_copy_is_begun(
    folder: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Else there would be copies, and no moment after them to go back to."""
    for name in ("mariadb-backup", "mariabackup"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(tools, "_FOLDERS", str(tmp_path))
    with pytest.raises(DependencyDown, match="mariadb-binlog is not installed"):
        mariadb.take(
            Database("mysql+pymysql://u@127.0.0.1:9/books"), folder, Kind.FULL, None, utc_now()
        )


def test_values_in_an_option_file() -> None:
    url = make_url("mysql+pymysql://u:a%22b%5Cc%23d%20e@h:7/x?ssl_ca=/ca&ssl_verify_identity=true")
    with tools.login(url) as entry:
        text = Path(f"/proc/self/fd/{entry.descriptor}").read_text()
    assert text.splitlines() == [
        "[client]",
        'user="u"',
        'password="a\\"b\\\\c#d e"',
        'host="h"',
        'port="7"',
        'protocol="tcp"',
        'ssl-ca="/ca"',
        "loose-ssl-verify-server-cert=1",
    ]
    broken = make_url("mysql+pymysql://u:a%0Ab@h/x")
    with pytest.raises(BadInput, match="line break"), tools.login(broken):
        pass


def test_tables_that_differ() -> None:
    one = {"a": TableCheck(1, "x"), "b": TableCheck(2, "y"), "c": TableCheck(3, "z")}
    two = {"a": TableCheck(1, "x"), "b": TableCheck(2, "w"), "d": TableCheck(3, "z")}
    assert differences(one, one) == []
    assert differences(one, two) == [
        "table b has other rows than it should have",
        "table c is missing",
        "table d is new",
    ]
    assert json.dumps(differences(one, {**one, "a": TableCheck(2, "x")})).count("2 rows") == 1
    unseen = differences(one, {**one, "my_park_archive.device_data_2025": TableCheck(1, "x")})
    assert len(unseen) == 1 and r"GRANT SELECT ON `my\_park\_archive`.*" in unseen[0]
