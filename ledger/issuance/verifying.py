"""What a verifier finds out before it signs a claim: from the files that came with it, and from the chain if asked."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from ledger.chain.contracts.wrappers import CarbonCredit
from ledger.issuance.verification_files import Request
from ledger.reductions.manifest_file import read_manifest
from ledger.reductions.manifest_shapes import Manifest1
from ledger.reductions.meter_judge import Difference
from ledger.reductions.recompute import Check, Trusted, Verification, remainder_in, verify_files
from ledger.reductions.reporting import fraction_text
from ledger.reductions.zones import utc_of
from ledger.registration import methodology_hash
from ledger.serials import batch_id_of


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
    if claim.backfill_before:
        name = "it does not expire; it is a backfill, and nothing but deficits is carried into it"
        _note(found, name, chain(_lasting(request), _nothing_in(stated)))
    else:
        _note(found, "it is neither a backfill nor does it expire", _lasting(request))
    if credit is not None:
        name = "class, project and site are those that the chain has under the project's code"
        _note(found, name, _registered(request, credit))
        if claim.backfill_before:
            name = f"the chain has its time free before batch {claim.backfill_before} of the site"
            _note(found, name, _free(request, credit))
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


def _lasting(request: Request) -> Iterator[Difference]:
    """Yield an expiry, which no issuance of this version claims."""
    if request.claim.expires_at:
        yield Difference("claim.expires_at", request.claim.expires_at, 0)


def _nothing_in(stated: Manifest1) -> Iterator[Difference]:
    """Yield what a backfill carries in: what the period before it left is in the one after it already."""
    carried = remainder_in(stated)
    if carried:
        yield Difference("carbon.carry_in_kg", fraction_text(carried), "0/1 in a backfill")


def _free(request: Request, credit: CarbonCredit) -> Iterator[Difference]:
    """Yield where the gap before the batch that a backfill names does not hold its period (CC-22)."""
    claim = request.claim
    following = credit.batch_of(batch_id_of(claim.site_id, claim.backfill_before))
    if not following.issued:
        yield Difference("claim.backfill_before", claim.backfill_before, "a batch of the site")
    elif not following.gap_start <= claim.period_start:
        free = _moment(following.gap_start)
        yield Difference("claim.period.from", _moment(claim.period_start), f"{free} or later")
    elif not claim.period_end <= following.period_start:
        free = _moment(following.period_start)
        yield Difference("claim.period.to", _moment(claim.period_end), f"{free} or earlier")


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
