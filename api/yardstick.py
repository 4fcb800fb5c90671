"""An application that does nothing but answer: what the API's speed is held against."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.responses import Response


def empty_app(answer: bytes) -> FastAPI:
    """Return an application whose one route, with a parameter, answers with these bytes of JSON."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/empty/{name}")
    async def empty(name: str) -> Response:
        return Response(answer, media_type="application/json")

    return app
