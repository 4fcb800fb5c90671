"""A second implementation of a park's interval meters, from the sentences of the documents, that shares no code.

``docs/meter-files.md`` says what becomes of a row, ``docs/methodology.md`` what a period comes to. Numbers are
fractions from the text on; a meter is all of its rows, so that no order of files can matter.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from math import floor, lcm
from zoneinfo import ZoneInfo

USED, CONTRADICTED = 100, 101
EMPTY, NO_VALUE = 200, 201
ABOVE, BELOW, STUCK = 301, 302, 303
CLAIMS_MORE, RESPELLED, NEEDLESS = 401, 402, 403


@dataclass
class Span:
    """A calibration: its first and its last legal day, the last one open or included, and the error found, percent."""

    first: date
    last: date | None = None
    found: Fraction = Fraction(0)


@dataclass
class Instrument:
    """A meter of intervals, and all rows that came of it: start and text."""

    role: str
    power: bool = True
    base_per_unit: Fraction = Fraction(1)
    minutes: int = 15
    rated_kw: Fraction | None = None
    stuck_hours: int = 0
    accuracy: Fraction | None = None
    calibrated: bool = True
    spans: Sequence[Span] = ()
    tonnes_per_unit: Fraction = Fraction(0)
    """t CO2e of a base unit of fuel."""
    no_value: Sequence[str] = ()
    there_from: date | None = None
    there_to: date | None = None
    """The first and the last legal day that it is there; None: open."""
    rows: set[tuple[int, str]] = field(default_factory=set)
    withdrawn: set[tuple[int, str]] = field(default_factory=set)
    """Those of the rows that have no value, whatever their text says."""

    @property
    def supplies(self) -> bool:
        return self.role in ("generation", "export")

    def forget_impossible(self, late: set[tuple[int, str]]) -> None:
        """Forget those of some rows that an issued period leaves out: above what a meter of consumption can draw."""
        valued = {row for row in late if row[1] and row[1] not in self.no_value}
        above = {row for row in valued if _of_chosen(self, Fraction(row[1]), USED) == ABOVE}
        self.rows -= above if self.role == "import" else set()


@dataclass
class Slots:
    """How many slots of the meters of energy a period has, by what stands in them."""

    expected: int = 0
    used: int = 0
    outlier: int = 0
    conflict: int = 0

    @property
    def missing(self) -> int:
        return self.expected - self.used - self.outlier


@dataclass
class Balance:
    """What a period comes to."""

    export_kwh: Fraction = Fraction(0)
    import_kwh: Fraction = Fraction(0)
    project_t: Fraction = Fraction(0)
    load_kwh: Fraction = Fraction(0)
    self_kwh: Fraction = Fraction(0)
    reductions_kg: Fraction = Fraction(0)

    def issued_kg(self, carry_kg: Fraction) -> int:
        return max(0, floor(self.reductions_kg + carry_kg))


def midnight_s(day: date, zone: ZoneInfo) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())


def day_of(second: int, zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(second, UTC).astimezone(zone).date()


def judged(meter: Instrument, zone: ZoneInfo) -> dict[tuple[int, str], int]:
    """Return the number of each row's quality."""
    slots: dict[int, list[str]] = defaultdict(list)
    for start_s, text in meter.rows:
        slots[start_s].append(text)
    found: dict[tuple[int, str], int] = {}
    for start_s, texts in slots.items():
        values = {
            text: Fraction(text)
            for text in texts
            if text and text not in meter.no_value and (start_s, text) not in meter.withdrawn
        }
        if not values:
            found |= {(start_s, text): NO_VALUE if text else EMPTY for text in texts}
            continue
        least = (min if meter.supplies else max)(values.values())
        spellings = [text for text, value in values.items() if value == least]
        chosen = min(spellings, key=lambda text: (len(text), text))
        for text in texts:
            if text not in values:
                quality = NEEDLESS
            elif text == chosen:
                quality = _of_chosen(
                    meter, least, CONTRADICTED if len({*values.values()}) > 1 else USED
                )
            else:
                quality = RESPELLED if values[text] == least else CLAIMS_MORE
            found[start_s, text] = quality
    if meter.supplies and meter.stuck_hours:
        found |= _stuck(meter, zone, found)
    return found


def _of_chosen(meter: Instrument, value: Fraction, otherwise: int) -> int:
    if meter.rated_kw is None or meter.role in ("storage", "fuel"):
        return otherwise
    hours = 1 if meter.power else Fraction(meter.minutes, 60)
    share = value * meter.base_per_unit / (meter.rated_kw * hours)
    if share > Fraction(12, 10):
        return ABOVE
    return BELOW if share < Fraction(-2, 10) else otherwise


def _stuck(
    meter: Instrument, zone: ZoneInfo, found: dict[tuple[int, str], int]
) -> dict[tuple[int, str], int]:
    """Return the readings that would count, and stand in a flat line."""
    runs: list[list[tuple[int, str]]] = []
    before = None
    for row in sorted(found):
        if found[row] not in (USED, CONTRADICTED, ABOVE, BELOW):
            continue
        level = day_of(row[0], zone), Fraction(row[1])
        if level != before:
            runs.append([])
        runs[-1].append(row)
        before = level
    stuck = {}
    for run in runs:
        day = day_of(run[0][0], zone)
        whole = midnight_s(day + timedelta(days=1), zone) - midnight_s(day, zone)
        needed_s = whole if meter.stuck_hours == 24 else meter.stuck_hours * 3600
        if Fraction(run[0][1]) > 0 and len(run) > 2 and len(run) * meter.minutes * 60 >= needed_s:
            stuck |= {row: STUCK for row in run if found[row] in (USED, CONTRADICTED)}
    return stuck


