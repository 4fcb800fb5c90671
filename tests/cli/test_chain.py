"""The commands that speak to a chain, in the order of the work, on a real node."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ledger.chain.keys.signers import anvil_address
from tests.cli.conftest import TRADES, Program, good, lab_on
from tests.support.chain import CAP_KG, CLASS_CODE, METHODOLOGY, WINDOW_S, TestChain
from tests.support.forms import few, long
from tests.support.mirror import running_chain
from tests.support.proxy import LyingNode, Tamper
from tests.support.solidity import compiled

JANUARY = ("--project", "lab-wind", "--from", "2014-01-01", "--to", "2014-02-01")


@pytest.fixture(scope="module")
def chain() -> Iterator[TestChain]:
    """A node with the contracts; the market has 100.00 in the escrow."""
    with running_chain() as chain:
        chain.deposit("market", 10_000)
        yield chain


@pytest.fixture(scope="module")
def program(chain: TestChain, tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The program in a folder with a park, its readings and a trade, on that chain."""
    program = lab_on(chain, tmp_path_factory.mktemp("chain"))
    program.write("trades.csv", TRADES)
    for words in (
        ("db", "upgrade"),
        ("site", "apply", "site.toml"),
        ("import", "--site", "lab", "--source", "scada", "readings.csv"),
        ("trades", "import", "trades.csv"),
    ):
        good(program(*words))
    return program


def _mines_when_asked_what_became_of_it(chain: TestChain) -> Tamper:
    """Mine once a transaction is asked for: whoever asks has gone on with it by then."""

    def tamper(method: str, params: list[Any], result: Any) -> Any:
        if method in ("eth_getTransactionReceipt", "eth_getTransactionByHash"):
            chain.client.request("evm_mine")
        return result

    return tamper


@pytest.fixture(scope="module")
def issued(program: Program, chain: TestChain) -> Program:
    """The program after the reductions of January were issued, by a command that was given twice."""
    register = ("chain", "register", "--project", "lab-wind")
    dry = good(program("credits", "issue", *JANUARY, "--dry-run"))
    assert dry.out == "would register lab-wind on chain\nwould issue 1299 kg, vintage 2014\n"
    # What is refused puts no code onto the chain, where it would stand for ever.
    empty = ("--project", "lab-wind", "--from", "2013-01-01", "--to", "2013-02-01")
    assert program("credits", "issue", *empty, "--json").json()["error"]["code"] == "no-readings"
    assert not good(program(*register, "--dry-run", "--json")).json()["registered"]
    deployment = json.loads(chain.deployment_text())
    deployment["accounts"]["registrar"] = "0x" + "1" * 40
    program.write("elsewhere.json", json.dumps(deployment))
    early = program("credits", "issue", *JANUARY, deployment="elsewhere.json")
    assert early.code == 2
    assert "run truetonne chain register --project lab-wind" in early.one_line()
    unset = program(*register, "--owner", "")  # for ever: nobody means the default by it
    assert unset.code == 2 and "'' is not an account" in unset.one_line()
    good(program(*register))
    # What contract or policy would refuse is refused beforehand.
    tried = ("credits", "issue", *JANUARY, "--dry-run")
    deployment["accounts"]["issuer"] = anvil_address(9)
    program.write("another.json", json.dumps(deployment))
    stranger = program(*tried, deployment="another.json")
    assert stranger.code == 1 and "does not have the role ISSUER" in stranger.one_line()
    program.write("little.toml", "signer_gas_max = 100000")
    little = program(*tried, "--config", str(program.folder / "little.toml"))
    assert little.code == 1 and "signer policy, gas cap: " in little.one_line()
    before = good(program("reductions", *JANUARY, "--json")).json()
    assert (before["net_kwh"], before["issued_kg"]) == ("3000.833333333", "1299")
    dry = good(program("credits", "issue", *JANUARY, "--dry-run", "--json")).json()
    assert [item["issued_kg"] for item in dry["issuances"]] == ["1299"] and not dry["registers"]
    assert good(program("credits", "list", "--json")).json()["credits"] == []
    chain.client.request("evm_setAutomine", [False])
    sent = good(program("credits", "issue", *JANUARY, "--no-wait", "--json")).json()
    assert (sent["went_on"], sent["issuances"][0]["state"]) == (False, "submitted")
    dry = good(program("credits", "issue", *JANUARY, "--dry-run", "--json")).json()
    assert (dry["went_on"], dry["issuances"][0]["issued_kg"]) == (True, "1299")
    longer = program("credits", "issue", *JANUARY[:-1], "2014-02-02", "--dry-run")
    assert "(planned); a reading counts once; an issuance of those very dates" in longer.one_line()
    with LyingNode(chain.rpc_url) as node:
        node.tamper = _mines_when_asked_what_became_of_it(chain)
        ended = program("credits", "issue", *JANUARY, "--json", rpc_url=node.rpc_url)
    chain.client.request("evm_setAutomine", [True])
    again = good(ended).json()
    (row,) = again["issuances"]
    assert again["went_on"] and row["key"] == sent["issuances"][0]["key"]
    assert (row["serials"], row["state"]) == ("lab-wind-2014-1-1-1299", "confirmed")
    return program


def test_a_period_is_issued_once(issued: Program) -> None:
    for tried in ((), ("--dry-run",)):
        again = issued("credits", "issue", *JANUARY, *tried)
        assert again.code == 1
        assert "the period overlaps an issuance" in again.one_line()


def test_what_comes_late_is_said(issued: Program) -> None:
    before = good(issued("reductions", *JANUARY, "--json")).json()
    lines = ["2014-01-20T00:00:00+01:00,600", "2014-01-20T00:10:00+01:00,99999", ""]
    issued.write("late.csv", "time,power\n" + "\n".join(lines))
    ended = good(issued("import", "--site", "lab", "--source", "scada", "late.csv"))
    assert "  2 late: their period is issued already, and they move nothing that was" in ended.out
    after = good(issued("reductions", *JANUARY, "--json")).json()
    assert after["readings"].pop("late") == 2
    assert after == before
    assert "readings late" in good(issued("reductions", *JANUARY)).out
    issued.write(
        "odd.csv", "time,power\n2014-02-20T00:00:00+01:00,99999\n2014-02-20T00:10:00+01:00,\n"
    )
    odd = good(issued("import", "--site", "lab", "--source", "scada", "odd.csv"))
    assert "  1 beyond what the device can do, and not used\n  1 without a value\n" in odd.out
    again = good(issued("import", "--site", "lab", "--source", "scada", "odd.csv", "--json")).json()
    assert not {"late", "outliers", "missing"} & again.keys()


