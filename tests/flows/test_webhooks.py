"""Webhooks on a real chain and a real listener: what is final is told, once, signed, and again until it is taken."""

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from api.status import queries
from indexer.reindex import reindex
from ledger.audit import HOUSE
from ledger.chain.contracts.abi import artifact
from ledger.chain.contracts.events import CREDIT, SETTLEMENT
from ledger.db import Database
from ledger.errors import BadInput, NotFound, Refused
from ledger.jobs import retention, work
from ledger.jobs.work import Tools
from ledger.models import (
    AuditLog,
    ChainEvent,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookMessage,
    WebhookTry,
)
from ledger.models.webhooks import DeliveryState, EndpointState
from ledger.sealing import load_sealer
from ledger.settings import load_settings
from ledger.webhooks import delivering, endpoints, outbox, posting, targets, telling
from ledger.webhooks.telling import TYPES
from tests.support.chain import PARTIES
from tests.support.copied import back_up
from tests.support.forked import FORKED
from tests.support.forms import few, long
from tests.support.listener import Heard, Listener, listening
from tests.support.park import Park
from tests.support.statements import listening as heard_by
from tests.support.waiting import until

SHORT_ON_MARIADB = ("test_what_is_final_is_told_once_and_in_order",)

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as found:
        yield found


@dataclass
class House:
    """A park whose events are told, and a clock that is set by hand."""

    park: Park
    tools: Tools
    clock: list[datetime]

    def later(self, **time_: float) -> None:
        self.clock[0] += timedelta(**time_)

    def add(self, url: str, *events: str, **more: Any) -> tuple[str, int]:
        sealer = load_sealer(self.tools.settings.sealing_key_file, make=True)
        secret, row = self.park.db.run(
            lambda session: endpoints.add(
                session, sealer, url, events or ("*",), None, HOUSE, private=True, **more
            )
        )
        return secret, row.id

    def tick(self) -> str | None:
        """Run the job once."""
        return work.tell(self.tools)

    def on(self, number: int, act: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        return self.park.db.run(
            lambda session: act(session, endpoints.get(session, number), *arguments, **more)
        )

    def alarms(self) -> list[str]:
        """What ``status`` and ``doctor`` say of it."""
        with self.park.db.read() as session:
            found = queries.alarms(session, self.park.chain.deployment.network)
        return [said for said in found if said.startswith("webhook endpoint")]

    def states(self) -> list[str]:
        return [row.state.value for row in self.park.rows(WebhookDelivery)]


def house_of(park: Park) -> House:
    clock = [START]
    settings = load_settings(
        None,
        {
            "TRUETONNE_HOME": str(park.folder / "home"),
            "TRUETONNE_WEBHOOK_PRIVATE_TARGETS": "true",
        },
    )
    return House(park, Tools(park.chain, settings, lambda: clock[0]), clock)


@pytest.fixture
def house(park: Park) -> House:
    park.mirror_final()
    return house_of(park)


@pytest.fixture
def anywhere(both: Park) -> House:
    both.mirror_final()
    return house_of(both)


def credit_events(park: Park) -> None:
    """An issuance and a transfer."""
    batch = park.node.issue(1000, 0)
    arguments = [PARTIES["owner"], PARTIES["buyer"], batch, 50, b""]
    park.node.act("owner", CREDIT, "safeTransferFrom", arguments)


# ------------------------------------------------------------------------------ what is told


NOT_TOLD = frozenset({"ApprovalForAll", "EIP712DomainChanged", "RoleAdminChanged", "URI"})
"""Events that change nothing which a third party would act upon."""


def test_every_event_of_the_contracts_is_told_or_named_as_not_told() -> None:
    known = {
        (contract, item["name"])
        for contract in (CREDIT, SETTLEMENT)
        for item in artifact(contract).abi
        if item["type"] == "event"
    }
    assert {pair for pair in known if pair[1] not in NOT_TOLD} == set(TYPES)
    assert {name for _, name in known} >= NOT_TOLD


def test_what_is_final_is_told_once_and_in_order(anywhere: House, listener: Listener) -> None:
    park = anywhere.park
    secret, _ = anywhere.add(listener.url)
    with listening() as other:
        anywhere.add(other.url, "credit.transferred", "settlement.*")
        assert anywhere.tick() is None  # what was before is not told
        credit_events(park)
        park.mirror.run_until("head")
        assert anywhere.tick() is None  # mirrored, and not final
        park.mirror_final()
        assert anywhere.tick() == "3 new deliveries, 3 taken, 0 not"
        assert anywhere.tick() is None
        assert [item.told["type"] for item in other.heard] == ["credit.transferred"]
    assert [item.told["type"] for item in listener.heard] == ["credit.issued", "credit.transferred"]
    issued, moved = listener.heard
    (event,) = [row for row in park.rows(ChainEvent) if row.event_name == "Issued"]
    assert issued.told["data"] == {
        "chain_id": 31337,
        "contract": CREDIT,
        "contract_address": park.node.deployment.credit.address,
        "event": "Issued",
        "arguments": event.args,
        "block_number": event.block_number,
        "tx_hash": event.tx_hash,
        "log_index": event.log_index,
        "final": True,
    }
    assert issued.told["data"]["arguments"]["claim"]["amount"] in (1000, "1000")
    block = park.node.client.block(event.block_number)
    assert block is not None
    moment = datetime.fromtimestamp(block.timestamp, UTC).isoformat().replace("+00:00", "Z")
    assert issued.told["timestamp"] == moment
    assert moved.told["data"]["arguments"]["to"] == PARTIES["buyer"]
    assert moved.id == other.heard[0].id  # one event has one name, whoever is told
    for item in listener.heard:
        assert item.signatures(secret) == [True]
        assert item.headers["webhook-timestamp"] == str(int(START.timestamp()))
        assert item.headers["content-type"] == "application/json"
        assert item.headers["user-agent"].startswith("truetonne/")
    altered = Heard(issued.headers, issued.body.replace(b"1000", b"9000"))
    assert altered.body != issued.body and altered.signatures(secret) == [False]


@long
def test_order_is_that_of_the_chain_also_for_who_comes_later(
    anywhere: House, listener: Listener
) -> None:
    """A message that was made for another before came first."""
    with listening() as other:
        anywhere.add(other.url, "credit.transferred")
        credit_events(anywhere.park)
        anywhere.park.mirror_final()
        assert anywhere.tick() == "1 new deliveries, 1 taken, 0 not"
        anywhere.add(listener.url, "credit.*", from_block=0)
        assert anywhere.tick() == "2 new deliveries, 2 taken, 0 not"
    assert [item.told["type"] for item in listener.heard] == ["credit.issued", "credit.transferred"]


def test_who_asks_from_a_block_on_is_told_of_that_block_too(
    house: House, listener: Listener
) -> None:
    house.add(listener.url, "credit.issued")
    some_events(house, 3)
    house.tick()
    blocks = [item.told["data"]["block_number"] for item in listener.heard]
    assert len(set(blocks)) == 3
    with listening() as later:
        house.add(later.url, "credit.issued", from_block=blocks[1])
        house.tick()
        told = [item.told["data"]["block_number"] for item in later.heard]
    assert (told, len(listener.heard)) == (blocks[1:], 3)


def test_a_block_that_is_not_there_yet_silences_nobody(house: House, listener: Listener) -> None:
    """A digit too many, and the endpoint was told nothing until that block, without a word."""
    credit_events(house.park)
    house.park.mirror_final()
    with pytest.raises(BadInput, match="block 90000 is not mirrored: the books end at") as refused:
        house.add(listener.url, from_block=90_000)
    assert refused.value.code == "block-not-mirrored"


def mended(house: House) -> None:
    """Give ``index reindex``."""
    node = house.park.node
    reindex(house.park.db, node.client, node.deployment)


@long
@few(1)
@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM chain_cursor",
        "UPDATE chain_cursor SET final_number = 'rubbish'",
        "UPDATE chain_cursor SET block_number = 'rubbish', final_number = 'rubbish'",
    ],
)
def test_while_nobody_knows_what_is_final_none_is_added_that_is_told_of_it(
    house: House, listener: Listener, damage: str
) -> None:
    """As until a reindex is done: it was told everything that there ever was."""
    some_events(house, 1)
    house.park.db.run(lambda session: session.execute(text(damage)))
    with pytest.raises(Refused, match="run `truetonne index reindex` first, or name the first"):
        house.add(listener.url, "credit.issued")
    house.add(listener.url, "credit.issued", from_block=0)
    assert house.tick() is None
    mended(house)
    assert house.tick() == "1 new deliveries, 1 taken, 0 not"
    house.add(listener.url, "credit.issued")
    assert house.tick() is None
    some_events(house, 1, first=1)
    assert house.tick() == "2 new deliveries, 2 taken, 0 not"


