"""Batches that their parties sign: takes in signatures, and makes the call when all of them are there.

Such a batch is planned without a call. Keys at hand sign it; signatures of other parties come in files
(``cosign_files``). In the commit of the last signature the call is stored under the key of the batch, and is sent
like any other. A batch that was not sent before its signatures run out is given up; its trades are free again.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.chain.access import Chain
from ledger.chain.contracts.structs import Settlement, settlement_typed_data
from ledger.chain.keys.typed_data import is_valid_of_contract
from ledger.chain.sending import intents
from ledger.errors import NotFound, Refused
from ledger.models import ChainIntent, VppSettlementBatch, VppSettlementSignature
from ledger.models.sending import IntentState
from ledger.models.settlement import BatchState
from ledger.settlement import confirm, cosign_files, signatures
from ledger.settlement.calls import COSIGNED, call_of
from ledger.settlement.cosign_files import Order
from ledger.settlement.elsewhere import ENERGY
from ledger.settlement.finding import words_of
from ledger.settlement.money import participants_of


def settlement_of(session: Session, batch: VppSettlementBatch) -> Settlement:
    """Return what the parties of a batch sign.

    Raises
    ------
    ValueError
        If the batch is none that its parties sign.
    """
    if batch.signed_until is None:
        raise ValueError(f"batch {batch.batch_key} is proposed, not signed")
    words = words_of(session, batch)
    deadline = int(batch.signed_until.timestamp())
    return Settlement(
        batch.batch_key, batch.asset or ENERGY, tuple(batch.accounts), words, deadline
    )


def signatures_of(session: Session, batch: VppSettlementBatch) -> dict[str, str]:
    """Return the signatures under a batch that are there, by account."""
    query = select(VppSettlementSignature).where(VppSettlementSignature.batch_id == batch.id)
    return {row.account: row.signature for row in session.scalars(query)}


def waiting_for_signatures(session: Session) -> list[str]:
    """Return the keys of batches that wait for signatures, in order."""
    query = (
        select(VppSettlementBatch.batch_key)
        .outerjoin(ChainIntent, ChainIntent.key == VppSettlementBatch.batch_key)
        .where(
            VppSettlementBatch.state == BatchState.PLANNED,
            VppSettlementBatch.signed_until.is_not(None),
            ChainIntent.key.is_(None),
        )
        .order_by(VppSettlementBatch.id)
    )
    return list(session.scalars(query))


def how_it_ends(session: Session, batch: VppSettlementBatch) -> str:
    """Say how a live batch comes to its end: by the signatures that it lacks, by the next run, or withdrawn."""
    withdraws = f"`truetonne settle cancel {batch.batch_key} --reason WHY` withdraws it"
    if batch.batch_key in waiting_for_signatures(session):
        return (
            f"it waits for signatures until {batch.signed_until:%Y-%m-%d %H:%M} UTC, and its trades are free again "
            f"when they are not all there by then; until then {withdraws}"
        )
    said = "`truetonne settle run` brings that to its end"
    call = session.get(ChainIntent, batch.batch_key)
    unsent = call is not None and call.state is IntentState.PLANNED
    return f"{said}; as long as nothing of it is sent, {withdraws}" if unsent else said


def order_of(session: Session, chain: Chain, key: str, symbol: str) -> Order:
    """Return what the parties of a batch sign, with names for people.

    Raises
    ------
    NotFound
        If the books have no batch with this key that waits for signatures.
    """
    query = select(VppSettlementBatch).where(
        VppSettlementBatch.batch_key == key, VppSettlementBatch.signed_until.is_not(None)
    )
    batch = session.scalars(query).first()
    if batch is None:
        raise NotFound(
            f"batch {key} is none of these books that its parties sign", code="another-batch"
        )
    if batch.state is not BatchState.PLANNED:
        raise Refused(
            f"batch {key} is {batch.state.value}{f': {batch.error}' if batch.error else ''}; "
            "nothing is left to sign",
            code="not-waiting",
        )
    names = participants_of(session, batch)
    start = batch.netted_from
    return Order(
        settlement_of(session, batch),
        chain.deployment.chain_id,
        chain.deployment.settlement.address.lower(),
        batch.market,
        None if start is None else start.isoformat(),
        symbol,
        tuple((account, names.get(account, account)) for account in batch.accounts),
    )


def take_file(
    chain: Chain, path: Path, symbol: str, now_s: int, *, tried: dict[str, set[str]] | None = None
) -> tuple[str, list[str], list[str]]:
    """Take in the signatures of a file; return the batch's key, who signed, and who is missing.

    All signatures of the file are checked before one is stored. The call is frozen with the last one.

    Parameters
    ----------
    now_s
        Time of the latest block, epoch seconds.
    tried
        Given: everything is checked, and nothing is stored. It has who signed in the files that were tried before,
        by batch, and who signed in this one is added.

    Raises
    ------
    BadInput
        If the file cannot be read, or was altered.
    Refused
        If it is of another batch, if its time is over, or if a signature is of another key.
    """
    given, signed = cosign_files.read(path)
    key = given.settlement.key
    try:
        with chain.db.read() as session:
            ours = order_of(session, chain, key, symbol)
    except (NotFound, Refused) as error:
        raise Refused(f"{path}: {error.message}", code=error.code) from error
    cosign_files.check(path, given, ours, now_s)
    if not signed:
        raise Refused(
            f"{path}: nobody has signed it; sign it with: truetonne settle cosign sign {shlex.quote(str(path))}",
            code="not-signed",
        )
    digest = ours.digest
    for account, text in signed.items():
        signature = bytes.fromhex(text[2:])
        is_party = account in ours.settlement.accounts  # any contract may say yes to anything
        if not (is_party and is_valid_of_contract(chain.client, account, digest, signature)):
            signed[account] = cosign_files.check_signer(path, ours, account, text)

    missing = chain.db.run(lambda session: take(session, chain, key, signed), keep=tried is None)
    if tried is not None:
        there = tried.setdefault(key, set())
        there.update(signed)
        missing = [account for account in missing if account not in there]
    return key, list(signed), missing


def sign_ours(chain: Chain, key: str) -> list[str]:
    """Sign a batch with the keys at hand, and freeze its call if that was all; return who is missing.

    Signed before the commit begins, so that no lock waits for a signer.

    Raises
    ------
    PolicyRefused
        If the signer policy forbids it.
    DependencyDown
        If a remote signer does not answer.
    """
    with chain.db.read() as session:
        batch = _batch(session, key)
        settlement = settlement_of(session, batch)
        there = signatures_of(session, batch)
    place = chain.deployment.chain_id, chain.deployment.settlement.address
    message = settlement_typed_data(settlement, *place)
    ours = set(chain.keyring.addresses)
    made = {
        account: "0x" + chain.keyring.signer(account, "co-sign").sign_typed_data(message).hex()
        for account in settlement.accounts
        if account in ours and account not in there
    }
    return chain.db.run(lambda session: take(session, chain, key, made))


def take(session: Session, chain: Chain, key: str, signed: Mapping[str, str]) -> list[str]:
    """Store signatures that were checked; with the last one, freeze the call. Return who is missing."""
    query = select(VppSettlementBatch).where(VppSettlementBatch.batch_key == key)
    batch = session.scalars(query.with_for_update()).one()
    if batch.state is not BatchState.PLANNED:
        return []
    there = signatures_of(session, batch)
    for account, signature in signed.items():
        if account not in there:
            there[account] = signature
            session.add(
                VppSettlementSignature(batch_id=batch.id, account=account, signature=signature)
            )
    session.flush()
    missing = [account for account in batch.accounts if account not in there]
    if missing or session.get(ChainIntent, key) is not None:
        return missing
    given = [bytes.fromhex(there[account][2:]) for account in batch.accounts]
    arguments = [settlement_of(session, batch).as_tuple, given]
    sender = sender_of(chain)
    call = call_of(chain, key, COSIGNED, "settleCosigned", arguments, sender)
    intents.plan(session, chain.deployment.chain_id, call)
    return []


def sender_of(chain: Chain) -> str:
    """Return the member of the market that sends what was signed: the operator where none is named."""
    accounts = chain.deployment.accounts
    return accounts.get("member", chain.deployment.account("operator"))


def keep_signed(session: Session, key: str, alarm: str) -> bool:
    """Keep a batch with its signatures whose call was refused for what passes; return whether it is one.

    To sign once more is the work of several people, who keep their keys elsewhere.

    Parameters
    ----------
    alarm
        Why it waits.
    """
    query = select(VppSettlementBatch).where(
        VppSettlementBatch.batch_key == key, VppSettlementBatch.signed_until.is_not(None)
    )
    batch = session.scalars(query.with_for_update()).first()
    if batch is None or batch.state is not BatchState.PLANNED:
        return False
    return intents.take_back_refusal(session, key, alarm)


def late(session: Session) -> Sequence[VppSettlementBatch]:
    """Return the planned batches whose signatures ran out: by the time of a final block.

    Then no fork can still settle one.
    """
    now = signatures.final_time(session)
    if now is None:
        return []
    query = select(VppSettlementBatch).where(
        VppSettlementBatch.state == BatchState.PLANNED, VppSettlementBatch.signed_until < now
    )
    return session.scalars(query).all()


def expire(session: Session) -> list[str]:
    """Give up the batches whose signatures ran out before anything was sent; return their keys."""
    given_up = []
    for batch in late(session):
        # Locked one by one: a range would keep other planners out. And its call, which the last signature may make
        # at this moment: that changes nothing in the batch's row.
        session.refresh(batch, with_for_update=True)
        intent = session.get(ChainIntent, batch.batch_key, with_for_update=True)
        if batch.state is not BatchState.PLANNED:
            continue
        reason = f"the signatures held until {batch.signed_until:%Y-%m-%d %H:%M} UTC, and "
        if intent is None:
            there = signatures_of(session, batch)
            names = ", ".join(item for item in batch.accounts if item not in there)
            reason += f"{names} had not signed"
        elif intent.state is IntentState.PLANNED:
            reason += "it was not sent by then"
            intents.refuse(session, intent.key, reason)
        else:
            continue  # its transaction is refused by the contract, and the mirror says so
        _give_up(session, batch, reason)
        given_up.append(batch.batch_key)
    return given_up


def take_back(session: Session, batch: VppSettlementBatch, reason: str) -> bool:
    """Give up a batch of which nothing was sent: it lacks signatures, or its call waits; return whether it was one."""
    # Locked, both: whoever takes the last signature holds the batch, and makes the call; whoever signs that holds it.
    session.refresh(batch, with_for_update=True)
    call = session.get(ChainIntent, batch.batch_key, with_for_update=True)
    is_sent = call is not None and call.state is not IntentState.PLANNED
    if is_sent or batch.state is not BatchState.PLANNED:
        return False
    if call is None:
        signatures.note_withdrawal(session, batch, reason)
    else:
        intents.refuse(session, call.key, reason)
    _give_up(session, batch, reason)
    return True


def _give_up(session: Session, batch: VppSettlementBatch, reason: str) -> None:
    """Fail a batch of which nothing is on chain; its trades are free again, and the market need not rest."""
    confirm.fail_batch(
        session, batch, reason, datetime.fromtimestamp(0, UTC)
    )  # longer ago than any rest
    session.flush()


def _batch(session: Session, key: str) -> VppSettlementBatch:
    query = select(VppSettlementBatch).where(VppSettlementBatch.batch_key == key)
    return session.scalars(query).one()
