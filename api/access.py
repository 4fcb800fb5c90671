"""Who asks, and whether that is allowed: what every route declares, and what is checked before it runs.

A route declares ``PUBLIC``, ``SIGNED_IN`` or ``needs("resource:action")`` among its dependencies (or those of
its router); ``declared`` tells which, and a test fails for a route without. Two credentials are known: a
bearer token, of a session or an API key, for programs; and the cookie of a session, for pages. A cookie is
sent by a browser whoever wrote the page, so what changes something needs a second token with it.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer

from api.clients import address_of
from api.context import Context, ReadContext
from api.errors import REALM, Problem
from ledger.audit import By
from ledger.identity import keys, permissions, sessions
from ledger.identity.rights import check_right
from ledger.identity.sessions import Lifetime
from ledger.models import User, UserSession

COOKIE = "truetonne_session"
CSRF_HEADER = "X-CSRF-Token"
_SAFE = ("GET", "HEAD")

_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="bearer",
    description="The token of a session, or an API key.",
)
_cookie = APIKeyCookie(
    name=COOKIE,
    auto_error=False,
    scheme_name="cookie",
    description=f"The cookie of a session; what changes something also needs {CSRF_HEADER}.",
)


@dataclass(frozen=True)
class Caller:
    """Who asks, and what they may do."""

    user: User
    rights: frozenset[str]
    by: By
    session: UserSession | None
    """The session that the request belongs to; None: an API key asks."""

    def may(self, right: str) -> bool:
        """Return whether the caller has a right."""
        return right in self.rights


async def _public() -> None:
    """Let anybody in."""


class Needs:
    """The check that a route asks for: who is it, and have they the right to it.

    Parameters
    ----------
    right
        A right of ``ledger.identity.rights``; None: whoever has signed in.
    """

    def __init__(self, right: str | None) -> None:
        self.right = None if right is None else check_right(right)

    def __call__(
        self,
        request: Request,
        response: Response,
        context: ReadContext,
        bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
        cookie: Annotated[str | None, Depends(_cookie)],
    ) -> None:
        """Find out who asks, and leave it for the handler.

        Raises
        ------
        Problem
            401 when nobody is known by what was sent, 403 when they lack the right.
        """
        response.headers["Cache-Control"] = "no-store"
        token = bearer.credentials if bearer is not None else cookie
        if token is None:
            raise _unknown("sign in first: send a token as `Authorization: Bearer ...`", REALM)
        caller = _caller(request, context, token)
        if caller is None:
            raise _unknown(
                "this token is not valid, or not any more; sign in again",
                f'{REALM}, error="invalid_token"',
            )
        if bearer is None and request.method not in _SAFE:
            check_same_site(request)
            given = request.headers.get(CSRF_HEADER, "")
            if not hmac.compare_digest(given.encode(), sessions.csrf_token(token).encode()):
                raise Problem(
                    403,
                    "csrf",
                    f"a request by cookie that changes something needs {CSRF_HEADER}, as signing in told it",
                )
        if self.right is not None and not caller.may(self.right):
            raise forbidden(self.right)
        request.state.caller = caller


PUBLIC = Depends(_public)
SIGNED_IN = Depends(Needs(None))


def needs(right: str) -> Any:
    """Return the declaration that a route needs a right."""
    return Depends(Needs(right))


def declared(dependencies: Iterable[Any]) -> set[str]:
    """Return what the dependencies of a route declare: ``public``, ``signed-in``, or rights."""
    found = set()
    for item in dependencies:
        if item.dependency is _public:
            found.add("public")
        elif isinstance(item.dependency, Needs):
            found.add(item.dependency.right or "signed-in")
    return found


def forbidden(right: str) -> Problem:
    """Return the problem that a right is lacking."""
    return Problem(
        403,
        "forbidden",
        f"this needs the right {right}, which you do not have; an admin can grant it",
        headers={"WWW-Authenticate": f'{REALM}, error="insufficient_scope", scope="{right}"'},
        right=right,
    )


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


def now() -> datetime:
    """Return the time of day, aware, in UTC."""
    return datetime.now(UTC)


def _asking(request: Request) -> Caller:
    found: Caller = request.state.caller
    return found


Asking = Annotated[Caller, Depends(_asking)]
"""Who asks; only on a route that is not public."""


def _caller(request: Request, context: Context, token: str) -> Caller | None:
    at, address = now(), address_of(request)
    note = None
    with context.database.read() as session:
        if token.startswith(sessions.PREFIX):
            found = sessions.find(session, token, at)
            if found is None:
                return None
            row, user = found
            caller = Caller(user, permissions.rights(session, user), By(user.id, address), row)
            note = sessions.used(row, lifetime(context), at)
        else:
            known = keys.find(session, token, at)
            if known is None:
                return None
            key, user = known
            rights = permissions.rights(session, user) & set(key.scopes)
            caller = Caller(user, rights, By(user.id, address, key.id), None)
            note = keys.used(key, at)
    if note is not None:
        context.database.alone(note)
    return caller


def _unknown(detail: str, challenge: str) -> Problem:
    return Problem(401, "not-signed-in", detail, headers={"WWW-Authenticate": challenge})
