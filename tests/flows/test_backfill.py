"""A period that people left out is issued all the same: once, in its gap, and the carries beside it stay as issued."""

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from msgspec.structs import replace as changed
from sqlalchemy import select

from api.app import create_app
from cli.credits_issue import would
from ledger.bundles import ALL
from ledger.chain.contracts.events import CREDIT
from ledger.chain.keys.signers import anvil_signer
from ledger.chain.sending import intents
from ledger.chain.sending.issued import backfilled_before
from ledger.corrections import correct
from ledger.errors import BadInput, Refused
from ledger.issuance import begun, fail, plan_issuance, submit_planned
from ledger.issuance.verification import requests_for, take_file
from ledger.issuance.verification_files import FILE, Request, read, text
from ledger.issuance.verifying import verify_claim
from ledger.jobs.issuing import issue_closed
from ledger.models import ChainEvent, CorrectionCarry, CreditBatch, Issuance, Project, ReadingClaim
from ledger.models.issuance import IssuanceState
from ledger.models.sending import IntentState
from ledger.proofs.sums import recompute
from ledger.proofs.verifier import ProofError, verify
from ledger.readings import import_file
from ledger.readings.periods.evidence_files import MANIFEST, READINGS, files_of_reduction
from ledger.readings.periods.period import reductions_for
from ledger.settings import load_settings
from ledger.sites import apply_site
from tests.contracts.credit.model import Model, totals
from tests.support.bundle_mutants import judge
from tests.support.chain import PARTIES
from tests.support.copied import back_up
from tests.support.forms import long, times
from tests.support.park import PROJECT, TRADING, Park, day, keys_without
from tests.support.plant import SITE, anvil_like, write_csv
from tests.support.proven import bundle
from tests.support.sending import Boundaries, Crash, crashing, opened, until_confirmed
from tests.support.verify_page import answers, case, judged

SHORT_ON_MARIADB = ("test_a_period_that_was_left_out_is_issued",)

FIRST = date(2014, 1, 1)
SLOTS = 144
KW = "61.2345"
"""24 h x 61.2345 kW x 0.5 t/MWh: 734.814 kg a day."""
DAY_KG = Fraction("734.814")
DAY_ZERO_S = 1_387_666_800
"""Ten days before the first one, 2013-12-22T00:00 in Paris: days are counted from there in the model."""


def issue(park: Park, start: int, end: int, *, backfill: bool = False) -> Issuance:
    """Issue a period, to the end."""
    plan_issuance(park.chain, PROJECT, day(start), day(end), backfill=backfill)
    submit_planned(park.chain)
    park.mirror_final()
    assert {row.state for row in park.rows(Issuance)} <= {IssuanceState.ISSUED, IssuanceState.VOID}
    return park.rows(Issuance)[-1]  # type: ignore[no-any-return]


def refusal(park: Park, start: int, end: int, *, backfill: bool = True) -> Refused:
    with pytest.raises(Refused) as caught:
        plan_issuance(park.chain, PROJECT, day(start), day(end), backfill=backfill)
    return caught.value


def states(park: Park) -> list[str]:
    return [row.state.value for row in park.rows(Issuance)]


def befores(park: Park) -> list[int]:
    """Return of each batch, in the order of issuance, before which one it was backfilled."""
    with park.db.read() as session:
        return [backfilled_before(session, batch) for batch in park.rows(CreditBatch)]


def days_since(at_s: int) -> int:
    """Return a midnight of January in Paris as a number of the model; nothing was issued before 0."""
    days, rest_s = divmod(at_s - DAY_ZERO_S, 86_400)
    assert rest_s == 0
    return days


def as_the_model_says(park: Park) -> None:
    """Do in the model of the contract what its events say was issued, and compare what each knows of every batch."""
    model = Model(
        "buffer", caps={1: 10**9}, shares={1: 0}, projects={2: ("owner", 1)}, sites={2: 2}
    )
    for event in park.rows(ChainEvent):
        if event.event_name == "Issued":
            said = event.args["claim"]
            claim: Any = {
                "siteId": int(said["site_id"]),
                "amount": int(said["amount"]),
                "backfillBefore": int(said["backfill_before"]),
                "key": said["key"],
                "expiresAt": 0,
                "periodStart": days_since(int(said["period_start"])),
                "periodEnd": days_since(int(said["period_end"])),
                "recipient": "owner",
            }
            evidence: Any = SimpleNamespace(root=said["evidence_root"])
            assert model.issue(claim, evidence) == int(event.args["batch_id"])
    numbers = sorted(model.batches)
    for number, batch in zip(numbers, park.chain.credit.batches_of(numbers), strict=True):
        gap = days_since(batch.gap_start) if batch.gap_start else 0
        period = days_since(batch.period_start), days_since(batch.period_end)
        found = (batch.issued, batch.retired, batch.cancelled, *period, gap, batch.expires_at)
        assert found == totals(model.batches[number])


def no_gram_twice(park: Park) -> None:
    """No remainder is in two issuances: a positive one is that of the last regular one before it, or nothing."""
    live = sorted(
        (row for row in park.rows(Issuance) if row.state is not IssuanceState.VOID),
        key=lambda row: row.from_s,
    )
    keys = [batch.key for batch in park.rows(CreditBatch)]
    backfills = dict(zip(keys, befores(park), strict=True))
    left, vintage = Fraction(0), 0
    for row in live:
        entered = sum(
            (Fraction(table["carried_kg"]) for table in json.loads(row.manifest)["corrections"]),
            Fraction(0),
        )
        remainder = Fraction(row.carry_in_kg) - entered
        if backfills.get(row.key):
            assert remainder == 0
        else:
            assert remainder == (left if row.vintage == vintage else 0)
            left, vintage = Fraction(row.carry_out_kg), row.vintage
        assert 0 <= Fraction(row.carry_out_kg) < 1


