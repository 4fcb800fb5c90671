"""Restoring: a copy put together beside its place, brought to its moment, and given its name at the very end.

Whatever is done is done in a folder ``.NAME.restoring`` beside the place. A restoring that is cut short leaves
that folder and nothing else; the next one begins again.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ledger.backup import tools
from ledger.backup.binlog import Limit, Reached, joined
from ledger.backup.checks import sqlite_damage
from ledger.backup.manifest import Manifest, Part
from ledger.backup.planning import RestorePlan
from ledger.backup.server import PrivateServer, running
from ledger.backup.sqlite import ARCHIVED
from ledger.backup.store import Store
from ledger.db.gtid import gtids
from ledger.errors import BadInput, DependencyDown, Refused
from ledger.files import sync, sync_all
from ledger.keeping.places import archive_beside

_DATA = "data"
"""What is put together, in the folder beside the place; an archive's file stands beside it."""


@dataclass(frozen=True)
class Restored:
    """What was put together."""

    place: Path
    plan: RestorePlan
    gtid: str
    """All that is in it, as MariaDB's GTIDs; empty on SQLite."""
    at: datetime
    """The last transaction's second, or the copy's moment."""
    transactions: int
    """Applied from binary logs."""
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return it as ``--json`` prints it."""
        return {
            "into": str(self.place),
            "backups": [item.id for item in self.plan.chain],
            "binlogs": len(self.plan.logs),
            "gtid": self.gtid,
            "at": self.at,
            "transactions": self.transactions,
            "seconds": f"{self.seconds:.1f}",
        }


def restore(store: Store, plan: RestorePlan, place: Path) -> Restored:
    """Put a moment together under a name where nothing is.

    Raises
    ------
    Refused
        If something is there.
    BackupDamaged
        If an item is not what was sealed; nothing stays.
    DependencyDown
        If a program of MariaDB is missing or fails, or there is no room; nothing stays.
    """
    place = place.absolute()
    refuse_what_is_there(place, plan.copy.dialect)
    begun = time.monotonic()
    with _working(place) as work:
        require_room(work, plan)
        if plan.copy.dialect == "sqlite":
            restore_files(store, plan.copy, work / _DATA)
            reached = Reached()
            _name_files(work, place)
        else:
            options = copy_back(store, plan, work)
            with running(work / _DATA, options) as server:
                reached = apply_own(store, plan, server)
                apply_later(store, plan, server, reached)
            sync_all(work / _DATA)
            _name(work / _DATA, place)
        sync(place.parent)
    last = reached.last_s
    return Restored(
        place,
        plan,
        position(plan, reached),
        plan.copy.at if last is None else datetime.fromtimestamp(last, UTC),
        reached.transactions,
        time.monotonic() - begun,
    )


def refuse_what_is_there(place: Path, dialect: str) -> None:
    """Refuse to write over anything.

    Raises
    ------
    Refused
        If there is a database, a folder with files, or a log that belongs to one that was here.
    """
    if dialect == "sqlite":
        for suffix in ("", "-wal", "-shm", "-journal"):
            here, beside = Path(f"{place}{suffix}"), Path(f"{archive_beside(place)}{suffix}")
            ours = not suffix and _half_named(_work_of(place), place)
            file = beside if beside.exists() and not ours else here
            if file.exists() or file.is_symlink():
                raise Refused(
                    f"{file} is there, and is not written over; name another file, or move it away",
                    code="restore-not-empty",
                )
    elif place.is_symlink() or (place.exists() and (not place.is_dir() or any(place.iterdir()))):
        raise Refused(
            f"{place} holds something, and is not written over; name an empty folder or a new one",
            code="restore-not-empty",
        )


def require_room(folder: Path, plan: RestorePlan) -> None:
    """Require that a disk has room for what is put together.

    Raises
    ------
    DependencyDown
        If it has not; the message says how much is missing.
    """
    first, *others = (sum(part.plain_bytes for part in copy.parts) for copy in plan.chain)
    wanted, free = first + max(others, default=0), shutil.disk_usage(folder).free
    if free < wanted:
        raise DependencyDown(
            f"{folder.parent}: no room: {wanted} bytes are needed, {free} are free; make some, or name a folder on "
            "another disk",
            code="restore-no-room",
        )


def restore_files(store: Store, copy: Manifest, file: Path) -> None:
    """Write an SQLite file, and its archive beside it, and have SQLite read them to their ends.

    Raises
    ------
    BackupDamaged
        If the backup is not what was sealed.
    """
    for part in copy.parts:
        _restore_file(store, copy, part, archive_beside(file) if part.name == ARCHIVED else file)


def _restore_file(store: Store, copy: Manifest, part: Part, file: Path) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as target:
        for data in store.open(copy, part):
            target.write(data)
        target.flush()
        os.fsync(target.fileno())
    with closing(sqlite3.connect(f"{file.as_uri()}?immutable=1", uri=True)) as connection:
        said = sqlite_damage(connection)
    if said:
        raise Refused(
            f"backup {copy.id}: the file in it is not whole: {said}; restore an earlier one"
        )


def copy_back(store: Store, plan: RestorePlan, work: Path) -> dict[str, str]:
    """Put the copies of a plan together as a server's folder, ``work/data``; return the options that open it.

    Raises
    ------
    BadInput
        If its files are encrypted, and the file with their keys is not here.
    BackupDamaged, DependencyDown
        As ``restore``.
    """
    command, unpack = tools.program("mariadb-backup"), tools.program("mbstream")
    base, said = work / "copy", work / "said"
    # What the server's own options say of its files; this one has other usual ones.
    options = dict(plan.copy.options or {})
    for number, copy in enumerate(plan.chain):
        folder = base if number == 0 else work / "increment"
        folder.mkdir()
        tools.run_with_input(
            [unpack, "-x", "-C", str(folder)], store.open(copy, copy.parts[0]), said
        )
        if number == 0:
            options |= _encryption(folder / "backup-my.cnf")
        opened = [f"--loose-{name.replace('_', '-')}={value}" for name, value in options.items()]
        tools.run(
            [
                command,
                "--no-defaults",
                "--prepare",
                f"--target-dir={base}",
                f"--tmpdir={work}",
                *opened,
                *([] if number == 0 else [f"--incremental-dir={folder}"]),
            ],
            said,
        )
        if number:
            shutil.rmtree(folder)
    data = work / _DATA
    data.mkdir(mode=0o700)
    tools.run(
        [command, "--no-defaults", "--move-back", f"--target-dir={base}", f"--datadir={data}"], said
    )
    shutil.rmtree(base)
    return options


def _encryption(facts: Path) -> dict[str, str]:
    """Return the options of the plugin that encrypts a server's files, from what the copy says of it; mostly none.

    What is put together is encrypted as well: whoever encrypts files does not want them plain after a restore.
    """
    said = {name: value.strip('"') for name, value in tools.key_values(facts).items()}
    name, _, library = said.get("plugin_load", "").partition("=")
    if not name:
        return {}
    own = {key: value for key, value in said.items() if key.startswith(f"{name}_")}
    for key, value in own.items():
        file = value if key.endswith("_filename") else value.partition("FILE:")[2]
        if file and not os.access(file, os.R_OK):
            raise BadInput(
                f"the server encrypts its files, and {file}, which its plugin {name} reads ({key}), cannot be read "
                "here; without it nothing opens them: bring it from where its copy is kept"
            )
    folder = said.get("plugin_dir", "")
    return {
        **({"plugin_dir": folder} if folder and Path(folder).is_dir() else {}),
        "plugin_load_add": library or name,
        **own,
        **{key: value for key, value in said.items() if key.startswith("innodb_encrypt")},
    }


def apply_own(store: Store, plan: RestorePlan, server: PrivateServer) -> Reached:
    """Bring a copy to its moment, by the binary log in it."""
    reached = Reached()
    copy = plan.copy
    sources = (store.open(copy, part) for part in copy.parts[1:])
    server.apply(joined(sources, Limit(), reached))
    return reached


def apply_later(store: Store, plan: RestorePlan, server: PrivateServer, reached: Reached) -> None:
    """Apply the binary logs after a copy's moment, up to the one that is wanted."""
    parts = ((item, part) for item in plan.logs for part in item.parts)
    sources = (store.open(item, part) for item, part in parts)
    server.apply(joined(sources, plan.wanted.limit, reached))


