"""The machinery of ``./dev prove`` sees what is wrong: each of its judges fails when it must."""

import re
import shlex
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

from scripts.prove import forge, halmos, slither
from scripts.prove.mutants import campaign, operators
from scripts.prove.mutants.workshop import Verdict

REASON = "a reason that is long enough"


def test_gas_beyond_the_tolerance_is_said() -> None:
    known = {"near": 100_000, "dear": 100_000, "cheap": 100_000, "gone": 1}
    measured = {"near": 100_200, "dear": 100_201, "cheap": 99_000, "new": 1}
    said = forge.differences(known, measured)
    assert [line.split(":")[0] for line in said] == [
        "gas of cheap",
        "gas of dear",
        "gas of gone",
        "gas of new",
    ]


def test_halmos_finds_its_solver_where_the_way_there_has_a_blank(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It takes the command of the solver apart as a shell does: nothing was proven below ``/home/me/my clone``."""
    solver = tmp_path / "my clone" / "yices-smt2"
    asked: list[list[str]] = []

    def run(command: list[str], **_: object) -> SimpleNamespace:
        asked.append([str(word) for word in command])
        return SimpleNamespace(text="", out="", seconds=0.0)

    monkeypatch.setattr(halmos.shop, "built", lambda: {"FOUNDRY_OUT": str(halmos.shop.ROOT / "o")})
    monkeypatch.setattr(halmos.shop, "tool", solver.with_name)
    monkeypatch.setattr(halmos.shop, "BUILD", tmp_path)
    monkeypatch.setattr(halmos.shop, "run", run)
    assert not halmos.prove(short=True)["ok"]
    (words,) = asked
    given = shlex.split(words[words.index("--solver-command") + 1])
    assert given == [str(solver), "--smt2-model-format"]


def test_halmos_counts_no_proof_that_was_cut_short() -> None:
    text = (
        "\nRunning 3 tests for tests/forge/symbolic/A.t.sol:A\n"
        "\x1b[32m[PASS]\x1b[0m check_good(uint256) (paths: 4, time: 0.24s, bounds: [])\n"
        "WARNING  check_cut(): paths have not been\n"
        "[PASS] check_cut() (paths: 2, time: 1.00s, bounds: [])\n"
        "[FAIL] check_bad((bytes32,uint32)) (paths: 9, time: 2.50s, bounds: [])\n"
    )
    assert halmos.read(text) == {
        "A.check_good": ("PASS", 4, 0.24),
        "A.check_cut": ("BOUNDED", 2, 1.0),
        "A.check_bad": ("FAIL", 9, 2.5),
    }


def test_every_property_of_the_sources_is_wanted() -> None:
    names = halmos.properties()
    assert len(names) == len(set(names)) > 60
    assert {name.split(".")[0] for name in names} == {
        "CreditAccessProperties",
        "CreditHoldersProperties",
        "CreditProperties",
        "RolesProperties",
        "SettlementAccessProperties",
        "SettlementProperties",
        "TradesProperties",
    }
    # The short form proves some of each set-up.
    assert set(halmos.SHORT) <= set(names)
    assert {_set_up(name) for name in halmos.SHORT} == {_set_up(name) for name in names}


def _set_up(name: str) -> str:
    """The first word of a suite's name: what its contracts are."""
    return re.findall("[A-Z][a-z]+", name)[0]


@pytest.mark.parametrize(
    ("accepted", "said"),
    [
        ([("assembly", "A.f", REASON), ("timestamp", "A.*", REASON)], []),
        ([("assembly", "A.f", REASON)], ["not accepted: timestamp at A.g (a.sol:2)"]),
        (
            [("assembly", "A.*", REASON), ("timestamp", "*", REASON), ("assembly", "B.f", REASON)],
            ["accepted and not found: assembly at B.f"],
        ),
        (
            [("assembly", "A.f", "because"), ("timestamp", "A.g", REASON)],
            ["accepted without a reason: assembly"],
        ),
    ],
)
def test_slithers_findings_are_judged(
    accepted: list[tuple[str, str, str]], said: list[str]
) -> None:
    found = [
        slither.Finding("assembly", "A.f", "a.sol:1"),
        slither.Finding("timestamp", "A.g", "a.sol:2"),
    ]
    entries = [{"check": c, "where": [w], "reason": r} for c, w, r in accepted]
    assert slither.judge(found, entries) == said


def test_survivors_are_explained_and_explanations_have_a_survivor() -> None:
    verdicts = {
        "killed": Verdict("forge", "test", 1),
        "known": Verdict("survived", "", 1),
        "unknown": Verdict("survived", "", 1),
        "asked": Verdict("waiting", "", 1),
        "stale": Verdict("brownie", "test", 1),
    }
    explained = {"known": REASON, "stale": REASON, "gone": REASON}
    assert campaign.judge(verdicts, explained, verdicts) == [
        "survived: unknown",
        "survived: asked",
        "explained as a survivor, and killed: stale",
        "explained as a survivor, and not there: gone",
    ]


def test_mutants_that_do_not_compile_show_nothing() -> None:
    killed, broken = Verdict("forge", "test", 1), Verdict("invalid", "", 1)
    said = ["short.toml names a mutant that does not compile: one"]
    assert campaign.unbuilt({"one": broken, "two": killed}, short=True) == said
    assert campaign.unbuilt({"one": broken, "two": killed}, short=False) == []
    assert campaign.unbuilt({"one": broken}, short=False) == ["no mutant compiles"]


def test_the_tables_are_readable() -> None:
    for file in (campaign.SURVIVORS_FILE, campaign.SHORT_FILE, slither.ACCEPTED_FILE):
        assert tomllib.loads(file.read_text(encoding="utf-8")), file


def test_a_statement_is_left_out_and_a_comparison_moved() -> None:
    source = b"contract A { function f() { if (a < b) revert(); g(); } }"

    def node(kind: str, text: bytes, **more: object) -> dict[str, object]:
        return {"nodeType": kind, "src": f"{source.index(text)}:{len(text)}:0", **more}

    compared = node(
        "BinaryOperation",
        b"a < b",
        operator="<",
        leftExpression={"nodeType": "Identifier", "src": "32:1:0"},
        rightExpression={"nodeType": "Identifier", "src": "36:1:0"},
    )
    check = node(
        "IfStatement",
        b"if (a < b) revert()",
        condition=compared,
        trueBody={"nodeType": "RevertStatement", "src": "39:8:0", "errorCall": {}},
    )
    body = [check, node("ExpressionStatement", b"g()")]
    function = {"nodeType": "FunctionDefinition", "name": "f", "src": "13:10:0", "body": body}
    contract = {"nodeType": "ContractDefinition", "name": "A", "src": "0:1:0", "nodes": [function]}
    found = operators.mutants("A.sol", source, {"nodes": [contract]})
    assert {mutant.name: mutant.apply(source).decode() for mutant in found} == {
        "A.f:remove-check:if (a < b) revert()": "contract A { function f() { {} g(); } }",
        "A.f:compare:<": "contract A { function f() { if (a <= b) revert(); g(); } }",
        "A.f:remove-statement:g()": "contract A { function f() { if (a < b) revert(); {} } }",
    }