@pytest.fixture
def six(park: Park) -> Park:
    """Six days of 734.814 kg."""
    park.register()
    park.generate(FIRST, [KW] * 6)
    return park


def served(park: Park) -> Iterator[TestClient]:
    url = park.db.url.render_as_string(hide_password=False)
    home = {"TRUETONNE_DATABASE_URL": url, "TRUETONNE_HOME": str(park.folder)}
    with TestClient(create_app(load_settings(None, home))) as client:
        yield client


def test_a_period_that_was_left_out_is_issued(both: Park) -> None:
    both.register()
    both.generate(FIRST, [KW] * 4)
    issue(both, 1, 2)
    third = issue(both, 3, 4)
    # 734.814 + 0.814
    assert (third.issued_kg, third.carry_in_kg, third.carry_out_kg) == (735, "407/500", "157/250")
    said = refusal(both, 2, 3, backfill=False)
    assert said.code == "period-overtaken"
    assert "from 2014-01-02 to 2014-01-03 can be issued as a backfill alone, with --backfill" in (
        said.message
    )
    with both.db.read() as session:  # what is shown before it is issued
        (preview,) = reductions_for(session, PROJECT, day(2), day(3))
    assert (preview.inputs.carry_in_kg, preview.issued_kg) == (Fraction(0), 734)

    second = issue(both, 2, 3, backfill=True)
    assert (second.issued_kg, second.carry_in_kg, second.carry_out_kg) == (734, "0/1", "407/500")
    fourth = issue(both, 4, 5)  # goes on from the third, as if there were no backfill
    assert (fourth.issued_kg, fourth.carry_in_kg) == (735, "157/250")
    assert befores(both) == [0, 0, 2, 0]
    assert sum(batch.issued_kg for batch in both.rows(CreditBatch)) == 2938 <= 4 * DAY_KG
    assert both.count(ReadingClaim) == 4 * SLOTS
    as_the_model_says(both)
    no_gram_twice(both)
    assert both.differences() == []


@long
def test_it_is_shown_and_proven_like_any_other(six: Park) -> None:
    """By the API, the pages, and both verifiers that work offline."""
    issue(six, 1, 2)
    issue(six, 3, 4)
    issue(six, 2, 3, backfill=True)
    first, following, batch = six.rows(CreditBatch)
    name = "park-wind-2014-3"
    built = bundle(six, name, readings=3)
    verdict = verify(built.text, built.trusted)
    assert verdict.facts["batch"]["issued_kg"] == verdict.facts["issued"]["amount"] == 734
    assert {"issued", "manifest", "readings"} <= {name for name, _ in verdict.checks}
    words = dict(verdict.checks)["issued"]
    period = "2014-01-01T23:00:00Z to 2014-01-02T23:00:00Z"  # the second day, in Paris
    assert words.startswith(
        f"734 kg were issued for the period {period} as a backfill before batch {following.batch_id} by "
    )
    (page,) = judged([case(built.text, built.trusted)])
    assert page == judge(built.text, built.trusted)
    whole = bundle(six, name, readings=ALL).text
    assert str(recompute(whole, backfill=True)).endswith(
        "they come to 734 kg, which is what was issued, and no remainder is carried into this backfill"
    )
    carries = bundle(six, "park-wind-2014-2", readings=ALL).text  # what the first day left
    assert recompute(carries) is not None
    unread = bundle(six, "park-wind-2014-2", readings=3).text
    assert recompute(unread) is recompute(built.text, backfill=True) is None
    for each in (carries, unread):
        with pytest.raises(ProofError) as caught:
            recompute(each, backfill=True)
        assert str(caught.value) == (
            "sum: 407/500 kg are carried into a backfill that are no deficit of a correction"
        )
    (chinese,) = answers([{"say": words}])
    assert chinese.startswith(
        "734 千克（监测期 2014-01-01T23:00:00Z 至 2014-01-02T23:00:00Z）"
        f"作为批次 {following.batch_id} 之前的补签由交易 0x"
    )
    for client in served(six):
        items = client.get(f"/v1/credits/{name}/history").json()["items"]
        (issued,) = [item["values"] for item in items if item["kind"] == "issued"]
        assert issued["backfill_before_batch_id"] == str(following.batch_id)
        (made,) = [item["values"] for item in items if item["kind"] == "reductions_computed"]
        assert (made["carry_in_kg"], made["carry_out_kg"]) == ("0/1", "407/500")
        shown = client.get(f"/credits/{batch.batch_id}", headers={"accept": "text/html"}).text
        # Beside its period and in its history; what it leaves of a kilogram is not carried on.
        link = f'backfill before <a href="/credits/{following.batch_id}">'
        assert shown.count(link) == 2
        assert "Never issued (a backfill carries nothing on)" in shown
        assert "Carried on" not in shown
        chinese = client.get(f"/credits/{batch.batch_id}?lang=zh").text
        assert "不予签发的余量（补签不结转）" in chinese and "转出的结转余量" not in chinese
        # By its own name the quick way, by another one and as of a block the ordinary ones.
        for way in (f"{name}-1-734", name, f"{name}?as_of_block={batch.block_number}"):
            said = client.get(f"/v1/credits/{way}").json()["batch"]
            assert said["backfill_before_batch_id"] == str(following.batch_id)
        for other in (first, following):
            items = client.get(f"/v1/credits/{other.batch_id}/history").json()["items"]
            (issued,) = [item["values"] for item in items if item["kind"] == "issued"]
            assert "backfill_before_batch_id" not in issued
            shown = client.get(f"/credits/{other.batch_id}?lang=en").text
            assert "Carried on" in shown and "backfill" not in shown
            own = client.get(f"/v1/credits/{other.batch_id}").json()
            for way in (own["credit_id"], other.batch_id):
                said = client.get(f"/v1/credits/{way}").json()["batch"]
                assert said["backfill_before_batch_id"] is None


