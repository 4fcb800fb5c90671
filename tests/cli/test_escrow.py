"""Bad amounts of money; that good ones arrive is shown in ``tests/flows/test_demo.py``, on a real chain."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Program


@pytest.mark.parametrize(
    "amount", ["ten", "1.001", "-5", "0", "nan", "1e3", "1_000", "１００", "1,000"]
)
def test_a_bad_amount_is_one_line(park: Program, amount: str) -> None:
    ended = park("settle", "deposit", "lab-vpp", "--", amount)
    assert ended.code == 2
    assert amount in ended.one_line()
