"""A primary and its semi-sync replica, set up by the statements of docs/replica.md."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pymysql

from tests.support.mariadb import Server

PAGE = Path(__file__).resolve().parents[2] / "docs" / "replica.md"
PASSWORD = "a long password"
NAME = "truetonne"
CHEAP = ("--innodb-flush-log-at-trx-commit=2", "--innodb-doublewrite=0", "--sync-binlog=0")
"""What a killed process does not lose, as a power cut would: the pair dies with the tests."""


def configuration() -> dict[str, str]:
    """Return the variables of the page's configuration file."""
    (block,) = re.findall(r"```ini\n(.*?)```", PAGE.read_text(), re.DOTALL)
    lines = (line.partition("#")[0].strip() for line in block.splitlines())
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def statements_of_the_page(where: str) -> list[list[str]]:
    """Return the page's statements for a server, block by block."""
    blocks = re.findall(r" *```sql\n *-- on (.*?)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [
        [part.strip() for part in text.split(";\n") if part.strip()]
        for place, text in blocks
        if place == where
    ]


class Node(Server):
    """One server of the pair. Statements go through its socket, as root."""

    def __init__(self, folder: Path, number: int, further: Sequence[str] = CHEAP) -> None:
        options = configuration() | {"server_id": str(number)}
        super().__init__(
            folder, [*(f"--{name}={value}" for name, value in options.items()), *further]
        )
        self.number = number

    def begin_as(self, other: Node) -> None:
        """Start with a copy of the files of another one, which is stopped for it: quicker than making them."""
        other.stop()
        shutil.copytree(other.folder / "data", self.folder / "data")
        for log in (self.folder / "data").glob("bin.*"):
            log.unlink()
        self._install = "true"  # what makes an empty folder has nothing to do
        self.start()
        other.restart()

    def ask(self, *statements: str) -> list[dict[str, Any]]:
        """Run statements; return the rows of the last one."""
        with self.link() as link, link.cursor(pymysql.cursors.DictCursor) as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def value(self, expression: str) -> Any:
        """Return one value."""
        return self.ask(f"SELECT {expression} AS it")[0]["it"]

    def link(self, user: str = "root", **options: Any) -> Any:
        """Open a connection as root."""
        return pymysql.connect(
            unix_socket=str(self.folder / "s"),
            user=user,
            autocommit=True,
            ssl_disabled=True,  # which would take longer than all the rest
            **options,
        )

    def restart_as_replica(self) -> None:
        """Start it as the page says that an old primary is to be started."""
        self._options.append("--init-rpl-role=SLAVE")
        try:
            self.restart()
        finally:
            self._options.pop()


class Pair:
    """Two servers, and which of them is the primary."""

    def __init__(self, primary: Node, replica: Node) -> None:
        self.primary, self.replica = primary, replica

    def swap(self) -> None:
        """Note that the replica was promoted."""
        self.primary, self.replica = self.replica, self.primary

    def rejoined(self, statements: Sequence[str]) -> None:
        """Make the old primary a replica by what ``db rejoin`` printed, and the page says of the new one."""
        self.run(self.replica, statements)
        for block in statements_of_the_page("the new primary"):
            self.run(self.primary, block)
        if not self.level():
            raise RuntimeError(str(self.replica.ask("SHOW ALL SLAVES STATUS")))

    def settings(self) -> dict[str, str]:
        """Return the settings of ``promote.toml``."""
        secret = f"truetonne_promote:{PASSWORD.replace(' ', '%20')}@"
        return {
            "database_url": self.primary.url(NAME),
            "database_read_url": self.replica.url(NAME),
            "database_admin_url": self.primary.url(NAME).replace("root@", secret),
        }

    def run(self, node: Node, lines: Sequence[str], *, position: str = "") -> None:
        """Run statements of the page or of ``db rejoin``, for these two servers."""
        for line in lines:
            text = line.replace("'...'", f"'{PASSWORD}'").replace("0-1-4711", position)
            text = re.sub(
                "MASTER_HOST = '[^']*'(, MASTER_PORT = [0-9]+)?",
                f"MASTER_HOST = '127.0.0.1', MASTER_PORT = {self.primary.port}, MASTER_CONNECT_RETRY = 1",
                text,
            )
            # The servers' certificates are of their own making; they prove themselves by the password.
            text = text.replace("MASTER_SSL_CA = '/etc/truetonne/ca.pem'", "MASTER_SSL = 1")
            node.ask(text.rstrip(";"))

    def settled(self) -> bool:
        """Return whether the one follows the other and acknowledges what it receives, as a test expects it."""
        try:
            (line,) = self.replica.ask("SHOW ALL SLAVES STATUS")
            (clients,) = self.primary.ask("SHOW STATUS LIKE 'Rpl_semi_sync_master_clients'")
            return (
                (line["Slave_IO_Running"], line["Slave_SQL_Running"]) == ("Yes", "Yes")
                and clients["Value"] == "1"
                and (self.primary.value("@@read_only"), self.replica.value("@@read_only")) == (0, 1)
                and self.level()
            )
        except (pymysql.err.Error, ValueError):
            return False

    def level(self) -> bool:
        """Wait until the replica has all that the primary has; return whether it came to that."""
        position = self.primary.value("@@gtid_binlog_pos")
        return bool(self.replica.value(f"MASTER_GTID_WAIT('{position}', 60)") == 0)


