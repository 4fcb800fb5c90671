"""``truetonne users``: who may sign in, and what they may do."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cli.command import DryRun, Invocation, command, command_group
from cli.files import typed_text
from cli.output import Table
from cli.sealed import sealer_for
from ledger.clock import utc_now
from ledger.errors import BadInput, in_words
from ledger.jsontext import once
from ledger.units import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from ledger.models import User

_log = logging.getLogger("truetonne.users")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the user.")]
Role = Literal["admin", "operator", "viewer"]
RightName = Annotated[
    str, typer.Argument(metavar="RIGHT", help="What may be done: resource:action.")
]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--password-file",
        metavar="FILE",
        help="Read the password from the first line of this file; - is stdin. Asked for without it.",
    ),
]


def register(root: typer.Typer) -> None:
    """Add the group."""
    group = command_group(
        "Keep the users of the API, and what they may do; without a command, list them.",
        alone=list_users,
    )
    command(group, "add")(add)
    command(group, "list")(list_users)
    command(group, "disable")(disable)
    command(group, "enable")(enable)
    command(group, "role")(set_role)
    command(group, "email")(set_email)
    command(group, "password")(set_password)
    command(group, "profile")(profile)
    command(group, "grant")(grant)
    command(group, "revoke")(revoke)
    command(group, "reset")(reset)
    root.add_typer(group, name="users")


def add(
    run: Invocation,
    name: Name,
    email: Annotated[str, typer.Option("--email", help="Mail address.")],
    role: Annotated[Role, typer.Option("--role", help="What the user may do.")] = "viewer",
    password_file: PasswordFile = None,
    dry_run: DryRun = False,
) -> None:
    """Add a user who may sign in; the password comes from a file, or is asked for."""
    from ledger.audit import HOUSE
    from ledger.identity import passwords, users
    from ledger.models.users import UserRole

    users.check_username(name)
    users.check_email(email)
    made = passwords.hashed(_password(password_file))
    sealer = sealer_for(run.settings.sealing_key_file, keep=not dry_run)

    def work(session: Session) -> User:
        return users.add(
            session,
            sealer,
            username=name,
            email=email,
            role=UserRole(role),
            password_hash=made,
            by=HOUSE,
        )

    row = _in_books(run, work, dry_run)
    said = f"{'would add' if dry_run else 'added'} {role} {name}"
    document = _document(row, dry_run) | {"email": users.check_email(email)}
    run.output.result(document, said)


def list_users(run: Invocation) -> None:
    """List all users, with what was decided for each beyond the role."""
    from ledger.identity import contacts, permissions, users

    with run.books() as db, db.read() as session:
        everybody = users.all_of_them(session)
        found = [(row, permissions.of_user(session, row.id)) for row in everybody]
        mail = contacts.addresses(session, everybody, run.settings.sealing_key_file)
    document = [
        {
            "id": row.id,
            **users.values(row),
            "email": mail[row.id],
            "created_at": row.created_at,
            "permissions": {f"{item.resource}:{item.action}": item.granted for item in decided},
        }
        for row, decided in found
    ]
    table = Table.of(
        document,
        {
            "id": "id",
            "name": "username",
            "mail": lambda item: item["email"] or "(sealed)",
            "role": "role",
            "may sign in": lambda item: "yes" if item["is_active"] else "no",
            "beyond the role": lambda item: " ".join(
                ("+" if granted else "-") + right for right, granted in item["permissions"].items()
            ),
        },
    )
    run.output.result({"users": document}, table, counted(len(document), "user"))


def disable(run: Invocation, name: Name, dry_run: DryRun = False) -> None:
    """Keep a user from signing in: all sessions end, and API keys rest."""
    _change(run, name, dry_run, _left_by, is_active=False)


def _left_by(session: Session, user: User) -> list[str]:
    """Return what a user set up that goes on: whoever stole the account may have sent all that is told elsewhere."""
    from ledger.identity import keys
    from ledger.webhooks import endpoints

    now = utc_now()
    prefixes = [
        row.prefix
        for row, _ in session.execute(keys.listed(user.id))
        if keys.state(row, now) == "live"
    ]
    found = [
        f"{prefix} works again when {user.username} may sign in again; `truetonne apikey revoke {prefix}` ends it"
        for prefix in prefixes
    ]
    return found + [
        f"endpoint {row.id} ({row.url}), which {user.username} added or changed, is still {row.state.value}; "
        f"`truetonne webhooks remove {row.id}` ends it"
        for row in endpoints.led_by(session, user.id)
    ]


def enable(run: Invocation, name: Name, dry_run: DryRun = False) -> None:
    """Let a user sign in again; API keys that were not revoked work again."""
    _change(run, name, dry_run, is_active=True)


def set_role(
    run: Invocation,
    name: Name,
    role: Annotated[Role, typer.Argument(help="What the user may do.")],
    dry_run: DryRun = False,
) -> None:
    """Give a user another role."""
    from ledger.models.users import UserRole

    _change(run, name, dry_run, role=UserRole(role))


def set_email(
    run: Invocation,
    name: Name,
    email: Annotated[str, typer.Argument(metavar="ADDRESS", help="Mail address.")],
    dry_run: DryRun = False,
) -> None:
    """Give a user another mail address; the same one is sealed anew where the key that it was sealed with is lost."""
    from ledger.audit import HOUSE
    from ledger.identity import users

    email = users.check_email(email)
    sealer = sealer_for(run.settings.sealing_key_file, keep=not dry_run)
    changed: list[bool] = []

    def work(session: Session) -> User:
        row = users.named(session, name)
        changed[:] = [users.change(session, row, HOUSE, email=email, sealer=sealer)]
        return row

    row = _in_books(run, work, dry_run)
    verb = "has" if not dry_run or not changed[0] else "would have"
    said = f"{name} {verb} {email}{'' if changed[0] else ' already'}"
    document = {**_document(row, dry_run), "email": email, "changed": changed[0]}
    run.output.result(document, said)


def set_password(
    run: Invocation, name: Name, password_file: PasswordFile = None, dry_run: DryRun = False
) -> None:
    """Give a user another password; all of the user's sessions end."""
    from ledger.audit import HOUSE
    from ledger.identity import passwords, users

    made = passwords.hashed(_password(password_file))

    def work(session: Session) -> User:
        row = users.named(session, name)
        users.set_password(session, row, made, HOUSE)
        return row

    row = _in_books(run, work, dry_run)
    said = f"{'would give' if dry_run else 'gave'} {name} another password"
    run.output.result(_document(row, dry_run), said)


