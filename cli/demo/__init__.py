"""``truetonne demo``: the main job on real meter files, end to end, on a chain of its own.

Each step asks first whether it has been done, so that a second run goes on where the first ended.

``steps`` are the steps, of which ``market``, ``sales`` and ``proof`` are the later ones; ``plants`` are the two it is
about. What was done goes into the ``story``, and ``summary`` tells it.
"""

from __future__ import annotations

from typing import Annotated

import typer

from cli.command import Invocation, command

Fresh = Annotated[
    bool,
    typer.Option(
        "--fresh", help="Drop what an earlier run left in this database, and its local chain."
    ),
]


def register(root: typer.Typer) -> None:
    """Add the command."""
    command(root, "demo")(demo)


def demo(run: Invocation, fresh: Fresh = False) -> int:
    """Run the main job on bundled real data: meter files to credits, trades to money, books to chain."""
    from cli.demo.steps import run_demo
    from cli.demo.summary import document, shown

    story = run_demo(run, fresh)
    run.output.result(document(story), *shown(story))
    return 0 if story.books_agree else 1
