"""The mirror: it reads the chain and writes what the chain says, and nothing else writes that.

- **Round and round.** ``loop`` is the one loop, made of ``ticks``. ``follow`` runs it under a ``lease``, with waits of
  ``backoff``; ``status`` says how it is.
- **Reading.** ``ranges`` decides how much is read at once; ``reading`` reads a range, here or in a process of its own
  (``ahead``, with ``packing`` between them and some ``patience``). ``watch`` says what is ours, ``asking`` asks the
  node for it, and ``inputs`` for what no receipt says.
- **Believing nothing unchecked.** ``window`` checks a range, with ``proven`` receipts and the ``creditlog``; it may
  ``doubt``, and ``checks`` keeps what could not be checked.
- **Writing.** ``handlers`` turn one event each into ``rows``, by ``lookups`` of what was there; ``derived`` are the
  numbers that follow; ``writing`` writes a range, sparing of ``memory``, and ``cursor`` moves only with it. ``reorg``
  takes blocks back; ``finality`` confirms.
- **Held to the chain.** ``verify`` and ``reindex`` hold it to a fresh mirror, made by ``shadow`` at its ``place`` and
  compared by ``compare``, of the tables of ``tables``; ``bodies`` and ``sums`` look further. A ``report`` comes of it.

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
