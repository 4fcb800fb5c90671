"""What a credit's history says of the time before it was one, on both databases."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

from fastapi.testclient import TestClient
from sqlalchemy import select

from api.app import create_app
from api.credits.history import show_history
from api.credits.readings import list_readings
from api.credits.schemas import HistoryParameters, ReadingParameters
from api.finality import chain_view
from api.pages.credits import stated_of
from api.pages.language import Language
from api.pages.pictures import Node, Stage, edges_of
from api.pages.provenance import _before
from api.pages.rendering import words_of
from api.pagination import Order
from ledger import issuance
from ledger.corrections import correct
from ledger.db import Database
from ledger.issuance.taking_up import take_up
from ledger.models import CarbonCredit, CreditBatch, CreditSerial, CreditSite, Issuance
from ledger.models.credits import BatchStatus
from ledger.readings.imports.selected import Which
from ledger.serials import CreditStatus, batch_id_of
from ledger.settings import load_settings
from tests.api.conftest import EPOCH, ISSUER, h66
from tests.ledger.test_inventory import HOURS
from tests.ledger.test_restoring import given
from tests.ledger.test_withdrawing import second, taken
from tests.support.forms import few, long
from tests.support.plant import SITE, apply, imported, issue, write_csv


@few(1)
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


def test_a_credit_says_how_its_kilograms_came_about(sqlite_db: Database, tmp_path: Path) -> None:
    """By hand, of the second day: (60 + 60.5) / 6 kWh less a quarter, less 1 kWh drawn, at 0.5, less 2 %."""
    site = SITE.replace('program = "internal"', 'program = "internal"\nuncertainty_share = "0.02"')
    site = site.replace('role = "gen', 'accuracy_class = "0.5"\nrole = "gen')
    sold = '[[energy_certificate]]\ndevice = "A"\ninstrument = "GEC"\nreference = "7"\nshare = "0.25"\n'
    apply(sqlite_db, f'{site}{sold}from_day = "2014-06-02"\nto_day = "2014-06-02"\n')
    rows = [("1T00:00", "60.01"), ("2T00:00", "60"), ("2T00:10", "60.5"), ("2T00:20", "-6")]
    lines = [(f"2014-06-0{at}:00+02:00", kw) for at, kw in rows]
    imported(sqlite_db, write_csv(tmp_path / "a.csv", lines))
    issue(sqlite_db, (date(2014, 6, 1), date(2014, 6, 2)))
    imported(sqlite_db, write_csv(tmp_path / "late.csv", [(lines[0][0], "57.01")]))
    correct(sqlite_db, "park-wind")  # 3 kW less are 0.5 kWh: -0.245 kg
    issue(sqlite_db, (date(2014, 6, 2), date(2014, 6, 3)), number=2)
    imported(sqlite_db, write_csv(tmp_path / "later.csv", [(lines[1][0], "54")]))
    correct(sqlite_db, "park-wind")  # of a kWh less a quarter is certified, and 2 % are uncertain
    other = site.replace('"CCER-01-002"', '"internal-grid-renewable"').replace('"V01"', '"1"')
    with sqlite_db.write() as session:
        session.add(
            _batch(session.scalars(select(Issuance).filter_by(from_date=date(2014, 6, 2))).one())
        )
        session.add(CreditSite(site_id=1, project_id=1, code="p", minted_until_s=0, block_number=1))
        credit = {"credit_id": "p-2014-1-1-1", "amount": Decimal("0.001"), "unit": "tCO2e"}
        session.add(
            CarbonCredit(**credit, issuer=ISSUER, status=CreditStatus.ACTIVE, issued_at=EPOCH)
        )
        session.flush()
        serials = {"batch_id": batch_id_of(1, 1), "first_serial": 1, "last_serial": 1}
        session.add(CreditSerial(credit_id="p-2014-1-1-1", **serials))
    apply(sqlite_db, other + sold + 'from_day = "2014-06-02"\nto_day = "2014-06-02"\n')
    home = {"TRUETONNE_DATABASE_URL": str(sqlite_db.url), "TRUETONNE_HOME": str(tmp_path)}
    with TestClient(create_app(load_settings(None, home))) as client:
        page = client.get("/credits/p-2014-1-1-1", headers={"accept": "text/html"}).text
        items = client.get("/v1/credits/p-2014-1-1-1/history").json()["items"]
    facts = dict(re.findall(r"<dt>([^<]*)</dt><dd>(.*?)</dd>", page))
    said = {name: re.sub(r"<[^>]*>", " ", value) for name, value in facts.items()}
    assert {name: said[name] for name in HOW} == HOW
    assert [item["kind"] for item in items[-3:]] == ["reductions_computed", "corrected", "issued"]
    assert '<th scope="col" class="n">As received (kW)</th>' in page
    assert "-0.3675 kg CO₂e <span" in page  # 1 x 0.75 x 0.5 x 0.98
    told = [items[-2]["values"][name] for name in ("cause", "state", "effect_kg", "carried_kg")]
    assert told == ["late_readings", "carried", "-0.367500000", "-0.367500000"]
    stated = items[-3]["values"]
    assert stated["methodology"] == "CCER-01-002/V01"  # with which it was issued
    assert (stated["export_kwh"], stated["certified_kwh"]) == ("15.062500000", "5.020833333")


@long
def test_a_reading_is_said_to_be_withdrawn_as_it_was_for_the_credit(
    db: Database, tmp_path: Path
) -> None:
    """What was taken back or restored while it was void is not so for what a fork brought back; what came late is."""
    apply(db)
    imported(db, write_csv(tmp_path / "a.csv", [(time, "60") for time in HOURS[:3]]))
    taken(db, "A", Which(at_s=second(0)), "before")
    issue(db)
    with db.write() as session:
        key = session.scalars(select(Issuance.key)).one()
        issuance.fail(session, key, "a test")
    given(db, "A", Which(at_s=second(0)))
    taken(db, "A", Which(at_s=second(1)), "while it was void")
    with db.write() as session:
        take_up(session, session.scalars(select(Issuance)).one())
    imported(db, write_csv(tmp_path / "b.csv", [(HOURS[2], "59")]))
    taken(db, "A", Which(at_s=second(2), text="59"), "late")
    with db.write() as session:
        session.add(_batch(session.scalars(select(Issuance)).one()))
        session.add(CreditSite(site_id=1, project_id=1, code="p", minted_until_s=0, block_number=1))
    with db.read() as session:
        view = chain_view(session, "local", "finalized")
        asked = ReadingParameters(order=Order.ASC)
        items = list_readings(session, view, str(batch_id_of(1, 1)), asked).items
    assert [(item.text, item.value, item.withdrawn, item.restored) for item in items] == [
        ("60", None, "before", None),
        ("60", Decimal(60), None, None),
        ("60", Decimal(60), None, None),
        ("59", None, "late", None),
    ]


HOW = {
    "Energy supplied": "15.0625 kWh  without 5.020833333 kWh that are certified elsewhere   "
    "errors of meters are deducted ",
    "Energy drawn": "1 kWh",
    "Net energy": "14.0625 kWh",
    "Baseline": "0.00703125 t CO₂e",
    "Project emissions, leakage and uncertainty": "0 + 0 + 0.000140625 t CO₂e",
    "Reductions": "6.890625 kg CO₂e",
    # 60.01 / 6 x 0.5 x 0.98 less 4 kg, less the correction
    "Carried in": "0.655816666 kg CO₂e  of this -0.245 kg CO₂e are corrections of earlier periods ",
    "Issued, in whole kilograms": "7 kg CO₂e",
    "Carried on": "0.546441666 kg CO₂e",
}


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
