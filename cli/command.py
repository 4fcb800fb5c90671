"""What every command shares: the options of all, and the one object that it is given.

A command is a function whose first parameter is an ``Invocation``::

    group = command_group("Keep the database.")

    @command(group, "upgrade")
    def upgrade(run: Invocation, dry_run: DryRun = False) -> None: ...

``command`` adds ``--json`` and ``--config`` to it, so that both work before and after the
subcommand. A command returns nothing, or an exit code when it has printed a result that is bad
news; everything else that goes wrong is raised as a ``TruetonneError``.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from cli.output import Output
from ledger.errors import BadInput
from ledger.settings import Settings, load_settings
from ledger.settings.values import is_text

if TYPE_CHECKING:
    from cli.flow import Flow
    from ledger.db import Database

AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else there.")
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE.toml", help="Read settings from this file; the environment wins."
    ),
]
Traceback = Annotated[
    bool, typer.Option("--traceback", help="Print the traceback of an internal error on stderr.")
]
NUMBER_MAX = 2**63 - 1
"""What a database holds at most: a greater number is that of no row and no block."""

Site = Annotated[str, typer.Option("--site", help="Code of the site.")]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Check everything and say what would happen; write nothing."),
]
NoWait = Annotated[
    bool,
    typer.Option(
        "--no-wait", help="Return when it is sent; `truetonne index run` confirms it later."
    ),
]

_Command = TypeVar("_Command", bound=Callable[..., int | None])


@dataclass
class Invocation:
    """One run of a command: its output, its settings, and the doors to what it needs."""

    output: Output
    config: Path | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    traceback: bool = False
    words: Sequence[str] = ()
    """What was typed after the program's name."""

    @cached_property
    def settings(self) -> Settings:
        """The settings, read when first asked for."""
        return load_settings(self.config, self.environ)

    def books(self) -> AbstractContextManager[Database]:
        """Open the books, see ``cli.books.open_books``."""
        from cli.books import open_books

        return open_books(self.settings)

    def flow(self) -> AbstractContextManager[Flow]:
        """Open books, node, contracts and mirror, see ``cli.flow.open_flow``; a long wait says what it is for."""
        from cli.flow import open_flow

        return open_flow(self.settings, self.output.step)


def command_group(help: str, alone: Callable[..., int | None] | None = None) -> typer.Typer:
    """Return a group of commands, with the options that every command has.

    Parameters
    ----------
    alone
        What the group does by itself, when no command of it is named. Its options are then those of
        the group; a command of the group takes none of them.
    """
    group = typer.Typer(help=help, add_completion=False, rich_markup_mode=None)
    own = (
        ()
        if alone is None
        else tuple(inspect.signature(alone, eval_str=True).parameters.values())[1:]
    )

    def options(ctx: typer.Context, as_json: bool, config: Path | None, **arguments: Any) -> None:
        invocation = _take(ctx, as_json, config)
        if alone is None:
            return
        _require_words(ctx, invocation, arguments)
        given = {name: value for name, value in arguments.items() if value is not None}
        if ctx.invoked_subcommand is not None:
            if given:
                raise BadInput(
                    f"options stand after the command: {ctx.command_path} {ctx.invoked_subcommand} ...",
                    code="usage",
                )
            return
        for parameter in own:
            if parameter.name not in given and parameter.default is inspect.Parameter.empty:
                (option,) = parameter.annotation.__metadata__
                name = (option.default, *option.param_decls)[0]  # as typer keeps the first one
                raise BadInput(
                    f"missing option '{name}'; see `{ctx.command_path} --help`",
                    code="usage",
                )
        code = alone(invocation, **given)
        if code:
            raise typer.Exit(code)

    options.__annotations__ = {}
    options.__signature__ = _signature(  # type: ignore[attr-defined]
        [parameter.replace(default=None) for parameter in own]
    )
    group.callback(invoke_without_command=alone is not None)(options)
    return group


def _signature(own: Sequence[inspect.Parameter]) -> inspect.Signature:
    """Return the parameters of a command with those that every command has."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    shared = (("as_json", AsJson, False), ("config", Config, None))
    return inspect.Signature(
        [
            inspect.Parameter("ctx", keyword, annotation=typer.Context),
            *(parameter.replace(kind=keyword) for parameter in own),
            *(
                inspect.Parameter(name, keyword, annotation=annotation, default=default)
                for name, annotation, default in shared
            ),
        ]
    )


def command(group: typer.Typer, name: str, **options: Any) -> Callable[[_Command], _Command]:
    """Register a function as a command of the group, with the options that every command has."""

    def register(function: _Command) -> _Command:
        signature = inspect.signature(function, eval_str=True)
        _, *own = signature.parameters.values()

        def call(ctx: typer.Context, as_json: bool, config: Path | None, **arguments: Any) -> None:
            invocation = _take(ctx, as_json, config)
            _require_words(ctx, invocation, arguments)
            invocation.output.is_trial = bool(arguments.get("dry_run"))
            code = function(invocation, **arguments)
            if code:
                raise typer.Exit(code)

        call.__doc__ = function.__doc__
        call.__annotations__ = {}
        call.__signature__ = _signature(own)  # type: ignore[attr-defined]
        group.command(name, **options)(call)
        return function

    return register


def _require_words(
    ctx: typer.Context, invocation: Invocation, arguments: Mapping[str, Any]
) -> None:
    """Refuse words whose bytes are no text, as of a terminal in another encoding; names of files may be so.

    But these are not empty: a path of no letters is that of the folder where one is, and a variable that is not set
    had a backup go there.

    Raises
    ------
    BadInput
        One is: neither database nor chain could take it, or nobody can mean it.
    """
    for name, given in arguments.items():
        for word in given if isinstance(given, (list, tuple)) else (given,):
            if isinstance(word, Path) and word == Path() and _has_empty(invocation.words):
                called = [item.opts[0] for item in ctx.command.params if item.name == name]
                raise BadInput(
                    f"{(*called, name)[0]}: an empty name is that of no file or folder; write . for the folder "
                    f"where you are; see `{ctx.command_path} --help`",
                    code="usage",
                )
            if isinstance(word, str) and not is_text(word):
                raise BadInput(
                    f"{name.replace('_', '-')}: {word!r} is not UTF-8; set the terminal, or what writes the command, "
                    f"to UTF-8; see `{ctx.command_path} --help`",
                    code="usage",
                )


def _has_empty(words: Sequence[str]) -> bool:
    """Return whether a word is empty, or an option's value after `=`, and none is `.`, which is the same path."""
    empty = any(not word or (word.startswith("--") and word.endswith("=")) for word in words)
    return empty and not any(word == "." or word.endswith("=.") for word in words)


def _take(ctx: typer.Context, as_json: bool, config: Path | None) -> Invocation:
    """Add what was said at this level of the command line to what was said before it."""
    invocation: Invocation = ctx.obj
    invocation.output.as_json = invocation.output.as_json or as_json
    invocation.config = config or invocation.config
    return invocation
