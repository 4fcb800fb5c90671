"""Credits whose time is over: the contract stops them by itself, and anyone may record it, which we do once."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.chain.access import Chain
from ledger.chain.contracts.events import CREDIT
from ledger.chain.sending import intents
from ledger.chain.sending.intents import NewIntent, new_key
from ledger.chain.sending.sender import AlreadyOnChain
from ledger.errors import Refused
from ledger.models import ChainIntent, CreditBatch
from ledger.models.credits import BatchStatus
from ledger.models.sending import UNDER_WAY, IntentState

_KIND = "expire"


def record_expired(chain: Chain) -> list[str]:
    """Send the recording of every batch that has expired by the chain's clock; return the transactions.

    Somebody else may record it first; then the contract refuses ours, and the mirror says so.

    Raises
    ------
    PolicyRefused
        If the signer policy forbids it; what is planned stays.
    DependencyDown
        If the node does not answer; what is planned is sent by the next run.
    """
    head = chain.client.block("latest")
    now_s = head.timestamp if head else 0
    sent = []
    keys = chain.db.run(lambda session: _plan(session, chain, now_s))
    if keys:  # a deployment in which nobody issues may name no account for it
        chain.sender.send_from({_KIND: chain.deployment.account("issuer")})
    for key in keys:
        try:
            sent.append(chain.sender.submit(key, CREDIT))
        except (AlreadyOnChain, Refused):
            continue
    return sent


def _plan(session: Session, chain: Chain, now_s: int) -> list[str]:
    """Return the keys of recordings that are planned and not sent, with those that were missing."""
    address = chain.deployment.credit.address.lower()
    ours = ChainIntent.kind == _KIND, ChainIntent.contract_address == address
    expired = select(CreditBatch.batch_id).where(
        CreditBatch.status == BatchStatus.ACTIVE,
        CreditBatch.expires_at_s > 0,
        CreditBatch.expires_at_s <= now_s,
    )
    ids = session.scalars(expired.order_by(CreditBatch.batch_id)).all()
    query = select(ChainIntent).where(*ours, ChainIntent.state.in_(UNDER_WAY))
    under_way = session.scalars(query.order_by(ChainIntent.created_at)).all()
    keys = [row.key for row in under_way if row.state is IntentState.PLANNED]
    known = {int(row.parameters["batchId"]) for row in under_way}
    for batch_id in ids:
        if batch_id not in known:
            keys.append(intents.plan(session, chain.deployment.chain_id, _intent(chain, batch_id)))
    return keys


def _intent(chain: Chain, batch_id: int) -> NewIntent:
    return NewIntent(
        key=new_key(),
        kind=_KIND,
        contract=CREDIT,
        address=chain.deployment.credit.address,
        function="expire",
        arguments=[batch_id],
        sender=chain.deployment.account("issuer"),
    )
