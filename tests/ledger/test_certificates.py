"""Exclusivity: energy for which a certificate was issued elsewhere is not credited, and everybody sees it."""

import copy
import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from cli.reductions import _shown as shown_by_command
from ledger.corrections import correct
from ledger.db import Database
from ledger.errors import BadInput
from ledger.models import Correction, EnergyCertificate
from ledger.readings import reductions_for
from ledger.readings.periods.evidence_files import files_of_period
from ledger.readings.periods.period import load_period
from ledger.reductions import Calibration, Quality, Reduction, Role, compute, report
from ledger.reductions.certificates import marked
from ledger.reductions.manifest import canonical_text
from ledger.reductions.manifest_file import meter_of as stated_meter
from ledger.reductions.manifest_file import read_manifest
from ledger.reductions.readings_file import lines_of
from ledger.reductions.records import EnergyCertificate as Record
from tests.ledger.test_recompute import SLOT_S, files_of, meter_of, paths, run
from tests.ledger.test_reductions import inputs, reading
from tests.support.forms import long
from tests.support.plant import SITE, apply, imported, issue, write_csv

SHORT_ON_MARIADB = ("test_a_share_and_an_amount_are_left_out_and_shown",)

PROJECT = "park-wind"
FIRST = date(2014, 1, 1)  # Paris: one hour before UTC


def day(number: int) -> date:
    return FIRST + timedelta(days=number - 1)


def declared(amount: str, first: int, last: int, reference: str = "1", device: str = "A") -> str:
    return (
        f'\n[[energy_certificate]]\ndevice = "{device}"\ninstrument = "GEC"\nreference = "{reference}"\n'
        f'from_day = "{day(first)}"\nto_day = "{day(last)}"\n{amount}\n'
    )


def generate(db: Database, folder: Path, *kw_by_day: str, first: int = 1) -> None:
    """Import hours of one constant power a legal day: 10-minute readings."""
    start = datetime(2013, 12, 31, 23, tzinfo=UTC) + timedelta(days=first - 1)
    rows = [
        ((start + timedelta(days=number, minutes=10 * slot)).isoformat(), kw)
        for number, kw in enumerate(kw_by_day)
        for slot in range(144)
    ]
    assert imported(db, write_csv(folder / "a.csv", rows)).rejected == 0


def of(db: Database, first: int, last: int) -> Reduction:
    with db.read() as session:
        return compute(load_period(session, PROJECT, day(first), day(last + 1), enforce=False))


@pytest.fixture
def park(db: Database, tmp_path: Path) -> Database:
    """Four days at 60 kW, 1,440 kWh each."""
    apply(db)
    generate(db, tmp_path, "60", "60", "60", "60")
    return db


# ---------------------------------------------------------------------- how it is named


@pytest.mark.parametrize("key", ["instrument", "reference"])
def test_a_name_with_a_blank_is_new_to_nobody_and_one_that_is_stored_stays(
    db: Database, key: str
) -> None:
    """MariaDB takes the two for one, and SQLite would leave the energy out twice."""
    plain = SITE + declared('share = "0.25"', 1, 1, "GO-1")
    name = "GEC" if key == "instrument" else "GO-1"
    blank = plain.replace(f'"{name}"', f'"{name} "')
    says = f"of device A: {key} begins or ends with a blank, '{name} '; take it out"
    with pytest.raises(BadInput, match=says):
        apply(db, blank)
    apply(db, plain)
    with db.write() as session:
        session.execute(update(EnergyCertificate).values({key: f"{name} "}))
    assert apply(db, blank).created == []
    # What the refusal advises can be done: the one without takes the other's place.
    changes = apply(db, plain)
    label = "energy certificate GEC GO-1"
    assert (changes.created, changes.updated) == (
        [label],
        [label.replace(name, f"{name} ")],
    )
    assert of_books(db) == [("GEC", "GO-1")]


def of_books(db: Database) -> list[tuple[str, str]]:
    with db.read() as session:
        query = select(EnergyCertificate.instrument, EnergyCertificate.reference)
        return [tuple(row) for row in session.execute(query)]


