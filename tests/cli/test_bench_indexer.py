"""``truetonne bench indexer`` in small: the shape, and counts that a second look at the node confirms.

No test asks how long something takes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_utils.crypto import keccak
from sqlalchemy import select

from api.app import create_app
from api.server import ApiServer
from cli.bench import bench_indexer
from cli.bench.indexer import growth, head, measure, ours
from cli.bench.indexer.chain import BenchChain, kept_chain, names_of
from cli.bench.indexer.endless import CREDIT_ADDRESS, Endless, block_hash, place_of
from cli.bench.indexer.patterns import call_pattern, word
from cli.bench.indexer.peers import PROJECTS
from cli.bench.indexer.tables import rows_of
from cli.command import Invocation
from indexer import Indexer
from ledger.chain.addresses.book import Deployment
from ledger.chain.contracts.abi import artifact
from ledger.chain.contracts.events import CREDIT, SETTLEMENT
from ledger.chain.contracts.layout import canonical_type
from ledger.chain.contracts.wrappers import decode_call
from ledger.chain.local.anvil import find_anvil
from ledger.chain.node.client import ChainClient
from ledger.db import Database
from ledger.errors import BadInput, DependencyDown, ProblemFound
from ledger.models import Base
from ledger.settings import load_settings
from tests.cli.conftest import Ended, Program
from tests.support.books import new_books
from tests.support.forms import long

EVENTS = 1_000
RESULT = {"name", "value", "unit", "against", "against_value", "ratio"}
RUN = {"name", "wall_s", "cpu_s", "server_cpu_s", "peak_mb", "events_per_s"}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def chain(cache: Path) -> BenchChain:
    return kept_chain(find_anvil(None), cache, EVENTS, lambda said: None)


@pytest.fixture(scope="module")
def client(chain: BenchChain) -> Iterator[ChainClient]:
    with chain.running(find_anvil(None)) as url:
        client = ChainClient(url)
        yield client
        client.close()


@long
def test_the_chain_is_what_the_node_says(chain: BenchChain, client: ChainClient) -> None:
    """Counted a second way: by logs and blocks, where the builder counts receipts."""
    deployment = json.loads(chain.deployment.read_text(encoding="utf-8"))
    truth, head = chain.truth, client.block("latest")
    assert head is not None
    assert (head.number, head.hash) == (truth.head, truth.head_hash)
    names: Counter[str] = Counter()
    last = (0, 0)
    for contract in (CREDIT, SETTLEMENT):
        address = deployment["contracts"][contract]["address"]
        for log in client.logs([address], truth.first_block, truth.head):
            names[names_of(contract)[log.topics[0]]] += 1
            last = max(last, (log.block_number, log.log_index))
    by_name = dict(truth.by_name)
    moved = by_name.pop("TransferBatch.moved")
    assert dict(names) == by_name
    assert truth.events == names.total() >= EVENTS
    assert truth.last_event == last
    assert 2 * names["TransferBatch"] <= moved <= 4 * names["TransferBatch"]
    blocks = client.blocks_with_transactions(range(truth.first_block, truth.head + 1))
    hashes = [each.hash for block in blocks if block is not None for each in block[1]]
    assert len(hashes) == truth.transactions
    receipts = client.receipts(hashes)
    assert sum(each is not None and each.status == 0 for each in receipts) == truth.failed > 0


@long
def test_the_chain_is_the_same_every_time(chain: BenchChain, tmp_path: Path) -> None:
    said: list[str] = []
    again = kept_chain(find_anvil(None), tmp_path, EVENTS, said.append)
    assert again.truth == chain.truth
    assert again.folder.name == chain.folder.name
    assert any(line.startswith("making a chain") for line in said)
    said.clear()
    assert kept_chain(find_anvil(None), tmp_path, EVENTS, said.append) == again
    assert len(said) == 1  # its counts: it was not made again
    assert said[0].startswith(f"the chain: {again.truth.events} events")


@long
@pytest.mark.mariadb
def test_indexer(truetonne: Program, chain: BenchChain, cache: Path) -> None:
    words = f"bench indexer --events {EVENTS} --cache {cache} --without-peers --rounds 1 --head-blocks 0"
    document = _document(truetonne(*words.split(), "--json"))
    assert set(document) == {
        "machine",
        "results",
        "chain",
        "runs",
        "head_visible_ms",
        "head_visible_mariadb_ms",
        "missing",
        "failed",
    }
    assert document["failed"] is None
    results = {result["name"]: result for result in document["results"]}
    assert set(results) == {"raw_limit", "sqlite_peak_mb", "mariadb_peak_mb"}
    assert all(set(result) == RESULT for result in results.values())
    raw = results["raw_limit"]
    assert raw["against"] == "the same calls alone"
    assert abs(Decimal(raw["ratio"]) - Decimal(raw["value"]) / Decimal(raw["against_value"])) < 1
    assert document["missing"] == []
    # That the rows are all there has been checked by the benchmark: it would have ended with 1.
    assert [run["name"] for run in document["runs"]] == [
        "raw",
        "sqlite_events",
        "sqlite",
        "mariadb_events",
        "mariadb",
    ]
    for run in document["runs"]:
        assert set(run) == RUN
        assert Decimal(run["wall_s"]) > 0
    truth = chain.truth
    counts = document["chain"]
    assert counts.pop("events_by_name") == truth.by_name
    assert counts == {
        "blocks": truth.head,
        "transactions": truth.transactions,
        "failed": truth.failed,
        "events": truth.events,
    }
    assert document["head_visible_ms"] == []


@long
def test_head(chain: BenchChain) -> None:
    """A block of a thousand events is mined, and shows in the API; its events are counted at the node."""
    with chain.running(find_anvil(None)) as url:
        with ours.sqlite_file() as place:
            assert len(head.visible_ms(chain, url, 1, place, 0)) == 1
        client = ChainClient(url)
        deployment = json.loads(chain.deployment.read_text(encoding="utf-8"))
        address = deployment["contracts"][CREDIT]["address"]
        assert len(client.logs([address], chain.truth.head + 1, client.block_number())) == 1_000
        client.close()


@long
def test_an_api_that_refuses_is_no_slow_mirror(tmp_path: Path) -> None:
    """Of a client that asks too often, 429 once stood in the figures as time until a block shows."""
    url = f"sqlite:///{tmp_path / 'books.db'}"
    ours.upgrade(url)
    environment = {"TRUETONNE_DATABASE_URL": url, "TRUETONNE_RATE_LIMIT": "1"}
    server = ApiServer(create_app(load_settings(None, environment)), "127.0.0.1", 0)
    server.start()
    api = head._Api(int(server.url.rsplit(":", 1)[1]), {})
    try:
        with pytest.raises(DependencyDown, match="429 while it is polled"):
            api.wait_for(1)
    finally:
        api.close()
        server.stop()


def test_events_alone_are_the_same_events(chain: BenchChain, client: ChainClient) -> None:
    """The run that is held against the peers leaves out what it says, and nothing else."""
    left_out = {"credit_batches": {"gap_start_s", "retired_kg", "cancelled_kg", "status"}}
    left_out["settlement_batches"] = {
        *("status", "ended_block", "fee_cents", "fee_collector", "cancelled_by", "reason"),
        "cosigned_digest",
    }
    with ours.sqlite_file() as full, ours.sqlite_file() as alone:
        ours.upgrade(full[1])
        databases = [Database(url) for _, url in (full, alone)]
        deployment = Deployment.load(chain.deployment)
        Indexer(databases[0], client, deployment, "finalized").run_until("head")
        ours.mirror(chain, client.rpc_url, alone, events_only=True)
        for name in rows_of(chain.truth):
            table = Base.metadata.tables[name]
            kept = [each for each in table.columns if each.name not in left_out.get(name, ())]
            rows = []
            for database in databases:
                with database.read() as session:
                    rows.append(sorted(map(repr, session.execute(select(*kept)))))
            assert rows[0] == rows[1], name
            assert rows[0]
        for database in databases:
            database.close()


def test_rows_that_are_missing_are_no_result(chain: BenchChain, tmp_path: Path) -> None:
    """A mirror of nothing is not taken for a fast one."""
    file = tmp_path / "empty.db"
    new_books(file).close()
    with pytest.raises(ProblemFound, match="and should have"):
        ours.check_rows(f"sqlite:///{file}", chain.truth)


@long
def test_peers_that_cannot_be_had_are_named(
    chain: BenchChain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without npm, or without PostgreSQL, there are no peers, and the reason is told; no error."""
    monkeypatch.setenv("PATH", str(tmp_path))
    request = measure.Request(None, tmp_path, EVENTS, 1, True, 0)
    measured = measure.Measured(chain)
    with ExitStack() as stack:
        assert (
            measure._peers(stack, request, measured, "http://127.0.0.1:9", lambda said: None) == {}
        )
    assert measured.missing
    assert all("is not installed" in reason for reason in measured.missing)


