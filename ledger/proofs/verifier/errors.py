"""The one error of the verifier."""


class ProofError(Exception):
    """A bundle does not prove what it should; the message says why, in one line."""

    check = ""
    """Name of the check that failed."""
    done: tuple[tuple[str, str], ...] = ()
    """The checks that held before it, as (name, words)."""


def require(truth: object, message: str) -> None:
    """Raise ``ProofError`` unless something holds."""
    if not truth:
        raise ProofError(message)
