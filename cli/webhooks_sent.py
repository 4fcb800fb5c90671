"""``truetonne webhooks deliveries | replay | test``: what an endpoint was told, and telling it again."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.command import NUMBER_MAX, DryRun, Invocation, command
from cli.output import Columns, Table
from ledger.clock import utc_now
from ledger.errors import INTERRUPTED
from ledger.units import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from ledger.models import WebhookDelivery, WebhookEndpoint, WebhookMessage, WebhookTry

SHOWN = 50
UNTRIED = "it was not tried; the message stays due, and the jobs send it"
Number = Annotated[
    int, typer.Argument(metavar="ID", help="Row number of the endpoint.", min=1, max=NUMBER_MAX)
]


def register(group: typer.Typer) -> None:
    """Add the commands to the group ``webhooks``."""
    command(group, "deliveries")(list_deliveries)
    command(group, "replay")(replay)
    command(group, "test")(test)


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
    from ledger.webhooks import endpoints
    from ledger.webhooks.log import deliveries

    with run.books() as db, db.read() as session:
        endpoints.shown(session, number)
        query = deliveries(number, not_taken=failed).limit(limit)
        found = [delivery_document(*row) for row in session.execute(query).all()]
    columns: Columns = {
        "message": "message_id",
        "type": "event_type",
        "state": "state",
        "tries": "tries",
        "due": lambda item: item["due_at"] if item["state"] == "pending" else None,
        "status": "last_status",
        "last try": "last_try_at",
        "error": "last_error",
    }
    run.output.result({"deliveries": found}, Table.of(found, columns))


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

    count = on_endpoint(run, number, work, dry_run)
    document: dict[str, Any] = {"id": number, "due": count}
    more = ", and what it was never sent follows" if from_block is not None else ""
    run.output.result(
        document,
        f"{'would be due' if dry_run else 'due'} again at endpoint {number}: {counted(count, 'message')}{more}; "
        "`truetonne jobs run webhooks` sends them now",
    )


def test(run: Invocation, number: Number) -> int:
    """Send an endpoint a test message now, and say what it answered; exit 1 when it did not take it."""
    from sqlalchemy import select

    from ledger.errors import ProblemFound
    from ledger.models import WebhookDelivery, WebhookMessage, WebhookTry
    from ledger.models.webhooks import EndpointState
    from ledger.sealing import load_sealer
    from ledger.webhooks import Posting, agent, deliver, endpoints, outbox

    name = f"msg_test_{secrets.token_hex(12)}"
    settings = run.settings
    with run.books() as db:
        with db.read() as session:
            endpoints.shown(session, number)  # before its key: without an endpoint none is missing
        posting = Posting(
            load_sealer(settings.sealing_key_file), settings.webhook_private_targets, agent()
        )
        db.run(
            lambda session: outbox.test(session, endpoints.get(session, number), name, utc_now())
        )
        try:
            deliver(db, posting, name)
        except KeyboardInterrupt:
            run.output.interrupted(f"{name} stays due, and the jobs send it")
            return INTERRUPTED
        with db.read() as session:
            query = (
                select(WebhookTry)
                .join(WebhookDelivery, WebhookDelivery.id == WebhookTry.delivery_id)
                .join(WebhookMessage, WebhookMessage.id == WebhookDelivery.message_row)
                .where(WebhookMessage.message_id == name)
            )
            tried = session.scalars(query).first()
            state = endpoints.shown(session, number).state
    taken = tried is not None and tried.error is None
    if tried is not None:
        error = tried.error
    elif state is EndpointState.ACTIVE:  # since a moment ago
        error = UNTRIED
    else:
        error = f"the endpoint is {state}"
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


def on_endpoint(
    run: Invocation,
    number: int,
    act: Callable[[Session, WebhookEndpoint], Any],
    dry_run: bool = False,
) -> Any:
    """Do something to an endpoint, in one commit; return what came of it."""
    from ledger.webhooks import endpoints

    with run.books() as db:
        return db.run(
            lambda session: act(session, endpoints.get(session, number)), keep=not dry_run
        )