@long
def test_books_that_went_too_far_silence_nobody(house: House, listener: Listener) -> None:
    """Whoever was told up to a block that the chain does not have was told nothing more, without a word."""
    house.add(listener.url, "credit.issued")
    one_event(house)
    house.tick()
    far = "UPDATE chain_cursor SET block_number = 99999, final_number = 99999"
    house.park.db.run(lambda session: session.execute(text(far)))
    assert house.tick() is None
    with listening() as other:
        house.add(other.url, "credit.issued")
        assert {row.told_block for row in house.park.rows(WebhookEndpoint)} == {99_999}
        mended(house)
        assert house.tick() is None  # what was told is not told again
        house.park.node.issue(1000, 1)
        house.park.mirror_final()
        assert house.tick() == "2 new deliveries, 2 taken, 0 not"
        assert (len(listener.heard), len(other.heard)) == (2, 1)


@long
def test_the_names_of_messages_outlive_the_books(house: House, listener: Listener) -> None:
    """Books that were restored tell again, under the same names: the other side knows them."""
    house.add(listener.url)
    restore = back_up(house.park.db, house.park.folder)
    credit_events(house.park)
    house.park.mirror_final()
    house.tick()
    first = [item.id for item in listener.heard]
    restore()
    assert house.park.count(WebhookMessage) == 0
    house.park.mirror_final()
    house.tick()
    assert [item.id for item in listener.heard] == first * 2


@long
def test_many_events_come_in_portions_that_leave_none_out(
    house: House, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "EVENTS_AT_ONCE", 3)
    house.add(listener.url, "credit.issued")
    some_events(house, 7)
    house.tick()
    kg = [int(item.told["data"]["arguments"]["claim"]["amount"]) for item in listener.heard]
    assert kg == [10 + number for number in range(7)]


# ------------------------------------------------------------------------- what is not taken


def one_event(house: House) -> None:
    house.park.node.issue(1000, 0)
    house.park.mirror_final()


def some_events(house: House, count: int, first: int = 0) -> None:
    """Issue 10 kg, then 11 and so on, and mirror all of it at once; those before ``first`` were issued before."""
    for number in range(first, first + count):
        house.park.node.issue(10 + number, number)
    house.park.mirror_final()


