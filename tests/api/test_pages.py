"""The pages over known books, on both databases: what they say, in which language, and what becomes of bad input."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, update
from sqlalchemy import text as sql

from api.app import create_app
from api.credits import asof, queries, quick
from api.pages.language import Language, accepted
from api.pages.problems import wants_page
from api.pages.rendering import POLICY
from ledger import naming
from ledger.db import Database
from ledger.models import CarbonCredit, CreditRetirement, CreditSerial, CreditSite
from ledger.settings import load_settings
from tests.api.conftest import ISSUER, _batch, _batch_id, _contracts, _transactions, h66, key_of
from tests.support.forms import few, long

ONE_DATABASE = "pages are rendered from what the API's functions return, which have tests on both"

HTML = {"accept": "text/html"}
PAGES = (
    "/",
    "/credits",
    "/credits?status=retired",
    "/credits/park-a-2015-1-401-901",
    "/credits/park-b-2014-2",
    "/retirements/2",
    "/retirements/31",
    "/projects",
    "/projects/park-wind",
    "/sites/park",
    "/plants",
    "/plants/vpp-north",
    "/plants/vpp-south?by=hour",
    "/settlements",
    "/settlements/1",
    "/settlements/2",
    "/operations",
    "/transactions/" + h66(0x77, 1),
    "/transactions/" + h66(0x77, 105),
    "/holders/" + ISSUER,
    "/retirements",
    "/search",
    "/search?q=park",
    "/search?q=nothing-has-this-name",
)


@few(12)
@pytest.mark.parametrize("url", PAGES)
def test_every_page_has_its_headers_and_both_languages(client: TestClient, url: str) -> None:
    for language, tag in (("en", "en"), ("zh", "zh-Hans")):
        answer = client.get(url, headers={**HTML, "accept-language": language})
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["content-security-policy"] == POLICY
        assert "Accept-Language" in answer.headers["vary"] and answer.headers["etag"]
        assert f'<html lang="{tag}" data-theme="auto">' in answer.text
        assert answer.text.count("<h1") == 1 and "<title>" in answer.text
        assert not re.search(r'\sstyle="|<script(?![^>]*\ssrc=)|\son\w+="', answer.text)
    assert POLICY.startswith("default-src 'self'") and "unsafe" not in POLICY


def test_a_page_in_the_other_language_has_the_same_address(client: TestClient) -> None:
    """What was escaped in the path stood there as itself: another path, or another host."""
    accept = {"Accept": "text/html"}
    said = client.get("/credits/a%2523%23b", headers=accept).text
    assert 'href="/credits/a%2523%23b?lang=zh"' in said
    said = client.get("http://testserver//elsewhere.example/x", headers=accept).text
    assert 'href="/%2Felsewhere.example/x?lang=zh"' in said


def test_figures_of_the_ledger(client: TestClient) -> None:
    """100 batches of 1001 to 1100 kg: 105,050 kg; 400 + 290 retired, 100 cancelled."""
    said = client.get("/").text
    for kg in ("105,050", "104,260", "690", "100"):
        assert f"<dd>{kg} <small>" in said
    assert re.search(
        r"<dt>Read to block</dt><dd>98</dd>.*<dt>Final to block</dt><dd>90</dd>", said, re.DOTALL
    )


def test_a_credit_says_what_it_is(client: TestClient) -> None:
    said = client.get("/credits/park-a-2015-1-401-901").text
    for words in ("401 – 901", "501 <small>", "not final yet", "active", "over-issued"):
        assert words in said, words
    # All the runs of its batch are boxes that lead to their pages.
    for run in ("park-a-2015-1-1-400", "park-a-2015-1-401-901", "park-a-2015-1-902-1001"):
        assert f'href="/credits/{run}"' in said
    assert 'href="/retirements/31"' in said
    assert "issued from somebody else" in said  # the books hold no readings of it


def test_many_runs_are_a_few_boxes(client: TestClient) -> None:
    """Batch 3 is in thirty pieces: the one that is shown, two others, and a box for the rest."""
    said = client.get("/credits/park-a-2015-3-291-1003").text
    picture = said.partition('class="flow wide"')[2].partition("</svg>")[0]
    assert picture.count('href="/credits/park-a-2015-3-') == 3
    assert (
        "27 more" in picture
        and 'class="box here" href="/credits/park-a-2015-3-291-1003"' in picture
    )


def test_more_runs_than_an_answer_names_are_counted(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were left out without a word; a credit beyond them was not in its own picture, nor its retirement."""
    for module in (asof, queries, quick, naming):
        monkeypatch.setattr(module, "PARTS_MAX", 10)
    whole = client.get(f"/v1/credits?batch_id={_batch_id(3)}&limit=100").json()["items"]
    last = next(item for item in whole if item["first_serial"] == "291")
    for block in ("", "?as_of_block=97"):
        batch = client.get(f"/v1/credits/{last['id']}{block}").json()["batch"]
        assert batch["credits_count"] == len(whole) == 30
        assert [part["credit_id"] for part in batch["credits"]] == [
            item["credit_id"]
            for item in sorted(whole, key=lambda item: int(item["first_serial"]))[:10]
        ]
    said = client.get("/credits/park-a-2015-3-291-1003").text
    picture = said.partition('class="flow wide"')[2].partition("</svg>")[0]
    assert "27 more" in picture
    assert 'class="box here" href="/credits/park-a-2015-3-291-1003"' in picture
    parted = client.get("/v1/credits/park-a-2015-3-1-1003").json()
    assert parted["detail"].endswith(" and 27 more") and len(parted["credits"]) == 10


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_time_says_that_it_is_utc(client: TestClient, lang: str) -> None:
    """In its own line, or in the head of its column; those of a list stood there like local ones."""
    for path in ("/credits", "/credits/park-a-2015-1-401-901", "/retirements", "/settlements/1"):
        said = client.get(path, headers={"Accept-Language": lang}).text
        times = 0
        for part in re.split(r"(?=<table|<div><dt>|<li>|</table>)", said):
            found = re.findall(r">[0-9-]{10} [0-9:]{8}<| [0-9:]{8} – ", part)
            times += len(found)
            if found:
                assert "UTC" in part, (path, part[:300])
        assert times, path


