"""Rule of the meter files: each that brought readings is the one of the audit log, and its readings are there."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ledger.models import AuditLog, ImportFile, MeterReading, MeterSeries, RegisterReading
from ledger.models.sites import SourceKind
from ledger.readings.imports.importing import IMPORTED, audited
from ledger.reconcile.books import Sides
from ledger.reconcile.pieces import pieces
from ledger.reconcile.report import unequal

_AGAIN = "restore what was altered from a backup"


def imported_files(books: Sides) -> list[str]:
    """Each file that brought readings says what the audit log says of it, and as many readings are of it.

    Files from before the audit log named them are not looked at.
    """
    session = books.session
    query = select(AuditLog.resource, AuditLog.new_values).where(AuditLog.action == IMPORTED)
    registers, intervals = _counted(session, RegisterReading), _counted(session, MeterReading)
    of_registers = _of_registers(session)
    found = []
    for here in pieces(session, AuditLog.id):
        entries = session.execute(query.where(here).order_by(AuditLog.id))
        # Not by number: SQLite gives that of a row which somebody deleted to the next one.
        said = [(int(place.rpartition("/")[2]), values) for place, values in entries]
        numbers = {number for number, _ in said}
        rows = session.scalars(select(ImportFile).where(ImportFile.id.in_(numbers)))
        held = {row.id: row for row in rows}
        for number, values in said:
            what = f"import file {number} ({values['file']})"
            if number not in held:
                found.append(f"{what}: the audit log says that it was imported; {_AGAIN}")
                continue
            now = audited(held[number])
            compared = ((name, now[name], values[name]) for name in now)
            found += unequal(what, *compared, by="the audit log says")
            # Of a register the rows of intervals follow from its readings, whichever file brought them.
            is_register = held[number].source_id in of_registers
            count = registers[number] or (0 if is_register else intervals[number])
            brought = values["new"] + values["conflicts"]
            if count != brought:
                found.append(
                    f"{what}: it brought {brought} readings, and {count} are there; {_AGAIN}"
                )
    return found


def _of_registers(session: Session) -> set[int]:
    """Return the sources, by row number, whose meters are all registers."""
    kinds = session.execute(select(MeterSeries.source_id, MeterSeries.kind).distinct()).all()
    others = {source for source, kind in kinds if kind != SourceKind.COUNTER}
    return {source for source, _ in kinds} - others


def _counted(session: Session, table: type[MeterReading] | type[RegisterReading]) -> Counter[int]:
    """Return how many rows of a table each file brought."""
    query = select(table.file_id, func.count()).group_by(table.file_id)
    return Counter({number: count for number, count in session.execute(query)})
