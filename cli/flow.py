"""What the writing commands share: books, node, contracts and mirror, opened together.

A command plans and submits; then ``confirm`` lets the mirror read until what was sent stands in a
final block, or says why it does not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass

from cli.books import check_schema
from indexer import Indexer
from indexer import cursor as cursors
from ledger.chain.access import Chain, load_deployment
from ledger.chain.local.shared import mine_to_finality, node_for
from ledger.chain.sending import intents, twins
from ledger.chain.sending.first import not_again
from ledger.db import Database
from ledger.errors import ContractRefused, DependencyDown, Refused
from ledger.models import ChainIntent
from ledger.models.sending import IntentState
from ledger.settings import LOCAL_CHAIN_ID, Settings

_CONFIRM_SECONDS = 180.0
"""How long a command waits for finality, in seconds; longer where the blocks of the chain become final later."""
_LAG_SECONDS_MAX = 3600.0
"""Where the last final block is further behind the head, nothing becomes final, or nobody waits for it."""
_POLL_SECONDS = 0.5
_SILENT_SECONDS = 5.0
"""Who waits longer is told for what."""


def _silent(_line: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Flow:
    """Books, chain and mirror of one run."""

    settings: Settings
    chain: Chain
    indexer: Indexer
    tell: Callable[[str], None] = _silent
    """Says to the person who called what a long wait is for."""

    @property
    def db(self) -> Database:
        """The books."""
        return self.chain.db

    def mirror(self) -> None:
        """Read the chain up to its head."""
        self.indexer.run_until("head")

    def mirror_final(self) -> None:
        """Read the chain up to its head, with what stands in it made final where that is ours to do."""
        mine_to_finality(self.chain.client, self.settings)
        self.mirror()

    def confirm(
        self,
        keys: Sequence[str],
        seconds: float | None = None,
        onward: Callable[[], object] | None = None,
    ) -> None:
        """Wait until every intent is confirmed.

        Parameters
        ----------
        seconds
            How long; None: as long as that takes on this chain.
        onward
            Sends those whose turn comes when others are final.

        Raises
        ------
        Refused
            If one failed on chain.
        DependencyDown
            If they are not final in time; they stay submitted, and the mirror confirms them later.
        """
        begun, left = time.monotonic(), len(keys)
        told = False
        limit = _CONFIRM_SECONDS if seconds is None else seconds
        while True:
            self.mirror_final()
            waiting = self._waiting(keys)
            if not waiting:
                return
            if len(waiting) < left:  # what is sent after it has the same time
                begun, left = time.monotonic(), len(waiting)
            waited = time.monotonic() - begun
            if waited > _SILENT_SECONDS and not told:
                told = True
                if seconds is None:
                    limit = max(limit, 2 * self._lag_of_finality())
                self.tell(self._said_of_wait(len(waiting), len(keys), limit))
            if waited > limit:
                raise self._not_final(waiting, len(keys), limit)
            self.chain.sender.tend_for(waiting)
            if onward is None or not onward():
                time.sleep(_POLL_SECONDS)

    def confirm_nameless(self, keys: Sequence[str], what: str) -> None:
        """Wait like ``confirm`` for an act that the same command would do once more, and have errors say so.

        Parameters
        ----------
        what
            What was asked for, for people.
        """
        with not_again(what):
            self.confirm(keys)

    def confirm_or_fail(self, keys: Sequence[str]) -> None:
        """Wait until every intent is confirmed or has failed; for acts whose failure others take up."""
        for key in keys:
            with suppress(Refused):
                self.confirm([key])

    @property
    def _on_own_node(self) -> bool:
        """Whether the chain is that of a development node: its blocks may be hours apart."""
        return self.chain.deployment.chain_id == LOCAL_CHAIN_ID

    def _reached(self) -> cursors.Cursor:
        with self.db.read() as session:
            reached = cursors.load(session, self.chain.deployment.network)
        assert reached is not None  # the mirror has read the chain
        return reached

    def _lag_of_finality(self) -> float:
        """Return how many seconds the last final block is behind the head; 0 where nobody could wait for it."""
        if self._on_own_node:
            return 0.0
        reached = self._reached()
        numbers = [reached.block_number, reached.final_number]
        try:
            head, final = self.chain.client.blocks_there(numbers)
        except DependencyDown:  # a node that lags for a moment: nothing is lost by a shorter wait
            return 0.0
        lag = float(head.timestamp - final.timestamp)
        return lag if lag <= _LAG_SECONDS_MAX else 0.0

    def _not_final(self, waiting: Sequence[str], of: int, seconds: float) -> DependencyDown:
        said = "`truetonne index run` confirms them when they are"
        if self._on_own_node:
            said += "; if the node mines for transactions alone, have it mine, or set finality to 0"
        return DependencyDown(
            f"{len(waiting)} of {of} transactions are not final after {_span(seconds)}; they are stored and sent; "
            f"{said}",
            code="not-final-yet",
            details={"keys": waiting},
        )

    def _said_of_wait(self, waiting: int, of: int, seconds: float) -> str:
        reached = self._reached()
        return (
            f"{waiting} of {of} transactions are not final yet: the chain is at block {reached.block_number}, and "
            f"final up to {reached.final_number}; this waits for up to {_span(seconds)}, and stopping it takes "
            "nothing back"
        )

    def said_of_twin(self, own: ChainIntent) -> str | None:
        """Return a hint where what an intent does was asked for lately by another one; None: it was not."""
        with self.db.read() as session:
            twin = twins.twin_of(session, own)
            lost = twins.twin_on_chain(session, own) if twin is None else None
        if lost is not None:
            return (
                f"hint: the same was done at {lost.created_at:%H:%M:%S} UTC by transaction {lost.tx_hash}, which these "
                "books have forgotten; this one comes on top of it"
            )
        if twin is None:
            return None
        known = f"{twin.state.value}{f' in {twin.tx_hash}' if twin.tx_hash else ''}"
        when = f"{twin.created_at:%H:%M:%S} UTC"
        return f"hint: the same was asked for at {when} ({known}); this one comes on top of it"

    def _waiting(self, keys: Sequence[str]) -> list[str]:
        waiting = []
        with self.db.read() as session:
            for key in keys:
                intent = intents.get(session, key)
                if intent.state is IntentState.FAILED:
                    raise ContractRefused(
                        f"{intent.function_name} failed on chain: {intent.error} (transaction {intent.tx_hash})"
                        if intent.tx_hash
                        else f"{intent.function_name} was refused before it was sent: {intent.error}",
                        code="failed-on-chain" if intent.tx_hash else None,
                        details={"key": key, "transaction": intent.tx_hash},
                    )
                if intent.state is not IntentState.CONFIRMED:
                    waiting.append(key)
        return waiting


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"


@contextmanager
def open_flow(settings: Settings, tell: Callable[[str], None] = _silent) -> Iterator[Flow]:
    """Open books, node, contracts and mirror for one command.

    Parameters
    ----------
    tell
        Says to the person who called what a long wait is for.

    Raises
    ------
    BadInput
        If nothing is deployed, or the database has no tables yet.
    DependencyDown
        If database or node do not answer.
    """
    load_deployment(settings)  # first: without one no node needs to be started
    with node_for(settings) as rpc_url, flow_on(settings, rpc_url, tell) as flow:
        yield flow


@contextmanager
def flow_on(
    settings: Settings, rpc_url: str, tell: Callable[[str], None] = _silent
) -> Iterator[Flow]:
    """Open books, contracts and mirror on a node that runs."""
    with closing(Database(settings.database_url)) as db:
        check_schema(db)
        with closing(Chain.open(settings, db, rpc_url)) as chain:
            indexer = Indexer(db, chain.client, chain.deployment, settings.finality)
            yield Flow(settings, chain, indexer, tell)
