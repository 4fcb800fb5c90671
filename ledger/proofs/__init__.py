"""What an auditor checks without trusting us: the arithmetic of proofs, and the verifier of bundles. Pure.

Bundles are put together in ``ledger.bundles``, which asks books and node.

``encoding`` makes bytes of what a node answers, and ``tries`` the proofs of what is in them; ``covered`` is what the
hash of a block covers, and ``sums`` are the kilograms of a bundle. The ``verifier`` stands alone.
"""
