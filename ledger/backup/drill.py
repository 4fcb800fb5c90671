"""The drill: the newest backup put together in a place of its own, and everything in it compared.

What must be in it was noted when the backup was taken (rows and checksum of every table, at the backup's moment);
then the binary logs since are applied, and the ledger compares the restored books with the chain.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ledger import audit_chain
from ledger.backup.binlog import Reached
from ledger.backup.checks import differences, mariadb_tables
from ledger.backup.manifest import TableCheck
from ledger.backup.planning import RestorePlan
from ledger.backup.restoring import (
    apply_later,
    apply_own,
    copy_back,
    position,
    require_room,
    restore_files,
)
from ledger.backup.server import running
from ledger.backup.sqlite import tables_of
from ledger.backup.store import Store
from ledger.clock import time_text, utc_now
from ledger.db import Database
from ledger.errors import DependencyDown, TruetonneError
from ledger.files import part_in, passing_folder, put, temporary_folder
from ledger.keeping.places import archive_beside
from ledger.settings import file_url
from ledger.units import counted

_REPORTS = "drills"
_REPORTS_KEPT = 100
_REPORT_NAMES = "[0-9]*.json"
"""By the time at which they were kept."""
_PLACE = "truetonne-drill-"
"""How the name of a folder for a restored database begins."""

Compare = Callable[[Database], "Finding"]
"""Compares restored books with the chain."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    differences: tuple[str, ...] = ()
    skipped: str = ""
    """Why it was not looked at; empty when it was."""
    said: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it as ``--json`` prints it."""
        return {
            "name": self.name,
            "ok": not self.differences,
            "skipped": self.skipped or None,
            "said": self.said,
            "differences": list(self.differences),
        }


@dataclass
class Drill:
    """What a drill came to."""

    plan: RestorePlan
    begun_at: datetime
    findings: list[Finding] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    """How long each step took."""
    seconds_total: float = 0
    """From the first byte read to the books compared, servers started and stopped."""
    gtid: str = ""
    transactions: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing differs."""
        return not any(finding.differences for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Return it as ``--json`` prints it."""
        copy = self.plan.copy
        tables = copy.tables or {}
        return {
            "ok": self.ok,
            "begun_at": time_text(self.begun_at),
            "backups": [item.id for item in self.plan.chain],
            "backup_at": time_text(copy.at),
            "binlogs": len(self.plan.logs),
            "gtid": self.gtid,
            "transactions": self.transactions,
            "bytes": sum(item.size for item in (*self.plan.chain, *self.plan.logs)),
            "tables": len(tables),
            "rows": sum(check.rows for check in tables.values()),
            "seconds": {name: f"{value:.2f}" for name, value in self.seconds.items()},
            "seconds_total": f"{self.seconds_total:.2f}",
            "checks": [finding.as_json() for finding in self.findings],
        }

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Note how long a step takes."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self.seconds[step] = self.seconds.get(step, 0) + time.monotonic() - begun


def drill(
    store: Store,
    plan: RestorePlan,
    compare: Compare,
    scratch: Path | None,
    damaged: Sequence[str] = (),
) -> Drill:
    """Restore into a place of its own, look at everything, and delete the place.

    Parameters
    ----------
    compare
        Compares the restored books with the chain.
    scratch
        A folder with room for the database; None is the one for temporary files.
    damaged
        What is wrong with other items of the folder: a finding too.

    Raises
    ------
    BackupDamaged
        If an item is not what was sealed.
    DependencyDown
        If a program of MariaDB is missing or fails, or there is no room.
    """
    found, begun = Drill(plan, utc_now()), time.monotonic()
    if damaged:
        found.findings.append(Finding("folder", tuple(damaged)))
    try:
        # What drills that were killed have left goes first: nothing seals it.
        with passing_folder(_PLACE, scratch) as work:
            require_room(work, plan)
            if plan.copy.dialect == "sqlite":
                _file(store, found, compare, work)
            else:
                _server(store, found, compare, work)
    except OSError as error:
        raise DependencyDown(
            f"the drill has no room or no right to write ({error.strerror}: "
            f"{error.filename or scratch or temporary_folder()}); name a folder by --in",
            code="drill-folder",
        ) from error
    except TruetonneError as error:
        failed = Finding("restore", (error.message,))
        found.findings.append(failed)
        _keep(store.folder, found)
        raise
    found.seconds_total = time.monotonic() - begun
    _keep(store.folder, found)
    return found


def _server(store: Store, found: Drill, compare: Compare, work: Path) -> None:
    plan = found.plan
    with found.timed("copy"):
        options = copy_back(store, plan, work)
    with (
        running(work / "data", options) as server,
        closing(Database(server.url(plan.database))) as db,
    ):
        with found.timed("binlog"):
            reached = apply_own(store, plan, server)
        with found.timed("checksums"), db.server() as link:
            tables = mariadb_tables(link, plan.database)
        found.findings.append(_tables(plan, tables))
        with found.timed("binlog"):
            apply_later(store, plan, server, reached)
        found.findings.append(_position(plan, reached))
        found.gtid, found.transactions = position(plan, reached), reached.transactions
        _books(found, db, compare)


def _file(store: Store, found: Drill, compare: Compare, work: Path) -> None:
    file = work / "truetonne.db"
    with found.timed("copy"):
        restore_files(store, found.plan.copy, file)
    with found.timed("checksums"):
        taken = Path(found.plan.copy.source.partition(" ")[2])
        tables = tables_of(file, archive_beside(taken).stem)
    found.findings.append(_tables(found.plan, tables))
    with closing(sqlite3.connect(file)) as connection:
        orphans = connection.execute("PRAGMA foreign_key_check").fetchmany(5)
    wrong = (f"row {row} of {table} has no row of {parent}" for table, row, parent, _ in orphans)
    found.findings.append(Finding("references", tuple(wrong)))
    with closing(Database(file_url(file))) as db:
        _books(found, db, compare)


def _tables(plan: RestorePlan, tables: dict[str, TableCheck]) -> Finding:
    wanted = dict(plan.copy.tables or {})
    rows = sum(check.rows for check in tables.values())
    return Finding(
        "tables", tuple(differences(wanted, tables)), said=f"{len(tables)} tables, {rows} rows"
    )


def _position(plan: RestorePlan, reached: Reached) -> Finding:
    """Compare how far the restored server has come with what the last binary log says of itself."""
    last = plan.logs[-1].stop if plan.logs else plan.copy.stop
    wanted = "" if last is None else ",".join(sorted(last.gtid.split(",")))
    got = ",".join(sorted(position(plan, reached).split(",")))
    wrong = () if wanted == got else (f"came to {got or 'nothing'}, should have come to {wanted}",)
    said = counted(reached.transactions, "transaction")
    return Finding("binlog", wrong, said=f"{said}, to {got}")


def _books(found: Drill, db: Database, compare: Compare) -> None:
    wanted, revision = found.plan.copy.schema, db.current()
    wrong = () if revision == wanted or found.plan.logs else (f"is {revision}, should be {wanted}",)
    found.findings.append(Finding("schema", wrong, said=f"revision {revision}"))
    if revision is None:
        found.findings.append(Finding("reconcile", skipped="no ledger is in it"))
        return
    if revision != Database.head():
        upgraded = _upgraded(found, db, revision)
        found.findings.append(upgraded)
        if upgraded.differences:  # this version cannot read what is there
            return
    with found.timed("audit"), db.read() as session:
        checked = audit_chain.check(session)
    said = f"a chain of {checked.head.position} entries"
    found.findings.append(Finding("audit", checked.problems, said=said))
    with found.timed("reconcile"):
        found.findings.append(compare(db))


def _upgraded(found: Drill, db: Database, revision: str) -> Finding:
    """Bring books of an older version to this one, as who restores them has to: the rest is of this version."""
    try:
        with found.timed("upgrade"):
            done = db.upgrade()
    except TruetonneError as error:
        return Finding("upgrade", (error.message,))
    return Finding("upgrade", said=f"from {revision} to {done[-1]}, {len(done)} revisions")


def _keep(folder: Path, found: Drill) -> None:
    """Keep the report, or add that it is not kept: an off-site copy is read where nobody may write."""
    try:
        keep_report(folder, found.as_json())
    except OSError as error:
        why = f"not kept in {folder / _REPORTS} ({error.strerror or error})"
        found.findings.append(Finding("report", skipped=why))


def keep_report(folder: Path, report: dict[str, Any]) -> None:
    """Keep what a drill came to beside the backups, for `doctor`."""
    place = folder / _REPORTS
    place.mkdir(exist_ok=True, mode=0o700)
    kept = place / f"{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}.json"
    with part_in(place) as part:
        part.write_text(json.dumps(report, indent=1) + "\n")
        put(part, kept)
    reports = sorted(place.glob(_REPORT_NAMES))
    # Those that are later than this one are of a clock that was set back since.
    good = [file for file in reports if file.name <= kept.name]
    for old in set(reports) - set(good[-_REPORTS_KEPT:]):
        old.unlink(missing_ok=True)


def last_report(folder: Path) -> dict[str, Any] | None:
    """Return what the last drill came to; None when there was none that can be read."""
    for file in sorted((folder / _REPORTS).glob(_REPORT_NAMES), reverse=True):
        try:
            found = dict(json.loads(file.read_text()))
            begun_at = datetime.fromisoformat(found["begun_at"])
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            continue
        if "ok" in found and begun_at.tzinfo is not None:
            return found
    return None
