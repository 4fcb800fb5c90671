"""What a credit's history says of the time before it was one, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import select

from api.credits.history import show_history
from api.credits.schemas import HistoryParameters
from api.finality import chain_view
from api.pages.credits import stated_of
from api.pages.language import Language
from api.pages.pictures import Node, Stage, edges_of
from api.pages.provenance import _before
from api.pages.rendering import words_of
from api.pagination import Order
from ledger.db import Database
from ledger.models import CreditBatch, CreditSite, Issuance
from ledger.models.credits import BatchStatus
from ledger.serials import batch_id_of
from tests.api.conftest import EPOCH, ISSUER, h66
from tests.support.plant import SITE, apply, imported, issue, write_csv


def test_a_history_begins_with_the_files_and_the_calculation(db: Database, tmp_path: Path) -> None:
    apply(db, SITE + SECOND)
    rows = [(f"2014-06-01T00:{minute}:00+02:00", "60") for minute in ("00", "10", "20")]
    imported(db, write_csv(tmp_path / "a.csv", rows[:1]))
    imported(db, write_csv(tmp_path / "b.csv", rows))  # two of its rows are new
    both = tmp_path / "both.csv"
    both.write_text(f"time,value,device\n{rows[0][0]},60,B\n2014-06-01T00:30:00+02:00,60,A\n")
    imported(db, both, "both")
    issue(db)
    with db.write() as session:
        session.add(_batch(session.scalars(select(Issuance)).one()))
        session.add(CreditSite(site_id=1, project_id=1, code="p", minted_until_s=0, block_number=1))
    with db.read() as session:
        found = show_history(
            session, chain_view(session, "local", "finalized"), str(batch_id_of(1, 1))
        )
    kinds = [item.kind for item in found.items]
    assert kinds == [*["readings_imported"] * 3, "reductions_computed", "issued"]
    names = ("file", "devices", "readings")
    files = [tuple(item.values[name] for name in names) for item in found.items[:3]]
    assert files == [("a.csv", "A", "1"), ("b.csv", "A", "2"), ("both.csv", "A, B", "2")]
    assert found.items[0].values["source"] == "scada"
    assert walked(db, Order.ASC, lambda: None) == [*ALL, "issued"]

    def later() -> None:
        imported(db, write_csv(tmp_path / "c.csv", [("2014-06-01T00:40:00+02:00", "60")]))

    # What a file that comes between two pages adds is there or not, and shifts nothing.
    assert walked(db, Order.ASC, later) == [*ALL, "issued"]
    imported(db, write_csv(tmp_path / "d.csv", [(rows[0][0], "50")]))  # its period is issued
    with db.read() as session:
        found = show_history(
            session, chain_view(session, "local", "finalized"), str(batch_id_of(1, 1))
        )
        stated = stated_of(session.scalars(select(Issuance)).one())
    late = [(item.values["file"], item.values.get("late")) for item in found.items[:5]]
    assert late == [*((name, None) for name in ALL[:3]), ("c.csv", "1"), ("d.csv", "1")]
    # No kilogram comes from such a file: the picture leads from the others alone.
    assert stated is not None
    meters = Stage("meters", [Node("meter-0", "A"), Node("meter-1", "B")])
    boxes = {node.title: node.key for node in meters.nodes}
    files = _before(words_of(Language.ENGLISH), found, stated, boxes)[0]
    assert [node.title for node in files.nodes] == ALL[:3]
    # Each file is led to by the meters that it has readings of, and by no other.
    told = {node.key: node.title for node in (*meters.nodes, *files.nodes)}
    led = [f"{told[one]} {told[other]}" for one, other in edges_of([meters, files])]
    assert led == ["A a.csv", "A b.csv", "A both.csv", "B both.csv"]


ALL = ["a.csv", "b.csv", "both.csv", "reductions_computed"]
SECOND = """
[[device]]
code = "B"
type = "wind_turbine"
rated_kw = "100"
meter_serial = "serial-B"
role = "generation"

[[source]]
name = "both"
kind = "power"
unit = "kW"
interval_minutes = 10
label = "start"
device_column = "device"
time_column = "time"
value_column = "value"
time_zone = "offset"
"""


def walked(db: Database, order: Order, before_the_last: Callable[[], None]) -> list[str]:
    """Return what a walk sees, page by page of one entry; something happens before the last page."""
    seen: list[str] = []
    cursor = None
    while True:
        asked = HistoryParameters(limit=1, order=order, cursor=cursor)
        with db.read() as session:
            view = chain_view(session, "local", "finalized")
            page = show_history(session, view, str(batch_id_of(1, 1)), asked)
        seen += [item.values.get("file", item.kind) for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return seen
        if len(seen) == len(ALL):
            before_the_last()


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
