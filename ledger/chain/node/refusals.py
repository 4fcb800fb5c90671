"""What a node means when it refuses a call.

Nodes have no common codes for limits, for what they have pruned or not reached, and for methods that they do not have.
So their words are looked at: those of the widespread nodes (Geth, Erigon, Nethermind, Besu, Reth) and of providers.
"""

from __future__ import annotations

from typing import Any

REVERTED = 3
"""The error code of the execution API for a call that reverted."""
_RATE_CODE = 429
_RATE_WORDS = (
    "rate limit", "rate exceeded", "too many request", "compute units", "throttl", "per second",
)  # fmt: skip
_LIMIT_CODES = frozenset({_RATE_CODE, -32005, -32029, -32097})
_LIMIT_WORDS = (*_RATE_WORDS, "limit exceeded", "request limit", "quota")
PRUNED_HISTORY = 4444
"""The execution API's code for blocks that a node keeps no more (EIP-4444)."""
_PRUNED_WORDS = (
    "pruned", "missing trie node", "historical state", "state is not available",
    "state not available", "history is not available", "archive", "ancient",
    "old data not available", "no state available", "state unavailable",
)  # fmt: skip
_UNREACHED_WORDS = (
    "header not found", "block not found", "unknown block", "header for hash not found",
    "could not find block", "cannot find block", "header does not exist", "block does not exist",
    "beyond current head", "beyond latest", "beyond head block", "greater than latest block",
    "after last accepted block", "unfinalized data", "not yet mined",
)  # fmt: skip
_NO_SUCH_METHOD = -32601
_NOT_ENABLED = -32604
"""Besu's code for a method whose name space is not served."""
_METHOD_WORDS = (
    "not found", "not supported", "unsupported", "does not exist", "not available", "not enabled",
    "disabled", "not allowed", "not whitelisted",
)  # fmt: skip


def told(error: Any) -> tuple[int, str]:
    """Return code and message of an error of JSON-RPC, as nodes write it; 0 and nothing where there is none."""
    if not isinstance(error, dict):
        return 0, error if isinstance(error, str) else ""
    code = error.get("code")
    return code if isinstance(code, int) else 0, str(error.get("message", ""))


def is_of_call(error: Any) -> bool:
    """Return whether an error is of the call itself, and its words are a contract's: they may be any.

    An error with data is; but for one with the code of a limit, beside which Infura says how many calls it takes.
    """
    code = told(error)[0]
    if code in _LIMIT_CODES:
        return False
    return code == REVERTED or (isinstance(error, dict) and error.get("data") is not None)


def is_revert(code: int, message: str, data: Any) -> bool:
    """Return whether a call reverted, by what a node says: not all of them give the code of the execution API."""
    return code == REVERTED or data is not None or "revert" in message.lower()


def is_limit(code: int, message: str) -> bool:
    """Return whether a node was asked too much."""
    said = message.lower()
    return code in _LIMIT_CODES or any(words in said for words in _LIMIT_WORDS)


def is_rate(code: int, message: str) -> bool:
    """Return whether a node was asked too much within a moment: soon it answers the same."""
    said = message.lower()
    return code == _RATE_CODE or any(words in said for words in _RATE_WORDS)


def is_pruned(code: int, message: str) -> bool:
    """Return whether a node had what it was asked for, and has dropped it."""
    said = message.lower()
    return code == PRUNED_HISTORY or any(words in said for words in _PRUNED_WORDS)


def is_unreached(message: str) -> bool:
    """Return whether a node does not know the block that it was asked about: it may get there."""
    said = message.lower()
    return any(words in said for words in _UNREACHED_WORDS)


def is_of_method(method: str, code: int, message: str) -> bool:
    """Return whether a node does not have, or serve, a method at all.

    The words must be about the method: a block that is "not found" is another thing.
    """
    if code in (_NO_SUCH_METHOD, _NOT_ENABLED):
        return True
    said = message.lower()
    named = "method" in said or method.lower() in said
    return named and any(words in said for words in _METHOD_WORDS)
