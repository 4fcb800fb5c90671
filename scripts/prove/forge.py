"""Forge: invariants and fuzz on the sources, the gas of each act, the sizes of the contracts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.prove import shop

GAS_FILE = shop.ROOT / "tests" / "forge" / "gas" / "snapshot.json"
GAS_TOLERANCE_PERMILLE = 2  # a metadata hash in other calldata, and no more
CODE_BYTES_MAX = 24_576  # EIP-170
TESTS_ELSEWHERE = "tests/forge/{gas,symbolic}/**"
SEED_OF_SHORT_RUNS = "0x7e"
TIMEOUT_S = {True: 600, False: 7200}  # for what hangs: the machine may be shared


def prove(short: bool, accept: bool = False) -> dict[str, Any]:
    """Run the suites, then the gas of each act; return figures and what is wrong."""
    shop.require("forge")
    env = shop.built()
    if not short:
        env["FOUNDRY_PROFILE"] = "prove"
    seed = ["--fuzz-seed", SEED_OF_SHORT_RUNS] if short else []
    command = ["forge", "test", "--json", "--no-match-path", TESTS_ELSEWHERE, *seed]
    done = shop.run(command, timeout_s=TIMEOUT_S[short], env=env)
    suites = _suites(done)
    wrong = [f"{test['name']}: {test['reason']}" for test in suites if not test["ok"]]
    gas, gas_wrong = _gas(env, accept)
    sizes, sizes_wrong = _sizes(Path(env["FOUNDRY_OUT"]))
    kinds = {kind: [test for test in suites if test["kind"] == kind] for kind in _KINDS}
    return {
        "ok": not (wrong or gas_wrong or sizes_wrong),
        "wrong": wrong + gas_wrong + sizes_wrong,
        "seconds": round(done.seconds, 1),
        "tests": len(suites),
        "unit": len(kinds["Unit"]),
        "fuzz": len(kinds["Fuzz"]),
        "fuzz_runs": sum(test["runs"] for test in kinds["Fuzz"]),
        "invariants": len(kinds["Invariant"]),
        "invariant_runs": sum(test["runs"] for test in kinds["Invariant"]),
        "invariant_calls": sum(test["calls"] for test in kinds["Invariant"]),
        "invariant_depth": _depth(env),
        "invariant_reverts": sum(test["reverts"] for test in kinds["Invariant"]),
        "gas": gas,
        "code_bytes": sizes,
    }


_KINDS = ("Unit", "Fuzz", "Invariant")


def _suites(done: shop.Run) -> list[dict[str, Any]]:
    if done.timed_out:
        raise shop.Refused(f"forge did not end within {done.seconds:.0f} s")
    start = done.out.find("{")
    if start < 0:
        raise shop.Refused(f"forge says no result: {done.text[-2000:]}")
    return list(_tests(json.loads(done.out[start:])))


def _tests(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for suite, found in answer.items():
        for name, result in found["test_results"].items():
            kind, figures = next(iter(result["kind"].items()))
            yield {
                "name": f"{suite.rpartition(':')[2]}.{name.partition('(')[0]}",
                "ok": result["status"] == "Success",
                "reason": str(result.get("reason"))[:300],
                "kind": kind,
                "runs": figures.get("runs", 0),
                "calls": figures.get("calls", 0),
                "reverts": figures.get("reverts", 0),
            }


def _depth(env: dict[str, str]) -> int:
    config = shop.run(["forge", "config", "--json"], timeout_s=600, env=env)
    return int(json.loads(config.out)["invariant"]["depth"])


def _gas(env: dict[str, str], accept: bool) -> tuple[dict[str, int], list[str]]:
    """Measure the acts, each in a transaction of its own, and compare with the file."""
    for old in shop.SNAPSHOTS.glob("*.json"):
        old.unlink()
    command = ["forge", "test", "--isolate", "--match-path", "tests/forge/gas/**"]
    done = shop.run(command, timeout_s=600, env=env)
    wrong = [f"gas: {line[:200]}" for line in done.out.splitlines() if line.startswith("[FAIL")]
    if done.code and not wrong:
        raise shop.Refused(f"forge says no result: {done.text[-2000:]}")
    measured = {
        f"{path.stem}: {act}": int(gas)
        for path in sorted(shop.SNAPSHOTS.glob("*.json"))
        for act, gas in json.loads(path.read_text(encoding="utf-8")).items()
    }
    if accept:
        shop.write_json(GAS_FILE, measured)
    known = json.loads(GAS_FILE.read_text(encoding="utf-8")) if GAS_FILE.exists() else {}
    return measured, wrong + differences(known, measured)


def differences(known: dict[str, int], measured: dict[str, int]) -> list[str]:
    """Return each act that costs more or less than the file says, is missing in it or too much."""
    wrong = []
    for act in sorted(known.keys() | measured.keys()):
        old, new = known.get(act), measured.get(act)
        if old is None or new is None:
            wrong.append(f"gas of {act}: {old} in the file, {new} measured")
        elif abs(new - old) * 1000 > old * GAS_TOLERANCE_PERMILLE:
            wrong.append(f"gas of {act}: {new} instead of {old} (--accept-gas takes it over)")
    return wrong


def _sizes(folder: Path) -> tuple[dict[str, int], list[str]]:
    sizes = {}
    for name, artifact in shop.compiled(folder).items():
        code = artifact["deployedBytecode"]["object"].removeprefix("0x")
        mock = any(
            "/mocks/" in file for file in artifact["metadata"]["settings"]["compilationTarget"]
        )
        if len(code) > 400 and not mock:
            sizes[name] = len(code) // 2
    wrong = [
        f"{name} has {size} bytes of code, {CODE_BYTES_MAX} are allowed"
        for name, size in sizes.items()
        if size > CODE_BYTES_MAX
    ]
    return sizes, wrong
