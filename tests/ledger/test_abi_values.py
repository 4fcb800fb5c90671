"""What we decode of the ABI ourselves is what eth_abi decodes, and what it refuses is refused."""

import sys

import eth_abi.abi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.chain.contracts import abi_values
from ledger.chain.contracts.abi_values import decoded

KINDS = [
    *(f"{name}{bits}" for name in ("uint", "int") for bits in range(8, 257, 8)),
    *("bytes1", "bytes2", "bytes31", "bytes32", "bytes", "address", "bool", "string", "uint8[]"),
]
words = st.one_of(
    st.binary(min_size=32, max_size=32),
    st.integers(0, 2**16).map(lambda number: number.to_bytes(32, "big")),
    st.sampled_from([0, 1, 8, 63, 64, 65, 255]).map(lambda bits: (1 << bits).to_bytes(32, "big")),
    st.sampled_from([0, 7, 8, 63, 64, 255]).map(
        lambda bits: (-1 << bits).to_bytes(32, "big", signed=True)
    ),
    st.integers(0, 32).map(lambda size: b"\1" * size + bytes(32 - size)),
)


@given(st.lists(st.sampled_from(KINDS), max_size=4), st.lists(words, max_size=5), st.binary())
def test_the_same_values_or_an_error(types: list[str], values: list[bytes], more: bytes) -> None:
    for content in (b"".join(values), b"".join(values)[: 32 * len(types)], b"".join(values) + more):
        try:
            expected = eth_abi.abi.decode(types, content)
        except Exception as error:  # it has many kinds
            with pytest.raises(type(error)):
                decoded(types, content)
        else:
            assert decoded(types, content) == expected


def test_values_of_one_word_are_read_without_a_grammar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "eth_abi.codec", None)
    abi_values._decoder.cache_clear()
    word = bytes(range(32))
    seven = (7).to_bytes(32, "big")
    assert decoded(["uint64", "bytes32"], seven + word) == (7, word)
    assert decoded(["address", "int8"], seven + b"\xff" * 32) == ("0x" + "00" * 19 + "07", -1)
    with pytest.raises(ImportError):
        decoded(["string"], word)
