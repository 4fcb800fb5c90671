"""What ``truetonne settle preview`` prints: nets, escrow, gas, fees, what would fail; and ``run --dry-run``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from cli.output import Table
from ledger.units import counted

if TYPE_CHECKING:
    from ledger.settlement.fitting import Waiting
    from ledger.settlement.money import Missing
    from ledger.settlement.outlook import BatchOutlook, DebtorOutlook, Outlook

_ETHER = 10**18
_SHOWN_TRADES = 5


def as_json(outlook: Outlook) -> dict[str, Any]:
    """Return the document."""
    from ledger.settlement.money import as_json as missing_json

    return {
        "currency": outlook.symbol,
        "batches": [_batch_json(outlook, batch) for batch in outlook.batches],
        "left_out": [
            {**missing_json(item.missing), "trades": list(item.trades)} for item in outlook.left_out
        ],
        "debtors": debtors_json(outlook.missing),
        "waiting": waiting_json(outlook.waiting),
        "total": _total(outlook),
    }


def table(outlook: Outlook) -> Table:
    """Return who pays and receives."""
    from ledger.units import currency_of_cents, tonnes_of_kg

    money = outlook.symbol
    rows = []
    for number, batch in enumerate(outlook.batches, start=1):
        for account, net in batch.nets.items():
            kg = batch.planned.credit_nets.get(account)
            rows.append(
                (
                    number,
                    batch.market,
                    _hour(batch),
                    "co-signed" if batch.planned.cosigned else "proposed",
                    batch.trades,
                    outlook.names.get(account, account),
                    currency_of_cents(net),
                    None if kg is None else tonnes_of_kg(kg),
                    currency_of_cents(batch.escrow[account]),
                    "NO" if account in {item.account for item in batch.missing} else "yes",
                )
            )
    columns = ("batch", "market", "from", "way", "trades", "participant")
    figures = (f"net {money}", "net t CO2e", f"escrow {money}")
    right = frozenset({"batch", "trades", *figures})
    return Table((*columns, *figures, "can pay"), rows, right=right)


def lines(outlook: Outlook) -> Iterator[str]:
    """Yield what it costs, who cannot pay, and what would be refused."""
    for number, batch in enumerate(outlook.batches, start=1):
        yield f"batch {number}: {_cost_line(outlook, batch)}"
    for debtor in debtors_json(outlook.missing):
        yield f"cannot pay: {debtor['said']}"
    for participant, trades in _left_out_by_participant(outlook.left_out):
        yield f"left out for {participant}: {counted(len(trades), 'trade')} ({_shown(trades)})"
    yield from waiting_lines(waiting_json(outlook.waiting))
    yield _summary(outlook)


def dry_json(outlook: Outlook) -> dict[str, Any]:
    """Return how many trades of which market would be settled, and which would not, and why."""
    settled: Counter[str] = Counter()
    refused = []
    for batch in outlook.batches:
        why = "; ".join(item.sentence() for item in batch.missing) or _meaning(batch.cost.refusal)
        if why is None:
            settled[batch.market] += batch.trades
        else:
            refused.append({"market": batch.market, "trades": batch.trades, "said": why})
    left_out = [left_out_json(item.missing, item.trades) for item in outlook.left_out]
    return {
        "trades": dict(settled),
        "left_out": left_out,
        "debtors": debtors_json(item.missing for item in outlook.left_out),
        "refused": refused,
        "waiting": waiting_json(outlook.waiting),
    }


def dry_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield what ``dry_json`` returns in words."""
    for market, count in found["trades"].items():
        yield f"would settle {counted(count, 'trade')} of {market}"
    if not found["trades"]:
        yield "would settle nothing"
    yield from left_out_lines(found)
    for item in found["refused"]:
        yield f"would be refused, {counted(item['trades'], 'trade')} of {item['market']}: {item['said']}"
    yield from waiting_lines(found["waiting"])


def left_out_json(missing: Missing, trades: Sequence[int]) -> dict[str, Any]:
    """Return whom a run leaves out, with which trades, and why in words."""
    from ledger.settlement.money import as_json as missing_json

    return {**missing_json(missing), "trades": list(trades), "said": missing.sentence()}


def debtors_json(missing: Iterable[Missing]) -> list[dict[str, Any]]:
    """Return what each debtor lacks in all of its batches, and that in words."""
    from ledger.settlement.money import as_json as missing_json
    from ledger.settlement.money import together

    return [
        {**missing_json(item), "batches": item.batches, "said": item.sentence()}
        for item in together(missing)
    ]


