"""``./dev prove [PART] [--short]``: runs the parts, writes one summary and prints it."""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Callable
from typing import Any

from scripts import suite
from scripts.prove import forge, halmos, mutants, report, shop, slither

SUMMARY = shop.BUILD / "summary.json"
PARTS: dict[str, Callable[..., dict[str, Any]]] = {
    "forge": forge.prove,
    "halmos": halmos.prove,
    "slither": slither.prove,
    "mutants": mutants.prove,
}
OF_PART = {
    "accept_gas": "it is for the part forge",
    "fresh": "it is for the long form of the part mutants",
    "only": "it is for the long form of the part mutants",
    "sample": "it is for the long form of the part mutants",
    "forge_only": "it is for the long form of the part mutants",
}
"""Options that one part alone has, and which."""


def main() -> int:
    """Run what was asked for; 1 when something does not hold, 3 when a tool is missing."""
    parser = argparse.ArgumentParser(prog="./dev prove", description=__doc__)
    parser.add_argument("part", nargs="?", default="all", choices=[*PARTS, "all"])
    parser.add_argument("--short", action="store_true", help="the form that ./dev test runs")
    parser.add_argument(
        "--accept-gas", action="store_true", help="take the measured gas over into the file"
    )
    parser.add_argument(
        "--fresh", action="store_true", help="run every mutant anew, also one that was run before"
    )
    parser.add_argument("--only", default="", help="mutants whose name holds this")
    parser.add_argument(
        "--sample", type=suite.at_least(0), help=f"how many mutants ({mutants.SAMPLE}); 0: all"
    )
    parser.add_argument("--forge-only", action="store_true", help="mutants: do not ask Brownie")
    asked = parser.parse_args()
    for name in idle(asked):
        parser.error(f"--{name.replace('_', '-')} changes nothing here: {OF_PART[name]}")
    suite.get_tools("prove")
    with suite.alone("prove"):  # builds and workshops stand under build/prove
        return run(asked)


def idle(asked: argparse.Namespace) -> list[str]:
    """Return the options that were given and that what was asked for does not look at."""
    part_of = {"accept_gas": "forge"}
    found = []
    for name in OF_PART:
        given = getattr(asked, name) not in (None, False, "")
        elsewhere = asked.part not in (part_of.get(name, "mutants"), "all")
        if given and (elsewhere or (asked.short and name != "accept_gas")):
            found.append(name)
    return found


def run(asked: argparse.Namespace) -> int:
    """Run the parts one after the other, and print what they found."""
    form = "short" if asked.short else "long"
    options: dict[str, dict[str, Any]] = {
        "forge": {"accept": asked.accept_gas},
        "mutants": {
            "fresh": asked.fresh,
            "only": asked.only,
            "limit": mutants.SAMPLE if asked.sample is None else asked.sample,
            "forge_only": asked.forge_only,
        },
    }
    results = {}
    refused = False
    for part in PARTS if asked.part == "all" else [asked.part]:
        print(f"prove: {part}, {form} form", file=sys.stderr, flush=True)
        try:
            results[part] = PARTS[part](asked.short, **options.get(part, {}))
        except shop.Refused as reason:  # the other parts can still say what they know
            print(f"prove: {part}: {reason}", file=sys.stderr)
            refused = True
            continue
        _write(form, {part: results[part]})
    print("\n".join(report.table(results)))
    if refused:
        return 3
    return 0 if all(result["ok"] for result in results.values()) else 1


def _write(form: str, results: dict[str, dict[str, Any]]) -> None:
    """Put the parts that ran into the summary; the others keep what they had."""
    known = json.loads(SUMMARY.read_text(encoding="utf-8")) if SUMMARY.exists() else {}
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    dated = {part: {**result, "at": now} for part, result in results.items()}
    shop.write_json(SUMMARY, {**known, form: {**known.get(form, {}), **dated}})


if __name__ == "__main__":
    sys.exit(suite.command("prove", main))
