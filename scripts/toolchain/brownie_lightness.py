"""Takes out of Brownie what costs more than the test that it surrounds, and changes nothing that a test sees.

Most of a contract test's time went into ``inspect.stack()``, which reads the source of every frame before each
snapshot, into requests whose answer nobody needs, and into the layers of an HTTP client on the way to a node of the
same machine: 436 tests took 60 s of a processor, and take 25.
"""

import sys
from copy import copy
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

_NOT_NEEDED = (
    "validation",  # asks for the chain's id before each request
    "gas_price_strategy",  # asks for price and block before each transaction; Brownie names a price itself
    "ens_name_to_address",  # no name service on a local chain
)


def lighten(brownie: Any) -> None:
    """Make a connected Brownie cheaper; once for each connection.

    Parameters
    ----------
    brownie
        The imported package.
    """
    for name in _NOT_NEEDED:
        brownie.web3.middleware_onion.remove(name)
    _post_directly(brownie.web3.provider)
    sys.modules["brownie.network.rpc"].inspect = SimpleNamespace(stack=_callers)  # type: ignore[attr-defined]
    sys.modules["brownie.network.state"].gc = SimpleNamespace(collect=lambda: 0)  # type: ignore[attr-defined]
    sys.modules["brownie.network.contract"].ContractContainer._revert = _forget_later  # type: ignore[attr-defined]


def read_trees_once() -> None:
    """Let the reader of syntax trees copy a node alone, not all below it at every level; before a compilation."""
    import solcast.nodes

    solcast.nodes.deepcopy = copy


def keep_no_deployments() -> None:
    """Keep Brownie from a list of deployments of its own, which is of one chain for each id; before it connects.

    It looks each of them up on the node, and ends where one is gone: on a chain that began anew, and beside another run
    on another local chain. What is deployed stands in the deployment file.
    """
    from brownie.network.contract import ProjectContract
    from brownie.project.main import Project

    Project._load_deployments = lambda _: None
    ProjectContract._deployment_path = lambda _: None


def _post_directly(provider: Any) -> None:
    """Send a provider's requests by urllib3, which its own client ends in: no proxy, no cookies, no redirection."""
    from urllib3 import HTTPConnectionPool

    node = urlsplit(provider.endpoint_uri)
    pool = HTTPConnectionPool(node.hostname, node.port, maxsize=10)
    headers = {"Content-Type": "application/json"}

    def post(_: str, body: bytes, **__: Any) -> bytes:
        answer = pool.urlopen("POST", node.path or "/", body, headers, retries=False)
        if answer.status != 200:
            raise ConnectionError(f"the node answered {answer.status}: {answer.data!r}")
        return answer.data

    provider._request_session_manager.make_post_request = post


def _callers() -> list[Any]:
    """Return what Brownie reads of ``inspect.stack()``: the function that asks, and who called it."""
    asking = sys._getframe(1)
    return [SimpleNamespace(frame=asking), SimpleNamespace(frame=asking.f_back)]


def _forget_later(container: Any, height: int) -> None:
    """Forget the contracts that a revert took away: the node is asked for those alone that no transaction dates."""
    from brownie import web3

    def is_gone(contract: Any) -> bool:
        block = contract.tx.block_number if contract.tx else None
        return not web3.eth.get_code(contract.address) if block is None else block > height

    for contract in [each for each in container._contracts if is_gone(each)]:
        container.remove(contract)
        contract._reverted = True
