"""The benchmark's chain: told by ``story``, made on an Anvil, kept in a cache, counted at the node.

Anvil hashes its whole state at every block, so the blocks are full. What is kept is Anvil's own state
file; it has no states of the past, as a node that prunes has none, so that nobody can repeat a call at an
old block.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from cli.bench.indexer import story
from cli.bench.indexer.acts import Act, World
from cli.bench.park import CURRENCY, LIBRARIES, PARTY, Park
from ledger.chain.contracts.abi import artifact
from ledger.chain.contracts.events import CREDIT, SETTLEMENT
from ledger.chain.contracts.layout import canonical_type
from ledger.chain.contracts.wrappers import encode_call
from ledger.chain.local.anvil import LocalNode
from ledger.chain.node.client import ChainClient
from ledger.chain.node.records import Receipt
from ledger.errors import DependencyDown

GENESIS_S = 1_748_736_000  # 2025-06-01
BLOCK_S = 12
GAS = 8_000_000
BLOCK_GAS = 2_000_000_000
FEE_WEI = 10**10
PATIENCE_S = 180.0
RECENT_STATES = 128
"""As nodes keep them; the mirror asks for the end of the credit log at the block that it has read."""
FINAL_BLOCKS = 40
"""Empty ones at the end: every peer takes blocks so far below the head as final, and reads them in bulk."""
CONTRACTS = (*LIBRARIES, CURRENCY, CREDIT, SETTLEMENT)
MIRRORED = (CREDIT, SETTLEMENT)
Say = Callable[[str], None]


@dataclass(frozen=True)
class Truth:
    """What stands on the chain, counted from the node's receipts."""

    first_block: int
    """The block of the first contract."""
    head: int
    head_hash: str
    transactions: int
    failed: int
    events: int
    """Logs of both contracts."""
    by_name: dict[str, int]
    """The same by their names; ``TransferBatch.moved`` counts what those of that name move."""
    last_event: tuple[int, int]
    """Block and position of the last one."""


@dataclass(frozen=True)
class BenchChain:
    """A chain that is kept: its folder and what is on it."""

    folder: Path
    truth: Truth

    @property
    def deployment(self) -> Path:
        """The deployment file."""
        return self.folder / "deployment.json"

    @contextmanager
    def running(self, anvil: Path) -> Iterator[str]:
        """Serve the chain, and give the node's address."""
        loaded = ["--load-state", str(self.folder / "state.json")]
        with node(anvil, loaded, states=RECENT_STATES) as served:
            yield served.rpc_url


@contextmanager
def node(anvil: Path, options: Sequence[str], states: int = 0) -> Iterator[LocalNode]:
    """Run a node of this chain's rules.

    Parameters
    ----------
    states
        Of so many of the last blocks it keeps the state.
    """
    # No number: with a nought the node never shows what it has mined.
    rules = [
        "--prune-history",
        *([str(states)] if states else []),
        "--auto-impersonate",
        "--gas-limit",
        str(BLOCK_GAS),
    ]
    rules += ["--timestamp", str(GENESIS_S)]
    running = LocalNode(anvil, options=[*rules, *options], patience_s=PATIENCE_S)
    running.start()
    try:
        yield running
    finally:
        running.stop()


def kept_chain(anvil: Path, cache: Path, events: int, say: Say) -> BenchChain:
    """Return the chain with as many events, from the cache or made now.

    Parameters
    ----------
    cache
        The folder of chains; one made from other contracts is another chain.
    events
        Events of both contracts at least; the last block may bring some more.
    say
        Told what is done, and how long it took.
    """
    folder = cache / f"chain-{events}-{_fingerprint()}"
    if not (folder / "truth.json").exists():
        cache.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix="draft-", dir=cache))
        try:
            started = time.monotonic()
            say(f"making a chain of {events} events; it is kept in {folder}")
            truth = _make(anvil, draft, events, say)
            (draft / "truth.json").write_text(json.dumps(asdict(truth)), encoding="utf-8")
            shutil.rmtree(folder, ignore_errors=True)
            draft.rename(folder)
            say(f"made in {time.monotonic() - started:.0f} s")
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    written = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    truth = Truth(**{**written, "last_event": tuple(written["last_event"])})
    say(
        f"the chain: {truth.events} events, {truth.transactions} transactions of which {truth.failed} "
        f"failed, {truth.head} blocks"
    )
    return BenchChain(folder, truth)


