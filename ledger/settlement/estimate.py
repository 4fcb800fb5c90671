"""What sending a batch would cost, and whether the contract would take it: asked of the node, nothing sent.

The call is tried (``eth_call``) and its gas estimated (``eth_estimateGas``) on the state of the latest block. A
co-signed batch is signed for that with a deadline that is over in every later block: such signatures are of no
use to anybody. Where a key is not here, the like proposal is tried in its place: what is refused to the operator alone,
its parties may settle all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.chain.access import Chain
from ledger.chain.contracts.events import SETTLEMENT
from ledger.chain.contracts.structs import Settlement, settlement_typed_data
from ledger.chain.contracts.wrappers import encode_call
from ledger.chain.failures.reverts import reason_of
from ledger.chain.node.client import RpcError
from ledger.chain.sending.intents import new_key
from ledger.errors import DependencyDown
from ledger.settlement.calls import proposal_of
from ledger.settlement.cosign import sender_of
from ledger.settlement.elsewhere import ENERGY
from ledger.settlement.planning import PlannedBatch

_FINALIZE_GAS, _FINALIZE_CREDITS_GAS = 52_000, 7_000
_FINALIZE_GAS_PER_ACCOUNT, _FINALIZE_GAS_PER_CREDITOR = 1_900, 5_900
"""What a finalisation costs (it cannot be tried before the proposal stands): upper figures of receipts with 2, 20
and 100 accounts, within a tenth. A creditor who had nothing of an asset costs 17,100 more."""
_BPS = 10_000
_THE_OPERATORS = ("NotionalAboveCap(", "CreditsAboveCap(", "AccessControlUnauthorizedAccount(")
"""Refusals of a proposal that say nothing of the same batch where its parties sign it."""


@dataclass(frozen=True)
class Cost:
    """What a batch would cost: gas of all its transactions, wei at the latest block's price, fee in cents.

    ``refusal`` says why the contract would refuse it; gas is None then, and where only its parties can have it tried.
    ``finalize_gas`` is the part of the gas that is computed and was not tried.
    """

    gas: int | None
    finalize_gas: int
    gas_price_wei: int
    fee_cents: int
    refusal: str | None

    @property
    def wei(self) -> int | None:
        """What the gas costs now."""
        return None if self.gas is None else self.gas * self.gas_price_wei


def costs(chain: Chain, planned: Sequence[PlannedBatch]) -> list[Cost]:
    """Return what each batch would cost, each by itself.

    Raises
    ------
    DependencyDown
        If the node does not answer.
    """
    if not planned:
        return []
    head = chain.client.head()
    price = head.base_fee + chain.client.priority_fee()
    bps = chain.settlement.terms().fee_bps
    return [_cost(chain, item, head.timestamp, price, bps) for item in planned]


def finalize_gas(planned: PlannedBatch) -> int:
    """Return what the finalisation of a proposed batch will cost."""
    gained = [net for net in (*planned.nets.values(), *planned.credit_nets.values()) if net > 0]
    return (
        _FINALIZE_GAS
        + (_FINALIZE_CREDITS_GAS if planned.asset is not None else 0)
        + len(planned.nets) * _FINALIZE_GAS_PER_ACCOUNT
        + len(gained) * _FINALIZE_GAS_PER_CREDITOR
    )


def fee_cents(nets: Sequence[int], bps: int) -> int:
    """Return what the collector of fees gets of a batch: from each creditor, rounded down."""
    return sum(net * bps // _BPS for net in nets if net > 0)


def _cost(
    chain: Chain,
    planned: PlannedBatch,
    now_s: int,
    price: int,
    bps: int,
    *,
    as_proposal: bool = False,
) -> Cost:
    """Return what a batch would cost; ``as_proposal``: by the like proposal, also where all keys are here."""
    fee = fee_cents(list(planned.nets.values()), bps)
    keys_are_here = set(planned.nets) <= set(chain.keyring.addresses)
    signed = planned.cosigned and keys_are_here and not as_proposal
    sender, data = _cosigned(chain, planned, now_s) if signed else _proposed(chain, planned)
    finalize = 0 if signed else finalize_gas(planned)
    to = chain.deployment.settlement.address
    # As in the block that is there: in a later one the signatures hold no longer.
    state = ["latest", *([{}, {"time": hex(now_s)}] if signed else [])]
    try:
        chain.client.request("eth_call", [{"from": sender, "to": to, "data": data}, *state])
        gas = chain.client.estimate_gas(sender, to, data, *state)
    except RpcError as error:
        if not error.reverted and signed:  # a node that takes no time for a call
            return _cost(chain, planned, now_s, price, bps, as_proposal=True)
        if not error.reverted:
            raise DependencyDown(f"the node cannot try the batch: {error.rpc_message}") from error
        reason = reason_of(SETTLEMENT, error.data) or error.rpc_message
        if planned.cosigned and not signed and reason.startswith(_THE_OPERATORS):
            return Cost(None, 0, price, fee, None)
        return Cost(None, finalize, price, fee, reason)
    return Cost(gas + finalize, finalize, price, fee, None)


def _proposed(chain: Chain, planned: PlannedBatch) -> tuple[str, str]:
    accounts = list(planned.nets)
    call = proposal_of(chain, new_key(), planned.asset, accounts, planned.words)
    return call.sender, encode_call(SETTLEMENT, call.function, call.arguments)


def _cosigned(chain: Chain, planned: PlannedBatch, now_s: int) -> tuple[str, str]:
    accounts = tuple(planned.nets)
    settlement = Settlement(new_key(), planned.asset or ENERGY, accounts, planned.words, now_s)
    place = chain.deployment.chain_id, chain.deployment.settlement.address
    message = settlement_typed_data(settlement, *place)
    signatures = [
        chain.keyring.signer(account, "try a settlement").sign_typed_data(message)
        for account in accounts
    ]
    data = encode_call(SETTLEMENT, "settleCosigned", [settlement.as_tuple, signatures])
    return sender_of(chain), data
