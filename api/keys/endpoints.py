"""``/v1/api-keys``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response
from sqlalchemy.orm import Session

from api.access import Asking, forbidden, needs
from api.bodies import JsonRoute
from api.context import ReadContext, no_query
from api.errors import responses
from api.keys.schemas import ApiKey, KeyPage, KeyParameters, MadeKey, NewKey
from api.once import Answer, OneTime, created
from api.pagination import link_header, page_of, paged
from ledger.clock import utc_now
from ledger.errors import NotFound
from ledger.identity import keys, users
from ledger.models import ApiKey as Row

router = APIRouter(route_class=JsonRoute, tags=["keys"])

KeyId = Annotated[int, Path(ge=1, lt=2**31, description="Row number of the key.")]


@router.post(
    "/v1/api-keys",
    status_code=201,
    dependencies=[needs("keys:write"), Depends(no_query)],
    response_model=None,
    responses={
        **created(MadeKey, "The key, shown this once."),
        **responses(401, 403, 409, 422, 503),
    },
    summary="Make an API key",
)
def make_key(body: NewKey, asking: Asking, once: OneTime) -> Response:
    """Make a key for oneself. It carries what one may do oneself, and no more."""

    def work(session: Session, _: None) -> Answer:
        owner = users.get(session, asking.user.id, lock=True)
        key, row = keys.make(
            session, owner, body.name, body.scopes, body.days, asking.by, utc_now()
        )
        made = MadeKey(**keys.described(row, owner.username), key=key)
        return Answer(201, made, {"Location": f"/v1/api-keys/{row.id}"})

    return once.run(work, lambda: None)


@router.get(
    "/v1/api-keys",
    dependencies=[needs("keys:read")],
    responses=responses(401, 403, 404, 422, 503),
    summary="List API keys",
)
def list_keys(
    context: ReadContext,
    parameters: Annotated[KeyParameters, Query()],
    asking: Asking,
    response: Response,
) -> KeyPage:
    """One's own keys, page by page; another user's for whoever may manage them."""
    with context.database.read() as session:
        owner = asking.user
        if parameters.user not in (None, owner.username):
            if not asking.may("keys:manage"):
                raise forbidden("keys:manage", asking)
            owner = users.named(session, str(parameters.user))
        query = paged(keys.listed(owner.id), parameters, Row.id)
        found = session.execute(query).all()
    page = page_of(parameters, found, [row.id for row, _ in found])
    response.headers["Link"] = link_header("/v1/api-keys", parameters, page.next_cursor)
    items = [ApiKey(**keys.described(row, username)) for row, username in page.rows]
    return KeyPage(items=items, next_cursor=page.next_cursor)


@router.delete(
    "/v1/api-keys/{key_id}",
    status_code=204,
    dependencies=[needs("keys:revoke"), Depends(no_query)],
    responses=responses(401, 403, 404, 422, 503),
    summary="Revoke an API key",
)
def revoke_key(context: ReadContext, key_id: KeyId, asking: Asking) -> None:
    """Revoke a key of one's own for good, or anybody's for whoever may manage them."""

    def work(session: Session) -> None:
        row = session.get(Row, key_id)
        if row is None or not (row.user_id == asking.user.id or asking.may("keys:manage")):
            raise NotFound("you have no such API key", code="no-such-key")
        keys.revoke(session, row, asking.by, utc_now())

    context.database.run(work)
