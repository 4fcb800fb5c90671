"""Mail addresses and profiles are sealed; keys are changed while others work, and whatever is killed goes on."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from cli import doctor_database, sealed
from ledger import sealing
from ledger.audit import HOUSE
from ledger.backup import stream
from ledger.chain.keys import keystore
from ledger.clock import utc_now
from ledger.db import Database
from ledger.errors import BadInput, Refused
from ledger.identity import contacts, users
from ledger.models import AuditLog, SystemConfig, User, UserContact, WebhookEndpoint
from ledger.models.users import UserRole
from ledger.park import configuration
from ledger.park.configuration import ValueType
from ledger.sealing import Sealer, load_sealer
from ledger.webhooks import endpoints
from tests.support.forked import FORKED, killed_at_fsync
from tests.support.forms import long
from tests.support.full import full_disk

HASH = "$2b$04$" + "x" * 53
USERS = 250
NOTHING = {"users": 0, "webhook_endpoints": 0, "system_config": 0}
RESEAL = (
    "import sys; from pathlib import Path; from cli import sealed; from ledger.db import Database\n"
    "print('ready', flush=True)\n"
    "print(sealed.seal_everything(Database(sys.argv[1]), Path(sys.argv[2])).sealed)"
)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    load_sealer(tmp_path / "sealing.key", make=True)
    return tmp_path / "sealing.key"


def add(db: Database, sealer: Sealer, name: str, mail: str = "") -> int:
    return db.run(
        lambda session: users.add(
            session, sealer, username=name, email=mail or f"{name}@park.example",
            role=UserRole.VIEWER, password_hash=HASH, by=HOUSE,
        )
    ).id  # fmt: skip


def add_plain(db: Database, count: int) -> None:
    """Add users as a version before this one did."""
    with db.write() as session:
        for number in range(count):
            session.add(
                User(username=f"old{number}", email=f"old{number}@park.example", password_hash=HASH,
                     role=UserRole.VIEWER, profile={"page": number}, is_active=True)
            )  # fmt: skip


def stored(db: Database) -> str:
    """Return all that the tables say, as whoever stole the database reads it."""
    with db.read() as session:
        read = session.connection().exec_driver_sql
        tables = ("users", "user_contacts", "audit_logs")
        return str([read(f"SELECT * FROM {table}").all() for table in tables])


def opened(db: Database, key_file: Path) -> list[str | None]:
    with db.read() as session:
        rows = users.all_of_them(session)
        return list(contacts.addresses(session, rows, key_file).values())


def used(db: Database) -> dict[int | None, int]:
    with db.read() as session:
        return dict(users.keys_in_use(session))


# ------------------------------------------------------------------ what is sealed


def test_the_books_have_no_address_and_no_profile_that_anybody_can_read(
    db: Database, key_file: Path
) -> None:
    sealer = load_sealer(key_file)
    number = add(db, sealer, "anna", "Anna.Archer@Park.Example")
    with db.write() as session:
        row = users.get(session, number)
        users.set_profile(session, sealer, row, {"language": "zh", "theme": "dunkel"}, HOUSE)
        assert (kept := row.profile) is not None
        users.set_profile(session, sealer, row, {"theme": "dunkel", "language": "zh"}, HOUSE)
        assert row.profile == kept  # the same again: neither sealed anew nor noted
        users.change(session, row, HOUSE, email="anna.other@park.example", sealer=sealer)
    for secret in ("archer", "park.example", "Archer", "dunkel", "language"):
        assert secret not in stored(db)
    assert opened(db, key_file) == ["anna.other@park.example"]
    with db.read() as session:
        row = users.get(session, number)
        assert users.profile_of(sealer, row) == {"language": "zh", "theme": "dunkel"}
        assert len(row.email) <= 100 and row.email.startswith("b1:")
    with db.write() as session:
        row = users.get(session, number)
        for _ in range(2):
            users.set_profile(session, sealer, row, None, HOUSE)
        assert (row.profile, users.profile_of(sealer, row)) == (None, None)
        told = select(AuditLog.new_values).where(AuditLog.action == "users.profile")
        said = session.scalars(told.order_by(AuditLog.id)).all()
    assert said == [{"profile": "kept"}, {"profile": "removed"}]


def test_an_address_is_taken_once_however_it_is_written(db: Database, key_file: Path) -> None:
    sealer = load_sealer(key_file)
    add(db, sealer, "anna", "anna@park.example")
    add_plain(db, 1)
    # Sealed, and not yet.
    for mail in (
        "ANNA@park.example",
        "anna@PARK.EXAMPLE",
        "Old0@park.example",
    ):
        with pytest.raises(Refused, match="is taken"):
            add(db, sealer, "other", mail)
    with db.read() as session:
        assert contacts.find(session, "old0@park.example", sealer) is not None
        assert contacts.find(session, "nobody@park.example", sealer) is None


def test_a_value_opens_in_its_row_alone(db: Database, key_file: Path) -> None:
    """Whoever may write rows cannot put somebody else's address in their own."""
    sealer = load_sealer(key_file)
    first, second = add(db, sealer, "anna"), add(db, sealer, "otto")
    with db.write() as session:
        taken = session.get_one(UserContact, first).email_sealed
        session.get_one(UserContact, second).email_sealed = taken
    assert opened(db, key_file) == ["anna@park.example", None]
    # What was never sealed, or is cut, hides its own row alone; each ended every list of users.
    for other in ("1:xx", "1:AAAA", "1:", "²:AAAA", "9" * 30 + ":AAAA"):
        with db.write() as session:
            session.get_one(UserContact, first).email_sealed = other
            session.get_one(UserContact, second).email_sealed = sealer.seal(
                "otto@park.example", contacts.context(second)
            )
        assert opened(db, key_file) == [None, "otto@park.example"]
    with pytest.raises(BadInput, match="x/1: what stands there was never sealed") as refused:
        sealer.open("1:xx", "x/1")
    assert refused.value.code == "sealing-key-wrong"