def test_what_is_no_backfill_is_refused(six: Park) -> None:
    issue(six, 2, 3)
    issue(six, 4, 5)
    for start, end in ((1, 3), (3, 5), (2, 3), (2, 4)):
        assert refusal(six, start, end).code == "period-already-issued"
    said = refusal(six, 5, 6)
    assert said.code == "no-backfill"
    assert said.message == (
        "2014-01-05 to 2014-01-06 is no backfill: nothing of park-wind is issued after it; leave --backfill out"
    )
    # A batch that others issued, of which these books know no issuance.
    six.node.issue(
        5,
        0,
        site_id=2,
        project_id=2,
        period_start=DAY_ZERO_S + 15 * 86_400,
        period_end=DAY_ZERO_S + 16 * 86_400,
    )
    six.mirror_final()
    said = refusal(six, 6, 7)
    (batch,) = [row for row in six.rows(CreditBatch) if row.ordinal == 3]
    assert said.message == (
        f"park-wind is issued on chain from 2014-01-06 to 2014-01-07, as batch 3 ({batch.issued_kg} kg, transaction "
        f"{batch.tx_hash}), and these books have no such issuance: it was not issued as a backfill; if they have "
        "forgotten it, import again what they had by then, withdraw and restore again what was (`truetonne readings "
        "withdraw` and `restore`), and `truetonne credits issue --project park-wind --from 2014-01-06 --to "
        "2014-01-07` takes it over and sends nothing; if other books issue this project, "
        "take [project] out of the site file here"
    )
    assert six.count(Issuance) == 2


@long
def test_nothing_is_planned_before_what_carries_its_remainder(six: Park) -> None:
    """The third day waits for its turn with what the first one left: the second must not take that, too."""
    issue(six, 1, 2)
    plan_issuance(six.chain, PROJECT, day(3), day(4))
    said = refusal(six, 2, 3, backfill=False)
    assert said.code == "period-overtaken" and said.message == (
        "park-wind from 2014-01-03 to 2014-01-04 is planned, and carries what was left before it: what is from "
        "2014-01-02 to 2014-01-03 can be issued as a backfill alone, with --backfill, once that is final"
    )
    early = refusal(six, 2, 3)
    assert early.code == "not-final" and "once that one is final" in early.message
    submit_planned(six.chain)
    six.mirror.run_until("head")
    assert states(six) == ["issued", "planned"]
    assert refusal(six, 2, 3).code == "not-final"
    six.mirror_final()
    assert issue(six, 2, 3, backfill=True).issued_kg == 734
    no_gram_twice(six)
    assert six.differences() == []


@long
def test_the_rest_of_a_gap_is_filled_too(six: Park) -> None:
    """Each names the batch that comes next in time, a backfill too."""
    issue(six, 1, 2)
    issue(six, 6, 7)
    for start in (4, 2, 5, 3):
        assert issue(six, start, start + 1, backfill=True).issued_kg == 734
    assert befores(six) == [0, 0, 2, 3, 2, 3]
    assert refusal(six, 3, 4).code == "period-already-issued"
    as_the_model_says(six)
    no_gram_twice(six)
    assert six.differences() == []


@long
def test_a_period_before_the_first_batch(park: Park) -> None:
    """Nobody asks for what is before it, as before any first issuance; what is between has to be paid."""
    park.register()
    park.generate(FIRST, ["-2", KW, "-2", KW, KW])
    issue(park, 5, 6)
    issue(park, 4, 5, backfill=True)
    said = refusal(park, 2, 3)
    assert said.code == "deficit-left-out" and said.message.endswith(
        "from 2014-01-03 to 2014-01-04 was left out and has a deficit of 24.000000000 kg; end at 2014-01-04"
    )
    assert issue(park, 2, 4, backfill=True).issued_kg == 710  # 734.814 - 24
    assert befores(park) == [0, 1, 2]
    as_the_model_says(park)
    no_gram_twice(park)
    assert park.differences() == []


@long
def test_the_good_days_are_not_picked_out_of_a_gap(park: Park) -> None:
    """What stays beside a backfill in its gap may not be a deficit, before it or after it."""
    park.register()
    park.generate(FIRST, ["60", "-2", "60", "-3", "60", "60"])
    issue(park, 1, 2)
    issue(park, 6, 7)  # the gap comes to 720 x 2 - 24 - 36 kg
    said = refusal(park, 3, 4)
    assert said.message.endswith("has a deficit of 24.000000000 kg; begin at 2014-01-02")
    assert issue(park, 2, 4, backfill=True).issued_kg == 696
    said = refusal(park, 5, 6)
    assert said.message.endswith("has a deficit of 36.000000000 kg; begin at 2014-01-04")
    assert issue(park, 4, 6, backfill=True).issued_kg == 684
    assert sum(batch.issued_kg for batch in park.rows(CreditBatch)) == 4 * 720 - 24 - 36
    as_the_model_says(park)


