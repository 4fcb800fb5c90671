"""What a holder does with credits, and the serials afterwards: always a partition of the batch."""

import hashlib
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.app import create_app
from api.finality import ChainView
from api.retirements.queries import show_retirement
from cli.credits_acts import _retirement
from ledger.chain.contracts.events import CREDIT, ZERO_HASH
from ledger.chain.keys.signers import ANVIL_ROLES, Keyring, anvil_signer
from ledger.chain.sending import intents, twins
from ledger.db import Database
from ledger.errors import BadInput, NotFound, Refused
from ledger.holdings import (
    Holding,
    _nobody_holds,
    details_of,
    holding_of,
    plan_cancellation,
    plan_once,
    plan_retirement,
    plan_transfer,
)
from ledger.models import (
    CarbonCredit,
    ChainIntent,
    CreditBatch,
    CreditCancellation,
    CreditHolding,
    CreditRetirement,
    CreditSerial,
)
from ledger.models.sending import IntentState
from ledger.naming import find_credit
from ledger.serials import Act
from ledger.settings import load_settings
from tests.support import acts
from tests.support.chain import PARTIES, SITE_CODE
from tests.support.forms import long
from tests.support.park import Park

SHORT_ON_MARIADB = (
    "test_transfer_retire_cancel_and_the_serials_afterwards",
    "test_one_key_asked_for_twice_at_once_is_one_act",
)

KG = 1000
OWNER, BUYER = PARTIES["owner"], PARTIES["buyer"]
BATCH = 1 << 32 | 1
NAME = f"{SITE_CODE}-2014-1"


def issued(park: Park) -> Park:
    assert park.node.issue(KG, 0) == BATCH
    park.mirror_final()
    return park


@pytest.fixture
def held(park: Park) -> Park:
    """1,000 kg of one batch in the owner's hands."""
    return issued(park)


def holding(
    park: Park, kg: int, holder: str | None = None, credit: str = NAME, act: Act = Act.TRANSFER
) -> Holding:
    with park.db.read() as session:
        return holding_of(session, park.chain, credit, kg, holder, act)


def send(park: Park, key: str) -> str:
    tx_hash = park.chain.sender.submit(key, CREDIT)
    park.mirror_final()
    assert park.intent(key).state is IntentState.CONFIRMED
    return tx_hash


def transfer(park: Park, kg: int, to: str, holder: str | None = None) -> str:
    found = holding(park, kg, holder)
    return send(park, park.db.run(lambda s: plan_transfer(s, park.chain, found, to)))


def retire(park: Park, kg: int, holder: str | None = None) -> str:
    found = holding(park, kg, holder)
    details = details_of("Kindergarten", "year 2014", "DE", (1_388_534_400, 1_420_070_400))
    key = park.db.run(lambda s: plan_retirement(s, park.chain, found, details))
    send(park, key)
    return key


def cancel(park: Park, kg: int, holder: str | None = None) -> str:
    found = holding(park, kg, holder)
    key = park.db.run(lambda s: plan_cancellation(s, park.chain, found, "meter replaced"))
    send(park, key)
    return key


def hands(park: Park) -> dict[str, int]:
    """Return who holds how much, in the books as on chain."""
    found = {row.holder: row.amount_kg for row in park.rows(CreditHolding)}
    pairs = [(holder, BATCH) for holder in found]
    assert park.chain.credit.balances_of(pairs) == list(found.values())
    return found


def serials(park: Park) -> list[tuple[int, int, str]]:
    """Return the runs of serials with their status; they partition the batch, or this fails."""
    with park.db.read() as session:
        query = (
            select(CreditSerial, CarbonCredit)
            .join(CarbonCredit, CarbonCredit.credit_id == CreditSerial.credit_id)
            .order_by(CreditSerial.first_serial)
        )
        rows = [(serial, credit) for serial, credit in session.execute(query)]
    expected = 1
    for serial, credit in rows:
        assert serial.first_serial == expected
        expected = serial.last_serial + 1
        assert credit.amount == Decimal(expected - serial.first_serial) / 1000
        assert credit.credit_id == f"{NAME}-{serial.first_serial}-{serial.last_serial}"
    assert expected == KG + 1
    return [(row.first_serial, row.last_serial, credit.status.value) for row, credit in rows]


