"""Who signs the claims of a plan: a key at hand, a verifier elsewhere, one who signed long ago, or nobody yet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from msgspec.structs import asdict

from ledger.chain.access import Chain
from ledger.chain.contracts.events import Claim
from ledger.chain.contracts.structs import claim_typed_data
from ledger.chain.sending.intents import new_key
from ledger.errors import Refused
from ledger.files import read_at_most
from ledger.reductions.manifest import manifest_hash
from ledger.reductions.meter_judge import Difference
from ledger.reductions.recompute import differences_of

DEADLINE_SECONDS = 7 * 24 * 3600
"""How long the signature of a key at hand is good: time to send again after an outage, and no more."""
ELSEWHERE = "truetonne credits verification write"
_SHOWN = 5
_FOLLOWS = "carbon.", "energy.", "evidence."
_MANIFEST_BYTES_MAX = 64 * 2**20


class ClaimSigner(Protocol):
    """Signs claims, and chooses their key and their deadline."""

    def key(self) -> str:
        """Return the key of the next claim."""

    def deadline(self, now_s: int) -> int:
        """Return until when the signature of a claim holds; ``now_s`` is the present time, both in epoch seconds."""

    def sign(self, claim: Claim, manifest: str) -> tuple[str, bytes]:
        """Return who has signed a claim, and the signature; the manifest is that of the claim."""


@dataclass(frozen=True)
class KeyAtHand:
    """The verifier of the deployment, by a key of ours or a remote signer."""

    chain: Chain

    def key(self) -> str:
        """Return a new key."""
        return new_key()

    def deadline(self, now_s: int) -> int:
        """Return the time ``DEADLINE_SECONDS`` from now."""
        return now_s + DEADLINE_SECONDS

    def sign(self, claim: Claim, manifest: str) -> tuple[str, bytes]:
        """Have a claim signed.

        Raises
        ------
        BadInput
            If no key of the verifier is at hand.
        PolicyRefused
            If the signer policy forbids it.
        DependencyDown
            If a remote signer does not answer.
        """
        deployment = self.chain.deployment
        verifier = deployment.account("verifier")
        message = claim_typed_data(claim, deployment.chain_id, deployment.credit.address)
        signer = self.chain.keyring.signer(verifier, "sign as verifier")
        return verifier, signer.sign_typed_data(message)


@dataclass(frozen=True)
class NobodyYet:
    """Signs nothing: for a plan that only shows a verifier elsewhere which claim to sign."""

    chain: Chain
    seconds: int
    """How long the signature shall be good."""

    def key(self) -> str:
        """Return a new key."""
        return new_key()

    def deadline(self, now_s: int) -> int:
        """Return until when the verifier may sign the claim, and anybody may send it."""
        return now_s + self.seconds

    def sign(self, claim: Claim, manifest: str) -> tuple[str, bytes]:
        """Sign nothing."""
        return self.chain.deployment.account("verifier"), b""


@dataclass(frozen=True)
class SignedElsewhere:
    """A verifier who has signed one claim already: the plan must give exactly that claim."""

    claim: Claim
    verifier: str
    signature: bytes
    beside: Path
    """Where the manifest of that claim may lie, for what differs in it; it need not."""

    def key(self) -> str:
        """Return the key of the claim."""
        return self.claim.key

    def deadline(self, now_s: int) -> int:
        """Return the deadline of the claim."""
        return self.claim.deadline

    def sign(self, claim: Claim, manifest: str) -> tuple[str, bytes]:
        """Hand out the signature.

        Raises
        ------
        Refused
            If what the books give is another claim than the one that was signed.
        """
        if claim != self.claim:
            raise Refused(
                "the books give another claim now than the verifier has signed: "
                f"{'; '.join(self._differences(claim, manifest))}; have it signed anew: `{ELSEWHERE}`, into another "
                "folder",
                code="another-claim",
            )
        return self.verifier, self.signature

    def _differences(self, claim: Claim, manifest: str) -> Iterator[str]:
        signed = asdict(self.claim)
        for name, value in asdict(claim).items():
            if value != signed[name]:
                yield f"{name} is {value}, signed was {signed[name]}"
        # What the others follow from comes first.
        found = sorted(self._in_manifest(manifest), key=lambda each: each.path.startswith(_FOLLOWS))
        for path, before, now in found[:_SHOWN]:
            yield f"in the manifest {path} is {str(now)[:60]}, signed was {str(before)[:60]}"
        if len(found) > _SHOWN:
            yield f"{len(found) - _SHOWN} more differ in it"

    def _in_manifest(self, manifest: str) -> Iterator[Difference]:
        """Yield what differs in the manifest from the one that was signed, where that lies beside the file."""
        try:
            data = read_at_most(self.beside, _MANIFEST_BYTES_MAX)
            signed = "" if data is None else data.decode()
        except (OSError, UnicodeDecodeError):
            return
        if manifest_hash(signed) == self.claim.manifest_hash:
            yield from differences_of(json.loads(signed), json.loads(manifest))


@dataclass(frozen=True)
class SignedOnChain:
    """The verifier of a claim that is on chain already, and that restored books do not know."""

    claim_key: str
    claim_deadline: int
    verifier: str
    signature: bytes
    """Empty where the mirror does not know it; the claim cannot be sent again then."""

    def key(self) -> str:
        """Return the key of the claim."""
        return self.claim_key

    def deadline(self, now_s: int) -> int:
        """Return the deadline of the claim."""
        return self.claim_deadline

    def sign(self, claim: Claim, manifest: str) -> tuple[str, bytes]:
        """Hand out the signature."""
        return self.verifier, self.signature
