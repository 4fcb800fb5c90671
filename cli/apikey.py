"""``truetonne apikey``: keys by which programs act for a user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.command import DryRun, Invocation, command, command_group
from cli.output import Table
from ledger.clock import utc_now
from ledger.units import counted

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


DAYS = 90


def register(root: typer.Typer) -> None:
    """Add the group."""
    group = command_group(
        "Make, list and revoke API keys, by which programs act for a user; without a command, list them.",
        alone=list_keys,
    )
    command(group, "create")(create)
    command(group, "list")(list_keys)
    command(group, "revoke")(revoke)
    root.add_typer(group, name="apikey")


def create(
    run: Invocation,
    user: Annotated[str, typer.Option("--user", help="For whom it acts.")],
    name: Annotated[str, typer.Option("--name", help="What it is for.")],
    scope: Annotated[
        list[str],
        typer.Option("--scope", help="A right that it carries, such as audit:read; repeatable."),
    ],
    days: Annotated[int, typer.Option("--days", help="How many days it lasts.")] = DAYS,
    dry_run: DryRun = False,
) -> None:
    """Make a key; it is shown this once."""
    from ledger.audit import HOUSE
    from ledger.identity import keys, users

    def work(session: Session) -> tuple[str, dict[str, Any]]:
        owner = users.named(session, user)
        key, row = keys.make(session, owner, name, scope, days, HOUSE, utc_now())
        return key, keys.described(row, user)

    with run.books() as db:
        key, found = db.run(work, keep=not dry_run)
    if dry_run:
        wanted = ("username", "name", "scopes", "expires_at")
        document = {item: found[item] for item in wanted}
        run.output.result(document, f"would make a key for {user}: {', '.join(found['scopes'])}")
        return
    run.output.result(
        {**found, "key": key},
        key,
        f"for {user}, {', '.join(found['scopes'])}, {days} days; it is not shown again",
    )


def list_keys(
    run: Invocation,
    user: Annotated[str | None, typer.Option("--user", help="Only keys of this user.")] = None,
) -> None:
    """List all keys, oldest first, by their prefixes."""
    from ledger.identity import keys, users
    from ledger.models import ApiKey

    with run.books() as db, db.read() as session:
        owner = None if user is None else users.named(session, user).id
        found = session.execute(keys.listed(owner).order_by(ApiKey.id)).all()
        rests = keys.resting(session)
    at = utc_now()
    shown = [
        (
            row.id,
            row.prefix,
            username,
            row.name,
            " ".join(row.scopes),
            row.expires_at.date(),
            row.last_used_at.date() if row.last_used_at else None,
            keys.state(row, at, rests),
        )
        for row, username in found
    ]
    columns = ("id", "prefix", "user", "name", "scopes", "expires", "last used", "state")
    run.output.result(
        {"keys": [keys.described(row, username) for row, username in found]},
        Table(columns, shown),
        counted(len(shown), "key"),
    )


def revoke(
    run: Invocation,
    key: Annotated[
        str, typer.Argument(metavar="KEY", help="Prefix (ttk_...) or row number of the key.")
    ],
    dry_run: DryRun = False,
) -> None:
    """Revoke a key, for good."""
    from ledger.audit import HOUSE
    from ledger.identity import keys

    def work(session: Session) -> tuple[str, bool]:
        row = keys.named(session, key)
        return row.prefix, keys.revoke(session, row, HOUSE, utc_now())

    with run.books() as db:
        prefix, done = db.run(work, keep=not dry_run)
    document: dict[str, Any] = {"prefix": prefix, "revoked": done}
    said = f"{'would revoke' if dry_run else 'revoked'} {prefix}"
    run.output.result(
        document,
        said if done else f"{prefix} was revoked before",
    )
