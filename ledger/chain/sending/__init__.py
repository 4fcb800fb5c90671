"""Transactions onto a chain, once.

``intents`` are stored before they are sent; ``sender`` is the only door, ``rehearsal`` what it looks at before it
signs, ``first`` what it stores with that, ``broadcasting`` how it sends; ``signing`` and ``lanes`` are its tools.
``stuck`` helps what does not arrive; ``adoption`` (by the ``marks`` that acts leave), ``unknown`` and ``auditing`` ask
what the chain did without us; ``issued`` says which batch is which issuance.
``transactions`` is the only writer of what became of it all, by what the mirror has found ``included`` in blocks;
``overview`` shows it.
"""
