"""Writing a range of blocks, in the unit of work that also moves the cursor."""

from __future__ import annotations

from sqlalchemy.orm import Session

from indexer.events import picked
from indexer.handlers import apply
from indexer.lookups import Lookups
from indexer.rows import Rows
from indexer.window import Window
from ledger.chain.node.records import BlockHeader
from ledger.chain.sending import transactions
from ledger.db import tables
from ledger.db.behind import Behind, behind
from ledger.models import ChainBlock, ChainEvent


def write_blocks(session: Session, window: Window) -> None:
    """Write the headers of a range."""
    tables.insert(session, ChainBlock, [block_row(header) for header in window.headers])


def write_range(session: Session, window: Window, units_per_cent: int, final_number: int) -> None:
    """Write the transactions and events of a range; its headers are written, and its cursor moved, by the caller.

    Parameters
    ----------
    units_per_cent
        Units of the currency token that make a cent.
    final_number
        The last block that is final: what others sent in blocks up to it is confirmed at once.
    """
    times = {header.number: header.time for header in window.headers}
    lookups = Lookups.of(session, window.events.singles)
    with behind(session) as later:
        transactions.record_included(later, window.transactions, final_number)
        _write_events(later, window)
        # These are made ready while the above is stored.
        rows = Rows(later, times, units_per_cent, lookups)
        apply(window.events, rows)
        rows.write()
    session.flush()  # what handlers changed in rows of our own: expiring would forget it
    session.expire_all()


def block_row(header: BlockHeader) -> dict[str, object]:
    """Return a header as a row of ``chain_blocks``."""
    return {
        "number": header.number,
        "hash": header.hash,
        "parent_hash": header.parent_hash,
        "block_time": header.time,
    }


def _write_events(later: Behind, window: Window) -> None:
    events = window.events.logged
    names = [name for _, name, _ in events.kinds]
    addresses = [address for _, _, address in events.kinds]
    tables.insert_behind(
        later,
        ChainEvent,
        {
            "block_number": events.block_numbers,
            "log_index": events.log_indexes,
            "tx_hash": events.tx_hashes,
            "contract_address": picked(addresses, events.of_kind),
            "event_name": picked(names, events.of_kind),
            "args": events.texts,
            "seq": events.seqs,
            "head": events.heads,
        },
        ready=("args",),
    )
