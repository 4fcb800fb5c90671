"""A real bundle, piece by piece, in other people's hands: ethereumjs, and OpenZeppelin's Solidity."""

import json
import random
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from eth_abi.abi import decode, encode
from eth_account import Account
from eth_utils.crypto import keccak

from ledger.bundles import BuiltBundle
from ledger.chain.node.client import RpcError
from ledger.proofs import tries
from ledger.proofs.verifier import ledger, rlp
from ledger.proofs.verifier.blocks import read_header, read_transaction
from ledger.proofs.verifier.checks import HISTORY
from ledger.proofs.verifier.trie import lookup
from tests.support.park import PROJECT, Park
from tests.support.proven import RETIRED
from tests.support.solidity import compiled
from tests.support.verify_page import ROOT

Proof = tuple[bytes, bytes, list[bytes]]
"""Root, key and nodes."""
ORACLE = """
pragma solidity ^0.8.30;
import {TrieProof} from "@openzeppelin/contracts/utils/cryptography/TrieProof.sol";

contract TrieOracle {
    function traverse(bytes32 root, bytes memory key, bytes[] memory proof) external pure returns (bytes memory) {
        return TrieProof.traverse(root, key, proof);
    }
}
"""


def unhex(text: str) -> bytes:
    return bytes.fromhex(text[2:])


@pytest.fixture(scope="module")
def document(corpus: dict[str, BuiltBundle]) -> dict[str, Any]:
    return dict(json.loads(corpus[RETIRED].text))


@pytest.fixture(scope="module")
def headers(document: dict[str, Any]) -> list[str]:
    return [document["header"], *(each["header"] for each in document["ancestors"])]


@pytest.fixture(scope="module")
def proofs(document: dict[str, Any], headers: list[str]) -> list[Proof]:
    """Every proof of the bundle, found without the verifier's checks."""
    blocks = [read_header(unhex(data)) for data in headers]

    def nodes(texts: list[str]) -> list[bytes]:
        return [unhex(text) for text in texts]

    def state(block: int, address: bytes, account: list[str]) -> tuple[Proof, bytes]:
        proof = (blocks[block].state_root, keccak(address), nodes(account))
        found = lookup(*proof)
        assert found
        return proof, rlp.bytes_of(rlp.list_of(rlp.decode(found))[2])

    def slot(root: bytes, place: int, texts: list[str]) -> Proof:
        return root, keccak(place.to_bytes(32)), nodes(texts)

    account, root = state(0, unhex(document["contract"]), document["account"])
    found = [account]
    batch = int(document["batch_id"])
    places = ledger.SLOTS | {name: ledger.mapping_slot(name, batch) for name in ledger.MAPPINGS}
    found += [slot(root, places[name], document["storage"][name]) for name in places]
    for name, nodes_of in document["registered"].items():
        found.append(slot(root, ledger.code_slot(name, PROJECT), nodes_of))
    for at, each in enumerate(document["ancestors"], start=1):
        account, root = state(each["anchor"], HISTORY, each["account"])
        found += [account, slot(root, blocks[at].number % 8191, each["slot"])]
    for each in document["events"]:
        key, block = rlp.encode(rlp.digits_of(each["index"])), blocks[each["block"]]
        found.append((block.transactions_root, key, nodes(each["transaction"])))
        found.append((block.receipts_root, key, nodes(each["receipt"])))
    return found


@pytest.fixture(scope="module")
def signed() -> list[bytes]:
    """Signed transactions of the three types, of a chain with a large number too."""
    account = Account.create()
    base = {"to": "0x" + "12" * 20, "value": 7, "gas": 90_000, "nonce": 300, "data": b"\x01" * 60}
    access = [{"address": "0x" + "34" * 20, "storageKeys": ["0x" + "56" * 32]}]
    fees = {"maxFeePerGas": 9, "maxPriorityFeePerGas": 1}
    kinds: list[dict[str, Any]] = [
        {"gasPrice": 9},
        {"gasPrice": 9, "type": 1, "accessList": access},
        {**fees, "type": 2},
        {**fees, "type": 2, "accessList": access, "to": ""},
    ]
    made = [
        account.sign_transaction(base | {"chainId": 31337} | kind).raw_transaction for kind in kinds
    ]
    for data, kind in zip(made, kinds, strict=True):
        assert read_transaction(bytes(data))[2].hex() == account.address[2:].lower(), kind
    return [bytes(data) for data in made]


