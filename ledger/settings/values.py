"""How the text of a setting becomes its value, or one line that says what is wrong with it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from ledger.errors import BadInput
from ledger.settings.settling import Way

LIVE_MONTHS_MAX = 1200
SPAN_MAX = 1_000_000
"""The most hours, minutes or seconds of a setting: a time so far from now is still one."""
DAYS_MAX = 100_000
"""The most days, likewise."""
_NODE_SCHEMES = ("http", "https", "ws", "wss")
_NO_KEY = re.compile(r"[A-Za-z]{0,10}|v?\d{1,6}")
"""A part of a path that may be shown: a short word, a version, the number of a chain."""
_PASSWORD = re.compile(r"([?&]passw(?:or)?d)=[^&]*", re.IGNORECASE)
"""A password among the options of a database or a Redis."""
_PUBLIC_URL = re.compile(r"https?://[A-Za-z0-9.:\[\]_-]+(/[A-Za-z0-9._~/-]*)?", re.ASCII)
_SHOWN = 40
"""Characters of a wrong value that are shown, and most digits of a number: one of wei has fewer."""
_SOCKET_BYTES_MAX = 107
"""Unix bounds the path of a socket (sun_path, less the zero at the end)."""


def redacted(url: str) -> str:
    """Return a URL without its secrets, for messages and logs.

    A password is hidden, and so is what providers of nodes put into an address in its place: a token
    before the host, whatever in the path is no plain word or number, the values after the question mark.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    # First, as one may have the sign that a host stands behind.
    credentials, at, place = _PASSWORD.sub(r"\1=***", rest).rpartition("@")
    if at:
        user, colon, _ = credentials.partition(":")
        credentials = f"{user}:***" if colon else credentials
    if scheme in _NODE_SCHEMES:
        credentials = "***" if at and ":" not in credentials else credentials
        place, question, query = place.partition("?")
        host, *parts = place.split("/")
        parts = [part if _NO_KEY.fullmatch(part) else "***" for part in parts]
        values = "&".join(re.sub("=.*", "=***", item) for item in query.split("&"))
        place = "/".join([host, *parts]) + question + values
    return f"{scheme}://{credentials}{at}{place}"


def redacted_node(address: str) -> str:
    """Return what was given as a node's address without its secrets, also where its beginning is mistyped."""
    scheme, separator, rest = address.partition("://")
    shown = redacted(f"http://{rest if separator else address}").removeprefix("http://")
    return f"{scheme}{separator}{shown}" if separator else shown


def without_secrets(text: str, url: str) -> str:
    """Return what somebody says of a URL, which may hold all of it or the part behind the host, without its secrets."""
    shown = redacted(url)
    for given, safe in ((url, shown), (_behind_the_host(url), _behind_the_host(shown))):
        if len(given) > 1:
            text = text.replace(given, safe)
    return text


def _behind_the_host(url: str) -> str:
    """Return path, query and fragment of a URL, with the sign before them; nothing when it has none."""
    found = re.search("[/?#].*", url.partition("://")[2])
    return found[0] if found else ""


def socket_path(rpc_url: str) -> Path | None:
    """Return the path of the Unix socket that an address names; None for any other address.

    ``ipc://PATH`` and bare paths (absolute, relative with a dot, or ending in ``.ipc``) name one.
    """
    if rpc_url.startswith("ipc://"):
        return Path(rpc_url.removeprefix("ipc://"))
    bare = rpc_url.startswith(("/", "./", "../")) or (
        rpc_url.endswith(".ipc") and "://" not in rpc_url
    )
    return Path(rpc_url) if bare else None


def file_url(file: Path) -> str:
    """Return the URL of an SQLite file, whatever signs its path has: two of them would be read as something else."""
    return f"sqlite:///{file.as_posix().replace('%', '%25').replace('?', '%3F')}"


def read_url(url: str, database_url: str) -> str:
    """Return the URL of a replica; empty: there is none.

    Raises
    ------
    BadInput
        If it cannot be used.
    """
    if url:
        check_database_url("database_read_url", url)
        if "sqlite" in (url.partition(":")[0], database_url.partition(":")[0]):
            raise BadInput("database_read_url: an SQLite file has no replica; leave it out")
    return url


