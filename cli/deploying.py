"""Contracts onto a local chain, by the Brownie script of the checkout."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from ledger.chain.abi import artifact
from ledger.chain.book import Deployment
from ledger.chain.client import ChainClient
from ledger.errors import BadInput, DependencyDown, WrongChain
from ledger.settings import Settings

CHECKOUT = Path(__file__).resolve().parent.parent
"""The folder of the sources; an installed wheel has no contracts to deploy."""


def ensure_deployed(settings: Settings, rpc_url: str) -> bool:
    """Deploy the contracts unless they are; return whether this call deployed them.

    Raises
    ------
    DependencyDown
        If the script fails; its last line of output says why.
    BadInput
        If this is no checkout.
    WrongChain
        If the contracts were deployed to another chain than the node serves, or are of another
        version.
    """
    if settings.deployment.exists():
        client = ChainClient(rpc_url)
        try:
            deployment = Deployment.load(settings.deployment)
            deployment.check(client)
            _check_version(settings, deployment)
        finally:
            client.close()
        return False
    deploy(settings, rpc_url, network="local")
    return True


def _check_version(settings: Settings, deployment: Deployment) -> None:
    """Refuse contracts of another version: their functions and events are other ones."""
    for item in deployment.mirrored:
        if item.source_hash != artifact(item.name).source_hash:
            raise WrongChain(
                f"{settings.deployment}: {item.name} of {deployment.network!r} is of another version than "
                "this program; run ./dev demo --fresh for a new local chain, or deploy and set deployment",
                code="other-version",
                details={"contract": item.name, "deployed": item.source_hash},
            )


def deploy(settings: Settings, rpc_url: str, network: str) -> None:
    """Run the deploy script against a node; it writes the deployment file.

    Raises
    ------
    DependencyDown
        If the script fails; its last line of output says why.
    BadInput
        If this is no checkout.
    """
    script = CHECKOUT / "scripts" / "deploy.py"
    if not script.is_file():
        raise BadInput("deploying needs the sources: clone the repository and use its ./dev")
    settings.deployment.parent.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "TRUETONNE_RPC_URL": rpc_url,
        "TRUETONNE_NETWORK": network,
        "TRUETONNE_DEPLOYMENT": str(settings.deployment.resolve()),
        "TRUETONNE_DATABASE_URL": _absolute(settings.database_url),
    }
    ended = subprocess.run(
        ["sh", str(CHECKOUT / "dev"), "brownie", "run", "deploy", "--network", "local"],
        cwd=CHECKOUT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    # Brownie exits 0 after an error in a script: what counts is the file.
    if ended.returncode != 0 or not settings.deployment.exists():
        log = settings.deployment.with_name("deploy.log")
        log.write_text(ended.stdout + ended.stderr, encoding="utf-8")
        raise DependencyDown(
            f"the deploy script failed: {_telling_line(ended.stdout + ended.stderr)}; all it said is in {log}",
            code="deploy-failed",
        )


def _telling_line(output: str) -> str:
    """Return the line of Brownie's output that says most: the script's own, or the last error."""
    lines = [" ".join(line.split()) for line in output.splitlines() if line.strip()]
    for telling in ("deploy: ", "Error"):
        found = [line for line in lines if telling in line]
        if found:
            return found[-1]
    return lines[-1] if lines else "it said nothing"


def _absolute(database_url: str) -> str:
    """Return an SQLite URL that means the same file from another folder."""
    prefix = "sqlite:///"
    if not database_url.startswith(prefix):
        return database_url
    return prefix + Path(database_url.removeprefix(prefix)).resolve().as_posix()
