"""The mirror: it reads the chain and writes what the chain says, and nothing else writes that.

``loop`` is the one loop; ``ranges`` decides how much is read at once; ``reading`` reads a range, here or in a process
of its own (``ahead``, with ``packing`` between them); ``window`` believes nothing unchecked; ``handlers`` turn one
event each into ``rows``; ``derived`` are the numbers that follow; ``reorg`` takes blocks back; ``finality`` confirms;
``cursor`` moves only with the rows that belong to it. ``follow`` runs the loop under a ``lease``, with waits of
``backoff``; ``status`` says how it is; ``verify`` and ``reindex`` hold it to a fresh mirror, made by ``shadow`` and
compared by ``compare``, of the tables of ``tables``.
``docs/mirror.md`` tells the algorithm.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from indexer.loop import Indexer
    from indexer.ticks import TickReport

__all__ = ["Indexer", "TickReport"]


def __getattr__(name: str) -> Any:
    """Import what is asked for, and not before: the process that reads ahead has no use for the loop."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("indexer.loop"), name)
