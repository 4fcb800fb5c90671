"""Compares the terms that a deployment is told with the contracts that stand: others would change nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing

from sqlalchemy import select
from tiny_keccak import keccak256

from ledger.chain.addresses.book import Deployment
from ledger.db import Database
from ledger.errors import BadInput
from ledger.models import CreditClass
from ledger.settings import Settings
from ledger.settings.deployment import DEPLOY_PREFIX
from ledger.settlement.caps import caps_set

_ARGUMENTS = {
    "admin_delay": "adminDelay",
    "currency": "currency",
    "window": "window",
    "dispute_timeout": "disputeTimeout",
    "dispute_bond": "disputeBond",
    "notional_cap": "notionalCap",
    "credit_cap": "creditCap",
}
"""What a deployment may be told, by its name among the arguments of the settlement contract."""
_PLACES = "home, database_url and deployment of their own"


def check_as_deployed(given: Mapping[str, str], settings: Settings) -> None:
    """Require that what a deployment is told is so by the deployment file or, where it may change, by the mirror.

    Parameters
    ----------
    given
        Variables of a deployment, without their prefix.

    Raises
    ------
    BadInput
        If contracts stand with another account or term (``deployed-otherwise``).
    """
    deployment = Deployment.load(settings.deployment)
    for role, address in deployment.accounts.items():
        told = given.get(role)
        if told is not None and told.lower() != address:
            raise BadInput(
                f"{DEPLOY_PREFIX}{role.upper()} is {told}, and {settings.deployment} has {address} as {role}: the "
                "contracts stand already; a role changes hands by ./dev brownie run grant_roles, other contracts need "
                f"{_PLACES}",
                code="deployed-otherwise",
                details={"role": role, "expected": address, "found": told},
            )
    for term, expected in _terms(deployment, settings):
        told = given.get(term)
        if told is not None and not _alike(term, told, expected):
            raise BadInput(
                f"{DEPLOY_PREFIX}{term.upper()} is {told!r}, and what stands has {expected!r}, by "
                f"{settings.deployment} or the mirror: it is not deployed again; roles change caps and buffer, other "
                f"terms need contracts with {_PLACES}",
                code="deployed-otherwise",
                details={"term": term, "expected": expected, "found": told},
            )


def _terms(deployment: Deployment, settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield the terms of the contracts that stand: as they were deployed, or as the mirror has them now."""
    had, now = deployment.settlement.constructor, _mirrored(settings, deployment.class_code)
    as_deployed = {term: str(had[name]) for term, name in _ARGUMENTS.items() if name in had}
    yield from {**as_deployed, "class": deployment.class_code, **now}.items()


def _mirrored(settings: Settings, class_code: str) -> dict[str, str]:
    """Return the terms that may have changed, and those of the class; its methodology is a hash on chain."""
    found: dict[str, str] = {}
    with closing(Database(settings.database_url)) as db:
        if db.current() is None:
            return found
        with db.read() as session:
            caps = caps_set(session)
            if caps is not None:
                found["notional_cap"], found["credit_cap"] = map(str, caps)
            of_class = select(CreditClass).where(CreditClass.code == class_code)
            row = session.scalars(of_class).first()
            if row is not None:
                found["methodology"] = row.methodology_hash
                found["class_cap_kg"] = str(int(row.cap_kg))
                found["buffer_bps"] = str(row.buffer_bps)
    return found


def _alike(term: str, told: str, expected: str) -> bool:
    if term == "methodology":
        return "0x" + keccak256(told.encode()).hex() == expected
    if term == "class":
        return told == expected
    if told.isascii() and told.isdigit() and expected.isdigit():
        return int(told) == int(expected)
    return told.lower() == expected.lower()
