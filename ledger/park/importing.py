"""Rows of a file into the table of their kind: one engine for all kinds.

The good rows are kept and the others reported, as with every file that the ledger takes in. Judged is what would
stand in the books when all good rows are written, so that the order of rows does not matter. A second time the
same file changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger import audit
from ledger.codes import unreachable
from ledger.errors import BadInput
from ledger.models.base import Base
from ledger.park.fields import Field
from ledger.park.files import RawRow, RecordFile
from ledger.park.kinds import Kind
from ledger.park.reading import refused, short
from ledger.park.rows import ImportReport, Row
from ledger.park.rules import checked
from ledger.park.together import pieces
from ledger.park.turn import take_turn
from ledger.spreadsheets import Wrong


def import_records(session: Session, kind: Kind, file: RecordFile) -> ImportReport:
    """Import a file of records; an entry in the audit log tells of it.

    Parameters
    ----------
    session
        The unit of work.
    kind
        The kind that the rows are of.
    file
        As ``read_file`` returned it.

    Returns
    -------
    ImportReport
        With the rows that were rejected, if any; for them nothing is raised.
    """
    report = ImportReport(kind.name, file.sha256)
    written = _take(session, kind, file.rows, report, kind.stays)
    if written:
        audit.record(
            session,
            "park.import",
            kind.table,
            {},
            {
                "file": file.name,
                "sha256": file.sha256,
                "new": report.new,
                "changed": report.changed,
                "rejected": report.rejected,
            },
        )
    return report


def set_record(session: Session, kind: Kind, cells: dict[str, Any]) -> ImportReport:
    """Make one record, or change the one that has this key; what is not named stays.

    Parameters
    ----------
    cells
        Text, or values of JSON, by field.

    Raises
    ------
    BadInput
        If a value cannot be used; nothing is written.
    """
    unknown = sorted(set(cells) - set(kind.columns))
    if unknown:
        raise BadInput(
            f"{kind.name} has no column {unknown[0]!r}; there are {', '.join(kind.columns)}"
        )
    report = ImportReport(kind.name, "")
    row = RawRow(1, dict(cells))
    written = _take(session, kind, (row,), report)
    for error in report.errors:
        raise refused(kind.name, Wrong(error.column, error.message))
    for made in written:
        if made.old is None:
            said = _told(kind, made.given) | _codes(kind, made)
            audit.record(session, "park.add", f"{kind.table}/{made.number}", {}, said)
    return report


def _take(
    session: Session,
    kind: Kind,
    raw: Sequence[RawRow],
    report: ImportReport,
    stays: Callable[[Row], Collection[str]] | None = None,
) -> list[Row]:
    """Write the good rows, count all of them, and return those that were written."""
    take_turn(session)
    report.read = len(raw)
    rows = list(_read(kind, raw, report))
    rows = _with_parents(session, kind, rows, report)
    rows = _once_each(kind, rows, report)
    _find_stored(session, kind, rows)
    for row in rows:
        for name in stays(row) if stays is not None and row.old is not None else ():
            row.given.pop(name, None)
    writable = []
    for row in rows:
        wrong = _new(kind, row) or _allowed(kind, row) or next(checked(row, kind.rules), None)
        if row.old is not None and not row.differing:
            report.unchanged += 1  # whatever the rules say today, it stands there
        elif wrong is not None:
            report.reject(row, wrong)
        else:
            writable.append(row)
    for rule in kind.together:
        rule(session, writable)
        for row in writable:
            if row.wrong is not None:
                report.reject(row, row.wrong)
        writable = [row for row in writable if row.wrong is None]
    report.errors.sort(key=lambda error: error.line)
    _write(session, kind, writable, report)
    if kind.warnings is not None:
        report.warnings += kind.warnings(session, writable)
    return writable


def _read(kind: Kind, raw: Iterable[RawRow], report: ImportReport) -> Iterable[Row]:
    """Yield the rows whose cells can be read."""
    fields = {field.name: field for field in kind.fields}
    for item in raw:
        try:
            if item.wrong is not None:
                raise item.wrong
            for name in kind.key:
                if name not in item.cells:
                    raise Wrong(name, "is missing")
            given = {name: fields[name].read(cell) for name, cell in item.cells.items()}
        except Wrong as wrong:
            report.reject(item, wrong)
            continue
        yield Row(item.line, given, nth=item.nth)


def _with_parents(session: Session, kind: Kind, rows: list[Row], report: ImportReport) -> list[Row]:
    """Put the parents' row numbers where their codes are, and return the rows whose parents are known."""
    for field in kind.fields:
        if field.refers is None:
            continue
        known = _parents(session, field, {row.given.get(field.name) for row in rows} - {None})
        found = []
        for row in rows:
            code = row.given.get(field.name)
            if code is None:
                found.append(row)
                continue
            parent = known.get(code)
            if parent is None:
                report.reject(row, Wrong(field.name, _unknown(field, code)))
                continue
            row.parents[field.name] = parent
            if not field.refers.by_code:
                row.given[field.name] = parent.id
            found.append(row)
        rows = found
    return rows


