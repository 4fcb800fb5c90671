"""Every error as one problem document (RFC 9457), with the id of the request that met it.

A handler raises ``Problem``, or an error of the ledger; the framework's own errors (no such path,
wrong method, bad parameters, a defect) take the same form here.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.lately import Lately
from ledger.chain.failures.explanations import explain
from ledger.errors import BadInput, DependencyDown, NotFound, Refused, TruetonneError
from ledger.identity.attempts import TooManyAttempts
from ledger.identity.idempotency import OtherRequest
from ledger.identity.signing_in import WrongCredentials

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:problem-type:truetonne:"
RETRY_AFTER_SECONDS = 5
REALM = 'Bearer realm="truetonne"'
"""The challenge of every 401."""

_UNAVAILABLE = {
    "database-down": "the database does not answer",
    "database-busy": "the database is busy",
    "schema-missing": "the database lacks tables of this version",
    "unknown-revision": "a newer version has upgraded the database",
    "books-moved": "the books were copied into another database, and go on there",
    "node-down": "the node does not answer",
    "node-slow": "the node does not answer in time",
    "node-limits": "the node limits how much it is asked",
    "node-answer": "the node's answer is none",
    "not-proven": "the node's answers prove nothing",
    "node-elsewhere": "the node is on another fork than the mirror",
    "wrong-chain": "the node serves another chain than the books are kept for",
    "not-deployed": "this service does not know where its contracts stand",
    "sealing-key-missing": "this service lacks the key that it seals with",
    "unreadable-value": "the books hold a value that another program wrote, and that is none",
    "archive-lost": "the archive that these values went to is not there",
    "sealing-key-wrong": "this service has another key than the one that was sealed with",
}
"""What is no fault of whoever asks, by the code, in words that name no place on the machine."""

_ROUTES = (
    (
        re.compile(r"`\w+ (?:park list ([a-z-]+)|([a-z]+) list)`(?= (?:has|shows) [a-z ]+\Z)"),
        r"/v1/\1\2",
    ),
    (
        re.compile(r"`\w+ webhooks deliveries ([0-9]+)`(?= shows [a-z ]+\Z)"),
        r"/v1/webhooks/\1/deliveries",
    ),
)
"""Commands that the ledger names at the end of a sentence, as the place of all that there is, and the routes that are
it over HTTP. Before that a sentence has what was asked for, which may hold anything."""

_SEND = "send a JSON object, with Content-Type: application/json"

_OF_THE_LEDGER: dict[type[TruetonneError], int] = {
    TooManyAttempts: 429,
    WrongCredentials: 401,
    OtherRequest: 422,
    NotFound: 404,
    BadInput: 422,
    Refused: 409,
}
"""Errors whose message is for whoever asks, and the status that they are answered with."""

_log = logging.getLogger("truetonne.api")
_lately = Lately(_log)


class ParameterError(BaseModel):
    """What is wrong with one parameter."""

    place: str = Field(description="Where the parameter is: query, path, header or body.")
    name: str = Field(description="Name of the parameter.")
    message: str = Field(description="What is wrong with it.")


class ProblemDocument(BaseModel):
    """A problem document of RFC 9457."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="Identifier of the kind of problem.")
    title: str = Field(description="The kind of problem, in a few words.")
    status: int = Field(description="HTTP status code.")
    detail: str = Field(description="What went wrong this time, and how to mend it.")
    instance: str = Field(description="Path of the request, as a URI reference.")
    code: str = Field(description="Last part of the type, for programs.")
    request_id: str = Field(description="Id of the request, also in the X-Request-Id header.")
    errors: list[ParameterError] | None = Field(
        default=None, description="One entry for each wrong parameter (status 422)."
    )


class Problem(Exception):
    """An error that a handler answers with.

    Parameters
    ----------
    status
        HTTP status code.
    code
        Stable identifier in kebab case.
    detail
        What went wrong, and how to mend it.
    extensions
        Further members of the document.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **extensions: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.extensions = extensions


ProblemPage = Callable[[Request, Problem], Response | None]
"""Makes a page of a problem, where a person asked for one."""


def respond(request: Request, problem: Problem) -> Response:
    """Return the response that tells of a problem: a document, or a page for a person."""
    page: ProblemPage | None = getattr(request.app.state, "problem_page", None)
    shown = page(request, problem) if page is not None else None
    if shown is not None:
        return shown
    request_id = str(request.scope.get("state", {}).get("request_id", ""))
    document = document_of(problem, request.scope["path"], request_id)
    return Response(
        json.dumps(document, ensure_ascii=True),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", **problem.headers},
    )


def document_of(problem: Problem, path: str, request_id: str) -> dict[str, Any]:
    """Return the members of a problem document."""
    return {
        "type": TYPE_PREFIX + problem.code,
        "title": _title(problem),
        "status": problem.status,
        "detail": problem.detail,
        "instance": quote(path, safe="/:@!$&'()*+,;="),
        "code": problem.code,
        "request_id": request_id,
        **problem.extensions,
    }


def problem_of(
    error: Exception,
) -> Problem:
    """Return the problem that an exception amounts to."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        return _of_validation(error.errors())
    if isinstance(error, HTTPException):
        return _of_http(error)
    if isinstance(error, PoolTimeout):
        error = DependencyDown(str(error), code="database-busy")
    if isinstance(error, DependencyDown) or (
        isinstance(error, TruetonneError) and error.code in _UNAVAILABLE
    ):
        return _unavailable(error)
    for kind, status in _OF_THE_LEDGER.items():
        if isinstance(error, kind):
            return _of_the_ledger(status, error)
    if isinstance(error, TruetonneError):
        _log.error("an error of the ledger reached the edge: %s", error.message)
    return Problem(
        500, "internal-error", "a defect of this service; quote the request id when you report it"
    )


