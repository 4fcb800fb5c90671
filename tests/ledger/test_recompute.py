"""``reductions verify``: what follows from two files, and that no change of either passes."""

import copy
import gzip
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ledger.errors import BadInput
from ledger.proofs.sums import recompute
from ledger.proofs.verifier import ProofError
from ledger.reductions import Calibration, CalibrationSpan, Kind, Meter, Reading, Role, compute
from ledger.reductions.judging import judge
from ledger.reductions.manifest import build, canonical_text, manifest_hash
from ledger.reductions.manifest_file import read_manifest
from ledger.reductions.numbers import UNITS, parse_value
from ledger.reductions.quality import Limits, judge_slot
from ledger.reductions.readings_file import HEADER, lines_of, pack, parse, read
from ledger.reductions.recompute import (
    ABSENT,
    Difference,
    Trusted,
    Verification,
    differences_of,
    verify,
    verify_files,
)
from ledger.reductions.records import CarriedCorrection, Quality
from ledger.reductions.registers import Change, Point, Rules, energy_of, intervals
from ledger.reductions.zones import TZDATA_VERSION
from tests.ledger.test_reductions import FACTOR, inputs
from tests.support.forms import few, long, rest, times

DAY_S = 86_400
SLOT_S = 600
CALIBRATED = Calibration()


def meter_of(
    serial: str,
    role: Role,
    texts: list[tuple[int, str]],
    unit: str = "kW",
    calibration: Calibration = CALIBRATED,
) -> Meter:
    """Return a meter whose readings are judged as an import judges them."""
    limits = Limits(Fraction(100), Kind.POWER, SLOT_S)
    readings = []
    for slot in sorted({slot for slot, _ in texts}):
        rows = [
            (text, parse_value(text, UNITS[Kind.POWER][unit]) if text else None)
            for text in sorted(text for number, text in texts if number == slot)
        ]
        qualities, _ = judge_slot(rows, role, limits)
        for (text, value), quality in zip(rows, qualities, strict=True):
            digits, scale = value or (0, 0)
            start_s = slot * SLOT_S
            readings.append(
                Reading(start_s, start_s + SLOT_S, Kind.POWER, quality, digits, scale, text)
            )
    return Meter(
        serial, f"d-{serial}", role, Kind.POWER, unit, SLOT_S, "100", calibration, tuple(readings)
    )


def small_park() -> tuple[Meter, ...]:
    """A turbine with every quality, and an import meter in watts that is out of calibration."""
    turbine: list[tuple[int, str]] = [(slot, "60") for slot in range(140)]
    turbine += [
        (0, "61.5"),
        (1, "60.0"),
        (2, ""),
        (140, ""),
        (141, "121"),
        (142, "-21"),
        (143, "-3"),
    ]
    drawn = [(slot, "6000") for slot in range(30)]
    return (
        meter_of("A, east", Role.GENERATION, turbine),
        meter_of("B", Role.IMPORT, drawn, "W", Calibration("0.5", True, 0, 6 * SLOT_S)),
    )


