"""What a node answers, as values: headers, transactions, logs and receipts with numbers for their quantities."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from ledger.chain.node.wire import WireTransaction
from ledger.errors import MirrorStopped

LAST_SECOND = 253_402_300_799
"""The end of the year 9999: neither database has a later date."""
HASH = re.compile(r"0x[0-9a-f]{64}", re.ASCII)
"""A hash in lower case."""
ADDRESS = re.compile(r"0x[0-9a-f]{40}", re.ASCII)
"""An address in lower case."""


class BlockHeader(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A block header: number, hashes, and time in seconds since 1970 (UTC)."""

    number: int
    hash: str
    parent_hash: str
    timestamp: int
    base_fee: int
    """Wei per gas."""
    gas_limit: int = 0
    """The most gas that its transactions could use together; 0: nobody asked, or the node does not say."""

    @property
    def time(self) -> datetime:
        """The time of the block, aware, in UTC.

        Raises
        ------
        MirrorStopped
            If no date is as late: some private chains count milliseconds.
        """
        if self.timestamp > LAST_SECOND:
            raise MirrorStopped(no_date(self.number, self.timestamp))
        return datetime.fromtimestamp(self.timestamp, UTC)


class Authorization(msgspec.Struct, frozen=True):
    """What an account signed to take on code (EIP-7702), with its signature; it uses up a nonce of the account."""

    chain_id: int
    address: str
    nonce: int
    y_parity: int
    r: int
    s: int


class TransactionInfo(msgspec.Struct, frozen=True):
    """A transaction as it was signed."""

    hash: str
    sender: str
    to: str | None
    input: str
    nonce: int
    value: int
    gas: int
    authorizations: tuple[Authorization, ...] = ()
    gas_price: int | None = None
    """Wei that were paid for a unit of gas, once it is in a block; None where the node does not say."""


class LogRecord(msgspec.Struct, frozen=True, gc=False):
    """A log as the node hands it out."""

    address: str
    topics: tuple[str, ...]
    data: str
    block_number: int
    block_hash: str
    tx_hash: str
    tx_index: int
    log_index: int


class Receipt(msgspec.Struct, frozen=True):
    """What became of a transaction: status 1 succeeded, 0 failed; gas in units, price in wei."""

    tx_hash: str
    status: int
    gas_used: int
    effective_gas_price: int | None
    """None where the node leaves that to the transaction's own price."""
    contract_address: str | None
    block_number: int
    block_hash: str
    tx_index: int
    sender: str
    to: str | None
    logs: tuple[LogRecord, ...]


def no_date(number: int, timestamp: int) -> str:
    """Return what is wrong with the time of a block."""
    return f"block {number} has the time {timestamp}, which is no number of seconds since 1970: no date is as late"


def _hash(text: str) -> str:
    """Return a hash of the wire in lower case; `ValueError` where it is none."""
    lower = text.lower()
    if HASH.fullmatch(lower):
        return lower
    raise ValueError(f"{text[:80]!r} is no hash")


def header_of(raw: dict[str, Any]) -> BlockHeader:
    """Return a header of the wire, with numbers."""
    return BlockHeader(
        number=int(raw["number"], 16),
        hash=_hash(raw["hash"]),
        parent_hash=_hash(raw["parentHash"]),
        timestamp=int(raw["timestamp"], 16),
        base_fee=int(raw.get("baseFeePerGas") or "0x0", 16),
        gas_limit=int(raw.get("gasLimit") or "0x0", 16),
    )


def block_of(raw: dict[str, Any]) -> tuple[BlockHeader, list[TransactionInfo]]:
    """Return header and transactions of a whole block."""
    return header_of(raw), [transaction_of(item) for item in raw["transactions"]]


def _number(raw: str | None) -> int | None:
    return int(raw, 16) if raw else None


def _address(raw: str | None) -> str | None:
    return raw.lower() if raw else None


def transaction_of(raw: dict[str, Any]) -> TransactionInfo:
    """Return a transaction."""
    return TransactionInfo(
        hash=raw["hash"].lower(),
        sender=raw["from"].lower(),
        to=_address(raw.get("to")),
        input=raw["input"],
        nonce=int(raw["nonce"], 16),
        value=int(raw["value"], 16),
        gas=int(raw["gas"], 16),
        authorizations=tuple(map(_authorization, raw.get("authorizationList") or ())),
        gas_price=_number(raw.get("gasPrice")),
    )


def _authorization(raw: dict[str, Any]) -> Authorization:
    return Authorization(
        chain_id=int(raw["chainId"], 16),
        address=raw["address"].lower(),
        nonce=int(raw["nonce"], 16),
        y_parity=int(raw.get("yParity") or raw["v"], 16),
        r=int(raw["r"], 16),
        s=int(raw["s"], 16),
    )


def included_of(raw: dict[str, Any]) -> TransactionInfo | None:
    """Return a transaction that stands in a block; None for one that waits."""
    return transaction_of(raw) if raw.get("blockHash") else None


def transaction_info(raw: WireTransaction) -> TransactionInfo:
    """Return a transaction as the node wrote it with numbers for its quantities."""
    return TransactionInfo(
        hash=raw.hash.lower(),
        sender=raw.sender.lower(),
        to=_address(raw.to),
        input=raw.input,
        nonce=int(raw.nonce, 16),
        value=int(raw.value, 16),
        gas=int(raw.gas, 16),
    )


def log_of(raw: dict[str, Any]) -> LogRecord:
    """Return a log."""
    return LogRecord(
        address=raw["address"].lower(),
        topics=tuple(topic.lower() for topic in raw["topics"]),
        data=raw["data"],
        block_number=int(raw["blockNumber"], 16),
        block_hash=raw["blockHash"].lower(),
        tx_hash=raw["transactionHash"].lower(),
        tx_index=int(raw["transactionIndex"], 16),
        log_index=int(raw["logIndex"], 16),
    )


def receipt_of(raw: dict[str, Any]) -> Receipt:
    """Return a receipt with its logs."""
    return Receipt(
        tx_hash=raw["transactionHash"].lower(),
        status=int(raw["status"], 16),
        gas_used=int(raw["gasUsed"], 16),
        effective_gas_price=_number(raw.get("effectiveGasPrice")),
        contract_address=_address(raw.get("contractAddress")),
        block_number=int(raw["blockNumber"], 16),
        block_hash=raw["blockHash"].lower(),
        tx_index=int(raw["transactionIndex"], 16),
        sender=raw["from"].lower(),
        to=_address(raw.get("to")),
        logs=tuple(log_of(log) for log in raw["logs"]),
    )
