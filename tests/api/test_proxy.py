"""The service behind nginx, with the very file that its page ships."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path

import pytest

from api.connections import REQUEST_SECONDS_MAX
from api.server import KEEP_ALIVE_SECONDS, ApiServer
from ledger.chain.local.anvil import KeptPort
from tests.support.identity import open_house, settings_for
from tests.support.tls import made_certificate
from tests.support.waiting import until

ONE_DATABASE = "nothing that is asked here is in a database"
FILE = Path(__file__).resolve().parents[2] / "docs" / "proxy" / "nginx.conf"
OLDEST = (1, 25, 1)
"""The first version that knows `http2 on`."""
CLIENT, STRANGER = "127.0.0.9", "127.0.0.8"
"""Whom the service answers, and whom it does not."""


def test_what_rests_at_the_proxy_ends_before_the_service_ends_it() -> None:
    assert "keepalive_timeout 10s;" in FILE.read_text()
    assert 10 < KEEP_ALIVE_SECONDS < REQUEST_SECONDS_MAX


class Proxy:
    """What a client gets at the proxy."""

    def __init__(self, port: int, plain: int, certificate: Path) -> None:
        self._port = port
        self.plain = plain
        self._trust = ssl.create_default_context(cafile=str(certificate))

    def ask(
        self, method: str, path: str, body: bytes = b"", *, by: str = CLIENT, says: str = STRANGER
    ) -> tuple[HTTPResponse, bytes]:
        """Ask from an address, and say that it is another."""
        link = http.client.HTTPSConnection(
            "127.0.0.1", self._port, context=self._trust, source_address=(by, 0)
        )
        given = {
            "X-Forwarded-For": says,
            "X-Forwarded-Proto": "http",
            "Content-Type": "application/json",
        }
        link.request(method, path, body, given)
        answer = link.getresponse()
        text = answer.read()
        link.close()
        return answer, text


def answers(port: int) -> bool:
    with socket.socket() as link:
        return link.connect_ex(("127.0.0.1", port)) == 0


def nginx() -> str:
    """Return the program; without it, or with an older one than the file is for, the tests are left out."""
    found = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if found is None:
        reason = "nginx is not installed (Debian: apt-get install nginx)"
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must run the proxy's file: {reason}")
        pytest.skip(reason)
    said = subprocess.run([found, "-v"], capture_output=True, text=True, check=True).stderr
    version = tuple(int(part) for part in said.split("nginx/")[1].split()[0].split("."))
    if version < OLDEST:
        pytest.skip(f"the file is for nginx 1.25.1 or later; this is {said.strip()}")
    return found


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Proxy]:
    program = nginx()
    folder = tmp_path_factory.mktemp("nginx")
    books = folder / "books.db"
    shutil.copyfile(sqlite_template, books)
    more = {"trusted_proxies": "127.0.0.1", "allowed_networks": CLIENT}
    house = open_house(settings_for(folder, f"sqlite:///{books}", **more))
    server = ApiServer(house.app, "127.0.0.1", 0)
    server.start()
    secure, plain = KeptPort(), KeptPort()
    port = secure.number
    chain, key = made_certificate(folder, "127.0.0.1")
    text = FILE.read_text()
    for ours, theirs in (
        ("127.0.0.1:8600", server.url.removeprefix("http://")),
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("/etc/ssl/truetonne/chain.pem", f'"{chain}"'),
        ("/etc/ssl/truetonne/key.pem", f'"{key}"'),
        ("listen 80;", f"listen 127.0.0.1:{plain.number};"),
        ("listen [::]:80;", ""),
        ("listen [::]:443 ssl;", ""),
    ):
        assert text.count(ours) == 1, ours
        text = text.replace(ours, theirs)
    held = [
        f'{what}_temp_path "{folder}";'
        for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    ]
    (folder / "nginx.conf").write_text(
        f'daemon off; master_process off; pid "{folder}/pid"; error_log "{folder}/error.log";\n'
        f"events {{}}\nhttp {{\naccess_log off;\n{chr(10).join(held)}\n{text}}}\n"
    )
    command = [program, "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: answers(port) or process.poll() is not None)
        assert process.poll() is None, (folder / "error.log").read_text()
        yield Proxy(port, plain.number, chain)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        server.stop()
        secure.close()
        plain.close()


def test_the_client_is_whom_the_proxy_serves(proxy: Proxy) -> None:
    """Neither whoever else it says that it is, nor the proxy: the service answers one of the two."""
    assert proxy.ask("GET", "/v1/credits", by=CLIENT, says=STRANGER)[0].status == 200
    assert proxy.ask("GET", "/v1/credits", by=STRANGER, says=CLIENT)[0].status == 403


def test_whoever_comes_without_tls_is_sent_to_the_name_of_the_file(proxy: Proxy) -> None:
    """Not to what a request says that it is for: that may be another's, and kept by a cache."""
    link = http.client.HTTPConnection("127.0.0.1", proxy.plain)
    link.request("GET", "/credits?site=a", headers={"Host": "evil.example"})
    answer = link.getresponse()
    link.close()
    found = (answer.status, answer.headers["Location"])
    assert found == (308, "https://registry.example/credits?site=a")


def test_headers_come_once_and_cookies_are_for_tls(proxy: Proxy) -> None:
    answer, _ = proxy.ask("GET", "/sign-in")
    for name in ("Strict-Transport-Security", "Content-Security-Policy", "ETag", "Cache-Control"):
        assert len(answer.headers.get_all(name, [])) == 1, name
    cookie = answer.headers["Set-Cookie"]
    assert cookie.endswith("; Secure"), cookie
    tag = proxy.ask("GET", "/v1/credits")[0].headers["ETag"]
    assert tag.startswith('"')
    assert proxy.ask("GET", "/v1/credits")[0].headers["ETag"] == tag


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/sessions", b" " * 1_048_577, 413),
        ("GET", "/v1/credits?site=" + "x" * 4_096, b"", 414),
        ("GET", "/v1/nothing", b"", 404),
    ],
)
def test_problems_are_those_of_the_service(
    proxy: Proxy, method: str, path: str, body: bytes, status: int
) -> None:
    answer, _ = proxy.ask(method, path, body)
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_the_longest_filters_fit_into_a_head(proxy: Proxy) -> None:
    """A letter of four bytes has twelve signs in an address."""
    filters = f"vpp_code={'%F0%9F%8C%B1' * 100}&market={'%F0%9F%8C%B1' * 50}"
    answer, _ = proxy.ask("GET", f"/v1/trades?{filters}")
    assert answer.status == 200
    assert answer.headers["Link"].startswith(f"</v1/trades?{filters}&")
