"""Every sentence that an error of the API can say has its Chinese, read from the sources themselves."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from api.errors import _UNAVAILABLE
from api.pages.language import Language
from api.pages.rendering import words_of
from api.pages.sentences import say
from tests.api.test_chinese import WORDS

ROOT = Path(__file__).resolve().parents[2]
OF_READINGS = (
    "files/times",
    "periods/evidence_files",
    "rows/stored",
    "shown/selection",
    "shown/slots",
    "shown/views",
)
"""What the API asks of the readings; the rest of them are imports and commands."""
SOURCES = sorted(
    [
        *(file for file in (ROOT / "api").rglob("*.py") if file.name != "server.py"),  # its start
        *(ROOT / "ledger" / "identity").glob("*.py"),
        ROOT / "ledger" / "naming.py",
        ROOT / "ledger" / "webhooks" / "endpoints.py",
        ROOT / "ledger" / "settlement" / "finding.py",
        *(ROOT / "ledger" / "bundles").glob("*.py"),
        *(ROOT / "ledger" / "readings" / f"{name}.py" for name in OF_READINGS),
    ]
)
MESSAGE = {
    "Problem": 2,
    **dict.fromkeys(("NotFound", "BadInput", "Refused", "OtherRequest", "StillRunning"), 0),
    **dict.fromkeys(("TooManyAttempts", "WrongCredentials", "_outside"), 0),
}
"""Which argument of an error is its message."""
OF_VALIDATORS = ("schemas.py", "texts.py", "pagination.py")
"""Where a ``ValueError`` is for whoever asks."""
PREFIXED = ("as_of_block: 101", "cursor: 101", "101; try again later")
"""Put together of a name or a sentence of a table, each of which is tried by itself."""
CASES = {
    "block 101 is not mirrored: the mirror 101; ask for an earlier block, or later": (
        "block 101 is not mirrored: the mirror has not begun; ask for an earlier block, or later",
        "block 101 is not mirrored: the mirror has come to block 101; ask for an earlier block, or later",
    ),
    "block 101 is not mirrored: the books end at block 101, and nothing would be told until then; 101": (
        "block 101 is not mirrored: the books end at block 101, and nothing would be told until then; to be told of "
        "what becomes final from now on, name no block",
        "block 101 is not mirrored: the books end at block 101, and nothing would be told until then; name one that "
        "they have",
    ),
    "101: name one of these, for instance 101": (
        "serials 1 to 5 are retired and 6 to 9 active: name one of these, for instance lhb-2014-1-1-5",
        "serials 1 to 5 are retired, 6 to 8 active and 9 to 9 cancelled: name one of these, "
        "for instance lhb-2014-1-1-5",
    ),
    "reading 101 stands under no evidence root: 101": (
        "reading 101 stands under no evidence root: it came after its period was issued",
        "reading 101 stands under no evidence root: its period is not issued",
    ),
    "site 101 has 101; it has: 101": (
        "site 'lhb' has no device with a meter; it has: none",
        "site 'lhb' has no device 'x'; it has: 101",
    ),
    "the 101 101 is taken; choose another one": (
        "the user name 'eva' is taken; choose another one",
        "the mail address 'e@f.gh' is taken; choose another one",
    ),
}
"""Sentences with words in the place of a value."""


def texts_of(node: ast.expr) -> list[str]:
    """Return what a message says with 101 in the place of each value; nothing for what is no literal."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        return [
            "".join(
                str(part.value) if isinstance(part, ast.Constant) else "101" for part in node.values
            )
        ]
    if isinstance(node, ast.BinOp):
        return [
            a + b for a in texts_of(node.left) or ["101"] for b in texts_of(node.right) or ["101"]
        ]
    if isinstance(node, ast.IfExp):
        return texts_of(node.body) + texts_of(node.orelse)
    return []


def sentences() -> Iterator[tuple[str, str]]:
    """Yield where each message of an error stands, and what it says."""
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            name = node.func.id
            place = 0 if name == "ValueError" and file.name in OF_VALIDATORS else MESSAGE.get(name)
            if place is None or len(node.args) <= place:
                continue
            for text in texts_of(node.args[place]):
                if text not in PREFIXED:
                    for case in CASES.get(text, (text,)):
                        yield f"{file.relative_to(ROOT)}:{node.lineno}", case


def english_left(text: str) -> list[str]:
    """Return the English words of what a reader of Chinese is told of a sentence; all, where it has no row."""
    found = say(words_of(Language.CHINESE), text)
    said = re.sub(r"'[^']*'|[\w.]+@[\w.]+|\d{4}-\d\d-\d\dT[\d:]+Z|application/json", "", found.text)
    words = re.findall("[A-Za-z]+", said)
    return words if found.english else [word for word in words if word not in WORDS]


@cache
def every_sentence() -> list[tuple[str, str]]:
    """Return them all: the sources are read when it is asked, not by each process that collects the tests."""
    return list(sentences())


def test_the_sentences_are_found() -> None:
    """A message that is named here stands in the sources; an extraction that finds none would let all pass."""
    texts = {text for _, text in every_sentence()}
    assert len(texts) > 70
    assert {"you have no such API key", "there is no reading 101"} <= texts
    assert "the node has no block 101" in texts  # whichever file of the bundles says so
    assert "101 has 101 keys; revoke one first" in texts
    assert set(PREFIXED) <= {
        text
        for file in SOURCES
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.JoinedStr)
        for text in texts_of(node)
    }


def test_each_sentence_has_its_chinese() -> None:
    left = [(place, text, english_left(text)) for place, text in every_sentence()]
    assert [each for each in left if each[2]] == []


@pytest.mark.parametrize("text", _UNAVAILABLE.values())
def test_what_does_not_answer_is_said_in_chinese(text: str) -> None:
    assert english_left(f"{text}; try again later") == []


def test_no_answer_speaks_of_options_of_the_command_line() -> None:
    """What a client of the API gives is a parameter: it has no ``--block``."""
    told = [
        f"{place}: {text}" for place, text in every_sentence() if re.search(r"(?<!\S)--[a-z]", text)
    ]
    assert told == []


def test_values_of_a_list_stand_with_chinese_commas() -> None:
    found = say(words_of(Language.CHINESE), "Input should be 'active', 'retired' or 'cancelled'")
    assert found.text == "应为 'active'、'retired' 或 'cancelled'"
    assert say(words_of(Language.CHINESE), "Input should be 'a' or 'b'").text == "应为 'a' 或 'b'"
