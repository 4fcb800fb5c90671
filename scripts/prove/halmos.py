"""Halmos: properties that hold for every value of their arguments."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

from scripts.prove import shop

SUITES = shop.ROOT / "tests" / "forge" / "symbolic"
SHORT = (
    "CreditProperties.check_retireConserves",
    "CreditProperties.check_serialsNeverMeet",
    "RolesProperties.check_onlyTheAdminGrants",
    "SettlementProperties.check_withdrawConserves",
    "TradesProperties.check_wordIsReadAsWritten",
)
"""What the short form proves: some of each set-up (credits, roles, settlement, trades), of those that are quick."""
TIMEOUT_S = {True: 600, False: 7200}  # for what hangs: the machine may be shared
_RESULT = re.compile(r"^\[(\w+)\] (check_\w+)\(.*?\(paths: (\d+), time: ([\d.]+)s", re.MULTILINE)
_SUITE = re.compile(r"^Running \d+ tests for (\S+):(\w+)$", re.MULTILINE)


def prove(short: bool) -> dict[str, Any]:
    """Prove every property that the sources name; one that is not reported counts as not proven."""
    env = shop.built()
    command: list[str | Path] = [
        shop.tool("halmos"),
        "--forge-build-out",
        Path(env["FOUNDRY_OUT"]).relative_to(shop.ROOT),
        "--loop",
        "8",
        "--solver-timeout-assertion",
        "300s",  # for what hangs: the machine may be shared
        "--no-status",
        "--solver-command",
        shlex.join([str(shop.tool("yices-smt2")), "--smt2-model-format"]),
    ]
    if short:
        names = sorted({name.partition(".")[2] for name in SHORT})
        command += ["--match-test", rf"^({'|'.join(names)})\("]
    done = shop.run(command, timeout_s=TIMEOUT_S[short], env=env)
    (shop.BUILD / "halmos.log").write_text(done.text, encoding="utf-8")
    results = read(done.out)
    wanted = set(SHORT if short else properties())
    wrong = [
        f"{name}: {results.get(name, ('not reported',))[0]}"
        for name in sorted(wanted)
        if results.get(name, ("", 0))[0] != "PASS"
    ]
    return {
        "ok": not wrong,
        "wrong": wrong,
        "seconds": round(done.seconds, 1),
        "properties": len(wanted),
        "proven": sum(results[name][0] == "PASS" for name in wanted & results.keys()),
        "paths": sum(found[1] for found in results.values()),
        "each": {name: {"paths": found[1], "seconds": found[2]} for name, found in results.items()},
    }


def properties() -> list[str]:
    """Return the properties of the sources as ``Contract.check_name``."""
    found = []
    for path in sorted(SUITES.glob("*.sol")):
        text = path.read_text(encoding="utf-8")
        contract = ""
        for match in re.finditer(r"^contract (\w+)|^    function (check_\w+)", text, re.MULTILINE):
            contract = match[1] or contract
            if match[2]:
                found.append(f"{contract}.{match[2]}")
    return found


def read(text: str) -> dict[str, tuple[str, int, float]]:
    """Return outcome, paths and seconds of each property from what Halmos prints.

    A pass that a bound of loops has cut short is none.
    """
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    results = {}
    starts = list(_SUITE.finditer(text))
    for index, start in enumerate(starts):
        end = starts[index + 1].start() if index + 1 < len(starts) else len(text)
        body = text[start.end() : end]
        cut = set(re.findall(r"WARNING\s+(check_\w+)\(", body))
        for outcome, name, paths, seconds in _RESULT.findall(body):
            said = "BOUNDED" if outcome == "PASS" and name in cut else outcome
            results[f"{start[2]}.{name}"] = (said, int(paths), float(seconds))
    return results
