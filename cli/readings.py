"""``truetonne site apply`` and ``import``: a park, and what its meters say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.command import DryRun, Invocation, Site, command, command_group
from cli.output import printable
from ledger.errors import INTERRUPTED, BadInput, NotFound, RowsRejected, TruetonneError
from ledger.settings import Settings
from ledger.units import counted

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ledger.db import Database
    from ledger.readings import ImportReport
    from ledger.sites import SiteChanges

ERRORS_SHOWN = 20
JUMPS_SHOWN = 5
CONTRADICTIONS_SHOWN = 20

SiteFile = Annotated[Path, typer.Argument(metavar="SITE.toml", help="The site file.")]
MeterFiles = Annotated[
    list[Path], typer.Argument(metavar="FILE...", help="As its source says, plain or gzipped.")
]
Source = Annotated[str, typer.Option("--source", help="Name of the source in the site file.")]


def register(root: typer.Typer) -> None:
    """Add the commands."""
    group = command_group("Describe parks: devices, meters, sources, factors, plants.")
    command(group, "apply")(apply_site)
    root.add_typer(group, name="site")
    command(root, "import")(import_readings)


def apply_site(run: Invocation, file: SiteFile, dry_run: DryRun = False) -> None:
    """Bring the books to what a site file says, and print what changed; makes an SQLite database that is not there."""
    from cli.books import begin_books, to_begin
    from ledger.sites import apply_site as apply
    from ledger.sites import check_site_file

    check_site_file(file)  # before the books: a wrong file is the first thing to say
    resolve = _account_reader(run.settings, file)

    begins = to_begin(run.settings)

    def applied(dry_run: bool) -> SiteChanges:
        books = begin_books(run.settings, dry_run=dry_run) if begins else run.books()
        with books as db:
            return db.run(
                lambda session: apply(session, file, resolve_account=resolve), keep=not dry_run
            )

    if begins and not dry_run:
        applied(dry_run=True)  # a file that is refused makes no database
    changes = applied(dry_run)
    place = run.settings.database_url if begins else None
    document: dict[str, Any] = changes.as_json()
    if place:
        document["database"] = place
    lines = [f"created database {place}"] if place else []
    lines += [f"{word} {name}" for word in ("created", "updated") for name in document[word]]
    run.output.result(
        document,
        *lines,
        *(f"warning: {text}" for text in document["warnings"]),
        f"{file}: {len(document['created'])} created, {len(document['updated'])} updated, "
        f"{len(document['unchanged'])} unchanged{' (nothing written)' if dry_run else ''}",
    )


def import_readings(
    run: Invocation, files: MeterFiles, site: Site, source: Source, dry_run: DryRun = False
) -> int:
    """Import meter files, each by itself; good rows are kept, and exit 1 says that some were rejected.

    Of several, one that is refused keeps no other from being imported.
    """
    imports = _Imports(run, site, source, dry_run=dry_run, of=len(files))
    rest = [file for file in files if imports.fits(file)]
    try:
        if rest:
            with run.books() as db:
                while rest and imports.import_one(db, rest.pop(0)):
                    pass
    except KeyboardInterrupt:  # one unit of work: it is taken back whole, or was done whole
        run.output.interrupted(_left(len(imports.done), len(files), imports.is_at_its_end))
        return INTERRUPTED
    documents = [{"file": str(file), **report.as_json()} for file, report in imports.done]
    document: dict[str, Any] = {
        "imports": documents,
        "refused": [error.as_json() for error in imports.refused],
    }
    if rest:
        document["not_tried"] = [str(file) for file in rest]
    if len(files) == 1:
        (document,) = documents
        del document["file"]
    run.output.result(
        document,
        *(line for file, report in imports.done for line in _imported(file, report, dry_run)),
        *(f"refused: {error.message}" for error in imports.refused),
        *(f"not tried: {file}" for file in rest),
    )
    codes = [RowsRejected.exit_code for _, report in imports.done if report.rejected]
    return max([*codes, *(error.exit_code for error in imports.refused)], default=0)


class _Imports:
    """Files of one source, imported one after the other; of several, one that is refused does not end the others.

    Parameters
    ----------
    of
        How many files were named.
    """

    def __init__(self, run: Invocation, site: str, source: str, *, dry_run: bool, of: int) -> None:
        self._run, self._site, self._source, self._dry_run = run, site, source, dry_run
        self._alone = of == 1
        self.done: list[tuple[Path, ImportReport]] = []
        self.refused: list[TruetonneError] = []
        self.is_at_its_end = False
        """Whether all of a file is stored but not committed yet: a signal during the commit is heard after it."""

    def fits(self, file: Path) -> bool:
        """Return whether a file can be read at all; asked first, before the books are opened."""
        from ledger.readings import check_file

        try:
            check_file(file)
        except BadInput as error:
            if self._alone:
                raise
            self.refused.append(error)
            return False
        return True

    def import_one(self, db: Database, file: Path) -> bool:
        """Import a file; return whether the next one may be tried."""
        from ledger.readings import import_file

        named = self._site, self._source, file
        try:
            with self._run.output.progress(f"importing {file.name}", "rows") as advance:
                report = import_file(
                    db, *named, dry_run=self._dry_run, progress=advance, after=self._after
                )
        except TruetonneError as error:
            # There is no such site or source, or the database is down: it is no fault of this file.
            of_all = isinstance(error, NotFound) or not (isinstance(error, BadInput) or self.done)
            if self._alone or of_all:
                raise
            self.refused.append(error)
            return isinstance(error, BadInput)
        self.is_at_its_end = False
        self.done.append((file, report))
        return True

    def _after(
        self, session: Session, spans: Mapping[int, tuple[datetime, datetime]]
    ) -> dict[str, int]:
        counts = received(session, spans)
        self.is_at_its_end = not self._dry_run
        return counts


def _left(done: int, files: int, is_at_its_end: bool) -> str:
    """Return what an import that was interrupted has left."""
    if files == 1:
        if is_at_its_end:
            return "all of it was imported, or nothing: import it again to see"
        return "nothing was imported"
    rest = "of the others nothing was"
    if is_at_its_end:
        rest = "the next one was, too, or nothing of it: import it again to see"
    return f"{done} of {files} files were imported, and {rest}"


def _imported(file: Path, report: ImportReport, dry_run: bool) -> list[str]:
    document = report.as_json()
    counts = ("read", "new", "unchanged", "conflicts", "rejected")
    said = ", ".join(f"{document[name]} {name}" for name in counts)
    return [
        f"{file}: {said}{' (nothing written)' if dry_run else ''}",
        *_contradicting(report),
        *_noted(report),
        *rejected(file, document),
    ]


def received(session: Session, spans: Mapping[int, tuple[datetime, datetime]]) -> dict[str, int]:
    """Note when devices were seen, and bring their alerts to what came in, in the unit of work that stored it."""
    from ledger.park import watching

    return watching.received(session, spans, datetime.now(UTC)).as_json()


def rejected(file: Path, document: dict[str, Any]) -> list[str]:
    """Return a line for each of the first rejected rows: file, line, column, and what to do."""
    errors = document["errors"]
    lines = []
    for error in errors[:ERRORS_SHOWN]:
        column = f", column {error['column']}" if error["column"] else ""
        said = f"{file}: line {error['line']}{column}: {error['message']}"
        lines.append(f"  {printable(said)}")  # names from a file may have line ends in them
    more = document["rejected"] - len(lines)
    return [*lines, f"  and {more} more; `--json` names them"] if more > 0 else lines


def _contradicting(report: ImportReport) -> list[str]:
    """Return a line for each of the first rows that contradict another, with both values and where they stand."""
    lines = []
    for found in report.contradictions[:CONTRADICTIONS_SHOWN]:
        other = found["other"]
        imported = other["imported_at"]
        place = f"{other['file']} (imported {imported})" if imported else "this file"
        said = (
            f"line {found['line']}, device {found['device']}, {found['at']}: {found['text']}; "
            f"line {other['line']} of {place} says {other['text']}"
        )
        lines.append(f"    {printable(said)}")
    if not lines:
        return []
    rows = counted(
        report.conflicts,
        "row contradicts another value of its time",
        "rows contradict another value of their time",
    )
    head = f"  {rows}; `truetonne readings show` says which counts:"
    more = report.conflicts - len(lines)
    named = len(report.contradictions)
    rest = f"    and {more} more; `--json` names {'them' if named == report.conflicts else f'the first {named}'}"
    return [head, *lines, *([rest] if more else [])]


def _noted(report: ImportReport) -> list[str]:
    """Return a line for each kind of kept row that will not count as it stands, and for odd times."""
    notes = (
        (
            report.without_value,
            "unchanged, and have no value in the books: withdrawn, or declared to mean none when they came first; "
            "`truetonne readings show` says which, and `truetonne readings restore --as-in FILE --source NAME` gives "
            "back what was withdrawn and stands in this file rightly",
        ),
        (report.late, "late: their period is issued already, and they move nothing that was"),
        (report.outliers, "beyond what the device can do, and not used"),
        (report.stuck, "stuck in a flat line that no meter gives, and not used"),
        (report.missing, "without a value"),
        (
            report.future,
            "lie in the future, more than a day from now: check the clock and the source's time_format",
        ),
        (
            report.left_out,
            "sums of an hour or a day too large for the energy and emission tables; they are left out "
            "there alone, and a rated_kw makes such values outliers",
        ),
        (report.intervals, "intervals of the register that are new or changed"),
        (
            report.clock_change,
            "of a local hour that comes twice, put before or after the change by their order",
        ),
        (report.moved, "taken to the time of the grid that they lie beside"),
        (report.passed_over, "of other channels, passed over as `only` in [[source]] says"),
        (
            report.clock_jumps_count,
            "times of a row go back against the row before, or forward by more than a day:"
            if report.clock_jumps_count > 1
            else "time of a row goes back against the row before, or forward by more than a day:",
        ),
    )
    lines = [f"  {count} {what}" for count, what in notes if count]
    for jump in report.clock_jumps[:JUMPS_SHOWN]:
        lines.append(
            f"    line {jump['line']}, device {jump['device']}: {jump['from']} to {jump['to']}"
        )
    if report.spacing is not None:
        lines.append(f"  {_spacing(report.spacing)}")
    if report.alerts:
        said = ", ".join(f"{count} {name}" for name, count in report.alerts.items())
        lines.append(f"  alerts: {said}; `truetonne alerts list`")
    return [*lines, *(f"  {hint}" for hint in report.hints)]


def _spacing(found: dict[str, Any]) -> str:
    """Return the warning that rows are much farther apart than the intervals of their source."""
    minutes, interval = found["minutes"], found["interval_minutes"]
    more = found["devices"] - 1
    others = f" and {more} more" if more else ""
    return (
        f"warning: rows of device {found['device']}{others} come every {minutes} minutes, the source "
        f"says {interval}: what lies between them is missing, and power counts for {counted(interval, 'minute')} alone"
    )


def _account_reader(settings: Settings, file: Path) -> Callable[[str], str]:
    """Return what turns an account as a site file writes it into an address.

    ``anvil:N`` is read on the local chain alone; elsewhere the deployment says which chain it is.
    """
    from ledger.settings import LOCAL_CHAIN_ID

    chain_id, contracts = LOCAL_CHAIN_ID if settings.local_chain else 0, dict[str, str]()
    if settings.deployment.exists():
        from ledger.chain.addresses.book import Deployment

        deployment = Deployment.load(settings.deployment)
        chain_id = chain_id or deployment.chain_id
        contracts = {item.address: name for name, item in deployment.contracts.items()}

    def resolve(text: str) -> str:
        from ledger.chain.keys.signers import resolve_account

        try:
            account = resolve_account(text, chain_id)
        except BadInput as error:
            said = f"{file}: account {text!r}: {error.message}"
            if not chain_id and text.startswith("anvil:"):
                said += (
                    f", and {settings.deployment}, which says what chain this is, is not there; run `truetonne chain "
                    "deploy` first, or write the account as 0x..."
                )
            raise BadInput(said, code=error.code) from error
        if account.lower() in contracts:
            raise BadInput(
                f"{file}: account {text!r} is the contract {contracts[account.lower()]} itself: what a trade pays it "
                "nobody can take out; name the account whose key the plant or the market has"
            )
        return account

    return resolve
