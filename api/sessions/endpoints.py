"""``/v1/sessions``."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from sqlalchemy.orm import Session as UnitOfWork

from api.access import Asking, check_same_site, drop_cookie, keep_cookie, lifetime, needs, public
from api.bodies import JsonRoute
from api.clients import address_of
from api.context import Context, ReadContext, no_query, room
from api.errors import Problem, responses
from api.once import Answer, OneTime, created
from api.sessions.schemas import NewSession, Session, SessionList, SignIn
from api.texts import Written
from ledger.audit import By
from ledger.clock import utc_now
from ledger.identity import sessions, signing_in
from ledger.models import User, UserSession

router = APIRouter(route_class=JsonRoute, tags=["sessions"], dependencies=[Depends(no_query)])

SessionId = Annotated[
    str,
    Written(
        "^([0-9a-f]{64}|current)$", "write the id of a session, 64 hexadecimal digits, or current"
    ),
    Path(description="Id of the session, or `current`."),
]


@router.post(
    "/v1/sessions",
    status_code=201,
    response_model=None,
    responses={
        **created(NewSession, "The session; its token is told this once."),
        **responses(401, 403, 409, 422, 429, 503),
    },
    summary="Sign in",
)
@public
def sign_in(request: Request, context: ReadContext, body: SignIn, once: OneTime) -> Response:
    """Begin a session: as a token, or as a cookie that no script can read."""
    if body.cookie:
        check_same_site(request)
    address, agent = address_of(request), request.headers.get("User-Agent")

    def work(session: UnitOfWork, user: User) -> Answer:
        lasting, by = lifetime(context), By(user.id, address)
        token, row = signing_in.begin(session, user, agent, lasting, by, utc_now())
        return _begun(token, row, request if body.cookie else None)

    with room_to_sign_in(context):
        return once.run(
            work,
            lambda: signing_in.check(
                context.database, body.username, body.password, address, utc_now()
            ),
        )


@router.get(
    "/v1/sessions",
    dependencies=[needs("sessions:read")],
    responses=responses(401, 403, 422, 503),
    summary="List one's own sessions",
)
def list_sessions(context: ReadContext, asking: Asking) -> SessionList:
    """One's own sessions that may still be used."""
    with context.database.read() as session:
        found = sessions.of_user(session, asking.user.id, utc_now())
    current = asking.session.session_id if asking.session is not None else None
    items = [
        Session(
            id=row.session_id,
            current=row.session_id == current,
            ip_address=row.ip_address,
            user_agent=row.user_agent,
            created_at=row.created_at,
            expires_at=row.expires_at,
        )
        for row in found
    ]
    return SessionList(items=items)


@router.delete(
    "/v1/sessions/{session_id}",
    status_code=204,
    dependencies=[needs("sessions:write")],
    responses=responses(401, 403, 404, 422, 503),
    summary="Sign out",
)
def end_session(
    request: Request,
    context: ReadContext,
    session_id: SessionId,
    asking: Asking,
    response: Response,
) -> None:
    """End a session of one's own, this one or another; somebody else's is not found."""
    if session_id == "current":
        if asking.session is None:
            raise Problem(404, "no-such-session", "an API key asks, and has no session")
        session_id = asking.session.session_id
    context.database.run(
        lambda session: sessions.end(session, asking.user.id, session_id, asking.by, utc_now())
    )
    if asking.session is not None and asking.session.session_id == session_id:
        drop_cookie(request, response)


def room_to_sign_in(context: Context) -> AbstractContextManager[None]:
    """Return what takes a place of those who are signing in.

    Raises
    ------
    Problem
        503, when it is entered and there is none.
    """
    detail = "as many people as may be are signing in"
    return room(context.sign_ins, code="sign-ins-busy", detail=detail)


def _begun(token: str, row: UserSession, page: Request | None) -> Answer:
    """Return the answer to whoever signed in; to a page, with the cookie."""
    as_cookie = page is not None
    document = NewSession(
        id=row.session_id,
        token=None if as_cookie else token,
        csrf_token=sessions.csrf_token(token) if as_cookie else None,
        expires_at=row.expires_at,
    )
    headers = {"Location": f"/v1/sessions/{row.session_id}"}
    if page is not None:
        response = Response()
        keep_cookie(page, response, token)
        headers["Set-Cookie"] = response.headers["set-cookie"]
    return Answer(201, document, headers)
