"""A connection to MariaDB that hands over the values of many rows beside one INSERT, and opens no file for its server.

MariaDB executes a prepared statement once for each row of an array (``COM_STMT_BULK_EXECUTE``). The values are binary:
the server parses no text, which is most of what a row costs it by ``INSERT ... VALUES`` or by ``LOAD DATA``. It is one
statement, strict as any other: all rows are stored or none is.

``LOAD DATA LOCAL`` is not announced. A server may still answer any statement with the name of a file, and the usual
client with ``local_infile`` sends it. This one gives nothing, and closes the connection.

Where no ``read_timeout`` is set, an answer is waited for as long as its statement runs (``ledger.db.silence``).
"""

from __future__ import annotations

import io
import ssl
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from pymysql import err
from pymysql.charset import charset_by_name
from pymysql.connections import MAX_PACKET_LEN, Connection, MySQLResult
from pymysql.constants import CLIENT, CR, ER, SERVER_STATUS

from ledger.db import silence
from ledger.db.cells import Array

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

    _Connection = Connection[Cursor]
else:
    _Connection = Connection

FILE_REFUSED = 2068
"""The client refused the server a file: the number that MySQL's own client library gives it."""
NOT_ALLOWED = frozenset({1295, 1461, 4033})
"""The server does not do it, prepares no more statements, or has a binary log of statements."""
_PREPARE, _CLOSE, _EXECUTE_ARRAY = 0x16, 0x19, 0xFA
_TYPES_FOLLOW = 128
_MORE_THAN_MYSQL = CLIENT.LONG_PASSWORD
"""A server, or a client, that leaves this flag out knows what MariaDB has beyond MySQL."""
_ARRAYS = 1 << 2
"""Of what it has beyond MySQL: statements executed for an array of rows."""
_BY_ITSELF = SERVER_STATUS.SERVER_STATUS_AUTOCOMMIT
_IN_TRANSACTION = SERVER_STATUS.SERVER_STATUS_IN_TRANS
_GREETING_ENDS = 32
_SHOWN = 80
_CHARACTER_BYTES_MAX = 4
_READ_BYTES = io.DEFAULT_BUFFER_SIZE
_FRAME_BYTES = 1_024
"""More than stands in a packet beside the content: a command, a statement's number, types of columns."""


