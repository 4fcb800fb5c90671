"""Clocks: the last second of what has an end on chain, and a machine whose clock is not the chain's."""

import re
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from cli.credits_issue import _rehearse
from cli.doctor_clock import clock_of_chain
from ledger.chain.local.shared import judged_at_s
from ledger.chain.node.client import ChainClient
from ledger.chain.node.records import BlockHeader
from ledger.errors import ProblemFound, Refused
from ledger.issuance import plan_issuance
from ledger.issuance import submit_planned as submit_issuances
from ledger.jobs import issuing
from ledger.jobs.expiring import record_expired
from ledger.models import Issuance
from ledger.models.issuance import IssuanceState
from ledger.settings import LOCAL_CHAIN_ID
from ledger.settlement.batches import plan_batches, submit_planned
from ledger.settlement.finalizing import finalize_due
from ledger.sites import apply_site
from scripts.chaos import clock
from tests.support.chain import PARTIES, WINDOW_S
from tests.support.forms import long, rest
from tests.support.park import PROJECT, PROPOSED, Park
from tests.support.plant import SITE, anvil_like
from tests.support.proxy import LyingNode, NodeError
from tests.support.sending import opened

WANTED = 'program = "internal"\nissue_every = "month"\nissue_after_days = 2\n'
SEPOLIA = 11_155_111


def mine_at(park: Park, second: int) -> None:
    """Mine one block of this time, and mirror it."""
    park.node.client.request("evm_setNextBlockTimestamp", [second])
    park.node.mine(1)
    park.mirror.run_until("head")
    head = park.node.client.block("latest")
    assert head is not None and head.timestamp == second


@long
def test_credits_are_recorded_as_expired_from_their_second_on(park: Park) -> None:
    park.node.mine(1)  # the chain was made when the tests began: that may be more than an hour ago
    head = park.node.client.block("latest")
    assert head is not None
    end = head.timestamp + 3600
    park.node.issue(1000, 0, expires_at=end)
    park.mirror_final()
    mine_at(park, end - 1)
    assert record_expired(park.chain) == []
    mine_at(park, end)
    assert len(record_expired(park.chain)) == 1
    park.mirror_final()
    assert (record_expired(park.chain), park.differences()) == ([], [])


def test_a_batch_is_finalised_from_the_end_of_its_window_on(park: Park) -> None:
    park = opened(park, settling=PROPOSED)
    park.fund(PARTIES["market"], 100_00)
    park.trade(("sell", 1000, 10_000))
    plan_batches(park.chain)
    head = park.node.client.block("latest")
    assert head is not None
    proposed = head.timestamp + 10
    park.node.client.request("evm_setNextBlockTimestamp", [proposed])
    assert len(submit_planned(park.chain)) == 1
    park.mirror.run_until("head")
    mine_at(park, proposed + WINDOW_S - 1)
    assert finalize_due(park.chain) == []
    mine_at(park, proposed + WINDOW_S)
    assert len(finalize_due(park.chain)) == 1
    park.mirror_final()
    assert (finalize_due(park.chain), park.differences()) == ([], [])


def test_a_block_of_the_future_shows_that_the_clock_is_behind(park: Park) -> None:
    park.node.mine(1)
    assert clock_of_chain(park.node.client, local=False).startswith("the newest block is ")
    park.node.later(7200)
    park.node.mine(1)
    with pytest.raises(ProblemFound, match=r"is 7[12]\d\d s later than the clock here"):
        clock_of_chain(park.node.client, local=False)
    assert clock_of_chain(park.node.client, local=True).endswith("that was let go ahead")


AHEAD_S = 86_400


def tomorrow(monkeypatch: pytest.MonkeyPatch, watched_s: float = 60) -> None:
    """Let the doctor's clock be a day ahead, and say how long it watches the chain."""
    here = SimpleNamespace(
        time=lambda: time.time() + AHEAD_S, monotonic=time.monotonic, sleep=time.sleep
    )
    monkeypatch.setattr("cli.doctor_clock.time", here)
    monkeypatch.setattr("cli.doctor_clock.WATCHED_SECONDS", watched_s)


