"""Checks a range of blocks from a node that may lag, lie, or change its mind while it answers.

A range is complete and consistent, or it raises a ``Doubt`` and nothing of it is written. ``check_range`` requires:

- Every header names the one before it as its parent, and has the hash that it claims.
- The receipts are those that the hash of their block covers (``proven``). Where those of a chain cannot be proven,
  every log carries the hash of its block, and the receipts of our transactions hold exactly the logs that the node's
  index gives.
- The last block is still the same when all has been read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter, lt

from indexer.asking import Block, Node, RangeAsked
from indexer.doubt import Apart, Doubt
from indexer.events import Events
from indexer.inputs import Given, Mined, inputs_of
from indexer.proven import check_header, proven_receipts
from indexer.watch import Watch
from ledger.chain.contracts.events import DecodedEvent, decode
from ledger.chain.failures.traces import Failed, failures_of, reason_in
from ledger.chain.node.client import ChainClient
from ledger.chain.node.records import LAST_SECOND, BlockHeader, LogRecord, no_date, transaction_info
from ledger.chain.node.wire import WireLog, WireReceipt
from ledger.chain.sending.included import Included
from ledger.jsontext import json_texts


@dataclass(frozen=True)
class Checked:
    """Consecutive blocks that were checked, with the events of ours in them as they were decoded."""

    headers: tuple[BlockHeader, ...]
    transactions: tuple[Included, ...]
    events: tuple[DecodedEvent, ...]
    inputs_length: int = 0
    """Characters of what the transactions were given."""


@dataclass(frozen=True)
class Window:
    """Consecutive blocks with everything of ours in them, checked."""

    headers: tuple[BlockHeader, ...]
    transactions: tuple[Included, ...]
    events: Events

    @property
    def first(self) -> int:
        """The number of the lowest block."""
        return self.headers[0].number

    @property
    def last(self) -> BlockHeader:
        """The highest block."""
        return self.headers[-1]


def check_range(
    asked: RangeAsked, node: Node, watch: Watch, parent_hash: str, open_hashes: Collection[str]
) -> Checked:
    """Check the answers about a range of blocks, and decode the events of our contracts in it.

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
    blocks, headers = _blocks(asked, parent_hash)
    if node.proven:
        for block in blocks:
            check_header(block)
        mined, logs = proven_receipts(asked, blocks, watch, open_hashes)
        also = {log.tx_hash for log in logs}.union(open_hashes)
        wanted = _wanted(mined, watch, also)
    else:
        wire_logs = asked.logs()
        logs = _checked_logs(wire_logs, blocks)
        also = {log.tx_hash for log in logs}.union(open_hashes)
        mined, wanted = _mined(asked, blocks, watch, also)
        _check_receipts(wire_logs, wanted, watch)
    given = inputs_of(node.client, mined, wanted, asked.traces())
    times = {header.number: header.time for header in headers}
    included = tuple(_included(node.client, watch, wanted, given, times))
    contracts = watch.log_contracts
    events = tuple(decode(contracts[log.address], log) for log in logs)
    again = node.client.block(asked.last)
    if again is None or again.hash != headers[-1].hash:
        raise Apart(f"block {asked.last} changed while it was read")
    length = sum(len(item.input) for item in given.values())
    return Checked(tuple(headers), included, events, length)


def _blocks(asked: RangeAsked, parent_hash: str) -> tuple[list[Block], list[BlockHeader]]:
    blocks, headers = [], []
    for number, block in zip(range(asked.first, asked.last + 1), asked.blocks(), strict=True):
        if block is None:
            raise Apart(f"the node has no block {number} yet, or no longer")
        if int(block.number, 16) != number or block.parent_hash != parent_hash:
            raise Apart(f"block {number} does not follow the one before it")
        parent_hash = block.hash
        blocks.append(block)
        base_fee, timestamp = int(block.base_fee or "0x0", 16), int(block.timestamp, 16)
        if timestamp > LAST_SECOND:
            raise Doubt(no_date(number, timestamp))
        headers.append(BlockHeader(number, block.hash, block.parent_hash, timestamp, base_fee))
    return blocks, headers


