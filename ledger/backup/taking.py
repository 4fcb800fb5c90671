"""Taking backups as commands and jobs do: the right kind, the log with it, old ones deleted, copies sent away."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

from ledger.backup import mariadb, sqlite, tools
from ledger.backup.manifest import Kind, Manifest
from ledger.backup.mariadb import NeedsFull
from ledger.backup.planning import chain_of, follows, of_source, walk
from ledger.backup.store import BeingRead, Store
from ledger.backup.stream import BackupDamaged, OtherFormat
from ledger.db import Database
from ledger.errors import BadInput, DependencyDown, ProblemFound
from ledger.files import temporary_folder

COPIES = (Kind.FULL, Kind.INCREMENTAL)
_SENT = "sent"
"""A file in an item's folder that says that its off-site copy was made."""
_SAID_SHOWN = 300
_WAIT_S = 60.0
"""How long who needs the binary logs waits for who is at them: some seconds, as a rule."""


class OffSiteFailed(ProblemFound):
    """The backup is kept here, but its copy elsewhere was not made."""

    default_code = "off-site-failed"


@dataclass(frozen=True)
class OffSite:
    """The command that copies an item elsewhere: it is run with the item's folder as its last word."""

    command: str
    seconds_max: int

    def words(self) -> list[str]:
        """Return the words of the command line.

        Raises
        ------
        BadInput
            If it cannot be read, or names no program.
        """
        try:
            found = shlex.split(self.command)
        except ValueError as error:
            raise BadInput(f"backup_hook: cannot be read ({error}); close its quotes") from error
        if not found or not found[0]:  # else a backup's folder would be the program
            raise BadInput("backup_hook: names no program; write the command, or leave it out")
        return found


def source_of(db: Database) -> str:
    """Return what tells a database from others in a backup folder."""
    return sqlite.source_of(db.url) if db.dialect == "sqlite" else mariadb.source_of(db.url)


def take(db: Database, store: Store, kind: Kind, now: datetime) -> list[Manifest]:
    """Take a backup; return what was kept, the copy first.

    With a copy of MariaDB comes the binary log that leads from the copy before it to this one, so that a moment
    after it can be reached without it.

    Raises
    ------
    NeedsFull
        If an incremental one has nothing to build on.
    BadInput
        If an incremental one is asked for of an SQLite file.
    DependencyDown
        If the database does not answer, a program is missing or fails, or another process takes one.
    """
    if kind is Kind.BINLOG:
        return follow(db, store)
    _refuse_parts_of_sqlite(db, kind)
    with store.alone("copies", *COPIES):
        if db.dialect == "sqlite":
            return [sqlite.take(db, store, now)]
        parent = _newest(_kept(db, store)[0], store) if kind is Kind.INCREMENTAL else None
        copy = mariadb.again_when_moved(lambda: mariadb.take(db, store, kind, parent, now))
    with store.alone("binlogs", Kind.BINLOG, wait_s=_WAIT_S):
        return [copy, *_join(db, store, copy), *_follow(db, store)]


def require_base(db: Database, store: Store | None, kind: Kind) -> None:
    """Refuse a backup that would have nothing to build on, as ``take`` does; nothing is written.

    Parameters
    ----------
    store
        None where nothing is kept yet.

    Raises
    ------
    NeedsFull, BadInput
        As ``take``.
    """
    _refuse_parts_of_sqlite(db, kind)
    if db.dialect == "sqlite":
        sqlite.file_of(db)
    elif kind is not Kind.FULL:
        _newest(_kept(db, store)[0], store)


def follow(db: Database, store: Store) -> list[Manifest]:
    """Fetch what the binary log has grown by since the last time; return what was kept.

    Raises
    ------
    NeedsFull
        If there is no copy yet, or the server's log does not go on from where it was left.
    BadInput
        If the database is an SQLite file.
    DependencyDown
        As ``take``.
    """
    _refuse_parts_of_sqlite(db, Kind.BINLOG)
    with store.alone("binlogs", Kind.BINLOG, wait_s=_WAIT_S):
        return _follow(db, store)


def _refuse_parts_of_sqlite(db: Database, kind: Kind) -> None:
    if db.dialect != "sqlite" or kind is Kind.FULL:
        return
    if kind is Kind.BINLOG:
        raise BadInput("an SQLite file has no binary log; run `truetonne db backup full`")
    raise BadInput(
        "an SQLite file is copied whole each time; run `truetonne db backup full`",
        code="backup-sqlite-whole",
    )


