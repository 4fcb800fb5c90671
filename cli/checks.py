"""One line of the doctor's report, and how a look becomes one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from ledger.errors import DependencyDown, TruetonneError


class Verdict(StrEnum):
    """What a check found."""

    OK = "ok"
    SKIPPED = "skipped"
    FAILED = "failed"
    DOWN = "down"


@dataclass(frozen=True)
class Check:
    """One line of the doctor's report."""

    name: str
    verdict: Verdict
    found: str
    mend: str = ""

    def as_json(self) -> dict[str, str | bool]:
        """Return the check as ``--json`` prints it."""
        return {
            "name": self.name,
            "ok": self.verdict in (Verdict.OK, Verdict.SKIPPED),
            "verdict": self.verdict.value,
            "found": self.found,
            "mend": self.mend,
        }


def check_of(name: str, look: Callable[[], str], mend: str) -> Check:
    """Return the check of a look that returns what it found, or raises what is wrong."""
    try:
        return Check(name, Verdict.OK, look())
    except DependencyDown as error:
        return bad(name, Verdict.DOWN, error, mend)
    except TruetonneError as error:
        return bad(name, Verdict.FAILED, error, mend)


def whole(name: str, checks: Iterator[Check]) -> Iterator[Check]:
    """Yield checks; an error that keeps the others from being made is a check, too, of this name."""
    try:
        yield from checks
    except DependencyDown as error:
        yield bad(name, Verdict.DOWN, error, "mend that, and ask again")
    except TruetonneError as error:
        yield bad(name, Verdict.FAILED, error, "mend that, and ask again")
    except OSError as error:
        if error.filename is None:
            raise
        found = f"{error.filename}: {error.strerror}"
        yield Check(name, Verdict.FAILED, found, "name another file, or let this account use it")


def bad(name: str, verdict: Verdict, error: TruetonneError, mend: str) -> Check:
    """Return the check of an error. What its message says to do is what is to be done: one hint, not two."""
    found, hint, own = error.message.rpartition("; ")
    return Check(name, verdict, found, own) if hint else Check(name, verdict, error.message, mend)