@pytest.mark.parametrize(
    ("path", "count"),
    [
        ("/credits?limit=7&order=asc&batch_id={batch}", 30),
        ("/credits?limit=3&status=cancelled", 1),
        ("/retirements?limit=10&order=asc&batch_id={batch}", 29),
        ("/holders/{holder}?limit=30&as_of_block=90", None),
        ("/plants?limit=1&order=asc&status=active", 2),
        ("/settlements?limit=1&vpp_code=vpp-north", 2),
    ],
)
def test_the_next_page_is_of_the_same_list(
    client: TestClient, path: str, count: int | None
) -> None:
    """The link forgot the order, the rows of a page and some filters, and its cursor was refused."""
    place = path.format(batch=_batch_id(3), holder=ISSUER)
    row = re.compile(r'<th scope="row">.*?href="([^"]+)"', re.DOTALL)
    onward: str | None = place
    seen: list[list[str]] = []
    while onward is not None:
        answer = client.get(onward)
        assert answer.status_code == 200, onward
        seen.append(row.findall(answer.text))
        found = re.search(r'href="([^"]+)" rel="next"', answer.text)
        onward = html.unescape(found[1]) if found else None
    rows = [each for page in seen for each in page]
    api, _, query = place.partition("?")
    api = f"/v1{api}?{re.sub('limit=[0-9]+', 'limit=200', query)}"
    assert len(rows) == len(set(rows)) == len(client.get(api).json()["items"])
    assert count is None or len(rows) == count
    assert len(rows) < 2 or len(seen) > 1


def test_a_settlement_says_who_paid_whom(client: TestClient) -> None:
    """Trades 1 to 24 of 51.98, number 7 of -51.98: the market pays the odd plant 10 x 51.98, the even one 12 x."""
    said = client.get("/settlements/1").text
    assert re.search(
        r"<bdi>day-ahead</bdi></th><td><a href=\"/plants/vpp-north\"><bdi>vpp-north</bdi></a></td>"
        r"<td class=\"n\">519.80<",
        said,
    )
    assert re.search(
        r"<bdi>day-ahead</bdi></th><td><a href=\"/plants/vpp-south\"><bdi>vpp-south</bdi></a></td>"
        r"<td class=\"n\">623.76<",
        said,
    )
    picture = said.partition('class="payments"')[2].partition("</svg>")[0]
    assert picture.count('class="band"') == 2 and picture.count('class="end"') == 3
    assert ">Who paid whom</h2>" in said and "Nothing of this" not in said
    for column in ("Quantity (kWh)", "Price of 1 kWh", "Receives, before any fee"):
        assert f'<th scope="col" class="n">{column}</th>' in said
    said = client.get("/settlements/2").text  # proposed
    assert ">Who is to pay whom</h2>" in said and "Nothing of this is paid yet." in said


