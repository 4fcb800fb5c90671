"""``park``, ``alerts`` and ``config`` as somebody types them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.main import run
from ledger.park import KINDS
from tests.support.forms import long
from tests.support.plant import SITE, write_csv
from tests.support.records import examples

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def type_in(
    sqlite_template: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Run a command on books of the test's own; return exit code and stdout (stderr where that is empty)."""
    (tmp_path / "books.db").write_bytes(sqlite_template.read_bytes())
    monkeypatch.setenv("TRUETONNE_DATABASE_URL", f"sqlite:///{tmp_path / 'books.db'}")
    monkeypatch.setenv("TRUETONNE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def type_in(*words: str) -> tuple[int, str]:
        code = run(list(words))
        out, err = capsys.readouterr()
        return code, out or err

    return type_in


def document(run: Run, *words: str, code: int = 0) -> Any:
    found, out = run(*words, "--json")
    assert found == code, out
    return json.loads(out)


def write(folder: Path, *kinds: str) -> None:
    for name in kinds:
        ending, text = examples()[name]
        (folder / f"{name}.{ending}").write_text(text, encoding="utf-8")


@long
def test_a_file_comes_in_is_listed_and_goes_out_to_come_in_again(
    type_in: Run, tmp_path: Path
) -> None:
    write(tmp_path, "resources", "vpps", "shares")
    dry = document(type_in, "park", "import", "resources", "resources.csv", "--dry-run")
    assert (dry["new"], dry["dry_run"]) == (3, True)
    for kind in ("resources", "vpps", "shares"):
        assert type_in("park", "import", kind, f"{kind}.csv")[0] == 0
    code, out = type_in("park", "list", "shares", "--where", "resource_code=BESS-1")
    assert (code, out.splitlines()[-1]) == (0, "2 records")
    assert out.splitlines()[1].split() == [
        "2",
        "VPP-NORTH",
        "BESS-1",
        "0.5000",
        "reserve",
        "2025-12-31T23:00:00Z",
    ]
    assert document(type_in, "park", "show", "vpps", "VPP-NORTH")["total_capacity"] == "1450.000"
    for ending, asked in (("csv", ()), ("jsonl", ()), ("jsonl", ("--format", "jsonl"))):
        file = f"out.{ending}"
        exported = document(type_in, "park", "export", "resources", "-o", file, *asked)
        assert exported["records"] == 3
        again = document(type_in, "park", "import", "resources", file)
        assert (again["unchanged"], again["new"], again["changed"]) == (3, 0, 0)
    assert type_in("park", "export", "resources")[1] == (tmp_path / "out.csv").read_text()
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    listed = {"kind": "resources", "records": len(lines), "items": [*map(json.loads, lines)]}
    assert document(type_in, "park", "export", "resources") == listed
    assert document(type_in, "park", "export", "resources", "--format", "csv") == listed
    wrong = (
        ("out.json", "--format", "jsonl"),
        ("other.csv", "--format", "jsonl"),
        ("other.jsonl", "--format", "csv"),
        ("o.parquet",),
        ("o.parquet", "--format", "csv"),
        ("o.xlsx",),
    )
    for file, *form in wrong:
        code, _ = type_in("park", "export", "resources", "-o", file, *form)
        assert (code, (tmp_path / file).exists()) == (2, False)


@long
def test_a_kind_without_records_goes_out_and_comes_in_again(type_in: Run) -> None:
    for kind in KINDS:
        for file in ("none.csv", "none.jsonl"):
            assert type_in("park", "export", kind, "-o", file) == (0, f"{file}: 0 records\n")
            assert type_in("park", "import", kind, file, "--strict") == (
                0,
                f"{file}: 0 read, 0 new, 0 changed, 0 unchanged, 0 rejected\n",
            )


def test_rejected_rows_are_named_and_strict_keeps_none(type_in: Run, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text(
        "resource_code,name,type,capacity,unit,status\nA,A,solar,1,kW,active\nB,B,solar,-1,kW,active\n"
    )
    code, out = type_in("park", "import", "resources", "r.csv", "--strict")
    assert (code, out.splitlines()) == (
        1,
        [
            "r.csv: 2 read, 1 new, 0 changed, 0 unchanged, 1 rejected (nothing written)",
            "  r.csv: line 3, column capacity: -1.000 is not above 0",
        ],
    )
    assert document(type_in, "park", "list", "resources")["records"] == []
    found = document(type_in, "park", "import", "resources", "r.csv", code=1)
    assert found["errors"] == [
        {"line": 3, "column": "capacity", "message": "-1.000 is not above 0"}
    ]
    assert [
        item["resource_code"] for item in document(type_in, "park", "list", "resources")["records"]
    ] == ["A"]


@long
def test_what_an_import_changes_is_named_before_it_is_done(type_in: Run, tmp_path: Path) -> None:
    """It was counted alone: what a new file would do to the records stood in no dry run."""
    write(tmp_path, "resources", "vpps", "shares")
    for kind in ("resources", "vpps", "shares"):
        assert type_in("park", "import", kind, f"{kind}.csv")[0] == 0
    shares = (tmp_path / "shares.csv").read_text()
    changed = shares.replace("VPP-NORTH,BESS-1,0.5", "VPP-NORTH,BESS-1,0.25")
    assert changed != shares
    (tmp_path / "shares.csv").write_text(changed)
    said = type_in("park", "import", "shares", "shares.csv", "--dry-run")[1].splitlines()
    line = next(place for place, text in enumerate(changed.splitlines(), 1) if ",0.25" in text)
    assert [said[0], said[-1]] == [  # between them, that the plant has more than its shares now
        f"shares.csv: {len(changed.splitlines()) - 1} read, 0 new, 1 changed, "
        f"{len(changed.splitlines()) - 2} unchanged, 0 rejected (nothing written)",
        f"  shares.csv: line {line}, VPP-NORTH BESS-1: allocation_ratio 0.5000 to 0.2500",
    ]
    tried = document(type_in, "park", "import", "shares", "shares.csv", "--dry-run")
    assert document(type_in, "park", "import", "shares", "shares.csv")["changes"] == [
        {
            "line": line,
            "key": {"vpp_code": "VPP-NORTH", "resource_code": "BESS-1"},
            "before": {"allocation_ratio": "0.5000"},
            "after": {"allocation_ratio": "0.2500"},
        }
    ]
    assert tried["changes"][0]["line"] == line
    (tmp_path / "types.csv").write_text(
        "type_name,category\n" + "".join(f"t{number:03},a\n" for number in range(130))
    )
    assert document(type_in, "park", "import", "device-types", "types.csv")["new"] == 130
    (tmp_path / "types.csv").write_text((tmp_path / "types.csv").read_text().replace(",a", ",b"))
    *_, last, more = type_in("park", "import", "device-types", "types.csv", "--dry-run")[1].split(
        "\n"
    )[:-1]
    assert last == "  types.csv: line 21, t019: category a to b"
    assert more == "  and 110 more are changed; `--json` names the first hundred"
    found = document(type_in, "park", "import", "device-types", "types.csv")
    assert (found["changed"], len(found["changes"])) == (130, 100)
    assert "changes" not in document(type_in, "park", "import", "device-types", "types.csv")


def test_two_of_one_record_in_one_line(type_in: Run, tmp_path: Path) -> None:
    """JSON may be a single line: the second is refused there too, and was an internal error."""
    kind = {"type_name": "meter", "category": "metering"}
    text = json.dumps([kind, kind | {"category": "other"}, kind | {"type_name": " meter "}])
    (tmp_path / "t.json").write_text(text)
    found = document(type_in, "park", "import", "device-types", "t.json", code=1)
    assert (found["read"], found["new"], found["rejected"]) == (3, 1, 2)
    assert {(item["line"], item["column"]) for item in found["errors"]} == {(1, "type_name")}
    assert "stands in line 1" in found["errors"][0]["message"]


def test_a_row_that_ends_early_changes_nothing(type_in: Run, tmp_path: Path) -> None:
    """A line cut off before its last cells is none with empty ones, which would take values away."""
    head, whole = "type_name,category,default_config\n", 'meter,metering,"{""a"": 1}"\n'
    (tmp_path / "t.csv").write_text(head + whole)
    assert document(type_in, "park", "import", "device-types", "t.csv")["new"] == 1
    (tmp_path / "t.csv").write_text(head + "meter,metering\n")
    found = document(type_in, "park", "import", "device-types", "t.csv", code=1)
    assert (found["changed"], found["rejected"]) == (0, 1)
    assert "1 fewer cells" in found["errors"][0]["message"]
    (record,) = document(type_in, "park", "list", "device-types")["records"]
    assert record["default_config"] == {"a": 1}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("park", "import", "gadgets", "x.csv"),
            "there is no kind of record 'gadgets'; there are device-types, devices",
        ),
        (("park", "import", "devices", "none.csv"), "none.csv: cannot be read"),
        (("park", "show", "vpps", "none"), "vpp_code 'none'; `truetonne park list vpps` has all"),
        (("park", "show", "shares", "x"), "there is no share of a resource with number 'x'"),
        (
            ("park", "set", "vpps", "name=x"),
            "vpp_code is missing: records of vpps are identified by vpp_code",
        ),
        (("park", "set", "vpps", "vpp_code=x", "colour=red"), "vpps has no column 'colour'"),
        (
            ("park", "set", "vpps", "vpp_code=x", "name"),
            "'name': write each column once, as COLUMN=VALUE",
        ),
        (
            ("park", "list", "vpps", "--where", "colour=red"),
            "--where 'colour=red': write COLUMN=VALUE",
        ),
        (
            ("park", "list", "vpps", "--where", "status=new"),
            "--where status: 'new' is none of active",
        ),
        (
            ("park", "list", "vpps", "--where", "configuration={}"),
            "a JSON object cannot be selected by; name another column",
        ),
        (("alerts", "acknowledge", "7"), "there is no alert 7"),
        (("alerts", "evaluate", "--device", "X"), "there is no device 'X'"),
        (("config", "get", "a.b"), "there is no setting 'a.b'"),
        (("config", "set", "A", "1"), "a key is words of small letters"),
        (("config", "set", "a.b"), "give the value, or --from-file FILE, and not both"),
        (("config", "set", "a.b", "x", "--type", "secret"), "a secret is not given as an argument"),
        (("config", "set", "a.b", "x", "--type", "integer"), "'x' is not a whole number"),
        (("config", "set", "a.b", "maybe", "--type", "boolean"), "neither true nor false"),
        (("config", "set", "a.b", "[1]", "--type", "json"), "is not a JSON object"),
        (("config", "set", "alerts.silent_day", "5"), "did you mean 'alerts.silent_days'?"),
        (("config", "set", "alerts.silent_days", "0"), "0 is not from 1 to 3660"),
        (("config", "set", "alerts.silent_days", "1", "--type", "text"), "is of type integer"),
        (("config", "unset", "a.b"), "there is no setting 'a.b'"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(type_in: Run, words: tuple[str, ...], said: str) -> None:
    code, out = type_in(*words)
    assert code == 2
    assert said in out and out.startswith("error: ") and out.count("\n") == 1


NOT_THERE = (
    (("alerts", "list", "--device"), "BESS1", "no device 'BESS1' (did you mean 'BESS-1'?)"),
    (("alerts", "list", "--device"), "", "no device '' (there is: BESS-1"),
    (("park", "list", "alerts", "--where"), "device_code=X", "no device 'X' (there is: BESS"),
    (
        ("park", "export", "devices", "--where"),
        "type=battery",
        "no device type 'battery' (there is",
    ),
    (("trades", "list", "--vpp"), "VPP-NRTH", "no plant 'VPP-NRTH' (did you mean 'VPP-NORTH'"),
    (("trades", "list", "--market"), "spot", "no market 'spot' (there is: none)"),
    (("trades", "list", "--batch"), "0xzz", "--batch: write 0x and 64 hexadecimal digits"),
    (("export", "trades", "--where"), "vpp_code=VPP-NRTH", "(did you mean 'VPP-NORTH'?)"),
    (("export", "energy", "--where"), "site=lab", "no site 'lab'; there is: none. Sites come"),
    (("export", "retirements", "--where"), "site=lab", "no project 'lab' (there is: none)"),
    (("credits", "list", "--project"), "lab-wnd", "no project 'lab-wnd' (there is: none)"),
    (("audit", "log", "--user"), "nobody", "there is no user 'nobody'"),
    (("audit", "log", "--action"), "users.ad", "no action 'users.ad' (did you mean 'users.add'?)"),
    (("audit", "export", "--action"), "nope", "no action 'nope' (there is: alerts.acknowledge, "),
    (("audit", "log", "--resource"), "user/7", "no table 'user' (did you mean 'users'?); write"),
)
"""Lists by a name that nothing has: the words, the name, and what is said."""


@long
def test_a_list_of_what_there_is_not_is_refused(type_in: Run, tmp_path: Path) -> None:
    """It would be empty, and of a mistyped device `alerts list` would say that all is well."""
    kinds = ("device-types", "devices", "resources", "vpps")
    write(tmp_path, *kinds)
    for kind in kinds:
        assert type_in("park", "import", kind, f"{kind}.{examples()[kind][0]}")[0] == 0
    for words, value, said in NOT_THERE:
        code, out = type_in(*words, value)
        assert code == 2 and said in out and out.count("\n") == 1, (words, out)
    # Nor does the demonstration, which would drop its own books, drop these.
    code, out = type_in("demo", "--fresh")
    assert code == 2 and "(records of a park that were imported): it is not dropped" in out
    assert len(document(type_in, "park", "list", "vpps")["records"]) == 2


def test_one_record_by_hand(type_in: Run, tmp_path: Path) -> None:
    write(tmp_path, "vpps")
    type_in("park", "import", "vpps", "vpps.csv")
    dry = type_in("park", "set", "vpps", "vpp_code=VPP-NORTH", "status=inactive", "--dry-run")
    assert dry == (0, "plant VPP-NORTH: changed (nothing written)\n")
    assert (
        document(type_in, "park", "set", "vpps", "vpp_code=VPP-NORTH", "status=inactive")["done"]
        == "changed"
    )
    assert (
        document(type_in, "park", "set", "vpps", "vpp_code=VPP-NORTH", "status=inactive")["done"]
        == "unchanged"
    )
    entries = document(type_in, "audit", "log")["entries"]
    assert [(item["action"], item["new_values"].get("status")) for item in entries][:1] == [
        ("park.change", "inactive")
    ]


def test_alerts_from_an_import_to_their_end(type_in: Run, tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(SITE)
    assert type_in("site", "apply", "site.toml")[0] == 0
    rules = {
        "alerts": [{"type": "above", "metric": "active_power", "limit": "80", "severity": "high"}]
    }
    text = json.dumps(rules)
    assert (
        type_in(
            "park", "set", "device-types", "type_name=wind_turbine", f"validation_rules={text}"
        )[0]
        == 0
    )
    rows = [(f"2014-06-01T00:{n}0:00+02:00", power) for n, power in enumerate(("60", "90", "91"))]
    write_csv(tmp_path / "a.csv", rows)
    code, out = type_in("import", "--site", "park", "--source", "scada", "a.csv")
    assert (code, out.splitlines()[-1]) == (0, "  alerts: 1 raised; `truetonne alerts list`")
    seen = document(type_in, "park", "show", "devices", "A")["last_seen"]
    assert seen == "2014-05-31T22:20:00Z"
    found = document(type_in, "alerts", "list", code=1)["alerts"]
    assert [(item["severity"], item["status"], item["triggered_at"]) for item in found] == [
        ("high", "active", "2014-05-31T22:10:00Z")
    ]
    assert type_in("alerts", "acknowledge", "1", "--note", "seen")[0] == 0
    assert document(type_in, "alerts", "acknowledge", "1", code=1)["error"]["code"] == "alert-state"
    assert document(type_in, "alerts", "evaluate") == {
        "raised": 0,
        "resolved": 0,
        "withdrawn": 0,
        "changed": 0,
    }
    assert type_in("alerts", "resolve", "1", "--note", "limit was wrong") == (
        0,
        "alert 1 is resolved: A: active_power above 80, since 2014-05-31T22:10:00Z (91 at the worst).\n",
    )
    assert document(type_in, "alerts", "list")["alerts"] == []
    assert len(document(type_in, "alerts", "list", "--all")["alerts"]) == 1


@long
def test_rules_that_nothing_can_break_are_named(type_in: Run, tmp_path: Path) -> None:
    """Of a mistyped metric, or of a limit in the unit of the file, no alert ever came, and nobody was told."""

    def ruled(metric: str, unit: str | None) -> list[str]:
        rule = {"type": "above", "metric": metric, "limit": "80", "severity": "high"}
        rules = {"alerts": [rule if unit is None else rule | {"unit": unit}]}
        return document(
            type_in, "park", "set", "device-types", "type_name=wind_turbine", "category=x",
            f"validation_rules={json.dumps(rules)}",
        )["warnings"]  # type: ignore[no-any-return]  # fmt: skip

    (said,) = ruled("activ_power", None)  # no device has the type yet
    assert ": meter files give active_power (kW), energy (kWh), " in said
    assert ruled("energy", "kWh") == []
    (tmp_path / "site.toml").write_text(SITE)
    assert type_in("site", "apply", "site.toml")[0] == 0
    assert ruled("active_power", "kW") == ruled("active_power", None) == []
    (said,) = ruled("active_power", "MW")
    assert said.endswith("none is judged by a limit in MW: write it in kW")
    (said,) = ruled("energy", "kWh")
    assert said == (
        "device type wind_turbine, rule 1 (above energy): the files of these devices give active_power (kW); nothing "
        "is judged by it unless another program writes energy into device_data"
    )
    assert document(type_in, "alerts", "evaluate")["warnings"] == [said]


def test_the_list_of_alerts_says_of_which_device_they_are(type_in: Run, tmp_path: Path) -> None:
    """What another system said of one names it in no message, and who reads the list may know no numbers."""
    (tmp_path / "site.toml").write_text(SITE)
    assert type_in("site", "apply", "site.toml")[0] == 0
    words = "device_code=A alert_type=door severity=low message=open status=active"
    when = "triggered_at=2026-11-25T06:10:00Z"
    assert type_in("park", "set", "alerts", *words.split(), when)[0] == 0
    code, out = type_in("alerts", "list")
    assert (code, out.splitlines()[1].split()) == (
        1,
        ["1", "low", "active", "2026-11-25T06:10:00Z", "A", "open"],
    )
    assert document(type_in, "alerts", "list", code=1)["alerts"][0]["device_name"] == "A"
    assert type_in("park", "set", "devices", "device_code=A", "name=North ridge")[0] == 0
    code, out = type_in("alerts", "list")
    assert (code, out.splitlines()[1].split()) == (
        1,
        ["1", "low", "active", "2026-11-25T06:10:00Z", "A", "North", "ridge", "open"],
    )
    (found,) = document(type_in, "alerts", "list", code=1)["alerts"]
    assert (found["device_code"], found["device_name"]) == ("A", "North ridge")


def test_settings_keep_their_types_and_secrets_stay_secret(type_in: Run, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hush-hush\n")
    for words, value in (
        (("partner.code", "DE-07"), "DE-07"),
        (("partner.limit", "1.50", "--type", "decimal"), "1.50"),
        (("partner.on", "true", "--type", "boolean"), True),
        (("partner.map", '{"a": 1.5}', "--type", "json"), {"a": "1.5"}),
        (("alerts.silent_days", "10"), 10),
        (("partner.token", "--type", "secret", "--from-file", "token"), "***"),
    ):
        found = document(type_in, "config", "set", *words)
        assert (found["value"], found["changed"]) == (value, True)
        assert document(type_in, "config", "set", *words)["changed"] is False
    assert document(type_in, "config", "get", "partner.limit")["value"] == "1.50"
    # What is shown can be given again.
    assert type_in("config", "get", "partner.map") == (0, '{"a": "1.5"}\n')
    assert type_in("config", "set", "partner.on", "true") == (0, "partner.on is so already: true\n")
    assert (
        "'x' is not a number" in type_in("config", "set", "partner.limit", "x")[1]
    )  # it keeps its type
    (tmp_path / "plain").write_text("x")
    assert (
        "others on the machine can see arguments"
        in type_in("config", "set", "partner.token", "x")[1]
    )
    as_text = type_in("config", "set", "partner.token", "--from-file", "plain", "--type", "text")
    assert "is a secret; remove it first" in as_text[1]
    listed = type_in("config", "list")[1]
    assert "***" in listed and "hush" not in listed
    assert b"hush-hush" not in (tmp_path / "books.db").read_bytes()
    entries = document(type_in, "audit", "log")
    assert "hush-hush" not in json.dumps(entries) and len(entries["entries"]) == 6
    assert document(type_in, "config", "unset", "partner.token", "--dry-run")["dry_run"] is True
    assert document(type_in, "config", "unset", "partner.token")["removed"] is True
    assert len(document(type_in, "config", "list")["settings"]) == 5
