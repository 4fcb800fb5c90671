"""Calls, errors and events as the contracts' ABI lays them out, with web3.py as the oracle."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode
from eth_abi.grammar import ABIType, BasicType, TupleType, parse
from eth_utils.crypto import keccak
from hexbytes import HexBytes
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import asdict
from web3 import Web3
from web3.contract import Contract
from web3.types import LogReceipt

from ledger.chain.contracts.abi import artifact
from ledger.chain.contracts.events import CREDIT, SETTLEMENT, PlainEvent, decode, next_head, schemas
from ledger.chain.contracts.layout import canonical_type, json_value
from ledger.chain.contracts.wrappers import decode_call, decode_error, encode_call, selector_names
from ledger.chain.node.records import LogRecord
from ledger.errors import MirrorStopped
from ledger.jsontext import json_safe
from tests.support.forms import few, times

NAMES = (CREDIT, SETTLEMENT, "TestCurrency")
ADDRESS = "0x" + "ab" * 20
W3 = Web3()
AT = Web3.to_checksum_address(ADDRESS)
CONTRACTS: dict[str, Contract] = {
    name: W3.eth.contract(address=AT, abi=artifact(name).abi) for name in NAMES
}


def items(kind: str, names: tuple[str, ...] = NAMES) -> list[Any]:
    found = [
        pytest.param(name, item, id=f"{name}.{item['name']}")
        for name in names
        for item in artifact(name).abi
        if item["type"] == kind
    ]
    return found[:: times(3, 1)]


def values_of(kind: str | ABIType) -> st.SearchStrategy[Any]:
    """Return values of an ABI type as Python has them."""
    parsed = parse(kind) if isinstance(kind, str) else kind
    if parsed.is_array:
        inner = values_of(parsed.item_type)
        size = parsed.arrlist[-1]
        limits = {"min_size": size[0], "max_size": size[0]} if size else {"max_size": 3}
        return st.lists(inner, **limits)
    if isinstance(parsed, TupleType):
        return st.tuples(*(values_of(part) for part in parsed.components))
    assert isinstance(parsed, BasicType)
    simple: dict[str, Callable[[Any], st.SearchStrategy[Any]]] = {
        "uint": lambda bits: st.integers(0, 2**bits - 1),
        "int": lambda bits: st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1),
        "address": lambda _: st.binary(min_size=20, max_size=20).map(lambda b: "0x" + b.hex()),
        "bool": lambda _: st.booleans(),
        "string": lambda _: st.text(max_size=40),
        "bytes": lambda size: st.binary(min_size=size or 0, max_size=size or 70),
    }
    return simple[parsed.base](parsed.sub)


def types_of(inputs: Any) -> list[str]:
    return [canonical_type(item) for item in inputs]


@cache
def tuples_of(*types: str) -> st.SearchStrategy[tuple[Any, ...]]:
    """Return values of several types: made once, as Hypothesis takes longer to make them than to draw."""
    return st.tuples(*map(values_of, types))


def for_web3(value: Any) -> Any:
    """Return a value as web3 wants it: addresses with their checksum."""
    if isinstance(value, str) and value.startswith("0x") and len(value) == 42:
        return Web3.to_checksum_address(value)
    if isinstance(value, (list, tuple)):
        return type(value)(for_web3(part) for part in value)
    return value


def from_web3(value: Any) -> Any:
    """Return what web3 decoded as JSON can hold it."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, str) and value.startswith("0x") and len(value) == 42:
        return value.lower()
    if hasattr(value, "items"):
        return {name: from_web3(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [from_web3(part) for part in value]
    return json_safe(value)


# ------------------------------------------------------------------------------- calls


@pytest.mark.parametrize("name", NAMES)
def test_no_two_functions_have_one_name_and_one_number_of_arguments(name: str) -> None:
    functions = [item for item in artifact(name).abi if item["type"] == "function"]
    assert len({(item["name"], len(item["inputs"])) for item in functions}) == len(functions)
    assert len(selector_names(name)) == len(functions) > 5


@few(18)
@pytest.mark.parametrize(("name", "item"), items("function"))
@settings(max_examples=times(3, 8), deadline=None)
@given(data=st.data())
def test_calls_are_web3_s(name: str, item: dict[str, Any], data: st.DataObject) -> None:
    arguments = list(data.draw(tuples_of(*types_of(item["inputs"]))))
    encoded = encode_call(name, item["name"], arguments)
    assert encoded == CONTRACTS[name].encode_abi(item["name"], for_web3(arguments))
    decoded = decode_call(name, encoded)
    assert decoded is not None and decoded.function == item["name"]
    _, theirs = CONTRACTS[name].decode_function_input(HexBytes(encoded))
    expected = [from_web3(theirs[part["name"]]) for part in item["inputs"] if part["name"]]
    named = [part["name"] for part in item["inputs"] if part["name"]]
    assert [decoded.parameters[part] for part in named] == expected


def test_a_literal_call() -> None:
    to, kg = "0x" + "11" * 20, 5
    encoded = encode_call(SETTLEMENT, "withdraw", [to, kg])
    assert encoded == "0xf3fef3a3" + "0" * 24 + "11" * 20 + f"{5:064x}"
    decoded = decode_call(SETTLEMENT, encoded.upper().replace("0X", "0x"))
    assert decoded is not None
    assert decoded.parameters == {"to": to, "amount": 5}


def test_large_integers_are_text() -> None:
    decoded = decode_call(SETTLEMENT, encode_call(SETTLEMENT, "withdraw", [ADDRESS, 2**53 + 1]))
    assert decoded is not None and decoded.parameters["amount"] == "9007199254740993"


@pytest.mark.parametrize("data", ["0x", "0x12", "0xdeadbeef", "0xf3fef3a3", "0xf3fef3a3zz", ""])
def test_input_that_is_no_call(data: str) -> None:
    assert decode_call(SETTLEMENT, data) is None


def bomb(signatures: int, length: int, shared: bool = True) -> str:
    """Return a call of ``settleCosigned`` whose signatures all lie in the same bytes, or in bytes of their own."""
    selector = next(k for k, name in selector_names(SETTLEMENT).items() if name == "settleCosigned")
    size = 32 + length
    starts = [32 * signatures + (0 if shared else size * each) for each in range(signatures)]
    blobs = (length.to_bytes(32) + b"\x11" * length) * (1 if shared else signatures)
    settlement = [1, 0, 160, 192, 0, 0, 0]
    words = [64, 64 + 32 * len(settlement), *settlement, signatures, *starts]
    return selector + b"".join(word.to_bytes(32) for word in words).hex() + blobs.hex()


def test_bytes_that_are_said_again_and_again_are_no_call() -> None:
    """115 kB that anybody sends made 100 MB of parameters, more than MariaDB takes: the mirror ended there."""
    own, twice, often = bomb(40, 64, shared=False), bomb(2, 640), bomb(1800, 57_600)
    assert len(often) < 240_000
    after = "00" * 32  # no generated decoder takes a call with that
    for data, signatures in ((own, 40), (twice, 2)):
        decoded = decode_call(SETTLEMENT, data + after)
        assert decoded is not None and len(decoded.parameters["signatures"]) == signatures
    assert decode_call(SETTLEMENT, often) is None


def test_a_function_that_is_not_there() -> None:
    with pytest.raises(KeyError, match="no function issue of 0 arguments"):
        encode_call(CREDIT, "issue", [])
    with pytest.raises(KeyError, match="no function mint of 2"):
        encode_call(CREDIT, "mint", [ADDRESS, 1])


# ------------------------------------------------------------------------------ errors


@few(14)
@pytest.mark.parametrize(("name", "item"), items("error"))
@settings(max_examples=times(2, 4), deadline=None)
@given(data=st.data())
def test_errors_are_named_with_their_values(
    name: str, item: dict[str, Any], data: st.DataObject
) -> None:
    types = types_of(item["inputs"])
    values = data.draw(st.tuples(*map(values_of, types)))
    selector = keccak(text=f"{item['name']}({','.join(types)})")[:4]
    text = decode_error(name, "0x" + (selector + abi_encode(types, values)).hex())
    shown = [
        f"{part['name']}={json_value(part, value)}"
        for part, value in zip(item["inputs"], values, strict=True)
    ]
    assert text == f"{item['name']}({', '.join(shown)})"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (None, None),
        ("0x", None),
        ("0x1234", None),
        ("0x4e487b71" + f"{0x11:064x}", "Panic(0x11)"),
        ("0x08c379a0" + abi_encode(["string"], ["no"]).hex(), "Error(no)"),
        ("0xdeadbeef", "unknown error 0xdeadbeef"),
        ("0x08c379a0", "malformed error 0x08c379a0"),
        ("0x08c379a0ff", "malformed error 0x08c379a0"),
        ("0x4e487b71f", "malformed error 0x4e487b71"),
        ("0x08c379a0" + abi_encode(["bytes"], [b"\xff"]).hex(), "malformed error 0x08c379a0"),
        # InsufficientBalance(address,uint256,uint256,uint256), cut short
        ("0x670f004500", "malformed error 0x670f0045"),
    ],
)
def test_reverts_of_every_form(data: str | None, expected: str | None) -> None:
    assert decode_error(SETTLEMENT, data) == expected


