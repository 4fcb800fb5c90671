"""The jobs that take backups, delete old ones, copy them off-site, and prove that they can be restored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime

from ledger.backup.drill import Finding, drill
from ledger.backup.folder import FolderFull
from ledger.backup.manifest import Kind, Manifest
from ledger.backup.mariadb import NeedsFull
from ledger.backup.overview import AGE_MAX, store_of
from ledger.backup.planning import Wanted, of_source, plan
from ledger.backup.store import BeingRead, Store, item_names
from ledger.backup.stream import OtherFormat
from ledger.backup.taking import COPIES, OffSite, expire, follow, send_away, source_of, take
from ledger.db import Database
from ledger.errors import BadInput, BooksDiffer, NotFound
from ledger.jobs.work import Tools
from ledger.reconcile import reconcile

_SHOWN = 3


def full(tools: Tools) -> str | None:
    """Take a full backup, and delete what is kept no longer.

    Raises
    ------
    TruetonneError
        If it cannot be taken, or its off-site copy was not made.
    """
    return _take(tools, Kind.FULL)


def incremental(tools: Tools) -> str | None:
    """Take what changed since the last copy: of MariaDB incrementally, of SQLite a full copy.

    Raises
    ------
    TruetonneError
        As ``full``.
    """
    return _take(tools, Kind.INCREMENTAL)


def binlogs(tools: Tools) -> str | None:
    """Fetch what MariaDB's binary log has grown by; returns None, else the history had a line every ten seconds.

    Raises
    ------
    TruetonneError
        If the server's log does not go on from where it was left, or the off-site copy was not made.
    """
    with _opened(tools) as (db, store):
        if db.dialect == "sqlite":
            return None
        if not _copies(db, store):
            return None  # the first full backup begins it
        follow(db, store)
        _send_away(tools, store)
    return None


def rehearse(tools: Tools) -> str | None:
    """Restore the newest backup into a place of its own, and compare it with what it should be and with the chain.

    Raises
    ------
    BooksDiffer
        If something differs, or an item of the folder is damaged.
    TruetonneError
        If it cannot be restored.
    """
    chain = tools.chain

    def compare(db: Database) -> Finding:
        try:
            report = reconcile(db, chain.client, chain.deployment)
        except NotFound:
            return Finding("reconcile", skipped="nothing is mirrored yet")
        wrong = [f"{rule.name}: {text}" for rule in report.rules for text in rule.differences]
        return Finding(
            "reconcile", tuple(wrong), said=f"{len(report.rules)} rules at {report.block}"
        )

    with _opened(tools) as (db, store), store.reading():
        sound, damaged = store.sound()
        items = of_source(sound, source_of(db), *Kind)
        if not of_source(items, source_of(db), *COPIES):
            if damaged:
                raise damaged[0]
            return None
        found = drill(
            store, plan(items, Wanted()), compare, None, [error.message for error in damaged]
        )
    wrong = [text for item in found.findings for text in item.differences]
    if wrong:
        raise BooksDiffer(
            f"the drill of {found.plan.copy.id} failed: {'; '.join(wrong[:_SHOWN])}; see `truetonne db drill`"
        )
    left_out = [f"{item.name}: {item.skipped}" for item in found.findings if item.skipped]
    said = f"; not looked at: {'; '.join(left_out)}" if left_out else ""
    return f"restored {found.plan.copy.id} in {found.seconds_total:.0f} s, nothing differs{said}"


def _take(tools: Tools, kind: Kind) -> str:
    with _opened(tools) as (db, store):
        others = "" if item_names(store.folder) else _where_others_are(tools)
        gone: Sequence[Manifest] = ()
        try:
            kept = _kept(db, store, kind, tools)
        except FolderFull:
            # What is old by now may be all that lacks: it was deleted after a copy alone, and none was made any more.
            gone = _expire(tools, store)
            if not gone:
                raise
            kept = _kept(db, store, kind, tools)
        gone = [*gone, *_expire(tools, store)]
        _send_away(tools, store)
    return _said(kept) + (f"; deleted {len(gone)} old ones" if gone else "") + others


def _where_others_are(tools: Tools) -> str:
    """Return what to ask about an empty folder where backups were taken before: the first one makes the key."""
    made = datetime.fromtimestamp(tools.settings.backup_key_file.stat().st_mtime, UTC)
    if tools.now() - made <= AGE_MAX:
        return ""
    return (
        f"; no other is in {tools.settings.backup_folder}, and the key is of {made:%Y-%m-%d}: is the disk of the "
        "backups mounted there?"
    )


def _expire(tools: Tools, store: Store) -> Sequence[Manifest]:
    """Delete what is old, and return it; the next run does where that cannot be done now.

    What another version wrote, which keeps all of it, is an alarm.
    """
    with suppress(BeingRead, OtherFormat):
        return expire(store, tools.settings.backup_keep_days, tools.now())
    return ()


def _kept(db: Database, store: Store, kind: Kind, tools: Tools) -> Sequence[Manifest]:
    if kind is Kind.INCREMENTAL and db.dialect != "sqlite":
        try:
            return take(db, store, kind, tools.now())
        except NeedsFull:  # the first one, or the server was restored
            pass
    return take(db, store, Kind.FULL, tools.now())


def _send_away(tools: Tools, store: Store) -> None:
    settings = tools.settings
    if settings.backup_hook:
        send_away(store, OffSite(settings.backup_hook, settings.backup_hook_seconds))


def _copies(db: Database, store: Store) -> list[Manifest]:
    sound, _ = store.sound()
    return of_source(sound, source_of(db), *COPIES)


def _said(kept: Sequence[Manifest]) -> str:
    size = sum(item.size for item in kept)
    return f"kept {', '.join(item.id for item in kept)} ({size} bytes)"


@contextmanager
def _opened(tools: Tools) -> Iterator[tuple[Database, Store]]:
    settings = tools.settings
    if settings.backup_folder is None:
        raise BadInput("backup_folder is not set")
    store = store_of(settings, make_key=True)
    with closing(Database(settings.backup_url, setting=settings.variable_of("backup_url"))) as db:
        yield db, store
