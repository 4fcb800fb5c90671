"""The mirror: it reads the chain and writes what the chain says, and nothing else writes that.

``loop`` is the one loop; ``window`` reads a range of blocks and believes nothing unchecked; ``handlers``
turn one event each into rows; ``rows`` writes a range; ``reorg`` takes blocks back; ``finality`` confirms;
``cursor`` moves only with the rows that belong to it. ``docs/mirror.md`` tells the algorithm.
"""

from indexer.loop import Indexer, TickReport

__all__ = ["Indexer", "TickReport"]
