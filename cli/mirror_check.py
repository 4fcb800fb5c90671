"""``truetonne index status | verify | reindex``: how the mirror is, whether it is true, and one that is."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.command import DryRun, Invocation, command
from cli.mirror_open import opened
from cli.output import Table
from ledger.errors import BadInput, BooksDiffer, DependencyDown, WrongChain
from ledger.units import counted

if TYPE_CHECKING:
    from indexer.finality import FinalityClaim
    from indexer.status import MirrorState
    from ledger.chain.node.client import ChainClient
    from ledger.chain.node.records import BlockHeader
    from ledger.errors import TruetonneError
    from ledger.models.mirror import ChainCursor
    from ledger.settings import Settings

DIFFERENCES_SHOWN = 20

From = Annotated[
    int | None,
    typer.Option("--from", metavar="BLOCK", help="First block; without it: the first.", min=0),
]
To = Annotated[
    int | None,
    typer.Option("--to", metavar="BLOCK", help="Last block; without it: the last mirrored.", min=0),
]
Sample = Annotated[
    int | None,
    typer.Option(
        "--sample",
        metavar="N",
        help="Compare only what N blocks of the range brought, chosen by chance.",
        min=1,
    ),
]


def register(group: typer.Typer) -> None:
    """Add the commands."""
    command(group, "status")(index_status)
    command(group, "verify")(index_verify)
    command(group, "reindex")(index_reindex)


def index_status(run: Invocation) -> int:
    """Say how far the mirror is, how fast, who runs it, where the chain last turned; exit 3 when the node is down."""
    from indexer import status
    from ledger.chain.local.shared import published_url, silence
    from ledger.chain.node.client import RpcError

    settings = run.settings
    with run.books() as db, db.read() as session:
        mirrored = status.look(session, settings.network)
    told = _Told()
    down: TruetonneError | None = None
    if url := published_url(settings):
        try:
            told = _ask(url, mirrored, settings.finality)
        except (DependencyDown, RpcError, WrongChain) as error:
            down = error
    elif silent := silence(settings):
        down = DependencyDown(silent)
    cursor, claim = mirrored.cursor, told.claim
    document: dict[str, Any] = {
        "network": settings.network,
        "chain_id": cursor.chain_id if cursor else None,
        **status.as_document(mirrored, told.head, told.tip),
        "node_final_block": claim.number if claim is not None and claim.lacks is None else None,
        "receipts": settings.receipts,
        "node": "up" if told.head is not None else "down" if url or down else "asleep",
    }
    if isinstance(down, WrongChain):
        document["node"] = "other"
    if claim is not None:
        document["not_checked"] += claim.sentences()
    notes = [] if cursor else ["the mirror has not begun: `truetonne index run` begins it"]
    if down is not None:
        notes.append(down.message)
    elif told.head is None:
        notes.append(_asleep(settings))
    elif cursor is not None:
        notes += told.notes(cursor)
    run.output.result(document, Table(("what", "value"), _rows(document)), *notes)
    if isinstance(down, WrongChain):
        return WrongChain.exit_code
    return DependencyDown.exit_code if down is not None else 0


def _asleep(settings: Settings) -> str:
    """Say that no local node runs, and what helps where none will, as the chain stayed behind."""
    from cli.books import open_books
    from ledger.chain.local.shared import check_chain_is_here

    try:
        with open_books(settings) as db:
            check_chain_is_here(settings, db)
    except BadInput as moved:
        return moved.message
    return "the local chain is not running; commands start it when they need it"


@dataclass(frozen=True)
class _Told:
    """What the node said when it was asked how the mirror stands."""

    head: BlockHeader | None = None
    tip: BlockHeader | None = None
    """Its block at the mirror's height."""
    claim: FinalityClaim | None = None
    """Which block it calls final, where that decides what is."""
    replaced: str | None = None
    """What to say where its chain has another block than the first that the mirror has."""

    def notes(self, cursor: ChainCursor) -> list[str]:
        """Say what of its chain is otherwise than books that stand at this cursor have it."""
        if self.replaced is not None:
            return [self.replaced]
        found = self._lacks(cursor.final_number)
        if self.tip is not None and self.tip.hash != cursor.block_hash:
            found.append(
                "the chain took back blocks that are mirrored: `truetonne index run` takes them back in the books"
            )
        return found

    def _lacks(self, final: int) -> list[str]:
        """Say what it has not come to of a chain that is final to this block in the books."""
        if self.head is not None and self.head.number < final:
            return [f"the node is catching up: its head is below block {final}, which was final"]
        if self.claim is None or self.claim.lacks is not None:
            return []
        if self.claim.reaches(final):
            stands = None if self.head is None else self.claim.stands_still(self.head)
            waits = (
                "nothing above it is confirmed until it goes on; `truetonne doctor` says what helps"
            )
            return [] if stands is None else [f"{stands}: {waits}"]
        return [
            f"by the node the final block is {self.claim.number}, and block {final} was final already in these "
            "books: nothing more is confirmed until it is past that; `truetonne doctor` says what helps"
        ]


