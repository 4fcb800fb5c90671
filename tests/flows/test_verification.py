"""A verifier elsewhere: what it is asked to sign, what it finds out before, and what is issued when it has signed."""

import gzip
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace as changed
from sqlalchemy import select
from sqlalchemy.orm import Session

from cli.verification import sign_file
from ledger.chain.contracts.events import CREDIT
from ledger.chain.contracts.structs import claim_tuple
from ledger.chain.keys.signers import anvil_signer
from ledger.db import Database
from ledger.errors import BadInput, Refused, TruetonneError
from ledger.issuance import plan_issuance, submit_planned
from ledger.issuance.verification import (
    Taken,
    check_apart,
    check_not_signed,
    requests_for,
    take_file,
)
from ledger.issuance.verification_files import FILE, Request, read, text
from ledger.issuance.verifying import verify_claim
from ledger.models import ChainIntent, CreditBatch, Issuance, Meter, ReadingClaim
from ledger.readings import import_file
from ledger.readings.periods.evidence_files import MANIFEST, READINGS, files_of_reduction
from ledger.reductions.recompute import Verification
from tests.support.chain import PARTIES, class_role
from tests.support.forms import few, long, rest
from tests.support.park import PROJECT, Park, day, keys_without
from tests.support.plant import write_csv
from tests.support.sending import Boundaries, Crash, crashing, opened, until_confirmed

VERIFIER = PARTIES["verifier"]
FIRST = date(2014, 1, 1)
MONTH = timedelta(days=30)


def away(park: Park) -> Park:
    """Three days, 720 kg, 734.814 kg, 720 kg, in a park that has every key but the verifier's."""
    park.register()
    park.generate(FIRST, ["60", "61.2345", "60"])
    return opened(park, keyring=keys_without(VERIFIER))


@pytest.fixture
def apart(park: Park) -> Park:
    """On SQLite."""
    return away(park)


@pytest.fixture
def apart_on_both(both: Park) -> Park:
    """On either database."""
    return away(both)


def written(park: Park, start: int = 1, end: int = 2, good_for: timedelta = MONTH) -> Path:
    """Write a period for its verifier, and return the file to sign."""
    ((request, planned),) = requests_for(park.chain, PROJECT, day(start), day(end), good_for)
    folder = park.folder / f"{start}-{end}-{request.claim.key[2:8]}"
    folder.mkdir()
    for name, content in files_of_reduction(planned.reduction).contents.items():
        (folder / name).write_bytes(content)
    (folder / FILE).write_text(text(request, {}))
    return folder / FILE


def verified(file: Path, **options: Any) -> Verification:
    return verify_claim(
        read(file)[0], file.with_name(MANIFEST), file.with_name(READINGS), **options
    )


def sign(file: Path, number: int = 3, account: str = VERIFIER) -> Path:
    """Sign as any EIP-712 signer does."""
    request, signatures = read(file)
    signature = "0x" + anvil_signer(number).sign_typed_data(request.message).hex()
    file.write_text(text(request, {**signatures, account: signature}))
    return file


def take(park: Park, file: Path, later: timedelta = timedelta(), dry_run: bool = False) -> Taken:
    now_s = int((datetime.now(UTC) + later).timestamp())
    return take_file(park.chain, file, now_s, dry_run=dry_run)


def nothing_planned(park: Park) -> bool:
    kinds = [row.kind for row in park.rows(ChainIntent)]
    return "issue" not in kinds and park.count(Issuance) == park.count(ReadingClaim) == 0


