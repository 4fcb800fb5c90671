"""Rarer acts of the parties, for tests: evidence that overlaps, invalidation, signed orders, disputes.

What is signed and hashed here is written down a second time, from the interfaces' prose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth_abi.abi import encode as abi_encode
from eth_utils.crypto import keccak

from ledger.chain.contracts.events import CREDIT, SETTLEMENT
from ledger.chain.keys.signers import ANVIL_ROLES, anvil_signer
from ledger.chain.node.records import Receipt
from ledger.settlement.words import Trade, pack
from tests.support.chain import FIRST_PERIOD_S, PARTIES, TestChain

USED = 100
"""The quality of a reading that counts."""
WEEK_S = 7 * 86_400
ETERNITY_S = 2**40
READING = ["bytes32", "uint64", "uint64", "int256", "uint8", "uint8", "uint16", "bytes32"]
RETIREMENT = [
    ("beneficiary", "string"),
    ("reason", "string"),
    ("country", "bytes2"),
    ("consumptionStart", "uint32"),
    ("consumptionEnd", "uint32"),
    ("documentHash", "bytes32"),
]


@dataclass(frozen=True)
class Evidence:
    """A reading that is all the evidence of a batch: its leaf is the root."""

    reading: tuple[Any, ...]

    @property
    def root(self) -> str:
        """The root, as text."""
        encoded = abi_encode([f"({','.join(READING)})"], [self.reading])
        return "0x" + keccak(keccak(encoded)).hex()

    @property
    def proven(self) -> tuple[Any, ...]:
        """The contract's struct ``ProvenReading``."""
        return bytes.fromhex(self.root[2:]), self.reading, []


def evidence(meter: str, first_second: int, digits: int = 421) -> Evidence:
    """Return a reading of ten minutes that counts."""
    start = FIRST_PERIOD_S + first_second
    text = keccak(text=str(digits))
    return Evidence((keccak(text=meter), start, start + 600, digits, 1, 1, USED, text))


def sign(party: str, message: dict[str, Any]) -> bytes:
    """Return a party's EIP-712 signature."""
    return anvil_signer(ANVIL_ROLES[party]).sign_typed_data(message)


def _message(chain: TestChain, contract: str, kind: str, types: Any, message: Any) -> Any:
    return {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            **{
                name: [{"name": part, "type": each} for part, each in fields]
                for name, fields in types.items()
            },
        },
        "primaryType": kind,
        "domain": {
            "name": f"Truetonne {contract}",
            "version": "1",
            "chainId": chain.deployment.chain_id,
            "verifyingContract": chain.deployment.contracts[contract].address,
        },
        "message": message,
    }


# ------------------------------------------------------------------------ credits


def credit_acts(chain: TestChain, day: int) -> None:
    """Issue a day's credits and move, retire and cancel some of them; one act fails."""
    batch = chain.issue(1000, day)
    chain.transfer("owner", "buyer", batch, 100)
    chain.retire("buyer", batch, 10)
    chain.cancel("owner", batch, 3)
    chain.retire("spare", batch, 1, must=False)


def invalidate(chain: TestChain, batch_id: int) -> None:
    """Propose to invalidate a batch, wait, and do it."""
    chain.act("reverser", CREDIT, "proposeInvalidation", [batch_id, "meter was tampered with"])
    chain.later(WEEK_S)
    chain.act("admin", CREDIT, "executeInvalidation", [batch_id])


def replace(
    chain: TestChain, batch_id: int, replaced_batch_id: int, kg: int, must: bool = True
) -> Receipt:
    """Retire units of the buffer for an invalidated batch."""
    arguments = [bytes.fromhex(chain.new_key()[2:]), batch_id, replaced_batch_id, kg]
    return chain.act("reverser", CREDIT, "replace", arguments, must)


