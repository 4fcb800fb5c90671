"""Announcements of blocks: a subscription that is refused for a moment, one that no node of the kind takes."""

import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ledger.chain.node import heads as heads_module
from ledger.chain.node.heads import Heads
from ledger.chain.node.transports.base import Bounds
from ledger.chain.node.transports.errors import NodeDown
from ledger.chain.node.transports.ipc import IpcChannel, IpcTransport
from ledger.chain.node.transports.opening import open_transport
from tests.support.endpoints import Says, endpoint
from tests.support.forms import few, rest
from tests.support.waiting import comes_true

LIMIT = {"error": {"code": -32005, "message": "rate limit exceeded"}}
NONE = {"error": {"code": -32601, "message": "notifications not supported"}}
TAKEN = {"result": "0x1"}


@few(1)
@pytest.mark.parametrize("kind", rest(["ws", "ipc"]))
@pytest.mark.parametrize(
    ("first", "subscribed"),
    [(LIMIT, True), ({"result": None}, True), (None, True), (NONE, False)],
    ids=["limit", "nothing", "no JSON", "no such method"],
)
def test_a_subscription_that_is_refused_for_a_moment_is_asked_for_again(
    kind: str, first: dict[str, Any] | None, subscribed: bool, folder: Path
) -> None:
    """Without one the head is looked at ten times a second, which a paid node counts."""
    asked: list[bytes] = []

    def behave(body: bytes) -> Says:
        asked.append(body)
        answer = first if len(asked) == 1 else TAKEN
        if answer is None:
            return Says(b"subscribed")
        return Says(msgspec.json.encode({"jsonrpc": "2.0", "id": 1, **answer}))

    with endpoint(kind, behave, folder) as address:
        transport = open_transport(address)
        heads = Heads(transport, 0.1)
        heads.start()
        listens = heads._thread
        assert listens is not None
        assert comes_true(lambda: heads.subscribed or not listens.is_alive())
        found = heads.subscribed
        heads.close()
        transport.close()
    assert found == subscribed and len(asked) == 1 + subscribed


def test_a_node_that_is_away_for_a_day_is_listened_to_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After 1,024 tries in vain, eight hours, the pause was too long a number, and the listener ended by that."""
    monkeypatch.setattr(heads_module, "_AGAIN_S_MAX", 0.0)
    tries = []

    class Away(IpcTransport):
        def channel(self) -> IpcChannel:
            tries.append(1)
            if len(tries) <= 1_100:
                raise NodeDown("it is away")
            return super().channel()

    taken = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, **TAKEN})
    with endpoint("ipc", lambda _: Says(taken), folder) as address:
        transport = Away(address, Path(address.removeprefix("ipc://")), Bounds())
        heads = Heads(transport, 0.1)
        heads.start()
        found = comes_true(lambda: heads.subscribed)
        heads.close()
        transport.close()
    assert found


@pytest.mark.parametrize("kind", rest(["ws", "ipc"]))
def test_nobody_waits_for_a_node_that_freezes_while_it_is_listened_to(
    kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the connection and says nothing: to open one, or a subscription, may take as long as an answer."""
    monkeypatch.setattr(heads_module, "_END_S", 0.1)
    monkeypatch.setattr(heads_module, "_ANSWER_S", 60.0)
    family, place = {
        "ws": (socket.AF_INET, ("127.0.0.1", 0)),
        "ipc": (socket.AF_UNIX, str(folder / "frozen.ipc")),
    }[kind]
    with socket.socket(family) as frozen:
        frozen.bind(place)
        frozen.listen()
        address = f"ws://127.0.0.1:{frozen.getsockname()[1]}" if kind == "ws" else place
        transport = open_transport(str(address), Bounds(timeout_s=60.0))
        heads = Heads(transport, 0.1)
        heads.start()
        listens = heads._thread
        assert listens is not None
        with frozen.accept()[0] as connection:
            assert connection.recv(1)  # now an answer is waited for
            heads.close()
            assert listens.is_alive()  # who waits for the node outlasts it
            transport.close()
            assert not heads.subscribed
