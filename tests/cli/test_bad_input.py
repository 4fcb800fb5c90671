"""Bad input: one clear line each, the right exit code, and nothing half-written."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from cli.doctor import _keys
from ledger.chain.local.anvil import free_port
from ledger.settings import load_settings
from tests.cli.conftest import READINGS, SITE, TRADES, Program, good
from tests.support.forms import few, long, rest

IMPORT = ("import", "--site", "lab", "--source", "scada")
DEPLOYMENT = {
    "network": "private",
    "chain_id": 424242,
    "genesis_hash": "0x" + "00" * 32,
    "deployed_block": 1,
    "contracts": {},
    "accounts": {},
    "class": {"id": 1, "code": "c"},
}


def rows(program: Program) -> str:
    """Return all that the database holds, as SQL."""
    (file,) = program.folder.glob(".truetonne/*.db")
    connection = sqlite3.connect(file)
    try:
        return "\n".join(connection.iterdump())
    finally:
        connection.close()


# ------------------------------------------------------------------------------- meter files


@few(4)
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (READINGS.replace("power", "watts"), r"readings\.csv: line 1 has no column 'power'"),
        (
            READINGS.replace("+01:00", ""),
            r"readings\.csv: line 2, column time: '2014-01-01T00:00:00' has no offset",
        ),
        ("", r"readings\.csv: the file is empty; it needs a header line"),
        ("\ufeff", r"readings\.csv: the file is empty"),
        ("time,power\n", r"readings\.csv: no row follows the header"),
        (READINGS.encode() + b"\xff\xfe,1\n", r"readings\.csv: .*not UTF-8"),
        (READINGS.encode("utf-16"), r"readings\.csv: "),
        (b"\x1f\x8b\x08broken", r"readings\.csv"),
    ],
)
def test_a_meter_file_that_cannot_be_used_is_refused_whole(
    park: Program, content: str | bytes, said: str
) -> None:
    before = rows(park)
    ended = park(*IMPORT, park.write("readings.csv", content))
    assert ended.code == 2
    assert re.search(said, ended.one_line())
    assert rows(park) == before


@pytest.mark.parametrize(
    ("words", "content"),
    [(IMPORT, READINGS), (("site", "apply"), SITE)],
)
def test_a_pipe_is_refused_where_a_file_is_read_twice(
    park: Program, words: tuple[str, ...], content: str
) -> None:
    """The second reading would find it empty, and say what is wrong with an empty file."""
    before = rows(park)
    pipe = park.folder / "pipe"
    os.mkfifo(pipe)
    end = os.open(pipe, os.O_RDWR)  # so that nobody has to wait for the other side
    try:
        os.write(end, content.encode())
        ended = park(*words, str(pipe))
    finally:
        os.close(end)
    assert ended.code == 2
    assert "a pipe or a device, which is not read; write it to a file first" in (ended.one_line())
    assert rows(park) == before


def test_rows_of_other_channels_are_told_and_are_not_rejected(park: Program) -> None:
    chosen = 'time_zone = "offset"\nonly = { OBIS = "1-1:2.29.0" }\n'
    site = park.write("channels.toml", SITE.replace('time_zone = "offset"\n', chosen))
    good(park("site", "apply", site))
    head, first, second = READINGS.splitlines()
    lines = (f"{head},OBIS", f"{first},1-1:2.29.0", f"{first},1-1:1.29.0", f"{second},1-1:1.29.0")
    file = park.write("ami.csv", "\n".join(lines) + "\n")
    ended = park(*IMPORT, file)
    assert ended.code == 0
    assert "1 read, 1 new, 0 unchanged, 0 conflicts, 0 rejected\n" in ended.out
    assert "  2 of other channels, passed over as `only` in [[source]] says\n" in ended.out
    assert good(park(*IMPORT, file, "--dry-run", "--json")).json()["passed_over"] == 2
    before = rows(park)
    park.write("ami.csv", "\n".join((lines[0], *lines[2:])) + "\n")
    refused = park(*IMPORT, file)
    assert refused.code == 2
    assert "ami.csv: no row has OBIS = '1-1:2.29.0': in OBIS stand '1-1:1.29.0'; correct only" in (
        refused.one_line()
    )
    assert rows(park) == before


def test_a_text_where_a_number_belongs_is_named_and_the_good_rows_are_kept(park: Program) -> None:
    file = park.write("readings.csv", READINGS + "2014-01-01T00:20:00+01:00,idle\n")
    ended = park(*IMPORT, file, "--json")
    assert ended.code == 1
    report = ended.json()
    assert (report["read"], report["new"], report["rejected"]) == (3, 2, 1)
    (error,) = report["errors"]
    assert (error["line"], error["column"]) == (4, "power")
    assert "'idle' is not a number" in error["message"]
    # The same file again, for a person: nothing is new, the bad row is named with its line.
    again = park(*IMPORT, file)
    assert again.code == 1
    assert "3 read, 0 new, 2 unchanged, 0 conflicts, 1 rejected" in again.out
    assert f"{file}: line 4, column power: 'idle' is not a number" in again.out
    # Where no column can be named, none is.
    wide = park(*IMPORT, park.write("wide.csv", READINGS + "2014-01-01T00:20:00+01:00,1,2\n"))
    assert f"{park.folder / 'wide.csv'}: line 4: 3 cells where the header has 2" in wide.out


def test_rows_that_contradict_are_named_with_both_values(park: Program) -> None:
    assert park(*IMPORT, park.write("contradicted.csv", READINGS)).code == 0
    other = READINGS.replace("600", "600.0").replace("1200.5", "1300")
    more = "".join(f"2014-01-02T00:00:00+01:00,{place}\n" for place in range(1, 24))
    file = park.write("contradicts.csv", other + more)
    tried = park(*IMPORT, file, "--dry-run")
    assert tried.code == 0
    said, head, first, second, *_, last, rest = tried.out.splitlines()[:23]
    assert (
        said == f"{file}: 25 read, 2 new, 0 unchanged, 23 conflicts, 0 rejected (nothing written)"
    )
    assert head == (
        "  23 rows contradict another value of their time; `truetonne readings show` says which counts:"
    )
    place = r"line 3 of \S+\.csv \(imported 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ\) says 1200\.5"
    stored = r"    line 3, device T1, 2014-01-01T00:10:00\+01:00: 1300; "
    assert re.fullmatch(stored + place, first)
    of_day = "device T1, 2014-01-02T00:00:00+01:00: "
    assert second == f"    line 5, {of_day}2; line 4 of this file says 1"
    assert last == f"    line 23, {of_day}20; line 4 of this file says 1"
    assert rest == "    and 3 more; `--json` names them"


def test_what_is_odd_about_the_times_of_a_file_is_said_in_the_zone_of_the_site(
    park: Program,
) -> None:
    times = [f"2014-01-05T{hour:02d}:00:00+01:00,1\n" for hour in (*range(10), 0)]
    ended = park(*IMPORT, park.write("hours.csv", "time,power\n" + "".join(times)))
    assert ended.code == 0
    assert ended.out.splitlines()[1:] == [
        "  1 time of a row goes back against the row before, or forward by more than a day:",
        "    line 12, device T1: 2014-01-05T09:00:00+01:00 to 2014-01-05T00:00:00+01:00",
        "  warning: rows of device T1 come every 60 minutes, the source says 10: what lies between them is "
        "missing, and power counts for 10 minutes alone",
    ]


def test_several_files_are_imported_one_by_one_and_a_refused_one_stops_no_other(
    park: Program,
) -> None:
    day = "2014-02-0{}T00:00:00+01:00,"
    first, last = (
        f"time,power\n{day.format(n)}1\n{day.format(n)}{more}\n" for n, more in ((1, 1), (2, "x"))
    )
    files = [
        park.write("1.csv", first), park.write("no.csv", "time;power\n1;2\n"), "gone.csv",
        park.write("2.csv", last),
    ]  # fmt: skip
    before = rows(park)
    tried = park(*IMPORT, *files, "--dry-run", "--json").json()
    assert rows(park) == before and tried["dry_run"] is True
    ended = park(*IMPORT, *files, "--json")
    assert (ended.code, tried) == (2, ended.json() | {"dry_run": True})
    found = ended.json()
    counts = [[item[name] for name in ("file", "new", "rejected")] for item in found["imports"]]
    assert [(Path(file).name, new, bad) for file, new, bad in counts] == [
        ("1.csv", 1, 0),
        ("2.csv", 1, 1),
    ]
    assert sorted(error["code"] for error in found["refused"]) == [
        "file-unreadable",
        "missing-column",
    ]
    again = park(*IMPORT, *files[:1], *files[3:])
    assert (again.code, len(again.out.splitlines())) == (
        1,
        3,
    )  # a line for each, one for the bad row
    # What is wrong with the command is wrong for all of them.
    wrong = park("import", "--site", "lab", "--source", "plc", *files[:1], *files[3:])
    assert (wrong.code, wrong.out) == (2, "") and "no source 'plc'" in wrong.one_line()


@long
def test_files_after_one_that_the_books_could_not_take_are_named(park: Program) -> None:
    """Of ten the first seven were told of, and nothing of the last three."""
    moments = [datetime(2014, 3, 1, tzinfo=UTC) + timedelta(minutes=10 * n) for n in range(40_000)]
    rows = [f"{moment:%Y-%m-%dT%H:%M:%SZ},1" for moment in moments]
    parts = [rows[:1], rows[1:-1], rows[-1:], rows[-1:]]
    files = [
        park.write(f"{n}.csv", "\n".join(["time,power", *part])) for n, part in enumerate(parts)
    ]
    (books,) = park.folder.glob(".truetonne/*.db")
    room = books.stat().st_size // 512 + 1000  # the disk is full then
    ended = subprocess.run(
        ["sh", "-c", f'ulimit -f {room}; exec "$@"', "-", *park.command(*IMPORT, *files, "--json")],
        cwd=park.folder,
        env=park.environ,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    found = json.loads(ended.stdout)
    assert ended.returncode == 3, found
    assert [item["file"] for item in found["imports"]] == [str(files[0])]
    assert ([each["code"] for each in found["refused"]], found["not_tried"]) == (
        ["database-down"],
        [str(file) for file in files[2:]],
    )


def test_a_byte_order_mark_is_no_part_of_the_first_column(park: Program) -> None:
    ended = park(*IMPORT, park.write("readings.csv", "\ufeff" + READINGS), "--json")
    assert ended.code == 0
    assert ended.json()["new"] == 2


def test_a_dry_run_writes_nothing(park: Program) -> None:
    before = rows(park)
    for words in (
        (*IMPORT, park.write("readings.csv", READINGS)),
        ("trades", "import", park.write("trades.csv", TRADES)),
        ("site", "apply", park.write("site.toml", SITE.replace('"Laboratory"', '"Works"'))),
        ("db", "upgrade"),
    ):
        ended = park(*words, "--dry-run", "--json")
        assert ended.code == 0, ended.err
        assert ended.json()["dry_run"] is True
    assert rows(park) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("import", "--site", "lob", "--source", "scada"), "no site 'lob'"),
        (("import", "--site", "lab", "--source", "plc"), "no source 'plc'; it has: scada"),
    ],
)
def test_a_site_or_a_source_that_is_not_there(
    park: Program, words: tuple[str, ...], said: str
) -> None:
    ended = park(*words, park.write("readings.csv", READINGS))
    assert ended.code == 2
    assert said in ended.one_line()
    absent = park(*IMPORT, "absent.csv")
    assert absent.code == 2
    assert "absent.csv: cannot be read (No such file or directory)" in absent.one_line()


# -------------------------------------------------------------------------------- site files


@few(5)
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('unit = "kW"', 'unit = "KW"', "line 34, [source]: unknown unit 'KW' for power; write kW"),
        ('unit = "kW"', 'unit = "kWh"', "unknown unit 'kWh' for power"),
        ('unit = "kW"\n', "", "[source]: 'unit' is missing; a unit has no default"),
        (
            "rated_kw",
            "rated_kv",
            "line 27, [device]: unknown key 'rated_kv'; did you mean 'rated_kw'?",
        ),
        ("[[vpp]]", "[[wpp]]", "wpp"),
        ('value = "0.4329"', "value = 0.4329", 'value must stand in quotes, as "0.4329"'),
        ('time_zone = "Europe/Paris"', 'time_zone = "Europe/Pariss"', "Europe/Pariss"),
        ('[site]\ncode = "lab"', "[site\ncode = 1", "line 1, column 6: not valid TOML"),
        ("0x1111111111111111111111111111111111111111", "0x11", "'0x11' is not an account"),
        ("0x1111111111111111111111111111111111111111", "anvil:11", "'anvil:11': Anvil's"),
    ],
)
def test_a_site_file_that_is_wrong_changes_nothing(
    migrated: Program, old: str, new: str, said: str
) -> None:
    before = rows(migrated)
    assert SITE.count(old) >= 1
    ended = migrated("site", "apply", migrated.write("site.toml", SITE.replace(old, new, 1)))
    assert ended.code == 2
    line = ended.one_line()
    assert said in line
    assert "site.toml" in line
    assert rows(migrated) == before


def test_well_known_accounts_are_for_the_local_chain_alone(park: Program) -> None:
    park.write("private.json", json.dumps(DEPLOYMENT))
    file = park.write("site.toml", SITE.replace("0x" + "1" * 40, "anvil:4"))
    ended = park("site", "apply", file, rpc_url="http://127.0.0.1:1", deployment="private.json")
    assert ended.code == 2
    assert "Anvil's accounts are public keys" in ended.one_line()
    ended = park("site", "apply", file, rpc_url="http://127.0.0.1:1", deployment="none.json")
    assert ended.code == 2
    assert "none.json, which says what chain this is, is not there" in ended.one_line()
    assert park("site", "apply", file).code == 0


def test_a_contract_of_ours_is_no_account(park: Program) -> None:
    """What a trade pays to the settlement itself lies in its books for ever."""
    settlement = "0x" + "7a" * 20
    hashes = ("salt", "init_code_hash", "code_hash", "source_hash", "tx_hash")
    contract = {"address": settlement, "constructor": {}, "block": 1}
    contract |= dict.fromkeys(hashes, "0x" + "00" * 32)
    park.write("private.json", json.dumps({**DEPLOYMENT, "contracts": {"VppSettlement": contract}}))
    file = park.write("site.toml", SITE.replace("0x" + "1" * 40, settlement))
    ended = park("site", "apply", file, rpc_url="http://127.0.0.1:1", deployment="private.json")
    assert ended.code == 2
    assert f"{settlement!r} is the contract VppSettlement itself" in ended.one_line()


# ------------------------------------------------------------------------------------ trades


@few(4)
@pytest.mark.parametrize(
    ("old", "new", "column", "said"),
    [
        ("0.0421", "cheap", "price", "'cheap' is not a number"),
        ("0.0421", "0.04211", "price", ""),
        ("42.10", "42.11", "total_value", ""),
        ("+01:00", "", "trade_time", "has no offset"),
        ("lab-vpp", "lob-vpp", "vpp", "unknown VPP 'lob-vpp'"),
        (",sell,1000", ",swap,1000", "trade_type", ""),
        (",spot,", ",market,", "market", ""),
    ],
)
def test_a_trade_that_is_wrong_is_named_by_line_and_column(
    park: Program, old: str, new: str, column: str, said: str
) -> None:
    before = rows(park)
    ended = park("trades", "import", park.write("trades.csv", TRADES.replace(old, new)), "--json")
    assert ended.code == 1
    (error,) = ended.json()["errors"]
    assert (error["line"], error["column"]) == (2, column)
    assert said in error["message"]
    assert rows(park) == before


@long
def test_a_trade_of_the_far_future_is_said(park: Program) -> None:
    far = park.write("far.csv", TRADES.replace("2014-01-01", "2099-01-01"))
    for words in (("--dry-run",), ()):
        ended = park("trades", "import", far, *words)
        assert ended.code == 0
        assert "  warning: 1 new trade more than 366 days ahead (line 2): " in ended.out
    near = park("trades", "import", park.write("trades.csv", TRADES))
    assert near.code == 0
    assert "warning" not in near.out
    odd = park.write("odd.csv", TRADES.replace("2014-01-01", "2098-01-01"))
    assert park("trades", "import", odd, "--json").json()["future"] == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "trades.csv: empty"),
        (TRADES.replace(",price", ""), "trades.csv: line 1: column 'price' is missing"),
        (b"\xff" + TRADES.encode(), "not UTF-8"),
        (
            TRADES.replace(",price", "," + "x" * 5_000),
            "column 'price' is missing; the file has vpp",
        ),
    ],
)
def test_a_trades_file_that_cannot_be_used_is_refused_whole(
    park: Program, content: str | bytes, said: str
) -> None:
    before = rows(park)
    ended = park("trades", "import", park.write("trades.csv", content))
    assert ended.code == 2
    assert said in ended.one_line() and len(ended.one_line()) < 1_000
    assert rows(park) == before


# ------------------------------------------------------------------- what does not answer


@few(4)
@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("db", "upgrade"),
        ("db", "current"),
        ("credits", "list"),
        ("credits", "show", "1"),
        ("index", "status"),
        ("settle", "status"),
        ("reductions", "--project", "p", "--from", "2014-01-01", "--to", "2014-02-01"),
        # Of a local chain a deployment file was said to be missing: its folder is named after the database.
        ("reconcile",),
        ("settle", "run"),
        ("index", "run", "--until", "head"),
    ],
)
def test_a_database_that_is_down(truetonne: Program, words: tuple[str, ...]) -> None:
    ended = truetonne(*words, database_url="mysql+pymysql://me:x@127.0.0.1:1/books")
    assert ended.code == 3
    assert "127.0.0.1" in ended.one_line()
    told = truetonne(*words, "--json", database_url="mysql+pymysql://me:x@127.0.0.1:1/books")
    assert told.json()["error"]["code"] == "database-down"


@pytest.mark.parametrize(
    ("content", "code"), [(b"this is no database" * 100, "database-down"), (b"", "schema-missing")]
)
def test_a_file_that_is_no_database(truetonne: Program, content: bytes, code: str) -> None:
    truetonne.write("books.db", content)
    ended = truetonne("status", "--json", database_url="sqlite:///books.db")
    assert ended.code == 3
    assert ended.json()["error"]["code"] == code


def test_a_database_without_tables(truetonne: Program) -> None:
    truetonne.write("readings.csv", READINGS)
    truetonne.write("trades.csv", TRADES)
    truetonne.write("site.toml", SITE)
    for words in (
        ("status",),
        ("credits", "list"),
        (*IMPORT, "readings.csv"),
        ("trades", "import", "trades.csv"),
    ):
        ended = truetonne(*words)
        assert ended.code == 3
        line = ended.one_line()
        assert "run `truetonne db upgrade`" in line
        # Called in another folder than the one of the books, it looked as if they were gone.
        assert f"(in {truetonne.folder}, where the command was called)" in line
    there = {"database_url": f"sqlite:///{truetonne.folder / 'none.db'}"}
    assert "called" not in truetonne("status", **there).one_line()


def test_the_first_site_makes_an_sqlite_database_that_is_not_there(truetonne: Program) -> None:
    truetonne.write("site.toml", SITE)
    first = good(truetonne("site", "apply", "site.toml", "--json")).json()
    assert first["database"].endswith(".truetonne/truetonne.db") and "site lab" in first["created"]
    again = good(truetonne("site", "apply", "site.toml", "--json")).json()
    assert again["created"] == again["updated"] == [] and "database" not in again
    assert good(truetonne("db", "current", "--json")).json()["current"]


@long
def test_a_site_file_that_is_refused_or_tried_makes_no_database(truetonne: Program) -> None:
    truetonne.write("other.toml", SITE.replace('factor = "CM"', 'factor = "none"'))
    assert truetonne("site", "apply", "other.toml").code == 2
    dry = good(truetonne("site", "apply", truetonne.write("site.toml", SITE), "--dry-run"))
    assert dry.out.startswith("created database sqlite:///")
    assert not (truetonne.folder / ".truetonne" / "truetonne.db").exists()
    first = good(truetonne("site", "apply", "site.toml", "--json")).json()
    assert first["created"] == [
        line.removeprefix("created ") for line in dry.out.splitlines()[1:-1]
    ]


@pytest.mark.parametrize(
    ("words", "content", "said"),
    [
        (("site", "apply"), None, "file: cannot be read (No such file or directory); name"),
        (("site", "apply"), "[site]\ncode = 'x' 'y'\n", "file: line 2, column 12: not valid TOML"),
        (("site", "apply"), SITE.replace("rated_kw", "rated_kv"), "line 27, [device]: unknown key"),
        (IMPORT, None, "file: cannot be read (No such file or directory); name"),
        (IMPORT, "", "the file is empty"),
        (("trades", "import"), None, "file: cannot be read (No such file or directory); name"),
        (("trades", "import"), TRADES.replace(",price", ""), "column 'price' is missing"),
    ],
)
def test_a_wrong_file_is_said_before_a_missing_database(
    truetonne: Program, words: tuple[str, ...], content: str | None, said: str
) -> None:
    if content is not None:
        truetonne.write("file", content)
    ended = truetonne(*words, "file")
    assert ended.code == 2
    assert said in ended.one_line()
    assert truetonne.files() == ({"file"} if content is not None else set())


@pytest.mark.parametrize("words", [("index", "run", "--until", "head"), ("reconcile",)])
def test_a_node_that_is_down(park: Program, words: tuple[str, ...]) -> None:
    park.write("private.json", json.dumps(DEPLOYMENT))
    before = rows(park)
    ended = park(*words, rpc_url="http://127.0.0.1:1", deployment="private.json")
    assert ended.code == 3
    assert "no node answers at http://127.0.0.1:1 (Connection refused); start it" in (
        ended.one_line()
    )
    assert rows(park) == before


@pytest.mark.parametrize(
    "words",
    [
        ("export", "credits"),
        ("park", "export", "devices"),
        ("audit", "export"),
        ("openapi",),
    ],
)
def test_a_file_in_a_folder_that_is_not_there(park: Program, words: tuple[str, ...]) -> None:
    ended = park(*words, "-o", "nodir/x.csv")
    assert ended.code == 2
    line = ended.one_line()
    assert (
        "nodir/x.csv: cannot be written (there is no folder nodir); name a file in a folder" in line
    )
    assert ".part" not in line


@pytest.mark.parametrize(
    "words",
    [
        ("settle", "preview", "--market", "caf\udce9"),
        ("park", "list", "devices", "--where", "type=caf\udce9"),
    ],
)
def test_words_that_are_no_text_are_refused(park: Program, words: tuple[str, ...]) -> None:
    """Python has a byte of Latin-1 as half a character: it was an internal error of whatever it met."""
    ended = park(*words)
    assert ended.code == 2
    assert r"caf\udce9' is not UTF-8; set the terminal" in ended.one_line()


@pytest.mark.parametrize("command", ["export credits", "audit export", "openapi"])
def test_a_dash_is_no_name_for_stdout(park: Program, command: str) -> None:
    """It wrote a file of that name, which the next `rm` or `cat` takes for an option or for stdin."""
    ended = park(*command.split(), "-o", "-")
    assert ended.code == 2
    assert "-: stdout is where this command's own answer goes; name a file" in ended.one_line()
    assert not (park.folder / "-").exists()


def test_a_dash_is_no_name_for_a_folder_either(park: Program) -> None:
    ended = park("db", "partitions", "archive", "--parquet", "-")
    assert ended.code == 2
    assert ended.one_line().endswith("own answer goes; name a folder")
    assert not (park.folder / "-").exists()


@pytest.mark.parametrize("command", rest(["up", "chain deploy", "demo"], "chain deploy"))
def test_a_home_that_cannot_be_made(truetonne: Program, command: str) -> None:
    """It was the system's words alone, and no setting to mend it by."""
    truetonne.write("file", "not a folder")
    ended = truetonne(*command.split(), home="file/home")
    assert ended.code == 2
    assert ended.one_line().endswith(
        "file/home: cannot be made (Not a directory); set TRUETONNE_HOME to a folder that you may write"
    )


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (("readings", "quality", "--site", "lab", "-o"), "readings quality"),
        (("certificate", "1", "--output"), "certificate"),
        (("--json", "credits", "list", "--config"), "credits list"),
        (("--config",), ""),
    ],
)
def test_an_option_without_its_value_names_whose_help_has_it(
    truetonne: Program, words: tuple[str, ...], path: str
) -> None:
    """What typer raises there does not say, and the help of all commands was named."""
    ended = truetonne(*words)
    assert ended.code == 2
    help_of = f"see `{' '.join(f'truetonne {path}'.split())} --help`"
    said = ended.json()["error"]["message"] if "--json" in words else ended.one_line()
    assert said.endswith(f"'{words[-1]}' requires an argument; {help_of}")


