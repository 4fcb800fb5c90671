"""The manifest: one spelling, one hash, nothing left out."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from eth_utils.crypto import keccak

from ledger.reductions import Calibration, compute
from ledger.reductions import manifest as manifests
from ledger.reductions.digests import digests_json, seconds_of, time_of
from ledger.reductions.records import Quality
from tests.ledger.test_reductions import FACTOR, inputs, meter, reading


def manifest_of(**changes: object) -> dict[str, object]:
    return manifests.build(compute(inputs(meter([reading(0, 600)]), **changes)))


def test_the_spelling_is_canonical() -> None:
    text = manifests.canonical_text({"b": "é", "a": [1, True, None], "c": {"z": "1", "y": "2"}})
    assert text == '{"a":[1,true,null],"b":"é","c":{"y":"2","z":"1"}}'
    assert manifests.manifest_hash(text) == "0x" + keccak(text=text).hex()


@pytest.mark.parametrize("value", [1.0, Fraction(1), (1,), b"1", {1: "x"}])
def test_what_has_no_one_spelling_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        manifests.canonical_text({"value": value})
    with pytest.raises(TypeError):
        manifests.canonical_text({"deeper": {"a": [{"value": value}]}})


def test_it_records_all_that_the_methodology_asks_for() -> None:
    manifest = manifest_of(carry_in_kg=Fraction(1, 3))
    assert manifest["program"] == "internal"
    assert manifest["methodology"] == {"id": "CCER-01-002", "version": "V01"}
    assert manifest["code_version"] == "reductions/3"
    assert manifest["vintage"] == 1970
    assert manifest["period"] == {
        "from": "1970-01-01",
        "to": "1970-01-02",
        "from_s": 0,
        "to_s": 86400,
        "zone": "UTC",
        "tzdata": "2026a",
    }
    factor = manifest["factor"]
    assert isinstance(factor, dict)
    assert (factor["value"], factor["sha256"]) == ("0.4329", "00" * 32)
    (device,) = manifest["meters"]  # type: ignore[misc]
    assert device["serial"] == "s"
    assert device["rows"] == {"used": 1}
    assert device["readings"] == {
        "expected": 144,
        "used": 1,
        "missing": 143,
        "outlier": 0,
        "conflict": 0,
    }
    assert manifest["energy"] == {
        "certified_kwh": "0.000000000",
        "export_kwh": "100.000000000",
        "import_kwh": "0.000000000",
        "net_kwh": "100.000000000",
    }
    carbon = manifest["carbon"]
    assert isinstance(carbon, dict)
    assert carbon["carry_in_kg"] == "1/3"
    assert carbon["issued_kg"] == "43"
    # 43.29 + 1/3 - 43, exactly
    assert Fraction(carbon["carry_out_kg"]) == Fraction("0.29") + Fraction(1, 3)
    assert manifest["evidence"]["leaves"] == 1  # type: ignore[index]


def test_any_change_of_what_it_rests_on_changes_its_hash() -> None:
    def spelled(**changes: object) -> str:
        return manifests.manifest_hash(manifests.canonical_text(manifest_of(**changes)))

    calibrated = replace(meter([reading(0, 600)]), calibration=Calibration("0.5"))
    hashes = {
        spelled(),
        spelled(zone="Etc/GMT"),
        spelled(tzdata="2026b"),
        spelled(program="other"),
        spelled(methodology="CCER-01-001"),
        spelled(factor=replace(FACTOR, source="elsewhere")),
        spelled(factor=replace(FACTOR, verified=False)),
        spelled(completeness_min="0.001"),
        spelled(carry_in_kg=Fraction(1, 10**30)),
        spelled(meters=(calibrated,)),
        spelled(meters=(meter([reading(0, 600)], serial="t"),)),
        spelled(meters=(meter([reading(0, 600, text="600.0")]),)),
    }
    assert len(hashes) == 12


def test_it_survives_json_and_back() -> None:
    text = manifests.canonical_text(manifest_of())
    assert manifests.canonical_text(json.loads(text)) == text


@pytest.mark.parametrize("first", ["2024-03-30", "2024-07-01", "2024-10-26"])
def test_digests_are_of_the_lines_of_a_day_and_of_a_time_in_whatever_order_they_come(
    first: str,
) -> None:
    """Three days of Paris, in two of which the clock changes; some slots have several rows."""
    paris = ZoneInfo("Europe/Paris")
    begins = [
        datetime.fromisoformat(first).replace(tzinfo=paris) + timedelta(days=more)
        for more in range(4)
    ]
    start, *_, end = (int(moment.timestamp()) for moment in begins)
    read = [
        reading(slot, 0)._replace(text=text, quality=quality)
        for slot in range(start // 600, end // 600)
        for text, quality in [
            ("1", Quality.USED),
            ("0.5", Quality.USED_IN_CONFLICT),
            ("2", Quality.USED),
        ][: 3 if slot % 7 == 0 else 1]
    ]
    days: dict[str, str] = {}
    times: dict[str, str] = {}
    for row in sorted(read, key=lambda row: (row.start_s, row.text)):
        line = f"{row.start_s},{row.end_s},{int(row.kind)},{int(row.quality)},{row.text}\n"
        day = datetime.fromtimestamp(row.start_s, UTC).astimezone(paris).date()
        midnight = datetime(day.year, day.month, day.day, tzinfo=paris).timestamp()
        minutes = int(row.start_s - midnight) // 60
        time = f"{minutes // 60:02}:{minutes % 60:02}"
        days[str(day)] = days.get(str(day), "") + line
        times[time] = times.get(time, "") + line
    expected = {
        name: {key: keccak(text=text).hex()[:16] for key, text in texts.items()}
        for name, texts in (("days", days), ("times", times))
    }
    for rows in (read, read[::-1], read[1::2] + read[::2]):
        assert digests_json(meter(rows), "Europe/Paris") == expected
    assert [time_of(second, 600) for second in (599, 5_399, 5_400)] == ["00:00", "01:20", "01:30"]
    assert [seconds_of(name) for name in ("01:30", "1:30", "0130", "a1:30")] == [5_400, *[None] * 3]


def test_the_page_of_the_evidence_names_every_quality() -> None:
    """Whoever makes a manifest again from the page has number and name, and both are in hashes on chain."""
    page = Path(__file__).parents[2] / "docs" / "evidence.md"
    stated = re.findall(
        r"^\| ([0-9]{3}) \| [a-z]+ \| `([a-z_]+)` \|", page.read_text(), re.MULTILINE
    )
    assert stated == [(str(int(quality)), quality.name.lower()) for quality in sorted(Quality)]
