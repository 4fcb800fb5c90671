"""Our contracts' calls, errors and events, as bytes and as values.

``wrappers`` has a class for each contract; ``events`` decodes logs into the structs of ``credit_events`` and
``settlement_events``, or into a ``plain_event``; ``structs`` are arguments and signed messages, and ``roles`` who may
what. ``layout``, ``abi_values`` and what is generated, ``decoders`` and ``abi``, turn bytes into values and back.
``currency`` asks the token of settlement, which is not ours, what it calls itself.
"""
