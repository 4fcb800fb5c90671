"""``truetonne index run`` and ``truetonne reconcile``: the mirror, and whether it agrees with the chain."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import mirror_check
from cli.command import DryRun, Invocation, command, command_group
from cli.mirror_open import opened
from cli.output import Table
from ledger.errors import BadInput, BooksDiffer, TruetonneError

if TYPE_CHECKING:
    from indexer import TickReport
    from ledger.settings import Settings

LEASE_S = 10.0
POLL_S = 0.1
"""As ``ledger.leases`` and ``indexer.loop`` have them, which whoever asks for help need not import."""
SAID_AGAIN_S = 60.0
"""How often a trouble that lasts is said again."""
_HEAD = "head"
_DIGITS_MAX = 18
"""A database holds no greater number for certain, and no chain comes as far."""
_log = logging.getLogger("truetonne.index")

Until = Annotated[
    str | None,
    typer.Option(
        "--until",
        metavar="head|BLOCK",
        help="Read up to this block, or to the head, and end; without it: go on until Ctrl-C.",
    ),
]

Lease = Annotated[
    float,
    typer.Option(
        "--lease",
        metavar="SECONDS",
        help="A run that is killed is replaced by one that stands by after this time.",
        min=1,
        max=600,
    ),
]
Poll = Annotated[
    float,
    typer.Option(
        "--poll",
        metavar="SECONDS",
        help="How often the head is looked at; over WebSocket and IPC the node announces it.",
        min=0.01,
        max=60,
    ),
]


@dataclass
class Totals:
    """What one run of the mirror has read."""

    blocks: int = 0
    events: int = 0
    transactions: int = 0
    rewound_blocks: int = 0

    def add(self, report: TickReport) -> None:
        """Add one tick."""
        self.blocks += report.blocks
        self.events += report.events
        self.transactions += report.transactions
        self.rewound_blocks += report.rewound_blocks


def register(root: typer.Typer) -> None:
    """Add the commands."""
    group = command_group("Mirror the chain into the books.")
    command(group, "run")(run_index)
    mirror_check.register(group)
    root.add_typer(group, name="index")
    command(root, "reconcile")(reconcile)


def run_index(
    run: Invocation, until: Until = None, lease_s: Lease = LEASE_S, poll_s: Poll = POLL_S
) -> None:
    """Read the chain into the books; a second run stands by, and takes over when the first is gone.

    A run that shares the local chain's node ends with it: the node that comes next has another address.
    """
    from indexer import Indexer

    target = _target(until)
    totals = Totals()
    trouble: TruetonneError | None = None
    with opened(run.settings) as at, run.output.progress("mirroring", "blocks") as advance:
        indexer = Indexer(at.db, at.client, at.deployment, run.settings.finality, poll_s)
        last: list[TickReport] = []

        def ticked(report: TickReport) -> None:
            totals.add(report)
            if (last and last[0].not_checked != report.not_checked) or not last:
                for sentence in report.not_checked:
                    _log.warning("not checked: %s", sentence)
            last[:] = [report]
            advance(report.tip, report.head)

        if target is None:
            trouble = _follow(run.settings, indexer, ticked, lease_s)
        else:
            indexer.run_until(target, ticked)
    if trouble is not None:
        raise trouble
    document: dict[str, Any] = {"network": at.deployment.network, **vars(totals)}
    if last:
        document |= {"head": last[0].head, "block": last[0].tip, "final_block": last[0].final}
        document["not_checked"] = list(last[0].not_checked)
    place = (
        f"at block {last[0].tip} of {last[0].head}, final to {last[0].final}"
        if last
        else "nothing was mirrored"
    )
    run.output.result(
        document,
        f"{place}; read {totals.blocks} blocks, "
        f"{totals.events} events, {totals.transactions} transactions",
        *(f"not checked: {sentence}" for sentence in document.get("not_checked", ())),
    )


def reconcile(run: Invocation, dry_run: DryRun = False) -> int:
    """Compare books and chain, rule by rule, and keep the outcome for the pages; exit 1 when they differ."""
    from ledger.reconcile import keep_outcome
    from ledger.reconcile import reconcile as compare

    with opened(run.settings, compares=True) as at:
        report = compare(at.db, at.client, at.deployment)
        if not dry_run:
            network, now = at.deployment.network, datetime.now(UTC)
            try:
                at.db.run(lambda session: keep_outcome(session, network, report, now))
            except TruetonneError as error:
                # An auditor's account may read alone: the report is theirs all the same.
                _log.warning("not kept for the pages: %s", error.message)
    document = report.as_json()
    rules = document["rules"]
    lines = [
        f"  {rule['name']}: {difference}"
        for rule in rules
        for difference in rule["differences"][: mirror_check.DIFFERENCES_SHOWN]
    ]
    run.output.result(
        document,
        Table(
            ("rule", "holds", "differences"),
            [
                (rule["name"], "yes" if rule["ok"] else "NO", len(rule["differences"]))
                for rule in rules
            ],
            title=f"books and chain at block {document['block']}",
            right=frozenset({"differences"}),
        ),
        *lines,
    )
    return 0 if all(rule["ok"] for rule in rules) else BooksDiffer.exit_code


def watched(log: logging.Logger) -> dict[str, Any]:
    """Return the callbacks of ``Indexer.follow`` that log who leads, what is waited for, and when that is over.

    A trouble that lasts is a line when it begins and one a minute, not one for each attempt.
    """
    from indexer.backoff import trouble_of
    from ledger.leases import Holder

    last, told_s = "", 0.0

    def leads(before: Holder | None) -> None:
        after = "" if before is None else f", after {before.place}"
        log.warning("this run mirrors now%s", after)

    def stands_by(other: Holder) -> None:
        log.warning(
            "stands by: %s mirrors; takes over when its lease ends, in %.0f s unless it is renewed",
            other.place,
            other.ends_in_ms / 1000,
        )

    def waits(error: Exception, pause_s: float) -> None:
        nonlocal last, told_s
        name, now_s = trouble_of(error).name, time.monotonic()
        if name == last and now_s - told_s < SAID_AGAIN_S:
            return
        last, told_s = name, now_s
        log.warning("%s: %s; trying again in %.1f s", name, error, pause_s)

    def is_over(seconds: float) -> None:
        nonlocal last
        last = ""
        log.warning("mirrors again, after %.1f s", seconds)

    return {
        "on_lead": leads,
        "on_stand_by": stands_by,
        "on_trouble": waits,
        "on_recovery": is_over,
    }


def _follow(settings: Settings, indexer: Any, ticked: Any, lease_s: float) -> TruetonneError | None:
    """Mirror until somebody ends it, or the local node is gone; return why in that case."""
    from cli.service import log_to_stderr, stay, stop_on_signal

    log_to_stderr()
    stop = stop_on_signal()
    with ThreadPoolExecutor(1) as beside:
        watch = beside.submit(stay, settings, stop)
        try:
            indexer.follow(stop, ticked, **watched(_log), lease_s=lease_s)
        finally:
            stop.set()
        return watch.result()


def _target(until: str | None) -> Any:
    if until is None or until == _HEAD:
        return until
    if not (until.isascii() and until.isdigit()):
        raise BadInput(
            f"--until takes `head` or the number of a block, found {until!r}", code="usage"
        )
    digits = until.lstrip("0") or "0"
    if len(digits) > _DIGITS_MAX:
        raise BadInput(
            f"--until takes the number of a block, of at most {_DIGITS_MAX} digits, found {until!r}",
            code="usage",
        )
    return int(digits)  # Python counts zeros in front, too, and refuses 4,301
