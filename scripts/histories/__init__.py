"""``./dev histories``: random histories of the chain, and whether the mirror is what the chain is."""
