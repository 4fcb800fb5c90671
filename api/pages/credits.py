"""The page of a credit: its whole life, the readings behind it, and its proof."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from api.context import Context, ReadContext
from api.credits.history import show_history
from api.credits.queries import show_credit
from api.finality import ChainView, block_time
from api.holders.queries import contracts_of
from api.pages import pictures, provenance
from api.pages.days import day_of, days_beside
from api.pages.formats import visible
from api.pages.language import wishes_of
from api.pages.readings import RUNS_MAX, Month, chart_of, month_of
from api.pages.rendering import is_fragment, page, words_of
from api.proofs.endpoints import show_bundle
from api.proofs.schemas import BundleParameters
from ledger.chain.addresses.book import Deployment
from ledger.chain.sending.issued import issuance_of
from ledger.errors import NotFound, TruetonneError
from ledger.models import ChainBlock, CreditBatch, Issuance
from ledger.naming import find_credit
from ledger.reductions.manifest_file import read_manifest
from ledger.reductions.manifest_shapes import Manifest, Manifest1, Manifest2

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class Anchors:
    """The four values that a verification trusts, as this registry says them; empty: it cannot."""

    block: int | None
    block_hash: str
    address: str
    code_hash: str
    chain_id: str


@router.get("/credits/{credit_id}")
def show(request: Request, context: ReadContext, credit_id: str) -> HTMLResponse:
    """Show one credit, from its meters to its retirement."""
    month = request.query_params.get("month")
    with context.reading() as (session, view):
        credit = show_credit(session, view, credit_id)
        issuance = issuance_of(session, _batch(session, credit.credit_id))
        readings = month_of(session, issuance, month) if issuance is not None else None
        if is_fragment(request):
            return _readings(request, credit.credit_id, readings)
        history = show_history(session, view, credit.credit_id)
        stated = stated_of(issuance)
        t = words_of(wishes_of(request).language)
        stages = provenance.stages_of(t, credit, history, stated)
        return page(
            request,
            "credit",
            credit=credit,
            history=history,
            manifest=stated,
            certified=_certified_kwh(stated),
            deficits=_deficits_kg(stated),
            manifest_text=_pretty(issuance),
            wide=pictures.wide(stages, pictures.edges_of(stages)),
            narrow=pictures.narrow(stages),
            readings=readings,
            runs_max=RUNS_MAX,
            anchors=_anchors(context, session, view),
            contracts=contracts_of(session, view),
            block_time=block_time(session, credit.as_of_block),
        )


@router.get("/credits/{credit_id}/days/{day}")
def show_day(request: Request, context: ReadContext, credit_id: str, day: date) -> HTMLResponse:
    """Show every reading of one legal day behind a credit."""
    with context.reading() as (session, view):
        credit = show_credit(session, view, credit_id)
        issuance = _needed(session, credit_id)
        found = day_of(session, issuance, day)
    template = "parts/day" if is_fragment(request) else "day"
    beside = days_beside(issuance, day)
    return page(request, template, credit=credit, day=day, found=found, beside=beside)


@router.get("/credits/{credit_id}/readings.json")
def show_chart(request: Request, context: ReadContext, credit_id: str) -> Response:
    """Return the readings of a month as columns, for the chart of the page."""
    month = request.query_params.get("month")
    with context.database.read() as session:
        found = month_of(session, _needed(session, credit_id), month)
    return Response(json.dumps(chart_of(found)), media_type="application/json")


@router.get("/credits/{credit_id}/manifest.json")
def show_manifest(context: ReadContext, credit_id: str) -> Response:
    """Return the manifest of the calculation, byte for byte as its hash stands on chain."""
    with context.database.read() as session:
        issuance = _needed(session, credit_id)
    return Response(
        issuance.manifest,
        media_type="application/json",
        headers={"Content-Disposition": 'attachment; filename="manifest.json"'},
    )


@router.get("/credits/{credit_id}/bundle.json")
def show_proof(
    context: ReadContext, credit_id: str, parameters: Annotated[BundleParameters, Query()]
) -> Response:
    """Return the bundle of the API's route: what stands in its way is a page here, in the reader's language."""
    return show_bundle(context, credit_id, parameters)


def stated_of(issuance: Issuance | None) -> Manifest1 | None:
    """Return what the manifest of an issuance says."""
    if issuance is None:
        return None
    return read_manifest(issuance.manifest.encode(), f"manifest of issuance {issuance.id}")[1]


def _certified_kwh(stated: Manifest1 | None) -> Fraction:
    """Return the energy that certificates leave out of what was supplied, kWh; 0 where no manifest speaks of it."""
    return Fraction(stated.energy.certified_kwh) if isinstance(stated, Manifest) else Fraction(0)


def _deficits_kg(stated: Manifest1 | None) -> Fraction:
    """Return what corrections of earlier periods add to the carry that came in, kg: never above zero."""
    corrections = stated.corrections if isinstance(stated, Manifest2) else ()
    return sum((Fraction(item.carried_kg) for item in corrections), Fraction(0))


def _needed(session: Session, name: str) -> Issuance:
    found = issuance_of(session, _batch(session, name))
    if found is None:
        raise NotFound(
            f"credit {name[:100]!r} was not issued from these books: they have no readings of it"
        )
    return found


def _batch(session: Session, name: str) -> CreditBatch:
    return session.get_one(CreditBatch, find_credit(session, name).batch_id)


def _readings(request: Request, credit_id: str, readings: Month | None) -> HTMLResponse:
    return page(
        request, "parts/readings", credit_id=credit_id, readings=readings, runs_max=RUNS_MAX
    )


def _pretty(issuance: Issuance | None) -> str | None:
    if issuance is None:
        return None
    found: Any = json.loads(issuance.manifest)
    for meter in found.get("meters", []):
        if isinstance(meter.get("days"), dict):  # a digest for each day: they are in the file
            meter["days"] = {"…": str(len(meter["days"]))}
    lines = json.dumps(found, indent=2, ensure_ascii=False).splitlines()
    return "\n".join(visible(line) for line in lines)


def _anchors(context: Context, session: Session, view: ChainView) -> Anchors:
    block = session.get(ChainBlock, view.final_block) if view.final_block is not None else None
    try:
        deployment = Deployment.load(context.settings.deployment)
    except TruetonneError:  # the proof can be downloaded all the same
        return Anchors(None, "", "", "", "")
    return Anchors(
        block=block.number if block is not None else None,
        block_hash=block.hash if block is not None else "",
        address=deployment.credit.address,
        code_hash=deployment.credit.code_hash,
        chain_id=str(deployment.chain_id),
    )
