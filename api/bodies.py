"""Bodies in JSON: one that is no JSON, or has a member twice, is refused before anything is made of it.

The framework would take the last of two members, as it would of two parameters, and its errors call the position of
a slip a field. So routes with a body are made by ``JsonRoute``, which reads it first.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Coroutine
from email.message import Message
from typing import Any, NoReturn

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from api.errors import Problem


class JsonRoute(APIRoute):
    """A route whose body, where it has one, is one JSON text with each member once."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the framework's handler, behind a check of the body."""
        answer = super().get_route_handler()
        if self.body_field is None:
            return answer

        async def look_and_answer(request: Request) -> Response:
            try:
                body = await request.body()
            except ClientDisconnect:
                raise HTTPException(400) from None  # nobody is there to read it
            check(body, request.headers.get("content-type", ""))
            return await answer(request)

        return look_and_answer


def check(body: bytes, media_type: str) -> None:
    """Refuse a body that is sent as JSON and is none, or has a member twice.

    What is not sent as JSON is refused with the fields that it lacks, once it is known who asks.

    Raises
    ------
    Problem
        If it is so; it names the member, or the place of the slip.
    """
    if not body or not _is_json(media_type):
        return
    again: Counter[str] = Counter()

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        counts = Counter(name for name, _ in pairs)
        again.update({name: count for name, count in counts.items() if count > 1})
        return dict(pairs)

    try:
        json.loads(body, object_pairs_hook=members, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        _refuse({"body": f"the body is not JSON: {error.msg} at {where}"})
    except (ValueError, RecursionError):  # no text, a number without end, or nested without end
        _refuse({"body": "the body is not JSON that can be read"})
    if again:
        _refuse({name: f"is given {n} times; give it once" for name, n in sorted(again.items())})


def _is_json(media_type: str) -> bool:
    message = Message()
    message["content-type"] = media_type
    main, sub = message.get_content_maintype(), message.get_content_subtype()
    return main == "application" and (sub == "json" or sub.endswith("+json"))


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)


def _refuse(messages: dict[str, str]) -> NoReturn:
    errors = [
        {"place": "body", "name": name, "message": message} for name, message in messages.items()
    ]
    detail = "; ".join(f"{name}: {message}" for name, message in messages.items())
    raise Problem(422, "bad-request", detail, errors=errors)
