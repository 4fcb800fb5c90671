"""What books and chain must agree on: one function for each rule; reports, changes nothing.

Two independent ways lead to every number: the mirror's rows, and the chain's events read anew and
played in plain Python (``replay``); what can be asked of a contract's storage is asked as well. All of
it is as of the last block that is mirrored.

- **What rules are given.** ``books``; ``replay``, with ``replay_credit`` and ``replay_escrow``, kept on ``shelves``;
  ``mined`` transactions; long tables in ``pieces``.
- **The mirror.** ``mirror_rules`` and ``transaction_rules`` by the events; ``chain_rules``, ``escrow_rules`` and
  ``custody_rules`` by the contracts' storage.
- **The flows.** ``flow_rules``, ``intent_rules``, ``plan_rules``, ``trade_rules``, ``correction_rules``,
  ``certificate_rules``, ``file_rules`` and ``reading_rules``; ``forgotten`` are batches of trades that books lack.
- **The outcome.** A ``report``; the last one is kept.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from typing import TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from ledger.chain.addresses.book import Deployment
from ledger.chain.node.client import ChainClient
from ledger.db import Database
from ledger.db.diagnoses import is_by_values, original_of
from ledger.errors import BadInput
from ledger.reconcile import (
    certificate_rules,
    chain_rules,
    correction_rules,
    custody_rules,
    escrow_rules,
    file_rules,
    flow_rules,
    intent_rules,
    mirror_rules,
    plan_rules,
    reading_rules,
    trade_rules,
    transaction_rules,
)
from ledger.reconcile.books import Books, Sides, open_books, open_sides
from ledger.reconcile.report import Report, Rule, keep_outcome
from ledger.reconcile.shelves import no_room_said

_OF_ROWS = (
    BadInput,
    LookupError,
    TypeError,
    ValueError,
    ArithmeticError,
    AttributeError,
    RecursionError,
    struct.error,  # a number that is none of a reading's
)
"""What comes of a row that cannot be read, or is none that a rule can go on with."""
_S = TypeVar("_S", bound=Sides)
RULES: tuple[tuple[str, Callable[[Books], list[str]]], ...] = (
    ("blocks", mirror_rules.mirrored_blocks),
    ("events", mirror_rules.events_complete),
    ("credit-log", mirror_rules.credit_log_head),
    ("contracts", chain_rules.contracts_deployed),
    ("registry", mirror_rules.registry),
    ("registry-on-chain", chain_rules.registry_in_storage),
    ("batches", mirror_rules.batches),
    ("batches-on-chain", chain_rules.batches_in_storage),
    ("oversight", mirror_rules.oversight),
    ("credits", mirror_rules.credits_partition_serials),
    ("retirements", mirror_rules.retirements_and_cancellations),
    ("holdings", mirror_rules.holdings),
    ("holdings-on-chain", chain_rules.holdings_in_storage),
    ("escrow", mirror_rules.escrow),
    ("escrow-on-chain", escrow_rules.escrow_in_storage),
    ("custody", custody_rules.custody),
    ("settlements", mirror_rules.settlements),
    ("settlements-on-chain", escrow_rules.settlements_in_storage),
    ("transactions", transaction_rules.transactions),
    ("intents", intent_rules.intents),
    ("issuances", flow_rules.issuances),
    ("evidence", flow_rules.evidence),
    ("imported-files", file_rules.imported_files),
    ("readings", reading_rules.readings),
    ("energy", reading_rules.energy),
    ("corrections", correction_rules.corrections),
    ("energy-certificates", certificate_rules.energy_certificates),
    ("plans", plan_rules.plans),
    ("settlement-batches", flow_rules.settlement_batches),
    ("trades", trade_rules.trades),
)
"""Every rule with its name, in the order of the report."""
STORAGE_RULES: tuple[tuple[str, Callable[[Sides], list[str]]], ...] = (
    ("credit-log", chain_rules.log_end_in_storage),
    ("batches-on-chain", chain_rules.batches_in_storage),
    ("holdings-on-chain", chain_rules.holdings_in_storage),
    ("escrow-on-chain", escrow_rules.escrow_in_storage),
)
"""Rules that hold the mirror's rows against the contracts' storage alone, some thousand at a time."""


def reconcile(db: Database, client: ChainClient, deployment: Deployment) -> Report:
    """Compare books and chain as of the last mirrored block.

    Raises
    ------
    NotFound
        If nothing is mirrored yet.
    BooksDiffer
        If the mirror's own place in the chain is not among its blocks: nothing can be compared.
    WrongChain
        If the node serves another chain.
    DependencyDown
        If database or node do not answer, the node is behind the mirror, or there is no room for the chain's events
        in the folder for temporary files.
    """
    with db.read() as session, no_room_said():
        books = open_books(session, client, deployment)
        with closing(books.replay.shelves):
            return Report(books.block, tuple(applied(books)))


def applied(books: Books, names: Collection[str] | None = None) -> Iterator[Rule]:
    """Apply the rules in their order, each when it is asked for; ``names`` are those wanted, None is all."""
    for name, check in RULES:
        if names is None or name in names:
            yield Rule(name, tuple(_checked(check, books)))


def storage_differences(
    session: Session, client: ChainClient, deployment: Deployment
) -> list[tuple[str, list[str]]]:
    """Hold the mirror's rows in a session against the contracts' storage; return what each rule found.

    Raises
    ------
    NotFound, BooksDiffer, WrongChain, DependencyDown
        As ``reconcile``.
    """
    sides = open_sides(session, client, deployment)
    return [(name, _checked(check, sides)) for name, check in STORAGE_RULES]


def _checked(check: Callable[[_S], list[str]], books: _S) -> list[str]:
    """Apply a rule; a row that cannot even be read is a difference too."""
    try:
        return check(books)
    except _OF_ROWS as error:
        said: BaseException = error
    except DBAPIError as error:
        if not is_by_values(error):
            raise
        said = original_of(error) or error
    return [f"a row cannot be read as what it should be ({type(said).__name__}: {said})"]


__all__ = [
    "RULES",
    "STORAGE_RULES",
    "Report",
    "Rule",
    "applied",
    "keep_outcome",
    "reconcile",
    "storage_differences",
]
