"""Where our contracts are.

``book`` is the address book, and ``deployment`` keeps it as rows. ``sighted`` finds contracts that were given a role
of ours, and ``sightings`` keeps those. ``kept`` compares a deployment with what the books are kept of, and ``holders``
its accounts with who has the roles.
"""
