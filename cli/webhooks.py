"""``truetonne webhooks``: who is told of events, what they were told, and telling them again."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.command import NUMBER_MAX, DryRun, Invocation, command, command_group, utc_now
from cli.output import Table, counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from ledger.models import WebhookDelivery, WebhookEndpoint, WebhookMessage, WebhookTry

SHOWN = 50
Number = Annotated[
    int, typer.Argument(metavar="ID", help="Row number of the endpoint.", min=1, max=NUMBER_MAX)
]
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
    command(group, "deliveries")(list_deliveries)
    command(group, "replay")(replay)
    command(group, "test")(test)
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
    from cli.books import open_books
    from ledger.audit import HOUSE
    from ledger.sealing import load_sealer
    from ledger.webhooks import endpoints

    sealer = load_sealer(run.settings.sealing_key_file, make=True)

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
        if dry_run:
            session.rollback()
        return secret, found

    with open_books(run.settings) as db:
        secret, found = db.run(work)
    hints = [found["hint"]] if "hint" in found else []
    if dry_run:
        run.output.result(
            {"dry_run": True, **found},
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

    from cli.books import open_books
    from ledger.models import WebhookEndpoint
    from ledger.models.webhooks import EndpointState

    with open_books(run.settings) as db, db.read() as session:
        query = select(WebhookEndpoint).where(WebhookEndpoint.state != EndpointState.REMOVED)
        found = [endpoint_document(row) for row in session.scalars(query.order_by("id"))]
    columns = ("id", "url", "events", "state", "told to block", "last took one", "reason")
    shown = [
        (
            item["id"],
            item["url"],
            " ".join(item["event_types"]),
            item["state"],
            item["told_block"],
            item["heard_at"],
            item["reason"],
        )
        for item in found
    ]
    run.output.result({"endpoints": found}, Table(columns, shown), counted(len(found), "endpoint"))


def list_events(run: Invocation) -> None:
    """List the types of events that can be told."""
    from ledger.webhooks.telling import known_types

    run.output.result({"events": known_types()}, *known_types())


def pause(run: Invocation, number: Number, dry_run: DryRun = False) -> None:
    """Tell an endpoint nothing for now; what happens meanwhile follows when it is resumed."""
    from ledger.models.webhooks import EndpointState

    said = ("would rest", "rests; truetonne webhooks resume lets it go on")
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

    _on(run, number, lambda session, row: endpoints.remove(session, row, HOUSE), dry_run)
    document: dict[str, Any] = {"id": number, "removed": True}
    run.output.result(
        {"dry_run": True, **document} if dry_run else document,
        f"{'would remove' if dry_run else 'removed'} endpoint {number}",
    )


def rotate(run: Invocation, number: Number, dry_run: DryRun = False) -> None:
    """Give an endpoint another secret, shown this once; the former signs as well for a day."""
    from ledger.audit import HOUSE
    from ledger.sealing import load_sealer
    from ledger.webhooks import endpoints

    sealer = load_sealer(run.settings.sealing_key_file)
    secret = _on(
        run,
        number,
        lambda session, row: endpoints.rotate(session, sealer, row, HOUSE, utc_now()),
        dry_run,
    )
    if dry_run:
        document = {"id": number, "secret": None, "dry_run": True}
        run.output.result(document, f"would give endpoint {number} another secret")
        return
    run.output.result(
        {"id": number, "secret": secret},
        secret,
        f"the former secret of endpoint {number} signs as well for 24 h",
    )


def list_deliveries(
    run: Invocation,
    number: Number,
    failed: Annotated[
        bool, typer.Option("--not-taken", help="Only those that it has not taken.")
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=10_000, help="At most so many.")
    ] = SHOWN,
) -> None:
    """Show what an endpoint was sent, the latest first, each with its last try."""
    from cli.books import open_books
    from ledger.webhooks import endpoints
    from ledger.webhooks.log import deliveries

    with open_books(run.settings) as db, db.read() as session:
        endpoints.get(session, number)
        query = deliveries(number, not_taken=failed).limit(limit)
        found = [delivery_document(*row) for row in session.execute(query).all()]
    columns = ("message", "type", "state", "tries", "due", "status", "last try", "error")
    shown = [
        (
            item["message_id"],
            item["event_type"],
            item["state"],
            item["tries"],
            item["due_at"] if item["state"] == "pending" else None,
            item["last_status"],
            item["last_try_at"],
            item["last_error"],
        )
        for item in found
    ]
    run.output.result({"deliveries": found}, Table(columns, shown))


def replay(
    run: Invocation,
    number: Number,
    message: Annotated[
        list[str] | None, typer.Option("--message", help="This message; repeatable.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="All that failed.")] = False,
    from_block: Annotated[
        int | None,
        typer.Option(
            "--from-block",
            min=0,
            max=NUMBER_MAX,
            help="Everything from this block on, also what it took.",
        ),
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Send an endpoint messages again: some, all that failed, or everything from a block on."""
    from ledger.audit import HOUSE
    from ledger.errors import BadInput
    from ledger.webhooks import outbox

    if sum((bool(message), failed, from_block is not None)) != 1:
        raise BadInput("say what to send again: one of --message, --failed and --from-block")

    def work(session: Session, row: WebhookEndpoint) -> int:
        if from_block is not None:
            return outbox.tell_from(session, row, from_block, HOUSE, utc_now())
        return outbox.again(
            session, row, HOUSE, utc_now(), message_ids=message or (), failed=failed
        )

    count = _on(run, number, work, dry_run)
    document: dict[str, Any] = {"id": number, "due": count}
    more = ", and what it was never sent follows" if from_block is not None else ""
    run.output.result(
        {"dry_run": True, **document} if dry_run else document,
        f"{'would be due' if dry_run else 'due'} again at endpoint {number}: {counted(count, 'message')}{more}; "
        "`truetonne jobs run webhooks` sends them now",
    )


