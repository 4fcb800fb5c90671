"""Which rows a chain makes: what everybody who mirrors it must have in the end.

Named as the mirror's own tables. Where an event brings one row, the truth is the number of such events.
"""

from __future__ import annotations

from cli.bench.indexer.chain import Truth


def rows_of(truth: Truth) -> dict[str, int]:
    """Return how many rows each table has that peers and mirror both write."""
    names = truth.by_name

    def count(*wanted: str) -> int:
        return sum(names.get(name, 0) for name in wanted)

    return {
        "chain_blocks": truth.head - truth.first_block + 1,
        "chain_events": truth.events,
        "credit_transfers": count("TransferSingle", "TransferBatch.moved"),
        "credit_batches": count("Issued"),
        "credit_retirements": count("Retired"),
        "credit_cancellations": count("Cancelled"),
        "settlement_batches": count("BatchProposed"),
        "settlement_trades": count("TradeSettled"),
    }


PEER_TABLES = {
    "chain_blocks": "chain_block",
    "chain_events": "chain_event",
    "credit_transfers": "credit_transfer",
    "credit_batches": "credit_batch",
    "credit_retirements": "credit_retirement",
    "credit_cancellations": "credit_cancellation",
    "settlement_batches": "settlement_batch",
    "settlement_trades": "settlement_trade",
    "settlement_movements": "settlement_movement",
}
"""What the peers call them."""


def peer_rows_of(truth: Truth) -> dict[str, int]:
    """Return how many rows each table of a peer has, by the peer's names."""
    movements = ("Deposited", "Withdrawn", "CreditsDeposited", "CreditsWithdrawn")
    rows = rows_of(truth) | {
        # The mirror writes the legs of batches and trades here as well.
        "settlement_movements": sum(truth.by_name.get(name, 0) for name in movements)
    }
    return {PEER_TABLES[name]: count for name, count in rows.items()}