@long
@pytest.mark.mariadb
def test_growth(truetonne: Program) -> None:
    document = _document(truetonne("bench", "indexer", "--growth", "3000", "--json"))
    names = {result["name"] for result in document["results"]}
    assert names == {
        f"growth_{name}_{what}"
        for name in ("sqlite", "mariadb")
        for what in ("rows_per_s", "cpu_us_a_row", "peak_mb")
    }
    for grown in document["growth"]:
        assert len(grown["rows_per_s"]) == len(grown["cpu_us_a_row"]) == 10
        # Three thousand were asked for; what a lot brings is known about.
        assert 2_000 < grown["rows"] < 4_000


@long
@pytest.mark.mariadb
def test_one_database_alone(truetonne: Program) -> None:
    words = "bench indexer --growth 3000 --database mariadb --buffer 256 --json"
    grown = _document(truetonne(*words.split()))
    assert [each["name"] for each in grown["growth"]] == ["mariadb"]


def test_the_head_alone(truetonne: Program, chain: BenchChain, cache: Path) -> None:
    words = f"bench indexer --events {EVENTS} --cache {cache} --head-only --head-blocks 1 --database sqlite --json"
    head = _document(truetonne(*words.split()))
    assert [result["name"] for result in head["results"]] == ["head_visible_ms"]
    assert (len(head["head_visible_ms"]), head["head_visible_mariadb_ms"]) == (1, [])
    assert (head["runs"], head["missing"], head["failed"]) == ([], [], None)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"growth": 3000, "head_only": True}, "give one of them"),
        ({"database": "sqlite"}, "for --growth or --head-only"),
        ({"head_only": True, "head_blocks": 0}, "and that is 0"),
    ],
)
def test_what_excludes_each_other(options: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        bench_indexer(cast(Invocation, None), **options)


def test_a_server_for_long_books_has_the_memory_that_was_said() -> None:
    assert growth._memory(2048) == [
        "--innodb-buffer-pool-size=2048M",
        "--innodb-log-file-size=512M",
    ]
    assert growth._memory(128)[1] == "--innodb-log-file-size=96M", "no shorter than usual"


@long
def test_endless_blocks_link_and_seal() -> None:
    """Two blocks, checked by what is written here: links, places, and the head of the credit log."""
    chain = Endless()
    head, seq = bytes(32), 0
    for number in (1, 2, 3):
        block = chain.block(number)
        assert block is not None
        header = json.loads(block.header(full=True))
        assert (header["hash"], header["parentHash"]) == (
            block_hash(number),
            block_hash(number - 1),
        )
        receipts = [json.loads(receipt) for receipt in block.receipts]
        logs = [json.loads(log) for log in block.logs]
        assert [log for receipt in receipts for log in receipt["logs"]] == logs
        assert [int(log["logIndex"], 16) for log in logs] == list(range(len(logs)))
        for sent, receipt in zip(header["transactions"], receipts, strict=True):
            assert (sent["hash"], sent["transactionIndex"]) == (
                receipt["transactionHash"],
                receipt["transactionIndex"],
            )
            assert sent["to"] == CREDIT_ADDRESS
            assert sent["input"] == "0x" or decode_call(CREDIT, sent["input"]) is not None
        for log in logs:
            sealed = _sealed(log)
            if sealed is None:
                continue
            seq += 1
            head = keccak(abi_encode(["bytes32", "uint64", "bytes32"], [head, seq, sealed[0]]))
            assert sealed[1:] == (seq, head)
        hashes = [sent["hash"] for sent in header["transactions"]]
        assert [place_of(each) for each in hashes] == [(number, at) for at in range(len(hashes))]
        assert number == 1 or hashes != sorted(hashes)
    assert chain.block(3).seq == seq  # type: ignore[union-attr]
    assert seq > 50


def test_patterns_encode_as_eth_abi_does() -> None:
    pattern = call_pattern("safeTransferFrom", {"data": b"abc"})
    giver, taker = "0x" + "11" * 20, "0x" + "22" * 20
    filled = pattern.text([word(giver), word(taker), word(7), word(2**40)])
    kinds = ["address", "address", "uint256", "uint256", "bytes"]
    selector = keccak(text=f"safeTransferFrom({','.join(kinds)})")[:4]
    assert filled == "0x" + (selector + abi_encode(kinds, [giver, taker, 7, 2**40, b"abc"])).hex()


def test_tenths_are_read_between_samples() -> None:
    """A hundred blocks: 20 s before the first range is there, then 10 blocks a second, in the end 5."""
    spent = growth.Spent(Decimal(45), Decimal("27"), Decimal(0), Decimal(1))
    samples = (
        growth.Sample(100.0, 0, Decimal(0)),
        growth.Sample(120.0, 2, Decimal(10)),
        growth.Sample(120.8, 10, Decimal("10.8")),
        growth.Sample(129.8, 100 - 20, Decimal("19")),
        growth.Sample(133.8, 100, Decimal("27")),
    )
    grown = growth.Grown("x", spent, 1_000, 100, samples)
    # Eight blocks of ten rows in 0.8 s of time and of CPU; not the 20.8 s since the start.
    assert grown.tenth(0) == (Decimal(100), Decimal("10000.00"))
    # Twenty blocks of ten rows in 4 s, and 8 s of CPU: a tenth is half of it.
    assert grown.tenth(9) == (Decimal(50), Decimal("40000.00"))


@pytest.mark.parametrize("peer", ["subsquid", "ponder"])
def test_locks_of_peers_name_no_address(peer: str) -> None:
    lock = json.loads((PROJECTS / peer / "package-lock.json").read_text(encoding="utf-8"))
    packages = {path: entry for path, entry in lock["packages"].items() if path}
    assert packages
    assert not [path for path, entry in packages.items() if "resolved" in entry]
    assert all(entry.get("integrity") for entry in packages.values())
    wanted = json.loads((PROJECTS / peer / "package.json").read_text(encoding="utf-8"))
    for name, version in wanted["dependencies"].items():
        assert packages[f"node_modules/{name}"]["version"] == version


def _sealed(log: dict[str, Any]) -> tuple[bytes, int, bytes] | None:
    """Return record, number and head of an entry of the credit log; None for other events."""
    (item,) = (
        item
        for item in artifact(CREDIT).abi
        if item["type"] == "event" and names_of(CREDIT)[log["topics"][0]] == item["name"]
    )
    inputs = item["inputs"]
    if [part["name"] for part in inputs[-2:]] != ["seq", "head"]:
        return None
    indexed = [part for part in inputs if part["indexed"]]
    plain = [canonical_type(part) for part in inputs if not part["indexed"]]
    values = [
        abi_decode([part["type"]], bytes.fromhex(topic[2:]))[0]
        for part, topic in zip(indexed, log["topics"][1:], strict=True)
    ]
    values += abi_decode(plain, bytes.fromhex(log["data"][2:]))
    kinds = ["bytes32", *(canonical_type(part) for part in inputs[:-2])]
    topic = bytes.fromhex(log["topics"][0][2:])
    return keccak(abi_encode(kinds, [topic, *values[:-2]])), values[-2], values[-1]


def _document(ended: Ended) -> dict[str, Any]:
    assert ended.code == 0, ended.err
    document: dict[str, Any] = ended.json()
    return document
