"""The contracts' ABI and bytecode, generated from the compiler's output by ``scripts/export_abi.py``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class Artifact:
    """What the compiler made of one contract; byte codes are hexadecimal text with ``0x``."""

    name: str
    abi: list[dict[str, Any]]
    bytecode: str
    deployed_bytecode: str
    source_hash: str

    @cached_property
    def abi_text(self) -> str:
        """The interface as JSON without spaces, as ``smart_contracts`` has it."""
        return json.dumps(self.abi, separators=(",", ":"))


def is_known(name: str) -> bool:
    """Return whether a contract of that name was exported."""
    return name.isidentifier() and (files(__name__) / f"{name}.json").is_file()


@cache
def artifact(name: str) -> Artifact:
    """Return the artifact of a contract by its name.

    Raises
    ------
    FileNotFoundError
        If no contract of that name was exported.
    """
    raw = json.loads((files(__name__) / f"{name}.json").read_text(encoding="utf-8"))
    return Artifact(
        name=raw["contractName"],
        abi=raw["abi"],
        bytecode=raw["bytecode"],
        deployed_bytecode=raw["deployedBytecode"],
        source_hash=raw["sourceHash"],
    )
