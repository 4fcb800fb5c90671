"""One small module for each contract, and the registry that they fill."""

from indexer.handlers import credit, escrow, oversight, records, settlement
from indexer.handlers.registry import HANDLERS, apply, handles, missing, require_complete

__all__ = [
    "HANDLERS",
    "apply",
    "credit",
    "escrow",
    "handles",
    "missing",
    "oversight",
    "records",
    "require_complete",
    "settlement",
]