@pytest.mark.parametrize("words", [("index", "run", "--until", "head"), ("reconcile",)])
def test_nothing_deployed_yet(park: Program, words: tuple[str, ...]) -> None:
    ended = park(*words)
    assert ended.code == 2
    said = "no deployment file; run `truetonne up`, or `truetonne chain deploy` first"
    assert said in ended.one_line()
    assert not list(park.folder.glob("**/anvil.log")), "a node was started for nothing"


@few(2)
@pytest.mark.parametrize(
    "words",
    [
        ("index", "run", "--until", "head"),
        ("credits", "retire", "lab-2014-1", "--amount", "1", "--beneficiary", "b", "--reason", "r"),
        ("chain", "deploy"),
        ("up",),
        ("demo",),
    ],
)
def test_a_local_chain_that_stayed_behind(park: Program, words: tuple[str, ...]) -> None:
    """The books of a clone that was moved: their chain is in a folder of another name."""
    home = park.folder / ".truetonne"
    (home / "chain-0badcafe").mkdir()
    (home / "chain-0badcafe" / "deployment.json").write_text("{}")
    with sqlite3.connect(home / "truetonne.db") as link:
        link.execute(
            "INSERT INTO chain_cursor (network, chain_id, genesis_hash, block_number, block_hash, "
            "final_number, updated_at) VALUES ('local', 31337, ?, 7, ?, 5, '2026-01-01 00:00:00')",
            ("0x" + "1" * 64, "0x" + "2" * 64),
        )
    ended = park(*words, "--json", api_port=str(free_port()))
    assert ended.code == 2
    error = ended.json()["error"]
    assert error["code"] == "chain-moved"
    assert error["found"] == [".truetonne/chain-0badcafe"]
    assert f"rename .truetonne/chain-0badcafe to {Path(error['expected']).name}" in error["message"]
    assert not list(park.folder.glob("**/anvil.log")), "a node was started for nothing"
    status = park("index", "status")
    assert status.code == 0 and error["message"] in status.out
    assert "commands start it" not in status.out  # none does


