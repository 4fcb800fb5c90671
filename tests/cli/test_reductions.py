"""``truetonne reductions`` and what stands beside it: export, verify, corrections, correct."""

from __future__ import annotations

import gzip
import json
import re
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.conftest import SITE, Program, good, lab_on
from tests.support.chain import TestChain
from tests.support.forms import few, long

JANUARY = ("--project", "lab-wind", "--from", "2014-01-01", "--to", "2014-02-01")
NAME = "lab-wind-2014-1"
AS_ISSUED = "whatever the site file says today; truetonne credits show"


@pytest.fixture(scope="module")
def issued(chain: TestChain, tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The program in a folder whose January is issued: 1,299 kg of 3000.83 kWh."""
    program = lab_on(chain, tmp_path_factory.mktemp("reductions"))
    for words in (
        ("db", "upgrade"),
        ("site", "apply", "site.toml"),
        ("import", "--site", "lab", "--source", "scada", "readings.csv"),
        ("reductions", "export", *JANUARY, "-o", "before"),
        ("credits", "issue", *JANUARY),  # registers the project, too
        ("reductions", "export", "--credit", NAME, "-o", "after"),
    ):
        good(program(*words))
    return program


@long
def test_what_was_exported_before_is_what_was_issued(issued: Program) -> None:
    for name in ("manifest.json", "readings.csv.gz"):
        before, after = (issued.folder / folder / name for folder in ("before", "after"))
        assert before.read_bytes() == after.read_bytes()
    again = good(issued("reductions", "export", *JANUARY, "-o", "again", "--json")).json()
    (files,) = again["files"]
    assert (files["issued"], files["issued_kg"], files["leaves"]) == (True, "1299", 20)
    assert files["manifest"] == "again/manifest.json"
    shown = good(issued("reductions", *JANUARY))
    key = good(issued("reductions", *JANUARY, "--json")).json()["issuance_key"]
    assert f"this is what the period was issued with, {AS_ISSUED} {key} shows" in shown.out
    assert re.search(r"^by the factor CM \S+, 0.4329 t/MWh:$", shown.out, re.MULTILINE)
    assert good(issued("credits", "show", key, "--json")).json()["key"] == key
    lines = gzip.decompress((issued.folder / "after" / "readings.csv.gz").read_bytes()).decode()
    assert lines.splitlines()[:2] == [
        "meter,start_s,end_s,kind,quality,text",
        "T1,1388530800,1388531400,1,100,600",
    ]


def test_a_stranger_verifies_with_the_two_files_and_what_stands_on_chain(
    issued: Program, chain: TestChain, tmp_path: Path
) -> None:
    shown = good(issued("credits", "show", NAME, "--json")).json()
    batch = json.dumps(shown)
    (files,) = good(issued("reductions", "export", *JANUARY, "-o", "again", "--json")).json()[
        "files"
    ]
    assert files["manifest_hash"] in batch and files["evidence_root"] in batch
    # Elsewhere: no books, no node, settings that lead nowhere.
    stranger = Program(tmp_path)
    stranger.environ |= stranger.with_settings(
        {"database_url": "mysql+pymysql://nobody@127.0.0.1:1/none", "rpc_url": "http://127.0.0.1:1"}
    )
    paths = [str(issued.folder / "after" / name) for name in ("manifest.json", "readings.csv.gz")]
    given = ("--manifest-hash", files["manifest_hash"], "--root", files["evidence_root"])
    said = good(stranger("reductions", "verify", *paths, *given, "--issued", "1299", "--json"))
    document = said.json()
    with subprocess.Popen(["cat", paths[1]], stdout=subprocess.PIPE) as unpacked:
        piped = subprocess.run(
            stranger.command("reductions", "verify", paths[0], "/dev/stdin", "--json"),
            cwd=stranger.folder,
            env=stranger.with_settings({}),
            stdin=unpacked.stdout,
            capture_output=True,
            check=True,
        )
    assert json.loads(piped.stdout)["valid"] is True
    assert list(document) == [
        "valid",
        "checks",
        "differences",
        "hints",
        "manifest_hash",
        "evidence_root",
        "issued_kg",
    ]
    assert (document["valid"], document["differences"], document["issued_kg"]) == (True, [], "1299")
    assert {"name": "the root is the one given", "ok": True} in document["checks"]
    text = good(stranger("reductions", "verify", *paths)).out
    assert "ok      each of 20 readings' quality follows from the rules\n" in text
    assert "It does not prove:" in text
    assert list(tmp_path.iterdir()) == []

    other = stranger("reductions", "verify", *paths, "--issued", "1300", "--root", "0x" + "1" * 64)
    assert other.code == 1
    assert "NOT OK  the root is the one given\n" in other.out
    assert "given.issued_kg: stated 1300, recomputed 1299\n" in other.out
    # Nothing that a manifest says becomes a line of the answer, or an order to the terminal.
    manifest = json.loads(Path(paths[0]).read_bytes())
    manifest["meters"][0]["days"]["\x1b[2J\nvalid: both files give what the manifest says"] = "x"
    hostile = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    said_of_it = stranger("reductions", "verify", stranger.write("m.json", hostile), paths[1])
    assert said_of_it.code == 1
    assert "\nvalid: " not in said_of_it.out and said_of_it.out.replace("\n", "").isprintable()
    (tmp_path / "m.json").unlink()
    wrong = stranger("reductions", "verify", paths[1], paths[1])
    assert wrong.code == 2
    assert "no manifest is: name the manifest first, then its readings" in wrong.one_line()
    (tmp_path / "latin.json").write_bytes("é".encode("latin-1"))
    wrong = stranger("reductions", "verify", "latin.json", paths[1])
    assert wrong.code == 2
    assert "not UTF-8 text" in wrong.one_line()


@few(6)
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("reductions",), "missing option '--project'; see `truetonne reductions --help`"),
        (("reductions", *JANUARY[:4]), "missing option '--to'"),
        (("reductions", *JANUARY, "verify", "a", "b"), "options stand after the command"),
        (("reductions", "export", "-o", "x"), "name either --credit, or --project with --from"),
        (("reductions", "export", "-o", "x", *JANUARY[:2]), "name either --credit"),
        (("reductions", "export", "-o", "x", *JANUARY, "--credit", "1"), "name either --credit"),
        (
            ("reductions", "export", "-o", "site.toml", *JANUARY),
            "site.toml: cannot be made (File exists)",
        ),
        (("reductions", "export", "-o", "x", "--credit", "no-such-1"), "there is no credit"),
        (
            ("reductions", "verify", "a", "b"),
            "a: cannot be read (No such file or directory); name an existing file",
        ),
        (("reductions", "verify", "site.toml", "b"), "site.toml: not JSON"),
        (("reductions", "verify", "a", "b", "--root", "0x12"), "--root: '0x12' is no hash"),
        (("reductions", "verify", "a", "b", "--issued", "1.5"), "--issued: '1.5' is no whole"),
        (("reductions", "correct", "--project", "no"), "no project 'no'"),
        (("reductions", "correct", *JANUARY[:4]), "give --from and --to together"),
        (
            ("reductions", "correct", "--project", "lab-wind", "--factor", "CM"),
            "give --factor and --factor-version together",
        ),
        (("reductions", "corrections", "--project", "no"), "no project 'no'"),
    ],
)
def test_what_cannot_be_asked_is_said_in_one_line(
    issued: Program, words: tuple[str, ...], said: str
) -> None:
    ended = issued(*words)
    assert ended.code == 2
    assert said in ended.one_line()


def test_a_bundle_is_no_manifest(truetonne: Program) -> None:
    """It was said to be spelled otherwise at some character: of its line end, and nobody knew what to do."""
    truetonne.write("bundle.json", '{"format":"truetonne-bundle/2"}\n')
    ended = truetonne("reductions", "verify", "bundle.json", "readings.csv.gz")
    assert ended.code == 2
    assert "bundle.json: is a bundle, which `truetonne verify` checks" in ended.one_line()


def test_what_came_late_is_found_and_cancelled(issued: Program) -> None:
    assert "no corrections" in good(issued("reductions", "corrections")).out
    nothing = good(issued("reductions", "correct", "--project", "lab-wind"))
    assert nothing.out == "nothing new: every late reading is counted already\n"
    issued.write("late.csv", "time,power\n2014-01-01T00:00:00+01:00,0\n")
    good(issued("import", "--site", "lab", "--source", "scada", "late.csv"))
    dry = issued("reductions", "correct", "--project", "lab-wind", "--dry-run", "--json")
    (item,) = good(dry).json()["corrections"]
    # 600 kW x 1/6 h x 0.4329 kg/kWh
    assert (item["effect_kg"], item["effect_kg_exact"]) == ("-43.290000000", "-4329/100")
    assert (item["state"], item["carried_kg"]) == ("carried", "-43.290000000")
    assert item["open_kg"] == "43.290000000"  # as the run itself would say
    assert good(issued("reductions", "corrections", "--json")).json() == {"corrections": []}

    done = good(issued("reductions", "correct", "--project", "lab-wind", "--cancel"))
    assert "late readings: 44 kg are cancelled on chain\n" in done.out
    (row,) = good(issued("reductions", "corrections", "--json")).json()["corrections"]
    assert (row["state"], row["cancelled_kg"], row["open_kg"]) == ("cancelled", "44", "0.000000000")
    assert (row["overpaid_kg"], row["carried_kg"]) == ("0.000000000", "0.000000000")
    assert row["period"] == {"from": "2014-01-01", "to": "2014-02-01"}
    listed = good(issued("credits", "list", "--json", "--status", "cancelled")).json()["credits"]
    assert [credit["amount"] for credit in listed] == ["0.044"]
    again = good(issued("reductions", "correct", "--project", "lab-wind", "--cancel"))
    assert again.out == "nothing new: every late reading is counted already\n"
    rules = good(issued("reconcile", "--json")).json()["rules"]
    assert {"name": "corrections", "ok": True, "differences": []} in rules
    # The issuance verifies as before.
    paths = ("after/manifest.json", "after/readings.csv.gz")
    good(issued("reductions", "verify", *paths))
    good(issued("reductions", "export", "--credit", NAME, "-o", "later"))
    assert (issued.folder / "later" / "readings.csv.gz").read_bytes() == (
        issued.folder / "after" / "readings.csv.gz"
    ).read_bytes()
    assert "paid twice" not in good(issued("reductions", "corrections")).out
    # As a fork below finality leaves it: tests/flows/test_deep_forks.py.
    with closing(sqlite3.connect(issued.folder / ".truetonne" / "truetonne.db")) as books, books:
        books.execute(
            "INSERT INTO correction_carries (correction_id, issuance_id, carried_kg) "
            "SELECT id, issuance_id, '-4329/100' FROM corrections"
        )
    said = "2014-01-01 to 2014-02-01: 43.290000000 kg were paid twice; so much too little is issued"
    assert said in good(issued("reductions", "corrections")).out


@long
def test_what_a_register_counts_over_the_border_of_a_period_is_said(tmp_path: Path) -> None:
    program = Program(tmp_path)
    site = SITE.replace('kind = "power"\nunit = "kW"', 'kind = "counter"\nunit = "MWh"')
    good(
        program("site", "apply", program.write("site.toml", site.replace('label = "start"\n', "")))
    )
    days = ("2014-01-30", "2014-01-31", "2014-02-01")
    lines = [f"{day}T08:00:00+01:00,{number}.5" for number, day in enumerate(days)]
    file = program.write("r.csv", "\n".join(["time,power", *lines, ""]))
    good(program("import", "--site", "lab", "--source", "scada", file))
    found = good(program("reductions", *JANUARY, "--json")).json()
    assert found["net_kwh"] == "1000.000000000"
    assert found["over_borders"] == [
        {
            "device": "T1",
            "from": "2014-01-31T08:00:00+01:00",
            "to": "2014-02-01T08:00:00+01:00",
            "kwh": "1000.000000000",
        }
    ]
    last = good(program("reductions", *JANUARY)).out.splitlines()[-1]
    assert last.startswith(
        "device T1: 1000.000000000 kWh from 2014-01-31T08:00:00+01:00 to 2014-02-01"
    )