# ---------------------------------------------------------------------- what is left out


def test_a_share_and_an_amount_are_left_out_and_shown(park: Database) -> None:
    site = SITE + declared('share = "0.25"', 1, 1) + declared('energy_mwh = "1"', 2, 2, "2")
    assert apply(park, site).created == ["energy certificate GEC 1", "energy certificate GEC 2"]
    both = of(park, 1, 2)
    # 1440 x 0.75 and 1440 - 1000 kWh
    assert (both.certified_kwh, both.export_kwh) == (360 + 1000, 1080 + 440)
    assert both.reductions_kg == Fraction(1520, 2)
    assert both.counts.used == both.counts.expected == 288  # nothing is missing
    shown = report(both)
    assert (shown["certified_kwh"], shown["export_kwh"]) == ("1360.000000000", "1520.000000000")
    assert shown["energy_certificates"] == [
        {"device": "A", "instrument": "GEC", "reference": "1", "certified_kwh": "360.000000000"},
        {"device": "A", "instrument": "GEC", "reference": "2", "certified_kwh": "1000.000000000"},
    ]
    table = [tuple(row) for row in shown_by_command(shown).rows]
    assert table[table.index(("net kwh", "1520.000000000")) :][1:4] == [
        ("certified kwh", "1360.000000000"),
        ("- GEC 1, A", "360.000000000"),
        ("- GEC 2, A", "1000.000000000"),
    ]
    assert {reading.quality for reading in both.inputs.meters[0].readings} == {102}
    other = of(park, 3, 4)
    assert {reading.quality for reading in other.inputs.meters[0].readings} == {100}
    assert "certified_kwh" not in report(other)


@long
def test_an_amount_over_several_periods_is_left_out_once(park: Database) -> None:
    apply(park, SITE + declared('energy_mwh = "2"', 1, 3))
    assert [of(park, number, number).certified_kwh for number in (1, 2)] == [1440, 1440]
    assert issue(park, (day(2), day(3)), number=2).certified_kwh == 1440
    # What the second day has left out is used up, whichever is issued first.
    assert of(park, 2, 2).certified_kwh == 1440
    assert of(park, 1, 1).certified_kwh == 560
    issue(park, (day(1), day(2)))
    assert of(park, 3, 3).certified_kwh == 0
    assert of(park, 3, 3).export_kwh == 1440


def test_a_period_over_new_year_leaves_out_what_there_is_once(db: Database, tmp_path: Path) -> None:
    apply(db, SITE + declared('energy_mwh = "2"', 0, 1))
    generate(db, tmp_path, "60", "60", first=0)
    with db.read() as session:
        before, after = reductions_for(session, PROJECT, day(0), day(2))
        assert (before.certified_kwh, after.certified_kwh) == (1440, 560)
        files = files_of_period(session, PROJECT, day(0), day(2))
    assert json.loads(files[1].manifest)["energy"]["certified_kwh"] == "560.000000000"


def test_more_than_was_supplied_leaves_out_all_of_it_and_no_more(park: Database) -> None:
    apply(park, SITE + declared('energy_mwh = "9000"', 1, 1) + declared('share = "1"', 1, 1, "2"))
    assert (of(park, 1, 1).export_kwh, of(park, 1, 1).reductions_kg) == (0, 0)


def test_what_is_drawn_stays_deducted_and_what_is_lost_to_an_error_is_not_certified() -> None:
    meter = meter_of("A", Role.GENERATION, [(0, "60"), (1, "-6"), (2, "60")], "kW")
    whole = Record("GEC", "1", 0, SLOT_S, share="1")
    out = Calibration("0.5", calibrated=False)
    found = compute(inputs(replace(meter, calibration=out, certificates=(whole,)), enforce=False))
    assert found.certified_kwh == found.export_kwh == 10 * Fraction("0.995")
    assert found.import_kwh == Fraction("1.005")


