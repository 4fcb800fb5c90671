"""What a verifier finds out before it signs a claim: from the files that came with it, and from the chain if asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ledger.chain.contracts.wrappers import CarbonCredit
from ledger.issuance.verification_files import Request
from ledger.reductions.manifest_file import read_manifest
from ledger.reductions.manifest_shapes import Manifest1
from ledger.reductions.meter_judge import Difference
from ledger.reductions.recompute import Check, Trusted, Verification, verify_files
from ledger.reductions.zones import utc_of
from ledger.registration import methodology_hash


def verify_claim(
    request: Request, manifest: Path, readings: Path, credit: CarbonCredit | None = None
) -> Verification:
    """Compute a manifest again from its readings, and compare it with a claim.

    Parameters
    ----------
    credit
        The contract that the claim is for; given, it is asked under which numbers the project is registered.

    Raises
    ------
    BadInput
        If a file cannot be read as what it should be.
    DependencyDown
        If the node is to be asked and does not answer.
    """
    claim = request.claim
    trusted = Trusted(claim.manifest_hash, claim.evidence_root, claim.amount)
    found = verify_files(manifest, readings, trusted)
    _, stated = read_manifest(manifest.read_bytes(), str(manifest))
    _note(found, "period, method and project are those of the manifest", _stated(request, stated))
    _note(found, "it is neither a backfill nor does it expire", _plain(request))
    if credit is not None:
        name = "class, project and site are those that the chain has under the project's code"
        _note(found, name, _registered(request, credit))
    return found


def _note(found: Verification, name: str, differences: Iterator[Difference]) -> None:
    more = list(differences)
    found.differences += more
    found.checks.append(Check(f"the claim: {name}", not more))


def _stated(request: Request, stated: Manifest1) -> Iterator[Difference]:
    claim, period, methodology = request.claim, stated.period, stated.methodology
    for name, claimed, says in (
        ("project", request.project, stated.project),
        ("period.from", _moment(claim.period_start), _moment(period.from_s)),
        ("period.to", _moment(claim.period_end), _moment(period.to_s)),
        ("evidence_kg", str(claim.evidence_total), stated.evidence.total_kg),
        (
            "methodology_hash",
            claim.methodology_hash,
            methodology_hash(methodology.id, methodology.version),
        ),
    ):
        if claimed != says:
            yield Difference(f"claim.{name}", claimed, says)


def _plain(request: Request) -> Iterator[Difference]:
    """Yield what no issuance of this version claims."""
    for name in ("expires_at", "backfill_before"):
        if getattr(request.claim, name):
            yield Difference(f"claim.{name}", getattr(request.claim, name), 0)


def _registered(request: Request, credit: CarbonCredit) -> Iterator[Difference]:
    claim = request.claim
    registered = credit.numbers_of(request.project)
    names = ("class", "project_number", "site_number")
    claimed = (claim.class_id, claim.project_id, claim.site_id)
    for name, one, other in zip(names, claimed, registered, strict=True):
        if one != other:
            yield Difference(f"claim.{name}", one, other)


def _moment(seconds: int) -> str:
    return utc_of(seconds).isoformat()
