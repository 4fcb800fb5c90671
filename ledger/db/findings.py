"""What a MariaDB server says of itself, and what a rule finds in it: see ``ledger.db.server``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy.orm import Session

from ledger.db.tls import Tls

FREE_BYTES_MIN = 1024**3


class State(StrEnum):
    """What a rule found."""

    GOOD = "good"
    UNKNOWN = "unknown"
    """It cannot be seen from here; ``mend`` says how it could."""
    BAD = "bad"


@dataclass(frozen=True)
class Finding:
    """What one rule found, in a line, and the statement that mends it."""

    name: str
    state: State
    found: str
    mend: str = ""


@dataclass(frozen=True)
class Server:
    """What a server says of itself."""

    session: Session
    tls: Tls
    variables: Mapping[str, str]
    """Of the session."""
    globals: Mapping[str, str]
    database: str
    free_bytes_min: int = FREE_BYTES_MIN

    @property
    def is_mariadb(self) -> bool:
        """Whether it is MariaDB; else it is MySQL."""
        return "mariadb" in self.globals["version"].lower()

    def on(self, name: str) -> bool:
        """Return whether a variable of the whole server is on."""
        return self.globals.get(name, "OFF").upper() in ("ON", "1", "YES")

    def cipher(self) -> str:
        """Return how this session is encrypted; empty when it is not."""
        status = self.session.connection().exec_driver_sql("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
        return str(status.one()[1])