def test_a_message_is_sent_until_it_is_taken(house: House, listener: Listener) -> None:
    house.add(listener.url, "credit.issued")
    listener.answers(500, body=b"<b>down\x00</b>")
    listener.answers(503, headers={"Retry-After": "120"})
    listener.answers(302, headers={"Location": listener.url})
    one_event(house)
    waits = []
    for _ in range(4):
        house.tick()
        assert house.tick() is None  # it is not due again yet
        (delivery,) = house.park.rows(WebhookDelivery)
        waits.append((delivery.due_at - house.clock[0]).total_seconds())
        house.clock[0] = max(delivery.due_at, house.clock[0])
    assert waits[:3] == [5, 120, 300]  # 30 s would be the second, had it not asked for more
    assert house.states() == ["delivered"]
    assert len({item.id for item in listener.heard}) == 1
    stamps = [int(item.headers["webhook-timestamp"]) for item in listener.heard]
    assert [stamp - stamps[0] for stamp in stamps] == [0, 5, 125, 425]
    tries = house.park.rows(WebhookTry)
    assert [row.http_status for row in tries] == [500, 503, 302, 204]
    assert [row.error for row in tries] == [
        "answered 500: <b>down </b>",
        "answered 503",
        "answered 302 (redirects are not followed)",
        None,
    ]


@long
def test_a_clock_that_is_set_back_holds_up_no_message(house: House, listener: Listener) -> None:
    house.add(listener.url, "credit.issued")
    house.later(hours=3)
    one_event(house)
    outbox.collect(house.park.db, house.clock[0])
    house.later(hours=-3)
    listener.answers(500)
    assert house.tick() == "0 new deliveries, 0 taken, 1 not"
    assert house.tick() is None  # it is put off, by the clock as it is now
    house.later(days=-3)
    assert house.tick() == "0 new deliveries, 1 taken, 0 not"


@long
def test_who_takes_nothing_for_days_is_told_no_more(house: House, listener: Listener) -> None:
    _, number = house.add(listener.url, "credit.issued")
    one_event(house)
    listener.answers(*[500] * 11)
    begun = house.clock[0]
    alarmed = []
    while house.states() in ([], ["pending"]):
        house.tick()
        (delivery,) = house.park.rows(WebhookDelivery)
        house.clock[0] = max(delivery.due_at, house.clock[0])
        alarmed.append(bool(house.alarms()))
    assert len(listener.heard) == 11
    assert alarmed == [False] * 4 + [True] * 7  # a short rest of theirs wants no person
    assert house.clock[0] - begun == timedelta(days=3, hours=3, minutes=35, seconds=35)
    (row,) = house.park.rows(WebhookEndpoint)
    assert (row.state, row.reason) == (
        EndpointState.DISABLED,
        "it took nothing for days: answered 500",
    )
    (said,) = house.alarms()
    assert said == (
        "webhook endpoint 1 is told nothing any more, since it took nothing for days: answered 500; when it answers "
        "again `truetonne webhooks resume 1`, else `truetonne webhooks remove 1`"
    )
    one_event_more = house.park.node.issue(5, 1)
    assert one_event_more
    house.park.mirror_final()
    assert house.tick() is None
    # A person sees to it: what it missed follows, and what failed when it is asked for.
    house.on(number, endpoints.change, HOUSE, private=True, state=EndpointState.ACTIVE)
    assert house.tick() == "1 new deliveries, 1 taken, 0 not"
    (said,) = house.alarms()
    assert said == (
        "webhook endpoint 1 did not take 1 message, and nobody sends it again; see `truetonne webhooks deliveries 1 "
        "--not-taken`, then `truetonne webhooks replay 1 --failed`"
    )
    assert house.on(number, outbox.again, HOUSE, house.clock[0], failed=True) == 1
    assert house.tick() == "0 new deliveries, 1 taken, 0 not"
    assert house.states() == ["delivered", "delivered"]
    assert house.alarms() == []


@long
def test_who_takes_others_is_told_on_when_one_has_failed(house: House, listener: Listener) -> None:
    house.add(listener.url, "credit.issued")
    listener.answers(500, 200, *[500] * 10)
    some_events(house, 1)
    house.tick()
    house.later(seconds=1)
    house.park.node.issue(20, 1)
    house.park.mirror_final()
    house.tick()
    while "pending" in house.states():
        house.clock[0] = house.park.rows(WebhookDelivery)[0].due_at
        house.tick()
    found = [(row.state.value, row.tries) for row in house.park.rows(WebhookDelivery)]
    assert found == [("failed", 11), ("delivered", 1)]
    (row,) = house.park.rows(WebhookEndpoint)
    assert (row.state, row.heard_at) == (EndpointState.ACTIVE, START + timedelta(seconds=1))
    assert house.on(row.id, outbox.again, HOUSE, house.clock[0], failed=True) == 1
    # Else its first try would be its last again.
    assert [row.tries for row in house.park.rows(WebhookDelivery)] == [0, 1]


@long
def test_what_another_process_delivered_meanwhile_is_not_posted_again(
    house: House, listener: Listener
) -> None:
    """It was looked up before, with up to 2,000 others."""
    house.add(listener.url, "credit.issued")
    one_event(house)
    house.tick()
    (row,) = house.park.rows(WebhookDelivery)
    sealer = load_sealer(house.tools.settings.sealing_key_file)
    with posting.Sender() as sender:
        by = delivering.Posting(sealer, True, "test", lambda: START)
        assert delivering._post(house.park.db, by, sender, row.id) is None
    assert len(listener.heard) == 1


