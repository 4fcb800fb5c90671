"""Processes that do one thing at the same moment: they race for the same books.

Each begins with the program imported, see ``tests.support.forked``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sqlalchemy.orm import Session

from ledger import audit
from ledger.chain.addresses.book import Deployment
from ledger.chain.node.client import ChainClient
from ledger.db import Database
from ledger.errors import TruetonneError
from ledger.issuance import plan_issuance
from ledger.readings import import_file
from tests.support.forked import FORKED
from tests.support.park import PROJECT, open_chain

START_SECONDS = 180


def race(tasks: Sequence[dict[str, Any]], seconds: float = START_SECONDS) -> list[dict[str, Any]]:
    """Run tasks in processes of their own, let them go at once, and return what each says within so many seconds."""
    go = FORKED.Barrier(len(tasks))
    lines, processes = [], []
    for task in tasks:
        here, there = FORKED.Pipe(duplex=False)
        process = FORKED.Process(target=_run, args=(task, go, there))
        process.start()
        there.close()
        lines.append(here)
        processes.append(process)
    try:
        answers = []
        for line, process in zip(lines, processes, strict=True):
            assert line.poll(seconds), "a racer says nothing"
            answers.append(line.recv())
            process.join(START_SECONDS)
            assert process.exitcode == 0
        return answers
    finally:
        for process in processes:
            process.kill()
            process.join()


def _run(task: dict[str, Any], go: Any, line: Any) -> None:
    acts = {"audit": _audit, "import": _import, "issue": _issue, "submit": _submit}
    work = acts[task["act"]](task)
    go.wait(START_SECONDS)
    try:
        answer = work()
    except TruetonneError as error:
        answer = {"error": error.as_json()}
    line.send(answer)


def hanging(task: dict[str, Any], hung: Any) -> Any:
    """Start a process that submits intents and hangs before the first sending; ``hung`` is set then."""
    process = FORKED.Process(target=_hang, args=(task, hung))
    process.start()
    return process


def _hang(task: dict[str, Any], hung: Any) -> None:
    def hang(self: Any, raw: str) -> str:
        hung.set()
        time.sleep(START_SECONDS)
        raise AssertionError("nobody killed this process")

    ChainClient.send_raw = hang  # type: ignore[method-assign]
    _submit(task)()


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


def auditing(url: str, number: int, times: int) -> dict[str, Any]:
    """Return the task of noting two entries in one unit of work, so often; ``tries`` says how many it took."""
    return {"act": "audit", "url": url, "number": number, "times": times}


def _audit(task: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    db = Database(task["url"], lock_timeout_s=30)
    thing = f"things/{task['number']}"
    tries = 0

    def note(session: Session) -> None:
        nonlocal tries
        tries += 1
        counted = "SELECT COUNT(*) FROM audit_logs"  # a snapshot, as all have
        session.connection().exec_driver_sql(counted).scalar_one()
        audit.record(session, "tests.act", thing, {}, {"n": 1})
        audit.record(session, "tests.more", thing, {}, {"n": 2})

    def work() -> dict[str, Any]:
        for _ in range(task["times"]):
            db.run(note)
        return {"tries": tries}

    return work


def _submit(task: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    db = Database(task["url"])
    db.ping()
    chain = open_chain(db, _node(task))
    return lambda: {"sent": [chain.sender.submit(key, "TestCurrency") for key in task["keys"]]}


def _import(task: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    db = Database(task["url"])
    db.ping()
    return lambda: import_file(db, "park", "scada", Path(task["file"])).as_json()


def _issue(task: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    db = Database(task["url"])
    db.ping()
    chain = open_chain(db, _node(task))
    period = date.fromisoformat(task["start"]), date.fromisoformat(task["end"])
    return lambda: {"keys": [item.key for item in plan_issuance(chain, PROJECT, *period)]}


def _node(task: dict[str, Any]) -> Any:
    return SimpleNamespace(
        client=ChainClient(task["rpc_url"]), deployment=Deployment.load(Path(task["deployment"]))
    )
