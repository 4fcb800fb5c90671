"""Serial numbers as an eye reads them."""

import unicodedata

import pytest

from ledger.proofs.verifier.checks import NO_INK
from ledger.reductions.serial_numbers import as_read, twins
from tests.support.forms import rest


@pytest.mark.parametrize(
    "written",
    rest(
        [
            "acme 4711",
            "ＡＣＭＥ ４７１１",
            "ACME4711",
            "ACME\u00ad 4711",
            "ACME\u200d 4711\n",
            "ACME 4711\ufe0f",
        ],
        "acme 4711",
        "ACME 4711\ufe0f",
    ),
    ids=ascii,
)
def test_what_reads_the_same(written: str) -> None:
    assert as_read(written) == as_read("ACME 4711")
    assert list(twins(["A", "ACME 4711", "B", written])) == [(written, "ACME 4711")]


def test_what_does_not() -> None:
    assert list(twins(["ACME 4711", "ACME 4712", "ACMÉ 4711", "ACME-4711", ""])) == []


def test_every_sign_that_the_verifier_shows_by_its_number_is_left_out() -> None:
    """The verifier has a list of its own, for it stands alone: both have to know the same signs."""
    blanks = {
        chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) in {"Cf", "Zs"}
    }
    for sign in {*NO_INK, *blanks}:
        assert as_read(f"A{sign}1") == "a1", ascii(sign)
