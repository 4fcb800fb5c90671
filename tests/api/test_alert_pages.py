"""The pages of alerts, and their figures: what stands first, who may see them, what a form does, and hostile names."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event
from sqlalchemy.orm import Session

from api.pages.rendering import POLICY
from api.park.alerts import AlertParameters, list_alerts, open_alerts
from ledger.db import Database
from ledger.models import Device, DeviceAlert, DeviceType, Meter, Site
from ledger.models.devices import AlertSeverity, AlertStatus, DeviceStatus
from ledger.models.sites import MeterRole
from ledger.models.users import UserRole
from tests.api.test_chinese import english_in
from tests.api.test_metrics import read
from tests.api.test_signing import HTML, csrf, field, sign_in
from tests.support.forms import long
from tests.support.identity import House, new_house

SHORT_ON_MARIADB = ["test_what_is_open_stands_first_page_by_page"]
T0 = datetime(2026, 11, 20, 16, tzinfo=UTC)
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)> \u202egpj.exe'
ABOVE = {
    "metric": "active_power",
    "since": "2026-11-20T16:00:00Z",
    "limit": "2100",
    "unit": "kW",
    "minutes": 20,
    "worst": "2250.5",
}
KINDS = (
    ("above", ABOVE),
    ("below", {"metric": "soc", "since": "2026-11-20T16:00:00Z", "limit": "0.50", "unit": "V"}),
    ("rate", {"metric": "soc", "limit": "500", "minutes": 10, "since": "2026-11-20T16:00:00Z"}),
    ("missing", {"metric": "soc", "minutes": 60, "since": "2026-11-20T16:00:00Z"}),
    ("stuck", {"metric": "soc", "minutes": 720, "since": "2026-11-20T16:00:00Z"}),
)


def devices(session: Session) -> None:
    """Two devices: the meter of the first is of a site in Shanghai, the second has none and a hostile name."""
    session.add(DeviceType(type_name="turbine", category="generation"))
    session.add(Site(id=1, code="park", name="Park", time_zone="Asia/Shanghai", country="CN"))
    session.flush()
    for number, code, name in ((1, "W1", "Wind one"), (2, "W2", HOSTILE)):
        session.add(
            Device(id=number, device_id=code, name=name, type="turbine", status=DeviceStatus.ONLINE)
        )
    session.flush()
    session.add(
        Meter(id=1, site_id=1, device_id=1, serial="S1", role=MeterRole.GENERATION, calibrated=True)
    )


def alert(number: int, **more: Any) -> DeviceAlert:
    """Return an alert of the first device."""
    given: dict[str, Any] = {
        "device_id": 1,
        "alert_type": f"other-{number}",
        "severity": AlertSeverity.LOW,
        "message": "Door.",
        "status": AlertStatus.ACTIVE,
        "triggered_at": T0,
        **more,
    }
    if given["status"] is AlertStatus.RESOLVED:
        given.setdefault("resolved_at", T0 + timedelta(hours=1))
    return DeviceAlert(id=number, **given)


# ------------------------------------------------------------------------ the list


@long
def test_what_is_open_stands_first_page_by_page(db: Database) -> None:
    """Each filter, each size of a page: as sorting all of them gives."""
    with db.write() as session:
        devices(session)
        number = 0
        for _ in range(2):
            for severity in AlertSeverity:
                for status in AlertStatus:
                    number += 1
                    device = 1 + number % 2
                    session.add(alert(number, device_id=device, severity=severity, status=status))
    with db.read() as session:
        every = [
            (row.id, row.device_id, row.severity, row.status) for row in session.query(DeviceAlert)
        ]
        assert len(every) == 24
        gravity = list(AlertSeverity)

        def place(row: Any, order: str) -> tuple[bool, int, int]:
            over = row[3] is AlertStatus.RESOLVED
            number = row[0] if order == "asc" else -row[0]
            return over, 0 if over else -gravity.index(row[2]), number

        for asked in (
            {},
            {"order": "asc"},
            {"order": "asc", "site": "park", "severity": "high"},
            {"device": "W2"},
            {"site": "park"},
            {"state": "resolved"},
            {"state": "acknowledged", "severity": "high"},
            {"site": "park", "device": "W1", "severity": "critical"},
            {"site": "park", "device": "W2"},
            {"device": "nothing"},
            {"site": "nothing"},
        ):
            of = {"W1": 1, "W2": 2}.get(asked.get("device", ""), 0 if "device" in asked else None)
            site = {"park": 1, "nothing": 0, None: None}[asked.get("site")]
            wanted = [
                row[0]
                for row in sorted(every, key=lambda row: place(row, asked.get("order", "desc")))
                if of in (None, row[1])
                and site in (None, row[1])
                and asked.get("severity") in (None, row[2])
                and asked.get("state") in (None, row[3])
            ]
            for limit in (1, 5, 8, 100):
                assert walked(session, {**asked, "limit": limit}) == wanted, (asked, limit)
        counts = open_alerts(session)
    assert list(counts) == [(s, a) for s in reversed(gravity) for a in list(AlertStatus)[:2]]
    assert set(counts.values()) == {2}


def walked(session: Session, asked: dict[str, Any]) -> list[int]:
    found: list[int] = []
    cursor = None
    while True:
        page = list_alerts(session, AlertParameters.model_validate({**asked, "cursor": cursor}))
        assert len(page.rows) <= asked["limit"]
        found += [item.id for item in page.rows]
        cursor = page.next_cursor
        if cursor is None:
            return found


def test_no_question_about_alerts_reads_the_table_whole(sqlite_db: Database) -> None:
    """On SQLite; on MariaDB see ``test_park_plans``."""
    made: list[tuple[str, Any]] = []
    with sqlite_db.read() as session:
        link = session.connection()
        event.listen(link, "before_cursor_execute", lambda *given: made.append(given[2:4]))
        open_alerts(session)
        for asked in (
            {},
            {"order": "asc"},
            {"device": "W1"},
            {"site": "park"},
            {"severity": "high"},
        ):
            list_alerts(session, AlertParameters.model_validate(asked))
    assert len(made) > 9
    with sqlite_db.read() as session:
        link = session.connection()
        for statement, values in made:
            steps = link.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).mappings()
            for step in steps:
                assert "SCAN device_alerts" not in step["detail"], (statement, step["detail"])


# ------------------------------------------------------------------------ the pages


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A house with two devices, otto, who may handle alerts, and vera, who may see them."""
    with new_house(tmp_path) as opened:
        opened.client.headers.update(HTML)
        opened.add("otto", UserRole.OPERATOR)
        opened.add("vera", UserRole.VIEWER)
        opened.db.run(devices)
        yield opened


