"""The page's verifier says what the command's says, of every bundle, forgery and mutant; and asks nobody."""

import base64
import hashlib
import random
import re
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.verifier.endpoints import PAGE as SERVED
from api.verifier.endpoints import policy
from ledger.bundles import ALL, BuiltBundle
from ledger.issuance import plan_issuance, submit_planned
from ledger.proofs.sums import recompute
from ledger.proofs.verifier import ProofError, verify
from ledger.proofs.verifier.trie import keccak256
from ledger.settings import load_settings
from ledger.sites import apply_site
from tests.support.bundle_mutants import judge, mutants
from tests.support.forgeries import FORGERIES, TEXTS, forged
from tests.support.forms import long
from tests.support.park import PROJECT, Park
from tests.support.plant import SITE
from tests.support.proven import NAME, RETIRED, bundle
from tests.support.verify_page import PAGE, answers, case
from tests.support.worlds import World

MUTANTS = 120
Said = list[tuple[str, BuiltBundle, dict[str, Any]]]
"""Texts, each with the bundle that it is or was made of, and what the page says of it."""


def said_of(texts: list[tuple[str, BuiltBundle]]) -> Said:
    said = answers(case(text, built.trusted) for text, built in texts)
    return [(*each, theirs) for each, theirs in zip(texts, said, strict=True)]


def same(said: Said) -> None:
    for text, built, theirs in said:
        found = {name: value for name, value in theirs.items() if name != "message"}
        assert found == judge(text, built.trusted)


@pytest.fixture(scope="module")
def of_bundles(corpus: dict[str, BuiltBundle]) -> Said:
    return said_of([(built.text, built) for built in corpus.values()])


@pytest.fixture(scope="module")
def of_forgeries(corpus: dict[str, BuiltBundle]) -> Said:
    """And of mutants."""
    built, chance = corpus[RETIRED], random.Random(20260102)
    texts = [(forged(built.text, forge), built) for forge, _ in FORGERIES.values()]
    texts += [(change(built.text), built) for change in TEXTS.values()]
    for each in corpus.values():
        source = mutants(each.text, chance)
        texts += [(next(source), each) for _ in range(MUTANTS // len(corpus))]
    return said_of(texts)


def test_every_bundle_has_the_same_verdict_in_the_same_words(of_bundles: Said) -> None:
    same(of_bundles)


def test_every_forgery_and_mutant_has_the_same_verdict(of_forgeries: Said) -> None:
    """A forgery is refused by the same check, after the same ones held."""
    same(of_forgeries)


@long
def test_both_verifiers_take_a_manifest_that_says_when_a_meter_is_there(park: Park) -> None:
    there = 'role = "generation"\nin_service_from = "2013-12-31"\nin_service_to = "2014-01-01"'
    with park.db.write() as session:
        apply_site(session, SITE.replace('role = "generation"', there))
    park.register()
    park.generate(date(2014, 1, 1), ["60"])
    plan_issuance(park.chain, PROJECT, date(2014, 1, 1), date(2014, 1, 2))
    submit_planned(park.chain, PROJECT)
    park.mirror_final()
    built = bundle(park, NAME, ALL)
    said = '\\"in_service_to_s\\":1388617200'  # midnight in Paris
    assert said in built.text
    same(said_of([(built.text, built)]))
    assert "0.5 t/MWh they come to 720 kg" in (recompute(built.text) or "")
    # The page and the verifier alike do not look at it: it stands under the hash.
    moved = built.text.replace(said, said.replace("7200", "7199"))
    same(said_of([(moved, built)]))
    with pytest.raises(ProofError):
        verify(moved, built.trusted)


def test_its_keccak_is_the_keccak() -> None:
    chance = random.Random(7)
    data = [chance.randbytes(size) for size in (*range(60), 134, 135, 136, 137, 271, 272, 1000)]
    assert answers({"hash": each.hex()} for each in data) == [
        keccak256(each).hex() for each in data
    ]


# ------------------------------------------------------------------------ in Chinese

VALUES = re.compile(
    r"0x[0-9a-f]*|[0-9-]+T[0-9:]+Z|\"[^\"]*\"|truetonne-bundle/[12]|bundle(\.[a-z_]+|\[[0-9]+\])*"
)
"""What stays as it is in every language: hashes, times, names in quotes, places in the file."""


def english_in(sentence: str) -> list[str]:
    """Return the words of a Chinese sentence that are written in Latin letters, but for values and abbreviations."""
    words = re.findall("[A-Za-z]+", VALUES.sub("", sentence))
    return [word for word in words if word not in ("JSON", "RLP", "EIP", "UTF")]


def test_every_sentence_of_a_check_is_said_in_chinese(of_bundles: Said, of_forgeries: Said) -> None:
    """All that valid, forged and changed bundles made it say, and some more."""
    said = set()
    for _, _, theirs in (*of_bundles, *of_forgeries):
        said.update(words for _, words in theirs["held"])
        said.update(theirs.get("not_proven", ()))
        said.update([theirs["message"]] if "message" in theirs else ())
    odd = [*(World(expires_at=at) for at in (1, 2**32 - 1)), World(status=4, deficit_kg=60)]
    said.update(
        words for each in [world.build() for world in odd] for _, words in judge(*each)["held"]
    )
    sentences = sorted(said)
    assert len(sentences) > 100
    for english, chinese in zip(
        sentences, answers({"say": each} for each in sentences), strict=True
    ):
        assert english_in(chinese) == [] and chinese != english, (english, chinese)
        kept = re.findall(r"0x[0-9a-f]{40,}|[0-9-]+T[0-9:]+Z", english)
        assert sorted(kept) == sorted(re.findall(r"0x[0-9a-f]{40,}|[0-9-]+T[0-9:]+Z", chinese))


def test_every_refusal_that_stands_in_the_verifier_has_its_chinese() -> None:
    """Those that no bundle above met, too: a message that is added needs its line in the table."""
    code = SERVED.partition("<script>")[2].partition("the same in Chinese")[0]
    text = r"(`[^`]*`|\"[^\"]*\")"
    found = re.findall(rf"(?:fail|wrong|new ProofError)\({text}", code)
    found += re.findall(rf"require\((?:[^;]|\n)*?, {text}\);", code)
    assert len(found) > 45
    sentences = [re.sub(r"\$\{[^}]*\}+", "7", each[1:-1]) for each in found]
    sentences = [each for each in sentences if re.search("[a-z] [a-z]", each)]
    whole = [
        each for each in sentences if not re.match("7 another", each) and "JSON as it" not in each
    ]
    assert len(whole) > 40
    for english, chinese in zip(whole, answers({"say": each} for each in whole), strict=True):
        assert english_in(chinese) == [], (english, chinese)


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


def test_the_page_begins_in_the_readers_language(client: TestClient) -> None:
    """And with the same script: what is trusted is not another page for other readers."""
    for asked, headers in (("?lang=zh", {}), ("", {"accept-language": "zh-CN,en;q=0.5"})):
        said = client.get("/verify" + asked, headers=headers).text
        chinese = SERVED.replace('<html lang="en">', '<html lang="zh-Hans">', 1)
        for begin, end in (("<title>", "</title>"), ('<h1 id="title">', "</h1>")):
            english = f"{begin}Check a proof bundle{end}"
            assert chinese.count(english) == 1
            chinese = chinese.replace(english, f"{begin}验证证明文件{end}")
        assert said == chinese
        client.cookies.clear()


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