@long
def test_a_deficit_of_the_year_before_that_the_issuance_after_the_gap_has_paid(park: Park) -> None:
    park.register()
    park.generate(date(2013, 12, 30), ["60", "-2", "60", "-0.5", "60"])
    first, new_year = date(2013, 12, 30), date(2014, 1, 1)
    plan_issuance(park.chain, PROJECT, first, first + timedelta(days=1))
    submit_planned(park.chain, PROJECT)
    park.mirror_final()
    # 31 December; what is left out of 2014 is more than 0.
    assert issue(park, 3, 4).carry_in_kg == "-24/1"
    said = refusal(park, 2, 3)
    assert said.message.endswith("-6.000000000 kg are less than one kilogram: nothing to issue; extend the period "
                                 "within what was left out of 2014 there, 2014-01-01 to 2014-01-03")  # fmt: skip
    assert refusal(park, 1, 2).message.endswith("deficit of 6.000000000 kg; end at 2014-01-03")
    assert issue(park, 1, 3, backfill=True).issued_kg == 720 - 6
    with pytest.raises(Refused, match="no more days of 2013 were left out there"):
        plan_issuance(park.chain, PROJECT, new_year - timedelta(days=1), new_year, backfill=True)
    as_the_model_says(park)


@long
def test_a_deficit_of_the_year_before_that_came_after_the_issuance_is_left_out_by_no_backfill(
    park: Park,
) -> None:
    park.register()
    first = date(2013, 12, 30)
    park.generate(first, ["60"])
    plan_issuance(park.chain, PROJECT, first, first + timedelta(days=1))
    submit_planned(park.chain, PROJECT)
    park.mirror_final()
    park.generate(FIRST, ["60", "60", "60"])
    issue(park, 3, 4)
    park.generate(first + timedelta(days=1), ["-2"])
    assert refusal(park, 1, 3).message.endswith(
        "has a deficit of 24.000000000 kg; it is of another year than the period, and no issuance has taken it in"
    )


@long
def test_what_ends_of_years_lack_holds_up_no_backfill_of_another_year(park: Park) -> None:
    """It has entered the batch behind the gap, and no claim over New Year could take it in."""
    park.register()
    park.generate(date(2012, 12, 30), ["60", "60", "-2"])
    park.generate(date(2013, 12, 30), ["1", "-3"])  # in 2013 -24 + 12 - 36 kg
    park.generate(date(2014, 1, 2), ["60", "60"])
    plan_issuance(park.chain, PROJECT, date(2012, 12, 30), date(2012, 12, 31))
    submit_planned(park.chain)
    park.mirror_final()
    later = issue(park, 3, 4)
    assert (later.carry_in_kg, later.issued_kg) == ("-48/1", 720 - 48)
    assert issue(park, 2, 3, backfill=True).issued_kg == 720
    last = date(2012, 12, 31), date(2013, 1, 1)
    (planned,) = plan_issuance(park.chain, PROJECT, *last, backfill=True, dry_run=True)
    assert planned.reduction.issued_kg == 720
    # What its own year lacks is to be taken in, as ever.
    with pytest.raises(Refused, match=r"deficit of 24.0* kg; begin at 2013-01-01"):
        plan_issuance(park.chain, PROJECT, date(2013, 12, 30), date(2013, 12, 31), backfill=True)
    # What the year of the batch behind the gap lacks has entered nothing: it came too late.
    park.generate(FIRST, ["-1"])
    with pytest.raises(Refused, match=r"deficit of 12.0* kg; end at 2014-01-02"):
        plan_issuance(park.chain, PROJECT, *last, backfill=True)


@long
def test_what_another_year_lacks_by_later_readings_holds_a_backfill_up(park: Park) -> None:
    park.register()
    park.generate(date(2012, 12, 30), ["60", "60", "-2"])
    park.generate(date(2014, 1, 1), ["60"])
    plan_issuance(park.chain, PROJECT, date(2012, 12, 30), date(2012, 12, 31))
    submit_planned(park.chain)
    park.mirror_final()
    assert issue(park, 1, 2).carry_in_kg == "-24/1"
    last = date(2012, 12, 31), date(2013, 1, 1)
    (planned,) = plan_issuance(park.chain, PROJECT, *last, backfill=True, dry_run=True)
    assert planned.reduction.issued_kg == 720
    park.generate(date(2013, 12, 31), ["-3"])
    with pytest.raises(Refused, match=r"deficit of 60.0* kg; it is of another year than"):
        plan_issuance(park.chain, PROJECT, *last, backfill=True)


@long
def test_a_backfill_of_less_than_a_kilogram(park: Park) -> None:
    """It may take in what else was left out beside it, and where nothing was, no longer period helps."""
    park.register()
    park.generate(FIRST, ["60", "0", "0", "0.05", "60", "0.05"])  # 0.05 kW: 0.6 kg
    issue(park, 1, 2)
    issue(park, 5, 6)
    for start, end in ((4, 5), (2, 3)):
        said = refusal(park, start, end)
        assert said.code == "nothing-to-issue" and said.message.endswith(
            ": nothing to issue; extend the period within what was left out of 2014 there, 2014-01-02 to 2014-01-05"
        )
    said = refusal(park, 2, 5)
    assert said.message == (
        "park-wind from 2014-01-02 to 2014-01-05: 0.600000000 kg are less than one kilogram: nothing to issue; "
        "no more days of 2014 were left out there, and it stays unissued"
    )
    assert refusal(park, 6, 7).code == "no-backfill"


