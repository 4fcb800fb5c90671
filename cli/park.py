"""``truetonne park``: records of devices, resources, plants, trading and models, in files and one at a time."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cli.command import NUMBER_MAX, DryRun, Invocation, command, command_group
from cli.files import WORKBOOKS, Writable, written_aside
from cli.lists import require_parents
from cli.output import Table, printable
from cli.readings import rejected
from ledger.errors import BadInput, RowsRejected
from ledger.units import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy.orm import Session

    from ledger.park import ImportReport, Kind, Record

SHOWN_MAX = 50
CHANGES_SHOWN = 20

KindName = Annotated[
    str, typer.Argument(metavar="KIND", help="Kind of record; `park kinds` lists them.")
]
RecordsFile = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="CSV, or JSON (.json, .jsonl), with the kind's columns."),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where", metavar="COLUMN=VALUE", help="Only records with this value; may be repeated."
    ),
]


def register(root: typer.Typer) -> None:
    """Add the group."""
    group = command_group(
        "Keep the records of a park: devices, resources, plants, trading, models."
    )
    command(group, "kinds")(kinds)
    command(group, "import")(import_file)
    command(group, "set")(set_one)
    command(group, "list")(list_records)
    command(group, "show")(show)
    command(group, "export")(export)
    root.add_typer(group, name="park")


def kinds(run: Invocation) -> None:
    """List the kinds of records: their columns, which of them tell records apart, and what may change."""
    from ledger.park import KINDS

    document = [
        {
            "name": kind.name,
            "what": kind.what,
            "table": kind.table,
            "key": list(kind.key),
            "changes": sorted(kind.changes | kind.once),
            "right": kind.right,
            "columns": [
                {"name": field.name, "type": field.sort.value, "required": field.required}
                for field in kind.fields
            ],
        }
        for kind in KINDS.values()
    ]
    rows = [(item["name"], " ".join(map(str, item["key"])), item["what"]) for item in document]
    run.output.result({"kinds": document}, Table(("kind", "key", "what"), rows))


def import_file(
    run: Invocation,
    kind: KindName,
    file: RecordsFile,
    strict: Annotated[
        bool, typer.Option("--strict", help="Write nothing when a row is rejected.")
    ] = False,
    dry_run: DryRun = False,
) -> int:
    """Import a file of records; good rows are kept, and exit 1 says that some were rejected."""
    from ledger.park import import_records, kind_named, read_file

    wanted = kind_named(kind)
    read = read_file(wanted, file)  # before the books: a wrong file is the first thing to say
    kept = True

    def work(session: Session) -> ImportReport:
        nonlocal kept
        report = import_records(session, wanted, read)
        kept = not (dry_run or (strict and report.rejected))
        if not kept:
            session.rollback()
        return report

    with run.books() as db:
        report = db.run(work)
    document = report.as_json()
    counts = ("read", "new", "changed", "unchanged", "rejected")
    said = ", ".join(f"{document[name]} {name}" for name in counts)
    if not kept and not dry_run:
        document["written"] = False
    run.output.result(
        document,
        f"{file}: {said}{'' if kept else ' (nothing written)'}",
        *(f"warning: {text}" for text in report.warnings),
        *_changed(file, report),
        *rejected(file, document),
    )
    return RowsRejected.exit_code if report.rejected else 0


def _changed(file: Path, report: ImportReport) -> list[str]:
    """Return a line for each of the first records that are changed: what was there, and what is now."""
    lines = []
    for found in report.changes[:CHANGES_SHOWN]:
        key = " ".join(str(value) for value in found["key"].values())
        steps = ", ".join(
            f"{name} {_value(found['before'][name])} to {_value(value)}"
            for name, value in found["after"].items()
        )
        said = f"{file}: line {found['line']}, {key}: {steps}"
        lines.append(f"  {printable(said)}")
    more = report.changed - len(lines)
    return (
        [*lines, f"  and {more} more are changed; `--json` names the first hundred"]
        if more
        else lines
    )


def _value(written: object) -> str:
    if written is None:
        return "nothing"
    return _short(written if isinstance(written, str) else json.dumps(written, ensure_ascii=False))


def set_one(
    run: Invocation,
    kind: KindName,
    values: Annotated[
        list[str],
        typer.Argument(
            metavar="COLUMN=VALUE...", help="The key, and what is to be set; empty: no value."
        ),
    ],
    dry_run: DryRun = False,
) -> None:
    """Make one record, or change the one with this key; what is not named stays as it is."""
    from ledger.park import kind_named, set_record

    wanted = kind_named(kind)
    cells = _pairs(values, wanted)

    with run.books() as db:
        report = db.run(lambda session: set_record(session, wanted, cells), keep=not dry_run)
    done = next(name for name in ("new", "changed", "unchanged") if getattr(report, name))
    key = " ".join(cells[name] for name in wanted.key)
    document = {"kind": wanted.name, "done": done, "warnings": report.warnings}
    run.output.result(
        document,
        f"{wanted.one} {printable(key)}: {done}{' (nothing written)' if dry_run else ''}",
        *(f"warning: {text}" for text in report.warnings),
    )


def list_records(
    run: Invocation,
    kind: KindName,
    where: Where = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            min=1,
            max=NUMBER_MAX,
            help="At most so many; all without it. The oldest come first.",
        ),
    ] = None,
) -> None:
    """List records, oldest first."""
    from ledger.park import kind_named
    from ledger.park.records import all_records, written

    wanted = kind_named(kind)
    filters = _filters(where, wanted)
    with run.books() as db, db.read() as session:
        require_parents(session, wanted, filters)
        found = list(all_records(session, wanted, filters, limit))
    columns = ("id", *wanted.columns)
    rows = [
        (item.id, *(_short(wanted.field(n).cell(item[n])) for n in wanted.columns))
        for item in found
    ]
    document = {"kind": wanted.name, "records": [written(wanted, item) for item in found]}
    run.output.result(document, Table(columns, rows), counted(len(found), "record"))


def show(
    run: Invocation,
    kind: KindName,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Its code; its row number where it has none.")
    ],
) -> None:
    """Show one record with all that it says."""
    from ledger.park import kind_named
    from ledger.park.records import show as show_record
    from ledger.park.records import written

    wanted = kind_named(kind)
    with run.books() as db, db.read() as session:
        document = written(wanted, show_record(session, wanted, name))
    rows = [
        (
            key.replace("_", " "),
            json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value,
        )
        for key, value in document.items()
        if value is not None
    ]
    run.output.result(document, Table(("what", "value"), rows))


def export(
    run: Invocation,
    kind: KindName,
    file_format: Annotated[
        Literal["csv", "jsonl"] | None,
        typer.Option(
            "--format",
            help="csv, or one JSON object a line; default: as the ending of FILE says, else csv.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write here; stdout without it."),
    ] = None,
    where: Where = None,
) -> None:
    """Write records as a file that `park import` takes: the same rows are then all unchanged."""
    from ledger.park import kind_named
    from ledger.park.records import all_records

    wanted = kind_named(kind)
    filters = _filters(where, wanted)
    form = _form(file_format, output)
    listed = output is None and run.output.as_json
    # A file that is not whole has another name: nobody takes it for the export.
    with run.books() as db, db.read() as session:
        require_parents(session, wanted, filters)
        found = all_records(session, wanted, filters)
        if listed:
            lines = io.StringIO()
            count = _write_records(lines, wanted, found, "jsonl")
            items = [json.loads(line) for line in lines.getvalue().split("\n") if line]
            run.output.result({"kind": wanted.name, "records": count, "items": items})
            return
        if output is None:
            _write_records(run.output, wanted, found, form)
            return
        with (
            written_aside(output) as aside,
            aside.open("w", encoding="utf-8", newline="") as file,
        ):
            count = _write_records(file, wanted, found, form)
    run.output.result(
        {"kind": wanted.name, "file": output, "records": count},
        f"{output}: {counted(count, 'record')}",
    )


def _form(asked: Literal["csv", "jsonl"] | None, output: Path | None) -> Literal["csv", "jsonl"]:
    """Return the form of what is written. Of a file, its ending says it, as it does when it is imported."""
    if output is None:
        return asked or "csv"
    suffix = output.suffix.lower()
    form: Literal["csv", "jsonl"] = "jsonl" if suffix in (".jsonl", ".ndjson") else "csv"
    no_form = suffix in (".json", ".parquet") or suffix[1:] in WORKBOOKS
    if no_form or asked not in (None, form):
        raise BadInput(
            f"{output}: `park import` goes by the ending: call it .csv for CSV, or .jsonl for JSON lines"
        )
    return form


def _write_records(file: Writable, kind: Kind, records: Iterable[Record], form: str) -> int:
    """Write records as they come, and return how many there were."""
    from ledger.park.writing import csv_pieces, json_pieces

    count = 0

    def noted() -> Iterator[Record]:
        nonlocal count
        for record in records:
            count += 1
            yield record

    for piece in (csv_pieces if form == "csv" else json_pieces)(kind, noted()):
        file.write(piece)
    return count


def _pairs(values: list[str], kind: Kind) -> dict[str, str]:
    found = {}
    for text in values:
        name, sign, value = text.partition("=")
        if not sign or name in found:
            raise BadInput(f"{text!r}: write each column once, as COLUMN=VALUE", code="usage")
        if name not in kind.columns:
            raise BadInput(
                f"{kind.name} has no column {name!r}; there are {', '.join(kind.columns)}"
            )
        found[name] = value
    missing = [name for name in kind.key if not found.get(name)]
    if missing:
        raise BadInput(
            f"{missing[0]} is missing: records of {kind.name} are identified by {', '.join(kind.key)}"
        )
    return found


def _filters(where: list[str] | None, kind: Kind) -> dict[str, Any]:
    from ledger.park.fields import Sort
    from ledger.park.reading import refused
    from ledger.spreadsheets import Wrong

    found = {}
    for text in where or ():
        name, sign, value = text.partition("=")
        if not sign or name not in kind.columns:
            raise BadInput(
                f"--where {text!r}: write COLUMN=VALUE; there are {', '.join(kind.columns)}"
            )
        field = kind.field(name)
        if field.sort is Sort.OBJECT:
            raise BadInput(
                f"--where {text!r}: a {field.sort.value} cannot be selected by; name another column"
            )
        try:
            found[name] = field.read(value)
        except Wrong as wrong:
            raise refused("--where", wrong) from None
    return found


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 3] + "..."
