"""What a history of the contracts becomes, row by row, on both databases; values are literals."""

import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from eth_account import Account
from eth_utils.crypto import keccak
from msgspec.structs import replace
from sqlalchemy import func, select, update

from indexer import Indexer, lookups, sums
from indexer.creditlog import CreditLog
from indexer.doubt import Doubt
from indexer.report import Report
from indexer.verify import verify
from ledger.chain.contracts import abi_values
from ledger.chain.contracts.events import CREDIT, SETTLEMENT, ZERO_ADDRESS, ZERO_HASH, decode
from ledger.chain.contracts.wrappers import encode_call
from ledger.db import Database
from ledger.errors import MirrorStopped, NotFound
from ledger.models import ChainCursor, ChainEvent
from ledger.models.blockchain import TransactionStatus
from ledger.models.credits import BatchStatus
from ledger.models.escrow import MovementKind
from ledger.naming import find_credit
from ledger.reconcile import reconcile
from ledger.registration import project_on_chain
from ledger.serials import CreditStatus
from tests.support.chain import LIBRARIES, PARTIES, TestChain, send, trade, wait_for
from tests.support.forms import long
from tests.support.mirror import dump, rows

SHORT_ON_MARIADB = (
    "test_credits_of_a_batch_partition_its_serials",
    "test_every_transaction_failed_ones_with_their_reason",
    "test_confirmed_only_when_final",
)

FIRST, SECOND = 1 << 32 | 1, 1 << 32 | 2
OWNER, BUYER, MARKET = PARTIES["owner"], PARTIES["buyer"], PARTIES["market"]


@pytest.fixture
def credits_history(chain: TestChain) -> TestChain:
    first, second = chain.issue(1000, 0), chain.issue(500, 1)
    assert (first, second) == (FIRST, SECOND)
    chain.transfer("owner", "buyer", first, 400)
    chain.transfer_batch("owner", "buyer", [(first, 1), (second, 500)])
    chain.retire("buyer", first, 25)
    chain.cancel("owner", first, 10)
    chain.retire("owner", first, 100, country="", beneficiary="")
    chain.act("pauser", CREDIT, "suspend", [second])
    return chain


def test_the_cursor_says_when_it_was_moved_last(
    chain: TestChain, mirror: Indexer, sqlite_db: Database
) -> None:
    moved = []
    for _ in range(2):
        chain.mine(1)
        mirror.run_until("head")
        with sqlite_db.read() as session:
            moved.append(session.scalars(select(ChainCursor.updated_at)).one())
    assert moved[0] < moved[1]


def test_a_batch_that_no_row_holds_stops_the_mirror(
    chain: TestChain, mirror: Indexer, sqlite_db: Database
) -> None:
    """DECIMAL(12,3) tonnes hold 999,999,999.999: the largest batch is mirrored, one kilogram more is not."""
    chain.act("registrar", CREDIT, "setClassCap", [1, 10**13])
    largest = chain.issue(10**12 - 1, 0)
    mirror.run_until("head")
    assert rows(sqlite_db, "carbon_credits", "amount") == [(Decimal("999999999.999"),)]
    before = dump(sqlite_db)
    too_large = chain.issue(10**12, 1)
    with pytest.raises(MirrorStopped, match=f"batch {too_large} .* has 1000000000000 kg"):
        mirror.run_until("head")
    assert too_large == largest + 1 and dump(sqlite_db) == before


def test_a_price_of_gas_that_no_row_holds_stops_the_mirror(chain: TestChain, db: Database) -> None:
    """DECIMAL(20,0) wei: a stranger with that much money of a private chain pays them for a call of ours."""
    mirror = Indexer(db, chain.client, chain.deployment, 0)  # what is read is final at once
    ours = chain.deployment.credit.address
    chain.client.request("anvil_setBalance", [BUYER, hex(10**28)])

    def paid(price: int) -> str:
        message = {"from": BUYER, "to": ours, "data": "0x", "gas": hex(10**5)}
        sent = chain.client.request("eth_sendTransaction", [message | {"gasPrice": hex(price)}])
        return wait_for(chain.client, sent).tx_hash

    prices = {paid(price): Decimal(price) for price in (2**64, 10**20 - 1)}
    mirror.run_until("head")
    shown = rows(db, "blockchain_transactions", "tx_hash", "gas_price", "status")
    for tx_hash, price in prices.items():
        assert (tx_hash, price, TransactionStatus.FAILED) in shown
    paid(10**20)
    said = r"blockchain_transactions\.gas_price: 100000000000000000000 does not fit DECIMAL\(20,0\)"
    with pytest.raises(MirrorStopped, match=said):
        mirror.run_until("head")


