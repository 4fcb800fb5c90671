"""The certificate: the same bytes at every run, every name in it, and no name can do harm."""

import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pypdf
import pytest
import segno

from api.certificates.facts import CertificateFacts
from api.certificates.pdf import certificate_pdf, certificate_sha256, drawn
from api.certificates.printing import printable, wrapped
from tests.support.forms import few, long, rest

FACTS = CertificateFacts(
    retirement_id=7,
    key="0x" + "de" * 32,
    serials="lhb-wind-2014-1-1-10000",
    amount_kg=10_000,
    beneficiary="Boulangerie de l'Exemple",
    reason="train journeys of 2014",
    country="FR",
    consumption_start=datetime(2014, 1, 1, tzinfo=UTC),
    consumption_end=datetime(2015, 1, 1, tzinfo=UTC),
    document_hash=None,
    holder="0x" + "aa" * 20,
    replaced_batch_id=None,
    site="lhb-wind",
    vintage=2014,
    period_start=datetime(2013, 12, 31, 23, tzinfo=UTC),
    period_end=datetime(2014, 1, 31, 23, tzinfo=UTC),
    zone="Europe/Paris",
    methodology="CCER-01-002 V01",
    batch_id=2 << 32 | 1,
    evidence_root="0x" + "e1" * 32,
    manifest_hash="0x" + "e2" * 32,
    retired_at=datetime(2026, 11, 26, 8, 32, 14, tzinfo=UTC),
    block_number=88,
    tx_hash="0x" + "77" * 32,
    network="sepolia",
    chain_id=11_155_111,
    contract="0x" + "af" * 20,
    url="https://registry.example/retirements/7",
)
INSIDE = "44b0c80d2f4dd3a16bb4c94b2ef918a70eb58ca59d543aee55c750e0791d76dc"
"""SHA-256 of the streams of that certificate, unpacked: what a zlib makes of them is left out."""
WIDTH, HEIGHT = 595.28, 841.89
"""A4 in points."""
HOSTILE = {
    "script": '<script>alert("1")</script>',
    "right to left": "Acme \u202egpj.exe\u202c\u200f Ltd",
    "unprintable": "a\x00b\x07c\u200bd\ue000e\ufffef\n\ng",
    "emoji": "Green 🌱 Power 🏭",
    "outside the fonts": "مصنع الطاقة ऊर्जा",
    "piled up": "Z" + "\u0301\u0302\u0303\u0304\u0305" * 40,
    "one long word": "x" * 10_000,
    "long in Chinese": "碳" * 10_000,
    "long in words": "carbon " * 1_500,
    "no end of lines": "\n" * 10_000,
    "lone surrogate": "a\ud800b",
    "empty": "",
}
BAD_ENOUGH = [HOSTILE[kind] for kind in ("piled up", "lone surrogate")]


def text_of(data: bytes) -> str:
    """Return what a reader of PDFs finds on the one page."""
    reader = pypdf.PdfReader(io.BytesIO(data))
    (page,) = reader.pages
    return " ".join(page.extract_text().split())


def origins(data: bytes) -> Iterator[tuple[float, float, str]]:
    """Yield where each piece of text begins, in points from the left and from the bottom."""
    found: list[tuple[float, float, str]] = []
    (page,) = pypdf.PdfReader(io.BytesIO(data)).pages
    page.extract_text(
        visitor_text=lambda text, _, place, *__: found.append((place[4], place[5], text))
    )
    yield from (item for item in found if item[2].strip())


def test_it_says_all_of_it_in_both_languages() -> None:
    said = text_of(certificate_pdf(FACTS))
    for words in (
        "Retirement certificate",
        "注销证书",
        "10.000 t CO₂e retired",
        "10,000 kg",
        FACTS.beneficiary,
        FACTS.reason,
        FACTS.serials,
        "2014-01-01 – 2014-01-31 Europe/Paris",
        "2014-01-01 – 2014-12-31 UTC",
        "2026-11-26 08:32:14 UTC",
        "CCER-01-002 V01",
        "sepolia · 11155111 · 88",
        FACTS.tx_hash,
        FACTS.evidence_root,
        FACTS.manifest_hash,
        FACTS.url,
        str(FACTS.contract),
        "受益方",
        "查验",
    ):
        assert words in said, words


@long
def test_units_that_stand_in_for_others_are_nobodys_claim() -> None:
    """It read as a retirement on behalf of somebody who is not named."""
    facts = replace(FACTS, beneficiary="", reason="", country=None, replaced_batch_id=1 << 32 | 5)
    said = text_of(certificate_pdf(facts))
    assert (
        "Stands in for units of the invalidated batch" in said and "用于补足已判无效的批次" in said
    )
    assert "4294967301" in said
    assert "On behalf of" not in said and "受益方" not in said


@long
def test_a_consumption_of_which_only_one_end_is_stated_is_said() -> None:
    """It was left out where only its end is, and one without length ended before it began."""
    start, end = FACTS.consumption_start, FACTS.consumption_end
    for given, said in (
        ((None, end), "消费时段 … – 2014-12-31 UTC"),
        ((start, None), "消费时段 2014-01-01 UTC"),
        ((start, start), "消费时段 2014-01-01 – 2014-01-01 UTC"),
        ((None, None), "Country of the claim 声明所属国家 FR Network"),
    ):
        facts = replace(FACTS, consumption_start=given[0], consumption_end=given[1])
        assert said in text_of(certificate_pdf(facts))