def backup_url(url: str, database_url: str) -> str:
    """Return the URL with which backups are taken.

    Raises
    ------
    BadInput
        If it cannot be used.
    """
    if url:
        check_database_url("backup_url", url)
    return url or database_url


def is_text(word: str) -> bool:
    """Return whether a word has no half characters: Python makes them of bytes that are no text; JSON may have them."""
    return not any("\ud800" <= sign <= "\udfff" for sign in word)


def check_database_url(name: str, url: str) -> None:
    """Require a URL of a database that the ledger knows.

    Raises
    ------
    BadInput
        If it cannot be used.
    """
    if not url.startswith(("sqlite:///", "mysql+pymysql://", "mariadb+pymysql://")):
        scheme = url.partition("://")[0]
        raise BadInput(
            f"{name}: {scheme!r} is not supported; use sqlite:///FILE or mysql+pymysql://USER:PASSWORD@HOST/NAME"
        )
    if not is_text(url):
        raise BadInput(f"{name}: {redacted(url)!r} is not UTF-8; name a file, or a home, that is")


def check_rpc_url(url: str) -> None:
    """Require an address of a node, or the path of its socket.

    Raises
    ------
    BadInput
        If it cannot be used.
    """
    path = socket_path(url)
    if path is not None:
        if str(path) in ("", ".") or len(os.fsencode(path)) > _SOCKET_BYTES_MAX:
            raise BadInput(
                f"rpc_url: {url!r} is not the path of a Unix socket; it has 1 to {_SOCKET_BYTES_MAX} bytes"
            )
    elif url.partition("://")[0] not in _NODE_SCHEMES or "://" not in url:
        raise BadInput(
            "rpc_url must begin with http://, https://, ws:// or wss://, or be the path of a socket "
            f"(ipc://PATH), found {redacted_node(url)!r}"
        )


def identity(url: str) -> str:
    """Return what tells one database from another: the URL without credentials and options."""
    place = url.partition("?")[0]
    if place.startswith("sqlite:///"):
        path = place.removeprefix("sqlite:///").replace("%3F", "?").replace("%25", "%")
        return "sqlite:" + str(Path(path).resolve())
    host, slash, name = place.partition("://")[2].rpartition("@")[2].partition("/")
    return host.lower() + slash + name  # hosts ignore case, names of databases need not


def only_deployment(folder: Path) -> str:
    """Return the path of the one deployment file of a folder; nothing where there is none, or more than one."""
    found = sorted(folder.glob("*.json"))
    return found[0].as_posix() if len(found) == 1 else ""


