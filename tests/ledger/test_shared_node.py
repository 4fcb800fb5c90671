"""One local node for one database, whoever comes first: shared by processes, ended when unneeded."""

import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.chain.local import shared
from ledger.chain.local.anvil import KeptPort
from ledger.chain.local.shared import node_for, published_url
from ledger.chain.local.state import place_beside
from ledger.chain.node.client import ChainClient
from ledger.db import Database
from ledger.errors import BadInput, DependencyDown
from ledger.files import put
from ledger.models import ChainCursor
from ledger.settings import Settings, load_settings
from tests.support.answering import answering
from tests.support.forms import few, long
from tests.support.waiting import comes_true, runs

ROOT = Path(__file__).resolve().parents[2]

CHILD = """
import os, sys
from ledger.chain.node.client import ChainClient
from ledger.chain.local.shared import node_for
from ledger.settings import load_settings
with node_for(load_settings(None, os.environ)) as url:
    print(url, flush=True)
    client = ChainClient(url)
    for line in sys.stdin:
        client.request("anvil_mine", [hex(int(line))])
        print(client.block_number(), flush=True)
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(None, {"TRUETONNE_HOME": str(tmp_path)})


class Process:
    """Another process that holds a node."""

    def __init__(self, settings: Settings, script: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={**os.environ, "TRUETONNE_HOME": str(settings.home)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def mine(self, blocks: int) -> int:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{blocks}\n")
        self.process.stdin.flush()
        return int(self.read())

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()


@contextmanager
def another(settings: Settings, script: str = CHILD) -> Iterator[Process]:
    process = Process(settings, script)
    try:
        yield process
    finally:
        process.process.kill()
        process.process.wait()


def height(url: str) -> int:
    client = ChainClient(url)
    try:
        return client.block_number()
    finally:
        client.close()


def test_the_chain_goes_on_where_it_ended(settings: Settings) -> None:
    assert published_url(settings) == ""
    with node_for(settings) as url:
        assert comes_true(lambda: published_url(settings) == url)
        client = ChainClient(url)
        client.request("anvil_mine", [hex(7)])
        client.close()
    assert published_url(settings) == ""
    with node_for(settings) as url:
        assert height(url) == 7
    assert not list(settings.home.glob("*.db"))  # of books that are not there none are made


def test_a_node_of_the_settings_is_left_alone(settings: Settings) -> None:
    elsewhere = replace(settings, local_chain=False, rpc_url="http://127.0.0.1:1")
    with node_for(elsewhere) as url:
        assert url == "http://127.0.0.1:1"
    assert published_url(elsewhere) == "http://127.0.0.1:1"
    assert not settings.chain_folder.exists()


def test_two_processes_share_one_node(settings: Settings) -> None:
    with another(settings) as first:
        url = first.read()
        assert first.mine(3) == 3
        with another(settings) as second, node_for(settings) as ours:
            assert second.read() == url == ours
            assert second.mine(2) == 5
            assert first.mine(1) == 6
            second.end()
            assert second.process.wait(60) == 0
        assert first.mine(1) == 7  # a guest that leaves takes nothing with it
        first.end()
        assert first.process.wait(60) == 0
    assert published_url(settings) == ""


@long
def test_the_host_waits_for_its_guests(settings: Settings) -> None:
    with another(settings) as host:
        url = host.read()
        with another(settings) as guest:
            assert guest.read() == url
            host.end()
            assert comes_true(lambda: published_url(settings) == "")
            time.sleep(0.2)
            assert host.process.poll() is None
            assert guest.mine(4) == 4
            guest.end()
            assert guest.process.wait(60) == 0
            assert host.process.wait(60) == 0
    with node_for(settings) as again:
        assert height(again) == 4


def test_many_come_at_once_and_one_starts_it(settings: Settings) -> None:
    gate, done = threading.Barrier(5), threading.Barrier(5)
    urls: list[str] = []

    def come() -> None:
        gate.wait()
        with node_for(settings) as url:
            urls.append(url)
            done.wait(60)

    threads = [threading.Thread(target=come) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(urls) == 5
    assert len(set(urls)) == 1


@long
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_host_that_is_killed_is_followed_by_another_with_its_chain(settings: Settings) -> None:
    with another(settings) as host:
        url = host.read()
        assert host.mine(9) == 9
        pid = json.loads((settings.chain_folder / "node.json").read_text())["node_pid"]
        assert runs(pid)
        host.process.send_signal(signal.SIGKILL)
        host.process.wait()
        with node_for(settings) as again:  # at once: the old node may still be saving its state
            assert not runs(pid)
            assert again != url
            assert height(again) == 9


ENDING = """
import os, signal
from ledger.chain.local.anvil import LocalNode
def killed(node):
    os.kill(node.pid, signal.SIGSTOP)  # a long chain takes its time to be saved
    os.kill(os.getpid(), signal.SIGKILL)
