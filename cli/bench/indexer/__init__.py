"""How fast the mirror is, beside what anybody would use instead.

``story`` invents what happens on the chain (``acts``, ``credits`` and ``trades`` are its parts, ``patterns`` encodes
them), ``chain`` makes it happen on an Anvil and keeps it, and ``tables`` says which rows it makes. ``measure`` has the
rounds: ``ours``, ``events_only`` (which reads by ``events_reading``), the ``peers`` on their ``postgres``, and the
limit, ``raw``; ``watch`` says what each used. ``head`` measures how soon a block shows, ``growth`` whether a long
chain (``endless``, served by ``endless_node``) slows the mirror down.
"""
