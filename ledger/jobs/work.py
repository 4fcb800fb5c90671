"""What the jobs do: each says in a line what it did, or nothing when there was nothing to do."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from sqlalchemy.orm import Session

from ledger import audit_chain, corrections, issuance
from ledger.chain.access import Chain
from ledger.chain.keys.policy import PolicyRefused
from ledger.chain.node.transports.errors import NodeTrouble
from ledger.chain.sending import intents
from ledger.clock import utc_now
from ledger.db import Database, DatabaseBusy
from ledger.db.sqltext import clock_of
from ledger.errors import BooksDiffer, NotFound, ProblemFound, Refused, TruetonneError
from ledger.jobs import retention
from ledger.jobs.expiring import record_expired
from ledger.jobs.issuing import issue_closed
from ledger.jobs.released import submit_released
from ledger.keeping.moving import archive
from ledger.keeping.orphans import orphans
from ledger.keeping.overview import stray_alarm
from ledger.keeping.places import live_from
from ledger.park import watching
from ledger.park.alerts import unreadable_rules
from ledger.park.standing import AlertTally
from ledger.park.waiting import Looked
from ledger.reconcile import keep_outcome, reconcile
from ledger.sealing import load_sealer
from ledger.settings import Settings
from ledger.settlement import batches, finalizing
from ledger.settlement.fitting import Waiting
from ledger.settlement.pending import Scope
from ledger.settlement.planning import Plan
from ledger.settlement.standstill import Standstill
from ledger.sites.validity import factor_alarms
from ledger.units import counted
from ledger.webhooks import Posting, Rests, agent, collect, deliver, has_endpoints

log = logging.getLogger(__name__)

REFUSED_REST = timedelta(minutes=10)
"""How long a market rests after the contract refused a batch of it; not for what the next plan answers: want of funds,
and signatures that ran out."""
_DIFFERENCES_SHOWN = 3


Verify = Callable[[Chain, "str | int", datetime], "str | None"]
"""Compares what is new in the mirror with the chain, by the setting ``finality``, now; returns what it did."""


@dataclass(frozen=True)
class Tools:
    """What a job works with."""

    chain: Chain
    settings: Settings
    now: Callable[[], datetime] = utc_now
    verify: Verify | None = None
    """Of the mirror, which the ledger does not know; None where there is none."""
    rests: Rests = field(default_factory=Rests)
    """Of endpoints that are told."""
    looked: Looked = field(default_factory=Looked)
    """For values that did not come."""
    standstill: Standstill = field(default_factory=Standstill)
    """Of settlement."""
    _told: dict[str, str] = field(default_factory=dict)

    def tell(self, job: str, line: str) -> None:
        """Write a line to the log unless it was the job's last one; an empty one ends what was told."""
        if line and self._told.get(job) != line:
            log.warning("job %s: %s", job, line)
        self._told[job] = line


def settle(tools: Tools) -> str | None:
    """Net the pending trades of hours that are over into batches; have them co-signed, or propose them.

    Raises
    ------
    TruetonneError
        If a step is refused or the node does not answer; the next run goes on from there. A refusal
        does not keep the later step from being done.
    """
    chain, made = tools.chain, Plan()

    def plan() -> int:
        nonlocal made
        made = batches.plan_again(chain, Scope(REFUSED_REST, until=tools.now()), tools.standstill)
        batches.require_fit(made)
        tools.tell("settle", _waiting(made.waiting))
        batches.require_no_rest(made)
        return len(made.batches)

    try:
        planned, sent = _each((plan, lambda: len(batches.submit_planned(chain))))
    finally:
        said = _failed(made.failed)
        if said:
            log.warning("job settle: %s", said)
    done = [f"planned {planned}, sent {sent} batches"] if planned or sent else []
    return "; ".join([*done, said] if said else done) or None


def _waiting(waiting: Sequence[Waiting]) -> str:
    """Say how many trades wait, and the first reason; nothing where none does."""
    number = sum(len(item.trades) for item in waiting)
    first = waiting[0].message if waiting else ""
    return f"{number} pending trades wait, the first: {first}" if first else ""


def _failed(numbers: Sequence[int]) -> str:
    """Say which trades have failed, as nobody paid in."""
    if not numbers:
        return ""
    what = counted(len(numbers), "trade has", "trades have")
    return (
        f"{what} failed for want of funds; truetonne settle status trade:{min(numbers)} says whose, and "
        f"truetonne settle retry tries again"
    )


def finalise(tools: Tools) -> str | None:
    """Finalise the batches whose window is over, and pass closed ones that hold up the next.

    Raises
    ------
    TruetonneError
        As ``settle``.
    """
    sent = finalizing.finalize_due(tools.chain)
    return f"sent {len(sent)} transactions" if sent else None


