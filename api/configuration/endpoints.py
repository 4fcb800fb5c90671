"""``/v1/config``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from api.access import needs
from api.configuration.schemas import ConfigParameters, Setting, SettingPage
from api.context import ReadContext, no_query
from api.errors import responses
from api.pagination import link_header, matching, page_of, paged
from ledger.models import SystemConfig
from ledger.park import configuration

router = APIRouter(tags=["configuration"])

_READ = [needs("config:read")]


@router.get(
    "/v1/config",
    dependencies=_READ,
    responses=responses(401, 403, 422, 503),
    summary="List the settings in the database",
)
def list_settings(
    context: ReadContext, parameters: Annotated[ConfigParameters, Query()], response: Response
) -> SettingPage:
    """List the settings that every process on the database shares; secrets are never shown."""
    query = configuration.settings_query()
    query = matching(query, (SystemConfig.category, parameters.category))
    with context.database.read() as session:
        found = session.scalars(paged(query, parameters, SystemConfig.id)).all()
        page = page_of(parameters, found, [row.id for row in found])
        items = [Setting(**vars(configuration.shown(row))) for row in page.rows]
    response.headers["Link"] = link_header("/v1/config", parameters, page.next_cursor)
    return SettingPage(items=items, next_cursor=page.next_cursor)


@router.get(
    "/v1/config/{key}",
    dependencies=[*_READ, Depends(no_query)],
    responses=responses(401, 403, 404, 422, 503),
    summary="Show a setting in the database",
)
def show_setting(
    context: ReadContext, key: Annotated[str, Path(max_length=100, description="Its name.")]
) -> Setting:
    """One setting; of a secret, that it is there."""
    with context.database.read() as session:
        return Setting(**vars(configuration.get(session, key)))
