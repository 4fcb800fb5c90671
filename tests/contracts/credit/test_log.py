"""The sealed log: what it proves, and that it tells everything."""

from dataclasses import replace
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from tests.contracts.park import (
    CAP_KG,
    METHODOLOGY_HASH,
    ZERO,
    Park,
    ledger_records,
    log_head,
    sealed,
)


def live(park: Park) -> None:
    """Let every kind of ledger event happen, and transfers between them."""
    credit = park.credit
    first = park.issue(amount=1000, periodStart=100, periodEnd=200).return_value
    second = park.issue(amount=500, periodStart=200, periodEnd=300).return_value
    credit.safeTransferFrom(park.owner, park.buyer, first, 300, b"", {"from": park.owner})
    park.retire(first, 250, park.buyer, ("Añjali & Söhne", "2024", b"IN", 5, 9, b"\x07" * 32))
    credit.suspend(second, {"from": park.pauser})
    credit.setClassCap(1, CAP_KG - 1, {"from": park.registrar})
    credit.unsuspend(second, {"from": park.admin})
    park.cancel(second, 499, park.owner, "counted twice")
    arguments = (park.owner, park.market, [first, second], [700, 1], b"")
    credit.safeBatchTransferFrom(*arguments, {"from": park.owner})
    park.retire(first, 1, park.market)
    credit.registerSite(2, "last", {"from": park.registrar})


def test_an_empty_log(park: Park) -> None:
    """CC-60: nothing happened, number and head are zero."""
    credit = park.project.CarbonCredit.deploy(park.admin, 0, {"from": park.admin})
    assert log_head(credit) == (0, bytes(32))
    assert ledger_records(credit) == []


def test_the_first_head_by_hand(park: Park) -> None:
    """CC-60: from the text of the interface, without a decoder."""
    credit = park.project.CarbonCredit.deploy(park.admin, 0, {"from": park.admin})
    park.grant(credit, credit.REGISTRAR_ROLE(), park.registrar)
    credit.registerClass("wind", METHODOLOGY_HASH, 7, {"from": park.registrar})
    topic = keccak(text="ClassRegistered(uint32,string,bytes32,uint64,uint64,bytes32)")
    body = encode(
        ["bytes32", "uint32", "string", "bytes32", "uint64"],
        [topic, 1, "wind", METHODOLOGY_HASH, 7],
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


def test_events_tell_everything(park: Park, credit: Any) -> None:
    """CC-62: totals, periods, balances and registers, replayed from logs alone."""
    live(park)
    classes: dict[int, list[int]] = {}
    projects: dict[int, tuple[str, int]] = {}
    sites: dict[int, list[int]] = {}
    batches: dict[int, list[int]] = {}
    for record in ledger_records(credit):
        match record.name:
            case "ClassRegistered":
                classes[record["classId"]] = [record["cap"], 0]
            case "ClassCapChanged":
                assert classes[record["classId"]][0] == record["oldCap"]
                classes[record["classId"]][0] = record["newCap"]
            case "ProjectRegistered":
                projects[record["projectId"]] = (record["owner"], record["classId"])
            case "SiteRegistered":
                sites[record["siteId"]] = [record["projectId"], 0, 0]
            case "Issued":
                _, class_id, _, site_id, amount, start, end, *_ = record["claim"]
                classes[class_id][1] += amount
                sites[site_id][1:] = [end, sites[site_id][2] + 1]
                batches[record["batchId"]] = [amount, 0, 0, start, end]
            case "Retired":
                batches[record["batchId"]][1] += record["amount"]
                assert batches[record["batchId"]][1] == record["retiredTotal"]
            case "Cancelled":
                batches[record["batchId"]][2] += record["amount"]
                assert batches[record["batchId"]][2] == record["cancelledTotal"]
    balances = replayed_balances(credit)

    assert {number: credit.classOf(number) for number in classes} == _tuples(classes)
    found = {number: credit.projectOf(number) for number in projects}
    assert {number: (owner.lower(), of) for number, (owner, of) in found.items()} == projects
    assert {number: credit.siteOf(number) for number in sites} == _tuples(sites)
    assert {number: credit.batchOf(number) for number in batches} == _tuples(batches)
    for number, (issued, retired, cancelled, *_) in batches.items():
        held = {
            account: balances.get((account.address.lower(), number), 0) for account in park.accounts
        }
        assert {account: credit.balanceOf(account, number) for account in park.accounts} == held
        assert sum(held.values()) == issued - retired - cancelled == credit.totalSupply(number)


def replayed_balances(credit: Any) -> dict[tuple[str, int], int]:
    """Return balances by holder and batch from the transfers in the node's logs."""
    from brownie import web3
    from eth_abi.abi import decode

    single = keccak(text="TransferSingle(address,address,address,uint256,uint256)")
    several = keccak(text="TransferBatch(address,address,address,uint256[],uint256[])")
    balances: dict[tuple[str, int], int] = {}
    for log in web3.eth.get_logs({"address": credit.address, "fromBlock": 0}):
        if bytes(log["topics"][0]) not in (single, several):
            continue
        types = ["uint256", "uint256"] if bytes(log["topics"][0]) == single else ["uint256[]"] * 2
        ids, values = decode(types, bytes(log["data"]))
        if isinstance(ids, int):
            ids, values = (ids,), (values,)
        source, target = ("0x" + bytes(topic)[12:].hex() for topic in log["topics"][2:])
        for number, value in zip(ids, values, strict=True):
            for holder, change in ((source, -value), (target, value)):
                if holder != ZERO:
                    balances[holder, number] = balances.get((holder, number), 0) + change
    return balances


def _tuples(rows: dict[int, list[int]]) -> dict[int, tuple[int, ...]]:
    return {number: tuple(row) for number, row in rows.items()}
