"""Arguments and options that commands about credits share."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

_DIGITS_MAX = 18
Project = Annotated[str, typer.Option("--project", help="Code of the project.")]
From = Annotated[
    datetime,
    typer.Option(
        "--from", formats=["%Y-%m-%d"], metavar="DATE", help="First legal day of the period."
    ),
]
To = Annotated[
    datetime,
    typer.Option("--to", formats=["%Y-%m-%d"], metavar="DATE", help="The day after its last."),
]
Backfill = Annotated[
    bool,
    typer.Option(
        "--backfill",
        help="The period was left out: it lies between two that are issued, or before the first one.",
    ),
]
Credit = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="A batch SITE-VINTAGE-NUMBER, its serials, a row number, or a key."
    ),
]


def _kilograms(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > _DIGITS_MAX or int(text) == 0:
        raise typer.BadParameter(
            f"{text!r} is no whole number of kilograms above zero; a credit is 1 kg, a tonne has 1000"
        )
    return int(text)


Amount = Annotated[
    int,
    typer.Option("--amount", metavar="KG", parser=_kilograms, help="How much, in whole kilograms."),
]
Holder = Annotated[
    str | None,
    typer.Option(
        "--holder",
        metavar="ACCOUNT",
        help="Whose units; not needed when one account of ours holds enough.",
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="TEXT",
        help="What you call this act: given again with the same key, it is not done twice.",
    ),
]
ConsumptionFrom = Annotated[
    datetime | None,
    typer.Option(
        "--consumption-from",
        formats=["%Y-%m-%d"],
        metavar="DATE",
        help="First day, UTC, of the consumption that they compensate.",
    ),
]
ConsumptionTo = Annotated[
    datetime | None,
    typer.Option(
        "--consumption-to", formats=["%Y-%m-%d"], metavar="DATE", help="The day after its last."
    ),
]
Document = Annotated[
    str | None,
    typer.Option(
        "--document",
        metavar="FILE",
        help="A document that belongs to it, of which the Keccak-256 is stated; or that hash itself.",
    ),
]