LocalNode.stop = killed
"""


@long
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_host_that_is_killed_while_its_node_saves_loses_nothing(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing named the node any more: whoever came next began without what it saved."""
    with another(settings, ENDING + CHILD) as host:
        host.read()
        assert host.mine(9) == 9
        pid = json.loads((settings.chain_folder / "node.json").read_text())["node_pid"]
        host.end()
        assert host.process.wait(60) == -signal.SIGKILL
        going_on = threading.Timer(0.5, os.kill, (pid, signal.SIGCONT))
        going_on.start()
        with node_for(settings) as again:
            assert not runs(pid)
            assert height(again) == 9
        going_on.join()
    assert caplog.text == ""
    assert sorted(each.name for each in settings.chain_folder.glob("*.json")) == ["state.json"]


@long
def test_whoever_is_interrupted_while_the_node_starts_leaves_the_chain_as_it_was(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It was told of as a chain that could not be saved, by a full disk, and by the next start once more."""
    with node_for(settings):
        pass

    def interrupted(client: ChainClient) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ChainClient, "chain_id", interrupted)
        with pytest.raises(KeyboardInterrupt), node_for(settings):
            pass
    with node_for(settings) as url:
        assert height(url) == 0
    assert caplog.text == ""


@few(2)
@pytest.mark.parametrize(
    "note",
    ["", "[]", "{}", '{"rpc_url": "http://127.0.0.1:1"}', '{"node_pid": 1}', '{"node_pid": null}'],
)
def test_an_old_note_is_no_hindrance(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, note: str
) -> None:
    settings.chain_folder.mkdir(parents=True)
    (settings.chain_folder / "node.json").write_text(note)
    assert published_url(settings) == ""
    started = time.monotonic()
    monkeypatch.setattr("ledger.chain.local.shared._WAIT_SECONDS_MAX", 600)
    with node_for(settings) as url:
        assert height(url) == 0
    assert time.monotonic() - started < 60  # nobody waits for what is not there


@pytest.mark.parametrize("address", ["http://", "ws://[::1"])
def test_a_note_that_names_no_node(settings: Settings, address: str) -> None:
    settings.chain_folder.mkdir(parents=True)
    (settings.chain_folder / "node.json").write_text(json.dumps({"rpc_url": address}))
    assert published_url(settings) == ""


def test_the_port_of_a_node_that_was_killed_is_a_stranger_s_now(settings: Settings) -> None:
    """Who looked for the local chain was told that the node refused eth_chainId."""
    with answering(
        lambda _: (404, b'{"error": {"code": 404, "message": "no such path"}}')
    ) as other:
        settings.chain_folder.mkdir(parents=True)
        note = {"rpc_url": other.rpc_url, "node_pid": 1}
        (settings.chain_folder / "node.json").write_text(json.dumps(note))
        assert published_url(settings) == ""


def test_a_port_in_use_is_not_told_of_as_a_chain_that_could_not_be_saved(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.chain_folder.mkdir(parents=True)
    beside = place_beside(settings.chain_folder / "state.json")
    beside.touch()  # the node that ran last was killed
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(BadInput, match="is in use"), node_for(settings, other.getsockname()[1]):
            pass
    assert caplog.text == ""
    assert beside.exists()  # the next start is told all the same


@long
def test_a_port_in_use(settings: Settings) -> None:
    with another(settings) as host:
        port = int(host.read().rpartition(":")[2])
        other = replace(settings, chain_folder=settings.home / "other")
        with pytest.raises(BadInput, match=f"port {port} is in use"), node_for(other, port):
            pass
        assert published_url(other) == ""
        kept = KeptPort()
        with node_for(other, kept.number) as url:
            assert url == f"http://127.0.0.1:{kept.number}"


@long
def test_two_databases_have_two_chains(settings: Settings, tmp_path: Path) -> None:
    other = load_settings(
        None,
        {"TRUETONNE_HOME": str(tmp_path), "TRUETONNE_DATABASE_URL": f"sqlite:///{tmp_path}/b.db"},
    )
    with node_for(settings) as one, node_for(other) as two:
        assert one != two


@long
def test_state_that_was_lost_is_noticed(settings: Settings) -> None:
    with node_for(settings):
        pass
    (settings.chain_folder / "state.json").unlink()
    time.sleep(1.1)  # two chains that begin in one second begin alike
    with pytest.raises(DependencyDown) as caught, node_for(settings):
        pass
    assert caught.value.code == "chain-lost"


@pytest.fixture
def unsaved(settings: Settings) -> Settings:
    """Settings of a first chain that was killed before anything of it was saved; its contracts were deployed."""
    folder = settings.chain_folder
    with node_for(settings):
        os.kill(json.loads((folder / "node.json").read_text())["node_pid"], signal.SIGKILL)
    assert not (folder / "state.json").exists()
    (folder / "genesis").write_text(
        "0x" + "11" * 32
    )  # two chains that begin in one second begin alike
    (folder / "deployment.json").write_text("{}")
    return settings


@long
def test_a_first_chain_that_was_never_saved_is_begun_anew(unsaved: Settings) -> None:
    """A full disk or a kill in the first minute: no folder of that home could be used again."""
    folder = unsaved.chain_folder
    with node_for(unsaved) as url, closing(ChainClient(url)) as client:
        first = client.block(0)
        assert first is not None and (folder / "genesis").read_text() == first.hash
        assert not (folder / "deployment.json").exists()  # of contracts that are nowhere
    (folder / "genesis").write_text("")  # as a full disk left it
    with node_for(unsaved):
        assert (folder / "genesis").read_text() == first.hash


@long
def test_but_not_where_the_books_know_it(unsaved: Settings) -> None:
    with closing(Database(unsaved.database_url)) as db:
        db.upgrade()
        with db.write() as session:
            session.add(
                ChainCursor(
                    network=unsaved.network,
                    chain_id=31337,
                    genesis_hash="0x" + "11" * 32,
                    block_number=4,
                    block_hash="0x" + "12" * 32,
                    final_number=2,
                )
            )
    with pytest.raises(DependencyDown) as caught, node_for(unsaved):
        pass
    assert caught.value.code == "chain-lost"
    assert (unsaved.chain_folder / "deployment.json").exists()


@pytest.mark.parametrize("name", ["genesis", "node.json"])
def test_a_full_disk_is_told_of_and_leaves_no_half_of_a_note(
    name: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(part: Path, target: Path) -> None:
        if target.name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        put(part, target)

    monkeypatch.setattr(shared, "put", full)
    with pytest.raises(DependencyDown, match="No space left on device"), node_for(settings):
        pass
    assert not (settings.chain_folder / name).exists()
    monkeypatch.undo()
    with node_for(settings):
        assert (settings.chain_folder / name).read_text()


@long
def test_a_chain_that_goes_back_gets_higher_than_the_books(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """The mirror waits for a chain that is lower than what was final, and nobody makes blocks meanwhile."""
    with node_for(settings) as url:
        client = ChainClient(url)
        client.request("anvil_mine", [hex(3)])
        genesis, tip = client.blocks([0, 3])
        client.close()
    assert genesis is not None and tip is not None
    with node_for(settings):
        note = json.loads((settings.chain_folder / "node.json").read_text())
        os.kill(note["node_pid"], signal.SIGKILL)
    assert "as of" not in caplog.text
    db = Database(settings.database_url)
    db.upgrade()
    with db.write() as session:
        session.add(
            ChainCursor(
                network=settings.network,
                chain_id=31337,
                genesis_hash=genesis.hash,
                block_number=40,
                block_hash=tip.hash,
                final_number=38,
            )
        )
    with node_for(settings) as url:
        client = ChainClient(url)
        assert client.block_number() == 41
        same = client.block(3)
        assert same is not None and same.hash == tip.hash
        client.close()
    assert "it goes on as of" in caplog.text
    # Of another park's chain it says nothing: who works on it refuses it, and nothing is taken back for it.
    with db.write() as session:
        cursor = session.get_one(ChainCursor, settings.network)
        cursor.block_number, cursor.genesis_hash = 60, "0x" + "11" * 32
    with node_for(settings) as url, closing(ChainClient(url)) as client:
        assert client.block_number() == 41
    # An older state that somebody put there may be a mistake: nothing is taken back for it, unless one says so.
    with db.write() as session:
        session.get_one(ChainCursor, settings.network).genesis_hash = genesis.hash
    db.close()
    for _ in range(2):
        refused = "ends at block 41, and they have block 60; bring back the newest"
        with pytest.raises(DependencyDown, match=refused) as told, node_for(settings):
            pass
    Path(re.findall(r"make an empty file (\S+)", told.value.message)[0]).touch()
    with node_for(settings) as url:
        client = ChainClient(url)
        assert client.block_number() == 61
        client.close()
