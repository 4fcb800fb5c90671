"""``truetonne credits``: what credits there are; the writing commands join the same group."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from cli import credits_write
from cli.command import Invocation, command, command_group
from cli.output import Table
from ledger.errors import BadInput

group = command_group("Issue, transfer, retire, cancel, list and show credits.")

Status = Annotated[
    Literal["active", "retired", "cancelled"] | None,
    typer.Option("--status", help="Only those with this status."),
]
Site = Annotated[str | None, typer.Option("--site", help="Only those of the site on chain.")]
Vintage = Annotated[
    int | None, typer.Option("--vintage", min=1970, max=9999, help="Only those of this year.")
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, help="At most so many; all without it. The oldest come first."),
]
CreditId = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="A batch SITE-VINTAGE-NUMBER, its serials, a row number, or a key."
    ),
]


def register(root: typer.Typer) -> None:
    """Add the group."""
    command(group, "list")(list_credits)
    command(group, "show")(show_credit)
    credits_write.register(group)
    root.add_typer(group, name="credits")


def list_credits(
    run: Invocation,
    status: Status = None,
    site: Site = None,
    vintage: Vintage = None,
    limit: Limit = None,
) -> None:
    """List credits as the mirror has them."""
    from pydantic import ValidationError

    from api.credits import queries
    from api.credits.schemas import CreditParameters
    from api.pagination import LIMIT_MAX, Order
    from cli.books import reading

    given = {"status": status, "site": site, "vintage": vintage}
    named = {name: value for name, value in given.items() if value is not None}
    items: list[dict[str, Any]] = []
    cursor: str | None = None
    with reading(run.settings) as (session, view):
        while True:
            wanted = LIMIT_MAX if limit is None else min(limit - len(items), LIMIT_MAX)
            try:
                parameters = CreditParameters.model_validate(
                    {**named, "limit": wanted, "order": Order.ASC, "cursor": cursor}
                )
            except ValidationError as error:
                raise _wrong_option(error) from error
            page = queries.list_credits(session, view, parameters)
            items += [item.model_dump(mode="json") for item in page.items]
            cursor = page.next_cursor
            if cursor is None or (limit is not None and len(items) >= limit):
                break
        about = page.model_dump(mode="json", include={"as_of_block", "finality"})
    run.output.result(
        {"credits": items, "more": cursor is not None, **about},
        Table(
            ("credit", "tonnes", "status", "issued at", "transaction", "final"),
            [
                (
                    item["credit_id"],
                    item["amount"],
                    item["status"],
                    item["issued_at"],
                    item["blockchain_tx"],
                    "yes" if item["final"] else "not yet",
                )
                for item in items
            ],
            right=frozenset({"tonnes"}),
        ),
        f"{len(items)} credits{', and there are more' if cursor else ''}; {_as_of(about)}",
    )


def show_credit(run: Invocation, credit: CreditId) -> None:
    """Show one credit with its batch and its retirement."""
    from api.credits import queries
    from cli.books import reading

    with reading(run.settings) as (session, view):
        found = queries.show_credit(session, view, credit).model_dump(mode="json")
    batch, retirement = found["batch"], found["retirement"]
    parts = Table(
        ("run", "kg", "status"),
        [(item["credit_id"], item["amount_kg"], item["status"]) for item in batch["credits"]],
        title="all runs of the batch",
        right=frozenset({"kg"}),
    )
    rows = [
        (prefix + name.replace("_", " "), _plain(value))
        for prefix, values in (("", found), ("batch ", batch), ("retirement ", retirement or {}))
        for name, value in values.items()
        if name not in ("batch", "retirement", "credits")
    ]
    run.output.result(found, Table(("what", "value"), rows), "", parts)


def _as_of(about: dict[str, Any]) -> str:
    block = about["as_of_block"]
    if block is None:
        return "the mirror has not begun: `truetonne index run` begins it"
    return f"as of block {block}"


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in value.items())
    return value


def _wrong_option(error: Any) -> BadInput:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    return BadInput(f"--{name}: {first['msg']}, found {first['input']!r}", code="usage")
