"""``truetonne certificate``: the certificate of a retirement, as a PDF."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.command import Invocation, command
from cli.files import write_whole


def register(root: typer.Typer) -> None:
    """Add the command."""
    command(root, "certificate")(certificate)


def certificate(
    run: Invocation,
    retirement: Annotated[
        str, typer.Argument(metavar="ID", help="The retirement, by its number or its key.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="The certificate, a PDF.")
    ],
) -> None:
    """Write the certificate of a retirement; the same bytes at every run."""
    import hashlib

    from api.certificates.facts import facts_of
    from api.certificates.pdf import certificate_pdf
    from cli.books import reading

    with reading(run.settings) as (session, view):
        facts = facts_of(session, view, run.settings, retirement)
    data = certificate_pdf(facts)
    write_whole(output, data)
    digest = hashlib.sha256(data).hexdigest()
    document = {
        "file": str(output),
        "bytes": len(data),
        "sha256": digest,
        "retirement_id": str(facts.retirement_id),
        "serials": facts.serials,
        "amount_kg": str(facts.amount_kg),
        "url": facts.url,
    }
    run.output.result(
        document,
        f"{output}: {facts.serials}, {facts.amount_kg} kg; {len(data)} bytes",
        f"sha256 {digest}",
    )
