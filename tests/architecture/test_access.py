"""Every function that changes state has a property that says who may call it, or is open to anyone.

A property is a ``check_only…`` of a symbolic suite; it speaks of the functions whose calls it encodes,
the acts aside that only prepare its ground or show that the party itself may (``works``). What is open
to anyone stands in ``open.toml`` with its reason, and with what shows that it does no harm.
"""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.export_abi import FOLDER

ROOT = Path(__file__).resolve().parents[2]
SUITES = ROOT / "tests" / "forge" / "symbolic"
SPEC = ROOT / "contracts" / "SPEC.md"
CONTRACTS = ("CarbonCredit", "VppSettlement")
# Of which contracts a suite speaks, by the first word of its file.
SUBJECTS = {"Credit": {CONTRACTS[0]}, "Settlement": {CONTRACTS[1]}, "Roles": set(CONTRACTS)}
PROPERTY = re.compile(r"^    function (check_\w+)\(.*?^    }$", re.MULTILINE | re.DOTALL)
ENCODED = re.compile(r"abi\.encodeCall\(\s*\w+\.(\w+)\s*,")


def changing(contract: str) -> set[str]:
    """Return the functions of a contract's ABI that are neither view nor pure."""
    abi = json.loads((FOLDER / f"{contract}.json").read_text(encoding="utf-8"))["abi"]
    return {
        entry["name"]
        for entry in abi
        if entry["type"] == "function" and entry["stateMutability"] not in ("view", "pure")
    }


def properties(source: str) -> Iterator[tuple[str, set[str]]]:
    """Return each property of a suite with the functions whose calls it examines."""
    for found in PROPERTY.finditer(source):
        yield found[1], set(ENCODED.findall(_without_works(found[0])))


def _without_works(body: str) -> str:
    """Leave out the calls of ``works``, with all that stands in their parentheses."""
    while start := re.search(r"\b_?works\(", body):
        depth, end = 1, start.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(body[end], 0)
            end += 1
        body = body[: start.start()] + body[end:]
    return body


def guarded(contract: str) -> set[str]:
    """Return the functions of a contract of which a property says who may call them."""
    named: set[str] = set()
    for path in sorted(SUITES.glob("*.t.sol")):
        subject = next(
            (found for word, found in SUBJECTS.items() if path.name.startswith(word)), ()
        )
        if contract in subject:
            for name, functions in properties(path.read_text(encoding="utf-8")):
                named |= functions if name.startswith("check_only") else set()
    return named


def opened() -> list[dict[str, str | list[str]]]:
    """Return what stands in the list of functions that anyone may call."""
    entries: list[dict[str, str | list[str]]] = tomllib.loads(
        (SUITES / "open.toml").read_text(encoding="utf-8")
    )["open"]
    return entries


@pytest.mark.parametrize("contract", CONTRACTS)
def test_every_function_says_who_may_call_it(contract: str) -> None:
    open_ones = {entry["function"] for entry in opened() if entry["contract"] == contract}
    functions = changing(contract)
    assert len(functions) > 20
    assert functions - guarded(contract) - open_ones == set()
    assert open_ones - functions == set(), "there is no such function"
    assert open_ones & guarded(contract) == set(), "open, and guarded by a property"


def test_what_is_open_is_shown_to_do_no_harm() -> None:
    known = {
        name
        for path in SUITES.glob("*.t.sol")
        for name, _ in properties(path.read_text(encoding="utf-8"))
    }
    known |= set(re.findall(r"^- \*\*([A-Z]{2}-\d\d)\*\* ", SPEC.read_text("utf-8"), re.MULTILINE))
    for entry in opened():
        assert entry["contract"] in CONTRACTS
        assert min(len(entry["changes"]), len(entry["reason"])) > 20, entry["function"]
        assert entry["shown"] and set(entry["shown"]) - known == set(), entry["function"]


def test_a_property_speaks_of_what_it_calls_and_not_of_its_preparations() -> None:
    source = """
    /// @notice CC-52: only the admin resumes.
    function check_onlyTheAdminUnpauses(address caller) external {
        works(PAUSER, abi.encodeCall(ICreditOversight.pause, ()));
        refusedTo(caller, ADMIN, abi.encodeCall(ICreditOversight.unpause, ()));
    }

    /// @notice CC-50: only a suspender suspends.
    function check_onlyASuspenderSuspends(address caller, uint256 batchId) external {
        bytes memory data = abi.encodeCall(
            ICreditOversight.suspend, (batchId)
        );
        refusedTo(caller, SUSPENDER, data);
    }
"""
    assert list(properties(source)) == [
        ("check_onlyTheAdminUnpauses", {"unpause"}),
        ("check_onlyASuspenderSuspends", {"suspend"}),
    ]
