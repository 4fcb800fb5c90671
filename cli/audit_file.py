"""A file of ``truetonne audit export``, read again to be checked: no database is needed."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from ledger.audit_chain import Checked, Head, Linked, check_entries, without_place
from ledger.errors import NO_DOCUMENT, BadInput, in_words
from ledger.jsontext import once

_ENTRY = (
    "id",
    "user_id",
    "action",
    "resource",
    "old_values",
    "new_values",
    "ip_address",
    "created_at",
)
"""What the hash of an entry is of."""
_BESIDE = ("username", "position", "previous_hash", "entry_hash")


def check_file(file: Path, known: Head | None, *, whole: bool) -> Checked:
    """Compare the entries of a file of lines of JSON with the places that they say they have.

    Parameters
    ----------
    known
        An end of the chain that was kept elsewhere.
    whole
        Whether the file must have every place.

    Raises
    ------
    BadInput
        If the file cannot be read, or a line is no entry with its place.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise BadInput(f"{file}: cannot be read ({why}); name a file of `audit export`") from error
    found: list[Linked] = []
    loose: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            entry = _entry(file, number, line)
            if isinstance(entry, Linked):
                found.append(entry)
            else:
                loose.append(without_place(entry))
    # By their numbers they stand as they were begun, by their places as they were committed.
    found.sort(key=lambda item: item.position)
    checked = check_entries(found, known, whole=whole)
    return Checked(checked.head, (*checked.problems, *loose))


def _entry(file: Path, number: int, line: str) -> Linked | int:
    """Return the entry of a line, or its row number where it has no place."""
    try:
        document: dict[str, Any] = json.loads(line, object_pairs_hook=once)
        if more := document.keys() - {*_ENTRY, *_BESIDE}:
            raise ValueError(f"it has {min(more)!r}, of which no hash speaks")
        if document["position"] is None:
            return int(document["id"])
        entry = {name: document[name] for name in _ENTRY}
        entry["created_at"] = datetime.fromisoformat(entry["created_at"])
        if entry["created_at"].tzinfo is None:
            raise ValueError("created_at has no offset")
        place = Head.read(f"{document['position']}:{document['entry_hash']}")
        before = Head.read(f"0:{document['previous_hash']}").entry_hash
        return Linked(place.position, int(document["id"]), before, place.entry_hash, entry)
    except (BadInput, *NO_DOCUMENT) as error:
        raise BadInput(
            f"{file}, line {number}: is no entry of `audit export --format jsonl` with its place ({in_words(error)})"
        ) from error
