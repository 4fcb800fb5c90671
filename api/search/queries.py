"""Looks one text up in everything that has a name. Reads only.

What the text can be is told by its form (``0x`` and 64 digits, ``0x`` and 40, a number, a serial), so that
each form costs a few look-ups by index. Parts of names are looked for among sites, projects, devices and
plants, of which there are few. What finds nothing is read in other spellings. Last, and once, the beneficiaries of
all retirements are gone through.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any
from urllib.parse import quote

from sqlalchemy import ColumnElement, false, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from api.finality import ChainView
from api.plants.queries import of_settlement
from api.search import numbers
from api.search.schemas import Hit, HitKind, SearchAnswer, SearchParameters, cleaned
from api.search.spellings import place_of, spellings
from ledger.chain.node.records import ADDRESS, HASH
from ledger.codes import unreachable
from ledger.db.sqltext import holds
from ledger.errors import NotFound
from ledger.models import (
    CarbonCredit,
    CreditBatch,
    CreditSite,
    Device,
    Meter,
    Project,
    Site,
    SmartContract,
    VppDefinition,
    VppSettlementAccount,
)
from ledger.naming import find_credit, of_site, rows_of
from ledger.serials import batch_name
from ledger.units import tonnes_of_kg

_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
_OF_YEAR = re.compile(r"(?P<site>.{1,100})-(?P<vintage>[1-9][0-9]{3})-?", re.ASCII | re.DOTALL)
_CUT = re.compile(
    r"(?P<head>0x[0-9a-f]{6,63})(?:(?:\u2026|\.\.\.)(?P<tail>[0-9a-f]{1,57}))?", re.ASCII
)
"""A hash or an address by its beginning, or as the pages shorten it."""
_BATCHES_SHOWN = 20
_NAME_SHOWN = 60
"""Characters of a device's name: the site and the meter come after it."""
_IN_LISTS = {
    "credits": (HitKind.CREDIT, HitKind.BATCH),
    "retirements": (HitKind.RETIREMENT,),
    "transactions": (HitKind.TRANSACTION,),
    "holders": (HitKind.HOLDER,),
    "settlements": (HitKind.SETTLEMENT,),
    "plants": (HitKind.PLANT,),
    "projects": (HitKind.PROJECT,),
    "sites": (HitKind.SITE,),
}
"""What has a page in each list."""


def search(session: Session, view: ChainView, parameters: SearchParameters) -> SearchAnswer:
    """Return what has the text as its name, and then what has it as a part of its name.

    Where nothing has, it is looked up in other spellings, and as a part of a hash or an address. After these come the
    retirements whose beneficiary has it.
    """
    found = _each_once(_hits(session, view, parameters.q), parameters.limit)
    if not found:
        found = _each_once(_meant(session, view, parameters.q), parameters.limit)
    if len(found) <= parameters.limit and _may_be_somebody(parameters.q):
        whose = numbers.of_beneficiary(session, parameters.q, parameters.limit + 1)
        found = _each_once(chain(found, whose), parameters.limit)
    return SearchAnswer(
        q=parameters.q,
        items=found[: parameters.limit],
        more=len(found) > parameters.limit,
        **view.fields(),
    )


def _may_be_somebody(text: str) -> bool:
    return len(text) > 1 and not text.startswith("0x") and _NUMBER.fullmatch(text) is None


def _each_once(hits: Iterable[Hit], limit: int) -> list[Hit]:
    """Return the first results, one more than the limit."""
    found: dict[tuple[HitKind, str], Hit] = {}
    for hit in hits:
        found.setdefault((hit.kind, hit.id), hit)
        if len(found) > limit:
            break
    return list(found.values())


def _meant(session: Session, view: ChainView, text: str) -> Iterator[Hit]:
    """Yield what is at the address of a page, the results of the first spelling that has any, or of what was cut."""
    place = place_of(text)
    if place is not None:
        yield from _at(session, view, *place)
        return
    for spelling, whole in spellings(session, text):
        found = False
        for hit in _hits(session, view, spelling):
            found = True
            yield hit if whole else hit.model_copy(update={"exact": False})
        if found:
            return
    cut = _CUT.fullmatch(text.lower())
    if cut is not None:
        yield from numbers.of_cut(session, view, cut["head"], cut["tail"] or "")


def _at(session: Session, view: ChainView, where: str, name: str) -> Iterator[Hit]:
    """Yield what a list has under a name."""
    try:
        name = cleaned(name)
    except ValueError:
        return
    for hit in _hits(session, view, name):
        if hit.exact and hit.kind in _IN_LISTS[where]:
            yield hit


def _hits(session: Session, view: ChainView, text: str) -> Iterator[Hit]:
    """Yield results, exact ones first; one thing may come twice."""
    lower = text.lower()
    if HASH.fullmatch(lower):
        yield from _credits(session, lower)
        yield from _batches_of_hash(session, lower)
        yield from numbers.of_hash(session, lower)
    elif ADDRESS.fullmatch(lower):
        yield from numbers.of_address(session, lower, view)
    else:
        yield from _credits(session, text)
        if _NUMBER.fullmatch(text):
            yield from numbers.of_number(session, int(text))
        for exact in (True, False):
            yield from _coded(session, text, exact)
        yield from _batches_of_year(session, text)


def _credits(session: Session, text: str) -> Iterator[Hit]:
    """Yield what a name of a credit names: every form that ``credits show`` takes."""
    try:
        named = find_credit(session, text)
    except NotFound:
        return
    batch = session.get(CreditBatch, named.batch_id)
    if batch is None:
        return
    if named.serials is None:
        yield batch_hit(session, batch, exact=True)
    for row in rows_of(session, named):
        kg = row.last_serial - row.first_serial + 1
        yield Hit(
            kind=HitKind.CREDIT,
            id=row.credit_id,
            title=f"{row.credit_id}, {tonnes_of_kg(kg):f} t CO2e",
            link=f"/v1/credits/{quote(_address_of(session, row.credit_id), safe='')}",
            exact=True,
        )


