"""``truetonne trades import | list | cancel``: the trades of virtual power plants."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.command import NUMBER_MAX, DryRun, Invocation, command, command_group
from cli.lists import Cursor, Limit, walk
from cli.output import Table
from cli.readings import ERRORS_SHOWN, rejected
from ledger.errors import RowsRejected
from ledger.units import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session


TradesFile = Annotated[
    Path,
    typer.Argument(
        metavar="FILE.csv",
        help="CSV in UTF-8: vpp, strategy, trade_type, quantity, price, total_value, market, trade_time; and "
        "credit, of trades of credits.",
    ),
]
Status = Annotated[
    Literal["pending", "executed", "cancelled", "failed"] | None,
    typer.Option("--status", help="Only those with this status."),
]
Number = Annotated[
    int, typer.Argument(metavar="ID", help="Number of the trade.", min=1, max=NUMBER_MAX)
]


def register(root: typer.Typer) -> None:
    """Add the group."""
    trades = command_group("Take in, list and cancel the trades of virtual power plants.")
    command(trades, "import")(import_trades)
    command(trades, "list")(list_trades)
    command(trades, "cancel")(cancel)
    root.add_typer(trades, name="trades")


def import_trades(run: Invocation, file: TradesFile, dry_run: DryRun = False) -> int:
    """Import a file of trades; good rows are kept, and exit 1 says that some were rejected."""
    from ledger.settlement import trades

    content = trades.check_file(file)  # before the books: a wrong file is the first thing to say
    with run.books() as db:
        report = db.run(
            lambda session: trades.import_trades(session, file, content=content), keep=not dry_run
        )
    document = trades.as_json(report)
    counts = ("read", "new", "unchanged", "rejected")
    said = ", ".join(f"{document[name]} {name}" for name in counts)
    run.output.result(
        document,
        f"{file}: {said}{' (nothing written)' if dry_run else ''}",
        *_of_the_future(report.future),
        *_taken_out(report.cancelled),
        *rejected(file, document),
    )
    return RowsRejected.exit_code if document["rejected"] else 0


def _of_the_future(lines: Sequence[int]) -> list[str]:
    """Return a warning that names the trades of a time far ahead; none without such."""
    if not lines:
        return []
    return [
        f"  warning: {counted(len(lines), 'new trade')} more than 366 days ahead (line {_shown(lines)}): settled as "
        "any other; take out what is wrong with truetonne trades cancel"
    ]


def _taken_out(lines: Sequence[int]) -> list[str]:
    """Return a line that names the trades of the file that are cancelled, and stay so; none without such."""
    if not lines:
        return []
    return [
        f"  {len(lines)} of the unchanged are cancelled (line {_shown(lines)}), and stay so: one that shall be settled "
        "after all is recorded anew, with another time"
    ]


def _shown(lines: Sequence[int]) -> str:
    shown = ", ".join(str(line) for line in lines[:ERRORS_SHOWN])
    return f"{shown} and {len(lines) - ERRORS_SHOWN} more" if len(lines) > ERRORS_SHOWN else shown


def list_trades(
    run: Invocation,
    status: Status = None,
    vpp: Annotated[
        str | None, typer.Option("--vpp", help="Only those of the plant with this code.")
    ] = None,
    market: Annotated[str | None, typer.Option("--market", help="Only those on it.")] = None,
    batch: Annotated[
        str | None,
        typer.Option("--batch", metavar="KEY", help="Only those of this settlement batch."),
    ] = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> None:
    """List trades with the settlement of each."""
    from api.trades import queries
    from api.trades.schemas import TradeParameters

    filters = {"status": status, "vpp_code": vpp, "market": market, "batch_key": batch}
    options = {"vpp_code": "vpp", "batch_key": "batch"}
    found = walk(
        run.settings,
        "trades",
        queries.list_trades,
        TradeParameters,
        filters,
        limit,
        cursor,
        options,
    )
    run.output.result(
        found.document("trades"),
        Table.of(
            found.items,
            {
                "trade": "id",
                "vpp": "vpp_code",
                "side": "trade_type",
                "quantity": "quantity",
                "of": lambda item: f"t, {item['credits']}" if item["credits"] else "kWh",
                "price": "price",
                "total": "total_value",
                "market": "market",
                "time": "trade_time",
                "status": "status",
                "batch": lambda item: (item["settlement"] or {}).get("state"),
                "left out": "left_out",
            },
            right=["trade", "quantity", "price", "total"],
        ),
        found.summary("trade"),
    )


def cancel(
    run: Invocation,
    trade: Number,
    reason: Annotated[str, typer.Option("--reason", help="Why it shall not be settled.")],
    dry_run: DryRun = False,
) -> None:
    """Cancel a pending trade that stands in no settlement batch; the reason is kept."""
    from ledger.settlement.cancel import cancel_trade
    from ledger.settlement.elsewhere import assets_of

    def work(session: Session) -> str:
        found = cancel_trade(session, trade, reason)
        asset = assets_of(session, [trade]).get(trade)
        unit = "kWh" if asset is None else f"t of credit batch {asset}"
        return f"{found.trade_type.value} {found.quantity} {unit} at {found.price}, {found.market}"

    with run.books() as db:
        said = db.run(work, keep=not dry_run)
    document = {"trade": trade, "status": "cancelled", "reason": reason.strip()}
    run.output.result(
        document,
        f"trade {trade} ({said}) {'would be' if dry_run else 'is'} cancelled",
    )