def _checked_logs(logs: Sequence[WireLog], blocks: Sequence[Block]) -> list[LogRecord]:
    """Require that each log fits the block that it names; return them in the order of the chain."""
    by_number = {int(block.number, 16): block for block in blocks}
    found = []
    for log in logs:
        number = int(log.block_number, 16)
        block = by_number.get(number)
        if log.removed:
            raise Apart(f"{_place(log)} was removed by a reorganisation")
        if block is None:
            raise Doubt(f"{_place(log)} lies outside the range that was asked for")
        if not _alike(log.block_hash, block.hash):
            raise Apart(f"{_place(log)} comes from another fork")
        tx_index, hashes = int(log.transaction_index, 16), block.hashes
        if tx_index >= len(hashes) or not _alike(log.transaction_hash, hashes[tx_index]):
            raise Doubt(f"{_place(log)} names a transaction that the block does not hold there")
        found.append(
            LogRecord(
                log.address.lower(),
                log.topics,
                log.data,
                number,
                block.hash,
                hashes[tx_index],
                tx_index,
                int(log.log_index, 16),
            )
        )
    places = list(map(_order, found))
    if not all(map(lt, places, places[1:])):  # most nodes hand them out in order
        found.sort(key=_order)
        if len(set(places)) != len(found):
            raise Doubt("a log was handed out twice")
    return found


def _alike(written: str, lower: str) -> bool:
    """Return whether hexadecimal text is the same; nodes may write capitals."""
    return written == lower or written.lower() == lower


_order = attrgetter("block_number", "log_index")


def _place(log: WireLog) -> str:
    return f"log {int(log.log_index, 16)} of block {int(log.block_number, 16)}"


# --------------------------------------------------------------------- receipts


def _mined(
    asked: RangeAsked, blocks: Sequence[Block], watch: Watch, also: Collection[str]
) -> tuple[list[Mined], list[Mined]]:
    """Return the receipts of all transactions (of ours alone, where the node cannot give all), and those of ours."""
    by_block = asked.block_receipts()
    if by_block is None:
        mined = _asked_for(asked, blocks, watch, also)
        return mined, mined
    mined = list(_of_blocks(blocks, by_block))
    return mined, _wanted(mined, watch, also)


def _wanted(mined: Sequence[Mined], watch: Watch, also: Collection[str]) -> list[Mined]:
    return [
        (block, receipt)
        for block, receipt in mined
        if watch.wants(receipt.transaction_hash, receipt.to, also)
    ]


def _of_blocks(
    blocks: Sequence[Block], by_block: Iterable[list[WireReceipt] | None]
) -> Iterator[Mined]:
    for block, receipts in zip(blocks, by_block, strict=True):
        place = f"block {int(block.number, 16)}"
        if receipts is None or (block.hashes and not receipts):
            raise Apart(f"the node has no receipts of {place}")
        for position, receipt in enumerate(receipts):
            _check_receipt(block, receipt, f"receipt {position} of {place}")
            yield block, receipt
        if [receipt.transaction_hash for receipt in receipts] != block.hashes:
            raise Doubt(f"the receipts of {place} are not those of its transactions")


def _asked_for(
    asked: RangeAsked, blocks: Sequence[Block], watch: Watch, also: Collection[str]
) -> list[Mined]:
    wanted = [
        (block, item.hash.lower())
        for block in blocks
        for item in block.full
        if watch.wants(item.hash.lower(), item.to, also)
    ]
    receipts = asked.receipts([tx_hash for _, tx_hash in wanted])
    found = []
    for (block, tx_hash), receipt in zip(wanted, receipts, strict=True):
        if receipt is None:
            raise Apart(f"the node has no receipt of {tx_hash}")
        _check_receipt(block, receipt, f"the receipt of {tx_hash}")
        if receipt.transaction_hash != tx_hash:
            raise Doubt(f"the receipt of {tx_hash} is that of another transaction")
        found.append((block, receipt))
    return found


def _check_receipt(block: Block, receipt: WireReceipt, what: str) -> None:
    """Require that a receipt is of its block; make its hash lower-case."""
    if receipt.block_hash.lower() != block.hash:
        raise Apart(f"{what} comes from another fork")
    receipt.transaction_hash = receipt.transaction_hash.lower()


