"""Who may do what, on SQLite and MariaDB: passwords, rights, users, keys, and what is kept for a time only."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from typing import Any

import bcrypt
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from ledger.audit import HOUSE, By
from ledger.clock import time_text
from ledger.db import Database
from ledger.errors import BadInput, DependencyDown, Refused
from ledger.identity import (
    attempts,
    idempotency,
    keys,
    passwords,
    permissions,
    sessions,
    signing_in,
    users,
)
from ledger.identity.rights import NAMES, RIGHTS, SCOPES, check_scopes, rights_of
from ledger.identity.sessions import Lifetime
from ledger.models import AuditLog, IdempotencyKey, SignInAttempt, User, UserSession
from ledger.models.users import UserRole
from ledger.sealing import Sealer
from ledger.webhooks import endpoints
from tests.support.forms import few, long

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = Lifetime(timedelta(hours=12), timedelta(hours=1))
SEALER = Sealer({1: b"k" * 32}, b"i" * 32)
HASH = "$2b$04$" + "x" * 53


def add(db: Database, name: str, role: UserRole = UserRole.VIEWER, mail: str = "") -> User:
    """Add a user whose password nobody knows."""
    return db.run(
        lambda session: users.add(
            session,
            SEALER,
            username=name,
            email=mail or f"{name}@park.example",
            role=role,
            password_hash=HASH,
            by=HOUSE,
        )
    )


# ------------------------------------------------------------------ passwords


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(passwords, "ROUNDS", 4)
    yield


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("elevenchars", "has 11 characters; it needs 12"),
        ("abcabcabcabcabc", "repeats a few characters"),
        ("0123456789" * 7 + "abc", "has 73 bytes in UTF-8, and bcrypt reads 72"),
        ("Zähne-" * 10 + "12345", "has 75 bytes"),
        ("correct\0horse battery", "NUL"),
        ("correct horse \ud800", "not valid Unicode"),
    ],
)
def test_a_password_that_is_refused(password: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        passwords.hashed(password)


def test_twelve_characters_are_taken_and_72_bytes_all_read(cheap: None) -> None:
    assert passwords.hashed("abcdabcdabcd")  # twelve characters, four different ones
    password = "0123456789" * 7 + "ab"
    stored = passwords.hashed(password)
    assert bcrypt.checkpw(password.encode(), stored.encode())
    assert passwords.matches(password, stored)
    assert not passwords.matches(password[:-1] + "c", stored)
    # bcrypt itself would read no further, and call this one right:
    assert not passwords.matches(password + "anything", stored)


def test_a_name_with_a_blank_behind_it_is_nobodys(db: Database, cheap: None) -> None:
    """Else a password could be tried under as many spellings of one name as there are blanks, each with its limits."""
    anna = add(db, "anna")
    password = "correct horse battery"
    db.run(
        lambda session: users.set_password(
            session, users.get(session, anna.id), passwords.hashed(password), HOUSE
        )
    )
    assert signing_in.check(db, "anna", password, None, NOW).id == anna.id
    for name in ("anna ", "Anna", "a\u0301nna"):
        with pytest.raises(signing_in.WrongCredentials):
            signing_in.check(db, name, password, None, NOW)


def test_a_password_is_the_same_from_every_keyboard(cheap: None) -> None:
    composed, combined = "p\u00e4sswort geheim", "pa\u0308sswort geheim"
    assert passwords.matches(combined, passwords.hashed(composed))


def test_hashes_cost_what_they_should() -> None:
    assert passwords.ROUNDS == 12
    assert passwords.hashed("correct horse battery").startswith("$2b$12$")


# ------------------------------------------------------------------ rights


def test_what_the_roles_may() -> None:
    of = {role: rights_of(role, []) for role in UserRole}
    assert of[UserRole.ADMIN] == set(NAMES)
    assert of[UserRole.VIEWER] < of[UserRole.OPERATOR] < of[UserRole.ADMIN]
    assert len(NAMES) == len(set(NAMES)) == len(RIGHTS)
    # What a key could use to outlive its revocation, or to lock its user out.
    assert not {"keys:write", "keys:manage", "sessions:write"} & set(SCOPES)


@pytest.mark.parametrize(
    ("decisions", "may"),
    [
        ([], False),
        ([("audit:read", True)], True),
        ([("audit:read", True), ("audit:read", False)], False),
        ([("audit:read", False), ("audit:read", True)], False),
        ([("users:read", True)], False),
    ],
)
def test_a_denial_wins(decisions: list[tuple[str, bool]], may: bool) -> None:
    assert ("audit:read" in rights_of(UserRole.VIEWER, decisions)) is may


def test_a_right_that_is_no_more_is_nothing() -> None:
    assert "moon:walk" not in rights_of(UserRole.VIEWER, [("moon:walk", True)])


# ------------------------------------------------------------------ users


def test_a_name_and_a_mail_address_are_one_users(db: Database) -> None:
    add(db, "anna", mail="anna@park.example")
    with pytest.raises(Refused, match="user name 'anna' is taken"):
        add(db, "anna", mail="other@park.example")
    with pytest.raises(Refused, match=r"mail address 'anna@park.example' is taken"):
        add(db, "hanna", mail="ANNA@Park.example")


def test_who_is_second_is_told_by_the_database(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when two look at the same moment, and both find the name free."""
    add(db, "anna", mail="anna@park.example")
    otto = add(db, "otto").id
    monkeypatch.setattr(users, "_check_free", lambda *_: None)
    with pytest.raises(Refused, match="user name 'anna' is taken"):
        add(db, "anna", mail="other@park.example")
    with pytest.raises(Refused, match=r"mail address 'anna@park.example' is taken"):
        add(db, "hanna", mail="anna@park.example")
    with pytest.raises(Refused, match=r"mail address 'anna@park.example' is taken"):
        db.run(
            lambda session: users.change(
                session,
                users.get(session, otto),
                HOUSE,
                email="anna@park.example",
                sealer=SEALER,
            )
        )


