"""What the books keep of a settlement beside its batch: credits traded, signatures, who lacks what. Beyond the 41."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import BigInteger, ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from ledger.models.base import ALL, BEYOND, Base, big_key, created_at, options
from ledger.models.types import Address, BigInt, ExactDecimal

TRADE = "Row number of the trade; no foreign key, trades are partitioned."


class VppTradeCredit(Base):
    """That a trade is of credits: its quantity is in tonnes, its price for a tonne."""

    __tablename__ = "vpp_trade_credits"

    trade_id: Mapped[int] = big_key(TRADE)
    asset: Mapped[int] = mapped_column(
        BigInteger, comment="Number of the credit batch that the seller delivers."
    )

    __table_args__ = (
        options(
            "A trade of credits: quantity in t CO2e, price per t.",
            writer="ledger.settlement",
            origin=BEYOND,
        ),
    )


class VppSettlementSignature(Base):
    """A party's signature under a settlement batch."""

    __tablename__ = "vpp_settlement_signatures"

    batch_id: Mapped[int] = mapped_column(
        BigInt,
        ForeignKey("vpp_settlement_batches.id"),
        primary_key=True,
        autoincrement=False,
        comment="Row number of the batch.",
    )
    account: Mapped[str] = mapped_column(Address, primary_key=True, comment="Who signed.")
    signature: Mapped[str] = mapped_column(Text, comment="EIP-712 signature, hexadecimal text.")
    created_at: Mapped[datetime] = created_at("When it was taken in, UTC.")

    __table_args__ = (
        options("A party's signature under a batch.", writer="ledger.settlement", origin=BEYOND),
    )


class VppTradeShortfall(Base):
    """That a trade was left out because its debtor lacks funds; it goes when the trade is planned."""

    __tablename__ = "vpp_trade_shortfalls"

    trade_id: Mapped[int] = big_key(TRADE)
    account: Mapped[str] = mapped_column(Address, comment="Account of the debtor.")
    asset: Mapped[int | None] = mapped_column(
        BigInteger, comment="Number of the credit batch that is lacking; null: money."
    )
    held: Mapped[Decimal] = mapped_column(
        ExactDecimal(20, 0), comment="What the debtor had in escrow for it, cents or kg."
    )
    owed: Mapped[Decimal] = mapped_column(
        ExactDecimal(20, 0), comment="What it owed with all trades of the batch, cents or kg."
    )
    since: Mapped[datetime] = mapped_column(comment="When it was first left out, UTC.")
    failed_at: Mapped[datetime | None] = mapped_column(
        comment="When the trade failed for it, UTC; null: it is still tried."
    )
    reason: Mapped[str] = mapped_column(Text, comment="The same for people.")

    __table_args__ = (
        Index("idx_vpp_trade_shortfalls_failed_at", "failed_at"),
        options(
            "A trade whose debtor lacks funds.",
            writer="ledger.settlement",
            origin=BEYOND,
            changes=ALL,
        ),
    )
