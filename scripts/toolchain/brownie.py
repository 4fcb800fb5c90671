"""Brownie's command line with less to do, see ``brownie_lightness``; ``./dev brownie`` runs it.

A network that is none, or whose node is not named, ends it here in a line that says what to do, where Brownie would
print its own code. So does a deployment that is told too little: Brownie would compile first.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from scripts.toolchain.brownie_home import node_ends_with_us, one_at_a_time, take_own_port
from scripts.toolchain.brownie_lightness import keep_no_deployments, read_trees_once

_OPTION = "--network"
_OWN = "development"
"""The network whose node Brownie starts."""


def network_trouble(
    words: Sequence[str], networks: Mapping[str, Mapping[str, Any]], environ: Mapping[str, str]
) -> str | None:
    """Return why the network that a command line names cannot be used; None if it can, or none is named.

    Parameters
    ----------
    words
        The command line without the program's name.
    networks
        By name, as Brownie read them from ``networks.yaml``.
    """
    name = _network_of(words)
    if name is None:
        return None
    if name not in networks:
        known = ", ".join(sorted(networks))
        return f"{_OPTION} {name}: no such network; there are {known}"
    host = str(networks[name].get("host", ""))
    unset = [variable for variable in re.findall(r"\$(\w+)", host) if not environ.get(variable)]
    if unset:
        return f"{_OPTION} {name}: set {unset[0]} to the address of its node"
    return None


def _network_of(words: Sequence[str]) -> str | None:
    """Return what stands behind the option, which its parser takes in short, too: ``--net sepolia``."""
    for position, word in enumerate(words):
        option, equals, value = word.partition("=")
        if len(option) > len("--") and _OPTION.startswith(option):
            return value if equals else next(iter(words[position + 1 :]), None)
    return None


def check_deployment(
    words: Sequence[str], networks: Mapping[str, Mapping[str, Any]], environ: Mapping[str, str]
) -> None:
    """End a command line that deploys, if what the deployment is told cannot be; others are let alone.

    Parameters
    ----------
    words, networks
        As of ``network_trouble``, which found none.
    """
    if len(words) < 2 or words[0] != "run" or Path(words[1]).stem != "deploy":
        return
    from ledger.errors import TruetonneError
    from scripts.deploy_told import check_told
    from scripts.ending import end

    active = _network_of(words)
    host = None if active in (None, _OWN) else networks[active]["host"]
    name = environ.get("TRUETONNE_NETWORK") or active or _OWN
    chain_id = str(networks.get(name, {}).get("chainid", ""))
    try:
        check_told(
            name,
            int(chain_id) if chain_id.isdigit() else None,
            None if host is None else Template(host).safe_substitute(environ),
            environ,
        )
    except TruetonneError as error:
        end("deploy", error)


def load_alone() -> None:
    """Let Brownie load a project when no other process does; two that began together compiled the same twice."""
    from brownie import project

    load = project.load

    def alone(*words: Any, **options: Any) -> Any:
        with one_at_a_time():
            return load(*words, **options)

    project.load = alone


def main() -> None:
    import brownie._cli.__main__ as program
    from brownie._config import CONFIG

    trouble = network_trouble(sys.argv[1:], CONFIG.networks, os.environ)
    if trouble is not None:
        sys.stderr.write(f"brownie: {trouble}\n")
        sys.exit(2)
    check_deployment(sys.argv[1:], CONFIG.networks, os.environ)
    take_own_port(CONFIG.networks)
    keep_no_deployments()
    node_ends_with_us()
    read_trees_once()
    load_alone()
    sys.exit(program.main())


if __name__ == "__main__":
    main()
