"""Where a message may be posted: never into the network of whoever runs this, unless a setting says so.

An address that a user gives is a way to make this machine ask others. So it is ``https``, of a public host; the
host is looked up at each sending, every address that it has must be public, and the connection goes to that very
address: a name that points elsewhere a moment later leads nowhere.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from ledger.errors import BadInput, Refused

URL_CHARACTERS_MAX = 2000
_ADDRESSES_MAX = 4
_EMBEDDING = (  # IPv6 networks whose addresses stand for IPv4 ones, and where in them those are
    (ip_network("64:ff9b::/96"), 0),
    (ip_network("2002::/16"), 80),
)
_UNICAST = ip_network("2000::/3")
"""All of IPv6 that is given out for use between networks: RFC 4291, and IANA's registry of that space."""

_OF_CLOUDS = (
    ip_network("169.254.0.0/16"),  # nearly all
    ip_network("fe80::a9fe:a9fe/128"),  # OpenStack, over IPv6
    ip_network("100.100.100.200/32"),  # Alibaba Cloud
    ip_network("192.0.0.192/32"),  # Oracle Cloud
    ip_network("168.63.129.16/32"),  # Azure, by an address of the public network
    ip_network("fd00:ec2::/32"),  # Amazon, over IPv6
    ip_network("fd20:ce::254/128"),  # Google Cloud
    ip_network("fd00:c1::a9fe:a9fe/128"),  # Oracle Cloud
    ip_network("fd00:42::42/128"),  # Scaleway
)
"""Where clouds tell a machine its keys. No receiver is there, so no setting opens it to who may add an endpoint."""


class TargetRefused(Refused):
    """Messages are not posted there."""

    default_code = "target-refused"


@dataclass(frozen=True)
class Target:
    """A place to connect to."""

    urls: tuple[str, ...]
    """One for each address of the host, in its place, in the system's order: the first that answers is meant."""
    host: str
    """Name and port for the Host header."""
    name: str
    """Name that the certificate must have."""


def check_url(url: str, private: bool) -> SplitResult:
    """Return an address in its parts.

    Parameters
    ----------
    private
        Whether hosts of one's own network, and http, are allowed.

    Raises
    ------
    BadInput
        If nothing can be posted there.
    """
    if len(url) > URL_CHARACTERS_MAX:
        raise BadInput(f"the address has {len(url)} characters, at most {URL_CHARACTERS_MAX}")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise BadInput("the address has characters that a URL cannot have; write them as %XX")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadInput(
            f"the address is no URL ({error}); such as https://example.org/hook"
        ) from error
    if parts.scheme != "https" and not (private and parts.scheme == "http"):
        raise BadInput(
            f"the address must begin with https://, found {parts.scheme or url[:20]!r}: "
            "messages cross networks of others"
        )
    if not parts.hostname or port == 0:
        raise BadInput("the address names no host; such as https://example.org/hook")
    if parts.username is not None:  # also where a password alone is given
        raise BadInput("the address carries a name or password; signatures say who sends")
    _check_literal(parts.hostname, private)
    if parts.fragment:
        raise BadInput("the address has a part after `#`, which is never sent; leave it out")
    return parts


def _check_literal(host: str, private: bool) -> None:
    """Refuse at once what needs no look-up to be known as one's own network, or as a cloud's word to its machines."""
    name = host.removesuffix(".")
    try:
        address = _literal(name)
        public = is_public(address)
    except ValueError:
        address, public = None, name != "localhost" and not name.endswith(".localhost")
    if not public and not private:
        raise BadInput(f"{host} is not a public host; messages go to those alone")
    if address is not None and _is_of_cloud(address):
        raise BadInput(f"{host} is where a cloud tells machines their keys; no message goes there")


def _literal(name: str) -> IPv4Address | IPv6Address:
    """Return the address that a host is written as, also as one number, in parts, octal or hexadecimal.

    Raises
    ------
    ValueError
        If it is a name.
    """
    try:
        return IPv4Address(socket.inet_aton(name))  # as whoever connects would read it
    except OSError:
        return ip_address(name)


def resolve(url: str, private: bool) -> Target:
    """Look up where to connect to.

    Raises
    ------
    BadInput
        As ``check_url``.
    TargetRefused
        If the host has no address, or one that is not public.
    """
    parts = check_url(url, private)
    name = str(parts.hostname)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise TargetRefused(f"{name} has no address ({error}); check the URL") from error
    addresses = [ip_address(str(item[4][0]).partition("%")[0]) for item in found]
    for address in addresses:
        if not private and not is_public(address):
            raise TargetRefused(
                f"{name} is {address}, which is not public; messages go to public hosts, unless "
                "webhook_private_targets is true"
            )
        if _is_of_cloud(address):
            raise TargetRefused(
                f"{name} is {address}, where a cloud tells machines their keys; no message goes there"
            )
    literals = [f"[{each}]" if each.version == 6 else str(each) for each in addresses]
    urls = [parts._replace(netloc=f"{each}:{port}").geturl() for each in dict.fromkeys(literals)]
    return Target(tuple(urls[:_ADDRESSES_MAX]), parts.netloc, name)


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Return whether an address is one of the public network, also the one that it stands for."""
    if isinstance(address, IPv6Address):
        inner = _meant(address)
        if inner != address:
            return is_public(inner)
        if address.teredo is not None or address not in _UNICAST:
            return False
    return address.is_global and not address.is_multicast


def _meant(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that one of IPv6 stands for; else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    for network, shift in _EMBEDDING:
        if address in network:
            return IPv4Address(int(address) >> shift & 0xFFFFFFFF)
    return address.ipv4_mapped or address


def _is_of_cloud(address: IPv4Address | IPv6Address) -> bool:
    return any(_meant(address) in network for network in _OF_CLOUDS)
