"""The pages in a real Chromium: an auditor's way from a name to a verified proof, and that everybody can go it."""

import hashlib
import json
import os
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.audit import HOUSE
from ledger.chain.keys.signers import anvil_address
from ledger.identity import passwords, users
from ledger.models import ChainCursor, CreditBatch, Device, DeviceAlert
from ledger.models.devices import AlertSeverity, AlertStatus
from ledger.models.users import UserRole
from ledger.proofs.verifier import verify
from ledger.sealing import load_sealer
from tests.support.browser import Page, browser, find_chromium
from tests.support.forms import is_long, long, rest
from tests.support.identity import CHEAP_ROUNDS, PASSWORD
from tests.support.pages import BATCH, CHINESE, HOSTILE, RETIRED, served_pages, shown_park
from tests.support.park import PROJECT, Park
from tests.support.proven import bundle

pytestmark = pytest.mark.browser

AXE = Path(__file__).resolve().parents[2] / "node_modules" / "axe-core" / "axe.min.js"
PHONE = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
PAGES = (
    "/",
    "/search?q=park",
    "/credits",
    f"/credits/{RETIRED}",
    f"/credits/{RETIRED}/days/2014-01-31",
    "/retirements/1",
    "/retirements/2",
    "/projects",
    f"/projects/{PROJECT}",
    "/sites/park",
    "/settlements",
    "/settlements/1",
    "/operations",
    "/retirements",
    "/plants",
    "/plants/plant",
    "/sign-in",
    "/holders/0x" + "aa" * 20,
    "/nothing-is-here",
    "/verify",
    "/settlements?vpp_code=plant",
    f"/holders/{anvil_address(4)}",  # the plant's
)
AXE_RUN = """axe.run(document, {resultTypes: ['violations'],
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})
  .then((found) => JSON.stringify(found.violations
    .filter((item) => ['moderate', 'serious', 'critical'].includes(item.impact))
    .map((item) => [item.id, item.nodes.slice(0, 3).map((node) => node.html.slice(0, 160))])))"""
NAMES_AND_UNITS = {
    *(
        "Truetonne",
        "UTC",
        "PDF",
        "JSON",
        "SHA",
        "CO",
        "kW",
        "kWh",
        "MWh",
        "gas",
        "API",
        "truetonne",
    ),
    *(
        "status",
        "reconcile",
        "verify",
        "up",
        "users",
        "add",
        "openapi",
        "json",
    ),  # commands and places
    *(
        "Europe",
        "Paris",
        "local",
        "FR",
        "CN",
        "CCER",
        "CM",
        "CarbonCredit",
        "VppSettlement",
        "wind",
    ),
    *(
        "turbine",
        "serial",
        "internal",
        "Park",
        "Plant",
        "day",
        "ahead",
        "tEUR",
    ),  # what the park's file calls them
}
REACHABLE = """Array.from(document.querySelectorAll('a[href], button, input, summary, [tabindex="0"]'))
  .filter((item) => item.checkVisibility({visibilityProperty: true})
    && !item.closest('details:not([open]) > :not(summary)')).length"""
WATCH = """document.activeElement.blur(); window.reached = new Set(); window.unseen = [];
  document.addEventListener('focusin', ({target}) => {
    reached.add(target);
    if (getComputedStyle(target).outlineStyle === 'none') unseen.push(target.outerHTML.slice(0, 99));
  })"""


@pytest.fixture(scope="module")
def park(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Park]:
    if find_chromium() is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI must run the tests in a browser: Chromium is not installed")
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    with shown_park(tmp_path_factory.mktemp("pages")) as made:
        yield made


@pytest.fixture(scope="module")
def site(park: Park) -> Iterator[str]:
    with served_pages(park) as address:
        yield address


@pytest.fixture(scope="module")
def opened() -> Iterator[Page]:
    with browser() as page:
        page.call("Page.bringToFront")
        yield page


@pytest.fixture
def page(opened: Page) -> Iterator[Page]:
    """The one page; a test that leaves a complaint in its console fails."""
    opened.call("Network.clearBrowserCookies")
    opened.requests.clear()
    opened.complaints.clear()
    yield opened
    opened.call("Emulation.clearDeviceMetricsOverride")
    opened.call("Emulation.setEmulatedMedia", features=[])
    assert opened.complaints == []


def text(page: Page, selector: str) -> str:
    return str(page.run(f"document.querySelector({json.dumps(selector)}).textContent.trim()"))


def press(page: Page, key: str, code: int = 0, times: int = 1) -> None:
    for _ in range(times):
        for kind in ("rawKeyDown", "keyUp"):
            page.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code)


def type_in(page: Page, words: str) -> None:
    page.call("Input.insertText", text=words)


def go(page: Page, action: str, condition: str) -> None:
    page.run(f"void ({action})")
    page.wait(f"document.readyState === 'complete' && ({condition})")


# ------------------------------------------------------------------------ the auditor's way


