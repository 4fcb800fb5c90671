"""``truetonne db promote`` and ``db rejoin``: a replica becomes the primary, and the old primary its replica."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.command import DryRun, Invocation, command
from ledger.errors import BadInput, ProblemFound
from ledger.units import counted

if TYPE_CHECKING:
    from ledger.db.promotion import Promoted
    from ledger.settings import Settings

TIMEOUT_S = 300.0


def register(group: typer.Typer) -> None:
    """Add the commands to ``db``."""
    command(group, "promote")(promote)
    command(group, "rejoin")(rejoin)


def promote(
    run: Invocation,
    switchover: Annotated[
        bool,
        typer.Option(
            "--switchover", help="The primary lives: make it read-only first, and lose nothing."
        ),
    ] = False,
    fenced: Annotated[
        bool,
        typer.Option(
            "--fenced", help="You have made sure that nobody can write to the old primary."
        ),
    ] = False,
    accept_loss: Annotated[
        bool,
        typer.Option(
            "--accept-loss", help="Go on where nothing proves that every transaction is here."
        ),
    ] = False,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout", metavar="SECONDS", help="Wait so long until all that came is applied."
        ),
    ] = TIMEOUT_S,
    dry_run: DryRun = False,
) -> None:
    """Make the replica (database_read_url) the primary, when all that it has received is applied; can be run again."""
    from ledger.db.database import READ_SETTING
    from ledger.db.following import server_at
    from ledger.db.promotable import Ask
    from ledger.db.promotion import promote as take_over

    if switchover and fenced:
        raise BadInput(
            "--switchover and --fenced do not go together: the first needs the old primary",
            code="usage",
        )
    if not 0 <= timeout <= 86_400:
        raise BadInput(f"--timeout: from 0 to 86400 seconds, found {timeout:g}", code="usage")
    primary_url, replica_url = _pair(run.settings)
    primary, replica = server_at(primary_url), server_at(replica_url, READ_SETTING)
    ask = Ask(fenced, switchover, accept_loss, timeout, dry_run)
    try:
        done = take_over(replica, primary, ask, run.output.step)
    finally:
        primary.close()
        replica.close()
    steps = [] if dry_run else _next(run.settings, done)
    document = {
        "primary": done.place,
        "position": done.position,
        "old_primary": done.old,
        "already": done.already,
        "applied": done.applied,
        "doubt": done.doubt,
        "left_behind": done.left,
        "seconds": round(done.seconds, 3),
        "next": steps,
        "dry_run": dry_run,
    }
    run.output.result(document, *_said(done, dry_run), *steps)


def rejoin(run: Invocation) -> int:
    """Say whether the old primary (database_read_url) may follow the new one (database_url), and how; exit 1 if not."""
    from ledger.db.database import READ_SETTING
    from ledger.db.following import server_at
    from ledger.db.rejoining import compare

    primary_url, old_url = _pair(run.settings)
    primary, old = server_at(primary_url), server_at(old_url, READ_SETTING)
    try:
        found = compare(primary, old)
    finally:
        primary.close()
        old.close()
    gaps = [str(gap) for gap in found.only_there]
    document = {
        "primary": found.primary,
        "old": found.old,
        "may_follow": not gaps,
        "follows": found.follows,
        "lost": found.lost,
        "only_there": gaps,
        "statements": list(found.statements),
    }
    if gaps:
        run.output.result(
            document,
            f"{found.old} has {counted(found.lost, 'transaction')} that {found.primary} has not: {', '.join(gaps)}",
            "it cannot follow: keep a copy of its files, and rebuild it from a backup, see docs/replica.md",
        )
        return ProblemFound.exit_code
    if found.follows:
        run.output.result(document, f"{found.old} follows {found.primary}")
        return 0
    run.output.result(
        document,
        f"{found.primary} has all that {found.old} has; as root of {found.old}:",
        *(f"{statement};" for statement in found.statements),
    )
    return 0


def _pair(settings: Settings) -> tuple[str, str]:
    """Return the URLs of primary and replica, both as the account of ``database_admin_url``."""
    from sqlalchemy import make_url

    if not settings.database_read_url:
        raise BadInput("database_read_url is not set: it names the replica, see docs/replica.md")
    admin = make_url(settings.database_admin_url)
    primary, replica = (
        make_url(url)
        .set(username=admin.username, password=admin.password)
        .render_as_string(hide_password=False)
        for url in (settings.database_url, settings.database_read_url)
    )
    return primary, replica


def _said(done: Promoted, dry_run: bool) -> list[str]:
    if done.already:
        return [f"{done.place} is the primary already, at {done.position}"]
    if dry_run:
        said = [
            f"{done.place} would be promoted at {done.position}, "
            f"{counted(done.applied, 'transaction')} still to be applied"
        ]
    else:
        said = [
            f"{done.place} is the primary, at {done.position}: "
            f"{counted(done.applied, 'transaction')} applied before, in {done.seconds:.1f} s"
        ]
    if done.doubt:
        said.append(f"accepted: {done.doubt}")
    if done.left:
        said.append(
            f"{counted(done.left, 'transaction')} of {done.old} did not come along: somebody wrote there meanwhile"
        )
    return said


def _next(settings: Settings, done: Promoted) -> list[str]:
    """Return what is left for the operator to do."""
    from sqlalchemy import make_url

    there = make_url(settings.database_read_url)
    url = make_url(settings.database_url).set(host=there.host, port=there.port)
    shown = url.render_as_string(hide_password=True)
    return [
        f"next: 1. database_url = {shown}, no database_read_url, and start what writes again",
        "2. `truetonne doctor`",
        f"3. the old primary{f' ({done.old})' if done.old else ''}: its address into database_read_url, "
        "and `truetonne db rejoin` says how it comes back",
    ]