def _address_of(session: Session, name: str) -> str:
    """Return a credit's name, or the number of its row where a site of others has a code that no address can hold."""
    if unreachable(name) is None:
        return name
    return str(session.scalar(select(CarbonCredit.id).where(CarbonCredit.credit_id == name)))


def batch_hit(session: Session, batch: CreditBatch, *, exact: bool) -> Hit:
    """Return a batch as a result."""
    site = session.get(CreditSite, batch.site_id)
    name = batch_name(site.code if site else batch.site_id, batch.vintage, batch.ordinal)
    return Hit(
        kind=HitKind.BATCH,
        id=name,
        title=f"{name}, {tonnes_of_kg(batch.issued_kg):f} t CO2e issued, {batch.status.value}",
        link=f"/v1/credits?batch_id={batch.batch_id}",
        exact=exact,
    )


def _batches_of_hash(session: Session, text: str) -> Iterator[Hit]:
    """Yield the batches of an evidence root or of a manifest's hash, as a certificate prints them."""
    query = (
        select(CreditBatch)
        .where(or_(CreditBatch.evidence_root == text, CreditBatch.manifest_hash == text))
        .order_by(CreditBatch.batch_id)
        .limit(_BATCHES_SHOWN)
    )
    for batch in session.scalars(query):
        yield batch_hit(session, batch, exact=True)


def _batches_of_year(session: Session, text: str) -> Iterator[Hit]:
    """Yield the batches of ``SITE-VINTAGE``, the latest first."""
    part = _OF_YEAR.fullmatch(text)
    if part is None:
        return
    sites = session.scalars(select(CreditSite.site_id).where(CreditSite.code == part["site"]))
    for site_id in sites.all():
        query = (
            select(CreditBatch)
            .where(
                of_site(CreditBatch.batch_id, site_id),
                CreditBatch.vintage == int(part["vintage"]),
            )
            .order_by(CreditBatch.batch_id.desc())
            .limit(_BATCHES_SHOWN)
        )
        for batch in session.scalars(query):
            yield batch_hit(session, batch, exact=False)


def _coded(session: Session, text: str, exact: bool) -> Iterator[Hit]:
    """Yield projects, sites, devices, plants, markets and contracts whose code is the text, or holds it."""

    def has(*columns: InstrumentedAttribute[Any]) -> ColumnElement[bool]:
        if exact:  # a column refuses what is longer than it holds
            return columns[0] == text if len(text) <= _length(columns[0]) else false()
        return or_(*(holds(session, column, text) for column in columns))

    yield from _projects(session, has(Project.code), exact)
    for site in session.scalars(
        select(Site).where(has(Site.code, Site.name)).order_by(Site.code).limit(_BATCHES_SHOWN)
    ):
        yield Hit(
            kind=HitKind.SITE,
            id=site.code,
            title=f"site {site.code}: {site.name}",
            link=f"/v1/sites/{quote(site.code, safe='')}",
            exact=exact,
        )
    devices = (
        select(Device, Meter.serial, Site.code)
        .join(Meter, Meter.device_id == Device.id)
        .join(Site, Site.id == Meter.site_id)
        .order_by(Device.device_id)
        .limit(_BATCHES_SHOWN)
    )
    for device, meter, site_code in session.execute(
        devices.where(has(Device.device_id, Device.name, Meter.serial))
    ):
        yield Hit(
            kind=HitKind.DEVICE,
            id=device.device_id,
            title=f"{_called(device)} of site {site_code}, meter {meter}",
            link=f"/v1/sites/{quote(site_code, safe='')}",
            exact=exact,
        )
    plants = select(VppDefinition).where(of_settlement())
    plants = plants.order_by(VppDefinition.vpp_id).limit(_BATCHES_SHOWN)
    for plant in session.scalars(plants.where(has(VppDefinition.vpp_id, VppDefinition.name))):
        yield numbers.plant_hit(plant, exact=exact)
    markets = select(VppSettlementAccount).where(VppSettlementAccount.market.is_not(None))
    markets = markets.order_by(VppSettlementAccount.market).limit(_BATCHES_SHOWN)
    for account in session.scalars(markets.where(has(VppSettlementAccount.market))):
        yield numbers.market_hit(account, exact=exact)
    contracts = select(SmartContract).where(has(SmartContract.contract_name))
    for contract in session.scalars(contracts.order_by(SmartContract.id).limit(_BATCHES_SHOWN)):
        yield numbers.contract_hit(contract, exact=exact)


def _called(device: Device) -> str:
    """Return what a device is called: by its code, and by its name where it has one of its own."""
    named = "" if device.name in ("", device.device_id) else f": {device.name[:_NAME_SHOWN]}"
    return f"device {device.device_id}{named} ({device.type})"


def _length(column: InstrumentedAttribute[Any]) -> int:
    length: int = column.type.length
    return length


def _projects(session: Session, condition: ColumnElement[bool], exact: bool) -> Iterator[Hit]:
    query = (
        select(Project.code, Project.methodology, Site.code)
        .join(Site, Site.id == Project.site_id)
        .where(condition)
        .order_by(Project.code)
        .limit(_BATCHES_SHOWN)
    )
    for code, methodology, site in session.execute(query):
        yield Hit(
            kind=HitKind.PROJECT,
            id=code,
            title=f"project {code} of site {site}, {methodology}",
            link=f"/v1/projects/{quote(code, safe='')}",
            exact=exact,
        )
