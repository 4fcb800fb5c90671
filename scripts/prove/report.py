"""The table that a run ends with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def table(results: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield the lines: a line of figures for each part, then whatever does not hold."""
    yield ""
    for part, result in results.items():
        verdict = "holds" if result["ok"] else "DOES NOT HOLD"
        yield f"{part:8} {verdict:14} {result['seconds']:8.1f} s   {_LINES[part](result)}"
    if "forge" in results:
        yield ""
        yield from _columns("gas", results["forge"]["gas"])
        yield from _columns("code bytes", results["forge"]["code_bytes"])
    for part, result in results.items():
        for wrong in result["wrong"]:
            yield f"{part}: {wrong}"


def _columns(title: str, values: dict[str, int]) -> Iterator[str]:
    for name, value in values.items():
        yield f"{title:12} {value:>12,}  {name}"


def _forge(result: dict[str, Any]) -> str:
    return (
        f"{result['unit']} tests, {result['fuzz']} fuzz tests of {result['fuzz_runs']:,} runs, "
        f"{result['invariants']} invariants of {result['invariant_runs']:,} runs, depth "
        f"{result['invariant_depth']}, {result['invariant_calls']:,} calls, "
        f"{result['invariant_reverts']} reverts"
    )


def _halmos(result: dict[str, Any]) -> str:
    return (
        f"{result['proven']} of {result['properties']} properties proven, {result['paths']:,} paths"
    )


def _slither(result: dict[str, Any]) -> str:
    return f"{result['findings']} findings, {result['accepted']} accepted with a reason"


def _mutants(result: dict[str, Any]) -> str:
    return (
        f"{result['mutants']} mutants, {result['killed']} killed ({result['killed_by_forge']} by "
        f"forge, {result['killed_by_brownie']} by Brownie), {result['survived']} survived "
        f"({result['explained']} explained), {result['invalid']} did not compile"
    )


_LINES = {"forge": _forge, "halmos": _halmos, "slither": _slither, "mutants": _mutants}
