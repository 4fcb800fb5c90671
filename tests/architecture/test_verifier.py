"""The verifier stands alone, and its slots and events are those of the contract."""

import ast
import re
import subprocess
import sys
from pathlib import Path

from eth_utils.abi import event_signature_to_log_topic

from ledger.chain.contracts.abi import artifact
from ledger.chain.contracts.layout import canonical_type
from ledger.proofs.verifier import ledger
from tests.support.solidity import compile_with, sources_of

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "ledger" / "proofs" / "verifier"
OWN = "ledger.proofs.verifier"


def test_it_imports_the_standard_library_a_keccak_and_itself() -> None:
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0
                names = [node.module or ""]
            for name in names:
                known = name.startswith(OWN) or name == "sha3"
                assert known or name.split(".")[0] in sys.stdlib_module_names, (path.name, name)


def test_an_auditor_reads_it_in_one_sitting() -> None:
    """Fewer than 550 lines of code; docstrings, comments and blank lines aside."""
    code = 0
    for path in PACKAGE.glob("*.py"):
        text = path.read_text()
        prose = {
            line
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
        }
        lines = enumerate(text.splitlines(), start=1)
        code += sum(at not in prose and line.strip()[:1] not in ("", "#") for at, line in lines)
    assert code < 550


def test_nothing_else_of_ours_is_loaded_with_it() -> None:
    program = (
        f"import sys, {OWN}; "
        "print(*sorted(name for name in sys.modules if name.split('.')[0] in "
        "('ledger', 'api', 'cli', 'indexer', 'sqlalchemy', 'httpx', 'web3')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = done.stdout.split()
    assert [name for name in loaded if not name.startswith(OWN)] == ["ledger", "ledger.proofs"]


def test_its_slots_are_those_that_the_compiler_lays_out() -> None:
    file, name = "contracts/CarbonCredit.sol", "CarbonCredit"
    made = compile_with(sources_of(file, {}), {file: {name: ["storageLayout"]}})
    layout = made[file][name]["storageLayout"]
    top = {item["label"]: item for item in layout["storage"]}
    book = top["_book"]
    members = layout["types"][book["type"]]["members"]
    inner = {item["label"]: int(book["slot"]) + int(item["slot"]) for item in members}
    counters = next(item for item in members if item["label"] == "counters")
    first = layout["types"][counters["type"]]["members"][0]
    assert {
        "admin": int(top["_currentDefaultAdmin"]["slot"]),
        "head": inner["head"],
        "counters": inner["counters"],
    } == ledger.SLOTS
    assert {"batch": inner["batches"], "deficit": inner["deficits"]} == ledger.MAPPINGS
    assert {"project": inner["projectOfCode"], "site": inner["siteOfCode"]} == ledger.CODES
    assert top["_currentDefaultAdmin"]["offset"] == 0
    assert (first["label"], first["offset"], first["type"]) == ("seq", 0, "t_uint64")


def test_its_events_are_those_of_the_contract() -> None:
    known = {
        item["name"]: f"{item['name']}({','.join(canonical_type(part) for part in item['inputs'])})"
        for item in artifact("CarbonCredit").abi
        if item["type"] == "event"
    }
    for name, topic in ledger.EVENTS.items():
        assert topic == event_signature_to_log_topic(known[name.capitalize()])
    guide = (ROOT / "docs" / "audit-guide.md").read_text()
    for kind in ("Class", "Project", "Site"):
        topic = event_signature_to_log_topic(known[f"{kind}Registered"])
        assert f"| `{kind}Registered` | `0x{topic.hex()}` |" in guide


def test_its_statuses_are_those_of_the_contract() -> None:
    text = (ROOT / "contracts" / "interfaces" / "ICreditOversight.sol").read_text()
    body = re.search(r"enum Status \{(.*?)\}", text, re.DOTALL)
    assert body is not None
    names = [name.strip().lower() for name in body[1].split(",")]
    assert list(ledger.STATUSES) == ["unknown", *names[1:]]
