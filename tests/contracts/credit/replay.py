"""The whole ledger from its logs alone, and the comparison with what the contract stores."""

from dataclasses import dataclass, field
from typing import Any

from eth_abi.abi import decode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from tests.contracts.park import (
    ACTIVE,
    CLAIM_FIELDS,
    IN_DISPUTE,
    INVALIDATED,
    NONE,
    ZERO,
    Park,
    Record,
    ledger_records,
)

SINGLE = keccak(text="TransferSingle(address,address,address,uint256,uint256)")
SEVERAL = keccak(text="TransferBatch(address,address,address,uint256[],uint256[])")
ISSUED, RETIRED, CANCELLED, START, END, GAP, EXPIRES = range(7)  # ICarbonCredit.Batch


@dataclass
class Ledger:
    """What an empty database has after a list of ledger events."""

    classes: dict[int, list[int]] = field(default_factory=dict)
    projects: dict[int, tuple[str, int]] = field(default_factory=dict)
    sites: dict[int, list[int]] = field(default_factory=dict)
    batches: dict[int, list[int]] = field(default_factory=dict)
    statuses: dict[int, int] = field(default_factory=dict)
    keys: dict[bytes, int] = field(default_factory=dict)
    roots: dict[bytes, int] = field(default_factory=dict)
    pending: dict[int, tuple[str, int]] = field(default_factory=dict)
    deficits: dict[int, int] = field(default_factory=dict)
    overlaps: set[frozenset[int]] = field(default_factory=set)
    retirements: int = 0

    def enter(self, record: Record) -> None:
        """Add an event; fail when it says of the state before it what is not so."""
        getattr(self, f"on_{record.name}")(record)

    def on_ClassRegistered(self, record: Record) -> None:
        assert record["classId"] == len(self.classes) + 1
        self.classes[record["classId"]] = [record["cap"], 0, record["bufferBps"]]

    def on_ClassCapChanged(self, record: Record) -> None:
        assert self.classes[record["classId"]][0] == record["oldCap"]
        self.classes[record["classId"]][0] = record["newCap"]

    def on_ClassBufferChanged(self, record: Record) -> None:
        assert self.classes[record["classId"]][2] == record["oldBufferBps"]
        self.classes[record["classId"]][2] = record["newBufferBps"]

    def on_ProjectRegistered(self, record: Record) -> None:
        assert record["projectId"] == len(self.projects) + 1
        owner = to_checksum_address(record["owner"])
        self.projects[record["projectId"]] = (owner, record["classId"])

    def on_SiteRegistered(self, record: Record) -> None:
        assert record["siteId"] == len(self.sites) + 1
        self.sites[record["siteId"]] = [record["projectId"], 0, 0]

    def on_Issued(self, record: Record) -> None:
        claim = dict(zip(CLAIM_FIELDS, record["claim"], strict=True))
        number, amount, terms = record["batchId"], claim["amount"], self.classes[claim["classId"]]
        assert record["buffered"] == amount * terms[2] // 10_000
        terms[1] += amount
        site = self.sites[claim["siteId"]]
        site[2] += 1
        assert number == (claim["siteId"] << 32) + site[2]
        start, end = claim["periodStart"], claim["periodEnd"]
        if claim["backfillBefore"]:
            after = self.batches[(claim["siteId"] << 32) + claim["backfillBefore"]]
            gap, after[GAP] = after[GAP], end
            assert gap <= start < end <= after[START]
        else:
            gap, site[1] = site[1], end
            assert gap <= start < end
        self.batches[number] = [amount, 0, 0, start, end, gap, claim["expiresAt"]]
        self.statuses[number] = ACTIVE
        assert record["key"] == claim["key"]
        assert {record["key"], claim["evidenceRoot"]}.isdisjoint({*self.keys, *self.roots})
        self.keys[record["key"]] = self.roots[claim["evidenceRoot"]] = number

    def on_Retired(self, record: Record) -> None:
        batch = self.batches[record["batchId"]]
        assert record["firstSerial"] == batch[RETIRED] + 1
        batch[RETIRED] += record["amount"]
        assert record["retiredTotal"] == batch[RETIRED]
        self.retirements += 1
        assert record["retirementId"] == self.retirements

    def on_Cancelled(self, record: Record) -> None:
        batch = self.batches[record["batchId"]]
        batch[CANCELLED] += record["amount"]
        assert record["firstSerial"] == batch[ISSUED] - batch[CANCELLED] + 1
        assert record["cancelledTotal"] == batch[CANCELLED]

    def on_Replaced(self, record: Record) -> None:
        self.on_Retired(record)
        self.deficits[record["replacedBatchId"]] -= record["amount"]
        assert record["deficitLeft"] == self.deficits[record["replacedBatchId"]]

    def on_StatusChanged(self, record: Record) -> None:
        assert self.statuses[record["batchId"]] == record["oldStatus"] != record["newStatus"]
        self.statuses[record["batchId"]] = record["newStatus"]

    def on_OverlapProven(self, record: Record) -> None:
        pair = frozenset((record["firstBatchId"], record["secondBatchId"]))
        assert pair <= set(self.batches)
        assert len(pair) == 2
        assert pair not in self.overlaps
        self.overlaps.add(pair)

    def on_InvalidationProposed(self, record: Record) -> None:
        assert record["batchId"] not in self.pending
        proposer = to_checksum_address(record["proposer"])
        self.pending[record["batchId"]] = (proposer, record["executableAt"])

    def on_InvalidationDropped(self, record: Record) -> None:
        del self.pending[record["batchId"]]

    def on_Invalidated(self, record: Record) -> None:
        del self.pending[record["batchId"]]
        issued, retired, cancelled, *_ = self.batches[record["batchId"]]
        assert record["frozen"] == issued - retired - cancelled
        assert record["deficit"] == retired
        self.deficits[record["batchId"]] = retired


