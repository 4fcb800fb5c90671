"""The readings of the period of a credit's batch: those that count, and those that do not. Reads only."""

from __future__ import annotations

from decimal import Context, Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.credits.schemas import CreditReading, ReadingPage, ReadingParameters
from api.finality import ChainView
from api.pagination import behind, in_order, matching
from ledger.chain.sending.issued import issuance_of
from ledger.errors import NotFound
from ledger.models import (
    CreditBatch,
    Device,
    ImportFile,
    Meter,
    MeterReading,
    ReadingRestoration,
    ReadingWithdrawal,
)
from ledger.naming import find_credit
from ledger.readings.rows.withdrawals import ends_it, is_latest
from ledger.reductions.zones import utc_of

_EXACT = Context(prec=60)


def list_readings(
    session: Session, view: ChainView, name: str, parameters: ReadingParameters
) -> ReadingPage:
    """Return one page of the readings behind a credit, by time; none when the batch is of others' books.

    Raises
    ------
    NotFound
        If there is no such credit.
    BadInput
        If the cursor cannot be used.
    """
    batch = session.get(CreditBatch, find_credit(session, name).batch_id)
    if batch is None:
        raise NotFound(f"the books hold no batch of {name[:100]!r}")
    issuance = issuance_of(session, batch)
    row, found = MeterReading, []
    if issuance is not None:
        # Withdrawn or restored while it was void, and then a fork brought it back: that is not so for the credit.
        moment = issuance.created_at
        query = (
            select(
                row,
                Device.device_id,
                Meter.serial,
                ImportFile.file_name,
                ReadingWithdrawal,
                ReadingRestoration,
            )
            .join(Meter, Meter.id == row.meter_id)
            .join(Device, Device.id == Meter.device_id)
            .join(ImportFile, ImportFile.id == row.file_id)
            .outerjoin(ReadingWithdrawal, is_latest(moment))
            .outerjoin(ReadingRestoration, ends_it(moment))
            .where(
                Meter.project_id == issuance.project_id,
                row.start_s >= issuance.from_s,
                row.start_s < issuance.to_s,
            )
        )
        query = matching(
            query, (row.quality, parameters.quality), (Device.device_id, parameters.device)
        )
        after, places = parameters.after_key(2), (row.start_s, row.id)
        if after is not None:
            query = query.where(behind(places, after, parameters.order))
        query = in_order(query, parameters, *places)
        found = list(session.execute(query.limit(parameters.limit + 1)))
    more = len(found) > parameters.limit
    found = found[: parameters.limit]
    last = found[-1][0] if more else None
    return ReadingPage(
        batch_id=batch.batch_id,
        items=[_item(*parts) for parts in found],
        next_cursor=parameters.cursor_after(last.start_s, last.id) if last is not None else None,
        **view.fields(),
    )


def _item(
    row: MeterReading,
    device: str,
    meter: str,
    file: str,
    taken: ReadingWithdrawal | None,
    given: ReadingRestoration | None,
) -> CreditReading:
    value = None
    if row.value_digits is not None and row.value_scale is not None:
        value = Decimal(row.value_digits).scaleb(-row.value_scale, _EXACT)
    return CreditReading(
        id=row.id,
        device=device,
        meter=meter,
        start=utc_of(row.start_s),
        end=utc_of(row.start_s + row.duration_s),
        kind=row.kind,
        value=value,
        text=row.text,
        unit=row.unit,
        quality=row.quality,
        conflict=row.conflict,
        reason=row.reason,
        withdrawn=taken.reason if taken is not None and given is None else None,
        restored=None if given is None else given.reason,
        file=file,
        line=row.line,
    )