def test_from_a_search_to_a_verified_proof(
    page: Page, site: str, park: Park, tmp_path: Path
) -> None:
    page.open(site + "/")
    page.run("document.getElementById('q').focus()")
    type_in(page, BATCH)
    page.wait("document.querySelector('#hits a') !== null")  # as one types
    go(
        page,
        f"document.querySelector('#hits a[href=\"/credits/{RETIRED}\"]').click()",
        "location.pathname.startsWith('/credits/')",
    )
    assert text(page, "h1") == RETIRED

    # The picture leads from the meter to the retirement.
    links = page.run(
        "Array.from(document.querySelectorAll('.flow.wide a'), (a) => a.getAttribute('href'))"
    )
    assert links[0] == "/sites/park#meters" and links[-2:] == ["/retirements/1", "/retirements/2"]
    assert f"/credits/{RETIRED}" in links and "#readings" in links and "#manifest" in links

    # The chart is drawn, and its tables say what is left out.
    page.wait("document.querySelector('.plot canvas') !== null")
    assert page.run("document.querySelector('.plot canvas').width > 300")
    reasons = page.run(
        "Array.from(document.querySelectorAll('.reasons li'), (item) => item.textContent)"
    )
    assert [item.split()[0] for item in reasons] == ["6", "1", "1", "1"]
    assert "impossible: above 1.2 × rated power" in reasons[2]

    # The day's table comes into the page.
    page.run("document.querySelector('.meter details:last-of-type').open = true")
    page.run("document.querySelector('a[href$=\"/days/2014-01-31\"]').click()")
    page.wait("document.querySelector('#day tbody tr') !== null")
    assert page.run("document.querySelectorAll('#day tr.marked').length") == 3
    assert text(page, "#day h3") == "Readings of 2014-01-31 A · Europe/Paris · meter.csv"
    assert text(page, "#day tbody td.n:nth-last-of-type(2)") == "2"  # after the header
    proof = page.run("document.querySelector('#day td a').getAttribute('href')")
    assert (
        page.run(f"fetch('{proof}').then((answer) => answer.json()).then((it) => it.proof.length)")
        > 5
    )

    # The proof, downloaded, is one that the command verifies.
    page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    page.run("document.getElementById('download').click()")
    file = downloaded(tmp_path, f"{RETIRED}.bundle.json")
    with park.db.read() as session:  # it is made against the last final block
        final = session.scalars(select(ChainCursor.final_number)).one()
    verdict = verify(file.read_text(), bundle(park, RETIRED, block=final).trusted)
    assert verdict.facts["retired"]["beneficiary"] == CHINESE

    # And verified in the page, by the same checks in the same words.
    page.run("document.querySelector('#prove button').click()")
    page.wait("['valid', 'invalid'].includes(document.getElementById('verdict').dataset.state)")
    assert (
        text(page, ".outcome")
        == "Verified: every check holds. At least one of the four values is this registry's word."
    )
    held = page.run(
        "Array.from(document.querySelectorAll('.checks li'), (item) => item.textContent)"
    )
    assert (
        len(held) == len(verdict.checks) and held[1:] == [words for _, words in verdict.checks][1:]
    )

    # A reader who puts in her own values finds the same ones at an honest registry; they are hers all the same.
    for name in ("block_hash", "address", "code_hash", "chain_id"):
        own = page.run(f"document.querySelector('[name={name}]').value")
        page.run(f"document.querySelector('[name={name}]').select()")
        page.call("Input.insertText", text=own)
        assert text(page, ".outcome") == ""  # what was said was of other values
    page.run("document.querySelector('#prove button').click()")
    page.wait("document.getElementById('verdict').dataset.state === 'valid'")
    assert text(page, ".outcome") == "Verified: every check holds. The four values are yours."

    # With another block than the registry's, it is not valid, and says why.
    page.run("document.querySelector('[name=block_hash]').value = '0x' + '11'.repeat(32)")
    page.run("document.querySelector('#prove button').click()")
    page.wait("document.getElementById('verdict').dataset.state === 'invalid'")
    assert text(page, ".outcome").startswith("Not valid: block: it is block ")
    assert {address.split("/")[2] for address in page.requests if address.startswith("http")} == {
        site.split("/")[2]
    }


def downloaded(folder: Path, name: str) -> Path:
    """Wait for a file to be there, and whole."""
    file, end = folder / name, time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < end, list(folder.iterdir())
        time.sleep(0.02)
    return file


@long
def test_without_a_node_the_page_says_so(page: Page, park: Park) -> None:
    with served_pages(park, "http://127.0.0.1:1") as address:
        page.open(f"{address}/credits/{RETIRED}?lang=zh")
        page.run("document.querySelector('#prove button').click()")
        page.wait("document.getElementById('verdict').dataset.state === 'invalid'")
        assert text(page, ".outcome") == "无法获取证明： 节点没有响应，请稍后再试 (node-down)"
    (note,) = page.complaints
    assert "503" in note
    page.complaints.clear()


def test_a_proof_that_cannot_be_says_why_in_chinese(page: Page, site: str) -> None:
    """In the page, and as a page to whoever follows the link."""
    why = f"序列号 1 至 150 已注销，151 至 200 有效：请只取其中一段，例如 {BATCH}-1-150"
    page.open(f"{site}/credits/{RETIRED}?lang=zh")
    mixed = f"/credits/{BATCH}-1-200/bundle.json"
    page.run(f"document.getElementById('prove').dataset.bundle = '{mixed}'")
    page.run("document.querySelector('#prove button').click()")
    page.wait("document.getElementById('verdict').dataset.state === 'invalid'")
    assert text(page, ".outcome") == f"无法获取证明： {why} (mixed-serials)"
    page.open(site + mixed)
    assert why in text(page, ".problem")
    assert all("422" in note for note in page.complaints)
    page.complaints.clear()


def test_a_proof_of_a_service_that_is_gone_is_no_defect(page: Page, site: str) -> None:
    """The browser's own words, which are English, are not the reader's."""
    page.open(f"{site}/credits/{RETIRED}?lang=zh")
    page.run("document.getElementById('prove').dataset.bundle = 'http://127.0.0.1:1/'")
    page.run("document.querySelector('#prove button').click()")
    page.wait("document.getElementById('verdict').dataset.state === 'invalid'")
    assert text(page, ".outcome") == "无法获取证明： 本服务没有响应，请稍后再试。"
    page.complaints.clear()


@long
def test_a_period_is_read_month_by_month_and_back(page: Page, site: str) -> None:
    page.open(f"{site}/credits/{RETIRED}")
    page.wait("document.querySelector('.plot canvas') !== null")
    january = text(page, ".meter h3")
    assert "2014-01-31 – 2014-01-31" in january
    page.run("document.querySelector('#month nav a:last-child').click()")
    page.wait("document.querySelector('.meter h3')?.textContent.includes('2014-02-01')")
    page.wait("document.querySelector('.plot canvas') !== null")
    assert page.run("location.search") == "?month=2014-02"
    assert text(page, "#month .good") == "Every slot has a reading that counts."
    page.run("history.back()")
    page.wait("location.search === '' && document.querySelector('.meter h3') !== null")
    page.wait(f"document.querySelector('.meter h3')?.textContent.trim() === {json.dumps(january)}")
    assert page.run("document.querySelectorAll('h1').length") == 1


