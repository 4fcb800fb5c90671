"""``truetonne factors``: the emission factors of the books, which only grow."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.command import DryRun, Invocation, command, command_group
from cli.output import Table

Code = Annotated[str, typer.Argument(metavar="CODE", help="Code of the factor.")]
FactorFile = Annotated[
    str, typer.Argument(metavar="FILE", help="TOML with [[factor]], or the name of a bundled set.")
]


def register(root: typer.Typer) -> None:
    """Add the group."""
    group = command_group("Keep emission factors: recorded once, never changed.")
    command(group, "list")(list_)
    command(group, "show")(show)
    command(group, "import")(import_)
    root.add_typer(group, name="factors")


def list_(run: Invocation) -> None:
    """List the factors that are recorded, and the sets that come with the package."""
    from ledger.sites.factors import bundled, list_factors

    with run.books() as db, db.read() as session:
        factors = list_factors(session)
    run.output.result(
        {"factors": factors, "bundled": bundled()},
        Table.of(
            factors,
            {
                **{name: name for name in ("code", "version", "purpose", "value", "unit")},
                "verified": lambda item: "yes" if item["verified"] else "no",
            },
            title="emission factors",
            right=["value"],
        ),
        f"sets to import by name: {', '.join(bundled())}",
    )


def show(run: Invocation, code: Code) -> None:
    """Show every version of a factor: value, document, year of the data, gases, boundary, hash."""
    from ledger.sites.factors import list_factors

    with run.books() as db, db.read() as session:
        versions = list_factors(session, code)
    run.output.result({"code": code, "versions": versions}, *(_shown(item) for item in versions))


def import_(run: Invocation, file: FactorFile, dry_run: DryRun = False) -> None:
    """Record the factors of a file; the same code and version with other content is refused."""
    from ledger.sites.factors import import_factors, load_factor_file

    read = load_factor_file(file)  # before the books: a wrong file is the first thing to say
    with run.books() as db:
        document: dict[str, Any] = {
            **db.run(lambda session: import_factors(session, read), keep=not dry_run)
        }
    run.output.result(
        document,
        *(f"created factor {name}" for name in document["created"]),
        *(f"warning: {text}" for text in document["warnings"]),
        f"{file}: {len(document['created'])} created, {len(document['unchanged'])} unchanged"
        f"{' (nothing written)' if dry_run else ''}",
    )


def _shown(item: dict[str, Any]) -> Table:
    rows = [
        (name.replace("_", " "), str(value)) for name, value in item.items() if value is not None
    ]
    return Table(("what", "value"), rows, title=f"{item['code']} {item['version']}")