def test_a_key_whose_number_has_too_many_digits_is_none(key_file: Path) -> None:
    """Thousands were a defect of the program; of a backup's key, so was one that four bytes do not hold."""
    key = key_file.read_text().splitlines()[0].partition(":")[2]
    for number in ("9" * 5000, "9" * 10):
        key_file.write_text(f"{number}:{key}\n")
        with pytest.raises(BadInput, match="line 1: should be NUMBER:BASE64"):
            load_sealer(key_file)
    key_file.write_text(f"{'9' * 9}:{key}\n")
    sealed = stream.seal(
        [b"x"], io.BytesIO(), 999_999_999, load_sealer(key_file).keys[999_999_999], "x"
    )
    assert sealed.plain_bytes == 1


@long
def test_an_address_that_looks_like_an_index_and_one_that_is_gone(
    db: Database, key_file: Path
) -> None:
    with db.write() as session:
        for name, mail in (("a1", "b1:x@park.example"), ("a2", "other@park.example")):
            session.add(
                User(
                    username=name,
                    email=mail,
                    password_hash=HASH,
                    role=UserRole.VIEWER,
                    is_active=True,
                )
            )
    assert used(db) == {None: 2}
    sealed.seal_everything(db, key_file)
    assert opened(db, key_file) == ["b1:x@park.example", "other@park.example"]
    with db.write() as session:  # somebody deletes what was sealed: nothing is left to seal
        session.execute(
            text("DELETE FROM user_contacts WHERE user_id = (SELECT MAX(id) FROM users)")
        )
    sealing.add_key(key_file)
    assert sealed.seal_everything(db, key_file).sealed["users"] == 1
    assert (used(db), opened(db, key_file)) == ({2: 1}, ["b1:x@park.example", None])


def test_without_the_key_users_are_seen_and_disabled(db: Database, key_file: Path) -> None:
    number = add(db, load_sealer(key_file), "anna")
    key_file.unlink()
    assert opened(db, key_file) == [None]
    with db.write() as session:
        assert users.change(session, users.get(session, number), HOUSE, is_active=False)


