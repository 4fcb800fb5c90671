"""The verifier stands alone, and its slots and events are those of the contract."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from eth_utils.abi import event_signature_to_log_topic

from ledger.chain.abi import artifact
from ledger.chain.layout import canonical_type
from ledger.proofs.verifier import ledger
from ledger.proofs.verifier.trie import keccak256

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "ledger" / "proofs" / "verifier"
OWN = "ledger.proofs.verifier"
SOLC = next((ROOT / "scripts" / "toolchain" / "solc").glob("solc-v*"))


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


def sources_of(path: str, found: dict[str, Any]) -> dict[str, Any]:
    """Return a Solidity file with all that it imports, as the compiler's input wants them."""
    if path not in found:
        folder = ROOT / "node_modules" if path.startswith("@") else ROOT
        text = (folder / path).read_text()
        found[path] = {"content": text}
        for pair in re.findall(r'from\s+"([^"]+)"|^import\s+"([^"]+)"', text, re.MULTILINE):
            name = pair[0] or pair[1]
            relative = name.startswith(".")
            sources_of(os.path.normpath(f"{Path(path).parent}/{name}") if relative else name, found)
    return found


def test_its_slots_are_those_that_the_compiler_lays_out() -> None:
    file, name = "contracts/CarbonCredit.sol", "CarbonCredit"
    request = {
        "language": "Solidity",
        "sources": sources_of(file, {}),
        "settings": {"evmVersion": "prague", "outputSelection": {file: {name: ["storageLayout"]}}},
    }
    done = subprocess.run(
        [SOLC, "--standard-json"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PATH": f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"},
    )
    layout = json.loads(done.stdout)["contracts"][file][name]["storageLayout"]
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
    assert top["_currentDefaultAdmin"]["offset"] == 0
    assert (first["label"], first["offset"], first["type"]) == ("seq", 0, "t_uint64")


def test_its_events_are_those_of_the_contract() -> None:
    known = {
        item["name"]: f"{item['name']}({','.join(canonical_type(part) for part in item['inputs'])})"
        for item in artifact("CarbonCredit").abi
        if item["type"] == "event"
    }
    for name, signature in ledger.EVENTS.items():
        assert signature == known[name.capitalize()]
        assert keccak256(signature.encode()) == event_signature_to_log_topic(signature)


def test_its_statuses_are_those_of_the_contract() -> None:
    text = (ROOT / "contracts" / "interfaces" / "ICreditOversight.sol").read_text()
    body = re.search(r"enum Status \{(.*?)\}", text, re.DOTALL)
    assert body is not None
    names = [name.strip().lower() for name in body[1].split(",")]
    assert list(ledger.STATUSES) == ["unknown", *names[1:]]
