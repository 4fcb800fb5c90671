"""The offline verifier of proof bundles: no database, no network, nothing of ours but this package.

Its one dependency is a keccak. ``verify()`` takes the text of a bundle (``docs/proof-format.md``) and
four values that the auditor trusts, and returns what the bundle proves, or raises ``ProofError``.

``bundle`` reads the text, and ``checks`` are made in order: of ``blocks``, ``trie`` and ``rlp`` as Ethereum has them,
of the ``ledger`` as our contract keeps it, and of who signed (``curve``). ``errors`` has the one error.
"""

from ledger.proofs.verifier.bundle import FORMAT
from ledger.proofs.verifier.checks import NOT_PROVEN, Trusted, Verdict, verify
from ledger.proofs.verifier.errors import ProofError

__all__ = ["FORMAT", "NOT_PROVEN", "ProofError", "Trusted", "Verdict", "verify"]