def _ask(url: str, mirrored: MirrorState, setting: str | int) -> _Told:
    """Ask the node for its head, for its block at the mirror's height, and which block is final."""
    from indexer.finality import FINALIZED, claimed
    from ledger.chain.node.client import ChainClient

    with closing(ChainClient(url)) as client:
        _require_chain_of_books(client, mirrored)
        height = mirrored.cursor.block_number if mirrored.cursor else 0
        first = mirrored.first
        head, tip, there = client.blocks(["latest", height, first[0] if first else 0])
        replaced = None
        elsewhere = mirrored.cursor and (tip is None or tip.hash != mirrored.cursor.block_hash)
        if elsewhere and first and there and there.hash != first[1]:
            replaced = (
                f"the node's chain has another block {first[0]} than these books: it was set back, or began anew; "
                "`truetonne index run` follows it once our contracts stand there, and waits until then; where they "
                "will not, deploy again and use a fresh database"
            )
        claim = claimed(client, FINALIZED) if setting == FINALIZED else None
        return _Told(head, tip, claim, replaced)


def _require_chain_of_books(client: ChainClient, mirrored: MirrorState) -> None:
    from ledger.chain.addresses.kept import ALTERED_TOLD

    if (cursor := mirrored.cursor) is None:
        return
    chain_id, first = client.identity()
    if chain_id == cursor.chain_id and (first is None or first.hash == cursor.genesis_hash):
        return
    begins = f" that begins with {first.hash[:10]}..." if first is not None else ""
    raise WrongChain(
        f"the node at {client.place} serves a chain with id {chain_id}{begins}, the books mirror one with id "
        f"{cursor.chain_id} that begins with {str(cursor.genesis_hash)[:10]}...; set rpc_url, or use another database; "
        f"{ALTERED_TOLD}"
    )


def index_verify(
    run: Invocation, first: From = None, last: To = None, sample: Sample = None
) -> int:
    """Compare every mirrored table with a fresh decode of the chain; change nothing; exit 1 when they differ."""
    from indexer.report import Scope
    from indexer.verify import verify

    with opened(run.settings, compares=True) as at:
        scope = Scope(first, last, sample)
        report = verify(at.db, at.client, at.deployment, run.settings.finality, scope)
    run.output.result(
        report.as_json(),
        Table(
            ("what", "compared", "differences"),
            [
                (name, count, sum(item.table == name for item in report.differences))
                for name, count in report.checked.items()
            ],
            title=f"mirror and chain, blocks {report.from_block} to {report.to_block}",
            right=frozenset({"compared", "differences"}),
        ),
        *(f"not checked: {sentence}" for sentence in report.not_checked),
        *(f"  {difference}" for difference in report.differences[:DIFFERENCES_SHOWN]),
        *_more(len(report.differences)),
    )
    return 0 if report.ok else BooksDiffer.exit_code


def _more(count: int) -> list[str]:
    if not count:
        return []
    more = count - DIFFERENCES_SHOWN
    shown = [f"  and {more} more; --json has all of them"] if more > 0 else []
    return [*shown, "`truetonne index reindex` builds the tables anew"]


def index_reindex(run: Invocation, dry_run: DryRun = False) -> None:
    """Build the mirrored tables anew from the chain and say what changed; what is our own stays as it is."""
    from indexer.reindex import reindex

    with opened(run.settings, compares=True) as at:
        changes = reindex(
            at.db,
            at.client,
            at.deployment,
            run.settings.finality,
            dry_run=dry_run,
            on_step=run.output.step,
        )
    document = {"dry_run": dry_run, "network": at.deployment.network, **changes.as_json()}
    said = "would change" if dry_run else "changed"
    rows = [
        (name, counts["added"], counts["removed"], counts["changed"])
        for name, counts in changes.tables.items()
    ]
    if not rows:
        run.output.result(document, f"every table is what the chain says at block {changes.block}")
        return
    run.output.result(
        document,
        Table(
            ("table", "added", "removed", "changed"),
            rows,
            title=f"what {said}, at block {changes.block}",
            right=frozenset({"added", "removed", "changed"}),
        ),
    )


def _rows(document: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the lines of the table: a nested part is one line of words."""
    names = {
        "on_chain": "on the node's chain",
        "head": "head of the node",
        "node_final_block": "final block of the node",
        "behind": "blocks behind",
        "behind_s": "seconds behind",
        "rate": "rate",
        "leader": "mirrored by",
        "last_reorganisation": "last reorganisation",
        "not_checked": "not checked",
    }
    begun = document["block"] is not None
    all_was = "nothing: all was" if begun else None
    said = {**document, "not_checked": "; ".join(document["not_checked"]) or all_was}
    if (on_chain := document["on_chain"]) is not None:
        said["on_chain"] = "yes" if on_chain else "no"
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
            f"{counted(turn['depth'], 'block')} deep, {turn['found_at']:%Y-%m-%d %H:%M:%S} UTC: from block "
            f"{turn['from_block']} ({turn['from_hash'][:10]}...) back to {turn['block']}, "
            f"then on to {turn['to_hash'][:10]}..."
        )
    if held := document["verified"]:
        through = "" if held["block"] is None else f"true to block {held['block']}; "
        said["verified"] = (
            f"{through}blocks {held['from_block']} to {held['to_block']} decoded anew, "
            f"{held['at']:%Y-%m-%d %H:%M:%S} UTC: {counted(held['differences'], 'difference')}"
        )
    rows = [(names.get(name, name.replace("_", " ")), value) for name, value in said.items()]
    return [row for row in rows if row[1] is not None]