def factor() -> Any:
    content = {
        "code": "cm",
        "version": "1",
        "purpose": "crediting_cm",
        "value": "0.4329",
        "unit": "t/MWh",
        "source": "a test",
        "data_year": None,
        "verified": True,
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return replace(FACTOR, sha256=hashlib.sha256(text.encode()).hexdigest())


def files_of(*meters: Meter, **changes: Any) -> tuple[dict[str, Any], list[str]]:
    reduction = compute(
        inputs(*meters, **{"factor": factor(), "carry_in_kg": Fraction(1, 3), **changes})
    )
    return build(reduction), list(lines_of(meters))


MANIFEST, LINES = files_of(*small_park())


def run(manifest: dict[str, Any], lines: list[str], **trusted: Any) -> Verification:
    data = canonical_text(manifest).encode()
    plain, stated = read_manifest(data, "m")
    return verify(data, plain, stated, judge(stated, parse(lines, "r")), Trusted(**trusted))


def paths(result: Verification) -> list[str]:
    return [difference.path for difference in result.differences]


SEVERAL = Calibration(
    "0.5",
    spans=(
        CalibrationSpan(0, 6 * SLOT_S, None, "ab" * 32),
        CalibrationSpan(10 * SLOT_S, None, "1.5"),
    ),
)


def test_several_calibrations_stand_in_the_manifest_and_are_computed_again() -> None:
    drawn = [(slot, "6000") for slot in range(30)]
    turbine = [(slot, "60") for slot in range(144)]
    manifest, lines = files_of(
        meter_of("A", Role.GENERATION, turbine), meter_of("B", Role.IMPORT, drawn, "W", SEVERAL)
    )
    result = run(manifest, lines)
    assert result.valid, result.differences
    # 6 as measured, and 24 with the largest error: between the two calibrations, and in the second.
    assert manifest["energy"]["import_kwh"] == "30.360000000"
    assert "calibrations" not in manifest["meters"][0]
    assert manifest["meters"][1]["calibrations"] == [
        {"from_s": 0, "to_s": 3600, "measured_error": None, "certificate_sha256": "ab" * 32},
        {"from_s": 6000, "to_s": None, "measured_error": "1.5", "certificate_sha256": None},
    ]
    for key, value in (("measured_error", "1.4"), ("from_s", 1200), ("to_s", 6600)):
        changed = copy.deepcopy(manifest)
        changed["meters"][1]["calibrations"][1][key] = value
        found = paths(run(changed, lines))
        if key == "measured_error":
            assert "energy.import_kwh" in found
    without = copy.deepcopy(manifest)
    del without["meters"][1]["calibrations"]
    assert "energy.import_kwh" in paths(run(without, lines))
    empty = copy.deepcopy(manifest)
    empty["meters"][0]["calibrations"] = []
    assert any("calibrations" in path for path in paths(run(empty, lines)))
    with pytest.raises(BadInput, match=r"calibrations\[1\].*certificate_sha256"):
        wrong = copy.deepcopy(manifest)
        wrong["meters"][1]["calibrations"][1]["certificate_sha256"] = "x"
        run(wrong, lines)


OWED = CarriedCorrection(
    "0x" + "7" * 64, "late_readings", date(1969, 12, 1), date(1969, 12, 2), Fraction(0)
)

DEFICIT = (f"corrections[{OWED.key}].carried_kg", "below zero: a deficit")


@pytest.mark.parametrize(
    ("carry", "owed", "named"),
    [
        ("-1/1", None, []),
        ("999/1000", None, []),
        ("1/1", None, [("carbon.carry_in_kg", "less than 1 kg")]),
        ("-3/2", "-5/2", [("carbon.carry_in_kg", "less than 1 kg")]),
        ("-8/5", "-5/2", []),
        ("0/1", "0/1", [DEFICIT]),
        ("1/2", "1/7", [DEFICIT]),
    ],
)
def test_what_enters_a_period_is_under_a_kilogram_and_a_correction_takes_away(
    carry: str, owed: str | None, named: list[tuple[str, str]]
) -> None:
    """All else is right: who issues a kilogram too much that way would be believed."""
    corrections = () if owed is None else (replace(OWED, carried_kg=Fraction(owed)),)
    manifest, lines = files_of(*small_park(), carry_in_kg=Fraction(carry), corrections=corrections)
    found = run(manifest, lines).differences
    assert [(item.path, item.recomputed) for item in found] == named


def test_when_a_meter_is_there_stands_in_the_manifest_and_is_computed_again() -> None:
    drawn = [(slot, "6000") for slot in range(144)]
    turbine = [(slot, "60") for slot in range(3 * 144)]
    gone = replace(meter_of("B", Role.IMPORT, drawn, "W"), in_service_to_s=DAY_S)
    days = {"to_date": date(1970, 1, 4), "to_s": 3 * DAY_S, "completeness_min": "0.9"}
    manifest, lines = files_of(meter_of("A", Role.GENERATION, turbine), gone, **days)
    result = run(manifest, lines)
    assert result.valid, result.differences
    said = "each meter is there on whole legal days"
    assert [check.ok for check in result.checks if check.name == said] == [True]
    first, second = manifest["meters"]
    assert not {"in_service_from_s", "in_service_to_s"} & first.keys()
    assert (second["in_service_to_s"], second["readings"]["expected"]) == (DAY_S, 144)
    assert "in_service_from_s" not in second
    for end_s in (2 * DAY_S, 0):
        changed = copy.deepcopy(manifest)
        changed["meters"][1]["in_service_to_s"] = end_s
        assert paths(run(changed, lines)) == ["rules"]
    without = copy.deepcopy(manifest)
    del without["meters"][1]["in_service_to_s"]
    assert paths(run(without, lines)) == ["rules"]
    for wrong in (None, "18000", -(2**40) - 1):
        changed = copy.deepcopy(manifest)
        changed["meters"][1]["in_service_to_s"] = wrong
        with pytest.raises(BadInput, match=r"meters\[1\].in_service_to_s"):
            run(changed, lines)


@pytest.mark.parametrize(
    ("zone", "begin_s", "hours", "whole"),
    [
        ("UTC", 0, 12, False),
        ("UTC", 0, 24, True),
        ("UTC", 0, 60, True),
        ("Etc/GMT+12", 43_200, 24, True),
    ],
)
def test_a_meter_that_is_there_by_the_hour_is_of_no_site_file(
    zone: str, begin_s: int, hours: int, whole: bool
) -> None:
    """Who writes a manifest by hand could have just those hours expected of an import meter that it has."""
    first, slots = begin_s // SLOT_S, 2 * 144
    drawn = [(slot, "6000") for slot in range(first, first + min(6 * hours, slots))]
    turbine = [(slot, "60") for slot in range(first, first + slots)]
    end_s = begin_s + hours * 3600
    gone = replace(meter_of("B", Role.IMPORT, drawn, "W"), in_service_to_s=end_s)
    days = {"to_date": date(1970, 1, 3), "from_s": begin_s, "to_s": begin_s + 2 * DAY_S}
    manifest, lines = files_of(
        meter_of("A", Role.GENERATION, turbine), gone, zone=zone, completeness_min="0.9", **days
    )
    result = run(manifest, lines)
    assert paths(result) == ([] if whole else ["meters[B].in_service_to_s"])
    said = "each meter is there on whole legal days"
    assert [check.name for check in result.checks if not check.ok] == ([] if whole else [said])


def test_what_is_given_may_be_written_in_capitals() -> None:
    digest = manifest_hash(canonical_text(MANIFEST)).removeprefix("0x")
    root = MANIFEST["evidence"]["root"].removeprefix("0x")
    for written in (str.upper, str.lower):
        given = {"manifest_hash": "0x" + written(digest), "root": "0x" + written(root)}
        assert run(MANIFEST, LINES, **given).valid


@pytest.mark.parametrize(("begin", "days", "named"), [(364, 1, []), (364, 2, ["period.to"])])
def test_a_period_may_end_with_its_year_and_not_go_beyond(
    begin: int, days: int, named: list[str]
) -> None:
    slots = range(begin * 144, (begin + days) * 144)
    period = {
        "from_date": date(1970, 12, 31),
        "to_date": date(1970, 12, 31) + timedelta(days=days),
        "from_s": begin * DAY_S,
        "to_s": (begin + days) * DAY_S,
    }
    turbine = [(slot, "60") for slot in slots]
    manifest, lines = files_of(meter_of("A", Role.GENERATION, turbine), **period)
    assert paths(run(manifest, lines)) == named


def test_a_register_that_goes_on_from_less_than_it_had_is_said_to_be_changed() -> None:
    """Neither file shows the change; without one the energy from 105 to 110 would count twice."""
    steps = ("100>110", "105>115", "115>95", "95>96", "96>100|0>1", "1>2")
    qualities = (100, 100, 304, 100, 100, 100)  # one fell, and one ran over
    readings = [
        Reading(at * SLOT_S, (at + 1) * SLOT_S, Kind.ENERGY, quality, *energy_of(text, 0), text)
        for at, (text, quality) in enumerate(zip(steps, qualities, strict=True))
    ]
    kind = {"kind": Kind.ENERGY, "unit": "kWh", "register": True}
    turbine = replace(meter_of("A", Role.GENERATION, []), readings=tuple(readings), **kind)  # type: ignore[arg-type]
    manifest, lines = files_of(turbine)
    result = run(manifest, lines)
    assert result.valid, result.differences
    said = [hint for hint in result.hints if "register" in hint]
    assert len(said) == 1
    assert said[0].startswith("meter A: from 1970-01-01T00:10:00Z its register goes on from less")
    rows = [
        [0, start, end, 2, quality, "", 0, text] for start, end, _, quality, *_, text in readings
    ]
    proven = {"meters": ["A"], "rows": rows, "proofs": None}
    said_by_sum = recompute(json.dumps({"manifest": canonical_text(manifest), "readings": proven}))
    assert said_by_sum and said_by_sum.endswith(
        "go on from less than they had, once, were exchanged"
    )


@pytest.mark.parametrize(
    "second",
    ["600,2,100,10>20", "600,2,100,0>10.0", "1200,2,100,10>25"],
    ids=["next", "same", "longer"],
)
def test_a_register_has_one_difference_from_a_time(second: str) -> None:
    """Rows of an interval are one slot, of which one counts; of a register each was judged by itself, and all did."""
    kind = {"kind": Kind.ENERGY, "unit": "kWh", "register": True}
    end_s, _, quality, text = second.split(",")
    rows = [
        Reading(0, SLOT_S, Kind.ENERGY, 100, 10, 0, "0>10"),
        Reading(0, int(end_s), Kind.ENERGY, int(quality), *energy_of(text, 0), text),
    ]
    manifest, lines = files_of(
        replace(meter_of("A", Role.GENERATION, []), readings=tuple(rows), **kind)  # type: ignore[arg-type]
    )
    result = run(manifest, lines)
    assert not result.valid
    assert result.differences[0].path.endswith("line 3, A, 1970-01-01T00:00:00Z].start_s")
    assert "intervals do not overlap" in str(result.differences[0].recomputed)
    assert result.issued_kg == "4"


@pytest.mark.parametrize(
    ("texts", "in_dip"),
    [
        (["100>110", "110>105", "105>115", "115>116"], [1, 2]),
        (["100>110", "110>105", "105>115"], []),  # what took the old instrument out may follow
        (
            ["100>110", "110>0", "0>8", "8>20", "20>111", "111>112"],
            [1, 2, 3, 4],
        ),  # a line that sent nothing
        (["100>110", "110>0", "0>8", "8>200"], []),  # back by more than the device can do
        (["100>110", "110>105", "105>108", "108>109"], []),  # not back
        (["100>110", "110>105", "105>109", "109>112", "112>113"], [1, 2, 3]),
        (["100>110", "110>105", "105>107", "7>17", "17>115"], []),  # another instrument between
        (["300>310", "310>500|0>5", "5>15"], []),
        (["490>499", "499>500|0>1", "1>11"], []),
        (["490>499", "499>500|0>1", "1>2", "2>499", "499>499"], [1, 2, 3]),
    ],
)
def test_a_register_that_is_soon_back_counts_nothing_twice(
    texts: list[str], in_dip: list[int]
) -> None:
    """The import runs over a dip; by a manifest written by hand the way back counted again."""
    kind = {"kind": Kind.ENERGY, "unit": "kWh", "register": True}
    rows = []
    for at, text in enumerate(texts):
        digits, scale = energy_of(text, 0)
        falls = digits < 0 or text == "310>500|0>5"
        quality = 304 if falls else 301 if digits > 20 else 100
        rows.append(
            Reading(at * SLOT_S, (at + 1) * SLOT_S, Kind.ENERGY, quality, digits, scale, text)
        )
    manifest, lines = files_of(
        replace(meter_of("A", Role.GENERATION, []), readings=tuple(rows), **kind)  # type: ignore[arg-type]
    )
    result = run(manifest, lines)
    assert [item.path for item in result.differences] == [
        f"readings[line {at + 2}, A, 1970-01-01T00:{at}0:00Z].quality" for at in in_dip
    ]
    assert all("runs over the dip" in item.recomputed for item in result.differences)


@given(
    st.lists(
        st.tuples(st.integers(1, 40), st.integers(0, 500), st.integers(0, 19)),
        min_size=2,
        max_size=40,
    ),
    st.sampled_from([None, "500"]),
    st.integers(0, 3),
    st.integers(4, 12),
)
@settings(max_examples=times(60, 600), deadline=None)
def test_what_an_import_makes_of_any_register_is_found_again(
    steps: list[tuple[int, int, int]], width: str | None, first: int, last: int
) -> None:
    """Dips, rollovers, resets and other instruments, over the ends of a period too: none is taken for another."""
    rules = Rules(Limits(Fraction(100), Kind.ENERGY, SLOT_S), 0, width)
    points: list[Point] = []
    changes: list[Change] = []
    at_s, value = 0, 250
    for slots, jump, chance in steps:
        at_s += slots * SLOT_S
        value = jump if chance < 6 else max(0, value + jump % 25 - 4)
        if width is not None:
            value %= 500
        here = Point(at_s, str(value), value, 0)
        if chance == 19 and points:
            value = jump % 100
            changes.append(Change(at_s, here, Point(at_s, str(value), value, 0)))
        else:
            points.append(here)
    readings = []
    for found in intervals(points, changes, rules):
        assert found.digits is not None and found.scale is not None
        readings.append(
            Reading(
                *(found.start_s, found.end_s, Kind.ENERGY, found.quality),
                *(found.digits, found.scale, found.text),
            )
        )
        readings += [
            Reading(low.at_s, low.at_s, Kind.REGISTER, Quality.REGISTER_DIP, *low[2:], low.text)
            for low in found.over
        ]
    from_s, to_s = first * DAY_S, last * DAY_S
    readings = [each for each in readings if from_s <= each.start_s < to_s and each.end_s <= to_s]
    if not readings:
        return
    kind = {"kind": Kind.ENERGY, "unit": "kWh", "register": True}
    manifest, lines = files_of(
        replace(meter_of("A", Role.GENERATION, []), readings=tuple(readings), **kind),  # type: ignore[arg-type]
        from_s=from_s,
        from_date=date(1970, 1, 1 + first),
        to_s=to_s,
        to_date=date(1970, 1, 1 + last),
    )
    result = run(manifest, lines)
    assert result.valid, result.differences


def test_a_dip_is_one_within_a_week() -> None:
    kind = {"kind": Kind.ENERGY, "unit": "kWh", "register": True}
    for days, valid in ((7, False), (8, True)):
        back_s = SLOT_S + days * DAY_S
        rows = [
            Reading(0, SLOT_S, Kind.ENERGY, 100, 10, 0, "100>110"),
            Reading(SLOT_S, 2 * SLOT_S, Kind.ENERGY, 304, -5, 0, "110>105"),
            Reading(2 * SLOT_S, back_s, Kind.ENERGY, 100, 10, 0, "105>115"),
            Reading(back_s, back_s + SLOT_S, Kind.ENERGY, 100, 1, 0, "115>116"),
        ]
        manifest, lines = files_of(
            replace(meter_of("A", Role.GENERATION, []), readings=tuple(rows), **kind),  # type: ignore[arg-type]
            to_s=30 * DAY_S,
            to_date=date(1970, 1, 31),
        )
        assert run(manifest, lines).valid is valid


@pytest.mark.parametrize(("width", "valid"), [("500", True), ("500.00", True), ("477", False)])
def test_a_register_runs_over_at_one_width(width: str, valid: bool) -> None:
    """With one made up for each fall, a register that is set to 0 every night would have run over every night."""
    kind = {"kind": Kind.ENERGY, "unit": "kWh", "register": True}
    texts = ["490>500|0>5", "5>15", "470>480", f"480>{width}|0>1"]
    if not valid:
        texts[2:] = ["470>475", f"475>{width}|0>1"]
    rows = [
        Reading(at * 2 * SLOT_S, (at * 2 + 1) * SLOT_S, Kind.ENERGY, 100, *energy_of(text, 0), text)
        for at, text in enumerate(texts)
    ]
    if valid:  # 21 kWh are more than the device can do in ten minutes
        rows[3] = rows[3]._replace(end_s=rows[3].start_s + 2 * SLOT_S)
    manifest, lines = files_of(
        replace(meter_of("A", Role.GENERATION, []), readings=tuple(rows), **kind)  # type: ignore[arg-type]
    )
    result = run(manifest, lines)
    assert result.valid is valid
    if not valid:
        (found,) = result.differences
        assert found.path == "readings[line 5, A, 1970-01-01T01:00:00Z].text"
        assert found.recomputed == "a rollover at 500 kWh, as the first: a meter has one width"


TURBINE = [(slot, str(40 + slot % 7)) for slot in range(144)]


def forged_twins(serial: str, twin: str, device: str) -> tuple[dict[str, Any], list[str]]:
    """Return files in which a meter stands a second time, all numbers made anew."""
    meters = [meter_of(each, Role.GENERATION, TURBINE) for each in sorted([serial, twin])]
    meters[1] = replace(meters[1], device_code=device)
    reduction = compute(inputs(*meters, factor=factor(), enforce=False))
    return build(reduction), list(lines_of(meters))


@pytest.mark.parametrize(
    ("twin", "device", "said"),
    rest(
        [
            ("a, EAST", "d", "read the same"),
            ("A,  east", "d", "read the same"),
            ("A, east\ufe0f", "d", "read the same"),
            ("\uff21, east", "d", "read the same"),
            ("A\u3164, east", "d", "read the same"),
            ("B", "d-A, east", "are of one device"),
        ],
        ("a, EAST", "d", "read the same"),
        ("B", "d-A, east", "are of one device"),
    ),
    ids=ascii,
)
def test_a_meter_that_stands_there_twice_is_refused(twin: str, device: str, said: str) -> None:
    """No site file has it, but a manifest written by hand may: all that the meter counts is there twice."""
    manifest, lines = forged_twins("A, east", twin, device)
    result = run(manifest, lines)
    (found,) = result.differences
    first, second = sorted(["A, east", twin])
    assert found.path == "rules"
    both = f"the meters {first!r} and {second!r} {said}"
    assert " ".join(both.split()) in found.recomputed  # a message is one line, of single blanks
    assert [check.name for check in result.checks if not check.ok] == [
        "the rules of the ledger allow to issue"
    ]
    with pytest.raises(ProofError, match=r"^sum: 1 numbers .* what one meter counts would count"):
        recompute(summed(manifest, lines))


def test_meters_that_counted_the_very_same_are_named() -> None:
    """Nobody can tell two serial numbers of one meter from two meters, but two meters do not count alike."""
    decimals = [(slot, f"{text}.0") for slot, text in TURBINE]
    idle = [(slot, "0") for slot in range(144)]
    generation = Role.GENERATION
    manifest, lines = files_of(
        meter_of("A", generation, TURBINE),
        meter_of("B", generation, decimals),
        meter_of("C", generation, TURBINE[:-1]),
        meter_of("D", generation, idle),
        meter_of("E", generation, idle),
        meter_of("F", Role.LOAD, TURBINE),
    )
    result = run(manifest, lines)
    assert result.valid, result.differences
    (said,) = [hint for hint in result.hints if "very same" in hint]
    assert said.startswith("meter B has counted the very same as meter A in every reading")
    words = recompute(summed(manifest, lines))
    assert words and words.endswith(
        'counted the very same in every reading, "B" and "A", are not one'
    )


def summed(manifest: dict[str, Any], lines: list[str]) -> str:
    """Return what ``recompute`` reads of a bundle with all its readings."""
    read_back = list(parse(lines, "r"))
    meters = sorted({line.meter for line in read_back})
    rows = [
        [meters.index(of.meter), of.start_s, of.end_s, of.kind, of.quality, "", 0, of.text]
        for of in read_back
    ]
    readings = {"meters": meters, "rows": rows, "proofs": None}
    return json.dumps({"manifest": canonical_text(manifest), "readings": readings})


@pytest.mark.parametrize("start_s", [3 * SLOT_S, 2 * DAY_S, 2**59])
def test_a_difference_of_a_register_that_ends_before_it_begins_counts_nothing(start_s: int) -> None:
    """It would overlap with nothing, and so be counted beside the readings of the same time."""
    kind = {"kind": Kind.ENERGY, "unit": "kWh", "register": True, "rated_kw": None}
    rows = [Reading(0, 2 * SLOT_S, Kind.ENERGY, 100, 100, 0, "0>100")]
    turbine = replace(meter_of("A", Role.GENERATION, []), readings=tuple(rows), **kind)  # type: ignore[arg-type]
    manifest, lines = files_of(turbine)
    result = run(manifest, [*lines, f"A,{start_s},{SLOT_S},2,100,0>100\n"])
    assert any(path.startswith("readings[line 3, A, ") for path in paths(result))
    assert not any("energy" in path for path in paths(result))


def test_differences_of_a_register_that_overlap_count_once() -> None:
    """From 50 to 100 both count: whoever adds up the file would have 200 kWh, and the register went on by 150."""
    kind = {"kind": Kind.ENERGY, "unit": "kWh", "register": True, "rated_kw": None}
    rows = [Reading(0, 2 * SLOT_S, Kind.ENERGY, 100, 100, 0, "0>100")]
    turbine = replace(meter_of("A", Role.GENERATION, []), readings=tuple(rows), **kind)  # type: ignore[arg-type]
    manifest, lines = files_of(turbine)
    result = run(manifest, [*lines, f"A,{SLOT_S},{3 * SLOT_S},2,100,50>150\n"])
    (found,) = [path for path in paths(result) if path.startswith("readings[line 3, A, ")]
    assert found.endswith(".start_s")
    assert not any("energy" in path for path in paths(result))


@pytest.mark.parametrize(("stated", "wrong"), [(Quality.SUPERSEDED_EMPTY, 0), (Quality.MISSING, 1)])
def test_an_empty_value_of_a_register_beside_another_says_so(stated: Quality, wrong: int) -> None:
    kind = {"kind": Kind.ENERGY, "unit": "kWh", "register": True, "rated_kw": None}
    rows = [Reading(0, SLOT_S, Kind.ENERGY, 100, 100, 0, "0>100")]
    turbine = replace(meter_of("A", Role.GENERATION, []), readings=tuple(rows), **kind)  # type: ignore[arg-type]
    manifest, lines = files_of(turbine)
    found = paths(run(manifest, [lines[0], f"A,0,0,3,{stated},\n", *lines[1:]]))
    qualities = [path for path in found if path.endswith(".quality")]
    assert len(qualities) == wrong, found


def test_the_books_say_which_rows_have_no_value() -> None:
    """The same text is a number in one row and none in another, for another source or since another day."""
    manifest, lines = files_of(meter_of("A", Role.GENERATION, [(0, "5"), (1, "5"), (2, "5")]))
    _, stated = read_manifest(canonical_text(manifest).encode(), "m")

    def qualities(no_value: dict[str, set[tuple[int, str]]] | None) -> list[int]:
        judged = judge(stated, parse(lines, "r"), no_value)
        return [int(reading.quality) for reading in judged.readings["A"]]

    assert qualities({"A": {(SLOT_S, "5")}}) == [100, 201, 100]
    assert qualities({"B": {(SLOT_S, "5")}}) == qualities({}) == qualities(None) == [100, 100, 100]


def test_what_was_computed_is_found_again() -> None:
    # 138 x 60 kW, 2 slots used of 60 (conflict, spelling), one of -3 kW: 140 x 60/6 - 3/6; drawn 30 x 6/6,
    # of which 24 lie outside of the calibration: 24 x 0.005 more.
    result = run(MANIFEST, LINES)
    assert result.valid, result.differences
    export, drawn = Fraction(140 * 60, 6), Fraction(3, 6) + 30 + 24 * Fraction(5, 1000)
    available = (export - drawn) * Fraction("0.4329") + Fraction(1, 3)
    assert result.issued_kg == str(available // 1) == "593"
    assert MANIFEST["energy"]["export_kwh"] == "1400.000000000"
    assert MANIFEST["energy"]["import_kwh"] == "30.620000000"
    assert result.manifest_hash == manifest_hash(canonical_text(MANIFEST))
    assert all(check.ok for check in result.checks)
    assert result.as_json()["valid"] is True
    assert [check.name for check in result.checks][1] == (
        "each of 177 readings' quality follows from the rules"
    )


def test_other_time_zone_data_is_said_and_no_difference() -> None:
    """Where a zone's rules have changed since, that is why the seconds of a period differ."""
    for stated, said in ((TZDATA_VERSION, 0), ("2013a", 1)):
        manifest = copy.deepcopy(MANIFEST)
        manifest["period"]["tzdata"] = stated
        result = run(manifest, LINES)
        assert result.valid
        hint = f"the manifest was made with time zone data 2013a, here is {TZDATA_VERSION}"
        assert [each for each in result.hints if "time zone data" in each] == [hint] * said


def test_it_needs_neither_database_nor_chain() -> None:
    code = (
        "import sys, ledger.reductions.recompute\n"
        "print(sorted({'sqlalchemy', 'web3', 'pymysql', 'eth_account'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ------------------------------------------------------------------- every field of a manifest


def scalars(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from scalars(item, (*path, key))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from scalars(item, (*path, place))
    else:
        yield path


def fields() -> list[tuple[Any, ...]]:
    """Every field of the manifest, but of the many times of the day a few."""
    kept = ("00:00", "00:20", "23:50")
    return [path for path in scalars(MANIFEST) if "times" not in path or path[-1] in kept]


def parent_of(manifest: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        manifest = manifest[key]
    return manifest


def named(path: tuple[Any, ...]) -> str:
    said = ""
    for key in path:
        if isinstance(key, int):
            said += f"[{['A, east', 'B'][key]}]"
        else:
            said += f".{key}" if said else key
    return said


def others(value: Any) -> list[Any]:
    """Return values of the same type that are not this one."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1]
    if value is None:
        return ["7", 7]
    changed = [value + "x", value[:-1] + ("1" if value[-1:] != "1" else "2")]
    if value[:1] in "123456789":
        changed.append("9" + value)
    return changed


BOUND_BY_HASH = {
    "program",
    "project",
    "site",
    "methodology.id",
    "methodology.version",
    "period.zone",
    "period.tzdata",
    "completeness_min",
}
"""What is taken as stated: a change of it alone shows in the manifest's hash, or in what it entails."""


@few(14)
@pytest.mark.parametrize("path", fields(), ids=named)
def test_a_change_of_any_field_is_found(path: tuple[Any, ...]) -> None:
    trusted = manifest_hash(canonical_text(MANIFEST))
    value = parent_of(MANIFEST, path)[path[-1]]
    outcomes = []
    for other in others(value):
        changed = copy.deepcopy(MANIFEST)
        parent_of(changed, path)[path[-1]] = other
        try:
            result = run(changed, LINES, manifest_hash=trusted)
        except BadInput as error:
            assert str(path[-1]) in error.message or path == ("format",), error.message
            outcomes.append("refused")
            continue
        assert not result.valid
        assert "given.manifest_hash" in paths(result)
        alone = run(changed, LINES)
        if not alone.valid:
            outcomes.append("named")
            continue
        named_only = ("device", "accuracy_class", "rated_kw", "density_kg_per_l", "stuck_hours")
        device = path[0] == "meters" and path[-1] in named_only
        dates = path[-1] in ("calibrated_from_s", "calibrated_to_s", "calibrated")
        assert named(path) in BOUND_BY_HASH or device or dates, (named(path), other)
        outcomes.append("by hash")
    assert outcomes


def derived() -> list[tuple[Any, ...]]:
    """Every count, sum, carry and hash: what is computed again, each of them."""
    return [
        path
        for path in fields()
        if path[0] in ("readings", "energy", "evidence", "vintage")
        or (path[0] == "carbon" and path[1] != "carry_in_kg")
        or (path[0] == "meters" and path[2] in ("readings", "rows", "result", "days", "times"))
        or path[:2] in (("period", "from_s"), ("period", "to_s"), ("factor", "sha256"))
    ]


@few(20)
@pytest.mark.parametrize("path", derived(), ids=named)
def test_a_changed_number_is_named_by_its_path(path: tuple[Any, ...]) -> None:
    changed = copy.deepcopy(MANIFEST)
    value = parent_of(changed, path)[path[-1]]
    other: Any = value + 1 if isinstance(value, int) else None
    if isinstance(value, str):
        other = "0x" + "1" * 64 if value.startswith("0x") else value
        if len(value) in (16, 64):
            other = "1" * len(value)
        elif "/" in value:
            other = "1/7"
        elif not value.startswith("0x"):
            other = "1" + value.removeprefix("-") if value[:1] in "-0123456789" else value + "x"
    parent_of(changed, path)[path[-1]] = other
    result = run(changed, LINES)
    assert named(path) in paths(result)
    assert any(not check.ok for check in result.checks)


FREE = ("rows", "result", "days", "times")
"""Tables whose keys depend on the readings."""


@few(40)
@pytest.mark.parametrize("path", fields(), ids=named)
def test_a_key_that_is_missing_or_more_is_refused_by_name(path: tuple[Any, ...]) -> None:
    changed = copy.deepcopy(MANIFEST)
    del parent_of(changed, path)[path[-1]]
    if len(path) > 1 and path[-2] in FREE:
        assert named(path) in paths(run(changed, LINES))
    else:
        with pytest.raises(BadInput, match=str(path[-1])):
            run(changed, LINES)
    more = copy.deepcopy(MANIFEST)
    free = len(path) > 1 and path[-2] in FREE
    parent_of(more, path)["bonus"] = (
        {"result": "1", "days": "0" * 16, "times": "0" * 16}.get(str(path[-2]), 1) if free else 1
    )
    if len(path) > 1 and path[-2] in FREE:
        assert any(name.endswith(".bonus") for name in paths(run(more, LINES)))
    else:
        with pytest.raises(BadInput, match="bonus"):
            run(more, LINES)


ODD: list[Any] = [
    *(
        0,
        1,
        -1,
        2**31,
        2**53,
        True,
        False,
        None,
        "",
        "0",
        "1",
        "-1",
        "1/1",
        "-3/7",
        "0x" + "1" * 64,
    ),
    *(
        "UTC",
        "Europe/Paris",
        "../etc",
        "fuel",
        "fuel_mass",
        "register",
        "import",
        "load",
        "storage",
    ),
    *("export", "power", "energy", "kW", "kWh", "kg", "L", "9" * 25, "1970-01-01", "1971-01-01"),
    *("1969-12-31", "2014-02-30", "crediting_cm", "g/kWh", "0.5S", "1e5", "CCER-01-001"),
    *([], {}, ["x"]),
]


@settings(max_examples=times(50, 300), deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(list(scalars(MANIFEST))), st.sampled_from(ODD)),
        min_size=1,
        max_size=4,
    ),
    st.integers(1, len(LINES)),
)
@example([(("period", "from"), "9999-01-01"), (("period", "to"), "9999-12-31")], len(LINES))
@example([(("period", "from"), "0001-01-01"), (("period", "to"), "0001-01-01")], len(LINES))
@example([(("period", "to"), "0001-01-01"), (("factor", "valid_to"), "1970-01-01")], len(LINES))
@example(
    [(("meters", 0, "days"), {"9999-12-31": "x"}), (("meters", 0, "times"), {"99:99": "x"})],
    len(LINES),
)
@example(  # seventy million empty slots, and as many crossings of days and times
    [
        (("period", "to_s"), 2**32 - 1),
        (("meters", 0, "interval_s"), 60),
        (("meters", 0, "days"), {f"{year}-01-01": "x" for year in range(1000, 6000)}),
        (("meters", 0, "times"), {f"{h:02}:{m:02}": "x" for h in range(100) for m in range(100)}),
    ],
    1,
)
def test_whatever_stands_in_a_manifest_is_judged_or_refused(
    changes: list[tuple[tuple[Any, ...], Any]], lines: int
) -> None:
    """Nothing but a verdict or one line of refusal comes of it."""
    changed = copy.deepcopy(MANIFEST)
    for path, value in changes:
        parent_of(changed, path)[path[-1]] = value
    trusted = manifest_hash(canonical_text(MANIFEST))
    try:
        result = run(changed, LINES[:lines], manifest_hash=trusted)
    except BadInput as error:
        assert error.message.startswith("m: ")
    else:
        assert result.valid is (changed == MANIFEST and lines == len(LINES))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (lambda text: " " + text, "character 1: not the one spelling"),
        (lambda text: text + "\n", "not the one spelling"),
        (lambda text: text.replace(",", ", ", 1), "not the one spelling"),
        (lambda text: text[:-1] + ',"vintage":1970}', "not the one spelling"),
        (lambda text: text.replace('"vintage":1970', '"vintage":1970.0'), "float has no place"),
        (lambda text: text.replace('"vintage":1970', '"vintage":true'), "vintage: expected 'int'"),
        (lambda text: text.replace('"vintage":1970', '"vintage":NaN'), "float has no place"),
        (lambda text: text.replace('"vintage":1970', '"vintage":-0'), "not the one spelling"),
        (lambda text: text.replace("a test", "a t\\u0065st"), "not the one spelling"),
        (lambda text: text.replace('0.4329"', '0.4329\\n"'), "value: expected"),
        (lambda text: text[:-1], "not JSON"),
        (lambda text: "[]", "a manifest is a JSON object"),
        (lambda text: "[" * 100_000, "not JSON"),
        (lambda text: text.replace("-manifest/", "-manifest/9"), "format: 'truetonne-manifest/9"),
        (lambda text: text.replace('"unit":"kW"', '"unit":"kVA"'), "is no unit of power"),
        # Its kilowatt-hours counted for every hour of a difference.
        (
            lambda text: text.replace('"register":false', '"register":true', 1),
            "register: true, and its kind is power",
        ),
        # Of a half day and something the day has two, and one would be expected.
        (lambda text: text.replace(':600,"kind"', ':50000,"kind"'), "interval_s: 50000; known"),
        (
            lambda text: text.replace('"serial":"B"', '"serial":"A, east"'),
            "each serial stands once",
        ),
    ],
)
def test_what_is_no_manifest_is_refused_in_one_line(
    changed: Callable[[str], str], said: str
) -> None:
    text = changed(canonical_text(MANIFEST))
    with pytest.raises(BadInput) as caught:
        read_manifest(text.encode(), "m.json")
    assert said in caught.value.message
    assert caught.value.message.startswith("m.json: ")
    assert len(caught.value.message) < 400


# -------------------------------------------------------------------------- readings files


BODY = LINES[1:]


def cells(line: str) -> list[str]:
    """Return the cells of a line; the first meter's serial has a comma, and so stands in quotes."""
    head, comma, rest = line.rstrip("\n").rpartition('"')
    if not comma:
        return line.rstrip("\n").split(",")
    return [head + comma, *rest[1:].split(",")]


ACTS = [
    "text",
    "start",
    "both",
    "end",
    "kind",
    "quality",
    "meter",
    "drop",
    "double",
    "move",
    "insert",
]


@st.composite
def mutants(draw: st.DrawFn) -> list[str]:
    """A readings file with one line changed, left out, doubled or moved."""
    place = draw(st.integers(0, len(BODY) - 1))
    body = list(BODY)
    act = draw(st.sampled_from(ACTS))
    parts = cells(body[place])
    if act == "text":
        parts[5] = draw(
            st.sampled_from(["", "0", "59.9", "60.00", "6e1", "121.5", "-22", "61", "x"]).filter(
                lambda text: text != parts[5]
            )
        )
    elif act == "start":
        parts[1] = str(
            max(0, int(parts[1]) + draw(st.sampled_from([-600, -1, 1, 300, 600, 86_400])))
        )
    elif act == "both":
        by = draw(st.sampled_from([1, 60, 600, 3600, 86_400]))
        parts[1], parts[2] = str(int(parts[1]) + by), str(int(parts[2]) + by)
    elif act == "end":
        parts[2] = str(int(parts[2]) + draw(st.sampled_from([-1, 1, 600])))
    elif act == "kind":
        parts[3] = "2"
    elif act == "quality":
        wrong = draw(st.sampled_from([0, 100, 101, 102, 200, 301, 302, 401, 402, 403, 500, 999]))
        parts[4] = str(wrong if str(wrong) != parts[4] else 7)
    elif act == "meter":
        parts[0] = "B" if parts[0] != "B" else '"A, east"'
    changed = ",".join(parts) + "\n"
    if act == "drop":
        del body[place]
    elif act == "double":
        body.insert(place, body[place])
    elif act == "move":
        to = draw(st.integers(0, len(BODY) - 1).filter(lambda number: number != place))
        body.insert(to, body.pop(place))
    elif act == "insert":
        parts[5] = "59"
        body.insert(place, ",".join(parts) + "\n")
    else:
        body[place] = changed
    return [LINES[0], *body]


@settings(
    max_examples=times(60, 400), deadline=None, suppress_health_check=[HealthCheck.filter_too_much]
)
@given(mutants())
def test_no_mutant_of_the_readings_passes(lines: list[str]) -> None:
    if lines == LINES:
        return
    result = run(MANIFEST, lines)
    assert not result.valid
    assert result.differences and all(difference.path for difference in result.differences)


def change(place: int, column: int, value: str) -> list[str]:
    body = list(BODY)
    parts = cells(body[place])
    parts[column] = value
    body[place] = ",".join(parts) + "\n"
    return [LINES[0], *body]


def test_a_mutant_names_its_line() -> None:
    assert paths(run(MANIFEST, change(5, 4, "302"))) == [
        "readings[line 7, A, east, 1970-01-01T00:20:00Z].quality"
    ]
    (wrong,) = run(MANIFEST, change(5, 4, "302")).differences
    assert (wrong.manifest, wrong.recomputed) == ("302 outlier_below", "100 used")
    assert "readings[line 7, A, east, 1970-01-01T00:20:00Z].text" in paths(
        run(MANIFEST, change(5, 5, "6O"))
    )
    assert "readings[line 7, A, east, 1970-01-01T00:20:00Z].kind" in paths(
        run(MANIFEST, change(5, 3, "2"))
    )
    beside = change(5, 1, "1201")
    found = {each.path: each.recomputed for each in run(MANIFEST, beside).differences}
    name = "readings[line 7, A, east, 1970-01-01T00:20:01Z].start_s"
    assert found[name] == "on the grid of 10 minutes from midnight in UTC"
    doubled = [*LINES[:8], LINES[7], *LINES[8:]]
    assert any("[line 9, " in name for name in paths(run(MANIFEST, doubled)))
    moved = [LINES[0], *BODY[:9], BODY[10], BODY[9], *BODY[11:]]
    assert len(paths(run(MANIFEST, moved))) == 1
    foreign = [*LINES, "C,0,600,1,100,1\n"]
    assert "readings[C]" in paths(run(MANIFEST, foreign))
    outside = [*LINES, f"B,{DAY_S},{DAY_S + 600},1,100,1\n"]
    assert any(f"[line {len(outside)}, B" in name for name in paths(run(MANIFEST, outside)))


def test_a_line_left_out_is_named_by_the_time_that_has_none() -> None:
    result = run(MANIFEST, [line for line in LINES if ",60000,60600," not in line])
    assert "meters[A, east].rows.used" in paths(result)
    assert any("1 times have no line: 1970-01-01T16:40:00Z" in hint for hint in result.hints)


def test_somebody_who_computes_all_of_it_anew_still_has_another_root() -> None:
    """The lie is consistent: only what stands on chain shows it."""
    honest = run(MANIFEST, LINES)
    turbine, drawn = small_park()
    texts = [
        ((r.start_s // SLOT_S), "99" if r.start_s == 60_000 else r.text) for r in turbine.readings
    ]
    manifest, lines = files_of(meter_of("A, east", Role.GENERATION, texts), drawn)
    lie = run(manifest, lines)
    assert lie.valid
    assert lie.issued_kg != honest.issued_kg
    told = run(
        manifest,
        lines,
        manifest_hash=honest.manifest_hash,
        root=honest.evidence_root,
        issued_kg=int(honest.issued_kg),
    )
    assert paths(told) == ["given.manifest_hash", "given.root", "given.issued_kg"]
    assert [check.ok for check in told.checks[-3:]] == [False, False, False]


def test_a_rule_that_forbids_is_said() -> None:
    changed = copy.deepcopy(MANIFEST)
    changed["completeness_min"] = "0.99"
    result = run(changed, LINES)
    (rules,) = [item for item in result.differences if item.path == "rules"]
    assert "the project requires a share of 0.99" in rules.recomputed


def test_what_the_rules_did_not_let_compute_is_not_said_to_be_so() -> None:
    """A root of nothing and kilograms at will: beside a rule that forbids, nobody has compared them."""
    changed = copy.deepcopy(MANIFEST)
    changed["completeness_min"] = "0.99"
    changed["evidence"]["root"] = "0x" + "00" * 32
    changed["carbon"]["issued_kg"] = "999999"
    changed["energy"]["net_kwh"] = "1.000000000"
    result = run(changed, LINES, root="0x" + "11" * 32, issued_kg=5, manifest_hash="0x" + "22" * 32)
    assert [(check.ok, check.name) for check in result.checks] == [
        (True, "each of 177 lines is a reading of the period, once and in order"),
        (True, "each of 177 readings' quality follows from the rules"),
        (True, "the seconds of the period follow from its legal dates"),
        (True, "each factor's SHA-256 is the one of its content"),
        (False, "the rules of the ledger allow to issue"),
        (False, "the manifest hash is the one given"),
    ]
    assert "root were not computed, nor compared" in result.hints[-1]
    assert paths(result) == ["rules", "given.manifest_hash"]
    nowhere = copy.deepcopy(changed) | {"completeness_min": MANIFEST["completeness_min"]}
    nowhere["period"]["zone"] = "Nowhere/Else"  # computed, and in no zone's days to compare with
    names = [check.name for check in run(nowhere, LINES).checks if check.ok]
    assert names == [
        "each of 177 lines is a reading of the period, once and in order",
        "each of 177 readings' quality follows from the rules",
        "each factor's SHA-256 is the one of its content",
    ]


# ------------------------------------------------------------------------------ the files


def test_the_file_has_one_spelling(tmp_path: Path) -> None:
    packed = pack(small_park())
    assert packed == pack(tuple(reversed(small_park())))
    assert gzip.decompress(packed).decode() == "".join(LINES)
    assert LINES[0] == HEADER + "\n"
    assert '"A, east",0,600,1,101,60\n' in LINES
    (tmp_path / "r.csv.gz").write_bytes(packed)
    (tmp_path / "r.csv").write_text("".join(LINES))
    (tmp_path / "m.json").write_bytes(canonical_text(MANIFEST).encode())
    for name in ("r.csv.gz", "r.csv"):
        assert verify_files(tmp_path / "m.json", tmp_path / name).valid
    with pytest.raises(BadInput, match="name the manifest first, then its readings"):
        verify_files(tmp_path / "r.csv.gz", tmp_path / "m.json")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "line 1: empty"),
        (b"meter;start\n", "line 1: the header must be meter,start_s"),
        (b"\xef\xbb\xbf" + (HEADER + "\n").encode(), "line 1: the header"),
        ((HEADER + "\nB,0,600,1,100\n").encode(), "line 2: 5 columns instead of 6"),
        ((HEADER + "\nB,0,600,1,100,1").encode(), "line 2: the line is not ended"),
        ((HEADER + "\nB,00,600,1,100,1\n").encode(), "line 2: column start_s: '00'"),
        ((HEADER + "\nB,0,+600,1,100,1\n").encode(), "line 2: column end_s: '+600'"),
        ((HEADER + f"\nB,0,1{'0' * 18},1,100,1\n").encode(), "line 2: column end_s: '1000"),
        ((HEADER + "\nB,0,600,1.0,100,1\n").encode(), "line 2: column kind: '1.0'"),
        ((HEADER + "\nB,0,600,1,,1\n").encode(), "line 2: column quality: ''"),
        ((HEADER + '\n"B",0,600,1,100,1\n').encode(), "line 2: a cell is not in its one spelling"),
        ((HEADER + "\nB,0,600,1,100,1\r\n").encode(), "line 2: a cell is not in its one spelling"),
        ((HEADER + "\nB,0,600,1,100," + "1" * 5000 + "\n").encode(), "line 2: is longer than"),
        ((HEADER + "\n").encode() + b"\xff\n", "not UTF-8 text"),
        (pack(small_park())[:-9], "damaged gzip"),
        (pack(small_park())[:40] + b"xx" + pack(small_park())[42:], "damaged gzip"),
    ],
)
def test_what_is_no_readings_file_is_refused_in_one_line(
    tmp_path: Path, data: bytes, said: str
) -> None:
    file = tmp_path / "r.csv"
    file.write_bytes(data)
    with pytest.raises(BadInput) as caught:
        list(read(file))
    assert said in caught.value.message
    assert caught.value.message.startswith(f"{file}: ")
    assert len(caught.value.message) < 400


