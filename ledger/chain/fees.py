"""What a transaction may cost: gas and fees of a first attempt and of one that replaces it. Pure arithmetic.

Integers alone: gas in units, fees in wei for a unit of gas. Every division rounds up.
"""

from __future__ import annotations

from dataclasses import dataclass

GWEI = 10**9
TRANSACTION_GAS_MAX = 16_777_216
"""EIP-7825: no transaction may ask for more gas."""
TRANSFER_GAS = 21_000
"""What a transaction costs that calls nothing and carries no data."""
_GAS_MARGIN_PERCENT = 25
_FLOOR_GAS_PER_TOKEN = 10
_TOKENS_PER_BYTE = 4
"""EIP-7623: a byte that is not zero is four tokens, one that is zero is one."""
_RISE_NUMERATOR, _RISE_DENOMINATOR = 9, 8
"""1.125: pools ask for a tenth more, of both fees, from what replaces another transaction."""


@dataclass(frozen=True)
class Fees:
    """Fees of one attempt in wei per gas."""

    max_fee_wei: int
    priority_fee_wei: int


@dataclass(frozen=True)
class Market:
    """What gas costs now: base fee of the latest block and the node's suggested tip, in wei per gas."""

    base_fee_wei: int
    tip_wei: int


def gas_limit(estimate: int, data: str, block_gas: int) -> int:
    """Return the gas limit of a call: the node's estimate with a margin, and never under the floor.

    Nor is it above what a block holds: no node takes such a transaction, and all behind it in its lane would wait.

    Parameters
    ----------
    estimate
        Gas that the node estimates.
    data
        Call data as hexadecimal text with ``0x``.
    block_gas
        How much gas a block holds; 0: the node does not say.
    """
    with_margin = estimate * (100 + _GAS_MARGIN_PERCENT) // 100
    return min(max(with_margin, floor_gas(data)), transaction_gas_max(block_gas))


def transaction_gas_max(block_gas: int) -> int:
    """Return the most gas that a transaction can ask for on a chain whose blocks hold so much (0: unknown)."""
    return min(block_gas or TRANSACTION_GAS_MAX, TRANSACTION_GAS_MAX)


def floor_gas(data: str) -> int:
    """Return the least gas that call data costs whatever the call does (EIP-7623): 40 a byte, 10 a zero."""
    content = bytes.fromhex(data.removeprefix("0x"))
    zeros = content.count(0)
    tokens = zeros + _TOKENS_PER_BYTE * (len(content) - zeros)
    return TRANSFER_GAS + _FLOOR_GAS_PER_TOKEN * tokens


def first(market: Market, cap_wei: int) -> Fees:
    """Return the fees of a first attempt: room for the base fee to double, at most the cap."""
    tip = min(market.tip_wei, cap_wei)
    return Fees(min(2 * market.base_fee_wei + tip, cap_wei), tip)


def replacing(before: Fees, market: Market, cap_wei: int) -> Fees | None:
    """Return the fees of an attempt that replaces one; None where the cap leaves no room.

    Both fees rise by an eighth at least, and the highest to twice the base fee and the tip.
    """
    least = _risen(before.max_fee_wei)
    if least > cap_wei:
        return None
    # 0 times 1.125 is 0: no rise at all, in the eyes of a pool.
    tip = max(_risen(before.priority_fee_wei), min(market.tip_wei, cap_wei), 1)
    wanted = max(least, 2 * market.base_fee_wei + tip)
    highest = min(wanted, cap_wei)
    return Fees(highest, min(tip, highest))


def is_capped(before: Fees, market: Market, cap_wei: int) -> bool:
    """Return whether the cap keeps an attempt from the fees that it should have."""
    tip = max(_risen(before.priority_fee_wei), market.tip_wei)
    return max(_risen(before.max_fee_wei), 2 * market.base_fee_wei + tip) > cap_wei


def ether_text(wei: int) -> str:
    """Return an amount of wei in ether for people, to the gwei, rounded up: so much is enough."""
    whole, gwei = divmod(-(-wei // GWEI), GWEI)
    return f"{whole}.{gwei:09d}"


def _risen(fee_wei: int) -> int:
    return -(-fee_wei * _RISE_NUMERATOR // _RISE_DENOMINATOR)