def test_the_last_comparison_is_said(client: TestClient) -> None:
    assert "Books and chain compared" in client.get("/operations").text


# ------------------------------------------------------------------------ certificate


def test_a_final_retirement_has_its_certificate(client: TestClient) -> None:
    page = client.get("/retirements/2").text
    answer = client.get("/v1/retirements/2/certificate").json()
    pdf = client.get(answer["pdf"])
    assert pdf.headers["content-type"] == "application/pdf"
    assert pdf.headers["content-disposition"] == 'inline; filename="truetonne-retirement-2.pdf"'
    assert pdf.content == client.get("/retirements/" + h66(0xDE, 2) + "/certificate.pdf").content
    digest = hashlib.sha256(pdf.content).hexdigest()
    assert answer["pdf_sha256"] == digest and f'id="sha256">{digest}</code>' in page
    stated = answer["certificate"]
    assert (stated["serials"], stated["amount_kg"]) == ("park-a-2015-3-1-10", "10")
    assert stated["beneficiary"] == "Mühle Übel & Söhne" and "Mühle Übel &amp; Söhne" in page
    assert stated["url"] == "http://127.0.0.1:8600/retirements/2"


def test_what_is_not_final_has_none(client: TestClient) -> None:
    assert "is not final yet" in client.get("/retirements/31").text
    for path in ("/v1/retirements/31/certificate", "/retirements/31/certificate.pdf"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (409, "not-final")
    page = client.get("/retirements/31/certificate.pdf", headers={**HTML, "accept-language": "zh"})
    assert page.status_code == 409 and "尚未终局" in page.text


def test_the_address_on_certificates_is_a_setting(books: str, tmp_path: Path) -> None:
    given = {
        "TRUETONNE_DATABASE_URL": books,
        "TRUETONNE_HOME": str(tmp_path),
        "TRUETONNE_FINALITY": "8",
        "TRUETONNE_PUBLIC_URL": "https://registry.example/ledger/",
    }
    with TestClient(create_app(load_settings(None, given))) as client:
        stated = client.get(
            "/v1/retirements/2/certificate", headers={"host": "evil.example"}
        ).json()
    assert stated["certificate"]["url"] == "https://registry.example/ledger/retirements/2"


# ------------------------------------------------------------------------ language and theme


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-GB,zh;q=0.9", "en"),
        ("fr, zh-TW;q=0.2, en;q=0.1", "zh"),
        ("de,fr", "en"),
        ("zh;q=0, en;q=0.1", "en"),
        ("zh;q=much", "en"),
        ("zh;q=nan,en;q=0.1", "en"),
        ("," * 5_000, "en"),
    ],
)
def test_the_browser_says_its_language(header: str, language: str) -> None:
    assert accepted(header) is Language(language)


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("text/html,application/xhtml+xml,*/*;q=0.8", True),
        ("application/json;q=0.9, TEXT/HTML ; q=0.5", True),
        ("text/html;q=0, application/json", False),
        ("text/html; q=0.00", False),
        ("application/json", False),
        ("*/*", False),  # what programs send that say nothing
        ("application/x-text/html", False),
        ("", False),
    ],
)
def test_who_wants_a_page(accept: str, wanted: bool) -> None:
    assert wants_page(accept) is wanted


