"""``truetonne audit``: who changed what."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cli.command import Invocation, command, command_group
from cli.files import Writable, form_by_ending, written_aside
from cli.output import Table
from ledger.clock import time_text
from ledger.errors import BadInput, NotFound
from ledger.jsontext import one_line
from ledger.spreadsheets import guarded
from ledger.units import counted

if TYPE_CHECKING:
    from sqlalchemy.orm import InstrumentedAttribute, Session

    from api.audit.schemas import AuditEntry, AuditParameters
    from ledger.audit_chain import Head

User = Annotated[str | None, typer.Option("--user", help="Only what this user did.")]
Action = Annotated[
    str | None, typer.Option("--action", help="Only this action, such as users.add.")
]
Resource = Annotated[
    str | None,
    typer.Option("--resource", help="Only what was done to this row, users/7, or table, users."),
]
From = Annotated[
    str | None, typer.Option("--from", metavar="TIME", help="From this time on, with its offset.")
]
Before = Annotated[
    str | None, typer.Option("--before", metavar="TIME", help="Before this time, with its offset.")
]
Limit = Annotated[
    int, typer.Option("--limit", min=1, max=100_000, help="At most so many, the latest.")
]
_COLUMNS = (
    "id",
    "created_at",
    "user_id",
    "username",
    "ip_address",
    "action",
    "resource",
    "old_values",
    "new_values",
    "position",
    "previous_hash",
    "entry_hash",
)


def register(root: typer.Typer) -> None:
    """Add the group."""
    group = command_group("Read the audit log, and check that nobody changed it.")
    command(group, "log")(show_log)
    command(group, "export")(export)
    command(group, "head")(head)
    command(group, "verify")(verify)
    root.add_typer(group, name="audit")


def show_log(
    run: Invocation,
    user: User = None,
    action: Action = None,
    resource: Resource = None,
    done_from: From = None,
    before: Before = None,
    limit: Limit = 50,
) -> None:
    """Show the audit log, the latest entries first."""
    filters = _filters(user, action, resource, done_from, before)
    found = list(islice(_entries(run, filters, "desc", limit), limit))
    shown = [
        (
            entry.id,
            entry.created_at.replace(microsecond=0),
            entry.username or "(this machine)",
            entry.ip_address,
            entry.action,
            entry.resource,
            _line(entry.old_values),
            _line(entry.new_values),
        )
        for entry in found
    ]
    columns = ("id", "when", "who", "from", "action", "what", "before", "after")
    run.output.result(
        {"entries": [entry.model_dump(mode="json") for entry in found]},
        Table(columns, shown),
        counted(len(shown), "entry", "entries"),
    )


def export(
    run: Invocation,
    out: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="The file, made anew; stdout without it."
        ),
    ] = None,
    asked: Annotated[
        Literal["jsonl", "csv"] | None,
        typer.Option(
            "--format",
            help="Lines of JSON, or CSV with JSON in the last two columns; default: as the ending of FILE says, else "
            "jsonl.",
        ),
    ] = None,
    user: User = None,
    action: Action = None,
    resource: Resource = None,
    done_from: From = None,
    before: Before = None,
) -> None:
    """Write the audit log, the oldest entry first; a file appears when it is whole."""
    form = form_by_ending(out, asked, ("jsonl", "csv"))
    filters = _filters(user, action, resource, done_from, before)
    entries = _entries(run, filters, "asc", None)
    if out is None and run.output.as_json:
        items = [entry.model_dump(mode="json") for entry in entries]
        run.output.result({"entries": len(items), "items": items})
        return
    if out is None:
        _write(run.output, form, entries)
        return
    with (
        written_aside(out) as aside,
        aside.open("w", encoding="utf-8", newline="") as stream,
    ):
        count = _write(stream, form, entries)
    said = f"wrote {counted(count, 'entry', 'entries')} to {out}"
    run.output.result({"file": str(out), "format": form, "entries": count}, said)


def head(run: Invocation) -> None:
    """Print the end of the log's chain, to be kept where whoever rules the database cannot change it."""
    from ledger.audit_chain import head_of

    with run.books() as db, db.read() as session:
        found = head_of(session)
    document = {"head": str(found), "position": found.position, "entry_hash": found.entry_hash}
    run.output.result(document, str(found))


def verify(
    run: Invocation,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="A file of `audit export`; default: the database."),
    ] = None,
    known: Annotated[
        str | None,
        typer.Option("--head", metavar="POSITION:HASH", help="What `audit head` said before."),
    ] = None,
    part: Annotated[
        bool, typer.Option("--part", help="The file has chosen entries: some may be left out.")
    ] = False,
) -> int:
    """Check every entry of the log against the chain; exit 1 when one was changed, put in or left out."""
    from ledger import audit_chain

    said = audit_chain.Head.read(known) if known is not None else None
    if part and file is None:
        raise BadInput(
            "--part is for a file with some entries only; leave it out: the database has all"
        )
    if file is not None:
        from cli.audit_file import check_file

        checked = check_file(file, said, whole=not part)
    else:
        with run.books() as db, db.read() as session:
            checked = audit_chain.check(session, said)
    wrong = len(checked.problems)
    unproven = [] if wrong else _unproven(file, said, part, checked.head)
    document = {
        "ok": not checked.problems,
        "checked": str(file) if file is not None else "database",
        "head": str(checked.head),
        "problems": list(checked.problems),
        "not_proven": unproven,
    }
    right = "each entry has its own hash" if part else "as written"
    places = counted(wrong, "problem", "problems") if wrong else right
    said_ = f"{places}, up to {checked.head}"
    limits = ["It does not prove:", *(f"  - {text}" for text in unproven)] if unproven else []
    run.output.result(document, *checked.problems, said_, *limits)
    return 1 if wrong else 0


