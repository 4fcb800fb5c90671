"""What all commands share: one document with ``--json``, one line for an error, the exit codes."""

from __future__ import annotations

import errno
import io
import json
import os
import pty
import py_compile
import re
import resource
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import typer
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text as RichText

import cli
import cli.main
from cli import service, start
from cli.main import COMMANDS, build, first_word
from cli.output import Output, Table, printable
from ledger.errors import INTERRUPTED
from ledger.models.trading import TradeStatus
from ledger.serials import CreditStatus
from tests.cli.conftest import ROOT, TRADES, Ended, Program
from tests.support.forked import FORKED
from tests.support.forms import few, long, rest, times


@pytest.mark.parametrize(
    ("words", "code"),
    rest(
        [
            (["--help"], 0),
            (["--version", "--json"], 0),
            (["db", "current", "--json"], 1),
            (["credits", "list", "--limit", "0", "--json"], 2),
            (["import", "--site", "lab", "--source", "scada", "名.csv"], 2),
            (["index", "run", "--until", "head"], 2),
        ],
        (["import", "--site", "lab", "--source", "scada", "名.csv"], 2),
    ),
)
def test_a_forked_run_is_what_a_started_one_is(
    truetonne: Program, words: list[str], code: int
) -> None:
    forked, started = truetonne(*words), truetonne.started(*words)
    assert forked == started
    assert started.code == code


@pytest.mark.parametrize(
    "words",
    [
        ["--json", "db", "current"],
        ["db", "--json", "current"],
        ["db", "current", "--json"],
        ["--json", "db", "--json", "current", "--json"],
    ],
)
def test_json_works_before_and_after_the_subcommand(truetonne: Program, words: list[str]) -> None:
    ended = truetonne(*words)
    assert ended.json()["revision"] is None
    assert ended.err == ""
    assert ended.code == 1


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("tets", "Did you mean `./dev test`?; see `./dev help`"),
        ("migratons", "Did you mean `./dev migrations`?; see `./dev help`"),
        ("reconsile", "Did you mean 'reconcile', 'reductions'?; see `truetonne --help`"),
        ("nothing", "'nothing'; see `truetonne --help`"),
    ],
)
def test_a_slip_of_the_hand_is_understood(truetonne: Program, word: str, meant: str) -> None:
    """``./dev tets`` was answered by "Did you mean 'trades'?": the words of ``./dev`` were unknown here."""
    line = truetonne(word).one_line()
    assert line.startswith(f"error: no such command '{word}'") and line.endswith(meant)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [([], 0, "truetonne 0.1.0"), (["-S"], 3, "run ./dev ARGUMENTS, which installs them")],
    ids=["its own Python", "a Python without the packages"],
)
def test_python_begins_the_program_by_its_name(options: list[str], code: int, said: str) -> None:
    ended = subprocess.run(
        [sys.executable, *options, "-m", "cli", "--version"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == code
    (line,) = (ended.stdout + ended.stderr).splitlines()
    assert line.endswith(said)


@few(6)
@pytest.mark.parametrize(
    "words",
    [
        ["nothing"],
        ["db"],
        ["db", "nothing"],
        ["doctor", "--colour"],
        ["doctor", "extra"],
        ["import"],
        ["import", "file.csv"],
        ["import", "--site"],
        ["reductions", "--project", "p", "--from", "yesterday", "--to", "2014-02-01"],
        ["reductions", "--project", "p", "--from", "2014-02-30", "--to", "2014-03-01"],
        ["credits", "list", "--status", "green"],
        ["credits", "list", "--limit", "0"],
        ["credits", "retire", "x", "--amount", "1.5", "--beneficiary", "b", "--reason", "r"],
        ["index", "run", "--until", "-1"],
        ["index", "run", "--until", "tomorrow"],
        ["--config", "absent.toml", "doctor"],
        ["doctor", "--config"],
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(truetonne: Program, words: list[str]) -> None:
    ended = truetonne(*words)
    assert ended.code == 2
    ended.one_line()
    told = truetonne("--json", *words)
    assert told.code == 2
    assert told.err == ""
    assert set(told.json()) == {"error"}
    assert {"code", "message"} <= set(told.json()["error"])
    assert truetonne.files() == set()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--consumption-from", "2014-01-01"], "give --consumption-from and --consumption-to"),
        (["--consumption-to", "2014-01-01"], "give --consumption-from and --consumption-to"),
        (
            ["--consumption-from", "2014-01-01", "--consumption-to", "2014-01-01"],
            "--consumption-to is the day after the last one: 2014-01-01 is not after 2014-01-01",
        ),
        (
            ["--consumption-from", "1969-01-01", "--consumption-to", "2014-01-01"],
            "must lie between the years 1970 and 2106",
        ),
        (["--document", "absent.pdf"], "--document absent.pdf: No such file or directory; give"),
        (["--document", "."], "--document .: Is a directory; give a file, or 0x and the 64 digits"),
    ],
)
def test_what_a_retirement_cannot_state(truetonne: Program, words: list[str], said: str) -> None:
    retire = ("credits", "retire", "x", "--amount", "1", "--beneficiary", "b", "--reason", "r")
    ended = truetonne(*retire, *words)
    assert ended.code == 2
    assert said in ended.one_line()
    assert truetonne.files() == set()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["credits", "list", "--limit", "some"], "'--limit': write a whole number;"),
        (["credits", "list", "--limit", "1.5"], "'--limit': write a whole number;"),
        (["credits", "list", "--limit", "0"], "'--limit': write 1 or more;"),
        (["credits", "list", "--limit", "9" * 5000], "'--limit': write a smaller number;"),
        (["credits", "list", "--vintage", "10000"], "'--vintage': write 9999 or less;"),
        (["jobs", "run", "--lease", "long"], "'--lease': write a number;"),
    ],
)
def test_what_is_wrong_with_a_number_is_said_in_our_words(
    truetonne: Program, words: list[str], said: str
) -> None:
    assert f"error: invalid value for {said}" in truetonne(*words).one_line()