def test_the_address_goes_before_the_cookie_and_that_before_the_browser(settings: object) -> None:
    with TestClient(create_app(settings)) as client:  # type: ignore[arg-type]
        chinese = {"accept-language": "zh"}
        assert 'lang="zh-Hans"' in client.get("/search", headers=chinese).text
        first = client.get("/search?lang=en&theme=dark&q=", headers=chinese)
        assert '<html lang="en" data-theme="dark">' in first.text
        kept = first.headers.get_list("set-cookie")
        assert len(kept) == 2 and all(
            "HttpOnly" in item and "SameSite=lax" in item for item in kept
        )
        again = client.get("/search", headers=chinese)
        assert (
            '<html lang="en" data-theme="dark">' in again.text and "set-cookie" not in again.headers
        )
        odd = client.get("/search?lang=xx&theme=%3Cscript%3E", headers=chinese)
        assert '<html lang="en" data-theme="dark">' in odd.text and "<script>" not in odd.text
        # Links keep what was asked for besides.
        assert 'href="/search?q=a%26b&amp;lang=zh"' in client.get("/search?q=a%26b").text


@pytest.mark.parametrize(
    ("url", "place"), [("/search?q=park-a-2015-1-401-901", "/credits/"), ("/account?", "/sign-in?")]
)
def test_who_is_led_elsewhere_reads_there_as_was_asked_for(
    client: TestClient, url: str, place: str
) -> None:
    """Whoever chose a language when the session had run out signed in in the other one."""
    led = client.get(f"{url}&lang=zh&theme=dark", headers=HTML, follow_redirects=False)
    client.cookies.clear()  # which others share
    assert led.status_code == 303 and led.headers["location"].startswith(place)
    kept = [item.partition(";")[0] for item in led.headers.get_list("set-cookie")]
    assert kept == ["lang=zh", "theme=dark"]


# ------------------------------------------------------------------------ files


def test_files_are_kept_for_good_and_only_as_they_are(client: TestClient) -> None:
    page = client.get("/credits/park-a-2015-1-401-901").text
    addresses = set(re.findall(r'(?:href|src|data-verifier)="(/static/[^"]+)"', page))
    assert len(addresses) == 9
    for address in addresses:
        answer = client.get(address)
        assert answer.status_code == 200
        # A year, which RFC 9111 takes for good, and RFC 8246.
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        version = address.split("/")[2]
        assert hashlib.sha256(answer.content).hexdigest().startswith(version)
    for path in (
        "/static/0/app.css",
        "/static/0/../app.py",
        "/static/0/..%2f..%2fapp.py",
        "/static/x",
    ):
        assert client.get(path).status_code == 404


# ------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("url", "status", "title"),
    [
        ("/nothing", 404, "This is not here"),
        ("/credits/none", 404, "This is not here"),
        ("/credits/" + "x" * 3_000, 404, "This is not here"),
        ("/credits/%00%ff", 404, "This is not here"),
        ("/credits/..%2f..%2fetc%2fpasswd", 404, "This is not here"),
        ("/credits/park-a-2015-1-1-1001", 404, "These serials have been parted"),
        ("/credits/park-a-2015-1-1-400/manifest.json", 404, "This is not here"),
        ("/credits/park-a-2015-1-1-400/days/2014-13-45", 422, "This cannot be read"),
        ("/credits?limit=many", 422, "This cannot be read"),
        ("/credits?cursor=forged", 422, "This cannot be read"),
        ("/credits?batch_id=" + "9" * 40, 422, "This cannot be read"),
        ("/credits?x=" + "y" * 5_000, 414, "Too long"),
        ("/retirements/999999", 404, "This is not here"),
        ("/retirements/%F0%9F%8C%B1", 404, "This is not here"),
        ("/projects/none", 404, "This is not here"),
        ("/sites/%3Cscript%3E", 404, "This is not here"),
        ("/transactions/0x12", 404, "This is not here"),
        ("/transactions/0x" + "ff" * 32, 404, "This is not here"),
        ("/holders/%3Cb%3E", 404, "This is not here"),
        ("/holders/" + ISSUER + "?cursor=x", 422, "This cannot be read"),
        ("/plants/none", 404, "This is not here"),
        ("/plants/vpp-north?by=week", 422, "This cannot be read"),
        ("/settlements/none", 404, "This is not here"),
    ],
)
def test_what_cannot_be_shown_is_said_as_the_api_does(
    client: TestClient, url: str, status: int, title: str
) -> None:
    page = client.get(url, headers=HTML)
    assert page.status_code == status and f"<h1>{title}</h1>" in page.text
    assert page.headers["content-security-policy"] == POLICY
    assert page.headers["x-request-id"] in page.text
    assert "<script>" not in page.text and "Traceback" not in page.text
    chinese = client.get(url, headers={**HTML, "accept-language": "zh"})
    assert chinese.status_code == status and title not in chinese.text
    # A program gets the document, whatever the path.
    document = client.get(url, headers={"accept": "application/json"})
    assert document.headers["content-type"] == "application/problem+json"
    assert document.json()["status"] == status