def test_a_certificate_is_downloaded(page: Page, site: str, tmp_path: Path) -> None:
    page.open(site + "/retirements/1")
    assert text(page, ".beneficiary") == CHINESE
    page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    page.run("document.getElementById('pdf').click()")
    data = downloaded(tmp_path, "truetonne-retirement-1.pdf").read_bytes()
    assert data.startswith(b"%PDF-") and hashlib.sha256(data).hexdigest() == text(page, "#sha256")


CUT_OFF = """[...document.querySelectorAll("main *")]
    .filter((each) => each.clientWidth && getComputedStyle(each).overflowX !== "visible"
        && (each.scrollWidth > each.clientWidth + 1 || each.scrollHeight > each.clientHeight + 1))
    .map((each) => `${each.tagName}.${each.className}`)"""
"""What does not show all that it holds."""


def test_what_is_printed_is_dark_on_white(page: Page, site: str) -> None:
    """Browsers print no backgrounds: the light words of a dark page would be lost."""
    for theme in ("dark", "light", "auto"):
        page.call(
            "Emulation.setEmulatedMedia",
            media="screen",
            features=[{"name": "prefers-color-scheme", "value": "dark"}],
        )
        page.open(f"{site}/retirements/1?theme={theme}")
        page.call(
            "Emulation.setEmulatedMedia",
            media="print",
            features=[{"name": "prefers-color-scheme", "value": "dark"}],
        )
        for part in ("body", ".amount", ".whole-hash", "dt"):
            colour = page.run(f"getComputedStyle(document.querySelector('{part}')).color")
            red, green, blue = (int(number) for number in re.findall(r"\d+", colour))
            assert max(red, green, blue) < 128, (theme, part, colour)
    page.call("Emulation.setEmulatedMedia", media="", features=[])


@long
def test_a_sheet_of_paper_has_all_of_a_page(page: Page, site: str) -> None:
    """Nothing can be scrolled on it. 718 px are a sheet of A4 between its margins."""
    page.call("Emulation.setDeviceMetricsOverride", **{**PHONE, "width": 1280, "mobile": False})
    page.open(f"{site}/credits/{RETIRED}?theme=dark")
    page.wait("document.querySelectorAll('.plot canvas').length > 0")
    page.run("dispatchEvent(new Event('beforeprint'))")  # what a browser tells before it prints
    assert page.run("document.querySelector('.plot canvas').clientWidth") <= 640
    colour = page.run("getComputedStyle(document.body).color")
    assert max(int(number) for number in re.findall(r"\d+", colour)) < 128, colour
    page.run("dispatchEvent(new Event('afterprint'))")
    page.wait("document.querySelector('.plot canvas').clientWidth > 640")
    assert page.run("document.documentElement.dataset.theme") == "dark"
    page.call("Emulation.setDeviceMetricsOverride", **{**PHONE, "width": 718, "mobile": False})
    for path in ("/credits?lang=en", f"/credits/{RETIRED}?lang=en", f"/projects/{PROJECT}?lang=zh"):
        page.open(site + path)
        page.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        page.call("Emulation.setEmulatedMedia", media="print")
        assert page.run(CUT_OFF) == [], path
        assert page.run("document.documentElement.scrollWidth") <= 718, path
        page.call("Emulation.setEmulatedMedia", media="")
    page.open(f"{site}/settlements/1")  # the ends of its picture are called as the foot of a page
    page.call("Emulation.setEmulatedMedia", media="print")
    assert page.run("document.querySelector('.payments .end').checkVisibility()")
    assert not page.run("document.querySelector('footer').checkVisibility()")
    page.call("Emulation.setEmulatedMedia", media="")


@long
def test_nothing_is_wider_than_a_narrow_window(page: Page, site: str) -> None:
    """320 px are also what is left of 1280 px at four times the size."""
    page.call("Emulation.setDeviceMetricsOverride", **{**PHONE, "width": 320})
    for path in PAGES:
        for language in ("en", "zh"):
            page.open(f"{site}{path}{'&' if '?' in path else '?'}lang={language}")
            wide = page.run("document.documentElement.scrollWidth")
            assert wide <= 320, (path, language, wide)
            lines = page.run(
                "[...document.querySelectorAll('.find button')].map((each) => each.clientHeight"
                " - parseFloat(getComputedStyle(each).fontSize) * 2.6).filter((over) => over > 0).length"
            )
            assert lines == 0, (path, language)  # Search is one word
    page.complaints.clear()  # one of them is not there


def test_a_hostile_name_is_only_a_name(page: Page, site: str) -> None:
    page.call("Emulation.setDeviceMetricsOverride", **PHONE)
    for path in ("/", "/retirements/2", f"/credits/{RETIRED}"):
        page.open(site + path)
        assert page.run(
            "document.querySelector('img[src=x]') === null"
            " && document.querySelector('main').textContent.includes('<img src=x')"
        )
        assert page.run("document.documentElement.scrollWidth") <= 360
        assert "\u202e" not in page.run("document.body.textContent")


# ------------------------------------------------------------------------ those who have signed in


def add_user(park: Park, username: str, role: UserRole) -> None:
    """Add a user who has the password of all of them."""
    made = passwords.hashed(PASSWORD)
    park.db.run(
        lambda session: users.add(
            session,
            load_sealer(park.folder / "sealing.key", make=True),
            username=username,
            email=f"{username}@park.example",
            role=role,
            password_hash=made,
            by=HOUSE,
        )
    )


