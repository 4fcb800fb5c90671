"""``truetonne reductions``: from readings to kilograms, as files, and computed again from them alone."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import corrections
from cli.command import Invocation, command, command_group
from cli.corrections import OptionalFrom, OptionalTo
from cli.credit_options import From, Project, To
from cli.files import ready_folder, written_aside
from cli.output import Table, printable
from ledger.errors import BadInput, ProblemFound
from ledger.units import counted

if TYPE_CHECKING:
    from ledger.readings.periods.evidence_files import EvidenceFiles
    from ledger.readings.periods.left_out import OverBorder
    from ledger.reductions.recompute import Verification
    from ledger.reductions.records import Factor

DIFFERENCES_SHOWN = 20

ManifestFile = Annotated[
    Path, typer.Argument(metavar="MANIFEST", help="The manifest, manifest.json.")
]
ReadingsFile = Annotated[
    Path, typer.Argument(metavar="READINGS", help="Its readings, CSV, plain or gzipped.")
]
Folder = Annotated[
    Path, typer.Option("-o", "--output", metavar="DIR", help="Folder to write the files into.")
]


def register(root: typer.Typer) -> None:
    """Add the group, which is a command by itself too."""
    group = command_group("Compute, export, verify and correct reductions.", alone=reductions)
    command(group, "export")(export)
    command(group, "verify")(verify)
    corrections.register(group)
    root.add_typer(group, name="reductions")


def reductions(run: Invocation, project: Project, start: From, end: To) -> None:
    """Compute the reductions of a period; write nothing."""
    from ledger.readings.periods.evidence_files import reductions_known
    from ledger.readings.periods.left_out import late_readings, over_borders
    from ledger.reductions.reporting import report

    with run.books() as db, db.read() as session:
        computed = reductions_known(session, project, start.date(), end.date())
        found = []
        for item, issuance in computed:
            shown = report(item) | {"factor": _factor(item.inputs.factor)}
            if issuance is not None:
                shown["issuance_key"] = issuance.key
            late = late_readings(session, item.inputs)
            if late:
                shown["readings"]["late"] = late
            over = over_borders(session, item.inputs)
            if over:
                shown["over_borders"] = [_over(one, item.inputs.zone) for one in over]
            found.append(shown)
    # A period over New Year makes two issuances, and so two answers.
    document = found[0] if len(found) == 1 else {"project": project, "vintages": found}
    parts: list[str | Table] = []
    for shown in found:
        parts += [_by(shown["factor"]), _shown(shown), *_lost(shown), *_issued(shown)]
    run.output.result(document, *parts)


def _factor(factor: Factor) -> dict[str, str]:
    return {name: getattr(factor, name) for name in ("code", "version", "value", "unit")}


def _by(factor: dict[str, str]) -> str:
    return (
        f"by the factor {factor['code']} {factor['version']}, {factor['value']} {factor['unit']}:"
    )


def _over(found: OverBorder, time_zone: str) -> dict[str, str]:
    from ledger.reductions.reporting import shown
    from ledger.reductions.zones import utc_of, zone

    start, end = (
        utc_of(at_s).astimezone(zone(time_zone)).isoformat()
        for at_s in (found.start_s, found.end_s)
    )
    return {"device": found.device, "from": start, "to": end, "kwh": shown(found.kwh)}


def _lost(item: dict[str, Any]) -> list[str]:
    """Return a line for each difference of a register that counts in no period."""
    return [
        f"device {over['device']}: {over['kwh']} kWh from {over['from']} to {over['to']} lie over a border of the "
        "period and count in none; have the register read at the midnight between"
        for over in item.get("over_borders", ())
    ]


def _issued(item: dict[str, Any]) -> list[str]:
    """Return a line for what is issued, or about to be: by what it was computed."""
    if "issuance_key" not in item:
        return []
    return [
        "this is what the period was issued with, whatever the site file says today; truetonne credits show "
        f"{item['issuance_key']} shows what became of it"
    ]


def export(
    run: Invocation,
    folder: Folder,
    project: Annotated[str | None, typer.Option("--project", help="Code of the project.")] = None,
    start: OptionalFrom = None,
    end: OptionalTo = None,
    credit: Annotated[
        str | None,
        typer.Option("--credit", metavar="ID", help="The batch whose issuance it shall be."),
    ] = None,
) -> None:
    """Write manifest and readings of a period or of a batch, for `reductions verify`."""
    from ledger.readings.periods.evidence_files import files_of_credit, files_of_period

    asked = (project, start, end)
    if (credit is None) == (asked == (None, None, None)) or (credit is None and None in asked):
        raise BadInput("name either --credit, or --project with --from and --to", code="usage")
    with run.books() as db, db.read() as session:
        if credit is not None:
            files = [files_of_credit(session, credit)]
        else:
            assert project is not None and start is not None and end is not None
            files = files_of_period(session, project, start.date(), end.date())
    # A period over New Year makes two issuances, and so two folders.
    places = [folder] if len(files) == 1 else [folder / str(item.vintage) for item in files]
    for item, place in zip(files, places, strict=True):
        write_evidence(item, place)
    rows = [_exported(item, place) for item, place in zip(files, places, strict=True)]
    run.output.result(
        {"files": rows},
        *(
            f"{row['manifest']} and {row['readings']}: {row['leaves']} readings, {row['issued_kg']} kg"
            f"{'' if row['issued'] else ' (not issued)'}\n  manifest hash {row['manifest_hash']}\n"
            f"  evidence root {row['evidence_root']}"
            for row in rows
        ),
    )


def write_evidence(files: EvidenceFiles, folder: Path) -> None:
    """Write the files of a period into a folder. Those that stood there stay until all of the new ones are whole.

    Raises
    ------
    BadInput
        If the folder cannot be made, or a file in it not be written.
    """
    ready_folder(folder, dry_run=False)
    with ExitStack() as written:
        for name, content in files.contents.items():
            written.enter_context(written_aside(folder / name)).write_bytes(content)


def verify(
    run: Invocation,
    manifest: ManifestFile,
    readings: ReadingsFile,
    manifest_hash: Annotated[
        str | None,
        typer.Option(
            "--manifest-hash", metavar="0x..", help="The claim's manifestHash, as on chain."
        ),
    ] = None,
    root: Annotated[
        str | None,
        typer.Option("--root", metavar="0x..", help="The claim's evidenceRoot, as on chain."),
    ] = None,
    issued: Annotated[
        str | None,
        typer.Option("--issued", metavar="KG", help="The kilograms that were issued, as on chain."),
    ] = None,
) -> int:
    """Compute a manifest again from its readings, from the two files alone, and say what differs."""
    from ledger.reductions.recompute import NOT_PROVEN, Trusted, verify_files

    trusted = Trusted(
        _hash("--manifest-hash", manifest_hash), _hash("--root", root), _kilograms(issued)
    )
    result = verify_files(manifest, readings, trusted)
    run.output.result(
        result.as_json(),
        *said_of(result),
        f"manifest hash {result.manifest_hash}",
        f"evidence root {result.evidence_root or 'none'}",
        f"issued kg {result.issued_kg or 'none'}",
        "It does not prove:",
        *(f"  - {text}" for text in NOT_PROVEN),
    )
    return 0 if result.valid else ProblemFound.exit_code


def said_of(result: Verification) -> list[str]:
    """Return what a recomputation found, as lines for a person."""
    checks = [f"{'ok    ' if check.ok else 'NOT OK'}  {check.name}" for check in result.checks]
    lines = [
        f"  {printable(f'{item.path}: stated {item.manifest}, recomputed {item.recomputed}')}"
        for item in result.differences[:DIFFERENCES_SHOWN]
    ]
    more = len(result.differences) - len(lines)
    if more > 0:
        lines.append(f"  and {counted(more, 'more difference')}; `--json` names them")
    lines += [f"  note: {printable(hint)}" for hint in result.hints]
    verdict = (
        "valid: both files give what the manifest says"
        if result.valid
        else f"NOT VALID: {counted(len(result.differences), 'difference')}"
    )
    return [*checks, *lines, verdict]


def _exported(item: EvidenceFiles, place: Path) -> dict[str, Any]:
    from ledger.readings.periods.evidence_files import MANIFEST, READINGS

    return {
        "project": item.project,
        "vintage": item.vintage,
        "period": {"from": item.from_date.isoformat(), "to": item.to_date.isoformat()},
        "issued": item.issued,
        "manifest": str(place / MANIFEST),
        "readings": str(place / READINGS),
        "manifest_hash": item.manifest_hash,
        "evidence_root": item.evidence_root,
        "issued_kg": str(item.issued_kg),
        "leaves": item.leaves,
    }


def _hash(option: str, text: str | None) -> str | None:
    if text is None:
        return None
    digits = text.lower().removeprefix("0x")
    if len(digits) != 64 or not set(digits) <= set("0123456789abcdef"):
        raise BadInput(
            f"{option}: {text[:80]!r} is no hash: 0x and 64 hexadecimal digits", code="usage"
        )
    return "0x" + digits


def _kilograms(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 30:
        raise BadInput(f"--issued: {text[:40]!r} is no whole number of kilograms", code="usage")
    return int(text)


def _shown(item: dict[str, Any]) -> Table:
    period, counts = item["period"], item["readings"]
    rows: list[tuple[str, Any]] = []
    for name, value in item.items():
        if name.endswith(("_kwh", "_t")):
            rows.append((name.replace("_", " "), value))
        if name == "certified_kwh":
            rows += [
                (f"- {of['instrument']} {of['reference']}, {of['device']}", of[name])
                for of in item["energy_certificates"]
            ]
    rows += [(f"readings {name}", count) for name, count in counts.items()]
    rows += [
        (name.replace("_", " "), item[name])
        for name in ("reductions_kg", "carry_in_kg", "corrections_kg", "issued_kg", "carry_out_kg")
        if name in item
    ]
    for block in ("self_consumption", "load", "storage", "fuel"):  # shown, and added to nothing
        shown = item.get(block, {})
        words = block.replace("_", " ")
        rows += [(f"{words}: {name.replace('_', ' ')}", shown[name]) for name in shown]
    rows += [("leaves", item["leaves"]), ("evidence root", item["evidence_root"])]
    return Table(
        ("what", "value"),
        rows,
        title=f"{item['project']}, vintage {item['vintage']}: {period['from']} to {period['to']}",
        right=frozenset({"value"}),
    )
