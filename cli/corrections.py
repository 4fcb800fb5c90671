"""``truetonne reductions corrections | correct``: what was learnt after a period was issued."""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.command import DryRun, Invocation, NoWait, command
from cli.credit_options import Project
from cli.output import Table
from ledger.errors import BadInput

if TYPE_CHECKING:
    from ledger.corrections import Found, Outcome
    from ledger.db import Database

OptionalFrom = Annotated[
    datetime | None,
    typer.Option("--from", formats=["%Y-%m-%d"], metavar="DATE", help="First legal day."),
]
OptionalTo = Annotated[
    datetime | None,
    typer.Option("--to", formats=["%Y-%m-%d"], metavar="DATE", help="The day after the last."),
]


def register(group: typer.Typer) -> None:
    """Add the commands to the group ``reductions``."""
    command(group, "corrections")(corrections)
    command(group, "correct")(correct)


def corrections(
    run: Invocation,
    project: Annotated[
        str | None, typer.Option("--project", help="Only those of this project.")
    ] = None,
) -> None:
    """List the corrections of issued periods, and what is still owed; compute and write nothing."""
    from ledger.corrections import corrections_of, debts_of, overpaid_of

    with run.books() as db, db.read() as session:
        found = corrections_of(session, project)
        debts = debts_of(session, project)
        overpaid = overpaid_of(session, project)
    rows = [_correction(item, debts, overpaid.get(item.key, Fraction(0))) for item in found]
    run.output.result(
        {"corrections": rows},
        _corrections_table(rows) if rows else "no corrections",
        *(
            f"{row['period']['from']} to {row['period']['to']}: {row['overpaid_kg']} kg were paid twice; so much too "
            "little is issued (`Below finality` in docs/mirror.md)"
            for row in rows
            if row["key"] in overpaid
        ),
    )


def correct(
    run: Invocation,
    project: Project,
    start: OptionalFrom = None,
    end: OptionalTo = None,
    factor: Annotated[
        str | None, typer.Option("--factor", help="Code of a factor that was revised.")
    ] = None,
    factor_version: Annotated[
        str | None, typer.Option("--factor-version", help="Its lower, newer version.")
    ] = None,
    cancel: Annotated[
        bool,
        typer.Option(
            "--cancel/--carry",
            help="Cancel on chain what was issued too much, or carry it as a deficit (the default).",
        ),
    ] = False,
    dry_run: DryRun = False,
    no_wait: NoWait = False,
) -> None:
    """Record what late readings, or a lower factor, do to issued periods; cancel or carry the excess."""
    from ledger import corrections as books

    if (start is None) != (end is None):
        raise BadInput("give --from and --to together, or neither", code="usage")
    if (factor is None) != (factor_version is None):
        raise BadInput("give --factor and --factor-version together, or neither", code="usage")
    period = (start.date(), end.date()) if start is not None and end is not None else None
    revised = (
        (factor, factor_version) if factor is not None and factor_version is not None else None
    )
    if cancel:
        with run.flow() as flow:
            flow.mirror()
            outcome = books.correct(
                flow.db, project, period=period, factor=revised, chain=flow.chain, dry_run=dry_run
            )
            if not dry_run:
                sent = books.submit_planned(flow.chain)
                if not no_wait:
                    flow.confirm_or_fail(sent)
            debts = _debts(flow.db, project)
    else:
        with run.books() as db:
            outcome = books.correct(db, project, period=period, factor=revised, dry_run=dry_run)
            debts = _debts(db, project)
    if dry_run:  # the books know nothing of them
        debts = {item.key: item.carried_kg for item in outcome.found}
    _show(run, project, outcome, debts, in_days=period is not None, dry_run=dry_run)


def _debts(db: Database, project: str) -> dict[str, Fraction]:
    from ledger import corrections as books

    with db.read() as session:
        return books.debts_of(session, project)


def _show(
    run: Invocation,
    project: str,
    outcome: Outcome,
    debts: dict[str, Fraction],
    *,
    in_days: bool,
    dry_run: bool,
) -> None:
    """Print what was found; ``in_days``: whether it was looked for in some days alone."""
    rows = [_correction(item, debts) for item in outcome.found]
    document: dict[str, Any] = {
        "project": project,
        "corrections": rows,
        "passed_over": outcome.passed_over,
    }
    nothing = "nothing new"
    if not outcome.passed_over:
        of = " of an issuance that lies wholly in these days" if in_days else ""
        nothing += f": every late reading{of} is counted already"
    run.output.result(
        document,
        _corrections_table(rows) if rows else nothing,
        *(f"passed over: {text}" for text in outcome.passed_over),
        *(_decided(row) for row in rows),
        *(["nothing was written"] if dry_run else []),
    )


def _correction(
    item: Found, debts: dict[str, Fraction], overpaid_kg: Fraction = Fraction(0)
) -> dict[str, Any]:
    from ledger.reductions.reporting import fraction_text, owed, shown

    return {
        "key": item.key,
        "issuance": item.issuance_key,
        "period": {"from": item.from_date.isoformat(), "to": item.to_date.isoformat()},
        "cause": item.cause,
        "factor": item.factor,
        "late_readings": item.late_readings,
        "state": item.state,
        "effect_kg": shown(item.effect_kg),
        "effect_kg_exact": fraction_text(item.effect_kg),
        "owed_kg": owed(item.owed_kg),
        "cancelled_kg": str(item.cancelled_kg),
        "carried_kg": shown(-item.carried_kg),
        "open_kg": owed(debts.get(item.key, Fraction(0))),
        "overpaid_kg": owed(overpaid_kg),
        "cancellation": item.act_key,
        "manifest_hash": item.manifest_hash,
    }


def _corrections_table(rows: list[dict[str, Any]]) -> Table:
    figures = {
        "effect kg": "effect_kg",
        "cancelled kg": "cancelled_kg",
        "still owed kg": "open_kg",
    }
    return Table.of(
        rows,
        {
            "from": lambda row: row["period"]["from"],
            "to": lambda row: row["period"]["to"],
            "cause": "cause",
            "late": "late_readings",
            "state": "state",
            **figures,
        },
        right=["late", *figures],
    )


def _decided(row: dict[str, Any]) -> str:
    """Return in a sentence what becomes of the effect of a correction."""
    what = f"{row['period']['from']} to {row['period']['to']}, {row['cause'].replace('_', ' ')}: "
    if row["state"] == "recorded":
        return what + "recorded; nothing is owed, and what came late claims nothing"
    said = []
    if row["cancelled_kg"] != "0":
        said.append(f"{row['cancelled_kg']} kg are cancelled on chain")
    if row["state"] == "carried":
        held = ", for the owner's account holds no more" if said else ""
        said.append(f"{row['carried_kg']} kg go into the project's next issuance{held}")
    return what + "; ".join(said)
