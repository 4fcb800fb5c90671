"""Verifiers elsewhere: a period is written as a claim to be signed, and issued when its signature has come.

Nothing is stored, and no reading claimed, until then: what the books give when the signed file is read has to be the
claim that was signed, to the last bit of its hashes. So a file that is never signed blocks nothing, and what was learnt
since it was written is not passed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.chain.access import Chain
from ledger.chain.contracts.events import Claim
from ledger.chain.contracts.roles import VERIFIER, role_of
from ledger.chain.keys.typed_data import is_valid_of_contract
from ledger.errors import BadInput, Refused
from ledger.issuance import verification_files
from ledger.issuance.planning import PlannedIssuance, plan_issuance
from ledger.issuance.signing import ELSEWHERE, NobodyYet, SignedElsewhere
from ledger.issuance.verification_files import Request
from ledger.models import ChainIntent, CreditSite, Issuance, Project, Site
from ledger.models.issuance import IssuanceState, claimed_before
from ledger.readings.periods.evidence_files import MANIFEST
from ledger.reductions.zones import legal_day, zone


@dataclass(frozen=True)
class Taken:
    """The issuance that a signed file has become."""

    key: str
    project: str
    vintage: int
    issued_kg: int
    verifier: str
    went_on: bool
    """Whether the books had it already."""
    backfill_before: int = 0
    """Number, within its site, of the batch that a backfill comes before; 0: it is none."""
    entered_kg: Fraction = Fraction()
    """What entered it from before, kg."""
    left_kg: Fraction | None = None
    """Of a kilogram, what enters the next period of its year; None: that is in the books already, or nothing does."""


def requests_for(
    chain: Chain,
    project_code: str,
    start: date,
    end: date,
    good_for: timedelta,
    *,
    backfill: bool = False,
) -> list[tuple[Request, PlannedIssuance]]:
    """Return what a verifier has to sign for a period, one request for each vintage. Nothing is stored.

    Raises
    ------
    NotFound, BadInput, Refused
        As ``plan_issuance``: what could not be issued is not worth a verifier's time.
    """
    nobody = NobodyYet(chain, int(good_for.total_seconds()))
    planned = plan_issuance(
        chain, project_code, start, end, backfill=backfill, dry_run=True, signer=nobody
    )
    deployment = chain.deployment
    contract = deployment.credit.address.lower()
    return [
        (Request(item.claim, project_code, deployment.chain_id, contract), item) for item in planned
    ]


def check_not_signed(chain: Chain, path: Path, now_s: int) -> None:
    """Refuse to write a new request over a signed one that nobody has taken in: its signature would be lost.

    Parameters
    ----------
    path
        The file that would be written; it need not be there.
    now_s
        Epoch seconds: a signature whose time is over is none to keep.

    Raises
    ------
    Refused
        If a file is there that can still be taken in.
    """
    try:
        request, signatures = verification_files.read(path)
        verification_files.check_time(path, request, now_s)
    except (BadInput, Refused):
        return
    with chain.db.read() as session:
        taken = session.scalars(
            select(Issuance.id).where(Issuance.key == request.claim.key)
        ).first()
    if signatures and taken is None:
        raise Refused(
            f"{path}: {', '.join(signatures)} has signed it, and it was not taken in yet; do so with `truetonne "
            "credits verification read`, or name another folder",
            code="signed-already",
        )


def take_file(chain: Chain, path: Path, now_s: int, *, dry_run: bool = False) -> Taken:
    """Plan the issuance that a signed file is of; ``submit_planned`` sends it.

    A file that was taken before is found again, and changes nothing.

    Parameters
    ----------
    now_s
        Time of the latest block, epoch seconds.
    dry_run
        Check all of it and keep nothing.

    Raises
    ------
    BadInput
        If the file cannot be read, or was altered.
    Refused
        If it is of another contract, if its time is over, if it is not signed by a verifier of the class, or if the
        books give another claim now.
    """
    request, signatures = verification_files.read(path)
    claim = request.claim
    ours = chain.deployment.chain_id, chain.deployment.credit.address.lower()
    if (request.chain_id, request.contract) != ours:
        raise Refused(
            f"{path}: it is for contract {request.contract} on chain {request.chain_id}; ours is {ours[1]} on chain "
            f"{ours[0]}",
            code="another-chain",
        )
    signed = _checked(chain, path, request, signatures)
    with chain.db.read() as session:
        project, start, end = _period(session, path, request)
        if (there := _taken_before(session, path, request)) is not None:
            return there
    verification_files.check_time(path, request, now_s)
    verifier = _verifier(chain, path, request, signed)
    signer = SignedElsewhere(claim, verifier, signed[verifier], path.with_name(MANIFEST))
    try:
        (planned,) = plan_issuance(
            chain,
            project,
            start,
            end,
            backfill=bool(claim.backfill_before),
            dry_run=dry_run,
            signer=signer,
        )
    except Refused as error:
        with chain.db.read() as session:  # another process may have taken the same file meanwhile
            if (there := _taken_before(session, path, request)) is not None:
                return there
        raise Refused(f"{path}: {error.message}", code=error.code) from error
    # Not what the file says: books that forgot an issuance adopt what the chain has, under its own key.
    kg, before = planned.claim.amount, planned.claim.backfill_before
    return Taken(
        planned.key,
        project,
        planned.vintage,
        kg,
        planned.verifier,
        went_on=False,
        backfill_before=before,
        entered_kg=planned.reduction.inputs.carry_in_kg,
        left_kg=None if before else planned.reduction.carry_out_kg,
    )


def check_apart(
    path: Path, claim: Claim, taken: Taken, others: Sequence[tuple[Path, Claim, Taken]]
) -> None:
    """Refuse a file on trial that could not be taken in after another one, which was tried before it.

    Parameters
    ----------
    others
        In the order of their periods, which is that of this one, too.

    Raises
    ------
    Refused
        With the other file: it would have taken this one's period, or leave a part of a kilogram that this one's claim
        does not know of. The same file once more is none.
    """
    for other, first, earlier in others:
        if claim.key == first.key or claim.site_id != first.site_id:
            continue
        if claim.period_start < first.period_end:
            raise Refused(
                f"{path}: its period overlaps that of {other}, which would be issued first; a reading counts once",
                code="period-already-issued",
            )
        same_year = taken.vintage == earlier.vintage and not taken.backfill_before
        if same_year and earlier.left_kg not in (None, taken.entered_kg):
            raise Refused(
                f"{path}: what {other} leaves of a kilogram, which would be issued first, enters its period, and the "
                f"verifier has signed without it; have it signed anew when that is issued: `{ELSEWHERE}`",
                code="another-claim",
            )


def _checked(
    chain: Chain, path: Path, request: Request, signatures: Mapping[str, str]
) -> dict[str, bytes]:
    """Return the signatures of a file by account, all of which must be right."""
    if not signatures:
        raise Refused(
            f"{path}: nobody has signed it; the verifier signs it with: truetonne credits verification sign",
            code="not-signed",
        )
    found = {}
    for account, text in signatures.items():
        signature = bytes.fromhex(text[2:])
        if not is_valid_of_contract(chain.client, account, request.digest, signature):
            checked = verification_files.check_signer(path, request, account, text)
            signature = bytes.fromhex(checked[2:])
        found[account] = signature
    return found


def _taken_before(session: Session, path: Path, request: Request) -> Taken | None:
    """Return what a file became that was taken before; None: it was not."""
    issuance = session.scalars(select(Issuance).where(Issuance.key == request.claim.key)).first()
    if issuance is None:
        return None
    if issuance.state is IssuanceState.VOID:
        raise Refused(
            f"{path}: its issuance was refused before; `truetonne credits verification write` makes a new file",
            code="void",
        )
    if issuance.manifest_hash != request.claim.manifest_hash:
        raise Refused(
            f"{path}: its key is that of another issuance; ask for the file again",
            code="another-claim",
        )
    project = session.get_one(Project, issuance.project_id).code
    call = session.get_one(ChainIntent, issuance.key).parameters
    return Taken(
        issuance.key,
        project,
        issuance.vintage,
        issuance.issued_kg,
        str(call["verifier"]).lower(),
        went_on=True,
        backfill_before=claimed_before(call),
    )


def _verifier(chain: Chain, path: Path, request: Request, signed: Mapping[str, bytes]) -> str:
    """Return who of those who have signed is a verifier: the contract refuses others when all is planned already."""
    role, name = role_of(VERIFIER, request.claim.class_id)
    have = chain.credit.have_roles([(role, account) for account in signed])
    for account, has in zip(signed, have, strict=True):
        if has:
            return account
    raise Refused(
        f"{path}: signed by {', '.join(signed)}, which does not have the role {name} on chain; the admin grants it "
        "with scripts/grant_roles.py",
        code="no-verifier",
    )


def _period(session: Session, path: Path, request: Request) -> tuple[str, date, date]:
    """Return the project of the books that a claim is of, and the legal days of its period; the end is exclusive."""
    query = (
        select(Project.code, Site.time_zone)
        .join(Site, Site.id == Project.site_id)
        .join(CreditSite, CreditSite.code == Project.code)
        .where(CreditSite.site_id == request.claim.site_id)
    )
    found = session.execute(query).one_or_none()
    if found is None:
        raise Refused(
            f"{path}: its claim is of site {request.claim.site_id} on chain, which is none of these books",
            code="another-site",
        )
    where = zone(found.time_zone)
    start = legal_day(request.claim.period_start, where)
    return found.code, start, legal_day(request.claim.period_end, where)
