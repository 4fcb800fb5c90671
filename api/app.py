"""The application, made from settings: no global, no import-time reading of anything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import metadata
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api import errors
from api.context import Context
from api.contracts.endpoints import router as contracts
from api.credits.endpoints import router as credits_
from api.credits.express import Lane
from api.emissions.endpoints import router as emissions
from api.energy.endpoints import router as energy
from api.errors import ProblemDocument, responses
from api.etag import Envelope
from api.exports.endpoints import router as exports
from api.holders.endpoints import router as holders
from api.metrics.counting import Answers, Counting
from api.metrics.endpoints import router as metrics
from api.projects.endpoints import router as projects
from api.proofs.endpoints import router as proofs
from api.readings.endpoints import router as readings
from api.reconciliation.endpoints import router as reconciliation
from api.retirements.endpoints import router as retirements
from api.search.endpoints import router as search
from api.settlements.endpoints import router as settlements
from api.sites.endpoints import router as sites
from api.status.endpoints import router as status
from api.status.totals import Totals
from api.trades.endpoints import router as trades
from api.transactions.endpoints import router as transactions
from api.verifier.endpoints import router as verifier
from ledger.db import Database
from ledger.settings import Settings

DESCRIPTION = (
    "Carbon credits, transactions, contracts and trades as the mirror of the chain has them. "
    "Numbers of energy, carbon and money are decimal text. "
    "Every error is a problem document (RFC 9457). "
    "Lists go on at the `next` link. Answers carry a strong ETag."
)


def create_app(settings: Settings) -> FastAPI:
    """Return the application. It reads the database and writes nothing."""
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
    app.include_router(exports)  # before credits, whose ids are any text
    for router in (credits_, proofs, transactions, contracts, trades, readings, status, verifier):
        app.include_router(router)
    for router in (
        search,
        projects,
        sites,
        settlements,
        retirements,
        reconciliation,
        holders,
        emissions,
        energy,
        metrics,
    ):
        app.include_router(router)
    errors.install(app)
    app.add_middleware(Lane, context=app.state.context)
    app.add_middleware(Envelope)
    app.state.answers = Answers()
    app.state.totals = Totals()
    app.add_middleware(Counting, answers=app.state.answers)  # outermost: it counts problems, too
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


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
        for methods in document["paths"].values():
            for operation in methods.values():
                for status, described in responses(413, 414).items():
                    operation["responses"].setdefault(str(status), described)
        app.openapi_schema = document
    return app.openapi_schema
