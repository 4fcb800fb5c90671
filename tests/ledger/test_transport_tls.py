"""``wss://`` and ``https://``: a node behind TLS is trusted by its certificate, and by nothing less."""

import contextlib
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ledger.chain.local.anvil import LocalNode, find_anvil
from ledger.chain.node.client import ChainClient
from ledger.chain.node.heads import Heads
from ledger.chain.node.transports.errors import NodeDown
from tests.support.tls import made_certificate

LOCAL, ELSEWHERE = "127.0.0.1", "192.0.2.1"


class OneAtATime(ssl.SSLSocket):
    """OpenSSL takes no two calls on a connection at once: a handshake whose answer is read meanwhile may lose it."""

    crossed: ClassVar[list[str]] = []

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        with self._alone("recv"):
            return super().recv(buflen, flags)

    def send(self, data: Any, flags: int = 0) -> int:
        with self._alone("send"):
            return super().send(data, flags)

    @contextlib.contextmanager
    def _alone(self, what: str) -> Iterator[None]:
        inside = self.__dict__.setdefault("inside", [])
        inside.append(what)
        if len(inside) > 1:
            self.crossed.append(" and ".join(inside))
        try:
            yield
        finally:
            inside.remove(what)


class TlsProxy:
    """Takes TLS off connections and hands their bytes to a node; counts what came."""

    def __init__(self, node_url: str, certificate: tuple[Path, Path]) -> None:
        self.taken = 0
        """Bytes of clients that had finished their handshake."""
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*certificate)
        self._node = LOCAL, int(node_url.rpartition(":")[2])
        self._listener = socket.create_server((LOCAL, 0))
        self.url = f"wss://{LOCAL}:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            self._context.wrap_socket(raw, server_side=True) as client,
            socket.create_connection(self._node) as node,
        ):
            # One thread reads and writes: two at once may lose what a TLS connection holds.
            while True:
                ready = [client] if client.pending() else select.select([client, node], [], [])[0]
                for source, target in ((client, node), (node, client)):
                    if source in ready:
                        data = source.recv(1 << 16)
                        if not data:
                            return
                        self.taken += len(data) if source is client else 0
                        target.sendall(data)


@pytest.fixture(scope="module")
def node() -> Iterator[LocalNode]:
    with LocalNode(find_anvil(None)) as started:
        yield started


@pytest.fixture(params=[LOCAL])
def proxy(
    node: LocalNode,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[TlsProxy]:
    """A proxy whose certificate is trusted."""
    certificate = made_certificate(tmp_path, request.param)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    made = TlsProxy(node.rpc_url, certificate)
    yield made
    made.close()


def test_a_trusted_node_answers_and_announces(
    node: LocalNode, proxy: TlsProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssl.SSLContext, "sslsocket_class", OneAtATime)
    client = ChainClient(proxy.url)
    heads = Heads(client.transport, poll_s=600, quiet_s=600)
    try:
        assert client.chain_id() == 31337 and proxy.taken > 0
        heads.start()
        until = time.monotonic() + 60
        while not heads.subscribed:
            assert time.monotonic() < until
            time.sleep(0.005)
        heads.wait(lambda: False)  # what came before the subscription
        before = client.block_number()
        started = time.monotonic()
        threading.Timer(0.05, ChainClient(node.rpc_url).request, ("evm_mine",)).start()
        heads.wait(lambda: False)
        assert time.monotonic() - started < 300  # it was announced
        assert client.block_number() == before + 1
    finally:
        heads.close()
        client.close()
    client = ChainClient(_https(proxy))
    assert client.block_number() == before + 1
    client.close()
    assert OneAtATime.crossed == []


def _https(proxy: TlsProxy) -> str:
    return proxy.url.replace("wss", "https")


@pytest.mark.parametrize("proxy", [LOCAL], indirect=True)
def test_a_certificate_that_nobody_vouches_for_is_refused(
    proxy: TlsProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    _is_refused(proxy, "self-signed certificate")


@pytest.mark.parametrize("proxy", [ELSEWHERE], indirect=True)
def test_a_certificate_of_another_place_is_refused(proxy: TlsProxy) -> None:
    _is_refused(proxy, "IP address mismatch")


def _is_refused(proxy: TlsProxy, why: str) -> None:
    for url in (proxy.url, _https(proxy)):
        with pytest.raises(NodeDown, match=rf"certificate .* not trusted.*{why}.*SSL_CERT_FILE"):
            ChainClient(url).chain_id()
    assert proxy.taken == 0