def test_a_key_file_of_other_books_seals_nothing(sqlite_db: Database, key_file: Path) -> None:
    """As another machine's, or home's, that was made there: its first key has the same number, and opens nothing."""
    mine, other = load_sealer(key_file), sealing.passing_sealer()
    add(sqlite_db, mine, "anna")

    def endpoint(sealer: Sealer) -> int:
        url, events = "https://example.org/hook", ["*"]
        return sqlite_db.run(
            lambda session: endpoints.add(session, sealer, url, events, None, HOUSE, private=False)
        )[1].id

    number = endpoint(mine)

    def setting(key: str, sealer: Sealer) -> int:
        return sqlite_db.run(
            lambda session: configuration.put(
                session, key, "token", kind=ValueType.SECRET, sealer=lambda: sealer
            )
        )[0].id

    setting("partner.token", mine)
    acts: list[Callable[[], int]] = [
        lambda: add(sqlite_db, other, "berta"),
        lambda: endpoint(other),
        lambda: setting("other.token", other),
    ]
    for act in acts:
        with pytest.raises(BadInput, match=r"is not the one that .* was sealed with") as caught:
            act()
        assert caught.value.code == "sealing-key-wrong"
    found = doctor_database._sealing(sqlite_db, key_file)
    assert found.verdict.value == "ok"
    key_file.unlink()
    load_sealer(key_file, make=True)  # lost, and made anew
    found = doctor_database._sealing(sqlite_db, key_file)
    assert (found.verdict.value, "is not the one" in found.found) == ("failed", True)
    fresh = load_sealer(key_file)
    with sqlite_db.write() as session:
        row = endpoints.get(session, number)
        secret = endpoints.rotate(session, fresh, row, HOUSE, utc_now())
        assert endpoints.secrets_of(fresh, row, utc_now()) == [secret]  # the former one is lost
    assert endpoint(fresh) > number  # one that is made anew is enough
    with pytest.raises(BadInput, match="is not the one"):
        setting("other.token", fresh)
    setting("partner.token", fresh)
    assert setting("other.token", fresh)
    with sqlite_db.write() as session:
        for row in session.scalars(select(WebhookEndpoint)):
            endpoints.remove(session, row, HOUSE)
    assert endpoint(sealing.passing_sealer()) > number  # nothing is left that a key must open


def test_indexes_of_two_houses_tell_nothing_of_each_other(key_file: Path, tmp_path: Path) -> None:
    other = load_sealer(tmp_path / "other" / "sealing.key", make=True)
    mine = load_sealer(key_file)
    assert contacts.index_of("a@b.c", mine) != contacts.index_of("a@b.c", other)
    # HMAC-SHA-256, by another's hands:
    assert mine.index_key is not None
    block = mine.index_key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in block) + b"users/email\0a@b.c").digest()
    outer = hashlib.sha256(bytes(b ^ 0x5C for b in block) + inner).digest()
    assert contacts.index_of("a@b.c", mine) == "b1:" + base64.urlsafe_b64encode(
        outer
    ).decode().rstrip("=")


# ------------------------------------------------------------------ keys


@long
def test_secrets_among_the_settings_go_over_to_the_new_key(db: Database, key_file: Path) -> None:
    def put(session: Session, key: str, text: str, kind: ValueType) -> None:
        configuration.put(session, key, text, kind=kind, sealer=lambda: load_sealer(key_file))

    db.run(lambda session: put(session, "partner.token", "open sesame", ValueType.SECRET))
    db.run(lambda session: put(session, "partner.name", "1:looks:sealed", ValueType.TEXT))
    sealing.add_key(key_file)
    with db.read() as session:
        assert sealed.keys_in_use(session)["system_config"] == {1: 1}
    assert sealed.seal_everything(db, key_file).sealed == {**NOTHING, "system_config": 1}
    assert sealed.seal_everything(db, key_file).sealed == NOTHING
    sealing.remove_key(key_file, 1)
    with db.read() as session:
        kept = select(SystemConfig.config_value).where(SystemConfig.config_key == "partner.token")
        secret = json.loads(session.scalars(kept).one() or "")["secret"]
        opened = load_sealer(key_file).open(secret, "system_config/partner.token")
        assert opened == "open sesame"
        assert sealed.keys_in_use(session)["system_config"] == {2: 1}


def test_a_key_is_changed_and_the_old_one_goes(db: Database, key_file: Path) -> None:
    add_plain(db, 3)
    add(db, load_sealer(key_file), "anna")
    assert used(db) == {1: 1, None: 6}  # three addresses and three profiles
    before = load_sealer(key_file)
    assert sealing.add_key(key_file) == 2
    assert sealed.seal_everything(db, key_file).sealed == {**NOTHING, "users": 7}
    assert used(db) == {2: 7}
    assert sealed.seal_everything(db, key_file).sealed == NOTHING
    sealing.remove_key(key_file, 1)
    after = load_sealer(key_file)
    assert (list(after.keys), after.index_key) == ([2], before.index_key)
    assert sorted(map(str, opened(db, key_file))) == [
        "anna@park.example", "old0@park.example", "old1@park.example", "old2@park.example"
    ]  # fmt: skip
    with pytest.raises(Refused, match="the one that seals"):
        sealing.remove_key(key_file, 2)
    with pytest.raises(BadInput, match="has no key 1"):
        sealing.remove_key(key_file, 1)
    with db.read() as session:
        told = [
            row.new_values for row in session.query(AuditLog).filter_by(action="sealing.reseal")
        ]
    assert told == [{"key": 2, "values": 7}]


