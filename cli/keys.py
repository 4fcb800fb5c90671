"""``truetonne keys``: the keys that sign what is sent to the chain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from cli.command import DryRun, Invocation, command, command_group
from cli.output import Columns, Table
from ledger.errors import BadInput
from ledger.units import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ledger.settings import Settings


def register(root: typer.Typer) -> None:
    """Add the group."""
    group = command_group("Keep the keys that sign what is sent to the chain.")
    command(group, "new")(new)
    command(group, "list")(list_keys)
    root.add_typer(group, name="keys")


def new(run: Invocation, dry_run: DryRun = False) -> None:
    """Make a random key, as a file in the keystore folder, encrypted with the keystore's password."""
    from ledger.chain.keys.keystore import check_new_key, new_key
    from ledger.chain.keys.signers import keystore_password

    folder = run.settings.keystore
    if folder is None:
        raise BadInput(
            "keystore is not set: name the folder for the key's file with TRUETONNE_KEYSTORE, and a file with its "
            "password with TRUETONNE_KEYSTORE_PASSWORD_FILE",
            code="no-keystore",
        )
    password = keystore_password(run.settings.keystore_password_file)
    if dry_run:
        check_new_key(folder, password)
        document = {"address": None, "file": None}
        run.output.result(document, f"would make a key in {folder}")
        return
    made = new_key(folder, password)
    run.output.result(
        {"address": made.address, "file": made.file, "dry_run": False},
        f"{made.address}: {made.file}",
        "Whoever has this file and its password has the account. Copy both, to two places.",
    )


def list_keys(run: Invocation) -> int:
    """List the accounts that can sign, with their roles; exit 1 when a key file is not as it must be."""
    roles = _roles(run.settings)
    found = [
        {**item, "roles": roles.get(item["address"] or "", [])} for item in _keys(run.settings)
    ]
    columns: Columns = {
        "account": lambda item: item["address"] or "(none)",
        "where": lambda item: item["file"] or item["kind"],
        "roles": lambda item: " ".join(item["roles"]),
        "what is wrong": "problem",
    }
    run.output.result({"keys": found}, Table.of(found, columns), counted(len(found), "key"))
    return 1 if any(item["problem"] for item in found) else 0


def _keys(settings: Settings) -> Iterator[dict[str, Any]]:
    """Yield what can sign: key files, then accounts of a remote signer, or else Anvil's on a local chain."""
    from ledger.chain.keys.keystore import key_files
    from ledger.chain.keys.signers import load_keyring
    from ledger.settings import LOCAL_CHAIN_ID

    if settings.keystore is not None:
        for item in key_files(settings.keystore):
            yield _row(item.address, "keystore", file=str(item.file), problem=item.problem)
    if settings.signer_url:
        from ledger.chain.keys.remote_signer import SignerService

        for address in SignerService(settings.signer_url).accounts():
            yield _row(address, "signer")
    elif settings.keystore is None and _chain_id(settings) == LOCAL_CHAIN_ID:
        for address in load_keyring(settings, LOCAL_CHAIN_ID).addresses:
            yield _row(address, "anvil")


def _row(
    address: str | None, kind: str, file: str | None = None, problem: str = ""
) -> dict[str, Any]:
    return {"address": address, "kind": kind, "file": file, "problem": problem or None}


def _roles(settings: Settings) -> dict[str, list[str]]:
    """Return the roles that the deployment file gives each account; none where there is no file yet."""
    from ledger.chain.addresses.book import Deployment

    roles: dict[str, list[str]] = {}
    if settings.deployment.exists():
        for name, address in Deployment.load(settings.deployment).accounts.items():
            roles.setdefault(address, []).append(name)
    return roles


def _chain_id(settings: Settings) -> int | None:
    """Return which chain is meant; None if nothing says so without asking a node."""
    from ledger.chain.addresses.book import Deployment
    from ledger.settings import LOCAL_CHAIN_ID

    if settings.deployment.exists():
        return Deployment.load(settings.deployment).chain_id
    return LOCAL_CHAIN_ID if settings.local_chain else None
