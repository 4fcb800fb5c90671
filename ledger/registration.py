"""A project of ours on chain: the registrar registers it and its metered site, once.

The project's code is the code of both the chain's project and its site, and begins every serial.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session
from tiny_keccak import keccak256

from ledger.chain.access import Chain
from ledger.chain.addresses.book import Deployment
from ledger.chain.contracts.events import CREDIT
from ledger.chain.sending.intents import NewIntent, new_key, row_of
from ledger.errors import NotFound, Refused
from ledger.models import ChainIntent, CreditBatch, CreditProject, CreditSite, Project
from ledger.models.sending import UNDER_WAY, IntentState
from ledger.naming import project_named

PROJECT, SITE = "register_project", "register_site"
"""Kinds of intents."""


@dataclass(frozen=True)
class ChainSite:
    """A project on chain: its numbers, and the account of its owner."""

    class_id: int
    project_id: int
    site_id: int
    owner: str


@dataclass(frozen=True)
class Rehearsed:
    """What a registration would find.

    Parameters
    ----------
    registered
        Whether it lacks nothing.
    transaction
        What is signed of it and in no block that the mirror has read: that would be gone on with. None: nothing is.
    """

    registered: bool
    transaction: str | None = None


def site_on_chain(session: Session, project_code: str) -> ChainSite | None:
    """Return a project as the mirror has it; None while it or its site is not registered."""
    query = (
        select(
            CreditProject.class_id,
            CreditProject.project_id,
            CreditSite.site_id,
            CreditProject.owner,
        )
        .join(CreditSite, CreditSite.project_id == CreditProject.project_id)
        .where(CreditProject.code == project_code, CreditSite.code == project_code)
    )
    row = session.execute(query).one_or_none()
    return ChainSite(*row) if row else None


def project_on_chain(session: Session, project_code: str) -> int | None:
    """Return a project's number as the mirror has it; None while it is not registered."""
    query = select(CreditProject.project_id).where(CreditProject.code == project_code)
    return session.scalars(query).first()


def under_way(session: Session, kind: str, project_code: str) -> list[str]:
    """Return the keys of the registrations of a kind that are sent, and neither confirmed nor failed."""
    found = _open(session, kind)
    return [
        row.key
        for row in found
        if row.state is IntentState.SUBMITTED and row.parameters.get("code") == project_code
    ]


def _open(session: Session, kind: str) -> Sequence[ChainIntent]:
    """Return the registrations of a kind that are neither confirmed nor failed, the earliest first."""
    query = (
        select(ChainIntent)
        .where(ChainIntent.kind == kind, ChainIntent.state.in_(UNDER_WAY))
        .order_by(ChainIntent.created_at, ChainIntent.key)
    )
    return session.scalars(query).all()


def register_project(chain: Chain, project_code: str, owner: str | None = None) -> str | None:
    """Send the registration of a project; return the intent's key, None when it is registered.

    Parameters
    ----------
    owner
        The account of its owner, for ever: what is issued goes there. None: the deployment's.

    Raises
    ------
    NotFound
        If the books know no such project.
    Refused
        If the contract refuses.
    """
    with chain.db.read() as session:
        project_named(session, project_code)
        if project_on_chain(session, project_code) is not None:
            return None
    return _send(chain, _project_call(chain, project_code, owner))


def check_owner(session: Session, project_code: str, owner: str | None) -> None:
    """Refuse another owner than the one for whom a project is registered; None is any.

    Raises
    ------
    Refused
        If it is registered for another one.
    """
    query = select(CreditProject.owner).where(CreditProject.code == project_code)
    has = session.scalars(query).first()
    _check_same(project_code, has, owner)


def _check_same(project_code: str, has: str | None, owner: str | None) -> None:
    if owner is not None and has is not None and has != owner:
        raise Refused(
            f"{project_code} is registered for the owner {has}, which no call changes; to issue it to {owner}, "
            f'write "recipients": {{"{project_code}": "{owner}"}} into the deployment file',
            code="other-owner",
        )


def recipient_of(deployment: Deployment, project_code: str, owner: str) -> str:
    """Return the account that a project is issued to: its owner on chain, where the deployment names no other."""
    return deployment.recipients.get(project_code, owner)


