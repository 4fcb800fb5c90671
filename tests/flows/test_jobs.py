"""What the jobs do, on a real chain: quiet when there is nothing to do, and one line when there is."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select

from ledger.chain.contracts.events import CREDIT
from ledger.db import Database
from ledger.errors import BadInput, BooksDiffer, ProblemFound, Refused
from ledger.jobs import growing, issuing, work
from ledger.jobs.catalogue import JOBS
from ledger.jobs.expiring import record_expired
from ledger.jobs.work import Tools
from ledger.models import (
    ChainCursor,
    ChainIntent,
    CreditBatch,
    Issuance,
    Project,
    SettlementDispute,
    VppSettlementBatch,
    VppTradingRecord,
)
from ledger.models.credits import BatchStatus
from ledger.models.issuance import IssuanceState
from ledger.models.sending import IntentState
from ledger.settings import load_settings
from ledger.settings.settling import SettlementPolicy, Way
from ledger.sites import apply_site
from ledger.sites.validity import factor_alarms
from tests.support import acts
from tests.support.chain import PARTIES, WINDOW_S, class_role, trade
from tests.support.forms import long
from tests.support.park import Park, keys_without, open_chain
from tests.support.plant import SITE, anvil_like
from tests.support.sending import opened

SHORT_ON_MARIADB = ("test_trades_are_settled_step_by_step_and_the_books_compared",)

SETTINGS = load_settings(None, {})
WANTED = 'program = "internal"\nissue_every = "month"\nissue_after_days = 2\n'


def tools(park: Park, now: datetime | None = None) -> Tools:
    moment = now or datetime.now(UTC)
    return Tools(park.chain, SETTINGS, lambda: moment)


@long
@pytest.mark.unmirrored
def test_a_local_chain_grows_only_while_something_waits(park: Park) -> None:
    client = park.node.client
    before = client.block_number()
    assert growing.make_final(tools(park)) is None  # nothing is mirrored yet
    assert client.block_number() == before
    park.mirror.run_until("head")
    other = Tools(park.chain, replace(SETTINGS, local_chain=False))
    assert growing.make_final(other) is None  # a chain of others is not made to grow
    assert client.block_number() == before
    for _ in range(3):
        growing.make_final(tools(park))
        park.mirror.run_until("head")
    grown = client.block_number()
    assert grown == before + 2
    park.mirror.run_until("head")
    (cursor,) = park.rows(ChainCursor)
    assert cursor.final_number == before
    assert growing.make_final(tools(park)) is None
    assert client.block_number() == grown
    park.node.issue(5, 0)
    park.mirror.run_until("head")
    assert growing.make_final(tools(park)) == "mined 2 blocks"
    assert client.block_number() == grown + 3


@long
def test_a_quiet_local_chain_comes_to_the_end_of_a_window(park: Park) -> None:
    """Nobody sends anything, and the machine's clock alone says that the window is over; a dispute's time likewise."""
    park = opened(park, settling=SettlementPolicy(Way.PROPOSED, netting_hours=24))
    park.fund(PARTIES["market"], 100_00)
    park.mirror_final()
    park.trade(("sell", 1000, 10_000))
    assert work.settle(tools(park)) == "planned 1, sent 1 batches"
    park.mirror_final()
    assert growing.make_final(tools(park)) is None  # all is final, and the window is open
    (batch,) = park.rows(VppSettlementBatch)
    assert batch.finalizable_at is not None
    late = batch.finalizable_at
    assert growing.make_final(tools(park, late - timedelta(seconds=1))) is None
    park.node.client.request("evm_setNextBlockTimestamp", [int(late.timestamp())])
    assert growing.make_final(tools(park, late)) == "mined 2 blocks"
    park.mirror.run_until("head")
    assert growing.make_final(tools(park, late)) is None  # its time has come on the chain, too
    assert work.finalise(tools(park)) == "sent 1 transactions"
    park.trade(("sell", 1000, 10_000), hour=30)
    assert work.settle(tools(park, late)) == "planned 1, sent 1 batches"
    acts.dispute(park.node, "market", 2, trade(2, "market", "owner", 1000, 10_000))
    park.mirror_final()
    (dispute,) = park.rows(SettlementDispute)
    end = datetime.fromtimestamp(dispute.until_s, UTC)
    assert growing.make_final(tools(park, end - timedelta(seconds=1))) is None
    assert work.finalise(tools(park, end)) is None
    park.node.client.request("evm_setNextBlockTimestamp", [dispute.until_s])
    assert growing.make_final(tools(park, end)) == "mined 2 blocks"
    park.mirror.run_until("head")
    assert growing.make_final(tools(park, end)) is None
    with pytest.raises(Refused, match="the dispute timed out at"):
        work.finalise(tools(park, end))


def test_a_quiet_local_chain_comes_to_the_end_of_credits(park: Park) -> None:
    """Else `expire` would never record it: by the chain's own time they would be good for ever."""
    end_s = park.node.client.head().timestamp + 3600
    end = datetime.fromtimestamp(end_s, UTC)
    park.node.issue(1000, 0, expires_at=end_s)
    park.mirror_final()
    assert growing.make_final(tools(park, end - timedelta(seconds=1))) is None
    park.node.client.request("evm_setNextBlockTimestamp", [end_s])
    assert growing.make_final(tools(park, end)) == "mined 2 blocks"
    park.mirror.run_until("head")
    assert growing.make_final(tools(park, end)) is None  # its time has come on the chain, too