@long
@pytest.mark.mariadb
def test_processes_that_are_killed_and_two_at_once_seal_everything_once(
    mariadb_db: Database, key_file: Path
) -> None:
    db = mariadb_db
    add_plain(db, USERS)
    sealing.add_key(key_file)
    url = db.url.render_as_string(hide_password=False)

    def begin() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", RESEAL, url, str(key_file)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        return process

    killed = begin()
    deadline = time.monotonic() + 60
    while not used(db).get(2) and time.monotonic() < deadline:
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    between = used(db)
    assert between[2] >= 2 * sealed.BATCH  # a batch is whole, or was not
    assert between[2] % (2 * sealed.BATCH) == 0 or None not in between
    both = [begin(), begin()]
    for process in both:
        assert process.wait(60) == 0
    assert used(db) == {2: 2 * USERS}
    assert sorted(map(str, opened(db, key_file))) == sorted(
        f"old{n}@park.example" for n in range(USERS)
    )


@long
def test_keys_that_several_add_at_once_are_all_there(key_file: Path) -> None:
    code = "import sys; from pathlib import Path; from ledger.sealing import add_key; print(add_key(Path(sys.argv[1])))"
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(key_file)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    numbers = sorted(int(each.communicate(timeout=60)[0]) for each in running)
    assert numbers == [2, 3, 4, 5]
    assert sorted(load_sealer(key_file).keys) == [1, 2, 3, 4, 5]
    assert [item.name for item in key_file.parent.iterdir()] == ["sealing.key"]
    assert key_file.stat().st_mode & 0o777 == 0o600


def test_no_copy_of_a_key_outlives_a_run_that_was_killed(key_file: Path) -> None:
    """It would for ever, also of a key that is taken out of the file because somebody knows it."""
    folder = key_file.parent / "keystore"
    folder.mkdir()
    acts = ((sealing.add_key, (key_file,)), (keystore._write, (folder / "UTC--1", "{}")))
    for act, given in acts:
        killed = FORKED.Process(target=killed_at_fsync, args=(act, *given))
        killed.start()
        killed.join(120)
        assert killed.exitcode == -signal.SIGKILL
        left = [file for file in given[0].parent.iterdir() if file.suffix == ".part"]
        assert [file.stat().st_mode & 0o777 for file in left] == [0o600]
        act(*given)
    assert sorted(load_sealer(key_file).keys) == [1, 2]
    assert {file.name for file in key_file.parent.iterdir()} == {"keystore", "sealing.key"}
    assert [file.name for file in folder.iterdir()] == ["UTC--1"]
    assert (folder / "UTC--1").stat().st_mode & 0o777 == 0o600


def test_a_full_disk_leaves_the_keys_that_were_there_and_no_part_of_another(key_file: Path) -> None:
    before = key_file.read_bytes()
    with full_disk(), pytest.raises(BadInput, match=r"sealing key file .*: cannot be written"):
        sealing.add_key(key_file)
    with (
        full_disk(),
        pytest.raises(BadInput, match=r"other: cannot be written \(.*on a disk with room"),
    ):
        load_sealer(key_file.with_name("other"), make=True)
    assert {file.name: file.read_bytes() for file in key_file.parent.iterdir()} == {
        key_file.name: before
    }


def test_a_file_from_before_there_were_indexes_gets_its_key(key_file: Path) -> None:
    line = key_file.read_text().splitlines()[0]
    key_file.write_text(line + "\n")
    with pytest.raises(BadInput, match="no line `index"):
        contacts.index_of("a@b.c", load_sealer(key_file))
    made = load_sealer(key_file, make=True)
    assert made.index_key is not None
    assert load_sealer(key_file, make=True) == made
    assert key_file.read_text().splitlines()[0] == line


