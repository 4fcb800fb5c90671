"""The ledger as SPEC.md says it is, in plain Python: no contract, no chain, no hash but as a name.

An act either raises ``Refused`` with the contract's reason and changes nothing, or changes the
model and returns what the contract returns.
"""

from dataclasses import dataclass, field
from typing import Any

from tests.contracts.credit.evidence import Evidence, Reading
from tests.contracts.credit.replay import Ledger
from tests.contracts.park import ACTIVE, EXPIRED, IN_DISPUTE, INVALIDATED, SUSPENDED, Claim

WEEK_S = 604_800


class Refused(Exception):
    """The contract reverts, for this reason."""

    def __init__(self, *reason: Any) -> None:
        super().__init__(*reason)
        self.reason = reason


@dataclass
class Batch:
    """What the model knows of a batch."""

    site: int
    issued: int
    period: range
    free: set[int]
    """The seconds before it that are its own to give to a backfill."""
    expires: int
    evidence: Evidence
    balances: dict[str, int]
    left: list[int]
    """Serials that are neither retired nor cancelled, ascending."""
    retired: int = 0
    cancelled: int = 0
    status: int = ACTIVE
    deficit: int | None = None
    pending: tuple[str, int] | None = None


@dataclass
class Model:
    """The whole ledger. Accounts are addresses; ``buffer`` is that of the contract itself."""

    buffer: str
    caps: dict[int, int] = field(default_factory=dict)
    shares: dict[int, int] = field(default_factory=dict)
    projects: dict[int, tuple[str, int]] = field(default_factory=dict)
    sites: dict[int, int] = field(default_factory=dict)
    codes: set[tuple[str, str]] = field(default_factory=set)
    batches: dict[int, Batch] = field(default_factory=dict)
    keys: dict[bytes, int] = field(default_factory=dict)
    roots: dict[bytes, int] = field(default_factory=dict)
    overlaps: set[frozenset[int]] = field(default_factory=set)
    operators: set[tuple[str, str]] = field(default_factory=set)
    nonces: dict[str, int] = field(default_factory=dict)
    retirements: int = 0
    records: int = 0
    paused: bool = False
    now: int = 0
    """The time of the block in which the next act happens."""

    # --------------------------------------------------------------- register

    def register_class(self, code: str, cap: int, share: int) -> int:
        if share > 5000:
            raise Refused("BufferTooLarge", share, 5000)
        self._take("class", code)
        number = len(self.caps) + 1
        self.caps[number], self.shares[number] = cap, share
        self.records += 1
        return number

    def register_project(self, class_id: int, owner: str, code: str) -> int:
        self._require_class(class_id)
        self._take("project", code)
        self.projects[len(self.projects) + 1] = (owner, class_id)
        self.records += 1
        return len(self.projects)

    def register_site(self, project: int, code: str) -> int:
        if project not in self.projects:
            raise Refused("UnknownProject", project)
        self._take("site", code)
        self.sites[len(self.sites) + 1] = project
        self.records += 1
        return len(self.sites)

    def set_cap(self, class_id: int, cap: int) -> None:
        self._require_class(class_id)
        self.caps[class_id] = cap
        self.records += 1

    def set_share(self, class_id: int, share: int) -> None:
        self._require_class(class_id)
        if share > 5000:
            raise Refused("BufferTooLarge", share, 5000)
        self.shares[class_id] = share
        self.records += 1

    def _require_class(self, class_id: int) -> None:
        if class_id not in self.caps:
            raise Refused("UnknownClass", class_id)

    def _take(self, kind: str, code: str) -> None:
        if (kind, code) in self.codes:
            raise Refused("CodeTaken", code)
        self.codes.add((kind, code))

    # --------------------------------------------------------------- issuance

    def issue(self, claim: Claim, evidence: Evidence) -> int:
        site, amount, before = (claim[name] for name in ("siteId", "amount", "backfillBefore"))
        if claim["key"] in self.keys:
            raise Refused("KeyUsed", claim["key"])
        if evidence.root in self.roots:
            raise Refused("EvidenceRootUsed", evidence.root)
        if 0 < claim["expiresAt"] <= self.now:
            raise Refused("BadExpiry", claim["expiresAt"])
        class_id = self.projects[self.sites[site]][1]
        issued = self.issued_in(class_id) + amount
        if issued > self.caps[class_id]:
            raise Refused("CapExceeded", class_id, self.caps[class_id], issued)
        period = range(claim["periodStart"], claim["periodEnd"])
        owner = self._owner_of_time(site, period, before)
        if self.paused:
            raise Refused("EnforcedPause")

        free = set(range(self.until(site), period.start))
        if owner:  # what lies before the period goes to the new batch, what lies after stays
            free = {second for second in owner.free if second < period.start}
            owner.free = {second for second in owner.free if second >= period.stop}
        ordinal = 1 + sum(batch.site == site for batch in self.batches.values())
        buffered = amount * self.shares[class_id] // 10_000
        balances = {self.buffer: buffered, claim["recipient"]: amount - buffered}
        number = site * 2**32 + ordinal
        serials = list(range(1, amount + 1))
        self.batches[number] = Batch(
            site, amount, period, free, claim["expiresAt"], evidence, balances, serials
        )
        self.keys[claim["key"]] = self.roots[evidence.root] = number
        self.records += 1
        return number

    def _owner_of_time(self, site: int, period: range, before: int) -> Batch | None:
        if not before:
            if period.start < self.until(site):
                raise Refused("PeriodAlreadyIssued", site, period.start, self.until(site))
            return None
        number = site * 2**32 + before
        if number not in self.batches:
            raise Refused("UnknownBatch", number)
        owner = self.batches[number]
        if not set(period) <= owner.free:
            raise Refused("PeriodNotFree", site, period.start, gap_of(owner), owner.period.start)
        return owner

    def until(self, site: int) -> int:
        return max(
            (each.period.stop for each in self.batches.values() if each.site == site), default=0
        )

    def issued_in(self, class_id: int) -> int:
        return sum(each.issued for each in self.batches.values() if self.class_of(each) == class_id)

    def class_of(self, batch: Batch) -> int:
        return self.projects[self.sites[batch.site]][1]

    # ---------------------------------------------------------------- holding

    def transfer(
        self, sender: str, giver: str, taker: str, numbers: list[int], amounts: list[int]
    ) -> None:
        if sender != giver and (giver, sender) not in self.operators:
            raise Refused("ERC1155MissingApprovalForAll", sender, giver)
        if self.paused:
            raise Refused("EnforcedPause")
        for number in numbers:
            self._require_movable(number)
        for number, amount in zip(numbers, amounts, strict=True):
            self._require_held(number, giver, amount)
        for number, amount in zip(numbers, amounts, strict=True):
            balances = self.batches[number].balances
            balances[giver] = balances.get(giver, 0) - amount
            balances[taker] = balances.get(taker, 0) + amount

    def approve(self, owner: str, operator: str, approved: bool) -> None:
        (self.operators.add if approved else self.operators.discard)((owner, operator))

    def permit(self, owner: str, operator: str, approved: bool, nonce: int) -> None:
        if nonce != self.nonces.get(owner, 0):
            raise Refused("BadHolderSignature", owner)
        self.nonces[owner] = nonce + 1
        self.approve(owner, operator, approved)

    def _require_movable(self, number: int) -> None:
        if number not in self.batches:
            raise Refused("UnknownBatch", number)
        batch = self.batches[number]
        if batch.status != ACTIVE:
            raise Refused("NotActive", number, batch.status)
        if not self.is_transferable(number):
            raise Refused("BatchExpired", number, batch.expires)

    def is_transferable(self, number: int) -> bool:
        batch = self.batches[number]
        return batch.status == ACTIVE and not (batch.expires and self.now >= batch.expires)

    def _require_held(self, number: int, holder: str, amount: int, gone: int = 0) -> None:
        held = self.batches[number].balances.get(holder, 0) - gone
        if held < amount:
            raise Refused("ERC1155InsufficientBalance", holder, held, amount, number)

    # ------------------------------------------------- retirement, cancellation

    def retire(self, holder: str, numbers: list[int], amounts: list[int]) -> int:
        gone: dict[int, int] = {}
        for number, amount in zip(numbers, amounts, strict=True):
            self._require_movable(number)
            self._require_held(number, holder, amount, gone.get(number, 0))
            gone[number] = gone.get(number, 0) + amount
        first = self.retirements + 1
        for number, amount in zip(numbers, amounts, strict=True):
            batch = self.batches[number]
            batch.balances[holder] -= amount
            batch.retired += amount
            del batch.left[:amount]
            self.retirements += 1
            self.records += 1
        return first

    def retire_for(self, holder: str, number: int, amount: int, nonce: int) -> int:
        if nonce != self.nonces.get(holder, 0):
            raise Refused("InvalidAccountNonce", holder, self.nonces.get(holder, 0))
        retirement = self.retire(holder, [number], [amount])
        self.nonces[holder] = nonce + 1
        return retirement

    def cancel(self, holder: str, number: int, amount: int) -> None:
        self._require_movable(number)
        self._require_held(number, holder, amount)
        batch = self.batches[number]
        batch.balances[holder] -= amount
        batch.cancelled += amount
        del batch.left[-amount:]
        self.records += 1

    def replace(self, number: int, replaced: int, amount: int) -> int:
        self._require_movable(number)
        self._require_held(number, self.buffer, amount)
        classes = [self.class_of(self.batches[each]) for each in (number, replaced)]
        if classes[0] != classes[1]:
            raise Refused("ClassDiffers", *classes)
        wrong = self.batches[replaced]
        if amount > (wrong.deficit or 0):
            raise Refused("AboveDeficit", amount, wrong.deficit or 0)
        assert wrong.deficit is not None
        wrong.deficit -= amount
        return self.retire(self.buffer, [number], [amount])

    # -------------------------------------------------------------- oversight

    def suspend(self, number: int) -> None:
        self._require_status(number, "NotActive", ACTIVE)
        self._set_status(number, SUSPENDED)

    def reinstate(self, number: int) -> None:
        self._require_status(number, "NotStopped", SUSPENDED, IN_DISPUTE)
        if self.batches[number].pending:
            self.batches[number].pending = None
            self.records += 1
        self._set_status(number, ACTIVE)

    def expire(self, number: int) -> None:
        self._require_status(number, "NotActive", ACTIVE)
        if self.is_transferable(number):
            raise Refused("NotExpired", number, self.batches[number].expires)
        self._set_status(number, EXPIRED)

    def pause(self) -> None:
        if self.paused:
            raise Refused("EnforcedPause")
        self.paused = True

    def unpause(self) -> None:
        if not self.paused:
            raise Refused("ExpectedPause")
        self.paused = False

    def prove_overlap(self, one: int, first: Reading, other: int, second: Reading) -> None:
        for reading in (first, second):
            if reading.quality not in range(100, 200):
                raise Refused("ReadingNotCounted", reading.quality)
        if one == other:
            raise Refused("SameBatch", one)
        shared = set(range(first.start, first.end)) & set(range(second.start, second.end))
        if first.meter != second.meter or not shared:
            raise Refused("NoOverlap", first.meter, second.meter)
        for number in (one, other):
            if self.batches[number].status == INVALIDATED:
                raise Refused("AlreadyCancelled", number)
        if {one, other} in self.overlaps:
            raise Refused("OverlapAlreadyProven", one, other)
        self.overlaps.add(frozenset((one, other)))
        self.records += 1
        self._dispute(one)
        self._dispute(other)

    def propose(self, proposer: str, number: int) -> None:
        if number not in self.batches:
            raise Refused("UnknownBatch", number)
        batch = self.batches[number]
        if batch.status == INVALIDATED:
            raise Refused("AlreadyCancelled", number)
        if batch.pending:
            raise Refused("InvalidationPending", number, batch.pending[0])
        batch.pending = (proposer, self.now + WEEK_S)
        self.records += 1
        self._dispute(number)

    def execute(self, executor: str, number: int) -> None:
        pending = self.batches[number].pending if number in self.batches else None
        if pending is None:
            raise Refused("NoInvalidation", number)
        if pending[0] == executor:
            raise Refused("TwoKeysNeeded", executor)
        if self.now < pending[1]:
            raise Refused("InvalidationTooEarly", number, pending[1])
        batch = self.batches[number]
        batch.pending, batch.deficit = None, batch.retired
        self.records += 1
        self._set_status(number, INVALIDATED)

    def _require_status(self, number: int, error: str, *good: int) -> None:
        if number not in self.batches:
            raise Refused("UnknownBatch", number)
        if self.batches[number].status not in good:
            raise Refused(error, number, self.batches[number].status)

    def _set_status(self, number: int, status: int) -> None:
        self.batches[number].status = status
        self.records += 1

    def _dispute(self, number: int) -> None:
        if self.batches[number].status != IN_DISPUTE:
            self._set_status(number, IN_DISPUTE)

    # -------------------------------------------------------------- as others say it

    def as_ledger(self) -> Ledger:
        """Return what a replay of all logs must yield."""
        ordinals = {
            site: sum(batch.site == site for batch in self.batches.values()) for site in self.sites
        }
        return Ledger(
            classes={
                number: [cap, self.issued_in(number), self.shares[number]]
                for number, cap in self.caps.items()
            },
            projects=self.projects,
            sites={
                site: [project, self.until(site), ordinals[site]]
                for site, project in self.sites.items()
            },
            batches={number: list(totals(batch)) for number, batch in self.batches.items()},
            statuses={number: batch.status for number, batch in self.batches.items()},
            keys=self.keys,
            roots=self.roots,
            pending={
                number: batch.pending for number, batch in self.batches.items() if batch.pending
            },
            deficits={
                number: batch.deficit
                for number, batch in self.batches.items()
                if batch.deficit is not None
            },
            overlaps=self.overlaps,
            retirements=self.retirements,
        )


def gap_of(batch: Batch) -> int:
    """Return where the free time before a batch begins."""
    return min(batch.free, default=batch.period.start)


def totals(batch: Batch) -> tuple[int, ...]:
    """Return a batch as the contract's struct."""
    return (
        batch.issued,
        batch.retired,
        batch.cancelled,
        batch.period.start,
        batch.period.stop,
        gap_of(batch),
        batch.expires,
    )
