"""Whom a deployment gives which role: said before anything is sent, and asked again before each grant."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from ledger.chain.contracts.events import CREDIT
from ledger.chain.contracts.roles import ADMIN, ISSUER, ROLES, VERIFIER, role_of
from ledger.errors import BadInput
from ledger.settings.deployment import DEPLOY_PREFIX
from scripts.deploy_plan import Plan
from scripts.verify_roles import Request, admin_of, call, has_role, was_revoked

Since = Callable[[], int]
"""Returns the block in which a contract was made; asked only where a role is lacking, as it takes some requests."""


class State(StrEnum):
    """What becomes of a role when the deployment is run."""

    HAS = "has"
    TO_GRANT = "to_grant"
    """The account does not have it, and never had."""
    TAKEN = "taken"
    """It had the role and lost it, as one whose key was stolen: it does not get it back."""
    NOBODY = "nobody"
    """No account is named for it, and nobody gets it."""


def state_of(request: Request, address: str, role: bytes, account: str, since: Since) -> State:
    """Return what becomes of an account's role of a contract that stands.

    Raises
    ------
    DependencyDown
        If the node does not answer with the logs.
    """
    if has_role(request, address, role, account):
        return State.HAS
    taken = was_revoked(request, address, role, account, since())
    return State.TAKEN if taken else State.TO_GRANT


def require_admin(request: Request, address: str, plan: Plan, part: str, what: str) -> None:
    """Refuse a grant that only another could make by now.

    Raises
    ------
    BadInput
        If another is the admin of the contract.
    """
    admin = admin_of(request, address)
    if admin.lower() != plan.holders["admin"].lower():
        raise BadInput(
            f"the {part} {plan.holders[part]} never had {what}, and its admin is {admin} by now: name who has it "
            f"today by {DEPLOY_PREFIX}{part.upper()}, or have that admin grant it"
        )


def rows(
    request: Request, plan: Plan, standing: Mapping[str, tuple[str, Since]]
) -> list[dict[str, Any]]:
    """Return for each role who is to have it: ``contract``, ``role``, ``part``, ``account``, ``state``.

    Parameters
    ----------
    standing
        Address of each contract that stands, and since when.

    Raises
    ------
    BadInput
        As ``require_admin``.
    DependencyDown
        If the node does not answer with the logs.
    """
    class_id = _class_id(request, plan, standing)
    found = []
    for contract, name, part in ROLES:
        # A class that is not registered has no number: its roles are granted once it has.
        is_known = class_id != 0 or name not in (ISSUER, VERIFIER)
        role, numbered = role_of(name, class_id)
        shown = numbered if is_known else name
        account = plan.holders.get(part)
        state = State.NOBODY if account is None else State.TO_GRANT
        if account is not None and contract in standing:
            address, since = standing[contract]
            if is_known:
                state = state_of(request, address, role, account, since)
            if state is State.TO_GRANT:
                require_admin(request, address, plan, part, f"{shown} of {contract}")
        row = {"contract": contract, "role": shown, "part": part, "account": account}
        found.append({**row, "state": state.value})
    return found


def _class_id(request: Request, plan: Plan, standing: Mapping[str, tuple[str, Since]]) -> int:
    if CREDIT not in standing:
        return 0
    data = keccak(text="classOfCode(string)")[:4] + encode(["string"], [plan.class_code])
    return call(request, standing[CREDIT][0], data)


_SAID = {
    State.HAS: "has it",
    State.TO_GRANT: "would be granted",
    State.TAKEN: "was taken from it, and would not be given back",
    State.NOBODY: "would be with nobody",
}


def class_terms(plan: Plan) -> dict[str, Any]:
    """Return what the class is registered with, or was."""
    return {
        "code": plan.class_code,
        "methodology": plan.methodology,
        "cap_kg": str(plan.class_cap_kg),
        "buffer_bps": plan.buffer_bps,
    }


def lines(found: Mapping[str, Any]) -> list[str]:
    """Return for a person what a dry run found: the terms, the class, and who has which role.

    Parameters
    ----------
    found
        Its ``contracts``, ``roles`` and ``class``.
    """
    said = []
    for name, item in found["contracts"].items():
        if item["constructor"]:
            given = ", ".join(f"{key} {value}" for key, value in item["constructor"].items())
            said.append(f"{name}: {given}")
    terms = found["class"]
    said.append(
        f"class {terms['code']}: methodology {terms['methodology']}, cap {terms['cap_kg']} kg, buffer "
        f"{terms['buffer_bps']} hundredths of a percent"
    )
    for row in found["roles"]:
        how = _SAID[State(row["state"])]
        if row["role"] == ADMIN and row["state"] == State.TO_GRANT:
            how = "by the constructor"
        who = "" if row["account"] is None else f"{row['part']} {row['account']}; "
        said.append(f"{row['contract']} {row['role']}: {who}{how}")
    return said