def test_an_admin_signs_in_makes_a_key_uses_it_and_leaves_nothing_behind(
    page: Page, site: str, park: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "ROUNDS", CHEAP_ROUNDS)
    add_user(park, "anna", UserRole.ADMIN)
    page.open(site + "/account/keys")
    assert page.run("location.pathname + location.search") == "/sign-in?next=%2Faccount%2Fkeys"
    sign_in = "document.querySelector('main form button').click()"
    for password, there in (("not the password", "/sign-in"), (PASSWORD, "/account/keys")):
        for name, value in (("username", "anna"), ("password", password)):
            page.run(f"document.querySelector('[name={name}]').value = ''")
            page.run(f"document.querySelector('[name={name}]').focus()")
            type_in(page, value)
        go(page, sign_in, f"location.pathname === '{there}' && window.old !== 1")
        page.wait(
            "document.querySelector('main [role=alert]') !== null"
            if there == "/sign-in"
            else "document.querySelector('.signed') !== null"
        )
    page.complaints[:] = [note for note in page.complaints if "401" not in note]
    assert page.run("document.cookie") == ""  # no script can read it

    page.run("document.querySelector('[name=name]').focus()")
    type_in(page, "nightly report")
    page.run("document.querySelector('[value=\"audit:read\"]').click()")
    go(
        page,
        "document.querySelector('#make').parentNode.querySelector('button').click()",
        "document.getElementById('key') !== null",
    )
    key = text(page, "#key")
    asked = (
        "fetch('/v1/audit-log', {credentials: 'omit', headers: {authorization: 'Bearer "
        + key
        + "'}}).then((answer) => answer.status)"
    )
    assert page.run(asked) == 200
    for room in ("webhooks", "audit", "users", "keys"):
        go(
            page,
            f"document.querySelector('.filters a[href=\"/account/{room}\"]').click()",
            f"location.pathname === '/account/{room}'",
        )
        page.call("Emulation.setDeviceMetricsOverride", **PHONE)
        assert page.run("document.documentElement.scrollWidth") <= 360, room
        page.run(AXE.read_text(encoding="utf-8") + "; true")
        assert json.loads(page.run(AXE_RUN)) == [], room
        page.call("Emulation.clearDeviceMetricsOverride")
    assert page.run("document.getElementById('key')") is None  # once
    revoke = "document.querySelector('form[action$=\"/revoke\"] button').click()"
    go(page, revoke, "document.querySelector('td .badge.cancelled') !== null")
    assert page.run(asked) == 401
    page.complaints[:] = [note for note in page.complaints if "401" not in note]

    page.open(site + "/account/audit")
    assert "keys.revoke" in text(page, "main")
    out = "document.querySelector('form[action=\"/sign-out\"] button').click()"
    go(page, out, "location.pathname === '/sign-in'")
    page.run("history.back()")
    page.wait("document.readyState === 'complete' && location.pathname === '/sign-in'")
    assert "keys.revoke" not in page.run("document.body.textContent")
    assert "anna" not in page.run("document.body.textContent")
    page.complaints[:] = [note for note in page.complaints if "Clear-Site-Data" not in note]


