"""``truetonne doctor``: every setting, and whether what it names works."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli.command import Invocation, command
from cli.output import Table
from ledger.errors import DependencyDown, TruetonneError
from ledger.settings import SETTINGS, Settings, described

if TYPE_CHECKING:
    from ledger.chain.book import Deployment
    from ledger.chain.client import ChainClient
    from ledger.db import Database

NODE_SECONDS_MAX = 5.0


class Verdict(StrEnum):
    """What a check found."""

    OK = "ok"
    SKIPPED = "skipped"
    FAILED = "failed"
    DOWN = "down"


@dataclass(frozen=True)
class Check:
    """One line of the doctor's report."""

    name: str
    verdict: Verdict
    found: str
    mend: str = ""

    def as_json(self) -> dict[str, str | bool]:
        """Return the check as ``--json`` prints it."""
        return {
            "name": self.name,
            "ok": self.verdict in (Verdict.OK, Verdict.SKIPPED),
            "verdict": self.verdict.value,
            "found": self.found,
            "mend": self.mend,
        }


def register(root: typer.Typer) -> None:
    """Add the command."""
    command(root, "doctor")(doctor)


def doctor(run: Invocation) -> int:
    """Print every setting and check what it names; exit 3 when a dependency is down, else 1."""
    settings = run.settings
    checks = list(_checks(settings))
    verdicts = {check.verdict for check in checks}
    shown = described(settings)
    document = {
        "ok": not verdicts & {Verdict.FAILED, Verdict.DOWN},
        "settings": shown,
        "checks": [check.as_json() for check in checks],
    }
    variables = [(item.variable, shown[item.name], item.help) for item in SETTINGS]
    run.output.result(
        document,
        Table(("setting", "value", "what it is"), variables),
        "",
        Table(
            ("check", "verdict", "found", "what to do"),
            [(check.name, check.verdict, check.found, check.mend) for check in checks],
        ),
    )
    if Verdict.DOWN in verdicts:
        return DependencyDown.exit_code
    return 1 if Verdict.FAILED in verdicts else 0


def _checks(settings: Settings) -> Iterator[Check]:
    yield _home(settings)
    yield _of("job_schedules", lambda: _schedules(settings), "correct job_schedules")
    yield from _database(settings)
    yield _backups(settings)
    yield from _chain(settings)
    yield from _keys(settings)


def _of(name: str, look: Callable[[], str], mend: str) -> Check:
    """Return the check of a look that returns what it found, or raises what is wrong."""
    try:
        return Check(name, Verdict.OK, look())
    except DependencyDown as error:
        return _bad(name, Verdict.DOWN, error, mend)
    except TruetonneError as error:
        return _bad(name, Verdict.FAILED, error, mend)


def _bad(name: str, verdict: Verdict, error: TruetonneError, mend: str) -> Check:
    """Return the check of an error. What its message says to do is what is to be done: one hint, not two."""
    found, hint, own = error.message.rpartition("; ")
    return Check(name, verdict, found, own) if hint else Check(name, verdict, error.message, mend)


def _home(settings: Settings) -> Check:
    folder = settings.home
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        return Check("home", Verdict.FAILED, f"{folder} is not a folder", "set home to a folder")
    if not _writable(folder):
        return Check(
            "home", Verdict.FAILED, f"{folder} cannot be written", "set home to a folder of yours"
        )
    there = "exists" if settings.home.exists() else "will be made when it is needed"
    return Check("home", Verdict.OK, f"{settings.home} {there}")


