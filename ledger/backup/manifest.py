"""The manifest of an item in a backup folder: what it is, what it needs, and what must be found in it."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from ledger.backup.stream import MEND, BackupDamaged, OtherFormat, key_name, signature
from ledger.errors import NO_DOCUMENT
from ledger.sealing import Sealer

FORMAT = 1
_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-(full|incremental|binlog)-[0-9a-f]{8}")
_FILE = re.compile(r"[a-z0-9-]{1,60}\.sealed")


class Kind(StrEnum):
    """What an item is."""

    FULL = "full"
    INCREMENTAL = "incremental"
    BINLOG = "binlog"


@dataclass(frozen=True)
class Position:
    """A place in MariaDB's binary log."""

    log: str
    offset: int
    gtid: str = ""
    """All that was committed before it, as GTIDs; empty when nothing was."""

    @property
    def order(self) -> tuple[int, int]:
        """What sorts places of one server: the number of the log, and the byte in it."""
        return int(self.log.rpartition(".")[2]), self.offset

    def same_place(self, other: Position) -> bool:
        """Return whether both are one place, of one history."""
        return (self.log, self.offset, sorted(self.gtid.split(","))) == (
            other.log,
            other.offset,
            sorted(other.gtid.split(",")),
        )


@dataclass(frozen=True)
class Part:
    """One sealed file of an item."""

    name: str
    size: int
    sha256: str
    plain_bytes: int


@dataclass(frozen=True)
class TableCheck:
    """What a table held at the backup's moment."""

    rows: int
    checksum: str


@dataclass(frozen=True)
class Manifest:
    """One item of a backup folder."""

    id: str
    kind: Kind
    dialect: str
    source: str
    """The database, without user and password."""
    begun_at: datetime
    at: datetime
    """The moment that it brings back; for binary logs, the last one."""
    ended_at: datetime
    parts: tuple[Part, ...]
    """In the order in which they are used."""
    parent: str | None = None
    schema: str | None = None
    server: str = ""
    """The version of the server."""
    options: Mapping[str, str] | None = None
    """What a server that opens the copy must be told."""
    lsn: int = 0
    """InnoDB's place at which the copy ends; an incremental one begins at its parent's."""
    start: Position | None = None
    """Where its binary logs begin."""
    stop: Position | None = None
    """Where its binary logs end; that of a copy is its moment."""
    tables: Mapping[str, TableCheck] | None = None
    number: int = 0
    """Its place among the items of a folder, by its moment: ms since 1970, but more than any before it has.

    Two that were made at once may share one. 0: by a version that gave none.
    """

    @property
    def turn(self) -> tuple[int, datetime, str]:
        """What sorts items in the order of their moments, though the clock was set back between them."""
        return self.number or ms_of(self.at), self.at, self.id

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(part.size for part in self.parts)

    def context(self, part: str) -> str:
        """Return what a sealed file of it is bound to."""
        return f"{self.id}/{part}"

    def signed(self, sealer: Sealer) -> bytes:
        """Return the file's content."""
        number = max(sealer.keys)
        key = sealer.keys[number]
        body = json.loads(json.dumps(asdict(self), default=_plain))
        body |= {"format": FORMAT, "key": number, "key_name": key_name(key)}
        body["signature"] = signature(key, _canonical(body))
        return json.dumps(body, indent=1, sort_keys=True).encode() + b"\n"


def ms_of(moment: datetime) -> int:
    """Return the ms from 1970 to a moment."""
    return int(moment.timestamp() * 1000)


def new_id(kind: Kind, now: datetime, random: str) -> str:
    """Return the name of a new item."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{kind.value}-{random}"


def is_id(name: str) -> bool:
    """Return whether a folder of this name can be an item."""
    return _ID.fullmatch(name) is not None


def read_manifest(content: bytes, name: str, sealer: Sealer | None) -> Manifest:
    """Return a manifest.

    Parameters
    ----------
    name
        The item's folder, whose name must be the id in it.
    sealer
        The keys; None reads it without proof.

    Raises
    ------
    BackupDamaged
        If it is none, of another item, or not as it was signed.
    OtherFormat
        If another version wrote it in a form of its own.
    """
    try:
        body = json.loads(content)
        found = body.pop("signature")
        if body["format"] != FORMAT:
            raise OtherFormat(
                f"backup {name}: its format is {str(body['format'])[:60]}, this version reads {FORMAT}; "
                "use the version that wrote it"
            )
        manifest = _manifest(body)
        number, named = body["key"], body["key_name"]
        if type(number) is not int or not isinstance(found, str) or not found.isascii():
            raise ValueError("key or signature")
    except NO_DOCUMENT:
        raise BackupDamaged(f"backup {name}: its manifest.json is not one; {MEND}") from None
    if manifest.id != name:
        raise BackupDamaged(
            f"backup {name}: its manifest is that of {manifest.id[:60]!r}; put the folders back as they were"
        )
    if sealer is not None:
        key = sealer.keys.get(number)
        if key is None:
            raise BackupDamaged(
                f"backup {name}: was sealed with key {number}, which the backup key file lacks; put its line back from "
                "a copy of the file, or name the file that belongs to it (backup_key_file)",
                code="backup-key-wrong",
            )
        if key_name(key) != named:
            raise BackupDamaged(
                f"backup {name}: was sealed with another key {number} than the backup key file has; "
                "name the file that belongs to it (backup_key_file)",
                code="backup-key-wrong",
            )
        if not hmac.compare_digest(found, signature(key, _canonical(body))):
            raise BackupDamaged(
                f"backup {name}: its manifest was changed after it was signed; {MEND}"
            )
    return manifest


def _manifest(body: Mapping[str, Any]) -> Manifest:
    parts = tuple(Part(**part) for part in body["parts"])
    if not all(
        _FILE.fullmatch(part.name) and type(part.size) is int and len(part.sha256) == 64
        for part in parts
    ):
        raise ValueError("parts")
    tables = body["tables"]
    return Manifest(
        id=str(body["id"]),
        kind=Kind(body["kind"]),
        dialect=str(body["dialect"]),
        source=str(body["source"]),
        begun_at=_time(body["begun_at"]),
        at=_time(body["at"]),
        ended_at=_time(body["ended_at"]),
        parts=parts,
        parent=body["parent"],
        schema=body["schema"],
        server=str(body["server"]),
        options=body["options"],
        lsn=int(body["lsn"]),
        start=_position(body["start"]),
        stop=_position(body["stop"]),
        tables=tables and {name: TableCheck(**check) for name, check in tables.items()},
        number=int(body.get("number", 0)),
    )


def _position(body: Mapping[str, Any] | None) -> Position | None:
    if body is None:
        return None
    found = Position(str(body["log"]), int(body["offset"]), str(body["gtid"]))
    _ = found.order  # a log without a number is none
    return found


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.utcoffset() is None:
        raise ValueError("a time without zone")
    return found


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    raise TypeError(f"{value!r} has no form in a manifest")


def _canonical(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