@pytest.fixture(scope="module")
def lists() -> list[list[bytes]]:
    chance = random.Random(5)
    return [
        [chance.randbytes(chance.randrange(1, 90)) for _ in range(size)]
        for size in (1, 2, 16, 17, 128, 129, 300)
    ]


@pytest.fixture(scope="module")
def ethereumjs(
    headers: list[str], proofs: list[Proof], signed: list[bytes], lists: list[list[bytes]]
) -> dict[str, Any]:
    """What ethereumjs answers to all of it, in one run of Node."""
    in_bundle = [lookup(*proof) for proof in proofs[-4::2]]
    asked = {
        "chainId": 31337,
        "headers": headers,
        "transactions": ["0x" + (data or b"").hex() for data in [*signed, *in_bundle]],
        "proofs": [
            {"key": "0x" + key.hex(), "nodes": ["0x" + node.hex() for node in nodes]}
            for _, key, nodes in proofs
        ],
        "lists": [["0x" + value.hex() for value in values] for values in lists],
    }
    done = subprocess.run(
        ["node", str(ROOT / "tests" / "support" / "ethereumjs.mjs")],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {"asked": asked, **json.loads(done.stdout)}


def test_ethereumjs_reads_the_same_headers(ethereumjs: dict[str, Any], headers: list[str]) -> None:
    assert len(headers) == 3
    for data, theirs in zip(headers, ethereumjs["headers"], strict=True):
        ours = read_header(unhex(data))
        assert ("0x" + ours.hash.hex(), ours.number, ours.time) == (
            theirs["hash"],
            theirs["number"],
            theirs["time"],
        )
        roots = (ours.state_root, ours.transactions_root, ours.receipts_root)
        assert ["0x" + root.hex() for root in roots] == theirs["roots"]


def test_ethereumjs_finds_the_same_signers(ethereumjs: dict[str, Any]) -> None:
    given = ethereumjs["asked"]["transactions"]
    assert len(given) == 6
    for data, theirs in zip(given, ethereumjs["transactions"], strict=True):
        digest, chain_id, sender = read_transaction(unhex(data))
        assert chain_id == 31337
        assert ("0x" + digest.hex(), "0x" + sender.hex()) == (theirs["hash"], theirs["sender"])


def test_ethereumjs_finds_the_same_values(ethereumjs: dict[str, Any], proofs: list[Proof]) -> None:
    assert len(proofs) == 16
    for proof, theirs in zip(proofs, ethereumjs["proofs"], strict=True):
        assert keccak(proof[2][0]) == proof[0]
        ours = lookup(*proof)
        assert ("0x" + ours.hex() if ours else None) == theirs
    assert sum(value is None for value in ethereumjs["proofs"]) == 1  # no kilogram is in deficit


def test_ethereumjs_has_the_same_roots(
    ethereumjs: dict[str, Any], lists: list[list[bytes]]
) -> None:
    assert ["0x" + tries.Trie(values).root.hex() for values in lists] == ethereumjs["lists"]


# ------------------------------------------------------------- OpenZeppelin's Solidity


@pytest.fixture(scope="module")
def traverse(proven: Park) -> Iterator[Any]:
    """``TrieProof.traverse`` in a call of the node, at an address where nothing is."""
    code, place = compiled(ORACLE, "TrieOracle"), "0x" + "77" * 20

    def run(proof: Proof) -> bytes:
        data = keccak(text="traverse(bytes32,bytes,bytes[])")[:4]
        data += encode(["bytes32", "bytes", "bytes[]"], proof)
        call = {"to": place, "data": "0x" + data.hex()}
        answer = proven.chain.client.request("eth_call", [call, "latest", {place: {"code": code}}])
        (value,) = decode(["bytes"], unhex(answer))
        return bytes(value)

    yield run


def test_openzeppelin_finds_the_same_values_on_chain(traverse: Any, proofs: list[Proof]) -> None:
    found = 0
    for proof in proofs:
        ours = lookup(*proof)
        if ours:  # it proves nothing absent
            assert traverse(proof) == ours
            found += 1
    assert found == 15


def test_openzeppelin_refuses_what_is_refused_here(traverse: Any, proofs: list[Proof]) -> None:
    root, key, nodes = proofs[0]
    for wrong in (
        [*nodes, nodes[-1]],
        nodes[:-1],
        nodes[::-1],
        [nodes[0][:-1] + b"\0", *nodes[1:]],
    ):
        with pytest.raises(RpcError):
            traverse((root, key, wrong))
