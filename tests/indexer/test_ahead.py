"""The process that reads ahead: what comes of it, and what when it dies, or whoever ordered it."""

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest

from indexer import Indexer, TickReport, ahead, packing, patience, ranges
from indexer.ahead import ReadingProcess
from indexer.creditlog import CreditLog
from indexer.cursor import Cursor
from indexer.doubt import Doubt
from indexer.reading import RangeReading, Read
from ledger.chain.addresses.sighted import Sighting
from ledger.chain.node.client import ChainClient
from ledger.chain.node.lengths import Length
from ledger.db import Database
from tests.indexer.conftest import DEPTH
from tests.support.ahead import small
from tests.support.chain import TestChain
from tests.support.forms import few, long, rest
from tests.support.mirror import Dump, dump
from tests.support.proxy import LyingNode
from tests.support.waiting import runs, until

Fresh = Callable[..., Dump]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, Read | None]]:
    """Ranges are short, and each is waited for however long; return what the processes answered, with their numbers."""
    small(monkeypatch.setattr)
    monkeypatch.setattr(patience, "_LEAST_S", 600.0)
    monkeypatch.setattr(ahead, "PATIENCE_S", 600.0)
    found: list[tuple[int, Read | None]] = []
    true = ReadingProcess.answer

    def answer(self: ReadingProcess, wait_s: float) -> Read | None:
        read = true(self, wait_s)
        found.append((self.pid, read))
        return read

    monkeypatch.setattr(ReadingProcess, "answer", answer)
    return found


def _busy(chain: TestChain) -> None:
    for day in range(4):
        batch = chain.issue(1000, 1 + day)
        chain.transfer("owner", "buyer", batch, 100)
        chain.retire("buyer", batch, 10 + day)
        chain.retire("spare", batch, 1, must=False)


def _open_files() -> set[str]:
    """Return what is open, each by a name of its own: others may close theirs meanwhile."""
    found = set()
    for name in os.listdir("/dev/fd"):
        with suppress(OSError):
            found.add(os.readlink(f"/dev/fd/{name}"))
    return found


@long
@pytest.mark.parametrize("lacks", rest([[], ["trace_block", "eth_getBlockReceipts"]]))
def test_what_is_read_ahead_is_what_is_read_in_the_open(
    chain: TestChain,
    sqlite_db: Database,
    answers: list[tuple[int, Read | None]],
    fresh_dump: Fresh,
    monkeypatch: pytest.MonkeyPatch,
    lacks: list[str],
) -> None:
    _busy(chain)
    in_the_open, true = [], ranges.RangeReader._read_now

    def now(self: ranges.RangeReader, cursor: Cursor, *given: Any) -> Read:
        in_the_open.append(cursor.block_number)
        return true(self, cursor, *given)

    monkeypatch.setattr(ranges.RangeReader, "_read_now", now)
    with LyingNode(chain.rpc_url) as node:
        node.lacks = frozenset(lacks)
        Indexer(sqlite_db, ChainClient(node.rpc_url), chain.deployment, DEPTH).run_until("head")
    assert in_the_open == [chain.deployment.deployed_block - 1]  # the first range alone
    assert len(answers) > 2 and all(read is not None for _, read in answers)
    assert {pid for pid, _ in answers} == {answers[0][0]} and not runs(answers[0][0])
    monkeypatch.setattr(ranges, "AHEAD_BLOCKS_MIN", 10**9)
    count = len(answers)
    assert dump(sqlite_db) == fresh_dump()
    assert len(answers) == count, "the mirror to compare with was read in the open"


@pytest.mark.parametrize(
    ("otherwise", "reads"),
    [({}, 2), ({"open_hashes": frozenset({"0x" + "ab" * 32})}, 3), ({"parent_hash": "0x"}, 3)],
)
def test_what_follows_is_read_before_it_is_ordered(
    chain: TestChain, otherwise: dict[str, Any], reads: int
) -> None:
    """And once: unless it is ordered with something else in mind, or above another block."""
    _busy(chain)
    reading = RangeReading(chain.client, chain.deployment)
    done: list[Read | None] = []

    class Noted(RangeReading):
        def read(self, asked: Any, parent_hash: str, *given: Any) -> Read:
            try:
                done.append(reading.read(asked, parent_hash, *given))
            except Doubt:
                done.append(None)
                raise
            assert done[-1] is not None
            return done[-1]

    first = chain.deployment.deployed_block
    parent = chain.client.block(first - 1)
    assert parent is not None
    orders, served = Pipe()
    order = ahead.Order(
        first, first + 9, parent.hash, CreditLog(), frozenset(), first + 19, frozenset()
    )
    with ThreadPoolExecutor(1) as beside, orders, served:
        ending = beside.submit(ahead._serve, served, Noted(chain.client, chain.deployment))
        orders.send(order)
        read = packing.unpacked(orders.recv_bytes())
        until(lambda: len(done) == 2)
        following = replace(
            order,
            first=first + 10,
            last=first + 19,
            parent_hash=read.window.last.hash,
            log=read.log,
            then=0,
        )
        given = replace(following, **otherwise)
        orders.send(given)
        content = orders.recv_bytes()
        orders.close()
        with pytest.raises(EOFError):
            ending.result()
    assert len(done) == reads
    if given.parent_hash == following.parent_hash:
        asked = reading.ask(given.first, given.last)
        in_the_open = reading.read(asked, given.parent_hash, given.log, given.open_hashes)
        # Of another length: requests have numbers, which answers repeat.
        same = replace(in_the_open, length=packing.unpacked(content).length)
        assert content == packing.packed(same)
        assert len(same.window.events) == 10
    else:
        assert content == b""


