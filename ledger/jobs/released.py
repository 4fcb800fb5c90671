"""Acts whose nonce a stranger took when the contract would not take them any more: they are tried again.

Such an intent is planned again (``ledger.chain.sending.stuck``). Issuances, settlements and expiries are sent
by what plans them; for an act that somebody asked for once, nobody would.
"""

from __future__ import annotations

from sqlalchemy import select

from ledger.chain.access import Chain
from ledger.errors import Refused, TruetonneError
from ledger.models import ChainAttempt, ChainIntent
from ledger.models.sending import IntentState

ASKED_ONCE = frozenset(
    {
        "safeTransferFrom",
        "retire",
        "cancel",
        "registerProject",
        "registerSite",
        "deposit",
        "withdraw",
        "withdrawCredits",
        "cancelBatch",
        "disputeTrade",
    }
)
"""Functions that a person asks for, and no job plans."""


def submit_released(chain: Chain) -> list[str]:
    """Send again what lost its nonce; return the transactions. What the contract still refuses is failed.

    Raises
    ------
    BadInput, PolicyRefused, DependencyDown
        If one cannot be signed or sent: its key is not here, caps or fees forbid it, node or signer do not
        answer. The first reason is raised when the others were tried; the next run tries again.
    """
    signed = select(ChainAttempt.tx_hash).where(ChainAttempt.intent_key == ChainIntent.key)
    query = (
        select(ChainIntent.key, ChainIntent.contract_address)
        .where(
            ChainIntent.chain_id == chain.deployment.chain_id,
            ChainIntent.state == IntentState.PLANNED,
            ChainIntent.function_name.in_(ASKED_ONCE),
            signed.exists(),
        )
        .order_by(ChainIntent.created_at)
    )
    names = {item.address.lower(): item.name for item in chain.deployment.mirrored}
    with chain.db.read() as session:
        found = [(key, names[place]) for key, place in session.execute(query) if place in names]
    sent = []
    trouble: TruetonneError | None = None
    for key, contract in found:
        try:
            sent.append(chain.sender.submit(key, contract))
        except Refused:  # the mirror, or the intent, says so
            continue
        except TruetonneError as error:
            trouble = trouble or error
    if trouble is not None:
        raise trouble
    return sent