def put(house: House, *alerts: DeviceAlert) -> None:
    with house.db.write() as session:
        session.add_all(alerts)


def states(house: House) -> list[Any]:
    return house.sql("SELECT status FROM device_alerts ORDER BY id")


def test_an_alert_is_found_acknowledged_and_resolved_once_each(house: House) -> None:
    put(house, alert(1, alert_type="above", severity=AlertSeverity.CRITICAL, details=ABOVE))
    client = house.client
    asked = client.get("/account/alerts", follow_redirects=False)
    assert asked.headers["location"] == "/sign-in?next=%2Faccount%2Falerts"
    assert "/account/alerts" not in client.get("/operations").text  # a stranger is not led there
    done = sign_in(client, "otto", next="/account/alerts/1")
    assert done.headers["location"] == "/account/alerts/1"
    assert 'href="/account/alerts"' in client.get("/operations").text
    assert 'href="/account/alerts?site=park"' in client.get("/sites/park").text

    listed = client.get("/account/alerts?site=park&device=&severity=critical&state=active")
    assert listed.headers["cache-control"] == "no-store"
    assert listed.headers["content-security-policy"] == POLICY
    assert "<code>active_power</code> above 2,100 kW for 20 minutes" in listed.text
    assert "2,250.5 kW at the worst" in listed.text
    assert ">2026-11-21 00:00:00 +0800</time>" in listed.text  # legal time of the site
    page = client.get("/account/alerts/1").text
    assert 'href="/sites/park"' in page and "Wind one" in page
    seen = {"csrf": field(page, "csrf"), "note": " blades <b>iced</b> "}
    form = re.search(r'acknowledgement">.*?</form>', page, re.DOTALL)
    assert form is not None
    seen["once"] = field(form[0], "once")
    for _ in range(2):  # the browser sends it again
        answer = client.post("/account/alerts/1/acknowledgement", data=seen, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/account/alerts/1")
    assert states(house) == [("acknowledged",)]
    page = client.get("/account/alerts/1").text
    assert "Seen by" in page and "blades &lt;b&gt;iced&lt;/b&gt;" in page and "<b>iced" not in page
    assert "/acknowledgement" not in page  # nothing left to acknowledge
    listed = client.get("/account/alerts").text
    assert "otto</bdi>: <bdi>blades" in listed
    named = '<bdi>W1</bdi><br><bdi class="quiet">Wind one</bdi>'
    assert f'<td>{named}<br><bdi class="quiet">park</bdi></td>' in listed and named in page

    ended = {"csrf": field(page, "csrf"), "once": field(page, "once"), "note": "thawed"}
    for _ in range(2):
        answer = client.post("/account/alerts/1/resolution", data=ended, follow_redirects=False)
        assert answer.status_code == 303
    assert states(house) == [("resolved",)]
    page = client.get("/account/alerts/1").text
    assert "thawed" in page and 'method="post" action="/account' not in page
    acts = [entry for entry in house.audit() if entry[0].startswith("alerts.")]
    assert acts == [
        ("alerts.acknowledge", "device_alerts/1"),
        ("alerts.resolve", "device_alerts/1"),
    ]


@long
def test_what_cannot_be_done_is_said_in_both_languages(house: House) -> None:
    put(house, alert(1), alert(2, status=AlertStatus.RESOLVED))
    client = house.client
    sign_in(client, "otto")
    page = client.get("/account/alerts/1").text
    fields = {"csrf": field(page, "csrf"), "once": field(page, "once")}
    new = {**fields, "once": "k" * 32}
    for language, *said in (
        ("en", "say in a note", "is resolved", "there is no alert 9", "the page sends no such"),
        ("zh", "请写明为什么", "为“已处理”", "没有告警 9", "页面没有这样的表单"),
    ):
        client.headers["accept-language"] = language
        answers = (
            client.post("/account/alerts/1/resolution", data={**fields, "note": " "}),
            client.post("/account/alerts/2/acknowledgement", data={**new, "note": ""}),
            client.get("/account/alerts/9"),
            client.post("/account/alerts/1/resolution", data={"csrf": fields["csrf"], "note": "x"}),
        )
        assert [answer.status_code for answer in answers] == [422, 409, 404, 422]
        assert {"en": "Nothing was done.", "zh": "没有执行任何操作"}[language] in answers[1].text
        for answer, words in zip(answers, said, strict=True):
            assert words in answer.text, words
            sent_to = answer.request.url.path if answer.request.method == "POST" else ""
            back = sent_to.rpartition("/")[0] or "/"  # there stands who was first
            assert f'<a class="button" href="{back}">' in answer.text
            assert language == "en" or english_in(answer.text.replace("alert-state", "")) == []
    client.headers["accept-language"] = "en"
    long = client.post("/account/alerts/1/resolution", data={**new, "note": "x" * 501})
    assert long.status_code == 422 and "note" in long.text
    for path in ("/account/alerts/1/acknowledgement", "/account/alerts/1/resolution"):
        for wrong in ({}, {"csrf": "0" * 64}):
            answer = client.post(path, data={**new, "note": "x", "csrf": "", **wrong})
            assert answer.status_code == 403
    assert states(house) == [("active",), ("resolved",)]
    for query in (
        "state=gone",
        "severity=x",
        "cursor=x",
        f"device={'x' * 101}",
        f"site={'9' * 51}",
    ):
        for language in ("en", "zh"):
            answer = client.get(f"/account/alerts?{query}", headers={"accept-language": language})
            assert answer.status_code == 422, query
            said = answer.text.replace("bad-request", "")
            assert query.partition("=")[0] in said, query
            named = ("active", "acknowledged", "resolved", "low", "medium", "high", "critical")
            for word in (*named, "state", "severity", "cursor", "device", "site"):
                said = said.replace(word, "")
            assert language == "en" or english_in(said) == [], query


def test_the_next_page_is_of_the_same_alerts(house: House) -> None:
    """The fields that were left empty are in the address, too."""
    put(house, *(alert(n, severity=list(AlertSeverity)[n % 2]) for n in range(1, 8)))
    sign_in(house.client, "vera")
    place, seen = "/account/alerts?site=park&device=&severity=low&state=&limit=2", []
    while place:
        page = house.client.get(place)
        assert page.status_code == 200
        seen += [int(found) for found in re.findall(r'href="/account/alerts/(\d+)"', page.text)]
        place = html.unescape((re.findall(r'href="([^"]+)" rel="next"', page.text) or [""])[0])
    assert seen == [6, 4, 2]


def test_who_may_see_alerts_and_not_handle_them_has_no_form(house: House) -> None:
    put(house, alert(1))
    sign_in(house.client, "vera")
    page = house.client.get("/account/alerts/1").text
    assert "Door." in page and 'name="once"' not in page
    fields = {"csrf": csrf(house.client), "once": "k" * 32, "note": "x"}
    for act in ("acknowledgement", "resolution"):
        answer = house.client.post(f"/account/alerts/1/{act}", data=fields)
        assert answer.status_code == 403
    assert states(house) == [("active",)]


@long
def test_a_hostile_message_is_only_text(house: House) -> None:
    """Another system wrote it, or another program into the table; details are whatever it liked."""
    odd = (
        {"metric": HOSTILE, "limit": "1", "unit": HOSTILE, "worst": "1", "since": "9999-12-31T23"},
        {"metric": "soc", "limit": "NaN", "since": "9999-12-31T23:59:59-12:00"},
        {"metric": "soc", "limit": "1e999999", "since": 5},
        {"metric": ["soc"], "limit": "1", "acknowledged_by": 7, "resolved_by": HOSTILE},
        {"acknowledged_by": HOSTILE, "acknowledged_note": HOSTILE, "acknowledged_at": HOSTILE},
    )
    put(
        house,
        *(
            alert(n, device_id=2, alert_type="above", message=HOSTILE, details=details)
            for n, details in enumerate(odd, 1)
        ),
        alert(8, device_id=2, alert_type=HOSTILE[:50], message=HOSTILE, details={}),
    )
    sign_in(house.client, "otto")
    for number in ("", "/1", "/2", "/3", "/4", "/5", "/8"):
        answer = house.client.get(f"/account/alerts{number}")
        assert answer.status_code == 200, number
        assert "<script>alert" not in answer.text and "<img src=x" not in answer.text
        assert "\u202e" not in answer.text and "&lt;script&gt;" in answer.text
        assert "&amp;" not in answer.text  # escaped once
    searched = house.client.get("/account/alerts", params={"device": HOSTILE})
    assert searched.status_code == 200 and "<script>alert" not in searched.text


def test_an_alert_without_a_message_is_led_to_by_its_type(house: House) -> None:
    put(house, *(alert(n, message=said) for n, said in enumerate(("", " "), 1)))
    sign_in(house.client, "vera")
    page = house.client.get("/account/alerts").text
    for number in (1, 2):
        assert f'href="/account/alerts/{number}"><bdi>other-{number}</bdi></a>' in page


def test_what_was_taken_back_says_so_and_not_when_its_values_returned(house: House) -> None:
    """Of what a person resolved it is noted as values that returned at once, when it began."""
    word = {"resolved_by": "otto", "resolved_at": "2026-11-20T17:00:00Z", "resolved_note": "so"}
    later = "2026-11-20T18:00:00Z"
    details = (
        {**ABOVE, **word, "values_returned_at": ABOVE["since"]},
        {**ABOVE, **word, "values_returned_at": later},
        {**ABOVE, **word, "values_returned_at": None},
        {**word, "values_returned_at": None},
        {**ABOVE, "acknowledged_by": "otto", "withdrawn": True},
    )
    resolved = AlertStatus.RESOLVED
    put(
        house,
        *(
            alert(n, alert_type="above", status=resolved, details=each)
            for n, each in enumerate(details, 1)
        ),
    )
    sign_in(house.client, "vera")
    pages = [house.client.get(f"/account/alerts/{n}").text for n in range(1, 6)]
    assert ["taken back:" in page for page in pages] == [True, False, False, False, True]
    assert ["Values returned" in page for page in pages] == [False, True, False, False, False]
    assert ">2026-11-21 02:00:00 +0800</time>" in pages[1]


def test_a_chinese_page_of_alerts_is_chinese(house: House) -> None:
    client = house.client
    sign_in(client, "otto")
    client.headers["accept-language"] = "zh"
    empty = client.get("/account/alerts").text
    assert "没有告警。" in empty and english_in(empty.replace("otto", "")) == []
    assert "没有符合条件的告警" in client.get("/account/alerts?state=resolved").text
    word = {"acknowledged_by": "otto", "acknowledged_at": "2026-11-20T17:00:00Z"}
    put(
        house,
        *(
            alert(n, alert_type=kind, details={**details, **word}, message="In English.")
            for n, (kind, details) in enumerate(KINDS, 1)
        ),
    )
    for place in ("", *(f"/{n}" for n in range(1, 6))):
        page = client.get(f"/account/alerts{place}").text
        assert "In English" not in page
        told = page.replace("otto", "").replace(" V", "")  # names, and a unit
        assert english_in(told) == [], place
    assert "高于 2,100 千瓦，持续 20 分钟" in client.get("/account/alerts/1").text


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (1, "above 2,100 kW for 1 minute<"),
        (3, "changed by more than 500 in 1 minute<"),
        (4, "missing for more than 1 minute<"),
        (5, "the same for 1 minute<"),
    ],
)
def test_one_minute_is_one(house: House, number: int, said: str) -> None:
    kind, details = KINDS[number - 1]
    put(house, alert(number, alert_type=kind, details={**details, "minutes": 1}))
    sign_in(house.client, "vera")
    assert said in house.client.get(f"/account/alerts/{number}").text


# ------------------------------------------------------------------------ figures


def test_figures_of_open_alerts_are_for_who_may_see_alerts(house: House) -> None:
    put(
        house,
        alert(1, severity=AlertSeverity.CRITICAL),
        alert(2, severity=AlertSeverity.CRITICAL),
        alert(3, status=AlertStatus.ACKNOWLEDGED),
        alert(4, status=AlertStatus.RESOLVED),
    )
    house.add("anna", UserRole.ADMIN)
    _, program = house.key(house.sign_in("anna"), "park:read")
    stranger = TestClient(house.app)
    assert "device_alerts" not in stranger.get("/metrics", headers=program).text
    assert stranger.get("/v1/park/metrics").status_code == 401
    answer = stranger.get("/v1/park/metrics", headers=program)
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    found = read(answer.text)
    name = "truetonne_device_alerts"
    assert found[name, 'severity="critical",state="active"'] == 2
    assert found[name, 'severity="low",state="acknowledged"'] == 1
    assert sorted(found.values()) == [0] * 6 + [1, 2]
