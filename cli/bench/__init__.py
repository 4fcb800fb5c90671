"""``truetonne bench ...``: what things cost, measured beside a peer or a limit in the same run.

Every benchmark prints one shape: ``{"machine": {...}, "results": [{"name", "value", "unit", "against",
"against_value", "ratio"}]}``. ``ratio`` says how many times better the value is than that of
``against``; for a limit, the share of it that is reached.
"""

from __future__ import annotations

import typer

from cli.command import Invocation, command, command_group


def register(root: typer.Typer) -> None:
    """Add the group."""
    group = command_group("Measure, beside a peer or a limit.")
    command(group, "gas")(gas)
    command(group, "proofs")(proofs)
    root.add_typer(group, name="bench")


def gas(run: Invocation) -> None:
    """Measure what the contracts' acts cost, on receipts of an Anvil of its own."""
    from cli.bench.gas import measure
    from cli.bench.report import show
    from ledger.chain.local_node import LocalNode, find_anvil

    with LocalNode(find_anvil(run.settings.anvil), options=["--enable-tx-gas-limit"]) as node:
        results = measure(node.rpc_url)
    show(run.output, results, title="gas of whole receipts: Prague, optimizer 200 runs")


def proofs(run: Invocation) -> None:
    """Measure how long a proof takes to build and to check, on an Anvil of its own."""
    from cli.bench.proofs import measure
    from cli.bench.report import show
    from ledger.chain.local_node import LocalNode, find_anvil

    with LocalNode(find_anvil(run.settings.anvil)) as node:
        results = measure(node.rpc_url)
    show(run.output, results, title="a retirement in a block of 100 transactions")