def _follow(db: Database, store: Store) -> list[Manifest]:
    copies, logs = _kept(db, store)
    newest = _newest(copies, store)
    start = newest.stop
    assert start is not None
    found = walk(logs, newest)
    if found:  # as each time but the first
        # A folder may have thousands, and they have just been read.
        last = max(newest, logs[-1], key=lambda item: item.turn)
        return _some(mariadb.follow(db, store, found[-1].stop or start, last=last))
    bridge = _bridge(db, store, newest, [*copies[:-1], *logs])
    return [*bridge, *_some(mariadb.follow(db, store, start))]


def _join(db: Database, store: Store, copy: Manifest) -> list[Manifest]:
    """Fetch the binary log from the copy before to a new one in one piece, and delete the small ones that it makes up.

    Else a folder would have a piece for every ten seconds of two weeks. The copy before may be damaged: when it is
    brought from off-site, the log must go on from it.
    """
    logs = _kept(db, store)[1]
    copies = of_source(store.signed(), copy.source, *COPIES)
    before = [item for item in copies if item.turn < copy.turn]
    if not before or before[-1].stop is None or copy.stop is None:
        return []
    first, last = before[-1].stop, copy.stop
    if first.order > last.order:
        return []
    try:
        joined = _some(mariadb.follow(db, store, first, copy))
    except NeedsFull:  # the server has it no more: what was fetched of it stays in pieces
        return []
    # Where somebody reads them, they stay beside it, until they expire.
    with suppress(BeingRead), store.deleting():
        for item in logs:
            inside = item.start and item.stop and item.start.order >= first.order
            if inside and item.stop and item.stop.order <= last.order and follows(item, before[-1]):
                store.delete(item)
    return joined


def _newest(copies: Sequence[Manifest], store: Store | None) -> Manifest:
    """Return the copy that an incremental one, or the binary log, goes on from."""
    if copies:
        return copies[-1]
    wrong = [] if store is None else store.sound()[1]
    why = f": {wrong[0].message}, or" if wrong else ";"  # as where the key file is another one
    raise NeedsFull(f"there is no backup to build on{why} run `truetonne db backup full`")


def _kept(db: Database, store: Store | None) -> tuple[list[Manifest], list[Manifest]]:
    """Return the sound copies and binary logs of a database, the oldest first."""
    sound = [] if store is None else store.sound()[0]
    source = source_of(db)
    return of_source(sound, source, *COPIES), of_source(sound, source, Kind.BINLOG)


def _bridge(
    db: Database, store: Store, copy: Manifest, before: Sequence[Manifest]
) -> list[Manifest]:
    """Fetch what leads from what was kept before to the newest copy's moment."""
    stops = [item.stop for item in before if item.stop]
    last = max(stops, key=lambda stop: stop.order, default=None)
    if last is None or copy.stop is None or last.order >= copy.stop.order:
        return []
    try:
        return _some(mariadb.follow(db, store, last, copy))
    except NeedsFull:  # the server was restored or reset since: nothing leads there
        return []


def _some(item: Manifest | None) -> list[Manifest]:
    return [] if item is None else [item]


def expired(items: Sequence[Manifest], keep_days: int, now: datetime) -> list[Manifest]:
    """Return what no moment of the last days needs: those that need others first.

    Kept is every chain (a full copy and what builds on it) that began within these days, the last one that began
    before, and every binary log since that one's full copy.
    """
    gone: list[Manifest] = []
    for source in sorted({item.source for item in items}):
        cutoff = _cutoff(of_source(items, source, *Kind), timedelta(days=keep_days), now)
        copies = of_source(items, source, *COPIES)
        roots = {item.id: _root(items, item) for item in copies}
        # One without its full copy brings nothing back: it keeps nothing, and no other goes for it.
        begun = sorted(
            (root for root in roots.values() if root.kind is Kind.FULL), key=lambda item: item.turn
        )
        if begun:
            first = ([root for root in begun if root.at <= cutoff] or begun[:1])[-1]
            useless = [item for item in copies if roots[item.id].turn < first.turn]
            # What leads to a copy's moment is fetched after it, and is of that moment.
            logs = of_source(items, source, Kind.BINLOG)
            useless += [item for item in logs if item.turn < first.turn or item.at == first.at]
        else:
            useless = [item for item in copies if roots[item.id].at < cutoff]
        gone += sorted(useless, key=lambda item: item.turn, reverse=True)
    return gone


