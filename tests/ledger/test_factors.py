"""Factors as data: read from files, recorded once, found by code, and used for their purpose alone."""

import json
import subprocess
import sys
import zipfile
from datetime import date
from fractions import Fraction
from pathlib import Path

import pytest
from sqlalchemy import func, select

from ledger.db import Database
from ledger.errors import BadInput, NotFound
from ledger.models import EmissionFactor, Meter, Project, Site
from ledger.readings import reductions_for
from ledger.reductions.factors import content_sha256, fuel_t
from ledger.reductions.manifest import factor_json
from ledger.reductions.records import Kind
from ledger.sites.factors import (
    bundled,
    list_factors,
    load_factor_file,
    read_factor_file,
    store_factor,
    warnings_of,
)
from tests.support.forms import long
from tests.support.plant import LHB_SITE, SITE, apply, imported, write_csv

ROOT = Path(__file__).resolve().parents[2]
ONE = """\
[common]
purpose = "crediting_cm"
unit = "t/MWh"
source = "a test"
verified = true

[[factor]]
code = "grid"
version = "1"
value = "0.5"

[[factor]]
code = "grid"
version = "2"
om = "0.4620"
bm = "0.3456"
w_om = "0.75"
w_bm = "0.25"
document = "The announcement"
document_sha256 = "00000000000000000000000000000000000000000000000000000000000000ff"
data_year = 2023
gas_set = "CO2"
boundary = "the grid"
published_at = 2025-12-31
valid_from = "2023-01-01"
valid_to = "2023-12-31"
"""


def import_set(db: Database, name: str, text: str | None = None) -> int:
    """Record a set and return how many factors are new."""
    specs = load_factor_file(name).factors if text is None else read_factor_file(text, name)
    with db.write() as session:
        return sum(store_factor(session, spec, name) for spec in specs)


def test_a_file_of_factors_with_all_that_was_published(db: Database) -> None:
    assert import_set(db, "f.toml", ONE) == 2
    assert import_set(db, "f.toml", ONE) == 0
    with db.read() as session:
        first, second = list_factors(session, "grid")
    assert (first["value"], first["om"], first["published_at"]) == ("0.5", None, None)
    assert second["value"] == "0.4329"  # no value is published: the margins give it
    assert (second["om"], second["w_bm"]) == ("0.4620", "0.25")
    assert (second["published_at"], second["valid_to"]) == ("2025-12-31", "2023-12-31")
    assert (second["data_year"], second["gas_set"], second["boundary"]) == (
        2023,
        "CO2",
        "the grid",
    )
    assert second["document_sha256"].endswith("ff") and len(second["sha256"]) == 64
    with db.read() as session, pytest.raises(NotFound, match="factors list"):
        list_factors(session, "nowhere")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('value = "0.5"', 'value = "0.50"'),
        ('bm = "0.3456"', 'bm = "0.3457"'),
        ('gas_set = "CO2"', 'gas_set = "CO2e"'),
        ('valid_to = "2023-12-31"', 'valid_to = "2024-12-31"'),
        ('boundary = "the grid"\n', ""),
    ],
)
def test_the_same_version_with_other_content_is_refused_in_one_line(
    sqlite_db: Database, old: str, new: str
) -> None:
    import_set(sqlite_db, "f.toml", ONE)
    with pytest.raises(BadInput, match="give the new content a new version") as caught:
        import_set(sqlite_db, "f.toml", ONE.replace(old, new))
    assert caught.value.code == "factor-changed"
    assert "\n" not in caught.value.message
    with sqlite_db.read() as session:
        assert session.scalar(select(func.count()).select_from(EmissionFactor)) == 2


def test_the_hash_of_a_factor_of_the_first_release_has_not_changed(sqlite_db: Database) -> None:
    apply(sqlite_db)
    with sqlite_db.read() as session:
        row = session.scalars(select(EmissionFactor).where(EmissionFactor.code == "cm")).one()
    # Of the eight fields that the first release knew, as it hashed them.
    assert row.content_sha256 == (
        "eef950c794679bb7a18ac64325fe271d089b6dced7ae6788731731f7a4f43e3d"
    )


