"""What an error of a contract means to people, and what they can do: in English and in Chinese.

The table is generated from the ABIs and from ``contracts/errors.toml`` (``python -m scripts.generate_errors``), so
that no error is without a sentence. Errors come as ``Name(argument=value, ...)``, as ``reverts.reason_of`` writes them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Context, Decimal, InvalidOperation
from functools import cache
from importlib.resources import files
from typing import Any

from ledger.chain.contracts.roles import name_of

_NAMED = re.compile(r"\b([A-Z][A-Za-z0-9]+)\(")
_PLACE = re.compile(r"\{(\w+)(?:\|(\w+))?\}")
_SHOWN_MAX = 120
"""Characters of a value that are shown: a text of a contract's caller may be long."""
_EXACT = Context(prec=78)
"""Holds every number of 256 bits."""
CREDIT_STATUS = ("unknown", "active", "suspended", "disputed", "cancelled", "expired")
SETTLEMENT_STATUS = ("unknown", "proposed", "finalized", "cancelled", "disputed")
_CREDIT_STATUS_CHINESE = ("不存在", "有效", "已暂停", "有争议", "已作废", "已到期")
_SETTLEMENT_STATUS_CHINESE = ("不存在", "已提交", "已结算", "已作废", "有争议")
_Form = Callable[[str], str]


@dataclass(frozen=True)
class Explanation:
    """An error with its values in plain words."""

    name: str
    arguments: Mapping[str, str]
    english: str
    to_do: str
    chinese: str
    to_do_chinese: str

    @property
    def code(self) -> str:
        """The name in kebab case, for programs."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", self.name).lower()

    def of(self, message: str) -> str:
        """Return the sentence for people: what it means, what to do, and in brackets the message that names it."""
        return f"{self.english} {self.to_do} ({message})"


def explain(text: str | None) -> Explanation | None:
    """Return what the error that a text names means; None when it names none of ours.

    Parameters
    ----------
    text
        ``Name(argument=value, ...)``, alone or within a sentence.
    """
    if not text:
        return None
    for found in _NAMED.finditer(text):
        row = table().get(found[1])
        if row is None:
            continue
        values = _values(row["arguments"], text[found.end() :])
        if values is None:
            continue
        parts = {
            part: _filled(row[part], values, forms)
            for parts_of, forms in (
                (("english", "to_do"), _FORMS),
                (("chinese", "to_do_chinese"), _CHINESE_FORMS),
            )
            for part in parts_of
        }
        return Explanation(found[1], values, **parts)
    return None


def with_meaning(text: str) -> str:
    """Return a text with what the contract's error that it names means, and what to do; once, if it says so already."""
    said = explain(text)
    return text if said is None or said.english in text else said.of(text)


@cache
def table() -> dict[str, dict[str, Any]]:
    """Return all errors by name."""
    path = files("ledger.chain.failures") / "contract_errors.json"
    found: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return found


@cache
def _pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    # The names part the values: a text among them may hold commas.
    parts = [f"{re.escape(name)}=(.*?)" for name in names]
    return re.compile(", ".join(parts) + r"\)", re.DOTALL)


def _values(names: list[str], rest: str) -> dict[str, str] | None:
    found = _pattern(tuple(names)).match(rest)
    return None if found is None else dict(zip(names, found.groups(), strict=True))


def _filled(sentence: str, values: Mapping[str, str], forms: Mapping[str, _Form]) -> str:
    def value(found: re.Match[str]) -> str:
        text = values[found[1]]
        form = forms.get(found[2] or "")
        if form is not None:
            try:
                return form(text)
            except (ValueError, OverflowError, OSError, InvalidOperation, IndexError):
                pass  # shown as it came
        shown = "".join(sign if sign.isprintable() else "\ufffd" for sign in text)
        return shown if len(shown) <= _SHOWN_MAX else shown[: _SHOWN_MAX - 1] + "\u2026"

    return _PLACE.sub(value, sentence)


def _kg(text: str) -> str:
    return f"{int(text)} kg"


def _money(text: str) -> str:
    return format(Decimal(int(text)).scaleb(-2, _EXACT), "f")


def _percent(text: str) -> str:
    return format(Decimal(int(text)).scaleb(-2, _EXACT).normalize(_EXACT), "f") + " %"


def _time(text: str) -> str:
    return f"{datetime.fromtimestamp(int(text), UTC):%Y-%m-%d %H:%M:%S} UTC"


def _named(names: tuple[str, ...]) -> _Form:
    return lambda text: names[int(text)] if int(text) >= 0 else text


_FORMS: dict[str, _Form] = {
    "kg": _kg,
    "money": _money,
    "percent": _percent,
    "time": _time,
    "role": name_of,
    "credit_status": _named(CREDIT_STATUS),
    "settlement_status": _named(SETTLEMENT_STATUS),
}
_CHINESE_FORMS: dict[str, _Form] = {
    **_FORMS,
    "kg": lambda text: f"{int(text)} 千克",
    "credit_status": _named(_CREDIT_STATUS_CHINESE),
    "settlement_status": _named(_SETTLEMENT_STATUS_CHINESE),
}