def test_certificates_with_time_in_common_take_together_what_there_is() -> None:
    meter = meter_of("A", Role.GENERATION, [(slot, "60") for slot in range(6)])

    def taken(*items: Record) -> list[Fraction]:
        result = compute(inputs(replace(meter, certificates=items), enforce=False))
        return list(result.meters[0].certified_kwh)

    first = Record("GEC", "1", 0, 4 * SLOT_S, energy_mwh="0.030")
    second = Record("GEC", "2", 0, 6 * SLOT_S, energy_mwh="0.020")
    # 10 kWh a slot: the first has four slots, the second needs the last two.
    assert taken(first, second) == [30, 20]
    # Half of the two slots, and then an amount of what is left of them, and of a third.
    half = Record("GO", "3", 0, 2 * SLOT_S, share="0.5")
    assert taken(half, Record("GEC", "1", 0, 3 * SLOT_S, energy_mwh="1")) == [10, 20]
    # An amount takes nothing that another one took.
    assert taken(first, Record("GEC", "2", 0, 4 * SLOT_S, energy_mwh="0.020")) == [30, 10]
    # In order of time, however they are listed: what is one's alone comes first, and the slot of both is the other's.
    early = Record("GEC", "1", SLOT_S, 4 * SLOT_S, energy_mwh="0.010")
    late = Record("GEC", "2", 3 * SLOT_S, 5 * SLOT_S, energy_mwh="0.040")
    assert taken(early, late) == [10, 20]
    assert taken(late, early) == [20, 10]
    # One of nothing takes nothing.
    assert taken(Record("GEC", "1", 0, SLOT_S, energy_mwh="0"), half) == [0, 10]


# ---------------------------------------------------------------------- from files alone


def certified_park() -> tuple[dict[str, Any], list[str]]:
    readings = [(slot, "60") for slot in range(144)]
    certificates = (
        Record("GEC", "CN-7", 0, 72 * SLOT_S, energy_mwh="0.300", before_kwh=Fraction(20)),
        Record("I-REC", "B2", 36 * SLOT_S, 144 * SLOT_S, share="0.25"),
    )
    meter = replace(meter_of("A", Role.GENERATION, readings), certificates=certificates)
    manifest, _ = files_of(meter)
    _, stated = read_manifest(canonical_text(manifest).encode(), "m")
    marked = stated_meter(stated.meters[0], meter.readings)
    return files_of(marked)[0], list(lines_of([marked]))


MANIFEST, LINES = certified_park()


def test_it_is_computed_again_from_the_files_alone() -> None:
    result = run(MANIFEST, LINES)
    assert result.valid, result.differences
    assert "what certificates leave out" in " ".join(check.name for check in result.checks)
    taken = [item["left_out_kwh"] for item in MANIFEST["meters"][0]["energy_certificates"]]
    # 300 - 20 kWh; a quarter of 108 slots of 10 kWh.
    assert taken == ["280/1", "270/1"]
    assert MANIFEST["energy"]["certified_kwh"] == "550.000000000"
    assert MANIFEST["meters"][0]["rows"] == {"used_beside_certificate": 144}


OTHER = {
    "instrument": "GO",
    "reference": "CN-8",
    "from_s": 600,
    "to_s": 71 * SLOT_S,
    "energy_mwh": "0.301",
    "share": "0.26",
    "sha256": "00" * 32,
    "before_kwh": "21/1",
    "left_out_kwh": "281/1",
    "remaining_kwh": "1/1",
}


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("key", OTHER)
def test_a_change_of_a_declaration_is_found_and_named(place: int, key: str) -> None:
    changed = copy.deepcopy(MANIFEST)
    item = changed["meters"][0]["energy_certificates"][place]
    if item[key] is None:
        item["energy_mwh"], item["share"] = item["share"], item["energy_mwh"]
    else:
        item[key] = OTHER[key]
    result = run(changed, LINES)
    name = f"meters[A].energy_certificates[{item['reference']}]"
    assert any(path.startswith(name) for path in paths(result)) or "rules" in paths(result)
    assert [check.name for check in result.checks if not check.ok]


