"""The generated decoders against eth_abi: same values, and the same bytes refused."""

from contextlib import suppress
from typing import Any

import pytest
from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import asdict, fields

from ledger.chain.contracts.abi import artifact
from ledger.chain.contracts.decoders import CALLS, EVENTS, words
from ledger.chain.contracts.events import (
    CREDIT,
    SETTLEMENT,
    DecodedEvent,
    PlainEvent,
    decode,
    names_in_log,
    schemas,
)
from ledger.chain.contracts.layout import canonical_type, json_value
from ledger.chain.contracts.wrappers import decode_call, encode_call
from ledger.chain.node.records import LogRecord
from ledger.errors import MirrorStopped
from tests.ledger.test_calls import items, log_of, tuples_of, types_of
from tests.support import abi_oracle
from tests.support.forms import few, times

BOTH = (CREDIT, SETTLEMENT)
EVENT_ITEMS = items("event", BOTH)
# Two texts that begin alike: an offset or a length of one may be taken for the other's.
WORDS = st.sampled_from([0, 1, 31, 32, 33, 64, 2**16, 2**64 - 1, 2**64, 2**255, 2**256 - 1])
DAMAGES = st.sampled_from(["bit", "word", "swap", "cut", "more", "topic", "topics"])
TAILS = st.binary(min_size=1, max_size=40) | st.just(bytes(32))
STEPS = st.sampled_from([-32, -1, 1, 32])


def plain(value: Any) -> Any:
    """Return values without the difference of lists and tuples, structs and dicts."""
    if isinstance(value, Struct):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, (list, tuple)) else value


def agree(name: str, log: LogRecord) -> DecodedEvent | None:
    """Decode a log by both, and require the same answer; None when both refuse it."""
    try:
        expected = abi_oracle.decode_event(name, log)
    except abi_oracle.Refused:
        with pytest.raises(MirrorStopped, match="cannot be decoded"):
            decode(name, log)
        return None
    mine = decode(name, log)
    assert (mine.name, mine.values, mine.record) == expected
    assert (mine.record is not None) is (name == CREDIT and mine.name in names_in_log())
    assert [type(value) for value in mine.values.values()] == [
        type(value) for value in expected[1].values()
    ]
    return mine


def test_an_entry_of_the_credit_log_is_known_by_its_name() -> None:
    """The mirror finds the last one by the names of events, whichever contract they are of."""
    assert {"Issued", "Retired", "SiteRegistered"} <= set(names_in_log())
    assert not {event.name for event in schemas(SETTLEMENT).values()} & set(names_in_log())


@pytest.mark.parametrize(("name", "item"), EVENT_ITEMS)
@settings(max_examples=times(8, 40), deadline=None)
@given(data=st.data())
def test_events_are_decoded_alike(name: str, item: dict[str, Any], data: st.DataObject) -> None:
    values = data.draw(tuples_of(*types_of(item["inputs"])))
    log = log_of(item, values)
    mine = agree(name, log)
    assert mine is not None
    if isinstance(mine.args, PlainEvent):
        assert mine.args.values == mine.values
        return
    assert type(mine.args).__name__ == item["name"]
    assert [field.name.rstrip("_") for field in fields(mine.args)] == list(mine.values)
    assert plain(list(asdict(mine.args).values())) == plain(list(mine.values.values()))
    for field in fields(mine.args):
        value = getattr(mine.args, field.name)
        assert not isinstance(value, (list, dict)), "arguments do not change"


@few(9)
@pytest.mark.parametrize(("name", "item"), EVENT_ITEMS)
@settings(max_examples=times(20, 150), deadline=None)
@given(data=st.data())
def test_damaged_events_are_refused_alike(
    name: str, item: dict[str, Any], data: st.DataObject
) -> None:
    values = data.draw(tuples_of(*types_of(item["inputs"])))
    log = log_of(item, values)
    for _ in range(data.draw(st.integers(1, 2))):
        log = damaged(log, data)
    agree(name, log)


def damaged(log: LogRecord, data: st.DataObject) -> LogRecord:
    """Change a bit, a word or the length of a log, or a topic of it."""
    body = bytearray.fromhex(log.data[2:])
    kind = data.draw(DAMAGES)
    if kind == "topic" and len(log.topics) > 1:
        at = data.draw(st.integers(1, len(log.topics) - 1))
        word = data.draw(WORDS).to_bytes(32)
        topics = (*log.topics[:at], "0x" + word.hex(), *log.topics[at + 1 :])
        return record(log, topics, bytes(body))
    if kind == "topics":
        topics = log.topics + log.topics[:1] if data.draw(st.booleans()) else log.topics[:-1]
        return record(log, topics, bytes(body))
    if kind == "more":
        body += data.draw(TAILS)
    elif body:
        place = data.draw(st.integers(0, len(body) - 1))
        at, other = place // 32 * 32, data.draw(st.integers(0, len(body) - 1)) // 32 * 32
        if kind == "bit":
            body[place] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == "word":
            near = int.from_bytes(body[at : at + 32]) + data.draw(STEPS)
            body[at : at + 32] = data.draw(WORDS | st.just(near % 2**256)).to_bytes(32)
        elif kind == "swap":
            body[at : at + 32], body[other : other + 32] = (
                body[other : other + 32],
                body[at : at + 32],
            )
        else:
            del body[place:]
    return record(log, log.topics, bytes(body))


