"""``./dev chaos``: everything that we send, under every fault that we know, and whether it happens exactly once.

A *scenario* is a value made of a seed (``plans``). It plays on a *stage* (``stage``: a node and a park that
many scenarios share) through a *process* of the product (``process``: its own sender, jobs and mirror, over a
line and books that can fail), under *faults* (``strikes``: one small class for each kind). Then the world is
healed, settles, and is compared with an independent model (``model``, ``judge``).
"""
