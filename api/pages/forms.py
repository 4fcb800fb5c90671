"""Forms of the pages: what a browser sends without a script, and the token that shows who made the form."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import Depends, Request, Response
from fastapi.security import HTTPAuthorizationCredentials

from api.access import BEARER, COOKIE_SCHEME, Needs, cookie_name
from api.context import ReadContext
from api.errors import Problem

TYPE = "application/x-www-form-urlencoded"
TOKEN = "csrf"
ONCE = "once"
STRANGER_COOKIE = "truetonne_form"
"""What a browser has that nobody is signed in at: a form to sign in is good for it alone."""
_FIELDS_MAX = 100
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


@dataclass(frozen=True)
class Form:
    """A form as it was sent; nothing of it is read before somebody asks."""

    media_type: str
    body: bytes

    def fields(self) -> dict[str, list[str]]:
        """Return the fields by name, each with its values.

        Raises
        ------
        Problem
            If it is no form.
        """
        if self.media_type.partition(";")[0].strip().lower() != TYPE:
            raise Problem(422, "bad-request", "the page sends no such form")
        try:
            return parse_qs(
                self.body.decode("ascii"),
                keep_blank_values=True,
                max_num_fields=_FIELDS_MAX,
                errors="strict",
            )
        except ValueError:  # bytes that are no text, or too many fields
            raise Problem(422, "bad-request", "the page sends no such form") from None

    def one(self, name: str) -> str:
        """Return the one value of a field, or nothing.

        Raises
        ------
        Problem
            If it is no form, or has the field several times.
        """
        values = self.fields().get(name, [""])
        if len(values) != 1:
            raise Problem(422, "bad-request", "the page sends no such form")
        return values[0]


async def _form(request: Request) -> Form:
    return Form(request.headers.get("content-type", ""), await request.body())


SentForm = Annotated[Form, Depends(_form)]


class FormNeeds(Needs):
    """The check of a route that a form calls: the second token beside the cookie is a field of the form."""

    unasked = "this form was not made for you, or has expired; load its page anew"

    def __call__(  # type: ignore[override]
        self,
        request: Request,
        response: Response,
        context: ReadContext,
        bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
        cookie: Annotated[str | None, Depends(COOKIE_SCHEME)],
        form: SentForm,
    ) -> None:
        """Find out who asks, and leave it for the handler.

        Raises
        ------
        Problem
            401 when nobody is known by what was sent, 403 when they lack the right.
        """
        self.admit(request, context, bearer, cookie, lambda: form.one(TOKEN))


def form_needs(right: str) -> Any:
    """Return the declaration that a route is called by a form, and needs a right."""
    return Depends(FormNeeds(right))


def stranger(request: Request) -> tuple[str, str | None]:
    """Return the token of a form for somebody who has not signed in, and the new cookie that it needs, if any.

    Without it another site's page could sign a person in as somebody else, who then leaves their work in a
    stranger's account. The cookie is sent from our own pages alone, and the token is made from it.
    """
    held = request.cookies.get(cookie_name(request, STRANGER_COOKIE), "")
    if _SECRET.fullmatch(held):
        return _stranger_token(held), None
    made = secrets.token_urlsafe(32)
    return _stranger_token(made), made


def keep_stranger(request: Request, response: Response, secret: str) -> None:
    """Give a browser the cookie that its form to sign in needs."""
    https = request.url.scheme == "https"
    response.set_cookie(
        cookie_name(request, STRANGER_COOKIE),
        secret,
        path="/" if https else "/sign-in",  # as its name asks for
        httponly=True,
        samesite="strict",
        secure=https,
    )


def check_stranger(request: Request, form: Form) -> None:
    """Refuse a form to sign in that this browser was not given.

    Raises
    ------
    Problem
        If it was not.
    """
    held = request.cookies.get(cookie_name(request, STRANGER_COOKIE), "")
    wanted = _stranger_token(held) if _SECRET.fullmatch(held) else ""
    given = form.one(TOKEN)
    if not wanted or not hmac.compare_digest(given.encode(), wanted.encode()):
        raise Problem(403, "csrf", FormNeeds.unasked)


def _stranger_token(secret: str) -> str:
    return hmac.new(secret.encode(), b"truetonne sign-in", hashlib.sha256).hexdigest()