@long
def test_a_local_chain_whose_clock_is_ahead_comes_to_the_end_of_a_window(park: Park) -> None:
    """By days, as after `evm_increaseTime`: by ours the window was open for as many, and nothing mined."""
    park = opened(park, settling=SettlementPolicy(Way.PROPOSED, netting_hours=24))
    park.fund(PARTIES["market"], 100_00)
    park.node.later(30 * 86_400)
    park.trade(("sell", 1000, 10_000))
    work.settle(tools(park))
    park.mirror_final()
    (batch,) = park.rows(VppSettlementBatch)
    with park.db.read() as session:
        moved = session.scalars(select(ChainCursor.updated_at)).one()
    head = park.node.client.head().timestamp
    assert batch.finalizable_at is not None
    late = int(batch.finalizable_at.timestamp())
    over = moved + timedelta(seconds=late - head)
    assert over < batch.finalizable_at - timedelta(days=29)
    assert growing.make_final(tools(park, over - timedelta(seconds=1))) is None
    park.node.client.request("evm_setNextBlockTimestamp", [late])
    assert growing.make_final(tools(park, over)) == "mined 2 blocks"
    park.mirror.run_until("head")
    assert work.finalise(tools(park)) == "sent 1 transactions"


@pytest.mark.unmirrored
def test_trades_are_settled_step_by_step_and_the_books_compared(both: Park) -> None:
    """As the scheduler does it, with nothing to do before and after: hours that are over are netted."""
    both = opened(both, settling=SettlementPolicy(Way.PROPOSED, netting_hours=24))
    quiet = [job for job in JOBS if job.name in ("settle", "finalise", "send", "issue", "expire")]
    assert [job.work(tools(both)) for job in quiet] == [None] * 5
    assert work.compare(tools(both)) is None  # nothing is mirrored yet
    both.fund(PARTIES["market"], 100_00)
    both.mirror_final()
    both.trade(("sell", 1000, 10_000), ("sell", 500, 20_000))
    assert work.settle(tools(both)) == "planned 1, sent 1 batches"
    assert work.send(tools(both)) == "1 intent on the way"
    assert work.finalise(tools(both)) is None
    both.node.later(WINDOW_S + 1)
    both.mirror_final()
    assert work.finalise(tools(both)) == "sent 1 transactions"
    both.mirror_final()
    assert {row.status.value for row in both.rows(VppTradingRecord)} == {"executed"}
    assert [job.work(tools(both)) for job in quiet] == [None] * 5
    said = work.compare(tools(both))
    assert said is not None
    assert re.fullmatch(r"\d+ rules hold at block \d+", said)
    with both.db.write() as session:
        session.get_one(VppTradingRecord, 1).price += 1
    with pytest.raises(BooksDiffer, match=r"differ at block \d+: trades \(1\): trade 1: price is"):
        work.compare(tools(both))
    later = tools(both, datetime.now(UTC))
    work.keep_partitions(later)  # since the tables were made, a month may have begun
    assert work.keep_partitions(later) is None
    assert work.forget(tools(both)) is None