@long
@pytest.mark.parametrize(
    "name",
    rest(
        [
            "北京市朝阳区喆堃幼儿园",
            "國泰能源股份有限公司",
            "王镕、𬭎𬬭",
            "Łódź Energia Ő Ž",
            "Ενέργεια",
            "Енергія Київ",
            "Nguyễn Thị",
        ],
        "北京市朝阳区喆堃幼儿园",
    ),
)
def test_names_print(name: str) -> None:
    assert name in text_of(certificate_pdf(replace(FACTS, beneficiary=name)))


@long
def test_the_amount_is_said_in_both_languages() -> None:
    said = text_of(certificate_pdf(replace(FACTS, amount_kg=1_234_567)))
    for words in (
        "1,234.567 t CO₂e retired",
        "1,234,567 kg, one serial",
        "注销 1,234.567 吨二氧化碳当量",
    ):
        assert words in said, words
    assert "1,234,567 千克，每千克一个序列号" in said


def test_equal_facts_give_equal_bytes() -> None:
    facts = replace(FACTS, beneficiary="喆堃 幼儿园 🌱")
    one = drawn(facts)
    assert one == drawn(replace(facts)) == certificate_pdf(facts)
    assert certificate_sha256(facts) == hashlib.sha256(one).hexdigest()
    assert one != certificate_pdf(replace(facts, amount_kg=10_001))
    about = pypdf.PdfReader(io.BytesIO(one)).metadata
    assert about is not None and about.creation_date == FACTS.retired_at


def test_what_is_inside_changes_only_on_purpose() -> None:
    """Another content is another hash of every certificate: say so in CHANGELOG.md, and then change this one."""
    reader = pypdf.PdfReader(io.BytesIO(drawn(FACTS)))
    digest = hashlib.sha256()
    for number in range(1, len(reader.xref[0]) + 1):
        item = reader.get_object(number)
        if isinstance(item, pypdf.generic.StreamObject):
            digest.update(item.get_data())
    assert digest.hexdigest() == INSIDE


@long
@few(1)
@pytest.mark.parametrize("name", rest(HOSTILE.values(), *BAD_ENOUGH), ids=list(HOSTILE))
def test_no_name_breaks_the_page(name: str) -> None:
    document = (
        "0x" + "d0" * 32
    )  # with it, all that can be stated is, and the page is at its fullest
    data = certificate_pdf(replace(FACTS, beneficiary=name, reason=name, document_hash=document))
    said = text_of(data)
    assert FACTS.manifest_hash in said and FACTS.url in said
    assert f"Hash of a document 文件哈希 {document}" in said
    assert not re.search("[\u202a-\u202e\u200e\u200f\u2066-\u2069\x00-\x08]", said)
    rows: dict[float, str] = {}
    for x, y, text in origins(data):
        assert 0 <= x < WIDTH and 20 < y < HEIGHT, text
        rows[round(y, 1)] = text
    ordered = sorted(rows)
    # Lines of the smallest print are 3.4 mm apart; two closer ones would lie on each other.
    assert all(other - one > 8 for one, other in pairwise(ordered) if other - one > 1)
    if len(name) > 1_000:
        digest = hashlib.sha256(name.encode("utf-8")).hexdigest()
        assert f"All {len(name):,} characters" in said and digest in said


@long
def test_signs_that_do_not_show_stand_by_their_numbers() -> None:
    data = certificate_pdf(replace(FACTS, beneficiary=HOSTILE["right to left"], reason="Green 🌱"))
    said = text_of(data)
    assert "Acme <202e>gpj.exe<202c><200f> Ltd" in said
    assert "Green <1f331>" in said


def test_the_code_is_drawn_as_it_is() -> None:
    """The rectangles of the page, put together again, are the modules of the address's code."""
    (page,) = pypdf.PdfReader(io.BytesIO(certificate_pdf(FACTS))).pages
    content = page.get_contents()
    assert content is not None
    drawn = re.findall(rb"([\d.]+) ([\d.]+) ([\d.]+) (-?[\d.]+) re\s+f", content.get_data())
    boxes = [tuple(float(part) for part in item) for item in drawn][
        1:
    ]  # the first is the band on top
    matrix = [
        list(map(bool, row))
        for row in segno.make(FACTS.url, error="m", micro=False, boost_error=False).matrix
    ]
    left, top = min(box[0] for box in boxes), max(box[1] for box in boxes)
    module = abs(boxes[0][3])
    found = [[False] * len(matrix) for _ in matrix]
    for x, y, width, _ in boxes:
        row, column = round((top - y) / module), round((x - left) / module)
        for place in range(column, column + round(width / module)):
            found[row][place] = True
    assert found == matrix


def test_lines_are_broken_where_they_may_be() -> None:
    width = lambda text: float(len(text))  # noqa: E731 - each sign is one wide
    assert wrapped("one two three", 7, 9, width).lines == ("one two", "three")
    assert wrapped("碳信用账本", 2, 9, width).lines == ("碳信", "用账", "本")
    assert wrapped("abcdefgh ij", 3, 9, width).lines == ("abc", "def", "gh", "ij")
    assert wrapped("a b c d", 1, 2, width).lines == ("a", "…")
    assert wrapped("", 5, 2, width) == wrapped("   ", 5, 2, width)
    assert printable("e\u0301", "é".__eq__) == "é"


def test_numbers_that_are_one_sign_are_written_out_and_no_other_sign_is_changed() -> None:
    han = "光伏电站期号".__contains__
    assert printable("光伏电站Ⅱ期①号ⅻ", han) == "光伏电站II期1号xii"
    assert printable("ⅡA", lambda sign: True) == "ⅡA"  # a font has it
    for sign in "𝐀½⑴→🌱":
        assert printable(sign, han) == f"<{ord(sign):x}>"
