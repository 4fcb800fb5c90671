"""The evidence tree against OpenZeppelin's own JavaScript library, run by the project's Node."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cli.bench.evidence import PeerTree, openzeppelin, turbine_meters, values_of
from ledger.reductions import Calibration, Kind, Meter, Reading, Role
from ledger.reductions import evidence as tree
from tests.support.forms import few, is_long, long, rest, times

SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 16, 17, *((1000, 1001) if is_long() else (101,)))

readings = st.builds(
    Reading,
    start_s=st.integers(0, 2**64 - 1),
    end_s=st.integers(0, 2**64 - 1),
    kind=st.integers(1, 255),
    quality=st.integers(0, 2**16 - 1),
    digits=st.integers(-(2**63), 2**63 - 1),
    scale=st.integers(0, 255),
    text=st.text(max_size=64),
)
meters = st.builds(
    lambda serial, many: Meter(
        serial, "d", Role.GENERATION, Kind.POWER, "kW", 600, None, Calibration(), tuple(many)
    ),
    st.text(max_size=30),
    st.lists(readings, min_size=1, max_size=20, unique=True),
)
parks = st.lists(meters, min_size=1, max_size=3, unique_by=lambda meter: meter.serial)


def agree(park: list[Meter], theirs: PeerTree) -> None:
    """Compare root and every proof with the library's."""
    leaves = tree.leaves_of(park)
    nodes = tree.merkle_tree(leaves)
    assert tree.evidence_root(park) == (theirs.root, len(leaves))
    assert [
        ["0x" + node.hex() for node in tree.proof_of(nodes, leaf)] for leaf in leaves
    ] == theirs.proofs


@long
def test_roots_and_proofs_of_many_sizes_are_the_librarys() -> None:
    parks_of_size = [turbine_meters(size) for size in SIZES]
    answers = openzeppelin([values_of(park) for park in parks_of_size], proofs=True)
    for park, theirs in zip(parks_of_size, answers, strict=True):
        agree(park, theirs)


def test_roots_and_proofs_of_any_readings_are_the_librarys() -> None:
    made: list[list[Meter]] = []

    # One run of Node for all examples: they are collected first, and none can be shrunk.
    @settings(
        max_examples=times(20, 100),
        phases=[Phase.generate],
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(parks)
    def collect(park: list[Meter]) -> None:
        made.append(park)

    collect()
    assert len(made) >= times(10, 50)
    for park, theirs in zip(
        made, openzeppelin([values_of(park) for park in made], proofs=True), strict=True
    ):
        agree(park, theirs)


@few(1)
@pytest.mark.parametrize(
    "field",
    rest(["start_s", "end_s", "kind", "quality", "digits", "scale", "text"], "quality", "text"),
)
def test_the_library_sees_every_field_change(field: str) -> None:
    # The comparison itself: a field that the script dropped would let two roots agree wrongly.
    [meter] = turbine_meters(1)[:1]
    reading = meter.readings[0]
    value = getattr(reading, field)
    other = reading._replace(**{field: value + "1" if field == "text" else value + 1})
    assert values_of([meter]) != values_of([replace(meter, readings=(other,))])
