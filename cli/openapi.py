"""``truetonne openapi``: the description of the API, for other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cli.command import Invocation, command
from cli.files import write_whole


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
    from api.app import create_app

    document = create_app(run.settings).openapi()
    text = json.dumps(document, indent=2, ensure_ascii=False)
    if out is None:
        run.output.result(document, text)
        return
    write_whole(out, f"{text}\n".encode())
    run.output.result({"file": str(out), "paths": len(document["paths"])}, f"wrote {out}")
