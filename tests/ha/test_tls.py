"""Three nodes whose parts talk by TLS alone, and backups of one that is not written to: while the writer is lost."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pymysql
import pytest
from sqlalchemy import make_url, text

from cli.bench.mariadb import ServerUnavailable
from ledger.backup.drill import Finding, drill
from ledger.backup.manifest import Kind
from ledger.backup.planning import Wanted, plan
from ledger.backup.restoring import restore
from ledger.backup.taking import follow, take
from ledger.chain.local.anvil import KeptPort
from ledger.db import Database
from ledger.db.galera_nodes import findings_elsewhere
from ledger.db.grants import Account, statements
from ledger.errors import DependencyDown
from tests.support.accounts import PASSWORD
from tests.support.backups import restored, store
from tests.support.galera import CONFIGURATION, Cluster, Node, running_cluster, unavailable, until

LOGGED = ("--log-bin=bin", "--log-slave-updates=ON", "--server-id=3")
"""Of the node that backups are taken of: docs/ha.md."""


CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority, and a certificate of it for the endpoint; ``other.pem`` is another authority."""
    folder = tmp_path_factory.mktemp("tls")
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
    for name in ("ca", "other"):
        found_authority(folder, name)
    certify(folder, "ca")
    return folder


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def found_authority(folder: Path, name: str) -> None:
    """Make an authority: NAME.pem and NAME.key."""
    files = ["-keyout", f"{name}.key", "-out", f"{name}.pem"]
    openssl(folder, "req", "-x509", *CURVE, *files, "-days", "2", "-subj", f"/CN={name}")


def certify(folder: Path, authority: str) -> None:
    """Give the nodes a new key, and a certificate of an authority for it."""
    openssl(folder, "req", *CURVE, "-keyout", "node.key", "-out", "node.csr", "-subj", "/CN=db")
    by = ["-CA", f"{authority}.pem", "-CAkey", f"{authority}.key", "-CAcreateserial"]
    request = ["-req", "-in", "node.csr", "-out", "node.pem", "-extfile", "names", "-days", "2"]
    openssl(folder, "x509", *request, *by)


@pytest.fixture(scope="module")
def secure(certificates: Path) -> Iterator[Cluster]:
    """Three nodes and the endpoint; the third keeps a binary log."""
    with tempfile.TemporaryDirectory(prefix="galera-") as folder:
        try:
            with running_cluster(Path(folder), certificates, ((), (), LOGGED)) as made:
                made.nodes[0].execute(
                    "CREATE DATABASE ha",
                    "CREATE TABLE ha.t (id INT PRIMARY KEY)",
                    *statements(Account.BACKUP, "ha", tls=False),
                    f"SET PASSWORD FOR 'truetonne_backup'@'%' = PASSWORD('{PASSWORD}')",
                    "CREATE USER books@'%' IDENTIFIED BY 'a password' REQUIRE SSL",
                    "GRANT ALL ON ha.* TO books@'%'",
                )
                yield made
        except ServerUnavailable as reason:
            unavailable(reason)


def url(cluster: Cluster, certificates: Path, authority: str = "ca") -> str:
    """Return the endpoint's address by which it must prove its name."""
    place = f"books:a password@127.0.0.1:{cluster.port}/ha"
    return f"mysql+pymysql://{place}?ssl_ca={certificates / authority}.pem"


def test_the_options_are_those_without_tls_and_four_more() -> None:
    plain, secure = (
        next(line for line in (CONFIGURATION / name).read_text().splitlines() if "evs." in line)
        for name in ("galera.cnf", "galera-tls.cnf")
    )
    assert secure.startswith(plain.rstrip('"') + ";socket.ssl=yes;")
    assert secure.count(";") == plain.count(";") + 4


def test_every_part_talks_tls(secure: Cluster, certificates: Path) -> None:
    shown = [shown_to_the_group(node, certificates) for node in secure.nodes]
    assert shown == [ssl.PEM_cert_to_DER_cert((certificates / "node.pem").read_text())] * 3
    database = Database(url(secure, certificates))
    with database.read() as session:  # through HAProxy, which cannot read it
        ((_, cipher),) = session.execute(text("SHOW STATUS LIKE 'Ssl_cipher'")).all()
        assert cipher
        others = {item.name: item for item in findings_elsewhere(database, session)}
    database.close()
    assert len(others) == 2
    assert not [item for item in others.values() if item.found.startswith("not asked")]
    stranger = Database(url(secure, certificates, "other"))
    with pytest.raises(DependencyDown, match="does not prove its name"):
        stranger.ping()
    stranger.close()
    with (
        pytest.raises(pymysql.err.OperationalError, match="Access denied"),
        closing(
            pymysql.connect(
                host="127.0.0.1",
                port=secure.port,
                user="books",
                password="a password",
                ssl_disabled=True,
            )
        ),
    ):
        pass  # in the clear


def shown_to_the_group(node: Node, certificates: Path) -> bytes | None:
    """Return the certificate that a node shows the others, of an authority that ``ca.pem`` has."""
    trusting = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
    trusting.verify_flags &= ~ssl.VERIFY_X509_STRICT
    port = int(node.group_address.rpartition(":")[2])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as line,
        trusting.wrap_socket(line, server_hostname="127.0.0.1") as wrapped,
    ):
        assert wrapped.version() in ("TLSv1.2", "TLSv1.3")
        return wrapped.getpeercert(binary_form=True)


