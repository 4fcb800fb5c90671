"""``truetonne index status``: how the mirror is."""

from __future__ import annotations

from typing import Any

import typer

from cli.command import Invocation, command
from cli.output import Table
from ledger.errors import DependencyDown


def register(group: typer.Typer) -> None:
    """Add the commands."""
    command(group, "status")(index_status)


def index_status(run: Invocation) -> int:
    """Say how far the mirror is, how fast, who runs it, where the chain last turned; exit 3 when the node is down."""
    from cli.books import open_books
    from indexer import status
    from ledger.chain.client import ChainClient
    from ledger.chain.shared_node import published_url

    settings = run.settings
    with open_books(settings) as db, db.read() as session:
        mirrored = status.look(session, settings.network)
    head, down = None, None
    url = published_url(settings)
    if url:
        client = ChainClient(url)
        try:
            head = client.block("latest")
        except DependencyDown as error:
            down = error
        finally:
            client.close()
    cursor = mirrored.cursor
    document: dict[str, Any] = {
        "network": settings.network,
        "chain_id": cursor.chain_id if cursor else None,
        **status.as_document(mirrored, head),
        "node": "up" if head is not None else "down" if url else "asleep",
    }
    asleep = "the local chain is not running; commands start it when they need it"
    notes = [] if head is not None else [down.message if down is not None else asleep]
    begun = [] if cursor else ["the mirror has not begun: `truetonne index run` begins it"]
    run.output.result(document, Table(("what", "value"), _rows(document)), *begun, *notes)
    return DependencyDown.exit_code if down is not None else 0


def _rows(document: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the lines of the table: a nested part is one line of words."""
    names = {
        "head": "head of the node",
        "behind": "blocks behind",
        "behind_s": "seconds behind",
        "rate": "rate",
        "leader": "mirrored by",
        "last_reorganisation": "last reorganisation",
    }
    said = {**document}
    if rate := document["rate"]:
        said["rate"] = (
            f"{rate['blocks_per_s']} blocks and {rate['events_per_s']} events a second, over {rate['over_s']} s"
        )
    if leader := document["leader"]:
        said["leader"] = (
            f"{leader['place']}, for {leader['since_s']} s"
            if leader["live"]
            else f"nobody; last by {leader['place']}"
        )
    if turn := document["last_reorganisation"]:
        said["last_reorganisation"] = (
            f"{turn['depth']} blocks deep, {turn['found_at']:%Y-%m-%d %H:%M:%S} UTC: from block "
            f"{turn['from_block']} ({turn['from_hash'][:10]}...) back to {turn['block']}, "
            f"then on to {turn['to_hash'][:10]}..."
        )
    rows = [(names.get(name, name.replace("_", " ")), value) for name, value in said.items()]
    return [row for row in rows if row[1] is not None]
