"""What files have in common that travel to be signed: JSON that says in words and figures what a message says.

Whoever signs such a file, or takes it in, derives its words from its EIP-712 message, which alone is signed, and
refuses a file in which the two differ.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ledger.chain.keys.typed_data import as_contracts_take_it, signer_of
from ledger.errors import BadInput, Refused
from ledger.files import read_at_most
from ledger.jsontext import once

_SIGNATURE = re.compile(r"0x([0-9a-fA-F]{2})+", re.ASCII)
_SIZE_MAX = 16 * 2**20
_DEPTH_MAX = 50
"""So deep values are nested at most. A file of ours has six levels, and Python gives up at several hundred."""
_SIGNATURE_BYTES_MAX = 16_384
"""A key signs with 65 bytes, a wallet that is a contract with some thousand. MariaDB keeps 65,535 characters."""
_T = TypeVar("_T")


def as_text(document: Mapping[str, Any]) -> str:
    """Return the content of a file, as text."""
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def read(
    path: Path,
    form: str,
    what: str,
    parse: Callable[[Mapping[str, Any]], _T],
    document: Callable[[_T, Mapping[str, str]], Mapping[str, Any]],
) -> tuple[_T, dict[str, str]]:
    """Read a file; return what it asks to sign, and the signatures in it by account, unchecked.

    Parameters
    ----------
    form
        The format that it names.
    what
        What such a file is of, for messages.
    parse
        Takes what is asked from the content: from the message where it can.
    document
        Says what the content is then, signatures included.

    Raises
    ------
    BadInput
        If it cannot be read, is no such file, or says in its figures something else than in its message.
    """
    given = _json(path, what)
    if given.get("format") != form:
        raise BadInput(f"{path}: no file of {what} to be signed ({form})")
    try:
        asked, signatures = parse(given), dict(given["signatures"])
        expected = json.loads(json.dumps(document(asked, signatures)))
    except Exception as error:  # whatever stands there, and whichever encoder stumbles over it
        raise BadInput(
            f"{path}: altered or torn: {type(error).__name__}: {error}; ask for the file again"
        ) from error
    found = difference(given, expected)
    if found is not None:
        raise BadInput(
            f"{path}: altered: {found}; do not sign it, ask for the file again", code="altered"
        )
    for account, signature in signatures.items():
        if not isinstance(signature, str) or not _SIGNATURE.fullmatch(signature):
            raise BadInput(f"{path}: the signature of {account} is no hexadecimal text")
        if len(signature) > 2 + 2 * _SIGNATURE_BYTES_MAX:
            raise BadInput(
                f"{path}: the signature of {account} has more than {_SIGNATURE_BYTES_MAX} bytes; take it out, and ask "
                "for another"
            )
    by_account = {account.lower(): signature for account, signature in signatures.items()}
    if len(by_account) < len(signatures):
        raise BadInput(f"{path}: signatures names an account twice; leave one of them")
    return asked, by_account


def check_signer(
    path: Path, message: Mapping[str, Any], account: str, signature: str, what: str
) -> str:
    """Return a signature in the form that the contract takes; refuse one that another key made.

    Parameters
    ----------
    what
        What is signed, for messages: ``this batch``.

    Raises
    ------
    Refused
        With who signed instead.
    """
    taken = as_contracts_take_it(bytes.fromhex(signature[2:]))
    signer = signer_of(message, taken)
    if signer != account:
        said = f"that of {signer}" if signer else "none of any key"
        raise Refused(
            f"{path}: the signature under {account} is {said} for {what}; sign the file with the key of {account}",
            code="another-key",
        )
    return "0x" + taken.hex()


def difference(given: Any, expected: Any, place: str = "", skip: Sequence[str] = ()) -> str | None:
    """Return the first place where two documents differ, and how; None: nowhere, but for keys to skip."""
    parts: list[tuple[str, Any, Any]] = []
    if isinstance(given, dict) and isinstance(expected, dict):
        names = [name for name in dict.fromkeys((*expected, *given)) if name not in skip]
        parts = [
            (f"{place}.{name}" if place else name, given.get(name), expected.get(name))
            for name in names
        ]
    elif isinstance(given, list) and isinstance(expected, list) and len(given) == len(expected):
        pairs = zip(given, expected, strict=True)
        parts = [(f"{place}[{number}]", *pair) for number, pair in enumerate(pairs)]
    elif type(given) is not type(expected) or given != expected:
        return f"{place} says {_said(given)}, and what is signed {_said(expected)}"
    found = (difference(one, other, where) for where, one, other in parts)
    return next((item for item in found if item is not None), None)


def _said(value: Any) -> str:
    return "nothing" if value is None else repr(str(value)[:80])


def _json(path: Path, what: str) -> dict[str, Any]:
    try:
        data = read_at_most(path, _SIZE_MAX)
        if data is None:
            raise BadInput(f"{path}: larger than {_SIZE_MAX} bytes; no file of {what} is")
        found = json.loads(data.decode("utf-8-sig"), object_pairs_hook=once)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not JSON: {error}") from error
    if not isinstance(found, dict):
        raise BadInput(f"{path}: not a JSON object")
    if _is_deep(found, _DEPTH_MAX):
        raise BadInput(f"{path}: nested deeper than any file of {what}; ask for the file again")
    return found


def _is_deep(value: Any, left: int) -> bool:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return left < 0 or any(_is_deep(part, left - 1) for part in parts)
