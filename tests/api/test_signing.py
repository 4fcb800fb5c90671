"""Signing in on a page, without a script; and what a page for those who have signed in must withstand."""

from __future__ import annotations

import hashlib
import hmac
import html
import re
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from api.pages.forms import STRANGER_COOKIE
from api.pages.rendering import POLICY
from api.pages.signing import next_place
from ledger.audit import HOUSE
from ledger.identity import passwords
from ledger.identity.permissions import decide
from ledger.models import User, WebhookDelivery, WebhookEndpoint, WebhookMessage, WebhookTry
from ledger.models.users import UserRole
from ledger.models.webhooks import DeliveryState, EndpointState
from tests.api.test_chinese import english_in
from tests.support.forms import few, long
from tests.support.identity import (
    CHEAP_ROUNDS,
    PASSWORD,
    House,
    new_house,
    open_house,
    settings_for,
    utc,
)

HTML = {"accept": "text/html", "accept-language": "en"}
ROOMS = ("/account", "/account/keys", "/account/webhooks", "/account/audit", "/account/users")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A house with an admin, anna; an operator, otto; and a viewer, vera."""
    with new_house(tmp_path) as opened:
        opened.client.headers.update(HTML)
        for name, role in (
            ("anna", UserRole.ADMIN),
            ("otto", UserRole.OPERATOR),
            ("vera", UserRole.VIEWER),
        ):
            opened.add(name, role)
        yield opened


def field(page: str, name: str) -> str:
    """Return the value of a hidden field of a page's last form."""
    found = re.findall(rf'name="{name}" value="([^"]*)"', page)
    assert found, page
    return found[-1]


def sign_in(client: TestClient, name: str, password: str = PASSWORD, **more: str) -> Any:
    form = client.get("/sign-in").text
    fields = {"username": name, "password": password, "csrf": field(form, "csrf"), "next": ""}
    return client.post("/sign-in", data={**fields, **more}, follow_redirects=False)


def csrf(client: TestClient, page: str = "/account") -> str:
    return field(client.get(page).text, "csrf")


# ------------------------------------------------------------------------ the way of a person


def test_a_person_signs_in_makes_a_key_and_signs_out(house: House) -> None:
    client = house.client
    first = client.get("/account/keys", follow_redirects=False)
    assert first.status_code == 303
    assert first.headers["location"] == "/sign-in?next=%2Faccount%2Fkeys"
    form = client.get(first.headers["location"]).text
    assert field(form, "next") == "/account/keys"
    done = sign_in(client, "anna", next="/account/keys")
    assert (done.status_code, done.headers["location"]) == (303, "/account/keys")
    cookie = next(v for v in done.headers.get_list("set-cookie") if "truetonne_session=" in v)
    assert {"HttpOnly", "Path=/", "SameSite=strict"} <= set(cookie.split("; "))
    for room in ROOMS:
        page = client.get(room)
        assert page.status_code == 200 and page.headers["cache-control"] == "no-store", room
        assert page.headers["content-security-policy"] == POLICY
        assert 'href="/account"' in page.text and page.text.count("<h1") == 1
        assert not re.search(r'\sstyle="|<script(?![^>]*\ssrc=)|\son\w+="', page.text)
        chinese = client.get(room, headers={"accept-language": "zh"}).text
        names = {"anna", "otto", "vera", "webhooks", "add"}  # the last two of a command
        assert set(english_in(chinese)) <= names, room

    form = client.get("/account/keys").text
    fields = {
        "csrf": field(form, "csrf"),
        "once": field(form, "once"),
        "name": "nightly <b>report</b>",
        "days": "30",
        "scopes": ["audit:read", "users:read"],
    }
    made = client.post("/account/keys", data=fields)
    (key,) = re.findall(r">(ttk_[a-z0-9]{8}_[A-Za-z0-9_-]{43})<", made.text)
    assert made.headers["cache-control"] == "no-store"
    assert "nightly &lt;b&gt;report" in made.text and "<b>report" not in made.text
    # The page loaded anew makes no second key; and nobody is shown it again who does not have the form.
    assert key in client.post("/account/keys", data=fields).text
    assert house.sql("SELECT COUNT(*) FROM api_keys") == [(1,)]
    assert key not in client.get("/account/keys").text
    program = {"Authorization": f"Bearer {key}", "accept": "application/json"}
    stranger = TestClient(house.app)
    assert stranger.get("/v1/audit-log", headers=program).status_code == 200

    (number,) = house.sql("SELECT id FROM api_keys")[0]
    revoked = client.post(
        f"/account/keys/{number}/revoke", data={"csrf": csrf(client)}, follow_redirects=False
    )
    assert (revoked.status_code, revoked.headers["location"]) == (303, "/account/keys")
    assert stranger.get("/v1/audit-log", headers=program).status_code == 401

    held = client.cookies["truetonne_session"]
    out = client.post("/sign-out", data={"csrf": csrf(client)}, follow_redirects=False)
    assert len(out.headers.get_list("Set-Cookie")) == 1  # of one name, RFC 6265, 4.1.1
    assert (out.status_code, out.headers["location"]) == (303, "/sign-in")
    assert out.headers["clear-site-data"] == '"cache"' and "truetonne_session" not in client.cookies
    client.cookies.set("truetonne_session", held)  # who kept the cookie has nothing in hand
    assert client.get("/account", follow_redirects=False).status_code == 303
    actions = [action for action, _ in house.audit() if action != "users.add"]
    assert actions == ["sessions.begin", "keys.make", "keys.revoke", "sessions.end"]


