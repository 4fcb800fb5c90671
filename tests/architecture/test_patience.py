"""Brownie asks again for what a busy node does not show yet."""

from types import SimpleNamespace
from typing import Any

import pytest
from web3.exceptions import TransactionNotFound

from scripts.toolchain.brownie_patience import be_patient


def node(answers: list[Any]) -> Any:
    """Return a web3 whose node answers in turn; None is a transaction that it does not show."""

    def ask(tx_hash: str) -> Any:
        answer = answers.pop(0)
        if answer is None:
            raise TransactionNotFound(tx_hash)
        return answer

    return SimpleNamespace(eth=SimpleNamespace(get_transaction=ask, get_transaction_receipt=ask))


def test_a_receipt_that_comes_late_is_found() -> None:
    web3 = node([None, None, {"status": 1}])
    be_patient(web3)
    be_patient(web3)
    assert web3.eth.get_transaction_receipt("0x1") == {"status": 1}


def test_what_never_comes_is_not_found() -> None:
    web3 = node([None] * 100)
    be_patient(web3, patience_s=0.05)
    with pytest.raises(TransactionNotFound):
        web3.eth.get_transaction("0x1")
