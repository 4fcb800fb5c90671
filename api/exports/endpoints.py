"""``/v1/LIST/export``: a list as a file, streamed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from inspect import GEN_RUNNING, getgeneratorstate
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api.context import FILES_OF_ONE_MAX, Context, ReadContext, take_place
from api.errors import Problem, responses
from api.exports.formats import MEDIA_TYPES, Format
from api.exports.lists import EXPORTS
from api.exports.schemas import FILES
from api.exports.stream import export_named, pieces
from api.finality import ChainView
from api.limits import bucket_of

router = APIRouter(tags=["exports"])
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


class SentFile(StreamingResponse):
    """A file that is sent piece by piece. However that ends, what its pieces are made of ends with it.

    A client that goes away leaves the pieces that it did not get: they would hold their snapshot of the database,
    and their place among the files that are sent, until garbage is looked for.
    """

    def __init__(
        self, pieces: Generator[bytes], *, media_type: str, headers: Mapping[str, str]
    ) -> None:
        super().__init__(pieces, media_type=media_type, headers=headers)
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            # One that is being made still is of a server that ends, and waits for it no longer.
            if getgeneratorstate(self._pieces) != GEN_RUNNING:
                with anyio.CancelScope(shield=True):
                    await run_in_threadpool(self._pieces.close)


def _exports(name: str) -> Callable[..., Any]:
    """Return the handler of a list's file."""

    def export_list(request: Request, context: ReadContext, parameters: Any) -> StreamingResponse:
        export = export_named(name)
        filters = parameters.model_dump(by_alias=True, exclude={"format"}, exclude_none=True)
        asked = export.parameters.model_validate(filters)
        form = parameters.format
        return sent_as_file(
            request,
            context,
            name,
            form,
            lambda: pieces(context.reading, export, asked, form),
        )

    export_list.__annotations__["parameters"] = Annotated[FILES[name], Query()]
    return export_list


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
        If as many files as may be are being sent already, to all or to this client: each holds a snapshot of the
        database.
    """
    client = bucket_of(request.scope)
    if not context.file_shares.take(client):
        raise Problem(
            503,
            "exports-busy",
            f"{FILES_OF_ONE_MAX} files are being sent to you, as many as one client may have at once; "
            "try again when one of them has come",
            headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
        )
    try:
        detail = "as many files as may be are being sent"
        take_place(context.files, code="exports-busy", detail=detail, retry_s=RETRY_AFTER_SECONDS)
    except Problem:
        context.file_shares.give_back(client)
        raise
    sent = _released(context, client, begin())
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


def _released(context: Context, client: str, sent: Iterator[Any]) -> Generator[Any]:
    """Yield the pieces, and make room for another file when they end, or nobody wants more of them."""
    try:
        yield from sent
    finally:
        context.files.release()
        context.file_shares.give_back(client)


for _name in EXPORTS:
    router.add_api_route(
        f"/v1/{_name}/export",
        _exports(_name),
        name=f"export_{_name}",
        response_class=StreamingResponse,
        responses=_OF_BLOCKS,
        summary=f"Export {_name}",
        description=f"{_name.capitalize()} as a file, with the filters of the list.",
    )