@few(3)
@pytest.mark.parametrize("amount", ["1.5", "0", "-1", "1e3", "1_000", "½", "9" * 30])
def test_an_amount_is_whole_kilograms(truetonne: Program, amount: str) -> None:
    ended = truetonne("credits", "cancel", "x", f"--amount={amount}", "--reason", "r")
    assert ended.code == 2
    assert f"{amount!r} is no whole number of kilograms above zero" in ended.one_line()


def test_help_and_version(truetonne: Program) -> None:
    assert truetonne("--version").out == "truetonne 0.1.0\n"
    assert truetonne("--version", "--json").json() == {"version": "0.1.0"}
    for words in ([], ["--help"]):
        shown = truetonne(*words)
        assert (shown.code, shown.err) == (0, "")
        assert "reductions" in shown.out


@few(4)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour = 1", "unknown setting 'colour'"),
        ("api_port = [1]", "api_port must be a text or a number"),
        ("api_port = 0", "api_port must be a whole number above zero"),
        ("api_port = 70000", "port from 1 to 65535"),
        ("finality = 'soon'", "finality must be `finalized` or a number of blocks"),
        ("rpc_url = 'ftp://x'", "rpc_url must begin with http://, https://"),
        ("database_url = 'oracle://x'", "'oracle' is not supported"),
        ("api_port = ", "not valid TOML"),
    ],
)
def test_a_wrong_setting_is_named(truetonne: Program, text: str, said: str) -> None:
    ended = truetonne("--config", truetonne.write("settings.toml", text), "status")
    assert ended.code == 2
    assert said in ended.one_line()


def test_settings_come_from_file_and_environment(truetonne: Program) -> None:
    file = truetonne.write("settings.toml", "api_port = 1234\nfinality = 7\n")
    shown = truetonne("doctor", "--json", "--config", file, finality="9").json()["settings"]
    assert (shown["api_port"], shown["finality"]) == ("1234", "9")


def test_a_password_is_never_shown(truetonne: Program) -> None:
    url = "mysql+pymysql://me:hunter2@127.0.0.1:1/books"
    for words in (
        ["doctor"],
        ["doctor", "--json"],
        ["status"],
        ["db", "upgrade"],
        ["--traceback", "db", "current"],
    ):
        ended = truetonne(*words, database_url=url)
        assert ended.code == 3
        assert "hunter2" not in ended.out + ended.err
        assert "127.0.0.1" in ended.out + ended.err


def with_settings_read_by(truetonne: Program, load: str) -> tuple[str, ...]:
    """Put an expression in the place of the library's reader of TOML; return a command that comes to it."""
    truetonne.write("sitecustomize.py", f"import tomllib\ntomllib.loads = tomllib.load = {load}\n")
    truetonne.environ["PYTHONPATH"] += f":{truetonne.folder}"
    return ("--config", truetonne.write("settings.toml", ""), "db", "current")


@long
def test_an_internal_error_is_one_line_too(truetonne: Program) -> None:
    words = with_settings_read_by(truetonne, "None")
    ended = truetonne.started(*words)
    assert ended.code == 1
    (line,) = ended.err.splitlines()
    assert line.startswith("error: internal error: TypeError")
    told = truetonne.started("--traceback", *words)
    assert "Traceback" in told.err


@long
def test_that_there_is_too_little_memory_is_no_defect(truetonne: Program) -> None:
    ended = truetonne.started(*with_settings_read_by(truetonne, "lambda _: bytes(1 << 62)"))
    assert (ended.code, ended.out) == (3, "")
    (line,) = ended.err.splitlines()
    assert line.startswith(
        "error: there is not as much memory as this command needs; allow it more"
    )


@pytest.mark.parametrize("file", [None, "/tmp/fresh.db"])
def test_too_many_open_files_are_neither_a_defect_nor_bad_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: str | None
) -> None:
    """A folder of our own was named, with exit 2; a socket was a defect of this program."""
    code = errno.EMFILE

    def read(*_: object) -> None:
        raise OSError(code, os.strerror(code), *([file] if file else []))

    monkeypatch.setattr("cli.command.load_settings", read)
    assert cli.main.run(["db", "current"]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "error: no more files can be opened (Too many open files); allow more (`ulimit -n`,"
    )


