"""The roles of the contracts: which account of a deployment file has each, its hash on chain, and its name."""

from __future__ import annotations

from functools import cache

from tiny_keccak import keccak256

from ledger.chain.contracts.abi_values import encoded
from ledger.chain.contracts.events import CREDIT, SETTLEMENT

ADMIN = "DEFAULT_ADMIN_ROLE"
ISSUER, VERIFIER = "ISSUER", "VERIFIER"
CLASSES_NAMED = 100
"""Roles of classes up to this one are shown by their names, others by their hashes."""

ROLES = (
    (CREDIT, ADMIN, "admin"),
    (CREDIT, "REGISTRAR_ROLE", "registrar"),
    (CREDIT, ISSUER, "issuer"),
    (CREDIT, VERIFIER, "verifier"),
    (CREDIT, "PAUSER_ROLE", "pauser"),
    (CREDIT, "SUSPENDER_ROLE", "pauser"),
    (CREDIT, "REVERSER_ROLE", "reverser"),
    (SETTLEMENT, ADMIN, "admin"),
    (SETTLEMENT, "OPERATOR_ROLE", "operator"),
    (SETTLEMENT, "PAUSER_ROLE", "pauser"),
    (SETTLEMENT, "ARBITER_ROLE", "arbiter"),
    (SETTLEMENT, "MEMBER_ROLE", "member"),
)
"""Contract, role, and the account of the file that has it."""


def role_of(name: str, class_id: int) -> tuple[bytes, str]:
    """Return a role's hash and how ``scripts/grant_roles.py`` writes it.

    Parameters
    ----------
    name
        As in ``ROLES``; ``ISSUER`` and ``VERIFIER`` are those of the class.
    """
    if name == ADMIN:
        return bytes(32), name
    if name.endswith("_ROLE"):
        return keccak256(name.encode()), name
    return keccak256(
        encoded(["string", "uint32"], [f"{name}_ROLE", class_id])
    ), f"{name}:{class_id}"


def name_of(role: str) -> str:
    """Return the name of a role by its hash (64 digits after ``0x``); the hash itself where it has none here."""
    return _names().get(role.lower(), role)


@cache
def _names() -> dict[str, str]:
    plain = {name for _, name, _ in ROLES} - {ISSUER, VERIFIER}
    of_classes = [
        role_of(kind, number)
        for kind in (ISSUER, VERIFIER)
        for number in range(1, CLASSES_NAMED + 1)
    ]
    found = [role_of(name, 0) for name in plain] + of_classes
    return {"0x" + digest.hex(): shown for digest, shown in found}