@long
def test_what_waits_for_long_is_an_alarm_unless_the_endpoint_rests(
    house: House, listener: Listener
) -> None:
    """The alarm names no address, which may hold a secret; who looks at the pages sees how many there are."""
    _, taken = house.add(listener.url, "credit.issued")
    with listening() as lost:
        _, number = house.add(f"{lost.url}?token=secret", "credit.issued")
    one_event(house)
    house.tick()
    assert house.alarms() == []
    for _ in range(4):
        house.later(hours=6)
        house.tick()
    look = f"see `truetonne webhooks deliveries {number} --not-taken`; each is tried for three days"
    said = f"webhook endpoint {number} did not take 1 message in 5 tries or more (the last that it took: never); {look}"
    assert house.alarms() == [said]
    assert taken != number
    house.on(number, endpoints.change, HOUSE, private=True, state=EndpointState.PAUSED)
    assert house.alarms() == []
    house.on(number, endpoints.change, HOUSE, private=True, state=EndpointState.ACTIVE)
    assert house.alarms() == [said]
    house.on(number, endpoints.remove, HOUSE)
    assert house.alarms() == []


@long
@few(2)
@pytest.mark.parametrize("odd", ["1", "\xb2", "1 Jan 99999999999999999999 00:00:00 GMT", "-1", ""])
def test_a_rest_that_is_none_or_shorter_is_not_heeded(
    house: House, listener: Listener, odd: str
) -> None:
    """What a receiver writes there ended the job, for every endpoint and at each run."""
    house.add(listener.url, "credit.issued")
    listener.answers(503, headers={"Retry-After": odd})
    one_event(house)
    assert house.tick() == "1 new deliveries, 0 taken, 1 not"
    (delivery,) = house.park.rows(WebhookDelivery)
    assert delivery.due_at - house.clock[0] == timedelta(seconds=5)


@long
def test_who_asks_for_a_rest_is_left_alone_until_its_end(house: House, listener: Listener) -> None:
    """Whoever takes a few messages a minute refused the others of a backlog, each a try in vain, one at each run."""
    house.add(listener.url, "credit.issued")
    some_events(house, 1)
    house.tick()
    listener.answers(429, headers={"Retry-After": "600"})
    some_events(house, 3, 1)
    assert house.tick() == "3 new deliveries, 0 taken, 1 not"
    assert len(listener.heard) == 2
    assert house.tick() is None
    house.later(seconds=599)
    assert house.tick() is None
    house.later(seconds=1)
    assert house.tick() == "0 new deliveries, 3 taken, 0 not"
    first, _, *others = [item.told["data"]["block_number"] for item in listener.heard]
    assert [first, *others] == sorted([first, *others])
    listener.answers(429, headers={"Retry-After": "600"})
    some_events(house, 2, 4)
    house.tick()
    house.later(hours=-2)  # a clock that is set back ends a rest
    assert house.tick() == "0 new deliveries, 1 taken, 0 not"


@long
def test_where_nobody_answers_it_is_tried_ever_more_rarely(
    house: House, listener: Listener
) -> None:
    """At an endpoint that was gone for weeks each run sorted all that waits, and used up a try of another message."""
    _, number = house.add("http://127.0.0.1:9/hook", "credit.issued")
    some_events(house, 12)
    begun, tried = house.clock[0], []
    while house.clock[0] - begun < timedelta(minutes=20):
        if house.tick() is not None:
            tried.append((house.clock[0] - begun).total_seconds())
        house.later(seconds=5)
    # A run later, then after 10 s, twice that and so on, and after 5 min at most.
    assert tried == [0, 5, 15, 35, 75, 155, 315, 615, 915]
    # Whoever begins anew knows of no rest, and an address that is another one, took a message, or is resumed, has none.
    other = house_of(house.park)
    other.clock[0] = house.clock[0]
    assert (house.tick(), other.tick()) == (None, "0 new deliveries, 0 taken, 1 not")
    house.on(number, heard_now, house.clock[0])
    assert house.tick() == "0 new deliveries, 0 taken, 1 not"
    house.later(seconds=5)
    assert (house.tick(), house.tick()) == ("0 new deliveries, 0 taken, 1 not", None)
    house.on(number, endpoints.change, HOUSE, private=True, state=EndpointState.ACTIVE)
    assert house.tick() == "0 new deliveries, 0 taken, 1 not"
    house.later(seconds=5)
    house.on(number, endpoints.change, HOUSE, url=listener.url, private=True)
    some_events(house, 1, 12)
    house.tick()
    blocks = [item.told["data"]["block_number"] for item in listener.heard]
    assert blocks == sorted(blocks)
    house.later(hours=1)
    house.tick()
    assert house.states() == ["delivered"] * 13
    assert len({item.id for item in listener.heard}) == len(listener.heard) == 13


def heard_now(session: Session, row: WebhookEndpoint, at: datetime) -> None:
    """Note that an endpoint took a message, as another process does that tests it."""
    row.heard_at = at
    session.flush()


@long
def test_a_rest_that_is_asked_for_after_one_was_taken(house: House, listener: Listener) -> None:
    house.add(listener.url, "credit.issued")
    listener.answers(200)
    listener.answers(429, headers={"Retry-After": "60"})
    some_events(house, 3)
    assert house.tick() == "3 new deliveries, 1 taken, 1 not"
    assert len(listener.heard) == 2
    assert house.tick() is None
    house.later(seconds=60)
    assert house.tick() == "0 new deliveries, 2 taken, 0 not"


@long
@few(1)
@pytest.mark.parametrize("place", ["mailto:x", "http://xn--/", "http:x"])
def test_a_redirection_to_nowhere_is_one_that_is_not_followed(
    house: House, listener: Listener, place: str
) -> None:
    """It ended the job, for every endpoint; and no cookie comes back."""
    house.add(listener.url, "credit.issued")
    listener.answers(302, headers={"Location": place, "Set-Cookie": "a=b"})
    one_event(house)
    assert house.tick() == "1 new deliveries, 0 taken, 1 not"
    house.later(minutes=1)
    assert house.tick() == "0 new deliveries, 1 taken, 0 not"
    tries = house.park.rows(WebhookTry)
    assert tries[0].error == "answered 302 (redirects are not followed)"
    assert "cookie" not in listener.heard[1].headers


