"""``truetonne serve``: the API, until it is told to end."""

from __future__ import annotations

import sys
from contextlib import closing

import typer

from cli.command import Invocation, command
from ledger.errors import DependencyDown


def register(root: typer.Typer) -> None:
    """Add the command."""
    command(root, "serve")(serve)


def serve(run: Invocation) -> None:
    """Serve the API on api_host and api_port until Ctrl-C or SIGTERM."""
    from api.app import create_app
    from api.server import ApiServer
    from cli.books import refuse_other_schema
    from cli.service import TablesWatch, has_started, log_to_stderr, stop_on_signal
    from ledger.db import Database

    log_to_stderr()
    settings = run.settings
    stop = stop_on_signal()
    with closing(Database(settings.database_url)) as database:
        refuse_other_schema(database)
    server = ApiServer(create_app(settings), settings.api_host, settings.api_port)
    try:
        server.start()
        has_started()
        run.output.result(
            {"listening": server.url},
            f"Pages and API at {server.url}, described at {server.url}/openapi.json; Ctrl-C ends it.",
        )
        sys.stdout.flush()
        watch = TablesWatch(settings, stop)
        watch.start()
        while not stop.wait(1):
            if not server.alive:
                raise DependencyDown("the API ended by itself; see the log", code="api-down")
        if watch.trouble is not None:
            raise watch.trouble
    finally:
        server.stop()