@long
def test_a_small_file_of_many_lines_does_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gzip of 370 kB held three million lines, and was an internal error; what is few too many is named."""
    manifest, readings = tmp_path / "m.json", tmp_path / "r.csv.gz"
    manifest.write_bytes(canonical_text(MANIFEST).encode())
    monkeypatch.setattr("ledger.reductions.recompute.LINES_MORE_MAX", 3)
    readings.write_bytes(gzip.compress("".join([*LINES, *LINES[-1:] * 3]).encode()))
    assert len([path for path in paths(verify_files(manifest, readings)) if "line" in path]) == 3
    readings.write_bytes(gzip.compress("".join([*LINES, *LINES[-1:] * 10**6]).encode()))
    most, leaves = len(LINES) - 1 + 3, MANIFEST["evidence"]["leaves"]
    with pytest.raises(BadInput) as caught:
        verify_files(manifest, readings)
    assert caught.value.message == (
        f"{readings}: more than {most} lines, and the manifest is of {leaves} readings: "
        "give the two files that belong together"
    )


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No such file"):
        verify_files(tmp_path / "m", tmp_path / "r")
    (tmp_path / "m").write_text(json.dumps(MANIFEST))
    with pytest.raises(BadInput, match="not the one spelling"):
        verify_files(tmp_path / "m", tmp_path / "r")


@pytest.mark.parametrize(
    ("stated", "recomputed", "found"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": "1"}, [("a", 1, "1")]),
        ({"a": {"b": 1}}, {"a": [1]}, [("a", {"b": 1}, [1])]),
        ({"a": {"b": 1}}, {}, [("a", {"b": 1}, ABSENT)]),
        ({}, {"a": {"b": 1}}, [("a", ABSENT, {"b": 1})]),
        ({"a": [1, 2]}, {"a": [1]}, [("a", [1, 2], [1])]),
        ({"a": [{"serial": "s", "n": 1}]}, {"a": [{"serial": "s", "n": 2}]}, [("a[s].n", 1, 2)]),
        ({"a": [{"n": 1}]}, {"a": [{"n": 2}]}, [("a[0].n", 1, 2)]),
    ],
)
def test_what_differs_has_its_path_whatever_shape_it_has(
    stated: object, recomputed: object, found: list[tuple[str, object, object]]
) -> None:
    assert list(differences_of(stated, recomputed)) == [Difference(*each) for each in found]
