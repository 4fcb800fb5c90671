"""A program before tables of another version: it says which, and what to do, before it does anything."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing

import pytest

from ledger.chain.local.anvil import KeptPort
from ledger.db import Database
from tests.cli.conftest import Program
from tests.support.chain import TestChain
from tests.support.forms import long
from tests.support.mirror import running_chain

COMMANDS = (
    ("status",),
    ("settle", "run"),
    ("credits", "bundle", "lab-2024-1-1-1", "-o", "bundle.json"),
    ("jobs", "run"),
    ("serve",),
)


@pytest.fixture(scope="module")
def node() -> Iterator[TestChain]:
    with running_chain() as chain:
        yield chain


@pytest.fixture
def deployed(park: Program, node: TestChain) -> Program:
    """The program with a park, a node and contracts on it."""
    park.write("book.json", node.deployment_text())
    park.environ["TRUETONNE_DEPLOYMENT"] = "book.json"
    park.environ["TRUETONNE_RPC_URL"] = node.rpc_url
    return park


def at_revision(park: Program, revision: str) -> None:
    with closing(sqlite3.connect(park.folder / ".truetonne" / "truetonne.db")) as file, file:
        file.execute("UPDATE alembic_version SET version_num = ?", (revision,))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_tables_of_an_older_version(deployed: Program, words: tuple[str, ...]) -> None:
    """Commands that go to the chain said that the database did not answer; serve served what it could."""
    at_revision(deployed, "0014")
    ended = deployed(*words, "--json")
    assert (ended.code, ended.json()["error"]["code"]) == (3, "schema-old")
    said = ended.json()["error"]["message"]
    assert f"0014, this version wants {Database.head()}; run `truetonne db upgrade`" in said


@pytest.mark.parametrize(
    "words", [*COMMANDS, ("db", "upgrade"), ("db", "upgrade", "--dry-run")], ids=" ".join
)
def test_tables_of_a_newer_version(deployed: Program, words: tuple[str, ...]) -> None:
    """They said to run the upgrade, which cannot go back."""
    at_revision(deployed, "9999")
    ended = deployed(*words, "--json")
    assert (ended.code, ended.json()["error"]["code"]) == (3, "unknown-revision")
    assert "a newer version upgraded it" in ended.json()["error"]["message"]
    assert "db upgrade" not in ended.json()["error"]["message"]


@long
def test_what_serves_ends_when_a_newer_version_upgrades_the_tables(deployed: Program) -> None:
    """Who only reads, and holds no lease, would answer from what he does not know."""
    kept = KeptPort()
    process = subprocess.Popen(
        deployed.command("serve", "--json"),
        cwd=deployed.folder,
        env=deployed.with_settings({"api_port": str(kept.number)}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "{\n"  # it listens
        at_revision(deployed, "9999")
        out, err = process.communicate(timeout=60)
    except BaseException:
        process.kill()
        raise
    kept.close()
    assert process.returncode == 3
    assert "unknown-revision" in out and "a newer version upgraded it" in out
    assert "Traceback" not in err


def test_current_and_doctor_say_so_too(park: Program) -> None:
    at_revision(park, "9999")
    ended = park("db", "current")
    assert ended.code == 1 and "a newer version upgraded it" in ended.out
    doctor = park("doctor")
    assert "a newer version upgraded it" in " ".join(doctor.out.split())
