"""What our transactions were given: input and nonce, which no receipt says.

They are asked for by their hashes. A node that keeps traces (Anvil does) is asked for those instead: it
recovers the sender's signature anew whenever it hands out a transaction, a fifth of a millisecond each,
and its traces hold the input without that, and why a call failed. They have no nonce. A sender's nonce
rises by one at least from one of its transactions to the next: where the first and the last of a range
are as far apart in their nonces as in number, those between follow, and otherwise each is asked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from indexer.asking import Block
from indexer.doubt import Apart
from ledger.chain.node.client import ChainClient
from ledger.chain.node.transports.errors import AnswerTooLarge
from ledger.chain.node.wire import TRANSACTIONS, WireReceipt, WireTrace, WireTransaction

_AT_ONCE = 200
"""Transactions that are asked for before it is looked how long they are: four requests."""
_INPUTS_MAX = 32_000_000
"""Characters of what the transactions of a range were given; a block alone may have more."""
Mined = tuple[Block, WireReceipt]
"""A transaction of a block, by its receipt."""


class Given(msgspec.Struct, frozen=True, gc=False):
    """What a transaction was given."""

    input: str
    nonce: int
    transaction: WireTransaction | None = None
    """The whole of it, where it was handed out."""
    trace: WireTrace | None = None
    """What became of it, where the node told."""


def inputs_of(
    client: ChainClient,
    mined: Sequence[Mined],
    wanted: Sequence[Mined],
    traces: Iterable[Sequence[WireTrace]] | None,
) -> Mapping[str, Given]:
    """Return what was given to the wanted transactions, by hash.

    Parameters
    ----------
    mined
        All transactions of the blocks, in the order of the chain.
    traces
        The traces of each block; None where the node keeps none.

    Raises
    ------
    Doubt
        If the node does not know one of them, or hands out another.
    """
    if not wanted:
        return {}
    if traces is not None:
        return _by_traces(client, mined, wanted, traces)
    known = {item.hash.lower(): item for block, _ in wanted for item in block.full}
    lacking = [item for item in wanted if item[1].transaction_hash not in known]
    known |= _by_hash(client, lacking)
    given = {}
    for _, receipt in wanted:
        item = known[receipt.transaction_hash]
        given[receipt.transaction_hash] = Given(item.input, int(item.nonce, 16), item)
    return given


def _by_hash(client: ChainClient, lacking: Sequence[Mined]) -> dict[str, WireTransaction]:
    """Ask for transactions, some at a time: anybody may give 100 kB to each of some thousand.

    Raises
    ------
    AnswerTooLarge
        If those of several blocks are more than is to be held at once.
    """
    known: dict[str, WireTransaction] = {}
    length = 0
    for start in range(0, len(lacking), _AT_ONCE):
        some = lacking[start : start + _AT_ONCE]
        found = _asked(client, some)
        known |= found
        length += sum(len(item.input) for item in found.values())
        if length > _INPUTS_MAX and len({block.number for block, _ in lacking}) > 1:
            raise AnswerTooLarge(
                f"{client.place} has more than {_INPUTS_MAX} bytes of calls in a range of blocks"
            )
    return known


def _asked(client: ChainClient, lacking: Sequence[Mined]) -> dict[str, WireTransaction]:
    calls = [("eth_getTransactionByHash", [receipt.transaction_hash]) for _, receipt in lacking]
    found = client.ask(calls, TRANSACTIONS, alone=True).results()
    known = {}
    for (block, receipt), transaction in zip(lacking, found, strict=True):
        tx_hash = receipt.transaction_hash
        if transaction is None or transaction.hash.lower() != tx_hash:
            raise Apart(f"the node has a receipt of {tx_hash}, and not the transaction")
        if transaction.block_hash is None:  # Anvil says that for a moment of one just mined
            raise Apart(f"the node has a receipt of {tx_hash}, which waits, by its own word")
        if transaction.block_hash.lower() != block.hash:
            raise Apart(f"transaction {tx_hash} comes from another fork")
        known[tx_hash] = transaction
    return known


def _by_traces(
    client: ChainClient,
    mined: Sequence[Mined],
    wanted: Sequence[Mined],
    traces: Iterable[Sequence[WireTrace]],
) -> dict[str, Given]:
    own = {
        (trace.transaction_hash or "").lower(): trace
        for block in traces
        for trace in block
        if not trace.trace_address
    }
    nonces = _nonces(client, mined, wanted)
    given = {}
    for _, receipt in wanted:
        tx_hash = receipt.transaction_hash
        trace = own.get(tx_hash)
        if trace is None:
            raise Apart(f"the node has a receipt of {tx_hash}, and no trace")
        text = trace.action.input if trace.action.input is not None else trace.action.init
        given[tx_hash] = Given(text or "0x", nonces[tx_hash], trace=trace)
    return given


def _nonces(client: ChainClient, mined: Sequence[Mined], wanted: Sequence[Mined]) -> dict[str, int]:
    """Return the nonces of transactions, by hash."""
    of_sender: dict[str, list[Mined]] = defaultdict(list)
    for item in mined:
        of_sender[item[1].sender].append(item)
    senders = {receipt.sender for _, receipt in wanted}
    ends = [item for sender in senders for item in _ends(of_sender[sender])]
    known = _by_hash(client, ends)
    nonces: dict[str, int] = {}
    for sender in senders:
        items = [receipt.transaction_hash for _, receipt in of_sender[sender]]
        first, last = (int(known[tx_hash].nonce, 16) for tx_hash in (items[0], items[-1]))
        if last - first != len(items) - 1:
            whole = _by_hash(client, of_sender[sender])
            nonces |= {tx_hash: int(item.nonce, 16) for tx_hash, item in whole.items()}
            continue
        nonces |= {tx_hash: first + position for position, tx_hash in enumerate(items)}
    return nonces


def _ends(items: Sequence[Mined]) -> Sequence[Mined]:
    return items if len(items) == 1 else (items[0], items[-1])
