"""Turns a trade of the books into one as the chain takes it, or says why it cannot be settled.

``trades import`` refuses wrong trades. But accounts can be changed afterwards, other programs write to the table, and
credits can stop to move. A trade that does not fit waits, and holds up no other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.errors import Refused
from ledger.models import VppDefinition, VppTradingRecord
from ledger.settlement import signatures, stuck
from ledger.settlement.elsewhere import ENERGY, Accounts
from ledger.settlement.netting import Limits, volume_of
from ledger.settlement.signatures import Held
from ledger.settlement.words import Trade, check
from ledger.units import currency_of_cents, tonnes_of_kg

_TAKE_OUT = "truetonne trades cancel ID"
_ADD_ACCOUNT = "add it to the site file and apply that"
_BY_SQL = "correct or delete its row with SQL"


@dataclass(frozen=True)
class Unfit:
    """Why a trade cannot be settled, and what to do, with ``ID`` for its number.

    ``passes`` says that nobody has to mend it: it goes on by itself.
    """

    why: str
    to_do: str
    passes: bool = False

    def to_do_for(self, number: int) -> str:
        """Return what to do about one trade."""
        return self.to_do.replace(_TAKE_OUT, f"truetonne trades cancel {number}")


UNREADABLE = Unfit(
    "its trade_type is neither buy nor sell, its trade_time is no time, or one of its figures no number: a program "
    "that is none of ours wrote it",
    _BY_SQL,
)
HELD_BACK = Unfit(
    "the chain has settled it under the number of another trade, which is on its way or stands in a batch",
    "it gets that number when the other one leaves it",
    passes=True,
)


@dataclass(frozen=True)
class Waiting:
    """Trades that wait for one reason, by number."""

    unfit: Unfit
    trades: tuple[int, ...]

    @property
    def message(self) -> str:
        """The reason, in words that name the first trade."""
        return _message(self.trades[0], self.unfit)


@dataclass(frozen=True)
class Terms:
    """What is looked at to judge trades: accounts, credits that do not move, and signatures that still hold.

    ``plants``: codes of plants by row number. ``unmoving``: status by batch of credits. ``signed``: by trade.
    """

    accounts: Accounts
    plants: Mapping[int, str]
    unmoving: Mapping[int, str]
    signed: Mapping[int, Sequence[Held]]

    @classmethod
    def load(cls, session: Session, assets: Iterable[int]) -> Terms:
        """Read them; ``assets`` are the credits that the trades are of."""
        plants = session.execute(select(VppDefinition.id, VppDefinition.vpp_id))
        return cls(
            Accounts.load(session),
            {number: code for number, code in plants},
            stuck.unmoving(session, set(assets)),
            signatures.held(session),
        )

    def without_account(self, record: VppTradingRecord) -> str | None:
        """Return which of the parties of a trade has no account; None: both have one."""
        if record.vpp_id not in self.accounts.plants:
            return self.plants[record.vpp_id]
        return None if record.market in self.accounts.markets else record.market


def fitting(record: VppTradingRecord, asset: int | None, terms: Terms) -> Trade:
    """Return a trade as the chain takes it.

    Raises
    ------
    Refused
        If it is unfit (see ``why_unfit``).
    """
    unfit = why_unfit(record, asset, terms)
    if unfit is not None:
        raise Refused(_message(record.id, unfit), code="trade-unfit")
    return terms.accounts.trade(record)


def why_unfit(record: VppTradingRecord, asset: int | None, terms: Terms) -> Unfit | None:
    """Return why a trade cannot be settled; None: it can.

    It cannot if there is no such plant; if plant or market has no account, or both have the same one; if its figures
    contradict each other; if its credits do not move; or if it was signed with other figures, in a batch that failed,
    and these signatures still hold.

    Parameters
    ----------
    asset
        The credits that it is of; None: energy.
    """
    if record.vpp_id not in terms.plants:  # on MariaDB, which has no foreign key there
        return Unfit(f"there is no plant in the row {record.vpp_id}", _BY_SQL)
    lacking = terms.without_account(record)
    if lacking is not None:
        return Unfit(f"{lacking} has no settlement account", _ADD_ACCOUNT)
    trade = terms.accounts.trade(record)
    why = _contradiction(record, trade)
    if why is not None:
        return Unfit(why, f"mend that, or take it out: {_TAKE_OUT}")
    if asset is not None and asset in terms.unmoving:
        return Unfit(
            f"credits of batch {asset} are {terms.unmoving[asset]} and do not move",
            f"it goes on when they move again; where they never will, take it out: {_TAKE_OUT}",
            passes=True,
        )
    return _signed_otherwise(record, asset, terms)


def above_caps(trade: Trade, asset: int | None, limits: Limits) -> Unfit | None:
    """Return why a trade is, by itself, above what the contract takes from an operator; None: it is not."""
    cents, kg = volume_of(trade, asset)
    if not limits.above_caps(cents, kg):
        return None
    if limits.cents is not None and cents > limits.cents:
        has, cap = f"value of {currency_of_cents(cents)}", f"{currency_of_cents(limits.cents)}"
    else:
        has, cap = f"quantity of {tonnes_of_kg(kg)} t", f"{tonnes_of_kg(limits.kg or 0)} t"
    return Unfit(
        f"its {has} is above the cap of {cap} that an operator settles in one call",
        "have its parties sign it (truetonne settle cosign write -o DIR), have the cap raised, or take it out: "
        f"{_TAKE_OUT}",
    )


def waiting_by_reason(found: Iterable[tuple[int, Unfit]]) -> tuple[Waiting, ...]:
    """Return unfit trades by the reason why they wait; the reasons in the order in which they were met."""
    by_reason: dict[Unfit, list[int]] = {}
    for number, unfit in found:
        by_reason.setdefault(unfit, []).append(number)
    return tuple(Waiting(unfit, tuple(numbers)) for unfit, numbers in by_reason.items())


def _message(number: int, unfit: Unfit) -> str:
    return f"trade {number} cannot be settled: {unfit.why}; {unfit.to_do_for(number)}"


def _contradiction(record: VppTradingRecord, trade: Trade) -> str | None:
    if trade.buyer == trade.seller:
        return f"its plant and its market have one account, {trade.buyer}"
    if trade.quantity_milli <= 0:
        return f"its quantity {record.quantity} is not above zero"
    try:
        check(trade)
    except ValueError as error:
        return str(error).partition(": ")[2]
    total = currency_of_cents(trade.cents)
    if record.total_value != total:
        return (
            f"its total_value {record.total_value} is not quantity x price = {total} "
            "(rounded half away from zero)"
        )
    return None


def _signed_otherwise(record: VppTradingRecord, asset: int | None, terms: Terms) -> Unfit | None:
    """Return that a trade was edited since it was signed; then either may be settled, and the other never again."""
    others = [
        item
        for item in terms.signed.get(record.id, ())
        if (asset or ENERGY) != item.asset or not terms.accounts.is_of(record, item.trade)
    ]
    if not others:
        return None
    return Unfit(
        f"it was signed with other figures: {signatures.last(others).said}",
        "give it back the figures that it had, or wait until then",
        passes=True,
    )