# ------------------------------------------------------------------------ closed periods


def wants_issuance(park: Park) -> None:
    with park.db.write() as session:
        apply_site(
            session, SITE.replace('program = "internal"\n', WANTED), resolve_account=anvil_like
        )


def issued(park: Park) -> list[tuple[str, str, IssuanceState]]:
    return [
        (str(row.from_date), str(row.to_date), row.state)
        for row in park.rows(Issuance)
        if row.state is not IssuanceState.VOID
    ]


@long
def test_what_a_contract_refuses_to_issue_is_said_in_words(park: Park) -> None:
    """The alarm named the role by its hash alone, where the command says whose role is gone and what to do."""
    park.generate(date(2014, 1, 30), ["50", "50"])
    wants_issuance(park)
    park.register()
    role = [class_role("ISSUER_ROLE", 1), PARTIES["issuer"]]
    park.node.act("admin", CREDIT, "revokeRole", role)
    lost = f"The account {PARTIES['issuer']} does not have the role ISSUER:1, which this takes. Have the admin"
    try:
        with pytest.raises(ProblemFound, match=f"^not issued: park-wind: {lost}"):
            issuing.issue_closed(park.chain, datetime(2014, 4, 1, 12, tzinfo=UTC))
    finally:
        park.node.act("admin", CREDIT, "grantRole", role)


def test_closed_periods_are_issued_in_order_and_once(park: Park) -> None:
    park.generate(date(2014, 1, 30), ["50", "50", "0", "50"])  # to 2 February
    april = datetime(2014, 4, 1, 12, tzinfo=UTC)
    assert issuing.issue_closed(park.chain, april) is None  # nobody asked for it
    wants_issuance(park)
    with pytest.raises(ProblemFound, match=r"not issued: park-wind: .* not registered on chain"):
        issuing.issue_closed(park.chain, april)
    park.register()
    early = datetime(2014, 2, 2, 22, tzinfo=UTC)  # 23:00 in Paris: January waits for two whole days
    assert issuing.issue_closed(park.chain, early) is None
    said = issuing.issue_closed(park.chain, early + timedelta(hours=1))
    assert said == "issued park-wind from 2014-01-30 to 2014-02-01"
    assert issuing.issue_closed(park.chain, early + timedelta(hours=2)) is None
    park.mirror_final()
    # March has no readings: it is refused, and February stands.
    with pytest.raises(ProblemFound, match=r"not issued: park-wind: .*; issued: park-wind from 20"):
        issuing.issue_closed(park.chain, datetime(2014, 4, 4, tzinfo=UTC))
    park.mirror_final()
    assert issued(park) == [
        ("2014-01-30", "2014-02-01", IssuanceState.ISSUED),
        ("2014-02-01", "2014-03-01", IssuanceState.ISSUED),
    ]
    # 2 days and 1 day of 50 kW at 0.5 t/MWh.
    assert [row.issued_kg for row in park.rows(Issuance)] == [1200, 600]


@long
def test_a_period_of_less_than_a_kilogram_is_joined_to_the_next(park: Park) -> None:
    park.generate(date(2014, 1, 31), ["0", "50"])
    wants_issuance(park)
    park.register()
    said = issuing.issue_closed(park.chain, datetime(2014, 3, 9, tzinfo=UTC))
    assert said == "issued park-wind from 2014-01-31 to 2014-03-01"


@long
def test_the_end_of_a_year_that_comes_to_nothing_stops_no_later_issuance(park: Park) -> None:
    """It was joined to the month after it, and the two were cut apart again at New Year, for ever."""
    park.generate(date(2013, 11, 30), ["50", "-1"])  # 1 December: 12 kg too few
    park.generate(date(2014, 1, 1), ["0.5"])  # 6 kg: too few to make up for it
    park.generate(date(2014, 2, 1), ["50"])
    wants_issuance(park)
    park.register()
    said = issuing.issue_closed(park.chain, datetime(2014, 3, 9, tzinfo=UTC))
    assert said == (
        "issued park-wind from 2013-11-30 to 2013-12-01, park-wind from 2014-01-01 to 2014-03-01"
    )
    assert [row.issued_kg for row in park.rows(Issuance)] == [600, 600 + 6 - 12]


