"""`truetonne db copy`: what it says, and what it refuses."""

import os
import re
import shutil
import sqlite3
from contextlib import closing

import pytest

from ledger.db import Database
from ledger.models import ChainCursor
from tests.cli.conftest import READINGS, Program
from tests.support.forms import long


@pytest.fixture
def books(park: Program) -> Program:
    """Books with two readings; the settings name another database, which is not there yet."""
    file = park.write("r.csv", READINGS)
    assert park("import", "--site", "lab", "--source", "scada", file).code == 0
    park.environ["TRUETONNE_DATABASE_URL"] = f"sqlite:///{park.folder / 'other.db'}"
    return park


def old(books: Program) -> str:
    return str(books.folder / ".truetonne" / "truetonne.db")


def test_the_books_are_in_the_database_of_the_settings(books: Program) -> None:
    looked = books("db", "copy", "--from", old(books), "--dry-run", "--json")
    assert looked.code == 0, looked.err
    assert not (books.folder / "other.db").exists()
    done = books("db", "copy", "--from", f"sqlite:///{old(books)}", "--json")
    assert done.code == 0, done.err
    document = done.json()
    assert document["tables"] == looked.json()["tables"]
    assert document["tables"]["meter_readings"] == 2
    assert document["rows"] == sum(document["tables"].values())
    file = books.write("r.csv", READINGS)
    again = books("import", "--site", "lab", "--source", "scada", file, "--json")
    assert (again.json()["unchanged"], again.json()["new"]) == (2, 0)
    assert "books.copy" in books("audit", "log").out
    assert books("audit", "verify").code == 0
    twice = books("db", "copy", "--from", old(books))
    assert twice.code == 1
    assert "so it is not new; books are copied into one that is empty" in twice.err


@long
def test_it_says_what_comes_next(books: Program) -> None:
    done = books("db", "copy", "--from", old(books))
    assert done.code == 0, done.err
    first, after, warning = done.out.splitlines()
    assert first.startswith("copied ") and first.endswith("each was read back, and is the same")
    assert "`truetonne doctor`, `index verify` and `reconcile`" in after
    assert warning.startswith("the old database must not be worked on any more")


@long
def test_books_that_were_closed_are_worked_on_no_more(books: Program) -> None:
    done = books("db", "copy", "--from", old(books), "--close", "--json")
    assert done.code == 0 and done.json()["closed"] is True
    assert books("audit", "verify").code == 0
    books.environ["TRUETONNE_DATABASE_URL"] = f"sqlite:///{old(books)}"
    imported = "import", "--site", "lab", "--source", "scada", books.write("r.csv", READINGS)
    copied = "db", "copy", "--from", str(books.folder / "other.db")
    backup = "db", "backup", "full"
    for words in (imported, ("status",), ("db", "upgrade"), ("serve",), backup, copied):
        refused = books(*words, "--json")
        assert (words, refused.code) == (words, 1 if words is copied else 3)
        if words is not copied:
            assert refused.json()["error"]["code"] == "books-moved"
    looked = books("db", "current")
    assert looked.code == 1 and "is closed: its books were copied" in looked.out
    assert "newer version" not in looked.out
    (statement,) = re.findall(r"UPDATE .*'", books("status").one_line())
    with closing(sqlite3.connect(old(books))) as link, link:
        link.execute(statement)
    assert books(*imported, "--json").json()["unchanged"] == 2


def test_a_local_chain_is_where_the_old_database_has_it(books: Program) -> None:
    """The first command afterwards ended with a line that told of another database, and `up` did not begin."""
    db, hash_ = Database(f"sqlite:///{old(books)}"), "0x" + "1" * 64
    with db.write() as session:
        at = ChainCursor(network="local", chain_id=31337, genesis_hash=hash_)
        at.block_number, at.block_hash, at.final_number = 1, hash_, 1
        session.add(at)
    db.close()
    done = books("db", "copy", "--from", old(books))
    assert done.code == 0, done.err
    _, first, _, _ = done.out.splitlines()
    assert first.startswith("first: the books mirror a local chain that is not in ")
    assert ", rename " in first


def test_what_has_no_books_is_refused_and_not_made(books: Program) -> None:
    nothing = books.folder / "nothing.db"
    refused = books("db", "copy", "--from", str(nothing))
    assert refused.code == 3
    assert "nothing.db has no tables yet; name in --from the database that has the books" in (
        refused.one_line()
    )
    assert not nothing.exists() and not (books.folder / "other.db").exists()


def test_books_of_an_older_version_are_upgraded_where_they_are(books: Program) -> None:
    """`db upgrade` by itself would have made the new database's tables, and said that they are current."""
    with closing(sqlite3.connect(old(books))) as link, link:
        link.execute("UPDATE alembic_version SET version_num = '0041'")
    refused = books("db", "copy", "--from", old(books))
    assert refused.code == 3
    assert "run `truetonne db upgrade` with database_url set to it" in refused.one_line()


def test_a_file_may_have_any_name(books: Program) -> None:
    name = "books ?of=100%25 #1.db"
    shutil.copyfile(old(books), books.folder / name)
    looked = books("db", "copy", "--from", name, "--dry-run", "--json")
    assert looked.code == 0, looked.err
    assert looked.json()["tables"]["meter_readings"] == 2


def test_the_same_database_is_refused(books: Program) -> None:
    for name in (old(books), os.path.relpath(old(books), books.folder)):
        books.environ["TRUETONNE_DATABASE_URL"] = f"sqlite:///{old(books)}"
        refused = books("db", "copy", "--from", name)
        assert refused.code == 2
        assert "set database_url to the one that is to have the books" in refused.err