def send(tools: Tools) -> str | None:
    """Bring on what is sent and not final, look again at what was final lately, send issuances in their turn.

    Cancellations of corrections are sent that a command left behind, and acts that lost their nonce. One that cannot
    be sent does not keep the others from being sent, unless the node does not answer.

    Raises
    ------
    DependencyDown
        If the node does not answer, or did not take a transaction; the next run tries again.
    Refused
        If the contract refuses an issuance.
    BadInput, PolicyRefused
        If the key of an act is not here, or a cap forbids it.
    """
    chain = tools.chain
    steps: tuple[Callable[[], int], ...] = (
        lambda: len(chain.sender.recheck_final()),
        chain.sender.tend,
        lambda: _send_planned(chain),
        lambda: len(issuance.submit_planned(chain)),
    )
    # What is amiss is often so for one account: no ether, no key here, a cap of the day, a pool that it is in.
    gone, *under_way, issued = _each(steps, (TruetonneError,))
    sent = sum(under_way) + issued
    said = [f"{counted(sent, 'intent')} on the way"] if sent or gone else []
    if issued:
        said.append(f"{issued} of them issuances whose turn has come")
    if gone:
        said.append(f"{gone} were taken back by the chain")
    return "; ".join(said) or None


def _send_planned(chain: Chain) -> int:
    """Send acts that lost their nonce, and cancellations of corrections that are not sent yet; return how many."""
    with chain.db.read() as session:
        if not intents.are_planned(session, chain.deployment.chain_id):
            return 0
    steps = (
        lambda: len(submit_released(chain)),
        lambda: len(corrections.submit_planned(chain)),
    )
    return sum(_each(steps, (TruetonneError,)))


def issue(tools: Tools) -> str | None:
    """Issue the closed periods of projects whose site file wants it."""
    return issue_closed(tools.chain, tools.now())


def expire(tools: Tools) -> str | None:
    """Record on chain which batches have expired."""
    sent = record_expired(tools.chain)
    return f"recorded {len(sent)} batches" if sent else None


def compare(tools: Tools) -> str | None:
    """Compare books and chain, and keep what was found for those who ask.

    Raises
    ------
    BooksDiffer
        If a rule does not hold; each is named with its first differences.
    DependencyDown
        If database or node do not answer, or the node is behind the mirror.
    """
    chain = tools.chain
    try:
        report = reconcile(chain.db, chain.client, chain.deployment)
    except NotFound:  # nothing is mirrored yet
        return None
    network = chain.deployment.network
    chain.db.run(lambda session: keep_outcome(session, network, report, tools.now()))
    wrong = [rule for rule in report.rules if not rule.ok]
    if not wrong:
        return f"{len(report.rules)} rules hold at block {report.block}"
    said = "; ".join(
        f"{rule.name} ({len(rule.differences)}): {', '.join(rule.differences[:_DIFFERENCES_SHOWN])}"
        for rule in wrong
    )
    raise BooksDiffer(
        f"books and chain differ at block {report.block}: {said}; all of them: truetonne reconcile"
    )


def verify_mirror(tools: Tools) -> str | None:
    """Compare what is new in the mirror with a fresh decode of the chain.

    Raises
    ------
    BooksDiffer
        If they differ.
    DependencyDown
        If database or node do not answer.
    """
    if tools.verify is None:
        raise TypeError("whoever runs the jobs gives them no verification of the mirror")
    return tools.verify(tools.chain, tools.settings.finality, tools.now())


def check_factors(tools: Tools) -> str | None:
    """Look at the factors in use.

    Raises
    ------
    ProblemFound
        If a person should look at one.
    """
    with tools.chain.db.read() as session:
        found = factor_alarms(session, _today(tools))
    if found:
        raise ProblemFound("; ".join(found), code="factors")
    return None


def watch_devices(tools: Tools) -> str | None:
    """Raise alerts for values that have not come until now; alerts about values come with their import.

    Raises
    ------
    ProblemFound
        If the rules of a device type cannot be read; the others were seen to.
    """
    db = tools.chain.db
    wanted: set[int] | None = None
    # Reading first: on SQLite who looks at a park of hundreds of devices would keep all others from writing meanwhile.
    with suppress(DatabaseBusy), db.read(holding=watching.HELD) as session:
        wanted = watching.to_watch(session, _by_both(tools, session), tools.looked)
    tally = AlertTally()
    if wanted is None or wanted:  # None: months leave the table, which who writes waits for
        tally = db.run(
            lambda session: watching.watch(session, _by_both(tools, session), wanted),
            holding=watching.HELD,
        )
    with db.read() as session:
        wrong = unreadable_rules(session)
    if wrong:
        raise ProblemFound("; ".join(wrong), code="alert-rules")
    said = ", ".join(f"{count} {name}" for name, count in tally.as_json().items())
    return f"alerts: {said}" if said else None


