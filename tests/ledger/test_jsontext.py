"""JSON of many values at once is the JSON of each, and spoils no number."""

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from ledger.jsontext import JSON_SAFE_INTEGER, integers_as_text, json_safe, json_texts, one_line

NUMBERS = st.integers() | st.sampled_from(
    [10**15, 10**16, -(10**15), JSON_SAFE_INTEGER, JSON_SAFE_INTEGER + 1, -JSON_SAFE_INTEGER - 1]
)
TEXTS = st.text() | st.sampled_from(["\n", "\u2028", "\x85", "a:1234567890123456", '"', ",-9" * 9])
PARTS = st.recursive(NUMBERS | TEXTS | st.booleans() | st.none(), st.lists, max_leaves=5)
VALUES = st.dictionaries(TEXTS, PARTS) | PARTS


@given(st.lists(VALUES))
@example([JSON_SAFE_INTEGER + 1])
def test_many_at_once(values: list[Any]) -> None:
    texts = json_texts(values)
    assert [json.loads(text) for text in texts] == [json_safe(value) for value in values]
    assert texts == [json_texts([value])[0] for value in values]
    for text in texts:
        assert all(abs(number) <= JSON_SAFE_INTEGER for number in _numbers(json.loads(text)))


@given(PARTS)
@example("a\u2028b\u2029c\x85d\x0be")
def test_a_line_is_one_to_every_reader(value: Any) -> None:
    line = one_line(json.dumps(value, ensure_ascii=False))
    assert len(line.splitlines()) == 1
    assert json.loads(line) == value


def test_where_floating_point_ends() -> None:
    """IEEE 754 has 53 bits: 9,007,199,254,740,993 would be read as ...992."""
    assert json_safe([2**53, -(2**53)]) == [9_007_199_254_740_992, -9_007_199_254_740_992]
    assert json_safe([2**53 + 1, -(2**53) - 1]) == ["9007199254740993", "-9007199254740993"]
    assert json_texts([{"a": 2**53 + 1}]) == ['{"a":"9007199254740993"}']


def test_integers_as_text_and_nothing_else() -> None:
    stored = {"amount": 10_000, "flags": [True, None], "claim": {"nets": [-1, 0, "2"]}}
    assert integers_as_text(stored) == {
        "amount": "10000",
        "flags": [True, None],
        "claim": {"nets": ["-1", "0", "2"]},
    }


def _numbers(value: Any) -> list[int]:
    if isinstance(value, dict):
        return [number for part in value.values() for number in _numbers(part)]
    if isinstance(value, list):
        return [number for part in value for number in _numbers(part)]
    return [value] if type(value) is int else []
