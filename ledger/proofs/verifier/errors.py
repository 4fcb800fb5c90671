"""The one error of the verifier."""

from __future__ import annotations


class ProofError(Exception):
    """A bundle does not prove what it should; the message says what, in one line.

    Attributes
    ----------
    check
        Name of the check that failed.
    done
        The checks that held before it.
    """

    done: tuple[tuple[str, str], ...] = ()

    def __init__(self, check: str, message: str) -> None:
        super().__init__(message)
        self.check = check
        self.message = message