def test_reseal_goes_on_behind_what_no_key_opens_and_says_where(
    db: Database, key_file: Path
) -> None:
    """It stopped at the first one: the rest of a rotation waited until that was made anew."""
    sealer = load_sealer(key_file)
    numbers = [add(db, sealer, name) for name in ("anna", "berta", "carla")]
    with db.write() as session:
        for number in numbers:
            users.set_profile(session, sealer, users.get(session, number), {"n": number}, HOUSE)
        for url in ("https://a.example/x", "https://b.example/x"):
            endpoints.add(session, sealer, url, ["*"], None, HOUSE, private=True)
        for key in ("partner.token", "other.token"):
            configuration.put(session, key, key, kind=ValueType.SECRET, sealer=lambda: sealer)
    sealing.add_key(key_file)

    def lose(session: Session, key: str) -> None:
        """Let a value of each kind be sealed with a key that the file lacks, or with another of its number."""
        row = session.get_one(UserContact, numbers[1])
        row.email_sealed = key + row.email_sealed[1:]
        user = session.get_one(User, numbers[0])
        user.profile = {"sealed": key + str((user.profile or {})["sealed"])[1:]}
        hook = session.scalars(select(WebhookEndpoint)).all()[0]
        hook.secret_sealed = key + hook.secret_sealed[1:]
        setting = session.scalars(select(SystemConfig)).all()[0]
        setting.config_value = (setting.config_value or "").replace('"1:', f'"{key}:')

    db.run(lambda session: lose(session, "9"))
    with db.read() as session:
        before = sealed.keys_in_use(session)
    trial = sealed.seal_everything(db, key_file, keep=False)
    with db.read() as session:
        assert sealed.keys_in_use(session) == before
    done = sealed.seal_everything(db, key_file)
    assert trial == done
    assert done.sealed == {"users": 4, "webhook_endpoints": 1, "system_config": 1}
    named = [(item.table, item.name, item.value, item.key) for item in done.lost]
    assert named == [
        ("users", "anna", "profile", 9),
        ("users", "berta", "email", 9),
        ("webhook_endpoints", "https://a.example/x", "secret_sealed", 9),
        ("system_config", "partner.token", "config_value", 9),
    ]
    assert [item.row for item in done.lost][:2] == numbers[:2]
    assert all("key '9' is not in the sealing key file" in item.why for item in done.lost)
    again = sealed.seal_everything(db, key_file)
    assert (again.sealed, again.lost) == (NOTHING, done.lost)
    # The key turned up: nothing was written over.
    made = key_file.read_text()
    line = made.splitlines()[0]
    key_file.write_text("\n".join([line.replace("1:", "9:", 1), *made.splitlines()[1:], ""]))
    sealing.add_key(key_file)
    last = sealed.seal_everything(db, key_file)
    assert (sum(last.sealed.values()), last.lost) == (10, [])
    assert opened(db, key_file) == [f"{name}@park.example" for name in ("anna", "berta", "carla")]


def test_nothing_plain_is_sealed_with_the_keys_of_other_books(db: Database, key_file: Path) -> None:
    """Going on where nothing opens, it would seal the rest by keys that nobody keeps for these books."""
    add(db, load_sealer(key_file), "anna")
    add_plain(db, 2)
    kept = key_file.read_text()
    key_file.unlink()
    for said in ("cannot be read", "is not the one"):
        with pytest.raises(BadInput, match=said):
            sealed.seal_what_is_plain(db, key_file)
        load_sealer(key_file, make=True)  # of other books, and with the same number
    assert used(db) == {1: 1, None: 4}
    key_file.write_text(kept)
    assert sealed.seal_what_is_plain(db, key_file).sealed["users"] == 4


def test_a_former_secret_whose_key_is_lost_goes_when_it_signs_no_more(
    db: Database, key_file: Path
) -> None:
    """It was moved there by ``webhooks rotate``, and reseal met it until the next one."""
    sealer = load_sealer(key_file)

    def rotated(at: datetime) -> None:
        with db.write() as session:
            row = session.scalars(select(WebhookEndpoint)).one()
            row.secret_sealed = "9:AAAA"
            endpoints.rotate(session, sealer, row, HOUSE, at)

    with db.write() as session:
        endpoints.add(session, sealer, "https://a.example/x", ["*"], None, HOUSE, private=True)
    rotated(utc_now())
    assert [item.value for item in sealed.seal_everything(db, key_file).lost] == ["former_sealed"]
    rotated(utc_now() - timedelta(hours=26))
    assert sealed.seal_everything(db, key_file).lost == []
    with db.read() as session:
        assert sealed.keys_in_use(session)["webhook_endpoints"] == {1: 1}


def test_the_profile_of_a_version_before_is_read(db: Database, key_file: Path) -> None:
    add_plain(db, 1)

    def profile() -> Any:
        with db.read() as session:
            (row,) = users.all_of_them(session)
            return users.profile_of(load_sealer(key_file), row)

    assert profile() == {"page": 0}
    sealed.seal_everything(db, key_file)
    assert profile() == {"page": 0}
