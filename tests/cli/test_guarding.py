"""``audit head|verify``, ``db grants``, ``db keys`` and the doctor's lines about a server: the real program."""

from __future__ import annotations

import json
import shlex
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cli.audit_file import check_file
from ledger.db import Database
from ledger.errors import BadInput
from tests.cli.conftest import Program
from tests.support.forms import long
from tests.support.mariadb import MariaDbServer

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def house_folder(migrated_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three users, and so with entries in the audit log; made once and copied."""
    folder = tmp_path_factory.mktemp("house")
    shutil.copytree(migrated_folder, folder, dirs_exist_ok=True)
    program = Program(folder)
    program.write("pw", PASSWORD + "\n").chmod(0o600)
    for name in ("anna", "berta", "carla"):
        mail = f"{name}@x.example"
        ended = program("users", "add", name, "--email", mail, "--password-file", "pw")
        assert ended.code == 0, ended.err
    return folder


@pytest.fixture
def house(truetonne: Program, house_folder: Path) -> Program:
    """The program with three users."""
    shutil.copytree(house_folder, truetonne.folder, dirs_exist_ok=True)
    return truetonne


def sql(house: Program, *statements: str) -> None:
    with sqlite3.connect(house.folder / ".truetonne" / "truetonne.db") as link:
        for statement in statements:
            link.execute(statement)


# ------------------------------------------------------------------ the audit log


@long
def test_triggers_of_a_file_that_are_gone_or_changed_are_named_with_what_mends_them(
    house: Program,
) -> None:
    def asked() -> dict[str, str]:
        checks: list[dict[str, str]] = house("doctor", "--json").json()["checks"]
        (check,) = (item for item in checks if item["name"] == "database triggers")
        return check

    name, mends = "audit_logs_no_delete", []
    assert (asked()["verdict"], asked()["found"]) == ("ok", "16, as the schema has them")
    drop = f"DROP TRIGGER {name}"
    harmless = f"CREATE TRIGGER {name} BEFORE DELETE ON audit_logs BEGIN SELECT 1; END"
    for changes, said in (((drop,), "is missing"), ((drop, harmless), "is another than ours")):
        sql(house, *changes)
        check = asked()
        assert check["verdict"] == "failed"
        assert check["found"] == f"{name} {said}: nothing refuses DELETE on audit_logs"
        program, file, statements = shlex.split(check["mend"])
        assert (program, file) == ("sqlite3", ".truetonne/truetonne.db")
        with closing(sqlite3.connect(house.folder / file)) as link:
            link.executescript(statements)
        mends.append(asked()["verdict"])
        with pytest.raises(sqlite3.IntegrityError, match="audit_logs is append-only"):
            sql(house, "DELETE FROM audit_logs")
    assert mends == ["ok", "ok"]


def test_the_log_is_checked_in_the_database_and_in_a_file(house: Program) -> None:
    head = house("audit", "head").out.strip()
    assert head.startswith("3:") and house("audit", "head", "--json").json()["head"] == head
    good = house("audit", "verify", "--head", head)
    assert (good.code, good.out) == (0, f"as written, up to {head}\n")
    house("audit", "export", "-o", "log.jsonl")
    file = house.folder / "log.jsonl"
    assert house("audit", "export").out == file.read_text()
    lines = file.read_text().splitlines(keepends=True)
    listed = {"entries": len(lines), "items": [json.loads(line) for line in lines]}
    for form in ((), ("--format", "csv")):
        assert house("audit", "export", *form, "--json").json() == listed
    away = {"database_url": "sqlite:///none.db"}  # an auditor has no database
    # What no hash speaks of is said: a name is, and so is what anybody can compute anew.
    names = "  - the names of users: their numbers (user_id) are in the hashes, and no names"
    file.write_text(
        lines[0] + lines[1].replace('"username": null', '"username": "otto"') + lines[2]
    )
    assert file.read_text() != "".join(lines)
    checked = house("audit", "verify", "log.jsonl", "--head", head, **away)
    assert checked.code == 0
    assert checked.out.splitlines() == [
        f"as written, up to {head}",
        "It does not prove:",
        names,
    ]
    file.write_text("".join(lines))
    alone = house("audit", "verify", "log.jsonl", **away).out.splitlines()
    assert alone[2] == names and "written anew from its beginning: give --head" in alone[3]
    older = f"2:{json.loads(lines[1])['entry_hash']}"
    later = house("audit", "verify", "log.jsonl", "--head", older, **away).out
    assert later.startswith("as written, up to 3:") and "stands after place 2 was not" in later
    for more in ('"action": "x", "id"', '"note": "x", "id"'):  # one would read more than is checked
        file.write_text(lines[0].replace('"id"', more, 1))
        with pytest.raises(BadInput, match=r"line 1: is no entry of `audit export"):
            check_file(file, None, whole=True)

    for text, what in (
        ("x\n", r"\(Expecting value: line 1"),
        ("{}\n", r"\(it has no 'position'\)"),
        ("[]\n", r"\(a part of it is of another kind"),
    ):
        file.write_text(text)
        with pytest.raises(BadInput, match=what):
            check_file(file, None, whole=True)
    file.write_text(lines[0] + lines[1].replace("berta", "brita") + lines[2])
    edited = house("audit", "verify", "log.jsonl", "--json", **away)
    assert edited.code == 1
    assert edited.json() == {
        "ok": False,
        "checked": "log.jsonl",
        "head": head,
        "problems": [
            "entry 2 (place 2) is not what was written: it was edited, or stands where another one stood"
        ],
        "not_proven": [],
    }
    file.write_text(lines[2] + lines[0])  # in whatever order
    gone = house("audit", "verify", "log.jsonl", **away)
    assert gone.out.startswith("places 2 to 2 are missing, before entry 3 (place 3)\n1 problem")
    part = house("audit", "verify", "log.jsonl", "--part", **away)
    assert part.code == 0 and part.out.startswith("each entry has its own hash, up to 3:")
    assert "that these entries stand in the log: of a part nobody can tell" in part.out
    strange = json.loads(lines[2]) | {
        "id": 9,
        "position": None,
        "previous_hash": None,
        "entry_hash": None,
    }
    file.write_text("".join(lines) + json.dumps(strange) + "\n")
    loose = house("audit", "verify", "log.jsonl", **away)
    assert (loose.code, loose.out.splitlines()[0]) == (
        1,
        "entry 9 has no place in the chain: put in by other hands",
    )
    file.write_text(json.dumps(json.loads(lines[0]) | {"entry_hash": "\x1b[2J"}) + "\n")
    assert house("audit", "verify", "log.jsonl", **away).code == 2
    file.write_text(lines[0] + lines[1])
    cut = house("audit", "verify", "log.jsonl", "--head", head, **away)
    assert (cut.code, cut.out.split(":")[0]) == (1, "the chain ends at place 2, before 3")
    house("audit", "export", "-o", "log.csv", "--format", "csv")
    assert (
        (house.folder / "log.csv")
        .read_text()
        .splitlines()[0]
        .endswith(",position,previous_hash,entry_hash")
    )


def test_a_period_of_the_log_without_a_moment_is_refused(house: Program) -> None:
    """Its list looked as if nobody had done anything."""
    later, earlier = "2027-01-01T00:00:00Z", "2026-01-01T00:00:00Z"
    for command in ("log", "export"):
        for end in (earlier, later):
            ended = house("audit", command, "--from", later, "--before", end)
            assert ended.code == 2 and "is empty: --before comes after --from" in ended.one_line()
    assert house("audit", "log", "--from", earlier, "--before", later, "--json").code == 0


def test_a_file_of_the_log_with_values_that_none_has(house: Program) -> None:
    """Nested without end, a number without end, a time before the first: each was a defect of the program."""
    house("audit", "export", "-o", "log.jsonl")
    file = house.folder / "log.jsonl"
    entries = [json.loads(line) for line in file.read_text().splitlines()]
    for text, what in (
        ('{"id": ' + "[" * 100_000, r"\(it is nested without end"),
        ('{"id": 1e999, "position": null}', r"\(it has a number without end"),
    ):
        file.write_text(text)
        with pytest.raises(BadInput, match=what):
            check_file(file, None, whole=True)
    early = entries[0] | {"created_at": "0001-01-01T00:00:00+14:00"}  # in UTC, in no year
    file.write_text("\n".join(map(json.dumps, (early, *entries[1:]))))
    (edited,) = check_file(file, None, whole=True).problems
    assert edited.startswith("entry 1 (place 1) is not what was written: it was edited")
    beyond = house("audit", "verify", "--head", "9" * 5000 + ":" + "0" * 64)
    assert (beyond.code, "is no end of the chain; write POSITION:HASH" in beyond.err) == (2, True)


def test_who_changes_the_log_behind_our_back_is_found(house: Program) -> None:
    head = house("audit", "head").out.strip()
    sql(
        house,
        "DROP TRIGGER audit_logs_no_update",
        "UPDATE audit_logs SET new_values = '{}' WHERE id = 2",
    )
    found = house("audit", "verify")
    assert found.code == 1
    assert found.out.splitlines() == [
        "entry 2 (place 2) is not what was written: it was edited, or stands where another one stood",
        f"1 problem, up to {head}",
    ]


CANNOT_BE = (
    (("audit", "verify", "--head", "x"), "'x' is no end of the chain; write POSITION:HASH"),
    (("audit", "verify", "none.jsonl"), "none.jsonl: cannot be read"),
    (("audit", "verify", "pw"), "pw, line 1: is no entry"),
    (("audit", "verify", "--part"), "--part is for a file"),
    (("db", "grants"), "SQLite has no accounts"),
    (("db", "grants", "--database", "x", "--user", "me"), "say which one"),
    (("db", "grants", "api", "--database", "x", "--user", "a b"), "cannot be the user"),
    (("db", "grants", "api", "--database", "x", "--host", "' or"), "cannot be the host"),
    (("db", "keys", "remove", "7"), "sealing.key: cannot be read"),
)


def test_what_cannot_be(park: Program) -> None:
    park.write("pw", PASSWORD).chmod(0o600)
    for words, said in CANNOT_BE:
        ended = park(*words)
        assert (ended.code, ended.out) == (2, ""), words
        assert said in ended.err and ended.err.count("\n") == 1, words


# ------------------------------------------------------------------ keys


def test_the_life_of_a_key(house: Program) -> None:
    status = house("db", "keys", "status", "--json")
    keys = [
        {
            "key": 1,
            "seals": True,
            "in_file": True,
            "values": {"users": 3, "webhook_endpoints": 0, "system_config": 0},
        }
    ]
    assert (status.code, status.json()["keys"]) == (0, keys)
    assert "would add key 2" in house("db", "keys", "add", "--dry-run").out
    assert house("db", "keys", "add").out.startswith("added key 2 to ")
    assert house("db", "keys", "status").code == 1
    doctor = {item["name"]: item for item in house("doctor", "--json").json()["checks"]}
    assert doctor["sealing"]["mend"] == "run `truetonne db keys reseal`"
    refused = house("db", "keys", "remove", "1")
    assert (refused.code, "3 values are sealed with it" in refused.err) == (1, True)
    assert house("db", "keys", "reseal", "--dry-run").out == "3 values would be sealed with key 2\n"
    assert house("db", "keys", "status").code == 1
    assert house("db", "keys", "reseal").out == "3 values sealed with key 2\n"
    assert house("db", "keys", "reseal").out == "0 values sealed with key 2\n"
    assert house("db", "keys", "remove", "1", "--dry-run").code == 0
    assert house("db", "keys", "remove", "1").out.startswith("took key 1 out of ")
    assert "add another one first" in house("db", "keys", "remove", "2").err
    assert house("db", "keys", "status").code == 0
    mails = [item["email"] for item in house("users", "list", "--json").json()["users"]]
    assert mails == ["anna@x.example", "berta@x.example", "carla@x.example"]
    for words in (
        ("db", "keys", "add"),
        ("users", "email", "anna", "a@x.example"),
        ("db", "keys", "add"),
    ):
        assert house(*words).code == 0
    assert "key 3 stays: 1 value is sealed with it; run" in house("db", "keys", "remove", "3").err
    assert house("audit", "verify").code == 0
    (house.folder / ".truetonne" / "sealing.key").unlink()
    doctor = {item["name"]: item for item in house("doctor", "--json").json()["checks"]}
    assert (doctor["sealing"]["verdict"], "cannot be read" in doctor["sealing"]["found"]) == (
        "failed",
        True,
    )
    listed = house("users", "list")
    assert (listed.code, "(sealed)" in listed.out) == (0, True)


def test_a_key_in_place_of_a_lost_one_has_another_number(house: Program) -> None:
    """Both were key 1: when the lost file turned up, no file could have both, and one half stayed closed."""
    file = house.folder / ".truetonne" / "sealing.key"
    lost = file.read_text()
    file.unlink()
    assert "would add key 2" in house("db", "keys", "add", "--dry-run").out
    assert not file.exists()
    assert house("db", "keys", "add").out.startswith("added key 2 to ")
    status = house("db", "keys", "status")
    assert (status.code, "3 values sealed with key 1, which the file lacks" in status.out) == (
        1,
        True,
    )
    made = file.read_text()
    house("db", "keys", "add")  # nothing was sealed with key 2 yet
    assert "3:" in file.read_text()
    # An older copy, without the key that sealed last.
    file.write_text(lost)
    sql(house, "UPDATE user_contacts SET email_sealed = '7' || substr(email_sealed, 2)")
    assert house("db", "keys", "add").out.startswith("added key 8 to ")
    sql(house, "UPDATE user_contacts SET email_sealed = '1' || substr(email_sealed, 2)")
    # It turned up: its line beside the new one.
    file.write_text(lost + "".join(line for line in made.splitlines(True) if line.startswith("2:")))
    assert house("db", "keys", "reseal").out == "3 values sealed with key 2\n"
    assert house("db", "keys", "status").code == 0


@long
def test_users_are_added_again_when_the_key_is_lost_for_good(house: Program) -> None:
    """Whoever had lost it could add no user ever again: no address opened, and no command gave one anew."""
    file = house.folder / ".truetonne" / "sealing.key"
    house.write("pw", PASSWORD).chmod(0o600)
    add = ("users", "add", "dora", "--email", "dora@x.example", "--password-file", "pw")
    index = next(line for line in file.read_text().splitlines() if line.startswith("index:"))
    file.unlink()
    house("db", "keys", "add")
    assert "key '1' is not in the sealing key file" in house(*add).err
    assert (
        house("users", "email", "anna", "a@y.example", "--dry-run").out
        == "anna would have a@y.example\n"
    )
    assert "key '1' is not in the sealing key file" in house(*add).err
    assert house("users", "email", "anna", "a@y.example").out == "anna has a@y.example\n"
    again = house("users", "email", "anna", "a@y.example", "--json").json()
    assert (again["changed"], again["email"]) == (False, "a@y.example")
    assert house(*add).out == "added viewer dora\n"
    taken = house("users", "email", "dora", "a@y.example")
    assert (taken.code, "mail address" in taken.err) == (1, True)
    # Of an older copy the key of the indexes is known: the same address is sealed anew.
    made = next(line for line in file.read_text().splitlines() if line.startswith("2:"))
    file.write_text(f"{made}\n{index}\n")
    assert house("users", "email", "berta", "berta@x.example").out == "berta has berta@x.example\n"
    mails = [item["email"] for item in house("users", "list", "--json").json()["users"]]
    assert mails == ["a@y.example", "berta@x.example", None, "dora@x.example"]
    assert house("audit", "verify").code == 0


@long
def test_a_rotation_goes_on_behind_what_is_lost(house: Program) -> None:
    """It ended at the first one, with exit 2; so did an upgrade that met an address from before there was a seal."""
    house("db", "keys", "add")
    sql(
        house,
        "UPDATE user_contacts SET email_sealed = '7' || substr(email_sealed, 2) WHERE user_id = 2",
    )
    lost = [
        "1 value stays as before, for no key opens that:",
        "users 2 (berta), email: key '7' is not in the sealing key file; put its line back; or give it anew: "
        "`truetonne users email`",
    ]
    tried = house("db", "keys", "reseal", "--dry-run")
    assert (tried.code, tried.out.splitlines()) == (
        1,
        ["2 values would be sealed with key 2", *lost],
    )
    sql(house, "DELETE FROM user_contacts WHERE user_id = 3",
        "UPDATE users SET email = 'carla@x.example' WHERE id = 3")  # fmt: skip
    upgraded = house("db", "upgrade")
    assert (upgraded.code, upgraded.out.splitlines()[1:]) == (0, lost)
    ended = house("db", "keys", "reseal", "--json")
    assert (ended.code, ended.json()["sealed"]["users"]) == (1, 0)
    assert ended.json()["lost"] == [
        {
            "table": "users",
            "row": 2,
            "name": "berta",
            "value": "email",
            "key": 7,
            "why": "key '7' is not in the sealing key file; put its line back",
        }
    ]
    assert house("users", "email", "berta", "berta@x.example").code == 0
    assert house("db", "keys", "reseal").out == "0 values sealed with key 2\n"
    mails = [item["email"] for item in house("users", "list", "--json").json()["users"]]
    assert mails == ["anna@x.example", "berta@x.example", "carla@x.example"]
    # Without its file, nothing is made in place of it.
    (house.folder / ".truetonne" / "sealing.key").unlink()
    gone = house("db", "keys", "reseal")
    assert (gone.code, "put back the one that belongs to this database" in gone.err) == (2, True)
    assert not (house.folder / ".truetonne" / "sealing.key").exists()


@long
def test_a_key_that_the_file_lacks_is_put_back_and_not_sealed_anew(house: Program) -> None:
    house("db", "keys", "add")
    file = house.folder / ".truetonne" / "sealing.key"
    whole = file.read_text()
    file.write_text("".join(line for line in whole.splitlines(True) if not line.startswith("1:")))
    status = house("db", "keys", "status")
    assert status.code == 1
    assert (
        "3 values sealed with key 1, which the file lacks: nothing opens them but its line"
        in status.out
    )
    assert "reseal" not in status.out  # it could not open them
    assert {
        key: house("db", "keys", "status", "--json").json()[key] for key in ("left", "lost")
    } == {
        "left": 0,
        "lost": 3,
    }
    sql(house, "DELETE FROM user_contacts WHERE user_id = 2",
        "UPDATE users SET email = 'berta@x.example' WHERE id = 2")  # fmt: skip
    both = house("db", "keys", "status").out
    assert "2 values sealed with key 1" in both
    assert "1 value to seal anew: then run `truetonne db keys reseal`" in both
    file.write_text(whole)
    assert house("db", "keys", "reseal").out == "3 values sealed with key 2\n"
    assert house("db", "keys", "status").code == 0


def test_a_profile_is_kept_sealed(house: Program) -> None:
    house.write("p.json", json.dumps({"language": "zh-Hans", "园区": ["a"]}))
    assert house("users", "profile", "anna").out == "{}\n"
    house("users", "profile", "anna", "--set", "p.json", "--dry-run")
    assert house("users", "profile", "anna", "--json").json()["profile"] is None
    house("users", "profile", "anna", "--set", "p.json")
    assert house("users", "profile", "anna", "--json").json()["profile"] == {
        "language": "zh-Hans",
        "园区": ["a"],
    }
    with sqlite3.connect(house.folder / ".truetonne" / "truetonne.db") as link:
        ((stored,),) = link.execute("SELECT profile FROM users WHERE id = 1").fetchall()
    assert list(json.loads(stored)) == ["sealed"] and "zh-Hans" not in stored
    house.write("p.json", "[1]")
    house.write("nan.json", '{"a": NaN}')
    house.write("large.json", '{"a": 1e999}')
    house.write("half.json", '{"a": "\\ud800"}')
    house.write("deep.json", '{"a": ' + "[" * 100_000)
    house.write("twice.json", '{"a": 1, "a": 2}')
    for words, said in (
        (("anna", "--set", "p.json"), "must be a JSON object"),
        (("anna", "--set", "none.json"), "cannot be read as JSON"),
        (("anna", "--set", "nan.json"), "cannot be read as JSON (Out of range float values"),
        (("anna", "--set", "large.json"), "cannot be read as JSON (Out of range float values"),
        (("anna", "--set", "half.json"), "(it has characters that no text has)"),
        (("anna", "--set", "deep.json"), "(it is nested without end)"),
        (("anna", "--set", "twice.json"), "('a' stands there twice)"),
    ):
        ended = house("users", "profile", *words)
        assert (ended.code, said in ended.err) == (2, True)
    assert house("users", "profile", "nobody").code != 0


@long
def test_an_upgrade_seals_what_stands_plain(house: Program) -> None:
    sql(house, "DELETE FROM user_contacts WHERE user_id = 2",
        "UPDATE users SET email = 'berta@x.example' WHERE id = 2")  # fmt: skip
    assert house("db", "keys", "status").code == 1
    assert house("db", "upgrade", "--dry-run", "--json").json()["sealed"] == {}
    assert house("db", "upgrade", "--json").json()["sealed"] == {
        "users": 1,
        "webhook_endpoints": 0,
        "system_config": 0,
    }
    assert house("db", "upgrade", "--json").json()["sealed"] == {}
    mails = [item["email"] for item in house("users", "list", "--json").json()["users"]]
    assert mails == ["anna@x.example", "berta@x.example", "carla@x.example"]


# ------------------------------------------------------------------ a server


@long
@pytest.mark.mariadb
def test_the_doctor_prints_what_is_wrong_with_a_server(
    truetonne: Program, mariadb_server: MariaDbServer, mariadb_db: Database
) -> None:
    url = mariadb_server.url("truetonne")
    granted = truetonne("db", "grants", "read", "--no-tls", "--json", database_url=url).json()
    mariadb_server.execute(*granted["accounts"]["read"], "SET PASSWORD FOR 'truetonne_read'@'%' = PASSWORD('x')",
                           "SET GLOBAL read_only = 1")  # fmt: skip
    try:
        reader = url.replace("root@", "truetonne_read:x@")
        ended = truetonne("doctor", "--json", database_url=reader)
        checks = {item["name"]: item for item in ended.json()["checks"]}
        assert ended.code == 1
        advice, _, mend = checks["server writable"]["mend"].rpartition(": ")
        assert advice.startswith("if another one is the primary now, name that in database_url")
        assert mend == "SET GLOBAL read_only = 0"
        assert checks["server rights"]["found"] == "the account may read, and write nothing"
        truetonne.write("pw", PASSWORD).chmod(0o600)
        refused = truetonne(
            "users", "add", "x1", "--email", "x@y.z", "--password-file", "pw", database_url=reader
        )
        assert refused.code == 3 and refused.err.count("\n") == 1
        mariadb_server.execute(mend)
        after = truetonne("doctor", "--json", database_url=reader).json()["checks"]
        assert {item["name"]: item["ok"] for item in after}["server writable"]
    finally:
        mariadb_server.execute("SET GLOBAL read_only = 0", "DROP USER 'truetonne_read'@'%'")
    lines = truetonne("db", "grants", database_url=url).out.splitlines()
    assert lines[0].startswith(
        "-- migrate; it can sign in when it has a password: SET PASSWORD FOR"
    )
    assert all(line.startswith("--") or line.endswith(";") for line in lines)
    drawn = "PASSWORD(''Aa1-', HEX(RANDOM_BYTES(32)), ''')')"  # by the server: nobody knows it
    assert json.dumps(granted).replace(drawn, "", 1).count("PASSWORD") == 0