def test_an_admin_disables_a_user_who_is_signed_out_at_once(house: House) -> None:
    vera = TestClient(house.app, headers=HTML)
    assert sign_in(vera, "vera").status_code == 303
    sign_in(house.client, "anna")
    (number,) = house.sql("SELECT id FROM users WHERE username = 'vera'")[0]
    where, fields = f"/account/users/{number}/state", {"csrf": csrf(house.client)}
    done = house.client.post(where, data={**fields, "is_active": "false"}, follow_redirects=False)
    assert done.status_code == 303
    assert vera.get("/account", follow_redirects=False).headers["location"].startswith("/sign-in")
    assert sign_in(vera, "vera").status_code == 401
    assert [
        (action, resource) for action, resource in house.audit() if action == "users.change"
    ] == [("users.change", f"users/{number}")]
    for wrong in ({}, {"is_active": "perhaps"}):
        answer = house.client.post(where, data={**fields, **wrong})
        assert answer.status_code == 422 and "is_active" in answer.text
    (anna,) = house.sql("SELECT id FROM users WHERE username = 'anna'")[0]
    last = house.client.post(f"/account/users/{anna}/state", data={**fields, "is_active": "false"})
    assert last.status_code == 409  # the last admin stays


@long
def test_what_the_rooms_refuse_is_said_in_chinese(house: House) -> None:
    """All of it: no sentence is half of one and half of the other language."""
    client = house.client
    sign_in(client, "anna")
    client.headers["accept-language"] = "zh"
    form = client.get("/account/keys").text
    fields = {"csrf": field(form, "csrf"), "once": field(form, "once"), "name": "a", "days": "30"}
    (anna,) = house.sql("SELECT id FROM users WHERE username = 'anna'")[0]
    fits = {**fields, "scopes": ["park:read"]}
    assert client.post("/account/keys", data=fits).status_code == 200
    answers = {
        "没有通知端点 999": client.get("/account/webhooks/999"),
        "没有用户": client.get("/account/keys?user=nobody"),
        "最后一个": client.post(
            f"/account/users/{anna}/state", data={**fields, "is_active": "false"}
        ),
        "不能带有": client.post("/account/keys", data={**fields, "scopes": ["zz"]}),
        "另一请求": client.post("/account/keys", data={**fits, "name": "b"}),
    }
    codes = r"\b[a-z]+:[a-z]+\b|\banna\b"
    for said, answer in answers.items():
        assert answer.status_code >= 400 and said in answer.text, said
        assert english_in(re.sub(codes, "", answer.text)) == [], said


