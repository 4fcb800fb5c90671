"""What is on its way to the chain, as a person sees it: ``chain intents`` and ``doctor``."""

from pathlib import Path
from typing import Any

import pytest

from ledger.chain.sending import intents
from ledger.chain.sending.intents import NewIntent, SignedAttempt, new_key
from ledger.db import Database
from ledger.models.sending import IntentState
from tests.cli.conftest import Ended

OWNER, CONTRACT = "0x" + "1" * 40, "0x" + "2" * 40


@pytest.fixture
def books(migrated: Any, tmp_path: Path) -> Database:
    (file,) = tmp_path.rglob("truetonne.db")
    return Database(f"sqlite:///{file}")


def planned(db: Database) -> str:
    intent = NewIntent(new_key(), "test", "TestCurrency", CONTRACT, "mint", [OWNER, 5], OWNER)
    return db.run(lambda session: intents.plan(session, 31337, intent))


def signed(db: Database, key: str, number: int, gwei: int, nonce: int = 4) -> str:
    tx_hash = f"0x{number:064x}"
    attempt = SignedAttempt(tx_hash, "0x02", nonce, gwei * 10**9, 10**9)
    with db.write() as session:
        intents.store_attempt(session, intents.get(session, key), attempt)
    return tx_hash


def test_nothing_is_on_its_way(truetonne: Any, books: Database) -> None:
    ended: Ended = truetonne("chain", "intents", "--json")
    assert (ended.code, ended.json()) == (0, {"alarms": 0, "intents": []})
    assert "nothing is on its way" in truetonne("chain", "intents").out


def test_attempts_fees_and_what_to_do(truetonne: Any, books: Database) -> None:
    key = planned(books)
    first = signed(books, key, 1, 3)
    second = signed(books, key, 2, 101)
    ended: Ended = truetonne("chain", "intents", "--json")
    assert ended.code == 0
    (shown,) = ended.json()["intents"]
    assert (shown["key"], shown["state"], shown["nonce"], shown["alarm"]) == (
        key,
        "submitted",
        4,
        None,
    )
    assert 0 <= shown["age_seconds"] < 120
    seen = [(item["transaction"], item["max_fee_gwei"], item["fate"]) for item in shown["attempts"]]
    assert seen == [(first, "3", "replaced"), (second, "101", "stored, not sent yet")]
    assert shown["what_to_do"].endswith("not sent yet: `truetonne up` or the jobs send it")
    with books.write() as session:
        intents.mark_broadcast(session, first)
    sent = truetonne("chain", "intents", "--json").json()["intents"][0]
    assert sent["what_to_do"].startswith("sent; `truetonne up` or the jobs replace it")
    text = truetonne("chain", "intents").out
    assert first in text and "101" in text
    checks = {item["name"]: item for item in truetonne("doctor", "--json").json()["checks"]}
    assert checks["sender"]["found"] == "1 intent on the way, none with an alarm"


def test_an_alarm(truetonne: Any, books: Database) -> None:
    key = planned(books)
    signed(books, key, 1, 3)
    with books.write() as session:
        intents.set_alarm(session, key, "gas costs 25.0 gwei: it waits")
    ended: Ended = truetonne("chain", "intents", "--json")
    assert (ended.code, ended.json()["alarms"]) == (1, 1)
    assert ended.json()["intents"][0]["what_to_do"] == "gas costs 25.0 gwei: it waits"
    checks = {item["name"]: item for item in truetonne("doctor", "--json").json()["checks"]}
    assert checks["sender"]["verdict"] == "failed"
    assert "first mint: gas costs 25.0 gwei: it waits" in checks["sender"]["found"]
    assert checks["sender"]["mend"] == "see `truetonne chain intents`"


def test_those_that_have_ended(truetonne: Any, books: Database) -> None:
    keys = [planned(books) for _ in range(3)]
    with books.write() as session:
        intents.refuse(session, keys[0], "NotActive()")
        lost = intents.get(session, keys[1])
        lost.state, lost.nonce = IntentState.SUBMITTED, 9
    signed(books, keys[1], 1, 3, nonce=4)
    signed(books, keys[1], 2, 3, nonce=9)
    shown = truetonne("chain", "intents", "--json").json()["intents"]
    assert [item["key"] for item in shown] == sorted(keys[1:], key=keys.index)
    fates = [item["fate"] for item in shown[0]["attempts"]]
    assert fates == ["its nonce went to another transaction", "stored, not sent yet"]
    assert len(truetonne("chain", "intents", "--all", "--json").json()["intents"]) == 3
    assert (
        len(truetonne("chain", "intents", "--all", "--limit", "2", "--json").json()["intents"]) == 2
    )
    (one,) = truetonne("chain", "intents", keys[0], "--json").json()["intents"]
    assert (one["state"], one["what_to_do"]) == ("failed", "NotActive()")
    ended: Ended = truetonne("chain", "intents", "0x" + "9" * 64)
    assert ended.code == 2
    assert "no intent has the key" in ended.one_line()


def test_the_doctor_asks_the_signer(truetonne: Any, books: Database) -> None:
    checks = {item["name"]: item for item in truetonne("doctor", "--json").json()["checks"]}
    assert checks["signer_url"]["verdict"] == "skipped"
    ended: Ended = truetonne("doctor", "--json", signer_url="http://127.0.0.1:9")
    checks = {item["name"]: item for item in ended.json()["checks"]}
    assert (ended.code, checks["signer_url"]["verdict"]) == (3, "down")
    assert "correct signer_url" in checks["signer_url"]["mend"]
