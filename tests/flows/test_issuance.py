"""Readings to credits: planned with all that belongs to it, issued once, and only the mirror says so."""

import dataclasses
import json
import threading
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from eth_abi.abi import decode as abi_decode
from eth_account import Account
from eth_account.messages import _hash_eip191_message, encode_typed_data
from fastapi.testclient import TestClient
from msgspec.structs import asdict, fields, replace
from sqlalchemy import inspect, select, update
from sqlalchemy.orm import Session

from api.app import create_app
from api.credits.beginnings import entries_before
from api.finality import chain_view
from api.sites.months import issuances_of
from cli.checks import Verdict
from cli.credits_issue import _rehearse, issued_by, serials_of
from cli.doctor import _roles
from ledger import issuance, registration
from ledger.chain.addresses.holders import lacking
from ledger.chain.contracts.abi import artifact
from ledger.chain.contracts.events import CREDIT, Claim
from ledger.chain.contracts.layout import canonical_type
from ledger.chain.contracts.structs import claim_tuple, claim_typed_data
from ledger.chain.contracts.wrappers import decode_error, encode_call
from ledger.chain.failures.explanations import explain
from ledger.chain.node.client import RpcError
from ledger.chain.sending.issued import issuance_of
from ledger.clock import utc_now
from ledger.errors import BadInput, BooksDiffer, NotFound, Refused
from ledger.issuance import PlannedIssuance, begun, plan_issuance, planning, submit_planned
from ledger.issuance.signing import KeyAtHand
from ledger.models import (
    CarbonCredit,
    ChainIntent,
    CreditBatch,
    CreditClass,
    CreditProject,
    CreditSite,
    ImportFile,
    Issuance,
    Meter,
    MeterReading,
    Project,
    ReadingClaim,
)
from ledger.models.issuance import IssuanceState
from ledger.models.readings import ReadingQuality
from ledger.models.sending import IntentState
from ledger.readings.periods.evidence_files import files_of_credit
from ledger.readings.periods.period import reductions_for
from ledger.settings import load_settings
from ledger.sites import apply_site
from tests.support import acts
from tests.support.chain import PARTIES, class_role, send
from tests.support.forms import few, long, rest
from tests.support.park import PROJECT, AfterMining, Park, day, keys_without
from tests.support.plant import SITE
from tests.support.sending import automine, drop, opened, steal

SHORT_ON_MARIADB = (
    "test_only_the_mirror_confirms_and_only_what_is_final",
    "test_a_plan_holds_claim_slots_and_intent",
    "test_two_issuances_of_one_period_at_once",
)

FIRST = date(2014, 1, 1)
SLOTS = 144
"""Ten minutes fit so often into a day."""


@pytest.fixture
def ready(park: Park) -> Park:
    """Three days: 60 kW, then 61.2345 kW, then 60 kW again; 720 kg, 734.814 kg, 720 kg."""
    park.register()
    park.generate(FIRST, ["60", "61.2345", "60"])
    return park


def plan(park: Park, start: date, end: date) -> PlannedIssuance:
    (planned,) = plan_issuance(park.chain, PROJECT, start, end)
    return planned


def states(park: Park) -> list[str]:
    return [row.state.value for row in park.rows(Issuance)]


def stored_call(intent: ChainIntent) -> tuple[Claim, str, bytes]:
    """Return claim, verifier and signature as they stand in an intent's frozen call data."""
    item = next(item for item in artifact(CREDIT).abi if item.get("name") == "issue")
    types = [canonical_type(part) for part in item["inputs"]]
    values, verifier, signature = abi_decode(types, bytes.fromhex(intent.call_data[10:]))
    texts: list[Any] = [
        "0x" + value.hex() if isinstance(value, bytes) else value for value in values
    ]
    return Claim(*texts), verifier, signature


# --------------------------------------------------------------------------- planning


@long
def test_what_was_planned_and_not_sent_is_gone_on_with(ready: Park) -> None:
    """For the very dates alone, and only until it is issued."""

    def found(start: date, end: date) -> list[str]:
        with ready.db.read() as session:
            return [item.key for item in begun(session, PROJECT, start, end)]

    assert found(day(1), day(2)) == []
    planned = plan(ready, day(1), day(2))
    assert found(day(1), day(2)) == [planned.key]
    assert found(day(1), day(3)) == found(day(2), day(3)) == []
    with pytest.raises(
        Refused, match=r"\(planned\).*; an issuance of those very dates goes on with it"
    ):
        plan(ready, day(1), day(3))
    submit_planned(ready.chain, PROJECT)
    assert found(day(1), day(2)) == [planned.key]
    ready.mirror_final()
    assert states(ready) == ["issued"] and found(day(1), day(2)) == []


@long
def test_an_issuance_s_key_that_others_used_up(ready: Park) -> None:
    """An issuer and a verifier who see it in the pool: their batch is not our issuance, which is planned anew."""
    planned = plan(ready, day(1), day(2))
    theirs = ready.node.act("registrar", CREDIT, "registerSite", [1, "elsewhere"])
    site_id = int(theirs.logs[0].topics[1], 16)
    first = int(datetime(2011, 5, 1, tzinfo=UTC).timestamp())
    period = {"period_start": first, "period_end": first + 60}
    ready.node.issue(5, 0, key=planned.key, site_id=site_id, **period)
    ready.mirror_final()
    assert [row.vintage for row in ready.rows(CreditBatch)] == [2011]
    with ready.db.read() as session, pytest.raises(NotFound, match="not issued from these books"):
        files_of_credit(session, "elsewhere-2011-1-1-5")
    with ready.db.read() as session:
        (batch,) = session.scalars(select(CreditBatch))
        assert issuance_of(session, batch) is None  # by which pages and certificates ask
    assert states(ready) == ["planned"]
    with pytest.raises(Refused, match="KeyUsed"):
        submit_planned(ready.chain, PROJECT)
    assert states(ready) == ["void"]
    again = plan(ready, day(1), day(2))
    assert again.key != planned.key
    submit_planned(ready.chain, PROJECT)
    ready.mirror_final()
    assert states(ready) == ["void", "issued"]
    assert ready.differences() == []


