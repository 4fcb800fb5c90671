"""The mirror: it reads the chain and writes what the chain says, and nothing else writes that.

``loop`` is the one loop; ``ranges`` decides how much is read at once; ``window`` reads blocks and believes
nothing unchecked; ``handlers`` turn one event each into ``rows``; ``derived`` are the numbers that follow;
``reorg`` takes blocks back; ``finality`` confirms; ``cursor`` moves only with the rows that belong to it.
``follow`` runs the loop under a ``lease``, with waits of ``backoff``; ``status`` says how it is; ``verify`` and
``reindex`` hold it to a fresh mirror, made by ``shadow`` and compared by ``compare``, of the tables of ``tables``.
``docs/mirror.md`` tells the algorithm.
"""

from indexer.loop import Indexer
from indexer.ticks import TickReport

__all__ = ["Indexer", "TickReport"]
