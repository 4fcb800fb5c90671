"""What a holder does with credits: transfer, retire, cancel. Each is planned, then submitted."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.chain import intents
from ledger.chain.access import Chain
from ledger.chain.contracts import retirement_tuple
from ledger.chain.events import CREDIT, ZERO_HASH, RetirementDetails
from ledger.chain.intents import NewIntent, new_key
from ledger.errors import BadInput, NotFound, Refused
from ledger.models import CarbonCredit, CreditBatch, CreditHolding, CreditSerial, CreditSite

_COUNTRY_LETTERS = 2
_DIGITS_MAX = 18
"""Digits of a number that fits BIGINT for certain."""
_TEXT_BYTES_MAX = 1024
"""MAX_TEXT of the contract."""
_HASH = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)


@dataclass(frozen=True)
class Holding:
    """Units of one batch in one hand, in kg."""

    batch_id: int
    holder: str
    amount_kg: int


def find_batch(session: Session, text: str) -> int:
    """Return the batch that a person means: a serial, a batch ``SITE-VINTAGE-ORDINAL``, a key or a number.

    Raises
    ------
    NotFound
        If the mirror knows nothing of that name.
    """
    by_serial = session.get(CreditSerial, text)
    if by_serial is not None:
        return by_serial.batch_id
    if text.startswith("0x"):
        found = session.scalars(
            select(CreditBatch.batch_id).where(CreditBatch.key == text.lower())
        ).first()
        if found is not None:
            return found
    if text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX:
        number = int(text)
        query = select(CreditSerial.batch_id).join(
            CarbonCredit, CarbonCredit.credit_id == CreditSerial.credit_id
        )
        found = session.scalars(query.where(CarbonCredit.id == number)).first()
        if found is None and session.get(CreditBatch, number) is not None:
            found = number
        if found is not None:
            return found
    site_code, _, rest = text.rpartition("-")
    site_code, _, vintage = site_code.rpartition("-")
    numbers = vintage + rest
    if (
        site_code
        and vintage
        and rest
        and numbers.isascii()
        and numbers.isdigit()
        and len(numbers) <= _DIGITS_MAX
    ):
        query = (
            select(CreditBatch.batch_id)
            .join(CreditSite, CreditSite.site_id == CreditBatch.site_id)
            .where(
                CreditSite.code == site_code,
                CreditBatch.vintage == int(vintage),
                CreditBatch.ordinal == int(rest),
            )
        )
        found = session.scalars(query).first()
        if found is not None:
            return found
    raise NotFound(f"no credit {text!r}; `truetonne credits list` shows those that exist")


def holding_of(
    session: Session, chain: Chain, text: str, amount_kg: int, holder: str | None
) -> Holding:
    """Return who shall act on a credit: the named holder, or the only one whose key is at hand.

    Raises
    ------
    NotFound
        If there is no such credit.
    BadInput
        If the amount is not above zero, or it is not clear which holder is meant.
    Refused
        If no holder has that much.
    """
    if amount_kg <= 0:
        raise BadInput(
            f"the amount must be a whole number of kilograms above zero, found {amount_kg}"
        )
    batch_id = find_batch(session, text)
    holder = holder.lower() if holder is not None else None
    query = select(CreditHolding).where(CreditHolding.batch_id == batch_id)
    holdings = {item.holder: item.amount_kg for item in session.scalars(query)}
    if holder is None:
        ours = [
            address
            for address, amount in holdings.items()
            if amount >= amount_kg and address in chain.keyring.addresses
        ]
        if len(ours) > 1:
            raise BadInput(
                f"{len(ours)} of our accounts hold {amount_kg} kg of {text}; name one with --holder"
            )
        if not ours:
            most = max(holdings.values(), default=0)
            raise Refused(
                f"no account of ours holds {amount_kg} kg of {text}; the largest holding is {most} kg"
            )
        holder = ours[0]
    held = holdings.get(holder, 0)
    if held < amount_kg:
        raise Refused(f"{holder} holds {held} kg of {text}, less than {amount_kg} kg")
    return Holding(batch_id, holder, amount_kg)


def plan_transfer(session: Session, chain: Chain, holding: Holding, to: str) -> str:
    """Plan a transfer to another account and return its key."""
    arguments = [holding.holder, to, holding.batch_id, holding.amount_kg, b""]
    return _plan(
        session, chain, "transfer", "safeTransferFrom", arguments, holding.holder, new_key()
    )


def plan_retirement(
    session: Session, chain: Chain, holding: Holding, details: RetirementDetails
) -> str:
    """Plan a retirement and return its key, which the chain's event carries."""
    key = new_key()
    arguments = [
        bytes.fromhex(key[2:]),
        holding.batch_id,
        holding.amount_kg,
        retirement_tuple(details),
    ]
    return _plan(session, chain, "retire", "retire", arguments, holding.holder, key)


def plan_cancellation(session: Session, chain: Chain, holding: Holding, reason: str) -> str:
    """Plan a cancellation and return its key, which the chain's event carries."""
    key = new_key()
    arguments = [bytes.fromhex(key[2:]), holding.batch_id, holding.amount_kg, reason]
    return _plan(session, chain, "cancel", "cancel", arguments, holding.holder, key)


def details_of(
    beneficiary: str,
    reason: str,
    country: str = "",
    consumption: tuple[int, int] = (0, 0),
    document_hash: str = ZERO_HASH,
) -> RetirementDetails:
    """Return checked details of a retirement.

    Parameters
    ----------
    country
        ISO 3166-1 alpha-2 code of the beneficiary; empty when not stated.
    consumption
        Start and end of the consumption that is compensated, in epoch seconds; zeros when not stated.

    Raises
    ------
    BadInput
        If a text is missing or a code is none.
    """
    if not beneficiary.strip() or not reason.strip():
        raise BadInput("a retirement names its beneficiary and its reason")
    code = country.strip().upper()
    if code and not (len(code) == _COUNTRY_LETTERS and code.isascii() and code.isalpha()):
        raise BadInput(f"country must be two letters (ISO 3166-1), found {country!r}")
    for name, text in (("beneficiary", beneficiary), ("reason", reason)):
        try:
            length = len(text.encode())
        except UnicodeEncodeError as error:
            raise BadInput(f"the {name} is not Unicode text") from error
        if length > _TEXT_BYTES_MAX:
            raise BadInput(f"the {name} is longer than {_TEXT_BYTES_MAX} bytes")
    if consumption[0] > consumption[1]:
        raise BadInput("the consumption period ends before it begins")
    if consumption[0] < 0 or consumption[1] >= 2**32:
        raise BadInput("the consumption period must lie between the years 1970 and 2106")
    if not _HASH.fullmatch(document_hash):
        raise BadInput(f"{document_hash!r} is not a hash; write 0x and 64 hexadecimal digits")
    return RetirementDetails(beneficiary, reason, code, *consumption, document_hash)


def _plan(
    session: Session,
    chain: Chain,
    kind: str,
    function: str,
    arguments: list[object],
    sender: str,
    key: str,
) -> str:
    intent = NewIntent(
        key, kind, CREDIT, chain.deployment.credit.address, function, arguments, sender
    )
    return intents.plan(session, chain.deployment.chain_id, intent)
