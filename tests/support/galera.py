"""Three Galera nodes on the loopback interface behind the writer endpoint, with the files that are shipped."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pymysql
import pytest

from cli.bench.mariadb import FOLDERS, MariaDbServer, ServerUnavailable
from ledger.chain.local.anvil import KeptPort, end_with_parent

CONFIGURATION = Path(__file__).resolve().parents[2] / "docs" / "ha"
LIBRARY = Path("/usr/lib/galera/libgalera_smm.so")
NAMES = ("db1", "db2", "db3")
CERTIFICATES = "/etc/mysql/tls"
BOOTSTRAP = "--wsrep-new-cluster"
ISOLABLE = "--plugin-wsrep-provider=OFF"
"""With this plugin, which is on, each option of the library is a variable, but for the one that cuts a node off."""
WAIT_S = 60.0
_OWN = shutil.ignore_patterns("galera.cache", "gvwstate.dat")


class Node(MariaDbServer):
    """One node, with ``docs/ha/galera.cnf`` and addresses of the loopback interface."""

    def __init__(
        self,
        name: str,
        folder: Path,
        group: Sequence[KeptPort],
        number: int,
        options: Sequence[str] = (),
        tls: Path | None = None,
    ) -> None:
        defaults = CONFIGURATION / "galera.cnf" if tls is None else _with_tls(folder, tls)
        super().__init__(folder, defaults=defaults)
        self.name = name
        self.bootstraps = False
        self._memory = []  # the script of mariadb-backup stumbles over a size on the command line
        self._group = [f"127.0.0.1:{port.number}" for port in group]
        self.group_address = self._group[number]
        # Held, so that a node that comes back finds its ports free.
        self._receiving = [KeptPort(), KeptPort()]
        copies, increments = (port.number for port in self._receiving)
        provider = [
            *_provider_options(tls),
            f"gmcast.listen_addr=tcp://{self._group[number]}",
            f"ist.recv_addr=127.0.0.1:{increments}",
        ]
        self._fixed = [
            f"--wsrep-node-name={name}",
            "--wsrep-node-address=127.0.0.1",
            f"--wsrep-sst-receive-address=127.0.0.1:{copies}",
            "--wsrep-sst-auth=root:",
            "--wsrep-provider-options=" + ";".join(provider).replace("size=1G", "size=32M"),
            "--innodb-log-file-size=32M",
            *options,
        ]

    def _launch(self) -> bool:
        self._options = [
            *self._fixed,
            f"--wsrep-cluster-address=gcomm://{','.join(self._group)}",
            # Bound to the loopback interface, as these are, a node does not say by itself where it is.
            f"--wsrep-node-incoming-address=127.0.0.1:{self.port}",
        ]
        if self.bootstraps:
            self._options.append(BOOTSTRAP)
        launched = super()._launch()
        if launched and self.bootstraps:
            # It answers a little before it takes statements: "WSREP has not yet prepared node".
            until(lambda: self.synced, "the first node of a cluster is not ready")
        return launched

    def status(self, name: str) -> str:
        """Return a variable of ``SHOW GLOBAL STATUS``; empty when the node does not answer."""
        try:
            found = self.ask(f"SHOW GLOBAL STATUS LIKE '{name}'")
        except pymysql.err.MySQLError:
            return ""
        return str(found[0][1]) if found else ""

    def ask(self, question: str, database: str | None = None) -> list[tuple[Any, ...]]:
        """Return rows, asked over the node's own socket."""
        with closing(
            pymysql.connect(
                unix_socket=str(self.folder / "s"),
                user="root",
                database=database,
                autocommit=True,
                ssl_disabled=True,
                connect_timeout=2,
                read_timeout=30,
            )
        ) as link:
            cursor = link.cursor()
            cursor.execute(question)
            return list(cursor.fetchall())

    @property
    def synced(self) -> bool:
        """Whether it has all that the cluster has, and is of the majority."""
        return (
            self.status("wsrep_ready") == "ON"
            and self.status("wsrep_local_state") == "4"
            and self.status("wsrep_cluster_status") == "Primary"
        )

    def wipe(self) -> None:
        """Lose all data, as with a new disk: it gets a copy when it starts."""
        shutil.rmtree(self.folder / "data")
        (self.folder / "data").mkdir()

    def freeze(self) -> None:
        """Stop it without ending it, as a machine does that hangs."""
        assert self.pid is not None
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self.pid is not None
        os.kill(self.pid, signal.SIGCONT)

    def recovered(self) -> int:
        """Return how far a node that has ended had come, as its own files say: docs/ha.md, all nodes down."""
        log = self.folder / "recovery.log"
        with log.open("wb") as output:
            command = [self._program, self._defaults, f"--datadir={self.folder / 'data'}"]
            command += [f"--tmpdir={self.folder}", f"--socket={self.folder / 's'}", *self._fixed]
            # It would open a port, 3306 of the whole machine, and end with 1 where another server has that one.
            command.append("--skip-networking")
            command += (
                ["--wsrep-recover", "--user=root"] if os.geteuid() == 0 else ["--wsrep-recover"]
            )
            code = subprocess.run(
                command, stdout=output, stderr=output, check=False, timeout=WAIT_S
            ).returncode
        said = log.read_text(errors="replace")
        found = re.findall(r"Recovered position:? \S+?:(-?\d+)", said)
        assert found and not code, f"{self.name}: --wsrep-recover ended with {code}: {said[-2000:]}"
        return int(found[-1])

    def bootstrap(self) -> None:
        """Begin the cluster anew with this node's data: no other node is there, and none has more."""
        state = self.folder / "data" / "grastate.dat"
        text = state.read_text(encoding="utf-8")
        state.write_text(
            text.replace("safe_to_bootstrap: 0", "safe_to_bootstrap: 1"), encoding="utf-8"
        )
        self.bootstraps = True
        try:
            self.restart()
        finally:
            self.bootstraps = False

    def isolate(self, apart: bool) -> None:
        """Cut it off from the other nodes, or end that; its clients still reach it."""
        self.execute(f"SET GLOBAL wsrep_provider_options = 'gmcast.isolate={int(apart)}'")

    def stop(self) -> None:
        """End it in order, by its own process id."""
        if self.pid is not None:
            self.thaw()
        super().stop()


