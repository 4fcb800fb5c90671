"""Calls of the settlement contract, ready to be planned: who sends them, and how a batch is written in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.chain.access import Chain
from ledger.chain.contracts.events import SETTLEMENT
from ledger.chain.sending import intents
from ledger.chain.sending.intents import NewIntent
from ledger.models import ChainIntent, SettlementBatch
from ledger.models.sending import UNDER_WAY
from ledger.settlement.elsewhere import ENERGY

PROPOSE, COSIGNED, SETTLE_ONE = "propose_batch", "settle_cosigned", "settle_one"
FINALIZE, CANCEL, SKIP = "finalize_batch", "cancel_batch", "skip_closed"
DISPUTE, REJECT = "dispute_trade", "reject_dispute"
"""Kinds of calls about trades and batches; the escrow has others."""
ABOUT_ONE = (FINALIZE, CANCEL, DISPUTE, REJECT)
"""Those about a batch that is open, whose number comes first in the call."""
Outcome = tuple[Sequence[str], list[int], list[int]]
"""Accounts of a batch, what each gains in cents, and in kilograms."""


def call_of(
    chain: Chain,
    key: str,
    kind: str,
    function: str,
    arguments: Sequence[Any],
    sender: str | None = None,
) -> NewIntent:
    """Return a call of the settlement contract; the operator sends it where nobody else is named."""
    return NewIntent(
        key=key,
        kind=kind,
        contract=SETTLEMENT,
        address=chain.deployment.settlement.address,
        function=function,
        arguments=arguments,
        sender=sender or chain.deployment.account("operator"),
    )


def under_way(session: Session, kind: str, batch_id: int | None) -> ChainIntent | None:
    """Return the intent of a kind about a batch that is planned or sent, and not final; None: there is none."""
    return next(iter(all_under_way(session, kind, batch_id)), None)


def all_under_way(session: Session, kind: str, batch_id: int | None) -> list[ChainIntent]:
    """Return the intents of a kind about a batch that are planned or sent, and not final; the earliest first."""
    query = select(ChainIntent).where(ChainIntent.kind == kind, ChainIntent.state.in_(UNDER_WAY))
    found = session.scalars(query.order_by(ChainIntent.created_at, ChainIntent.key))
    return [intent for intent in found if intents.first_number(intent) == batch_id]


def proposal_of(
    chain: Chain, key: str, asset: int | None, accounts: Sequence[str], words: Sequence[int]
) -> NewIntent:
    """Return the call that proposes a batch, under the batch's key."""
    arguments = [bytes.fromhex(key[2:]), asset or ENERGY, list(accounts), list(words)]
    return call_of(chain, key, PROPOSE, "proposeBatch", arguments)


def words_sent(parameters: Mapping[str, Any]) -> list[int]:
    """Return the trades of a batch as its call has them; one that its parties sign has them in a struct."""
    return [int(word) for word in parameters.get("settlement", parameters)["words"]]


def outcome_of(batch: SettlementBatch) -> Outcome:
    """Return the outcome of a batch as its event published it: a fee has changed what was planned."""
    nets, credit_nets = ([int(net) for net in nets] for nets in (batch.nets, batch.credit_nets))
    return batch.accounts, nets, credit_nets
