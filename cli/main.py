"""The command line: finds the command, and turns whatever goes wrong into one line and a code.

Exit codes: 0 ok, 1 a problem was found, 2 usage or bad input, 3 a dependency is down.
Each module of ``COMMANDS`` has ``register(root)``, which adds its commands or groups.
"""

from __future__ import annotations

import errno
import gc
import io
import os
import re
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from traceback import print_exception, walk_tb
from typing import Annotated

import typer

from cli.command import AsJson, Config, Invocation, Traceback
from cli.output import Output, OutputLost, no_stderr
from cli.start import check_not_interrupted, end_at_once, hear_interruptions
from ledger.errors import INTERRUPTED, TOO_MANY_OPEN, BadInput, DependencyDown, TruetonneError

COMMANDS: dict[str, tuple[str, ...]] = {
    "cli.demo": ("demo",),
    "cli.up": ("up",),
    "cli.jobs": ("jobs",),
    "cli.serve": ("serve",),
    "cli.status": ("status",),
    "cli.doctor": ("doctor",),
    "cli.readings": ("import", "site"),
    "cli.reductions": ("reductions",),
    "cli.factors": ("factors",),
    "cli.inventory": ("emissions",),
    "cli.readings_views": ("readings",),
    "cli.credits": ("verify", "credits"),
    "cli.certificate": ("certificate",),
    "cli.park": ("park",),
    "cli.alerts": ("alerts",),
    "cli.trades": ("trades",),
    "cli.settle": ("settle",),
    "cli.mirror": ("reconcile", "index"),
    "cli.chain": ("chain",),
    "cli.keys": ("keys",),
    "cli.users": ("users",),
    "cli.apikey": ("apikey",),
    "cli.audit": ("audit",),
    "cli.config": ("config",),
    "cli.db": ("db",),
    "cli.webhooks": ("webhooks",),
    "cli.bench": ("bench",),
    "cli.exports": ("export",),
    "cli.openapi": ("openapi",),
}
"""The modules with commands, and the words that each adds: what is not asked for is not imported."""
_STARTED_OBJECTS = 210_000
"""Objects that are made before Python first looks for garbage: only the API imports more. Nobody else sets it."""
_NEW_OBJECTS = 50_000
"""Further objects before it looks again."""
_NUMBERS = (
    (re.compile(r"Input should be a valid integer\b.*"), "write a whole number"),
    (re.compile(r"Unable to parse input string as an integer\b.*"), "write a smaller number"),
    (re.compile(r"Input should be a valid number\b.*"), "write a number"),
    (re.compile(r"Input should be greater than or equal to (\S+)"), r"write \1 or more"),
    (re.compile(r"Input should be less than or equal to (\S+)"), r"write \1 or less"),
)
"""What typer's own library says of a number that it does not take, and how we say it."""
_CLOSED = re.compile(r": [a-z]+ (['\"])(?P<path>.*)\1 is not readable$")
"""What it says of a file or folder that this user may not read, which no help of a command mends."""
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def build(word: str | None = None) -> typer.Typer:
    """Return the command line: with the command or group of this name alone, or with all if there is none.

    ``--version`` needs none.
    """
    root = typer.Typer(
        name="truetonne",
        help="A carbon-credit ledger: from meter file to retired tonne.",
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    root.callback()(_options)
    alone = [name for name, words in COMMANDS.items() if word in words]
    for name in () if word == "--version" else alone or COMMANDS:
        import_module(name).register(root)
    return root


def first_word(words: Sequence[str]) -> str | None:
    """Return the command or group that a command line names, or ``--version``; None if something odd comes before."""
    left = iter(words)
    for word in left:
        if word == "--config":
            next(left, None)
        elif word not in ("--json", "--traceback") and not word.startswith("--config="):
            return word if word == "--version" or not word.startswith("-") else None
    return None


def main() -> None:
    """Run the command line of this process."""
    rare_collections()
    open_streams()
    buffer_stdout()
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal cannot show ends nothing.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        hear_interruptions()
        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # told again, while it was said
        code = INTERRUPTED
    end_at_once(code)
    try:
        sys.stderr.flush()
    except OSError:  # the log of a service on a full disk
        no_stderr()
    gc.freeze()  # what ends with the process need not be looked through before
    sys.exit(code)


def open_streams() -> None:
    """Open what a caller has closed of stdin, stdout and stderr: no file of ours may get such a descriptor.

    A closed stdout takes nothing then, and is said to; what is said to a closed stderr is lost.
    """
    for descriptor, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, mode)  # the lowest that is free, which is this one
            os.set_inheritable(opened, True)  # nor may a file of a program that we start
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, encoding="utf-8")
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8")


