"""TLS to MariaDB: whether the server proves its name, as the database's URL says.

PyMySQL uses TLS where the server offers it and believes whoever answers: against somebody in between, that is no help.
So a server on another machine must prove its name, by a certificate of an authority that is trusted here::

    mysql+pymysql://USER:PASSWORD@db.park.example/truetonne?ssl_ca=/etc/truetonne/ca.pem

``ssl_verify_identity=true`` without ``ssl_ca`` trusts the authorities of the system; ``ssl_cert`` and ``ssl_key`` are
the client's own. These files are read anew once they have changed: certificates end, and a process goes on for months.
``tls=unverified`` goes without the proof, and ``tls=off`` without TLS: said so, not by oversight. To
this machine (loopback, a socket) nothing is asked for.
"""

from __future__ import annotations

import os
import ssl
from contextlib import suppress
from dataclasses import dataclass
from inspect import signature
from ipaddress import ip_address
from typing import Any

from pymysql.connections import Connection
from sqlalchemy import URL

from ledger.errors import BadInput

_FILES = ("ssl_ca", "ssl_cert", "ssl_key")
_OPTIONS = ("tls", *_FILES, "ssl_verify_cert", "ssl_verify_identity")
_ELSEWHERE = frozenset(
    {
        "host",
        "port",
        "user",
        "password",
        "database",
        "db",
        "passwd",
        "read_default_file",
        "read_default_group",
    }
    | {"ssl", "ssl_disabled", "ssl_capath", "ssl_cipher", "ssl_check_hostname"}
)
"""Options of the driver that say again, and otherwise, what stands in the URL or is said by ours."""
_KNOWN = frozenset(signature(Connection).parameters).union(_OPTIONS)
"""Whatever may stand in the URL: options of the driver, and ours."""
_MEND = "add ?ssl_ca=FILE of the authority that signed its certificate, or say tls=unverified"


@dataclass(frozen=True)
class Tls:
    """How connections to a server are made.

    Parameters
    ----------
    url
        The URL without what was about TLS.
    arguments
        What our connections are given for it: PyMySQL's, and in the place of a context what returns that of today.
    verified
        Whether the server must prove its name.
    local
        Whether the server is on this machine.
    """

    url: URL
    arguments: dict[str, Any]
    verified: bool
    local: bool


def read_tls(url: URL) -> Tls:
    """Return how to connect to the server of a URL.

    Raises
    ------
    BadInput
        If an option cannot be used, or a server on another machine need not prove its name and nobody said so.
    """
    beside = sorted(set(url.query) & _ELSEWHERE)
    if beside:  # the driver would believe them, and not what is checked here
        raise BadInput(
            f"database URL: {beside[0]} cannot stand after the question mark; see docs/security.md"
        )
    unknown = sorted(set(url.query) - _KNOWN)
    if unknown:
        raise BadInput(
            f"database URL: {unknown[0]} is no option of the driver (PyMySQL); correct its name, or leave it out"
        )
    given = {name: _one(url, name) for name in _OPTIONS if name in url.query}
    plain = url.difference_update_query(_OPTIONS)
    local = is_local(url)
    way = given.get("tls", "")
    if way not in ("", "off", "unverified"):
        raise BadInput(
            f"database URL: tls={way} is not known; write tls=unverified or tls=off, or leave it out"
        )
    verify = (
        "ssl_ca" in given or _true(given, "ssl_verify_identity") or _true(given, "ssl_verify_cert")
    )
    if way and verify:
        raise BadInput(
            f"database URL: tls={way} and ssl_... contradict each other; leave one of them out"
        )
    if way == "off":
        return Tls(plain, {"ssl_disabled": True}, False, local)
    if verify:
        return Tls(plain, {"ssl": _Renewed(given).context}, True, local)
    if not local and way != "unverified":
        raise BadInput(
            f"database URL: {url.host} is another machine and need not prove its name; {_MEND}"
        )
    if way == "unverified":
        unproven = ssl.create_default_context()
        unproven.check_hostname, unproven.verify_mode = False, ssl.CERT_NONE
        return Tls(plain, {"ssl": unproven}, False, local)
    return Tls(plain, {}, False, local)


def is_local(url: URL) -> bool:
    """Return whether the server of a URL is on this machine: a socket, ``localhost``, a loopback address."""
    if "unix_socket" in url.query or url.host in (None, "", "localhost"):
        return True
    try:
        return ip_address(str(url.host)).is_loopback
    except ValueError:
        return False


class _Renewed:
    """The context of connections to a server, made anew once a file has changed that it was made of.

    Parameters
    ----------
    given
        The options that say whom to trust, and what our own certificate is.

    Raises
    ------
    BadInput
        A file cannot be read.
    """

    def __init__(self, given: dict[str, str]) -> None:
        self._given = given
        self._made = self._state(), _context(given)
        """Both at once: several threads connect."""

    def context(self) -> ssl.SSLContext:
        """Return it. While a file is half written, or its key is not yet beside it, it is the one from before."""
        as_of = self._state()  # before they are read: what changes meanwhile is read again
        if as_of != self._made[0]:
            with suppress(BadInput):
                self._made = as_of, _context(self._given)
        return self._made[1]

    def _state(self) -> list[tuple[int, int, int] | None]:
        return [_state_of(self._given[name]) for name in _FILES if name in self._given]


def _state_of(file: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _context(given: dict[str, str]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=given.get("ssl_ca"))
    except (OSError, ssl.SSLError) as error:
        why = getattr(error, "strerror", None) or error
        raise BadInput(
            f"database URL: ssl_ca={given.get('ssl_ca')} holds no certificates that can be read ({why})"
        ) from error
    # MariaDB's own tools and many authorities of a house make certificates that Python 3.13's strict check refuses.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if "ssl_verify_identity" in given and not _true(given, "ssl_verify_identity"):
        context.check_hostname = False  # signed by the authority, whatever its name
    if "ssl_cert" in given:
        try:
            context.load_cert_chain(given["ssl_cert"], given.get("ssl_key"))
        except (OSError, ssl.SSLError) as error:
            why = getattr(error, "strerror", None) or error
            raise BadInput(f"database URL: ssl_cert or ssl_key cannot be read ({why})") from error
    return context


def _true(given: dict[str, str], name: str) -> bool:
    value = given.get(name, "false").lower()
    if value not in ("true", "1", "false", "0"):
        raise BadInput(f"database URL: {name} must be `true` or `false`, found {value!r}")
    return value in ("true", "1")


def _one(url: URL, name: str) -> str:
    value = url.query[name]
    if not isinstance(value, str):
        raise BadInput(f"database URL: {name} is given more than once")
    return value