# ------------------------------------------------------------------------- the acts


@long
def test_transfer_retire_cancel_and_the_serials_afterwards(both: Park) -> None:
    issued(both)
    assert serials(both) == [(1, 1000, "active")]
    transfer(both, 300, BUYER)
    assert hands(both) == {OWNER: 700, BUYER: 300}
    assert serials(both) == [(1, 1000, "active")]

    key = retire(both, 250, BUYER)
    (retirement,) = both.rows(CreditRetirement)
    assert (retirement.key, retirement.holder) == (key, BUYER)
    assert (retirement.first_serial, retirement.amount_kg) == (1, 250)
    assert (retirement.beneficiary, retirement.country) == ("Kindergarten", "DE")
    assert (retirement.consumption_start_s, retirement.consumption_end_s) == (
        1388534400,
        1420070400,
    )
    assert serials(both) == [(1, 250, "retired"), (251, 1000, "active")]

    key = cancel(both, 100, OWNER)
    (cancellation,) = both.rows(CreditCancellation)
    assert (cancellation.key, cancellation.first_serial) == (key, 901)
    retire(both, 1, OWNER)
    cancel(both, 50, BUYER)
    assert hands(both) == {OWNER: 599}
    assert serials(both) == [
        (1, 250, "retired"),
        (251, 251, "retired"),
        (252, 850, "active"),
        (851, 900, "cancelled"),
        (901, 1000, "cancelled"),
    ]
    (batch,) = both.rows(CreditBatch)
    assert (batch.issued_kg, batch.retired_kg, batch.cancelled_kg) == (1000, 251, 150)


@long
def test_the_last_kilogram(held: Park) -> None:
    retire(held, 999)
    retire(held, 1)
    assert serials(held) == [(1, 999, "retired"), (1000, 1000, "retired")]
    assert hands(held) == {}
    with pytest.raises(Refused, match="the largest holding is 0 kg"):
        holding(held, 1)


def test_a_transfer_to_oneself_moves_nothing(held: Park) -> None:
    transfer(held, 10, OWNER)
    assert hands(held) == {OWNER: 1000}


# ------------------------------------------------------------------------- whose units


def test_the_only_holder_is_meant_and_two_are_asked_for(held: Park) -> None:
    assert holding(held, 1000) == Holding(BATCH, OWNER, 1000)
    transfer(held, 300, BUYER)
    assert holding(held, 301) == Holding(BATCH, OWNER, 301)  # only one has so much
    with pytest.raises(
        BadInput, match=r"2 of our accounts hold 300 kg .* with --holder: "
    ) as asked:
        holding(held, 300)
    assert OWNER in asked.value.message and BUYER in asked.value.message
    assert holding(held, 300, BUYER) == Holding(BATCH, BUYER, 300)
    assert holding(held, 300, BUYER.upper().replace("0X", "0x")) == Holding(BATCH, BUYER, 300)


def test_too_much(held: Park) -> None:
    with pytest.raises(
        Refused, match=r"no account of ours holds 1001 kg .* largest holding is 1000"
    ):
        holding(held, 1001)
    with pytest.raises(Refused, match=f"{BUYER} holds 0 kg of {NAME}, less than 1 kg"):
        holding(held, 1, BUYER)
    with pytest.raises(Refused):
        holding(held, 2**70)


def test_the_largest_holding_is_named() -> None:
    """Of two accounts that hold too little, and of two of which one would do and has its key elsewhere."""
    few = str(_nobody_holds("x", 100, {"0xb": 50, "0xa": 70}))
    assert few.endswith("the largest holding is 70 kg")
    enough = str(_nobody_holds("x", 60, {"0xb": 50, "0xa": 70}))
    assert "the largest holding is 70 kg, of 0xa, whose key is not here" in enough


@pytest.mark.parametrize("kg", [0, -1])
def test_nothing(held: Park, kg: int) -> None:
    with pytest.raises(BadInput, match="above zero"):
        holding(held, kg)


