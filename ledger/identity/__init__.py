"""Who may do what: users, their sessions and API keys, rights, and what is kept against guessing.

``rights`` is the one table of who may do what. ``users`` (with their ``contacts``, sealed), ``permissions``,
``sessions``, ``keys``, ``attempts`` and ``idempotency`` write what they are named after, and all but the last two
write what they change to the audit log in the same unit of work. ``signing_in`` makes a session of a password, and
``passwords`` knows nothing but those. API and command line are thin over them.
"""
