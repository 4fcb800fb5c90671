"""On a page in Chinese nothing is English but names, hashes, units and codes."""

import re
import time
import tomllib
from collections.abc import Callable
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.errors import Problem, problem_of
from api.pages.language import Language
from api.pages.rendering import words_of
from api.pages.sentences import Said, say, say_failure, say_problem
from ledger.errors import Refused
from ledger.settings import load_settings
from tests.api.conftest import ISSUER, h66
from tests.api.test_pages import HTML, PAGES
from tests.support.forms import few

REFUSED = (
    "/nothing",
    "/credits/none",
    "/credits/park-a-2015-1-1-1001",
    "/credits/park-a-2015-1-1-400/manifest.json",
    "/credits/park-a-2015-1-1-400/days/2014-06-01",
    "/credits/park-a-2015-1-1-400/days/2014-13-45",
    "/credits?limit=many",
    "/credits?limit=0",
    "/credits?limit=999",
    "/credits?cursor=forged",
    "/credits?order=up",
    "/credits?status=good",
    "/credits?vintage=x",
    "/credits?batch_id=" + "9" * 40,
    "/credits?x=" + "y" * 5_000,
    "/retirements/999999",
    "/retirements/31/certificate.pdf",
    "/retirements/none",
    "/projects/none",
    "/sites/none",
    "/plants/none",
    "/plants/vpp-north?by=week",
    "/settlements/none",
    "/settlements?state=lost",
    "/transactions/0x12",
    "/transactions/" + h66(0xFF, 1),
    "/holders/0x1",
    "/holders/" + ISSUER + "?cursor=x",
    "/verify?x=1",
    "/credits?as_of_block=99999999",
    "/credits?limit=1&limit=2",
    "/retirements?retired_from=2014-13-01T00:00:00Z",
)
NAMES = {"code", "bdi", "time", "pre", "script", "style"}
"""What stands in these is a name, a code, a number or somebody's text."""
WORDS = {
    *("Truetonne", "UTC", "PDF", "JSON", "SHA", "CO", "e", "t", "kW", "kWh", "MWh", "gas", "API"),
    *("truetonne", "status", "reconcile", "verify", "up"),  # commands
    *("Europe", "Paris", "local", "FR", "GET", "HEAD", "openapi", "json"),
    *("true", "false", "x", "R", "wind", "turbine"),  # a device's type is a text of the park's file
    *("CCER", "CM", "V", "A", "CarbonCredit", "VppSettlement", "lhb", "Park", "day", "ahead", "DE"),
}
TABLE = resources.files("api.pages") / "texts" / "sentences.toml"
TEXTS = ("aria-label", "title", "placeholder", "alt")


