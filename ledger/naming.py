"""Which site, project or credit a person means.

A credit's name follows the grammar of ``serials.read_name`` and is looked up in the books. Command line and API ask
here, so that an ID is an ID everywhere.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from ledger.errors import NotFound, did_you_mean
from ledger.models import (
    CarbonCredit,
    CreditBatch,
    CreditSerial,
    CreditSite,
    MeterSource,
    Project,
    Site,
)
from ledger.serials import (
    BatchName,
    BatchNumber,
    CreditName,
    IssuanceKey,
    RowNumber,
    batch_id_of,
    read_name,
)

PARTS_MAX = 500
"""Most rows that one answer names."""
_SHOWN_LENGTH_MAX = 100
_NAMES_MAX = 10
"""Most names that are listed where none is near."""


@dataclass(frozen=True)
class NamedCredit:
    """What a name stands for: a batch, and the serials of it that were named (None: no serials were)."""

    batch_id: int
    serials: tuple[int, int] | None


def site_named(session: Session, code: str) -> Site:
    """Return the site of a code.

    Raises
    ------
    NotFound
        There is none; the message names those that there are.
    """
    site = session.scalars(select(Site).where(Site.code == code)).first()
    if site is None:
        known = ", ".join(session.scalars(select(Site.code).order_by(Site.code))) or "none"
        raise NotFound(
            f"no site {code!r}; there is: {known}. Sites come from site files: truetonne site apply SITE.toml"
        )
    return site


def source_named(session: Session, site: Site, name: str) -> MeterSource:
    """Return the source of a site that has a name.

    Raises
    ------
    NotFound
        There is none; the message names those that there are.
    """
    sources = session.scalars(select(MeterSource).where(MeterSource.site_id == site.id)).all()
    for source in sources:
        if source.name == name:
            return source
    known = ", ".join(sorted(source.name for source in sources)) or "none"
    raise NotFound(f"site {site.code!r} has no source {name!r}; it has: {known}")


def project_named(session: Session, code: str, *, lock: bool = False) -> Project:
    """Return the project of a code.

    Parameters
    ----------
    lock
        Keep it to this unit of work: nobody else who locks it gets it before the end.

    Raises
    ------
    NotFound
        There is none; the message names those that there are.
    """
    query = select(Project).where(Project.code == code)
    project = session.scalars(query.with_for_update() if lock else query).first()
    if project is None:
        known = ", ".join(session.scalars(select(Project.code).order_by(Project.code))) or "none"
        raise NotFound(
            f"no project {code!r}; there is: {known}. Projects come from site files: truetonne site apply SITE.toml"
        )
    return project


def meant(name: str, known: Collection[str]) -> str:
    """Return a hint for a name that does not exist: the nearest of those that do, or else the first of them."""
    few = sorted(known)[:_NAMES_MAX]
    more = f" and {len(known) - len(few)} more" if len(known) > len(few) else ""
    return did_you_mean(name, known, f"there is: {', '.join(few) or 'none'}{more}")


def find_credit(session: Session, text: str) -> NamedCredit:
    """Return the batch, and the serials if any, that a name of a credit stands for (see ``serials.read_name``).

    Raises
    ------
    NotFound
        If the mirror knows nothing of that name.
    """
    for name in read_name(text):
        found = _look_up(session, name)
        if found is not None:
            return found
    raise NotFound(
        f"there is no credit {text[:_SHOWN_LENGTH_MAX]!r}; the list of credits has all of them"
    )


def of_site(number: InstrumentedAttribute[int], site_id: int) -> ColumnElement[bool]:
    """Return the condition that a batch, by its number, is of a site, by its number on chain."""
    return and_(number >= batch_id_of(site_id, 0), number < batch_id_of(site_id + 1, 0))


def rows_of(session: Session, named: NamedCredit) -> Sequence[CreditSerial]:
    """Return the rows that hold the named serials, in order, the first 500; the first of the batch when none were."""
    query = select(CreditSerial).where(*_holding(named)).order_by(CreditSerial.first_serial)
    return session.scalars(query.limit(PARTS_MAX)).all()


def count_rows_of(session: Session, named: NamedCredit) -> int:
    """Return how many rows hold the named serials."""
    return session.scalars(select(func.count()).where(*_holding(named))).one()


def _holding(named: NamedCredit) -> tuple[ColumnElement[bool], ...]:
    first, last = named.serials or (1, 1)
    return (
        CreditSerial.batch_id == named.batch_id,
        CreditSerial.first_serial <= last,
        CreditSerial.last_serial >= first,
    )


def _look_up(session: Session, name: CreditName) -> NamedCredit | None:
    if isinstance(name, RowNumber):
        query = (
            select(CreditSerial)
            .join(CarbonCredit, CarbonCredit.credit_id == CreditSerial.credit_id)
            .where(CarbonCredit.id == name.number)
        )
        row = session.scalars(query).first()
        if row is None:
            return None
        return NamedCredit(row.batch_id, (row.first_serial, row.last_serial))
    batches = select(CreditBatch)
    if isinstance(name, BatchNumber):
        batches = batches.where(CreditBatch.batch_id == name.batch_id)
    elif isinstance(name, IssuanceKey):
        batches = batches.where(CreditBatch.key == name.key)
    else:
        # A batch's number is made of its site's and its own: found by key, however many there are.
        sites = session.scalars(select(CreditSite.site_id).where(CreditSite.code == name.site_code))
        numbers = [batch_id_of(site_id, name.ordinal) for site_id in sites]
        batches = batches.where(
            CreditBatch.batch_id.in_(numbers), CreditBatch.vintage == name.vintage
        )
    batch = session.scalars(batches).first()
    serials = name.serials if isinstance(name, BatchName) else None
    if batch is None or (serials is not None and serials[1] > batch.issued_kg):
        return None
    return NamedCredit(batch.batch_id, serials)
