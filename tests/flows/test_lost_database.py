"""The database goes away within an act that has no name: its person is told that the same command acts once more."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

import cli.main
from ledger import issuance
from ledger.db import Database
from ledger.models import ChainAttempt, ChainIntent, CreditRetirement, SettlementMovement
from ledger.models.sending import IntentState
from ledger.settlement.escrow import mint_test_currency
from tests.support.chain import PARTIES
from tests.support.copied import back_up
from tests.support.forms import long, rest
from tests.support.park import PROJECT, Park, day, running_park
from tests.support.statements import listening

pytestmark = pytest.mark.mariadb

RETIRE = ("credits", "retire", "park-wind-2014-1", "--amount", "10", "--beneficiary", "Ada")
RETIRE_10 = (*RETIRE, "--reason", "a flight")
DEPOSIT = ("settle", "deposit", "day-ahead", "100")


@pytest.fixture
def park(mariadb_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Park]:
    """A park with credits and money, and the environment in which the commands find it."""
    with running_park(mariadb_db, tmp_path) as park:
        park.register()
        park.generate(day(1), ["100"])
        issuance.plan_issuance(park.chain, PROJECT, day(1), day(2))
        issuance.submit_planned(park.chain)
        park.mirror_final()
        (tmp_path / "deployment.json").write_text(park.node.deployment_text())
        for name, value in {
            "DATABASE_URL": mariadb_db.url.render_as_string(hide_password=False),
            "RPC_URL": park.node.rpc_url,
            "DEPLOYMENT": str(tmp_path / "deployment.json"),
            "HOME": str(tmp_path / "home"),
            "NETWORK": park.node.deployment.network,
            "FINALITY": "0",
        }.items():
            monkeypatch.setenv(f"TRUETONNE_{name}", value)
        yield park


@contextmanager
def gone_at(statement: str, *, committing: bool = False) -> Iterator[list[str]]:
    """End the connection at the first such statement from the storing on, or right after its commit."""
    stored: list[str] = []
    met: list[str] = []

    def end(connection: Connection) -> None:
        connection.connection.dbapi_connection._force_close()  # type: ignore[union-attr]

    def before(connection: Connection, _cursor: Any, text: str, *_: Any) -> None:
        if text.startswith(STORE):
            stored.append(text)
        if stored and not met and text.startswith(statement):
            met.append(text)
            if not committing:
                end(connection)

    def commit(connection: Connection) -> None:
        if met and committing and len(met) == 1:
            met.append("COMMIT")
            connection.connection.dbapi_connection.commit()  # type: ignore[union-attr]
            end(connection)

    with listening(before, commit):
        yield met


def given(words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Give a command; return its exit code and the last line of what it says on stderr."""
    capsys.readouterr()
    code = cli.main.run(list(words))
    return code, (capsys.readouterr().err.splitlines() or [""])[-1]


NOTE = "UPDATE chain_attempts SET broadcast_at"
STORE = "INSERT INTO chain_attempts"


@long
@pytest.mark.parametrize(
    ("where", "committing"),
    rest([(NOTE, False), (STORE, True), ("UPDATE chain_cursor", False)], (NOTE, False)),
    ids=["before its note", "its commit unanswered", "amid the mirror"],
)
def test_a_nameless_act_that_is_stored_is_not_to_be_given_again(
    park: Park,
    capsys: pytest.CaptureFixture[str],
    where: str,
    committing: bool,
) -> None:
    """`try again` was all that was said: whoever did so retired twice, and was told afterwards."""
    with gone_at(where, committing=committing) as met:
        code, said = given(RETIRE_10, capsys)
    assert met
    (intent,) = [row for row in park.rows(ChainIntent) if row.kind == "retire"]
    (attempt,) = [row for row in park.rows(ChainAttempt) if row.intent_key == intent.key]
    assert (code, said[:7]) == (3, "error: ")
    assert said.endswith("before you give the command again: it would act a second time")
    assert "truetonne chain intents --all" in said
    assert attempt.tx_hash in said or "to retire 10 kg of park-wind-2014-1 is stored" in said

    park.chain.sender.tend()  # as the jobs do
    park.mirror_final()
    assert [int(row.amount_kg) for row in park.rows(CreditRetirement)] == [10]
    assert park.intent(intent.key).state is IntentState.CONFIRMED
    assert park.differences() == []


@long
def test_an_act_with_a_name_is_given_again_and_done_once(
    park: Park, capsys: pytest.CaptureFixture[str]
) -> None:
    with gone_at(NOTE) as met:
        code, said = given((*RETIRE_10, "--key", "flight-1"), capsys)
    assert met and code == 3
    assert "second time" not in said
    assert given((*RETIRE_10, "--key", "flight-1"), capsys)[0] == 0
    assert [int(row.amount_kg) for row in park.rows(CreditRetirement)] == [10]


@long
def test_a_payment_that_is_stored_is_not_to_be_given_again(
    park: Park, capsys: pytest.CaptureFixture[str]
) -> None:
    assert given((*DEPOSIT, "--mint"), capsys) == (0, "")
    with gone_at(NOTE) as met:
        code, said = given((*DEPOSIT, "--mint"), capsys)
    assert met and code == 3
    assert re.search(r"mint, transaction 0x[0-9a-f]{64}, is stored, and the jobs send it", said)
    assert len(park.rows(SettlementMovement)) == 1


def test_a_payment_of_which_the_approval_alone_is_stored_is_given_again(
    park: Park, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the approval it was said that it would act a second time, which kept people from paying at all."""
    mint_test_currency(park.chain, PARTIES["market"], 100_00)
    with gone_at(NOTE) as met:
        code, said = given(DEPOSIT, capsys)
    assert met and code == 3
    assert "second time" not in said
    called = {row.function_name for row in park.rows(ChainIntent)}
    assert "approve" in called and "deposit" not in called
    assert given(DEPOSIT, capsys) == (0, "")
    assert [int(row.amount) for row in park.rows(SettlementMovement)] == [100_00]


@long
def test_what_was_done_lately_is_found_on_chain_where_the_books_have_lost_it(
    park: Park, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """After a promotion that lost transactions nothing said that the second retirement was one."""
    restore = back_up(park.db, tmp_path)
    assert given(RETIRE_10, capsys) == (0, "")
    (done,) = [row.tx_hash for row in park.rows(ChainIntent) if row.kind == "retire"]
    restore()
    assert (
        cli.main.run(["credits", "retire", "park-wind-2014-1", "--amount", "9", *RETIRE_10[5:]])
        == 0
    )
    assert "hint" not in capsys.readouterr().out  # of another amount
    assert cli.main.run(list(RETIRE_10)) == 0
    said = capsys.readouterr().out
    assert f"by transaction {done}, which these books have forgotten; this one comes on top" in said
    assert [int(row.amount_kg) for row in park.rows(CreditRetirement)] == [10, 9, 10]
    assert cli.main.run(list(RETIRE_10)) == 0
    assert "hint: the same was asked for at" in capsys.readouterr().out