def there_s(meter: Instrument, zone: ZoneInfo, first: date, last: date) -> range:
    """Return the seconds of a period in which a meter is there."""
    begin = max(first, meter.there_from or first)
    end = last if meter.there_to is None else min(last, meter.there_to + timedelta(days=1))
    return range(midnight_s(begin, zone), midnight_s(max(end, begin), zone))


def strays(meter: Instrument, zone: ZoneInfo, first: date, last: date) -> list[date]:
    """Return the days on which a meter that is not there counted something, in order."""
    period = range(midnight_s(first, zone), midnight_s(last, zone))
    there = there_s(meter, zone, first, last)
    return [
        day_of(start_s, zone)
        for (start_s, text), quality in sorted(judged(meter, zone).items())
        if quality in (USED, CONTRADICTED)
        and start_s in period
        and not (start_s in there and start_s + meter.minutes * 60 - 1 in there)
        and Fraction(text) != 0
    ]


def stuck_rows(meter: Instrument, zone: ZoneInfo) -> set[tuple[int, str]]:
    return {row for row, quality in judged(meter, zone).items() if quality == STUCK}


def undeducted(meter: Instrument, zone: ZoneInfo, first: date, last: date) -> int:
    """Return in how many slots a value that would be deducted is withdrawn, and nothing counts in its place."""
    there = there_s(meter, zone, first, last)
    known = judged(meter, zone).items()
    used = {at_s for (at_s, _), quality in known if quality in (USED, CONTRADICTED)}
    return len({at_s for at_s, _ in deducted(meter) if at_s in there} - used)


def deducted(meter: Instrument) -> set[tuple[int, str]]:
    """Return the rows that are withdrawn and would be deducted: of consumption, and what is drawn where it supplies."""
    return {
        row
        for row in meter.withdrawn
        if meter.role in ("import", "fuel") or (meter.supplies and Fraction(row[1]) < 0)
    }


def slots_of(meters: Iterable[Instrument], zone: ZoneInfo, first: date, last: date) -> Slots:
    """Count the slots of the meters that supply and of those of import, of the days that they are there."""
    found = Slots()
    for meter in meters:
        if not meter.supplies and meter.role != "import":
            continue
        there = there_s(meter, zone, first, last)
        found.expected += len(there) // (meter.minutes * 60)
        rows = {row: quality for row, quality in judged(meter, zone).items() if row[0] in there}
        found.used += sum(quality in (USED, CONTRADICTED) for quality in rows.values())
        found.outlier += sum(quality in (ABOVE, BELOW, STUCK) for quality in rows.values())
        found.conflict += len({at_s for (at_s, _), what in rows.items() if what == CLAIMS_MORE})
    return found


def error_of(meter: Instrument, start_s: int, zone: ZoneInfo) -> Fraction:
    """Return the share that is deducted of a reading."""
    if meter.accuracy is None or (meter.calibrated and not meter.spans):
        return Fraction(0)
    for span in meter.spans:
        if span.first <= day_of(start_s, zone) <= (span.last or date.max):
            return abs(span.found) / 100 if abs(span.found) > meter.accuracy else Fraction(0)
    return max(meter.accuracy, *(abs(span.found) for span in meter.spans), 0) / 100


def balance(
    meters: Iterable[Instrument],
    zone: ZoneInfo,
    first: date,
    last: date,
    *,
    kg_per_kwh: Fraction,
    leakage: Fraction = Fraction(0),
    uncertainty: Fraction = Fraction(0),
) -> Balance:
    """Return what the legal days from ``first`` until before ``last`` come to."""
    meters = list(meters)
    from_s, to_s = midnight_s(first, zone), midnight_s(last, zone)
    sums = Balance()
    window_s = 60 * lcm(*(item.minutes for item in meters if item.supplies or item.role == "load"))
    made: dict[int, Fraction] = defaultdict(Fraction)
    taken: dict[int, Fraction] = defaultdict(Fraction)
    for meter in meters:
        for (start_s, text), quality in judged(meter, zone).items():
            if not from_s <= start_s < to_s or quality not in (USED, CONTRADICTED):
                continue
            amount = Fraction(text) * meter.base_per_unit
            if meter.power:
                amount *= Fraction(meter.minutes, 60)
            error = error_of(meter, start_s, zone)
            positive, negative = max(amount, 0), max(-amount, 0)
            if meter.supplies:
                sums.export_kwh += positive * (1 - error)
                sums.import_kwh += negative * (1 + error)
                made[(start_s - from_s) // window_s] += positive
            elif meter.role == "import":
                sums.import_kwh += positive * (1 + error)
            elif meter.role == "fuel":
                sums.project_t += positive * (1 + error) * meter.tonnes_per_unit
            elif meter.role == "load":
                sums.load_kwh += positive
                taken[(start_s - from_s) // window_s] += positive
    sums.self_kwh = sum((min(kwh, made[at]) for at, kwh in taken.items()), Fraction(0))
    baseline_t = (sums.export_kwh - sums.import_kwh) * kg_per_kwh / 1000
    left_t = baseline_t - sums.project_t - leakage * max(baseline_t, 0)
    sums.reductions_kg = 1000 * (left_t - uncertainty * max(left_t, 0))
    return sums
