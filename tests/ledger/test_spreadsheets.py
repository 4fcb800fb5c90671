"""Texts that a spreadsheet would compute, written so that it does not, and read back."""

from __future__ import annotations

import itertools

import pytest

from ledger.spreadsheets import guarded, unguarded

SIGNS = "=+-@\t\r\n"


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        *((sign + "1+1", "'" + sign + "1+1") for sign in SIGNS),
        *(("'" + sign, "''" + sign) for sign in SIGNS),
        ("''=b", "'''=b"),
        ("", ""),
        ("'", "'"),
        ("''", "''"),
        ("'quoted'", "'quoted'"),
        ("plain = 1", "plain = 1"),
        (" =1", " =1"),
        ("能", "能"),
    ],
)
def test_what_is_written_is_no_formula_and_comes_back(text: str, cell: str) -> None:
    assert guarded(text) == cell
    assert unguarded(cell) == text


def test_no_two_texts_are_written_alike() -> None:
    texts = [
        "".join(signs) for size in range(5) for signs in itertools.product("'=-\nx", repeat=size)
    ]
    cells = [guarded(text) for text in texts]
    assert len(set(cells)) == len(texts)
    assert not [cell for cell in cells if cell[:1] and cell[0] in SIGNS]
    assert [unguarded(cell) for cell in cells] == texts
