"""Keeps what Brownie sends within the highest fee and its sender's money, and its waiting within an end.

By itself it offers twice the base fee and whatever tip the node suggests, however much that is. And it waits in a
thread, of whose failure (the node is gone) nobody hears, for a block that may never come: nodes forget what waits, when
their pool is full or they start anew, and what stood in a block that a fork took back.
"""

import time
from collections.abc import Iterable
from typing import Any

from eth_utils.crypto import keccak
from requests import HTTPError, RequestException

from ledger.errors import DependencyDown

GWEI = 10**9
WAIT_S = 600.0
"""How long a transaction that was sent is waited for, in seconds."""
RESEND_S = 15.0
"""After how long what was sent, and the node has forgotten, is sent again, in seconds."""


def send_carefully(max_fee_gwei: int, wait_s: float = WAIT_S, resend_s: float = RESEND_S) -> None:
    """Bound what the transactions of this process offer, and how long each is waited for; once for each process.

    What would cost more, what its sender cannot pay, and what is in no block in time, ends in ``DependencyDown`` from
    then on; what goes wrong while Brownie waits is raised by what it waits in. Meanwhile the same bytes are sent again
    where the node has forgotten them.

    Parameters
    ----------
    max_fee_gwei
        The most that may be offered for a unit of gas.
    wait_s
        How long a transaction may be in no block, in seconds.
    resend_s
        After how long of that it is sent again, each time, in seconds.
    """
    from brownie.network import account
    from brownie.network.transaction import TransactionReceipt

    offer, sender = account._apply_fee_to_tx, account._PrivateKeyAccount
    watch, wait = TransactionReceipt._await_confirmation, sender._await_confirmation
    send, sent = account.web3.eth.send_raw_transaction, dict[str, float]()

    def kept(raw: Any) -> Any:
        text = "0x" + bytes(raw).hex()
        if time.monotonic() - sent.setdefault(text, time.monotonic()) > wait_s:
            raise DependencyDown(
                f"the node takes transaction {_hash_of(text)} and has not shown it for {wait_s:.0f} s: "
                "run again, and if that is the same, with another node"
            )
        return send(text)

    def offered(*given: Any) -> dict[str, Any]:
        transaction = _bounded(offer(*given), account.web3, max_fee_gwei)
        _check_paid_for(transaction, account.web3)
        return transaction

    def watched(receipt: Any, *given: Any, **named: Any) -> None:
        try:
            watch(receipt, *given, **named)
        except Exception as error:  # whatever a node and its client make of a call
            receipt.failure = error
            receipt._confirmed.set()

    def waited(keys: Any, receipt: Any, *given: Any) -> Any:
        until = time.monotonic() + wait_s
        while not receipt._confirmed.wait(max(0.0, min(resend_s, until - time.monotonic()))):
            if time.monotonic() < until:
                _send_again(account.web3, sent)
                continue
            raise DependencyDown(
                f"transaction {receipt.txid} is in no block after {wait_s:.0f} s: the node mines nothing, or asks for "
                "more than it offers; it may still come: run again later, or replace it with a higher fee"
            )
        if hasattr(receipt, "failure"):
            raise receipt.failure
        return wait(keys, receipt, *given)

    account._apply_fee_to_tx = offered
    TransactionReceipt._await_confirmation = watched
    sender._await_confirmation = waited
    account.web3.eth.send_raw_transaction = kept


def _send_again(web3: Any, sent: Iterable[str]) -> None:
    """Send once more what the node does not have, the oldest first: a fork takes back what others build on.

    What it has is not sent: it would refuse that, some by a status of HTTP. Nor is it an error where it does not
    answer, or refuses what another transaction took the nonce of: Brownie's own waiting finds that out.
    """
    for raw in sent:
        try:
            asked = web3.provider.make_request("eth_getTransactionByHash", [_hash_of(raw)])
            if asked.get("result") is None:
                web3.provider.make_request("eth_sendRawTransaction", [raw])
        except (HTTPError, ValueError):
            continue
        except RequestException:  # it was asked for long enough
            return


def _hash_of(raw: str) -> str:
    return "0x" + keccak(hexstr=raw).hex()


def _bounded(transaction: dict[str, Any], web3: Any, max_fee_gwei: int) -> dict[str, Any]:
    """Return a transaction that offers no more than the cap.

    Raises
    ------
    DependencyDown
        If gas costs more than that: it would wait for ever, or is too dear.
    """
    cap = max_fee_gwei * GWEI
    legacy = transaction.get("gasPrice")
    price = int(legacy, 16) if legacy is not None else web3.eth.get_block("latest")["baseFeePerGas"]
    if price > cap:
        raise DependencyDown(
            f"gas costs {price / GWEI:.1f} gwei, more than max_fee_gwei ({max_fee_gwei}): nothing dearer is sent; "
            "wait and run again, or raise the setting"
        )
    fees = ("maxFeePerGas", "maxPriorityFeePerGas") if legacy is None else ()
    return transaction | {name: hex(min(int(transaction[name], 16), cap)) for name in fees}


def _check_paid_for(transaction: dict[str, Any], web3: Any) -> None:
    """Refuse what a node would: it says that funds are insufficient, and neither whose nor by how much."""
    price = int(transaction.get("maxFeePerGas") or transaction.get("gasPrice") or "0x0", 16)
    takes = int(transaction["gas"], 16) * price + int(transaction.get("value") or 0)
    has = int(web3.eth.get_balance(transaction["from"])) if takes else 0
    if has < takes:
        raise DependencyDown(
            f"{transaction['from']} has {has / 10**18:.6f} of the chain's money, and its next transaction may take "
            f"{takes / 10**18:.6f}: send it more, and run again"
        )
