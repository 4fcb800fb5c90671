"""What nodes and chains differ in that a deployment meets: their rules, the CREATE2 factory."""

import time
from collections.abc import Callable
from typing import Any

from eth_utils.crypto import keccak
from web3.exceptions import TimeExhausted

from ledger.chain.node.refusals import is_revert, told
from ledger.errors import DependencyDown
from scripts import create2
from scripts.deploy_plan import Plan
from scripts.toolchain.brownie_sending import RESEND_S

FACTORY_SIGNER = "0x3fAB184622Dc19b6109349B94811493BF2a45362"
"""Who deploys the factory, the same on every chain. Nobody has the key: the signature was made up, and the account
follows from it."""
FACTORY_WEI = 10**16
"""What its transaction may cost: 100,000 gas at 100 gwei."""
FACTORY_TRANSACTION = (
    "0xf8a58085174876e800830186a08080b853604580600e600039806000f350fe7fffffffffffffffffffffffffffffffffffffffffffffffff"
    "ffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf31ba02222222222222222222222"
    "222222222222222222222222222222222222222222a02222222222222222222222222222222222222222222222222222222222222222"
)
"""As published with it; it holds on every chain."""
_RECEIPT_S = 180.0
_OLD_RULES = "0x60006000f3"
"""Returns nothing, by instructions that every chain has."""
_NEW_RULES = "0x5f5f5f5e5f5f5d5f5ff3"
"""The same after MCOPY and TSTORE of nothing: instructions of Cancun, which the compiler uses for Prague."""


class Reverted(DependencyDown):
    """A call reverted: the node was well."""


def asking(web3: Any) -> Callable[[str, list[Any]], Any]:
    """Return what asks a node by method and parameters; a refusal of the node is a ``DependencyDown``."""

    def request(method: str, parameters: list[Any]) -> Any:
        answer = web3.provider.make_request(method, parameters)
        if "error" in answer:
            error = answer["error"]
            code, said = told(error)
            reverted = is_revert(code, said, error.get("data"))
            raise (Reverted if reverted else DependencyDown)(f"the node refused {method}: {said}")
        return answer["result"]

    return request


def check_rules(web3: Any) -> None:
    """Refuse a chain whose rules are older than those that the contracts are compiled for. Sends nothing.

    Raises
    ------
    DependencyDown
        If it runs a plain constructor, and none with the newer instructions: the contracts would stand there, and
        fail.
    """
    refused = _refused(web3, _NEW_RULES)
    if refused is not None and _refused(web3, _OLD_RULES) is None:
        raise DependencyDown(
            "the contracts are compiled for Prague, and this chain has not even the instructions of Cancun (MCOPY, "
            f"TSTORE): the node says {refused!r} to them. Nothing was sent: take a chain of these rules, or start "
            "the node with its hardfork set to prague"
        )


def _refused(web3: Any, code: str) -> str | None:
    """Return how the node refuses to run a constructor; None where it runs."""
    try:
        answer = web3.provider.make_request("eth_call", [{"data": code}, "latest"])
    except Exception as error:  # a provider has many names for a node that answers otherwise
        return str(error)
    return str(answer["error"].get("message")) if "error" in answer else None


def factory_costs(web3: Any) -> int:
    """Return what is to be paid in wei before the factory stands; 0 when it does."""
    if web3.eth.get_code(create2.FACTORY):
        return 0
    return max(0, FACTORY_WEI - int(web3.eth.get_balance(FACTORY_SIGNER)))


def put_factory(web3: Any, plan: Plan) -> None:
    """Deploy the factory where a chain lacks it, by its published transaction; the admin pays what that takes.

    Raises
    ------
    DependencyDown
        If the node does not take the transaction, or has it in no block in time.
    """
    if web3.eth.get_code(create2.FACTORY):
        return
    missing = factory_costs(web3)
    if missing:
        plan.key("admin").transfer(FACTORY_SIGNER, missing)
    tx_hash = "0x" + keccak(hexstr=FACTORY_TRANSACTION).hex()
    answer = web3.provider.make_request("eth_sendRawTransaction", [FACTORY_TRANSACTION])
    if "error" in answer and not _has(web3, tx_hash):
        raise DependencyDown(
            f"this chain lacks the CREATE2 factory {create2.FACTORY}, and the node does not take its published "
            f"transaction: {answer['error'].get('message')}. It is one without a chain id (before EIP-155), which geth "
            "takes with --rpc.allow-unprotected-txs; have it sent by such a node, and run again"
        )
    until = time.monotonic() + _RECEIPT_S
    while not _is_in_a_block(web3, tx_hash, min(RESEND_S, until - time.monotonic())):
        if time.monotonic() >= until:
            raise DependencyDown(
                f"the CREATE2 factory's transaction {tx_hash} is in no block after {_RECEIPT_S:.0f} s; it offers 100 "
                "gwei for gas, and waits while that costs more: run again later"
            )
        if not _has(web3, tx_hash):  # any more
            web3.provider.make_request("eth_sendRawTransaction", [FACTORY_TRANSACTION])
    if not web3.eth.get_code(create2.FACTORY):
        raise DependencyDown(
            f"the CREATE2 factory's transaction {tx_hash} was mined, and none stands at {create2.FACTORY}"
        )


def _is_in_a_block(web3: Any, tx_hash: str, wait_s: float) -> bool:
    try:
        web3.eth.wait_for_transaction_receipt(tx_hash, timeout=max(wait_s, 0.0))
    except TimeExhausted:
        return False
    return True


def _has(web3: Any, tx_hash: str) -> bool:
    """Return whether a node has a transaction though it answers its sending with an error, as it does the second."""
    answer = web3.provider.make_request("eth_getTransactionByHash", [tx_hash])
    return answer.get("result") is not None