def _check_receipts(logs: Sequence[WireLog], wanted: Sequence[Mined], watch: Watch) -> None:
    """Require that logs and receipts agree: a node that lags hands out fewer logs than there are."""
    ours = watch.log_contracts
    by_receipts = [
        log for _, receipt in wanted for log in receipt.logs if log.address.lower() in ours
    ]
    if by_receipts == logs:  # in the order of the chain, as nodes hand them out
        return
    of_receipts, of_index = map(_by_transaction, (by_receipts, logs))
    for tx_hash in of_receipts | of_index:
        mine, index = of_receipts.get(tx_hash, Counter()), of_index.get(tx_hash, Counter())
        if mine != index:
            raise (Apart if index < mine else Doubt)(
                f"transaction {tx_hash} has {mine.total()} logs of ours by its receipt, "
                f"and {index.total()} by the node's index"
            )


def _by_transaction(logs: Iterable[WireLog]) -> dict[str, Counter[tuple[object, ...]]]:
    """Return logs by transaction, all in lower case: receipts and index may be written differently."""
    found: dict[str, Counter[tuple[object, ...]]] = {}
    for log in logs:
        texts = log.address, log.block_hash, log.data, *log.topics
        key = (int(log.log_index, 16), *map(str.lower, texts))
        found.setdefault(log.transaction_hash.lower(), Counter())[key] += 1
    return found


# ----------------------------------------------------------------- transactions


def _included(
    client: ChainClient,
    watch: Watch,
    wanted: Sequence[Mined],
    given: Mapping[str, Given],
    times: Mapping[int, datetime],
) -> Iterator[Included]:
    calls = [
        watch.call_of(receipt.transaction_hash, receipt.to, given[receipt.transaction_hash].input)
        for _, receipt in wanted
    ]
    texts = json_texts([call.parameters for call in calls])
    reasons = _reasons(client, wanted, [call.contract for call in calls], given)
    for (block, receipt), call, text in zip(wanted, calls, texts, strict=True):
        from_node = given[receipt.transaction_hash]
        number = int(block.number, 16)
        created = receipt.contract_address
        yield Included(
            tx_hash=receipt.transaction_hash,
            contract_address=call.contract_address or (created.lower() if created else None),
            function_name=call.function,
            parameters=None if call.parameters is None else text,
            gas_used=int(receipt.gas_used, 16),
            gas_price_wei=_price(receipt, from_node),
            block_number=number,
            block_hash=block.hash,
            block_time=times[number],
            tx_index=int(receipt.transaction_index, 16),
            sender=receipt.sender.lower(),
            nonce=from_node.nonce,
            error=reasons.get(receipt.transaction_hash),
        )


def _price(receipt: WireReceipt, given: Given) -> int:
    """Return what was paid for a unit of gas, by the receipt or else by the transaction."""
    price = receipt.effective_gas_price
    if price is None and given.transaction is not None:
        price = given.transaction.gas_price
    if price is None:
        raise Doubt(f"neither {receipt.transaction_hash} nor its receipt says what its gas cost")
    return int(price, 16)


def _reasons(
    client: ChainClient,
    wanted: Sequence[Mined],
    contracts: Sequence[str | None],
    given: Mapping[str, Given],
) -> dict[str, str]:
    """Return why transactions failed, by hash: anybody may send thousands, so they are asked about together."""
    found, untold = {}, []
    for (block, receipt), contract in zip(wanted, contracts, strict=True):
        if int(receipt.status, 16) == 1:
            continue
        tx_hash = receipt.transaction_hash
        trace, transaction = given[tx_hash].trace, given[tx_hash].transaction
        if trace is not None:
            found[tx_hash] = reason_in(contract, trace)
            continue
        assert transaction is not None
        info, used = transaction_info(transaction), int(receipt.gas_used, 16)
        untold.append(Failed(contract, info, int(block.number, 16), used))
    for item, reason in zip(untold, failures_of(client, untold), strict=True):
        found[item.transaction.hash] = reason
    return found
