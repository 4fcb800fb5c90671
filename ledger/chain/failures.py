"""Why a transaction failed: receipts do not say, so the call is made again at the block before."""

from __future__ import annotations

from ledger.chain.client import ChainClient, Receipt, RpcError, TransactionInfo
from ledger.chain.reverts import reason_of

_REVERTED = 3
"""The error code of the execution API for a call that reverted."""


def failure_of(
    client: ChainClient, contract: str | None, transaction: TransactionInfo, receipt: Receipt
) -> str:
    """Return the reason of a failed transaction, never empty.

    The state at the block before lacks what earlier transactions of the same block changed, so the reason
    may not show again; the text then says so. Nodes that trace would know better, but not every node does.
    """
    message = {
        "from": transaction.sender,
        "data": transaction.input,
        "value": hex(transaction.value),
        "gas": hex(transaction.gas),
    }
    if transaction.to is not None:
        message["to"] = transaction.to
    try:
        client.request("eth_call", [message, hex(receipt.block_number - 1)])
    except RpcError as error:
        return _reason(contract, error, transaction, receipt)
    if receipt.gas_used >= transaction.gas:
        return "out of gas"
    return "reverted; the reason does not show at the state of the block before"


def _reason(
    contract: str | None, error: RpcError, transaction: TransactionInfo, receipt: Receipt
) -> str:
    if error.data is not None and len(error.data) >= len("0x") + 8:
        return reason_of(contract, error.data) or "reverted without a reason"
    if receipt.gas_used >= transaction.gas:
        return "out of gas"
    if error.rpc_code == _REVERTED or "revert" in error.rpc_message.lower():
        return "reverted without a reason"
    return f"reverted; the node cannot repeat it: {error.rpc_message}"
