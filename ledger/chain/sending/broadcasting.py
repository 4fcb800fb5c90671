"""Sends signed transactions to the node, again and again if need be; each is stored before it comes here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sqlalchemy.orm import Session

from ledger.chain.node.client import RpcError
from ledger.chain.sending import intents
from ledger.chain.sending.desk import Desk
from ledger.chain.sending.intents import Signed
from ledger.errors import DependencyDown
from ledger.models import ChainAttempt, ChainIntent

_HARMLESS = re.compile(
    r"already ?known|\bknown transaction|already imported|already in |nonce (is )?too low|oldnonce"
)
"""Answers to a second sending that mean the first one arrived, in the words of one node or another."""
_TOO_CHEAP = ("base fee", "basefee")
"""In an answer to what offers less than the next block takes."""
_WHATEVER_IT_OFFERS = re.compile(r"insufficient|funds|balance|configured cap")
"""In an answer for another reason than a low fee: no money for gas, a node that sends nothing dearer."""
_NOT_TAKEN = "the node does not take it: "


class NotTaken(DependencyDown):
    """The node answers, but does not take a signed transaction now."""

    default_code = "not-taken"


def send(desk: Desk, attempt: Signed) -> None:
    """Send a stored transaction to the node, and note that the node has it.

    Raises
    ------
    NotTaken
        If the node does not take it; its intent has an alarm then.
    DependencyDown
        If the node does not answer.
    """
    try:
        desk.client.send_raw(attempt.raw)
    except RpcError as error:
        if not _has_it(desk, attempt, error):
            sender = _alarm(desk, attempt.tx_hash, _NOT_TAKEN + error.rpc_message)
            if any(text in error.rpc_message.lower() for text in _TOO_CHEAP):
                return  # some keep such a one, some do not: the next tending replaces it
            raise NotTaken(
                f"the node does not take transaction {attempt.tx_hash} of {sender}: {error.rpc_message}; "
                "it is stored and will be sent again"
            ) from error

    def sent(session: Session) -> None:
        intents.mark_broadcast(session, attempt.tx_hash)
        intents.clear_alarm(session, attempt.tx_hash, _NOT_TAKEN)

    desk.db.run(sent)


def _has_it(desk: Desk, attempt: Signed, error: RpcError) -> bool:
    """Return whether a node has a transaction though it answers with an error.

    One that mines at once and tells of a failure so (Hardhat) has it in a block.
    """
    if _HARMLESS.search(error.rpc_message.lower()):
        return True
    try:
        return desk.client.request("eth_getTransactionByHash", [attempt.tx_hash]) is not None
    except RpcError:
        return False


def dearer_helps(intent: ChainIntent, last: ChainAttempt) -> bool:
    """Return whether a higher fee may get an intent into a block.

    It does not where the node refused the last attempt for something else, such as an account without money. To raise
    the fee then would only make it dearer once the money is there.
    """
    alarm = intent.alarm or ""
    refused = last.broadcast_at is None and alarm.startswith(_NOT_TAKEN)
    return not (refused and _WHATEVER_IT_OFFERS.search(alarm.lower()))


def to_send(desk: Desk, intent: ChainIntent, items: Sequence[ChainAttempt]) -> ChainAttempt | None:
    """Return the attempt of an intent that may be sent now; None: it has to wait, or the act might be done twice.

    An intent gets a second nonce when somebody else used up its first one. If a fork, deeper than what was final, takes
    that back, the chain would accept both of its transactions. So the one with the higher nonce waits until the lower
    nonce is used for good.

    Parameters
    ----------
    intent
        One that is sent; none of its attempts stands in a block.
    items
        All its attempts, oldest first.
    """
    nonce = intent.nonce or 0
    lost = [item.nonce for item in items if item.nonce is not None and item.nonce < nonce]
    if lost and not desk.is_used_for_good(intent.sender_address, max(lost)):
        return None
    return intents.current(intent, items)


def send_all(desk: Desk, attempts: Iterable[ChainAttempt]) -> None:
    """Send attempts again; one that the node does not take does not keep the others from being sent.

    Raises
    ------
    NotTaken
        If it did not take one of them; the first reason is given.
    DependencyDown
        If the node does not answer.
    """
    trouble: NotTaken | None = None
    for item in attempts:
        try:
            send(desk, Signed(item.tx_hash, item.raw_transaction))
        except NotTaken as error:
            trouble = trouble or error
    if trouble is not None:
        raise trouble


def included(desk: Desk, attempts: Iterable[ChainAttempt]) -> set[str]:
    """Return the hashes of those attempts that stand in a block of the node."""
    hashes = [item.tx_hash for item in attempts]
    receipts = desk.client.receipts(hashes)
    return {tx_hash for tx_hash, found in zip(hashes, receipts, strict=True) if found}


def _alarm(desk: Desk, tx_hash: str, text: str) -> str:
    """Note why the node does not take a stored transaction; return the account that sends it."""

    def note(session: Session) -> str:
        intent = session.get_one(ChainIntent, intents.key_of_transaction(session, tx_hash))
        if intent.alarm is None or intent.alarm.startswith(_NOT_TAKEN):
            intents.set_alarm(session, intent.key, text)  # a better reason is not written over
        return intent.sender_address

    return desk.db.run(note)