def count(client: ChainClient, deployment: Mapping[str, Any]) -> Truth:
    """Count what stands on a chain, from the receipts of every block."""
    head = client.block("latest")
    assert head is not None
    first_block = deployment["deployed_block"]
    ours = {deployment["contracts"][name]["address"]: names_of(name) for name in MIRRORED}
    found: Counter[str] = Counter()
    transactions = failed = moved = 0
    last = (0, 0)
    for start in range(first_block, head.number + 1, 50):
        numbers = range(start, min(start + 50, head.number + 1))
        answers = client.request_batch([("eth_getBlockReceipts", [hex(one)]) for one in numbers])
        for receipt in (receipt for answer in answers for receipt in answer):
            transactions += 1
            failed += receipt["status"] != "0x1"
            for log in receipt["logs"]:
                names = ours.get(log["address"].lower())
                if names is None:
                    continue
                name = names[log["topics"][0]]
                found[name] += 1
                last = int(log["blockNumber"], 16), int(log["logIndex"], 16)
                if name == "TransferBatch":  # two lists of one length, each behind its length
                    moved += (len(log["data"]) // 64 - 4) // 2
    return Truth(
        first_block=first_block,
        head=head.number,
        head_hash=head.hash,
        transactions=transactions,
        failed=failed,
        events=found.total(),
        by_name={**dict(sorted(found.items())), "TransferBatch.moved": moved},
        last_event=last,
    )


def names_of(contract: str) -> dict[str, str]:
    """Return the names of a contract's events, by first topic."""
    return {
        "0x"
        + keccak(
            text=f"{item['name']}({','.join(canonical_type(part) for part in item['inputs'])})"
        ).hex(): item["name"]
        for item in artifact(contract).abi
        if item["type"] == "event"
    }


# ------------------------------------------------------------------------------- making


class _Deployed(Park):
    """The contracts of the gas benchmark, with what a deployment file says of them."""

    def __init__(self, client: ChainClient) -> None:
        self.receipts: list[Receipt] = []
        super().__init__(client)

    def _send(self, sender: str, to: str | None, data: str) -> Receipt:
        receipt = super()._send(sender, to, data)
        self.receipts.append(receipt)
        return receipt

    def deployment(self) -> dict[str, Any]:
        """Return the deployment file's content."""
        genesis = self.client.block(0)
        assert genesis is not None and tuple(self.places) == CONTRACTS
        made = dict(zip(CONTRACTS, self.receipts, strict=False))
        return {
            "network": "bench",
            "chain_id": self.client.chain_id(),
            "genesis_hash": genesis.hash,
            "deployed_block": made[CONTRACTS[0]].block_number,
            "contracts": {name: self._entry(name, receipt) for name, receipt in made.items()},
            "accounts": {name: PARTY[name] for name in PARTY if name != "spare"},
            "class": {"id": 1, "code": "bench"},
        }

    def _entry(self, name: str, receipt: Receipt) -> dict[str, Any]:
        code = bytes.fromhex(self.client.code(self.places[name])[2:])
        return {
            "address": self.places[name].lower(),
            "constructor": {},
            "salt": "0x" + bytes(32).hex(),
            "init_code_hash": "0x" + keccak(hexstr=artifact(name).bytecode).hex(),
            "code_hash": "0x" + keccak(code).hex(),
            "block": receipt.block_number,
            "tx_hash": receipt.tx_hash,
            "source_hash": artifact(name).source_hash,
        }


def _make(anvil: Path, folder: Path, events: int, say: Say) -> Truth:
    """Tell the story to a new node, save its state, and count what a node makes of that."""
    state = folder / "state.json"
    saving = ["--dump-state", str(state), "--state-interval", str(10**6)]  # at the end alone
    with (
        node(anvil, saving) as running,
        closing(ChainClient(running.rpc_url, timeout_s=PATIENCE_S)) as client,
    ):
        planned = _tell(client, folder, events, say)
    with (
        node(anvil, ["--load-state", str(state)]) as running,
        closing(ChainClient(running.rpc_url, timeout_s=PATIENCE_S)) as client,
    ):
        deployment = json.loads((folder / "deployment.json").read_text(encoding="utf-8"))
        truth = count(client, deployment)
    if (truth.transactions, truth.failed, truth.events) != planned:
        raise DependencyDown(
            f"the node that loaded {state} has {truth.transactions} transactions, {truth.failed} failed, "
            f"{truth.events} events, and not {planned}; use the Anvil of package-lock.json"
        )
    return truth


def _tell(client: ChainClient, folder: Path, events: int, say: Say) -> tuple[int, int, int]:
    """Make the story happen; return how many transactions, failures and events it has."""
    client.request("anvil_setBlockTimestampInterval", [BLOCK_S])
    park = _Deployed(client)
    (folder / "deployment.json").write_text(json.dumps(park.deployment()), encoding="utf-8")
    ours = {park.places[CREDIT].lower(), park.places[SETTLEMENT].lower()}
    transactions = len(park.receipts)
    logs = sum(log.address in ours for receipt in park.receipts for log in receipt.logs)
    for member in World(park).members:
        client.request("anvil_setBalance", [member, hex(10**24)])
    failed = 0
    client.request("evm_setAutomine", [False])
    nonces: dict[str, int] = {}
    said = logs
    for acts in story.blocks(park, events - logs):
        _mine(client, park, nonces, acts)
        transactions += len(acts)
        failed += sum(act.fails for act in acts)
        logs += sum(act.logs for act in acts)
        if logs >= said + 20_000:
            say(f"  {logs} events")
            said = logs
    client.request("anvil_mine", [hex(FINAL_BLOCKS)])
    return transactions, failed, logs


def _mine(client: ChainClient, park: Park, nonces: dict[str, int], acts: Sequence[Act]) -> None:
    """Put acts into one block, in their order, and look whether each ended as it should.

    The node puts those that pay more before others: each pays a little less than the one before.
    """
    calls: list[tuple[str, list[Any]]] = []
    for number, act in enumerate(acts):
        sender = act.sender
        if sender not in nonces:
            nonces[sender] = client.transaction_count(sender)
        data = encode_call(act.contract, act.function, act.arguments)
        place = park.places[act.contract]
        calls.append(sending(sender, place, data, nonces[sender], FEE_WEI - number))
        nonces[sender] += 1
    hashes = client.request_batch(calls)
    client.request("evm_mine")
    for act, receipt in zip(acts, client.receipts(hashes), strict=True):
        if receipt is None or receipt.status != (0 if act.fails else 1):
            found = "is not mined" if receipt is None else f"has status {receipt.status}"
            raise DependencyDown(f"the story's {act.contract}.{act.function} {found}: {act}")


def sending(sender: str, to: str, data: str, nonce: int, fee_wei: int) -> tuple[str, list[Any]]:
    """Return the question by which the node signs and takes a transaction."""
    message = {
        "from": sender,
        "to": to,
        "data": data,
        "gas": hex(GAS),
        "nonce": hex(nonce),
        "maxFeePerGas": hex(fee_wei),
        "maxPriorityFeePerGas": hex(fee_wei),
    }
    return "eth_sendTransaction", [message]


def _fingerprint() -> str:
    """Return what the chain follows from: the contracts' code and the story."""
    digest = hashlib.sha256(f"story {story.VERSION}".encode())
    for name in CONTRACTS:
        digest.update(artifact(name).bytecode.encode())
    return digest.hexdigest()[:12]
