"""``truetonne db grants``: the accounts of MariaDB, and what each may do."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from cli.command import Invocation, command
from ledger.errors import BadInput


def register(group: typer.Typer) -> None:
    """Add the command."""
    command(group, "grants")(grants)


def grants(
    run: Invocation,
    account: Annotated[
        Literal["migrate", "write", "api", "read", "backup"] | None,
        typer.Argument(
            metavar="[ACCOUNT]", help="migrate, write, api, read or backup; default: all five."
        ),
    ] = None,
    user: Annotated[
        str,
        typer.Option("--user", metavar="NAME", help="Its name; default: truetonne_ACCOUNT."),
    ] = "",
    host: Annotated[
        str,
        typer.Option(
            "--host", metavar="PATTERN", help="Where it may come from: 10.0.0.%, localhost."
        ),
    ] = "%",
    tls: Annotated[
        bool, typer.Option("--tls/--no-tls", help="Whether it must come by TLS.")
    ] = True,
    mysql: Annotated[
        bool, typer.Option("--mysql", help="For a server of MySQL's, in place of MariaDB's.")
    ] = False,
    database: Annotated[
        str,
        typer.Option("--database", metavar="NAME", help="Name; default: that of database_url."),
    ] = "",
) -> None:
    """Print the SQL that makes the accounts with exactly their rights; passwords are yours to set."""
    from sqlalchemy import make_url

    from ledger.db.grants import Account, statements

    url = make_url(run.settings.database_url)
    name = database or (url.database if url.get_backend_name() != "sqlite" else None)
    if not name:
        raise BadInput("SQLite has no accounts; name the database of a server with --database")
    if user and account is None:
        raise BadInput(
            "--user names one account; say which one, such as `db grants api --user NAME`"
        )
    everybody = [each for each in Account if not (mysql and each is Account.BACKUP)]
    chosen = [Account(account)] if account is not None else everybody
    made = {
        each.value: statements(each, name, user=user, host=host, tls=tls, mysql=mysql)
        for each in chosen
    }
    lines = []
    for each, sql in made.items():
        who = f"'{user or Account(each).user}'@'{host}'"
        given = f"ALTER USER {who} IDENTIFIED BY '...'"
        if not mysql:
            given = f"SET PASSWORD FOR {who} = PASSWORD('...')"
        lines += [f"-- {each}; it can sign in when it has a password: {given};"]
        lines += [f"{line};" for line in sql]
    run.output.result({"database": name, "accounts": made}, *lines)
