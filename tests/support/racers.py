"""A process that does one thing when a file says go: two of them race for the same books.

``python -m tests.support.racers '{"act": ..., "url": ..., "go": ...}'`` prints one JSON document.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

START_SECONDS = 60
ROOT = Path(__file__).resolve().parents[2]


def race(folder: Path, tasks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Run tasks in processes of their own, let them go at once, and return what each says."""
    go = folder / "go"
    processes = []
    for number, task in enumerate(tasks):
        ready = folder / f"ready-{number}"
        words = words_of(task, go, ready)
        processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "tests.support.racers", words],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    try:
        until = time.monotonic() + START_SECONDS
        while not all((folder / f"ready-{number}").exists() for number in range(len(tasks))):
            assert time.monotonic() < until, "the racers do not start"
            assert all(process.poll() is None for process in processes), processes[0].communicate()
            time.sleep(0.01)
        go.touch()
        answers = []
        for process in processes:
            said, errors = process.communicate(timeout=START_SECONDS)
            assert process.returncode == 0, errors
            answers.append(json.loads(said))
        return answers
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
        for file in (go, *folder.glob("ready-*")):
            file.unlink(missing_ok=True)


def words_of(task: dict[str, Any], go: Path, ready: Path) -> str:
    """Return what a process of this module is given: a task, and the files that say go and ready."""
    return json.dumps({**task, "go": str(go), "ready": str(ready)})


def importing(url: str, file: Path) -> dict[str, Any]:
    """Return the task of importing a file into the park."""
    return {"act": "import", "url": url, "file": str(file)}


def issuing(url: str, rpc_url: str, deployment: Path, start: date, end: date) -> dict[str, Any]:
    """Return the task of planning an issuance of the park."""
    return {
        "act": "issue",
        "url": url,
        "rpc_url": rpc_url,
        "deployment": str(deployment),
        "start": start.isoformat(),
        "end": end.isoformat(),
    }


def submitting(url: str, rpc_url: str, deployment: Path, keys: Sequence[str]) -> dict[str, Any]:
    """Return the task of submitting intents that mint test currency, one after the other."""
    return {
        "act": "submit",
        "url": url,
        "rpc_url": rpc_url,
        "deployment": str(deployment),
        "keys": list(keys),
    }


def _submit(task: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    from ledger.chain.book import Deployment
    from ledger.chain.client import ChainClient
    from ledger.db import Database
    from tests.support.park import open_chain

    db = Database(task["url"])
    db.ping()
    node: Any = SimpleNamespace(
        client=ChainClient(task["rpc_url"]), deployment=Deployment.load(Path(task["deployment"]))
    )
    chain = open_chain(db, node)
    if task.get("hang"):

        def hang(self: Any, raw: str) -> str:
            Path(task["hang"]).touch()
            time.sleep(START_SECONDS)
            raise AssertionError("nobody killed this process")

        ChainClient.send_raw = hang  # type: ignore[method-assign]

    def work() -> dict[str, Any]:
        return {"sent": [chain.sender.submit(key, "TestCurrency") for key in task["keys"]]}

    return work


def _import(task: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    from ledger.db import Database
    from ledger.readings import import_file

    db = Database(task["url"])
    db.ping()
    return lambda: import_file(db, "park", "scada", Path(task["file"])).as_json()


def _issue(task: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    from ledger.chain.book import Deployment
    from ledger.chain.client import ChainClient
    from ledger.db import Database
    from ledger.issuance import plan_issuance
    from tests.support.park import PROJECT, open_chain

    db = Database(task["url"])
    db.ping()
    node: Any = SimpleNamespace(
        client=ChainClient(task["rpc_url"]), deployment=Deployment.load(Path(task["deployment"]))
    )
    chain = open_chain(db, node)
    period = date.fromisoformat(task["start"]), date.fromisoformat(task["end"])

    def work() -> dict[str, Any]:
        planned = plan_issuance(chain, PROJECT, *period)
        return {"keys": [item.key for item in planned]}

    return work


def _main() -> None:
    from ledger.errors import TruetonneError

    task = json.loads(sys.argv[1])
    work = {"import": _import, "issue": _issue, "submit": _submit}[task["act"]](task)
    Path(task["ready"]).touch()
    until = time.monotonic() + START_SECONDS
    while not Path(task["go"]).exists():
        assert time.monotonic() < until
        time.sleep(0.0005)
    try:
        answer = work()
    except TruetonneError as error:
        answer = {"error": error.as_json()}
    print(json.dumps(answer))


if __name__ == "__main__":
    _main()
