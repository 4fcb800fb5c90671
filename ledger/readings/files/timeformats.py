"""The text of a time to a date and time: ISO 8601, a pattern, or what is counted since 1970.

Patterns are those of ``strptime`` as far as they mean the same on every machine: ``%Y %y %m %d %H %I
%p %M %S %f %z %b %B %F %T``; names of months are English, halves of the day are so or Chinese. ``24:00`` is the
midnight that closes its day.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from functools import cache

from ledger.clock import is_finer_than_micros
from ledger.readings.files.formats import COMMENT_MAX, COUNTS

Parser = Callable[[str], datetime]

ALIASES = {"%F": "%Y-%m-%d", "%T": "%H:%M:%S"}
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
FULL = "January|February|March|April|May|June|July|August|September|October|November|December"
TOKEN = re.compile(r"%.|[ \t]+|[^%]|%", re.DOTALL)
"""What patterns are made of."""
_DIGITS = {name: "[0-9]{2}" for name in "ymdHIMS"} | {"Y": "[0-9]{4}", "f": "[0-9]{1,9}"}
_WORDS = {
    "p": "[AaPp][Mm]|[AaPp]\\.[ \u00a0\u202f]?[Mm]\\.|[上下]午",
    "b": "(?i:" + "|".join(MONTHS) + ")",
    "B": f"(?i:{FULL})",
    "z": "Z|[+-][0-9]{2}:?[0-9]{2}",
}
_END_OF_DAY = re.compile(r"(.*[T ])24(:?00(?::?00(?:[.,]0+)?)?(?:Z|[+-][0-9:]+)?)", re.ASCII)
_WHOLE = re.compile(r"(-?[0-9]{1,20})(?:\.0*)?", re.ASCII)
_COUNTED = ("seconds", "milliseconds", "microseconds", "nanoseconds")
_UNTIL_S = 2**32
"""The end of 2106's times, in seconds since 1970."""
_BLANKS = "[ \t\u00a0\u202f]+"
"""Between the parts of a time: programs that go by ICU write a narrow no-break blank before AM and PM."""
_SERIAL = re.compile(r"[1-9][0-9]{4}(?:[.,][0-9]+)?", re.ASCII)
"""Days since 1900, as a spreadsheet keeps a time, from 1927 to 2173."""
_DATES = ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%Y年%m月%d日")
"""Dates that can be read in one way: of 1/2/2026 nobody knows which is the month."""
_CLOCKS = ("%H:%M:%S", "%H:%M", "%p %I:%M:%S", "%p %I:%M", "%I:%M:%S %p", "%I:%M %p")
_PATTERNS = (
    *(f"{date} {clock}" for date in _DATES for clock in _CLOCKS),
    *(
        "%Y年%m月%d日 %H时%M分%S秒",
        "%Y年%m月%d日 %H时%M分",
        "%Y%m%d%H%M%S",
        "%Y%m%d%H%M",
        "%Y%m%d%H",
    ),
    *_DATES,
)
"""How times are often written, to be proposed: never read so without a declaration."""
_USUAL_FROM = 1990
"""Years that times of meters have: a small number is no count of seconds."""
_AFTER_NOON = "Pp下"
_TURNED = re.compile("%([md])")
_AS_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?![0-9])", re.ASCII)
_MICROS_FROM = len("20140101T010101.000000")
_DAY = timedelta(days=1)
FRACTIONS = (
    "has fractions of a second; have it written in whole seconds, or, but for a register, write "
    "tolerance_seconds = 1 in [[source]]"
)
"""What is said of a time that is no whole second."""


class TurnedDate(ValueError):
    """A date whose month is above 12, and whose day could be a month.

    Attributes
    ----------
    text
        The time as it stands in the file.
    """

    def __init__(self, text: str, message: str) -> None:
        super().__init__(message)
        self.text = text


def parser_of(time_format: str | None, *, near: bool = False) -> Parser:
    """Return what reads the times of a source; it raises ``ValueError`` with one line.

    Parameters
    ----------
    time_format
        A pattern, one of ``COUNTS``, or None for ISO 8601.
    near
        Times may lie beside the grid: fractions of a second that are finer than a microsecond, or counted, are no
        error. What is below a microsecond is dropped, but for a first one, so that none becomes a whole second.

    Raises
    ------
    ValueError
        The pattern cannot be used, and why.
    """
    if time_format is None:
        return _iso_near if near else iso
    if time_format in COUNTS:
        return _counter(time_format, near=near)
    return _pattern(time_format, near=near)


