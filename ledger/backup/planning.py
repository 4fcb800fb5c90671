"""Which items bring back a moment: a copy with those that it needs, and the binary logs after it, without a hole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ledger.backup.binlog import Limit
from ledger.backup.manifest import Kind, Manifest, Position
from ledger.backup.stream import BackupDamaged
from ledger.db.gtid import Gtid, gtids
from ledger.errors import BadInput, NotFound

SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Wanted:
    """The moment that is wanted: without anything, the last one that is kept."""

    backup: str | None = None
    """From this copy; alone: exactly its moment."""
    until: datetime | None = None
    """What was committed before this time."""
    before: Gtid | None = None
    """What was committed before this transaction."""

    @property
    def exact(self) -> bool:
        """Whether it is a copy's own moment."""
        return self.backup is not None and self.until is None and self.before is None

    @property
    def limit(self) -> Limit:
        """Where the binary logs end."""
        return Limit(self.before, self.until)


@dataclass(frozen=True)
class RestorePlan:
    """What is put together."""

    chain: tuple[Manifest, ...]
    """Copies, the full one first."""
    logs: tuple[Manifest, ...]
    """Binary logs after the last copy's moment, in order."""
    wanted: Wanted

    @property
    def copy(self) -> Manifest:
        """The copy that is brought back."""
        return self.chain[-1]

    @property
    def database(self) -> str:
        """The name of the ledger's database in it."""
        return self.copy.source.rpartition("/")[2]


def plan(items: Sequence[Manifest], wanted: Wanted) -> RestorePlan:
    """Return what brings back a moment.

    Raises
    ------
    NotFound
        If there is no backup of it.
    BadInput
        If it cannot be told which database is meant.
    BackupDamaged
        If a copy, or a binary log, that is needed is missing.
    """
    copy = _copy(items, wanted)
    chain = tuple(chain_of(items, copy))
    if copy.dialect == "sqlite":
        if wanted.before is not None:
            raise BadInput("SQLite has no GTIDs; use --until TIME or --backup ID")
        return RestorePlan(chain, (), wanted)
    if wanted.exact:
        return RestorePlan(chain, (), wanted)
    return RestorePlan(chain, tuple(_logs(items, copy, wanted)), wanted)


def of_source(items: Sequence[Manifest], source: str, *kinds: Kind) -> list[Manifest]:
    """Return the items of one database and some kinds, in the order of their moments."""
    found = [item for item in items if item.source == source and item.kind in kinds]
    return sorted(found, key=lambda item: item.turn)


def chain_of(items: Sequence[Manifest], last: Manifest) -> list[Manifest]:
    """Return a copy with those that it needs, the full one first.

    Raises
    ------
    BackupDamaged
        If one of them is not there.
    """
    by_id = {item.id: item for item in items}
    chain = [last]
    while chain[0].kind is not Kind.FULL:
        parent = by_id.get(chain[0].parent or "")
        if parent is None or parent in chain:
            raise BackupDamaged(
                f"backup {chain[0].id} needs {chain[0].parent}, which is not here, or damaged; bring that one from "
                f"the off-site copy, or move {chain[0].id} away and do without it",
                code="backup-link-missing",
            )
        chain.insert(0, parent)
    return chain


def walk(logs: Sequence[Manifest], copy: Manifest) -> list[Manifest]:
    """Return the binary logs that follow each other from a copy's moment on, as far as they go.

    What was fetched before the copy is of a history before it: a server that is reset counts from the beginning.
    """
    found: list[Manifest] = []
    place = copy.stop
    later = [item for item in logs if item.start and follows(item, copy)]
    while place is not None:
        following = [item for item in later if item.start and item.start.same_place(place)]
        if not following:
            return found
        longest = max(following, key=lambda item: item.stop.order if item.stop else (0, 0))
        if longest.stop is None or longest.stop.order <= place.order:
            return found
        found.append(longest)
        place = longest.stop
    return found


def follows(log: Manifest, copy: Manifest) -> bool:
    """Return whether a binary log goes beyond a copy's moment, or belongs to it."""
    return log.turn[:2] >= copy.turn[:2]


def _copy(items: Sequence[Manifest], wanted: Wanted) -> Manifest:
    copies = [item for item in items if item.kind is not Kind.BINLOG]
    if wanted.backup is not None:
        for item in copies:
            if item.id == wanted.backup:
                return _early_enough(item, wanted)
        raise NotFound(
            f"there is no copy {wanted.backup!r}; see `truetonne db backups list`",
            code="no-such-backup",
        )
    sources = sorted({item.source for item in copies})
    if len(sources) > 1:
        raise BadInput(
            f"the folder has backups of {' and '.join(sources)}; say which by --backup ID",
            code="backup-which",
        )
    fit = [item for item in copies if _before(item, wanted)]
    if not fit:
        raise NotFound(
            "there is no backup that old" if copies else "there is no backup in the folder",
            code="no-such-backup",
        )
    return max(fit, key=lambda item: item.turn)


def _before(copy: Manifest, wanted: Wanted) -> bool:
    if wanted.until is not None and copy.at >= wanted.until:
        return False
    if wanted.before is not None and copy.stop is not None:
        there = gtids(copy.stop.gtid).get(wanted.before.domain)
        return there is None or there.number < wanted.before.number
    return True


def _early_enough(copy: Manifest, wanted: Wanted) -> Manifest:
    if not _before(copy, wanted):
        raise BadInput(
            f"backup {copy.id} is of a later moment ({copy.at:%Y-%m-%d %H:%M:%S} UTC) than the one that is wanted; "
            "name an earlier one"
        )
    return copy


def _logs(items: Sequence[Manifest], copy: Manifest, wanted: Wanted) -> list[Manifest]:
    assert copy.stop is not None
    logs = of_source(items, copy.source, Kind.BINLOG)
    found = walk(logs, copy)
    end = found[-1].stop if found else copy.stop
    assert end is not None
    beyond = [  # a later copy, too, to which no log leads
        item
        for item in of_source(items, copy.source, *Kind)
        if item.stop and item.stop.order > end.order and item.turn > copy.turn
    ]
    reached = found[-1].at if found else copy.at
    enough = wanted.until is not None and reached >= wanted.until + SECOND
    if beyond and not enough and not _has(end, wanted.before):
        before = (reached - SECOND).replace(microsecond=0)  # of its last second it may have a part
        until = f" --until {before:%Y-%m-%dT%H:%M:%SZ}" if copy.at < before else ""
        raise BackupDamaged(
            f"the binary log from {end.log}, byte {end.offset} ({reached:%Y-%m-%d %H:%M:%S} UTC) on is missing, "
            f"before that of {beyond[0].id}; bring it from the off-site copy, or restore what is before it: "
            f"--backup {copy.id}{until}",
            code="backup-link-missing",
        )
    if wanted.before is not None and not _has(end, wanted.before):
        raise NotFound(
            f"transaction {wanted.before} is in no kept binary log; they reach to {end.gtid or 'the beginning'}",
            code="no-such-transaction",
        )
    return found


def _has(place: Position, gtid: Gtid | None) -> bool:
    if gtid is None:
        return False
    there = gtids(place.gtid).get(gtid.domain)
    return there is not None and there.number >= gtid.number
