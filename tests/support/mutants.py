"""Mirrors with one part broken, to show that the histories notice it.

Each mutant is made with a function that replaces an attribute, which must be there: pytest's ``setattr`` in
this process, the plain one in a process of its own. ``STEPS`` are the
steps of a rewind, each of which may be left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from indexer import creditlog, cursor, derived, finality, loop, proven, reorg, rows, watch, window
from ledger.models import ChainCursor

Replace = Callable[[object, str, Any], None]


def _nothing(*arguments: Any, **named: Any) -> None:
    """Do nothing, in the place of something that matters."""


def without_rewind(place: int) -> Callable[[Replace], None]:
    """Leave one step of the rewind out."""

    def break_it(put: Replace) -> None:
        put(reorg, "REWINDS", reorg.REWINDS[:place] + reorg.REWINDS[place + 1 :])

    return break_it


def _forks_are_ignored(put: Replace) -> None:
    def stay(self: Any, at: Any, head: Any) -> loop.TickReport:
        return loop.TickReport(head.number, at.block_number, at.final_number)

    put(loop.Indexer, "_take_back", stay)


def _a_fork_goes_back_too_little(put: Replace) -> None:
    true = reorg.rewind
    put(reorg, "rewind", lambda session, above: true(session, above + 1))


def _receipts_are_believed(put: Replace) -> None:
    put(proven, "_check_root", _nothing)


def _headers_are_believed(put: Replace) -> None:
    put(window, "check_header", _nothing)


def _the_sealed_log_is_believed(put: Replace) -> None:
    """As well as receipts: their roots would tell."""
    _receipts_are_believed(put)

    def end(self: Any, events: Any) -> Any:
        log = self
        for event in events:
            if event.record is not None:
                log = creditlog.CreditLog(event.args.seq, event.args.head)
        return log

    put(creditlog.CreditLog, "check", end)
    put(creditlog.CreditLog, "compare", _nothing)


def _the_cursor_has_no_guard(put: Replace) -> None:
    def move(session: Session, old: cursor.Cursor, new: cursor.Cursor) -> cursor.Cursor:
        session.execute(
            update(ChainCursor).values(
                block_number=new.block_number,
                block_hash=new.block_hash,
                final_number=new.final_number,
            )
        )
        return new

    put(cursor, "_guarded", move)


def _the_cursor_moves_first(put: Replace) -> None:
    """In a transaction of its own, a moment before the rows: a kill in between skips them."""
    true = loop.Indexer._write

    def write(self: Any, at: cursor.Cursor, read: Any, *more: Any) -> Any:
        with self._db.write() as session:
            moved = cursor.move(session, at, read.window.last)
        time.sleep(0.05)
        move = cursor.move
        cursor.move = lambda session, old, to: moved
        try:
            return true(self, at, read, *more)
        finally:
            cursor.move = move

    put(loop.Indexer, "_write", write)


def _failed_transactions_are_left_out(put: Replace) -> None:
    put(watch.Watch, "wants", lambda self, tx_hash, to, also: tx_hash in also)


def _all_is_final_at_once(put: Replace) -> None:
    put(finality, "final_number", lambda session, claim, tip: tip)


def _holdings_are_not_kept(put: Replace) -> None:
    true = derived.holdings_after
    put(derived, "holdings_after", lambda session, _changes: true(session, {}))


def _balances_are_not_kept(put: Replace) -> None:
    true = derived.balances_after
    put(derived, "balances_after", lambda session, _changes: true(session, {}))


def _what_is_cancelled_is_not_counted(put: Replace) -> None:
    true = rows.Rows.change

    def change(self: Any, model: Any, key: Any, **values: Any) -> None:
        values.pop("cancelled_kg", None)
        if values:
            true(self, model, key, **values)

    put(rows.Rows, "change", change)


MUTANTS: dict[str, Callable[[Replace], None]] = {
    "forks are ignored": _forks_are_ignored,
    "a fork goes back too little": _a_fork_goes_back_too_little,
    "receipts are believed": _receipts_are_believed,
    "headers are believed": _headers_are_believed,
    "receipts and the sealed log are believed": _the_sealed_log_is_believed,
    "the cursor has no guard": _the_cursor_has_no_guard,
    "the cursor moves first": _the_cursor_moves_first,
    "failed transactions are left out": _failed_transactions_are_left_out,
    "all is final at once": _all_is_final_at_once,
    "holdings are not kept": _holdings_are_not_kept,
    "balances are not kept": _balances_are_not_kept,
    "what is cancelled is not counted": _what_is_cancelled_is_not_counted,
}
NOT_HERE = {
    "ledger.chain.sending.intents": "no history has plans and intents of our own; test_our_own.py has",
    "ledger.issuance": "the same",
    "ledger.settlement": "the same",
    "ledger.chain.addresses.deployment": "no history takes the deployment itself back",
}
"""Rooms with a step of the rewind that the histories cannot judge, and why."""
STEPS = {
    f"{step.__module__}.{step.__name__} ({place})": place
    for place, step in enumerate(reorg.REWINDS)
    if not step.__module__.startswith(tuple(NOT_HERE))
}
"""Every other step of a rewind, and its place."""
