"""``[[source]]`` of a site file: columns, units, times, and how the file is written."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from ledger.errors import BadInput
from ledger.readings.files.formats import (
    CLOCK_CHANGES,
    COMMENT_MAX,
    COUNTS,
    CSV,
    DECIMALS,
    ENCODINGS,
    FORMATS,
    JSON_LINES,
    ONLY,
    REFUSE,
    THOUSANDS,
    Format,
)
from ledger.readings.files.sources import unit_scale
from ledger.readings.files.timeformats import parser_of
from ledger.readings.files.times import OFFSET, clock_of
from ledger.reductions.grids import INTERVALS
from ledger.reductions.numbers import COUNTER, FUEL, TEXT_MAX, UNITS, kind_of, parse_value, units_of
from ledger.reductions.records import Kind
from ledger.reductions.registers import WIDTH_MAX
from ledger.sites.document import Table
from ledger.sites.specs import SourceSpec
from ledger.spreadsheets import DELIMITERS

SOURCE_KINDS = ("power", "energy", COUNTER, FUEL)
_UTC = ("UTC", "Etc/UTC")
_FIXED = 'a clock that never changes may be named by its offset, such as "+10:30"'
_FORMAT_KEYS = frozenset(Format.__dataclass_fields__) - {"numbered"}
_KEYS = (frozenset(SourceSpec.__dataclass_fields__) - {"written"}) | _FORMAT_KEYS
_COLUMN_KEYS = (
    "time_column",
    "value_column",
    "last_value_column",
    "device_column",
    "date_column",
    "unit_column",
)
_COLUMNS_MAX = 10_000
_ONLY_MAX = 100
"""Characters of a column by which rows are chosen, and of its text."""
_CSV_ONLY = (
    "delimiter",
    "header_line",
    "trailing_delimiter",
    "comment",
    "last_value_column",
    "sheet",
)


def read_source(table: Table) -> SourceSpec:
    """Read and check one ``[[source]]``.

    Raises
    ------
    BadInput
        If a key is unknown, missing or wrong.
    """
    table.require_known(_KEYS)
    kind = table.one_of("kind", SOURCE_KINDS)
    counter = kind == COUNTER
    unit, measured = _unit(table, kind)
    if table.has("device") == table.has("device_column"):
        raise table.wrong(
            None, "write either device (the file is of one meter) or device_column, one of them"
        )
    time_zone = _time_zone(table)
    interval_minutes = table.whole("interval_minutes", INTERVALS)
    has_label = table.has("label") or not counter
    return SourceSpec(
        name=table.name("name", 100),
        kind=kind,
        unit=unit,
        interval_minutes=interval_minutes,
        # A register is read at an instant: the label says nothing of it.
        label=table.one_of("label", ("start", "end")) if has_label else "start",
        device=table.optional("device", 100),
        device_column=_column(table, "device_column") if table.has("device_column") else None,
        time_column=_column(table, "time_column"),
        value_column=_column(table, "value_column"),
        time_zone=time_zone,
        written=replace(
            _written(table, time_zone),
            rollover=_rollover(table, measured, counter=counter),
            tolerance_seconds=_tolerance(table, interval_minutes * 60, counter=counter),
        ),
    )


def _unit(table: Table, source_kind: str) -> tuple[str, Kind]:
    """Return the unit of a source, and the kind of its readings."""
    known = units_of(source_kind)
    unit = table.text("unit", 20, f"a unit has no default: write one of {', '.join(known)}")
    try:
        kind = kind_of(source_kind, unit)
        unit_scale(kind, unit, "unit")
    except BadInput as error:
        raise table.wrong("unit", error.message.removeprefix("unit: "), "unknown-unit") from error
    return unit, kind


def _time_zone(table: Table) -> str:
    time_zone = table.text(
        "time_zone", 64, f'write "{OFFSET}" when the times carry it, else an IANA name; {_FIXED}'
    )
    if time_zone != OFFSET:
        try:
            clock_of(time_zone)
        except BadInput as error:
            raise table.wrong("time_zone", f'{error.message}, or "{OFFSET}"; {_FIXED}') from error
    return time_zone


def _rollover(table: Table, kind: Kind, *, counter: bool) -> str | None:
    """Return the value at which a register begins anew."""
    if not table.has("rollover"):
        return None
    if not counter:
        raise table.wrong("rollover", f"rollover is of kind {COUNTER!r} alone; take it out")
    width = table.decimal("rollover")
    unit = table.value("unit")
    if len(width) > WIDTH_MAX or Decimal(width) <= 0:
        raise table.wrong(
            "rollover", f"rollover is above 0 and has at most {WIDTH_MAX} characters, found {width}"
        )
    if isinstance(unit, str) and unit in UNITS[kind]:
        try:
            parse_value(width, UNITS[kind][unit])
        except ValueError as error:
            raise table.wrong("rollover", f"rollover: {error}") from error
    return width


def _tolerance(table: Table, interval_s: int, *, counter: bool) -> int:
    """Return how many seconds a time may lie beside the grid."""
    key = "tolerance_seconds"
    if not table.has(key):
        return 0
    if counter:
        raise table.wrong(key, f"a register is read at any second; take {key} out")
    seconds = table.whole(key)
    if not 0 <= seconds < (interval_s + 1) // 2:
        raise table.wrong(
            key,
            f"{key} is from 0 to less than half the interval of {interval_s} s, found {seconds}",
        )
    return seconds


def _written(table: Table, time_zone: str) -> Format:
    """Return how the file is written."""
    form = _choice(table, "format", FORMATS, CSV)
    if form == JSON_LINES:
        for key in _CSV_ONLY:
            if table.has(key):
                raise table.wrong(
                    key,
                    f"{key} is of CSV files and workbooks; take it out, or write format = {CSV!r}",
                )
    decimal = _choice(table, "decimal", DECIMALS, ".")
    thousands = _choice(table, "thousands", THOUSANDS, None)
    if thousands == decimal:
        raise table.wrong("thousands", f"decimal and thousands are both {decimal!r}")
    return Format(
        format=form or CSV,
        delimiter=_choice(table, "delimiter", tuple(DELIMITERS), ",") or ",",
        decimal=decimal or ".",
        thousands=thousands,
        encoding=_choice(table, "encoding", ENCODINGS, "utf-8") or "utf-8",
        header_line=_header_line(table),
        trailing_delimiter=table.flag("trailing_delimiter", default=False),
        comment=table.optional("comment", COMMENT_MAX, lines=True),
        time_format=_time_format(table, time_zone),
        date_column=_column(table, "date_column") if table.has("date_column") else None,
        last_value_column=_last_value_column(table),
        missing=_missing(table),
        register=table.optional("register", 100),
        clock_change=_clock_change(table, time_zone),
        unit_column=_column(table, "unit_column") if table.has("unit_column") else None,
        only=_only(table),
        sheet=table.optional("sheet", 100),
        numbered=tuple(key for key in _COLUMN_KEYS if isinstance(table.value(key), int)),
    )


def _column(table: Table, key: str) -> str:
    """Return a column: the text of its header, which may be empty, or its number."""
    value = table.value(key)
    numbered = isinstance(value, int) and not isinstance(value, bool)
    if value != "" and not numbered:
        return table.text(key, 100, lines=True)
    if table.value("format") == JSON_LINES:
        raise table.wrong(key, f"{key} is a key of the JSON objects, a text, found {value!r}")
    if numbered and not 1 <= value <= _COLUMNS_MAX:
        raise table.wrong(key, f"{key} is the number of a column, from 1, found {value}")
    return str(value)


def _last_value_column(table: Table) -> str | None:
    """Return the last column of a row that is a whole day; its date is the text of the time's column."""
    key = "last_value_column"
    if not table.has(key):
        return None
    if table.has("date_column"):
        raise table.wrong(
            "date_column", f"with {key} the date stands in time_column; take date_column out"
        )
    return _column(table, key)


