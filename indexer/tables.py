"""Every table that follows from the chain: what names a row, and which columns the chain knows nothing of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import Column, PrimaryKeyConstraint, Table, UniqueConstraint

from ledger.models import (
    Base,
    BlockchainTransaction,
    CarbonCredit,
    ChainAttempt,
    ChainBlock,
    ChainCursor,
    ChainEvent,
    ChainInclusion,
    ChainIntent,
    ContractSighting,
    CreditBatch,
    CreditCancellation,
    CreditClass,
    CreditHolding,
    CreditInvalidation,
    CreditOverlap,
    CreditProject,
    CreditRetirement,
    CreditSerial,
    CreditSite,
    CreditTransfer,
    Issuance,
    SettlementBalance,
    SettlementBatch,
    SettlementDispute,
    SettlementMovement,
    SettlementTerm,
    SettlementTrade,
    SmartContract,
)

EXEMPT: Mapping[str, str] = {
    "blockchain_transactions.id": "a number that the database gives",
    "carbon_credits.id": "a number that the database gives",
    "smart_contracts.id": "a number that the database gives",
    "smart_contracts.status": "what a verification of the source found",
    "chain_cursor.updated_at": "the time of day",
}
"""Columns that are not compared, and why."""
READABLE = ("smart_contracts.status",)
"""Of these, one that must hold a value of its column all the same: nothing that reads the row could go on without."""


@dataclass(frozen=True)
class Mirrored:
    """One table that follows from the chain."""

    table: Table
    key: tuple[str, ...]
    """Columns that name a row on every database."""
    where: str = ""
    """SQL: the rows that are meant; others are of other networks, or of contracts of before."""

    @property
    def name(self) -> str:
        """The table's name."""
        return self.table.name

    @property
    def columns(self) -> list[Column[Any]]:
        """The columns that are compared, the key first."""
        rest = [
            column
            for column in self.table.columns
            if column.name not in self.key and self._is_compared(column)
        ]
        return [*(self.table.c[name] for name in self.key), *rest]

    def _is_compared(self, column: Column[Any]) -> bool:
        name = f"{self.name}.{column.name}"
        return name not in EXEMPT or name in READABLE

    @cached_property
    def interchangeable(self) -> bool:
        """Whether two rows may have exchanged what is unique beside the key: then they cannot be changed one by one."""
        unique = [
            tuple(item.columns.keys())
            for item in self.table.constraints
            if isinstance(item, (PrimaryKeyConstraint, UniqueConstraint))
        ]
        kept = any(f"{self.name}.{column.name}" in EXEMPT for column in self.table.columns)
        return not kept and any(columns != self.key for columns in unique)

    @property
    def has_block(self) -> bool:
        """Whether a row carries the block that brought it."""
        return self.block_column is not None

    @property
    def block_column(self) -> str | None:
        """The column of the block that brought a row; None where rows are of no one block."""
        if self.name == "chain_blocks":
            return "number"
        if self.name == "chain_cursor":
            return None
        return "block_number" if "block_number" in self.table.c else None


def _table(model: type[Base], *key: str, where: str = "") -> Mirrored:
    table = Base.metadata.tables[model.__tablename__]
    return Mirrored(table, key or tuple(column.name for column in table.primary_key), where)


MIRRORED: Sequence[Mirrored] = (
    _table(ChainCursor),
    _table(ChainBlock),
    _table(BlockchainTransaction, "tx_hash"),
    _table(ChainInclusion, "tx_hash"),
    _table(ChainEvent),
    _table(SmartContract, "contract_name", where="status <> 'deprecated'"),
    _table(ContractSighting),
    _table(CreditClass),
    _table(CreditProject),
    _table(CreditSite),
    _table(CreditBatch),
    _table(CreditTransfer),
    _table(CreditRetirement),
    _table(CreditCancellation),
    _table(CreditInvalidation),
    _table(CreditOverlap),
    _table(CarbonCredit, "credit_id"),
    _table(CreditSerial),
    _table(CreditHolding),
    _table(SettlementMovement),
    _table(SettlementBalance),
    _table(SettlementBatch),
    _table(SettlementDispute),
    _table(SettlementTrade),
    _table(SettlementTerm),
)
"""In an order in which rows may be inserted."""

OWN: Sequence[Table] = tuple(
    Base.metadata.tables[model.__tablename__] for model in (ChainIntent, ChainAttempt, Issuance)
)
"""Tables of our own that the mirror asks: what we sent, and the legal year of our issuances."""