def test_parted_serials_lead_to_their_parts(client: TestClient) -> None:
    said = client.get("/credits/park-a-2015-1-1-1001", headers=HTML).text
    assert 'href="/credits/park-a-2015-1-902-1001"' in said


def test_the_api_answers_programs_and_people_alike(client: TestClient) -> None:
    answer = client.get("/v1/credits/none", headers=HTML)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "text",
    ["\x00", " ", "a\nb", "x" * 201, "<script>alert(1)</script>", "\u202epark", "%", "' OR 1=1 --"],
)
def test_nothing_that_is_searched_for_does_harm(client: TestClient, text: str) -> None:
    answer = client.get("/search", params={"q": text}, headers=HTML)
    assert answer.status_code in (200, 422)
    assert (
        "<script>alert" not in answer.text
        and "\u202e" not in answer.text
        and "\x00" not in answer.text
    )


def test_what_a_whole_name_names_is_shown_at_once(client: TestClient) -> None:
    for text, place in (
        ("park-a-2015-1-401-901", "/credits/park-a-2015-1-401-901"),
        (key_of(50), None),
        (ISSUER, None),
    ):
        answer = client.get("/search", params={"q": text}, headers=HTML, follow_redirects=False)
        assert (answer.status_code, answer.headers.get("location")) == (
            (303, place) if place else (200, None)
        )
    part = client.get("/search?q=park", headers={**HTML, "hx-request": "true"})
    assert "<html" not in part.text and 'class="rows hits"' in part.text


def test_a_failed_transaction_says_why(client: TestClient) -> None:
    said = client.get("/transactions/" + h66(0x77, 105)).text
    assert "failed" in said and "NotActive(1, Suspended)" in said
    assert f'href="/holders/{ISSUER}"' in said


@pytest.mark.parametrize("url", ["/", "/operations", "/search?q=park"])
def test_a_part_of_a_page_is_asked_for_by_itself(client: TestClient, url: str) -> None:
    """But not by a browser that goes back to the page."""
    part = client.get(url, headers={**HTML, "hx-request": "true"})
    whole = client.get(
        url, headers={**HTML, "hx-request": "true", "hx-history-restore-request": "true"}
    )
    assert part.status_code == 200 and "<html" not in part.text and "<html" in whole.text
    assert "HX-Request" in part.headers["vary"] and part.headers["etag"] != whole.headers["etag"]


