"""Acts of ours whose end a fork takes back that is deeper than what was final: the books follow the chain."""

from datetime import date
from fractions import Fraction
from math import floor

import pytest

from ledger.chain.contracts.events import CREDIT
from ledger.chain.sending import intents
from ledger.corrections import correct, debts_of, overpaid_of
from ledger.corrections import submit_planned as submit_corrections
from ledger.errors import Refused
from ledger.holdings import Holding, details_of, plan_cancellation, plan_retirement, plan_transfer
from ledger.issuance import fail, plan_issuance, submit_planned
from ledger.models import (
    ChainIntent,
    CorrectionCarry,
    CreditBatch,
    CreditCancellation,
    CreditHolding,
    CreditRetirement,
    Issuance,
    MeterReading,
    ReadingClaim,
)
from ledger.models.sending import IntentState
from tests.support.chain import PARTIES, class_role, send
from tests.support.forms import long, rest
from tests.support.park import PROJECT, Park, day
from tests.support.sending import automine, steal

SHORT_ON_MARIADB = (
    "test_one_that_failed_for_good_and_that_a_fork_brings_back",
    "test_what_came_meanwhile_is_late_for_it",
)

FIRST = date(2014, 1, 1)
SLOTS = 144
"""Ten minutes fit so often into a day."""
ISSUER = [class_role("ISSUER_ROLE", 1), PARTIES["issuer"]]


@pytest.fixture
def ready(both: Park) -> Park:
    """Three days of 60 kW: 720 kg each."""
    both.register()
    both.generate(FIRST, ["60", "60", "60"])
    return both


def plan(park: Park, first: int) -> str:
    (planned,) = plan_issuance(park.chain, PROJECT, day(first), day(first + 1))
    return planned.key


def states(park: Park) -> list[str]:
    return [row.state.value for row in park.rows(Issuance)]


def fail_in_a_final_block(park: Park, first: int) -> tuple[str, int]:
    """Issue a day in a block in which the issuer has no role; return its key and the height before."""
    key = plan(park, first)
    height = park.node.height()
    automine(park, False)
    (tx_hash,) = submit_planned(park.chain)
    park.node.client.request("anvil_dropAllTransactions")
    automine(park, True)
    park.node.act("admin", CREDIT, "revokeRole", ISSUER)
    park.chain.sender.rebroadcast()
    park.node.mine(1)
    receipt = park.node.client.receipt(tx_hash)
    assert receipt is not None and receipt.status == 0
    park.mirror_final()
    assert park.intent(key).state is IntentState.FAILED
    return key, height


def send_again(park: Park) -> None:
    park.chain.sender.rebroadcast()
    park.mirror_final()


@long
def test_one_that_failed_for_good_and_that_a_fork_brings_back(ready: Park) -> None:
    key, height = fail_in_a_final_block(ready, 1)
    assert (states(ready), ready.count(ReadingClaim)) == (["void"], 0)
    ready.fork_at(height)
    assert states(ready) == ["planned"]
    assert ready.intent(key).state is IntentState.SUBMITTED
    assert ready.count(ReadingClaim) == SLOTS
    with pytest.raises(Refused, match="goes on with it"):
        plan_issuance(ready.chain, PROJECT, day(1), day(3))
    send_again(ready)
    assert (states(ready), ready.intent(key).state) == (["issued"], IntentState.CONFIRMED)
    assert [batch.issued_kg for batch in ready.rows(CreditBatch)] == [720]
    assert ready.differences() == []


@long
def test_it_fails_once_more(ready: Park) -> None:
    key, height = fail_in_a_final_block(ready, 1)
    revoked = ready.node.transaction("admin", CREDIT, "revokeRole", ISSUER)
    ready.node.reorganise(ready.node.height() - height, [(revoked, 0)])
    ready.mirror.run_until("head")
    assert (states(ready), ready.count(ReadingClaim)) == (["planned"], SLOTS)
    send_again(ready)
    assert (states(ready), ready.count(ReadingClaim)) == (["void"], 0)
    assert ready.intent(key).state is IntentState.FAILED
    assert ready.differences() == []


@long
@pytest.mark.parametrize("sent", rest([False, True], True))
def test_another_was_planned_in_its_place(ready: Park, sent: bool) -> None:
    """The contract takes one of the two: the first, which has the smaller nonce."""
    key, height = fail_in_a_final_block(ready, 1)
    other = plan(ready, 1)
    ready.node.act("admin", CREDIT, "grantRole", ISSUER)
    if sent:
        submit_planned(ready.chain)
        ready.mirror_final()
        assert states(ready) == ["void", "issued"]
    ready.fork_at(height)
    assert states(ready) == ["void", "planned"]
    ready.chain.sender.rebroadcast()
    ready.mirror.run_until("head")
    assert ready.differences() == []
    ready.mirror_final()
    assert states(ready) == ["issued", "void"]
    assert [batch.key for batch in ready.rows(CreditBatch)] == [key]
    assert ready.intent(other).state is IntentState.FAILED
    assert {row.issuance_id for row in ready.rows(ReadingClaim)} == {1}
    assert ready.differences() == []
    plan(ready, 2)
    submit_planned(ready.chain)
    ready.mirror_final()
    assert states(ready) == ["issued", "void", "issued"]
    assert ready.differences() == []