def test_a_local_chain_whose_deployment_file_is_lost(park: Program) -> None:
    """It was said to be elsewhere, and to be thrown away, though all of it was there but this file."""
    home = park.folder / ".truetonne"
    with sqlite3.connect(home / "truetonne.db") as link:
        link.execute(
            "INSERT INTO chain_cursor (network, chain_id, genesis_hash, block_number, block_hash, "
            "final_number, updated_at) VALUES ('local', 31337, ?, 7, ?, 5, '2026-01-01 00:00:00')",
            ("0x" + "1" * 64, "0x" + "2" * 64),
        )
    moved = park("index", "run", "--until", "head", "--json").json()["error"]
    doctor = {item["name"]: item for item in park("doctor", "--json").json()["checks"]}
    assert doctor["deployment"]["verdict"] == "failed"
    assert doctor["deployment"]["mend"] == moved["message"].partition("; ")[2]
    assert "rename its old folder, chain-... to chain-" in doctor["deployment"]["mend"]
    folder = park.folder / moved["expected"]
    folder.mkdir()
    (folder / "state.json").write_text("{}")
    lost = park("index", "run", "--until", "head", "--json").json()["error"]
    assert (moved["code"], lost["code"]) == ("chain-moved", "not-deployed")
    assert "truetonne chain deploy" in lost["message"] and "fresh" not in lost["message"]


