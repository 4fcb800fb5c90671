"""What waits in a node's pool, as far as the node shows it: nothing obliges one to, and none knows every pool."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from ledger.chain.node.client import ChainClient, RpcError
from ledger.chain.node.records import TransactionInfo, transaction_of
from ledger.chain.node.transports.errors import NodeAnswer, NodeSlow, NodeTrouble
from ledger.errors import in_words


class Offered(msgspec.Struct, frozen=True):
    """A signed transaction as a node has it, in its pool or in a block, with what it offers in wei per gas."""

    info: TransactionInfo
    max_fee_wei: int
    priority_fee_wei: int
    block_number: int | None
    """None: it stands in no block."""


def transaction_anywhere(client: ChainClient, tx_hash: str) -> Offered | None:
    """Return a transaction that a node has in its pool or in a block; None where it has it in neither."""
    raw = client.request("eth_getTransactionByHash", [tx_hash])
    found = _read(client, [] if raw is None else [raw])
    return found[0] if found else None


def waiting_of(client: ChainClient, address: str) -> list[Offered] | None:
    """Return what an account has in a node's pool, by nonce; None where the node shows nobody what is there.

    A pool tells what waits for a nonce below, too. A node without one that it shows has, at the most, what it would put
    into the next block.
    """
    found = pool_of(client, address).waiting
    if found is not None:
        return found
    next_block = "eth_getBlockByNumber", ["pending", True], lambda raw: (raw or {})["transactions"]
    return _first_shown(client, address, (next_block,)).waiting


class Pool(msgspec.Struct, frozen=True):
    """What an account has in a node's pool, by nonce."""

    waiting: list[Offered] | None
    """None: the node does not show it."""
    later: bool = False
    """Whether it may show it later: it was asked too much, or was away for a moment."""


def pool_of(client: ChainClient, address: str) -> Pool:
    """Return what an account has in a node's pool, as far as it shows the pool itself.

    Raises
    ------
    NodeTrouble
        If the node is not there. One that is, and does not answer this, shows it to nobody.
    """
    ways: tuple[_Way, ...] = (
        ("txpool_contentFrom", [address], _of_pool),
        ("txpool_content", [], lambda raw: _of_pool(_of_account(raw, address))),
    )
    return _first_shown(client, address, ways)


_Way = tuple[str, list[Any], Callable[[Any], Iterable[Any]]]
"""A method, its parameters, and what lists the transactions of its answer."""


def _first_shown(client: ChainClient, address: str, ways: Iterable[_Way]) -> Pool:
    later = False
    for method, params, listed in ways:
        try:
            offered = _read(client, client.request(method, params), listed)
        except RpcError as error:  # not there, or closed to strangers: the next way may be open
            later |= error.limits
        except NodeTrouble as trouble:  # so is a gateway's page, and an answer that is too long
            client.block_number()
            later |= not isinstance(trouble, (NodeAnswer, NodeSlow))
        else:
            found = [item for item in offered if item.info.sender == address]
            return Pool(sorted(found, key=lambda item: item.info.nonce))
    return Pool(None, later)


def _of_pool(raw: Any) -> Iterable[Any]:
    return [item for kind in ("pending", "queued") for item in (raw.get(kind) or {}).values()]


def _of_account(raw: Any, address: str) -> dict[str, Any]:
    """Return what the content of a whole pool has of one account, which it may spell with capitals."""
    return {
        kind: waiting
        for kind in ("pending", "queued")
        for account, waiting in (raw.get(kind) or {}).items()
        if account.lower() == address
    }


def _read(
    client: ChainClient, raw: Any, listed: Callable[[Any], Iterable[Any]] = iter
) -> list[Offered]:
    try:
        return [_offered_of(item) for item in listed(raw)]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise NodeAnswer(
            f"{client.place} was asked for what waits in its pool and answers with something else "
            f"({in_words(error)}); check rpc_url"
        ) from error


def _offered_of(raw: dict[str, Any]) -> Offered:
    price = raw.get("maxFeePerGas") or raw.get("gasPrice") or "0x0"
    tip = raw.get("maxPriorityFeePerGas") or price
    number = raw.get("blockNumber") if raw.get("blockHash") else None
    return Offered(
        transaction_of(raw), int(price, 16), int(tip, 16), int(number, 16) if number else None
    )
