"""A receiver behind TLS is told by its certificate, and what is wrong with it is said as it is."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from ledger.webhooks.posting import Answer, Sender
from ledger.webhooks.targets import resolve
from tests.support.tls import made_certificate

LOCAL, ELSEWHERE = "127.0.0.1", "192.0.2.1"


class _Taking(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        pass


class _Quiet(HTTPServer):
    def handle_error(self, *arguments: Any) -> None:
        """A handshake that fails is what these tests are about."""


@contextmanager
def receiving(certificate: tuple[Path, Path] | None) -> Iterator[int]:
    """Take messages behind TLS, or without it; yield the port."""
    server = _Quiet((LOCAL, 0), _Taking)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def posted(port: int) -> Answer:
    target = resolve(f"https://{LOCAL}:{port}/hook", private=True)
    with Sender() as sender:
        headers = {"host": target.host}
        return sender.send(target.urls, b"{}", headers, target.name, datetime.now(UTC))


def test_a_certificate_of_one_s_own_is_taken_where_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = made_certificate(tmp_path, LOCAL)
    with receiving(made) as port:
        assert (
            posted(port).error
            == "no answer: its certificate is not trusted (self-signed certificate)"
        )
        monkeypatch.setenv("SSL_CERT_FILE", str(made[0]))
        assert (posted(port).status, posted(port).error) == (204, None)


@pytest.mark.parametrize(
    ("address", "ended", "said"),
    [
        (LOCAL, True, "its certificate is not trusted (certificate has expired)"),
        (
            ELSEWHERE,
            False,
            "its certificate is not trusted (IP address mismatch, certificate is not ",
        ),
    ],
)
def test_a_certificate_that_is_refused_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, ended: bool, said: str
) -> None:
    """Each was called `Operation not permitted`: the number of an error of TLS is none of the system's."""
    made = made_certificate(tmp_path, address, ended=ended)
    monkeypatch.setenv("SSL_CERT_FILE", str(made[0]))
    with receiving(made) as port:
        answer = posted(port)
    assert answer.status is None and str(answer.error).startswith(f"no answer: {said}")


def test_what_is_wrong_with_a_certificate_is_said_also_where_another_address_is_down(
    tmp_path: Path,
) -> None:
    """Of several addresses only what the last one lacked was said."""
    with receiving(made_certificate(tmp_path, LOCAL)) as port, Sender() as sender:
        urls = (
            f"https://127.0.0.9:{port}/",
            f"https://{LOCAL}:{port}/",
            f"https://127.0.0.8:{port}/",
        )
        answer = sender.send(urls, b"{}", {"host": "here"}, LOCAL, datetime.now(UTC))
    assert answer.error == "no answer: its certificate is not trusted (self-signed certificate)"


def test_who_speaks_no_tls_is_said_to() -> None:
    with receiving(None) as port:
        assert str(posted(port).error).startswith("no answer: TLS failed (")
