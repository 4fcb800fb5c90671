"""Reading a range of blocks from a node that may lag, lie, or change its mind while it answers.

A window is either complete and consistent, or it is a ``Doubt`` and nothing of it is written: every
header names its parent, every log carries the hash of its header, the receipts of our transactions hold
exactly the logs that were handed out, and the last header is the same after reading as before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from indexer.watch import Watch
from ledger.chain.client import BlockHeader, ChainClient, LogRecord, Receipt, TransactionInfo
from ledger.chain.events import DecodedEvent, decode
from ledger.chain.failures import failure_of
from ledger.chain.transactions import Included


class Doubt(Exception):
    """The node's answers do not fit together; reading again may help, writing them would not."""


@dataclass(frozen=True)
class Window:
    """Consecutive blocks with everything of ours in them, checked."""

    headers: tuple[BlockHeader, ...]
    transactions: tuple[Included, ...]
    events: tuple[DecodedEvent, ...]

    @property
    def last(self) -> BlockHeader:
        """The highest block."""
        return self.headers[-1]


def block_time(header: BlockHeader) -> datetime:
    """Return the time of a block, aware, in UTC."""
    return datetime.fromtimestamp(header.timestamp, UTC)


def read_window(
    client: ChainClient,
    watch: Watch,
    parent_hash: str,
    from_block: int,
    to_block: int,
    open_hashes: Collection[str],
) -> Window:
    """Read blocks ``from_block`` to ``to_block``, both included.

    Parameters
    ----------
    parent_hash
        Hash of the block before the first one, as the mirror has it.
    open_hashes
        Transactions of our own sender whose fate is not known; they may call foreign contracts.

    Raises
    ------
    Doubt
        If the answers do not fit together.
    MirrorStopped
        If a log of ours cannot be decoded.
    """
    blocks = _blocks(client, parent_hash, from_block, to_block)
    headers = {header.number: header for header, _ in blocks}
    logs = client.logs(watch.log_addresses, from_block, to_block)
    _check_logs(logs, blocks)
    wanted = _wanted(blocks, watch, {log.tx_hash for log in logs} | set(open_hashes))
    receipts = _receipts(client, wanted, headers)
    _check_receipts(logs, receipts, watch)
    included = [
        _included(client, watch, transaction, receipt, headers[receipt.block_number])
        for transaction, receipt in zip(wanted, receipts, strict=True)
    ]
    events = [decode(watch.log_contracts[log.address], log) for log in _in_order(logs)]
    again = client.block(to_block)
    if again is None or again.hash != headers[to_block].hash:
        raise Doubt(f"block {to_block} changed while it was read")
    return Window(tuple(headers.values()), tuple(included), tuple(events))


def _blocks(
    client: ChainClient, parent_hash: str, from_block: int, to_block: int
) -> list[tuple[BlockHeader, list[TransactionInfo]]]:
    numbers = range(from_block, to_block + 1)
    found = []
    for number, block in zip(numbers, client.blocks_with_transactions(numbers), strict=True):
        if block is None:
            raise Doubt(f"the node has no block {number} yet, or no longer")
        header = block[0]
        if header.number != number or header.parent_hash != parent_hash:
            raise Doubt(f"block {number} does not follow the one before it")
        parent_hash = header.hash
        found.append(block)
    return found


def _in_order(logs: Sequence[LogRecord]) -> list[LogRecord]:
    return sorted(logs, key=lambda log: (log.block_number, log.log_index))


def _check_logs(
    logs: Sequence[LogRecord], blocks: Sequence[tuple[BlockHeader, list[TransactionInfo]]]
) -> None:
    by_number = {header.number: (header, transactions) for header, transactions in blocks}
    places = set()
    for log in logs:
        where = f"log {log.log_index} of block {log.block_number}"
        if log.removed:
            raise Doubt(f"{where} was removed by a reorganisation")
        if log.block_number not in by_number:
            raise Doubt(f"{where} lies outside the range that was asked for")
        header, transactions = by_number[log.block_number]
        if log.block_hash != header.hash:
            raise Doubt(f"{where} comes from another fork")
        if log.tx_index >= len(transactions) or transactions[log.tx_index].hash != log.tx_hash:
            raise Doubt(f"{where} names a transaction that the block does not hold there")
        places.add((log.block_number, log.log_index))
    if len(places) != len(logs):
        raise Doubt("a log was handed out twice")


def _wanted(
    blocks: Sequence[tuple[BlockHeader, list[TransactionInfo]]], watch: Watch, also: Collection[str]
) -> list[TransactionInfo]:
    return [
        transaction
        for _, transactions in blocks
        for transaction in transactions
        if watch.wants(transaction, also)
    ]


def _receipts(
    client: ChainClient, wanted: Sequence[TransactionInfo], headers: dict[int, BlockHeader]
) -> list[Receipt]:
    receipts = []
    asked = client.receipts([transaction.hash for transaction in wanted])
    for transaction, receipt in zip(wanted, asked, strict=True):
        if receipt is None:
            raise Doubt(f"the node has no receipt of {transaction.hash}")
        header = headers.get(receipt.block_number)
        if header is None or receipt.block_hash != header.hash:
            raise Doubt(f"the receipt of {transaction.hash} comes from another fork")
        receipts.append(receipt)
    return receipts


def _check_receipts(logs: Sequence[LogRecord], receipts: Sequence[Receipt], watch: Watch) -> None:
    """Compare the logs with the receipts: a node that lags hands out fewer logs than there are."""
    by_transaction: dict[str, set[LogRecord]] = defaultdict(set)
    for log in logs:
        by_transaction[log.tx_hash].add(log)
    for receipt in receipts:
        ours = {log for log in receipt.logs if log.address in watch.log_contracts}
        if ours != by_transaction[receipt.tx_hash]:
            raise Doubt(
                f"transaction {receipt.tx_hash} has {len(ours)} logs of ours by its receipt, "
                f"and {len(by_transaction[receipt.tx_hash])} by the node's index"
            )


def _included(
    client: ChainClient,
    watch: Watch,
    transaction: TransactionInfo,
    receipt: Receipt,
    header: BlockHeader,
) -> Included:
    call = watch.call_of(transaction)
    error = None
    if receipt.status != 1:
        error = failure_of(client, call.contract, transaction, receipt)
    return Included(
        tx_hash=transaction.hash,
        contract_address=call.contract_address or receipt.contract_address,
        function_name=call.function,
        parameters=call.parameters,
        gas_used=receipt.gas_used,
        gas_price_wei=receipt.effective_gas_price,
        block_number=header.number,
        block_hash=header.hash,
        block_time=block_time(header),
        tx_index=transaction.index,
        sender=transaction.sender,
        nonce=transaction.nonce,
        error=error,
    )