def test_who_says_that_it_is_gone_is_told_no_more(house: House, listener: Listener) -> None:
    house.add(listener.url, "credit.issued")
    listener.answers(410)
    one_event(house)
    house.tick()
    (row,) = house.park.rows(WebhookEndpoint)
    assert (row.state, row.reason) == (EndpointState.DISABLED, "it answered 410, Gone")
    # The log said who had resumed it, and not that it had been disabled.
    entry = house.park.rows(AuditLog)[-1]
    assert (entry.action, entry.resource) == ("webhooks.disable", f"webhook_endpoints/{row.id}")
    assert (entry.user_id, entry.old_values["state"]) == (None, "active")
    assert entry.new_values == {"state": "disabled", "reason": "it answered 410, Gone"}
    house.later(days=1)
    assert house.tick() is None
    assert len(listener.heard) == 1


def posts_and_then(act: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have something done when an answer has come, and is not noted yet."""
    post = delivering._post

    def posted(*arguments: Any) -> Any:
        answer = post(*arguments)
        act()
        return answer

    monkeypatch.setattr(delivering, "_post", posted)


@long
@pytest.mark.parametrize("act", ["remove", "pause"])
def test_what_a_person_decides_meanwhile_stands(
    house: House, listener: Listener, act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A removed endpoint whose last message was answered 410 stood in the list again, disabled and without a secret."""
    _, number = house.add(listener.url, "credit.issued")
    listener.answers(410)
    one_event(house)

    def decided() -> None:
        if act == "remove":
            house.on(number, endpoints.remove, HOUSE)
        else:
            house.on(number, endpoints.change, HOUSE, private=True, state=EndpointState.PAUSED)

    posts_and_then(decided, monkeypatch)
    house.tick()
    (row,) = house.park.rows(WebhookEndpoint)
    assert (row.state.value, row.reason) == ({"remove": "removed", "pause": "paused"}[act], None)
    (told,) = house.park.rows(WebhookTry)
    assert told.http_status == 410


@long
def test_what_the_former_address_answers_does_not_end_the_new_one(
    house: House, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changed while the former one was asked, an endpoint whose new address is a good one was disabled."""
    _, number = house.add(listener.url, "credit.issued")
    listener.answers(410)
    one_event(house)

    def moved() -> None:
        house.on(number, endpoints.change, HOUSE, private=True, url=listener.url + "&new")

    with monkeypatch.context() as patch:
        posts_and_then(moved, patch)
        house.tick()
    (row,) = house.park.rows(WebhookEndpoint)
    assert (row.state, row.reason) == (EndpointState.ACTIVE, None)
    house.later(seconds=6)
    assert house.tick() == "0 new deliveries, 1 taken, 0 not"


def test_what_may_not_be_posted_there_any_more_is_not_taken(
    house: House, listener: Listener
) -> None:
    house.add(listener.url, "credit.issued")
    one_event(house)
    wide = house.tools.settings
    house.tools = replace(house.tools, settings=replace(wide, webhook_private_targets=False))
    assert house.tick() == "1 new deliveries, 0 taken, 1 not"
    (tried,) = house.park.rows(WebhookTry)
    assert (tried.http_status, "must begin with https://" in str(tried.error)) == (None, True)
    assert (house.states(), listener.heard) == (["pending"], [])
    house.tools = replace(house.tools, settings=wide)
    house.later(hours=1)
    assert house.tick() == "0 new deliveries, 1 taken, 0 not"
    assert (house.states(), len(listener.heard)) == (["delivered"], 1)


@long
def test_nobody_there_and_nobody_who_answers(
    house: House, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = httpx.AsyncClient.build_request

    def hasty(client: Any, method: str, url: str, *, timeout: httpx.Timeout, **more: Any) -> Any:
        assert timeout.read == posting.TIMEOUT_S
        if url == listener.url:  # to no other: it might be late itself
            timeout = httpx.Timeout(0.2)
        return built(client, method, url, timeout=timeout, **more)

    monkeypatch.setattr(httpx.AsyncClient, "build_request", hasty)
    house.add("http://127.0.0.1:9/hook", "credit.issued")
    listener.wait_s = 600
    house.add(listener.url, "credit.issued")
    with listening() as good:
        house.add(good.url, "credit.issued")
        some_events(house, 2)
        # Where nobody is, the second message is not tried.
        assert house.tick() == "6 new deliveries, 2 taken, 2 not"
        assert len(good.heard) == 2  # whoever is slow does not keep the others waiting
    errors = sorted(row.error or "" for row in house.park.rows(WebhookTry))
    assert errors[:2] == ["", ""]
    assert errors[2].startswith("no answer: ") and "refused" in errors[2]
    assert errors[3] == "no answer: timed out"


@long
def test_a_host_with_an_address_where_nobody_listens(
    house: House, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `localhost` where the receiver listens on IPv4 alone: only the first address was ever tried."""
    port = int(listener.url.split(":")[2].partition("/")[0])
    found = [
        (family, socket.SOCK_STREAM, 6, "", (address, port))
        for family, address in (
            (socket.AF_INET6, "::1"),
            (socket.AF_INET, "127.0.0.9"),
            (socket.AF_INET, "127.0.0.1"),
        )
    ]
    looked_up = socket.getaddrinfo

    def look_up(host: str, *rest: Any, **more: Any) -> Any:
        return found if host == "somewhere.example" else looked_up(host, *rest, **more)

    monkeypatch.setattr(targets.socket, "getaddrinfo", look_up)
    house.add(f"http://somewhere.example:{port}/hook", "credit.issued")
    one_event(house)
    assert house.tick() == "1 new deliveries, 1 taken, 0 not"
    assert [item.headers["host"] for item in listener.heard] == [f"somewhere.example:{port}"]


@long
@pytest.mark.parametrize(
    ("begins", "status", "said"),
    [
        (b"", None, "no answer: not whole within 0.6 s"),
        (b"HTTP/1.1 500 No\r\nx: y\r\n\r\n", 500, "answered 500"),
    ],
    ids=["no status ever", "an endless body"],
)
def test_who_drips_a_byte_now_and_then_has_no_more_than_the_whole_time(
    house: House,
    listener: Listener,
    monkeypatch: pytest.MonkeyPatch,
    begins: bytes,
    status: int | None,
    said: str,
) -> None:
    """Each byte comes well within the wait for a piece; the delivery ends all the same."""
    monkeypatch.setattr(posting, "WHOLE_S", 0.6)
    listener.begins, listener.drips, listener.drip_s = begins, b"H", 0.01
    house.add(listener.url, "credit.issued")
    one_event(house)
    started = time.monotonic()
    assert house.tick() == "1 new deliveries, 0 taken, 1 not"
    assert 0.5 < time.monotonic() - started < 60  # it drips for ever
    (tried,) = house.park.rows(WebhookTry)
    assert (tried.error or "").partition(": H")[0] == said
    assert tried.http_status == status and 500 <= tried.duration_ms < 60_000
    assert listener.left.wait(60)  # the connection is given up, not left open
    assert house.states() == ["pending"]


@long
@pytest.mark.parametrize(
    ("head", "state", "due_s"),
    [
        (b"HTTP/1.1 410 Gone\r\n\r\n", EndpointState.DISABLED, 0),
        (b"HTTP/1.1 503 No\r\nRetry-After: 600\r\n\r\n", EndpointState.ACTIVE, 600),
    ],
    ids=["gone", "asks for rest"],
)
def test_a_status_counts_also_where_the_body_never_ends(
    house: House,
    listener: Listener,
    monkeypatch: pytest.MonkeyPatch,
    head: bytes,
    state: EndpointState,
    due_s: int,
) -> None:
    """Who was gone was tried for three days, and who asked for ten minutes was asked again after five seconds."""
    monkeypatch.setattr(posting, "WHOLE_S", 0.6)
    listener.begins, listener.drips, listener.drip_s = head, b"x", 0.001
    house.add(listener.url, "credit.issued")
    one_event(house)
    assert house.tick() == "1 new deliveries, 0 taken, 1 not"
    assert [row.state for row in house.park.rows(WebhookEndpoint)] == [state]
    (delivery,) = house.park.rows(WebhookDelivery)
    assert (delivery.due_at - house.clock[0]).total_seconds() == due_s


@long
def test_while_one_is_slow_the_others_are_told_what_happens(
    house: House, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event that becomes final while somebody drips reaches the others in the same run."""
    monkeypatch.setattr(delivering, "_LOOK_S", 0.05)
    monkeypatch.setattr(posting, "WHOLE_S", 600.0)
    listener.drips, listener.drip_s = b"H", 0.02
    house.add(listener.url, "credit.issued")
    with listening() as good:
        house.add(good.url, "credit.issued", "credit.transferred")
        one_event(house)
        said: list[str | None] = []
        run = threading.Thread(target=lambda: said.append(house.tick()))
        run.start()
        until(lambda: len(good.heard) == 1)
        batch = house.park.node.issue(1000, 1)
        arguments = [PARTIES["owner"], PARTIES["buyer"], batch, 50, b""]
        house.park.node.act("owner", CREDIT, "safeTransferFrom", arguments)
        house.park.mirror_final()
        until(lambda: len(good.heard) == 3)
        assert run.is_alive() and not listener.left.is_set()
        listener.closing.set()  # the slow one hangs up
        run.join(60)
    assert said == ["5 new deliveries, 3 taken, 1 not"]
    assert [item.told["type"] for item in good.heard] == [
        "credit.issued",
        "credit.issued",
        "credit.transferred",
    ]


def test_a_crash_between_posting_and_noting_posts_again(
    house: House, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.add(listener.url, "credit.issued")
    one_event(house)

    def crash(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(delivering, "_note", crash)
        with pytest.raises(KeyboardInterrupt):
            house.tick()
    assert house.states() == ["pending"]
    house.tick()
    assert house.states() == ["delivered"]
    first, second = listener.heard
    assert (first.id, first.body) == (second.id, second.body)


def telling_on(url: str, home: str) -> None:
    """Tell whoever is to be told, again and again; a target for a process that is killed."""
    given = {"TRUETONNE_HOME": home, "TRUETONNE_WEBHOOK_PRIVATE_TARGETS": "true"}
    chain: Any = SimpleNamespace(db=Database(url))  # telling asks no chain
    tools = Tools(chain, load_settings(None, given))
    while True:
        work.tell(tools)
        time.sleep(0.01)


@long
def test_processes_that_are_killed_while_they_tell_leave_nothing_untold(
    anywhere: House, listener: Listener
) -> None:
    """What is noted as told was taken, and what may not have been is told again."""
    house, park = anywhere, anywhere.park
    events = 40
    house.add(listener.url, "credit.issued")
    for number in range(events):
        park.node.issue(10 + number, number)
    park.mirror_final()
    listener.wait_s = 0.01
    url = park.db.url.render_as_string(hide_password=False)
    chance, kills = random.Random(17), 0

    def told() -> set[str]:
        with park.db.read() as session:
            query = select(WebhookMessage.message_id).join(
                WebhookDelivery, WebhookDelivery.message_row == WebhookMessage.id
            )
            return set(session.scalars(query.where(WebhookDelivery.delivered_at.is_not(None))))

    def enough(heard: int) -> bool:
        return len(listener.heard) >= heard or len(told()) == events

    while len(told()) < events:
        process = FORKED.Process(
            target=telling_on, args=(url, str(house.tools.settings.home)), daemon=True
        )
        process.start()
        heard = len(listener.heard) + chance.randint(1, 9)
        until(partial(enough, heard))
        time.sleep(chance.random() * 0.02)
        process.kill()
        process.join()
        kills += 1
        assert told() <= {item.id for item in listener.heard}
    whole = [
        item for item in listener.heard if len(item.body) == int(item.headers["content-length"])
    ]
    kg = [int(item.told["data"]["arguments"]["claim"]["amount"]) for item in whole]
    assert set(kg) == {10 + number for number in range(events)}
    assert kills > 3 and len(kg) <= events + kills  # each kill repeats one message at most


# -------------------------------------------------------------------------------- by hand


def test_a_new_secret_signs_beside_the_former_for_a_day(house: House, listener: Listener) -> None:
    old, number = house.add(listener.url, "credit.issued")
    sealer = load_sealer(house.tools.settings.sealing_key_file)
    new = house.park.db.run(
        lambda session: endpoints.rotate(
            session, sealer, endpoints.get(session, number), HOUSE, house.clock[0]
        )
    )
    assert new != old
    one_event(house)
    house.tick()
    house.later(hours=24)
    house.on(number, outbox.tell_from, 0, HOUSE, house.clock[0])
    house.tick()
    during, after = listener.heard[0], listener.heard[-1]
    assert (during.signatures(new), during.signatures(old)) == ([True, False], [False, True])
    assert (after.signatures(new), after.signatures(old)) == ([True], [False])
    (row,) = house.park.rows(WebhookEndpoint)
    # Replaced by a clock that was ahead, and is put right: it would sign until that time has come.
    right = house.clock[0] - timedelta(days=365)
    assert endpoints.secrets_of(sealer, row, right) == [new]
    for secret in (old, new):
        assert secret not in f"{row.secret_sealed} {row.former_sealed}"
        assert all(secret not in str(entry.new_values) for entry in house.park.rows(AuditLog))


@long
def test_what_rests_is_told_what_it_missed(house: House, listener: Listener) -> None:
    _, number = house.add(listener.url, "credit.issued")
    house.on(number, endpoints.change, HOUSE, private=True, state=EndpointState.PAUSED)
    one_event(house)
    assert house.tick() is None
    house.on(number, endpoints.change, HOUSE, private=True, state=EndpointState.ACTIVE)
    assert house.tick() == "1 new deliveries, 1 taken, 0 not"
    house.on(number, endpoints.remove, HOUSE)
    house.park.node.issue(5, 1)
    house.park.mirror_final()
    assert house.tick() is None
    with pytest.raises(NotFound, match=f"there is no webhook endpoint {number}"):
        house.on(number, endpoints.remove, HOUSE)
    actions = [row.action for row in house.park.rows(AuditLog) if "webhooks" in row.action]
    assert actions == ["webhooks.add", "webhooks.change", "webhooks.change", "webhooks.remove"]


@long
def test_what_is_told_once_more_is_that_block_too_of_that_endpoint_alone(
    house: House, listener: Listener
) -> None:
    with listening() as other:
        _, number = house.add(listener.url, "credit.issued")
        house.add(other.url, "credit.issued")
        some_events(house, 2)
        assert house.tick() == "4 new deliveries, 4 taken, 0 not"
        first, second = house.park.rows(WebhookMessage)
        at = house.clock[0]
        assert house.on(number, outbox.tell_from, second.block_number, HOUSE, at) == 1
        assert house.on(number, outbox.again, HOUSE, at, message_ids=[first.message_id]) == 1
        assert house.tick() == "0 new deliveries, 2 taken, 0 not"
        # From a block that is not there yet was said to be 0 messages; the next one is, and leaves out nothing.
        end = house.park.node.height()
        with pytest.raises(BadInput, match=f"the books end at block {end}, .* one that they have"):
            house.on(number, outbox.tell_from, end + 2, HOUSE, at)
        assert house.on(number, outbox.tell_from, end + 1, HOUSE, at) == 0
        house.park.node.issue(20, 2)
        house.park.mirror_final()
        assert house.tick() == "2 new deliveries, 2 taken, 0 not"
        assert (len(listener.heard), len(other.heard)) == (5, 3)


@long
def test_everything_from_a_block_on_once_more(anywhere: House, listener: Listener) -> None:
    one_event(anywhere)  # before anybody wanted to know
    _, number = anywhere.add(listener.url, "credit.issued", "registry.*")
    second = anywhere.park.node.issue(7, 1)
    assert second
    anywhere.park.mirror_final()
    anywhere.tick()
    assert [item.told["type"] for item in listener.heard] == ["credit.issued"]
    anywhere.on(number, outbox.tell_from, 0, HOUSE, anywhere.clock[0])
    anywhere.tick()
    types = [item.told["type"] for item in listener.heard[1:]]
    assert types.count("credit.issued") == 2
    assert types[:2] == ["registry.class_registered", "registry.project_registered"]
    # In the order of the chain, though the last one stood in the log already, and the others are made now.
    told = [item.told["data"] for item in listener.heard[1:]]
    places = [(data["block_number"], data["log_index"]) for data in told]
    assert places == sorted(places) and len(set(places)) == len(types)
    assert listener.heard[-1].id == listener.heard[0].id
    with pytest.raises(NotFound, match="message 'msg_none' was never for endpoint"):
        anywhere.on(number, outbox.again, HOUSE, anywhere.clock[0], message_ids=["msg_none"])


@long
def test_what_waits_is_sorted_once_for_many_messages(
    house: House, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was sorted anew for each fifty: of 200,000 that is a second of MariaDB's time."""
    monkeypatch.setattr(delivering, "PER_ENDPOINT", 2)
    house.add(listener.url, "credit.issued")
    some_events(house, 5)
    said: list[str] = []
    with heard_by(lambda _c, _cursor, sql, *_: said.append(sql)):
        assert house.tick() == "5 new deliveries, 5 taken, 0 not"
    assert sum("ORDER BY webhook_messages.block_number" in sql for sql in said) == 1
    blocks = [item.told["data"]["block_number"] for item in listener.heard]
    assert blocks == sorted(blocks) and len(set(blocks)) == 5


@long
def test_a_test_message_does_not_wait_behind_what_is_not_taken(
    anywhere: House, listener: Listener
) -> None:
    """Where nobody answered, it was not even tried, and who had asked was told that it waits behind others."""
    _, number = anywhere.add(listener.url, "credit.issued")
    listener.answers(500)
    one_event(anywhere)
    anywhere.tick()
    anywhere.later(seconds=5)
    anywhere.on(number, outbox.test, "msg_test_1", anywhere.clock[0])
    assert anywhere.tick() == "0 new deliveries, 2 taken, 0 not"
    types = [item.told["type"] for item in listener.heard]
    assert types == ["credit.issued", "webhook.test", "credit.issued"]


@long
def test_old_deliveries_are_forgotten(
    house: House, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "clock_of", lambda _: house.clock[0])
    house.add(listener.url, "credit.issued")
    one_event(house)
    house.tick()
    house.later(days=365)
    assert work.forget(house.tools) is None
    house.later(days=2)
    assert work.forget(house.tools) == "deleted 1 deliveries of webhooks"
    assert house.park.count(WebhookDelivery) == house.park.count(WebhookTry) == 0
    assert house.tick() is None  # and not told again


@long
def test_what_nobody_took_is_forgotten_as_well(
    house: House, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A delivery that failed, and one to an endpoint that was removed; what still waits for somebody stays."""
    monkeypatch.setattr(retention, "clock_of", lambda _: house.clock[0])
    numbers = [house.add(listener.url, "credit.issued")[1] for _ in range(3)]
    one_event(house)
    listener.answers(500, 500, 500)
    house.clock[0] = datetime.now(UTC)  # rows have the time of their making
    house.tick()
    assert house.states() == ["pending"] * 3
    with house.park.db.write() as session:
        session.get_one(WebhookDelivery, 1).state = DeliveryState.FAILED
    house.on(numbers[1], endpoints.remove, HOUSE)
    house.later(days=365)
    assert work.forget(house.tools) is None
    house.later(days=2)
    assert work.forget(house.tools) == "deleted 2 deliveries of webhooks"
    (left,) = house.park.rows(WebhookDelivery)
    assert left.endpoint_id == numbers[2]
    assert {row.delivery_id for row in house.park.rows(WebhookTry)} == {left.id}


@long
def test_tests_and_what_was_told_of_alerts_is_forgotten_with_its_deliveries(
    house: House, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were kept for ever. What was told of the chain stays, and so does what is still to be taken."""
    monkeypatch.setattr(retention, "clock_of", lambda _: house.clock[0])
    _, number = house.add(listener.url, "credit.issued")
    one_event(house)
    house.clock[0] = datetime.now(UTC)  # rows have the time of their making
    for name in ("msg_taken", "msg_waits"):
        house.on(number, outbox.test, name, house.clock[0])
    listener.answers(204, 500)
    assert house.tick() == "1 new deliveries, 2 taken, 1 not"
    waits = {row.message_id for row in house.park.rows(WebhookMessage)} - {"msg_taken"}
    house.later(days=365)
    assert work.forget(house.tools) is None
    house.later(days=2)
    assert work.forget(house.tools) == (
        "deleted 2 deliveries of webhooks, 1 messages about alerts and tests"
    )
    assert {row.message_id for row in house.park.rows(WebhookMessage)} == waits


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ((), "an endpoint needs an event at least"),
        (("credit.isued",), "there is no event 'credit.isued'; there are alert.cleared, "),
        (("credit",), "there is no event 'credit'"),
        (("nothing.*",), "there is no event"),
        (("*.*",), "there is no event"),
    ],
)
def test_events_that_do_not_exist(events: tuple[str, ...], said: str) -> None:
    with pytest.raises(BadInput, match=said.replace("*", r"\*")):
        telling.check_patterns(events)


@long
def test_the_key_that_seals_must_be_there(house: House, listener: Listener, tmp_path: Path) -> None:
    house.add(listener.url, "credit.issued")
    one_event(house)
    lost = replace(house.tools.settings, sealing_key_file=tmp_path / "none.key")
    with pytest.raises(BadInput, match=r"none.key: cannot be read .*put back the one that belongs"):
        work.tell(replace(house.tools, settings=lost))
    load_sealer(tmp_path / "none.key", make=True)
    house.add(listener.url, "credit.issued", from_block=0)
    with house.park.db.write() as session:  # one that this key opens is told all the same
        row = endpoints.get(session, 2)
        endpoints.rotate(session, load_sealer(tmp_path / "none.key"), row, HOUSE, house.clock[0])
    wrong = "is not the one that webhook_endpoints/1 was sealed with"
    for _ in range(2):
        with pytest.raises(BadInput, match=wrong):
            work.tell(replace(house.tools, settings=lost))
    # That was no try of the endpoint's: after some it would have been disabled.
    assert [row.delivery_id for row in house.park.rows(WebhookTry)] == [2]
    assert house.states() == [DeliveryState.PENDING.value, DeliveryState.DELIVERED.value]
    house.tick()
    assert house.states() == [DeliveryState.DELIVERED.value] * 2