# ------------------------------------------------------------------------------ events


def log_of(item: dict[str, Any], values: tuple[Any, ...]) -> LogRecord:
    """Return the log that a contract would emit for these values."""
    pairs = list(zip(item["inputs"], values, strict=True))
    topics = [keccak(text=f"{item['name']}({','.join(types_of(item['inputs']))})")]
    topics += [abi_encode([canonical_type(part)], [v]) for part, v in pairs if part["indexed"]]
    plain = [(canonical_type(part), value) for part, value in pairs if not part["indexed"]]
    data = abi_encode([kind for kind, _ in plain], [value for _, value in plain])
    return LogRecord(
        address=ADDRESS,
        topics=tuple("0x" + topic.hex() for topic in topics),
        data="0x" + data.hex(),
        block_number=7,
        block_hash="0x" + "01" * 32,
        tx_hash="0x" + "02" * 32,
        tx_index=3,
        log_index=4,
    )


def web3_log(log: LogRecord) -> LogReceipt:
    return LogReceipt(
        address=Web3.to_checksum_address(log.address),
        topics=[HexBytes(topic) for topic in log.topics],
        data=HexBytes(log.data),
        blockNumber=7,  # type: ignore[typeddict-item]
        blockHash=HexBytes(log.block_hash),
        transactionHash=HexBytes(log.tx_hash),
        transactionIndex=3,
        logIndex=4,
        removed=False,
    )


