"""Sealing anew what an older key has sealed, some rows at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.errors import BadInput
from ledger.sealing.sealer import Sealer, key_number


@dataclass(frozen=True)
class Lost:
    """A sealed value that no key at hand opens: it stays as it is, for its key may turn up."""

    table: str
    row: int
    name: str
    """What people call the row."""
    value: str
    """Which of its values."""
    key: int | None
    """Number of the key that it is sealed with; None: what stands there was never sealed."""
    why: str


@dataclass
class Resealed:
    """What sealing some rows of a table anew came to."""

    table: str
    last: int | None = None
    """Row number of the last row; None: there are no more."""
    sealed: int = 0
    """How many values were sealed."""
    lost: list[Lost] = field(default_factory=list)

    def anew(
        self, sealer: Sealer, sealed: str, context: str, of: tuple[int, str, str]
    ) -> str | None:
        """Return a sealed text as sealed with the newest key; None: no key opens it, which is noted.

        Parameters
        ----------
        of
            Number of the row, what people call it, and which of its values it is.
        """
        try:
            text = sealer.open(sealed, context)
        except BadInput as error:
            self.lost.append(Lost(self.table, *of, key_number(sealed), error.message))
            return None
        self.sealed += 1
        return sealer.seal(text, context)


def reseal_rows(
    session: Session,
    model: type[Any],
    after: int,
    limit: int,
    seal: Callable[[Resealed, Any], None],
) -> Resealed:
    """Seal what is not sealed with the newest key in some rows of a table, which are locked meanwhile.

    What no key opens keeps no other from being sealed.

    Parameters
    ----------
    after
        Row number behind which to go on.
    limit
        How many rows at most.
    seal
        Does it for a row, and notes there what it did.
    """
    done = Resealed(str(model.__tablename__))
    rows = session.scalars(
        select(model).where(model.id > after).order_by(model.id).limit(limit).with_for_update()
    ).all()
    for row in rows:
        seal(done, row)
    session.flush()
    done.last = rows[-1].id if rows else None
    return done
