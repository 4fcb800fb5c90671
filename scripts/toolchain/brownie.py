"""Brownie's command line with less to do, see ``brownie_lightness``; ``./dev brownie`` runs it.

A network that is none, or whose node is not named, ends it here in a line that says what to do, where Brownie would
print its own code.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from scripts.toolchain.brownie_home import node_ends_with_us, take_own_port
from scripts.toolchain.brownie_lightness import keep_no_deployments, read_trees_once

_OPTION = "--network"


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


def main() -> None:
    import brownie._cli.__main__ as program
    from brownie._config import CONFIG

    trouble = network_trouble(sys.argv[1:], CONFIG.networks, os.environ)
    if trouble is not None:
        sys.stderr.write(f"brownie: {trouble}\n")
        sys.exit(2)
    take_own_port(CONFIG.networks)
    keep_no_deployments()
    node_ends_with_us()
    read_trees_once()
    sys.exit(program.main())


if __name__ == "__main__":
    main()