def _unproven(file: Path | None, known: Head | None, part: bool, end: Head) -> list[str]:
    """Return what a check that found nothing does not say: the hashes have no key, and anybody can compute them."""
    limits = []
    if file is not None:
        limits.append("the names of users: their numbers (user_id) are in the hashes, and no names")
    if part:
        limits.append(
            "that these entries stand in the log: of a part nobody can tell; check the whole file with --head, and "
            "look them up in it"
        )
    elif known is None:
        limits.append(
            "that the log was not written anew from its beginning: give --head with an end that was kept elsewhere"
        )
    elif end.position > known.position:
        limits.append(
            f"that what stands after place {known.position} was not written anew since: the end that was given is of "
            "that place"
        )
    return limits


def _write(stream: Writable, format: str, entries: Iterator[AuditEntry]) -> int:
    count = 0
    writer = csv.writer(stream, lineterminator="\n")
    if format == "csv":
        writer.writerow(_COLUMNS)
    for entry in entries:
        count += 1
        document = entry.model_dump(mode="json")
        if format == "csv":
            writer.writerow(_cell(document[name]) for name in _COLUMNS)
        else:
            stream.write(one_line(json.dumps(document, ensure_ascii=False)) + "\n")
    return count


def _filters(*given: str | None) -> dict[str, str]:
    names = ("user", "action", "resource", "done_from", "done_before")
    return {name: value for name, value in zip(names, given, strict=True) if value is not None}


def _entries(
    run: Invocation, filters: dict[str, str], order: str, limit: int | None
) -> Iterator[AuditEntry]:
    """Return the entries, page by page, in one snapshot."""
    from pydantic import ValidationError

    from api.audit import schemas
    from api.audit.queries import list_entries
    from api.pagination import LIMIT_MAX

    cursor: str | None = None
    size = LIMIT_MAX if limit is None else min(limit, LIMIT_MAX)
    with run.books() as db, db.read() as session:
        while True:
            asked: dict[str, Any] = {**filters, "limit": size, "order": order, "cursor": cursor}
            try:
                parameters = schemas.AuditParameters.model_validate(asked)
            except ValidationError as error:
                first = error.errors()[0]
                option = str(first["loc"][0]).removeprefix("done_")
                said = first["msg"].removeprefix("Value error, ")
                raise BadInput(f"--{option}: {said}, found {first['input']!r}") from error
            if cursor is None:
                _require_period(parameters)
                _require_names(session, filters)
            page = list_entries(session, parameters)
            yield from page.items
            cursor = page.next_cursor
            if cursor is None:
                return


def _require_period(asked: AuditParameters) -> None:
    """Refuse a period without a moment in it: an empty list would look as if nothing was done."""
    start, end = asked.done_from, asked.done_before
    if start is not None and end is not None and start >= end:
        raise BadInput(
            f"the period from {time_text(start)} to {time_text(end)} is empty: --before comes after --from",
            code="empty-period",
        )


def _require_names(session: Session, filters: Mapping[str, str]) -> None:
    """Refuse a user, an action or a table that is none: an empty list would look as if nothing was done.

    What stands in the log is there, whatever wrote it.
    """
    from sqlalchemy import select

    from ledger.audit import ACTIONS
    from ledger.identity.users import named
    from ledger.models import AuditLog, Base
    from ledger.naming import meant

    if "user" in filters:
        named(session, filters["user"])

    def is_logged(column: InstrumentedAttribute[str], value: str) -> bool:
        return session.scalar(select(AuditLog.id).where(column == value).limit(1)) is not None

    action = filters.get("action")
    if action is not None and action not in ACTIONS and not is_logged(AuditLog.action, action):
        raise NotFound(f"no action {action!r} ({meant(action, ACTIONS)})")
    resource = filters.get("resource")
    if resource is not None:
        table, tables = resource.partition("/")[0], Base.metadata.tables.keys()
        if table not in tables and not is_logged(AuditLog.resource, resource):
            raise NotFound(
                f"no table {table!r} ({meant(table, tables)}); write TABLE, or TABLE/NUMBER such as users/7"
            )


def _line(values: dict[str, Any] | None) -> str:
    return json.dumps(values, ensure_ascii=False) if values else ""


def _cell(value: object) -> str:
    if value is None:
        return ""
    return guarded(json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value))
