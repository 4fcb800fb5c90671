"""A transaction as the mirror found it in a block."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Included(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A transaction in a block, as a node reports it. Hashes and addresses are lower-case text."""

    tx_hash: str
    contract_address: str | None
    """The contract that was called, or that came into being."""
    function_name: str | None
    parameters: str | None
    """Its arguments as JSON, see ``json_texts``."""
    gas_used: int
    gas_price_wei: int
    """Effective price of a unit of gas."""
    block_number: int
    block_hash: str
    block_time: datetime
    tx_index: int
    sender: str
    nonce: int
    error: str | None
    """Why it failed; None when it succeeded."""