def install(app: FastAPI) -> None:
    """Make the application answer every exception with a problem."""

    async def handle(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException) and error.status_code == 405:
            # Routes of one path may be several; the framework names the methods of the first.
            error.headers = {"Allow": ", ".join(_methods_of(app, request.url.path))}
        problem = problem_of(error)
        if isinstance(error, RequestValidationError):
            problem.detail += _members_hint(request, error)
        return respond(request, problem)

    for kind in (
        Problem,
        RequestValidationError,
        HTTPException,
        TruetonneError,
        PoolTimeout,
    ):
        app.add_exception_handler(kind, handle)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says of the problems that a route answers with."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
        }
        for status in statuses
    }


def _headers_of(status: int, error: TruetonneError) -> dict[str, str]:
    if status == 401:
        return {"WWW-Authenticate": REALM}
    return {"Retry-After": str(error.details["retry_after_s"])} if status == 429 else {}


def _methods_of(app: FastAPI, path: str) -> list[str]:
    methods: set[str] = set()
    for route in iter_route_contexts(app.routes):
        if route.path_regex is not None and route.path_regex.match(path):
            methods |= set(route.methods or ())
    return sorted(methods | {"HEAD"} if "GET" in methods else methods)


def _of_the_ledger(status: int, error: TruetonneError) -> Problem:
    """Return the problem of an error of the ledger; a contract's refusal is said in plain words, too."""
    said = explain(error.message) if isinstance(error, Refused) else None
    if said is None:
        detail = error.message
        for command, route in _ROUTES:
            detail = command.sub(route, detail)
        return Problem(
            status, error.code, detail, headers=_headers_of(status, error), **error.details
        )
    code = said.code if error.code == Refused.default_code else error.code
    return Problem(
        status, code, said.of(error.message), **{**error.details, "contract_error": asdict(said)}
    )


def _title(problem: Problem) -> str:
    return problem.code.replace("-", " ").capitalize()


def _unavailable(error: TruetonneError) -> Problem:
    # The message names hosts and files, and an address may carry a key: it is for the log, not for the world.
    _lately.warn(f"{error.code}: {error.message}")
    detail = _UNAVAILABLE.get(error.code, "something that this service needs does not answer")
    return Problem(
        503,
        error.code,
        f"{detail}; try again later",
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
    )


def _of_http(error: HTTPException) -> Problem:
    headers = dict(error.headers or {})
    if error.status_code == 404:
        return Problem(
            404, "not-found", "there is nothing at this path; /openapi.json lists all paths"
        )
    if error.status_code == 405:
        return Problem(
            405, "method-not-allowed", f"this path answers {headers['Allow']}", headers=headers
        )
    if error.status_code == 400:  # the framework's word for a body that is no JSON at all
        return Problem(422, "bad-request", "the body cannot be read as JSON")
    if error.status_code == 413:
        return Problem(413, "body-too-large", str(error.detail))
    phrase = HTTPStatus(error.status_code).phrase
    code = phrase.lower().replace(" ", "-")
    return Problem(error.status_code, code, str(error.detail), headers=headers)


def _message_of(item: Mapping[str, Any]) -> str:
    """Return what is wrong with a parameter or a field, in words for whoever sent it."""
    if item["type"] == "extra_forbidden":
        return "unknown parameter"
    if tuple(item["loc"]) == ("body",):
        if item["type"] == "missing":
            return f"there is none; {_SEND}"
        if item["type"] == "model_attributes_type":
            as_json = not isinstance(item["input"], bytes)
            return "is JSON, and no object" if as_json else f"is not sent as JSON; {_SEND}"
    return str(item["msg"]).removeprefix("Value error, ")  # before words of ours


def _members_hint(request: Request, error: RequestValidationError) -> str:
    """Return what a body or a query may have, where one has something that is not known."""
    route, hint = request.scope.get("route"), ""
    surplus = {
        item["loc"][0]
        for item in error.errors()
        if item["type"] == "extra_forbidden" and len(item["loc"]) == 2
    }
    for place, fields in (
        ("body", [getattr(route, "body_field", None)]),
        ("query", getattr(getattr(route, "dependant", None), "query_params", [])),
    ):
        models = [
            getattr(field and field.field_info.annotation, "model_fields", {}) for field in fields
        ]
        known = sorted(info.alias or name for model in models for name, info in model.items())
        if known and place in surplus:
            hint += f"; the {place} may have {', '.join(known)}"
    return hint


def _of_validation(found: Sequence[Any]) -> Problem:
    errors = []
    for item in found:
        place, *names = [str(part) for part in item["loc"]]
        name = ".".join(names) or place
        errors.append({"place": place, "name": name, "message": _message_of(item)})
    detail = "; ".join(f"{error['name']}: {error['message']}" for error in errors)
    return Problem(422, "bad-request", detail, errors=errors)