@few(1)
def test_what_a_verifier_elsewhere_signs_is_issued_once(apart_on_both: Park) -> None:
    park = apart_on_both
    with pytest.raises(BadInput) as caught:
        plan_issuance(park.chain, PROJECT, day(1), day(2))
    assert caught.value.code == "no-key" and caught.value.message.endswith(
        "; or have the verifier sign elsewhere: `truetonne credits verification write --project park-wind --from "
        "2014-01-01 --to 2014-01-02 -o DIR`"
    )
    file = written(park)
    said = json.loads(file.read_text())
    assert (said["issued_kg"], said["project"]) == ("720", PROJECT)
    assert said["period"] == {
        "from": "2013-12-31T23:00:00+00:00",
        "to": "2014-01-01T23:00:00+00:00",
    }
    request = read(file)[0]
    # The contract computes the same digest.
    asked = [claim_tuple(request.claim)]
    assert said["digest"] == park.node.ask(CREDIT, "hashClaim", asked)
    found = verified(file, credit=park.chain.credit)
    assert found.valid and found.issued_kg == "720"
    assert nothing_planned(park)
    with pytest.raises(Refused, match="nobody has signed it"):
        take(park, file)
    sign(file)
    tried = take(park, file, dry_run=True)
    assert nothing_planned(park)
    done = take(park, file)
    expected = Taken(request.claim.key, PROJECT, 2014, 720, VERIFIER, went_on=False)
    assert done == tried == replace(expected, left_kg=Fraction(0))
    # Written over, nothing is lost any more.
    check_not_signed(park.chain, file, int(datetime.now(UTC).timestamp()))
    assert len(submit_planned(park.chain, PROJECT)) == 1
    forged = changed(request.claim, manifest_hash=request.claim.evidence_root)
    other = file.with_name("forged.json")
    other.write_text(text(Request(forged, PROJECT, request.chain_id, request.contract), {}))
    with pytest.raises(Refused, match="its key is that of another issuance"):
        take(park, sign(other))
    sign(file, 5, PARTIES["buyer"])  # as well
    for _ in range(2):
        assert take(park, file).went_on
        assert submit_planned(park.chain, PROJECT) == []
        park.mirror_final()
    (batch,) = park.rows(CreditBatch)
    assert (batch.key, batch.issued_kg, batch.verifier) == (done.key, 720, VERIFIER)
    assert [row.state.value for row in park.rows(Issuance)] == ["issued"]
    _tried_before_they_are_read(park, file, done)
    assert park.differences() == []


def _tried_before_they_are_read(park: Park, file: Path, done: Taken) -> None:
    """Files of one year and site, after one that is issued: which of them would be refused if all were read."""
    twice = sign(sign(written(park, 2, 3), 5, PARTIES["buyer"]))
    again = sign(written(park, 2, 3))
    third = sign(written(park, 3, 4))
    third_tried = take(park, third, dry_run=True)  # as if the day before were left out
    taken = take(park, twice)
    assert (taken.issued_kg, float(taken.left_kg)) == (734, 0.814)
    with pytest.raises(Refused, match="the books give another claim now"):
        take(park, third)
    with pytest.raises(Refused, match="the period overlaps an issuance") as refused:
        take(park, again)
    assert str(again) in refused.value.message
    first, second, last = (read(each)[0].claim for each in (twice, again, third))
    before = [(file, read(file)[0].claim, done), (twice, first, taken)]
    check_apart(twice, first, taken, before)
    with pytest.raises(Refused, match=f"{again}: its period overlaps that of {twice}, which"):
        check_apart(again, second, taken, before)
    check_apart(third, last, third_tried, before[:1])  # a whole number of kilograms leaves nothing
    with pytest.raises(Refused, match=f"{third}: what {twice} leaves of a kilogram"):
        check_apart(third, last, third_tried, before)
    another_year = replace(third_tried, vintage=2015)
    check_apart(third, last, another_year, before)


@long
def test_a_file_on_trial_that_uses_up_what_an_issued_period_left(park: Park) -> None:
    """It leaves nothing, and the one after it was signed with what was left before both."""
    park.register()
    park.generate(FIRST, ["61.2345", "60.0155", "60"])  # 734.814 kg, 720.186 kg, 720 kg
    park = opened(park, keyring=keys_without(VERIFIER))
    take(park, sign(written(park)))
    files = [sign(written(park, number, number + 1)) for number in (2, 3)]
    second, third = ((file, read(file)[0].claim, take(park, file, dry_run=True)) for file in files)
    assert (second[2].issued_kg, second[2].left_kg, third[2].issued_kg) == (721, 0, 720)
    with pytest.raises(Refused, match=f"{third[0]}: what {second[0]} leaves of a kilogram"):
        check_apart(*third, [second])
    take(park, second[0])
    with pytest.raises(Refused, match="the books give another claim now"):
        take(park, third[0])


@long
def test_two_processes_take_the_same_file(apart: Park, monkeypatch: pytest.MonkeyPatch) -> None:
    file = sign(written(apart))
    first: list[Taken] = []

    def slower(*given: Any, **named: Any) -> Any:
        monkeypatch.undo()
        first.append(take(apart, file))  # the other process is here now
        return plan_issuance(*given, **named)

    monkeypatch.setattr("ledger.issuance.verification.plan_issuance", slower)
    second = take(apart, file)
    assert second == replace(first[0], went_on=True, left_kg=None)
    assert apart.count(Issuance) == 1


