"""Events of every kind, with values of any size, come through the connection as they were decoded."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.creditlog import CreditLog
from indexer.packing import packed, unpacked
from indexer.reading import Read
from indexer.window import Window
from ledger.chain.contracts.events import CREDIT, SETTLEMENT, decode, texts_of
from ledger.chain.node.records import BlockHeader
from tests.ledger.test_calls import items, log_of, tuples_of, types_of
from tests.support.forms import times

HEADER = BlockHeader(7, "0x" + "01" * 32, "0x" + "00" * 32, 1_700_000_000, 7)
KINDS = [each.values for each in items("event", (CREDIT, SETTLEMENT))]


@settings(max_examples=times(8, 60), deadline=None)
@given(data=st.data())
def test_every_event_arrives_as_it_was(data: st.DataObject) -> None:
    mixed = data.draw(st.lists(st.sampled_from(KINDS), max_size=6).map(lambda some: some + KINDS))
    events = tuple(decode(name, log_of(item, _values(item, data))) for name, item in mixed)
    there = unpacked(packed(_read(events)))
    assert there.window.headers == (HEADER,) and there.window.texts == texts_of(events)
    for mine, theirs in zip(events, there.window.events, strict=True):
        assert (mine.contract, mine.name, mine.record) == (
            theirs.contract,
            theirs.name,
            theirs.record,
        )
        assert type(mine.args) is type(theirs.args) and mine.args == theirs.args
        assert [type(each) for each in mine.values.values()] == [
            type(each) for each in theirs.values.values()
        ]


def _values(item: dict[str, Any], data: st.DataObject) -> tuple[Any, ...]:
    return data.draw(tuples_of(*types_of(item["inputs"])))


def _read(events: tuple[Any, ...]) -> Read:
    return Read(Window((HEADER,), (), events, texts_of(events)), CreditLog(), [], 1)


def test_a_range_without_events_arrives() -> None:
    assert unpacked(packed(_read(()))) == _read(())


@pytest.mark.parametrize("damage", [b"", b"\x00", b"\xff" * 9])
def test_what_is_no_range_is_refused(damage: bytes) -> None:
    with pytest.raises(ValueError):
        unpacked(packed(_read(()))[:-3] + damage)
