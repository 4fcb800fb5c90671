"""Money and credits into and out of the settlement contract.

Amounts are cents of the settlement currency, or kilograms; the contract keeps units of the currency token.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import select

from ledger.chain.access import Chain
from ledger.chain.contracts.events import CREDIT, SETTLEMENT
from ledger.chain.sending import intents
from ledger.chain.sending.intents import NewIntent, new_key
from ledger.errors import BadInput, ContractRefused
from ledger.models import ChainIntent, SettlementMovement
from ledger.models.escrow import CURRENCY
from ledger.models.sending import IntentState
from ledger.settings import LOCAL_CHAIN_ID
from ledger.settlement.money import (
    Explained,
    explained_deposit,
    explained_withdrawal,
    refused_in_money,
)

_DEPOSIT = "deposit"
"""The kind of the intent that pays money in."""
_TOKEN = "TestCurrency"
"""Any ERC-20 answers to ``approve`` as the test currency does; only ``mint`` is its own."""


def deposit(
    chain: Chain,
    payer: str,
    account: str,
    cents: int,
    *,
    dry_run: bool = False,
    tell: Callable[[str], None] | None = None,
) -> list[str]:
    """Pay into an account's escrow; return the keys of the approvals that it takes, and last of the deposit.

    No approval where enough is approved already: a deposit that was killed or refused leaves its own behind.

    Parameters
    ----------
    payer
        Who pays: its key must be at hand.
    account
        Whose balance grows.
    cents
        How much, in cents.
    dry_run
        Look at all that would be looked at, and send nothing; no keys are returned.
    tell
        Says to a person what is waited for, where that takes seconds.

    Raises
    ------
    BadInput
        If the amount is not above zero.
    Refused
        If token or contract refuse, for instance because the payer has too little.
    DependencyDown
        If the approval is in no block in time; the deposit is not sent then.
    """
    amount = _units(chain, cents)
    spender = chain.deployment.settlement.address
    if not dry_run:
        _await_deposits(chain, payer, tell)
    approvals = _approvals(chain, spender, amount, payer)
    if dry_run:
        # The deposit itself would be refused before it is approved: what it moves is asked about.
        moved = _call(chain, _DEPOSIT, _TOKEN, "transfer", [spender, amount], payer)
        for approval in approvals[:1]:
            _rehearsed(chain, approval, explained_deposit)
        with refused_in_money(chain, explained_deposit):
            row = intents.row_of(chain.deployment.chain_id, moved)
            chain.sender.try_instead(row, moved.contract)
            _require_moved(chain, row)
        return []
    for approval in approvals:
        _await(chain, chain.sender.submit_new(approval), "the approval that it uses", tell)
    payment = _call(chain, _DEPOSIT, SETTLEMENT, "deposit", [account, amount], payer)
    return [*(item.key for item in approvals), _submitted(chain, payment, explained_deposit)]


def _require_moved(chain: Chain, transfer: ChainIntent) -> None:
    """Refuse a transfer that the currency answers with false, as some do in place of a revert."""
    call = {
        "from": transfer.sender_address,
        "to": transfer.contract_address,
        "data": transfer.call_data,
    }
    answer = chain.client.request("eth_call", [call, "latest"])
    if answer != "0x" and int(answer, 16) == 0:  # some answer nothing
        token = transfer.contract_address
        raise ContractRefused(
            f"{SETTLEMENT} refuses {_DEPOSIT}: SafeERC20FailedOperation(token={token})"
        )


def units_moved(chain: Chain, key: str, account: str) -> int | None:
    """Return by how many units of the currency a payment changed a balance; None where the mirror has not read it.

    A currency that keeps a fee lets less arrive than was sent, or takes more from who withdraws.
    """
    query = (
        select(SettlementMovement.amount)
        .join(
            ChainIntent,
            (ChainIntent.block_number == SettlementMovement.block_number)  # found by its block
            & (ChainIntent.tx_hash == SettlementMovement.tx_hash),
        )
        .where(
            ChainIntent.key == key,
            SettlementMovement.account == account.lower(),
            SettlementMovement.asset == CURRENCY,
        )
    )
    with chain.db.read() as session:
        found = session.scalars(query).all()
    return int(sum(found)) if found else None


def _await(chain: Chain, tx_hash: str, what: str, tell: Callable[[str], None] | None) -> None:
    """Wait until a transaction stands in a block, before the deposit is sent."""

    def on_long(seconds: float) -> None:
        if tell is not None:
            tell(
                f"the deposit is not sent yet: {what} is in no block (transaction {tx_hash}); "
                f"this waits for up to {seconds:.0f} s"
            )

    chain.sender.wait_until_included(tx_hash, on_long)


def _await_deposits(chain: Chain, payer: str, tell: Callable[[str], None] | None) -> None:
    """Wait until a payer's earlier deposits stand in blocks: until then the approvals that they use up seem unused."""
    query = select(ChainIntent.tx_hash).where(
        ChainIntent.state == IntentState.SUBMITTED,
        ChainIntent.chain_id == chain.deployment.chain_id,
        ChainIntent.sender_address == payer.lower(),
        ChainIntent.kind == _DEPOSIT,
    )
    with chain.db.read() as session:
        sent = session.scalars(query).all()
    for tx_hash in sent:
        if tx_hash is not None:
            _await(chain, tx_hash, "an earlier one of this account", tell)


