"""Serials of a credit batch: which kilograms are active, retired or cancelled. Pure arithmetic.

A batch of ``issued`` kilograms has the serials 1 to ``issued``. Retirements take consecutive serials
from the bottom, cancellations from the top; what is between them is active. Every serial is in exactly
one run, so the runs of a batch always sum to what was issued.

How a person names a credit is read here too, once for command line and API: see ``read_name``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import msgspec

SITE_SHIFT = 32
"""``batch_id`` is the site's number shifted by so many bits, and the ordinal of the batch."""
_EAST_MAX = timedelta(hours=14)
"""How far legal time is ahead of UTC at most."""


BATCH_KG_MAX = 10**12 - 1
"""The largest batch that the books hold, in kilograms: ``carbon_credits.amount`` is DECIMAL(12,3) in tonnes."""
_SERIAL_MAX = 2**63 - 1
_NAME_LENGTH_MAX = 140
_KEY = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)
_NUMBER = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
# A site's code ends with no blank (the mirror sees to it), which MariaDB passes over when it compares.
_BATCH = r"(?P<site>.{0,99}[^ ])-(?P<vintage>[1-9][0-9]{3})-(?P<ordinal>[1-9][0-9]{0,9})"
_BATCH_NAME = re.compile(_BATCH, re.ASCII | re.DOTALL)
_RUN_NAME = re.compile(
    _BATCH + r"-(?P<first>[1-9][0-9]{0,18})-(?P<last>[1-9][0-9]{0,18})", re.ASCII | re.DOTALL
)


class CreditStatus(StrEnum):
    """What became of a run of credits."""

    ACTIVE = "active"
    RETIRED = "retired"
    CANCELLED = "cancelled"


class Act(StrEnum):
    """What a holder can do with credits."""

    TRANSFER = "transfer"
    RETIRE = "retire"
    CANCEL = "cancel"


@dataclass(frozen=True)
class Taken:
    """Serials that one retirement or one cancellation took, as the chain's event names them.

    Parameters
    ----------
    first
        The first serial.
    amount_kg
        How many serials.
    retirement_id
        The retirement's number on chain; None for a cancellation.
    """

    first: int
    amount_kg: int
    retirement_id: int | None = None

    @property
    def last(self) -> int:
        """The last serial."""
        return self.first + self.amount_kg - 1


class Run(msgspec.Struct, frozen=True, gc=False):
    """Consecutive serials of one batch that share one fate; ``first`` and ``last`` both belong to it."""

    first: int
    last: int
    status: CreditStatus
    retirement_id: int | None = None

    @property
    def amount_kg(self) -> int:
        """Kilograms of the run."""
        return self.last - self.first + 1


def active_run(issued_kg: int, retired_kg: int, cancelled_kg: int) -> Run | None:
    """Return what is left between the retired and the cancelled serials; None when nothing is.

    Raises
    ------
    ValueError
        If more was taken than was issued.
    """
    first, last = retired_kg + 1, issued_kg - cancelled_kg
    if first > last + 1 or min(issued_kg, retired_kg, cancelled_kg) < 0:
        raise ValueError(
            f"{retired_kg} kg retired and {cancelled_kg} kg cancelled of {issued_kg} kg issued"
        )
    return Run(first, last, CreditStatus.ACTIVE) if first <= last else None


def taken_serials(act: Act, active: Run, amount_kg: int) -> tuple[int, int] | None:
    """Return first and last of the serials that an act takes; None for a transfer, which takes none."""
    if act is Act.RETIRE:
        return active.first, active.first + amount_kg - 1
    if act is Act.CANCEL:
        return active.last - amount_kg + 1, active.last
    return None


def partition(
    issued_kg: int, retirements: Sequence[Taken], cancellations: Sequence[Taken]
) -> tuple[Run, ...]:
    """Split the serials 1 to ``issued_kg`` into runs, in the order of the serials.

    Parameters
    ----------
    issued_kg
        Kilograms issued, at least 1.
    retirements, cancellations
        In any order.

    Raises
    ------
    ValueError
        If the pieces do not fit: a gap, an overlap, an empty piece, or more than was issued.
    """
    retired = sorted(retirements, key=lambda piece: piece.first)
    cancelled = sorted(cancellations, key=lambda piece: piece.first)
    if any(piece.amount_kg <= 0 for piece in (*retired, *cancelled)):
        raise ValueError("a retirement or a cancellation of nothing")
    runs = [
        Run(item.first, item.last, CreditStatus.RETIRED, item.retirement_id) for item in retired
    ]
    active = active_run(
        issued_kg,
        sum(piece.amount_kg for piece in retired),
        sum(piece.amount_kg for piece in cancelled),
    )
    if active is not None:
        runs.append(active)
    runs += [Run(item.first, item.last, CreditStatus.CANCELLED) for item in cancelled]
    expected = 1
    for run in runs:
        if run.first != expected:
            raise ValueError(f"serial {expected} should come next, found {run.first}")
        expected = run.last + 1
    return tuple(runs)


