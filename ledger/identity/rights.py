"""What may be done to what, and by whom: the one table that everything else asks.

A right is ``resource:action``. Whatever stands in no row here is public: the ledger is read by anybody.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ledger.errors import BadInput
from ledger.models.users import UserRole

CHANGES_USERS = "users:write"
ADMIN, OPERATOR, VIEWER = UserRole.ADMIN, UserRole.OPERATOR, UserRole.VIEWER


@dataclass(frozen=True)
class Right:
    """An action on a resource.

    Parameters
    ----------
    what
        In a few words, for people.
    roles
        Who has it, unless a permission of the user says otherwise.
    scope
        Whether an API key may carry it. What would let a key outlive its revocation may not.
    """

    resource: str
    action: str
    what: str
    roles: frozenset[UserRole]
    scope: bool = True

    @property
    def name(self) -> str:
        """``resource:action``."""
        return f"{self.resource}:{self.action}"


def _to(*roles: UserRole) -> frozenset[UserRole]:
    return frozenset(roles)


RIGHTS: tuple[Right, ...] = (
    Right("users", "read", "see users and their permissions", _to(ADMIN)),
    Right("users", "write", "add and change users, grant permissions", _to(ADMIN)),
    Right("sessions", "read", "see one's own sessions", _to(ADMIN, OPERATOR, VIEWER), scope=False),
    Right(
        "sessions",
        "write",
        "end one's own sessions, change one's own password",
        _to(ADMIN, OPERATOR, VIEWER),
        scope=False,
    ),
    Right("keys", "read", "see one's own API keys", _to(ADMIN, OPERATOR, VIEWER)),
    Right("keys", "write", "make API keys for oneself", _to(ADMIN, OPERATOR), scope=False),
    Right(
        "keys",
        "revoke",
        "revoke one's own API keys",
        _to(ADMIN, OPERATOR, VIEWER),
        scope=False,
    ),
    Right("keys", "manage", "see and revoke everybody's API keys", _to(ADMIN), scope=False),
    Right("audit", "read", "read the audit log", _to(ADMIN)),
    Right("webhooks", "read", "see who is told of events", _to(ADMIN, OPERATOR)),
    Right("webhooks", "write", "say who is told of events", _to(ADMIN, OPERATOR)),
    Right(
        "park",
        "read",
        "see devices, their data and alerts, resources, plants",
        _to(ADMIN, OPERATOR, VIEWER),
    ),
    Right(
        "trading", "read", "see strategies, prices, bids, dispatch, hedges", _to(ADMIN, OPERATOR)
    ),
    Right("models", "read", "see models, their decisions and predictions", _to(ADMIN, OPERATOR)),
    Right("alerts", "write", "say that an alert was seen, or is done with", _to(ADMIN, OPERATOR)),
    Right("config", "read", "see the settings in the database; secrets never", _to(ADMIN)),
)
NAMES: tuple[str, ...] = tuple(right.name for right in RIGHTS)
SCOPES: tuple[str, ...] = tuple(right.name for right in RIGHTS if right.scope)


def check_right(name: str) -> str:
    """Return the name of a right.

    Raises
    ------
    BadInput
        If there is none of that name.
    """
    if name not in NAMES:
        raise BadInput(f"there is no right {name!r}; there are {', '.join(NAMES)}")
    return name


def check_scopes(names: Iterable[str]) -> list[str]:
    """Return the scopes of an API key, each once, in the order of the table.

    Raises
    ------
    BadInput
        If there is none, or one is no scope.
    """
    wanted = set(names)
    unknown = sorted(wanted - set(SCOPES))
    if unknown:
        raise BadInput(f"an API key cannot carry {unknown[0]!r}; it can: {', '.join(SCOPES)}")
    if not wanted:
        raise BadInput(f"an API key needs a scope at least; there are {', '.join(SCOPES)}")
    return [name for name in SCOPES if name in wanted]


def rights_of(role: UserRole, decisions: Iterable[tuple[str, bool]]) -> frozenset[str]:
    """Return what a user may do: by role, with what was granted, and without what was denied.

    Parameters
    ----------
    role
        Role of the user.
    decisions
        The user's permissions: a right, and whether it is granted or denied. A denial wins over a grant
        and over the role.
    """
    found = list(decisions)
    granted = {name for name, yes in found if yes}
    denied = {name for name, yes in found if not yes}
    by_role = {right.name for right in RIGHTS if role in right.roles}
    return frozenset(((by_role | granted) & set(NAMES)) - denied)
