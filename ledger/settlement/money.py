"""Escrow balances as people read them: whose they are, in which currency, and what is missing."""

from __future__ import annotations

import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.chain.access import Chain
from ledger.chain.contracts.currency import stated_symbol
from ledger.chain.failures.explanations import explain
from ledger.chain.sending.sender import AlreadyOnChain
from ledger.changed_accounts import former_addresses
from ledger.errors import Refused
from ledger.models import (
    VppDefinition,
    VppSettlementAccount,
    VppSettlementBatch,
    VppSettlementItem,
    VppTradingRecord,
)
from ledger.models.trading import TradeType
from ledger.settings import LOCAL_CHAIN_ID
from ledger.settlement.netting import Shortfall
from ledger.settlement.readable import readable
from ledger.settlement.words import unpack
from ledger.units import currency_of_cents, tonnes_of_kg

Explained = Callable[[Chain, str], str]
"""From a contract's refusal, the same with what it means in names and money; as it is where it is about neither."""
_SHORT_OF_MONEY = re.compile(r"InsufficientBalance\((?P<arguments>[^)]*)\)")


@dataclass(frozen=True)
class Missing:
    """What an account lacks to pay what it owes: cents of the currency, or kg of the credits ``asset``."""

    account: str
    participant: str
    balance: int
    owed: int
    symbol: str
    asset: int | None = None
    batches: int = 1
    """In how many batches it owes that."""

    @classmethod
    def of(cls, short: Shortfall, names: Mapping[str, str], symbol: str) -> Missing:
        """Return a shortfall with the name of who has it."""
        name = names.get(short.account, short.account)
        return cls(short.account, name, short.held, short.owed, symbol, short.asset)

    @property
    def missing(self) -> int:
        """How much must be paid in."""
        return self.owed - self.balance

    @property
    def command(self) -> str:
        """The command that pays it in."""
        credits = "" if self.asset is None else f" --credits {self.asset}"
        return f"truetonne settle deposit {shlex.quote(self.participant)} {self.text(self.missing)}{credits}"

    @property
    def unit(self) -> str:
        """What it is counted in."""
        return self.symbol if self.asset is None else f"t of credit batch {self.asset}"

    def text(self, amount: int) -> Decimal:
        """Return an amount as people write it: currency, or tonnes."""
        return currency_of_cents(amount) if self.asset is None else tonnes_of_kg(amount)

    @property
    def in_escrow(self) -> str:
        """The beginning of a sentence: who has what there."""
        return f"{self.participant} has {self.text(self.balance)} {self.unit} in escrow"

    def sentence(self) -> str:
        """Say what is missing, and what mends it."""
        times = "" if self.batches == 1 else f" in {self.batches} batches"
        return (
            f"{self.in_escrow} and owes {self.text(self.owed)} {self.unit}{times}: {self.command}"
        )


def together(found: Iterable[Missing]) -> list[Missing]:
    """Return what each account lacks of each asset in all of its batches, in the order in which it first lacked it.

    Parameters
    ----------
    found
        What it lacks batch by batch, in the order of the batches: what it has is what the last of them was left with.
    """
    sums: dict[tuple[str, int | None], Missing] = {}
    for item in found:
        before = sums.get((item.account, item.asset))
        sums[item.account, item.asset] = (
            item
            if before is None
            else replace(item, owed=before.owed + item.owed, batches=before.batches + item.batches)
        )
    return list(sums.values())


def participants(session: Session) -> dict[str, str]:
    """Return who each settlement account belongs to: the code of a plant, or the name of a market.

    Where a plant's account is a market of others too, as of parks that trade with each other, it is the plant's. A
    plant and a market of one name are called by their addresses: commands would not know which is meant.
    """
    query = select(
        VppSettlementAccount.address, VppSettlementAccount.market, VppDefinition.vpp_id
    ).outerjoin(VppDefinition, VppDefinition.id == VppSettlementAccount.vpp_id)
    found = session.execute(query.order_by(VppSettlementAccount.id)).all()
    names: dict[str, str] = {}
    for address, market, code in found:
        if market is None or address not in names:
            names[address] = market or code
    times = Counter(market or code for _, market, code in found)
    return {address: name if times[name] == 1 else address for address, name in names.items()}


def participants_ever(session: Session) -> dict[str, str]:
    """Return who each settlement account belongs to, and to whom it did before: for what is told of the past."""
    now, had = participants(session), former_addresses(session)
    accounts = session.execute(select(VppSettlementAccount.id, VppSettlementAccount.address))
    former = {
        before: now[address]
        for number, address in accounts
        if now[address] != address
        for before in had.get(number, ())
    }
    return former | now


def participants_of(session: Session, batch: VppSettlementBatch) -> dict[str, str]:
    """Return whose the accounts of a batch were, and those of all others: as ``participants_ever``, by its own trades.

    An account may be another plant's by now, which has nothing to do with what was settled.
    """
    names = participants_ever(session)
    query = (
        select(VppSettlementItem.word, VppTradingRecord.trade_type, VppDefinition.vpp_id)
        .join(VppTradingRecord, VppTradingRecord.id == VppSettlementItem.trade_id)
        .join(VppDefinition, VppDefinition.id == VppTradingRecord.vpp_id)
        .where(VppSettlementItem.batch_id == batch.id, readable(session))
        .order_by(VppSettlementItem.trade_id)
    )
    own: dict[str, dict[str, None]] = defaultdict(dict)  # the first trade's comes first
    for word, side, code in session.execute(query):
        trade = unpack(int(word, 16))
        if max(trade.buyer, trade.seller) >= len(batch.accounts):
            continue  # no word of ours
        buyer, seller = batch.accounts[trade.buyer], batch.accounts[trade.seller]
        plant, market = (buyer, seller) if side is TradeType.BUY else (seller, buyer)
        own[plant][code] = None
        own[market][batch.market] = None
    for account, codes in own.items():
        if names.get(account) not in (
            account,
            *codes,
        ):  # by its address, where its name is one of two
            names[account] = next(iter(codes))
    return names


