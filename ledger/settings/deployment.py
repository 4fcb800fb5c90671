"""The variables ``TRUETONNE_DEPLOY_...``: what a deployment may be told. ``scripts/deploy.py`` says what each means."""

from __future__ import annotations

from collections.abc import Mapping

from ledger.errors import BadInput
from ledger.settings.table import ENV_PREFIX

DEPLOY_PREFIX = f"{ENV_PREFIX}DEPLOY_"

ROLES = ("admin", "registrar", "issuer", "verifier", "owner", "operator", "pauser")
OTHERS = ("reverser", "arbiter", "member", "collector")
"""Accounts that need not be given."""

_U32, _U48, _U64 = 2**32 - 1, 2**48 - 1, 2**64 - 1

LIMITS = {
    "window": (1, _U32),
    "dispute_timeout": (1, _U32),
    "dispute_bond": (0, _U64),
    "notional_cap": (0, _U64),
    "credit_cap": (0, _U64),
    "admin_delay": (0, _U48),
}
"""The least and the greatest value that a constructor takes."""

_TERMS = ("currency", "class", "methodology", "class_cap_kg", "buffer_bps")

DEPLOY_VARIABLES = tuple(
    f"{DEPLOY_PREFIX}{name.upper()}" for name in (*ROLES, *OTHERS, *LIMITS, *_TERMS)
)
"""All that may be given."""


def deployment_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what is given, by its name without the prefix.

    A name that is none of ours is refused: the role that a mistyped one was meant for would stay with the admin.

    Raises
    ------
    BadInput
        If there is such a name.
    """
    given = {
        name: text for name, text in environ.items() if name.startswith(DEPLOY_PREFIX) and text
    }
    for name in sorted(set(given) - set(DEPLOY_VARIABLES)):
        from difflib import get_close_matches

        near = get_close_matches(name, DEPLOY_VARIABLES, n=1)
        hint = f": did you mean {near[0]}?" if near else "; scripts/deploy.py says which are"
        raise BadInput(f"{name} is no variable of a deployment{hint}")
    return {name.removeprefix(DEPLOY_PREFIX).lower(): text for name, text in given.items()}