@long
def test_a_stream_that_ends_within_is_no_interruption(truetonne: Program) -> None:
    """An EOFError from anywhere ended a command with nothing said and exit 130, as Ctrl-C does."""
    raises = "lambda _: (_ for _ in ()).throw(EOFError('lost'))"
    ended = truetonne.started(*with_settings_read_by(truetonne, raises))
    assert ended.code == 1
    assert ended.err.strip().startswith("error: internal error: EOFError: lost")


@long
def test_a_module_that_a_full_disk_cut_short_is_named(truetonne: Program) -> None:
    """Python 3.11 leaves such a one behind, and every later run ended with nothing said."""
    kept = truetonne.folder / "compiled"
    source = Path(cli.__file__).parents[1] / "ledger" / "db" / "__init__.py"
    truetonne.environ["PYTHONPYCACHEPREFIX"] = str(kept)
    module = f"{kept}{source.parent}/__init__.{sys.implementation.cache_tag}.pyc"
    py_compile.compile(str(source), module)
    os.truncate(module, os.path.getsize(module) // 2)
    ended = truetonne.started("db", "current")
    assert (ended.code, ended.out) == (3, "")
    assert ended.err.strip().startswith(f"error: {module}: this compiled module is cut short")
    os.unlink(module)
    assert truetonne.started("db", "current").code == 1  # there is no database, and it says so


@long
@pytest.mark.parametrize(
    ("word", "reader", "read"),
    rest([("openapi", "head -1", "{\n"), ("status", "true", "")], ("status", "true", "")),
)
def test_a_reader_that_leaves_early_is_no_error(
    park: Program, word: str, reader: str, read: str
) -> None:
    ended = subprocess.run(
        f"{shlex.join(park.command(word))} | {reader}",
        shell=True,
        cwd=park.folder,
        env=park.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout == read
    assert ended.stderr == ""


LEFT = """
import os, sys, typer
from cli import main

app = typer.Typer()

@app.command("reader")
def reader(ctx: typer.Context):
    while True:
        ctx.obj.output.write("a row of many\\n" * 100)

@app.command("program")
def program():
    reading, writing = os.pipe()
    os.close(reading)
    os.write(writing, b"to a program that we started")

main.build = lambda word: app
sys.exit(main.run(sys.argv[1:]))
"""


@long
@few(1)
@pytest.mark.parametrize(
    "words",
    [["-c", LEFT, "reader"], ["-c", LEFT, "program"], ["-m", "cli", "credits", "--help"]],
    ids=["reader", "program", "reader of help"],
)
def test_only_the_reader_of_stdout_may_leave_early(words: list[str]) -> None:
    """In the midst of a long answer it was exit 1, and so was, without a word, a program of ours that had ended."""
    with subprocess.Popen(
        [sys.executable, *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
    if "program" not in words:
        assert (process.returncode, said) == (0, "")
    else:
        assert process.returncode == 1
        assert said.startswith("error: internal error: BrokenPipeError: ")
        assert len(said.splitlines()) == 1


def on_a_full_disk(program: Program, *words: str) -> str:
    """Run a command whose answer goes to a full disk; return the one line that it says instead."""
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            program.command(*words),
            cwd=program.folder,
            env=program.environ,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.returncode == 3
    (line,) = ended.stderr.splitlines()
    return line


FULL = "error: stdout cannot be written (No space left on device); the answer is lost or cut off"


@long
@pytest.mark.parametrize("more", rest([[], ["--json"]]))
def test_a_full_disk_behind_stdout_is_one_line(park: Program, more: list[str]) -> None:
    assert on_a_full_disk(park, "status", *more).startswith(FULL)


@long
def test_a_full_disk_behind_an_answer_of_many_pieces_is_one_line(park: Program) -> None:
    rows = "".join(f"W-{number},A turbine,wind_turbine,offline\n" for number in range(600))
    file = park.write("devices.csv", "device_code,name,type,status\n" + rows)
    assert park("park", "import", "devices", file).code == 0
    assert len(park("park", "export", "devices").out.splitlines()) > 600
    assert on_a_full_disk(park, "park", "export", "devices").startswith(FULL)


@long
def test_a_disk_that_takes_half_of_an_answer_loses_none_of_it_in_silence(park: Program) -> None:
    """In a container Python writes without a buffer (PYTHONUNBUFFERED), and forgets what a call did not take."""
    rows = "".join(
        f"lab-vpp,sell,sell,1000.000,0.0421,42.10,spot,2014-01-{day:02d}T{hour:02d}:00:00+01:00\n"
        for day in range(1, 31)
        for hour in range(24)
    )
    trades = park.write("trades.csv", TRADES.splitlines()[0] + "\n" + rows)
    assert park("trades", "import", trades).code == 0
    words = ("export", "trades")
    whole = len(park(*words).out)
    room = 64 * 1024  # what SQLite puts beside its file needs 32 KiB
    assert whole > room
    with open(park.folder / "answer.csv", "wb") as answer:
        ended = subprocess.run(
            park.command(*words),
            cwd=park.folder,
            env={**park.environ, "PYTHONUNBUFFERED": "1"},
            stdout=answer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)),
        )
    assert (park.folder / "answer.csv").stat().st_size == room
    assert ended.returncode == 3
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: stdout cannot be written (File too large); the answer is lost")


@long
def test_progress_goes_to_a_terminal_alone(park: Program) -> None:
    rows = "".join(
        f"2014-01-{d:02d}T{h:02d}:00:00+01:00,1\n" for d in range(1, 29) for h in range(24)
    )
    file = park.write("readings.csv", "time,power\n" + rows)
    words = ("import", "--site", "lab", "--source", "scada", str(file), "--json")
    assert park(*words, "--dry-run").err == ""
    ours, theirs = pty.openpty()
    with ThreadPoolExecutor(1) as thread:  # a slow import says more than a terminal holds unread
        seen = thread.submit(_said_on, ours)
        ended = subprocess.run(
            park.command(*words),
            cwd=park.folder,
            env={**park.environ, "TERM": "xterm"},
            stdout=subprocess.PIPE,
            stderr=theirs,
            check=False,
        )
        os.close(theirs)
        assert "importing readings.csv" in seen.result().decode()
    os.close(ours)
    assert json.loads(ended.stdout)["new"] == 28 * 24


def _said_on(terminal: int) -> bytes:
    """Return what is written on a terminal until its last writer has gone."""
    pieces = []
    with suppress(OSError):  # Linux: nobody has it open any more
        while piece := os.read(terminal, 65_536):
            pieces.append(piece)
    return b"".join(pieces)


@long
def test_openapi_writes_the_description(truetonne: Program, tmp_path: Path) -> None:
    printed = truetonne("openapi").json()
    assert "/v1/credits" in printed["paths"]
    ended = truetonne("openapi", "-o", "api.json", "--json")
    assert ended.json() == {"file": "api.json", "paths": len(printed["paths"])}
    assert json.loads((tmp_path / "api.json").read_text()) == printed
    assert truetonne.files() == {"api.json"}
    unwritable = truetonne("openapi", "-o", "absent/api.json")
    assert unwritable.code == 2
    assert "absent/api.json: cannot be written (there is no folder absent)" in unwritable.one_line()


def test_every_module_with_commands_is_part_of_the_program() -> None:
    folder = Path(cli.__file__).parent
    found = {
        f"cli.{path.parent.name if path.name == '__init__.py' else path.stem}"
        for path in (*folder.glob("*.py"), *folder.glob("*/__init__.py"))
        if re.search(r"^def register\(root", path.read_text(), re.MULTILINE)
    }
    assert found == set(COMMANDS)


def test_every_module_adds_the_words_that_are_said_of_it() -> None:
    for words in COMMANDS.values():
        for word in words:
            shown = typer.main.get_command(build(word))
            assert set(shown.commands) == set(words)  # type: ignore[attr-defined]
    every = typer.main.get_command(build())
    assert set(every.commands) == {word for words in COMMANDS.values() for word in words}  # type: ignore[attr-defined]
    assert set(typer.main.get_command(build("nothing")).commands) == set(every.commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("db current", "db"),
        ("--json --traceback db --config x", "db"),
        ("--config db jobs run", "jobs"),
        ("--config=db jobs", "jobs"),
        ("--json --version", "--version"),
        ("--help db", None),
        ("--config", None),
        ("--colour db", None),
        ("-- db", None),
    ],
)
def test_the_command_is_found_before_it_is_imported(line: str, word: str | None) -> None:
    assert first_word(line.split()) == word


def imported(code: str, *names: str) -> str:
    """Run a program, and return which of some modules it has imported."""
    code = f"import sys; {code}; print(*(name for name in {names!r} if name in sys.modules))"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@long
def test_the_list_of_all_commands_imports_no_database() -> None:
    """Nor the API: a command imports what it works with when it is called."""
    code = "from cli.main import build; build()"
    assert imported(code, "typer") == "typer"
    assert imported(code, "sqlalchemy", "fastapi", "eth_account", "pyarrow") == ""


@long
def test_who_follows_a_chain_imports_nothing_that_signs() -> None:
    """Mirror and reading process start without what makes keys, grammars, other clients, answers and parks."""
    code = (
        "import cli.mirror, cli.mirror_open, cli.books, ledger.chain.access, indexer.loop;"
        "import ledger.chain.node.transports.http"
    )
    signing = "eth_account", "eth_keys", "coincurve", "eth_abi", "eth_utils", "rlp", "web3"
    others = "pydantic", "httpx", "ledger.sites", "ledger.park", "ledger.readings"
    assert imported(code, *signing, *others) == ""


def test_what_a_start_makes_is_looked_through_for_garbage_late_and_once() -> None:
    code = (
        "import gc; from cli.main import rare_collections; rare_collections(); "
        "first = gc.get_threshold()[0]; before = gc.get_stats()[0]['collections']; "
        "some = [[] for _ in range(100_000)]; then = gc.get_stats()[0]['collections']; "
        "more = [[] for _ in range(200_000)]; "
        "print(first, then - before, gc.get_threshold()[0], gc.get_freeze_count() > 150_000, gc.callbacks)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["210000", "0", "50000", "True", "[]"]


@long
@pytest.mark.parametrize(
    "tuned",
    [
        "from indexer.memory import few_collections as tuned",
        "from ledger.readings.imports.importing import _tuned as tuned",
    ],
)
def test_who_has_numbers_of_his_own_keeps_them_at_the_first_look(tuned: str) -> None:
    """And what a start is to have comes back after him."""
    code = (
        f"import gc; from cli.main import rare_collections; {tuned}; rare_collections()\n"
        "with tuned():\n"
        "    his = gc.get_threshold(); some = [[] for _ in range(260_000)]; kept = gc.get_threshold() == his\n"
        "after = gc.get_threshold()[0]; more = [[] for _ in range(260_000)]\n"
        "print(kept, after, gc.get_threshold()[0])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["True", "210000", "50000"]


@pytest.mark.parametrize(
    "words",
    rest(
        [["db", "--help"], ["db", "current"], ["credits", "list"], ["index", "status"]],
        ["credits", "list"],
    ),
)
def test_what_is_not_asked_for_is_not_imported(migrated: Program, words: list[str]) -> None:
    """Of those that ask the books each compares their revision, without what migrates them."""
    truetonne = migrated
    code = (
        f"import sys; from cli.main import run; run({words!r});"
        "print([name for name in ('fastapi', 'alembic', 'fpdf', 'apscheduler') if name in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=truetonne.folder,
        env=truetonne.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.splitlines()[-1] == "[]"


def test_the_words_of_an_option_are_those_of_the_books() -> None:
    root = typer.main.get_command(build())
    words = {p.name: p for p in root.commands["credits"].commands["list"].params}["status"]
    assert set(words.type_descriptor.choices) == {item.value for item in CreditStatus}
    words = {p.name: p for p in root.commands["trades"].commands["list"].params}["status"]
    assert set(words.type_descriptor.choices) == {item.value for item in TradeStatus}


TELLS = """
import sys
from cli import main
def work(words):
    main.Output(False).step("a step")
    main.Output(False).step("another")
    print("the work is done")
    return main._told(main.BadInput("as it was asked for"), main.Invocation(main.Output(False)))
main.run = work
main.main()
"""


@pytest.mark.parametrize("left", rest([True, False]))
def test_a_stderr_that_takes_nothing_ends_no_work_and_changes_no_code(left: bool) -> None:
    """A reader that left ended it with 0, in the midst of the work; a log on a full disk with 1."""
    reading, writing = os.pipe()
    os.close(reading)
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        ended = subprocess.run(
            [sys.executable, "-c", TELLS],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=writing if left else full,
            text=True,
            check=False,
        )
    finally:
        os.close(writing)
        os.close(full)
    assert (ended.returncode, ended.stdout) == (2, "the work is done\n")


@long
def test_no_room_is_no_defect_of_the_program(truetonne: Program) -> None:
    ended = in_shell(truetonne, "--help", ">/dev/full")
    assert ended.returncode == 3
    assert "takes no more (No space left on device)" in ended.stderr


def in_shell(truetonne: Program, words: str, closed: str) -> subprocess.CompletedProcess[str]:
    """Run the program from a shell that has closed some of its streams."""
    return subprocess.run(
        [
            "sh",
            "-c",
            f'exec "$0" -c "from cli.main import main; main()" {words} {closed}',
            sys.executable,
        ],
        cwd=truetonne.folder,
        env=truetonne.with_settings({}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@long
@pytest.mark.parametrize("json_words", rest(["", "--json"]))
def test_a_closed_stdout_is_one_line_and_no_traceback(truetonne: Program, json_words: str) -> None:
    ended = in_shell(truetonne, f"db current {json_words}", ">&-")
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr.startswith("error: stdout cannot be written (")
    assert len(ended.stderr.splitlines()) == 1


@long
def test_a_closed_stdin_or_stderr_changes_nothing(truetonne: Program) -> None:
    for closed in ("<&- 2>&-", "<&-", "2>&-")[: times(1, 3)]:
        ended = in_shell(truetonne, "db current --json", closed)
        assert ended.returncode == 1 and json.loads(ended.stdout)["revision"] is None
        assert ended.stderr == ""


@long
def test_an_error_never_moves_to_stdout(truetonne: Program) -> None:
    ended = in_shell(truetonne, "nothing", "2>&-")
    assert (ended.returncode, ended.stdout) == (2, "")


@long
def test_with_all_streams_closed_the_work_is_done(truetonne: Program) -> None:
    """No file of ours becomes stdout: what is printed there would stand in the midst of it."""
    assert in_shell(truetonne, "db upgrade", "<&- >&- 2>&-").returncode == 3
    assert truetonne("db", "current").code == 0


READERS = """
    verify certificate export openapi status doctor emissions
    jobs list; jobs history; reductions; reductions export; reductions verify; reductions corrections
    factors list; factors show; readings files; readings quality; readings gaps; readings show
    credits list; credits show; credits bundle; park kinds; park list; park show; park export; alerts list
    trades list; settle preview; settle status; index status; index verify; chain verify; chain intents; chain pending
    keys list; users; users list; apikey; apikey list; audit log; audit export; audit head; audit verify
    config list; config get
    db current; db orphans; db grants; db drill; db rejoin; db partitions show; db partitions check; db partitions read
    db keys status; db backups list; db backups check; db backups statements
    webhooks list; webhooks events; webhooks deliveries
"""
STAYING = "demo; up; serve; jobs run; index run; webhooks test"
"""What stays, or sends a message that changes nothing."""


def test_every_writer_takes_dry_run() -> None:
    """Whoever adds a command says here that it writes nothing, or gives it the option."""

    def walk(found: Any, path: str) -> Iterator[str]:
        inner = getattr(found, "commands", None)
        if (inner is None or found.invoke_without_command) and not any(
            "--dry-run" in parameter.opts for parameter in found.params
        ):
            yield path
        for name, each in (inner or {}).items():
            yield from walk(each, f"{path} {name}".strip())

    first, *others = READERS.strip().splitlines()
    named = {*first.split(), *(name.strip() for line in others for name in line.split(";"))}
    allowed = named | {name.strip() for name in STAYING.split(";")}
    without = set(walk(typer.main.get_command(build()), "")) - {""}
    assert {name for name in without if not name.startswith("bench ")} == allowed


JUDGED = """
    verify --chain-id; apikey create --days; db keys remove number
    credits list --limit; trades list --limit; credits bundle --readings
    credits transfer --amount; credits retire --amount; credits cancel --amount
    index verify --from; index verify --to; index verify --sample
"""
"""Numbers that no database is asked for, or that are looked at before."""


def test_a_number_that_a_database_is_asked_for_has_an_end() -> None:
    """One that no database holds was an internal error."""

    def walk(found: Any, path: str) -> Iterator[str]:
        for each in found.params:
            if each.bare_type() == "int" and getattr(each, "max", None) is None:
                yield f"{path} {each.opts[0]}"
        for name, inner in getattr(found, "commands", {}).items():
            yield from walk(inner, f"{path} {name}".strip())

    judged = {name.strip() for line in JUDGED.strip().splitlines() for name in line.split(";")}
    without = {name for name in walk(typer.main.get_command(build()), "")}
    assert {name for name in without if not name.startswith("bench ")} == judged


def piped(truetonne: Program, content: str, *words: str, read: bool = True) -> Ended:
    """Run the program with something in its stdin, and read what it says, or close that at once."""
    process = subprocess.Popen(
        truetonne.command(*words),
        cwd=truetonne.folder,
        env=truetonne.with_settings({}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin and process.stdout and process.stderr
    if not read:
        process.stdout.close()
        process.stdout = None
    out, err = process.communicate(content, timeout=60)
    return Ended(process.returncode, out or "", err)


@long
def test_trades_may_come_through_a_pipe(park: Program) -> None:
    """They were read twice, and empty the second time."""
    ended = piped(park, TRADES, "trades", "import", "/dev/stdin", "--json")
    assert (ended.code, ended.json()["new"]) == (0, 1), ended
    assert park("trades", "import", park.write("t.csv", TRADES), "--json").json()["unchanged"] == 1


@long
def test_an_error_that_nobody_reads_is_no_traceback(truetonne: Program) -> None:
    ended = piped(truetonne, "", "credits", "list", "--json", read=False)
    assert (ended.code, ended.err) == (3, "")  # the database has no tables


def test_the_title_of_a_narrow_table_is_one_line() -> None:
    shown = io.StringIO()
    title = "totals; the two methods of Scope 2 count the same energy and are never added"
    Output(False, shown).result({}, Table(("scope", "t"), [(2, "0.017117")], title=title))
    assert shown.getvalue().splitlines() == [title, "scope  t", "2      0.017117"]


def test_rows_for_a_pipe_stand_as_rich_would_draw_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are laid out without it: 85,158 credits took 36 s of CPU and 728 MB, and take a third of both."""
    columns, right = ("beneficiary", "数量", "kg"), frozenset({"kg"})
    words = (
        None,
        "绿色电力",
        "e\u0301e",
        "👩‍👩‍👧 three",
        "[bold]x[/]",
        ":smile:",
        "\x1b[2J",
        "a  b",
        "x" * 300,
    )
    rows = [(word, words[-number], 7**number) for number, word in enumerate(words)]
    drawn = RichTable(box=None, pad_edge=False)
    for name in columns:
        drawn.add_column(name, justify="right" if name in right else "left")
    for row in rows:
        drawn.add_row(*(RichText("" if cell is None else printable(str(cell))) for cell in row))
    console = Console(file=io.StringIO(), width=10_000, markup=False, emoji=False, highlight=False)
    with console.capture() as captured:
        console.print(drawn)
    shown = io.StringIO()
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "rich.table", None)  # cannot be imported
        Output(False, shown).result({}, Table(columns, rows, right=right))
    assert shown.getvalue().splitlines() == [line.rstrip() for line in captured.get().splitlines()]


class Terminal(io.StringIO):
    """A stream that is shown to a person."""

    def isatty(self) -> bool:
        return True


def test_a_narrow_terminal_folds_no_name_that_the_next_command_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At 100 signs the list of credits had `lhb-wind-2014-2-1-17945` above `5`, and nobody could copy it."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")
    name, long_hash = "lhb-wind-2014-2-1-179455", "0x" + "ab" * 32
    columns = ("credit", "tonnes", "status", "issued at", "transaction", "final")
    row = (name, "179.455", "active", "2026-12-01T14:32:36Z", long_hash, "yes")
    shown = Terminal()
    Output(False, shown).result({}, Table(columns, [row]))
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown.getvalue())
    assert name in plain and long_hash not in plain
    assert max(map(len, plain.splitlines())) == 100
    shown = Terminal()  # a first column that is as wide as the terminal is folded as any other
    Output(False, shown).result(
        {}, Table(("batch", "market"), [(long_hash + "cd", "example" * 10)])
    )
    assert long_hash not in shown.getvalue()
    shown = Terminal()  # nor does a long heading take the room of what stands beside it
    Output(False, shown).result({}, Table(("heading" * 20, "kg"), [("a", "17945")]))
    assert "17945" in shown.getvalue()


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_a_narrow_terminal_tears_no_number(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 80 signs the list of trades had `433.` above `990`, and a price of `0.0` above `312`."""
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    numbers = {"trade": "1", "quantity": "433.990", "price": "0.0312", "total": "1,013.54"}
    texts = {"market": "example-day-ahead", "time": "2014-01-01T00:00:00Z", "status": "executed"}
    texts |= {"vpp": "lhb-vpp", "of": "kWh", "batch": "finalized", "left out": "for want of funds"}
    row = (*numbers.values(), *texts.values())
    table = Table((*numbers, *texts), [row], right=frozenset(numbers))
    shown = Terminal()
    Output(False, shown).result({}, table)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown.getvalue()).splitlines()
    assert max(map(len, lines)) <= width
    assert set(numbers.values()) <= set(" ".join(lines).split())
    heads = "".join(lines[: next(n for n, line in enumerate(lines) if "─" in line)])
    letters = Counter(heads.replace(" ", ""))
    assert letters == Counter("".join(table.columns).replace(" ", ""))  # folded, and nothing lost


def test_where_no_number_has_room_it_is_folded_and_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("TERM", "xterm")
    shown = Terminal()
    numbers = [f"{number:020}" for number in range(3)]
    Output(False, shown).result({}, Table("abc", [numbers], right=frozenset("abc")))
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown.getvalue())
    assert Counter(plain)["0"] + 2 == 60


def test_lines_of_the_log_have_the_time_in_utc_and_are_lines() -> None:
    script = (
        "import logging, cli.service; cli.service.log_to_stderr(); "
        "logging.warning('said by %s', 'a node\\n2026-01-01 ERROR root: \\x1b[2J')"
    )
    before = datetime.now(UTC).replace(microsecond=0)
    ended = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "TZ": "Pacific/Kiritimati"},
        capture_output=True,
        text=True,
        check=True,
    )
    day, clock, *words = ended.stderr.split()
    at = datetime.fromisoformat(f"{day}T{clock.replace(',', '.')}+00:00")
    assert before <= at <= datetime.now(UTC)
    said = "said by a node 2026-01-01 ERROR root: \\x1b[2J"
    assert words == ["WARNING", "root:", *said.split()] and ended.stderr.count("\n") == 1


def test_what_a_stranger_wrote_moves_no_cursor_and_turns_no_line() -> None:
    """Not in lines, nor in JSON, which itself escapes only what is below a blank."""
    hostile = "a\x1b[2Jb\x9b1mc\u202ed\u2028e\x7f\U000e0041 é 汉字 \ud800 \udcff"
    tamed = "a\\x1b[2Jb\\x9b1mc\\x202ed\\x2028e\\x7f\\xe0041 é 汉字 \\xd800 \\xff"
    for as_json, said in ((False, f"one\n{tamed}\n"), (True, None)):
        shown = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="")
        Output(as_json, shown).result({"name": hostile}, f"one\n{hostile}")
        shown.seek(0)
        text = shown.read()
        assert text.replace("\n", "").isprintable()
        assert text == said if said else json.loads(text) == {"name": hostile}


class TellsAtItsEnd:
    """Tells the process to end while this is taken apart: there Python lets no error out."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.kill(os.getpid(), self.number)
        time.sleep(0)


def told(number: int, lost: bool, folder: Path) -> None:
    """Run a command that is told to end while it works in a temporary folder; a target for a process."""
    # Whoever runs the tests may have it ignored, as nohup does.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    streams = (folder / "out").open("w"), (folder / "err").open("w")
    sys.stdout, sys.stderr = streams
    sys.argv = ["truetonne", "work"]

    def work() -> None:
        with TemporaryDirectory(dir=folder, prefix="restored-"):
            try:
                if lost:
                    TellsAtItsEnd(number)
                else:
                    os.kill(os.getpid(), number)
                time.sleep(60)
            finally:
                os.kill(os.getpid(), number)  # a wrapper hands the same one on

    def build(_word: object) -> typer.Typer:
        program = typer.Typer()
        program.command("work")(work)
        program.callback()(lambda: None)
        return program

    cli.main.build = build
    cli.main.main()


def test_the_text_of_a_long_document_is_not_held_whole() -> None:
    """`credits list --json` of 85,000 credits took 200 MB more than its rows."""

    class Pieces(io.StringIO):
        encoding = "utf-8"
        longest = 0

        def write(self, text: str) -> int:
            self.longest = max(self.longest, len(text))
            return super().write(text)

    rows = [{"credit": f"汉字\x1b{number}", "kg": number, "of": None} for number in range(20_000)]
    out = Pieces()
    Output(True, out, io.StringIO()).result({"rows": rows})
    whole = out.getvalue()
    assert json.loads(whole) == {"rows": rows}
    assert whole == json.dumps({"rows": rows}, indent=2, ensure_ascii=False) + "\n"
    assert out.longest < len(whole) / 5


@few(1)
@pytest.mark.parametrize(
    ("number", "lost"), [*((number, False) for number in start.ENDING), (signal.SIGINT, True)]
)
def test_whoever_tells_a_command_to_end_interrupts_it(
    number: int, lost: bool, tmp_path: Path
) -> None:
    """SIGTERM and a lost terminal killed it: a drill left the restored database in a temporary folder.

    What came while an object was taken apart was a traceback, and the command went on.
    """
    process = FORKED.Process(target=told, args=(number, lost, tmp_path))
    process.start()
    process.join(60)
    assert process.exitcode == INTERRUPTED
    assert sorted(os.listdir(tmp_path)) == ["err", "out"]
    assert (tmp_path / "err").read_text() == "interrupted; what was committed stands\n"
    assert (tmp_path / "out").read_text() == ""


WHILE_IMPORTED = """
import os, signal, sys
from cli import start
class Finder:
    def find_spec(self, name, *_):
        if name == "cli.output":
            os.kill(os.getpid(), {number})
sys.meta_path.insert(0, Finder())
sys.argv[1:] = ["--json", "status"]
start.main()
"""


def started(script: str, number: int, truetonne: Program) -> subprocess.CompletedProcess[str]:
    """Run the program as a script starts it, which sends it a signal."""
    return subprocess.run(
        [sys.executable, "-c", script.format(number=int(number))],
        env=truetonne.environ,
        cwd=truetonne.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("number", rest(start.ENDING, signal.SIGINT))
def test_what_comes_while_the_program_is_imported_is_no_traceback(
    number: int, truetonne: Program
) -> None:
    ended = started(WHILE_IMPORTED, number, truetonne)
    assert (ended.returncode, ended.stderr) == (INTERRUPTED, "")
    assert json.loads(ended.stdout)["error"]["code"] == "interrupted"
    assert truetonne.files() == set()


IN_ITS_LAST_STEPS = """
import os, sys
from cli import start
class Last:
    def __del__(self, kill=os.kill, pid=os.getpid()):
        kill(pid, {number})
sys.last = Last()  # ends with the modules, when Python hears no signal any more
sys.argv[1:] = ["--version"]
start.main()
"""


@pytest.mark.parametrize("number", rest(start.ENDING, signal.SIGTERM))
def test_what_comes_when_all_is_said_changes_no_exit_code(number: int, truetonne: Program) -> None:
    ended = started(IN_ITS_LAST_STEPS, number, truetonne)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("truetonne ")


def ignoring(folder: Path) -> None:
    """Stay, as under ``nohup`` and a terminal that goes; a target for a process."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    start.note_interruptions()
    stop = service.stop_on_signal()
    os.kill(os.getpid(), signal.SIGHUP)
    (folder / ("ends" if stop.wait(0.2) else "stays")).touch()
    os._exit(0)


def test_nohup_keeps_a_command_from_a_lost_terminal(tmp_path: Path) -> None:
    process = FORKED.Process(target=ignoring, args=(tmp_path,))
    process.start()
    process.join(60)
    assert os.listdir(tmp_path) == ["stays"]


def ends_never() -> None:
    """Be told to end, and go on: as whoever waits for a node or a database that froze; a target for a process."""
    service.AGAIN_SECONDS = 0.2
    stop = service.stop_on_signal()
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)  # a wrapper hands the same one on
    assert stop.wait(10)
    time.sleep(0.25)
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
    os._exit(7)


def test_a_second_ctrl_c_ends_at_once() -> None:
    process = FORKED.Process(target=ends_never)
    process.start()
    process.join(60)
    assert process.exitcode == INTERRUPTED


def interrupted_as_it_waits() -> None:
    """Be told to end twice while the event's own lock is held; a target for a process."""
    stop = service.stop_on_signal()
    with stop._cond:  # as whoever waits for it, or sets it, holds it for some microseconds
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGHUP)
    os._exit(0 if stop.wait(10) else 7)


def test_a_signal_at_any_moment_ends_a_wait() -> None:
    process = FORKED.Process(target=interrupted_as_it_waits)
    process.start()
    process.join(20)
    try:
        assert process.exitcode == 0
    finally:
        process.kill()


def test_what_runs_beside_ends_also_where_the_rest_does_not_start() -> None:
    """Mirror and jobs went on without their node, and were cut off by the end of the process."""
    stop, ended = threading.Event(), []

    def work() -> None:
        stop.wait(60)
        ended.append(True)

    with (
        pytest.raises(OSError, match="no room"),
        service.beside(threading.Thread(target=work), stop),
    ):
        raise OSError("no room for the line that says where the API is")
    assert ended
