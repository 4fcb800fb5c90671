"""What a holder does with credits: transfer, retire, cancel. Each is planned, then submitted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ledger.chain.access import Chain
from ledger.chain.contracts.events import CREDIT, ZERO_HASH, RetirementDetails
from ledger.chain.contracts.structs import retirement_tuple
from ledger.chain.sending import intents
from ledger.chain.sending.intents import NewIntent, new_key
from ledger.chain.sending.marks import TRANSFER, KeyedAct, act_under
from ledger.codes import wrong_country
from ledger.errors import BadInput, Refused
from ledger.jsontext import integers_as_text
from ledger.models import CarbonCredit, ChainIntent, CreditBatch, CreditHolding
from ledger.naming import find_credit, rows_of
from ledger.reductions.zones import TIMES_END_S
from ledger.serials import Act, CreditStatus, active_run, is_key, taken_serials

_TEXT_BYTES_MAX = 1024
"""MAX_TEXT of the contract."""
_KEY_TEXT_MAX = 200
_CALLS = {Act.TRANSFER: TRANSFER, Act.RETIRE: "retire", Act.CANCEL: "cancel"}


@dataclass(frozen=True)
class Holding:
    """Units of one batch that one account holds, in kg, and the key of the act that is to be done with them.

    Without a key the act gets a new one. ``repeated``: the books have an act with this key already.
    """

    batch_id: int
    holder: str
    amount_kg: int
    key: str | None = None
    repeated: bool = False


def holding_of(
    session: Session,
    chain: Chain,
    text: str,
    amount_kg: int,
    holder: str | None,
    act: Act = Act.TRANSFER,
    named_key: str | None = None,
) -> Holding:
    """Return the holder who acts on a credit: the one who is named, or the only one whose key is at hand.

    Parameters
    ----------
    text
        A credit's name; see ``serials.read_name``. What moves is an amount of its batch: serials are
        accepted when they are those that the act takes anyway.
    holder
        Whose units; None: the only account of ours that holds enough.
    act
        What shall be done with them.
    named_key
        A name that the caller gives to this act, any text: asked for again under that name, it is done once.

    Raises
    ------
    NotFound
        If there is no such credit.
    BadInput
        If the amount is not above zero, it is not clear which holder is meant, or serials are named that
        the act does not take.
    Refused
        If no holder has that much, or the named serials are no longer active.
    """
    if amount_kg <= 0:
        raise BadInput(
            f"the amount must be a whole number of kilograms above zero, found {amount_kg}"
        )
    holder = holder.lower() if holder is not None else None
    if named_key is not None:
        known = _asked_before(session, chain, text, (act, holder, amount_kg), named_key)
        if known is not None:
            return known
    batch_id = _batch_to_act_on(session, text, amount_kg, act)
    query = select(CreditHolding).where(CreditHolding.batch_id == batch_id)
    holdings = {item.holder: item.amount_kg for item in session.scalars(query)}
    if holder is None:
        holder = _only_holder(chain, text, amount_kg, holdings)
    held = holdings.get(holder, 0)
    if held < amount_kg:
        raise Refused(f"{holder} holds {held} kg of {text}, less than {amount_kg} kg")
    key = None if named_key is None else _key_of(named_key, holder)
    return Holding(batch_id, holder, amount_kg, key)


def _asked_before(
    session: Session,
    chain: Chain,
    text: str,
    asked: tuple[Act, str | None, int],
    named_key: str,
) -> Holding | None:
    """Return the holding of an act that was asked for under this name before, or done on chain; None: there is none.

    Parameters
    ----------
    asked
        What is asked for now: the act, its holder if one is named, and kilograms.
    """
    act, holder, amount_kg = asked
    batch_id = find_credit(session, text).batch_id
    earlier = _earlier(session, named_key)
    if earlier is not None:
        if holder not in (None, earlier.sender_address):
            raise _other_act(earlier)
        return Holding(batch_id, earlier.sender_address, amount_kg, earlier.key, repeated=True)
    done = _forgotten(session, chain, batch_id, named_key, amount_kg)
    if done is None:
        return None
    _require_same(done, (_CALLS[act], holder or done.holder, amount_kg))
    return Holding(batch_id, done.holder, done.amount_kg, done.key)


def _only_holder(chain: Chain, text: str, amount_kg: int, holdings: Mapping[str, int]) -> str:
    """Return the only account of ours that holds enough."""
    ours = [
        address
        for address, amount in holdings.items()
        if amount >= amount_kg and address in chain.keyring.addresses
    ]
    if len(ours) > 1:
        some = ", ".join(sorted(ours)[:3]) + ", ..." * (len(ours) > 3)
        raise BadInput(
            f"{len(ours)} of our accounts hold {amount_kg} kg of {text}; name one with --holder: {some}"
        )
    if not ours:
        raise _nobody_holds(text, amount_kg, holdings)
    return ours[0]


def _nobody_holds(text: str, amount_kg: int, holdings: Mapping[str, int]) -> Refused:
    most = max(holdings.values(), default=0)
    said = f"no account of ours holds {amount_kg} kg of {text}; the largest holding is {most} kg"
    if most >= amount_kg:
        who = min(address for address, held in holdings.items() if held == most)
        said += f", of {who}, whose key is not here: `truetonne keys list` says whose are"
    return Refused(said)


def _key_of(named_key: str, holder: str) -> str:
    """Return the key of an act from what its sender calls it.

    The holder is part of it: the contract takes a key once, and others may use the same words.
    """
    if not named_key.strip() or len(named_key) > _KEY_TEXT_MAX:
        raise BadInput(f"a key is a text of 1 to {_KEY_TEXT_MAX} characters")
    return "0x" + sha256(f"truetonne {holder} {named_key}".encode()).hexdigest()


def _earlier(session: Session, named_key: str) -> ChainIntent | None:
    """Return the act of one of our accounts that was called so, whether its key is here or on another machine."""
    senders = session.scalars(select(ChainIntent.sender_address).distinct())
    keys = [_key_of(named_key, address) for address in senders]
    query = select(ChainIntent).where(ChainIntent.key.in_(keys)).order_by(ChainIntent.created_at)
    return session.scalars(query).first()


def _forgotten(
    session: Session, chain: Chain, batch_id: int, named_key: str, amount_kg: int
) -> KeyedAct | None:
    """Return what one of our accounts did under a name, and books that were restored from before do not know.

    What is held now says nothing of who acted: whoever had enough has less since.
    """
    holders = {_key_of(named_key, address): address for address in chain.keyring.addresses}
    return act_under(session, batch_id, holders, amount_kg)


def _require_same(done: KeyedAct, asked: tuple[str, str, int]) -> None:
    """Refuse to take an act on chain for another one that is asked for under its key."""
    if asked != (done.function, done.holder, done.amount_kg):
        raise Refused(
            f"this key belongs to another act: {done.function} of {done.amount_kg} kg by {done.holder}, which "
            f"transaction {done.tx_hash} did; give each act a key of its own",
            code="key-reused",
            details={"key": done.key, "transaction": done.tx_hash},
        )


def _other_act(earlier: ChainIntent) -> Refused:
    return Refused(
        f"this key belongs to another act: {earlier.kind} of {earlier.created_at:%Y-%m-%d %H:%M} UTC by "
        f"{earlier.sender_address}; give each act a key of its own",
        code="key-reused",
        details={"key": earlier.key, "parameters": integers_as_text(earlier.parameters)},
    )


def _batch_to_act_on(session: Session, text: str, amount_kg: int, act: Act) -> int:
    """Return the batch of a name, after a check that its serials, if any, are what the act takes."""
    named = find_credit(session, text)
    batch = session.get_one(CreditBatch, named.batch_id)
    active = active_run(batch.issued_kg, batch.retired_kg, batch.cancelled_kg)
    if named.serials is None or named.serials == (1, batch.issued_kg) or active is None:
        return named.batch_id
    first, last = named.serials
    if (first, last) == (active.first, active.last):
        return named.batch_id
    for row in rows_of(session, named):
        status = session.scalars(
            select(CarbonCredit.status).where(CarbonCredit.credit_id == row.credit_id)
        ).one()
        if status is not CreditStatus.ACTIVE:
            raise Refused(
                f"serials {max(first, row.first_serial)} to {min(last, row.last_serial)} of {text} are "
                f"{status.value}; active are {active.first} to {active.last}"
            )
    taken = taken_serials(act, active, amount_kg)
    if taken == (first, last):
        return named.batch_id
    if taken is None:
        rule = "a transfer moves an amount, and no particular serials"
    else:
        which = "lowest" if act is Act.RETIRE else "highest"
        rule = (
            f"to {act.value} takes the {which} active serials: {amount_kg} kg are {taken[0]} to {taken[1]}, "
            f"not {first} to {last}"
        )
    raise BadInput(
        f"{rule}; name the batch, {text.rsplit('-', 2)[0]}, and the amount",
        code="serials-not-taken",
    )


def plan_once(chain: Chain, work: Callable[[Session], str]) -> str:
    """Plan an act in a unit of work of its own, and return its key.

    Two that ask for the same key at the same time plan one act: the second finds the first one's.
    """
    try:
        return chain.db.run(work)
    except IntegrityError:
        return chain.db.run(work)


def transfer_call(chain: Chain, holding: Holding, to: str) -> NewIntent:
    """Return the call that moves units to another account.

    An act with a name carries its key as the transfer's data, where nobody reads these: the receiver has no code.
    By that, books that were restored from before find it on chain, and do not do it again (decision 0073).

    Raises
    ------
    BadInput
        If nobody can receive there.
    DependencyDown
        If the node does not answer.
    """
    if int(to, 16) == 0:
        raise BadInput(
            "the zero address receives nothing; to use credits up, `truetonne credits retire`"
        )
    key = holding.key or new_key()
    marked = holding.key is not None and chain.client.code(to) == "0x"
    data = bytes.fromhex(key[2:]) if marked else b""
    arguments = [holding.holder, to, holding.batch_id, holding.amount_kg, data]
    return _call(chain, "transfer", "safeTransferFrom", arguments, holding.holder, key)


def retirement_call(chain: Chain, holding: Holding, details: RetirementDetails) -> NewIntent:
    """Return the call that uses units up; the chain's event carries its key."""
    key = holding.key or new_key()
    arguments = [
        bytes.fromhex(key[2:]),
        holding.batch_id,
        holding.amount_kg,
        retirement_tuple(details),
    ]
    return _call(chain, "retire", "retire", arguments, holding.holder, key)


