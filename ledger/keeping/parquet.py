"""A second archive: a Parquet file for each closed period, with a manifest that says what it must hold.

``TABLE/TABLE-2025-08.parquet`` holds a month of real-time data, ``...-2025.parquet`` a year of trades.
Beside each stands ``.json`` with the number of rows, the SHA-256 of the file and the SHA-256 of its
content: of one line for each row in order of time and number, which does not depend on how the file was
written. Decimals are decimals, times have their microseconds and their zone, JSON is text.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, Boolean, Integer, func, select

from ledger.db import Database
from ledger.errors import NO_DOCUMENT, BadInput
from ledger.files import part_in, put
from ledger.keeping.places import ARCHIVED, Month, partitioning_of, years_of
from ledger.keeping.reading import count_between, rows_between
from ledger.models import Base
from ledger.models.partitions import PARTITIONED
from ledger.models.types import ExactDecimal, UtcDateTime

ROW_GROUP = 50_000
"""Rows of a row group: what is held at a time."""
_HASHED_BYTES = 1 << 20
_NAME = re.compile(r"(.+)-[0-9]{4}(-(0[1-9]|1[0-2]))?\.parquet")


@dataclass(frozen=True)
class Period:
    """A closed period of a table."""

    table: str
    month: Month
    """Its first month."""

    @property
    def name(self) -> str:
        """``2025-08``, or ``2025`` where periods are years."""
        return str(self.month) if self._months == 1 else f"{self.month.year:04d}"

    @property
    def start(self) -> datetime:
        """Its first instant."""
        return self.month.start

    @property
    def end(self) -> datetime:
        """The instant after its last."""
        return self.month.plus(self._months).start

    @property
    def _months(self) -> int:
        return partitioning_of(self.table).months

    def file(self, folder: Path) -> Path:
        """Return the file of the period."""
        return folder / self.table / f"{self.table}-{self.name}.parquet"


@dataclass(frozen=True)
class Written:
    """What became of a period's file."""

    period: Period
    rows: int
    state: str
    """``new``, ``replaced``, ``unchanged``, or ``kept``: the file has more rows than the books, and was left alone."""


@dataclass(frozen=True)
class Checked:
    """What was found of one file; no complaint means that all is as it must be."""

    file: Path
    rows: int
    complaint: str | None


def export(db: Database, folder: Path, before: date) -> Iterator[Written]:
    """Write the closed periods that lie before a day and are not there, or have become other.

    Parameters
    ----------
    folder
        Where to; made when it is not there.
    before
        First day that stays live.

    Raises
    ------
    BadInput
        The folder cannot be written.
    """
    try:
        for period in closed_periods(db, before):
            written = _export(db, folder, period)
            if written is not None:
                yield written
    except OSError as error:
        raise BadInput(
            f"{error.filename or folder}: {error.strerror or error}; name a folder that can be written, "
            "on a disk with room"
        ) from error


def closed_periods(db: Database, before: date) -> Iterator[Period]:
    """Yield the periods that may have rows and are over."""
    for partitioning in PARTITIONED:
        table = partitioning.table
        if table in ARCHIVED:
            months = [Month(year, n) for year in years_of(db, table) for n in range(1, 13)]
            yield from (Period(table, month) for month in months if month.first < before)
            continue
        time = Base.metadata.tables[table].c[partitioning.column]
        with db.read() as session:
            first = session.scalar(select(func.min(time)))
        if first is not None:
            for year in range(first.year, before.year):
                yield Period(table, Month(year, 1))