def retire_for(chain: TestChain, holder: str, batch_id: int, kg: int, nonce: int) -> Receipt:
    """Let somebody else send what a holder has signed: a retirement of its units."""
    key, _, _, details = chain.retire_arguments(batch_id, kg)
    order = (PARTIES[holder], key, batch_id, kg, details, nonce, ETERNITY_S)
    fields = [
        ("holder", "address"),
        ("key", "bytes32"),
        ("batchId", "uint256"),
        ("amount", "uint64"),
        ("details", "Retirement"),
        ("nonce", "uint256"),
        ("deadline", "uint64"),
    ]
    words = dict(zip((name for name, _ in RETIREMENT), details, strict=True))
    values = dict(zip((name for name, _ in fields), order, strict=True)) | {"details": words}
    types = {"RetirementOrder": fields, "Retirement": RETIREMENT}
    message = _message(chain, CREDIT, "RetirementOrder", types, values)
    return chain.act("spare", CREDIT, "retireFor", [order, sign(holder, message)])


def retire_batch(chain: TestChain, holder: str, units: Sequence[tuple[int, int]]) -> Receipt:
    """Retire units of several batches in one transaction, under one key."""
    key, _, _, details = chain.retire_arguments(1, 1)
    arguments = [key, [each for each, _ in units], [kg for _, kg in units], details]
    return chain.act(holder, CREDIT, "retireBatch", arguments)


def deposit_credits(
    chain: TestChain, holder: str, batch_id: int, kg: int, must: bool = True
) -> Receipt:
    """Send credits into the escrow, to the holder's balance."""
    arguments = [PARTIES[holder], chain.deployment.settlement.address, batch_id, kg, b""]
    return chain.act(holder, CREDIT, "safeTransferFrom", arguments, must)


def withdraw_credits(
    chain: TestChain, holder: str, batch_id: int, kg: int, must: bool = True
) -> Receipt:
    """Take credits out of the escrow."""
    arguments = [PARTIES[holder], batch_id, kg]
    return chain.act(holder, SETTLEMENT, "withdrawCredits", arguments, must)


# --------------------------------------------------------------------- settlement


def trade_tuple(item: Trade) -> tuple[Any, ...]:
    """Return the contract's struct ``Trade``."""
    return (item.seq, item.buyer, item.seller, item.quantity_milli, item.price_e4, item.cents)


def settle_one(
    chain: TestChain, item: Trade, asset: int = 0, must: bool = True, sender: str = "operator"
) -> Receipt:
    """Settle one trade by itself."""
    return chain.act(sender, SETTLEMENT, "settleOne", [asset, trade_tuple(item)], must)


def cosign(
    chain: TestChain,
    parties: Sequence[str],
    trades: Sequence[Trade],
    asset: int = 0,
    must: bool = True,
    key: bytes | None = None,
    sender: str = "operator",
) -> Receipt:
    """Settle a batch that all of its parties have signed."""
    packed = pack(trades)
    key = key or bytes.fromhex(chain.new_key()[2:])
    settlement = (key, asset, list(packed.accounts), list(packed.words), ETERNITY_S)
    fields = [
        ("key", "bytes32"),
        ("asset", "uint256"),
        ("accounts", "address[]"),
        ("words", "uint256[]"),
        ("deadline", "uint64"),
    ]
    values = dict(zip((name for name, _ in fields), settlement, strict=True))
    message = _message(chain, SETTLEMENT, "Settlement", {"Settlement": fields}, values)
    signer_of = {PARTIES[party]: party for party in parties}
    signatures = [sign(signer_of[account], message) for account in packed.accounts]
    return chain.act(sender, SETTLEMENT, "settleCosigned", [settlement, signatures], must)


def dispute(chain: TestChain, party: str, batch_id: int, item: Trade, must: bool = True) -> Receipt:
    """Dispute the only trade of a batch: it is the root."""
    arguments = [batch_id, trade_tuple(item), []]
    return chain.act(party, SETTLEMENT, "disputeTrade", arguments, must)


def reject_dispute(chain: TestChain, batch_id: int, must: bool = True) -> Receipt:
    """Reject the dispute over a batch."""
    return chain.act("admin", SETTLEMENT, "rejectDispute", [batch_id], must)
