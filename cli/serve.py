"""``truetonne serve``: the API, until it is told to end."""

from __future__ import annotations

import logging
import sys

import typer

from cli.command import Invocation, command


def register(root: typer.Typer) -> None:
    """Add the command."""
    command(root, "serve")(serve)


def serve(run: Invocation) -> None:
    """Serve the API on api_host and api_port until Ctrl-C or SIGTERM."""
    from api.app import create_app
    from api.server import ApiServer

    logging.basicConfig(
        stream=sys.stderr,
        level=logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    settings = run.settings
    server = ApiServer(create_app(settings), settings.api_host, settings.api_port)
    run.output.result(
        {"listening": server.url}, f"API at {server.url}, described at {server.url}/openapi.json"
    )
    sys.stdout.flush()
    server.run()
