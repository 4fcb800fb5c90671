"""The events of ``VppSettlement`` that change a row, as frozen structs.

Names are those of the contract in snake case; hashes and addresses are lower-case text; amounts of
credits are kilograms of CO2e, cents are cents of the currency, ``*_start``/``*_end`` and times are seconds since
1970 (UTC).
"""

from __future__ import annotations

import msgspec


class Deposited(msgspec.Struct, frozen=True, gc=False):
    """Money came into the escrow; amounts in units of the currency token."""

    account: str
    payer: str
    amount: int
    balance: int


class Withdrawn(msgspec.Struct, frozen=True, gc=False):
    """Money left the escrow; amounts in units of the currency token."""

    account: str
    to: str
    amount: int
    balance: int


class CreditsDeposited(msgspec.Struct, frozen=True, gc=False):
    """Credits came into the escrow; the asset is their batch, amounts are kg."""

    account: str
    payer: str
    asset: int
    amount: int
    balance: int


class CreditsWithdrawn(msgspec.Struct, frozen=True, gc=False):
    """Credits left the escrow; the asset is their batch, amounts are kg."""

    account: str
    to: str
    asset: int
    amount: int
    balance: int


class BatchProposed(msgspec.Struct, frozen=True, gc=False):
    """Trades were netted and their debtors debited; words as the contract packs them.

    ``nets`` are cents after the fee, ``credit_nets`` kilograms of the asset, empty where it is energy.
    """

    key: str
    batch_id: int
    asset: int
    trades_root: str
    finalizable_at: int
    accounts: tuple[str, ...]
    nets: tuple[int, ...]
    credit_nets: tuple[int, ...]
    words: tuple[int, ...]


class BatchCosigned(msgspec.Struct, frozen=True, gc=False):
    """All parties have signed the batch; it is finalised in the same transaction."""

    key: str
    batch_id: int
    digest: str


class BatchFinalized(msgspec.Struct, frozen=True, gc=False):
    """The creditors of a batch were credited: its trades are settled; the fee is cents."""

    key: str
    batch_id: int
    trades_root: str
    fee: int
    fee_collector: str


class BatchCancelled(msgspec.Struct, frozen=True, gc=False):
    """A proposed batch was undone, and its debtors restored."""

    key: str
    batch_id: int
    account: str
    reason: str


class TradeSettled(msgspec.Struct, frozen=True, gc=False):
    """One trade was settled by itself, gross; cents from buyer to seller, of which the fee."""

    seq: int
    buyer: str
    seller: str
    asset: int
    quantity: int
    price: int
    cents: int
    fee: int
    fee_collector: str


class TradeDisputed(msgspec.Struct, frozen=True, gc=False):
    """A party disputes a trade of a batch, which waits; the bond is cents."""

    key: str
    batch_id: int
    account: str
    seq: int
    bond: int
    timeout_at: int


class DisputeResolved(msgspec.Struct, frozen=True, gc=False):
    """A dispute is over: the batch is cancelled (upheld), or proposed again with a new window."""

    key: str
    batch_id: int
    account: str
    upheld: bool
    bond_to: str
    bond: int
    finalizable_at: int


class CapsChanged(msgspec.Struct, frozen=True, gc=False):
    """The most that an operator settles in one call: cents, and kg of credits."""

    old_notional_cap: int
    new_notional_cap: int
    old_credit_cap: int
    new_credit_cap: int


class FeeChanged(msgspec.Struct, frozen=True, gc=False):
    """Another fee was announced; it holds from an epoch second on."""

    old_bps: int
    new_bps: int
    old_collector: str
    new_collector: str
    effective_at: int


EVENTS = (
    Deposited,
    Withdrawn,
    CreditsDeposited,
    CreditsWithdrawn,
    BatchProposed,
    BatchCosigned,
    BatchFinalized,
    BatchCancelled,
    TradeSettled,
    TradeDisputed,
    DisputeResolved,
    CapsChanged,
    FeeChanged,
)
"""Every event above."""
