"""The periodic jobs: what they do, when each is due, who does it, and what came of it.

Each job is a function of database and chain, safe to run again at any time. When it is due stands in the
database (``rows``), so that any process finds it there; who may run it is said by a lease; APScheduler, which
this room alone knows, waits and calls (``scheduler``).

``catalogue`` names the jobs, and ``schedules`` says when each is due; ``work`` is what they do, with ``issuing``,
``released`` (acts that lost their nonce), ``expiring``, ``backing_up``, ``growing`` and ``retention``. ``running`` is
one run, ``asking`` for one now, and ``overview`` shows them.
"""
