"""The only room that talks to a node and holds keys: reading a chain, and getting transactions onto it once.

``client`` speaks JSON-RPC; ``book`` holds addresses; ``contracts`` wraps each contract;
``events`` turns logs into typed structs; ``signers`` holds keys; ``intents`` stores what is to
be sent before it is sent; ``sender`` is the only module that signs and broadcasts;
``transactions`` is the only writer of ``blockchain_transactions``; ``local_node`` runs an Anvil.
"""
