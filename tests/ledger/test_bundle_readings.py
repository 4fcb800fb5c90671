"""The readings of a bundle, and a reading by itself, by the verifier that is to take them."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from ledger.bundles.books import ALL, readings_of
from ledger.bundles.proven import prove_reading
from ledger.db import Database
from ledger.errors import Refused
from ledger.models import Meter as MeterRow
from ledger.models import MeterReading
from ledger.models.issuance import IssuanceState
from ledger.proofs.verifier import ledger
from ledger.reductions import Calibration, Kind, Meter, Quality, Reading, Role
from ledger.reductions.evidence import leaves_of, merkle_tree
from tests.support.forms import long
from tests.support.plant import JUNE, SITE, apply, imported, issue, write_csv

METERS = {"A": 5, "none": 0, "B": 3}


def meter(serial: str, count: int) -> Meter:
    readings = tuple(
        Reading(600 * slot, 600 * slot + 600, Kind.POWER, Quality.USED, slot, 0, str(slot))
        for slot in range(count)
    )
    role = Role.GENERATION
    return Meter(serial, serial, role, Kind.POWER, "kW", 600, "100", Calibration(), readings)


def leaves(said: dict[str, Any]) -> list[bytes]:
    return [
        ledger.leaf(said["meters"][row[0]], [*row[:5], int(row[5]), *row[6:]])
        for row in said["rows"]
    ]


@pytest.mark.parametrize("wanted", [1, 2, 7, 8, 100, ALL])
def test_each_meter_that_is_named_has_a_row(wanted: int) -> None:
    """One without readings, or without any of the chosen, was named, and no verifier took the bundle."""
    meters = [meter(serial, count) for serial, count in METERS.items()]
    hashes = leaves_of(meters)
    tree = merkle_tree(hashes)
    said = readings_of(meters, wanted, hashes, tree)
    assert {row[0] for row in said["rows"]} == set(range(len(said["meters"])))
    root = ledger.root_of(leaves(readings_of(meters, ALL, hashes, tree)))
    if said["proofs"] is None:
        assert (wanted, len(said["rows"]), said["meters"]) == (ALL, 8, ["A", "B"])
        return
    assert len(said["rows"]) == len(said["proofs"]) == min(wanted, 8)
    if wanted == 2:  # spread evenly: of each half the first
        assert [(said["meters"][row[0]], row[1]) for row in said["rows"]] == [("A", 0), ("A", 2400)]
    for leaf, proof in zip(leaves(said), said["proofs"], strict=True):
        assert ledger.climb(leaf, [bytes.fromhex(node[2:]) for node in proof]) == root


DEVICE = SITE[SITE.index("[[device]]") :]
SLOTS = ("2014-06-01T10:00:00+02:00", "2014-06-01T10:10:00+02:00")


def of(name: str, text: str = DEVICE) -> str:
    """Return devices and sources with another name."""
    renamed = text.replace('"A"', f'"{name}"').replace("serial-A", f"serial-{name}")
    return renamed.replace('"scada"', f'"scada-{name}"')


@long
def test_a_reading_is_proven_under_the_root_of_its_own_meter(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """Three meters measure the same at the same times, one of them for another project; and one says two things."""
    apply(sqlite_db, SITE + of("B"))
    yard = SITE.replace('"park', '"yard')
    apply(sqlite_db, of("C", yard))
    earlier = "2014-05-30T10:00:00+02:00"
    file = write_csv(tmp_path / "a.csv", [(slot, "60") for slot in (earlier, *SLOTS)])
    for source, site in (("scada", "park"), ("scada-B", "park"), ("scada-C", "yard")):
        imported(sqlite_db, file, source, site)
    imported(sqlite_db, write_csv(tmp_path / "b.csv", [(SLOTS[0], "61")]))
    for number, project in enumerate(("park-wind", "yard-wind")):
        issue(sqlite_db, (date(2014, 5, 30), date(2014, 5, 31)), project=project, number=number)
        issue(sqlite_db, JUNE, project=project, number=2 + number)
    imported(sqlite_db, write_csv(tmp_path / "c.csv", [(SLOTS[1], "62")]))
    with sqlite_db.read() as session:
        rows = session.execute(select(MeterReading, MeterRow.serial).join(MeterRow)).all()
        assert sorted(row.text for row, _ in rows) == ["60"] * 9 + ["61", "62"]
        for row, serial in rows:
            if row.text == "62":
                with pytest.raises(Refused, match="it came after its period was issued"):
                    prove_reading(session, row.id)
                continue
            found = prove_reading(session, row.id)
            said = found.reading
            values = [said.start_s, said.end_s, said.kind, said.quality, said.digits, said.scale]
            assert (said.start_s, said.text, found.serial) == (row.start_s, row.text, serial)
            assert found.leaf == ledger.leaf(serial, [0, *values, said.text])
            root = ledger.climb(found.leaf, found.proof).hex()
            assert "0x" + root == found.issuance.evidence_root


def test_no_reading_is_proven_before_its_issuance_is_on_chain(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """Its root is in no block: whoever asked the contract would hear no."""
    apply(sqlite_db)
    imported(sqlite_db, write_csv(tmp_path / "a.csv", [(SLOTS[0], "60")]))
    issue(sqlite_db, state=IssuanceState.PLANNED)
    with (
        sqlite_db.read() as session,
        pytest.raises(Refused, match="its period is not issued") as told,
    ):
        prove_reading(session, 1)
    assert told.value.code == "not-in-evidence"