def currency_symbol(chain: Chain) -> str:
    """Return the symbol of the settlement currency; its address where it states none."""
    address = chain.settlement.currency()
    return stated_symbol(chain.client, address) or address


def balances(chain: Chain, accounts: Iterable[str]) -> dict[str, int]:
    """Return the escrow of accounts in cents; what is less than a cent does not count."""
    wanted = list(accounts)
    per_cent = chain.settlement.units_per_cent()
    units = chain.settlement.balances_of(wanted)
    return {account: amount // per_cent for account, amount in zip(wanted, units, strict=True)}


def explained(chain: Chain, refusal: str) -> str:
    """Return a refusal of the contract with what it means in names and money, where it is about money."""
    missing = _missing(chain, refusal)
    return refusal if missing is None else f"{missing.sentence()} ({refusal})"


_NOTHING_ARRIVES = (
    "nothing of it would arrive in the escrow: the currency keeps all of it as its fee, or says that it moved what it "
    "did not; pay in more, or look at the token"
)


def explained_deposit(chain: Chain, refusal: str) -> str:
    """Return a refusal to take something in with what its payer has, and how to get more."""
    if "ZeroAmount()" in refusal:  # what was asked for was more
        return f"{_NOTHING_ARRIVES} ({refusal})"
    missing = _missing(chain, refusal, "sender", "tokenId")
    if missing is None:
        return refusal
    said = (
        f"{missing.participant} has {missing.text(missing.balance)} {missing.unit} outside the escrow (account "
        f"{missing.account}) and needs {missing.text(missing.owed)} {missing.unit} to pay that in"
    )
    if missing.asset is not None:
        said += "; credits are transferred by truetonne credits transfer"
    elif chain.deployment.chain_id == LOCAL_CHAIN_ID:
        name, amount = shlex.quote(missing.participant), missing.text(missing.owed)
        said += (
            "; on this local chain --mint makes test money first: "
            f"truetonne settle deposit {name} {amount} --mint"
        )
    else:
        said += "; send it there first"
    return f"{said} ({refusal})"


def explained_bond(chain: Chain, refusal: str) -> str:
    """Return a refusal of a dispute with the bond that its party lacks, and what pays it in."""
    missing = _missing(chain, refusal)
    if missing is None:
        return refusal
    bond = f"{missing.text(missing.owed)} {missing.unit}"
    return (
        f"{missing.in_escrow}, and a dispute takes a bond of {bond}: {missing.command} ({refusal})"
    )


def explained_withdrawal(chain: Chain, refusal: str) -> str:
    """Return a refusal to pay out with what there is in the escrow."""
    missing = _missing(chain, refusal)
    if missing is None:
        return refusal
    return (
        f"{missing.in_escrow} that can be withdrawn, and {missing.text(missing.owed)} {missing.unit} are asked for; "
        f"name {missing.text(missing.balance)} at most ({refusal})"
    )


@contextmanager
def refused_in_money(chain: Chain, explained: Explained) -> Iterator[None]:
    """Say in names and money what a contract refuses for want of them; any other refusal stays as it is."""
    try:
        yield
    except AlreadyOnChain:
        raise
    except Refused as refusal:
        said = explained(chain, refusal.message)
        if said == refusal.message:
            raise
        error = explain(refusal.message)
        details = {**refusal.details, **({"contract_error": asdict(error)} if error else {})}
        raise Refused(said, code=refusal.code, details=details) from refusal


def _missing(
    chain: Chain, refusal: str, who: str = "account", what: str = "asset"
) -> Missing | None:
    """Return what a refusal says is missing, where it is one of that kind: by the names of its arguments."""
    found = _SHORT_OF_MONEY.search(refusal)
    arguments = dict(part.split("=", 1) for part in found["arguments"].split(", ")) if found else {}
    if not {who, "balance", "needed"} <= arguments.keys():
        return None
    account = arguments[who].lower()
    asset = int(arguments.get(what, "0")) or None
    per_cent = chain.settlement.units_per_cent() if asset is None else 1
    with chain.db.read() as session:
        name = participants(session).get(account, account)
    return Missing(
        account,
        name,
        int(arguments["balance"]) // per_cent,
        -(-int(arguments["needed"]) // per_cent),
        currency_symbol(chain),
        asset,
    )


def as_json(missing: Missing) -> Mapping[str, Any]:
    """Return what is missing as ``--json`` prints it."""
    return {
        "account": missing.account,
        "participant": missing.participant,
        "credits": None if missing.asset is None else str(missing.asset),
        "balance": missing.text(missing.balance),
        "owed": missing.text(missing.owed),
        "missing": missing.text(missing.missing),
        "command": missing.command,
    }