def buffer_stdout() -> None:
    """Put a buffer before a stdout that Python was told to leave without one (`PYTHONUNBUFFERED`, as in containers).

    Each piece of text is one call of the system there. Of what a disk had half of the room for, the other half was lost
    without an error.
    """
    stdout = sys.stdout
    if not isinstance(stdout, io.TextIOWrapper) or not isinstance(stdout.buffer, io.RawIOBase):
        return
    encoding, errors = stdout.encoding, stdout.errors
    lines = stdout.line_buffering or stdout.isatty()  # unbuffered, a terminal has no lines either
    raw = stdout.detach()
    assert isinstance(raw, io.RawIOBase)
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors, line_buffering=lines)


def rare_collections() -> None:
    """Have Python look for cyclic garbage more rarely than after 700 new objects.

    What a command imports is some hundred thousand, none of them garbage: to look through them again and again was a
    third of its start and end. After the first look they are left out of it.
    """
    gc.set_threshold(_STARTED_OBJECTS, *gc.get_threshold()[1:])
    gc.callbacks.append(_looked)


def _looked(phase: str, _info: object) -> None:
    first, *others = gc.get_threshold()
    if phase == "start" or first != _STARTED_OBJECTS:  # or somebody has other numbers for a while
        return
    gc.callbacks.remove(_looked)
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, *others)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    words = list(arguments) or ["--help"]
    options = words[: words.index("--")] if "--" in words else words
    invocation = Invocation(Output(as_json="--json" in options), words=words)
    try:
        check_not_interrupted()
        code = typer.main.get_command(build(first_word(words))).main(
            args=words, prog_name="truetonne", standalone_mode=False, obj=invocation
        )
        if code == INTERRUPTED:  # what typer makes of a KeyboardInterrupt
            return _interrupted(invocation)
        invocation.output.flush()
        return int(code or 0)
    except (BrokenPipeError, SystemExit) as ended:
        return _left(ended, invocation)
    except (typer.Abort, KeyboardInterrupt) as ended:
        if isinstance(ended.__cause__, EOFError):  # typer takes each for the end of what is typed
            return _told(ended.__cause__, invocation)
        return _interrupted(invocation)
    except Exception as error:
        return _told(error, invocation)


def _left(ended: BrokenPipeError | SystemExit, invocation: Invocation) -> int:
    """Return the exit code where nobody reads a pipe: `truetonne ... | head`, whose reader has seen enough, is done."""
    if isinstance(ended, SystemExit):  # what typer makes of a left pipe, whosever it is
        broken = ended.__context__
        if not isinstance(broken, BrokenPipeError):
            raise ended
        if not (invocation.output.reader_left or _is_help(broken)):
            return _told(broken, invocation)
    _write_no_more()
    return 0


def _is_help(broken: BrokenPipeError) -> bool:
    """Return whether it was typer itself that wrote: the text of ``--help``, which goes past our output."""
    *_, (frame, _) = walk_tb(broken.__traceback__)
    return str(frame.f_globals["__name__"]).startswith("typer.")


def _interrupted(invocation: Invocation) -> int:
    """Say that the command was interrupted, if it has not said so itself, and return the exit code."""
    try:
        invocation.output.interrupted("what was committed stands")
    except BrokenPipeError:
        _write_no_more()
    return INTERRUPTED


def _told(error: Exception, invocation: Invocation) -> int:
    """Say an error in one line, and return its exit code."""
    found = _named(error, invocation.words)
    try:
        invocation.output.error(found)
    except BrokenPipeError:
        _write_no_more()
    if isinstance(found, OutputLost) or found.code == "no-room":
        _write_no_more()
    if invocation.traceback and not isinstance(error, TruetonneError):
        print_exception(error)
    return found.exit_code


def _write_no_more() -> None:
    """Leave stdout alone from now on: at its end, Python would try once more to write what is left."""
    sys.stdout = io.TextIOWrapper(io.BytesIO())


def _version(ctx: typer.Context, wanted: bool) -> None:
    if wanted:
        from importlib import metadata  # 0.03 s, which every other command would pay

        number = metadata.version("truetonne")
        ctx.obj.output.result({"version": number}, f"truetonne {number}")
        raise typer.Exit


def _options(
    ctx: typer.Context,
    as_json: AsJson = False,
    config: Config = None,
    traceback: Traceback = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_version, help="Print the version and end."
        ),
    ] = False,
) -> None:
    invocation: Invocation = ctx.obj
    invocation.output.as_json = invocation.output.as_json or as_json
    invocation.config = config
    invocation.traceback = traceback


