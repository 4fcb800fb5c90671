"""The only place that holds keys.

``signers`` are here and a ``remote_signer`` elsewhere, both behind ``policy``; ``keystore`` makes and lists their
files. ``signed`` and ``typed_data`` read back what was signed, and ``signing_files`` travel to whoever signs elsewhere.
"""
