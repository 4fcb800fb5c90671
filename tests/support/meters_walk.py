"""What a walk of kept books does with a second meter: by versions of the site file it joins projects and leaves them.

It is in no project, in that of the first meter, or in one of its own, which is issued and corrected as the first is.
What it has measured may be issued once, by whichever project it is in then.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from ledger.issuance import submit_planned as submit_issuances
from ledger.models import CreditBatch, Issuance, Project
from ledger.models.issuance import LIVE, IssuanceState
from tests.support.credit_walk import FIRST_DAY, POWERS_KW, Differs, Nothing
from tests.support.park import PROJECT
from tests.support.plant import SITE
from tests.support.signing_walk import SigningWalk

OTHER = "park-b"
APART, JOINED, OF_ITS_OWN = PLACES = ("apart", "joined", "of its own")
"""Where the second meter is: in no project, in the first one's, in another."""
DEVICE_B = SITE[SITE.index("[[device]]") :]
for this, other in (('"A"', '"B"'), ("serial-A", "serial-B"), ('"scada"', '"scada-b"')):
    DEVICE_B = DEVICE_B.replace(this, other)
KG_OF_KWH = Decimal("0.5")
"""By the first factor, the highest that there is."""


def site_with(place: str) -> str:
    """Return the site file that has the second meter there: what a file leaves out stays as it is."""
    if place == OF_ITS_OWN:
        return SITE[: SITE.index("[[device]]")].replace(PROJECT, OTHER) + DEVICE_B
    outside = 'role = "generation"\ninventory_only = true'
    return (
        SITE
        + "\n"
        + (DEVICE_B if place == JOINED else DEVICE_B.replace('role = "generation"', outside))
    )


class MetersWalk(SigningWalk):
    """The part of a walk of kept books that is about the second meter."""

    place = APART
    days_b = 0
    """How many days the second meter has readings of."""
    most_kw: dict[tuple[str, str], Decimal]
    """The highest value that ever came for a time of a source."""

    def apply_place(self, place: str) -> None:
        """Apply the site file with the second meter there."""
        raise NotImplementedError

    def move_meter(self) -> str:
        """The second meter joins a project, leaves it, or goes to the other one: refused, when it was issued there."""
        place = self.chance.choice([each for each in PLACES if each != self.place])
        self.apply_place(place)
        return place

    def read_second(self) -> str:
        """Readings of the second meter come, those of a new day or late ones."""
        first = self.days_b if self.chance.random() < 0.7 or not self.days_b else 0
        day = first or self.chance.randrange(self.days_b + 1)
        if day >= self.days:
            raise Nothing
        slots = range(144) if day == self.days_b else self.chance.sample(range(144), 3)
        self.days_b = max(self.days_b, day + 1)
        power = self.chance.choice(POWERS_KW)
        self._import(day, [(slot, power) for slot in sorted(slots)], "scada-b")
        return f"day {day}, {len(slots)} of {power} kW"

    def issue_other(self) -> str:
        """Issue what the second meter has measured, by its own project."""
        first = self._first_free(OTHER)
        if first >= self.days_b:
            raise Nothing
        self.plan_period(self._day(first), self._day(first + 1), OTHER)
        return f"day {first}"

    def _first_free(self, project: str = PROJECT) -> int:
        (row,) = self._rows(Project, Project.code == project)
        those = Issuance.state.in_(LIVE), Issuance.project_id == row.id
        ends: list[date] = [issuance.to_date for issuance in self._rows(Issuance, *those)]
        return (max(ends) - FIRST_DAY).days if ends else 0

    def issue_what_is_left(self) -> None:
        super().issue_what_is_left()
        if self._first_free(OTHER) < self.days_b and self.place == OF_ITS_OWN:
            self.issue_other()

    def send_issuances(self) -> str:
        return self._sent(
            [*submit_issuances(self.park.chain, PROJECT), *submit_issuances(self.park.chain, OTHER)]
        )

    def bring_readings(self, rows: list[tuple[str, str]], source: str = "scada") -> None:
        super().bring_readings(rows, source)
        for time, kw in rows:
            self.most_kw[source, time] = max(
                self.most_kw.get((source, time), Decimal()), Decimal(kw)
            )

    def begin_credits(self) -> None:
        self.apply_place(OF_ITS_OWN)
        self.register(OTHER)
        self.apply_place(APART)
        super().begin_credits()

    def judge_meters(self) -> None:
        """Both projects together have issued what was measured at the most: no value twice."""
        issued = self._rows(Issuance, Issuance.state == IssuanceState.ISSUED)
        keys = {row.key for row in issued}
        total = sum(row.issued_kg for row in self._rows(CreditBatch) if row.key in keys)
        measured = sum(self.most_kw.values(), Decimal()) / 6 * KG_OF_KWH
        if total > measured:
            raise Differs(f"{total} kg are issued, and {measured} measured at the most")
        projects = {row.project_id for row in issued}
        self.done["walks that issued for both projects"] += len(projects) > 1