def test_a_certificate_left_out_or_put_in_is_found() -> None:
    without = copy.deepcopy(MANIFEST)
    del without["meters"][0]["energy_certificates"][1]
    assert {"energy.certified_kwh", "carbon.issued_kg"} <= set(paths(run(without, LINES)))
    assert any(path.endswith(".quality") for path in paths(run(without, LINES)))
    twice = copy.deepcopy(MANIFEST)
    twice["meters"][0]["energy_certificates"].append(
        copy.deepcopy(twice["meters"][0]["energy_certificates"][0])
    )
    assert "rules" in paths(run(twice, LINES))
    unmarked = [line.replace(",102,", ",100,") for line in LINES]
    assert any(path.endswith(".quality") for path in paths(run(MANIFEST, unmarked)))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("share", "-0.25", "a share is from 0 to 1"),
        ("share", "1.5", "a share is from 0 to 1"),
        ("energy_mwh", "3", "an amount or a share"),
        ("to_s", 0, "its time is empty"),
        ("before_kwh", "-1/1", "left out below 0"),
        ("before_kwh", "1/1", "more was left out for it before"),
    ],
)
def test_a_certificate_that_would_mint_is_refused(key: str, value: Any, said: str) -> None:
    changed = copy.deepcopy(MANIFEST)
    changed["meters"][0]["energy_certificates"][1][key] = value
    (rules,) = [item for item in run(changed, LINES).differences if item.path == "rules"]
    assert said in rules.recomputed


def test_only_what_counts_and_supplies_is_marked() -> None:
    """What is marked counts: an impossible value that is certified elsewhere is impossible all the same."""
    certificate = Record("GEC", "1", 0, 86400, share="0.5")
    each = [reading(slot, 1, quality=quality) for slot, quality in enumerate(Quality)]
    beside = Quality.USED_BESIDE_CERTIFICATE
    counts = (Quality.USED, Quality.USED_IN_CONFLICT, beside)
    assert [item.quality for item in marked(each, [certificate], Role.EXPORT)] == [
        beside if quality in counts else quality for quality in Quality
    ]
    idle = [reading(0, 0), reading(1, -1)]
    assert list(marked(idle, [certificate], Role.EXPORT)) == idle


# ---------------------------------------------------------------------- the site file


def test_applying_it_again_changes_nothing_and_an_open_one_can_be_changed(park: Database) -> None:
    site = SITE + declared('energy_mwh = "1"', 1, 1)
    apply(park, site)
    again = apply(park, site)
    assert (again.created, again.updated) == ([], [])
    more = site.replace('mwh = "1"', 'mwh = "1.2"')
    assert apply(park, more).updated == ["energy certificate GEC 1"]
    assert of(park, 1, 1).certified_kwh == 1200
    without = apply(park)
    assert without.updated == ["energy certificate GEC 1"]
    assert without.warnings == [
        "energy certificate GEC 1: taken out, for the file does not have it any more; its energy is "
        "credited again"
    ]
    assert of(park, 1, 1).certified_kwh == 0
    with park.read() as session:
        assert session.scalar(select(func.count()).select_from(EnergyCertificate)) == 0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (declared('share = "0.5"', 1, 1, device="B"), "no [[device]] has code 'B'"),
        (declared('share = "0.5"', 2, 1), "to_day comes before from_day"),
        (declared("", 1, 1), "one of them"),
        (declared('share = "0.5"\nenergy_mwh = "1"', 1, 1), "one of them"),
        (declared('share = "1.01"', 1, 1), "share is above 0, up to 1 for all, found 1.01"),
        (declared('share = "0"', 1, 1), "share is above 0"),
        (declared("share = 0.5", 1, 1), "must stand in quotes"),
        (declared('energy_mwh = "0"', 1, 1), "energy_mwh is above 0 and below 1e9, found 0"),
        (declared('energy_mwh = "-1"', 1, 1), "energy_mwh is above 0"),
        (declared('energy_mwh = "1 MWh"', 1, 1), "plain decimal number"),
        (declared('energy = "1"', 1, 1), "unknown key 'energy'; did you mean 'energy_mwh'?"),
        (declared('share = "0.5"', 1, 1) * 2, "energy certificate GEC 1 stands twice"),
        (
            declared('share = "0.6"', 1, 3) + declared('share = "0.5"', 3, 4, "2"),
            "the shares of 'A' on 2014-01-03 are 1.1 together, more than all",
        ),
        (declared('share = "0.5"', 1, 1).replace('"GEC"', '""'), "instrument must be a text"),
    ],
)
def test_a_wrong_certificate_is_refused_with_its_line(
    sqlite_db: Database, more: str, said: str
) -> None:
    with pytest.raises(BadInput) as caught:
        apply(sqlite_db, SITE + more)
    assert said in caught.value.message
    assert "[energy_certificate]: " in caught.value.message