def cancellation_call(chain: Chain, holding: Holding, reason: str) -> NewIntent:
    """Return the call that withdraws units without use; the chain's event carries its key."""
    key = holding.key or new_key()
    arguments = [bytes.fromhex(key[2:]), holding.batch_id, holding.amount_kg, reason]
    return _call(chain, "cancel", "cancel", arguments, holding.holder, key)


def plan_transfer(session: Session, chain: Chain, holding: Holding, to: str) -> str:
    """Plan a transfer to another account and return its key; see ``transfer_call``."""
    return plan_call(session, chain, transfer_call(chain, holding, to))


def plan_retirement(
    session: Session, chain: Chain, holding: Holding, details: RetirementDetails
) -> str:
    """Plan a retirement and return its key."""
    return plan_call(session, chain, retirement_call(chain, holding, details))


def plan_cancellation(session: Session, chain: Chain, holding: Holding, reason: str) -> str:
    """Plan a cancellation and return its key."""
    return plan_call(session, chain, cancellation_call(chain, holding, reason))


def plan_call(session: Session, chain: Chain, call: NewIntent) -> str:
    """Plan an act and return its key; one that is planned already is not planned again.

    Raises
    ------
    Refused
        If its key belongs to another act.
    """
    stored = session.get(ChainIntent, call.key)
    if stored is None:
        return intents.plan(session, chain.deployment.chain_id, call)
    check_repeats(stored, call)
    return call.key


