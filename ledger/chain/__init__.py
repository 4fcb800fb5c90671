"""The only room that talks to a node and holds keys: reading a chain, and getting transactions onto it once.

- ``node``: the way to a node, and what it answers. ``local``: an Anvil of our own.
- ``contracts``: our contracts' calls, errors and events, as bytes and as values. ``addresses``: where they are.
  ``failures``: why a transaction failed, for programs and for people.
- ``keys``: who signs, and what may be signed. ``fees``: what a transaction may cost.
- ``sending``: intents that are stored before they are sent, and reach the chain once.
- ``access`` opens all of it together.

Which of them may import which is checked: see the layers in ``pyproject.toml``.
"""
