"""The periodic jobs, wired to APScheduler: the only module that knows it.

Each job is a function of database and chain, safe to run again at any time; the scheduler only says
when. One run at a time, missed runs are made up for by one, and none is dropped for being late.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy import select

from ledger.chain.access import Chain
from ledger.chain.policy import PolicyRefused
from ledger.chain.shared_node import mine_to_finality
from ledger.errors import Refused, TruetonneError
from ledger.models import ChainCursor, ChainInclusion
from ledger.reconcile import reconcile
from ledger.settings import Settings
from ledger.settlement import batches

log = logging.getLogger(__name__)

SETTLE_SECONDS = 10
RESEND_SECONDS = 15
FINALITY_SECONDS = 2
RECONCILE_HOURS = 24
REFUSED_REST = timedelta(minutes=10)
"""How long a market rests after the contract refused a batch of it, for instance for want of funds."""


def scheduler(settings: Settings, chain: Chain) -> BackgroundScheduler:
    """Return the scheduler with all jobs; the caller starts it and shuts it down."""
    made = BackgroundScheduler(
        timezone="UTC",
        executors={"default": ThreadPoolExecutor(1)},
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
    )
    made.add_job(_logged("settle", lambda: settle(chain)), "interval", seconds=SETTLE_SECONDS)
    made.add_job(_logged("resend", lambda: resend(chain)), "interval", seconds=RESEND_SECONDS)
    made.add_job(
        _logged("reconcile", lambda: report_differences(chain)), "interval", hours=RECONCILE_HOURS
    )
    if settings.local_chain:
        made.add_job(
            _logged("finality", lambda: make_final(settings, chain)),
            "interval",
            seconds=FINALITY_SECONDS,
        )
    return made


def settle(chain: Chain) -> None:
    """Net the pending trades into batches, propose them, and finalise those whose window is over.

    Raises
    ------
    TruetonneError
        If a step is refused or the node does not answer; the next run goes on from there. A refusal
        does not keep the later steps from being done.
    """
    refusal: Refused | PolicyRefused | None = None
    for step in (
        lambda: batches.plan_batches(chain, REFUSED_REST),
        lambda: batches.submit_planned(chain),
        lambda: batches.finalize_due(chain),
    ):
        try:
            step()
        except (Refused, PolicyRefused) as error:
            refusal = refusal or error
    if refusal is not None:
        raise refusal


def resend(chain: Chain) -> None:
    """Bring on what is sent and not final, and look again at what was final lately.

    Raises
    ------
    DependencyDown
        If the node does not answer, or did not take a transaction; the next run tries again.
    """
    chain.sender.audit()
    chain.sender.tend()


def report_differences(chain: Chain) -> None:
    """Compare books and chain, and log every rule that does not hold."""
    for rule in reconcile(chain.db, chain.client, chain.deployment).rules:
        if not rule.ok:
            log.error("books and chain differ in %s: %s", rule.name, rule.differences[:3])


def make_final(settings: Settings, chain: Chain) -> None:
    """Let a local chain grow while something in it waits to be final; a quiet one stays as it is."""
    with chain.db.read() as session:
        cursor = session.scalars(select(ChainCursor)).first()
        if cursor is None:
            return
        query = select(ChainInclusion.tx_hash).where(
            ChainInclusion.block_number > cursor.final_number
        )
        waiting = session.scalars(query.limit(1)).first() is not None
    if waiting:
        mine_to_finality(chain.client, settings)


def _logged(name: str, work: Callable[[], object]) -> Callable[[], None]:
    """Return a job whose failure is one line in the log, and no reason to stop the others."""

    def job() -> None:
        try:
            work()
        except TruetonneError as error:
            log.warning("job %s: %s", name, error.message)

    return job
