"""Transactions onto a chain, once.

``intents`` are stored before they are sent; ``sender`` is the only door, ``rehearsal`` what it looks at before it
signs, ``signing`` and ``lanes`` its tools.
``stuck`` helps what does not arrive; ``adoption``, ``unknown`` and ``auditing`` ask what the chain did without us.
``transactions`` is the only writer of what became of it all, by what the mirror has found ``included`` in blocks;
``overview`` shows it.
"""
