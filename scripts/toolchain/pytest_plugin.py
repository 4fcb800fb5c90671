"""Keeps Brownie's pytest plugin out of ordinary sessions.

Brownie registers a pytest plugin that compiles the project at the start of *every* session, starts
a node on port 8545, and takes over and resets a chain that already listens there. Only ``brownie
test`` wants that; there the node gets a free port instead. The plain sessions load Brownie in
``tests/contracts/conftest.py``, when its tests are collected.

Loaded by ``addopts = "-p scripts.toolchain.pytest_plugin"``, before the installed plugins are.
"""

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from scripts.toolchain.brownie_home import free_port

BROWNIE_PLUGIN = "pytest-brownie"
_BROWNIE_TEST = "TRUETONNE_BROWNIE_TEST"  # inherited by the workers of pytest-xdist


def is_brownie_test() -> bool:
    """Whether this session, or the one that started this worker, is ``brownie test``."""
    if Path(sys.argv[0]).stem == "brownie" and "test" in sys.argv[1:2]:
        os.environ[_BROWNIE_TEST] = "1"
    return _BROWNIE_TEST in os.environ


def pytest_plugin_registered(manager: pytest.PytestPluginManager) -> None:
    """Block the plugin; called for our own registration first, so before installed plugins load."""
    if not is_brownie_test() and not manager.is_blocked(BROWNIE_PLUGIN):
        manager.set_blocked(BROWNIE_PLUGIN)


@pytest.hookimpl(trylast=True)
def pytest_configure() -> None:
    """Let a terminated session stop its nodes; give ``brownie test`` a node of its own.

    It would reset whatever listens on 8545. A shell lets what it starts in the background ignore Ctrl-C, and
    the programs that tests start and interrupt would ignore it as well.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if is_brownie_test():
        import hypothesis.extra.pytestplugin  # Brownie's plugin expects it to be imported  # noqa: F401
        from brownie._config import CONFIG

        CONFIG.networks["development"]["cmd_settings"]["port"] = free_port()
