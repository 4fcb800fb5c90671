"""The credit log and the sums of holdings, held to what is stored and to the contracts' storage."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from indexer.compare import Difference
from indexer.report import Report
from ledger.chain.addresses.book import Deployment
from ledger.chain.node.client import ChainClient, RpcError
from ledger.db import Database
from ledger.db.diagnoses import is_by_values
from ledger.models import ChainEvent, CreditBatch, CreditHolding, SmartContract
from ledger.reconcile import STORAGE_RULES, storage_differences
from ledger.reconcile.pieces import pieces


def check_log_and_sums(
    copy: Database, client: ChainClient, deployment: Deployment, report: Report
) -> None:
    """Hold the credit log, and the sums of holdings, to what is stored and to the contracts' storage."""
    with copy.read() as session:
        report.checked["log_entries"] = _entries(session, report)
        report.checked["supply"] = _supply(session, report)
        if report.differences:  # the rules that follow take a mirror that can be read
            return
        there = set(session.scalars(select(SmartContract.contract_address)))
        if not there.issuperset(deployment.addresses.values()):
            return  # the range ends before the contracts stand: there is no storage to hold it to
        try:
            rules = storage_differences(session, client, deployment)
        except RpcError as error:
            if not error.pruned:
                raise
            names = ", ".join(name for name, _ in STORAGE_RULES)
            report.not_checked.append(
                f"the contracts' storage at block {report.to_block} ({names}): {error.message}"
            )
            return
        for name, sentences in rules:
            report.add(Difference(name, "", None, sentence, None) for sentence in sentences)


def _entries(session: Session, report: Report) -> int:
    """Count the entries of the credit log: their numbers are 1 to the last, each once."""
    query = select(func.count(ChainEvent.seq), func.min(ChainEvent.seq), func.max(ChainEvent.seq))
    entries, lowest, highest = session.execute(query).one()
    distinct = session.scalar(select(func.count(func.distinct(ChainEvent.seq))))
    if entries and not (lowest == 1 and entries == highest == distinct):
        held = f"{entries} entries from {lowest} to {highest}"
        report.add([Difference("chain_events", "credit log", "seq", held, f"1 to {highest}")])
    return int(entries)


def _supply(session: Session, report: Report) -> int:
    """Hold the sum of a batch's holdings to what of it is neither retired nor cancelled."""
    held = func.coalesce(func.sum(CreditHolding.amount_kg), 0)
    left = CreditBatch.issued_kg - CreditBatch.retired_kg - CreditBatch.cancelled_kg
    query = (
        select(CreditBatch.batch_id, held, left)
        .outerjoin(CreditHolding, CreditHolding.batch_id == CreditBatch.batch_id)
        .group_by(CreditBatch.batch_id)
    )
    batches = 0
    for piece in pieces(session, CreditBatch.batch_id):
        try:
            sums = session.execute(query.where(piece)).all()
        except DBAPIError as error:
            if not is_by_values(error):
                raise
            # Rows that hold as much were altered, and are named as such.
            report.add(
                [
                    Difference(
                        "credit_holdings",
                        "",
                        None,
                        f"the sums of amount_kg cannot be told ({error.orig})",
                        None,
                    )
                ]
            )
            continue
        for batch_id, kg, supply in sums:
            batches += 1
            if kg != supply:
                key = str(batch_id)
                found = Difference("credit_holdings", key, "sum of amount_kg", kg, supply)
                report.add([found])
    return batches
