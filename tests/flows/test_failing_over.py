"""The primary of a pair is killed within a command; the replica is promoted, and the same command given again."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, delete

import cli.main
from indexer.verify import verify
from ledger.db import Database
from ledger.errors import DependencyDown
from ledger.models import ChainIntent, CreditBatch, CreditRetirement, VppSettlementBatch
from tests.support.forms import long
from tests.support.pair import NAME, Node, Pair, made_pair
from tests.support.park import PROJECT, AfterMining, Park, day, open_chain, running_park, states
from tests.support.sending import sent
from tests.support.statements import listening

pytestmark = [pytest.mark.mariadb, long]

ISSUE = ("credits", "issue", "--project", PROJECT, "--from", "2014-01-02", "--to", "2014-01-03")
RETIRE = ("credits", "retire", "park-wind-2014-1", "--amount", "10", "--beneficiary", "Ada")
COMMANDS = (ISSUE, (*RETIRE, "--reason", "a flight", "--key", "flight-1"), ("settle", "run"))
PLAN = "INSERT INTO chain_intents"
STORE = "INSERT INTO chain_attempts"
NOTE = "UPDATE chain_attempts SET broadcast_at"


@contextmanager
def killed_at(node: Node, statement: str, *, committed: bool) -> Iterator[list[str]]:
    """Kill a server before the commit of the first unit of work with such a statement, or right after it."""
    met: list[str] = []

    def before(_connection: Connection, _cursor: Any, text: str, *_: Any) -> None:
        if not met and text.startswith(statement):
            met.append(text)

    def commit(connection: Connection) -> None:
        if len(met) == 1:
            met.append("COMMIT")
            if committed:
                connection.connection.dbapi_connection.commit()  # type: ignore[union-attr]
            node.kill()

    with listening(before, commit):
        yield met


def url_of(node: Node) -> str:
    return node.url(NAME).replace("root@", "writer@")


def moved(park: Park, pair: Pair) -> Park:
    """Open the books of the new primary."""
    park.db.close()
    db = Database(pair.primary.url(NAME))
    mirror = AfterMining(db, park.node.client, park.node.deployment)
    return Park(db, park.node, open_chain(db, park.node), mirror, park.folder)


def given(words: Sequence[str], pair: Pair, patch: pytest.MonkeyPatch) -> int:
    patch.setenv("TRUETONNE_DATABASE_URL", url_of(pair.primary))
    return cli.main.run(list(words))


@pytest.mark.parametrize(
    ("statement", "committed", "lossy"),
    [(PLAN, True, False), (STORE, True, False), (NOTE, False, True)],
    ids=["planned", "stored", "sent and lost"],
)
def test_the_same_command_at_the_new_primary_does_it_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    statement: str,
    committed: bool,
    lossy: bool,
) -> None:
    """Without semi-sync the new primary knows of nothing, and the chain has it: that is adopted."""
    for number, words in enumerate(COMMANDS):
        folder = tmp_path / str(number)
        folder.mkdir()
        with made_pair(folder) as pair:
            db = Database(pair.primary.url(NAME))
            db.upgrade()
            with running_park(db, folder) as park:
                _fail_over(park, pair, words, monkeypatch, lossy, statement, committed)


def _fail_over(
    park: Park,
    pair: Pair,
    words: Sequence[str],
    patch: pytest.MonkeyPatch,
    lossy: bool,
    statement: str,
    committed: bool,
) -> None:
    (park.folder / "deployment.json").write_text(park.node.deployment_text())
    for name, value in {
        "RPC_URL": park.node.rpc_url,
        "DEPLOYMENT": str(park.folder / "deployment.json"),
        "HOME": str(park.folder / "home"),
        "NETWORK": park.node.deployment.network,
        "FINALITY": "0",
        "SETTLEMENT_WAY": "proposed",
        "NETTING_HOURS": "24",
    }.items():
        patch.setenv(f"TRUETONNE_{name}", value)
    park.node.deposit("market", 100_00)
    park.register()
    park.generate(day(1), ["100"] * 2)
    park.trade(("sell", 1000, 20_000))
    assert given([*ISSUE[:5], "2014-01-01", "--to", "2014-01-02"], pair, patch) == 0
    assert pair.level()
    replica = Database(url_of(pair.replica))
    pointer = "is read-only; name the primary in TRUETONNE_DATABASE_URL;.* docs/replica.md says what that needs"
    with pytest.raises(DependencyDown, match=pointer):
        replica.run(lambda session: session.execute(delete(ChainIntent)))
    replica.close()
    if lossy:
        pair.replica.ask("STOP REPLICA IO_THREAD")
        pair.primary.ask("SET GLOBAL rpl_semi_sync_master_enabled = 0")

    with killed_at(pair.primary, statement, committed=committed) as met:
        assert given(words, pair, patch) == 3
    assert met[1:] == ["COMMIT"]
    for name, value in pair.settings().items():
        patch.setenv(f"TRUETONNE_{name.upper()}", value)
    promote = ["db", "promote", *(["--accept-loss"] if lossy else [])]
    assert cli.main.run(promote) == 0
    for name in pair.settings():
        patch.delenv(f"TRUETONNE_{name.upper()}")
    pair.swap()
    park = moved(park, pair)

    assert given(words, pair, patch) == 0  # without another block: what is adopted is final already
    park.mirror_final()
    assert [int(row.issued_kg) for row in park.rows(CreditBatch)] == [1200] * (1 + (words == ISSUE))
    retired = [int(row.amount_kg) for row in park.rows(CreditRetirement)]
    assert retired == [10] * (words[1] == "retire")
    batches = park.rows(VppSettlementBatch)
    assert (len(batches), states(park)) == ((1, ["proposed"]) if words[0] == "settle" else (0, []))
    assert sent(park, "operator") == len(batches)
    assert park.differences() == []
    assert verify(park.db, park.node.client, park.node.deployment, 0).differences == []
    park.chain.close()
    park.db.close()
