"""Which meter files were brought in, and what became of their rows when they were."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, select

from ledger.models import ImportFile, MeterSource


def files_of(site_id: int, source: str | None = None) -> Select[ImportFile, str, str | None]:
    """Return the query of a site's imports, each with the name of its source and the device that this is of.

    Parameters
    ----------
    site_id
        Row number of the site.
    source
        Name of one source; all without it.
    """
    query = (
        select(ImportFile, MeterSource.name, MeterSource.device_code)
        .join(MeterSource, MeterSource.id == ImportFile.source_id)
        .where(MeterSource.site_id == site_id)
    )
    return query if source is None else query.where(MeterSource.name == source)


def file_document(file: ImportFile, source: str, device: str | None) -> dict[str, Any]:
    """Return an import as it is shown; ``read = new + unchanged + conflicts + rejected``."""
    return {
        "id": file.id,
        "file": file.file_name,
        "sha256": file.file_sha256,
        "source": source,
        "device": device,
        "imported_at": file.imported_at,
        "read": file.rows_read,
        "new": file.rows_new,
        "unchanged": file.rows_unchanged,
        "conflicts": file.rows_conflict,
        "rejected": file.rows_rejected,
    }
