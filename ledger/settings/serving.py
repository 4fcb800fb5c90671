"""How the API is served, as the settings say: sessions, limits, proxies, pages of other origins."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from ledger.errors import BadInput

Network = IPv4Network | IPv6Network
_ORIGIN = re.compile(r"https?://(\[[0-9a-f:]+\]|[a-z0-9.-]+)(:[0-9]{1,5})?")


@dataclass(frozen=True)
class Serving:
    """How the API is served.

    Parameters
    ----------
    session_whole, session_idle
        How long a session lasts from signing in, and from its last use.
    requests_per_minute
        How many requests of one client are answered; 0: no limit.
    trusted_proxies
        Networks whose ``X-Forwarded-For`` and ``X-Forwarded-Proto`` are believed.
    cors_origins
        Origins whose pages may read the answers in a browser.
    allowed_networks
        Networks whose clients are answered; empty: everybody is.
    """

    session_whole: timedelta
    session_idle: timedelta
    requests_per_minute: int
    trusted_proxies: tuple[Network, ...]
    cors_origins: tuple[str, ...]
    allowed_networks: tuple[Network, ...] = ()

    def trusts(self, host: str) -> bool:
        """Return whether an address is one of the proxies."""
        return bool(self.trusted_proxies) and within(self.trusted_proxies, host)


def within(networks: tuple[Network, ...], host: str) -> bool:
    """Return whether an address is in one of the networks; what is no address is in none.

    An IPv4 address that is written as an IPv6 one (``::ffff:10.0.0.1``) is the IPv4 address.
    """
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return any(address in network or (mapped and mapped in network) for network in networks)


@lru_cache(maxsize=4096)
def machine_of(host: str) -> str:
    """Return what stands for one machine: its address, of IPv6 the /64; what is no address as it is."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(IPv6Address(int(address) >> 64 << 64))
    return host


def read_networks(setting: str, text: str) -> tuple[Network, ...]:
    """Return the networks that a setting names.

    Raises
    ------
    BadInput
        If one is none.
    """
    found = []
    for part in filter(None, (item.strip() for item in text.split(","))):
        try:
            found.append(ip_network(part))
        except ValueError as error:
            raise BadInput(
                f"{setting}: {part!r} is no address or network ({error}); write 10.0.0.1 or 10.0.0.0/8"
            ) from error
    return tuple(found)


def read_origins(text: str) -> tuple[str, ...]:
    """Return the origins of the setting ``cors_origins``.

    Raises
    ------
    BadInput
        If one is none. There is no ``*``: it would be every page of the world.
    """
    found = []
    for part in filter(None, (item.strip() for item in text.split(","))):
        if not _ORIGIN.fullmatch(part):
            raise BadInput(
                f"cors_origins: {part!r} is no origin; write https://pages.example, without a path"
            )
        found.append(part)
    return tuple(found)
