"""Numbers of a bundle are whole and have one spelling; what is none is named, in words of ours."""

import pytest

from ledger.proofs.verifier import ProofError, Trusted, verify

TRUSTED = Trusted(bytes(32), bytes(20), bytes(32), 1)


@pytest.mark.parametrize("number", ["1.5", "1e3", "-0", "NaN", "-Infinity", "31337.0"])
def test_a_number_that_is_not_whole_is_named(number: str) -> None:
    with pytest.raises(ProofError, match=rf"{number} is not a whole number in its one spelling$"):
        verify(f'{{"chain_id":{number}}}', TRUSTED)
