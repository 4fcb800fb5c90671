"""``truetonne doctor``: every setting, and whether what it names works."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from cli.checks import Check, Verdict, bad, check_of, whole
from cli.command import Invocation, command
from cli.doctor_clock import clock_of_chain
from cli.doctor_database import database_checks
from cli.output import Table
from ledger.errors import BadInput, DependencyDown, ProblemFound, TruetonneError
from ledger.settings import (
    LOCAL_CHAIN_ID,
    SETTINGS,
    Settings,
    described,
    redacted,
    unknown_variables,
)

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ledger.chain.addresses.book import Deployment
    from ledger.chain.node.client import ChainClient
    from ledger.db import Database

T = TypeVar("T")
NODE_SECONDS_MAX = 5.0
_YOUNG_BLOCKS = 256
"""A chain of fewer may have finalised nothing yet: Ethereum does after two epochs of 32 slots, where all goes well."""


def register(root: typer.Typer) -> None:
    """Add the command."""
    command(root, "doctor")(doctor)


def doctor(run: Invocation) -> int:
    """Print every setting and check what it names; exit 1 when a check fails, 3 when a dependency is down."""
    settings = run.settings
    checks = [_variables(run.environ), *_checks(settings)]
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
    yield from whole("home", map(_home, [settings]))
    yield check_of("job_schedules", lambda: _schedules(settings), "correct job_schedules")
    yield from whole("database asked", database_checks(settings))
    yield from _cache(settings)
    yield from whole("backups", map(_backups, [settings]))
    yield from whole("chain asked", _chain(settings))
    yield from whole("keys asked", _keys(settings))


def _variables(environ: Mapping[str, str]) -> Check:
    """Look for settings in the environment that are none: nobody else says that they do nothing."""
    unknown = unknown_variables(environ)
    if not unknown:
        return Check("environment", Verdict.OK, "no variable of ours is unknown")
    found = ", ".join(
        f"{name} (is {meant} meant?)" if meant else name for name, meant in unknown.items()
    )
    return Check("environment", Verdict.FAILED, f"no such setting: {found}", "correct or unset it")


def _home(settings: Settings) -> Check:
    folder = settings.home
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        return Check("home", Verdict.FAILED, f"{folder} is not a folder", "set home to a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        return Check(
            "home", Verdict.FAILED, f"{folder} cannot be written", "set home to a folder of yours"
        )
    there = "exists" if settings.home.exists() else "will be made when it is needed"
    return Check("home", Verdict.OK, f"{settings.home} {there}")


def _cache(settings: Settings) -> Iterator[Check]:
    if not settings.cache_url:
        return
    from api.cache.shared import reach

    def look() -> str:
        reach(settings.cache_url)
        if not settings.cache_mib:
            return "answers, but cache_mib is 0: nothing is kept"
        if settings.database_url.startswith("sqlite"):
            return "answers, but answers from an SQLite file are not shared"
        return f"{redacted(settings.cache_url)} answers"

    yield check_of("cache", look, "start it, or unset cache_url")


def _schedules(settings: Settings) -> str:
    from ledger.jobs.catalogue import schedules_of

    return f"{len(schedules_of(settings))} jobs have one"


def _backups(settings: Settings) -> Check:
    """Check that there is a backup of today, and that a drill has shown that it can be restored."""
    from ledger.backup.overview import said, standing
    from ledger.clock import utc_now

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


def _chain(settings: Settings) -> Iterator[Check]:
    from ledger.chain.local.anvil import find_anvil
    from ledger.chain.local.shared import published_url, silence

    if settings.local_chain:
        yield check_of(
            "anvil",
            lambda: str(find_anvil(settings.anvil)),
            "run `./dev sync`, or set anvil or rpc_url",
        )
    else:
        yield Check("anvil", Verdict.SKIPPED, "not needed: rpc_url names a node")
    deployment: Deployment | None = None
    try:
        deployment = _deployment(settings)
        recipients = _held_against_books(deployment, settings)
        yield _named(deployment, settings)
        yield from recipients
    except TruetonneError as error:
        yield bad("deployment", Verdict.FAILED, error, "correct the file, or set deployment")
    url = published_url(settings)
    if not url and (silent := silence(settings)):
        yield Check("node", Verdict.DOWN, silent, "wait, or end that process and start again")
        yield Check("chain", Verdict.SKIPPED, "the node does not answer")
        return
    if not url:
        asleep = "the local chain is not running; commands start it when they need it"
        yield Check("node", Verdict.SKIPPED, asleep)
        yield Check("chain", Verdict.SKIPPED, "no node runs")
        return
    yield from _node(url, deployment, settings)


def _deployment(settings: Settings) -> Deployment:
    """Read the deployment file; where there is none, say so of the folder that has it after a move."""
    from ledger.chain.addresses.book import Deployment
    from ledger.chain.local.shared import check_chain_is_here

    try:
        return Deployment.load(settings.deployment)
    except BadInput as error:
        if error.code == "not-deployed":
            _ask_books(settings, partial(check_chain_is_here, settings))
        raise


def _held_against_books(deployment: Deployment, settings: Settings) -> list[Check]:
    """Require that the books are kept of this chain and these contracts; look who is issued to."""
    from ledger.chain.addresses.kept import require_same_books
    from ledger.registration import misdirected

    def look(session: Session) -> list[Check]:
        require_same_books(session, deployment)
        found = misdirected(session, deployment)
        return [Check("recipients", Verdict.FAILED, *each) for each in found]

    return _read_books(settings, look) or []


def _ask_books(settings: Settings, ask: Callable[[Database], T]) -> T | None:
    """Return what the books answer; None where something keeps them from it: the check of the database says what."""
    from ledger.db import Database

    try:
        db = Database(settings.database_url)
    except BadInput:
        return None
    with suppress(DependencyDown), closing(db):
        return ask(db)
    return None


def _read_books(settings: Settings, look: Callable[[Session], T]) -> T | None:
    """Return what stands in the books; None where there are none, or they do not answer."""

    def ask(db: Database) -> T | None:
        if not db.is_there():
            return None
        with db.read() as session:
            return look(session)

    return _ask_books(settings, ask)


def _named(deployment: Deployment, settings: Settings) -> Check:
    """Say whether the books are mirrored (as the file says) and read (as the settings say) under one name."""
    names = ", ".join(sorted(deployment.contracts))
    found = f"{settings.deployment}: {names} on {deployment.network}"
    if deployment.network == settings.network:
        return Check("deployment", Verdict.OK, found)
    return Check(
        "deployment",
        Verdict.FAILED,
        f"{found}, and the setting network is {settings.network}: what is mirrored is not found",
        f"set network to {deployment.network}, or leave it out",
    )


def _node(url: str, deployment: Deployment | None, settings: Settings) -> Iterator[Check]:
    from ledger.chain.node.client import ChainClient

    with closing(ChainClient(url, timeout_s=NODE_SECONDS_MAX)) as client:
        answers = check_of(
            "node",
            lambda: f"{redacted(url)} answers for chain id {client.chain_id()}",
            "start it, or correct rpc_url",
        )
        yield answers
        if answers.verdict is not Verdict.OK:
            yield Check("chain", Verdict.SKIPPED, "the node does not answer")
            return
        if deployment is None:
            yield Check("chain", Verdict.SKIPPED, "there is no deployment to compare it with")
            return
        same = check_of(
            "chain",
            lambda: _same_chain(client, deployment),
            "set rpc_url or deployment to the same chain",
        )
        yield same
        if same.verdict is not Verdict.OK:
            return
        yield from whole("roles", map(partial(_roles, client), [deployment]))
        yield check_of(
            "gas",
            lambda: _gas(client, deployment, settings),
            "send these accounts ether: what they sign waits without it; of one that is to sign no more, "
            "take the key away from here",
        )
        local = deployment.chain_id == LOCAL_CHAIN_ID
        yield check_of(
            "chain clock", lambda: clock_of_chain(client, local=local), "look at the node"
        )
        final = _final_in_books(settings)
        yield check_of(
            "chain head",
            lambda: _head(client, final),
            "wait until it has, or set rpc_url to another",
        )
        yield check_of(
            "chain final",
            lambda: _final(client, settings.finality, final),
            "wait until it says one, or set rpc_url to another; where the chain never does, set finality to "
            "a number of blocks",
        )


def _roles(client: ChainClient, deployment: Deployment) -> Check:
    """Compare the accounts of the deployment file with who has the roles: they change on chain, and not in the file."""
    from ledger.chain.addresses.holders import lacking

    without = lacking(client, deployment)
    if not without:
        return Check("roles", Verdict.OK, "the accounts of the deployment file have theirs")
    return Check(
        "roles",
        Verdict.FAILED,
        "; ".join(item.sentence() for item in without),
        "write the account that has it under `accounts` of the deployment file and restart what runs, or have the "
        "admin grant it (scripts/grant_roles.py); `truetonne chain verify` shows who has each",
    )


def _gas(client: ChainClient, deployment: Deployment, settings: Settings) -> str:
    """Compare what the accounts that sign have with what they signed for lately: none is to find its money gone."""
    from ledger.chain.fees import ether_text
    from ledger.chain.sending import lanes

    chain_id = deployment.chain_id
    needs = _read_books(settings, lambda session: lanes.signed_for_lately(session, chain_id)) or {}
    here = _keys_here(settings)
    retired = sorted(set(needs) - here) if here is not None else []
    needs = {account: need for account, need in needs.items() if account not in retired}
    poor = [
        f"{account} has {ether_text(has)} ether, and signed for up to {ether_text(need)}"
        for account, need in sorted(needs.items())
        if (has := client.balance(account)) < need
    ]
    days = f"on the last {lanes.LATELY_DAYS} days on which each signed"
    without = f"; not asked about, as their keys are not here: {', '.join(retired)}"
    told = without if retired else ""
    if poor:
        raise ProblemFound(f"{'; '.join(poor)} {days}{told}")
    return f"the accounts that sign have what they signed for {days}, or more{told}"


def _keys_here(settings: Settings) -> frozenset[str] | None:
    """Return the accounts whose keys are at hand; None: they are elsewhere, or cannot be listed, as other checks say.

    An account whose key was taken away signs no more: that its money is gone, too, is meant so. Of a file that cannot
    be read nobody knows whose it is; and where there is no key at all, none was taken away.
    """
    from ledger.chain.keys.keystore import key_files
    from ledger.chain.keys.remote_signer import SignerService

    if settings.keystore is None and not settings.signer_url:
        return None
    try:
        files = key_files(settings.keystore) if settings.keystore is not None else []
        kept = (
            SignerService(settings.signer_url, timeout_s=NODE_SECONDS_MAX).accounts()
            if settings.signer_url
            else ()
        )
    except TruetonneError:
        return None
    named = [item.address for item in files if item.address is not None]
    if len(named) < len(files):
        return None
    return frozenset((*kept, *named)) or None


def _head(client: ChainClient, final: int) -> str:
    """Look whether the node has come to what the books call final: one that syncs anew refuses all that is asked."""
    head = client.head().number
    if head < final:
        raise DependencyDown(
            f"the node's head is block {head}, and block {final} was final already in these books: it is still "
            "catching up, or was restored from an older state"
        )
    return f"block {head}"


def _final(client: ChainClient, finality: str | int, final: int) -> str:
    """Look whether the node says which block is final: while it does not, nothing that was sent is confirmed."""
    from indexer.finality import FINALIZED, claimed

    if finality != FINALIZED:
        return f"the setting finality: {finality} blocks below the head"
    claim = claimed(client, FINALIZED)
    if claim.reaches(final):
        if (stands := claim.stands_still(client.head())) is not None:
            raise DependencyDown(f"{stands}: nothing that is sent is confirmed")
        return f"block {claim.number}"
    if claim.lacks is not None and not final and client.block_number() < _YOUNG_BLOCKS:
        return f"none yet ({claim.lacks}), as on a young chain"
    node = f"block {claim.number}" if claim.lacks is None else f"none ({claim.lacks})"
    books = f", and block {final} was final already in these books" if final else ""
    raise DependencyDown(
        f"by the node the final block is {node}{books}: nothing that is sent is confirmed"
    )


def _final_in_books(settings: Settings) -> int:
    """Return up to which block the books call the chain final; 0 where they do not say, or do not answer."""
    from sqlalchemy import func, select

    from ledger.models import ChainCursor

    ours = ChainCursor.network == settings.network
    query = select(func.max(ChainCursor.final_number)).where(ours)
    return _read_books(settings, lambda session: session.scalar(query)) or 0


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
        yield _key_files(folder)
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
        closed = _closed("keystore_password_file", [password], str(password))
        is_ready = folder is not None and folder.is_dir() and closed.verdict is Verdict.OK
        yield _opens(settings) if is_ready else closed
    yield _signer(settings)


def _key_files(folder: Path) -> Check:
    from ledger.chain.keys.keystore import files_of

    try:
        files = files_of(folder)
    except TruetonneError as error:
        return bad("keystore", Verdict.FAILED, error, "give the folder to this user")
    return _closed("keystore", files, f"{len(files)} key files in {folder}")


def _opens(settings: Settings) -> Check:
    """Open the key files, as every command does that sends: one that the password does not open stops all of them."""
    from ledger.chain.keys.signers import load_keyring

    def look() -> str:
        opened = load_keyring(replace(settings, signer_url=""), LOCAL_CHAIN_ID).addresses
        return f"{settings.keystore_password_file}, which opens all {len(opened)}"

    return check_of("keystore_password_file", look, "correct the password")


def _signer(settings: Settings) -> Check:
    if not settings.signer_url:
        return Check("signer_url", Verdict.SKIPPED, "none")
    from ledger.chain.keys.remote_signer import SignerService

    service = SignerService(settings.signer_url, timeout_s=NODE_SECONDS_MAX)
    return check_of(
        "signer_url",
        lambda: f"{service.place} signs for {len(service.accounts())} accounts",
        "start it, or correct signer_url",
    )


def _closed(name: str, files: list[Path], found: str) -> Check:
    """Check that nobody but the owner may read or write the files."""
    from ledger.chain.keys.keystore import is_open

    opened = [file for file in files if is_open(file.stat().st_mode)]
    if opened:
        names = " ".join(str(file) for file in opened)
        return Check(name, Verdict.FAILED, f"open to others: {names}", f"chmod 600 {names}")
    return Check(name, Verdict.OK, found)