@long
def test_an_operator_handles_an_alert_without_a_script(
    page: Page, site: str, park: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a phone, in both languages and both colours; what another system wrote is only text."""
    monkeypatch.setattr(passwords, "ROUNDS", CHEAP_ROUNDS)
    add_user(park, "otto", UserRole.OPERATOR)
    park.db.run(_alerts)
    page.call("Emulation.setDeviceMetricsOverride", **PHONE)
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.call("Page.navigate", url=site + "/sign-in?next=/account/alerts")
        page.wait("document.querySelector('[name=password]') !== null")
        for name, value in (("username", "otto"), ("password", PASSWORD)):
            page.run(f"document.querySelector('[name={name}]').focus()")
            type_in(page, value)
        page.run("document.querySelector('main form button').click()")
        page.wait(
            "location.pathname === '/account/alerts' && document.querySelector('tbody a') !== null"
        )
        heads = "[...document.querySelectorAll('tbody th a')].map((item) => item.textContent)"
        first, second = page.run(heads)
        assert first == "active_power above 2,100 kW for 20 minutes"
        assert second.startswith("<img src=x") and "\u202e" not in second
        page.run("document.querySelector('tbody th a').click()")
        page.wait("document.querySelector('#acknowledge') !== null")
        page.run("document.querySelector('form[action$=acknowledgement] [name=note]').focus()")
        type_in(page, "blades iced")
        page.run("document.querySelector('form[action$=acknowledgement] button').click()")
        page.wait("document.querySelector('#acknowledge') === null")
    finally:
        page.call("Emulation.setScriptExecutionDisabled", value=False)
    assert "blades iced" in text(page, ".facts")
    axe = AXE.read_text(encoding="utf-8")
    there = page.run("location.pathname")
    assert re.fullmatch("/account/alerts/[0-9]+", there)
    for wishes in ("lang=en&theme=light", "lang=zh&theme=dark"):
        for place in ("/account/alerts", there, "/account/alerts?state=resolved"):
            page.open(site + place + ("&" if "?" in place else "?") + wishes)
            assert page.run("document.documentElement.scrollWidth") <= 360, place
            page.run(axe + "; true")
            assert json.loads(page.run(AXE_RUN)) == [], (place, wishes)
            if "zh" in wishes:
                assert english(page) == [], place
    for place, led in (("/operations", ""), ("/sites/park", "?site=park")):
        page.open(site + place)
        assert page.run(f"document.querySelector('main a[href=\"/account/alerts{led}\"]') !== null")


def _alerts(session: Session) -> None:
    device = session.scalars(select(Device).order_by(Device.id)).first()
    assert device is not None
    began = datetime(2014, 1, 31, 8, tzinfo=UTC)
    details = {"metric": "active_power", "limit": "2100", "unit": "kW", "minutes": 20}
    for kind, severity, more in (
        ("door", AlertSeverity.HIGH, None),
        ("above", AlertSeverity.CRITICAL, {**details, "since": "2014-01-31T08:00:00Z"}),
    ):
        session.add(
            DeviceAlert(
                device_id=device.id,
                alert_type=kind,
                severity=severity,
                message=HOSTILE,
                details=more,
                status=AlertStatus.ACTIVE,
                triggered_at=began,
            )
        )


# ------------------------------------------------------------------------ language and theme


def test_language_and_theme_stay_as_chosen_without_a_script(page: Page, site: str) -> None:
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.call("Page.navigate", url=site + "/operations?lang=zh&theme=dark")
        page.call("Page.navigate", url=site + "/credits")
    finally:
        page.call("Emulation.setScriptExecutionDisabled", value=False)
    page.open(site + "/projects")
    assert page.run("document.documentElement.lang") == "zh-Hans"
    assert text(page, "h1") == "项目"
    paper = "getComputedStyle(document.documentElement).backgroundColor"
    assert page.run(paper) == "rgb(15, 20, 18)"
    go(
        page,
        "document.querySelector('.choice a[href$=\"theme=light\"]').click()",
        "location.search.includes('theme=light')",
    )
    assert page.run(paper) == "rgb(250, 251, 249)"
    go(
        page,
        "document.querySelector('.choice a[href$=\"theme=auto\"]').click()",
        "location.search.includes('theme=auto')",
    )
    for value, colour in (("dark", "rgb(15, 20, 18)"), ("light", "rgb(250, 251, 249)")):
        page.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": value}],
        )
        assert page.run(paper) == colour


# ------------------------------------------------------------------------ everybody


def page_of_transaction(park: Park) -> str:
    with park.db.read() as session:
        return "/transactions/" + session.scalars(select(CreditBatch.tx_hash)).one()


@pytest.mark.parametrize("theme", rest(["light", "dark"], "dark"))
def test_axe_finds_nothing_and_no_page_is_wider_than_a_phone(
    page: Page, site: str, park: Park, theme: str
) -> None:
    page.call("Emulation.setDeviceMetricsOverride", **PHONE)
    axe = AXE.read_text(encoding="utf-8")
    found = {}
    sent = page_of_transaction(park)
    # The short form looks at each page in one of the two: their colours are the same few everywhere.
    pages = (*PAGES, sent)
    for path in pages if is_long() else pages[theme == "dark" :: 2]:
        language = "zh" if theme == "dark" else "en"
        wishes = (
            ""
            if path == "/verify"
            else f"{'&' if '?' in path else '?'}theme={theme}&lang={language}"
        )
        page.open(site + path + wishes)
        shown = page.run("performance.getEntriesByType('navigation')[0].responseStatus")
        assert shown == (404 if path == "/nothing-is-here" else 200), path
        page.run("document.querySelectorAll('details').forEach((item) => { item.open = true; })")
        if "credits/" in path and "days" not in path:
            page.wait("document.querySelector('.plot canvas') !== null")
        wide = page.run("document.documentElement.scrollWidth")
        assert wide <= 360, (path, wide)
        if language == "zh" and path != "/verify":
            assert english(page) == [], path
        page.run(axe + "; true")
        wrong = json.loads(page.run(AXE_RUN))
        if wrong:
            found[path] = wrong
        if path == "/nothing-is-here":  # the browser notes that it is a 404
            page.complaints[:] = [item for item in page.complaints if "404" not in item]
    page.call("Emulation.clearDeviceMetricsOverride")
    for path in ("/", f"/credits/{RETIRED}"):  # what only a desk shows, such as the wide picture
        page.open(f"{site}{path}?theme={theme}")
        page.run(axe + "; true")
        wrong = json.loads(page.run(AXE_RUN))
        assert wrong == [], path
    assert found == {}


NAMED = {
    *("link", "button", "searchbox", "textbox", "checkbox", "spinbutton", "DisclosureTriangle"),
    *("navigation", "region", "image", "columnheader", "rowheader", "graphics-symbol", "heading"),
}
"""Whatever a person is told of by its role, or can use, says what it is."""
HEARD = ("/", "/search?q=park", f"/credits/{RETIRED}", "/settlements/1", "/plants/plant")


@pytest.mark.parametrize(
    "path",
    rest([*HEARD, "/retirements/1", "/operations", "/sign-in", "/nothing"], *HEARD[:3], "/nothing"),
)
def test_a_screen_reader_hears_what_a_page_is(page: Page, site: str, path: str) -> None:
    """By the browser's own accessibility tree: parts in order, headings without gaps, nothing that has no name."""
    page.open(site + path)
    if path.startswith("/credits/"):
        page.wait("document.querySelector('.plot canvas') !== null")
    page.run("document.querySelectorAll('details').forEach((item) => { item.open = true; })")
    heard = page.heard()
    page.complaints[:] = [note for note in page.complaints if "404" not in note]
    assert [item for item in heard if item.role in NAMED and not item.name] == []
    first = heard[1]
    assert (first.role, first.name) == ("link", "Skip to the content")
    parts = [item.role for item in heard if item.role in ("banner", "main", "contentinfo")]
    assert parts == ["banner", "main", "contentinfo"]
    ways = [item.name for item in heard if item.role == "navigation" and "main" not in item.within]
    assert ways == ["Account", "Language", "Light or dark", "Pages"]
    headings = [item for item in heard if item.role == "heading"]
    levels = [item.values["level"] for item in headings]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels)), levels
    assert all("main" in item.within for item in headings)
    # A table is in a part that says what it is of; its rows and columns say what a cell is.
    for at, item in enumerate(heard):
        if item.role == "table":
            assert {"group", "region"} & set(item.within), path
            inside = [each for each in heard[at + 1 :] if len(each.within) > len(item.within)]
            assert inside[0].role == "rowgroup" and inside[1].role == "row"
            assert inside[2].role == "columnheader"
    assert page.run(
        "Array.from(document.querySelectorAll('tbody tr')).every((row) =>"
        " row.querySelector('th[scope=row]') || row.cells.length === 1)"
    ), path
    # What a text of the other language is, says so.
    assert page.run(
        "Array.from(document.querySelectorAll('main *:not(bdi)')).filter((item) =>"
        " /[\\u4e00-\\u9fff]/.test([...item.childNodes].filter((node) => node.nodeType === 3)"
        ".map((node) => node.data).join('')) && !item.closest('[lang|=zh], bdi, svg')).length === 0"
    )