def test_credits_of_a_batch_partition_its_serials(credits_history: TestChain, db: Database) -> None:
    Indexer(db, credits_history.client, credits_history.deployment).run_until("head")
    credits = rows(db, "carbon_credits", "credit_id", "amount", "unit", "status", "expires_at")
    assert credits == [
        ("lhb-wind-2014-1-1-25", Decimal("0.025"), "tCO2e", CreditStatus.RETIRED, None),
        ("lhb-wind-2014-1-126-990", Decimal("0.865"), "tCO2e", CreditStatus.ACTIVE, None),
        ("lhb-wind-2014-1-26-125", Decimal("0.100"), "tCO2e", CreditStatus.RETIRED, None),
        ("lhb-wind-2014-1-991-1000", Decimal("0.010"), "tCO2e", CreditStatus.CANCELLED, None),
        ("lhb-wind-2014-2-1-500", Decimal("0.500"), "tCO2e", CreditStatus.ACTIVE, None),
    ]
    assert rows(
        db, "credit_serials", "batch_id", "first_serial", "last_serial", "retirement_id"
    ) == [
        (FIRST, 1, 25, 1),
        (FIRST, 126, 990, None),
        (FIRST, 26, 125, 2),
        (FIRST, 991, 1000, None),
        (SECOND, 1, 500, None),
    ]
    batches = rows(
        db,
        "credit_batches",
        "batch_id",
        "issued_kg",
        "retired_kg",
        "cancelled_kg",
        "status",
        "vintage",
    )
    assert batches == [
        (FIRST, 1000, 125, 10, BatchStatus.ACTIVE, 2014),
        (SECOND, 500, 0, 0, BatchStatus.SUSPENDED, 2014),
    ]
    issuers = rows(db, "carbon_credits", "issuer")
    assert {issuer for (issuer,) in issuers} == {PARTIES["issuer"]}


def test_the_credit_log_is_counted(
    credits_history: TestChain, mirror: Indexer, sqlite_db: Database
) -> None:
    """Its numbers are 1 to the last, each once: whatever is compared of the rows themselves."""
    mirror.run_until("head")
    with sqlite_db.write() as session:
        whole = Report(0, 0)
        last = sums._entries(session, whole)
        assert (whole.ok, last) == (True, session.scalar(select(func.max(ChainEvent.seq))))
        for change in (
            update(ChainEvent).where(ChainEvent.seq == 3).values(seq=None),  # one is missing
            update(ChainEvent).where(ChainEvent.seq == 3).values(seq=2),  # one is there twice
            update(ChainEvent).values(seq=ChainEvent.seq + 1),  # the first is missing
            update(ChainEvent).where(ChainEvent.seq == last).values(seq=last + 1),
        ):
            with session.begin_nested() as part:
                session.execute(change.execution_options(synchronize_session=False))
                found = Report(0, 0)
                sums._entries(session, found)
                assert [item.key for item in found.differences] == ["credit log"]
                part.rollback()


def test_an_entry_of_the_credit_log_that_does_not_follow_is_named(
    credits_history: TestChain,
) -> None:
    """The log ends where the contract says that it does, in whatever pieces it is read."""
    client, address = credits_history.client, credits_history.deployment.credit.address
    logs = client.logs([address], 0, client.block_number())
    events = [event for event in (decode(CREDIT, log) for log in logs) if event.record is not None]
    words = client.call(address, "0x" + keccak(b"logHead()")[:4].hex())
    end = CreditLog(int(words[2:66], 16), "0x" + words[66:])
    assert (len(events), CreditLog().check(events)) == (end.seq, end)
    for parts in range(1, len(events)):
        assert CreditLog().check(events[:parts]).check(events[parts:]) == end
    one, two, three, four = events[:4]
    another = replace(three, args=replace(three.args, head=two.args.head))
    for entries, said in (
        ([one, two, four], "entry 3 of the credit log is missing before entry 4"),
        ([two], "entry 1 of the credit log is missing before entry 2"),
        ([one, two, two], "entry 3 of the credit log is missing before entry 2"),
        ([one, two, another], "entry 3 of the credit log does not follow from the ones before it"),
    ):
        with pytest.raises(Doubt, match=rf"{said} \(\w+ in block {entries[-1].log.block_number}, "):
            CreditLog().check(entries)
    for entries, of_books in (([three], True), ([two, four], False)):  # after the first one
        with pytest.raises(Doubt) as doubt:
            CreditLog().check([one]).check(entries)
        assert ("the books have the log up to entry 1:" in str(doubt.value)) is of_books


