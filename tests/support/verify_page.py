"""The page's verifier, run by the project's Node."""

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ledger.proofs.verifier import Trusted

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "api" / "verifier" / "verify.html"
SCRIPT = Path(__file__).with_suffix(".mjs")


def case(text: str, trusted: Trusted) -> dict[str, Any]:
    """Return a bundle to be judged."""
    return {
        "text": text,
        "trusted": {
            "blockHash": trusted.block_hash.hex(),
            "address": trusted.address.hex(),
            "codeHash": trusted.code_hash.hex(),
            "chainId": str(trusted.chain_id),
        },
    }


def answers(cases: Iterable[dict[str, Any]]) -> list[Any]:
    """Return what the page says of each case.

    ``{"hash": hexadecimal}`` asks for a keccak, ``{"say": sentence}`` for its Chinese.
    """
    given = [json.dumps(each) for each in cases]
    done = subprocess.run(
        ["node", str(SCRIPT), str(PAGE)],
        input="\n".join(given),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(given)
    return found


def judged(cases: Iterable[dict[str, Any]]) -> list[Any]:
    """Return the page's verdicts, without the sentence in which it says why a bundle was refused."""
    found = answers(cases)
    for each in found:
        each.pop("message", None)
    return found