class _OtherChain(BaseHTTPRequestHandler):
    """A node of chain 1, as far as a client asks before it finds out."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        calls = asked if isinstance(asked, list) else [asked]
        answers = [
            {
                "jsonrpc": "2.0",
                "id": call["id"],
                "result": None if call["method"] == "eth_getBlockByNumber" else "0x1",
            }
            for call in calls
        ]
        body = json.dumps(answers if isinstance(asked, list) else answers[0]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def other_chain() -> Iterator[str]:
    """The address of a node of another chain."""
    server = HTTPServer(("127.0.0.1", 0), _OtherChain)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("words", [("index", "run", "--until", "head"), ("reconcile",)])
def test_a_wrong_chain_id(park: Program, other_chain: str, words: tuple[str, ...]) -> None:
    park.write("private.json", json.dumps(DEPLOYMENT))
    before = rows(park)
    ended = park(*words, "--json", rpc_url=other_chain, deployment="private.json")
    assert ended.code == 2
    error = ended.json()["error"]
    assert (error["code"], error["expected"], error["found"]) == ("wrong-chain", 424242, 1)
    assert rows(park) == before


# ------------------------------------------------------------------------------------- ports


@pytest.fixture
def taken() -> Iterator[str]:
    """A port of the loopback interface on which somebody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield str(listener.getsockname()[1])


