"""The mirror: it reads the chain and writes what the chain says, and nothing else writes that.

- **The loop.** ``loop`` is the one loop: start there, at ``Indexer.tick``. ``ticks`` say what a step of it did.
  ``follow`` runs it for as long as this process holds the ``lease``, and waits as ``backoff`` says when something is
  down; ``status`` reports on it.
- **Reading.** ``ranges`` decides how many blocks are read at once. ``reading`` reads them, here or in a process of
  its own (``ahead``, which sends them by ``packing``; ``patience`` says how long to wait for it). ``watch`` says
  which addresses are ours, ``asking`` asks the node about them, ``inputs`` asks for what no receipt says.
- **Checking.** ``window`` checks a range: its receipts are ``proven`` by the hashes of blocks, its log by the
  ``creditlog``. A range that does not fit raises a ``doubt``; one that does goes on as ``events``, by column.
  ``checks`` records what could not be checked.
- **Writing.** ``writing`` stores a range, and the ``cursor`` moves in the same commit. ``lookups`` fetch what is needed
  of older rows, one of the ``handlers`` turns each event into ``rows``, and ``derived`` computes what follows from
  these. ``memory`` keeps what a range frees for the next one.
- **Going back, and being sure.** ``reorg`` takes back blocks that the chain took back, if the ``guards`` allow it;
  ``finality`` confirms what is in final blocks; ``altered`` is what is said where rows are not what a mirror wrote.
- **Comparing with the chain.** ``verify`` and ``reindex`` make a fresh mirror (``shadow``, up to the same ``place``)
  and ``compare`` it with a copy of the books (``copying``), for all ``tables``. ``bodies`` and ``sums`` check
  transactions and totals, and the outcome is a ``report``. ``verified`` does so every night for what is new, and keeps
  how far all is true.

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
