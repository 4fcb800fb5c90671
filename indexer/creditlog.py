"""The numbered, hash-chained log of the credit contract, computed again as it is read.

Every ledger event ends in a number and a head that follows from all events before it. A log that the
node left out, put in twice, or changed shows at the next one, and at the chain's head by the contract's
own ``logHead()``: no other check knows that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from indexer.doubt import Apart, Doubt
from ledger.chain.contracts.events import CREDIT, ZERO_HASH, DecodedEvent, next_head
from ledger.chain.contracts.wrappers import encode_call
from ledger.chain.node.client import ChainClient, RpcError
from ledger.chain.node.records import BlockHeader

_NOTHING = "0x"
"""What a call returns where there is no contract, or none yet."""
_TWO_WORDS = re.compile("0x([0-9a-fA-F]{64})([0-9a-fA-F]{64})")


@dataclass(frozen=True)
class CreditLog:
    """The last entry of the log: its number, from 1, and the head after it."""

    seq: int = 0
    head: str = ZERO_HASH

    def check(self, events: Iterable[DecodedEvent]) -> CreditLog:
        """Follow the log through events in the order of the chain; return its new end.

        Raises
        ------
        Doubt
            If an entry is missing, out of order, or not what its head says.
        """
        last, end = self.seq, self.head
        for event in events:
            if event.record is None:
                continue
            seq, head = event.args.seq, event.args.head
            if seq != last + 1:
                raise Doubt(
                    f"entry {last + 1} of the credit log is missing before entry {seq} ({_place(event)})"
                    f"{self._if_first(last)}"
                )
            if head != next_head(end, seq, event.record):
                raise Doubt(
                    f"entry {seq} of the credit log does not follow from the ones before it ({_place(event)})"
                    f"{self._if_first(last)}"
                )
            last, end = seq, head
        return CreditLog(last, end)

    def _if_first(self, last: int) -> str:
        """Return what else may be wrong where nothing was read after what the books say of the log."""
        if last != self.seq:
            return ""
        return (
            f"; the books have the log up to entry {last}: where rows of chain_events were altered or are gone, "
            "`truetonne index reindex` mends them"
        )

    def compare(
        self, client: ChainClient, address: str, block: BlockHeader, *, proven: bool
    ) -> str | None:
        """Compare the end of the log with the contract's own, at a block: nothing may be missing there.

        Nodes forget old states, and not all know a block by its hash here: then it is asked by its number.

        Parameters
        ----------
        proven
            Whether the receipts of the block are: then this is a second look, and may be missing.

        Returns
        -------
        Why the node cannot say; None when it could.

        Raises
        ------
        Doubt
            If they differ; or where nothing else shows that the log is whole, and the node cannot say for
            another reason than that it has forgotten the state.
        """
        try:
            seq, head = _end_on_chain(client, address, block)
        except RpcError as error:
            if proven or error.pruned:
                return error.message
            raise Apart(f"the end of the credit log cannot be asked: {error.message}") from error
        if (seq, head) != (self.seq, self.head):
            raise Doubt(
                f"the credit log ends at entry {seq} on chain, and at entry {self.seq} by its events"
            )
        return None


def _place(event: DecodedEvent) -> str:
    return f"{event.name} in block {event.log.block_number}, transaction {event.log.tx_hash}"


def _end_on_chain(client: ChainClient, address: str, block: BlockHeader) -> tuple[int, str]:
    """Return number and head of the last entry as the contract has them."""
    try:
        return _end_at(client, address, block.hash)
    except RpcError:
        return _end_at(client, address, block.number)


def _end_at(client: ChainClient, address: str, block: int | str) -> tuple[int, str]:
    output = client.call(address, encode_call(CREDIT, "logHead", []), block)
    if output == _NOTHING:
        return 0, ZERO_HASH
    words = _TWO_WORDS.fullmatch(output)
    if words is None:
        raise Doubt(f"the credit contract says {output[:80]} of the end of its log")
    return int(words[1], 16), f"0x{words[2].lower()}"
