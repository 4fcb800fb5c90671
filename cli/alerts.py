"""``truetonne alerts``: what about a device somebody should look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cli.command import NUMBER_MAX, DryRun, Invocation, command, command_group
from cli.lists import require_parents
from cli.output import Columns, Table
from ledger.clock import utc_now
from ledger.units import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from ledger.models import DeviceAlert
    from ledger.park import Record

HERE = "command line"
"""Who acts, as the alert has it."""
Number = Annotated[
    int, typer.Argument(metavar="ID", help="Row number of the alert.", min=1, max=NUMBER_MAX)
]
OfDevice = Annotated[
    str | None, typer.Option("--device", metavar="CODE", help="Only those of this device.")
]
Note = Annotated[str, typer.Option("--note", help="What is being done, or why it is done with.")]


def register(root: typer.Typer) -> None:
    """Add the group."""
    group = command_group("See the alerts about devices, and say what became of them.")
    command(group, "list")(list_alerts)
    command(group, "acknowledge")(acknowledge)
    command(group, "resolve")(resolve)
    command(group, "evaluate")(evaluate)
    root.add_typer(group, name="alerts")


def list_alerts(
    run: Invocation,
    status: Annotated[
        Literal["active", "acknowledged", "resolved"] | None,
        typer.Option("--status", help="Only those in this state; without it those not resolved."),
    ] = None,
    device: OfDevice = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that are resolved.")
    ] = False,
) -> int:
    """List alerts, the gravest first; exit 1 while one is not resolved."""
    from ledger.models.devices import AlertSeverity, AlertStatus
    from ledger.park import kind_named
    from ledger.park.records import all_records, written

    kind = kind_named("alerts")
    states = [AlertStatus(status)] if status else list(AlertStatus)
    if not status and not everything:
        states.remove(AlertStatus.RESOLVED)
    of_device = {} if device is None else {"device_code": device}
    with run.books() as db, db.read() as session:
        require_parents(session, kind, of_device)
        found: list[Record] = []
        for state in states:
            wanted = {"status": state, **of_device}
            found += all_records(session, kind, wanted)
        names = _device_names(session)
    ranks = list(AlertSeverity)
    found.sort(key=lambda item: (-ranks.index(item["severity"]), item["triggered_at"], item.id))
    columns: Columns = {
        "id": lambda item: item.id,
        "severity": "severity",
        "state": "status",
        "since": "triggered_at",
        "device": "device_code",
        "name": lambda item: _own_name(item["device_code"], names),
        "what": "message",
    }
    still = sum(item["status"] is not AlertStatus.RESOLVED for item in found)
    run.output.result(
        {
            "alerts": [
                {**written(kind, item), "device_name": names[item["device_code"]]} for item in found
            ]
        },
        Table.of(found, columns),
        f"{counted(len(found), 'alert')}, {still} not resolved",
    )
    return 1 if still else 0


def acknowledge(run: Invocation, alert: Number, note: Note = "", dry_run: DryRun = False) -> None:
    """Say that an alert was seen; it stays until its values return, or somebody resolves it."""
    from ledger.park import handling

    _handle(
        run,
        alert,
        dry_run,
        "acknowledged",
        lambda s: handling.acknowledge(s, alert, note, HERE, utc_now()),
    )


def resolve(run: Invocation, alert: Number, note: Note, dry_run: DryRun = False) -> None:
    """Say that an alert is done with, and why; while its values do not return it is not raised again."""
    from ledger.park import handling

    _handle(
        run, alert, dry_run, "resolved", lambda s: handling.resolve(s, alert, note, HERE, utc_now())
    )


def evaluate(run: Invocation, device: OfDevice = None, dry_run: DryRun = False) -> None:
    """Judge all the data again, as after a change of the rules of a device type; else imports and a job see to it."""
    from ledger.park import watching
    from ledger.park.unwatched import unwatched

    with run.books() as db:
        tally = db.run(
            lambda session: watching.evaluate_all(session, device, utc_now()),
            keep=not dry_run,
            holding=watching.HELD,
        )
        with db.read() as session:
            warnings = unwatched(session)
    said = ", ".join(f"{count} {name}" for name, count in vars(tally).items())
    document: dict[str, Any] = dict(vars(tally))
    if warnings:
        document["warnings"] = warnings
    run.output.result(
        document,
        f"alerts: {said}{' (nothing written)' if dry_run else ''}",
        *(f"warning: {text}" for text in warnings),
    )


def _device_names(session: Session) -> dict[str, str]:
    """Return the names of the devices that have alerts, by their codes."""
    from sqlalchemy import select

    from ledger.models import Device, DeviceAlert

    has_alerts = Device.id.in_(select(DeviceAlert.device_id))
    query = select(Device.device_id, Device.name).where(has_alerts)
    return {code: name for code, name in session.execute(query)}


def _own_name(code: str, names: dict[str, str]) -> str:
    """Return the name of a device for a list that has its code: one without a name of its own is not said twice."""
    return "" if names[code] == code else names[code]


def _handle(
    run: Invocation, number: int, dry_run: bool, verb: str, act: Callable[[Session], DeviceAlert]
) -> None:
    with run.books() as db:
        message = db.run(lambda session: act(session).message, keep=not dry_run)
    document = {"alert": number, "status": verb, "message": message}
    run.output.result(
        document,
        f"alert {number} {'would be' if dry_run else 'is'} {verb}: {message}",
    )
