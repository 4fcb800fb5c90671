"""Parameters of files: the filters of the lists, and the form of the file."""

from __future__ import annotations

from typing import Any, cast

from pydantic import BaseModel, ConfigDict, Field, create_model

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


FILES: dict[str, type[FileParameters]] = {
    name: create_model(f"{name.capitalize()}File", __base__=cast(Any, (FileParameters, filters)))
    for name, filters in (
        ("credits", CreditFilters),
        ("retirements", RetirementFilters),
        ("transactions", TransactionFilters),
        ("trades", TradeFilters),
        ("emissions", EmissionFilters),
        ("energy", EnergyFilters),
    )
}
"""Parameters of the file of each list."""