def test(run: Invocation, number: Number) -> int:
    """Send an endpoint a test message now, and say what it answered; exit 1 when it did not take it."""
    from sqlalchemy import select

    from cli.books import open_books
    from ledger.errors import ProblemFound
    from ledger.models import WebhookDelivery, WebhookMessage, WebhookTry
    from ledger.sealing import load_sealer
    from ledger.webhooks import Posting, agent, deliver, endpoints, outbox

    name = f"msg_test_{secrets.token_hex(12)}"
    settings = run.settings
    posting = Posting(
        load_sealer(settings.sealing_key_file), settings.webhook_private_targets, agent()
    )
    with open_books(settings) as db:
        db.run(
            lambda session: outbox.test(session, endpoints.get(session, number), name, utc_now())
        )
        deliver(db, posting, number)
        with db.read() as session:
            query = (
                select(WebhookTry)
                .join(WebhookDelivery, WebhookDelivery.id == WebhookTry.delivery_id)
                .join(WebhookMessage, WebhookMessage.id == WebhookDelivery.message_row)
                .where(WebhookMessage.message_id == name)
            )
            tried = session.scalars(query).first()
    taken = tried is not None and tried.error is None
    error = "it waits behind others, or the endpoint rests" if tried is None else tried.error
    run.output.result(
        {
            "id": number,
            "message_id": name,
            "taken": taken,
            "status": tried.http_status if tried is not None else None,
            "error": error if not taken else None,
        },
        f"endpoint {number} took {name}"
        if taken
        else f"endpoint {number} did not take it: {error}",
    )
    return 0 if taken else ProblemFound.exit_code


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


def delivery_document(
    delivery: WebhookDelivery, message: WebhookMessage, last: WebhookTry | None
) -> dict[str, Any]:
    """Return a delivery with its last try."""
    return {
        "message_id": message.message_id,
        "event_type": message.event_type,
        "tx_hash": message.tx_hash,
        "block_number": message.block_number,
        "state": delivery.state.value,
        "tries": delivery.tries,
        "due_at": delivery.due_at,
        "delivered_at": delivery.delivered_at,
        "last_try_at": last.at if last is not None else None,
        "last_status": last.http_status if last is not None else None,
        "last_error": last.error if last is not None else None,
    }


def _set_state(
    run: Invocation, number: int, state: Any, said: tuple[str, str], dry_run: bool
) -> None:
    from ledger.audit import HOUSE
    from ledger.webhooks import endpoints

    private = run.settings.webhook_private_targets
    _on(
        run,
        number,
        lambda session, row: endpoints.change(session, row, HOUSE, private=private, state=state),
        dry_run,
    )
    run.output.result(
        {"id": number, "state": state.value} | ({"dry_run": True} if dry_run else {}),
        f"endpoint {number} {said[0] if dry_run else said[1]}",
    )


def _on(
    run: Invocation,
    number: int,
    act: Callable[[Session, WebhookEndpoint], Any],
    dry_run: bool = False,
) -> Any:
    """Do something to an endpoint, in one commit; return what came of it."""
    from cli.books import open_books
    from ledger.webhooks import endpoints

    def work(session: Session) -> Any:
        found = act(session, endpoints.get(session, number))
        if dry_run:
            session.rollback()
        return found

    with open_books(run.settings) as db:
        return db.run(work)