def _named(error: Exception, words: Sequence[str]) -> TruetonneError:
    """Return the error of our tree that says in one line what another one means."""
    if isinstance(error, TruetonneError):
        return error
    if isinstance(error, typer.TyperException):
        return _usage(error, words)
    if type(error).__module__.startswith("sqlalchemy.") and type(error).__name__ in (
        "OperationalError",
        "InterfaceError",
    ):
        cause = str(getattr(error, "orig", error))
        return DependencyDown(f"the database does not answer: {cause}", code="database-down")
    if isinstance(error, EOFError) and (module := _cut_short(error)):
        return DependencyDown(
            f"{module}: this compiled module is cut short, as by a full disk; delete it when the disk has room",
            code="module-cut-short",
        )
    if isinstance(error, OSError | MemoryError) and (known := _of_the_system(error)):
        return known
    return TruetonneError(
        f"internal error: {type(error).__name__}: {error} (a defect of this program; "
        "`truetonne --traceback ...` shows where)",
        code="internal-error",
    )


def _of_the_system(error: OSError | MemoryError) -> TruetonneError | None:
    """Return what the system refuses: memory, files, a file that is named, room; None for what we got wrong."""
    if isinstance(error, MemoryError):
        return DependencyDown(
            "there is not as much memory as this command needs; allow it more (`ulimit -v`, or the limit of its "
            "container or service), and give it again",
            code="no-memory",
        )
    if error.errno in TOO_MANY_OPEN:
        return DependencyDown(
            f"no more files can be opened ({error.strerror}); allow more (`ulimit -n`, or the limit of the service), "
            "and give the command again",
            code="too-many-files",
        )
    if error.filename is not None:
        return BadInput(
            f"{error.filename}: {error.strerror}; put that right, or name another place",
            code="file-error",
        )
    if error.errno not in _NO_ROOM:
        return None
    return DependencyDown(
        f"a file that is written, or what stdout leads to, takes no more ({error.strerror}); make room on the "
        "disk, and give the command again",
        code="no-room",
    )


def _cut_short(error: EOFError) -> str | None:
    """Return the compiled module that could not be read to its end, if that is the error.

    Python 3.11 writes half of one where the disk is full, and takes it for whole ever after.
    """
    step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_name == "get_code":  # importlib's
            file = step.tb_frame.f_locals.get("bytecode_path")
            return file if isinstance(file, str) else None
        step = step.tb_next
    return None


def _usage(error: typer.TyperException, words: Sequence[str]) -> BadInput:
    message = error.format_message().strip().rstrip(".")
    message = message.replace("Value error, ", "").replace("'%Y-%m-%d'", "YYYY-MM-DD")
    if closed := _CLOSED.search(message):
        return BadInput(
            f"{closed['path']}: cannot be read ({os.strerror(errno.EACCES)}); let this user read it, or name another",
            code="file-unreadable",
        )
    for theirs, ours in _NUMBERS:
        message = theirs.sub(ours, message)
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else _command_path(words)
    if path == "truetonne" and (meant := _of_the_checkout(message)):
        return BadInput(f"{meant}; see `./dev help`", code="usage")
    return BadInput(f"{message[:1].lower()}{message[1:]}; see `{path} --help`", code="usage")


def _command_path(words: Sequence[str]) -> str:
    """Return the program with the command that was typed: typer does not say whose an option without a value is."""
    path, command = ["truetonne"], typer.main.get_command(build(first_word(words)))
    for word in words:
        inner = getattr(command, "commands", {}).get(word)
        if inner is not None:
            path.append(word)
            command = inner
    return " ".join(path)


def _of_the_checkout(message: str) -> str:
    """Return a sentence where what is no command is nearly one of ``./dev``, in a checkout; else nothing."""
    entry = Path(__file__).resolve().parents[1] / "dev"
    wrong = re.match(r"No such command '([^']+)'", message)
    if wrong is None or not entry.is_file():
        return ""
    words = re.findall(r"^  ([a-z]+) ", entry.read_text(encoding="utf-8"), re.MULTILINE)
    ours = [word for named in COMMANDS.values() for word in named]
    (near,) = get_close_matches(wrong[1], [*ours, *words], n=1) or ("",)
    if near in ours or not near:
        return ""
    call = f"./dev {near}"
    return f"no such command '{wrong[1]}'. Did you mean `{call}`?"


if __name__ == "__main__":
    main()