@long
def test_the_other_one_s_nonce_is_stolen(ready: Park) -> None:
    """Nothing sends it again, and it does not stay planned."""
    _, height = fail_in_a_final_block(ready, 1)
    other = plan(ready, 1)
    ready.node.act("admin", CREDIT, "grantRole", ISSUER)
    submit_planned(ready.chain)
    ready.fork_at(height)
    nonce = ready.intent(other).nonce
    assert nonce is not None
    (first, *_) = [row.key for row in ready.rows(Issuance)]
    automine(ready, False)
    ready.node.client.request("anvil_dropAllTransactions")
    ready.chain.sender.rebroadcast()
    ready.node.client.request("anvil_dropTransaction", [ready.intent(other).tx_hash])
    ready.node.mine(1)
    steal(ready, "issuer", nonce)
    ready.mirror_final()
    assert (states(ready), ready.intent(first).state.value) == (["issued", "void"], "confirmed")
    for _ in range(3):
        ready.chain.sender.tend()
        ready.mirror_final()
    assert ready.intent(other).state is IntentState.PLANNED
    assert submit_planned(ready.chain) == []
    assert ready.intent(other).state is IntentState.FAILED
    assert ready.differences() == []


@long
def test_what_came_meanwhile_is_late_for_it(ready: Park) -> None:
    """It was judged in while the issuance was void, and would be no leaf of its evidence."""
    _, height = fail_in_a_final_block(ready, 1)
    ready.generate(FIRST, ["70"])  # another value for each slot
    assert {row.quality.value for row in ready.rows(MeterReading)} == {"used", "superseded"}
    ready.fork_at(height)
    rows = [row for row in ready.rows(MeterReading) if row.text == "70"]
    assert (len(rows), {row.quality.value for row in rows}) == (SLOTS, {"late"})
    assert not any(row.conflict for row in ready.rows(MeterReading))
    send_again(ready)
    assert states(ready) == ["issued"]
    assert ready.differences() == []


@long
def test_the_days_after_it_are_planned_anew(ready: Park) -> None:
    """They were planned without what it leaves."""
    key, height = fail_in_a_final_block(ready, 1)
    plan(ready, 2)
    ready.fork_at(height)
    assert states(ready) == ["planned", "void"]
    send_again(ready)
    plan(ready, 2)
    submit_planned(ready.chain)
    ready.mirror_final()
    assert states(ready) == ["issued", "void", "issued"]
    assert ready.rows(CreditBatch)[0].key == key
    assert ready.differences() == []


@long
@pytest.mark.parametrize("meanwhile", rest([1, 2]))
def test_one_sent_meanwhile_had_the_same_remainder(park: Park, meanwhile: int) -> None:
    """The contract takes both of them: the next one makes up for what was issued twice, and that once."""
    park.register()
    #     734.814  720.6    720.24   720.24   720.24   720.24 kg
    kw = ["61.2345", "60.05", "60.02", "60.02", "60.02", "60.02"]
    park.generate(FIRST, kw)
    plan(park, 1)
    submit_planned(park.chain)
    park.mirror_final()
    _, height = fail_in_a_final_block(park, 2)
    park.node.act("admin", CREDIT, "grantRole", ISSUER)
    for first in range(3, 3 + meanwhile):
        plan(park, first)
        submit_planned(park.chain)
        park.mirror_final()
    assert [row.carry_in_kg for row in park.rows(Issuance)][:3] == ["0/1", "407/500", "407/500"]
    park.fork_at(height)
    for _ in range(3):
        send_again(park)
    assert states(park) == ["issued"] * (2 + meanwhile)
    for first in range(3 + meanwhile, 7):
        plan(park, first)
        submit_planned(park.chain)
        park.mirror_final()
        days = [Fraction(power) * 12 for power in kw[:first]]  # 24 h x 0.5 t/MWh
        assert sum(batch.issued_kg for batch in park.rows(CreditBatch)) == floor(sum(days))
    assert park.differences() == []


@long
def test_a_correction_that_it_had_paid_is_paid_once(ready: Park) -> None:
    """It takes the deficit over again, which was free for another issuance meanwhile."""
    plan(ready, 1)
    submit_planned(ready.chain)
    ready.mirror_final()
    ready.generate(FIRST, ["50"])  # late, and lower
    correct(ready.db, PROJECT)
    _, height = fail_in_a_final_block(ready, 2)
    assert ready.count(CorrectionCarry) == 0
    ready.fork_at(height)
    (carry,) = ready.rows(CorrectionCarry)
    assert (carry.issuance_id, carry.carried_kg) == (2, "-120/1")
    send_again(ready)
    assert [batch.issued_kg for batch in ready.rows(CreditBatch)] == [720, 600]
    with ready.db.read() as session:
        assert debts_of(session) == {}
    assert ready.differences() == []