def record(log: LogRecord, topics: tuple[str, ...], data: bytes) -> LogRecord:
    return LogRecord(
        log.address,
        topics,
        "0x" + data.hex(),
        log.block_number,
        log.block_hash,
        log.tx_hash,
        log.tx_index,
        log.log_index,
    )


@pytest.mark.parametrize("blank", [" ", "\n", "_", "+", "é"])
def test_what_is_no_hexadecimal_is_refused(blank: str) -> None:
    item = next(item for item in artifact(CREDIT).abi if item.get("name") == "TransferSingle")
    log = log_of(item, ("0x" + "11" * 20, "0x" + "22" * 20, "0x" + "33" * 20, 5, 6))
    for topics, data in (
        (log.topics, log.data[:66] + blank * 2 + log.data[66:]),
        (log.topics, log.data[:64] + blank * 2 + log.data[66:]),
        ((*log.topics[:3], log.topics[3][:-2] + blank * 2), log.data),
        ((*log.topics[:2], log.topics[2][:-2], log.topics[3] + "00"), log.data),
        (log.topics, log.data + "0"),
    ):
        bad = LogRecord(log.address, topics, data, 7, "0x1", "0x2", 3, 4)
        with pytest.raises(MirrorStopped, match="cannot be decoded"):
            decode(CREDIT, bad)


def test_bytes_that_are_no_text_are_shown() -> None:
    item = next(item for item in artifact(CREDIT).abi if item.get("name") == "SiteRegistered")
    wire = {**item, "inputs": [{**part} for part in item["inputs"]]}
    log = log_of(item, (1, 2, "ab", 1, b"\0" * 32))
    body = log.data.replace(b"ab".hex() + "00", b"\xff\x00".hex() + "00")
    bad = record(log, log.topics, bytes.fromhex(body[2:]))
    mine = agree(CREDIT, bad)
    assert mine is not None and mine.args.code == "\\xff\x00"
    assert wire["name"] == "SiteRegistered"


def test_every_event_and_every_call_has_a_decoder() -> None:
    for name in BOTH:
        abi = artifact(name).abi
        events = {item["name"] for item in abi if item["type"] == "event"}
        assert {entry[0] for entry in EVENTS[name].values()} == events
        calls = {
            item["name"]
            for item in abi
            if item["type"] == "function" and item["stateMutability"] not in ("view", "pure")
        }
        assert {entry[0] for entry in CALLS[name].values()} == calls


# ------------------------------------------------------------------------------- calls


def by_eth_abi(item: dict[str, Any], data: bytes) -> dict[str, Any] | None:
    """Return the parameters as eth_abi decodes them; None when it cannot."""
    types = [canonical_type(part) for part in item["inputs"]]
    try:
        values = abi_decode(types, data)
    except Exception:
        return None
    return {
        part["name"] or f"argument{position}": json_value(part, value)
        for position, (part, value) in enumerate(zip(item["inputs"], values, strict=True))
    }


CALL_ITEMS = [
    pytest.param(*each.values, id=each.id)
    for each in items("function", BOTH)
    if each.values[1]["stateMutability"] not in ("view", "pure")
]


@few(10)
@pytest.mark.parametrize(("name", "item"), CALL_ITEMS)
@settings(max_examples=times(12, 60), deadline=None)
@given(data=st.data())
def test_calls_are_decoded_alike_whatever_they_hold(
    name: str, item: dict[str, Any], data: st.DataObject
) -> None:
    types = types_of(item["inputs"])
    arguments = list(data.draw(tuples_of(*types)))
    selector = encode_call(name, item["name"], arguments)[:10]
    body = abi_encode(types, arguments)
    assert CALLS[name][selector][1](body) == by_eth_abi(item, body)
    log = record(log_of(EVENT_ITEMS[0].values[1], ("0x" + "00" * 20,) * 2 + (True,)), (), body)
    log = LogRecord(log.address, ("", ""), log.data, 0, "", "", 0, 0)
    broken = bytes.fromhex(damaged(log, data).data[2:])
    expected = by_eth_abi(item, broken)
    found = decode_call(name, selector + broken.hex())
    assert (None if found is None else found.parameters) == expected


# ------------------------------------------------------------------------------- words


@settings(max_examples=times(50, 300), deadline=None)
@given(bits=st.sampled_from([8, 48, 64, 248, 256]), value=WORDS)
@example(bits=8, value=2**256 - 128)
@example(bits=8, value=2**256 - 129)
@example(bits=8, value=127)
@example(bits=8, value=128)
def test_signed_numbers_of_every_width(bits: int, value: int) -> None:
    body = value.to_bytes(32)
    expected = None
    with suppress(Exception):
        (expected,) = abi_decode([f"int{bits}"], body)
    try:
        (found,) = words.Layout(f"int{bits}").whole(body)
        assert words.sint(found, bits) == expected
    except words.Malformed:
        assert expected is None


@given(
    st.binary(min_size=32, max_size=32) | st.binary(max_size=32).map(lambda b: b.ljust(32, b"\0"))
)
@settings(max_examples=times(50, 300), deadline=None)
def test_short_bytes_of_every_length(body: bytes) -> None:
    for size in (1, 2, 4, 31):
        expected = None
        with suppress(Exception):
            (expected,) = abi_decode([f"bytes{size}"], body)
        try:
            assert words.Layout(f"bytes{size}").whole(body) == (expected,)
        except words.Malformed:
            assert expected is None