@pytest.mark.parametrize("word", ["serve", "up"])
def test_a_port_in_use(truetonne: Program, taken: str, word: str) -> None:
    ended = truetonne(word, api_port=taken)
    assert ended.code == 2
    line = ended.one_line()
    assert f"port {taken}" in line
    assert "Address already in use" in line
    assert "TRUETONNE_API_PORT" in line  # a newcomer has set nothing yet
    assert not [name for name in truetonne.files() if name.endswith((".db", ".log"))]


def test_where_nothing_is_deployed_nothing_is_made(truetonne: Program) -> None:
    """A misspelt home got an empty database, which looked like one."""
    asked = (
        ("settle", "run"),
        ("settle", "cosign", "write", "-o", "orders"),
        ("index", "run", "--until", "head"),
    )
    for words in asked:
        ended = truetonne(*words, "--json")
        assert (ended.code, ended.json()["error"]["code"]) == (2, "not-deployed"), words
    assert not list(truetonne.folder.iterdir())


# ------------------------------------------------------------------------------------ doctor


def test_the_doctor_names_variables_that_are_no_settings(truetonne: Program) -> None:
    """Everybody else passes them over: a misspelt database_url was an empty SQLite file."""
    truetonne.environ |= {"TRUETONNE_DATABSE_URL": "x", "TRUETONNE_COLOUR": "1"}
    given = {"deploy_admin": "0x1", "deploy_isuer": "0x2"}
    ended = truetonne("doctor", "--json", **given, anvil="/bin/true")
    (check,) = (item for item in ended.json()["checks"] if item["name"] == "environment")
    assert (ended.code, check["ok"], check["mend"]) == (1, False, "correct or unset it")
    said = (
        "TRUETONNE_COLOUR, TRUETONNE_DATABSE_URL (is TRUETONNE_DATABASE_URL meant?), "
        "TRUETONNE_DEPLOY_ISUER (is TRUETONNE_DEPLOY_ISSUER meant?)"
    )
    assert check["found"] == f"no such setting: {said}"


