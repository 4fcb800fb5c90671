"""POST that is done once: with an ``Idempotency-Key`` a second request gets the first one's answer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, Request
from pydantic import BaseModel
from sqlalchemy.orm import Session
from starlette.responses import Response

from api.access import Caller
from api.clients import address_of
from api.context import Context, ReadContext
from api.errors import Problem
from api.texts import Written
from ledger.clock import utc_now
from ledger.db import Database
from ledger.errors import DependencyDown
from ledger.identity import idempotency

KEY_PATTERN = "^[\\x21-\\x7e]{16,128}$"
REPLAYED = "Idempotency-Replayed"
Found = TypeVar("Found")

_Key = Annotated[
    str, Written(KEY_PATTERN, "write 16 to 128 printable ASCII characters without a blank")
]
IdempotencyHeader = Annotated[
    _Key | None,
    Header(
        alias="Idempotency-Key",
        description="16 to 128 printable characters, such as a UUID: the same request with the same key is "
        "done once, and answered alike for 24 hours.",
    ),
]


@dataclass(frozen=True)
class Answer:
    """What a POST answers with."""

    status: int
    document: BaseModel
    headers: Mapping[str, str] = field(default_factory=dict)

    def packed(self) -> bytes:
        """Return the answer as it is kept."""
        body = self.document.model_dump_json()
        return json.dumps([self.status, dict(self.headers), body]).encode()


class Once:
    """One POST, with its key where it has one."""

    def __init__(self, database: Database, caller: str, call: str, key: str | None, body: bytes):
        self._database = database
        self._caller = caller
        self._call = call
        self._key = key
        self._body = body

    def run(self, work: Callable[[Session, Found], Answer], first: Callable[[], Found]) -> Response:
        """Do the work in one unit of work with the keeping of its answer; or return the answer kept.

        Parameters
        ----------
        work
            Given the session and what ``first`` returned.
        first
            What is slow, done before the unit of work.

        Raises
        ------
        Refused
            If the key was used with another request, or its first request has no answer yet.
        """
        if self._key is None:
            found = first()
            return _response(self._database.run(lambda session: work(session, found)).packed())
        mine = idempotency.claim(
            self._database, self._caller, self._call, self._key, self._body, utc_now()
        )
        if isinstance(mine, bytes):
            response = _response(mine)
            response.headers[REPLAYED] = "true"
            return response
        claim = mine

        def do(session: Session) -> bytes:
            packed = work(session, found).packed()
            idempotency.answered(session, claim, packed)
            return packed

        try:
            found = first()
            return _response(self._database.run(do))
        except BaseException:
            # Nothing was done, so nothing is kept: the same request may succeed when it is sent again.
            with suppress(DependencyDown):
                idempotency.released(self._database, claim)
            raise


def _response(packed: bytes) -> Response:
    status, headers, body = json.loads(packed)
    return Response(
        body,
        status_code=status,
        media_type="application/json",
        headers={"Cache-Control": "no-store", **headers},
    )


def once_of_form(request: Request, context: Context, key: str, body: bytes) -> Once:
    """Return a form that was sent as a request that is done once, by the key that it carries.

    Raises
    ------
    Problem
        If it carries none.
    """
    if not re.fullmatch(KEY_PATTERN, key):
        raise Problem(422, "bad-request", "the page sends no such form")
    call = f"{request.method} {request.url.path}"
    return Once(context.database, _name(request.state.caller), call, key, body)


async def _once(request: Request, context: ReadContext, key: IdempotencyHeader = None) -> Once:
    caller: Caller | None = getattr(request.state, "caller", None)
    # Whoever signs in is nobody yet. By address, so that no stranger can try passwords against an answer kept.
    who = f"anybody at {address_of(request)}" if caller is None else _name(caller)
    call = f"{request.method} {request.url.path}"
    return Once(context.database, who, call, key, await request.body())


def _name(caller: Caller) -> str:
    """Return whose keys they are: the user's, since a session or an API key may end before it is asked again."""
    return f"user {caller.user.id}"


OneTime = Annotated[Once, Depends(_once)]
"""The request as one that is done once."""


def created(model: type[BaseModel], what: str) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says of the answer of a POST that makes something."""
    return {201: {"description": what, "model": model}}
