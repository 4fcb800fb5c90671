"""Contracts onto a chain and compared with their sources, by the Brownie scripts of the checkout."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import select

from cli.alone import alone_in
from ledger.chain.addresses.book import DeployedContract, Deployment
from ledger.chain.addresses.deployment import deployed_from, of_this_version
from ledger.chain.addresses.kept import require_same_books
from ledger.chain.contracts.abi import artifact
from ledger.chain.local.anvil import end_with_parent
from ledger.chain.node.client import ChainClient
from ledger.db import Database
from ledger.errors import KILLED, BadInput, DependencyDown, TruetonneError, WrongChain
from ledger.models import SmartContract
from ledger.settings import Settings

CHECKOUT = Path(__file__).resolve().parent.parent
"""The folder of the sources; an installed wheel has no contracts to deploy."""

_STEP = "step: "
"""How a script begins a line that says what it does next."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
"""What Brownie colours its errors with, also where nobody sees colours."""


Tell = Callable[[str], None]
"""Takes what a script is about to do."""


def ensure_deployed(
    settings: Settings, rpc_url: str, network: str = "local", tell: Tell | None = None
) -> bool:
    """Deploy the contracts unless they are; return whether this call deployed them. Of two at once one waits.

    Parameters
    ----------
    network
        Its name, for the script that deploys.
    tell
        Takes each step of the script; None keeps it quiet.

    Raises
    ------
    DependencyDown
        If the script fails; its last line of output says why.
    BadInput
        If this is no checkout.
    WrongChain
        If the contracts were deployed to another chain than the node serves, do not stand there, are of
        another version, or are not those that the books are kept of.
    """
    if not settings.deployment.exists():
        with alone_in(settings.deployment.parent):  # of two at once the second failed
            if not settings.deployment.exists():
                deploy(settings, rpc_url, network, tell)
                return True
    with closing(ChainClient(rpc_url)) as client:
        deployment = Deployment.load(settings.deployment)
        deployment.check(client)
        deployment.check_code(client)
        _check_version(settings, deployment)
        _check_books(settings, deployment)
    return False


def _check_version(settings: Settings, deployment: Deployment) -> None:
    """Refuse contracts of another version, unless the books know that functions, events and errors are the same."""
    for item in deployment.mirrored:
        if not of_this_version(item) and not _speaks_alike(settings, deployment.network, item):
            raise WrongChain(
                f"{settings.deployment}: {item.name} of {deployment.network!r} is of another version than "
                "this program, and has other functions, or the books do not tell which: go on with the version that "
                "deployed it, or begin beside it, with another home, database_url and deployment (a demonstration "
                "that may be lost: ./dev demo --fresh)",
                code="other-version",
                details={"contract": item.name, "deployed": item.source_hash},
            )


def _speaks_alike(settings: Settings, network: str, item: DeployedContract) -> bool:
    """Return whether the books have a contract with the interface that this version calls and reads.

    The version that deployed it stored that interface beside the code. Of a contract that books first saw by another
    version they have that version's own interface, which proves nothing, and not the code.
    """
    with closing(Database(settings.database_url)) as db:
        if db.current() is None:
            return False
        query = select(SmartContract.abi, SmartContract.bytecode).where(
            SmartContract.network == network, SmartContract.contract_address == item.address
        )
        with db.read() as session:
            row = session.execute(query).one_or_none()
    if row is None or not deployed_from(item, row.abi, row.bytecode):
        return False
    return _entries(json.loads(row.abi)) == _entries(artifact(item.name).abi)


def _check_books(settings: Settings, deployment: Deployment) -> None:
    """Refuse contracts beside those of the books, as of a chain folder that was another park's: all else would."""
    with closing(Database(settings.database_url)) as db:
        if db.current() is None:
            return
        with db.read() as session:
            require_same_books(session, deployment)


def _entries(abi: list[dict[str, Any]]) -> set[str]:
    return {json.dumps(entry, sort_keys=True) for entry in abi}


def deploy(settings: Settings, rpc_url: str, network: str, tell: Tell | None = None) -> None:
    """Run the deploy script against a node; it writes the deployment file.

    Raises
    ------
    DependencyDown
        If the script fails; its last line of output says why.
    BadInput
        If this is no checkout, or a variable, the keystore or the node's chain is not as it must be.
    """
    settings.deployment.parent.mkdir(parents=True, exist_ok=True)
    output = _run_script("deploy", settings, rpc_url, network, tell=tell)
    # Brownie exits 0 after an error in a script: what counts is the file.
    if output.exit_code or not settings.deployment.exists():
        raise _failed("deploy", settings, output)
    _forget_log(settings, "deploy")


def try_deploy(
    settings: Settings, rpc_url: str, network: str, tell: Tell | None = None
) -> dict[str, Any]:
    """Have the deploy script check variables, keys, money and chain, as before it sends anything, and end there.

    Returns
    -------
    dict
        ``contracts``, for each its ``address``, whether it ``stands`` already, and the arguments of its
        ``constructor``; ``roles``, who would have each; the ``class``; ``lines``, the same for a person.

    Raises
    ------
    DependencyDown, BadInput
        As ``deploy``.
    """
    with TemporaryDirectory() as folder:
        result = Path(folder) / "tried.json"
        output = _run_script("deploy", settings, rpc_url, network, tried=str(result), tell=tell)
        if not result.exists():
            raise _failed("deploy", settings, output, keep=False)
        found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return found