class ArrayConnection(_Connection):
    """A connection of PyMySQL's with all its settings, see the module.

    Parameters
    ----------
    given_up
        Where connections are noted that were given up, and ended once their server answers.
    """

    def __init__(
        self, *arguments: Any, given_up: silence.GivenUp | None = None, **options: Any
    ) -> None:
        self._array: Array | None = None
        self._turned_away = False
        self._greets = False
        self._bytes_max = 0
        self._outgrown = False
        options["local_infile"] = False
        self._opened_with = arguments, options
        self._given_up = given_up or silence.GivenUp()
        self._known: silence.Known | None = None
        self._room = silence.Room()
        self._may_run = True
        self._patience_s: float | None = options.get("read_timeout")
        self._at_rest = False
        super().__init__(*arguments, **options)

    def _create_ssl_ctx(self, sslp: Any) -> ssl.SSLContext:
        """Return one context for all connections that say nothing of TLS: a server on this machine proves nothing.

        The driver makes one for each attempt, and reads the authorities of the system for it, which it then does not
        ask: 0.8 MB and 8 ms each. While a server is away, what failed waits in cycles for the next collection.

        Where files say whom to trust, what ``ledger.db.tls`` gives instead of a context returns that of today.
        """
        if callable(sslp):
            return cast("ssl.SSLContext", sslp())
        if sslp == {}:
            return _proving_nothing()
        made: ssl.SSLContext = super()._create_ssl_ctx(sslp)  # type: ignore[misc]
        return made

    def connect(self, sock: Any = None) -> None:
        """Connect, as the driver does; a server that takes the connection and says nothing is not waited for.

        Nor is one that has greeted and falls silent, until ``learn_limits`` has ended: what is asked up to there takes
        no time. The driver waits for a handshake of TLS as long as a packet of many megabytes may take to be sent.
        """
        sending_s: float | None = self._write_timeout  # type: ignore[has-type]
        self._read_timeout = self._write_timeout = self.connect_timeout
        try:
            super().connect(sock)
        except RuntimeError as error:  # a plugin of the server's whose package is not here
            raise err.OperationalError(CR.CR_AUTH_PLUGIN_CANNOT_LOAD, str(error)) from error
        finally:
            self._write_timeout = sending_s

    def _listen(self) -> None:
        wire: Any = self
        wire._rfile.close()  # which leaves the socket open
        wire._rfile = io.BufferedReader(
            silence.Listening(wire._sock, self._runs, self._is_given_up), _READ_BYTES
        )
        wire._read_timeout = silence.SILENCE_S

    def learn_limits(self) -> None:
        """Ask how much the server takes at once, of more it says nothing and hangs up, and which server it is.

        From now on an answer is waited for as long as its statement runs, or as long as was said.
        """
        with self.cursor() as cursor:
            cursor.execute(f"SELECT @@max_allowed_packet, {silence.SERVER}, CONNECTION_ID()")
            ((self._bytes_max, server, number),) = cursor.fetchall()
        self._known = str(server), int(number)
        if self._patience_s is None:
            self._listen()
        else:
            self._read_timeout = self._patience_s
        self._given_up.end(self, self._known[0])

    def ping(self, *arguments: Any, **options: Any) -> None:
        """Look whether the connection is of use: not any more where the limit of its session was too low.

        A server that is set to a higher one gives it to new sessions alone.
        """
        if self._outgrown:
            raise err.OperationalError(CR.CR_SERVER_GONE_ERROR, "its max_allowed_packet is too low")
        self._may_run = False  # a ping takes no time: who does not answer it is not asked why
        try:
            with self.answering_soon():
                super().ping(*arguments, **options)
        finally:
            self._may_run = True

    @contextmanager
    def answering_soon(self) -> Iterator[None]:
        """Wait for what takes no time as long as for a new connection, where answers have a limit in seconds."""
        if self._patience_s is None:
            yield
            return
        usual_s: float | None = self._read_timeout
        self._read_timeout = self.connect_timeout
        try:
            yield
        finally:
            self._read_timeout = usual_s

    def commit(self) -> None:
        """Commit, as the driver does."""
        super().commit()
        self._at_rest = True

    def rollback(self) -> None:
        """Roll back, as the driver does, unless nothing can be open.

        Every connection that comes back into the pool is rolled back. Nearly each was committed just before, and
        nothing asked since; or each of its statements was a transaction by itself, and the server says that none is
        open (without that it may begin one, and answer by an error alone, which does not say so).
        """
        said: int = self.server_status
        by_itself = said & _BY_ITSELF and not said & _IN_TRANSACTION
        if not (self._at_rest or by_itself):
            super().rollback()
            self._at_rest = True

    def _execute_command(self, command: int, sql: str | bytes) -> None:
        self._at_rest = False
        super()._execute_command(command, sql)  # type: ignore[misc]

    @property
    def takes_arrays(self) -> bool:
        """Whether the server takes arrays, as far as it has said."""
        return not self._turned_away and self._knows_more

    def turned_away(self) -> None:
        """Remember that the server has refused an array, for as long as this connection lasts."""
        self._turned_away = True

    @contextmanager
    def offering(self, array: Array) -> Iterator[None]:
        """Execute the next statement, which has a ``?`` for each column, once for each row of an array.

        It raises when it stores fewer rows or more.
        """
        self._array = array
        try:
            yield
        finally:
            self._array = None

    def query(self, sql: str | bytes, unbuffered: bool = False) -> int:
        """Execute a statement, as the driver does; for the rows of an array where one is offered."""
        array, self._array = self._array, None
        self._require_room(sql if array is None else array.values)
        if array is None:
            affected: int = super().query(sql, unbuffered)
            return affected
        stored = self._execute(sql, array)
        if stored != array.rows:
            raise err.DataError(
                ER.WARN_DATA_TRUNCATED, f"of {array.rows} rows {stored} were stored"
            )
        return stored

    def write_packet(self, payload: bytes) -> None:
        """Send a packet; the greeting says that arrays are known, in bytes that MySQL has reserved."""
        if self._greets and payload[4:_GREETING_ENDS] == self._greeting:
            payload = (
                payload[: _GREETING_ENDS - 4]
                + struct.pack("<I", _ARRAYS)
                + payload[_GREETING_ENDS:]
            )
        super().write_packet(payload)

    def _require_room(self, content: str | bytes) -> None:
        if not self._bytes_max or len(content) * _CHARACTER_BYTES_MAX < self._bytes_max:
            return
        size = len(content.encode() if isinstance(content, str) else content) + _FRAME_BYTES
        if size > self._bytes_max:
            self._outgrown = True
            raise err.OperationalError(
                ER.NET_PACKET_TOO_LARGE,
                f"{size} bytes at once are more than the server's max_allowed_packet of {self._bytes_max}",
            )

    # ------------------------------------------------------------------ where nothing comes

    def _asking(self) -> ArrayConnection:
        """Open another connection to the same place, which is not waited for."""
        arguments, options = self._opened_with
        limits = dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout"), silence.ASK_S)
        return ArrayConnection(*arguments, **{**options, **limits, "init_command": None})

    def _runs(self) -> bool:
        """Return whether the statement runs at the server."""
        if self._known is None or not self._may_run:
            return False
        try:
            with closing(self._asking()) as link:
                return silence.runs(self._known, link, self._room)
        except (err.Error, OSError) as error:
            return silence.is_full(error)

    def _is_given_up(self) -> None:
        """End what is left of this connection at the server, now or when it answers."""
        if self._known is None:
            return
        self._given_up.add(self._known)
        if self._may_run:
            with suppress(err.Error, OSError), closing(self._asking()) as link:
                self._given_up.end(link, silence.server_of(link))

    # ------------------------------------------------------------------ what PyMySQL does not have

    @property
    def _knows_more(self) -> bool:
        said: int = self.server_capabilities  # type: ignore[attr-defined]
        return not said & _MORE_THAN_MYSQL

    @property
    def _greeting(self) -> bytes:
        """What follows the flags in the driver's greeting."""
        number = charset_by_name(self.charset).id  # type: ignore[attr-defined]
        return struct.pack("<IB23s", MAX_PACKET_LEN, number, b"")

    def _request_authentication(self) -> None:
        self._greets = self._knows_more
        if self._greets:
            self.client_flag &= ~_MORE_THAN_MYSQL
        else:
            self.client_flag |= _MORE_THAN_MYSQL
        try:
            super()._request_authentication()  # type: ignore[misc]
        finally:
            self._greets = False

    def _execute(self, sql: str | bytes, array: Array) -> int:
        """Prepare a statement, execute it for an array, and forget it; return how many rows it stored."""
        wire: Any = self
        wire._execute_command(_PREPARE, sql)
        number, places = self._prepared()
        try:
            if places != len(array.types):
                raise err.ProgrammingError(
                    ER.WRONG_ARGUMENTS, f"{places} places for {len(array.types)} columns"
                )
            head = struct.pack("<IH", number, _TYPES_FOLLOW)
            kinds = b"".join(bytes((kind, 0)) for kind in array.types)
            wire._execute_command(_EXECUTE_ARRAY, head + kinds + array.values)
            wire._affected_rows = self._read_query_result()
            stored: int = wire._affected_rows
            return stored
        finally:
            if self.open:
                result = wire._result
                wire._execute_command(_CLOSE, struct.pack("<I", number))  # which has no answer
                wire._result = result

    def _prepared(self) -> tuple[int, int]:
        """Read the answer to a statement that was to be prepared: its number, and how many places it has."""
        wire: Any = self
        said = wire._read_packet().get_all_data()
        number, columns, places = struct.unpack_from("<IHH", said, 1)
        for count in (places, columns):
            for _ in range(count + bool(count)):  # each, and what ends them
                wire._read_packet()
        return number, places

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


@cache
def _proving_nothing() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class _Result(MySQLResult):
    """The result of a statement, for a connection that opens no file."""

    def _read_load_local_packet(self, first_packet: Any) -> None:
        connection: Any = self.connection
        name = first_packet.get_all_data()[1:]
        connection.write_packet(b"")  # an empty file
        connection._force_close()
        asked = ascii(name[:_SHOWN].decode("utf-8", "replace"))
        raise err.OperationalError(
            FILE_REFUSED,
            f"the server asked for the file {asked}, which no statement of ours names; "
            "it got nothing, and the connection was closed",
        )
