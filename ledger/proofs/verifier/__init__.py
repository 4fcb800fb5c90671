"""The offline verifier of proof bundles: no database, no network, nothing of ours but this package.

Its one dependency is a keccak. ``verify`` takes the text of a bundle (``docs/proof-format.md``) and
four values that the auditor trusts, and returns what the bundle proves, or raises ``ProofError``.
"""

from ledger.proofs.verifier.bundle import FORMAT
from ledger.proofs.verifier.checks import NOT_PROVEN, Trusted, Verdict, verify
from ledger.proofs.verifier.errors import ProofError

__all__ = ["FORMAT", "NOT_PROVEN", "ProofError", "Trusted", "Verdict", "verify"]
