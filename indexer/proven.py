"""Receipts held against the hashes of their blocks: what the node left out of both its index and them shows here.

The hash of a block covers its header, and the header has the root of all receipts of the block. So a header is
taken when its fields hash to its hash, and the receipts of a block when they make its root: then their
logs are all logs of the block, in order, and nobody needs to be asked for logs besides. What a block's bloom does
not have is not in its receipts: a block that names none of our contracts there, and whose transactions call
none, is not computed.

Proven is what a receipt itself holds: status, gas and logs. Which transaction it belongs to, who sent that,
whom it called, and what it paid, are the node's word until ``index verify``; see docs/mirror.md.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from operator import attrgetter

from indexer.asking import Block, RangeAsked
from indexer.doubt import Apart, Doubt
from indexer.inputs import Mined
from indexer.watch import Watch
from ledger.chain.node.records import LogRecord
from ledger.chain.node.wire import HEADER_FIELDS, WireReceipt
from ledger.proofs.covered import header_hash, receipts_root

_OTHERWISE = (
    "on a chain that has other headers or receipts than Ethereum's, or a newer fork than this version knows, set "
    "`receipts` to `told`"
)
_fields = attrgetter(*HEADER_FIELDS)


def check_header(block: Block) -> None:
    """Require that a block's hash is that of its header.

    Raises
    ------
    Doubt
        If it is not.
    """
    try:
        if header_hash(_fields(block.header)) == block.hash:
            return
    except ValueError:
        pass
    raise Doubt(f"the header of block {int(block.number, 16)} does not have its hash; {_OTHERWISE}")


def proven_receipts(
    asked: RangeAsked, blocks: Sequence[Block], watch: Watch, open_hashes: Collection[str]
) -> tuple[list[Mined], list[LogRecord]]:
    """Return the receipts of all blocks that may concern us, and our logs, both in the order of the chain.

    Raises
    ------
    Doubt
        If receipts are missing, or are not what the block's hash covers.
    """
    mined: list[Mined] = []
    logs: list[LogRecord] = []
    for block, receipts in zip(blocks, _by_block(asked, blocks, watch, open_hashes), strict=True):
        if receipts is None:
            continue
        concerns_us = watch.may_have_logs(block.header.logs_bloom)
        for position, receipt in enumerate(receipts):
            _check_place(block, receipt, position)
            if watch.wants(receipt.transaction_hash, receipt.to, open_hashes):
                concerns_us = True
            mined.append((block, receipt))
        if len(receipts) != len(block.hashes):
            raise Doubt(
                f"{_receipts_of(block)} are {len(receipts)}, its transactions {len(block.hashes)}"
            )
        if concerns_us:
            _check_root(block, receipts)
            logs += _ours(block, receipts, watch)
    return mined, logs


def _by_block(
    asked: RangeAsked, blocks: Sequence[Block], watch: Watch, open_hashes: Collection[str]
) -> Iterator[list[WireReceipt] | None]:
    """Return the receipts of each block; None for one that does not concern us, where each costs a call."""
    by_block = asked.block_receipts()
    if by_block is None:
        yield from _one_by_one(asked, blocks, watch, open_hashes)
        return
    for block, receipts in zip(blocks, by_block, strict=True):
        if receipts is None or (block.hashes and not receipts):
            raise Apart(f"the node has no receipts of block {int(block.number, 16)}")
        yield receipts


def _one_by_one(
    asked: RangeAsked, blocks: Sequence[Block], watch: Watch, open_hashes: Collection[str]
) -> Iterator[list[WireReceipt] | None]:
    chosen = {
        block.number: block
        for block in blocks
        if watch.may_have_logs(block.header.logs_bloom)
        or any(watch.wants(item.hash.lower(), item.to, open_hashes) for item in block.full)
    }
    receipts = iter(asked.receipts([each for block in chosen.values() for each in block.hashes]))
    for block in blocks:
        if block.number not in chosen:
            yield None
            continue
        found = []
        for tx_hash, receipt in zip(block.hashes, receipts, strict=False):
            if receipt is None:
                raise Apart(f"the node has no receipt of {tx_hash}")
            found.append(receipt)
        yield found


def _check_place(block: Block, receipt: WireReceipt, position: int) -> None:
    """Require that a receipt is of its block and its transaction; make its hash lower-case."""
    if receipt.block_hash.lower() != block.hash:
        raise Apart(f"receipt {position} of block {int(block.number, 16)} comes from another fork")
    tx_hash = receipt.transaction_hash.lower()
    if position >= len(block.hashes) or block.hashes[position] != tx_hash:
        raise Doubt(f"{_receipts_of(block)} are not those of its transactions")
    receipt.transaction_hash = tx_hash
    receipt.transaction_index = hex(position)


def _check_root(block: Block, receipts: Sequence[WireReceipt]) -> None:
    why = ""
    try:
        if receipts_root(receipts) == (block.header.receipts_root or "").lower():
            _check_gas(block, receipts)
            return
    except ValueError as error:
        why = f" ({error})"
    raise Doubt(
        f"{_receipts_of(block)} are not those that its hash covers: the node left something out, or changed "
        f"it{why}; {_OTHERWISE}"
    )


def _check_gas(block: Block, receipts: Sequence[WireReceipt]) -> None:
    """Require that what each transaction used follows from the gas up to its receipt, which the root covers."""
    before = 0
    for receipt in receipts:
        up_to = int(receipt.cumulative_gas_used, 16)
        if int(receipt.gas_used, 16) != up_to - before:
            raise Doubt(f"{_receipts_of(block)} do not add up in their gas")
        before = up_to


def _ours(block: Block, receipts: Sequence[WireReceipt], watch: Watch) -> Iterator[LogRecord]:
    """Return our logs of a block; their places follow from the order."""
    ours, number, log_index = watch.log_contracts, int(block.number, 16), 0
    for tx_index, receipt in enumerate(receipts):
        for log in receipt.logs:
            address = log.address.lower()
            if address in ours:
                yield LogRecord(
                    address,
                    log.topics,
                    log.data,
                    number,
                    block.hash,
                    receipt.transaction_hash,
                    tx_index,
                    log_index,
                )
            log_index += 1


def _receipts_of(block: Block) -> str:
    return f"the receipts of block {int(block.number, 16)}"
