"""A project onto the chain, for the commands that need it there."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ledger import registration
from ledger.errors import Refused

if TYPE_CHECKING:
    from cli.flow import Flow


def register_once(flow: Flow, project: str, owner: str | None = None) -> None:
    """Register what is not registered; another process that does the same at this moment may be the first.

    Parameters
    ----------
    owner
        The account of the project's owner, for ever; None: the deployment's.

    Raises
    ------
    NotFound
        If the books know no such project.
    Refused
        If the contract refuses.
    DependencyDown
        If it is not final in time.
    """
    for send, kind, found in (
        (
            partial(registration.register_project, owner=owner),
            registration.PROJECT,
            registration.project_on_chain,
        ),
        (registration.register_site, registration.SITE, registration.site_on_chain),
    ):
        try:
            key = send(flow.chain, project)
            if key is not None:
                flow.confirm([key])
        except Refused:  # the node knows of the other's transaction, which may be in no block yet
            with flow.db.read() as session:
                others = registration.under_way(session, kind, project)
            flow.confirm_or_fail(others)
            flow.mirror()
            with flow.db.read() as session:
                if found(session, project) is None:
                    raise


def may_register(flow: Flow, project: str) -> bool:
    """Return whether a project is not registered as yet, and the registrar's key is here to do it."""
    with flow.db.read() as session:
        if registration.site_on_chain(session, project) is not None:
            return False
    registrar = flow.chain.deployment.accounts.get("registrar")
    return registrar is not None and registrar.lower() in flow.chain.keyring.addresses