@long
def test_an_issuance_whose_batch_was_invalidated_says_so(ready: Park) -> None:
    """The pages of project and site, and their answers, called it issued and final, and nothing else."""
    plan(ready, day(1), day(2))
    submit_planned(ready.chain, PROJECT)
    ready.mirror_final()
    (batch,) = ready.rows(CreditBatch)
    acts.invalidate(ready.node, batch.batch_id)
    ready.mirror_final()
    given = {
        "TRUETONNE_DATABASE_URL": ready.db.url.render_as_string(hide_password=False),
        "TRUETONNE_HOME": str(ready.folder),
    }
    with TestClient(create_app(load_settings(None, given))) as client:
        place = f"/v1/projects/{PROJECT}"
        of_site = f"/v1/sites/{client.get(place).json()['site']}"
        said = {}
        for url in (place, of_site, f"{place}?as_of_block={batch.block_number}"):
            (item,) = client.get(url).json()["issuances"]
            said[url] = (item["state"], item["batch_status"])
        assert list(said.values()) == [("issued", "cancelled")] * 2 + [("issued", "active")]
        for url in (place, of_site):
            page = client.get(url.removeprefix("/v1"), headers={"accept": "text/html"}).text
            row = page.partition('id="issuances"')[2].partition("</table>")[0]
            assert '<span class="badge cancelled">cancelled</span>' in row


@long
def test_the_batch_of_others_under_our_key_is_not_shown_as_ours(ready: Park) -> None:
    """Theirs has our key, evidence and manifest, and another site; ours is still planned."""
    planned = plan(ready, day(1), day(2))
    theirs = ready.node.act("registrar", CREDIT, "registerSite", [1, "elsewhere"])
    site_id = int(theirs.logs[0].topics[1], 16)
    claim, _, _ = stored_call(ready.intent(planned.key))
    arguments = ready.node.issue_arguments(replace(claim, project_id=1, site_id=site_id))
    ready.node.act("issuer", CREDIT, "issue", arguments)
    ready.mirror_final()
    assert states(ready) == ["planned"]
    (batch,) = ready.rows(CreditBatch)
    assert batch.evidence_root == ready.rows(Issuance)[0].evidence_root
    with ready.db.read() as session:
        assert issued_by(session, planned.key) is None
        assert serials_of(session, planned.key) is None
        assert issuance_of(session, batch) is None
        view = chain_view(session, "local", "test")
        (item,) = issuances_of(session, view, [1])
        assert (item.batch_id, item.final) == (None, False)
        assert issuances_of(session, view, [1], batch.block_number) == []
    assert ready.differences() == []
    settings = load_settings(
        None,
        {
            "TRUETONNE_DATABASE_URL": ready.db.url.render_as_string(hide_password=False),
            "TRUETONNE_HOME": str(ready.folder),
        },
    )
    with TestClient(create_app(settings)) as client:
        html = {"accept": "text/html"}
        page = client.get(f"/credits/{batch.batch_id}", headers=html)
        assert page.status_code == 200 and "manifest.json" not in page.text
        for part in ("manifest.json", "readings.json"):
            assert client.get(f"/credits/{batch.batch_id}/{part}").status_code == 404
        history = client.get(f"/v1/credits/{batch.batch_id}/history").json()
        assert "reductions_computed" not in {entry["kind"] for entry in history["items"]}


@long
@few(1)
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_period_before_one_that_is_on_chain_is_refused_when_it_is_planned(
    ready: Park, dry_run: bool
) -> None:
    plan(ready, day(2), day(3))
    submit_planned(ready.chain, PROJECT)
    ready.mirror_final()
    with pytest.raises(
        Refused, match=r"issued on chain until 2014-01-03 00:00 \(Europe/Paris\)"
    ) as caught:
        plan_issuance(ready.chain, PROJECT, day(1), day(2), dry_run=dry_run)
    assert caught.value.code == "period-overtaken"
    assert states(ready) == ["issued"]


def test_a_plan_holds_claim_slots_and_intent(both: Park) -> None:
    both.register()
    both.generate(FIRST, ["60", "61.2345"])
    ahead = utc_now() + timedelta(seconds=90)  # by the clock of the machine that imported
    with both.db.write() as session:
        session.execute(update(ImportFile).values(imported_at=ahead))
    planned = plan(both, day(1), day(3))
    (row,) = both.rows(Issuance)
    assert row.created_at > ahead  # as it was
    assert (row.key, row.state) == (planned.key, IssuanceState.PLANNED)
    # 24 h x (60 + 61.2345) kW x 0.5 t/MWh
    assert row.net_kwh == Decimal("2909.628")
    assert row.reductions_kg == Decimal("1454.814")
    assert row.issued_kg == 1454
    assert (row.carry_in_kg, row.carry_out_kg) == ("0/1", "407/500")
    assert (row.from_date, row.to_date, row.vintage) == (day(1), day(3), 2014)
    assert row.to_s - row.from_s == 2 * 86_400
    assert (row.readings_expected, row.readings_used, row.leaves) == (288, 288, 288)
    claims = both.rows(ReadingClaim)
    assert len(claims) == 2 * SLOTS
    assert {claim.issuance_id for claim in claims} == {row.id}
    assert min(claim.start_s for claim in claims) == row.from_s

    intent = both.intent(planned.key)
    assert (intent.state, intent.kind, intent.tx_hash) == (IntentState.PLANNED, "issue", None)
    assert intent.sender_address == PARTIES["issuer"]
    claim, verifier, _ = stored_call(intent)
    assert claim.key == planned.key
    assert (claim.amount, claim.evidence_total) == (1454, 1455)
    assert (claim.period_start, claim.period_end) == (row.from_s, row.to_s)
    assert (claim.evidence_root, claim.manifest_hash) == (row.evidence_root, row.manifest_hash)
    assert (claim.recipient, verifier) == (PARTIES["owner"], PARTIES["verifier"])
    assert json.loads(row.manifest)["project"] == PROJECT or PROJECT in row.manifest


