"""Proof bundles: one file that proves a credit to somebody who trusts a block hash and nothing of ours.

What stands in a bundle is described in ``docs/proof-format.md``. ``books`` reads what it is about, and ``fates`` what
became of that; ``node_proofs`` brings what a node proves of it, ``building`` joins them. Every bundle is verified
before it is handed out, by the verifier that the auditor will use. ``proven`` is a single reading, with its place in
the evidence.
"""

from ledger.bundles.books import ALL, Place, Subject
from ledger.bundles.building import BuiltBundle, build_bundle, prove

__all__ = ["ALL", "BuiltBundle", "Place", "Subject", "build_bundle", "prove"]