def test_the_hash_of_a_factor_is_that_of_its_json_in_utf_8() -> None:
    """By ``sha256sum``, of the text by hand: sorted, no blanks, nothing escaped, what is absent left out."""
    fields = {
        "version": "1",
        "code": "grid",
        "purpose": "inventory_location",
        "value": "0.5703",
        "unit": "t/MWh",
        "source": "生态环境部, 2023 – Zürich",
        "data_year": None,
        "verified": True,
        "valid_from": date(2023, 1, 1),
        "valid_to": None,
        "sha256": "0" * 64,
    }
    assert content_sha256(fields) == (
        "d5896bd268b0c2bc94dac7cf0143a4d1d75aa41dc1557d1fe1dcd42d5ad5c3e8"
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('w_om = "0.75"', 'w_om = "0.7"', r"f\.toml: line 17, \[factor\]: .*sum to 1"),
        ('w_om = "0.75"\n', "", r"'value' is missing; or give om, bm"),
        ('code = "grid"\nversion = "1"', 'code = "grid"\nversion = "2"', "stands twice"),
        ('value = "0.5"', "value = 0.5", "must stand in quotes"),
        ('value = "0.5"', 'value = "0.5"\noxidation_share = "1"', "is for a factor of fuel"),
        ("valid_to", "valid_until", "unknown key 'valid_until'; did you mean 'valid_to'?"),
        ("2023-01-01", "2024-01-01", "valid_to comes before valid_from"),
        ("00000000ff", "FF", "64 digits"),
        ('value = "0.5"', 'value = "-0.5"', "must not be less than 0"),
        ('"crediting_cm"', '"fuel"', "unknown unit 't/MWh'"),
        ('unit = "t/MWh"\n', "", "'unit' is missing"),
    ],
)
def test_a_wrong_file_is_one_line_with_file_and_line(old: str, new: str, said: str) -> None:
    assert old in ONE
    with pytest.raises(BadInput, match=said) as caught:
        read_factor_file(ONE.replace(old, new), "f.toml")
    assert caught.value.exit_code == 2
    assert "\n" not in caught.value.message


def test_a_fuel_needs_its_net_calorific_value() -> None:
    fuel = ONE.replace('"crediting_cm"', '"fuel"').replace('"t/MWh"', '"t C/TJ"')
    with pytest.raises(BadInput, match="ncv_gj_per_t is missing"):
        read_factor_file(fuel.partition('[[factor]]\ncode = "grid"\nversion = "2"')[0], "f.toml")


def test_the_hash_of_a_factor_follows_from_what_a_manifest_says_of_it() -> None:
    for name in bundled():
        for spec in load_factor_file(name).factors:
            quoted = json.loads(json.dumps(factor_json(spec)))
            assert content_sha256(quoted) == spec.sha256 == quoted["sha256"]
            assert content_sha256(quoted | {"value": "1.5"}) != spec.sha256


# ---------------------------------------------------------------- the sets that come with it


def test_the_bundled_sets_can_be_imported(db: Database) -> None:
    assert bundled() == ["cdm-asb0038-2018", "china-provinces-2023", "ipcc-2006-fuels"]
    assert [import_set(db, name) for name in bundled()] == [2, 30, 9]
    assert [import_set(db, name) for name in bundled()] == [0, 0, 0]


def test_chinas_provinces_are_for_the_inventory_and_say_where_they_are_from() -> None:
    specs = {spec.code: spec for spec in load_factor_file("china-provinces-2023").factors}
    assert len(specs) == 30
    assert {spec.purpose for spec in specs.values()} == {"inventory_location"}
    beijing, yunnan = specs["china-average-CN-BJ"], specs["china-average-CN-YN"]
    assert (beijing.value, beijing.unit, yunnan.value) == ("555.4", "g/kWh", "133.3")
    assert (beijing.data_year, beijing.gas_set) == (2023, "CO2")
    assert beijing.published_at == date(2025, 12, 31)
    assert beijing.document_sha256 is not None
    assert not beijing.verified  # not compared with the announcement
    assert "2025 No. 47" in beijing.source and "MIT" in beijing.source
    assert "china-average-CN-XZ" not in specs  # the announcement leaves Tibet out


