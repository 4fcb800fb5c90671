"""Corrections: what came late is counted once, claims nothing, and what was too much is paid."""

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from api.credits.beginnings import entries_before
from cli.reductions import write_evidence
from ledger import issuance
from ledger.chain.contracts.events import CREDIT
from ledger.chain.keys.signers import Keyring
from ledger.chain.sending.sender import NotTaken
from ledger.clock import utc_now
from ledger.corrections import Outcome, correct, corrections_of, debts_of, submit_planned
from ledger.db import Database
from ledger.errors import BadInput, NotFound, Refused
from ledger.issuance import plan_issuance
from ledger.issuance import submit_planned as submit_issuances
from ledger.issuance.checks import check_gap
from ledger.jobs import work
from ledger.jobs.work import Tools
from ledger.models import (
    ChainIntent,
    Correction,
    CorrectionCarry,
    CorrectionReading,
    CreditBatch,
    CreditCancellation,
    Issuance,
)
from ledger.models.sending import IntentState
from ledger.naming import project_named
from ledger.readings import ImportReport, import_file, reductions_for
from ledger.readings.periods.carry import unpaid_corrections
from ledger.readings.periods.evidence_files import (
    MANIFEST,
    READINGS,
    files_of_credit,
    files_of_period,
)
from ledger.readings.periods.period import skipped_before
from ledger.reconcile import reconcile
from ledger.reductions import report
from ledger.reductions.recompute import Trusted, verify_files
from ledger.registration import register_project, register_site, site_on_chain
from ledger.settings import load_settings
from ledger.sites import apply_site
from tests.support.chain import CURRENCY, PARTIES
from tests.support.copied import back_up
from tests.support.forms import is_long, long
from tests.support.independent import turbine_months
from tests.support.mirror import running_chain
from tests.support.park import (
    PARIS,
    PROJECT,
    TRADING,
    AfterMining,
    Park,
    day,
    keys_without,
    open_chain,
)
from tests.support.plant import LHB_FILE, LHB_SITE, SITE, anvil_like, write_csv
from tests.support.sending import automine, drop, plan
from tests.support.statements import listening

SHORT_ON_MARIADB = ("test_two_that_correct_at_once_count_a_late_reading_once",)

FIRST = date(2014, 1, 1)
SLOTS = 144


def issue(park: Park, start: date, end: date) -> Issuance:
    plan_issuance(park.chain, PROJECT, start, end)
    submit_issuances(park.chain)
    park.mirror_final()
    return park.rows(Issuance)[-1]  # type: ignore[no-any-return]


@pytest.fixture
def issued(both: Park) -> Iterator[Park]:
    """The first of four days at 60 kW is issued: 720 kg. Whatever is corrected then, books and chain agree."""
    both.register()
    both.generate(FIRST, ["60", "60", "60", "60"])
    assert issue(both, day(1), day(2)).issued_kg == 720
    yield both
    if is_long():
        both.mirror_final()
        found = reconcile(both.db, both.node.client, both.chain.deployment)
        assert [(rule.name, rule.differences) for rule in found.rules if not rule.ok] == []


def late(park: Park, *rows: tuple[int, str], day_number: int = 1) -> ImportReport:
    """Import values for slots of a day, in kW."""
    start = datetime(2014, 1, day_number, tzinfo=PARIS).astimezone(UTC)
    lines = [((start + timedelta(minutes=10 * slot)).isoformat(), kw) for slot, kw in rows]
    return import_file(park.db, "park", "scada", write_csv(park.folder / "late.csv", lines))


def effects(outcome: Outcome) -> list[tuple[str, str, Fraction, Fraction]]:
    return [(item.cause, item.state, item.effect_kg, item.owed_kg) for item in outcome.found]


