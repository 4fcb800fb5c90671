"""Issuances with all that a methodology can deduct; and those that the first release made."""

import json
from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from sqlalchemy import update

from ledger.errors import Refused
from ledger.issuance import plan_issuance, planning, submit_planned
from ledger.models import EmissionFactor, Issuance, Project
from ledger.models.sites import FactorPurpose
from ledger.readings import import_file
from ledger.reductions import manifest as manifests
from ledger.sites import apply_site
from tests.ledger.test_inventory import BATTERY, DIESEL, FUEL, LOAD
from tests.support.forms import long
from tests.support.park import PROJECT, Park
from tests.support.plant import SITE, write_csv

SHORT_ON_MARIADB = ("test_an_issuance_with_fuel_shares_load_and_storage_recomputes",)

FIRST, SECOND = date(2014, 1, 1), date(2014, 1, 2)
SHARES = SITE.replace(
    'program = "internal"',
    'program = "internal"\nleakage_share = "0.01234567"\nuncertainty_share = "0.02"',
)


def settled(park: Park) -> list[str]:
    """Send what is planned, mirror it to its end, and return what the reconciliation finds."""
    submit_planned(park.chain, PROJECT)
    park.mirror_final()
    return park.differences()


def bring(park: Park, source: str, value: str) -> None:
    rows = [("2014-01-01T00:00:00+01:00", value)]
    import_file(park.db, "park", source, write_csv(park.folder / f"{source}.csv", rows))


def test_an_issuance_with_fuel_shares_load_and_storage_recomputes(both: Park) -> None:
    both.register()
    with both.db.write() as session:
        apply_site(session, SHARES + DIESEL + FUEL + LOAD + BATTERY)
    both.generate(FIRST, ["60"])
    for source, value in (("GEN", "10"), ("LOAD", "7"), ("BAT", "-3")):
        bring(both, source, value)
    (planned,) = plan_issuance(both.chain, PROJECT, FIRST, SECOND)
    baseline = Fraction(1440, 2)
    before = baseline * Fraction("0.98765433") - Fraction("26.76492")
    assert planned.reduction.reductions_kg == before * Fraction("0.98")
    assert settled(both) == []
    (row,) = both.rows(Issuance)
    assert before / 50 == Fraction("13.686923952")
    assert row.uncertainty_t == Decimal("0.013686923")  # tonnes, cut to nine decimals
    assert row.leakage_t == Decimal("0.008888882")  # of 8.8888824 kg
    manifest = json.loads(row.manifest)
    assert manifest["format"] == "truetonne-manifest/3"
    assert [item["role"] for item in manifest["meters"]] == [
        "generation",
        "storage",
        "fuel",
        "load",
    ]
    assert manifest["information"]["storage"]["charged_kwh"] == "3.000000000"
    assert row.leaves == 144 + 3
    # A site file that says something else since then moves nothing that was issued.
    with both.db.write() as session:
        apply_site(session, SITE.replace('"CCER-01-002"', '"CCER-01-001"'))
    assert both.differences() == []


@long
def test_an_issuance_of_the_first_release_still_reconciles(
    park: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    park.register()
    park.generate(FIRST, ["60"])
    build = manifests.build
    monkeypatch.setattr(planning, "build", lambda found: build(found, manifests.FORMAT_1))
    plan_issuance(park.chain, PROJECT, FIRST, SECOND)
    monkeypatch.undo()
    with park.db.write() as session:
        session.execute(update(Issuance).values(uncertainty_t=None))
    assert settled(park) == []
    (row,) = park.rows(Issuance)
    assert json.loads(row.manifest)["format"] == "truetonne-manifest/1"
    # A load that joins the project later, and shares that it declares later, are not of that time.
    with park.db.write() as session:
        apply_site(session, SHARES + LOAD)
    bring(park, "LOAD", "7")
    assert park.differences() == []
    # The carry goes on from a manifest of the first format to one of the second.
    park.generate(SECOND, ["60"])
    (planned,) = plan_issuance(park.chain, PROJECT, SECOND, date(2014, 1, 3))
    assert planned.reduction.inputs.carry_in_kg == Fraction(row.carry_out_kg)


def test_a_factor_of_the_wrong_purpose_issues_nothing(park: Park) -> None:
    park.register()
    park.generate(FIRST, ["60"])
    with park.db.write() as session:
        factor = session.query(EmissionFactor).filter_by(code="grid-average").one()
        assert factor.purpose is FactorPurpose.INVENTORY_LOCATION
        session.execute(update(Project).values(factor_id=factor.id))
    with pytest.raises(Refused, match="cannot mint") as caught:
        plan_issuance(park.chain, PROJECT, FIRST, SECOND)
    assert caught.value.code == "wrong-purpose"
    assert park.rows(Issuance) == []
