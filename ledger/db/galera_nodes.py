"""What the rules for a server find at the other nodes of its cluster, one of which takes over when it is lost.

The cluster says itself where its nodes are. They are asked with the account, the password and the proof of their name
that the URL of the writer has; one that cannot be asked so is named, with how to ask it.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from ledger.db import galera
from ledger.db.database import Database
from ledger.db.findings import Finding, State
from ledger.db.server import findings
from ledger.db.tls import read_tls
from ledger.errors import DependencyDown, TruetonneError

PATIENCE_S = 3
"""How long an answer of another node is waited for: from here, a wall may stand before it."""
_STATUS = (
    "SHOW GLOBAL STATUS WHERE variable_name IN ('wsrep_incoming_addresses', 'wsrep_local_index')"
)
_PORT = 3306


def findings_elsewhere(database: Database, session: Session) -> Iterator[Finding]:
    """Yield what is found at the other nodes: a line for each where nothing is wrong, else one for each thing that is.

    Parameters
    ----------
    session
        Of the database; where its server is of no cluster, nothing is yielded.
    """
    link = session.connection()
    if not link.info.get(galera.NODE):
        return
    rows = {str(name).lower(): str(value) for name, value in link.exec_driver_sql(_STATUS)}
    addresses = [part.strip() for part in rows.get("wsrep_incoming_addresses", "").split(",")]
    own = int(rows.get("wsrep_local_index", "-1"))
    for index, address in enumerate(addresses):
        if index != own:
            yield from _at(database, address)


def place_in(url: URL, address: str) -> URL:
    """Return a URL with the address that a node gives of itself: ``HOST``, ``HOST:PORT``, ``[IPv6]:PORT``."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        host, port = address, ""
    moved = url.set(host=host.strip("[]"), port=int(port or _PORT))
    return moved.difference_update_query(["unix_socket"])


def _at(database: Database, address: str) -> Iterator[Finding]:
    name = f"galera {address or 'node'}"
    if not address or address.upper() == "AUTO":
        said = "a node does not say at which address it is"
        mend = "write wsrep_node_incoming_address = HOST:PORT into its file"
        yield Finding(name, State.UNKNOWN, said, mend)
        return
    url = place_in(database.url, address).render_as_string(hide_password=False)
    try:
        node = Database(url, patience_s=PATIENCE_S, silent=True)
    except TruetonneError as error:
        yield _unasked(name, error)
        return
    try:
        with node.read() as session:
            there = session.connection().info.get(galera.NODE) or address
            found = list(findings(session, read_tls(node.url)))
    except DependencyDown as error:
        yield _unasked(name, error)
        return
    finally:
        node.close()
    wrong = [item for item in found if item.state is State.BAD]
    name = f"galera {there}"
    if not wrong:
        asked = sum(item.state is State.GOOD for item in found)
        yield Finding(name, State.GOOD, f"{address}: {asked} rules, nothing to mend")
    for item in wrong:
        mend = "SET GLOBAL read_only = 0" if item.name == "writable" else item.mend
        yield Finding(name, State.BAD, f"{item.name}: {item.found}", f"there: {mend}")


def _unasked(name: str, error: TruetonneError) -> Finding:
    """Return what is said of a node that could not be asked: it is no use, or not reached from here."""
    cause = error.__cause__
    original = cause.orig if isinstance(cause, DBAPIError) else cause
    if getattr(original, "args", (0,))[:1] == (galera.NOT_READY,):
        said = "it is not of the majority, or still gets its data: it cannot take over"
        return Finding(name, State.BAD, said, "see its log, and docs/ha.md")
    how = "run `truetonne doctor` where it is reached, with that node in TRUETONNE_DATABASE_URL"
    return Finding(name, State.UNKNOWN, f"not asked: {error.message}", how)
