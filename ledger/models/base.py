"""What every table has in common: names of constraints, options, and the usual first columns."""

from datetime import date, datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, Boolean, Date, Integer, MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from ledger.clock import utc_now
from ledger.models.types import BigInt, UtcDateTime

CUSTOMER = "customer's design"
COMPLETES = "completes the 41"
BEYOND = "beyond the 41"
ALL = "insert, update, delete"
"""What writers do to rows that do not stay."""
NO_WRITER = "none yet"
"""The writer of a table of the customer's that no room of the house fills yet."""


class Base(DeclarativeBase):
    """Base of all tables. Constraints are named, so that a migration can speak of them."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "ix": "idx_%(table_name)s_%(column_0_N_name)s",
        }
    )
    type_annotation_map: ClassVar = {
        int: Integer(),
        bool: Boolean(),
        datetime: UtcDateTime(),
        date: Date(),
    }


def options(
    comment: str,
    *,
    writer: str,
    origin: str,
    changes: str | None = None,
    api: str = "",
    note: str = "",
    **more: Any,
) -> dict[str, Any]:
    """Return the options of a table: the last item of its ``__table_args__``.

    Parameters
    ----------
    comment
        What a row is, in one sentence.
    writer
        The only module that writes the table.
    origin
        ``CUSTOMER``, ``COMPLETES`` or ``BEYOND``.
    changes
        What the writer does to rows, of ``insert``, ``update`` and ``delete``: what the database's
        account for writing may do, see ``ledger.db.grants``. ``insert`` alone is an append-only table. Without
        it: ``insert, update``, and nothing where there is no writer.
    api
        What of it a request to the API does.
    note
        What whoever reads the table must know beyond the comments, which the database has, too: sentences.
    more
        Further options of the table, such as ``sqlite_autoincrement``.
    """
    if changes is None:
        changes = "" if writer == NO_WRITER else "insert, update"
    return {
        "comment": comment,
        "info": {
            "writer": writer,
            "origin": origin,
            "changes": _verbs(changes),
            "api": _verbs(api),
            "note": note,
        },
        "mysql_engine": "InnoDB",
        "mysql_charset": "utf8mb4",
        # Codes and names compare byte by byte, as on SQLite.
        "mysql_collate": "utf8mb4_bin",
        **more,
    }


def _verbs(text: str) -> tuple[str, ...]:
    found = tuple(filter(None, text.split(", ")))
    assert set(found) <= {"insert", "update", "delete"}, text
    return found


def int_id() -> Mapped[int]:
    """Return an INT primary key that the database numbers."""
    return mapped_column(Integer, primary_key=True, comment="Row number.")


def big_id(comment: str = "Row number.") -> Mapped[int]:
    """Return a BIGINT primary key that the database numbers."""
    return mapped_column(BigInt, primary_key=True, comment=comment)


def big_key(comment: str) -> Mapped[int]:
    """Return a BIGINT (part of a) primary key whose number comes from elsewhere."""
    return mapped_column(BigInteger, primary_key=True, autoincrement=False, comment=comment)


def created_at(comment: str = "When the row was made, UTC.") -> Mapped[datetime]:
    """Return the time of creation."""
    return mapped_column(UtcDateTime(), default=utc_now, comment=comment)


def updated_at(*, deferred: bool = False) -> Mapped[datetime]:
    """Return the time of the last change, kept by the mapper.

    Parameters
    ----------
    deferred
        Whether it is read by those alone who ask for it.
    """
    said = "When the row last changed, UTC."
    return mapped_column(
        UtcDateTime(), default=utc_now, onupdate=utc_now, comment=said, deferred=deferred
    )