def same(mine: Any, theirs: Any) -> bool:
    """Compare a decoded value with web3's, through our own spelling of countries and names."""
    if isinstance(mine, dict):
        return all(
            same(mine[name], part) for name, part in zip(mine, dict(theirs).values(), strict=True)
        )
    if isinstance(mine, (list, tuple)):
        return len(mine) == len(theirs) and all(map(same, mine, theirs))
    if isinstance(theirs, bytes):
        short = theirs.rstrip(b"\0")
        if len(theirs) == 2 and short.isascii() and (short.decode().isalnum() or not short):
            return bool(mine == short.decode())
        return bool(mine == "0x" + theirs.hex())
    if isinstance(theirs, str) and theirs.startswith("0x") and len(theirs) == 42:
        return bool(mine == theirs.lower())
    return bool(mine == theirs)


@pytest.mark.parametrize(("name", "item"), items("event", (CREDIT, SETTLEMENT)))
@settings(max_examples=times(5, 15), deadline=None)
@given(data=st.data())
def test_events_are_web3_s(name: str, item: dict[str, Any], data: st.DataObject) -> None:
    values = data.draw(tuples_of(*types_of(item["inputs"])))
    log = log_of(item, values)
    decoded = decode(name, log)
    theirs = getattr(CONTRACTS[name].events, item["name"])().process_log(web3_log(log))["args"]
    assert decoded.name == item["name"]
    assert len(decoded.values) == len(item["inputs"])
    for mine, part in zip(decoded.values.values(), item["inputs"], strict=True):
        assert same(mine, theirs[part["name"]]), part["name"]
    if not isinstance(decoded.args, PlainEvent):
        for (mine, part), value in zip(
            asdict(decoded.args).items(), decoded.values.values(), strict=True
        ):
            assert mine.rstrip("_") in decoded.values
            assert (asdict(part) if isinstance(part, Struct) else part) in (value, tuple_of(value))


def tuple_of(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@pytest.mark.parametrize(("name", "item"), items("event", (CREDIT,)))
@settings(max_examples=times(2, 5), deadline=None)
@given(data=st.data())
def test_the_record_of_the_log_covers_every_value(
    name: str, item: dict[str, Any], data: st.DataObject
) -> None:
    types = types_of(item["inputs"])
    values = data.draw(st.tuples(*map(values_of, types)))
    decoded = decode(name, log_of(item, values))
    if [part["name"] for part in item["inputs"][-2:]] != ["seq", "head"]:
        assert decoded.record is None
        return
    topic = keccak(text=f"{item['name']}({','.join(types)})")
    expected = keccak(abi_encode(["bytes32", *types[:-2]], [topic, *values[:-2]]))
    assert decoded.record == "0x" + expected.hex()


def test_the_next_head_by_hand() -> None:
    head, record = "11" * 32, "22" * 32
    expected = keccak(bytes.fromhex(head + f"{9:064x}" + record))
    assert next_head("0x" + head, 9, "0x" + record) == "0x" + expected.hex()


@pytest.mark.parametrize("name", [CREDIT, SETTLEMENT])
def test_a_log_that_cannot_be_decoded_stops_the_mirror(name: str) -> None:
    item = next(item for item in artifact(name).abi if item.get("name") == "RoleGranted")
    good = log_of(item, (b"\1" * 32, ADDRESS, ADDRESS))
    assert decode(name, good).name == "RoleGranted"
    for topics, data in (
        ((), "0x"),
        (("0x" + "00" * 32,), "0x"),
        (good.topics[:-1], "0x"),
        ((*good.topics, good.topics[1]), "0x"),
        ((*good.topics[:2], "0x" + "ff" * 32, good.topics[3]), "0x"),
    ):
        bad = LogRecord(ADDRESS, topics, data, 7, "0x1", "0x2", 3, 4)
        with pytest.raises(MirrorStopped, match=r"block 7, transaction 0x2, log 4"):
            decode(name, bad)
    assert len(schemas(name)) >= 9