class Cluster:
    """Three nodes, and HAProxy before them. ``url(name)`` is what belongs into ``database_url``.

    Parameters
    ----------
    tls
        A folder with ``ca.pem``, ``node.pem`` and ``node.key``, by which all parts talk; None: in the clear.
    own
        Further options of each node.
    endpoint
        Whether there is one; without it each node is gone to by itself.
    """

    def __init__(
        self,
        folder: Path,
        tls: Path | None = None,
        own: Sequence[Sequence[str]] = ((), (), ()),
        *,
        endpoint: bool = True,
    ) -> None:
        if not LIBRARY.exists():
            raise ServerUnavailable("Galera is not installed (Debian's package galera-4)")
        for program, package in (
            ("haproxy", "haproxy"),
            ("mariadb-backup", "mariadb-backup"),
            ("socat", "socat"),
        ):
            if _program(program) is None and (endpoint or program != "haproxy"):
                raise ServerUnavailable(f"{program} is not installed (Debian's package {package})")
        self.folder = folder
        self._has_endpoint = endpoint
        self._group = [KeptPort() for _ in NAMES]
        self.nodes = [
            Node(name, _made(folder / name), self._group, number, [ISOLABLE, *own[number]], tls)
            for number, name in enumerate(NAMES)
        ]
        self._endpoint = KeptPort()
        self._haproxy: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """The endpoint's."""
        return self._endpoint.number

    def url(self, database: str) -> str:
        """Return the address of a database at the endpoint."""
        return f"mysql+pymysql://root@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start the first node, then the others, which begin with its data; then the endpoint."""
        first = self.nodes[0]
        first.bootstraps = True
        first.start()
        first.execute("CREATE USER haproxy_check@'127.0.0.1'")
        first.stop()
        for node in self.nodes[1:]:
            shutil.copytree(first.folder / "data", node.folder / "data", ignore=_OWN)
        first.restart()
        first.bootstraps = False
        for node in self.nodes[1:]:
            node.reopen()
        self.whole()
        if self._has_endpoint:
            self.start_endpoint()

    def start_endpoint(self) -> None:
        """Start HAProxy with the file that is shipped."""
        program = _program("haproxy")
        assert program is not None
        places = {
            name.upper(): f"127.0.0.1:{node.port}"
            for name, node in zip(NAMES, self.nodes, strict=True)
        }
        with (self.folder / "haproxy.log").open("ab") as output:
            self._haproxy = subprocess.Popen(
                [program, "-db", "-f", str(CONFIGURATION / "haproxy.cfg")],
                env={**os.environ, **places, "WRITER": f"127.0.0.1:{self.port}"},
                stdout=output,
                stderr=output,
                cwd=self.folder,
                preexec_fn=end_with_parent(),  # noqa: PLW1509 # safe, see there
            )
        until(lambda: self.writer() is not None, "the endpoint finds no writer")

    def stop_endpoint(self) -> None:
        """End HAProxy."""
        process, self._haproxy = self._haproxy, None
        if process is not None:
            process.kill()
            process.wait()

    def writer(self) -> Node | None:
        """Return the node that a new connection to the endpoint reaches; None while there is none."""
        try:
            with closing(
                pymysql.connect(
                    host="127.0.0.1",
                    port=self.port,
                    user="root",
                    ssl_disabled=True,
                    connect_timeout=2,
                    read_timeout=5,
                )
            ) as link:
                cursor = link.cursor()
                cursor.execute("SELECT @@wsrep_node_name")
                (name,) = cursor.fetchone() or ("",)
        except pymysql.err.MySQLError:
            return None
        return next(node for node in self.nodes if node.name == name)

    def begin_again(self) -> Node:
        """Start all nodes after all were lost, from the one that has most; return that one."""
        first = max(self.nodes, key=lambda node: node.recovered())
        first.bootstrap()
        for node in self.nodes:
            if node is not first:
                node.restart()
        self.whole()
        return first

    def whole(self) -> None:
        """Wait until all three are there and have everything."""
        until(
            lambda: all(
                node.synced and node.status("wsrep_cluster_size") == "3" for node in self.nodes
            ),
            "the cluster is not whole",
        )

    def stop(self) -> None:
        """End everything that was started."""
        self.stop_endpoint()
        for node in reversed(self.nodes):
            if node.pid is not None:
                node.thaw()
            node.kill()


