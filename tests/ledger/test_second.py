"""The ledger's arithmetic against a second implementation, on random parks."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.reductions import (
    Calibration,
    CalibrationSpan,
    Factor,
    Kind,
    Meter,
    Purpose,
    Quality,
    Reading,
    Reduction,
    Role,
    compute,
)
from ledger.reductions import manifest as manifests
from ledger.reductions.certificates import left_out_before
from ledger.reductions.records import EnergyCertificate
from tests.ledger.test_reductions import FACTOR, inputs
from tests.support import second
from tests.support.forms import long

SLOTS = 24
LENGTH_S = 3600
UNUSABLE = [
    Quality.MISSING,
    Quality.OUTLIER_ABOVE,
    Quality.SUPERSEDED_IN_CONFLICT,
    Quality.SUPERSEDED_SAME_VALUE,
]


def written(least: int, most: int, places: int) -> st.SearchStrategy[str]:
    """Return decimal texts of so many places, between two numbers."""

    def text(number: int) -> str:
        digits = f"{abs(number):0{places + 1}d}"
        return f"{'-' * (number < 0)}{digits[:-places]}.{digits[-places:]}"

    return st.integers(least * 10**places, most * 10**places).map(text)


decimals = written(-(10**5), 10**6, 6)
litres = written(-10, 100, 3)
amounts = written(1, 60, 4)
shares = written(0, 1, 4)
above_nothing = shares.filter(lambda share: share != "0.0000")
"""What a crediting factor, and the share of a fuel that is burnt, has to be."""
hours = st.integers(0, SLOTS)
edges = st.none() | st.integers(0, SLOTS * LENGTH_S)


@st.composite
def certificates(draw: st.DrawFn) -> list[tuple[int, int, str | None, str | None]]:
    """Up to three, with time in common or not, in the order in which the ledger has them."""
    found = []
    for _ in range(draw(st.sampled_from([0, 0, 1, 2, 3]))):
        begins, ends = sorted(draw(st.tuples(hours, hours).filter(lambda pair: pair[0] != pair[1])))
        amount, share = draw(written(0, 300, 3)), draw(shares)
        mine = (amount, None) if draw(st.booleans()) else (None, share)
        found.append((begins * LENGTH_S, ends * LENGTH_S, *mine))
    return sorted(found, key=lambda item: item[0])


@st.composite
def plain_meters(draw: st.DrawFn, role: str) -> second.Plain:
    fuel = role == "fuel"
    kind = draw(st.sampled_from(["fuel_mass", "fuel_volume"] if fuel else ["power", "energy"]))
    slots = draw(st.sets(st.integers(0, SLOTS - 1), min_size=1, max_size=4))
    texts = litres if fuel else decimals
    usable = st.sampled_from([True, True, True, False])
    readings = [
        (slot * LENGTH_S, (slot + 1) * LENGTH_S, draw(texts), draw(usable))
        for slot in sorted(slots)
    ]
    found = st.none() | st.sampled_from(["-0.8", "0.3", "1.5", "0", "0.5", "-2"])
    borders = sorted(draw(st.sets(st.integers(0, SLOTS * LENGTH_S), max_size=6)))
    spans = [(begins, ends, draw(found)) for begins, ends in pairwise(borders)]
    spans = [span for span in spans if draw(st.booleans())]
    several = len(spans) > 0 and draw(st.booleans())
    return second.Plain(
        role=role,
        kind=kind,
        readings=readings,
        class_percent=draw(st.sampled_from(["0.2", "0.5", "1", "2"])),
        calibrated=several or draw(st.booleans()),
        spans=list(spans) if several else [],
        begins=None if several else draw(edges),
        ends=None if several else draw(edges),
        found_percent=None if several else draw(found),
        ncv=draw(amounts),
        carbon=draw(amounts),
        carbon_unit=draw(st.sampled_from(["t CO2/TJ", "kg CO2/TJ", "t C/TJ", "kg C/GJ"])),
        oxidised=draw(st.none() | above_nothing),
        density=draw(amounts),
        certificates=draw(certificates()) if role in ("generation", "export") else [],
    )


@st.composite
def parks(draw: st.DrawFn) -> list[second.Plain]:
    supply = draw(st.sampled_from(["generation", "export"]))
    roles = [supply] * draw(st.integers(1, 2))
    others = [role for role in ("import", "load", "fuel", "storage") if draw(st.booleans())]
    if supply == "export" and "storage" in others:
        others.append("import")
    return [draw(plain_meters(role)) for role in (*roles, *others)]


def recorded(plain: second.Plain, number: int) -> Meter:
    """Return a meter of the ledger that says the same."""
    kind = Kind[plain.kind.upper()]
    readings = []
    for start, end, text, usable in plain.readings:
        digits, _, part = text.partition(".")
        quality = Quality.USED if usable else UNUSABLE[start // LENGTH_S % len(UNUSABLE)]
        readings.append(Reading(start, end, kind, quality, int(digits + part), len(part), text))
    fuel = Factor(
        code="fuel",
        version="1",
        purpose=Purpose.FUEL,
        value=plain.carbon,
        unit=plain.carbon_unit,
        source="a test",
        verified=True,
        sha256="11" * 32,
        ncv_gj_per_t=plain.ncv,
        oxidation_share=plain.oxidised,
    )
    return Meter(
        serial=f"m{number}",
        device_code=f"d{number}",
        role=Role(plain.role),
        kind=kind,
        unit="as it is",
        interval_s=LENGTH_S,
        rated_kw=None,
        calibration=Calibration(
            plain.class_percent,
            plain.calibrated,
            plain.begins,
            plain.ends,
            plain.found_percent,
            tuple(CalibrationSpan(*span) for span in plain.spans),
        ),
        readings=tuple(readings),
        fuel=fuel if plain.role == "fuel" else None,
        density_kg_per_l=plain.density,
        certificates=tuple(
            EnergyCertificate("GEC", str(place), begins, ends, amount, share)
            for place, (begins, ends, amount, share) in enumerate(plain.certificates)
        ),
    )


unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@unhurried
@given(
    parks(),
    written(1, 2000, 6),
    st.sampled_from(sorted(second.KG_PER_KWH)),
    shares,
    shares,
    st.fractions(min_value=-50, max_value=Fraction(999, 1000), max_denominator=10**6),
)
def test_random_parks_come_to_the_same_in_both_implementations(
    park: list[second.Plain],
    factor: str,
    unit: str,
    leakage: str,
    uncertainty: str,
    carry: Fraction,
) -> None:
    expected = second.compute(park, factor, unit, carry, leakage, uncertainty)
    found = compute(
        inputs(
            *(recorded(plain, number) for number, plain in enumerate(park)),
            factor=replace(FACTOR, value=factor, unit=unit),
            leakage_share=leakage,
            uncertainty_share=uncertainty,
            carry_in_kg=carry,
            enforce=False,
        )
    )
    assert (found.export_kwh, found.import_kwh) == (expected.export, expected.imported)
    assert found.certified_kwh == expected.certified
    assert found.baseline_t == expected.baseline
    assert found.project_t == expected.fuel_t
    assert found.leakage_t == expected.leakage
    assert found.uncertainty_t == expected.uncertainty
    assert found.reductions_kg == expected.reductions_kg
    assert (found.issued_kg, found.carry_out_kg) == (expected.issued, expected.carry)
    assert sum((item.charged_kwh for item in found.meters), Fraction(0)) == expected.charged
    assert sum((item.discharged_kwh for item in found.meters), Fraction(0)) == expected.discharged
    roles = {plain.role for plain in park}
    if {"generation", "load"} <= roles:
        assert found.self_consumption is not None
        assert found.self_consumption.self_kwh == expected.self_used
        assert found.self_consumption.export_kwh == sum(expected.pv.values()) - expected.self_used
    else:
        assert found.self_consumption is None
    # The sum over the meters is the whole, and the manifest can be written of any of it.
    assert sum((item.export_kwh for item in found.meters), Fraction(0)) == found.export_kwh
    manifests.canonical_text(manifests.build(found))


@long
@unhurried
@given(
    st.lists(parks(), min_size=2, max_size=4),
    above_nothing,
)
def test_carries_chain_and_nothing_is_lost_or_made(
    periods: list[list[second.Plain]], factor: str
) -> None:
    results = second.chain(periods, factor, "t/MWh")
    carry, issued, total = Fraction(0), 0, Fraction(0)
    for park, expected in zip(periods, results, strict=True):
        meters = [recorded(plain, number) for number, plain in enumerate(park)]
        found = compute(
            inputs(
                *meters,
                factor=replace(FACTOR, value=factor),
                carry_in_kg=carry,
                enforce=False,
            )
        )
        assert (found.issued_kg, found.carry_out_kg) == (expected.issued, expected.carry)
        carry, issued = found.carry_out_kg, issued + found.issued_kg
        total += found.reductions_kg
        assert carry < 1
    assert issued + carry == total


@unhurried
@given(parks(), st.integers(1, SLOTS - 1))
def test_what_is_certified_is_the_same_in_one_period_and_in_two(
    park: list[second.Plain], cut: int
) -> None:
    meters = [recorded(plain, number) for number, plain in enumerate(park)]
    whole = compute(inputs(*meters, enforce=False))
    halves: list[Reduction] = []
    for first, last in ((0, cut * LENGTH_S), (cut * LENGTH_S, SLOTS * LENGTH_S)):
        mine = [
            replace(
                meter,
                readings=tuple(item for item in meter.readings if first <= item.start_s < last),
                certificates=tuple(
                    item for item in meter.certificates if item.from_s < last and first < item.to_s
                ),
            )
            for meter in meters
        ]
        halves.append(compute(left_out_before(inputs(*mine, enforce=False), halves)))
    assert sum(half.certified_kwh for half in halves) == whole.certified_kwh
    assert sum(half.export_kwh for half in halves) == whole.export_kwh


def test_the_second_implementation_shares_no_code() -> None:
    import inspect

    assert "ledger" not in inspect.getsource(second).replace("the ledger", "")