def iso(text: str) -> datetime:
    """Return a time in ISO 8601.

    Raises
    ------
    ValueError
        If it is none, or finer than microseconds.
    """
    if len(text) > _MICROS_FROM and is_finer_than_micros(text):
        raise ValueError(f"{text[:40]!r} {FRACTIONS}")
    return _iso(text)


def _iso_near(text: str) -> datetime:
    moment = _iso(text)
    if len(text) > _MICROS_FROM and is_finer_than_micros(text):
        return moment.replace(microsecond=moment.microsecond or 1)
    return moment


def _iso(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        match = _END_OF_DAY.fullmatch(text)
        if match:
            try:
                return datetime.fromisoformat(f"{match[1]}00{match[2]}") + _DAY
            except ValueError:
                pass
        if _SERIAL.fullmatch(text):
            raise ValueError(_serial(text)) from None
        wrong = "must be in " in str(error) or "out of range" in str(error)
        if wrong and _AS_ISO.match(text):  # as 2014-06-31 is
            raise ValueError(f"{text[:40]!r} is not a time ({error})") from None
        raise ValueError(f"{text[:40]!r} is not a time; {_proposed(text)}") from None


def _serial(text: str) -> str:
    return (
        f"{text[:40]!r} is a spreadsheet's number of a day; format its column as date and time there, and save "
        "the file again"
    )


def _looks_like_iso(text: str) -> bool:
    """Return whether a time would be in ISO 8601 if its signs were those that they look like, and no others hidden."""
    if text.isascii():
        return False
    shown = "".join(sign for sign in text if unicodedata.category(sign) != "Cf")
    plain = re.sub("[\u2010-\u2015\u2212]", "-", unicodedata.normalize("NFKC", shown))
    with suppress(ValueError):
        return plain.isascii() and bool(datetime.fromisoformat(plain))
    return False


def _proposed(text: str) -> str:
    """Return what to declare for a time that is not in ISO 8601, where it can be but one thing."""
    if _looks_like_iso(text):
        return "it has signs that only look like digits and hyphens, or do not show; have it written without them"
    for time_format, form, read in _usual():
        if form.fullmatch(text) is None:  # a file may have millions of such rows
            continue
        with suppress(ValueError):
            if read(text).year >= _USUAL_FROM:
                return f'write time_format = "{time_format}" in [[source]]'
    return (
        "write it as 2014-01-01T00:10:00+01:00, or say how it is written with time_format in "
        f"[[source]]{_words(text)}"
    )


@cache
def _usual() -> tuple[tuple[str, re.Pattern[str], Parser], ...]:
    """Return how times are often written, each with the form of its texts and what reads them."""
    forms = [(pattern, _expression(pattern)[0]) for pattern in _PATTERNS]
    forms += [(counted, _WHOLE) for counted in COUNTS]
    return tuple((name, form, parser_of(name)) for name, form in forms)


def _words(text: str) -> str:
    """Return what else a text without a digit may be: the name of a sum below a table, or a line of units."""
    if not text or not text.isprintable() or any(sign in '"\\' or sign.isdigit() for sign in text):
        return ""
    return (
        f'; if lines that begin so are no readings, write comment = "{text[:COMMENT_MAX].rstrip()}"'
    )


def _counter(time_format: str, *, near: bool) -> Parser:
    """Return what reads whole numbers of seconds, or of parts of them, since 1970."""
    each = COUNTS[time_format]
    called = dict(zip(COUNTS, _COUNTED, strict=True))

    def hint(count: int, says: str) -> str:
        """Return what the size of a number says it counts, if that is something else."""
        counted = next((name for name, part in COUNTS.items() if count < _UNTIL_S * part), None)
        if counted is None or counted == time_format:
            return ""
        return f"; {says.format(called[counted])} write time_format = {counted!r}"

    def read(text: str) -> datetime:
        # As seconds it is of the first day of 1970, and a register may be read at any second.
        if each == 1 and _SERIAL.fullmatch(text):
            raise ValueError(_serial(text))
        match = _WHOLE.fullmatch(text)
        if match is None:
            raise ValueError(
                f"{text[:40]!r} is no whole number of {called[time_format]} since 1970"
            )
        count = int(match[1])
        seconds, rest = divmod(count, each)
        if rest and seconds < _UNTIL_S:  # beyond, it counts something finer
            says = hint(count, "if it counts {},")
            if says or not near:
                raise ValueError(
                    f"{text!r} has fractions of a second{says}" if says else f"{text!r} {FRACTIONS}"
                )
        micros = rest * 10**6 // each or min(rest, 1)
        try:
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(0, seconds, micros)
        except OverflowError:
            says = hint(count, "it counts {}:")
            raise ValueError(f"{text!r} is not between 1970 and 2106{says}") from None

    return read


def _pattern(pattern: str, *, near: bool) -> Parser:
    for alias, meaning in ALIASES.items():
        pattern = pattern.replace(alias, meaning)
    expression, names = _expression(pattern)
    short = expression.fullmatch
    twelve = "I" in names

    def read(text: str) -> datetime:
        match = short(text)
        if match is None:
            raise ValueError(f"{text[:40]!r} is not a time of the form {pattern!r}{_words(text)}")
        part = match.groupdict()
        year = int(part["Y"]) if "Y" in part else _year(int(part["y"]))
        hour = int(part.get("H") or part.get("I") or 0)
        minute, second = int(part.get("M") or 0), int(part.get("S") or 0)
        if twelve:
            if not 1 <= hour <= 12:
                raise ValueError(f"{text[:40]!r} has no hour from 1 to 12")
            hour = hour % 12 + (12 if part["p"][0] in _AFTER_NOON else 0)
        parts = (part.get("f") or "").ljust(9, "0")
        micros, finer = int(parts[:6]), int(parts[6:])
        if finer and not near:
            raise ValueError(f"{text[:40]!r} {FRACTIONS}")
        micros = micros or min(finer, 1)
        closes = hour == 24 and minute == second == micros == 0
        try:
            moment = datetime(
                year,
                _month(part),
                int(part["d"]),
                0 if closes else hour,
                minute,
                second,
                micros,
                tzinfo=_offset(part["z"]) if "z" in part else None,
            )
        except ValueError as error:
            raise _no_time(text, part, pattern, error) from None
        return moment + _DAY if closes else moment

    return read


def _no_time(text: str, part: dict[str, str], pattern: str, error: ValueError) -> ValueError:
    """Return what is wrong with a text of the right form; day and month may have been named the other way round."""
    if "m" in part and 0 < int(part["d"]) <= 12 < int(part["m"]) <= 31:
        turned = _TURNED.sub(lambda name: "%d" if name[1] == "m" else "%m", pattern)
        return TurnedDate(
            text[:40],
            f"{text[:40]!r} has no month {part['m']}; if the day stands there, write "
            f'time_format = "{turned}" in [[source]]',
        )
    return ValueError(f"{text[:40]!r} is not a time ({error})")


def _expression(pattern: str) -> tuple[re.Pattern[str], set[str]]:
    parts: list[str] = []
    names: set[str] = set()
    tokens = TOKEN.findall(pattern)
    for place, token in enumerate(tokens):
        name = token[1:]
        if token == "%%":
            parts.append("%")
        elif token.isspace():
            parts.append(_BLANKS)
        elif not token.startswith("%"):
            parts.append(re.escape(token))
        elif name not in _DIGITS and name not in _WORDS:
            raise ValueError(
                f"{token!r} is not known; use %Y %y %m %d %H %I %p %M %S %f %z %b %B %F %T"
            )
        elif name in names:
            raise ValueError(f"{token!r} stands twice")
        else:
            names.add(name)
            digits = _DIGITS.get(name) or _WORDS[name]
            # Beside another number the width is fixed; else a leading zero may be left out.
            near = tokens[max(0, place - 1) : place] + tokens[place + 1 : place + 2]
            if digits == "[0-9]{2}" and not any(item[1:] in _DIGITS for item in near):
                digits = "[0-9]{1,2}"
            parts.append(f"(?P<{name}>{digits})")
    if len(names & {"Y", "y"}) != 1 or len(names & {"m", "b", "B"}) != 1 or "d" not in names:
        raise ValueError("it must have a year (%Y), a month (%m) and a day (%d), each once")
    if {"H", "I"} <= names or ("I" in names) != ("p" in names):
        raise ValueError("the hour is %H, or %I with %p")
    return re.compile("".join(parts), re.ASCII), names


def _year(two: int) -> int:
    return two + (1900 if two >= 69 else 2000)  # as POSIX has it


def _month(part: dict[str, str]) -> int:
    if "m" in part:
        return int(part["m"])
    name = part["b"] if "b" in part else part["B"]
    return MONTHS.index(name[:3].lower()) + 1


def _offset(text: str) -> timezone:
    if text == "Z":
        return UTC
    digits = text[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text[0] == "-" else offset)