def test_the_end_of_the_credit_log_is_found_at_any_block(
    credits_history: TestChain, db: Database
) -> None:
    Indexer(db, credits_history.client, credits_history.deployment).run_until("head")
    entries = [row for row in rows(db, "chain_events", "block_number", "seq", "head") if row[1]]
    assert len({number for number, _, _ in entries}) > 5
    with db.read() as session:
        for number in range(credits_history.client.block_number() + 1):
            below = [(seq, head) for block, seq, head in entries if block <= number]
            found = lookups.credit_log(session, number)
            assert (found.seq, found.head) == max(below, default=(0, ZERO_HASH))


def test_holdings_are_what_was_transferred(credits_history: TestChain, db: Database) -> None:
    Indexer(db, credits_history.client, credits_history.deployment).run_until("head")
    assert rows(db, "credit_holdings", "batch_id", "holder", "amount_kg") == sorted(
        [
            (FIRST, OWNER, 1000 - 400 - 1 - 10 - 100),
            (FIRST, BUYER, 400 + 1 - 25),
            (SECOND, BUYER, 500),
        ],
        key=repr,
    )
    moves = rows(db, "credit_transfers", "sub_index", "batch_id", "from_address", "amount_kg")
    assert (0, FIRST, ZERO_ADDRESS, 1000) in moves and (1, SECOND, OWNER, 500) in moves
    assert len(moves) == 2 + 1 + 2 + 3  # issued twice, moved, moved two, taken three times


def test_retirements_and_cancellations_keep_their_words(
    credits_history: TestChain, db: Database
) -> None:
    Indexer(db, credits_history.client, credits_history.deployment).run_until("head")
    columns = ("retirement_id", "first_serial", "amount_kg", "beneficiary", "country")
    assert rows(db, "credit_retirements", *columns) == [
        (1, 1, 25, "Kindergarten Süd 绿", "DE"),
        (2, 26, 100, "", None),
    ]
    assert rows(db, "credit_cancellations", "first_serial", "amount_kg", "reason") == [
        (991, 10, "meter replaced")
    ]


def test_registry(credits_history: TestChain, db: Database) -> None:
    credits_history.act("registrar", CREDIT, "setClassCap", [1, 2**64 - 1])
    Indexer(db, credits_history.client, credits_history.deployment).run_until("head")
    assert rows(db, "credit_classes", "class_id", "code", "cap_kg") == [
        (1, "internal-CCER-01-002-V01", Decimal(2**64 - 1))
    ]
    assert rows(db, "credit_projects", "project_id", "class_id", "owner", "code") == [
        (1, 1, OWNER, "lhb-wind")
    ]
    assert rows(db, "credit_sites", "site_id", "project_id", "code") == [(1, 1, "lhb-wind")]
    names = rows(db, "smart_contracts", "contract_name", "network")
    deployed = sorted([*LIBRARIES, CREDIT, "TestCurrency", SETTLEMENT])
    assert names == [(f"{name}@local", "local") for name in deployed]


