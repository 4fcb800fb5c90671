"""Which codes can be asked for: a code that names a record is a part of the address of its page and its route."""

from __future__ import annotations

_STEPS = (".", "..")
"""What every client takes out of an address before it asks (RFC 3986, 5.2.4), escaped or not."""


def unreachable(code: str) -> str | None:
    """Return why no address can lead to what has this code; None where one can.

    A slash parts an address, escaped as ``%2F`` too: servers and what stands before them read it as one.
    All else can be escaped.
    """
    if "/" in code:
        return "has a slash, and a code is one part of an address"
    if code in _STEPS:
        return "is a step of an address, so that nothing can be found by it"
    return None
