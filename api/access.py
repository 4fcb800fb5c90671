"""Who asks, and whether that is allowed: what every route declares, and what is checked before it runs.

A route that needs something has ``SIGNED_IN`` or ``needs("resource:action")`` among its dependencies; one that
needs nothing says so by ``public``, which costs its requests nothing. ``declared`` tells which, and a test fails
for a route without.

Two credentials are known: a bearer token, of a session or an API key, for programs; and the cookie of a session, for
pages. A cookie is sent by a browser whoever wrote the page, so what changes something needs a second token with it.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import RouteContext, iter_route_contexts
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import HTTPConnection

from api.clients import address_of
from api.context import Context, ReadContext
from api.errors import REALM, Problem
from api.limits import Buckets, too_many
from ledger.audit import By
from ledger.clock import utc_now
from ledger.errors import DependencyDown
from ledger.identity import keys, permissions, sessions
from ledger.identity.rights import SCOPES, check_right
from ledger.identity.sessions import Lifetime
from ledger.models import User, UserSession

COOKIE = "truetonne_session"
_OF_THIS_HOST = "__Host-"
"""A cookie whose name begins so is taken by a browser from this very host alone, by TLS, and for all of its paths."""
CSRF_HEADER = "X-CSRF-Token"
_SAFE = ("GET", "HEAD")
_NOTE_S = 1
"""So long a request waits to note that a session or a key was used, while another process writes."""
_PUBLIC = "_truetonne_public"
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

BEARER = HTTPBearer(
    auto_error=False,
    scheme_name="bearer",
    description="The token of a session, or an API key.",
)


class _SessionCookie(APIKeyCookie):
    async def __call__(self, request: HTTPConnection) -> str | None:
        return request.cookies.get(cookie_name(request, COOKIE))


def cookie_name(request: HTTPConnection, name: str) -> str:
    """Return the name under which a browser has a cookie that says who somebody is.

    A page of a host beside this one (``evil.park.example``) can give a browser cookies for all of ``park.example``,
    and so have a person work in a stranger's session. Over TLS the name keeps that out.
    """
    return _OF_THIS_HOST + name if request.scope["scheme"] == "https" else name


COOKIE_SCHEME = _SessionCookie(
    name=COOKIE,
    auto_error=False,
    scheme_name="cookie",
    description=f"The cookie of a session, by TLS {_OF_THIS_HOST}{COOKIE}; what changes something also needs "
    f"{CSRF_HEADER}.",
)


@dataclass(frozen=True)
class Caller:
    """Who asks, and what they may do."""

    user: User
    rights: frozenset[str]
    by: By
    session: UserSession | None
    """The session that the request belongs to; None: an API key asks."""
    csrf_token: str | None
    """What must stand beside the cookie; None: the token was not in a cookie."""

    def may(self, right: str) -> bool:
        """Return whether the caller has a right."""
        return right in self.rights


class Needs:
    """The check of a route: who asks, and do they have the right to it.

    Parameters
    ----------
    right
        A right of ``ledger.identity.rights``; None: whoever has signed in.
    """

    unasked = (
        f"a request by cookie that changes something needs {CSRF_HEADER}, as signing in told it"
    )
    """What is said when the second token is missing or wrong."""

    def __init__(self, right: str | None) -> None:
        self.right = None if right is None else check_right(right)

    def __call__(
        self,
        request: Request,
        response: Response,
        context: ReadContext,
        bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
        cookie: Annotated[str | None, Depends(COOKIE_SCHEME)],
    ) -> None:
        """Find out who asks, and leave it for the handler.

        Raises
        ------
        Problem
            401 when nobody is known by what was sent, 403 when they lack the right, 422 when it was sent twice.
        """
        response.headers["Cache-Control"] = "no-store"
        self.admit(request, context, bearer, cookie, lambda: request.headers.get(CSRF_HEADER, ""))

    def admit(
        self,
        request: Request,
        context: Context,
        bearer: HTTPAuthorizationCredentials | None,
        cookie: str | None,
        second: Callable[[], str],
    ) -> None:
        """Check who asks, and keep that for the handler; ``second`` returns what was sent beside the cookie.

        Raises
        ------
        Problem
            As calling it.
        """
        count = len(request.headers.getlist("authorization"))
        if count > 1:  # a proxy may go by the one, and we by the other
            message = f"is given {count} times; give it once"
            errors = [{"place": "header", "name": "Authorization", "message": message}]
            detail = f"Authorization: {message}"
            raise Problem(422, "bad-request", detail, errors=errors)
        token = bearer.credentials if bearer is not None else cookie
        if token is None:
            raise _unknown("sign in first: send a token as `Authorization: Bearer ...`", REALM)
        caller = _caller(request, context, token)
        if caller is None:
            detail = "this token is not valid, or not any more; sign in again"
            if token.startswith(keys.PREFIX):  # of a program that nobody signs in for
                detail = "this API key is not valid, or not any more; use another one"
            raise _unknown(detail, f'{REALM}, error="invalid_token"')
        if caller.by.api_key_id is not None:
            _charge(request, caller.by.api_key_id)
        if bearer is None:
            caller = replace(caller, csrf_token=sessions.csrf_token(token))
        if caller.csrf_token is not None and request.method not in _SAFE:
            check_same_site(request)
            given = second()
            if not hmac.compare_digest(given.encode(), caller.csrf_token.encode()):
                raise Problem(403, "csrf", self.unasked)
        if self.right is not None and not caller.may(self.right):
            raise forbidden(self.right, caller)
        request.state.caller = caller


SIGNED_IN = Depends(Needs(None))


def needs(right: str) -> Any:
    """Return the declaration that a route needs a right."""
    return Depends(Needs(right))


def public(endpoint: Endpoint) -> Endpoint:
    """Declare that anybody may call a route, and return its function."""
    setattr(endpoint, _PUBLIC, True)
    return endpoint


def all_public(router: APIRouter) -> APIRouter:
    """Declare that anybody may call the routes of a router, and return it."""
    for context in iter_route_contexts(router.routes):
        if context.endpoint is not None:
            public(context.endpoint)
    return router


def declared(route: RouteContext) -> set[str]:
    """Return what a route declares: ``public``, ``signed-in``, or rights. It must be exactly one of them."""
    needed = (item.dependency for item in getattr(route, "dependencies", None) or ())
    found = {item.right or "signed-in" for item in needed if isinstance(item, Needs)}
    return found | {"public"} if getattr(route.endpoint, _PUBLIC, False) else found


def forbidden(right: str, caller: Caller) -> Problem:
    """Return the problem that a right is lacking. An API key may lack one that its user has: no admin can grant it."""
    detail = f"this needs the right {right}, which you do not have; an admin can grant it"
    if caller.by.api_key_id is not None and right in SCOPES:
        detail = (
            f"this needs the right {right}, which this key does not carry, or its user does not have; "
            "use a key that carries it"
        )
    elif caller.by.api_key_id is not None:
        detail = f"this needs the right {right}, which no API key carries; sign in"
    return Problem(
        403,
        "forbidden",
        detail,
        headers={"WWW-Authenticate": f'{REALM}, error="insufficient_scope", scope="{right}"'},
        right=right,
    )


def keep_cookie(request: Request, response: Response, token: str) -> None:
    """Give a browser the cookie of a session. It has no age: the browser drops it when it is closed."""
    https = request.url.scheme == "https"
    name = cookie_name(request, COOKIE)
    response.set_cookie(name, token, path="/", httponly=True, samesite="strict", secure=https)


def drop_cookie(request: Request, response: Response) -> None:
    """Take the cookie of a session from a browser."""
    name, https = cookie_name(request, COOKIE), request.url.scheme == "https"
    response.delete_cookie(name, path="/", httponly=True, samesite="strict", secure=https)


def check_same_site(request: Request) -> None:
    """Refuse what a browser says comes from another site's page.

    Raises
    ------
    Problem
        If it does.
    """
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise Problem(403, "csrf", "another site's page may not do this by your cookie")


def lifetime(context: Context) -> Lifetime:
    """Return how long sessions last."""
    serving = context.settings.serving
    return Lifetime(serving.session_whole, serving.session_idle)


def _asking(request: Request) -> Caller:
    found: Caller = request.state.caller
    return found


Asking = Annotated[Caller, Depends(_asking)]
"""Who asks; only on a route that is not public."""


def _caller(request: Request, context: Context, token: str) -> Caller | None:
    at, address = utc_now(), address_of(request)
    note = None
    with context.database.read() as session:
        if token.startswith(sessions.PREFIX):
            found = sessions.find(session, token, at)
            if found is None:
                return None
            row, user = found
            caller = Caller(
                user, permissions.rights(session, user), By(user.id, address), row, None
            )
            note = sessions.used(row, lifetime(context), at)
        else:
            known = keys.find(session, token, at)
            if known is None:
                return None
            key, user = known
            rights = permissions.rights(session, user) & set(key.scopes)
            caller = Caller(user, rights, By(user.id, address, key.id), None, None)
            note = keys.used(key, at)
    if note is not None:
        with suppress(DependencyDown):  # a use that nobody noted is no reason to refuse it
            context.database.alone(note, patience_s=_NOTE_S)
    return caller


def _charge(request: Request, api_key_id: int) -> None:
    """Take from the bucket of an API key, beside that of its address: many machines may share one key."""
    buckets: Buckets | None = request.app.state.buckets
    if buckets is not None:
        taken, _, seconds = buckets.take(f"key {api_key_id}")
        if not taken:
            raise too_many(buckets, seconds)


def _unknown(detail: str, challenge: str) -> Problem:
    return Problem(401, "not-signed-in", detail, headers={"WWW-Authenticate": challenge})