def _tables(pair: Pair) -> None:
    pair.primary.ask(
        f"CREATE DATABASE {NAME}",
        f"CREATE TABLE {NAME}.rows_told (id INT PRIMARY KEY)",
        "CREATE USER writer@'%'",
        f"GRANT ALL ON {NAME}.* TO writer@'%'",  # whom read_only stops, as it does not stop root
    )


@contextmanager
def made_pair(folder: Path, further: Sequence[str] = CHEAP) -> Iterator[Pair]:
    """Start two servers and make them a pair as the page says; end them.

    Parameters
    ----------
    further
        Options that stand in no configuration file of the page.
    """
    with ExitStack() as stack:
        nodes: list[Node] = []
        for number in (1, 2):
            place = folder / f"db{number}"
            place.mkdir()
            node = Node(place, number, further)
            if nodes:
                node.begin_as(nodes[0])
            else:
                node.start()
            stack.callback(node.stop)
            nodes.append(node)
        pair = Pair(*nodes)
        first, last = statements_of_the_page("db1")
        pair.run(pair.primary, first)
        _tables(pair)
        (following,) = statements_of_the_page("db2")
        pair.run(pair.replica, following)
        if not pair.level():
            raise RuntimeError(str(pair.replica.ask("SHOW ALL SLAVES STATUS")))
        pair.run(pair.primary, last)
        yield pair


class Load:
    """Writers that note each row which the server acknowledged."""

    def __init__(self, node: Node, first: int, threads: int = 4, user: str = "writer") -> None:
        self._user = user
        self.acknowledged: list[int] = []
        self.last_at = 0.0
        """When the last one was, by the monotonic clock."""
        self._numbers = iter(range(first, first + 10_000_000))
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(node,)) for _ in range(threads)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait(self) -> None:
        """Wait until no writer is left, as none is when the server has died."""
        for thread in self._threads:
            thread.join()

    def _write(self, node: Node) -> None:
        try:
            with node.link(database=NAME, user=self._user) as link, link.cursor() as cursor:
                while not self._stop.is_set():
                    with self._lock:
                        number = next(self._numbers)
                    cursor.execute("INSERT INTO rows_told VALUES (%s)", (number,))
                    with self._lock:
                        self.acknowledged.append(number)
                        self.last_at = time.monotonic()
        except pymysql.err.Error:
            return  # killed, or read-only


def missing(node: Node, acknowledged: Sequence[int]) -> list[int]:
    """Return which acknowledged rows a server has not."""
    rows = {row["id"] for row in node.ask(f"SELECT id FROM {NAME}.rows_told")}
    return sorted(set(acknowledged) - rows)
