"""Withdraws or restores readings so that they are again as an issuance was planned with, which was void meanwhile.

Its evidence root was made of them as they were then. Readings that came after it was planned are late for it, and
stay as they are. ``as_now`` is the way back, when such an issuance is void once more.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from ledger.models import ImportFile, Meter, MeterReading, ReadingRestoration, ReadingWithdrawal
from ledger.readings.imports.requalify import Since
from ledger.readings.imports.selected import give_values, take_values
from ledger.readings.periods.issued import claimed_slots
from ledger.readings.rows.withdrawals import ends_it, was_withdrawn
from ledger.reductions.zones import TIMES_END_S


def as_planned(session: Session, meter_id: int, since: Since) -> None:
    """Bring the readings of an issuance to what they were when it was planned."""
    session.flush()
    session.execute(select(Meter.id).where(Meter.id == meter_id).with_for_update())
    query = _with_acts(meter_id).where(
        MeterReading.start_s >= since.from_s,
        MeterReading.start_s < since.to_s,
        ImportFile.imported_at <= since.moment,
    )
    _bring(session, query, since.moment, lambda _: True)


def as_now(session: Session, meter_id: int) -> None:
    """Bring readings that no live issuance has to what they are today, as theirs is void again."""
    # Locked, and first, as ``requalify`` does: else an import that is at work on it waits for this, and this for it.
    session.execute(select(Meter.id).where(Meter.id == meter_id).with_for_update())
    query = _with_acts(meter_id)
    if session.execute(query.limit(1)).first() is None:  # as nearly always
        return
    claimed = claimed_slots(session, meter_id, 0, TIMES_END_S)
    _bring(session, query, None, lambda row: row.start_s not in claimed)


def _with_acts(meter_id: int) -> Select[*tuple[Any, ...]]:
    """Return the query of the readings of a meter that were ever withdrawn, once for each time that they were."""
    table = MeterReading
    query: Select[*tuple[Any, ...]] = (
        select(
            table.id,
            table.start_s,
            table.kind,
            table.unit,
            table.text,
            table.value_digits,
            ReadingWithdrawal.withdrawn_at,
            ReadingRestoration.restored_at,
        )
        .join(ReadingWithdrawal, ReadingWithdrawal.reading_id == table.id)
        .outerjoin(ReadingRestoration, ends_it())
        .join(ImportFile, ImportFile.id == table.file_id)
        .where(table.meter_id == meter_id)
        .order_by(table.id)
        .with_for_update(read=True)  # what is committed now
    )
    return query


def _bring(
    session: Session,
    query: Select[*tuple[Any, ...]],
    moment: datetime | None,
    concerns: Callable[[Any], bool],
) -> None:
    taken, given = [], []
    for number, group in groupby(session.execute(query).all(), key=attrgetter("id")):
        acts = list(group)
        if not concerns(acts[0]):
            continue
        withdrawn = was_withdrawn(((row.withdrawn_at, row.restored_at) for row in acts), moment)
        if withdrawn and acts[0].value_digits is not None:
            taken.append(number)
        elif not withdrawn and acts[0].value_digits is None:
            given.append(acts[0])
    take_values(session, taken)
    give_values(session, given)
    session.expire_all()
