"""The audit log as a hash chain: each entry has a place, and its hash has the hash of the place before in it.

Whoever knows the end of the chain, ``POSITION:HASH``, can tell whether anything before it was changed, left out,
put in or put elsewhere since. The chain is made by whoever writes entries, as the last thing before the commit: the row
of the end is locked last and for a moment, so writers never wait for each other in a circle.

The hash is SHA-256 of the entry as JSON in UTF-8: keys sorted, no spaces, nothing escaped that need not be::

    {"action":..,"created_at":"2026-01-31T12:00:00.000000Z","id":..,"ip_address":..,"new_values":..,"old_values":..,
     "position":..,"previous_hash":..,"resource":..,"user_id":..}

It never changes: entries of ten years ago are checked by it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import event, func, select, text
from sqlalchemy.orm import Session

from ledger.errors import BadInput, ProblemFound
from ledger.models import AuditHead, AuditLink, AuditLog

GENESIS = "0" * 64
"""What stands for the hash before the first."""
_PENDING = "audit entries without a place"
_PIECE = 1_000
_DIGITS_MAX = 19
"""Of a place: those of the largest number that the database has."""
_ENTRY = (
    AuditLog.id,
    AuditLog.user_id,
    AuditLog.action,
    AuditLog.resource,
    AuditLog.old_values,
    AuditLog.new_values,
    AuditLog.ip_address,
    AuditLog.created_at,
)
_FIELDS = tuple(column.key for column in _ENTRY)


@dataclass(frozen=True)
class Head:
    """An end of the chain: the last place and its hash."""

    position: int
    entry_hash: str

    def __str__(self) -> str:
        return f"{self.position}:{self.entry_hash}"

    @classmethod
    def read(cls, said: str) -> Head:
        """Return the end that a text names.

        Raises
        ------
        BadInput
            If it names none.
        """
        position, _, digits = said.strip().partition(":")
        number = position.isascii() and position.isdigit() and len(position) <= _DIGITS_MAX
        usual = number and len(digits) == len(GENESIS)
        if not usual or not set(digits) <= set("0123456789abcdef"):
            raise BadInput(
                f"{said!r} is no end of the chain; write POSITION:HASH as `audit head` says it"
            )
        return cls(int(position), digits)


@dataclass(frozen=True)
class Linked:
    """An entry with its place; ``entry`` is None where there is none at the place, empty where it is unreadable."""

    position: int
    audit_id: int
    previous_hash: str
    entry_hash: str
    entry: Mapping[str, Any] | None

    def is_as_written(self) -> bool:
        """Return whether the entry has its hash; one whose values are of no kind that was written has none."""
        if not self.entry:
            return False
        try:
            return self.entry_hash == entry_hash(self.position, self.previous_hash, self.entry)
        except (AttributeError, TypeError, ValueError, OverflowError, RecursionError):
            return False


@dataclass(frozen=True)
class Checked:
    """What a check found: the end of what was read, and what is wrong, in the order of places."""

    head: Head
    problems: tuple[str, ...]


def entry_hash(position: int, previous_hash: str, entry: Mapping[str, Any]) -> str:
    """Return the hash of an entry at a place.

    Parameters
    ----------
    entry
        ``id``, ``user_id``, ``action``, ``resource``, ``old_values``, ``new_values``, ``ip_address`` and
        ``created_at`` (aware), as the database has them.
    """
    at: datetime = entry["created_at"]
    document = {name: entry[name] for name in _FIELDS}
    document |= {
        "created_at": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "position": position,
        "previous_hash": previous_hash,
    }
    line = json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(line.encode("utf-8", "surrogatepass")).hexdigest()


def follow(session: Session, audit_id: int) -> None:
    """Give an entry its place when the unit of work is committed."""
    pending: list[int] | None = session.info.get(_PENDING)
    if pending is None:
        pending = session.info[_PENDING] = []
        event.listen(session, "before_commit", _link)
    pending.append(audit_id)


def has_pending(session: Session) -> bool:
    """Return whether entries of this unit of work have no place yet."""
    return bool(session.info.get(_PENDING))


def head_of(session: Session) -> Head:
    """Return the end of the chain, as the database says it."""
    head = select(AuditHead.position, AuditHead.entry_hash).where(AuditHead.id == 1)
    row = session.execute(head).one_or_none()
    return Head(0, GENESIS) if row is None else Head(row.position, row.entry_hash)


def check(session: Session, known: Head | None = None) -> Checked:
    """Compare the whole log with its chain, in one snapshot.

    Parameters
    ----------
    known
        An end of the chain that was kept elsewhere: what was cut off or written anew since then is found by it.
    """
    checked = check_entries(_linked(session), known)
    problems = list(checked.problems)
    stated = head_of(session)
    if type(stated.position) is int and stated.position > checked.head.position:
        missing = stated.position - checked.head.position
        problems.append(
            f"the newest {missing} entries are missing: the chain had {stated.position} places"
        )
    elif stated != checked.head:
        problems.append(
            f"the chain ends with {checked.head}, and the database has {stated} for its end"
        )
    loose = (
        select(AuditLog.id)
        .outerjoin(AuditLink, AuditLink.audit_id == AuditLog.id)
        .where(AuditLink.position.is_(None))
        .order_by(AuditLog.id)
    )
    problems += map(without_place, session.scalars(loose))
    return Checked(checked.head, tuple(problems))


def check_entries(
    found: Iterable[Linked], known: Head | None = None, *, whole: bool = True
) -> Checked:
    """Compare entries with the places that they say they have.

    Parameters
    ----------
    found
        Ascending by place.
    known
        An end of the chain that was kept elsewhere.
    whole
        Whether every place must be there; False: entries were chosen, and each one is checked for itself.
    """
    problems: list[str] = []
    last, met = Head(0, GENESIS), known is None or known.position == 0
    for item in found:
        place = f"entry {item.audit_id} (place {item.position})"
        if type(item.position) is not int or item.position < 1:
            problems.append(f"{place} has a place that the chain has not: put in by other hands")
            continue
        if item.position > last.position + 1 and whole:
            between = f"{last.position + 1} to {item.position - 1}"
            problems.append(f"places {between} are missing, before {place}")
        elif item.position <= last.position:
            problems.append(f"{place} stands twice")
            continue
        elif item.position == last.position + 1 and item.previous_hash != last.entry_hash:
            problems.append(f"{place} does not follow on the place before it")
        if item.entry is None:
            problems.append(f"{place} was deleted")
        elif not item.is_as_written():
            problems.append(
                f"{place} is not what was written: it was edited, or stands where another one stood"
            )
        last = Head(item.position, item.entry_hash)
        if known is not None and known.position == item.position:
            met = True
            if known.entry_hash != item.entry_hash:
                problems.append(
                    f"place {item.position} has another hash than {known}: the chain was written anew"
                )
    if known is not None and not met and whole and last.position < known.position:
        problems.append(
            f"the chain ends at place {last.position}, before {known}: newer entries were cut off"
        )
    return Checked(last, tuple(problems))


def without_place(audit_id: int) -> str:
    """Return the problem that an entry has no place."""
    return f"entry {audit_id} has no place in the chain: put in by other hands"


def link_all(session: Session, audit_ids: Iterable[int]) -> None:
    """Give entries their places, in this order; the end of the chain stays locked until the commit.

    Raises
    ------
    ProblemFound
        If the row of the chain's end is gone, though there are places, or has no number.
    """
    head = _locked_head(session)
    wanted = list(audit_ids)
    for start in range(0, len(wanted), _PIECE):
        piece = wanted[start : start + _PIECE]
        rows = session.execute(select(*_ENTRY).where(AuditLog.id.in_(piece))).all()
        entries = {row.id: row._asdict() for row in rows}  # without those that were rolled back
        links = []
        for number in piece:
            if number in entries:
                place = head.position + 1
                hashed = entry_hash(place, head.entry_hash, entries[number])
                links.append(
                    {
                        "position": place,
                        "audit_id": number,
                        "previous_hash": head.entry_hash,
                        "entry_hash": hashed,
                    }
                )
                head = Head(place, hashed)
        if links:
            session.execute(AuditLink.__table__.insert(), links)  # type: ignore[attr-defined]
    session.execute(
        text(
            f"{_latest(session)}UPDATE audit_heads SET position = :position, entry_hash = :hash WHERE id = 1"
        ),
        {"position": head.position, "hash": head.entry_hash},
    )


def _link(session: Session) -> None:
    """Run before a commit: give the entries of the unit of work their places."""
    if session.in_nested_transaction():
        return
    pending: list[int] = session.info[_PENDING]
    if pending:
        session.flush()
        link_all(session, dict.fromkeys(pending))  # SQLite gives a number again after a savepoint
        pending.clear()


def _locked_head(session: Session) -> Head:
    lock = "" if session.get_bind().dialect.name == "sqlite" else " FOR UPDATE"
    read = text(
        f"{_latest(session)}SELECT position, entry_hash FROM audit_heads WHERE id = 1{lock}"
    )
    row = session.execute(read).one_or_none()
    if row is not None and type(row.position) is int:
        return Head(row.position, str(row.entry_hash))
    if row is not None or session.scalar(select(func.count()).select_from(AuditLink)):
        raise ProblemFound(
            "the end of the audit chain is gone from audit_heads, or is no number there, though the chain has places; "
            "see `truetonne audit verify`, and put the row back from a backup",
            code="audit-head-missing",
        )
    session.execute(
        AuditHead.__table__.insert(),  # type: ignore[attr-defined]
        {"id": 1, "position": 0, "entry_hash": GENESIS},
    )
    return Head(0, GENESIS)


def _latest(session: Session) -> str:
    """Return what lets MariaDB lock the newest version of a row, also one newer than the snapshot of this unit of work.

    Without it, everybody who read anything before another one's commit would be told to begin anew (1020). Nothing
    that was read of the end before is relied upon here, so there is nothing to protect.
    """
    dialect = session.get_bind().dialect
    is_mariadb = dialect.name != "sqlite" and getattr(dialect, "is_mariadb", False)
    return "SET STATEMENT innodb_snapshot_isolation=0 FOR " if is_mariadb else ""


def _linked(session: Session) -> Iterator[Linked]:
    piece = select(AuditLink).order_by(AuditLink.position).limit(_PIECE)
    place: int | None = None  # from the first on: other hands may have given one before place 1
    while True:
        beyond = piece if place is None else piece.where(AuditLink.position > place)
        links = session.scalars(beyond).all()
        entries = _entries(session, [link.audit_id for link in links])
        for link in links:
            place = link.position
            entry = entries.get(link.audit_id)
            yield Linked(link.position, link.audit_id, link.previous_hash, link.entry_hash, entry)
        session.expunge_all()
        if len(links) < _PIECE:
            return


def _entries(session: Session, numbers: Sequence[int]) -> dict[int, Mapping[str, Any]]:
    """Return entries by number; an empty one for what other hands made unreadable.

    SQLite keeps what is no JSON, and no time.
    """
    try:
        rows = session.execute(select(*_ENTRY).where(AuditLog.id.in_(numbers))).all()
    except (TypeError, ValueError):
        if len(numbers) == 1:
            return {numbers[0]: {}}
        middle = len(numbers) // 2
        return _entries(session, numbers[:middle]) | _entries(session, numbers[middle:])
    return {row.id: row._asdict() for row in rows}
