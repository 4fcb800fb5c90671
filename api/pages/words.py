"""The words of the pages: one file for each language, with the same keys in each."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

from api.pages.language import Language

_FOLDER = resources.files("api.pages") / "texts"


class Words:
    """All texts of one language, by their dotted keys."""

    def __init__(self, language: Language, texts: Mapping[str, str]) -> None:
        self.language = language
        self._texts = texts

    def __call__(self, key: str, **values: object) -> str:
        """Return a text with its values in place.

        Raises
        ------
        KeyError
            There is no such text, or a value of it is not given.
        """
        return self._texts[key].format(**values)

    def maybe(self, key: str) -> str | None:
        """Return a text without values, or None when there is none: for codes that others may add to."""
        return self._texts.get(key)

    def keys(self) -> set[str]:
        """Return the keys of all texts."""
        return set(self._texts)

    def raw(self, key: str) -> str:
        """Return a text as it stands in its file."""
        return self._texts[key]


def load(language: Language) -> Words:
    """Return the texts of a language."""
    text = (_FOLDER / f"{language.value}.toml").read_text(encoding="utf-8")
    return Words(language, dict(_flat(tomllib.loads(text), "")))


def _flat(table: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, str):
            yield prefix + key, value
        else:
            yield from _flat(value, f"{prefix}{key}.")
