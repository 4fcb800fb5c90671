"""When a job is due: every so often, or at times of day (UTC), as five fields of cron."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from apscheduler.triggers.cron import CronTrigger

from ledger.errors import BadInput

_EVERY = re.compile(r"([1-9][0-9]{0,5})\s?(s|m|h|d)", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_LONGEST = timedelta(days=366)
_HELP = "write a time between two runs such as 30s, 5m, 1h or 1d, or five fields of cron (UTC) such as 0 3 * * *"


@dataclass(frozen=True)
class Schedule:
    """When a job is due.

    Parameters
    ----------
    text
        As a person wrote it.
    every
        Time between the end of a run and the next; None: by ``cron``.
    """

    text: str
    every: timedelta | None
    cron: CronTrigger | None

    def first(self, now: datetime) -> datetime:
        """Return when a job is due that has never run: at once, or at its next time of day."""
        return now if self.every is not None else self.next(now)

    def next(self, now: datetime) -> datetime:
        """Return when it is due after a run that ends now."""
        if self.every is not None:
            return now + self.every
        assert self.cron is not None
        found: datetime | None = self.cron.get_next_fire_time(None, now + timedelta(microseconds=1))
        assert found is not None  # five fields name a time of every year, see ``read``
        return found

    def kept(self, due: datetime, now: datetime) -> datetime:
        """Return when it is due, given when it was said to be, and that the clock may have been set back.

        A time between two runs is never waited for longer than it is. A time of day is waited for as long
        as it may be skipped once, because its work was done while the clock was ahead; one further off was
        made by a clock that was wrong.
        """
        latest = self.next(now)
        if self.every is None:
            latest = self.next(latest)
        return due if due <= latest else self.next(now)


def read(text: str) -> Schedule:
    """Read a schedule.

    Raises
    ------
    BadInput
        It is neither a time nor five fields of cron, or its time never comes.
    """
    text = " ".join(text.split())
    found = _EVERY.fullmatch(text)
    if found is not None:
        every = timedelta(**{_UNITS[found[2]]: int(found[1])})
        if every > _LONGEST:
            raise BadInput(f"schedule {text!r} is longer than 366 days; {_HELP}")
        return Schedule(text, every, None)
    if len(text.split()) != 5:
        raise BadInput(f"schedule {text!r} cannot be read; {_HELP}")
    if re.search("[0-9]", text.split()[4]):  # 0 is Sunday to cron and Monday to APScheduler
        raise BadInput(
            f"schedule {text!r}: write days of the week by name: mon, tue, ... or mon-fri"
        )
    try:
        cron = CronTrigger.from_crontab(text, timezone="UTC")
    except ValueError as error:
        raise BadInput(f"schedule {text!r} cannot be read ({error}); {_HELP}") from error
    start = datetime.fromisoformat("2024-01-01T00:00:00+00:00")
    if cron.get_next_fire_time(None, start) is None:
        raise BadInput(f"schedule {text!r} never comes; {_HELP}")
    return Schedule(text, None, cron)


def read_setting(text: str, names: Mapping[str, str]) -> dict[str, Schedule]:
    """Return the schedule of every job: its default, or what the setting ``job_schedules`` says.

    Parameters
    ----------
    text
        ``NAME=SCHEDULE; NAME=SCHEDULE``, or nothing.
    names
        The jobs and their defaults.

    Raises
    ------
    BadInput
        A part cannot be read, or names no job or one a second time.
    """
    given: dict[str, str] = {}
    for part in filter(None, (item.strip() for item in text.split(";"))):
        name, sign, schedule = (item.strip() for item in part.partition("="))
        if not sign:
            raise BadInput(f"job_schedules: {part!r} is not NAME=SCHEDULE; {_HELP}")
        if name not in names:
            raise BadInput(f"job_schedules: there is no job {name!r}; known are {', '.join(names)}")
        if name in given:
            raise BadInput(f"job_schedules: {name} is named twice; leave one out")
        given[name] = schedule
    found = {}
    for name, default in names.items():
        try:
            found[name] = read(given.get(name, default))
        except BadInput as error:
            raise BadInput(f"job_schedules: {name}: {error.message}") from error
    return found