def test_a_meter_that_supplies_nothing_has_no_certificate(sqlite_db: Database) -> None:
    site = SITE.replace('role = "generation"', 'role = "load"')
    with pytest.raises(BadInput, match="has the role load: it supplies nothing"):
        apply(sqlite_db, site + declared('share = "0.5"', 1, 1))


# ---------------------------------------------------------------------- after an issuance


def test_one_that_issued_credits_rest_on_stays_as_it_is(park: Database) -> None:
    site = SITE + declared('energy_mwh = "1"', 1, 2)
    apply(park, site)
    issue(park, (day(1), day(2)))
    for other in (SITE, site.replace('mwh = "1"', 'mwh = "0.5"')):
        with pytest.raises(BadInput, match="GEC 1 stays as it is: what was issued from 2014-01-01"):
            apply(park, other)
    assert apply(park, site + declared('energy_mwh = "0.1"', 2, 2, "2")).created == [
        "energy certificate GEC 2"
    ]


@long
def test_one_that_is_learnt_of_after_the_issuance_is_a_correction(park: Database) -> None:
    assert issue(park, (day(1), day(2))).issued_kg == 720
    issue(park, (day(2), day(3)), number=2)
    site = SITE + declared('energy_mwh = "2"', 1, 2)
    (warning,) = apply(park, site).warnings
    assert warning == (
        "energy certificate GEC 1: credits were issued for days of it (2014-01-01 to 2014-01-02, "
        "2014-01-02 to 2014-01-03); record what was too much with truetonne reductions correct "
        "--project park-wind"
    )
    found = [(item.cause, item.effect_kg, item.owed_kg) for item in correct(park, PROJECT).found]
    # 1,440 kWh of the first day and 560 of the second, x 0.5
    assert found == [("energy_certificate", -720, 720), ("energy_certificate", -280, 280)]
    assert correct(park, PROJECT).found == []
    with pytest.raises(BadInput, match="stays as it is"):
        apply(park, SITE)
    with park.read() as session:
        manifests = [json.loads(text) for text in session.scalars(select(Correction.manifest))]
        taken = [
            table["energy_certificates"][0]["left_out_kwh"]
            for manifest in manifests
            for table in manifest["meters"]
        ]
        assert taken == ["1440/1", "560/1"]
    # The deficit of what was sold twice enters the next issuance, by name.
    third = of(park, 3, 3)
    assert third.inputs.carry_in_kg == -1000
    assert [item.cause for item in third.inputs.corrections] == ["energy_certificate"] * 2


@long
def test_what_comes_late_and_what_is_certified_are_two_corrections(
    park: Database, tmp_path: Path
) -> None:
    issue(park, (day(1), day(2)))
    apply(park, SITE + declared('share = "0.5"', 1, 1))
    row = (datetime(2014, 1, 1, 12, tzinfo=UTC).isoformat(), "0")
    assert imported(park, write_csv(tmp_path / "late.csv", [row])).late == 1
    found = [(item.cause, item.effect_kg) for item in correct(park, PROJECT).found]
    assert found == [("late_readings", -5), ("energy_certificate", Fraction(-1430, 4))]
    # Late again: half of what it takes was certified already.
    row = (datetime(2014, 1, 1, 13, tzinfo=UTC).isoformat(), "0")
    imported(park, write_csv(tmp_path / "late.csv", [row]))
    assert [item.effect_kg for item in correct(park, PROJECT).found] == [Fraction(-5, 2)]
    assert correct(park, PROJECT).found == []
