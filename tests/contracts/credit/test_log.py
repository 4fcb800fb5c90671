"""The sealed log: what it proves, and that it tells everything."""

from dataclasses import replace
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from tests.contracts.credit.evidence import Evidence, reading
from tests.contracts.credit.orders import order, sign
from tests.contracts.credit.replay import compare_with_storage
from tests.contracts.park import (
    ACTIVE,
    CAP_KG,
    EXPIRED,
    INVALIDATED,
    METHODOLOGY_HASH,
    NO_DETAILS,
    Park,
    ledger_records,
    log_head,
    sealed,
)


def live(park: Park) -> None:
    """Let every kind of ledger event happen, and transfers between them."""
    credit = park.credit
    by_registrar = {"from": park.registrar}
    credit.setClassBuffer(1, 500, by_registrar)
    one, other = Evidence(reading(100, 200)), Evidence(reading(150, 160), reading(160, 170))
    period = {"periodStart": 100, "periodEnd": 200}
    first = park.issue(amount=1000, evidenceRoot=one.root, **period).return_value
    second = park.issue(amount=500, periodStart=300, periodEnd=400).return_value
    filled = {"periodStart": 220, "periodEnd": 300, "backfillBefore": 2}
    third = park.issue(amount=80, evidenceRoot=other.root, **filled).return_value
    expiry_s = park.now + 1000
    period = {"periodStart": 400, "periodEnd": 401, "expiresAt": expiry_s}
    fourth = park.issue(amount=1, recipient=park.buyer.address, **period).return_value

    credit.safeTransferFrom(park.owner, park.buyer, first, 300, b"", {"from": park.owner})
    park.retire(first, 250, park.buyer, ("Añjali & Söhne", "2024", b"IN", 5, 9, b"\x07" * 32))
    credit.suspend(second, {"from": park.pauser})
    credit.setClassCap(1, CAP_KG - 1, by_registrar)
    credit.reinstate(second, {"from": park.admin})
    park.cancel(second, 400, park.owner, "counted twice")
    arguments = (park.owner, park.market, [first, second], [650, 1], b"")
    credit.safeBatchTransferFrom(*arguments, {"from": park.owner})
    several = (park.new_key(), [second, first], [1, 20], NO_DETAILS)
    credit.retireBatch(*several, {"from": park.market})
    signed = order(park, batchId=first, amount=7)
    credit.retireFor(tuple(signed.values()), sign(park, signed), {"from": park.stranger})

    shown = [tree.proven(tree.readings[0]) for tree in (one, other)]
    credit.proveOverlap(*shown, {"from": park.stranger})
    credit.proposeInvalidation(third, "too early", {"from": park.reverser})
    credit.reinstate(third, {"from": park.admin})
    credit.proposeInvalidation(first, "T1 counts twice", {"from": park.reverser})
    park.mine_at(park.now + 7 * 86_400)
    credit.executeInvalidation(first, {"from": park.admin})
    credit.replace(park.new_key(), second, first, 25, {"from": park.reverser})
    credit.expire(fourth, {"from": park.stranger})
    credit.registerSite(2, "last", by_registrar)


def test_an_empty_log(park: Park) -> None:
    """CC-60: nothing happened, number and head are zero."""
    credit = park.project.CarbonCredit.deploy(park.admin, 0, {"from": park.admin})
    assert log_head(credit) == (0, bytes(32))
    assert ledger_records(credit) == []


def test_the_first_head_by_hand(park: Park) -> None:
    """CC-60: from the text of the interface, without a decoder."""
    credit = park.project.CarbonCredit.deploy(park.admin, 0, {"from": park.admin})
    park.grant(credit, credit.REGISTRAR_ROLE(), park.registrar)
    credit.registerClass("wind", METHODOLOGY_HASH, 7, 9, {"from": park.registrar})
    topic = keccak(text="ClassRegistered(uint32,string,bytes32,uint64,uint16,uint64,bytes32)")
    body = encode(
        ["bytes32", "uint32", "string", "bytes32", "uint64", "uint16"],
        [topic, 1, "wind", METHODOLOGY_HASH, 7, 9],
    )
    head = keccak(bytes(32) + (1).to_bytes(32, "big") + keccak(body))
    assert log_head(credit) == (1, head)


def test_every_event_carries_the_seal(park: Park, credit: Any) -> None:
    """CC-60: numbers without a gap, each head that of the events so far."""
    live(park)
    records = ledger_records(credit)
    assert {record.name for record in records} == {
        item["name"]
        for item in credit.abi
        if item["type"] == "event" and "head" in [part["name"] for part in item["inputs"]]
    }
    for position, record in enumerate(records, 1):
        assert record["seq"] == position
        assert record["head"] == sealed(records[:position])
    assert log_head(credit) == (len(records), sealed(records))


def test_another_list_has_another_head(park: Park, credit: Any) -> None:
    """CC-61: one left out, one changed, two swapped, one twice."""
    live(park)
    records = ledger_records(credit)
    head = log_head(credit)[1]
    assert sealed(records) == head
    for index, record in enumerate(records):
        assert sealed(records[:index] + records[index + 1 :]) != head
        changed = replace(record, hash=keccak(record.hash))
        assert sealed([*records[:index], changed, *records[index + 1 :]]) != head
        assert sealed([*records[:index], record, *records[index:]]) != head
    for index in range(len(records) - 1):
        swapped = records[:]
        swapped[index : index + 2] = reversed(swapped[index : index + 2])
        assert sealed(swapped) != head


def test_events_tell_everything(park: Park) -> None:
    """CC-62: registers, totals, gaps, statuses, deficits and balances, from the logs alone."""
    live(park)
    ledger = compare_with_storage(park)
    assert list(ledger.batches.values()) == [
        [1000, 277, 0, 100, 200, 0, 0],
        [500, 26, 400, 300, 400, 300, 0],
        [80, 0, 0, 220, 300, 200, 0],
        [1, 0, 0, 400, 401, 400, ledger.batches[(1 << 32) + 4][-1]],
    ]
    assert list(ledger.statuses.values()) == [INVALIDATED, ACTIVE, ACTIVE, EXPIRED]
    assert ledger.deficits == {(1 << 32) + 1: 252}
    assert ledger.retirements == 5
