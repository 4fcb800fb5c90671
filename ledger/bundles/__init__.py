"""Proof bundles: one file that proves a credit to somebody who trusts a block hash and nothing of ours.

What stands in a bundle is described in ``docs/proof-format.md``. ``building`` makes one, of two parts: ``books`` reads
which credit, events, manifest and readings it is about, and ``node_proofs`` asks a node for what it can prove of that.
``fates`` refuses serials of which some are retired and others are not. Every bundle is verified before it is handed
out, by the verifier that the auditor will use. ``proven`` is for a single reading, with its place in the evidence.
"""

from ledger.bundles.books import ALL, Place, Subject
from ledger.bundles.building import BuiltBundle, build_bundle, prove

__all__ = ["ALL", "BuiltBundle", "Place", "Subject", "build_bundle", "prove"]
