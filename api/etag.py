"""What surrounds every answer: a request id, HEAD, a strong ETag, and 304 for what has not changed.

One layer around the application. Answers are small (a page is bounded), so each is held whole:
its tag is the hash of its bytes, and two equal tags mean equal bytes. Files are not small: they come
without a length, and go on as they come, without a tag.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import Problem, problem_of, respond
from ledger.errors import TruetonneError

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
        given = {name: value.decode("latin-1") for name, value in scope["headers"]}
        request_id = given.get(b"x-request-id", "")
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = secrets.token_hex(16)
        scope.setdefault("state", {})["request_id"] = request_id
        head = scope["method"] == "HEAD"
        scope["state"]["head"] = head
        held = _Held(send, request_id, head)
        try:
            _check_size(scope, given)
            inner = {**scope, "method": "GET"} if head else scope
            await self._app(inner, _bounded(receive), held.send)
            if scope["method"] not in ("GET", "HEAD"):  # conditions on a tag are for reading
                given = {}
        except Exception as error:
            problem = problem_of(_first(error))
            if problem.status == 500:
                _log.exception(
                    "request %s failed: %s %r", request_id, scope["method"], scope["path"]
                )
            if held.streaming:  # the status is gone out; who reads it sees that the end is missing
                if problem.status == 500:
                    raise
                _log.warning("request %s: %r broke off", request_id, scope["path"])
                return
            held = _Held(send, request_id, head)
            await respond(Request(scope), problem)(scope, receive, held.send)
        await held.release(_tags_named(scope) if b"if-none-match" in given else None)


class _Held:
    """A whole response, or one that streams."""

    def __init__(self, send: Send, request_id: str, head: bool) -> None:
        self._send = send
        self._request_id = request_id
        self._head = head
        self._start: Message = {"type": "http.response.start", "status": 500, "headers": []}
        self._body = b""
        self.streaming = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = {**message, "headers": list(message.get("headers", []))}
            headers = self._start["headers"]
            headers.append((b"x-request-id", self._request_id.encode()))
            headers.append((b"x-content-type-options", b"nosniff"))
            self.streaming = not any(name == b"content-length" for name, _ in headers)
            if self.streaming:
                await self._send(self._start)
        elif message["type"] == "http.response.body":
            if self.streaming:
                await self._send({**message, "body": b""} if self._head else message)
            else:
                self._body += message.get("body", b"")

    async def release(self, if_none_match: str | None) -> None:
        if self.streaming:
            return
        headers = self._start["headers"]
        body = self._body
        if self._start["status"] == 200:
            tag = next((value for name, value in headers if name == b"etag"), None)
            if tag is None:  # what comes from the cache has its own
                tag = tag_of(body)
                headers.append((b"etag", tag))
            if not any(name == b"cache-control" for name, _ in headers):
                headers.append((b"cache-control", b"no-cache"))
            if matches(if_none_match, tag.decode()):
                left_out = (b"content-length", b"content-type")
                self._start["status"] = 304
                self._start["headers"] = [pair for pair in headers if pair[0] not in left_out]
                body = b""
        await self._send(self._start)
        await self._send({"type": "http.response.body", "body": b"" if self._head else body})


def _first(error: Exception) -> Exception:
    """Return what failed, where the framework says only that it could not answer with it any more."""
    told_too_late = isinstance(error, RuntimeError) and isinstance(error.__cause__, TruetonneError)
    return error.__cause__ if told_too_late else error  # type: ignore[return-value]


def _tags_named(scope: Scope) -> str:
    """Return the tags of ``If-None-Match``, which may stand in several lines (RFC 9110, 5.3)."""
    lines = [value for name, value in scope["headers"] if name == b"if-none-match"]
    return b", ".join(lines).decode("latin-1")


def tag_of(body: bytes) -> bytes:
    """Return the strong tag of an answer's bytes."""
    return b'"%s"' % hashlib.blake2b(body, digest_size=16).hexdigest().encode()


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


def _check_size(scope: Scope, given: Mapping[bytes, str]) -> None:
    if len(scope.get("query_string", b"")) > QUERY_BYTES_MAX:
        raise Problem(414, "query-too-long", f"the query may have {QUERY_BYTES_MAX} bytes at most")
    if b"transfer-encoding" in given and b"content-length" in given:
        # A proxy in front may go by the one where we go by the other: what follows would be another's request.
        detail = "a body has a length or comes in chunks, not both"
        raise Problem(400, "bad-request", detail, headers={"Connection": "close"})
    length = given.get(b"content-length", "0")
    if not length.isdigit() or int(length) > BODY_BYTES_MAX:
        raise Problem(413, "body-too-large", f"a body may have {BODY_BYTES_MAX} bytes at most")
