"""Events of every kind, with values of any size, come through the connection as they were decoded."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from indexer.creditlog import CreditLog
from indexer.events import BY_COLUMN, by_column
from indexer.packing import packed, unpacked
from indexer.reading import Read
from indexer.window import Window
from ledger.chain.contracts.abi import artifact
from ledger.chain.contracts.events import CREDIT, SETTLEMENT, decode, texts_of
from ledger.chain.node.records import BlockHeader, LogRecord
from tests.ledger.test_calls import items, log_of, tuples_of, types_of
from tests.support.forms import times

HEADER = BlockHeader(7, "0x" + "01" * 32, "0x" + "00" * 32, 1_700_000_000, 7)
KINDS = [each.values for each in items("event", (CREDIT, SETTLEMENT))]
MANY = [item for item in artifact(CREDIT).abi if (CREDIT, item.get("name")) in BY_COLUMN]


@settings(max_examples=times(8, 60), deadline=None)
@given(data=st.data())
def test_every_event_arrives_as_it_was(data: st.DataObject) -> None:
    mixed = data.draw(st.lists(st.sampled_from(KINDS), max_size=6).map(lambda some: some + KINDS))
    events = tuple(decode(name, log_of(item, _values(item, data))) for name, item in mixed)
    there = unpacked(packed(_read(events)))
    assert there.window.headers == (HEADER,)
    found = there.window.events.logged
    assert found.texts == list(texts_of(events)) and len(there.window.events) == len(events)
    assert [found.kinds[kind] for kind in found.of_kind] == [
        (event.contract, event.name, event.log.address) for event in events
    ]
    assert found.block_numbers == [event.log.block_number for event in events]
    assert found.log_indexes == [event.log.log_index for event in events]
    assert found.tx_hashes == [event.log.tx_hash for event in events]
    entries = [event.args if event.record is not None else None for event in events]
    assert found.seqs == [entry and entry.seq for entry in entries]
    assert found.heads == [entry and entry.head for entry in entries]
    single = [event for event in events if (event.contract, event.name) not in BY_COLUMN]
    for mine, theirs in zip(single, there.window.events.singles, strict=True):
        assert (mine.contract, mine.name, mine.record) == (
            theirs.contract,
            theirs.name,
            theirs.record,
        )
        assert type(mine.args) is type(theirs.args) and mine.args == theirs.args
        assert [type(each) for each in mine.values.values()] == [
            type(each) for each in theirs.values.values()
        ]


@settings(max_examples=times(8, 60), deadline=None)
@given(data=st.data())
def test_events_by_column_are_the_events(data: st.DataObject) -> None:
    """Numbers of any size among them: who moves nothing may name any batch."""
    mixed = data.draw(st.lists(st.sampled_from(MANY), max_size=6).map(lambda some: some + MANY))
    events = tuple(
        decode(CREDIT, _placed(log_of(item, _values(item, data)), place))
        for place, item in enumerate(mixed)
    )
    there = unpacked(packed(_read(events))).window.events
    assert there == by_column(events) and not there.singles
    for columns in there.many:
        mine = [event for event in events if event.name == columns.name]
        logs = [event.log for event in mine]
        assert (columns.contract, len(columns)) == (mine[0].contract, len(mine))
        assert columns.block_numbers == [log.block_number for log in logs]
        assert columns.log_indexes == [log.log_index for log in logs]
        assert columns.tx_hashes == [log.tx_hash for log in logs]
        for name in columns.arguments:
            first, *rest = name.split(".")
            said = [getattr(event.args, first) for event in mine]
            values = [getattr(value, rest[0]) for value in said] if rest else said
            assert columns[name] == values
            assert [type(value) for value in columns[name]] == [type(value) for value in values]


def _placed(log: LogRecord, place: int) -> LogRecord:
    """Return a log at a place of its own in the chain."""
    tx_hash = f"0x{place:064x}"
    return replace(log, block_number=7 + place // 2, log_index=place, tx_hash=tx_hash)


def _values(item: dict[str, Any], data: st.DataObject) -> tuple[Any, ...]:
    return data.draw(tuples_of(*types_of(item["inputs"])))


def _read(events: tuple[Any, ...]) -> Read:
    return Read(Window((HEADER,), (), by_column(events)), CreditLog(), [], 1)


def test_a_range_without_events_arrives() -> None:
    assert unpacked(packed(_read(()))) == _read(())


@pytest.mark.parametrize("damage", [b"", b"\x00", b"\xff" * 9])
def test_what_is_no_range_is_refused(damage: bytes) -> None:
    with pytest.raises(ValueError):
        unpacked(packed(_read(()))[:-3] + damage)
