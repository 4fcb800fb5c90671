"""Parts of the webhooks: signatures, where messages may go, secrets that are sealed."""

import base64
import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ledger.audit import By
from ledger.db import Database
from ledger.errors import BadInput
from ledger.models import WebhookDelivery, WebhookEndpoint, WebhookMessage
from ledger.models.webhooks import DeliveryState, EndpointState
from ledger.sealing import Sealer, load_sealer
from ledger.webhooks import Rests, endpoints, forget_messages
from ledger.webhooks.log import deliveries, not_taken
from ledger.webhooks.posting import Answer
from ledger.webhooks.resting import Known
from ledger.webhooks.signing import headers, new_secret
from ledger.webhooks.targets import TargetRefused, check_url, is_public, resolve
from tests.support.statements import listening, steps_of


def test_a_signature_is_that_of_the_specification() -> None:
    """The example that the Standard Webhooks libraries share."""
    found = headers(
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        '{"test": 2432232314}',
    )
    assert found == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_two_secrets_sign_side_by_side() -> None:
    """The specification: a list with a blank between, while one secret takes the place of another."""
    one, other = (
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_" + base64.b64encode(b"k" * 32).decode(),
    )
    alone = [headers([each], "msg_x", 1, "{}")["webhook-signature"] for each in (one, other)]
    assert headers([one, other], "msg_x", 1, "{}")["webhook-signature"] == f"{alone[0]} {alone[1]}"


