"""JSON-RPC over HTTP, WebSocket and IPC.

``opening`` chooses among ``http``, ``ws`` and ``ipc`` by the address; ``base`` is what they have in common, and
``errors`` what can go wrong.
"""
