"""The application, made from settings: no global, no import-time reading of anything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import metadata
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.middleware.cors import CORSMiddleware

from api import errors
from api.access import all_public
from api.audit.endpoints import router as audit
from api.clients import Clients
from api.context import Context
from api.contracts.endpoints import router as contracts
from api.credits.endpoints import router as credits_
from api.errors import ProblemDocument
from api.etag import Envelope
from api.keys.endpoints import router as keys
from api.limits import Buckets, RateLimit
from api.proofs.endpoints import router as proofs
from api.readings.endpoints import router as readings
from api.sessions.endpoints import router as sessions
from api.status.endpoints import router as status
from api.trades.endpoints import router as trades
from api.transactions.endpoints import router as transactions
from api.users.endpoints import router as users
from api.verifier.endpoints import router as verifier
from ledger.db import Database
from ledger.serving import Serving
from ledger.settings import Settings

DESCRIPTION = (
    "Carbon credits, transactions, contracts and trades as the mirror of the chain has them. "
    "Numbers of energy, carbon and money are decimal text. "
    "Every error is a problem document (RFC 9457). "
    "Lists go on at the `next` link. Answers carry a strong ETag."
)

EXPOSED = (
    "ETag",
    "Link",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-Request-Id",
)
"""Headers that pages of other origins may read, where the settings name such."""


def create_app(settings: Settings) -> FastAPI:
    """Return the application. It writes users, sessions, keys and the audit log, and reads the rest."""
    database = Database(settings.database_url)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        database.close()

    app = FastAPI(
        title="Truetonne",
        version=metadata.version("truetonne"),
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.context = Context(settings, database)
    for router in (credits_, proofs, transactions, contracts, trades, readings, status, verifier):
        app.include_router(all_public(router))
    for router in (users, sessions, keys, audit):  # their routes say themselves what they need
        app.include_router(router)
    errors.install(app)
    _surround(app, settings.serving)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _surround(app: FastAPI, serving: Serving) -> None:
    """Put the layers around the application, the innermost first."""
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
    app.add_middleware(Envelope)
    if serving.trusted_proxies:
        app.add_middleware(Clients, serving=serving)


def _openapi(app: FastAPI) -> dict[str, Any]:
    """Return the description of the API, with problems where the framework has its own errors."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        schemas = document["components"]["schemas"]
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        problem = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(problem.pop("$defs"))
        schemas["ProblemDocument"] = problem
        _add_what_all_may_answer(document, limited=app.state.buckets is not None)
        app.openapi_schema = document
    return app.openapi_schema


def _add_what_all_may_answer(document: dict[str, Any], *, limited: bool) -> None:
    """Add the problems that no route can keep from: what was sent is too long, or sent too often."""
    for methods in document["paths"].values():
        for operation in methods.values():
            statuses = [413, 414] if "requestBody" in operation else [414]
            if limited:
                statuses.append(429)
            for number, described in errors.responses(*statuses).items():
                operation["responses"].setdefault(str(number), described)