def named(park: Park, kg: int, key: str, holder: str | None = None) -> Holding:
    with park.db.read() as session:
        return holding_of(session, park.chain, NAME, kg, holder, Act.RETIRE, key)


def test_an_act_with_a_key_is_done_once(both: Park) -> None:
    issued(both)

    def plan(kg: int, reason: str = "2014", key: str = "order 7", holder: str | None = None) -> str:
        found = named(both, kg, key, holder)
        details = details_of("Kindergarten", reason)
        return both.db.run(lambda s: plan_retirement(s, both.chain, found, details))

    first = plan(600)
    assert first == "0x" + hashlib.sha256(f"truetonne {OWNER} order 7".encode()).hexdigest()
    tx_hash = send(both, first)
    # 400 kg are left: as a new act the second asking would be refused.
    assert named(both, 600, "order 7").repeated
    assert plan(600) == first
    assert send(both, first) == tx_hash
    assert hands(both) == {OWNER: 400}
    for change in ({"kg": 599}, {"kg": 600, "reason": "2015"}, {"kg": 600, "holder": BUYER}):
        with pytest.raises(Refused, match="this key belongs to another act: retire") as caught:
            plan(**change)
        assert caught.value.code == "key-reused"
        said = caught.value.as_json()
        assert list(said)[:2] == ["code", "message"]
        assert said["parameters"]["amount"] == "600"  # what counts carbon is text, here too
    found = named(both, 1, "order 7")
    with pytest.raises(Refused, match="this key belongs to another act"):
        both.db.run(lambda s: plan_transfer(s, both.chain, found, BUYER))
    assert plan(1, key="order 8") != first
    both.node.transfer("owner", "buyer", BATCH, 100)
    both.mirror_final()
    elsewhere = replace(both.chain, keyring=Keyring({BUYER: anvil_signer(ANVIL_ROLES["buyer"])}))
    with both.db.read() as session:  # a machine with other keys, whose account has enough
        again = holding_of(session, elsewhere, NAME, 100, None, Act.RETIRE, "order 7")
    assert (again.holder, again.key, again.repeated) == (OWNER, first, True)
    assert named(both, 1, "x" * 200, OWNER).key is not None
    for empty in ("", " ", "x" * 201):
        with pytest.raises(BadInput, match="a key is a text of 1 to 200 characters"):
            named(both, 1, empty)


@long
def test_another_holder_may_retire_under_a_key_of_ours(both: Park) -> None:
    """It saw the key in the pool, and was faster: what is asked for by the key is ours all the same."""
    issued(both)
    both.node.transfer("owner", "buyer", BATCH, 10)
    both.mirror_final()
    found = named(both, 600, "order 7")
    details = details_of("Kindergarten", "2014")
    key = both.db.run(lambda s: plan_retirement(s, both.chain, found, details))
    arguments = both.node.retire_arguments(BATCH, 1, beneficiary="Somebody")
    arguments[0] = bytes.fromhex(key[2:])
    both.node.act("buyer", CREDIT, "retire", arguments)
    send(both, key)
    kept = [(row.holder, row.retirement_id, row.key) for row in both.rows(CreditRetirement)]
    assert kept == [(BUYER, 1, key), (OWNER, 2, key)]
    with both.db.read() as session:
        said = _retirement(session, key)
        shown = show_retirement(session, ChainView("local", "finalized", None, None), key)
    assert said == {
        "retirement_id": "2",
        "credit_id": shown.credit_id,
        "serials": "2-601",
        "beneficiary": "Kindergarten",
        "reason": "2014",
    }
    assert (shown.retirement_id, shown.beneficiary) == (2, "Kindergarten")