@long
def test_what_is_on_its_way_in_a_gap_is_left_out_no_more(park: Park) -> None:
    """Nor does it make up for what is left out beside it, until it is void."""
    park.register()
    park.generate(FIRST, ["60", "60", "-2", *["60"] * 6])
    issue(park, 1, 2)
    issue(park, 6, 7)
    (sent,) = plan_issuance(park.chain, PROJECT, day(2), day(3), backfill=True)
    said = refusal(park, 4, 5)
    assert said.message.endswith("has a deficit of 24.000000000 kg; begin at 2014-01-03")
    plan_issuance(park.chain, PROJECT, day(3), day(5), backfill=True)
    # What waits is told first, however much is issued before it.
    plan_issuance(park.chain, PROJECT, day(7), day(8))
    park.db.run(lambda session: fail(session, sent.key, "of the test"))
    assert states(park) == ["issued", "issued", "void", "void", "planned"]
    said = refusal(park, 4, 5)
    assert said.message.startswith("the period from 2014-01-07 to 2014-01-08 is on its way")
    submit_planned(park.chain)
    park.mirror_final()
    assert issue(park, 4, 5, backfill=True).issued_kg == 720
    assert befores(park) == [0, 0, 0, 2]
    as_the_model_says(park)
    (gone,) = plan_issuance(park.chain, PROJECT, day(9), day(10))
    park.db.run(lambda session: fail(session, gone.key, "of the test"))
    assert plan_issuance(park.chain, PROJECT, day(8), day(9), dry_run=True)  # before what is void


@long
def test_what_others_issued_makes_up_for_no_deficit_of_a_gap(park: Park) -> None:
    """Of batches that these books do not know the days are in no gap, before a backfill or after it."""
    park.register()
    park.generate(FIRST, ["60", "60", "-2", "60", "-3", "60", "60"])
    issue(park, 1, 2)
    for of_others in (2, 6):
        zero_s = DAY_ZERO_S + (9 + of_others) * 86_400
        span = {"period_start": zero_s, "period_end": zero_s + 86_400}
        park.node.issue(5, 0, site_id=2, project_id=2, **span)
    third = DAY_ZERO_S + 12 * 86_400
    park.node.issue(5, 0, period_start=third, period_end=third + 86_400)  # of another site
    park.mirror_final()
    issue(park, 7, 8)
    said = refusal(park, 4, 6)
    assert said.message.endswith("has a deficit of 24.000000000 kg; begin at 2014-01-03")
    said = refusal(park, 3, 5)
    assert said.message.endswith("has a deficit of 36.000000000 kg; end at 2014-01-06")
    assert issue(park, 3, 6, backfill=True).issued_kg == 660
    assert befores(park) == [0, 0, 0, 0, 0, 3]


@long
def test_a_deficit_that_a_correction_found_is_paid_by_it(park: Park) -> None:
    park.register()
    park.generate(FIRST, ["60"] * 3)
    issue(park, 1, 2)
    issue(park, 3, 4)
    # Two slots of the first day say less: (60 - 57.9)/6 h x 0.5 + 60/6 h x 0.5 = 5.175 kg were issued too much.
    start = datetime(2013, 12, 31, 23, tzinfo=UTC)
    rows = [
        ((start + timedelta(minutes=10 * slot)).isoformat(), kw)
        for slot, kw in ((3, "57.9"), (9, "0"))
    ]
    import_file(park.db, "park", "scada", write_csv(park.folder / "late.csv", rows))
    correct(park.db, PROJECT)
    second = issue(park, 2, 3, backfill=True)
    assert (second.carry_in_kg, second.issued_kg, second.carry_out_kg) == ("-207/40", 714, "33/40")
    assert park.count(CorrectionCarry) == 1
    no_gram_twice(park)
    assert park.differences() == []


@long
def test_one_over_new_year_is_two(both: Park) -> None:
    both.register()
    both.generate(date(2014, 12, 30), [KW] * 4)
    for first in (date(2014, 12, 30), date(2015, 1, 2)):
        plan_issuance(both.chain, PROJECT, first, first + timedelta(1))
        submit_planned(both.chain)
        both.mirror_final()
    period = date(2014, 12, 31), date(2015, 1, 2)
    planned = plan_issuance(both.chain, PROJECT, *period, backfill=True)
    assert [item.claim.backfill_before for item in planned] == [2, 2]
    for _ in planned:  # one at a time, the earlier one first
        assert len(submit_planned(both.chain)) == 1
        both.mirror_final()
    assert [(row.vintage, row.issued_kg) for row in both.rows(CreditBatch)] == [
        (2014, 734),
        (2015, 734),
        (2014, 734),
        (2015, 734),
    ]
    no_gram_twice(both)
    assert both.differences() == []


# ------------------------------------------------------------------- what goes wrong on the way


@long
def test_a_crash_at_every_boundary(both: Park, monkeypatch: pytest.MonkeyPatch) -> None:
    both.register()
    both.generate(FIRST, [KW] * 3)
    issue(both, 1, 2)
    issue(both, 3, 4)
    names = set()
    for place in count(0, times(3, 1)):
        door = opened(both)
        boundaries = Boundaries(place)
        with crashing(monkeypatch, boundaries), suppress(Crash):
            with door.db.read() as session:
                known = begun(session, PROJECT, day(2), day(3))
            if not known:  # as `credits issue` does
                plan_issuance(door.chain, PROJECT, day(2), day(3), backfill=True)
            submit_planned(door.chain)
        if boundaries.crashed_at is None:
            break
        names.add(boundaries.crashed_at)
    assert len(names) >= times(3, 8)
    until_confirmed(both)
    assert states(both) == ["issued"] * 3
    assert [batch.issued_kg for batch in both.rows(CreditBatch)] == [734, 735, 734]
    assert befores(both) == [0, 0, 2]
    as_the_model_says(both)
    assert both.differences() == []