OLD = r"^the newest block is 864\d\d s old"


@long
def test_a_node_that_dates_the_next_block_long_ago_shows_that_the_clock_is_ahead(
    park: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock of tomorrow makes the newest block one of yesterday; the node's own clock tells it from a quiet chain."""
    park.node.mine(1)
    tomorrow(monkeypatch)
    with pytest.raises(ProblemFound, match=OLD + " by the clock here, and the next one is so, too"):
        clock_of_chain(park.node.client, local=False)
    assert clock_of_chain(park.node.client, local=True).startswith("the newest block is 864")


def pending(says: str, newest: BlockHeader, result: Any) -> Any:
    """Return the block to come as nodes of several kinds say it."""
    second = int(result["timestamp"], 16)
    changed = {
        "our clock": {"timestamp": hex(second + AHEAD_S)},
        "the newest": {"number": hex(newest.number), "timestamp": hex(newest.timestamp)},
        "a slot after the newest": {"timestamp": hex(newest.timestamp + 12)},
        "older than the newest": {"timestamp": hex(newest.timestamp - AHEAD_S + second % 60)},
        "a later one": {"number": hex(newest.number + 2)},
        "no number": {"number": None},
        "two clocks": {"timestamp": hex(newest.timestamp + 1 + time.monotonic_ns() // 10**9 % 2)},
    }
    return None if says == "none" else {**result, **changed[says]}


@long
@pytest.mark.parametrize(
    "says",
    rest(
        [
            "our clock",
            "a slot after the newest",
            "none",
            "the newest",
            "older than the newest",
            "a later one",
            "no number",
            "two clocks",
            "an error",
        ],
        "a slot after the newest",
    ),
)
def test_an_old_chain_alone_shows_nothing_of_the_clock(
    park: Park, monkeypatch: pytest.MonkeyPatch, says: str
) -> None:
    """Reth counts from the newest block, Nethermind gives that itself, others give null, or a block kept for long."""
    park.node.mine(1)
    newest = park.node.client.head()

    def tamper(method: str, params: list[Any], result: Any) -> Any:
        if method != "eth_getBlockByNumber" or params[0] != "pending":
            return result
        if says == "an error":
            return NodeError("pending block is not available")
        return pending(says, newest, result)

    tomorrow(monkeypatch, watched_s=1.5)
    with LyingNode(park.node.rpc_url) as liar, closing(ChainClient(liar.rpc_url)) as client:
        liar.tamper = tamper
        assert re.fullmatch(OLD, clock_of_chain(client, local=False))
        assert liar.lies


@long
def test_a_time_that_is_set_beforehand_shows_nothing_of_the_clock(
    park: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    park.node.mine(1)
    newest = park.node.client.head()
    park.node.client.request("evm_setNextBlockTimestamp", [newest.timestamp + 30])
    tomorrow(monkeypatch, watched_s=1.5)
    assert re.fullmatch(OLD, clock_of_chain(park.node.client, local=False))


@pytest.mark.parametrize(
    "goes_on", rest(["by the clock", "in a hurry", "somewhat faster", "to where others are"])
)
def test_blocks_that_come_with_old_times_show_that_the_clock_is_ahead(
    park: Park, monkeypatch: pytest.MonkeyPatch, goes_on: str
) -> None:
    """A chain that goes on, at a node that says nothing of the block to come; others of these are catching up."""
    park.node.mine(1)
    tomorrow(monkeypatch, watched_s=2.5)

    def tamper(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_syncing":
            return {"highestBlock": "0x99"} if goes_on == "to where others are" else False
        if method == "eth_getBlockByNumber" and params[0] == "latest":
            if goes_on == "in a hurry":
                park.node.later(3600)
            elif goes_on == "somewhat faster":  # five slots in a moment
                park.node.later(10)
            park.node.mine(1)
        return None if "pending" in params else result

    with LyingNode(park.node.rpc_url) as liar, closing(ChainClient(liar.rpc_url)) as client:
        liar.tamper = tamper
        if goes_on == "by the clock":
            with pytest.raises(ProblemFound, match=OLD):
                clock_of_chain(client, local=False)
        elif goes_on in ("in a hurry", "somewhat faster"):
            assert re.fullmatch(OLD, clock_of_chain(client, local=False))
        else:
            assert clock_of_chain(client, local=False).endswith("the node is catching up")


def test_a_clock_that_is_ahead_shortens_no_wait_for_late_readings(park: Park) -> None:
    """What is issued stays so; by the database's clock the month has ended today at the earliest."""
    park.generate(datetime.now(UTC).date() - timedelta(days=1), ["50"])
    with park.db.write() as session:
        wanted = SITE.replace('program = "internal"\n', WANTED)
        apply_site(session, wanted, resolve_account=anvil_like)
    park.register()
    later = datetime.now(UTC) + timedelta(days=40)
    assert issuing.issue_closed(park.chain, later) is None


@long
def test_a_period_that_is_over_is_issued_though_the_chain_was_quiet_since_before_its_end(
    park: Park,
) -> None:
    """A local chain has no blocks but those of transactions, and the contract is asked by the newest one's time."""
    park.register()
    first = datetime.now(UTC).date() + timedelta(days=1)
    park.generate(first, ["60"])
    with clock.own():
        clock.jump(timedelta(days=40))
        park.node.later(40 * 86_400)  # the node's clock goes on, too; there is no block
        plan_issuance(park.chain, PROJECT, first, first + timedelta(days=1))
        (row,) = park.rows(Issuance)
        _rehearse(park.chain, [park.intent(row.key)])  # as --dry-run does: it is not refused
        assert len(submit_issuances(park.chain)) == 1
    park.mirror_final()
    (issuance,) = park.rows(Issuance)
    assert issuance.state is IssuanceState.ISSUED


def test_a_period_that_is_over_here_and_not_on_chain_waits_until_it_is(park: Park) -> None:
    """The contract refused it as BadPeriod, and each try left a void issuance."""
    first = datetime.now(UTC).date() + timedelta(days=1)
    park.generate(first, ["60"])
    with park.db.write() as session:
        wanted = SITE.replace('program = "internal"\n', WANTED.replace("days = 2", "days = 0"))
        apply_site(session, wanted, resolve_account=anvil_like)
    park.register()
    end = issuing.period_end(first, "month")
    then = datetime(end.year, end.month, end.day, 1, tzinfo=UTC)
    ahead = then - datetime.now(UTC)
    with clock.own(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(issuing, "clock_of", lambda session: then)  # the database is on this machine
        clock.jump(ahead)
        for dry_run in (True, False):
            with pytest.raises(
                Refused, match="over by the chain's clock; wait for a later"
            ) as told:
                plan_issuance(park.chain, PROJECT, first, end, dry_run=dry_run)
            assert told.value.code == "period-not-over"
        assert issuing.issue_closed(park.chain, then) is None
        assert park.count(Issuance) == 0
        park.node.later(int(ahead.total_seconds()))
        said = f"issued {PROJECT} from {first} to {end}"
        assert issuing.issue_closed(park.chain, then) == said
    park.mirror_final()
    assert [row.state for row in park.rows(Issuance)] == [IssuanceState.ISSUED]
    assert park.differences() == []


def test_a_deadline_is_judged_by_the_clock_of_the_chain(park: Park) -> None:
    """By ours, a day ahead, a file that the chain still took was refused, or written over, signed as it was."""
    head = park.node.client.head()
    with clock.own():
        clock.jump(timedelta(days=1))
        assert judged_at_s(park.node.client, SEPOLIA) == head.timestamp
        ours_s = int(clock.Wrong.now(UTC).timestamp())
        assert judged_at_s(park.node.client, LOCAL_CHAIN_ID) >= ours_s - 1
        park.node.later(3 * 86_400)
        park.node.mine(1)
        ahead = park.node.client.head()
        assert judged_at_s(park.node.client, LOCAL_CHAIN_ID) == ahead.timestamp
