"""``truetonne openapi``: the description of the API, for other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.command import Invocation, command
from cli.files import written_aside

if TYPE_CHECKING:
    from ledger.settings import Settings


def register(root: typer.Typer) -> None:
    """Add the command."""
    command(root, "openapi")(openapi)


def openapi(
    run: Invocation,
    out: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write it to this file instead of stdout."
        ),
    ] = None,
) -> None:
    """Print the OpenAPI description of the API."""
    if out is None:
        document, text = _described(run.settings)
        run.output.result(document, text)
        return
    with written_aside(out) as aside:  # first: what cannot be written is not worked for
        document, text = _described(run.settings)
        aside.write_bytes(f"{text}\n".encode())
    run.output.result({"file": str(out), "paths": len(document["paths"])}, f"wrote {out}")


def _described(settings: Settings) -> tuple[dict[str, Any], str]:
    """Return the description, and as text."""
    from api.app import create_app

    document = create_app(settings).openapi()
    return document, json.dumps(document, indent=2, ensure_ascii=False)