def test_credits_are_listed_shown_and_retired(issued: Program) -> None:
    listed = good(issued("credits", "list", "--json")).json()
    (credit,) = listed["credits"]
    assert (credit["credit_id"], credit["amount"]) == ("lab-wind-2014-1-1-1299", "1.299")
    assert (credit["final"], listed["more"]) == (True, False)
    retire = ("credits", "retire", credit["credit_id"], "--amount", "300", "--beneficiary", "Bo")
    dry = good(issued(*retire, "--reason", "tests", "--dry-run", "--json")).json()
    assert dry["dry_run"] is True
    issued.write("order.txt", "abc")
    stated = ("--country", "fr", "--consumption-from", "2014-01-01", "--consumption-to")
    stated += ("2015-01-01", "--document", "order.txt")
    done = good(issued(*retire, "--reason", "tests", *stated, "--json")).json()
    assert done["retirement"]["serials"] == "1-300"
    assert done["retirement"]["credit_id"] == "lab-wind-2014-1-1-300"
    rows = good(issued("credits", "list", "--json")).json()["credits"]
    assert [(row["credit_id"], row["status"]) for row in rows] == [
        ("lab-wind-2014-1-1-300", "retired"),
        ("lab-wind-2014-1-301-1299", "active"),
    ]
    assert rows[0]["status_tx"] == done["transaction"] != rows[0]["blockchain_tx"]
    assert rows[1]["status_tx"] == rows[1]["blockchain_tx"]
    first = good(issued("credits", "list", "--limit", "1"))
    assert done["transaction"] in first.out
    told = first.out.splitlines()[-1]
    assert told.startswith("1 credit; as of block ")
    cursor = told.rpartition("there are more: --cursor ")[2]
    rest = good(issued("credits", "list", "--cursor", cursor, "--json")).json()
    assert [row["credit_id"] for row in rest["credits"]] == ["lab-wind-2014-1-301-1299"]
    other = issued("credits", "list", "--cursor", cursor, "--status", "active")
    assert other.code == 2
    assert "was made for other filters" in other.one_line()
    mine = good(issued("credits", "list", "--project", "lab-wind", "--json")).json()["credits"]
    assert mine == rows
    one = good(issued("credits", "list", "--status", "retired", "--json")).json()["credits"]
    assert [row["amount_kg"] for row in one] == ["300"]
    shown = good(issued("credits", "show", "lab-wind-2014-1-1-300", "--json")).json()
    assert (shown["retirement"]["beneficiary"], shown["batch"]["issued_kg"]) == ("Bo", "1299")
    assert (
        shown["retirement"]
        | {
            "country": "FR",
            "consumption_start": "2014-01-01T00:00:00Z",
            "consumption_end": "2015-01-01T00:00:00Z",
            "document_hash": "0x4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45",
        }
        == shown["retirement"]
    )  # Keccak-256 of "abc", as it is published
    for name, credit_id in (
        ("lab-wind-2014-1", "lab-wind-2014-1-1-300"),
        ("lab-wind-2014-1-301-302", "lab-wind-2014-1-301-1299"),
    ):
        found = good(issued("credits", "show", name, "--json")).json()
        assert found["credit_id"] == credit_id
    chosen = issued(
        *("credits", "retire", "lab-wind-2014-1-400-409", "--amount", "10"),
        *(*retire[-2:], "--reason", "tests"),
    )
    assert chosen.code == 2
    assert "10 kg are 301 to 310, not 400 to 409; name the batch" in chosen.one_line()
    parted = issued("credits", "show", "lab-wind-2014-1-1-1299", "--json")
    assert parted.code == 2
    assert parted.json()["error"]["credits"] == [row["credit_id"] for row in rows]
    much = issued(
        "credits",
        "retire",
        "lab-wind-2014-1-301-1299",
        "--amount",
        "1000",
        *retire[-2:],
        "--reason",
        "x",
    )
    assert much.code in (1, 2)
    much.one_line()


def test_an_act_with_a_key_is_done_once(issued: Program) -> None:
    def left() -> int:
        found = good(issued("credits", "list", "--status", "active", "--json")).json()["credits"]
        return sum(int(row["amount_kg"]) for row in found)

    before = left()
    retire = ("credits", "retire", "lab-wind-2014-1", "--beneficiary", "Bo", "--reason", "tests")
    keyed = (*retire, "--key", "invoice 12")
    dry = good(issued(*keyed, "--amount", "10", "--dry-run", "--json")).json()
    assert dry["repeated"] is False
    first = good(issued(*keyed, "--amount", "10", "--json")).json()
    again = good(issued(*keyed, "--amount", "10", "--json")).json()
    assert (first["repeated"], again.pop("repeated")) == (False, True)
    assert {**first, "repeated": None} == {**again, "repeated": None}
    assert left() == before - 10
    dry = good(issued(*keyed, "--amount", "10", "--dry-run"))
    assert "would do nothing" in dry.out
    other = issued(*keyed, "--amount", "11")
    assert other.code == 1
    assert "this key belongs to another act" in other.one_line()
    assert left() == before - 10
    # Without a key a second asking is a second act, and the first one is named.
    sent = good(issued(*retire, "--amount", "3", "--no-wait", "--json")).json()
    assert "hint" not in sent
    twice = good(issued(*retire, "--amount", "3", "--no-wait"))
    assert "hint: the same was asked for at " in twice.out
    assert sent["transaction"] in twice.out
    assert "--key TEXT" in twice.out
    good(issued("index", "run", "--until", "head"))
    assert left() == before - 16


@pytest.fixture(scope="module")
def settled(issued: Program, chain: TestChain) -> tuple[Program, str]:
    """The program after its trade was settled, step by step; and the key of the batch."""
    dry = good(issued("settle", "run", "--dry-run", "--json")).json()
    assert (dry["pending"], dry["trades"]) == ({"spot": 1}, {"spot": 1})
    assert (dry["left_out"], dry["refused"]) == ([], [])
    outlook = good(issued("settle", "preview", "--json")).json()
    assert outlook["currency"] == "tEUR"
    assert [(item["market"], item["funded"]) for item in outlook["batches"]] == [("spot", True)]
    assert {item["participant"]: item["net"] for item in outlook["batches"][0]["nets"]} == {
        "lab-vpp": "42.10",
        "spot": "-42.10",
    }
    assert outlook["batches"][0]["refusal"] is None
    assert int(outlook["batches"][0]["gas"]) > 100_000
    assert good(issued("settle", "status", "--json")).json()["batches"] == []
    done = good(issued("settle", "run", "--no-wait", "--json")).json()
    (batch,) = done["batches"]
    assert batch["state"] == "planned"  # sent, and the mirror has not read it yet
    assert chain.client.receipt(batch["transaction"]) is not None
    assert f"{batch['batch_key']}  spot         1  sent\n" in good(issued("settle", "status")).out
    assert batch["batch_key"] == done["planned"][0]
    assert batch["nets_cents"] == {"0x" + "1" * 40: "4210", anvil_address(6): "-4210"}
    good(issued("index", "run", "--until", "head"))
    # The window of this chain is an hour, and its time stands still between transactions.
    chain.client.request("anvil_mine", ["0x2", hex(3600)])
    final = good(issued("settle", "run", "--json"))
    assert final.json()["planned"] == []
    # What an earlier run began and this one ended is named.
    assert [(row["batch_key"], row["state"]) for row in final.json()["batches"]] == [
        (batch["batch_key"], "finalized")
    ]
    return issued, batch["batch_key"]


