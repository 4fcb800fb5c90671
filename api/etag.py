"""What surrounds every answer: a request id, HEAD, a strong ETag, and 304 for what has not changed.

One layer around the application. Answers are small (a page is bounded), so each is held whole:
its tag is the hash of its bytes, and two equal tags mean equal bytes.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
from collections.abc import Iterable
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import Problem, problem_of, respond

QUERY_BYTES_MAX = 4096
BODY_BYTES_MAX = 1_048_576

_log = logging.getLogger("truetonne.api")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TAG = re.compile(r'(?:W/)?"[^"]*"')


class Envelope:
    """The layer itself; see the module's description."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope)
        request_id = given.get("x-request-id", "")
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = secrets.token_hex(16)
        scope.setdefault("state", {})["request_id"] = request_id
        head = scope["method"] == "HEAD"
        reads = scope["method"] in ("GET", "HEAD")
        held = _Held(reads)
        try:
            _check_size(scope, given)
            inner = {**scope, "method": "GET"} if head else scope
            await self._app(inner, _bounded(receive), held.send)
        except Exception as error:
            problem = problem_of(error)
            if problem.status == 500:
                _log.exception("request %s failed", request_id)
            held = _Held(reads)
            await respond(Request(scope), problem)(scope, receive, held.send)
        await held.release(send, request_id, given, head)


class _Held:
    """A whole response."""

    def __init__(self, reads: bool) -> None:
        self._reads = reads
        self._start: Message = {"type": "http.response.start", "status": 500, "headers": []}
        self._body = b""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = {**message, "headers": list(message.get("headers", []))}
        elif message["type"] == "http.response.body":
            self._body += message.get("body", b"")

    async def release(self, send: Send, request_id: str, given: Headers, head: bool) -> None:
        headers = MutableHeaders(raw=self._start["headers"])
        headers["X-Request-Id"] = request_id
        headers["X-Content-Type-Options"] = "nosniff"
        body = self._body
        if self._start["status"] == 200 and self._reads:
            tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
            headers["ETag"] = tag
            headers.setdefault("Cache-Control", "no-cache")
            if matches(given.get("if-none-match"), tag):
                self._start["status"] = 304
                body = b""
                for name in ("Content-Length", "Content-Type"):
                    if name in headers:
                        del headers[name]
        await send(self._start)
        await send({"type": "http.response.body", "body": b"" if head else body})


def matches(if_none_match: str | None, tag: str) -> bool:
    """Return whether an ``If-None-Match`` header names the tag (weak comparison, RFC 9110)."""
    if if_none_match is None:
        return False
    if if_none_match.strip() == "*":
        return True
    named: Iterable[Any] = _TAG.findall(if_none_match)
    return tag in {item.removeprefix("W/") for item in named}


def _bounded(receive: Receive) -> Receive:
    """Return a reader of the body that stops a body which is longer than it said, or said nothing."""
    count = 0

    async def reading() -> Message:
        nonlocal count
        message = await receive()
        count += len(message.get("body", b""))
        if count > BODY_BYTES_MAX:  # this kind of error passes through the framework
            raise HTTPException(413, f"a body may have {BODY_BYTES_MAX} bytes at most")
        return message

    return reading


def _check_size(scope: Scope, given: Headers) -> None:
    if len(scope.get("query_string", b"")) > QUERY_BYTES_MAX:
        raise Problem(414, "query-too-long", f"the query may have {QUERY_BYTES_MAX} bytes at most")
    length = given.get("content-length", "0")
    if not length.isdigit() or int(length) > BODY_BYTES_MAX:
        raise Problem(413, "body-too-large", f"a body may have {BODY_BYTES_MAX} bytes at most")
