"""``truetonne db copy``: the books go to another database, as from SQLite to a server."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.command import DryRun, Invocation, command
from ledger.errors import BadInput
from ledger.units import counted

if TYPE_CHECKING:
    from ledger.backup.copying import Copied
    from ledger.db import Database
    from ledger.settings import Settings


def register(group: typer.Typer) -> None:
    """Add the command to ``db``."""
    command(group, "copy")(copy)


def copy(
    run: Invocation,
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="PLACE",
            help="The database that has the books: an SQLite file, or a URL.",
        ),
    ],
    close: Annotated[
        bool,
        typer.Option(
            "--close", help="Close the database that was copied: no process works on it any more."
        ),
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Copy all books into the database of the settings, which must be new; reads every row back and compares it."""
    from cli.books import bring_up_to_date, check_schema
    from ledger.backup.copying import copy_books, count_rows, require_new
    from ledger.db import Database

    settings = run.settings
    begun_s = time.monotonic()
    named = settings.variable_of("database_admin_url")
    with (
        closing(Database(_url(source), setting="--from")) as old,
        closing(Database(settings.database_admin_url, setting=named)) as new,
    ):
        if _where(old) == _where(new):
            raise BadInput(
                f"--from names the database of the settings, {new.place}; set database_url to the one that is to have "
                "the books",
                code="usage",
            )
        check_schema(old, _way_on(old))
        require_new(new)
        if dry_run:
            done = count_rows(old)
        else:
            bring_up_to_date(settings)
            run.output.note(f"copying {old.place} to {new.place}")
            done = copy_books(old, new, lambda item: _tell(run, item), close=close)
        first = [] if dry_run else _chain_to_move(settings, new)
    rows, seconds = sum(item.rows for item in done), time.monotonic() - begun_s
    document = {
        "from": old.place,
        "into": new.place,
        "tables": {item.table: item.rows for item in done},
        "rows": rows,
        "seconds": round(seconds, 1),
        "closed": close and not dry_run,
        "dry_run": dry_run,
    }
    what = f"{counted(rows, 'row')} of {counted(len(done), 'table')}"
    if dry_run:
        run.output.result(document, f"would copy {what} from {old.place} to {new.place}")
        return
    run.output.result(
        document,
        f"copied {what} from {old.place} to {new.place} in {seconds:.1f} s; each was read back, and is the same",
        *first,
        "next: `truetonne doctor`, `index verify` and `reconcile`; then start the processes with these settings, and "
        "take a full backup",
        "the old database is closed: what works on it ends, and says so"
        if close
        else "the old database must not be worked on any more: both would send from the same accounts",
    )


def _chain_to_move(settings: Settings, new: Database) -> list[str]:
    """Return what is to be done about a local chain, the folder of which goes by the place of the database."""
    from ledger.chain.local.shared import check_chain_is_here

    try:
        check_chain_is_here(settings, new)
    except BadInput as error:
        return [f"first: {error}"]
    return []


def _way_on(old: Database) -> str:
    """Return what is to be done where the source has no schema of this version: `db upgrade` takes the target's."""
    if old.current() is None:
        return "name in --from the database that has the books"
    return "run `truetonne db upgrade` with database_url set to it, then copy again"


def _url(place: str) -> str:
    from sqlalchemy import URL

    if "://" in place:
        return place
    return URL.create("sqlite", database=place).render_as_string()  # its name may have any sign


def _where(db: Database) -> object:
    if db.dialect == "sqlite":
        return Path(db.url.database or "").resolve()
    return db.url.host, db.url.port, db.url.database


def _tell(run: Invocation, item: Copied) -> None:
    if item.rows >= 100_000:
        run.output.note(f"{item.table}: {counted(item.rows, 'row')}")