def position(plan: RestorePlan, reached: Reached) -> str:
    """Return all that is in a restored server, as GTIDs."""
    stop = plan.copy.stop
    if stop is None:
        return ""
    found = gtids(stop.gtid)
    for gtid in reached.gtids.values():
        if gtid.domain not in found or gtid.number > found[gtid.domain].number:
            found[gtid.domain] = gtid
    return ",".join(str(found[domain]) for domain in sorted(found))


@contextmanager
def _working(place: Path) -> Iterator[Path]:
    """Yield an empty folder beside a place, this process's alone; it is gone at the end."""
    work = _work_of(place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        work.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(work, os.O_RDONLY)
    except OSError as error:
        raise BadInput(f"{place.parent}: cannot be written ({error.strerror})") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DependencyDown(
                f"another process restores into {place}; wait for it", code="restore-running"
            ) from error
        _take_back(work, place)
        for left in work.iterdir():  # of one that was cut short
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        try:
            yield work
        except OSError as error:
            where = work if error.filename is None else Path(os.fsdecode(error.filename))
            hint = "" if where.is_relative_to(work) else " (TMPDIR names the folder for such files)"
            raise DependencyDown(
                f"{where}: cannot be written ({error.strerror}){hint}; nothing was restored"
            ) from error
        finally:
            shutil.rmtree(work, ignore_errors=True)
    finally:
        os.close(descriptor)


def _work_of(place: Path) -> Path:
    return place.parent / f".{place.name}.restoring"


def _name_files(work: Path, place: Path) -> None:
    """Name an SQLite file and its archive, that one first: a database that is there is whole."""
    archive = archive_beside(work / _DATA)
    if archive.exists():
        _name(archive, archive_beside(place))
    try:
        _name(work / _DATA, place)
    except Refused:
        _take_back(work, place)
        raise


def _half_named(work: Path, place: Path) -> bool:
    """Return whether the archive beside a place is that of a restoring that was cut short before its database."""
    ours, named = archive_beside(work / _DATA), archive_beside(place)
    both = ours.exists() and named.exists() and ours.samefile(named)
    return both and not (
        (work / _DATA).exists() and place.exists() and place.samefile(work / _DATA)
    )


def _take_back(work: Path, place: Path) -> None:
    if _half_named(work, place):
        archive_beside(place).unlink()


def _name(data: Path, place: Path) -> None:
    """Give what is whole its name; whoever was faster is not written over."""
    try:
        if data.is_dir():
            data.rename(place)  # refused where a folder holds something
        else:
            os.link(data, place)
    except OSError as error:
        raise Refused(
            f"{place}: cannot be made ({error.strerror}); something came there meanwhile, or another disk is "
            "mounted there: name a folder in it",
            code="restore-not-empty",
        ) from error
