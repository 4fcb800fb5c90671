"""``factors`` and ``emissions`` as a person and a script meet them; and what cannot mint."""

from __future__ import annotations

import hashlib

from tests.cli.conftest import READINGS, SITE, Program

FACTORS = """\
[[factor]]
code = "grid"
version = "1"
purpose = "inventory_location"
value = "100"
unit = "g/kWh"
source = "a test"
"""


def test_factors_are_imported_listed_and_shown(park: Program) -> None:
    file = park.write("f.toml", FACTORS)
    tried = park("factors", "import", "--dry-run", "--json", file).json()
    assert tried["dry_run"] is True
    assert park("factors", "import", "--json", file).json() == {
        "created": ["grid 1"],
        "unchanged": [],
        "warnings": ["factor grid 1 is marked unverified"],
    }
    assert park("factors", "import", "--json", file).json()["unchanged"] == ["grid 1"]
    listed = park("factors", "list", "--json").json()
    assert [item["code"] for item in listed["factors"]] == ["CM", "grid"]
    assert "china-provinces-2023" in listed["bundled"]
    shown = park("factors", "show", "grid", "--json").json()
    assert [item["value"] for item in shown["versions"]] == ["100"]
    assert park("factors", "show", "nothing").code == 2
    assert "factors list" in park("factors", "show", "nothing").one_line()
    text = park("factors", "show", "grid").out
    assert "inventory_location" in text


def test_an_import_of_factors_is_in_the_audit_log_once(park: Program) -> None:
    file = park.write("f.toml", FACTORS)
    for words in (["--dry-run"], [], []):
        assert park("factors", "import", *words, file).code == 0
    (entry,) = park("audit", "log", "--action", "factors.import", "--json").json()["entries"]
    assert entry["resource"] == "emission_factors"
    assert entry["new_values"] == {
        "file": "f.toml",
        "sha256": hashlib.sha256(FACTORS.encode()).hexdigest(),
        "created": 1,
    }
    assert park("audit", "verify").code == 0


def test_factors_are_not_read_from_a_device(park: Program) -> None:
    ended = park("factors", "import", "/dev/zero")
    assert (ended.code, "a pipe or a device" in ended.one_line()) == (2, True)


def test_a_bundled_set_is_imported_by_its_name(park: Program) -> None:
    done = park("factors", "import", "china-provinces-2023", "--json").json()
    assert len(done["created"]) == 30
    line = park("factors", "import", "china-provinces-2099").one_line()
    assert "one of the bundled sets: cdm-asb0038-2018, china-provinces-2023" in line


def test_another_content_under_the_same_version_is_refused(park: Program) -> None:
    park("factors", "import", park.write("f.toml", FACTORS))
    ended = park("factors", "import", park.write("f.toml", FACTORS.replace("100", "101")))
    assert ended.code == 2
    assert "give the new content a new version" in ended.one_line()
    assert park("factors", "show", "grid", "--json").json()["versions"][0]["value"] == "100"


def test_the_inventory_of_a_site(park: Program) -> None:
    park("factors", "import", park.write("f.toml", FACTORS))
    site = SITE.replace('country = "FR"', 'country = "FR"\ninventory_factor = "grid"')
    readings = READINGS.replace("1200.5", "-60")
    ask = ("emissions", "--site", "lab", "--from", "2014-01-01", "--to", "2014-02-01")
    assert "write one into [site], and apply the site file again" in park(*ask).out
    assert park("site", "apply", park.write("site.toml", site)).code == 0
    assert "hint" not in park(*ask, "--json").json()
    park("import", "--site", "lab", "--source", "scada", park.write("r.csv", readings))
    found = park(*ask, "--by", "month", "--json").json()
    assert found["rows"] == [
        {
            "period": "2014-01",
            "device": "T1",
            "scope": 2,
            "method": "location_based",
            "factor": "grid",
            "version": "1",
            "value": "100",
            "unit": "g/kWh",
            "consumption_kwh": "10.000000000",
            "emissions_t": "0.001000",
        }
    ]
    assert "location_based" in park(*ask).out
    assert park(*ask, "--by", "week").code == 2


def test_a_factor_of_the_inventory_cannot_mint_through_any_command(park: Program) -> None:
    park("factors", "import", park.write("f.toml", FACTORS))
    site = SITE.replace('factor = "CM"', 'factor = "grid"')
    applied = park("site", "apply", park.write("site.toml", site), "--json").json()
    assert any("cannot mint" in warning for warning in applied["warnings"])
    park("import", "--site", "lab", "--source", "scada", park.write("r.csv", READINGS))
    ask = ("--project", "lab-wind", "--from", "2014-01-01", "--to", "2014-02-01")
    ended = park("reductions", *ask)
    assert ended.code == 1
    assert "is for inventory_location and cannot mint" in ended.one_line()
    ended = park("reductions", *ask, "--json")
    assert ended.json()["error"]["code"] == "wrong-purpose"


def test_demand_side_and_unknown_methodologies_are_refused(park: Program) -> None:
    park("import", "--site", "lab", "--source", "scada", park.write("r.csv", READINGS))
    site = SITE.replace('"CCER-01-002"', '"AMS-II.C"')
    assert "is not known here" in park("site", "apply", park.write("site.toml", site)).out
    ask = ("--project", "lab-wind", "--from", "2014-01-01", "--to", "2014-02-01")
    line = park("reductions", *ask).one_line()
    assert "known are CCER-01-001/V01, CCER-01-002/V01, internal-grid-renewable/1" in line
