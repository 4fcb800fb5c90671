"""``truetonne chain register`` twice at once: it is harmless, whoever is the first."""

import sqlite3
from contextlib import closing

import pytest

from tests.cli.conftest import READINGS, Program, good
from tests.support.chain import PARTIES, TestChain
from tests.support.forms import rest
from tests.support.mirror import running_chain
from tests.support.waiting import until


@pytest.mark.parametrize("one_after_the_other", rest([False, True]))
def test_two_at_once_register_once(park: Program, one_after_the_other: bool) -> None:
    """Before a block is mined: the second goes on with the first's, or the contract refuses its own."""
    with running_chain() as chain:
        _on(chain, park)
        # A dry run is refused as the run: it said of any name that it would be registered.
        dry = ("chain", "register", "--dry-run", "--project")
        assert park(*dry, "lab-wnd").one_line() == park(*dry[:2], *dry[3:], "lab-wnd").one_line()
        assert park(*dry, "lab-wind").out == "lab-wind would be registered\n"

        chain.client.request("evm_setAutomine", [False])
        words = ("chain", "register", "--project", "lab-wind", "--json")
        running = [park.begin("first.log", *words)]
        if one_after_the_other:
            until(lambda: _tried(park) == 1)
        running.append(park.begin("second.log", *words))
        until(lambda: _tried(park) >= 1)
        chain.client.request("evm_setAutomine", [True])
        chain.mine(1)
        assert [child.wait(120) for child in running] == [0, 0], [each.said() for each in running]
        assert park(*dry, "lab-wind").out == "lab-wind is registered\n"
        intents = park("chain", "intents", "--all", "--json").json()["intents"]
        kinds = sorted(row["kind"] for row in intents if row["state"] == "confirmed")
        assert kinds == ["register_project", "register_site"]
        # Both find the site missing, perhaps; the second one's call is refused then.
        tried = [row["kind"] for row in intents].count("register_project")
        assert tried == 1 or not one_after_the_other
        again = park(*words)
        # The first project and site of the test's chain are its own.
        numbers = {"class_id": 1, "project_id": 2, "site_id": 2, "owner": PARTIES["owner"]}
        assert again.json() == {"project": "lab-wind", **numbers}


def test_a_dry_run_says_what_is_on_its_way(park: Program) -> None:
    """It offered to send what is sent: no block has that, and the node tries a call on the last one."""
    register = ("chain", "register", "--project", "lab-wind")
    day = ("--from", "2014-01-01", "--to", "2014-01-02")
    good(park("import", "--site", "lab", "--source", "scada", park.write("a.csv", READINGS)))
    with running_chain() as chain:
        _on(chain, park)
        chain.client.request("evm_setAutomine", [False])
        running = park.begin("first.log", *register)
        until(lambda: _tried(park) == 1)
        (first,) = park("chain", "intents", "--json").json()["intents"]
        sent = first["transaction"]
        dry = park(*register, "--dry-run", "--json")
        assert dry.json() == {"registered": False, "transaction": sent, "dry_run": True}
        assert park(*register, "--dry-run").out == (
            f"lab-wind is on its way, by transaction {sent}: the command would go on with it\n"
        )
        other = park(*register, "--owner", PARTIES["buyer"], "--dry-run", "--json")
        assert other.json()["error"]["code"] == "other-owner"
        would = park("credits", "issue", "--project", "lab-wind", *day, "--dry-run").out
        assert would.startswith(
            f"would go on with transaction {sent} to register lab-wind on chain\nwould issue 129 kg"
        )
        chain.client.request("evm_setAutomine", [True])
        chain.mine(1)
        assert running.wait(120) == 0, running.said()


def _on(chain: TestChain, park: Program) -> None:
    """Have the program work on a chain."""
    park.environ |= park.with_settings(
        {"rpc_url": chain.rpc_url, "deployment": "local.json", "finality": "0"}
    )
    park.write("local.json", chain.deployment_text())


def _tried(park: Program) -> int:
    """Return how many transactions were signed, or refused."""
    query = "SELECT count(*) FROM chain_intents WHERE state IN ('submitted', 'failed')"
    with closing(sqlite3.connect(park.folder / ".truetonne" / "truetonne.db")) as link:
        (count,) = link.execute(query).fetchone()
    return int(count)