@long
def test_the_auditors_way_as_it_is_heard(page: Page, site: str) -> None:
    page.open(f"{site}/credits/{RETIRED}")
    page.wait("document.querySelector('.plot canvas') !== null")
    outline = [(item.values["level"], item.name) for item in page.heard() if item.role == "heading"]
    assert outline == [
        (1, RETIRED),
        (2, "From meter to retirement"),
        (2, "Readings"),
        (3, "A generation · meter serial-A · 2014-01-31 – 2014-01-31, Europe/Paris"),
        (4, "Left out, and why"),
        (2, "Calculation"),
        (2, "Proof"),
        (3, "Check it here"),
        (2, "History and transactions"),
    ]
    # Of several meters each table says whose it is.
    page.run("document.querySelectorAll('.meter details').forEach((item) => { item.open = true; })")
    tables = [item.name for item in page.heard() if item.role == "region" and " · " in item.name]
    assert tables == ["does not count · A", "Table by day · A"]
    page.run(
        "document.querySelectorAll('.meter details').forEach((item) => { item.open = false; })"
    )
    # The picture is read as the links that it is made of, in their order.
    boxes = [item for item in page.heard() if item.role == "link" and "group" in item.within]
    assert boxes[0].name.startswith("A ") and len(boxes) >= 7

    # A month that is asked for: the focus stays with its link, although the link was drawn anew.
    page.run("document.getElementById('month-2014-02').focus()")
    press(page, "Enter", 13)
    page.wait("document.querySelector('.meter h3')?.textContent.includes('2014-02-01')")
    page.wait("document.activeElement.id === 'month-2014-02'")
    focused = [item for item in page.heard() if item.values.get("focused")]
    assert (focused[-1].role, focused[-1].name) == ("link", "2014-02")

    # A day that is asked for: the focus goes to its heading, from which one reads on.
    page.run("document.querySelector('.meter details:last-of-type').open = true")
    page.run("document.querySelector('a[href$=\"/days/2014-02-01\"]').focus()")
    press(page, "Enter", 13)
    page.wait("document.activeElement.matches('#day h3')")
    assert "2014-02-01" in page.run("document.activeElement.textContent")

    # The verdict is told when it comes, and politely.
    page.run("document.querySelector('#prove button').click()")
    page.wait("document.getElementById('verdict').dataset.state === 'valid'")
    told = [item for item in page.heard() if item.values.get("live") == "polite"]
    assert [item.role for item in told] == ["status", "status"]  # under the chart, and the verdict
    steps = [item for item in page.heard() if item.role == "listitem" and "status" in item.within]
    assert len(steps) > 10


@long
def test_what_is_found_while_one_types_is_told_and_the_focus_stays(page: Page, site: str) -> None:
    page.open(site + "/")
    (hits,) = [item for item in page.heard() if item.values.get("live") == "polite"]
    assert hits.values.get("root") in (None, "") or hits.role == "generic"
    page.run("document.getElementById('q').focus()")
    type_in(page, "park")
    page.wait("document.querySelectorAll('#hits a').length > 1")
    assert page.run("document.activeElement.id") == "q"
    page.open(site + "/sign-in")
    page.run("document.querySelector('[name=username]').value = 'nobody'")
    page.run("document.querySelector('[name=password]').value = 'x'")
    wrong = "document.querySelector('main form button').click()"
    go(page, wrong, "document.querySelector('main [role=alert]') !== null")
    page.complaints[:] = [note for note in page.complaints if "401" not in note]
    fields = [item for item in page.heard() if item.role == "textbox"]
    assert [item.name for item in fields] == ["User name", "Password"]
    assert page.run("document.querySelector('[name=username]').getAttribute('aria-describedby')")
    assert [item.role for item in page.heard() if item.values.get("live") == "assertive"] == [
        "alert"
    ]


@long
def test_what_does_not_come_is_said(page: Page, park: Park) -> None:
    """Hits of another text stayed, figures grew old, and a month that was asked for did not come: without a word."""
    shown = "document.getElementById('missed').checkVisibility()"
    hits = "document.querySelectorAll('#hits a').length"
    down = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    try:
        with served_pages(park) as address:
            page.open(address + "/?lang=zh")
            page.run("document.getElementById('q').focus()")
            type_in(page, "park")
            page.wait(f"{hits} > 1 && !{shown}")
            page.call("Network.emulateNetworkConditions", **down)
            type_in(page, "-wind")
            page.wait(f"{shown} && {hits} === 0")
            assert text(page, "#missed") == "账本没有答复，此处内容可能已不是最新。"
            page.call("Network.emulateNetworkConditions", **{**down, "offline": False})
            type_in(page, "-2014")
            page.wait(f"{hits} > 0 && !{shown}")
            page.run("document.getElementById('q').value = 'one\\tother'")  # as it may be pasted
            page.run(
                "document.getElementById('q').dispatchEvent(new Event('input', {bubbles: true}))"
            )
            page.wait("document.querySelector('#hits .warning') !== null")

            page.open(f"{address}/credits/{RETIRED}?lang=zh")
        page.run("document.getElementById('month-2014-02').click()")  # the server is gone
        page.wait("location.protocol === 'chrome-error:'")
    finally:
        page.call("Network.emulateNetworkConditions", **{**down, "offline": False})
        page.complaints.clear()


def test_what_is_fresh_comes_without_taking_anything_away(page: Page, site: str) -> None:
    """The page of operations is drawn anew every few seconds: what is open and what has the focus stays so."""
    page.open(site + "/operations")
    page.run("document.getElementById('jobs-table').focus()")
    page.run("document.querySelectorAll('details').forEach((item) => { item.open = true; })")
    page.run(
        "window.swapped = 0; document.addEventListener('htmx:afterSettle', () => { swapped += 1; });"
        "htmx.ajax('GET', '/operations', {target: 'main > div', swap: 'innerHTML'})"
    )
    page.wait("swapped === 1")
    assert page.run("document.activeElement.id") == "jobs-table"
    assert page.run("Array.from(document.querySelectorAll('details')).every((item) => item.open)")


