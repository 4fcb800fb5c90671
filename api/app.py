"""The application, made from settings: no global, no import-time reading of anything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import metadata
from typing import Any

from fastapi import Depends, FastAPI, Request
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse

from api import errors
from api.absolute import AbsoluteTargets
from api.access import all_public, public
from api.allowed import Allowed
from api.audit.endpoints import router as audit
from api.cache.layer import Cache, FromCache
from api.certificates.endpoints import router as certificates
from api.clients import Clients
from api.configuration.endpoints import router as configuration
from api.context import Context, no_query
from api.contracts.endpoints import router as contracts
from api.credits.endpoints import router as credits_
from api.description import described
from api.doubled import RefuseDoubled
from api.emissions.endpoints import router as emissions
from api.energy.endpoints import router as energy
from api.etag import Envelope
from api.exports.endpoints import router as exports
from api.exports.records import router as record_exports
from api.holders.endpoints import router as holders
from api.keys.endpoints import router as keys
from api.limits import Buckets, RateLimit
from api.markets.endpoints import router as markets
from api.metrics.counting import Answers, Counting
from api.metrics.endpoints import router as metrics
from api.pages.account import router as account_pages
from api.pages.alerts import router as alert_pages
from api.pages.chain import router as chain_pages
from api.pages.credits import router as credit_pages
from api.pages.endpoints import router as pages
from api.pages.places import router as place_pages
from api.pages.problems import problem_page
from api.pages.retirements import router as retirement_pages
from api.pages.signing import router as signing_pages
from api.park.endpoints import router as park
from api.plants.endpoints import router as plants
from api.projects.endpoints import router as projects
from api.proofs.endpoints import router as proofs
from api.quick import QuickAnswers
from api.readings.endpoints import router as readings
from api.reconciliation.endpoints import router as reconciliation
from api.retirements.endpoints import router as retirements
from api.search.endpoints import router as search
from api.sessions.endpoints import router as sessions
from api.settlements.endpoints import router as settlements
from api.sites.endpoints import router as sites
from api.status.backups import BackupAlarms
from api.status.endpoints import router as status
from api.status.readiness import Readiness
from api.status.totals import Totals
from api.trades.endpoints import router as trades
from api.transactions.endpoints import router as transactions
from api.users.endpoints import router as users
from api.verifier.endpoints import router as verifier
from api.webhooks.endpoints import router as webhooks
from ledger.db import Database
from ledger.settings import Settings
from ledger.settings.serving import Serving

DESCRIPTION = (
    "Carbon credits, transactions, contracts and trades as the mirror of the chain has them. "
    "Numbers of energy, carbon and money are decimal text. "
    "Every error is a problem document (RFC 9457). "
    "Lists go on at the `next` link. Answers carry a strong ETag."
)

EXPOSED = (
    "ETag",
    "Idempotency-Replayed",
    "Link",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Truetonne-As-Of-Block",
    "Truetonne-Final-Block",
    "WWW-Authenticate",
    "X-Request-Id",
)
"""Headers that pages of other origins may read, where the settings name such."""


PUBLIC = (
    exports,  # before credits, whose ids are any text
    *(credits_, proofs, transactions, contracts, trades, readings, status, verifier, search),
    *(projects, sites, settlements, plants, retirements, reconciliation, holders, emissions),
    *(energy, metrics, certificates, pages, credit_pages, retirement_pages, place_pages),
    *(markets, chain_pages),
)
"""Resources and pages that anybody may read, in the order in which their routes are tried."""
PRIVATE = (
    *(users, sessions, keys, webhooks, audit),
    *(park, record_exports, configuration, signing_pages, account_pages),
    alert_pages,
)
"""The others: their routes say what they need."""


def create_app(settings: Settings) -> FastAPI:
    """Return the application.

    It writes users, sessions, keys, webhooks, what is said of alerts and the audit log, and reads the rest.
    """
    database = Database(settings.database_url, read_url=settings.database_read_url)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        if app.state.cache is not None:
            await app.state.cache.close()
        database.close()

    app = FastAPI(
        title="Truetonne",
        version=metadata.version("truetonne"),
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,  # the framework's own route takes any parameter
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.context = Context(settings, database)
    for router in PUBLIC:
        app.include_router(all_public(router))
    for router in PRIVATE:
        app.include_router(router)
    app.state.problem_page = problem_page
    app.state.totals = Totals()
    app.state.backups = BackupAlarms(settings)
    app.state.readiness = Readiness()
    errors.install(app)
    app.state.cache = Cache(settings) if settings.cache_mib else None
    _surround(app, settings.serving)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    app.add_api_route(
        "/openapi.json", _description, include_in_schema=False, dependencies=[Depends(no_query)]
    )
    return app


@public
async def _description(request: Request) -> JSONResponse:
    return JSONResponse(request.app.openapi())


def _surround(app: FastAPI, serving: Serving) -> None:
    """Put the layers around the application, the innermost first."""
    app.add_middleware(QuickAnswers, context=app.state.context)
    if app.state.cache is not None:
        app.add_middleware(FromCache, context=app.state.context, cache=app.state.cache)
    # Within what counts requests, and what other origins need to read a problem.
    app.add_middleware(RefuseDoubled)
    limit = serving.requests_per_minute
    app.state.buckets = Buckets(limit) if limit else None
    if limit:
        app.add_middleware(RateLimit, buckets=app.state.buckets)
    if serving.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=serving.cors_origins,
            allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "If-None-Match"],
            expose_headers=EXPOSED,
        )
    if serving.allowed_networks:
        app.add_middleware(Allowed, networks=serving.allowed_networks)
    app.add_middleware(Envelope)
    app.state.answers = Answers()
    app.add_middleware(Counting, answers=app.state.answers)  # around all: it counts problems, too
    if serving.trusted_proxies:
        app.add_middleware(Clients, serving=serving)
    app.add_middleware(AbsoluteTargets)  # all others go by the path


def _openapi(app: FastAPI) -> dict[str, Any]:
    """Return the description of the API; made once."""
    if app.openapi_schema is None:
        chosen = bool(app.state.context.settings.serving.allowed_networks)
        app.openapi_schema = described(app, limited=app.state.buckets is not None, chosen=chosen)
    return app.openapi_schema
