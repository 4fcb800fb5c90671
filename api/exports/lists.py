"""The lists that can be had as files, each with its columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from api.credits import queries as credits_
from api.credits.schemas import CreditParameters
from api.emissions import queries as emissions
from api.emissions.schemas import EmissionParameters
from api.energy import queries as energy
from api.energy.schemas import EnergyParameters
from api.exports.columns import Column, Kind, decimals, flags, integers, of, text, times
from api.pagination import PageParameters
from api.retirements import queries as retirements
from api.retirements.schemas import RetirementParameters
from api.trades import queries as trades
from api.trades.schemas import TradeParameters
from api.transactions import queries as transactions
from api.transactions.schemas import TransactionParameters


@dataclass(frozen=True)
class Export:
    """A list: its parameters, the query of a page, and the columns of its items."""

    name: str
    parameters: type[PageParameters]
    query: Callable[..., Any]
    columns: tuple[Column, ...]


EXPORTS = {
    export.name: export
    for export in (
        Export(
            "credits",
            CreditParameters,
            credits_.list_credits,
            (
                *integers("id"),
                *text("credit_id"),
                *decimals(12, 3, "amount"),
                *integers("amount_kg"),
                *text("unit", "status", "issuer", "site"),
                *integers("vintage", "batch_id"),
                *text("batch_status"),
                *integers("first_serial", "last_serial"),
                *text("key"),
                *integers("retirement_id"),
                *text("blockchain_tx", "status_tx"),
                *times("issued_at", "expires_at"),
                *flags("final"),
            ),
        ),
        Export(
            "retirements",
            RetirementParameters,
            retirements.list_retirements,
            (
                *integers("retirement_id"),
                *text("key", "holder"),
                *integers("batch_id", "first_serial", "last_serial", "amount_kg"),
                *text("credit_id"),
                *integers("replaced_batch_id"),
                *text("beneficiary", "reason", "country"),
                *times("consumption_start", "consumption_end"),
                *text("document_hash", "tx_hash"),
                *integers("block_number"),
                *times("retired_at"),
                *flags("final"),
            ),
        ),
        Export(
            "transactions",
            TransactionParameters,
            transactions.list_transactions,
            (
                *integers("id"),
                *text("tx_hash", "key", "contract_address", "contract_name", "function_name"),
                Column("parameters", Kind.JSON),
                *text("status", "error"),
                *of("explanation", *text("name", "english", "to_do", "chinese", "to_do_chinese")),
                Column("explanation_arguments", Kind.JSON, ("explanation", "arguments")),
                *text("sender"),
                *integers("block_number", "gas_used"),
                *decimals(20, 0, "gas_price"),
                *times("created_at", "confirmed_at"),
                *flags("final"),
            ),
        ),
        Export(
            "trades",
            TradeParameters,
            trades.list_trades,
            (
                *integers("id"),
                *text("vpp_code", "strategy", "trade_type"),
                *integers("credits"),
                *decimals(12, 3, "quantity"),
                *decimals(10, 4, "price"),
                *decimals(15, 2, "total_value"),
                *text("market", "status"),
                *times("trade_time", "settlement_time"),
                *text("left_out"),
                *of(
                    "settlement",
                    *text("batch_key", "state"),
                    *integers("chain_batch_id", "proposed_block", "finalized_block"),
                    *text("error"),
                ),
                *flags("final"),
            ),
        ),
        Export(
            "emissions",
            EmissionParameters,
            emissions.list_emissions,
            (
                *text("period", "device"),
                *integers("scope"),
                *text("method", "factor", "version", "value", "unit"),
                *decimals(38, 9, "consumption_kwh", "fuel_kg"),
                *decimals(38, 6, "emissions_t"),
                *text("site"),
            ),
        ),
        Export(
            "energy",
            EnergyParameters,
            energy.list_energy,
            (
                *text("period"),
                *times("start", "end"),
                *text("device", "role", "unit"),
                *decimals(38, 9, "positive", "negative"),
                *decimals(38, 3, "production_kwh", "consumption_kwh"),
                *of(
                    "readings",
                    *integers("expected", "used", "conflict", "missing", "outlier"),
                    *integers("superseded", "late"),
                ),
            ),
        ),
    )
}
"""By name, which is also the last part of the list's path."""