def manifests_read_by_looks_at_all_periods(park: Park) -> list[str]:
    """Return the statements that read manifests where they are of no use: those of all periods are megabytes."""
    said: list[str] = []
    with (
        listening(lambda _c, _cursor, sql, *_: said.append(sql)),
        park.db.read() as session,
    ):
        project = project_named(session, PROJECT)
        site = site_on_chain(session, PROJECT)
        assert site is not None
        check_gap(skipped_before(session, project, day(2), day(3)), day(2))
        assert len(unpaid_corrections(session, project.id)) == 1
        assert len(corrections_of(session, PROJECT)) == 1
    assert len([sql for sql in said if "issuances" in sql]) == 3
    return [sql for sql in said if re.search(r"\.manifest\b", sql)]


# ------------------------------------------------------------------------- late readings


def test_a_lower_late_reading_is_carried_into_the_next_issuance(issued: Park) -> None:
    root = issued.rows(Issuance)[0].evidence_root
    assert late(issued, (3, "57.9"), (9, "0")).late == 2
    found = correct(issued.db, PROJECT)
    # (60 - 57.9)/6 h x 0.5 + 60/6 h x 0.5 = 0.175 + 5 kg
    assert effects(found) == [
        ("late_readings", "carried", Fraction(-5175, 1000), Fraction(5175, 1000))
    ]
    assert (found.found[0].late_readings, found.found[0].cancelled_kg) == (2, 0)
    assert issued.rows(Issuance)[0].evidence_root == root
    assert issued.differences() == []

    nothing = correct(issued.db, PROJECT)
    assert (nothing.found, nothing.passed_over) == ([], [])
    assert issued.count(Correction) == 1
    assert manifests_read_by_looks_at_all_periods(issued) == []
    assert issued.count(CorrectionReading) == 2

    with issued.db.read() as session:
        (preview,) = reductions_for(session, PROJECT, day(2), day(3))
    shown = report(preview)
    assert (shown["carry_in_kg"], shown["corrections_kg"]) == ("-5.175000000", "-5.175000000")
    second = issue(issued, day(2), day(3))
    assert (second.carry_in_kg, second.issued_kg, second.carry_out_kg) == ("-207/40", 714, "33/40")
    (named,) = json.loads(second.manifest)["corrections"]
    assert named == {
        "key": found.found[0].key,
        "cause": "late_readings",
        "from": "2014-01-01",
        "to": "2014-01-02",
        "carried_kg": "-207/40",
    }
    with issued.db.read() as session:
        assert debts_of(session) == {}
    assert issued.differences() == []
    third = issue(issued, day(3), day(4))
    assert (third.carry_in_kg, third.issued_kg) == ("33/40", 720)  # paid once
    assert json.loads(third.manifest)["corrections"] == []
    assert issued.differences() == []
    other = SITE.replace('"park', '"yard').replace('"A"', '"B"').replace("serial-A", "serial-B")
    with issued.db.write() as session:
        apply_site(session, other, resolve_account=anvil_like)
        assert [len(corrections_of(session, code)) for code in (PROJECT, "yard-wind")] == [1, 0]


@long
def test_a_period_that_names_a_correction_verifies_from_its_files(issued: Park) -> None:
    late(issued, (9, "0"))
    correct(issued.db, PROJECT)
    issue(issued, day(2), day(3))
    with issued.db.read() as session:
        first, second = files_of_period(session, PROJECT, day(1), day(2)) + files_of_period(
            session, PROJECT, day(2), day(3)
        )
        again = files_of_credit(session, "park-wind-2014-1")
    assert first == again  # the late reading is in no issued root
    write_evidence(second, issued.folder / "second")
    files = (issued.folder / "second" / MANIFEST, issued.folder / "second" / READINGS)
    row = issued.rows(Issuance)[1]
    trusted = Trusted(row.manifest_hash, row.evidence_root, row.issued_kg)
    assert verify_files(*files, trusted).valid
    # Without its correction the carry stands for nothing.
    plain = json.loads(files[0].read_text())
    plain["corrections"] = []
    plain["carbon"]["carry_in_kg"] = "5/1"
    files[0].write_text(json.dumps(plain, sort_keys=True, separators=(",", ":")))
    paths = [item.path for item in verify_files(*files).differences]
    assert "carbon.carry_in_kg" in paths