def test_a_form_without_the_key_of_its_page_does_nothing(house: House) -> None:
    """By that key what is sent twice is done once."""
    sign_in(house.client, "anna")
    fields = {"csrf": csrf(house.client), "name": "a", "days": "30", "scopes": ["park:read"]}
    for once in ("", "x", "k" * 500):
        answer = house.client.post("/account/keys", data={**fields, "once": once})
        assert answer.status_code == 422 and "the page sends no such form" in answer.text
    twice = {**fields, "once": "k" * 36, "name": ["a", "b"]}
    assert house.client.post("/account/keys", data=twice).status_code == 422
    assert house.sql("SELECT count(*) FROM api_keys") == [(0,)]


def test_each_sees_what_their_rights_allow(house: House) -> None:
    sign_in(house.client, "vera")
    page = house.client.get("/account").text
    assert 'href="/account/keys"' in page
    for room in ("/account/webhooks", "/account/audit", "/account/users"):
        assert f'href="{room}"' not in page
        answer = house.client.get(room)
        assert answer.status_code == 403 and "Not allowed" in answer.text
    assert 'name="once"' not in house.client.get("/account/keys").text  # may make none
    token = csrf(house.client)
    for path in ("/account/keys", "/account/users/1/state"):
        assert house.client.post(path, data={"csrf": token}).status_code == 403


@long
def test_one_ends_another_session_of_ones_own_and_nobody_elses(house: House) -> None:
    elsewhere = TestClient(house.app, headers=HTML)
    sign_in(elsewhere, "otto")
    sign_in(house.client, "otto")
    vera = TestClient(house.app, headers=HTML)
    sign_in(vera, "vera")
    ids = dict(house.sql("SELECT user_agent || session_id, session_id FROM user_sessions"))
    ended = [i for i in ids.values() if f"/{i}/end" in house.client.get("/account").text]
    assert len(ended) == 2 and len(ids) == 3
    (others,) = set(ids.values()) - set(ended)
    token = csrf(house.client)
    stolen = house.client.post(f"/account/sessions/{others}/end", data={"csrf": token})
    assert stolen.status_code == 404 and vera.get("/account").status_code == 200
    for one in ended:
        house.client.post(f"/account/sessions/{one}/end", data={"csrf": token})
    assert elsewhere.get("/account", follow_redirects=False).status_code == 303


@long
def test_one_changes_ones_own_password(house: House) -> None:
    """A right that the page named, and had no form for: who signs in by a page kept what an admin had set."""
    client, new = house.client, "another-long-password"
    elsewhere = TestClient(house.app, headers=HTML)
    sign_in(elsewhere, "vera")
    sign_in(client, "vera")
    form = {"csrf": csrf(client), "current": PASSWORD, "password": new, "again": new}
    for wrong, status, said, chinese in (
        ({"again": new + "x"}, 422, "not the same in both fields", "两次输入的新密码不一致"),
        ({"current": "not the password"}, 401, "password is wrong", "用户名或密码不正确"),
        ({"password": "short", "again": "short"}, 422, "12 at least", "至少应有 12 个"),
    ):
        for language, words in (("en", said), ("zh", chinese)):
            client.headers["accept-language"] = language
            answer = client.post("/account/password", data={**form, **wrong})
            assert (answer.status_code, words in answer.text) == (status, True), answer.text
            assert new not in answer.text
    assert english_in(answer.text.replace("vera", "")) == []
    (here,) = re.findall(r'<a href="(/account[^"]*lang=zh[^"]*)"', answer.text)
    assert client.get(html.unescape(here)).status_code == 200  # as all links of the answer
    client.get("/account?lang=en")
    client.headers["accept-language"] = "en"
    # A password is never cut unseen: what is too long for bcrypt goes to the server, which says so.
    long = {"password": "0123456789" * 8, "again": "0123456789" * 8}
    answer = client.post("/account/password", data={**form, **long})
    assert (answer.status_code, "has 80 bytes" in answer.text) == (422, True), answer.text
    lengths = {
        int(found) for found in re.findall(r'type="password" maxlength="(\d+)"', answer.text)
    }
    assert min(lengths) > 80
    assert client.post("/account/password", data={**form, "csrf": "0" * 64}).status_code == 403
    assert elsewhere.get("/account", follow_redirects=False).status_code == 200
    done = client.post("/account/password", data=form, follow_redirects=False)
    assert (done.status_code, done.headers["location"]) == (303, "/sign-in")
    for browser in (client, elsewhere):
        assert browser.get("/account", follow_redirects=False).status_code == 303
    assert sign_in(client, "vera").status_code == 401
    assert sign_in(client, "vera", new).status_code == 303


