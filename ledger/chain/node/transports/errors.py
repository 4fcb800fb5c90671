"""What can go wrong between us and a node: one error for each kind, each one clear line.

::

    NodeTrouble           exit 3
    ├── NodeDown          nobody takes a connection
    │   └── GatewayAlone      a gateway says that the node behind it is gone
    ├── NodeClosed        the connection ended in the middle of an answer, twice in a row
    ├── NodeSlow          no whole answer within the time-out
    ├── NodeLimits        asked too much: HTTP 429; says when to come back, if the node does
    └── NodeAnswer        an answer that is none: a gateway's page, other ids than were asked
        ├── AnswerTooLarge    more bytes than are taken; ask for less
        └── RequestRefused    a gateway does not take the request, or answers a part of it: it may be too long
"""

from __future__ import annotations

from ssl import SSLCertVerificationError

from ledger.errors import DependencyDown

_REST_S_MAX = 3600.0
"""A longer rest is cut to this: some servers write the moment in place of the seconds, which is years ahead."""


class NodeTrouble(DependencyDown):
    """Base of everything that a transport raises because of the node or the way to it."""

    default_code = "node-down"
    retry_after_s: float | None = None
    """Seconds that the node asked to be left alone; None where it did not say."""


class NodeDown(NodeTrouble):
    """Nobody answers."""


class GatewayAlone(NodeDown):
    """A gateway answers, and says that the node behind it is gone."""


class NodeClosed(NodeTrouble):
    """The connection ended before the answer did."""


class NodeSlow(NodeTrouble):
    """The answer was not there in time."""

    default_code = "node-slow"

    @classmethod
    def after(cls, timeout_s: float, place: str) -> NodeSlow:
        """Return the error of a node that was asked, and did not answer within so long."""
        return cls(
            f"{place} did not answer within {timeout_s:g} s; it is overloaded, or out of reach"
        )


class NodeLimits(NodeTrouble):
    """The node wants to be asked less.

    Parameters
    ----------
    retry_after_s
        Seconds to leave it alone; None where it did not say. An hour is the most that it gets.
    status
        Of HTTP: one that is down may ask for rest as well.
    """

    default_code = "node-limits"

    def __init__(self, place: str, retry_after_s: float | None, status: int = 429) -> None:
        if retry_after_s is not None:
            retry_after_s = min(retry_after_s, _REST_S_MAX)
        when = "" if retry_after_s is None else f"; it asks for {retry_after_s:.0f} s of rest"
        super().__init__(
            f"{place} limits how much it is asked (HTTP {status}){when}; ask less, or use another node"
        )
        self.status = status
        self.retry_after_s = retry_after_s


class NodeAnswer(NodeTrouble):
    """What came is no answer to what was asked."""

    default_code = "node-answer"


class AnswerTooLarge(NodeAnswer):
    """The answer has more bytes than are taken; a shorter range has fewer."""


class RequestRefused(NodeAnswer):
    """The request was not taken, or not all of it was answered; a shorter one may be."""


def untrusted(place: str, error: BaseException) -> NodeDown | None:
    """Return what to say when a node's certificate was refused; None when the error is of another kind.

    Parameters
    ----------
    place
        The address without secrets.
    error
        As a library raised it: its cause may be the refusal.
    """
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, SSLCertVerificationError):
            return NodeDown(
                f"the certificate of {place} is not trusted ({found.verify_message}): name its issuer's file in "
                "SSL_CERT_FILE, or use the address that it was made for"
            )
        found = found.__cause__ or found.__context__
    return None
