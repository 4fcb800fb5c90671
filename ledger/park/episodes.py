"""When a rule was broken, from the values of a device: pure, so that the same values give the same episodes.

An episode begins with the first value that breaks the rule and ends with the first one after it that does not.
Nothing in it depends on when a value came in, or in which file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from ledger.park.alert_rules import AlertRule, RuleType

MICROSECONDS_A_MINUTE = 60_000_000


class Sample(NamedTuple):
    """What a device said at a time: the least and the greatest where it said several things."""

    at: datetime
    low: Decimal
    high: Decimal


@dataclass(frozen=True)
class Episode:
    """A time in which a rule was broken.

    Parameters
    ----------
    began
        Time of the first value that has to do with it.
    told
        When it had lasted as long as the rule says.
    ended
        Time of the first value that is right again; None: it goes on.
    worst
        The value farthest beyond the limit; of a rate the greatest change; None where nothing came.
    """

    began: datetime
    told: datetime
    ended: datetime | None
    worst: Decimal | None


def breaks(rule: AlertRule, before: Sample | None, sample: Sample) -> bool:
    """Return whether a sample, with the one before it, belongs to an episode that a value can end."""
    if rule.type is RuleType.ABOVE:
        return rule.limit is not None and sample.high > rule.limit
    if rule.type is RuleType.BELOW:
        return rule.limit is not None and sample.low < rule.limit
    if before is None:
        return False
    if rule.type is RuleType.RATE:
        assert rule.limit is not None
        passed = _microseconds(sample.at - before.at)
        allowed = rule.limit * passed
        return _change(before, sample) * rule.minutes * MICROSECONDS_A_MINUTE > allowed
    if rule.type is RuleType.STUCK:
        same = (sample.low, sample.high) == (before.low, before.high)
        return same and sample.low == sample.high and sample.low not in rule.ignored
    return False  # what is missing is ended by whatever comes


def episodes(
    rule: AlertRule,
    samples: Sequence[Sample],
    now: datetime | None = None,
    gone: datetime | None = None,
) -> list[Episode]:
    """Return the episodes of a rule.

    Parameters
    ----------
    samples
        In order of time, each time once; the first does not lie within an episode.
    now
        The time that it is, for what is missing at the end; None: only gaps between samples are.
    gone
        Since when nothing is missed at the end any more; None: it still is.
    """
    if rule.type is RuleType.MISSING:
        return _gaps(rule, samples, now, gone)
    found = []
    start: int | None = None
    for number, sample in enumerate(samples):
        if breaks(rule, samples[number - 1] if number else None, sample):
            if start is None:
                # a flat line begins with the value that it repeats
                start = number - 1 if rule.type is RuleType.STUCK else number
        elif start is not None:
            found += _told(rule, samples, start, number, sample.at)
            start = None
    if start is not None:
        found += _told(rule, samples, start, len(samples), None)
    return found


def taken_up(
    rule: AlertRule,
    samples: Sequence[Sample],
    began: datetime,
    told: datetime,
    worst: Decimal | None,
) -> Episode:
    """Return an episode that began before the first sample, as far as these know of it.

    Parameters
    ----------
    samples
        In order of time, each time once; one at least.
    began, told, worst
        Of the episode, from samples that are no longer there.
    """
    stuck = rule.type is RuleType.STUCK
    # Of a flat line it is known what it repeats.
    before = Sample(told, worst, worst) if stuck and worst is not None else None
    end = 0
    while end < len(samples) and _goes_on(rule, before, samples, end):
        end += 1
    known = [] if worst is None else [worst]
    if end > (rule.type is RuleType.RATE):  # which is between two samples
        known.append(_WORST[rule.type](samples, 0, end))
    farthest = min if rule.type is RuleType.BELOW else max
    ended = samples[end].at if end < len(samples) else None
    return Episode(began, told, ended, farthest(known, default=None))


def _goes_on(
    rule: AlertRule, before: Sample | None, samples: Sequence[Sample], number: int
) -> bool:
    """Return whether a sample belongs to an episode that all before it belong to."""
    if number:
        return breaks(rule, samples[number - 1], samples[number])
    if before is not None or rule.type not in (RuleType.RATE, RuleType.STUCK):
        return breaks(rule, before, samples[0])
    # What came before the first is not known: it is as the second.
    return len(samples) == 1 or breaks(rule, samples[0], samples[1])


def _told(
    rule: AlertRule, samples: Sequence[Sample], start: int, end: int, ended: datetime | None
) -> list[Episode]:
    """Return the episode of the samples from ``start`` to before ``end``, where it lasted long enough."""
    began = samples[start].at
    least = timedelta(0) if rule.type is RuleType.RATE else timedelta(minutes=rule.minutes)
    for number in range(start, end):
        if samples[number].at - began >= least:
            worst = _WORST[rule.type](samples, start, end)
            return [Episode(began, samples[number].at, ended, worst)]
    return []


def _gaps(
    rule: AlertRule, samples: Sequence[Sample], now: datetime | None, gone: datetime | None
) -> list[Episode]:
    longest = timedelta(minutes=rule.minutes)
    found = []
    for number in range(1, len(samples)):
        began, ended = samples[number - 1].at, samples[number].at
        if ended - began > longest:
            found.append(Episode(began, began + longest, ended, None))
    until = now if now is None or gone is None else min(now, gone)
    if until is not None and samples and until - samples[-1].at > longest:
        began = samples[-1].at
        found.append(Episode(began, began + longest, gone, None))
    return found


def _change(before: Sample, sample: Sample) -> Decimal:
    return max(sample.high - before.low, before.high - sample.low)


def _microseconds(passed: timedelta) -> int:
    return passed // timedelta(microseconds=1)


_WORST: dict[RuleType, Callable[[Sequence[Sample], int, int], Decimal]] = {
    RuleType.ABOVE: lambda samples, start, end: max(item.high for item in samples[start:end]),
    RuleType.BELOW: lambda samples, start, end: min(item.low for item in samples[start:end]),
    RuleType.STUCK: lambda samples, start, _end: samples[start].low,
    RuleType.RATE: lambda samples, start, end: max(
        _change(samples[number - 1], samples[number]) for number in range(max(start, 1), end)
    ),
}
