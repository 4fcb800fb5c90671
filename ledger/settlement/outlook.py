"""What a settlement run would do now, and who could not pay: planned as the run does, and kept nowhere."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlalchemy import select

from ledger.chain.access import Chain
from ledger.errors import NotFound, Refused
from ledger.models import ChainIntent, VppSettlementBatch
from ledger.models.mirror import IntentState
from ledger.models.settlement import BatchState
from ledger.settlement.batches import PlannedBatch, plan_batches
from ledger.settlement.money import Missing, balances, currency_symbol, participants

_KEY = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)
_NUMBER = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)


@dataclass(frozen=True)
class BatchOutlook:
    """A batch that the next run would propose.

    ``nets`` and ``escrow`` are cents by account: what each receives (negative: pays), and what it has
    when this batch's turn comes. ``missing`` says who cannot pay; nobody: the batch can be proposed.
    """

    market: str
    trades: int
    stored: bool
    nets: dict[str, int]
    escrow: dict[str, int]
    missing: tuple[Missing, ...]


@dataclass(frozen=True)
class Outlook:
    """What the next run would do; ``names`` says whose an account is."""

    symbol: str
    names: dict[str, str]
    batches: tuple[BatchOutlook, ...]


def preview(chain: Chain, market: str | None = None) -> Outlook:
    """Return what a settlement run would propose now; nothing is kept.

    Parameters
    ----------
    market
        Only the batches of this market; None: of all.

    Raises
    ------
    Refused
        If a trade cannot be planned at all; it would stop the run as well.
    """
    with chain.db.read() as session:
        names = participants(session)
        query = (
            select(VppSettlementBatch)
            .join(ChainIntent, ChainIntent.key == VppSettlementBatch.batch_key)
            .where(
                VppSettlementBatch.state == BatchState.PLANNED,
                ChainIntent.state == IntentState.PLANNED,
            )
            .order_by(VppSettlementBatch.id)
        )
        stored = [
            PlannedBatch(
                row.batch_key,
                row.market,
                row.trade_count,
                {name: int(net) for name, net in zip(row.accounts, row.nets, strict=True)},
            )
            for row in session.scalars(query)
            if market in (None, row.market)
        ]
    planned = plan_batches(chain, market=market, dry_run=True)
    symbol = currency_symbol(chain)
    left = balances(chain, sorted({name for item in (*stored, *planned) for name in item.nets}))
    found = []
    for item in (*stored, *planned):
        escrow = {account: left[account] for account in item.nets}
        missing = tuple(
            Missing(account, names.get(account, account), escrow[account], -net, symbol)
            for account, net in item.nets.items()
            if escrow[account] + net < 0
        )
        if not missing:
            for account, net in item.nets.items():
                left[account] += min(net, 0)  # what is received comes when the batch is finalised
        found.append(
            BatchOutlook(item.market, item.trades, item in stored, item.nets, escrow, missing)
        )
    return Outlook(symbol, names, tuple(found))


def market_to_retry(chain: Chain, name: str) -> str:
    """Return the market of a batch that failed, after a check that everybody can pay now.

    Parameters
    ----------
    name
        The key of the batch, or its row number.

    Raises
    ------
    NotFound
        If there is no such batch.
    Refused
        If it did not fail, or somebody still cannot pay.
    """
    with chain.db.read() as session:
        batch = None
        if _KEY.fullmatch(name):
            query = select(VppSettlementBatch).where(VppSettlementBatch.batch_key == name.lower())
            batch = session.scalars(query).first()
        elif _NUMBER.fullmatch(name):
            batch = session.get(VppSettlementBatch, int(name))
        if batch is None:
            raise NotFound(
                f"there is no settlement batch {name[:80]!r}; `truetonne settle status` has all of them"
            )
        if batch.state is not BatchState.FAILED:
            raise Refused(
                f"batch {batch.batch_key} is {batch.state.value}; only a failed one is tried again"
            )
        market = batch.market
    short = [item for found in preview(chain, market).batches for item in found.missing]
    if short:
        raise Refused(
            "; ".join(item.sentence() for item in short)
            + "; or take trades out with: truetonne trades cancel",
            code="not-funded",
        )
    return market
