"""Structs of the contracts as arguments of calls, and as EIP-712 messages that are signed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger.chain.contracts.events import Claim, RetirementDetails


def claim_tuple(claim: Claim) -> tuple[Any, ...]:
    """Return a claim in the order of the contract's struct."""
    return (
        bytes.fromhex(claim.key[2:]),
        claim.class_id,
        claim.project_id,
        claim.site_id,
        claim.amount,
        claim.period_start,
        claim.period_end,
        claim.expires_at,
        claim.backfill_before,
        bytes.fromhex(claim.evidence_root[2:]),
        claim.evidence_total,
        bytes.fromhex(claim.manifest_hash[2:]),
        bytes.fromhex(claim.methodology_hash[2:]),
        claim.recipient,
        claim.deadline,
    )


def retirement_tuple(details: RetirementDetails) -> tuple[Any, ...]:
    """Return a retirement's details in the order of the contract's struct."""
    return (
        details.beneficiary,
        details.reason,
        details.country.encode("ascii").ljust(2, b"\0"),
        details.consumption_start,
        details.consumption_end,
        bytes.fromhex(details.document_hash[2:]),
    )


def claim_typed_data(claim: Claim, chain_id: int, contract: str) -> Mapping[str, Any]:
    """Return the EIP-712 message that a verifier signs for a claim."""
    fields = (
        ("key", "bytes32"),
        ("classId", "uint32"),
        ("projectId", "uint32"),
        ("siteId", "uint32"),
        ("amount", "uint64"),
        ("periodStart", "uint32"),
        ("periodEnd", "uint32"),
        ("expiresAt", "uint32"),
        ("backfillBefore", "uint32"),
        ("evidenceRoot", "bytes32"),
        ("evidenceTotal", "uint64"),
        ("manifestHash", "bytes32"),
        ("methodologyHash", "bytes32"),
        ("recipient", "address"),
        ("deadline", "uint64"),
    )
    return _typed_data("CarbonCredit", "Claim", fields, claim_tuple(claim), (chain_id, contract))


@dataclass(frozen=True)
class Settlement:
    """What all parties of a settlement batch sign; the deadline in epoch seconds, asset 0 is energy."""

    key: str
    asset: int
    accounts: tuple[str, ...]
    words: tuple[int, ...]
    deadline: int

    @property
    def as_tuple(self) -> tuple[Any, ...]:
        """It in the order of the contract's struct."""
        key = bytes.fromhex(self.key[2:])
        return key, self.asset, list(self.accounts), list(self.words), self.deadline


def settlement_typed_data(
    settlement: Settlement, chain_id: int, contract: str
) -> Mapping[str, Any]:
    """Return the EIP-712 message that each party signs for a settlement batch."""
    fields = (
        ("key", "bytes32"),
        ("asset", "uint256"),
        ("accounts", "address[]"),
        ("words", "uint256[]"),
        ("deadline", "uint64"),
    )
    values = settlement.as_tuple
    return _typed_data("VppSettlement", "Settlement", fields, values, (chain_id, contract))


def _typed_data(
    contract: str,
    kind: str,
    fields: Sequence[tuple[str, str]],
    values: Sequence[Any],
    place: tuple[int, str],
) -> Mapping[str, Any]:
    domain = (
        ("name", "string"),
        ("version", "string"),
        ("chainId", "uint256"),
        ("verifyingContract", "address"),
    )
    return {
        "types": {
            "EIP712Domain": [{"name": name, "type": each} for name, each in domain],
            kind: [{"name": name, "type": each} for name, each in fields],
        },
        "primaryType": kind,
        "domain": {
            "name": f"Truetonne {contract}",
            "version": "1",
            "chainId": place[0],
            "verifyingContract": place[1],
        },
        "message": dict(zip((name for name, _ in fields), values, strict=True)),
    }