def left_out_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each debtor: with how many trades it is left out, and why."""
    trades: Counter[tuple[str, str | None]] = Counter()
    for item in found["left_out"]:
        trades[item["account"], item["credits"]] += len(item["trades"])
    for item in found["debtors"]:
        count = trades[item["account"], item["credits"]]
        yield f"left out, {counted(count, 'trade')}: {item['said']}"


def _left_out_by_participant(
    left_out: Iterable[DebtorOutlook],
) -> Iterable[tuple[str, Sequence[int]]]:
    """Return the trades that are left out for each debtor."""
    found: dict[str, list[int]] = {}
    for debtor in left_out:
        found.setdefault(debtor.missing.participant, []).extend(debtor.trades)
    return found.items()


def waiting_json(waiting: Sequence[Waiting]) -> list[dict[str, Any]]:
    """Return which trades wait because they are unfit, why, and what to do."""
    return [
        {"trades": list(item.trades), "said": item.unfit.why, "to_do": item.unfit.to_do}
        for item in waiting
    ]


def waiting_lines(waiting: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the same in words."""
    for item in waiting:
        yield (
            f"cannot be settled, {counted(len(item['trades']), 'trade')} ({_shown(item['trades'])}): "
            f"{item['said']}; {item['to_do']}"
        )


def _shown(trades: Sequence[int]) -> str:
    shown = ", ".join(str(number) for number in trades[:_SHOWN_TRADES])
    more = len(trades) - _SHOWN_TRADES
    return f"{shown}{f' and {more} more' if more > 0 else ''}"


def _summary(outlook: Outlook) -> str:
    if not outlook.batches and not outlook.left_out:
        return "nothing else is pending" if outlook.waiting else "nothing is pending"
    total = _total(outlook)
    said = counted(len(outlook.batches), "batch", "batches")
    if total["gas"] is not None and outlook.batches:
        said += (
            f", {total['gas']} gas, {total['gas_per_trade']} a trade, {total['ether']} ether now"
        )
    failing = sum(1 for batch in outlook.batches if batch.missing or batch.cost.refusal)
    if failing:
        said += f", {failing} of which would be refused"
    if outlook.missing:
        said += "; pay in, or take trades out with: truetonne trades cancel"
    return said


def _cost_line(outlook: Outlook, batch: BatchOutlook) -> str:
    from ledger.units import currency_of_cents

    cost = batch.cost
    if cost.refusal is not None:
        return f"would be refused: {_meaning(cost.refusal)}"
    if cost.gas is None:
        return (
            "what it costs is known when its parties have signed: the operator could not propose it"
        )
    said = f"{cost.gas} gas, {_per_trade(cost.gas, batch.trades)} a trade, {_ether(cost.wei)} ether"
    if cost.finalize_gas:
        said += f" (of it {cost.finalize_gas} gas computed for the finalisation)"
    if cost.fee_cents:
        said += f", fee of the contract {currency_of_cents(cost.fee_cents)} {outlook.symbol}"
    return said


def _meaning(refusal: str | None) -> str | None:
    """Return why the contract would refuse a batch, and what to do, in the words that its refusal has elsewhere."""
    from ledger.chain.failures.explanations import with_meaning

    return None if refusal is None else with_meaning(refusal)


def _batch_json(outlook: Outlook, batch: BatchOutlook) -> dict[str, Any]:
    from ledger.settlement.money import as_json as missing_json
    from ledger.units import currency_of_cents, tonnes_of_kg

    planned, cost = batch.planned, batch.cost
    return {
        "market": batch.market,
        "netted_from": planned.netted_from,
        "way": "cosigned" if planned.cosigned else "proposed",
        "credits": None if planned.asset is None else str(planned.asset),
        "trades": batch.trades,
        "planned_before": batch.stored,
        "funded": not batch.missing,
        "nets": [
            {
                "account": account,
                "participant": outlook.names.get(account, account),
                "net": currency_of_cents(net),
                "net_t": tonnes_of_kg(planned.credit_nets[account])
                if account in planned.credit_nets
                else None,
                "escrow": currency_of_cents(batch.escrow[account]),
            }
            for account, net in batch.nets.items()
        ],
        "missing": [missing_json(item) for item in batch.missing],
        "gas": None if cost.gas is None else str(cost.gas),
        "gas_computed": str(cost.finalize_gas),
        "gas_per_trade": None if cost.gas is None else _per_trade(cost.gas, batch.trades),
        "gas_price_wei": str(cost.gas_price_wei),
        "ether": None if cost.wei is None else _ether(cost.wei),
        "fee": currency_of_cents(cost.fee_cents),
        "refusal": cost.refusal,
    }


def _total(outlook: Outlook) -> dict[str, Any]:
    trades = sum(batch.trades for batch in outlook.batches)
    gas = [batch.cost.gas for batch in outlook.batches]
    known = [item for item in gas if item is not None]
    if len(known) < len(gas) or not trades:
        return {"trades": trades, "gas": None, "gas_per_trade": None, "ether": None}
    wei = sum(batch.cost.wei or 0 for batch in outlook.batches)
    return {
        "trades": trades,
        "gas": str(sum(known)),
        "gas_per_trade": _per_trade(sum(known), trades),
        "ether": _ether(wei),
    }


def _per_trade(gas: int, trades: int) -> str:
    """Return gas for a trade, rounded up."""
    return str(-(-gas // trades))


def _ether(wei: int | None) -> str:
    return f"{Decimal(wei or 0) / _ETHER:.9f}"


def _hour(batch: BatchOutlook) -> str | None:
    start = batch.planned.netted_from
    return None if start is None else f"{start:%Y-%m-%d %H:%M}"
