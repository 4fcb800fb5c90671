"""Credits: runs of serials of one batch that share one status.

``quick`` answers what is asked most, and ``batches`` is the part about a batch; ``asof`` answers for an earlier block,
from what ``then`` finds in the journals. ``history`` is a batch's life, its first part from ``beginnings``, and
``readings`` are those behind it.
"""
