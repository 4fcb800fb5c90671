"""What a revert says, whoever in the chain of calls raised it.

A contract of ours passes on what a token says when it refuses, so that an error may belong to none of the
called contract's own. After the ABIs we have, a small table knows the errors that tokens share.
"""

from __future__ import annotations

from functools import cache

from tiny_keccak import keccak256

from ledger.chain.contracts.abi_values import decoded
from ledger.chain.contracts.events import CREDIT, SETTLEMENT
from ledger.chain.contracts.wrappers import decode_error

_TOKEN_ERRORS = (
    # ERC-6093, for ERC-20 and ERC-1155
    "ERC20InsufficientBalance(address sender,uint256 balance,uint256 needed)",
    "ERC20InvalidSender(address sender)",
    "ERC20InvalidReceiver(address receiver)",
    "ERC20InsufficientAllowance(address spender,uint256 allowance,uint256 needed)",
    "ERC20InvalidApprover(address approver)",
    "ERC20InvalidSpender(address spender)",
    "ERC1155InsufficientBalance(address sender,uint256 balance,uint256 needed,uint256 tokenId)",
    "ERC1155InvalidSender(address sender)",
    "ERC1155InvalidReceiver(address receiver)",
    "ERC1155MissingApprovalForAll(address operator,address owner)",
    "ERC1155InvalidApprover(address approver)",
    "ERC1155InvalidOperator(address operator)",
    "ERC1155InvalidArrayLength(uint256 idsLength,uint256 valuesLength)",
    # what OpenZeppelin adds around them
    "SafeERC20FailedOperation(address token)",
    "AccessControlUnauthorizedAccount(address account,bytes32 neededRole)",
    "EnforcedPause()",
    "ExpectedPause()",
    "ReentrancyGuardReentrantCall()",
)
_UNDECODED = ("unknown error", "malformed error")
_LENGTH_MAX = 500
"""Characters of a reason that are told: whoever is called says as much as the gas allows, 100 kB for instance."""


def reason_of(contract: str | None, data: str | None) -> str | None:
    """Return a revert as ``Name(argument=value, ...)``, or its beginning; None when there is nothing to decode.

    Parameters
    ----------
    contract
        Name of the called contract, whose errors come first.
    data
        What the node sent with the revert.
    """
    if not data or len(data) < 10:
        return None
    names = [contract] if contract else []
    names += [name for name in (CREDIT, SETTLEMENT) if name != contract]
    for name in names:
        found = decode_error(name, data)
        if found is not None and not found.startswith(_UNDECODED):
            return found[:_LENGTH_MAX]
    return (_of_tokens(data) or f"unknown error {data[:10]}")[:_LENGTH_MAX]


@cache
def _token_errors() -> dict[str, tuple[str, list[str], list[str]]]:
    """Return name, types and names of the arguments of each error, by selector."""
    found = {}
    for text in _TOKEN_ERRORS:
        name, _, rest = text.removesuffix(")").partition("(")
        arguments = [part.split(" ") for part in rest.split(",")] if rest else []
        types = [kind for kind, _ in arguments]
        selector = "0x" + keccak256(f"{name}({','.join(types)})".encode())[:4].hex()
        found[selector] = name, types, [word for _, word in arguments]
    return found


def _of_tokens(data: str) -> str | None:
    known = _token_errors().get(data[:10].lower())
    if known is None:
        return None
    name, types, words = known
    try:
        values = decoded(types, bytes.fromhex(data[10:]))
    except Exception:  # revert data is whatever the called code made of it
        return f"malformed error {data[:10]}"
    shown = (
        "0x" + value.hex() if isinstance(value, bytes) else str(value).lower() for value in values
    )
    return (
        f"{name}({', '.join(f'{word}={value}' for word, value in zip(words, shown, strict=True))})"
    )
