"""``/v1/credits/{credit_id}/bundle`` and ``/v1/readings/{reading_id}/proof``."""

from __future__ import annotations

import re
from contextlib import closing
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from api.context import Context, ReadContext, no_query, room
from api.credits.endpoints import CreditName
from api.errors import responses
from api.proofs.schemas import BundleParameters, ReadingProof
from ledger.bundles import ALL, build_bundle
from ledger.bundles.proven import prove_reading
from ledger.chain.access import load_deployment
from ledger.chain.addresses.book import Deployment
from ledger.chain.local.shared import answering_url
from ledger.chain.node.client import ChainClient
from ledger.errors import BadInput, DependencyDown
from ledger.naming import find_credit

router = APIRouter(tags=["proofs"])


@router.get(
    "/v1/credits/{credit_id}/bundle",
    responses={
        200: {"description": "The bundle, as docs/proof-format.md describes it."},
        **responses(404, 409, 422, 503),
    },
    summary="Prove a credit",
)
def show_bundle(
    context: ReadContext, credit_id: CreditName, parameters: Annotated[BundleParameters, Query()]
) -> Response:
    """One file that proves a credit to somebody who trusts a block hash. Asks the node."""
    readings = ALL if parameters.readings == "all" else parameters.readings
    with (
        room(context.proofs, code="proofs-busy", detail="as many proofs as may be are being made"),
        context.reading() as (session, view),
    ):
        find_credit(session, credit_id)  # that there is none needs no node to be said
        block = parameters.block if parameters.block is not None else view.final_block or 0
        with closing(_client(context)) as client:
            built = build_bundle(client, _deployment(context), session, credit_id, block, readings)
    name = re.sub(r"[^A-Za-z0-9._-]", "_", credit_id)[:100]
    return Response(
        built.text,
        media_type="application/json",
        headers={
            "Content-Disposition": f'attachment; filename="{name}.bundle.json"',
            **view.headers(),
        },
    )


@router.get(
    "/v1/readings/{reading_id}/proof",
    dependencies=[Depends(no_query)],
    responses=responses(404, 409, 422, 503),
    summary="Prove a reading",
)
def show_reading_proof(
    context: ReadContext,
    reading_id: Annotated[int, Path(ge=1, lt=2**63, description="Row number of the reading.")],
) -> ReadingProof:
    """Way of a reading to the evidence root on chain."""
    with context.reading() as (session, view):
        found = prove_reading(session, reading_id)
        reading = found.reading
        return ReadingProof(
            id=found.row.id,
            device_code=found.device_code,
            meter=found.serial,
            start=reading.start_s,
            end=reading.end_s,
            kind=reading.kind,
            quality=reading.quality,
            digits=reading.digits,
            scale=reading.scale,
            text=reading.text,
            unit=found.row.unit,
            file_line=found.row.line,
            leaf="0x" + found.leaf.hex(),
            proof=["0x" + node.hex() for node in found.proof],
            evidence_root=found.issuance.evidence_root,
            issuance_key=found.issuance.key,
            **view.fields(),
        )


def _client(context: Context) -> ChainClient:
    return ChainClient(answering_url(context.settings))


def _deployment(context: Context) -> Deployment:
    """Return where the contracts stand; that the file is none is no fault of whoever asks."""
    try:
        return load_deployment(context.settings)
    except BadInput as error:
        raise DependencyDown(error.message, code="not-deployed") from error
