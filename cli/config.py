"""``truetonne config``: settings that are kept in the database."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cli.command import DryRun, Invocation, command, command_group
from cli.files import typed_text
from cli.output import Table
from ledger.errors import BadInput
from ledger.units import counted

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ledger.park.configuration import Setting

Key = Annotated[
    str, typer.Argument(metavar="KEY", help="Name of the setting, such as alerts.silent_days.")
]


def register(root: typer.Typer) -> None:
    """Add the group."""
    group = command_group("Keep the settings that stand in the database.")
    command(group, "list")(list_settings)
    command(group, "get")(get)
    command(group, "set")(set_)
    command(group, "unset")(unset)
    root.add_typer(group, name="config")


def list_settings(run: Invocation) -> None:
    """List the settings, and those that this version knows and nobody has set; secrets are never shown."""
    from ledger.park import configuration

    with run.books() as db, db.read() as session:
        rows = session.scalars(configuration.settings_query()).all()
        found = sorted((configuration.shown(row) for row in rows), key=lambda item: item.key)
    there = {item.key for item in found}
    defaults = [
        {"key": key, "type": item.type.value, "value": item.default, "description": item.what}
        for key, item in configuration.KNOWN.items()
        if key not in there
    ]
    shown: list[tuple[object, ...]] = [
        (item.key, item.type, _said(item.value), item.category, item.description) for item in found
    ]
    shown += [
        (item["key"], item["type"], f"{_said(item['value'])} (default)", "", item["description"])
        for item in defaults
    ]
    run.output.result(
        {"settings": [vars(item) for item in found], "defaults": defaults},
        Table(("key", "type", "value", "category", "what"), shown),
        counted(len(found), "setting"),
    )


def get(run: Invocation, key: Key) -> None:
    """Show one setting; of a secret, that it is there."""
    from ledger.park import configuration

    with run.books() as db, db.read() as session:
        found = configuration.get(session, key)
    run.output.result(vars(found), _said(found.value))


def set_(
    run: Invocation,
    key: Key,
    value: Annotated[
        str | None,
        typer.Argument(
            metavar="VALUE",
            help="The value, last and after -- where it begins with -; a secret comes from --from-file.",
        ),
    ] = None,
    kind: Annotated[
        Literal["text", "integer", "decimal", "boolean", "json", "secret"] | None,
        typer.Option(
            "--type", help="What it is; a setting that is there keeps its type without it."
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--from-file", metavar="FILE", help="Read the value from this file; - is stdin."
        ),
    ] = None,
    category: Annotated[
        str | None, typer.Option("--category", help="Group; the key's first word without it.")
    ] = None,
    description: Annotated[
        str | None, typer.Option("--description", help="What it is for.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Set a setting; the audit log keeps value and former value, of a secret that it changed."""
    from ledger.park import configuration
    from ledger.sealing import load_sealer

    if (value is None) is (file is None):
        raise BadInput("give the value, or --from-file FILE, and not both", code="usage")
    if kind == "secret" and value is not None:
        raise BadInput(
            "a secret is not given as an argument, which others on the machine can see; use --from-file"
        )
    text = value if value is not None else _read(file)

    def work(session: Session) -> tuple[Setting, bool]:
        if value is not None and configuration.is_secret(session, key):
            raise BadInput(
                f"{key} is a secret, and others on the machine can see arguments; use --from-file"
            )
        return configuration.put(
            session,
            key,
            text,
            kind=None if kind is None else configuration.ValueType(kind),
            category=category,
            description=description,
            sealer=lambda: load_sealer(run.settings.sealing_key_file, make=not dry_run),
        )

    with run.books() as db:
        found, changed = db.run(work, keep=not dry_run)
    document: dict[str, Any] = {**vars(found), "changed": changed}
    verb = ("would be" if dry_run else "is") if changed else "is so already:"
    run.output.result(
        document | ({"id": None} if dry_run else {}),
        f"{key} {verb} {_said(found.value)}",
    )


def unset(run: Invocation, key: Key, dry_run: DryRun = False) -> None:
    """Delete a setting; the audit log keeps what it was."""
    from ledger.park import configuration

    with run.books() as db:
        db.run(lambda session: configuration.remove(session, key), keep=not dry_run)
    document: dict[str, Any] = {"key": key, "removed": True}
    said = "would be" if dry_run else "is"
    run.output.result(document, f"{key} {said} removed")


def _read(file: Path | None) -> str:
    assert file is not None
    return typed_text(file).removesuffix("\n").removesuffix("\r")


def _said(value: object) -> str:
    """Return a value as `config set` takes it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
