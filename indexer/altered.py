"""Rows of the mirror that somebody altered, and triggers that refuse what it writes: what is said of either."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    MultipleResultsFound,
    NoResultFound,
)

from ledger.db.diagnoses import is_by_trigger
from ledger.errors import BooksDiffer, DependencyDown, MirrorStopped
from ledger.models.types import ValueRefused

REINDEX = "run `truetonne index reindex` (with --dry-run it only says what would change)"
"""What mends rows of the mirror that somebody altered."""
OURS_OTHERWISE = "where that ends so as well, it is a defect of this program"
"""Said behind what mends: that rows do not fit may also come of what wrote them."""
MISSED = "it has missed an event, or somebody altered its rows: `truetonne index verify` tells"
"""Why an event may not fit the rows of the mirror; with proven receipts it has missed none."""
OF_ALTERED_ROWS = (
    *(MirrorStopped, ValueRefused, DataError, IntegrityError, NoResultFound, MultipleResultsFound),
    *(LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RecursionError),
)
"""What comes of rows that lack, contradict or do not read: a mirror's own can always be taken back."""


@contextmanager
def trigger_told() -> Iterator[None]:
    """Say that a trigger which somebody made refuses what is written, in place of the database's error.

    Raises
    ------
    DependencyDown
        If one does: the rows are as they were, and nothing mends it but the trigger's end.
    """
    try:
        yield
    except DBAPIError as error:
        if not is_by_trigger(error):
            raise
        said = error.orig.args[-1] if error.orig is not None else error
        raise DependencyDown(
            f"a trigger of the database refuses what the mirror writes ({said}): it is none of ours; drop it, or "
            "have it let the mirror's tables be",
            code="refused-by-trigger",
        ) from error


@contextmanager
def altered_rows_told(what: str, advice: str) -> Iterator[None]:
    """Say what most likely was the matter with rows that cannot be taken back, in place of whatever error came of them.

    Raises
    ------
    BooksDiffer
        In place of any error that rows of a mirror, as it writes them, do not cause.
    """
    try:
        yield
    except OF_ALTERED_ROWS as error:
        if isinstance(error, DBAPIError) and is_by_trigger(error):
            raise  # whatever the rows are
        of_database = getattr(error, "orig", None)  # without the statement and all its values
        said = str(of_database or error).removesuffix(f"; {MISSED}")
        raise BooksDiffer(
            f"{what} ({type(error).__name__}: {said}): somebody altered its rows; {advice}; {OURS_OTHERWISE}"
        ) from error