def english(page: Page) -> list[str]:
    """Return the words in Latin letters that a page in Chinese shows, but for names, codes, hashes, units and the
    choice of a language; what a script has put in is among them."""
    shown = page.run(
        """(() => {
          const copy = document.body.cloneNode(true), rest = "code, bdi, time, pre, script, noscript, [hreflang], svg";
          copy.querySelectorAll(rest).forEach((item) => item.remove());
          return copy.textContent;
        })()"""
    )
    shown = re.sub(
        r"0x[0-9a-f…]+|[0-9-]+T[0-9:]+Z|[0-9a-f]{32,}|[“\"'][^”\"']*[”\"']|park[\w-]*", " ", shown
    )
    return [word for word in re.findall("[A-Za-z]{2,}", shown) if word not in NAMES_AND_UNITS]


def test_what_a_script_puts_into_a_chinese_page_is_chinese(page: Page, site: str) -> None:
    page.open(f"{site}/credits/{RETIRED}?lang=zh")
    page.wait("document.querySelector('.plot canvas') !== null")
    for change, state in (("", "valid"), ("'0x' + '11'.repeat(32)", "invalid")):
        if change:
            page.run(f"document.querySelector('[name=block_hash]').value = {change}")
        page.run("document.querySelector('#prove button').click()")
        page.wait(f"document.getElementById('verdict').dataset.state === '{state}'")
        assert english(page) == []
        assert text(page, "#verdict .outcome").startswith(
            "验证通过" if state == "valid" else "验证未通过： 区块：它是第 "
        )


@long
def test_a_chart_is_drawn_anew_for_another_width_and_other_colours(page: Page, site: str) -> None:
    page.open(f"{site}/credits/{RETIRED}?theme=auto")
    canvas = "document.querySelectorAll('.plot canvas')"
    page.wait(f"{canvas}.length === 1")
    wide = page.run(f"{canvas}[0].clientWidth")
    page.call("Emulation.setDeviceMetricsOverride", **PHONE)
    page.wait(f"{canvas}.length === 1 && {canvas}[0].clientWidth < 360")
    assert wide > 600
    picture = page.run(f"{canvas}[0].toDataURL()")
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    page.call("Emulation.setEmulatedMedia", features=dark)
    page.wait(f"{canvas}.length === 1 && {canvas}[0].toDataURL() !== {json.dumps(picture)}")


@long
def test_one_answer_draws_the_charts_of_all_meters_once(page: Page, site: str) -> None:
    """A month of seven meters was asked for seven times, and drawn twice where more came into the page meanwhile."""
    page.open(f"{site}/credits/{RETIRED}")
    page.wait("document.querySelectorAll('.plot canvas').length === 1")
    page.requests.clear()
    page.run(
        """for (let more = 0; more < 2; more++) {
            const meter = document.querySelector('.meter').cloneNode(true);
            meter.querySelector('.plot').replaceChildren();
            document.querySelector('.meter').after(meter);
        }
        for (let times = 0; times < 2; times++) document.dispatchEvent(new Event('htmx:afterSwap'));"""
    )
    page.wait("document.querySelectorAll('.plot canvas').length >= 3")
    page.run("fetch('/favicon.ico').catch(() => null)")  # whatever was asked for before has come
    drawn = "[...document.querySelectorAll('.plot')].map((plot) => plot.querySelectorAll('canvas').length)"
    assert page.run(drawn) == [1, 1, 1]
    assert len([url for url in page.requests if "/readings.json" in url]) == 1
    page.complaints.clear()


@long
@pytest.mark.parametrize("answer", ["Promise.reject(new Error())", "{ ok: false }", "broken"])
def test_a_chart_whose_readings_did_not_come_is_asked_for_again(
    page: Page, site: str, answer: str
) -> None:
    page.open(f"{site}/credits/{RETIRED}")
    page.wait("document.querySelectorAll('.plot canvas').length === 1")
    page.run(
        f"""(async () => {{
            const asks = window.fetch;
            const broken = {{ ok: true, json: () => Promise.reject(new Error()) }};
            window.fetch = async () => {answer};
            const meter = document.querySelector('.meter').cloneNode(true);
            meter.querySelector('.plot').replaceChildren();
            document.querySelector('.meter').after(meter);
            document.dispatchEvent(new Event('htmx:afterSwap'));
            await new Promise((go) => setTimeout(go, 20));
            window.fetch = asks;
            document.dispatchEvent(new Event('htmx:afterSwap'));
        }})()"""
    )
    page.wait("document.querySelectorAll('.plot canvas').length === 2")
    page.complaints.clear()


def test_what_is_told_by_colour_is_told_where_the_system_has_its_own(page: Page, site: str) -> None:
    """Forced colours take backgrounds away and show transparent borders; paper has no backgrounds."""
    page.call("Emulation.setEmulatedMedia", features=[{"name": "forced-colors", "value": "active"}])
    page.open(f"{site}/credits/{RETIRED}")
    style = "getComputedStyle(document.querySelector('{}')).{}"
    marks = [
        page.run(style.format(f".legend .key.{name}", "backgroundColor"))
        for name in ("used", "excluded", "missing")
    ]
    paper = page.run(style.format("body", "backgroundColor"))
    assert len({*marks, paper}) == 4, (marks, paper)
    assert page.run(style.format(".legend .key", "printColorAdjust")) == "exact"
    lines = [
        page.run(style.format(f".rooms a{which}", "borderBottomColor"))
        for which in ("[aria-current]", ":not([aria-current])")
    ]
    assert lines[0] != lines[1]
    assert page.run(style.format(".choice a[aria-current]", "outlineStyle")) == "solid"
    page.call("Emulation.setEmulatedMedia", features=[])