@pytest.fixture(scope="module")
def down(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The pages of books that are not there."""
    folder = tmp_path_factory.mktemp("down")
    given = {
        "TRUETONNE_HOME": str(folder),
        "TRUETONNE_DATABASE_URL": f"sqlite:///{folder}/no/secret.db",
    }
    with TestClient(
        create_app(load_settings(None, given)), raise_server_exceptions=False
    ) as client:
        yield client


@pytest.mark.parametrize(
    "url", ["/", "/credits/1", "/retirements/31", "/operations", "/search?q=a", "/sites/a"]
)
def test_without_a_database_a_page_says_so(down: TestClient, url: str) -> None:
    for language, words in (("en", "Not available just now"), ("zh", "暂时不可用")):
        answer = down.get(url, headers={**HTML, "accept-language": language})
        assert answer.status_code == 503 and words in answer.text
        assert answer.headers["retry-after"] == "5"
        assert "secret.db" not in answer.text and "sqlite" not in answer.text


def test_who_asks_too_much_is_told_so(books: str, tmp_path: Path) -> None:
    given = {
        "TRUETONNE_DATABASE_URL": books,
        "TRUETONNE_HOME": str(tmp_path),
        "TRUETONNE_RATE_LIMIT": "1",
    }
    chinese = {**HTML, "accept-language": "zh"}
    with TestClient(create_app(load_settings(None, given))) as client:
        assert client.get("/search", headers=chinese).status_code == 200
        answer = client.get("/search", headers=chinese)
    assert answer.status_code == 429 and "请求过多" in answer.text
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["content-security-policy"] == POLICY


def test_a_defect_leaks_nothing(settings: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the password is swordfish")

    app = create_app(settings)  # type: ignore[arg-type]
    monkeypatch.setattr("api.pages.endpoints.status", broken)
    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.get("/", headers=HTML)
    assert answer.status_code == 500 and "Something broke" in answer.text
    assert "swordfish" not in answer.text


def test_a_name_may_be_anything(sqlite_db: Database, tmp_path: Path) -> None:
    """Ten thousand signs, a script, marks that turn the direction of writing: on every page a name, and no more."""
    name = '<script>alert("1")</script>\u202e\u2066\x00\ud83d' + "𝕏\u0301\u0302\u0303\n" * 2_000
    name = name.encode("utf-8", "replace").decode()
    with sqlite_db.write() as session:
        _contracts(session)
        _transactions(session)
        session.flush()
        _batch(session, 3)
        session.execute(
            update(CreditRetirement).values(beneficiary=name, reason=name, country="<b")
        )
        session.execute(update(CreditSite).values(code="park-a"))
    given = {
        "TRUETONNE_DATABASE_URL": sqlite_db.url.render_as_string(hide_password=False),
        "TRUETONNE_HOME": str(tmp_path),
    }
    with TestClient(create_app(load_settings(None, given))) as client:
        for url in ("/", "/retirements", "/retirements/2", "/credits/park-a-2015-3-1-10"):
            said = client.get(url, headers=HTML)
            assert said.status_code == 200
            assert "&lt;script&gt;" in said.text and "<script>alert" not in said.text
            assert not re.search("[\u202e\u2066\x00]", said.text), url
        assert 'aria-label="The whole text"' in client.get("/retirements/2").text
        pdf = client.get("/retirements/2/certificate.pdf")
        assert pdf.status_code == 200 and pdf.content.startswith(b"%PDF-")
        assert (
            client.get("/v1/retirements/2/certificate").json()["certificate"]["beneficiary"] == name
        )


@long
@few(1)
@pytest.mark.parametrize("code", ["a/b ?#%", "a\nb", "a\n"])
def test_no_link_is_dead_whatever_code_others_gave_their_site(
    sqlite_db: Database, tmp_path: Path, code: str
) -> None:
    """A slash parts an address, and a name with a line break was no credit's; least of all at the code's end."""
    with sqlite_db.write() as session:
        _contracts(session)
        _transactions(session)
        session.flush()
        _batch(session, 3)
        session.execute(sql("PRAGMA defer_foreign_keys = ON"))
        session.execute(update(CreditSite).where(CreditSite.site_id == 1).values(code=code))
        for column in (CarbonCredit.credit_id, CreditSerial.credit_id):
            renamed = func.replace(column, "park-a-2015-", f"{code}-2015-")
            session.execute(update(column.class_).values({column: renamed}))
    given = {
        "TRUETONNE_DATABASE_URL": sqlite_db.url.render_as_string(hide_password=False),
        "TRUETONNE_HOME": str(tmp_path),
        "TRUETONNE_RATE_LIMIT": "0",
    }
    with TestClient(create_app(load_settings(None, given))) as client:
        name = f"{code}-2015-3-1-10"
        if "\n" not in code:  # nobody types one into a search field
            hits = client.get("/v1/search", params={"q": name}).json()["items"]
            links = [hit["link"] for hit in hits if hit["kind"] == "credit"]
            assert [client.get(link).json()["credit_id"] for link in links] == [name]
            shown = client.get("/search", params={"q": name}, headers=HTML).text
            assert f"<title>{name}" in shown
        seen = set()
        for page in ("/", "/credits", "/retirements/2", "/credits/2"):
            shown = client.get(page, headers=HTML).text
            links = {html.unescape(link) for link in re.findall(r'href="(/[^"]*)"', shown)}
            for link in links - seen:
                if re.match("/(credits|search|projects)", link) and "/bundle" not in link:
                    assert client.get(link, headers=HTML).status_code == 200, (page, link)
            seen |= links
        assert "/credits/2/bundle.json?readings=0" in seen or "/" not in code
        assert "/projects/" not in " ".join(seen)  # it is none of these books
