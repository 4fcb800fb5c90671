"""Section 6 of the customer's design: transactions, contracts and credits."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from ledger.models.base import ALL, CUSTOMER, Base, created_at, int_id, options
from ledger.models.types import (
    Address,
    ExactDecimal,
    Hash,
    MediumText,
    Varchar,
    choice,
    json_object,
)
from ledger.serials import CreditStatus


class TransactionStatus(StrEnum):
    """How far a transaction has come. Only the mirror says ``confirmed`` or ``failed``."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    FAILED = "failed"


class ContractStatus(StrEnum):
    """Whether a contract is in use, and whether its source was proven."""

    DEPLOYED = "deployed"
    VERIFIED = "verified"
    DEPRECATED = "deprecated"


class BlockchainTransaction(Base):
    """A transaction to one of our contracts, sent by us or by anybody."""

    __tablename__ = "blockchain_transactions"

    id: Mapped[int] = int_id()
    tx_hash: Mapped[str] = mapped_column(Hash, unique=True, comment="Hash of the transaction.")
    contract_address: Mapped[str | None] = mapped_column(
        Address, comment="Contract that was called."
    )
    function_name: Mapped[str | None] = mapped_column(
        Varchar(100), comment="Function that was called."
    )
    parameters: Mapped[dict[str, Any] | None] = mapped_column(
        json_object(), comment="Decoded arguments; integers as text."
    )
    status: Mapped[TransactionStatus] = mapped_column(
        choice(TransactionStatus, "status"), comment="How far it has come."
    )
    gas_used: Mapped[int | None] = mapped_column(BigInteger, comment="Gas that it used.")
    gas_price: Mapped[Decimal | None] = mapped_column(
        ExactDecimal(20, 0), comment="Price that was paid for a unit of gas, in wei."
    )
    created_at: Mapped[datetime] = created_at("When the row was made, UTC.")
    confirmed_at: Mapped[datetime | None] = mapped_column(comment="Time of its final block, UTC.")

    __table_args__ = (
        Index("idx_blockchain_transactions_status", "status"),
        Index("idx_blockchain_transactions_contract_address", "contract_address"),
        options(
            "A transaction to one of our contracts.",
            writer="ledger.chain.sending.transactions",
            origin=CUSTOMER,
            changes=ALL,
        ),
    )


class SmartContract(Base):
    """A contract of ours on a network."""

    __tablename__ = "smart_contracts"

    id: Mapped[int] = int_id()
    contract_name: Mapped[str] = mapped_column(
        Varchar(200), unique=True, comment="Name, unique over all networks and versions."
    )
    contract_address: Mapped[str] = mapped_column(
        Address, comment="Address; one network has an address once, two networks may share it."
    )
    abi: Mapped[str] = mapped_column(MediumText, comment="Interface as JSON.")
    bytecode: Mapped[str | None] = mapped_column(
        MediumText, comment="Code that deploys it, 0x hex."
    )
    network: Mapped[str] = mapped_column(Varchar(50), comment="Name of the network.")
    status: Mapped[ContractStatus] = mapped_column(
        choice(ContractStatus, "status"), comment="Whether it is in use."
    )
    deployed_at: Mapped[datetime] = mapped_column(
        comment="Time of the block that deployed it, UTC."
    )

    __table_args__ = (
        UniqueConstraint("network", "contract_address"),
        Index("idx_smart_contracts_network", "network"),
        options(
            "A contract of ours on a network.",
            writer="ledger.chain.addresses.deployment",
            origin=CUSTOMER,
            changes=ALL,
        ),
    )


class CarbonCredit(Base):
    """A run of serials of one batch that share one status.

    The rows of a batch partition its serials: their amounts always sum to what was issued.
    """

    __tablename__ = "carbon_credits"

    id: Mapped[int] = int_id()
    credit_id: Mapped[str] = mapped_column(
        Varchar(100), unique=True, comment="Serial: site, vintage, batch, first and last kilogram."
    )
    amount: Mapped[Decimal] = mapped_column(
        ExactDecimal(12, 3), comment="Amount, in the row's unit."
    )
    unit: Mapped[str] = mapped_column(Varchar(10), comment="tCO2e, tonnes of CO2 equivalent.")
    issuer: Mapped[str] = mapped_column(
        Varchar(200), comment="Who issued it: the issuer's address."
    )
    status: Mapped[CreditStatus] = mapped_column(
        choice(CreditStatus, "status"), comment="What became of it."
    )
    blockchain_tx: Mapped[str | None] = mapped_column(
        Hash, ForeignKey("blockchain_transactions.tx_hash"), comment="Transaction that issued it."
    )
    issued_at: Mapped[datetime] = mapped_column(comment="Time of the block that issued it, UTC.")
    expires_at: Mapped[datetime | None] = mapped_column(comment="When it ends, UTC; null: never.")

    __table_args__ = (
        # SQLite makes none for a foreign key: a transaction that a fork takes back would look through all credits.
        Index("idx_carbon_credits_blockchain_tx", "blockchain_tx"),
        options(
            "A run of serials of a batch with one status.",
            writer="indexer",
            origin=CUSTOMER,
            changes=ALL,
            note="By way of `credit_serials` to its batch, and to its retirement. What of a batch that is suspended or "
            "expired is `active` does not move: `credit_batches.status`.",
        ),
    )
