"""What a trading desk does by hand: a trade withdrawn before it is sent, and a run that ends before its end."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from ledger.chain.contracts.events import SETTLEMENT
from ledger.chain.contracts.wrappers import VppSettlement
from ledger.settings import load_settings
from ledger.settlement.words import Trade, pack
from tests.cli.conftest import SITE, TRADES, Program, good
from tests.support import acts
from tests.support.chain import DISPUTE_TIMEOUT_S, OPERATOR_ROLE, PARTIES, TestChain, trade
from tests.support.forms import long
from tests.support.mirror import running_chain
from tests.support.sending import GWEI

PLANT, MARKET = PARTIES["owner"], PARTIES["market"]
WHY = ("--reason", "a slip of the pen")


@pytest.fixture
def chain() -> Iterator[TestChain]:
    """A node with the contracts; the market has 100.00 in the escrow."""
    with running_chain() as chain:
        chain.deposit("market", 10_000)
        yield chain


@pytest.fixture
def desk(chain: TestChain, migrated: Program) -> Program:
    """The program on that chain, with a plant and a market that settle by what the operator proposes."""
    migrated.environ |= migrated.with_settings(
        {
            "rpc_url": chain.rpc_url,
            "deployment": "local.json",
            "finality": "0",
            "settlement_way": "proposed",
        }
    )
    migrated.write("local.json", chain.deployment_text())
    migrated.write(
        "site.toml", SITE.replace("0x" + "1" * 40, PLANT).replace("0x" + "2" * 40, MARKET)
    )
    good(migrated("site", "apply", "site.toml"))
    return migrated


def trades(desk: Program, hour: int, *rows: str) -> None:
    """Import trades of an hour, each a quantity, a price and a total."""
    lines = [f"lab-vpp,sell,sell,{row},spot,2014-01-01T{hour:02}:00:00+00:00" for row in rows]
    desk.write("more.csv", "\n".join((TRADES.splitlines()[0], *lines)) + "\n")
    good(desk("trades", "import", "more.csv"))


def proposed(desk: Program) -> str:
    """Have a trade proposed, and the proposal mirrored; return the key of its batch."""
    trades(desk, 0, "1000.000,0.0421,42.10")
    (key,) = good(desk("settle", "run", "--no-wait", "--json")).json()["planned"]
    good(desk("index", "run", "--until", "head"))
    return str(key)


def price(node: TestChain, gwei: int) -> None:
    """Mine a block in which gas costs this much."""
    node.client.request("anvil_setNextBlockBaseFeePerGas", [hex(gwei * GWEI)])
    node.mine(1)


def escrow(node: TestChain, party: str) -> int:
    """Return what a party has in the escrow, cents of a currency with two decimals: asked of the contract itself."""
    settlement = VppSettlement(node.client, node.deployment.settlement.address)
    (units,) = settlement.balances_of([PARTIES[party]])
    return units // settlement.units_per_cent()


def statuses(desk: Program) -> list[str]:
    (file,) = desk.folder.rglob("truetonne.db")
    with closing(sqlite3.connect(file)) as link:
        return [
            row for (row,) in link.execute("SELECT status FROM vpp_trading_records ORDER BY id")
        ]


@long
def test_a_trade_that_was_to_be_settled_by_itself_is_withdrawn(
    desk: Program, chain: TestChain
) -> None:
    """Gas was too dear, and nobody could take it back: each later run would have sent it."""
    trades(desk, 0, "1000.000,0.0421,42.10")
    nothing = desk("settle", "cancel", "trade:1", *WHY)
    assert (nothing.code, "`truetonne trades cancel 1 " in nothing.one_line()) == (1, True)
    price(chain, 800)
    assert desk("settle", "one", "1").code == 3
    assert (
        desk("trades", "cancel", "1", *WHY, "--json").json()["error"]["code"] == "trade-under-way"
    )
    (row,) = good(desk("chain", "intents", "--json")).json()["intents"]
    assert row["what_to_do"].endswith("`truetonne settle cancel trade:1` takes it back")
    told = good(desk("settle", "status", "trade:1", "--json")).json()
    assert told["to_do"].endswith(
        "truetonne settle cancel trade:1 --reason WHY takes it back until then"
    )
    assert desk("settle", "cancel", "trade:9", *WHY).code == 2
    assert desk("settle", "cancel", "trade:1", "--reason", " ").code == 2
    dry = good(desk("settle", "cancel", "trade:1", *WHY, "--dry-run"))
    assert dry.out == (
        "the settlement of trade 1 by itself would be withdrawn; the trade is free again\n"
    )
    done = good(desk("settle", "cancel", "trade:1", *WHY, "--json")).json()
    assert (done["trade"], done["withdrawn"], done["reason"]) == (1, True, WHY[1])
    assert good(desk("chain", "intents", "--json")).json()["intents"] == []
    (row,) = good(desk("chain", "intents", "--all", "--json")).json()["intents"]
    assert (row["key"], row["error"]) == (done["key"], f"withdrawn: {WHY[1]}")
    price(chain, 1)
    assert good(desk("settle", "run", "--no-wait", "--json")).json()["planned"] != []  # in a batch
    again = desk("settle", "cancel", "trade:1", *WHY, "--json")
    assert (again.code, again.json()["error"]["code"]) == (1, "trade-in-batch")
    assert escrow(chain, "owner") == 0


@long
def test_a_run_that_ends_before_its_end_says_what_it_did(desk: Program, chain: TestChain) -> None:
    """A dispute that timed out was all that it said, of batches that it had sent as well."""
    first = proposed(desk)
    acts.dispute(chain, "market", 1, Trade(1, MARKET, PLANT, 1_000_000, 421))
    chain.client.request("anvil_mine", ["0x2", hex(2 * DISPUTE_TIMEOUT_S)])
    trades(desk, 1, "1.000,1.0000,1.00")
    ended = desk("settle", "run", "--json")
    found = ended.json()
    assert (ended.code, found["error"]["code"], ended.err) == (1, "dispute-timed-out", "")
    (second,) = found["planned"]
    assert [(row["batch_key"], row["state"]) for row in found["batches"]] == [
        (first, "proposed"),
        (second, "proposed"),
    ]
    trades(desk, 2, "2.000,1.0000,2.00")
    ended = desk("settle", "run")
    assert ended.code == 1
    assert ended.out.count("  proposed\n") + ended.out.count("  disputed\n") == 3
    (line,) = ended.err.splitlines()
    assert line.startswith(f"error: settlement batch {first} cannot be finalised, and those behind")
    good(desk("settle", "cancel", first, *WHY))
    chain.client.request("anvil_mine", ["0x2", hex(2 * DISPUTE_TIMEOUT_S)])
    good(desk("settle", "run"))
    assert statuses(desk) == ["cancelled", "executed", "executed"]
    assert escrow(chain, "owner") == 300


@long
def test_what_cannot_be_sent_keeps_nothing_else_from_its_end(
    desk: Program, chain: TestChain
) -> None:
    """The key of one sender is not here: what was proposed before was finalised by nobody but the jobs."""
    first = proposed(desk)
    chain.client.request("anvil_mine", ["0x2", hex(3600)])
    book = json.loads(chain.deployment_text())
    book["accounts"]["member"] = "0x" + "9" * 40
    desk.write("local.json", json.dumps(book))
    trades(desk, 1, "1.000,1.0000,1.00")
    ended = desk("settle", "run", "--json", settlement_way="auto")
    found = ended.json()
    assert (ended.code, found["error"]["code"]) == (2, "no-key")
    (second,) = found["planned"]
    assert {row["batch_key"]: row["state"] for row in found["batches"]} == {
        first: "finalized",
        second: "planned",
    }
    assert statuses(desk) == ["executed", "pending"]


@long
def test_a_deployment_that_stands_says_who_lacks_a_role(desk: Program, chain: TestChain) -> None:
    """It said that all is there, and nobody could propose a batch."""
    deploy = ("chain", "deploy")
    assert good(desk(*deploy, "--json")).json()["without_roles"] == []
    chain.act("admin", SETTLEMENT, "revokeRole", [OPERATOR_ROLE, PARTIES["operator"]])
    for how in ((), ("--dry-run",)):
        (row,) = good(desk(*deploy, *how, "--json")).json()["without_roles"]
        assert (row["part"], row["account"]) == ("operator", PARTIES["operator"])
        said = f"operator {PARTIES['operator']} does not have OPERATOR_ROLE of VppSettlement\n"
        shown = good(desk(*deploy, *how)).out
        assert said in shown and "roles were not granted again" in shown


@long
def test_a_call_whose_shown_arguments_were_damaged_is_known_by_what_is_sent(
    desk: Program, chain: TestChain
) -> None:
    """Another program had emptied the JSON: every run and every status of a batch was an internal error."""
    first = proposed(desk)
    chain.client.request("anvil_mine", ["0x2", hex(3600)])
    good(desk("index", "run", "--until", "head"))
    price(chain, 800)
    assert desk("settle", "run", "--no-wait").code == 3
    (file,) = desk.folder.rglob("truetonne.db")
    with closing(sqlite3.connect(file)) as link, link:
        link.execute("UPDATE chain_intents SET parameters = '{}' WHERE kind = 'finalize_batch'")
    price(chain, 1)
    assert good(desk("settle", "status", first, "--json")).json()["state"] == "proposed"
    good(desk("settle", "run"))
    assert statuses(desk) == ["executed"]


def test_a_batch_of_others_that_waits_for_nobody_any_more_is_cancelled_from_here(
    desk: Program, chain: TestChain
) -> None:
    """Its operator was gone, and its dispute timed out: ours waited behind it for ever, and no command could help."""
    chain.act("admin", SETTLEMENT, "grantRole", [OPERATOR_ROLE, PARTIES["spare"]])
    chain.propose([trade(900_001, "market", "owner", 1000, 10_000)], sender="spare")
    acts.dispute(chain, "market", 1, trade(900_001, "market", "owner", 1000, 10_000))
    trades(desk, 0, "1000.000,0.0421,42.10")
    (ours,) = good(desk("settle", "run", "--no-wait", "--json")).json()["planned"]
    good(desk("index", "run", "--until", "head"))
    (theirs,) = keys_on_chain(desk) - {ours}
    for early in (theirs, f"0x{int(theirs, 16):064X}"):
        refused = desk("settle", "cancel", early, *WHY)
        assert (refused.code, "no batch of these books" in refused.one_line()) == (1, True)
    chain.client.request("anvil_mine", ["0x2", hex(2 * DISPUTE_TIMEOUT_S)])
    ended = desk("settle", "run", "--json").json()["error"]
    way_out = f"truetonne settle cancel {theirs} --reason WHY lets the batches behind it go on"
    assert (ended["code"], ended["message"].endswith(way_out)) == ("dispute-timed-out", True)
    chain.act("admin", SETTLEMENT, "revokeRole", [OPERATOR_ROLE, PARTIES["operator"]])
    assert good(desk("settle", "cancel", theirs, *WHY, "--dry-run")).out.startswith("would cancel")
    done = good(desk("settle", "cancel", theirs, *WHY, "--json")).json()
    assert (done["batch"], done["final"]) == (theirs, True)
    again = desk("settle", "cancel", theirs, *WHY)
    assert (again.code, "is cancelled and no batch of these books" in again.one_line()) == (1, True)
    good(desk("settle", "run"))
    assert statuses(desk) == ["executed"]
    assert escrow(chain, "market") == 100_00 - 42_10
    assert desk("settle", "cancel", "0x" + "ab" * 32, *WHY).code == 2


@long
def test_a_batch_of_others_under_a_key_of_ours_that_failed_is_cancelled_from_here(
    desk: Program, chain: TestChain
) -> None:
    """It was told how to cancel it, and refused then, as ours had failed."""
    chain.act("admin", SETTLEMENT, "grantRole", [OPERATOR_ROLE, PARTIES["spare"]])
    trades(desk, 0, "1000.000,0.0421,42.10")
    price(chain, 800)
    assert desk("settle", "run", "--no-wait").code == 3
    (row,) = good(desk("settle", "status", "--json")).json()["batches"]
    key = row["batch_key"]
    good(desk("settle", "cancel", key, *WHY))  # nothing was sent; others have seen the key
    price(chain, 1)
    theirs = trade(900_001, "market", "owner", 1000, 10_000)
    packed = pack([theirs])
    arguments = [bytes.fromhex(key[2:]), 0, list(packed.accounts), list(packed.words)]
    chain.act("spare", SETTLEMENT, "proposeBatch", arguments)
    acts.dispute(chain, "market", 1, theirs)
    (ours,) = good(desk("settle", "run", "--no-wait", "--json")).json()["planned"]
    good(desk("index", "run", "--until", "head"))
    assert ours != key
    early = desk("settle", "cancel", key, *WHY).one_line()
    assert "no batch of these books" in early
    chain.client.request("anvil_mine", ["0x2", hex(2 * DISPUTE_TIMEOUT_S)])
    ended = desk("settle", "run", "--json").json()["error"]
    way_out = f"truetonne settle cancel {key} --reason WHY lets the batches behind it go on"
    assert (ended["code"], ended["message"].endswith(way_out)) == ("dispute-timed-out", True)
    good(desk("settle", "cancel", key, *WHY))
    good(desk("settle", "run"))
    assert statuses(desk) == ["executed"]
    assert escrow(chain, "market") == 100_00 - 42_10


def keys_on_chain(desk: Program) -> set[str]:
    (file,) = desk.folder.rglob("truetonne.db")
    with closing(sqlite3.connect(file)) as link:
        return {key for (key,) in link.execute("SELECT key FROM settlement_batches")}


@long
def test_pages_and_api_say_of_a_batch_what_the_commands_say(
    desk: Program, chain: TestChain
) -> None:
    """A batch that waits for an arbiter was proposed by its page; and money that lacks was that of no currency."""
    trades(desk, 0, "1000.000,0.0421,42.10")
    (key,) = good(desk("settle", "run", "--no-wait", "--json")).json()["planned"]
    good(desk("index", "run", "--until", "head"))
    acts.dispute(chain, "market", 1, Trade(1, MARKET, PLANT, 1_000_000, 421))
    trades(desk, 1, "1000.000,1.0000,1000.00")
    good(desk("index", "run", "--until", "head"))
    good(desk("jobs", "run", "settle"))
    assert re.search(f"{key} .* disputed\n", good(desk("settle", "status")).out)
    given = {name: value for name, value in desk.environ.items() if name.startswith("TRUETONNE_")}
    (file,) = desk.folder.rglob("truetonne.db")
    given |= {
        "TRUETONNE_DATABASE_URL": f"sqlite:///{file}",
        "TRUETONNE_DEPLOYMENT": str(desk.folder / "local.json"),
    }
    with TestClient(create_app(load_settings(None, given))) as client:
        for path in (f"/settlements/{key}", "/settlements", "/plants/lab-vpp"):
            assert '<span class="badge disputed">disputed</span>' in client.get(path).text, path
        token = chain.deployment.contracts["TestCurrency"].address
        for path in (f"/settlements/{key}", "/plants/lab-vpp"):
            said = client.get(path).text
            shown = f'<bdi>tEUR</bdi> <code class="whole-hash">{token}</code>'
            assert f">Money is in the token</dt><dd>{shown}" in said
        assert shown in client.get(f"/holders/{MARKET}?lang=zh").text  # who has money in escrow
        assert shown not in client.get("/holders/0x" + "9" * 40).text
        (row,) = client.get("/v1/plants/lab-vpp").json()["settlements"]
        assert (row["state"], row["chain_status"]) == ("proposed", "disputed")
        left_out = client.get("/v1/trades").json()["items"][0]["left_out"]
    # The bond of the dispute is out of the escrow.
    assert left_out == (
        "spot has 57.70 tEUR in escrow and owes 1000.00 tEUR: truetonne settle deposit spot 942.30"
    )
