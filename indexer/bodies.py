"""Transactions held against the hashes of their blocks: what the receipts do not hold, in ``index verify``.

The header has the root of the block's transactions as well. A receipt proves status, gas and logs; whose they
are (hash, receiver, input, nonce, sender and price) is the node's word while the mirror runs, so that a node may
call a failed transaction of ours somebody else's. Here whole blocks are read, each hash and root is computed, and
each transaction that the block holds for us must be in the mirror, at its place and with its call, its sender by
its signature, and its price by its own fees and the block's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import Row, String, select, type_coerce
from sqlalchemy.orm import Session

from indexer.compare import Difference, typed
from indexer.report import Report
from indexer.watch import Watch
from ledger.chain.addresses.book import Deployment
from ledger.chain.keys.signed import signer_of
from ledger.chain.node.client import ChainClient
from ledger.chain.node.records import BlockHeader
from ledger.db import Database
from ledger.errors import DependencyDown, Refused
from ledger.models import Base, BlockchainTransaction, ChainInclusion
from ledger.proofs import encoding
from ledger.proofs.tries import Trie
from ledger.proofs.verifier.trie import keccak256

_BLOCKS_AT_ONCE = 4
_DYNAMIC_FEE = 2
"""The first type with a highest fee and a tip (EIP-1559); those after it have them, too."""
_CALLED = Base.metadata.tables[BlockchainTransaction.__tablename__].c
_AS_STORED = ("parameters", "gas_price")
"""Columns that are read as they are stored: who altered them may have left no JSON, or no number."""
_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError)
Raw = Mapping[str, Any]


def check_transactions(
    copy: Database,
    client: ChainClient,
    deployment: Deployment,
    report: Report,
    ranges: Iterable[tuple[int, BlockHeader]],
) -> None:
    """Compare the mirror's transactions with those that the hashes of some blocks cover.

    Parameters
    ----------
    ranges
        The number of the first block of each range, and the last block; the ones before are those that it descends
        from.

    Raises
    ------
    DependencyDown
        If the node lacks a block, or hands out transactions that its hash does not cover.
    """
    watch, checked, unsigned = Watch(deployment), 0, 0
    # What the fresh mirror had otherwise is known: a row that stands at another block is not missing as well.
    told = {
        (item.key, None if item.column == "block_number" else item.column)
        for item in report.differences
        if item.table in ("blockchain_transactions", "chain_inclusions")
    }
    with copy.read() as session:
        for first, end in ranges:
            try:
                for number, raw in _covered(client, first, end):
                    held = _held(session, number)
                    unsigned += sum(
                        _is_unsigned(each)
                        for each in raw["transactions"]
                        if each["hash"].lower() in held
                    )
                    found = _differences(held, watch, raw)
                    report.add(item for item in found if (item.key, item.column) not in told)
                    checked += len(raw["transactions"])
            except Refused as error:
                report.not_checked.append(error.message)
                return
    report.checked["transactions_in_blocks"] = checked
    if unsigned:
        report.not_checked.append(
            f"the senders of {unsigned} transactions, which nobody signed: a development node made them up"
        )


def _covered(client: ChainClient, first: int, end: BlockHeader) -> Iterator[tuple[int, Raw]]:
    """Yield the whole blocks of a range, each with the transactions that its hash covers.

    Raises
    ------
    DependencyDown
        As ``check_transactions``.
    Refused
        A block cannot be held against its hash by this version.
    """
    parent = None
    for numbers in _pieces(first, end.number):
        calls = [("eth_getBlockByNumber", [hex(number), True]) for number in numbers]
        for number, raw in zip(numbers, client.request_batch(calls), strict=True):
            if raw is None:
                raise client.without_block(number)
            try:
                _require_covered(number, raw, parent)
            except Refused as error:
                raise Refused(
                    f"the transactions of block {number}, and of each that was to be read after it, against its hash: "
                    f"{error.message}",
                    code=error.code,
                ) from error
            parent = raw["hash"].lower()
            yield number, raw
    if parent != end.hash:
        raise DependencyDown("the chain moved while it was read; trying again", code="node-moving")


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


def _held(session: Session, number: int) -> dict[str, Row[Any]]:
    """Return what the mirror has of a block's transactions, by hash."""
    called = [
        type_coerce(_CALLED[name], String).label(name) if name in _AS_STORED else _CALLED[name]
        for name in ("contract_address", "function_name", "parameters", "gas_price")
    ]
    query = (
        select(
            ChainInclusion.tx_hash,
            ChainInclusion.tx_index,
            ChainInclusion.nonce,
            ChainInclusion.sender,
            *called,
        )
        .outerjoin(BlockchainTransaction, BlockchainTransaction.tx_hash == ChainInclusion.tx_hash)
        .where(ChainInclusion.block_number == number)
    )
    return {row.tx_hash: row for row in session.execute(query)}


def _differences(held: Mapping[str, Row[Any]], watch: Watch, block: Raw) -> Iterator[Difference]:
    """Yield what the mirror has otherwise than a block whose hash covers its transactions."""
    number, placed, called = int(block["number"], 16), "chain_inclusions", "blockchain_transactions"
    missing = dict(held)
    for place, raw in enumerate(block["transactions"]):
        tx_hash = raw["hash"].lower()
        row = missing.pop(tx_hash, None)
        if row is None:
            if watch.wants(tx_hash, raw.get("to"), ()):
                says = {"block_number": number, "to": raw.get("to"), "input": raw["input"]}
                yield Difference(called, tx_hash, None, None, says)
            continue
        call = watch.call_of(tx_hash, raw.get("to"), raw["input"])
        nonce, sender = int(raw["nonce"], 16), _sender(raw)
        price = typed(_CALLED.gas_price, row.gas_price)
        pairs: list[tuple[str, str, Any, Any]] = [
            (placed, "tx_index", row.tx_index, place),
            (placed, "nonce", row.nonce, nonce),
            (called, "gas_price", price, _price(block, raw)),
        ]
        if not _is_unsigned(raw):
            pairs.append((placed, "sender", row.sender, sender))
        receiver = call.contract_address or (sender and encoding.created_by(sender, nonce))
        if receiver is not None:
            pairs.append((called, "contract_address", row.contract_address, receiver))
        if call.contract is not None:
            parameters = typed(_CALLED.parameters, row.parameters)
            pairs += [
                (called, "function_name", row.function_name, call.function),
                (called, "parameters", parameters, call.parameters),
            ]
        for table, column, mine, theirs in pairs:
            if mine != theirs:
                yield Difference(table, tx_hash, column, mine, theirs)
    for tx_hash in missing:
        yield Difference(called, tx_hash, None, {"block_number": number}, None)


def _sender(raw: Raw) -> str | None:
    """Return who signed a transaction; None where nobody did."""
    found = encoding.signature(raw)
    return signer_of(found.signed, found.parity, found.r, found.s)


def _price(block: Raw, raw: Raw) -> int:
    """Return what a transaction paid for a unit of gas, in wei: EIP-1559's effective price.

    The older types name one price, and pay it whatever the block's is. Where a block has none, the highest is paid, as
    geth has it.
    """
    if int(raw.get("type") or "0x0", 16) < _DYNAMIC_FEE:
        return int(raw["gasPrice"], 16)
    highest, tip = int(raw["maxFeePerGas"], 16), int(raw["maxPriorityFeePerGas"], 16)
    base = block.get("baseFeePerGas")
    return highest if base is None else min(highest, int(base, 16) + tip)
