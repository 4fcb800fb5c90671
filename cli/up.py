"""``truetonne up``: node if local, mirror, jobs and API in one process, until Ctrl-C ends all of it."""

from __future__ import annotations

import logging
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from cli.command import Invocation, command
from cli.files import make_home
from cli.jobs import Working, scheduler_of
from cli.mirror import watched
from cli.service import beside, has_started, log_to_stderr, stay, stop_on_signal
from ledger.errors import TruetonneError

if TYPE_CHECKING:
    from cli.flow import Flow

NodePort = Annotated[
    int,
    typer.Option(
        "--node-port", help="Port of the local node; 0 takes a free one.", min=0, max=65535
    ),
]
log = logging.getLogger(__name__)
_JOIN_SECONDS_MAX = 30.0


def register(root: typer.Typer) -> None:
    """Add the commands."""
    command(root, "up")(up)


def up(run: Invocation, node_port: NodePort = 0) -> int:
    """Start the local node, the mirror, the jobs and the API, and stay until Ctrl-C.

    API and pages are on api_host and api_port: TRUETONNE_API_PORT is another one for them.
    """
    from api.app import create_app
    from api.server import ApiServer
    from cli.books import bring_up_to_date
    from cli.deploying import check_checkout, ensure_deployed
    from cli.flow import flow_on
    from ledger.chain.local.shared import check_chain_is_here, node_for
    from ledger.db import Database

    log_to_stderr()
    settings = run.settings
    if settings.local_chain and not settings.deployment.exists():
        check_checkout("up, which deploys to the local chain first,")
    make_home(settings)
    stop = stop_on_signal()
    # The port first: when it is taken, nothing else has been started yet.
    server = ApiServer(create_app(settings), settings.api_host, settings.api_port)
    try:
        bring_up_to_date(settings)
        with closing(Database(settings.database_url)) as db:
            check_chain_is_here(settings, db)
        with node_for(settings, node_port or None) as rpc_url:
            if settings.local_chain:
                run.output.step("deploying the contracts, if they are not")
                ensure_deployed(settings, rpc_url)
            with flow_on(settings, rpc_url) as flow:
                mirror = _Mirror(flow, stop)
                jobs = Working(scheduler_of(settings, flow.chain), stop)
                # Waited for in here: they need the node to their end.
                with beside(mirror, stop, _JOIN_SECONDS_MAX), beside(jobs, stop):
                    server.start()
                    has_started()
                    run.output.result(
                        {"api": server.url, "node": rpc_url, "database": _shown(run)},
                        f"pages  {server.url}/",
                        f"API    {server.url}/openapi.json",
                        f"node   {rpc_url}",
                        f"books  {_shown(run)}",
                        "Ctrl-C ends all of it.",
                    )
                    sys.stdout.flush()
                    trouble = stay(settings, stop)
                    run.output.note("ending")
        trouble = trouble or mirror.trouble or jobs.trouble
        if trouble is not None:
            raise trouble
    finally:
        server.stop()
    return 0


class _Mirror(threading.Thread):
    """The mirror in a thread; what stops it stops everything, with its reason."""

    def __init__(self, flow: Flow, stop: threading.Event) -> None:
        super().__init__(name="mirror", daemon=True)
        self._flow = flow
        self._stop_event = stop
        self.trouble: TruetonneError | None = None

    def run(self) -> None:
        try:
            self._flow.indexer.follow(self._stop_event, **watched(log))
        except TruetonneError as error:
            self.trouble = error
        except Exception as error:
            log.exception("the mirror ended")
            self.trouble = TruetonneError(f"the mirror ended: {type(error).__name__}: {error}")
        finally:
            self._stop_event.set()


def _shown(run: Invocation) -> str:
    from ledger.settings import redacted

    return redacted(run.settings.database_url)
