"""Roots and hashes as the mirror computes them, beside the provers' way, which Anvil and OpenZeppelin agree with."""

import random
from typing import Any

import msgspec
import pytest

from ledger.chain.node.wire import HEADER_FIELDS, WireReceipt
from ledger.proofs import covered, encoding
from ledger.proofs.covered import header_hash, receipts_root
from ledger.proofs.tries import Trie
from ledger.proofs.verifier.trie import keccak256
from tests.support.forms import long, times

CHANCE = random.Random(5)
LENGTHS = (0, 1, 2, 32, 33, 55, 56, 255, 256, 300)


def _hex(length: int) -> str:
    return "0x" + CHANCE.randbytes(length).hex()


def _log(topics: int, data: str) -> dict[str, Any]:
    place = {"blockNumber": "0x1", "blockHash": _hex(32), "transactionHash": _hex(32)}
    place |= {"transactionIndex": "0x0", "logIndex": "0x0"}
    return {"address": _hex(20), "topics": [_hex(32) for _ in range(topics)], "data": data, **place}


def _receipt(place: int, logs: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "type": hex(place % 5),
        "status": hex(place % 2),
        "cumulativeGasUsed": hex(place * 91_733),
        "logsBloom": _hex(256),
        "logs": logs,
        "transactionHash": _hex(32),
        "transactionIndex": hex(place),
        "blockHash": _hex(32),
        "blockNumber": "0x1",
        "from": _hex(20),
        "gasUsed": "0x1",
        "effectiveGasPrice": "0x1",
    }


def _root(receipts: list[dict[str, Any]]) -> str:
    wire = msgspec.json.decode(msgspec.json.encode(receipts), type=list[WireReceipt])
    return receipts_root(wire)


def test_roots_of_lists_of_any_length() -> None:
    for count in (0, 1, 2, 3, 16, 17, 127, 128, 129, 130, 255, 256, 257, 300):
        receipts = [_receipt(place, []) for place in range(count)]
        expected = Trie([encoding.receipt(each) for each in receipts]).root
        assert _root(receipts) == "0x" + expected.hex(), count


@long
def test_tries_of_other_lengths_share_their_nodes() -> None:
    counts = [*range(1, 40), *range(120, 140), *range(250, 265), 600][:: times(4, 1)]
    every = [_receipt(place, []) for place in range(max(counts))]
    expected = {}
    for count in counts:
        trie = Trie([encoding.receipt(each) for each in every[:count]])
        expected[count] = "0x" + trie.root.hex()
    for order in (counts, counts[::-1], CHANCE.sample(counts, len(counts))):
        covered._shape.cache_clear()
        covered._nodes.clear()
        for count in order:
            assert _root(every[:count]) == expected[count], count

    nodes: set[int] = set()
    for count in range(1, 1_001):
        nodes |= _nodes_of(covered._shape(count))
    # A value that comes at the end changes what is above it, by six digits at the most, and makes its own.
    assert len(nodes) <= 7 * 1_000


def _nodes_of(node: Any) -> set[int]:
    """Return which nodes a trie has, each once however often it is met."""
    return {id(node)}.union(*(_nodes_of(each) for each in node.below if each is not None))


def test_logs_of_any_shape() -> None:
    datas = ["0x00", "0x7f", "0x80", "0xff", *map(_hex, LENGTHS)]
    logs = [_log(topics, data) for topics in range(5) for data in datas]
    receipts = [_receipt(place, logs[place:]) for place in range(len(logs))]
    expected = Trie([encoding.receipt(each) for each in receipts]).root
    assert _root(receipts) == "0x" + expected.hex()


def test_a_type_may_be_written_with_two_digits() -> None:
    one = _receipt(3, [])
    assert one["type"] == "0x3"
    assert _root([{**one, "type": "0x03"}]) == _root([one])


def test_what_is_no_receipt_of_ethereum_is_refused() -> None:
    with pytest.raises(ValueError, match="is of type 0x7e"):
        _root([{**_receipt(1, []), "type": "0x7e"}])
    with pytest.raises(ValueError, match="hexadecimal"):
        _root([_receipt(1, [_log(1, "0xzz")])])


@pytest.mark.parametrize("lacking", [0, 1, 6])
def test_headers_of_every_fork(lacking: int) -> None:
    names = encoding.HEADER[: len(encoding.HEADER) - lacking]
    fields = {name: _hex(CHANCE.choice((1, 8, 20, 32))) for name in names}
    fields |= {name: hex(CHANCE.choice((0, 1, 127, 128, 2**40))) for name in ("number", "gasUsed")}
    texts = [fields.get(name) for name in encoding.HEADER]
    assert header_hash(texts) == "0x" + keccak256(encoding.header(fields)).hex()


def test_the_fields_of_a_header_have_one_order() -> None:
    camel = ["".join([first, *map(str.title, rest)]) for first, *rest in _parts()]
    assert camel == list(encoding.HEADER)


def _parts() -> list[list[str]]:
    return [name.split("_") for name in HEADER_FIELDS]