class Reader(HTMLParser):
    """Gathers what a reader of Chinese is told, and what of it is marked as English."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []
        self.english: list[str] = []
        self._open: list[tuple[str, bool]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        named = any(skips for _, skips in self._open)
        if tag not in ("meta", "link", "input", "img", "br", "rect", "line", "path"):
            # English as a choice of language is no English text.
            chosen = "hreflang" in given
            if given.get("lang") == "en" and not chosen:
                self.english.append(tag)
            self._open.append((tag, tag in NAMES or chosen))
        if not named:
            self.told += [given[name] or "" for name in TEXTS if name in given and tag != "code"]

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not any(skips for _, skips in self._open):
            self.told.append(data)


def english_in(page: str) -> list[str]:
    """Return the Latin words that a page tells, but for names, units and codes."""
    reader = Reader()
    reader.feed(page)
    assert reader.english == []
    text = re.sub(
        r"0x[0-9a-f]{4,}(…[0-9a-f]+)?|Mühle Übel & S\S*|park(-[ab0-9-]+)?|vpp-\w+|[\w.]+@[\w.]+",
        "",
        " ".join(reader.told),
    )
    text = re.sub("'[^']*'|‘[^’]*’|“[^”]*”", "", text)  # what was asked for
    return [word for word in re.findall("[A-Za-z]+", text) if word not in WORDS]


@few(4)
@pytest.mark.parametrize("url", PAGES)
def test_a_page_in_chinese_is_chinese(client: TestClient, url: str) -> None:
    page = client.get(url, headers={**HTML, "accept-language": "zh"})
    assert page.status_code == 200 and english_in(page.text) == []
    reader = Reader()
    reader.feed(page.text)
    for text in reader.told:  # brackets and units of one width and one kind
        assert not re.search(r"[\u4e00-\u9fff] ?\(|\d (kWh|kg)\b", text), text


@pytest.mark.parametrize("url", REFUSED)
def test_a_problem_in_chinese_is_chinese(client: TestClient, url: str) -> None:
    page = client.get(url, headers={**HTML, "accept-language": "zh"})
    assert page.status_code >= 400 and english_in(page.text) == []


def test_a_month_that_is_none_is_what_is_said(client: TestClient) -> None:
    """And not that its time has no zone."""
    for time_of, said in (("2014-13-01T00:00:00Z", "月份"), ("2014-02-30T00:00:00Z", "该月没有")):
        url = f"/retirements?retired_from={time_of}"
        page = client.get(url, headers={**HTML, "accept-language": "zh"}).text
        assert said in page and "时区" not in page


def test_the_verifier_has_its_title_in_chinese_before_its_script_runs(client: TestClient) -> None:
    page = client.get("/verify", headers={**HTML, "accept-language": "zh"}).text
    assert re.findall(r"<title>(.*)</title>|<h1 id=.title.>(.*)</h1>", page) == [
        ("验证证明文件", ""),
        ("", "验证证明文件"),
    ]
    assert '"zh-Hans": { title: "验证证明文件"' in page  # what the script writes is the same
    english = client.get("/verify", headers={**HTML, "accept-language": "en"}).text
    assert english.count(">Check a proof bundle<") == 2


@pytest.mark.parametrize("url", ["/", "/operations", "/credits/1", "/settlements/1"])
def test_without_a_database_a_page_says_so_in_chinese(url: str, tmp_path: Path) -> None:
    given = {
        "TRUETONNE_HOME": str(tmp_path),
        "TRUETONNE_DATABASE_URL": f"sqlite:///{tmp_path}/no/a.db",
    }
    with TestClient(create_app(load_settings(None, given))) as client:
        page = client.get(url, headers={**HTML, "accept-language": "zh"})
    assert page.status_code == 503 and english_in(page.text) == []


def test_what_has_no_chinese_is_shown_and_marked() -> None:
    """Nothing is hidden from the reader, and a screen reader knows how to read it."""
    t = words_of(Language.CHINESE)
    assert say(t, "a sentence of tomorrow") == Said("a sentence of tomorrow", True)
    assert say(t, "x" * 1_000_000).english  # no pattern is tried on it
    [line] = say_problem(t, Problem(422, "bad-request", "a sentence of tomorrow"))
    assert line.english
    assert say(words_of(Language.ENGLISH), "a sentence of tomorrow") == Said(
        "a sentence of tomorrow", False
    )


@pytest.mark.parametrize(
    "part",
    ["a, ", " 0x", ", 1 t CO2e issued", " of site ", "x may not y, so ", "the serials of a "],
)
def test_no_text_of_a_stranger_takes_long(part: str) -> None:
    """Whoever writes names and reasons could choose the text that costs a pattern the most."""
    t = words_of(Language.CHINESE)
    say(t, part)  # the table is read once
    two_places = re.compile(r"(.+?)(.+?)b")  # two million ways to part its text
    product_s = processor_s(lambda: two_places.fullmatch("a" * 2_000))
    assert processor_s(lambda: say(t, (part * 2_000)[:2_000])) < product_s


def processor_s(work: Callable[[], object]) -> float:
    """Return what something costs the processor, however long it has to wait for it."""
    began = time.process_time()
    work()
    return time.process_time() - began


def test_a_contract_error_is_said_in_chinese() -> None:
    t = words_of(Language.CHINESE)
    problem = problem_of(Refused("issue: NotActive(batchId=1, status=2)"))
    [line] = say_problem(t, problem)
    assert not line.english and "批次 1 的状态是 已暂停" in line.text
    *words, original = say_failure(t, "NotActive(batchId=1, status=2)")
    assert words and not any(each.english for each in words)
    assert original == Said("NotActive(batchId=1, status=2)", True)


def test_each_sentence_is_found_and_has_its_values() -> None:
    """The rows of the table: each is reached by its own English, and puts every value in place."""
    rows = tomllib.loads(TABLE.read_text(encoding="utf-8"))["sentences"]
    t = words_of(Language.CHINESE)
    for english, chinese in rows:
        places = re.findall(r"\{([a-z]+)", english)
        assert set(re.findall(r"\{([a-z]+)", chinese)) <= set(places)
        named = {name: str(101 + at) for at, name in enumerate(places)}
        found = say(t, re.sub(r":[a-z]+\}", "}", english).format_map(named))
        assert found == Said(chinese.format_map(named), False), english
