"""The readings of a bundle, by the verifier that is to take them."""

from typing import Any

import pytest

from ledger.bundles.books import ALL, readings_of
from ledger.proofs.verifier import ledger
from ledger.reductions import Calibration, Kind, Meter, Quality, Reading, Role
from ledger.reductions.evidence import leaves_of, merkle_tree

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
    for leaf, proof in zip(leaves(said), said["proofs"], strict=True):
        assert ledger.climb(leaf, [bytes.fromhex(node[2:]) for node in proof]) == root
