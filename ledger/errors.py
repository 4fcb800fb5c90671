"""The errors of the ledger: one tree, one clear line each, an exit code for every branch.

::

    TruetonneError
    ├── ProblemFound      exit 1   the question was understood, and the answer is bad
    │   ├── RowsRejected           some rows of a file were not taken; the good ones were
    │   ├── BooksDiffer            reconciliation found differences
    │   └── Refused                a rule of the ledger or of a contract forbids it
    ├── BadInput          exit 2   a file, an argument or a setting is wrong
    │   ├── NotFound               the named thing does not exist
    │   └── WrongChain             the node serves another chain than the books are kept for
    └── DependencyDown    exit 3   a database or a node does not answer
        └── MirrorStopped          the mirror met something it must not skip

A message says what is wrong, where it stands, and how to mend it, in one line.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping
from typing import Any

_COMPARED_LENGTH_MAX = 100
"""Of a name that nothing has, somebody may have written any length."""
INTERRUPTED = 130
"""Exit code of what was told to end, by Ctrl-C or a signal: none of the tree's."""

KILLED = "was killed (SIGKILL): by a person, or by the system, which had no memory left (its log says so, see `dmesg`)"
"""What is said of a program that we had started and that was, after its name."""

TOO_MANY_OPEN = frozenset({errno.EMFILE, errno.ENFILE})
"""What the system says where no more files or sockets can be opened, by this process or by all."""


class TruetonneError(Exception):
    """Base of every error that the ledger raises on purpose.

    Parameters
    ----------
    message
        One line: what, where, how to mend it.
    code
        A stable identifier in kebab case for machines; the class has a default.
    details
        Values that a machine may want (file, line, column, expected, found).
    """

    exit_code = 1
    default_code = "error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(" ".join(message.split()))
        self.code = code or self.default_code
        self.details: dict[str, Any] = dict(details or {})

    @property
    def message(self) -> str:
        """The one line for a person."""
        return str(self.args[0])

    def add(self, more: str) -> None:
        """Let the message say more: what only who asked for the work knows."""
        self.args = (f"{self.message}; {more}", *self.args[1:])

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints under ``error``."""
        first = {"code": self.code, "message": self.message}
        return {**first, **self.details, **first}


class ProblemFound(TruetonneError):
    """A check was carried out and failed."""

    exit_code = 1
    default_code = "problem-found"


class RowsRejected(ProblemFound):
    """Rows of a file were rejected; the good ones were kept."""

    default_code = "rows-rejected"


class BooksDiffer(ProblemFound):
    """The books and the chain do not say the same."""

    default_code = "books-differ"


class Refused(ProblemFound):
    """A rule of the ledger, or of a contract, forbids what was asked."""

    default_code = "refused"


class ContractRefused(Refused):
    """A contract refuses a call. The message has the error as the contract names it, and not what that means."""

    default_code = "contract-refused"


class BadInput(TruetonneError):
    """A file, an argument or a setting cannot be used as it is."""

    exit_code = 2
    default_code = "bad-input"


class NotFound(BadInput):
    """The named thing does not exist."""

    default_code = "not-found"


class WrongChain(BadInput):
    """The node serves another chain than the one the books are kept for."""

    default_code = "wrong-chain"


class DependencyDown(TruetonneError):
    """A database or a node does not answer."""

    exit_code = 3
    default_code = "dependency-down"


class MirrorStopped(DependencyDown):
    """The mirror met something that it must not skip, and stopped with the reason."""

    default_code = "mirror-stopped"


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """Return a question after the known name that is nearest to another; where none is near, what to say instead."""
    from difflib import get_close_matches  # who names what there is needs none of it

    near = get_close_matches(name[:_COMPARED_LENGTH_MAX], sorted(known), n=1)
    return f"did you mean {near[0]!r}?" if near else otherwise


NO_DOCUMENT = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
)
"""What reading a document of somebody else raises, where it is not what it should be; ``in_words`` says each."""


def in_words(error: Exception) -> str:
    """Return what is wrong with a document of somebody else, without the words of Python for it."""
    if isinstance(error, KeyError):
        return f"it has no {error.args[0]!r}"
    if isinstance(error, (TypeError, AttributeError)):
        return "a part of it is of another kind than it must be"
    if isinstance(error, RecursionError):
        return "it is nested without end"
    if isinstance(error, OverflowError):
        return "it has a number without end"
    if isinstance(error, UnicodeError):
        return "it has characters that no text has"
    return str(error)