def _database(settings: Settings) -> Iterator[Check]:
    from cli.books import check_schema
    from ledger.db import Database

    file = settings.database_url.removeprefix("sqlite:///")
    if file != settings.database_url and not Path(file).exists():
        mend = "run `truetonne db upgrade`"
        yield Check("database", Verdict.OK, f"{file} does not exist yet")
        yield Check("schema", Verdict.FAILED, "there is no database yet", mend)
        return
    try:
        database = Database(settings.database_url)
    except TruetonneError as error:
        yield _bad("database", Verdict.FAILED, error, "correct database_url")
        return
    try:
        answers = _of("database", lambda: _ping(database), "start it, or correct database_url")
        yield answers
        if answers.verdict is not Verdict.OK:
            yield Check("schema", Verdict.SKIPPED, "the database does not answer")
            return
        schema = _of(
            "schema", lambda: f"revision {check_schema(database)}", "run `truetonne db upgrade`"
        )
        # It answers: what is wrong with its tables is for us to mend.
        failed = schema.verdict is Verdict.DOWN
        yield Check(schema.name, Verdict.FAILED, schema.found, schema.mend) if failed else schema
        if schema.verdict is Verdict.OK:
            yield _replica(settings)
            yield _sending(database)
            yield _jobs(database)
    finally:
        database.close()


def _replica(settings: Settings) -> Check:
    """Check that the replica answers, and has what the primary has."""
    from ledger.db import Database

    if not settings.database_read_url:
        return Check("replica", Verdict.SKIPPED, "none: database_read_url is not set")
    database = Database(settings.database_url, read_url=settings.database_read_url)
    try:
        with database.look():
            pass
        replica = database.replica
        if replica is None or replica.reads == 0:
            why = "" if replica is None else replica.why
            mend = "see SHOW REPLICA STATUS there; until then the primary is read"
            return Check("replica", Verdict.FAILED, why, mend)
        return Check("replica", Verdict.OK, f"{replica.there.place} has what the primary has")
    finally:
        database.close()


def _sending(database: Database) -> Check:
    """Check that nothing on its way to the chain is stuck."""
    from ledger.chain.overview import alarms

    with database.read() as session:
        waiting, stuck = alarms(session)
    if stuck:
        found = f"{len(stuck)} of {waiting} intents have an alarm, first {stuck[0]}"
        return Check("sender", Verdict.FAILED, found, "see `truetonne chain intents`")
    return Check("sender", Verdict.OK, f"{waiting} intents on their way, none with an alarm")


def _jobs(database: Database) -> Check:
    """Check that jobs do not fail, and that somebody runs them where somebody ever did."""
    from ledger.jobs.overview import alarms
    from ledger.jobs.running import NAME
    from ledger.leases import holder_of

    with database.read() as session:
        wrong = alarms(session)
        holder = holder_of(session, NAME)
    if wrong:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        return Check("jobs", Verdict.FAILED, wrong[0] + more, "see `truetonne jobs list`")
    if holder is None or not holder.live:
        asleep = "nobody runs them now; `truetonne up` and `truetonne jobs run` do"
        return Check("jobs", Verdict.OK, asleep)
    return Check("jobs", Verdict.OK, f"run by {holder.place}")


def _schedules(settings: Settings) -> str:
    from ledger.jobs.catalogue import schedules_of

    return f"{len(schedules_of(settings))} jobs have one"


def _backups(settings: Settings) -> Check:
    """Check that there is a backup of today, and that a drill has shown that it can be restored."""
    from ledger.backup.overview import said, standing
    from ledger.backup.store import utc_now

    now = utc_now()
    found = standing(settings, now)
    if found is None:
        return Check("backups", Verdict.SKIPPED, "none are taken: backup_folder is not set")
    if found.alarms:
        text, hint, mend = found.alarms[0].rpartition("; ")
        more = f", and {len(found.alarms) - 1} more" if len(found.alarms) > 1 else ""
        wrong = (text, mend) if hint else (mend, "see docs/backup.md")
        return Check("backups", Verdict.FAILED, wrong[0] + more, wrong[1])
    return Check("backups", Verdict.OK, said(found, now))


def _ping(database: Database) -> str:
    database.ping()
    return f"{database.place} answers"