def _approvals(chain: Chain, spender: str, amount: int, payer: str) -> list[NewIntent]:
    """Return what a payer has to approve before a deposit; by way of zero where less is approved already.

    Some currencies, Tether's for one, let nobody change an approval that is not zero to another.
    """
    approved = chain.settlement.approved(payer)
    if approved >= amount:
        return []
    return [
        _call(chain, "approve", _TOKEN, "approve", [spender, units], payer)
        for units in ([0, amount] if approved else [amount])
    ]


def withdraw(chain: Chain, account: str, to: str, cents: int, *, dry_run: bool = False) -> str:
    """Pay out of an account's escrow; return the intent's key. ``dry_run``: ask for it, and send nothing.

    Raises
    ------
    BadInput
        If the amount is not above zero.
    Refused
        If the balance is too small.
    """
    call = _call(chain, "withdraw", SETTLEMENT, "withdraw", [to, _units(chain, cents)], account)
    return _submitted(chain, call, explained_withdrawal, dry_run)


def deposit_credits(
    chain: Chain, holder: str, asset: int, kg: int, *, dry_run: bool = False
) -> str:
    """Pay credits into their holder's own escrow; return the intent's key. ``dry_run``: as for ``withdraw``.

    The contract takes them in by their transfer, which no second party has to approve.

    Raises
    ------
    BadInput
        If the amount is not above zero.
    Refused
        If the holder has too little, or the credits may not be moved.
    """
    settlement = chain.deployment.settlement.address
    arguments = [holder, settlement, asset, _whole_kg(kg), b""]
    call = _call(chain, "deposit_credits", CREDIT, "safeTransferFrom", arguments, holder)
    return _submitted(chain, call, explained_deposit, dry_run)


def withdraw_credits(
    chain: Chain, account: str, to: str, asset: int, kg: int, *, dry_run: bool = False
) -> str:
    """Pay credits out of an account's escrow; return the intent's key. ``dry_run``: as for ``withdraw``.

    Raises
    ------
    BadInput
        If the amount is not above zero.
    Refused
        If the balance is too small, or the credits may not be moved.
    """
    arguments = [to, asset, _whole_kg(kg)]
    call = _call(chain, "withdraw_credits", SETTLEMENT, "withdrawCredits", arguments, account)
    return _submitted(chain, call, explained_withdrawal, dry_run)


def mint_test_currency(chain: Chain, account: str, cents: int, *, dry_run: bool = False) -> str:
    """Make test money on a local chain; return the intent's key. ``dry_run``: as for ``withdraw``.

    Raises
    ------
    BadInput
        On any other chain: there money is not ours to make.
    """
    if chain.deployment.chain_id != LOCAL_CHAIN_ID:
        raise BadInput("test currency exists on a local chain alone; leave --mint out")
    call = _call(
        chain, "mint_test_currency", _TOKEN, "mint", [account, _units(chain, cents)], account
    )
    if dry_run:
        _rehearsed(chain, call, explained_deposit)
    else:
        chain.sender.submit_new(call)
    return call.key


def _submitted(chain: Chain, call: NewIntent, explained: Explained, dry_run: bool = False) -> str:
    """Send a call and return its key; a refusal is said in names and money."""
    if dry_run:
        _rehearsed(chain, call, explained)
        return call.key
    with refused_in_money(chain, explained):
        chain.sender.submit_new(call)
    return call.key


def _rehearsed(chain: Chain, call: NewIntent, explained: Explained) -> None:
    """Look at all that would be looked at before a call is sent."""
    with refused_in_money(chain, explained):
        chain.sender.rehearse(intents.row_of(chain.deployment.chain_id, call), call.contract)


def _units(chain: Chain, cents: int) -> int:
    if cents <= 0:
        raise BadInput(f"the amount must be above zero, found {cents} cents")
    return cents * chain.settlement.units_per_cent()


def _whole_kg(kg: int) -> int:
    if kg <= 0:
        raise BadInput(f"the amount must be above zero, found {kg} kg")
    return kg


def _call(
    chain: Chain, kind: str, contract: str, function: str, arguments: list[object], sender: str
) -> NewIntent:
    places = {
        CREDIT: chain.deployment.credit.address,
        SETTLEMENT: chain.deployment.settlement.address,
    }
    address = places[contract] if contract in places else chain.settlement.currency()
    # Approved twice is approved once: no deposit has followed yet, and the same command makes it.
    again = function == "approve"
    return NewIntent(new_key(), kind, contract, address, function, arguments, sender, again)