@long
def test_words_of_a_table_stay_whole_on_paper(page: Page, site: str) -> None:
    """Chinese breaks anywhere: a narrow column had one sign in each line."""
    page.call("Emulation.setDeviceMetricsOverride", **{**PHONE, "width": 718, "mobile": False})
    page.open(f"{site}/credits/{RETIRED}?lang=zh")
    page.call("Emulation.setEmulatedMedia", media="print")
    lines = page.run(
        """[...document.querySelectorAll('#transactions :is(th.whole-line, time)')].map((part) => {
            const range = document.createRange();
            range.selectNodeContents(part);
            return new Set([...range.getClientRects()].map((box) => box.top)).size;
        })"""
    )
    assert len(lines) > 4 and {*lines} == {1}
    page.call("Emulation.setEmulatedMedia", media="")


@long
def test_a_chinese_name_in_a_table_is_no_column_of_signs(page: Page, site: str) -> None:
    """On a phone a name had one sign in each line; beside a name of two lines, others begin at its first."""
    page.call("Emulation.setDeviceMetricsOverride", **PHONE)
    page.open(f"{site}/settlements?lang=zh")
    page.run(
        "document.querySelector('td bdi').textContent = '江苏省电力现货市场日前交易（试运行）'"
    )
    page.run(
        "document.querySelector('tbody td.n').nextSibling.textContent = '各方共同签名'"  # a word of ours
    )
    lines, words, tops = page.run(
        """(() => {
            const lines = (part) => {
                const range = document.createRange();
                range.selectNodeContents(part);
                return [...new Set([...range.getClientRects()].map((box) => box.top))];
            };
            const name = document.querySelector('td bdi'), link = document.querySelector('tbody th a');
            const word = document.querySelector('tbody td.n').nextSibling;
            return [lines(name).length, lines(word).length,
                    Math.abs(lines(name)[0] - link.getBoundingClientRect().top)];
        })()"""
    )
    assert lines <= 2 and words == 1 and tops < 8  # without a Chinese font signs are narrower
    # A serial takes two lines, and the amount beside it is seen whole.
    page.open(f"{site}/credits?lang=zh")
    seen = "[...document.querySelectorAll('tbody td.n')].map((cell) => cell.getBoundingClientRect().right)"
    assert max(page.run(seen)) <= PHONE["width"]


@pytest.mark.parametrize("lang", rest(["en", "zh"], "en"))
def test_the_money_of_a_settlement_is_seen_on_a_phone(page: Page, site: str, lang: str) -> None:
    """The words above the net positions moved these out of the window; and the token has a name there, too."""
    page.call("Emulation.setDeviceMetricsOverride", **PHONE)
    page.open(f"{site}/settlements/1?lang={lang}")
    cells = "[...document.querySelectorAll('#positions + p + .scroll .n')]"
    rights = page.run(f"{cells}.map((cell) => cell.getBoundingClientRect().right)")
    assert len(rights) == 3 and max(rights) <= PHONE["width"]
    token = "[...document.querySelectorAll('.facts .broad dd')].map((each) => each.innerText)[0]"
    symbol, _, address = page.run(token).partition(" ")
    assert symbol == "tEUR" and re.fullmatch("0x[0-9a-f]{40}", address)


@pytest.mark.parametrize("lang", rest(["en", "zh"], "en"))
def test_what_is_held_fits_into_a_phone(page: Page, site: str, lang: str) -> None:
    """Where it is held, and its state, were columns of their own: how much it is was moved out of the window."""
    page.call("Emulation.setDeviceMetricsOverride", **{**PHONE, "width": 375})
    tables = "[...document.querySelectorAll('#held + .scroll, h1 ~ .scroll, #escrow + .scroll')]"
    seen = []
    for path in ("/plants/plant", f"/holders/{anvil_address(4)}"):
        page.open(f"{site}{path}?lang={lang}")
        seen += page.run(f"{tables}.map((each) => [each.scrollWidth, each.clientWidth])")
    assert len(seen) == 3 and all(whole <= shown for whole, shown in seen), seen


@long
def test_a_rating_far_above_its_readings_does_not_flatten_them(page: Page, site: str) -> None:
    """A connection of 40 MW that draws 30 kW was a line at zero."""
    page.open(f"{site}/credits/{RETIRED}")
    page.wait("document.querySelector('.plot canvas') !== null")
    page.run(
        """(async () => {
            const asks = window.fetch;
            window.fetch = async (...given) => {
                const answer = await (await asks(...given)).json();
                for (const meter of answer.meters) meter.rated = "40000";
                return { ok: true, json: async () => answer };
            };
            const meter = document.querySelector('.meter').cloneNode(true);
            meter.querySelector('.plot').replaceChildren();
            document.querySelector('.meter').after(meter);
            document.dispatchEvent(new Event('htmx:afterSwap'));
        })()"""
    )
    page.wait("document.querySelectorAll('.plot canvas').length === 2")
    # Under the line it is filled: how high the first filled sign stands, in the middle half of the picture.
    highest = page.run(
        """(() => {
            const canvas = document.querySelectorAll('.plot canvas')[1], width = canvas.width;
            const { data } = canvas.getContext('2d').getImageData(0, 0, width, canvas.height);
            const used = getComputedStyle(document.querySelector('.legend .key.used')).backgroundColor;
            const wanted = used.match(/[0-9]+/g).map(Number);
            for (let at = 0; at < data.length; at += 4)
                if (wanted.every((value, place) => Math.abs(data[at + place] - value) < 3) && data[at + 3] > 250)
                    return at / 4 / width / canvas.height;
            return 1;
        })()"""
    )
    assert highest < 0.35


def test_the_keyboard_reaches_everything(page: Page, site: str) -> None:
    """Tab goes to each link, button, field and table, in order, and each shows that it is there."""
    for path in ("/", f"/credits/{RETIRED}", "/retirements/1"):
        page.open(site + path)
        wanted = page.run(REACHABLE)
        page.run(WATCH)
        press(page, "Tab", 9, wanted)
        assert page.run("reached.size") == wanted, path
        assert page.run("unseen") == []
    page.open(site + "/")
    press(page, "Tab", 9)
    assert page.run("document.activeElement.className") == "skip"
    press(page, "Enter", 13)