def _chain(settings: Settings) -> Iterator[Check]:
    from ledger.chain.book import Deployment
    from ledger.chain.local_node import find_anvil
    from ledger.chain.shared_node import published_url

    if settings.local_chain:
        yield _of(
            "anvil",
            lambda: str(find_anvil(settings.anvil)),
            "run `./dev sync`, or set anvil or rpc_url",
        )
    else:
        yield Check("anvil", Verdict.SKIPPED, "not needed: rpc_url names a node")
    deployment: Deployment | None = None
    try:
        deployment = Deployment.load(settings.deployment)
        names = ", ".join(sorted(deployment.contracts))
        yield Check(
            "deployment", Verdict.OK, f"{settings.deployment}: {names} on {deployment.network}"
        )
    except TruetonneError as error:
        yield _bad("deployment", Verdict.FAILED, error, "correct the file, or set deployment")
    url = published_url(settings)
    if not url:
        asleep = "the local chain is not running; commands start it when they need it"
        yield Check("node", Verdict.SKIPPED, asleep)
        yield Check("chain", Verdict.SKIPPED, "no node runs")
        return
    yield from _node(url, deployment)


def _node(url: str, deployment: Deployment | None) -> Iterator[Check]:
    from ledger.chain.client import ChainClient
    from ledger.settings import redacted

    client = ChainClient(url, timeout_s=NODE_SECONDS_MAX)
    try:
        answers = _of(
            "node",
            lambda: f"{redacted(url)} answers for chain id {client.chain_id()}",
            "start it, or correct rpc_url",
        )
        yield answers
        if answers.verdict is not Verdict.OK:
            yield Check("chain", Verdict.SKIPPED, "the node does not answer")
        elif deployment is None:
            yield Check("chain", Verdict.SKIPPED, "there is no deployment to compare it with")
        else:
            yield _of(
                "chain",
                lambda: _same_chain(client, deployment),
                "set rpc_url or deployment to the same chain",
            )
    finally:
        client.close()


def _same_chain(client: ChainClient, deployment: Deployment) -> str:
    deployment.check(client)
    return f"the node serves the chain of the deployment ({deployment.chain_id})"


def _keys(settings: Settings) -> Iterator[Check]:
    folder, password = settings.keystore, settings.keystore_password_file
    if folder is None:
        which = (
            "none; a local chain uses Anvil's well-known keys" if settings.local_chain else "none"
        )
        yield Check("keystore", Verdict.SKIPPED, which)
    elif not folder.is_dir():
        yield Check(
            "keystore",
            Verdict.FAILED,
            f"{folder} is not a folder",
            "set keystore to a folder of key files",
        )
    else:
        files = [item for item in sorted(folder.iterdir()) if item.is_file()]
        yield _closed("keystore", files, f"{len(files)} key files in {folder}")
    if password is None:
        verdict = Verdict.SKIPPED if folder is None else Verdict.FAILED
        mend = "" if folder is None else "set keystore_password_file"
        yield Check("keystore_password_file", verdict, "none", mend)
    elif not password.is_file():
        yield Check(
            "keystore_password_file",
            Verdict.FAILED,
            f"{password} is not a file",
            "set keystore_password_file to a file that holds the password",
        )
    else:
        yield _closed("keystore_password_file", [password], str(password))
    yield _signer(settings)


def _signer(settings: Settings) -> Check:
    if not settings.signer_url:
        return Check("signer_url", Verdict.SKIPPED, "none")
    from ledger.chain.remote_signer import SignerService

    service = SignerService(settings.signer_url, timeout_s=NODE_SECONDS_MAX)
    return _of(
        "signer_url",
        lambda: f"{service.place} signs for {len(service.accounts())} accounts",
        "start it, or correct signer_url",
    )


def _closed(name: str, files: list[Path], found: str) -> Check:
    """Check that nobody but the owner may read or write the files."""
    opened = [file for file in files if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)]
    if opened:
        names = " ".join(str(file) for file in opened)
        return Check(name, Verdict.FAILED, f"open to others: {names}", f"chmod 600 {names}")
    return Check(name, Verdict.OK, found)


def _writable(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)
