"""What the ledger says in English, for a reader of Chinese: problems, results of the search, contract errors.

The sentences are made where things go wrong, far from any page, and programs read them as they are. So a page looks
up which sentence it is, in ``texts/sentences.toml``, and puts its values into the Chinese one. What stands in no row
is shown as it is, marked as English.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from api.errors import Problem
from api.pages.language import Language
from api.pages.words import Words
from ledger.chain.failures.explanations import explain

_FILE = resources.files("api.pages") / "texts" / "sentences.toml"
_PLACE = re.compile(r"\{([a-z]+)(?::([a-z]+))?\}")
_LENGTH_MAX = 2_000
"""Characters beyond which a text is nobody's sentence; matching takes time in its length."""


@dataclass(frozen=True)
class Said:
    """A sentence for a reader."""

    text: str
    english: bool
    """Whether it is English although the reader reads another language."""


@dataclass(frozen=True)
class _Row:
    pattern: re.Pattern[str]
    kinds: Mapping[str, str]
    chinese: str


def say(t: Words, text: str) -> Said:
    """Return a sentence of the ledger for the reader of a page.

    Parameters
    ----------
    t
        The texts of the reader's language.
    text
        The sentence in English.
    """
    if t.language is Language.ENGLISH:
        return Said(text, False)
    found = _chinese(t, text)
    return Said(text if found is None else found, found is None)


def say_problem(t: Words, problem: Problem) -> list[Said]:
    """Return what a problem says this time: a line, or one for each wrong parameter."""
    if t.language is Language.ENGLISH:
        return [Said(problem.detail, False)]
    contract = problem.extensions.get("contract_error")
    if contract:
        return [Said(f"{contract['chinese']}{contract['to_do_chinese']}", False)]
    lines = []
    for error in problem.extensions.get("errors") or ():
        why = say(t, error["message"])
        lines.append(Said(t("problem.parameter", name=error["name"], why=why.text), why.english))
    return lines or [say(t, problem.detail)]


def say_failure(t: Words, text: str) -> list[Said]:
    """Return why a transaction or a batch failed: in plain words where they are known, then as it was said."""
    known = explain(text)
    if known is None:
        return [say(t, text)]
    chinese = t.language is not Language.ENGLISH
    words = (known.chinese, known.to_do_chinese) if chinese else (known.english, known.to_do)
    return [*(Said(each, False) for each in words if each), Said(text, chinese)]


def _chinese(t: Words, text: str) -> str | None:
    if len(text) > _LENGTH_MAX:
        return None
    for row in _rows():
        found = row.pattern.fullmatch(text)
        if found is not None:
            values = {
                name: _value(t, row.kinds[name], value) for name, value in found.groupdict().items()
            }
            return row.chinese.format_map(values)
    return None


def _value(t: Words, kind: str, value: str) -> str:
    if kind == "said":
        return say(t, value).text
    if kind == "list":
        return value.replace(", ", "、")
    return value if kind in ("", "word") else t.maybe(f"{kind}.{value}") or value


@cache
def _rows() -> tuple[_Row, ...]:
    stated = tomllib.loads(_FILE.read_text(encoding="utf-8"))["sentences"]
    return tuple(_row(english, chinese) for english, chinese in stated)


def _form(kind: str) -> str:
    """Return what may stand in a place: several of them with nothing fixed before would take their product in time."""
    return {"": ".+?", "list": ".+?", "said": ".+", "word": r"\S+"}.get(kind, r"[\w-]+")


def _row(english: str, chinese: str) -> _Row:
    kinds: dict[str, str] = {}
    source, at = "", 0
    for place in _PLACE.finditer(english):
        name, kind = place[1], place[2] or ""
        kinds[name] = kind
        source += re.escape(english[at : place.start()]) + f"(?P<{name}>{_form(kind)})"
        at = place.end()
    return _Row(re.compile(source + re.escape(english[at:]), re.DOTALL), kinds, chinese)
