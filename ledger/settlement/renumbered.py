"""Numbers that other trades have since: books that were restored give a trade the number that the chain has for it.

A call of ours that had failed for good may come again, as a fork below what was final brings it back. It then settles
the trades under the numbers that they had when it was planned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import ColumnElement, exists, func, select
from sqlalchemy.orm import Session, aliased

from ledger.db import tables
from ledger.models import AuditLog, VppTradingRecord
from ledger.settlement.elsewhere import Accounts
from ledger.settlement.finding import ROW_MAX, resource_of, trades_among
from ledger.settlement.words import Trade

ACTION = "trades.renumber"
"""What the audit log calls it when a trade comes to stand under this number."""


def of_the_same_trade() -> ColumnElement[bool]:
    """Return the condition that an entry of the audit log is of the trade that has its number now.

    Books that were restored may give the number to another trade (``numbers.give_back``).
    """
    later = aliased(AuditLog)
    return ~exists().where(
        later.resource == AuditLog.resource,
        later.action == ACTION,
        later.id > AuditLog.id,
    )


def given_since(session: Session, planned: Mapping[int, datetime]) -> set[int]:
    """Return which numbers a trade was given after something was planned under them.

    Parameters
    ----------
    planned
        When, by number.
    """
    by_resource = {resource_of(number): number for number in planned}
    given = {
        by_resource[resource]: at
        for here in tables.among(session, AuditLog.resource, by_resource)
        for resource, at in session.execute(
            select(AuditLog.resource, func.max(AuditLog.created_at))
            .where(here, AuditLog.action == ACTION)
            .group_by(AuditLog.resource)
        )
    }
    return {number for number, at in given.items() if at >= planned[number]}


def left(session: Session, trades: Iterable[Trade], planned_at: datetime) -> set[int]:
    """Return the numbers of trades, as a call has them, that are not theirs any more: no trade's, or another one's.

    One that was edited since is the same trade.
    """
    by_number = {trade.seq: trade for trade in trades if trade.seq <= ROW_MAX}
    there = {
        number
        for here in tables.among(session, VppTradingRecord.id, by_number)
        for number in session.scalars(select(VppTradingRecord.id).where(here))
    }
    given = given_since(session, dict.fromkeys(there, planned_at))
    if given:
        accounts = Accounts.load(session)
        known = trades_among(session, given)
        given -= {number for number, row in known.items() if accounts.is_of(row, by_number[number])}
    return by_number.keys() - there | given
