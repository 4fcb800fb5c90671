"""Texts that a spreadsheet would compute, written so that it does not, and read back."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from ledger.spreadsheets import csv_rows, guarded, unguarded

SIGNS = "=+-@\t\r\n\0＝＋－＠"


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


def test_a_row_is_said_to_be_in_the_line_that_it_begins_in() -> None:
    text = 'a, b\n1,2\n\n"x\ny\nz",3\n4,5\n'
    found = list(csv_rows(Path("f"), text, ["a", "b"]))
    assert found == [(1, ["a", "b"]), (2, ["1", "2"]), (4, ["x\ny\nz", "3"]), (7, ["4", "5"])]
