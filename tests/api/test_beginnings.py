"""What a credit's history says of the time before it was one, on both databases."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select

from api.credits.history import show_history
from api.finality import chain_view
from ledger.db import Database
from ledger.models import CreditBatch, CreditSite, Issuance
from ledger.models.credits import BatchStatus
from ledger.serials import batch_id_of
from tests.api.conftest import EPOCH, ISSUER, h66
from tests.support.plant import apply, imported, issue, write_csv


def test_a_history_begins_with_the_files_and_the_calculation(db: Database, tmp_path: Path) -> None:
    apply(db)
    rows = [(f"2014-06-01T00:{minute}:00+02:00", "60") for minute in ("00", "10", "20")]
    imported(db, write_csv(tmp_path / "a.csv", rows[:1]))
    imported(db, write_csv(tmp_path / "b.csv", rows))  # two of its rows are new
    issue(db)
    with db.write() as session:
        session.add(_batch(session.scalars(select(Issuance)).one()))
        session.add(CreditSite(site_id=1, project_id=1, code="p", minted_until_s=0, block_number=1))
    with db.read() as session:
        found = show_history(
            session, chain_view(session, "local", "finalized"), str(batch_id_of(1, 1))
        )
    kinds = [item.kind for item in found.items]
    assert kinds == ["readings_imported", "readings_imported", "reductions_computed", "issued"]
    files = [(item.values["file"], item.values["readings"]) for item in found.items[:2]]
    assert files == [("a.csv", "1"), ("b.csv", "2")]
    assert found.items[0].values["source"] == "scada"


def _batch(issuance: Issuance) -> CreditBatch:
    """Return the batch that the mirror would have of an issuance."""
    return CreditBatch(
        batch_id=batch_id_of(1, 1),
        key=issuance.key,
        site_id=1,
        ordinal=1,
        vintage=issuance.vintage,
        recipient=ISSUER,
        issued_kg=1,
        retired_kg=0,
        cancelled_kg=0,
        period_start_s=issuance.from_s,
        period_end_s=issuance.to_s,
        gap_start_s=0,
        expires_at_s=0,
        buffered_kg=0,
        evidence_root=issuance.evidence_root,
        evidence_total_kg=1,
        manifest_hash=issuance.manifest_hash,
        methodology_hash=h66(6, 1),
        issuer=ISSUER,
        verifier=ISSUER,
        status=BatchStatus.ACTIVE,
        deficit_kg=None,
        block_number=1,
        log_index=0,
        tx_hash=h66(1, 1),
        issued_at=EPOCH,
    )
