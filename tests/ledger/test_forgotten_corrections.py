"""What is cancelled for a correction, and what the chain has of it that restored books forgot: by rows alone."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from fractions import Fraction
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from ledger.corrections.cancelling import Debt, canceller
from ledger.corrections.forgotten import cancelled_before
from ledger.db import Database
from ledger.errors import Refused
from ledger.models import CreditCancellation, CreditHolding, Issuance
from ledger.models.sending import IntentState
from tests.support.issued import OTHERS, OWNER, ZERO, Books, hash_of, written_books

OURS, BEFORE, AFTER = (hash_of(2000 + number) for number in range(3))
Cancelled = Callable[..., None]


@pytest.fixture
def books(sqlite_db: Database) -> Iterator[Books]:
    with written_books(sqlite_db) as written:
        yield written


@pytest.fixture
def issuance(books: Books) -> Issuance:
    row = books.issued(3, 5)
    books.batch(3, 5, ordinal=1, key=row.key)
    return row


@pytest.fixture
def cancelled(books: Books) -> Cancelled:
    blocks = count(10)

    def write(key: str, kg: int, **values: object) -> None:
        row = {
            "block_number": next(blocks),
            "log_index": 0,
            "key": key,
            "batch_id": 2 << 32 | 1,
            "holder": OWNER,
            "first_serial": 1,
            "amount_kg": kg,
            "reason": f"correction {key}: late_readings",
            "tx_hash": ZERO,
            "cancelled_at": datetime(2014, 3, 1, tzinfo=UTC),
        }
        books.session.add(CreditCancellation(**row | values))
        books.session.flush()

    return write


def test_its_own_is_taken_up_and_no_other_is_added(
    books: Books, issuance: Issuance, cancelled: Cancelled
) -> None:
    books.owed(issuance, "5")  # carried: it has no key of a cancellation
    assert cancelled_before(books.session, issuance, OURS, cancels=True) is None
    cancelled(OURS, 7)
    cancelled(AFTER, 5)  # is taken up in its turn
    assert cancelled_before(books.session, issuance, OURS, cancels=True) == 7
    with pytest.raises(Refused, match="7 kg are cancelled on chain for this") as told:
        cancelled_before(books.session, issuance, OURS, cancels=False)
    assert (told.value.code, told.value.details) == ("forgotten-correction", {"keys": [OURS]})


@pytest.mark.parametrize("cancels", [True, False])
def test_one_before_it_comes_first(
    books: Books, issuance: Issuance, cancelled: Cancelled, cancels: bool
) -> None:
    """In the order of the chain, however the keys lie."""
    cancelled(BEFORE, 5)
    cancelled(OURS, 7)
    cancelled(AFTER, 5)
    with pytest.raises(Refused, match="for a correction that these books do not know") as told:
        cancelled_before(books.session, issuance, OURS, cancels=cancels)
    assert told.value.details == {"keys": [BEFORE]}
    books.owed(issuance, "5", act_key=BEFORE)  # known now
    if cancels:
        assert cancelled_before(books.session, issuance, OURS, cancels=True) == 7


@pytest.mark.parametrize(
    "values",
    [{"holder": OTHERS}, {"batch_id": 2 << 32 | 2}, {"reason": f"as correction {BEFORE}: a jest"}],
    ids=["by whoever else holds some", "of another batch", "for another reason"],
)
def test_what_is_no_correction_of_it_keeps_none_from_being_recorded(
    books: Books, issuance: Issuance, cancelled: Cancelled, values: dict[str, object]
) -> None:
    """Anybody who holds a kilogram of the batch could have kept its corrections from it for ever."""
    cancelled(BEFORE, 5, **values)
    for cancels in (True, False):
        assert cancelled_before(books.session, issuance, OURS, cancels=cancels) is None


def test_an_unknown_issuance_after_it_may_have_carried_it(
    books: Books, issuance: Issuance, cancelled: Cancelled
) -> None:
    """It may have, where it begins at the end of the period, or later, and is of the same site and of others' books."""
    books.batch(1, 3, ordinal=2)
    books.batch(4, 5, ordinal=3)
    books.batch(5, 6, ordinal=1, site=3)
    known = books.issued(5, 6)
    books.batch(5, 6, ordinal=4, key=known.key)
    assert cancelled_before(books.session, issuance, OURS, cancels=True) is None
    last = hash_of(3000)
    books.batch(5, 6, ordinal=5, key=last)
    with pytest.raises(Refused, match=r"later issuances of the site .*\(1\)") as told:
        cancelled_before(books.session, issuance, OURS, cancels=True)
    assert (told.value.code, told.value.details) == ("forgotten-issuance", {"keys": [last]})
    assert cancelled_before(books.session, issuance, OURS, cancels=False) is None
    cancelled(OURS, 7)  # it was not carried, then
    assert cancelled_before(books.session, issuance, OURS, cancels=True) == 7


def test_no_more_is_cancelled_than_others_leave_of_what_is_held(
    books: Books, issuance: Issuance
) -> None:
    """Else the contract would refuse it, and nothing were cancelled. A part of a kilogram is a whole one."""
    batch_id = 2 << 32 | 1
    for holder, held in ((OWNER, 10), (OTHERS, 500)):
        books.session.add(CreditHolding(batch_id=batch_id, holder=holder, amount_kg=held))
    states = (
        IntentState.PLANNED,
        IntentState.CONFIRMED,
        IntentState.FAILED,
    )  # 3 kg are held no more
    for key, kg, state in zip((BEFORE, AFTER, hash_of(2010)), (4, 3, 2), states, strict=True):
        books.intent(key, state, {})
        books.owed(issuance, "5", act_key=key, cancelled_kg=kg)
    books.intent(hash_of(2011), IntentState.PLANNED, {})
    books.owed(books.issued(5, 6), "5", act_key=hash_of(2011), cancelled_kg=5)
    credit, keyring = SimpleNamespace(address=OTHERS), SimpleNamespace(signer=lambda *_: None)
    deployment = SimpleNamespace(chain_id=1, credit=credit)
    chain: Any = SimpleNamespace(deployment=deployment, keyring=keyring)
    cancel = canceller(chain)
    for number, (owed, kg) in enumerate(((Fraction(5, 2), 3), (Fraction(17, 2), 6)), 2020):
        debt = Debt(hash_of(number), owed, "a test")
        assert cancel(books.session, issuance, debt) == (debt.key, kg)
