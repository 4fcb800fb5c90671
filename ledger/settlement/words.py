"""A trade as the 32-byte word that the settlement contract reads.

From the most significant bits down: ``seq`` u64, ``buyer`` u16, ``seller`` u16, ``quantity`` u48
(0.001), ``price`` i48 (0.0001), ``cents`` i64. Buyer and seller are positions in the batch's sorted
list of accounts. ``seq`` is the id of the row in ``vpp_trading_records``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ledger.units import trade_cents_half_away

QUANTITY_MAX = 2**48 - 1
PRICE_MAX = 2**47 - 1
CENTS_MAX = 2**63 - 1


@dataclass(frozen=True)
class Trade:
    """One trade between two accounts: quantity in 0.001, signed price in 0.0001 of the currency."""

    seq: int
    buyer: str
    seller: str
    quantity_milli: int
    price_e4: int

    @property
    def cents(self) -> int:
        """What the buyer owes the seller, in cents; negative when the price is."""
        return trade_cents_half_away(self.quantity_milli, self.price_e4)


@dataclass(frozen=True)
class PackedBatch:
    """Trades as the contract takes them: sorted accounts, words in order of seq, nets in cents."""

    accounts: tuple[str, ...]
    words: tuple[int, ...]
    nets: tuple[int, ...]


def pack(trades: Iterable[Trade]) -> PackedBatch:
    """Pack trades for the contract.

    Raises
    ------
    ValueError
        If a trade does not fit its fields, or names one account twice.
    """
    ordered = sorted(trades, key=lambda trade: trade.seq)
    accounts = tuple(sorted({side for trade in ordered for side in (trade.buyer, trade.seller)}))
    position = {account: index for index, account in enumerate(accounts)}
    nets = [0] * len(accounts)
    words = []
    for trade in ordered:
        buyer, seller = position[trade.buyer], position[trade.seller]
        words.append(word(trade, buyer, seller))
        nets[buyer] -= trade.cents
        nets[seller] += trade.cents
    return PackedBatch(accounts, tuple(words), tuple(nets))


def word(trade: Trade, buyer: int, seller: int) -> int:
    """Return the word of a trade.

    Raises
    ------
    ValueError
        If a value does not fit its field, or buyer and seller are one.
    """
    if buyer == seller:
        raise ValueError(f"trade {trade.seq}: buyer and seller are the same account")
    if not 0 <= min(buyer, seller) <= max(buyer, seller) < 2**16:
        raise ValueError(f"trade {trade.seq}: a batch has at most 65,536 accounts")
    check(trade)
    return (
        trade.seq << 192
        | buyer << 176
        | seller << 160
        | trade.quantity_milli << 112
        | (trade.price_e4 % 2**48) << 64
        | trade.cents % 2**64
    )


def check(trade: Trade) -> None:
    """Refuse a trade whose figures do not fit their fields.

    Raises
    ------
    ValueError
        If one does not.
    """
    if not 0 < trade.seq < 2**64:
        raise ValueError(f"trade {trade.seq}: its number does not fit 64 bits")
    if not 0 <= trade.quantity_milli <= QUANTITY_MAX:
        raise ValueError(f"trade {trade.seq}: the quantity does not fit 48 bits")
    if abs(trade.price_e4) > PRICE_MAX or abs(trade.cents) > CENTS_MAX:
        raise ValueError(f"trade {trade.seq}: price or total do not fit their fields")


@dataclass(frozen=True)
class UnpackedTrade:
    """The fields of a word; ``buyer`` and ``seller`` are positions in the batch's accounts."""

    seq: int
    buyer: int
    seller: int
    quantity_milli: int
    price_e4: int
    cents: int


def seq_of(value: int) -> int:
    """Return the number of the trade of a word."""
    return value >> 192


def unpack(value: int) -> UnpackedTrade:
    """Return the fields of a word."""
    price, cents = value >> 64 & (2**48 - 1), value & (2**64 - 1)
    return UnpackedTrade(
        seq=seq_of(value),
        buyer=value >> 176 & 0xFFFF,
        seller=value >> 160 & 0xFFFF,
        quantity_milli=value >> 112 & (2**48 - 1),
        price_e4=price - 2**48 if price >= 2**47 else price,
        cents=cents - 2**64 if cents >= 2**63 else cents,
    )


def trade_of(accounts: Sequence[str], value: int) -> Trade:
    """Return the trade of a word, by the accounts of its batch."""
    found = unpack(value)
    buyer, seller = accounts[found.buyer], accounts[found.seller]
    return Trade(found.seq, buyer, seller, found.quantity_milli, found.price_e4)


def nets_of(words: Sequence[int], accounts: int) -> tuple[int, ...]:
    """Return what trades come to for each of so many accounts, in cents, before any fee."""
    nets = [0] * accounts
    for value in words:
        trade = unpack(value)
        nets[trade.buyer] -= trade.cents
        nets[trade.seller] += trade.cents
    return tuple(nets)


def kg_nets_of(words: Sequence[int], accounts: int) -> tuple[int, ...]:
    """Return what trades of credits come to for each of so many accounts, in kg."""
    nets = [0] * accounts
    for value in words:
        trade = unpack(value)
        nets[trade.buyer] += trade.quantity_milli
        nets[trade.seller] -= trade.quantity_milli
    return tuple(nets)


def hex_words(words: Sequence[int]) -> list[str]:
    """Return words as hexadecimal text of 32 bytes each."""
    return [f"0x{value:064x}" for value in words]
