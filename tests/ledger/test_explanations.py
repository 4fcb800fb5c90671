"""Errors of the contracts in plain words: none is without, and real reverts are explained with their values."""

from __future__ import annotations

import re
from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode
from eth_utils.crypto import keccak

from api.errors import problem_of
from ledger.chain.contracts.abi import artifact
from ledger.chain.failures.explanations import explain, table, with_meaning
from ledger.chain.failures.reverts import reason_of
from ledger.errors import BadInput, ContractRefused, Refused
from ledger.settlement.money import explained, refused_in_money
from scripts.fresh import CONTRACTS
from scripts.generate_errors import generate

VALUES = {
    "address": "0x" + "ab" * 20,
    "string": "a, b=(c)",
    "bytes32": b"\x11" * 32,
    "bytes2": b"DE",
}


def test_the_table_is_that_of_the_abis() -> None:
    assert generate(check=True) == [], "run `python -m scripts.generate_errors`"


@pytest.mark.parametrize("contract", CONTRACTS)
def test_every_error_is_explained_with_its_values(contract: str) -> None:
    errors = [item for item in artifact(contract).abi if item["type"] == "error"]
    for item in errors:
        types = [part["type"] for part in item["inputs"]]
        values = [VALUES.get(kind, 3) for kind in types]
        selector = keccak(text=f"{item['name']}({','.join(types)})")[:4]
        reason = reason_of(contract, "0x" + (selector + abi_encode(types, values)).hex())
        found = explain(reason)
        assert found is not None and found.name == item["name"], reason
        assert list(found.arguments) == [part["name"] for part in item["inputs"]]
        for sentence in (found.english, found.to_do, found.chinese, found.to_do_chinese):
            assert sentence and "{" not in sentence, sentence
        assert any("\u4e00" <= sign <= "\u9fff" for sign in found.chinese)
        assert table()[found.name]["selector"] == "0x" + selector.hex()


@pytest.mark.parametrize(
    ("text", "english"),
    [
        ("NotActive(batchId=7, status=2)", "Batch 7 is suspended, not active."),
        (
            "AssetNotTransferable(asset=4294967297)",
            "Asset 4294967297 does not move: its batch of credits is suspended, disputed, cancelled, expired or "
            "unknown (0 is money, and no batch).",
        ),
        ("AlreadySettled(seq=5)", "Trade 5 is settled already, or in a batch that is open."),
        ("BatchNotOpen(batchId=7, status=2)", "Settlement batch 7 is finalized, not open."),
        ("BatchNotOpen(batchId=9, status=0)", "Settlement batch 9 is unknown, not open."),
        ("NotActive(batchId=9, status=0)", "Batch 9 is unknown, not active."),
        (
            "ClaimExpired(deadline=1388534400)",
            "The verifier's signature was good until 2014-01-01 00:00:00 UTC.",
        ),
        (
            "WrongTotal(seq=5, stated=-1234, computed=99)",
            "Trade 5 states -12.34, but quantity and price come to 0.99.",
        ),
        (
            f"WrongTotal(seq=5, stated={2**127}, computed={2**255})",
            "Trade 5 states 1701411834604692317316873037158841057.28, but quantity and price come to "
            "578960446186580977117854925043439539266349923328202820197287920039565648199.68.",
        ),
        ("FeeTooHigh(bps=125, limit=100)", "A fee of 1.25 % is above the limit of 1 %."),
        ("the contract says CodeTaken(code=a, b); see the log", "The code a, b is registered already."),
        ("NotActive(batchId=7, status=99)", "Batch 7 is 99, not active."),
        ("ClaimExpired(deadline=" + "9" * 30 + ")", "The verifier's signature was good until " + "9" * 30 + "."),
        ("CodeTaken(code=a\x00\u202eb)", "The code a\ufffd\ufffdb is registered already."),
        ("EmptyBatch()", "The batch has no trade."),
    ],
)  # fmt: skip
def test_sentences(text: str, english: str) -> None:
    found = explain(text)
    assert found is not None and found.english == english


@pytest.mark.parametrize(
    "text", [None, "", "out of gas", "Error(no)", "NotActive", "NotActive(1, 2)", "Panic(0x11)"]
)
def test_what_is_no_error_of_ours(text: str | None) -> None:
    assert explain(text) is None


def test_the_meaning_is_said_once() -> None:
    said = with_meaning("CarbonCredit refuses retire: NotActive(batchId=7, status=2)")
    assert said.startswith("Batch 7 is suspended, not active. ")
    assert said.endswith("(CarbonCredit refuses retire: NotActive(batchId=7, status=2))")
    assert with_meaning(said) == said
    assert with_meaning("the node does not answer") == "the node does not answer"


def test_a_refusal_of_a_contract_is_a_problem_in_plain_words() -> None:
    problem = problem_of(Refused("retire was refused: NotActive(batchId=7, status=2)"))
    assert (problem.status, problem.code) == (409, "not-active")
    assert problem.detail.startswith("Batch 7 is suspended, not active. Wait until")
    assert problem.extensions["contract_error"]["chinese"].startswith("批次 7")
    kept = problem_of(Refused("no: KeyUsed(key=0x11)", code="twice"))
    assert (kept.code, kept.extensions["contract_error"]["name"]) == ("twice", "KeyUsed")
    for plain in (Refused("it may not be"), BadInput("NotActive(batchId=7, status=2)")):
        assert "contract_error" not in problem_of(plain).extensions


def test_a_refusal_for_anything_but_money_stays_the_contract_s() -> None:
    """It became an error without a kind and without its key, and ``settle one`` said no more what it means."""
    refusal = ContractRefused(
        "VppSettlement refuses settle: EnforcedPause()", details={"key": "0x11"}
    )
    nothing_asked: Any = None
    with pytest.raises(ContractRefused) as error, refused_in_money(nothing_asked, explained):
        raise refusal
    assert error.value is refusal


OF_PAGES = {"cancelled for good": "作废", "suspended": "暂停", "invalidat": "无效", "site": "园区"}
OF_NO_PAGE = ("注销", "中止", "撤销", "站点", "密钥")
"""The first is of retirements, which no error is about; the last is a secret one, and the key of an act is meant."""


def test_the_chinese_of_an_error_has_the_words_of_the_pages() -> None:
    """*Cancelled for good* was said as *retired for good*: the pages have that word for a retirement."""
    met = set()
    for name, error in table().items():
        said = error["chinese"] + error["to_do_chinese"]
        assert not [word for word in OF_NO_PAGE if word in said], name
        for english, chinese in OF_PAGES.items():
            if re.search(rf"\b{english}", error["english"]):
                met.add(english)
                assert chinese in said, name
    assert met == set(OF_PAGES)