@long
def test_one_key_asked_for_twice_at_once_is_one_act(both: Park) -> None:
    issued(both)
    other = both.again()
    found = named(both, 5, "order 9")

    def plan(session: Session) -> str:
        return plan_retirement(session, both.chain, found, details_of("Bo", "2014"))

    keys: list[str] = []
    thread = threading.Thread(target=lambda: keys.append(plan_once(other.chain, plan)))
    with both.db.write() as session:
        first = plan(session)
        thread.start()
        thread.join(0.4)
        assert thread.is_alive(), "the second did not wait for the first"
    thread.join()
    assert keys == [first]
    assert [row.key for row in both.rows(ChainIntent) if row.kind == "retire"] == [first]
    other.db.close()


def test_the_same_act_asked_for_lately_is_found(held: Park) -> None:
    def plan(kg: int, reason: str) -> str:
        found = holding(held, kg)
        return held.db.run(
            lambda s: plan_retirement(s, held.chain, found, details_of("Bo", reason))
        )

    first, other, twin = plan(5, "2014"), plan(5, "2015"), plan(5, "2014")
    with held.db.read() as session:
        found = twins.twin_of(session, intents.get(session, twin))
        assert found is not None and found.key == first
        assert twins.twin_of(session, intents.get(session, other)) is None
    send(held, first)
    for minutes, known in ((59, True), (61, False)):
        with held.db.write() as session:
            intent = session.get_one(ChainIntent, first)
            intent.created_at = datetime.now(UTC) - timedelta(minutes=minutes)
        with held.db.read() as session:
            own = intents.get(session, twin)
            assert (twins.twin_of(session, own) is not None) == known


def test_units_of_others_are_not_ours_to_move(held: Park) -> None:
    stranger = anvil_signer(9)
    chain = type(held.chain)(
        held.db,
        held.chain.client,
        held.chain.deployment,
        Keyring({stranger.address: stranger}),
        held.chain.sender,
    )
    with held.db.read() as session, pytest.raises(Refused, match="no account of ours"):
        holding_of(session, chain, NAME, 1, None)


def test_a_holder_that_was_faster(held: Park) -> None:
    """Both are planned by what the books say; the contract says who comes too late."""
    found = holding(held, 800)
    details = details_of("one", "two")
    keys = [held.db.run(lambda s: plan_retirement(s, held.chain, found, details)) for _ in range(2)]
    held.chain.sender.submit(keys[0], CREDIT)
    with pytest.raises(Refused, match="ERC1155InsufficientBalance"):
        held.chain.sender.submit(keys[1], CREDIT)
    held.mirror_final()
    assert [held.intent(key).state.value for key in keys] == ["confirmed", "failed"]
    assert serials(held) == [(1, 800, "retired"), (801, 1000, "active")]


def test_a_pause_stops_transfers_and_no_retirement(held: Park) -> None:
    held.node.act("pauser", CREDIT, "pause", [])
    with pytest.raises(Refused, match=r"refuses safeTransferFrom: EnforcedPause\(\)"):
        transfer(held, 1, BUYER)
    retire(held, 10)
    assert serials(held) == [(1, 10, "retired"), (11, 1000, "active")]


def test_a_receiver_that_cannot_be(held: Park) -> None:
    with pytest.raises(BadInput, match="the zero address receives nothing"):
        transfer(held, 1, "0x" + "00" * 20)
    with pytest.raises(Refused, match="ERC1155InvalidReceiver"):
        transfer(held, 1, held.node.deployment.contract("TestCurrency").address)
    assert hands(held) == {OWNER: 1000}


# ---------------------------------------------------------------------- how it is named


def test_a_batch_has_many_names(held: Park) -> None:
    (batch,) = held.rows(CreditBatch)
    (credit,) = held.rows(CarbonCredit)
    for text in (
        f"{NAME}-1-1000",
        NAME,
        batch.key,
        "0x" + batch.key[2:].upper(),
        str(BATCH),
        str(credit.id),
    ):
        assert holding(held, 1, credit=text).batch_id == BATCH, text