@long
def test_memory_is_kept_until_the_last_range_is_written(
    chain: TestChain,
    sqlite_db: Database,
    answers: list[tuple[int, Read | None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _busy(chain)
    done: list[str] = []
    monkeypatch.setattr(ranges, "keep_what_is_freed", lambda: done.append("kept"))
    monkeypatch.setattr(ranges, "give_back", lambda: done.append("given back"))
    mirror = Indexer(sqlite_db, chain.client, chain.deployment, DEPTH)
    mirror.run_until("head", lambda _: done.append("written"))
    assert len(answers) > 2
    assert done == ["kept", *["written"] * done.count("written"), "given back"]


@long
def test_one_that_starts_is_not_waited_for(
    chain: TestChain,
    sqlite_db: Database,
    answers: list[tuple[int, Read | None]],
    fresh_dump: Fresh,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Ranges are read in the open until it says that it takes orders; then it has the rest."""
    _busy(chain)
    go_on = tmp_path / "go on"
    wait = f"import os, time\nwhile not os.path.exists({str(go_on)!r}): time.sleep(0.01)\n"
    monkeypatch.setattr(ahead, "_RUN", wait + ahead._RUN)
    monkeypatch.setattr(ranges, "_START_S", 0.0)
    ticks: list[TickReport] = []

    def on_tick(report: TickReport) -> None:
        ticks.append(report)
        if len(ticks) == 4:
            assert not answers
            go_on.touch()
            monkeypatch.setattr(ranges, "_START_S", 600.0)

    Indexer(sqlite_db, chain.client, chain.deployment, DEPTH).run_until("head", on_tick)
    assert len(answers) == len(ticks) - 5 and all(read is not None for _, read in answers)
    assert dump(sqlite_db) == fresh_dump()


def test_a_range_comes_through_the_connection_as_it_is(chain: TestChain) -> None:
    _busy(chain)
    reading = RangeReading(chain.client, chain.deployment)
    first = chain.deployment.deployed_block
    parent = chain.client.block(first - 1)
    assert parent is not None
    asked = reading.ask(first, chain.client.block_number())
    read = reading.read(asked, parent.hash, CreditLog(), ())
    seen = [Sighting(read.window.events.singles[0], "0x" + "12" * 20, "Contract", "0x" + "34" * 32)]
    read = replace(read, seen=seen)
    there = packing.unpacked(packing.packed(read))
    assert there.window.headers == read.window.headers
    assert there.window.transactions == read.window.transactions
    assert (there.log, there.length) == (read.log, read.length)
    mine, theirs = read.window.events, there.window.events
    assert (mine.logged, mine.many) == (theirs.logged, theirs.many)
    assert len(mine.many) == 2, "transfers and retirements"
    assert there.seen == [replace(seen[0], event=theirs.singles[0])]
    for here, over in zip(mine.singles, theirs.singles, strict=True):
        for name in ("contract", "name", "args", "record", "values"):
            assert getattr(here, name) == getattr(over, name)
        for name in ("address", "block_number", "block_hash", "tx_hash", "tx_index", "log_index"):
            assert getattr(here.log, name) == getattr(over.log, name)


@pytest.mark.parametrize("sign", rest([signal.SIGSTOP, signal.SIGKILL]))
def test_a_process_that_dies_or_hangs_is_done_without(
    chain: TestChain,
    sqlite_db: Database,
    answers: list[tuple[int, Read | None]],
    fresh_dump: Fresh,
    monkeypatch: pytest.MonkeyPatch,
    sign: signal.Signals,
) -> None:
    monkeypatch.setattr(patience, "_RESTS_FIRST", 1)
    struck: list[int] = []
    wait_s = property(lambda self: 600.0 if len(answers) >= 2 else 0.3)
    monkeypatch.setattr(patience.Patience, "wait_s", wait_s)
    true = ReadingProcess.order

    def order(self: ReadingProcess, what: ahead.Order) -> None:
        if len(struck) < 2:
            os.kill(self.pid, sign)
            struck.append(self.pid)
        true(self, what)

    monkeypatch.setattr(ReadingProcess, "order", order)
    _busy(chain)
    Indexer(sqlite_db, chain.client, chain.deployment, DEPTH).run_until("head")
    assert [pid for pid, read in answers if read is None][:2] == struck
    assert answers[-1][1] is not None, "after some ranges there is another process, and it lives"
    assert all(not runs(pid) for pid, _ in answers)
    assert dump(sqlite_db) == fresh_dump()


@long
@few(1)
@pytest.mark.parametrize(
    ("executable", "program"),
    rest(
        [
            ("/nowhere/python", ""),
            (sys.executable, "raise SystemExit"),
            (sys.executable, "import time; time.sleep(600)"),
        ],
        ("/nowhere/python", ""),
        (sys.executable, "raise SystemExit"),
    ),
    ids=["none begins", "each dies", "none is ever ready"],
)
def test_where_no_process_can_live_all_is_read_in_the_open(
    chain: TestChain,
    sqlite_db: Database,
    answers: list[tuple[int, Read | None]],
    fresh_dump: Fresh,
    monkeypatch: pytest.MonkeyPatch,
    executable: str,
    program: str,
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    monkeypatch.setattr(ahead, "_RUN", program)
    monkeypatch.setattr(ranges, "_START_S", 0.2)
    monkeypatch.setattr(ranges, "_START_MAX_S", 0.1)
    monkeypatch.setattr(patience, "_RESTS_FIRST", 1)
    ticks: list[TickReport] = []
    tried: list[int] = []
    true = ranges.RangeReader._done_without

    def done_without(self: ranges.RangeReader) -> None:
        tried.append(len(ticks) + 1)
        true(self)

    monkeypatch.setattr(ranges.RangeReader, "_done_without", done_without)
    _busy(chain)
    Indexer(sqlite_db, chain.client, chain.deployment, DEPTH).run_until("head", ticks.append)
    # There is none beside the first range, nor the next; then it is tried after two in the open, four, eight.
    assert tried == [number for number in (1, 2, 4, 8, 16) if number < len(ticks)]
    assert len(tried) >= 2 and not answers
    assert dump(sqlite_db) == fresh_dump()


@long
def test_a_reorganisation_between_reading_and_writing(
    chain: TestChain,
    sqlite_db: Database,
    answers: list[tuple[int, Read | None]],
    fresh_dump: Fresh,
) -> None:
    """What was read of the old chain is not written, and what was written of it is taken back."""
    _busy(chain)
    turned: list[TickReport] = []

    def on_tick(report: TickReport) -> None:
        if len(answers) >= 2 and report.tip >= chain.loaded_up_to and not turned:
            turned.append(report)
            chain.reorganise(chain.client.block_number() - report.tip + 1)

    mirror = Indexer(sqlite_db, chain.client, chain.deployment, DEPTH)
    report = mirror.run_until("head", on_tick=on_tick)
    assert turned and turned[0].tip < report.tip == chain.client.block_number()
    assert dump(sqlite_db) == fresh_dump()


_STUCK = {
    "in the middle of its answer": (
        "import os, sys, time; os.write(int(sys.argv[1]), b'\\0\\1\\0\\0half'); time.sleep(600)"
    ),
    "before it takes an order": "import time; time.sleep(600)",
}


@few(1)
@pytest.mark.parametrize("program", _STUCK.values(), ids=_STUCK)
def test_one_that_stops_while_it_is_spoken_with_is_not_waited_for(
    chain: TestChain, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setattr(ahead, "PATIENCE_S", 0.3)
    monkeypatch.setattr(ahead, "_RUN", program)
    before = _open_files()
    process = ReadingProcess(RangeReading(chain.client, chain.deployment))
    longer_than_what_a_connection_holds = frozenset(f"0x{number:064x}" for number in range(20_000))
    process.order(
        ahead.Order(1, 2, "0x", CreditLog(), longer_than_what_a_connection_holds, 0, frozenset())
    )
    assert process.answer(0.3) is None and process.ended
    process.close()
    assert not runs(process.pid) and not _open_files() - before


@long
def test_without_a_connection_to_spare_all_is_read_in_the_open(
    chain: TestChain, sqlite_db: Database, answers: list[tuple[int, Read | None]]
) -> None:
    def none_left() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    _busy(chain)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ahead, "_connected", none_left)
        report = Indexer(sqlite_db, chain.client, chain.deployment, DEPTH).run_until("head")
    assert not answers and report.tip == chain.client.block_number()


@long
def test_without_a_thread_to_spare_all_is_read_in_the_open(
    chain: TestChain, sqlite_db: Database, answers: list[tuple[int, Read | None]]
) -> None:
    true = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name.startswith("taking-in"):
            raise RuntimeError("can't start new thread")
        true(thread)

    _busy(chain)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        Indexer(sqlite_db, chain.client, chain.deployment, DEPTH).run_until("head")
    assert answers and {read for _, read in answers} == {None}


@long
def test_it_runs_no_module_of_the_folder_that_the_mirror_stands_in(
    chain: TestChain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("msgspec", "indexer", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text(f"open({name!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))  # what we were started without
    first = chain.deployment.deployed_block
    parent = chain.client.block(first - 1)
    assert parent is not None
    process = ReadingProcess(RangeReading(chain.client, chain.deployment))
    try:
        assert process.ready(600)
        process.order(
            ahead.Order(first, first, parent.hash, CreditLog(), frozenset(), 0, frozenset())
        )
        assert process.answer(600) is not None
    finally:
        process.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "indexer.py",
        "msgspec.py",
        "sitecustomize.py",
    ]


def test_how_long_it_is_waited_for_and_when_there_is_another() -> None:
    """A process that hangs costs ten ranges' time, five seconds at least; then it goes on without one for a while."""
    known = patience.Patience()
    assert (known.wait_s, known.may_begin) == (5.0, True)
    known.read_in_the_open(3.0)
    assert known.wait_s == 30.0
    known.answered(0.1)
    assert known.wait_s == pytest.approx(27.0)  # a long range is forgotten in time
    for _ in range(50):
        known.answered(0.1)
    assert known.wait_s == 5.0
    for ranges_in_the_open in (8, 16, 32, 64, 128, 256, 256):
        known.died()
        for _ in range(ranges_in_the_open):
            assert not known.may_begin
            known.read_in_the_open(0.1)
        assert known.may_begin
    known.answered(0.1)
    known.died()
    for _ in range(8):
        known.read_in_the_open(0.1)
    assert known.may_begin


def test_how_long_ranges_are() -> None:
    """Twice as long while they bring little, never longer than is set; after a refusal half, for fifty ranges."""

    def was(blocks: int, load: float = 0) -> int:
        length.was(blocks, load)
        return length.blocks

    length = Length(100, 32)
    assert [length.blocks, was(32), was(64), was(100), was(100)] == [32, 64, 100, 100, 100]
    assert was(100, load=2) == 50
    length.refused(50)
    assert [was(25) for _ in range(50)] == [25] * 49 + [50]
    assert [was(length.blocks) for _ in range(100)][-1] == 100


_ORDERS = """
import sys, time
from pathlib import Path
from indexer.ahead import ReadingProcess
from indexer.reading import RangeReading
from ledger.chain.addresses.book import Deployment
from ledger.chain.node.client import ChainClient
made = ReadingProcess(RangeReading(ChainClient(sys.argv[1]), Deployment.load(Path(sys.argv[2]))))
print(made.pid, flush=True)
time.sleep(600)
"""


@long
def test_nothing_is_left_of_one_whose_mirror_was_killed(chain: TestChain, tmp_path: Path) -> None:
    file = tmp_path / "deployment.json"
    file.write_text(chain.deployment_text(), encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-c", _ORDERS, chain.rpc_url, str(file)], stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert runs(pid)
    finally:
        process.kill()
        process.communicate()
    until(lambda: not runs(pid))


def test_it_gets_no_setting_of_ours(chain: TestChain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUETONNE_DATABASE_URL", "mysql+pymysql://books:secret@127.0.0.1/books")
    process = ReadingProcess(RangeReading(chain.client, chain.deployment))
    try:
        there = Path(f"/proc/{process.pid}/environ")
        if there.exists():
            assert b"TRUETONNE_" not in there.read_bytes()
    finally:
        process.close()
    assert not runs(process.pid)


@long
def test_it_ends_when_the_mirror_is_told_to(
    chain: TestChain, sqlite_db: Database, answers: list[tuple[int, Read | None]]
) -> None:
    _busy(chain)
    stop = threading.Event()

    def on_tick(report: TickReport) -> None:
        if answers:
            stop.set()

    Indexer(sqlite_db, chain.client, chain.deployment, DEPTH).follow(stop, on_tick=on_tick)
    assert answers and all(not runs(pid) for pid, _ in answers)
