"""The page's verifier says what the command's says, of every bundle, forgery and mutant; and asks nobody."""

import base64
import hashlib
import random
import re
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.verifier.endpoints import PAGE as SERVED
from api.verifier.endpoints import policy
from ledger.bundles import BuiltBundle
from ledger.proofs.verifier.trie import keccak256
from ledger.settings import load_settings
from tests.support.bundle_mutants import judge, mutants
from tests.support.forgeries import FORGERIES, TEXTS, forged
from tests.support.proven import RETIRED
from tests.support.verify_page import PAGE, answers, case

MUTANTS = 120


def same(texts: list[tuple[str, BuiltBundle]]) -> None:
    said = answers(case(text, built.trusted) for text, built in texts)
    for (text, built), theirs in zip(texts, said, strict=True):
        assert theirs == judge(text, built.trusted)


def test_every_bundle_has_the_same_verdict_in_the_same_words(
    corpus: dict[str, BuiltBundle],
) -> None:
    same([(built.text, built) for built in corpus.values()])


def test_every_forgery_and_mutant_has_the_same_verdict(corpus: dict[str, BuiltBundle]) -> None:
    """A forgery is refused by the same check, after the same ones held."""
    built, chance = corpus[RETIRED], random.Random(20260102)
    texts = [(forged(built.text, forge), built) for forge, _ in FORGERIES.values()]
    texts += [(change(built.text), built) for change in TEXTS.values()]
    for each in corpus.values():
        source = mutants(each.text, chance)
        texts += [(next(source), each) for _ in range(MUTANTS // len(corpus))]
    same(texts)


def test_its_keccak_is_the_keccak() -> None:
    chance = random.Random(7)
    data = [chance.randbytes(size) for size in (*range(60), 134, 135, 136, 137, 271, 272, 1000)]
    assert answers({"hash": each.hex()} for each in data) == [
        keccak256(each).hex() for each in data
    ]


# ------------------------------------------------------------------------ the page


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    home = tmp_path_factory.mktemp("home")
    with TestClient(create_app(load_settings(None, {"TRUETONNE_HOME": str(home)}))) as client:
        yield client


def test_the_page_is_served_with_its_policy(client: TestClient) -> None:
    answer = client.get("/verify")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.text == SERVED == PAGE.read_text(encoding="utf-8")
    assert answer.headers["content-security-policy"] == policy()
    assert client.get("/verify?x=1").status_code == 422


def test_the_policy_allows_this_script_and_this_style_and_nothing_else() -> None:
    """No request can leave the page: not of a script, a picture, a form or a frame."""

    def digest(tag: str) -> str:
        [text] = re.findall(f"<{tag}>(.*?)</{tag}>", SERVED, re.DOTALL)
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    assert policy() == (
        f"default-src 'none'; script-src 'sha256-{digest('script')}'; "
        f"style-src 'sha256-{digest('style')}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


def test_the_page_names_no_other_place() -> None:
    assert not re.search(r"https?:|//[a-z]+\.|\b(src|href|action|srcset)=|@import|url\(", SERVED)
    code = re.sub(r"//.*", "", SERVED)
    for name in ("fetch", "XMLHttp", "WebSocket", "EventSource", "sendBeacon", "import(", "eval("):
        assert name not in code
    for name in ("innerHTML", "insertAdjacentHTML", "document.write", "localStorage", "cookie"):
        assert name not in code
