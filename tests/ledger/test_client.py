"""The JSON-RPC client: against a real node, and against servers that answer anything else."""

import json
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from web3 import HTTPProvider, Web3

from ledger.chain.local.anvil import KeptPort, LocalNode, find_anvil
from ledger.chain.node.client import ChainClient, RpcError
from ledger.chain.node.transports.errors import NodeAnswer
from ledger.errors import BadInput, DependencyDown
from tests.support.answering import answering
from tests.support.chain import PARTIES, send

Answer = Callable[[Any], bytes]


@contextmanager
def server(answer: Answer, status: int = 200) -> Iterator[tuple[ChainClient, list[Any]]]:
    """A server that answers every request by a function of its JSON body."""
    seen: list[Any] = []

    def respond(body: Any) -> tuple[int, bytes]:
        seen.append(body)
        return status, answer(body)

    with answering(respond) as client:
        yield client, seen


def results(body: Any) -> list[dict[str, Any]]:
    calls = body if isinstance(body, list) else [body]
    return [{"jsonrpc": "2.0", "id": call["id"], "result": hex(call["id"])} for call in calls]


@pytest.fixture(scope="module")
def ipc() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tt-") as folder:  # a short path: sockets bound it
        yield Path(folder) / "anvil.ipc"


@pytest.fixture(scope="module")
def node(ipc: Path) -> Iterator[LocalNode]:
    with LocalNode(find_anvil(None), ipc=ipc) as started:
        yield started


@pytest.fixture(scope="module", params=["http", "ws", "ipc", "path"])
def client(request: pytest.FixtureRequest, node: LocalNode, ipc: Path) -> Iterator[ChainClient]:
    """A client of the same node over each transport."""
    addresses = {
        "http": node.rpc_url,
        "ws": node.rpc_url.replace("http://", "ws://"),
        "ipc": f"ipc://{ipc}",
        "path": str(ipc),
    }
    made = ChainClient(addresses[request.param])
    yield made
    made.close()


# ------------------------------------------------------------------------- a real node


def test_what_the_client_reads_is_what_web3_reads(node: LocalNode, client: ChainClient) -> None:
    sent_before = client.transaction_count(PARTIES["buyer"])
    receipt = send(client, PARTIES["buyer"], PARTIES["spare"], "0x")
    oracle = Web3(HTTPProvider(node.rpc_url)).eth
    block = oracle.get_block(receipt.block_number, full_transactions=True)
    header, (transaction,) = client.block_with_transactions(receipt.block_number) or (None, [])
    assert header is not None
    assert header.hash == block["hash"].to_0x_hex()
    assert header.parent_hash == block["parentHash"].to_0x_hex()
    assert (header.timestamp, header.base_fee) == (block["timestamp"], block["baseFeePerGas"])
    sent = block["transactions"][0]
    assert not isinstance(sent, bytes)
    assert transaction.hash == sent["hash"].to_0x_hex() == receipt.tx_hash
    assert (transaction.sender, transaction.to) == (PARTIES["buyer"], PARTIES["spare"])
    assert (transaction.nonce, transaction.gas) == (sent["nonce"], sent["gas"])
    theirs = oracle.get_transaction_receipt(sent["hash"])
    assert receipt.gas_used == theirs["gasUsed"] == 21_000
    assert receipt.effective_gas_price == theirs["effectiveGasPrice"]
    assert receipt.status == 1
    assert client.chain_id() == 31337
    assert client.block_number() == oracle.block_number
    assert client.transaction_count(PARTIES["buyer"]) == sent_before + 1 == sent["nonce"] + 1
    assert client.block(header.hash) == client.block(header.number) == header


def test_what_is_not_there_is_none(client: ChainClient) -> None:
    assert client.block(10**9) is None
    assert client.block("0x" + "ab" * 32) is None
    assert client.receipt("0x" + "ab" * 32) is None
    assert client.block_with_transactions(10**9) is None
    assert client.code(PARTIES["spare"]) == "0x"


def test_a_refusal_of_the_node_carries_its_code(client: ChainClient) -> None:
    with pytest.raises(RpcError, match="the node refused no_such_method") as caught:
        client.request("no_such_method")
    # "Method not found"; over WebSocket and IPC Anvil calls it invalid parameters.
    assert caught.value.rpc_code in (-32601, -32602)
    assert caught.value.exit_code == 3
    assert not caught.value.reverted


def test_long_batches_and_several_threads(client: ChainClient) -> None:
    """Four threads ask 120 calls each; each gets its own answers, in its order."""
    client.request("anvil_mine", ["0x78"])
    height = client.block_number()
    wanted = list(range(height - 119, height + 1))
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(client.blocks, [wanted, wanted[::-1], wanted, wanted[::-1]]))
    numbers = [[header.number for header in headers if header] for headers in found]
    assert numbers == [wanted, wanted[::-1], wanted, wanted[::-1]]


# ------------------------------------------------------------------------ batches


