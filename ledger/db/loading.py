"""A connection to MariaDB over which rows can be loaded, and that opens no file for its server.

``LOAD DATA LOCAL INFILE`` is the fastest way into MariaDB, and a danger: the server answers any statement
that it likes with the name of a file, and the usual client sends that file. This one never opens any. It
answers one request, for the random name that a statement of ours has just said, with bytes that are in
memory already; whatever else a server asks for, it gets nothing, and the connection is closed.

LOCAL also makes a server lenient, in strict mode too: it clamps, cuts and leaves out what does not fit, and
only warns. A load that brings a warning, or stores other than the rows it was given, raises what an
INSERT would have raised. What it stored until then is for the caller to roll back.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pymysql import err
from pymysql.connections import Connection, MySQLResult
from pymysql.constants import CLIENT, CR, ER

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

    _Connection = Connection[Cursor]
else:
    _Connection = Connection

FILE_REFUSED = 2068
"""The client refused the server a file: the number that MySQL's own client library gives it."""
NOT_ALLOWED = frozenset({1148, 3948, 4166})
"""The server does not allow LOCAL INFILE, in the words of MariaDB's and MySQL's versions."""
_PACKET_BYTES = 1 << 16
_SHOWN = 80


@dataclass
class _Offer:
    """Bytes that the server may ask for once, by this name."""

    name: bytes
    content: bytes
    rows: int
    loaded: bool = False


class LoadingConnection(_Connection):
    """A connection of PyMySQL's with all its settings, see the module.

    The driver's own ``local_infile`` stays off: where it still read a file, it would refuse. Only the
    capability is announced, without which a server refuses the statement.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._offer: _Offer | None = None
        self._turned_away = False
        options["local_infile"] = False
        options["client_flag"] = options.get("client_flag", 0) | CLIENT.LOCAL_FILES
        super().__init__(*arguments, **options)

    def connect(self, sock: Any = None) -> None:
        """Connect, as the driver does; a server that takes the connection and says nothing is not waited for."""
        patience_s: float | None = self._read_timeout  # type: ignore[has-type]
        self._read_timeout = patience_s or self.connect_timeout
        try:
            super().connect(sock)
        finally:
            self._read_timeout = patience_s

    @property
    def can_load(self) -> bool:
        """Whether the server takes LOCAL INFILE, as far as it has said."""
        said: int = self.server_capabilities  # type: ignore[attr-defined]
        return not self._turned_away and bool(said & CLIENT.LOCAL_FILES)

    def turned_away(self) -> None:
        """Remember that the server has refused a load, for as long as this connection lasts."""
        self._turned_away = True

    @contextmanager
    def offering(self, content: bytes, rows: int) -> Iterator[str]:
        """Let the next statement load these bytes; gives the name by which it must call them.

        Parameters
        ----------
        content
            What the server gets.
        rows
            How many rows the statement stores; it raises when it stores fewer or more.
        """
        name = f"truetonne-{secrets.token_hex(16)}"
        self._offer = _Offer(name.encode("ascii"), content, rows)
        try:
            yield name
        finally:
            self._offer = None

    def query(self, sql: str | bytes, unbuffered: bool = False) -> int:
        """Execute a statement, as the driver does; raise when it is a load that was not exact."""
        offer = self._offer
        affected: int = super().query(sql, unbuffered)
        if offer is not None:
            self._offer = None
            self._require_exact(offer)
        return affected

    def taken(self, name: bytes) -> bytes | None:
        """Return the bytes offered under a name, the first time that they are asked for."""
        offer = self._offer
        if offer is None or offer.loaded or offer.name != name:
            return None
        offer.loaded = True
        return offer.content

    def write_packets(self, content: bytes) -> None:
        """Send bytes and the empty packet that ends them, all at once: each write lets other threads in."""
        packets = []
        for at in range(0, len(content) + _PACKET_BYTES, _PACKET_BYTES):
            piece = content[at : at + _PACKET_BYTES]
            number = int(self._next_seq_id)  # type: ignore[has-type]
            packets += [len(piece).to_bytes(3, "little"), bytes((number,)), piece]
            self._next_seq_id = (number + 1) % 256
        self._write_bytes(b"".join(packets))  # type: ignore[attr-defined]

    def _require_exact(self, offer: _Offer) -> None:
        result: Any = self._result
        stored, warnings = result.affected_rows, result.warning_count
        if not offer.loaded:
            stored = 0  # whatever it says: it never asked for them
        if warnings:
            super().query("SHOW WARNINGS LIMIT 1")
            shown: Any = self._result
            for _, number, message in shown.rows:
                raise err.error_map.get(int(number), err.DataError)(int(number), message)
        if warnings or stored != offer.rows:
            raise err.DataError(
                ER.WARN_DATA_TRUNCATED,
                f"of {offer.rows} rows {stored} were loaded, with {warnings} warnings",
            )

    def _read_query_result(self, unbuffered: bool = False) -> int:
        """As the driver's, with a result that reads no file."""
        self._result = None
        result: Any = _Result(self)
        if unbuffered:
            result.init_unbuffered_query()
        else:
            result.read()
        self._result = result
        if result.server_status is not None:
            self.server_status = result.server_status
        affected: int = result.affected_rows
        return affected


class _Result(MySQLResult):
    """The result of a statement, for a connection that opens no file."""

    def _read_load_local_packet(self, first_packet: Any) -> None:
        connection: Any = self.connection
        name = first_packet.get_all_data()[1:]
        content = connection.taken(name)
        if content is None:
            connection.write_packet(b"")  # an empty file
            connection._force_close()
            asked = ascii(name[:_SHOWN].decode("utf-8", "replace"))
            raise err.OperationalError(
                FILE_REFUSED,
                f"the server asked for the file {asked}, which no statement of ours names; "
                "it got nothing, and the connection was closed",
            )
        connection.write_packets(content)
        answer = connection._read_packet()
        if not answer.is_ok_packet():
            connection._force_close()
            raise err.OperationalError(CR.CR_COMMANDS_OUT_OF_SYNC, "Commands Out of Sync")
        self._read_ok_packet(answer)  # type: ignore[attr-defined]
