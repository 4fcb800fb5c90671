"""The contracts compiled anew from the sources, whatever any cache holds.

Brownie compiles what changed under ``contracts/`` and takes the rest from its cache. What it does not see: a library
in ``node_modules`` that changed, an artifact that did, and a library of ours that an abstract contract imports, whose
text is in the metadata hash of what inherits from it. What proves a deployment, or is committed, must not go by it.
"""

import json
import os
import signal
import subprocess
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from ledger.errors import KILLED, BadInput, DependencyDown
from scripts import create2
from scripts.linking import LIBRARIES
from scripts.toolchain.brownie_home import ROOT

CONTRACTS = ("CarbonCredit", "VppSettlement", "TestCurrency", *LIBRARIES)


def fresh_builds(root: Path = ROOT, names: Sequence[str] = CONTRACTS) -> dict[str, dict[str, Any]]:
    """Compile contracts with the pinned compiler and the settings of ``brownie-config.yaml``.

    Returns
    -------
    dict
        By name ``contractName``, ``abi``, ``bytecode`` and ``deployedBytecode`` (hex without ``0x``), the
        libraries' addresses in both codes, as ``scripts.linking.linked_build`` returns them.

    Raises
    ------
    BadInput
        If the sources do not compile, or do not have a contract.
    DependencyDown
        If the compiler does not run.
    """
    output = _compile(root, _standard_input(root, {*names, *LIBRARIES}))
    found = {
        name: (path, compiled)
        for path, contracts in output["contracts"].items()
        for name, compiled in contracts.items()
        if path.startswith("contracts/")
    }
    lacking = sorted({*names, *LIBRARIES} - set(found))
    if lacking:
        raise BadInput(f"the sources have no contract {', '.join(lacking)}")
    addresses = {
        found[name][0] + ":" + name: _library_address(found[name][1]) for name in LIBRARIES
    }
    return {name: _build(name, found[name][1], addresses) for name in names}


def _standard_input(root: Path, names: Set[str]) -> dict[str, Any]:
    """Return what the compiler is asked: all sources, and the code of the files that are named as the contracts."""
    config = _config(root)
    solc = config["solc"]
    sources = {
        path.relative_to(root).as_posix(): {"content": path.read_text(encoding="utf-8")}
        for path in sorted((root / "contracts").rglob("*.sol"))
    }
    wanted = ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"]
    return {
        "language": "Solidity",
        "sources": sources,
        "settings": {
            "remappings": solc["remappings"],
            "optimizer": solc["optimizer"],
            "evmVersion": config["evm_version"],
            "outputSelection": {
                path: {"*": wanted} for path in sources if Path(path).stem in names
            },
        },
    }


def _config(root: Path) -> dict[str, Any]:
    import yaml

    text = (root / "brownie-config.yaml").read_text(encoding="utf-8")
    compiler: dict[str, Any] = yaml.safe_load(text)["compiler"]
    return compiler


def _compile(root: Path, given: dict[str, Any]) -> dict[str, Any]:
    """Return the compiler's output."""
    compiler = _compiler(root)
    try:
        ended = subprocess.run(
            [compiler, "--standard-json", "--base-path", root, "--allow-paths", root],
            cwd=root,
            input=json.dumps(given),
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise DependencyDown(
            f"the compiler {compiler} does not run ({error.strerror}): correct SOLCX_BINARY_PATH, or unset it and use "
            "./dev"
        ) from error
    if ended.returncode == -signal.SIGKILL:
        raise DependencyDown(f"the compiler {compiler} {KILLED}; try again")
    if ended.returncode != 0:
        raise DependencyDown(
            f"the compiler {compiler} does not run: {ended.stderr.strip() or ended.returncode}"
        )
    output: dict[str, Any] = json.loads(ended.stdout)
    errors = [
        item["formattedMessage"] for item in output.get("errors", []) if item["severity"] == "error"
    ]
    if errors:
        raise BadInput(f"the sources do not compile: {errors[0]}")
    return output


def _compiler(root: Path) -> Path:
    """Return npm's compiler, or the native one of the same version in the folder that SOLCX_BINARY_PATH names."""
    named = os.environ.get("SOLCX_BINARY_PATH")
    folder = Path(named) if named else ROOT / "scripts" / "toolchain" / "solc"
    return folder / f"solc-v{_config(root)['solc']['version']}"


def _library_address(compiled: dict[str, Any]) -> str:
    code = bytes.fromhex(compiled["evm"]["bytecode"]["object"])
    return create2.address_of(create2.salt(), code)


def _build(name: str, compiled: dict[str, Any], addresses: dict[str, str]) -> dict[str, Any]:
    codes = {
        "bytecode": compiled["evm"]["bytecode"]["object"],
        "deployedBytecode": compiled["evm"]["deployedBytecode"]["object"],
    }
    for library, address in addresses.items():
        mark = f"__${keccak(text=library).hex()[:34]}$__"
        codes = {kind: code.replace(mark, address[2:].lower()) for kind, code in codes.items()}
    if "__" in codes["bytecode"] + codes["deployedBytecode"]:
        raise BadInput(f"{name} links to a library that scripts/linking.py does not know")
    return {"contractName": name, "abi": compiled["abi"], **codes}
