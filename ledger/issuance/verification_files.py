"""A claim as a file that a verifier elsewhere reads, judges and signs, on a machine without any network.

The file says in words and figures what the EIP-712 message of the claim says. Beside it travel the manifest and the
readings of the period (``ledger.readings.periods.evidence_files``), from which the verifier computes the claim again.
The project's code is no part of what is signed but by the manifest's hash.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import convert

from ledger.chain.contracts.events import Claim
from ledger.chain.contracts.structs import claim_typed_data
from ledger.chain.keys import signing_files
from ledger.chain.keys.typed_data import digest_of
from ledger.errors import Refused

FORMAT = "truetonne-verification/1"
FILE = "verification.json"
_CAPITAL = re.compile(r"[A-Z]")
_LARGE = ("amount", "evidenceTotal", "deadline")
"""Members of the message that JSON holds as text: 64 bits."""


@dataclass(frozen=True)
class Request:
    """What a verifier is asked to sign, and the contract and chain that it is for."""

    claim: Claim
    project: str
    chain_id: int
    contract: str

    @property
    def message(self) -> Mapping[str, Any]:
        """The EIP-712 message."""
        return claim_typed_data(self.claim, self.chain_id, self.contract)

    @property
    def digest(self) -> str:
        """The hash that is signed, 32 bytes as hexadecimal text."""
        return digest_of(self.message)


def document(request: Request, signatures: Mapping[str, str]) -> dict[str, Any]:
    """Return the content of the file, as a JSON object."""
    claim = request.claim
    return {
        "format": FORMAT,
        "meaning": _meaning(request),
        "project": request.project,
        "chain_id": request.chain_id,
        "contract": request.contract,
        "key": claim.key,
        "class": claim.class_id,
        "project_number": claim.project_id,
        "site_number": claim.site_id,
        "issued_kg": str(claim.amount),
        "period": {"from": _moment(claim.period_start), "to": _moment(claim.period_end)},
        "expires": _moment(claim.expires_at) if claim.expires_at else None,
        "backfill_before": claim.backfill_before or None,
        "evidence_root": claim.evidence_root,
        "evidence_kg": str(claim.evidence_total),
        "manifest_hash": claim.manifest_hash,
        "methodology_hash": claim.methodology_hash,
        "recipient": claim.recipient,
        "deadline": _moment(claim.deadline),
        "digest": request.digest,
        "typed_data": _as_json(request.message),
        "signatures": dict(signatures),
    }


def _meaning(request: Request) -> list[str]:
    claim = request.claim
    before = claim.backfill_before
    backfill = [
        f"It is a backfill: the period was left out when batch {before} of the site was issued, which comes after it, "
        "and no remainder of",
        "a kilogram is carried into it or out of it.",
    ]
    return [
        f"Whoever signs the digest has verified that project {request.project} reduced emissions by {claim.amount} kg "
        "CO2e or more",
        f"from {_moment(claim.period_start)} to {_moment(claim.period_end)}, by the manifest and the readings that go "
        "with this file,",
        "and agrees that so many credits are issued to the recipient, once. The signature holds until "
        f"{_moment(claim.deadline)}.",
        *(backfill if before else []),
    ]


def text(request: Request, signatures: Mapping[str, str]) -> str:
    """Return the content of the file, as text."""
    return signing_files.as_text(document(request, signatures))


def read(path: Path) -> tuple[Request, dict[str, str]]:
    """Read a file; return what it asks to sign, and the signatures in it by account, unchecked.

    Raises
    ------
    BadInput
        If it cannot be read, is no such file, or says in its figures something else than in its message.
    """
    return signing_files.read(path, FORMAT, "a verification", _request, document)


def check_signer(path: Path, request: Request, account: str, signature: str) -> str:
    """Return a signature in the form that the contract takes; refuse one that another key made.

    Raises
    ------
    Refused
        With who signed instead.
    """
    return signing_files.check_signer(path, request.message, account, signature, "this claim")


def check_time(path: Path, request: Request, now_s: int) -> None:
    """Refuse a file whose time is over; ``now_s`` in epoch seconds.

    Raises
    ------
    Refused
        If it is.
    """
    if request.claim.deadline < now_s:
        raise Refused(
            f"{path}: its signature holds until {_moment(request.claim.deadline)}, and it is {_moment(now_s)}; "
            "`truetonne credits verification write` makes a new one",
            code="expired",
        )


def _request(given: Mapping[str, Any]) -> Request:
    """Return what the message of a file says: it alone is signed."""
    message, domain = given["typed_data"]["message"], given["typed_data"]["domain"]
    values = {_CAPITAL.sub(r"_\g<0>", name).lower(): value for name, value in message.items()}
    claim = convert(values, Claim, strict=False)  # 64 bits are text
    return Request(
        claim, str(given["project"]), int(domain["chainId"]), str(domain["verifyingContract"])
    )


def _as_json(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message as JSON holds it, as EIP-712 tools take it: bytes in hexadecimal, large integers as text."""
    values = {
        name: "0x" + value.hex() if isinstance(value, bytes) else value
        for name, value in message["message"].items()
    }
    values |= {name: str(values[name]) for name in _LARGE}
    return {**message, "message": values}


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
