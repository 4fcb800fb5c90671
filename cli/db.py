"""``truetonne db``: the schema of the database, and what is kept in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from cli import backup, db_grants, db_keys, db_promote, partitions, restoring
from cli.command import DryRun, Invocation, command, command_group

if TYPE_CHECKING:
    from ledger.db import Database

group = command_group("Keep the schema of the database.")


def register(root: typer.Typer) -> None:
    """Add the group."""
    partitions.register(group)
    db_grants.register(group)
    db_keys.register(group)
    backup.register(group)
    restoring.register(group)
    db_promote.register(group)
    root.add_typer(group, name="db")


@command(group, "upgrade")
def upgrade(run: Invocation, dry_run: DryRun = False) -> None:
    """Bring the database to the schema of this version; does nothing when it is there."""
    from cli.books import require_known
    from ledger.db import Database

    database = Database(
        run.settings.database_admin_url, setting=run.settings.variable_of("database_admin_url")
    )
    try:
        before = database.current()
        require_known(database, before)
        applied = [] if dry_run else database.upgrade()
        # Where an upgrade was interrupted here, the next one goes on.
        sealed = {} if dry_run else _seal_what_is_plain(run, database)
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
        "sealed": sealed,
        "dry_run": dry_run,
    }
    if before == head:
        said = f"{database.place} is current ({head})"
    elif dry_run:
        said = f"{database.place} would go from {before or 'no schema'} to {head}"
    else:
        said = f"{database.place} went from {before or 'no schema'} to {head}"
    run.output.result(document, said)


def _seal_what_is_plain(run: Invocation, database: Database) -> dict[str, int]:
    """Seal what stands plain in rows from before there was a seal; return how many values of each table."""
    with database.read() as session:
        plain = any(used[None] for used in db_keys.keys_in_use(session).values())
    return db_keys.seal_everything(database, run.settings.sealing_key_file) if plain else {}


@command(group, "current")
def current(run: Invocation) -> int:
    """Say which revision the database is at; exit 1 when it is not the one wanted."""
    from ledger.db import Database
    from ledger.migrations import revisions

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
    newer = revision is not None and not revisions.known(revision)
    mend = "a newer version upgraded it, use that one" if newer else "run `truetonne db upgrade`"
    hint = "" if revision == head else f"; wanted is {head}: {mend}"
    run.output.result(document, f"{database.place} is at {revision or 'no revision'}{hint}")
    return 0 if revision == head else 1