def check(
    folder: Path, db: Database | None = None, before: date | None = None
) -> Iterator[Checked]:
    """Read every file back and compare it with its manifest, and with the books.

    Parameters
    ----------
    db
        The books whose rows the files must hold; None: the files alone are looked at.
    before
        First day that stays live; each closed period before it of which the books have rows must have a file.
        None: a file that is gone with its manifest is missed by nobody.

    Raises
    ------
    BadInput
        There is no such folder, or no file in it.
    """
    tables = [item.table for item in PARTITIONED if (folder / item.table).is_dir()]
    files = {
        file.with_suffix(".parquet")
        for table in tables
        for file in (folder / table).iterdir()
        if file.suffix in (".parquet", ".json")
    }
    if not files:
        raise BadInput(
            f"{folder}: there is no archive; truetonne db partitions archive --parquet {folder} writes one"
        )
    for file in sorted(files):
        yield _check(file, db)
    if db is None or before is None:
        return
    for period in closed_periods(db, before):
        file = period.file(folder)
        if file in files:
            continue
        with rows_between(db, period.table, period.start, period.end) as rows:
            if next(rows, None) is not None:
                yield Checked(
                    file, 0, "is not there, and the books have rows of it; write it again"
                )


def _export(db: Database, folder: Path, period: Period) -> Written | None:
    file = period.file(folder)
    known = _manifest(file)
    intact = known is not None and file.is_file() and _sha256(file) == known["sha256"]
    if file.is_file():
        count = count_between(db, period.table, period.start, period.end)
        held = _rows_said_in(file) if known is None else known["rows"]
        if count < held:  # the books have lost some: this may be the only copy
            return Written(period, held, "kept")
        if intact and held == count and period.table in ARCHIVED:  # never changed
            return Written(period, count, "unchanged")
    with rows_between(db, period.table, period.start, period.end) as rows:
        first = next(rows, None)
        if first is None and known is None:
            return None
        file.parent.mkdir(parents=True, exist_ok=True)
        with part_in(file.parent) as part:
            made = _write(part, period, iter([first] if first is not None else []), rows)
            if intact and known is not None and known["content_sha256"] == made["content_sha256"]:
                return Written(period, made["rows"], "unchanged")
            put(part, file)
        _write_manifest(file.with_suffix(".json"), made)
    return Written(period, made["rows"], "new" if known is None else "replaced")


def _write(file: Path, period: Period, first: Iterator[Any], rows: Iterator[Any]) -> dict[str, Any]:
    """Write rows to a file; return its manifest."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = Base.metadata.tables[period.table].columns
    names = [column.name for column in columns]
    about = {"table": period.table, "period": period.name}
    schema = pa.schema([(c.name, _type(c.type)) for c in columns], metadata=about)
    digest, count = hashlib.sha256(), 0
    with (
        file.open("wb") as sink,
        pq.ParquetWriter(sink, schema, compression="zstd") as writer,
    ):
        for source in (first, rows):
            while some := list(islice(source, ROW_GROUP)):
                values = [[_plain(row[name]) for name in names] for row in some]
                for each in values:
                    digest.update(_line(each))
                arrays = [
                    pa.array(list(held), type=field.type)
                    for held, field in zip(zip(*values, strict=True), schema, strict=True)
                ]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
                count += len(some)
    return {
        **about,
        "from": period.start.isoformat(),
        "to": period.end.isoformat(),
        "rows": count,
        "bytes": file.stat().st_size,
        "sha256": _sha256(file),
        "content_sha256": digest.hexdigest(),
        "columns": {field.name: str(field.type) for field in schema},
    }


class _Wrong(Exception):
    """What is wrong with a file."""


def _check(file: Path, db: Database | None) -> Checked:
    try:
        return Checked(file, _checked_rows(file, db), None)
    except _Wrong as wrong:
        return Checked(file, 0, str(wrong))


def _checked_rows(file: Path, db: Database | None) -> int:
    """Return how many rows a file has that is as it must be."""
    named = _NAME.fullmatch(file.name)
    if named is None or named[1] != file.parent.name:
        raise _Wrong("is no file of this archive; take it elsewhere")
    known = _manifest(file)
    if known is None:
        raise _Wrong("has no manifest that can be read; write it again")
    if not file.is_file():
        raise _Wrong("is not there, but its manifest is; write it again")
    if _sha256(file) != known["sha256"]:
        raise _Wrong("has other bytes than its manifest says; write it again")
    count, content = _content_in(file)
    if (count, content) != (known["rows"], known["content_sha256"]):
        raise _Wrong("holds other rows than its manifest says")
    if db is not None:
        there, digest = _content_of(db, file)
        if there < count:
            raise _Wrong(f"has {count} rows, the books have {there}; see docs/retention.md")
        if there == count and digest != content and file.parent.name in ARCHIVED:
            raise _Wrong(
                f"has {count} rows, as the books do, and others, though none ever changes: one of the two was "
                "altered; see docs/retention.md"
            )
        if (there, digest) != (count, content):
            raise _Wrong("holds other rows than the books; write it again")
    return count


def _rows_said_in(file: Path) -> int:
    """Return how many rows a file without a manifest says that it has; 0 where it cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with suppress(pa.ArrowException, OSError), file.open("rb") as stream:
        return int(pq.read_metadata(stream).num_rows)
    return 0