def fates(
    serials: tuple[int, int], issued_kg: int, retired_kg: int, cancelled_kg: int
) -> tuple[Run, ...]:
    """Return the parts of some serials that share one status, in order, whoever retired or cancelled them.

    Raises
    ------
    ValueError
        If more was taken than was issued.
    """
    active = active_run(issued_kg, retired_kg, cancelled_kg)
    left = issued_kg - cancelled_kg
    whole = (
        Run(1, retired_kg, CreditStatus.RETIRED),
        *(() if active is None else (active,)),
        Run(left + 1, issued_kg, CreditStatus.CANCELLED),
    )
    parts = (
        Run(max(run.first, serials[0]), min(run.last, serials[1]), run.status) for run in whole
    )
    return tuple(part for part in parts if part.first <= part.last)


def fates_in_words(parts: Sequence[Run]) -> str:
    """Return such as ``serials 1 to 5 are retired and 6 to 9 active``."""
    said = [f"{part.first} to {part.last} {part.status.value}" for part in parts[1:]]
    first = f"serials {parts[0].first} to {parts[0].last} are {parts[0].status.value}"
    return " and ".join([", ".join([first, *said[:-1]]), *said[-1:]])


def batch_name(site: str | int, vintage: int, ordinal: int) -> str:
    """Return the name of a batch, ``<site>-<vintage>-<ordinal>``: by its site's number where no code is known."""
    return f"{site}-{vintage}-{ordinal}"


def credit_id(site_code: str, vintage: int, ordinal: int, first: int, last: int) -> str:
    """Return the name of a run, ``<site>-<vintage>-<ordinal>-<first>-<last>``; last - first + 1 = kg."""
    return f"{batch_name(site_code, vintage, ordinal)}-{first}-{last}"


@dataclass(frozen=True)
class RowNumber:
    """A credit named by the number of its row. It lasts until the credit is parted."""

    number: int


@dataclass(frozen=True)
class BatchNumber:
    """A batch named by its number on chain."""

    batch_id: int


@dataclass(frozen=True)
class IssuanceKey:
    """A batch named by the key of its issuance, in lower case."""

    key: str


@dataclass(frozen=True)
class BatchName:
    """A batch named ``SITE-VINTAGE-NUMBER``, or some of its serials ``...-FIRST-LAST``."""

    site_code: str
    vintage: int
    ordinal: int
    serials: tuple[int, int] | None = None


CreditName = RowNumber | BatchNumber | IssuanceKey | BatchName


def read_name(text: str) -> tuple[CreditName, ...]:
    """Return what a text may name, the likelier first; nothing when it names no credit.

    A site's code may hold hyphens and digits, so that ``a-2014-1-2015-7`` can be read in two ways; only
    the books know which is meant.

    Parameters
    ----------
    text
        ``SITE-VINTAGE-NUMBER``, ``SITE-VINTAGE-NUMBER-FIRST-LAST``, a row's number, a batch's number on
        chain (2^32 and above: no row has such a number), or the key of an issuance.
    """
    if len(text) > _NAME_LENGTH_MAX:
        return ()
    if is_key(text):
        return (IssuanceKey(text.lower()),)
    if _NUMBER.fullmatch(text):
        number = int(text)
        if number > _SERIAL_MAX:
            return ()
        return (BatchNumber(number) if number >> SITE_SHIFT else RowNumber(number),)
    found: list[CreditName] = []
    for pattern in (_RUN_NAME, _BATCH_NAME):
        part = pattern.fullmatch(text)
        if part is None:
            continue
        serials = None
        if pattern is _RUN_NAME:
            serials = int(part["first"]), int(part["last"])
            if not serials[0] <= serials[1] <= _SERIAL_MAX:
                continue
        found.append(BatchName(part["site"], int(part["vintage"]), int(part["ordinal"]), serials))
    return tuple(found)


def is_key(text: str) -> bool:
    """Return whether a text is written as a key, or another hash, is."""
    return _KEY.fullmatch(text) is not None


def site_and_ordinal(batch_id: int) -> tuple[int, int]:
    """Return the site's number on chain, and which of the site's batches it is, from 1."""
    return batch_id >> SITE_SHIFT, batch_id & (2**SITE_SHIFT - 1)


def batch_id_of(site_id: int, ordinal: int) -> int:
    """Return the number of a batch from the site's number on chain and its ordinal."""
    return site_id << SITE_SHIFT | ordinal


def vintage_of(period_start_s: int, period_end_s: int) -> int:
    """Return the year of a period of whole local days, when the time zone is not known.

    Local midnight of 1 January is 31 December in UTC east of Greenwich, by up to 14 hours, which are added; no more
    than half of the period: one that is 31 December alone is of that year west of Greenwich, too. Where our own
    books know the legal year (``issuances``), that one counts.

    Parameters
    ----------
    period_start_s
        First second of the period, since 1970 in UTC.
    period_end_s
        The second after its last.
    """
    half = timedelta(seconds=(period_end_s - period_start_s) // 2)
    return (datetime.fromtimestamp(period_start_s, UTC) + min(half, _EAST_MAX)).year
