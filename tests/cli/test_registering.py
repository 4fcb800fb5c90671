"""``truetonne chain register`` twice at once: it is harmless, whoever is the first."""

import sqlite3
from contextlib import closing

import pytest

from tests.cli.conftest import Program
from tests.support.chain import PARTIES
from tests.support.forms import rest
from tests.support.mirror import running_chain
from tests.support.waiting import until


@pytest.mark.parametrize("one_after_the_other", rest([False, True]))
def test_two_at_once_register_once(park: Program, one_after_the_other: bool) -> None:
    """Before a block is mined: the second goes on with the first's, or the contract refuses its own."""
    with running_chain() as chain:
        park.environ |= park.with_settings(
            {"rpc_url": chain.rpc_url, "deployment": "local.json", "finality": "0"}
        )
        park.write("local.json", chain.deployment_text())
        # A dry run is refused as the run: it said of any name that it would be registered.
        dry = ("chain", "register", "--dry-run", "--project")
        assert park(*dry, "lab-wnd").one_line() == park(*dry[:2], *dry[3:], "lab-wnd").one_line()
        assert park(*dry, "lab-wind").out == "lab-wind would be registered\n"

        def tried() -> int:
            query = "SELECT count(*) FROM chain_intents WHERE state IN ('submitted', 'failed')"
            with closing(sqlite3.connect(park.folder / ".truetonne" / "truetonne.db")) as link:
                (count,) = link.execute(query).fetchone()
            return int(count)

        chain.client.request("evm_setAutomine", [False])
        words = ("chain", "register", "--project", "lab-wind", "--json")
        running = [park.begin("first.log", *words)]
        if one_after_the_other:
            until(lambda: tried() == 1)
        running.append(park.begin("second.log", *words))
        until(lambda: tried() >= 1)
        chain.client.request("evm_setAutomine", [True])
        chain.mine(1)
        assert [child.wait(120) for child in running] == [0, 0], [each.said() for each in running]
        assert park(*dry, "lab-wind").out == "lab-wind is registered\n"
        intents = park("chain", "intents", "--all", "--json").json()["intents"]
        kinds = sorted(row["kind"] for row in intents if row["state"] == "confirmed")
        assert kinds == ["register_project", "register_site"]
        assert len(intents) == 2 or not one_after_the_other
        again = park(*words)
        # The first project and site of the test's chain are its own.
        numbers = {"class_id": 1, "project_id": 2, "site_id": 2, "owner": PARTIES["owner"]}
        assert again.json() == {"project": "lab-wind", **numbers}