def _alter(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_what_is_refused_of_a_file(apart: Park) -> None:
    """One line each; nothing is stored of any of them."""
    path = written(apart)
    whole = path.read_text()
    stranger = (
        "0x" + "ab" * 20
    )  # a contract that says yes to every signature (ERC-1271), and is no verifier
    apart.node.client.request("anvil_setCode", [stranger, "0x631626ba7e60e01b5f5260205ff3"])

    def alter(change: Callable[[dict[str, Any]], object]) -> Callable[[], object]:
        return lambda: _alter(path, change)

    def member(name: str, value: Any) -> Callable[[], object]:
        return alter(lambda c: c["typed_data"]["message"].update({name: value}))

    cases: list[tuple[Callable[[], object], type[TruetonneError], str]] = [
        (lambda: sign(path, 5), Refused, f"under {VERIFIER} is that of {PARTIES['buyer']}"),
        (
            lambda: sign(path, 5, PARTIES["buyer"]),
            Refused,
            f"signed by {PARTIES['buyer']}, which does not have the role VERIFIER:1",
        ),
        (lambda: sign(path, 5, stranger), Refused, f"signed by {stranger}, which does not have"),
        (alter(lambda c: c.update(issued_kg="721")), BadInput, "altered: issued_kg says '721'"),
        (alter(lambda c: c["period"].update(to="x")), BadInput, "altered: period.to says 'x'"),
        (alter(lambda c: c.update(recipient="x")), BadInput, "altered: recipient"),
        (
            alter(lambda c: c.update(note="x")),
            BadInput,
            "note says 'x', and what is signed nothing",
        ),
        (
            alter(lambda c: c.pop("deadline")),
            BadInput,
            "deadline says nothing, and what is signed '2",
        ),
        (alter(lambda c: c.pop("typed_data")), BadInput, "altered or torn"),
        (member("key", "0xzz"), BadInput, "altered or torn"),
        (member("recipient", "0x12"), BadInput, "altered or torn"),
        (member("siteId", 2**40), BadInput, "altered or torn"),
        (member("amount", "-1"), BadInput, "altered or torn"),
        (member("deadline", str(2**70)), BadInput, "altered or torn"),
        (member("amount", "721"), BadInput, "altered: "),
        (alter(lambda c: c.update(format="x")), BadInput, "no file of a verification"),
        (alter(lambda c: c["signatures"].update({VERIFIER: "zz"})), BadInput, "no hexadecimal"),
        (lambda: path.write_text("{"), BadInput, "not JSON"),
        (path.unlink, BadInput, "cannot be read"),
    ]
    # Python gives up somewhere in the hundreds: where it reads a text, or only where it compares what it has read.
    for depth in (60, *range(300, 1001, 10)):
        nested = f'"signatures": {{"x": {"[" * depth}{"]" * depth}}}'
        path.write_text(whole.replace('"signatures": {}', nested))
        with pytest.raises(BadInput, match=r"nested deeper than any file|not JSON"):
            take(apart, path)
    for change, kind, said in cases:
        path.write_text(whole)
        change()
        with pytest.raises(kind) as caught:
            take(apart, path)
        assert said in caught.value.message, (said, caught.value.message)
        assert "\n" not in caught.value.message and str(path) in caught.value.message
    path.write_text("\ufeff" + whole)  # as an editor leaves it
    with pytest.raises(Refused, match="nobody has signed it"):
        take(apart, path)
    path.write_text(whole)
    sign(path)
    now_s = int(datetime.now(UTC).timestamp())
    with pytest.raises(Refused, match="has signed it, and it was not taken in yet"):
        check_not_signed(apart.chain, path, now_s)
    check_not_signed(apart.chain, path, now_s + 31 * 86400)  # of no use any more
    with pytest.raises(Refused, match="its signature holds until") as late:
        take(apart, path, later=timedelta(days=31))
    assert late.value.code == "expired"
    request = read(path)[0]
    for twisted, said in (
        (changed(request.claim, amount=719), "amount is 720, signed was 719"),
        (changed(request.claim, recipient=VERIFIER), "recipient is"),
        (changed(request.claim, expires_at=2**31), "expires_at is 0"),
        (changed(request.claim, project_id=1), "project_id is 2, signed was 1"),
        (changed(request.claim, period_end=request.claim.period_end + 600), "period_end is"),
        (changed(request.claim, site_id=7), "site 7 on chain, which is none of these books"),
    ):
        path.write_text(text(Request(twisted, PROJECT, 31337, request.contract), {}))
        sign(path)
        with pytest.raises(Refused) as caught:
            take(apart, path)
        assert said in caught.value.message
    for place in ((1, request.contract), (31337, PARTIES["buyer"])):
        path.write_text(text(Request(request.claim, PROJECT, *place), {}))
        sign(path)
        with pytest.raises(Refused, match="ours is"):
            take(apart, path)
    assert nothing_planned(apart)


def test_what_a_verifier_finds_out(apart: Park) -> None:
    """A claim that its files do not bear, and numbers on chain that are another project's."""
    path = written(apart)
    request = read(path)[0]
    claim = request.claim

    def paths(twisted: Request, **options: Any) -> set[str]:
        path.write_text(text(twisted, {}))
        found = verified(path, **options)
        assert found.valid is (not found.differences)
        return {difference.path for difference in found.differences}

    def of(**values: Any) -> Request:
        return Request(changed(claim, **values), PROJECT, request.chain_id, request.contract)

    assert paths(request, credit=apart.chain.credit) == set()
    assert paths(of(amount=721)) == {"given.issued_kg"}
    assert paths(of(evidence_root="0x" + "1" * 64)) == {"given.root"}
    assert paths(of(manifest_hash="0x" + "1" * 64)) == {"given.manifest_hash"}
    assert paths(of(period_end=claim.period_end - 600)) == {"claim.period.to"}
    assert paths(of(evidence_total=9**9)) == {"claim.evidence_kg"}
    assert paths(of(methodology_hash="0x" + "1" * 64)) == {"claim.methodology_hash"}
    assert paths(of(expires_at=2**31)) == {"claim.expires_at"}
    # A backfill before a batch that is not there: the files say what it is, and the chain what there is.
    backfill = of(expires_at=2**31, backfill_before=1)
    assert paths(backfill) == {"claim.expires_at"}
    assert paths(backfill, credit=apart.chain.credit) == {
        "claim.expires_at",
        "claim.backfill_before",
    }
    other = apart.node.act("registrar", CREDIT, "registerSite", [1, "elsewhere"])
    elsewhere = of(site_id=int(other.logs[0].topics[1], 16))
    assert paths(elsewhere) == set()  # no file says it
    assert paths(elsewhere, credit=apart.chain.credit) == {"claim.site_number"}
    stranger = Request(claim, "elsewhere", request.chain_id, request.contract)
    assert paths(stranger, credit=apart.chain.credit) == {
        "claim.project",
        "claim.class",
        "claim.project_number",
        "claim.site_number",
    }
    # A reading that was made larger on the way.
    readings = path.with_name(READINGS)
    lines = gzip.decompress(readings.read_bytes()).decode().splitlines(keepends=True)
    assert lines[5].endswith(",60\n")
    lines[5] = lines[5].replace(",60\n", ",66\n")
    readings.write_bytes(gzip.compress("".join(lines).encode()))
    assert "energy.export_kwh" in paths(request)


@long
@pytest.mark.parametrize(
    "later", rest(["other reading", "other calibration", "period before"], "period before")
)
def test_what_is_learnt_after_it_was_written(apart: Park, later: str) -> None:
    """The verifier has judged other numbers than the books have now: nothing is issued on its word."""
    path = sign(written(apart, 3, 4))
    if later == "other reading":
        rows = [("2014-01-03T10:00:00+00:00", "30")]
        assert import_file(
            apart.db, "park", "scada", write_csv(apart.folder / "late.csv", rows)
        ).conflicts
    elif later == "other calibration":
        with apart.db.write() as session:
            _uncalibrated(session)
    else:  # its fraction of a kilogram is carried over
        assert take(apart, sign(written(apart, 2, 3))).issued_kg == 734
    before = apart.count(Issuance), apart.count(ReadingClaim)
    with pytest.raises(Refused, match="the books give another claim now") as caught:
        take(apart, path)
    assert caught.value.code == "another-claim" and "manifest_hash is 0x" in caught.value.message
    if later == "other calibration":  # else nothing but the hash said so
        said = "in the manifest meters[serial-A].calibrated is False, signed was True"
        assert said in caught.value.message
    path.with_name(MANIFEST).unlink()  # it need not come back
    with pytest.raises(Refused, match="the books give another claim now") as caught:
        take(apart, path)
    assert "in the manifest" not in caught.value.message
    assert (apart.count(Issuance), apart.count(ReadingClaim)) == before
    assert take(apart, sign(written(apart, 3, 4))).project == PROJECT


def _uncalibrated(session: Session) -> None:
    (meter,) = session.scalars(select(Meter)).all()
    meter.accuracy_class, meter.calibrated = "0.5", False


@long
def test_a_verifier_that_is_a_contract(apart: Park, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wallet that answers by ERC-1271; its signature is of no key, and nobody could sign the file after it."""
    wallet = "0x" + "ab" * 20
    apart.node.client.request("anvil_setCode", [wallet, "0x631626ba7e60e01b5f5260205ff3"])
    apart.node.act("admin", CREDIT, "grantRole", [class_role("VERIFIER_ROLE", 1), wallet])
    path = written(apart)
    request = read(path)[0]
    path.write_text(text(request, {wallet: "0x1234"}))
    ours = "0x" + anvil_signer(3).sign_typed_data(request.message).hex()
    monkeypatch.setattr("cli.verification._signature", lambda *_: (VERIFIER, ours))
    printed: list[Any] = []
    run: Any = SimpleNamespace(output=SimpleNamespace(result=lambda *said: printed.extend(said)))
    with pytest.raises(Refused, match=f"say so: --wallet {wallet}$"):
        sign_file(run, path)
    with pytest.raises(BadInput, match="has not signed"):
        sign_file(run, path, wallets=[VERIFIER])
    assert read(path)[1] == {wallet: "0x1234"}
    sign_file(run, path, wallets=["0x" + "AB" * 20])
    assert read(path)[1] == {wallet: "0x1234", VERIFIER: ours}
    assert (printed[0]["signed"], printed[0]["unchecked"]) == (VERIFIER, [wallet])
    assert printed[-1] == f"the signature under {wallet} is left as it is: the chain judges it"
    assert take(apart, path).verifier == wallet
    submit_planned(apart.chain, PROJECT)
    apart.mirror_final()
    assert [row.verifier for row in apart.rows(CreditBatch)] == [wallet]


@long
def test_whatever_crashes_it_is_issued_once(apart: Park, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash before and after every commit and every question to the node, from reading the file to sending."""
    path = sign(written(apart, 1, 2))
    names = set()
    for place in count():
        door = opened(apart, keyring=keys_without(VERIFIER))
        boundaries = Boundaries(place)
        with crashing(monkeypatch, boundaries), suppress(Crash):
            take(door, path)
            submit_planned(door.chain)
        if boundaries.crashed_at is None:
            break
        names.add(boundaries.crashed_at)
    assert {"before a commit", "after a commit"} & names
    until_confirmed(apart)
    assert [(row.issued_kg, row.verifier) for row in apart.rows(CreditBatch)] == [(720, VERIFIER)]
    assert [row.state.value for row in apart.rows(Issuance)] == ["issued"]
    assert apart.differences() == []


@long
def test_books_that_forgot_an_issuance_need_no_signature_again(apart: Park) -> None:
    """What the chain has needs nobody's word; and where the chain takes it back, it is sent again as it was signed."""
    with restored(apart) as books:
        path = sign(written(apart))
        late = sign(written(apart))  # of the same period, under another key
        signed = read(path)[1][VERIFIER]
        deadline = read(path)[0].claim.deadline
        take(apart, path)
        submit_planned(apart.chain, PROJECT)
        apart.mirror_final()
        books.mirror.run_until("head")
        (batch,) = books.rows(CreditBatch)
        adopted = take(books, late, dry_run=True)
        expected = Taken(batch.key, PROJECT, 2014, 720, VERIFIER, went_on=False)
        assert adopted == replace(expected, left_kg=Fraction(0))
        (planned,) = plan_issuance(books.chain, PROJECT, day(1), day(2))
        assert planned.key == batch.key and planned.claim.deadline == deadline
        assert books.intent(planned.key).parameters["signature"] == signed
        assert submit_planned(books.chain, PROJECT) == []
        books.mirror_final()
        assert [row.state.value for row in books.rows(Issuance)] == ["issued"]
        assert books.differences() == []


@contextmanager
def restored(park: Park) -> Iterator[Park]:
    """Books as they are now, to go on with after the others have."""
    copy = park.folder / "restored.db"
    with closing(sqlite3.connect(str(park.db.url.database))) as link:
        link.execute("VACUUM INTO ?", (str(copy),))
    db = Database(f"sqlite:///{copy}")
    try:
        books = Park(db, park.node, park.chain, park.mirror, park.folder)
        yield opened(books, keyring=keys_without(VERIFIER))
    finally:
        db.close()