@long
def test_a_fork_that_takes_out_the_batch_that_follows(both: Park) -> None:
    """Before it was sent: it waits until that one is back, and its verifier need not sign again."""
    both.register()
    both.generate(FIRST, [KW] * 4)
    issue(both, 1, 2)
    height = both.node.height()
    following = issue(both, 3, 4)
    (planned,) = plan_issuance(both.chain, PROJECT, day(2), day(3), backfill=True)
    plan_issuance(both.chain, PROJECT, day(4), day(5))
    both.fork_at(height)
    assert states(both) == ["issued", "planned", "planned", "planned"]
    assert submit_planned(both.chain) == []
    both.chain.sender.rebroadcast()
    for _ in range(2):  # the regular one first
        both.mirror_final()
        assert len(submit_planned(both.chain)) == 1
    both.mirror_final()
    assert states(both) == ["issued"] * 4
    keys = [batch.key for batch in both.rows(CreditBatch)]
    assert (keys[1], keys[3], befores(both)) == (following.key, planned.key, [0, 0, 0, 2])
    as_the_model_says(both)
    no_gram_twice(both)
    assert both.differences() == []


@long
def test_a_fork_that_takes_out_a_backfill_that_another_one_names(six: Park) -> None:
    """The one that was planned first is sent first, though its days come later."""
    issue(six, 1, 2)
    issue(six, 6, 7)
    height = six.node.height()
    following = issue(six, 4, 5, backfill=True)
    (planned,) = plan_issuance(six.chain, PROJECT, day(2), day(3), backfill=True)
    six.fork_at(height)
    assert states(six) == ["issued", "issued", "planned", "planned"]
    assert submit_planned(six.chain) == []
    six.chain.sender.rebroadcast()
    six.mirror_final()
    assert len(submit_planned(six.chain)) == 1
    six.mirror_final()
    assert states(six) == ["issued"] * 4
    keys = [batch.key for batch in six.rows(CreditBatch)]
    assert (keys[2:], befores(six)) == ([following.key, planned.key], [0, 0, 2, 3])
    as_the_model_says(six)
    assert six.differences() == []


@long
def test_a_backfill_that_is_refused_leaves_the_regular_ones_alone(both: Park) -> None:
    """The batch that follows is taken out, and to be sent again: it is, though the backfill before it is void."""
    both.register()
    both.generate(FIRST, [KW] * 3)
    issue(both, 1, 2)
    height = both.node.height()
    following = issue(both, 3, 4)
    (first,) = plan_issuance(both.chain, PROJECT, day(2), day(3), backfill=True)
    both.fork_at(height)
    with (
        both.db.write() as session
    ):  # as where another has taken its nonce, and the contract was paused
        intents.get(session, following.key).state = IntentState.PLANNED
    both.db.run(lambda session: fail(session, first.key, "of the test"))
    assert states(both) == ["issued", "planned", "void"]
    assert both.count(ReadingClaim) == 2 * SLOTS
    with both.db.write() as session:
        intents.get(session, following.key).state = IntentState.SUBMITTED
    both.chain.sender.rebroadcast()
    both.mirror_final()
    again = issue(both, 2, 3, backfill=True)
    assert (again.key != first.key, again.issued_kg, again.carry_in_kg) == (True, 734, "0/1")
    assert [batch.key for batch in both.rows(CreditBatch)][1:] == [following.key, again.key]
    no_gram_twice(both)
    assert both.differences() == []


@long
def test_the_batch_that_it_names_does_not_come_back(both: Park) -> None:
    """The contract refuses it: its readings are free, and go into a regular issuance."""
    both.register()
    both.generate(FIRST, [KW] * 3)
    issue(both, 1, 2)
    height = both.node.height()
    following = issue(both, 3, 4)
    plan_issuance(both.chain, PROJECT, day(2), day(3), backfill=True)
    both.fork_at(height)
    both.db.run(lambda session: fail(session, following.key, "of the test"))
    with pytest.raises(Refused, match="UnknownBatch"):
        submit_planned(both.chain)
    assert states(both) == ["issued", "void", "void"]
    assert both.count(ReadingClaim) == SLOTS
    (again,) = plan_issuance(both.chain, PROJECT, day(2), day(4))
    assert again.reduction.inputs.carry_in_kg == Fraction(407, 500)


@long
def test_a_fork_that_takes_both_out(both: Park) -> None:
    """Both come back as they were, the one that follows first: it has the smaller nonce."""
    both.register()
    both.generate(FIRST, [KW] * 3)
    issue(both, 1, 2)
    height = both.node.height()
    issue(both, 3, 4)
    issue(both, 2, 3, backfill=True)
    keys = [batch.key for batch in both.rows(CreditBatch)]
    both.fork_at(height)
    assert states(both) == ["issued", "planned", "planned"]
    until_confirmed(both)
    assert [batch.key for batch in both.rows(CreditBatch)] == keys
    assert states(both) == ["issued"] * 3
    as_the_model_says(both)
    assert both.differences() == []


@long
def test_the_one_that_follows_is_void_after_a_fork(both: Park) -> None:
    """Planned again, it carries what the regular one before it left, and nothing of a backfill."""
    both.register()
    both.generate(FIRST, [KW, "60.05", KW, KW])  # the second leaves 0.6 kg
    issue(both, 1, 2)
    height = both.node.height()
    issue(both, 3, 4)
    plan_issuance(both.chain, PROJECT, day(2), day(3), backfill=True)
    lost = both.rows(Issuance)[1].key
    both.fork_at(height)
    both.db.run(lambda session: fail(session, lost, "of the test"))
    assert states(both) == ["issued", "void", "planned"]
    (again,) = plan_issuance(both.chain, PROJECT, day(3), day(4))
    assert again.reduction.inputs.carry_in_kg == Fraction(407, 500)