def test_late_readings_of_a_meter_that_the_issuance_does_not_name_are_said(issued: Park) -> None:
    """An import meter that was declared too late: no correction counts it, and nobody said so."""
    device = SITE[SITE.index("[[device]]") : SITE.index("[[source]]")]
    source = SITE[SITE.index("[[source]]") :].replace('"scada"', '"house"').replace('"A"', '"H"')
    meter = device.replace('"A"', '"H"').replace('"serial-A"', '"serial-H"')
    meter = meter.replace("generation", "import")
    with issued.db.write() as session:
        apply_site(session, f"{SITE}\n{meter}{source}{TRADING}", resolve_account=anvil_like)
    for day_number in (1, 2):  # the first is issued
        at = datetime(2014, 1, day_number, tzinfo=PARIS).isoformat()
        path = write_csv(issued.folder / f"house-{day_number}.csv", [(at, "6")])
        import_file(issued.db, "park", "house", path)
    for _ in range(2):
        outcome = correct(issued.db, PROJECT)
        assert outcome.found == []
        (said,) = outcome.passed_over
        assert said.startswith(
            "2014-01-01 to 2014-01-02: readings of the import meter serial-H (1), which the issuance"
        )


@long
def test_a_late_reading_that_adds_is_recorded_and_claims_nothing(
    both: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    both.register()
    both.generate(FIRST, ["60", "60"], missing=1)
    assert issue(both, day(1), day(2)).issued_kg == 715
    assert late(both, (0, "60")).late == 1
    ahead = utc_now() + timedelta(seconds=60)
    with monkeypatch.context() as other_machine:
        other_machine.setattr("ledger.clock.utc_now", lambda: ahead)
        found = correct(both.db, PROJECT)
    assert effects(found) == [("late_readings", "recorded", Fraction(5), 0)]
    second = issue(both, day(2), day(3))
    assert second.created_at > ahead
    assert (second.carry_in_kg, second.issued_kg) == ("0/1", 720)
    assert both.differences() == []
    with both.db.write() as session:  # a machine planned it whose clock is ahead of this one's
        session.get_one(Issuance, second.id).created_at = utc_now() + timedelta(seconds=90)
    # What was recorded makes up for what comes later still: both together were not issued too much.
    assert late(both, (1, "36")).late == 1
    assert effects(correct(both.db, PROJECT)) == [("late_readings", "recorded", Fraction(-2), 0)]
    assert late(both, (2, "0")).late == 1
    assert effects(correct(both.db, PROJECT)) == [
        ("late_readings", "carried", Fraction(-5), Fraction(2))
    ]
    assert both.differences() == []  # the second issuance left nothing out that was found later


@long
def test_what_came_twice_or_changes_nothing_is_counted_all_the_same(issued: Park) -> None:
    assert late(issued, (0, "60.0"), (1, "61")).late == 2
    assert effects(correct(issued.db, PROJECT)) == [("late_readings", "recorded", Fraction(0), 0)]
    assert correct(issued.db, PROJECT).found == []
    assert late(issued, (0, "60.0"), (1, "61")).unchanged == 2
    assert correct(issued.db, PROJECT).found == []


@long
def test_a_dry_run_keeps_nothing(issued: Park) -> None:
    late(issued, (9, "0"))
    assert effects(correct(issued.db, PROJECT, dry_run=True))[0][2] == -5
    assert issued.count(Correction) == issued.count(CorrectionReading) == 0


@long
def test_only_the_period_that_is_asked_for(issued: Park) -> None:
    issue(issued, day(2), day(3))
    late(issued, (9, "0"))
    late(issued, (9, "30"), day_number=2)
    assert correct(issued.db, PROJECT, period=(day(3), day(4))).found == []
    # Days turned round are none, and of an issuance that they hold a part of nothing is known to be counted.
    with pytest.raises(BadInput, match="from 2014-01-03 to 2014-01-02 is empty"):
        correct(issued.db, PROJECT, period=(day(3), day(2)))
    issue(issued, day(3), day(5))
    parts = correct(issued.db, PROJECT, period=(day(3), day(4)))
    assert (len(parts.found), len(parts.passed_over)) == (0, 1)
    assert parts.passed_over[0].endswith(": not wholly in these days")
    found = correct(issued.db, PROJECT, period=(day(2), day(3)))
    assert [(item.from_date, item.effect_kg) for item in found.found] == [(day(2), Fraction(-5, 2))]
    with issued.db.read() as session:
        assert [item.from_date for item in corrections_of(session, PROJECT)] == [day(2)]
        with pytest.raises(NotFound, match="no project 'other'"):
            corrections_of(session, "other")
    with pytest.raises(NotFound, match="no project 'other'"):
        correct(issued.db, "other")


@long
def test_a_planned_issuance_is_not_corrected_yet(both: Park) -> None:
    both.register()
    both.generate(FIRST, ["60"])
    plan_issuance(both.chain, PROJECT, day(1), day(2))
    late(both, (9, "0"))
    outcome = correct(both.db, PROJECT)
    assert (outcome.found, outcome.passed_over) == (
        [],
        ["2014-01-01 to 2014-01-02: not issued yet"],
    )


@long
def test_corrections_are_never_edited(issued: Park) -> None:
    late(issued, (9, "0"))
    correct(issued.db, PROJECT)
    for statement in (
        "UPDATE corrections SET owed_kg = '0/1'",
        "DELETE FROM corrections",
        "UPDATE correction_readings SET correction_id = 2",
        "DELETE FROM correction_readings",
    ):
        with pytest.raises(DBAPIError, match="append-only"), issued.db.write() as session:
            session.execute(text(statement))


# -------------------------------------------------------------------------- cancellations


def cancellations(park: Park) -> list[tuple[int, str]]:
    return [(row.amount_kg, row.holder) for row in park.rows(CreditCancellation)]


def test_too_much_is_cancelled_in_equal_number_rounded_up(issued: Park) -> None:
    late(issued, (3, "57.9"), (9, "0"))
    # Without the owner's key it was planned all the same, never sent, and counted as paid.
    keyless = replace(issued.chain, keyring=Keyring({}))
    with pytest.raises(
        BadInput, match=rf"^no key for {PARTIES['owner']}, .* \(--carry needs no key\)"
    ):
        correct(issued.db, PROJECT, chain=keyless)
    assert issued.rows(Correction) == []
    found = correct(issued.db, PROJECT, chain=issued.chain)
    assert effects(found)[0][1:] == ("cancelled", Fraction(-5175, 1000), Fraction(5175, 1000))
    assert found.found[0].cancelled_kg == 6
    assert correct(issued.db, PROJECT, chain=issued.chain).found == []
    assert len(submit_planned(issued.chain)) == 1
    assert submit_planned(issued.chain) == []
    issued.mirror_final()
    assert cancellations(issued) == [(6, PARTIES["owner"])]
    (batch,) = issued.rows(CreditBatch)
    assert (batch.issued_kg, batch.cancelled_kg) == (720, 6)
    assert issued.rows(CreditCancellation)[0].reason.startswith("correction 0x")
    assert issued.differences() == []
    issued.node.transfer("owner", "buyer", batch.batch_id, 1)  # who may use the key, too
    key = bytes.fromhex(issued.rows(CreditCancellation)[0].key[2:])
    issued.node.act("buyer", CREDIT, "cancel", [key, batch.batch_id, 1, "I saw it"])
    issued.mirror_final()
    assert issued.differences() == []
    second = issue(issued, day(2), day(3))
    assert (second.carry_in_kg, second.issued_kg) == ("0/1", 720)
    assert issued.differences() == []


@long
def test_what_the_owner_does_not_hold_any_more_is_carried(issued: Park) -> None:
    (batch,) = issued.rows(CreditBatch)
    issued.node.retire("owner", batch.batch_id, 717)
    issued.mirror_final()
    late(issued, (3, "57.9"), (9, "0"))
    (found,) = correct(issued.db, PROJECT, chain=issued.chain).found
    assert (found.state, found.cancelled_kg) == ("carried", 3)
    assert found.carried_kg == Fraction(2175, 1000)
    submit_planned(issued.chain)
    issued.mirror_final()
    second = issue(issued, day(2), day(3))
    assert (second.carry_in_kg, second.issued_kg) == ("-87/40", 717)
    assert issued.differences() == []


@long
def test_nothing_is_held_and_all_of_it_is_carried(issued: Park) -> None:
    (batch,) = issued.rows(CreditBatch)
    issued.node.transfer("owner", "buyer", batch.batch_id, 720)
    issued.mirror_final()
    late(issued, (9, "0"))
    (found,) = correct(issued.db, PROJECT, chain=issued.chain).found
    assert (found.state, found.cancelled_kg, found.act_key) == ("carried", 0, None)


@long
def test_what_is_cancelled_and_not_final_yet_is_deducted_once(issued: Park) -> None:
    """The mirror has taken it off what is held already: all of the second one can be cancelled."""
    (batch,) = issued.rows(CreditBatch)
    issued.node.transfer("owner", "buyer", batch.batch_id, 708)
    issued.mirror_final()
    late(issued, (9, "0"))
    (first,) = correct(issued.db, PROJECT, chain=issued.chain).found
    assert (first.state, first.cancelled_kg) == ("cancelled", 5)
    submit_planned(issued.chain)
    issued.mirror.run_until("head")
    assert cancellations(issued) == [(5, PARTIES["owner"])]
    assert first.act_key is not None
    assert issued.intent(first.act_key).state is IntentState.SUBMITTED
    late(issued, (10, "0"))
    (second,) = correct(issued.db, PROJECT, chain=issued.chain).found
    assert (second.state, second.cancelled_kg) == ("cancelled", 5)  # of the 7 that are held
    late(issued, (11, "0"))
    (third,) = correct(issued.db, PROJECT, chain=issued.chain).found
    assert (third.state, third.cancelled_kg) == ("carried", 2)  # the second is not mined yet
    submit_planned(issued.chain)
    issued.mirror_final()
    assert [kg for kg, _ in cancellations(issued)] == [5, 5, 2]


@long
def test_a_cancellation_that_the_contract_refuses_is_carried(issued: Park) -> None:
    late(issued, (9, "0"))
    (found,) = correct(issued.db, PROJECT, chain=issued.chain).found
    assert (found.state, found.cancelled_kg) == ("cancelled", 5)
    (batch,) = issued.rows(CreditBatch)
    issued.node.transfer("owner", "buyer", batch.batch_id, 718)  # before it is sent
    issued.mirror.run_until("head")
    assert submit_planned(issued.chain) == []
    assert found.act_key is not None
    assert issued.intent(found.act_key).state is IntentState.FAILED
    with issued.db.read() as session:
        assert debts_of(session) == {found.key: Fraction(5)}
        (told,) = corrections_of(session, PROJECT)
        (entry,) = [item for _, item in entries_before(session, batch) if item.kind == "corrected"]
    assert (told.state, told.cancelled_kg, told.carried_kg) == ("carried", 0, 5)
    said = [entry.values[name] for name in ("state", "cancelled_kg", "carried_kg")]
    assert said == ["carried", "0", "-5.000000000"]
    issued.mirror_final()
    second = issue(issued, day(2), day(3))
    assert (second.carry_in_kg, second.issued_kg) == ("-5/1", 715)
    assert issued.differences() == []


@long
def test_books_from_before_a_cancellation_pay_it_once(issued: Park) -> None:
    """Found again, a correction has the key that it had: what the chain cancelled for it is taken up."""
    restore = back_up(issued.db, issued.folder)
    late(issued, (3, "57.9"), (9, "0"))
    (first,) = correct(issued.db, PROJECT, chain=issued.chain).found
    submit_planned(issued.chain)
    (batch,) = issued.rows(CreditBatch)
    issued.node.transfer("owner", "buyer", batch.batch_id, 714)  # nothing is held any more
    issued.mirror_final()
    late(issued, (10, "0"))
    (second,) = correct(issued.db, PROJECT).found
    third = issue(issued, day(2), day(3))
    assert (third.carry_in_kg, third.issued_kg) == ("-5/1", 715)
    restore()
    issued.mirror_final()
    assert issued.count(Correction) == 0  # the fault

    late(issued, (3, "57.9"), (9, "0"))
    with pytest.raises(Refused, match="6 kg are cancelled on chain for this correction"):
        correct(issued.db, PROJECT)
    keyless = replace(issued.chain, keyring=keys_without(PARTIES["owner"]))
    (seen,) = correct(issued.db, PROJECT, chain=keyless, dry_run=True).found
    assert (seen.key, seen.cancelled_kg) == (first.key, 6)  # what is taken up needs no key
    (again,) = correct(issued.db, PROJECT, chain=issued.chain).found
    assert (again.key, again.cancelled_kg, again.state) == (first.key, 6, "cancelled")
    assert submit_planned(issued.chain) == []
    assert issued.intent(first.key).state is IntentState.CONFIRMED
    late(issued, (10, "0"))
    with pytest.raises(Refused, match=r"later issuances .*\(1\), and they may have carried"):
        correct(issued.db, PROJECT, chain=issued.chain)
    assert [item.key for item in correct(issued.db, PROJECT).found] == [second.key]
    assert issue(issued, day(2), day(3)).manifest == third.manifest
    assert cancellations(issued) == [(6, PARTIES["owner"])]
    assert [row.state.value for row in issued.rows(Issuance)] == ["issued"] * 2
    assert issued.differences() == []


@long
def test_books_from_before_two_cancellations_take_them_up_in_their_order(issued: Park) -> None:
    restore = back_up(issued.db, issued.folder)
    for slot in (9, 10):
        late(issued, (slot, "0"))
        correct(issued.db, PROJECT, chain=issued.chain)
    submit_planned(issued.chain)
    issued.mirror_final()
    restore()
    issued.mirror_final()
    (issued.folder / "read").mkdir()
    together = back_up(issued.db, issued.folder / "read")
    late(issued, (9, "0"), (10, "0"))
    for chain in (issued.chain, None):
        with pytest.raises(Refused, match="a correction that these books do not know") as caught:
            correct(issued.db, PROJECT, chain=chain)
        assert caught.value.code == "forgotten-correction"
    restore()
    late(issued, (9, "0"))
    assert [item.state for item in correct(issued.db, PROJECT).found] == ["carried"]
    issued.mirror_final()  # which reads only now that it is paid
    with issued.db.read() as session:
        assert debts_of(session) == {}
    together()
    for slot in (9, 10):
        late(issued, (slot, "0"))
        assert len(correct(issued.db, PROJECT, chain=issued.chain).found) == 1
    assert submit_planned(issued.chain) == []
    assert cancellations(issued) == [(5, PARTIES["owner"])] * 2
    assert issued.differences() == []


@long
def test_a_cancellation_whose_key_is_gone_keeps_no_other_from_being_sent(issued: Park) -> None:
    for hour in (9, 10):
        late(issued, (hour, "0"))
        correct(issued.db, PROJECT, chain=issued.chain)
    first, second = issued.rows(Correction)
    with issued.db.write() as session:  # as of another owner, whose key was here then
        session.get_one(ChainIntent, first.act_key).sender_address = "0x" + "11" * 20
    with pytest.raises(BadInput, match="no key for 0x1111"):
        submit_planned(issued.chain)
    issued.mirror_final()
    (done,) = issued.rows(CreditCancellation)
    assert done.key == second.act_key


@long
def test_a_cancellation_that_was_planned_and_not_sent_is_sent_later(issued: Park) -> None:
    late(issued, (9, "0"))
    correct(issued.db, PROJECT, chain=issued.chain)
    late(issued, (10, "0"))
    (second,) = correct(issued.db, PROJECT, chain=issued.chain).found
    assert second.owed_kg == 5
    # Another account has no ether, and its transaction is not taken: that is raised, and holds up no other.
    automine(issued, False)
    stuck = plan(issued, party="spare")
    drop(issued, issued.chain.sender.submit(stuck, CURRENCY))
    automine(issued, True)
    issued.node.client.request("anvil_setBalance", [PARTIES["spare"], "0x0"])
    with pytest.raises(NotTaken):
        work.send(Tools(issued.chain, load_settings(None, {})))
    issued.node.client.request("anvil_setBalance", [PARTIES["spare"], hex(10**18)])
    other = issued.again()
    assert submit_planned(other.chain) == []
    other.chain.sender.tend()
    issued.mirror_final()
    assert cancellations(issued) == [(5, PARTIES["owner"])] * 2
    assert issued.differences() == []
    other.db.close()


# -------------------------------------------------------------------------------- factors

REVISED = """
[[factor]]
code = "cm"
version = "2"
purpose = "crediting_cm"
value = "0.4"
unit = "t/MWh"
source = "a correction"
verified = true

[[factor]]
code = "cm"
version = "3"
purpose = "crediting_cm"
value = "0.6"
unit = "t/MWh"
source = "a mistake"
verified = true

[project]"""


def revise(park: Park) -> None:
    site = SITE.replace("\n[project]", REVISED).replace(
        'factor = "cm"', 'factor = "cm"\nfactor_version = "1"'
    )
    with park.db.write() as session:
        apply_site(session, site, resolve_account=anvil_like)


@long
def test_a_lower_factor_is_an_over_issuance_that_is_cancelled(issued: Park) -> None:
    revise(issued)
    manifest = issued.rows(Issuance)[0].manifest
    with pytest.raises(NotFound, match="known versions are: 1, 2, 3"):
        correct(issued.db, PROJECT, factor=("cm", "4"))
    assert "3 is not lower" in correct(issued.db, PROJECT, factor=("cm", "3")).passed_over[0]
    with pytest.raises(NotFound, match="known versions are: none"):
        correct(issued.db, PROJECT, factor=("mc", "1"))
    assert (
        "does not revise"
        in correct(issued.db, PROJECT, factor=("grid-average", "1")).passed_over[0]
    )
    assert issued.count(Correction) == 0
    (found,) = correct(issued.db, PROJECT, factor=("cm", "2"), chain=issued.chain).found
    # 1,440 kWh x 0.1 kg
    assert (found.cause, found.effect_kg, found.cancelled_kg) == ("changed_factor", -144, 144)
    assert correct(issued.db, PROJECT, factor=("cm", "2"), chain=issued.chain).found == []
    submit_planned(issued.chain)
    issued.mirror_final()
    assert cancellations(issued) == [(144, PARTIES["owner"])]
    assert issued.rows(Issuance)[0].manifest == manifest  # never an edit
    # A late reading afterwards counts by the lower factor: 10 kWh x 0.4 kg.
    late(issued, (9, "0"))
    assert effects(correct(issued.db, PROJECT)) == [
        ("late_readings", "carried", Fraction(-4), Fraction(4))
    ]
    assert issued.differences() == []


# ------------------------------------------------------------------------- many at once


@long
def test_two_that_correct_at_once_count_a_late_reading_once(both: Park) -> None:
    both.register()
    both.generate(FIRST, ["60"])
    issue(both, day(1), day(2))
    late(both, (9, "0"))
    other = both.again()
    found: list[Any] = []
    start = threading.Barrier(2)

    def run(park: Park) -> None:
        start.wait()
        found.append(correct(park.db, PROJECT, chain=park.chain))

    threads = [threading.Thread(target=run, args=(park,)) for park in (both, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(outcome.found) for outcome in found) == [0, 1]
    assert both.count(Correction) == both.count(CorrectionReading) == 1
    with both.db.read() as session:
        acts = session.scalars(select(ChainIntent).where(ChainIntent.kind == "cancel")).all()
        assert len(acts) == 1
    other.db.close()


@long
def test_a_void_issuance_gives_its_deficit_back(issued: Park) -> None:
    late(issued, (9, "0"))
    correct(issued.db, PROJECT)
    plan_issuance(issued.chain, PROJECT, day(2), day(3))
    assert issued.count(CorrectionCarry) == 1
    with issued.db.write() as session:
        issuance.fail(session, issued.rows(Issuance)[1].key, "a test")
    assert issued.count(CorrectionCarry) == 0
    with issued.db.read() as session:
        assert list(debts_of(session).values()) == [Fraction(5)]


# ------------------------------------------------------------------------- the real file


@pytest.fixture
def real(sqlite_db: Database, tmp_path: Path) -> Iterator[Park]:
    """La Haute Borne in 2014, its January issued."""
    with running_chain() as node:
        chain = open_chain(sqlite_db, node)
        with sqlite_db.write() as session:
            apply_site(session, LHB_SITE, resolve_account=anvil_like)
        import_file(sqlite_db, "lhb", "scada", LHB_FILE)
        park = Park(
            sqlite_db, node, chain, AfterMining(sqlite_db, node.client, node.deployment), tmp_path
        )
        park.mirror.run_until("head")
        register_project(chain, "lhb-wind")
        park.mirror_final()
        if register_site(chain, "lhb-wind") is not None:
            park.mirror_final()
        plan_issuance(chain, "lhb-wind", date(2014, 1, 1), date(2014, 2, 1))
        submit_issuances(chain)
        park.mirror_final()
        yield park


@long
def test_the_january_of_the_bundled_turbine_is_corrected(real: Park) -> None:
    (january,) = real.rows(Issuance)
    assert january.issued_kg == 123_851
    # 2014-01-01 01:00 in Paris: 441.06 kW in the file, 41.06 kW by what comes late.
    rows = ["Wind_turbine_name,Date_time,P_avg", "R80721,2014-01-01T01:00:00+01:00,41.06"]
    file = real.folder / "late.csv"
    file.write_text("\n".join(rows) + "\n")
    assert import_file(real.db, "lhb", "scada", file).late == 1
    (found,) = correct(real.db, "lhb-wind").found
    # -400 kW x 1/6 h x 0.4329 kg/kWh
    assert found.effect_kg == Fraction(-400, 6) * Fraction(4329, 10_000) == Fraction(-2886, 100)
    with real.db.read() as session:
        (february,) = reductions_for(session, "lhb-wind", date(2014, 2, 1), date(2014, 3, 1))
    months = turbine_months(LHB_FILE)
    available = (
        months[2014, 2].net_kwh * Fraction(4329, 10_000)
        + months[2014, 1].carry_kg
        - Fraction(2886, 100)
    )
    assert february.issued_kg == available // 1 == 179_455 - 29
    assert february.carry_out_kg == available - available // 1
    assert real.differences() == []


@long
def test_a_correction_needs_a_factor_that_may_mint(issued: Park) -> None:
    wrong = REVISED.replace("crediting_cm", "inventory_location", 1)
    site = SITE.replace("\n[project]", wrong).replace(
        'factor = "cm"', 'factor = "cm"\nfactor_version = "1"'
    )
    with issued.db.write() as session:
        apply_site(session, site, resolve_account=anvil_like)
    with pytest.raises(Refused, match="cannot mint"):
        correct(issued.db, PROJECT, factor=("cm", "2"))
    assert issued.count(Correction) == 0
