"""``--backfill``, as a person gives it: a period that was left out is issued, by a key at hand or by files."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import good, lab_on
from tests.support.chain import TestChain
from tests.support.forms import long
from tests.support.mirror import running_chain


@pytest.fixture
def chain() -> Iterator[TestChain]:
    with running_chain() as chain:
        yield chain


def days(first: int, end: int) -> tuple[str, ...]:
    """Return the options of a period; 300.083333 kWh a day, 129.906075 kg."""
    return ("--project", "lab-wind", "--from", f"2014-01-{first:02}", "--to", f"2014-01-{end:02}")


@long
def test_a_period_that_was_left_out(chain: TestChain, tmp_path: Path) -> None:
    program = lab_on(chain, tmp_path)
    for words in (
        ("db", "upgrade"),
        ("site", "apply", "site.toml"),
        ("import", "--site", "lab", "--source", "scada", "readings.csv"),
        ("credits", "issue", *days(1, 4)),
        ("credits", "issue", *days(8, 9)),
    ):
        good(program(*words))
    refused = program("credits", "issue", *days(4, 5))
    assert refused.code == 1
    assert "can be issued as a backfill alone, with --backfill, if it was left out" in (
        refused.one_line()
    )
    early = program("credits", "issue", *days(9, 10), "--backfill")
    assert early.code == 1 and "leave --backfill out" in early.one_line()
    dry = good(program("credits", "issue", *days(4, 5), "--backfill", "--dry-run"))
    assert dry.out == "would issue 129 kg, vintage 2014, as a backfill before batch 2\n"

    wrote = good(
        program("credits", "verification", "write", *days(5, 7), "--backfill", "-o", "out")
    )
    assert wrote.out.splitlines()[2] == "out: a backfill before batch 2"
    said = json.loads((tmp_path / "out" / "verification.json").read_text())
    assert (said["issued_kg"], said["backfill_before"]) == ("259", 2)
    signed = good(program("credits", "verification", "sign", "out/verification.json", "--ask-node"))
    assert "It is a backfill: the period was left out when batch 2 of the site" in signed.out
    assert "ok      the claim: the chain has its time free before batch 2 of the site" in signed.out
    read = good(program("credits", "verification", "read", "out/verification.json", "--json"))
    (row,) = read.json()["read"]
    assert (row["serials"], row["backfill_before"]) == ("lab-wind-2014-3-1-259", 2)
    once_more = good(program("credits", "verification", "read", "out/verification.json"))
    assert once_more.out.splitlines()[0].endswith("  state      backfill before batch")
    sent = good(program("credits", "issue", *days(4, 5), "--backfill", "--json")).json()
    (row,) = sent["issuances"]
    assert (row["serials"], row["backfill_before"], row["carry_in_kg"]) == (
        "lab-wind-2014-4-1-129",
        3,
        "0.000000000",
    )
    head, row = good(program("credits", "issue", *days(7, 8), "--backfill")).out.splitlines()[:2]
    assert head.endswith("  state      backfill before batch") and row.endswith("  2")
    values = good(program("credits", "show", "lab-wind-2014-5")).out.splitlines()
    assert ["batch", "is", "a", "backfill", "before", str(2 << 32 | 2)] in [
        line.split() for line in values
    ]
    good(program("reconcile"))
    bundle = ("credits", "bundle", "lab-wind-2014-4", "--readings", "all", "-o", "b.json")
    trusted = good(program(*bundle, "--json")).json()["trusted"]
    options = [word for name in trusted for word in (f"--{name.replace('_', '-')}", trusted[name])]
    proven = good(program("verify", "b.json", *map(str, options)))
    assert "which is what was issued, and no remainder is carried into this backfill" in proven.out