@pytest.mark.parametrize("broken", rest(["_claim_slots", "_row", "_intent"], "_intent"))
def test_a_plan_that_breaks_leaves_nothing(
    ready: Park, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    before = ready.count(ChainIntent)

    def crash(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(planning, broken, crash)
    with pytest.raises(KeyboardInterrupt):
        plan_issuance(ready.chain, PROJECT, day(1), day(2))
    assert ready.count(Issuance) == ready.count(ReadingClaim) == 0
    assert ready.count(ChainIntent) == before


@pytest.mark.parametrize(
    ("start", "end"), rest([(1, 3), (1, 2), (2, 3), (2, 4), (1, 4)], (2, 4), (1, 4)), ids=str
)
def test_trap_overlapping_windows_are_refused(ready: Park, start: int, end: int) -> None:
    plan(ready, day(1), day(3))
    with pytest.raises(
        Refused, match="overlaps an issuance from 2014-01-01 to 2014-01-03"
    ) as caught:
        plan_issuance(ready.chain, PROJECT, day(start), day(end))
    assert caught.value.code == "period-already-issued"
    assert ready.count(Issuance) == 1


def test_what_is_left_of_a_kilogram_goes_into_the_next_period(ready: Park) -> None:
    amounts = [plan(ready, day(n), day(n + 1)).reduction.issued_kg for n in (1, 2, 3)]
    assert amounts == [720, 734, 720]  # 720 + 0, 734.814, 720.814
    assert [row.carry_out_kg for row in ready.rows(Issuance)] == ["0/1", "407/500", "407/500"]


@long
def test_a_deficit_is_not_left_out(park: Park) -> None:
    park.register()
    park.generate(FIRST, ["60", "-2", "60", "0", "60"])
    plan(park, day(1), day(2))
    with pytest.raises(Refused, match=r"from 2014-01-02 to 2014-01-03 .* deficit of 24") as caught:
        plan_issuance(park.chain, PROJECT, day(3), day(4))
    assert caught.value.code == "deficit-left-out"
    assert park.count(Issuance) == 1
    assert plan(park, day(2), day(4)).reduction.issued_kg == 720 - 24
    # What was left out after that is nothing, and may be.
    assert plan(park, day(5), day(6)).reduction.issued_kg == 720


@long
def test_a_deficit_at_the_end_of_a_year_enters_the_next(park: Park) -> None:
    """It can be issued with no other days: nothing could ever be issued again."""
    park.register()
    park.generate(date(2013, 12, 30), ["60.05", "-2", "60", "-1", "60"])
    year = date(2014, 1, 1)
    # 720.6 kg; then 24 too few in the one day that is left of 2013, of which 0.6 were left.
    assert plan(park, date(2013, 12, 30), date(2013, 12, 31)).reduction.issued_kg == 720
    for end in (year, day(2)):
        with pytest.raises(Refused, match=r"within 2013, or begin at 2014-01-01: .*") as caught:
            plan_issuance(park.chain, PROJECT, date(2013, 12, 31), end)
        assert caught.value.code == "nothing-to-issue"
    planned = plan(park, year, day(2)).reduction
    assert (planned.inputs.carry_in_kg, planned.issued_kg) == (Fraction(-234, 10), 696)
    # It is paid once; and a deficit of its own year may be left out by no period, as ever.
    with pytest.raises(Refused, match=r"deficit of 12.0* kg; begin at 2014-01-02"):
        plan_issuance(park.chain, PROJECT, day(3), day(4))
    assert plan(park, day(2), day(4)).reduction.available_kg == Fraction(6, 10) - 12 + 720
    with park.db.read() as session:
        (again,) = reductions_for(session, PROJECT, year, day(2))
    assert (again.issued_kg, again.inputs.carry_in_kg) == (696, Fraction(-117, 5))


@long
def test_a_factor_of_the_new_year_is_no_hindrance_to_what_the_old_one_lacks(park: Park) -> None:
    """Its days are of none of the new factor, and can be issued by none: that stopped the new year."""
    park.register()
    park.generate(date(2013, 12, 30), ["60", "-2", "60"])
    plan(park, date(2013, 12, 30), date(2013, 12, 31))
    new = (
        '[[factor]]\ncode = "cm"\nversion = "2"\npurpose = "crediting_cm"\nvalue = "0.4"\nunit = "t/MWh"\n'
        'source = "a test"\nvalid_from = "2014-01-01"\n'
    )
    text = SITE.replace('factor = "cm"', 'factor = "cm"\nfactor_version = "2"')
    with park.db.write() as session:
        apply_site(session, text + new)
    # 48 kWh at 0.5 t/MWh of then; 1,440 kWh at the new one.
    reduction = plan(park, FIRST, day(2)).reduction
    assert (reduction.inputs.carry_in_kg, reduction.issued_kg) == (-24, 576 - 24)


@long
def test_a_deficit_beside_days_that_nobody_can_issue_enters_the_next_period(park: Park) -> None:
    """Too little is known of a day behind it, so no period may begin with it: the year could be issued no more."""
    park.register()
    with park.db.write() as session:
        apply_site(session, SITE.replace('completeness_min = "0"', 'completeness_min = "0.9"'))
    park.generate(FIRST, ["60.05", "-2"])
    park.generate(day(4), ["60", "60", "-1", "60"])  # nothing is known of the third day
    plan(park, day(1), day(2))
    with pytest.raises(Refused, match="require") as caught:
        plan_issuance(park.chain, PROJECT, day(2), day(5))
    assert caught.value.code == "incomplete"
    # 0.6 kg of the first day, 24 too few of the second.
    reduction = plan(park, day(4), day(5)).reduction
    assert (reduction.inputs.carry_in_kg, reduction.issued_kg) == (Fraction(-234, 10), 696)
    assert plan(park, day(5), day(6)).reduction.inputs.carry_in_kg == Fraction(6, 10)
    # It is paid once; and where a period may begin with such days, it has to.
    with pytest.raises(Refused, match=r"deficit of 12.0* kg; begin at 2014-01-06"):
        plan_issuance(park.chain, PROJECT, day(7), day(8))
    assert plan(park, day(6), day(8)).reduction.issued_kg == 720 - 12
    with park.db.read() as session:
        (again,) = reductions_for(session, PROJECT, day(4), day(5))
    assert (again.issued_kg, again.inputs.carry_in_kg) == (696, Fraction(-117, 5))


@long
def test_a_deficit_of_days_of_an_earlier_factor_of_the_year_enters_the_next_period(
    park: Park,
) -> None:
    """One that is published within a year is of no day before: a period over that border is of no factor."""
    park.register()
    park.generate(date(2013, 12, 30), ["60", "-2", "60", "-1", "60", "60"])
    plan(park, date(2013, 12, 30), date(2013, 12, 31))
    plan(park, FIRST, day(2))
    new = (
        '[[factor]]\ncode = "cm"\nversion = "2"\npurpose = "crediting_cm"\nvalue = "0.4"\nunit = "t/MWh"\n'
        'source = "a test"\nvalid_from = "2014-01-03"\n'
    )
    text = SITE.replace('factor = "cm"', 'factor = "cm"\nfactor_version = "2"')
    with park.db.write() as session:
        apply_site(session, text + new)
    with pytest.raises(Refused) as caught:
        plan_issuance(park.chain, PROJECT, day(2), day(4))
    assert caught.value.code == "factor-not-valid"
    # 24 kWh at 0.5 t/MWh of then; 1,440 kWh at the new one. What the year before lacked is paid.
    reduction = plan(park, day(3), day(4)).reduction
    assert (reduction.inputs.carry_in_kg, reduction.issued_kg) == (-12, 576 - 12)
    assert plan(park, day(4), day(5)).reduction.inputs.carry_in_kg == 0


@long
def test_deficits_on_both_sides_of_new_year_enter_the_next_period(park: Park) -> None:
    """What is issued as a backfill then has what its own year lacks in it once more, and leaves nothing more out."""
    park.register()
    with park.db.write() as session:
        apply_site(session, SITE.replace('completeness_min = "0"', 'completeness_min = "0.9"'))
    park.generate(date(2013, 12, 30), ["60", "-2", "-1"])
    park.generate(day(3), ["60"])  # nothing is known of the second day
    plan(park, date(2013, 12, 30), date(2013, 12, 31))
    submit_planned(park.chain, PROJECT)
    park.mirror_final()
    reduction = plan(park, day(3), day(4)).reduction
    assert (reduction.inputs.carry_in_kg, reduction.issued_kg) == (-36, 720 - 36)
    submit_planned(park.chain, PROJECT)
    park.mirror_final()
    park.generate(day(2), ["60"])
    (look,) = plan_issuance(park.chain, PROJECT, day(1), day(3), backfill=True, dry_run=True)
    assert look.reduction.issued_kg == 720 - 12
    park.generate(date(2013, 12, 31), ["-4"])
    with pytest.raises(Refused, match=r"deficit of 48.0* kg; it is of another year than"):
        plan_issuance(park.chain, PROJECT, day(1), day(3), backfill=True)


@long
@few(1)
@pytest.mark.parametrize("first", [FIRST, date(2013, 12, 30)])
def test_days_on_which_no_meter_is_there_stop_nothing_behind_them(park: Park, first: date) -> None:
    """A look at what they lack was refused for want of a meter, and so was every period of the year, or of the next."""
    park.register()
    one, two, three = (first + timedelta(days=days) for days in (1, 2, 3))
    park.generate(first, ["60"])
    plan(park, first, one)
    there = f'role = "generation"\nin_service_from = "{two}"'
    with park.db.write() as session:
        apply_site(session, SITE.replace('role = "generation"', there))
    park.generate(two, ["60"])
    reduction = plan(park, two, three).reduction
    assert (reduction.inputs.carry_in_kg, reduction.issued_kg) == (0, 720)


@long
def test_a_look_at_two_years_says_what_each_would_be_issued_with(park: Park) -> None:
    """What the first has was taken off the deficit before it, though it would not be issued."""
    park.register()
    park.generate(date(2012, 12, 30), ["60", "-2"])
    park.generate(date(2013, 12, 31), ["1", "60"])
    plan(park, date(2012, 12, 30), date(2012, 12, 31))
    with park.db.read() as session:
        parts = reductions_for(session, PROJECT, date(2013, 12, 31), day(2))
    carried = [(each.inputs.carry_in_kg, each.issued_kg) for each in parts]
    assert carried == [(-24, 0), (-24, 720 - 24)]
    assert plan(park, FIRST, day(2)).reduction.issued_kg == 720 - 24


@long
def test_a_deficit_is_carried_over_years_that_are_not_issued(park: Park) -> None:
    """What they lack adds up, and what they have makes up for none: it may still be issued, as a backfill."""
    park.register()
    park.generate(date(2011, 12, 30), ["60", "-2"])
    park.generate(date(2012, 7, 1), ["1"])
    park.generate(date(2013, 7, 1), ["-1"])
    park.generate(FIRST, ["60"])
    plan(park, date(2011, 12, 30), date(2011, 12, 31))
    reduction = plan(park, FIRST, day(2)).reduction
    assert (reduction.inputs.carry_in_kg, reduction.issued_kg) == (-24 - 12, 720 - 36)


def test_nothing_to_issue(park: Park) -> None:
    park.register()
    park.generate(FIRST, ["0", "-1"])
    for start, end in ((1, 2), (2, 3), (1, 3)):
        with pytest.raises(Refused, match="nothing to issue; extend the period") as caught:
            plan_issuance(park.chain, PROJECT, day(start), day(end))
        assert caught.value.code == "nothing-to-issue"
    assert park.count(Issuance) == park.count(ReadingClaim) == 0


def test_a_reading_that_was_altered_in_the_books_is_not_issued(ready: Park) -> None:
    """What is not in the text is proven by nothing: no verification of such credits would hold."""
    ready.generate(day(4), ["999"])  # above what the device is rated for
    first, *_, last = sorted(ready.rows(MeterReading), key=lambda row: row.start_s)
    of_first, of_last = "of 2013-12-31T23:00:00Z", "of 2014-01-04T22:50:00Z"
    for row, altered, says in (
        (first, {"value_digits": 66}, f"'60' {of_first} (66, used) is '60' {of_first} (60, used)"),
        (first, {"value_scale": 1}, f"'60' {of_first} (6.0, used) is '60' {of_first} (60, used)"),
        (first, {"text": "61"}, f"'61' {of_first} (60, used) is '61' {of_first} (61, used)"),
        (
            last,
            {"quality": ReadingQuality.USED, "reason": None},
            f"'999' {of_last} (999, used) is '999' {of_last} (999, outlier)",
        ),
    ):
        here = update(MeterReading).where(MeterReading.id == row.id)
        with ready.db.write() as session:
            session.execute(here.values(altered))
        with pytest.raises(BooksDiffer) as caught:
            plan_issuance(ready.chain, PROJECT, day(1), day(5))
        assert says in caught.value.message
        with ready.db.write() as session:
            session.execute(here.values({name: getattr(row, name) for name in altered}))
    assert ready.count(Issuance) == ready.count(ReadingClaim) == 0
    assert plan(ready, day(1), day(5)).reduction.counts.outlier == SLOTS


@long
def test_a_batch_that_no_row_holds_is_not_planned(
    park: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    park.register()
    park.generate(FIRST, ["60"])
    monkeypatch.setattr("ledger.issuance.planning.BATCH_KG_MAX", 719)
    with pytest.raises(Refused, match=r"720 kg are more than .* issue shorter periods") as caught:
        plan_issuance(park.chain, PROJECT, day(1), day(2))
    assert caught.value.code == "batch-too-large"
    assert park.count(Issuance) == park.count(ReadingClaim) == 0
    monkeypatch.undo()
    assert plan_issuance(park.chain, PROJECT, day(1), day(2))


def test_what_cannot_be_planned(park: Park) -> None:
    with pytest.raises(NotFound, match="no project 'other'"):
        plan_issuance(park.chain, "other", day(1), day(2))
    for dry_run, unregistered in ((False, False), (False, True), (True, False)):
        with pytest.raises(BadInput, match="not registered on chain; run truetonne chain register"):
            plan_issuance(
                park.chain, PROJECT, day(1), day(2), dry_run=dry_run, unregistered=unregistered
            )
    park.register()
    with pytest.raises(BadInput, match="is empty"):
        plan_issuance(park.chain, PROJECT, day(2), day(2))
    with pytest.raises(Refused) as caught:
        plan_issuance(park.chain, PROJECT, day(1), day(2))
    assert caught.value.code in ("no-readings", "incomplete")


@long
def test_a_signer_s_own_refusal_is_told_as_it_is(
    ready: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way to a verifier elsewhere is for whoever has no key, not for one whose keys cannot be read."""

    def refuse(self: KeyAtHand, claim: Claim, _: str) -> None:
        raise BadInput("the password is wrong", code="keystore")

    monkeypatch.setattr(KeyAtHand, "sign", refuse)
    with pytest.raises(BadInput) as caught:
        plan_issuance(ready.chain, PROJECT, day(1), day(2))
    assert (caught.value.message, caught.value.code) == ("the password is wrong", "keystore")


def test_a_period_that_is_not_over_is_refused(ready: Park) -> None:
    # Midnight in Paris of the 4th is 23:00 of the 3rd in UTC.
    before = datetime(2014, 1, 3, 22, 59, 59, tzinfo=UTC)
    for dry_run in (True, False):
        with pytest.raises(Refused) as caught:
            plan_issuance(ready.chain, PROJECT, day(1), day(4), dry_run=dry_run, now=before)
        assert caught.value.code == "period-not-over"
        assert "ends on 2014-01-04, and today is 2014-01-03 in Europe/Paris" in str(caught.value)
    with pytest.raises(Refused, match="the period ends on 2099-01-01, and today is 20"):
        plan_issuance(ready.chain, PROJECT, date(2098, 1, 1), date(2099, 1, 1), dry_run=True)
    assert ready.count(Issuance) == ready.count(ReadingClaim) == 0
    over = before + timedelta(seconds=1)
    assert len(plan_issuance(ready.chain, PROJECT, day(1), day(4), now=over)) == 1


@long
def test_a_period_over_new_year_is_two_issuances(park: Park) -> None:
    park.register()
    park.generate(date(2014, 12, 31), ["61.2345", "61.2345"])
    planned = plan_issuance(park.chain, PROJECT, date(2014, 12, 31), date(2015, 1, 2))
    assert [(item.vintage, item.reduction.issued_kg) for item in planned] == [
        (2014, 734),
        (2015, 734),
    ]
    first, second = park.rows(Issuance)
    assert (first.to_date, second.from_date) == (date(2015, 1, 1), date(2015, 1, 1))
    assert first.to_s == second.from_s
    assert second.carry_in_kg == "0/1"  # 0.814 kg of 2014 end with their vintage
    for state in ("planned", "issued"):
        assert len(submit_planned(park.chain, PROJECT)) == 1
        assert submit_planned(park.chain, PROJECT) == []
        park.mirror_final()
        assert states(park) == ["issued", state]
    batches = park.rows(CreditBatch)
    assert [(item.ordinal, item.vintage, item.issued_kg) for item in batches] == [
        (1, 2014, 734),
        (2, 2015, 734),
    ]
    assert [item.key for item in batches] == [item.key for item in planned]


# ------------------------------------------------------------------- sending, confirming


def test_only_the_mirror_confirms_and_only_what_is_final(both: Park) -> None:
    both.register()
    both.generate(FIRST, ["60"])
    key = plan(both, day(1), day(2)).key
    (tx_hash,) = submit_planned(both.chain, PROJECT)
    assert states(both) == ["planned"]
    both.mirror.run_until("head")
    assert states(both) == ["planned"]  # mirrored, and not final
    (batch,) = both.rows(CreditBatch)
    assert (batch.key, batch.issued_kg, batch.tx_hash) == (key, 720, tx_hash)
    assert submit_planned(both.chain, PROJECT) == []
    both.mirror_final()
    assert states(both) == ["issued"]
    assert both.intent(key).state is IntentState.CONFIRMED
    (credit,) = both.rows(CarbonCredit)
    assert (credit.credit_id, credit.amount) == (f"{PROJECT}-2014-1-1-720", Decimal("0.720"))
    with both.db.read() as session:  # what its page shows of before, on MariaDB too
        told = [entry for _, entry in entries_before(session, batch)]
        view = chain_view(session, "local", "test")
        assert [len(issuances_of(session, view, [number])) for number in (1, 2)] == [1, 0]
    assert [item.kind for item in told] == ["readings_imported", "reductions_computed"]
    assert (told[0].values["readings"], told[0].values["source"]) == (str(SLOTS), "scada")


@long
def test_a_reorganisation_takes_an_issuance_back_and_it_comes_again(ready: Park) -> None:
    plan(ready, day(1), day(2))
    ready.mirror = AfterMining(ready.db, ready.node.client, ready.node.deployment, 0)
    ready.mirror.run_until("head")
    submit_planned(ready.chain)
    ready.mirror.run_until("head")
    assert states(ready) == ["issued"]  # with a finality of no block
    ready.node.reorganise(1)
    ready.mirror.run_until("head")
    assert states(ready) == ["planned"]
    assert ready.count(CreditBatch) == 0
    assert ready.count(ReadingClaim) == SLOTS
    ready.chain.sender.rebroadcast()
    ready.node.mine(1)
    ready.mirror.run_until("head")
    assert states(ready) == ["issued"]
    assert ready.count(CreditBatch) == 1


def forbid(park: Park) -> None:
    park.node.act("admin", CREDIT, "revokeRole", [class_role("ISSUER_ROLE", 1), PARTIES["issuer"]])


def allow(park: Park) -> None:
    park.node.act("admin", CREDIT, "grantRole", [class_role("ISSUER_ROLE", 1), PARTIES["issuer"]])


@long
def test_a_refusal_voids_the_issuance_and_frees_its_readings(ready: Park) -> None:
    key = plan(ready, day(1), day(2)).key
    assert lacking(ready.chain.client, ready.chain.deployment) == []
    forbid(ready)
    with pytest.raises(Refused, match="AccessControlUnauthorizedAccount") as refused:
        submit_planned(ready.chain, PROJECT)
    issuer = PARTIES["issuer"]
    meant = explain(refused.value.message)
    assert meant is not None
    assert (
        meant.english == f"The account {issuer} does not have the role ISSUER:1, which this takes."
    )
    check = _roles(ready.chain.client, ready.chain.deployment)
    said = f"issuer {issuer} does not have ISSUER:1 of CarbonCredit"
    assert (check.verdict, check.found) == (Verdict.FAILED, said)
    assert states(ready) == ["void"]
    assert ready.count(ReadingClaim) == 0
    assert ready.intent(key).state is IntentState.FAILED
    assert submit_planned(ready.chain, PROJECT) == []
    allow(ready)
    again = plan(ready, day(1), day(2))
    assert again.key != key
    submit_planned(ready.chain)
    ready.mirror_final()
    assert states(ready) == ["void", "issued"]
    assert ready.count(ReadingClaim) == SLOTS


@long
def test_what_was_planned_is_issued_by_the_account_that_the_role_moved_to(ready: Park) -> None:
    """The former issuer's key is lost: what it was to send waited for it for ever."""
    key = plan(ready, day(1), day(2)).key
    forbid(ready)
    role, spare = class_role("ISSUER_ROLE", 1), PARTIES["spare"]
    ready.node.act("admin", CREDIT, "grantRole", [role, spare])
    file = ready.node.deployment
    ready.node.deployment = dataclasses.replace(file, accounts={**file.accounts, "issuer": spare})
    door = opened(ready, keyring=keys_without(PARTIES["issuer"]))
    _rehearse(door.chain, [door.intent(key)])  # nor does --dry-run ask for it
    assert len(submit_planned(door.chain)) == 1
    door.mirror_final()
    assert (states(door), door.intent(key).sender_address) == (["issued"], spare)


@long
def test_a_refusal_voids_what_carries_its_remainder(ready: Park) -> None:
    keys = [plan(ready, day(n), day(n + 1)).key for n in (1, 2, 3)]
    assert len(submit_planned(ready.chain)) == 1
    ready.mirror_final()
    forbid(ready)
    with pytest.raises(Refused):
        submit_planned(ready.chain)
    assert states(ready) == ["issued", "void", "void"]
    assert [ready.intent(key).state.value for key in keys] == ["confirmed", "failed", "failed"]
    assert "before it was refused" in (ready.intent(keys[2]).error or "")
    assert ready.count(ReadingClaim) == SLOTS
    allow(ready)
    assert plan(ready, day(2), day(4)).reduction.issued_kg == 1454


@long
def test_an_end_between_refusal_and_voiding(ready: Park, monkeypatch: pytest.MonkeyPatch) -> None:
    plan(ready, day(1), day(2))
    forbid(ready)

    def crash(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(issuance.states, "fail", crash)
        with pytest.raises(KeyboardInterrupt):
            submit_planned(ready.chain)
    assert states(ready) == ["planned"]
    allow(ready)
    plan(ready, day(1), day(2))  # the readings are not lost
    assert states(ready) == ["void", "planned"]


def test_a_refusal_that_was_not_told_is_told_by_the_next_sending(
    ready: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan(ready, day(1), day(2))
    forbid(ready)
    with monkeypatch.context() as patch:
        patch.setattr(issuance.states, "fail", lambda *_, **__: None)
        with pytest.raises(Refused):
            submit_planned(ready.chain)
    with pytest.raises(Refused, match="issue was refused before"):
        submit_planned(ready.chain)
    assert states(ready) == ["void"]


@long
def test_a_failure_in_a_block_voids_the_issuance_once_it_is_final(ready: Park) -> None:
    """The try succeeds, and what reaches the chain before the transaction makes it fail."""
    plan(ready, day(1), day(2))
    client = ready.node.client
    client.request("evm_setAutomine", [False])
    (tx_hash,) = submit_planned(ready.chain)
    client.request("anvil_dropAllTransactions")
    client.request("evm_setAutomine", [True])
    forbid(ready)
    ready.chain.sender.rebroadcast()
    ready.node.mine(1)
    receipt = ready.node.client.receipt(tx_hash)
    assert receipt is not None and receipt.status == 0
    follower = plan(ready, day(2), day(3))
    ready.mirror.run_until("head")
    assert states(ready) == ["planned", "planned"]
    assert submit_planned(ready.chain) == []
    ready.mirror_final()
    assert states(ready) == ["void", "void"]
    assert "the issuance before it was refused: " in (ready.intent(follower.key).error or "")
    assert ready.count(ReadingClaim) == 0


@long
def test_a_later_period_cannot_overtake_an_earlier_one(both: Park) -> None:
    """The earlier one's nonce is stolen: were both on their way, the later one would be in a block first."""
    both.register()
    both.generate(FIRST, ["61.2345", "61.2345"])
    first, second = plan(both, day(1), day(2)), plan(both, day(2), day(3))
    automine(both, False)
    (tx_hash,) = submit_planned(both.chain)
    drop(both, tx_hash)
    nonce = both.intent(first.key).nonce
    assert nonce is not None
    steal(both, "issuer", nonce)
    assert both.node.client.receipt(tx_hash) is None
    for _ in range(8):
        assert submit_planned(both.chain) == []
        both.chain.sender.tend()
        both.node.mine(1)
        both.mirror.run_until("head")
        if states(both)[0] == "issued":
            break
    assert states(both) == ["issued", "planned"]
    automine(both, True)
    assert len(submit_planned(both.chain)) == 1
    both.mirror_final()
    assert [batch.key for batch in both.rows(CreditBatch)] == [first.key, second.key]
    assert states(both) == ["issued", "issued"]


@long
def test_projects_do_not_wait_for_each_other(ready: Park) -> None:
    """Their sites have a time each on chain."""
    plan(ready, day(1), day(2))
    plan(ready, day(2), day(3))

    def part(session: Session) -> None:
        project = session.scalars(select(Project)).one()
        columns = {attribute.key for attribute in inspect(Project).column_attrs} - {"id"}
        values = {name: getattr(project, name) for name in columns} | {"code": "other"}
        other = Project(**values)
        session.add(other)
        session.flush()
        (_, second) = session.scalars(select(Issuance).order_by(Issuance.id)).all()
        second.project_id = other.id

    assert len(submit_planned(ready.chain)) == 1
    ready.db.run(part)
    assert len(submit_planned(ready.chain)) == 1  # while the first is not final


@long
def test_books_from_before_the_sending_adopt_what_the_chain_has(ready: Park) -> None:
    key = plan(ready, day(1), day(2)).key
    intent = ready.intent(key)
    issued = send(ready.node.client, PARTIES["issuer"], intent.contract_address, intent.call_data)
    assert issued.status == 1
    assert submit_planned(ready.chain) == []  # neither sent again nor voided
    assert states(ready) == ["planned"]
    ready.mirror.run_until("head")
    assert states(ready) == ["planned"]
    ready.mirror_final()
    assert states(ready) == ["issued"]
    adopted = ready.intent(key)
    assert (adopted.state, adopted.tx_hash) == (IntentState.CONFIRMED, issued.tx_hash)
    assert ready.count(ReadingClaim) == SLOTS
    with pytest.raises(Refused, match="overlaps"):
        plan_issuance(ready.chain, PROJECT, day(1), day(2))


# -------------------------------------------------------------------------------- claims


def test_the_claim_s_hash_is_the_contract_s(ready: Park) -> None:
    planned = plan(ready, day(1), day(3))
    claim, verifier, signature = stored_call(ready.intent(planned.key))
    address = ready.node.deployment.credit.address
    message = encode_typed_data(full_message=dict(claim_typed_data(claim, 31337, address)))
    digest = "0x" + _hash_eip191_message(message).hex()
    assert digest == ready.node.ask(CREDIT, "hashClaim", [claim_tuple(claim)])
    recovered = Account._recover_hash(bytes.fromhex(digest[2:]), signature=signature)
    assert recovered.lower() == verifier == PARTIES["verifier"]


def test_a_claim_that_was_changed_is_refused_by_the_contract(ready: Park) -> None:
    planned = plan(ready, day(1), day(3))
    claim, verifier, signature = stored_call(ready.intent(planned.key))
    address = ready.node.deployment.credit.address

    def answer(changed: Claim) -> str | None:
        values = [
            bytes.fromhex(value[2:]) if isinstance(value, str) and len(value) == 66 else value
            for value in asdict(changed).values()
        ]
        data = encode_call(CREDIT, "issue", [tuple(values), verifier, signature])
        try:
            ready.node.client.call(address, data, sender=PARTIES["issuer"])
        except RpcError as error:
            return decode_error(CREDIT, error.data)
        return None

    assert answer(claim) is None  # as it was signed it passes
    others: dict[str, Any] = {
        "key": "0x" + "11" * 32,
        "evidence_root": "0x" + "22" * 32,
        "manifest_hash": "0x" + "33" * 32,
        "methodology_hash": "0x" + "44" * 32,
        "recipient": PARTIES["spare"],
        "expires_at": 2**32 - 1,
        "backfill_before": 1,
    }
    said = {}
    for field in fields(Claim):
        value = others.get(
            field.name, getattr(claim, field.name) - 1 if field.type is int else None
        )
        change: dict[str, Any] = {field.name: value}
        said[field.name] = answer(replace(claim, **change)) or "accepted"
    refused = f"BadVerifierSignature(verifier={PARTIES['verifier']})"
    names = {"class_id", "project_id", "site_id", "evidence_total"}
    assert {name: text for name, text in said.items() if name not in names} == {
        field.name: refused for field in fields(Claim) if field.name not in names
    }
    assert all("accepted" not in said[name] for name in names), said


# ------------------------------------------------------------------------- many at once


@long
def test_two_issuances_of_one_period_at_once(both: Park) -> None:
    both.register()
    both.generate(FIRST, ["60"])
    other = both.again()
    found: list[Any] = []

    def second() -> None:
        try:
            found.extend(plan_issuance(other.chain, PROJECT, day(1), day(2)))
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=second)
    with both.db.write() as session:
        terms = planning._Terms(KeyAtHand(both.chain), 2**40, 2**40, datetime.now(UTC))
        first = planning._plan(session, both.chain, PROJECT, (day(1), day(2)), terms)
        thread.start()
        thread.join(0.5)
        assert thread.is_alive(), "the second did not wait for the first"
    thread.join()
    (refusal,) = found
    assert isinstance(refusal, Refused), refusal
    assert refusal.code == "period-already-issued"
    assert [row.key for row in both.rows(Issuance)] == [first[0].key]
    assert both.count(ReadingClaim) == SLOTS
    other.db.close()


@long
def test_a_meter_that_moved_to_another_project_is_counted_once(ready: Park) -> None:
    plan(ready, day(1), day(2))
    with ready.db.write() as session:
        project = session.scalars(select(Project)).one()
        copied = {
            column.key: getattr(project, column.key)
            for column in Project.__table__.columns
            if column.key != "id"
        }
        session.add(Project(**copied | {"code": "second"}))
        session.flush()
        second = session.scalars(select(Project).where(Project.code == "second")).one()
        session.scalars(select(Meter)).one().project_id = second.id
    registration.register_project(ready.chain, "second")
    ready.mirror_final()
    registration.register_site(ready.chain, "second")
    ready.mirror_final()
    with pytest.raises(Refused, match="claimed by an issuance already") as caught:
        plan_issuance(ready.chain, "second", day(1), day(2))
    assert caught.value.code == "period-already-issued"
    assert ready.count(Issuance) == 1


# -------------------------------------------------------------------------- registration


def codes(park: Park, tables: Sequence[type[Any]]) -> list[list[str]]:
    return [[row.code for row in park.rows(table)] for table in tables]


@long
def test_registration_happens_once(park: Park) -> None:
    park.mirror.run_until("head")
    with pytest.raises(NotFound, match="no project 'other'"):
        registration.register_project(park.chain, "other")
    with pytest.raises(NotFound, match="not registered on chain yet"):
        registration.register_site(park.chain, PROJECT)
    sent = registration.register_project(park.chain, PROJECT, PARTIES["buyer"])
    assert sent is not None
    # Sent, and not mirrored yet: it goes on with that one, for the owner that it has.
    assert registration.register_project(park.chain, PROJECT) == sent
    assert [row.key for row in park.rows(ChainIntent)] == [sent]
    park.mirror_final()
    assert registration.register_project(park.chain, PROJECT) is None
    assert registration.register_site(park.chain, PROJECT) is not None
    park.mirror_final()
    assert registration.register_site(park.chain, PROJECT) is None
    assert codes(park, (CreditClass, CreditProject, CreditSite))[1:] == [["lhb-wind", PROJECT]] * 2
    (of_all,) = park.rows(CreditClass)
    assert registration.methodology_hash("CCER-01-002", "V01") == of_all.methodology_hash
    buyer, spare = PARTIES["buyer"], PARTIES["spare"]
    with park.db.read() as session:
        found = registration.site_on_chain(session, PROJECT)
        registration.check_owner(session, PROJECT, None)
        registration.check_owner(session, PROJECT, buyer)
        registration.check_owner(session, "other", spare)
        with pytest.raises(Refused, match=f'is registered for the owner {buyer}, .*"recipients"'):
            registration.check_owner(session, PROJECT, spare)
    assert found == registration.ChainSite(class_id=1, project_id=2, site_id=2, owner=buyer)
    # It went to the one owner of the deployment file, whoever the project was registered for.
    park.generate(FIRST, ["60", "60"])
    plan(park, day(1), day(2))
    deployment = dataclasses.replace(park.chain.deployment, recipients={PROJECT: spare})
    handed_over = dataclasses.replace(park.chain, deployment=deployment)
    plan_issuance(handed_over, PROJECT, day(2), day(3))

    def misdirected(**recipients: str) -> list[tuple[str, str]]:
        deployment = dataclasses.replace(park.chain.deployment, recipients=recipients)
        with park.db.read() as session:
            return list(registration.misdirected(session, deployment))

    assert misdirected() == []
    issuances = [stored_call(park.intent(row.key))[0] for row in park.rows(Issuance)]
    assert [claim.recipient for claim in issuances] == [buyer, spare]
    for _ in issuances:
        submit_planned(park.chain)
        park.mirror_final()
    assert [row.recipient for row in park.rows(CreditBatch)] == [buyer, spare]
    # As books of a version that issued all to the file's owner, who was another one by then.
    told = f"{PROJECT} was last issued to {spare}, and is issued next to {buyer}, for whom it is registered"
    write = f'write "recipients": {{"{PROJECT}": "{spare}"}} into the deployment file'
    ((said, mend),) = misdirected()
    assert (said, mend.partition(", or")[0]) == (told, write)
    assert misdirected(**{PROJECT: spare}) == misdirected(**{PROJECT: buyer}) == []
    ((said, mend),) = misdirected(**{PROJECT: spare, "lhb-wnd": spare})
    assert (said, mend) == (
        "`recipients` of the deployment file names 'lhb-wnd', which is no project",
        "correct its code there",
    )
    assert park.differences() == []