def test_the_ipccs_diesel_by_hand() -> None:
    specs = {spec.code: spec for spec in load_factor_file("ipcc-2006-fuels").factors}
    diesel = specs["ipcc-diesel"]
    # One tonne: 43.0 GJ x 74,100 kg/TJ = 3.1863 t.
    assert fuel_t(Fraction(1000), Kind.FUEL_MASS, diesel) == Fraction("3.1863")
    assert not diesel.verified
    assert "tables 1.2 and 1.4" in diesel.source


def test_asb0038_tells_of_the_value_that_does_not_recompute() -> None:
    wind, later = load_factor_file("cdm-asb0038-2018").factors
    assert warnings_of(wind) == []
    (warning,) = warnings_of(later)
    assert "is 0.3747, published is 0.3748; the published value is used" in warning
    assert (wind.value, later.value) == ("0.4329", "0.3748")


@long
def test_the_sets_are_in_the_wheel(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, text=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {f"ledger/sites/factor_sets/{name}.toml" for name in bundled()} <= names


# ---------------------------------------------------------------- in site files


BARE = SITE.partition("[[factor]]")[0] + "[project]" + SITE.partition("[project]")[2]
"""The small plant without its factors."""


def test_a_site_file_names_a_recorded_factor_without_repeating_it(db: Database) -> None:
    import_set(db, "cdm-asb0038-2018")
    import_set(db, "china-provinces-2023")
    text = BARE.replace('factor = "cm"', 'factor = "CDM-ASB0038-CM-wind-solar"')
    text = text.replace('"grid-average"', '"china-average-CN-YN"')
    changes = apply(db, text)
    assert changes.warnings == ["factor china-average-CN-YN 2023 is marked unverified"]
    with db.read() as session:
        project, site = session.scalars(select(Project)).one(), session.scalars(select(Site)).one()
        assert session.get_one(EmissionFactor, project.factor_id).value == "0.4329"
        assert session.get_one(EmissionFactor, site.inventory_factor_id).value == "133.3"


def test_a_factor_that_is_not_recorded_is_refused_with_what_to_do(sqlite_db: Database) -> None:
    with pytest.raises(BadInput, match="truetonne factors import") as caught:
        apply(sqlite_db, BARE)
    assert caught.value.code == "no-such-factor"


def test_the_bundled_example_and_the_site_of_the_same_code_live_beside_each_other(
    sqlite_db: Database,
) -> None:
    import_set(sqlite_db, "cdm-asb0038-2018")
    apply(sqlite_db, LHB_SITE)  # names its own version
    text = BARE.replace('factor = "cm"', 'factor = "CDM-ASB0038-CM-wind-solar"')
    text = text.replace('inventory_factor = "grid-average"\n', "")
    with pytest.raises(BadInput, match=r"has versions 2018-v01\.0, 2018; write factor_version"):
        apply(sqlite_db, text)
    apply(
        sqlite_db,
        text.replace('program = "', 'factor_version = "2018-v01.0"\nprogram = "'),
    )


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        ("432.9", "kg/kWh", "432.9 kg/kWh is 432.9 t/MWh, more than any grid emits"),
        ("2001", "g/kWh", "2001 g/kWh is 2.001 t/MWh, more than"),
        ("0.4329", "g/kWh", "0.4329 g/kWh is 0.0004329 t/MWh, less than any grid emits"),
        ("0.009", "t/MWh", "0.009 t/MWh is 0.009 t/MWh, less than"),
        ("0.01", "t/MWh", None),
        ("2", "kg/kWh", None),
        ("2000", "kg/MWh", None),
        ("954", "lb/MWh", None),
    ],
)
def test_a_crediting_factor_of_another_size_than_a_grids_is_a_warning(
    sqlite_db: Database, value: str, unit: str, said: str | None
) -> None:
    old = 'value = "0.5"\nunit = "t/MWh"'
    assert old in SITE
    warnings = apply(sqlite_db, SITE.replace(old, f'value = "{value}"\nunit = "{unit}"')).warnings
    if said is None:
        assert warnings == []
    else:
        (warning,) = warnings
        assert warning.startswith(f"factor cm 1: {said}")
        assert warning.endswith("check the unit: g/kWh against kg/kWh")


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ("74.1 t CO2/TJ 43.0 0.84", []),
        ("20.2 kg C/GJ 43.0 0.84", []),
        ("0 t CO2/TJ 120 0.00009", []),  # hydrogen
        ("260000 kg CO2/TJ 2.47 0.0013", []),  # blast furnace gas
        ("74100 t CO2/TJ 43.0 0.84", ["74100 t CO2/TJ is more than any fuel emits"]),
        ("74.1 kg CO2/TJ 43.0 0.84", ["74.1 kg CO2/TJ is less than any fuel emits"]),
        ("74.1 t CO2/TJ 43000 0.84", ["ncv_gj_per_t 43000 is more than any fuel has"]),
        ("74.1 t CO2/TJ 0.043 840", ["ncv_gj_per_t 0.043 is less", "density_kg_per_l 840 is"]),
    ],
)
def test_numbers_of_another_size_than_a_fuels_are_a_warning(numbers: str, said: list[str]) -> None:
    """A thousandth of what it emits was deducted, and nobody was told; of a grid's factor it was said."""
    value, *unit, ncv, density = numbers.split()
    unit_text = " ".join(unit)
    (spec,) = read_factor_file(
        '[[factor]]\ncode = "f"\nversion = "1"\npurpose = "fuel"\nsource = "x"\nverified = true\n'
        f'value = "{value}"\nunit = "{unit_text}"\nncv_gj_per_t = "{ncv}"\ndensity_kg_per_l = "{density}"\n',
        "f.toml",
    )
    warnings = warnings_of(spec)
    assert len(warnings) == len(said)
    for warning, start in zip(warnings, said, strict=True):
        assert warning.startswith(f"factor f 1: {start}") and "check the unit" in warning


