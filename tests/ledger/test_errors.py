"""The tree of errors: exit codes by branch, one line each, and a form for machines."""

import pytest

from ledger.chain.node.client import RpcError
from ledger.chain.sending.sender import AlreadyOnChain, NotTaken
from ledger.db import DatabaseBusy
from ledger.errors import (
    BadInput,
    BooksDiffer,
    DependencyDown,
    MirrorStopped,
    NotFound,
    ProblemFound,
    Refused,
    RowsRejected,
    TruetonneError,
    WrongChain,
)


@pytest.mark.parametrize(
    ("kind", "exit_code", "code"),
    [
        (ProblemFound, 1, "problem-found"),
        (RowsRejected, 1, "rows-rejected"),
        (BooksDiffer, 1, "books-differ"),
        (Refused, 1, "refused"),
        (AlreadyOnChain, 1, "already-on-chain"),
        (BadInput, 2, "bad-input"),
        (NotFound, 2, "not-found"),
        (WrongChain, 2, "wrong-chain"),
        (DependencyDown, 3, "dependency-down"),
        (MirrorStopped, 3, "mirror-stopped"),
        (NotTaken, 3, "not-taken"),
        (DatabaseBusy, 3, "database-busy"),
    ],
)
def test_exit_codes(kind: type[TruetonneError], exit_code: int, code: str) -> None:
    error = kind("what is wrong")
    assert (error.exit_code, error.code) == (exit_code, code)
    assert isinstance(error, TruetonneError)


def test_every_error_has_an_exit_code_that_the_command_line_knows() -> None:
    def descendants(kind: type[TruetonneError]) -> set[type[TruetonneError]]:
        found = {kind}
        for child in kind.__subclasses__():
            found |= descendants(child)
        return found

    kinds = descendants(TruetonneError)
    assert len(kinds) > 12
    assert {kind.exit_code for kind in kinds} == {1, 2, 3}


def test_a_message_is_one_line() -> None:
    error = BadInput("first\n  second\tthird ")
    assert error.message == str(error) == "first second third"


def test_the_form_for_machines() -> None:
    error = NotFound("no meter", code="no-meter", details={"line": 7, "column": "value"})
    assert error.as_json() == {
        "code": "no-meter",
        "message": "no meter",
        "line": 7,
        "column": "value",
    }


def test_details_replace_neither_code_nor_message() -> None:
    error = Refused("a rule", details={"code": "x", "message": "y", "other": 1})
    assert error.as_json() == {"code": "refused", "message": "a rule", "other": 1}


@pytest.mark.parametrize(
    ("rpc_code", "message", "data", "reverted"),
    [
        (3, "execution failed", None, True),
        (-32000, "execution reverted", None, True),
        (-32015, "VM execution error", "0x", True),
        (-32005, "daily request count exceeded", None, False),
        (-32000, "header not found", None, False),
        (-32000, "insufficient funds for gas * price + value", None, False),
    ],
)
def test_a_node_in_trouble_is_told_from_a_contract_that_refuses(
    rpc_code: int, message: str, data: str | None, reverted: bool
) -> None:
    assert RpcError("eth_call", rpc_code, message, data).reverted is reverted
