"""The last outcome, kept: who reads an answer about the chain is told it without a new comparison."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from ledger.models import Reconciliation
from ledger.reconcile.report import Report

DIFFERENCES_KEPT = 20
"""Differences of a rule that are kept as sentences; all of them are counted."""


def keep_outcome(session: Session, network: str, report: Report, now: datetime) -> None:
    """Keep what a comparison found, in the place of the one before.

    Parameters
    ----------
    network
        Name of the network that was compared.
    now
        When it was compared, aware.
    """
    row = session.get(Reconciliation, network, with_for_update=True)
    if row is None:
        row = Reconciliation(network=network)
        session.add(row)
    row.block_number = report.block
    row.compared_at = now
    row.ok = report.ok
    row.rules = [
        {
            "name": rule.name,
            "ok": rule.ok,
            "count": len(rule.differences),
            "differences": list(rule.differences[:DIFFERENCES_KEPT]),
        }
        for rule in report.rules
    ]
    session.flush()
