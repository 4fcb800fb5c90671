"""The page in a real Chromium: a file goes in, the verdict is the command's, and nothing goes out."""

import json
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from api.app import create_app
from ledger.bundles import BuiltBundle
from ledger.proofs.verifier import verify
from ledger.settings import load_settings
from tests.support.browser import Page, browser, find_chromium
from tests.support.forgeries import FORGERIES, forged
from tests.support.forms import few
from tests.support.proven import ALL_READINGS, RETIRED
from tests.support.verify_page import PAGE

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    if find_chromium() is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI must run the tests in a browser: Chromium is not installed")
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API on a port of its own."""
    app = create_app(load_settings(None, {"TRUETONNE_HOME": str(tmp_path_factory.mktemp("home"))}))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server does not start"
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/verify"
    server.should_exit = True
    thread.join()


def fill(page: Page, built: BuiltBundle) -> None:
    trusted = built.trusted
    for name, value in (
        ("block_hash", "0x" + trusted.block_hash.hex()),
        ("address", "0x" + trusted.address.hex().upper()),
        ("code_hash", "0x" + trusted.code_hash.hex()),
        ("chain_id", str(trusted.chain_id)),
    ):
        page.run(f"document.getElementById('{name}').value = {json.dumps(value)}")


def outcome(page: Page) -> tuple[str, list[str]]:
    """Return the verdict and the checks that held, when they are there; and clear them.

    Names in them stand apart from the words beside them, which letters from right to left would else carry away.
    """
    page.wait(
        "!['', 'Checking…', '正在验证……'].includes(document.getElementById('outcome').textContent)"
    )
    rows = "Array.from(document.querySelectorAll('#checks li'), (item) => item.textContent)"
    found = page.run("document.getElementById('outcome').textContent"), page.run(rows)
    apart = page.run(rows.replace("#checks li", "#checks bdi"))
    assert apart == re.findall('"[^"]*"', "".join(found[1]))
    page.run("document.getElementById('outcome').textContent = ''")
    return found


@few(1)
@pytest.mark.parametrize("place", ["served", "a saved file"])
def test_a_person_checks_a_bundle(
    page: Page, served: str, corpus: dict[str, BuiltBundle], tmp_path: Path, place: str
) -> None:
    url = served if place == "served" else PAGE.as_uri()
    built, good, bad = corpus[ALL_READINGS], tmp_path / "good.json", tmp_path / "<b>bad\u202e.json"
    good.write_text(built.text + "\n", encoding="utf-8")
    bad.write_text(forged(built.text, FORGERIES["serials upside down"][0]), encoding="utf-8")
    page.open(url)
    page.requests.clear()
    fill(page, built)
    page.choose_file("#file", good)
    page.run(
        """new MutationObserver(([{ target }]) => (window.told = window.told || []).push(target.textContent))
        .observe(document.getElementById('outcome'), { childList: true });
        document.getElementById('check').click()"""
    )
    verdict = verify(built.text, built.trusted)
    assert outcome(page) == ("good.json: valid", [words for _, words in verdict.checks])
    # Years of readings take a while: it is told that they are being checked.
    assert [said for said in page.run("told") if said][:2] == ["Checking…", "good.json: valid"]
    limits = "Array.from(document.querySelectorAll('#not_proven li'), (item) => item.textContent)"
    assert tuple(page.run(limits)) == verdict.not_proven

    page.drop_file(bad, 100, 100)
    said, held = outcome(page)
    assert said == "<b>bad<202e>.json: not valid: serials: they are not among 1 to 100"
    assert held == [words for name, words in verdict.checks[:9]]
    assert page.run(limits) == []

    for other in ('[1, {"format": "truetonne-bundle/1"}]', '{"format": "other/1"}', '"text"'):
        bad.write_text(other, encoding="utf-8")  # as the command says of each
        page.drop_file(bad, 100, 100)
        said, held = outcome(page)
        assert said.endswith(
            "this is no bundle: JSON, but none that names a format such as truetonne-bundle/2"
        )
        assert held == []

    bad.write_bytes(b"\xff\xfe{}")
    page.drop_file(bad, 100, 100)
    assert outcome(page) == ("<b>bad<202e>.json: not valid: it is not UTF-8 text", [])

    with bad.open("wb") as file:
        file.truncate(257 * 2**20)  # of which the command says that it is larger than any bundle
    page.drop_file(bad, 100, 100)
    assert outcome(page) == ("<b>bad<202e>.json: not valid: it cannot be read, or is too large", [])

    # A verdict goes when what it was about does.
    page.drop_file(good, 100, 100)
    page.wait("document.querySelectorAll('#checks li').length > 9")
    page.run("document.getElementById('block_hash').select()")
    page.call("Input.insertText", text="0x" + "11" * 32)
    seen = (
        "['outcome', 'checks', 'not_proven'].map((id) => document.getElementById(id).textContent)"
    )
    assert page.run(seen) == ["", "", ""]
    assert not page.run("document.getElementById('limits').checkVisibility()")
    fill(page, built)

    # The same in Chinese, at a click and without checking anew.
    page.choose_file("#file", good)
    page.run("document.getElementById('check').click()")
    page.wait("document.querySelectorAll('#checks li').length > 9")
    page.run("document.querySelector('header button[lang=zh-Hans]').click()")
    assert outcome(page)[0] == "good.json：有效"
    assert page.run("document.title + document.documentElement.lang") == "验证证明文件zh-Hans"
    seen = page.run("document.body.innerText")
    for value in (
        *re.findall(r"0x[0-9a-f]+|[0-9-]+T[0-9:]+Z|\"[^\"]*\"", seen),
        *("English", "Truetonne"),
        "good.json",
    ):
        seen = seen.replace(value, "")
    assert re.findall("[A-Za-z]{2,}", seen) == []
    assert page.requests == []
    assert page.complaints == []


def test_a_page_that_was_saved_with_a_verdict_shows_none_before_it_has_checked(
    page: Page, served: str, corpus: dict[str, BuiltBundle], tmp_path: Path
) -> None:
    """Browsers save what the page shows by then, and not the values that were typed."""
    built, bundle, saved = corpus[RETIRED], tmp_path / "bundle.json", tmp_path / "saved.html"
    bundle.write_text(built.text, encoding="utf-8")
    page.open(served)
    fill(page, built)
    page.choose_file("#file", bundle)
    page.run("document.getElementById('check').click()")
    page.wait("document.querySelectorAll('#not_proven li').length > 3")
    text = page.run("document.documentElement.outerHTML")
    assert "bundle.json</bdi>: valid" in text
    saved.write_text(f"<!DOCTYPE html>\n<!-- saved from url={served} -->\n{text}", encoding="utf-8")
    page.complaints.clear()
    page.open(saved.as_uri())
    parts = ("outcome", "checks", "not_proven", "chosen")
    assert [page.run(f"document.getElementById('{part}').textContent") for part in parts] == [
        ""
    ] * len(parts)
    assert not page.run("document.getElementById('limits').checkVisibility()")
    fill(page, built)
    page.drop_file(bundle, 100, 100)  # its policy lets its script run in the copy, too
    assert outcome(page)[0] == "bundle.json: valid"
    whole = built.text
    for content, said in (
        (whole[: len(whole) // 2], f"it ends before it is whole, at {len(whole) // 2}"),
        ("", "it ends before it is whole, at 0"),
        (text, "a value that is none at 0"),
    ):
        bundle.write_text(content, encoding="utf-8")
        page.drop_file(bundle, 100, 100)
        assert outcome(page)[0].endswith(f"not JSON as it is written here: {said}")
    page.run("document.getElementById('block_hash').value = ''")
    page.drop_file(bundle.rename(tmp_path / "other.json"), 100, 100)  # named, though not checked
    page.wait("document.getElementById('chosen').textContent === 'other.json'")
    assert page.complaints == []


def test_what_is_missing_is_not_checked(page: Page, served: str) -> None:
    page.open(served)
    page.run("document.getElementById('check').click()")
    assert page.run("document.getElementById('outcome').textContent") == ""
    assert page.run("document.querySelector('input:invalid').id") == "block_hash"


def test_nothing_can_leave_the_page(page: Page, served: str) -> None:
    """Even a script in it could not: the policy refuses a request, and code that came with a file."""
    page.open(served)
    tried = page.run("fetch('/livez').then(() => 'sent', () => 'refused')")
    assert tried == "refused"
    page.run(
        "document.body.append(Object.assign(document.createElement('script'), {text: 'window.bad = 1'}))"
    )
    assert page.run("window.bad") is None
    page.complaints.clear()


def test_it_fits_a_phone(
    page: Page, served: str, corpus: dict[str, BuiltBundle], tmp_path: Path
) -> None:
    size = {"width": 360, "height": 640, "deviceScaleFactor": 2, "mobile": True}
    page.call("Emulation.setDeviceMetricsOverride", **size)
    page.open(served)
    built, file = corpus[RETIRED], tmp_path / "bundle.json"
    file.write_text(built.text, encoding="utf-8")
    fill(page, built)
    page.choose_file("#file", file)
    page.run("document.getElementById('check').click()")
    assert outcome(page)[0] == "bundle.json: valid"
    assert page.run("document.documentElement.scrollWidth <= 360")
    page.call("Emulation.clearDeviceMetricsOverride")


def shown(page: Page) -> str:
    """Return what the page shows where it may run nothing: what the accessibility tree has as text."""
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    texts = (node for node in nodes if node.get("role", {}).get("value") == "StaticText")
    return " ".join(str(node["name"]["value"]) for node in texts)


@few(1)
@pytest.mark.parametrize(
    ("language", "words"), [("en", "scripts are turned off"), ("zh", "已停用脚本")]
)
def test_without_a_script_the_page_says_that_it_cannot(
    page: Page, served: str, language: str, words: str
) -> None:
    """And not that the form was sent, and nothing came of it."""
    page.call("Network.setExtraHTTPHeaders", headers={"Accept-Language": language})
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.call("Page.navigate", url=served)
        end = time.monotonic() + 60
        while words not in shown(page):
            assert time.monotonic() < end
            time.sleep(0.05)
    finally:
        page.call("Emulation.setScriptExecutionDisabled", value=False)
        page.call("Network.setExtraHTTPHeaders", headers={})