def test_secrets_are_random_and_long() -> None:
    made = {new_secret() for _ in range(20)}
    assert len(made) == 20
    assert {len(base64.b64decode(item.removeprefix("whsec_"))) for item in made} == {32}


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("127.0.0.1", False),
        ("127.8.8.8", False),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),  # where clouds tell machines their keys
        ("100.64.0.1", False),
        ("192.0.2.1", False),
        ("198.18.0.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("fc00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::7f00:1", False),  # NAT64 of 127.0.0.1
        ("64:ff9b::5db8:d822", True),
        ("64:ff9b:1::5db8:d822", False),  # NAT64 of somebody's own network
        ("::127.0.0.1", False),  # IPv4 in IPv6 as it was once written
        ("::ffff:0:7f00:1", False),  # IPv4 translated
        ("fec0::1", False),  # of a site
        ("2002:7f00:1::", False),  # 6to4 of 127.0.0.1
        ("2002:a9fe:a9fe::1", False),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", False),  # Teredo
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(ip_address(address)) is public


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://example.org/hook", "must begin with https://, found 'http'"),
        ("ftp://example.org/", "must begin with https://"),
        ("file:///etc/passwd", "must begin with https://"),
        ("gopher://example.org", "must begin with https://"),
        ("example.org/hook", "must begin with https://"),
        ("https://", "names no host"),
        ("https:///hook", "names no host"),
        ("https://user:pass@example.org/", "carries a name or password"),
        ("https://example.org@127.0.0.1/", "carries a name or password"),
        ("https://10.0.0.1/", "10.0.0.1 is not a public host"),
        ("https://[::1]/", "::1 is not a public host"),
        ("https://localhost:8443/", "localhost is not a public host"),
        ("https://a.LOCALHOST/", "a.localhost is not a public host"),
        ("https://localhost./", "localhost. is not a public host"),
        ("https://2130706433/", "2130706433 is not a public host"),  # all of these are 127.0.0.1
        ("https://0x7F000001/", "0x7f000001 is not a public host"),
        ("https://0177.0.0.1/", "0177.0.0.1 is not a public host"),
        ("https://127.1/", "127.1 is not a public host"),
        ("https://0/", "0 is not a public host"),  # and this is oneself
        ("https://169.254.169.254/latest/meta-data", "169.254.169.254 is not a public host"),
        ("https://example.org/#part", "after `#`"),
        ("https://example.org:99999/", "is no URL"),
        ("https://example.org:0/", "names no host"),
        ("https://[::1/", "is no URL"),
        ("https://exa mple.org/", "characters that a URL cannot have"),
        ("https://例子.org/", "characters that a URL cannot have"),
        ("https://example.org/\r\nHost: other", "characters that a URL cannot have"),
        ("https://example.org/\thook", "characters that a URL cannot have"),
        ("https://example.org/" + "a" * 1981, "has 2001 characters, at most 2000"),
        ("https://:secret@example.org/", "carries a name or password"),
        ("https://@example.org/", "carries a name or password"),
        ("https://127.0.0.1./", "127.0.0.1. is not a public host"),
    ],
)
def test_addresses_that_nothing_is_posted_to(url: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        check_url(url, private=False)
    assert said in caught.value.message


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "2002:a9fe:a9fe::1",
        "fd00:ec2::254",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "fe80::a9fe:a9fe",
        "fd20:ce::254",
        "fd00:c1::a9fe:a9fe",
        "fd00:42::42",
    ],
)
def test_no_setting_opens_where_clouds_tell_machines_their_keys(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may add endpoints read the beginning of what it answered, where receivers beside the ledger are allowed."""
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(BadInput, match="is where a cloud tells machines their keys"):
        check_url(f"http://{host}/latest/meta-data", private=True)
    monkeypatch.setattr(socket, "getaddrinfo", answers("10.0.0.1", address))
    with pytest.raises(TargetRefused, match="where a cloud tells machines their keys"):
        resolve("http://one.lan/hook", private=True)


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.1", "017700000001"])
def test_hosts_of_one_s_own_network(host: str) -> None:
    """Written as resolvers understand it, and people do not: refused when it is given, and before it is looked up."""
    with pytest.raises(BadInput, match=f"^{re.escape(host)} is not a public host"):
        resolve(f"https://{host}/hook", private=False)


def test_a_name_that_resolvers_read_as_an_address_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", answers("127.0.0.1"))
    with pytest.raises(TargetRefused, match=r"is 127\.0\.0\.1, which is not public"):
        resolve("https://loopback.example.org/hook", private=False)


def answers(*addresses: str) -> Any:
    def looked_up(host: str, port: int, **more: Any) -> list[Any]:
        return [
            (socket.AF_INET6 if ":" in each else socket.AF_INET, 1, 6, "", (each, port))
            for each in addresses
        ]

    return looked_up


def test_a_name_of_which_one_address_is_private(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", answers("93.184.216.34", "10.0.0.1"))
    with pytest.raises(TargetRefused, match=r"example\.org is 10\.0\.0\.1, which is not public"):
        resolve("https://example.org/hook", private=False)


def test_the_connection_goes_where_was_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second look-up, by whoever connects, could be answered otherwise."""
    monkeypatch.setattr(socket, "getaddrinfo", answers("93.184.216.34"))
    target = resolve("https://example.org:8443/hook?a=1", private=False)
    assert target.urls == ("https://93.184.216.34:8443/hook?a=1",)
    assert (target.host, target.name) == ("example.org:8443", "example.org")
    monkeypatch.setattr(socket, "getaddrinfo", answers("2606:2800:220:1::1"))
    target = resolve("https://example.org/", private=False)
    assert target.urls == ("https://[2606:2800:220:1::1]:443/",)
    monkeypatch.setattr(socket, "getaddrinfo", answers("2606:2800:220:1::1", "93.184.216.34"))
    assert len(resolve("https://example.org/", private=False).urls) == 2


def test_an_address_may_be_as_long_as_is_said() -> None:
    url = "https://example.org/" + "a" * 1980
    assert check_url(url, private=False).geturl() == url


@pytest.mark.parametrize("state", [EndpointState.DISABLED, EndpointState.REMOVED])
def test_no_change_ends_an_endpoint(sqlite_db: Database, state: EndpointState) -> None:
    row = WebhookEndpoint(state=EndpointState.ACTIVE)
    with sqlite_db.read() as session, pytest.raises(BadInput, match="active or paused"):
        endpoints.change(session, row, By(), private=False, state=state)
    assert row.state is EndpointState.ACTIVE


def test_four_addresses_of_a_host_are_tried_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the port of the scheme, where the URL names none; an address of this link is one without its interface."""
    found = ("10.0.0.1", "10.0.0.2", "10.0.0.1", "fe80::1%eth0", "10.0.0.3", "10.0.0.4")
    monkeypatch.setattr(socket, "getaddrinfo", answers(*found))
    assert resolve("http://one.lan/hook", private=True).urls == (
        "http://10.0.0.1:80/hook",
        "http://10.0.0.2:80/hook",
        "http://[fe80::1]:80/hook",
        "http://10.0.0.3:80/hook",
    )


# -------------------------------------------------------------------------------- rests

AT = datetime(2026, 3, 1, tzinfo=UTC)
KNOWN = Known("https://example.org/hook", None, None)
SILENCE = Answer(None, "no answer: timed out", 15_000)
TAKEN, REFUSED = Answer(204, None, 3), Answer(500, "answered 500", 3)


def rest_s(rests: Rests, at: datetime = AT) -> int:
    """Return how many seconds an endpoint rests from a time on."""
    return next(s for s in range(4000) if not rests.has(1, KNOWN, at + timedelta(seconds=s)))


def test_where_nobody_answers_each_rest_is_twice_the_one_before() -> None:
    rests = Rests()
    found = []
    for _ in range(9):
        rests.note(1, KNOWN, SILENCE, AT)
        found.append(rest_s(rests))
    assert found == [0, 10, 20, 40, 80, 160, 300, 300, 300]
    for _ in range(40_000):  # weeks of it
        rests.note(1, KNOWN, SILENCE, AT)
    assert rest_s(rests) == 300
    assert not rests.has(1, KNOWN, AT - timedelta(seconds=1))  # the clock was set back
    assert not rests.has(1, KNOWN._replace(url="https://example.org/other"), AT)
    assert not rests.has(1, KNOWN._replace(heard_at=AT), AT)  # it answered another process
    assert not rests.has(1, KNOWN._replace(resumed_at=AT), AT)  # a person wants it tried
    assert not rests.has(2, KNOWN, AT)


@pytest.mark.parametrize("answer", [TAKEN, REFUSED])
def test_who_answers_rests_no_more(answer: Answer) -> None:
    rests = Rests()
    for known in (KNOWN, KNOWN, (KNOWN[0], AT), KNOWN):  # of another one nothing is known
        rests.note(1, known, SILENCE, AT)
    assert rest_s(rests) == 0
    rests.note(1, KNOWN, SILENCE, AT)
    assert rest_s(rests) == 10
    rests.note(1, KNOWN, answer, AT)
    rests.note(1, KNOWN, SILENCE, AT)
    assert rest_s(rests) == 0


def test_a_rest_that_is_asked_for_is_no_silence() -> None:
    rests = Rests()
    for seconds in (30, 3600):
        rests.note(1, KNOWN, Answer(503, "answered 503", 3, timedelta(seconds=seconds)), AT)
        assert rest_s(rests) == seconds
    rests.note(1, KNOWN, SILENCE, AT)
    assert rest_s(rests) == 0


# -------------------------------------------------------------------------------- sealing


def test_what_is_sealed_opens_with_its_key_in_its_place(tmp_path: Path) -> None:
    sealer = load_sealer(tmp_path / "home" / "sealing.key", make=True)
    sealed = sealer.seal("whsec_x", "webhook_endpoints/1")
    assert "whsec" not in sealed and sealed != sealer.seal("whsec_x", "webhook_endpoints/1")
    assert (
        load_sealer(tmp_path / "home" / "sealing.key").open(sealed, "webhook_endpoints/1")
        == "whsec_x"
    )
    with pytest.raises(BadInput, match="not the one that webhook_endpoints/2 was sealed with"):
        sealer.open(sealed, "webhook_endpoints/2")
    with pytest.raises(BadInput, match="key '1' is not in the sealing key file"):
        Sealer({2: b"k" * 32}).open(sealed, "webhook_endpoints/1")


def test_books_of_a_version_before_are_opened() -> None:
    """What stands in books: key, nonce of 96 bits (NIST SP 800-38D, 5.2.1.1), what is sealed, tag of 128 bits."""
    keys = {1: b"a" * 32, 3: b"k" * 32}
    nonce, context = bytes(range(12)), "webhook_endpoints/1"
    body = nonce + AESGCM(b"k" * 32).encrypt(nonce, b"whsec_x", context.encode())
    sealer = Sealer(keys, b"i" * 32)
    assert sealer.open(f"3:{base64.b64encode(body).decode()}", context) == "whsec_x"
    number, _, sealed = sealer.seal("whsec_x", context).partition(":")
    assert (number, len(base64.b64decode(sealed))) == ("3", 12 + len("whsec_x") + 16)
    # printf 'users/email\0eva@park.example' | openssl dgst -sha256 -mac HMAC -macopt key:iii... -binary,
    # in base64url
    assert (
        sealer.index("eva@park.example", "users/email")
        == "b1:aaCtTFeAn0pA6DA55pgkqW6dn7ICUUGoEXGY9ecPWCI"
    )


def test_a_key_is_changed_by_another_line(tmp_path: Path) -> None:
    file = tmp_path / "sealing.key"
    first = load_sealer(file, make=True)
    sealed = first.seal("old", "here")
    with file.open("a") as lines:
        lines.write("2:" + "A" * 43 + "=\n")
    both = load_sealer(file)
    assert both.open(sealed, "here") == "old"
    assert both.seal("new", "here").startswith("2:")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "has no key"),
        ("1:AAAA\n", "line 1: should be NUMBER:BASE64 or index:BASE64 of 32 bytes"),
        ("x:" + "A" * 43 + "=\n", "line 1: should be"),
        ("1:" + "A" * 43 + "=\n1:" + "B" * 43 + "=\n", "line 2: should be"),
        ("1:not base64!\n", "line 1: should be"),
    ],
)
def test_files_that_hold_no_keys(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "sealing.key"
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(BadInput, match=said):
        load_sealer(file)


def test_a_key_file_is_the_owner_s_alone(tmp_path: Path) -> None:
    file = tmp_path / "sealing.key"
    load_sealer(file, make=True)
    assert file.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["sealing.key"]
    file.chmod(0o640)
    with pytest.raises(BadInput, match="others may read it; chmod 600"):
        load_sealer(file)


def test_two_that_make_the_key_file_at_once_have_one_key(tmp_path: Path) -> None:
    file, gate = tmp_path / "sealing.key", threading.Barrier(8)
    found: list[bytes] = []

    def make() -> None:
        gate.wait()
        found.append(load_sealer(file, make=True).keys[1])

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len(set(found)) == 1


@contextmanager
def plans_for_deliveries() -> Iterator[list[list[str]]]:
    """Yield SQLite's plans for what is asked of the deliveries meanwhile."""
    plans: list[list[str]] = []

    def heard(connection: Any, _cursor: Any, sql: str, parameters: Any, *_: Any) -> None:
        if "webhook_deliveries" in sql:
            plans.append(steps_of(connection.connection.driver_connection, sql, parameters))

    with listening(heard):
        yield plans


@pytest.mark.parametrize("not_taken", [True, False])
def test_the_latest_deliveries_are_found_without_a_sort(
    sqlite_db: Database, not_taken: bool
) -> None:
    """All of an endpoint's were sorted for twenty of them, each with its last try: four seconds of 300,000."""
    with plans_for_deliveries() as plans, sqlite_db.read() as session:
        assert session.execute(deliveries(1, not_taken=not_taken).limit(20)).all() == []
    (plan,) = plans
    assert not [step for step in plan if "ORDER BY" in step], plan


@pytest.mark.parametrize("state", [None, DeliveryState.DELIVERED])
@pytest.mark.parametrize("order", [WebhookDelivery.id.asc(), WebhookDelivery.id.desc()])
def test_a_page_of_deliveries_is_read_where_it_lies(
    sqlite_db: Database, state: DeliveryState | None, order: Any
) -> None:
    """All that an endpoint was ever sent was read with its messages and tries, and sorted, for each page."""
    query = deliveries(1, ordered=False, state=state).where(WebhookDelivery.id > 5)
    with plans_for_deliveries() as plans, sqlite_db.read() as session:
        assert session.execute(query.order_by(order).limit(51)).all() == []
    (plan,) = plans
    assert not [step for step in plan if "ORDER BY" in step], plan
    assert plan[0].endswith("(rowid>?)"), plan


@pytest.mark.parametrize("state", [DeliveryState.PENDING, DeliveryState.FAILED])
def test_what_an_endpoint_has_not_taken_is_found_by_its_state(
    sqlite_db: Database, state: DeliveryState
) -> None:
    query = deliveries(1, ordered=False, state=state).order_by(WebhookDelivery.id)
    with plans_for_deliveries() as plans, sqlite_db.read() as session:
        assert session.execute(query.limit(51)).all() == []
    (plan,) = plans
    assert plan[0].endswith("(state=?)"), plan


def test_in_vain_is_what_was_tried_and_not_taken(sqlite_db: Database) -> None:
    sent = [
        *((DeliveryState.PENDING, tries) for tries in (0, 0, 1, 5)),
        *((DeliveryState.FAILED, tries) for tries in (0, 11)),  # of an endpoint that was disabled
        (DeliveryState.DELIVERED, 3),
    ]
    with sqlite_db.write() as session:
        for number in (1, 2):
            kept = {"url": f"https://example.org/{number}", "event_types": ["*"], "told_block": 0}
            state = EndpointState.ACTIVE
            session.add(WebhookEndpoint(id=number, state=state, secret_sealed="x", **kept))
        for number, (state, tries) in enumerate(sent, 1):
            what = {"message_id": f"msg_{number}", "event_type": "credit.issued", "body": "{}"}
            session.add(WebhookMessage(id=number, **what))
            session.flush()
            due = {"tries": tries, "state": state, "due_at": datetime.now(UTC)}
            session.add(WebhookDelivery(endpoint_id=2, message_row=number, **due))
    with sqlite_db.read() as session:
        assert not_taken(session) == {2: 4}


def test_deliveries_of_old_messages_are_found_by_an_index(sqlite_db: Database) -> None:
    """Each was looked for among all: minutes of 10,000 messages and 300,000 deliveries, and all writers waited."""
    with plans_for_deliveries() as plans:
        assert sqlite_db.run(lambda session: forget_messages(session, datetime.now(UTC))) == 0
    (plan,) = plans
    looked = [step for step in plan if "webhook_deliveries" in step]
    assert looked
    assert all("SEARCH" in step and "(message_row=?)" in step for step in looked), plan
