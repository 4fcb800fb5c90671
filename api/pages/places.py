"""The pages of projects, sites, plants and settlement batches."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse

from api.context import ReadContext
from api.holders.escrow import units_per_cent
from api.pages.chain import currency_of
from api.pages.endpoints import asked
from api.pages.figures import columns_of
from api.pages.payments import payments_picture
from api.pages.rendering import page
from api.plants import queries as plant_queries
from api.plants.queries import list_plants, show_plant
from api.plants.schemas import PlantParameters, PlantsParameters, TradePeriod
from api.projects.queries import device_names, show_project
from api.readings.queries import list_files
from api.readings.schemas import FileParameters
from api.settlements import queries as settlement_queries
from api.settlements.queries import show_settlement
from api.sites import months
from api.sites import queries as site_queries
from api.sites.queries import show_site

router = APIRouter(include_in_schema=False)
FILES_MAX = 20
"""Meter files that the page of a site shows: the latest."""
NAMED_MAX = 20
"""Devices that the page of a project names; that of its site has a row for each."""
_CHARTS = ("production_kwh", "consumption_kwh", "reductions_kg", "issued_kg")


@router.get("/projects/{code}")
def project(request: Request, context: ReadContext, code: str) -> HTMLResponse:
    """Show one project: its credits, and what each month brought."""
    with context.reading() as (session, view):
        found = show_project(session, view, code)
        names = device_names(session, found.devices[:NAMED_MAX])
    return page(
        request,
        "project",
        found=found,
        names=names,
        devices_max=NAMED_MAX,
        charts={name: columns_of(found.months, name) for name in _CHARTS},
        most=_most(),
    )


@router.get("/sites/{code}")
def site(request: Request, context: ReadContext, code: str) -> HTMLResponse:
    """Show one site: its meters, and what each month brought."""
    with context.reading() as (session, view):
        found = show_site(session, view, code)
        files = list_files(
            session, FileParameters.model_validate({"site": code, "limit": FILES_MAX})
        )
    charts = {name: columns_of(found.months, name) for name in _CHARTS}
    return page(request, "site", found=found, files=files, charts=charts, most=_most())


def _most() -> dict[str, int]:
    """Return how many rows the tables of a project or a site have at most."""
    return {
        "devices": site_queries.DEVICES_MAX,
        "months": months.MONTHS_MAX,
        "issuances": months.ISSUANCES_MAX,
    }


@router.get("/plants")
def plants(request: Request, context: ReadContext) -> HTMLResponse:
    """Show all virtual power plants, page by page."""
    parameters = asked(request, PlantsParameters)
    with context.reading() as (session, view):
        found = list_plants(session, view, parameters)
    return page(request, "plants", found=found)


@router.get("/plants/{code}")
def plant(request: Request, context: ReadContext, code: str) -> HTMLResponse:
    """Show one virtual power plant: what it holds, its trades, and who paid whom."""
    parameters = asked(request, PlantParameters)
    with context.reading() as (session, view):
        found = show_plant(session, view, code, parameters)
        per_cent = units_per_cent(session)
    return page(
        request,
        "plant",
        found=found,
        currency=currency_of(context),
        per_cent=per_cent,
        by=parameters.by,
        periods=tuple(TradePeriod),
        most={
            "resources": plant_queries.RESOURCES_MAX,
            "balances": plant_queries.BALANCES_MAX,
            "holdings": plant_queries.HOLDINGS_MAX,
            "sums": plant_queries.SUMS_MAX,
            "settlements": plant_queries.SETTLEMENTS_MAX,
        },
    )


@router.get("/settlements/{name}")
def settlement(request: Request, context: ReadContext, name: str) -> HTMLResponse:
    """Show one settlement batch: trades, net positions, and who paid whom."""
    with context.reading() as (session, view):
        found = show_settlement(session, view, name)
    parties = {name for paid in found.payments for name in (paid.payer, paid.payee)}
    plants = parties - {found.market}
    return page(
        request,
        "settlement",
        found=found,
        currency=currency_of(context),
        picture=payments_picture(found),
        plants=plants,
        most={"trades": settlement_queries.TRADES_MAX},
    )