@long
def test_an_issuance_that_was_cut_short_is_sent_by_the_next_run(
    park: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    park.generate(date(2014, 1, 31), ["50"])
    wants_issuance(park)
    park.register()
    march = datetime(2014, 2, 20, tzinfo=UTC)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):

        def crash(*_: object) -> str:
            raise KeyboardInterrupt

        patch.setattr(park.chain.sender, "submit", crash)
        issuing.issue_closed(park.chain, march)
    assert [state for *_, state in issued(park)] == [IssuanceState.PLANNED]
    assert issuing.issue_closed(park.chain, march) is None
    park.mirror_final()
    assert [state for *_, state in issued(park)] == [IssuanceState.ISSUED]


@pytest.mark.parametrize(
    ("day", "every", "end"),
    [
        (date(2014, 1, 1), "month", date(2014, 2, 1)),
        (date(2014, 12, 31), "month", date(2015, 1, 1)),
        (date(2014, 5, 17), "quarter", date(2014, 7, 1)),
        (date(2014, 10, 1), "quarter", date(2015, 1, 1)),
        (date(2016, 2, 29), "year", date(2017, 1, 1)),
    ],
)
def test_a_period_ends_with_the_calendar_s(day: date, every: str, end: date) -> None:
    assert issuing.period_end(day, every) == end


# ------------------------------------------------------------------------------- expiry


@long
def test_an_expired_batch_is_recorded_once(both: Park) -> None:
    head = both.node.client.block("latest")
    assert head is not None
    soon = head.timestamp + 3600
    passing = both.node.issue(1000, 0, expires_at=soon)
    lasting = both.node.issue(1000, 1, expires_at=2**32 - 1)
    both.node.issue(1000, 2)
    both.mirror_final()
    assert work.expire(tools(both)) is None
    both.node.later(3601)
    both.node.mine(1)
    assert work.expire(tools(both)) == "recorded 1 batches"
    assert work.expire(tools(both)) is None  # on its way
    both.mirror_final()
    statuses = {row.batch_id: row.status for row in both.rows(CreditBatch)}
    assert statuses[passing] is BatchStatus.EXPIRED
    assert statuses[lasting] is BatchStatus.ACTIVE
    assert work.expire(tools(both)) is None
    (intent,) = [row for row in both.rows(ChainIntent) if row.function_name == "expire"]
    assert (intent.state, intent.sender_address) == (
        IntentState.CONFIRMED,
        both.chain.deployment.account("issuer").lower(),
    )
    assert both.differences() == []


def test_nothing_is_to_be_recorded_where_nobody_issues(park: Park) -> None:
    """The account of a role that the deployment file does not name was asked for all the same, every hour."""
    accounts = {name: at for name, at in park.node.deployment.accounts.items() if name != "issuer"}
    node = replace(park.node, deployment=replace(park.node.deployment, accounts=accounts))
    assert record_expired(open_chain(park.db, node)) == []


@long
def test_what_was_planned_is_recorded_by_the_account_that_the_role_moved_to(park: Park) -> None:
    """The former one's key is gone: its recording was tried again every hour, and no other was made after it."""
    head = park.node.client.block("latest")
    assert head is not None
    for first in range(2):
        park.node.issue(1000, first, expires_at=head.timestamp + 3600)
    park.mirror_final()
    park.node.later(3601)
    park.node.mine(1)
    with pytest.raises(BadInput, match="no key for"):
        record_expired(open_chain(park.db, park.node, keyring=keys_without(PARTIES["issuer"])))
    file = park.node.deployment
    moved = replace(file, accounts={**file.accounts, "issuer": PARTIES["spare"]})
    node = replace(park.node, deployment=moved)
    chain = open_chain(park.db, node, keyring=keys_without(PARTIES["issuer"]))
    assert len(record_expired(chain)) == 2
    park.mirror_final()
    assert [row.status for row in park.rows(CreditBatch)] == [BatchStatus.EXPIRED] * 2
    assert park.differences() == []


