"""MariaDB's names of transactions (GTID), and positions made of them.

A position names the last transaction of each domain. With ``gtid_strict_mode`` the numbers of a domain grow by one
with each transaction, whichever server wrote it: so the difference of two positions is a count.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ledger.errors import BadInput


@dataclass(frozen=True)
class Gtid:
    """A transaction's name."""

    domain: int
    server: int
    number: int

    def __str__(self) -> str:
        return f"{self.domain}-{self.server}-{self.number}"

    @classmethod
    def parse(cls, text: str) -> Gtid:
        """Read one.

        Raises
        ------
        BadInput
            If it is none.
        """
        if not re.fullmatch(r"[0-9]{1,10}-[0-9]{1,10}-[0-9]{1,20}", text, re.ASCII):
            raise BadInput(f"{text!r} is no GTID; write DOMAIN-SERVER-NUMBER, such as 0-1-57")
        return cls(*map(int, text.split("-")))


@dataclass(frozen=True)
class Gap:
    """Transactions that one server has and another has not: from the one after ``after`` to ``last``."""

    after: int
    last: Gtid

    @property
    def count(self) -> int:
        """How many they are."""
        return self.last.number - self.after

    def __str__(self) -> str:
        first = Gtid(self.last.domain, self.last.server, self.after + 1)
        return str(first) if self.count == 1 else f"{first} to {self.last}"


def gtids(text: str) -> dict[int, Gtid]:
    """Return a GTID position by domain; an empty text is the beginning."""
    return {gtid.domain: gtid for gtid in _listed(text)}


def position_text(position: Mapping[int, Gtid]) -> str:
    """Return a position as MariaDB writes it."""
    return ",".join(str(gtid) for _, gtid in sorted(position.items()))


def gaps(have: Mapping[int, Gtid], want: Mapping[int, Gtid]) -> list[Gap]:
    """Return what a position lacks of another; nothing when it has come there, or further."""
    reached = {domain: have[domain].number if domain in have else 0 for domain in want}
    return [
        Gap(reached[domain], last)
        for domain, last in sorted(want.items())
        if last.number > reached[domain]
    ]


def only_in(here: str, there: str) -> list[Gap]:
    """Return what stands in one server's binary log and not in another's, from both ``gtid_binlog_state``.

    That state names the last transaction of each domain *and server*: two servers that both went on after the same
    transaction have the same numbers for what differs, so that positions alone do not tell them apart.
    """
    known = {(item.domain, item.server): item.number for item in _listed(there)}
    common: dict[int, int] = {}
    """By domain: the last number that both have the same transaction under."""
    for item in _listed(here):
        both = min(item.number, known.get((item.domain, item.server), 0))
        common[item.domain] = max(common.get(item.domain, 0), both)
    found = []
    for item in _listed(here):
        until, shared = known.get((item.domain, item.server)), common[item.domain]
        if item.number > shared:
            # What a server wrote after its last known one has greater numbers; those up to the common one
            # were of others.
            found.append(Gap(shared, item))
        elif until is not None and item.number > until:
            found.append(Gap(until, item))
        # Without one of that server the other log began after it, as one does that was restored from a copy. What
        # both have from later then stands upon it.
    return found


def _listed(text: str) -> list[Gtid]:
    return [Gtid.parse(item.strip()) for item in text.split(",") if item.strip()]