def _choice(table: Table, key: str, choices: tuple[str, ...], default: str | None) -> str | None:
    """Return one of a few texts, blanks and signs among them."""
    if not table.has(key):
        return default
    value = table.value(key)
    if value not in choices:
        known = ", ".join(f'"{item}"' for item in choices).replace("\t", "\\t")
        raise table.wrong(key, f"{key} must be one of {known}, found {value!r}")
    return str(value)


def _header_line(table: Table) -> int:
    if not table.has("header_line"):
        return 1
    line = table.whole("header_line")
    if not 1 <= line <= 10_000:
        raise table.wrong("header_line", f"header_line is a line of the file, from 1, found {line}")
    return line


def _time_format(table: Table, time_zone: str) -> str | None:
    pattern = table.optional("time_format", 100, lines=True)
    try:
        parser_of(pattern)
    except ValueError as error:
        raise table.wrong("time_format", f"time_format {pattern!r}: {error}") from error
    if pattern in COUNTS and time_zone not in (OFFSET, *_UTC):
        raise table.wrong(
            "time_zone", f'times that count seconds since 1970 are of UTC: write "{OFFSET}"'
        )
    return pattern


def _missing(table: Table) -> tuple[str, ...]:
    texts = table.texts("missing")
    for text in texts:
        if not text.strip() or len(text) > TEXT_MAX:
            raise table.wrong(
                "missing",
                f"missing lists texts of 1 to {TEXT_MAX} characters, found {text!r}; "
                "an empty value is missing anyway",
            )
    return texts


def _only(table: Table) -> tuple[tuple[str, str], ...]:
    """Return the columns by which rows are chosen, each with the text that it has in them."""
    if not table.has(ONLY):
        return ()
    chosen = table.value(ONLY)
    example = f'such as {ONLY} = {{ "OBIS" = "1-1:2.29.0" }}'
    if not isinstance(chosen, dict) or not chosen:
        raise table.wrong(ONLY, f"{ONLY} has columns and a text for each, {example}")
    for column, text in chosen.items():
        if isinstance(text, dict):
            raise table.wrong(
                ONLY, f"{ONLY}: a column with a point in its name stands in quotes, {example}"
            )
        if not isinstance(text, str):
            raise table.wrong(
                ONLY, f"{ONLY}: the text of column {column!r} must be in quotes, {example}"
            )
        if max(len(column), len(text)) > _ONLY_MAX:
            raise table.wrong(
                ONLY, f"{ONLY}: a column and its text have at most {_ONLY_MAX} characters each"
            )
        if not column.strip() and (column or table.value("format") == JSON_LINES):
            raise table.wrong(ONLY, f"{ONLY}: a column has a name, found {column!r}")
    return tuple(chosen.items())


def _clock_change(table: Table, time_zone: str) -> str:
    chosen = _choice(table, "clock_change", CLOCK_CHANGES, REFUSE) or REFUSE
    if chosen != REFUSE and time_zone == OFFSET:
        raise table.wrong(
            "clock_change", "times with their offset come once; take clock_change out"
        )
    return chosen