@long
def test_books_that_forgot_it_take_it_over(both: Park) -> None:
    both.register()
    both.generate(FIRST, [KW] * 3)
    issue(both, 1, 2)
    issue(both, 3, 4)
    restore = back_up(both.db, both.folder)
    key = issue(both, 2, 3, backfill=True).key
    restore()
    both.mirror_final()
    (forgotten,) = both.differences()
    assert forgotten.startswith(
        "batch 3 of park-wind (2014-01-02 to 2014-01-03): 734 kg are on chain"
    )
    assert "--backfill" in forgotten
    said = refusal(both, 2, 3, backfill=False)
    assert said.code == "period-already-issued" and "it was issued as a backfill" in said.message
    assert "--from 2014-01-02 --to 2014-01-03 --backfill` takes it over" in said.message
    (again,) = plan_issuance(both.chain, PROJECT, day(2), day(3), backfill=True)
    assert (again.key, again.claim.backfill_before) == (key, 2)
    assert submit_planned(both.chain) == []
    both.mirror_final()
    assert states(both) == ["issued"] * 3 and both.count(CreditBatch) == 3
    no_gram_twice(both)
    assert both.differences() == []


@long
def test_one_that_others_issued_before_another_batch_differs(six: Park) -> None:
    """Issuer and verifier signed the key of a planned one anew, behind the books, after one in the same gap."""
    issue(six, 1, 2)
    issue(six, 6, 7)
    claims = [
        plan_issuance(six.chain, PROJECT, day(start), day(start + 1), backfill=True, dry_run=dry)
        for start, dry in ((2, False), (4, True))
    ]
    ((planned,), (between,)) = claims
    for claim in (between.claim, changed(planned.claim, backfill_before=3)):
        six.node.act("issuer", CREDIT, "issue", six.node.issue_arguments(claim))
    six.mirror_final()
    assert befores(six) == [0, 0, 2, 3]
    other, unknown = sorted(six.differences(), reverse=True)
    assert other == (
        "issuance 3 (2014-01-02 to 2014-01-03): backfill_before is 2, the chain says 3"
    )
    assert unknown.startswith(
        "batch 3 of park-wind (2014-01-04 to 2014-01-05): 734 kg are on chain"
    )


@long
def test_what_a_forgotten_batch_has_taken_is_not_carried_again(six: Park) -> None:
    """Books from before the second day go on with the third: the first one's remainder is in the second."""
    issue(six, 1, 2)
    restore = back_up(six.db, six.folder)
    assert issue(six, 2, 3).carry_in_kg == "407/500"
    restore()
    six.mirror_final()
    third = issue(six, 3, 4)
    assert (third.issued_kg, third.carry_in_kg) == (734, "0/1")
    assert len(six.differences()) == 1  # the batch that nobody here knows
    # Taken over, it is known, and what comes next goes on as ever.
    assert issue(six, 2, 3).carry_in_kg == "407/500"
    assert issue(six, 4, 5).carry_in_kg == "407/500"
    assert six.differences() == []


@long
def test_a_forgotten_batch_makes_up_for_no_deficit(park: Park) -> None:
    """The second day is issued, the third one is a deficit: books that forgot the second one see both as left out."""
    park.register()
    park.generate(FIRST, ["60", "60", "-2", "60"])
    issue(park, 1, 2)
    restore = back_up(park.db, park.folder)
    issue(park, 2, 3)
    restore()
    park.mirror_final()
    said = refusal(park, 4, 5, backfill=False)
    assert said.code == "deficit-left-out" and said.message.endswith(
        "from 2014-01-03 to 2014-01-04 was left out and has a deficit of 24.000000000 kg; begin at 2014-01-03"
    )
    assert issue(park, 3, 5).issued_kg == 696
    assert issue(park, 2, 3).issued_kg == 720  # taken over
    assert park.differences() == []


@long
def test_a_forgotten_backfill_has_taken_nothing(six: Park) -> None:
    restore = back_up(six.db, six.folder)
    issue(six, 1, 2)
    issue(six, 3, 4)
    issue(six, 2, 3, backfill=True)
    restore()
    six.mirror_final()
    for start in (1, 3):  # the batch that follows is taken over before the backfill is
        issue(six, start, start + 1)
    assert issue(six, 4, 5).carry_in_kg == "157/250"
    assert issue(six, 2, 3, backfill=True).carry_in_kg == "0/1"
    assert befores(six) == [0, 0, 2, 0]
    assert six.differences() == []


# ---------------------------------------------------------------------- a verifier elsewhere


def written(park: Park, start: int, end: int) -> Path:
    """Write a backfill for its verifier, and return the file to sign."""
    month = timedelta(days=30)
    ((request, planned),) = requests_for(
        park.chain, PROJECT, day(start), day(end), month, backfill=True
    )
    for name, content in files_of_reduction(planned.reduction).contents.items():
        (park.folder / name).write_bytes(content)
    (park.folder / FILE).write_text(text(request, {}))
    return park.folder / FILE


