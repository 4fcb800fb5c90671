"""Slither: static analysis; each finding is mended or stands in slither.toml with its reason."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from scripts.prove import shop

ACCEPTED_FILE = Path(__file__).with_name("slither.toml")
PASSED_OVER = "node_modules"
NOT_JUDGED = ("tests/", "contracts/mocks/")
LEDGER = "contracts/CarbonCredit.sol"
TIMEOUT_S = 600


@dataclass(frozen=True)
class Finding:
    """A detector and the element that it points at, ``Contract.element``."""

    check: str
    where: str
    line: str

    def __str__(self) -> str:
        return f"{self.check} at {self.where} ({self.line})"


def prove(short: bool) -> dict[str, Any]:
    """Ask Slither, and compare with what is accepted; the same in short and long form."""
    env = shop.built()
    out = Path(env["FOUNDRY_OUT"])
    answer = shop.BUILD / "slither" / "answer.json"
    answer.unlink(missing_ok=True)
    command: list[str | Path] = [
        shop.tool("slither"),
        ".",
        "--compile-force-framework=foundry",
        "--foundry-ignore-compile",
        f"--foundry-out-directory={out.relative_to(shop.ROOT)}",
        f"--foundry-build-info-directory={_of_contracts(out).relative_to(shop.ROOT)}",
        f"--filter-paths={PASSED_OVER}",
        "--json",
        answer,
    ]
    done = shop.run(command, timeout_s=TIMEOUT_S, env=env)
    if not answer.exists():
        raise shop.Refused(f"slither gives no answer: {done.text[-2000:]}")
    found = findings(json.loads(answer.read_text(encoding="utf-8")))
    wrong = judge(found, tomllib.loads(ACCEPTED_FILE.read_text(encoding="utf-8"))["accepted"])
    return {
        "ok": not wrong,
        "wrong": wrong,
        "seconds": round(done.seconds, 1),
        "findings": len(found),
        "accepted": len(found) - sum(text.startswith("not accepted") for text in wrong),
        "by_check": dict(Counter(finding.check for finding in found)),
    }


def _of_contracts(out: Path) -> Path:
    """Write what the compiler said of the contracts, without suites and mocks, into a folder; return that."""
    # One build, see shop.built, has a file of each compiler profile, see foundry.toml.
    documents = [
        json.loads(file.read_text(encoding="utf-8"))
        for file in sorted((out / "build-info").glob("*.json"))
    ]
    (document,) = (each for each in documents if LEDGER in each["output"]["sources"])
    for part in (document["input"]["sources"], *document["output"].values()):
        if isinstance(part, dict):
            for name in [name for name in part if name.startswith(NOT_JUDGED)]:
                del part[name]
    folder = shop.BUILD / "slither" / "build-info"
    shop.write_json(folder / "contracts.json", document)
    return folder


def findings(answer: dict[str, Any]) -> list[Finding]:
    """Return what Slither's document reports; each finding at its first element."""
    if not answer["success"]:
        raise shop.Refused(f"slither failed: {answer['error']}")
    return [_finding(each) for each in answer["results"].get("detectors", [])]


def _finding(each: dict[str, Any]) -> Finding:
    element = next(
        (e for e in each["elements"] if e["type"] in ("function", "variable", "event")),
        each["elements"][0],
    )
    name, parent = element["name"], element.get("type_specific_fields", {}).get("parent", {})
    while parent.get("type") == "function":  # a local variable stands for its function
        name, parent = parent["name"], parent.get("type_specific_fields", {}).get("parent", {})
    mapping = element["source_mapping"]
    line = f"{mapping['filename_relative']}:{(mapping['lines'] or [0])[0]}"
    return Finding(each["check"], ".".join(filter(None, [parent.get("name"), name])), line)


def judge(found: Iterable[Finding], accepted: list[dict[str, Any]]) -> list[str]:
    """Return each finding that is not accepted, and each acceptance that nothing needs."""
    found = list(found)
    wrong = []
    used = set()
    for finding in found:
        fits = [
            (entry["check"], pattern)
            for entry in accepted
            for pattern in entry["where"]
            if entry["check"] == finding.check and fnmatchcase(finding.where, pattern)
        ]
        used.update(fits)
        if not fits:
            wrong.append(f"not accepted: {finding}")
    for entry in accepted:
        for pattern in entry["where"]:
            if (entry["check"], pattern) not in used:
                wrong.append(f"accepted and not found: {entry['check']} at {pattern}")
        if len(entry["reason"]) < 20:
            wrong.append(f"accepted without a reason: {entry['check']}")
    return wrong
