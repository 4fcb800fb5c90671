"""How soon a block shows: from the moment that it is mined until the API answers with its last event.

Mirror and API are processes of their own, as ``truetonne index run`` and ``truetonne serve`` start them, on a
database that holds the whole chain before. The mirror asks the node over a WebSocket, where that announces blocks.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path

from eth_utils.crypto import keccak

from cli.bench.indexer import ours
from cli.bench.indexer.acts import MEMBERS, member_signers
from cli.bench.indexer.chain import FEE_WEI, PATIENCE_S, BenchChain, sending
from cli.bench.indexer.credits import SITES
from ledger.chain.contracts.events import CREDIT
from ledger.chain.contracts.wrappers import encode_call
from ledger.chain.local.anvil import free_port
from ledger.chain.node.client import ChainClient
from ledger.errors import DependencyDown

BATCHES_OF_ONE = 2
EVENTS_OF_ONE = 2 * BATCHES_OF_ONE
EVENTS = 1000
SENT = EVENTS // EVENTS_OF_ONE
"""Transactions of a block: each retires units of two batches, and leaves a burn and a retirement of both."""
POLL_S = 0.01
"""How often the API is asked: more often, and asking is what takes the machine's time."""
WAIT_S = 600.0
DETAILS = ("Muster GmbH, Berlin", "electricity, Scope 2", b"DE", 0, 0, bytes(32))


def visible_ms(
    chain: BenchChain, rpc_url: str, blocks: int, place: tuple[Path, str], shown: int
) -> list[Decimal]:
    """Return how long each block took, in milliseconds. The node's chain is longer afterwards.

    Parameters
    ----------
    place
        A folder for settings and logs, and the address of an empty database.
    shown
        So many blocks were measured on this node before.

    Raises
    ------
    DependencyDown
        If a block is not mined, or does not show.
    """
    client = ChainClient(rpc_url, timeout_s=PATIENCE_S)
    retired = chain.truth.by_name["Retired"] + shown * SENT * BATCHES_OF_ONE
    taken = []
    folder, url = place
    try:
        settings = ours.environment(chain, folder, rpc_url.replace("http://", "ws://"), url)
        ours.upgrade(url)
        with _serving(folder, settings) as (port, processes), _shown(port, processes) as api:
            api.wait_for(retired)
            client.request("evm_setAutomine", [False])
            for number in range(shown, shown + blocks):
                _send(client, chain, number)
                client.request("evm_mine")
                mined = time.perf_counter()
                retired += SENT * BATCHES_OF_ONE
                api.wait_for(retired)
                taken.append(time.perf_counter() - mined)
    finally:
        client.close()
    return [(Decimal(str(seconds)) * 1000).quantize(Decimal("0.1")) for seconds in taken]


class _Api:
    """The API, asked over one kept connection."""

    def __init__(self, port: int, processes: Mapping[Path, subprocess.Popen[bytes]]) -> None:
        self._processes = processes
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def wait_for(self, retirement_id: int) -> None:
        """Wait until a retirement shows.

        Raises
        ------
        DependencyDown
            If it does not, or the API answers something else than that there is none.
        """
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            for log, process in self._processes.items():
                if process.poll() is not None:
                    last = log.read_text(errors="replace").strip()[-500:]
                    raise DependencyDown(f"{log.stem} ended while blocks were mined: {last}")
            try:
                self._connection.request("GET", f"/v1/retirements/{retirement_id}")
                answer = self._connection.getresponse()
                said = answer.read()
            except (OSError, http.client.HTTPException):  # it is not up yet
                self._connection.close()
                time.sleep(0.1)
                continue
            if answer.status == 200:
                return
            if answer.status != 404:  # whoever is refused learns nothing of when it shows
                text = said.decode(errors="replace")[:500]
                raise DependencyDown(f"the API answers {answer.status} while it is polled: {text}")
            time.sleep(POLL_S)
        raise DependencyDown(f"retirement {retirement_id} does not show after {WAIT_S:.0f} s")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


@contextmanager
def _shown(port: int, processes: Mapping[Path, subprocess.Popen[bytes]]) -> Iterator[_Api]:
    with closing(_Api(port, processes)) as api:
        yield api


@contextmanager
def _serving(
    folder: Path, settings: dict[str, str]
) -> Iterator[tuple[int, Mapping[Path, subprocess.Popen[bytes]]]]:
    """Run mirror and API; give the API's port, and both processes by their logs.

    The API answers as often as it is asked: who waits for a long chain would else have no requests left in this
    minute, and hear of a block when the next one is free.
    """
    port = free_port()
    environment = settings | {"TRUETONNE_API_PORT": str(port), "TRUETONNE_RATE_LIMIT": "0"}
    processes: dict[Path, subprocess.Popen[bytes]] = {}
    try:
        for words in (("index", "run"), ("serve",)):
            log = folder / f"{words[0]}.log"
            with log.open("wb") as output:
                processes[log] = subprocess.Popen(
                    ours.product(*words), env=environment, stdout=output, stderr=output
                )
        yield port, processes
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _send(client: ChainClient, chain: BenchChain, number: int) -> None:
    """Send the transactions of a block; members hold what was issued to them at the start."""
    members = [signer.address for signer in member_signers()]
    nonces = dict(zip(members, _nonces(client, members), strict=True))
    credit = json.loads(chain.deployment.read_text(encoding="utf-8"))["contracts"][CREDIT][
        "address"
    ]
    calls = []
    for one in range(SENT):
        member = members[one % MEMBERS]
        batches = [_batch(one % MEMBERS + MEMBERS * turn) for turn in range(BATCHES_OF_ONE)]
        key = keccak(text=f"head {number} {one}")
        data = encode_call(CREDIT, "retireBatch", [key, batches, [1, 1], DETAILS])
        calls.append(sending(member, credit, data, nonces[member], FEE_WEI * 2 - one))
        nonces[member] += 1
    client.request_batch(calls)


def _nonces(client: ChainClient, members: Sequence[str]) -> list[int]:
    calls = [("eth_getTransactionCount", [member, "latest"]) for member in members]
    return [int(answer, 16) for answer in client.request_batch(calls)]


def _batch(issued: int) -> int:
    """Return the batch that the story issued as the so-manieth: to the members in turn."""
    return (issued % SITES + 1) << 32 | (issued // SITES + 1)