@contextmanager
def running_cluster(
    folder: Path,
    tls: Path | None = None,
    own: Sequence[Sequence[str]] = ((), (), ()),
    *,
    endpoint: bool = True,
) -> Iterator[Cluster]:
    """Start a cluster; end it whatever happens."""
    with ExitStack() as stack:
        cluster = Cluster(folder, tls, own, endpoint=endpoint)
        stack.callback(cluster.stop)
        cluster.start()
        yield cluster


def unavailable(reason: ServerUnavailable) -> NoReturn:
    """Skip what needs a cluster where none can be had; fail it in ``./dev ha``, which would call it all right."""
    if os.environ.get("HA_ROUNDS"):
        pytest.fail(str(reason))
    pytest.skip(str(reason))


def until(holds: Callable[[], object], what: str, seconds: float = WAIT_S) -> float:
    """Wait until something holds; return how long that took, in seconds."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, what
        time.sleep(0.05)
    return time.monotonic() - began


def _with_tls(folder: Path, tls: Path) -> Path:
    """Return a file that has both that are shipped, one after the other, with a folder for the certificates."""
    text = "\n".join(
        (CONFIGURATION / name).read_text(encoding="utf-8")
        for name in ("galera.cnf", "galera-tls.cnf")
    )
    file = folder / "both.cnf"
    file.write_text(text.replace(CERTIFICATES, str(tls)), encoding="utf-8")
    return file


def _provider_options(tls: Path | None) -> list[str]:
    name = "galera.cnf" if tls is None else "galera-tls.cnf"
    text = (CONFIGURATION / name).read_text(encoding="utf-8")
    text = text if tls is None else text.replace(CERTIFICATES, str(tls))
    (line,) = [line for line in text.splitlines() if line.startswith("wsrep_provider_options")]
    return line.partition("=")[2].strip().strip('"').split(";")


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{FOLDERS}")
