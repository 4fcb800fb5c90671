"""``truetonne index run | status`` and ``truetonne reconcile``: the mirror, and whether it is true."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.command import Invocation, command, command_group
from cli.output import Table
from ledger.errors import BadInput, BooksDiffer, DependencyDown
from ledger.settings import Settings

if TYPE_CHECKING:
    from indexer import TickReport
    from ledger.chain.book import Deployment
    from ledger.chain.client import ChainClient
    from ledger.db import Database

DIFFERENCES_SHOWN = 20
_HEAD = "head"
_log = logging.getLogger("truetonne.index")

Until = Annotated[
    str | None,
    typer.Option(
        "--until",
        metavar="head|BLOCK",
        help="Read up to this block, or to the head, and end; without it: go on until Ctrl-C.",
    ),
]


@dataclass(frozen=True)
class Opened:
    """Books, node and address book of one network."""

    db: Database
    client: ChainClient
    deployment: Deployment


@dataclass
class Totals:
    """What one run of the mirror has read."""

    blocks: int = 0
    events: int = 0
    transactions: int = 0
    rewound_blocks: int = 0

    def add(self, report: TickReport) -> None:
        """Add one tick."""
        self.blocks += report.blocks
        self.events += report.events
        self.transactions += report.transactions
        self.rewound_blocks += report.rewound_blocks


def register(root: typer.Typer) -> None:
    """Add the commands."""
    group = command_group("Mirror the chain into the books.")
    command(group, "run")(run_index)
    command(group, "status")(index_status)
    root.add_typer(group, name="index")
    command(root, "reconcile")(reconcile)


@contextmanager
def opened(settings: Settings) -> Iterator[Opened]:
    """Open books and node for reading the chain; no key is needed for that.

    Raises
    ------
    BadInput
        If nothing is deployed, or node and deployment are of two chains.
    DependencyDown
        If database or node do not answer.
    """
    from cli.books import open_books
    from ledger.chain.access import load_deployment
    from ledger.chain.client import ChainClient
    from ledger.chain.shared_node import node_for

    deployment = load_deployment(settings)
    with open_books(settings) as db, node_for(settings) as url:
        client = ChainClient(url)
        try:
            deployment.check(client)
            yield Opened(db, client, deployment)
        finally:
            client.close()


def run_index(run: Invocation, until: Until = None) -> None:
    """Read the chain into the books: blocks, events, transactions, credits, settlements."""
    from indexer import Indexer

    target = _target(until)
    totals = Totals()
    with opened(run.settings) as at, run.output.progress("mirroring", "blocks") as advance:
        indexer = Indexer(at.db, at.client, at.deployment, run.settings.finality)
        last: list[TickReport] = []

        def ticked(report: TickReport) -> None:
            totals.add(report)
            last[:] = [report]
            advance(report.tip, report.head)

        if target is None:
            _follow(indexer, ticked)
        else:
            indexer.run_until(target, ticked)
    document: dict[str, Any] = {"network": at.deployment.network, **vars(totals)}
    if last:
        document |= {"head": last[0].head, "block": last[0].tip, "final_block": last[0].final}
    run.output.result(
        document,
        f"at block {document.get('block')} of {document.get('head')}, "
        f"final to {document.get('final_block')}; read {totals.blocks} blocks, "
        f"{totals.events} events, {totals.transactions} transactions",
    )


def index_status(run: Invocation) -> int:
    """Say how far the mirror has come, and how far it is behind the head; exit 3 when the node is down."""
    from sqlalchemy import select

    from cli.books import open_books
    from ledger.chain.client import ChainClient
    from ledger.chain.shared_node import published_url
    from ledger.models.mirror import ChainCursor

    settings = run.settings
    with open_books(settings) as db, db.read() as session:
        cursor = session.scalars(
            select(ChainCursor).where(ChainCursor.network == settings.network)
        ).one_or_none()
    head, down = None, None
    url = published_url(settings)
    if url:
        client = ChainClient(url)
        try:
            head = client.block_number()
        except DependencyDown as error:
            down = error
        finally:
            client.close()
    document = {
        "network": settings.network,
        "chain_id": cursor.chain_id if cursor else None,
        "block": cursor.block_number if cursor else None,
        "final_block": cursor.final_number if cursor else None,
        "updated_at": cursor.updated_at if cursor else None,
        "head": head,
        "behind": head - cursor.block_number if cursor and head is not None else None,
        "node": "up" if head is not None else "down" if url else "asleep",
    }
    names = {"head": "head of the node", "behind": "blocks behind"}
    rows = [(names.get(name, name.replace("_", " ")), value) for name, value in document.items()]
    asleep = "the local chain is not running; commands start it when they need it"
    notes = [] if head is not None else [down.message if down is not None else asleep]
    begun = [] if cursor else ["the mirror has not begun: `truetonne index run` begins it"]
    shown = [row for row in rows if row[1] is not None]
    run.output.result(document, Table(("what", "value"), shown), *begun, *notes)
    return DependencyDown.exit_code if down is not None else 0


def reconcile(run: Invocation) -> int:
    """Compare books and chain, rule by rule; change nothing; exit 1 when they differ."""
    from ledger.reconcile import reconcile as compare

    with opened(run.settings) as at:
        report = compare(at.db, at.client, at.deployment)
    document = report.as_json()
    rules = document["rules"]
    lines = [
        f"  {rule['name']}: {difference}"
        for rule in rules
        for difference in rule["differences"][:DIFFERENCES_SHOWN]
    ]
    run.output.result(
        document,
        Table(
            ("rule", "holds", "differences"),
            [(rule["name"], _yes(rule["ok"]), len(rule["differences"])) for rule in rules],
            title=f"books and chain at block {document['block']}",
            right=frozenset({"differences"}),
        ),
        *lines,
    )
    return 0 if all(rule["ok"] for rule in rules) else BooksDiffer.exit_code


def _follow(indexer: Any, ticked: Any) -> None:
    from cli.service import log_to_stderr, stop_on_signal

    log_to_stderr()
    indexer.follow(
        stop_on_signal(),
        ticked,
        lambda error, pause: _log.warning("%s; trying again in %.1f s", error, pause),
    )


def _target(until: str | None) -> Any:
    if until is None or until == _HEAD:
        return until
    if not (until.isascii() and until.isdigit()) or len(until) > 18:
        raise BadInput(
            f"--until takes `head` or the number of a block, found {until!r}", code="usage"
        )
    return int(until)


def _yes(value: bool) -> str:
    return "yes" if value else "NO"
