"""Write the slim artifacts that the package carries: ABI, byte code and metadata hash.

``python -m scripts.export_abi`` compiles the sources anew and writes ``ledger/chain/contracts/abi/*.json``;
``--check`` writes nothing and fails when a file differs from what the compiler makes of the
sources.
"""

import json
from typing import Any

from scripts.fresh import fresh_builds
from scripts.generated import kept, run
from scripts.toolchain.brownie_home import ROOT

FOLDER = ROOT / "ledger" / "chain" / "contracts" / "abi"


def metadata_hash(deployed_bytecode: str) -> str:
    """Return the hash that the compiler put at the end of the code, as ``0x`` and 64 digits.

    It is the SHA-256 of the metadata's IPFS block, which commits to the compiler, its settings and
    the text of every source. The code ends in ``a264 "ipfs" 5822 1220 <32 bytes> 64 "solc" 43
    <3 bytes> 0033``.

    Raises
    ------
    ValueError
        If the code does not end that way.
    """
    code = bytes.fromhex(deployed_bytecode.removeprefix("0x"))
    tail = code[-53:]
    if not tail.startswith(b"\xa2\x64ipfs\x58\x22\x12\x20") or tail[-2:] != b"\x00\x33":
        raise ValueError("the code does not end in the compiler's metadata hash")
    return "0x" + tail[10:42].hex()


def slim(artifact: dict[str, Any]) -> dict[str, Any]:
    """Return what the package needs of a Brownie artifact."""
    return {
        "contractName": artifact["contractName"],
        "sourceHash": metadata_hash(artifact["deployedBytecode"]),
        "abi": [_entry(item) for item in artifact["abi"]],
        "bytecode": "0x" + artifact["bytecode"],
        "deployedBytecode": "0x" + artifact["deployedBytecode"],
    }


def _entry(item: dict[str, Any]) -> dict[str, Any]:
    """Return an entry as the compiler wrote it: Brownie gives the constructor a name."""
    if item["type"] == "constructor":
        return {key: value for key, value in item.items() if key != "name"}
    return item


def text_of(artifact: dict[str, Any]) -> str:
    """Return the text of an artifact's file: an entry of the ABI on a line, so that diffs read."""
    abi = ",\n".join(f"  {json.dumps(entry)}" for entry in artifact["abi"])
    parts = [
        f'"{key}": [\n{abi}\n ]' if key == "abi" else f"{json.dumps(key)}: {json.dumps(value)}"
        for key, value in artifact.items()
    ]
    return "{\n " + ",\n ".join(parts) + "\n}\n"


def export(check: bool = False) -> list[str]:
    """Write the artifacts, or only compare them; return the names of those that differ."""
    artifacts = fresh_builds().items()
    return kept({FOLDER / f"{name}.json": text_of(slim(item)) for name, item in artifacts}, check)


if __name__ == "__main__":
    run(export)
