"""``truetonne webhooks``: who is told of events; what they were told is in ``webhooks_sent``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import webhooks_sent
from cli.command import NUMBER_MAX, DryRun, Invocation, command, command_group
from cli.output import Columns, Table
from cli.sealed import sealer_for
from cli.webhooks_sent import Number, on_endpoint
from ledger.clock import utc_now
from ledger.units import counted

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ledger.models import WebhookEndpoint

Events = Annotated[
    list[str],
    typer.Option("--event", help="A type that it wants; `credit.*` and `*` too; repeatable."),
]


def register(root: typer.Typer) -> None:
    """Add the group."""
    group = command_group("Say who is told of what becomes final on chain, and see what they took.")
    command(group, "add")(add)
    command(group, "list")(list_endpoints)
    command(group, "events")(list_events)
    command(group, "pause")(pause)
    command(group, "resume")(resume)
    command(group, "remove")(remove)
    command(group, "rotate")(rotate)
    webhooks_sent.register(group)
    root.add_typer(group, name="webhooks")


def add(
    run: Invocation,
    url: Annotated[str, typer.Argument(metavar="URL", help="Where messages are posted.")],
    event: Events,
    description: Annotated[str | None, typer.Option("--description", help="Whose it is.")] = None,
    from_block: Annotated[
        int | None,
        typer.Option(
            "--from-block",
            min=0,
            max=NUMBER_MAX,
            help="Tell it what happened from this block on, too.",
        ),
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Add an endpoint; the secret that signs its messages is shown this once."""
    from ledger.audit import HOUSE
    from ledger.webhooks import endpoints

    sealer = sealer_for(run.settings.sealing_key_file, keep=not dry_run)

    def work(session: Session) -> tuple[str, dict[str, Any]]:
        secret, row = endpoints.add(
            session,
            sealer,
            url,
            event,
            description,
            HOUSE,
            private=run.settings.webhook_private_targets,
            from_block=from_block,
        )
        found = endpoint_document(row)
        others = endpoints.at_same_address(session, row)
        if others:  # of a command that was given again, after one that was killed, say
            found["hint"] = _told_twice(others)
        return secret, found

    with run.books() as db:
        secret, found = db.run(work, keep=not dry_run)
    hints = [found["hint"]] if "hint" in found else []
    if dry_run:
        run.output.result(
            found,
            f"would tell {url} of {', '.join(found['event_types'])}",
            *hints,
        )
        return
    run.output.result(
        {**found, "secret": secret},
        secret,
        f"endpoint {found['id']} is told of {', '.join(found['event_types'])}; "
        "the secret is not shown again",
        *hints,
    )


def _told_twice(others: list[int]) -> str:
    named = ", ".join(map(str, others))
    return (
        f"hint: endpoint {named} has this address already, and is told as well unless it rests; "
        f"where it is one too many: truetonne webhooks remove {others[0]}"
    )


def list_endpoints(run: Invocation) -> None:
    """List the endpoints."""
    from sqlalchemy import select

    from ledger.models import WebhookEndpoint
    from ledger.models.webhooks import EndpointState
    from ledger.webhooks.log import not_taken

    with run.books() as db, db.read() as session:
        query = select(WebhookEndpoint).where(WebhookEndpoint.state != EndpointState.REMOVED)
        missed = not_taken(session)
        found = [
            endpoint_document(row) | ({"not_taken": missed[row.id]} if row.id in missed else {})
            for row in session.scalars(query.order_by("id"))
        ]
    columns: Columns = {
        "id": "id",
        "url": "url",
        "events": lambda item: " ".join(item["event_types"]),
        "state": "state",
        "told to block": "told_block",
        "last took one": "heard_at",
        "not taken": lambda item: item.get("not_taken"),
        "reason": "reason",
    }
    run.output.result(
        {"endpoints": found},
        Table.of(found, columns, right=["not taken"]),
        counted(len(found), "endpoint"),
        *["`truetonne webhooks deliveries ID --not-taken` says what was answered"] * bool(missed),
    )


def list_events(run: Invocation) -> None:
    """List the types of events that can be told."""
    from ledger.webhooks.telling import known_types

    run.output.result({"events": known_types()}, *known_types())


def pause(run: Invocation, number: Number, dry_run: DryRun = False) -> None:
    """Tell an endpoint nothing for now; what happens meanwhile follows when it is resumed."""
    from ledger.models.webhooks import EndpointState

    said = ("would be paused", "is paused; truetonne webhooks resume lets it go on")
    _set_state(run, number, EndpointState.PAUSED, said, dry_run)


def resume(run: Invocation, number: Number, dry_run: DryRun = False) -> None:
    """Tell an endpoint again, also one that was disabled, and of what it missed."""
    from ledger.models.webhooks import EndpointState

    what = "told again, and of what it missed"
    _set_state(run, number, EndpointState.ACTIVE, (f"would be {what}", f"is {what}"), dry_run)


def remove(run: Invocation, number: Number, dry_run: DryRun = False) -> None:
    """End an endpoint for good; the log of its deliveries stays."""
    from ledger.audit import HOUSE
    from ledger.webhooks import endpoints

    on_endpoint(run, number, lambda session, row: endpoints.remove(session, row, HOUSE), dry_run)
    document: dict[str, Any] = {"id": number, "removed": True}
    run.output.result(
        document,
        f"{'would remove' if dry_run else 'removed'} endpoint {number}",
    )


def rotate(run: Invocation, number: Number, dry_run: DryRun = False) -> None:
    """Give an endpoint another secret, shown this once; the former signs as well for a day."""
    from ledger.audit import HOUSE
    from ledger.sealing import load_sealer
    from ledger.webhooks import endpoints

    def give(session: Session, row: WebhookEndpoint) -> str:
        # The key is needed for an endpoint that is there alone.
        sealer = load_sealer(run.settings.sealing_key_file)
        return endpoints.rotate(session, sealer, row, HOUSE, utc_now())

    secret = on_endpoint(run, number, give, dry_run)
    if dry_run:
        document = {"id": number, "secret": None}
        run.output.result(document, f"would give endpoint {number} another secret")
        return
    run.output.result(
        {"id": number, "secret": secret},
        secret,
        f"the former secret of endpoint {number} signs as well for 24 h",
    )


def endpoint_document(row: WebhookEndpoint) -> dict[str, Any]:
    """Return an endpoint without its secrets."""
    return {
        "id": row.id,
        "url": row.url,
        "description": row.description,
        "event_types": list(row.event_types),
        "state": row.state.value,
        "reason": row.reason,
        "told_block": row.told_block,
        "heard_at": row.heard_at,
        "created_at": row.created_at,
    }


def _set_state(
    run: Invocation, number: int, state: Any, said: tuple[str, str], dry_run: bool
) -> None:
    from ledger.audit import HOUSE
    from ledger.webhooks import endpoints

    private = run.settings.webhook_private_targets
    on_endpoint(
        run,
        number,
        lambda session, row: endpoints.change(session, row, HOUSE, private=private, state=state),
        dry_run,
    )
    run.output.result(
        {"id": number, "state": state.value},
        f"endpoint {number} {said[0] if dry_run else said[1]}",
    )
