"""Books through imports, changed site files and an issuance that becomes void: they stay what their texts give."""

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from ledger.db import Database
from ledger.errors import Refused
from ledger.models import Issuance, Meter, Site
from ledger.models.issuance import IssuanceState
from ledger.readings import reductions_for
from ledger.readings.imports.requalify import requalify
from ledger.readings.periods.evidence_files import files_of_reduction, require_as_read
from ledger.reconcile.reading_rules import differences
from tests.ledger.test_import_counters import COUNTER
from tests.support.forms import few, rest
from tests.support.plant import SITE, apply, imported, issue, write_csv

START = datetime(2014, 6, 1, tzinfo=UTC)
ISSUED = date(2014, 6, 2), date(2014, 6, 4)
OTHERS = [(date(2014, 6, a), date(2014, 6, b)) for a, b in ((1, 2), (4, 5), (5, 6), (4, 6))]
WHOLE = [(date(2014, 6, a), date(2014, 6, b)) for a, b in ((1, 7), (2, 4), (3, 4))]


def some_site(chance: random.Random, base: str) -> str:
    """Return a site file with another rated power, flat lines or texts for no value."""
    rated = f'rated_kw = "{chance.choice([100, 50, 100])}"'
    missing = chance.choice(["", "", 'missing = ["9999"]\n', 'missing = ["60", "x"]\n'])
    flat = chance.choice(["", "\nstuck_hours = 2"])
    return base.replace('rated_kw = "100"', rated + flat).replace(
        "[[source]]\n", "[[source]]\n" + missing
    )


def some_rows(chance: random.Random, *, register: bool) -> Iterator[tuple[str, str]]:
    """Yield readings of a week, in no order, of which some have no number, or one that cannot be."""
    odd = ["", "9999", "60", "x", "0"] if register else ["", "9999", "x", "999", "-1", "60.0"]
    for slot in chance.sample(range(6 * 24 * 6), chance.randint(1, 40)):
        number = str(slot * 10) if register else chance.choice(["60", "5", "60.5"])
        text = number if chance.random() > 0.2 else chance.choice(odd)
        yield (START + timedelta(minutes=10 * slot)).isoformat(), text


def shown_is_what_readings_give(db: Database) -> bool:
    """Whether energy and emissions are those that the stored readings give."""
    with db.read() as session:
        return list(differences(session, session.scalars(select(Site)).one())) == []


def require_provable(db: Database, periods: list[tuple[date, date]]) -> None:
    """Require that whoever verified an issuance of these periods would find what the books say."""
    for period in periods:
        with db.read() as session:
            try:
                found = reductions_for(session, "park-wind", *period)
            except Refused:  # for instance since nothing was read
                continue
            for reduction in found:
                files = files_of_reduction(reduction)
                require_as_read(files.manifest, reduction.inputs.meters)


@few(1)
@pytest.mark.parametrize("seed", rest(range(30), 5))
@pytest.mark.parametrize("base", [SITE, COUNTER], ids=["power", "register"])
def test_books_stay_what_their_texts_give(
    sqlite_db: Database, tmp_path: Path, base: str, seed: int
) -> None:
    chance = random.Random(seed)
    apply(sqlite_db, some_site(chance, base))
    for number in range(7):
        rows = list(some_rows(chance, register=base == COUNTER))
        imported(sqlite_db, write_csv(tmp_path / f"{number}.csv", rows))
        assert shown_is_what_readings_give(sqlite_db), f"after import {number}"
        if chance.random() < 0.4:
            apply(sqlite_db, some_site(chance, base))
            assert shown_is_what_readings_give(sqlite_db), f"after another file, {number}"
        if number == 2:
            issue(sqlite_db, ISSUED, state=IssuanceState.ISSUED)
    require_provable(sqlite_db, OTHERS)
    with sqlite_db.write() as session:
        session.scalars(select(Issuance)).one().state = IssuanceState.VOID
        session.flush()
        for meter_id in session.scalars(select(Meter.id)).all():
            requalify(session, meter_id)
    assert shown_is_what_readings_give(sqlite_db)
    require_provable(sqlite_db, WHOLE)