def test_a_settled_trade_is_executed(settled: tuple[Program, str]) -> None:
    program, batch_key = settled
    told = good(program("settle", "status", batch_key, "--json")).json()
    assert (told["state"], told["to_do"]) == ("finalized", "nothing: its trades are executed")
    status = good(program("settle", "status", "--json")).json()
    assert ([row["state"] for row in status["batches"]], status["pending"]) == (["finalized"], {})
    assert good(program("status", "--json")).json()["trades"]["executed"] == 1


@long
def test_a_trade_that_nobody_can_pay_is_seen_and_taken_out(settled: tuple[Program, str]) -> None:
    issued, _ = settled
    line = "lab-vpp,sell,sell,1000.000,1.0000,1000.00,spot,2014-01-01T01:00:00+01:00"
    issued.write("dear.csv", TRADES.splitlines()[0] + "\n" + line + "\n")
    good(issued("trades", "import", "dear.csv"))
    shown = issued("settle", "preview")
    assert shown.code == 1
    said = (
        "spot has 57.90 tEUR in escrow and owes 1000.00 tEUR: truetonne settle deposit spot 942.10"
    )
    assert f"cannot pay: {said}" in shown.out
    dry = issued("settle", "run", "--dry-run")
    assert (dry.code, dry.out) == (1, f"would settle nothing\nleft out, 1 trade: {said}\n")
    run = issued("settle", "run", "--json")
    assert (run.code, run.json()["planned"]) == (1, [])
    (out,) = run.json()["left_out"]
    assert (out["said"], out["missing"]) == (said, "942.10")
    (number,) = out["trades"]
    tried = issued("settle", "retry", f"trade:{number}", "--dry-run", "--json")
    would = {"dry_run": True, "market": "spot", "markets": ["spot"]}
    assert (tried.code, tried.json()) == (0, would)
    again = issued("settle", "retry", f"trade:{number}")
    assert again.code == 1
    assert f"left out, 1 trade: {said}" in again.out
    told = good(issued("settle", "status", f"trade:{number}"))
    assert said in told.out and "to do: pay in, as that says" in told.out
    for nothing in ("trade:99", "77", "0x" + "ab" * 32):
        assert issued("settle", "status", nothing).code == 2
        assert issued("settle", "retry", nothing).code == 2
    refused = issued("settle", "one", str(number), "--json")  # by the contract too
    error = refused.json()["error"]
    assert (refused.code, error["code"]) == (1, "contract-refused")
    assert error["message"].startswith(f"{said} (VppSettlement refuses ")
    assert error["contract_error"]["name"] == "InsufficientBalance" and error["key"]
    listed = good(issued("trades", "list", "--status", "pending", "--json")).json()
    (trade,) = listed["trades"]
    assert (trade["total_value"], listed["more"]) == ("1000.00", False)
    assert (trade["left_out"], trade["credits"]) == (said, None)
    first = good(issued("trades", "list", "--limit", "1", "--json")).json()
    assert (len(first["trades"]), first["more"]) == (1, True)
    rest = good(issued("trades", "list", "--cursor", first["next_cursor"], "--json")).json()
    assert (rest["trades"], rest["more"]) == ([trade], False)
    cancel = ("trades", "cancel", str(trade["id"]), "--reason", "a price in another unit")
    would_be = good(issued(*cancel, "--dry-run")).out
    assert "(sell 1000.000 kWh at 1.0000, spot) would be cancelled" in would_be
    assert good(issued(*cancel, "--json")).json()["status"] == "cancelled"
    assert issued(*cancel).code == 1
    assert good(issued("settle", "preview", "--json")).json()["batches"] == []
    assert issued("settle", "retry", f"trade:{number}").code == 1  # it is cancelled


def test_the_mirror_says_how_far_it_has_come(issued: Program, chain: TestChain) -> None:
    chain.mine(3)
    head = chain.client.block_number()
    behind = good(issued("index", "status", "--json")).json()
    assert (behind["head"], behind["behind"] >= 3) == (head, True)
    run = good(issued("index", "run", "--until", str(head - 1), "--json")).json()
    assert run["block"] >= head - 1
    run = good(issued("index", "run", "--until", "head", "--json")).json()
    assert (run["block"], run["head"], run["network"]) == (head, head, "local")
    status = good(issued("index", "status", "--json")).json()
    assert (status["behind"], status["verified"]) == (0, None)
    assert "are what the chain says" in good(issued("jobs", "run", "verify")).out
    held = good(issued("index", "status", "--json")).json()["verified"]
    assert (held["block"], held["to_block"], held["differences"]) == (run["final_block"], head, 0)
    shown = " ".join(good(issued("index", "status")).out.split())
    assert f"true to block {held['block']}; blocks {held['from_block']} to {head} decoded" in shown
    beyond = issued("index", "run", "--until", str(head + 1000))
    assert beyond.code == 3
    assert f"the chain ends at block {head}" in beyond.one_line()


def test_the_doctor_is_content(issued: Program) -> None:
    checks = good(issued("doctor", "--json")).json()["checks"]
    assert {item["name"] for item in checks if not item["ok"]} == set()
    assert {item["name"] for item in checks if item["verdict"] == "ok"} >= {
        "node",
        "chain",
        "schema",
    }


