"""Why a transaction failed: receipts do not say, so a trace is asked, or the call is made again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from ledger.chain.failures.reverts import reason_of
from ledger.chain.node.client import ChainClient, RpcError
from ledger.chain.node.records import TransactionInfo
from ledger.chain.node.refusals import REVERTED
from ledger.chain.node.wire import TRACES, WireTrace

_REQUEST_BYTES_MAX = 500_000
"""Of what the calls of a request are given: nodes close the connection at 2 MB (Anvil) or 5 MB (geth)."""


class Failed(msgspec.Struct, frozen=True):
    """A transaction that failed: the name of the contract that it called, if it is one of ours, and what it used."""

    contract: str | None
    transaction: TransactionInfo
    block_number: int
    gas_used: int


def failures_of(client: ChainClient, failed: Sequence[Failed]) -> list[str]:
    """Return the reasons of failed transactions, none of them empty; as many as a request takes are asked at once.

    A node that keeps traces knows. Elsewhere the calls are made again at the block before; that state lacks
    what earlier transactions of the same block changed, so a reason may not show again, and the text
    then says so.

    Raises
    ------
    DependencyDown
        If the node does not answer, or can say it later alone.
    """
    own = _own_traces(client, [item.transaction.hash for item in failed])
    others = [item for item in failed if item.transaction.hash not in own]
    answers = [answer for some in _together(others) for answer in client.attempt(some)]
    told = {
        item.transaction.hash: _by_answer(item, answer)
        for item, answer in zip(others, answers, strict=True)
    }
    return [
        reason_in(item.contract, own[item.transaction.hash])
        if item.transaction.hash in own
        else told[item.transaction.hash]
        for item in failed
    ]


def _own_traces(client: ChainClient, hashes: Sequence[str]) -> dict[str, WireTrace]:
    """Return the trace of each transaction's own call; none from a node that does not keep them, whatever it says."""
    if not (hashes and client.keeps_traces):
        return {}
    try:
        calls = [("trace_transaction", [each]) for each in hashes]
        found = client.ask(calls, TRACES, alone=True).results()
    except RpcError as error:
        if not error.no_such_method:
            raise
        return {}
    return {
        tx_hash: trace
        for tx_hash, traces in zip(hashes, found, strict=True)
        for trace in traces or ()
        if not trace.trace_address
    }


def _together(failed: Sequence[Failed]) -> Iterator[list[tuple[str, list[Any]]]]:
    """Yield the calls of transactions, as many at once as go into a request that every node takes."""
    calls, length = list[tuple[str, list[Any]]](), 0
    for item in failed:
        given = len(item.transaction.input)
        if calls and length + given > _REQUEST_BYTES_MAX:
            yield calls
            calls, length = [], 0
        calls.append(_once_more(item))
        length += given
    if calls:
        yield calls


def _once_more(failed: Failed) -> tuple[str, list[Any]]:
    """Return the call of a transaction as it is made again, at the block before."""
    transaction = failed.transaction
    message = {
        "from": transaction.sender,
        "data": transaction.input,
        "value": hex(transaction.value),
        "gas": hex(transaction.gas),
    }
    if transaction.to is not None:
        message["to"] = transaction.to
    return "eth_call", [message, hex(failed.block_number - 1)]


def _by_answer(failed: Failed, answer: object) -> str:
    if isinstance(answer, RpcError):
        if answer.data is None and (answer.limits or answer.unreached):
            raise answer  # it can say it later: nothing of the moment belongs in a row
        return _reason(failed.contract, answer, failed.transaction, failed.gas_used)
    if failed.gas_used >= failed.transaction.gas:
        return "out of gas"
    return "reverted; the reason does not show at the state of the block before"


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
