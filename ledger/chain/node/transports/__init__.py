"""JSON-RPC over HTTP, WebSocket and IPC.

``opening`` chooses among ``http``, ``ws`` and ``ipc`` by the address; ``base`` is what they have in common, ``whole``
bounds an answer over HTTP in time, ``turns`` has one thread at a time use the connection of a WebSocket, ``gateways``
reads a status of HTTP, and ``errors`` is what can go wrong.
"""
