"""A settlement batch as a file that a party reads, judges and signs, on a machine without any network.

The file says in words and figures what its EIP-712 message says in words of 32 bytes, and the message itself.
Whoever signs or takes in a file derives the first from the second, and refuses one in which they differ. Names
of participants and of the currency are no part of what is signed: they are what the sender says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from ledger.chain.contracts.structs import Settlement, settlement_typed_data
from ledger.chain.keys import signing_files
from ledger.chain.keys.typed_data import digest_of
from ledger.chain.node.records import HASH
from ledger.errors import Refused
from ledger.settlement.tree import trades_root
from ledger.settlement.words import kg_nets_of, nets_of, unpack
from ledger.units import PRICE_SCALE, QUANTITY_SCALE, currency_of_cents, tonnes_of_kg

FORMAT = "truetonne-settlement-cosignature/1"
_NOT_COMPARED = ("meaning", "market", "netted_from", "currency", "participants")


@dataclass(frozen=True)
class Order:
    """What is to be signed, the contract and chain that it is for, and what the sender says of it."""

    settlement: Settlement
    chain_id: int
    contract: str
    market: str = ""
    netted_from: str | None = None
    currency: str = ""
    participants: tuple[tuple[str, str], ...] = ()

    @property
    def message(self) -> Mapping[str, Any]:
        """The EIP-712 message."""
        return settlement_typed_data(self.settlement, self.chain_id, self.contract)

    @property
    def digest(self) -> str:
        """The hash that is signed, 32 bytes as hexadecimal text."""
        return digest_of(self.message)


def document(order: Order, signatures: Mapping[str, str]) -> dict[str, Any]:
    """Return the content of the file, as a JSON object."""
    settlement = order.settlement
    names = dict(order.participants)
    deadline = datetime.fromtimestamp(settlement.deadline, UTC)
    return {
        "format": FORMAT,
        "meaning": _meaning(order, len(settlement.words), f"{deadline:%Y-%m-%d %H:%M:%S} UTC"),
        "market": order.market,
        "netted_from": order.netted_from,
        "currency": order.currency,
        "participants": names,
        "chain_id": order.chain_id,
        "contract": order.contract,
        "key": settlement.key,
        "asset": f"credit batch {settlement.asset}" if settlement.asset else "energy",
        "deadline": deadline.isoformat(),
        "nets": list(_nets(settlement)),
        "trades": list(_trades(settlement)),
        "trades_root": trades_root(settlement.key, settlement.accounts, settlement.words),
        "digest": order.digest,
        "typed_data": _as_json(order.message),
        "signatures": dict(signatures),
    }


def _nets(settlement: Settlement) -> Iterator[dict[str, str]]:
    """Yield what each account receives or pays on the whole."""
    nets = nets_of(settlement.words, len(settlement.accounts))
    kg = kg_nets_of(settlement.words, len(settlement.accounts))
    for account, net, own in zip(settlement.accounts, nets, kg, strict=True):
        found = {
            "account": account,
            "receives": str(currency_of_cents(max(net, 0))),
            "pays": str(currency_of_cents(max(-net, 0))),
        }
        if settlement.asset:
            found["receives_t"] = str(tonnes_of_kg(max(own, 0)))
            found["delivers_t"] = str(tonnes_of_kg(max(-own, 0)))
        yield found


def _trades(settlement: Settlement) -> Iterator[dict[str, Any]]:
    unit = "t CO2e" if settlement.asset else "kWh"
    for word in settlement.words:
        trade = unpack(word)
        yield {
            "number": trade.seq,
            "buyer": settlement.accounts[trade.buyer],
            "seller": settlement.accounts[trade.seller],
            "quantity": f"{_exact(trade.quantity_milli, QUANTITY_SCALE, 3)} {unit}",
            "price": str(_exact(trade.price_e4, PRICE_SCALE, 4)),
            "buyer_pays": str(currency_of_cents(trade.cents)),
            "word": f"0x{word:064x}",
        }


def _meaning(order: Order, trades: int, deadline: str) -> list[str]:
    delivered = "the credits are delivered with the money" if order.settlement.asset else "in money"
    return [
        f"Whoever signs the digest agrees that these {trades} trades are settled with each other, {delivered},",
        "at once and for good, when every account under nets has signed. Each pays or receives its net, less",
        f"the contract's fee. The signature holds until {deadline} and for these trades alone.",
    ]


def text(order: Order, signatures: Mapping[str, str]) -> str:
    """Return the content of the file, as text."""
    return signing_files.as_text(document(order, signatures))


def read(path: Path) -> tuple[Order, dict[str, str]]:
    """Read a file; return what it asks to sign, and the signatures in it by account, unchecked.

    Raises
    ------
    BadInput
        If it cannot be read, is no such file, or says in its figures something else than in its message.
    """
    return signing_files.read(path, FORMAT, "a settlement", _order, document)


def check(path: Path, given: Order, ours: Order, now_s: int) -> None:
    """Refuse a file that is not of this batch as the books have it, or whose time is over.

    Raises
    ------
    Refused
        With one line that says what differs.
    """
    if (given.chain_id, given.contract) != (ours.chain_id, ours.contract):
        raise Refused(
            f"{path}: it is for contract {given.contract} on chain {given.chain_id}; ours is {ours.contract} "
            f"on chain {ours.chain_id}",
            code="another-batch",
        )
    if given.settlement != ours.settlement:
        found = signing_files.difference(
            json.loads(json.dumps(document(given, {}))),
            json.loads(json.dumps(document(ours, {}))),
            skip=_NOT_COMPARED,
        )
        raise Refused(
            f"{path}: it is not batch {ours.settlement.key} as it was written: {found}",
            code="another-batch",
        )
    if ours.settlement.deadline < now_s:
        raise Refused(
            f"{path}: its signatures held until "
            f"{datetime.fromtimestamp(ours.settlement.deadline, UTC):%Y-%m-%d %H:%M:%S} UTC; "
            "`truetonne settle cosign write` makes a new one",
            code="expired",
        )


def check_signer(path: Path, order: Order, account: str, signature: str) -> str:
    """Return a signature in the form that the contract takes; refuse one that another key made.

    Raises
    ------
    Refused
        With who signed instead.
    """
    if account not in order.settlement.accounts:
        raise Refused(f"{path}: {account} is no party of the batch", code="another-key")
    return signing_files.check_signer(path, order.message, account, signature, "this batch")


def _order(given: Mapping[str, Any]) -> Order:
    """Return what the message of a file says: it alone is signed."""
    message, domain = given["typed_data"]["message"], given["typed_data"]["domain"]
    if not HASH.fullmatch(message["key"]):
        raise ValueError("the key is no hash")
    settlement = Settlement(
        message["key"],
        int(message["asset"]),
        tuple(str(item) for item in message["accounts"]),
        tuple(int(item) for item in message["words"]),
        int(message["deadline"]),
    )
    return Order(
        settlement,
        int(domain["chainId"]),
        str(domain["verifyingContract"]),
        str(given["market"]),
        given["netted_from"],
        str(given["currency"]),
        tuple(given["participants"].items()),
    )


def _as_json(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message as JSON holds it: large integers as text, as EIP-712 tools take them."""
    values = dict(message["message"])
    values["key"] = "0x" + values["key"].hex()
    values["asset"] = str(values["asset"])
    values["words"] = [str(word) for word in values["words"]]
    return {**message, "message": values}


def _exact(value: int, scale: int, decimals: int) -> Decimal:
    return (Decimal(value) / scale).quantize(Decimal(1).scaleb(-decimals))
