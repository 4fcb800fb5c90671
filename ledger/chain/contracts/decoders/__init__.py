"""Decoders of the contracts' events and calls, generated from the ABI by ``scripts/generate_decoders.py``.

One module each for the events and the calls of a contract; ``words`` is what all of them read with.
They take what the ABI's encoder would have written, to the bit, and refuse everything else.
"""

from __future__ import annotations

from ledger.chain.contracts.decoders import (
    carbon_credit_calls,
    carbon_credit_events,
    vpp_settlement_calls,
    vpp_settlement_events,
)

EVENTS = {
    "CarbonCredit": carbon_credit_events.EVENTS,
    "VppSettlement": vpp_settlement_events.EVENTS,
}
"""By contract and first topic: name, number of topics, and the decoder."""
CALLS = {
    "CarbonCredit": carbon_credit_calls.CALLS,
    "VppSettlement": vpp_settlement_calls.CALLS,
}
"""By contract and selector: name, and the decoder."""
