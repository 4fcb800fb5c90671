"""What an auditor checks without trusting us: the builder of proof bundles, and their verifier.

``encoding`` makes bytes of what a node answers, and ``tries`` the proofs of what is in them; ``covered`` is what the
hash of a block covers, and ``sums`` are the kilograms of a bundle. The ``verifier`` stands alone.
"""
