"""Brownie for plain ``pytest`` and for ``./dev brownie test`` alike.

Every test starts from the state its module's fixtures left: a snapshot is taken before it and
reverted after it, and the chain is reset before each module. So deploy in module fixtures, not in
session fixtures.
"""

import gc
import sys
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest

from scripts.deploy import Deployer
from scripts.deploy_plan import make_plan
from scripts.toolchain.brownie_home import (
    ROOT,
    brownie_home,
    node_ends_with_us,
    one_at_a_time,
    take_own_port,
)
from scripts.toolchain.brownie_lightness import lighten, read_trees_once
from scripts.toolchain.brownie_patience import be_patient
from scripts.toolchain.pytest_plugin import is_brownie_test

ATTEMPTS = 5  # to start a node; each on another port


def _import_brownie() -> Any:
    """Import Brownie without its marks: HOME and hypothesis's profile stay as they were."""
    profile = hypothesis.settings.get_current_profile_name()
    with brownie_home():
        import brownie
    if not is_brownie_test():
        hypothesis.settings.load_profile(profile)
        from brownie._config import CONFIG
        from brownie.test.managers.runner import RevertContextManager

        brownie.reverts = RevertContextManager  # what Brownie's own plugin does
        CONFIG.argv["cli"] = "test"
    return brownie


brownie = _import_brownie()


def _load_project() -> Any:
    (ROOT / "build" / "brownie").mkdir(parents=True, exist_ok=True)
    read_trees_once()
    with one_at_a_time():
        project = brownie.project.load(ROOT, "Truetonne")
    profile = hypothesis.settings.get_current_profile_name()
    project.load_config()
    hypothesis.settings.load_profile(profile)
    return project


def _start_node() -> None:
    """Start an Anvil of this session's own; another process may take the port before it does."""
    from brownie._config import CONFIG
    from brownie.exceptions import RPCConnectionError, RPCProcessError

    node_ends_with_us()
    for attempt in range(1, ATTEMPTS + 1):
        take_own_port(CONFIG.networks)
        try:
            with brownie_home():  # below which Anvil leaves states of old blocks
                brownie.network.connect("development")
        except (RPCProcessError, RPCConnectionError):
            if attempt == ATTEMPTS:
                raise
            continue
        if brownie.rpc.is_child():
            return
        brownie.network.disconnect(kill_rpc=False)
    raise RuntimeError(f"no free port for Anvil in {ATTEMPTS} attempts")


@pytest.fixture(scope="session")
def brownie_project() -> Iterator[Any]:
    """The compiled project, with a node connected: ``brownie_project.CarbonCredit`` and so on."""
    if is_brownie_test():  # its plugin has loaded and connected
        project = brownie.project.get_loaded_projects()[0]
        _freeze()
        yield project
        return
    path = list(sys.path)
    project = _load_project()
    _start_node()
    _freeze()
    yield project
    project.close(raises=False)
    brownie.network.disconnect()
    sys.path[:] = path


def _freeze() -> None:
    """Make each test cheaper: what exists now is out of the collector's sight.

    And no transaction is followed by a snapshot for ``chain.undo()``, which nobody calls here: Brownie
    takes it in a thread of its own while the test goes on, reverts, and asks the node as well.
    """
    lighten(brownie)
    be_patient(brownie.web3)
    type(brownie.chain)._add_to_undo_buffer = lambda *_: None
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def chain(brownie_project: Any) -> Any:
    """Brownie's Chain: mine, sleep, snapshot, revert."""
    return brownie.chain


@pytest.fixture(scope="session")
def accounts(brownie_project: Any) -> Any:
    """The ten funded accounts of the local node."""
    return brownie.accounts


@pytest.fixture(scope="module", autouse=True)
def module_isolation(brownie_project: Any) -> None:
    """Start each module on an empty chain."""
    brownie.chain.reset()


@pytest.fixture(scope="module")
def park(module_isolation: None, brownie_project: Any, accounts: Any, chain: Any) -> Any:
    """The parties on an empty chain; the folders below have the contracts deployed."""
    from tests.contracts.park import Park

    return Park(brownie_project, accounts, chain)


@pytest.fixture(autouse=True)
def fn_isolation(module_isolation: None) -> Iterator[None]:
    """Give each test the state its module's fixtures left; ``chain.revert()`` returns there too."""
    brownie.chain.snapshot()
    yield
    brownie.chain.revert()


@pytest.fixture(scope="module")
def keys(accounts: Any) -> list[Any]:
    """Anvil's accounts, as a local deployment has them."""
    return list(accounts)[:10]


@pytest.fixture
def deployer(brownie_project: Any, keys: list[Any]) -> Deployer:
    """A deployer of the default plan on the empty chain."""
    return Deployer(brownie_project, brownie.web3, make_plan("local", {}, 31337, keys), {})
