"""How backups stand, for people: where they are, how old the last good one and the last drill are. Reads only."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ledger.backup.drill import last_report
from ledger.backup.manifest import Kind, Manifest
from ledger.backup.planning import of_source
from ledger.backup.store import Store, backup_keys, item_names
from ledger.backup.taking import COPIES, source_of
from ledger.db import Database
from ledger.errors import BadInput, TruetonneError
from ledger.sealing import passing_sealer
from ledger.settings import Settings

AGE_MAX = timedelta(hours=26)
"""A daily backup that is older was missed."""
AHEAD_MAX = timedelta(minutes=5)
"""A backup that is of a later moment than the clock shows was made by another clock, or this one was set back."""
DRILL_AGE_MAX = timedelta(days=35)

_NONE_YET = "there is no backup yet; run `truetonne db backup full`"


@dataclass(frozen=True)
class Standing:
    """How the backups of a database stand."""

    folder: Path
    copy: Manifest | None
    """The last good one."""
    reaches: datetime | None
    """The last moment that can be brought back."""
    drill: dict[str, Any] | None
    """What the last drill came to."""
    alarms: tuple[str, ...]


def store_of(settings: Settings, folder: Path | None = None, *, make_key: bool = False) -> Store:
    """Return the backup folder of the settings, or another one.

    Parameters
    ----------
    make_key
        Make the key file for the first backup; beside others it is missing, and another key would open none of them.

    Raises
    ------
    BadInput
        If none is named, or the key file cannot be used.
    """
    place = _folder_of(settings, folder)
    is_empty = not (place.is_dir() and item_names(place))
    if is_empty and not make_key and not settings.backup_key_file.exists():
        return Store(place, passing_sealer())  # nothing is sealed yet: no key is missing
    return Store(place, backup_keys(settings.backup_key_file, make=make_key and is_empty))


def rehearse(settings: Settings, folder: Path | None = None) -> Path:
    """Look at the folder and the key of a backup, make neither, and return the folder.

    Raises
    ------
    BadInput
        If a backup could not be taken into it, or the key file cannot be used.
    """
    place = _folder_of(settings, folder)
    # The first backup makes the key file.
    if item_names(place) or settings.backup_key_file.exists():
        backup_keys(settings.backup_key_file)
    there = next(path for path in (place, *place.absolute().parents) if path.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        raise BadInput(
            f"backup folder {place}: {there} cannot be written; name a folder of yours",
            code="backup-folder",
        )
    return place


def _folder_of(settings: Settings, folder: Path | None) -> Path:
    place = folder or settings.backup_folder
    if place is None and settings.backup_url.startswith("sqlite"):
        # A server's copies may be too large for a folder that nobody named.
        return settings.home / "backups"
    if place is None:
        raise BadInput(
            "no backup folder is named; set TRUETONNE_BACKUP_FOLDER, or name one on the command line",
            code="no-backup-folder",
        )
    return place


def standing(settings: Settings, now: datetime) -> Standing | None:
    """Return how the backups of the settings' database stand; None where no folder is set."""
    if settings.backup_folder is None:
        return None
    try:
        if not item_names(settings.backup_folder) and not settings.backup_key_file.exists():
            # The key file is made with the first one: nothing is lost yet.
            return Standing(settings.backup_folder, None, None, None, (_NONE_YET,))
        store = store_of(settings)
        sound, damaged = store.sound()
        source = _source(settings)
    except TruetonneError as error:
        return Standing(settings.backup_folder, None, None, None, (error.message,))
    copies = of_source(sound, source, *COPIES)
    copy = copies[-1] if copies else None
    kept = of_source(sound, source, *COPIES, Kind.BINLOG)
    report = last_report(store.folder)
    alarms = [error.message for error in damaged]
    if copy is None:
        alarms.append(_NONE_YET)
    elif copy.at - now > AHEAD_MAX:
        alarms.append(
            f"the last good backup is of {copy.at:%Y-%m-%d %H:%M:%S} UTC, and it is {now:%Y-%m-%d %H:%M:%S} UTC here: "
            "the clock was ahead then, or is behind now; set it right, and run `truetonne db backup full`"
        )
    elif now - copy.at > AGE_MAX:
        alarms.append(
            f"the last good backup is of {copy.at:%Y-%m-%d %H:%M} UTC, {_hours(now - copy.at)} ago; see `truetonne "
            "jobs list`, and run `truetonne db backup full`"
        )
    if report is None:
        alarms.append(
            "no drill has shown yet that the backups can be restored; run `truetonne db drill`"
        )
    elif not report["ok"]:
        alarms.append(_of_drill(report))
    elif datetime.fromisoformat(report["begun_at"]) - now > AHEAD_MAX:
        alarms.append(
            f"the last drill was on {report['begun_at'][:10]} by a clock that was ahead, or the one here is behind; "
            "run `truetonne db drill`"
        )
    elif now - datetime.fromisoformat(report["begun_at"]) > DRILL_AGE_MAX:
        alarms.append(f"the last drill was on {report['begun_at'][:10]}; run `truetonne db drill`")
    return Standing(store.folder, copy, kept[-1].at if kept else None, report, tuple(alarms))


def _of_drill(report: dict[str, Any]) -> str:
    """Return the alarm of a drill that failed: which check, and the first thing that it said."""
    try:
        failed = next(check for check in report["checks"] if not check["ok"])
        reason = f"{failed['name']}: {failed['differences'][0]}"
    except (StopIteration, LookupError, TypeError):
        reason = "its report does not say why"
    return f"the drill of {report['begun_at'][:16]} failed ({reason}); run `truetonne db drill`"


def said(found: Standing, now: datetime) -> str:
    """Return it in a line."""
    if found.copy is None or found.reaches is None:
        return f"{found.folder}: none"
    drilled = "never" if found.drill is None else f"{found.drill['begun_at'][:16]} UTC"
    return (
        f"{found.folder}: last copy {_hours(now - found.copy.at)} ago ({found.copy.kind.value}), reaches to "
        f"{found.reaches:%Y-%m-%d %H:%M:%S} UTC; last drill {drilled}"
    )


def _source(settings: Settings) -> str:
    with closing(Database(settings.backup_url)) as database:
        return source_of(database)


def _hours(age: timedelta) -> str:
    minutes = max(int(age.total_seconds()) // 60, 0)
    return f"{minutes // 60} h {minutes % 60} min"
