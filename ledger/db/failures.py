"""What goes wrong with a database, as errors of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ledger.db import diagnoses
from ledger.db.presence import Presence
from ledger.errors import DependencyDown


class DatabaseBusy(DependencyDown):
    """Another writer was in the way for too long; the same work may succeed when tried again."""

    default_code = "database-busy"
    waited = False
    """Whether the wait for a lock was over: who holds it that long will not be done in a moment."""


class SchemaMissing(DependencyDown):
    """The database answers, but a table or a column is not there."""

    default_code = "schema-missing"


@dataclass
class Stage:
    """How far a unit of work is: once it is ``committing``, a lost connection leaves open what became of it."""

    committing: bool = False
    writes: bool = False
    """Whether it may write."""


@contextmanager
def translated(place: str, presence: Presence, setting: str) -> Iterator[Stage]:
    """Turn the driver's complaints about the server into errors of ours, with a way out.

    Parameters
    ----------
    place
        Where the database is, for people.
    presence
        Told whether it answers.
    setting
        The setting that names the database, as people set it.

    Returns
    -------
    Iterator
        Of what the block is to tell when it begins to commit.
    """
    stage = Stage()
    try:
        yield stage
    except diagnoses.DRIVER_ERRORS as error:
        kind, advice = diagnoses.diagnose(error, setting, writes=stage.writes)
        original = diagnoses.original_of(error)
        said = " ".join(str(argument) for argument in getattr(original, "args", ()))
        if diagnoses.is_by_values(error):
            raise DependencyDown(
                f"database {place}: {said}: a program that is none of ours wrote it; find the row with SQL, and "
                "correct or delete it; of the mirror's tables, `truetonne index verify` names it and "
                "`truetonne index reindex` mends it",
                code="unreadable-value",
                details={"database": place},
            ) from error
        if not kind:
            raise
        if diagnoses.is_gone(error):
            presence.is_gone(said)
            if stage.committing and diagnoses.LOOK not in advice:
                advice = f"{advice}; {diagnoses.LOOK}"
        message = f"database {place}: {said}; {advice}"
        details = {"database": place}
        if kind == diagnoses.BUSY:
            busy = DatabaseBusy(message, details=details)
            busy.waited = diagnoses.is_wait(error)
            raise busy from error
        if kind == diagnoses.NO_TABLE:
            raise SchemaMissing(message, details=details) from error
        raise DependencyDown(message, code="database-down", details=details) from error
    else:
        presence.answers()