def _cutoff(items: Sequence[Manifest], kept: timedelta, now: datetime) -> datetime:
    """Return the moment from which on every one is to be brought back.

    After a silence of longer than that, what was before it is kept for as long again: by a clock that is ahead, the
    first copy would else be the end of all others but one.
    """
    known = [
        item for item in items if item.at <= now
    ]  # the others are of a clock that was set back
    for after, before in pairwise(known[::-1]):
        if now - after.at >= kept:
            break
        if after.at - before.at > kept:
            return before.at - kept
    return now - kept


def _root(items: Sequence[Manifest], copy: Manifest) -> Manifest:
    try:
        return chain_of(items, copy)[0]
    except BackupDamaged:  # what it needs is gone: it stands for itself
        return copy


def expire(store: Store, keep_days: int, now: datetime, *, dry_run: bool = False) -> list[Manifest]:
    """Delete what is kept no longer, and return it.

    Raises
    ------
    DependencyDown
        If a backup is being taken, or somebody reads what is in the folder.
    OtherFormat
        If another version wrote an item of it: what that one needs cannot be told, and nothing is deleted.
    """
    with (
        store.alone("copies", *COPIES),
        store.alone("binlogs", Kind.BINLOG, wait_s=_WAIT_S),
    ):
        found, unread = store.readable()
        for error in unread:
            if isinstance(error, OtherFormat):
                raise OtherFormat(f"{error.message}; nothing is deleted, as it may need the others")
        gone = expired(found, keep_days, now)
        if gone and not dry_run:
            with store.deleting():
                for item in gone:
                    store.delete(item)
    return gone


def send_away(store: Store, off_site: OffSite) -> int:
    """Run the off-site command for every item that it was not yet run for, the oldest first; return how many.

    Where another process or job is at it, that one goes on.

    Raises
    ------
    OffSiteFailed
        If it fails or takes too long; the items that are left are tried again the next time.
    """
    words = off_site.words()
    try:
        with store.alone("off-site"):
            return sum(_sent(store.folder / name, words, off_site) for name in store.names())
    except DependencyDown:
        return 0


def _sent(folder: Path, words: Sequence[str], off_site: OffSite) -> bool:
    if (folder / _SENT).exists():
        return False
    try:
        _run_hook([*words, str(folder.absolute())], off_site.seconds_max, folder.name)
        (folder / _SENT).touch()
    except (OffSiteFailed, FileNotFoundError):
        if folder.exists():
            raise
        return False  # a piece of the log that became part of a longer one meanwhile
    return True


def _run_hook(words: list[str], seconds_max: int, name: str) -> None:
    where = f"backup {name} is kept here, but not off-site"
    with _watch() as told, tempfile.TemporaryFile(dir=temporary_folder()) as output:
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # Before it begins: we may be killed at any moment. Safe with threads: it takes no lock.
                preexec_fn=lambda: os.write(told, b"%d\n" % os.getpid()),  # noqa: PLW1509
            )
        except OSError as error:
            raise OffSiteFailed(
                f"{where}: {words[0]} cannot be run ({error.strerror}); correct backup_hook"
            ) from error
        try:
            # For its own end: what it left running, as ssh does, may keep a pipe open for hours.
            process.wait(seconds_max)
        except BaseException as error:  # an interruption too
            with suppress(ProcessLookupError):  # it ended just then
                os.killpg(process.pid, signal.SIGKILL)  # with all that it started
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise OffSiteFailed(
                f"{where}: {Path(words[0]).name} took longer than {seconds_max} s and was ended; "
                "see to it, or raise backup_hook_seconds"
            ) from None
        output.seek(0)
        said = output.read()
    if process.returncode != 0:
        lines = said.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise OffSiteFailed(
            f"{where}: {Path(words[0]).name} {tools.how_ended(process.returncode)}: {lines[-1][:_SAID_SHOWN]}"
        )


@contextmanager
def _watch() -> Iterator[int]:
    """Yield a descriptor that is told a group of processes, which is killed if we are.

    The next run begins again, and two would write the same copy. What Linux tells a child whose parent died does not
    reach what that child has started, so a shell waits for our end.
    """
    with subprocess.Popen(
        ["/bin/sh", "-c", 'read -r group; read -r _; kill -s KILL -- "-$group"'],
        stdin=subprocess.PIPE,  # it ends with us
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # it hears no Ctrl-C
    ) as watch:
        assert watch.stdin is not None
        yield watch.stdin.fileno()
        watch.kill()  # else, as when we are interrupted, its stdin is closed, and it kills what is left