def check_repeats(stored: ChainIntent, call: NewIntent) -> None:
    """Refuse a call that is another than the stored one of the same key.

    Raises
    ------
    Refused
        With what the key belongs to.
    """
    same = [call]
    if call.function == "safeTransferFrom":  # the receiver may have got code since, or lost it
        moved = call.arguments[:-1]
        same = [replace(call, arguments=[*moved, x]) for x in (b"", bytes.fromhex(call.key[2:]))]
    if not any(intents.is_call(stored, item) for item in same):
        raise _other_act(stored)


def details_of(
    beneficiary: str,
    reason: str,
    country: str | None = None,
    consumption: tuple[int, int] = (0, 0),
    document_hash: str = ZERO_HASH,
) -> RetirementDetails:
    """Return checked details of a retirement.

    Parameters
    ----------
    country
        ISO 3166-1 alpha-2 code of the beneficiary; None when not stated. An empty word states none by accident.
    consumption
        Start and end of the consumption that is compensated, in epoch seconds; zeros when not stated.

    Raises
    ------
    BadInput
        If a text is missing or a code is none.
    """
    if not beneficiary.strip() or not reason.strip():
        raise BadInput("a retirement names its beneficiary and its reason")
    code = "" if country is None else country.strip().upper()
    wrong = None if country is None else wrong_country(code)
    if wrong is not None:
        raise BadInput(f"country: {wrong}")
    for name, text in (("beneficiary", beneficiary), ("reason", reason)):
        try:
            length = len(text.encode())
        except UnicodeEncodeError as error:
            raise BadInput(f"the {name} is not Unicode text") from error
        if length > _TEXT_BYTES_MAX:
            raise BadInput(f"the {name} is longer than {_TEXT_BYTES_MAX} bytes")
    if consumption[0] > consumption[1]:
        raise BadInput("the consumption period ends before it begins")
    if consumption[0] < 0 or consumption[1] >= TIMES_END_S:
        raise BadInput("the consumption period must lie between the years 1970 and 2106")
    if not is_key(document_hash):
        raise BadInput(f"{document_hash!r} is not a hash; write 0x and 64 hexadecimal digits")
    return RetirementDetails(beneficiary, reason, code, *consumption, document_hash)


def _call(
    chain: Chain, kind: str, function: str, arguments: list[object], sender: str, key: str
) -> NewIntent:
    address = chain.deployment.credit.address
    return NewIntent(key, kind, CREDIT, address, function, arguments, sender)
