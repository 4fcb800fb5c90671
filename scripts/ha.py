"""``./dev ha``: database servers are lost while a park works, nothing acknowledged is, and all goes on by itself.

The suite is ``tests/ha``: three Galera nodes behind one writer, and a pair whose replica is promoted. What befalls the
writer in each round, and when, follows from the seed; how far the machine has come by then does not. Figures go to
``build/ha``.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from cli.bench.mariadb import FOLDERS
from ledger.chain.local.anvil import end_with_parent
from scripts import suite
from tests.ha.strikes import KINDS
from tests.support.galera import LIBRARY

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "build" / "ha"
ROUNDS = 12
PARTS = {
    "galera": (
        "tests/ha/test_galera.py",
        "tests/ha/test_nodes.py",
        "tests/ha/test_partitions.py",
        "tests/ha/test_tls.py",
        "tests/ha/test_two_writers.py",
    ),
    "pair": ("tests/ha/test_promotion.py",),
}
NEEDED = (
    ("mariadbd", "mariadb-server"),
    ("mariadb-backup", "mariadb-backup"),
    ("haproxy", "haproxy"),
    ("socat", "socat"),
)


def main() -> int:
    """Run the suite; 1 when something was lost, doubled or too slow, 3 when something is missing."""
    parser = argparse.ArgumentParser(prog="./dev ha", description=__doc__)
    parser.add_argument("--part", choices=list(PARTS), help="one part of the suite")
    parser.add_argument(
        "--rounds", type=suite.at_least(1), default=ROUNDS, help=f"strikes ({ROUNDS})"
    )
    parser.add_argument(
        "--seed", type=suite.seed, help="what the strikes are drawn from; it is printed"
    )
    parser.add_argument(
        "--kind", choices=[kind.name for kind in KINDS], help="one kind of strike at a node"
    )
    parser.add_argument("--json", action="store_true", help="one document on stdout")
    asked = parser.parse_args()
    if asked.kind and asked.part == "pair":
        parser.error("--kind is of the part galera: the pair's primary is killed in every round")
    suite.get_tools("ha")
    gone = missing()
    if gone:
        print(
            f"ha: not installed: {', '.join(gone)} (apt-get install {' '.join(gone)})",
            file=sys.stderr,
        )
        return suite.MISSING
    with suite.alone("ha"):  # figures of a run are read from build/ha
        return run(asked)


def run(asked: argparse.Namespace) -> int:
    """Run what was asked for, and print what it found."""
    seed = secrets.randbelow(10**6) if asked.seed is None else asked.seed
    shutil.rmtree(FIGURES, ignore_errors=True)
    began_s = time.monotonic()
    code = tests(
        PARTS.get(asked.part) or ("tests/ha",),
        {"HA_ROUNDS": str(asked.rounds), "HA_SEED": str(seed), "HA_KIND": asked.kind or ""},
        sys.stderr if asked.json else sys.stdout,
    )
    found: dict[str, Any] = {"rounds": asked.rounds, "seed": seed, "ok": code == 0}
    if code:
        found["again"] = again(asked, seed)
    found["seconds"] = round(time.monotonic() - began_s)
    for file in sorted(FIGURES.glob("*.json")):
        found[file.stem] = json.loads(file.read_text(encoding="utf-8"))
    FIGURES.mkdir(parents=True, exist_ok=True)
    (FIGURES / f"summary-{seed}.json").write_text(
        json.dumps(found, indent=1) + "\n", encoding="utf-8"
    )
    print(json.dumps(found, indent=1) if asked.json else "\n".join(lines(found)))
    return 1 if code else 0


def tests(paths: Sequence[str], settings: Mapping[str, str], out: TextIO) -> int:
    """Run pytest to its end and return its exit code; interrupted, it ends in order first, with its servers."""
    with (
        subprocess.Popen(
            [sys.executable, "-m", "pytest", "-q", "-s", *paths],
            cwd=ROOT,
            env={**os.environ, **settings},
            stdout=out,
            start_new_session=True,  # it hears one Ctrl-C, from here: a second one would stop its cleaning up
            preexec_fn=end_with_parent(),  # noqa: PLW1509 # safe, see there
        ) as process
    ):
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.wait()
            raise


def again(asked: argparse.Namespace, seed: int) -> str:
    """Return the command that strikes the same again."""
    words = ["./dev ha", f"--rounds {asked.rounds}", f"--seed {seed}"]
    words += [
        f"--{name} {shlex.quote(value)}"
        for name in ("part", "kind")
        if (value := getattr(asked, name))
    ]
    return " ".join(words)


def missing() -> list[str]:
    """Return the packages of Debian that are not there."""
    path = f"{os.environ.get('PATH', '')}:{FOLDERS}"
    gone = [package for program, package in NEEDED if shutil.which(program, path=path) is None]
    return gone if LIBRARY.exists() else [*gone, "galera-4"]


def lines(found: dict[str, Any]) -> list[str]:
    """Return the summary for people."""
    said = [f"{found['rounds']} rounds from seed {found['seed']}, {found['seconds']} s"]
    galera = found.get("galera")
    if galera is not None:
        for what, key in (("median", "median_s"), ("longest", "longest_s")):
            seconds = ", ".join(f"{part} {value:.1f} s" for part, value in galera[key].items())
            said.append(f"from the strike to the first success, {what}: {seconds}")
        counted = ", ".join(f"{count} {what}" for what, count in galera["acknowledged"].items())
        said.append(f"acknowledged, and there exactly once: {counted}")
    promoted = [*found.get("promotion", []), *found.get("promotion-stopped", [])]
    if promoted:
        acknowledged, lost = (
            sum(item[key] for item in promoted) for key in ("acknowledged", "lost")
        )
        said.append(f"{len(promoted)} promotions: {acknowledged} rows acknowledged, {lost} lost")
    said.append(
        "all right" if found["ok"] else f"NOT ALL RIGHT, see above; again: {found['again']}"
    )
    return said


if __name__ == "__main__":
    sys.exit(suite.command("ha", main))