def verify(settings: Settings, rpc_url: str, network: str) -> dict[str, Any]:
    """Compile the sources and compare them with what a node runs.

    Returns
    -------
    dict
        ``verified``; ``contracts``, for each contract of the deployment file its ``name``, ``address``, and what
        ``differs``: nothing when the deployed code is that of the sources, constructed with the file's arguments;
        ``roles``, ``handovers``, ``terms`` and ``class``, who holds which role, to whom the admin hands its own over,
        which terms are others by now, and whether the class is there; ``lines``, the same for a person.

    Raises
    ------
    DependencyDown
        If the script fails; its last line of output says why.
    BadInput
        If this is no checkout, there is no deployment file, or the file lacks a contract.
    WrongChain
        If the node serves another chain than the file's.
    """
    deployment = Deployment.load(settings.deployment)  # before the compiler is started
    with closing(ChainClient(rpc_url)) as client:
        deployment.check(client)
    with TemporaryDirectory() as folder:
        result = Path(folder) / "verified.json"
        output = _run_script("verify", settings, rpc_url, network, str(result))
        if not result.exists():
            raise _failed("verify", settings, output)
        _forget_log(settings, "verify")
        found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return found


def check_checkout(command: str) -> None:
    """Look whether the sources are here: an installed program has neither contracts nor the data of the demonstration.

    Raises
    ------
    BadInput
        If this is no checkout; the command is named.
    """
    if not (CHECKOUT / "scripts" / "deploy.py").is_file():
        raise BadInput(
            f"{command} needs the sources: clone the repository and use its ./dev",
            code="not-a-checkout",
        )


@dataclass(frozen=True)
class _Output:
    exit_code: int
    text: str


def _run_script(
    name: str,
    settings: Settings,
    rpc_url: str,
    network: str,
    result: str = "",
    *,
    tried: str = "",
    tell: Tell | None = None,
) -> _Output:
    check_checkout(f"chain {name}")
    # The script knows neither the configuration file nor the folder that the command was called in.
    environment = {
        **os.environ,
        "TRUETONNE_HOME": str(settings.home.resolve()),
        "TRUETONNE_RPC_URL": rpc_url,
        "TRUETONNE_NETWORK": network,
        "TRUETONNE_DEPLOYMENT": str(settings.deployment.resolve()),
        "TRUETONNE_DATABASE_URL": _absolute(settings.database_url),
        "TRUETONNE_DATABASE_ADMIN_URL": _absolute(settings.database_admin_url),
        "TRUETONNE_KEYSTORE": _resolved(settings.keystore),
        "TRUETONNE_KEYSTORE_PASSWORD_FILE": _resolved(settings.keystore_password_file),
        "TRUETONNE_MAX_FEE_GWEI": str(settings.max_fee_gwei),
        "TRUETONNE_VERIFY_RESULT": result,
        "TRUETONNE_TRY_RESULT": tried,
    }
    command = ["sh", str(CHECKOUT / "dev"), "brownie", "run", name, "--network", "local"]
    exit_code, said = _spoken(command, environment, tell)
    return _Output(exit_code, _COLOURS.sub("", said))


def _spoken(command: list[str], environment: dict[str, str], tell: Tell | None) -> tuple[int, str]:
    """Run a script to its end; return exit code and all it said. Its steps are told as they come."""
    said = []
    with subprocess.Popen(
        command,
        cwd=CHECKOUT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        # Who is killed and begins again would deploy beside a script that goes on, by the same keys.
        preexec_fn=end_with_parent(),  # noqa: PLW1509
        process_group=0,
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                said.append(line)
                if tell is not None and line.startswith(_STEP):
                    tell(line.removeprefix(_STEP).strip())
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # with its compiler, which would go on
            raise
    return process.returncode, "".join(said)


def _failed(name: str, settings: Settings, output: _Output, *, keep: bool = True) -> TruetonneError:
    """Return what the script said, as bad input where it ended so; ``keep`` all of it in a file beside."""
    said = f"the {name} script failed: {_telling_line(name, output.text)}"
    if output.exit_code == -signal.SIGKILL:  # what it said last is not why
        said = f"the {name} script {KILLED}; try again"
    if keep:
        log = _log(settings, name)
        log.write_text(output.text, encoding="utf-8")
        said += f"; all it said is in {log}"
    kind = BadInput if output.exit_code == BadInput.exit_code else DependencyDown
    return kind(said, code=f"{name}-failed")


def _log(settings: Settings, name: str) -> Path:
    """Return where all is kept that a script said which failed."""
    return settings.deployment.with_name(f"{name}.log")


def _forget_log(settings: Settings, name: str) -> None:
    """Delete what an earlier run said that failed: beside what stands it would be read as the log of that."""
    with suppress(OSError):  # who verifies may have no right to the folder
        _log(settings, name).unlink(missing_ok=True)


def _telling_line(name: str, output: str) -> str:
    """Return the line of Brownie's output that says most: the script's own, or the last error."""
    lines = [" ".join(line.split()) for line in output.splitlines() if line.strip()]
    for telling in (f"{name}: ", "Error"):
        found = [line for line in lines if telling in line]
        if found:
            return found[-1]
    return lines[-1] if lines else "it said nothing"


def _resolved(path: Path | None) -> str:
    """Return a path that means the same from another folder; nothing where it is not set."""
    return "" if path is None else str(path.resolve())


def _absolute(database_url: str) -> str:
    """Return an SQLite URL that means the same file from another folder."""
    prefix = "sqlite:///"
    if not database_url.startswith(prefix):
        return database_url
    return prefix + Path(database_url.removeprefix(prefix)).resolve().as_posix()