def replayed(records: list[Record]) -> Ledger:
    """Return what a list of ledger events yields from nothing."""
    ledger = Ledger()
    for record in records:
        ledger.enter(record)
    disputed = {number for number in ledger.pending if ledger.statuses[number] != IN_DISPUTE}
    assert disputed == set()
    assert all(ledger.statuses[number] == INVALIDATED for number in ledger.deficits)
    return ledger


def replayed_balances(credit: Any) -> dict[tuple[str, int], int]:
    """Return balances by holder and batch from the transfers in the node's logs."""
    from brownie import web3

    balances: dict[tuple[str, int], int] = {}
    for log in web3.eth.get_logs({"address": credit.address, "fromBlock": 0}):
        topic = bytes(log["topics"][0])
        if topic not in (SINGLE, SEVERAL):
            continue
        types = ["uint256"] * 2 if topic == SINGLE else ["uint256[]"] * 2
        ids, values = decode(types, bytes(log["data"]))
        if isinstance(ids, int):
            ids, values = (ids,), (values,)
        source, target = ("0x" + bytes(topic)[12:].hex() for topic in log["topics"][2:])
        for number, value in zip(ids, values, strict=True):
            for holder, change in ((source, -value), (target, value)):
                if holder != ZERO:
                    place = to_checksum_address(holder), number
                    balances[place] = balances.get(place, 0) + change
                    assert balances[place] >= 0
    return {place: amount for place, amount in balances.items() if amount}


def compare_with_storage(park: Park) -> Ledger:
    """Replay all logs into an empty ledger, and find each of its rows in the contract's storage."""
    credit = park.credit
    ledger = replayed(ledger_records(credit))
    for number, row in ledger.classes.items():
        assert credit.classOf(number) == tuple(row)
    for number, owned in ledger.projects.items():
        assert credit.projectOf(number) == owned
    for number, row in ledger.sites.items():
        assert credit.siteOf(number) == tuple(row)
    assert credit.classOf(len(ledger.classes) + 1) == (0, 0, 0)
    assert credit.projectOf(len(ledger.projects) + 1) == (ZERO, 0)
    assert credit.siteOf(len(ledger.sites) + 1) == (0, 0, 0)
    assert credit.retirementCount() == ledger.retirements

    balances = replayed_balances(credit)
    for number, row in ledger.batches.items():
        assert credit.batchOf(number) == tuple(row)
        assert credit.statusOf(number) == ledger.statuses[number]
        assert credit.invalidationOf(number) == ledger.pending.get(number, (ZERO, 0))
        assert credit.deficitOf(number) == ledger.deficits.get(number, 0)
        held = sum(amount for (_, batch), amount in balances.items() if batch == number)
        assert held == row[ISSUED] - row[RETIRED] - row[CANCELLED] == credit.totalSupply(number)
        for other in ledger.batches:
            proven = frozenset((number, other)) in ledger.overlaps
            assert credit.isOverlapProven(number, other) == proven
    for site, (_, _, count) in ledger.sites.items():
        assert credit.statusOf((site << 32) + count + 1) == NONE
    for key, number in ledger.keys.items():
        assert credit.batchOfKey(key) == number
    for root, number in ledger.roots.items():
        assert credit.batchOfEvidenceRoot(root) == number
    everyone = [account.address for account in park.accounts] + [credit.address]
    everyone += [holder for holder, _ in balances if holder not in everyone]
    for number in ledger.batches:
        found = credit.balanceOfBatch(everyone, [number] * len(everyone))
        assert found == tuple(balances.get((holder, number), 0) for holder in everyone)
    assert {number for _, number in balances} <= set(ledger.batches)
    return ledger
