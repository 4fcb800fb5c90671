"""A small contract of a test's own, compiled with the project's compiler and libraries."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SOLC = next((ROOT / "scripts" / "toolchain" / "solc").glob("solc-v*"))
_IMPORT = re.compile(r'from\s+"([^"]+)"|^import\s+"([^"]+)"', re.MULTILINE)


def sources_of(path: str, found: dict[str, Any], text: str | None = None) -> dict[str, Any]:
    """Return a Solidity file with all that it imports, as the compiler's input wants them."""
    if path not in found:
        folder = ROOT / "node_modules" if path.startswith("@") else ROOT
        content = (folder / path).read_text() if text is None else text
        found[path] = {"content": content}
        for pair in _IMPORT.findall(content):
            name = pair[0] or pair[1]
            relative = name.startswith(".")
            sources_of(os.path.normpath(f"{Path(path).parent}/{name}") if relative else name, found)
    return found


def compile_with(sources: dict[str, Any], output: dict[str, dict[str, list[str]]]) -> Any:
    """Return what the compiler says of some sources, as its standard JSON has it."""
    request = {
        "language": "Solidity",
        "sources": sources,
        "settings": {"evmVersion": "prague", "outputSelection": output},
    }
    done = subprocess.run(
        [SOLC, "--standard-json"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PATH": f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"},
    )
    return json.loads(done.stdout)["contracts"]


def compiled(text: str, name: str) -> str:
    """Return the runtime code of a contract, hexadecimal with 0x."""
    file = f"{name}.sol"
    output = {file: {name: ["evm.deployedBytecode.object"]}}
    made = compile_with(sources_of(file, {}, text), output)
    return "0x" + str(made[file][name]["evm"]["deployedBytecode"]["object"])