def test_the_doctor_names_what_is_wrong_and_how_to_mend_it(
    truetonne: Program, other_chain: str, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "one.json").write_text("{}")
    (keys / "one.json").chmod(0o644)
    truetonne.write("password", "x").chmod(0o640)
    truetonne.write("private.json", json.dumps(DEPLOYMENT))
    ended = truetonne(
        "doctor",
        "--json",
        keystore="keys",
        keystore_password_file="password",
        rpc_url=other_chain,
        deployment="private.json",
    )
    assert ended.code == 1
    found = {check["name"]: check for check in ended.json()["checks"]}
    verdicts = {name: check["verdict"] for name, check in found.items()}
    assert verdicts == {
        "environment": "ok",
        "home": "ok",
        "job_schedules": "ok",
        "database": "ok",
        "schema": "failed",
        "backups": "skipped",
        "anvil": "skipped",
        "deployment": "ok",
        "node": "ok",
        "chain": "failed",
        "keystore": "failed",
        "keystore_password_file": "failed",
        "signer_url": "skipped",
    }
    assert found["keystore"]["mend"] == "chmod 600 keys/one.json"
    assert found["keystore_password_file"]["mend"] == "chmod 600 password"
    assert "db upgrade" in found["schema"]["mend"]
    assert "424242" in found["chain"]["found"]
    # Closed, and of another password than the files have: each command that sends ended so, and the doctor was content.
    (truetonne.folder / "password").chmod(0o600)
    given = {"keystore": str(keys), "keystore_password_file": str(truetonne.folder / "password")}
    settings = load_settings(
        None, {f"TRUETONNE_{key.upper()}": text for key, text in given.items()}
    )
    (check,) = (each for each in _keys(settings) if each.name == "keystore_password_file")
    assert (check.verdict.value, f"{keys}/one.json cannot be unlocked" in check.found) == (
        "failed",
        True,
    )
    assert check.mend == "correct the password, or take the file out of the folder"


