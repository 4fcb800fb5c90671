"""``truetonne db``: the schema of the database."""

from __future__ import annotations

import typer

from cli import backup, restoring
from cli.command import DryRun, Invocation, command, command_group

group = command_group("Keep the schema of the database.")


def register(root: typer.Typer) -> None:
    """Add the group."""
    backup.register(group)
    restoring.register(group)
    root.add_typer(group, name="db")


@command(group, "upgrade")
def upgrade(run: Invocation, dry_run: DryRun = False) -> None:
    """Bring the database to the schema of this version; does nothing when it is there."""
    from ledger.db import Database

    database = Database(run.settings.database_url)
    try:
        before = database.current()
        applied = [] if dry_run else database.upgrade()
    finally:
        database.close()
    head = Database.head()
    after = before if dry_run else head
    document = {
        "database": database.place,
        "before": before,
        "after": after,
        "wanted": head,
        "applied": applied,
        "dry_run": dry_run,
    }
    if before == head:
        said = f"{database.place} is current ({head})"
    elif dry_run:
        said = f"{database.place} would go from {before or 'no schema'} to {head}"
    else:
        said = f"{database.place} went from {before or 'no schema'} to {head}"
    run.output.result(document, said)


@command(group, "current")
def current(run: Invocation) -> int:
    """Say which revision the database is at; exit 1 when it is not the one wanted."""
    from ledger.db import Database

    database = Database(run.settings.database_url)
    try:
        revision = database.current()
    finally:
        database.close()
    head = Database.head()
    document = {
        "database": database.place,
        "revision": revision,
        "wanted": head,
        "current": revision == head,
    }
    hint = "" if revision == head else f"; wanted is {head}: run `truetonne db upgrade`"
    run.output.result(document, f"{database.place} is at {revision or 'no revision'}{hint}")
    return 0 if revision == head else 1
