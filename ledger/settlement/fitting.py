"""A trade of the books as the chain takes it, or why it cannot be settled: then it waits, and holds up no other.

Trades come by ``trades import``, which refuses what is wrong with them. Accounts can be changed afterwards, and other
programs write to the table.
"""

from __future__ import annotations

from ledger.errors import Refused
from ledger.models import VppTradingRecord
from ledger.settlement.elsewhere import Accounts
from ledger.settlement.words import Trade, check
from ledger.units import currency_of_cents


def fitting(record: VppTradingRecord, accounts: Accounts) -> Trade:
    """Return a trade as the chain takes it.

    Raises
    ------
    Refused
        If its plant or market has no account, both have one, or its figures contradict each other.
    """
    try:
        trade = accounts.trade(record)
    except KeyError as error:
        raise Refused(
            f"trade {record.id} has no settlement account for {error}; add it to the site file and apply that"
        ) from error
    why = why_unfit(record, trade)
    if why is not None:
        raise Refused(
            f"trade {record.id} cannot be settled: {why}; mend that, or take it out: "
            f"truetonne trades cancel {record.id}",
            code="trade-unfit",
        )
    return trade


def why_unfit(record: VppTradingRecord, trade: Trade) -> str | None:
    """Return why a trade that has its accounts cannot be settled; None: it can."""
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