@contextmanager
def _changing_tables(tools: Tools) -> Iterator[Database]:
    """Yield the database by the account that may change tables: who writes rows need not be it."""
    admin = tools.settings.database_admin_url
    if admin == tools.settings.database_url:
        yield tools.chain.db
        return
    named = tools.settings.variable_of("database_admin_url")
    with closing(Database(admin, setting=named)) as database:
        yield database


def keep_partitions(tools: Tools) -> str | None:
    """Add the partitions that will be needed; rows that none covered move into them.

    Raises
    ------
    ProblemFound
        If rows still lie outside of all periods.
    """
    with _changing_tables(tools) as database:
        reports = database.ensure_partitions(_today(tools))
    strays = [stray_alarm(item.table, item.stray_left) for item in reports if item.stray_left]
    if strays:
        raise ProblemFound("; ".join(strays), code="stray-rows")
    said = [f"added {item.table} {name}" for item in reports for name in item.added]
    said += [
        f"{item.stray_rows} rows of {item.table} moved out of pmax"
        for item in reports
        if item.stray_rows
    ]
    return ", ".join(said) or None


def tell(tools: Tools) -> str | None:
    """Tell endpoints of what became final, and again what they did not take.

    Raises
    ------
    BadInput
        If there are endpoints, and the key that their secrets are sealed with cannot be read.
    """
    db, settings = tools.chain.db, tools.settings
    with db.read() as session:
        if not has_endpoints(session):
            return None
    posting = Posting(
        load_sealer(settings.sealing_key_file),
        settings.webhook_private_targets,
        agent(),
        tools.now,
        tools.rests,
    )
    made = collect(db, tools.now())

    def collected() -> None:
        nonlocal made
        made += collect(db, tools.now())

    taken, failed = deliver(db, posting, collected=collected)
    if not (made or taken or failed):
        return None
    return f"{made} new deliveries, {taken} taken, {failed} not"


def forget(tools: Tools) -> str | None:
    """Delete what is older than it is kept."""
    counts = retention.expire(tools.chain.db, tools.now())
    said = ", ".join(f"{number} {what}" for what, number in counts.items() if number)
    return f"deleted {said}" if said else None


def move_to_archive(tools: Tools) -> str | None:
    """Move real-time data that are older than they are kept live into the archive.

    Raises
    ------
    DatabaseBusy
        If a table is in use for longer than a change may hold up others; the next run goes on.
    ProblemFound
        If the user of the database may not change tables.
    """
    with tools.chain.db.read() as session:
        today = _by_both(tools, session).date()
    before = live_from(today, tools.settings.live_months)
    counts: dict[str, int] = {}
    with _changing_tables(tools) as database:
        for item in archive(database, before):
            key = f"{item.table} {item.month}"
            counts[key] = counts.get(key, 0) + item.rows
    said = ", ".join(f"{rows} rows of {what}" for what, rows in counts.items())
    return f"archived {said}" if said else None


def find_orphans(tools: Tools) -> str | None:
    """Look for rows of partitioned tables whose parent is gone.

    Raises
    ------
    ProblemFound
        If there are some.
    """
    found = orphans(tools.chain.db)
    if found:
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        raise ProblemFound(f"{found[0]}{more}; see `truetonne db orphans`", code="orphaned-rows")
    return None


def verify_audit(tools: Tools) -> str:
    """Check every entry of the audit log against its chain; returns the chain's end, so that the history keeps it.

    Raises
    ------
    ProblemFound
        If an entry was changed, put in or left out.
    """
    with tools.chain.db.read() as session:
        checked = audit_chain.check(session)
    if checked.problems:
        first, *others = checked.problems
        more = f", and {len(others)} more" if others else ""
        raise ProblemFound(f"{first}{more}; see `truetonne audit verify`", code="audit-changed")
    return f"the audit log is as written, up to {checked.head}"


def _each(
    steps: Sequence[Callable[[], int]],
    passed: tuple[type[TruetonneError], ...] = (Refused, PolicyRefused),
) -> list[int]:
    """Do every step, whatever of those errors one before it ends with; then raise the first of them, or return all.

    Where the node does not answer, no other step is tried: each would wait for it.
    """
    trouble: TruetonneError | None = None
    found = []
    for step in steps:
        try:
            found.append(step())
        except NodeTrouble as error:
            trouble = trouble or error
            break
        except passed as error:
            trouble = trouble or error
    if trouble is not None:
        raise trouble
    return found


def _by_both(tools: Tools, session: Session) -> datetime:
    """Return the time of day by this machine's clock or the database's, whichever is behind.

    By one that is ahead, every device would have been silent for long, and what is young would leave the live tables.
    """
    return min(tools.now(), clock_of(session))


def _today(tools: Tools) -> date:
    return tools.now().astimezone(UTC).date()
