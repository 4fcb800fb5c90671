"""Every block that a chain ever had, as the node told it: also those that a reorganisation replaced.

It is asked over a connection of its own and keeps the raw answers. So it knows what a mirror may hold when
its cursor stands at a block, and it can speak as a node that is late or on another fork (``Past``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from eth_utils.crypto import keccak
from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.chain.addresses.book import Deployment
from ledger.db import Database
from ledger.models import Base
from tests.support.model import BUFFER, ESCROW, Model
from tests.support.wire import Wire

_LOG_HEAD = "0x" + keccak(text="logHead()")[:4].hex()
StateAfter = Callable[[dict[str, Any], list[dict[str, Any]]], Model]


@dataclass(frozen=True)
class Block:
    """One block in the node's own words; ``state`` is the model's after it."""

    number: int
    hash: str
    parent: str
    raw: dict[str, Any]
    receipts: list[dict[str, Any]]
    logs: list[dict[str, Any]]
    log_head: str
    state: Model


class Chronicle:
    """The record of one node, from the block before the deployment on.

    Parameters
    ----------
    rpc_url
        The node itself, not a proxy before it.
    """

    def __init__(self, rpc_url: str, deployment: Deployment, parties: dict[str, str]) -> None:
        self.deployment = deployment
        self.known: dict[str, Block] = {}
        self.canonical: dict[int, str] = {}
        self.orphaned_tips: list[str] = []
        self.places = {
            **parties,
            BUFFER: deployment.credit.address,
            ESCROW: deployment.settlement.address,
        }
        self._ours = {item.address for item in deployment.mirrored}
        self._contracts = {item.address for item in deployment.contracts.values()}
        self._created = {item.tx_hash.lower() for item in deployment.contracts.values()}
        self._first = deployment.deployed_block - 1
        self._rpc_url = rpc_url
        self.wire = Wire(rpc_url)

    def close(self) -> None:
        self.wire.close()

    def fork(self) -> Chronicle:
        """Return a record that knows what this one knows, for another history from here on."""
        other = Chronicle(self._rpc_url, self.deployment, {})
        other.places = self.places
        other.known, other.canonical = dict(self.known), dict(self.canonical)
        return other

    @property
    def head(self) -> int:
        """The number of the latest block that was noted."""
        return max(self.canonical)

    def note(self, state_after: StateAfter) -> int:
        """Take notice of every block that is new; return how many there were.

        ``state_after`` is called with each of them and its receipts, in turn; it returns the state that the
        block leaves. A block that was noted before has no receipts: it leaves what it left then.
        """
        # Not in one request: the node may mine between the answers of a batch.
        raw = self.wire.ask([("eth_getBlockByNumber", ["latest", True])])[0]
        head = int(raw["number"], 16)
        if self.canonical.get(head) == raw["hash"] and head == self.head:
            return 0
        if self.canonical.get(head - 1) == raw["parentHash"] and head not in self.canonical:
            receipts, log_head = self._more(raw)  # most often one is new
            self._add(raw, receipts, log_head, state_after(raw, receipts))
            return 1
        new: list[dict[str, Any]] = []
        number = head
        while number >= self._first:
            numbers = range(number, max(number - 32, self._first - 1), -1)
            raws = self.wire.ask([("eth_getBlockByNumber", [hex(each), True]) for each in numbers])
            strange = [
                raw for raw in raws if self.canonical.get(int(raw["number"], 16)) != raw["hash"]
            ]
            new += strange
            if len(strange) < len(raws):
                break
            number -= 32
        self._leave(head if not new else int(new[-1]["number"], 16) - 1)
        for raw in reversed(new):
            is_known = raw["hash"] in self.known
            receipts, log_head = ([], "0x") if is_known else self._more(raw)
            self._add(raw, receipts, log_head, state_after(raw, receipts))
        return len(new)

    def _more(self, raw: dict[str, Any]) -> tuple[list[dict[str, Any]], str]:
        """Return the receipts of a block, and the end of the credit log after it."""
        call = {"to": self.deployment.credit.address, "data": _LOG_HEAD}
        receipts, log_head = self.wire.ask(
            [("eth_getBlockReceipts", [raw["number"]]), ("eth_call", [call, raw["number"]])]
        )
        assert [each["blockHash"] for each in receipts] == [raw["hash"]] * len(raw["transactions"])
        return receipts, log_head

    def _leave(self, last: int) -> None:
        """Forget as canonical what stands above a block."""
        above = [number for number in self.canonical if number > last]
        if above:
            self.orphaned_tips.append(self.canonical[max(above)])
        for number in above:
            del self.canonical[number]

    def _add(
        self, raw: dict[str, Any], receipts: list[dict[str, Any]], log_head: str, state: Model
    ) -> None:
        number, name = int(raw["number"], 16), raw["hash"]
        self.canonical[number] = name
        if name not in self.known:
            logs = [log for receipt in receipts for log in receipt["logs"]]
            self.known[name] = Block(
                number, name, raw["parentHash"], raw, receipts, logs, log_head, state.copy()
            )

    # ------------------------------------------------------------------ questions

    def line(self, tip: str) -> list[Block]:
        """Return the blocks from the first to a tip, along its parents."""
        found = []
        while tip in self.known:
            found.append(self.known[tip])
            tip = self.known[tip].parent
        return found[::-1]

    def state_at(self, number: int) -> Model:
        """Return a copy of the state after a canonical block."""
        return self.known[self.canonical[number]].state.copy()

    def differences(self, db: Database, final_max: int) -> list[str]:
        """Return what a mirror holds otherwise than the chain up to the block where it stands.

        It may stand on a fork that was left; it may not mix two, lack a log, or have one too many. One
        snapshot of the books is looked at, whoever writes meanwhile.

        Parameters
        ----------
        final_max
            The last block that can ever have been final.
        """
        tables = Base.metadata.tables
        with db.read() as session:
            place = tables["chain_cursor"]
            cursors = session.execute(select(place.c.block_hash, place.c.final_number)).all()
            if not cursors:
                return [
                    f"{name} has rows before the mirror began"
                    for name in ("chain_events", "chain_inclusions", "credit_batches")
                    if session.execute(select(tables[name]).limit(1)).first()
                ]
            tip, final = cursors[0]
            block = self.known.get(tip)
            if block is None:
                return [f"the cursor names block {tip}, which no chain ever had"]
            line = self.line(tip)
            early = [f"block {final} is called final, and {final_max} is the last that can be"]
            return [
                *(early if final > max(final_max, 0) else []),
                *self._raw_differences(session, line),
                *self._transaction_differences(session, line, final),
                *(
                    f"at block {block.number}: {each}"
                    for each in block.state.differences(session, self.places)
                ),
            ]

    def _transaction_differences(
        self, session: Session, line: Sequence[Block], final: int
    ) -> list[str]:
        """Every transaction of ours, none of a fork that was left; a status only where it is final."""
        expected = {}
        for block in line:
            for receipt in filter(self._is_ours, block.receipts):
                ok = receipt["status"] == "0x1"
                status = "pending" if block.number > final else "confirmed" if ok else "failed"
                expected[receipt["transactionHash"]] = (status, int(receipt["gasUsed"], 16))
        table = Base.metadata.tables["blockchain_transactions"]
        rows = session.execute(select(table.c.tx_hash, table.c.status, table.c.gas_used))
        mirrored = {tx_hash: (status.value, gas) for tx_hash, status, gas in rows}
        return [
            f"transaction {tx_hash}, final to {final}: the mirror has {mirrored.get(tx_hash)}, "
            f"the chain {expected.get(tx_hash)}"
            for tx_hash in expected.keys() | mirrored.keys()
            if expected.get(tx_hash) != mirrored.get(tx_hash)
        ]

    def _raw_differences(self, session: Session, line: Sequence[Block]) -> list[str]:
        tip = line[-1]
        events = {
            (block.number, int(log["logIndex"], 16), log["transactionHash"], log["address"].lower())
            for block in line
            for log in block.logs
            if log["address"].lower() in self._ours
        }
        ours = {
            (receipt["transactionHash"], block.number, block.hash)
            for block in line
            for receipt in block.receipts
            if self._is_ours(receipt)
        }
        hashes = {block.number: block.hash for block in line}
        checks = {
            "chain_events": (events, "block_number log_index tx_hash contract_address"),
            "chain_inclusions": (ours, "tx_hash block_number block_hash"),
        }
        found = []
        for name, (expected, columns) in checks.items():
            table = Base.metadata.tables[name]
            rows = session.execute(select(*(table.c[column] for column in columns.split())))
            mirrored = {tuple(row) for row in rows}
            if mirrored != expected:
                found.append(
                    f"{name} at block {tip.number}: lacks {expected - mirrored}, "
                    f"has beyond the chain {mirrored - expected}"
                )
        blocks = Base.metadata.tables["chain_blocks"]
        for number, name in session.execute(select(blocks.c.number, blocks.c.hash)):
            if hashes.get(number) != name:
                found.append(
                    f"chain_blocks: block {number} {name} is not of the chain of {tip.hash}"
                )
        return found

    def _is_ours(self, receipt: dict[str, Any]) -> bool:
        return (
            (receipt["to"] or "").lower() in self._contracts
            or receipt["transactionHash"] in self._created
            or any(log["address"].lower() in self._ours for log in receipt["logs"])
        )


class Past:
    """What a node says whose chain ends at a given block: one that is late, or on a fork that was left."""

    def __init__(self, chronicle: Chronicle, tip: str) -> None:
        self._line = {block.number: block for block in chronicle.line(tip)}
        self._by_hash = {block.hash: block for block in self._line.values()}
        self._tip = self._line[max(self._line)]
        self._included = {
            receipt["transactionHash"]: (block, place)
            for block in self._line.values()
            for place, receipt in enumerate(block.receipts)
        }

    def answer(self, method: str, params: list[Any], truth: Any) -> Any:
        """Return what this node says; the true result where the chains have it in common."""
        if method == "eth_blockNumber":
            return hex(self._tip.number)
        if method in ("eth_getBlockByNumber", "eth_getBlockByHash"):
            return self._block_result(params, truth)
        if method in ("eth_getTransactionReceipt", "eth_getTransactionByHash"):
            return self._transaction(params[0], truth, method.endswith("Receipt"))
        if method == "eth_getLogs":
            return self._logs(params[0])
        block = self._block(params[0]) if method == "eth_getBlockReceipts" else _EARLIER
        if block is not _EARLIER:
            return block and block.receipts
        if method == "eth_call" and params[0]["data"] == _LOG_HEAD:
            block = self._block(params[1])
        return block.log_head if isinstance(block, Block) else truth

    def _block(self, place: Any) -> Any:
        if isinstance(place, dict):
            place = place.get("blockHash") or place.get("blockNumber")
        if place in ("latest", "pending"):
            return self._tip
        if place in ("finalized", "safe"):
            return self._line.get(self._tip.number - 2, _EARLIER)
        if isinstance(place, str) and len(place) == 66:
            return self._by_hash.get(place)
        number = int(place, 16)
        return _EARLIER if number < min(self._line) else self._line.get(number)

    def _block_result(self, params: list[Any], truth: Any) -> Any:
        block = self._block(params[0])
        if block is _EARLIER or (
            block is None and truth and int(truth["number"], 16) < min(self._line)
        ):
            return truth
        if block is None or params[1]:
            return block and block.raw
        return {**block.raw, "transactions": [each["hash"] for each in block.raw["transactions"]]}

    def _transaction(self, tx_hash: str, truth: Any, receipt: bool) -> Any:
        if tx_hash not in self._included:
            early = truth and int(truth["blockNumber"], 16) < min(self._line)
            return truth if early else None
        block, place = self._included[tx_hash]
        return block.receipts[place] if receipt else block.raw["transactions"][place]

    def _logs(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        addresses = query.get("address") or []
        addresses = {
            each.lower() for each in ([addresses] if isinstance(addresses, str) else addresses)
        }
        if "blockHash" in query:
            block = self._by_hash.get(query["blockHash"])
            blocks = [block] if block else []
        else:
            first, last = (self._block(query[name]) for name in ("fromBlock", "toBlock"))
            low = first.number if isinstance(first, Block) else int(query["fromBlock"], 16)
            high = last.number if isinstance(last, Block) else self._tip.number
            blocks = [block for number, block in self._line.items() if low <= number <= high]
        wanted = query.get("topics") or []
        return [
            log
            for block in blocks
            for log in block.logs
            if (not addresses or log["address"].lower() in addresses) and _fits(log, wanted)
        ]


def _fits(log: dict[str, Any], wanted: Sequence[Any]) -> bool:
    for place, topic in enumerate(wanted):
        names = [topic] if isinstance(topic, str) else topic
        if names and (len(log["topics"]) <= place or log["topics"][place] not in names):
            return False
    return True


_EARLIER = object()
"""A block before the record: all chains have it in common."""