def test_long_lists_go_in_fifties_and_keep_their_order() -> None:
    with server(lambda body: json.dumps(results(body)[::-1]).encode()) as (client, seen):
        found = client.request_batch([("m", [n]) for n in range(120)])
        assert [len(body) for body in seen] == [50, 50, 20]
        asked = [call["id"] for body in seen for call in body]
    assert found == [hex(number) for number in asked]
    assert [call["params"] for body in seen for call in body] == [[n] for n in range(120)]


def test_no_calls_make_no_request() -> None:
    with server(lambda body: b"") as (client, seen):
        assert client.request_batch([]) == []
        assert client.receipts([]) == []
    assert seen == []


def test_an_answer_of_another_request_is_none_of_ours() -> None:
    def shifted(body: Any) -> bytes:
        return json.dumps([{**item, "id": item["id"] + 1} for item in results(body)]).encode()

    with (
        server(shifted) as (client, _),
        pytest.raises(DependencyDown, match="without an answer"),
    ):
        client.request_batch([("m", []), ("m", [])])


def test_one_error_for_a_whole_batch() -> None:
    refusal = {"jsonrpc": "2.0", "id": None, "error": {"code": -32005, "message": "too many"}}
    with server(lambda body: json.dumps(refusal).encode()) as (client, _):
        for count in (1, 2):
            with pytest.raises(RpcError, match="the node refused m: too many") as caught:
                client.request_batch([("m", [])] * count)
            assert caught.value.rpc_code == -32005


def test_calls_of_which_some_are_refused() -> None:
    def odd_are_refused(body: Any) -> bytes:
        calls = body if isinstance(body, list) else [body]
        refusal = {"error": {"code": -32000, "message": "forgotten"}}
        answers = [
            {"id": call["id"], **(refusal if call["params"][0] % 2 else {"result": call["params"]})}
            for call in calls
        ]
        return json.dumps(answers[::-1] if isinstance(body, list) else answers[0]).encode()

    with server(odd_are_refused) as (client, seen):
        assert client.attempt([]) == []
        found = [*client.attempt([("m", [n]) for n in range(101)]), *client.attempt([("m", [101])])]
        assert [len(body) for body in seen[:2]] == [50, 50]
    for number, result in enumerate(found):
        if number % 2:
            assert isinstance(result, RpcError) and result.rpc_message == "forgotten"
            assert result.__traceback__ is None, "it would keep what its callers held"
        else:
            assert result == [number]


def test_a_refusal_of_a_whole_request_is_that_of_each_call() -> None:
    refusal = {"jsonrpc": "2.0", "id": None, "error": {"code": -32005, "message": "too many"}}
    with server(lambda body: json.dumps(refusal).encode()) as (client, _):
        found = client.attempt([("m", []), ("n", [])])
    assert [(error.method, error.rpc_code) for error in found] == [("m", -32005), ("n", -32005)]


# ------------------------------------------------------------- servers that are no node


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>hello</html>",
        b"\xff\xfe",
        b'"\xff"',
        b"null",
        b"7",
        b'"text"',
        b"[]",
        b"[1]",
        b"{}",
        b'{"hello": "world"}',
        b'{"id": {}}',
        b"[" * 50_000,
    ],
    ids=range(13),
)
@pytest.mark.parametrize("count", [1, 2])
def test_what_is_no_json_rpc(content: bytes, count: int) -> None:
    with (
        server(lambda body: content, status=404) as (client, _),
        pytest.raises(DependencyDown) as caught,
    ):
        client.request_batch([("eth_chainId", [])] * count)
    assert "answers HTTP 404 but not JSON-RPC; check rpc_url" in caught.value.message


def test_an_echo_is_no_answer() -> None:
    with (
        server(lambda body: json.dumps(body).encode()) as (client, _),
        pytest.raises(DependencyDown, match="not JSON-RPC"),
    ):
        client.chain_id()


def test_another_block_than_the_one_that_was_asked_for_is_refused() -> None:
    """A cache before a node hands out one for another: a mirror that began there would begin elsewhere."""
    block = {
        "number": "0x7",
        "timestamp": "0x1",
        "hash": "0x" + "AB" * 32,
        "parentHash": "0x" + "00" * 32,
        "transactions": [],
    }

    def answer(body: Any) -> bytes:
        calls = body if isinstance(body, list) else [body]
        return json.dumps([{"id": call["id"], "result": block} for call in calls]).encode()

    with server(answer) as (client, _):
        for right in (7, "latest", "0x" + "ab" * 32):
            assert client.blocks([right, right])[1] is not None
        for wrong in (8, "0x" + "cd" * 32):
            with pytest.raises(NodeAnswer, match=f"for block {wrong} and answers with block 7"):
                client.blocks([7, wrong])
        with pytest.raises(NodeAnswer, match="for block 8 and answers with block 7"):
            client.blocks_with_transactions([7, 8])
        for name in ("hash", "parentHash"):
            block[name] = "0x" + "f" * 65
            with pytest.raises(
                NodeAnswer, match=r"asked for headers and answers with something else \('0xffff"
            ):
                client.head()
        del block["hash"]
        with pytest.raises(NodeAnswer, match=r"something else \(it has no 'hash'\); check rpc"):
            client.head()