def _content_in(file: Path) -> tuple[int, str]:
    """Return number and digest of the rows that are in a file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    digest, count = hashlib.sha256(), 0
    try:
        # Opened here: by a name that is no UTF-8 it cannot be.
        with file.open("rb") as stream, pq.ParquetFile(stream) as source:
            for batch in source.iter_batches(ROW_GROUP):
                for row in batch.to_pylist():
                    digest.update(_line([_plain(value) for value in row.values()]))
                count += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise _Wrong(f"cannot be read: {str(error).splitlines()[0]}") from error
    return count, digest.hexdigest()


def _content_of(db: Database, file: Path) -> tuple[int, str]:
    """Return number and digest of the rows that the books have for the period of a file."""
    table, _, name = file.stem.partition("-")
    year, _, number = name.partition("-")
    period = Period(table, Month(int(year), int(number or 1)))
    columns = [column.name for column in Base.metadata.tables[table].columns]
    digest, count = hashlib.sha256(), 0
    with rows_between(db, table, period.start, period.end) as rows:
        for row in rows:
            digest.update(_line([_plain(row[name]) for name in columns]))
            count += 1
    return count, digest.hexdigest()


def _manifest(file: Path) -> Mapping[str, Any] | None:
    """Return the manifest of a file; None where there is none that names all that it must."""
    with suppress(OSError, *NO_DOCUMENT):
        found = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
        needed = {"rows", "bytes", "sha256", "content_sha256"}
        if isinstance(found, dict) and needed <= set(found) and isinstance(found["rows"], int):
            return found
    return None


def _write_manifest(file: Path, manifest: Mapping[str, Any]) -> None:
    with part_in(file.parent) as part:
        part.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        put(part, file)


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as source:
        while part := source.read(_HASHED_BYTES):
            digest.update(part)
    return digest.hexdigest()


def _line(values: Sequence[Any]) -> bytes:
    """Return the line of a row that its content's digest is made of."""
    shown = [
        value if isinstance(value, (int, str, type(None))) else _text(value) for value in values
    ]
    return json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _text(value: Any) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    assert isinstance(value, datetime)
    return value.astimezone(UTC).isoformat(timespec="microseconds")


def _plain(value: Any) -> Any:
    """Return a value as Parquet takes it: JSON as text, a choice as its value."""
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return value.value if isinstance(value, Enum) else value


def _type(kind: Any) -> Any:
    import pyarrow as pa

    kinds: tuple[tuple[Any, Callable[[], Any]], ...] = (
        (ExactDecimal, lambda: pa.decimal128(kind.precision, kind.scale)),
        (UtcDateTime, lambda: pa.timestamp("us", tz="UTC")),
        (Boolean, pa.bool_),
        (Integer, pa.int64),
        (JSON, pa.string),
    )
    for known, make in kinds:
        if isinstance(kind, known):
            return make()
    return pa.string()
