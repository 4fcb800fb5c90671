"""A file that was imported for another device before: most often the wrong file, and its energy counts twice."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.models import ImportFile, MeterSource, Site
from ledger.readings.files.channels import are_apart
from ledger.readings.files.formats import Format
from ledger.readings.files.sources import Source


def copies_of(session: Session, digest: str, source: Source) -> list[str]:
    """Return a hint for each other device that the same column of the same bytes was imported for.

    A file may hold a column or a sheet for each of several devices, or rows of several channels: another one of these
    is other energy. Where rows name their device, the file says itself whose they are.
    """
    if source.device_code is None:
        return []
    query = (
        select(MeterSource.device_code, Site.code, MeterSource.format_options)
        .join(ImportFile, ImportFile.source_id == MeterSource.id)
        .join(Site, Site.id == MeterSource.site_id)
        .where(
            ImportFile.file_sha256 == digest,
            ImportFile.rows_read > ImportFile.rows_rejected,  # of a source that could read it
            MeterSource.value_column == source.value_column,
            MeterSource.device_code.is_not(None),
            MeterSource.device_code != source.device_code,
        )
        .distinct()
        .order_by(Site.code, MeterSource.device_code)
    )
    found = {
        (device, site): None
        for device, site, options in session.execute(query).all()
        if not _reads_other_rows(source.file_format, Format.of(options))
    }
    return [
        f"warning: column {source.value_column!r} of this very file was imported for device {device} of "
        f"site {site} too; if it is not the right file for {source.device_code}, its energy counts twice"
        for device, site in found
    ]


def _reads_other_rows(one: Format, other: Format) -> bool:
    """Return whether no row of a file is read by both: they name two sheets, or channels, of it."""
    two_sheets = None not in (one.sheet, other.sheet) and one.sheet != other.sheet
    return two_sheets or are_apart(one.only, other.only)
