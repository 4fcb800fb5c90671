"""Transactions held against the hashes of their blocks: what the receipts do not hold, in ``index verify``.

The header has the root of the block's transactions as well. A receipt proves status, gas and logs; whose they
are (hash, receiver, input and nonce) is the node's word while the mirror runs, so that a node may call a failed
transaction of ours somebody else's. Here whole blocks are read, each hash and root is computed, and each
transaction that the block holds for us must be in the mirror, at its place and with its call.

A sender follows from the signature, which is covered; it is not recovered from it here: see docs/mirror.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import String, select, type_coerce
from sqlalchemy.orm import Session

from indexer.compare import Difference, typed
from indexer.report import Report
from indexer.watch import Watch
from ledger.chain.addresses.book import Deployment
from ledger.chain.node.client import ChainClient
from ledger.chain.node.records import BlockHeader
from ledger.db import Database
from ledger.errors import DependencyDown, Refused
from ledger.models import Base, BlockchainTransaction, ChainInclusion
from ledger.proofs import encoding
from ledger.proofs.tries import Trie
from ledger.proofs.verifier.trie import keccak256

_BLOCKS_AT_ONCE = 4
_PARAMETERS = Base.metadata.tables[BlockchainTransaction.__tablename__].c.parameters
"""Read as it is stored: who altered it may have left no JSON."""
_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError)
Raw = Mapping[str, Any]


def check_transactions(
    copy: Database, client: ChainClient, deployment: Deployment, report: Report, end: BlockHeader
) -> None:
    """Compare the mirror's transactions with those that the hashes of the range's blocks cover.

    Parameters
    ----------
    end
        The last block of the range; the ones before are those that it descends from.

    Raises
    ------
    DependencyDown
        If the node lacks a block, or hands out transactions that its hash does not cover.
    """
    watch, parent, checked = Watch(deployment), None, 0
    # What the fresh mirror had otherwise is known: a row that stands at another block is not missing as well.
    told = {
        (item.key, None if item.column == "block_number" else item.column)
        for item in report.differences
        if item.table in ("blockchain_transactions", "chain_inclusions")
    }
    with copy.read() as session:
        for numbers in _pieces(report.from_block, end.number):
            calls = [("eth_getBlockByNumber", [hex(number), True]) for number in numbers]
            for number, raw in zip(numbers, client.request_batch(calls), strict=True):
                if raw is None:
                    raise client.without_block(number)
                try:
                    _require_covered(number, raw, parent)
                except Refused as error:
                    report.not_checked.append(
                        f"the transactions of block {number} and later ones, against its hash: {error.message}"
                    )
                    return
                parent = raw["hash"].lower()
                found = _differences(session, watch, number, raw["transactions"])
                report.add(item for item in found if (item.key, item.column) not in told)
                checked += len(raw["transactions"])
    if parent != end.hash:
        raise DependencyDown("the chain moved while it was read; trying again", code="node-moving")
    report.checked["transactions_in_blocks"] = checked


def _pieces(first: int, last: int) -> Iterator[range]:
    for start in range(first, last + 1, _BLOCKS_AT_ONCE):
        yield range(start, min(start + _BLOCKS_AT_ONCE, last + 1))


def _require_covered(number: int, raw: Raw, parent: str | None) -> None:
    """Require that a block has its hash, follows the one before, and holds the transactions of its root."""
    if parent is not None and str(raw["parentHash"]).lower() != parent:
        raise DependencyDown("the chain moved while it was read; trying again", code="node-moving")
    try:
        own = [encoding.transaction(each) for each in raw["transactions"]]
        under_root = [encoding.in_root(each) for each in raw["transactions"]]
        has_hash = _is_hash(encoding.header(raw), raw["hash"])
        if not has_hash and (unknown := encoding.unknown_fields(raw)):
            raise Refused(
                f"its header has fields that are not known here ({', '.join(unknown)}): the chain has a newer fork "
                "than this version",
                code="header-unknown",
            )
        holds = (
            has_hash
            and "0x" + Trie(under_root).root.hex() == raw["transactionsRoot"].lower()
            and all(
                _is_hash(data, each["hash"])
                for data, each in zip(own, raw["transactions"], strict=True)
                if not _is_unsigned(each)
            )
        )
    except _UNREADABLE:
        holds = False
    if not holds:
        raise DependencyDown(
            f"the transactions of block {number} are not those that its hash covers: the node left one out, or "
            "changed it; use another node",
            code="node-answer",
        )


def _is_hash(data: bytes, written: str) -> bool:
    """Return whether bytes have a hash; nodes may write capitals."""
    return "0x" + keccak256(data).hex() == written.lower()


def _is_unsigned(raw: Raw) -> bool:
    """Return whether a development node made a transaction up for an account without its key (Anvil).

    It has no signature, which the root covers, and another hash than that of its bytes.
    """
    return int(raw["r"], 16) == int(raw["s"], 16) == 0


def _differences(
    session: Session, watch: Watch, number: int, transactions: Sequence[Raw]
) -> Iterator[Difference]:
    query = (
        select(
            ChainInclusion.tx_hash,
            ChainInclusion.tx_index,
            ChainInclusion.nonce,
            BlockchainTransaction.function_name,
            type_coerce(BlockchainTransaction.parameters, String).label("parameters"),
        )
        .outerjoin(BlockchainTransaction, BlockchainTransaction.tx_hash == ChainInclusion.tx_hash)
        .where(ChainInclusion.block_number == number)
    )
    held = {row.tx_hash: row for row in session.execute(query)}
    for place, raw in enumerate(transactions):
        tx_hash = raw["hash"].lower()
        row = held.pop(tx_hash, None)
        if row is None:
            if watch.wants(tx_hash, raw["to"], ()):
                says = {"block_number": number, "to": raw["to"], "input": raw["input"]}
                yield Difference("blockchain_transactions", tx_hash, None, None, says)
            continue
        call = watch.call_of(tx_hash, raw["to"], raw["input"])
        placed, called = "chain_inclusions", "blockchain_transactions"
        pairs: list[tuple[str, str, Any, Any]] = [
            (placed, "tx_index", row.tx_index, place),
            (placed, "nonce", row.nonce, int(raw["nonce"], 16)),
        ]
        if call.contract is not None:
            pairs += [
                (called, "function_name", row.function_name, call.function),
                (called, "parameters", typed(_PARAMETERS, row.parameters), call.parameters),
            ]
        for table, column, mine, theirs in pairs:
            if mine != theirs:
                yield Difference(table, tx_hash, column, mine, theirs)
    for tx_hash in held:
        yield Difference("blockchain_transactions", tx_hash, None, {"block_number": number}, None)
