"""Certificates and late registers over the whole way: issued on chain, corrected, reconciled, and at once."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from sqlalchemy import select

from cli.reductions import write_evidence
from ledger.bundles.proven import prove_reading
from ledger.corrections import correct, submit_planned
from ledger.errors import Refused
from ledger.issuance import plan_issuance
from ledger.issuance import submit_planned as submit_issuances
from ledger.models import Correction, CorrectionRegister, CreditCancellation, Issuance, MeterReading
from ledger.readings import import_file, reductions_for
from ledger.readings.periods.evidence_files import files_of_period
from ledger.reductions.recompute import Trusted, verify_files
from ledger.sites import apply_site
from tests.ledger.test_import_counters import COUNTER
from tests.support.forms import long
from tests.support.independent_registers import energies_of
from tests.support.park import PROJECT, TRADING, Park
from tests.support.plant import SITE, anvil_like, write_csv

SHORT_ON_MARIADB = (
    "test_a_certificate_and_an_issuance_at_once_leave_no_double_claim",
    "test_importers_correctors_and_an_issuer_at_once_count_a_register_once",
)

FIRST = date(2014, 1, 1)
BEGIN = datetime(2013, 12, 31, 23, tzinfo=UTC)
"""The first midnight in Paris."""


def day(number: int) -> date:
    return FIRST + timedelta(days=number - 1)


def apply(park: Park, site: str) -> Any:
    with park.db.write() as session:
        return apply_site(session, site + TRADING, resolve_account=anvil_like)


def certificate(amount: str, first: int, last: int) -> str:
    return (
        f'\n[[energy_certificate]]\ndevice = "A"\ninstrument = "GEC"\nreference = "7"\n'
        f'from_day = "{day(first)}"\nto_day = "{day(last)}"\n{amount}\n'
    )


def issue(park: Park, first: int, last: int) -> Issuance:
    plan_issuance(park.chain, PROJECT, day(first), day(last + 1))
    submit_issuances(park.chain)
    park.mirror_final()
    return park.rows(Issuance)[-1]  # type: ignore[no-any-return]


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """Run some works at the same moment; return what each returned, or the error that it ended with."""
    barrier = threading.Barrier(len(works))
    results: list[Any] = [None] * len(works)

    def run(place: int) -> None:
        barrier.wait()
        try:
            results[place] = works[place]()
        except Exception as error:
            results[place] = error

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_a_period_with_a_certificate_goes_the_whole_way(both: Park) -> None:
    both.register()
    both.generate(FIRST, ["60", "60", "60"])
    apply(both, SITE + certificate('energy_mwh = "1"', 1, 1))
    first = issue(both, 1, 1)
    assert (first.issued_kg, str(first.export_kwh)) == (220, "440.000000000")
    assert both.differences() == []
    with both.db.read() as session:
        reading = session.scalars(select(MeterReading.id).order_by(MeterReading.start_s)).first()
        assert reading is not None
        proven = prove_reading(session, reading)
        (files,) = files_of_period(session, PROJECT, day(1), day(2))
    assert proven.reading.quality == 102
    write_evidence(files, both.folder / "first")
    folder = both.folder / "first"
    trusted = Trusted(first.manifest_hash, first.evidence_root, 220)
    assert verify_files(folder / "manifest.json", folder / "readings.csv.gz", trusted).valid

    # The second day is issued whole, and sold all the same: that is found, said, and cancelled.
    assert issue(both, 2, 2).issued_kg == 720
    more = certificate('share = "0.5"', 2, 2).replace('"7"', '"8"')
    assert (
        "credits were issued"
        in apply(both, SITE + certificate('energy_mwh = "1"', 1, 1) + more).warnings[-1]
    )
    (said,) = both.differences()
    assert (
        "GEC 8 of meter serial-A: credits were issued for its days (2014-01-02 to 2014-01-03)"
        in said
    )
    (found,) = correct(both.db, PROJECT, chain=both.chain).found
    assert (found.cause, found.effect_kg, found.cancelled_kg) == ("energy_certificate", -360, 360)
    submit_planned(both.chain)
    both.mirror_final()
    assert [row.amount_kg for row in both.rows(CreditCancellation)] == [360]
    assert both.differences() == []


@long
def test_a_certificate_and_an_issuance_at_once_leave_no_double_claim(both: Park) -> None:
    both.register()
    both.generate(FIRST, ["60"])
    other = both.again()
    site = SITE + certificate('energy_mwh = "1"', 1, 1)
    planned, applied = at_once(
        lambda: plan_issuance(both.chain, PROJECT, day(1), day(2)), lambda: apply(other, site)
    )
    assert not isinstance(applied, Exception), applied
    assert not isinstance(planned, Exception), planned
    submit_issuances(both.chain)
    both.mirror_final()
    (issuance,) = both.rows(Issuance)
    named = json.loads(issuance.manifest)["meters"][0]["energy_certificates"]
    effects = [item.effect_kg for item in correct(both.db, PROJECT).found]
    # Either the issuance knows of it, or the correction does.
    assert (issuance.issued_kg, effects) == ((220, []) if named else (720, [-500]))
    assert both.differences() == []
    other.db.close()


# ------------------------------------------------------------------ late registers, at once


def bring(park: Park, name: str, rows: list[tuple[int, str]]) -> Any:
    lines = [((BEGIN + timedelta(hours=hour)).isoformat(), text) for hour, text in rows]
    return import_file(park.db, "park", "scada", write_csv(park.folder / f"{name}.csv", lines))


@long
def test_importers_correctors_and_an_issuer_at_once_count_a_register_once(both: Park) -> None:
    apply(both, COUNTER)
    both.register()
    rows = [(0, "0"), (12, "100"), (23, "200"), (25, "220"), (47, "400"), (49, "420"), (72, "600")]
    bring(both, "first", rows)
    assert issue(both, 1, 1).issued_kg == 100
    late = [[(1, "10"), (24, "212"), (6, "45")], [(2, "30"), (24, "212"), (48, "412")]]
    others = [both.again() for _ in range(4)]
    results = at_once(
        lambda: bring(others[0], "a", late[0]),
        lambda: bring(others[1], "b", late[1]),
        lambda: correct(others[2].db, PROJECT),
        lambda: correct(both.db, PROJECT, chain=both.chain),
        lambda: plan_issuance(others[3].chain, PROJECT, day(2), day(3)),
    )
    assert [item for item in results if isinstance(item, Exception)] == []
    submit_issuances(both.chain)
    both.mirror_final()
    correct(both.db, PROJECT)
    assert correct(both.db, PROJECT).found == []
    energies = energies_of(
        [(3600 * hour, text) for hour, text in {*rows, *late[0], *late[1]}], rated_kw=Fraction(100)
    )
    for number, issuance in enumerate(both.rows(Issuance)):
        corrections = [row for row in both.rows(Correction) if row.issuance_id == issuance.id]
        effect = sum((Fraction(row.effect_kg) for row in corrections), Fraction(0))
        begins, ends = 86400 * number, 86400 * (number + 1)
        kwh = sum(
            item[3]
            for item in energies
            if item[4] == "used" and begins <= item[0] and item[1] <= ends
        )
        assert Fraction(issuance.reductions_kg) + effect == kwh / 2
    counted = [(row.register_id, row.issuance_id) for row in both.rows(CorrectionRegister)]
    assert len(counted) == len(set(counted))
    with both.db.read() as session:
        (third,) = reductions_for(session, PROJECT, day(3), day(4))
    assert third.export_kwh == 600 - 412
    assert both.differences() == []
    for other in others:
        other.db.close()


@long
def test_a_late_register_that_shows_too_much_is_cancelled_on_chain(both: Park) -> None:
    apply(both, COUNTER)
    both.register()
    bring(both, "first", [(0, "0"), (4, "480"), (24, "600"), (48, "700")])
    assert issue(both, 1, 1).issued_kg == 300
    # 100 kW: 400 kWh in an hour cannot be.
    assert bring(both, "late", [(1, "400")]).late == 1
    (found,) = correct(both.db, PROJECT, chain=both.chain).found
    assert (found.state, found.late_readings, found.cancelled_kg) == ("cancelled", 1, 200)
    submit_planned(both.chain)
    both.mirror_final()
    assert [row.amount_kg for row in both.rows(CreditCancellation)] == [200]
    assert both.differences() == []
    assert issue(both, 2, 2).issued_kg == 50
    assert both.differences() == []


@long
def test_a_period_of_which_all_is_certified_has_nothing_to_issue(park: Park) -> None:
    park.register()
    park.generate(FIRST, ["60"])
    apply(park, SITE + certificate('share = "1"', 1, 1))
    with pytest.raises(Refused, match="nothing to issue"):
        plan_issuance(park.chain, PROJECT, day(1), day(2))
