"""What ``truetonne doctor`` says of the database: server, schema, what is sealed, what waits."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.checks import Check, Verdict, bad, check_of, whole
from ledger.errors import TruetonneError
from ledger.settings import Settings
from ledger.units import counted

if TYPE_CHECKING:
    from ledger.db import Database
    from ledger.db.findings import Finding


_FILE_SECONDS_MAX = 5
"""Of a large SQLite file not all is read."""
_LOCKED_SECONDS = 5
"""A file that is locked for longer is said to be."""


def database_checks(settings: Settings) -> Iterator[Check]:
    """Yield a check for everything that the database must be and have."""
    from cli.books import check_schema
    from ledger.db import Database

    try:
        database = Database(settings.database_url)
    except TruetonneError as error:
        yield bad("database", Verdict.FAILED, error, "correct database_url")
        return
    if not database.is_there():
        database.close()
        mend = "run `truetonne db upgrade`"
        yield Check("database", Verdict.OK, f"{database.url.database} does not exist yet")
        yield Check("schema", Verdict.FAILED, "there is no database yet", mend)
        return
    try:
        answers = check_of("database", lambda: _ping(database), "start it, or correct database_url")
        yield answers
        if answers.verdict is not Verdict.OK:
            yield Check("schema", Verdict.SKIPPED, "the database does not answer")
            yield from _survivor(settings)
            return
        schema = check_of(
            "schema", lambda: f"revision {check_schema(database)}", "run `truetonne db upgrade`"
        )
        # It answers: what is wrong with its tables is for us to mend.
        failed = schema.verdict is Verdict.DOWN
        yield Check(schema.name, Verdict.FAILED, schema.found, schema.mend) if failed else schema
        if database.dialect == "mysql":
            yield from whole("server asked", _server(database))
        else:
            yield from whole("database file", _file(database))
        yield from whole("pair asked", _pair(settings, database))
        if schema.verdict is Verdict.OK:
            if database.dialect == "mysql":
                yield from _triggers(settings)
            else:
                yield from whole("file asked", _file_triggers(database))
            yield _sealing(database, settings.sealing_key_file)
            yield _sending(database)
            yield _jobs(database)
            yield _mirror(database, settings.network)
            yield _settlement(database)
            yield _webhooks(database)
            yield _partitions(database)
    finally:
        database.close()


def _server(database: Database) -> Iterator[Check]:
    """Check the server: each finding with the statement that mends it; of a cluster, the other nodes too."""
    from ledger.db.galera_nodes import findings_elsewhere
    from ledger.db.server import findings
    from ledger.db.tls import read_tls

    with database.read() as session:
        yield from _found("server", findings(session, read_tls(database.url)))
        yield from _found("server", findings_elsewhere(database, session))


def _file(database: Database) -> Iterator[Check]:
    """Check that an SQLite file can be written, and that its pages are whole: who does not come by one goes on."""
    from ledger.backup.checks import sqlite_damage_within
    from ledger.backup.sqlite import MEND_DAMAGE
    from ledger.db.diagnoses import WRITABLE

    name = "database file"
    if not os.access(database.url.database or "", os.W_OK):
        yield Check(name, Verdict.FAILED, "this account cannot write it", WRITABLE)
        return
    with database.read() as session:
        link: Any = session.connection().connection.driver_connection
        said, read = sqlite_damage_within(link, _FILE_SECONDS_MAX)
    if said:
        yield Check(name, Verdict.FAILED, f"it is damaged: {said}", MEND_DAMAGE)
    elif read:
        yield Check(name, Verdict.OK, "nothing in it is damaged")
    else:
        found = f"no damage in what was read in {_FILE_SECONDS_MAX} s; `PRAGMA integrity_check` reads all"
        yield Check(name, Verdict.OK, found)
    yield _locks(database)


def _locks(database: Database) -> Check:
    """Check that nobody keeps an SQLite file locked: who runs jobs or mirror cannot say meanwhile that it lives."""
    from sqlalchemy import false, update

    from ledger.db import DatabaseBusy
    from ledger.models import HeldLease

    name, nothing = "database locks", update(HeldLease).where(false()).values(name=HeldLease.name)
    try:
        database.alone(nothing, patience_s=_LOCKED_SECONDS)
    except DatabaseBusy:
        return Check(
            name,
            Verdict.FAILED,
            f"another process has kept the file locked for {_LOCKED_SECONDS} s: nobody else writes, and who runs the "
            "jobs or the mirror seems gone",
            "wait for a long import or an upgrade; end a shell in a transaction, or a program that hangs",
        )
    except TruetonneError as error:
        return Check(name, Verdict.SKIPPED, error.message)  # tables that are missing, say
    return Check(name, Verdict.OK, "nobody keeps it locked")


def _triggers(settings: Settings) -> Iterator[Check]:
    """Check the triggers, by the account that may change tables: others do not see them."""
    from cli.books import open_changing
    from ledger.db.server_triggers import triggers

    try:
        with open_changing(settings) as database, database.read() as session:
            yield from _found("server", [triggers(session)])
    except TruetonneError as error:
        yield bad("server triggers", Verdict.FAILED, error, "correct database_admin_url")


def _file_triggers(database: Database) -> Iterator[Check]:
    from ledger.db.server_triggers import file_triggers

    with database.read() as session:
        yield from _found("database", [file_triggers(session, Path(database.url.database or ""))])


def _found(of: str, findings: Iterable[Finding]) -> Iterator[Check]:
    """Yield a check for each finding about a server."""
    from ledger.db.findings import State

    verdicts = {
        State.GOOD: Verdict.OK,
        State.UNKNOWN: Verdict.SKIPPED,
        State.BAD: Verdict.FAILED,
    }
    for item in findings:
        yield Check(f"{of} {item.name}", verdicts[item.state], item.found, item.mend)


def _pair(settings: Settings, primary: Database) -> Iterator[Check]:
    """Check that the replica has what the primary has, and that it could take its place."""
    from ledger.db import Database
    from ledger.db.pair import (
        apart,
        have_changed_places,
        is_of_a_cluster,
        primary_findings,
        replica_findings,
    )

    if not settings.database_read_url:
        yield Check("replica", Verdict.SKIPPED, "none: database_read_url is not set")
        return
    with closing(Database(settings.database_url, read_url=settings.database_read_url)) as pair:
        found = _replica(pair)
        with primary.read() as session:
            if is_of_a_cluster(session):  # whose rules are among the server's
                yield found
                return
        there = pair.replica.there if pair.replica is not None else None
        answers = there is not None and _answers(there)
        if there is not None and answers:
            with primary.read() as session, there.read() as other:
                changed = have_changed_places(session, other)
            if changed:
                said = f"{there.place} takes writes, and {primary.place} does not: they have changed places"
                mend = "name that one in database_url of every process, and change nothing on the servers"
                yield Check("replica", Verdict.FAILED, said, mend)
                return
        yield found
        with primary.read() as session:
            yield from _found("primary", primary_findings(session))
        if there is None or not answers:
            return  # which the line of the replica says
        with there.read() as session, primary.read() as other:
            yield from _found("replica", [*replica_findings(session), apart(session, other)])


def _survivor(settings: Settings) -> Iterator[Check]:
    """Check whether the replica answers, when the primary does not."""
    from ledger.db import Database
    from ledger.db.replica import PATIENCE_S

    if not settings.database_read_url:
        return
    there = Database(
        settings.database_read_url,
        patience_s=PATIENCE_S,
        setting=settings.variable_of("database_read_url"),
    )
    say = "and `truetonne db promote --dry-run` says whether it could take over"
    try:
        yield check_of("replica", lambda: f"{_ping(there)}, {say}", "see docs/replica.md")
    finally:
        there.close()


def _replica(pair: Database) -> Check:
    """Check that the replica answers, and has what the primary has."""
    with pair.look():
        pass
    replica = pair.replica
    if replica is None or replica.reads == 0:
        why = "" if replica is None else replica.why
        mend = "see SHOW REPLICA STATUS there; until then the primary is read"
        return Check("replica", Verdict.FAILED, why, mend)
    return Check("replica", Verdict.OK, f"{replica.there.place} has what the primary has")


def _answers(database: Database) -> bool:
    try:
        database.ping()
    except TruetonneError:
        return False
    return True


def _sealing(database: Database, path: Path) -> Check:
    """Check that what is sealed can be opened, and that nothing stands plain that should be sealed."""
    from cli.sealed import keys_in_use
    from ledger.identity import users
    from ledger.park import configuration
    from ledger.sealing import load_sealer
    from ledger.webhooks import endpoints

    with database.read() as session:
        used = {key: True for each in keys_in_use(session).values() for key in each}
    if not used:
        return Check("sealing", Verdict.OK, "nothing is sealed yet")
    try:
        sealer = load_sealer(path)
    except TruetonneError as error:
        return bad("sealing", Verdict.FAILED, error, "put the key file back")
    gone = sorted(key for key in used if key is not None and key not in sealer.keys)
    if gone:
        keys = ", ".join(map(str, gone))
        mend = "put their lines back"
        return Check(
            "sealing",
            Verdict.FAILED,
            f"{path} lacks keys that something is sealed with: {keys}",
            mend,
        )
    if set(used) != {sealer.newest}:
        found = "something is not sealed with the newest key"
        return Check("sealing", Verdict.FAILED, found, "run `truetonne db keys reseal`")
    for newest in (endpoints.newest_sealed, users.newest_sealed, configuration.newest_sealed):
        with database.read() as session:
            samples = newest(session)
        for sealed, context in samples:
            try:
                sealer.open(sealed, context)
            except TruetonneError as error:
                return bad("sealing", Verdict.FAILED, error, "put the key file back")
    return Check("sealing", Verdict.OK, f"all with key {sealer.newest} of {path}")


def _sending(database: Database) -> Check:
    """Check that nothing on its way to the chain is stuck."""
    from ledger.chain.sending.overview import alarms

    with database.read() as session:
        waiting, stuck = alarms(session)
    if stuck:
        found = f"{len(stuck)} of {waiting} intents have an alarm, first {stuck[0]}"
        return Check("sender", Verdict.FAILED, found, "see `truetonne chain intents`")
    return Check(
        "sender", Verdict.OK, f"{counted(waiting, 'intent')} on the way, none with an alarm"
    )


def _jobs(database: Database) -> Check:
    """Check that jobs do not fail, and that somebody runs them where somebody ever did."""
    from sqlalchemy import select

    from ledger.jobs.overview import alarms, leader_of
    from ledger.models import ScheduledJob

    with database.read() as session:
        wrong = alarms(session)
        holder = leader_of(session)
        query = select(ScheduledJob).where(ScheduledJob.paused_at.is_not(None))
        paused = session.scalars(query.order_by(ScheduledJob.name)).all()
    # That is no alarm, as somebody wanted it; but what is forgotten is compared and settled no more.
    resting = [f"{row.name} since {row.paused_at:%Y-%m-%d}" for row in paused]
    told = f"; paused: {', '.join(resting)}" if resting else ""
    if wrong:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        return Check("jobs", Verdict.FAILED, wrong[0] + more + told, "see `truetonne jobs list`")
    if holder is None or not holder.live:
        asleep = "nobody runs them now; `truetonne up` and `truetonne jobs run` do"
        return Check("jobs", Verdict.OK, asleep + told)
    return Check("jobs", Verdict.OK, f"run by {holder.place}{told}")


def _settlement(database: Database) -> Check:
    """Check that no batch waits for an arbiter, and no trade for a debtor."""
    from ledger.settlement import shortfalls, stuck

    with database.read() as session:
        wrong = stuck.alarms(session) + shortfalls.alarms(session)
    return _first(wrong, "settlement", "nothing is disputed, and no trade waits for funds")


def _webhooks(database: Database) -> Check:
    """Check that whoever asked to be told takes what it is told."""
    from ledger.webhooks import has_endpoints
    from ledger.webhooks.log import alarms

    with database.read() as session:
        wrong = alarms(session)
        asked = has_endpoints(session)
    return _first(wrong, "webhooks", "no message waits for long" if asked else "nobody is told")


def _first(wrong: list[str], name: str, good: str) -> Check:
    """Return the check of some alarms: the first with what to do, and how many more there are."""
    if not wrong:
        return Check(name, Verdict.OK, good)
    found, _, mend = wrong[0].partition("; ")
    more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return Check(name, Verdict.FAILED, found + more, mend)


def _mirror(database: Database, network: str) -> Check:
    """Check that somebody mirrors the chain where the jobs run, and where what was sent waits for it."""
    from api.status.mirror import alarms
    from ledger.leases import holder_of, mirror_lease

    with database.read() as session:
        wrong = alarms(session, network)
        holder = holder_of(session, mirror_lease(network))
    if wrong:
        found, _, mend = wrong[0].partition("; ")
        return Check("mirror", Verdict.FAILED, found, mend)
    if holder is None or not holder.live:
        asleep = "nobody mirrors now; `truetonne up` and `truetonne index run` do"
        return Check("mirror", Verdict.OK, asleep)
    return Check("mirror", Verdict.OK, f"read by {holder.place}")


def _partitions(database: Database) -> Check:
    """Check that every row lies within a period, and that periods are ahead."""
    from ledger.keeping.overview import alarms, views

    with database.read() as session:
        wrong = alarms(session)
    if wrong:
        found, _, mend = wrong[0].partition("; ")
        return Check("partitions", Verdict.FAILED, found, mend)
    if database.dialect == "sqlite":
        return Check("partitions", Verdict.SKIPPED, "SQLite has none")
    short = [
        item
        for item in views(database, datetime.now(UTC).date())
        if item.ahead is not None and item.ahead < 1
    ]
    if short:
        found = f"{short[0].partitioning.table} has no period after {short[0].covered_until}"
        return Check("partitions", Verdict.FAILED, found, "run `truetonne db partitions ensure`")
    return Check("partitions", Verdict.OK, "every row lies in a period, and periods are ahead")


def _ping(database: Database) -> str:
    database.ping()
    return f"{database.place} answers"
