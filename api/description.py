"""``/openapi.json``: what the framework finds, with the problems and headers that no route names by itself."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.errors import ProblemDocument, responses

HEADERS: dict[str, tuple[str, str]] = {
    "ETag": (
        "string",
        "Strong tag of the answer: sent back as If-None-Match, it is answered 304 while nothing has changed.",
    ),
    "Link": ("string", "Pages of the list (RFC 8288): `first` and, until the last page, `next`."),
    "Location": ("string", "Path of what was made."),
    "Idempotency-Replayed": (
        "string",
        "`true`: this is the answer of an earlier request with the same Idempotency-Key, and nothing was done anew.",
    ),
    "Truetonne-As-Of-Block": ("integer", "Last block that the mirror has read."),
    "Truetonne-Final-Block": ("integer", "Last final block."),
    "WWW-Authenticate": ("string", "What to send, and what is wrong with what was (RFC 6750)."),
    "Retry-After": ("integer", "Seconds after which to try again."),
}
"""Headers of answers: type and meaning."""
_BLOCKS = ("Truetonne-As-Of-Block", "Truetonne-Final-Block")
_OF_STATUS = {
    "401": ("WWW-Authenticate",),
    "403": ("WWW-Authenticate",),
    "429": ("Retry-After",),
    "503": ("Retry-After",),
}
_MAKES = ("/v1/users", "/v1/sessions", "/v1/webhooks", "/v1/api-keys")
"""Paths whose POST makes what has a path of its own."""


def described(app: FastAPI, *, limited: bool, chosen: bool) -> dict[str, Any]:
    """Return the description of the API, with problems where the framework has its own errors.

    Parameters
    ----------
    limited, chosen
        Whether one client may ask too often, and whether some networks alone are answered.
    """
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    problem = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs"))
    schemas["ProblemDocument"] = problem
    document["components"]["headers"] = {
        name: {"description": said, "schema": {"type": kind}}
        for name, (kind, said) in HEADERS.items()
    }
    # The problems that no route can keep from: too long, too often, or from a network that is not answered.
    statuses = [413, 414, *([403] if chosen else []), *([429] if limited else [])]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for number, said in responses(*statuses).items():
                operation["responses"].setdefault(str(number), said)
            _add_headers(path, method, operation, schemas)
    return document


def _add_headers(
    path: str, method: str, operation: dict[str, Any], schemas: dict[str, Any]
) -> None:
    found = operation["responses"]
    names = {status: list(_OF_STATUS.get(status, ())) for status in found}
    if method == "get" and path.endswith("/export"):  # a stream; records are none of the chain's
        names["200"] += () if path.startswith("/v1/park/") else _BLOCKS
    elif method == "get":
        names["200"] += ("ETag", *(_BLOCKS if path.endswith("/bundle") else ()))
        if "next_cursor" in _members(found["200"], schemas):
            names["200"].append("Link")
        found["304"] = {"description": "Not Modified"}
        names["304"] = ["ETag"]
    if any(item["name"] == "Idempotency-Key" for item in operation.get("parameters", ())):
        names["201"] += ("Idempotency-Replayed", *(("Location",) if path in _MAKES else ()))
    for status, headers in names.items():
        if headers:
            said = {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
            found[status].setdefault("headers", {}).update(said)


def _members(response: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    schema = response.get("content", {}).get("application/json", {}).get("schema", {})
    named = schemas.get(str(schema.get("$ref", "")).rpartition("/")[2], schema)
    return dict(named.get("properties", {}))
