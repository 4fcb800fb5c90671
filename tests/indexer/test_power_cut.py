"""What a power cut takes of a mirror that catches up is read again from the chain.

A power cut is played with SQLite's log: the file ends where the disk had come to, and its index, which lives in
memory, is gone.
"""

import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, make_url
from sqlalchemy.engine import Engine

from indexer import Indexer, TickReport
from ledger.db import Database, log_sync
from ledger.db.log_sync import LogSync
from ledger.errors import DependencyDown
from tests.indexer.conftest import DEPTH
from tests.support.ahead import small
from tests.support.chain import TestChain
from tests.support.forms import long, times
from tests.support.mirror import Dump, dump, rows

NORMAL, FULL = 1, 2


def _busy(chain: TestChain) -> None:
    chain.deposit("market", 90_000)
    for day in range(3):
        batch = chain.issue(1000, 1 + day)
        chain.transfer("owner", "buyer", batch, 100)
        chain.retire("buyer", batch, 10 + day)
        chain.retire("spare", batch, 1, must=False)


@contextmanager
def _levels() -> Iterator[list[int]]:
    """Note how far each unit of work that may write waits for the disk, by the connection's own word."""
    found: list[int] = []

    def ends(connection: Connection) -> None:
        if connection.exec_driver_sql("PRAGMA query_only").scalar_one() == 0:
            found.append(connection.exec_driver_sql("PRAGMA synchronous").scalar_one())

    event.listen(Engine, "commit", ends)
    try:
        yield found
    finally:
        event.remove(Engine, "commit", ends)


def _cut(file: Path, to: Path, length: int) -> Database:
    """Return the database as it is found when so much of its log had come to the disk."""
    for name in (f"{to}-shm", f"{to}-wal", f"{to}"):
        Path(name).unlink(missing_ok=True)
    shutil.copyfile(file, to)
    Path(f"{to}-wal").write_bytes(Path(f"{file}-wal").read_bytes()[:length])
    return Database(f"sqlite:///{to}")


@long
def test_a_power_cut_takes_the_newest_ranges_and_they_are_read_again(
    chain: TestChain,
    sqlite_db: Database,
    fresh_dump: Callable[..., Dump],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small(monkeypatch.setattr)
    _busy(chain)
    file = Path(sqlite_db.url.database or "")
    ends: list[tuple[int, int]] = []

    def note(report: TickReport) -> None:
        ends.append((report.tip, Path(f"{file}-wal").stat().st_size))

    Indexer(sqlite_db, chain.client, chain.deployment, DEPTH).run_until("head", note)
    assert len(ends) > 4 and all(one[1] < other[1] for one, other in pairwise(ends))
    whole = fresh_dump()
    assert dump(sqlite_db) == whole
    for place in (len(ends) // 2, 0, len(ends) - 2)[: times(1, 3)]:
        tip, end = ends[place]
        for length in (end, ends[place + 1][1] - 1):  # after a commit, and within the next
            with closing(_cut(file, tmp_path / "cut.db", length)) as cut:
                assert rows(cut, "chain_cursor", "block_number") == [(tip,)]
                Indexer(cut, chain.client, chain.deployment, DEPTH).run_until("head")
                assert dump(cut) == whole


@long
def test_only_ranges_that_others_follow_are_spared_the_wait_for_the_disk(
    chain: TestChain, sqlite_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(monkeypatch.setattr)
    mirror = Indexer(sqlite_db, chain.client, chain.deployment, DEPTH)
    _busy(chain)
    mirror.tick()  # begins the mirror, and writes the first range
    with _levels() as levels:
        mirror.run_until("head")
    assert len(levels) > 2 and set(levels[:-1]) == {NORMAL} and levels[-1] == FULL
    chain.issue(1000, 9)
    with _levels() as levels:
        mirror.run_until("head")
    assert levels == [FULL], "at the head nothing follows"
    chain.reorganise(1)
    with _levels() as levels:
        mirror.tick()
    assert levels == [FULL], "what is taken back may have been acted upon"


@long
def test_the_disk_takes_the_log_while_further_ranges_are_written(
    chain: TestChain,
    sqlite_db: Database,
    fresh_dump: Callable[..., Dump],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the commit that copies it into the file waits for all of it."""
    small(monkeypatch.setattr)
    _busy(chain)
    taken: list[tuple[int, int]] = []

    def take(descriptor: int) -> None:
        taken.append((os.fstat(descriptor).st_ino, threading.get_ident()))
        raise OSError(errno.EBADF, "a system that syncs no reader")

    monkeypatch.setattr(log_sync, "_to_disk", take)
    mirror = Indexer(sqlite_db, chain.client, chain.deployment, DEPTH)
    mirror.run_until("head")
    log = os.stat(f"{sqlite_db.url.database}-wal").st_ino
    assert taken and {inode for inode, _ in taken} == {log}
    assert threading.get_ident() not in {thread for _, thread in taken}
    assert dump(sqlite_db) == fresh_dump()
    assert mirror._log_sync._thread is not None
    mirror._log_sync._thread.join(60)
    taken.clear()
    chain.issue(1000, 9)
    mirror.run_until("head")
    assert taken == [], "at the head nothing follows"


def test_what_the_disk_did_not_take_is_said(
    chain: TestChain, sqlite_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite may never hear of it: an error is told once to a descriptor that is opened after it."""
    small(monkeypatch.setattr)
    _busy(chain)

    def refuse(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(log_sync, "_to_disk", refuse)
    with pytest.raises(DependencyDown, match=r"-wal could not be written .*\(Input/output error\)"):
        Indexer(sqlite_db, chain.client, chain.deployment, DEPTH).run_until("head")


def test_a_log_is_taken_by_the_disk_once_at_a_time(
    sqlite_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite_db.ping()
    goes_on, taken = threading.Event(), []

    def slow(descriptor: int) -> None:
        taken.append(descriptor)
        goes_on.wait(60)

    monkeypatch.setattr(log_sync, "_to_disk", slow)
    sync = LogSync(sqlite_db.url)
    for _ in range(3):
        sync.begin()
    goes_on.set()
    assert sync._thread is not None
    sync._thread.join(60)
    assert len(taken) == 1
    sync.begin()
    sync._thread.join(60)
    assert len(taken) == 2


def test_a_server_has_no_log_of_ours() -> None:
    sync = LogSync(make_url("mysql+pymysql://a:b@127.0.0.1/books"))
    sync.begin()
    assert sync._thread is None
