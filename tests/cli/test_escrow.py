"""Bad amounts of money; that good ones arrive is shown in ``tests/flows/test_demo.py``, on a real chain."""

from __future__ import annotations

from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest

from cli.escrow import _whose
from ledger.db import Database
from tests.cli.conftest import Program
from tests.support.forms import few

PLANT = "0x" + "1" * 40


@few(3)
@pytest.mark.parametrize(
    "amount", ["ten", "1.001", "-5", "0", "nan", "1e3", "1_000", "１００", "1,000"]
)
def test_a_bad_amount_is_one_line(park: Program, amount: str) -> None:
    ended = park("settle", "deposit", "lab-vpp", "--", amount)
    assert ended.code == 2
    assert amount in ended.one_line()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("1000000000000000.01", "--mint"), "must be 1000000000000000.00 at most"),
        (("9" * 42, "--mint"), "must be 1000000000000000.00 at most"),
        (("1000000000", "--credits", "lab-wind-2014-1"), "no batch has more than 999999999.999 t"),
    ],
)
def test_an_amount_that_the_books_cannot_hold_is_not_sent(
    park: Program, words: tuple[str, ...], said: str
) -> None:
    """Test money is made without end: the mirror came to the deposit, and went no further, ever."""
    for verb in ("deposit", "withdraw"):
        given = [word for word in words if verb == "deposit" or word != "--mint"]
        ended = park("settle", verb, "lab-vpp", *given)
        assert (ended.code, said in ended.one_line()) == (2, True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("lab-vpp", "VPP lab-vpp"),
        (PLANT, f"VPP lab-vpp ({PLANT})"),
        ("0x" + "3" * 40, "0x" + "3" * 40),
    ],
)
def test_a_payment_of_credits_says_whose_account_that_is(
    park: Program, given: str, said: str
) -> None:
    url = f"sqlite:///{park.folder / '.truetonne' / 'truetonne.db'}"
    with closing(Database(url)) as db:
        flow: Any = SimpleNamespace(db=db)
        assert _whose(flow, given, PLANT if given == "lab-vpp" else given) == said
