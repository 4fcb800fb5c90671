"""``truetonne emissions``: the inventory of a site, by scope and method."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.command import Invocation, Site, command
from cli.credit_options import From, To
from cli.output import Table

By = Annotated[
    str | None, typer.Option("--by", metavar="day|month", help="List by legal day or month.")
]


def register(root: typer.Typer) -> None:
    """Add the command."""
    command(root, "emissions")(emissions)


def emissions(run: Invocation, site: Site, start: From, end: To, by: By = None) -> None:
    """Show what a site emitted: Scope 1, and Scope 2 by location and by market, side by side."""
    from ledger.readings.inventory import emissions_of

    with run.books() as db, db.look() as session:
        document = emissions_of(session, site, start.date(), end.date(), by)
    hint = (document["hint"],) if "hint" in document else ()
    run.output.result(document, _rows(document), _totals(document), *hint)


def _rows(document: dict[str, Any]) -> Table:
    names = ("period", "device", "scope", "method", "factor", "quantity", "emissions t")
    rows = []
    for row in document["rows"]:
        fuel = "fuel_kg" in row
        quantity = f"{row['fuel_kg']} kg" if fuel else f"{row['consumption_kwh']} kWh"
        factor = f"{row['factor']} {row['version']} ({row['value']} {row['unit']})"
        rows.append(
            (
                row.get("period", "whole"),
                row["device"],
                str(row["scope"]),
                row["method"],
                factor,
                quantity,
                row["emissions_t"],
            )
        )
    period = document["period"]
    title = f"inventory of {document['site']}: {period['from']} to {period['to']}"
    return Table(names, rows, title=title, right=frozenset({"quantity", "emissions t"}))


def _totals(document: dict[str, Any]) -> Table:
    return Table(
        ("scope", "method", "emissions t"),
        [(str(row["scope"]), row["method"], row["emissions_t"]) for row in document["totals"]],
        title="totals; the two methods of Scope 2 count the same energy and are never added",
        right=frozenset({"emissions t"}),
    )
