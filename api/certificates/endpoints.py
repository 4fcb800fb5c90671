"""``/v1/retirements/{id}/certificate``, and the PDF that it names."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response

from api.certificates.facts import facts_of
from api.certificates.schemas import Certificate, CertificateAnswer
from api.context import ReadContext, no_query
from api.errors import responses

router = APIRouter(tags=["credits"])
RetirementName = Annotated[str, Path(description="Its number, or its key.")]


@router.get(
    "/v1/retirements/{retirement_id}/certificate",
    dependencies=[Depends(no_query)],
    responses=responses(404, 409, 422, 503),
    summary="Show the certificate of a retirement",
)
def show_certificate(context: ReadContext, retirement_id: RetirementName) -> CertificateAnswer:
    """Return what the certificate of a final retirement states, and the hash of its PDF."""
    from api.certificates.pdf import certificate_sha256  # half a second, for who asks

    with context.reading() as (session, view):
        facts = facts_of(session, view, context.settings, retirement_id)
    return CertificateAnswer(
        certificate=Certificate(**asdict(facts)),
        pdf=pdf_path(facts.retirement_id),
        pdf_sha256=certificate_sha256(facts),
        **view.fields(),
    )


@router.get("/retirements/{retirement_id}/certificate.pdf", include_in_schema=False)
def show_pdf(context: ReadContext, retirement_id: RetirementName) -> Response:
    """Return the certificate itself."""
    from api.certificates.pdf import certificate_pdf

    with context.reading() as (session, view):
        facts = facts_of(session, view, context.settings, retirement_id)
    name = f"truetonne-retirement-{facts.retirement_id}.pdf"
    return Response(
        certificate_pdf(facts),
        media_type="application/pdf",
        headers={"Content-Disposition": f'inline; filename="{name}"'},
    )


def pdf_path(retirement_id: int) -> str:
    """Return the path of a certificate's PDF."""
    return f"/retirements/{retirement_id}/certificate.pdf"
