"""``truetonne chain intents``: what is on its way to the chain, with every attempt, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.command import NUMBER_MAX, Invocation, command
from cli.output import Table
from ledger.errors import ProblemFound
from ledger.units import counted

if TYPE_CHECKING:
    from ledger.chain.sending.overview import IntentView

Key = Annotated[
    str | None, typer.Argument(metavar="KEY", help="Only the intent with this key, in any state.")
]
All = Annotated[bool, typer.Option("--all", help="Also those that are confirmed or failed.")]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit", min=1, max=NUMBER_MAX, help="At most so many, the latest; all without it."
    ),
]


def register(group: typer.Typer) -> None:
    """Add the command to the group ``chain``."""
    command(group, "intents")(show_intents)


def show_intents(
    run: Invocation, key: Key = None, everything: All = False, limit: Limit = None
) -> int:
    """Show what is on its way to the chain, every attempt with its fee, and what to do; exit 1 on an alarm."""
    from ledger.chain.sending.overview import views
    from ledger.models.sending import UNDER_WAY

    with run.books() as db, db.read() as session:
        found = views(session, key, everything, limit)
    stuck = [item for item in found if item.intent.alarm and item.intent.state in UNDER_WAY]
    document: dict[str, Any] = {
        "alarms": len(stuck),
        "intents": [item.as_json() for item in found],
    }
    run.output.result(document, _table(found), _left(found, len(stuck)))
    return ProblemFound.exit_code if stuck else 0


def _table(found: list[IntentView]) -> Table:
    rows: list[tuple[object, ...]] = []
    for item in found:
        intent = item.intent
        rows.append(
            (
                intent.key,
                intent.function_name,
                intent.state.value,
                intent.sender_address,
                intent.nonce,
                "",
                f"{item.age_s} s",
                item.advice,
            )
        )
        rows += [
            (
                "",
                "",
                "attempt",
                row["transaction"],
                row["nonce"],
                row["max_fee_gwei"],
                "",
                row["fate"],
            )
            for row in item.attempts
        ]
    columns = ("intent", "function", "state", "account or transaction", "nonce", "gwei", "age", "")
    return Table(columns, rows, right=frozenset({"nonce", "gwei", "age"}))


def _left(found: list[IntentView], stuck: int) -> str:
    if not found:
        return "nothing is on its way"
    return f"{counted(len(found), 'intent')}, {stuck} with an alarm"
