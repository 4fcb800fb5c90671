"""Transactions onto a chain, once. ``docs/sending.md`` has the picture.

- **The way out.** ``intents`` are stored before they are sent. ``sender`` is the only door to the chain:
  ``rehearsal`` is what it checks before it signs, ``first`` stores the first signed transaction, ``broadcasting``
  sends what is stored. ``signing`` and ``lanes`` (nonces) are its tools. ``twins`` of an intent are what asks for, or
  did, the same.
- **When something goes wrong.** ``stuck`` replaces what does not arrive. ``adoption``, ``unknown`` and ``rechecking``
  ask what the chain did without us, by the ``marks`` that acts leave there; ``issued`` says which batch on chain is
  which issuance. ``displaced`` shows what waits that the books do not know, and puts nothing in its place where a
  person says so.
- **The outcome.** ``transactions`` is the only writer of what became of each, by what the mirror found ``included``
  in blocks; ``overview`` shows it to people.
"""