@long
def test_serials_may_be_named_where_they_are_the_ones_that_are_taken(held: Park) -> None:
    retire(held, 100)
    cancel(held, 50)  # active are 101 to 950
    for act in Act:
        for credit in (NAME, f"{NAME}-1-1000", f"{NAME}-101-950"):
            assert holding(held, 7, credit=credit, act=act).amount_kg == 7
    assert holding(held, 10, credit=f"{NAME}-101-110", act=Act.RETIRE).batch_id == BATCH
    assert holding(held, 10, credit=f"{NAME}-941-950", act=Act.CANCEL).batch_id == BATCH
    for act, run, kg, said in (
        (Act.RETIRE, "200-209", 10, "lowest active serials: 10 kg are 101 to 110, not 200 to 209"),
        (Act.RETIRE, "101-110", 11, "lowest active serials: 11 kg are 101 to 111, not 101 to 110"),
        (Act.CANCEL, "101-110", 10, "highest active serials: 10 kg are 941 to 950, not 101 to 110"),
        (Act.TRANSFER, "101-110", 10, "a transfer moves an amount, and no particular serials"),
    ):
        with pytest.raises(BadInput, match=said) as caught:
            holding(held, kg, credit=f"{NAME}-{run}", act=act)
        assert caught.value.message.endswith(f"name the batch, {NAME}, and the amount")
    for run, said in (
        ("1-100", "serials 1 to 100 .* are retired; active are 101 to 950"),
        ("50-150", "serials 50 to 100 .* are retired"),
        ("949-1000", "serials 951 to 1000 .* are cancelled"),
    ):
        with pytest.raises(Refused, match=said):
            holding(held, 1, credit=f"{NAME}-{run}", act=Act.RETIRE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "--",
        "0",
        "7",
        "-1",
        "9" * 30,
        "9" * 5000,
        "²",
        f"{SITE_CODE}-2014-²",
        f"{SITE_CODE}-²-1",
        f"{SITE_CODE}-2014-2",
        f"{SITE_CODE}-2015-1",
        f"{SITE_CODE}-2014-{'9' * 40}",
        f"{SITE_CODE}-{'9' * 5000}-1",
        f"{SITE_CODE}-2014-1-1-1001",
        f"{SITE_CODE} -2014-1",
        "other-2014-1",
        "-2014-1",
        "0x" + "ab" * 32,
        "0x",
        "0xyz",
        "0x12",
        "a" * 500,
        "x\x00y",
        "' OR 1=1 --",
    ],
    ids=range(26),
)
def test_a_name_of_nothing(db: Database, text: str) -> None:
    with db.read() as session, pytest.raises((NotFound, BadInput)) as caught:
        find_credit(session, text)
    assert caught.value.exit_code == 2
    assert len(caught.value.message.splitlines()) == 1


# ----------------------------------------------------------------------------- details


def test_details_as_people_write_them() -> None:
    details = details_of("Süd 绿", "2014", " de ", (0, 2**32 - 1), "0x" + "aB" * 32)
    assert (details.country, details.beneficiary) == ("DE", "Süd 绿")
    plain = details_of("a", "b")
    assert (plain.country, plain.consumption_start, plain.consumption_end) == ("", 0, 0)
    assert plain.document_hash == ZERO_HASH


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"beneficiary": " "}, "names its beneficiary and its reason"),
        ({"reason": ""}, "names its beneficiary and its reason"),
        ({"country": "DEU"}, "country: 'DEU' is no country's code"),
        ({"country": "D1"}, "country: 'D1' is no country's code"),
        ({"country": "ÄÖ"}, "country: 'ÄÖ' is no country's code"),
        ({"country": "ZZ"}, "country: 'ZZ' is no country's code"),
        ({"country": "uk"}, "did you mean 'GB'"),
        ({"country": ""}, "country: '' is no country's code"),  # of a variable that is not set
        ({"consumption": (2, 1)}, "ends before it begins"),
        ({"consumption": (-1, 1)}, "between the years 1970 and 2106"),
        ({"consumption": (0, 2**32)}, "between the years 1970 and 2106"),
        ({"document_hash": "0x12"}, "is not a hash"),
        ({"document_hash": "12" * 32}, "is not a hash"),
        ({"beneficiary": "x" * 1025}, "the beneficiary is longer than 1024 bytes"),
        ({"reason": "绿" * 342}, "the reason is longer than 1024 bytes"),
        ({"reason": "\udc80"}, "the reason is not Unicode text"),
    ],
)
def test_details_that_are_refused(change: dict[str, Any], said: str) -> None:
    values: dict[str, Any] = {"beneficiary": "a", "reason": "b", **change}
    with pytest.raises(BadInput, match=said):
        details_of(**values)