@long
def test_one_that_was_refused_here_and_that_others_sent(ready: Park) -> None:
    """It is issued; the day after it was planned without what it leaves, and is planned anew."""
    key = plan(ready, 1)
    call = ready.intent(key)
    ready.db.run(lambda session: intents.refuse(session, key, "a test"))
    ready.db.run(lambda session: fail(session, key, "a test"))
    plan(ready, 2)
    sent = send(ready.node.client, PARTIES["issuer"], call.contract_address, call.call_data)
    assert sent.status == 1
    ready.mirror_final()
    assert states(ready) == ["issued", "void"]
    assert ready.intent(key).state is IntentState.CONFIRMED
    assert ready.count(ReadingClaim) == SLOTS
    assert ready.differences() == []


# ------------------------------------------------------------------------------ other acts

KG = 1000
BATCH = 1 << 32 | 1
OWNER, BUYER = PARTIES["owner"], PARTIES["buyer"]


def acts_on_their_way(park: Park) -> list[str]:
    """Have 100 kg transferred, retired and cancelled each; return the keys."""
    chain = park.chain

    def holding() -> Holding:
        return Holding(BATCH, OWNER, 100)

    keys = [
        park.db.run(lambda session: plan_transfer(session, chain, holding(), BUYER)),
        park.db.run(
            lambda session: plan_retirement(session, chain, holding(), details_of("X", "a test"))
        ),
        park.db.run(lambda session: plan_cancellation(session, chain, holding(), "a test")),
    ]
    for key in keys:
        chain.sender.submit(key, CREDIT)
    return keys


def outcomes(park: Park) -> set[str]:
    return {row.state.value for row in park.rows(ChainIntent)}


def done(park: Park) -> tuple[int, int, dict[str, int]]:
    held = {row.holder: row.amount_kg for row in park.rows(CreditHolding)}
    return park.count(CreditRetirement), park.count(CreditCancellation), held


NOTHING, ALL = (0, 0, {OWNER: KG}), (1, 1, {OWNER: KG - 300, BUYER: 100})


@pytest.fixture
def held(park: Park) -> Park:
    """Credits of the owner."""
    assert park.node.issue(KG, 0) == BATCH
    park.mirror_final()
    return park


def test_acts_that_were_final_fail_in_the_fork_and_come_again(held: Park) -> None:
    """Retired, cancelled, given away for good; not at all; and in a third fork after all."""
    height = held.node.height()
    acts_on_their_way(held)
    held.mirror_final()
    assert (outcomes(held), done(held)) == ({"confirmed"}, ALL)
    suspended = held.node.transaction("pauser", CREDIT, "suspend", [BATCH])
    held.node.reorganise(held.node.height() - height, [(suspended, 0)])
    held.mirror.run_until("head")
    assert (outcomes(held), done(held)) == ({"submitted"}, NOTHING)
    send_again(held)
    assert (outcomes(held), done(held)) == ({"failed"}, NOTHING)
    assert held.differences() == []
    held.fork_at(height)
    assert (outcomes(held), done(held)) == ({"submitted"}, NOTHING)
    send_again(held)
    assert (outcomes(held), done(held)) == ({"confirmed"}, ALL)
    assert held.differences() == []


@long
def test_a_correction_that_a_cancellation_pays_after_an_issuance_has(ready: Park) -> None:
    """No manifest can give back what was paid twice; it is said how much that is."""
    ready.node.act("owner", CREDIT, "setApprovalForAll", [PARTIES["buyer"], True])
    plan(ready, 1)
    submit_planned(ready.chain)
    ready.mirror_final()
    ready.generate(FIRST, ["50"])  # late, and lower
    (found,) = correct(ready.db, PROJECT, chain=ready.chain).found
    height = ready.node.height()
    automine(ready, False)
    assert len(submit_corrections(ready.chain)) == 1
    ready.node.client.request("anvil_dropAllTransactions")
    automine(ready, True)
    (batch,) = ready.rows(CreditBatch)
    moved = [PARTIES["owner"], PARTIES["buyer"], batch.batch_id, 718, b""]
    ready.node.act("buyer", CREDIT, "safeTransferFrom", moved)
    ready.chain.sender.rebroadcast()
    ready.node.mine(1)
    ready.mirror_final()
    assert found.act_key is not None
    assert ready.intent(found.act_key).state is IntentState.FAILED
    plan(ready, 2)
    submit_planned(ready.chain)
    ready.mirror_final()
    assert [batch.issued_kg for batch in ready.rows(CreditBatch)] == [720, 600]
    with ready.db.read() as session:
        assert (debts_of(session), overpaid_of(session)) == ({}, {})
    ready.fork_at(height)
    for _ in range(2):
        send_again(ready)
    assert states(ready) == ["issued", "issued"]
    batches = [(batch.issued_kg, batch.cancelled_kg) for batch in ready.rows(CreditBatch)]
    assert batches == [(720, 120), (600, 0)]
    with ready.db.read() as session:
        assert debts_of(session, PROJECT) == {}
        assert overpaid_of(session, PROJECT) == {found.key: 120}
    assert ready.differences() == []
