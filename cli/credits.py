"""``truetonne credits``: what credits there are; the writing commands join the same group."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from cli import proofs, verification
from cli.command import Invocation, command, command_group
from cli.credit_options import Credit
from cli.credits_acts import cancel, retire, transfer
from cli.credits_issue import issue
from cli.lists import Cursor, Limit, walk
from cli.output import Table

group = command_group("Issue, transfer, retire, cancel, list and show credits.")

Status = Annotated[
    Literal["active", "retired", "cancelled"] | None,
    typer.Option("--status", help="Only those with this status."),
]
Site = Annotated[
    str | None,
    typer.Option("--project", "--site", help="Only those of the project with this code."),
]
Vintage = Annotated[
    int | None, typer.Option("--vintage", min=1970, max=9999, help="Only those of this year.")
]

_LABELS = {
    "site": "project",
    "blockchain_tx": "issued in transaction",
    "status_tx": "transaction of its status",
    "backfill_before_batch_id": "is a backfill before",
}
"""What a person reads instead of a field's name. On chain a project and its metered site share a code."""


def register(root: typer.Typer) -> None:
    """Add the group."""
    command(group, "list")(list_credits)
    command(group, "show")(show_credit)
    command(group, "issue")(issue)
    command(group, "transfer")(transfer)
    command(group, "retire")(retire)
    command(group, "cancel")(cancel)
    verification.register(group)
    proofs.register(group, root)
    root.add_typer(group, name="credits")


def list_credits(
    run: Invocation,
    status: Status = None,
    site: Site = None,
    vintage: Vintage = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> None:
    """List credits as the mirror has them."""
    from api.credits import queries
    from api.credits.schemas import CreditParameters

    filters = {"status": status, "site": site, "vintage": vintage}
    found = walk(
        run.settings, "credits", queries.list_credits, CreditParameters, filters, limit, cursor
    )
    run.output.result(
        found.document("credits"),
        Table.of(
            found.items,
            {
                "credit": "credit_id",
                "tonnes": "amount",
                "status": "status",
                "issued at": "issued_at",
                "transaction of its status": "status_tx",
                "final": lambda item: "yes" if item["final"] else "not yet",
            },
            right=["tonnes"],
        ),
        found.summary("credit"),
    )


def show_credit(run: Invocation, credit: Credit) -> None:
    """Show one credit with its batch and its retirement."""
    from api.credits import queries
    from cli.books import reading

    with reading(run.settings) as (session, view):
        found = queries.show_credit(session, view, credit).model_dump(mode="json")
    batch, retirement = found["batch"], found["retirement"]
    parts = Table.of(
        batch["credits"],
        {"run": "credit_id", "kg": "amount_kg", "status": "status"},
        title=_title_of_runs(batch, found["batch_id"]),
        right=["kg"],
    )
    rows = [
        (prefix + _LABELS.get(name, name.replace("_", " ")), _plain(value))
        for prefix, values in (("", found), ("batch ", batch), ("retirement ", retirement or {}))
        for name, value in values.items()
        if name not in ("batch", "retirement", "credits")
    ]
    run.output.result(found, Table(("what", "value"), rows), "", parts)


def _title_of_runs(batch: dict[str, Any], batch_id: str) -> str:
    shown, count = len(batch["credits"]), batch["credits_count"]
    if shown == count:
        return "all runs of the batch"
    where = f"truetonne export credits --where batch_id={batch_id} -o FILE"
    return f"the first {shown} of {count} runs of the batch; all of them: `{where}`"


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in value.items())
    return value