def network_of(deployment: str) -> str:
    """Return the name of a network: what its deployment file says, or that of the file while there is none.

    The books hold what the file says: under another name nothing of the mirror would be found.
    """
    if not deployment:
        return "custom"
    try:
        said = json.loads(Path(deployment).read_text(encoding="utf-8"))["network"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return Path(deployment).stem  # whoever needs the file says what is wrong with it
    return said if isinstance(said, str) and said else Path(deployment).stem


def finality(value: str) -> str:
    """Return a rule of finality.

    Raises
    ------
    BadInput
        If it cannot be used.
    """
    if value == "finalized" or _whole(value) is not None:
        return value
    raise BadInput(f"finality must be `finalized` or a number of blocks, found {value[:_SHOWN]!r}")


def depth_of(rule: str | int) -> str | int:
    """Return a rule of finality, as a number of blocks where it is one: settings are texts."""
    return int(rule) if str(rule).isdigit() else rule


def receipts(value: str) -> str:
    """Return how receipts are known.

    Raises
    ------
    BadInput
        If it cannot be used.
    """
    if value in ("proven", "told"):
        return value
    raise BadInput(f"receipts must be `proven` or `told`, found {value!r}")


def live_months(text: str) -> int:
    """Return for how many months real-time data are live.

    Raises
    ------
    BadInput
        If it cannot be used.
    """
    months = positive("live_months", text)
    if months > LIVE_MONTHS_MAX:
        raise BadInput(f"live_months must be from 1 to {LIVE_MONTHS_MAX}, found {text!r}")
    return months


def span(name: str, value: str, most: int = SPAN_MAX) -> int:
    """Return a number of hours, minutes or seconds, or of days with ``DAYS_MAX``.

    Raises
    ------
    BadInput
        If it cannot be used.
    """
    number = positive(name, value)
    if number > most:
        raise BadInput(f"{name} must be from 1 to {most}, found {value!r}")
    return number


def way(value: str) -> Way:
    """Return a way to settle.

    Raises
    ------
    BadInput
        If it cannot be used.
    """
    if value in set(Way):
        return Way(value)
    raise BadInput(f"settlement_way must be {', '.join(Way)}, found {value!r}")


def signer_url(value: str) -> str:
    """Return the address of a remote signer.

    Raises
    ------
    BadInput
        If it cannot be used.
    """
    if value and not value.startswith(("http://", "https://")):
        raise BadInput(
            f"signer_url must begin with http:// or https://, found {redacted_node(value)!r}"
        )
    _check_host("signer_url", value)
    return value


def cache_url(value: str) -> str:
    """Return the address of a Redis; empty: there is none.

    Raises
    ------
    BadInput
        If it cannot be used.
    """
    if value and not value.startswith(("redis://", "rediss://", "unix://")):
        raise BadInput(
            f"cache_url must begin with redis://, rediss:// or unix://, found {redacted(value)!r}"
        )
    if not value.startswith("unix://"):
        _check_host("cache_url", value)
    return value


def public_url(value: str, host: str, port: str) -> str:
    """Return the address of the pages, without a slash at the end.

    Raises
    ------
    BadInput
        If it cannot be used.
    """
    if not value:
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"
    if not _PUBLIC_URL.fullmatch(value):
        raise BadInput(
            "public_url must be http:// or https:// with a host and perhaps a path, without question mark, "
            f"found {redacted(value)!r}"
        )
    _check_host("public_url", value)
    return value.rstrip("/")


def _check_host(name: str, url: str) -> None:
    """Require a port that can be, and over HTTP a host, of an address that is given; Redis has a host by default.

    Raises
    ------
    BadInput
        If it cannot be used.
    """
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018, refused as it is read
    except ValueError as error:
        raise BadInput(f"{name} {redacted(url)!r} is not an address: {error}") from None
    if parts.scheme in ("http", "https") and not parts.hostname:
        raise BadInput(f"{name} {redacted(url)!r} is not an address: it has no host")


def path_of(value: str) -> Path | None:
    """Return a path; None: nothing is named."""
    return Path(value) if value else None


def port(name: str, value: str) -> int:
    """Return a number of a port.

    Raises
    ------
    BadInput
        If it cannot be used.
    """
    number = positive(name, value)
    if number > 65535:
        raise BadInput(f"{name} must be a port from 1 to 65535, found {value!r}")
    return number


def flag(name: str, value: str) -> bool:
    """Return true or false.

    Raises
    ------
    BadInput
        If it cannot be used.
    """
    if value in ("true", "false"):
        return value == "true"
    raise BadInput(f"{name} must be `true` or `false`, found {value!r}")


def natural(name: str, value: str) -> int:
    """Return a whole number, zero included.

    Raises
    ------
    BadInput
        If it cannot be used.
    """
    found = _whole(value)
    if found is None:
        raise BadInput(f"{name} must be a whole number, or 0, found {value[:_SHOWN]!r}")
    return found


def positive(name: str, value: str) -> int:
    """Return a whole number above zero.

    Raises
    ------
    BadInput
        If it cannot be used.
    """
    found = _whole(value)
    if not found:
        raise BadInput(f"{name} must be a whole number above zero, found {value[:_SHOWN]!r}")
    return found


def _whole(value: str) -> int | None:
    """Return a number of digits alone; None for what is none, or longer than any setting: Python reads but 4300."""
    digits = value.isascii() and value.isdigit() and len(value) <= _SHOWN
    return int(value) if digits else None
