"""``truetonne bench all``: one benchmark after the other, each in a process of its own, as if it were alone."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ledger.errors import DependencyDown

BENCHMARKS = (
    *("gas", "proofs", "evidence", "import", "api", "archive", "jobs", "settlement"),
    *("indexer", "database"),
)
"""In the order in which they are run: what takes long comes last."""


@dataclass
class Everything:
    """What all of them came to.

    Attributes
    ----------
    results
        Theirs, in the shape of every benchmark, in the order of ``BENCHMARKS``.
    failed
        Those that ended with something else than exit 0: name, exit code, and the error where one was said.
    exit_code
        The highest of theirs.
    """

    results: list[dict[str, str]] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """The gravest of the exit codes. One that was killed or interrupted is down; this command was neither."""
        gravest = DependencyDown.exit_code
        codes = (int(each["exit_code"]) for each in self.failed)
        return max((code if 0 < code < gravest else gravest for code in codes), default=0)


def measure(names: Sequence[str], config: Path | None, say: Callable[[str], None]) -> Everything:
    """Run these benchmarks one after the other; what one cannot do keeps no other from being run."""
    found = Everything()
    given = [] if config is None else ["--config", str(config)]
    for name in names:
        say(f"bench {name}")
        code, document = _run([sys.executable, "-m", "cli.main", "bench", name, "--json", *given])
        found.results += document.get("results", [])
        if code:
            found.failed.append({"name": name, "exit_code": code, "error": document.get("error")})
    return found


def _run(command: Sequence[str]) -> tuple[int, dict[str, Any]]:
    # In a group of its own, so that Ctrl-C reaches it once: a second one would cut short how it ends its servers.
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, process_group=0
    ) as process:
        try:
            out, _ = process.communicate()
        except BaseException:  # told to end: it ends what it started
            process.send_signal(signal.SIGINT)
            process.wait()
            raise
    try:
        document = json.loads(out)
    except ValueError:
        error = {
            "code": "no-answer",
            "message": f"ended with {process.returncode}, and said nothing",
        }
        return DependencyDown.exit_code, {"error": error}
    return process.returncode, document
