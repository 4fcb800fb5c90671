"""How a MariaDB server follows another one, as it says itself; and what is left of the one that it follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from ledger.db.database import SETTING, Database
from ledger.db.gtid import Gtid, gtids
from ledger.errors import DependencyDown, Refused

_PATIENCE_S = 30
"""How long the old primary is waited for: longer than a connection takes to be given up (10 s)."""
_LOCK_TIMEOUT_S = 10


@dataclass(frozen=True)
class Following:
    """What a replica says of itself."""

    name: str
    """Of its connection to the primary; mostly empty."""
    primary: str
    """``HOST:PORT`` of the server that it follows."""
    primary_id: int
    """``server_id`` of that; 0: it was never connected since the replica was started."""
    io: str
    """``Yes``: connected; ``Connecting``: it has lost the primary, and looks for it; ``No``: stopped."""
    io_error: str
    applying: bool
    """Whether the SQL thread runs."""
    sql_error: str
    by_gtid: bool
    received: str
    """GTID position up to which whole transactions are in the relay log, or were."""
    applied: str
    """GTID position that is in the tables."""
    written_at: datetime | None
    """When the last transaction received was written, by the clock of its server."""
    relay_file: str
    relay_place: int
    """Where in the relay log the SQL thread goes on."""

    @property
    def received_position(self) -> dict[int, Gtid]:
        """What is here: received, or applied."""
        found = gtids(self.applied)
        for domain, gtid in gtids(self.received).items():
            if domain not in found or found[domain].number < gtid.number:
                found[domain] = gtid
        return found

    @property
    def receiving(self) -> bool:
        """Whether the IO thread runs: it is connected, or tries to be."""
        return self.io != "No"


def following(link: Connection) -> Following | None:
    """Return how a server follows another one; None when it follows nobody.

    Raises
    ------
    Refused
        It follows several.
    """
    rows = link.exec_driver_sql("SHOW ALL SLAVES STATUS").mappings().all()
    if len(rows) > 1:
        raise Refused(
            f"it follows {len(rows)} servers at once; a pair is one primary and its replica",
            code="follows-several",
        )
    applied = str(link.exec_driver_sql("SELECT @@GLOBAL.gtid_slave_pos").scalar_one() or "")
    return _read(dict(rows[0]), applied) if rows else None


def _read(row: Mapping[str, Any], applied: str) -> Following:
    def said(number: str, text: str) -> str:
        return f"{row[number]}: {row[text]}" if row[number] else ""

    return Following(
        name=str(row["Connection_name"]),
        primary=f"{row['Master_Host']}:{row['Master_Port']}",
        primary_id=int(row["Master_Server_Id"] or 0),
        io=str(row["Slave_IO_Running"]),
        io_error=said("Last_IO_Errno", "Last_IO_Error"),
        applying=row["Slave_SQL_Running"] == "Yes",
        sql_error=said("Last_SQL_Errno", "Last_SQL_Error"),
        by_gtid=row["Using_Gtid"] != "No",
        received=str(row["Gtid_IO_Pos"] or ""),
        applied=applied,
        written_at=row.get("Master_last_event_time"),  # since MariaDB 11.6
        relay_file=str(row["Relay_Log_File"]),
        relay_place=int(row["Relay_Log_Pos"] or 0),
    )


@dataclass(frozen=True)
class Primary:
    """What is left of the server that is to be replaced."""

    place: str
    answers: bool
    """Whether a server answers there, if only by a refusal."""
    ended: bool = False
    """Whether its machine says that nothing listens there."""
    why: str = ""
    """Why nothing more is known of it."""
    writable: bool = True
    position: str = ""
    """Its GTID position."""
    server_id: int = 0


def look_at(primary: Database) -> Primary:
    """Return what a server says, or that it does not answer; raises nothing for that."""
    place = place_of(primary)
    try:
        with primary.server() as link:
            row = link.exec_driver_sql(
                "SELECT @@GLOBAL.read_only, @@GLOBAL.gtid_binlog_pos, @@GLOBAL.server_id"
            ).one()
    except DependencyDown as error:
        number, refused = _origin(error)
        # Numbers under 2000 are the server's own: it is there, and does not let us in.
        return Primary(place, answers=0 < number < 2000, ended=refused, why=error.message)
    return Primary(
        place,
        answers=True,
        writable=str(row[0]).upper() in ("0", "OFF"),
        position=str(row[1] or ""),
        server_id=int(row[2]),
    )


def server_at(url: str, setting: str = SETTING) -> Database:
    """Return a server for what concerns it as a whole; it need not answer."""
    return Database(url, lock_timeout_s=_LOCK_TIMEOUT_S, patience_s=_PATIENCE_S, setting=setting)


def place_of(database: Database) -> str:
    """Return ``HOST:PORT`` of a server."""
    return f"{database.url.host or 'localhost'}:{database.url.port or 3306}"


def _origin(error: DependencyDown) -> tuple[int, bool]:
    """Return the driver's number of an error, and whether nothing listened at the address."""
    cause = error.__cause__
    original = cause.orig if isinstance(cause, DBAPIError) else cause
    number = getattr(original, "args", (0,))[0]
    refused = isinstance(getattr(original, "original_exception", None), ConnectionRefusedError)
    return (number if isinstance(number, int) else 0), refused
