"""What a reduction does not count, to be shown beside it: late readings, and differences over a border of it."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ledger import models
from ledger.models.readings import ReadingQuality
from ledger.readings.periods.metered import meter_ids
from ledger.reductions.records import ReductionInputs


def late_readings(session: Session, inputs: ReductionInputs) -> int:
    """Return how many readings of a period came after it was issued; a reduction leaves them out.

    Of a register they are those that came, and not the intervals between them, but for one at the end
    of the period: it is in time for the next.
    """
    ids = meter_ids(session, [meter.serial for meter in inputs.meters])
    registers = [ids[meter.serial] for meter in inputs.meters if meter.register]
    table = models.MeterReading
    closes = table.start_s + table.duration_s == inputs.to_s
    query = (
        select(func.count())
        .select_from(table)
        .where(
            table.meter_id.in_(ids.values()),
            table.start_s >= inputs.from_s,
            table.start_s < inputs.to_s,
            table.quality == ReadingQuality.LATE,
            table.meter_id.not_in(registers) | closes,
        )
    )
    register = models.RegisterReading
    instants = (
        select(func.count())
        .select_from(register)
        .where(
            register.meter_id.in_(registers),
            register.at_s >= inputs.from_s,
            register.at_s < inputs.to_s,
            register.quality == ReadingQuality.LATE,
        )
    )
    return (session.scalar(query) or 0) + (session.scalar(instants) or 0)


class OverBorder(NamedTuple):
    """What a register counted between two readings on both sides of a border of a period, in no period."""

    device: str
    start_s: int
    end_s: int
    kwh: Fraction


def over_borders(session: Session, inputs: ReductionInputs) -> list[OverBorder]:
    """Return what registers that count counted over the begin and the end of a period, where that is anything."""
    registers = [meter for meter in inputs.meters if meter.register and meter.role.counts]
    ids = meter_ids(session, [meter.serial for meter in registers])
    table = models.MeterReading
    found = []
    for meter in registers:
        for border_s in (inputs.from_s, inputs.to_s):
            query = select(table).where(
                table.meter_id == ids[meter.serial],
                table.start_s < border_s,
                table.quality == ReadingQuality.USED,
            )
            last = session.scalars(query.order_by(table.start_s.desc()).limit(1)).first()
            if last is None or not last.value_digits or last.start_s + last.duration_s <= border_s:
                continue
            kwh = Fraction(last.value_digits, 10 ** (last.value_scale or 0))
            end_s = last.start_s + last.duration_s
            found.append(OverBorder(meter.device_code, last.start_s, end_s, kwh))
    return found