@pytest.mark.parametrize(
    ("value", "unit", "warned"),
    [("0", "t/MWh", False), ("8", "g/kWh", False), ("2", "t/MWh", False), ("500", "t/MWh", True)],
)
def test_a_factor_of_the_inventory_may_be_small_and_not_larger_than_a_grids(
    value: str, unit: str, warned: bool
) -> None:
    (spec,) = read_factor_file(
        '[[factor]]\ncode = "f"\nversion = "1"\npurpose = "inventory_market"\nsource = "x"\nverified = true\n'
        f'value = "{value}"\nunit = "{unit}"\n',
        "f.toml",
    )
    assert [text.split(",")[1] for text in warnings_of(spec)] == (
        [" more than any grid emits; check the unit: g/kWh against kg/kWh"] if warned else []
    )


@pytest.mark.parametrize(("value", "said"), [("0", "must be more than 0"), ("-1", "less than 0")])
def test_a_crediting_factor_of_nothing_is_refused(
    sqlite_db: Database, value: str, said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        apply(sqlite_db, SITE.replace('value = "0.5"', f'value = "{value}"'))


def test_a_province_cannot_mint(sqlite_db: Database, tmp_path: Path) -> None:
    from ledger.errors import Refused

    import_set(sqlite_db, "china-provinces-2023")
    text = SITE.replace('factor = "cm"', 'factor = "china-average-CN-YN"')
    (warning, _) = sorted(apply(sqlite_db, text).warnings, reverse=True)
    assert "cannot mint" in warning
    imported(sqlite_db, write_csv(tmp_path / "a.csv", [("2014-06-01T00:00:00+00:00", "60")]))
    with sqlite_db.read() as session, pytest.raises(Refused, match="cannot mint"):
        reductions_for(session, "park-wind", date(2014, 6, 1), date(2014, 6, 2))


def test_an_unknown_methodology_is_a_warning_of_the_site_and_a_refusal_of_reductions(
    sqlite_db: Database, tmp_path: Path
) -> None:
    from ledger.errors import Refused

    (warning,) = apply(sqlite_db, SITE.replace('"CCER-01-002"', '"AMS-II.C"')).warnings
    assert warning.startswith("project park-wind: methodology AMS-II.C V01 is not known here")
    imported(sqlite_db, write_csv(tmp_path / "a.csv", [("2014-06-01T00:00:00+00:00", "60")]))
    with sqlite_db.read() as session, pytest.raises(Refused, match="known are CCER-01-001/V01"):
        reductions_for(session, "park-wind", date(2014, 6, 1), date(2014, 6, 2))


KEYS = [
    ('role = "generation"', 'role = "generation"\nfuel_factor = "x"', "is for a meter of the role"),
    (
        'role = "generation"',
        'role = "generation"\nmeasured_error = "0.8"',
        "accuracy_class is miss",
    ),
    (
        'role = "generation"',
        'role = "generation"\naccuracy_class = "0.5"\nmeasured_error = 0.8',
        "must stand in quotes",
    ),
    ('program = "internal"', 'program = "internal"\nleakage_share = "1.5"', "from 0 to 1"),
    ('program = "internal"', 'program = "internal"\nuncertainty_share = "-1"', "from 0 to 1"),
    ('role = "generation"', 'role = "fuel"\ndensity_kg_per_l = "0"', "must be more than 0"),
    ('inventory_factor = "grid', 'market_factor = "grid', "purpose inventory_market"),
    ('kind = "power"\nunit = "kW"', 'kind = "fuel"\nunit = "kW"', "unknown unit 'kW' for fuel"),
    ('kind = "power"\nunit = "kW"', 'kind = "fuel"\nunit = "l"', "write L"),
    ('kind = "power"', 'kind = "fuels"', "did you mean 'fuel'?"),
]


@pytest.mark.parametrize(("old", "new", "said"), KEYS)
def test_wrong_keys_are_one_line(sqlite_db: Database, old: str, new: str, said: str) -> None:
    assert SITE.count(old) == 1
    with pytest.raises(BadInput) as caught:
        apply(sqlite_db, SITE.replace(old, new))
    assert said in caught.value.message


def test_a_fuel_has_a_factor_with_purpose_fuel(sqlite_db: Database) -> None:
    text = SITE.replace('role = "generation"', 'role = "fuel"\nfuel_factor = "cm"')
    with pytest.raises(BadInput, match="name a factor with purpose fuel"):
        apply(sqlite_db, text.replace('kind = "power"\nunit = "kW"', 'kind = "fuel"\nunit = "L"'))


def test_what_a_site_says_of_errors_and_shares_reaches_the_arithmetic(
    db: Database, tmp_path: Path
) -> None:
    text = SITE.replace(
        'role = "generation"',
        'role = "generation"\naccuracy_class = "0.5"\nmeasured_error = "-0.8"',
    ).replace(
        'program = "internal"',
        'program = "internal"\nleakage_share = "0.01"\nuncertainty_share = "0.02"',
    )
    apply(db, text)
    imported(db, write_csv(tmp_path / "a.csv", [("2014-06-01T00:00:00+00:00", "60")]))
    with db.read() as session:
        (found,) = reductions_for(session, "park-wind", date(2014, 6, 1), date(2014, 6, 2))
        assert session.scalars(select(Meter.measured_error)).one() == "-0.8"
    assert found.export_kwh == Fraction("9.92")
    assert found.reductions_kg == Fraction("9.92") / 2 * Fraction("0.99") * Fraction("0.98")