def _parents(session: Session, field: Field, codes: set[Any]) -> dict[str, Any]:
    refers = field.refers
    assert refers is not None
    column = getattr(refers.model, refers.code)
    longest = column.type.length  # what is longer is no parent's code, and cannot be asked for
    found: dict[str, Any] = {}
    for piece in pieces(sorted(code for code in codes if len(code) <= longest)):
        for parent in session.scalars(select(refers.model).where(column.in_(piece))):
            found[getattr(parent, refers.code)] = parent
    return found


def _unknown(field: Field, code: str) -> str:
    refers = field.refers
    assert refers is not None
    way = (
        f"; add it: truetonne park import {refers.kind} FILE, or in the site file"
        if refers.kind in ("devices", "device-types", "vpps", "resources")
        else f"; add it: truetonne park import {refers.kind} FILE"
        if refers.kind
        else ""
    )
    return f"there is no {refers.noun} {code[:100]!r}{way}"


def _once_each(kind: Kind, rows: list[Row], report: ImportReport) -> list[Row]:
    """Return the rows without those that tell of a record that an earlier line tells of."""
    seen: dict[tuple[Any, ...], Row] = {}
    found = []
    for row in rows:
        earlier = seen.setdefault(_key(kind, row.given), row)
        if earlier is row:  # not by lines: a list in JSON may stand in one
            found.append(row)
        else:
            keys = ", ".join(kind.key)
            said = f"the same {kind.one} ({keys}) stands in line {earlier.line}"
            report.reject(row, Wrong(kind.key[0], said))
    return found


def _key(kind: Kind, values: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(values[name] for name in kind.key)


def _find_stored(session: Session, kind: Kind, rows: list[Row]) -> None:
    """Put what is stored beside each row."""
    if not rows:
        return
    by_key = {_key(kind, row.given): row for row in rows}
    first = kind.field(kind.key[0])
    query = select(kind.model)
    if kind.time in kind.key:
        times = [row.given[kind.time] for row in rows]
        column = getattr(kind.model, kind.field(kind.time).attribute)
        query = query.where(column.between(min(times), max(times)))
    attribute = getattr(kind.model, first.attribute)
    for piece in pieces(sorted({row.given[first.name] for row in rows})):
        for stored in session.scalars(query.where(attribute.in_(piece)).with_for_update()):
            before = {field.name: getattr(stored, field.attribute) for field in kind.fields}
            row = by_key.get(_key(kind, before))
            if row is not None:
                row.old, row.before = stored, before
                _leave_kept(kind, row)


def _leave_kept(kind: Kind, row: Row) -> None:
    """Put into a row what acts wrote into the objects of its record: that is no file's to change."""
    for name, members in kind.kept:
        stored = row.before[name] or {}
        said = {member: value for member, value in stored.items() if member in members and value}
        if said and name in row.given:
            given = row.given[name] or {}
            row.given[name] = {each: given[each] for each in given if each not in members} | said


def _new(kind: Kind, row: Row) -> Wrong | None:
    """Return what a new row lacks, or why nobody could ask for it; one that is there keeps its code."""
    if row.old is not None:
        return None
    if kind.code is not None:
        code = row.given[kind.code]
        why = unreachable(code)
        if why is not None:
            return Wrong(kind.code, f"{short(code)} {why}")
    for field in kind.fields:
        if field.required and field.name not in row.given:
            return Wrong(field.name, f"is missing, and this {kind.one} is new")
    return None


def _allowed(kind: Kind, row: Row) -> Wrong | None:
    """Return what a row would change that stays as it is."""
    if row.old is None:
        return None
    for name, value in row.differing.items():
        before = row.before[name]
        if name in kind.changes or (name in kind.once and before is None):
            continue
        said = kind.field(name).cell(before) or "nothing"
        if name in kind.once and value is not None:
            return Wrong(name, f"is recorded as {said[:100]}, once and for all")
        return Wrong(name, f"is recorded as {said[:100]} and is never changed")
    return None


def _write(session: Session, kind: Kind, rows: Sequence[Row], report: ImportReport) -> None:
    made: list[Base] = []
    for row in rows:
        if row.old is None:
            values = {kind.field(name).attribute: value for name, value in row.given.items()}
            record = kind.model(**values)
            made.append(record)
            row.made = record
            report.new += 1
            continue
        differing = row.differing
        for name, value in differing.items():
            setattr(row.old, kind.field(name).attribute, value)
        before = _told(kind, {name: row.before[name] for name in differing})
        after = _told(kind, differing)
        key = _told(kind, {name: row.before[name] for name in kind.key}) | _codes(kind, row)
        report.change(row.line, {name: key[name] for name in kind.key}, before, after)
        if not kind.quiet:
            audit.record(session, "park.change", f"{kind.table}/{row.number}", before, after)
    session.add_all(made)
    session.flush()


def _codes(kind: Kind, row: Row) -> dict[str, Any]:
    """Return the codes of a row's parents, by field."""
    fields = (field for field in kind.fields if field.name in row.parents)
    return {f.name: getattr(row.parents[f.name], f.refers.code) for f in fields if f.refers}


def _told(kind: Kind, values: dict[str, Any]) -> dict[str, Any]:
    """Return values as the audit log has them."""
    return {name: kind.field(name).written(value) for name, value in values.items()}
