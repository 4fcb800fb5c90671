"""A node that one test after another uses, each from the same beginning.

To start an Anvil takes a fifth of a second, half of it of a processor; to go back takes five thousandths. A snapshot
holds accounts and blocks; clock, pool, fee and mining are set anew.
"""

import atexit
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from copy import deepcopy
from typing import Any

from ledger.chain.node.client import ChainClient
from ledger.errors import TruetonneError
from tests.support.chain import TestChain, until_mined

BLOCKS = 300
"""How many a node mines before another is started, those counted that a test took back: Anvil keeps the state of each,
and drops the oldest, which are those of the beginning."""


class KeptNode:
    """Lends the node that ``start`` opens to one test at a time; who needs a second one meanwhile gets a new one."""

    def __init__(
        self, start: Callable[[], AbstractContextManager[TestChain]], blocks: int = BLOCKS
    ) -> None:
        self._start = start
        self._blocks = blocks
        self._stack = ExitStack()
        self._node: _Node | None = None
        self._lent = False
        atexit.register(self.close)

    def close(self) -> None:
        """End the node; the next test gets a new one."""
        self._node = None
        self._stack.close()

    @contextmanager
    def lent(self) -> Iterator[TestChain]:
        """Lend the node, at its beginning and at the time that it is now."""
        if self._lent:
            with self._start() as chain:
                yield chain
            return
        self._lent = True
        try:
            node = self._node or _Node(self._stack.enter_context(self._start()))
            self._node = node
            node.begin()
            with closing(ChainClient(node.chain.client.rpc_url)) as client:
                # Each with records of its own: tests change what stands where.
                yield TestChain(
                    client,
                    deepcopy(node.chain.deployment),
                    loaded_up_to=node.chain.loaded_up_to,
                    http=node.chain.http,
                )
            if not node.goes_back(self._blocks):
                self.close()
        except BaseException:  # whatever a failing test left
            self.close()
            raise
        finally:
            self._lent = False


class _Node:
    def __init__(self, chain: TestChain) -> None:
        self.chain = chain
        self._mined = 0
        self._head = self._block("latest")
        self._fee = self._block("pending")["baseFeePerGas"]

    def begin(self) -> None:
        self._snapshot = self._ask("evm_snapshot")
        self._filter = self._ask("eth_newBlockFilter")
        self._ask("evm_setTime", hex(int(time.time())))

    def goes_back(self, blocks: int) -> bool:
        """Go back to the beginning; return whether another test may begin there, after fewer than ``blocks`` blocks."""
        try:
            # Anvil forgets a filter after five minutes, and refuses: after so long a test another node is started.
            self._mined += len(self._ask("eth_getFilterChanges", self._filter))
            self._ask("eth_uninstallFilter", self._filter)
            until_mined(self.chain.client)  # or it would come on top of the beginning
            self._ask("evm_setIntervalMining", 0)
            self._ask("anvil_dropAllTransactions")  # before they could be mined behind our back
            self._ask("evm_setAutomine", True)
            self._ask("evm_revert", self._snapshot)
            self._ask("anvil_setNextBlockBaseFeePerGas", self._fee)
            return self._mined < blocks and self._block("latest") == self._head
        except TruetonneError:
            return False

    def _block(self, tag: str) -> dict[str, Any]:
        block: dict[str, Any] = self._ask("eth_getBlockByNumber", tag, False)
        return block

    def _ask(self, method: str, *arguments: Any) -> Any:
        return self.chain.client.request(method, list(arguments))
