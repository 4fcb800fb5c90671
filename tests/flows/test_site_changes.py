"""A site file that changes after an issuance moves nothing of it: the manifest says what was so then."""

import json
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

import pytest
from sqlalchemy import select, text

from ledger.bundles import ALL, build_bundle
from ledger.bundles.proven import prove_reading
from ledger.corrections import correct
from ledger.issuance import plan_issuance, submit_planned
from ledger.models import Issuance, MeterReading
from ledger.proofs.verifier import verify
from ledger.readings import import_file
from ledger.readings.periods.evidence_files import files_of_credit
from tests.support.forms import long
from tests.support.park import PARIS, PROJECT, Park
from tests.support.plant import SITE, apply, write_csv

CREDIT = "park-wind-2014-1"
DECLARED = SITE.replace(
    'rated_kw = "100"\n',
    'rated_kw = "100"\naccuracy_class = "0.5"\n'
    "calibrated_from = 2013-01-01\ncalibrated_to = 2014-12-31\nstuck_hours = 0\n",
)
CHANGES = {
    "calibration renewed": ("calibrated_to = 2014-12-31", "calibrated_to = 2016-12-31"),
    "calibration ended before": ("calibrated_to = 2014-12-31", "calibrated_to = 2013-12-31"),
    "class": ('accuracy_class = "0.5"', 'accuracy_class = "2"'),
    "measured error": ('accuracy_class = "0.5"', 'accuracy_class = "0.5"\nmeasured_error = "0.7"'),
    "rated lower": ('rated_kw = "100"', 'rated_kw = "30"'),
    "rated higher": ('rated_kw = "100"', 'rated_kw = "1000"'),
    "flat lines": ("stuck_hours = 0", "stuck_hours = 3"),
    "threshold": ('completeness_min = "0"', 'completeness_min = "0.9"'),
}


def files(park: Park) -> tuple[str, bytes]:
    with park.db.read() as session:
        found = files_of_credit(session, CREDIT)
    return found.manifest, found.readings


def bundled(park: Park, number: int) -> str:
    # At one block: a bundle of a later one has another header.
    with park.db.read() as session:
        chain = park.chain
        built = build_bundle(chain.client, chain.deployment, session, f"{CREDIT}-1-10", number, ALL)
    verify(built.text, built.trusted)
    return built.text


@pytest.fixture
def issued(park: Park) -> Park:
    """A day at 60 kW, with one slot above what the device can do, is issued."""
    apply(park.db, DECLARED)
    park.register()
    start = datetime(2014, 1, 1, tzinfo=PARIS).astimezone(UTC)
    lines = [
        ((start + timedelta(minutes=10 * slot)).isoformat(), "150" if slot == 80 else "60")
        for slot in range(144)
    ]
    import_file(park.db, "park", "scada", write_csv(park.folder / "day.csv", lines))
    plan_issuance(park.chain, PROJECT, date(2014, 1, 1), date(2014, 1, 2))
    submit_planned(park.chain)
    park.mirror_final()
    assert park.differences() == []
    return park


def test_what_a_site_file_changes_moves_nothing_that_was_issued(issued: Park) -> None:
    before, head = files(issued), issued.node.client.block("latest")
    assert head is not None
    bundle = bundled(issued, head.number)
    with issued.db.read() as session:
        reading = session.scalars(select(MeterReading.id).order_by(MeterReading.start_s)).all()[7]
        proven = prove_reading(session, reading)
    for name, (old, new) in CHANGES.items():
        assert old in DECLARED
        apply(issued.db, DECLARED.replace(old, new))
        assert issued.differences() == [], name
        assert files(issued) == before, name
        assert bundled(issued, head.number) == bundle, name
        with issued.db.read() as session:
            again = prove_reading(session, reading)
        assert (again.leaf, again.proof) == (proven.leaf, proven.proof), name
        assert correct(issued.db, PROJECT).found == [], name
    meter = json.loads(issued.rows(Issuance)[0].manifest)["meters"][0]
    assert (meter["rated_kw"], meter["accuracy_class"]) == ("100", "0.5")


@long
def test_a_late_reading_is_counted_by_the_meter_as_it_was(issued: Park) -> None:
    # Rated at 30 kW, 57.9 kW would be beyond what the device can do.
    apply(issued.db, DECLARED.replace(*CHANGES["rated lower"]))
    start = datetime(2014, 1, 1, tzinfo=PARIS).astimezone(UTC)
    import_file(
        issued.db,
        "park",
        "scada",
        write_csv(issued.folder / "late.csv", [(start.isoformat(), "57.9")]),
    )
    (found,) = correct(issued.db, PROJECT).found
    # The lower of two values counts: (60 - 57.9)/6 kWh less, times 0.5 kg.
    assert found.effect_kg == Fraction(-175, 1000)
    assert issued.differences() == []


@long
def test_a_changed_reading_is_found_whatever_the_site_file_says(issued: Park) -> None:
    apply(issued.db, DECLARED.replace('rated_kw = "100"', 'rated_kw = "1000"'))
    with issued.db.write() as session:
        row = session.scalars(select(MeterReading).order_by(MeterReading.start_s)).all()[5]
        session.execute(
            text("UPDATE meter_readings SET text = '61', value_digits = 61 WHERE id = :id"),
            {"id": row.id},
        )
    found = issued.differences()
    assert any("evidence_root is not what the stored readings give" in item for item in found)
    assert any("manifest is not what the stored readings give" in item for item in found)


@long
def test_a_changed_quality_is_found(issued: Park) -> None:
    change = "UPDATE meter_readings SET quality = 'used', reason = NULL WHERE text = '150'"
    with issued.db.write() as session:
        session.execute(text(change))
    assert any("readings_outlier" in item for item in issued.differences())