def test_the_doctor_goes_on_where_no_place_can_be_looked_at(truetonne: Program) -> None:
    """It ended with `Permission denied` where the home is another's, as every command did, and with no mend."""
    home = "a" * 300  # no name of a file, also for root, who may look everywhere
    names = {"home": home, "keystore": f"{home}/keys", "anvil": "/bin/true"}
    ended = truetonne("doctor", "--json", **names)
    found = {check["name"]: check for check in ended.json()["checks"]}
    assert ended.code == 3
    assert found["home"]["found"] == f"{home}: File name too long"
    assert found["database"]["mend"] == "name a folder that can be written"
    assert "cannot be read (File name too long)" in found["deployment"]["found"]
    assert found["keys asked"]["verdict"] == "failed"
    mend = "cannot be made (File name too long); name a folder that can be written"
    for words in (("credits", "list"), ("db", "upgrade")):
        assert truetonne(*words, home=home).one_line() == f"error: {home}: {mend}"


def test_the_doctor_exits_3_when_something_is_down(park: Program) -> None:
    park.write("private.json", json.dumps(DEPLOYMENT))
    at = {"rpc_url": "http://127.0.0.1:1", "deployment": "private.json"}
    node = park("doctor", "--json", **at)
    assert node.code == 3
    database = park("doctor", database_url="mysql+pymysql://me:x@127.0.0.1:1/books")
    assert database.code == 3
    assert "start the server or correct TRUETONNE_DATABASE_URL" in database.out
    wrong = "mysql+pymysql://me:x@127.0.0.1:1/books?ssl_ca=/nothing"
    said = park("doctor", "--json", database_url=wrong, **at).json()
    found = {item["name"]: item["verdict"] for item in said["checks"]}
    assert (found["database"], found["deployment"]) == ("failed", "ok")  # each of its own


