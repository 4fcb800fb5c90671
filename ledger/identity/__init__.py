"""Who may do what: users, their sessions and API keys, rights, and the limits on guessing passwords.

``rights`` is the one table of who may do what. ``users`` (with their ``contacts``, sealed), ``permissions``,
``sessions``, ``keys``, ``attempts`` and ``idempotency`` each write the table that they are named after; all but the
last two also write what they change to the audit log, in the same unit of work. ``signing_in`` turns a password into a
session; ``passwords`` hashes and compares. API and command line only call these.
"""
