"""Who may do what: users, their sessions and API keys, rights, and what is kept against guessing.

``rights`` is the one table of who may do what. ``users``, ``permissions``, ``sessions``, ``keys``,
``attempts`` and ``idempotency`` each write one table, and all but the last two write what they change to the
audit log in the same unit of work. API and command line are thin over them.
"""