def test_the_doctor_goes_on_when_the_database_answers_half_of_what_it_is_asked(
    park: Program,
) -> None:
    (file,) = park.folder.glob(".truetonne/*.db")
    with sqlite3.connect(file) as link:
        link.execute("DROP TABLE held_leases")
    link.close()
    ended = park("doctor", "--json")
    found = {item["name"]: item for item in ended.json()["checks"]}
    assert ended.code == 3
    assert found["database"]["verdict"] == "ok"
    assert found["database asked"]["verdict"] == "down"
    assert "no such table: held_leases" in found["database asked"]["found"]
    assert found["signer_url"]["verdict"] == "skipped"


def test_a_local_node_that_hangs_is_not_said_to_sleep(park: Program) -> None:
    """Its process lives, as `node.json` names it, and nobody answers at its address."""
    found = {item["name"]: item for item in park("doctor", "--json").json()["checks"]}
    folder = park.folder / Path(found["deployment"]["found"].partition(": ")[0]).parent
    shutil.copy(shutil.which("sleep") or "", park.folder / "anvil")
    node = subprocess.Popen([park.folder / "anvil", "600"])
    try:
        note = {"rpc_url": "http://127.0.0.1:1", "node_pid": node.pid}
        folder.mkdir(exist_ok=True)
        (folder / "node.json").write_text(json.dumps(note))
        said = f"the node of the local chain (process {node.pid}) runs and does not answer"
        ended = park("doctor", "--json")
        (check,) = [item for item in ended.json()["checks"] if item["name"] == "node"]
        assert (ended.code, check["verdict"], check["found"]) == (3, "down", said)
        status = park("index", "status")
        assert status.code == 3 and said in status.out
    finally:
        node.kill()
        node.wait()
    assert "the local chain is not running" in park("index", "status").out


def test_the_doctor_gives_one_hint(truetonne: Program, park: Program) -> None:
    found = {item["name"]: item for item in park("doctor", "--json").json()["checks"]}
    deployment = found["deployment"]
    assert deployment["found"].endswith("deployment.json: no deployment file")
    assert deployment["mend"].startswith("run `truetonne up`")
    assert "demo" not in deployment["mend"]


def test_a_mirror_without_its_node(park: Program) -> None:
    asleep = park("index", "status")
    assert asleep.code == 0
    assert "the mirror has not begun" in asleep.out
    assert "the local chain is not running; commands start it when they need it" in asleep.out
    assert "head of the node" not in asleep.out  # no row without a value
    with sqlite3.connect(park.folder / ".truetonne" / "truetonne.db") as link:
        link.execute(
            "INSERT INTO chain_cursor (network, chain_id, genesis_hash, block_number, block_hash, "
            "final_number, updated_at) VALUES ('private', 1, ?, 7, ?, 5, '2026-01-01 00:00:00')",
            ("0x" + "1" * 64, "0x" + "2" * 64),
        )
    down = {"rpc_url": "http://127.0.0.1:1", "network": "private"}
    ended = park("index", "status", **down)
    assert ended.code == 3
    assert "no node answers at http://127.0.0.1:1" in ended.out
    told = park("index", "status", "--json", **down)
    assert told.code == 3
    document = told.json()
    assert (document["node"], document["block"], document["head"]) == ("down", 7, None)


def test_the_doctor_is_content_with_an_open_chain(park: Program) -> None:
    checks = {item["name"]: item["verdict"] for item in park("doctor", "--json").json()["checks"]}
    assert (checks["database"], checks["schema"], checks["home"]) == ("ok", "ok", "ok")
    assert checks["deployment"] == "failed"  # nothing is deployed in an empty folder


def test_a_network_that_the_deployment_file_does_not_name(truetonne: Program) -> None:
    """What is mirrored stands under the file's name, and is looked for under that of the setting."""
    truetonne.write("private.json", json.dumps(DEPLOYMENT))
    at = {"rpc_url": "http://127.0.0.1:1", "deployment": "private.json"}
    for network, verdict in (("elsewhere", "failed"), ("private", "ok"), ("", "ok")):
        ended = truetonne("doctor", "--json", **at, **({"network": network} if network else {}))
        (check,) = [item for item in ended.json()["checks"] if item["name"] == "deployment"]
        assert check["verdict"] == verdict
        assert ("set network to private" in check["mend"]) == (verdict == "failed")


@pytest.mark.parametrize("words", [("index", "run", "--until", "head"), ("reconcile",)])
def test_a_node_that_is_down_is_said_before_a_missing_deployment(
    park: Program, words: tuple[str, ...]
) -> None:
    ended = park(*words, rpc_url="http://127.0.0.1:1")
    assert ended.code == 3
    assert "http://127.0.0.1:1" in ended.one_line()


@few(3)
@pytest.mark.parametrize(
    "words", [("reductions", "--project", "lab-wind"), ("emissions", "--site", "lab")]
)
@pytest.mark.parametrize(
    "period",
    [("0001-01-01", "2014-02-01"), ("2014-01-01", "9999-12-31"), ("2106-01-01", "2106-01-02")],
)
def test_days_beyond_the_calendar_are_refused(
    park: Program, words: tuple[str, ...], period: tuple[str, str]
) -> None:
    ended = park(*words, "--from", period[0], "--to", period[1])
    assert ended.code == 2
    assert "must lie between 1970-01-02 and 2106-01-01" in ended.one_line()
