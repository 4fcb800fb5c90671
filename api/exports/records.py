"""``/v1/park/KIND/export``: the records of a kind as a file, streamed; CSV and JSON lines are those of the command."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import chain, islice
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, create_model
from starlette.responses import StreamingResponse

from api.access import needs
from api.context import Context, ReadContext
from api.errors import responses
from api.exports.columns import Column
from api.exports.columns import Kind as Sorted
from api.exports.endpoints import FILE, sent_as_file
from api.exports.formats import Format, writer_of
from api.park.schemas import SCHEMAS
from ledger.models.types import ExactDecimal
from ledger.park import KINDS, Kind
from ledger.park.fields import Sort
from ledger.park.records import all_records
from ledger.park.writing import ROWS_AT_ONCE, csv_pieces, json_pieces

router = APIRouter(tags=["exports"])
_SORTS = {
    Sort.TEXT: Sorted.TEXT,
    Sort.CHOICE: Sorted.TEXT,
    Sort.NUMBER: Sorted.DECIMAL,
    Sort.WHOLE: Sorted.INTEGER,
    Sort.TRUTH: Sorted.FLAG,
    Sort.TIME: Sorted.TIME,
    Sort.OBJECT: Sorted.JSON,
}


class RecordFile(BaseModel):
    """What the file of each kind takes, besides the filters of its list."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    format: Format = Field(Format.CSV, description="csv, jsonl or parquet.")


@dataclass(frozen=True)
class RecordColumn(Column):
    """A column of a kind."""

    def value(self, item: Any) -> Any:
        """Return the value of a record."""
        value = item[self.name]
        return value.value if isinstance(value, Enum) else value


def columns_of(kind: Kind) -> tuple[RecordColumn, ...]:
    """Return the columns of a kind's file, in their order."""
    found = []
    for name in kind.columns:
        field = kind.field(name)
        stored = field.column.type
        digits = (stored.precision, stored.scale) if isinstance(stored, ExactDecimal) else (38, 0)
        found.append(RecordColumn(name, _SORTS[field.sort], digits=digits))
    return tuple(found)


def pieces(
    context: Context, kind: Kind, filters: Mapping[str, Any], form: Format
) -> Iterator[bytes]:
    """Yield the file piece by piece, the oldest record first; the first piece is empty, when its snapshot is open.

    Raises
    ------
    DependencyDown
        The database does not answer.
    """
    with context.database.look() as session:
        found = all_records(session, kind, filters)
        records = chain(list(islice(found, 1)), found)  # what fails has no file yet
        yield b""
        if form is Format.PARQUET:
            writer = writer_of(form, columns_of(kind), {"list": kind.name, **_said(filters)})
            while some := list(islice(records, ROWS_AT_ONCE)):
                yield writer.rows(some)
            yield writer.end()
            return
        write = csv_pieces if form is Format.CSV else json_pieces
        for piece in write(kind, records):
            yield piece.encode()


def _said(filters: Mapping[str, Any]) -> dict[str, str]:
    return {f"filter.{name}": str(value) for name, value in filters.items()}


def _exports(kind: Kind) -> Callable[..., Any]:
    """Return the handler of a kind's file."""

    def export_records(
        request: Request, context: ReadContext, parameters: Any
    ) -> StreamingResponse:
        asked = {name: getattr(parameters, name) for name in kind.filters}
        filters = {name: value for name, value in asked.items() if value is not None}
        form = parameters.format
        return sent_as_file(
            request, context, kind.name, form, lambda: pieces(context, kind, filters, form)
        )

    listed = SCHEMAS[kind.name].parameters.model_fields
    fields: dict[str, Any] = {
        name: (listed[name].annotation, listed[name]) for name in kind.filters
    }
    title = "".join(word.capitalize() for word in kind.name.split("-"))
    model = create_model(f"{title}RecordFile", __base__=RecordFile, __doc__="Filters.", **fields)
    export_records.__annotations__["parameters"] = Annotated[model, Query()]
    return export_records


for _kind in KINDS.values():
    router.add_api_route(
        f"/v1/park/{_kind.name}/export",
        _exports(_kind),
        response_class=StreamingResponse,
        dependencies=[needs(_kind.right)],
        responses={**FILE, **responses(401, 403, 422, 503)},
        summary=f"Export {_kind.name.replace('-', ' ')}",
        description=f"{_kind.what} As a file that `truetonne park import` takes.",
    )