# ------------------------------------------------------------------------ what it must withstand


TARGETS = (
    "https://evil.example/",
    "//evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/account/../../evil",
    "/account//evil.example",
    "/account@evil.example",
    "javascript:alert(1)",
    "/account\r\nSet-Cookie: a=b",
    "/account/keys\n",
    "/v1/users",
    "/account/" + "a/" * 200,
    "",
)
"""What would lead elsewhere, if it were believed."""


@long
def test_signing_in_leads_to_no_other_place(house: House) -> None:
    for target in TARGETS:
        assert next_place(target) == "/account"
        page = house.client.get("/sign-in", params={"next": target})
        assert field(page.text, "next") == "/account"
        done = sign_in(house.client, "vera", next=target)
        assert (done.status_code, done.headers["location"]) == (303, "/account")
        assert "a" not in house.client.cookies


def test_another_sites_page_signs_nobody_in(house: House) -> None:
    """Neither with a form of its own, nor with one that it was given itself."""
    client = house.client
    fields = {"username": "vera", "password": PASSWORD, "next": ""}
    bare = client.post("/sign-in", data=fields)
    assert bare.status_code == 403 and "truetonne_session" not in client.cookies
    evil = TestClient(house.app, headers=HTML)
    token = field(evil.get("/sign-in").text, "csrf")
    client.get("/sign-in")
    for wrong in (token, "", "x", "é"):
        answer = client.post("/sign-in", data={**fields, "csrf": wrong})
        assert answer.status_code == 403 and "truetonne_session" not in client.cookies
    right = field(client.get("/sign-in").text, "csrf")
    other = client.post(
        "/sign-in", data={**fields, "csrf": right}, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert other.status_code == 403
    for planted in ("", "x" * 42, "x" * 43, "x" * 5_000):
        victim = TestClient(house.app, headers=HTML, cookies={STRANGER_COOKIE: planted})
        answer = victim.post("/sign-in", data={**fields, "csrf": right})
        assert answer.status_code == 403


@pytest.mark.parametrize(
    ("base", "cookie", "more"),
    [
        ("https://park.example", f"__Host-{STRANGER_COOKIE}", {"secure", "path=/"}),
        ("http://127.0.0.1", STRANGER_COOKIE, {"path=/sign-in"}),
    ],
)
def test_the_cookie_of_the_form_to_sign_in(
    house: House, base: str, cookie: str, more: set[str]
) -> None:
    """docs/access.md: for that form alone, out of reach of scripts and of other sites."""
    given = TestClient(house.app, base_url=base, headers=HTML).get("/sign-in").headers["set-cookie"]
    name, _, value = given.split(";")[0].partition("=")
    assert name == cookie and re.fullmatch(r"[A-Za-z0-9_-]{43}", value)  # 256 bits
    flags = {part.strip().lower() for part in given.split(";")[1:]}
    assert flags == {"httponly", "samesite=strict"} | more


def test_a_host_beside_this_one_puts_nobody_into_its_session(house: House) -> None:
    """`evil.park.example` may give a browser cookies for `park.example`, but none with the prefix (RFC 6265bis)."""
    base = "https://registry.park.example"
    anna = TestClient(house.app, base_url=base, headers=HTML)
    assert sign_in(anna, "anna").status_code == 303
    held = anna.cookies["__Host-truetonne_session"]
    assert "truetonne_session" not in anna.cookies and anna.get("/account").status_code == 200
    planted = {"truetonne_session": held, STRANGER_COOKIE: "x" * 43}
    victim = TestClient(house.app, base_url=base, headers=HTML, cookies=planted)
    assert victim.get("/account", follow_redirects=False).status_code == 303
    assert victim.get("/v1/me").status_code == 401
    assert "/sign-out" not in victim.get("/").text
    token = hmac.new(b"x" * 43, b"truetonne sign-in", hashlib.sha256).hexdigest()
    fields = {"username": "anna", "password": PASSWORD, "next": "", "csrf": token}
    assert victim.post("/sign-in", data=fields).status_code == 403
    out = anna.post("/sign-out", data={"csrf": csrf(anna)}, follow_redirects=False)
    gone = next(v for v in out.headers.get_list("set-cookie") if v.startswith("__Host-truetonne"))
    assert {"Secure", "Path=/"} <= set(gone.split("; "))  # or no browser takes it
    assert anna.get("/account", follow_redirects=False).status_code == 303


def test_a_form_without_its_token_does_nothing(house: House) -> None:
    client = house.client
    sign_in(client, "anna")
    before = house.audit()
    for path in ("/sign-out", "/account/keys", "/account/keys/1/revoke", "/account/users/1/state"):
        for fields in ({}, {"csrf": ""}, {"csrf": "0" * 64}, {"csrf": ["a", "b"]}, {"csrf": "é"}):
            answer = client.post(path, data=fields)
            assert answer.status_code in (403, 422), (path, fields)
        # A script's header is no field: the form's token alone counts.
        token = csrf(client)
        assert client.post(path, json={"csrf": token}).status_code == 422
        cross = client.post(path, data={"csrf": token}, headers={"Sec-Fetch-Site": "same-site"})
        assert cross.status_code == 403
        assert house.audit() == before


def test_a_form_of_an_earlier_session_says_what_to_do(house: House) -> None:
    """Who opened it before signing in anew has the right all the same, and needs no other."""
    client = house.client
    sign_in(client, "anna")
    before = csrf(client)
    sign_in(client, "anna")
    for language, words in (("en", "Load its page anew"), ("zh", "请重新打开该页面")):
        said = client.post(f"/sign-out?lang={language}", data={"csrf": before})
        assert said.status_code == 403
        lead = re.search('<p class="lead">(.*?)</p>', said.text)
        assert lead is not None and words in lead[1]
    client.cookies.clear()


@few(2)
@pytest.mark.parametrize(
    ("sent_to", "page_of_it"),
    [
        ("/account/alerts/7/acknowledgement", "/account/alerts/7"),
        ("/account/keys", "/account/keys"),
        ("/account/keys/7/revoke", "/account/keys"),
        ("/account/users/7/state", "/account/users"),
        (f"/account/sessions/{'0' * 64}/end", "/account"),
        ("/account/password", "/account/password"),
    ],
)
def test_a_form_that_was_left_open_over_night_says_that_nothing_was_done(
    house: House, sent_to: str, page_of_it: str
) -> None:
    """And leads back to its page, by the form to sign in; so does one of an earlier session."""
    client = house.client
    sign_in(client, "anna")
    before = csrf(client)
    house.sql("UPDATE user_sessions SET expires_at = '2020-01-01 00:00:00.000000'")
    led = client.post(sent_to, data={"csrf": before, "note": "seen"}, follow_redirects=False)
    assert led.status_code == 303
    place = led.headers["location"]
    assert place == "/sign-in?" + urlencode({"next": page_of_it, "undone": 1})
    for language, words in (("en", "What you sent was not done"), ("zh", "没有执行")):
        shown = client.get(place, headers={"Accept-Language": language}).text
        assert words in shown and field(shown, "next") == page_of_it
    assert "was not done" not in client.get("/sign-in").text
    assert sign_in(client, "anna", next=page_of_it).headers["location"] == page_of_it
    old = client.post(sent_to, data={"csrf": before, "note": "seen"})
    assert old.status_code == 403 and f'<a class="button" href="{page_of_it}">' in old.text
    out = client.post("/sign-out", data={"csrf": csrf(client)}, follow_redirects=False)
    again = client.post("/sign-out", data={"csrf": before}, follow_redirects=False)
    assert out.headers["location"] == again.headers["location"] == "/sign-in"
    client.cookies.clear()


def test_a_form_that_lacks_something_says_that_it_is_the_form(house: House) -> None:
    client = house.client
    sign_in(client, "anna")
    form = client.get("/account/keys").text
    fields = {"csrf": field(form, "csrf"), "once": field(form, "once"), "name": "a", "days": "30"}
    for language, words in (("en", "the form is not filled in"), ("zh", "表单填写有误")):
        said = client.post(f"/account/keys?lang={language}", data=fields)  # without a scope
        assert said.status_code == 422 and words in said.text
    client.cookies.clear()


def test_guessing_ends_on_the_page_as_in_the_api(house: House) -> None:
    client = house.client
    said = [sign_in(client, "vera", "wrong password") for _ in range(6)]
    assert [each.status_code for each in said] == [401] * 5 + [429]
    assert int(said[-1].headers["retry-after"]) > 0
    assert sign_in(client, "vera").status_code == 429
    # An unknown name has the same words, and what was typed comes back as text.
    one = sign_in(client, "otto", "wrong password").text
    other = sign_in(client, '"><script>', "wrong password").text
    assert "The user name or the password is wrong".lower() in one.lower()
    assert "<script>" not in other.replace("<script src", "")
    strip = [re.sub(r'value="[^"]*"', "", each) for each in (one, other)]
    assert strip[0] == strip[1]
    assert PASSWORD not in one and "wrong password" not in one.lower().replace(
        "password is wrong", ""
    )


def test_guessing_ends_in_the_form_for_a_password_too(house: House) -> None:
    client = house.client
    sign_in(client, "vera")
    new = "another-long-password"
    form = {"csrf": csrf(client), "current": "wrong password", "password": new, "again": new}
    said = [client.post("/account/password", data=form) for _ in range(5)]
    # Whoever may not see sessions is not shown them beside what was wrong.
    vera = select(User).where(User.username == "vera")
    deny = partial(decide, right="sessions:read", granted=False, by=HOUSE)
    house.db.run(lambda session: deny(session, session.scalars(vera).one()))
    said.append(client.post("/account/password", data=form))
    assert ["testclient" in each.text for each in said] == [True] * 5 + [False]
    assert [each.status_code for each in said] == [401] * 5 + [429]
    assert int(said[-1].headers["retry-after"]) > 0
    assert said[-1].headers["cache-control"] == "no-store"


def test_the_rate_limit_counts_the_form_too(
    sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "ROUNDS", CHEAP_ROUNDS)
    shutil.copyfile(sqlite_template, tmp_path / "books.db")
    url = f"sqlite:///{tmp_path / 'books.db'}"
    limited = open_house(settings_for(tmp_path, url, rate_limit="2"))
    with limited.client as client:
        codes = [client.post("/sign-in", data={}, headers=HTML).status_code for _ in range(3)]
    assert codes == [422, 422, 429]


def test_what_is_no_form(house: House) -> None:
    for body, kind in (
        (b"\xff\xfe", "application/x-www-form-urlencoded"),
        (b"username=%ff&password=%ff", "application/x-www-form-urlencoded"),
        (b"&".join(b"a=1" for _ in range(500)), "application/x-www-form-urlencoded"),
        (b"username=a&username=b", "application/x-www-form-urlencoded"),
        (b"{}", "application/json"),
        (b"--x\r\n", "multipart/form-data; boundary=x"),
        (b"", ""),
    ):
        answer = house.client.post("/sign-in", content=body, headers={"content-type": kind})
        assert answer.status_code in (403, 422)
        assert answer.headers["content-security-policy"] == POLICY


def test_a_new_session_takes_the_place_of_the_one_before(house: House) -> None:
    """Nobody can plant a session: signing in gives another token, and ends what the browser had."""
    sign_in(house.client, "vera")
    first = house.client.cookies["truetonne_session"]
    sign_in(house.client, "otto")
    assert house.client.cookies["truetonne_session"] != first
    old = TestClient(house.app, cookies={"truetonne_session": first}, headers=HTML)
    assert old.get("/account", follow_redirects=False).status_code == 303
    assert "otto" in house.client.get("/account").text


def test_a_name_in_the_log_is_only_a_name(house: House) -> None:
    evil = TestClient(house.app, headers={**HTML, "user-agent": "<img src=x onerror=alert(1)>"})
    sign_in(evil, "anna")
    for room in ("/account", "/account/audit"):
        page = evil.get(room).text
        assert "<img src=x" not in page, room
    assert evil.get("/account/audit?user=%3Cscript%3E").status_code == 422
    filtered = evil.get("/account/audit?user=anna&action=&resource=").text
    assert "sessions.begin" in filtered and "users.add" not in filtered.partition("<tbody>")[2]


def test_webhooks_and_what_they_were_sent(house: House) -> None:
    """With a receiver that is gone, and whose answer is a script."""
    moment = utc()
    with house.db.write() as session:
        session.add(
            WebhookEndpoint(
                id=1,
                url="https://receiver.example/hook?<b>",
                description="Mühle & Co",
                event_types=["credit.issued"],
                secret_sealed="sealed",
                state=EndpointState.DISABLED,
                reason="it answered 410, Gone",
                told_block=66,
                created_at=moment,
            )
        )
        session.add(
            WebhookMessage(
                id=1,
                message_id="msg_" + "a" * 26,
                event_type="credit.issued",
                body="{}",
                tx_hash="0x" + "77" * 32,
                block_number=66,
                created_at=moment,
            )
        )
        session.flush()
        session.add(
            WebhookDelivery(
                id=1,
                endpoint_id=1,
                message_row=1,
                state=DeliveryState.FAILED,
                tries=1,
                due_at=moment,
                created_at=moment,
            )
        )
        session.flush()
        session.add(
            WebhookTry(
                delivery_id=1,
                at=moment,
                duration_ms=5,
                http_status=410,
                error="answered 410: <script>alert(1)</script>",
            )
        )
    sign_in(house.client, "otto")
    listed = house.client.get("/account/webhooks").text
    assert 'href="/account/webhooks/1"' in listed and "hook?&lt;b&gt;" in listed
    one = house.client.get("/account/webhooks/1").text
    assert "Mühle &amp; Co" in one and "<script>alert" not in one and "&lt;script&gt;" in one
    assert "it answered 410, Gone" in one
    chinese = house.client.get("/account/webhooks/1", headers={"accept-language": "zh"}).text
    assert "对方答复 410" in chinese and "已停用" in chinese
    assert house.client.get("/account/webhooks/1?state=lost").status_code == 422
    assert house.client.get("/account/webhooks/999").status_code == 404