class Writing(threading.Thread):
    """Commits numbers by the endpoint, each by itself, and keeps those that were acknowledged."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self.db, self.ended = Database(address), threading.Event()
        self.acknowledged: list[int] = []
        self.asked = 0

    def run(self) -> None:
        """Go on until told to end; one that had no answer is not asked for again."""
        while not self.ended.wait(0.005):
            self.asked += 1
            try:
                self.db.alone(text(f"INSERT INTO t VALUES ({self.asked})"))
            except DependencyDown:
                continue
            self.acknowledged.append(self.asked)
        self.db.close()


def test_nothing_is_lost_and_a_node_is_backed_up(
    secure: Cluster,
    certificates: Path,
    tmp_path: Path,
    figures: Callable[[str, Any], None],
) -> None:
    """The writer is killed and its disk lost: the copy that it gets is encrypted; the backup brings back all."""
    logged = secure.nodes[2]
    folder, now = store(tmp_path / "backups"), datetime.now(UTC)
    place = make_url(logged.url("ha")).set(username="truetonne_backup", password=PASSWORD)
    backing = Database(place.render_as_string(hide_password=False))
    writing = Writing(url(secure, certificates))
    writing.start()
    try:
        until(lambda: len(writing.acknowledged) > 50, "nobody writes")
        take(backing, folder, Kind.FULL, now)
        before = len(writing.acknowledged)
        writer = secure.writer()
        assert writer is not None and writer is not logged
        writer.kill()
        gap_s = until(lambda: len(writing.acknowledged) > before + 20, "nobody goes on")
        writer.wipe()
        writer.restart()
        secure.whole()
        take(backing, folder, Kind.INCREMENTAL, datetime.now(UTC))
    finally:
        writing.ended.set()
        writing.join(60)
    secure.whole()
    assert encrypted(writer)
    rows = [
        [row[0] for row in node.ask("SELECT id FROM ha.t ORDER BY id")] for node in secure.nodes
    ]
    assert rows[0] == rows[1] == rows[2]
    assert set(writing.acknowledged) <= set(rows[0])
    follow(backing, folder)
    backing.close()
    held = drill(
        folder,
        plan(folder.items(), Wanted()),
        lambda _: Finding("reconcile", skipped="none"),
        tmp_path,
    )
    assert held.ok, held.as_json()
    assert held.plan.copy.kind is Kind.INCREMENTAL
    restore(folder, held.plan, tmp_path / "again")
    with restored(tmp_path / "again", {}) as ask:
        assert [row[0] for row in ask("SELECT id FROM ha.t ORDER BY id")] == rows[0]
    assert first_of_a_cluster(tmp_path / "again") == rows[0]
    figures(
        "tls", {"acknowledged": len(writing.acknowledged), "lost": 0, "goes_on_s": round(gap_s, 1)}
    )


def test_certificates_and_their_authority_are_renewed_while_everybody_works(
    secure: Cluster, certificates: Path, figures: Callable[[str, Any], None]
) -> None:
    """As docs/ha.md says: a certificate, and the authority by way of both. Nodes that were away come back."""
    secure.nodes[0].execute("TRUNCATE TABLE ha.t")
    writing = Writing(url(secure, certificates))
    running = Database(url(secure, certificates))  # as a process that is never started again
    writing.start()
    trusted = certificates / "ca.pem"
    found_authority(certificates, "next")
    old, new = trusted.read_bytes(), (certificates / "next.pem").read_bytes()
    try:
        for content, authority in ((old, "ca"), (old + new, ""), (old + new, "next"), (new, "")):
            trusted.write_bytes(content)
            if authority:
                certify(certificates, authority)
            for node in secure.nodes:
                node.execute(
                    "FLUSH SSL", "SET GLOBAL wsrep_provider_options = 'socket.ssl_reload=1'"
                )
            of_file = ssl.PEM_cert_to_DER_cert((certificates / "node.pem").read_text())
            assert [shown_to_the_group(node, certificates) for node in secure.nodes] == [
                of_file
            ] * 3
            before = len(writing.acknowledged)
            running.ping()
            running.close()  # its next connection is another
            until(lambda: len(writing.acknowledged) > before + 20, "nobody writes")  # noqa: B023
        assert writing.asked - len(writing.acknowledged) <= 1, "something was not answered"
        for node in (secure.writer(), secure.nodes[2]):
            assert node is not None
            node.kill()
            node.restart()
            secure.whole()
        running.ping()
    finally:
        writing.ended.set()
        writing.join(60)
        running.close()
    kept = {row[0] for row in secure.nodes[2].ask("SELECT id FROM ha.t")}
    assert set(writing.acknowledged) <= kept
    figures("renewed", {"acknowledged": len(writing.acknowledged), "lost": 0})


def first_of_a_cluster(data: Path) -> list[int]:
    """Begin a cluster with what was restored, as docs/ha.md says; return its numbers."""
    with tempfile.TemporaryDirectory(prefix="galera-") as folder:
        node = Node("db1", Path(folder), [KeptPort()], 0)
        shutil.copytree(data, Path(folder) / "data")
        node.bootstraps = True
        node.reopen()
        try:
            until(lambda: node.synced, "the restored node is of no cluster")
            return [row[0] for row in node.ask("SELECT id FROM ha.t ORDER BY id")]
        finally:
            node.kill()


def encrypted(node: Node) -> bool:
    """Return whether the copy that a node got came by TLS, with the sender's certificate checked, as its log says."""
    log = (node.folder / "server.log").read_text(errors="replace")
    return "openssl based encryption with socat: with key and crt" in log and "VERIFY_CA" in log
