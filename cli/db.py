"""``truetonne db``: the schema of the database, and what is kept in it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict

import typer

from cli import backup, db_copy, db_grants, db_keys, db_promote, partitions, restoring
from cli.command import DryRun, Invocation, command, command_group
from cli.db_keys import lost_lines

group = command_group("Keep the database: schema, accounts, keys, partitions, replica, backups.")


def register(root: typer.Typer) -> None:
    """Add the group."""
    partitions.register(group)
    db_copy.register(group)
    db_grants.register(group)
    db_keys.register(group)
    backup.register(group)
    restoring.register(group)
    db_promote.register(group)
    root.add_typer(group, name="db")


@command(group, "upgrade")
def upgrade(run: Invocation, dry_run: DryRun = False) -> None:
    """Bring the database to the schema of this version; does nothing when it is there."""
    from cli.books import bring_up_to_date
    from ledger.db import Database

    done = bring_up_to_date(run.settings, dry_run=dry_run)
    before = done.before
    head = Database.head()
    after = before if dry_run else head
    document = {
        "database": done.place,
        "before": before,
        "after": after,
        "wanted": head,
        "applied": done.applied,
        "sealed": done.sealed,
        "lost": [asdict(item) for item in done.lost],
        "dry_run": dry_run,
    }
    if before == head:
        said = f"{done.place} is current ({head})"
    elif dry_run:
        said = f"{done.place} would go from {before or 'no schema'} to {head}"
    else:
        said = f"{done.place} went from {before or 'no schema'} to {head}"
    run.output.result(document, said, *lost_lines(done.lost))


@command(group, "current")
def current(run: Invocation) -> int:
    """Say which revision the database is at; exit 1 when it is not the one wanted."""
    from ledger.db import Database
    from ledger.migrations import revisions

    with closing(Database(run.settings.database_url)) as database:
        revision = database.current()
    head = Database.head()
    document = {
        "database": database.place,
        "revision": revision,
        "wanted": head,
        "current": revision == head,
    }
    newer = revision is not None and not revisions.known(revision)
    mend = "a newer version upgraded it, use that one" if newer else "run `truetonne db upgrade`"
    hint = "" if revision == head else f"; wanted is {head}: {mend}"
    moved = revisions.said_of_moved(revision or "")
    said = moved or f"is at {revision or 'no revision'}{hint}"
    run.output.result(document, f"{database.place} {said}")
    return 0 if revision == head else 1
