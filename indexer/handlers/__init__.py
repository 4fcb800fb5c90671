"""What the events of the contracts change, one function for each, and the ``registry`` that these fill.

Of the credit contract: ``credit`` has its ledger, ``oversight`` what stops a batch. Of the settlement:
``settlement`` has its batches and disputes, ``escrow`` what moves outside of them. ``records`` are events that change
no other row.
"""

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
