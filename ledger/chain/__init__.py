"""The only room that talks to a node and holds keys: reading a chain, and getting transactions onto it once.

- **The way to a node.** ``client`` asks it, over one of the transports (``transport``, ``transports``,
  ``transport_http``, ``transport_ws``, ``transport_ipc``, ``transport_errors``); ``wire`` and ``records`` are
  what it answers; ``heads`` are the blocks that it announces. ``local_node``, ``local_state`` and
  ``shared_node`` are an Anvil of our own.
- **The contracts.** ``book`` is the address book; ``deployment`` and ``sightings`` (with ``sighted``) keep
  which contracts there are; ``contracts`` wraps each of ours; ``structs``, ``layout``, ``abi_values`` and the
  generated ``decoders`` and ``abi`` turn values into bytes and back.
- **What happened.** ``events`` decodes logs into the structs of ``credit_events`` and ``settlement_events``, or
  into a ``plain_event``; ``included`` is a transaction in a block. ``failures``, ``reverts`` and
  ``explanations`` say why one failed.
- **Keys.** ``signers`` and ``remote_signer`` hold them, behind ``policy``, and ``keystore`` makes and lists
  their files; ``typed_data`` and ``signed`` read back what was signed.
- **Sending.** ``intents`` are stored before they are sent; ``sender`` is the only door, ``rehearsal`` what it
  looks at before it signs, ``signing``, ``fees`` and ``lanes`` its tools; ``stuck`` helps what does not arrive,
  ``adoption``, ``unknown`` and ``auditing`` ask what the chain did without us. ``transactions`` is the only
  writer of what became of it all, ``overview`` shows it, ``access`` opens everything together.
"""