def test_somebody_else_records_it_first(park: Park) -> None:
    head = park.node.client.block("latest")
    assert head is not None
    batch = park.node.issue(1000, 0, expires_at=head.timestamp + 3600)
    park.mirror_final()
    park.node.later(3601)
    park.node.act("spare", CREDIT, "expire", [batch])
    assert record_expired(park.chain) == []  # the contract refuses: nothing is sent
    (intent,) = [row for row in park.rows(ChainIntent) if row.function_name == "expire"]
    assert intent.state is IntentState.FAILED
    park.mirror_final()
    assert record_expired(park.chain) == []
    assert len([row for row in park.rows(ChainIntent) if row.function_name == "expire"]) == 1


# ------------------------------------------------------------------------------ factors

SHORT = """
[[factor]]
code = "cm"
version = "{version}"
purpose = "crediting_cm"
value = "{value}"
unit = "t/MWh"
source = "a test"
verified = {verified}
valid_from = {first}
valid_to = {last}
"""


def test_factors_are_spoken_of_before_their_time_ends(sqlite_db: Database) -> None:
    def site(named: str, *factors: str) -> str:
        text = SITE.replace('factor = "cm"', f'factor = "cm"\nfactor_version = "{named}"')
        return text + "".join(factors)

    old = SHORT.format(
        version="2", value="0.5", verified="true", first="2025-01-01", last="2025-12-31"
    )
    new = SHORT.format(
        version="3", value="0.4", verified="false", first="2026-01-01", last="2026-12-31"
    )

    def said(today: date) -> list[str]:
        with sqlite_db.read() as session:
            return factor_alarms(session, today)

    with sqlite_db.write() as session:
        apply_site(session, site("2", old), resolve_account=anvil_like)
    assert said(date(2025, 10, 31)) == []  # more than 60 days
    (soon,) = said(date(2025, 11, 1))
    assert soon.startswith("factor cm 2 of project park-wind is for days up to 2025-12-31: add its")
    assert said(date(2025, 12, 31)) == [soon]
    (over,) = said(date(2026, 1, 1))
    assert "was for days up to 2025-12-31" in over
    with sqlite_db.write() as session:
        apply_site(session, site("2", old, new), resolve_account=anvil_like)
    mend = "its version 3 is in the books: name that in the site file once all up to then is issued, and apply it"
    assert said(date(2025, 12, 31)) == [
        f"factor cm 2 of project park-wind is for days up to 2025-12-31: {mend}"
    ]
    (over,) = said(date(2026, 1, 1))
    assert over == f"factor cm 2 of project park-wind was for days up to 2025-12-31: {mend}"
    with sqlite_db.write() as session:
        apply_site(session, site("3", old, new), resolve_account=anvil_like)
        project = session.scalars(select(Project)).one()
        assert project.completeness_min == Decimal(0)
    (unverified,) = said(date(2026, 1, 1))
    assert "factor cm 3 of project park-wind was not compared with its source" in unverified


FUEL = """
[[factor]]
code = "{code}"
version = "1"
purpose = "{purpose}"
value = "0.5"
unit = "{unit}"
source = "a test"
verified = true
valid_to = 2025-12-31
"""
GENSET = """
[[device]]
code = "D"
type = "genset"
meter_serial = "serial-D"
role = "fuel"
fuel_factor = "diesel"
"""


def test_factors_of_fuels_and_inventories_are_spoken_of_too(sqlite_db: Database) -> None:
    diesel = FUEL.format(code="diesel", purpose="fuel", unit="t CO2/TJ")
    grid = FUEL.format(code="grid", purpose="inventory_location", unit="t/MWh")
    text = SITE.replace('inventory_factor = "grid-average"', 'inventory_factor = "grid"')
    with sqlite_db.write() as session:
        file = f'{text}{diesel}ncv_gj_per_t = "43"\n{grid}{GENSET}'
        apply_site(session, file, resolve_account=anvil_like)
    with sqlite_db.read() as session:
        mend = "is for days up to 2025-12-31: add its next version to the site file, name that"
        assert factor_alarms(session, date(2025, 12, 1)) == [
            f"factor diesel 1 of device D {mend} once all up to then is issued, and apply it",
            f"factor grid 1 of the inventory of site park {mend} and apply it",
        ]
