"""Reverts that come from a token below the called contract; selectors as OpenZeppelin publishes them."""

import pytest
from eth_abi.abi import encode

from ledger.chain.contracts.events import CREDIT, SETTLEMENT
from ledger.chain.failures.reverts import reason_of

WHO, OTHER = "0x" + "ab" * 20, "0x" + "cd" * 20

TOKEN_ERRORS = [
    (
        "0xe450d38c",
        ["address", "uint256", "uint256"],
        [WHO, 1, 2],
        f"ERC20InsufficientBalance(sender={WHO}, balance=1, needed=2)",
    ),
    ("0x96c6fd1e", ["address"], [WHO], f"ERC20InvalidSender(sender={WHO})"),
    ("0xec442f05", ["address"], [WHO], f"ERC20InvalidReceiver(receiver={WHO})"),
    (
        "0xfb8f41b2",
        ["address", "uint256", "uint256"],
        [WHO, 1, 2**255],
        f"ERC20InsufficientAllowance(spender={WHO}, allowance=1, needed={2**255})",
    ),
    ("0xe602df05", ["address"], [WHO], f"ERC20InvalidApprover(approver={WHO})"),
    ("0x94280d62", ["address"], [WHO], f"ERC20InvalidSpender(spender={WHO})"),
    (
        "0x03dee4c5",
        ["address", "uint256", "uint256", "uint256"],
        [WHO, 1, 2, 3],
        f"ERC1155InsufficientBalance(sender={WHO}, balance=1, needed=2, tokenId=3)",
    ),
    ("0x01a83514", ["address"], [WHO], f"ERC1155InvalidSender(sender={WHO})"),
    ("0x57f447ce", ["address"], [WHO], f"ERC1155InvalidReceiver(receiver={WHO})"),
    (
        "0xe237d922",
        ["address", "address"],
        [WHO, OTHER],
        f"ERC1155MissingApprovalForAll(operator={WHO}, owner={OTHER})",
    ),
    ("0x3e31884e", ["address"], [WHO], f"ERC1155InvalidApprover(approver={WHO})"),
    ("0xced3e100", ["address"], [WHO], f"ERC1155InvalidOperator(operator={WHO})"),
    (
        "0x5b059991",
        ["uint256", "uint256"],
        [1, 2],
        "ERC1155InvalidArrayLength(idsLength=1, valuesLength=2)",
    ),
    ("0x5274afe7", ["address"], [WHO], f"SafeERC20FailedOperation(token={WHO})"),
    (
        "0xe2517d3f",
        ["address", "bytes32"],
        [WHO, b"\x01" * 32],
        f"AccessControlUnauthorizedAccount(account={WHO}, neededRole=0x{'01' * 32})",
    ),
    ("0xd93c0665", [], [], "EnforcedPause()"),
    ("0x8dfc202b", [], [], "ExpectedPause()"),
    ("0x3ee5aeb5", [], [], "ReentrancyGuardReentrantCall()"),
]


@pytest.mark.parametrize("contract", [CREDIT, SETTLEMENT, None])
@pytest.mark.parametrize(
    ("selector", "types", "values", "said"), TOKEN_ERRORS, ids=[item[3] for item in TOKEN_ERRORS]
)
def test_an_error_of_a_token_is_decoded(
    contract: str | None, selector: str, types: list[str], values: list[object], said: str
) -> None:
    assert reason_of(contract, selector + encode(types, values).hex()) == said


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, None),
        ("0x", None),
        ("0x1234", None),
        ("0xdeadbeef", "unknown error 0xdeadbeef"),
        ("0xe450d38c01", "malformed error 0xe450d38c"),
        ("0x08c379a0" + encode(["string"], ["no"]).hex(), "Error(no)"),
    ],
)
def test_what_is_no_error_of_anybody(data: str | None, said: str | None) -> None:
    assert reason_of(SETTLEMENT, data) == said
