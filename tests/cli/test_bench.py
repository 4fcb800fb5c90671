"""``truetonne bench``: the shape that others read, and figures that cannot have been made up."""

from __future__ import annotations

import json
from decimal import Decimal

from tests.cli.conftest import Program

NAMES = {
    "issue",
    "transfer_new_holder",
    "retire",
    "fraud_proof",
    "settle_1000_cosigned_per_trade",
    "settle_1000_proposed_per_trade",
    "settle_one",
}
"""What readers of ``bench gas`` look for."""

INTRINSIC = 21_000
NEW_SLOT, CHANGED_SLOT = 22_100, 5_000  # EIP-2929, cold
WORD = 32 * 8 + 4 * 32  # the least that a trade's word costs: in the log, and as zeros in the call


def test_gas(truetonne: Program) -> None:
    ended = truetonne("bench", "gas", "--json")
    assert ended.code == 0, ended.err
    document = json.loads(ended.out)
    assert set(document) == {"machine", "results"}
    results = {result["name"]: result for result in document["results"]}
    assert len(results) == len(document["results"])
    assert set(results) >= NAMES
    for result in results.values():
        assert set(result) == {"name", "value", "unit", "against", "against_value", "ratio"}
        value, other = Decimal(result["value"]), Decimal(result["against_value"])
        expected = value / other if result["against"].startswith("EIP-") else other / value
        assert abs(Decimal(result["ratio"]) - expected) <= Decimal("0.0005")

    gas = {name: Decimal(result["value"]) for name, result in results.items()}
    # Floors that the protocol sets: slots that such an act cannot but write.
    assert gas["issue"] > INTRINSIC + 4 * NEW_SLOT + 4 * CHANGED_SLOT
    assert gas["transfer_new_holder"] > INTRINSIC + NEW_SLOT + CHANGED_SLOT
    assert gas["retire"] > INTRINSIC + 4 * CHANGED_SLOT
    assert gas["fraud_proof"] > INTRINSIC + 4 * CHANGED_SLOT + 2 * 14 * 32 * 15
    assert gas["settle_one"] > INTRINSIC + 2 * CHANGED_SLOT
    assert gas["settle_1000_cosigned_per_trade"] > WORD
    assert gas["propose_1000"] < gas["settle_1000_proposed_per_trade"] * 1000
    # One transaction holds a thousand trades, and every code fits a chain.
    assert all(
        Decimal(result["ratio"]) < 1
        for result in results.values()
        if result["against"].startswith("EIP-")
    )


def test_proofs(truetonne: Program) -> None:
    """Measured, not asserted: only that a real proof was built and checked, and how it is shown."""
    ended = truetonne("bench", "proofs", "--json")
    assert ended.code == 0, ended.err
    results = {result["name"]: result for result in json.loads(ended.out)["results"]}
    assert set(results) == {"verify_ms", "build_ms"}
    for result in results.values():
        assert (result["unit"], result["against"]) == ("ms", "limit")
        assert Decimal(result["value"]) > 0
    assert results["verify_ms"]["against_value"] == "5"
    assert results["build_ms"]["against_value"] == "50"