def profile(
    run: Invocation,
    name: Name,
    file: Annotated[
        Path | None,
        typer.Option(
            "--set", metavar="FILE", help="Keep this JSON object in place of it; {}: nothing."
        ),
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Show what a user prefers, or keep something else; it is sealed in the database."""
    from ledger.audit import HOUSE
    from ledger.identity import users

    wanted = None if file is None else _object(file)
    writing = wanted is not None and not dry_run
    sealer = sealer_for(run.settings.sealing_key_file, keep=writing)
    found: list[dict[str, Any] | None] = []

    def work(session: Session) -> User:
        row = users.named(session, name)
        if wanted is not None:
            users.set_profile(session, sealer, row, wanted or None, HOUSE)
        found[:] = [users.profile_of(sealer, row)]
        return row

    _in_books(run, work, dry_run or file is None)
    document = {"username": name, "profile": found[0], "dry_run": dry_run}
    run.output.result(document, json.dumps(found[0] or {}, ensure_ascii=False, indent=2))


def grant(run: Invocation, name: Name, right: RightName, dry_run: DryRun = False) -> None:
    """Grant a right to a user, beyond the role."""
    _decide(run, name, right, True, dry_run)


def revoke(run: Invocation, name: Name, right: RightName, dry_run: DryRun = False) -> None:
    """Take a right from a user, whatever the role says."""
    _decide(run, name, right, False, dry_run)


def reset(run: Invocation, name: Name, right: RightName, dry_run: DryRun = False) -> None:
    """Take back what was granted or revoked: the role decides again."""
    from ledger.audit import HOUSE
    from ledger.identity import permissions, users

    def work(session: Session) -> User:
        row = users.named(session, name)
        permissions.leave_to_role(session, row, right, HOUSE)
        return row

    row = _in_books(run, work, dry_run)
    said = f"the role {'would decide' if dry_run else 'decides'} again about {right} for {name}"
    run.output.result({**_document(row, dry_run), "right": right}, said)


def _decide(run: Invocation, name: str, right: str, granted: bool, dry_run: bool) -> None:
    from ledger.audit import HOUSE
    from ledger.identity import permissions, users

    changed: list[bool] = []

    def work(session: Session) -> User:
        row = users.named(session, name)
        changed[:] = [permissions.decide(session, row, right, granted, HOUSE)]
        return row

    row = _in_books(run, work, dry_run)
    verb = "is so already:" if not changed[0] else "would be" if dry_run else "is"
    said = f"{right} {verb} {'granted' if granted else 'denied'} to {name}"
    document = {**_document(row, dry_run), "right": right, "granted": granted}
    run.output.result(document | {"changed": changed[0]}, said)


def _change(
    run: Invocation,
    name: str,
    dry_run: bool,
    hints_of: Callable[[Session, User], list[str]] | None = None,
    **changes: Any,
) -> None:
    from ledger.audit import HOUSE
    from ledger.identity import users

    changed: list[bool] = []
    hints: list[str] = []

    def work(session: Session) -> User:
        row = users.named(session, name)
        changed[:] = [users.change(session, row, HOUSE, **changes)]
        hints[:] = hints_of(session, row) if hints_of is not None else []
        return row

    row = _in_books(run, work, dry_run)
    state = f"{row.role.value}, {'may' if row.is_active else 'may not'} sign in"
    verb = "is so already" if not changed[0] else "would be" if dry_run else "is"
    said = f"{name} {verb}: {state}"
    document = {**_document(row, dry_run), "changed": changed[0]}
    run.output.result(
        document | ({"hints": hints} if hints else {}), said, *(f"hint: {hint}" for hint in hints)
    )


def _in_books(run: Invocation, work: Callable[[Session], User], dry_run: bool) -> User:

    def do(session: Session) -> User:
        row = work(session)
        if dry_run:
            session.expunge(row)
        return row

    with run.books() as db:
        return db.run(do, keep=not dry_run)


def _document(row: User, dry_run: bool) -> dict[str, Any]:
    from ledger.identity import users

    found: dict[str, Any] = {"id": row.id, **users.values(row)}
    return {**found, "id": None} if dry_run else found


def _object(file: Path) -> dict[str, Any]:
    """Return the JSON object of a file."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=once)
        # As it is kept: Python reads numbers that JSON has not, and halves of characters.
        json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    except (OSError, ValueError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else in_words(error)
        raise BadInput(f"{file}: cannot be read as JSON ({why})") from error
    if not isinstance(found, dict):
        raise BadInput(f'{file}: must be a JSON object, such as {{"language": "zh"}}')
    return found


def _password(file: Path | None) -> str:
    """Return the password: never an argument, which others on the machine can see."""
    from ledger.chain.keys.keystore import is_open

    if file is not None:
        text = typed_text(file)
        if file.is_file() and is_open(file.stat().st_mode):
            _log.warning(f"{file} is open to others; chmod 600 {file}, or remove it")
        return text.partition("\n")[0].removesuffix("\r").removeprefix("\ufeff")
    if not sys.stdin.isatty():
        raise BadInput("no terminal to ask for the password; give it with --password-file FILE")
    import getpass

    try:
        first = getpass.getpass("Password: ", sys.stderr)
        again = getpass.getpass("Again: ", sys.stderr)
    except KeyboardInterrupt:
        print(file=sys.stderr)  # what is said of it has a line of its own
        raise
    except EOFError as error:  # Ctrl-D
        raise BadInput("no password was typed; nothing was changed") from error
    if first != again:
        raise BadInput("the two passwords differ; nothing was changed")
    return first
