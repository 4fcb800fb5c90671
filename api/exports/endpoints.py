"""``/v1/LIST/export``: a list as a file, streamed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request
from starlette.responses import StreamingResponse

from api.context import Context, ReadContext
from api.errors import Problem, responses
from api.exports.formats import MEDIA_TYPES, Format
from api.exports.schemas import (
    CreditFile,
    EmissionFile,
    EnergyFile,
    FileParameters,
    RetirementFile,
    TradeFile,
    TransactionFile,
)
from api.exports.sending import SentFile
from api.exports.stream import export_named, pieces
from api.finality import ChainView

router = APIRouter(tags=["exports"])
Route = TypeVar("Route", bound=Callable[..., Any])
RETRY_AFTER_SECONDS = 10

FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file.",
        "content": {
            media_type.partition(";")[0]: {"schema": {"type": "string", "format": "binary"}}
            for media_type in MEDIA_TYPES.values()
        },
    }
}
_OF_BLOCKS: dict[int | str, dict[str, Any]] = {
    200: {**FILE[200], "description": "The file. Headers say as of which block it is."},
    **responses(404, 422, 503),
}


def _route(name: str) -> Callable[[Route], Route]:
    return router.get(
        f"/v1/{name}/export",
        response_class=StreamingResponse,
        responses=_OF_BLOCKS,
        summary=f"Export {name}",
    )


@_route("credits")
def export_credits(
    request: Request, context: ReadContext, parameters: Annotated[CreditFile, Query()]
) -> StreamingResponse:
    """Credits as a file, with the filters of the list."""
    return _file(request, context, "credits", parameters)


@_route("retirements")
def export_retirements(
    request: Request, context: ReadContext, parameters: Annotated[RetirementFile, Query()]
) -> StreamingResponse:
    """Retirements as a file, with the filters of the list."""
    return _file(request, context, "retirements", parameters)


@_route("transactions")
def export_transactions(
    request: Request, context: ReadContext, parameters: Annotated[TransactionFile, Query()]
) -> StreamingResponse:
    """Transactions as a file, with the filters of the list."""
    return _file(request, context, "transactions", parameters)


@_route("trades")
def export_trades(
    request: Request, context: ReadContext, parameters: Annotated[TradeFile, Query()]
) -> StreamingResponse:
    """Trades as a file, with the filters of the list."""
    return _file(request, context, "trades", parameters)


@_route("emissions")
def export_emissions(
    request: Request, context: ReadContext, parameters: Annotated[EmissionFile, Query()]
) -> StreamingResponse:
    """Emissions as a file, with the filters of the list."""
    return _file(request, context, "emissions", parameters)


@_route("energy")
def export_energy(
    request: Request, context: ReadContext, parameters: Annotated[EnergyFile, Query()]
) -> StreamingResponse:
    """Energy as a file, with the filters of the list."""
    return _file(request, context, "energy", parameters)


def _file(
    request: Request, context: Context, name: str, parameters: FileParameters
) -> StreamingResponse:
    """Return the response of a file of a list; its headers say as of which block it is."""
    export = export_named(name)
    filters = parameters.model_dump(by_alias=True, exclude={"format"}, exclude_none=True)
    asked = export.parameters.model_validate(filters)
    form = parameters.format
    return sent_as_file(
        request, context, name, form, lambda: pieces(context.reading, export, asked, form)
    )


def sent_as_file(
    request: Request,
    context: Context,
    name: str,
    form: Format,
    begin: Callable[[], Iterator[ChainView | bytes]],
) -> StreamingResponse:
    """Return the response of a file; whatever its first item may raise is raised before it begins.

    Parameters
    ----------
    begin
        Begins the file. Its first item comes when its snapshot is open, and may say as of which block that is.

    Raises
    ------
    Problem
        If as many files as may be are being sent already: each holds a snapshot of the database.
    """
    if not context.files.acquire(blocking=False):
        raise Problem(
            503,
            "exports-busy",
            "as many files as may be are being sent; try again later",
            headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
        )
    sent = _released(context, begin())
    view = next(sent)
    if request.scope.get("state", {}).get("head"):
        sent.close()
    headers = {
        "Content-Disposition": f'attachment; filename="{name}.{form.value}"',
        "Cache-Control": "no-store",
    }
    if isinstance(view, ChainView):
        headers |= view.headers()
    return SentFile(sent, media_type=MEDIA_TYPES[form], headers=headers)


def _released(context: Context, sent: Iterator[Any]) -> Generator[Any]:
    """Yield the pieces, and make room for another file when they end, or nobody wants more of them."""
    try:
        yield from sent
    finally:
        context.files.release()