def test_logs_that_were_not_asked_for_are_refused() -> None:
    """Of a node that knows no filter of several addresses, or of blocks."""
    mine, other, some = "0x" + "aa" * 20, "0x" + "bb" * 20, "0x" + "cd" * 32
    log = {
        "address": mine.upper().replace("X", "x"),
        "topics": [some],
        "data": "0x",
        "blockNumber": "0x7",
        "blockHash": some,
        "transactionHash": some,
        "transactionIndex": "0x0",
        "logIndex": "0x0",
    }
    block: dict[str, Any] | None = {
        "number": "0x9",
        "hash": some,
        "parentHash": some,
        "timestamp": "0x1",
    }

    def answer(body: Any) -> bytes:
        results = {"eth_getLogs": [log], "eth_getBlockByNumber": block}
        return json.dumps(
            [{"id": call["id"], "result": results[call["method"]]} for call in body]
        ).encode()

    with server(answer) as (client, seen):
        (found,) = client.logs([mine], 5, 9)
        assert (found.address, found.block_number, len(seen)) == (mine, 7, 1)
        for address, first, last in ((other, 5, 9), (mine, 8, 9), (mine, 5, 6)):
            said = f"asked for logs of blocks {first} to {last} and answers with one of {mine} in"
            with pytest.raises(NodeAnswer, match=said):
                client.logs([address], first, last)
        block = None
        with pytest.raises(DependencyDown, match="has no block 9") as lags:
            client.logs([mine], 5, 9)
        assert lags.value.code == "node-behind"


@pytest.mark.parametrize(
    "result",
    [None, "", "latest", 5, [], {}, "7", "0x", "0x1_0", " 0x1", "0x" + "f" * 65, "A" * 100_000],
)
def test_a_number_that_is_none(result: Any) -> None:
    def answer(body: Any) -> bytes:
        return json.dumps({"id": body["id"], "result": result}).encode()

    with (
        server(answer) as (client, _),
        pytest.raises(DependencyDown, match=r"eth_blockNumber .* is no number"),
    ):
        client.block_number()


@pytest.mark.parametrize("result", [None, 5, {}, "none", "0x1", "0xzz", "60", "0x60\n"])
def test_a_code_that_is_none(result: Any) -> None:
    def answer(body: Any) -> bytes:
        return json.dumps({"id": body["id"], "result": result}).encode()

    with (
        server(answer) as (client, _),
        pytest.raises(DependencyDown, match=r"eth_getCode .* is no code"),
    ):
        client.code("0x" + "11" * 20)


@pytest.mark.parametrize(
    ("error", "rpc_code", "message", "data"),
    [
        ("over quota", 0, "over quota", None),
        ({"code": "E1", "message": None}, 0, "error 0, without a word", None),
        ({"code": -32000}, -32000, "error -32000, without a word", None),
        (
            {"code": -1, "message": "<html>\n" + "no " * 500},
            -1,
            "<html> " + "no " * 164 + "\u2026",
            None,
        ),
        ({"code": 3, "message": "m", "data": "0x01"}, 3, "m", "0x01"),
        ({"code": 3, "message": "m", "data": {"data": "0x02"}}, 3, "m", "0x02"),
        ({"code": -1, "message": "m", "data": "Reverted 0x"}, -1, "m", None),
        ({"code": -1, "message": "m", "data": ["0x"]}, -1, "m", None),
    ],
)
def test_errors_of_every_form(error: Any, rpc_code: int, message: str, data: str | None) -> None:
    def answer(body: Any) -> bytes:
        return json.dumps({"id": body["id"], "error": error}).encode()

    with server(answer) as (client, _), pytest.raises(RpcError) as caught:
        client.request("m")
    found = caught.value
    assert (found.rpc_code, found.rpc_message, found.data) == (rpc_code, message, data)


def test_a_node_without_a_fee_of_its_own_gets_a_gwei() -> None:
    def answer(body: Any) -> bytes:
        return json.dumps({"id": body["id"], "error": {"code": -32601, "message": "no"}}).encode()

    with server(answer) as (client, _):
        assert client.priority_fee() == 10**9


def test_nobody_listens() -> None:
    kept = KeptPort()  # where nobody begins to listen meanwhile
    port = kept.number
    client = ChainClient(f"http://user:secret@127.0.0.1:{port}")
    with pytest.raises(DependencyDown) as caught:
        client.chain_id()
    client.close()
    assert caught.value.code == "node-down"
    assert f"no node answers at http://user:***@127.0.0.1:{port}" in caught.value.message


@pytest.mark.parametrize("url", ["http://", "https://", "http://[::1", "http://\x01"])
def test_an_address_that_is_none(url: str) -> None:
    client = ChainClient(url)
    with pytest.raises(BadInput, match="is not an address"):
        client.chain_id()
    client.close()


def test_a_proxy_variable_sends_nothing_elsewhere(
    monkeypatch: pytest.MonkeyPatch, node: LocalNode
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    client = ChainClient(node.rpc_url)
    assert client.chain_id() == 31337
    client.close()
