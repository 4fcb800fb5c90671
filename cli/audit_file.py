"""A file of ``truetonne audit export``, read again to be checked: no database is needed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from ledger.audit_chain import Linked
from ledger.errors import BadInput

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


def read_entries(file: Path) -> Iterator[Linked]:
    """Return the entries of a file of lines of JSON, by their places.

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
    found = [
        _entry(file, number, line)
        for number, line in enumerate(text.split("\n"), start=1)
        if line.strip()
    ]
    # By their numbers they stand as they were begun, by their places as they were committed.
    yield from sorted(found, key=lambda item: item.position)


def _entry(file: Path, number: int, line: str) -> Linked:
    try:
        document: dict[str, Any] = json.loads(line)
        entry = {name: document[name] for name in _ENTRY}
        entry["created_at"] = datetime.fromisoformat(entry["created_at"])
        if entry["created_at"].tzinfo is None:
            raise ValueError("created_at has no offset")
        return Linked(
            int(document["position"]),
            int(document["id"]),
            str(document["previous_hash"]),
            str(document["entry_hash"]),
            entry,
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadInput(
            f"{file}, line {number}: is no entry of `audit export --format jsonl` with its place ({error!r})"
        ) from error
