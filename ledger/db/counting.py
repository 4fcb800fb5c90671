"""How many rows a statement found."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import CursorResult, Executable
from sqlalchemy.orm import Session


def rows_found(session: Session, statement: Executable) -> int:
    """Execute an UPDATE or DELETE; return how many rows it found, changed or not, as ``database`` tells."""
    return cast("CursorResult[Any]", session.execute(statement)).rowcount