@long
def test_a_verifier_sees_it_and_signs_it_as_one(six: Park) -> None:
    issue(six, 1, 2)
    issue(six, 3, 4)
    path = written(six, 2, 3)
    apart = opened(six, keyring=keys_without(PARTIES["verifier"])).chain
    with pytest.raises(BadInput, match=r"--to 2014-01-03 --backfill -o DIR`$"):
        plan_issuance(apart, PROJECT, day(2), day(3), backfill=True)
    said = json.loads(path.read_text())
    assert said["backfill_before"] == 2
    assert said["meaning"][-2].startswith(
        "It is a backfill: the period was left out when batch 2 of the site was issued, which comes after it"
    )
    files = path.with_name(MANIFEST), path.with_name(READINGS)
    request, _ = read(path)

    def of(**values: Any) -> Request:
        claim = changed(request.claim, **values)
        return Request(claim, PROJECT, request.chain_id, request.contract)

    for credit in (None, six.chain.credit):
        found = verify_claim(request, *files, credit=credit)
        assert found.valid
        names = [check.name for check in found.checks]
        assert (
            "the claim: it does not expire; it is a backfill, and nothing but deficits is carried into it"
            in names
        )
        free = "the claim: the chain has its time free before batch 2 of the site"
        assert (free in names) is (credit is not None)
    for before, path_of in ((1, "claim.period.to"), (3, "claim.backfill_before")):
        wrong = verify_claim(of(backfill_before=before), *files, credit=six.chain.credit)
        assert [item.path for item in wrong.differences] == [path_of]

    digest_of_regular = of(backfill_before=0).digest
    assert digest_of_regular != request.digest  # what is signed says which of the two it is
    signature = "0x" + anvil_signer(3).sign_typed_data(request.message).hex()
    path.write_text(text(request, {PARTIES["verifier"]: signature}))
    taken = take_file(apart, path, 0)
    assert taken.issued_kg == 734
    submit_planned(six.chain)
    six.mirror_final()
    assert befores(six) == [0, 0, 2]
    assert six.differences() == []


@long
def test_a_backfill_that_carries_a_remainder_in_is_not_signed(six: Park) -> None:
    """The manifest of the third day, which carries what the first one left, under a claim that is called a backfill."""
    issue(six, 1, 2)
    (planned,) = plan_issuance(six.chain, PROJECT, day(3), day(4), dry_run=True)
    for name, content in files_of_reduction(planned.reduction).contents.items():
        (six.folder / name).write_bytes(content)
    claim = changed(planned.claim, backfill_before=1)
    request = Request(claim, PROJECT, 31337, six.node.deployment.credit.address.lower())
    found = verify_claim(request, six.folder / MANIFEST, six.folder / READINGS)
    assert [(item.path, item.manifest) for item in found.differences] == [
        ("carbon.carry_in_kg", "407/500")
    ]


@long
def test_a_signed_one_whose_follower_is_another_by_now_is_signed_anew(six: Park) -> None:
    issue(six, 1, 2)
    issue(six, 5, 6)
    path = written(six, 2, 3)
    request, _ = read(path)
    signature = "0x" + anvil_signer(3).sign_typed_data(request.message).hex()
    path.write_text(text(request, {PARTIES["verifier"]: signature}))
    issue(six, 3, 4, backfill=True)
    with pytest.raises(Refused, match="backfill_before is 3, signed was 2") as caught:
        take_file(six.chain, path, 0)
    assert caught.value.code == "another-claim"


def test_a_command_says_it() -> None:
    item = {"issued_kg": "734", "vintage": 2014, "transaction": None, "backfill_before": 2}
    assert would(item, went_on=False) == (
        "would issue 734 kg, vintage 2014, as a backfill before batch 2"
    )


@long
def test_no_job_fills_a_gap(park: Park) -> None:
    """The next period begins where the last one ended; a backfill that a person has planned is sent."""
    park.register()
    park.generate(FIRST, [KW] * 31)
    issue(park, 1, 2)
    issue(park, 3, 4)
    with park.db.write() as session:
        project = session.scalars(select(Project)).one()
        project.issue_every, project.issue_after_days = "month", 0
    said = issue_closed(park.chain, datetime(2014, 2, 10, tzinfo=UTC))
    assert said == "issued park-wind from 2014-01-04 to 2014-02-01"
    park.mirror_final()
    assert issue_closed(park.chain, datetime(2014, 2, 10, tzinfo=UTC)) is None
    plan_issuance(park.chain, PROJECT, day(2), day(3), backfill=True)
    assert issue_closed(park.chain, datetime(2014, 2, 10, tzinfo=UTC)) is None
    park.mirror_final()
    assert states(park) == ["issued"] * 4
    assert befores(park) == [0, 0, 0, 2]
    assert park.differences() == []


@long
def test_a_certificate_over_the_gap_is_left_out_once(park: Park) -> None:
    """Of 4 MWh the days beside the gap left 1.44 each out, and the day in it the other 1.12 of its 1.44."""
    park.register()
    certificate = (
        '\n[[energy_certificate]]\ndevice = "A"\ninstrument = "GEC"\nreference = "7"\n'
        f'from_day = "{day(2)}"\nto_day = "{day(4)}"\nenergy_mwh = "4"\n'
    )
    with park.db.write() as session:
        apply_site(session, SITE + certificate + TRADING, resolve_account=anvil_like)
    park.generate(FIRST, ["60"] * 5)
    assert [issue(park, 1, 3).issued_kg, issue(park, 4, 6).issued_kg] == [720, 720]
    assert issue(park, 3, 4, backfill=True).issued_kg == 160
    left_out = [
        Fraction(json.loads(row.manifest)["meters"][0]["energy_certificates"][0]["left_out_kwh"])
        for row in park.rows(Issuance)
    ]
    assert left_out == [1440, 1440, 1120]
    assert correct(park.db, PROJECT).found == []
    assert park.differences() == []
