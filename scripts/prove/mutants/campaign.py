"""A campaign: which mutants there are, two workshops that try them, and what became of each."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from queue import Queue
from typing import Any

from scripts.prove import shop
from scripts.prove.mutants.operators import Mutant, mutants
from scripts.prove.mutants.workshop import SHORT_SUITES, SUITES, Verdict, Workshop

HERE = Path(__file__).parent
SURVIVORS_FILE = HERE / "survivors.toml"
SHORT_FILE = HERE / "short.toml"
RESULTS = shop.BUILD / "mutants" / "results.json"
DIFFS = shop.BUILD / "mutants" / "mutants.diff"
WORKERS = 2
SAMPLE = 200


def prove(
    short: bool,
    fresh: bool = False,
    only: str = "",
    limit: int = SAMPLE,
    forge_only: bool = False,
) -> dict[str, Any]:
    """Try a sample of the mutants; the short form tries the handful that short.toml names."""
    found = all_mutants()
    explained = {
        entry["mutant"]: entry["because"]
        for entry in tomllib.loads(SURVIVORS_FILE.read_text(encoding="utf-8"))["survivor"]
    }
    wrong = []
    chosen = [mutant for mutant in found if only in mutant.name]
    if limit and not only:
        chosen = sample(chosen, limit)
    if short:
        names = tomllib.loads(SHORT_FILE.read_text(encoding="utf-8"))["mutants"]
        chosen = [mutant for mutant in found if mutant.name in names]
        missing = set(names) - {mutant.name for mutant in chosen}
        wrong += [
            f"short.toml names a mutant that is not there: {name}" for name in sorted(missing)
        ]
    else:
        _write_diffs(found)
    if not chosen:
        names = DIFFS.relative_to(shop.ROOT)
        raise shop.Refused(f"none of {len(found):,} mutants has {only!r} in its name, see {names}")
    verdicts, seconds = _try(chosen, short, fresh, forge_only)
    wrong += judge(verdicts, explained, {mutant.name for mutant in found})
    wrong += unbuilt(verdicts, short)
    kinds = [verdict.outcome for verdict in verdicts.values()]
    survivors = [
        name for name, verdict in verdicts.items() if verdict.outcome in ("survived", "waiting")
    ]
    return {
        "ok": not wrong,
        "wrong": wrong,
        "seconds": round(seconds, 1),
        "possible": len(found),
        "mutants": len(kinds) - kinds.count("invalid"),
        "invalid": kinds.count("invalid"),
        "killed": kinds.count("forge") + kinds.count("brownie"),
        "killed_by_forge": kinds.count("forge"),
        "killed_by_brownie": kinds.count("brownie"),
        "survived": len(survivors),
        "explained": sum(name in explained for name in survivors),
        "survivors": survivors,
        "by_operator": _by_operator(verdicts),
    }


def all_mutants() -> list[Mutant]:
    """Return every mutant of both contracts and of what they are made of."""
    out = Path(shop.built()["FOUNDRY_OUT"])
    found = []
    for source in subjects():
        tree = json.loads(next((out / source.name).glob("*.json")).read_text())["ast"]
        file = str(source.relative_to(shop.ROOT))
        found += mutants(file, source.read_bytes(), tree)
    return found


def subjects() -> list[Path]:
    """Return the sources that are mutated: contracts and libraries, not interfaces and mocks."""
    folder = shop.ROOT / "contracts"
    return [
        path
        for path in sorted(folder.rglob("*.sol"))
        if not {"interfaces", "mocks"} & set(path.relative_to(folder).parts)
    ]


def judge(
    verdicts: dict[str, Verdict], explained: dict[str, str], existing: Iterable[str]
) -> list[str]:
    """Return what is wrong: a survivor without reason, a reason without survivor."""
    wrong = []
    existing = set(existing)
    for name, verdict in verdicts.items():
        if verdict.outcome in ("survived", "waiting") and name not in explained:
            wrong.append(f"survived: {name}")
        if verdict.outcome in ("forge", "brownie") and name in explained:
            wrong.append(f"explained as a survivor, and killed: {name}")
    for name, because in explained.items():
        if name not in existing:
            wrong.append(f"explained as a survivor, and not there: {name}")
        if len(because) < 20:
            wrong.append(f"explained in too few words: {name}")
    return wrong


def unbuilt(verdicts: dict[str, Verdict], short: bool) -> list[str]:
    """Return what is wrong when mutants do not compile: each of the short form, or all of a sample.

    A fault that does not compile is no test of the tests; if none compiles, the workshop is broken.
    """
    invalid = [name for name, verdict in verdicts.items() if verdict.outcome == "invalid"]
    if short:
        return [f"short.toml names a mutant that does not compile: {name}" for name in invalid]
    return ["no mutant compiles"] if invalid and len(invalid) == len(verdicts) else []


def sample(found: list[Mutant], limit: int) -> list[Mutant]:
    """Return a part of the mutants that has some of each file and operator, the same each time.

    They are dealt in rounds: each file and operator gives one a round, until there are enough.
    """
    piles: dict[tuple[str, str], list[Mutant]] = {}
    for mutant in sorted(found, key=lambda each: sha256(each.name.encode()).digest()):
        piles.setdefault((mutant.file, mutant.name.split(":")[1]), []).append(mutant)
    order = sorted(piles.values(), key=lambda pile: sha256(pile[0].name.encode()).digest())
    rounds = range(max(map(len, piles.values()), default=0))
    dealt = [pile[turn] for turn in rounds for pile in order if turn < len(pile)]
    names = {mutant.name for mutant in dealt[:limit]}
    return [mutant for mutant in found if mutant.name in names]


def _try(
    chosen: list[Mutant], short: bool, fresh: bool, forge_only: bool
) -> tuple[dict[str, Verdict], float]:
    """Try each mutant with Forge, and those that it does not kill with Brownie.

    What an earlier run found is kept where it still holds.
    """
    tests = _fingerprint("tests/forge", "tests/contracts")
    results = {} if fresh or short else _known(chosen, tests)
    workshops: Queue[Workshop] = Queue()
    if short:
        workshops.put(Workshop(shop.BUILD / "mutants" / "short", SHORT_SUITES))
    else:
        for number in range(WORKERS):
            workshops.put(Workshop(shop.BUILD / "mutants" / f"workshop-{number}", SUITES))

    def attempt(mutant: Mutant) -> tuple[str, Verdict]:
        workshop = workshops.get()
        try:
            return mutant.name, workshop.attempt(mutant, results.get(mutant.name))
        finally:
            workshops.put(workshop)

    def phase(waiting: list[Mutant]) -> None:
        with ThreadPoolExecutor(WORKERS) as pool, shop.ended_when_interrupted(pool):
            for number, (name, verdict) in enumerate(pool.map(attempt, waiting), 1):
                results[name] = verdict
                if not short:
                    _keep(chosen, results, tests)
                    print(f"{number:4}/{len(waiting)} {verdict.outcome:9} {name}", flush=True)

    todo = [mutant for mutant in chosen if mutant.name not in results]
    if todo:
        workshops.queue[0].check_forge()
        phase(todo)
    waiting = [m for m in chosen if results[m.name].outcome == "waiting"]
    if waiting and not short and not forge_only:
        workshops.queue[0].check_brownie({mutant.file for mutant in waiting})
        phase(waiting)
    verdicts = {mutant.name: results[mutant.name] for mutant in chosen}
    return verdicts, sum(verdict.seconds for verdict in verdicts.values())


def _fingerprint(*folders: str) -> str:
    """Return a hash of the sources under some folders."""
    digest = sha256()
    for folder in folders:
        for path in sorted((shop.ROOT / folder).rglob("*")):
            if path.suffix in (".sol", ".py"):
                digest.update(f"{path.relative_to(shop.ROOT)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def _keep(chosen: list[Mutant], results: dict[str, Verdict], tests: str) -> None:
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for mutant in chosen:
        if mutant.name in results:
            source = sha256((shop.ROOT / mutant.file).read_bytes()).hexdigest()
            verdict = vars(results[mutant.name])
            kept[mutant.name] = {"source": source, "tests": tests, "verdict": verdict}
    shop.write_json(RESULTS, kept)


def _known(chosen: list[Mutant], tests: str) -> dict[str, Verdict]:
    """Return what earlier runs found and still holds.

    A kill holds while the file is the same; who survived has to face every change of the tests.
    """
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    known = {}
    for mutant in chosen:
        entry = kept.get(mutant.name)
        if (
            not entry
            or entry["source"] != sha256((shop.ROOT / mutant.file).read_bytes()).hexdigest()
        ):
            continue
        verdict = Verdict(**entry["verdict"])
        if entry["tests"] == tests or verdict.outcome not in ("waiting", "survived"):
            known[mutant.name] = verdict
    return known


def _by_operator(verdicts: dict[str, Verdict]) -> dict[str, dict[str, int]]:
    table: dict[str, dict[str, int]] = {}
    for name, verdict in verdicts.items():
        row = table.setdefault(name.split(":")[1], {})
        row[verdict.outcome] = row.get(verdict.outcome, 0) + 1
    return table


def _write_diffs(found: list[Mutant]) -> None:
    DIFFS.parent.mkdir(parents=True, exist_ok=True)
    text = "\n\n".join(
        f"# {mutant.name}\n{mutant.diff((shop.ROOT / mutant.file).read_bytes())}"
        for mutant in found
    )
    DIFFS.write_text(text + "\n", encoding="utf-8")