def test_two_at_once_add_one(db: Database) -> None:
    start = threading.Barrier(2, timeout=180)

    def one(mail: str) -> str:
        start.wait()
        try:
            add(db, "anna", mail=mail)
        except Refused as error:
            return error.message
        return "added"

    with ThreadPoolExecutor(2) as pool:
        said = sorted(pool.map(one, ("a@park.example", "b@park.example")))
    assert said == ["added", "the user name 'anna' is taken; choose another one"]


def test_two_admins_cannot_both_go(db: Database) -> None:
    admins = [add(db, name, UserRole.ADMIN).id for name in ("anna", "berta")]
    start = threading.Barrier(2, timeout=180)

    def leave(number: int) -> str:
        start.wait()
        try:
            db.run(
                lambda session: users.change(
                    session, users.get(session, number), HOUSE, role=UserRole.VIEWER
                )
            )
        except Refused as error:
            return error.code
        return "gone"

    with ThreadPoolExecutor(2) as pool:
        said = sorted(pool.map(leave, admins))
    assert said == ["gone", "last-admin"]


@pytest.mark.mariadb
def test_what_others_did_since_a_unit_of_work_began_is_counted(
    mariadb_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A snapshot has nothing of it: of many at once each saw the room that there was for one."""
    db = mariadb_db
    anna, berta = (add(db, name, UserRole.ADMIN).id for name in ("anna", "berta"))
    monkeypatch.setattr(keys, "ACTIVE_MAX", 1)
    monkeypatch.setattr(endpoints, "ENDPOINTS_MAX", 1)

    def deny(session: Session) -> object:
        user = users.get(session, berta)
        return permissions.decide(session, user, "users:write", granted=False, by=HOUSE)

    def leave(session: Session) -> object:
        return users.change(session, users.get(session, anna), HOUSE, role=UserRole.VIEWER)

    def make(session: Session) -> object:
        owner = users.get(session, anna)
        return keys.make(session, owner, "x", ["keys:read"], 10, HOUSE, NOW)

    def tell(session: Session) -> object:
        url = "https://receiver.example/"
        return endpoints.add(session, SEALER, url, ["credit.*"], None, HOUSE, private=True)

    def after(first: Any, second: Any) -> object:
        """Do one thing in a unit of work in which another one does something after the snapshot."""
        others = [first]

        def work(session: Session) -> object:
            users.get(session, anna)  # the snapshot
            if others:
                db.run(others.pop())
            return second(session)

        return db.run(work)

    acts = ((deny, leave, "last-admin"), (make, make, "too-many-keys"))
    for first, second, code in (*acts, (tell, tell, "too-many-endpoints")):
        with pytest.raises(Refused) as refused:
            after(first, second)
        assert refused.value.code == code

    tokens: list[str] = []
    after(
        lambda session: tokens.append(sessions.begin(session, anna, None, DAY, HOUSE, NOW)[0]),
        lambda session: users.set_password(session, users.get(session, anna), HASH, HOUSE),
    )
    with db.read() as session:
        assert sessions.find(session, tokens[0], NOW) is None


def test_a_change_and_its_audit_entry_are_one(db: Database) -> None:
    user = add(db, "otto", UserRole.OPERATOR)
    by = By(user.id, "2001:db8::1", api_key_id=7)

    def disable(stop: bool) -> None:
        with db.write() as session:
            users.change(session, users.get(session, user.id), by, is_active=False)
            if stop:
                raise RuntimeError("the power is gone")

    with pytest.raises(RuntimeError):
        disable(stop=True)
    with db.read() as session:
        assert users.get(session, user.id).is_active
        assert session.scalar(select(func.count()).select_from(AuditLog)) == 1
    disable(stop=False)
    with db.read() as session:
        entry = session.scalars(select(AuditLog).order_by(AuditLog.id.desc())).first()
    assert entry is not None
    assert (entry.user_id, entry.ip_address, entry.action) == (
        user.id,
        "2001:db8::1",
        "users.change",
    )
    assert entry.old_values == {"is_active": True}
    assert entry.new_values == {"is_active": False, "by_api_key": 7}
    with pytest.raises(DBAPIError, match="append-only"), db.write() as session:
        session.connection().exec_driver_sql("DELETE FROM audit_logs")


def test_permissions_replace_each_other(db: Database) -> None:
    user = add(db, "otto")

    def decided(granted: bool) -> bool:
        return db.run(
            lambda session: permissions.decide(
                session, users.get(session, user.id), "audit:read", granted, HOUSE
            )
        )

    for granted in (True, False, True):
        assert decided(granted) and not decided(granted)
        with db.read() as session:
            (row,) = permissions.of_user(session, user.id)
            assert (row.resource, row.action, row.granted) == ("audit", "read", granted)
            assert ("audit:read" in permissions.rights(session, user)) is granted
    with db.read() as session:  # one entry for each change, and none for what was so already
        entries = session.scalars(select(AuditLog).where(AuditLog.action == "permissions.decide"))
        told = [{"right": "audit:read", "granted": granted} for granted in (True, False, True)]
        assert [entry.new_values for entry in entries] == told


def test_keys_are_found_by_the_whole_of_them(db: Database) -> None:
    user = add(db, "otto", UserRole.OPERATOR)

    def make(days: int) -> tuple[str, int]:
        def work(session: object) -> tuple[str, int]:
            owner = users.get(session, user.id)  # type: ignore[arg-type]
            key, row = keys.make(session, owner, "x", ["keys:read"], days, HOUSE, NOW)  # type: ignore[arg-type]
            return key, row.id

        return db.run(work)

    key, number = make(10)
    other, _ = make(10)
    with db.read() as session:
        found = keys.find(session, key, NOW)
        assert found is not None and found[0].id == number
        mixed = key[:13] + other[13:]  # one key's prefix, the other's secret
        for wrong in (mixed, key[:-1], key.upper(), ""):
            assert keys.find(session, wrong, NOW) is None
        assert keys.find(session, key, NOW + timedelta(days=9, hours=23)) is not None
        assert keys.find(session, key, NOW + timedelta(days=10)) is None
    assert keys.used(found[0], NOW) is not None
    db.alone(keys.used(found[0], NOW))  # type: ignore[arg-type]
    with db.read() as session:
        again = keys.find(session, key, NOW)
        assert again is not None and again[0].last_used_at == NOW
        assert keys.used(again[0], NOW + timedelta(minutes=4)) is None
        assert keys.used(again[0], NOW + timedelta(minutes=5)) is not None
        # The last one was by a clock that was ahead.
        assert keys.used(again[0], NOW - timedelta(days=365)) is not None
        # Nor may it be used when the clock is put right: it would last a year and ten days.
        assert keys.find(session, key, NOW - timedelta(days=365)) is None
        assert keys.find(session, key, NOW - timedelta(minutes=5)) is not None
        late = NOW - timedelta(minutes=6)
        assert keys.state(again[0], late) == "made by a clock that was ahead"


# ------------------------------------------------------------------ attempts, answers, and time


@long
def test_attempts_count_by_pair_name_and_address(db: Database) -> None:
    def attempt(name: str, address: str, at: datetime = NOW) -> str:
        try:
            db.run(lambda session: attempts.begin(session, name, address, at))
        except attempts.TooManyAttempts as error:
            return str(error.details["retry_after_s"])
        return "ok"

    for minute in range(5):
        assert attempt("anna", "10.0.0.1", NOW + timedelta(minutes=minute)) == "ok"
    at = NOW + timedelta(minutes=5)
    assert attempt("anna", "10.0.0.1", at) == "600"  # until the first is a quarter of an hour old
    assert attempt("anna", "10.0.0.2", at) == attempt("berta", "10.0.0.1", at) == "ok"
    assert attempt("anna", "10.0.0.1", NOW + timedelta(minutes=15, seconds=1)) == "ok"
    db.run(lambda session: attempts.succeeded(session, "anna", "10.0.0.1"))
    assert attempt("anna", "10.0.0.1", at) == "ok"
    for number in range(60):
        attempt(f"user{number}", "10.0.0.3", at)
    with db.read() as session:
        count = session.scalar(
            select(func.count())
            .select_from(SignInAttempt)
            .where(SignInAttempt.ip_address == "10.0.0.3")
        )
    assert count == attempts.ADDRESS_MAX == 50


@pytest.mark.mariadb
def test_of_many_attempts_at_once_none_is_too_many(mariadb_db: Database) -> None:
    db = mariadb_db
    add(db, "anna")

    def attempt() -> str:
        try:
            db.run(lambda session: attempts.begin(session, "anna", "10.0.0.1", NOW))
        except attempts.TooManyAttempts:
            return "too many"
        return "ok"

    assert [attempt() for _ in range(4)] == ["ok"] * 4
    with ThreadPoolExecutor(1) as pool:
        with db.write() as session:
            attempts.begin(session, "anna", "10.0.0.1", NOW)
            other = pool.submit(attempt)
            assert wait([other], timeout=0.3).not_done  # until this one is there, or is not
        assert other.result() == "too many"


def test_attempts_of_a_clock_that_was_set_back_do_not_count(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = NOW + timedelta(hours=5)
    for _ in range(attempts.PAIR_MAX):
        db.run(lambda session: attempts.begin(session, "anna", "10.0.0.1", ahead))
    db.run(lambda session: attempts.begin(session, "anna", "10.0.0.1", NOW))
    with pytest.raises(attempts.TooManyAttempts):  # of two machines, one may be ahead by a little
        near = ahead - timedelta(minutes=1)
        db.run(lambda session: attempts.begin(session, "anna", "10.0.0.1", near))
    for theirs, deleted in (ahead, 0), (NOW, attempts.PAIR_MAX):  # ours may be what is behind
        monkeypatch.setattr(attempts, "clock_of", lambda _, theirs=theirs: theirs)
        assert db.run(lambda session: attempts.forget(session, NOW)) == deleted
    db.run(lambda session: attempts.begin(session, "anna", "10.0.0.1", ahead))  # that time has come


def test_what_is_done_is_not_done_again_by_a_clock_that_is_ahead(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def claim(at: datetime) -> idempotency.Claim | bytes:
        return idempotency.claim(db, "user 1", "POST /x", "k" * 16, b"body", at)

    first, late = claim(NOW), NOW + timedelta(days=365)
    assert isinstance(first, idempotency.Claim)
    db.run(lambda session: idempotency.answered(session, first, b"done"))
    for ours, theirs in ((late, NOW), (NOW, late)):
        monkeypatch.setattr(idempotency, "clock_of", lambda _, theirs=theirs: theirs)
        assert claim(ours) == b"done"
    assert isinstance(claim(late), idempotency.Claim)


@few(1)
def test_a_claim_is_one_runs(db: Database) -> None:
    def claim(body: bytes = b"body", at: datetime = NOW, caller: str = "user 1") -> object:
        return idempotency.claim(db, caller, "POST /x", "k" * 16, body, at)

    first = claim()
    assert isinstance(first, idempotency.Claim)
    with pytest.raises(idempotency.StillRunning):
        claim()
    with pytest.raises(idempotency.OtherRequest):
        claim(b"other body")
    assert isinstance(claim(caller="user 2"), idempotency.Claim)
    late = claim(at=NOW + timedelta(minutes=2))  # the first run is taken to be dead
    assert isinstance(late, idempotency.Claim) and late.number != first.number
    with pytest.raises(idempotency.ClaimLost), db.write() as session:
        idempotency.answered(session, first, b"too late")
    dead, late = late, claim()  # of a process that died, and the clock was set back since
    assert isinstance(late, idempotency.Claim) and late.number != dead.number
    with db.write() as session:
        idempotency.answered(session, late, b"the answer, with a secret")
    assert claim() == b"the answer, with a secret"
    with pytest.raises(idempotency.OtherRequest):
        claim(b"other body")
    with db.read() as session:
        row = session.get(IdempotencyKey, first.key_hash)
        assert row is not None and row.answer is not None
    assert "secret" not in row.answer
    # As answers stand in the books, and are read by the version after: RFC 7914, NIST SP 800-38D.
    made = hashlib.scrypt(
        b"k" * 16 + b"\0body", salt=bytes.fromhex(row.salt), n=8192, r=8, p=1, dklen=64
    )
    assert row.fingerprint == made[:32].hex()
    sealed = base64.b64decode(row.answer)
    opened = AESGCM(made[32:]).decrypt(sealed[:12], sealed[12:], first.key_hash.encode())
    assert opened == b"the answer, with a secret"
    idempotency.released(db, late)  # an answer that is there is not given up
    assert claim() == b"the answer, with a secret"
    assert isinstance(claim(at=NOW + timedelta(hours=25)), idempotency.Claim)


@pytest.mark.parametrize("ending", ["under way", "answered", "given up"])
def test_whoever_claims_a_moment_later_learns_how_it_stands(
    sqlite_db: Database, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    """Both found that nobody had used the key."""
    db, run = sqlite_db, Database.run

    def claim() -> object:
        return idempotency.claim(db, "user 1", "POST /x", "k" * 16, b"body", NOW)

    def slower(self: Database, work: Any, **options: Any) -> None:
        monkeypatch.setattr(Database, "run", run)
        faster = claim()
        assert isinstance(faster, idempotency.Claim)
        try:
            run(self, work, **options)
        finally:
            if ending == "answered":
                with db.write() as session:
                    idempotency.answered(session, faster, b"done")
            elif ending == "given up":
                idempotency.released(db, faster)

    monkeypatch.setattr(Database, "run", slower)
    if ending == "answered":
        assert claim() == b"done"
        return
    with pytest.raises(idempotency.StillRunning):
        claim()
    if ending == "given up":
        assert isinstance(claim(), idempotency.Claim)


def test_a_key_without_a_scope_is_refused() -> None:
    with pytest.raises(BadInput, match="an API key needs a scope at least"):
        check_scopes([])


def test_an_address_in_capitals_is_the_same_one() -> None:
    """By two spellings of it a person would have two accounts."""
    assert users.check_email("Anna@Example.ORG") == "anna@example.org"


@long
def test_of_two_that_take_over_a_claim_one_has_it(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both saw that the first run had died; the other one is told to come back, and does not do it as well."""
    late, alone = NOW + timedelta(minutes=5), Database.alone
    monkeypatch.setattr(idempotency, "clock_of", lambda _: late)
    faster: list[idempotency.Claim | bytes] = []

    def claim(at: datetime) -> idempotency.Claim | bytes:
        return idempotency.claim(db, "user 1", "POST /x", "k" * 16, b"body", at)

    def slower(self: Database, *given: Any, **options: Any) -> Any:
        monkeypatch.setattr(Database, "alone", alone)
        faster.append(claim(late))
        return alone(self, *given, **options)

    dead = claim(NOW)
    monkeypatch.setattr(Database, "alone", slower)
    with pytest.raises(idempotency.StillRunning):
        claim(late)
    (winner,) = faster
    assert isinstance(winner, idempotency.Claim) and winner != dead
    db.run(lambda session: idempotency.answered(session, winner, b"done"))
    assert claim(late) == b"done"


@long
@pytest.mark.parametrize("committed", [True, False])
def test_a_claim_whose_database_went_away_is_not_waited_for(
    sqlite_db: Database, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    """Whether the claim was committed nobody knows; the same request again is answered at once, and once."""
    db, run = sqlite_db, Database.run

    def gone(*_: object, **__: object) -> None:
        raise DependencyDown("2013 lost connection", code="database-down")

    def lost(self: Database, work: Any, **options: Any) -> None:
        if committed:
            run(self, work, **options)
        gone()

    def claim() -> object:
        return idempotency.claim(db, "user 1", "POST /x", "k" * 16, b"body", NOW)

    with monkeypatch.context() as patch:
        patch.setattr(Database, "run", lost)
        with pytest.raises(DependencyDown):
            claim()
    first = claim()
    assert isinstance(first, idempotency.Claim)
    with pytest.raises(idempotency.StillRunning):
        claim()  # that one is under way
    with monkeypatch.context() as patch:  # its work is lost, and so is the giving up
        patch.setattr(Database, "alone", gone)
        with pytest.raises(DependencyDown):
            idempotency.released(db, first)
    second = claim()
    assert isinstance(second, idempotency.Claim) and second.number != first.number
    with pytest.raises(idempotency.ClaimLost), db.write() as session:
        idempotency.answered(session, first, b"woke up late")
    with db.write() as session:
        idempotency.answered(session, second, b"done")
    assert claim() == b"done"


@pytest.mark.parametrize(("whole_h", "idle_h", "hours"), [(12, 1, 1), (1, 12, 1)])
def test_a_session_that_nobody_uses_ends_by_the_shorter_time(
    sqlite_db: Database, whole_h: int, idle_h: int, hours: int
) -> None:
    user = add(sqlite_db, "otto")
    lifetime = Lifetime(timedelta(hours=whole_h), timedelta(hours=idle_h))
    end = NOW + timedelta(hours=hours)
    with sqlite_db.write() as session:
        token, _ = sessions.begin(session, user.id, "agent", lifetime, HOUSE, NOW)
    with sqlite_db.read() as session:
        assert sessions.find(session, token, end - timedelta(seconds=1)) is not None
        assert sessions.find(session, token, end) is None


@pytest.mark.parametrize("idle_min", [1, 60])
def test_a_session_that_is_used_goes_on_however_short_its_rest_may_be(
    sqlite_db: Database, idle_min: int
) -> None:
    user = add(sqlite_db, "otto")
    lifetime = Lifetime(timedelta(hours=12), timedelta(minutes=idle_min))
    with sqlite_db.write() as session:
        token, _ = sessions.begin(session, user.id, "agent", lifetime, HOUSE, NOW)
    at = NOW
    for _ in range(5):
        at += lifetime.idle / 2
        with sqlite_db.write() as session:
            found = sessions.find(session, token, at)
            assert found is not None
            note = sessions.used(found[0], lifetime, at)
            assert note is not None
            session.execute(note)
    with sqlite_db.read() as session:
        found = sessions.find(session, token, at)
        assert found is not None
        assert sessions.used(found[0], lifetime, at + timedelta(seconds=1)) is None  # not each one
        assert sessions.find(session, token, at + lifetime.idle) is None


def test_a_session_that_a_clock_began_a_year_ahead_is_none(
    sqlite_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Used or not, it would last a year and twelve hours, or come to life again then."""
    monkeypatch.setattr(sessions, "clock_of", lambda _: NOW - timedelta(days=1))
    user = add(sqlite_db, "otto")
    ahead = NOW + timedelta(days=365)
    with sqlite_db.write() as session:
        token, _ = sessions.begin(session, user.id, "agent", DAY, HOUSE, ahead)
    with sqlite_db.read() as session:
        assert sessions.find(session, token, NOW) is None
        assert sessions.of_user(session, user.id, NOW) == []
        slow = ahead - timedelta(minutes=1)  # of two machines, one may be behind by a little
        assert sessions.find(session, token, slow) is not None
    with sqlite_db.write() as session:
        assert sessions.forget(session, NOW) == 1
    with sqlite_db.read() as session:
        said = session.scalars(select(AuditLog).order_by(AuditLog.id.desc())).first()
        assert said is not None and said.old_values is not None
        assert said.old_values["began_after"] == time_text(NOW + timedelta(minutes=5))
        assert sessions.find(session, token, ahead) is None


def test_jobs_by_a_clock_that_is_behind_end_no_session(db: Database) -> None:
    """Who has just signed in is known by the database's clock to have begun now, not in a time to come."""
    user, now = add(db, "otto"), datetime.now(UTC)
    token, _ = db.run(lambda s: sessions.begin(s, user.id, "agent", DAY, HOUSE, now))
    for behind in (timedelta(minutes=10), timedelta(days=365)):
        assert db.run(lambda s, behind=behind: sessions.forget(s, now - behind)) == 0  # type: ignore[misc]
    with db.read() as session:
        assert sessions.find(session, token, now) is not None


@long
def test_what_is_kept_for_a_time_only(db: Database) -> None:
    user = add(db, "otto")
    for age in (timedelta(days=1), timedelta(days=31)):
        db.run(
            lambda session, age=age: sessions.begin(  # type: ignore[misc]
                session, user.id, "agent", DAY, HOUSE, NOW - age
            )
        )
        db.run(lambda session, age=age: attempts.begin(session, "x", "y", NOW - age))  # type: ignore[misc]
        idempotency.claim(db, str(age), "POST /x", "k" * 16, b"", NOW - age / 2)
    for deleted in (1, 1, 2), (0, 0, 0):
        with db.write() as session:
            rooms = (sessions, idempotency, attempts)
            assert tuple(room.forget(session, NOW) for room in rooms) == deleted
    with db.read() as session:
        assert session.scalar(select(func.count()).select_from(UserSession)) == 1
        last = session.scalars(select(AuditLog).order_by(AuditLog.id.desc())).first()
    assert last is not None and (last.action, last.new_values) == ("sessions.forget", {"count": 1})
