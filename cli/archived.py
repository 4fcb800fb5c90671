"""What was archived: ``truetonne db partitions check``, ``read`` and ``archive --forget``; and ``db orphans``."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.command import Invocation
from cli.files import Writable, written_aside
from cli.output import Table
from ledger.clock import time_text
from ledger.errors import BadInput, NotFound
from ledger.spreadsheets import guarded
from ledger.units import counted

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the Parquet files.")]
Books = Annotated[
    bool, typer.Option("--books", help="Compare the files with the rows of the books as well.")
]
Code = Annotated[str, typer.Argument(metavar="DEVICE", help="Code of the device.")]
From = Annotated[str, typer.Option("--from", metavar="DAY", help="First day, UTC.")]
To = Annotated[str, typer.Option("--to", metavar="DAY", help="Day after the last, UTC.")]
Out = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write CSV to this file; else to stdout."),
]


_READ = ("recorded_at", "metric_name", "value", "unit", "created_at")
_TEXTS = ("metric_name", "unit")
"""Columns that somebody else's words stand in; a value below zero is no formula."""


def check(run: Invocation, folder: Folder, books: Books = False) -> int:
    """Read a Parquet archive back and compare every file with its manifest; exit 1 when one is not as it must be."""
    from ledger.keeping.parquet import check as look
    from ledger.keeping.places import live_from

    if books:
        before = live_from(datetime.now(UTC).date(), run.settings.live_months)
        with run.books() as db:
            found = list(look(folder, db, before))
    else:
        found = list(look(folder))
    wrong = [item for item in found if item.complaint]
    document = {
        "ok": not wrong,
        "compared_with_books": books,
        "files": [
            {"file": str(item.file), "rows": item.rows, "complaint": item.complaint}
            for item in found
        ],
    }
    total = sum(item.rows for item in found)
    # A file that has more rows than the books, or is no file of the archive, is not written again.
    again = any((item.complaint or "").endswith("; write it again") for item in wrong)
    run.output.result(
        document,
        *(f"{item.file}: {item.complaint}" for item in wrong),
        f"{counted(len(found), 'file')} with {counted(total, 'row')}, {len(wrong)} not as they must be",
        *([f"to write again: truetonne db partitions archive --parquet {folder}"] if again else []),
    )
    return 1 if wrong else 0


def forget(run: Invocation, period: str, dry_run: bool) -> int:
    """Note that a month or a year of the archive is lost, and is not to be asked for again."""
    from cli.books import open_changing
    from ledger.keeping.missing import forget as note

    # As who moves it: others may not see all of the archive.
    with open_changing(run.settings) as db:
        months = note(db, period, dry_run)
    verb = "would be noted" if dry_run else "is noted"
    run.output.result(
        {"forgotten": months, "dry_run": dry_run},
        f"{', '.join(months)}: it {verb} that the archive has lost what it had",
    )
    return 0


def read(run: Invocation, device: Code, start: From, end: To, out: Out = None) -> None:
    """Read the real-time data of a device, live and archived, as CSV or JSON."""
    from sqlalchemy import select

    from ledger.keeping.reading import rows_between
    from ledger.models import Device

    first, last = _day(start), _day(end)
    if first >= last:
        raise BadInput(f"--from {start} is not before --to {end}", code="usage")
    with run.books() as db:
        with db.read() as session:
            number = session.scalar(select(Device.id).where(Device.device_id == device))
        if number is None:
            raise NotFound(
                f"there is no device {device!r}; `truetonne park list devices` has all of them",
                code="no-such-device",
            )
        with rows_between(
            db, "device_data", first, last, lambda table: (table.c.device_id == number,)
        ) as rows:
            values = ([_text(row[name]) for name in _READ] for row in rows)
            if out is not None:
                count = _write_file(out, values)
                document = {"device": device, "file": str(out), "rows": count}
                run.output.result(document, f"wrote {counted(count, 'row')} to {out}")
            elif run.output.as_json:
                found = [dict(zip(_READ, each, strict=True)) for each in values]
                run.output.result({"device": device, "values": found})
            else:
                _write_csv(run.output, values)


def show_orphans(run: Invocation) -> int:
    """Show rows of partitioned tables, live and archived, whose parent is gone; exit 1 when there are some."""
    from ledger.keeping.orphans import orphans

    with run.books() as db:
        found = orphans(db)
    columns = ("table", "column", "names", "rows", "first", "last")
    rows = [
        (item.table, item.column, item.number, item.rows, item.first, item.last) for item in found
    ]
    shown: Sequence[Any] = [Table(columns, rows)] if rows else []
    total = sum(item.rows for item in found)
    run.output.result(
        {"orphans": [item.as_json() for item in found]},
        *shown,
        f"{counted(total, 'row')} without a parent",
    )
    return 1 if found else 0


def _write_file(out: Path, rows: Iterable[Sequence[Any]]) -> int:
    with written_aside(out) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        return _write_csv(file, rows)


def _write_csv(file: Writable, rows: Iterable[Sequence[Any]]) -> int:
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(_READ)
    count = 0
    for row in rows:
        writer.writerow(
            [
                guarded(value) if name in _TEXTS and value is not None else value
                for name, value in zip(_READ, row, strict=True)
            ]
        )
        count += 1
    return count


def _text(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    return time_text(value) if isinstance(value, datetime) else value


def _day(text: str) -> datetime:
    try:
        return datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
    except ValueError as error:
        raise BadInput(f"day {text!r}: write it as 2026-08-01", code="usage") from error
