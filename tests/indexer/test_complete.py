"""Every event of the complete contracts once, and what becomes of it, in literals, on both databases.

After each history the reconciliation holds, and taking its last blocks back gives what a new mirror of
the shorter chain has.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from indexer import Indexer, reorg
from ledger.chain.contracts.events import CREDIT, SETTLEMENT, ZERO_ADDRESS
from ledger.db import Database
from ledger.models.credits import BatchStatus
from ledger.models.escrow import DisputeStep, MovementKind, SettlementStatus
from ledger.models.oversight import InvalidationStep
from ledger.reconcile import reconcile
from ledger.serials import CreditStatus
from tests.support import acts
from tests.support.chain import (
    BOND_CENTS,
    DISPUTE_TIMEOUT_S,
    FIRST_PERIOD_S,
    PARTIES,
    PERIOD_S,
    WINDOW_S,
    TestChain,
    trade,
    until_mined,
)
from tests.support.copied import back_up
from tests.support.forms import few, long
from tests.support.mirror import dump, rows

SHORT_ON_MARIADB = (
    "test_a_dispute_that_is_rejected_and_one_that_is_upheld",
    "test_a_cosigned_batch_is_final_at_once",
    "test_dumps_of_both_databases_are_one",
)

FIRST, SECOND, THIRD = ((1 << 32) + ordinal for ordinal in (1, 2, 3))
OWNER, BUYER, MARKET, ADMIN = (PARTIES[name] for name in ("owner", "buyer", "market", "admin"))
DEPTH = 64


def day(number: int) -> int:
    return FIRST_PERIOD_S + number * PERIOD_S


def now(chain: TestChain) -> int:
    head = chain.client.block("latest")
    assert head is not None
    return head.timestamp


@pytest.fixture
def mirrored(db: Database, chain: TestChain) -> Callable[[], None]:
    """Return a function that mirrors to the head and lets the reconciliation look."""
    mirror = Indexer(db, chain.client, chain.deployment, DEPTH)

    def run() -> None:
        mirror.run_until("head")
        report = reconcile(db, chain.client, chain.deployment)
        assert [rule for rule in report.rules if not rule.ok] == []

    return run


@pytest.fixture
def rewinds(
    chain: TestChain, sqlite_db: Database, same_as_fresh: Callable[[], None], tmp_path: Path
) -> Callable[[int], None]:
    """Return a function that takes back all above each block from one on, as the mirror was that came no further."""

    def run(first: int) -> None:
        mirror, head = Indexer(sqlite_db, chain.client, chain.deployment, DEPTH), _head(chain)
        then = {}
        for number in range(first, head):
            mirror.run_until(number)
            then[number] = dump(sqlite_db)
        mirror.run_until(head)
        restore = back_up(sqlite_db, tmp_path)
        for number, before in then.items():
            with sqlite_db.write() as session:
                reorg.rewind(session, number)
            now = dump(sqlite_db) | {"chain_cursor": before["chain_cursor"]}  # is the loop's
            assert [table for table in before if now[table] != before[table]] == [], number
            restore()
        chain.roll_back(head - first)
        mirror.run_until("head")
        same_as_fresh()

    return run


def _head(chain: TestChain) -> int:
    until_mined(chain.client)
    return chain.client.block_number()


# ------------------------------------------------------------------------ credits


@long
def test_a_share_goes_to_the_buffer(
    chain: TestChain, db: Database, mirrored: Callable[[], None]
) -> None:
    chain.issue(1000, 0)
    chain.act("registrar", CREDIT, "setClassBuffer", [1, 1250])
    chain.issue(999, 1)
    mirrored()
    assert rows(db, "credit_classes", "class_id", "buffer_bps") == [(1, 1250)]
    assert rows(db, "credit_batches", "batch_id", "buffered_kg") == [(FIRST, 0), (SECOND, 124)]
    contract = chain.deployment.credit.address
    assert rows(db, "credit_holdings", "batch_id", "holder", "amount_kg") == sorted(
        [(FIRST, OWNER, 1000), (SECOND, OWNER, 875), (SECOND, contract, 124)], key=repr
    )


@long
def test_time_that_was_left_out_is_filled_from_both_ends(
    chain: TestChain, db: Database, mirrored: Callable[[], None]
) -> None:
    chain.issue(10, 2)
    chain.issue(10, 9)
    mirrored()
    gaps = ("ordinal", "gap_start_s", "period_start_s")
    assert rows(db, "credit_batches", *gaps) == [(1, 0, day(2)), (2, day(3), day(9))]
    assert rows(db, "credit_sites", "minted_until_s") == [(day(10),)]
    chain.issue(10, 5, backfill_before=2)
    chain.issue(10, 4, backfill_before=3)
    chain.issue(10, 0, backfill_before=1)
    mirrored()
    assert rows(db, "credit_batches", *gaps) == [
        (1, day(1), day(2)),
        (2, day(6), day(9)),
        (3, day(5), day(5)),
        (4, day(3), day(4)),
        (5, 0, day(0)),
    ]
    assert rows(db, "credit_sites", "minted_until_s") == [(day(10),)]


@long
def test_a_batch_that_expires(chain: TestChain, db: Database, mirrored: Callable[[], None]) -> None:
    chain.mine(1)  # the chain that is copied may be as old as the session
    ends = now(chain) + 1000
    batch = chain.issue(10, 0, expires_at=ends)
    chain.later(1001)
    chain.act("spare", CREDIT, "expire", [batch])
    mirrored()
    assert rows(db, "credit_batches", "expires_at_s", "status") == [(ends, BatchStatus.EXPIRED)]
    assert rows(db, "carbon_credits", "status", "expires_at") == [
        (CreditStatus.ACTIVE, datetime.fromtimestamp(ends, UTC))
    ]


@long
def test_a_reading_that_counts_twice(
    chain: TestChain, db: Database, mirrored: Callable[[], None]
) -> None:
    one, two = acts.evidence("meter 7", 0), acts.evidence("meter 7", 300, 999)
    chain.issue(10, 0, evidence_root=one.root)
    chain.issue(10, 1, evidence_root=two.root)
    receipt = chain.act("spare", CREDIT, "proveOverlap", [one.proven, two.proven])
    mirrored()
    assert [status for (status,) in rows(db, "credit_batches", "status")] == [
        BatchStatus.DISPUTED
    ] * 2
    columns = ("first_batch_id", "second_batch_id", "challenger", "meter", "tx_hash")
    meter = "0x" + one.reading[0].hex()
    assert rows(db, "credit_overlaps", *columns) == [
        (FIRST, SECOND, PARTIES["spare"], meter, receipt.tx_hash)
    ]
    ((first, second),) = rows(db, "credit_overlaps", "first_reading", "second_reading")
    assert first["start"] == FIRST_PERIOD_S and second["start"] == FIRST_PERIOD_S + 300
    assert (second["digits"], second["scale"], second["quality"]) == (999, 1, 100)
    chain.act("admin", CREDIT, "reinstate", [FIRST])
    mirrored()
    assert dict(rows(db, "credit_batches", "batch_id", "status")) == {
        FIRST: BatchStatus.ACTIVE,
        SECOND: BatchStatus.DISPUTED,
    }
    assert {status for (status,) in rows(db, "carbon_credits", "status")} == {CreditStatus.ACTIVE}


@long
def test_an_invalidation_freezes_what_is_held(
    chain: TestChain, db: Database, mirrored: Callable[[], None]
) -> None:
    chain.act("registrar", CREDIT, "setClassBuffer", [1, 1000])
    chain.issue(100, 0)
    chain.issue(200, 1)
    chain.retire("owner", FIRST, 30)
    chain.cancel("owner", FIRST, 5)
    chain.act("reverser", CREDIT, "proposeInvalidation", [FIRST, "a rumour"])
    chain.act("admin", CREDIT, "reinstate", [FIRST])
    acts.invalidate(chain, FIRST)
    acts.replace(chain, SECOND, FIRST, 12)
    mirrored()
    steps = rows(db, "credit_invalidations", "step", "account", "reason", "frozen_kg", "deficit_kg")
    reverser = PARTIES["reverser"]
    assert steps == sorted(
        [
            (InvalidationStep.PROPOSED, reverser, "a rumour", None, None),
            (InvalidationStep.DROPPED, None, None, None, None),
            (InvalidationStep.PROPOSED, reverser, "meter was tampered with", None, None),
            (InvalidationStep.EXECUTED, ADMIN, None, 65, 30),
        ],
        key=repr,
    )
    columns = ("batch_id", "retired_kg", "cancelled_kg", "status", "deficit_kg")
    assert rows(db, "credit_batches", *columns) == [
        (FIRST, 30, 5, BatchStatus.CANCELLED, 18),
        (SECOND, 12, 0, BatchStatus.ACTIVE, None),
    ]
    assert rows(db, "carbon_credits", "credit_id", "status") == [
        ("lhb-wind-2014-1-1-30", CreditStatus.RETIRED),
        ("lhb-wind-2014-1-31-95", CreditStatus.CANCELLED),
        ("lhb-wind-2014-1-96-100", CreditStatus.CANCELLED),
        ("lhb-wind-2014-2-1-12", CreditStatus.RETIRED),
        ("lhb-wind-2014-2-13-200", CreditStatus.ACTIVE),
    ]
    contract = chain.deployment.credit.address
    retired = rows(db, "credit_retirements", "batch_id", "holder", "replaced_batch_id", "amount_kg")
    assert retired == [(FIRST, OWNER, None, 30), (SECOND, contract, FIRST, 12)]
    held = {
        (batch, holder): kg
        for batch, holder, kg in rows(db, "credit_holdings", "batch_id", "holder", "amount_kg")
    }
    assert held == {
        (FIRST, OWNER): 55,
        (FIRST, contract): 10,
        (SECOND, OWNER): 180,
        (SECOND, contract): 8,
    }


@long
def test_retirements_by_signature_and_of_several_batches(
    chain: TestChain, db: Database, mirrored: Callable[[], None]
) -> None:
    chain.issue(100, 0)
    chain.issue(100, 1)
    acts.retire_for(chain, "owner", FIRST, 7, 0)
    receipt = acts.retire_batch(chain, "owner", [(FIRST, 1), (SECOND, 2), (FIRST, 3)])
    mirrored()
    retired = rows(db, "credit_retirements", "retirement_id", "batch_id", "first_serial", "holder")
    assert retired == [
        (1, FIRST, 1, OWNER),
        (2, FIRST, 8, OWNER),
        (3, SECOND, 1, OWNER),
        (4, FIRST, 9, OWNER),
    ]
    keys = {
        key
        for key, tx_hash in rows(db, "credit_retirements", "key", "tx_hash")
        if tx_hash == receipt.tx_hash
    }
    assert len(keys) == 1


@long
def test_every_act_of_oversight_is_taken_back(
    chain: TestChain, rewinds: Callable[[int], None]
) -> None:
    one, two = acts.evidence("meter 7", 0), acts.evidence("meter 7", 300)
    chain.issue(100, 3, evidence_root=one.root)
    chain.retire("owner", FIRST, 30)
    chain.cancel("owner", FIRST, 5)  # which is no part of what an invalidation freezes
    before = chain.client.block_number()
    chain.act("registrar", CREDIT, "setClassBuffer", [1, 1000])
    chain.issue(200, 7, evidence_root=two.root)
    chain.issue(50, 5, backfill_before=2)
    chain.issue(50, 0, backfill_before=1)
    chain.act("spare", CREDIT, "proveOverlap", [one.proven, two.proven])
    chain.act("admin", CREDIT, "reinstate", [SECOND])
    chain.cancel("owner", SECOND, 2)  # above what is retired of it later
    acts.invalidate(chain, FIRST)
    acts.replace(chain, SECOND, FIRST, 7)
    acts.replace(chain, SECOND, FIRST, 6)
    fourth = chain.issue(50, 9)
    acts.invalidate(chain, fourth)  # a batch that goes itself
    chain.in_one_block(
        *(
            chain.transaction(sender, CREDIT, function, arguments)
            for sender, function, arguments in (
                ("registrar", "setClassCap", [1, 500_000]),
                ("registrar", "setClassCap", [1, 600_000]),
                ("registrar", "setClassBuffer", [1, 500]),
                ("registrar", "setClassBuffer", [1, 700]),
                ("pauser", "suspend", [SECOND]),
                ("owner", "retire", chain.retire_arguments(SECOND, 1)),  # too late
            )
        )
    )
    chain.act("admin", CREDIT, "reinstate", [SECOND])
    rewinds(before)


# --------------------------------------------------------------------- settlement


def escrow(db: Database) -> dict[tuple[str, int], int]:
    found = rows(db, "settlement_balances", "account", "asset", "balance")
    return {(account, asset): int(units) for account, asset, units in found}


def test_credits_are_traded_for_money_with_a_fee(
    chain: TestChain, db: Database, mirrored: Callable[[], None]
) -> None:
    batch = chain.issue(1000, 0)
    acts.deposit_credits(chain, "owner", batch, 600)
    chain.deposit("buyer", 100_00)
    chain.act("admin", SETTLEMENT, "setFee", [100, MARKET])
    chain.act("admin", SETTLEMENT, "setCaps", [10**9, 10**6])
    effective = now(chain)
    mirrored()
    terms = rows(
        db,
        "settlement_terms",
        "notional_cap_cents",
        "credit_cap_kg",
        "fee_bps",
        "fee_collector",
    )
    assert terms == [(Decimal(10**9), Decimal(10**6), None, None), (None, None, 100, MARKET)]
    chain.later(acts.WEEK_S)
    packed, _ = chain.propose([trade(1, "buyer", "owner", 400, 1_250_000)], asset=batch)
    mirrored()
    assert escrow(db) == {(OWNER, batch): 200, (BUYER, 0): 50_00}
    chain.finalize(1, packed)
    acts.withdraw_credits(chain, "buyer", batch, 150)
    mirrored()
    assert escrow(db) == {
        (OWNER, batch): 200,
        (OWNER, 0): 49_50,
        (BUYER, 0): 50_00,
        (BUYER, batch): 250,
        (MARKET, 0): 50,
    }
    columns = ("batch_id", "asset", "status", "fee_cents", "fee_collector", "trade_count")
    assert rows(db, "settlement_batches", *columns) == [
        (1, batch, SettlementStatus.FINALIZED, Decimal(50), MARKET, 1)
    ]
    ((accounts, nets, credit_nets),) = rows(
        db, "settlement_batches", "accounts", "nets", "credit_nets"
    )
    assert dict(zip(accounts, nets, strict=True)) == {BUYER: "-5000", OWNER: "4950"}
    assert dict(zip(accounts, credit_nets, strict=True)) == {BUYER: "400", OWNER: "-400"}
    assert effective < now(chain) - acts.WEEK_S


@long
def test_a_dispute_that_is_rejected_and_one_that_is_upheld(
    chain: TestChain, db: Database, mirrored: Callable[[], None]
) -> None:
    chain.deposit("buyer", 100_00)
    chain.deposit("owner", 50_00)
    item = trade(1, "buyer", "owner", 1000, 300_000)  # 30.00
    packed, proposal = chain.propose([item])
    header = chain.client.block(proposal.block_number)
    assert header is not None
    acts.dispute(chain, "owner", 1, item)
    disputed_at = now(chain)
    mirrored()
    window = "finalizable_at_s"
    assert rows(db, "settlement_batches", "status", window) == [
        (SettlementStatus.DISPUTED, header.timestamp + WINDOW_S)
    ]
    assert escrow(db) == {(BUYER, 0): 70_00, (OWNER, 0): 50_00 - BOND_CENTS}
    chain.later(500)
    acts.reject_dispute(chain, 1)
    ends = now(chain) + header.timestamp + WINDOW_S - disputed_at
    mirrored()
    assert rows(db, "settlement_batches", "status", window) == [(SettlementStatus.PROPOSED, ends)]
    assert escrow(db)[ADMIN, 0] == BOND_CENTS
    acts.dispute(chain, "buyer", 1, item)
    chain.cancel_batch(1, packed, sender="admin")
    mirrored()
    columns = ("status", "cancelled_by", "reason")
    assert rows(db, "settlement_batches", *columns) == [
        (SettlementStatus.CANCELLED, ADMIN, "wrong day")
    ]
    assert escrow(db) == {
        (BUYER, 0): 100_00,
        (OWNER, 0): 50_00 - BOND_CENTS,
        (ADMIN, 0): BOND_CENTS,
    }
    steps = rows(db, "settlement_disputes", "step", "account", "seq", "bond_cents", "bond_to")
    bond = Decimal(BOND_CENTS)
    assert steps == sorted(
        [
            (DisputeStep.DISPUTED, OWNER, Decimal(1), bond, None),
            (DisputeStep.REJECTED, OWNER, None, bond, ADMIN),
            (DisputeStep.DISPUTED, BUYER, Decimal(1), bond, None),
            (DisputeStep.UPHELD, BUYER, None, bond, BUYER),
        ],
        key=repr,
    )
    (until,) = [
        until
        for account, step, until in rows(db, "settlement_disputes", "account", "step", "until_s")
        if (account, step) == (OWNER, DisputeStep.DISPUTED)
    ]
    assert until == disputed_at + DISPUTE_TIMEOUT_S


@long
def test_a_cosigned_batch_is_final_at_once(
    chain: TestChain, db: Database, mirrored: Callable[[], None]
) -> None:
    chain.deposit("buyer", 100_00)
    receipt = acts.cosign(chain, ("buyer", "owner"), [trade(1, "buyer", "owner", 1000, 300_000)])
    mirrored()
    ((status, digest, ended, proposed),) = rows(
        db, "settlement_batches", "status", "cosigned_digest", "ended_block", "block_number"
    )
    assert (status, ended, proposed) == (
        SettlementStatus.FINALIZED,
        receipt.block_number,
        receipt.block_number,
    )
    assert digest is not None and digest != "0x" + "00" * 32
    assert escrow(db) == {(BUYER, 0): 70_00, (OWNER, 0): 30_00}


@few(1)
@pytest.mark.parametrize(
    ("price", "paid", "fee"),
    [
        (300_000, 30_00, 0),
        (-300_000, -30_00, 0),
        (300_000, 30_00, 30),
        (0, 0, 0),
        (-300_000, -30_00, 30),
    ],
)
def test_a_trade_by_itself(
    chain: TestChain,
    db: Database,
    mirrored: Callable[[], None],
    price: int,
    paid: int,
    fee: int,
) -> None:
    """Who pays pays all of it; the fee, one in a hundred, is of what the other gets."""
    batch = chain.issue(2000, 0)
    if fee:
        chain.act("admin", SETTLEMENT, "setFee", [100, MARKET])
        chain.later(acts.WEEK_S)
    acts.deposit_credits(chain, "owner", batch, 1500)
    chain.deposit("buyer", 100_00)
    chain.deposit("owner", 100_00)
    acts.settle_one(chain, trade(7, "buyer", "owner", 1000, price), batch)
    mirrored()
    assert escrow(db) == {
        (BUYER, 0): 100_00 - paid - (fee if paid < 0 else 0),
        (OWNER, 0): 100_00 + paid - (fee if paid > 0 else 0),
        (OWNER, batch): 500,
        (BUYER, batch): 1000,
        **({(MARKET, 0): fee} if fee else {}),
    }
    columns = ("seq", "buyer", "seller", "asset", "quantity", "price_e4", "cents", "fee_cents")
    assert rows(db, "settlement_trades", *columns) == [
        (Decimal(7), BUYER, OWNER, batch, 1000, price, paid, Decimal(fee))
    ]
    kinds = {kind for (kind,) in rows(db, "settlement_movements", "kind")}
    moved = {MovementKind.DEPOSIT, MovementKind.DEBIT, MovementKind.CREDIT}
    assert kinds == moved | ({MovementKind.FEE} if fee else set())
    assert ZERO_ADDRESS not in {account for account, _ in escrow(db)}


def test_every_act_of_settlement_is_taken_back(
    chain: TestChain, rewinds: Callable[[int], None]
) -> None:
    batch = chain.issue(2000, 0)
    chain.deposit("buyer", 900_00)
    chain.deposit("owner", 100_00)
    before = chain.client.block_number()
    acts.deposit_credits(chain, "owner", batch, 1500)
    first, second = trade(1, "buyer", "owner", 100, 300_000), trade(2, "buyer", "owner", 100, 9_000)
    packed, _ = chain.propose([first], asset=batch)
    chain.in_one_block(
        chain.transaction("buyer", SETTLEMENT, "disputeTrade", [1, acts.trade_tuple(first), []]),
        chain.transaction("admin", SETTLEMENT, "rejectDispute", [1]),
    )
    acts.dispute(chain, "owner", 1, first)
    chain.later(5)  # the window ends later by what a dispute took
    acts.reject_dispute(chain, 1)
    other, _ = chain.propose([second])
    chain.later(7)  # the end of the dispute is not that of the window
    acts.dispute(chain, "owner", 2, second)
    chain.cancel_batch(2, other, sender="admin")
    acts.cosign(chain, ("buyer", "owner"), [trade(3, "owner", "buyer", 100, 70_000)])
    chain.act("admin", SETTLEMENT, "setFee", [100, MARKET])
    chain.act("admin", SETTLEMENT, "setCaps", [10**9, 10**6])
    chain.later(acts.WEEK_S)
    acts.settle_one(chain, trade(4, "buyer", "owner", 10, 70_000_000), batch)
    chain.finalize(1, packed)
    acts.withdraw_credits(chain, "buyer", batch, 50)
    third = trade(5, "buyer", "owner", 100, 9_000)
    chain.propose([third])
    acts.dispute(chain, "owner", 4, third)
    acts.reject_dispute(chain, 4)
    rewinds(before)


def test_dumps_of_both_databases_are_one(
    chain: TestChain,
    db: Database,
    mirrored: Callable[[], None],
    fresh_dump: Callable[[int], object],
) -> None:
    one, two = acts.evidence("meter 7", 0), acts.evidence("meter 7", 300)
    batch = chain.issue(100, 3, evidence_root=one.root)
    chain.issue(200, 7, evidence_root=two.root)
    chain.act("spare", CREDIT, "proveOverlap", [one.proven, two.proven])
    chain.act("admin", CREDIT, "reinstate", [batch])
    acts.deposit_credits(chain, "owner", batch, 50)
    chain.deposit("buyer", 900_00)
    item = trade(1, "buyer", "owner", 10, 3_000_000)
    chain.propose([item], asset=batch)
    acts.dispute(chain, "buyer", 1, item)
    acts.invalidate(chain, batch)
    mirrored()
    assert dump(db) == fresh_dump(DEPTH)
