"""MariaDB's binary log, event by event: enough of it to cut it at a transaction, and to name what changed tables.

The form is that of version 4, https://mariadb.com/kb/en/replication-protocol/ : four bytes of magic, then events
with a header of 19 bytes (time, type, server, size, end, flags; little-endian). A transaction, or a statement that
changes tables, begins with a GTID event.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ledger.backup.manifest import Position
from ledger.backup.stream import BackupDamaged
from ledger.db.gtid import Gtid

MAGIC = b"\xfebin"
_HEADER = struct.Struct("<IBIIIH")
_GTID_BODY = struct.Struct("<QIB")
_QUERY_BODY = struct.Struct("<IIBHH")
_QUERY, _FORMAT, _GTID, _GTID_LIST, _START_ENCRYPTION = 2, 15, 162, 163, 164
_STANDALONE, _DDL = 1, 32
_CHECKSUM_BYTES = 4
_EVENT_BYTES_MAX = 1 << 30
_OFFSETS = 1 << 32
"""Ends of events are counted in 32 bits."""
_STATEMENT_SHOWN = 200
_SECRET = re.compile(
    r"\b(IDENTIFIED|PASSWORD(?=\W*(?:FOR\b|[(='\"/#-]))|CONNECTION(?=\W*[='\"/#-]))\b.*",
    re.IGNORECASE,
)
"""From where on a statement may hold a password: MariaDB writes those of accounts, of servers and of tables elsewhere
into its log as they were typed, with comments between the words."""


@dataclass(frozen=True)
class Event:
    """One event, with its header."""

    kind: int
    time_s: int
    server: int
    raw: bytes

    @property
    def gtid(self) -> Gtid | None:
        """The transaction that begins with it; None for other events."""
        if self.kind != _GTID:
            return None
        number, domain, _ = _GTID_BODY.unpack_from(self.raw, _HEADER.size)
        return Gtid(domain, self.server, number)

    @property
    def changes_tables(self) -> bool:
        """Whether it begins a statement that makes, alters or drops something."""
        return self.kind == _GTID and bool(
            _GTID_BODY.unpack_from(self.raw, _HEADER.size)[2] & (_DDL | _STANDALONE)
        )

    @property
    def statement(self) -> str | None:
        """The statement of a query event, its beginning, without passwords; None for other events."""
        if self.kind != _QUERY:
            return None
        _, _, name, _, variables = _QUERY_BODY.unpack_from(self.raw, _HEADER.size)
        begin = _HEADER.size + _QUERY_BODY.size + variables + name + 1
        text = self.raw[begin:-_CHECKSUM_BYTES].decode("utf-8", "replace")
        return _SECRET.sub(r"\1 ...", " ".join(text.split()))[:_STATEMENT_SHOWN]


@dataclass
class Reached:
    """How far a walk has come."""

    gtids: dict[int, Gtid] = field(default_factory=dict)
    last_s: int | None = None
    """Time of the last transaction, in seconds since 1970."""
    transactions: int = 0
    complete: bool = True
    """False when the limit was met before the end."""

    @property
    def gtid(self) -> str:
        """The position, as MariaDB writes it."""
        return ",".join(str(self.gtids[domain]) for domain in sorted(self.gtids))

    def note(self, event: Event, gtid: Gtid) -> None:
        """Note a transaction that is taken."""
        self.gtids[gtid.domain] = gtid
        self.last_s = event.time_s
        self.transactions += 1


@dataclass(frozen=True)
class Limit:
    """The first transaction that is not taken: one of a name, or the first of a time or later."""

    before: Gtid | None = None
    until: datetime | None = None

    def met(self, event: Event, gtid: Gtid) -> bool:
        """Return whether the transaction is not to be taken."""
        if self.before is not None and (gtid.domain, gtid.number) >= (
            self.before.domain,
            self.before.number,
        ):
            return gtid.domain == self.before.domain
        return self.until is not None and event.time_s >= self.until.timestamp()


def events(source: Iterable[bytes]) -> Iterator[Event]:
    """Yield the events of a log.

    Raises
    ------
    BackupDamaged
        If it is none, or ends within an event.
    """
    waiting = bytearray()
    started = False
    for data in source:
        waiting += data
        if not started and len(waiting) >= len(MAGIC):
            if not waiting.startswith(MAGIC):
                raise BackupDamaged("what the server sent is no binary log of MariaDB")
            del waiting[: len(MAGIC)]
            started = True
        at = 0
        while started and len(waiting) - at >= _HEADER.size:
            time_s, kind, server, size, _, _ = _HEADER.unpack_from(waiting, at)
            if not _HEADER.size <= size <= _EVENT_BYTES_MAX:
                raise BackupDamaged(f"a binary log has an event of {size} bytes; it is damaged")
            if len(waiting) - at < size:
                break
            yield Event(kind, time_s, server, bytes(waiting[at : at + size]))
            at += size
        del waiting[:at]
    if waiting or not started:
        raise BackupDamaged("a binary log ends within an event; it was cut short")


def between(source: Iterable[bytes], start: Position, stop: int | None) -> Iterator[bytes]:
    """Yield a log as the server sent it from a place on, up to a byte of the log, or to its end.

    The server repeats the event that describes the format, so a part of a log is a log. Where it keeps its log
    encrypted, it sends it plain, and repeats the event that says so as well, as one that readers pass over.

    Raises
    ------
    BackupDamaged
        If the events do not stand where they say, or the log ends before ``stop``.
    """
    yield MAGIC
    at = 4
    for event in events(source):
        end = _HEADER.unpack_from(event.raw)[4]
        if event.kind == _FORMAT and start.offset > 4 and at == 4:
            yield event.raw
            at = start.offset
            continue
        if event.kind == _START_ENCRYPTION and end == 0:  # it stands nowhere in this part
            continue
        if stop is not None and at >= stop:
            break
        at += len(event.raw)
        if end not in (0, at % _OFFSETS):
            raise BackupDamaged(
                f"{start.log}: an event that ends at {end} stands at {at}; the server sent something else than its log"
            )
        yield event.raw
    if stop is not None and at != stop:
        raise BackupDamaged(f"{start.log}: was sent up to {at}, not to {stop}")


def joined(sources: Iterable[Iterable[bytes]], limit: Limit, reached: Reached) -> Iterator[bytes]:
    """Yield logs that follow each other as one, up to a limit; ``reached`` is told of every transaction."""
    yield MAGIC
    for source in sources:
        for event in events(source):
            gtid = event.gtid
            if gtid is not None:
                if limit.met(event, gtid):
                    reached.complete = False
                    return
                reached.note(event, gtid)
            if event.kind != _GTID_LIST:  # what came before a log: not what came before it here
                yield event.raw


@dataclass(frozen=True)
class Statement:
    """A statement that changed tables, or was written as a statement."""

    gtid: Gtid
    at: datetime
    text: str


def statements(source: Iterable[bytes]) -> Iterator[Statement]:
    """Yield the statements of a log that make, alter, empty or drop something."""
    begun: Gtid | None = None
    for event in events(source):
        gtid, text = event.gtid, event.statement
        if gtid is not None:
            begun = gtid if event.changes_tables else None
        elif begun is not None and text is not None:
            yield Statement(begun, datetime.fromtimestamp(event.time_s, UTC), text)
            begun = None
