"""How a transaction gets onto a chain, and only once. ``docs/sending.md`` has the picture.

- **The way out.** ``intents`` stores what is to be sent. ``sender`` is the only door to the chain: it checks an intent
  by ``rehearsal``, signs and stores it by ``first``, and sends it by ``broadcasting``. ``desk`` is what all of these
  work with (books, node, keys); ``lanes`` gives out nonces. ``twins`` finds an intent that asks for the same again.
- **When something goes wrong.** ``stuck`` replaces what does not arrive. After a restore or a deep fork the chain has
  done things that the books do not know: ``adoption`` finds what was done for an intent, by the ``marks`` that it left
  on chain, ``unknown`` refuses to sign before that is known, and ``rechecking`` looks at final ones again. ``issued``
  says which batch on chain is which issuance. ``displaced`` shows what waits in the node's pool without an intent, and
  lets a person put an empty transaction in its place.
- **The outcome.** ``transactions`` alone writes what became of each, by what the mirror found ``included`` in blocks;
  ``overview`` shows it to people.
"""
