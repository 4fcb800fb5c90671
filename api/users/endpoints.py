"""``/v1/users`` and ``/v1/me``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response
from sqlalchemy.orm import Session

from api.access import SIGNED_IN, Asking, needs
from api.bodies import JsonRoute
from api.context import ReadContext, no_query
from api.errors import Problem, responses
from api.once import Answer, OneTime, created
from api.pagination import link_header
from api.texts import Written
from api.users import queries
from api.users.schemas import (
    Decision,
    Me,
    NewPassword,
    NewUser,
    OwnPassword,
    User,
    UserChange,
    UserDetail,
    UserPage,
    UserParameters,
)
from ledger.clock import utc_now
from ledger.identity import passwords, permissions, signing_in, users
from ledger.sealing import Sealer, load_sealer

router = APIRouter(route_class=JsonRoute, tags=["users"])

_READ = [needs("users:read")]
_WRITE = [needs("users:write"), Depends(no_query)]
_OWN = [needs("sessions:write"), Depends(no_query)]

UserId = Annotated[int, Path(ge=1, lt=2**31, description="Row number of the user.")]
RightName = Annotated[
    str,
    Written("^[a-z]+:[a-z]+$", "write resource:action in small letters, such as park:read"),
    Path(max_length=100, description="`resource:action`."),
]


@router.get(
    "/v1/users", dependencies=_READ, responses=responses(401, 403, 422, 503), summary="List users"
)
def list_users(
    context: ReadContext, parameters: Annotated[UserParameters, Query()], response: Response
) -> UserPage:
    """Those who may sign in, and those who may not any more, page by page."""
    with context.database.read() as session:
        page = queries.list_users(session, parameters, context.settings.sealing_key_file)
    response.headers["Link"] = link_header("/v1/users", parameters, page.next_cursor)
    return page


@router.post(
    "/v1/users",
    status_code=201,
    dependencies=_WRITE,
    response_model=None,
    responses={**created(User, "The user."), **responses(401, 403, 409, 422, 503)},
    summary="Add a user",
)
def add_user(context: ReadContext, body: NewUser, asking: Asking, once: OneTime) -> Response:
    """Add a user who may sign in."""
    key_file = context.settings.sealing_key_file

    def prepare() -> tuple[Sealer, str]:
        return load_sealer(key_file, make=True), passwords.hashed(body.password)

    def work(session: Session, found: tuple[Sealer, str]) -> Answer:
        sealer, password_hash = found
        row = users.add(
            session,
            sealer,
            username=body.username,
            email=body.email,
            role=body.role,
            password_hash=password_hash,
            by=asking.by,
        )
        made = queries.user_of(session, row, key_file)
        return Answer(201, made, {"Location": f"/v1/users/{row.id}"})

    return once.run(work, prepare)


@router.get(
    "/v1/users/{user_id}",
    dependencies=[*_READ, Depends(no_query)],
    responses=responses(401, 403, 404, 422, 503),
    summary="Show a user",
)
def show_user(context: ReadContext, user_id: UserId) -> UserDetail:
    """One user, with permissions and what they come to."""
    with context.database.read() as session:
        row = users.get(session, user_id)
        return queries.detail_of(session, row, context.settings.sealing_key_file)


@router.patch(
    "/v1/users/{user_id}",
    dependencies=_WRITE,
    responses=responses(401, 403, 404, 409, 422, 503),
    summary="Change a user",
)
def change_user(
    context: ReadContext, user_id: UserId, body: UserChange, asking: Asking
) -> UserDetail:
    """Change role or mail address, disable or enable. Whoever is disabled is signed out everywhere."""
    key_file = context.settings.sealing_key_file
    sealer = load_sealer(key_file, make=True) if body.email is not None else None

    def work(session: Session) -> UserDetail:
        row = users.get(session, user_id)
        users.change(
            session,
            row,
            asking.by,
            role=body.role,
            is_active=body.is_active,
            email=body.email,
            sealer=sealer,
        )
        return queries.detail_of(session, row, key_file)

    return context.database.run(work)


@router.put(
    "/v1/users/{user_id}/password",
    status_code=204,
    dependencies=_WRITE,
    responses=responses(401, 403, 404, 422, 503),
    summary="Give a user another password",
)
def set_password(context: ReadContext, user_id: UserId, body: NewPassword, asking: Asking) -> None:
    """Give a user another password; all of the user's sessions end. An API key cannot."""
    if asking.by.api_key_id is not None:
        raise Problem(
            403,
            "key-cannot",
            "an API key changes no password; sign in, or use `truetonne users password`",
        )
    password_hash = passwords.hashed(body.password)
    context.database.run(
        lambda session: users.set_password(
            session, users.get(session, user_id), password_hash, asking.by
        )
    )


@router.put(
    "/v1/users/{user_id}/permissions/{right}",
    dependencies=_WRITE,
    responses=responses(401, 403, 404, 409, 422, 503),
    summary="Grant or deny a right",
)
def decide_permission(
    context: ReadContext, user_id: UserId, right: RightName, body: Decision, asking: Asking
) -> UserDetail:
    """Grant a right beyond the role, or deny one; a denial wins over the role."""

    def work(session: Session) -> UserDetail:
        row = users.get(session, user_id)
        permissions.decide(session, row, right, body.granted, asking.by)
        return queries.detail_of(session, row, context.settings.sealing_key_file)

    return context.database.run(work)


@router.delete(
    "/v1/users/{user_id}/permissions/{right}",
    status_code=204,
    dependencies=_WRITE,
    responses=responses(401, 403, 404, 422, 503),
    summary="Leave a right to the role",
)
def leave_permission(
    context: ReadContext, user_id: UserId, right: RightName, asking: Asking
) -> None:
    """Take back what was decided about a right: the role decides again."""
    context.database.run(
        lambda session: permissions.leave_to_role(
            session, users.get(session, user_id), right, asking.by
        )
    )


@router.get(
    "/v1/me",
    dependencies=[SIGNED_IN, Depends(no_query)],
    responses=responses(401, 422, 503),
    summary="Who am I?",
)
def show_me(asking: Asking) -> Me:
    """Who asks, and what they may do."""
    return Me(
        username=asking.user.username,
        role=asking.user.role,
        rights=sorted(asking.rights),
        api_key=asking.by.api_key_id,
        csrf_token=asking.csrf_token,
    )


@router.put(
    "/v1/me/password",
    status_code=204,
    dependencies=_OWN,
    responses=responses(401, 403, 422, 429, 503),
    summary="Change one's own password",
)
def change_own_password(context: ReadContext, body: OwnPassword, asking: Asking) -> None:
    """Change one's own password; all of one's sessions end, this one too."""
    password_hash = passwords.hashed(body.password)
    name, address = asking.user.username, asking.by.ip_address
    checked = signing_in.check(context.database, name, body.current_password, address, utc_now())

    def work(session: Session) -> None:
        # Whoever gives the user another password meanwhile means to shut out the one who knows this one.
        user = signing_in.confirmed(session, checked, address)
        users.set_password(session, user, password_hash, asking.by)

    context.database.run(work)
