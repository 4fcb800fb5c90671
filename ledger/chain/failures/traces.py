"""Why a transaction failed: receipts do not say, so a trace is asked, or the call is made again."""

from __future__ import annotations

from collections.abc import Sequence

from ledger.chain.failures.reverts import reason_of
from ledger.chain.node.client import ChainClient, RpcError
from ledger.chain.node.records import TransactionInfo
from ledger.chain.node.refusals import REVERTED
from ledger.chain.node.wire import TRACES, WireTrace


def failure_of(
    client: ChainClient,
    contract: str | None,
    transaction: TransactionInfo,
    block_number: int,
    gas_used: int,
) -> str:
    """Return the reason of a failed transaction, never empty.

    A node that keeps traces knows. Elsewhere the call is made again at the block before; that state lacks
    what earlier transactions of the same block changed, so the reason may not show again, and the text
    then says so.
    """
    if client.keeps_traces:
        for trace in _traces(client, transaction.hash):
            if not trace.trace_address:
                return reason_in(contract, trace)
    message = {
        "from": transaction.sender,
        "data": transaction.input,
        "value": hex(transaction.value),
        "gas": hex(transaction.gas),
    }
    if transaction.to is not None:
        message["to"] = transaction.to
    try:
        client.request("eth_call", [message, hex(block_number - 1)])
    except RpcError as error:
        if error.data is None and (error.limits or error.unreached):
            raise  # it can say it later: nothing of the moment belongs in a row
        return _reason(contract, error, transaction, gas_used)
    if gas_used >= transaction.gas:
        return "out of gas"
    return "reverted; the reason does not show at the state of the block before"


def _traces(client: ChainClient, tx_hash: str) -> Sequence[WireTrace]:
    """Return the traces of a transaction; none from a node that calls itself one that keeps them, and does not."""
    try:
        (traces,) = client.ask([("trace_transaction", [tx_hash])], TRACES).results()
    except RpcError as error:
        if not error.no_such_method:
            raise
        return ()
    return traces or ()


def reason_in(contract: str | None, trace: WireTrace) -> str:
    """Return the reason of a failed transaction by its own trace, never empty."""
    output = trace.result.output if trace.result is not None else None
    if output is not None and len(output) >= len("0x") + 8:
        return reason_of(contract, output) or "reverted without a reason"
    error = (trace.error or "").replace(" ", "").lower()
    return "out of gas" if "outofgas" in error else "reverted without a reason"


def _reason(
    contract: str | None, error: RpcError, transaction: TransactionInfo, gas_used: int
) -> str:
    if error.data is not None and len(error.data) >= len("0x") + 8:
        return reason_of(contract, error.data) or "reverted without a reason"
    if gas_used >= transaction.gas:
        return "out of gas"
    if error.rpc_code == REVERTED or "revert" in error.rpc_message.lower():
        return "reverted without a reason"
    return f"reverted; the node cannot repeat it: {error.rpc_message}"
