"""``truetonne export``: a list as a file, as the API exports it."""

from __future__ import annotations

import codecs
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from cli.command import Invocation, command
from cli.files import form_by_ending, written_aside
from cli.lists import require_names
from cli.output import Output
from ledger.errors import BadInput
from ledger.units import counted

Name = Annotated[
    Literal["credits", "retirements", "transactions", "trades", "emissions", "energy"],
    typer.Argument(
        metavar="LIST", help="credits, retirements, transactions, trades, emissions or energy."
    ),
]
FORMS = ("csv", "jsonl", "parquet")
Form = Annotated[
    Literal["csv", "jsonl", "parquet"] | None,
    typer.Option(
        "--format", help="Form of the file; default: as the ending of FILE says, else csv."
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="NAME=VALUE",
        help="Only rows with this: a filter of the list in the API. May be given several times.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="FILE", help="Write it to this file; stdout without it."
    ),
]


def register(root: typer.Typer) -> None:
    """Add the command."""
    command(root, "export")(export)


def export(
    run: Invocation,
    name: Name,
    out: Out = None,
    asked: Form = None,
    where: Where = None,
    order: Annotated[
        Literal["asc", "desc"], typer.Option("--order", help="asc: oldest first; desc: newest.")
    ] = "asc",
) -> None:
    """Write a list: all of it, from one snapshot of the books."""
    from api.exports.formats import Format
    from api.exports.stream import Counted, export_named, pieces
    from api.finality import ChainView
    from cli.books import reading

    form = form_by_ending(out, asked, FORMS)
    listed = out is None and run.output.as_json
    if listed:
        form = "jsonl"
    elif out is None and form == "parquet":
        run.output.require_bytes(form)
    exported = export_named(name)
    filters = _pairs(where or ())
    parameters = _parameters(exported.parameters, filters, order)
    with reading(run.settings) as (session, _):
        require_names(session, name, filters)
    counted_rows, digest = Counted(), hashlib.sha256()
    sent = pieces(lambda: reading(run.settings), exported, parameters, Format(form), counted_rows)
    view = next(sent)
    assert isinstance(view, ChainView)
    blocks = {"as_of_block": view.as_of_block, "final_block": view.final_block}
    if listed:
        lines = b"".join(_bytes(sent)).split(b"\n")
        items = [json.loads(line) for line in lines if line]
        run.output.result({"list": name, "rows": counted_rows.rows, **blocks, "items": items})
        return
    if out is None:
        _print(run.output, sent, form)
        return
    # A file that is not whole has another name: nobody takes it for the export.
    with (
        written_aside(out) as aside,
        aside.open("wb") as file,
    ):
        for piece in _bytes(sent):
            file.write(piece)
            digest.update(piece)
    document = {
        "file": str(out),
        "list": name,
        "format": form,
        "rows": counted_rows.rows,
        "sha256": digest.hexdigest(),
        **blocks,
    }
    moment = (
        "before the mirror began" if view.as_of_block is None else f"as of block {view.as_of_block}"
    )
    run.output.result(document, f"wrote {counted(counted_rows.rows, 'row')} to {out}, {moment}")


def _print(output: Output, sent: Iterator[object], form: str) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    for piece in _bytes(sent):
        if form == "parquet":
            output.write_bytes(piece)
        else:
            output.write(decoder.decode(piece))


def _bytes(sent: Iterator[object]) -> Iterator[bytes]:
    for piece in sent:
        assert isinstance(piece, bytes)
        yield piece


def _pairs(where: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for text in where:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise BadInput(
                f"--where {text!r}: write NAME=VALUE, such as status=retired", code="usage"
            )
        pairs[name] = value
    return pairs


def _parameters(kind: Any, filters: Mapping[str, str], order: str) -> Any:
    from pydantic import ValidationError

    reserved = {"limit", "cursor", "order"} & filters.keys()
    if reserved:
        raise BadInput(f"--where {min(reserved)}: is no filter of the list", code="usage")
    try:
        return kind.model_validate({**filters, "order": order})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = sorted(
                (field.alias or name)
                for name, field in kind.model_fields.items()
                if name not in ("limit", "cursor", "order")
            )
            raise BadInput(
                f"--where {name}: is no filter of the list; there are {', '.join(known)}",
                code="usage",
            ) from error
        if first["type"] == "missing":
            raise BadInput(f"--where {name}=...: this list needs it", code="usage") from error
        raise BadInput(
            f"--where {name}: {first['msg']}, found {first['input']!r}", code="usage"
        ) from error
