"""A backup folder: items that are whole, and the making of new ones.

An item is made in a folder whose name begins with a dot, its manifest is written last, everything is on the disk,
and then it gets its name, at once. Whoever is killed before leaves a folder that nobody takes for a backup; the
next one that makes an item deletes it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from ledger.backup.folder import another_folder, folder_errors, locked
from ledger.backup.manifest import Kind, Manifest, Part, is_id, ms_of, new_id, read_manifest
from ledger.backup.planning import chain_of
from ledger.backup.stream import MEND, BackupDamaged, opened, seal
from ledger.errors import BadInput, DependencyDown, NotFound
from ledger.files import sync
from ledger.sealing import Sealer, load_sealer

MANIFEST = "manifest.json"
_READERS = ".readers.lock"


class BeingRead(DependencyDown):
    """Somebody reads items of the folder: none is deleted now."""

    default_code = "backup-running"


def backup_keys(path: Path, *, make: bool = False) -> Sealer:
    """Return the keys of backups; see ``ledger.sealing`` for the file.

    Raises
    ------
    BadInput
        If the file is not there, can be read by others, or is no key file.
    """
    return load_sealer(
        path,
        make=make,
        what="backup key file",
        lost="without it no backup opens: bring it from where its copy is kept",
    )


@dataclass
class Making:
    """An item that is being made."""

    id: str
    folder: Path
    sealer: Sealer
    parts: list[Part] = field(default_factory=list)

    def add(self, name: str, source: Iterable[bytes]) -> Part:
        """Seal a stream into a file of it."""
        number = max(self.sealer.keys)
        with (self.folder / name).open("xb") as file:
            sealed = seal(source, file, number, self.sealer.keys[number], f"{self.id}/{name}")
            _to_disk(file)
        part = Part(name, sealed.size, sealed.sha256, sealed.plain_bytes)
        self.parts.append(part)
        return part


class Store:
    """A backup folder.

    Parameters
    ----------
    folder
        Made when the first item is.
    sealer
        The keys.
    """

    def __init__(self, folder: Path, sealer: Sealer) -> None:
        self.folder = folder
        self.sealer = sealer

    @contextmanager
    def making(self, kind: Kind, now: datetime) -> Iterator[Making]:
        """Open a folder for a new item; it goes when the block raises, or ends without ``finish``."""
        name = new_id(kind, now, secrets.token_hex(4))
        place = self.folder / f".{name}"
        with folder_errors(self.folder):
            place.mkdir(mode=0o700)
        try:
            with folder_errors(self.folder):
                yield Making(name, place, self.sealer)
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def next_number(self, now: datetime, last: Manifest | None = None) -> int:
        """Return the number of an item whose moment is now: the time, or one more than the last's if that is more.

        Parameters
        ----------
        last
            The item that stands last, for who has read all of them; None: they are read.
        """
        items = self.readable()[0] if last is None else [last]
        return max(ms_of(now), 1 + max((item.turn[0] for item in items), default=0))

    def finish(self, making: Making, manifest: Manifest) -> Manifest:
        """Write the manifest of an item, and give the item its name."""
        with (making.folder / MANIFEST).open("xb") as file:
            file.write(manifest.signed(self.sealer))
            _to_disk(file)
        sync(making.folder)
        making.folder.rename(self.folder / making.id)
        sync(self.folder)
        return manifest

    @contextmanager
    def alone(self, what: str, *kinds: Kind, wait_s: float = 0) -> Iterator[None]:
        """Keep others from making items of these kinds; delete what one that was killed has left of them.

        Parameters
        ----------
        wait_s
            How long another process is waited for.

        Raises
        ------
        DependencyDown
            If another process is at it.
        BadInput
            If the folder cannot be used.
        """
        with folder_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.folder / f".{what}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not locked(descriptor, wait_s):
                raise DependencyDown(
                    f"{self.folder}: another process is taking a backup ({what}); wait for it",
                    code="backup-running",
                )
            for place in self.folder.glob(".*"):
                if is_id(place.name[1:]) and place.name.split("-")[1] in kinds:
                    shutil.rmtree(place, ignore_errors=True)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Keep others from deleting items meanwhile: who restores for an hour needs them at its end, too."""
        try:
            descriptor = os.open(self.folder / _READERS, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:  # not there, or read-only: nobody deletes there
            yield
            return
        try:
            with suppress(OSError):  # a filesystem without locks: no backup is taken there
                fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def deleting(self) -> Iterator[None]:
        """Delete in this block, while nobody reads.

        Raises
        ------
        BeingRead
            If somebody does.
        """
        with folder_errors(self.folder):
            descriptor = os.open(self.folder / _READERS, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not locked(descriptor, 0):
                raise BeingRead(f"{self.folder}: another process reads backups in it; wait for it")
            with folder_errors(self.folder):
                yield
        finally:
            os.close(descriptor)

    def names(self) -> list[str]:
        """Return the names of all items whose manifests are as they were signed, the oldest first."""
        good, _ = self.readable()
        return [item.id for item in sorted(good, key=lambda item: item.turn)]

    def items(self) -> list[Manifest]:
        """Return all items, proven, the oldest first.

        Raises
        ------
        BackupDamaged
            If a manifest is not as it was signed.
        """
        return [self.item(name) for name in item_names(self.folder)]

    def signed(self) -> list[Manifest]:
        """Return the items whose manifests are as they were signed, though a file of theirs be damaged."""
        found = []
        for name in item_names(self.folder):
            with suppress(BackupDamaged, NotFound):
                found.append(self.item(name))
        return found

    def sound(self) -> tuple[list[Manifest], list[BackupDamaged]]:
        """Return the items that bring back a moment, and what is wrong with the others.

        Those are the ``readable`` ones, but for copies that need one which is not.
        """
        items, bad = self.readable()
        copies = [item for item in items if item.kind is not Kind.BINLOG]
        good = []
        for item in items:
            try:
                if item.kind is Kind.INCREMENTAL:
                    chain_of(copies, item)
                good.append(item)
            except BackupDamaged as error:
                bad.append(error)
        return good, bad

    def readable(self) -> tuple[list[Manifest], list[BackupDamaged]]:
        """Return the items whose manifests are as they were signed, and what is wrong with the others.

        Their files are there, as long as they were; nobody has read them.
        """
        good: list[Manifest] = []
        bad: list[BackupDamaged] = []
        for name in item_names(self.folder):
            try:
                item = self.item(name)
                for part in item.parts:
                    require_size(self.folder / name / part.name, part)
                good.append(item)
            except BackupDamaged as error:
                if (self.folder / name).exists():  # else it was deleted meanwhile
                    bad.append(error)
            except NotFound:
                continue
        return good, bad

    def item(self, name: str) -> Manifest:
        """Return one item.

        Raises
        ------
        NotFound
            If there is none of this name.
        BackupDamaged
            If its manifest is not as it was signed.
        """
        return _read(self.folder, name, self.sealer)

    def open(self, manifest: Manifest, part: Part) -> Iterator[bytes]:
        """Yield the plaintext of a file of an item.

        Raises
        ------
        BackupDamaged
            If the file is not there, cannot be read to its end, or is not what was sealed.
        """
        path = self.folder / manifest.id / part.name
        name = f"{manifest.id}/{part.name}"
        require_size(path, part)
        try:
            with path.open("rb") as file:
                yield from opened(file, self.sealer.keys, manifest.context(part.name), name)
        except OSError as error:
            raise _unreadable(name, error) from error

    def check(self, manifest: Manifest) -> list[str]:
        """Read an item's files to their ends; return a sentence for each that is not as it was written."""
        wrong = []
        for part in manifest.parts:
            path = self.folder / manifest.id / part.name
            try:
                if _sha256(path) != part.sha256:
                    wrong.append(
                        f"{manifest.id}/{part.name}: is not the file that was written; {MEND}"
                    )
                    continue
                for _ in self.open(manifest, part):
                    pass
            except BackupDamaged as error:
                wrong.append(error.message)
            except OSError as error:
                wrong.append(f"{manifest.id}/{part.name}: cannot be read ({error.strerror})")
        return wrong

    def delete(self, manifest: Manifest) -> None:
        """Delete an item: it loses its name first, so that a part of it is never taken for the whole."""
        gone = self.folder / f".{manifest.id}"
        (self.folder / manifest.id).rename(gone)
        shutil.rmtree(gone)


def item_names(folder: Path) -> list[str]:
    """Return the names of the items in a folder, the oldest first; none where there is no folder.

    Raises
    ------
    BadInput
        If the folder cannot be read.
    """
    try:
        return sorted(entry.name for entry in folder.iterdir() if is_id(entry.name))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BadInput(
            f"backup folder {folder}: cannot be read ({error.strerror}); {another_folder(folder, error)}"
        ) from error


def require_size(path: Path, part: Part) -> None:
    """Require that a file of an item is there, as long as it was written; its content is not read.

    Raises
    ------
    BackupDamaged
        If it is not.
    """
    name = f"{path.parent.name}/{path.name}"
    try:
        size = path.stat().st_size
    except OSError as error:
        raise _unreadable(name, error) from error
    if size != part.size:
        raise BackupDamaged(f"{name}: has {size} bytes, should have {part.size}; {MEND}")


def _unreadable(name: str, error: OSError) -> BackupDamaged:
    theirs = "another user took it: give it to the one who takes backups (chown -R)"
    mend = theirs if isinstance(error, PermissionError) else MEND
    return BackupDamaged(f"{name}: cannot be read ({error.strerror}); {mend}")


def _read(folder: Path, name: str, sealer: Sealer | None) -> Manifest:
    if not is_id(name):
        raise NotFound(f"{name!r} is no name of a backup; see `truetonne db backups list`")
    try:
        content = (folder / name / MANIFEST).read_bytes()
    except FileNotFoundError:
        if (folder / name).is_dir():
            raise BackupDamaged(f"backup {name}: has no {MANIFEST}; {MEND}") from None
        raise NotFound(f"there is no backup {name} in {folder}", code="no-such-backup") from None
    except OSError as error:
        raise _unreadable(f"backup {name}", error) from error
    return read_manifest(content, name, sealer)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
