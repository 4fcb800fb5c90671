"""What the readings' endpoints ask the books."""

from __future__ import annotations

from sqlalchemy.orm import Session

from api.pagination import page_of, paged
from api.readings.schemas import FilePage, FileParameters, ImportedFile, Quality, QualityParameters
from ledger.errors import BadInput
from ledger.models import ImportFile
from ledger.naming import site_named, source_named
from ledger.readings.shown.imported import file_document, files_of
from ledger.readings.shown.selection import meters_of, period_of
from ledger.readings.shown.slots import load_days
from ledger.readings.shown.views import quality_document

METER_DAYS_MAX = 400
"""Days of all meters together that one answer has."""


def quality(session: Session, asked: QualityParameters) -> Quality:
    """Return what became of the slots that were asked for.

    Raises
    ------
    NotFound
        There is no such site or device.
    BadInput
        The period is empty, or too long for one answer.
    """
    site, meters = meters_of(session, asked.site, asked.device)
    start, end = period_of(session, site, [meter.id for meter, _ in meters], asked.start, asked.end)
    days = (end - start).days * len(meters)
    if days > METER_DAYS_MAX:
        raise BadInput(
            f"from {start} to {end} the meters have {days} days together, one answer has at most "
            f"{METER_DAYS_MAX}; ask for a shorter period or one device",
            code="period-too-long",
        )
    found = load_days(session, asked.site, asked.device, start, end)
    return Quality.model_validate(quality_document(session, found))


def list_files(session: Session, asked: FileParameters) -> FilePage:
    """Return one page of the imports of a site's meter files.

    Raises
    ------
    NotFound
        There is no such site, or it has no such source.
    BadInput
        The cursor cannot be used.
    """
    site = site_named(session, asked.site)
    if asked.source is not None:
        source_named(session, site, asked.source)
    query = paged(files_of(site.id, asked.source), asked, ImportFile.id)
    found = session.execute(query).all()
    page = page_of(asked, found, [file.id for file, _, _ in found])
    items = [ImportedFile.model_validate(file_document(*row)) for row in page.rows]
    return FilePage(items=items, next_cursor=page.next_cursor)
