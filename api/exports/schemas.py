"""Parameters of files: the filters of the lists, and the form of the file."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from api.credits.schemas import CreditFilters
from api.emissions.schemas import EmissionFilters
from api.energy.schemas import EnergyFilters
from api.exports.formats import Format
from api.pagination import Order
from api.retirements.schemas import RetirementFilters
from api.trades.schemas import TradeFilters
from api.transactions.schemas import TransactionFilters


class FileParameters(BaseModel):
    """What every file takes, besides the filters of its list."""

    model_config = ConfigDict(extra="forbid")

    format: Format = Field(Format.CSV, description="csv, jsonl or parquet.")
    order: Order = Field(Order.ASC, description="asc: oldest first; desc: newest first.")


class CreditFile(FileParameters, CreditFilters):
    """Credits as a file."""


class RetirementFile(FileParameters, RetirementFilters):
    """Retirements as a file."""


class TransactionFile(FileParameters, TransactionFilters):
    """Transactions as a file."""


class TradeFile(FileParameters, TradeFilters):
    """Trades as a file."""


class EmissionFile(FileParameters, EmissionFilters):
    """An inventory as a file."""


class EnergyFile(FileParameters, EnergyFilters):
    """Energy as a file."""