def misdirected(session: Session, deployment: Deployment) -> Iterator[tuple[str, str]]:
    """Yield what may go to another account than is meant, each with what to write into the deployment file.

    That is a recipient of a project that nobody knows; and a project whose last batch went elsewhere than the next one
    will, though the file says nothing of it: versions from before decision 0097 issued all to the file's ``owner``.
    """
    own = set(session.scalars(select(Project.code)))
    newest = (
        select(CreditBatch.site_id, func.max(CreditBatch.batch_id).label("batch_id"))
        .group_by(CreditBatch.site_id)
        .subquery()
    )
    query = (
        select(CreditProject.code, CreditProject.owner, CreditBatch.recipient)
        .join(CreditSite, CreditSite.project_id == CreditProject.project_id)
        .outerjoin(newest, newest.c.site_id == CreditSite.site_id)
        .outerjoin(CreditBatch, CreditBatch.batch_id == newest.c.batch_id)
        .order_by(CreditProject.code)
    )
    there = session.execute(query).all()
    for code in sorted(set(deployment.recipients) - own - {code for code, _, _ in there}):
        yield (
            f"`recipients` of the deployment file names {code!r}, which is no project",
            "correct its code there",
        )
    for code, owner, last in there:
        following = recipient_of(deployment, code, owner)
        if code in own and last not in (None, following) and code not in deployment.recipients:
            yield (
                f"{code} was last issued to {last}, and is issued next to {following}, for whom it is registered",
                f'write "recipients": {{"{code}": "{last}"}} into the deployment file, or the other account there, '
                "if that is meant",
            )


def register_site(chain: Chain, project_code: str) -> str | None:
    """Send the registration of a project's site; return the intent's key, None when it is done.

    Raises
    ------
    NotFound
        If the mirror does not know the project yet.
    Refused
        If the contract refuses.
    """
    with chain.db.read() as session:
        project_id = project_on_chain(session, project_code)
        if project_id is None:
            raise NotFound(
                f"project {project_code!r} is not registered on chain yet; run truetonne chain register --project "
                f"{project_code}"
            )
        if site_on_chain(session, project_code) is not None:
            return None
    return _send(chain, _site_call(chain, project_id, project_code))


def rehearse(chain: Chain, project_code: str, owner: str | None = None) -> Rehearsed:
    """Look whether what a registration lacks could be sent, the project before its site; send nothing.

    Parameters
    ----------
    owner
        As for ``register_project``.

    Raises
    ------
    NotFound
        If the books know no such project.
    Refused, BadInput, PolicyRefused, DependencyDown
        As the registration would.
    """
    with chain.db.read() as session:
        project_named(session, project_code)
        project_id = project_on_chain(session, project_code)
        if site_on_chain(session, project_code) is not None:
            return Rehearsed(registered=True)
    call = (
        _project_call(chain, project_code, owner)
        if project_id is None
        else _site_call(chain, project_id, project_code)
    )
    first = _first_of(chain, call)
    if first is not None and first.state is IntentState.SUBMITTED:
        _check_same(project_code, first.parameters.get("owner"), owner)
        return Rehearsed(registered=False, transaction=first.tx_hash)
    chain.sender.rehearse(first or row_of(chain.deployment.chain_id, call), CREDIT)
    return Rehearsed(registered=False)


def methodology_hash(methodology: str, version: str) -> str:
    """Return the hash under which a methodology and its version stand in class and claim."""
    return "0x" + keccak256(f"{methodology}/{version}".encode()).hex()


def _project_call(chain: Chain, code: str, owner: str | None) -> NewIntent:
    deployment = chain.deployment
    arguments = [deployment.class_id, owner or deployment.account("owner"), code]
    return _call(chain, PROJECT, "registerProject", arguments)


def _site_call(chain: Chain, project_id: int, code: str) -> NewIntent:
    return _call(chain, SITE, "registerSite", [project_id, code])


def _call(chain: Chain, kind: str, function: str, arguments: list[object]) -> NewIntent:
    return NewIntent(
        key=new_key(),
        kind=kind,
        contract=CREDIT,
        address=chain.deployment.credit.address,
        function=function,
        arguments=arguments,
        sender=chain.deployment.account("registrar"),
        found_again=True,
    )


def _send(chain: Chain, call: NewIntent) -> str:
    """Send a registration, or go on with one of the same: the contract takes no code twice, and the node may not know.

    So it does where the process that stored it died before it was sent. Whose it is to be may differ: the first counts.
    """
    first = _first_of(chain, call)
    if first is None:
        chain.sender.submit_new(call)
        return call.key
    chain.sender.submit(first.key, CREDIT)
    return first.key


def _first_of(chain: Chain, call: NewIntent) -> ChainIntent | None:
    """Return the first intent to register the same that is neither confirmed nor failed; None: there is none."""
    wanted = _without_owner(row_of(chain.deployment.chain_id, call))
    with chain.db.read() as session:
        return next(
            (row for row in _open(session, call.kind) if _without_owner(row) == wanted), None
        )


def _without_owner(intent: ChainIntent) -> dict[str, Any]:
    said = {name: value for name, value in intent.parameters.items() if name != "owner"}
    return {**said, "contract": intent.contract_address}
