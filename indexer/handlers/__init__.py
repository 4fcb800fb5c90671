"""One small module for each contract, and the registry that they fill."""

from indexer.handlers import credit, escrow, oversight, records, settlement
from indexer.handlers.registry import (
    HANDLERS,
    HANDLERS_OF_MANY,
    apply,
    handles,
    handles_many,
    missing,
    require_complete,
)

__all__ = [
    "HANDLERS",
    "HANDLERS_OF_MANY",
    "apply",
    "credit",
    "escrow",
    "handles",
    "handles_many",
    "missing",
    "oversight",
    "records",
    "require_complete",
    "settlement",
]
