"""The example files of docs/park.md, and books in which they stand."""

import re
from pathlib import Path

from ledger.db import Database
from ledger.park import KINDS, ImportReport, import_records, kind_named, read_file

PAGE = Path(__file__).resolve().parents[2] / "docs" / "park.md"


def sections() -> dict[str, str]:
    """Return what the page says of each kind."""
    kinds = PAGE.read_text(encoding="utf-8").partition("\n## Kinds\n")[2].partition("\n## ")[0]
    parts = re.split(r"^### (\S+)$", kinds, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def examples() -> dict[str, tuple[str, str]]:
    """Return the example of each kind: the ending of its file's name, and its text."""
    found = {}
    for name, text in sections().items():
        block = re.search(r"^```(csv|json)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        assert block is not None, name
        found[name] = block[1], block[2]
    return found


def take(db: Database, folder: Path, kind: str, text: str, ending: str = "csv") -> ImportReport:
    """Import a text as a file of records."""
    file = folder / f"records.{ending}"
    file.write_text(text, encoding="utf-8")
    read = read_file(kind_named(kind), file)
    return db.run(lambda session: import_records(session, kind_named(kind), read))


def fill(db: Database, folder: Path, *kinds: str) -> dict[str, ImportReport]:
    """Import the examples of these kinds, or of all, in the order of the page."""
    return {
        name: take(db, folder, name, text, ending)
        for name, (ending, text) in examples().items()
        if name in (kinds or KINDS)
    }


def counts(report: ImportReport) -> tuple[int, int, int, int, int]:
    """Return read, new, changed, unchanged, rejected."""
    return report.read, report.new, report.changed, report.unchanged, report.rejected


def wrong(report: ImportReport) -> list[tuple[int, str, str]]:
    """Return the errors of a report."""
    return [(error.line, error.column, error.message) for error in report.errors]
