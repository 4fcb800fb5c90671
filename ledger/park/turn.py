"""Whoever writes records of a park does it in turn, one unit of work at a time.

A key of several columns has no unique index in the customer's design, and shares must come to 1 at most whoever
writes them. So each writer first takes one row, and the next one waits for its commit. On SQLite a unit of work
has the database for itself anyway.
"""

from __future__ import annotations

from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Session

from ledger.models import ParkTurn

NAME = "park"


def take_turn(session: Session) -> None:
    """Wait until no other unit of work writes records of a park; its end gives the turn back.

    On MariaDB it should be the first statement: what is read after it is what the one before has written.
    """
    if session.connection().dialect.name == "sqlite":
        return
    made = mysql.insert(ParkTurn).values(name=NAME)
    session.execute(made.on_duplicate_key_update(name=made.inserted.name))