def test_the_doctor_names_an_account_whose_money_comes_to_an_end(
    issued: Program, chain: TestChain
) -> None:
    """It was noticed when nothing was taken any more: the doctor said that all is well on the day before."""
    books = issued.folder / ".truetonne" / "truetonne.db"
    with closing(sqlite3.connect(books)) as link:
        query = "SELECT address, cost_wei FROM chain_spending ORDER BY address"
        (account, signed_for), *_ = link.execute(query).fetchall()

    def check(wei: int) -> dict[str, str]:
        chain.client.request("anvil_setBalance", [account, hex(wei)])
        checks = issued("doctor", "--json").json()["checks"]
        (found,) = (item for item in checks if item["name"] == "gas")
        return {name: found[name] for name in ("verdict", "found", "mend")}

    had = chain.client.balance(account)
    try:
        assert check(int(signed_for))["verdict"] == "ok"
        found = check(12_000_000_000)
    finally:
        chain.client.request("anvil_setBalance", [account, hex(had)])
    assert int(signed_for) > 12_000_000_000
    whole, gwei = divmod(-(-int(signed_for) // 10**9), 10**9)
    assert found == {
        "verdict": "failed",
        "found": f"{account} has 0.000000012 ether, and signed for up to {whole}.{gwei:09d} on the last 3 days on "
        "which each signed",
        "mend": "send these accounts ether: what they sign waits without it; of one that is to sign no more, take the "
        "key away from here",
    }


@long
def test_the_doctor_asks_for_no_money_for_an_account_whose_key_was_taken_away(
    issued: Program, chain: TestChain, tmp_path: Path
) -> None:
    """One that was retired and emptied on purpose was an alarm for a month."""
    books = issued.folder / ".truetonne" / "truetonne.db"
    with closing(sqlite3.connect(books)) as link:
        query = "SELECT DISTINCT address FROM chain_spending ORDER BY address"
        retired, *others = (address for (address,) in link.execute(query))
    keys = tmp_path / "keys"
    keys.mkdir()

    def check() -> dict[str, str]:
        checks = issued("doctor", "--json", keystore=str(keys)).json()["checks"]
        (found,) = (item for item in checks if item["name"] == "gas")
        return {name: found[name] for name in ("verdict", "found")}

    def put(address: str) -> None:
        (keys / address).write_text(json.dumps({"address": address[2:], "version": 3}))

    for address in others:
        put(address)
    had = chain.client.balance(retired)
    chain.client.request("anvil_setBalance", [retired, "0x0"])
    try:
        without = check()
        (keys / "of whom").write_text("{}")
        unknown = check()
        (keys / "of whom").unlink()
        put(retired)
        again = check()
        for file in keys.iterdir():
            file.unlink()
        none = check()
    finally:
        chain.client.request("anvil_setBalance", [retired, hex(had)])
    assert without["verdict"] == "ok"
    assert without["found"].endswith(
        f", or more; not asked about, as their keys are not here: {retired}"
    )
    # Nor is one taken for retired where nobody knows whose a file is, or where no key is at all.
    for asked in (unknown, again, none):
        assert (asked["verdict"], retired in asked["found"]) == ("failed", True)
        assert "not asked about" not in asked["found"]


@long
def test_the_doctor_says_of_a_node_that_it_has_not_come_to_what_was_final(issued: Program) -> None:
    """One that syncs anew, or another provider's that is behind: all commands were refused, and nothing was wrong."""
    books = issued.folder / ".truetonne" / "truetonne.db"

    def final(blocks: int) -> None:
        with closing(sqlite3.connect(books)) as link, link:
            link.execute("UPDATE chain_cursor SET final_number = final_number + ?", (blocks,))

    def check() -> dict[str, str]:
        checks = issued("doctor", "--json").json()["checks"]
        (found,) = (item for item in checks if item["name"] == "chain head")
        return {name: found[name] for name in ("verdict", "found", "mend")}

    head = good(issued("index", "status", "--json")).json()["head"]
    assert check() == {"verdict": "ok", "found": f"block {head}", "mend": ""}
    with closing(sqlite3.connect(books)) as link:
        (was,) = link.execute("SELECT final_number FROM chain_cursor").fetchone()
    final(1_000)
    try:
        found = check()
    finally:
        final(-1_000)
    assert found["verdict"] == "down"
    assert found["found"].startswith(
        f"the node's head is block {head}, and block {was + 1_000} was final already"
    )
    assert found["mend"] == "wait until it has, or set rpc_url to another"


@long
@pytest.mark.parametrize("says", ["nothing", "the first block"])
def test_the_doctor_says_of_a_node_that_nothing_becomes_final_by_it(
    issued: Program, chain: TestChain, says: str
) -> None:
    """All else was well, and nothing that was sent was ever confirmed."""
    books = issued.folder / ".truetonne" / "truetonne.db"

    def tamper(method: str, parameters: list[Any], result: Any) -> Any:
        if method != "eth_getBlockByNumber" or parameters[0] != "finalized":
            return result
        return None if says == "nothing" else chain.client.request(method, ["0x0", False])

    def check(rpc_url: str, finality: str) -> dict[str, str]:
        checks = issued("doctor", "--json", rpc_url=rpc_url, finality=finality).json()["checks"]
        (found,) = (item for item in checks if item["name"] == "chain final")
        return {name: found[name] for name in ("verdict", "found", "mend")}

    with closing(sqlite3.connect(books)) as link, link:
        (was,) = link.execute("SELECT final_number FROM chain_cursor").fetchone()
        link.execute("UPDATE chain_cursor SET final_number = final_number + 129")
    try:
        with LyingNode(chain.rpc_url) as liar:
            liar.tamper = tamper
            found = check(liar.rpc_url, "finalized")
            deep = check(liar.rpc_url, "5")
    finally:
        with closing(sqlite3.connect(books)) as link, link:
            link.execute("UPDATE chain_cursor SET final_number = final_number - 129")
    node = "none (no block is finalized, by its answer)" if says == "nothing" else "block 0"
    assert found == {
        "verdict": "down",
        "found": f"by the node the final block is {node}, and block {was + 129} was final already in these books: "
        "nothing that is sent is confirmed",
        "mend": "wait until it says one, or set rpc_url to another; where the chain never does, set finality to a "
        "number of blocks",
    }
    assert deep["verdict"] == "ok"
    assert deep["found"] == "the setting finality: 5 blocks below the head"


def test_a_chain_whose_finality_stands_still_is_told(issued: Program, chain: TestChain) -> None:
    """Some nodes name the first block for ever: all was well, and nothing that was sent was ever confirmed."""

    def tamper(method: str, parameters: list[Any], result: Any) -> Any:
        if method == "eth_getBlockByNumber" and parameters[0] == "finalized":
            return final
        if method == "eth_getBlockByNumber" and parameters[0] == "latest":
            later = {"number": 1000, "timestamp": 90_000}
            return {**result, **{key: hex(int(final[key], 16) + by) for key, by in later.items()}}
        return result

    mirrored = good(issued("index", "status", "--json")).json()["final_block"]
    final = chain.client.request("eth_getBlockByNumber", [hex(mirrored), False])
    with LyingNode(chain.rpc_url) as liar:
        liar.tamper = tamper
        at: dict[str, Any] = {"rpc_url": liar.rpc_url, "finality": "finalized"}
        shown = good(issued("index", "status", **at)).out
        checks = issued("doctor", "--json", **at).json()["checks"]
    stands = f"by the node the final block is {mirrored}, which is 1000 blocks and 25 hours below its head"
    assert f"{stands}: nothing above it is confirmed until it goes on" in " ".join(shown.split())
    (found,) = (item for item in checks if item["name"] == "chain final")
    assert (found["verdict"], found["found"]) == (
        "down",
        f"{stands}: nothing that is sent is confirmed",
    )


@few(1)
@pytest.mark.parametrize(("below", "said"), [(128, False), (129, True)])
def test_the_mirror_says_that_the_final_block_of_the_node_is_far_below(
    issued: Program, chain: TestChain, below: int, said: bool
) -> None:
    """A node that lost its finality: the mirror went on, nothing was confirmed, and its state said nothing of that."""
    chain.mine(below)  # Anvil calls final what is 64 blocks below its head
    good(issued("index", "run", "--until", "head"))
    final = good(issued("index", "status", "--json")).json()["final_block"]
    claims = final - below
    assert claims > 0

    def tamper(method: str, parameters: list[Any], result: Any) -> Any:
        if method == "eth_getBlockByNumber" and parameters[0] == "finalized":
            return chain.client.request(method, [hex(claims), False])
        return result

    with LyingNode(chain.rpc_url) as liar:
        liar.tamper = tamper
        at: dict[str, Any] = {"rpc_url": liar.rpc_url, "finality": "finalized"}
        shown = good(issued("index", "status", **at)).out
        found = good(issued("index", "status", "--json", **at)).json()
    assert (found["node_final_block"], found["final_block"]) == (claims, final)
    sentence = f"by the node the final block is {claims}, and block {final} was final already in these books"
    assert (sentence in " ".join(shown.split())) == said


def test_the_doctor_names_a_recipient_of_no_project(issued: Program, chain: TestChain) -> None:
    deployment = json.loads(chain.deployment_text())
    deployment["recipients"] = {"lab-wnd": "0x" + "1" * 40}
    issued.write("misspelt.json", json.dumps(deployment))
    checks = issued("doctor", "--json", deployment="misspelt.json").json()["checks"]
    (check,) = (item for item in checks if not item["ok"])
    said = "`recipients` of the deployment file names 'lab-wnd', which is no project"
    assert (check["name"], check["found"]) == ("recipients", said)


def test_books_and_chain_agree(issued: Program) -> None:
    report = good(issued("reconcile", "--json")).json()
    assert set(report) == {"block", "rules"}
    assert all(rule["ok"] and rule["differences"] == [] for rule in report["rules"])
    assert "NO" not in good(issued("reconcile")).out


@long
def test_what_is_compared_by_hand_is_kept_for_the_pages(issued: Program) -> None:
    """As the job keeps it; ``--dry-run`` keeps nothing, and books that cannot be written to are no error."""

    def kept() -> list[Any]:
        with closing(sqlite3.connect(issued.folder / ".truetonne" / "truetonne.db")) as link:
            return link.execute("SELECT block_number, compared_at FROM reconciliations").fetchall()

    with closing(sqlite3.connect(issued.folder / ".truetonne" / "truetonne.db")) as link, link:
        link.execute("DELETE FROM reconciliations")
    report = good(issued("reconcile", "--dry-run", "--json")).json()
    assert report.pop("dry_run") is True  # as of every command that takes the option
    assert kept() == []
    assert good(issued("reconcile", "--json")).json() == report
    ((block, at),) = kept()
    assert block == report["block"]
    with closing(sqlite3.connect(issued.folder / ".truetonne" / "truetonne.db")) as link:
        link.execute("ALTER TABLE reconciliations RENAME TO kept_away")
    try:
        ended = issued("reconcile", "--json")
        assert ended.code == 0 and ended.json() == report
        assert "not kept for the pages" in ended.err
    finally:
        with closing(sqlite3.connect(issued.folder / ".truetonne" / "truetonne.db")) as link:
            link.execute("ALTER TABLE kept_away RENAME TO reconciliations")
    assert kept() == [(block, at)]


@long
def test_credits_go_into_the_escrow_and_out_again(issued: Program) -> None:
    credits = ("--credits", "lab-wind-2014-1")
    wrong = issued("settle", "deposit", "anvil:4", "0.0005", *credits)
    assert (wrong.code, "write tonnes" in wrong.one_line()) == (2, True)
    assert issued("settle", "deposit", "anvil:4", "1", "--mint", *credits).code == 2
    there = good(issued("settle", "deposit", "anvil:4", "0.005", *credits, "--json")).json()
    assert (there["amount"], there["balance"]) == ("0.005", "0.005")
    assert (there["batch"], there["vintage"]) == ("lab-wind-2014-1", 2014)
    back = good(issued("settle", "withdraw", "anvil:4", "0.003", *credits)).out
    what = f"lab-wind-2014-1 (vintage 2014, credit batch {there['credits']})"
    assert back == f"withdraw 0.003 t of {what}, anvil:4: balance 0.002 t\n"
    short = issued("settle", "withdraw", "anvil:4", "0.003", *credits)
    assert (short.code, "name 0.002 at most (VppSettlement refuses" in short.one_line()) == (
        1,
        True,
    )
    short = issued("settle", "deposit", "anvil:4", "9000", *credits)
    assert short.code == 1
    assert "and needs 9000.000 t of credit batch" in short.one_line()
    assert "hint" not in there
    again = good(issued("settle", "deposit", "anvil:4", "0.005", *credits, "--json")).json()
    assert again["balance"] == "0.007" and "this one comes on top of it" in again["hint"]
    # Of who has a name it says which, and what that is.
    market, owner = anvil_address(6), anvil_address(4)
    good(issued("credits", "transfer", credits[1], "--amount", "2", "--to", market))
    paid = good(issued("settle", "deposit", "spot", "0.002", *credits)).out
    assert paid == f"deposit 0.002 t of {what}, market spot: balance 0.002 t\n"
    dry = good(issued("settle", "withdraw", "anvil:6", "0.001", *credits, "--dry-run")).out
    assert dry == f"would withdraw 0.001 t of {what}, market spot (anvil:6): balance 0.002 t\n"
    good(issued("settle", "withdraw", "spot", "0.002", *credits))
    back = ("--amount", "2", "--holder", market, "--to", owner)
    good(issued("credits", "transfer", credits[1], *back))
    report = good(issued("reconcile", "--json")).json()
    assert all(rule["ok"] for rule in report["rules"])


ODD = """
// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
contract Odd is ERC20("Odd", "ODD") {
    function mint(address to, uint256 amount) external { _mint(to, amount); }
    function decimals() public pure override returns (uint8) { return 2; }
    BODY
}
"""
OF_WHO_IS_PAID = """function _update(address from, address to, uint256 amount) internal override {
    super._update(from, to, amount);
    if (from != address(0) && to != address(0)) super._update(to, address(0xfee), 3);
}"""
OF_WHO_PAYS = OF_WHO_IS_PAID.replace("_update(to, ", "_update(from, ")
FALSE = """function transfer(address, uint256) public pure override returns (bool) { return false; }
function transferFrom(address, address, uint256) public pure override returns (bool) { return false; }"""


@long
def test_what_an_odd_currency_does_with_a_payment_is_told(
    issued: Program, chain: TestChain
) -> None:
    """Of 9.97 that arrived it said "deposit 10.00", and a dry run promised to pay in a token that moves nothing."""
    party = "anvil:8"
    client, currency = chain.client, chain.deployment.contracts["TestCurrency"].address
    kept = client.request("eth_getCode", [currency, "latest"])
    good(issued("settle", "deposit", party, "50", "--mint"))
    chain.act("spare", "TestCurrency", "mint", [anvil_address(8), 100_00])

    def becomes(body: str) -> None:
        client.request("anvil_setCode", [currency, compiled(ODD.replace("BODY", body), "Odd")])

    try:
        becomes(OF_WHO_IS_PAID)
        paid = good(issued("settle", "deposit", party, "10", "--json")).json()
        assert (paid["amount"], paid["balance"]) == ("10.00", "59.97")
        assert "9.97 of it arrived" in paid["hint"]
        assert "hint" not in good(issued("settle", "withdraw", party, "5", "--json")).json()
        gone = issued("settle", "deposit", party, "0.03")
        assert gone.code == 1
        assert gone.one_line().startswith("error: nothing of it would arrive in the escrow: ")
        becomes(OF_WHO_PAYS)
        taken = good(issued("settle", "withdraw", party, "4", "--json")).json()
        assert taken["balance"] == "50.94"
        assert "4.03 left the balance" in taken["hint"]
        becomes(FALSE)
        for tried in (("--dry-run",), ()):
            refused = issued("settle", "deposit", party, "1", *tried)
            assert refused.code == 1
            assert f"The currency {currency} refused the transfer." in refused.one_line()
    finally:
        client.request("anvil_setCode", [currency, kept])
    client.request("anvil_mine", ["0x4"])  # the code of a final block is compared
    good(issued("index", "run", "--until", "head"))
    rules = issued("reconcile", "--json").json()["rules"]
    assert [rule for rule in rules if not rule["ok"]] == []


def test_a_batch_goes_to_its_parties_and_comes_back(settled: tuple[Program, str]) -> None:
    issued, _ = settled
    line = "lab-vpp,sell,sell,10.000,1.0000,10.00,spot,2014-01-01T03:00:00+01:00"
    issued.write("signed.csv", TRADES.splitlines()[0] + "\n" + line + "\n")
    good(issued("trades", "import", "signed.csv"))
    dry = good(
        issued("settle", "cosign", "write", "-o", "our orders", "--dry-run", "--json")
    ).json()
    assert dry == {"dry_run": True, "batches": 1}
    (row,) = good(issued("settle", "cosign", "write", "-o", "our orders", "--json")).json()[
        "batches"
    ]
    assert [item["participant"] for item in row["missing"]] == ["lab-vpp"]
    again = good(issued("settle", "cosign", "write", "-o", "our orders", "--json")).json()
    assert again["batches"] == [row]  # it waits, and its file is written again
    file = row["file"]
    # Nobody means every key by the word of a variable that is not set.
    unset = issued("settle", "cosign", "sign", file, "--account", "")
    assert unset.code == 2 and "'' is no party of " in unset.one_line()
    stranger = issued("settle", "cosign", "sign", file, "--account", anvil_address(5))
    assert (stranger.code, "is no party" in stranger.one_line()) == (2, True)
    absent = issued("settle", "cosign", "sign", file, "--account", "0x" + "1" * 40)
    assert (absent.code, "no key for" in absent.one_line()) == (2, True)
    shown = good(issued("settle", "cosign", "sign", file, "--dry-run")).out
    assert f"digest {row['digest']}" in shown and "would sign for" in shown
    nobody = issued("settle", "cosign", "read", file)
    assert nobody.code == 1  # and what it says to run is a command, with the blank of the folder
    to_do = f"nobody has signed it; sign it with: truetonne settle cosign sign '{file}'"
    assert to_do in nobody.one_line()
    absent = issued("settle", "cosign", "read", "absent.json", "--json")
    assert (absent.code, absent.json()["error"]["code"]) == (2, "bad-input")
    link = issued.folder / "link.json"
    link.symlink_to(file)
    done = good(issued("settle", "cosign", "sign", "link.json", "--json")).json()
    assert link.is_symlink()  # what it names is signed
    assert (done["signed"], done["missing"]) == ([anvil_address(6)], ["0x" + "1" * 40])
    assert done["asset"] == "energy"
    assert {net["account"]: (net["pays"], net["receives"]) for net in done["nets"]} == {
        anvil_address(6): ("10.00", "0.00"),
        "0x" + "1" * 40: ("0.00", "10.00"),
    }
    content = (issued.folder / file).read_text()
    good(issued("settle", "cosign", "write", "-o", "our orders"))
    assert (issued.folder / file).read_text() == content  # with the signature
    issued.write("altered.json", content.replace('"pays": "10.00"', '"pays": "1.00"'))
    tried = issued("settle", "cosign", "read", "altered.json", file, "--dry-run", "--json").json()
    assert tried["dry_run"] and tried["read"][0]["missing"] == ["0x" + "1" * 40]
    read = issued("settle", "cosign", "read", "altered.json", file, "--json")
    assert read.code == 2
    assert [item["code"] for item in read.json()["refused"]] == ["altered"]
    assert read.json()["read"][0]["missing"] == ["0x" + "1" * 40]
    told = good(issued("settle", "status", row["batch_key"])).out
    assert "1 of 2 parties have signed" in told and "settle cosign write" in told
    assert good(issued("settle", "run", "--json")).json()["planned"] == []


@long
def test_contracts_that_stand_are_not_deployed_for_others(
    program: Program, chain: TestChain
) -> None:
    """What a second run was told in vain was said nowhere; the first file's accounts hold on."""
    ended = good(program("chain", "deploy"))
    assert ended.out.startswith("nothing was deployed: the contracts stand already\n")
    issuer = chain.deployment.account("issuer")
    same = {"deploy_issuer": issuer.upper().replace("0X", "0x"), "deploy_operator": ""}
    assert good(program("chain", "deploy", "--json", **same)).json()["deployed"] is False
    other = "0x" + "11" * 20
    ended = program("chain", "deploy", deploy_issuer=other)
    assert ended.code == 2
    for part in ("TRUETONNE_DEPLOY_ISSUER", other, issuer, "local.json", "grant_roles"):
        assert part in ended.one_line()


@long
def test_contracts_that_stand_are_not_deployed_with_other_terms(
    issued: Program, chain: TestChain
) -> None:
    """Those of the file, and of its class what the mirror has: methodology, cap and buffer."""
    same = {
        "deploy_window": f"0{WINDOW_S}",
        "deploy_currency": chain.deployment.settlement.constructor["currency"]
        .upper()
        .replace("X", "x"),
        "deploy_class": CLASS_CODE,
        "deploy_methodology": METHODOLOGY,
        "deploy_class_cap_kg": str(CAP_KG),
    }
    assert good(issued("chain", "deploy", "--json", **same)).json()["deployed"] is False
    (file,) = issued.folder.rglob("truetonne.db")
    with closing(sqlite3.connect(file)) as link, link:
        link.execute(
            "INSERT INTO settlement_terms (block_number, log_index, notional_cap_cents, credit_cap_kg, tx_hash, "
            "changed_at) VALUES (9, 9, '777', '888', '0x11', '2026-01-01 00:00:00.000000')"
        )
    try:  # as an admin has changed it since
        good(issued("chain", "deploy", deploy_notional_cap="777"))
    finally:  # it is on no chain, and others compare these books
        with closing(sqlite3.connect(file)) as link, link:
            link.execute("DELETE FROM settlement_terms WHERE tx_hash = '0x11'")
    for name, value in (
        ("window", "60"),
        ("currency", "0x" + "11" * 20),
        ("class", "other"),
        ("methodology", "CCER-01-001/V01"),
        ("class_cap_kg", "5"),
        ("buffer_bps", "100"),
    ):
        dry = ("--dry-run",) if name == "class" else ()
        ended = issued("chain", "deploy", *dry, "--json", **{f"deploy_{name}": value})
        error = ended.json()["error"]
        assert (ended.code, error["code"], error["term"]) == (2, "deployed-otherwise", name)
        assert f"TRUETONNE_DEPLOY_{name.upper()} is {value!r}" in error["message"]


def test_a_file_of_another_chain_is_not_verified(program: Program, chain: TestChain) -> None:
    """The contracts stand at the same addresses on every chain, so that they alone say nothing."""
    book = json.loads(chain.deployment_text())
    for changes in ({"chain_id": 1}, {"genesis_hash": "0x" + "11" * 32}):
        program.write("other.json", json.dumps({**book, **changes}))
        ended = program("chain", "verify", "--json", deployment="other.json")
        assert (ended.code, ended.json()["error"]["code"]) == (2, "wrong-chain")


def test_books_of_another_chain_are_refused_before_anything_is_sent(issued: Program) -> None:
    """The job ``send`` took what was not found for taken back, and sent it again on a chain of the same number."""
    (file,) = issued.folder.rglob("truetonne.db")
    act = ("transfer", "lab-wind-2014-1", "--amount", "1", "--to", anvil_address(6))
    with closing(sqlite3.connect(file, isolation_level=None)) as link:

        def sent() -> list[Any]:
            return link.execute("SELECT * FROM chain_intents ORDER BY key").fetchall()

        held = link.execute("SELECT network, genesis_hash FROM chain_cursor").fetchone()
        network = held[0]
        before = sent()
        assert {row for (row,) in link.execute("SELECT state FROM chain_intents")} >= {"confirmed"}
        blocks = link.execute("SELECT hash, number FROM chain_blocks").fetchall()
        try:
            link.execute("UPDATE chain_cursor SET genesis_hash = ?", ("0x" + "11" * 32,))
            # Of the blocks of this chain it is an altered row, which is for the comparison to find.
            compared = issued("reconcile")
            assert (compared.code, "chain_cursor" in compared.out) == (1, True), compared.out
            link.execute(
                "UPDATE chain_blocks SET hash = '0x' || substr(hash, 4) || substr(hash, 3, 1)"
            )
            for words in (("jobs", "run", "send"), ("reconcile",), ("credits", *act)):
                ended = issued(*words, "--json")
                assert (ended.code, ended.json()["error"]["code"]) == (2, "wrong-chain"), words
                assert "the books mirror chain 31337 with the first block 0x11111111" in ended.out
            # Under another name, too: what was sent is known by the chain's number alone.
            link.execute("UPDATE chain_cursor SET network = 'elsewhere'")
            renamed = issued("jobs", "run", "send", "--json")
            link.execute("UPDATE chain_cursor SET network = ?", (network,))
            assert (renamed.code, renamed.json()["error"]["code"]) == (2, "wrong-chain")
            assert sent() == before
            checks = {item["name"]: item for item in issued("doctor", "--json").json()["checks"]}
            assert checks["deployment"]["verdict"] == "failed"
            assert "the books mirror chain 31337" in checks["deployment"]["found"]
        finally:
            link.execute("UPDATE chain_cursor SET network = ?, genesis_hash = ?", held)
            link.executemany("UPDATE chain_blocks SET hash = ? WHERE number = ?", blocks)


@long
def test_a_trade_that_cannot_be_settled_keeps_no_batch_from_its_end(
    settled: tuple[Program, str], chain: TestChain
) -> None:
    """Another program has changed its figures; what a run before it began is finalised, and then it is said."""
    issued, _ = settled
    for hour, run in ((5, True), (6, False)):
        line = f"lab-vpp,sell,sell,1.000,1.0000,1.00,spot,2014-01-01T{hour:02}:00:00+01:00"
        issued.write("more.csv", TRADES.splitlines()[0] + "\n" + line + "\n")
        good(issued("trades", "import", "more.csv"))
        if run:
            (key,) = good(issued("settle", "run", "--no-wait", "--json")).json()["planned"]
    with closing(sqlite3.connect(issued.folder / ".truetonne" / "truetonne.db")) as link, link:
        (number,) = link.execute("SELECT max(id) FROM vpp_trading_records").fetchone()
        link.execute("UPDATE vpp_trading_records SET total_value = 500 WHERE id = ?", [number])
    good(issued("index", "run", "--until", "head"))
    chain.client.request("anvil_mine", ["0x2", hex(3600)])
    ended = issued("settle", "run", "--json")
    (waiting,) = ended.json()["waiting"]
    assert (ended.code, waiting["trades"]) == (1, [number])
    assert waiting["said"].startswith("its total_value 5.00 is not quantity x price")
    assert good(issued("settle", "status", key, "--json")).json()["state"] == "finalized"
    good(issued("trades", "cancel", str(number), "--reason", "changed by another program"))


@long
def test_the_name_of_a_market_is_no_path(settled: tuple[Program, str], chain: TestChain) -> None:
    """A slash in it asked for a folder that is not there, and with ``../`` the file lay beside the folder."""
    issued, _ = settled
    site = (issued.folder / "site.toml").read_text()
    names = ("EPEX/SPOT", "../out")
    tables = [f'[[market]]\nname = "{name}"\naccount = "anvil:7"\n' for name in names]
    issued.write("markets.toml", "\n".join((site, *tables)))
    good(issued("site", "apply", "markets.toml"))
    lines = [
        f"lab-vpp,sell,sell,1.000,1.0000,1.00,{name},2014-01-02T03:00:00+01:00" for name in names
    ]
    issued.write("paths.csv", "\n".join((TRADES.splitlines()[0], *lines)) + "\n")
    good(issued("trades", "import", "paths.csv"))
    good(issued("settle", "deposit", "anvil:7", "2", "--mint"))
    rows = good(issued("settle", "cosign", "write", "-o", "paths", "--json")).json()["batches"]
    files = {row["file"] for row in rows if row["file"].startswith("paths/")}
    assert {file.rsplit("-", 1)[0] for file in files} >= {"paths/EPEX_SPOT", "paths/.._out"}
    assert {f"paths/{file.name}" for file in (issued.folder / "paths").iterdir()} == files
    assert not list(issued.folder.glob("out-*"))


def _signed_files_are_kept(issued: Program, write: tuple[str, ...], files: list[str]) -> None:
    """What would cost a verifier's work: to write over it. And of two files of one period one is issued."""
    kept = [Path(file).read_bytes() for file in files]
    over = issued(*write)
    assert over.code == 1 and "has signed it, and it was not taken in yet" in over.one_line()
    assert [Path(file).read_bytes() for file in files] == kept
    good(issued(*write[:-1], "once more"))
    twin = "once more/2014/verification.json"
    good(issued("credits", "verification", "sign", twin))
    on_trial = issued("credits", "verification", "read", files[0], twin, files[0], "--dry-run")
    assert "would issue 1 batch\n" in on_trial.out
    assert on_trial.out.count("which would be issued first") == 1
    lost = issued("credits", "verification", "sign", twin, "--readings", "lost.csv.gz")
    assert lost.code == 2 and "lost.csv.gz: not there" in lost.one_line()
    assert "--readings" in lost.one_line()


def test_a_period_goes_to_its_verifier_and_comes_back(issued: Program, chain: TestChain) -> None:
    """Over New Year two claims, in two folders; each comes back alone, in whatever order it is named."""
    rows = [
        f"{day}T{hour:02}:00:00+01:00,600"
        for day in ("2014-12-31", "2015-01-01")
        for hour in (8, 9)
    ]
    issued.write("winter.csv", "\n".join(("time,power", *rows, "")))
    good(issued("import", "--site", "lab", "--source", "scada", "winter.csv"))
    period = ("--project", "lab-wind", "--from", "2014-12-31", "--to", "2015-01-02")
    write = ("credits", "verification", "write", *period, "-o", "to verify")
    dry = good(issued(*write, "--dry-run", "--json")).json()
    assert dry["dry_run"] and not (issued.folder / "to verify").exists()
    requests = good(issued(*write, "--days", "9", "--json")).json()["requests"]
    folders = [issued.folder / "to verify" / year for year in ("2014", "2015")]
    assert [issued.folder / row["folder"] for row in requests] == folders
    names = {"manifest.json", "readings.csv.gz", "verification.json"}
    assert [{file.name for file in folder.iterdir()} for folder in folders] == [names] * 2
    # 2 x 600 kW for ten minutes: 200 kWh at 0.4329 t/MWh.
    assert [row["issued_kg"] for row in requests] == ["86", "86"]
    files = [str(folder / "verification.json") for folder in folders]
    shown = good(issued("credits", "verification", "sign", files[0], "--dry-run"))
    assert "issued_kg" not in shown.out and "86 kg" in shown.out and "would sign by" in shown.out
    assert "--ask-node asks the node" in shown.out
    nobody = issued("credits", "verification", "read", *files)
    assert (nobody.code, nobody.out.count("nobody has signed it")) == (1, 2)
    alone = issued("credits", "verification", "read", files[0])
    assert alone.code == 1 and "nobody has signed it" in alone.one_line()
    absent = issued("credits", "verification", "read", "absent.json", "--json")
    assert (absent.code, absent.json()["error"]["code"]) == (2, "bad-input")
    readings = folders[0] / "readings.csv.gz"
    swapped = issued("credits", "verification", "sign", files[1], "--readings", str(readings))
    assert swapped.code == 1 and "NOT OK" in swapped.out and "not signed" in swapped.out
    unset = issued("credits", "verification", "sign", files[1], "--account", "")
    assert unset.code == 2  # not for the deployment's verifier
    for account, code, said in (
        (anvil_address(5), 1, "may not sign a Claim"),
        ("anvil:5", 1, f"{anvil_address(5)} may not sign a Claim"),
        ("verifier", 2, "'verifier' is not an account"),
    ):
        other = issued("credits", "verification", "sign", files[1], "--account", account)
        assert (other.code, said in other.one_line()) == (code, True)
    for file, more in zip(files, ((), ("--ask-node",)), strict=True):
        done = good(issued("credits", "verification", "sign", file, *more, "--json")).json()
        assert done["signed"] == chain.deployment.account("verifier")
        assert done["verification"]["valid"] and done["project"] == "lab-wind"
    _signed_files_are_kept(issued, write, files)
    named = (files[1], "absent.json", files[0])
    tried = issued("credits", "verification", "read", *named, "--dry-run", "--json")
    assert (tried.code, len(tried.json()["read"]), len(tried.json()["refused"])) == (2, 2, 1)
    read = issued("credits", "verification", "read", *named, "--json")
    assert (read.code, [row["vintage"] for row in read.json()["read"]]) == (2, [2014, 2015])
    assert [row["state"] for row in read.json()["read"]] == ["confirmed"] * 2
    keys = [row["key"] for row in requests]
    assert [row["key"] for row in read.json()["read"]] == keys
    listed = good(issued("credits", "list", "--vintage", "2015", "--json")).json()["credits"]
    assert [row["amount"] for row in listed] == ["0.086"]
    again = good(issued("credits", "verification", "read", *files)).out
    assert again.count("confirmed") == 2
    rules = {rule["name"]: rule["ok"] for rule in issued("reconcile", "--json").json()["rules"]}
    assert rules["issuances"] and rules["evidence"] and rules["batches-on-chain"]
