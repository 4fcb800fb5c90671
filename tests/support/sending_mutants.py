"""Senders with one part broken, to show that the chaos suite notices it. See ``tests.support.mutants``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from indexer import reorg
from ledger.chain.sending import adoption, desk, intents, rehearsal, stuck
from ledger.chain.sending.sender import Sender
from ledger.settlement import forgotten

Replace = Callable[[object, str, Any], None]


def _nothing(*arguments: Any, **named: Any) -> None:
    """Do nothing, in the place of something that matters."""


def _send_then_save(put: Replace) -> None:
    """The naive order: the transaction goes out before the books know of it, and nobody asks the chain."""
    true = desk.Desk.sign

    def sign(self: Any, *arguments: Any) -> Any:
        attempt = true(self, *arguments)
        self.client.send_raw(attempt.raw)
        return attempt

    put(desk.Desk, "sign", sign)
    put(rehearsal, "_check_not_done", _nothing)


def _sent_once_and_forgotten(put: Replace) -> None:
    put(Sender, "rebroadcast", lambda self, key=None: 0)


def _thefts_are_ignored(put: Replace) -> None:
    put(stuck._Lane, "_taken", _nothing)


def _the_chain_is_not_asked(put: Replace) -> None:
    """Restored books believe themselves."""
    put(rehearsal, "_check_not_done", _nothing)
    put(adoption, "in_mirror", _nothing)


def _forgotten_batches_stay_forgotten(put: Replace) -> None:
    put(forgotten, "adopt", lambda session, chain: [])


def _a_fork_leaves_intents_confirmed(put: Replace) -> None:
    """Neither the mirror takes an outcome back, nor does the sender look again."""
    assert intents.rewind in reorg.REWINDS
    put(reorg, "REWINDS", tuple(step for step in reorg.REWINDS if step is not intents.rewind))
    put(Sender, "recheck_final", lambda self: [])


MUTANTS: dict[str, Callable[[Replace], None]] = {
    "send, then save": _send_then_save,
    "what was sent once is not sent again": _sent_once_and_forgotten,
    "thefts of nonces are ignored": _thefts_are_ignored,
    "the chain is not asked what was done": _the_chain_is_not_asked,
    "forgotten batches stay forgotten": _forgotten_batches_stay_forgotten,
    "a fork leaves intents confirmed": _a_fork_leaves_intents_confirmed,
}