def test_the_longest_texts_reach_the_chain(held: Park) -> None:
    details = details_of("绿" * 341, "x" * 1024)
    found = holding(held, 5)
    send(held, held.db.run(lambda s: plan_retirement(s, held.chain, found, details)))
    (row,) = held.rows(CreditRetirement)
    assert (row.beneficiary, row.reason) == ("绿" * 341, "x" * 1024)
    assert row.country is None


def test_what_is_in_escrow_is_shown_with_whom_it_belongs_to(held: Park) -> None:
    """Who had paid all into the escrow held no credit of this ledger, and the contract was a holder as any other."""
    (batch,) = held.rows(CreditBatch)
    owner, settlement = PARTIES["owner"].lower(), held.node.deployment.settlement.address
    acts.deposit_credits(held.node, "owner", batch.batch_id, 300)
    acts.deposit_credits(held.node, "owner", batch.batch_id, 120)
    held.mirror_final()
    given = {
        "TRUETONNE_DATABASE_URL": held.db.url.render_as_string(hide_password=False),
        "TRUETONNE_HOME": str(held.folder),
        "TRUETONNE_NETWORK": "local",
    }
    with TestClient(create_app(load_settings(None, given))) as client:
        html = {"accept": "text/html"}
        name = f"{SITE_CODE}-2014-1"
        (contract,) = client.get(f"/v1/contracts?contract_address={settlement}").json()["items"]
        theirs = client.get(f"/v1/holders/{owner}").json()
        assert theirs["escrow"] == [
            {"batch_id": str(batch.batch_id), "batch": name, "amount_kg": "420"}
        ]
        assert theirs["contract"] is None
        keeper = client.get(f"/v1/holders/{settlement}").json()
        assert (keeper["contract"], keeper["escrow"]) == (contract["contract_name"], [])
        assert [item["amount_kg"] for item in keeper["items"]] == ["420"]
        then = client.get(f"/v1/holders/{owner}?as_of_block={batch.block_number}").json()
        assert then["escrow"] is None
        page = client.get(f"/holders/{owner}", headers=html).text
        assert "420 kg" in page.partition('id="escrow"')[2]
        assert contract["contract_name"] in client.get(f"/holders/{settlement}", headers=html).text
        history = client.get(f"/credits/{batch.batch_id}", headers=html).text
        assert f"(<bdi>{contract['contract_name']}</bdi>)" in history
        acts.deposit_credits(held.node, "owner", batch.batch_id, KG - 420)
        held.mirror_final()
        page = client.get(f"/holders/{owner}", headers=html).text
        assert "holds no credit of this ledger itself; what it has paid into the escrow" in page


def test_a_page_says_expired_from_the_second_on_that_nothing_moves(held: Park) -> None:
    """Nobody has recorded it on chain yet: the page said active, and the contract refused what it offered."""
    at = held.node.client.block("latest")
    assert at is not None
    number = held.node.issue(500, 1, expires_at=at.timestamp + 600)
    held.mirror_final()
    given = {
        "TRUETONNE_DATABASE_URL": held.db.url.render_as_string(hide_password=False),
        "TRUETONNE_HOME": str(held.folder),
        "TRUETONNE_NETWORK": "local",
    }
    html = {"accept": "text/html"}
    with TestClient(create_app(load_settings(None, given))) as client:
        places = (f"/credits/{number}", f"/credits?batch_id={number}", "/")
        badge = '<span class="badge expired">'
        assert not any(badge in client.get(place, headers=html).text for place in places)
        held.node.later(600)
        assert held.node.retire("owner", number, 1, must=False).status == 0
        held.mirror_final()
        assert client.get(f"/v1/credits/{number}").json()["batch_status"] == "active"
        assert all(badge in client.get(place, headers=html).text for place in places)