def test_who_follows_a_chain_needs_no_grammar_of_the_abi(
    chain: TestChain, mirror: Indexer, sqlite_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It came with the first event of settlement: an eighth of a second, while the other processor waited."""
    chain.deposit("market", 50_000)  # whose cents the contract is asked for
    batch = chain.issue(1000, 0)
    chain.retire("owner", batch, 10**6, must=False)
    for name in ("eth_abi.abi", "eth_abi.codec"):
        monkeypatch.setitem(sys.modules, name, None)
    abi_values._decoder.cache_clear()
    mirror.run_until("head")
    assert rows(sqlite_db, "settlement_balances", "balance") == [(50_000,)]
    (failed,) = [error for (error,) in rows(sqlite_db, "chain_inclusions", "error") if error]
    assert failed.startswith("ERC1155InsufficientBalance(sender=")


def test_money_of_a_finalised_and_a_cancelled_batch(chain: TestChain, db: Database) -> None:
    chain.deposit("market", 50_000)
    chain.deposit("buyer", 10_000)
    first, _ = chain.propose(
        [trade(1, "market", "owner", 2000, 123_400), trade(2, "market", "buyer", 1000, -20_000)]
    )
    mirror = Indexer(db, chain.client, chain.deployment)
    mirror.run_until("head")
    assert dict(rows(db, "settlement_balances", "account", "balance")) == {
        MARKET: 50_000 - 2268,
        BUYER: 10_000 - 200,
    }
    chain.finalize(1, first)
    second, _ = chain.propose([trade(3, "buyer", "owner", 1, 50_000_000)])
    chain.cancel_batch(2, second)
    chain.withdraw("owner", 68)
    mirror.run_until("head")
    assert dict(rows(db, "settlement_balances", "account", "balance")) == {
        MARKET: 50_000 - 2268,
        BUYER: 10_000 - 200,
        OWNER: 2468 - 68,
    }
    moves = rows(db, "settlement_movements", "kind", "account", "amount", "batch_id")
    assert moves == sorted(
        [
            (MovementKind.DEPOSIT, MARKET, Decimal(50_000), None),
            (MovementKind.DEPOSIT, BUYER, Decimal(10_000), None),
            (MovementKind.DEBIT, MARKET, Decimal(-2268), 1),
            (MovementKind.DEBIT, BUYER, Decimal(-200), 1),
            (MovementKind.CREDIT, OWNER, Decimal(2468), 1),
            (MovementKind.DEBIT, BUYER, Decimal(-500), 2),
            (MovementKind.RESTORE, BUYER, Decimal(500), 2),
            (MovementKind.WITHDRAWAL, OWNER, Decimal(-68), None),
        ],
        key=repr,
    )


def test_every_transaction_failed_ones_with_their_reason(chain: TestChain, db: Database) -> None:
    batch = chain.issue(1000, 0)
    refused = chain.retire("spare", batch, 5, must=False)
    twice = chain.act(
        "issuer", CREDIT, "issue", chain.issue_arguments(chain.claim(7, 0)), must=False
    )
    no_money = chain.withdraw("owner", 99, must=False)
    unknown = chain.client.request(
        "eth_sendTransaction",
        [
            {
                "from": OWNER,
                "to": chain.deployment.credit.address,
                "data": "0xdeadbeef",
                "gas": "0x30000",
            }
        ],
    )
    starved = chain.transaction("issuer", CREDIT, "issue", chain.issue_arguments(chain.claim(7, 1)))
    starved_hash = chain.client.request("eth_sendTransaction", [{**starved, "gas": hex(60_000)}])
    chain.mine()
    Indexer(db, chain.client, chain.deployment).run_until("head")
    status = dict(rows(db, "blockchain_transactions", "tx_hash", "status"))
    error = dict(rows(db, "chain_inclusions", "tx_hash", "error"))
    for receipt in (refused, twice, no_money):
        assert receipt.status == 0
        assert status[receipt.tx_hash] is TransactionStatus.FAILED
    assert error[refused.tx_hash] == (
        f"ERC1155InsufficientBalance(sender={PARTIES['spare']}, balance=0, needed=5, tokenId={batch})"
    )
    assert error[twice.tx_hash] == (
        "PeriodAlreadyIssued(siteId=1, periodStart=1388530800, mintedUntil=1388617200)"
    )
    assert (
        error[no_money.tx_hash]
        == f"InsufficientBalance(account={OWNER}, asset=0, balance=0, needed=99)"
    )
    assert error[unknown] == "reverted without a reason"
    assert error[starved_hash] == "out of gas"
    names = dict(rows(db, "blockchain_transactions", "tx_hash", "function_name"))
    assert names[refused.tx_hash] == "retire" and names[unknown] is None
    gas = dict(rows(db, "blockchain_transactions", "tx_hash", "gas_used"))
    price = dict(rows(db, "blockchain_transactions", "tx_hash", "gas_price"))
    assert gas[refused.tx_hash] == refused.gas_used
    assert price[refused.tx_hash] == refused.effective_gas_price
    succeeded = [tx for tx, reason in error.items() if reason is None]
    assert len(succeeded) == len(error) - 5
    assert all(status[tx] is TransactionStatus.CONFIRMED for tx in succeeded)


def test_a_nonce_that_jumps_is_mirrored_as_it_is(
    chain: TestChain, mirror: Indexer, sqlite_db: Database
) -> None:
    """Between transactions of one sender a nonce may rise by more than one: delegations (EIP-7702) raise it too."""
    chain.issue(1000, 0)
    chain.transfer("owner", "buyer", FIRST, 1)
    chain.transfer("owner", "buyer", FIRST, 2)
    used = int(chain.client.request("eth_getTransactionCount", [OWNER, "latest"]), 16)
    chain.client.request("anvil_setNonce", [OWNER, hex(used + 4)])
    chain.transfer("owner", "buyer", FIRST, 3)
    mirror.run_until("head")
    found = [
        (at, nonce)
        for at, nonce, sender in rows(
            sqlite_db, "chain_inclusions", "block_number", "nonce", "sender"
        )
        if sender == OWNER
    ]
    head = chain.client.block_number()
    assert found[-3:] == [(head - 2, used - 2), (head - 1, used - 1), (head, used + 4)]


def test_a_contract_whose_making_leaves_a_log_of_ours(chain: TestChain, db: Database) -> None:
    """Nobody was called by it: it shows the contract that it made."""
    ours = chain.deployment.credit.address
    call = encode_call(CREDIT, "setApprovalForAll", [OWNER, True])[2:]
    # Copy the call behind the code to memory, call with it, stop: the contract itself has no code.
    code = f"6044602960003960006000604460006000 73{ours[2:]}5af100{call}".replace(" ", "")
    made = send(chain.client, PARTIES["buyer"], None, "0x" + code)
    assert made.status == 1
    created = chain.client.request("eth_getTransactionReceipt", [made.tx_hash])["contractAddress"]
    Indexer(db, chain.client, chain.deployment).run_until("head")
    columns = ("tx_hash", "contract_address", "function_name", "parameters")
    (shown,) = [
        row for row in rows(db, "blockchain_transactions", *columns) if row[0] == made.tx_hash
    ]
    assert shown == (made.tx_hash, created.lower(), None, None)
    events = rows(db, "chain_events", "event_name", "args")
    (event,) = [args for name, args in events if name == "ApprovalForAll"]
    assert event == {"account": created.lower(), "operator": OWNER, "approved": True}


def _through(runtime: str) -> str:
    """Return code that makes a contract of this code."""
    return f"0x61{len(runtime) // 2:04x}80600a5f395ff3{runtime}"


CALL_ON = "602036038060205f375f5f825f345f355af1"
"""Calls the address of the first word with the rest of what it was given; leaves whether that succeeded."""
SWALLOWS, BUBBLES = f"{CALL_ON}00", f"{CALL_ON}601c573d5f5f3e3d5ffd5b00"


@long
def test_what_comes_through_a_contract_of_somebody_else(
    chain: TestChain, sqlite_db: Database
) -> None:
    """A wallet, a router, an account with code (EIP-7702): the events are mirrored, and so is the transaction that left
    them, by whom it called. One that fails within leaves nothing of ours."""
    ours, buyer = chain.deployment.credit.address, PARTIES["buyer"]
    batch = chain.issue(1000, 0)
    made = [send(chain.client, buyer, None, _through(each)) for each in (SWALLOWS, BUBBLES)]
    swallows, bubbles = (each.contract_address or "" for each in made)
    approve = encode_call(CREDIT, "setApprovalForAll", [OWNER, True])
    refused = encode_call(CREDIT, "retire", chain.retire_arguments(batch, 5000))

    def through(to: str, *on: str) -> str:
        calls = "".join(f"{each[2:]:0>64}" for each in on[:-1])
        return send(chain.client, buyer, to, f"0x{calls}{on[-1][2:]}").tx_hash

    approved = [through(each, ours, approve) for each in (swallows, bubbles)]
    approved.append(through(swallows, bubbles, ours, approve))
    failed = [through(each, ours, refused) for each in (swallows, bubbles)]
    account = Account.from_key(chain.new_key())
    chain.client.request("anvil_setBalance", [account.address, hex(10**18)])
    code = {"chainId": 0, "address": bytes.fromhex(bubbles[2:]), "nonce": 1}
    signed = account.sign_transaction(
        {
            "chainId": chain.deployment.chain_id,
            "nonce": 0,
            "to": account.address,
            "value": 0,
            "data": f"0x{ours[2:]:0>64}{approve[2:]}",
            "gas": 500_000,
            "maxFeePerGas": 10**11,
            "maxPriorityFeePerGas": 10**9,
            "authorizationList": [account.sign_authorization(code)],
        }
    )
    raw = "0x" + bytes(signed.raw_transaction).hex()
    approved.append(wait_for(chain.client, chain.client.send_raw(raw)).tx_hash)
    empty = send(chain.client, buyer, ours, "0x").tx_hash

    Indexer(sqlite_db, chain.client, chain.deployment).run_until("head")
    columns = ("contract_address", "function_name", "parameters")
    shown = {
        tx_hash: call
        for tx_hash, *call in rows(sqlite_db, "blockchain_transactions", "tx_hash", *columns)
    }
    callees = [swallows, bubbles, swallows, account.address.lower()]
    assert [shown[each] for each in approved] == [[each, None, None] for each in callees]
    assert not shown.keys() & set(failed)
    assert shown[empty] == [ours, None, None]
    events = rows(sqlite_db, "chain_events", "tx_hash", "event_name", "args")
    found = {tx_hash: args for tx_hash, name, args in events if name == "ApprovalForAll"}
    givers = [swallows, bubbles, bubbles, account.address.lower()]
    assert [found[each]["account"] for each in approved] == givers
    assert verify(sqlite_db, chain.client, chain.deployment).ok
    assert reconcile(sqlite_db, chain.client, chain.deployment).ok


def test_parameters_are_readable(chain: TestChain, db: Database) -> None:
    receipt = chain.deposit("owner", 700)
    Indexer(db, chain.client, chain.deployment).run_until("head")
    parameters = dict(rows(db, "blockchain_transactions", "tx_hash", "parameters"))
    assert parameters[receipt.tx_hash] == {"account": OWNER, "amount": 700}
    created = chain.deployment.settlement
    assert parameters[created.tx_hash or ""]["window"] == 3600
    functions = dict(rows(db, "blockchain_transactions", "tx_hash", "function_name"))
    assert functions[created.tx_hash or ""] == "constructor"


def test_confirmed_only_when_final(chain: TestChain, db: Database) -> None:
    receipt = chain.deposit("owner", 700)
    mirror = Indexer(db, chain.client, chain.deployment)
    report = mirror.run_until("head")
    assert report.tip == receipt.block_number and report.final == receipt.block_number - 2
    status = dict(rows(db, "blockchain_transactions", "tx_hash", "status"))
    assert status[receipt.tx_hash] is TransactionStatus.PENDING
    chain.mine()
    assert mirror.run_until("head").final == receipt.block_number
    status = dict(rows(db, "blockchain_transactions", "tx_hash", "status"))
    confirmed = dict(rows(db, "blockchain_transactions", "tx_hash", "confirmed_at"))
    header = chain.client.block(receipt.block_number)
    assert header is not None
    assert status[receipt.tx_hash] is TransactionStatus.CONFIRMED
    assert confirmed[receipt.tx_hash] == datetime.fromtimestamp(header.timestamp, UTC)


def test_finality_as_a_depth(chain: TestChain, db: Database) -> None:
    receipt = chain.deposit("owner", 700)
    chain.mine(9)
    mirror = Indexer(db, chain.client, chain.deployment, 10)
    assert mirror.run_until("head").final == receipt.block_number - 1
    chain.mine(1)
    assert mirror.run_until("head").final == receipt.block_number


def test_bytes_that_are_no_text_do_not_stop_the_mirror(chain: TestChain, db: Database) -> None:
    batch = chain.issue(1000, 0)
    call = chain.transaction(
        "owner", CREDIT, "retire", chain.retire_arguments(batch, 1, reason="AAAAAA")
    )
    data = call["data"].replace(b"AAAAAA".hex(), "ff004142c328")
    assert data != call["data"]
    chain.client.request("eth_sendTransaction", [{**call, "data": data}])
    chain.retire("owner", batch, 1)
    Indexer(db, chain.client, chain.deployment).run_until("head")
    reasons = rows(db, "credit_retirements", "retirement_id", "reason")
    assert reasons == [(1, "\\xff\x00AB\\xc3("), (2, "year 2015")]


def test_codes_that_are_no_text_do_not_stop_the_mirror(chain: TestChain, db: Database) -> None:
    """Fifty bytes of which none can be shown as itself, as a code of each kind, and an issuance under it.

    And a byte that is shown as `\\xff`, beside a text that is the same: one name of credits for both sites ended it.
    """

    def register(function: str, before: list[Any], code: bytes, after: list[Any]) -> None:
        plain = "A" * len(code)
        call = chain.transaction("registrar", CREDIT, function, [*before, plain, *after])
        data = call["data"].replace(plain.encode().hex(), code.hex())
        assert data != call["data"]
        receipt = send(chain.client, call["from"], call["to"], data)
        assert receipt.status == 1

    first, second = b"\xff" * 50, b"\xff" * 49 + b"\xfe"
    register("registerClass", [], first, [bytes(32), 10, 0])
    register("registerProject", [1, OWNER], first, [])
    register("registerSite", [1], first, [])
    register("registerSite", [1], second, [])
    register("registerSite", [1], b"\xff", [])
    register("registerSite", [1], b"\\xff", [])
    batches = [chain.issue(10 * site, 0, site_id=site) for site in (2, 3)]
    assert batches == [2 << 32 | 1, 3 << 32 | 1]
    assert chain.issue(10, 0, site_id=4) != chain.issue(10, 0, site_id=5)
    Indexer(db, chain.client, chain.deployment).run_until("head")
    shown = ["\\x" + keccak(text="\\xff" * 50).hex()[:48]]
    shown.append("\\x" + keccak(text="\\xff" * 49 + "\\xfe").hex()[:48])
    assert dict(rows(db, "credit_classes", "class_id", "code"))[2] == shown[0]
    assert dict(rows(db, "credit_projects", "project_id", "code"))[2] == shown[0][:48] + "~2"
    sites = dict(rows(db, "credit_sites", "site_id", "code"))
    of_sites = [shown[0][:48] + "~2", shown[1][:48] + "~3", "\\xff~4", "\\xff~5"]
    assert [sites[number] for number in (2, 3, 4, 5)] == of_sites
    credits = {name for (name,) in rows(db, "carbon_credits", "credit_id")}
    kilograms = (20, 30, 10, 10)
    assert credits == {
        f"{code}-2014-1-1-{kg}" for code, kg in zip(of_sites, kilograms, strict=True)
    }
    report = reconcile(db, chain.client, chain.deployment)
    assert [line for rule in report.rules for line in rule.differences] == []


def test_a_code_that_ends_with_a_blank_is_not_the_one_without(
    chain: TestChain, db: Database
) -> None:
    """MariaDB takes them for one: the credits of either were found by the other's name, and sites by a project's."""
    for code in ("twin ", "twin"):
        for function, arguments in (("registerSite", [1]), ("registerProject", [1, OWNER])):
            call = chain.transaction("registrar", CREDIT, function, [*arguments, code])
            assert send(chain.client, call["from"], call["to"], call["data"]).status == 1
    blank, plain = (chain.issue(kg, 0, site_id=site) for site, kg in ((2, 10), (3, 20)))
    Indexer(db, chain.client, chain.deployment).run_until("head")
    assert dict(rows(db, "credit_sites", "site_id", "code")) == {
        1: "lhb-wind",
        2: "twin ~2",
        3: "twin",
    }
    with db.read() as session:
        found = [find_credit(session, f"{name}-2014-1").batch_id for name in ("twin", "twin ~2")]
        assert found == [plain, blank]
        with pytest.raises(NotFound):
            find_credit(session, "twin -2014-1")
        assert [project_on_chain(session, code) for code in ("twin", "twin ~2")] == [3, 2]
    report = reconcile(db, chain.client, chain.deployment)
    assert [line for rule in report.rules for line in rule.differences] == []


def test_a_transfer_of_nothing_leaves_no_row(chain: TestChain, db: Database) -> None:
    batch = chain.issue(1000, 0)
    chain.transfer("spare", "buyer", batch, 0)
    Indexer(db, chain.client, chain.deployment).run_until("head")
    assert rows(db, "credit_transfers", "from_address", "amount_kg") == [(ZERO_ADDRESS, 1000)]
    assert (
        len([1 for (name,) in rows(db, "chain_events", "event_name") if name == "TransferSingle"])
        == 2
    )
