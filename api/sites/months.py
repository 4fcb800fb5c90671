"""What the legal months of a site brought: energy by its devices, and issuances of its projects."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import and_, select
from sqlalchemy.orm import Session, defer

from api.credits.then import status_changes
from api.finality import ChainView
from api.sites.periods import (
    bounds_of,
    first_day,
    first_seconds,
    hours_together,
    month_number,
    sums_of_hours,
)
from api.sites.schemas import IssuanceItem, Month
from ledger.chain.sending.issued import batch_of
from ledger.db.tables import ends_among
from ledger.models import (
    CreditBatch,
    Device,
    EnergyConsumption,
    EnergyProduction,
    Issuance,
    Meter,
    Project,
)
from ledger.models.credits import BatchStatus
from ledger.models.issuance import IssuanceState
from ledger.readings.inventory import draws
from ledger.reductions.records import Role
from ledger.reductions.zones import legal_day, legal_day_start_s
from ledger.units import DAY_S, HOUR_S

MONTHS_MAX = 120
"""Most months of one answer: the last ones."""
ISSUANCES_MAX = 500
"""Most issuances of one answer: the last ones."""
_MONTHS_AT_ONCE = 24
"""Of one statement: SQLite takes 500 parts of one at most."""
_VALUES_MAX = 20_000
"""Of one statement: SQLite takes 32,766."""
_KWH_ZERO = Decimal("0.000")
_Issued = tuple[Issuance, str, int | None, int | None]
"""An issuance, the code of its project, and number and block of its batch."""


def months_of(
    session: Session, where: ZoneInfo, device_ids: Sequence[int], project_ids: Sequence[int]
) -> list[Month]:
    """Return what each legal month brought, from the first that brought anything to the last that has begun.

    Energy of months to come is a wrong clock's: one reading of 2062 would leave no room for the months that were. Where
    nothing else is there, the first of these is shown. An hour belongs to the month in which it begins (of the first,
    ``hours_of`` tells), an issuance to the one in which its period does.

    Parameters
    ----------
    where
        The site's legal zone.
    device_ids, project_ids
        Row numbers of the devices whose energy counts, and of the projects whose issuances do.
    """
    issued = _issued_by_month(session, project_ids)
    days, firsts = _days_with_energy(session, where, device_ids)
    ends = [month_number(day) for day in days]
    ends += [_month(text) for text in issued]
    if not ends:
        return []
    first, last = min(ends), max(ends)
    last = min(last, max(first, month_number(legal_day(int(time.time()) + DAY_S, where))))
    months = range(max(first, last - MONTHS_MAX + 1), last + 1)
    drawing = _that_draw(session, device_ids)
    produced = _sums(session, EnergyProduction, where, months, device_ids, firsts)
    consumed = _sums(session, EnergyConsumption, where, months, drawing, firsts)
    return [_total(month, produced.get(month), consumed.get(month), issued) for month in months]


def issuances_of(
    session: Session, view: ChainView, project_ids: Sequence[int], block: int | None = None
) -> list[IssuanceItem]:
    """Return the issuances of projects that are not void, oldest period first; the last ``ISSUANCES_MAX``.

    Parameters
    ----------
    block
        Those alone that stand in this block or an earlier one; None: all, what is planned too.
    """
    query = (
        select(Issuance, Project.code, CreditBatch.batch_id, CreditBatch.block_number)
        .join(Project, Project.id == Issuance.project_id)
        .outerjoin(
            CreditBatch,
            and_(
                CreditBatch.key == Issuance.key,
                CreditBatch.evidence_root == Issuance.evidence_root,  # others may use a key of ours
            ),
        )
        .where(Issuance.project_id.in_(project_ids), Issuance.state != IssuanceState.VOID)
        .options(defer(Issuance.manifest))  # the longest column by far, and not shown
        .order_by(Issuance.from_s.desc(), Issuance.id.desc())
        .limit(ISSUANCES_MAX)
    )
    if block is not None:
        query = query.where(CreditBatch.block_number <= block)
    found = [
        _without_others(session, (row, code, batch_id, number))
        for row, code, batch_id, number in reversed(session.execute(query).all())
    ]
    statuses = _statuses(session, [number for _, _, number, _ in found if number], block)
    return [
        IssuanceItem.model_validate(
            {
                "key": row.key,
                "project": code,
                "vintage": row.vintage,
                "from": row.from_date,
                "to": row.to_date,
                "state": row.state,
                "net_kwh": row.net_kwh,
                "reductions_kg": row.reductions_kg,
                "issued_kg": row.issued_kg,
                "batch_id": batch_id,
                "batch_status": statuses.get(batch_id),
                "final": view.is_final(number),
            }
        )
        for row, code, batch_id, number in found
        if block is None or batch_id is not None
    ]


def _statuses(
    session: Session, batch_ids: Sequence[int], block: int | None
) -> dict[int | None, BatchStatus]:
    """Return the status of each batch, as it is, or as it was at the end of a block."""
    if block is None:
        query = select(CreditBatch.batch_id, CreditBatch.status).where(
            CreditBatch.batch_id.in_(batch_ids)
        )
        return {number: status for number, status in session.execute(query)}
    then: dict[int | None, BatchStatus] = dict.fromkeys(batch_ids, BatchStatus.ACTIVE)
    for number, status, _ in status_changes(session, up_to=block, of=batch_ids):
        then[number] = status
    return then


def _without_others(session: Session, found: _Issued) -> _Issued:
    """Take the batch from an issuance whose key others have used up for a claim of theirs."""
    row, code, batch_id, _ = found
    planned = row.state is IssuanceState.PLANNED and batch_id is not None
    if planned and batch_of(session, row.key) is None:
        return row, code, None, None
    return found


def _that_draw(session: Session, device_ids: Sequence[int]) -> list[int]:
    """Return the devices whose consumption their site draws, as its inventory has it.

    A load behind an import meter has no part in it: what it uses was drawn there, or produced on the site.
    """
    query = select(Meter).where(Meter.device_id.in_(device_ids)).order_by(Meter.id)
    kinds = {
        meter.device_id: (meter.site_id, Role(meter.role.value)) for meter in session.scalars(query)
    }
    drawing = {kind for kind in set(kinds.values()) if draws(session, *kind)}
    return [device_id for device_id, kind in kinds.items() if kind in drawing]


def _total(
    month: int,
    produced: Decimal | None,
    consumed: Decimal | None,
    issued: dict[str, tuple[Decimal, int]],
) -> Month:
    text = f"{first_day(month):%Y-%m}"
    reductions, amount = issued.get(text, (Decimal(0), 0))
    return Month(
        month=text,
        production_kwh=produced or _KWH_ZERO,
        consumption_kwh=consumed or _KWH_ZERO,
        reductions_kg=reductions,
        issued_kg=amount,
    )


def _sums(
    session: Session,
    table: Any,
    where: ZoneInfo,
    months: range,
    device_ids: Sequence[int],
    firsts: dict[int, int],
) -> dict[int, Decimal]:
    """Return what devices have in a table, by month; of months without an hour nothing, or zero."""
    alike = defaultdict[tuple[int, ...], list[tuple[int, tuple[int, int]]]](list)
    for month in months:
        start_s, end_s = (legal_day_start_s(first_day(each), where) for each in (month, month + 1))
        for hours_s, together in hours_together((start_s, end_s), device_ids, firsts).items():
            alike[tuple(together)].append((month, hours_s))
    found = defaultdict[int, Decimal](Decimal)
    for ids, periods in alike.items():
        at_once = max(1, min(_MONTHS_AT_ONCE, _VALUES_MAX // len(ids)))
        for begin in range(0, len(periods), at_once):
            some = periods[begin : begin + at_once]
            here = {"device_ids": ids} | bounds_of(hours_s for _, hours_s in some)
            query = sums_of_hours(table, len(some), by_device=False)
            for place, kwh in session.execute(query, here):
                found[some[place][0]] += kwh or 0
    return found


def _days_with_energy(
    session: Session, where: ZoneInfo, device_ids: Sequence[int]
) -> tuple[list[date], dict[int, int]]:
    """Return the legal days of the first and of the last hour that the books have of devices.

    And of the devices whose first hour lies in two legal days, when the first reading begins, in seconds since 1970.
    """
    days = list[date]()
    ends_s = defaultdict[int, list[int]](list)
    for table in (EnergyProduction, EnergyConsumption):
        found = ends_among(session, Device.id, device_ids, table.device_id, table.recorded_at)
        for device_id, both in found.items():
            ends_s[device_id] += [int(at.astimezone(UTC).timestamp()) for at in both]
    lows_s = {device_id: min(ends) for device_id, ends in ends_s.items()}
    parted = [
        device_id
        for device_id, low_s in lows_s.items()
        if legal_day(low_s, where) != legal_day(low_s + HOUR_S - 1, where)
    ]
    firsts = first_seconds(session, parted) if parted else {}
    for device_id, low_s in lows_s.items():
        first_s = max(low_s, firsts.get(device_id, low_s))
        days += [legal_day(first_s, where), legal_day(max(ends_s[device_id]), where)]
    return days, firsts


def _issued_by_month(
    session: Session, project_ids: Sequence[int]
) -> dict[str, tuple[Decimal, int]]:
    query = select(Issuance.from_date, Issuance.reductions_kg, Issuance.issued_kg).where(
        Issuance.project_id.in_(project_ids), Issuance.state == IssuanceState.ISSUED
    )
    found: dict[str, tuple[Decimal, int]] = {}
    for day, reductions, amount in session.execute(query):
        text = f"{day:%Y-%m}"
        before = found.get(text, (Decimal(0), 0))
        found[text] = before[0] + reductions, before[1] + amount
    return found


def _month(text: str) -> int:
    return month_number(date.fromisoformat(text + "-01"))
